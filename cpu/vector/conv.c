/*
 * conv.c - convolutions: which algorithm does them, and their operations.
 */
#include <string.h>

#include "conv.h"
#include "path.h"

/* --- jobs -------------------------------------------------------------------------- */

static void cut(an_job *j, uint32_t groups)
{
    j->parts = groups * j->out_halves;
    j->maps = j->out_maps / j->parts;
    j->reads = j->in_maps / groups;
    j->apart = groups > 1 ? j->reads : 0;
    j->blocks = pieces(j->maps, COLS);
}

an_job V(forward_job)(const an_conv_shape *s)
{
    size_t taps = (size_t)s->kernel * s->kernel;
    an_job j;

    memset(&j, 0, sizeof j);
    j.in_height = s->in_height;
    j.in_width = s->in_width;
    j.in_maps = s->in_maps;
    j.in_halves = s->halves;
    j.out_height = s->out_height;
    j.out_width = s->out_width;
    j.out_maps = s->out_maps;
    j.out_halves = 1;
    j.kernel = s->kernel;
    j.stride = s->stride;
    j.pad = (int)s->pad;
    j.relu = (int)s->relu;
    cut(&j, s->groups);
    j.w_read = taps;
    j.w_map = j.reads * taps;
    j.w_part = j.maps * j.w_map;
    return j;
}

/* Stride 1 alone: the kernel turned around moves over dy. */
an_job V(data_job)(const an_conv_shape *s)
{
    size_t taps = (size_t)s->kernel * s->kernel;
    an_job j;

    memset(&j, 0, sizeof j);
    j.in_height = s->out_height;
    j.in_width = s->out_width;
    j.in_maps = s->out_maps;
    j.in_halves = 1;
    j.out_height = s->in_height;
    j.out_width = s->in_width;
    j.out_maps = s->in_maps;
    j.out_halves = s->halves;
    j.kernel = s->kernel;
    j.stride = 1;
    j.pad = (int)s->kernel - 1 - (int)s->pad;
    cut(&j, s->groups);
    j.turned = 1;
    j.w_map = taps;
    j.w_read = s->in_maps / s->groups * taps;
    j.w_part = s->halves > 1 ? j.maps * taps : j.reads * j.w_read;
    return j;
}

/* --- ways -------------------------------------------------------------------------- */

/* Winograd's weights are four times as many (3 x 3): they must be read for enough tiles.
 * A choice by sizes alone: what a layer gives for a number of images is the same
 * everywhere. */
#define WINOGRAD_TILES 48u

static uint32_t algorithm_of(const an_job *j, uint32_t batch)
{
    uint64_t tiles = V(winograd_tiles)(j);

    return tiles * batch >= WINOGRAD_TILES ? AN_CONV_WINOGRAD : AN_CONV_DIRECT;
}

static size_t prepacked_floats(const an_job *j, uint32_t algorithm)
{
    return algorithm == AN_CONV_WINOGRAD ? V(winograd_prepacked)(j)
                                         : V(direct_prepacked)(j);
}

typedef struct an_conv_prepacking {
    const an_job *j;
    uint32_t algorithm;
    float *prepacked;
} an_conv_prepacking;

static void prepack_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_conv_prepacking *p = arg;

    (void)worker;
    if (p->algorithm == AN_CONV_WINOGRAD)
        V(winograd_prepack_item)(p->j, item, p->prepacked);
    else
        V(direct_prepack_item)(p->j, item, p->prepacked);
}

static void prepack_all(const an_job *j, uint32_t algorithm, float *prepacked)
{
    an_conv_prepacking p = {j, algorithm, prepacked};

    an__cpu_parallel(j->q, j->parts * j->blocks, prepack_item, &p);
}

static void do_job(an_job *j, uint32_t algorithm, const float *prepacked, float *scratch)
{
    if (prepacked == NULL) {
        float *own = scratch;

        scratch += round_up(prepacked_floats(j, algorithm), 16);
        prepack_all(j, algorithm, own);
        prepacked = own;
    }
    if (algorithm == AN_CONV_WINOGRAD)
        V(winograd)(j, prepacked, scratch);
    else
        V(direct)(j, prepacked, scratch);
}

/* Of both ways: an exec for many images is given few, too. */
static size_t job_floats(an_job *j, uint32_t batch)
{
    size_t direct = V(direct_scratch)(j, batch) + round_up(V(direct_prepacked)(j), 16);
    size_t winograd = 0;

    if (algorithm_of(j, batch) == AN_CONV_WINOGRAD)
        winograd = V(winograd_scratch)(j) + round_up(V(winograd_prepacked)(j), 16);
    return larger(direct, winograd);
}

