/*
 * epilogue.h - what is done to an element of a product before it is written: bias, ReLU,
 * dropout, the mask of a ReLU's backward pass.
 */
#ifndef AN_CUDA_FINISH_H
#define AN_CUDA_FINISH_H

#include "gemm/map.h"
#include "gemm/philox.h"
#include "gemm/update.h"
#include "runtime/element.h"

/* Columns of C that a group has, and the place in C where a group begins. */
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

/* row, column: of C, over all groups; at: the place in C. T: the type of tensors. */
template <class T>
static __device__ __forceinline__ float
finished(const an_epilogue &f, float value, uint32_t row, uint32_t column, uint32_t at)
{
    if (f.bias != NULL) value += f.bias[column];
    if (f.relu) value = value <= 0 ? 0 : value; /* a NaN stays one */
    if (f.step != NULL) value *= dropout_factor(f.drop, f.step, row, column);
    if (f.factor != 0) value *= f.factor;
    if (f.x != NULL) value = get_element((const T *)f.x + at) > 0 ? value * f.mask : 0;
    return value;
}

/* The same of eight elements beside each other, at a multiple of 16 bytes. DROPS: whether
 * there may be dropout, whose code is long. */
template <class T, bool DROPS>
static __device__ __forceinline__ void epilogue_eight(const an_epilogue &f, float (&v)[8],
                                                      uint32_t row, uint32_t column,
                                                      uint32_t at)
{
    float other[8];

    if (f.bias != NULL) {
        if constexpr (sizeof(T) == 2) /* columns are counted by eights there */
            read_aligned(f.bias + column, other);
        else
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

/* Whether a product is to update weights, but must leave them as they are: the same for
 * all of the grid. */
static __device__ __forceinline__ bool stays(const an_gemm &g)
{
    return g.faults != NULL &&
           (*g.faults != 0 || g.step->update[g.updated.index].rate == 0);
}

/* Updates an element of a parameter by its gradient, unless that is not finite. */
static __device__ __forceinline__ void update_at(const an_gemm &g, const an_update &u,
                                                 float value, uint32_t at)
{
    if (value * 0.0f != 0) return;
    update_element(u, value, g.updated.v + at, g.updated.w + at);
    if (g.updated.prepacked != NULL)
        put_element(g.updated.prepacked + at, g.updated.w[at]);
}

/* The same of eight, moved together. */
static __device__ __forceinline__ void update_eight(const an_gemm &g, const an_update &u,
                                                    const float (&value)[8], uint32_t at)
{
    float v[8], w[8];

    get_elements((const float *)g.updated.v + at, v);
    get_elements((const float *)g.updated.w + at, w);
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (value[i] * 0.0f == 0) update_element(u, value[i], &v[i], &w[i]);
    put_elements(g.updated.v + at, v);
    put_elements(g.updated.w + at, w);
    if (g.updated.prepacked != NULL) put_elements(g.updated.prepacked + at, w);
}

/* Finishes eight elements of row m of C, from column n on, and writes them. part: null,
 * or where they are written instead, as partial sums. Addresses are multiples of 16
 * bytes. T: the type of tensors. */
template <class T, an_product PRODUCT, bool DROPS>
static __device__ __forceinline__ void put_eight(const an_gemm &g, float (&v)[8],
                                                 uint32_t m, uint32_t n, uint32_t group,
                                                 float *part)
{
    uint32_t at = group_offset<PRODUCT>(g, group) + an_map<PRODUCT>::c_row(g, m) + n;

    if (part != NULL) {
        put_elements(part + (size_t)m * g.n + n, v);
        return;
    }
    if (PRODUCT == AN_WEIGHTS) {
        if (g.faults != NULL)
            update_eight(g, g.step->update[g.updated.index], v, at);
        else
            put_elements((float *)g.c + at, v);
        return;
    }
    epilogue_eight<T, DROPS>(g.epilogue, v, m, group * columns_of<PRODUCT>(g) + n, at);
    if (g.c_float)
        put_elements((float *)g.c + at, v);
    else
        put_elements((T *)g.c + at, v);
}

#endif
