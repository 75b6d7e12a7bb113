/*
 * network_values.c - what the networks of networks.c compute, in double precision.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "networks.h"
#include "train/train.h"

typedef struct maps { /* of NET_BATCH images */
    uint32_t maps, side;
    double *x;
} maps;

static maps maps_new(uint32_t count, uint32_t side)
{
    maps m = {count, side,
              calloc((size_t)NET_BATCH * count * side * side, sizeof(double))};

    return m;
}

static size_t numbers(const maps *m)
{
    return (size_t)NET_BATCH * m->maps * m->side * m->side;
}

static double *at(const maps *m, uint32_t image, uint32_t map, uint32_t y, uint32_t x)
{
    return &m->x[(((size_t)image * m->maps + map) * m->side + y) * m->side + x];
}

static double *values_of(const an_model *model, const char *layer, const char *suffix,
                         size_t wanted)
{
    float *values = malloc(wanted * sizeof *values);
    double *x = malloc(wanted * sizeof *x);
    uint32_t index;
    char name[48];
    size_t i;

    snprintf(name, sizeof name, "%s.%s", layer, suffix);
    expect_ok(an_parameter_find(model, name, &index));
    expect_ok(an_parameter_get(model, index, values, wanted));
    for (i = 0; i < wanted; i++) x[i] = (double)values[i];
    free(values);
    return x;
}

/* Sum of one output's products: a window of the maps of its group. */
static double product(const net_layer *l, const maps *in, const double *w, uint32_t image,
                      uint32_t map, long top, long left)
{
    uint32_t read = in->maps / l->groups, first = map / (l->maps / l->groups) * read, c;
    long kernel = l->kernel, side = in->side, y, x;
    double sum = 0;

    w += (size_t)map * read * l->kernel * l->kernel;
    for (c = 0; c < read; c++, w += kernel * kernel)
        for (y = top < 0 ? -top : 0; y < kernel && top + y < side; y++) {
            const double *row = at(in, image, first + c, (uint32_t)(top + y), 0);

            for (x = left < 0 ? -left : 0; x < kernel && left + x < side; x++)
                sum += w[y * kernel + x] * row[left + x];
        }
    return sum;
}

static maps convolve(const net_layer *l, const maps *in, const double *w, const double *b)
{
    maps out = maps_new(l->maps, l->side);
    uint32_t n, m, y, x;

    for (n = 0; n < NET_BATCH; n++)
        for (m = 0; m < l->maps; m++)
            for (y = 0; y < l->side; y++)
                for (x = 0; x < l->side; x++)
                    *at(&out, n, m, y, x) =
                        b[m] + product(l, in, w, n, m,
                                       (long)(y * l->stride) - (long)l->pad,
                                       (long)(x * l->stride) - (long)l->pad);
    return out;
}

static maps dense(const net_layer *l, const maps *in, const double *w, const double *b)
{
    maps out = maps_new(l->maps, 1);
    uint64_t n, m, i;

    for (n = 0; n < NET_BATCH; n++)
        for (m = 0; m < l->maps; m++) {
            double sum = b[m];

            for (i = 0; i < l->inputs; i++)
                sum += w[m * l->inputs + i] * in->x[n * l->inputs + i];
            out.x[n * l->maps + m] = sum;
        }
    return out;
}

static void activate(uint32_t kind, maps *m)
{
    size_t i;

    for (i = 0; i < numbers(m); i++) {
        double x = m->x[i];

        if (kind == AN_ACTIVATION_RELU) m->x[i] = fmax(x, 0);
        if (kind == AN_ACTIVATION_TANH) m->x[i] = tanh(x);
        if (kind == AN_ACTIVATION_SIGMOID) m->x[i] = 1 / (1 + exp(-x));
    }
}

/* Whether b is in the window of a, along an axis of so many. */
static int is_near(uint32_t a, uint32_t b, uint32_t window)
{
    return (a > b ? a - b : b - a) <= window / 2;
}

static maps normalise(const net_stage *s, const maps *in)
{
    maps out = maps_new(in->maps, in->side);
    uint32_t n, m, y, x, i, j, half = in->maps / 2;

    for (n = 0; n < NET_BATCH; n++)
        for (m = 0; m < in->maps; m++)
            for (y = 0; y < in->side; y++)
                for (x = 0; x < in->side; x++) {
                    double sum = 0;

                    for (i = 0; i < in->maps && s->kind == 'n'; i++)
                        if (is_near(i, m, s->window) &&
                            (!s->halves || (i < half) == (m < half)))
                            sum += *at(in, n, i, y, x) * *at(in, n, i, y, x);
                    for (i = 0; i < in->side && s->kind == 'w'; i++)
                        for (j = 0; j < in->side; j++)
                            if (is_near(i, y, s->window) && is_near(j, x, s->window))
                                sum += *at(in, n, m, i, j) * *at(in, n, m, i, j);
                    *at(&out, n, m, y, x) =
                        *at(in, n, m, y, x) / pow(s->k + s->alpha * sum, 0.75);
                }
    return out;
}

