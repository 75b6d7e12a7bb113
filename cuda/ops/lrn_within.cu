/*
 * lrn_within.cu - local response normalisation within a map, by the formulas of lrn.cu: a
 * block has SIDE x SIDE pixels of MAPS maps in shared memory, and those around them.
 */
#include "ops/lrn.h"

enum { SIDE = 8, MAPS = 8 };

/* A square of shared memory: `side` pixels from (top, left) of the image on, MAPS
 * maps. */
struct square {
    float *at;
    int top, left, side;
};

static __device__ __forceinline__ float *spot(const square &q, int y, int x, int map)
{
    return q.at + ((y - q.top) * q.side + (x - q.left)) * MAPS + map;
}

/* Sum over the window around a pixel, clipped at the image's edges, of elements or their
 * squares. */
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

/* Reads x into the part of the square that lies in the image. */
template <class T>
static __device__ __forceinline__ void fill(const normalising &n, const square &q,
                                            const T *image, int map0)
{
    for (int i = (int)threadIdx.x; i < q.side * q.side * MAPS; i += (int)blockDim.x) {
        int map = i % MAPS, x = i / MAPS % q.side + q.left, y = i / MAPS / q.side + q.top;

        if (y < 0 || x < 0 || y >= (int)n.s.height || x >= (int)n.s.width ||
            map0 + map >= (int)n.s.maps)
            continue;
        q.at[i] = get_element(image + ((size_t)y * n.s.width + (size_t)x) * n.s.maps +
                              map0 + map);
    }
}

/* Grid: squares of an image, groups of maps, images. */
template <class T, bool BACKWARD> static __global__ void within_kernel(normalising n)
{
    const T *from = (const T *)n.x, *dy = (const T *)n.dy;
    int half = (int)n.s.size / 2, reach = BACKWARD ? 2 * half : half;
    int across = ((int)n.s.width + SIDE - 1) / SIDE, map0 = (int)blockIdx.y * MAPS;
    int top = (int)blockIdx.x / across * SIDE, left = (int)blockIdx.x % across * SIDE;
    size_t base = (size_t)blockIdx.z * n.s.height * n.s.width * n.s.maps;
    square xs = {(float *)shared_memory(), top - reach, left - reach, SIDE + 2 * reach};
    square terms = {xs.at + xs.side * xs.side * MAPS, top - half, left - half,
                    SIDE + 2 * half};
    int i;

    fill(n, xs, from + base, map0);
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
            get_element(dy + base + ((size_t)y * n.s.width + (size_t)x) * n.s.maps +
                        map0 + map) *
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
        value *= BACKWARD ? -2 * n.s.alpha * n.s.beta *
                                within_sum<false>(n.s, terms, y, x, map)
                          : p;
        if (BACKWARD) value += get_element(dy + at) * p;
        put_element((T *)n.out + at, value);
    }
}

template <class T>
static an_status within(an_queue *q, const an_lrn_shape *s, uint32_t batch, an_operand x,
                        an_operand dy, an_operand out, const char *what)
{
    an_use use(q->device);
    bool backward = dy.buffer != NULL;
    normalising n = {
        *s, an__cuda_address(x), an__cuda_address(dy), an__cuda_address(out), 0, 0};
    size_t half = s->size / 2, wide = SIDE + 2 * half, wider = SIDE + 4 * half;
    size_t bytes =
        (backward ? wider * wider + wide * wide : wide * wide) * MAPS * sizeof(float);
    dim3 grid((s->height + SIDE - 1) / SIDE * ((s->width + SIDE - 1) / SIDE),
              (s->maps + MAPS - 1) / MAPS, batch);

    an__cuda_cost(q, 0, x.dtype,
                  (backward ? 3.0 : 2.0) * batch * s->height * s->width * s->maps, 0);
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    return an__cuda_launch(q, backward ? within_kernel<T, true> : within_kernel<T, false>,
                           grid, dim3(AN_CUDA_THREADS), bytes, n, what);
}

an_status an__cuda_lrn_within_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                      an_operand x, an_operand y)
{
    return AN_CUDA_BY_DTYPE(x.dtype, within)(q, s, batch, x, an__no_operand(), y,
                                             "normalisation within maps");
}

an_status an__cuda_lrn_within_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                       an_operand x, an_operand dy, an_operand dx)
{
    return AN_CUDA_BY_DTYPE(x.dtype, within)(q, s, batch, x, dy, dx,
                                             "gradient of normalisation within maps");
}
