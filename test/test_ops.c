/*
 * test_ops.c - every operation of every backend against test/ref.c, forward and backward, but
 * for those in test_products.c and test_numbers.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ref.h"
#include "rig.h"
#include "test.h"

/* --- activations ------------------------------------------------------------------------- */

static void activation_case(rig *r, const void *arg)
{
    uint32_t kind = (uint32_t) * (const int *)arg;
    both y = make_maps(r, 70001, 1, 1, 4), dy = make_maps(r, 70001, 1, 1, 1);

    y.ref[3] = 0; /* relu'(0) is 0 */
    put(r, &y);
    OK(r->b->activation_forward(r->queue, kind, r->tensors, y.count, y.device));
    ref_activation_forward(kind, y.count, y.ref);
    same(r, "y", &y, BOUND);
    OK(r->b->activation_backward(r->queue, kind, r->tensors, y.count, y.device,
                                 dy.device));
    ref_activation_backward(kind, y.count, y.ref, dy.ref);
    same(r, "dx", &dy, r->tensors ? 2 * r->bound : BOUND); /* of a rounded y */
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
        OK(r->b->activation_forward(r->queue, kind, AN_PRECISION_FP32, x.count,
                                    x.device));
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
    {2, 0, {16, 5, 3, 5, 2, 2, 1e-2f, 0.75f}}, /* pieces that end with their groups */
    {1, 0, {96, 3, 7, 5, 1, 2, 1e-2f, 0.75f}},
    {2, 0, {24, 2, 3, 5, 1, 1, 0.1f, 0.6f}},
    {2, 1, {3, 9, 7, 5, 1, 1, 4e-2f, 0.75f}},
    {1, 1, {2, 1, 1, 5, 1, 1, 0.3f, 0.75f}},
    {1, 1, {2, 13, 2, 3, 1, 2, 0.3f, 1}},
    {1, 1, {1, 10, 12, 9, 1, 1, 0.01f, 0.75f}},
    {1, 1, {35, 6, 27, 5, 1, 1, 0.01f, 0.75f}},
    {1, 1, {17, 11, 75, 9, 1, 1, 0.01f, 0.75f}}, /* wide */
};

static an_lrn_shape lrn_of(const rig *r, const an_lrn_shape *s)
{
    an_lrn_shape shape = *s;

    shape.precision = r->tensors;
    return shape;
}

static an_pool_shape pool_of(const rig *r, const an_pool_shape *s)
{
    an_pool_shape shape = *s;

    shape.precision = r->tensors;
    return shape;
}

