/*
 * update.cu - stochastic gradient descent with momentum (the paper, section 5), what else is
 * done number by number, and the look for numbers that are none.
 */
#include "cuda.h"

struct updating {
    const an_step *step;
    uint32_t index;
    size_t count;
    const float *faults, *g;
    float *v, *w;
};

static __global__ void update_kernel(updating d)
{
    const an_update u = d.step->update[d.index];
    float decay = u.decay * u.rate;

    if (*d.faults != 0 || u.rate == 0) return;
    for (AN_CUDA_EACH(i, d.count)) {
        float v = u.momentum * d.v[i] - decay * d.w[i] - u.rate * d.g[i];

        d.v[i] = v;
        d.w[i] += v;
    }
}

an_status an__cuda_update(an_queue *q, uint32_t index, size_t count, const float *faults,
                          const float *g, float *v, float *w)
{
    updating d = {q->step, index, count, faults, g, v, w};

    return an__cuda_each(q, update_kernel, count, d, "an update");
}

struct scaling {
    size_t count;
    float factor, *x;
};

static __global__ void scale_kernel(scaling s)
{
    for (AN_CUDA_EACH(i, s.count)) s.x[i] *= s.factor;
}

an_status an__cuda_scale(an_queue *q, size_t count, float factor, float *x)
{
    scaling s = {count, factor, x};

    return an__cuda_each(q, scale_kernel, count, s, "scaling");
}

struct looking {
    size_t count;
    const float *x;
    float *faults;
};

static __global__ void finite_kernel(looking l)
{
    float sum = 0;

    /* 0 for what is finite, else a NaN, which no sum loses */
    for (AN_CUDA_EACH(i, l.count)) sum += l.x[i] * 0.0f;
    if (!(sum == 0)) atomicExch(l.faults, 1.0f);
}

an_status an__cuda_all_finite(an_queue *q, size_t count, const float *x, float *faults)
{
    looking l = {count, x, faults};

    return an__cuda_each(q, finite_kernel, count, l, "the look for infinities");
}
