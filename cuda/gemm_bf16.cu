/*
 * gemm_bf16.cu - products of bfloat16 tensors by tensor cores, sums in float32: see narrow.cuh.
 */
#include "gemm.h"

/* The tile that costs least: what it computes, empty columns with it, and what it reads of both
 * factors for that, as much for a row as 64 columns take. Of those equally good the first. Two
 * blocks of the widest have no room on a multiprocessor, which counts for a fifth. */
uint32_t an__cuda_tile_columns(uint32_t n)
{
    static const uint32_t width[] = {128, 192, 96, 64, 48};
    uint64_t best = 0, least = UINT64_MAX;

    for (uint64_t w : width) {
        uint64_t tiles = (n + w - 1) / w, cost = tiles * (w + 64) * (w == 192 ? 6 : 5);

        if (cost < least) {
            least = cost;
            best = w;
        }
    }
    return (uint32_t)best;
}

an_status an__cuda_gemm_bf16(an_queue *q, an_product product, const an_gemm *g)
{
    switch (product) {
    case AN_FORWARD: return an__cuda_narrow_forward(q, g);
    case AN_DATA: return an__cuda_narrow_data(q, g);
    default: return an__cuda_narrow_weights(q, g);
    }
}
