/*
 * queue.cu - queues, and what goes between the host's memory and a device's.
 *
 * Transfers pass through pinned memory of the queue's own, since what the host gives may
 * change as soon as upload() or put() has returned, while copies are asynchronous.
 */
#include <string.h>

#include "runtime/element.h"
#include "runtime/space_to_depth.h"

#define STAGE ((size_t)4 << 20) /* bytes of each pinned buffer, and of the device's */

/* --- life -------------------------------------------------------------------------- */

static void close_streams(an_queue *q)
{
    cudaEvent_t events[] = {q->uploaded[0], q->uploaded[1], q->ready,  q->early,
                            q->arrived,     q->landed,      q->bounced};

    if (q->stream != NULL) cudaStreamSynchronize(q->stream);
    if (q->copy != NULL) cudaStreamSynchronize(q->copy);
    if (q->async != NULL) cudaStreamDestroy(q->async);
    for (cudaEvent_t event : q->fence)
        if (event != NULL) cudaEventDestroy(event);
    for (cudaEvent_t event : events)
        if (event != NULL) cudaEventDestroy(event);
    if (q->copy != NULL) cudaStreamDestroy(q->copy);
    if (q->stream != NULL) cudaStreamDestroy(q->stream);
}

void an__cuda_queue_close(an_queue *q)
{
    const an_host *host = q->device->host;

    if (an__cuda_ours(q->device)) {
        an_use use(q->device);

        close_streams(q);
        cudaFree(q->scratch);
        cudaFree(q->step);
        cudaFree(q->stage);
        cudaFree(q->receive_buffer);
        cudaFreeHost(q->upload[0]);
        cudaFreeHost(q->upload[1]);
        cudaFreeHost(q->download);
        cudaFreeHost(q->async_stage);
        cudaFreeHost(q->bounce);
        cudaGetLastError(); /* of a device that is lost */
    }
    an__cuda_trace_free(q);
    host->release(q, host->user);
}

static an_status open_streams(an_queue *q)
{
    cudaStream_t *streams[] = {&q->stream, &q->copy};
    cudaEvent_t *events[] = {&q->uploaded[0], &q->uploaded[1], &q->ready,  &q->early,
                             &q->arrived,     &q->landed,      &q->bounced};

    for (cudaStream_t *stream : streams)
        AN_CUDA_TRY(an__cuda_check(
            q->device, cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking),
            "a stream"));
    for (cudaEvent_t *event : events)
        AN_CUDA_TRY(an__cuda_check(
            q->device, cudaEventCreateWithFlags(event, cudaEventDisableTiming),
            "an event"));
    return AN_OK;
}

an_status an__cuda_queue_open(an_queue **out, an_device *device, size_t scratch_bytes)
{
    const an_host *host = device->host;
    an_queue *q = (an_queue *)host->alloc(sizeof *q, host->user);
    void *step = NULL;
    an_status status;

    if (q == NULL) return AN_ERROR_MEMORY;
    memset(q, 0, sizeof *q);
    q->device = device;
    status = an__cuda_alive(device);
    if (status == AN_OK) {
        an_use use(device);

        status = open_streams(q);
    }
    if (status == AN_OK && scratch_bytes > 0)
        status = an__cuda_alloc(device, scratch_bytes, &q->scratch);
    if (status == AN_OK) status = an__cuda_alloc(device, sizeof *q->step, &step);
    q->step = (an_step *)step;
    if (status != AN_OK) {
        an__cuda_queue_close(q);
        return status;
    }
    *out = q;
    return AN_OK;
}

/* --- pinned memory ----------------------------------------------------------------- */

static an_status pinned(an_queue *q, char **buffer)
{
    void *memory;
    an_status status;

    if (*buffer != NULL) return AN_OK;
    status = an__cuda_check(q->device, cudaMallocHost(&memory, STAGE), "pinned memory");
    if (status == AN_OK) *buffer = (char *)memory;
    return status;
}

static an_status stage_memory(an_queue *q)
{
    void *memory;

    if (q->stage != NULL) return AN_OK;
    AN_CUDA_TRY(an__cuda_alloc(q->device, STAGE, &memory));
    q->stage = (float *)memory;
    return AN_OK;
}

