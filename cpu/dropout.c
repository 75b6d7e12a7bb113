/*
 * dropout.c - the mask of a layer is a function of seed, iteration, layer and position,
 * so forward and backward draw it again rather than keep it.
 */
#include "cpu.h"

typedef struct an_dropout_work {
    const an_dropout_shape *s;
    const an_step *step;
    float *x;
} an_dropout_work;

/* One image: its units' positions lie one after another. */
static void dropout_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_dropout_work *d = arg;
    const an_dropout_shape *s = d->s;
    float *x = d->x + (size_t)image * s->units;
    uint64_t position = (d->step->first + image) * s->total + s->first;
    uint32_t word[4], i;

    (void)worker;
    for (i = 0; i < s->units; i++, position++) {
        if (i == 0 || position % 4 == 0)
            an__random4(d->step->seed, AN_STREAM_DROPOUT + s->layer, d->step->iteration,
                        (uint32_t)(position / 4), word);
        /* 24 bits, which a float holds exactly */
        x[i] *= (float)(word[position % 4] >> 8) * (1 / 16777216.0f) >= s->rate ? s->scale
                                                                                : 0;
    }
}

an_status an__cpu_dropout(an_queue *q, const an_dropout_shape *s, uint32_t batch,
                          an_operand x)
{
    an_dropout_work d = {s, &q->step, an__cpu_floats(x)};

    an__cpu_parallel(q, batch, dropout_item, &d);
    return AN_OK;
}
