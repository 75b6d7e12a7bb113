/*
 * backend.h - what a backend provides: one const table of operations, which every backend
 * has whole, and smaller tables of what only some can do. docs/BACKEND.md tells the
 * author of the next backend what to write, in which order, and how it is proven.
 *
 * Private: a plugin is built with the library it belongs to, and refused if
 * AN_BACKEND_ABI or the table's size differ. an__backend_check() refuses a table that is
 * not whole.
 *
 * An operation works on the tensors of one tower, on that tower's device. It may run
 * later than the call: operations given to one queue run in order, and sync() waits for
 * them. Tensors are dense: x has batch * s->in_maps * ... elements, image after image.
 * Elements of tensors (images and their gradients) are float32; a backend with
 * `bf16_tensors` set is given bfloat16 for them where the model's precision is
 * AN_PRECISION_BF16. Parameters, their gradients and the logits are float32 always, so
 * that a product's `precision` says the dtype of its x, dy and dx. Within an image a
 * backend orders elements as it likes: the host's order is maps, rows, columns (NCHW),
 * and put() and get() translate. Only the halves of a joined tensor (`halves` 2) lie one
 * after the other everywhere, the lower tower's first.
 *
 * Every operation splits its work over outputs, never over a sum, so that the bits of a
 * result do not depend on the number of threads. test/support/ref.c says, slowly and in
 * double precision, what each operation computes.
 */
#ifndef AN_BACKEND_H
#define AN_BACKEND_H

#include "device/shapes.h"

#define AN_BACKEND_ABI 7u

typedef struct an_device an_device; /* the backend's own */
typedef struct an_queue an_queue;   /* the backend's own: operations in order, scratch */
typedef struct an_recording an_recording; /* the backend's own: operations to repeat */

/* What the library offers its backends. */
typedef struct an_host {
    void *user; /* handed back in each call */
    void *(*alloc)(size_t bytes, void *user);
    void (*release)(void *memory, void *user);
    /* Calls body(item, worker, arg) for each item below count, on up to `threads`
     * threads, and returns when all are done. worker < threads, and no two calls with the
     * same worker overlap within one parallel(). */
    void (*parallel)(uint32_t count,
                     void (*body)(uint32_t item, uint32_t worker, void *arg), void *arg,
                     void *user);
    uint32_t threads;
    /* Another number than in every process that this one was forked from. */
    uint64_t (*process)(void);
    /* Sets the calling thread's error message and returns `status`. */
    an_status (*fail)(an_status status, const char *format, ...);
} an_host;

/* --- core: devices and their memory ------------------------------------------------ */

/* sync(), release() and what closes may be called in a forked child of the process that
 * opened the device; there they free the host's memory alone. */
typedef an_status an_count_fn(const an_host *host, uint32_t *count);
/* index: below count. */
typedef an_status an_describe_fn(const an_host *host, uint32_t index,
                                 an_device_info *info);
typedef an_status an_open_fn(an_device **out, uint32_t index, const an_host *host);
typedef void an_close_fn(an_device *device);
typedef an_status an_buffer_alloc_fn(an_device *device, size_t bytes, void **out);
typedef void an_buffer_release_fn(an_device *device, void *buffer);

/* --- core: queues ------------------------------------------------------------------ */

/* scratch_bytes: the largest that any operation given to the queue says it needs. */
typedef an_status an_queue_open_fn(an_queue **out, an_device *device,
                                   size_t scratch_bytes);
typedef void an_queue_close_fn(an_queue *queue);
typedef an_status an_sync_fn(an_queue *queue);
/* Transfers may go on until sync(); what upload() and put() read may change once the call
 * has returned. */
typedef an_status an_upload_fn(an_queue *queue, an_operand to, const void *from,
                               size_t bytes);
typedef an_status an_download_fn(an_queue *queue, void *to, an_operand from,
                                 size_t bytes);
/* Elements first .. first + count - 1, in the host's order and as float32, of the tensor
 * at `to` or `from`. */
typedef an_status an_put_fn(an_queue *queue, const an_order *order, an_operand to,
                            size_t first, const float *from, size_t count);
typedef an_status an_get_fn(an_queue *queue, const an_order *order, float *to,
                            an_operand from, size_t first, size_t count);
