/*
 * shapes.h - what the operations of a backend are given beside their queue: operands,
 * which are elements in a device's memory, and shapes, which say how many there are and
 * what is asked.
 *
 * Nothing here owns memory. A shape is read during the call alone.
 */
#ifndef AN_SHAPES_H
#define AN_SHAPES_H

#include "alexnet.h"

/* --- operands ---------------------------------------------------------------------- */

typedef enum an_dtype {
    AN_DTYPE_FP32 = 0,
    AN_DTYPE_BF16 = 1,
    AN_DTYPE_BYTES = 2 /* structs, or prepacked weights in the backend's own layout */
} an_dtype;

/* Elements in a device's memory. The library counts offsets and never makes an address of
 * them, so that a buffer may be any handle of the backend's. */
typedef struct an_operand {
    /* As an_buffer_alloc_fn gave it or, with host_memory set, where a file is mapped;
     * null: there is no such operand. */
    void *buffer;
    size_t offset;  /* bytes from the buffer's begin to the first element */
    uint32_t dtype; /* an_dtype of the elements */
} an_operand;

static inline size_t an__dtype_bytes(uint32_t dtype)
{
    return dtype == AN_DTYPE_FP32 ? 4 : dtype == AN_DTYPE_BF16 ? 2 : 1;
}

static inline an_operand an__operand(void *buffer, size_t offset, uint32_t dtype)
{
    an_operand operand;

    operand.buffer = buffer;
    operand.offset = offset;
    operand.dtype = dtype;
    return operand;
}

static inline an_operand an__no_operand(void)
{
    return an__operand(NULL, 0, AN_DTYPE_FP32);
}

/* The operand that begins `elements` behind another's first. */
static inline an_operand an__operand_from(an_operand operand, size_t elements)
{
    operand.offset += elements * an__dtype_bytes(operand.dtype);
    return operand;
}

/* Operands that are looked through. */
typedef struct an_array {
    an_operand x;
    size_t count; /* elements */
} an_array;

#define AN_MAX_ARRAYS 32u /* of one call */

/* --- layouts ----------------------------------------------------------------------- */

/* The space-to-depth layout, in which a backend may keep the network's input: each square
 * of `side` x `side` pixels is one pixel of `maps` elements, in the order (row, column,
 * colour), with zeros behind them, so that a convolution of stride `side` becomes one of
 * stride 1. The first square begins `pad` pixels above and left of the image; what lies
 * beyond the image is zero. side 0: the tensor is laid out as any other. */
typedef struct an_space_to_depth {
    uint32_t side, pad, rows, columns, maps;
} an_space_to_depth;

/* The host's order of a tensor's elements: [rows][halves][maps][pixels]. The rows of a
 * weight are its output maps and its pixels the places of the kernel or, in a dense
 * layer, the pixels of its input: a dense layer of 4096 units that reads 256 maps of 6 x
 * 6 has rows 4096, maps 256 and pixels 36. */
typedef struct an_order {
    size_t rows;
    uint32_t halves;       /* tower halves that an exchange has joined: 1 or 2 */
    uint32_t maps;         /* of one half */
    uint32_t pixels;       /* of one map */
    uint32_t weights;      /* 1: of a parameter or its gradient; 0: of images */
    uint32_t width;        /* of an image whose device layout is space-to-depth */
    an_space_to_depth s2d; /* the device's layout */
} an_order;

/* --- operations -------------------------------------------------------------------- */

/* A copy of `rows` rows of `count` elements each. Pitches are the elements from the begin
 * of one row to that of the next, and never below count. */
typedef struct an_copy_shape {
    size_t count, to_pitch, from_pitch;
    uint32_t rows;
    uint32_t accumulate; /* 1: what is copied is added to what is there */
} an_copy_shape;

