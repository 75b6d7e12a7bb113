/*
 * test_ops.c - every operation of every backend against test/ref.c, forward and backward.
 *
 * A case runs on each backend there is: the CPU's paths, the CUDA backend on the host run,
 * and on a card where $AN_TEST_CARD names a plugin for it. On the CPU it runs with several
 * numbers of threads, elsewhere twice: all runs of a backend must agree to the bit. Errors are
 * relative to the largest number of the reference's result; BOUND holds for all operations:
 * float32 sums of up to some thousand products. Products that may round their factors, and
 * Winograd's convolutions, have bounds of their own.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host_run.h"
#include "ref.h"
#include "test.h"

#define BOUND 2e-6
/* Its sums have weights of up to 8 on one side, 5 on the other. */
#define WINOGRAD_BOUND 1e-5

/* Of a number of 8 or 11 significant bits, half a unit of the last is 2^-9 or 2^-12: twice that
 * for a product of two. */
static const double bound_of[] = {BOUND, 5e-4, 4e-3}; /* by an_precision */

/* A context's threads and allocator serve as the backend's host. */
typedef struct rig {
    an_context *ctx;
    const an_backend *b;
    an_device *device;
    an_queue *queue;
    uint32_t precision;
    double bound; /* of products */
} rig;

#define OK(call) ck_assert_int_eq((call), AN_OK)

#define MOST_IMAGES 40u /* of a case */

/* What a case needs scratch for; both may be null. */
static size_t scratch(const rig *r, const an_conv_shape *conv,
                      const an_dense_shape *dense)
{
    if (conv != NULL) return r->b->conv_scratch(r->device, conv, MOST_IMAGES, 1);
    return dense != NULL ? r->b->dense_scratch(r->device, dense, MOST_IMAGES, 1) : 0;
}

/* Where a case runs: on a plugin's device, or on one of the CPU's paths. */
typedef struct place {
    const char *name, *plugin;
    uint32_t path;
} place;

static an_context *place_context(const place *at, uint32_t threads)
{
    an_context_config config;
    an_context *ctx;

    an_context_config_init(&config, sizeof config);
    config.threads = threads;
    config.cuda_plugin = at->plugin;
    config.cpu_path = at->path;
    ck_assert_msg(an_context_create(&ctx, &config) == AN_OK, "%s", an_error_message());
    return ctx;
}

static rig open_rig(const place *at, uint32_t threads, uint32_t precision,
                    const an_conv_shape *conv, const an_dense_shape *dense)
{
    rig r;

    r.ctx = place_context(at, threads);
    r.b = at->plugin != NULL ? r.ctx->cuda : r.ctx->cpu;
    r.precision = precision;
    r.bound = bound_of[precision];
    ck_assert_int_eq(r.b->open(&r.device, 0, &r.ctx->host), AN_OK);
    ck_assert_int_eq(r.b->queue_open(&r.queue, r.device, scratch(&r, conv, dense)),
                     AN_OK);
    return r;
}

static void close_rig(rig *r)
{
    r->b->queue_close(r->queue);
    r->b->close(r->device);
    an_context_destroy(r->ctx);
}

/* An array in double and in the device's float, with the same values: in the host's order
 * and in the device's. */
typedef struct both {
    an_order order;
    size_t count;
    double *ref;
    float *device;
} both;

static uint32_t noise_state = 1;

static float noise(void)
{
    noise_state = noise_state * 1664525u + 1013904223u;
    return (float)(noise_state >> 8) / 8388608.0f - 1;
}

static void put_values(const rig *r, const both *a, const float *values)
{
    ck_assert_int_eq(r->b->put(r->queue, &a->order, a->device, 0, values, a->count),
                     AN_OK);
    ck_assert_int_eq(r->b->sync(r->queue), AN_OK);
}

static both make_slabs(const rig *r, size_t rows, uint32_t slabs, uint32_t maps,
                       uint32_t pixels, float scale)
{
    size_t count = rows * slabs * maps * pixels;
    both a = {
        {rows, slabs, maps, pixels, 0}, count, malloc(count * sizeof(double)), NULL};
    float *values = malloc(count * sizeof *values);
    void *memory;
    size_t i;

    for (i = 0; i < count; i++) a.ref[i] = (double)(values[i] = noise() * scale);
    ck_assert_int_eq(r->b->alloc(r->device, count * sizeof(float), &memory), AN_OK);
    a.device = memory;
    put_values(r, &a, values);
    free(values);
    return a;
}

/* The device's copy of new reference values. */
static void put(const rig *r, const both *a)
{
    float *values = malloc(a->count * sizeof *values);
    size_t i;

    for (i = 0; i < a->count; i++) values[i] = (float)a->ref[i];
    put_values(r, a, values);
    free(values);
}

/* Random weights. */
static both make_weights(const rig *r, size_t rows, uint32_t slabs, uint32_t maps,
                         uint32_t pixels)
{
    both a = make_slabs(r, rows, slabs, maps, pixels, 1);

    a.order.weights = 1;
    put(r, &a);
    return a;
}

static both make_maps(const rig *r, size_t rows, uint32_t maps, uint32_t pixels,
                      float scale)
{
    return make_slabs(r, rows, 1, maps, pixels, scale);
}

static both make(const rig *r, size_t count, float scale)
{
    return make_slabs(r, count, 1, 1, 1, scale);
}

static float *get(const rig *r, const both *a)
{
    float *values = malloc(a->count * sizeof *values);

    ck_assert_int_eq(r->b->get(r->queue, &a->order, values, a->device, 0, a->count),
                     AN_OK);
    ck_assert_int_eq(r->b->sync(r->queue), AN_OK);
    return values;
}

