/*
 * exec.c - memory for a plan and a batch: an arena for each tower, in which tensors have
 * their places, and queues.
 */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

/* From the first image of the slice that is worked on. */
an_operand an__exec_value(const an_exec *exec, uint32_t tensor)
{
    const an_tensor *t = &exec->plan->tensors[tensor];

    return an__operand(exec->arena[t->tower],
                       exec->layout.value[tensor] + exec->slice * t->bytes, t->dtype);
}

/* A gradient has the tensors' dtype, that of the logits too. */
an_operand an__exec_gradient(const an_exec *exec, uint32_t tensor)
{
    return an__operand(exec->arena[exec->plan->tensors[tensor].tower],
                       exec->layout.gradient[tensor], exec->plan->dtype);
}

/* --- life -------------------------------------------------------------------------- */

static size_t scratch_bytes(const an_exec *exec, uint32_t tower)
{
    const an_backend *backend = exec->backend;
    an_device *device = exec->device[tower];
    size_t most = 0;
    uint32_t i;

    for (i = 0; i < exec->plan->op_count; i++) {
        const an_op *op = &exec->plan->ops[i];
        size_t bytes = 0;

        if (op->tower != tower) continue;
        if (op->kind == AN_OP_CONV)
            bytes =
                backend->conv_scratch(device, &op->u.conv, exec->batch, exec->training);
        if (op->kind == AN_OP_DENSE)
            bytes =
                backend->dense_scratch(device, &op->u.dense, exec->batch, exec->training);
        if (bytes > most) most = bytes;
    }
    return most;
}

an_status an__exec_open(an_exec *exec, an_net *net, uint32_t batch, int training)
{
    const an_backend *backend = net->backend;
    uint32_t t;

    exec->ctx = net->ctx;
    exec->net = net;
    exec->plan = net->plan;
    exec->backend = backend;
    memcpy(exec->device, net->device, sizeof exec->device);
    exec->batch = batch;
    exec->training = training;
    exec->exchanged = &net->exchanged;
    AN_TRY(an__layout_make(&exec->layout, exec->plan, batch, training));
    for (t = 0; t < exec->plan->towers; t++) {
        an_device *device = exec->device[t];

        AN_TRY(backend->alloc(device, exec->layout.bytes[t], &exec->arena[t]));
        AN_TRY(backend->queue_open(&exec->queue[t], device, scratch_bytes(exec, t)));
        AN_TRY(an__operand_alloc(backend, device, 2, AN_DTYPE_FP32, &exec->faults[t]));
    }
    return an__net_reserve(net, batch, training);
}

void an__exec_close(an_exec *exec)
{
    uint32_t t;

    for (t = 0; t < exec->plan->towers; t++) {
        if (exec->queue[t] != NULL) exec->backend->queue_close(exec->queue[t]);
        if (exec->arena[t] != NULL)
            exec->backend->release(exec->device[t], exec->arena[t]);
        an__operand_release(exec->backend, exec->device[t], &exec->faults[t]);
    }
}

an_status an__exec_sync(an_exec *exec)
{
    uint32_t t;

    for (t = 0; t < exec->plan->towers; t++) AN_TRY(exec->backend->sync(exec->queue[t]));
    return AN_OK;
}

void an__exec_abandon(an_exec *exec)
{
    uint32_t t;

    for (t = 0; t < exec->plan->towers; t++) {
        char message[320];

        snprintf(message, sizeof message, "%.300s", an_error_message());
        if (exec->backend->sync(exec->queue[t]) != AN_OK)
            an__fail(AN_ERROR_DEVICE, "%s", message); /* what was said first stands */
    }
}

/* --- tensors, for the host --------------------------------------------------------- */

an_order an__tensor_order(const an_tensor *tensor, uint32_t batch)
{
    an_order order = {batch,
                      tensor->halves,
                      tensor->maps / tensor->halves,
                      tensor->height * tensor->width,
                      0,
                      tensor->width,
                      tensor->s2d};

    return order;
}

an_status an__exec_get(an_exec *exec, uint32_t tensor, uint32_t image, float *to)
{
    const an_tensor *from = &exec->plan->tensors[tensor];
    an_order order = an__tensor_order(from, exec->batch);

    return exec->backend->get(exec->queue[from->tower], &order, to,
                              an__exec_value(exec, tensor), image * from->count,
                              from->count);
}
