/*
 * run.c - a plan's operations, forward and backward, in order.
 *
 * Only EXCHANGE sees two towers; every other operation works on its own tower's device.
 */
#include <stdio.h>

#include "engine/engine.h"

/* The mask of its maxima that a pooling keeps for its backward pass; none where there is
 * none. */
static an_operand argmax(const an_exec *exec, const an_op *pool)
{
    if (pool->argmax_bytes == 0 || !exec->training) return an__no_operand();
    return an__operand(exec->arena[pool->tower],
                       exec->layout.argmax[pool - exec->plan->ops] +
                           exec->slice * pool->argmax_bytes,
                       AN_DTYPE_BYTES);
}

/* --- exchange ---------------------------------------------------------------------- */

/* Adds to the count of elements that towers have sent each other. */
static an_status send(an_exec *exec, uint32_t to_tower, an_operand to,
                      uint32_t from_tower, an_operand from, const an_copy_shape *s)
{
    if (to_tower != from_tower)
        __atomic_fetch_add(exec->exchanged, (uint64_t)s->count * s->rows,
                           __ATOMIC_RELAXED);
    return exec->backend->copy(exec->queue[to_tower], s, to, exec->queue[from_tower],
                               from);
}

/* The joined tensor holds tower 0's maps, then tower 1's, for each image. */
static an_operand half_of(an_operand joined, const an_tensor *half)
{
    return an__operand_from(joined, half->tower * half->count);
}

static an_status exchange_forward(an_exec *exec, const an_op *op, uint32_t batch)
{
    const uint32_t half[2] = {op->in, op->other};
    int i;

    for (i = 0; i < 2; i++) {
        const an_tensor *from = &exec->plan->tensors[half[i]];
        const an_copy_shape s = {.count = from->count,
                                 .to_pitch = exec->plan->tensors[op->out].count,
                                 .from_pitch = from->count,
                                 .rows = batch};

        AN_TRY(send(exec, op->tower, half_of(an__exec_value(exec, op->out), from),
                    from->tower, an__exec_value(exec, half[i]), &s));
    }
    return AN_OK;
}

/* Each half's gradient is the sum of what the towers that read it send back. `written`:
 * the tensors whose gradient has been begun in this pass. */
static an_status exchange_backward(an_exec *exec, const an_op *op, uint32_t batch,
                                   unsigned char *written)
{
    const uint32_t half[2] = {op->in, op->other};
    int i;

    for (i = 0; i < 2; i++) {
        const an_tensor *to = &exec->plan->tensors[half[i]];
        const an_copy_shape s = {.count = to->count,
                                 .to_pitch = to->count,
                                 .from_pitch = exec->plan->tensors[op->out].count,
                                 .rows = batch,
                                 .accumulate = written[half[i]]};

        AN_TRY(send(exec, to->tower, an__exec_gradient(exec, half[i]), op->tower,
                    half_of(an__exec_gradient(exec, op->out), to), &s));
        written[half[i]] = 1;
    }
    return AN_OK;
}

/* --- dropout ----------------------------------------------------------------------- */

/* Training: 0 or u.dropout.scale; testing: the share that training keeps, if training did
 * not make up for it (paper, 4.2). */
static an_status dropout(an_exec *exec, const an_op *op, uint32_t batch, int training,
                         an_operand x)
{
    const an_backend *backend = exec->backend;
    an_queue *queue = exec->queue[op->tower];
    const an_dropout_shape *s = &op->u.dropout;

    if (training) return backend->dropout(queue, s, batch, x);
    if (s->scale != 1) return AN_OK;
    return backend->scale(queue, (size_t)s->units * batch, 1 - s->rate, x);
}

/* Between the tensors `from` and `to` of one tower, if they are two. */
static an_status copy(an_exec *exec, uint32_t tower, an_operand to, an_operand from,
                      size_t count, uint32_t batch)
{
    const an_copy_shape s = {
        .count = count, .to_pitch = count, .from_pitch = count, .rows = batch};
    an_queue *queue = exec->queue[tower];

    if (to.offset == from.offset) return AN_OK;
    return exec->backend->copy(queue, &s, to, queue, from);
}

/* --- passes ------------------------------------------------------------------------ */

/* The operation `other` that one before it fuses, if it is among those below `end`. */
static const an_op *fused_op(const an_exec *exec, uint32_t other, uint32_t end)
{
    return other != 0 && other < end ? &exec->plan->ops[other] : NULL;
}

static an_status prepack(an_exec *exec, const an_op *op, uint32_t batch, an_operand *out)
{
    return an__net_prepack(exec->net, (uint32_t)(op - exec->plan->ops), batch,
                           exec->training, exec->queue[op->tower], out);
}

