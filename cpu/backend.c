/*
 * backend.c - the CPU as a device: its memory is the host's, its queues run at once.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cpu.h"

#define ALIGN 64 /* bytes: a cache line, and the widest vector */

/* --- devices ----------------------------------------------------------------------- */

an_status an__cpu_count(const an_host *host, uint32_t *count)
{
    (void)host;
    *count = 1;
    return AN_OK;
}

/* The processor's name as Linux has it; "cpu" elsewhere. */
static void processor_name(char *name, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];

    snprintf(name, size, "cpu");
    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL) {
        char *value = strchr(line, ':');

        if (strncmp(line, "model name", 10) != 0 || value == NULL) continue;
        value += strspn(value, ": \t");
        value[strcspn(value, "\n")] = '\0';
        snprintf(name, size, "%s", value);
        break;
    }
    fclose(file);
}

an_status an__cpu_describe(const an_host *host, uint32_t index, an_device_info *info)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

    (void)index;
    snprintf(info->backend, sizeof info->backend, "cpu");
    snprintf(info->device, sizeof info->device, "cpu");
    processor_name(info->name, sizeof info->name);
    info->memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    info->units = host->threads;
    return AN_OK;
}

an_status an__cpu_open(an_device **out, uint32_t index, const an_host *host)
{
    an_device *device = host->alloc(sizeof *device, host->user);

    (void)index;
    if (device == NULL) return AN_ERROR_MEMORY;
    device->host = host;
    *out = device;
    return AN_OK;
}

void an__cpu_close(an_device *device)
{
    device->host->release(device, device->host->user);
}

/* --- memory ------------------------------------------------------------------------ */

/* The host's block, with its own address in front of the aligned part. */
an_status an__cpu_alloc(an_device *device, size_t bytes, void **out)
{
    const an_host *host = device->host;
    char *block, *aligned;

    if (bytes > SIZE_MAX - ALIGN - sizeof block)
        return host->fail(AN_ERROR_MEMORY, "no memory for %zu bytes", bytes);
    block = host->alloc(bytes + ALIGN + sizeof block, host->user);
    if (block == NULL) return AN_ERROR_MEMORY;
    aligned = block + sizeof block;
    aligned += (ALIGN - (uintptr_t)aligned % ALIGN) % ALIGN;
    memcpy(aligned - sizeof block, &block, sizeof block);
    *out = aligned;
    return AN_OK;
}

void an__cpu_release(an_device *device, void *memory)
{
    char *block;

    memcpy(&block, (char *)memory - sizeof block, sizeof block);
    device->host->release(block, device->host->user);
}

/* --- queues ------------------------------------------------------------------------ */

void an__cpu_queue_close(an_queue *queue)
{
    const an_host *host = queue->device->host;

    an__cpu_gemm_end();
    if (queue->scratch != NULL) an__cpu_release(queue->device, queue->scratch);
    host->release(queue, host->user);
}

an_status an__cpu_queue_open(an_queue **out, an_device *device, size_t scratch_bytes)
{
    const an_host *host = device->host;
    an_queue *queue = host->alloc(sizeof *queue, host->user);
    an_status status = AN_OK;

    if (queue == NULL) return AN_ERROR_MEMORY;
    an__cpu_gemm_begin();
    queue->device = device;
    queue->scratch_bytes = scratch_bytes;
    queue->scratch = NULL;
    if (scratch_bytes > 0) status = an__cpu_alloc(device, scratch_bytes, &queue->scratch);
    if (status != AN_OK) {
        an__cpu_queue_close(queue);
        return status;
    }
    *out = queue;
    return AN_OK;
}

an_status an__cpu_sync(an_queue *queue)
{
    (void)queue;
    return AN_OK;
}

an_status an__cpu_upload(an_queue *queue, an_operand to, const void *from, size_t bytes)
{
    (void)queue;
    memcpy(an__cpu_address(to), from, bytes);
    return AN_OK;
}

