/*
 * model.c - a plan with parameters: life, description, parameters by name.
 */
#define _DEFAULT_SOURCE
#include <math.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

/* --- life ----------------------------------------------------------------------------- */

an_status an__model_check_under_way(const an_model *model)
{
    AN_CHECK(model != NULL, "model is null");
    return an__context_check(model->net.ctx);
}

an_status an__model_check(const an_model *model)
{
    AN_TRY(an__model_check_under_way(model));
    if (__atomic_load_n(&model->under_way, __ATOMIC_ACQUIRE) > 0)
        return an__fail(AN_ERROR_STATE, "a step of the model's trainer is under way: end "
                                        "it first");
    return AN_OK;
}

void an__model_retain(an_model *model)
{
    pthread_mutex_lock(&model->lock);
    model->refs++;
    pthread_mutex_unlock(&model->lock);
}

static void packs_free(an_net *net)
{
    uint32_t i, way;

    for (i = 0; i < net->plan->op_count; i++)
        for (way = 0; way < AN_CONV_WAYS; way++) {
            const an_slot *slot = &net->slots[net->plan->ops[i].tower];

            if (net->packs[i][way].memory != NULL)
                slot->backend->release(slot->device, net->packs[i][way].memory);
        }
}

static void model_free(an_model *model)
{
    an_context *ctx = model->net.ctx;
    uint32_t i;

    while (model->idle != NULL) {
        an_exec *exec = model->idle;

        model->idle = exec->next;
        an__exec_destroy(exec);
    }
    if (model->net.plan != NULL) packs_free(&model->net);
    if (model->mapping.base != NULL)
        munmap(model->mapping.base, model->mapping.bytes);
    else if (model->net.plan != NULL)
        an__weights_free(&model->net.weights, &model->net);
    for (i = 0; i < AN_MAX_TOWERS; i++)
        if (model->net.queue[i] != NULL)
            model->net.slots[i].backend->queue_close(model->net.queue[i]);
    if (model->net.plan != NULL)
        an__names_free(ctx, model->class_names, model->net.plan->config.classes);
    an__free(&ctx->memory, model->input.mean_image);
    an__free(&ctx->memory, model->net.plan);
    pthread_mutex_destroy(&model->lock);
    pthread_mutex_destroy(&model->net.pack_lock);
    an__free(&ctx->memory, model);
    an__context_release(ctx);
}

void an__model_release(an_model *model)
{
    /* A forked child is alone, and a lock may be held by a thread that it does not have. */
    int alone = an__context_check(model->net.ctx) != AN_OK;
    uint32_t refs;

    if (!alone) pthread_mutex_lock(&model->lock);
    refs = --model->refs;
    if (!alone) pthread_mutex_unlock(&model->lock);
    if (refs == 0) model_free(model);
}

void an_model_destroy(an_model *model)
{
    if (model != NULL) an__model_release(model);
}

/* Principal axes of the 2012 training set's colours, R, G, B, and its standard deviations
 * along them (the data that ships with cc2: input_meta). */
static const float colours_2012[3] = {121.7801f, 37.0939f, 19.7208f};
static const float axes_2012[3][3] = {{-0.56351f, -0.57618f, -0.59200f},
                                      {-0.71258f, -0.02354f, 0.70120f},
                                      {0.41796f, -0.81698f, 0.39731f}};

/* What the images of a preset are like, for its size of input. */
static void preset_preprocessing(an_model *model)
{
    const an_arch_row *row = &model->net.plan->row;
    an_preprocessing *p = &model->input.p;
    uint32_t margin = row->side - row->image_size;

    an_preprocessing_init(p, sizeof *p);
    p->side = model->net.plan->config.image_size + margin;
    p->bgr = row->bgr;
    p->fit = row->warp ? AN_FIT_WARP : AN_FIT_CROP;
    p->mean_moves = row->warp;
    memcpy(p->mean, row->mean, sizeof p->mean);
    memcpy(p->scale, row->scale, sizeof p->scale);
    memcpy(p->colour_deviation, colours_2012, sizeof colours_2012);
    memcpy(p->colour_axis, axes_2012, sizeof axes_2012);
    model->input.size = model->net.plan->config.image_size;
}

