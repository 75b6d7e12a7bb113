/*
 * describe.c - what a model is: its sizes, layers, classes, and its parameters by name.
 */
#include <math.h>
#include <string.h>

#include "model/model.h"

AN_INIT_ZERO(an_model_info)
AN_INIT_ZERO(an_parameter_info)

/* --- network ----------------------------------------------------------------------- */

static an_status planned_bytes(const an_model *model, uint32_t batch, int training,
                               uint64_t *bytes)
{
    const an_plan *plan = model->net.plan;
    an_layout layout;
    uint32_t t;

    AN_TRY(an__layout_make(&layout, plan, batch, training));
    *bytes = 0;
    for (t = 0; t < plan->towers; t++) *bytes += layout.bytes[t];
    return AN_OK;
}

an_status an_model_describe(const an_model *model, an_model_info *out)
{
    AN_ENTER;
    uint64_t one, two;
    an_model_info info;
    const an_plan *plan;

    AN_TRY(an__model_check(model));
    AN_CHECK(out != NULL, "info is null");
    plan = model->net.plan;
    an_model_info_init(&info, sizeof info);
    info.arch = plan->config.arch;
    info.classes = plan->config.classes;
    info.image_size = plan->config.image_size;
    info.towers = plan->towers;
    info.layers = plan->row.layers;
    info.parameters = plan->param_count;
    info.parameter_count = plan->parameter_count;
    info.multiply_adds = plan->multiply_adds;
    info.units = plan->units;
    info.exchange_floats = plan->exchange_floats;
    AN_TRY(planned_bytes(model, 1, 0, &info.infer_bytes));
    AN_TRY(planned_bytes(model, 1, 1, &one));
    AN_TRY(planned_bytes(model, 2, 1, &two));
    info.train_bytes = one + 2 * plan->parameter_count * sizeof(float);
    info.train_bytes_image = two - one;
    info.exchanged_floats = __atomic_load_n(&model->net.exchanged, __ATOMIC_RELAXED);
    return an__struct_write(out, &info, sizeof info, sizeof info, "info");
}

an_status an_model_get_config(const an_model *model, an_model_config *config)
{
    AN_ENTER;
    AN_TRY(an__model_check(model));
    AN_CHECK(config != NULL, "config is null");
    return an__struct_write(config, &model->net.plan->config, sizeof *config,
                            sizeof *config, "config");
}

an_status an_layer_describe(const an_model *model, uint32_t index, an_layer_info *info)
{
    AN_ENTER;
    AN_TRY(an__model_check(model));
    AN_CHECK(info != NULL, "info is null");
    AN_CHECK(index < model->net.plan->row.layers, "index is %u: the model has %u layers",
             index, model->net.plan->row.layers);
    return an__struct_write(info, &model->net.plan->layers[index], sizeof *info,
                            sizeof *info, "info");
}

/* --- class names ------------------------------------------------------------------- */

an_status an_model_set_class_name(an_model *model, uint32_t index, const char *name)
{
    AN_ENTER;
    AN_TRY(an__model_check(model));
    AN_CHECK(index < model->net.plan->config.classes,
             "index is %u: the model has %u classes", index,
             model->net.plan->config.classes);
    return an__name_copy(&model->net.ctx->memory, &model->class_names[index], name);
}

const char *an_model_class_name(const an_model *model, uint32_t index)
{
    if (model == NULL || index >= model->net.plan->config.classes) return NULL;
    return model->class_names[index];
}

/* --- parameters -------------------------------------------------------------------- */

static an_status param_check(const an_model *model, uint32_t index)
{
    AN_TRY(an__model_check(model));
    AN_CHECK(index < model->net.plan->param_count,
             "index is %u: the model has %u parameters", index,
             model->net.plan->param_count);
    return AN_OK;
}

an_status an_parameter_describe(const an_model *model, uint32_t index,
                                an_parameter_info *out)
{
    AN_ENTER;
    const an_param *param;
    an_parameter_info info;

    AN_TRY(param_check(model, index));
    AN_CHECK(out != NULL, "info is null");
    param = &model->net.plan->params[index];
    an_parameter_info_init(&info, sizeof info);
    memcpy(info.name, param->name, sizeof info.name);
    memcpy(info.layer, model->net.plan->layers[param->layer].name, sizeof info.layer);
    info.is_bias = param->is_bias;
    info.dims = param->dims;
    memcpy(info.shape, param->shape, sizeof info.shape);
    info.count = param->count;
    return an__struct_write(out, &info, sizeof info, sizeof info, "info");
}

an_status an_parameter_find(const an_model *model, const char *name, uint32_t *index)
{
    AN_ENTER;
    const an_plan *plan;
    an_list list;
    uint32_t i;

    AN_TRY(an__model_check(model));
    AN_CHECK(name != NULL, "name is null");
    AN_CHECK(index != NULL, "index is null");
    plan = model->net.plan;
    for (i = 0; i < plan->param_count; i++)
        if (strcmp(plan->params[i].name, name) == 0) {
            *index = i;
            return AN_OK;
        }
    an__list_begin(&list);
    for (i = 0; i < plan->row.layers; i++)
        an__list_add(&list, plan->row.layer[i].file_name);
    return an__fail(AN_ERROR_ARGUMENT,
                    "name is \"%.48s\": the parameters are .weight and .bias of %s", name,
                    list.text);
}

an_status an_parameter_get(const an_model *model, uint32_t index, float *values,
                           size_t count)
{
    AN_ENTER;
    AN_TRY(param_check(model, index));
    AN_CHECK(values != NULL, "values is null");
    AN_CHECK(count == model->net.plan->params[index].count,
             "count is %zu: %s has %zu numbers", count,
             model->net.plan->params[index].name, model->net.plan->params[index].count);
    return an__weights_get(&model->net.weights, &model->net, index, values);
}

an_status an_parameter_set(an_model *model, uint32_t index, const float *values,
                           size_t count)
{
    AN_ENTER;
    an_status status;
    size_t i;

    AN_TRY(param_check(model, index));
    AN_CHECK(values != NULL, "values is null");
    AN_CHECK(count == model->net.plan->params[index].count,
             "count is %zu: %s has %zu numbers", count,
             model->net.plan->params[index].name, model->net.plan->params[index].count);
    for (i = 0; i < count; i++)
        AN_CHECK(isfinite(values[i]), "values[%zu] is not finite", i);
    status = an__weights_set(&model->net.weights, &model->net, index, values);
    an__net_changed(&model->net);
    return status;
}