/* Room for `bytes` (at most STAGE) in the half that is being filled, or in the other half
 * once its copies are done. */
static an_status upload_room(an_queue *q, size_t bytes, char **room)
{
    AN_CUDA_TRY(pinned(q, &q->upload[q->upload_turn]));
    if (STAGE - q->upload_used < bytes) {
        AN_CUDA_TRY(an__cuda_check(
            q->device, cudaEventRecord(q->uploaded[q->upload_turn], q->stream),
            "an event"));
        q->upload_turn = 1 - q->upload_turn;
        q->upload_used = 0;
        AN_CUDA_TRY(pinned(q, &q->upload[q->upload_turn]));
        AN_CUDA_TRY(an__cuda_check(
            q->device, cudaEventSynchronize(q->uploaded[q->upload_turn]), "an upload"));
    }
    *room = q->upload[q->upload_turn] + q->upload_used;
    q->upload_used += (bytes + 255) / 256 * 256;
    if (q->upload_used > STAGE) q->upload_used = STAGE;
    return AN_OK;
}

/* At most STAGE bytes. */
static an_status upload_piece(an_queue *q, void *to, const void *from, size_t bytes)
{
    char *room;

    AN_CUDA_TRY(upload_room(q, bytes, &room));
    memcpy(room, from, bytes);
    return an__cuda_check(
        q->device, cudaMemcpyAsync(to, room, bytes, cudaMemcpyHostToDevice, q->stream),
        "an upload");
}

an_status an__cuda_upload(an_queue *q, an_operand to, const void *from, size_t bytes)
{
    an_use use(q->device);
    char *target = (char *)an__cuda_address(to);
    size_t done, part;

    AN_CUDA_TRY(an__cuda_complete_receive(q));
    for (done = 0; done < bytes; done += part) {
        part = bytes - done < STAGE ? bytes - done : STAGE;
        AN_CUDA_TRY(upload_piece(q, target + done, (const char *)from + done, part));
    }
    return AN_OK;
}

/* Copies what has been downloaded to where it was asked for: what is before one fence, or
 * all. */
static void hand_over(an_queue *q, bool all, uint32_t fence)
{
    uint32_t i, left = 0;

    for (i = 0; i < q->fetches; i++) {
        const an_fetch &f = q->fetch[i];

        if (all || f.fence == fence)
            memcpy(f.to, q->download + f.at, f.bytes);
        else
            q->fetch[left++] = f;
    }
    q->fetches = left;
    if (left == 0) q->download_used = 0;
}

static an_status deliver(an_queue *q)
{
    AN_CUDA_TRY(
        an__cuda_check(q->device, cudaStreamSynchronize(q->stream), "the device"));
    hand_over(q, true, 0);
    return AN_OK;
}

static an_status download_piece(an_queue *q, void *to, const void *from, size_t bytes)
{
    an_fetch *fetch;

    AN_CUDA_TRY(pinned(q, &q->download));
    if (STAGE - q->download_used < bytes || q->fetches == AN_CUDA_FETCHES)
        AN_CUDA_TRY(deliver(q));
    fetch = &q->fetch[q->fetches];
    fetch->to = to;
    fetch->at = q->download_used;
    fetch->bytes = bytes;
    fetch->fence = AN_MAX_IN_FLIGHT;
    AN_CUDA_TRY(an__cuda_check(q->device,
                               cudaMemcpyAsync(q->download + fetch->at, from, bytes,
                                               cudaMemcpyDeviceToHost, q->stream),
                               "a download"));
    q->fetches++;
    q->download_used += (bytes + 255) / 256 * 256;
    if (q->download_used > STAGE) q->download_used = STAGE;
    return AN_OK;
}

an_status an__cuda_download(an_queue *q, void *to, an_operand from, size_t bytes)
{
    an_use use(q->device);
    const char *source = (const char *)an__cuda_address(from);
    size_t done, part;

    AN_CUDA_TRY(an__cuda_complete_receive(q));
    for (done = 0; done < bytes; done += part) {
        part = bytes - done < STAGE ? bytes - done : STAGE;
        AN_CUDA_TRY(download_piece(q, (char *)to + done, source + done, part));
    }
    return AN_OK;
}