static void lrn_case(rig *r, const void *arg)
{
    int i = *(const int *)arg, within = (int)lrns[i].within;
    const an_lrn_shape shape = lrn_of(r, &lrns[i].s), *s = &shape;
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

/* Squares beyond float's range make the scale infinite, and what it divides 0. */
static void overflow_case(rig *r, const void *arg)
{
    const an_lrn_shape given = {19, 2, 2, 5, 1, 1, 0.1f, 0.75f}, s = lrn_of(r, &given);
    both x = make_maps(r, 1, 19, 4, 3), y = make_maps(r, 1, 19, 4, 1);
    float *got;
    size_t i;

    (void)arg;
    for (i = 0; i < x.count; i++) x.ref[i] = i % 2 ? 1e25 : -1e25;
    put(r, &x);
    OK(r->b->lrn_forward(r->queue, &s, 1, x.device, y.device));
    got = get(r, &y);
    for (i = 0; i < y.count; i++) ck_assert_float_eq(got[i], 0);
    free(got);
    OK(r->b->lrn_within_forward(r->queue, &s, 1, x.device, y.device));
    got = get(r, &y);
    for (i = 0; i < y.count; i++) ck_assert_float_eq(got[i], 0);
    free(got);
    drop(r, &x), drop(r, &y);
}

START_TEST(normalisation_of_what_overflows)
{
    on_all(overflow_case, NULL);
}
END_TEST

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
    {2, 0, {3, 13, 13, 6, 6, 3, 2}},  /* overlapping, exact */
    {1, 0, {2, 10, 9, 5, 4, 3, 2}},   /* the last windows hang over the lower edge */
    {1, 0, {2, 8, 8, 4, 4, 2, 2}},    /* plain */
    {2, 0, {16, 13, 13, 6, 6, 3, 2}}, /* pieces of 16 bytes, the usual windows */
    {1, 1, {96, 10, 55, 5, 27, 3, 2}},
    {1, 1, {64, 8, 9, 4, 4, 2, 2}},
    {2, 1, {12, 7, 6, 3, 3, 3, 2}},   /* such pieces in float32 alone; clipped */
    {1, 1, {1032, 3, 4, 1, 2, 3, 2}}, /* more of them than a block has */
    {1, 1, {8, 1, 2, 1, 1, 3, 2}},
    {1, 1, {16, 9, 9, 3, 3, 4, 3}},  /* unusual windows of theirs */
    {1, 1, {2, 15, 16, 3, 4, 5, 4}}, /* without marks */
    {3, 0, {1, 9, 9, 3, 3, 2, 3}},   /* stride beyond the kernel: some inputs unread */
    {1, 0, {2, 1, 1, 1, 1, 3, 2}},
    {2, 1, {2, 13, 11, 6, 5, 3, 2}}, /* many equal values */
    {2, 1, {35, 9, 8, 4, 4, 3, 2}},
    {1, 1, {17, 5, 140, 3, 138, 3, 1}}, /* wide */
    {1, 1, {3, 4, 263, 2, 131, 3, 2}},
};

/* Where a backend notes a pooling's maxima; null where it does not. */
static void *make_marks(const rig *r, const an_pool_shape *s, uint32_t n)
{
    size_t bytes = r->b->pool_marks != NULL ? r->b->pool_marks(s) * n : 0;
    void *marks = NULL;

    if (bytes > 0) OK(r->b->alloc(r->device, bytes, &marks));
    return marks;
}

static void pool_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    an_pool_shape shape = pool_of(r, &pools[i].s), *s = &shape;
    uint32_t n = pools[i].batch;
    uint32_t in = s->in_height * s->in_width, out = s->out_height * s->out_width;
    both x = make_maps(r, n, s->maps, in, 2), y = make_maps(r, n, s->maps, out, 9);
    both dy = make_maps(r, n, s->maps, out, 1), dx = make_maps(r, n, s->maps, in, 9);
    void *marks = make_marks(r, s, n);
    size_t j;

    for (j = 0; pools[i].ties && j < x.count; j++) x.ref[j] = floor(x.ref[j]);
    put(r, &x);
    OK(r->b->pool_forward(r->queue, s, n, x.device, y.device, marks));
    OK(r->b->pool_backward(r->queue, s, n, x.device, marks, dy.device, dx.device));
    ref_pool_forward(s, n, x.ref, y.ref);
    ref_pool_backward(s, n, x.ref, dy.ref, dx.ref);
    same(r, "y", &y, 0);
    same(r, "dx", &dx, BOUND);
    if (marks != NULL) { /* of what ReLU gave: no gradient where it gave 0 */
        s->relu = 1;
        OK(r->b->pool_forward(r->queue, s, n, x.device, y.device, marks));
        OK(r->b->pool_backward(r->queue, s, n, x.device, marks, dy.device, dx.device));
        for (j = 0; j < dx.count; j++) dx.ref[j] = x.ref[j] > 0 ? dx.ref[j] : 0;
        same(r, "dx of ReLU", &dx, BOUND);
        r->b->release(r->device, marks);
    }
    drop(r, &x), drop(r, &y), drop(r, &dy), drop(r, &dx);
}

START_TEST(pooling)
{
    on_all(pool_case, &_i);
}
END_TEST

