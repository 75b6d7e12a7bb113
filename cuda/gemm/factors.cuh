/*
 * factors.cuh - the factors of wgmma.cuh's product: their tiles in shared memory, as rows
 * of 128 bytes with pieces of 16 swapped by row (mma.h, wgmma_descriptor()), and how the
 * threads of a block load them, a step of k at a time.
 *
 * A tile is begun once, which computes what does not change from step to step, and then
 * loads the steps in their order. VECTOR copies 16 bytes at a time, which by_eight()
 * allows; else elements are gathered one by one.
 */
#ifndef AN_CUDA_FACTORS_CUH
#define AN_CUDA_FACTORS_CUH

#include "gemm/map.h"
#include "runtime/ptx.h"

enum { ROWS = 128, THREADS = 256, ROW_BYTES = 128 };

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

#endif
