/*
 * exchange.cu - what towers send each other, and steps that are recorded to be repeated.
 *
 * What comes from another queue is copied to the receive buffer of the queue that gets
 * it, by the copy stream of the latter, as soon as it is ready: directly between peers,
 * through pinned memory otherwise. Both queues go on meanwhile. complete_receive() then
 * waits for the arrival and brings it to its place; and the queue whose memory was copied
 * ("lent") waits, at its own next complete_receive(), until that has been read.
 */
#include "runtime/device.h"
#include "runtime/element.h"

/* --- on one device ----------------------------------------------------------------- */

struct copying {
    an_copy_shape s;
    void *to;
    const void *from;
};

template <class T> static __global__ void copy_kernel(copying c)
{
    const an_copy_shape &s = c.s;

    for (AN_CUDA_EACH(i, s.rows * s.count)) {
        size_t row = i / s.count, at = i - row * s.count;
        float value = get_element((const T *)c.from + row * s.from_pitch + at);
        T *to = (T *)c.to + row * s.to_pitch + at;

        put_element(to, s.accumulate ? get_element(to) + value : value);
    }
}

static an_status copy_here(an_queue *q, const copying &c, uint32_t dtype)
{
    size_t count = c.s.rows * c.s.count,
           blocks = (count + AN_CUDA_THREADS - 1) / AN_CUDA_THREADS;

    an__cuda_cost(q, 0, dtype, (c.s.accumulate ? 3.0 : 2.0) * (double)count, 0);
    return an__cuda_launch(q, AN_CUDA_BY_DTYPE(dtype, copy_kernel),
                           dim3((unsigned)(blocks < 4096 ? blocks : 4096)),
                           dim3(AN_CUDA_THREADS), 0, c, "an exchange");
}

/* --- between queues ---------------------------------------------------------------- */

static an_status record(an_queue *q, cudaEvent_t event, cudaStream_t stream)
{
    return an__cuda_check(q->device, cudaEventRecord(event, stream), "an event");
}

static an_status wait(an_queue *q, cudaStream_t stream, cudaEvent_t event)
{
    return an__cuda_check(q->device, cudaStreamWaitEvent(stream, event, 0), "an event");
}

an_status an__cuda_complete_receive(an_queue *q)
{
    AN_CUDA_TRY(an__cuda_alive(q->device));
    if (q->arrival.pending) {
        const double flops = q->flops,
                     bytes = q->bytes; /* of the operation that follows */
        copying c = {q->arrival.shape, q->arrival.to, q->receive_buffer};

        c.s.from_pitch = c.s.count;
        AN_CUDA_TRY(wait(q, q->stream, q->arrived));
        AN_CUDA_TRY(copy_here(q, c, q->arrival.dtype));
        q->flops = flops;
        q->bytes = bytes;
        AN_CUDA_TRY(record(q, q->landed, q->stream));
        q->arrival.pending = false;
    }
    if (q->lending) {
        AN_CUDA_TRY(wait(q, q->stream, q->lent));
        q->lending = false;
    }
    return AN_OK;
}

an_status an__cuda_early(an_queue *q, const void *from)
{
    q->early_from = from;
    return record(q, q->early, q->stream);
}

/* Makes the buffers as large as this; what was in them has been read. */
static an_status receive_room(an_queue *q, size_t bytes, bool bounces)
{
    void *memory = NULL;

    if (q->receive_bytes < bytes) {
        AN_CUDA_TRY(an__cuda_alloc(q->device, bytes, &memory));
        cudaStreamSynchronize(q->stream);
        cudaFree(q->receive_buffer);
        q->receive_buffer = memory;
        q->receive_bytes = bytes;
    }
    if (bounces && q->bounce_bytes < bytes) {
        AN_CUDA_TRY(
            an__cuda_check(q->device, cudaMallocHost(&memory, bytes), "pinned memory"));
        cudaStreamSynchronize(q->copy);
        cudaFreeHost(q->bounce);
        q->bounce = memory;
        q->bounce_bytes = bytes;
    }
    return AN_OK;
}

static an_status copy_rows(an_queue *q, void *to, size_t to_pitch, const void *from,
                           size_t from_pitch, size_t width, size_t rows,
                           cudaMemcpyKind kind, cudaStream_t stream)
{
    return an__cuda_check(
        q->device,
        cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, rows, kind, stream),
        "an exchange");
}

/* From `from_queue`'s device to the pinned buffer of the other queue. */
static an_status to_bounce(an_queue *to_queue, an_queue *from_queue, cudaEvent_t ready,
                           const void *from, size_t from_pitch, size_t width, size_t rows)
{
    an_use use(from_queue->device);

    AN_CUDA_TRY(wait(from_queue, from_queue->copy, ready));
    /* The buffer is free when what was in it has been copied on. */
    AN_CUDA_TRY(wait(from_queue, from_queue->copy, to_queue->arrived));
    AN_CUDA_TRY(copy_rows(from_queue, to_queue->bounce, width, from, from_pitch, width,
                          rows, cudaMemcpyDeviceToHost, from_queue->copy));
    return record(from_queue, from_queue->bounced, from_queue->copy);
}

