/*
 * ref.c - every operation, slowly and in double precision, straight from its definition.
 */
#include "ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- convolution ------------------------------------------------------------------- */

/* Calls visit for each product of the sum: y index, x index, w index. */
typedef void (*product_fn)(size_t y, size_t x, size_t w, void *arg);

static void conv_products(const an_conv_shape *s, uint32_t batch, product_fn visit,
                          void *arg)
{
    const long k = s->kernel, in = s->in_maps / s->groups, out = s->out_maps / s->groups;
    long n, m, oy, ox, c, ky, kx;

    for (n = 0; n < (long)batch; n++)
        for (m = 0; m < (long)s->out_maps; m++)
            for (oy = 0; oy < (long)s->out_height; oy++)
                for (ox = 0; ox < (long)s->out_width; ox++)
                    for (c = 0; c < in; c++)
                        for (ky = 0; ky < k; ky++)
                            for (kx = 0; kx < k; kx++) {
                                long iy = oy * (long)s->stride + ky - (long)s->pad;
                                long ix = ox * (long)s->stride + kx - (long)s->pad;
                                long map = m / out * in + c;

                                if (iy < 0 || ix < 0 || iy >= (long)s->in_height ||
                                    ix >= (long)s->in_width)
                                    continue;
                                visit((size_t)(((n * s->out_maps + m) * s->out_height +
                                                oy) *
                                                   s->out_width +
                                               ox),
                                      (size_t)(((n * s->in_maps + map) * s->in_height +
                                                iy) *
                                                   s->in_width +
                                               ix),
                                      (size_t)(((m * in + c) * k + ky) * k + kx), arg);
                            }
}

typedef struct conv_arrays {
    const double *x, *w, *dy;
    double *y, *dx, *dw;
} conv_arrays;

static void conv_add_forward(size_t y, size_t x, size_t w, void *arg)
{
    conv_arrays *a = arg;

    a->y[y] += a->x[x] * a->w[w];
}

static void conv_add_backward(size_t y, size_t x, size_t w, void *arg)
{
    conv_arrays *a = arg;

    a->dx[x] += a->dy[y] * a->w[w];
    a->dw[w] += a->dy[y] * a->x[x];
}

void ref_conv_forward(const an_conv_shape *s, uint32_t batch, const double *x,
                      const double *w, const double *b, double *y)
{
    size_t plane = (size_t)s->out_height * s->out_width, i;
    conv_arrays a = {x, w, NULL, y, NULL, NULL};

    for (i = 0; i < batch * s->out_maps * plane; i++) y[i] = b[i / plane % s->out_maps];
    conv_products(s, batch, conv_add_forward, &a);
}

void ref_conv_backward(const an_conv_shape *s, uint32_t batch, const double *x,
                       const double *w, const double *dy, double *dx, double *dw,
                       double *db)
{
    size_t plane = (size_t)s->out_height * s->out_width, i;
    size_t weights =
        (size_t)s->out_maps * (s->in_maps / s->groups) * s->kernel * s->kernel;
    conv_arrays a = {x, w, dy, NULL, dx, dw};

    memset(dx, 0, (size_t)batch * s->in_maps * s->in_height * s->in_width * sizeof *dx);
    memset(dw, 0, weights * sizeof *dw);
    memset(db, 0, s->out_maps * sizeof *db);
    for (i = 0; i < batch * s->out_maps * plane; i++)
        db[i / plane % s->out_maps] += dy[i];
    conv_products(s, batch, conv_add_backward, &a);
}

/* --- dense ------------------------------------------------------------------------- */

void ref_dense_forward(const an_dense_shape *s, uint32_t batch, const double *x,
                       const double *w, const double *b, double *y)
{
    size_t n, o, i;

    for (n = 0; n < batch; n++)
        for (o = 0; o < s->outputs; o++) {
            double sum = b[o];

            for (i = 0; i < s->inputs; i++)
                sum += w[o * s->inputs + i] * x[n * s->inputs + i];
            y[n * s->outputs + o] = sum;
        }
}

