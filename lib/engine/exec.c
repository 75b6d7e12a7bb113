/*
 * exec.c - memory for a plan and a batch: an arena for each tower, in which tensors have their
 * places, queues, and what the host reads of them.
 *
 * An exec is one caller's at a time.
 */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

/* Of the slice that is being worked on. */
float *an__exec_value(const an_exec *exec, uint32_t tensor)
{
    const an_tensor *t = &exec->plan->tensors[tensor];
    char *first = (char *)exec->arena[t->tower] + exec->layout.value[tensor];

    return (float *)(void *)(first + exec->slice * t->bytes);
}

float *an__exec_gradient(const an_exec *exec, uint32_t tensor)
{
    uint32_t tower = exec->plan->tensors[tensor].tower;

    return (float *)(void *)((char *)exec->arena[tower] + exec->layout.gradient[tensor]);
}

/* --- life ---------------------------------------------------------------------------- */

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
        an__device_release(slot, exec->arena[t]);
        an__device_release(slot, exec->faults[t]);
        for (i = 0; i < AN_MARKS; i++) {
            an__device_release(slot, exec->device_crops[t][i]);
            an__device_release(slot, exec->device_views[t][i]);
        }
        an__device_release(slot, exec->device_mean[t]);
    }
    an__device_release(&exec->slots[0], exec->outcome);
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

/* --- tensors, for the host ----------------------------------------------------------- */

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
                                                 an__exec_value(exec, tensor),
                                                 image * from->count, from->count);
}
