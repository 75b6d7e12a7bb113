/*
 * wgmma.cuh - the kernel behind gemm.h for bfloat16 tensors, by wgmma or mma.sync, and
 * for forward products of TF32 by wgmma: tiles of 128 rows, 128 bytes of k at a time,
 * through shared memory.
 *
 * Both factors lie there as rows of 128 bytes, whose 16-byte pieces are swapped by row
 * (factors.cuh), along k or, if they are bfloat16, across it, as they are
 * contiguous in memory; so they are copied 16 bytes at a time (VECTOR) or, where sizes do
 * not allow that, gathered element by element. The loads of the next two steps are in
 * flight while a step is multiplied.
 *
 * A weight's gradient is computed with its sides exchanged, as C^T: its long side, taps
 * and maps, is then the one of 128 rows, and tiles of the other side fit the number of
 * output maps.
 *
 * wgmma takes TF32 along k only, for both factors, and drops the bits that are too many:
 * so A goes through registers, where it is rounded, and B has been rounded when it was
 * prepacked.
 */
#ifndef AN_CUDA_WGMMA_CUH
#define AN_CUDA_WGMMA_CUH

#include <type_traits>

#include "gemm/epilogue.h"
#include "gemm/factors.cuh"
#include "gemm/products.cuh"

enum { EIGHT = 8 };

/* Of a product with tiles of N columns. */
template <class T, an_product PRODUCT, int N, bool VECTOR> struct an_wgmma {
    enum {
        TURNED = PRODUCT == AN_WEIGHTS,
        /* As many as leave room for two blocks on a multiprocessor; one has room for
         * more. */
        STAGES = N > 64 && N <= 128 ? 3 : 4
    };
    typedef an_factor<T, PRODUCT, !TURNED> Left;
    typedef an_factor<T, PRODUCT, TURNED> Right;
    enum { WALKS = PRODUCT == AN_FORWARD && VECTOR };
    typedef std::conditional_t<WALKS, an_window_tile<Left, ROWS>,
                               an_wgmma_tile<Left, ROWS, VECTOR>>
        TileA;
    typedef std::conditional_t<WALKS, an_line_tile<Right, N>,
                               an_wgmma_tile<Right, N, VECTOR>>
        TileB;
    typedef an_staged<N, TURNED> Staged;
    enum {
        STAGE = TileA::BYTES + TileB::BYTES,
        TILES = STAGES * STAGE,
        BYTES = TILES > (int)Staged::BYTES ? TILES : (int)Staged::BYTES
    };
};

/* Writes the elements in shared memory to C: eight of a row, or of a column, at a
 * time. */
template <class T, an_product PRODUCT, int N, bool VECTOR>
static __device__ __forceinline__ void put_tile(const an_gemm &g, const float *stage,
                                                uint32_t m0, uint32_t n0, uint32_t group,
                                                float *part)
{
    typedef an_wgmma<T, PRODUCT, N, VECTOR> tiles_of;
    enum {
        LINES = tiles_of::TURNED ? N : ROWS,
        PIECES = (tiles_of::TURNED ? ROWS : N) / EIGHT
    };
    /* C's rows and columns, whichever of them are the tile's rows. */
    uint32_t row0 = tiles_of::TURNED ? n0 : m0, column0 = tiles_of::TURNED ? m0 : n0;

    for (int unit = (int)threadIdx.x; unit < LINES * PIECES; unit += THREADS) {
        int line = unit / PIECES, piece = unit % PIECES * EIGHT;
        uint32_t m = row0 + line, n = column0 + piece, at;
        const float *from = stage + line * tiles_of::Staged::PITCH + piece;
        float v[EIGHT];

        if (m >= g.m || n >= g.n) continue;
#pragma unroll
        for (int e = 0; e < EIGHT; e++) v[e] = from[e];
        if (VECTOR) {
            put_eight<T, PRODUCT, true>(g, v, m, n, group, part);
            continue;
        }
        at = group_offset<PRODUCT>(g, group) + an_map<PRODUCT>::c_row(g, m) + n;
        for (int e = 0; e < EIGHT && n + e < g.n; e++) {
            if (part != NULL) {
                part[(size_t)m * g.n + n + e] = v[e];
            } else if (PRODUCT == AN_WEIGHTS) {
                if (g.faults != NULL)
                    update_at(g, g.step->update[g.updated.index], v[e], at + e);
                else
                    ((float *)g.c)[at + e] = v[e];
            } else {
                float last = finished<T>(g.epilogue, v[e], m,
                                         group * columns_of<PRODUCT>(g) + n + e, at + e);

                if (g.c_float)
                    ((float *)g.c)[at + e] = last;
                else
                    put_element((T *)g.c + at + e, last);
            }
        }
    }
}

