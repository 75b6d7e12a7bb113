/*
 * finish.h - what becomes of a product's number before it is written: bias, ReLU, dropout,
 * what ReLU lets through on the way back.
 */
#ifndef AN_CUDA_FINISH_H
#define AN_CUDA_FINISH_H

#include "gemm.h"
#include "number.h"
#include "philox.h"
#include "update.h"

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

/* Whether a product's numbers are to be updates, and are none: uniform over the grid. */
static __device__ __forceinline__ bool stays(const an_gemm &g)
{
    return g.faults != NULL && (*g.faults != 0 || g.step->update[g.part.index].rate == 0);
}

/* What a gradient's number does to its parameter; one that is not finite, nothing. */
static __device__ __forceinline__ void update_at(const an_gemm &g, const an_update &u,
                                                 float value, uint32_t at)
{
    if (value * 0.0f != 0) return;
    update_number(u, value, g.part.v + at, g.part.w + at);
    if (g.part.pack != NULL) put_number((an_bf16 *)g.part.pack + at, g.part.w[at]);
}

/* The same of eight, moved together. */
static __device__ __forceinline__ void update_eight(const an_gemm &g, const an_update &u,
                                                    const float (&value)[8], uint32_t at)
{
    float v[8], w[8];

    get_numbers((const float *)g.part.v + at, v);
    get_numbers((const float *)g.part.w + at, w);
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (value[i] * 0.0f == 0) update_number(u, value[i], &v[i], &w[i]);
    put_numbers(g.part.v + at, v);
    put_numbers(g.part.w + at, w);
    if (g.part.pack != NULL) put_numbers((an_bf16 *)g.part.pack + at, w);
}

#endif
