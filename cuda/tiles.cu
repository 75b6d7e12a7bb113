/*
 * tiles.cu - which part of C a block computes, and which kernel: gemm.cuh's; wgmma.cuh's where
 * factors lie as that wants them; pipeline.cuh's for most of them on Hopper.
 */
#include "pipeline.h"

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

/* Whether it is split by wgmma.cuh's tiles, also where another kernel computes them. */
static bool is_wgmma(uint32_t precision, an_product product, const an_gemm *g)
{
    return precision == AN_PRECISION_BF16 ||
           (precision == AN_PRECISION_TF32 && product == AN_FORWARD && g->rounded);
}

/* --- the pipeline's ------------------------------------------------------------------------- */

/* Multiprocessors of an H100 or H200, of which each has a block. */
#define PROCESSORS 132u

/* What a device needs for all tiles: rounds of it, by what a tile multiplies and, as measured on
 * an H200, 32 times what it reads; products of fewer than 96 columns wait for shared memory. */
static uint64_t rounds_cost(uint32_t tiles, uint32_t rows, uint32_t columns)
{
    uint32_t rounds = (tiles + PROCESSORS - 1) / PROCESSORS;

    return (uint64_t)rounds *
           (rows * (columns < 96 ? 96 : columns) + 32 * (rows + columns));
}

static void forward_tiles(const an_gemm *g, an_pipeline_tiles *best)
{
    static const struct {
        uint32_t warpgroups, columns;
    } shapes[] = {{4, 128}, {3, 128}, {3, 192}, {4, 96}, {4, 64}};
    uint64_t least = UINT64_MAX;

    for (const auto &shape : shapes) {
        uint32_t rows = shape.warpgroups * 64;
        uint32_t down = (g->m + rows - 1) / rows;
        uint32_t across = (g->n + shape.columns - 1) / shape.columns;
        uint64_t cost = rounds_cost(down * across * g->groups, rows, shape.columns);

        if (cost >= least) continue;
        least = cost;
        *best = {shape.warpgroups, shape.columns, g->in_maps % 64 == 0 ? 64u : 48u, down,
                 across};
    }
}

/* Sums are split until there is a round of tiles, so that what counts is how many are empty. */
static void weights_tiles(const an_gemm *g, an_pipeline_tiles *best)
{
    uint32_t pieces = g->kernel * g->kernel * ((g->in_maps + 63) / 64);
    uint32_t columns = columns_for(g->m, true);

    if (columns < 64) columns = 64;
    *best = {3, columns, 64, (pieces + 2) / 3, (g->m + columns - 1) / columns};
}

bool an__cuda_pipeline_tiles(const an_device *device, uint32_t precision,
                             an_product product, const an_gemm *g,
                             an_pipeline_tiles *tiles)
{
    if (!device->wgmma || precision != AN_PRECISION_BF16 || !by_eight(g) ||
        g->stride != 1)
        return false;
    if (product == AN_WEIGHTS) {
        weights_tiles(g, tiles);
        return g->faults == NULL;
    }
    if (product != AN_FORWARD || g->finish.step != NULL ||
        (g->in_maps % 64 != 0 && g->in_maps % 48 != 0))
        return false;
    forward_tiles(g, tiles);
    return true;
}

/* --- all -------------------------------------------------------------------------------------- */

/* Blocks that fill a device, no more than an H200; twice over where one's work hides another's
 * ends. */
static uint32_t fill_of(const an_device *device, uint32_t times)
{
    return times * (device->processors < PROCESSORS ? device->processors : PROCESSORS);
}

an_split_size an__cuda_split_size(const an_device *device, uint32_t precision,
                                  an_product product, const an_gemm *g)
{
    an_pipeline_tiles p;
    an_tile_size t;

    if (an__cuda_pipeline_tiles(device, precision, product, g, &p))
        return {p.down * p.across * g->groups, fill_of(device, 1), p.depth};
    t = is_wgmma(precision, product, g) ? an__cuda_wgmma_tile(product, g)
                                        : an__cuda_float_tile(product, g);
    return {((g->m + t.m - 1) / t.m) * ((g->n + t.n - 1) / t.n) * g->groups,
            fill_of(device, 2), 64};
}

an_status an__cuda_gemm(an_queue *q, uint32_t precision, an_product product,
                        const an_gemm *g)
{
    an_pipeline_tiles tiles;

    if (an__cuda_pipeline_tiles(q->device, precision, product, g, &tiles))
        return product == AN_FORWARD ? an__cuda_pipeline_forward(q, g, &tiles)
                                     : an__cuda_pipeline_weights(q, g, &tiles);
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
