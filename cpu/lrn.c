/*
 * lrn.c - local response normalisation, across maps and within a map.
 *
 *     y_i  = x_i * s_i^-beta            s_i = k + alpha * sum of x_j^2, j around i
 *     dx_i = dy_i * s_i^-beta - 2 alpha beta x_i * sum of dy_j x_j s_j^(-beta-1)
 *
 * Sums are of j around i. "Around" is the same relation both ways, so the backward pass
 * sums over the same windows. The scale s is computed again there: that is cheaper than
 * keeping it.
 */
#include <math.h>
#include <string.h>

#include "cpu.h"

#define PIXELS 256u /* across maps: of one item, worked on side by side */
#define WINDOW 9u   /* the largest size; the networks have 3 and 5 */
#define LINE 1024u  /* within a map: the widest */

/* s^-beta. The paper's 3/4 is two square roots. */
static inline float power(float s, float beta)
{
    if (beta == 0.75f) {
        float root = sqrtf(s);

        return 1 / (root * sqrtf(root));
    }
    return powf(s, -beta);
}

typedef struct an_lrn_work {
    const an_lrn_shape *s;
    uint32_t plane, bands; /* pixels of a map; items of an image */
    const float *x, *dy;
    float *out;
} an_lrn_work;

/* --- across maps ------------------------------------------------------------------- */

/* The maps [*first, *end) around `map`, in its group. */
static void window(const an_lrn_shape *s, uint32_t map, uint32_t *first, uint32_t *end)
{
    uint32_t size = s->maps / s->groups, start = map / size * size, half = s->size / 2;

    *first = map - start > half ? map - half : start;
    *end = map + half + 1 < start + size ? map + half + 1 : start + size;
}

/* s of `count` pixels of a map; x: the image, at the first of these pixels. */
static void scales(const an_lrn_work *l, const float *x, uint32_t map, uint32_t count,
                   float *scale)
{
    uint32_t first, end, i;

    window(l->s, map, &first, &end);
    for (i = 0; i < count; i++) scale[i] = 0;
    for (; first < end; first++) {
        const float *plane = x + (size_t)first * l->plane;

        for (i = 0; i < count; i++) scale[i] += plane[i] * plane[i];
    }
    for (i = 0; i < count; i++) scale[i] = l->s->k + l->s->alpha * scale[i];
}

/* An item is up to PIXELS pixels of one image, all maps: *at, and how many of them. */
static uint32_t item_pixels(const an_lrn_work *l, uint32_t item, size_t *at)
{
    uint32_t pixel = item % l->bands * PIXELS;

    *at = (size_t)(item / l->bands) * l->s->maps * l->plane + pixel;
    return l->plane - pixel < PIXELS ? l->plane - pixel : PIXELS;
}

static void across_forward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_lrn_work *l = arg;
    float scale[PIXELS];
    uint32_t map, i, count;
    size_t at;

    (void)worker;
    count = item_pixels(l, item, &at);
    for (map = 0; map < l->s->maps; map++) {
        const float *x = l->x + at + (size_t)map * l->plane;
        float *y = l->out + at + (size_t)map * l->plane;

        scales(l, l->x + at, map, count, scale);
        for (i = 0; i < count; i++) y[i] = x[i] * power(scale[i], l->s->beta);
    }
}

/* What the backward pass needs of each map near the current one: s^-beta, and the term
 * dy x s^(-beta-1) that windows sum. Map j stands at j % WINDOW. */
typedef struct an_lrn_ring {
    float power[WINDOW][PIXELS], term[WINDOW][PIXELS];
} an_lrn_ring;

static void ring_fill(const an_lrn_work *l, size_t at, uint32_t map, uint32_t count,
                      an_lrn_ring *ring)
{
    const float *x = l->x + at + (size_t)map * l->plane;
    const float *dy = l->dy + at + (size_t)map * l->plane;
    float *p = ring->power[map % WINDOW], *term = ring->term[map % WINDOW], scale[PIXELS];
    uint32_t i;

    scales(l, l->x + at, map, count, scale);
    for (i = 0; i < count; i++) {
        p[i] = power(scale[i], l->s->beta);
        term[i] = dy[i] * x[i] * p[i] / scale[i];
    }
}

static void across_backward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_lrn_work *l = arg;
    const an_lrn_shape *s = l->s;
    uint32_t map, i, j, first, end, filled = 0, count;
    an_lrn_ring ring;
    float sum[PIXELS];
    size_t at;

    (void)worker;
    count = item_pixels(l, item, &at);
    for (map = 0; map < s->maps; map++) {
        const float *x = l->x + at + (size_t)map * l->plane;
        const float *dy = l->dy + at + (size_t)map * l->plane;
        float *dx = l->out + at + (size_t)map * l->plane;

        window(s, map, &first, &end);
        for (; filled < end; filled++) ring_fill(l, at, filled, count, &ring);
        for (i = 0; i < count; i++) sum[i] = 0;
        for (j = first; j < end; j++)
            for (i = 0; i < count; i++) sum[i] += ring.term[j % WINDOW][i];
        for (i = 0; i < count; i++)
            dx[i] = dy[i] * ring.power[map % WINDOW][i] -
                    2 * s->alpha * s->beta * x[i] * sum[i];
    }
}

