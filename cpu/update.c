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

static void update_part(an_queue *q, const an_parameter_part *p)
{
    an_update_work d = {&q->step.update[p->index], p->count, an__cpu_floats(p->g),
                        an__cpu_floats(p->v), an__cpu_floats(p->w)};

    an__cpu_parallel(q, an__cpu_chunks(p->count), update_item, &d);
}

an_status an__cpu_update_parts(an_queue *q, const an_parameter_part *parts,
                               uint32_t count, an_operand faults,
                               void (*update)(an_queue *q, const an_parameter_part *part))
{
    uint32_t i;

    for (i = 0; i < count && *an__cpu_floats(faults) == 0; i++)
        if (q->step.update[parts[i].index].rate != 0) update(q, &parts[i]);
    return AN_OK;
}

an_status an__cpu_update(an_queue *q, const an_parameter_part *parts, uint32_t count,
                         an_operand faults)
{
    return an__cpu_update_parts(q, parts, count, faults, update_part);
}
