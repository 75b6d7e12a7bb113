/*
 * ptx.h - instructions for which CUDA C++ has no words, each beside a host version of
 * itself, which does what we take the PTX manual (ISA 7.0 and later) to say and is used
 * by test/cuda-host alone: shared memory, cp.async, roundings, maxima and roots. mma.h
 * has those that multiply, tma.h those that copy tensors.
 */
#ifndef AN_CUDA_PTX_H
#define AN_CUDA_PTX_H

#include <cuda_runtime.h>
#include <stdint.h>

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

/* --- a warp ------------------------------------------------------------------------ */

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

#endif