static maps pool(const net_stage *s, const maps *in)
{
    maps out = maps_new(in->maps, net_places(in->side, s->window, s->stride, s->ceil));
    uint32_t n, m, y, x, i, j;

    for (n = 0; n < NET_BATCH; n++)
        for (m = 0; m < in->maps; m++)
            for (y = 0; y < out.side; y++)
                for (x = 0; x < out.side; x++) {
                    double most = -INFINITY;

                    for (i = y * s->stride; i < y * s->stride + s->window; i++)
                        for (j = x * s->stride; j < x * s->stride + s->window; j++)
                            if (i < in->side && j < in->side)
                                most = fmax(most, *at(in, n, m, i, j));
                    *at(&out, n, m, y, x) = most;
                }
    return out;
}

/* The paper, 4.2: testing, outputs times the share that is kept; or training makes up for
 * it. Which are dropped is the generator's, by the place of the number in the batch. */
static void drop_out(const net *n, uint32_t layer, const net_pass *pass, maps *m)
{
    double keep = 1 - n->dropout_rate;
    size_t i;

    for (i = 0; i < numbers(m); i++) {
        uint32_t word[4];

        if (!pass->training) {
            if (n->scaling == AN_DROPOUT_SCALING_TEST) m->x[i] *= keep;
            continue;
        }
        an__random4(pass->seed, AN_STREAM_DROPOUT + layer, pass->iteration,
                    (uint32_t)(i / 4), word);
        if ((word[i % 4] >> 8) / 16777216.0 < n->dropout_rate)
            m->x[i] = 0;
        else if (n->scaling == AN_DROPOUT_SCALING_TRAIN)
            m->x[i] /= keep;
    }
}

/* To 8 significant bits, to nearest even. */
static double narrowed(double x)
{
    int exponent;
    double fraction = frexp(x, &exponent);

    return ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

static maps linear(const net_layer *l, const an_model *model, const maps *in,
                   const net_pass *pass)
{
    double *w = values_of(model, l->file_name, "weight", l->weights);
    double *b = values_of(model, l->file_name, "bias", l->maps);
    uint64_t i;
    maps out;

    for (i = 0; i < l->weights && pass->narrow && !l->is_conv; i++) w[i] = narrowed(w[i]);
    out = l->is_conv ? convolve(l, in, w, b) : dense(l, in, w, b);
    free(w);
    free(b);
    return out;
}

static void keep(net_values *out, uint32_t layer, uint32_t point, const maps *m)
{
    float **to = &out->at[layer][point - 1];
    size_t i;

    free(*to);
    out->count[layer][point - 1] = numbers(m);
    *to = malloc(numbers(m) * sizeof **to);
    for (i = 0; i < numbers(m); i++) (*to)[i] = (float)m->x[i];
}

static void replace(maps *m, maps with)
{
    free(m->x);
    *m = with;
}

static void run_layer(const net *n, uint32_t index, const an_model *model,
                      const net_pass *pass, maps *m, net_values *out)
{
    const net_layer *l = &n->layer[index];
    uint32_t i;

    replace(m, linear(l, model, m, pass));
    keep(out, index, AN_POINT_LINEAR, m);
    for (i = 0; i < l->stage_count; i++) {
        const net_stage *s = &l->stage[i];

        if (s->kind == 'a') {
            activate(n->activation, m);
            keep(out, index, AN_POINT_ACTIVATION, m);
        }
        if (s->kind == 'n' || s->kind == 'w') replace(m, normalise(s, m));
        if (s->kind == 'p') replace(m, pool(s, m));
        if (s->kind == 'd') drop_out(n, index, pass, m);
    }
    keep(out, index, AN_POINT_OUTPUT, m);
}

static void finish(const net *n, const maps *logits, const int32_t *labels,
                   net_values *out)
{
    uint32_t i, c;

    out->probabilities = malloc(numbers(logits) * sizeof *out->probabilities);
    for (i = 0; i < NET_BATCH; i++) {
        const double *row = logits->x + (size_t)i * n->classes;
        double sum = 0, most = -INFINITY;

        for (c = 0; c < n->classes; c++) most = fmax(most, row[c]);
        for (c = 0; c < n->classes; c++) sum += exp(row[c] - most);
        for (c = 0; c < n->classes; c++)
            out->probabilities[i * n->classes + c] = (float)(exp(row[c] - most) / sum);
        out->loss += (log(sum) + most - row[labels[i]]) / NET_BATCH;
    }
}

void net_run(const net *n, const an_model *model, const float *images,
             const int32_t *labels, const net_pass *pass, net_values *out)
{
    maps m = maps_new(3, n->image_size);
    uint32_t i;
    size_t j;

    memset(out, 0, sizeof *out);
    for (j = 0; j < numbers(&m); j++) m.x[j] = (double)images[j];
    for (i = 0; i < n->count; i++) run_layer(n, i, model, pass, &m, out);
    finish(n, &m, labels, out);
    free(m.x);
}

void net_values_free(net_values *values)
{
    uint32_t i, j;

    for (i = 0; i < NET_LAYERS; i++)
        for (j = 0; j < 3; j++) free(values->at[i][j]);
    free(values->probabilities);
}
