/*
 * device.h - what the files of the CUDA backend share. Names: an__cuda_ for functions.
 *
 * Layout on the device: an image is [halves][rows][columns][maps], which is NHWC within a
 * half; a weight is [output maps][halves][kernel rows][kernel columns][maps]. There are
 * two halves where an exchange between towers has joined them, and one everywhere else.
 *
 * A queue has two streams. `stream` runs the operations in order. `copy` receives what
 * comes from other devices: it is written to a buffer of its own, from which the first
 * operation that may read it brings it to its place. Every operation calls
 * complete_receive() for that before anything else, but those that have something to do
 * first (convolutions of joined maps).
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
    uint64_t process;    /* that opened it: a forked child may call nothing of CUDA's */
    cudaError_t lost;    /* the error after which nothing works; cudaSuccess: none */
    size_t shared_bytes; /* that a block can have */
    bool wgmma;          /* it is a Hopper, for which there are kernels of its own */
    bool pipelines; /* and its driver makes the tensor maps that some of them want: */
    void *encode_rows, *encode_windows; /* see tensor_map.cu */
    uint32_t processors;                /* multiprocessors */
    /* Whose memory may be copied directly: 0: not asked yet, 1: yes, -1: no. */
    signed char peer[AN_CUDA_DEVICES];
};

/* What the queue is about to receive, and where it belongs: see exchange.cu. */
struct an_arrival {
    bool pending;
    void *to;
    an_copy_shape shape; /* of the copy that was asked for */
    uint32_t dtype;
};

/* A download that the host gets at the next sync() or wait_fence(). */
struct an_fetch {
    void *to;
    size_t at, bytes; /* in the pinned buffer */
    uint32_t fence;   /* the first fence behind it; AN_MAX_IN_FLIGHT: there is none yet */
};

#define AN_CUDA_FETCHES 64

struct an_trace; /* trace.cu */

struct an_queue {
    an_device *device;
    an_trace *trace;     /* null: none */
    double flops, bytes; /* of the next launch, for the trace */
    cudaStream_t stream, copy;
    cudaStream_t async; /* of upload_async(); null until it is first called */
    void *scratch;
    an_step *step; /* on the device */

    /* Pinned memory in two halves: one is filled while the other is copied. */
    char *upload[2];
    size_t upload_used;
    int upload_turn;
    cudaEvent_t uploaded[2];
    char *async_stage; /* pinned memory that upload_async() copies pageable memory to */
    char *download;
    size_t download_used;
    an_fetch fetch[AN_CUDA_FETCHES];
    uint32_t fetches;
    cudaEvent_t fence[AN_MAX_IN_FLIGHT];
    float *stage; /* on the device: elements in the host's order, for put() and get() */

    /* Exchanges. */
    cudaEvent_t ready;      /* what others may wait for: all operations given so far */
    cudaEvent_t early;      /* the same, but of the other tower's half of a gradient */
    const void *early_from; /* null: `early` stands for nothing */
    cudaEvent_t arrived, landed, bounced;
    an_arrival arrival;
    cudaEvent_t lent; /* recorded by another queue that copies from this one's memory: */
    bool lending;
    const char *lent_from, *lent_end;
    void *receive_buffer;
    size_t receive_bytes;
    void *bounce; /* pinned: for devices that are no peers */
    size_t bounce_bytes;
};

/* Whether this is the process that opened the device. */
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
/* OK, or DEVICE if the device is lost, FORKED in a child. */
an_status an__cuda_alive(an_device *device);
/* Finds the driver's functions that make tensor maps; false: it is too old to have them.
 * (gemm/tensor_map.cu) */
bool an__cuda_tensor_maps(an_device *device);
/* Whether `to` may copy directly from `from`'s memory; allows it where that is
 * possible. */
bool an__cuda_peers(an_device *to, const an_device *from);

/* Brings what the queue has received to its place, and waits until memory that another
 * queue reads may be written again. */
an_status an__cuda_complete_receive(an_queue *q);
/* Another queue that copies `from` need not wait for what this queue is given from now
 * on. */
an_status an__cuda_early(an_queue *q, const void *from);

an_status an__cuda_trace_begin(an_queue *q, const char *what);
an_status an__cuda_trace_end(an_queue *q);
void an__cuda_trace_free(an_queue *q);

/* --- operands ---------------------------------------------------------------------- */

/* The address of an operand's first element; null if there is no such operand. */
static inline void *an__cuda_address(an_operand operand)
{
    return operand.buffer != NULL ? (char *)operand.buffer + operand.offset : NULL;
}

/* The same of elements that are float32 in any precision. */
static inline float *an__cuda_floats(an_operand operand)
{
    return (float *)an__cuda_address(operand);
}