an_status an__cpu_download(an_queue *queue, void *to, an_operand from, size_t bytes)
{
    (void)queue;
    memcpy(to, an__cpu_address(from), bytes);
    return AN_OK;
}

/* The host's order is the device's. */
static an_status cpu_put(an_queue *queue, const an_order *order, an_operand to,
                         size_t first, const float *from, size_t count)
{
    (void)order;
    return an__cpu_upload(queue, an__operand_from(to, first), from, count * sizeof *from);
}

static an_status cpu_get(an_queue *queue, const an_order *order, float *to,
                         an_operand from, size_t first, size_t count)
{
    (void)order;
    return an__cpu_download(queue, to, an__operand_from(from, first), count * sizeof *to);
}

an_status an__cpu_begin_step(an_queue *queue, const an_step *step)
{
    queue->step = *step;
    return AN_OK;
}

/* --- denormals --------------------------------------------------------------------- */

/* Where the processor can, numbers below 2^-126 are zeros, read and written: computing
 * with them takes it many times as long, and activations, gradients and velocities that
 * fade away would come to nothing else. The mode is an item's: who runs it may be a
 * thread of the host's. */
#if defined(__SSE2__)
#define DENORMALS_ARE_ZEROS 0x8040u

static inline unsigned flush_begin(void)
{
    unsigned before = __builtin_ia32_stmxcsr();

    __builtin_ia32_ldmxcsr(before | DENORMALS_ARE_ZEROS);
    return before;
}

static inline void flush_end(unsigned before)
{
    __builtin_ia32_ldmxcsr(before);
}
#else
static inline unsigned flush_begin(void)
{
    return 0;
}

static inline void flush_end(unsigned before)
{
    (void)before;
}
#endif

typedef struct an_job {
    an_body_fn body;
    void *arg;
} an_job;

static void flushed_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_job *job = arg;
    unsigned before = flush_begin();

    job->body(item, worker, job->arg);
    flush_end(before);
}

void an__cpu_parallel(const an_queue *q, uint32_t items, an_body_fn body, void *arg)
{
    an_job job = {body, arg};

    an__cpu_parallel_gradual(q, items, flushed_item, &job);
}

void an__cpu_parallel_gradual(const an_queue *q, uint32_t items, an_body_fn body,
                              void *arg)
{
    const an_host *host = q->device->host;

    host->parallel(items, body, arg, host->user);
}

float *an__cpu_scratch(const an_queue *q, uint32_t worker)
{
    size_t part = q->scratch_bytes / q->device->host->threads;

    return (float *)(void *)((char *)q->scratch + worker * part);
}

uint32_t an__cpu_chunks(size_t count)
{
    return (uint32_t)((count + AN_CHUNK - 1) / AN_CHUNK);
}

void an__cpu_chunk(size_t count, uint32_t item, size_t *from, size_t *to)
{
    *from = (size_t)item * AN_CHUNK;
    *to = count - *from < AN_CHUNK ? count : *from + AN_CHUNK;
}

/* --- copy, scale, all_finite ------------------------------------------------------- */

typedef struct an_copying {
    const an_copy_shape *s;
    float *to;
    const float *from;
} an_copying;

static void copy_item(uint32_t row, uint32_t worker, void *arg)
{
    const an_copying *c = arg;
    float *to = c->to + row * c->s->to_pitch;
    const float *from = c->from + row * c->s->from_pitch;
    size_t i;

    (void)worker;
    if (!c->s->accumulate)
        memcpy(to, from, c->s->count * sizeof *to);
    else
        for (i = 0; i < c->s->count; i++) to[i] += from[i];
}

an_status an__cpu_copy(an_queue *to_queue, const an_copy_shape *s, an_operand to,
                       an_queue *from_queue, an_operand from)
{
    an_copying c = {s, an__cpu_floats(to), an__cpu_floats(from)};

    (void)from_queue;
    an__cpu_parallel(to_queue, s->rows, copy_item, &c);
    return AN_OK;
}

