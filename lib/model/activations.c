/*
 * activations.c - the outputs of a layer, by its name.
 */
#include <string.h>

#include "model/model.h"

static int is_linear(const an_op *op)
{
    return op->kind == AN_OP_CONV || op->kind == AN_OP_DENSE;
}

/* Whether the layer's value at `point` is what the operation leaves. */
static int reaches(const an_op *op, an_point point)
{
    if (point == AN_POINT_LINEAR) return is_linear(op);
    if (point == AN_POINT_ACTIVATION) return op->kind == AN_OP_ACTIVATION;
    return op->kind != AN_OP_EXCHANGE; /* the last of them */
}

static an_status find_layer(const an_model *model, const char *layer, an_point point,
                            an_layer_output *output)
{
    const an_plan *plan = model->net.plan;
    const an_tensor *tensor;
    uint32_t index, i;

    AN_CHECK(layer != NULL, "layer is null");
    AN_CHECK(point >= AN_POINT_LINEAR && point <= AN_POINT_OUTPUT,
             "point is %u: not one of an_point", point);
    memset(output, 0, sizeof *output);
    output->prob = strcmp(layer, "prob") == 0;
    index = plan->row.layers - 1;
    if (!output->prob) AN_TRY(an__layer_find(plan, layer, "layer", &index));
    AN_CHECK(point != AN_POINT_ACTIVATION || strchr(plan->layers[index].stages, 'a'),
             "point is AN_POINT_ACTIVATION: %s has no non-linearity", layer);
    for (i = 0; i < plan->op_count; i++) {
        const an_op *op = &plan->ops[i];

        if (op->layer != index || !reaches(op, point)) continue;
        output->tensor[op->tower] = op->out;
        if (op->tower + 1 > output->towers) output->towers = op->tower + 1;
        output->end = i + 1;
    }
    tensor = &plan->tensors[output->tensor[0]];
    output->shape[0] = tensor->maps * output->towers;
    output->shape[1] = tensor->height;
    output->shape[2] = tensor->width;
    output->elements = tensor->count * output->towers;
    return AN_OK;
}

an_status an_activation_count(const an_model *model, const char *layer, an_point point,
                              size_t *count, uint32_t shape[3])
{
    AN_ENTER;
    an_layer_output output;

    AN_TRY(an__model_check(model));
    AN_TRY(find_layer(model, layer, point, &output));
    AN_CHECK(count != NULL, "count is null");
    *count = output.elements;
    if (shape != NULL) memcpy(shape, output.shape, sizeof output.shape);
    return AN_OK;
}

static an_status infer_layer(an_model *model, an_request *request, uint32_t count,
                             const char *layer, an_point point, float *out,
                             size_t capacity)
{
    an_layer_output output;

    AN_TRY(an__request_check(model, request, count));
    AN_TRY(find_layer(model, layer, point, &output));
    AN_CHECK(out != NULL, "out is null");
    AN_TRY(an__capacity_check(capacity, count, output.elements));
    if (output.prob) {
        request->probabilities = out;
    } else {
        request->activations = out;
        request->layer = &output;
    }
    return an__request_run(model, request, count);
}

an_status an_infer_layer(an_model *model, const float *images, uint32_t count,
                         const char *layer, an_point point, float *out, size_t capacity)
{
    AN_ENTER;
    an_request request = an__request(images, NULL);

    return infer_layer(model, &request, count, layer, point, out, capacity);
}

an_status an_infer_layer_images(an_model *model, const an_image *images, uint32_t count,
                                const char *layer, an_point point, float *out,
                                size_t capacity)
{
    AN_ENTER;
    an_request request = an__request(NULL, images);

    return infer_layer(model, &request, count, layer, point, out, capacity);
}