an_status an__exec_prepack(an_exec *exec, uint32_t batch)
{
    an_operand prepacked;
    uint32_t i;

    for (i = 0; i < exec->plan->op_count; i++)
        AN_TRY(prepack(exec, &exec->plan->ops[i], batch, &prepacked));
    return AN_OK;
}

/* A convolution, whose weights are prepacked again only when they have changed. */
static an_status conv_forward(an_exec *exec, const an_op *op, const an_weights *w,
                              uint32_t batch, uint32_t end)
{
    an_operand prepacked;
    an_conv_shape s = op->u.conv;

    s.relu = fused_op(exec, op->relu, end) != NULL;
    AN_TRY(prepack(exec, op, batch, &prepacked));
    return exec->backend->conv_forward(
        exec->queue[op->tower], &s, batch, an__exec_value(exec, op->in),
        w->part[op->weight][op->tower], prepacked, w->part[op->bias][op->tower],
        an__exec_value(exec, op->out));
}

static an_status dense_forward(an_exec *exec, const an_op *op, const an_weights *w,
                               uint32_t batch, int training, uint32_t end)
{
    const an_op *dropout = fused_op(exec, op->dropout, end);
    const an_dropout_shape *drop = dropout != NULL ? &dropout->u.dropout : NULL;
    an_operand prepacked;
    an_dense_shape s = op->u.dense;

    s.relu = fused_op(exec, op->relu, end) != NULL;
    if (drop != NULL && !training && drop->scale == 1) s.factor = 1 - drop->rate;
    AN_TRY(prepack(exec, op, batch, &prepacked));
    return exec->backend->dense_forward(
        exec->queue[op->tower], &s, batch, an__exec_value(exec, op->in),
        w->part[op->weight][op->tower], prepacked, w->part[op->bias][op->tower],
        training ? drop : NULL, an__exec_value(exec, op->out));
}

static an_status lrn_forward(an_exec *exec, const an_op *op, uint32_t batch, uint32_t end)
{
    const an_backend *b = exec->backend;
    an_queue *q = exec->queue[op->tower];
    const an_op *pool = fused_op(exec, op->pool, end);

    if (pool == NULL)
        return b->lrn_forward(q, &op->u.lrn, batch, an__exec_value(exec, op->in),
                              an__exec_value(exec, op->out));
    return b->fused->lrn_pool_forward(
        q, &op->u.lrn, &pool->u.pool, batch, an__exec_value(exec, op->in),
        an__exec_value(exec, pool->out), argmax(exec, pool));
}

/* What the operation's kernels are timed under, if they are. */
an_status an__exec_label(const an_exec *exec, const an_op *op, const char *pass)
{
    char text[32];

    if (!exec->traced) return AN_OK;
    snprintf(text, sizeof text, "%s %s", exec->plan->layers[op->layer].name, pass);
    return exec->backend->trace->trace(exec->queue[op->tower], text);
}

an_status an__exec_operation(an_exec *exec, const an_op *op, const an_weights *w,
                             uint32_t batch, int training, uint32_t end)
{
    const an_backend *b = exec->backend;
    an_queue *q = exec->queue[op->tower];
    an_operand x = an__exec_value(exec, op->in), y = an__exec_value(exec, op->out);
    size_t count = exec->plan->tensors[op->out].count;

    if (op->fused_away & AN_FUSED_AWAY_FORWARD) return AN_OK;
    AN_TRY(an__exec_label(exec, op, "forward"));
    switch (op->kind) {
    case AN_OP_CONV: return conv_forward(exec, op, w, batch, end);
    case AN_OP_DENSE: return dense_forward(exec, op, w, batch, training, end);
    case AN_OP_ACTIVATION:
        return b->activation_forward(q, op->u.activation, count * batch, y);
    case AN_OP_LRN: return lrn_forward(exec, op, batch, end);
    case AN_OP_LRN_WITHIN: return b->lrn_within_forward(q, &op->u.lrn, batch, x, y);
    case AN_OP_POOL:
        return b->pool_forward(q, &op->u.pool, batch, x, y, argmax(exec, op));
    case AN_OP_DROPOUT:
        AN_TRY(copy(exec, op->tower, y, x, count, batch));
        return dropout(exec, op, batch, training, y);
    case AN_OP_EXCHANGE: return exchange_forward(exec, op, batch);
    }
    return an__fail(AN_ERROR_INTERNAL, "operation %d", (int)op->kind);
}

