/*
 * wgmma.cuh - the kernel behind gemm.h for bfloat16 tensors, by wgmma or mma.sync, and
 * for forward products of TF32 by wgmma: tiles of 128 rows, 128 bytes of k at a time,
 * through shared memory.
 *
 * Both factors lie there as rows of 128 bytes, whose 16-byte pieces are swapped by row
 * (ptx.h, wgmma_descriptor()), along k or, if they are bfloat16, across it, as they are
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
#include "gemm/map.h"

enum { ROWS = 128, THREADS = 256, ROW_BYTES = 128, EIGHT = 8 };

/* --- factors ----------------------------------------------------------------------- */

/* A factor's rows and k, from its map's A or B. */
template <class T, an_product PRODUCT, bool IS_A> struct an_factor {
    typedef T number;
    typedef an_map<PRODUCT> map;
    enum { ALONG_K = IS_A ? map::A_ALONG_K : map::B_ALONG_K };

    static __device__ __forceinline__ an_place row(const an_gemm &g, uint32_t row)
    {
        return IS_A ? map::a_row(g, row) : map::b_row(g, row);
    }
    static __device__ __forceinline__ an_place k(const an_gemm &g, uint32_t k,
                                                 uint32_t k_end)
    {
        return IS_A ? map::a_k(g, k, k < k_end) : map::b_k(g, k, k < k_end);
    }
    static __device__ __forceinline__ bool at(const an_gemm &g, const an_place &row,
                                              const an_place &k, uint32_t *offset)
    {
        return IS_A ? map::a_at(g, row, k, offset) : map::b_at(g, row, k, offset);
    }
};

/* Its tile. N: rows of the factor. */
template <class Factor, int N, bool VECTOR> struct an_wgmma_tile {
    typedef typename Factor::number number;
    enum {
        PIECE = 16 / sizeof(number),
        DEPTH = ROW_BYTES / sizeof(number),
        ALONG_K = Factor::ALONG_K,
        BLOCK = DEPTH * ROW_BYTES, /* across: of 64 rows of the factor */
        BYTES = ALONG_K ? N * ROW_BYTES : (N + 63) / 64 * BLOCK,
        PIECES = ALONG_K ? DEPTH / PIECE : N / PIECE, /* beside each other in memory */
        LINES = ALONG_K ? N : DEPTH,
        UNITS = (PIECES * LINES + THREADS - 1) / THREADS /* of a thread */
    };

    static __device__ __forceinline__ char *piece(char *tile, int line, int piece)
    {
        int row = ALONG_K ? line : piece / 8 * DEPTH + line;

        return tile + row * ROW_BYTES + ((piece ^ line) & 7) * 16;
    }

    /* What does not change from step to step: the thread's rows, along k; across, its
     * only piece. */
    an_place fixed[ALONG_K ? UNITS : 1];
    uint32_t first; /* element of the group */

    /* k0: where loads begin. */
    __device__ __forceinline__ void begin(const an_gemm &g, uint32_t row0, uint32_t,
                                          uint32_t group)
    {
        first = group;
        if constexpr (ALONG_K) {
#pragma unroll
            for (int i = 0; i < UNITS; i++)
                fixed[i] =
                    Factor::row(g, row0 + threadIdx.x / PIECES + i * (THREADS / PIECES));
        } else if (THREADS % PIECES == 0) {
            fixed[0] = Factor::row(g, row0 + threadIdx.x % PIECES * PIECE);
        }
    }

    __device__ __forceinline__ void load(char *tile, const an_gemm &g, const number *from,
                                         uint32_t row0, uint32_t k0, uint32_t k_end) const
    {
        if constexpr (!VECTOR) {
            gather(tile, g, from, row0, k0, k_end);
        } else if constexpr (ALONG_K) {
            int mine = (int)threadIdx.x % PIECES, line = (int)threadIdx.x / PIECES;
            const an_place k = Factor::k(g, k0 + mine * PIECE, k_end);

#pragma unroll
            for (int i = 0; i < UNITS; i++, line += THREADS / PIECES)
                if (LINES % (THREADS / PIECES) == 0 || line < LINES)
                    copy(piece(tile, line, mine), g, from, fixed[i], k);
        } else {
#pragma unroll
            for (int i = 0; i < UNITS; i++) {
                int unit = (int)threadIdx.x + i * THREADS, line = unit / PIECES,
                    mine = unit % PIECES;

                if (PIECES * LINES % THREADS != 0 && line >= LINES) break;
                const an_place row = THREADS % PIECES == 0
                                         ? fixed[0]
                                         : Factor::row(g, row0 + mine * PIECE);

                copy(piece(tile, line, mine), g, from, row,
                     Factor::k(g, k0 + line, k_end));
            }
        }
    }

    __device__ __forceinline__ void copy(char *to, const an_gemm &g, const number *from,
                                         const an_place &row, const an_place &k) const
    {
        uint32_t at;
        bool ok = Factor::at(g, row, k, &at);

        cp_async<16>(to, from + (ok ? first + at : 0), ok);
    }

    __device__ __forceinline__ void gather(char *tile, const an_gemm &g,
                                           const number *from, uint32_t row0, uint32_t k0,
                                           uint32_t k_end) const
    {
        static_assert(sizeof(number) == 2, "pairs in words");

        for (int unit = (int)threadIdx.x; unit < PIECES * LINES; unit += THREADS) {
            int line = unit / PIECES, mine = unit % PIECES;
            uint32_t word[4] = {0, 0, 0, 0};

            for (int e = 0; e < PIECE; e++) {
                uint32_t r = row0 + (ALONG_K ? line : mine * PIECE + e);
                uint32_t k = k0 + (ALONG_K ? mine * PIECE + e : line);
                uint32_t at;

                if (Factor::at(g, Factor::row(g, r), Factor::k(g, k, k_end), &at))
                    word[e / 2] |= (uint32_t)from[first + at].bits << e % 2 * 16;
            }
            *(uint4 *)piece(tile, line, mine) = {word[0], word[1], word[2], word[3]};
        }
    }
};

