/*
 * gemm.h - one matrix product for all: convolutions and dense layers, forward and both
 * backward passes, as an implicit GEMM whose factors are gathered from images.
 */
#ifndef AN_CUDA_GEMM_H
#define AN_CUDA_GEMM_H

#include "gemm/update.h"

/* n / d for n below 2^31 by a multiplication: Granlund and Montgomery, "Division by
 * invariant integers using multiplication", PLDI 1994, figure 4.1. */
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

/* What is done to an element of C before it is written, in this order. */
struct an_epilogue {
    const float *bias; /* null: none */
    uint32_t relu;
    const an_step *step; /* null: no dropout */
    an_dropout_shape drop;
    float factor; /* 0: none */
    /* Null, or as large as C: where it is not above 0, the element becomes 0; elsewhere
     * it is multiplied by `mask`. */
    const void *x;
    float mask;
};

/* Sizes are those of one group and one half; pitches and images those of the whole
 * tensor. */
struct an_gemm {
    const char *what; /* how a trace names its launch */
    const void *a, *b;
    void *c;
    float *parts; /* null: C is finished; else partial sums: [split][group][m][n] */
    /* WEIGHTS, of pipeline.cuh: null, or for partial sums over k of A, the gradient of a
     * bias: [split][tile row][group][out map]. */
    float *bias_parts;
    an_epilogue epilogue;
    /* WEIGHTS: null, or what allows updates where it is 0: the gradient then updates
     * `updated`, which begins where C would, and is not written. */
    const float *faults;
    const an_step *step;
    an_updated updated;
    uint32_t c_float; /* C is float32, even if A and B are bfloat16 */
    uint32_t rounded; /* B is float32 and rounded to TF32 */
    uint32_t across;  /* FORWARD, of pipeline.cuh: B lies as [k][n], of 1 x 1 pixels */
    uint32_t m, n, k;
    uint32_t groups, splits; /* splits: partial sums, over parts of k */
    uint32_t split_k;        /* of one part */
    uint32_t in_height, in_width, out_height, out_width, kernel, stride, pad;
    uint32_t in_maps, out_maps;
    uint32_t in_pitch, out_pitch; /* elements from pixel to pixel */
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

#define AN_CUDA_DEEP 128u /* the least k of a part that is worth writing its sums */

/* What the number of partial sums follows from: the tiles of C; how many tiles fill a
 * device, no more than 264 (conv.cu's scratch memory); what the k of a part is a multiple
 * of. And, of a product for the weights, how many partial sums of the bias's gradient
 * come with each of C: 0 where none do. */
struct an_split_size {
    uint32_t tiles, fill, depth, biases;
};

an_split_size an__cuda_split_size(const an_device *device, uint32_t precision,
                                  an_product product, const an_gemm *g);

/* Into how many parts k is divided, whose sums are added afterwards: so many tiles alone
 * would leave some of the device idle. */
static inline uint32_t parts_of(uint32_t tiles, uint32_t fill, uint32_t k)
{
    uint32_t most = tiles >= fill ? 1 : fill / tiles;
    uint32_t deep = (k + AN_CUDA_DEEP - 1) / AN_CUDA_DEEP;

    return most < deep ? most : deep;
}

/* The part of C that a block computes. */
struct an_tile_size {
    uint32_t m, n;
};

an_tile_size an__cuda_float_tile(an_product product, const an_gemm *g); /* gemm.cuh's */
an_tile_size an__cuda_wgmma_tile(an_product product, const an_gemm *g);

/* Whether wgmma.cuh can move everything by eight elements: each eight lie within one tap,
 * and a window's taps are few enough for the bits of a word (taps_seen()). */
static inline bool by_eight(const an_gemm *g)
{
    return g->kernel <= 5 &&
           (g->in_maps | g->in_pitch | g->w_pitch | g->out_maps | g->out_pitch) % 8 == 0;
}

/* y = w * x, finished (conv.cu). */
an_status an__cuda_forward(an_queue *q, const an_conv_shape *s, uint32_t batch,
                           an_operand x, an_operand w, an_operand prepacked,
                           const an_epilogue *to, an_operand y);

/* Updates weights that lie in no space-to-depth layout by their gradient, which is not
 * written. */
an_status an__cuda_weight_update(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                 an_operand x, an_operand dy,
                                 const an_parameter_part *weight, an_operand faults);

#endif
