/*
 * transfer.c - what a model takes from another one.
 */
#include <string.h>

#include "model/model.h"

static int same_shape(const an_param *a, const an_param *b)
{
    return strcmp(a->name, b->name) == 0 && a->dims == b->dims &&
           memcmp(a->shape, b->shape, sizeof a->shape) == 0;
}

#define NONE UINT32_MAX

/* For each parameter of `to` the one of `from` that it gets, or NONE; returns how
 * many. */
static uint32_t pair_up(const an_plan *to, const an_plan *from, uint32_t skip,
                        uint32_t source[AN_MAX_PARAMS])
{
    uint32_t i, j, count = 0;

    for (i = 0; i < to->param_count; i++) {
        source[i] = NONE;
        for (j = 0; j < from->param_count && to->params[i].layer != skip; j++)
            if (same_shape(&to->params[i], &from->params[j])) source[i] = j;
        count += source[i] != NONE;
    }
    return count;
}

static an_status copy_parameters(an_model *to, const an_model *from,
                                 const uint32_t source[AN_MAX_PARAMS], float *values)
{
    uint32_t i;

    for (i = 0; i < to->net.plan->param_count; i++)
        if (source[i] != NONE) {
            AN_TRY(an__weights_get(&from->net.weights, &from->net, source[i], values));
            AN_TRY(an__weights_set(&to->net.weights, &to->net, i, values));
        }
    return AN_OK;
}

/* Memory first: what can fail comes before what changes the model. */
static an_status transfer(an_model *to, const an_model *from,
                          const uint32_t source[AN_MAX_PARAMS])
{
    size_t most = 0;
    uint32_t i;
    float *values;
    an_status status = AN_OK;

    for (i = 0; i < to->net.plan->param_count; i++)
        if (to->net.plan->params[i].count > most) most = to->net.plan->params[i].count;
    values = an__alloc(&to->net.ctx->memory, most * sizeof *values);
    if (values == NULL) return AN_ERROR_MEMORY;
    if (from->input.size == to->input.size)
        status = an__model_set_input(to, &from->input.p, from->input.mean_image);
    if (status == AN_OK) status = copy_parameters(to, from, source, values);
    an__net_changed(&to->net);
    an__free(&to->net.ctx->memory, values);
    return status;
}

an_status an_model_transfer(an_model *to, const an_model *from, const char *skip,
                            uint32_t *copied)
{
    AN_ENTER;
    uint32_t source[AN_MAX_PARAMS], count, layer = NONE;

    AN_TRY(an__model_check(to));
    AN_TRY(an__model_check(from));
    AN_CHECK(to != from, "from is the model itself");
    if (skip != NULL) AN_TRY(an__layer_find(to->net.plan, skip, "skip", &layer));
    if (to->trainer != NULL) return an__fail(AN_ERROR_STATE, "the model has a trainer");
    count = pair_up(to->net.plan, from->net.plan, layer, source);
    if (count == 0)
        return an__fail(AN_ERROR_STATE,
                        "from has no parameter of this model's names and shapes");
    AN_TRY(transfer(to, from, source));
    if (copied != NULL) *copied = count;
    return AN_OK;
}
