/*
 * products.h - probes of mma.sync and wgmma, alone and in the backend's loop.
 *
 * One factor is codes, numbers that are exact and all different, the other ones and zeros
 * that pick them: so a number in a wrong place says where it was taken from.
 */
#ifndef AN_CARD_PRODUCTS_H
#define AN_CARD_PRODUCTS_H

#include "harness.h"
#include "kernels.cuh"

/* --- matrices ---------------------------------------------------------------------- */

static uint32_t bits_of(float value)
{
    uint32_t word;

    memcpy(&word, &value, sizeof word);
    return word;
}

static float float_of(uint32_t word)
{
    float value;

    memcpy(&value, &word, sizeof value);
    return value;
}

/* A number as bfloat16 or TF32 has it. */
static void put(an_bf16 &to, float value)
{
    to.bits = (uint16_t)(bits_of(value) >> 16);
}
static void put(an_tf32 &to, float value)
{
    to.bits = bits_of(value);
}
static float get(const an_bf16 &of)
{
    return float_of((uint32_t)of.bits << 16);
}
static float get(const an_tf32 &of)
{
    return float_of(of.bits);
}

/* All different, of eight bits or fewer, none 0: 64 to 256 numbers of each exponent. */
static float code(int row, int k, int depth)
{
    return float_of((0x2000u + (uint32_t)(row * depth + k)) << 16);
}

static int code_depth; /* of those that as_code() reads */

static void as_code(char *text, size_t size, uint32_t word)
{
    uint32_t index = (word >> 16) - 0x2000u;

    if ((word & 0xffff) == 0 && index < 0x4000u)
        snprintf(text, size, "the code of row %u k %u", index / (uint32_t)code_depth,
                 index % (uint32_t)code_depth);
    else
        as_float(text, size, word);
}

/* --- mma.sync ---------------------------------------------------------------------- */

/* Codes times ones, and C's codes added: 128 * (the factor's place) + (C's place). */
template <class Number, int K>
static void ask_mma(void (*kernel)(Matrices), bool codes_are_a)
{
    Numbers<Number> a(16 * K), b(8 * K);
    Numbers<uint32_t> c(16 * 8);

    /* Of ones in b's eight columns, two rounds are needed for sixteen k. */
    for (int first = 0; first < (codes_are_a ? K : 8); first += 8) {
        Vector want(16 * 8);

        for (int i = 0; i < 16 * K; i++)
            put(a[i], codes_are_a ? (float)i * 128 : i / K % K == i % K ? 1.0f : 0.0f);
        for (int i = 0; i < 8 * K; i++)
            put(b[i],
                codes_are_a ? (i % K == i / K + first ? 1.0f : 0.0f) : (float)i * 128);
        for (int i = 0; i < 16 * 8; i++) {
            int row = i / 8, n = i % 8;
            float sum = (float)i;

            for (int k = 0; k < K; k++) sum += get(a[row * K + k]) * get(b[n * K + k]);
            want[i] = bits_of(sum);
            c[i] = bits_of((float)i);
        }
        c.up();
        launch(kernel, 1, 32, 0, Matrices{a.up(), b.up(), (float *)c.there, 1});
        c.down();
        if (!same(c.host, want, 8, as_float)) return;
    }
}

static void ask_mma_tf32_a()
{
    ask_mma<an_tf32, 8>(mma_tf32_kernel, true);
}
static void ask_mma_tf32_b()
{
    ask_mma<an_tf32, 8>(mma_tf32_kernel, false);
}
static void ask_mma_bf16_a()
{
    ask_mma<an_bf16, 16>(mma_bf16_kernel, true);
}
static void ask_mma_bf16_b()
{
    ask_mma<an_bf16, 16>(mma_bf16_kernel, false);
}

/* What becomes of a factor's last 13 bits, times 1: 1 + 0x1fff parts of 2^23. */
static const char *fate(uint32_t word)
{
    return word == 0x3f800000   ? "dropped"
           : word == 0x3f802000 ? "rounded"
           : word == 0x3f801fff ? "kept"
                                : "something else";
}