static void drop(const rig *r, both *a)
{
    r->b->release(r->device, a->device);
    free(a->ref);
}

/* Also mixes the device's bits into a sum, by which runs are compared. Rounded factors are up
 * to 1, and sums of their products may be near 0: their errors are relative to 1 at least. */
static uint64_t bits;

static void same(const rig *r, const char *what, const both *a, double bound)
{
    float *got = get(r, a);
    double worst = 0, largest = bound > WINOGRAD_BOUND ? 1 : 1e-30;
    size_t i;

    for (i = 0; i < a->count; i++) {
        uint32_t word;

        memcpy(&word, &got[i], sizeof word);
        bits = (bits ^ word) * 1099511628211u;
        if (fabs(a->ref[i]) > largest) largest = fabs(a->ref[i]);
        if (!(fabs((double)got[i] - a->ref[i]) <= worst))
            worst = fabs((double)got[i] - a->ref[i]);
    }
    ck_assert_msg(worst <= bound * largest, "%s: off by %g of %g", what, worst, largest);
    free(got);
}

/* Runs a case with each of these numbers of threads; all must give the same bits. */
static void on_one(const place *at, const uint32_t *threads, int runs, uint32_t precision,
                   void (*body)(rig *r, const void *arg), const an_conv_shape *conv,
                   const an_dense_shape *dense, const void *arg)
{
    uint64_t first = 0;
    int i;

    for (i = 0; i < runs; i++) {
        rig r = open_rig(at, threads[i], precision, conv, dense);

        noise_state = 1;
        bits = 1;
        body(&r, arg);
        close_rig(&r);
        if (i == 0) first = bits;
        ck_assert_msg(bits == first, "%s: run %d gives other bits than the first",
                      at->name, i);
    }
}

static const place paths[] = {{"reference", NULL, AN_CPU_PATH_REFERENCE},
                              {"avx2", NULL, AN_CPU_PATH_AVX2},
                              {"avx512", NULL, AN_CPU_PATH_AVX512}};

