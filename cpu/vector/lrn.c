/*
 * lrn.c - local response normalisation; the formulas are in ../lrn.c. Maps lie side by side
 * here, so that a window is VL loads, one number further each.
 */
#include <math.h>
#include <string.h>

#include "path.h"

#define HALF 4u   /* of the largest window, 9 */
#define MAPS 256u /* across maps: at a time */
#define LINE 256u /* within a map: the widest; networks of 1024 pixels have 127 there */

/* s^-beta. The paper's 3/4: with r = s^-1/2, r * sqrt(r). */
AN_INLINE vec power(vec s, float beta)
{
    float part[VL];
    uint32_t i;

    if (beta == 0.75f) {
        vec r = vec_rsqrt(s);

        return r * r * vec_rsqrt(r);
    }
    vec_store(part, s);
    for (i = 0; i < VL; i++) part[i] = powf(part[i], -beta);
    return vec_load(part);
}

typedef struct an_lrn_work {
    const an_lrn_shape *s;
    const float *x, *dy;
    float *out;
} an_lrn_work;

/* --- across maps ---------------------------------------------------------------------------- */

/* Of some maps of one pixel, and as many as windows reach on either side: zeros where the
 * group ends. Index i stands for map first + i - 2 * HALF. */
#define SPAN (MAPS + 4 * HALF + VL)

typedef struct an_span {
    float square[SPAN], power[SPAN], term[SPAN];
} an_span;

/* Scales need `half` squares on either side. */
AN_INLINE vec window_sum(const float *at, uint32_t half)
{
    vec sum = vec_load(at);
    uint32_t j;

    for (j = 1; j <= half; j++) sum += vec_load(at - j) + vec_load(at + j);
    return sum;
}

/* Squares of the maps [from, to) of a group of `maps`, [from - reach, to + reach) in all. */
static void squares(const float *x, uint32_t maps, uint32_t from, uint32_t to,
                    uint32_t reach, float *square)
{
    uint32_t first = from > reach ? from - reach : 0;
    uint32_t end = to + reach < maps ? to + reach : maps, i;

    memset(square, 0, SPAN * sizeof *square);
    for (i = first; i < end; i++) square[i + 2 * HALF - from] = x[i] * x[i];
}

static void forward_maps(const an_lrn_shape *s, const float *x, float *y, uint32_t from,
                         uint32_t to, uint32_t maps, an_span *span)
{
    const vec k = vec_set(s->k), alpha = vec_set(s->alpha);
    uint32_t i;

    squares(x, maps, from, to, s->size / 2, span->square);
    for (i = from; i < to; i += VL) {
        vec scale = vec_fma(
            alpha, window_sum(span->square + i + 2 * HALF - from, s->size / 2), k);

        vec_store_part(y + i, to - i,
                       vec_load_part(x + i, to - i) * power(scale, s->beta));
    }
}

static void backward_maps(const an_lrn_shape *s, const float *x, const float *dy,
                          float *dx, uint32_t from, uint32_t to, uint32_t maps,
                          an_span *span)
{
    const vec k = vec_set(s->k), alpha = vec_set(s->alpha);
    const vec factor = vec_set(-2 * s->alpha * s->beta);
    uint32_t half = s->size / 2, first = from > half ? from - half : 0;
    uint32_t end = to + half < maps ? to + half : maps, i;

    squares(x, maps, from, to, 2 * half, span->square);
    memset(span->term, 0, sizeof span->term);
    for (i = first; i < end; i += VL) {
        uint32_t at = i + 2 * HALF - from, count = end - i;
        vec scale = vec_fma(alpha, window_sum(span->square + at, half), k);
        vec p = power(scale, s->beta);

        vec_store(span->power + at, p);
        vec_store_part(span->term + at, count,
                       vec_load_part(dy + i, count) * vec_load_part(x + i, count) * p /
                           scale);
    }
    for (i = from; i < to; i += VL) {
        uint32_t at = i + 2 * HALF - from, count = to - i;
        vec sum = window_sum(span->term + at, half);

        vec_store_part(
            dx + i, count,
            vec_fma(factor * vec_load_part(x + i, count), sum,
                    vec_load_part(dy + i, count) * vec_load(span->power + at)));
    }
}

/* A line of pixels of an image is an item. */
static void across_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_lrn_work *l = arg;
    const an_lrn_shape *s = l->s;
    uint32_t maps = s->maps / s->groups, groups = s->groups * s->width, g, from, to;
    size_t at = (size_t)item * s->width * s->maps;
    an_span span;

    (void)worker;
    for (g = 0; g < groups; g++, at += maps)
        for (from = 0; from < maps; from = to) {
            to = maps - from > MAPS ? from + MAPS : maps;
            if (l->dy == NULL)
                forward_maps(s, l->x + at, l->out + at, from, to, maps, &span);
            else
                backward_maps(s, l->x + at, l->dy + at, l->out + at, from, to, maps,
                              &span);
        }
}