/* Normalisation and the pooling of it in one. */
static const struct {
    uint32_t batch;
    an_lrn_shape n;
    an_pool_shape s;
} normal_pools[] = {
    {2, {16, 13, 13, 5, 1, 2, 1e-2f, 0.75f}, {16, 13, 13, 6, 6, 3, 2}},
    {1, {96, 11, 55, 5, 1, 2, 1e-2f, 0.75f}, {96, 11, 55, 5, 27, 3, 2}},
    {3, {32, 10, 9, 5, 2, 1, 0.1f, 0.75f}, {32, 10, 9, 5, 4, 3, 2}}, /* clipped; groups */
    {1, {8, 8, 7, 5, 1, 1, 0.1f, 0.75f}, {8, 8, 7, 4, 3, 2, 2}},
    {2, {512, 7, 17, 5, 1, 2, 1e-2f, 0.75f}, {512, 7, 17, 3, 8, 3, 2}},
    {1, {256, 27, 5, 5, 1, 2, 1e-2f, 0.75f}, {256, 27, 5, 13, 2, 3, 2}},
    {1, {24, 6, 10, 5, 3, 2, 1e-2f, 0.75f}, {24, 6, 10, 3, 5, 3, 2}}, /* clipped below */
    {1, {8, 1, 1, 5, 1, 2, 1e-2f, 0.75f}, {8, 1, 1, 1, 1, 3, 2}},
    {1, {8, 27, 4, 5, 1, 2, 1e-2f, 0.75f}, {8, 27, 4, 13, 2, 2, 2}},
    {1, {64, 28, 6, 5, 2, 1, 0.1f, 0.75f}, {64, 28, 6, 14, 3, 3, 2}},
};

static void normal_pool_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    const an_lrn_shape normal = lrn_of(r, &normal_pools[i].n), *n = &normal;
    an_pool_shape shape = pool_of(r, &normal_pools[i].s), *s = &shape;
    uint32_t batch = normal_pools[i].batch;
    uint32_t in = s->in_height * s->in_width, out = s->out_height * s->out_width;
    both x, y, dy, dx;
    double *u, *du;
    void *marks;
    size_t j;

    if (r->b->lrn_pool_fits == NULL) return;
    ck_assert(r->b->lrn_pool_fits(r->device, n, s));
    x = make_maps(r, batch, s->maps, in, 3), y = make_maps(r, batch, s->maps, out, 9);
    dy = make_maps(r, batch, s->maps, out, 1), dx = make_maps(r, batch, s->maps, in, 9);
    marks = make_marks(r, s, batch);
    u = malloc(x.count * sizeof *u), du = malloc(x.count * sizeof *du);
    for (j = 0; j < x.count; j++) x.ref[j] = x.ref[j] > 0 ? x.ref[j] : 0;
    put(r, &x);
    s->relu = 1;
    OK(r->b->lrn_pool_forward(r->queue, n, s, batch, x.device, y.device, marks));
    OK(r->b->lrn_pool_backward(r->queue, n, s, batch, x.device, marks, dy.device,
                               dx.device));
    ref_lrn_forward(n, 0, batch, x.ref, u);
    ref_pool_forward(s, batch, u, y.ref);
    ref_pool_backward(s, batch, u, dy.ref, du);
    ref_lrn_backward(n, 0, batch, x.ref, du, dx.ref);
    for (j = 0; j < x.count; j++) dx.ref[j] = x.ref[j] > 0 ? dx.ref[j] : 0;
    same(r, "y", &y, BOUND);
    same(r, "dx", &dx, BOUND);
    OK(r->b->lrn_pool_forward(r->queue, n, s, batch, x.device, y.device, NULL));
    same(r, "y without marks", &y, BOUND);
    r->b->release(r->device, marks);
    free(u), free(du);
    drop(r, &x), drop(r, &y), drop(r, &dy), drop(r, &dx);
}

START_TEST(pooling_of_normalised_maps)
{
    on_all(normal_pool_case, &_i);
}
END_TEST

/* The rule by itself: four equal inputs of one window each get its whole gradient; with
 * overlapping windows an input gets that of each window whose maximum it equals. */