void ref_dense_backward(const an_dense_shape *s, uint32_t batch, const double *x,
                        const double *w, const double *dy, double *dx, double *dw,
                        double *db)
{
    size_t n, o, i;

    memset(dx, 0, (size_t)batch * s->inputs * sizeof *dx);
    memset(dw, 0, (size_t)s->outputs * s->inputs * sizeof *dw);
    memset(db, 0, s->outputs * sizeof *db);
    for (n = 0; n < batch; n++)
        for (o = 0; o < s->outputs; o++) {
            double g = dy[n * s->outputs + o];

            db[o] += g;
            for (i = 0; i < s->inputs; i++) {
                dx[n * s->inputs + i] += g * w[o * s->inputs + i];
                dw[o * s->inputs + i] += g * x[n * s->inputs + i];
            }
        }
}

/* --- activations ------------------------------------------------------------------- */

void ref_activation_forward(uint32_t kind, size_t count, double *y)
{
    size_t i;

    for (i = 0; i < count; i++)
        y[i] = kind == AN_ACTIVATION_TANH      ? tanh(y[i])
               : kind == AN_ACTIVATION_SIGMOID ? 1 / (1 + exp(-y[i]))
               : y[i] < 0                      ? 0
                                               : y[i];
}

void ref_activation_backward(uint32_t kind, size_t count, const double *y, double *dy)
{
    size_t i;

    for (i = 0; i < count; i++)
        dy[i] *= kind == AN_ACTIVATION_TANH      ? 1 - y[i] * y[i]
                 : kind == AN_ACTIVATION_SIGMOID ? y[i] * (1 - y[i])
                                                 : (y[i] > 0);
}

/* --- normalisation ----------------------------------------------------------------- */

/* Whether place j is in the window of place i, both (map, y, x) of one image. */
static int near(const an_lrn_shape *s, int within, const long i[3], const long j[3])
{
    long half = s->size / 2, group = s->maps / s->groups;

    if (!within)
        return i[1] == j[1] && i[2] == j[2] && i[0] / group == j[0] / group &&
               labs(i[0] - j[0]) <= half;
    return i[0] == j[0] && labs(i[1] - j[1]) <= half && labs(i[2] - j[2]) <= half;
}

/* The sum of what[j] over the window of place `at` of an image. */
static double window_sum(const an_lrn_shape *s, int within, size_t at, const double *what)
{
    long i[3], j[3], half = s->size / 2, plane = (long)(s->height * s->width);
    long reach_map = within ? 0 : half, reach = within ? half : 0;
    double sum = 0;

    i[0] = (long)at / plane;
    i[1] = (long)at % plane / s->width;
    i[2] = (long)at % s->width;
    for (j[0] = i[0] - reach_map; j[0] <= i[0] + reach_map; j[0]++)
        for (j[1] = i[1] - reach; j[1] <= i[1] + reach; j[1]++)
            for (j[2] = i[2] - reach; j[2] <= i[2] + reach; j[2]++)
                if (j[0] >= 0 && j[1] >= 0 && j[2] >= 0 && j[0] < (long)s->maps &&
                    j[1] < (long)s->height && j[2] < (long)s->width &&
                    near(s, within, i, j))
                    sum += what[(j[0] * s->height + j[1]) * s->width + j[2]];
    return sum;
}

#define LRN_LIMIT 65536 /* numbers of an image, at most */

static void lrn_scales(const an_lrn_shape *s, int within, const double *x, size_t count,
                       double *scale)
{
    static double squares[LRN_LIMIT];
    size_t i;

    for (i = 0; i < count; i++) squares[i] = x[i] * x[i];
    for (i = 0; i < count; i++)
        scale[i] = (double)s->k + (double)s->alpha * window_sum(s, within, i, squares);
}

void ref_lrn_forward(const an_lrn_shape *s, int within, uint32_t batch, const double *x,
                     double *y)
{
    static double scale[LRN_LIMIT];
    size_t count = (size_t)s->maps * s->height * s->width, i;

    for (; batch > 0; batch--, x += count, y += count) {
        lrn_scales(s, within, x, count, scale);
        for (i = 0; i < count; i++) y[i] = x[i] * pow(scale[i], -(double)s->beta);
    }
}

void ref_lrn_backward(const an_lrn_shape *s, int within, uint32_t batch, const double *x,
                      const double *dy, double *dx)
{
    static double scale[LRN_LIMIT], term[LRN_LIMIT];
    size_t count = (size_t)s->maps * s->height * s->width, i;
    double beta = (double)s->beta;

    for (; batch > 0; batch--, x += count, dy += count, dx += count) {
        lrn_scales(s, within, x, count, scale);
        for (i = 0; i < count; i++) term[i] = dy[i] * x[i] * pow(scale[i], -beta - 1);
        for (i = 0; i < count; i++)
            dx[i] = dy[i] * pow(scale[i], -beta) -
                    2 * (double)s->alpha * beta * x[i] * window_sum(s, within, i, term);
    }
}

