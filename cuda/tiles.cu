/*
 * tiles.cu - which part of C a block computes, and which kernel: gemm.cuh's, or wgmma.cuh's where
 * factors lie as that wants them.
 */
#include "gemm.h"

/* The columns that cost least: what a tile computes, empty ones with it, and what it reads of
 * both factors for that, as much for a row as 64 columns take. Of those equally good the first.
 * Two blocks of 192 have no room on a multiprocessor, where nothing hides one's first loads and
 * last stores: only weights' gradients, whose sums are long, have them. (On an H200 a step in BF16
 * is 1 to 2 % faster without them elsewhere.) */
static uint32_t columns_for(uint32_t n, bool sums_are_long)
{
    static const uint32_t width[] = {128, 192, 96, 64, 48};
    uint64_t best = 0, least = UINT64_MAX;

    for (uint64_t w : width) {
        uint64_t tiles = (n + w - 1) / w, cost = tiles * (w + 64) * (w == 192 ? 6 : 5);

        if (cost >= least || (w == 192 && !sums_are_long)) continue;
        least = cost;
        best = w;
    }
    return (uint32_t)best;
}

an_tile_size an__cuda_wgmma_tile(an_product product, const an_gemm *g)
{
    if (product == AN_WEIGHTS) return {columns_for(g->m, true), 128};
    return {128, columns_for(g->n, false)};
}

/* Half a tile's width where the last would be empty by half; a small one where all there is to
 * do for a weight is a dense layer's small batch. */
an_tile_size an__cuda_float_tile(an_product product, const an_gemm *g)
{
    uint32_t maps = product == AN_WEIGHTS ? g->m : g->n;
    uint32_t others = product == AN_WEIGHTS ? g->n : g->m;
    uint32_t rest = maps % 128, width = rest > 0 && rest <= 64 ? 64 : 128;

    if (others <= 64) return {32, 64};
    if (product == AN_WEIGHTS) return {width, 128};
    return {128, width};
}

/* Whether it is split by wgmma.cuh's tiles: on every device, so that bits are the same. */
static bool is_wgmma(uint32_t precision, an_product product, const an_gemm *g)
{
    return precision == AN_PRECISION_BF16 ||
           (precision == AN_PRECISION_TF32 && product == AN_FORWARD && g->rounded);
}

an_tile_size an__cuda_tile(uint32_t precision, an_product product, const an_gemm *g)
{
    return is_wgmma(precision, product, g) ? an__cuda_wgmma_tile(product, g)
                                           : an__cuda_float_tile(product, g);
}

an_status an__cuda_gemm(an_queue *q, uint32_t precision, an_product product,
                        const an_gemm *g)
{
    if (precision == AN_PRECISION_BF16)
        return product == AN_FORWARD ? an__cuda_bf16_forward(q, g)
               : product == AN_DATA  ? an__cuda_bf16_data(q, g)
                                     : an__cuda_bf16_weights(q, g);
    if (is_wgmma(precision, product, g) && q->device->wgmma && by_eight(g))
        return an__cuda_wgmma_tf32(q, g);
    if (precision == AN_PRECISION_TF32) return an__cuda_gemm_tf32(q, product, g);
    if (precision == AN_PRECISION_TF32X3) return an__cuda_gemm_tf32x3(q, product, g);
    return an__cuda_gemm_fp32(q, product, g);
}
