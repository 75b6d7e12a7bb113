/*
 * alexnet.h - the network of Krizhevsky, Sutskever and Hinton (2012), as a library.
 *
 * "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012 ("the
 * paper" below), with the variants that are used today under the same name. The library
 * trains them, saves and resumes them, and classifies with them.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Contents
 *   1. Conventions        what holds for every function
 *   2. Version, status
 *   3. Context            allocator, log, threads, devices
 *   4. Model              which AlexNet; create, describe, destroy
 *   5. Parameters         by index and by name
 *   6. Images             from decoded pixels to the network's input
 *   7. Inference, evaluation, activations by name
 *   8. Training
 *   9. Checkpoints        safetensors files, by path or through callbacks
 *  10. Packs              a data set in a few large files
 *  11. Loader             batches prepared while the last one trains
 *  12. Recipes            how to train, as named data
 *
 * A program that only classifies needs this much. Every struct that it fills is given to
 * its _init function first, which writes the struct's size and its defaults:
 *
 *     an_context *ctx = NULL;
 *     an_model *model = NULL;
 *     an_image image;
 *     float p[1000];
 *
 *     if (an_context_create(&ctx, NULL) != AN_OK ||
 *         an_model_load(&model, ctx, "flowers.safetensors", NULL) != AN_OK)
 *         fprintf(stderr, "%s\n", an_error_message());
 *     an_image_init(&image, sizeof image);
 *     image.pixels = rgb; image.width = w; image.height = h;     (8-bit RGB, row by row)
 *     an_infer_images(model, &image, 1, p, 1000);                (p[i]: class i)
 *     an_model_destroy(model);
 *     an_context_destroy(ctx);
 */
#ifndef ALEXNET_H
#define ALEXNET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define AN_API __attribute__((visibility("default")))
#else
#define AN_API
#endif

/* ------------------------------------------------------------------------------------
 * 1. Conventions
 *
 * Status. A function that can fail returns an an_status; AN_OK is 0. On failure every
 * output is as it was before the call, nothing is leaked, and an_error_message() has a
 * sentence that names the argument and its limit. Each comment lists the statuses that
 * are particular to its function; besides those, any function that takes an object may
 * return AN_ERROR_ARGUMENT (a null pointer, a value outside its limits), AN_ERROR_MEMORY
 * (the allocator refused) and AN_ERROR_FORKED (the process was forked after the context
 * was made, into whatever name space: a child must make its own).
 *
 * Behaviour towards the host. The library never prints, exits, aborts or raises; sets no
 * signal handler, locale, environment variable or floating-point mode; and keeps no
 * mutable state that a host can see. What it has to say goes to the log callback.
 * A call computes in the default floating-point environment, rounding to the nearest with
 * all traps masked, whatever its thread has, which gets its own back, flags included; so
 * callbacks are called in the default one, too. The CPU's kernels take numbers below
 * 2^-126 for zeros (x86), but for probabilities. main() may return while other threads
 * are inside a call.
 *
 * Threads. A context may be used by many threads at once. A model may serve an_infer*(),
 * an_evaluate*(), an_preprocess() and the functions that only describe it from many
 * threads at once; everything that changes a model or a trainer, and saving, wants to be
 * alone with it. Different models and different trainers are independent. A trainer
 * changes its model. Of its thread's stack a call that computes needs up to 96 KiB, one
 * that reads a file or a checkpoint up to 240 KiB: a hostile one's JSON may be nested.
 *
 * Config structs. Every struct that a caller fills begins with `size` and is prepared by
 * its _init(&s, sizeof s), which writes the defaults. Structs only ever grow at the end:
 * a program compiled against an older header goes on working with a newer library, and
 * a newer program with an older library fails with AN_ERROR_VERSION if it uses a field
 * that this library does not have. Structs that the library fills (infos, stats) are
 * prepared in the same way, so that it knows how much it may write.
 *
 * Enums end in a value _LAST, the last one that this header knows, for loops, and in one
 * that fixes the enum's width and is never used.
 *
 * Output buffers. `capacity` is what a buffer has room for, in its elements: less than
 * the call would write is ARGUMENT, and nothing is written.
 *
 * Tensors are float32, dense, in the order [batch][maps][height][width] (NCHW).
 * Images are 8-bit RGB, [height][width][3] (HWC).
 *
 * Same seed, same data, same machine: same bits, whatever the number of threads.
 * ------------------------------------------------------------------------------------ */

/* ------------------------------------------------------------------------------------
 * 2. Version, status
 * ------------------------------------------------------------------------------------ */

#define AN_VERSION_MAJOR 1
#define AN_VERSION_MINOR 0
#define AN_VERSION_PATCH 0
#define AN_VERSION_NUMBER                                                                \
    (AN_VERSION_MAJOR * 10000 + AN_VERSION_MINOR * 100 + AN_VERSION_PATCH)

/* Values never change; new ones may be added. */
typedef enum an_status {
    AN_OK = 0,
    AN_ERROR_ARGUMENT = 1, /* a value outside its stated limits, a null pointer */
    AN_ERROR_MEMORY = 2,   /* the allocator, or the system, had too little */
    AN_ERROR_STATE = 3,    /* right call, wrong moment: see the message */
    AN_ERROR_DIVERGED = 4, /* the loss or a gradient is not finite */
    AN_ERROR_IO = 10,      /* the system could not read or write a file */
    AN_ERROR_FORMAT = 11,  /* a file is damaged, or not what it should be */
    AN_ERROR_VERSION = 12, /* a struct or file of a newer version than this library */
    AN_ERROR_BACKEND = 20, /* no such backend */
    AN_ERROR_DEVICE = 21,  /* no such device, or it failed */
    AN_ERROR_DEVICE_MEMORY = 22, /* the device has too little memory */
    AN_ERROR_FORKED = 30,        /* the context belongs to the parent process */
    AN_ERROR_INTERNAL = 99,      /* a fault of this library */
    AN_STATUS_LAST = AN_ERROR_INTERNAL,
    AN_STATUS_MAX_ = 0x7fffffff /* fixes the enum's width; never returned */
} an_status;

/* an_version() is AN_VERSION_NUMBER of the library that is running, which may differ from
 * the header's. an_version_string() is the same as "1.0.0"; an_build_info() adds the
 * compiler and the BLAS. All static, never null. */
AN_API uint32_t an_version(void);
AN_API const char *an_version_string(void);
AN_API const char *an_build_info(void);

/* an_status_string() names a status: "ok", "argument", "diverged", ...; "unknown" for a
 * value that this library does not have. Static, never null. */
AN_API const char *an_status_string(an_status status);

/* an_error_message() is the sentence of the last failure in the calling thread, "" if
 * there was none. It belongs to the library, and stays valid until this thread's next
 * failing call or its end. It is UTF-8, whatever names and paths in it are: bytes that
 * are none, controls, escapes and marks of direction are shown as \xff, \x1b, \u202e. */
AN_API const char *an_error_message(void);

/* ------------------------------------------------------------------------------------
 * 3. Context
 * ------------------------------------------------------------------------------------ */

typedef struct an_context an_context;

typedef enum an_log_level {
    AN_LOG_INFO = 1,
    AN_LOG_WARNING = 2, /* something a person should look at: a flat start, say */
    AN_LOG_LEVEL_LAST = AN_LOG_WARNING,
    AN_LOG_LEVEL_MAX_ = 0x7fffffff
} an_log_level;

/* The callback gets one sentence without a newline; `text` is gone after the call. It may
 * be called from any thread that calls the library, and must not call it back. */
typedef void (*an_log_fn)(an_log_level level, const char *text, void *user);

/* alloc returns at least `bytes` bytes, aligned for any C type, or null; bytes > 0.
 * release takes what alloc returned, never null. Both may be called from any thread that
 * calls the library, several at once. Used for all that belongs to a context but the
 * parse of a checkpoint's header (a JSON library allocates that with malloc). */
typedef void *(*an_alloc_fn)(size_t bytes, void *user);
typedef void (*an_release_fn)(void *memory, void *user);