static void tie_case(rig *r, const void *arg)
{
    const an_pool_shape given = {1, 3, 3, 2, 2, 2, 1}, s = pool_of(r, &given);
    static const float want[9] = {1, 3, 2, 4, 10, 6, 3, 7, 4};
    both x = make_maps(r, 9, 1, 1, 1), dy = make_maps(r, 4, 1, 1, 1);
    both dx = make_maps(r, 9, 1, 1, 9), y = make_maps(r, 4, 1, 1, 1);
    void *marks = make_marks(r, &s, 1);
    size_t i;

    (void)arg;
    for (i = 0; i < 9; i++) x.ref[i] = 5;
    for (i = 0; i < 4; i++) dy.ref[i] = (double)i + 1;
    put(r, &x);
    put(r, &dy);
    OK(r->b->pool_forward(r->queue, &s, 1, x.device, y.device, marks));
    OK(r->b->pool_backward(r->queue, &s, 1, x.device, marks, dy.device, dx.device));
    for (i = 0; i < 9; i++) dx.ref[i] = (double)want[i];
    same(r, "dx", &dx, 0);
    if (marks != NULL) r->b->release(r->device, marks);
    drop(r, &x), drop(r, &dy), drop(r, &dx), drop(r, &y);
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
    const uint32_t p = r->tensors;
    const an_dropout_shape whole = {1030, 0, 1030, 5, 5, 0.3f, 1, p},
                           left = {515, 0, 1030, 5, 5, 0.3f, 1, p};
    const an_dropout_shape right = {515, 515, 1030, 5, 5, 0.3f, 1 / 0.7f, p};
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

/* Units without maps, more than are drawn at a time, from a position amid a block on. */
static void flat_dropout_case(rig *r, const void *arg)
{
    const an_dropout_shape s = {2051, 3, 5001, 1, 2, 0.5f, 1, r->tensors};
    both x = make_maps(r, 3, 2051, 1, 1);
    an_step step;

    (void)arg;
    memset(&step, 0, sizeof step);
    step.seed = 0x123456789abcdefu;
    step.iteration = 5;
    OK(r->b->begin_step(r->queue, &step));
    OK(r->b->dropout(r->queue, &s, 3, x.device));
    ref_dropout(&s, 3, step.seed, 5, x.ref);
    same(r, "x", &x, 0);
    drop(r, &x);
}

START_TEST(dropout)
{
    on_all(_i ? flat_dropout_case : dropout_case, NULL);
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

/* One NaN of one map; the others' results stay numbers. */
static void nan_pool_case(rig *r, const void *arg)
{
    const an_pool_shape given = {19, 3, 3, 1, 1, 3, 2}, s = pool_of(r, &given);
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
            OK(r->b->pool_forward(r->queue, &s, 1, x.device, y.device, NULL));
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

Suite *ops_suite(void)
{
    Suite *suite = suite_create("ops");
    TCase *tc = tcase_create("others");

    add_products(suite);
    tcase_set_timeout(tc, 120);
    add_numbers(tc);
    tcase_add_loop_test(tc, activation, AN_ACTIVATION_RELU, AN_ACTIVATION_SIGMOID + 1);
    tcase_add_test(tc, activations_at_extremes);
    tcase_add_test(tc, normalisation_of_what_overflows);
    tcase_add_loop_test(tc, normalisation, 0, sizeof lrns / sizeof lrns[0]);
    tcase_add_loop_test(tc, pooling, 0, sizeof pools / sizeof pools[0]);
    tcase_add_test(tc, pooling_keeps_nan);
    tcase_add_loop_test(tc, pooling_of_normalised_maps, 0,
                        sizeof normal_pools / sizeof normal_pools[0]);
    tcase_add_test(tc, every_tied_maximum_receives_the_gradient);
    tcase_add_loop_test(tc, dropout, 0, 2);
    tcase_add_test(tc, generator_gives_the_published_numbers);
    suite_add_tcase(suite, tc);
    return suite;
}
