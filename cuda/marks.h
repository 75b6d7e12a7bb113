/*
 * marks.h - a pooling's windows, their maxima, and the marks of where those are: what pooling
 * alone and pooling of normalised maps share.
 */
#ifndef AN_CUDA_MARKS_H
#define AN_CUDA_MARKS_H

#include "cuda.h"
#include "number.h"

#define MARKED 4u /* the largest side of a window whose places fit 16 bits */

struct an_span {
    uint32_t first, end;
};

/* Of a row or column of windows, clipped at the lower or right edge. */
static __device__ __forceinline__ an_span window_of(uint32_t index, uint32_t kernel,
                                                    uint32_t stride, uint32_t size)
{
    uint32_t first = index * stride;
    an_span span = {first, first + kernel < size ? first + kernel : size};

    return span;
}

/* The first window that reaches to row or column `at`; the last is that which begins at or
 * before it. */
static __device__ __forceinline__ uint32_t first_window(uint32_t at, uint32_t kernel,
                                                        uint32_t stride)
{
    return at < kernel ? 0 : (at - kernel) / stride + 1;
}

/* Of V maps' windows, place by place. A NaN is its window's maximum, and marked nowhere. */
template <int V> struct an_maximum {
    float value[V];
    uint32_t marks[V];

    __device__ __forceinline__ void begin()
    {
#pragma unroll
        for (int i = 0; i < V; i++) {
            value[i] = -INFINITY;
            marks[i] = 0;
        }
    }

    __device__ __forceinline__ void add(const float (&v)[V], uint32_t place)
    {
#pragma unroll
        for (int i = 0; i < V; i++) {
            if (v[i] == value[i])
                marks[i] |= 1u << place;
            else if (!(v[i] <= value[i]) && value[i] == value[i]) {
                value[i] = v[i];
                marks[i] = v[i] == v[i] ? 1u << place : 0;
            }
        }
    }

    __device__ __forceinline__ void put_marks(uint16_t *to, uint32_t relu) const
    {
        uint32_t word[V];

#pragma unroll
        for (int i = 0; i < V; i++) word[i] = relu && !(value[i] > 0) ? 0 : marks[i];
        if (V == 8) {
            uint4 all;

            all.x = word[0] | word[1 % V] << 16;
            all.y = word[2 % V] | word[3 % V] << 16;
            all.z = word[4 % V] | word[5 % V] << 16;
            all.w = word[6 % V] | word[7 % V] << 16;
            *(uint4 *)to = all;
        } else {
            *to = (uint16_t)word[0];
        }
    }
};

static __device__ __forceinline__ void get_marks(const uint16_t *from,
                                                 uint32_t (&mark)[8])
{
    const uint4 all = *(const uint4 *)from;
    const uint32_t word[4] = {all.x, all.y, all.z, all.w};

#pragma unroll
    for (int i = 0; i < 4; i++) {
        mark[2 * i] = word[i] & 0xffff;
        mark[2 * i + 1] = word[i] >> 16;
    }
}
static __device__ __forceinline__ void get_marks(const uint16_t *from,
                                                 uint32_t (&mark)[1])
{
    mark[0] = *from;
}

/* The gradient of V maps of the input pixel (y, x): sums over the windows it is in. */
template <class T, int V>
static __device__ __forceinline__ void
gather_marked(const an_pool_shape &s, const uint16_t *marks, const T *dy, size_t image,
              uint32_t y, uint32_t x, uint32_t map, float (&sum)[V])
{
    size_t first = image * s.out_height * s.out_width * s.maps + map;

#pragma unroll
    for (int i = 0; i < V; i++) sum[i] = 0;
    for (uint32_t oy = first_window(y, s.kernel, s.stride);
         oy < s.out_height && oy * s.stride <= y; oy++)
        for (uint32_t ox = first_window(x, s.kernel, s.stride);
             ox < s.out_width && ox * s.stride <= x; ox++) {
            size_t at = first + ((size_t)oy * s.out_width + ox) * s.maps;
            uint32_t place = (y - oy * s.stride) * s.kernel + (x - ox * s.stride);
            uint32_t mark[V];
            float v[V];

            get_marks(marks + at, mark);
            get_numbers(dy + at, v);
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] += mark[i] >> place & 1 ? v[i] : 0;
        }
}

#endif
