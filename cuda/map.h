/*
 * map.h - where the factors of a product are, and its results: an address is put together from
 * a row's place and that of a position along k.
 */
#ifndef AN_CUDA_MAP_H
#define AN_CUDA_MAP_H

#include "gemm.h"

/* Half of an address: a row's part or that of a position along k. */
struct an_place {
    int h, w;             /* in pixels */
    uint32_t step, image; /* in numbers, beside those; below 2^32, see conv.cu */
    bool ok;
};

template <an_product PRODUCT> struct an_map;

/* Of a pixel of the batch, in a tensor of such images and pixels. */
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

/* Which taps of a window are within the image, a bit each; kernels have 5 x 5 taps at most. */
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

/* A number within a window: k = (kernel row, kernel column, map). */
static __device__ __forceinline__ an_place tap_place(const an_gemm &g, uint32_t k,
                                                     const an_divisor &by_maps, bool ok)
{
    uint32_t tap = divide(k, by_maps), row = divide(tap, g.by_kernel);
    an_place p = {(int)row, (int)(tap - row * g.kernel), k - tap * by_maps.d, 0, ok};

    return p;
}

template <class T>
static __device__ __forceinline__ const T *
in_window(const an_gemm &g, const T *x, const an_place &window, const an_place &tap)
{
    int h = window.h + tap.h, w = window.w + tap.w;

    if (!window.ok || !tap.ok || (uint32_t)h >= g.in_height || (uint32_t)w >= g.in_width)
        return NULL;
    return x + window.image + ((uint32_t)h * g.in_width + (uint32_t)w) * g.in_pitch +
           tap.step;
}

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
    template <class T>
    static __device__ __forceinline__ const T *
    a_at(const an_gemm &g, const T *a, const an_place &row, const an_place &k)
    {
        return in_window(g, a, row, k);
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
    template <class T>
    static __device__ __forceinline__ const T *
    b_at(const an_gemm &, const T *b, const an_place &row, const an_place &k)
    {
        return row.ok && k.ok ? b + row.image + k.step : NULL;
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
    template <class T>
    static __device__ __forceinline__ const T *
    a_at(const an_gemm &g, const T *a, const an_place &row, const an_place &k)
    {
        int h = row.h - k.h, w = row.w - k.w;
        uint32_t y, x;

        if (!row.ok || !k.ok || h < 0 || w < 0) return NULL;
        y = divide((uint32_t)h, g.by_stride);
        x = divide((uint32_t)w, g.by_stride);
        if (y * g.stride != (uint32_t)h || x * g.stride != (uint32_t)w ||
            y >= g.out_height || x >= g.out_width)
            return NULL;
        return a + row.image + (y * g.out_width + x) * g.out_pitch + k.step;
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
    template <class T>
    static __device__ __forceinline__ const T *
    b_at(const an_gemm &, const T *b, const an_place &row, const an_place &k)
    {
        return row.ok && k.ok ? b + k.image + k.step + row.step : NULL;
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
        an_place p = {0, 0, 0, pixel_offset(g, k, g.out_image, g.out_pitch), ok};

        return p;
    }
    template <class T>
    static __device__ __forceinline__ const T *
    a_at(const an_gemm &, const T *a, const an_place &row, const an_place &k)
    {
        return row.ok && k.ok ? a + k.image + row.step : NULL;
    }
    static __device__ __forceinline__ an_place b_row(const an_gemm &g, uint32_t n)
    {
        return tap_place(g, n, g.by_in_maps, n < g.n);
    }
    static __device__ __forceinline__ an_place b_k(const an_gemm &g, uint32_t k, bool ok)
    {
        return window_place(g, k, ok);
    }
    template <class T>
    static __device__ __forceinline__ const T *
    b_at(const an_gemm &g, const T *b, const an_place &row, const an_place &k)
    {
        return in_window(g, b, k, row);
    }
    static __device__ __forceinline__ uint32_t c_row(const an_gemm &g, uint32_t m)
    {
        return m * g.w_pitch;
    }
};

#endif