/* Downloads before a failure are given up: the host may use their targets for something
 * else. */
an_status an__cuda_sync(an_queue *q)
{
    an_use use(q->device);
    an_status status = an__cuda_complete_receive(q);

    if (status == AN_OK) status = deliver(q);
    if (status != AN_OK) {
        q->fetches = 0;
        q->download_used = 0;
        q->arrival.pending = q->lending = false;
    }
    return status;
}

/* --- work that goes on beside the host's ------------------------------------------- */

an_status an__cuda_fence(an_queue *q, uint32_t fence)
{
    an_use use(q->device);
    uint32_t i;

    AN_CUDA_TRY(an__cuda_complete_receive(q));
    if (q->fence[fence] == NULL)
        AN_CUDA_TRY(an__cuda_check(
            q->device, cudaEventCreateWithFlags(&q->fence[fence], cudaEventDisableTiming),
            "an event"));
    for (i = 0; i < q->fetches; i++)
        if (q->fetch[i].fence == AN_MAX_IN_FLIGHT) q->fetch[i].fence = fence;
    return an__cuda_check(q->device, cudaEventRecord(q->fence[fence], q->stream),
                          "an event");
}

an_status an__cuda_wait_fence(an_queue *q, uint32_t fence)
{
    an_use use(q->device);

    AN_CUDA_TRY(an__cuda_alive(q->device));
    AN_CUDA_TRY(
        an__cuda_check(q->device, cudaEventSynchronize(q->fence[fence]), "the device"));
    hand_over(q, false, fence);
    return AN_OK;
}

an_status an__cuda_wait_upload(an_queue *q)
{
    an_use use(q->device);

    AN_CUDA_TRY(an__cuda_alive(q->device));
    if (q->async == NULL) return AN_OK;
    return an__cuda_check(q->device, cudaStreamSynchronize(q->async), "an upload");
}

/* Pinned memory is copied directly, other memory by way of some that is pinned, which is
 * waited for. */
an_status an__cuda_upload_async(an_queue *q, an_operand to, const void *from,
                                size_t bytes)
{
    an_use use(q->device);
    char *target = (char *)an__cuda_address(to);
    cudaPointerAttributes where;
    size_t done, part;
    bool is_pinned;

    AN_CUDA_TRY(an__cuda_alive(q->device));
    if (q->async == NULL)
        AN_CUDA_TRY(an__cuda_check(
            q->device, cudaStreamCreateWithFlags(&q->async, cudaStreamNonBlocking),
            "a stream"));
    is_pinned = cudaPointerGetAttributes(&where, from) == cudaSuccess &&
                where.type == cudaMemoryTypeHost;
    cudaGetLastError();
    if (!is_pinned) AN_CUDA_TRY(pinned(q, &q->async_stage));
    for (done = 0; done < bytes; done += part) {
        const char *source = (const char *)from + done;

        part = is_pinned || bytes - done < STAGE ? bytes - done : STAGE;
        if (!is_pinned) source = (char *)memcpy(q->async_stage, source, part);
        AN_CUDA_TRY(an__cuda_check(q->device,
                                   cudaMemcpyAsync(target + done, source, part,
                                                   cudaMemcpyHostToDevice, q->async),
                                   "an upload"));
        if (!is_pinned) AN_CUDA_TRY(an__cuda_wait_upload(q));
    }
    return AN_OK;
}

an_status an__cuda_host_alloc(an_device *device, size_t bytes, void **out)
{
    an_use use(device);

    AN_CUDA_TRY(an__cuda_alive(device));
    return an__cuda_check(device, cudaMallocHost(out, bytes), "pinned memory");
}

void an__cuda_host_release(an_device *device, void *memory)
{
    an_use use(device);

    if (an__cuda_ours(device) && cudaFreeHost(memory) != cudaSuccess) cudaGetLastError();
}

