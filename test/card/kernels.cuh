/*
 * kernels.cuh - the kernels of the probes: each brings numbers to an instruction of
 * cuda/runtime (ptx.h, mma.h, tma.h) and takes them from it, with the layouts of the
 * backend's own kernels, and computes nothing else.
 */
#ifndef AN_CARD_KERNELS_CUH
#define AN_CARD_KERNELS_CUH

#include "gemm/gemm.cuh"
#include "gemm/pipeline.h"
#include "gemm/wgmma.cuh"

struct Words {
    const uint32_t *from;
    uint32_t *to;
};

enum { GUARD = 0x5a5a5a5a };

/* --- cp.async ---------------------------------------------------------------------- */

enum { COPIES = 64 };

/* Each thread copies to every other place of BYTES, not its own; every third copies
 * zeros. All that lies there is shown. */
template <int BYTES> static __global__ void copy_kernel(Words w)
{
    enum { WORDS = BYTES / 4 };
    uint32_t *place = (uint32_t *)shared_memory();
    int thread = (int)threadIdx.x;

    for (int i = thread; i < COPIES * 2 * WORDS; i += COPIES) place[i] = GUARD;
    __syncthreads();
    cp_async<BYTES>(place + (thread ^ 5) * 2 * WORDS, w.from + thread * WORDS,
                    thread % 3 != 0);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    for (int i = thread; i < COPIES * 2 * WORDS; i += COPIES) w.to[i] = place[i];
}

/* Three groups, each read by who copied it as soon as it has been waited for. */
static __global__ void groups_kernel(Words w)
{
    uint32_t *mine = (uint32_t *)shared_memory() + threadIdx.x * 4;
    int thread = (int)threadIdx.x;

#pragma unroll
    for (int i = 0; i < 3; i++) {
        cp_async<16>(mine + i * COPIES * 4, w.from + (i * COPIES + thread) * 4, true);
        cp_async_commit();
    }
    cp_async_wait<2>();
    w.to[thread] = mine[1];
    cp_async_wait<1>();
    w.to[COPIES + thread] = mine[COPIES * 4 + 1];
    cp_async_wait<0>();
    w.to[2 * COPIES + thread] = mine[2 * COPIES * 4 + 1];
}

/* --- ldmatrix ---------------------------------------------------------------------- */

/* A lane's row, so that no two neighbours are. */
static __device__ __host__ inline int row_of_lane(int lane)
{
    return (lane * 5 + 3) % 32;
}

/* 32 rows of eight 16-bit numbers. */
template <bool TURNED> static __global__ void ldmatrix_kernel(Words w)
{
    uint32_t *place = (uint32_t *)shared_memory();
    int lane = (int)threadIdx.x;
    uint32_t r[4];

    for (int i = 0; i < 4; i++) place[i * 32 + lane] = w.from[i * 32 + lane];
    __syncthreads();
    ldmatrix4<TURNED>(r, place + row_of_lane(lane) * 4);
    for (int i = 0; i < 4; i++) w.to[lane * 4 + i] = r[i];
}

/* As the float32 kernels read both factors: 32 rows x 32 k; to: 32 lanes x (A's 4, B's
 * 4). */
enum { PART_ROW = 16, PART_K = 8 };

template <bool ALONG> static __global__ void float_parts_kernel(Words w)
{
    typedef an_tile<32, ALONG> tile;
    float *place = (float *)shared_memory();
    int lane = (int)threadIdx.x;
    uint32_t r[8];

    for (int i = lane; i < 32 * 32; i += 32)
        place[tile::at(i / 32, i % 32)] = word_float(w.from[i]);
    __syncthreads();
    tile::a_part(place, PART_ROW, PART_K, r);
    tile::b_parts(place, PART_ROW, PART_K, r + 4);
    for (int i = 0; i < 8; i++) w.to[lane * 8 + i] = r[i];
}

/* --- the tiles of factors.cuh ------------------------------------------------------ */

/* A matrix of rows x k: as [row][k] or, across, [k][row]. IS_A: it has g.m rows, else
 * g.n. */