static void on_all_of(uint32_t precisions, void (*body)(rig *r, const void *arg),
                      const an_conv_shape *conv, const an_dense_shape *dense,
                      const void *arg)
{
    static const uint32_t threads[] = {1, 2, 3, 8};
    const place host_run = {"host run", host_run_path(), AN_CPU_PATH_BEST};
    const place card = {"card", card_path(), AN_CPU_PATH_BEST};
    uint32_t precision;
    size_t i;

    if (getenv("AN_TEST_CARD_ALONE") != NULL) {
        for (precision = 0; precision < precisions; precision++)
            on_one(&card, threads, 1, precision, body, conv, dense, arg);
        return;
    }
    for (i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (an__cpu_path(paths[i].path) != NULL)
            on_one(&paths[i], threads, 4, 0, body, conv, dense, arg);
    for (precision = 0; precision < precisions; precision++) {
        on_one(&host_run, threads, 2, precision, body, conv, dense, arg);
        if (card.plugin != NULL)
            on_one(&card, threads, 2, precision, body, conv, dense, arg);
    }
}

static void on_all(void (*body)(rig *r, const void *arg), const void *arg)
{
    on_all_of(1, body, NULL, NULL, arg);
}

/* --- convolution ------------------------------------------------------------------------- */

static const struct {
    uint32_t batch;
    an_conv_shape s; /* maps, height, width in and out, kernel, stride, pad, groups */
} convs[] = {
    {1, {3, 11, 11, 4, 1, 1, 11, 4, 0, 1, 1, 0, 0, 0}}, /* one output pixel */
    {3,
     {3, 23, 21, 5, 4, 4, 11, 4, 0, 1, 1, 0, 0,
      0}}, /* zeros behind alone: 23 of 4 * 3 + 11 */
    {1, {3, 20, 20, 4, 4, 4, 11, 4, 0, 1, 1, 0, 0, 0}}, /* three of them */
    {2, {4, 9, 7, 6, 9, 7, 5, 1, 2, 2, 1, 0, 0, 0}},    /* groups, same size */
    {9, {6, 13, 13, 8, 13, 13, 3, 1, 1, 2, 1, 0, 0, 0}},
    {3, {2, 10, 9, 3, 4, 3, 2, 3, 0, 1, 1, 0, 0, 0}},      /* stride beyond the kernel */
    {2, {1, 8, 8, 2, 3, 3, 1, 3, 0, 1, 1, 0, 0, 0}},       /* 1 x 1 kernels, stride 3 */
    {3, {5, 1, 1, 3, 1, 1, 3, 1, 1, 1, 1, 0, 0, 0}},       /* one pixel amid padding */
    {2, {3, 12, 15, 4, 4, 4, 7, 4, 3, 1, 1, 0, 0, 0}},     /* padding with stride */
    {2, {2, 5, 3, 2, 7, 5, 5, 1, 3, 1, 1, 0, 0, 0}},       /* more padding than "same" */
    {1, {48, 27, 27, 32, 27, 27, 5, 1, 2, 1, 1, 0, 0, 0}}, /* deep: 1200 products */
    {8, {96, 13, 13, 64, 13, 13, 3, 1, 1, 2, 1, 0, 0, 0}},
    {5, {6, 13, 13, 36, 13, 13, 3, 1, 1, 2, 1, 0, 0, 0}}, /* tiles cut at the edge */
    {4, {40, 9, 6, 70, 9, 6, 5, 1, 2, 1, 1, 0, 0, 0}},
    {6, {20, 5, 8, 3, 5, 8, 3, 1, 1, 1, 2, 0, 0, 0}}, /* both towers' maps joined */
    {5, {8, 12, 7, 12, 12, 7, 5, 1, 2, 1, 2, 1, 0, 0}},
    {1, {34, 6, 7, 40, 6, 7, 3, 1, 1, 1, 2, 0, 0, 0}},
    {4,
     {3, 30, 31, 8, 30, 31, 5, 1, 2, 1, 1, 0, 0, 0}}, /* few maps, as in a first layer */
    {33, {17, 4, 5, 18, 4, 5, 3, 1, 1, 1, 1, 0, 0, 0}},
    {6, {5, 9, 9, 150, 9, 9, 3, 1, 1, 1, 1, 0, 0, 0}}, /* more maps than meet at a time */
};

static an_conv_shape of_rig(const rig *r, const an_conv_shape *s)
{
    an_conv_shape shape = *s;

    shape.precision = r->precision;
    return shape;
}

/* Of what Winograd's way may be taken for. */
static double conv_bound(const rig *r, const an_conv_shape *s)
{
    if (!r->b->fuses || s->stride > 1 || (s->kernel != 3 && s->kernel != 5))
        return r->bound;
    return r->bound > WINOGRAD_BOUND ? r->bound : WINOGRAD_BOUND;
}

/* With weights packed before, and with ReLU: what differs from y is that alone. */
static void packed_and_fused(rig *r, const an_conv_shape *s, uint32_t batch,
                             const both *x, const both *w, const both *b, const both *y)
{
    both again = make_maps(r, batch, s->out_maps, s->out_height * s->out_width, 9);
    an_conv_shape fused = *s;
    float *want = get(r, y), *got;
    void *pack;
    size_t bytes, i;
    uint32_t way = r->b->conv_way(r->device, s, batch, &bytes);

    ck_assert_int_eq(r->b->alloc(r->device, bytes, &pack), AN_OK);
    OK(r->b->conv_pack(r->queue, s, way, w->device, pack));
    fused.relu = 1;
    OK(r->b->conv_forward(r->queue, &fused, batch, x->device, w->device, pack, b->device,
                          again.device));
    got = get(r, &again);
    for (i = 0; i < y->count; i++)
        ck_assert_msg(got[i] == (want[i] < 0 ? 0 : want[i]), "number %zu", i);
    r->b->release(r->device, pack);
    free(want);
    free(got);
    drop(r, &again);
}

static void conv_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    const an_conv_shape shape = of_rig(r, &convs[i].s), *s = &shape;
    uint32_t batch = convs[i].batch;
    uint32_t in = s->in_height * s->in_width, out = s->out_height * s->out_width;
    uint32_t maps = s->in_maps / s->groups / s->slabs, taps = s->kernel * s->kernel;
    both x = make_slabs(r, batch, s->slabs, s->in_maps / s->slabs, in, 1);
    both w = make_weights(r, s->out_maps, s->slabs, maps, taps);
    both b = make(r, s->out_maps, 1);
    both y = make_maps(r, batch, s->out_maps, out, 9);
    both dy = make_maps(r, batch, s->out_maps, out, 1);
    both dx = make_slabs(r, batch, s->slabs, s->in_maps / s->slabs, in, 9);
    both dw = make_weights(r, s->out_maps, s->slabs, maps, taps);
    both db = make(r, s->out_maps, 9);
    double bound = conv_bound(r, s);

    OK(r->b->conv_forward(r->queue, s, batch, x.device, w.device, NULL, b.device,
                          y.device));
    OK(r->b->conv_backward_data(r->queue, s, batch, w.device, dy.device, dx.device));
    OK(r->b->conv_backward_weights(r->queue, s, batch, x.device, dy.device, dw.device,
                                   db.device));
    ref_conv_forward(s, batch, x.ref, w.ref, b.ref, y.ref);
    ref_conv_backward(s, batch, x.ref, w.ref, dy.ref, dx.ref, dw.ref, db.ref);
    same(r, "y", &y, bound);
    same(r, "dx", &dx, bound);
    same(r, "dw", &dw, r->bound);
    same(r, "db", &db, r->bound);
    if (r->b->fuses) packed_and_fused(r, s, batch, &x, &w, &b, &y);
    drop(r, &x), drop(r, &w), drop(r, &b), drop(r, &y);
    drop(r, &dy), drop(r, &dx), drop(r, &dw), drop(r, &db);
}

START_TEST(convolution)
{
    on_all_of(3, conv_case, &convs[_i].s, NULL, &_i);
}
END_TEST

/* --- dense ------------------------------------------------------------------------------- */

static const struct {
    uint32_t batch, inputs, outputs, slabs;
} denses[] = {{1, 1, 1, 1},      {1, 7, 300, 1},  {3, 1000, 129, 1}, {9, 513, 10, 1},
              {32, 100, 257, 1}, {2, 1300, 5, 1}, {37, 90, 33, 1},   {13, 2080, 150, 1},
              {5, 600, 40, 2},   {20, 360, 41, 2}}; /* inputs: see pixels_of() */

/* Some inputs are maps of several pixels. */
static uint32_t pixels_of(uint32_t inputs)
{
    return inputs % 9 == 0 ? 9 : inputs % 4 == 0 ? 4 : 1;
}

