/*
 * tiles.cu - which part of C a block computes, and by which kernel: gemm.cuh's;
 * wgmma.cuh's where factors lie as it wants them; on Hopper, pipeline.cuh's for most of
 * the latter.
 */
#include "gemm/pipeline.h"

/* The number of a tile's columns that costs least: what the tile computes, empty columns
 * included, and what it reads of both factors for that, where reading rows costs as much
 * as 64 columns. Of equal costs, the first counts. Two blocks of 192 columns do not fit
 * on a multiprocessor, so that nothing hides the first loads and last stores of one: only
 * weights' gradients, whose sums are long, have such tiles. (On an H200 a step in BF16 is
 * 1 to 2 % faster without them elsewhere.) */
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

/* Half a tile's width where the last tile would be half empty; a small one where each
 * weight is used by no more than a dense layer's small batch. */
an_tile_size an__cuda_float_tile(an_product product, const an_gemm *g)
{
    uint32_t maps = product == AN_WEIGHTS ? g->m : g->n;
    uint32_t others = product == AN_WEIGHTS ? g->n : g->m;
    uint32_t rest = maps % 128, width = rest > 0 && rest <= 64 ? 64 : 128;

    if (others <= 64) return {32, 64};
    if (product == AN_WEIGHTS) return {width, 128};
    return {128, width};
}

/* Whether partial sums are those of wgmma.cuh's tiles, even where another kernel computes
 * them. */
static bool is_wgmma(uint32_t precision, an_product product, const an_gemm *g)
{
    return precision == AN_PRECISION_BF16 ||
           (precision == AN_PRECISION_TF32 && product == AN_FORWARD && g->rounded);
}

/* --- pipeline.cuh's tiles ---------------------------------------------------------- */

/* Multiprocessors of an H100 or H200, of which each has a block. */
#define PROCESSORS 132u

/* The blocks that fill a device, no more than an H200's; twice as many where the work of
 * one hides the first loads and last stores of another. */
static uint32_t fill_of(const an_device *device, uint32_t times)
{
    return times * (device->processors < PROCESSORS ? device->processors : PROCESSORS);
}

/* What all tiles cost: the rounds in which the device computes them, by what a tile
 * multiplies and, as measured on an H200, 32 times what it reads. Products of fewer than
 * 96 columns wait for shared memory. */
static uint64_t rounds_cost(uint32_t tiles, uint32_t rows, uint32_t columns)
{
    uint32_t rounds = (tiles + PROCESSORS - 1) / PROCESSORS;

    return (uint64_t)rounds *
           (rows * (columns < 96 ? 96 : columns) + 32 * (rows + columns));
}

/* The k of a step, of which a tap has whole ones: 0 if there is none such. Of a dense
 * layer, what is copied beyond the last k is 0. */
static uint32_t forward_depth(const an_gemm *g)
{
    bool is_dense = g->kernel == 1 && g->groups == 1;

    return g->in_maps % 64 == 0 || is_dense ? 64 : g->in_maps % 48 == 0 ? 48 : 0;
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

        if (cost >= least || (g->across && shape.columns < 128)) continue;
        least = cost;
        *best = {shape.warpgroups, shape.columns, forward_depth(g), down, across};
    }
}

/* There are enough partial sums for a round of tiles, so that only what is empty in tiles
 * counts. */
static void weights_tiles(const an_gemm *g, an_pipeline_tiles *best)
{
    uint32_t pieces = g->kernel * g->kernel * ((g->in_maps + 63) / 64);
    uint32_t columns = columns_for(g->m, true);

    if (columns < 64) columns = 64;
    *best = {3, columns, 64, (pieces + 2) / 3, (g->m + columns - 1) / columns};
}

/* Whether another kernel drops out: the one that adds partial sums. */
static bool has_parts(const an_device *device, const an_gemm *g,
                      const an_pipeline_tiles *t)
{
    return parts_of(t->down * t->across * g->groups, fill_of(device, 1), g->k) > 1;
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
    if (product != AN_FORWARD || forward_depth(g) == 0) return false;
    forward_tiles(g, tiles);
    return g->epilogue.step == NULL || has_parts(device, g, tiles);
}

/* --- all --------------------------------------------------------------------------- */

an_split_size an__cuda_split_size(const an_device *device, uint32_t precision,
                                  an_product product, const an_gemm *g)
{
    an_pipeline_tiles p;
    an_tile_size t;

    if (an__cuda_pipeline_tiles(device, precision, product, g, &p))
        return {p.down * p.across * g->groups, fill_of(device, 1), p.depth,
                product == AN_WEIGHTS ? p.down : 0};
    t = is_wgmma(precision, product, g) ? an__cuda_wgmma_tile(product, g)
                                        : an__cuda_float_tile(product, g);
    return {((g->m + t.m - 1) / t.m) * ((g->n + t.n - 1) / t.n) * g->groups,
            fill_of(device, 2), 64, 0};
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