/* How the CPU computes. All agree within rounding; each gives the same bits for any
 * number of threads. */
typedef enum an_cpu_path {
    AN_CPU_PATH_BEST = 0,      /* the last below that the processor has */
    AN_CPU_PATH_REFERENCE = 1, /* unfolded images and OpenBLAS: runs everywhere */
    AN_CPU_PATH_AVX2 = 2,      /* with FMA */
    AN_CPU_PATH_AVX512 = 3,    /* F, VL, BW, DQ */
    AN_CPU_PATH_LAST = AN_CPU_PATH_AVX512,
    AN_CPU_PATH_MAX_ = 0x7fffffff
} an_cpu_path;

typedef struct an_context_config {
    size_t size;
    /* Both null: malloc and free; what is larger than 32 MiB asks the system for large
     * pages (madvise). */
    an_alloc_fn alloc;
    an_release_fn release;
    void *alloc_user;
    an_log_fn log; /* null: silence */
    void *log_user;
    /* 1 to 256; 0: the processors that the process may run on, or as many as a control
     * group's quota (a container's --cpus) is worth. */
    uint32_t threads;
    an_cpu_path cpu_path;
    /* Absolute path of a backend's plugin, as alexnet-cuda.so, which is opened with the
     * context; null: see an_device_count(). */
    const char *plugin;
    /* Bytes that the context, and all that is made with it, may hold at once of what
     * `alloc` gives; 0: no limit. What would exceed it is MEMORY, and nothing else
     * changes. Not in it: mapped files, the threads' stacks, OpenBLAS's own buffers, and
     * what a plugin takes of its devices' memory and of pinned memory. */
    uint64_t memory_limit;
} an_context_config;

AN_API void an_context_config_init(an_context_config *config, size_t size);

/* an_context_create() makes a context; `config` may be null for the defaults. It starts
 * threads - 1 worker threads with all signals blocked and stacks of 8 MiB, which sleep
 * between calls, some microseconds after the last one. One that wakes on the processor of
 * another thread of the call moves away, among those that it may run on
 * (sched_setaffinity, of that worker alone).
 * Statuses: ARGUMENT, MEMORY (also: no thread could be started), VERSION, BACKEND
 * (config->plugin; config->cpu_path: the processor lacks it). */
AN_API an_status an_context_create(an_context **out, const an_context_config *config);

/* an_context_destroy() frees the context once its last model and trainer are destroyed:
 * the order does not matter. Null is allowed. In a forked child it frees the memory. */
AN_API void an_context_destroy(an_context *ctx);

AN_API uint32_t an_context_threads(const an_context *ctx);

typedef struct an_device_info {
    size_t size;
    char backend[16];     /* "cpu" or "cuda" */
    char device[24];      /* what an_model_config.devices takes: "cpu", "cuda:0" */
    char name[96];        /* the processor, for people */
    uint64_t memory;      /* bytes in all; 0 if unknown */
    uint32_t units;       /* threads that compute (cpu), multiprocessors (cuda) */
    an_cpu_path cpu_path; /* in use; 0 for others than the CPU */
    /* A CUDA device's limits, 0 if unknown: floating-point operations a second, by
     * an_precision, and bytes a second of its memory */
    double flops[4], memory_rate;
} an_device_info;

AN_API void an_device_info_init(an_device_info *info, size_t size);

/* an_device_count() and an_device_describe() list the devices of all backends; index is
 * 0 to count - 1, the CPU first. A backend other than the CPU's is a plugin: the one
 * whose absolute path is in an_context_config.plugin; the one that the environment's
 * ALEXNET_PLUGIN names, if it is of the backend that is asked for (not in a setuid
 * program); or LIBDIR/alexnet/alexnet-NAME.so. CUDA's is alexnet-cuda.so; without it, or
 * without a driver, there are no devices of it. Of the plugins in LIBDIR, CUDA's alone is
 * listed before a model has asked for a device of it.
 * Statuses: ARGUMENT (no such index), DEVICE, VERSION. */
AN_API an_status an_device_count(an_context *ctx, uint32_t *count);
AN_API an_status an_device_describe(an_context *ctx, uint32_t index,
                                    an_device_info *info);

/* ------------------------------------------------------------------------------------
 * 4. Model
 * ------------------------------------------------------------------------------------ */

typedef struct an_model an_model;

/* Which AlexNet. docs/NETWORKS.md has their tables, and where each number is from. */
typedef enum an_arch {
    AN_ARCH_PAPER = 1, /* the paper's text; 60,965,224 parameters */
    /* As trained in 2012: LRN before ReLU in layer 1, a norm within maps in layer 2,
     * sigma 0.03 in conv3-5. */
    AN_ARCH_KRIZHEVSKY2012 = 2,
    AN_ARCH_FLOOR224 = 3,      /* 224 in, sizes rounded down: 54, 26, 12, 5 */
    AN_ARCH_CAFFE_ALEXNET = 4, /* BVLC: 227 in, LRN over all maps, k = 1 */
    AN_ARCH_CAFFENET = 5,      /* BVLC: the same with pooling before LRN */
    AN_ARCH_OWT2014 = 6,       /* Krizhevsky 2014, "one weird trick", with LRN */
    AN_ARCH_TORCHVISION = 7,   /* torchvision.models.alexnet: no LRN, no groups */
    AN_ARCH_CIFAR10 = 8,       /* 32x32: the four-layer kind of the paper's figure 1 */
    AN_ARCH_LAST = AN_ARCH_CIFAR10,
    AN_ARCH_MAX_ = 0x7fffffff
} an_arch;

typedef enum an_activation {
    AN_ACTIVATION_PRESET = 0,
    AN_ACTIVATION_RELU = 1,
    AN_ACTIVATION_TANH = 2,
    AN_ACTIVATION_SIGMOID = 3,
    AN_ACTIVATION_LAST = AN_ACTIVATION_SIGMOID,
    AN_ACTIVATION_MAX_ = 0x7fffffff
} an_activation;

typedef enum an_pooling {
    AN_POOLING_PRESET = 0,
    AN_POOLING_OVERLAPPING = 1, /* 3x3 windows, stride 2 (paper, 3.4) */
    AN_POOLING_PLAIN = 2,       /* 2x2 windows, stride 2 */
    AN_POOLING_LAST = AN_POOLING_PLAIN,
    AN_POOLING_MAX_ = 0x7fffffff
} an_pooling;

typedef enum an_dropout_scaling {
    AN_DROPOUT_SCALING_PRESET = 0,
    AN_DROPOUT_SCALING_TEST = 1, /* the paper, 4.2: outputs times 1 - rate when testing */
    AN_DROPOUT_SCALING_TRAIN = 2, /* "inverted": times 1 / (1 - rate) when training */
    AN_DROPOUT_SCALING_LAST = AN_DROPOUT_SCALING_TRAIN,
    AN_DROPOUT_SCALING_MAX_ = 0x7fffffff
} an_dropout_scaling;

typedef enum an_initialisation {
    AN_INIT_PRESET = 0,
    AN_INIT_GAUSSIAN = 1, /* the preset's sigmas and biases (else 0.01 and 0) */
    /* Uniform within 1/sqrt(inputs of a unit), biases too: PyTorch's default and the
     * preset of AN_ARCH_TORCHVISION. */
    AN_INIT_FAN_IN = 2,
    AN_INIT_HE = 3, /* gaussian, sigma sqrt(2 / inputs of a unit), biases 0 */
    AN_INIT_LAST = AN_INIT_HE,
    AN_INIT_MAX_ = 0x7fffffff
} an_initialisation;

/* What the factors of a convolution's or dense layer's products may be rounded to. Sums
 * are float32 always, as are the parameters and, but with BF16 on a device, what lies
 * between layers. TF32X3 is for tensor cores, which take no float32: what rounding to
 * TF32 takes from a factor is another one, and three products come to 21 bits; of
 * infinities they make NaN. The CPU computes in float32 whatever is allowed; BF16 lets it
 * read a copy in bfloat16 of the dense layers' weights (half their bytes more memory)
 * when it infers for fewer than 16 images at a time, where reading them is what takes the
 * time; not on the reference path. */
