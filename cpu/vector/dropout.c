/*
 * dropout.c - the reference's masks: the random numbers of lib/base/rng.c, VL blocks of
 * them at a time.
 */
#include "path.h"

#define RUN 1024u /* units at a time */

typedef struct an_dropping {
    const an_dropout_shape *s;
    const an_step *step;
    float *x;
} an_dropping;

/* an__random4() of blocks first .. first + VL - 1; Philox's rounds and constants are
 * there. */
static void random_blocks(const an_step *step, uint32_t stream, uint32_t first,
                          uint32_t *word)
{
    uint32_t key0 = (uint32_t)step->seed, key1 = (uint32_t)(step->seed >> 32), round, k;
    uint32_t c0[VL], c1[VL], c2[VL], c3[VL];

    for (k = 0; k < VL; k++) {
        c0[k] = first + k;
        c1[k] = stream;
        c2[k] = (uint32_t)step->iteration;
        c3[k] = (uint32_t)(step->iteration >> 32);
    }
    for (round = 0; round < 10; round++) {
        for (k = 0; k < VL; k++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[k];
            uint64_t p1 = (uint64_t)0xCD9E8D57u * c2[k];

            c0[k] = (uint32_t)(p1 >> 32) ^ c1[k] ^ key0;
            c2[k] = (uint32_t)(p0 >> 32) ^ c3[k] ^ key1;
            c1[k] = (uint32_t)p1;
            c3[k] = (uint32_t)p0;
        }
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    for (k = 0; k < VL; k++) {
        word[4 * k] = c0[k];
        word[4 * k + 1] = c1[k];
        word[4 * k + 2] = c2[k];
        word[4 * k + 3] = c3[k];
    }
}

/* What the units at positions `at` and on are multiplied by. */
static void factors(const an_dropping *d, uint64_t at, uint32_t count, float *factor)
{
    uint32_t word[RUN + 4 * VL], stream = AN_STREAM_DROPOUT + d->s->layer, i;
    uint32_t skip = (uint32_t)(at % 4);
    float rate = d->s->rate, scale = d->s->scale;

    for (i = 0; i < skip + count; i += 4 * VL)
        random_blocks(d->step, stream, (uint32_t)(at / 4) + i / 4, word + i);
    for (i = 0; i < count; i++) /* 24 bits, which a float holds exactly */
        factor[i] =
            (float)(int32_t)(word[skip + i] >> 8) * (1 / 16777216.0f) >= rate ? scale : 0;
}

/* One image: its units' positions are those of the host's order. */
static void dropout_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_dropping *d = arg;
    const an_dropout_shape *s = d->s;
    uint32_t maps = s->units / s->pixels, map = 0, pixel = 0, first, count, i;
    float *x = d->x + (size_t)image * s->units, factor[RUN];
    uint64_t at = (d->step->first + image) * s->total + s->first;

    (void)worker;
    for (first = 0; first < s->units; first += count) {
        count = at_most(s->units - first, RUN);
        factors(d, at + first, count, factor);
        for (i = 0; s->pixels == 1 && i < count; i++) x[first + i] *= factor[i];
        for (i = 0; s->pixels > 1 && i < count; i++) {
            x[(size_t)pixel * maps + map] *= factor[i];
            if (++pixel < s->pixels) continue;
            pixel = 0;
            map++;
        }
    }
}

an_status V(dropout)(an_queue *q, const an_dropout_shape *s, uint32_t batch, an_operand x)
{
    an_dropping d = {s, &q->step, an__cpu_floats(x)};

    an__cpu_parallel(q, batch, dropout_item, &d);
    return AN_OK;
}
