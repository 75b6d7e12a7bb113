/*
 * exec.c - a plan with memory: runs its operations, forward and backward, in order.
 *
 * Only EXCHANGE sees two towers; every other operation works on its own tower's device.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "internal.h"

/* Of the slice that is being worked on. */
static float *value(const an_exec *exec, uint32_t tensor)
{
    const an_tensor *t = &exec->plan->tensors[tensor];
    char *first = (char *)exec->arena[t->tower] + exec->layout.value[tensor];

    return (float *)(void *)(first + exec->slice * t->bytes);
}

static float *gradient(const an_exec *exec, uint32_t tensor)
{
    uint32_t tower = exec->plan->tensors[tensor].tower;

    return (float *)(void *)((char *)exec->arena[tower] + exec->layout.gradient[tensor]);
}

/* What a pooling notes for the way back; null where there is none. */
static void *marks(const an_exec *exec, const an_op *pool)
{
    if (pool->marks == 0 || !exec->training) return NULL;
    return (char *)exec->arena[pool->tower] + exec->layout.marks[pool - exec->plan->ops];
}

float *an__exec_value(const an_exec *exec, uint32_t tensor)
{
    return value(exec, tensor);
}

float *an__exec_gradient(const an_exec *exec, uint32_t tensor)
{
    return gradient(exec, tensor);
}

/* --- life ----------------------------------------------------------------------------- */