/* Rows of `width` bytes. */
static an_status send(an_queue *to_queue, an_queue *from_queue, const void *from,
                      size_t from_pitch, size_t width, uint32_t rows)
{
    bool same = to_queue->device == from_queue->device;
    bool direct = same || an__cuda_peers(to_queue->device, from_queue->device);
    bool early = from_queue->early_from == from;
    cudaEvent_t ready = early ? from_queue->early : from_queue->ready;

    AN_CUDA_TRY(receive_room(to_queue, width * rows, !direct));
    if (!early) {
        an_use use(from_queue->device);

        AN_CUDA_TRY(record(from_queue, ready, from_queue->stream));
    }
    /* The buffer is free when what was received last has been brought to its place. */
    AN_CUDA_TRY(wait(to_queue, to_queue->copy, to_queue->landed));
    if (direct) {
        AN_CUDA_TRY(wait(to_queue, to_queue->copy, ready));
        AN_CUDA_TRY(copy_rows(
            to_queue, to_queue->receive_buffer, width, from, from_pitch, width, rows,
            same ? cudaMemcpyDeviceToDevice : cudaMemcpyDefault, to_queue->copy));
    } else {
        AN_CUDA_TRY(
            to_bounce(to_queue, from_queue, ready, from, from_pitch, width, rows));
        AN_CUDA_TRY(wait(to_queue, to_queue->copy, from_queue->bounced));
        AN_CUDA_TRY(copy_rows(to_queue, to_queue->receive_buffer, width, to_queue->bounce,
                              width, width, rows, cudaMemcpyHostToDevice,
                              to_queue->copy));
    }
    return record(to_queue, to_queue->arrived, to_queue->copy);
}

/* Whether a copy within the queue touches neither what it is about to receive nor what it
 * lends. */
static bool apart(const an_queue *q, const void *from, size_t from_bytes, const void *to,
                  size_t to_bytes)
{
    const an_arrival &a = q->arrival;
    const char *source = (const char *)from, *target = (const char *)to;
    const char *first = (const char *)a.to;
    const char *end = first + a.shape.to_pitch * a.shape.rows * an__dtype_bytes(a.dtype);

    if (a.pending && ((source + from_bytes > first && source < end) ||
                      (target + to_bytes > first && target < end)))
        return false;
    return !q->lending || target + to_bytes <= q->lent_from || target >= q->lent_end;
}

an_status an__cuda_copy(an_queue *to_queue, const an_copy_shape *given, an_operand to,
                        an_queue *from_queue, an_operand from)
{
    an_use use(to_queue->device);
    size_t element = an__dtype_bytes(to.dtype);
    copying c = {*given, an__cuda_address(to), an__cuda_address(from)};
    an_copy_shape *s = &c.s;

    /* One row may be given any pitches; from here on they cover it. */
    if (s->rows == 1) s->to_pitch = s->from_pitch = s->count;
    if (to_queue == from_queue) {
        AN_CUDA_TRY(an__cuda_alive(to_queue->device));
        if (!apart(to_queue, c.from, s->from_pitch * s->rows * element, c.to,
                   s->to_pitch * s->rows * element))
            AN_CUDA_TRY(an__cuda_complete_receive(to_queue));
        return copy_here(to_queue, c, to.dtype);
    }
    AN_CUDA_TRY(an__cuda_alive(from_queue->device));
    if (to_queue->arrival.pending) AN_CUDA_TRY(an__cuda_complete_receive(to_queue));
    if (from_queue->lending) {
        an_use other(from_queue->device);

        AN_CUDA_TRY(an__cuda_complete_receive(from_queue));
    }
    AN_CUDA_TRY(send(to_queue, from_queue, c.from, s->from_pitch * element,
                     s->count * element, s->rows));
    to_queue->arrival = {true, c.to, *s, to.dtype};
    from_queue->early_from = NULL;
    from_queue->lent = to_queue->arrived;
    from_queue->lent_from = (const char *)c.from;
    from_queue->lent_end = from_queue->lent_from + s->from_pitch * s->rows * element;
    from_queue->lending = true;
    return AN_OK;
}

/* --- recordings: a graph ----------------------------------------------------------- */

struct an_recording {
    an_device *device;
    cudaGraphExec_t graph;
    an_queue *queues[2];
    uint32_t count;
};

/* `first` waits for all that `other` has been given; or the reverse. */
static an_status join(an_queue *first, an_queue *other, bool reverse)
{
    an_queue *from = reverse ? first : other, *to = reverse ? other : first;

    {
        an_use use(from->device);

        AN_CUDA_TRY(an__cuda_complete_receive(from));
        AN_CUDA_TRY(record(from, from->ready, from->stream));
    }
    an_use use(to->device);

    return wait(to, to->stream, from->ready);
}