template <int M, int N>
static void ask_low_bits(void (*kernel)(Matrices), int threads, size_t shared)
{
    uint32_t of[2];

    for (int which = 0; which < 2; which++) {
        Numbers<an_tf32> a(M * 8), b(N * 8);
        Numbers<uint32_t> c(M * N);

        for (int i = 0; i < M * 8; i++)
            a[i].bits = i % 8 != 0 ? 0 : which == 0 ? 0x3f801fff : 0x3f800000;
        for (int i = 0; i < N * 8; i++)
            b[i].bits = i % 8 != 0 ? 0 : which == 1 ? 0x3f801fff : 0x3f800000;
        c.up();
        launch(kernel, 1, threads, shared, Matrices{a.up(), b.up(), (float *)c.there, 1});
        c.down();
        of[which] = c[0];
        for (uint32_t word : c.host)
            if (word != c[0]) of[which] = 0;
    }
    say("fact", "the last 13 bits of A are %s (%08x), of B %s (%08x)", fate(of[0]), of[0],
        fate(of[1]), of[1]);
}

static void ask_mma_tf32_low_bits()
{
    ask_low_bits<16, 8>(mma_tf32_kernel, 32, 0);
}

/* How a sum is rounded: rows of 1 and three quarters of its last bit, and rows of -2 and
 * a quarter of the last bit below it. */
static void ask_mma_tf32_sums()
{
    Numbers<an_tf32> a(16 * 8), b(8 * 8);
    Numbers<uint32_t> c(16 * 8);

    for (int i = 0; i < 16 * 8; i++) {
        put(a[i], i % 8 != 0 ? 0 : i < 64 ? 0.75f : 0.25f);
        c[i] = bits_of(i < 64 ? 1.0f : -2.0f);
    }
    for (int i = 0; i < 8 * 8; i++) put(b[i], i % 8 == 0 ? ldexpf(1, -23) : 0);
    c.up();
    launch(mma_tf32_kernel, 1, 32, 0, Matrices{a.up(), b.up(), (float *)c.there, 1});
    c.down();
    say("fact",
        "1 + 0.75 * 2^-23 is %08x (towards zero 3f800000, nearest 3f800001), -2 + 0.25 * "
        "2^-23 is %08x (towards zero bfffffff, nearest c0000000)",
        c[0], c[64]);
}

/* --- wgmma ------------------------------------------------------------------------- */

/* One factor is codes, the other ones where k is its row, so that C is the codes again:
 * rows (or columns, where the codes are B's) of C are k, modulo the depth. Is false if it
 * has said FAIL. */
template <class Number, bool A_ALONG, bool B_ALONG, int N,
          template <class, class, int> class Products>
static bool places(bool codes_are_a)
{
    typedef Tiles<Number, A_ALONG, B_ALONG, N> tiles;
    enum { DEEP = tiles::A::DEPTH };
    Numbers<Number> a(ROWS * DEEP), b(N * DEEP);
    Numbers<uint32_t> c(ROWS * N);
    Vector want(ROWS * N);

    code_depth = DEEP;
    for (int first = 0; first < DEEP; first += codes_are_a ? N : DEEP) {
        for (int i = 0; i < ROWS * DEEP; i++) {
            int row = i / DEEP, k = i % DEEP;

            put(a[i], codes_are_a ? code(row, k, DEEP) : row % DEEP == k ? 1.0f : 0.0f);
        }
        for (int i = 0; i < N * DEEP; i++) {
            int n = i / DEEP, k = i % DEEP;

            put(b[i], !codes_are_a              ? code(n, k, DEEP)
                      : (n + first) % DEEP == k ? 1.0f
                                                : 0.0f);
        }
        for (int i = 0; i < ROWS * N; i++) {
            int row = i / N, n = i % N;

            want[i] = bits_of(codes_are_a ? code(row, (n + first) % DEEP, DEEP)
                                          : code(n, row % DEEP, DEEP));
        }
        launch(wgmma_tile_kernel<Number, A_ALONG, B_ALONG, N, Products>, 1, THREADS,
               tiles::BYTES, Matrices{a.up(), b.up(), (float *)c.there, 1});
        c.down();
        if (!same(c.host, want, N, as_code)) return false;
    }
    return true;
}

template <bool A_ALONG, bool B_ALONG, int N, bool CODES_ARE_A>
static void ask_wgmma_bf16()
{
    places<an_bf16, A_ALONG, B_ALONG, N, an_products_wgmma>(CODES_ARE_A);
}

template <int N, bool CODES_ARE_A> static void ask_wgmma_tf32()
{
    places<an_tf32, true, true, N, an_products_wgmma_tf32>(CODES_ARE_A);
}

