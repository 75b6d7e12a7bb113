/*
 * philox.h - the library's generator (lib/base/rng.c) on the device, as dropout uses it:
 * a mask that is a function of seed, iteration, layer and position.
 */
#ifndef AN_CUDA_PHILOX_H
#define AN_CUDA_PHILOX_H

#include "runtime/device.h"

/* lib/base/base.h's AN_STREAM_DROPOUT; test/operations/test_ops.c compares with the
 * reference. */
#define STREAM_DROPOUT 0x100u

/* One word of Philox 4x32-10 (lib/base/rng.c). */
static __device__ __forceinline__ uint32_t philox(uint64_t seed, uint32_t c0, uint32_t c1,
                                                  uint64_t high, uint32_t word)
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint32_t c2 = (uint32_t)high, c3 = (uint32_t)(high >> 32);

    for (int round = 0; round < 10; round++) {
        uint32_t high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        uint32_t high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;

        c0 = high1 ^ c1 ^ key0;
        c2 = high0 ^ c3 ^ key1;
        c1 = low1;
        c3 = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return word == 0 ? c0 : word == 1 ? c1 : word == 2 ? c2 : c3;
}

/* The factor, 0 or s.scale, of a unit of an image, which is counted in the host's
 * order. */
static __device__ __forceinline__ float dropout_factor(const an_dropout_shape &s,
                                                       const an_step *step,
                                                       uint64_t image, uint32_t unit)
{
    uint64_t position = (step->first + image) * s.total + s.first + unit;
    uint32_t word = philox(step->seed, (uint32_t)(position / 4), STREAM_DROPOUT + s.layer,
                           step->iteration, (uint32_t)(position % 4));

    return (float)(word >> 8) * (1 / 16777216.0f) >= s.rate ? s.scale : 0;
}

#endif