static an_status run(an_queue *q, const an_lrn_shape *s, uint32_t batch, const float *x,
                     const float *dy, float *out, an_body_fn body)
{
    an_lrn_work l = {s, x, dy, out};

    an__cpu_parallel(q, batch * s->height, body, &l);
    return AN_OK;
}

an_status V(lrn_forward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                         const float *x, float *y)
{
    return run(q, s, batch, x, NULL, y, across_item);
}

an_status V(lrn_backward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                          const float *x, const float *dy, float *dx)
{
    return run(q, s, batch, x, dy, dx, across_item);
}

/* --- within a map: VL maps at a time ---------------------------------------------------------- */

typedef struct an_range {
    uint32_t first, end;
} an_range;

static an_range around(uint32_t at, uint32_t half, uint32_t size)
{
    an_range r = {at > half ? at - half : 0, at + half + 1 < size ? at + half + 1 : size};

    return r;
}

/* scale = k + alpha * sum of squares around pixel (y, i), of up to VL maps. */
static vec scale_at(const an_lrn_shape *s, const float *x, uint32_t y, uint32_t i,
                    uint32_t count)
{
    an_range lines = around(y, s->size / 2, s->height), columns;
    vec sum = vec_set(0);
    uint32_t j, k;

    columns = around(i, s->size / 2, s->width);
    for (j = lines.first; j < lines.end; j++)
        for (k = columns.first; k < columns.end; k++) {
            vec v = vec_load_part(x + ((size_t)j * s->width + k) * s->maps, count);

            sum = vec_fma(v, v, sum);
        }
    return vec_fma(vec_set(s->alpha), sum, vec_set(s->k));
}

static void within_forward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_lrn_work *l = arg;
    const an_lrn_shape *s = l->s;
    uint32_t y = item % s->height, i, map;
    size_t image = (size_t)(item / s->height) * s->height * s->width * s->maps;

    (void)worker;
    for (i = 0; i < s->width; i++)
        for (map = 0; map < s->maps; map += VL) {
            size_t at = image + ((size_t)y * s->width + i) * s->maps + map;
            vec scale = scale_at(s, l->x + image + map, y, i, s->maps - map);

            vec_store_part(l->out + at, s->maps - map,
                           vec_load_part(l->x + at, s->maps - map) *
                               power(scale, s->beta));
        }
}

/* Of each line near the current one: s^-beta, and the terms that windows sum. */
typedef struct an_lines {
    vec power[2 * HALF + 1][LINE], term[2 * HALF + 1][LINE];
} an_lines;

static void fill_line(const an_lrn_shape *s, const float *x, const float *dy, uint32_t y,
                      uint32_t count, vec *powers, vec *terms)
{
    uint32_t i;

    for (i = 0; i < s->width; i++) {
        size_t at = ((size_t)y * s->width + i) * s->maps;
        vec scale = scale_at(s, x, y, i, count);

        powers[i] = power(scale, s->beta);
        terms[i] = vec_load_part(dy + at, count) * vec_load_part(x + at, count) *
                   powers[i] / scale;
    }
}

/* VL maps of an image are an item. */
static void within_backward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_lrn_work *l = arg;
    const an_lrn_shape *s = l->s;
    uint32_t bands = (s->maps + VL - 1) / VL, map = item % bands * VL;
    uint32_t count = s->maps - map, ring = 2 * HALF + 1, filled = 0, y, i, j, k;
    size_t image = (size_t)(item / bands) * s->height * s->width * s->maps + map;
    const vec factor = vec_set(-2 * s->alpha * s->beta);
    an_lines lines;

    (void)worker;
    for (y = 0; y < s->height; y++) {
        an_range rows = around(y, s->size / 2, s->height);

        for (; filled < rows.end; filled++)
            fill_line(s, l->x + image, l->dy + image, filled, count,
                      lines.power[filled % ring], lines.term[filled % ring]);
        for (i = 0; i < s->width; i++) {
            an_range columns = around(i, s->size / 2, s->width);
            size_t at = image + ((size_t)y * s->width + i) * s->maps;
            vec sum = vec_set(0);

            for (j = rows.first; j < rows.end; j++)
                for (k = columns.first; k < columns.end; k++)
                    sum += lines.term[j % ring][k];
            vec_store_part(
                l->out + at, count,
                vec_fma(factor * vec_load_part(l->x + at, count), sum,
                        vec_load_part(l->dy + at, count) * lines.power[y % ring][i]));
        }
    }
}

an_status V(lrn_within_forward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                const float *x, float *y)
{
    return run(q, s, batch, x, NULL, y, within_forward_item);
}

an_status V(lrn_within_backward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                 const float *x, const float *dy, float *dx)
{
    an_lrn_work l = {s, x, dy, dx};

    if (s->width > LINE)
        return q->device->host->fail(AN_ERROR_ARGUMENT,
                                     "normalisation within maps %u wide: at most %u",
                                     s->width, LINE);
    an__cpu_parallel(q, batch * ((s->maps + VL - 1) / VL), within_backward_item, &l);
    return AN_OK;
}
