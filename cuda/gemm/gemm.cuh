/*
 * gemm.cuh - the kernel behind gemm.h: tiles of A and B through shared memory.
 *
 * A block computes TM x TN elements of C, by DEPTH of k at a time; while it multiplies,
 * the loads of later steps are in flight (cp.async). A factor whose rows are contiguous
 * along k lies in shared memory as [row][k], one that is contiguous along its rows as
 * [k][row]: so both are copied in the order of their memory, 16 bytes at a time where
 * sizes allow (VECTOR 4).
 */
#ifndef AN_CUDA_GEMM_CUH
#define AN_CUDA_GEMM_CUH

#include "gemm/epilogue.h"
#include "gemm/map.h"
#include "runtime/mma.h"

enum { DEPTH = 32, STAGES = 3 };

/* --- tiles in shared memory -------------------------------------------------------- */

/* ALONG_K: [ROWS][DEPTH], whose 16-byte pieces are swapped by row, so that eight rows at
 * one k lie in different banks; else [DEPTH][ROWS + 8], for the same reason. */
template <int ROWS, int ALONG_K> struct an_tile {
    enum { NUMBERS = ALONG_K ? ROWS * DEPTH : DEPTH * (ROWS + 8), IS_ALONG_K = ALONG_K };

    static __device__ __forceinline__ int at(int row, int k)
    {
        return ALONG_K ? row * DEPTH + (((k >> 2) ^ (row & 7)) << 2) + (k & 3)
                       : k * (ROWS + 8) + row;
    }

    /* Begins the copies of rows from `row0` on, and of k from `k0` on and below
     * `k_end`. */
    template <an_product PRODUCT, bool IS_A, int VECTOR, int THREADS>
    static __device__ __forceinline__ void load(float *tile, const an_gemm &g,
                                                const float *from, uint32_t row0,
                                                uint32_t k0, uint32_t k_end)
    {
        typedef an_map<PRODUCT> map;
        enum { SIDE = (ALONG_K ? DEPTH : ROWS) / VECTOR, UNITS = ROWS * DEPTH / VECTOR };
        int along = (int)threadIdx.x % SIDE * VECTOR;
        an_place fixed;

        if (ALONG_K)
            fixed = IS_A ? map::a_k(g, k0 + along, k0 + along < k_end)
                         : map::b_k(g, k0 + along, k0 + along < k_end);
        else
            fixed = IS_A ? map::a_row(g, row0 + along) : map::b_row(g, row0 + along);
#pragma unroll
        for (int i = 0; i < UNITS / THREADS; i++) {
            int across = (int)threadIdx.x / SIDE + i * (THREADS / SIDE);
            uint32_t offset;
            bool ok;

            if (ALONG_K)
                ok = IS_A ? map::a_at(g, map::a_row(g, row0 + across), fixed, &offset)
                          : map::b_at(g, map::b_row(g, row0 + across), fixed, &offset);
            else
                ok = IS_A ? map::a_at(g, fixed,
                                      map::a_k(g, k0 + across, k0 + across < k_end),
                                      &offset)
                          : map::b_at(g, fixed,
                                      map::b_k(g, k0 + across, k0 + across < k_end),
                                      &offset);
            cp_async<4 * VECTOR>(tile + (ALONG_K ? at(across, along) : at(along, across)),
                                 from + (ok ? offset : 0), ok);
        }
    }

    /* Four elements: of a row from k on, or of one k from a row on. Both are multiples of
     * 4. */
    static __device__ __forceinline__ float4 four(const float *tile, int row, int k)
    {
        return *(const float4 *)(tile + at(row, k));
    }

    static __device__ __forceinline__ uint32_t word(const float *tile, int row, int k)
    {
        uint32_t word;

        memcpy(&word, tile + at(row, k), sizeof word);
        return word;
    }

    /* A lane's words of 16 rows x 8 k, as mma_tf32() wants A. */
    static __device__ __forceinline__ void a_part(const float *tile, int row, int k,
                                                  uint32_t r[4])
    {
        int lane = (int)threadIdx.x % 32;

        if (ALONG_K) {
            ldmatrix4<false>(r, tile + at(row + lane % 16, k + lane / 16 * 4));
        } else {
#pragma unroll
            for (int e = 0; e < 4; e++)
                r[e] = word(tile, row + lane / 4 + e % 2 * 8, k + lane % 4 + e / 2 * 4);
        }
    }

    /* Those of twice 8 rows x 8 k, as it wants two B. */
    static __device__ __forceinline__ void b_parts(const float *tile, int row, int k,
                                                   uint32_t r[4])
    {
        int lane = (int)threadIdx.x % 32;

        if (ALONG_K) {
            ldmatrix4<false>(
                r, tile + at(row + lane % 8 + lane / 16 * 8, k + lane / 8 % 2 * 4));
        } else {
#pragma unroll
            for (int e = 0; e < 4; e++)
                r[e] = word(tile, row + lane / 4 + e / 2 * 8, k + lane % 4 + e % 2 * 4);
        }
    }
};

