/*
 * space_to_depth.h - the space-to-depth layout of the network's input
 * (an_space_to_depth).
 */
#ifndef AN_CUDA_SPACE_TO_DEPTH_H
#define AN_CUDA_SPACE_TO_DEPTH_H

#include "runtime/device.h"

/* Elements of an image in this layout. */
static __host__ __device__ __forceinline__ size_t s2d_elements(const an_space_to_depth &f)
{
    return (size_t)f.rows * f.columns * f.maps;
}

/* The elements of a square that stand for pixels, in pieces of 16 bytes of bfloat16;
 * those behind them, up to f.maps, are 0. */
static __host__ __device__ __forceinline__ uint32_t s2d_used(const an_space_to_depth &f)
{
    return (f.side * f.side * 3 + 7) / 8 * 8;
}

/* The place of a pixel's colour among an image's elements. */
static __device__ __forceinline__ size_t s2d_place(const an_space_to_depth &f, uint32_t y,
                                                   uint32_t x, uint32_t colour)
{
    uint32_t row = (y + f.pad) / f.side, column = (x + f.pad) / f.side;
    uint32_t in_y = y + f.pad - row * f.side, in_x = x + f.pad - column * f.side;

    return ((size_t)row * f.columns + column) * f.maps + (in_y * f.side + in_x) * 3 +
           colour;
}

/* The place, among weights as they lie, of element i of those in a space-to-depth layout;
 * false: it stands for none, and is 0. */
static __device__ __forceinline__ bool s2d_weight_place(uint32_t kernel, uint32_t taps,
                                                        const an_space_to_depth &f,
                                                        uint32_t i, size_t *place)
{
    uint32_t maps = s2d_used(f), tap = i / maps, map = i - tap * maps, pixel = map / 3;
    uint32_t output = tap / (taps * taps), at = tap - output * (taps * taps);
    uint32_t y = at / taps * f.side + pixel / f.side;
    uint32_t x = at % taps * f.side + pixel % f.side;

    *place = (((size_t)output * kernel + y) * kernel + x) * 3 + map % 3;
    return pixel < f.side * f.side && y < kernel && x < kernel;
}

#endif
