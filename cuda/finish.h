/*
 * finish.h - what becomes of a product's number before it is written: bias, ReLU, dropout,
 * what ReLU lets through on the way back.
 */
#ifndef AN_CUDA_FINISH_H
#define AN_CUDA_FINISH_H

#include "map.h"
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

/* The same of eight beside each other, at a multiple of 16 bytes. DROPS: there may be dropout, whose
 * code is long. */
template <class T, bool DROPS>
static __device__ __forceinline__ void finish_eight(const an_finish &f, float (&v)[8],
                                                    uint32_t row, uint32_t column,
                                                    uint32_t at)
{
    float other[8];

    if (f.bias != NULL) {
        read_eight(f.bias + column, other);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] += other[i];
    }
    if (f.relu)
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = v[i] <= 0 ? 0 : v[i];
    if (DROPS && f.step != NULL)
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[i] *= dropout_factor(f.drop, f.step, row, column + i);
    if (f.factor != 0)
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] *= f.factor;
    if (f.x != NULL) {
        read_eight((const T *)f.x + at, other);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = other[i] > 0 ? v[i] * f.mask : 0;
    }
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

/* Eight numbers of row m of C, from column n on, to where they belong, finished; part: not null:
 * there instead, as sums of a part of k. Addresses are multiples of 16 bytes. T: of tensors. */
template <class T, an_product PRODUCT, bool DROPS>
static __device__ __forceinline__ void put_eight(const an_gemm &g, float (&v)[8],
                                                 uint32_t m, uint32_t n, uint32_t group,
                                                 float *part)
{
    uint32_t at = group_offset<PRODUCT>(g, group) + an_map<PRODUCT>::c_row(g, m) + n;

    if (part != NULL) {
        put_numbers(part + (size_t)m * g.n + n, v);
        return;
    }
    if (PRODUCT == AN_WEIGHTS) {
        if (g.faults != NULL)
            update_eight(g, g.step->update[g.part.index], v, at);
        else
            put_numbers((float *)g.c + at, v);
        return;
    }
    finish_eight<T, DROPS>(g.finish, v, m, group * columns_of<PRODUCT>(g) + n, at);
    if (g.wide)
        put_numbers((float *)g.c + at, v);
    else
        put_numbers((T *)g.c + at, v);
}

#endif
