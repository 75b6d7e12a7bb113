/*
 * lrn.cu - local response normalisation, across maps and within a map: the formulas are those
 * of cpu/lrn.c.
 *
 *     y_i  = x_i * s_i^-beta            s_i = k + alpha * sum of x_j^2, j around i
 *     dx_i = dy_i * s_i^-beta - 2 alpha beta x_i * sum of dy_j x_j s_j^(-beta-1), j around i
 */
#include "cuda.h"
#include "ptx.h"

struct normalising {
    an_lrn_shape s;
    const float *x, *dy; /* dy: backward */
    float *out;
    uint32_t pixels, per_block; /* across: of the batch, of a block */
};

/* s^-beta. The paper's 3/4 is two square roots. */
static __device__ __forceinline__ float power(float s, float beta)
{
    float root = sqrtf(s);

    return beta == 0.75f ? 1 / (root * sqrtf(root)) : powf(s, -beta);
}

/* --- across maps: a block has some pixels, all maps, in shared memory ------------------------ */

/* The maps [*first, *end) around `map`, in its group. */
static __device__ __forceinline__ void window(const an_lrn_shape &s, uint32_t map,
                                              uint32_t *first, uint32_t *end)
{
    uint32_t size = s.maps / s.groups, start = map / size * size, half = s.size / 2;

    *first = map - start > half ? map - half : start;
    *end = map + half + 1 < start + size ? map + half + 1 : start + size;
}

static __device__ __forceinline__ float across_scale(const an_lrn_shape &s,
                                                     const float *pixel, uint32_t map)
{
    uint32_t first, end;
    float sum = 0;

    for (window(s, map, &first, &end); first < end; first++)
        sum += pixel[first] * pixel[first];
    return s.k + s.alpha * sum;
}

template <bool BACKWARD> static __global__ void across_kernel(normalising n)
{
    float *x = (float *)shared_memory(), *terms = x + n.per_block * n.s.maps;
    uint32_t pixel0 = blockIdx.x * n.per_block;
    uint32_t pixels = n.pixels - pixel0 < n.per_block ? n.pixels - pixel0 : n.per_block;
    uint32_t count = pixels * n.s.maps, i;
    size_t base = (size_t)pixel0 * n.s.maps;

    for (i = threadIdx.x; i < count; i += blockDim.x) x[i] = n.x[base + i];
    __syncthreads();
    if (BACKWARD) {
        for (i = threadIdx.x; i < count; i += blockDim.x) {
            uint32_t map = i % n.s.maps;
            float scale = across_scale(n.s, x + (i - map), map);

            terms[i] = n.dy[base + i] * x[i] * power(scale, n.s.beta) / scale;
        }
        __syncthreads();
    }
    for (i = threadIdx.x; i < count; i += blockDim.x) {
        uint32_t map = i % n.s.maps, first, end;
        float p = power(across_scale(n.s, x + (i - map), map), n.s.beta), sum = 0;

        if (!BACKWARD) {
            n.out[base + i] = x[i] * p;
            continue;
        }
        for (window(n.s, map, &first, &end); first < end; first++)
            sum += terms[i - map + first];
        n.out[base + i] = n.dy[base + i] * p - 2 * n.s.alpha * n.s.beta * x[i] * sum;
    }
}

static an_status across(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                        const float *x, const float *dy, float *out, const char *what)
{
    an_use use(q->device);
    normalising n = {*s, x, dy, out, batch * s->height * s->width, 0};
    size_t bytes;

    AN_CUDA_TRY(an__cuda_settle(q));
    n.per_block = s->maps >= 1024 ? 1 : 1024 / s->maps; /* four numbers a thread */
    bytes = (dy != NULL ? 2 : 1) * (size_t)n.per_block * s->maps * sizeof(float);
    return an__cuda_launch(q, dy != NULL ? across_kernel<true> : across_kernel<false>,
                           dim3((n.pixels + n.per_block - 1) / n.per_block),
                           dim3(AN_CUDA_THREADS), bytes, n, what);
}

an_status an__cuda_lrn_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                               const float *x, float *y)
{
    return across(q, s, batch, x, NULL, y, "response normalisation");
}

an_status an__cuda_lrn_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                const float *x, const float *dy, float *dx)
{
    return across(q, s, batch, x, dy, dx, "response normalisation's gradient");
}

/* --- within a map: a block has SIDE x SIDE pixels of MAPS maps, and what lies around --------- */

enum { SIDE = 8, MAPS = 8 };

/* A square of shared memory: `side` pixels from (top, left) of the image on, MAPS maps. */
struct square {
    float *at;
    int top, left, side;
};

static __device__ __forceinline__ float *spot(const square &q, int y, int x, int map)
{
    return q.at + ((y - q.top) * q.side + (x - q.left)) * MAPS + map;
}