template <class Number, bool ALONG, bool IS_A> struct Dense {
    typedef Number number;
    enum { ALONG_K = ALONG };

    static __device__ __forceinline__ an_place row(const an_gemm &g, uint32_t row)
    {
        return {0, 0, ALONG ? row * g.k : row, 0, row < (IS_A ? g.m : g.n)};
    }
    static __device__ __forceinline__ an_place k(const an_gemm &g, uint32_t k,
                                                 uint32_t k_end)
    {
        return {0, 0, ALONG ? k : k * (IS_A ? g.m : g.n), 0, k < k_end};
    }
    static __device__ __forceinline__ bool at(const an_gemm &, const an_place &row,
                                              const an_place &k, uint32_t *offset)
    {
        *offset = row.step + k.step;
        return row.ok && k.ok;
    }
};

/* A product of 128 x N with as many k as a row of 128 bytes has. */
template <class Number, bool A_ALONG, bool B_ALONG, int N> struct Tiles {
    typedef an_wgmma_tile<Dense<Number, A_ALONG, true>, ROWS, true> A;
    typedef an_wgmma_tile<Dense<Number, B_ALONG, false>, N, true> B;
    typedef an_staged<N, false> Staged;
    enum {
        STAGE = (int)A::BYTES + (int)B::BYTES,
        BYTES = (int)STAGE > (int)Staged::BYTES ? (int)STAGE : (int)Staged::BYTES
    };
};

/* From [row][k], by ordinary stores, to where pieces belong. */
template <class Tile, int N, class Number>
static __device__ __forceinline__ void fill(char *tile, const Number *from)
{
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < N * Tile::DEPTH; i += (int)blockDim.x) {
        int row = i / Tile::DEPTH, k = i % Tile::DEPTH;
        int line = Tile::ALONG_K ? row : k, along = Tile::ALONG_K ? k : row;

        ((Number *)Tile::piece(tile, line, along / Tile::PIECE))[along % Tile::PIECE] =
            from[i];
    }
}

/* As mma.sync's fragments of bfloat16 numbers are read: to: 32 lanes x (A's 4, B's 4). */
template <bool ALONG> static __global__ void bf16_parts_kernel(Words w)
{
    typedef Tiles<an_bf16, ALONG, ALONG, 128> tiles;
    typedef an_products_mma_bf16<typename tiles::A, typename tiles::B, 128> products;
    char *place = (char *)shared_memory();
    uint32_t r[8];

    fill<typename tiles::A, ROWS>(place, (const an_bf16 *)w.from);
    __syncthreads();
    products::template part<typename tiles::A>(place, PART_ROW, PART_K * 2, true, r);
    products::template part<typename tiles::A>(place, PART_ROW, PART_K * 2, false, r + 4);
    for (int i = 0; i < 8; i++) w.to[threadIdx.x * 8 + i] = r[i];
}

/* --- roundings --------------------------------------------------------------------- */

static __global__ void to_tf32_kernel(Words w)
{
    w.to[threadIdx.x] = to_tf32(w.from[threadIdx.x]);
}

/* Each with the word of the other end of its block. */
static __global__ void to_bf16x2_kernel(Words w)
{
    w.to[threadIdx.x] =
        to_bf16x2(w.from[threadIdx.x], w.from[blockDim.x - 1 - threadIdx.x]);
}

/* --- mma.sync ---------------------------------------------------------------------- */

struct Matrices {
    const void *a; /* [row][k] */
    const void *b; /* [n][k] */
    float *c;      /* [row][n] */
    int rounds; /* of wgmma: 1, which the compiler is not to know, so that it is a loop */
};