static void map_weights(an_model *model, float *const *map)
{
    const an_plan *plan = model->net.plan;
    uint32_t i, t;

    for (i = 0; i < plan->param_count; i++)
        for (t = 0; t < plan->towers; t++)
            if (plan->params[i].part[t] > 0)
                model->net.weights.part[i][t] = map[i] + plan->params[i].first[t];
}

/* Whether two towers were asked for on one device, named once, whose products take both halves
 * as groups in one: then it is computed whole. Named twice, they are two there. */
static int is_whole(const an_plan *plan, const an_model_config *config,
                    const an_slot *slot)
{
    return plan->towers == 2 && slot->backend->fuses & AN_FUSES_TOWERS &&
           strchr(config->devices, ',') == NULL;
}

static an_status model_fill(an_model *model, const an_model_config *config,
                            float *const *map)
{
    an_context *ctx = model->net.ctx;
    an_plan *plan = model->net.plan = an__alloc(&ctx->memory, sizeof *plan);
    uint32_t t;

    if (plan == NULL) return AN_ERROR_MEMORY;
    AN_TRY(an__plan_make(plan, config));
    AN_TRY(an__context_devices(ctx, config->devices, plan->towers, model->net.slots));
    if (is_whole(plan, config, &model->net.slots[0])) {
        an_model_config whole = *config;

        whole.towers = 1;
        AN_TRY(an__plan_make(plan, &whole));
    }
    an__plan_fit(plan, &model->net.slots[0]);
    for (t = 0; t < plan->towers; t++)
        AN_TRY(model->net.slots[t].backend->queue_open(&model->net.queue[t],
                                                       model->net.slots[t].device, 0));
    model->class_names =
        an__alloc_zero(&ctx->memory, plan->config.classes * sizeof(char *));
    if (model->class_names == NULL) return AN_ERROR_MEMORY;
    preset_preprocessing(model);
    if (map == NULL) return an__weights_alloc(&model->net.weights, &model->net);
    map_weights(model, map);
    return AN_OK;
}

an_status an__model_make(an_model **out, an_context *ctx, const an_model_config *given,
                         float *const *map, const an_mapping *mapping)
{
    an_model_config config;
    an_model *model;
    an_status status;

    AN_TRY(an__context_check(ctx));
    AN_CHECK(out != NULL, "out is null");
    an_model_config_init(&config, sizeof config);
    if (given != NULL)
        AN_TRY(an__struct_read(&config, given, sizeof config, sizeof config, "config"));
    AN_TRY(an__model_config_check(&config));

    model = an__alloc_zero(&ctx->memory, sizeof *model);
    if (model == NULL) return AN_ERROR_MEMORY;
    model->net.ctx = ctx;
    model->refs = 1;
    model->net.version = 1;
    pthread_mutex_init(&model->lock, NULL);
    pthread_mutex_init(&model->net.pack_lock, NULL);
    an__context_retain(ctx);
    status = model_fill(model, &config, map);
    if (status != AN_OK) {
        model_free(model); /* has no mapping yet: that stays the caller's */
        return status;
    }
    if (mapping != NULL) model->mapping = *mapping;
    *out = model;
    return AN_OK;
}

an_status an_model_create(an_model **out, an_context *ctx, const an_model_config *config)
{
    an_model *model;
    an_status status;

    AN_CHECK(out != NULL, "out is null");
    AN_TRY(an__model_make(&model, ctx, config, NULL, NULL));
    status = an__weights_init(&model->net.weights, &model->net);
    if (status != AN_OK) {
        model_free(model);
        return status;
    }
    *out = model;
    return AN_OK;
}

/* --- packed weights ------------------------------------------------------------------------ */

void an__net_changed(an_net *net)
{
    __atomic_fetch_add(&net->version, 1, __ATOMIC_RELEASE);
}

/* How an operation's weights are wanted for such a batch: which of its packs, and the bytes of
 * that; 0 bytes: as they lie. */
static uint32_t way_of(const an_net *net, const an_op *op, uint32_t batch, int training,
                       size_t *bytes)
{
    const an_slot *slot = &net->slots[op->tower];

    *bytes = 0;
    if (op->kind == AN_OP_CONV && slot->backend->conv_way != NULL)
        return slot->backend->conv_way(slot->device, &op->u.conv, batch, bytes);
    if (op->kind == AN_OP_DENSE && slot->backend->dense_way != NULL)
        *bytes = slot->backend->dense_way(slot->device, &op->u.dense, batch, training);
    return 0;
}

