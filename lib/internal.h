/*
 * internal.h - what the library's files share. Names: an_ for types, an__ for functions.
 *
 * One direction: config -> arch (rows) -> plan (operations, tensors, parameters, per tower)
 * -> exec (memory, running a plan) -> backend operations. model.c holds parameters and the
 * execs of inference, trainer.c the exec of training.
 */
#ifndef AN_INTERNAL_H
#define AN_INTERNAL_H

#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

#include "alexnet.h"
#include "backend.h"

#define AN_MAX_TOWERS 2
#define AN_MAX_DEVICES 16
#define AN_MAX_LAYERS 10
#define AN_MAX_STAGES 6
#define AN_MAX_OPS 128
#define AN_MAX_PARAMS (2 * AN_MAX_LAYERS)
#define AN_PASS 128 /* images of one pass of an_infer(), at most */

/* --- errors (error.c) ---------------------------------------------------------------- */

/* Sets the thread's message, returns status. `format` knows what printf does. */
an_status an__fail(an_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define AN_TRY(call)                                                                     \
    do {                                                                                 \
        an_status try_status_ = (call);                                                  \
        if (try_status_ != AN_OK) return try_status_;                                    \
    } while (0)

#define AN_CHECK(condition, ...)                                                         \
    do {                                                                                 \
        if (!(condition)) return an__fail(AN_ERROR_ARGUMENT, __VA_ARGS__);               \
    } while (0)

/* *product = a * b; false if it does not fit. */
int an__multiply(size_t a, size_t b, size_t *product);

/* --- config structs (config.c) ------------------------------------------------------- */

/* Copies a caller's struct over one with defaults: `known` is this library's sizeof,
 * `least` the size in 1.0. A longer struct must be zero beyond `known`. `what` names it. */
an_status an__struct_read(void *to, const void *from, size_t known, size_t least,
                          const char *what);
/* The inverse: fills what the caller's struct has room for, keeping its size field. */
an_status an__struct_write(void *to, const void *from, size_t known, size_t least,
                           const char *what);
an_status
an__model_config_check(an_model_config *config); /* limits; resolves no preset */
an_status an__trainer_config_check(const an_trainer_config *config);

/* --- memory and log (memory.c) --------------------------------------------------------- */

/* Where memory comes from, and where messages go: the host's functions, or this library's. A
 * context owns one, which outlives all that is allocated through it. */
typedef struct an_allocator {
    an_alloc_fn alloc;
    an_release_fn release;
    void *alloc_user;
    an_log_fn log; /* null: messages go nowhere */
    void *log_user;
} an_allocator;

/* Not zeroed. Null, with the thread's message set, if there is not so much. */
void *an__alloc(const an_allocator *memory, size_t bytes);
void *an__alloc_zero(const an_allocator *memory, size_t bytes);
void an__free(const an_allocator *memory, void *block); /* block: null allowed */
void an__log(const an_allocator *memory, an_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- thread pool (pool.c) ------------------------------------------------------------ */

typedef struct an_pool an_pool;
typedef void (*an_body_fn)(uint32_t item, uint32_t worker, void *arg);

an_status an__pool_create(an_pool **out, const an_allocator *memory, uint32_t threads);
void an__pool_destroy(an_pool *pool, int forked);
/* Runs body for items 0..count-1. If the pool is busy with another caller's work, the
 * calling thread does all of it alone, as worker 0. */
void an__pool_run(an_pool *pool, uint32_t count, an_body_fn body, void *arg);

/* --- context (context.c) ------------------------------------------------------------- */

typedef struct an_slot { /* an opened device */
    const an_backend *backend;
    an_device *device;
    uint32_t index;
} an_slot;

struct an_context {
    an_allocator memory;
    pid_t pid;
    uint32_t threads;
    an_pool *pool;
    an_host host;
    pthread_mutex_t lock; /* guards refs and slots */
    uint32_t refs;
    an_slot slots[AN_MAX_DEVICES];
    uint32_t slot_count;
    const an_backend *cpu;  /* of the path in use */
    const an_backend *cuda; /* null: not looked for yet, or not there: */
    int cuda_sought;
    char cuda_missing[320]; /* why */
};

/* The table of the CUDA plugin: path null for where it is found without being told. BACKEND:
 * it is not there, or not this library's. (plugin.c) */
an_status an__plugin_open(const char *path, const an_backend **out);

an_status an__context_check(const an_context *ctx); /* null, fork */
void an__context_retain(an_context *ctx);
void an__context_release(an_context *ctx);
/* Reads "cpu" or "cpu,cpu" and opens what it names, once per context. */
an_status an__context_devices(an_context *ctx, const char *devices, uint32_t towers,
                              an_slot slots[AN_MAX_TOWERS]);

/* --- random numbers (rng.c) ---------------------------------------------------------- */

/* Philox 4x32-10: 128 bits that are a function of seed and counter alone. */
void an__philox(uint64_t seed, const uint32_t counter[4], uint32_t out[4]);

/* Which of the independent sequences of one seed; the third word of the counter's high
 * part. The layer or parameter number is added. */
enum {
    AN_STREAM_DROPOUT = 0x100,
    AN_STREAM_VIEW = 0x200, /* of an_train_step_images() */
    AN_STREAM_INIT = 0x300,
    AN_STREAM_LOADER_ORDER = 0x400,
    AN_STREAM_LOADER_VIEW = 0x500,
    AN_STREAM_LOADER_COLOUR = 0x600
};

/* In (0, 1]: never 0, whose logarithm Box and Muller's method could not take. */
double an__uniform(uint32_t word);

/* Four words for position 4 * block .. 4 * block + 3 of a stream at an iteration. */
void an__random4(uint64_t seed, uint32_t stream, uint64_t iteration, uint32_t block,
                 uint32_t out[4]);

/* --- arch (arch.c): which AlexNet, as data ------------------------------------------- */

typedef enum an_layer_kind { AN_LAYER_CONV, AN_LAYER_DENSE } an_layer_kind;

typedef struct an_lrn_row {
    uint32_t size;
    float k, alpha, beta; /* alpha multiplies the plain sum of squares */
    uint32_t per_tower;   /* the window stays within a half of the maps */
} an_lrn_row;

/* A layer with weights, and what follows it. */
typedef struct an_layer_row {
    const char *name;
    an_layer_kind kind;
    uint32_t maps; /* units of a dense layer; 0: the number of classes */
    uint32_t kernel, stride, pad, groups;
    uint32_t ceil; /* 1: the last position may hang over the edge, where zeros are read */
    char stages[AN_MAX_STAGES + 1]; /* see an_layer_info.stages */
    an_lrn_row lrn, within;
    uint32_t pool_kernel, pool_stride, pool_ceil;
    float sigma, bias;     /* gaussian initialisation */
    const char *file_name; /* of its parameters */
} an_layer_row;

typedef struct an_arch_row {
    uint32_t arch;
    const char *name;
    uint32_t image_size, classes, side;
    uint32_t activation, initialisation, dropout_scaling;
    float dropout_rate;
    float bias_rate_factor; /* of the weights' rate */
    uint32_t bias_decays;
    uint32_t bgr,
        warp; /* warp: 1 for AN_FIT_WARP, and a mean image moves with the crop */
    float mean[3], scale[3];
    uint32_t layers;
    an_layer_row layer[AN_MAX_LAYERS];
} an_arch_row;

const an_arch_row *an__arch(uint32_t arch); /* null if there is none */

/* Applies a checked config's ablations to a preset: `row` is the network to build, and
 * `config` has every preset value resolved. */
an_status an__arch_apply(an_arch_row *row, an_model_config *config);

/* --- plan (plan.c): operations, tensors and parameters, in order ---------------------- */

typedef enum an_op_kind {
    AN_OP_CONV,
    AN_OP_DENSE,
    AN_OP_ACTIVATION,
    AN_OP_LRN,
    AN_OP_LRN_WITHIN,
    AN_OP_POOL,
    AN_OP_DROPOUT,
    AN_OP_EXCHANGE
} an_op_kind;

typedef struct an_tensor {
    uint32_t tower;
    uint32_t maps, height, width; /* per image */
    size_t count;                 /* their product */
    uint32_t slabs;               /* 2: both towers' halves, joined by an exchange */
    /* On the device, as an__plan_fit() has found: of an image. */
    uint32_t precision;
    size_t numbers, bytes;
    an_form form; /* the network's input */
} an_tensor;

typedef struct an_param {
    char name[48];
    uint32_t layer; /* row */
    uint32_t is_bias;
    uint32_t dims, shape[4];
    size_t count;
    /* Tower t holds numbers first[t] .. first[t] + part[t] - 1 of the whole tensor. */
    size_t first[AN_MAX_TOWERS], part[AN_MAX_TOWERS];
    uint32_t inputs;              /* of one unit: fan-in */
    uint32_t slabs, maps, pixels; /* of a row, as in an_order; maps: of one slab */
} an_param;

typedef struct an_op {
    an_op_kind kind;
    uint32_t tower, layer;
    uint32_t in, out;      /* tensors; the same: in place */
    uint32_t other;        /* EXCHANGE: the other tower's half; `in` is the own one */
    uint32_t weight, bias; /* parameters */
    /* As an__plan_fit() has found, 0 else. relu, dropout, pool: operations behind it that it
     * takes along, forward. folded: AN_FOLDED_, done by another. marks: of a pooling, bytes. */
    uint32_t relu, dropout, pool, folded;
    size_t marks;
    union {
        an_conv_shape conv;
        an_dense_shape dense;
        an_lrn_shape lrn;
        an_pool_shape pool;
        an_dropout_shape dropout;
        uint32_t activation;
    } u;
} an_op;

enum { AN_FOLDED_FORWARD = 1, AN_FOLDED_BACKWARD = 2 };

typedef struct an_plan {
    an_arch_row row;        /* ablations applied */
    an_model_config config; /* resolved; devices null */
    uint32_t towers;
    an_op ops[AN_MAX_OPS];
    uint32_t op_count;
    an_tensor tensors[AN_MAX_OPS];
    uint32_t tensor_count;
    an_param params[AN_MAX_PARAMS];
    uint32_t param_count;
    uint32_t input[AN_MAX_TOWERS]; /* tensors */
    uint32_t output;               /* logits, on tower 0 */
    uint32_t precision;            /* of tensors but those */
    int holds; /* dense layers' weights wait for their gradients until they are updated */
    an_layer_info layers[AN_MAX_LAYERS];
    uint64_t multiply_adds, units, parameter_count, exchange_floats;
} an_plan;

an_status an__plan_make(an_plan *plan, const an_model_config *config);
/* Once it is known on what it runs (fuse.c). */
void an__plan_fit(an_plan *plan, const an_slot *slot);
size_t an__number_bytes(uint32_t precision); /* of a tensor's number */
/* By name; argument: what the message calls it. */
an_status an__layer_find(const an_plan *plan, const char *name, const char *argument,
                         uint32_t *index);

#define AN_SLICE 4u /* images */

/* How many operations from `op` on may be done forward slice by slice, all of them on AN_SLICE
 * images before the next: a convolution and what follows it, where its output is so large
 * that it had left the cache before it is read again. 0: that is not so. */
uint32_t an__plan_sliced(const an_plan *plan, uint32_t op, uint32_t batch);

/* --- layout (layout.c): where tensors lie ---------------------------------------------- */

/* Where each tensor and gradient lies, in bytes from its tower's arena for a batch. */
typedef struct an_layout {
    size_t value[AN_MAX_OPS], gradient[AN_MAX_OPS];
    size_t marks[AN_MAX_OPS]; /* of poolings, by operation */
    size_t bytes[AN_MAX_TOWERS];
} an_layout;

/* training: values are kept for the way back, and gradients have their places. slices: what
 * an__plan_sliced() names may be done so. */
an_status an__layout_make(an_layout *layout, const an_plan *plan, uint32_t batch,
                          int training, uint32_t slices);

/* Whether the way back needs what the operation wrote, or what it read. */
int an__op_needs_output(const an_op *op);
int an__op_needs_input(const an_op *op);

/* --- pictures (fit.c, preprocess.c) --------------------------------------------------- */

typedef struct an_axis {
    double step, reach;
    uint32_t offset, size; /* size: of the input */
} an_axis;

typedef struct an_fitting { /* a picture, and how it becomes side x side */
    an_image image;
    an_axis x, y;
} an_fitting;

an_status an__image_check(const an_image *given, an_image *image);
an_fitting an__fitting(const an_image *image, uint32_t side, uint32_t fit);
/* Puts rows of bytes, `pitch` from one to the next, one behind the other. */
typedef void (*an_copy_rows_fn)(uint8_t *to, const uint8_t *from, size_t pitch,
                                size_t bytes, uint32_t rows);
void an__copy_rows(uint8_t *to, const uint8_t *from, size_t pitch, size_t bytes,
                   uint32_t rows);
/* The same for what this processor will not read again soon: it goes past the caches, if the
 * CPU's backend has instructions for that (cpu/path.c). */
an_copy_rows_fn an__cpu_copy_rows(const an_backend *cpu);
/* Columns x .. x + width - 1 of some rows of the fitted picture; `copy` is for a picture that
 * has its size already. */
void an__fitting_rows(const an_fitting *f, uint32_t x, uint32_t width, uint32_t y,
                      uint32_t rows, an_copy_rows_fn copy, uint8_t *out);

/* How pictures become a model's input. */
typedef struct an_input {
    an_preprocessing p;
    uint32_t size;         /* of a crop */
    float *mean_image;     /* [3][side][side], or null */
    uint64_t mean_version; /* another for every mean image of the process */
} an_input;

an_view an__view(const an_input *input, uint32_t view);
/* word: three random ones. */
an_view an__view_random(const an_input *input, uint32_t augment, const uint32_t word[3]);
an_status an__images_check(const an_image *images, uint32_t count);

#define AN_INPUT_ROWS 8u /* of an image, at most, that one call below does */
void an__input_rows(const an_input *input, const an_image *image, const an_view *view,
                    uint32_t first, uint32_t rows, float *out);
/* The view's crop of a picture, [size][size][3], for a device to read. */
void an__input_crop(const an_context *ctx, const an_input *input, const an_image *image,
                    const an_view *view, uint8_t *out);
/* Crops, [count][size][size][3], for what else is to be done on a device. */
void an__images_crop(an_context *ctx, const an_input *input, const an_image *images,
                     uint32_t count, const an_view *views, uint8_t *out);
an_picture_shape an__picture_shape(const an_input *input);
/* Images as network input, on the context's threads. views: one for each image. */
void an__images_prepare(an_context *ctx, const an_input *input, const an_image *images,
                        uint32_t count, const an_view *views, float *out);
size_t an__mean_count(const an_input *input); /* numbers of its mean image */
/* Preprocessing and mean image (null: none) in one step: on failure both are as before. */
an_status an__model_set_input(an_model *model, const an_preprocessing *given,
                              const float *mean);

/* --- net: a plan, its weights, and the devices that they are on -------------------------- */

typedef struct an_weights { /* parameters or something of their shape, on their devices */
    float *part[AN_MAX_PARAMS][AN_MAX_TOWERS];
} an_weights;

/* Weights in the orders and precisions that operations want them in: made when first asked
 * for, and again after the weights have changed. */
typedef struct an_packed {
    void *memory;
    uint64_t version; /* of the weights it was made of */
} an_packed;

/* What inference and training run. A model owns it. */
typedef struct an_net {
    an_context *ctx;
    an_plan *plan;
    an_slot slots[AN_MAX_TOWERS];
    an_queue *queue[AN_MAX_TOWERS]; /* for moving parameters */
    an_weights weights;
    uint64_t version; /* of the weights: another after every change */
    an_packed packs[AN_MAX_OPS][AN_CONV_WAYS]; /* of operations */
    pthread_mutex_t pack_lock;                 /* held while one is made */
    uint64_t exchanged; /* atomic: numbers that towers have sent each other */
} an_net;

/* The weights are others than before. */
void an__net_changed(an_net *net);
/* Memory for what the next makes, of batches of 1 and of `batch`. */
an_status an__net_reserve(an_net *net, uint32_t batch, int training);
/* The weights of an operation in the order and precision that its way for such a batch wants
 * them in; null where they serve as they lie. Any thread, while the weights do not change. */
an_status an__net_pack(an_net *net, uint32_t op, uint32_t batch, int training,
                       an_queue *queue, const void **out);
/* For backends that fuse packs. A parameter's in its own order, or null; the others made
 * again, in order with what else the queue is given; and all are those of the weights as they
 * are. */
void *an__net_plain_pack(const an_net *net, uint32_t param, uint32_t tower);
an_status an__net_repack(an_net *net, uint32_t tower, an_queue *queue);
void an__net_repacked(an_net *net);

/* --- exec (exec.c): a plan with memory ------------------------------------------------ */

/* What is done again and again (repeat.c). */
typedef enum an_repeat {
    AN_REPEAT_CLASSIFY,
    AN_REPEAT_EVALUATE,
    AN_REPEAT_STEP,
    AN_REPEATS
} an_repeat;

typedef struct an_repeated {
    uint32_t count;          /* of images, the last time; 0: not yet */
    an_recording *recording; /* of so many; null: none yet */
    int refused;             /* it could not be recorded */
    uint64_t exchanged;      /* numbers that it sends between towers */
} an_repeated;

typedef struct an_exec {
    struct an_exec *next; /* idle ones of a model */
    an_context *ctx;
    an_net *net;
    const an_plan *plan;
    an_slot slots[AN_MAX_TOWERS];
    an_queue *queue[AN_MAX_TOWERS];
    void *arena[AN_MAX_TOWERS];
    an_layout layout;
    uint32_t batch; /* planned for */
    int training;
    uint32_t
        slice; /* the first image of what is worked on: 0 but within a forward pass */
    /* On tower 0's device: what a loss is computed from and gives. */
    void *outcome;
    double *device_losses; /* [batch] */
    an_rank *device_ranks; /* [batch] */
    int32_t *labels;       /* [batch] */
    /* [2] on each tower's device: 1 if a gradient of this tower, or of any, is not finite */
    float *faults[AN_MAX_TOWERS];
    /* Made when first needed: preprocessed images of one pass, on the host; or crops of
     * pictures there and on each tower's device, with their views and the mean image. */
    float *staging;
    uint8_t *crops;
    uint8_t *device_crops[AN_MAX_TOWERS][AN_MARKS];
    an_view *device_views[AN_MAX_TOWERS][AN_MARKS];
    float *device_mean[AN_MAX_TOWERS];
    uint64_t mean_version; /* of device_mean */
    uint32_t staged_side;  /* for whose mean image there is room */
    float *scores;         /* [batch][classes], host */
    double *losses;        /* [AN_MARKS][batch], host */
    an_rank *ranks;        /* likewise */
    double *seconds;       /* profiling: [2][op_count], forward and backward; null else */
    uint64_t *exchanged;   /* the model's count of numbers sent between towers */
    /* Backward: layers whose weights' gradients are not wanted, and the first that is not
     * such a one. */
    unsigned char frozen[AN_MAX_LAYERS];
    uint32_t lowest;
    int traced; /* kernels are timed, under their layers' names */
    an_repeated repeated[AN_REPEATS];
    uint32_t most; /* images that any of them has had */
    uint32_t
        told; /* what the log has been told of them: bits of recorded, of refused << 4 */
    int held; /* backward: dense weights' gradients are left to an__exec_update() */
} an_exec;

/* body(arg, count), with the kernels and copies that it gives the queues recorded where it comes
 * often: it must give them the same each time. */
typedef an_status an_body(void *arg, uint32_t count);
an_status an__repeat(an_exec *exec, an_repeat what, uint32_t count, an_body *body,
                     void *arg);
/* It would give others from now on, or a queue other work that may need larger buffers. */
void an__repeat_forget(an_exec *exec);

an_status an__exec_create(an_exec **out, an_net *net, uint32_t batch, int training);
void an__exec_destroy(an_exec *exec);
float *an__exec_value(const an_exec *exec, uint32_t tensor);

/* What a pass reads, in host memory: floats, or pictures' crops with their views. */
typedef struct an_feed {
    const float *floats;
    const uint8_t *crops;
    const an_view *views;
    const an_input *input; /* of the crops */
    uint32_t place;        /* of the crops and views on a device: below AN_MARKS */
    int is_there;          /* they are there already */
} an_feed;

/* Of the host, from which the device copies fastest. */
an_status an__host_alloc(an_context *ctx, const an_slot *slot, size_t bytes,
                         uint8_t **out);
void an__host_free(an_context *ctx, const an_slot *slot, void *memory); /* null allowed */
/* Crops and views to their place on the device, beside what it is doing. */
an_status an__exec_send(an_exec *exec, uint32_t batch, an_feed *feed);
/* To where a pass begins. */
an_status an__exec_load(an_exec *exec, uint32_t batch, const an_feed *feed);
/* From what is loaded: leaves the logits in plan->output. training: with dropout. */
an_status an__exec_forward(an_exec *exec, const an_weights *w, uint32_t batch,
                           int training);
/* What an operation's kernels are timed under, if they are. */
an_status an__exec_label(const an_exec *exec, const an_op *op, const char *way);
/* The operations below `end` alone, testing: their values are where they left them. */
an_status an__exec_forward_to(an_exec *exec, const an_weights *w, uint32_t batch,
                              uint32_t end);
/* From the gradient of plan->output, in an__exec_gradient(), to all of `g`. */
an_status an__exec_backward(an_exec *exec, const an_weights *w, const an_weights *g,
                            uint32_t batch);
float *an__exec_gradient(const an_exec *exec, uint32_t tensor);
/* Losses and ranks, and the gradient of plan->output if exec is for training. */
an_status an__exec_labels(an_exec *exec, uint32_t batch, const int32_t *labels);
an_status an__exec_loss(an_exec *exec, uint32_t batch);
/* Fetches losses and ranks to a place in exec->losses and exec->ranks; the second, to the first
 * one, and waits for all that was given to the queues. */
an_status an__exec_outcome_begin(an_exec *exec, uint32_t batch, uint32_t place);
an_status an__exec_outcome(an_exec *exec, uint32_t batch);
/* DIVERGED, naming the first layer whose output is not finite ("input", "conv1", ...).
 * Runs the pass again, layer by layer. */
an_status an__exec_diverged(an_exec *exec, const an_weights *w, uint32_t batch,
                            const an_feed *feed, int training);
/* Of a backward pass that held them: dense weights' gradients, with what else it gave `g`;
 * their updates (parts[i]: of parameter i, its g null); and what they are computed from. */
an_status an__exec_held_gradients(an_exec *exec, const an_weights *g, uint32_t batch);
an_status an__exec_held_update(an_exec *exec, uint32_t tower, uint32_t batch,
                               const an_parameter_part *parts, uint32_t count,
                               const float *faults);
uint32_t an__exec_held_arrays(const an_exec *exec, uint32_t tower, uint32_t batch,
                              an_array *arrays);
an_status an__exec_sync(an_exec *exec);
/* After a failure: nothing that was asked for arrives later. */
void an__exec_abandon(an_exec *exec);
/* The order of a tensor's numbers. */
an_order an__tensor_order(const an_tensor *tensor, uint32_t batch);
/* One image's numbers of a tensor in the host's order, there after the next sync. */
an_status an__exec_get(an_exec *exec, uint32_t tensor, uint32_t image, float *to);
/* Whether all of x, on the tower's device, are finite. Waits for it. */
an_status an__exec_finite(an_exec *exec, uint32_t tower, const an_array *array,
                          int *finite);
/* Weights packed as a pass of so many images wants them, that its operations need not. */
an_status an__exec_pack(an_exec *exec, uint32_t batch);

/* `count` pictures, each by its view, as what a pass reads; on the context's threads. */
an_status an__exec_stage(an_exec *exec, const an_input *input, const an_image *pictures,
                         uint32_t count, const an_view *views, an_feed *feed);
/* Memory for that; a later call finds it made. */
an_status an__exec_staging(an_exec *exec, const an_input *input);
double an__seconds(void); /* a clock that never goes back */

/* --- weights (weights.c) -------------------------------------------------------------- */

/* Zeroed memory for everything, freed by the second. */
an_status an__weights_alloc(an_weights *w, const an_net *net);
void an__weights_free(an_weights *w, const an_net *net);
an_status an__weights_get(const an_weights *w, const an_net *net, uint32_t index,
                          float *values);
an_status an__weights_set(const an_weights *w, const an_net *net, uint32_t index,
                          const float *values);
/* Numbers first .. first + count - 1 of a tower's part, on the model's queue. */
an_status an__weights_put_part(const an_weights *w, const an_net *net, uint32_t index,
                               uint32_t tower, size_t first, const float *values,
                               size_t count);
an_status an__weights_get_part(const an_weights *w, const an_net *net, uint32_t index,
                               uint32_t tower, size_t first, float *values, size_t count);
an_status an__weights_init(const an_weights *w, const an_net *net);

/* --- model (model.c) ------------------------------------------------------------------ */

typedef struct an_mapping { /* a file's bytes, whose pages parameters may be */
    void *base;
    size_t bytes;
} an_mapping;

struct an_model {
    an_net net;
    an_mapping mapping; /* if base is not null, weights lie in it */
    an_input input;
    char **class_names; /* [classes]; null where none */
    an_trainer *trainer;
    uint32_t under_way;   /* atomic: steps that have begun and not ended */
    pthread_mutex_t lock; /* guards refs, idle and trainer */
    uint32_t refs;
    an_exec *idle;
};

an_status an__model_check(const an_model *model); /* null, fork, steps under way */
an_status an__model_check_under_way(const an_model *model); /* null, fork */
/* A model without values in its parameters: allocated and zero if map is null, else
 * pointing to where map[param] says, in host memory that the model then owns as
 * `mapping`. */
an_status an__model_make(an_model **out, an_context *ctx, const an_model_config *config,
                         float *const *map, const an_mapping *mapping);
/* A name of up to 255 bytes of UTF-8 in place of what *to has. */
an_status an__name_copy(an_context *ctx, char **to, const char *name);
void an__names_free(an_context *ctx, char **names, uint32_t count); /* null allowed */
void an__model_retain(an_model *model);
void an__model_release(an_model *model);

/* --- scores (infer.c) ----------------------------------------------------------------- */

/* 1 if the label is among the first `k` of a row; where others share its value at the
 * edge, the share of that place which falls to it. */
double an__top(const an_rank *rank, uint32_t k);
an_status an__labels_check(const int32_t *labels, uint32_t count, uint32_t classes);
/* --- loader (loader.c) ---------------------------------------------------------------- */

/* How a loader of this model prepares pictures; null for another model's. */
const an_input *an__loader_input(const an_loader *loader, const an_model *model);

/* --- trainer (trainer.c, schedule.c) -------------------------------------------------- */

#define AN_MAX_CHANGES 64u

/* How far a trainer has come: all that its checkpoint keeps beside config and velocities. */
typedef struct an_progress {
    uint64_t iteration;
    double running_loss; /* mean with a memory of 25 steps */
    uint32_t flat_logged;
    uint8_t note[AN_TRAINER_NOTE_BYTES];
    uint32_t epoch, epoch_steps; /* epochs ended, steps since */
    double best;                 /* validation error; negative: none yet */
    uint32_t stale, drops; /* epochs without a new best; drops of the plateau rule */
    float layer_rate[AN_MAX_LAYERS][2]; /* weights, biases; negative: the common one */
    uint32_t change_count;
    an_rate_change changes[AN_MAX_CHANGES];
} an_progress;

typedef struct an_under_way { /* a step that has begun */
    uint32_t count;
    an_feed feed;        /* where its crops are */
    float faults;        /* 0: all gradients are finite */
    int ahead, given_up; /* on a device; the one before it diverged */
    an_step_stats stats; /* of one that was done when it began */
} an_under_way;

struct an_trainer {
    an_model *model;
    an_trainer_config config; /* resolved; its rates are those in force */
    an_exec *exec;            /* for config.micro_batch images */
    an_view *views;           /* [micro_batch] */
    an_weights velocity, gradient;
    an_weights piece; /* gradient of a micro-batch but the first; if there are several */
    an_progress at;
    int has_gradient;
    float faults;        /* of the step under way: 0 if all gradients are finite */
    uint32_t held_count; /* images of the last step, if exec->held */
    an_under_way way[AN_MARKS];
    uint32_t oldest, under_way;          /* of them: the first, and how many */
    unsigned char frozen[AN_MAX_LAYERS]; /* in the step that may be repeated */
};

an_status an__trainer_check(const an_trainer *trainer); /* null, fork, steps under way */
an_status an__trainer_check_under_way(const an_trainer *trainer); /* null, fork */

/* --- gradients (gradients.c) ----------------------------------------------------------- */

/* Whether the last step left a parameter's gradient nowhere. */
int an__is_held(const an_trainer *trainer, const an_param *param);
/* What the queues have to know of a step, of its images from `first` on; ahead: how many steps
 * before it have not ended. */
an_status an__step_begin(const an_trainer *trainer, uint32_t first, uint32_t ahead);
/* Of a step of `count` images: sets the faults of both towers where a gradient is not finite;
 * updates what learns, where there are none; and says which it was. */
an_status an__gradients_check(const an_trainer *trainer, uint32_t count);
an_status an__update_all(const an_trainer *trainer, uint32_t count);
an_status an__gradient_fault(const an_trainer *trainer);

float an__trainer_rate(const an_trainer *trainer, uint32_t layer, uint32_t is_bias);
int an__trainer_frozen(const an_trainer *trainer, uint32_t layer);
/* Also makes every negative rate -1. */
an_status an__changes_check(const an_trainer *trainer, an_rate_change *changes,
                            uint32_t count);

#endif
