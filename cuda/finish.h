/*
 * finish.h - what becomes of a product's number before it is written: bias, ReLU, dropout,
 * what ReLU lets through on the way back.
 */
#ifndef AN_CUDA_FINISH_H
#define AN_CUDA_FINISH_H

#include "gemm.h"
#include "number.h"
#include "philox.h"

/* Columns of C of one group, and where a group's begin. */
template <an_product PRODUCT>
static __device__ __forceinline__ uint32_t columns_of(const an_gemm &g)
{
    return PRODUCT == AN_FORWARD ? g.out_maps : g.in_maps;
}

template <an_product PRODUCT>
static __device__ __forceinline__ uint32_t group_offset(const an_gemm &g, uint32_t group)
{
    return group *
           (PRODUCT == AN_WEIGHTS ? g.out_maps * g.w_pitch : columns_of<PRODUCT>(g));
}

/* row, column: of C, over all groups; at: where it is in C. T: of tensors. */
template <class T>
static __device__ __forceinline__ float
finished(const an_finish &f, float value, uint32_t row, uint32_t column, uint32_t at)
{
    if (f.bias != NULL) value += f.bias[column];
    if (f.relu) value = value <= 0 ? 0 : value; /* a NaN stays one */
    if (f.step != NULL) value *= dropout_factor(f.drop, f.step, row, column);
    if (f.factor != 0) value *= f.factor;
    if (f.x != NULL) value = get_number((const T *)f.x + at) > 0 ? value * f.mask : 0;
    return value;
}

#endif
