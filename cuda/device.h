/*
 * device.h - what the files of the CUDA backend share. Names: an__cuda_ for functions.
 *
 * Layout on the device: an image is [slabs][rows][columns][maps], NHWC within a slab; a
 * weight is [output maps][slabs][kernel rows][kernel columns][maps]. Slabs are the halves
 * that an exchange joins; there is one everywhere else.
 *
 * A queue is two streams. `stream` has the operations in order. `copy` has what arrives from
 * other devices: it lands in a buffer of its own, and is brought to its place by the first
 * operation that may read it. Which that is, settle() decides: every operation calls it first
 * but those that have something to do before (convolutions of joined maps).
 */
#ifndef AN_CUDA_DEVICE_H
#define AN_CUDA_DEVICE_H

#include <cuda_runtime.h>
#include <stdint.h>
#include <sys/types.h>

extern "C" {
#include "device/backend.h"
}

#define AN_CUDA_DEVICES 16
#define AN_CUDA_THREADS 256 /* of a block, where nothing else decides */

struct an_device {
    const an_host *host;
    int index;
    pid_t pid;           /* of who opened it: a forked child may call nothing of CUDA's */
    cudaError_t lost;    /* the error after which nothing works; cudaSuccess: none */
    size_t shared_bytes; /* that a block can have */
    bool wgmma;          /* it is a Hopper, for which there are kernels of its own */
    bool pipelines; /* and its driver makes the tensor maps that some of them want: */
    void *encode_rows, *encode_windows; /* see tensor_map.cu */
    uint32_t processors;                /* multiprocessors */
    /* Whose memory may be copied directly: 0: not asked yet, 1: yes, -1: no. */
    signed char peer[AN_CUDA_DEVICES];
};

/* What is on its way to the queue, and where it belongs: see exchange.cu. */
struct an_arrival {
    bool pending;
    void *to;
    size_t pitch, count; /* of `batch` rows, in numbers */
    uint32_t batch, precision;
    int add;
};

/* What the host gets at the next sync. */
struct an_fetch {
    void *to;
    size_t at, bytes; /* in the pinned buffer */
    uint32_t mark;    /* before which it is there; AN_MARKS: not yet marked */
};

#define AN_CUDA_FETCHES 64

struct an_trace; /* trace.cu */

struct an_queue {
    an_device *device;
    an_trace *trace;     /* null: none */
    double flops, bytes; /* of the next launch, for it */
    cudaStream_t stream, copy;
    cudaStream_t beside; /* null until something goes on beside the queue */
    void *scratch;
    an_step *step; /* on the device */

    /* Pinned memory in two halves: one is filled while the other is copied. */
    char *upload[2];
    size_t upload_used;
    int upload_turn;
    cudaEvent_t uploaded[2];
    char *passing; /* for what goes beside the queue */
    char *download;
    size_t download_used;
    an_fetch fetch[AN_CUDA_FETCHES];
    uint32_t fetches;
    cudaEvent_t marked[AN_MARKS];
    float *stage; /* on the device: what is to be put in order, or has been */

    /* Exchanges. */
    cudaEvent_t ready;      /* what others may wait for: work given so far */
    cudaEvent_t early;      /* the same, of the other tower's half of a gradient */
    const void *early_from; /* null: `early` stands for nothing */
    cudaEvent_t arrived, landed, bounced;
    an_arrival arrival;
    cudaEvent_t lent; /* recorded by another queue that copies from this one's memory: */
    bool lending;
    const char *lent_from, *lent_end;
    void *landing;
    size_t landing_bytes;
    void *bounce; /* pinned: for devices that are no peers */
    size_t bounce_bytes;
};

/* In the process that opened the device. */
bool an__cuda_ours(const an_device *device);

/* Makes a device the thread's current one, and gives the host its own back. */
class an_use
{
    int before_, index_;

  public:
    explicit an_use(const an_device *device)
        : before_(device->index), index_(device->index)
    {
        if (!an__cuda_ours(device)) return;
        cudaGetDevice(&before_);
        if (before_ != index_) cudaSetDevice(index_);
    }
    ~an_use()
    {
        if (before_ != index_ && cudaSetDevice(before_) != cudaSuccess)
            cudaGetLastError();
    }
    an_use(const an_use &) = delete;
    an_use &operator=(const an_use &) = delete;
};

#define AN_CUDA_TRY(call)                                                                \
    do {                                                                                 \
        an_status try_status_ = (call);                                                  \
        if (try_status_ != AN_OK) return try_status_;                                    \
    } while (0)