/* FORWARD's A, windows along k. Where a row's window is, and which of its taps are within
 * the image, is computed once, and this thread's place along k advances from step to
 * step: so the main loop divides nothing. Loads go through k in its order. */
template <class Factor, int N> struct an_window_tile : an_wgmma_tile<Factor, N, true> {
    typedef an_wgmma_tile<Factor, N, true> lying;
    typedef typename Factor::number number;
    enum { PIECES = lying::PIECES, APART = THREADS / PIECES, UNITS = N / APART };
    static_assert(N % APART == 0 && APART % 8 == 0, "a thread's lines are swapped alike");

    uint32_t corner[UNITS]; /* of the window: may be before the image, modulo 2^32 */
    uint32_t seen[UNITS]; /* taps within the image, a bit each: none is beyond the last */
    uint32_t map, tap, column,
        offset; /* of the piece: offset in elements from a corner */

    __device__ __forceinline__ void begin(const an_gemm &g, uint32_t row0, uint32_t k0,
                                          uint32_t group)
    {
        uint32_t line = threadIdx.x / PIECES, mine = threadIdx.x % PIECES;
        an_place k = Factor::k(g, k0 + mine * lying::PIECE, UINT32_MAX);

#pragma unroll
        for (int i = 0; i < UNITS; i++) {
            an_place row = Factor::row(g, row0 + line + i * APART);

            corner[i] = group + row.image +
                        ((uint32_t)row.h * g.in_width + (uint32_t)row.w) * g.in_pitch;
            seen[i] = row.ok ? taps_seen(g, row) : 0;
        }
        map = k.step;
        column = (uint32_t)k.w;
        tap = (uint32_t)k.h * g.kernel + column;
        offset = ((uint32_t)k.h * g.in_width + column) * g.in_pitch + map;
    }

    __device__ __forceinline__ void load(char *tile, const an_gemm &g, const number *from,
                                         uint32_t, uint32_t, uint32_t)
    {
        char *to =
            lying::piece(tile, (int)threadIdx.x / PIECES, (int)threadIdx.x % PIECES);

#pragma unroll
        for (int i = 0; i < UNITS; i++) {
            bool ok = seen[i] >> tap & 1;

            cp_async<16>(to + i * APART * ROW_BYTES, from + (ok ? corner[i] + offset : 0),
                         ok);
        }
        map += lying::DEPTH;
        offset += lying::DEPTH;
        while (map >= g.in_maps) {
            map -= g.in_maps;
            offset += g.in_pitch - g.in_maps;
            tap++;
            if (++column < g.kernel) continue;
            column = 0;
            offset += (g.in_width - g.kernel) * g.in_pitch;
        }
    }
};

