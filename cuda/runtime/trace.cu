/*
 * trace.cu - how long each kernel of a queue takes, by events around it, and what it
 * computes and moves at least, from which its share of the device's limits follows.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/device.h"

enum { MOST = 512 }; /* launches of a trace; later ones are not timed */

struct an_launch {
    an_traced row;
    cudaEvent_t begin, end;
};

struct an_trace {
    char label[32];
    uint32_t count, events; /* events: pairs that have been made */
    an_launch launch[MOST];
};

void an__cuda_trace_free(an_queue *q)
{
    const an_host *host = q->device->host;

    if (q->trace == NULL) return;
    for (uint32_t i = 0; i < q->trace->events && an__cuda_ours(q->device); i++) {
        cudaEventDestroy(q->trace->launch[i].begin);
        cudaEventDestroy(q->trace->launch[i].end);
    }
    host->release(q->trace, host->user);
    q->trace = NULL;
}

static an_status make_events(an_queue *q, an_launch *l)
{
    AN_CUDA_TRY(
        an__cuda_check(q->device, cudaEventCreateWithFlags(&l->begin, 0), "an event"));
    if (cudaEventCreateWithFlags(&l->end, 0) == cudaSuccess) return AN_OK;
    cudaEventDestroy(l->begin);
    return an__cuda_check(q->device, cudaErrorMemoryAllocation, "an event");
}

an_status an__cuda_trace_begin(an_queue *q, const char *what)
{
    an_trace *t = q->trace;
    an_launch *l;

    if (t->label[0] == '\0' || t->count == MOST) return AN_OK;
    l = &t->launch[t->count];
    if (t->count == t->events) {
        AN_CUDA_TRY(make_events(q, l));
        t->events++;
    }
    memcpy(l->row.label, t->label, sizeof l->row.label);
    l->row.what = what;
    l->row.flops = q->flops;
    l->row.bytes = q->bytes;
    return an__cuda_check(q->device, cudaEventRecord(l->begin, q->stream), "an event");
}

an_status an__cuda_trace_end(an_queue *q)
{
    an_trace *t = q->trace;

    q->flops = q->bytes = 0;
    if (t->label[0] == '\0' || t->count == MOST) return AN_OK;
    return an__cuda_check(
        q->device, cudaEventRecord(t->launch[t->count++].end, q->stream), "an event");
}

an_status an__cuda_trace(an_queue *q, const char *label)
{
    const an_host *host = q->device->host;

    if (q->trace == NULL) {
        if (label == NULL) return AN_OK;
        q->trace = (an_trace *)host->alloc(sizeof *q->trace, host->user);
        if (q->trace == NULL) return AN_ERROR_MEMORY;
        memset(q->trace, 0, sizeof *q->trace);
    }
    q->flops = q->bytes = 0; /* of what was not traced */
    snprintf(q->trace->label, sizeof q->trace->label, "%s", label != NULL ? label : "");
    return AN_OK;
}

an_status an__cuda_read_trace(an_queue *q, an_traced *rows, uint32_t most,
                              uint32_t *count)
{
    an_use use(q->device);
    an_trace *t = q->trace;

    *count = 0;
    if (t == NULL) return AN_OK;
    AN_CUDA_TRY(an__cuda_sync(q));
    for (; *count < t->count && *count < most; (*count)++) {
        an_launch *l = &t->launch[*count];
        float milliseconds = 0;

        AN_CUDA_TRY(an__cuda_check(q->device,
                                   cudaEventElapsedTime(&milliseconds, l->begin, l->end),
                                   "an event's time"));
        rows[*count] = l->row;
        rows[*count].seconds = 1e-3 * (double)milliseconds;
    }
    t->count = 0;
    return AN_OK;
}