static void ask_wgmma_whole()
{
    places<an_bf16, true, false, 96, Whole>(false);
}

static void ask_wgmma_tf32_low_bits()
{
    ask_low_bits<64, 48>(wgmma_tf32_bits_kernel, 128,
                         (size_t)Tiles<an_tf32, true, true, 48>::BYTES);
}

/* --- the loop ---------------------------------------------------------------------- */

#ifdef __CUDACC__
enum { LOOP_M = 4096, LOOP_COLUMNS = 4096, LOOP_K = 4096 };

/* Microseconds, when it has been done often enough for the clocks to have risen. */
template <class Launch> static float time_of(Launch what)
{
    enum { WARM = 10, TIMES = 20 };
    cudaEvent_t begin, end;
    float ms = 0;

    must(cudaEventCreateWithFlags(&begin, 0), "an event");
    must(cudaEventCreateWithFlags(&end, 0), "an event");
    for (int i = 0; i < WARM; i++) what();
    must(cudaEventRecord(begin, stream), "an event");
    for (int i = 0; i < TIMES; i++) what();
    must(cudaEventRecord(end, stream), "an event");
    must(cudaEventSynchronize(end), "an event");
    must(cudaEventElapsedTime(&ms, begin, end), "an event");
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    return ms * 1000 / TIMES;
}
#else
enum { LOOP_M = 256, LOOP_COLUMNS = 128, LOOP_K = 448 };
#endif

static float loop_code(uint32_t n, uint32_t k)
{
    return float_of((0x2000u + (n * 131 + k * 7) % 0x3fffu) << 16);
}

static uint32_t loop_k(uint32_t row)
{
    return (row * 37 + 11) % LOOP_K;
}

/* Of a row of A one number is 1. */
template <bool ALONG, bool FENCE> static void ask_loop()
{
    typedef Loop<ALONG> loop;
    Numbers<an_bf16> a((size_t)LOOP_M * LOOP_K), b((size_t)LOOP_COLUMNS * LOOP_K);
    Numbers<float> c((size_t)LOOP_M * LOOP_COLUMNS);
    void (*kernel)(an_gemm) = loop_kernel<ALONG, FENCE>;
    dim3 grid(LOOP_M / ROWS, LOOP_COLUMNS / LOOP_N);
    size_t wrong = 0, first = 0;
    an_gemm g = {};

    for (uint32_t row = 0; row < LOOP_M; row++) {
        uint32_t k = loop_k(row);

        put(a[ALONG ? (size_t)row * LOOP_K + k : (size_t)k * LOOP_M + row], 1);
    }
    for (uint32_t n = 0; n < LOOP_COLUMNS; n++)
        for (uint32_t k = 0; k < LOOP_K; k++)
            put(b[ALONG ? (size_t)n * LOOP_K + k : (size_t)k * LOOP_COLUMNS + n],
                loop_code(n, k));
    g.m = LOOP_M, g.n = LOOP_COLUMNS, g.k = LOOP_K;
    g.a = a.up(), g.b = b.up(), g.c = c.there;
    launch(kernel, grid, THREADS, loop::BYTES, g);
    c.down();
    for (size_t i = 0; i < c.host.size(); i++)
        if (c[i] != loop_code(i % LOOP_COLUMNS, loop_k(i / LOOP_COLUMNS)) && wrong++ == 0)
            first = i;
    if (wrong > 0)
        say(FENCE ? "FAIL" : "fact",
            "row %zu column %zu: got %.9g expected %.9g; %zu of %zu wrong",
            first / LOOP_COLUMNS, first % LOOP_COLUMNS, (double)c[first],
            (double)loop_code(first % LOOP_COLUMNS, loop_k(first / LOOP_COLUMNS)), wrong,
            c.host.size());
#ifdef __CUDACC__
    /* Nearly all of A is 0, which takes less power, so clocks may be above a product's in
     * earnest. */
    float us = time_of([&] { launch(kernel, grid, THREADS, loop::BYTES, g); });

    say(wrong > 0 || !FENCE ? "fact" : "pass",
        "%s, %.1f us for %d x %d x %d, %.0f TFLOP/s (A is sparse)",
        wrong > 0 ? "wrong" : "right", (double)us, LOOP_M, LOOP_COLUMNS, LOOP_K,
        2.0 * LOOP_M * LOOP_COLUMNS * LOOP_K / ((double)us * 1e6));
#endif
}

#endif
