/*
 * path.c - which of the CPU's backends the processor can run.
 */
#include <stddef.h>

#include "cpu.h"

#ifdef AN_VECTOR_PATHS
extern const an_backend an__avx2_backend,
    an__avx512_backend; /* vector/backend.c, twice */

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