/* A warp's 16 x 8, with the fragments as mma.h has them. */
static __global__ void mma_tf32_kernel(Matrices m)
{
    int lane = (int)threadIdx.x, row = lane / 4, column = lane % 4;
    const uint32_t *left = (const uint32_t *)m.a, *right = (const uint32_t *)m.b;
    uint32_t a[4], b[2];
    float c[4];

    for (int e = 0; e < 4; e++) {
        a[e] = left[(row + e % 2 * 8) * 8 + column + e / 2 * 4];
        c[e] = m.c[(row + e / 2 * 8) * 8 + column * 2 + e % 2];
    }
    for (int e = 0; e < 2; e++) b[e] = right[row * 8 + column + e * 4];
    mma_tf32(c, a, b);
    for (int e = 0; e < 4; e++) m.c[(row + e / 2 * 8) * 8 + column * 2 + e % 2] = c[e];
}

static __global__ void mma_bf16_kernel(Matrices m)
{
    int lane = (int)threadIdx.x, row = lane / 4, column = lane % 4;
    const uint32_t *left = (const uint32_t *)m.a, *right = (const uint32_t *)m.b;
    uint32_t a[4], b[2];
    float c[4];

    for (int e = 0; e < 4; e++) {
        a[e] = left[(row + e % 2 * 8) * 8 + column + e / 2 * 4]; /* pairs along k */
        c[e] = m.c[(row + e / 2 * 8) * 8 + column * 2 + e % 2];
    }
    for (int e = 0; e < 2; e++) b[e] = right[row * 8 + column + e * 4];
    mma_bf16(c, a, b);
    for (int e = 0; e < 4; e++) m.c[(row + e / 2 * 8) * 8 + column * 2 + e % 2] = c[e];
}

/* --- wgmma ------------------------------------------------------------------------- */

/* What no tile has a number for is a NaN, so that to read it shows. */
template <class T> static __device__ __forceinline__ void spoil()
{
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < T::BYTES / 4; i += (int)blockDim.x)
        ((uint32_t *)shared_memory())[i] = 0xffffffffu;
    __syncthreads();
}

/* By the backend's own sums, whose begin() has all steps of k within a row. */
template <class Number, bool A_ALONG, bool B_ALONG, int N,
          template <class, class, int> class Products>
static __global__ void __launch_bounds__(THREADS) wgmma_tile_kernel(Matrices m)
{
#if AN_HAS_WGMMA
    typedef Tiles<Number, A_ALONG, B_ALONG, N> tiles_of;
    Products<typename tiles_of::A, typename tiles_of::B, N> products;
    char *tiles = (char *)shared_memory();

    spoil<tiles_of>();
    fill<typename tiles_of::A, ROWS>(tiles, (const Number *)m.a);
    fill<typename tiles_of::B, N>(tiles + tiles_of::A::BYTES, (const Number *)m.b);
    fence_proxy_async();
    __syncthreads();
    products.clear();
#pragma unroll 1
    for (int i = 0; i < m.rounds; i++) {
        products.begin(tiles, tiles + tiles_of::A::BYTES);
        products.wait_before();
        products.wait_own();
    }
    products.wait_all();
    __syncthreads();
    products.template stage<typename tiles_of::Staged>((float *)tiles);
    __syncthreads();
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < ROWS * N; i += THREADS)
        m.c[i] = ((const float *)tiles)[i / N * tiles_of::Staged::PITCH + i % N];
#endif
}

/* B across in one instruction though its last block of 64 is half a block: the backend
 * does without. */
template <class TileA, class TileB, int N> struct Whole : an_warpgroup_sums<N> {
    __device__ __forceinline__ void begin(const char *a, const char *b)
    {
        a += (int)threadIdx.x / 128 * (64 * ROW_BYTES);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < TileA::DEPTH / 16; k++)
            wgmma_bf16<N, 0, 1>(this->sum, wgmma_descriptor(a + k * 32, 16),
                                wgmma_descriptor(b + k * 16 * ROW_BYTES, TileB::BLOCK));
        wgmma_commit();
    }

    __device__ __forceinline__ void wait_before() const
    {
        wgmma_wait<1>();
    }
    __device__ __forceinline__ void wait_own() const
    {
    }
};