/* FORWARD's B, an output map's weights along k. */
template <class Factor, int N> struct an_line_tile : an_wgmma_tile<Factor, N, true> {
    typedef an_wgmma_tile<Factor, N, true> lying;
    typedef typename Factor::number number;
    enum { PIECES = lying::PIECES, APART = THREADS / PIECES, UNITS = lying::UNITS };
    static_assert(APART % 8 == 0, "a thread's lines are swapped alike");

    uint32_t line0, lines; /* where the thread's first line begins; how many it has */

    __device__ __forceinline__ void begin(const an_gemm &g, uint32_t row0, uint32_t,
                                          uint32_t group)
    {
        uint32_t line = threadIdx.x / PIECES, row = row0 + line;
        uint32_t end = g.n - row0 < N ? g.n - row0 : N; /* row0 is below n */

        line0 = group + row * g.w_pitch + threadIdx.x % PIECES * lying::PIECE;
        lines = line < end ? (end - line + APART - 1) / APART : 0;
    }

    __device__ __forceinline__ void load(char *tile, const an_gemm &g, const number *from,
                                         uint32_t, uint32_t k0, uint32_t k_end)
    {
        char *to =
            lying::piece(tile, (int)threadIdx.x / PIECES, (int)threadIdx.x % PIECES);
        uint32_t k = k0 + threadIdx.x % PIECES * lying::PIECE;
        uint32_t there = k < k_end ? lines : 0;

#pragma unroll
        for (int i = 0; i < UNITS; i++) {
            bool ok = (uint32_t)i < there;

            if (N % APART == 0 || (int)threadIdx.x / PIECES + i * APART < N)
                cp_async<16>(to + i * APART * ROW_BYTES,
                             from + (ok ? line0 + k0 + i * APART * g.w_pitch : 0), ok);
        }
    }
};

/* --- products ---------------------------------------------------------------------- */

/* Elements of the tile in shared memory: rows of C, or of C^T; the pitches keep the
 * stores of a warp in different banks. */
template <int N, bool TURNED> struct an_staged {
    enum {
        PITCH = TURNED ? ROWS + 4 : N + 8,
        BYTES = (TURNED ? N : ROWS) * PITCH * (int)sizeof(float)
    };

    static __device__ __forceinline__ void put(float *stage, int row, int column, float a,
                                               float b)
    {
        if (TURNED) {
            stage[column * PITCH + row] = a;
            stage[(column + 1) * PITCH + row] = b;
        } else {
            stage[row * PITCH + column] = a;
            stage[row * PITCH + column + 1] = b;
        }
    }
};

/* By wgmma: a warpgroup has 64 rows. */
template <int N> struct an_warpgroup_sums {
    enum { ASYNC = 1 };
    float sum[N / 2];

    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int i = 0; i < N / 2; i++) sum[i] = 0;
    }

    __device__ __forceinline__ void wait_all() const
    {
        wgmma_wait<0>();
    }

    template <class Staged> __device__ __forceinline__ void stage(float *to) const
    {
        int row = (int)threadIdx.x / 32 * 16 + (int)threadIdx.x % 32 / 4;
        int column = (int)threadIdx.x % 4 * 2;

#pragma unroll
        for (int j = 0; j < N / 8; j++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                Staged::put(to, row + h * 8, j * 8 + column, sum[j * 4 + h * 2],
                            sum[j * 4 + h * 2 + 1]);
    }
};

/* Products of bfloat16, both factors from shared memory. */
template <class TileA, class TileB, int N>
struct an_products_wgmma : an_warpgroup_sums<N> {
    enum {
        OVERLAPS = 1, /* a step's products are in flight when the next one begins */
        A_ACROSS = !TileA::ALONG_K,
        B_ACROSS = !TileB::ALONG_K,
        /* They lie in blocks of 64, of which a product reads whole ones. */
        WHOLE = B_ACROSS && N > 64 ? N / 64 * 64 : N,
        REST = N - WHOLE
    };

    __device__ __forceinline__ void begin(const char *a, const char *b)
    {
        float *sum = this->sum;
        int half = same_in_warp((int)threadIdx.x / 128); /* of the rows */
        uint64_t left0 =
            wgmma_descriptor(a + half * (A_ACROSS ? (int)TileA::BLOCK : 64 * ROW_BYTES),
                             A_ACROSS ? TileA::BLOCK : 16);
        uint64_t right0 = wgmma_descriptor(b, B_ACROSS ? TileB::BLOCK : 16);

        wgmma_fence();
#pragma unroll
        for (int k = 0; k < TileA::DEPTH / 16; k++) {
            uint64_t left = wgmma_further(left0, k * (A_ACROSS ? 16 * ROW_BYTES : 32));
            uint64_t right = wgmma_further(right0, k * (B_ACROSS ? 16 * ROW_BYTES : 32));

            wgmma_bf16<WHOLE, A_ACROSS, B_ACROSS>(sum, left, right);
            if constexpr (REST > 0)
                wgmma_bf16<REST, A_ACROSS, B_ACROSS>(
                    sum + WHOLE / 2, left,
                    wgmma_further(right, WHOLE / 64 * TileB::BLOCK));
        }
        wgmma_commit();
    }