static an_dense_shape dense_shape(int i, uint32_t precision)
{
    an_dense_shape s = {
        denses[i].inputs,           denses[i].outputs, denses[i].slabs, 0, precision, 0,
        pixels_of(denses[i].inputs)};

    return s;
}

static void dense_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    an_dense_shape s = dense_shape(i, r->precision);
    uint32_t n = denses[i].batch, maps = s.inputs / s.pixels / s.slabs;
    both x = make_slabs(r, n, s.slabs, maps, s.pixels, 1), b = make(r, s.outputs, 1);
    both w = make_weights(r, s.outputs, s.slabs, maps, s.pixels);
    both y = make(r, n * s.outputs, 9), dy = make(r, n * s.outputs, 1);
    both dx = make_slabs(r, n, s.slabs, maps, s.pixels, 9), db = make(r, s.outputs, 9);
    both dw = make_weights(r, s.outputs, s.slabs, maps, s.pixels);

    OK(r->b->dense_forward(r->queue, &s, n, x.device, w.device, NULL, b.device,
                           y.device));
    OK(r->b->dense_backward_data(r->queue, &s, n, w.device, dy.device, dx.device));
    OK(r->b->dense_backward_weights(r->queue, &s, n, x.device, dy.device, dw.device,
                                    db.device));
    ref_dense_forward(&s, n, x.ref, w.ref, b.ref, y.ref);
    ref_dense_backward(&s, n, x.ref, w.ref, dy.ref, dx.ref, dw.ref, db.ref);
    same(r, "y", &y, r->bound);
    same(r, "dx", &dx, r->bound);
    same(r, "dw", &dw, r->bound);
    same(r, "db", &db, r->bound);
    drop(r, &x), drop(r, &w), drop(r, &b), drop(r, &y);
    drop(r, &dy), drop(r, &dx), drop(r, &dw), drop(r, &db);
}

/* With weights in bfloat16: the reference has the same weights, so that the bound is that of
 * float32. */
static void narrow_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    an_dense_shape s = dense_shape(i, AN_PRECISION_BF16);
    uint32_t n = denses[i].batch, maps = s.inputs / s.pixels / s.slabs;
    both x, w, b, y;
    void *pack;
    size_t bytes, j;

    bytes = r->b->dense_way != NULL ? r->b->dense_way(r->device, &s, n) : 0;
    if (bytes == 0) return;
    x = make_slabs(r, n, s.slabs, maps, s.pixels, 1);
    w = make_weights(r, s.outputs, s.slabs, maps, s.pixels);
    b = make(r, s.outputs, 1);
    y = make(r, n * s.outputs, 9);
    ck_assert_int_eq(r->b->alloc(r->device, bytes, &pack), AN_OK);
    OK(r->b->dense_pack(r->queue, &s, w.device, pack));
    OK(r->b->dense_forward(r->queue, &s, n, x.device, w.device, pack, b.device,
                           y.device));
    for (j = 0; j < w.count; j++) { /* 8 significant bits, ties to even */
        int exponent;
        double fraction = frexp(w.ref[j], &exponent);

        w.ref[j] = ldexp(nearbyint(fraction * 256), exponent - 8);
    }
    ref_dense_forward(&s, n, x.ref, w.ref, b.ref, y.ref);
    same(r, "y", &y, BOUND);
    r->b->release(r->device, pack);
    drop(r, &x), drop(r, &w), drop(r, &b), drop(r, &y);
}

START_TEST(dense_weights_in_bfloat16)
{
    const an_dense_shape s = dense_shape(_i, 0);

    on_all_of(1, narrow_case, NULL, &s, &_i);
}
END_TEST

START_TEST(dense)
{
    const an_dense_shape s = dense_shape(_i, 0);

    on_all_of(3, dense_case, NULL, &s, &_i);
}
END_TEST

/* --- activations ------------------------------------------------------------------------- */

static void activation_case(rig *r, const void *arg)
{
    uint32_t kind = (uint32_t) * (const int *)arg;
    both y = make(r, 70001, 4), dy = make(r, 70001, 1);

    y.ref[3] = 0; /* relu'(0) is 0 */
    put(r, &y);
    OK(r->b->activation_forward(r->queue, kind, y.count, y.device));
    ref_activation_forward(kind, y.count, y.ref);
    same(r, "y", &y, BOUND);
    OK(r->b->activation_backward(r->queue, kind, y.count, y.device, dy.device));
    ref_activation_backward(kind, y.count, y.ref, dy.ref);
    same(r, "dx", &dy, BOUND);
    drop(r, &y), drop(r, &dy);
}

START_TEST(activation)
{
    on_all(activation_case, &_i);
}
END_TEST

/* tanh and sigmoid keep their digits near 0 and far from it, and what is no number. */
static void extremes_case(rig *r, const void *arg)
{
    static const double at[] = {1e-20, 1e-6, 1e-3, 0.1,  0.6,     1,
                                5,     20,   80,   1e30, INFINITY};
    const size_t count = sizeof at / sizeof at[0];
    uint32_t kind;

    (void)arg;
    for (kind = AN_ACTIVATION_TANH; kind <= AN_ACTIVATION_SIGMOID; kind++) {
        both x = make(r, 2 * count + 1, 1);
        float *got;
        size_t i;

        for (i = 0; i < 2 * count; i++) x.ref[i] = i % 2 ? -at[i / 2] : at[i / 2];
        x.ref[2 * count] = NAN;
        put(r, &x);
        OK(r->b->activation_forward(r->queue, kind, x.count, x.device));
        got = get(r, &x);
        ref_activation_forward(kind, x.count, x.ref);
        for (i = 0; i < 2 * count; i++)
            ck_assert_msg(fabs((double)got[i] - x.ref[i]) <=
                              1e-6 * fabs(x.ref[i]) + 1e-37,
                          "kind %u, number %zu: %g instead of %g", kind, i,
                          (double)got[i], x.ref[i]);
        ck_assert(isnan(got[2 * count]));
        free(got);
        drop(r, &x);
    }
}

