/*
 * ptx.h - instructions for which CUDA C++ has no words, each beside a host version of
 * itself, which does what we take the PTX manual (ISA 7.0 and later) to say and is used
 * by test/cuda-host alone.
 */
#ifndef AN_CUDA_PTX_H
#define AN_CUDA_PTX_H

#include <cuda_runtime.h>
#include <stdint.h>

/* What describes a tensor to the copies at the end of this file: CUDA's CUtensorMap. */
struct alignas(64) an_tensor_map {
    uint64_t words[16];
};

/* --- a kernel's dynamic shared memory ---------------------------------------------- */

#ifdef __CUDACC__
static __device__ __forceinline__ void *shared_memory()
{
    extern __shared__ __align__(1024) unsigned char an_shared[]; /* as swizzles want it */
    return an_shared;
}
static __device__ __forceinline__ uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}
#else
static inline void *shared_memory()
{
    return host_run::shared();
}
static inline uint32_t shared_address(const void *p)
{
    return (uint32_t)((const char *)p - (const char *)host_run::shared());
}
#endif

/* --- cp.async: global to shared memory, BYTES 4 or 16, aligned to that; zeros if !ok  */

template <int BYTES>
static __device__ __forceinline__ void cp_async(void *to, const void *from, bool ok)
{
#ifdef __CUDACC__
    uint32_t address = shared_address(to);
    int bytes = ok ? BYTES : 0;

    if (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(address),
                     "l"(from), "r"(bytes));
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(address),
                     "l"(from), "r"(bytes));
#else
    host_run::copy_begin(to, from, BYTES, !ok);
#endif
}

static __device__ __forceinline__ void cp_async_commit()
{
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;\n" ::);
#else
    host_run::copy_commit();
#endif
}

/* Waits until no more than PENDING of this thread's groups are in flight. */
template <int PENDING> static __device__ __forceinline__ void cp_async_wait()
{
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group %0;\n" ::"n"(PENDING) : "memory");
#else
    host_run::copy_wait(PENDING);
#endif
}

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

/* --- float32 and their bits -------------------------------------------------------- */

static __device__ __forceinline__ float word_float(uint32_t word)
{
#ifdef __CUDACC__
    return __uint_as_float(word);
#else
    float value;

    memcpy(&value, &word, sizeof value);
    return value;
#endif
}

static __device__ __forceinline__ uint32_t float_word(float value)
{
#ifdef __CUDACC__
    return __float_as_uint(value);
#else
    uint32_t word;

    memcpy(&word, &value, sizeof word);
    return word;
#endif
}

/* --- roundings --------------------------------------------------------------------- */

/* To 10 bits behind the point; ties away from zero. */
static __device__ __forceinline__ uint32_t to_tf32(uint32_t word)
{
#ifdef __CUDACC__
    uint32_t rounded;

    asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(rounded) : "r"(word));
    return rounded;
#else
    if ((word & 0x7f800000u) == 0x7f800000u) return word;
    return (word + 0x1000u) & 0xffffe000u;
#endif
}

/* Two to bf16, ties to even: `low` in the lower half. */
static __device__ __forceinline__ uint32_t to_bf16x2(uint32_t low, uint32_t high)
{
#ifdef __CUDACC__
    uint32_t both;

    asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n"
        : "=r"(both)
        : "f"(__uint_as_float(high)), "f"(__uint_as_float(low)));
    return both;
#else
    const uint32_t word[2] = {low, high};
    uint32_t half[2];

    for (int i = 0; i < 2; i++)
        half[i] = (word[i] & 0x7fffffffu) > 0x7f800000u
                      ? 0x7fff
                      : (word[i] + 0x7fff + (word[i] >> 16 & 1)) >> 16;
    return half[0] | half[1] << 16;
#endif
}

/* --- maxima and comparisons, in words of one float32 or two bfloat16 --------------- */

/* The greater of two; of a NaN and a number, the NaN. */
static __device__ __forceinline__ float greater(float a, float b)
{
#ifdef __CUDACC__
    float c;

    asm("max.NaN.f32 %0, %1, %2;\n" : "=f"(c) : "f"(a), "f"(b));
    return c;
#else
    return a != a ? a : b != b ? b : a > b ? a : b;
#endif
}

static __device__ __forceinline__ uint32_t greater_bf16x2(uint32_t a, uint32_t b)
{
#ifdef __CUDACC__
    uint32_t c;

    asm("max.NaN.bf16x2 %0, %1, %2;\n" : "=r"(c) : "r"(a), "r"(b));
    return c;
#else
    return float_word(greater(word_float(a << 16), word_float(b << 16))) >> 16 |
           float_word(greater(word_float(a & 0xffff0000u), word_float(b & 0xffff0000u)));
#endif
}

