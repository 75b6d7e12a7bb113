/*
 * products.cuh - what a block of wgmma.cuh's kernel makes of two tiles in shared memory:
 * sums in registers, by wgmma or by mma.sync, and how they are laid out in shared memory
 * when all of k has been summed.
 *
 * All classes of products have the same members: clear(); for each step of k begin(),
 * wait_before() (the products of the step before are done) and wait_own() (those of this
 * step are); wait_all(); stage(), which writes the sums to shared memory as Staged lies
 * there. ASYNC: by wgmma. OVERLAPS: the products of a step may be in flight when those of
 * the next begin.
 */
#ifndef AN_CUDA_PRODUCTS_CUH
#define AN_CUDA_PRODUCTS_CUH

#include "gemm/factors.cuh"
#include "runtime/mma.h"

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

#endif