static size_t scratch_bytes(const an_plan *plan, uint32_t tower, const an_slot *slot,
                            uint32_t batch, int training)
{
    size_t most = 0;
    uint32_t i;

    for (i = 0; i < plan->op_count; i++) {
        const an_op *op = &plan->ops[i];
        size_t bytes = 0;

        if (op->tower != tower) continue;
        if (op->kind == AN_OP_CONV)
            bytes =
                slot->backend->conv_scratch(slot->device, &op->u.conv, batch, training);
        if (op->kind == AN_OP_DENSE)
            bytes =
                slot->backend->dense_scratch(slot->device, &op->u.dense, batch, training);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* Losses, ranks and labels are one block. */
static an_status allocate_outcome(an_exec *exec)
{
    const an_slot *slot = &exec->slots[0];
    const size_t image = sizeof(double) + sizeof(an_rank) + sizeof(int32_t);
    size_t numbers = (size_t)exec->batch * AN_MARKS;

    AN_TRY(slot->backend->alloc(slot->device, exec->batch * image, &exec->outcome));
    exec->device_losses = exec->outcome;
    exec->device_ranks = (an_rank *)(void *)(exec->device_losses + exec->batch);
    exec->labels = (int32_t *)(void *)(exec->device_ranks + exec->batch);
    exec->scores = an__alloc(&exec->ctx->memory,
                             exec->batch * exec->plan->config.classes * sizeof(float));
    exec->losses = an__alloc(&exec->ctx->memory, numbers * sizeof *exec->losses);
    exec->ranks = an__alloc(&exec->ctx->memory, numbers * sizeof *exec->ranks);
    return exec->scores != NULL && exec->losses != NULL && exec->ranks != NULL
               ? AN_OK
               : AN_ERROR_MEMORY;
}

static an_status allocate(an_exec *exec)
{
    const an_plan *plan = exec->plan;
    void *memory;
    uint32_t t;

    AN_TRY(an__layout_make(&exec->layout, plan, exec->batch, exec->training,
                           exec->slots[0].backend->fuses & AN_FUSES_SLICES));
    for (t = 0; t < plan->towers; t++) {
        const an_slot *slot = &exec->slots[t];

        AN_TRY(
            slot->backend->alloc(slot->device, exec->layout.bytes[t], &exec->arena[t]));
        AN_TRY(slot->backend->queue_open(
            &exec->queue[t], slot->device,
            scratch_bytes(plan, t, slot, exec->batch, exec->training)));
        AN_TRY(slot->backend->alloc(slot->device, 2 * sizeof(float), &memory));
        exec->faults[t] = memory;
    }
    return allocate_outcome(exec);
}

an_status an__exec_create(an_exec **out, an_net *net, uint32_t batch, int training)
{
    an_exec *exec = an__alloc_zero(&net->ctx->memory, sizeof *exec);
    an_status status;

    if (exec == NULL) return AN_ERROR_MEMORY;
    exec->ctx = net->ctx;
    exec->net = net;
    exec->plan = net->plan;
    exec->batch = batch;
    exec->training = training;
    exec->exchanged = &net->exchanged;
    memcpy(exec->slots, net->slots, sizeof exec->slots);
    status = allocate(exec);
    if (status == AN_OK) status = an__net_reserve(net, batch, training);
    if (status != AN_OK) {
        an__exec_destroy(exec);
        return status;
    }
    *out = exec;
    return AN_OK;
}

static void release(const an_slot *slot, void *memory)
{
    if (memory != NULL) slot->backend->release(slot->device, memory);
}

void an__exec_destroy(an_exec *exec)
{
    uint32_t t, i;

    if (exec == NULL) return;
    for (t = 0; t < exec->plan->towers; t++)
        if (exec->queue[t] != NULL) exec->slots[t].backend->sync(exec->queue[t]);
    an__repeat_forget(exec);
    for (t = 0; t < exec->plan->towers; t++) {
        const an_slot *slot = &exec->slots[t];

        if (exec->queue[t] != NULL) slot->backend->queue_close(exec->queue[t]);
        release(slot, exec->arena[t]);
        release(slot, exec->faults[t]);
        for (i = 0; i < AN_MARKS; i++) {
            release(slot, exec->device_crops[t][i]);
            release(slot, exec->device_views[t][i]);
        }
        release(slot, exec->device_mean[t]);
    }
    release(&exec->slots[0], exec->outcome);
    an__free(&exec->ctx->memory, exec->staging);
    an__host_free(exec->ctx, &exec->slots[0], exec->crops);
    an__free(&exec->ctx->memory, exec->scores);
    an__free(&exec->ctx->memory, exec->losses);
    an__free(&exec->ctx->memory, exec->ranks);
    an__free(&exec->ctx->memory, exec);
}

an_status an__exec_sync(an_exec *exec)
{
    uint32_t t;

    for (t = 0; t < exec->plan->towers; t++)
        AN_TRY(exec->slots[t].backend->sync(exec->queue[t]));
    return AN_OK;
}

void an__exec_abandon(an_exec *exec)
{
    uint32_t t;

    for (t = 0; t < exec->plan->towers; t++) {
        char message[320];

        snprintf(message, sizeof message, "%.300s", an_error_message());
        if (exec->slots[t].backend->sync(exec->queue[t]) != AN_OK)
            an__fail(AN_ERROR_DEVICE, "%s", message); /* what was said first stands */
    }
}

/* --- exchange ------------------------------------------------------------------------- */

/* The joined tensor holds tower 0's maps, then tower 1's, for each image. */
static an_status send(an_exec *exec, uint32_t to_tower, float *to, size_t to_pitch,
                      uint32_t from_tower, const float *from, size_t from_pitch,
                      size_t count, uint32_t batch, int add)
{
    if (to_tower != from_tower)
        __atomic_fetch_add(exec->exchanged, (uint64_t)count * batch, __ATOMIC_RELAXED);
    return exec->slots[to_tower].backend->exchange(
        exec->queue[to_tower], to, to_pitch, exec->queue[from_tower], from, from_pitch,
        count, batch, exec->plan->precision, add);
}

/* The tower's half of a joined tensor. */
static float *half_of(const an_exec *exec, float *joined, const an_tensor *half)
{
    size_t bytes = half->count * an__number_bytes(exec->plan->precision);

    return (float *)(void *)((char *)joined + half->tower * bytes);
}

static an_status exchange_forward(an_exec *exec, const an_op *op, uint32_t batch)
{
    const uint32_t half[2] = {op->in, op->other};
    size_t joined = exec->plan->tensors[op->out].count;
    int i;

    for (i = 0; i < 2; i++) {
        const an_tensor *from = &exec->plan->tensors[half[i]];
        float *to = half_of(exec, value(exec, op->out), from);

        AN_TRY(send(exec, op->tower, to, joined, from->tower, value(exec, half[i]),
                    from->count, from->count, batch, 0));
    }
    return AN_OK;
}

/* Each half's gradient is the sum of what the towers that read it send back. `written`: the
 * tensors whose gradient has been begun in this pass. */
static an_status exchange_backward(an_exec *exec, const an_op *op, uint32_t batch,
                                   unsigned char *written)
{
    const uint32_t half[2] = {op->in, op->other};
    size_t joined = exec->plan->tensors[op->out].count;
    int i;

    for (i = 0; i < 2; i++) {
        const an_tensor *to = &exec->plan->tensors[half[i]];
        const float *from = half_of(exec, gradient(exec, op->out), to);

        AN_TRY(send(exec, to->tower, gradient(exec, half[i]), to->count, op->tower, from,
                    joined, to->count, batch, written[half[i]]));
        written[half[i]] = 1;
    }
    return AN_OK;
}

/* --- dropout -------------------------------------------------------------------------- */

/* Training: 0 or u.dropout.scale; testing: the share that training keeps, if training did
 * not make up for it (paper, 4.2). */
static an_status dropout(an_exec *exec, const an_op *op, uint32_t batch, int training,
                         float *x)
{
    const an_backend *backend = exec->slots[op->tower].backend;
    an_queue *queue = exec->queue[op->tower];
    const an_dropout_shape *s = &op->u.dropout;

    if (training) return backend->dropout(queue, s, batch, x);
    if (s->scale != 1) return AN_OK;
    return backend->scale(queue, exec->plan->precision, (size_t)s->units * batch,
                          1 - s->rate, x);
}

static an_status copy(an_exec *exec, uint32_t tower, float *to, const float *from,
                      size_t count, uint32_t batch)
{
    an_queue *queue = exec->queue[tower];

    if (to == from) return AN_OK;
    return exec->slots[tower].backend->exchange(queue, to, count, queue, from, count,
                                                count, batch, exec->plan->precision, 0);
}

/* --- passes --------------------------------------------------------------------------- */

/* An operation that `op` takes along, if it is among those below `end`. */
static const an_op *along(const an_exec *exec, uint32_t other, uint32_t end)
{
    return other != 0 && other < end ? &exec->plan->ops[other] : NULL;
}

static an_status packed(an_exec *exec, const an_op *op, uint32_t batch, const void **pack)
{
    return an__net_pack(exec->net, (uint32_t)(op - exec->plan->ops), batch,
                        exec->training, exec->queue[op->tower], pack);
}

an_status an__exec_pack(an_exec *exec, uint32_t batch)
{
    const void *pack;
    uint32_t i;

    for (i = 0; i < exec->plan->op_count; i++)
        AN_TRY(packed(exec, &exec->plan->ops[i], batch, &pack));
    return AN_OK;
}

/* A convolution, with its weights packed: anew only when they have changed. */
static an_status conv_forward(an_exec *exec, const an_op *op, const an_weights *w,
                              uint32_t batch, uint32_t end)
{
    const void *pack;
    an_conv_shape s = op->u.conv;

    s.relu = along(exec, op->relu, end) != NULL;
    AN_TRY(packed(exec, op, batch, &pack));
    return exec->slots[op->tower].backend->conv_forward(
        exec->queue[op->tower], &s, batch, value(exec, op->in),
        w->part[op->weight][op->tower], pack, w->part[op->bias][op->tower],
        value(exec, op->out));
}

static an_status dense_forward(an_exec *exec, const an_op *op, const an_weights *w,
                               uint32_t batch, int training, uint32_t end)
{
    const an_op *dropout = along(exec, op->dropout, end);
    const an_dropout_shape *drop = dropout != NULL ? &dropout->u.dropout : NULL;
    const void *pack;
    an_dense_shape s = op->u.dense;

    s.relu = along(exec, op->relu, end) != NULL;
    if (drop != NULL && !training && drop->scale == 1) s.factor = 1 - drop->rate;
    AN_TRY(packed(exec, op, batch, &pack));
    return exec->slots[op->tower].backend->dense_forward(
        exec->queue[op->tower], &s, batch, value(exec, op->in),
        w->part[op->weight][op->tower], pack, w->part[op->bias][op->tower],
        training ? drop : NULL, value(exec, op->out));
}

static an_status lrn_forward(an_exec *exec, const an_op *op, uint32_t batch, uint32_t end)
{
    const an_backend *b = exec->slots[op->tower].backend;
    an_queue *q = exec->queue[op->tower];
    const an_op *pool = along(exec, op->pool, end);

    if (pool == NULL)
        return b->lrn_forward(q, &op->u.lrn, batch, value(exec, op->in),
                              value(exec, op->out));
    return b->lrn_pool_forward(q, &op->u.lrn, &pool->u.pool, batch, value(exec, op->in),
                               value(exec, pool->out), marks(exec, pool));
}

/* What the operation's kernels are timed under, if they are. */
an_status an__exec_label(const an_exec *exec, const an_op *op, const char *way)
{
    char text[32];

    if (!exec->traced) return AN_OK;
    snprintf(text, sizeof text, "%s %s", exec->plan->layers[op->layer].name, way);
    return exec->slots[op->tower].backend->trace(exec->queue[op->tower], text);
}

/* end: the operations below it alone are run. */
static an_status op_forward(an_exec *exec, const an_op *op, const an_weights *w,
                            uint32_t batch, int training, uint32_t end)
{
    const an_backend *b = exec->slots[op->tower].backend;
    an_queue *q = exec->queue[op->tower];
    const float *x = value(exec, op->in);
    float *y = value(exec, op->out);
    size_t count = exec->plan->tensors[op->out].count;

    if (op->folded & AN_FOLDED_FORWARD) return AN_OK;
    AN_TRY(an__exec_label(exec, op, "forward"));
    switch (op->kind) {
    case AN_OP_CONV: return conv_forward(exec, op, w, batch, end);
    case AN_OP_DENSE: return dense_forward(exec, op, w, batch, training, end);
    case AN_OP_ACTIVATION:
        return b->activation_forward(q, op->u.activation, exec->plan->precision,
                                     count * batch, y);
    case AN_OP_LRN: return lrn_forward(exec, op, batch, end);
    case AN_OP_LRN_WITHIN: return b->lrn_within_forward(q, &op->u.lrn, batch, x, y);
    case AN_OP_POOL: return b->pool_forward(q, &op->u.pool, batch, x, y, marks(exec, op));
    case AN_OP_DROPOUT:
        AN_TRY(copy(exec, op->tower, y, x, count, batch));
        return dropout(exec, op, batch, training, y);
    case AN_OP_EXCHANGE: return exchange_forward(exec, op, batch);
    }
    return an__fail(AN_ERROR_INTERNAL, "operation %d", (int)op->kind);
}

static an_status lrn_backward(an_exec *exec, const an_op *op, uint32_t batch)
{
    const an_backend *b = exec->slots[op->tower].backend;
    an_queue *q = exec->queue[op->tower];
    const an_op *pool = along(exec, op->pool, exec->plan->op_count);

    if (pool == NULL)
        return b->lrn_backward(q, &op->u.lrn, batch, value(exec, op->in),
                               gradient(exec, op->out), gradient(exec, op->in));
    return b->lrn_pool_backward(q, &op->u.lrn, &pool->u.pool, batch, value(exec, op->in),
                                marks(exec, pool), gradient(exec, pool->out),
                                gradient(exec, op->in));
}

static an_status op_backward(an_exec *exec, const an_op *op, const an_weights *w,
                             const an_weights *g, uint32_t batch, unsigned char *written)
{
    const an_backend *b = exec->slots[op->tower].backend;
    an_queue *q = exec->queue[op->tower];
    const float *x = value(exec, op->in), *y = value(exec, op->out);
    float *dy = gradient(exec, op->out), *dx = gradient(exec, op->in);
    const float *weight = w->part[op->weight][op->tower];
    float *dw = g->part[op->weight][op->tower], *db = g->part[op->bias][op->tower];
    size_t count = exec->plan->tensors[op->out].count;
    int first = op->in == exec->plan->input[op->tower] || op->layer == exec->lowest;
    int learns = !exec->frozen[op->layer];
    const void *pack;

    if (op->folded & AN_FOLDED_BACKWARD) return AN_OK;
    AN_TRY(an__exec_label(exec, op, "backward"));
    switch (op->kind) {
    case AN_OP_CONV:
        /* dx before dw, so that what the other tower waits for is on its way early */
        AN_TRY(packed(exec, op, batch, &pack));
        if (!first) /* else nobody wants it */
            AN_TRY(b->conv_backward_data(q, &op->u.conv, batch, weight, pack, dy, x, dx));
        return !learns ? AN_OK
                       : b->conv_backward_weights(q, &op->u.conv, batch, x, dy, dw, db);
    case AN_OP_DENSE:
        AN_TRY(packed(exec, op, batch, &pack));
        if (!first)
            AN_TRY(
                b->dense_backward_data(q, &op->u.dense, batch, weight, pack, dy, x, dx));
        if (!learns) return AN_OK;
        return b->dense_backward_weights(q, &op->u.dense, batch, x, dy,
                                         exec->held ? NULL : dw, db);
    case AN_OP_ACTIVATION:
        return b->activation_backward(q, op->u.activation, exec->plan->precision,
                                      count * batch, y, dy);
    case AN_OP_LRN: return lrn_backward(exec, op, batch);
    case AN_OP_LRN_WITHIN: return b->lrn_within_backward(q, &op->u.lrn, batch, x, dy, dx);
    case AN_OP_POOL:
        return b->pool_backward(q, &op->u.pool, batch, x, marks(exec, op), dy, dx);
    case AN_OP_DROPOUT:
        AN_TRY(copy(exec, op->tower, dx, dy, count, batch));
        return dropout(exec, op, batch, 1, dx);
    case AN_OP_EXCHANGE: return exchange_backward(exec, op, batch, written);
    }
    return an__fail(AN_ERROR_INTERNAL, "operation %d", (int)op->kind);
}

/* --- tensors, for the host -------------------------------------------------------------- */

an_order an__tensor_order(const an_tensor *tensor, uint32_t batch)
{
    an_order order = {batch,
                      tensor->slabs,
                      tensor->maps / tensor->slabs,
                      tensor->height * tensor->width,
                      0,
                      tensor->precision,
                      tensor->width,
                      tensor->form};

    return order;
}

an_status an__exec_get(an_exec *exec, uint32_t tensor, uint32_t image, float *to)
{
    const an_tensor *from = &exec->plan->tensors[tensor];
    an_order order = an__tensor_order(from, exec->batch);

    return exec->slots[from->tower].backend->get(exec->queue[from->tower], &order, to,
                                                 value(exec, tensor), image * from->count,
                                                 from->count);
}

/* --- passes, continued ------------------------------------------------------------------ */

double an__seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Profiling: waits for what was given to the queues, and adds the time since `*since` to
 * what `slot` of exec->seconds has. */
static an_status take_time(an_exec *exec, size_t slot, double *since)
{
    double now;

    if (exec->seconds == NULL) return AN_OK;
    AN_TRY(an__exec_sync(exec));
    now = an__seconds();
    exec->seconds[slot] += now - *since;
    *since = now;
    return AN_OK;
}

/* Operations [i, end) of a slice after the other. */
static an_status forward_slices(an_exec *exec, uint32_t i, uint32_t end,
                                const an_weights *w, uint32_t batch, int training,
                                double *since)
{
    an_status status = AN_OK;
    uint32_t first, op;

    for (first = 0; first < batch && status == AN_OK; first += AN_SLICE) {
        uint32_t count = batch - first < AN_SLICE ? batch - first : AN_SLICE;

        exec->slice = first;
        for (op = i; op < end && status == AN_OK; op++) {
            status = op_forward(exec, &exec->plan->ops[op], w, count, training,
                                exec->plan->op_count);
            if (status == AN_OK) status = take_time(exec, op, since);
        }
    }
    exec->slice = 0;
    return status;
}

/* How many operations from `op` on are done slice by slice: where a slice is done in the same
 * way as the batch, so that who asks for one layer gets the same numbers. */
static uint32_t sliced(const an_exec *exec, uint32_t op, uint32_t batch)
{
    const an_slot *slot = &exec->slots[0];
    const an_conv_shape *s = &exec->plan->ops[op].u.conv;
    uint32_t count = slot->backend->fuses & AN_FUSES_SLICES
                         ? an__plan_sliced(exec->plan, op, batch)
                         : 0;
    size_t bytes;

    if (count > 0 && slot->backend->conv_way != NULL &&
        slot->backend->conv_way(slot->device, s, 1, &bytes) !=
            slot->backend->conv_way(slot->device, s, batch, &bytes))
        return 0;
    return count;
}

an_status an__exec_forward(an_exec *exec, const an_weights *w, uint32_t batch,
                           int training)
{
    double since = exec->seconds != NULL ? an__seconds() : 0;
    uint32_t i, count;

    for (i = 0; i < exec->plan->op_count; i++) {
        count = sliced(exec, i, batch);
        if (count > 0) {
            AN_TRY(forward_slices(exec, i, i + count, w, batch, training, &since));
            i += count - 1;
            continue;
        }
        AN_TRY(op_forward(exec, &exec->plan->ops[i], w, batch, training,
                          exec->plan->op_count));
        AN_TRY(take_time(exec, i, &since));
    }
    return AN_OK;
}

an_status an__exec_forward_to(an_exec *exec, const an_weights *w, uint32_t batch,
                              uint32_t end)
{
    uint32_t i;

    for (i = 0; i < end; i++)
        AN_TRY(op_forward(exec, &exec->plan->ops[i], w, batch, 0, end));
    return AN_OK;
}

an_status an__exec_backward(an_exec *exec, const an_weights *w, const an_weights *g,
                            uint32_t batch)
{
    double since = exec->seconds != NULL ? an__seconds() : 0;
    unsigned char written[AN_MAX_OPS] = {0};
    uint32_t i;

    for (i = exec->plan->op_count; i-- > 0;) {
        const an_op *op = &exec->plan->ops[i];

        if (op->layer < exec->lowest ||
            (op->layer == exec->lowest && op->kind == AN_OP_EXCHANGE))
            continue; /* below it nothing learns */
        AN_TRY(op_backward(exec, op, w, g, batch, written));
        AN_TRY(take_time(exec, exec->plan->op_count + i, &since));
    }
    return AN_OK;
}

/* --- loss ------------------------------------------------------------------------------ */

an_status an__exec_loss(an_exec *exec, uint32_t batch)
{
    float *logits = value(exec, exec->plan->output);
    float *slope = exec->training ? gradient(exec, exec->plan->output) : logits;
    uint32_t precision = exec->training ? exec->plan->precision : AN_PRECISION_FP32;

    return exec->slots[0].backend->softmax_loss(
        exec->queue[0], exec->plan->config.classes, batch, logits, exec->labels,
        precision, slope, exec->device_ranks, exec->device_losses);
}

/* --- fault finding -------------------------------------------------------------------- */

an_status an__exec_finite(an_exec *exec, uint32_t tower, const an_array *array,
                          int *finite)
{
    const an_backend *backend = exec->slots[tower].backend;
    float faults = 0;

    AN_TRY(
        backend->upload(exec->queue[tower], exec->faults[tower], &faults, sizeof faults));
    AN_TRY(backend->all_finite(exec->queue[tower], array, 1, exec->faults[tower]));
    AN_TRY(backend->download(exec->queue[tower], &faults, exec->faults[tower],
                             sizeof faults));
    AN_TRY(backend->sync(exec->queue[tower]));
    *finite = faults == 0;
    return AN_OK;
}

static an_status tensor_finite(an_exec *exec, uint32_t tensor, uint32_t batch,
                               int *finite)
{
    const an_tensor *t = &exec->plan->tensors[tensor];
    const an_array array = {value(exec, tensor), t->numbers * batch, t->precision};

    return an__exec_finite(exec, t->tower, &array, finite);
}

static an_status find_nonfinite(an_exec *exec, const an_weights *w, uint32_t batch,
                                const an_feed *feed, int training, const char **where)
{
    const an_plan *plan = exec->plan;
    uint32_t op;
    int finite;

    *where = plan->layers[plan->row.layers - 1].name;
    AN_TRY(an__exec_load(exec, batch, feed));
    AN_TRY(tensor_finite(exec, plan->input[0], batch, &finite));
    if (!finite) {
        *where = "input";
        return AN_OK;
    }
    for (op = 0; op < plan->op_count; op++) {
        const an_op *o = &plan->ops[op];

        if (o->folded & AN_FOLDED_FORWARD) continue;
        AN_TRY(op_forward(exec, o, w, batch, training, plan->op_count));
        AN_TRY(tensor_finite(exec, o->pool != 0 ? plan->ops[o->pool].out : o->out, batch,
                             &finite));
        if (!finite) {
            *where = plan->layers[o->layer].name;
            return AN_OK;
        }
    }
    return AN_OK;
}

an_status an__exec_diverged(an_exec *exec, const an_weights *w, uint32_t batch,
                            const an_feed *feed, int training)
{
    const char *where;

    AN_TRY(find_nonfinite(exec, w, batch, feed, training, &where));
    return an__fail(AN_ERROR_DIVERGED, "%s is the first layer whose output is not finite",
                    where);
}
