/*
 * exec.c - a plan with memory: runs its operations, forward and backward, in order.
 *
 * Only EXCHANGE sees two towers; every other operation works on its own tower's device.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <string.h>
#include <time.h>

#include "internal.h"

static float *value(const an_exec *exec, uint32_t tensor)
{
    uint32_t tower = exec->plan->tensors[tensor].tower;

    return (float *)(void *)((char *)exec->arena[tower] + exec->layout.value[tensor]);
}

static float *gradient(const an_exec *exec, uint32_t tensor)
{
    uint32_t tower = exec->plan->tensors[tensor].tower;

    return (float *)(void *)((char *)exec->arena[tower] + exec->layout.gradient[tensor]);
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

static size_t scratch_bytes(const an_plan *plan, uint32_t tower, const an_slot *slot)
{
    size_t most = 0;
    uint32_t i;

    for (i = 0; i < plan->op_count; i++) {
        const an_op *op = &plan->ops[i];

        if (op->kind == AN_OP_CONV && op->tower == tower) {
            size_t bytes = slot->backend->conv_scratch(slot->device, &op->u.conv);

            if (bytes > most) most = bytes;
        }
    }
    return most;
}

static an_status allocate(an_exec *exec)
{
    const an_plan *plan = exec->plan;
    size_t scores;
    uint32_t t;

    AN_TRY(an__layout_make(&exec->layout, plan, exec->batch, exec->training));
    for (t = 0; t < plan->towers; t++) {
        const an_slot *slot = &exec->slots[t];

        AN_TRY(
            slot->backend->alloc(slot->device, exec->layout.bytes[t], &exec->arena[t]));
        AN_TRY(slot->backend->queue_open(&exec->queue[t], slot->device,
                                         scratch_bytes(plan, t, slot)));
    }
    if (!an__multiply((size_t)exec->batch * sizeof(float), plan->config.classes, &scores))
        return an__fail(AN_ERROR_ARGUMENT, "a batch of %u is too large to address",
                        exec->batch);
    exec->scores = an__alloc(exec->ctx, scores);
    exec->losses = an__alloc(exec->ctx, exec->batch * sizeof *exec->losses);
    return exec->scores != NULL && exec->losses != NULL ? AN_OK : AN_ERROR_MEMORY;
}

an_status an__exec_create(an_exec **out, an_context *ctx, const an_plan *plan,
                          const an_slot slots[AN_MAX_TOWERS], uint32_t batch,
                          int training)
{
    an_exec *exec = an__alloc_zero(ctx, sizeof *exec);
    an_status status;

    if (exec == NULL) return AN_ERROR_MEMORY;
    exec->ctx = ctx;
    exec->plan = plan;
    exec->batch = batch;
    exec->training = training;
    memcpy(exec->slots, slots, sizeof exec->slots);
    status = allocate(exec);
    if (status != AN_OK) {
        an__exec_destroy(exec);
        return status;
    }
    *out = exec;
    return AN_OK;
}

void an__exec_destroy(an_exec *exec)
{
    uint32_t t;

    if (exec == NULL) return;
    for (t = 0; t < exec->plan->towers; t++) {
        const an_slot *slot = &exec->slots[t];

        if (exec->queue[t] != NULL) slot->backend->queue_close(exec->queue[t]);
        if (exec->arena[t] != NULL) slot->backend->release(slot->device, exec->arena[t]);
    }
    an__free(exec->ctx, exec->staging);
    an__free(exec->ctx, exec->scores);
    an__free(exec->ctx, exec->losses);
    an__free(exec->ctx, exec);
}

float *an__exec_staging(an_exec *exec)
{
    const an_plan *plan = exec->plan;

    if (exec->staging == NULL)
        exec->staging = an__alloc(exec->ctx, plan->tensors[plan->input[0]].count *
                                                 exec->batch * sizeof *exec->staging);
    return exec->staging;
}

/* --- exchange ------------------------------------------------------------------------- */

/* The joined tensor holds tower 0's maps, then tower 1's, for each image. */
static an_status exchange_forward(an_exec *exec, const an_op *op, uint32_t batch)
{
    const an_backend *backend = exec->slots[op->tower].backend;
    const uint32_t half[2] = {op->in, op->other};
    size_t joined = exec->plan->tensors[op->out].count;
    int i;

    for (i = 0; i < 2; i++) {
        const an_tensor *from = &exec->plan->tensors[half[i]];
        float *to = value(exec, op->out) + from->tower * from->count;

        AN_TRY(backend->exchange(exec->queue[op->tower], to, joined,
                                 exec->queue[from->tower], value(exec, half[i]),
                                 from->count, from->count, batch, 0));
    }
    return AN_OK;
}

