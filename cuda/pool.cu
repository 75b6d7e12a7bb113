/*
 * pool.cu - max-pooling, windows overlapping or not.
 *
 * Ties: as in cuda-convnet, every input that equals its window's maximum receives the whole
 * gradient of that window. The way back is gathered: an input asks the windows it is in, in
 * their order, so that no two threads add to one number.
 */
#include "cuda.h"

struct pooling {
    an_pool_shape s;
    uint32_t batch;
    const float *x, *dy;
    float *out;
};

/* The maximum of an output pixel's window, clipped at the lower and right edge; a NaN in it
 * is its maximum. x: the image's, at the map. */
static __device__ __forceinline__ float window_max(const an_pool_shape &s, const float *x,
                                                   uint32_t oy, uint32_t ox)
{
    uint32_t top = oy * s.stride, left = ox * s.stride;
    uint32_t bottom = top + s.kernel < s.in_height ? top + s.kernel : s.in_height;
    uint32_t right = left + s.kernel < s.in_width ? left + s.kernel : s.in_width;
    float max = x[((size_t)top * s.in_width + left) * s.maps];

    for (uint32_t y = top; y < bottom; y++)
        for (uint32_t i = left; i < right; i++) {
            float value = x[((size_t)y * s.in_width + i) * s.maps];

            if (!(value <= max) && max == max) max = value;
        }
    return max;
}

static __global__ void forward_kernel(pooling p)
{
    const an_pool_shape &s = p.s;
    size_t out = (size_t)s.out_height * s.out_width * s.maps;
    size_t in = (size_t)s.in_height * s.in_width * s.maps;

    for (AN_CUDA_EACH(i, p.batch * out)) {
        uint32_t at = (uint32_t)(i % out), map = at % s.maps, pixel = at / s.maps;

        p.out[i] = window_max(s, p.x + i / out * in + map, pixel / s.out_width,
                              pixel % s.out_width);
    }
}

static __global__ void backward_kernel(pooling p)
{
    const an_pool_shape &s = p.s;
    size_t out = (size_t)s.out_height * s.out_width * s.maps;
    size_t in = (size_t)s.in_height * s.in_width * s.maps;

    for (AN_CUDA_EACH(i, p.batch * in)) {
        uint32_t at = (uint32_t)(i % in), map = at % s.maps, pixel = at / s.maps;
        uint32_t y = pixel / s.in_width, x = pixel % s.in_width;
        /* The first window that reaches so far, and the last that begins before. */
        uint32_t oy = y < s.kernel ? 0 : (y - s.kernel) / s.stride + 1;
        uint32_t ox0 = x < s.kernel ? 0 : (x - s.kernel) / s.stride + 1;
        const float *image = p.x + i / in * in + map;
        float value = p.x[i], sum = 0;

        for (; oy < s.out_height && oy * s.stride <= y; oy++)
            for (uint32_t ox = ox0; ox < s.out_width && ox * s.stride <= x; ox++)
                if (value == window_max(s, image, oy, ox))
                    sum += p.dy[i / in * out + ((size_t)oy * s.out_width + ox) * s.maps +
                                map];
        p.out[i] = sum;
    }
}

an_status an__cuda_pool_forward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                                const float *x, float *y)
{
    pooling p = {*s, batch, x, NULL, y};

    return an__cuda_each(q, forward_kernel,
                         (size_t)batch * s->out_height * s->out_width * s->maps, p,
                         "pooling");
}

an_status an__cuda_pool_backward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                                 const float *x, const float *dy, float *dx)
{
    pooling p = {*s, batch, x, dy, dx};

    return an__cuda_each(q, backward_kernel,
                         (size_t)batch * s->in_height * s->in_width * s->maps, p,
                         "pooling's gradient");
}
