/*
 * outcome.c - what comes out of a session's passes: losses, ranks, and whether all
 * gradients are finite.
 *
 * Losses, ranks and labels are one buffer on tower 0's device. What the host reads of
 * them has a slot for each step in flight, so that a fetch may go on while the last one
 * is read.
 */
#include "engine/engine.h"

an_status an__outcome_open(an_outcome *outcome, const an_exec *exec)
{
    const an_allocator *memory = &exec->ctx->memory;
    const size_t image = sizeof(double) + sizeof(an_rank) + sizeof(int32_t);
    size_t rows = (size_t)exec->batch * AN_MAX_IN_FLIGHT;

    AN_TRY(exec->backend->alloc(exec->device[0], exec->batch * image, &outcome->buffer));
    outcome->device_losses = an__operand(outcome->buffer, 0, AN_DTYPE_BYTES);
    outcome->device_ranks =
        an__operand_from(outcome->device_losses, exec->batch * sizeof(double));
    outcome->labels =
        an__operand_from(outcome->device_ranks, exec->batch * sizeof(an_rank));
    outcome->scores = an__alloc(memory, exec->batch * exec->plan->config.classes *
                                            sizeof *outcome->scores);
    outcome->losses = an__alloc(memory, rows * sizeof *outcome->losses);
    outcome->ranks = an__alloc(memory, rows * sizeof *outcome->ranks);
    return outcome->scores != NULL && outcome->losses != NULL && outcome->ranks != NULL
               ? AN_OK
               : AN_ERROR_MEMORY;
}

void an__outcome_close(an_outcome *outcome, const an_exec *exec)
{
    if (outcome->buffer != NULL) exec->backend->release(exec->device[0], outcome->buffer);
    an__free(&exec->ctx->memory, outcome->scores);
    an__free(&exec->ctx->memory, outcome->losses);
    an__free(&exec->ctx->memory, outcome->ranks);
}

/* --- losses and ranks -------------------------------------------------------------- */

an_status an__session_labels(an_session *session, uint32_t batch, const int32_t *labels)
{
    an_exec *exec = &session->exec;

    return exec->backend->upload(exec->queue[0], session->outcome.labels, labels,
                                 batch * sizeof *labels);
}

an_status an__session_loss(an_session *session, uint32_t batch)
{
    an_exec *exec = &session->exec;
    an_loss_operands o;

    o.logits = an__exec_value(exec, exec->plan->output);
    o.labels = session->outcome.labels;
    o.dx = exec->training ? an__exec_gradient(exec, exec->plan->output) : o.logits;
    o.ranks = session->outcome.device_ranks;
    o.losses = session->outcome.device_losses;
    return exec->backend->softmax_loss(exec->queue[0], exec->plan->config.classes, batch,
                                       &o);
}

an_status an__session_fetch(an_session *session, uint32_t batch, uint32_t slot)
{
    an_exec *exec = &session->exec;
    an_outcome *outcome = &session->outcome;
    size_t first = (size_t)slot * exec->batch;

    AN_TRY(exec->backend->download(exec->queue[0], outcome->losses + first,
                                   outcome->device_losses,
                                   batch * sizeof *outcome->losses));
    return exec->backend->download(exec->queue[0], outcome->ranks + first,
                                   outcome->device_ranks, batch * sizeof *outcome->ranks);
}

an_status an__session_finish(an_session *session, uint32_t batch)
{
    AN_TRY(an__session_fetch(session, batch, 0));
    return an__exec_sync(&session->exec);
}

/* --- faults ------------------------------------------------------------------------ */

an_status an__session_faults_clear(an_session *session)
{
    static const float none[2] = {0, 0};
    an_exec *exec = &session->exec;
    uint32_t t;

    for (t = 0; t < exec->plan->towers; t++)
        AN_TRY(exec->backend->upload(exec->queue[t], exec->faults[t], none, sizeof none));
    return AN_OK;
}

an_status an__session_faults_join(an_session *session)
{
    an_exec *exec = &session->exec;
    uint32_t t, i;

    for (t = 0; t < exec->plan->towers; t++)
        for (i = 0; i < exec->plan->towers; i++) {
            const an_copy_shape s = {.count = 1,
                                     .to_pitch = 1,
                                     .from_pitch = 1,
                                     .rows = 1,
                                     .accumulate = i > 0};

            AN_TRY(exec->backend->copy(exec->queue[t], &s,
                                       an__operand_from(exec->faults[t], 1),
                                       exec->queue[i], exec->faults[i]));
        }
    return AN_OK;
}

an_status an__session_faults_fetch(an_session *session, uint32_t slot)
{
    an_exec *exec = &session->exec;
    float *faults = &session->outcome.faults[slot];

    return exec->backend->download(exec->queue[0], faults,
                                   an__operand_from(exec->faults[0], 1), sizeof *faults);
}
