/*
 * gemm.cuh - the kernel behind gemm.h: tiles of A and B through shared memory.
 *
 * A block computes TM x TN numbers of C, DEPTH of k at a time; loads of later steps are under
 * way (cp.async) while it multiplies. An operand whose rows are contiguous along k lies in
 * shared memory as [row][k]; one that is contiguous along its rows as [k][row]: so both are
 * copied in the order of their memory, 16 bytes at a time where sizes allow (VECTOR 4).
 */
#ifndef AN_CUDA_GEMM_CUH
#define AN_CUDA_GEMM_CUH

#include "finish.h"
#include "map.h"
#include "ptx.h"

enum { DEPTH = 32, STAGES = 3 };

/* --- tiles in shared memory ----------------------------------------------------------------- */

/* ALONG_K: [ROWS][DEPTH], whose 16-byte pieces change places by row, so that eight rows at
 * one k lie in different banks; else [DEPTH][ROWS + 8], for the same reason. */
template <int ROWS, int ALONG_K> struct an_tile {
    enum { NUMBERS = ALONG_K ? ROWS * DEPTH : DEPTH * (ROWS + 8) };

    static __device__ __forceinline__ int at(int row, int k)
    {
        return ALONG_K ? row * DEPTH + (((k >> 2) ^ (row & 7)) << 2) + (k & 3)
                       : k * (ROWS + 8) + row;
    }

    /* Begins the copies of rows `row0`.. and k `k0`.. below `k_end`. */
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
            const float *p;

            if (ALONG_K)
                p = IS_A ? map::a_at(g, from, map::a_row(g, row0 + across), fixed)
                         : map::b_at(g, from, map::b_row(g, row0 + across), fixed);
            else
                p = IS_A ? map::a_at(g, from, fixed,
                                     map::a_k(g, k0 + across, k0 + across < k_end))
                         : map::b_at(g, from, fixed,
                                     map::b_k(g, k0 + across, k0 + across < k_end));
            cp_async<4 * VECTOR>(tile + (ALONG_K ? at(across, along) : at(along, across)),
                                 p != NULL ? p : from, p != NULL);
        }
    }

    /* Four numbers of a row, from k on; k % 4 = 0. */
    static __device__ __forceinline__ float4 four(const float *tile, int row, int k)
    {
        if (ALONG_K) return *(const float4 *)(tile + at(row, k));
        float4 f = {tile[at(row, k)], tile[at(row, k + 1)], tile[at(row, k + 2)],
                    tile[at(row, k + 3)]};

        return f;
    }

    static __device__ __forceinline__ uint32_t word(const float *tile, int row, int k)
    {
        uint32_t word;

        memcpy(&word, tile + at(row, k), sizeof word);
        return word;
    }

    /* A lane's part of 16 rows x 8 k, as mma_tf32() wants A. */
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

    /* Of two times 8 rows x 8 k, as it wants two B. */
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

/* --- products of a step ---------------------------------------------------------------------- */

/* Thread (y, x) of 16 x 16, or of 8 x 16, has rows y, y + Y, ... and columns x, x + 16, ...:
 * float32 throughout. */
template <int TM, int TN, int THREADS> struct an_products_fp32 {
    enum { X = 16, Y = THREADS / X, RM = TM / Y, RN = TN / X };
    float sum[RM][RN];

    static __device__ __forceinline__ int row(int i)
    {
        return (int)threadIdx.x / X + i * Y;
    }
    static __device__ __forceinline__ int column(int j)
    {
        return (int)threadIdx.x % X + j * X;
    }

    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int i = 0; i < RM; i++)