/* Grid: tiles, groups x splits. Two blocks share a multiprocessor, except those whose
 * factors wait in registers: the work of one hides the first loads and last stores of the
 * other. */
template <class T, an_product PRODUCT, int N, bool VECTOR,
          template <class, class, int> class Products>
static __global__ void __launch_bounds__(
    THREADS,
    N <= 128 && Products<typename an_wgmma<T, PRODUCT, N, VECTOR>::TileA,
                         typename an_wgmma<T, PRODUCT, N, VECTOR>::TileB, N>::ASYNC
        ? 2
        : 1) wgmma_kernel(an_gemm g)
{
    typedef an_wgmma<T, PRODUCT, N, VECTOR> tiles_of;
    typedef Products<typename tiles_of::TileA, typename tiles_of::TileB, N> Sums;
    enum { STAGES = tiles_of::STAGES, DEPTH = tiles_of::TileA::DEPTH };
    /* Not launched there, so not compiled either: a launch that is wrong must not pass
     * for one that has computed. */
#if !AN_HAS_WGMMA
    if (Sums::ASYNC) __trap();
#elif defined(__CUDACC__)
    if (!Sums::ASYNC && VECTOR) __trap();
#endif
    char *tiles = (char *)shared_memory();
    uint32_t group = blockIdx.z / g.splits, split = blockIdx.z - group * g.splits;
    /* Neighbouring blocks have the same rows: what they read of the larger factor is in
     * the L2 cache once. */
    uint32_t columns = tiles_of::TURNED ? g.m : g.n, across = (columns + N - 1) / N;
    uint32_t down = blockIdx.x / across, m0 = down * ROWS;
    uint32_t n0 = (blockIdx.x - down * across) * N, k0 = split * g.split_k;
    uint32_t k_end = k0 + g.split_k < g.k ? k0 + g.split_k : g.k;
    int steps = k_end > k0 ? (int)((k_end - k0 + DEPTH - 1) / DEPTH) : 0;
    uint32_t a0 = group * (PRODUCT == AN_FORWARD ? g.in_maps : g.out_maps);
    uint32_t b0 = group * (PRODUCT == AN_WEIGHTS ? g.in_maps : g.out_maps * g.w_pitch);
    const T *left = (const T *)(tiles_of::TURNED ? g.b : g.a);
    const T *right = (const T *)(tiles_of::TURNED ? g.a : g.b);
    typename tiles_of::TileA tile_a;
    typename tiles_of::TileB tile_b;
    Sums products;

    if (PRODUCT == AN_WEIGHTS && stays(g)) return;
    tile_a.begin(g, m0, k0, tiles_of::TURNED ? b0 : a0);
    tile_b.begin(g, n0, k0, tiles_of::TURNED ? a0 : b0);
    products.clear();
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps) {
            char *tile = tiles + s * tiles_of::STAGE;

            tile_a.load(tile, g, left, m0, k0 + s * DEPTH, k_end);
            tile_b.load(tile + tiles_of::TileA::BYTES, g, right, n0, k0 + s * DEPTH,
                        k_end);
        }
        cp_async_commit();
    }
    for (int s = 0; s < steps; s++) {
        const char *tile = tiles + s % STAGES * tiles_of::STAGE;

        cp_async_wait<STAGES - 2>();
        if (Sums::ASYNC) fence_proxy_async();
        __syncthreads(); /* step s has arrived for all */
        products.begin(tile, tile + tiles_of::TileA::BYTES);
        products.wait_before();
        if (Sums::OVERLAPS) __syncthreads(); /* all have done with step s - 1, */
        if (s + STAGES - 1 < steps) {        /* whose place the next load takes */
            char *next = tiles + (s + STAGES - 1) % STAGES * tiles_of::STAGE;
            uint32_t k = k0 + (uint32_t)(s + STAGES - 1) * DEPTH;

            tile_a.load(next, g, left, m0, k, k_end);
            tile_b.load(next + tiles_of::TileA::BYTES, g, right, n0, k, k_end);
        }
        cp_async_commit();
        products.wait_own();
    }
    products.wait_all();
    cp_async_wait<0>();
    __syncthreads(); /* the elements take the place of the tiles */
    products.template stage<typename tiles_of::Staged>((float *)tiles);
    __syncthreads();
    put_tile<T, PRODUCT, N, VECTOR>(
        g, (const float *)tiles, m0, n0, group,
        g.parts != NULL ? g.parts + (size_t)(split * g.groups + group) * g.m * g.n
                        : NULL);
}