/* --- products of a step ------------------------------------------------------------ */

static __device__ __forceinline__ float part_of(const float4 &f, int i)
{
    return i == 0 ? f.x : i == 1 ? f.y : i == 2 ? f.z : f.w;
}

/* Which of a tile's ROWS one of WAYS threads has, and their elements, which it reads by
 * 16 bytes: along k every WAYS-th row, at four k; across, rows by fours, at one k. */
template <class Tile, int ROWS, int WAYS> struct an_share {
    enum { COUNT = ROWS / WAYS, ALONG_K = Tile::IS_ALONG_K };
    float4 of[ALONG_K ? COUNT : COUNT / 4];

    static __device__ __forceinline__ int row(int thread, int i)
    {
        return ALONG_K ? thread + i * WAYS : thread * 4 + i / 4 * (WAYS * 4) + i % 4;
    }

    /* The first k of four; then each of them. */
    __device__ __forceinline__ void four(const float *tile, int thread, int k)
    {
        if (ALONG_K) {
#pragma unroll
            for (int i = 0; i < COUNT; i++) of[i] = Tile::four(tile, row(thread, i), k);
        }
    }
    __device__ __forceinline__ void one(const float *tile, int thread, int k)
    {
        if (!ALONG_K) {
#pragma unroll
            for (int i = 0; i < COUNT; i += 4)
                of[i / 4] = Tile::four(tile, row(thread, i), k);
        }
    }

    /* The element of its row i, at the e-th of four k. */
    __device__ __forceinline__ float element(int i, int e) const
    {
        return ALONG_K ? part_of(of[i], e) : part_of(of[i / 4], i % 4);
    }
};

/* Thread (y, x) of 16 x 16, or of 8 x 16, has share y of the rows and x of the columns:
 * float32 throughout. */
template <int TM, int TN, int THREADS, class TileA, class TileB> struct an_products_fp32 {
    enum { X = 16, Y = THREADS / X, RM = TM / Y, RN = TN / X };
    typedef an_share<TileA, TM, Y> rows;
    typedef an_share<TileB, TN, X> columns;
    float sum[RM][RN];

    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int i = 0; i < RM; i++)
#pragma unroll
            for (int j = 0; j < RN; j++) sum[i][j] = 0;
    }

    /* Every sum's products are added in the order of k. Where both factors lie along k,
     * the elements of one column are held at a time, since there are not enough registers
     * for all. */
    __device__ __forceinline__ void add(const float *a, const float *b, int depth)
    {
        static_assert(rows::ALONG_K || !columns::ALONG_K, "no product has these");
        int y = (int)threadIdx.x / X, x = (int)threadIdx.x % X;
        rows left;

        for (int k = 0; k < depth; k += 4) {
            left.four(a, y, k);
            if (columns::ALONG_K) {
#pragma unroll
                for (int j = 0; j < RN; j++) {
                    const float4 right = TileB::four(b, columns::row(x, j), k);

#pragma unroll
                    for (int e = 0; e < 4; e++)
#pragma unroll
                        for (int i = 0; i < RM; i++)
                            sum[i][j] += left.element(i, e) * part_of(right, e);
                }
                continue;
            }
#pragma unroll
            for (int e = 0; e < 4; e++) {
                columns right;

                left.one(a, y, k + e);
                right.one(b, x, k + e);
#pragma unroll
                for (int i = 0; i < RM; i++)
#pragma unroll
                    for (int j = 0; j < RN; j++)
                        sum[i][j] += left.element(i, e) * right.element(j, e);
            }
        }
    }

    template <class Store> __device__ __forceinline__ void store(const Store &to) const
    {
        int y = (int)threadIdx.x / X, x = (int)threadIdx.x % X;

#pragma unroll
        for (int i = 0; i < RM; i++)
#pragma unroll
            for (int j = 0; j < RN; j++)
                to(rows::row(y, i), columns::row(x, j), sum[i][j]);
    }
};

