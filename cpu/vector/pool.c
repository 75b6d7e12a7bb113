/*
 * pool.c - max-pooling, VL maps at a time. Ties are not broken, as ../pool.c has it.
 */
#include "path.h"

#define LINES 4u    /* of windows over one input line, and columns of them, at most */
#define COLUMNS 64u /* of windows whose maxima are kept */

typedef struct an_pool_work {
    const an_pool_shape *s;
    const float *x, *dy;
    float *out;
} an_pool_work;

/* The maximum of a window, of up to VL maps; a NaN in it is its maximum. x: the image, at
 * the first of these maps. */
AN_INLINE vec window_max(const an_pool_shape *s, const float *x, uint32_t oy, uint32_t ox,
                         uint32_t count)
{
    uint32_t top = oy * s->stride, left = ox * s->stride, y, i;
    uint32_t bottom = at_most(top + s->kernel, s->in_height);
    uint32_t right = at_most(left + s->kernel, s->in_width);
    vec max = vec_load_part(x + ((size_t)top * s->in_width + left) * s->maps, count);

    for (y = top; y < bottom; y++)
        for (i = left; i < right; i++) {
            vec value = vec_load_part(x + ((size_t)y * s->in_width + i) * s->maps, count);

            max = vec_keep_nan(max, vec_max(max, value));
        }
    return max;
}

/* An output line of an image. */
static void forward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_pool_work *p = arg;
    const an_pool_shape *s = p->s;
    const float *x =
        p->x + (size_t)(item / s->out_height) * s->in_height * s->in_width * s->maps;
    float *y = p->out + (size_t)item * s->out_width * s->maps;
    uint32_t ox, map;

    (void)worker;
    for (ox = 0; ox < s->out_width; ox++, y += s->maps)
        for (map = 0; map + VL <= s->maps; map += VL)
            vec_store(y + map, window_max(s, x + map, item % s->out_height, ox, VL));
    map = s->maps / VL * VL;
    if (map == s->maps) return;
    for (y = p->out + (size_t)item * s->out_width * s->maps, ox = 0; ox < s->out_width;
         ox++, y += s->maps)
        vec_store_first(y + map, s->maps - map,
                        window_max(s, x + map, item % s->out_height, ox, s->maps - map));
}

/* Windows [*first, *end) that position `at` is in. */
AN_INLINE void windows(const an_pool_shape *s, uint32_t at, uint32_t count,
                       uint32_t *first, uint32_t *end)
{
    *first = at >= s->kernel ? (at - s->kernel) / s->stride + 1 : 0;
    *end = at_most(at / s->stride + 1, count);
}

/* Input columns [left, right) of up to VL maps of an image: each input asks its windows
 * whether it is their maximum. */
AN_INLINE void backward_columns(const an_pool_shape *s, const float *x, const float *dy,
                                float *dx, uint32_t left, uint32_t right, uint32_t count)
{
    vec max[LINES][COLUMNS];
    uint32_t filled = 0, y, i, oy, ox, first_line, end_line, first, end, from, to;

    windows(s, left, s->out_width, &from, &to);
    windows(s, right - 1, s->out_width, &first, &to);
    for (y = 0; y < s->in_height; y++) {
        windows(s, y, s->out_height, &first_line, &end_line);
        for (; filled < end_line; filled++)
            for (ox = from; ox < to; ox++)
                max[filled % LINES][ox - from] = window_max(s, x, filled, ox, count);
        for (i = left; i < right; i++) {
            size_t at = ((size_t)y * s->in_width + i) * s->maps;
            vec value = vec_load_part(x + at, count), sum = vec_set(0);

            windows(s, i, s->out_width, &first, &end);
            for (oy = first_line; oy < end_line; oy++)
                for (ox = first; ox < end; ox++)
                    sum += vec_where_equal(
                        value, max[oy % LINES][ox - from],
                        vec_load_part(dy + ((size_t)oy * s->out_width + ox) * s->maps,
                                      count));
            vec_store_part(dx + at, count, sum);
        }
    }
}

AN_INLINE void backward_maps(const an_pool_shape *s, const float *x, const float *dy,
                             float *dx, uint32_t count)
{
    uint32_t columns = (COLUMNS - LINES) * s->stride, left, right;

    for (left = 0; left < s->in_width; left = right) {
        right = at_most(s->in_width, left + columns);
        backward_columns(s, x, dy, dx, left, right, count);
    }
}

static void backward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_pool_work *p = arg;
    const an_pool_shape *s = p->s;
    uint32_t bands = pieces(s->maps, VL), map = item % bands * VL;
    size_t in = (size_t)(item / bands) * s->in_height * s->in_width * s->maps + map;
    size_t out = (size_t)(item / bands) * s->out_height * s->out_width * s->maps + map;

    (void)worker;
    if (s->maps - map >= VL)
        backward_maps(s, p->x + in, p->dy + out, p->out + in, VL);
    else
        backward_maps(s, p->x + in, p->dy + out, p->out + in, s->maps - map);
}

static an_status check(const an_queue *q, const an_pool_shape *s)
{
    if (s->kernel <= LINES * s->stride) return AN_OK;
    return q->device->host->fail(
        AN_ERROR_ARGUMENT, "pooling of %u pixels with stride %u: at most %u strides wide",
        s->kernel, s->stride, LINES);
}

an_status V(pool_forward)(an_queue *q, const an_pool_shape *s, uint32_t batch,
                          an_operand x, an_operand y, an_operand argmax)
{
    an_pool_work p = {s, an__cpu_floats(x), NULL, an__cpu_floats(y)};

    (void)argmax;
    an__cpu_parallel(q, batch * s->out_height, forward_item, &p);
    return AN_OK;
}

an_status V(pool_backward)(an_queue *q, const an_pool_shape *s, uint32_t batch,
                           an_operand x, an_operand argmax, an_operand dy, an_operand dx)
{
    an_pool_work p = {s, an__cpu_floats(x), an__cpu_floats(dy), an__cpu_floats(dx)};
    an_status status = check(q, s);

    (void)argmax;
    if (status != AN_OK) return status;
    an__cpu_parallel(q, batch * (pieces(s->maps, VL)), backward_item, &p);
    return AN_OK;
}
