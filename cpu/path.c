/*
 * path.c - which of the CPU's backends the processor can run.
 */
#include <stddef.h>

#include "cpu.h"

#ifdef AN_VECTOR_PATHS
/* vector/backend.c and vector/stream.c, twice */
extern const an_backend an__avx2_backend, an__avx512_backend;
void an__avx2_copy_rows(uint8_t *to, const uint8_t *from, size_t pitch, size_t bytes,
                        uint32_t rows);
void an__avx512_copy_rows(uint8_t *to, const uint8_t *from, size_t pitch, size_t bytes,
                          uint32_t rows);

an_copy_rows_fn an__cpu_copy_rows(const an_backend *cpu)
{
    if (cpu == &an__avx512_backend) return an__avx512_copy_rows;
    return cpu == &an__avx2_backend ? an__avx2_copy_rows : an__copy_rows;
}

static const an_backend *avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
               ? &an__avx2_backend
               : NULL;
}

static const an_backend *avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && avx2() != NULL
               ? &an__avx512_backend
               : NULL;
}
#else
an_copy_rows_fn an__cpu_copy_rows(const an_backend *cpu)
{
    (void)cpu;
    return an__copy_rows;
}

static const an_backend *avx2(void)
{
    return NULL;
}

static const an_backend *avx512(void)
{
    return NULL;
}
#endif

const an_backend *an__cpu_path(uint32_t path)
{
    const an_backend *best = avx512();

    switch (path) {
    case AN_CPU_PATH_REFERENCE: return &an__cpu_backend;
    case AN_CPU_PATH_AVX2: return avx2();
    case AN_CPU_PATH_AVX512: return best;
    default: break;
    }
    if (best == NULL) best = avx2();
    return best != NULL ? best : &an__cpu_backend;
}
