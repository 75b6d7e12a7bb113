/*
 * vector.h - a vector of floats as wide as the instructions that a file is compiled for.
 *
 * The files of this folder are compiled once for each set of instructions, with AN_ISA
 * its name (avx512, avx2): what they share with each other is named by V(), and what they
 * share with the rest of the library is one table, V(backend). The operators + - * work
 * on vectors.
 */
#ifndef AN_VECTOR_H
#define AN_VECTOR_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define AN_PASTE3(a, b, c) a##b##_##c
#define AN_PASTE(a, b, c) AN_PASTE3(a, b, c)
#define V(name) AN_PASTE(an__, AN_ISA, name)

#define AN_INLINE static inline __attribute__((always_inline))

/* VL: floats of a vector. ROWS: of a tile of sums that stays in registers, two vectors
 * wide, beside two vectors and one number that are multiplied. */
#if defined(__AVX512F__)
#define VL 16
#define ROWS 14
typedef __m512 vec;

AN_INLINE vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

AN_INLINE void vec_store(float *p, vec x)
{
    _mm512_storeu_ps(p, x);
}

AN_INLINE vec vec_set(float x)
{
    return _mm512_set1_ps(x);
}

/* a * b + c, rounded once */
AN_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* The second operand where one is a NaN. */
AN_INLINE vec vec_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}

/* y where a is b, else 0 */
AN_INLINE vec vec_where_equal(vec a, vec b, vec y)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), y);
}

/* a where it is a NaN */
AN_INLINE vec vec_keep_nan(vec a, vec b)
{
    return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), a);
}

/* 1 / sqrt(x): an estimate of 14 bits, one step of Newton's. Of infinity it is 0, which
 * the step would spoil. */
AN_INLINE vec vec_rsqrt(vec x)
{
    vec r = _mm512_rsqrt14_ps(x), half = vec_set(0.5f) * x * r;
    __mmask16 steps = _mm512_cmp_ps_mask(r, _mm512_setzero_ps(), _CMP_NEQ_UQ);

    return _mm512_mask_fmadd_ps(r, steps, vec_fma(-half, r, vec_set(0.5f)), r);
}

/* The first `count` numbers, below VL; what is not read is 0. */
AN_INLINE vec vec_load_first(const float *p, uint32_t count)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
}

AN_INLINE void vec_store_first(float *p, uint32_t count, vec x)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), x);
}

/* bfloat16 is the upper half of a float. */
AN_INLINE vec vec_load_bf16(const uint16_t *p)
{
    __m512i wide =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));

    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

typedef __mmask16 vec_lanes; /* some of a vector */

AN_INLINE vec_lanes lanes_between(uint32_t first, uint32_t end)
{
    return (__mmask16)(((1u << end) - 1) & ~((1u << first) - 1));
}

/* 0 where lanes are not named; nothing is read there. */
AN_INLINE vec vec_load_lanes(const float *p, vec_lanes lanes)
{
    return _mm512_maskz_loadu_ps(lanes, p);
}

AN_INLINE void vec_store_lanes(float *p, vec_lanes lanes, vec x)
{
    _mm512_mask_storeu_ps(p, lanes, x);
}

#elif defined(__AVX2__) && defined(__FMA__)
#define VL 8
#define ROWS 6
typedef __m256 vec;

AN_INLINE vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

AN_INLINE void vec_store(float *p, vec x)
{
    _mm256_storeu_ps(p, x);
}

AN_INLINE vec vec_set(float x)
{
    return _mm256_set1_ps(x);
}

AN_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

AN_INLINE vec vec_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}

AN_INLINE vec vec_where_equal(vec a, vec b, vec y)
{
    return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ), y);
}

AN_INLINE vec vec_keep_nan(vec a, vec b)
{
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}

/* Exact: the estimates of different makers' processors differ. */
AN_INLINE vec vec_rsqrt(vec x)
{
    return vec_set(1) / _mm256_sqrt_ps(x);
}

AN_INLINE __m256i vec_first(uint32_t count)
{
    const __m256i place = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), place);
}

AN_INLINE vec vec_load_first(const float *p, uint32_t count)
{
    return _mm256_maskload_ps(p, vec_first(count));
}

AN_INLINE void vec_store_first(float *p, uint32_t count, vec x)
{
    _mm256_maskstore_ps(p, vec_first(count), x);
}

AN_INLINE vec vec_load_bf16(const uint16_t *p)
{
    __m256i wide =
        _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));

    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

typedef __m256i vec_lanes;

AN_INLINE vec_lanes lanes_between(uint32_t first, uint32_t end)
{
    return _mm256_andnot_si256(vec_first(first), vec_first(end));
}

AN_INLINE vec vec_load_lanes(const float *p, vec_lanes lanes)
{
    return _mm256_maskload_ps(p, lanes);
}

AN_INLINE void vec_store_lanes(float *p, vec_lanes lanes, vec x)
{
    _mm256_maskstore_ps(p, lanes, x);
}
#endif

#define COLS (2 * VL) /* of a tile of sums */

#define STREAM 32u /* bytes that bytes_stream() copies */

/* Past the caches, to a place that is a multiple of STREAM. Sanitizers do not see what
 * such an instruction writes, and so get another. */
AN_INLINE void bytes_stream(uint8_t *to, const uint8_t *from)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    __builtin_memcpy(to, from, STREAM);
#else
    _mm256_stream_si256((__m256i *)(void *)to,
                        _mm256_loadu_si256((const __m256i *)(const void *)from));
#endif
}

/* Whoever sees what is written after this sees what was streamed before. */
AN_INLINE void stream_end(void)
{
    _mm_sfence();
}

AN_INLINE uint32_t at_most(uint32_t count, uint32_t limit)
{
    return count < limit ? count : limit;
}

/* How many pieces of `size` hold `count`. */
AN_INLINE uint32_t pieces(uint32_t count, uint32_t size)
{
    return (count + size - 1) / size;
}

AN_INLINE size_t round_up(size_t count, size_t to)
{
    return (count + to - 1) / to * to;
}

AN_INLINE size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* `count` numbers, or VL if that is less; what is not read is 0. */
AN_INLINE vec vec_load_part(const float *p, uint32_t count)
{
    return count >= VL ? vec_load(p) : vec_load_first(p, count);
}

AN_INLINE void vec_store_part(float *p, uint32_t count, vec x)
{
    if (count >= VL)
        vec_store(p, x);
    else
        vec_store_first(p, count, x);
}

/* x, loaded once into a register: compilers load it anew for each product else. */
AN_INLINE vec vec_once(vec x)
{
    __asm__("" : "+v"(x));
    return x;
}

/* The sum of all of x, in an order of its own. */
AN_INLINE float vec_sum(vec x)
{
    float part[VL];
    uint32_t width, i;

    vec_store(part, x);
    for (width = VL / 2; width > 0; width /= 2)
        for (i = 0; i < width; i++) part[i] += part[i + width];
    return part[0];
}

#endif
