/*
 * update.h - stochastic gradient descent with momentum (the paper, section 5) of one
 * element, and the parts of parameters that it updates.
 */
#ifndef AN_CUDA_UPDATE_H
#define AN_CUDA_UPDATE_H

#include "runtime/device.h"
#include "runtime/element.h"

/* An an_parameter_part by its addresses. */
struct an_updated {
    uint32_t index; /* of its update in the step */
    size_t count;
    const float *g;
    float *v, *w;
    an_bf16 *prepacked; /* null, or a copy of w that is kept the same */
};

static inline an_updated an__cuda_updated(const an_parameter_part &part)
{
    return {part.index,
            part.count,
            an__cuda_floats(part.g),
            an__cuda_floats(part.v),
            an__cuda_floats(part.w),
            (an_bf16 *)an__cuda_address(part.prepacked)};
}

static __device__ __forceinline__ void update_element(const an_update &u, float g,
                                                      float *v, float *w)
{
    *v = u.momentum * *v - u.decay * u.rate * *w - u.rate * g;
    *w += *v;
}

#endif
