/*
 * test_products.c - convolutions and dense layers of every backend against test/ref.c,
 * forward and backward; cases of ops_suite().
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ref.h"
#include "rig.h"
#include "test.h"

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

/* --- NaN through a fused ReLU ---------------------------------------------------------------- */

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

void add_products(TCase *tc)
{
    tcase_add_loop_test(tc, convolution, 0, sizeof convs / sizeof convs[0]);
    tcase_add_loop_test(tc, dense_weights_in_bfloat16, 0,
                        sizeof denses / sizeof denses[0]);
    tcase_add_loop_test(tc, dense, 0, sizeof denses / sizeof denses[0]);
    tcase_add_test(tc, fused_relu_keeps_nan);
}
