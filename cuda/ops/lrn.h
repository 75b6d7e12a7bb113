/*
 * lrn.h - what the two kinds of local response normalisation share: a kernel's
 * parameters, and the power of a scale.
 */
#ifndef AN_CUDA_LRN_H
#define AN_CUDA_LRN_H

#include "runtime/device.h"
#include "runtime/element.h"

struct normalising {
    an_lrn_shape s;
    const void *x, *dy; /* dy: backward */
    void *out;
    uint32_t pixels, per_block; /* across maps: pixels of the batch, and of a block */
};

/* s^-3/4, the paper's power, from the inverse root of s; it is 0 if s is infinite. */
static __device__ __forceinline__ float usual_power(float inverse_root)
{
    return inverse_root * root_near(inverse_root);
}

static __device__ __forceinline__ float power(float s, float beta)
{
    return beta == 0.75f ? usual_power(inverse_root_near(s)) : powf(s, -beta);
}

#endif
