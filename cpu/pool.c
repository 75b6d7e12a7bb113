/*
 * pool.c - max-pooling, windows overlapping or not.
 *
 * Ties: as in cuda-convnet, every input that equals its window's maximum receives the
 * whole gradient of that window.
 */
#include <string.h>

#include "cpu.h"

typedef struct an_pool_work {
    const an_pool_shape *s;
    const float *x, *dy;
    float *out;
} an_pool_work;

typedef struct an_window {
    uint32_t top, bottom, left, right; /* inputs [top, bottom) x [left, right) */
    float max;
} an_window;

/* The window of an output pixel and its maximum; a NaN in it is its maximum. */
static an_window window_of(const an_pool_shape *s, const float *x, uint32_t oy,
                           uint32_t ox)
{
    uint32_t y, i;
    an_window w;

    w.top = oy * s->stride;
    w.left = ox * s->stride;
    w.bottom = w.top + s->kernel < s->in_height ? w.top + s->kernel : s->in_height;
    w.right = w.left + s->kernel < s->in_width ? w.left + s->kernel : s->in_width;
    w.max = x[(size_t)w.top * s->in_width + w.left];
    for (y = w.top; y < w.bottom; y++)
        for (i = w.left; i < w.right; i++) {
            float value = x[(size_t)y * s->in_width + i];

            if (!(value <= w.max) && w.max == w.max) w.max = value;
        }
    return w;
}

static void forward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_pool_work *p = arg;
    const an_pool_shape *s = p->s;
    const float *x = p->x + (size_t)item * s->in_height * s->in_width;
    float *y = p->out + (size_t)item * s->out_height * s->out_width;
    uint32_t oy, ox;

    (void)worker;
    for (oy = 0; oy < s->out_height; oy++)
        for (ox = 0; ox < s->out_width; ox++) *y++ = window_of(s, x, oy, ox).max;
}

static void backward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_pool_work *p = arg;
    const an_pool_shape *s = p->s;
    const float *x = p->x + (size_t)item * s->in_height * s->in_width;
    const float *dy = p->dy + (size_t)item * s->out_height * s->out_width;
    float *dx = p->out + (size_t)item * s->in_height * s->in_width;
    uint32_t oy, ox, y, i;

    (void)worker;
    memset(dx, 0, (size_t)s->in_height * s->in_width * sizeof *dx);
    for (oy = 0; oy < s->out_height; oy++)
        for (ox = 0; ox < s->out_width; ox++, dy++) {
            an_window w = window_of(s, x, oy, ox);

            for (y = w.top; y < w.bottom; y++)
                for (i = w.left; i < w.right; i++) {
                    size_t at = (size_t)y * s->in_width + i;

                    if (x[at] == w.max) dx[at] += *dy;
                }
        }
}

/* A map of an image is an item. */
an_status an__cpu_pool_forward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                               an_operand x, an_operand y, an_operand argmax)
{
    an_pool_work p = {s, an__cpu_floats(x), NULL, an__cpu_floats(y)};

    (void)argmax;
    an__cpu_parallel(q, batch * s->maps, forward_item, &p);
    return AN_OK;
}

an_status an__cpu_pool_backward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                                an_operand x, an_operand argmax, an_operand dy,
                                an_operand dx)
{
    an_pool_work p = {s, an__cpu_floats(x), an__cpu_floats(dy), an__cpu_floats(dx)};

    (void)argmax;
    an__cpu_parallel(q, batch * s->maps, backward_item, &p);
    return AN_OK;
}