/* Each half's gradient is the sum of what the towers that read it send back. `written`: the
 * tensors whose gradient has been begun in this pass. */
static an_status exchange_backward(an_exec *exec, const an_op *op, uint32_t batch,
                                   unsigned char *written)
{
    const an_backend *backend = exec->slots[op->tower].backend;
    const uint32_t half[2] = {op->in, op->other};
    size_t joined = exec->plan->tensors[op->out].count;
    int i;

    for (i = 0; i < 2; i++) {
        const an_tensor *to = &exec->plan->tensors[half[i]];
        const float *from = gradient(exec, op->out) + to->tower * to->count;

        AN_TRY(backend->exchange(exec->queue[to->tower], gradient(exec, half[i]),
                                 to->count, exec->queue[op->tower], from, joined,
                                 to->count, batch, written[half[i]]));
        written[half[i]] = 1;
    }
    return AN_OK;
}

/* --- dropout -------------------------------------------------------------------------- */

/* Training: 0 or u.dropout.scale; testing: the share that training keeps, if training did
 * not make up for it (paper, 4.2). */
static an_status dropout(an_exec *exec, const an_op *op, uint32_t batch,
                         const an_dropout_state *state, float *x)
{
    const an_backend *backend = exec->slots[op->tower].backend;
    an_queue *queue = exec->queue[op->tower];
    an_dropout_shape s = op->u.dropout;

    if (state != NULL) {
        s.first += state->first * s.total;
        return backend->dropout(queue, &s, batch, state->seed, state->iteration, x);
    }
    if (s.scale != 1) return AN_OK;
    return backend->scale(queue, (size_t)s.units * batch, 1 - s.rate, x);
}

static an_status copy(an_exec *exec, uint32_t tower, float *to, const float *from,
                      size_t count, uint32_t batch)
{
    an_queue *queue = exec->queue[tower];

    if (to == from) return AN_OK;
    return exec->slots[tower].backend->exchange(queue, to, count, queue, from, count,
                                                count, batch, 0);
}

/* --- passes --------------------------------------------------------------------------- */

static an_status op_forward(an_exec *exec, const an_op *op, const an_weights *w,
                            uint32_t batch, const an_dropout_state *state)
{
    const an_backend *b = exec->slots[op->tower].backend;
    an_queue *q = exec->queue[op->tower];
    const float *x = value(exec, op->in);
    float *y = value(exec, op->out);
    size_t count = exec->plan->tensors[op->out].count;

    switch (op->kind) {
    case AN_OP_CONV:
        return b->conv_forward(q, &op->u.conv, batch, x, w->part[op->weight][op->tower],
                               w->part[op->bias][op->tower], y);
    case AN_OP_DENSE:
        return b->dense_forward(q, &op->u.dense, batch, x, w->part[op->weight][op->tower],
                                w->part[op->bias][op->tower], y);
    case AN_OP_ACTIVATION:
        return b->activation_forward(q, op->u.activation, count * batch, y);
    case AN_OP_LRN: return b->lrn_forward(q, &op->u.lrn, batch, x, y);
    case AN_OP_LRN_WITHIN: return b->lrn_within_forward(q, &op->u.lrn, batch, x, y);
    case AN_OP_POOL: return b->pool_forward(q, &op->u.pool, batch, x, y);
    case AN_OP_DROPOUT:
        AN_TRY(copy(exec, op->tower, y, x, count, batch));
        return dropout(exec, op, batch, state, y);
    case AN_OP_EXCHANGE: return exchange_forward(exec, op, batch);
    }
    return an__fail(AN_ERROR_INTERNAL, "operation %d", (int)op->kind);
}

