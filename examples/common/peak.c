/*
 * peak.c - the machine's limits, measured. Arithmetic: independent chains of
 * multiply-adds that never leave the registers, as many as hide an instruction's latency.
 * Memory: a sum over more than caches hold, from a few places at once.
 */
#define _DEFAULT_SOURCE
#include "peak.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "progress.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum { ROUNDS = 4000000, CHAINS = 12 };

#define SPIN(name, target_text, vector, set, add_product, store, width)                  \
    __attribute__((target(target_text))) static double name(void)                        \
    {                                                                                    \
        vector a0 = set(1), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0;        \
        vector a7 = a0, a8 = a0, a9 = a0, a10 = a0, a11 = a0;                            \
        const vector x = set(0.999999f), y = set(1e-6f);                                 \
        float out[width];                                                                \
        long i;                                                                          \
                                                                                         \
        for (i = 0; i < ROUNDS; i++) {                                                   \
            a0 = add_product(a0, x, y), a1 = add_product(a1, x, y);                      \
            a2 = add_product(a2, x, y), a3 = add_product(a3, x, y);                      \
            a4 = add_product(a4, x, y), a5 = add_product(a5, x, y);                      \
            a6 = add_product(a6, x, y), a7 = add_product(a7, x, y);                      \
            a8 = add_product(a8, x, y), a9 = add_product(a9, x, y);                      \
            a10 = add_product(a10, x, y), a11 = add_product(a11, x, y);                  \
            __asm__ volatile(""                                                          \
                             : "+x"(a0), "+x"(a1), "+x"(a2), "+x"(a3), "+x"(a4),         \
                               "+x"(a5), "+x"(a6), "+x"(a7), "+x"(a8), "+x"(a9),         \
                               "+x"(a10), "+x"(a11));                                    \
        }                                                                                \
        store(out, a0);                                                                  \
        return (double)ROUNDS * CHAINS * width * 2 + (out[0] > 2 ? 1 : 0);               \
    }

SPIN(spin_avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_storeu_ps,
     16)
SPIN(spin_avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_storeu_ps, 8)

static void *spin(void *arg)
{
    double (*kernel)(void) = *(double (**)(void))arg;

    return kernel() > 0 ? NULL : arg;
}

static double one_run(unsigned threads, double (*kernel)(void), double flops)
{
    pthread_t thread[256];
    double started = seconds_now();
    unsigned i;

    for (i = 1; i < threads; i++)
        if (pthread_create(&thread[i], NULL, spin, &kernel) != 0) threads = i;
    kernel();
    for (i = 1; i < threads; i++) pthread_join(thread[i], NULL);
    return threads * flops / (seconds_now() - started) * 1e-9;
}

double peak_gflops(unsigned threads, const char **name)
{
    double (*kernel)(void) = NULL;
    double best = 0, flops;
    int run;

    if (__builtin_cpu_supports("avx512f")) {
        kernel = spin_avx512;
        *name = "AVX-512";
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        kernel = spin_avx2;
        *name = "AVX2";
    } else {
        return 0;
    }
    flops = kernel();
    for (run = 0; run < 9; run++) {
        double rate = one_run(threads, kernel, flops);

        if (rate > best) best = rate;
    }
    return best;
}
#else
double peak_gflops(unsigned threads, const char **name)
{
    (void)threads;
    *name = "unknown";
    return 0;
}
#endif

/* --- memory ------------------------------------------------------------------------ */

enum { BYTES = 256 << 20, HUGE_PAGE = 2 << 20, STREAMS = 4 };

typedef struct reading {
    const uint64_t *from;
    size_t count; /* of each stream */
    uint64_t sum; /* so that it must be read */
} reading;

static void *read_all(void *arg)
{
    reading *r = arg;
    uint64_t sum[STREAMS] = {0};
    size_t i, j;

    for (i = 0; i < r->count; i += 8)
        for (j = 0; j < 8; j++) {
            sum[0] += r->from[i + j];
            sum[1] += r->from[r->count + i + j];
            sum[2] += r->from[2 * r->count + i + j];
            sum[3] += r->from[3 * r->count + i + j];
        }
    r->sum = sum[0] + sum[1] + sum[2] + sum[3];
    return NULL;
}

double peak_gigabytes(unsigned threads)
{
    size_t words = BYTES / sizeof(uint64_t), each = words / threads / STREAMS / 8 * 8;
    uint64_t *memory;
    void *block;
    pthread_t thread[256];
    reading part[256];
    double best = 0;
    unsigned i;
    int run;

    if (posix_memalign(&block, HUGE_PAGE, BYTES) != 0) return 0;
    madvise(block, BYTES, MADV_HUGEPAGE);
    memory = memset(block, 1, BYTES);
    for (run = 0; run < 6; run++) {
        double started = seconds_now(), rate;

        for (i = 0; i < threads; i++) {
            part[i].from = memory + i * each * STREAMS;
            part[i].count = each;
            if (i > 0 && pthread_create(&thread[i], NULL, read_all, &part[i]) != 0)
                threads = i;
        }
        read_all(&part[0]);
        for (i = 1; i < threads; i++) pthread_join(thread[i], NULL);
        rate = (double)(threads * each * STREAMS * sizeof *memory) /
               (seconds_now() - started) * 1e-9;
        if (rate > best) best = rate;
    }
    free(memory);
    return best;
}