typedef enum an_precision {
    AN_PRECISION_FP32 = 0,   /* not at all */
    AN_PRECISION_TF32 = 1,   /* 10 bits behind the point, to nearest */
    AN_PRECISION_BF16 = 2,   /* 7 bits, to nearest even */
    AN_PRECISION_TF32X3 = 3, /* 10 bits, twice */
    AN_PRECISION_LAST = AN_PRECISION_TF32X3,
    AN_PRECISION_MAX_ = 0x7fffffff
} an_precision;

typedef enum an_switch {
    AN_SWITCH_PRESET = 0,
    AN_SWITCH_ON = 1,
    AN_SWITCH_OFF = 2,
    AN_SWITCH_LAST = AN_SWITCH_OFF,
    AN_SWITCH_MAX_ = 0x7fffffff
} an_switch;

/* Zero, in any field but `arch`, means what the preset says. */
typedef struct an_model_config {
    size_t size;
    an_arch arch;     /* init writes AN_ARCH_PAPER */
    uint32_t classes; /* 2 to 65536 (1000; 10 for AN_ARCH_CIFAR10) */
    /* Side of the input in pixels, up to 1024; at least what the layers need. */
    uint32_t image_size;
    an_activation activation; /* of all layers but the last */
    /* AN_SWITCH_OFF removes all response normalisation; ON adds the paper's after the
     * first two layers where the preset has none. */
    an_switch lrn;
    an_pooling pooling;
    an_switch dropout; /* AN_SWITCH_OFF: none */
    an_dropout_scaling dropout_scaling;
    float dropout_rate; /* share of outputs set to 0: 0 (preset) or 0 < rate < 0.95 */
    /* Factor on every layer's maps and units but the last's, 0.02 to 4, rounded to
     * multiples of 4; 0 means 1. */
    float width;
    /* 1: every layer reads all maps; 2: conv2, conv4 and conv5 read those of their own
     * half (paper, figure 2). */
    uint32_t groups;
    /* 1: computed whole; 2: split in two halves that exchange maps only where a layer
     * reads both. 0 means 1. The two compute the same function with the same parameters;
     * on one CUDA device, named once, what can be split is done whole: each kernel does
     * both halves. */
    uint32_t towers;
    /* 2 to 5: without that layer's convolution, activation and norm (its pooling stays);
     * 0: none. */
    uint32_t remove_conv;
    /* 1: a sixth convolution over the last pooling, 3x3, as many maps and groups as the
     * layer before (paper, 6.1). */
    uint32_t extra_conv;
    an_initialisation initialisation;
    /* Of the device's products; not a property of the network: no checkpoint keeps it. */
    an_precision precision;
    uint64_t seed; /* of the initialisation */
    /* Null or "cpu"; "cuda:0"; with two towers also two, as "cuda:0,cuda:1": one device
     * for each tower, which may be the same one twice. Read during the call. */
    const char *devices;
} an_model_config;

AN_API void an_model_config_init(an_model_config *config, size_t size);

/* an_arch_name() is the preset's name as files and programs write it ("paper",
 * "krizhevsky2012", ...), null if there is no such preset. an_arch_find() is its inverse;
 * ARGUMENT: there is none of that name, and the message lists those that there are. The
 * presets are 1 to AN_ARCH_LAST. */
AN_API const char *an_arch_name(an_arch arch);
AN_API an_status an_arch_find(const char *name, an_arch *arch);

/* an_model_create() makes a model and initialises its parameters from config->seed;
 * `config` may be null for the defaults. The model keeps a reference to the context.
 * Statuses: ARGUMENT (the message names the field and its limits), MEMORY, VERSION,
 * BACKEND and DEVICE (config->devices), DEVICE_MEMORY (the message says how much was
 * asked for and how much is free). Every call that computes on a device, or moves
 * parameters to or from it, can also return DEVICE and DEVICE_MEMORY; once a device is
 * lost, all of them do. */
AN_API an_status an_model_create(an_model **out, an_context *ctx,
                                 const an_model_config *config);

/* an_model_destroy() frees the model once its last trainer is destroyed. Null is
 * allowed. */
AN_API void an_model_destroy(an_model *model);

typedef struct an_model_info {
    size_t size;
    an_arch arch;
    uint32_t classes, image_size, towers;
    uint32_t layers;          /* with weights: an_layer_describe() */
    uint32_t parameters;      /* tensors: an_parameter_describe() */
    uint64_t parameter_count; /* numbers in all of them */
    uint64_t multiply_adds;   /* of one image's forward pass, padding counted */
    uint64_t units;           /* outputs of all layers, the input not counted */
    /* That the towers send each other per image, forward, both ways together; 0 for one
     * tower. */
    uint64_t exchange_floats;
    /* Planned buffers of an_infer() with one image. On the CPU, but for its reference
     * path, a model also keeps its convolutions' weights in the order that they are read
     * in, once for all threads: up to five times their own bytes. */
    uint64_t infer_bytes;
    /* Planned buffers of a trainer with one image a step, without parameters; each
     * further image adds train_bytes_image. */
    uint64_t train_bytes;
    uint64_t train_bytes_image;
    /* Values and gradients that this model's towers have sent each other so far, counted
     * as they were sent. */
    uint64_t exchanged_floats;
} an_model_info;

AN_API void an_model_info_init(an_model_info *info, size_t size);
AN_API an_status an_model_describe(const an_model *model, an_model_info *info);

/* an_model_get_config() fills `config` with the model's own, every preset value resolved;
 * devices is null. A model made with it has the same shape. */
AN_API an_status an_model_get_config(const an_model *model, an_model_config *config);

/* One row for each layer with weights, in order: sizes of what it reads and of what it
 * hands on, after its activation, normalisation and pooling. */
typedef struct an_layer_info {
    size_t size;
    char name[16]; /* "conv1" ... "fc8" */
    uint32_t is_conv;
    uint32_t kernel, stride, pad_before, pad_after, groups; /* dense layers: 1 1 0 0 1 */
    uint32_t in_maps, in_height, in_width;
    uint32_t maps, height, width; /* of the convolution or dense layer itself */
    uint32_t out_maps, out_height, out_width; /* after the stages below */
    /* In order: a activation, n LRN across maps, w norm within a map, p max-pooling, d
     * dropout; "anp". */
    char stages[24];
    uint64_t parameter_count, multiply_adds;
} an_layer_info;

AN_API void an_layer_info_init(an_layer_info *info, size_t size);
AN_API an_status an_layer_describe(const an_model *model, uint32_t index,
                                   an_layer_info *info);

/* Where the time goes. One row for each layer with weights: seconds of its operations,
 * exchanges and all stages after it included. */
typedef struct an_layer_time {
    size_t size;
    char name[16];
    double forward, backward, update; /* 0 where not training */
    /* Of a convolution of so many images: "direct", "winograd", "im2col", "implicit
     * product"; empty for dense layers. */
    char algorithm[24];
} an_layer_time;

AN_API void an_layer_time_init(an_layer_time *time, size_t size);

/* an_model_profile() runs the model once on `batch` random images, 1 to 8192, forward
 * (training 0), or forward, backward and update (training 1, on a copy), and fills rows[0
 * .. layers - 1], which `count` must equal (an_model_info.layers); each row is prepared
 * by its init, all with one size. Parameters stay as they are. It plans its own buffers,
 * whose first use the rows do not show: a pass before the timed one touches them.
 * Statuses: ARGUMENT, MEMORY, VERSION. */
AN_API an_status an_model_profile(an_model *model, uint32_t batch, uint32_t training,
                                  an_layer_time *rows, uint32_t count);

/* What a device's kernels take: a row for each kind of kernel of each layer. */
typedef struct an_kernel_time {
    size_t size;
    char name[64]; /* "conv2 forward: a product" */
    uint32_t launches;
    double seconds; /* of all launches together */
    double flops;   /* of products: floating-point operations; 0 of others */
    double bytes;   /* that must be moved at least: each number read or written once */
} an_kernel_time;

