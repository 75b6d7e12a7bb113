/*
 * rng.c - a counter-based random generator: every draw is a function of its place alone.
 *
 * Philox 4x32 with 10 rounds: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011, whose multipliers and key increments these are. A backend
 * that computes the mask of a dropout layer in another order, or in parallel, gets the
 * same one.
 */
#include "base/base.h"

void an__philox(uint64_t seed, const uint32_t counter[4], uint32_t out[4])
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    int round;

    for (round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ key0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ key1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void an__random4(uint64_t seed, uint32_t stream, uint64_t iteration, uint32_t block,
                 uint32_t out[4])
{
    uint32_t counter[4];

    counter[0] = block;
    counter[1] = stream;
    counter[2] = (uint32_t)iteration;
    counter[3] = (uint32_t)(iteration >> 32);
    an__philox(seed, counter, out);
}

double an__uniform(uint32_t word)
{
    return ((double)word + 1) / 4294967296.0;
}