static an_status op_backward(an_exec *exec, const an_op *op, const an_weights *w,
                             const an_weights *g, uint32_t batch,
                             const an_dropout_state *state, unsigned char *written)
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

    switch (op->kind) {
    case AN_OP_CONV:
        if (learns)
            AN_TRY(b->conv_backward_weights(q, &op->u.conv, batch, x, dy, dw, db));
        return first ? AN_OK /* nobody wants dx */
                     : b->conv_backward_data(q, &op->u.conv, batch, weight, dy, dx);
    case AN_OP_DENSE:
        if (learns)
            AN_TRY(b->dense_backward_weights(q, &op->u.dense, batch, x, dy, dw, db));
        return first ? AN_OK
                     : b->dense_backward_data(q, &op->u.dense, batch, weight, dy, dx);
    case AN_OP_ACTIVATION:
        return b->activation_backward(q, op->u.activation, count * batch, y, dy);
    case AN_OP_LRN: return b->lrn_backward(q, &op->u.lrn, batch, x, dy, dx);
    case AN_OP_LRN_WITHIN: return b->lrn_within_backward(q, &op->u.lrn, batch, x, dy, dx);
    case AN_OP_POOL: return b->pool_backward(q, &op->u.pool, batch, x, dy, dx);
    case AN_OP_DROPOUT:
        AN_TRY(copy(exec, op->tower, dx, dy, count, batch));
        return dropout(exec, op, batch, state, dx);
    case AN_OP_EXCHANGE: return exchange_backward(exec, op, batch, written);
    }
    return an__fail(AN_ERROR_INTERNAL, "operation %d", (int)op->kind);
}

static an_status load_images(an_exec *exec, uint32_t batch, const float *images)
{
    uint32_t t;

    for (t = 0; t < exec->plan->towers; t++) {
        uint32_t input = exec->plan->input[t];

        AN_TRY(exec->slots[t].backend->upload(exec->queue[t], value(exec, input), images,
                                              exec->plan->tensors[input].count * batch *
                                                  sizeof *images));
    }
    return AN_OK;
}

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
    uint32_t t;

    if (exec->seconds == NULL) return AN_OK;
    for (t = 0; t < exec->plan->towers; t++)
        AN_TRY(exec->slots[t].backend->sync(exec->queue[t]));
    now = an__seconds();
    exec->seconds[slot] += now - *since;
    *since = now;
    return AN_OK;
}

an_status an__exec_forward(an_exec *exec, const an_weights *w, uint32_t batch,
                           const float *images, const an_dropout_state *dropout_state)
{
    double since = exec->seconds != NULL ? an__seconds() : 0;
    uint32_t i;

    AN_TRY(load_images(exec, batch, images));
    for (i = 0; i < exec->plan->op_count; i++) {
        AN_TRY(op_forward(exec, &exec->plan->ops[i], w, batch, dropout_state));
        AN_TRY(take_time(exec, i, &since));
    }
    return AN_OK;
}

an_status an__exec_forward_to(an_exec *exec, const an_weights *w, uint32_t batch,
                              const float *images, uint32_t end)
{
    uint32_t i;

    AN_TRY(load_images(exec, batch, images));
    for (i = 0; i < end; i++)
        AN_TRY(op_forward(exec, &exec->plan->ops[i], w, batch, NULL));
    return AN_OK;
}

an_status an__exec_backward(an_exec *exec, const an_weights *w, const an_weights *g,
                            uint32_t batch, const an_dropout_state *dropout_state)
{
    double since = exec->seconds != NULL ? an__seconds() : 0;
    unsigned char written[AN_MAX_OPS] = {0};
    uint32_t i;

    for (i = exec->plan->op_count; i-- > 0;) {
        const an_op *op = &exec->plan->ops[i];

        if (op->layer < exec->lowest ||
            (op->layer == exec->lowest && op->kind == AN_OP_EXCHANGE))
            continue; /* below it nothing learns */
        AN_TRY(op_backward(exec, op, w, g, batch, dropout_state, written));
        AN_TRY(take_time(exec, exec->plan->op_count + i, &since));
    }
    return AN_OK;
}

/* --- fault finding -------------------------------------------------------------------- */

const char *an__exec_find_nonfinite(an_exec *exec, const an_weights *w, uint32_t batch,
                                    const float *images,
                                    const an_dropout_state *dropout_state)
{
    const an_plan *plan = exec->plan;
    size_t numbers = plan->tensors[plan->input[0]].count * batch, i;
    int finite = 1;
    uint32_t op;

    for (i = 0; i < numbers; i++)
        if (!isfinite(images[i])) return "input";
    if (load_images(exec, batch, images) != AN_OK) return NULL;
    for (op = 0; op < plan->op_count; op++) {
        const an_op *o = &plan->ops[op];
        const an_backend *b = exec->slots[o->tower].backend;

        if (op_forward(exec, o, w, batch, dropout_state) != AN_OK ||
            b->all_finite(exec->queue[o->tower], plan->tensors[o->out].count * batch,
                          value(exec, o->out), &finite) != AN_OK)
            return NULL;
        if (!finite) return plan->layers[o->layer].name;
    }
    return NULL;
}