AN_API void an_kernel_time_init(an_kernel_time *time, size_t size);

/* an_model_profile_kernels() does what an_model_profile() does, and times every kernel on
 * the device. rows[0 .. capacity - 1] are prepared by their init; *count of them are
 * filled, in the order of the first launch of each kind: none on the CPU, which has no
 * such account.
 * Statuses: ARGUMENT (also where capacity is too small), MEMORY, VERSION, DEVICE. */
AN_API an_status an_model_profile_kernels(an_model *model, uint32_t batch,
                                          uint32_t training, an_kernel_time *rows,
                                          uint32_t capacity, uint32_t *count);

/* Class names, for people and for the checkpoint: up to 255 bytes of UTF-8, copied. Null
 * where none was given. The pointer stays valid until the name is set again.
 * Statuses: ARGUMENT (index, length, not UTF-8). */
AN_API an_status an_model_set_class_name(an_model *model, uint32_t index,
                                         const char *name);
AN_API const char *an_model_class_name(const an_model *model, uint32_t index);

/* ------------------------------------------------------------------------------------
 * 5. Parameters
 *
 * Numbered from 0, each layer's weight before its bias. Weights are [maps][maps read /
 * groups][kernel][kernel] and [units][inputs], as PyTorch has them. Names are those of
 * torchvision's state dict for AN_ARCH_TORCHVISION ("features.0.weight"), else
 * "conv1.weight", "conv1.bias", ... Towers do not show: each tensor is whole, the first
 * half of its maps being tower 0's.
 * ------------------------------------------------------------------------------------ */

typedef struct an_parameter_info {
    size_t size;
    char name[48];
    char layer[16]; /* "conv1" */
    uint32_t is_bias;
    uint32_t dims;     /* 4, 2 or 1 */
    uint32_t shape[4]; /* 1 beyond dims */
    uint64_t count;    /* product of shape */
} an_parameter_info;

AN_API void an_parameter_info_init(an_parameter_info *info, size_t size);
AN_API an_status an_parameter_describe(const an_model *model, uint32_t index,
                                       an_parameter_info *info);

/* an_parameter_find() gives the index of a name; ARGUMENT if there is none. */
AN_API an_status an_parameter_find(const an_model *model, const char *name,
                                   uint32_t *index);

/* Copies a whole tensor out or in; `count` must be its size. an_parameter_set() refuses
 * (ARGUMENT) numbers that are not finite, and then changes nothing. */
AN_API an_status an_parameter_get(const an_model *model, uint32_t index, float *values,
                                  size_t count);
AN_API an_status an_parameter_set(an_model *model, uint32_t index, const float *values,
                                  size_t count);

/* ------------------------------------------------------------------------------------
 * 6. Images
 *
 * A decoded picture of any size becomes the network's input in two steps. Fit: the short
 * side is scaled to `side` (a triangle filter as wide as the reduction, so that nothing
 * aliases), the centre side x side is cut out, as 8-bit values (paper, 2). View: a crop
 * of image_size x image_size at some place, perhaps mirrored; then (pixel - mean) *
 * scale.
 * ------------------------------------------------------------------------------------ */

typedef struct an_image {
    size_t size;
    const uint8_t *pixels;  /* RGB RGB ..., the caller's, read during the call */
    uint32_t width, height; /* 1 to 32768 */
    size_t row_bytes;       /* from one row to the next; 0: 3 * width */
} an_image;

AN_API void an_image_init(an_image *image, size_t size);

typedef enum an_fit {
    AN_FIT_CROP = 0, /* the short side to `side`, the centre cut out (paper, 2) */
    AN_FIT_WARP = 1, /* both sides to `side`, whatever the proportions (Caffe's models) */
    AN_FIT_LAST = AN_FIT_WARP,
    AN_FIT_MAX_ = 0x7fffffff
} an_fit;

typedef struct an_preprocessing {
    size_t size;
    uint32_t side;  /* of the fitted picture: image_size to 2048 (256 for 224 and 227) */
    uint32_t bgr;   /* 1: the network's first map is blue (Caffe) */
    float mean[3];  /* R, G, B in 0..255, subtracted */
    float scale[3]; /* R, G, B; then multiplied; not 0. 1 in 2012: raw pixel values */
    an_fit fit;
    /* Of a mean image. 0: its centre is subtracted wherever the crop lies, after
     * mirroring (2012); 1: the part under the crop, before mirroring (Caffe). */
    uint32_t mean_moves;
    /* The pixels' colours along their principal axes: standard deviations in grey levels,
     * 0 or more; all 0: unknown. */
    float colour_deviation[3];
    float colour_axis[3][3]; /* [i]: R, G, B of the unit vector of deviation i */
} an_preprocessing;

AN_API void an_preprocessing_init(an_preprocessing *p, size_t size);

/* The model's preprocessing travels in its checkpoint. A new model has its preset's: the
 * mean colour of what the preset is for (ImageNet, or CIFAR-10), ImageNet's principal
 * axes, and the scale with which the preset was trained.
 * Statuses: ARGUMENT (limits above; all must be finite), STATE (another side than that of
 * the model's mean image), VERSION. */
AN_API an_status an_model_set_preprocessing(an_model *model, const an_preprocessing *p);
AN_API an_status an_model_get_preprocessing(const an_model *model, an_preprocessing *p);

/* A mean image is subtracted in place of the mean colour: mean is float [3][side][side],
 * R, G, B in 0..255, copied; count must be 3 * side * side of the model's preprocessing.
 * Null and 0: none, as in a new model. It travels in the checkpoint.
 * an_model_get_mean_image() wants the same count; STATE if the model has none. */
AN_API an_status an_model_set_mean_image(an_model *model, const float *mean,
                                         size_t count);
AN_API an_status an_model_get_mean_image(const an_model *model, float *mean,
                                         size_t count);

/* The ten views of the paper, 4.1: the centre and the four corners, then their
 * mirrors. */
enum {
    AN_VIEW_CENTRE = 0,
    AN_VIEW_TOP_LEFT = 1,
    AN_VIEW_TOP_RIGHT = 2,
    AN_VIEW_BOTTOM_LEFT = 3,
    AN_VIEW_BOTTOM_RIGHT = 4,
    AN_VIEW_MIRRORED = 5 /* added to one of the above */
};

/* an_image_fit() does the first step alone: `out`, which has room for `capacity` bytes,
 * gets side * side * 3. Hosts that show a picture many times keep the fitted one: fitting
 * it again changes nothing. side: 1 to 2048. No model needed, any thread. */
AN_API an_status an_image_fit(const an_image *image, uint32_t side, uint8_t *out,
                              size_t capacity);

/* The same without regard to proportions: both sides are scaled to `side`. */
AN_API an_status an_image_warp(const an_image *image, uint32_t side, uint8_t *out,
                               size_t capacity);

/* an_preprocess() does both: `out` gets 3 * image_size * image_size floats (NCHW, one
 * image), and has room for `capacity`. view: 0 to 9.
 * Statuses: ARGUMENT, VERSION. */
AN_API an_status an_preprocess(const an_model *model, const an_image *image,
                               uint32_t view, float *out, size_t capacity);

/* ------------------------------------------------------------------------------------
 * 7. Inference, evaluation
 *
 * Any number of threads may call these on one model at once. Buffers are planned for the
 * largest count seen (passes of at most 128 images), one set for each call that runs at
 * the same time as others; a call of a size seen before allocates nothing.
 * ------------------------------------------------------------------------------------ */

/* an_infer() classifies count images, float [count][3][image_size][image_size], already
 * preprocessed. probabilities gets [count][classes], each row summing to 1; capacity: the
 * floats that it has room for (ARGUMENT: fewer than count * classes).
 * count: 1 to 1048576. The centre view's result for one image may differ in its last bits
 * with the size of the batch that it is in.
 * Statuses: DIVERGED (a result is not finite: the message names the first layer; rows of
 * passes before that one have been written). */
AN_API an_status an_infer(an_model *model, const float *images, uint32_t count,
                          float *probabilities, size_t capacity);

