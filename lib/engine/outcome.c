/*
 * outcome.c - labels in, losses and ranks out.
 */
#include "engine/engine.h"

an_status an__exec_labels(an_exec *exec, uint32_t batch, const int32_t *labels)
{
    return exec->slots[0].backend->upload(exec->queue[0], exec->labels, labels,
                                          batch * sizeof *labels);
}

an_status an__exec_loss(an_exec *exec, uint32_t batch)
{
    float *logits = an__exec_value(exec, exec->plan->output);
    float *slope = exec->training ? an__exec_gradient(exec, exec->plan->output) : logits;
    uint32_t precision = exec->training ? exec->plan->precision : AN_PRECISION_FP32;

    return exec->slots[0].backend->softmax_loss(
        exec->queue[0], exec->plan->config.classes, batch, logits, exec->labels,
        precision, slope, exec->device_ranks, exec->device_losses);
}

an_status an__exec_outcome_begin(an_exec *exec, uint32_t batch, uint32_t place)
{
    const an_backend *backend = exec->slots[0].backend;
    an_queue *queue = exec->queue[0];
    size_t first = (size_t)place * exec->batch;

    AN_TRY(backend->download(queue, exec->losses + first, exec->device_losses,
                             batch * sizeof *exec->losses));
    return backend->download(queue, exec->ranks + first, exec->device_ranks,
                             batch * sizeof *exec->ranks);
}

an_status an__exec_outcome(an_exec *exec, uint32_t batch)
{
    AN_TRY(an__exec_outcome_begin(exec, batch, 0));
    return an__exec_sync(exec);
}
