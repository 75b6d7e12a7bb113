/*
 * mma.h - instructions that multiply matrices, and load what they multiply: ldmatrix,
 * mma.sync and, on Hopper, wgmma. Each stands beside a host version of itself, as in
 * ptx.h.
 */
#ifndef AN_CUDA_MMA_H
#define AN_CUDA_MMA_H

#include "runtime/ptx.h"

/* --- ldmatrix: four blocks of 8 rows of 16 bytes ----------------------------------- */

/* Lane l gives the address of row l % 8 of block l / 8, and gets of block b, in r[b],
 * word l % 4 of row l / 4. TURNED: rows are eight elements of two bytes, and a lane gets
 * of block b elements l / 4 of row l % 4 * 2 and of the next. */
template <bool TURNED>
static __device__ __forceinline__ void ldmatrix4(uint32_t r[4], const void *row)
{
#ifdef __CUDACC__
    if (TURNED)
        asm volatile(
            "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
            : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
            : "r"(shared_address(row)));
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(shared_address(row)));
#else
    host_run::Lanes &lanes = host_run::lanes();
    unsigned lane = host_run::lane();

    if ((uintptr_t)row % 16 != 0 || !host_run::in_shared(row, 16))
        host_run::fault("ldmatrix of what is no row of shared memory");
    /* Read by this lane, so that TSan sees it. */
    memcpy(lanes.in[lane], row, 16);
    if (TURNED)
        host_run::converge([](host_run::Lanes &l) HOST_RUN_QUIET {
            for (unsigned i = 0; i < 32; i++)
                for (unsigned b = 0; b < 4; b++) {
                    const uint16_t *low = (const uint16_t *)l.in[b * 8 + i % 4 * 2];
                    const uint16_t *high = (const uint16_t *)l.in[b * 8 + i % 4 * 2 + 1];

                    l.out[i][b] = low[i / 4] | (uint32_t)high[i / 4] << 16;
                }
        });
    else
        host_run::converge([](host_run::Lanes &l) HOST_RUN_QUIET {
            for (unsigned i = 0; i < 32; i++)
                for (unsigned b = 0; b < 4; b++) l.out[i][b] = l.in[b * 8 + i / 4][i % 4];
        });
    memcpy(r, lanes.out[lane], 16);
#endif
}

/* --- mma.sync: c += a * b, with c 16 x 8 ------------------------------------------- */

#ifndef __CUDACC__
/* Each lane's c from whole matrices. With row = lane / 4 and column = lane % 4, c has
 * rows row and row + 8, columns 2 * column and 2 * column + 1. in: a, b, then c. */
template <int K>
HOST_RUN_QUIET void mma_all(host_run::Lanes &l, const float (&a)[16][K],
                            const float (&b)[K][8], int c_word)
{
    for (unsigned i = 0; i < 32; i++)
        for (unsigned e = 0; e < 4; e++) {
            unsigned row = i / 4 + e / 2 * 8, column = i % 4 * 2 + e % 2;
            double sum = 0;
            float c;

            for (int k = 0; k < K; k++) sum += (double)a[row][k] * (double)b[k][column];
            memcpy(&c, &l.in[i][c_word + (int)e], sizeof c);
            c = host_run::towards_zero(sum + (double)c);
            memcpy(&l.out[i][e], &c, sizeof c);
        }
}
#endif

/* a: 16 x 8. With row = lane / 4 and column = lane % 4 the lane's a has (row, column),
 * (row + 8, column), (row, column + 4), (row + 8, column + 4); its b, 8 x 8, (column,
 * row) and (column + 4, row). */
static __device__ __forceinline__ void mma_tf32(float c[4], const uint32_t a[4],
                                                const uint32_t b[2])
{
#ifdef __CUDACC__
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    host_run::Lanes &lanes = host_run::lanes();
    unsigned lane = host_run::lane();

    memcpy(&lanes.in[lane][0], a, 16);
    memcpy(&lanes.in[lane][4], b, 8);
    memcpy(&lanes.in[lane][6], c, 16);
    host_run::converge([](host_run::Lanes &l) HOST_RUN_QUIET {
        float left[16][8], right[8][8];

        for (unsigned i = 0; i < 32; i++) {
            for (unsigned e = 0; e < 4; e++)
                left[i / 4 + e % 2 * 8][i % 4 + e / 2 * 4] =
                    word_float(l.in[i][e] & 0xffffe000u);
            for (unsigned e = 0; e < 2; e++)
                right[i % 4 + e * 4][i / 4] = word_float(l.in[i][4 + e] & 0xffffe000u);
        }
        mma_all(l, left, right, 6);
    });
    memcpy(c, lanes.out[lane], 16);
#endif
}