/* One step of 8 k, A's bits as they are: B along k, A a warp's fragments. c: [64][48]. */
static __global__ void __launch_bounds__(128) wgmma_tf32_bits_kernel(Matrices m)
{
#if AN_HAS_WGMMA
    typedef Tiles<an_tf32, true, true, 48> tiles_of;
    char *tiles = (char *)shared_memory();
    int lane = (int)threadIdx.x % 32, row = (int)threadIdx.x / 32 * 16 + lane / 4;
    an_warpgroup_sums<48> sums;
    uint32_t a[4];

    for (int e = 0; e < 4; e++)
        a[e] = ((const uint32_t *)m.a)[(row + e % 2 * 8) * 8 + lane % 4 + e / 2 * 4];
    fill<typename tiles_of::B, 48>(tiles, (const an_tf32 *)m.b);
    fence_proxy_async();
    __syncthreads();
    sums.clear();
    wgmma_fence();
    wgmma_tf32<48>(sums.sum, a, wgmma_descriptor(tiles, 16));
    wgmma_commit();
    sums.wait_all();
    __syncthreads();
    sums.template stage<typename tiles_of::Staged>((float *)tiles);
    __syncthreads();
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < 64 * 48; i += 128)
        m.c[i] = ((const float *)tiles)[i / 48 * tiles_of::Staged::PITCH + i % 48];
#endif
}

/* --- the loop ---------------------------------------------------------------------- */

enum { LOOP_N = 128, LOOP_STAGES = 3 };

template <bool ALONG> struct Loop : Tiles<an_bf16, ALONG, ALONG, LOOP_N> {
    typedef Tiles<an_bf16, ALONG, ALONG, LOOP_N> tiles;
    enum {
        TILES = (int)tiles::STAGE * LOOP_STAGES,
        BYTES = (int)TILES > (int)tiles::Staged::BYTES ? (int)TILES
                                                       : (int)tiles::Staged::BYTES
    };
};

/* wgmma.cuh's, with and without what makes copies visible to products; g: m, n, k, and a,
 * b, c of them, all whole tiles. */
template <bool ALONG, bool FENCE>
static __global__ void __launch_bounds__(THREADS, 2) loop_kernel(an_gemm g)
{
#if AN_HAS_WGMMA
    typedef Loop<ALONG> loop;
    typedef typename loop::tiles::A TileA;
    typedef typename loop::tiles::B TileB;
    char *tiles = (char *)shared_memory();
    uint32_t m0 = blockIdx.x * ROWS, n0 = blockIdx.y * LOOP_N;
    int steps = (int)g.k / TileA::DEPTH;
    const an_bf16 *left = (const an_bf16 *)g.a, *right = (const an_bf16 *)g.b;
    float *c = (float *)g.c;
    an_products_wgmma<TileA, TileB, LOOP_N> products;
    TileA tile_a;
    TileB tile_b;

    tile_a.begin(g, m0, 0, 0);
    tile_b.begin(g, n0, 0, 0);
    products.clear();
#pragma unroll
    for (int s = 0; s < LOOP_STAGES - 1; s++) {
        if (s < steps) {
            char *tile = tiles + s * loop::STAGE;

            tile_a.load(tile, g, left, m0, s * TileA::DEPTH, g.k);
            tile_b.load(tile + TileA::BYTES, g, right, n0, s * TileA::DEPTH, g.k);
        }
        cp_async_commit();
    }
    for (int s = 0; s < steps; s++) {
        const char *tile = tiles + s % LOOP_STAGES * loop::STAGE;

        cp_async_wait<LOOP_STAGES - 2>();
        if (FENCE) fence_proxy_async();
        __syncthreads();
        products.begin(tile, tile + TileA::BYTES);
        products.wait_before();
        __syncthreads();
        if (s + LOOP_STAGES - 1 < steps) {
            char *next = tiles + (s + LOOP_STAGES - 1) % LOOP_STAGES * loop::STAGE;
            uint32_t k = (uint32_t)(s + LOOP_STAGES - 1) * TileA::DEPTH;

            tile_a.load(next, g, left, m0, k, g.k);
            tile_b.load(next + TileA::BYTES, g, right, n0, k, g.k);
        }
        cp_async_commit();
    }
    products.wait_all();
    cp_async_wait<0>();
    __syncthreads();
    products.template stage<typename loop::Staged>((float *)tiles);
    __syncthreads();
    for (int i = (int)threadIdx.x; i < ROWS * LOOP_N; i += THREADS)
        c[(size_t)(m0 + i / LOOP_N) * g.n + n0 + i % LOOP_N] =
            ((const float *)tiles)[i / LOOP_N * loop::Staged::PITCH + i % LOOP_N];
#endif
}

