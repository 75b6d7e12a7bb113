/*
 * update.h - stochastic gradient descent with momentum of one number: the paper, section 5.
 */
#ifndef AN_CUDA_UPDATE_H
#define AN_CUDA_UPDATE_H

#include "device.h"

static __device__ __forceinline__ void update_number(const an_update &u, float g,
                                                     float *v, float *w)
{
    *v = u.momentum * *v - u.decay * u.rate * *w - u.rate * g;
    *w += *v;
}

#endif