#pragma unroll
            for (int j = 0; j < RN; j++) sum[i][j] = 0;
    }

    template <class TileA, class TileB>
    __device__ __forceinline__ void add(const float *a, const float *b, int depth)
    {
        for (int k = 0; k < depth; k += 4) {
            float4 left[RM];

#pragma unroll
            for (int i = 0; i < RM; i++) left[i] = TileA::four(a, row(i), k);
#pragma unroll
            for (int j = 0; j < RN; j++) {
                float4 right = TileB::four(b, column(j), k);

#pragma unroll
                for (int i = 0; i < RM; i++) {
                    float s = sum[i][j];

                    s += left[i].x * right.x; /* contracted: fma */
                    s += left[i].y * right.y;
                    s += left[i].z * right.z;
                    sum[i][j] = s + left[i].w * right.w;
                }
            }
        }
    }

    template <class Store> __device__ __forceinline__ void store(const Store &to) const
    {
#pragma unroll
        for (int i = 0; i < RM; i++)
#pragma unroll
            for (int j = 0; j < RN; j++) to(row(i), column(j), sum[i][j]);
    }
};

/* Tensor cores, factors rounded to TF32. A warp has WM x WN numbers. */
template <int TM, int TN, int THREADS> struct an_products_tf32 {
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

    template <class TileA, class TileB>
    __device__ __forceinline__ void add(const float *a, const float *b, int depth)
    {
        for (int k = 0; k < depth; k += 16) {
            uint32_t right[J / 2][2][4];

#pragma unroll
            for (int j = 0; j < J / 2; j++)
#pragma unroll
                for (int h = 0; h < 2; h++)
                    TileB::b_parts(b, first_column() + j * 16, k + h * 8, right[j][h]);
#pragma unroll
            for (int i = 0; i < I; i++) {
                uint32_t left[2][4];

#pragma unroll
                for (int h = 0; h < 2; h++)
                    TileA::a_part(a, first_row() + i * 16, k + h * 8, left[h]);
                multiply(i, left, right);
            }
        }
    }

    __device__ __forceinline__ void multiply(int i, uint32_t left[2][4],
                                             const uint32_t right[J / 2][2][4])
    {
#pragma unroll
        for (int h = 0; h < 2; h++) {
#pragma unroll
            for (int e = 0; e < 4; e++) left[h][e] = to_tf32(left[h][e]);
#pragma unroll
            for (int j = 0; j < J; j++) {
                uint32_t other[2];

#pragma unroll
                for (int e = 0; e < 2; e++)
                    other[e] = to_tf32(right[j / 2][h][j % 2 * 2 + e]);
                mma_tf32(sum[i][j], left[h], other);
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

/* --- the kernel -------------------------------------------------------------------------------- */

/* Where a block's numbers go. */
template <an_product PRODUCT> struct an_store {
    const an_gemm &g;
    uint32_t row0, column0, group;
    float *part; /* null: where they belong; else sums of one part of k, dense [m][n] */

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
            update_at(g, g.step->update[g.part.index], value, at);
            return;
        }
        ((float *)g.c)[at] =
            finished<float>(g.finish, value, m, group * columns_of<PRODUCT>(g) + n, at);
    }
};

/* Grid: tiles of m, tiles of n, groups x splits. Two blocks share a multiprocessor, but those
 * that copy number by number need more registers. */
template <an_product PRODUCT, int TM, int TN, int THREADS, int VECTOR, class Products>
static __global__ void __launch_bounds__(THREADS, VECTOR == 4 ? 2 : 1)
    gemm_kernel(an_gemm g)
{
    typedef an_map<PRODUCT> map;
    typedef an_tile<TM, map::A_ALONG_K> tile_a;
    typedef an_tile<TN, map::B_ALONG_K> tile_b;
    enum { STAGE = tile_a::NUMBERS + tile_b::NUMBERS };
    float *tiles = (float *)shared_memory();
    uint32_t group = blockIdx.z / g.splits, split = blockIdx.z - group * g.splits;
    uint32_t m0 = blockIdx.x * TM, n0 = blockIdx.y * TN, k0 = split * g.split_k;
    uint32_t k_end = k0 + g.split_k < g.k ? k0 + g.split_k : g.k;
    int steps = k_end > k0 ? (int)((k_end - k0 + DEPTH - 1) / DEPTH) : 0;
    const float *a =
        (const float *)g.a + group * (PRODUCT == AN_FORWARD ? g.in_maps : g.out_maps);
    const float *b = (const float *)g.b +
                     group * (PRODUCT == AN_WEIGHTS ? g.in_maps : g.out_maps * g.w_pitch);
    Products products;

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
        /* Step s has arrived for all threads, and all have done with step s - 1, whose place
         * the next load takes. */
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
        products.template add<tile_a, tile_b>(tile, tile + tile_a::NUMBERS,
                                              left < DEPTH ? (int)((left + 15) / 16 * 16)
                                                           : (int)DEPTH);
    }

    an_store<PRODUCT> store = {g, m0, n0, group, NULL};

    if (g.parts != NULL)
        store.part = g.parts + (size_t)(split * g.groups + group) * g.m * g.n;
    products.store(store);
}

/* --- launching ---------------------------------------------------------------------------------- */

template <an_product PRODUCT, int TM, int TN> static size_t shared_bytes()
{
    typedef an_map<PRODUCT> map;

    return STAGES *
           (an_tile<TM, map::A_ALONG_K>::NUMBERS + an_tile<TN, map::B_ALONG_K>::NUMBERS) *
           sizeof(float);
}

/* Large tiles where there is much to do, small ones where a side is short (a dense layer's
 * batch), or a block cannot have the memory. Both have Products<TM, TN, THREADS>. */
template <an_product PRODUCT, int TM, int TN, int THREADS, int VECTOR, class Products>
static an_status gemm_launch(an_queue *q, const an_gemm *g)
{
    const size_t bytes = shared_bytes<PRODUCT, TM, TN>();
    void (*kernel)(an_gemm) = gemm_kernel<PRODUCT, TM, TN, THREADS, VECTOR, Products>;
    dim3 grid((g->m + TM - 1) / TM, (g->n + TN - 1) / TN, g->groups * g->splits);

    AN_CUDA_TRY(an__cuda_check(
        q->device,
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             (int)bytes),
        "a product's shared memory"));
    return an__cuda_launch(q, kernel, grid, dim3(THREADS), bytes, *g,
                           product_name(PRODUCT));
}