/* Like an_infer(), but from decoded pictures of any size, their centre view. */
AN_API an_status an_infer_images(an_model *model, const an_image *images, uint32_t count,
                                 float *probabilities, size_t capacity);

/* an_infer_views() averages the probabilities of several views of each picture: 1, the
 * centre, or 10, the paper's (4.1). On DIVERGED probabilities has unfinished sums. */
AN_API an_status an_infer_views(an_model *model, const an_image *images, uint32_t count,
                                uint32_t views, float *probabilities, size_t capacity);

typedef struct an_evaluation {
    size_t size;
    uint64_t count; /* images in the sums below */
    /* Images whose label came first; where k classes share the place, 1/k, as the
     * original counted. */
    double top1;
    double top5; /* images whose label is among the first five, likewise */
    double loss; /* sum of -ln(probability of the label) */
} an_evaluation;

AN_API void an_evaluation_init(an_evaluation *evaluation, size_t size);

/* an_evaluate*() adds the results of count labelled images to `evaluation`, so that a set
 * can be fed in pieces: top1 / count is the accuracy. labels: 0 to classes - 1.
 * Statuses as for an_infer(). */
AN_API an_status an_evaluate(an_model *model, const float *images, const int32_t *labels,
                             uint32_t count, an_evaluation *evaluation);
AN_API an_status an_evaluate_images(an_model *model, const an_image *images,
                                    const int32_t *labels, uint32_t count,
                                    an_evaluation *evaluation);

/* an_score() adds the results of rows of probabilities, [count][classes], wherever they
 * come from: the mean over several models, say (the paper's rows of 5 and 7 CNNs). Needs
 * no object. count: 1 to 1048576; classes: 2 to 65536; a loss of more than 87.3, the
 * logarithm of the smallest normal float, counts as that. */
AN_API an_status an_score(const float *probabilities, uint32_t classes,
                          const int32_t *labels, uint32_t count,
                          an_evaluation *evaluation);

/* What a layer computes, by name: "conv1" ... "fc8" or, as in its parameters' names,
 * "features.0"; or "prob" for the probabilities. */
typedef enum an_point {
    AN_POINT_LINEAR = 1, /* before the non-linearity */
    /* Right after it: of krizhevsky2012's conv1 and conv5 that is after pooling, which
     * stands before it there. */
    AN_POINT_ACTIVATION = 2,
    /* What the next layer reads: after norm, pooling, and dropout's scaling for
     * testing. */
    AN_POINT_OUTPUT = 3,
    AN_POINT_LAST = AN_POINT_OUTPUT,
    AN_POINT_MAX_ = 0x7fffffff
} an_point;

/* an_activation_count() gives the numbers of one image: maps * height * width, which are
 * written to shape[3] unless it is null. ARGUMENT: no such layer; the last layer and
 * "prob" have no non-linearity. */
AN_API an_status an_activation_count(const an_model *model, const char *layer,
                                     an_point point, size_t *count, uint32_t shape[3]);

/* an_infer_layer() and an_infer_layer_images() are an_infer() and an_infer_images() up to
 * there: out, which has room for `capacity` floats, gets [count][maps][height][width],
 * tower
 * 0's maps first. The layers behind are
 * not computed.
 * Statuses as for an_infer(), but values are not checked for being finite. */
AN_API an_status an_infer_layer(an_model *model, const float *images, uint32_t count,
                                const char *layer, an_point point, float *out,
                                size_t capacity);
AN_API an_status an_infer_layer_images(an_model *model, const an_image *images,
                                       uint32_t count, const char *layer, an_point point,
                                       float *out, size_t capacity);

/* ------------------------------------------------------------------------------------
 * 8. Training
 *
 * The update of the paper, section 5, for each weight w and its velocity v, with the
 * gradient g of the batch's mean loss:
 *
 *     v = momentum * v - weight_decay * rate * w - rate * g
 *     w = w + v
 * ------------------------------------------------------------------------------------ */

typedef struct an_trainer an_trainer;

enum {
    AN_AUGMENT_CROP = 1,   /* a crop at a random place, each as likely (paper, 4.1) */
    AN_AUGMENT_MIRROR = 2, /* and mirrored with probability 1/2 */
    /* And its colour moved along the principal axes; the loader only (section 11). */
    AN_AUGMENT_COLOUR = 4
};

typedef struct an_trainer_config {
    size_t size;
    /* The most images of one step: 1 to 8192; buffers are planned for it. Default 128
     * (paper, 5). */
    uint32_t batch;
    uint32_t augment; /* of an_train_step_images(): AN_AUGMENT_CROP and MIRROR; both */
    /* Of weights, 0 to 1000; default 0.01 (paper, 5). A parameter whose rate is 0 stays
     * as it is, and so does its velocity, as in the code of 2012. */
    float rate;
    /* Of biases; negative: rate times the preset's factor: 1, or 2 for krizhevsky2012,
     * owt2014, caffe_alexnet and caffenet, which may be no more than 1000 either. */
    float bias_rate;
    float momentum;     /* 0 to below 1; default 0.9 */
    float weight_decay; /* 0 to 1; default 0.0005 */
    /* Of biases; negative: the preset's: weight_decay for paper, floor224 and
     * torchvision, 0 for the rest. */
    float bias_decay;
    uint32_t reserved; /* 0 */
    uint64_t seed;     /* of dropout, crops and mirrors */
    /* Images computed at a time, 1 to batch: a step adds up the gradients of its pieces,
     * in the memory of one piece and one more set of gradients. The same step but for the
     * order of its sums. 0: batch. */
    uint32_t micro_batch;
    /* 0: an_trainer_end_epoch() drops no rate by itself. Else how often at most: 3 in the
     * paper, 5. */
    uint32_t plateau_drops;
    /* Epochs without a new best after which it drops; 1 to 1000, default 5. The paper
     * gives no number. */
    uint32_t plateau_patience;
    float plateau_factor; /* above 0, below 1; default 0.1 (paper, 5) */
    /* A best is new if it is below the last by this share of it; 0 (default) to below
     * 1. */
    float plateau_gain;
} an_trainer_config;

AN_API void an_trainer_config_init(an_trainer_config *config, size_t size);

/* an_trainer_create() plans the buffers of training `model`; `config` may be null. The
 * trainer keeps a reference to the model. A model has one trainer at a time (STATE).
 * Statuses: ARGUMENT, MEMORY, STATE, VERSION. */
AN_API an_status an_trainer_create(an_trainer **out, an_model *model,
                                   const an_trainer_config *config);
AN_API void an_trainer_destroy(an_trainer *trainer);

typedef struct an_step_stats {
    size_t size;
    double loss;        /* mean over the batch, before the update */
    double top1, top5;  /* images of the batch, counted as in an_evaluation */
    uint64_t iteration; /* steps done, this one included */
    /* 1 while the loss has not left ln(classes): at least 100 steps, and a running mean,
     * of no loss more than that, above 98 % of it. The start that many initialisations
     * never leave; also logged, once, as a warning. */
    uint32_t flat;
    uint32_t reserved;
} an_step_stats;

AN_API void an_step_stats_init(an_step_stats *stats, size_t size);

/* an_train_step() does one step on count images, 1 to config.batch, preprocessed as for
 * an_infer(): forward, mean cross-entropy, backward, update. labels: 0 to classes - 1.
 * stats may be null.
 * Statuses: DIVERGED: the loss or a gradient is not finite; the message names the first
 * layer where that shows; no parameter, velocity or counter has changed. (A device that
 * updates dense weights where it computes their gradient cannot see beforehand that a sum
 * of finite products overflows: that one weight then stays as it is, in a step that is
 * OK.) DEVICE, DEVICE_MEMORY: parameters may be updated in part; a checkpoint is where to
 * go on.
 * Allocates nothing on the CPU; on a device, nothing from the third step in a row of one
 * count on. */
AN_API an_status an_train_step(an_trainer *trainer, const float *images,
                               const int32_t *labels, uint32_t count,
                               an_step_stats *stats);