/* Tensor cores, by factors rounded to TF32; a warp has WM x WN elements. TWICE: what
 * rounding takes from a factor becomes a second factor, and three products give float32's
 * precision; the smallest one, of what was taken from both, is left out. */
template <int TM, int TN, int THREADS, class TileA, class TileB, bool TWICE>
struct an_products_mma_tf32 {
    enum {
        WARPS = THREADS / 32,
        WARPS_M = 2,
        WM = TM / WARPS_M,
        WN = TN / (WARPS / WARPS_M),
        I = WM / 16,
        J = WN / 8
    };
    float sum[I][J][4];

    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int i = 0; i < I; i++)
#pragma unroll
            for (int j = 0; j < J; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) sum[i][j][e] = 0;
    }

    static __device__ __forceinline__ int first_row()
    {
        return (int)threadIdx.x / 32 % WARPS_M * WM;
    }
    static __device__ __forceinline__ int first_column()
    {
        return (int)threadIdx.x / 32 / WARPS_M * WN;
    }

    /* word: a factor, which becomes it rounded; rest, if it is wanted: what that takes,
     * whose own last bits the product drops. (By hand: a NaN may be lost in the one, but
     * not in the other.) */
    static __device__ __forceinline__ void round(uint32_t &word, uint32_t &rest)
    {
        uint32_t rounded = TWICE ? (word + 0x1000u) & 0xffffe000u : to_tf32(word);

        if (TWICE) rest = float_word(word_float(word) - word_float(rounded));
        word = rounded;
    }

    /* Tensor cores round their sums towards zero: so of eight products each, which
     * ordinary cores add up. */
    static __device__ __forceinline__ void
    add_twice(float (&sum)[4], const uint32_t *left, const uint32_t *left_rest,
              const uint32_t *right, const uint32_t *right_rest)
    {
        float part[4] = {0, 0, 0, 0};

        mma_tf32(part, left_rest, right);
        mma_tf32(part, left, right_rest);
        mma_tf32(part, left, right);
#pragma unroll
        for (int e = 0; e < 4; e++) sum[e] += part[e];
    }

    __device__ __forceinline__ void add(const float *a, const float *b, int depth)
    {
        for (int k = 0; k < depth; k += 8) {
            uint32_t right[J / 2][4], right_rest[J / 2][4];

#pragma unroll
            for (int j = 0; j < J / 2; j++) {
                TileB::b_parts(b, first_column() + j * 16, k, right[j]);
#pragma unroll
                for (int e = 0; e < 4; e++) round(right[j][e], right_rest[j][e]);
            }
#pragma unroll
            for (int i = 0; i < I; i++) {
                uint32_t left[4], left_rest[4];

                TileA::a_part(a, first_row() + i * 16, k, left);
#pragma unroll
                for (int e = 0; e < 4; e++) round(left[e], left_rest[e]);
#pragma unroll
                for (int j = 0; j < J; j++) {
                    if (TWICE)
                        add_twice(sum[i][j], left, left_rest, &right[j / 2][j % 2 * 2],
                                  &right_rest[j / 2][j % 2 * 2]);
                    else
                        mma_tf32(sum[i][j], left, &right[j / 2][j % 2 * 2]);
                }
            }
        }
    }

    template <class Store> __device__ __forceinline__ void store(const Store &to) const
    {
        int lane = (int)threadIdx.x % 32;

#pragma unroll
        for (int i = 0; i < I; i++)
#pragma unroll
            for (int j = 0; j < J; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    to(first_row() + i * 16 + lane / 4 + e / 2 * 8,
                       first_column() + j * 8 + lane % 4 * 2 + e % 2, sum[i][j][e]);
    }
};

