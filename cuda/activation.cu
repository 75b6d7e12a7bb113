/*
 * activation.cu - ReLU, tanh and the logistic function, in place, forward and backward.
 */
#include "cuda.h"

struct activating {
    uint32_t kind;
    size_t count;
    const float *y;
    float *out; /* forward: y; backward: dy */
};

static __global__ void forward_kernel(activating a)
{
    for (AN_CUDA_EACH(i, a.count)) {
        float x = a.out[i];

        if (a.kind == AN_ACTIVATION_RELU)
            a.out[i] = x <= 0 ? 0 : x; /* a NaN stays one */
        else if (a.kind == AN_ACTIVATION_TANH)
            a.out[i] = tanhf(x);
        else
            a.out[i] = 1 / (1 + expf(-x));
    }
}

static __global__ void backward_kernel(activating a)
{
    for (AN_CUDA_EACH(i, a.count)) {
        float y = a.y[i];

        if (a.kind == AN_ACTIVATION_RELU)
            a.out[i] = y > 0 ? a.out[i] : 0;
        else if (a.kind == AN_ACTIVATION_TANH)
            a.out[i] *= 1 - y * y;
        else
            a.out[i] *= y * (1 - y);
    }
}

an_status an__cuda_activation_forward(an_queue *q, uint32_t kind, size_t count, float *y)
{
    activating a = {kind, count, NULL, y};

    return an__cuda_each(q, forward_kernel, count, a, "an activation");
}

an_status an__cuda_activation_backward(an_queue *q, uint32_t kind, size_t count,
                                       const float *y, float *dy)
{
    activating a = {kind, count, y, dy};

    return an__cuda_each(q, backward_kernel, count, a, "an activation's gradient");
}
