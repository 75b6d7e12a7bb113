/*
 * in_flight.c - steps in flight: a step that has begun and not ended, while the host
 * prepares the next one.
 *
 * Where a device does the work beside the host, up to AN_MAX_IN_FLIGHT steps are in
 * flight at once (asynchronous); elsewhere a step is done when it begins, and is told of
 * when it ends. Steps begin and end in order. model->in_flight counts them;
 * trainer->flight is the ring they stand in.
 */
#include <string.h>

#include "train/train.h"

static uint32_t in_flight(const an_trainer *trainer)
{
    return __atomic_load_n(&trainer->model->in_flight, __ATOMIC_ACQUIRE);
}

/* Whether the device can be given this step beside another. */
static int can_be_async(const an_trainer *trainer, const an_step_request *request)
{
    const an_exec *exec = &trainer->session->exec;

    return exec->backend->async != NULL && request->in.crops != NULL &&
           request->count <= exec->batch;
}

/* 1 if the oldest step in flight was done when it began, and is counted; no other can
 * be. */
static uint32_t is_done(const an_trainer *trainer)
{
    return in_flight(trainer) > 0 && !trainer->flight[trainer->oldest].async;
}

static an_status begin_async(an_trainer *trainer, an_step_request *request)
{
    an_session *session = trainer->session;
    an_exec *exec = &session->exec;
    const uint32_t count = request->count, slot = request->in.slot;

    an__step_freeze(trainer);
    exec->deferred_images = exec->plan->defers ? count : 0;
    /* When a step diverges and its end has not been seen, its faults stay for those
     * behind it. */
    if (in_flight(trainer) == 0) AN_TRY(an__session_faults_clear(session));
    AN_TRY(an__session_upload(session, count, &request->in));
    AN_TRY(an__session_load(session, count, &request->in));
    AN_TRY(an__session_labels(session, count, request->labels));
    AN_TRY(an__step_begin(trainer, 0, in_flight(trainer) - is_done(trainer)));
    AN_TRY(an__step_run(trainer, count));
    AN_TRY(an__session_faults_fetch(session, slot));
    AN_TRY(an__session_fetch(session, count, slot));
    return exec->backend->async->fence(exec->queue[0], slot);
}

/* A step that is done when it begins. */
static an_status begin_done(an_trainer *trainer, an_step_request *request,
                            an_step_stats *stats)
{
    if (in_flight(trainer) > 0)
        return an__fail(AN_ERROR_STATE, "a batch of floats, or a large one, is no step "
                                        "beside another: end that first");
    request->in.slot = 0;
    AN_TRY(an__step_stats_read(stats, NULL));
    return an__step_whole(trainer, request, stats);
}

an_status an_train_step_begin(an_trainer *trainer, const an_batch *batch)
{
    AN_ENTER;
    an_flight *flight;
    an_step_request request;
    an_status status;

    AN_TRY(an__trainer_check_alive(trainer));
    if (in_flight(trainer) == AN_MAX_IN_FLIGHT)
        return an__fail(AN_ERROR_STATE, "%u steps are in flight: end one first",
                        AN_MAX_IN_FLIGHT);
    AN_TRY(an__step_request_batch(trainer, batch, &request));
    request.in.slot = (trainer->oldest + in_flight(trainer)) % AN_MAX_IN_FLIGHT;
    flight = &trainer->flight[request.in.slot];
    memset(flight, 0, sizeof *flight);
    flight->async = can_be_async(trainer, &request);
    flight->count = request.count;
    trainer->has_gradient = 0;
    if (flight->async) {
        status = begin_async(trainer, &request);
        an__step_weights_changed(trainer, status == AN_OK);
        if (status != AN_OK) an__exec_abandon(&trainer->session->exec);
    } else {
        status = begin_done(trainer, &request, &flight->stats);
    }
    AN_TRY(status);
    flight->in = request.in;
    flight->in.crops = NULL; /* the host's may go: they are on the device */
    flight->in.views = NULL;
    __atomic_fetch_add(&trainer->model->in_flight, 1, __ATOMIC_RELEASE);
    return AN_OK;
}

/* The step has left the ring. */
static an_status end_async(an_trainer *trainer, const an_flight *flight,
                           an_step_stats *stats)
{
    an_session *session = trainer->session;
    an_exec *exec = &session->exec;
    const uint32_t slot = flight->in.slot;

    AN_TRY(exec->backend->async->wait_fence(exec->queue[0], slot));
    /* The other tower may be at its update yet, and the host may ask for weights now. */
    if (in_flight(trainer) == 0) AN_TRY(an__exec_sync(exec));
    if (flight->given_up)
        return an__fail(AN_ERROR_STATE,
                        "the step was given up: the one before it diverged");
    AN_TRY(an__step_count(trainer, &flight->in, flight->count, flight->count, stats));
    if (session->outcome.faults[slot] == 0) return AN_OK;
    if (in_flight(trainer) == 0) return an__gradient_fault(trainer);
    return an__fail(AN_ERROR_DIVERGED, "a gradient is not finite (which one, can be told "
                                       "of a step that none has begun behind)");
}

an_status an_train_step_end(an_trainer *trainer, an_step_stats *out)
{
    AN_ENTER;
    an_step_stats stats;
    an_flight *flight;
    an_status status;

    AN_TRY(an__trainer_check_alive(trainer));
    if (in_flight(trainer) == 0) return an__fail(AN_ERROR_STATE, "no step is in flight");
    AN_TRY(an__step_stats_read(&stats, out));
    flight = &trainer->flight[trainer->oldest];
    trainer->oldest = (trainer->oldest + 1) % AN_MAX_IN_FLIGHT;
    __atomic_fetch_sub(&trainer->model->in_flight, 1, __ATOMIC_RELEASE);
    if (!flight->async && out == NULL) return AN_OK;
    if (!flight->async)
        return an__struct_write(out, &flight->stats, sizeof flight->stats,
                                sizeof flight->stats, "stats");
    status = end_async(trainer, flight, &stats);
    if (status != AN_OK) {
        if (in_flight(trainer) > 0) trainer->flight[trainer->oldest].given_up = 1;
        an__exec_abandon(&trainer->session->exec);
        return status;
    }
    trainer->has_gradient = in_flight(trainer) == 0;
    return an__step_succeed(trainer, &stats, out);
}

/* A step that is done when it begins counts when it has ended. */
uint64_t an_trainer_iteration(const an_trainer *trainer)
{
    return trainer != NULL ? trainer->at.iteration - is_done(trainer) : 0;
}