/* Rows from one queue's device to another's, of the same dtype; the two queues may be
 * one. The copy is an operation of to_queue that comes after those that from_queue has
 * been given, and later operations of from_queue may write over what the copy reads: they
 * wait until it has been read. Operations with halves 2 that follow begin with the half
 * that needs no waiting. */
typedef an_status an_copy_fn(an_queue *to_queue, const an_copy_shape *s, an_operand to,
                             an_queue *from_queue, an_operand from);
/* What dropout() and update() read from now on. */
typedef an_status an_begin_step_fn(an_queue *queue, const an_step *step);

/* --- core: operations -------------------------------------------------------------- */

/* Scratch bytes that a layer needs of its queue, for up to `batch` images; training:
 * backward too. */
typedef size_t an_conv_scratch_fn(an_device *device, const an_conv_shape *s,
                                  uint32_t batch, int training);
typedef size_t an_dense_scratch_fn(an_device *device, const an_dense_shape *s,
                                   uint32_t batch, int training);

/* y = w * x + b. prepacked: w as the prepack table has made it for this algorithm, if it
 * says that there are such bytes, else none; where host_memory is set it may be none at
 * any time. So it is for all operations that have one. */
typedef an_status an_conv_forward_fn(an_queue *queue, const an_conv_shape *s,
                                     uint32_t batch, an_operand x, an_operand w,
                                     an_operand prepacked, an_operand b, an_operand y);
/* dx: gradient of x, overwritten. x: read if s->mask is not 0. */
typedef an_status an_conv_backward_data_fn(an_queue *queue, const an_conv_shape *s,
                                           uint32_t batch, an_operand w,
                                           an_operand prepacked, an_operand dy,
                                           an_operand x, an_operand dx);
/* dw, db: sums over the batch, overwritten. */
typedef an_status an_conv_backward_weights_fn(an_queue *queue, const an_conv_shape *s,
                                              uint32_t batch, an_operand x, an_operand dy,
                                              an_operand dw, an_operand db);

/* The same of dense layers. dropout: null, or the dropout that y goes through
 * (AN_FUSE_DENSE_DROPOUT). y: float32 for the logits, in any precision. */
typedef an_status an_dense_forward_fn(an_queue *queue, const an_dense_shape *s,
                                      uint32_t batch, an_operand x, an_operand w,
                                      an_operand prepacked, an_operand b,
                                      const an_dropout_shape *dropout, an_operand y);
typedef an_status an_dense_backward_data_fn(an_queue *queue, const an_dense_shape *s,
                                            uint32_t batch, an_operand w,
                                            an_operand prepacked, an_operand dy,
                                            an_operand x, an_operand dx);
/* dw may be none: db alone (AN_FUSE_DENSE_UPDATE). */
typedef an_status an_dense_backward_weights_fn(an_queue *queue, const an_dense_shape *s,
                                               uint32_t batch, an_operand x,
                                               an_operand dy, an_operand dw,
                                               an_operand db);

/* In place. kind: an_activation. backward: dy becomes dx, from y alone. */
typedef an_status an_activation_forward_fn(an_queue *queue, uint32_t kind, size_t count,
                                           an_operand y);
typedef an_status an_activation_backward_fn(an_queue *queue, uint32_t kind, size_t count,
                                            an_operand y, an_operand dy);

/* y = x * scale^-beta, scale = k + alpha * sum x^2 in float32: where that overflows, y is
 * 0. dx overwritten; not in place. */
typedef an_status an_lrn_forward_fn(an_queue *queue, const an_lrn_shape *s,
                                    uint32_t batch, an_operand x, an_operand y);
typedef an_status an_lrn_backward_fn(an_queue *queue, const an_lrn_shape *s,
                                     uint32_t batch, an_operand x, an_operand dy,
                                     an_operand dx);

/* Max. Every x that equals its window's maximum gets that window's gradient, as in
 * cuda-convnet: ties are not broken. dx overwritten. argmax: none, or room for the mask
 * of where the maxima are (AN_FUSE_ARGMAX), from which backward works without x. */
typedef an_status an_pool_forward_fn(an_queue *queue, const an_pool_shape *s,
                                     uint32_t batch, an_operand x, an_operand y,
                                     an_operand argmax);
typedef an_status an_pool_backward_fn(an_queue *queue, const an_pool_shape *s,
                                      uint32_t batch, an_operand x, an_operand argmax,
                                      an_operand dy, an_operand dx);

