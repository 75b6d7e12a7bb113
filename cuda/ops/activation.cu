/*
 * activation.cu - ReLU, tanh and the logistic function, in place, forward and backward.
 */
#include "runtime/device.h"
#include "runtime/element.h"

struct activating {
    uint32_t kind;
    size_t count;
    const void *y;
    void *out; /* forward: y; backward: dy */
};

template <class T> static __global__ void forward_kernel(activating a)
{
    T *out = (T *)a.out;

    for (AN_CUDA_EACH(i, a.count)) {
        float x = get_element(out + i);

        if (a.kind == AN_ACTIVATION_RELU)
            x = x <= 0 ? 0 : x; /* a NaN stays one */
        else if (a.kind == AN_ACTIVATION_TANH)
            x = tanhf(x);
        else
            x = 1 / (1 + expf(-x));
        put_element(out + i, x);
    }
}

template <class T> static __global__ void backward_kernel(activating a)
{
    T *out = (T *)a.out;

    for (AN_CUDA_EACH(i, a.count)) {
        float y = get_element((const T *)a.y + i), dy = get_element(out + i);

        if (a.kind == AN_ACTIVATION_RELU)
            dy = y > 0 ? dy : 0;
        else if (a.kind == AN_ACTIVATION_TANH)
            dy *= 1 - y * y;
        else
            dy *= y * (1 - y);
        put_element(out + i, dy);
    }
}

an_status an__cuda_activation_forward(an_queue *q, uint32_t kind, size_t count,
                                      an_operand y)
{
    activating a = {kind, count, NULL, an__cuda_address(y)};

    an__cuda_cost(q, 0, y.dtype, 2 * (double)count, 0);
    return an__cuda_each(q, AN_CUDA_BY_DTYPE(y.dtype, forward_kernel), count, a,
                         "an activation");
}

an_status an__cuda_activation_backward(an_queue *q, uint32_t kind, size_t count,
                                       an_operand y, an_operand dy)
{
    activating a = {kind, count, an__cuda_address(y), an__cuda_address(dy)};

    an__cuda_cost(q, 0, y.dtype, 3 * (double)count, 0);
    return an__cuda_each(q, AN_CUDA_BY_DTYPE(y.dtype, backward_kernel), count, a,
                         "an activation's gradient");
}
