/*
 * transfer.c - what a model takes from another one.
 */
#include <string.h>

#include "internal.h"

static int same_shape(const an_param *a, const an_param *b)
{
    return strcmp(a->name, b->name) == 0 && a->dims == b->dims &&
           memcmp(a->shape, b->shape, sizeof a->shape) == 0;
}

static an_status transfer_parameters(an_model *to, const an_model *from, float *values,
                                     uint32_t *count)
{
    uint32_t i, j;

    for (i = 0; i < to->plan->param_count; i++)
        for (j = 0; j < from->plan->param_count; j++)
            if (same_shape(&to->plan->params[i], &from->plan->params[j])) {
                AN_TRY(an__weights_get(&from->weights, from, j, values));
                AN_TRY(an__weights_set(&to->weights, to, i, values));
                ++*count;
            }
    return AN_OK;
}

static an_status transfer_preprocessing(an_model *to, const an_model *from)
{
    const an_input *input = &from->input;

    if (input->size != to->input.size) return AN_OK;
    AN_TRY(an_model_set_mean_image(to, NULL, 0));
    AN_TRY(an_model_set_preprocessing(to, &input->p));
    if (input->mean_image == NULL) return AN_OK;
    return an_model_set_mean_image(to, input->mean_image, an__mean_count(input));
}

an_status an_model_transfer(an_model *to, const an_model *from, uint32_t *copied)
{
    size_t most = 0;
    uint32_t i, count = 0;
    float *values;
    an_status status;

    AN_TRY(an__model_check(to));
    AN_TRY(an__model_check(from));
    AN_CHECK(to != from, "from is the model itself");
    if (to->trainer != NULL) return an__fail(AN_ERROR_STATE, "the model has a trainer");
    for (i = 0; i < to->plan->param_count; i++)
        if (to->plan->params[i].count > most) most = to->plan->params[i].count;
    values = an__alloc(to->ctx, most * sizeof *values);
    if (values == NULL) return AN_ERROR_MEMORY;
    status = transfer_parameters(to, from, values, &count);
    an__free(to->ctx, values);
    if (status == AN_OK && count == 0)
        status = an__fail(AN_ERROR_STATE,
                          "from has no parameter of this model's names and shapes");
    if (status == AN_OK) status = transfer_preprocessing(to, from);
    if (status == AN_OK && copied != NULL) *copied = count;
    return status;
}
