/*
 * map.h - where the factors of a product, and its results, lie: an address is put
 * together from the place of a row and that of a position along k.
 */
#ifndef AN_CUDA_MAP_H
#define AN_CUDA_MAP_H

#include "gemm/gemm.h"

/* A part of an address: that of a row or of a position along k. */
struct an_place {
    int h, w;             /* in pixels */
    uint32_t step, image; /* in elements, besides those; below 2^32, see conv.cu */
    bool ok;
};

template <an_product PRODUCT> struct an_map;

/* The place of a pixel of the batch in a tensor of such images and pixels. */
static __device__ __forceinline__ uint32_t pixel_offset(const an_gemm &g, uint32_t pixel,
                                                        uint32_t image_size,
                                                        uint32_t pitch)
{
    uint32_t image = divide(pixel, g.by_pixels);

    return image * image_size + (pixel - image * g.by_pixels.d) * pitch;
}

/* An output pixel as the upper left corner of its window. */
static __device__ __forceinline__ an_place window_place(const an_gemm &g, uint32_t pixel,
                                                        bool ok)
{
    uint32_t image = divide(pixel, g.by_pixels), at = pixel - image * g.by_pixels.d;
    uint32_t y = divide(at, g.by_width), x = at - y * g.by_width.d;
    an_place p = {(int)(y * g.stride) - (int)g.pad, (int)(x * g.stride) - (int)g.pad, 0,
                  image * g.in_image, ok};

    return p;
}

/* Which taps of a window are within the image, a bit each; kernels have 5 x 5 taps at
 * most. */
static __device__ __forceinline__ uint32_t taps_seen(const an_gemm &g,
                                                     const an_place &window)
{
    uint32_t columns = 0, seen = 0;

    for (uint32_t i = 0; i < g.kernel; i++)
        columns |= (uint32_t)((uint32_t)(window.w + (int)i) < g.in_width) << i;
    for (uint32_t i = 0; i < g.kernel; i++)
        if ((uint32_t)(window.h + (int)i) < g.in_height) seen |= columns << i * g.kernel;
    return seen;
}

/* An element within a window: k = (kernel row, kernel column, map). */
static __device__ __forceinline__ an_place tap_place(const an_gemm &g, uint32_t k,
                                                     const an_divisor &by_maps, bool ok)
{
    uint32_t tap = divide(k, by_maps), row = divide(tap, g.by_kernel);
    an_place p = {(int)row, (int)(tap - row * g.kernel), k - tap * by_maps.d, 0, ok};

    return p;
}

/* Whether the tap is in the image, and where. */
static __device__ __forceinline__ bool in_window(const an_gemm &g, const an_place &window,
                                                 const an_place &tap, uint32_t *offset)
{
    uint32_t h = (uint32_t)(window.h + tap.h), w = (uint32_t)(window.w + tap.w);

    *offset = window.image + (h * g.in_width + w) * g.in_pitch + tap.step;
    return window.ok && tap.ok && h < g.in_height && w < g.in_width;
}

/* For each product and factor: the place of a row's element at a position along k, in
 * elements from the factor's first; false where there is none, and it counts as 0. */
template <> struct an_map<AN_FORWARD> {
    enum { A_ALONG_K = 1, B_ALONG_K = 1 };
    static __device__ __forceinline__ an_place a_row(const an_gemm &g, uint32_t m)
    {
        return window_place(g, m, m < g.m);
    }
    static __device__ __forceinline__ an_place a_k(const an_gemm &g, uint32_t k, bool ok)
    {
        return tap_place(g, k, g.by_in_maps, ok);
    }
    static __device__ __forceinline__ bool a_at(const an_gemm &g, const an_place &row,
                                                const an_place &k, uint32_t *offset)
    {
        return in_window(g, row, k, offset);
    }
    static __device__ __forceinline__ an_place b_row(const an_gemm &g, uint32_t n)
    {
        an_place p = {0, 0, 0, n * g.w_pitch, n < g.n};

        return p;
    }
    static __device__ __forceinline__ an_place b_k(const an_gemm &, uint32_t k, bool ok)
    {
        an_place p = {0, 0, k, 0, ok};

        return p;
    }
    static __device__ __forceinline__ bool b_at(const an_gemm &, const an_place &row,
                                                const an_place &k, uint32_t *offset)
    {
        *offset = row.image + k.step;
        return row.ok && k.ok;
    }
    static __device__ __forceinline__ uint32_t c_row(const an_gemm &g, uint32_t m)
    {
        return pixel_offset(g, m, g.out_image, g.out_pitch);
    }
};

