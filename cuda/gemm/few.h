/*
 * few.h - the forward pass of a dense layer of a few images (few.cu), whose time is that
 * of reading its weights.
 */
#ifndef AN_CUDA_FEW_H
#define AN_CUDA_FEW_H

#include "gemm/gemm.h"

#define AN_FEW 4 /* images */

/* Whether few.cu can do it. */
bool an__cuda_is_few(const an_dense_shape *s, uint32_t images);

/* w: the prepacked weights where there are such. */
an_status an__cuda_few(an_queue *q, const an_dense_shape *s, uint32_t images,
                       an_operand x, an_operand w, const an_epilogue *to, an_operand y);

#endif
