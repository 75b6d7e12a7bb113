/*
 * pipeline.h - the products of bfloat16 convolutions on Hopper (pipeline.cuh): which of
 * them that kernel computes, in which tiles, and the maps of their tensors
 * (tensor_map.cu).
 */
#ifndef AN_CUDA_PIPELINE_H
#define AN_CUDA_PIPELINE_H

#include "gemm/gemm.h"
#include "runtime/tma.h"

#define AN_ROW_NUMBERS 64 /* the bfloat16 elements of a row of 128 bytes */

/* How a product is cut: tiles have 64 rows for each warpgroup, and so many columns.
 * Rows are those of C or, in a weight's gradient, C's columns, in pieces of 64 within
 * a tap. */
struct an_pipeline_tiles {
    uint32_t warpgroups, columns;
    uint32_t depth;        /* k of a step: maps of a tap, or pixels */
    uint32_t down, across; /* tiles of a group */
};

/* Whether that kernel computes a product, and in which tiles. It drops nothing out: where
 * that is asked for, sums must be partial. The answer is the same for all devices that
 * have it and as many multiprocessors, so that sums are. */
bool an__cuda_pipeline_tiles(const an_device *device, uint32_t precision,
                             an_product product, const an_gemm *g,
                             an_pipeline_tiles *tiles);

an_status an__cuda_pipeline_forward(an_queue *q, const an_gemm *g,
                                    const an_pipeline_tiles *tiles);
an_status an__cuda_pipeline_weights(an_queue *q, const an_gemm *g,
                                    const an_pipeline_tiles *tiles);

/* Makes the map of a matrix whose rows are `pitch` elements apart; a copy brings `copied`
 * rows. */
an_status an__cuda_map_rows(an_device *device, an_tensor_map *map, const void *first,
                            uint64_t columns, uint64_t rows, uint64_t pitch,
                            uint32_t copied);

/* Makes the map of images over which a product's windows step, by 1; a copy brings
 * `copied` pixels. */
an_status an__cuda_map_windows(an_device *device, an_tensor_map *map, const void *first,
                               const an_gemm *g, uint32_t images, uint32_t copied);

#endif
