/*
 * record.c - what a pass or step does again and again: recorded, where the backend can,
 * when it comes a second time. (The first may have memory to make.)
 */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

static void forget(an_session *session, an_repeated *r)
{
    if (r->recording != NULL) session->exec.backend->graph->recording_free(r->recording);
    memset(r, 0, sizeof *r);
}

void an__session_forget(an_session *session)
{
    int i;

    for (i = 0; i < AN_REPEATS; i++) forget(session, &session->recordings.repeated[i]);
}

static const char *const names[AN_REPEATS] = {"a pass that classifies",
                                              "a pass that evaluates", "a training step"};

/* Tells the log, once for each outcome, what came of recording. */
static void tell(an_session *session, an_repeat what, an_status status, const char *why)
{
    const an_allocator *log = &session->exec.ctx->memory;
    an_recordings *recordings = &session->recordings;
    uint32_t count = recordings->repeated[what].count;
    uint32_t bit = (status == AN_OK ? 1u : 16u) << what;

    if (recordings->told & bit) return;
    recordings->told |= bit;
    if (status == AN_OK)
        an__log(log, AN_LOG_INFO, "%s of %u images is recorded", names[what], count);
    else
        an__log(log, AN_LOG_WARNING,
                "%s of %u images is not recorded, which makes it slower: %s", names[what],
                count, why);
}

/* A body that cannot be recorded is done as it comes, which is right but slower. Nothing
 * is computed meanwhile: what the body would count as exchanged is counted at each
 * replay. */
static void record(an_session *session, an_repeat what, an_body *body, void *arg)
{
    an_exec *exec = &session->exec;
    const an_graph_table *graph = exec->backend->graph;
    an_repeated *r = &session->recordings.repeated[what];
    uint64_t *exchanged = exec->exchanged;
    an_status status, ended;
    char why[256] = "";

    status = graph->record(exec->queue, exec->plan->towers);
    if (status == AN_OK) {
        r->exchanged = 0;
        exec->exchanged = &r->exchanged;
        status = body(arg, r->count);
        exec->exchanged = exchanged;
        /* What spoils a recording is told before what its end says of it. */
        if (status != AN_OK) snprintf(why, sizeof why, "%s", an_error_message());
        ended = graph->recorded(exec->queue, exec->plan->towers, &r->recording);
        if (status == AN_OK) status = ended;
    }
    tell(session, what, status, why[0] != '\0' ? why : an_error_message());
    if (status == AN_OK) return;
    if (r->recording != NULL) graph->recording_free(r->recording);
    r->recording = NULL;
    r->refused = 1;
}

an_status an__session_repeat(an_session *session, an_repeat what, uint32_t count,
                             an_body *body, void *arg)
{
    an_exec *exec = &session->exec;
    an_recordings *recordings = &session->recordings;
    an_repeated *r = &recordings->repeated[what];

    if (exec->backend->graph == NULL) return body(arg, count);
    AN_TRY(an__exec_prepack(exec, count)); /* not within a recording */
    if (r->count != count) {
        /* More images than before may have a queue make its buffers anew. */
        if (count > recordings->most) {
            an__session_forget(session);
            recordings->most = count;
        }
        forget(session, r);
        AN_TRY(body(arg, count));
        r->count = count;
        return AN_OK;
    }
    if (r->recording == NULL && !r->refused) record(session, what, body, arg);
    if (r->recording == NULL) return body(arg, count);
    AN_TRY(exec->backend->graph->replay(r->recording));
    __atomic_fetch_add(exec->exchanged, r->exchanged, __ATOMIC_RELAXED);
    return AN_OK;
}