/* --- the kernel -------------------------------------------------------------------- */

/* Writes a block's elements. */
template <an_product PRODUCT> struct an_store {
    const an_gemm &g;
    uint32_t row0, column0, group;
    float *part; /* null: they are finished; else where partial sums go, [m][n] */

    __device__ __forceinline__ void operator()(int row, int column, float value) const
    {
        uint32_t m = row0 + (uint32_t)row, n = column0 + (uint32_t)column, at;

        if (m >= g.m || n >= g.n) return;
        if (part != NULL) {
            part[(size_t)m * g.n + n] = value;
            return;
        }
        at = group_offset<PRODUCT>(g, group) + an_map<PRODUCT>::c_row(g, m) + n;
        if (PRODUCT == AN_WEIGHTS && g.faults != NULL) {
            update_at(g, g.step->update[g.updated.index], value, at);
            return;
        }
        ((float *)g.c)[at] =
            finished<float>(g.epilogue, value, m, group * columns_of<PRODUCT>(g) + n, at);
    }
};

/* A block's tiles. */
template <an_product PRODUCT, int TM, int TN> struct an_tiles {
    typedef an_tile<TM, an_map<PRODUCT>::A_ALONG_K> A;
    typedef an_tile<TN, an_map<PRODUCT>::B_ALONG_K> B;
    enum {
        THREADS = TM * TN >= 128 * 64 ? 256 : 128,
        STAGE = A::NUMBERS + B::NUMBERS,
        BYTES = STAGES * STAGE * (int)sizeof(float)
    };
};

/* Grid: tiles of m, tiles of n, groups x splits. Two blocks share a multiprocessor,
 * except those that copy element by element, which need more registers. */
template <an_product PRODUCT, int TM, int TN, int VECTOR,
          template <int, int, int, class, class> class Products>
static __global__ void __launch_bounds__(an_tiles<PRODUCT, TM, TN>::THREADS,
                                         VECTOR == 4 ? 2 : 1) gemm_kernel(an_gemm g)
{
    typedef an_tiles<PRODUCT, TM, TN> tiles_of;
    typedef typename tiles_of::A tile_a;
    typedef typename tiles_of::B tile_b;
    enum { THREADS = tiles_of::THREADS, STAGE = tiles_of::STAGE };
    float *tiles = (float *)shared_memory();
    uint32_t group = blockIdx.z / g.splits, split = blockIdx.z - group * g.splits;
    uint32_t m0 = blockIdx.x * TM, n0 = blockIdx.y * TN, k0 = split * g.split_k;
    uint32_t k_end = k0 + g.split_k < g.k ? k0 + g.split_k : g.k;
    int steps = k_end > k0 ? (int)((k_end - k0 + DEPTH - 1) / DEPTH) : 0;
    const float *a =
        (const float *)g.a + group * (PRODUCT == AN_FORWARD ? g.in_maps : g.out_maps);
    const float *b = (const float *)g.b +
                     group * (PRODUCT == AN_WEIGHTS ? g.in_maps : g.out_maps * g.w_pitch);
    Products<TM, TN, THREADS, tile_a, tile_b> products;

    if (PRODUCT == AN_WEIGHTS && stays(g)) return;
    products.clear();
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps) {
            float *tile = tiles + s * STAGE;

            tile_a::template load<PRODUCT, true, VECTOR, THREADS>(tile, g, a, m0,
                                                                  k0 + s * DEPTH, k_end);
            tile_b::template load<PRODUCT, false, VECTOR, THREADS>(
                tile + tile_a::NUMBERS, g, b, n0, k0 + s * DEPTH, k_end);
        }
        cp_async_commit();
    }
    for (int s = 0; s < steps; s++) {
        const float *tile = tiles + s % STAGES * STAGE;
        uint32_t left = k_end - k0 - (uint32_t)s * DEPTH;

        cp_async_wait<STAGES - 2>();
        /* Step s has arrived for all threads, and all have done with step s - 1, whose
         * place the next load takes. */
        __syncthreads();
        if (s + STAGES - 1 < steps) {
            float *next = tiles + (s + STAGES - 1) % STAGES * STAGE;
            uint32_t k = k0 + (uint32_t)(s + STAGES - 1) * DEPTH;

            tile_a::template load<PRODUCT, true, VECTOR, THREADS>(next, g, a, m0, k,
                                                                  k_end);
            tile_b::template load<PRODUCT, false, VECTOR, THREADS>(next + tile_a::NUMBERS,
                                                                   g, b, n0, k, k_end);
        }
        cp_async_commit();
        products.add(tile, tile + tile_a::NUMBERS,
                     left < DEPTH ? (int)((left + 15) / 16 * 16) : (int)DEPTH);
    }

    an_store<PRODUCT> store = {g, m0, n0, group, NULL};

    if (g.parts != NULL)
        store.part = g.parts + (size_t)(split * g.groups + group) * g.m * g.n;
    products.store(store);
}