static an_status lrn_backward(an_exec *exec, const an_op *op, uint32_t batch)
{
    const an_backend *b = exec->backend;
    an_queue *q = exec->queue[op->tower];
    const an_op *pool = fused_op(exec, op->pool, exec->plan->op_count);

    if (pool == NULL)
        return b->lrn_backward(q, &op->u.lrn, batch, an__exec_value(exec, op->in),
                               an__exec_gradient(exec, op->out),
                               an__exec_gradient(exec, op->in));
    return b->fused->lrn_pool_backward(q, &op->u.lrn, &pool->u.pool, batch,
                                       an__exec_value(exec, op->in), argmax(exec, pool),
                                       an__exec_gradient(exec, pool->out),
                                       an__exec_gradient(exec, op->in));
}

static an_status op_backward(an_exec *exec, const an_op *op, const an_weights *w,
                             const an_weights *g, uint32_t batch, unsigned char *written)
{
    const an_backend *b = exec->backend;
    an_queue *q = exec->queue[op->tower];
    an_operand x = an__exec_value(exec, op->in), y = an__exec_value(exec, op->out);
    an_operand dx = an__exec_gradient(exec, op->in);
    an_operand dy = an__exec_gradient(exec, op->out);
    an_operand weight = w->part[op->weight][op->tower];
    an_operand dw = g->part[op->weight][op->tower], db = g->part[op->bias][op->tower];
    size_t count = exec->plan->tensors[op->out].count;
    int first = op->in == exec->plan->input[op->tower] || op->layer == exec->lowest;
    int learns = !exec->frozen[op->layer];
    an_operand prepacked;

    if (op->fused_away & AN_FUSED_AWAY_BACKWARD) return AN_OK;
    AN_TRY(an__exec_label(exec, op, "backward"));
    switch (op->kind) {
    case AN_OP_CONV:
        /* dx before dw, so that what the other tower waits for is on its way early */
        AN_TRY(prepack(exec, op, batch, &prepacked));
        if (!first) /* else nobody wants it */
            AN_TRY(b->conv_backward_data(q, &op->u.conv, batch, weight, prepacked, dy, x,
                                         dx));
        return !learns ? AN_OK
                       : b->conv_backward_weights(q, &op->u.conv, batch, x, dy, dw, db);
    case AN_OP_DENSE:
        AN_TRY(prepack(exec, op, batch, &prepacked));
        if (!first)
            AN_TRY(b->dense_backward_data(q, &op->u.dense, batch, weight, prepacked, dy,
                                          x, dx));
        if (!learns) return AN_OK;
        return b->dense_backward_weights(q, &op->u.dense, batch, x, dy,
                                         exec->deferred_images ? an__no_operand() : dw,
                                         db);
    case AN_OP_ACTIVATION:
        return b->activation_backward(q, op->u.activation, count * batch, y, dy);
    case AN_OP_LRN: return lrn_backward(exec, op, batch);
    case AN_OP_LRN_WITHIN: return b->lrn_within_backward(q, &op->u.lrn, batch, x, dy, dx);
    case AN_OP_POOL:
        return b->pool_backward(q, &op->u.pool, batch, x, argmax(exec, op), dy, dx);
    case AN_OP_DROPOUT:
        AN_TRY(copy(exec, op->tower, dx, dy, count, batch));
        return dropout(exec, op, batch, 1, dx);
    case AN_OP_EXCHANGE: return exchange_backward(exec, op, batch, written);
    }
    return an__fail(AN_ERROR_INTERNAL, "operation %d", (int)op->kind);
}

/* Profiling: waits for what was given to the queues, and adds the time since `*since` to
 * element `i` of exec->seconds. */
static an_status take_time(an_exec *exec, size_t i, double *since)
{
    double now;

    if (exec->seconds == NULL) return AN_OK;
    AN_TRY(an__exec_sync(exec));
    now = an__seconds();
    exec->seconds[i] += now - *since;
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
            status = an__exec_operation(exec, &exec->plan->ops[op], w, count, training,
                                        exec->plan->op_count);
            if (status == AN_OK) status = take_time(exec, op, since);
        }
    }
    exec->slice = 0;
    return status;
}

/* How many operations from `op` on are done slice by slice: where a slice is computed by
 * the same algorithm as the batch, so that a caller who asks for one layer gets the same
 * bits. */
static uint32_t sliced(const an_exec *exec, uint32_t op, uint32_t batch)
{
    const an_prepack_table *prepack = exec->backend->prepack;
    const an_conv_shape *s = &exec->plan->ops[op].u.conv;
    uint32_t count = an__plan_sliced(exec->plan, op, batch);
    size_t bytes;

    if (count > 0 && prepack != NULL &&
        prepack->conv_algorithm(exec->device[0], s, 1, &bytes) !=
            prepack->conv_algorithm(exec->device[0], s, batch, &bytes))
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
        AN_TRY(an__exec_operation(exec, &exec->plan->ops[i], w, batch, training,
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
        AN_TRY(an__exec_operation(exec, &exec->plan->ops[i], w, batch, 0, end));
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