/* a: 16 x 16. The lane's four words of a are pairs: (row, 2 column), (row + 8, 2 column),
 * (row, 2 column + 8), (row + 8, 2 column + 8), each with its right neighbour in the
 * upper half; those of b, 16 x 8, (2 column, row), (2 column + 8, row), each with the one
 * below. */
static __device__ __forceinline__ void mma_bf16(float c[4], const uint32_t a[4],
                                                const uint32_t b[2])
{
#ifdef __CUDACC__
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    host_run::Lanes &lanes = host_run::lanes();
    unsigned lane = host_run::lane();

    memcpy(&lanes.in[lane][0], a, 16);
    memcpy(&lanes.in[lane][4], b, 8);
    memcpy(&lanes.in[lane][6], c, 16);
    host_run::converge([](host_run::Lanes &l) HOST_RUN_QUIET {
        float left[16][16], right[16][8];

        for (unsigned i = 0; i < 32; i++)
            for (unsigned e = 0; e < 6; e++)
                for (unsigned half = 0; half < 2; half++) {
                    float value =
                        word_float(half ? l.in[i][e] & 0xffff0000u : l.in[i][e] << 16);
                    unsigned pair = i % 4 * 2 + half;

                    if (e < 4)
                        left[i / 4 + e % 2 * 8][pair + e / 2 * 8] = value;
                    else
                        right[pair + (e - 4) * 8][i / 4] = value;
                }
        mma_all(l, left, right, 6);
    });
    memcpy(c, lanes.out[lane], 16);
#endif
}

/* --- wgmma: products of a warpgroup, 128 threads, from shared memory --------------- */

/* Whether code is compiled for a device that has them. */
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || !defined(__CUDACC__)
#define AN_HAS_WGMMA 1
#else
#define AN_HAS_WGMMA 0
#endif

/* wgmma reads its factors through another proxy than threads write them: a thread that
 * has written calls this before a barrier, and the products begin behind it. */
static __device__ __forceinline__ void fence_proxy_async()
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
#elif !defined(__CUDACC__)
    host_run::proxy_fence();
#endif
}

/* Describes a factor that lies in rows of 128 bytes whose 16-byte pieces are swapped as p
 * ^ row % 8, from a multiple of 1024 bytes on. Along k: a row is 64 k of one m (or n), 8
 * rows make 1024 bytes. Across: a row is 64 m of one k, 8 rows likewise, and `block`
 * bytes lie between one 64 m and the next. (PTX: matrix descriptor; swizzle mode 1 is
 * that of 128 bytes.) */
static __device__ __forceinline__ uint64_t wgmma_descriptor(const void *p, uint32_t block)
{
    return (uint64_t)((shared_address(p) & 0x3ffff) >> 4) | (uint64_t)(block >> 4) << 16 |
           (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

/* The same factor, `bytes` further on. The address does not run over into the next
 * field. */
static __device__ __forceinline__ uint64_t wgmma_further(uint64_t factor, uint32_t bytes)
{
    return (factor & 0xffffffff00000000) | ((uint32_t)factor + (bytes >> 4));
}

static __device__ __forceinline__ void wgmma_fence()
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
#endif
}

static __device__ __forceinline__ void wgmma_commit()
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
#elif !defined(__CUDACC__)
    host_run::wgmma_commit();
#endif
}

/* Waits until no more than PENDING groups are in flight. */
template <int PENDING> static __device__ __forceinline__ void wgmma_wait()
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(PENDING) : "memory");
#elif !defined(__CUDACC__)
    host_run::wgmma_wait(PENDING);
#endif
}