/* Like an_train_step(), but from decoded pictures of any size. Crop and mirror depend on
 * config.seed, the iteration and the place in the batch alone. */
AN_API an_status an_train_step_images(an_trainer *trainer, const an_image *images,
                                      const int32_t *labels, uint32_t count,
                                      an_step_stats *stats);

/* an_trainer_get_config() fills `config` with what is in force, negative values resolved;
 * an_trainer_set_rates() changes the rates from the next step on (limits as above), of
 * all layers without rates of their own. */
AN_API an_status an_trainer_get_config(const an_trainer *trainer,
                                       an_trainer_config *config);
AN_API an_status an_trainer_set_rates(an_trainer *trainer, float rate, float bias_rate);

/* Rates of one layer's weights and biases, in place of the common ones; negative: the
 * common one again. With both 0 the layer is frozen: neither its gradient nor its update
 * is computed, and nothing below the lowest layer that learns. They travel in the
 * checkpoint. an_trainer_get_layer_rates() tells what is in force, drops of a plateau
 * counted in.
 * Statuses: ARGUMENT (no such layer; limits as above). */
AN_API an_status an_trainer_set_layer_rates(an_trainer *trainer, const char *layer,
                                            float rate, float bias_rate);
AN_API an_status an_trainer_get_layer_rates(const an_trainer *trainer, const char *layer,
                                            float *rate, float *bias_rate);

/* A schedule: changes of rate at epochs. */
typedef struct an_rate_change {
    size_t size;
    uint32_t epoch;        /* after so many */
    char layer[16];        /* "": all that have no rates of their own */
    float rate, bias_rate; /* from then on; negative: as before */
} an_rate_change;

AN_API void an_rate_change_init(an_rate_change *change, size_t size);

/* Copies up to 64 changes, in the order in which they are to be made, epochs not falling,
 * in place of an earlier schedule; null and 0: none. Those of epochs that the trainer has
 * reached are made now. The schedule travels in the checkpoint. */
AN_API an_status an_trainer_set_schedule(an_trainer *trainer,
                                         const an_rate_change *changes, uint32_t count);

typedef struct an_epoch_info {
    size_t size;
    uint32_t epoch;   /* epochs done, this one included */
    uint32_t dropped; /* 1: the plateau rule dropped the rates now */
    uint32_t drops;   /* how often so far */
    /* 1: it would drop again, but has done so plateau_drops times: the paper stopped
     * here. */
    uint32_t finished;
    double best;           /* validation error so far; -1: none was given */
    float rate, bias_rate; /* in force from now on */
} an_epoch_info;

AN_API void an_epoch_info_init(an_epoch_info *info, size_t size);

/* an_trainer_end_epoch() tells the trainer that a pass over the data is done. It makes
 * the schedule's changes that are due, and, with config.plateau_drops, multiplies all
 * rates by plateau_factor once the validation error has had no new best for
 * plateau_patience epochs. validation_error: 0 or more, or negative for none. info may be
 * null.
 * Statuses: ARGUMENT (not finite). */
AN_API an_status an_trainer_end_epoch(an_trainer *trainer, double validation_error,
                                      an_epoch_info *info);

/* Epochs ended, and steps done since: where a loader has to go on, if every batch was
 * trained on. A host that leaves one out (a damaged picture, a step that diverged) keeps
 * the place itself, in the note below, say. Either may be null. */
AN_API an_status an_trainer_epoch(const an_trainer *trainer, uint32_t *epochs,
                                  uint32_t *steps);

/* Steps done since the trainer began, those before a resume included; 0 for null. */
AN_API uint64_t an_trainer_iteration(const an_trainer *trainer);

/* The gradients of the last step, as the update saw them: the mean over the batch,
 * without weight decay. index and count as for an_parameter_get(). STATE before the first
 * step, and for a frozen layer. */
AN_API an_status an_trainer_get_gradient(const an_trainer *trainer, uint32_t index,
                                         float *values, size_t count);

/* 64 bytes that belong to the host and travel in the trainer's checkpoint: its place in
 * its data, say. All zero in a new trainer. */
#define AN_TRAINER_NOTE_BYTES 64
AN_API an_status an_trainer_set_note(an_trainer *trainer,
                                     const uint8_t note[AN_TRAINER_NOTE_BYTES]);
AN_API an_status an_trainer_get_note(const an_trainer *trainer,
                                     uint8_t note[AN_TRAINER_NOTE_BYTES]);

/* ------------------------------------------------------------------------------------
 * 9. Checkpoints
 *
 * A safetensors file with every parameter under its name, and in the metadata whatever is
 * needed to use the model: preset, config, preprocessing, class names. A trainer's file
 * has the velocities too ("velocity." before the name), iteration, rates, seed and note,
 * and is a model's file as well. docs/CHECKPOINTS.md has the layout.
 *
 * A file is written beside its target under a temporary name, synced and renamed: at any
 * moment the path holds the old file or the new one, whole. A file being read is taken
 * for hostile until checked: nothing in it can do more than fail with AN_ERROR_FORMAT.
 * ------------------------------------------------------------------------------------ */

typedef struct an_load_config {
    size_t size;
    const char *devices; /* as in an_model_config */
    uint32_t towers;     /* as in an_model_config */
    /* 0: the file is mapped and pages are read when first used: a file that another
     * program overwrites in place, instead of renaming, is then a danger (SIGBUS if it is
     * cut short). 1: read at once; a device with memory of its own always does. */
    uint32_t copy;
    an_precision precision; /* as in an_model_config */
    uint32_t reserved;      /* 0 */
} an_load_config;

AN_API void an_load_config_init(an_load_config *config, size_t size);

/* an_model_load() makes a model from a file: float32, float16 and bfloat16 tensors are
 * accepted, and used as float32. `config` may be null. Tensors that are not the model's
 * are ignored. A file without this library's metadata loads where its tensors are those
 * of torchvision's AlexNet, by name and shape.
 * Statuses: IO, FORMAT, VERSION, MEMORY, those of an_model_create(). */
AN_API an_status an_model_load(an_model **out, an_context *ctx, const char *path,
                               const an_load_config *config);
/* The new file has the mode of the one that it replaces.
 * Statuses: IO (also: what is there is a folder, pipe or device), MEMORY. */
AN_API an_status an_model_save(const an_model *model, const char *path);

/* The same through callbacks. A reader puts up to `bytes` bytes into `data` and returns
 * how many, 0 at the end, -1 on failure (IO); it may be slow: memory is taken as data
 * come, and nothing else of the context waits for it. A writer returns 0, or anything
 * else for failure (IO); it gets the file in order, in pieces of at most 1 MiB. */
typedef ptrdiff_t (*an_read_fn)(void *data, size_t bytes, void *user);
typedef int (*an_write_fn)(const void *data, size_t bytes, void *user);

AN_API an_status an_model_read(an_model **out, an_context *ctx, an_read_fn read,
                               void *user, const an_load_config *config);
AN_API an_status an_model_write(const an_model *model, an_write_fn write, void *user);

/* an_trainer_save() writes the trainer with its model. To resume, load the model from the
 * file, then the trainer: from there every step gives the bits that the uninterrupted run
 * would have given, on the same machine. config->batch of the file is kept.
 * Statuses: IO, MEMORY; loading also FORMAT (also: a model's file without a trainer),
 * STATE (the model has a trainer; or is not the file's), VERSION. */
AN_API an_status an_trainer_save(const an_trainer *trainer, const char *path);
AN_API an_status an_trainer_write(const an_trainer *trainer, an_write_fn write,
                                  void *user);
AN_API an_status an_trainer_load(an_trainer **out, an_model *model, const char *path);
AN_API an_status an_trainer_read(an_trainer **out, an_model *model, an_read_fn read,
                                 void *user);

/* an_model_transfer() copies from another model every parameter that both have, by name
 * and shape, and its preprocessing, if its crops are as large: to go on with other
 * classes, or with a sixth convolution. A layer of another shape keeps its initial
 * values, and so does the layer `skip`, by name: the last one, where the classes are
 * others but as many; null: none. copied, which may be null, gets the number of tensors.
 * Statuses: ARGUMENT (no layer `skip`), MEMORY, STATE (`to` has a trainer; no tensor
 * fits). */
