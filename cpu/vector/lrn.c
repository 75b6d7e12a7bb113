/*
 * lrn.c - local response normalisation; the formulas are in ../lrn.c. Maps lie side by
 * side here, so that a window is VL loads, one number further each.
 */
#include <math.h>

#include "path.h"

#define HALF 4u /* of the largest window, 9 */
#define SOME                                                                             \
    4096u           /* across maps: numbers whose powers and terms are kept while windows
                       sum them; the widest networks have 1536 maps */
#define COLUMNS 32u /* within a map: the same, of each line of a window */

/* s^-beta. The paper's 3/4: with r = s^-1/2, r * sqrt(r); the root's argument is kept
 * from 0, which r is of infinity. */
AN_INLINE vec power(vec s, float beta)
{
    float part[VL];
    uint32_t i;

    if (beta == 0.75f) {
        vec r = vec_rsqrt(s);

        return r * r * vec_rsqrt(vec_max(vec_set(1e-30f), r));
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

/* --- across maps ------------------------------------------------------------------- */

/* VL maps of a group: which lanes they are, and for each neighbour of theirs which of
 * those lanes still are in the group. */
typedef struct an_window {
    vec_lanes own, near[2 * HALF + 1];
} an_window;

static an_window window_at(uint32_t at, uint32_t half, uint32_t maps)
{
    an_window w;
    uint32_t d;

    w.own = lanes_between(0, at_most(maps - at, VL));
    for (d = 0; d <= 2 * half; d++) { /* lane l reads map at + l + d - half */
        uint32_t first = at + d < half ? half - at - d : 0;
        uint32_t end = maps + half > at + d ? maps + half - at - d : 0;

        end = end < VL ? end : VL;
        w.near[d] = lanes_between(first < end ? first : end, end);
    }
    return w;
}

/* All that a group has: at its beginning, where all lanes are there, and its end's, which
 * are two where the last vector is shorter than half a window. */
typedef struct an_windows {
    an_window first, inner, before, last;
    uint32_t maps, half;
} an_windows;

static an_windows windows_of(const an_lrn_shape *s)
{
    uint32_t maps = s->maps / s->groups, half = s->size / 2, vectors = pieces(maps, VL);
    an_windows w;

    w.maps = maps;
    w.half = half;
    w.first = window_at(0, half, maps);
    w.inner = window_at(VL, half, 4 * VL);
    w.last = window_at((vectors - 1) * VL, half, maps);
    w.before = vectors > 1 ? window_at((vectors - 2) * VL, half, maps) : w.last;
    return w;
}

AN_INLINE const an_window *pick(const an_windows *w, uint32_t at)
{
    if (at == 0) return &w->first;
    if (at + VL + w->half <= w->maps) return &w->inner;
    return at + VL < w->maps ? &w->before : &w->last;
}

/* The sum over the window of x, or of its squares. */
AN_INLINE vec window_sum(const an_window *w, const uint32_t half, const float *x,
                         const int square)
{
    vec sum = vec_set(0);
    uint32_t d;

#pragma GCC unroll 9
    for (d = 0; d <= 2 * half; d++) {
        vec v = vec_load_lanes(x + d - half, w->near[d]);

        if (square)
            sum = vec_fma(v, v, sum);
        else
            sum += v;
    }
    return sum;
}

/* Of the sizes that networks have, a constant. */
AN_INLINE vec window_of(const an_window *w, uint32_t half, const float *x,
                        const int square)
{
    if (half == 2) return window_sum(w, 2, x, square);
    if (half == 1) return window_sum(w, 1, x, square);
    return window_sum(w, half, x, square);
}

/* Some pixels, all maps. */
static void forward_pixels(const an_lrn_shape *s, const float *x, float *y,
                           uint32_t pixels)
{
    const an_windows windows = windows_of(s);
    const vec alpha = vec_set(s->alpha), k = vec_set(s->k);
    uint32_t maps = windows.maps, groups = pixels * s->groups, at;

    for (; groups > 0; groups--, x += maps, y += maps)
        for (at = 0; at < maps; at += VL) {
            const an_window *w = pick(&windows, at);
            vec scale = vec_fma(alpha, window_of(w, windows.half, x + at, 1), k);

            vec_store_lanes(y + at, w->own,
                            vec_load_lanes(x + at, w->own) * power(scale, s->beta));
        }
}

static void backward_pixels(const an_lrn_shape *s, const float *x, const float *dy,
                            float *dx, uint32_t pixels)
{
    const an_windows windows = windows_of(s);
    const vec alpha = vec_set(s->alpha), k = vec_set(s->k);
    const vec factor = vec_set(-2 * s->alpha * s->beta);
    uint32_t maps = windows.maps, count = pixels * s->maps, g, at;
    float powers[SOME], terms[SOME];

    for (g = 0; g < count; g += maps)
        for (at = g; at < g + maps; at += VL) {
            const an_window *w = pick(&windows, at - g);
            vec scale = vec_fma(alpha, window_of(w, windows.half, x + at, 1), k);
            vec p = power(scale, s->beta);

            vec_store_lanes(powers + at, w->own, p);
            vec_store_lanes(terms + at, w->own,
                            vec_load_lanes(dy + at, w->own) *
                                vec_load_lanes(x + at, w->own) * p / scale);
        }
    for (g = 0; g < count; g += maps)
        for (at = g; at < g + maps; at += VL) {
            const an_window *w = pick(&windows, at - g);
            vec sum = window_of(w, windows.half, terms + at, 0);

            vec_store_lanes(dx + at, w->own,
                            vec_fma(factor * vec_load_lanes(x + at, w->own), sum,
                                    vec_load_lanes(dy + at, w->own) *
                                        vec_load_lanes(powers + at, w->own)));
        }
}

/* A line of pixels of an image is an item. */
static void across_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_lrn_work *l = arg;
    const an_lrn_shape *s = l->s;
    uint32_t each = SOME / s->maps, i, count;
    size_t at = (size_t)item * s->width * s->maps;

    (void)worker;
    for (i = 0; i < s->width; i += count, at += (size_t)count * s->maps) {
        count = at_most(s->width - i, each);
        if (l->dy == NULL)
            forward_pixels(s, l->x + at, l->out + at, count);
        else
            backward_pixels(s, l->x + at, l->dy + at, l->out + at, count);
    }
}

static an_status run(an_queue *q, const an_lrn_shape *s, uint32_t batch, const float *x,
                     const float *dy, float *out, an_body_fn body)
{
    an_lrn_work l = {s, x, dy, out};

    if (s->maps > SOME)
        return q->device->host->fail(
            AN_ERROR_ARGUMENT, "normalisation across %u maps: at most %u", s->maps, SOME);
    an__cpu_parallel(q, batch * s->height, body, &l);
    return AN_OK;
}

an_status V(lrn_forward)(an_queue *q, const an_lrn_shape *s, uint32_t batch, an_operand x,
                         an_operand y)
{
    return run(q, s, batch, an__cpu_floats(x), NULL, an__cpu_floats(y), across_item);
}

an_status V(lrn_backward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                          an_operand x, an_operand dy, an_operand dx)
{
    return run(q, s, batch, an__cpu_floats(x), an__cpu_floats(dy), an__cpu_floats(dx),
               across_item);
}

/* --- within a map: VL maps at a time ----------------------------------------------- */

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

/* Of each line near the current one, from column `from` on: s^-beta, and the terms that
 * windows sum. */
typedef struct an_lines {
    uint32_t from;
    vec power[2 * HALF + 1][COLUMNS], term[2 * HALF + 1][COLUMNS];
} an_lines;

/* Up to VL maps of an image: x and dy are at its first pixel. */
static void fill_line(const an_lrn_shape *s, const float *x, const float *dy, uint32_t y,
                      uint32_t end, uint32_t count, an_lines *lines)
{
    uint32_t row = y % (2 * HALF + 1), i;

    for (i = lines->from; i < end; i++) {
        size_t at = ((size_t)y * s->width + i) * s->maps;
        vec scale = scale_at(s, x, y, i, count), p = power(scale, s->beta);

        lines->power[row][i - lines->from] = p;
        lines->term[row][i - lines->from] =
            vec_load_part(dy + at, count) * vec_load_part(x + at, count) * p / scale;
    }
}

/* Columns [left, right), as many as windows leave of COLUMNS. */
static void within_backward(const an_lrn_shape *s, const float *x, const float *dy,
                            float *dx, uint32_t left, uint32_t right, uint32_t count)
{
    const vec factor = vec_set(-2 * s->alpha * s->beta);
    uint32_t half = s->size / 2, ring = 2 * HALF + 1, filled = 0, y, i, j, k;
    an_lines lines;

    lines.from = around(left, half, s->width).first;
    for (y = 0; y < s->height; y++) {
        an_range rows = around(y, half, s->height);

        for (; filled < rows.end; filled++)
            fill_line(s, x, dy, filled, around(right - 1, half, s->width).end, count,
                      &lines);
        for (i = left; i < right; i++) {
            an_range columns = around(i, half, s->width);
            size_t at = ((size_t)y * s->width + i) * s->maps;
            vec sum = vec_set(0);

            for (j = rows.first; j < rows.end; j++)
                for (k = columns.first; k < columns.end; k++)
                    sum += lines.term[j % ring][k - lines.from];
            vec_store_part(dx + at, count,
                           vec_fma(factor * vec_load_part(x + at, count), sum,
                                   vec_load_part(dy + at, count) *
                                       lines.power[y % ring][i - lines.from]));
        }
    }
}

/* VL maps of an image are an item. */
static void within_backward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_lrn_work *l = arg;
    const an_lrn_shape *s = l->s;
    uint32_t bands = pieces(s->maps, VL), map = item % bands * VL, left, right;
    size_t at = (size_t)(item / bands) * s->height * s->width * s->maps + map;

    (void)worker;
    for (left = 0; left < s->width; left = right) {
        right = at_most(s->width, left + COLUMNS - 2 * HALF);
        within_backward(s, l->x + at, l->dy + at, l->out + at, left, right,
                        s->maps - map);
    }
}

an_status V(lrn_within_forward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                an_operand x, an_operand y)
{
    return run(q, s, batch, an__cpu_floats(x), NULL, an__cpu_floats(y),
               within_forward_item);
}

an_status V(lrn_within_backward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                 an_operand x, an_operand dy, an_operand dx)
{
    an_lrn_work l = {s, an__cpu_floats(x), an__cpu_floats(dy), an__cpu_floats(dx)};

    an__cpu_parallel(q, batch * (pieces(s->maps, VL)), within_backward_item, &l);
    return AN_OK;
}
