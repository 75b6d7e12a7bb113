/*
 * net.c - a plan, its weights and its devices; and the weights prepacked as operations
 * want them.
 */
#include <string.h>

#include "engine/engine.h"

static void prepacked_free(an_net *net)
{
    uint32_t i, algorithm;

    for (i = 0; i < net->plan->op_count; i++)
        for (algorithm = 0; algorithm < AN_CONV_ALGORITHMS; algorithm++)
            an__operand_release(net->backend, net->device[net->plan->ops[i].tower],
                                &net->prepacked[i][algorithm].weights);
}

static void map_weights(an_net *net, float *const *map)
{
    const an_plan *plan = net->plan;
    uint32_t i, t;

    for (i = 0; i < plan->param_count; i++)
        for (t = 0; t < plan->towers; t++)
            if (plan->params[i].part[t] > 0)
                net->weights.part[i][t] = an__operand(
                    map[i], plan->params[i].first[t] * sizeof(float), AN_DTYPE_FP32);
}

/* Whether two towers were asked for on one device, named once, whose products take both
 * halves as groups in one: then it is computed whole. Named twice, they are two there. */
static int is_whole(const an_net *net, const an_model_config *config)
{
    return net->plan->towers == 2 &&
           strchr(config->devices != NULL ? config->devices : "", ',') == NULL &&
           an__plan_fuses_towers(net->backend, net->device[0]);
}

an_status an__net_open(an_net *net, an_context *ctx, const an_model_config *config,
                       float *const *map)
{
    an_plan *plan = net->plan = an__alloc(&ctx->memory, sizeof *plan);
    uint32_t t;

    net->ctx = ctx;
    net->version = 1;
    pthread_mutex_init(&net->prepack_lock, NULL);
    if (plan == NULL) return AN_ERROR_MEMORY;
    AN_TRY(an__plan_make(plan, config));
    AN_TRY(an__context_devices(ctx, config->devices, plan->towers, &net->backend,
                               net->device));
    if (is_whole(net, config)) {
        an_model_config whole = *config;

        whole.towers = 1;
        AN_TRY(an__plan_make(plan, &whole));
    }
    an__plan_fit(plan, net->backend, net->device[0]);
    for (t = 0; t < plan->towers; t++)
        AN_TRY(net->backend->queue_open(&net->queue[t], net->device[t], 0));
    net->mapped = map != NULL;
    if (net->mapped) map_weights(net, map);
    return AN_OK;
}

void an__net_close(an_net *net)
{
    uint32_t t;

    if (net->plan != NULL) {
        prepacked_free(net);
        if (!net->mapped) an__weights_free(&net->weights, net);
    }
    for (t = 0; t < AN_MAX_TOWERS; t++)
        if (net->queue[t] != NULL) net->backend->queue_close(net->queue[t]);
    an__free(&net->ctx->memory, net->plan);
    pthread_mutex_destroy(&net->prepack_lock);
}

/* --- prepacked weights ------------------------------------------------------------- */

void an__net_changed(an_net *net)
{
    __atomic_fetch_add(&net->version, 1, __ATOMIC_RELEASE);
}

/* The algorithm of an operation for such a batch, and the bytes of the weights that are
 * prepacked for it; 0 bytes: the weights serve as they lie. */
static uint32_t algorithm_of(const an_net *net, const an_op *op, uint32_t batch,
                             int training, size_t *bytes)
{
    const an_prepack_table *prepack = net->backend->prepack;
    an_device *device = net->device[op->tower];

    *bytes = 0;
    if (prepack == NULL) return 0;
    if (op->kind == AN_OP_CONV)
        return prepack->conv_algorithm(device, &op->u.conv, batch, bytes);
    if (op->kind == AN_OP_DENSE)
        *bytes = prepack->dense_prepack_bytes(device, &op->u.dense, batch, training);
    return 0;
}