/* --- pooling ----------------------------------------------------------------------- */

static void pool_map(const an_pool_shape *s, const double *x, const double *dy, double *y,
                     double *dx)
{
    uint32_t oy, ox, iy, ix;

    for (oy = 0; oy < s->out_height; oy++)
        for (ox = 0; ox < s->out_width; ox++) {
            double max = -INFINITY;

#define EACH_INPUT                                                                       \
    for (iy = oy * s->stride; iy < oy * s->stride + s->kernel && iy < s->in_height;      \
         iy++)                                                                           \
        for (ix = ox * s->stride; ix < ox * s->stride + s->kernel && ix < s->in_width;   \
             ix++)
            EACH_INPUT max = fmax(max, x[iy * s->in_width + ix]);
            if (y != NULL) y[oy * s->out_width + ox] = max;
            if (dx != NULL)
                EACH_INPUT if (x[iy * s->in_width + ix] == max)
                    dx[iy * s->in_width + ix] += dy[oy * s->out_width + ox];
        }
}

void ref_pool_forward(const an_pool_shape *s, uint32_t batch, const double *x, double *y)
{
    size_t map;

    for (map = 0; map < (size_t)batch * s->maps; map++)
        pool_map(s, x + map * s->in_height * s->in_width, NULL,
                 y + map * s->out_height * s->out_width, NULL);
}

void ref_pool_backward(const an_pool_shape *s, uint32_t batch, const double *x,
                       const double *dy, double *dx)
{
    size_t map, in = (size_t)s->in_height * s->in_width;

    memset(dx, 0, (size_t)batch * s->maps * in * sizeof *dx);
    for (map = 0; map < (size_t)batch * s->maps; map++)
        pool_map(s, x + map * in, dy + map * s->out_height * s->out_width, NULL,
                 dx + map * in);
}

/* --- the rest ---------------------------------------------------------------------- */

void ref_dropout(const an_dropout_shape *s, uint32_t batch, uint64_t seed,
                 uint64_t iteration, double *x)
{
    uint64_t n, u;

    for (n = 0; n < batch; n++)
        for (u = 0; u < s->units; u++) {
            uint64_t position = n * s->total + s->first + u;
            uint32_t word[4];

            an__random4(seed, AN_STREAM_DROPOUT + s->layer, iteration,
                        (uint32_t)(position / 4), word);
            x[n * s->units + u] *=
                (word[position % 4] >> 8) / 16777216.0 >= (double)s->rate
                    ? (double)s->scale
                    : 0;
        }
}

void ref_softmax(uint32_t classes, uint32_t batch, double *x)
{
    uint32_t n, i;

    for (n = 0; n < batch; n++, x += classes) {
        double max = -INFINITY, sum = 0;

        for (i = 0; i < classes; i++) max = fmax(max, x[i]);
        for (i = 0; i < classes; i++) sum += exp(x[i] - max);
        for (i = 0; i < classes; i++) x[i] = exp(x[i] - max) / sum;
    }
}

double ref_softmax_loss(uint32_t classes, uint32_t batch, const double *x,
                        const int32_t *labels, double *dx)
{
    double loss = 0;
    uint32_t n, i;

    for (n = 0; n < batch; n++) {
        const double *row = x + (size_t)n * classes;
        double max = -INFINITY, sum = 0;

        for (i = 0; i < classes; i++) max = fmax(max, row[i]);
        for (i = 0; i < classes; i++) sum += exp(row[i] - max);
        loss += max + log(sum) - row[labels[n]];
        for (i = 0; dx != NULL && i < classes; i++)
            dx[(size_t)n * classes + i] =
                (exp(row[i] - max) / sum - (i == (uint32_t)labels[n])) / batch;
    }
    return loss / batch;
}

void ref_update(const an_update *u, size_t count, const double *g, double *v, double *w)
{
    size_t i;

    for (i = 0; i < count; i++) {
        v[i] = (double)u->momentum * v[i] - (double)u->decay * (double)u->rate * w[i] -
               (double)u->rate * g[i];
        w[i] += v[i];
    }
}