    /* Waits for the step before; and, once the next loads are in flight, for this one. */
    __device__ __forceinline__ void wait_before() const
    {
        wgmma_wait<1>();
    }
    __device__ __forceinline__ void wait_own() const
    {
    }
};

/* Products of TF32, A from registers, which are in use until the products are done: those
 * of other warpgroups keep the multiprocessor busy while this one waits and fills them
 * again. */
template <class TileA, class TileB, int N>
struct an_products_wgmma_tf32 : an_warpgroup_sums<N> {
    enum { OVERLAPS = 0, PARTS = TileA::DEPTH / 8 };
    static_assert(TileA::ALONG_K && TileB::ALONG_K, "");
    uint32_t left[PARTS][4];

    __device__ __forceinline__ void begin(const char *a, const char *b)
    {
        int lane = (int)threadIdx.x % 32, row = (int)threadIdx.x / 32 * 16 + lane % 16;

#pragma unroll
        for (int k = 0; k < PARTS; k++) {
            ldmatrix4<false>(left[k],
                             TileA::piece(const_cast<char *>(a), row, k * 2 + lane / 16));
#pragma unroll
            for (int e = 0; e < 4; e++) left[k][e] = to_tf32(left[k][e]);
        }
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < PARTS; k++)
            wgmma_tf32<N>(this->sum, left[k], wgmma_descriptor(b + k * 32, 16));
        wgmma_commit();
    }

    __device__ __forceinline__ void wait_before() const
    {
    }
    __device__ __forceinline__ void wait_own() const
    {
        wgmma_wait<0>();
    }
};

/* By mma.sync, for what is no Hopper or has no pieces of 16 bytes: 2 x 4 warps. */
template <class TileA, class TileB, int N> struct an_products_mma_bf16 {
    enum { ASYNC = 0, OVERLAPS = 0, I = ROWS / 2 / 16, J = N / 4 / 8 };
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
        return (int)threadIdx.x / 32 % 2 * (ROWS / 2);
    }
    static __device__ __forceinline__ int first_column()
    {
        return (int)threadIdx.x / 64 * (N / 4);
    }

    /* Four blocks of 8 rows x 8 k: `rows_first`: two of rows before the other k. */
    template <class Tile>
    static __device__ __forceinline__ void part(const char *tile, int row, int k,
                                                bool rows_first, uint32_t r[4])
    {
        int lane = (int)threadIdx.x % 32, one = lane / 8 % 2, two = lane / 16;
        int other_row = rows_first ? one : two, other_k = rows_first ? two : one;
        char *at = const_cast<char *>(tile);

        row += other_row * 8;
        k += other_k * 8;
        if (Tile::ALONG_K)
            ldmatrix4<false>(r, Tile::piece(at, row + lane % 8, k / Tile::PIECE));
        else
            ldmatrix4<true>(r, Tile::piece(at, k + lane % 8, row / Tile::PIECE));
    }

    __device__ __forceinline__ void begin(const char *a, const char *b)
    {
#pragma unroll
        for (int k = 0; k < TileA::DEPTH; k += 16) {
            uint32_t right[J / 2][4];

#pragma unroll
            for (int j = 0; j < J / 2; j++)
                part<TileB>(b, first_column() + j * 16, k, false, right[j]);
#pragma unroll
            for (int i = 0; i < I; i++) {
                uint32_t left[4];

                part<TileA>(a, first_row() + i * 16, k, true, left);
#pragma unroll
                for (int j = 0; j < J; j++)
                    mma_bf16(sum[i][j], left, &right[j / 2][j % 2 * 2]);
            }
        }
    }

    __device__ __forceinline__ void wait_before() const
    {
    }
    __device__ __forceinline__ void wait_own() const
    {
    }
    __device__ __forceinline__ void wait_all() const
    {
    }

    template <class Staged> __device__ __forceinline__ void stage(float *to) const
    {
        int lane = (int)threadIdx.x % 32;

#pragma unroll
        for (int i = 0; i < I; i++)
#pragma unroll
            for (int j = 0; j < J; j++)
#pragma unroll
                for (int h = 0; h < 2; h++)
                    Staged::put(to, first_row() + i * 16 + lane / 4 + h * 8,
                                first_column() + j * 8 + lane % 4 * 2, sum[i][j][h * 2],
                                sum[i][j][h * 2 + 1]);
    }
};

/* --- the kernel -------------------------------------------------------------------- */

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
