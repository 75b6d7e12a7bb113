/*
 * few.h - a dense layer forward of a few images (few.cu), which waits for its weights alone.
 */
#ifndef AN_CUDA_FEW_H
#define AN_CUDA_FEW_H

#include "gemm.h"

#define AN_FEW 4 /* images */

/* Whether it goes that way. */
bool an__cuda_is_few(const an_dense_shape *s, uint32_t images);

/* w: packed where the precision packs weights. */
an_status an__cuda_few(an_queue *q, const an_dense_shape *s, uint32_t images,
                       const void *x, const void *w, const an_finish *to, void *y);

#endif
