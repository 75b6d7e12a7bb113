/*
 * conv.h - what the parts of convolution share: its shape as a product's (gemm.h), the
 * pieces that a product is divided into, and the scratch memory that those want.
 */
#ifndef AN_CUDA_CONV_H
#define AN_CUDA_CONV_H

#include "gemm/gemm.h"

/* What the three products of a shape have in common. */
an_gemm an__cuda_conv_gemm(const an_conv_shape *s);
/* Places are counted in 32 bits, and rows are below 2^31, as divide() wants them. */
an_status an__cuda_conv_check(an_queue *q, const an_conv_shape *s, uint32_t batch);
/* Launches a product; `what` names it in a trace. */
an_status an__cuda_conv_product(an_queue *q, uint32_t precision, an_product kind,
                                an_gemm *g, const char *what);

/* The dtype of tensors, and of the weights that products read, prepacked or not. */
static inline uint32_t conv_dtype(const an_conv_shape *s)
{
    return an__cuda_dtype(s->precision);
}

/* The address of an element of such an operand. */
static inline void *conv_address(const an_conv_shape *s, an_operand o, size_t element)
{
    return (char *)an__cuda_address(o) + element * an__dtype_bytes(conv_dtype(s));
}

/* Elements from one half to the other, of x and of a row of w. */
static inline size_t x_half(const an_gemm *g)
{
    return (size_t)g->in_height * g->in_width * g->in_pitch;
}

static inline size_t w_half(const an_gemm *g)
{
    return (size_t)g->kernel * g->kernel * g->in_maps;
}

/* Whether the precision asks for prepacked weights. */
static inline bool is_packed(const an_conv_shape *s)
{
    return s->precision == AN_PRECISION_BF16 || s->precision == AN_PRECISION_TF32;
}

/* Whether the data's gradient is computed as a forward product: the convolution of the
 * output's gradient by a kernel that is rotated by half a turn. Both the gradient and the
 * weights lie along k then. wgmma takes TF32 in no other way; in BF16, a step of the main
 * loop has half as many instructions so. */
static inline bool is_rotated(const an_conv_shape *s)
{
    return is_packed(s) && s->kernel > 1 && s->s2d.side == 0 && s->stride == 1 &&
           s->pad < s->kernel;
}

/* Prepacked weights, rotated for that, behind the partial sums in the scratch memory:
 * they are made anew each time. (conv_pack.cu) */
an_status an__cuda_conv_rotate(an_queue *q, const an_conv_shape *s, uint32_t batch,
                               an_operand prepacked, an_operand *rotated);

/* --- partial sums ------------------------------------------------------------------ */

#define AN_CUDA_BLOCKS 264u     /* the largest `fill` of an__cuda_split_size() */
#define AN_CUDA_BIAS_PARTS 264u /* the most parts of the pixels, for a bias's gradient */

/* Divides k into parts, since few tiles would leave some of the device idle. The result
 * is how many partial sums of the bias's gradient can come with them. */
uint32_t an__cuda_conv_split(const an_device *device, uint32_t precision, an_product kind,
                             an_gemm *g);
/* Bytes of scratch memory for partial sums, a multiple of what any copy wants. No smaller
 * batch needs more. */
size_t an__cuda_conv_parts_bytes(const an_conv_shape *s, uint32_t batch, int training);

#endif