START_TEST(activations_at_extremes)
{
    on_all(extremes_case, NULL);
}
END_TEST

/* --- normalisation ----------------------------------------------------------------------- */

static const struct {
    uint32_t batch, within;
    an_lrn_shape s; /* maps, height, width, size, groups, k, alpha, beta */
} lrns[] = {
    {2, 0, {8, 5, 7, 5, 1, 2, 1e-4f, 0.75f}},
    {1, 0, {8, 5, 7, 5, 2, 2, 1e-2f, 0.75f}},  /* the window stops at the group's edge */
    {3, 0, {3, 1, 1, 5, 1, 1, 0.3f, 0.75f}},   /* a window wider than the maps */
    {1, 0, {12, 17, 19, 3, 2, 1, 0.1f, 0.5f}}, /* another exponent */
    {1, 0, {6, 20, 21, 9, 1, 1, 0.1f, 0.75f}},
    {1, 0, {1, 3, 3, 1, 1, 1, 0.1f, 0.75f}},
    {1, 0, {33, 4, 5, 5, 1, 2, 1e-2f, 0.75f}}, /* vectors, and what is left of one */
    {1, 0, {34, 4, 5, 5, 1, 2, 1e-2f, 0.75f}},
    {2, 0, {36, 3, 5, 5, 2, 2, 1e-2f, 0.75f}},
    {1, 0, {83, 5, 60, 9, 1, 1, 1e-2f, 0.75f}},
    {2, 1, {3, 9, 7, 5, 1, 1, 4e-2f, 0.75f}},
    {1, 1, {2, 1, 1, 5, 1, 1, 0.3f, 0.75f}},
    {1, 1, {2, 13, 2, 3, 1, 2, 0.3f, 1}},
    {1, 1, {1, 10, 12, 9, 1, 1, 0.01f, 0.75f}},
    {1, 1, {35, 6, 27, 5, 1, 1, 0.01f, 0.75f}},
    {1, 1, {17, 11, 75, 9, 1, 1, 0.01f, 0.75f}}, /* wide */
};

static void lrn_case(rig *r, const void *arg)
{
    int i = *(const int *)arg, within = (int)lrns[i].within;
    const an_lrn_shape *s = &lrns[i].s;
    uint32_t n = lrns[i].batch;
    uint32_t pixels = s->height * s->width;
    both x = make_maps(r, n, s->maps, pixels, 3), y = make_maps(r, n, s->maps, pixels, 9);
    both dy = make_maps(r, n, s->maps, pixels, 1),
         dx = make_maps(r, n, s->maps, pixels, 9);

    OK((within ? r->b->lrn_within_forward : r->b->lrn_forward)(r->queue, s, n, x.device,
                                                               y.device));
    OK((within ? r->b->lrn_within_backward : r->b->lrn_backward)(r->queue, s, n, x.device,
                                                                 dy.device, dx.device));
    ref_lrn_forward(s, within, n, x.ref, y.ref);
    ref_lrn_backward(s, within, n, x.ref, dy.ref, dx.ref);
    same(r, "y", &y, BOUND);
    same(r, "dx", &dx, BOUND);
    drop(r, &x), drop(r, &y), drop(r, &dy), drop(r, &dx);
}

START_TEST(normalisation)
{
    on_all(lrn_case, &_i);
}
END_TEST

/* --- pooling ----------------------------------------------------------------------------- */

static const struct {
    uint32_t batch, ties;
    an_pool_shape s; /* maps, height, width in and out, kernel, stride */
} pools[] = {
    {2, 0, {3, 13, 13, 6, 6, 3, 2}}, /* overlapping, exact */
    {1, 0, {2, 10, 9, 5, 4, 3, 2}},  /* the last windows hang over the lower edge */
    {1, 0, {2, 8, 8, 4, 4, 2, 2}},   /* plain */
    {3, 0, {1, 9, 9, 3, 3, 2, 3}},   /* stride beyond the kernel: some inputs unread */
    {1, 0, {2, 1, 1, 1, 1, 3, 2}},
    {2, 1, {2, 13, 11, 6, 5, 3, 2}}, /* many equal values */
    {2, 1, {35, 9, 8, 4, 4, 3, 2}},
    {1, 1, {17, 5, 140, 3, 138, 3, 1}}, /* wide */
    {1, 1, {3, 4, 263, 2, 131, 3, 2}},
};

static void pool_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    const an_pool_shape *s = &pools[i].s;
    uint32_t n = pools[i].batch;
    uint32_t in = s->in_height * s->in_width, out = s->out_height * s->out_width;
    both x = make_maps(r, n, s->maps, in, 2), y = make_maps(r, n, s->maps, out, 9);
    both dy = make_maps(r, n, s->maps, out, 1), dx = make_maps(r, n, s->maps, in, 9);
    size_t j;

    for (j = 0; pools[i].ties && j < x.count; j++) x.ref[j] = floor(x.ref[j]);
    put(r, &x);
    OK(r->b->pool_forward(r->queue, s, n, x.device, y.device));
    OK(r->b->pool_backward(r->queue, s, n, x.device, dy.device, dx.device));
    ref_pool_forward(s, n, x.ref, y.ref);
    ref_pool_backward(s, n, x.ref, dy.ref, dx.ref);
    same(r, "y", &y, 0);
    same(r, "dx", &dx, BOUND);
    drop(r, &x), drop(r, &y), drop(r, &dy), drop(r, &dx);
}