/* AN_OK, or a message that says what failed; a device that is lost is marked. */
an_status an__cuda_check(an_device *device, cudaError_t error, const char *what);
/* DEVICE if the device is lost, FORKED in a child. */
an_status an__cuda_alive(an_device *device);
an_status an__cuda_alloc(an_device *device, size_t bytes, void **out);
/* Whether `to` may copy directly from `from`'s memory; allows it, if it can be. */
bool an__cuda_peers(an_device *to, const an_device *from);

/* Brings what has arrived to its place; memory that was lent may be written again. */
an_status an__cuda_settle(an_queue *q);
/* Others may wait for `from`, as far as it has been given, before later work. */
an_status an__cuda_early(an_queue *q, const void *from);

an_status an__cuda_trace_begin(an_queue *q, const char *what);
an_status an__cuda_trace_end(an_queue *q);
void an__cuda_trace_free(an_queue *q);
an_status an__cuda_trace(an_queue *q, const char *label);
an_status an__cuda_traced(an_queue *q, an_traced *rows, uint32_t most, uint32_t *count);

/* What the next launch does and moves at least: numbers of a tensor, and bytes beside them. */
static inline void an__cuda_cost(an_queue *q, double flops, uint32_t precision,
                                 double numbers, double bytes)
{
    q->flops = flops;
    q->bytes = numbers * (precision == AN_PRECISION_BF16 ? 2 : 4) + bytes;
}

/* A kernel, or another template, for tensors of a precision. */
#define AN_CUDA_BY_NUMBER(precision, name)                                               \
    ((precision) == AN_PRECISION_BF16 ? name<an_bf16> : name<float>)
#define AN_CUDA_BY_NUMBER_OF(precision, name, other)                                     \
    ((precision) == AN_PRECISION_BF16 ? name<an_bf16, other> : name<float, other>)

static inline size_t an__cuda_number_bytes(uint32_t precision)
{
    return precision == AN_PRECISION_BF16 ? 2 : sizeof(float);
}

/* An operation is one kernel with a struct for its parameter. */
template <class Params>
an_status an__cuda_launch(an_queue *q, void (*kernel)(Params), dim3 grid, dim3 block,
                          size_t shared_bytes, const Params &params, const char *what)
{
    void *args[] = {const_cast<Params *>(&params)};

    if (q->trace != NULL) AN_CUDA_TRY(an__cuda_trace_begin(q, what));
    AN_CUDA_TRY(an__cuda_check(
        q->device, cudaLaunchKernel(kernel, grid, block, args, shared_bytes, q->stream),
        what));
    return q->trace != NULL ? an__cuda_trace_end(q) : AN_OK;
}

/* The usual operation: settled, on its device, `count` independent numbers. */
template <class Params>
an_status an__cuda_each(an_queue *q, void (*kernel)(Params), size_t count,
                        const Params &params, const char *what)
{
    an_use use(q->device);
    size_t blocks = (count + AN_CUDA_THREADS - 1) / AN_CUDA_THREADS;

    AN_CUDA_TRY(an__cuda_settle(q));
    if (count == 0) return AN_OK;
    /* Enough to fill any device; kernels stride over the rest. */
    return an__cuda_launch(q, kernel, dim3((unsigned)(blocks < 4096 ? blocks : 4096)),
                           dim3(AN_CUDA_THREADS), 0, params, what);
}

/* In such a kernel: for (AN_CUDA_EACH(i, count)) */
#define AN_CUDA_EACH(i, count)                                                           \
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x,                            \
           step_##i = (size_t)gridDim.x * blockDim.x;                                    \
    i < (count);                                                                         \
    i += step_##i

/* --- operations, each in the file of its name ---------------------------------------------- */

an_status an__cuda_upload_beside(an_queue *queue, void *to, const void *from,
                                 size_t bytes);
an_status an__cuda_mark(an_queue *queue, uint32_t mark);
an_status an__cuda_wait_for(an_queue *queue, uint32_t mark);
an_status an__cuda_host_alloc(an_device *device, size_t bytes, void **out);
void an__cuda_host_release(an_device *device, void *memory);
an_status an__cuda_put(an_queue *queue, const an_order *order, float *to, size_t first,
                       const float *from, size_t count);
an_status an__cuda_get(an_queue *queue, const an_order *order, float *to,
                       const float *from, size_t first, size_t count);
an_status an__cuda_upload(an_queue *queue, void *to, const void *from, size_t bytes);
an_status an__cuda_download(an_queue *queue, void *to, const void *from, size_t bytes);
an_status an__cuda_sync(an_queue *queue);
an_status an__cuda_begin_step(an_queue *q, const an_step *step);
an_status an__cuda_queue_open(an_queue **out, an_device *device, size_t scratch_bytes);
void an__cuda_queue_close(an_queue *queue);

