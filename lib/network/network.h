/*
 * network.h - from a config to a plan: no memory of a device is touched here.
 *
 * config -> preset (rows of a table) -> plan (operations, tensors, parameters, per tower)
 * -> fitted to a backend (fuse.c) -> layout (bytes of each tensor).
 */
#ifndef AN_NETWORK_H
#define AN_NETWORK_H

#include "device/device.h"

#define AN_MAX_LAYERS 10
#define AN_MAX_STAGES 6
#define AN_MAX_OPS 128
#define AN_MAX_PARAMS (2 * AN_MAX_LAYERS)

/* --- config (config.c) ------------------------------------------------------------- */

an_status
an__model_config_check(an_model_config *config); /* limits; resolves no preset */

/* --- presets (arch.c): which AlexNet, as data -------------------------------------- */

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
    const char *file_name; /* of its parameters; in a table, null: the name */
} an_layer_row;

typedef struct an_arch_row {
    an_arch arch;
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

/* --- plan (plan.c): operations, tensors and parameters, in order ------------------- */

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
    uint32_t halves;              /* 2: both towers' halves, joined by an exchange */
    /* On the device, of an image, as an__plan_fit() has found. */
    uint32_t dtype;
    size_t elements, bytes;
    an_space_to_depth s2d; /* of the network's input */
} an_tensor;

typedef struct an_param {
    char name[48];
    uint32_t layer; /* row */
    uint32_t is_bias;
    uint32_t dims, shape[4];
    size_t count;
    /* Tower t holds elements first[t] .. first[t] + part[t] - 1 of the whole tensor. */
    size_t first[AN_MAX_TOWERS], part[AN_MAX_TOWERS];
    uint32_t inputs;               /* of one unit: fan-in */
    uint32_t halves, maps, pixels; /* of a row, as in an_order; maps: of one half */
} an_param;

typedef struct an_op {
    an_op_kind kind;
    uint32_t tower, layer;
    uint32_t in, out;      /* tensors; the same: in place */
    uint32_t other;        /* EXCHANGE: the other tower's half; `in` is the own one */
    uint32_t weight, bias; /* parameters */
    /* As an__plan_fit() has found. */
    uint32_t relu, dropout,
        /* Later operations that the forward pass fuses with this one; 0, which is never
         * fused: none. */
        pool;
    uint32_t fused_away; /* AN_FUSED_AWAY_: another operation does the work of this one */
    int sliced;          /* of a convolution: it gains from slices of a batch */
    size_t argmax_bytes; /* of an image's argmax mask; 0: none is kept */
    union {
        an_conv_shape conv;
        an_dense_shape dense;
        an_lrn_shape lrn;
        an_pool_shape pool;
        an_dropout_shape dropout;
        uint32_t activation;
    } u;
} an_op;

enum { AN_FUSED_AWAY_FORWARD = 1, AN_FUSED_AWAY_BACKWARD = 2 };

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
    uint32_t dtype;                /* of all tensors but the logits, which are float32 */
    int defers;          /* dense layers' gradients are computed in the update alone */
    int updates_prepack; /* the update writes prepacked weights too */
    an_layer_info layers[AN_MAX_LAYERS];
    uint64_t multiply_adds, units, parameter_count, exchange_floats;
} an_plan;

an_status an__plan_make(an_plan *plan, const an_model_config *config);
/* Whether two towers on this one device are better planned as one, with groups
 * (fuse.c). */
int an__plan_fuses_towers(const an_backend *backend, const an_device *device);
/* Fits the plan to the backend and device that it will run on (fuse.c). */
void an__plan_fit(an_plan *plan, const an_backend *backend, const an_device *device);
/* By name; argument: what the message calls it. */
an_status an__layer_find(const an_plan *plan, const char *name, const char *argument,
                         uint32_t *index);

#define AN_SLICE 4u /* images */

/* How many operations from `op` on the forward pass may do slice by slice, all of them on
 * AN_SLICE images before the next: a convolution and what follows it, where the
 * convolution's output is so large that it has left the cache before it is read again. 0:
 * op begins no such sequence. */
uint32_t an__plan_sliced(const an_plan *plan, uint32_t op, uint32_t batch);

/* --- layout (layout.c): where tensors lie ------------------------------------------ */

/* Where each tensor and gradient lies, in bytes from its tower's arena for a batch. */
typedef struct an_layout {
    size_t value[AN_MAX_OPS], gradient[AN_MAX_OPS];
    size_t argmax[AN_MAX_OPS]; /* of poolings, by operation */
    size_t bytes[AN_MAX_TOWERS];
} an_layout;

/* training: values are kept for the backward pass, and gradients have their places. */
an_status an__layout_make(an_layout *layout, const an_plan *plan, uint32_t batch,
                          int training);

/* Whether the backward pass needs what the operation wrote, or what it read. */
int an__op_needs_output(const an_op *op);
int an__op_needs_input(const an_op *op);

#endif