/* --- the runtime ------------------------------------------------------------------- */

static __global__ void add_one_kernel(Words w)
{
    w.to[threadIdx.x] = w.from[threadIdx.x] + 1;
}

/* --- copies of tensors ------------------------------------------------------------- */

enum { BOX_ROWS = 48, COPIED_WORDS = (BOX_ROWS + 8) * 32, PHASES = 7 };

struct Copying {
    an_tensor_map map;
    uint32_t *to;
    uint32_t windows, number, tap_w, tap_h; /* windows: 0: rows, from corner.w on */
    an_corner corner;
};

/* One copy, and all that lies there then. */
static __global__ void tensor_kernel(const __grid_constant__ Copying c)
{
#if AN_HAS_WGMMA
    uint32_t *place = (uint32_t *)shared_memory();
    an_mbarrier *arrived = (an_mbarrier *)(place + COPIED_WORDS);

    for (int i = (int)threadIdx.x; i < COPIED_WORDS; i += (int)blockDim.x)
        place[i] = GUARD;
    fence_proxy_async();
    if (threadIdx.x == 0) {
        mbarrier_init(arrived, 1);
        mbarrier_fence_init();
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        mbarrier_expect(arrived, BOX_ROWS * 128);
        if (c.windows)
            copy_windows(place, &c.map, arrived, c.number, c.corner, c.tap_w, c.tap_h);
        else
            copy_rows(place, &c.map, arrived, c.number, (uint32_t)c.corner.w);
    }
    mbarrier_wait(arrived, 0);
    for (int i = (int)threadIdx.x; i < COPIED_WORDS; i += (int)blockDim.x)
        c.to[i] = place[i];
#endif
}

/* Two warps add up a box each phase, the one its even rows, the other its odd ones. */
static __global__ void phases_kernel(const __grid_constant__ Copying c)
{
#if AN_HAS_WGMMA
    char *stages = (char *)shared_memory();
    an_mbarrier *full = (an_mbarrier *)(stages + 2 * BOX_ROWS * 128), *empty = full + 2;
    uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;

    if (threadIdx.x == 0) {
        for (int i = 0; i < 2; i++) {
            mbarrier_init(full + i, 1);
            mbarrier_init(empty + i, 2 * 32);
        }
        mbarrier_fence_init();
    }
    __syncthreads();
    for (uint32_t i = 0; i < PHASES; i++) {
        uint32_t stage = i % 2, parity = i / 2 % 2;
        const char *box = stages + stage * BOX_ROWS * 128;

        if (warp == 2) {
            if (lane > 0) return;
            mbarrier_wait(empty + stage, parity ^ 1);
            mbarrier_expect(full + stage, BOX_ROWS * 128);
            copy_rows(const_cast<char *>(box), &c.map, full + stage, 0, i * BOX_ROWS);
            continue;
        }
        mbarrier_wait(full + stage, parity);
        float sum = 0; /* of whole numbers below 2^24 */
        for (uint32_t row = warp; row < BOX_ROWS; row += 2) {
            uint32_t word = ((const uint32_t *)(box + row * 128))[lane];

            sum += (float)((word & 0xffff) + (word >> 16));
        }
        mbarrier_arrive(empty + stage);
        for (int other = 1; other < 32; other *= 2)
            sum += __shfl_xor_sync(0xffffffffu, sum, other);
        if (lane == 0) c.to[i * 2 + warp] = (uint32_t)sum;
    }
#endif
}

#endif