/* Sum over the window around a pixel, clipped at the image's edges, of numbers or squares. */
template <bool SQUARES>
static __device__ __forceinline__ float within_sum(const an_lrn_shape &s, const square &q,
                                                   int y, int x, int map)
{
    int half = (int)s.size / 2;
    int top = y > half ? y - half : 0, left = x > half ? x - half : 0;
    int bottom = y + half + 1 < (int)s.height ? y + half + 1 : (int)s.height;
    int right = x + half + 1 < (int)s.width ? x + half + 1 : (int)s.width;
    float sum = 0;

    for (int i = top; i < bottom; i++)
        for (int j = left; j < right; j++) {
            float value = *spot(q, i, j, map);

            sum += SQUARES ? value * value : value;
        }
    return sum;
}

/* x: of the square, where it lies in the image. */
static __device__ __forceinline__ void fill(const normalising &n, const square &q,
                                            const float *image, int map0)
{
    for (int i = (int)threadIdx.x; i < q.side * q.side * MAPS; i += (int)blockDim.x) {
        int map = i % MAPS, x = i / MAPS % q.side + q.left, y = i / MAPS / q.side + q.top;

        if (y < 0 || x < 0 || y >= (int)n.s.height || x >= (int)n.s.width ||
            map0 + map >= (int)n.s.maps)
            continue;
        q.at[i] = image[((size_t)y * n.s.width + (size_t)x) * n.s.maps + map0 + map];
    }
}

/* Grid: squares of an image, groups of maps, images. */
template <bool BACKWARD> static __global__ void within_kernel(normalising n)
{
    int half = (int)n.s.size / 2, reach = BACKWARD ? 2 * half : half;
    int across = ((int)n.s.width + SIDE - 1) / SIDE, map0 = (int)blockIdx.y * MAPS;
    int top = (int)blockIdx.x / across * SIDE, left = (int)blockIdx.x % across * SIDE;
    size_t base = (size_t)blockIdx.z * n.s.height * n.s.width * n.s.maps;
    square xs = {(float *)shared_memory(), top - reach, left - reach, SIDE + 2 * reach};
    square terms = {xs.at + xs.side * xs.side * MAPS, top - half, left - half,
                    SIDE + 2 * half};
    int i;

    fill(n, xs, n.x + base, map0);
    __syncthreads();
    for (i = (int)threadIdx.x; BACKWARD && i < terms.side * terms.side * MAPS;
         i += (int)blockDim.x) {
        int map = i % MAPS, x = i / MAPS % terms.side + terms.left;
        int y = i / MAPS / terms.side + terms.top;
        float scale;

        if (y < 0 || x < 0 || y >= (int)n.s.height || x >= (int)n.s.width ||
            map0 + map >= (int)n.s.maps)
            continue;
        scale = n.s.k + n.s.alpha * within_sum<true>(n.s, xs, y, x, map);
        terms.at[i] =
            n.dy[base + ((size_t)y * n.s.width + (size_t)x) * n.s.maps + map0 + map] *
            *spot(xs, y, x, map) * power(scale, n.s.beta) / scale;
    }
    if (BACKWARD) __syncthreads();
    for (i = (int)threadIdx.x; i < SIDE * SIDE * MAPS; i += (int)blockDim.x) {
        int map = i % MAPS, x = i / MAPS % SIDE + left, y = i / MAPS / SIDE + top;
        size_t at = base + ((size_t)y * n.s.width + (size_t)x) * n.s.maps + map0 + map;
        float value, p;

        if (y >= (int)n.s.height || x >= (int)n.s.width || map0 + map >= (int)n.s.maps)
            continue;
        value = *spot(xs, y, x, map);
        p = power(n.s.k + n.s.alpha * within_sum<true>(n.s, xs, y, x, map), n.s.beta);
        n.out[at] = !BACKWARD
                        ? value * p
                        : n.dy[at] * p - 2 * n.s.alpha * n.s.beta * value *
                                             within_sum<false>(n.s, terms, y, x, map);
    }
}

static an_status within(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                        const float *x, const float *dy, float *out, const char *what)
{
    an_use use(q->device);
    normalising n = {*s, x, dy, out, 0, 0};
    size_t half = s->size / 2, wide = SIDE + 2 * half, wider = SIDE + 4 * half;
    size_t bytes =
        (dy != NULL ? wider * wider + wide * wide : wide * wide) * MAPS * sizeof(float);
    dim3 grid((s->height + SIDE - 1) / SIDE * ((s->width + SIDE - 1) / SIDE),
              (s->maps + MAPS - 1) / MAPS, batch);

    AN_CUDA_TRY(an__cuda_settle(q));
    return an__cuda_launch(q, dy != NULL ? within_kernel<true> : within_kernel<false>,
                           grid, dim3(AN_CUDA_THREADS), bytes, n, what);
}

an_status an__cuda_lrn_within_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                      const float *x, float *y)
{
    return within(q, s, batch, x, NULL, y, "normalisation within maps");
}

an_status an__cuda_lrn_within_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                       const float *x, const float *dy, float *dx)
{
    return within(q, s, batch, x, dy, dx, "gradient of normalisation within maps");
}