static an_status reserve(an_net *net, uint32_t op, uint32_t batch, int training)
{
    const an_slot *slot = &net->slots[net->plan->ops[op].tower];
    size_t bytes;
    uint32_t way = way_of(net, &net->plan->ops[op], batch, training, &bytes);
    void **memory = &net->packs[op][way].memory;

    if (bytes == 0 || *memory != NULL) return AN_OK;
    return slot->backend->alloc(slot->device, bytes, memory);
}

an_status an__net_reserve(an_net *net, uint32_t batch, int training)
{
    an_status status = AN_OK;
    uint32_t i;

    pthread_mutex_lock(&net->pack_lock);
    for (i = 0; i < net->plan->op_count && status == AN_OK; i++) {
        status = reserve(net, i, batch, training);
        if (status == AN_OK) status = reserve(net, i, 1, training);
    }
    pthread_mutex_unlock(&net->pack_lock);
    return status;
}

static an_status make_pack(const an_net *net, const an_op *op, uint32_t way, void *memory,
                           an_queue *queue)
{
    const an_backend *backend = net->slots[op->tower].backend;
    const float *w = net->weights.part[op->weight][op->tower];

    if (op->kind == AN_OP_CONV)
        return backend->conv_pack(queue, &op->u.conv, way, w, memory);
    return backend->dense_pack(queue, &op->u.dense, w, memory);
}

an_status an__net_pack(an_net *net, uint32_t op, uint32_t batch, int training,
                       an_queue *queue, const void **out)
{
    an_status status = AN_OK;
    an_packed *pack;
    uint64_t version;
    uint32_t way;
    size_t bytes;

    *out = NULL;
    way = way_of(net, &net->plan->ops[op], batch, training, &bytes);
    if (bytes == 0) return AN_OK;
    pack = &net->packs[op][way];
    pthread_mutex_lock(&net->pack_lock);
    version = __atomic_load_n(&net->version, __ATOMIC_ACQUIRE);
    if (pack->version != version) {
        const an_op *o = &net->plan->ops[op];

        status = make_pack(net, o, way, pack->memory, queue);
        /* Other queues may read it from now on. */
        if (status == AN_OK) status = net->slots[o->tower].backend->sync(queue);
    }
    if (status == AN_OK) pack->version = version;
    pthread_mutex_unlock(&net->pack_lock);
    *out = pack->memory;
    return status;
}

/* Whether packed weights of an operation are bfloat16 in the order of those that lie, which an
 * update can keep the same. */
static int is_plain(const an_net *net, const an_op *op)
{
    return net->plan->precision == AN_PRECISION_BF16 &&
           (op->kind == AN_OP_DENSE ||
            (op->kind == AN_OP_CONV && op->u.conv.form.side == 0));
}

void *an__net_plain_pack(const an_net *net, uint32_t param, uint32_t tower)
{
    uint32_t i;

    for (i = 0; i < net->plan->op_count; i++) {
        const an_op *op = &net->plan->ops[i];

        if (is_plain(net, op) && op->weight == param && op->tower == tower)
            return net->packs[i][0].memory;
    }
    return NULL;
}

an_status an__net_repack(an_net *net, uint32_t tower, an_queue *queue)
{
    uint32_t i;

    for (i = 0; i < net->plan->op_count; i++) {
        const an_op *op = &net->plan->ops[i];
        void *memory = net->packs[i][0].memory;

        if (memory != NULL && op->tower == tower && !is_plain(net, op))
            AN_TRY(make_pack(net, op, 0, memory, queue));
    }
    return AN_OK;
}

void an__net_repacked(an_net *net)
{
    uint64_t version = __atomic_load_n(&net->version, __ATOMIC_ACQUIRE);
    uint32_t i;

    pthread_mutex_lock(&net->pack_lock);
    for (i = 0; i < net->plan->op_count; i++) net->packs[i][0].version = version;
    pthread_mutex_unlock(&net->pack_lock);
}

/* --- description ---------------------------------------------------------------------- */