size_t V(conv_scratch)(an_device *device, const an_conv_shape *s, uint32_t batch,
                       int training)
{
    an_queue q = {0};
    an_job forward = V(forward_job)(s), data = V(data_job)(s);
    size_t floats;

    q.device = device;
    forward.q = data.q = &q;
    floats = job_floats(&forward, batch);
    if (training) floats = larger(floats, V(weights_scratch)(device, s, batch));
    if (training && s->stride == 1) floats = larger(floats, job_floats(&data, batch));
    return floats * sizeof(float);
}

/* --- operations -------------------------------------------------------------------- */

uint32_t V(conv_algorithm)(an_device *device, const an_conv_shape *s, uint32_t batch,
                           size_t *bytes)
{
    an_job j = V(forward_job)(s);
    uint32_t algorithm = algorithm_of(&j, batch);

    (void)device;
    *bytes = prepacked_floats(&j, algorithm) * sizeof(float);
    return algorithm;
}

an_status V(conv_prepack)(an_queue *q, const an_conv_shape *s, uint32_t algorithm,
                          an_operand w, an_operand prepacked)
{
    an_job j = V(forward_job)(s);

    j.q = q;
    j.w = an__cpu_floats(w);
    prepack_all(&j, algorithm, an__cpu_floats(prepacked));
    return AN_OK;
}

an_status V(conv_forward)(an_queue *q, const an_conv_shape *s, uint32_t batch,
                          an_operand x, an_operand w, an_operand prepacked, an_operand b,
                          an_operand y)
{
    an_job j = V(forward_job)(s);

    j.q = q;
    j.batch = batch;
    j.x = an__cpu_floats(x);
    j.y = an__cpu_floats(y);
    j.w = an__cpu_floats(w);
    j.bias = an__cpu_floats(b);
    do_job(&j, algorithm_of(&j, batch), an__cpu_floats(prepacked), q->scratch);
    return AN_OK;
}

/* Strides beyond 1 stand before no layer whose gradient is asked for in the networks:
 * this is right, and plain. An item is an image. */
typedef struct an_strided {
    const an_conv_shape *s;
    const float *w, *dy;
    float *dx;
} an_strided;

static void strided_pixel(const an_strided *d, uint32_t y, uint32_t x, const float *dy,
                          float *dx)
{
    const an_conv_shape *s = d->s;
    uint32_t reads = s->in_maps / s->groups, maps = s->out_maps / s->groups, m, r, ky, kx;
    uint32_t half_maps = s->in_maps / s->halves, taps = s->kernel * s->kernel;
    size_t half = (size_t)s->in_height * s->in_width * half_maps;

    for (ky = 0; ky < s->kernel; ky++)
        for (kx = 0; kx < s->kernel; kx++) {
            int64_t line = (int64_t)y * s->stride + ky - s->pad;
            int64_t column = (int64_t)x * s->stride + kx - s->pad;
            float *to;

            if (line < 0 || line >= s->in_height || column < 0 || column >= s->in_width)
                continue;
            to = dx + ((size_t)line * s->in_width + (size_t)column) * half_maps;
            for (m = 0; m < s->out_maps; m++)
                for (r = 0; r < reads; r++) {
                    uint32_t c = m / maps * reads + r;

                    to[c / half_maps * half + c % half_maps] +=
                        dy[m] *
                        d->w[((size_t)m * reads + r) * taps + ky * s->kernel + kx];
                }
        }
}

static void strided_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_strided *d = arg;
    const an_conv_shape *s = d->s;
    size_t in = (size_t)s->in_height * s->in_width * s->in_maps;
    const float *dy = d->dy + (size_t)image * s->out_height * s->out_width * s->out_maps;
    float *dx = d->dx + image * in;
    uint32_t y, x;

    (void)worker;
    memset(dx, 0, in * sizeof *dx);
    for (y = 0; y < s->out_height; y++)
        for (x = 0; x < s->out_width; x++, dy += s->out_maps)
            strided_pixel(d, y, x, dy, dx);
}

an_status V(conv_backward_data)(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                an_operand w, an_operand prepacked, an_operand dy,
                                an_operand x, an_operand dx)
{
    an_job j = V(data_job)(s);

    (void)prepacked;
    (void)x;
    if (s->stride != 1) {
        an_strided d = {s, an__cpu_floats(w), an__cpu_floats(dy), an__cpu_floats(dx)};

        an__cpu_parallel(q, batch, strided_item, &d);
        return AN_OK;
    }
    j.q = q;
    j.batch = batch;
    j.x = an__cpu_floats(dy);
    j.y = an__cpu_floats(dx);
    j.w = an__cpu_floats(w);
    do_job(&j, algorithm_of(&j, batch), NULL, q->scratch);
    return AN_OK;
}