/* The instruction for 64 x N elements: the operands that are registers of d, and the
 * numbers of the operands behind them. */
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define AN_D8(i)                                                                         \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]),          \
        "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define AN_D16(i) AN_D8(i), AN_D8(i + 8)
#define AN_D32(i) AN_D16(i), AN_D16(i + 16)
#define AN_R16 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define AN_R24 AN_R16 ",%16,%17,%18,%19,%20,%21,%22,%23"
#define AN_R32 AN_R24 ",%24,%25,%26,%27,%28,%29,%30,%31"
#define AN_R48 AN_R32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define AN_R64 AN_R48 ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define AN_R96                                                                           \
    AN_R64 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,"   \
           "%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define AN_WGMMA_OF(N, WGMMA)                                                            \
    if (N == 32)                                                                         \
        WGMMA("32", AN_R16, "%16", "%17", "%18", "%19", "%20", AN_D16(0));               \
    else if (N == 48)                                                                    \
        WGMMA("48", AN_R24, "%24", "%25", "%26", "%27", "%28", AN_D16(0), AN_D8(16));    \
    else if (N == 64)                                                                    \
        WGMMA("64", AN_R32, "%32", "%33", "%34", "%35", "%36", AN_D32(0));               \
    else if (N == 96)                                                                    \
        WGMMA("96", AN_R48, "%48", "%49", "%50", "%51", "%52", AN_D32(0), AN_D16(32));   \
    else if (N == 128)                                                                   \
        WGMMA("128", AN_R64, "%64", "%65", "%66", "%67", "%68", AN_D32(0), AN_D32(32));  \
    else                                                                                 \
        WGMMA("192", AN_R96, "%96", "%97", "%98", "%99", "%100", AN_D32(0), AN_D32(32),  \
              AN_D32(64))
#define AN_WGMMA_BF16(n, registers, p, q, r, s, t, ...)                                  \
    asm volatile("{\n.reg .pred add;\nsetp.eq.b32 add, 0, 0;\n"                          \
                 "wgmma.mma_async.sync.aligned.m64n" n "k16.f32.bf16.bf16 {" registers   \
                 "}, " p ", " q ", add, 1, 1, " r ", " s ";\n}\n"                        \
                 : __VA_ARGS__                                                           \
                 : "l"(a), "l"(b), "n"(A_ACROSS), "n"(B_ACROSS))
#define AN_WGMMA_TF32(n, registers, p, q, r, s, t, ...)                                  \
    asm volatile("{\n.reg .pred add;\nsetp.eq.b32 add, 0, 0;\n"                          \
                 "wgmma.mma_async.sync.aligned.m64n" n "k8.f32.tf32.tf32 {" registers    \
                 "}, {" p ", " q ", " r ", " s "}, " t ", add, 1, 1;\n}\n"               \
                 : __VA_ARGS__                                                           \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
#endif

/* d += a * b of 64 x N x 16 bfloat16. Register i of a thread has row 16 * warp + lane / 4
 * + 8 * (i / 2 % 2) and column i / 4 * 8 + lane % 4 * 2 + i % 2. A_ACROSS, B_ACROSS: see
 * above. */
template <int N, int A_ACROSS, int B_ACROSS>
static __device__ __forceinline__ void wgmma_bf16(float *d, uint64_t a, uint64_t b)
{
    static_assert(N == 32 || N == 48 || N == 64 || N == 96 || N == 128 || N == 192, "");
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    AN_WGMMA_OF(N, AN_WGMMA_BF16);
#elif !defined(__CUDACC__)
    host_run::wgmma_begin(d, N, a, b, A_ACROSS, B_ACROSS);
#endif
}

/* The same of 64 x N x 8 TF32, b along k; of a, a warp has its 16 rows in registers as
 * mma_tf32() wants them, which stay as they are until the product has been waited for. */
template <int N>
static __device__ __forceinline__ void wgmma_tf32(float *d, const uint32_t *a, uint64_t b)
{
    static_assert(N == 48 || N == 64 || N == 96 || N == 128 || N == 192, "");
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    AN_WGMMA_OF(N, AN_WGMMA_TF32);
#elif !defined(__CUDACC__)
    host_run::wgmma_begin_tf32(d, N, a, b);
#endif
}

#endif
