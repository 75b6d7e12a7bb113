/*
 * update.c - stochastic gradient descent with momentum: the paper, section 5.
 */
#include "cpu.h"

typedef struct an_update_work {
    const an_update *u;
    size_t count;
    const float *g;
    float *v, *w;
} an_update_work;

static void update_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_update_work *d = arg;
    const float momentum = d->u->momentum, rate = d->u->rate, decay = d->u->decay * rate;
    const float *g = d->g;
    float *v = d->v, *w = d->w;
    size_t i, end;

    (void)worker;
    for (an__cpu_chunk(d->count, item, &i, &end); i < end; i++) {
        v[i] = momentum * v[i] - decay * w[i] - rate * g[i];
        w[i] += v[i];
    }
}

an_status an__cpu_update(an_queue *q, uint32_t index, size_t count, const float *faults,
                         const float *g, float *v, float *w)
{
    an_update_work d = {&q->step.update[index], count, g, v, w};

    if (*faults != 0 || d.u->rate == 0) return AN_OK;
    an__cpu_parallel(q, an__cpu_chunks(count), update_item, &d);
    return AN_OK;
}
