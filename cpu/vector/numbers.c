/*
 * numbers.c - what is done number by number; and the order that tensors have here.
 *
 * The loops are plain: the compiler makes vectors of them.
 */
#include <string.h>

#include "path.h"

/* --- order: pixels outside, maps inside -------------------------------------------- */

/* Where number `at` of the host's order [rows][halves][maps][pixels] lies here. */
static size_t place(const an_order *order, size_t at)
{
    size_t plane = (size_t)order->maps * order->pixels, half = at / plane;
    size_t map = at % plane / order->pixels, pixel = at % order->pixels;

    return half * plane + pixel * order->maps + map;
}

static int is_plain(const an_order *order)
{
    return order->weights || order->maps == 1 || order->pixels == 1;
}

typedef struct an_ordering {
    const an_order *order;
    const float *from;
    float *to;
    int put;
} an_ordering;

#define PIXELS 512u /* of an item */

/* Some pixels of a half of an image, all its maps. */
static void order_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_ordering *o = arg;
    uint32_t maps = o->order->maps, pixels = o->order->pixels, map, i;
    uint32_t bands = pieces(pixels, PIXELS), first = item % bands * PIXELS;
    uint32_t end = pixels - first < PIXELS ? pixels : first + PIXELS;
    const float *from = o->from + (size_t)(item / bands) * maps * pixels;
    float *to = o->to + (size_t)(item / bands) * maps * pixels;

    (void)worker;
    if (o->put && maps == 3) { /* pictures */
        for (i = first; i < end; i++) {
            to[(size_t)i * 3] = from[i];
            to[(size_t)i * 3 + 1] = from[pixels + i];
            to[(size_t)i * 3 + 2] = from[2 * (size_t)pixels + i];
        }
        return;
    }
    for (map = 0; map < maps; map++)
        for (i = first; i < end; i++) {
            size_t host = (size_t)map * pixels + i, here = (size_t)i * maps + map;

            to[o->put ? here : host] = from[o->put ? host : here];
        }
}

static an_status reorder(an_queue *q, const an_order *order, float *to, const float *from,
                         size_t halves, int put)
{
    an_ordering o = {order, from, to, put};
    uint32_t bands = pieces(order->pixels, PIXELS);

    an__cpu_parallel(q, (uint32_t)halves * bands, order_item, &o);
    return AN_OK;
}

an_status V(put)(an_queue *queue, const an_order *order, an_operand to, size_t first,
                 const float *from, size_t count)
{
    size_t plane = (size_t)order->maps * order->pixels, i;
    float *there = an__cpu_floats(to);

    if (is_plain(order))
        return an__cpu_upload(queue, an__operand_from(to, first), from,
                              count * sizeof *from);
    if (first % plane == 0 && count % plane == 0)
        return reorder(queue, order, there + first, from, count / plane, 1);
    for (i = 0; i < count; i++) there[place(order, first + i)] = from[i];
    return AN_OK;
}

an_status V(get)(an_queue *queue, const an_order *order, float *to, an_operand from,
                 size_t first, size_t count)
{
    size_t plane = (size_t)order->maps * order->pixels, i;
    const float *there = an__cpu_floats(from);

    if (is_plain(order))
        return an__cpu_download(queue, to, an__operand_from(from, first),
                                count * sizeof *to);
    if (first % plane == 0 && count % plane == 0)
        return reorder(queue, order, to, there + first, count / plane, 0);
    for (i = 0; i < count; i++) to[i] = there[place(order, first + i)];
    return AN_OK;
}

/* --- update ------------------------------------------------------------------------ */

typedef struct an_updating {
    const an_update *u;
    size_t count;
    const float *g;
    float *v, *w;
} an_updating;

static void update_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_updating *d = arg;
    const float momentum = d->u->momentum, rate = d->u->rate, decay = d->u->decay * rate;
    const float *restrict g = d->g;
    float *restrict v = d->v, *restrict w = d->w;
    size_t i, end;

    (void)worker;
    for (an__cpu_chunk(d->count, item, &i, &end); i < end; i++) {
        float step = momentum * v[i] - decay * w[i] - rate * g[i];

        v[i] = step;
        w[i] += step;
    }
}

static void update_part(an_queue *q, const an_parameter_part *p)
{
    an_updating d = {&q->step.update[p->index], p->count, an__cpu_floats(p->g),
                     an__cpu_floats(p->v), an__cpu_floats(p->w)};

    an__cpu_parallel(q, an__cpu_chunks(p->count), update_item, &d);
}

an_status V(update)(an_queue *q, const an_parameter_part *parts, uint32_t count,
                    an_operand faults)
{
    return an__cpu_update_parts(q, parts, count, faults, update_part);
}