an_status an__cuda_exchange(an_queue *to_queue, float *to, size_t to_pitch,
                            an_queue *from_queue, const float *from, size_t from_pitch,
                            size_t count, uint32_t batch, uint32_t precision, int add);
an_status an__cuda_record(an_queue *const *queues, uint32_t count);
an_status an__cuda_recorded(an_queue *const *queues, uint32_t count, an_recording **out);
an_status an__cuda_replay(an_recording *recording);
void an__cuda_recording_free(an_recording *recording);

size_t an__cuda_conv_scratch(an_device *device, const an_conv_shape *s, uint32_t batch,
                             int training);
size_t an__cuda_dense_scratch(an_device *device, const an_dense_shape *s, uint32_t batch,
                              int training);
uint32_t an__cuda_conv_way(an_device *device, const an_conv_shape *s, uint32_t batch,
                           size_t *bytes);
an_status an__cuda_conv_pack(an_queue *q, const an_conv_shape *s, uint32_t way,
                             const float *w, float *pack);
void an__cuda_input_form(const an_conv_shape *s, an_form *form);
an_status an__cuda_conv_forward(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                const float *x, const float *w, const float *pack,
                                const float *b, float *y);
an_status an__cuda_conv_backward_data(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                      const float *w, const float *pack, const float *dy,
                                      const float *x, float *dx);
an_status an__cuda_conv_backward_weights(an_queue *q, const an_conv_shape *s,
                                         uint32_t batch, const float *x, const float *dy,
                                         float *dw, float *db);
size_t an__cuda_dense_way(an_device *device, const an_dense_shape *s, uint32_t batch,
                          int training);
an_status an__cuda_dense_pack(an_queue *q, const an_dense_shape *s, const float *w,
                              void *pack);
an_status an__cuda_dense_forward(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                 const float *x, const float *w, const void *pack,
                                 const float *b, const an_dropout_shape *drop, float *y);
an_status an__cuda_dense_backward_data(an_queue *q, const an_dense_shape *s,
                                       uint32_t batch, const float *w, const void *pack,
                                       const float *dy, const float *x, float *dx);
an_status an__cuda_dense_backward_weights(an_queue *q, const an_dense_shape *s,
                                          uint32_t batch, const float *x, const float *dy,
                                          float *dw, float *db);
an_status an__cuda_dense_update(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                const float *x, const float *dy,
                                const an_parameter_part *weight, const float *faults);
an_status an__cuda_activation_forward(an_queue *q, uint32_t kind, uint32_t precision,
                                      size_t count, float *y);
an_status an__cuda_activation_backward(an_queue *q, uint32_t kind, uint32_t precision,
                                       size_t count, const float *y, float *dy);
an_status an__cuda_lrn_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                               const float *x, float *y);
an_status an__cuda_lrn_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                const float *x, const float *dy, float *dx);
an_status an__cuda_lrn_within_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                      const float *x, float *y);
an_status an__cuda_lrn_within_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                       const float *x, const float *dy, float *dx);
size_t an__cuda_pool_marks(const an_pool_shape *s);
an_status an__cuda_pool_forward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                                const float *x, float *y, void *marks);
an_status an__cuda_pool_backward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                                 const float *x, const void *marks, const float *dy,
                                 float *dx);
int an__cuda_lrn_pool_fits(const an_device *device, const an_lrn_shape *n,
                           const an_pool_shape *s);
an_status an__cuda_lrn_pool_forward(an_queue *q, const an_lrn_shape *n,
                                    const an_pool_shape *s, uint32_t batch,
                                    const float *x, float *y, void *marks);
an_status an__cuda_lrn_pool_backward(an_queue *q, const an_lrn_shape *n,
                                     const an_pool_shape *s, uint32_t batch,
                                     const float *x, const void *marks, const float *dy,
                                     float *dx);
an_status an__cuda_dropout(an_queue *q, const an_dropout_shape *s, uint32_t batch,
                           float *x);
an_status an__cuda_scale(an_queue *q, uint32_t precision, size_t count, float factor,
                         float *x);
an_status an__cuda_softmax(an_queue *q, uint32_t classes, uint32_t batch, float *x);
an_status an__cuda_softmax_loss(an_queue *q, uint32_t classes, uint32_t batch,
                                const float *x, const int32_t *labels, uint32_t precision,
                                float *dx, an_rank *ranks, double *loss);
an_status an__cuda_update(an_queue *q, const an_parameter_part *part, uint32_t count,
                          const float *faults);
an_status an__cuda_all_finite(an_queue *q, const an_array *arrays, uint32_t count,
                              float *faults);
an_status an__cuda_pictures(an_queue *q, const an_picture_shape *s, uint32_t batch,
                            const uint8_t *bytes, const an_view *views, const float *mean,
                            float *x);

#endif