AN_API an_status an_model_transfer(an_model *to, const an_model *from, const char *skip,
                                   uint32_t *copied);

/* ------------------------------------------------------------------------------------
 * 10. Packs
 *
 * A data set of any size in one folder: fitted pictures of side x side back to back in a
 * few large files, and an index with their places, labels and checksums, class names,
 * mean image and principal axes of the colours. docs/PACKS.md has the layout. Read by
 * mmap, at random.
 * ------------------------------------------------------------------------------------ */

typedef struct an_pack an_pack;

typedef enum an_pack_kind {
    AN_PACK_RAW = 1,  /* side * side * 3 bytes a picture */
    AN_PACK_JPEG = 2, /* whatever the host's codec makes of it: JPEG files, by custom */
    AN_PACK_LAST = AN_PACK_JPEG,
    AN_PACK_MAX_ = 0x7fffffff
} an_pack_kind;

/* Decodes one picture into side * side * 3 bytes, RGB; 0 on success. May be called from
 * several threads at once. */
typedef int (*an_decode_fn)(const uint8_t *bytes, size_t count, uint32_t side,
                            uint8_t *pixels, void *user);

/* an_pack_open() maps the pack of a finished folder; the library decodes no files, so
 * packs of JPEG need `decode`. The index is checked as a whole, the files by their sizes;
 * each picture's checksum when it is read. The files must not be changed while the pack
 * is open. Any number of threads may read a pack.
 * Statuses: IO (also what is no pack: the message says what it is), FORMAT (cut short,
 * damaged), STATE (preparing it was not finished), VERSION. */
AN_API an_status an_pack_open(an_pack **out, an_context *ctx, const char *folder,
                              an_decode_fn decode, void *user);
AN_API void an_pack_destroy(an_pack *pack); /* null allowed */

typedef struct an_pack_info {
    size_t size;
    uint64_t count;   /* pictures */
    uint64_t bytes;   /* of the files, index not counted */
    uint64_t skipped; /* pictures that could not be read when it was made */
    uint32_t side, classes;
    an_pack_kind kind;
    uint32_t parts;
    an_fit fit;
    float mean[3];             /* R, G, B, in 0..255 */
    float deviation[3];        /* standard deviations of R, G, B, in grey levels */
    float colour_deviation[3]; /* as in an_preprocessing, largest first */
    float colour_axis[3][3];
} an_pack_info;

AN_API void an_pack_info_init(an_pack_info *info, size_t size);
AN_API an_status an_pack_describe(const an_pack *pack, an_pack_info *info);
/* Null if it has none. Valid until the pack is closed. */
AN_API const char *an_pack_class_name(const an_pack *pack, uint32_t index);

/* One picture: side * side * 3 bytes, RGB, and its label; either may be null (pixels:
 * with capacity 0).
 * Statuses: ARGUMENT (no such picture), FORMAT (damaged: the message has its number; what
 * a decoder that failed has written to pixels stays there). */
AN_API an_status an_pack_read(const an_pack *pack, uint64_t index, uint8_t *pixels,
                              size_t capacity, int32_t *label);

/* float [3][side][side], count numbers, as an_model_set_mean_image() takes it. */
AN_API an_status an_pack_mean_image(const an_pack *pack, float *mean, size_t count);

/* Gives a model the pack's side, fit, mean colour and principal axes, and its class
 * names, if the classes are as many. unit: 1 for scales that make the deviation of each
 * colour 1, 0 for scales of 1. mean_image: 1 to subtract the mean image.
 * Statuses: ARGUMENT (the pack's side is smaller than the model's crops), STATE (the
 * model has a trainer that has done a step). */
AN_API an_status an_pack_prepare_model(const an_pack *pack, an_model *model,
                                       uint32_t unit, uint32_t mean_image);

/* Making one. Pictures get their numbers in the order of an_pack_writer_add(). What is
 * made survives the process up to the last an_pack_writer_sync(), and
 * an_pack_writer_create() with `resume` goes on from there; without
 * an_pack_writer_finish() it opens as no pack. One thread at a time. */
typedef struct an_pack_writer an_pack_writer;

typedef struct an_pack_writer_config {
    size_t size;
    uint32_t side;     /* 1 to 2048; default 256 */
    an_pack_kind kind; /* default AN_PACK_RAW */
    uint32_t classes;  /* 2 to 65536 */
    /* 1: go on with what the folder holds, if it does. 0: an unfinished pack that is
     * there is removed. */
    uint32_t resume;
    /* A file is closed once it is as large; default 4 GiB. There may be 32,768 files. */
    uint64_t part_bytes;
    /* How the host fits the pictures; a model that learns from the pack will fit others
     * in the same way. */
    an_fit fit;
    /* 1: classes may be without a picture, as those of a test set that is numbered like
     * another pack; 0: an_pack_writer_finish() refuses them. */
    uint32_t empty_classes;
} an_pack_writer_config;

AN_API void an_pack_writer_config_init(an_pack_writer_config *config, size_t size);

/* The folder is made if it is not there, and is this writer's alone until it finishes or
 * is destroyed, or the process ends: a file named lock says whose.
 * Statuses: IO, STATE (it holds a finished pack, or another writer is at work there: the
 * message says which process on which host), FORMAT, VERSION (what is there to resume is
 * damaged, no part of a pack, or made with another config). */
AN_API an_status an_pack_writer_create(an_pack_writer **out, an_context *ctx,
                                       const char *folder,
                                       const an_pack_writer_config *config);

/* Up to 255 bytes of UTF-8; of all names together at most 8 MiB, less what JSON puts
 * between them (an_pack_writer_sync() and an_pack_writer_finish(): ARGUMENT). */
AN_API an_status an_pack_writer_set_class_name(an_pack_writer *writer, uint32_t index,
                                               const char *name);

/* Adds a picture: side * side * 3 bytes, RGB, which are also what the statistics are of;
 * and for AN_PACK_JPEG the bytes to store.
 * Statuses: ARGUMENT, IO (disk full: the picture is not in the pack, and the call may be
 * repeated). */
AN_API an_status an_pack_writer_add(an_pack_writer *writer, const uint8_t *pixels,
                                    const void *bytes, size_t count, int32_t label);
/* Counts a picture that could not be read. */
AN_API an_status an_pack_writer_skip(an_pack_writer *writer);
/* Pictures added and skipped so far, those before a resume included. */
AN_API uint64_t an_pack_writer_position(const an_pack_writer *writer);
/* Puts what was added on the disk for good.
 * Statuses: IO; where the disk itself failed the object is of no more use, and another
 * goes on after the last sync that did not fail. */
AN_API an_status an_pack_writer_sync(an_pack_writer *writer);

/* Writes the index, from when on the folder is a pack. The object stays to be destroyed.
 * Statuses: IO, STATE (no picture at all, or, without empty_classes, a class without one:
 * the message names it). */
AN_API an_status an_pack_writer_finish(an_pack_writer *writer);
AN_API void an_pack_writer_destroy(an_pack_writer *writer); /* null allowed */

/* ------------------------------------------------------------------------------------
 * 11. Loader
 *
 * Threads of its own crop, mirror and colour the next batches while the model trains on
 * the last (paper, 4.1). Which batch comes when, and every number in it, depends on
 * source, config and position alone, not on the number of workers.
 * ------------------------------------------------------------------------------------ */

/* A labelled picture, as a source gives it: pixels as in an_image. */
typedef struct an_sample {
    size_t size;
    const uint8_t *pixels;
    uint32_t width, height;
    size_t row_bytes;
    int32_t label;
    uint32_t reserved;
    void *scratch; /* from the loader: source.scratch_bytes, this worker's */
} an_sample;

/* Fills `sample` with picture `index`, 0 to count - 1; 0 on success. Called from the
 * loader's threads, several at once; pixels must stay until the next call with the same
 * scratch. */
typedef int (*an_fetch_fn)(uint64_t index, an_sample *sample, void *user);