/* In place, and the same for forward and backward: multiplies by 0 or s->scale. */
typedef an_status an_dropout_fn(an_queue *queue, const an_dropout_shape *s,
                                uint32_t batch, an_operand x);
typedef an_status an_scale_fn(an_queue *queue, size_t count, float factor, an_operand x);

/* x: [batch][classes] float32, which become probabilities in place. */
typedef an_status an_softmax_fn(an_queue *queue, uint32_t classes, uint32_t batch,
                                an_operand x);

/* What a loss is computed from and gives. Labels, ranks and losses are AN_DTYPE_BYTES. */
typedef struct an_loss_operands {
    an_operand logits; /* [batch][classes] float32 */
    an_operand labels; /* [batch] int32_t */
    /* (p - onehot) / batch, a tensor; may be the logits, if it is float32. */
    an_operand dx;
    an_operand ranks;  /* [batch] an_rank, of the label */
    an_operand losses; /* [batch] double: -ln p[label] */
} an_loss_operands;

typedef an_status an_softmax_loss_fn(an_queue *queue, uint32_t classes, uint32_t batch,
                                     const an_loss_operands *o);

/* v = momentum * v - decay * rate * w - rate * g; w = w + v, of each part as the step's
 * update of its index says; nothing if *faults, a float32, is not 0. At most
 * AN_MAX_UPDATES parts. */
typedef an_status an_update_fn(an_queue *queue, const an_parameter_part *parts,
                               uint32_t count, an_operand faults);
/* *faults = 1 if some element is an infinity or a NaN, else it stays as it is. */
typedef an_status an_all_finite_fn(an_queue *queue, const an_array *arrays,
                                   uint32_t count, an_operand faults);

/* --- optional: prepacked weights --------------------------------------------------- */

#define AN_CONV_ALGORITHMS 2u

/* The algorithm of a convolution of so many images, below AN_CONV_ALGORITHMS, and how
 * many bytes its weights take in the layout that it wants them in; 0: they are used as
 * they lie. From one number of images on it is another algorithm than that of a single
 * one, or never. */
typedef uint32_t an_conv_algorithm_fn(an_device *device, const an_conv_shape *s,
                                      uint32_t batch, size_t *bytes);
typedef an_status an_conv_prepack_fn(an_queue *queue, const an_conv_shape *s,
                                     uint32_t algorithm, an_operand w,
                                     an_operand prepacked);
/* Likewise of a dense layer, which has one algorithm. */
typedef size_t an_dense_prepack_bytes_fn(an_device *device, const an_dense_shape *s,
                                         uint32_t batch, int training);
typedef an_status an_dense_prepack_fn(an_queue *queue, const an_dense_shape *s,
                                      an_operand w, an_operand prepacked);
/* The layout that the convolution wants which reads the network's input. */
typedef void an_input_layout_fn(const an_conv_shape *s, an_space_to_depth *s2d);

typedef struct an_prepack_table {
    an_conv_algorithm_fn *conv_algorithm;
    an_conv_prepack_fn *conv_prepack;
    an_dense_prepack_bytes_fn *dense_prepack_bytes;
    an_dense_prepack_fn *dense_prepack;
    an_input_layout_fn
        *input_layout; /* may be null: the input is laid out as any tensor */
} an_prepack_table;

/* --- optional: fused operations ---------------------------------------------------- */

/* What a backend may do in one that others do in several operations. */
typedef enum an_pattern {
    AN_FUSE_CONV_RELU,     /* forward: convolution, ReLU. Asked with conv */
    AN_FUSE_DENSE_RELU,    /* forward: dense, ReLU. Asked with dense */
    AN_FUSE_DENSE_DROPOUT, /* forward: dense, ReLU, dropout. Asked with dense, dropout */
    /* Backward_data, and the backward pass of the ReLU or dropout before it. Asked with
     * conv, or with dense. */
    AN_FUSE_CONV_MASK,
    AN_FUSE_DENSE_MASK,
    AN_FUSE_ARGMAX, /* pooling writes the mask of its maxima. Asked with pool */
    /* Normalisation, pooling: what lies between is kept nowhere. Asked with lrn, pool. */
    AN_FUSE_LRN_POOL,
    /* A dense layer's weights are updated where their gradient is computed, which then
     * lies nowhere: the gradient is deferred. Asked with dense. */
    AN_FUSE_DENSE_UPDATE,
    /* The update writes prepacked weights too. Asked without shapes. */
    AN_FUSE_UPDATE_PREPACK,
    /* Both towers' halves of a layer are two groups of one. Asked without shapes. */
    AN_FUSE_TOWERS,
    /* It gains where a convolution and what follows it work on a slice of the batch while
     * that is in the cache. Asked with conv. */
    AN_FUSE_SLICES,
    AN_PATTERNS
} an_pattern;