START_TEST(pooling)
{
    on_all(pool_case, &_i);
}
END_TEST

/* The rule by itself: four equal inputs of one window each get its whole gradient; with
 * overlapping windows an input gets that of each window whose maximum it equals. */
static void tie_case(rig *r, const void *arg)
{
    const an_pool_shape s = {1, 3, 3, 2, 2, 2, 1};
    static const float want[9] = {1, 3, 2, 4, 10, 6, 3, 7, 4};
    both x = make(r, 9, 1), dy = make(r, 4, 1), dx = make(r, 9, 9);
    size_t i;

    (void)arg;
    for (i = 0; i < 9; i++) x.ref[i] = 5;
    for (i = 0; i < 4; i++) dy.ref[i] = (double)i + 1;
    put(r, &x);
    put(r, &dy);
    OK(r->b->pool_backward(r->queue, &s, 1, x.device, dy.device, dx.device));
    for (i = 0; i < 9; i++) dx.ref[i] = (double)want[i];
    same(r, "dx", &dx, 0);
    drop(r, &x), drop(r, &dy), drop(r, &dx);
}

START_TEST(every_tied_maximum_receives_the_gradient)
{
    on_all(tie_case, NULL);
}
END_TEST

/* --- dropout ----------------------------------------------------------------------------- */

/* Maps of 5 pixels: the mask is the host's order's, whatever the device's is. */
static void dropout_case(rig *r, const void *arg)
{
    const an_dropout_shape whole = {1030, 0, 1030, 5, 5, 0.3f, 1},
                           left = {515, 0, 1030, 5, 5, 0.3f, 1};
    const an_dropout_shape right = {515, 515, 1030, 5, 5, 0.3f, 1 / 0.7f};
    both x = make_maps(r, 4, 206, 5, 1), a = make_maps(r, 4, 103, 5, 1);
    both b = make_maps(r, 4, 103, 5, 1);
    an_dropout_shape ref;
    an_step step;
    size_t n, i, kept = 0;

    (void)arg;
    for (n = 0; n < 4; n++)
        for (i = 0; i < 515; i++) {
            a.ref[n * 515 + i] = x.ref[n * 1030 + i];
            b.ref[n * 515 + i] = x.ref[n * 1030 + 515 + i];
        }
    put(r, &a);
    put(r, &b);
    memset(&step, 0, sizeof step);
    step.seed = 77;
    step.iteration = 1u << 20;
    step.first = 9;
    OK(r->b->begin_step(r->queue, &step));
    OK(r->b->dropout(r->queue, &whole, 4, x.device));
    OK(r->b->dropout(r->queue, &left, 4, a.device));
    OK(r->b->dropout(r->queue, &right, 4, b.device));
    ref = whole;
    ref.first += 9 * whole.total;
    ref_dropout(&ref, 4, 77, 1u << 20, x.ref);
    for (n = 0; n < 4; n++) /* two halves have the mask of the whole */
        for (i = 0; i < 515; i++) {
            a.ref[n * 515 + i] = x.ref[n * 1030 + i];
            b.ref[n * 515 + i] = x.ref[n * 1030 + 515 + i] / (double)0.7f;
            kept +=
                (size_t)((x.ref[n * 1030 + i] != 0) + (x.ref[n * 1030 + 515 + i] != 0));
        }
    same(r, "whole", &x, 0);
    same(r, "left", &a, 0);
    same(r, "right", &b, BOUND);
    /* 0.7 of 4120, within four standard deviations */
    ck_assert_uint_ge(kept, 2884 - 118);
    ck_assert_uint_le(kept, 2884 + 118);
    drop(r, &x), drop(r, &a), drop(r, &b);
}

START_TEST(dropout)
{
    on_all(dropout_case, NULL);
}
END_TEST

/* Known answers of Philox 4x32-10, from the authors' test vectors (Random123). */
START_TEST(generator_gives_the_published_numbers)
{
    static const uint32_t zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    static const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    uint32_t counter[4] = {0, 0, 0, 0}, out[4];

    an__philox(0, counter, out);
    ck_assert_mem_eq(out, zero, sizeof out);
    memset(counter, 0xff, sizeof counter);
    an__philox(UINT64_MAX, counter, out);
    ck_assert_mem_eq(out, ones, sizeof out);
}
END_TEST

/* --- softmax, update, the rest ------------------------------------------------------------ */

/* Device memory with these bytes; got back by take(). */
static void *give(const rig *r, const void *from, size_t bytes)
{
    void *memory;

    ck_assert_int_eq(r->b->alloc(r->device, bytes, &memory), AN_OK);
    ck_assert_int_eq(r->b->upload(r->queue, memory, from, bytes), AN_OK);
    return memory;
}

static void take(const rig *r, void *to, void *memory, size_t bytes)
{
    ck_assert_int_eq(r->b->download(r->queue, to, memory, bytes), AN_OK);
    ck_assert_int_eq(r->b->sync(r->queue), AN_OK);
    r->b->release(r->device, memory);
}