typedef struct an_source {
    size_t size;
    uint64_t count; /* 1 to 4294967295 */
    an_fetch_fn fetch;
    void *user;
    size_t scratch_bytes; /* that each worker has for decoding, say */
} an_source;

AN_API void an_source_init(an_source *source, size_t size);

/* A pack as a source; the pack must outlive its loaders. */
AN_API an_status an_pack_source(an_pack *pack, an_source *source);

typedef enum an_colour_rule {
    /* Principal axis i is moved by sigma * N(0,1) * deviation i: the code of 2012 */
    AN_COLOUR_DEVIATION = 0,
    /* by sigma * N(0,1) * eigenvalue i, of pixels from 0 to 1: the paper's words (4.1) */
    AN_COLOUR_EIGENVALUE = 1,
    AN_COLOUR_LAST = AN_COLOUR_EIGENVALUE,
    AN_COLOUR_MAX_ = 0x7fffffff
} an_colour_rule;

typedef struct an_loader_config {
    size_t size;
    uint32_t batch;   /* images, 1 to 8192; default 128. An epoch's last may be smaller */
    uint32_t workers; /* threads, 1 to 256; default 1 */
    uint32_t prefetch; /* batches prepared beforehand, 1 to 64; default 2 */
    uint32_t shuffle;  /* 1 (default): a new order in each epoch; 0: the source's */
    uint32_t augment;  /* AN_AUGMENT_*, default all. Without CROP: the centre */
    /* Images in a row with the same crop and mirror, 1 to 8192; default 1; the original's
     * loader: 32. */
    uint32_t crop_group;
    an_colour_rule colour_rule;
    float colour_sigma; /* 0 to 10; default 0.1 (paper, 4.1) */
    /* Of the image with its noise, 0.1 to 10; default 1; the original divides by 1.1. */
    float colour_divisor;
    /* After so many there is no noise and no division; 0: always. */
    uint32_t colour_epochs;
    uint64_t seed; /* of order, crops, mirrors and colours */
    /* 1: batches are for an_train_step_batch() alone, and hold bytes where the model's
     * device makes floats of them itself, a quarter of what would have to travel there;
     * default 0: floats. */
    uint32_t keep_uint8;
    uint32_t reserved; /* 0 */
} an_loader_config;

AN_API void an_loader_config_init(an_loader_config *config, size_t size);

typedef struct an_loader an_loader;

/* an_loader_create() starts the workers. The model's preprocessing of this moment is
 * taken; AN_AUGMENT_COLOUR wants its colour_deviation (STATE where all are 0 and sigma is
 * not). The loader keeps a reference to the model. Memory: prefetch + 1 batches of
 * floats, each worker's scratch, and with shuffling 4 bytes a picture of the source.
 * Statuses: ARGUMENT, MEMORY, STATE, VERSION. */
AN_API an_status an_loader_create(an_loader **out, an_model *model,
                                  const an_source *source,
                                  const an_loader_config *config);
AN_API void
an_loader_destroy(an_loader *loader); /* null allowed; waits for the workers */

typedef struct an_batch {
    size_t size;
    /* [count][3][image_size][image_size], for an_train_step(); null where keep_uint8 has
     * given bytes. */
    const float *images;
    const int32_t *labels;   /* [count] */
    const uint64_t *indices; /* [count], in the source */
    uint32_t count;
    uint32_t epoch, step; /* of this batch, from 0 */
    uint32_t last;        /* 1: the epoch's last */
    /* [count][image_size][image_size][3], not mirrored; null where images is not. */
    const uint8_t *crops;
    const void *views;       /* what is to be done with them: the library's own */
    const an_loader *loader; /* whose batch it is */
} an_batch;

AN_API void an_batch_init(an_batch *batch, size_t size);

/* an_loader_next() waits for the next batch. Its pointers are valid until the next call
 * on this loader. One thread at a time.
 * Statuses: of a picture that fails - IO (the source's fetch failed), FORMAT (a damaged
 * pack), ARGUMENT (size or label out of range); the next call gets the batch after it. */
AN_API an_status an_loader_next(an_loader *loader, an_batch *batch);

/* an_train_step_batch() is an_train_step() with a batch of a loader of the trainer's
 * model (ARGUMENT: another's), as long as the batch is valid.
 * Statuses as there. */
AN_API an_status an_train_step_batch(an_trainer *trainer, const an_batch *batch,
                                     an_step_stats *stats);

/* A step in two halves, so that a device need not wait for the host.
 * an_train_step_begin() sends a batch on its way, gives the device its step and returns
 * without waiting for it; the batch may then go (an_loader_next()), but not its loader.
 * an_train_step_end() waits for the oldest step that has not ended, and says what
 * an_train_step_batch() would have. Two may be in flight; meanwhile nothing else may be
 * asked of trainer and model (STATE), but an_trainer_iteration(), which counts what has
 * ended. Rates are those at the beginning. If a step diverges, the one begun after it
 * changes nothing either, and its end says STATE. Where there is no device, or a batch of
 * floats or one larger than micro_batch, begin does all.
 * Statuses: as there; STATE (a third step; none is in flight). */
AN_API an_status an_train_step_begin(an_trainer *trainer, const an_batch *batch);
AN_API an_status an_train_step_end(an_trainer *trainer, an_step_stats *stats);

/* The next batch will be `step` of `epoch`, both from 0; step: below an_loader_info.steps
 * (ARGUMENT). Not beside an_loader_next(). */
AN_API an_status an_loader_seek(an_loader *loader, uint32_t epoch, uint32_t step);

typedef struct an_loader_info {
    size_t size;
    uint64_t count;    /* images of an epoch */
    uint64_t prepared; /* images so far */
    double busy;       /* seconds of all workers together that it took */
    double waited;     /* seconds that an_loader_next() waited, in all */
    uint32_t steps;    /* of an epoch */
    uint32_t reserved;
} an_loader_info;

AN_API void an_loader_info_init(an_loader_info *info, size_t size);
/* Any thread, at any time. */
AN_API an_status an_loader_describe(an_loader *loader, an_loader_info *info);

/* ------------------------------------------------------------------------------------
 * 12. Recipes
 *
 * How to train, as named data: docs/RECIPES.md has the tables and where they are from.
 *
 *     krizhevsky2012  as the network of the paper was trained
 *     paper           as the paper's text says
 *     fine-tune       from a trained model to other classes
 *     small-data      from nothing, on some thousand pictures
 * ------------------------------------------------------------------------------------ */

typedef struct an_recipe_info {
    size_t size;
    char name[24];
    char summary[104];
    uint32_t epochs;     /* that the schedule is made for */
    uint32_t changes;    /* of the schedule */
    uint32_t unit;       /* 1: inputs of unit variance, see an_pack_prepare_model() */
    uint32_t mean_image; /* 1: with a mean image */
} an_recipe_info;

AN_API void an_recipe_info_init(an_recipe_info *info, size_t size);

/* By number, 0, 1, ... until ARGUMENT; and by name. */
AN_API an_status an_recipe_describe(uint32_t index, an_recipe_info *info);
AN_API an_status an_recipe_find(const char *name, uint32_t *index);

/* Writes what the recipe says into configs that were initialised, and leaves the rest as
 * it is; each may be null. epochs: that the run will have (0: the recipe's), to which the
 * end of the colour noise is fitted.
 * Statuses: ARGUMENT (no such recipe), VERSION. */
AN_API an_status an_recipe_apply(const char *name, uint32_t epochs,
                                 an_model_config *model, an_trainer_config *trainer,
                                 an_loader_config *loader);

/* Gives the trainer the recipe's schedule, stretched or pressed to `epochs` (0: its own),
 * as an_trainer_set_schedule() does. rate: 0, or the first rate that the trainer was
 * given in place of the recipe's: the schedule's rates, of weights and biases, are scaled
 * by as much.
 * Statuses: ARGUMENT. */
AN_API an_status an_recipe_schedule(const char *name, an_trainer *trainer,
                                    uint32_t epochs, float rate);

#ifdef __cplusplus
}
#endif

#endif
