/*
 * backend.h - what a backend provides: one const table of operations. Private: a plugin is
 * built with the library it belongs to, and refused if AN_BACKEND_ABI or the table's size
 * differ.
 *
 * An operation works on one tower's tensors, on that tower's device. It may run later than
 * the call: operations given to one queue run in order, and sync() waits for them. Pointers
 * named `x`, `y`, `w`, ... are device memory; for a backend with host_memory set that is the
 * host's own. Tensors are dense: x has batch * s->in_maps * ... numbers, image after image.
 * Numbers are float32, but that a backend with `narrow` set keeps those of tensors (images and
 * their gradients) in bfloat16 where their precision is AN_PRECISION_BF16; parameters, their
 * gradients and logits never. (A tensor's pointer is a float's in either case.) Within an image a backend orders them as it likes: the host's order is maps,
 * rows, columns (NCHW), and put() and get() translate. Only the halves of a joined tensor
 * (`slabs` 2) lie one after the other everywhere, the lower tower's first.
 *
 * Every operation splits its work over outputs, never over a sum, so that the bits of a
 * result do not depend on the number of threads. test/ref.c says, slowly and in double
 * precision, what each one computes.
 */
#ifndef AN_BACKEND_H
#define AN_BACKEND_H

#include "alexnet.h"

#define AN_BACKEND_ABI 4u

typedef struct an_device an_device; /* the backend's own */
typedef struct an_queue an_queue;   /* the backend's own: operations in order, scratch */
typedef struct an_recording an_recording; /* the backend's own: operations to repeat */

/* What the library offers its backends. */
typedef struct an_host {
    void *user; /* handed back in each call */
    void *(*alloc)(size_t bytes, void *user);
    void (*release)(void *memory, void *user);
    /* Calls body(item, worker, arg) for each item below count, on up to `threads` threads,
     * and returns when all are done. worker < threads, and no two calls with the same
     * worker overlap within one parallel(). */
    void (*parallel)(uint32_t count,
                     void (*body)(uint32_t item, uint32_t worker, void *arg), void *arg,
                     void *user);
    uint32_t threads;
    /* Sets the calling thread's error message and returns `status`. */
    an_status (*fail)(an_status status, const char *format, ...);
} an_host;

/* How a device may keep the network's input: each square of `side` x `side` pixels as one pixel
 * of `maps` numbers, in the order (row, column, colour), zeros behind them; and so a convolution
 * of that stride is one of stride 1. Squares begin `pad` pixels above and left of the image, and
 * have zeros where it has no pixels. side 0: as any tensor. */
typedef struct an_form {
    uint32_t side, pad, rows, columns, maps;
} an_form;

/* The host's order of a tensor's numbers: [rows][slabs][maps][pixels]. A weight's rows are
 * its output maps, its pixels the kernel's places or, of a dense layer, those of its input. */
typedef struct an_order {
    size_t rows;
    uint32_t slabs, maps, pixels; /* maps: of one slab */
    uint32_t weights;             /* 1: of a parameter or its gradient; 0: of images */
    uint32_t precision;           /* of the tensor; FP32 for parameters */
    uint32_t width;               /* of an image, if it has a form */
    an_form form;                 /* the device's */
} an_order;

typedef struct an_conv_shape {
    uint32_t in_maps, in_height, in_width;
    uint32_t out_maps, out_height, out_width;
    uint32_t kernel, stride;
    uint32_t pad;    /* zeros above and left of the image; below and right come as many as
                        out_height and out_width ask for */
    uint32_t groups; /* output maps of group g read the input maps of group g alone */
    /* Of x and, between its output maps, of w: 1, or 2 for halves that an exchange has put
     * side by side; groups is 1 then. own: the half that this tower computed. */
    uint32_t slabs, own;
    uint32_t precision; /* an_precision: what products may be rounded to */
    uint32_t relu; /* 1: y below 0 becomes 0; only asked of a backend that fuses it */
    an_form form;  /* of x and of packed weights */
    /* Back: where x is not above 0, dx is 0; elsewhere it is multiplied by this. 0: nothing of
     * that; only asked of a backend that fuses it. */
    float mask;
} an_conv_shape;

