/*
 * form.h - the form in which the network's input lies (an_form): squares of pixels.
 */
#ifndef AN_CUDA_FORM_H
#define AN_CUDA_FORM_H

#include "device.h"

/* Of an image. */
static __host__ __device__ __forceinline__ size_t form_numbers(const an_form &f)
{
    return (size_t)f.rows * f.columns * f.maps;
}

/* Where a colour of a pixel of an image is. */
static __device__ __forceinline__ size_t form_place(const an_form &f, uint32_t y,
                                                    uint32_t x, uint32_t colour)
{
    uint32_t row = (y + f.pad) / f.side, column = (x + f.pad) / f.side;
    uint32_t in_y = y + f.pad - row * f.side, in_x = x + f.pad - column * f.side;

    return ((size_t)row * f.columns + column) * f.maps + (in_y * f.side + in_x) * 3 +
           colour;
}

#endif