static an_status across(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                        const float *x, const float *dy, float *out, an_body_fn body)
{
    an_lrn_work l = {s, s->height * s->width, 0, x, dy, out};

    l.bands = (l.plane + PIXELS - 1) / PIXELS;
    an__cpu_parallel(q, batch * l.bands, body, &l);
    return AN_OK;
}

an_status an__cpu_lrn_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                              an_operand x, an_operand y)
{
    return across(q, s, batch, an__cpu_floats(x), NULL, an__cpu_floats(y),
                  across_forward_item);
}

an_status an__cpu_lrn_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                               an_operand x, an_operand dy, an_operand dx)
{
    return across(q, s, batch, an__cpu_floats(x), an__cpu_floats(dy), an__cpu_floats(dx),
                  across_backward_item);
}

/* --- within a map: one map is an item ---------------------------------------------- */

/* s of line y: windows of size x size pixels, clipped at the edges. */
static void line_scales(const an_lrn_shape *s, const float *x, uint32_t y, float *scale)
{
    uint32_t half = s->size / 2, top = y > half ? y - half : 0, i, j, from, to;
    uint32_t bottom = y + half + 1 < s->height ? y + half + 1 : s->height;

    for (i = 0; i < s->width; i++) {
        float sum = 0;

        from = i > half ? i - half : 0;
        to = i + half + 1 < s->width ? i + half + 1 : s->width;
        for (j = top; j < bottom; j++) {
            const float *line = x + (size_t)j * s->width;
            uint32_t k;

            for (k = from; k < to; k++) sum += line[k] * line[k];
        }
        scale[i] = s->k + s->alpha * sum;
    }
}

static void within_forward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_lrn_work *l = arg;
    const an_lrn_shape *s = l->s;
    const float *x = l->x + (size_t)item * l->plane;
    float *out = l->out + (size_t)item * l->plane, scale[LINE];
    uint32_t y, i;

    (void)worker;
    for (y = 0; y < s->height; y++)
        for (line_scales(s, x, y, scale), i = 0; i < s->width; i++) {
            size_t at = (size_t)y * s->width + i;

            out[at] = x[at] * power(scale[i], s->beta);
        }
}

static void within_backward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_lrn_work *l = arg;
    const an_lrn_shape *s = l->s;
    const float *x = l->x + (size_t)item * l->plane,
                *dy = l->dy + (size_t)item * l->plane;
    float *dx = l->out + (size_t)item * l->plane;
    float scale[LINE], powers[WINDOW][LINE], terms[WINDOW][LINE];
    uint32_t half = s->size / 2, filled = 0, y, i, j, k;

    (void)worker;
    for (y = 0; y < s->height; y++) {
        uint32_t top = y > half ? y - half : 0;
        uint32_t bottom = y + half + 1 < s->height ? y + half + 1 : s->height;

        for (; filled < bottom; filled++)
            for (line_scales(s, x, filled, scale), i = 0; i < s->width; i++) {
                size_t at = (size_t)filled * s->width + i;
                float p = power(scale[i], s->beta);

                powers[filled % WINDOW][i] = p;
                terms[filled % WINDOW][i] = dy[at] * x[at] * p / scale[i];
            }
        for (i = 0; i < s->width; i++) {
            uint32_t from = i > half ? i - half : 0;
            uint32_t to = i + half + 1 < s->width ? i + half + 1 : s->width;
            size_t at = (size_t)y * s->width + i;
            float sum = 0;

            for (j = top; j < bottom; j++)
                for (k = from; k < to; k++) sum += terms[j % WINDOW][k];
            dx[at] =
                dy[at] * powers[y % WINDOW][i] - 2 * s->alpha * s->beta * x[at] * sum;
        }
    }
}

static an_status within(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                        const float *x, const float *dy, float *out, an_body_fn body)
{
    an_lrn_work l = {s, s->height * s->width, 0, x, dy, out};

    an__cpu_parallel(q, batch * s->maps, body, &l);
    return AN_OK;
}

an_status an__cpu_lrn_within_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                     an_operand x, an_operand y)
{
    return within(q, s, batch, an__cpu_floats(x), NULL, an__cpu_floats(y),
                  within_forward_item);
}

an_status an__cpu_lrn_within_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                      an_operand x, an_operand dy, an_operand dx)
{
    return within(q, s, batch, an__cpu_floats(x), an__cpu_floats(dy), an__cpu_floats(dx),
                  within_backward_item);
}