static void softmax_case(rig *r, const void *arg)
{
    const uint32_t classes = *(const int *)arg ? 1003 : 11, n = 5;
    const int32_t labels[5] = {0, 10, 3, 3, (int32_t)classes - 1};
    size_t numbers = (size_t)classes * n;
    both x = make(r, numbers, 60); /* logits to 60 */
    both dx = make(r, numbers, 9), p = make(r, numbers, 9);
    double losses[5] = {9, 9, 9, 9, 9}, sum = 0, want;
    void *device_labels = give(r, labels, sizeof labels);
    void *device_losses = give(r, losses, sizeof losses);
    int i;

    x.ref[0] = 500; /* e^500 is beyond double's range squared, let alone float's */
    x.ref[12] = -500;
    put(r, &x);
    OK(r->b->softmax_loss(r->queue, classes, n, x.device, device_labels, dx.device,
                          p.device, device_losses));
    take(r, losses, device_losses, sizeof losses);
    r->b->release(r->device, device_labels);
    want = ref_softmax_loss(classes, n, x.ref, labels, dx.ref);
    for (i = 0; i < 5; i++) sum += losses[i] / n;
    ck_assert_double_eq_tol(sum, want, 1e-12 * want);
    same(r, "dx", &dx, BOUND);
    OK(r->b->softmax(r->queue, classes, n, x.device));
    ref_softmax(classes, n, x.ref);
    same(r, "p", &x, BOUND);
    memcpy(p.ref, x.ref, numbers * sizeof *p.ref);
    same(r, "p of the loss", &p, BOUND);
    drop(r, &x), drop(r, &dx), drop(r, &p);
}

START_TEST(softmax)
{
    on_all(softmax_case, &_i);
}
END_TEST

static void update_case(rig *r, const void *arg)
{
    const an_update u = {0.01f, 0.9f, 0.0005f};
    both w = make(r, 70001, 1), v = make(r, 70001, 0.1f), g = make(r, 70001, 5);
    float none = 0, some = 1;
    void *faults = give(r, &none, sizeof none), *fault = give(r, &some, sizeof some);
    an_step step;

    (void)arg;
    memset(&step, 0, sizeof step);
    step.update[3] = step.update[4] = u;
    step.update[4].rate = 0;
    OK(r->b->begin_step(r->queue, &step));
    OK(r->b->update(r->queue, 3, w.count, faults, g.device, v.device, w.device));
    OK(r->b->update(r->queue, 3, w.count, fault, g.device, v.device, w.device));
    OK(r->b->update(r->queue, 4, w.count, faults, g.device, v.device, w.device));
    ref_update(&u, w.count, g.ref, v.ref, w.ref); /* by the first of them alone */
    same(r, "v", &v, BOUND);
    same(r, "w", &w, BOUND);
    r->b->release(r->device, faults);
    r->b->release(r->device, fault);
    drop(r, &w), drop(r, &v), drop(r, &g);
}

START_TEST(update)
{
    on_all(update_case, NULL);
}
END_TEST

static void exchange_case(rig *r, const void *arg)
{
    both from = make(r, 3 * 10, 1), to = make(r, 3 * 7, 1);
    size_t n, i;

    (void)arg;
    OK(r->b->exchange(r->queue, to.device + 2, 7, r->queue, from.device + 1, 10, 5, 3,
                      0));
    OK(r->b->exchange(r->queue, to.device, 7, r->queue, from.device, 10, 3, 3, 1));
    for (n = 0; n < 3; n++) {
        for (i = 0; i < 5; i++) to.ref[n * 7 + 2 + i] = from.ref[n * 10 + 1 + i];
        for (i = 0; i < 3; i++) to.ref[n * 7 + i] += from.ref[n * 10 + i];
    }
    same(r, "to", &to, 1e-7);
    OK(r->b->scale(r->queue, to.count, 0.25f, to.device));
    for (i = 0; i < to.count; i++) to.ref[i] *= 0.25;
    same(r, "scaled", &to, 1e-7);
    drop(r, &from), drop(r, &to);
}

START_TEST(exchange_and_scale)
{
    on_all(exchange_case, NULL);
}
END_TEST

/* Nothing hides a NaN or an infinity. */
static int all_finite(const rig *r, const both *a)
{
    float faults = 0;
    void *device = give(r, &faults, sizeof faults);

    OK(r->b->all_finite(r->queue, a->count, a->device, device));
    take(r, &faults, device, sizeof faults);
    return faults == 0;
}

static void nonfinite_case(rig *r, const void *arg)
{
    static const double evil[3] = {NAN, INFINITY, -INFINITY};
    static const int32_t label = 1;
    int e;

    (void)arg;
    for (e = 0; e < 3; e++) {
        both big = make(r, 100000, 3e38f), x = make(r, 9, 1);
        both logits = make(r, 3, 1), dx = make(r, 3, 1), p = make(r, 3, 1);
        float *got;
        double loss = 0;
        void *device_label = give(r, &label, sizeof label);
        void *device_loss = give(r, &loss, sizeof loss);

        ck_assert(all_finite(r, &big));
        big.ref[99999 - 40000 * (size_t)e] = evil[e];
        put(r, &big);
        ck_assert(!all_finite(r, &big));

        x.ref[4] = NAN;
        put(r, &x);
        OK(r->b->activation_forward(r->queue, AN_ACTIVATION_RELU, 9, x.device));
        got = get(r, &x);
        ck_assert(isnan(got[4]));
        free(got);
        logits.ref[e] = e == 2 ? INFINITY : evil[e];
        put(r, &logits);
        OK(r->b->softmax_loss(r->queue, 3, 1, logits.device, device_label, dx.device,
                              p.device, device_loss));
        take(r, &loss, device_loss, sizeof loss);
        r->b->release(r->device, device_label);
        ck_assert(!isfinite(loss));
        drop(r, &big), drop(r, &x), drop(r, &logits), drop(r, &dx), drop(r, &p);
    }
}

