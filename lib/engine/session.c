/*
 * session.c - a session's life. Its parts are in exec.c, input.c, outcome.c and record.c.
 */
#include "engine/engine.h"

an_status an__session_create(an_session **out, an_net *net, uint32_t batch, int training)
{
    an_session *session = an__alloc_zero(&net->ctx->memory, sizeof *session);
    an_status status;

    if (session == NULL) return AN_ERROR_MEMORY;
    status = an__exec_open(&session->exec, net, batch, training);
    if (status == AN_OK) status = an__outcome_open(&session->outcome, &session->exec);
    if (status != AN_OK) {
        an__session_destroy(session);
        return status;
    }
    *out = session;
    return AN_OK;
}

void an__session_destroy(an_session *session)
{
    an_exec *exec;
    uint32_t t;

    if (session == NULL) return;
    exec = &session->exec;
    for (t = 0; t < exec->plan->towers; t++)
        if (exec->queue[t] != NULL) exec->backend->sync(exec->queue[t]);
    an__session_forget(session);
    an__exec_close(exec); /* first: a queue may still write to what the others have */
    an__staging_close(&session->staging, exec);
    an__outcome_close(&session->outcome, exec);
    an__free(&exec->ctx->memory, session);
}