static an_status reserve(an_net *net, uint32_t op, uint32_t batch, int training)
{
    const an_op *o = &net->plan->ops[op];
    size_t bytes;
    uint32_t algorithm = algorithm_of(net, o, batch, training, &bytes);
    an_operand *weights;

    if (algorithm >= AN_CONV_ALGORITHMS || net->backend->algorithms[algorithm] == NULL)
        return an__fail(
            AN_ERROR_BACKEND,
            "the backend \"%.32s\" has no name for the algorithm %u, which its "
            "conv_algorithm() gives",
            net->backend->name, algorithm);
    weights = &net->prepacked[op][algorithm].weights;
    if (bytes == 0 || weights->buffer != NULL) return AN_OK;
    return an__operand_alloc(net->backend, net->device[o->tower], bytes, AN_DTYPE_BYTES,
                             weights);
}

an_status an__net_reserve(an_net *net, uint32_t batch, int training)
{
    an_status status = AN_OK;
    uint32_t i;

    pthread_mutex_lock(&net->prepack_lock);
    for (i = 0; i < net->plan->op_count && status == AN_OK; i++) {
        status = reserve(net, i, batch, training);
        if (status == AN_OK) status = reserve(net, i, 1, training);
    }
    pthread_mutex_unlock(&net->prepack_lock);
    return status;
}

static an_status prepack(const an_net *net, const an_op *op, uint32_t algorithm,
                         an_operand to, an_queue *queue)
{
    const an_prepack_table *table = net->backend->prepack;
    an_operand w = net->weights.part[op->weight][op->tower];

    if (op->kind == AN_OP_CONV)
        return table->conv_prepack(queue, &op->u.conv, algorithm, w, to);
    return table->dense_prepack(queue, &op->u.dense, w, to);
}

an_status an__net_prepack(an_net *net, uint32_t op, uint32_t batch, int training,
                          an_queue *queue, an_operand *out)
{
    an_status status = AN_OK;
    an_prepacked *prepacked;
    uint64_t version;
    uint32_t algorithm;
    size_t bytes;

    *out = an__no_operand();
    algorithm = algorithm_of(net, &net->plan->ops[op], batch, training, &bytes);
    if (bytes == 0) return AN_OK;
    prepacked = &net->prepacked[op][algorithm];
    *out = prepacked->weights;
    version = __atomic_load_n(&net->version, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&prepacked->version, __ATOMIC_ACQUIRE) == version) return AN_OK;
    pthread_mutex_lock(&net->prepack_lock);
    if (prepacked->version != version) { /* else another thread has been here */
        status = prepack(net, &net->plan->ops[op], algorithm, prepacked->weights, queue);
        /* Other queues may read it from now on. */
        if (status == AN_OK) status = net->backend->sync(queue);
    }
    if (status == AN_OK) __atomic_store_n(&prepacked->version, version, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&net->prepack_lock);
    return status;
}

/* Whether the prepacked weights of an operation are bfloat16 in the order of the weights
 * themselves, which an update can write too. */
static int is_bf16_copy(const an_net *net, const an_op *op)
{
    return net->plan->dtype == AN_DTYPE_BF16 &&
           (op->kind == AN_OP_DENSE ||
            (op->kind == AN_OP_CONV && op->u.conv.s2d.side == 0));
}

an_operand an__net_bf16_copy(const an_net *net, uint32_t param, uint32_t tower)
{
    uint32_t i;

    for (i = 0; i < net->plan->op_count; i++) {
        const an_op *op = &net->plan->ops[i];

        if (is_bf16_copy(net, op) && op->weight == param && op->tower == tower)
            return net->prepacked[i][0].weights;
    }
    return an__no_operand();
}

an_status an__net_prepack_again(an_net *net, uint32_t tower, an_queue *queue)
{
    uint32_t i;

    for (i = 0; i < net->plan->op_count; i++) {
        const an_op *op = &net->plan->ops[i];
        an_operand weights = net->prepacked[i][0].weights;

        if (weights.buffer != NULL && op->tower == tower && !is_bf16_copy(net, op))
            AN_TRY(prepack(net, op, 0, weights, queue));
    }
    return AN_OK;
}

void an__net_mark_prepacked(an_net *net)
{
    uint64_t version = __atomic_load_n(&net->version, __ATOMIC_ACQUIRE);
    uint32_t i;

    pthread_mutex_lock(&net->prepack_lock);
    for (i = 0; i < net->plan->op_count; i++)
        __atomic_store_n(&net->prepacked[i][0].version, version, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&net->prepack_lock);
}
