/*
 * record.c - what a pass or step does again and again: recorded, where the backend can, when it
 * comes a second time. (The first may have memory to make.)
 */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

static void forget(an_exec *exec, an_repeated *r)
{
    if (r->recording != NULL) exec->slots[0].backend->recording_free(r->recording);
    memset(r, 0, sizeof *r);
}

void an__repeat_forget(an_exec *exec)
{
    int i;

    for (i = 0; i < AN_REPEATS; i++) forget(exec, &exec->repeated[i]);
}

static const char *const names[AN_REPEATS] = {"a pass that classifies",
                                              "a pass that evaluates", "a training step"};

/* Records, and says to the log, the first time, what came of it: a body that cannot be recorded
 * is done as it comes, which is right but slower. Nothing is done meanwhile: what would be counted as sent is
 * so at each replay. */
static void record(an_exec *exec, an_repeat what, an_body *body, void *arg)
{
    const an_backend *backend = exec->slots[0].backend;
    an_repeated *r = &exec->repeated[what];
    uint32_t towers = exec->plan->towers;
    uint64_t *exchanged = exec->exchanged;
    an_status status, ended;
    char why[256] = "";

    status = backend->record(exec->queue, towers);
    if (status == AN_OK) {
        r->exchanged = 0;
        exec->exchanged = &r->exchanged;
        status = body(arg, r->count);
        exec->exchanged = exchanged;
        /* What spoils a recording is told before what its end says of it. */
        if (status != AN_OK) snprintf(why, sizeof why, "%s", an_error_message());
        ended = backend->recorded(exec->queue, towers, &r->recording);
        if (status == AN_OK) status = ended;
    }
    if (status == AN_OK && !(exec->told & 1u << what))
        an__log(&exec->ctx->memory, AN_LOG_INFO, "%s of %u images is recorded",
                names[what], r->count);
    if (status != AN_OK && !(exec->told & 16u << what))
        an__log(&exec->ctx->memory, AN_LOG_WARNING,
                "%s of %u images is not recorded, which makes it slower: %s", names[what],
                r->count, why[0] != '\0' ? why : an_error_message());
    exec->told |= (status == AN_OK ? 1u : 16u) << what;
    if (status == AN_OK) return;
    if (r->recording != NULL) backend->recording_free(r->recording);
    r->recording = NULL;
    r->refused = 1;
}

an_status an__repeat(an_exec *exec, an_repeat what, uint32_t count, an_body *body,
                     void *arg)
{
    const an_backend *backend = exec->slots[0].backend;
    an_repeated *r = &exec->repeated[what];

    if (backend->record == NULL) return body(arg, count);
    AN_TRY(an__exec_pack(exec, count)); /* not within a recording */
    if (r->count != count) {
        /* More images than before may have a queue make its buffers anew. */
        if (count > exec->most) an__repeat_forget(exec);
        if (count > exec->most) exec->most = count;
        forget(exec, r);
        AN_TRY(body(arg, count));
        r->count = count;
        return AN_OK;
    }
    if (r->recording == NULL && !r->refused) record(exec, what, body, arg);
    if (r->recording == NULL) return body(arg, count);
    AN_TRY(backend->replay(r->recording));
    __atomic_fetch_add(exec->exchanged, r->exchanged, __ATOMIC_RELAXED);
    return AN_OK;
}