static an_status planned_bytes(const an_model *model, uint32_t batch, int training,
                               uint64_t *bytes)
{
    const an_plan *plan = model->net.plan;
    an_layout layout;
    uint32_t t;

    AN_TRY(an__layout_make(&layout, plan, batch, training,
                           model->net.slots[0].backend->fuses & AN_FUSES_SLICES));
    *bytes = 0;
    for (t = 0; t < plan->towers; t++) *bytes += layout.bytes[t];
    return AN_OK;
}

an_status an_model_describe(const an_model *model, an_model_info *out)
{
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
    return an__struct_write(out, &info, sizeof info,
                            offsetof(an_model_info, exchanged_floats), "info");
}

an_status an_model_get_config(const an_model *model, an_model_config *config)
{
    AN_TRY(an__model_check(model));
    AN_CHECK(config != NULL, "config is null");
    return an__struct_write(config, &model->net.plan->config, sizeof *config,
                            sizeof *config, "config");
}

an_status an_layer_describe(const an_model *model, uint32_t index, an_layer_info *info)
{
    AN_TRY(an__model_check(model));
    AN_CHECK(info != NULL, "info is null");
    AN_CHECK(index < model->net.plan->row.layers, "index is %u: the model has %u layers",
             index, model->net.plan->row.layers);
    return an__struct_write(info, &model->net.plan->layers[index], sizeof *info,
                            sizeof *info, "info");
}

/* --- class names ---------------------------------------------------------------------- */

/* Well-formed UTF-8, as RFC 3629 has it: no overlong forms, no surrogates. */
static int utf8_valid(const unsigned char *s)
{
    while (*s != '\0') {
        uint32_t code = *s, more = 0, least;

        s++;
        if (code < 0x80) continue;
        if (code >= 0xc2 && code < 0xe0)
            more = 1, code &= 0x1f;
        else if (code >= 0xe0 && code < 0xf0)
            more = 2, code &= 0x0f;
        else if (code >= 0xf0 && code < 0xf5)
            more = 3, code &= 0x07;
        else
            return 0;
        least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
        for (; more > 0; more--, s++) {
            if ((*s & 0xc0) != 0x80) return 0;
            code = code << 6 | (*s & 0x3f);
        }
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return 0;
    }
    return 1;
}

an_status an__name_copy(an_context *ctx, char **to, const char *name)
{
    char *copy;
    size_t length;

    AN_CHECK(name != NULL, "name is null");
    length = strlen(name);
    AN_CHECK(length <= 255, "name is %zu bytes long: must be at most 255", length);
    AN_CHECK(utf8_valid((const unsigned char *)name), "name is not UTF-8");
    copy = an__alloc(&ctx->memory, length + 1);
    if (copy == NULL) return AN_ERROR_MEMORY;
    memcpy(copy, name, length + 1);
    an__free(&ctx->memory, *to);
    *to = copy;
    return AN_OK;
}

void an__names_free(an_context *ctx, char **names, uint32_t count)
{
    uint32_t i;

    for (i = 0; names != NULL && i < count; i++) an__free(&ctx->memory, names[i]);
    an__free(&ctx->memory, names);
}

an_status an_model_set_class_name(an_model *model, uint32_t index, const char *name)
{
    AN_TRY(an__model_check(model));
    AN_CHECK(index < model->net.plan->config.classes,
             "index is %u: the model has %u classes", index,
             model->net.plan->config.classes);
    return an__name_copy(model->net.ctx, &model->class_names[index], name);
}

const char *an_model_class_name(const an_model *model, uint32_t index)
{
    if (model == NULL || index >= model->net.plan->config.classes) return NULL;
    return model->class_names[index];
}

/* --- parameters ----------------------------------------------------------------------- */

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
    uint32_t i;

    AN_TRY(an__model_check(model));
    AN_CHECK(name != NULL, "name is null");
    AN_CHECK(index != NULL, "index is null");
    for (i = 0; i < model->net.plan->param_count; i++)
        if (strcmp(model->net.plan->params[i].name, name) == 0) {
            *index = i;
            return AN_OK;
        }
    return an__fail(AN_ERROR_ARGUMENT,
                    "name is \"%.60s\": the model has no such parameter", name);
}

an_status an_parameter_get(const an_model *model, uint32_t index, float *values,
                           size_t count)
{
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