typedef struct an_fusion {
    uint32_t pattern; /* an_pattern; the shapes that it does not name are null */
    uint32_t dtype;   /* of tensors */
    const an_conv_shape *conv;
    const an_dense_shape *dense;
    const an_dropout_shape *dropout;
    const an_lrn_shape *lrn;
    const an_pool_shape *pool;
} an_fusion;

typedef int an_can_fuse_fn(const an_device *device, const an_fusion *fusion);
/* Bytes of an image's argmax mask. */
typedef size_t an_argmax_bytes_fn(const an_pool_shape *s);
/* argmax: none where there is no backward pass. */
typedef an_status an_lrn_pool_forward_fn(an_queue *queue, const an_lrn_shape *n,
                                         const an_pool_shape *s, uint32_t batch,
                                         an_operand x, an_operand y, an_operand argmax);
typedef an_status an_lrn_pool_backward_fn(an_queue *queue, const an_lrn_shape *n,
                                          const an_pool_shape *s, uint32_t batch,
                                          an_operand x, an_operand argmax, an_operand dy,
                                          an_operand dx);
/* The update of a dense layer's weights, whose gradient it computes: weight->g is not
 * written. An element whose gradient is not finite stays as it is. */
typedef an_status an_dense_update_fn(an_queue *queue, const an_dense_shape *s,
                                     uint32_t batch, an_operand x, an_operand dy,
                                     const an_parameter_part *weight, an_operand faults);

typedef struct an_fused_table {
    /* Bits 1 << an_pattern that can_fuse() may say yes to; it is asked of no other. */
    uint32_t patterns;
    an_can_fuse_fn *can_fuse;
    an_argmax_bytes_fn *argmax_bytes;         /* with AN_FUSE_ARGMAX */
    an_lrn_pool_forward_fn *lrn_pool_forward; /* with AN_FUSE_LRN_POOL, as the next */
    an_lrn_pool_backward_fn *lrn_pool_backward;
    an_dense_update_fn *dense_update; /* with AN_FUSE_DENSE_UPDATE */
} an_fused_table;

/* --- optional: work that goes on beside the host's --------------------------------- */

#define AN_MAX_IN_FLIGHT 2u /* fences of a queue, and steps that may be in flight */

/* The host's memory from which upload_async() is fastest. */
typedef an_status an_host_alloc_fn(an_device *device, size_t bytes, void **out);
typedef void an_host_release_fn(an_device *device, void *memory);
/* An upload that goes on beside the queue's operations, and is none of them, and beside
 * the host, which leaves `from` as it is until wait_upload() has waited for all uploads
 * so far; the queue's next operation finds the bytes there. */
typedef an_status an_upload_async_fn(an_queue *queue, an_operand to, const void *from,
                                     size_t bytes);
typedef an_status an_wait_upload_fn(an_queue *queue);
/* A fence stands behind what the queue has been given so far, downloads included;
 * wait_fence() waits for that alone. fence: below AN_MAX_IN_FLIGHT. */
typedef an_status an_fence_fn(an_queue *queue, uint32_t fence);
typedef an_status an_wait_fence_fn(an_queue *queue, uint32_t fence);
/* Crops ([batch][size][size][3] bytes) to network input, with an an_view for each, and
 * the mean image ([3][side][side] float32) or none. */
typedef an_status an_preprocess_fn(an_queue *queue, const an_preprocess_shape *s,
                                   uint32_t batch, an_operand crops, an_operand views,
                                   an_operand mean, an_operand x);

typedef struct an_async_table {
    an_host_alloc_fn *host_alloc;
    an_host_release_fn *host_release;
    an_upload_async_fn *upload_async;
    an_wait_upload_fn *wait_upload;
    an_fence_fn *fence;
    an_wait_fence_fn *wait_fence;
    an_preprocess_fn *preprocess;
} an_async_table;

