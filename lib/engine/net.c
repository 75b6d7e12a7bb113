/*
 * net.c - a plan, its weights and its devices; and the weights packed as operations want them.
 */
#include <string.h>

#include "engine/engine.h"

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

static void map_weights(an_net *net, float *const *map)
{
    const an_plan *plan = net->plan;
    uint32_t i, t;

    for (i = 0; i < plan->param_count; i++)
        for (t = 0; t < plan->towers; t++)
            if (plan->params[i].part[t] > 0)
                net->weights.part[i][t] = map[i] + plan->params[i].first[t];
}

/* Whether two towers were asked for on one device, named once, whose products take both halves
 * as groups in one: then it is computed whole. Named twice, they are two there. */
static int is_whole(const an_plan *plan, const an_model_config *config,
                    const an_slot *slot)
{
    return plan->towers == 2 && slot->backend->fuses & AN_FUSES_TOWERS &&
           strchr(config->devices, ',') == NULL;
}

an_status an__net_open(an_net *net, an_context *ctx, const an_model_config *config,
                       float *const *map)
{
    an_plan *plan = net->plan = an__alloc(&ctx->memory, sizeof *plan);
    uint32_t t;

    net->ctx = ctx;
    net->version = 1;
    pthread_mutex_init(&net->pack_lock, NULL);
    if (plan == NULL) return AN_ERROR_MEMORY;
    AN_TRY(an__plan_make(plan, config));
    AN_TRY(an__context_devices(ctx, config->devices, plan->towers, net->slots));
    if (is_whole(plan, config, &net->slots[0])) {
        an_model_config whole = *config;

        whole.towers = 1;
        AN_TRY(an__plan_make(plan, &whole));
    }
    an__plan_fit(plan, &net->slots[0]);
    for (t = 0; t < plan->towers; t++)
        AN_TRY(
            net->slots[t].backend->queue_open(&net->queue[t], net->slots[t].device, 0));
    if (map == NULL) return an__weights_alloc(&net->weights, net);
    net->mapped = 1;
    map_weights(net, map);
    return AN_OK;
}

void an__net_close(an_net *net)
{
    uint32_t t;

    if (net->plan != NULL) {
        packs_free(net);
        if (!net->mapped) an__weights_free(&net->weights, net);
    }
    for (t = 0; t < AN_MAX_TOWERS; t++)
        if (net->queue[t] != NULL) net->slots[t].backend->queue_close(net->queue[t]);
    an__free(&net->ctx->memory, net->plan);
    pthread_mutex_destroy(&net->pack_lock);
}

/* --- packed weights ------------------------------------------------------------------ */

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
    *out = pack->memory;
    version = __atomic_load_n(&net->version, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&pack->version, __ATOMIC_ACQUIRE) == version) return AN_OK;
    pthread_mutex_lock(&net->pack_lock);
    if (pack->version != version) { /* else another thread has been here */
        const an_op *o = &net->plan->ops[op];

        status = make_pack(net, o, way, pack->memory, queue);
        /* Other queues may read it from now on. */
        if (status == AN_OK) status = net->slots[o->tower].backend->sync(queue);
    }
    if (status == AN_OK) __atomic_store_n(&pack->version, version, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&net->pack_lock);
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
    for (i = 0; i < net->plan->op_count; i++)
        __atomic_store_n(&net->packs[i][0].version, version, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&net->pack_lock);
}