typedef struct an_conv_shape {
    uint32_t in_maps, in_height, in_width;
    uint32_t out_maps, out_height, out_width;
    uint32_t kernel, stride;
    /* Zeros above and left of the image; below and right come as many as out_height and
     * out_width ask for. */
    uint32_t pad;
    uint32_t groups; /* output maps of group g read the input maps of group g alone */
    /* Tower halves of x and, between its output maps, of w: 1, or 2 where an exchange has
     * put them side by side; groups is 1 then. local_half: the one that this tower
     * computed. */
    uint32_t halves, local_half;
    uint32_t precision; /* an_precision: what the factors of products may be rounded to */
    uint32_t relu;      /* 1: y below 0 becomes 0 (AN_FUSE_CONV_RELU) */
    an_space_to_depth s2d; /* layout of x and of prepacked weights */
    /* Backward: where x is not above 0, dx is 0; elsewhere dx is multiplied by this. 0:
     * neither (AN_FUSE_CONV_MASK). */
    float mask;
} an_conv_shape;

typedef struct an_dense_shape {
    uint32_t inputs, outputs;
    uint32_t halves, local_half, precision; /* as a convolution's */
    uint32_t relu;                          /* likewise (AN_FUSE_DENSE_RELU) */
    uint32_t pixels;                        /* of a map of x */
    float mask;                             /* likewise (AN_FUSE_DENSE_MASK) */
    /* y is multiplied by this, behind its ReLU if it has one; 0: it is not
     * (AN_FUSE_DENSE_DROPOUT). */
    float factor;
} an_dense_shape;

typedef struct an_pool_shape {
    uint32_t maps, in_height, in_width, out_height, out_width;
    uint32_t kernel, stride; /* windows are clipped at the lower and right edge */
    /* 1: maxima that are not above 0 are left out of the argmax mask, so that the
     * backward pass needs no ReLU of its own (AN_FUSE_ARGMAX). */
    uint32_t relu;
} an_pool_shape;

typedef struct an_lrn_shape {
    uint32_t maps, height, width;
    uint32_t size; /* n, of the window, odd. Across maps: maps; within: n x n pixels */
    /* Across: the window is clipped at the edges of each group of maps. */
    uint32_t groups;
    float k, alpha,
        beta; /* scale = k + alpha * sum of squares: alpha is divided already */
} an_lrn_shape;

/* Unit u of image i is kept if a random number drawn for (seed, iteration, layer,
 * position) says so; position = i * total + first + u, which is the same however the
 * layer is split. */
typedef struct an_dropout_shape {
    uint32_t units;        /* of this tensor, per image */
    uint32_t first, total; /* where those units stand in the whole layer */
    uint32_t pixels;       /* of a map: units are counted in the host's order */
    uint32_t layer;        /* stream of the generator */
    float rate;
    float scale; /* of what is kept: 1, or 1 / (1 - rate) */
} an_dropout_shape;

/* How a crop's bytes become network input: rows of R, G, B bytes. */
typedef struct an_preprocess_shape {
    uint32_t size, side; /* of the crop; of the fitted picture and its mean image */
    uint32_t bgr, mean_moves;
    float mean[3], scale[3];
    an_space_to_depth s2d; /* of the input */
} an_preprocess_shape;

typedef struct an_view { /* of the fitted picture */
    uint32_t x, y, mirror;
    float colour[3], divisor; /* (pixel - mean + colour) / divisor */
} an_view;

typedef struct an_rank { /* of an image's label among its classes: how many logits are */
    uint32_t greater,
        equal; /* greater than the label's; equal to it, itself among them */
} an_rank;

/* --- training ---------------------------------------------------------------------- */

#define AN_MAX_UPDATES 20u

typedef struct an_update {
    float rate, momentum, decay;
} an_update;

/* What changes from step to step. */
typedef struct an_step {
    uint64_t seed, iteration; /* of dropout */
    uint64_t first;           /* place of the first image in the step's batch */
    /* Of parameter i; rate 0: the parameter stays as it is. */
    an_update update[AN_MAX_UPDATES];
} an_step;

/* A tower's part of a parameter, for what is done to all parameters at once. */
typedef struct an_parameter_part {
    uint32_t index;     /* of its update in the step */
    size_t count;       /* elements */
    an_operand g, v, w; /* gradient, velocity, weights */
    /* None, or a bfloat16 copy of w in w's order, which the update writes too
     * (AN_FUSE_UPDATE_PREPACK). */
    an_operand prepacked;
} an_parameter_part;

/* A launch that a trace has seen. flops, bytes: what it does and moves at least. */
typedef struct an_traced {
    char label[32];
    const char *what;
    double seconds, flops, bytes;
} an_traced;

#endif
