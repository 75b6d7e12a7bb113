/*
 * argmax.h - a pooling's windows, their maxima, and the argmax mask, which says where
 * those are: what pooling alone and the pooling of normalised maps share.
 *
 * A window's mask has 16 bits: bit 4 r + c stands for its row r and column c. No bit is
 * set for what is beyond the image's edge.
 */
#ifndef AN_CUDA_ARGMAX_H
#define AN_CUDA_ARGMAX_H

#include "runtime/device.h"
#include "runtime/element.h"

#define MASKED 4u /* the longest side of a window that has a mask */

struct an_span {
    uint32_t first, end;
};

/* The rows or columns of the window of that index, clipped at the lower or right edge. */
static __device__ __forceinline__ an_span window_of(uint32_t index, uint32_t kernel,
                                                    uint32_t stride, uint32_t size)
{
    uint32_t first = index * stride;
    an_span span = {first, first + kernel < size ? first + kernel : size};

    return span;
}

/* The first window that reaches row or column `at`; the last one is the one that begins
 * there or before. */
static __device__ __forceinline__ uint32_t first_window(uint32_t at, uint32_t kernel,
                                                        uint32_t stride)
{
    return at < kernel ? 0 : (at - kernel) / stride + 1;
}

/* The mask of all of a window's places that are within the image. */
static __device__ __forceinline__ uint32_t window_places(const an_span &rows,
                                                         const an_span &columns)
{
    uint32_t row = (1u << (columns.end - columns.first)) - 1, places = 0;

#pragma unroll
    for (uint32_t r = 0; r < MASKED; r++)
        places |= rows.first + r < rows.end ? row << 4 * r : 0;
    return places;
}

/* --- windows of two or three places a side, two apart: the usual ones -------------- */

static inline bool in_twos(const an_pool_shape *s)
{
    return s->stride == 2 && (s->kernel == 2 || s->kernel == 3);
}

/* The gradient of V maps of four input pixels, (2 y, 2 x) to (2 y + 1, 2 x + 1), from the
 * four windows that they are in: (y, x), and those above and left of it. argmax, dy:
 * those of the image's first window and of the first of these maps. */
template <class T, int V>
static __device__ __forceinline__ void
gather_twos(const an_pool_shape &s, const uint16_t *argmax, const T *dy, uint32_t y,
            uint32_t x, float (&sum)[4][V])
{
    uint32_t mask[4][V / 2] = {}, given[4][V * sizeof(T) / 4] = {};

#pragma unroll
    for (uint32_t w = 0; w < 4; w++) {
        /* What is above or left of the first window wraps around and is beyond the
         * last. */
        uint32_t oy = y - w / 2, ox = x - w % 2;
        uint32_t at = (oy * s.out_width + ox) * s.maps;

        if (oy < s.out_height && ox < s.out_width) {
            get_words(argmax + at, mask[w]);
            get_words(dy + at, given[w]);
        }
    }
#pragma unroll
    for (int i = 0; i < 4 * V; i++) sum[i / V][i % V] = 0;
#pragma unroll
    for (uint32_t w = 0; w < 4; w++) {
        float v[V];

        unpack(dy, given[w], v);
#pragma unroll
        for (uint32_t pixel = 0; pixel < 4; pixel++) {
            uint32_t r = w / 2 * 2 + pixel / 2, c = w % 2 * 2 + pixel % 2;

            if (r > 2 || c > 2) continue; /* beyond the window */
#pragma unroll
            for (int i = 0; i < V; i++)
                if (mask[w][i / 2] & 1u << (r * 4 + c + i % 2 * 16))
                    sum[pixel][i] += v[i];
        }
    }
}

#endif