/* The type of tensors, and of prepacked weights, whose products may be rounded so. */
static inline uint32_t an__cuda_dtype(uint32_t precision)
{
    return precision == AN_PRECISION_BF16 ? AN_DTYPE_BF16 : AN_DTYPE_FP32;
}

/* A kernel, or another template, for tensors of a dtype. */
#define AN_CUDA_BY_DTYPE(dtype, name)                                                    \
    ((dtype) == AN_DTYPE_BF16 ? name<an_bf16> : name<float>)
#define AN_CUDA_BY_DTYPE_OF(dtype, name, other)                                          \
    ((dtype) == AN_DTYPE_BF16 ? name<an_bf16, other> : name<float, other>)

/* --- launches ---------------------------------------------------------------------- */

/* What the next launch computes and moves at least: so many elements of that dtype, and
 * bytes beside them. */
static inline void an__cuda_cost(an_queue *q, double flops, uint32_t dtype,
                                 double elements, double bytes)
{
    q->flops = flops;
    q->bytes = elements * (double)an__dtype_bytes(dtype) + bytes;
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

/* The usual operation: what the queue has received is in its place, its device is the
 * current one, and `count` elements are independent. */
template <class Params>
an_status an__cuda_each(an_queue *q, void (*kernel)(Params), size_t count,
                        const Params &params, const char *what)
{
    an_use use(q->device);
    size_t blocks = (count + AN_CUDA_THREADS - 1) / AN_CUDA_THREADS;

    AN_CUDA_TRY(an__cuda_complete_receive(q));
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

/* --- the backend's functions, each in the file that its name suggests -------------- */

an_buffer_alloc_fn an__cuda_alloc;

an_queue_open_fn an__cuda_queue_open;
an_queue_close_fn an__cuda_queue_close;
an_sync_fn an__cuda_sync;
an_upload_fn an__cuda_upload;
an_download_fn an__cuda_download;
an_put_fn an__cuda_put;
an_get_fn an__cuda_get;
an_copy_fn an__cuda_copy;
an_begin_step_fn an__cuda_begin_step;

an_conv_scratch_fn an__cuda_conv_scratch;
an_dense_scratch_fn an__cuda_dense_scratch;
an_conv_forward_fn an__cuda_conv_forward;
an_conv_backward_data_fn an__cuda_conv_backward_data;
an_conv_backward_weights_fn an__cuda_conv_backward_weights;
an_dense_forward_fn an__cuda_dense_forward;
an_dense_backward_data_fn an__cuda_dense_backward_data;
an_dense_backward_weights_fn an__cuda_dense_backward_weights;
an_activation_forward_fn an__cuda_activation_forward;
an_activation_backward_fn an__cuda_activation_backward;
an_lrn_forward_fn an__cuda_lrn_forward;
an_lrn_backward_fn an__cuda_lrn_backward;
an_lrn_forward_fn an__cuda_lrn_within_forward;
an_lrn_backward_fn an__cuda_lrn_within_backward;
an_pool_forward_fn an__cuda_pool_forward;
an_pool_backward_fn an__cuda_pool_backward;
an_dropout_fn an__cuda_dropout;
an_scale_fn an__cuda_scale;
an_softmax_fn an__cuda_softmax;
an_softmax_loss_fn an__cuda_softmax_loss;
an_update_fn an__cuda_update;
an_all_finite_fn an__cuda_all_finite;

an_conv_algorithm_fn an__cuda_conv_algorithm;
an_conv_prepack_fn an__cuda_conv_prepack;
an_dense_prepack_bytes_fn an__cuda_dense_prepack_bytes;
an_dense_prepack_fn an__cuda_dense_prepack;
an_input_layout_fn an__cuda_input_layout;

an_argmax_bytes_fn an__cuda_argmax_bytes;
/* Whether lrn_pool_forward() and lrn_pool_backward() can do these. */
bool an__cuda_can_lrn_pool(const an_lrn_shape *n, const an_pool_shape *s);
an_lrn_pool_forward_fn an__cuda_lrn_pool_forward;
an_lrn_pool_backward_fn an__cuda_lrn_pool_backward;
an_dense_update_fn an__cuda_dense_update;

an_host_alloc_fn an__cuda_host_alloc;
an_host_release_fn an__cuda_host_release;
an_upload_async_fn an__cuda_upload_async;
an_wait_upload_fn an__cuda_wait_upload;
an_fence_fn an__cuda_fence;
an_wait_fence_fn an__cuda_wait_fence;
an_preprocess_fn an__cuda_preprocess;

an_record_fn an__cuda_record;
an_recorded_fn an__cuda_recorded;
an_replay_fn an__cuda_replay;
an_recording_free_fn an__cuda_recording_free;

an_trace_fn an__cuda_trace;
an_read_trace_fn an__cuda_read_trace;

#endif