/* --- optional: recorded operations ------------------------------------------------- */

/* What these queues are given between record() and recorded() is kept, not done, and done
 * at each replay(), in order with what else the queues are given. Only uploads,
 * begin_step() and downloads must stay outside. */
typedef an_status an_record_fn(an_queue *const *queues, uint32_t count);
typedef an_status an_recorded_fn(an_queue *const *queues, uint32_t count,
                                 an_recording **out);
typedef an_status an_replay_fn(an_recording *recording);
typedef void an_recording_free_fn(an_recording *recording);

typedef struct an_graph_table {
    an_record_fn *record;
    an_recorded_fn *recorded;
    an_replay_fn *replay;
    an_recording_free_fn *recording_free;
} an_graph_table;

/* --- optional: traces -------------------------------------------------------------- */

/* From now on the kernels that the queue is given are timed under this label; null: no
 * longer. */
typedef an_status an_trace_fn(an_queue *queue, const char *label);
/* Waits for those kernels and tells of the first `most`. */
typedef an_status an_read_trace_fn(an_queue *queue, an_traced *rows, uint32_t most,
                                   uint32_t *count);

typedef struct an_trace_table {
    an_trace_fn *trace;
    an_read_trace_fn *read_trace;
} an_trace_table;

/* --- the table --------------------------------------------------------------------- */

typedef struct an_backend {
    uint32_t abi, size; /* AN_BACKEND_ABI, sizeof(an_backend) */
    const char *name;   /* "cpu" in "cpu:0" */
    /* 1: a buffer is an address of the host's, and weights lie in the host's order, so
     * that a file can be mapped for them. */
    uint32_t host_memory;
    uint32_t bf16_tensors; /* 1: tensors may be bfloat16 */
    /* Names of what conv_algorithm() gives; the first alone without a prepack table. */
    const char *algorithms[AN_CONV_ALGORITHMS];

    an_count_fn *count;
    an_describe_fn *describe;
    an_open_fn *open;
    an_close_fn *close;
    an_buffer_alloc_fn *alloc;
    an_buffer_release_fn *release;

    an_queue_open_fn *queue_open;
    an_queue_close_fn *queue_close;
    an_sync_fn *sync;
    an_upload_fn *upload;
    an_download_fn *download;
    an_put_fn *put;
    an_get_fn *get;
    an_copy_fn *copy;
    an_begin_step_fn *begin_step;

    an_conv_scratch_fn *conv_scratch;
    an_dense_scratch_fn *dense_scratch;
    an_conv_forward_fn *conv_forward;
    an_conv_backward_data_fn *conv_backward_data;
    an_conv_backward_weights_fn *conv_backward_weights;
    an_dense_forward_fn *dense_forward;
    an_dense_backward_data_fn *dense_backward_data;
    an_dense_backward_weights_fn *dense_backward_weights;
    an_activation_forward_fn *activation_forward;
    an_activation_backward_fn *activation_backward;
    an_lrn_forward_fn *lrn_forward; /* across maps */
    an_lrn_backward_fn *lrn_backward;
    an_lrn_forward_fn *lrn_within_forward; /* within a map */
    an_lrn_backward_fn *lrn_within_backward;
    an_pool_forward_fn *pool_forward;
    an_pool_backward_fn *pool_backward;
    an_dropout_fn *dropout;
    an_scale_fn *scale;
    an_softmax_fn *softmax;
    an_softmax_loss_fn *softmax_loss;
    an_update_fn *update;
    an_all_finite_fn *all_finite;

    /* Null where the backend has no such thing; else whole. */
    const an_prepack_table *prepack;
    const an_fused_table *fused;
    const an_async_table *async;
    const an_graph_table *graph;
    const an_trace_table *trace;
} an_backend;

/* OK, or BACKEND with a message that names the function, or the pattern's coupling, that
 * a table lacks. `from` says where the table came from. (backend.c) */
an_status an__backend_check(const an_backend *backend, const char *from);

/* Whether the backend does that in one. (backend.c) */
int an__can_fuse(const an_backend *backend, const an_device *device,
                 const an_fusion *fusion);

extern const an_backend an__cpu_backend; /* the reference */
/* The CPU's for an an_cpu_path: null if the processor lacks its instructions.
 * (cpu/path.c) */
const an_backend *an__cpu_path(uint32_t path);

#endif
