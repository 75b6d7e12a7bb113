/*
 * gemm.h - one matrix product for all: convolutions and dense layers, forward and both ways
 * back, as an implicit GEMM whose operands are gathered from images.
 */
#ifndef AN_CUDA_GEMM_H
#define AN_CUDA_GEMM_H

#include "device.h"

/* n / d for n below 2^31 by a multiplication: Granlund and Montgomery, "Division by invariant
 * integers using multiplication", PLDI 1994, figure 4.1. */
struct an_divisor {
    uint32_t d, factor, shift;
};

an_divisor an__cuda_divisor(uint32_t d);

static __device__ __forceinline__ uint32_t divide(uint32_t n, const an_divisor &by)
{
    return (__umulhi(n, by.factor) + n) >> by.shift;
}

/* What is computed, of each group:
 *
 *              C [m][n]                 sum over k of A [m][k]     times B [k][n]
 *   FORWARD    y [out pixel][out map]   x at the pixel's taps      w
 *   DATA       dx [in pixel][in map]    dy of the windows there    w
 *   WEIGHTS    dw [out map][tap, map]   dy [out map][out pixel]    x at the pixel's tap
 */
enum an_product { AN_FORWARD, AN_DATA, AN_WEIGHTS };

/* What is done to a number of C before it is written, in this order. */
struct an_finish {
    const float *bias; /* null: none */
    uint32_t relu;
    const an_step *step; /* null: no dropout */
    an_dropout_shape drop;
    float factor; /* 0: none */
    /* Not null: of C's size; where it is not above 0 the number becomes 0, elsewhere it is
     * multiplied by mask. */
    const void *x;
    float mask;
};

/* Sizes are those of one group and one slab; pitches and images those of the whole tensor. */
struct an_gemm {
    const char *what; /* a launch of it is called */
    const void *a, *b;
    void *c;
    float *parts; /* null: C is finished; else sums by part of k: [split][group][m][n] */
    an_finish finish;
    /* WEIGHTS: not null: C is no gradient but what it updates, where *faults is 0. */
    const float *faults;
    const an_step *step;
    an_parameter_part part; /* from C's first number on */
    uint32_t wide;          /* C is float32 though A and B are narrow */
    uint32_t rounded;       /* B is float32 numbers rounded to TF32 */
    uint32_t m, n, k;
    uint32_t groups, splits; /* splits: parts of k */
    uint32_t split_k;        /* of one part */
    uint32_t in_height, in_width, out_height, out_width, kernel, stride, pad;
    uint32_t in_maps, out_maps;
    uint32_t in_pitch, out_pitch; /* numbers from pixel to pixel */
    uint32_t w_pitch;             /* from output map to output map */
    uint32_t in_image, out_image; /* from image to image */
    an_divisor by_in_maps, by_out_maps, by_kernel, by_width, by_pixels, by_stride;
};

/* Launches it (tiles.cu): by gemm.cuh's kernel, or by wgmma.cuh's. */
an_status an__cuda_gemm(an_queue *q, uint32_t precision, an_product product,
                        const an_gemm *g);

an_status an__cuda_gemm_fp32(an_queue *q, an_product product, const an_gemm *g);
an_status an__cuda_gemm_tf32(an_queue *q, an_product product, const an_gemm *g);
an_status an__cuda_gemm_tf32x3(an_queue *q, an_product product, const an_gemm *g);
an_status an__cuda_bf16_forward(an_queue *q, const an_gemm *g);
an_status an__cuda_bf16_data(an_queue *q, const an_gemm *g);
an_status an__cuda_bf16_weights(an_queue *q, const an_gemm *g);
an_status an__cuda_wgmma_tf32(an_queue *q, const an_gemm *g); /* FORWARD, rounded */

/* By what the parts of k are chosen: tiles of C; how many of them fill a device, no more than 264
 * (conv.cu's scratch memory); what a part's k is a multiple of. */
struct an_split_size {
    uint32_t tiles, fill, depth;
};

an_split_size an__cuda_split_size(const an_device *device, uint32_t precision,
                                  an_product product, const an_gemm *g);

/* The part of C that a block computes. */
struct an_tile_size {
    uint32_t m, n;
};

an_tile_size an__cuda_float_tile(an_product product, const an_gemm *g); /* gemm.cuh's */
an_tile_size an__cuda_wgmma_tile(an_product product, const an_gemm *g);

/* Whether wgmma.cuh can move everything by eight numbers: each eight lie within one tap, and a
 * window's taps are few enough for the bits of a word (taps_seen()). */
static inline bool by_eight(const an_gemm *g)
{
    return g->kernel <= 5 &&
           (g->in_maps | g->in_pitch | g->w_pitch | g->out_maps | g->out_pitch) % 8 == 0;
}

/* y = w * x, finished (conv.cu); pack: null, or w packed; wide: y is float32. */
an_status an__cuda_forward(an_queue *q, const an_conv_shape *s, uint32_t batch,
                           const void *x, const void *w, const void *pack,
                           const an_finish *to, uint32_t wide, void *y);

/* A weight's gradient to its update, nowhere else; of weights in no form. */
an_status an__cuda_weight_update(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                 const float *x, const float *dy,
                                 const an_parameter_part *weight, const float *faults);

#endif
