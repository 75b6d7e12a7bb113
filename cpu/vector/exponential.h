/*
 * exponential.h - e^x in plain arithmetic, of which the compiler makes vectors.
 *
 * x = n ln 2 + r with |r| up to ln 2 / 2: 2^n are bits, e^r is its Taylor series to where
 * the next term is below the rounding of the result. ln 2 is taken in two parts, the
 * first with so few bits that n times it is exact.
 */
#ifndef AN_EXPONENTIAL_H
#define AN_EXPONENTIAL_H

#include <math.h>
#include <string.h>

#include "vector.h"

/* e^x - 1 = scale * less + (scale - 1), for x from -87 to 87; a NaN stays one. */
typedef struct an_power {
    float scale, less;
} an_power;

AN_INLINE an_power power_of_e(float x)
{
    const float round =
        12582912; /* 1.5 * 2^23: what is added to it is rounded to integers */
    float shifted = fmaf(x, 1.44269504f, round), n = shifted - round, r, sum;
    uint32_t bits;
    an_power p;

    r = fmaf(n, -0.693359375f, x);
    r = fmaf(n, 2.12194440e-4f, r);
    sum = fmaf(r, 1 / 5040.0f, 1 / 720.0f);
    sum = fmaf(sum, r, 1 / 120.0f);
    sum = fmaf(sum, r, 1 / 24.0f);
    sum = fmaf(sum, r, 1 / 6.0f);
    sum = fmaf(sum, r, 0.5f);
    p.less = fmaf(sum * r, r, r);
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    memcpy(&p.scale, &bits, sizeof bits);
    return p;
}

/* 1 - 2 / (e^2x + 1), without a loss of digits near 0. */
AN_INLINE float tanh_of(float x)
{
    float twice = 2 * fabsf(x), above;
    an_power p = power_of_e(twice > 40 ? 40 : twice);

    above = fmaf(p.scale, p.less, p.scale - 1);
    return copysignf(above / (above + 2), x);
}

/* 1 / (1 + e^-x) */
AN_INLINE float sigmoid_of(float x)
{
    an_power p = power_of_e(x > 87 ? -87 : x < -87 ? 87 : -x);

    return 1 / (1 + fmaf(p.scale, p.less, p.scale));
}

/* e^x for x up to 0, in double; below -708 that of -708. */
AN_INLINE double exp_below_0(double x)
{
    const double round = 6755399441055744; /* 1.5 * 2^52 */
    double y = x < -708 ? -708 : x, r, n, sum, scale;
    double shifted = fma(y, 1.4426950408889634, round);
    uint64_t bits;

    n = shifted - round;
    r = fma(n, -0.693147180369123816490, y);
    r = fma(n, -1.90821492927058770002e-10, r);
    sum = fma(r, 1 / 6227020800.0, 1 / 479001600.0);
    sum = fma(sum, r, 1 / 39916800.0);
    sum = fma(sum, r, 1 / 3628800.0);
    sum = fma(sum, r, 1 / 362880.0);
    sum = fma(sum, r, 1 / 40320.0);
    sum = fma(sum, r, 1 / 5040.0);
    sum = fma(sum, r, 1 / 720.0);
    sum = fma(sum, r, 1 / 120.0);
    sum = fma(sum, r, 1 / 24.0);
    sum = fma(sum, r, 1 / 6.0);
    sum = fma(sum, r, 0.5);
    sum = fma(sum * r, r, r);
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52;
    memcpy(&scale, &bits, sizeof bits);
    return fma(scale, sum, scale);
}

#endif