/* A stream may not wait, within a capture, for an event that was recorded before it. So
 * the host waits for all work, and the events stand for nothing until they are recorded
 * anew. */
static an_status quiet(an_queue *q)
{
    an_use use(q->device);

    AN_CUDA_TRY(an__cuda_complete_receive(q));
    AN_CUDA_TRY(
        an__cuda_check(q->device, cudaStreamSynchronize(q->stream), "the device"));
    AN_CUDA_TRY(an__cuda_check(q->device, cudaStreamSynchronize(q->copy), "the device"));
    return AN_OK;
}

/* Records the events that an exchange waits for before it has recorded them itself. */
static an_status begin_anew(an_queue *q)
{
    an_use use(q->device);

    q->early_from = NULL;
    q->arrival.pending = q->lending = false;
    AN_CUDA_TRY(record(q, q->landed, q->stream));
    return record(q, q->arrived, q->stream);
}

/* Nor may a stream wait, outside, for an event that was recorded within a capture; and if
 * the capture came to nothing, nothing has arrived. */
static an_status end_capture(an_queue *const *queues, uint32_t count, cudaGraph_t *graph)
{
    an_device *device = queues[0]->device;
    an_status status = an__cuda_check(
        device, cudaStreamEndCapture(queues[0]->stream, graph), "a recording");
    uint32_t i;

    for (i = 0; i < count; i++) {
        an_status begun = begin_anew(queues[i]);

        if (status == AN_OK) status = begun;
    }
    return status;
}

an_status an__cuda_record(an_queue *const *queues, uint32_t count)
{
    an_queue *first = queues[0];
    cudaGraph_t graph = NULL;
    uint32_t i;

    for (i = 0; i < count; i++) AN_CUDA_TRY(quiet(queues[i]));
    an_use use(first->device);

    AN_CUDA_TRY(an__cuda_check(
        first->device,
        cudaStreamBeginCapture(first->stream, cudaStreamCaptureModeThreadLocal),
        "a recording"));
    for (i = 0; i < count; i++) {
        an_queue *q = queues[i];

        an_status status = i > 0 ? join(first, q, true) : AN_OK;

        if (status == AN_OK) status = begin_anew(q);
        if (status != AN_OK) {
            end_capture(queues, count, &graph);
            if (graph != NULL) cudaGraphDestroy(graph);
            return status;
        }
    }
    return AN_OK;
}

an_status an__cuda_recorded(an_queue *const *queues, uint32_t count, an_recording **out)
{
    an_queue *first = queues[0];
    an_device *device = first->device;
    an_recording *recording;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    an_status status = AN_OK, ended;
    uint32_t i;

    for (i = 1; i < count && status == AN_OK; i++) status = join(first, queues[i], false);
    an_use use(device);

    if (status == AN_OK) status = an__cuda_complete_receive(first);
    ended = end_capture(queues, count, &graph);
    if (status == AN_OK) status = ended;
    if (status == AN_OK)
        status =
            an__cuda_check(device, cudaGraphInstantiate(&ready, graph, 0), "a recording");
    if (graph != NULL) cudaGraphDestroy(graph);
    recording = status == AN_OK ? (an_recording *)device->host->alloc(sizeof *recording,
                                                                      device->host->user)
                                : NULL;
    if (recording == NULL) {
        if (ready != NULL) cudaGraphExecDestroy(ready);
        return status != AN_OK ? status : AN_ERROR_MEMORY;
    }
    recording->device = device;
    recording->graph = ready;
    recording->count = count;
    for (i = 0; i < count; i++) recording->queues[i] = queues[i];
    *out = recording;
    return AN_OK;
}

an_status an__cuda_replay(an_recording *recording)
{
    an_queue *first = recording->queues[0];
    uint32_t i;

    for (i = 1; i < recording->count; i++)
        AN_CUDA_TRY(join(first, recording->queues[i], false));
    {
        an_use use(first->device);

        AN_CUDA_TRY(an__cuda_complete_receive(first));
        AN_CUDA_TRY(an__cuda_check(first->device,
                                   cudaGraphLaunch(recording->graph, first->stream),
                                   "a recorded step"));
    }
    for (i = 1; i < recording->count; i++)
        AN_CUDA_TRY(join(first, recording->queues[i], true));
    return AN_OK;
}

void an__cuda_recording_free(an_recording *recording)
{
    const an_host *host = recording->device->host;

    if (an__cuda_ours(recording->device)) {
        an_use use(recording->device);

        cudaStreamSynchronize(recording->queues[0]->stream); /* it may still be running */
        cudaGraphExecDestroy(recording->graph);
        cudaGetLastError();
    }
    host->release(recording, host->user);
}
