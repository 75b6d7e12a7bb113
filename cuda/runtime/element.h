/*
 * element.h - the elements that tensors consist of: float32 or bfloat16, moved one at a
 * time or, by 16 bytes for a thread, eight. All arithmetic is in float32.
 */
#ifndef AN_CUDA_ELEMENT_H
#define AN_CUDA_ELEMENT_H

#include "runtime/ptx.h"

struct an_bf16 {
    uint16_t bits;
};

/* A float32 with 10 bits behind the point. */
struct an_tf32 {
    uint32_t bits;
};

static __device__ __forceinline__ float get_element(const float *p)
{
    return *p;
}
static __device__ __forceinline__ float get_element(const an_bf16 *p)
{
    return word_float((uint32_t)p->bits << 16);
}
static __device__ __forceinline__ void put_element(float *p, float x)
{
    *p = x;
}
static __device__ __forceinline__ void put_element(an_tf32 *p, float x)
{
    p->bits = to_tf32(float_word(x));
}
static __device__ __forceinline__ void put_element(an_bf16 *p, float x)
{
    p->bits = (uint16_t)to_bf16x2(float_word(x), 0);
}

/* Words as they lie in memory, 8 or 16 bytes at a time, at a multiple of that. */
static __device__ __forceinline__ void get_words(const void *p, uint32_t (&word)[2])
{
    const uint2 both = *(const uint2 *)p;

    word[0] = both.x, word[1] = both.y;
}
template <int N>
static __device__ __forceinline__ void get_words(const void *p, uint32_t (&word)[N])
{
    static_assert(N % 4 == 0, "pieces of 16 bytes");
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        const uint4 all = ((const uint4 *)p)[i / 4];

        word[i] = all.x, word[i + 1] = all.y;
        word[i + 2] = all.z, word[i + 3] = all.w;
    }
}
static __device__ __forceinline__ void put_words(void *p, const uint32_t (&word)[2])
{
    *(uint2 *)p = {word[0], word[1]};
}
static __device__ __forceinline__ void put_words(void *p, const uint32_t (&word)[4])
{
    *(uint4 *)p = {word[0], word[1], word[2], word[3]};
}

/* The elements in such words. */
template <int V>
static __device__ __forceinline__ void unpack(const float *, const uint32_t (&word)[V],
                                              float (&v)[V])
{
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = word_float(word[i]);
}
template <int V>
static __device__ __forceinline__ void
unpack(const an_bf16 *, const uint32_t (&word)[V / 2], float (&v)[V])
{
#pragma unroll
    for (int i = 0; i < V / 2; i++) {
        v[2 * i] = word_float(word[i] << 16);
        v[2 * i + 1] = word_float(word[i] & 0xffff0000u);
    }
}

/* Eight elements, at a multiple of 16 bytes; or one, for maps that eight does not
 * divide. */
template <class T>
static __device__ __forceinline__ void get_elements(const T *p, float (&v)[8])
{
    uint32_t word[8 * sizeof(T) / 4];

    get_words(p, word);
    unpack(p, word, v);
}
static __device__ __forceinline__ void put_elements(float *p, const float (&v)[4])
{
    *(float4 *)p = {v[0], v[1], v[2], v[3]};
}
static __device__ __forceinline__ void put_elements(float *p, const float (&v)[8])
{
    ((float4 *)p)[0] = {v[0], v[1], v[2], v[3]};
    ((float4 *)p)[1] = {v[4], v[5], v[6], v[7]};
}
static __device__ __forceinline__ void put_elements(an_bf16 *p, const float (&v)[8])
{
    uint32_t word[4];

#pragma unroll
    for (int i = 0; i < 4; i++)
        word[i] = to_bf16x2(float_word(v[2 * i]), float_word(v[2 * i + 1]));
    *(uint4 *)p = {word[0], word[1], word[2], word[3]};
}
template <class T>
static __device__ __forceinline__ void get_elements(const T *p, float (&v)[1])
{
    v[0] = get_element(p);
}
template <class T>
static __device__ __forceinline__ void put_elements(T *p, const float (&v)[1])
{
    put_element(p, v[0]);
}

/* The same of what nobody writes while the kernel runs, so that loads may come before
 * stores. */
static __device__ __forceinline__ void read_eight(const float *p, float (&v)[8])
{
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = __ldg(p + i); /* at any multiple of 4 bytes */
}
static __device__ __forceinline__ void read_aligned(const float *p, float (&v)[8])
{
    const float4 low = __ldg((const float4 *)p), high = __ldg((const float4 *)p + 1);

    v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
    v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
}
static __device__ __forceinline__ void read_eight(const an_bf16 *p, float (&v)[8])
{
    const uint4 all = __ldg((const uint4 *)p);
    const uint32_t word[4] = {all.x, all.y, all.z, all.w};

    unpack(p, word, v);
}

#endif