template <an_product PRODUCT, template <int, int, int> class Products>
static an_status gemm_tiles(an_queue *q, const an_gemm *g)
{
    /* 16-byte copies: each lies within one tap, and begins at a multiple of 16 bytes. */
    bool in = g->in_maps % 4 == 0 && g->in_pitch % 4 == 0 && g->w_pitch % 4 == 0 &&
              g->in_image % 4 == 0;
    bool out = g->out_maps % 4 == 0 && g->out_pitch % 4 == 0 && g->out_image % 4 == 0;
    bool vector = in && (PRODUCT == AN_FORWARD || out);

    if (g->m <= 64 || g->n <= 64 ||
        shared_bytes<PRODUCT, 128, 128>() > q->device->shared_bytes)
        return vector ? gemm_launch<PRODUCT, 32, 64, 128, 4, Products<32, 64, 128>>(q, g)
                      : gemm_launch<PRODUCT, 32, 64, 128, 1, Products<32, 64, 128>>(q, g);
    return vector ? gemm_launch<PRODUCT, 128, 128, 256, 4, Products<128, 128, 256>>(q, g)
                  : gemm_launch<PRODUCT, 128, 128, 256, 1, Products<128, 128, 256>>(q, g);
}

template <template <int, int, int> class Products>
static an_status gemm_product(an_queue *q, an_product product, const an_gemm *g)
{
    switch (product) {
    case AN_FORWARD: return gemm_tiles<AN_FORWARD, Products>(q, g);
    case AN_DATA: return gemm_tiles<AN_DATA, Products>(q, g);
    default: return gemm_tiles<AN_WEIGHTS, Products>(q, g);
    }
}

#endif