template <> struct an_map<AN_DATA> {
    enum { A_ALONG_K = 1, B_ALONG_K = 0 };
    static __device__ __forceinline__ an_place a_row(const an_gemm &g, uint32_t m)
    {
        uint32_t image = divide(m, g.by_pixels), at = m - image * g.by_pixels.d;
        uint32_t y = divide(at, g.by_width);
        an_place p = {(int)(y + g.pad), (int)(at - y * g.by_width.d + g.pad), 0,
                      image * g.out_image, m < g.m};

        return p;
    }
    static __device__ __forceinline__ an_place a_k(const an_gemm &g, uint32_t k, bool ok)
    {
        return tap_place(g, k, g.by_out_maps, ok);
    }
    /* The window that sees the pixel at this tap, if there is one. */
    static __device__ __forceinline__ bool a_at(const an_gemm &g, const an_place &row,
                                                const an_place &k, uint32_t *offset)
    {
        int h = row.h - k.h, w = row.w - k.w;
        uint32_t y, x;

        *offset = 0;
        if (!row.ok || !k.ok || h < 0 || w < 0) return false;
        y = divide((uint32_t)h, g.by_stride);
        x = divide((uint32_t)w, g.by_stride);
        *offset = row.image + (y * g.out_width + x) * g.out_pitch + k.step;
        return y * g.stride == (uint32_t)h && x * g.stride == (uint32_t)w &&
               y < g.out_height && x < g.out_width;
    }
    static __device__ __forceinline__ an_place b_row(const an_gemm &g, uint32_t n)
    {
        an_place p = {0, 0, n, 0, n < g.n};

        return p;
    }
    static __device__ __forceinline__ an_place b_k(const an_gemm &g, uint32_t k, bool ok)
    {
        uint32_t tap = divide(k, g.by_out_maps);
        an_place p = {0, 0, tap * g.in_maps, (k - tap * g.out_maps) * g.w_pitch, ok};

        return p;
    }
    static __device__ __forceinline__ bool b_at(const an_gemm &, const an_place &row,
                                                const an_place &k, uint32_t *offset)
    {
        *offset = k.image + k.step + row.step;
        return row.ok && k.ok;
    }
    static __device__ __forceinline__ uint32_t c_row(const an_gemm &g, uint32_t m)
    {
        return pixel_offset(g, m, g.in_image, g.in_pitch);
    }
};

template <> struct an_map<AN_WEIGHTS> {
    enum { A_ALONG_K = 0, B_ALONG_K = 0 };
    static __device__ __forceinline__ an_place a_row(const an_gemm &g, uint32_t m)
    {
        an_place p = {0, 0, m, 0, m < g.m};

        return p;
    }
    static __device__ __forceinline__ an_place a_k(const an_gemm &g, uint32_t k, bool ok)
    {
        an_place p = {0, 0, 0, k * g.out_pitch, ok}; /* its images have no gaps */

        return p;
    }
    static __device__ __forceinline__ bool a_at(const an_gemm &, const an_place &row,
                                                const an_place &k, uint32_t *offset)
    {
        *offset = k.image + row.step;
        return row.ok && k.ok;
    }
    static __device__ __forceinline__ an_place b_row(const an_gemm &g, uint32_t n)
    {
        return tap_place(g, n, g.by_in_maps, n < g.n);
    }
    static __device__ __forceinline__ an_place b_k(const an_gemm &g, uint32_t k, bool ok)
    {
        return window_place(g, k, ok);
    }
    static __device__ __forceinline__ bool b_at(const an_gemm &g, const an_place &row,
                                                const an_place &k, uint32_t *offset)
    {
        return in_window(g, k, row, offset);
    }
    static __device__ __forceinline__ uint32_t c_row(const an_gemm &g, uint32_t m)
    {
        return m * g.w_pitch;
    }
};

#endif