static size_t cpu_dense_scratch(an_device *device, const an_dense_shape *s,
                                uint32_t batch, int training)
{
    (void)device;
    (void)s;
    (void)batch;
    (void)training;
    return 0;
}

typedef struct an_scaling {
    float *x, factor;
    size_t count;
} an_scaling;

static void scale_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_scaling *s = arg;
    size_t i, end;

    (void)worker;
    for (an__cpu_chunk(s->count, item, &i, &end); i < end; i++) s->x[i] *= s->factor;
}

an_status an__cpu_scale(an_queue *q, size_t count, float factor, an_operand x)
{
    an_scaling s = {an__cpu_floats(x), factor, count};

    an__cpu_parallel(q, an__cpu_chunks(count), scale_item, &s);
    return AN_OK;
}

typedef struct an_checking {
    const float *x;
    size_t count;
    int found; /* atomic: something that is not finite */
} an_checking;

static void check_item(uint32_t item, uint32_t worker, void *arg)
{
    an_checking *c = arg;
    float sum = 0;
    size_t i, end;

    (void)worker;
    /* 0 for what is finite, else a NaN, which no sum loses */
    for (an__cpu_chunk(c->count, item, &i, &end); i < end; i++) sum += c->x[i] * 0.0f;
    if (sum != 0) __atomic_store_n(&c->found, 1, __ATOMIC_RELAXED);
}

an_status an__cpu_all_finite(an_queue *q, const an_array *arrays, uint32_t count,
                             an_operand faults)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        an_checking c = {an__cpu_floats(arrays[i].x), arrays[i].count, 0};

        an__cpu_parallel(q, an__cpu_chunks(c.count), check_item, &c);
        if (c.found) *an__cpu_floats(faults) = 1;
    }
    return AN_OK;
}

const an_backend an__cpu_backend = {
    .abi = AN_BACKEND_ABI,
    .size = sizeof(an_backend),
    .name = "cpu",
    .host_memory = 1,
    .algorithms = {"im2col"},
    .count = an__cpu_count,
    .describe = an__cpu_describe,
    .open = an__cpu_open,
    .close = an__cpu_close,
    .alloc = an__cpu_alloc,
    .release = an__cpu_release,
    .queue_open = an__cpu_queue_open,
    .queue_close = an__cpu_queue_close,
    .sync = an__cpu_sync,
    .upload = an__cpu_upload,
    .download = an__cpu_download,
    .put = cpu_put,
    .get = cpu_get,
    .copy = an__cpu_copy,
    .begin_step = an__cpu_begin_step,
    .conv_scratch = an__cpu_conv_scratch,
    .dense_scratch = cpu_dense_scratch,
    .conv_forward = an__cpu_conv_forward,
    .conv_backward_data = an__cpu_conv_backward_data,
    .conv_backward_weights = an__cpu_conv_backward_weights,
    .dense_forward = an__cpu_dense_forward,
    .dense_backward_data = an__cpu_dense_backward_data,
    .dense_backward_weights = an__cpu_dense_backward_weights,
    .activation_forward = an__cpu_activation_forward,
    .activation_backward = an__cpu_activation_backward,
    .lrn_forward = an__cpu_lrn_forward,
    .lrn_backward = an__cpu_lrn_backward,
    .lrn_within_forward = an__cpu_lrn_within_forward,
    .lrn_within_backward = an__cpu_lrn_within_backward,
    .pool_forward = an__cpu_pool_forward,
    .pool_backward = an__cpu_pool_backward,
    .dropout = an__cpu_dropout,
    .scale = an__cpu_scale,
    .softmax = an__cpu_softmax,
    .softmax_loss = an__cpu_softmax_loss,
    .update = an__cpu_update,
    .all_finite = an__cpu_all_finite,
};