an_status an__cuda_begin_step(an_queue *q, const an_step *step)
{
    q->early_from = NULL; /* of a step that failed */
    return an__cuda_upload(q, an__operand(q->step, 0, AN_DTYPE_BYTES), step,
                           sizeof *step);
}

/* --- between the host's order and the device's ------------------------------------- */

struct ordering {
    an_order order;
    void *tensor;
    float *stage; /* elements from `first` on, in the host's order */
    size_t first, count;
    bool put;
};

/* The place on the device of element `host` of the host's order. */
static __device__ __forceinline__ size_t place_of(const an_order &o, size_t host)
{
    size_t maps = o.maps, pixels = o.pixels, plane = maps * pixels;
    size_t half = host / plane, at = host - half * plane;
    size_t map = at / pixels, pixel = at - map * pixels;

    if (o.s2d.side == 0) return half * plane + pixel * maps + map;
    return half * s2d_elements(o.s2d) + s2d_place(o.s2d, (uint32_t)(pixel / o.width),
                                                  (uint32_t)(pixel % o.width),
                                                  (uint32_t)map);
}

template <class T> static __global__ void order_kernel(ordering o)
{
    for (AN_CUDA_EACH(i, o.count)) {
        T *there = (T *)o.tensor + place_of(o.order, o.first + i);

        if (o.put)
            put_element(there, o.stage[i]);
        else
            o.stage[i] = get_element(there);
    }
}

/* Whether a tensor's elements are the same, and in the same order, on both sides. */
static bool plain(const an_order *order, an_operand tensor)
{
    return (order->maps == 1 || order->pixels == 1) && order->s2d.side == 0 &&
           tensor.dtype != AN_DTYPE_BF16;
}

/* Zeros, for those places of a space-to-depth layout that are no pixel's. */
static an_status clear_s2d(an_queue *q, const an_order *order, an_operand to)
{
    return an__cuda_check(q->device,
                          cudaMemsetAsync(an__cuda_address(to), 0,
                                          order->rows * s2d_elements(order->s2d) *
                                              an__dtype_bytes(to.dtype),
                                          q->stream),
                          "an upload");
}

an_status an__cuda_put(an_queue *q, const an_order *order, an_operand to, size_t first,
                       const float *from, size_t count)
{
    an_use use(q->device);
    const size_t most = STAGE / sizeof *from;
    size_t done, part;

    if (plain(order, to))
        return an__cuda_upload(q, an__operand_from(to, first), from,
                               count * sizeof *from);
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    AN_CUDA_TRY(stage_memory(q));
    if (order->s2d.side != 0 && first == 0) AN_CUDA_TRY(clear_s2d(q, order, to));
    for (done = 0; done < count; done += part) {
        ordering o = {*order, an__cuda_address(to), q->stage, first + done, 0, true};

        part = o.count = count - done < most ? count - done : most;
        AN_CUDA_TRY(upload_piece(q, q->stage, from + done, part * sizeof *from));
        an__cuda_cost(q, 0, to.dtype, (double)part, 4 * (double)part);
        AN_CUDA_TRY(an__cuda_each(q, AN_CUDA_BY_DTYPE(to.dtype, order_kernel), part, o,
                                  "an upload"));
    }
    return AN_OK;
}

an_status an__cuda_get(an_queue *q, const an_order *order, float *to, an_operand from,
                       size_t first, size_t count)
{
    an_use use(q->device);
    const size_t most = STAGE / sizeof *to;
    size_t done, part;

    if (plain(order, from))
        return an__cuda_download(q, to, an__operand_from(from, first),
                                 count * sizeof *to);
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    AN_CUDA_TRY(stage_memory(q));
    for (done = 0; done < count; done += part) {
        ordering o = {*order, an__cuda_address(from), q->stage, first + done, 0, false};

        part = o.count = count - done < most ? count - done : most;
        an__cuda_cost(q, 0, from.dtype, (double)part, 4 * (double)part);
        AN_CUDA_TRY(an__cuda_each(q, AN_CUDA_BY_DTYPE(from.dtype, order_kernel), part, o,
                                  "a download"));
        AN_CUDA_TRY(download_piece(q, to + done, q->stage, part * sizeof *to));
    }
    return AN_OK;
}