typedef struct an_dense_shape {
    uint32_t inputs, outputs;
    uint32_t slabs, own, precision, relu; /* as above */
    uint32_t pixels;                      /* of a map of x */
    uint32_t wide; /* 1: y is float32 in any precision (dy is not) */
    float mask;    /* as above */
    float factor;  /* of y, behind ReLU; 0: none */
} an_dense_shape;

typedef struct an_pool_shape {
    uint32_t maps, in_height, in_width, out_height, out_width;
    uint32_t kernel, stride; /* windows are clipped at the lower and right edge */
    uint32_t precision;
    /* 1: marks of maxima that are not above 0 are left out, so that the way back needs no
     * ReLU's; only asked of a backend that marks. */
    uint32_t relu;
} an_pool_shape;

typedef struct an_lrn_shape {
    uint32_t maps, height, width;
    uint32_t size; /* n: of the window, odd. Across: maps. Within: n x n pixels */
    uint32_t
        groups; /* across: the window is clipped at the edges of each group of maps */
    float k, alpha,
        beta; /* scale = k + alpha * sum of squares: alpha is already divided */
    uint32_t precision;
} an_lrn_shape;

/* Unit u of image i is kept if a number drawn for (seed, iteration, layer, position) says
 * so; position = i * total + first + u, which is the same however the layer is split. */
typedef struct an_dropout_shape {
    uint32_t units;        /* of this tensor, per image */
    uint32_t first, total; /* where they stand in the whole layer */
    uint32_t pixels;       /* of a map: units are counted in the host's order */
    uint32_t layer;        /* stream of the generator */
    float rate;
    float scale; /* of what is kept: 1, or 1 / (1 - rate) */
    uint32_t precision;
} an_dropout_shape;

typedef struct an_update {
    float rate, momentum, decay;
} an_update;

#define AN_MAX_UPDATES 20u

/* A parameter on its device, for what is done to all at once. */
typedef struct an_parameter_part {
    uint32_t index; /* of its update in the step */
    size_t count;
    float *g, *v, *w;
    void *pack; /* null, or packed weights in w's order, to be kept the same */
} an_parameter_part;

/* Numbers of a tensor, or of what else there is. */
typedef struct an_array {
    const float *p;
    size_t count;
    uint32_t precision;
} an_array;

#define AN_MARKS 2u       /* of a queue */
#define AN_MAX_ARRAYS 32u /* in a call */

/* What changes from step to step. */
typedef struct an_step {
    uint64_t seed, iteration;         /* of dropout */
    uint64_t first;                   /* place in the step's batch of its first image */
    an_update update[AN_MAX_UPDATES]; /* of parameter i; rate 0: it stays as it is */
} an_step;

/* How a picture's bytes become network input; the rows of a crop, R, G, B, are given. */
typedef struct an_picture_shape {
    uint32_t size, side; /* of the crop, and of the fitted picture and its mean image */
    uint32_t bgr, mean_moves;
    float mean[3], scale[3];
    uint32_t precision; /* of the input */
    an_form form;
} an_picture_shape;

typedef struct an_view { /* of the fitted picture */
    uint32_t x, y, mirror;
    float colour[3], divisor; /* (pixel - mean + colour) / divisor */
} an_view;

typedef struct an_rank { /* of an image's label among its classes */
    uint32_t greater, equal;
} an_rank;

#define AN_CONV_WAYS 2u

