/*
 * gemm_bf16.cu - products of bfloat16 tensors by tensor cores, sums in float32: see narrow.cuh.
 */
#include "gemm.h"

/* The tile that leaves least of itself empty; of those equally good the first, which has room
 * for two on a multiprocessor. */
uint32_t an__cuda_tile_columns(uint32_t n)
{
    static const uint32_t width[] = {128, 192, 96, 64, 48};
    uint32_t best = 0, least = UINT32_MAX;

    for (uint32_t w : width) {
        uint32_t padded = (n + w - 1) / w * w;

        if (padded < least) {
            least = padded;
            best = w;
        }
    }
    return best;
}

an_status an__cuda_gemm_bf16(an_queue *q, an_product product, const an_gemm *g)
{
    switch (product) {
    case AN_FORWARD: return an__cuda_narrow_forward(q, g);
    case AN_DATA: return an__cuda_narrow_data(q, g);
    default: return an__cuda_narrow_weights(q, g);
    }
}