/* --- launching --------------------------------------------------------------------- */

template <class T, an_product PRODUCT, int N, bool VECTOR,
          template <class, class, int> class Products>
static an_status wgmma_launch(an_queue *q, const an_gemm *g)
{
    typedef an_wgmma<T, PRODUCT, N, VECTOR> tiles_of;
    void (*kernel)(an_gemm) = wgmma_kernel<T, PRODUCT, N, VECTOR, Products>;
    bool rotated = tiles_of::TURNED;
    uint32_t rows = rotated ? g->n : g->m, columns = rotated ? g->m : g->n;
    dim3 grid((rows + ROWS - 1) / ROWS * ((columns + N - 1) / N), 1,
              g->groups * g->splits);

    AN_CUDA_TRY(an__cuda_check(
        q->device,
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             (int)tiles_of::BYTES),
        "a product's shared memory"));
    return an__cuda_launch(q, kernel, grid, dim3(THREADS), tiles_of::BYTES, *g, g->what);
}

/* By wgmma, moving eight elements at a time. */
template <class T, an_product PRODUCT, template <class, class, int> class Products>
static an_status wgmma_product(an_queue *q, const an_gemm *g, uint32_t columns)
{
    if constexpr (PRODUCT == AN_WEIGHTS)
        if (columns == 192) return wgmma_launch<T, PRODUCT, 192, true, Products>(q, g);
    switch (columns) {
    case 48: return wgmma_launch<T, PRODUCT, 48, true, Products>(q, g);
    case 64: return wgmma_launch<T, PRODUCT, 64, true, Products>(q, g);
    case 96: return wgmma_launch<T, PRODUCT, 96, true, Products>(q, g);
    default: return wgmma_launch<T, PRODUCT, 128, true, Products>(q, g);
    }
}

template <an_product PRODUCT> static an_status bf16_product(an_queue *q, const an_gemm *g)
{
    an_tile_size t = an__cuda_wgmma_tile(PRODUCT, g);
    uint32_t columns = PRODUCT == AN_WEIGHTS ? t.m : t.n;
    typedef an_bf16 T;

    if (!by_eight(g))
        return wgmma_launch<T, PRODUCT, 64, false, an_products_mma_bf16>(q, g);
    if (!q->device->wgmma)
        return columns <= 64
                   ? wgmma_launch<T, PRODUCT, 64, true, an_products_mma_bf16>(q, g)
                   : wgmma_launch<T, PRODUCT, 128, true, an_products_mma_bf16>(q, g);
    return wgmma_product<T, PRODUCT, an_products_wgmma>(q, g, columns);
}

#endif