START_TEST(nonfinite_numbers_are_seen)
{
    on_all(nonfinite_case, NULL);
}
END_TEST

/* One NaN of one map; the others' results stay numbers. */
static void nan_pool_case(rig *r, const void *arg)
{
    const an_pool_shape s = {19, 3, 3, 1, 1, 3, 2};
    both x = make_maps(r, 1, 19, 9, 1), y = make_maps(r, 1, 19, 1, 1);
    uint32_t map, i, k;

    (void)arg;
    for (map = 0; map < 19; map += 9)
        for (i = 0; i < 9; i += 4) { /* first, middle and last of a window */
            double before = x.ref[map * 9 + i];
            float *got;

            x.ref[map * 9 + i] = NAN;
            put(r, &x);
            x.ref[map * 9 + i] = before;
            OK(r->b->pool_forward(r->queue, &s, 1, x.device, y.device));
            got = get(r, &y);
            for (k = 0; k < 19; k++) ck_assert_int_eq(isnan(got[k]), k == map);
            free(got);
        }
    drop(r, &x), drop(r, &y);
}

START_TEST(pooling_keeps_nan)
{
    on_all(nan_pool_case, NULL);
}
END_TEST

/* A NaN in the input of a product with ReLU is one in all that reads it. */
static void nan_conv_case(rig *r, const void *arg)
{
    const an_conv_shape *s = arg;
    uint32_t pixels = s->in_height * s->in_width, i;
    both x = make_maps(r, 3, s->in_maps, pixels, 1), b = make(r, s->out_maps, 1);
    both w = make_weights(r, s->out_maps, 1, s->in_maps, 9);
    both y = make_maps(r, 3, s->out_maps, pixels, 1);
    float *got;

    x.ref[0] = NAN;
    put(r, &x);
    if (r->b->fuses) {
        OK(r->b->conv_forward(r->queue, s, 3, x.device, w.device, NULL, b.device,
                              y.device));
        got = get(r, &y);
        for (i = 0; i < s->out_maps; i++) ck_assert(isnan(got[i * pixels]));
        for (i = 1; i <= s->out_maps; i++) ck_assert(got[i * pixels - 1] >= 0);
        free(got);
    }
    drop(r, &x), drop(r, &w), drop(r, &b), drop(r, &y);
}

static void nan_dense_case(rig *r, const void *arg)
{
    const an_dense_shape *s = arg;
    both x = make(r, 20 * s->inputs, 1), b = make(r, s->outputs, 1);
    both w = make_weights(r, s->outputs, 1, s->inputs, 1),
         y = make(r, 20 * s->outputs, 1);
    uint32_t batch, i;
    float *got;

    x.ref[0] = NAN;
    put(r, &x);
    for (batch = 2; r->b->fuses && batch <= 20; batch += 18) {
        OK(r->b->dense_forward(r->queue, s, batch, x.device, w.device, NULL, b.device,
                               y.device));
        got = get(r, &y);
        for (i = 0; i < s->outputs; i++) ck_assert(isnan(got[i]));
        for (; i < batch * s->outputs; i++) ck_assert(got[i] >= 0);
        free(got);
    }
    drop(r, &x), drop(r, &w), drop(r, &b), drop(r, &y);
}

START_TEST(fused_relu_keeps_nan)
{
    /* done directly, and, with 48 tiles of 16 pixels, as Winograd has it */
    const an_conv_shape small = {20, 4, 5, 18, 4, 5, 3, 1, 1, 1, 1, 0, 0, 1};
    const an_conv_shape large = {20, 16, 16, 18, 16, 16, 3, 1, 1, 1, 1, 0, 0, 1};
    const an_dense_shape product = {20, 18, 1, 0, 0, 1, 1};

    on_all_of(1, nan_conv_case, &small, NULL, &small);
    on_all_of(1, nan_conv_case, &large, NULL, &large);
    on_all_of(1, nan_dense_case, NULL, &product, &product);
}
END_TEST

Suite *ops_suite(void)
{
    Suite *suite = suite_create("ops");
    TCase *tc = tcase_create("against the reference");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, convolution, 0, sizeof convs / sizeof convs[0]);
    tcase_add_loop_test(tc, dense_weights_in_bfloat16, 0,
                        sizeof denses / sizeof denses[0]);
    tcase_add_loop_test(tc, dense, 0, sizeof denses / sizeof denses[0]);
    tcase_add_loop_test(tc, activation, AN_ACTIVATION_RELU, AN_ACTIVATION_SIGMOID + 1);
    tcase_add_test(tc, activations_at_extremes);
    tcase_add_loop_test(tc, normalisation, 0, sizeof lrns / sizeof lrns[0]);
    tcase_add_loop_test(tc, pooling, 0, sizeof pools / sizeof pools[0]);
    tcase_add_test(tc, pooling_keeps_nan);
    tcase_add_test(tc, fused_relu_keeps_nan);
    tcase_add_test(tc, every_tied_maximum_receives_the_gradient);
    tcase_add_test(tc, dropout);
    tcase_add_test(tc, generator_gives_the_published_numbers);
    tcase_add_loop_test(tc, softmax, 0, 2);
    tcase_add_test(tc, update);
    tcase_add_test(tc, exchange_and_scale);
    tcase_add_test(tc, nonfinite_numbers_are_seen);
    suite_add_tcase(suite, tc);
    return suite;
}