/* --- launching --------------------------------------------------------------------- */

template <an_product PRODUCT, int TM, int TN, int VECTOR,
          template <int, int, int, class, class> class Products>
static an_status gemm_launch(an_queue *q, const an_gemm *g)
{
    typedef an_tiles<PRODUCT, TM, TN> tiles;
    void (*kernel)(an_gemm) = gemm_kernel<PRODUCT, TM, TN, VECTOR, Products>;
    dim3 grid((g->m + TM - 1) / TM, (g->n + TN - 1) / TN, g->groups * g->splits);

    AN_CUDA_TRY(an__cuda_check(
        q->device,
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             (int)tiles::BYTES),
        "a product's shared memory"));
    return an__cuda_launch(q, kernel, grid, dim3(tiles::THREADS), tiles::BYTES, *g,
                           g->what);
}

/* Launches the kernel with the tile of tiles.cu; with a small one where a block cannot
 * have that much memory, or where sizes do not allow 16-byte copies (those of C do not
 * matter, whose elements are written one by one). LARGE: there are enough registers for
 * two blocks with tiles of 128 x 128. */
template <an_product PRODUCT, bool LARGE,
          template <int, int, int, class, class> class Products>
static an_status gemm_tiles(an_queue *q, const an_gemm *g)
{
    an_tile_size t = an__cuda_float_tile(PRODUCT, g);
    bool in = (g->in_maps | g->in_pitch | g->w_pitch) % 4 == 0;
    bool out = (g->out_maps | g->out_pitch) % 4 == 0;

    if (!in || (PRODUCT != AN_FORWARD && !out))
        return gemm_launch<PRODUCT, 32, 64, 1, Products>(q, g);
    if (t.m == 32 || an_tiles<PRODUCT, 128, 128>::BYTES > q->device->shared_bytes)
        return gemm_launch<PRODUCT, 32, 64, 4, Products>(q, g);
    if constexpr (LARGE)
        if (t.m == t.n) return gemm_launch<PRODUCT, 128, 128, 4, Products>(q, g);
    return PRODUCT == AN_WEIGHTS ? gemm_launch<PRODUCT, 64, 128, 4, Products>(q, g)
                                 : gemm_launch<PRODUCT, 128, 64, 4, Products>(q, g);
}

template <template <int, int, int, class, class> class Products,
          bool LARGE_WEIGHTS = true>
static an_status gemm_product(an_queue *q, an_product product, const an_gemm *g)
{
    switch (product) {
    case AN_FORWARD: return gemm_tiles<AN_FORWARD, true, Products>(q, g);
    case AN_DATA: return gemm_tiles<AN_DATA, true, Products>(q, g);
    default: return gemm_tiles<AN_WEIGHTS, LARGE_WEIGHTS, Products>(q, g);
    }
}

#endif