/* Ones in the halves that are equal, zeros in the others. */
static __device__ __forceinline__ uint32_t equal_bf16x2(uint32_t a, uint32_t b)
{
#if defined __CUDA_ARCH__ && __CUDA_ARCH__ >= 900
    uint32_t c;

    asm("set.eq.u32.bf16x2 %0, %1, %2;\n" : "=r"(c) : "r"(a), "r"(b));
    return c;
#else
    return (word_float(a << 16) == word_float(b << 16) ? 0xffffu : 0) |
           (word_float(a & 0xffff0000u) == word_float(b & 0xffff0000u) ? 0xffff0000u : 0);
#endif
}

/* --- roots of what is normal, infinite or 0, to 22 bits ---------------------------- */

static __device__ __forceinline__ float root_near(float x)
{
#ifdef __CUDACC__
    float y;

    asm("sqrt.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
    return y;
#else
    return sqrtf(x);
#endif
}

static __device__ __forceinline__ float inverse_root_near(float x)
{
#ifdef __CUDACC__
    float y;

    asm("rsqrt.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
    return y;
#else
    return rsqrtf(x);
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

/* Tells the compiler that x is the same for all threads of a warp: there are registers
 * and instructions for such values. */
static __device__ __forceinline__ int same_in_warp(int x)
{
#ifdef __CUDACC__
    return __shfl_sync(0xffffffffu, x, 0);
#else
    return x;
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

/* --- mbarrier: a place in shared memory where threads and copies arrive ------------ */

/* An mbarrier counts, in each phase, the arrivals that it was made for and the bytes that
 * copies still owe it. A phase ends when both have come; the first has parity 0, the next
 * 1, and so on. */
typedef uint64_t an_mbarrier;

static __device__ __forceinline__ void mbarrier_init(an_mbarrier *b, uint32_t arrivals)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(b)),
                 "r"(arrivals)
                 : "memory");
#elif !defined(__CUDACC__)
    host_run::phase_init(b, arrivals);
#endif
}

/* Called before a barrier of the block, behind which copies and other threads may use
 * mbarriers that have been made. */
static __device__ __forceinline__ void mbarrier_fence_init()
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
#endif
}

static __device__ __forceinline__ void mbarrier_arrive(an_mbarrier *b)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(shared_address(b))
                 : "memory");
#elif !defined(__CUDACC__)
    host_run::phase_arrive(b, 0);
#endif
}

/* An arrival, which also says how many bytes copies will bring in this phase. */
static __device__ __forceinline__ void mbarrier_expect(an_mbarrier *b, uint32_t bytes)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(
                     shared_address(b)),
                 "r"(bytes)
                 : "memory");
#elif !defined(__CUDACC__)
    host_run::phase_arrive(b, bytes);
#endif
}

/* Waits until the phase of this parity has ended; the one before the first counts as of
 * parity 1. */
static __device__ __forceinline__ void mbarrier_wait(an_mbarrier *b, uint32_t parity)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    uint32_t ended;

    do
        asm volatile("{\n.reg .pred ended;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 ended, [%1], %2;\n"
                     "selp.b32 %0, 1, 0, ended;\n}\n"
                     : "=r"(ended)
                     : "r"(shared_address(b)), "r"(parity)
                     : "memory");
    while (!ended);
#elif !defined(__CUDACC__)
    host_run::phase_wait(b, parity);
#endif
}

/* --- copies by the tensor memory accelerator, which arrive at an mbarrier ---------- */

/* Both bring rows of 128 bytes, 64 bfloat16, to a multiple of 1024 bytes of shared
 * memory, where their 16-byte pieces are swapped as wgmma_descriptor() wants them. What
 * is beyond the tensor is 0, and its bytes count all the same. The maps (tensor_map.cu)
 * say how many rows a copy brings. */

/* Elements from `column` on, of rows from `row` on. */
static __device__ __forceinline__ void copy_rows(void *to, const an_tensor_map *map,
                                                 an_mbarrier *b, uint32_t column,
                                                 uint32_t row)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4}], [%2];\n" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(b)), "r"(column), "r"(row)
        : "memory");
#elif !defined(__CUDACC__)
    host_run::copy_rows(to, map, b, column, row);
#endif
}

/* The place of the upper left corner of a window. */
struct an_corner {
    int w, h;
    uint32_t image;
};

/* The pixels at a tap of windows from the one at `corner` on, row by row and image by
 * image: maps from `map0` on. */
static __device__ __forceinline__ void copy_windows(void *to, const an_tensor_map *map,
                                                    an_mbarrier *b, uint32_t map0,
                                                    const an_corner &corner,
                                                    uint32_t tap_w, uint32_t tap_h)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::"
        "bytes [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};\n" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(b)), "r"(map0), "r"(corner.w), "r"(corner.h),
        "r"(corner.image), "h"((uint16_t)tap_w), "h"((uint16_t)tap_h)
        : "memory");
#elif !defined(__CUDACC__)
    host_run::copy_windows(to, map, b, map0, corner.w, corner.h, corner.image, tap_w,
                           tap_h);
#endif
}

#endif