/* What a backend does in one operation that others do in several. */
enum {
    AN_FUSES_RELU = 1,    /* forward products take the ReLU behind them along, */
    AN_FUSES_DROPOUT = 2, /* dense ones the dropout behind that as well, */
    AN_FUSES_MASK = 4,    /* and backward_data their ways back */
    AN_FUSES_SLICES = 8,  /* gains by parts of a batch, done while they are near */
    AN_FUSES_PACKS = 16,  /* weights are packed again by the update that changes them */
    AN_FUSES_UPDATE = 32, /* a dense layer's weights are updated where their gradient is
                             computed, which then lies nowhere */
    AN_FUSES_TOWERS = 64  /* both towers' halves of a layer are groups of one */
};

/* A launch that a trace has seen. flops, bytes: what it does and moves at least. */
typedef struct an_traced {
    char label[32];
    const char *what;
    double seconds, flops, bytes;
} an_traced;

typedef struct an_backend {
    uint32_t abi, size;
    const char *name;
    uint32_t
        host_memory; /* 1: device memory is the host's, and weights lie in its order */
    uint32_t fuses;  /* bits of AN_FUSES_ */
    uint32_t narrow; /* 1: tensors may be bfloat16 */
    const char
        *ways[AN_CONV_WAYS]; /* names of what conv_way() gives; the first alone, where
                                       it is null */

    /* Devices. open: index below count. */
    an_status (*count)(const an_host *host, uint32_t *count);
    an_status (*describe)(const an_host *host, uint32_t index, an_device_info *info);
    an_status (*open)(an_device **out, uint32_t index, const an_host *host);
    void (*close)(an_device *device);
    an_status (*alloc)(an_device *device, size_t bytes, void **out);
    void (*release)(an_device *device, void *memory);

    /* Queues. scratch_bytes: the largest that any operation given to it says it needs.
     * upload, download, put and get may go on until sync(); what upload and put read may
     * change once they have returned. */
    an_status (*queue_open)(an_queue **out, an_device *device, size_t scratch_bytes);
    void (*queue_close)(an_queue *queue);
    an_status (*sync)(an_queue *queue);
    an_status (*upload)(an_queue *queue, void *to, const void *from, size_t bytes);
    an_status (*download)(an_queue *queue, void *to, const void *from, size_t bytes);
    /* Null where queues do what they are given at once. upload_beside() goes on beside the
     * queue's work, whose next operation finds it done: it returns when it is, and is no
     * operation of the queue. mark(): of what has been given so far, downloads included;
     * wait_for() waits for that alone. mark: below AN_MARKS. */
    an_status (*upload_beside)(an_queue *queue, void *to, const void *from, size_t bytes);
    an_status (*mark)(an_queue *queue, uint32_t mark);
    an_status (*wait_for)(an_queue *queue, uint32_t mark);
    /* The host's memory from which upload_beside() is fastest. Null: any is as good. */
    an_status (*host_alloc)(an_device *device, size_t bytes, void **out);
    void (*host_release)(an_device *device, void *memory);
    /* Numbers first .. first + count - 1, in the host's order, of the tensor at `to` or
     * `from`. */
    an_status (*put)(an_queue *queue, const an_order *order, float *to, size_t first,
                     const float *from, size_t count);
    an_status (*get)(an_queue *queue, const an_order *order, float *to, const float *from,
                     size_t first, size_t count);

    /* One tower's part of an exchange: images of `count` numbers, `to_pitch` and
     * `from_pitch` apart, from one queue's device to another's. add: to += from. It is an
     * operation of to_queue, after those that from_queue has been given; the two may be
     * one. Operations with slabs 2 that follow begin with the half that needs no waiting. */
    an_status (*exchange)(an_queue *to_queue, float *to, size_t to_pitch,
                          an_queue *from_queue, const float *from, size_t from_pitch,
                          size_t count, uint32_t batch, uint32_t precision, int add);

    /* Scratch bytes that convolutions and dense layers need of their queue, for up to
     * `batch` images; training: the way back too. */
    size_t (*conv_scratch)(an_device *device, const an_conv_shape *s, uint32_t batch,
                           int training);
    size_t (*dense_scratch)(an_device *device, const an_dense_shape *s, uint32_t batch,
                            int training);

    /* Null where weights are used as they lie. Else: how a convolution of so many images is
     * done, below AN_CONV_WAYS, and how many bytes its weights take in the order that it
     * wants them in, into which conv_pack() brings them. From one number of images on it is
     * another way than that of a single one, or never. */
    uint32_t (*conv_way)(an_device *device, const an_conv_shape *s, uint32_t batch,
                         size_t *bytes);
    an_status (*conv_pack)(an_queue *q, const an_conv_shape *s, uint32_t way,
                           const float *w, float *pack);

    /* Null, or the form in which the convolution that reads the network's input wants it. */
    void (*input_form)(const an_conv_shape *s, an_form *form);

    /* y = w * x + b. pack: what conv_pack() has made of w for this way, if it has bytes; where
     * host_memory is set it may be null. So it is for all that have one. */
    an_status (*conv_forward)(an_queue *q, const an_conv_shape *s, uint32_t batch,
                              const float *x, const float *w, const float *pack,
                              const float *b, float *y);
    /* dx: gradient of x, overwritten. x: read if s->mask is not 0. */
    an_status (*conv_backward_data)(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                    const float *w, const float *pack, const float *dy,
                                    const float *x, float *dx);
    /* dw, db: sums over the batch, overwritten. A dense layer's dw may be null: db alone. */
    an_status (*conv_backward_weights)(an_queue *q, const an_conv_shape *s,
                                       uint32_t batch, const float *x, const float *dy,
                                       float *dw, float *db);

    /* Null where weights are used as they lie. Else: bytes of a dense layer's weights in the
     * precision that s allows, for so many images; 0: they are used as they lie. */
    size_t (*dense_way)(an_device *device, const an_dense_shape *s, uint32_t batch,
                        int training);
    an_status (*dense_pack)(an_queue *q, const an_dense_shape *s, const float *w,
                            void *pack);

    /* pack: null, or what dense_pack() has made of w, if this is a batch for it. drop: null,
     * or the dropout that y goes through. */
    an_status (*dense_forward)(an_queue *q, const an_dense_shape *s, uint32_t batch,
                               const float *x, const float *w, const void *pack,
                               const float *b, const an_dropout_shape *drop, float *y);
    an_status (*dense_backward_data)(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                     const float *w, const void *pack, const float *dy,
                                     const float *x, float *dx);
    an_status (*dense_backward_weights)(an_queue *q, const an_dense_shape *s,
                                        uint32_t batch, const float *x, const float *dy,
                                        float *dw, float *db);

    /* In place. kind: an_activation. backward: dy becomes dx, from y alone. */
    an_status (*activation_forward)(an_queue *q, uint32_t kind, uint32_t precision,
                                    size_t count, float *y);
    an_status (*activation_backward)(an_queue *q, uint32_t kind, uint32_t precision,
                                     size_t count, const float *y, float *dy);

    /* y = x * (k + alpha * sum x^2)^-beta. dx overwritten; not in place. */
    an_status (*lrn_forward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                             const float *x, float *y);
    an_status (*lrn_backward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                              const float *x, const float *dy, float *dx);
    an_status (*lrn_within_forward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                    const float *x, float *y);
    an_status (*lrn_within_backward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                     const float *x, const float *dy, float *dx);

    /* Max. Every x that equals its window's maximum gets that window's gradient, as in
     * cuda-convnet: ties are not broken. dx overwritten. marks: where a backend notes which
     * they are, so that the way back reads no x; pool_marks: how many bytes an image's take.
     * Null, or 0: none, and marks is null. */
    size_t (*pool_marks)(const an_pool_shape *s);
    an_status (*pool_forward)(an_queue *q, const an_pool_shape *s, uint32_t batch,
                              const float *x, float *y, void *marks);
    an_status (*pool_backward)(an_queue *q, const an_pool_shape *s, uint32_t batch,
                               const float *x, const void *marks, const float *dy,
                               float *dx);

    /* Normalisation across maps and the pooling of what it gives, which is kept nowhere: if
     * lrn_pool_fits. Null: never. marks: as above; null where there is no way back. */
    int (*lrn_pool_fits)(const an_device *device, const an_lrn_shape *n,
                         const an_pool_shape *s);
    an_status (*lrn_pool_forward)(an_queue *q, const an_lrn_shape *n,
                                  const an_pool_shape *s, uint32_t batch, const float *x,
                                  float *y, void *marks);
    an_status (*lrn_pool_backward)(an_queue *q, const an_lrn_shape *n,
                                   const an_pool_shape *s, uint32_t batch, const float *x,
                                   const void *marks, const float *dy, float *dx);

    /* What dropout and update read from now on. */
    an_status (*begin_step)(an_queue *q, const an_step *step);

    /* In place, and the same for forward and backward: multiplies by 0 or s->scale. */
    an_status (*dropout)(an_queue *q, const an_dropout_shape *s, uint32_t batch,
                         float *x);
    an_status (*scale)(an_queue *q, uint32_t precision, size_t count, float factor,
                       float *x);

    /* x: [batch][classes], becomes probabilities in place. */
    an_status (*softmax)(an_queue *q, uint32_t classes, uint32_t batch, float *x);
    /* loss[i] = -ln p[i][label[i]] from the logits x, in double; dx = (p - onehot) / batch,
     * a tensor of that precision, may be x if both are float32; ranks[i]: how many logits are
     * greater than the label's, and how many equal it, with it. All are device memory. */
    an_status (*softmax_loss)(an_queue *q, uint32_t classes, uint32_t batch,
                              const float *x, const int32_t *labels, uint32_t precision,
                              float *dx, an_rank *ranks, double *loss);

    /* v = momentum * v - decay * rate * w - rate * g; w = w + v, of each part as the step's
     * update of its index says; nothing if *faults is not 0. At most AN_MAX_UPDATES parts. */
    an_status (*update)(an_queue *q, const an_parameter_part *parts, uint32_t count,
                        const float *faults);
    /* The same of a dense layer's weights, whose gradient it computes. weight: its g is not
     * written. A number whose gradient is not finite stays as it is. */
    an_status (*dense_update)(an_queue *q, const an_dense_shape *s, uint32_t batch,
                              const float *x, const float *dy,
                              const an_parameter_part *weight, const float *faults);
    /* *faults = 1 if some number is an infinity or a NaN, else it stays as it is. Device
     * memory. */
    an_status (*all_finite)(an_queue *q, const an_array *arrays, uint32_t count,
                            float *faults);

    /* Null where the library prepares floats itself. Crops ([batch][size][size][3]) to
     * network input; bytes, views (one an image) and mean ([3][side][side], or null) are
     * device memory. */
    an_status (*pictures)(an_queue *q, const an_picture_shape *s, uint32_t batch,
                          const uint8_t *bytes, const an_view *views, const float *mean,
                          float *x);

    /* Null where there is nothing to gain. What these queues are given between record() and
     * recorded() is kept, not done, and done at each replay(), in order with what else the
     * queues are given. Only uploads, begin_step() and downloads must stay outside. */
    an_status (*record)(an_queue *const *queues, uint32_t count);
    an_status (*recorded)(an_queue *const *queues, uint32_t count, an_recording **out);
    an_status (*replay)(an_recording *recording);
    void (*recording_free)(an_recording *recording);

    /* Null where kernels are not timed. From now on those that the queue is given are, under
     * this label; null: no longer. traced() waits for them and tells of the first `most`. */
    an_status (*trace)(an_queue *queue, const char *label);
    an_status (*traced)(an_queue *queue, an_traced *rows, uint32_t most, uint32_t *count);
} an_backend;

extern const an_backend an__cpu_backend; /* the reference */
/* The CPU's for an an_cpu_path: null if the processor lacks its instructions. (cpu/path.c) */
const an_backend *an__cpu_path(uint32_t path);

#endif
