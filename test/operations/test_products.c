/*
 * test_products.c - convolutions of every backend against test/support/ref.c, forward and
 * backward, and a NaN in any product; cases of ops_suite().
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ref.h"
#include "rig.h"
#include "test.h"
#include "twin.h"

/* A case. in, out: maps, height, width. What is not named: stride 1, pad 0, 1 group, 1
 * half, local half 0. */
typedef struct conv_row {
    uint32_t batch, in[3], out[3], kernel, stride, pad, groups, halves, local_half;
} conv_row;

static an_conv_shape conv_shape(const conv_row *row, uint32_t precision)
{
    const an_conv_shape s = {.in_maps = row->in[0],
                             .in_height = row->in[1],
                             .in_width = row->in[2],
                             .out_maps = row->out[0],
                             .out_height = row->out[1],
                             .out_width = row->out[2],
                             .kernel = row->kernel,
                             .stride = row->stride != 0 ? row->stride : 1,
                             .pad = row->pad,
                             .groups = row->groups != 0 ? row->groups : 1,
                             .halves = row->halves != 0 ? row->halves : 1,
                             .local_half = row->local_half,
                             .precision = precision};

    return s;
}

/* --- convolution ------------------------------------------------------------------- */

static const conv_row convs[] = {
    /* one output pixel */
    {.batch = 1, .in = {3, 11, 11}, .out = {4, 1, 1}, .kernel = 11, .stride = 4},
    /* zeros behind alone: 23 of 4 * 3 + 11 */
    {.batch = 3, .in = {3, 23, 21}, .out = {5, 4, 4}, .kernel = 11, .stride = 4},
    /* three of them */
    {.batch = 1, .in = {3, 20, 20}, .out = {4, 4, 4}, .kernel = 11, .stride = 4},
    /* groups, same size */
    {.batch = 2, .in = {4, 9, 7}, .out = {6, 9, 7}, .kernel = 5, .pad = 2, .groups = 2},
    {.batch = 9,
     .in = {6, 13, 13},
     .out = {8, 13, 13},
     .kernel = 3,
     .pad = 1,
     .groups = 2},
    /* stride beyond the kernel */
    {.batch = 3, .in = {2, 10, 9}, .out = {3, 4, 3}, .kernel = 2, .stride = 3},
    /* 1 x 1 kernels, stride 3 */
    {.batch = 2, .in = {1, 8, 8}, .out = {2, 3, 3}, .kernel = 1, .stride = 3},
    /* one pixel amid padding */
    {.batch = 3, .in = {5, 1, 1}, .out = {3, 1, 1}, .kernel = 3, .pad = 1},
    /* padding with stride */
    {.batch = 2, .in = {3, 12, 15}, .out = {4, 4, 4}, .kernel = 7, .stride = 4, .pad = 3},
    /* more padding than "same" */
    {.batch = 2, .in = {2, 5, 3}, .out = {2, 7, 5}, .kernel = 5, .pad = 3},
    /* deep: 1200 products */
    {.batch = 1, .in = {48, 27, 27}, .out = {32, 27, 27}, .kernel = 5, .pad = 2},
    {.batch = 8,
     .in = {96, 13, 13},
     .out = {64, 13, 13},
     .kernel = 3,
     .pad = 1,
     .groups = 2},
    /* tiles cut at the edge */
    {.batch = 5,
     .in = {6, 13, 13},
     .out = {36, 13, 13},
     .kernel = 3,
     .pad = 1,
     .groups = 2},
    {.batch = 4, .in = {40, 9, 6}, .out = {70, 9, 6}, .kernel = 5, .pad = 2},
    /* both towers' maps joined */
    {.batch = 6, .in = {20, 5, 8}, .out = {3, 5, 8}, .kernel = 3, .pad = 1, .halves = 2},
    {.batch = 5,
     .in = {8, 12, 7},
     .out = {12, 12, 7},
     .kernel = 5,
     .pad = 2,
     .halves = 2,
     .local_half = 1},
    {.batch = 1, .in = {34, 6, 7}, .out = {40, 6, 7}, .kernel = 3, .pad = 1, .halves = 2},
    /* few maps, as in a first layer */
    {.batch = 4, .in = {3, 30, 31}, .out = {8, 30, 31}, .kernel = 5, .pad = 2},
    {.batch = 33, .in = {17, 4, 5}, .out = {18, 4, 5}, .kernel = 3, .pad = 1},
    /* narrow tiles of 96, of 48 */
    {.batch = 2, .in = {48, 9, 10}, .out = {96, 9, 10}, .kernel = 3, .pad = 1},
    /* and of 192 */
    {.batch = 1,
     .in = {96, 5, 6},
     .out = {384, 5, 6},
     .kernel = 3,
     .pad = 1,
     .groups = 2},
    {.batch = 1,
     .in = {128, 14, 15},
     .out = {256, 14, 15},
     .kernel = 3,
     .pad = 1,
     .halves = 2,
     .local_half = 1},
    /* neither 48 nor 64 divides them */
    {.batch = 2, .in = {40, 9, 6}, .out = {72, 9, 6}, .kernel = 5, .pad = 2},
    {.batch = 2,
     .in = {64, 9, 9},
     .out = {200, 5, 5},
     .kernel = 3,
     .stride = 2,
     .pad = 1},
    /* two blocks of 64, and three */
    {.batch = 1, .in = {128, 4, 5}, .out = {48, 4, 5}, .kernel = 3, .pad = 1},
    {.batch = 1, .in = {192, 3, 4}, .out = {64, 3, 4}, .kernel = 3, .pad = 1},
    /* more maps than meet at a time */
    {.batch = 6, .in = {5, 9, 9}, .out = {150, 9, 9}, .kernel = 3, .pad = 1},
};

/* Of what Winograd's algorithm may be taken for. */
static double conv_bound(const rig *r, const an_conv_shape *s)
{
    if (!is_vector(r) || s->stride > 1 || (s->kernel != 3 && s->kernel != 5))
        return r->bound;
    return r->bound > WINOGRAD_BOUND ? r->bound : WINOGRAD_BOUND;
}

/* With prepacked weights, and with ReLU: what differs from y is that alone. */
static void with_relu(rig *r, const an_conv_shape *s, uint32_t batch, const twin *x,
                      const twin *w, const twin *b, const twin *y)
{
    twin again = make_maps(r, batch, s->out_maps, s->out_height * s->out_width, 9);
    an_conv_shape fused = *s;
    float *want = from_device(r, y), *got;
    an_operand prepacked = prepack_conv(r, s, batch, w);
    size_t i;

    fused.relu = 1;
    OK(r->b->conv_forward(r->queue, &fused, batch, x->device, w->device, prepacked,
                          b->device, again.device));
    got = from_device(r, &again);
    for (i = 0; i < y->count; i++)
        if (got[i] != (want[i] < 0 ? 0 : want[i]))
            ck_abort_msg("conv_forward y: element %zu is %.9g, with ReLU %.9g%s", i,
                         (double)want[i], (double)got[i], case_text());
    free_operand(r, prepacked);
    free(want);
    free(got);
    free_twin(r, &again);
}

static void conv_case(rig *r, const void *arg)
{
    const conv_row *row = &convs[*(const int *)arg];
    an_conv_shape s = conv_shape(row, r->precision);
    uint32_t batch = row->batch;
    uint32_t in = s.in_height * s.in_width, out = s.out_height * s.out_width;
    uint32_t maps = s.in_maps / s.groups / s.halves, taps = s.kernel * s.kernel;
    twin x = make_halves(r, batch, s.halves, s.in_maps / s.halves, in, 1);
    twin w = make_weights(r, s.out_maps, s.halves, maps, taps);
    twin b = make_floats(r, s.out_maps, 1);
    twin y = make_maps(r, batch, s.out_maps, out, 9);
    twin dy = make_maps(r, batch, s.out_maps, out, 1);
    twin dx = make_halves(r, batch, s.halves, s.in_maps / s.halves, in, 9);
    twin dw = make_weights(r, s.out_maps, s.halves, maps, taps);
    twin db = make_floats(r, s.out_maps, 9);
    double bound = conv_bound(r, &s);
    an_operand prepacked = r->b->host_memory ? NONE : prepack_conv(r, &s, batch, &w);

    describe_conv(&s, batch);
    OK(r->b->conv_forward(r->queue, &s, batch, x.device, w.device, prepacked, b.device,
                          y.device));
    OK(r->b->conv_backward_data(r->queue, &s, batch, w.device, prepacked, dy.device,
                                x.device, dx.device));
    OK(r->b->conv_backward_weights(r->queue, &s, batch, x.device, dy.device, dw.device,
                                   db.device));
    ref_conv_forward(&s, batch, x.ref, w.ref, b.ref, y.ref);
    ref_conv_backward(&s, batch, x.ref, w.ref, dy.ref, dx.ref, dw.ref, db.ref);
    expect_near(r, "conv_forward y", &y, bound);
    expect_near(r, "conv_backward_data dx", &dx, bound);
    expect_near(r, "conv_backward_weights dw", &dw, r->bound);
    expect_near(r, "conv_backward_weights db", &db, r->bound);
    if (fuses(r, AN_FUSE_CONV_RELU)) with_relu(r, &s, batch, &x, &w, &b, &y);
    if (fuses(r, AN_FUSE_CONV_MASK)) {
        s.mask = 1.5f;
        OK(r->b->conv_backward_data(r->queue, &s, batch, w.device, prepacked, dy.device,
                                    x.device, dx.device));
        mask_gradient(&dx, &x, s.mask);
        expect_near(r, "conv_backward_data masked dx", &dx, bound);
    }
    free_operand(r, prepacked);
    free_twin(r, &x), free_twin(r, &w), free_twin(r, &b), free_twin(r, &y);
    free_twin(r, &dy), free_twin(r, &dx), free_twin(r, &dw), free_twin(r, &db);
}

START_TEST(convolution)
{
    const an_conv_shape s = conv_shape(&convs[_i], 0);

    on_all_of(_i % 3 == 1 ? 4 : 3, conv_case, &s, NULL, &_i);
}
END_TEST

/* The network's first convolution, on an input in the layout that the backend wants. */
static const conv_row firsts[] = {
    /* ends with the last window */
    {.batch = 2, .in = {3, 39, 39}, .out = {96, 8, 8}, .kernel = 11, .stride = 4},
    /* pixels that no window sees */
    {.batch = 1,
     .in = {3, 40, 42},
     .out = {64, 9, 9},
     .kernel = 11,
     .stride = 4,
     .pad = 2},
    /* zeros behind */
    {.batch = 2, .in = {3, 20, 20}, .out = {12, 4, 4}, .kernel = 11, .stride = 4},
    /* squares of one pixel */
    {.batch = 3, .in = {3, 12, 13}, .out = {32, 12, 13}, .kernel = 5, .pad = 2},
    {.batch = 1, .in = {3, 17, 17}, .out = {24, 8, 8}, .kernel = 3, .stride = 2},
};

static void first_case(rig *r, const void *arg)
{
    const conv_row *row = &firsts[*(const int *)arg];
    an_conv_shape s = conv_shape(row, r->precision);
    uint32_t batch = row->batch, out = s.out_height * s.out_width;
    uint32_t taps = s.kernel * s.kernel;
    twin x, w, b, y, dy, dw, db;
    an_operand prepacked;
    float *got;
    double *unused;
    size_t j;

    describe_conv(&s, batch);
    if (r->b->prepack == NULL || r->b->prepack->input_layout == NULL) return;
    r->b->prepack->input_layout(&s, &s.s2d);
    ck_assert_msg(s.s2d.side > 0, "no layout of the input%s", case_text());
    x = make_input(r, batch, &s);
    w = make_weights(r, s.out_maps, 1, 3, taps);
    dw = make_weights(r, s.out_maps, 1, 3, taps);
    b = make_floats(r, s.out_maps, 1), db = make_floats(r, s.out_maps, 9);
    y = make_maps(r, batch, s.out_maps, out, 9);
    dy = make_maps(r, batch, s.out_maps, out, 1);
    got = from_device(r, &x); /* the layout loses nothing */
    for (j = 0; j < x.count; j++)
        if (x.ref[j] != (double)got[j])
            ck_abort_msg("put and get: x %zu was %.9g and is %.9g%s", j, x.ref[j],
                         (double)got[j], case_text());
    free(got);
    prepacked = prepack_conv(r, &s, batch, &w);
    OK(r->b->conv_forward(r->queue, &s, batch, x.device, w.device, prepacked, b.device,
                          y.device));
    OK(r->b->conv_backward_weights(r->queue, &s, batch, x.device, dy.device, dw.device,
                                   db.device));
    ref_conv_forward(&s, batch, x.ref, w.ref, b.ref, y.ref);
    unused = malloc(x.count * sizeof *unused);
    ref_conv_backward(&s, batch, x.ref, w.ref, dy.ref, unused, dw.ref, db.ref);
    free(unused);
    expect_near(r, "conv_forward y", &y, r->bound);
    expect_near(r, "conv_backward_weights dw", &dw, r->bound);
    expect_near(r, "conv_backward_weights db", &db, r->bound);
    free_operand(r, prepacked);
    free_twin(r, &x), free_twin(r, &w), free_twin(r, &b), free_twin(r, &y);
    free_twin(r, &dy), free_twin(r, &dw), free_twin(r, &db);
}

START_TEST(first_convolution)
{
    const an_conv_shape s = conv_shape(&firsts[_i], 0);

    on_all_of(4, first_case, &s, NULL, &_i);
}
END_TEST

/* --- NaN through a fused ReLU ------------------------------------------------------ */

/* A NaN in the input of a product with ReLU is one in all that reads it. */
static void nan_conv_case(rig *r, const void *arg)
{
    const an_conv_shape *s = arg;
    uint32_t pixels = s->in_height * s->in_width, i;
    twin x = make_maps(r, 3, s->in_maps, pixels, 1), b = make_floats(r, s->out_maps, 1);
    twin w = make_weights(r, s->out_maps, 1, s->in_maps, 9);
    twin y = make_maps(r, 3, s->out_maps, pixels, 1);
    float *got;

    describe_conv(s, 3);
    x.ref[0] = NAN;
    to_device(r, &x);
    if (fuses(r, AN_FUSE_CONV_RELU)) {
        OK(r->b->conv_forward(r->queue, s, 3, x.device, w.device, NONE, b.device,
                              y.device));
        got = from_device(r, &y);
        for (i = 1; i <= s->out_maps; i++)
            ck_assert_msg(isnan(got[(i - 1) * pixels]) && got[i * pixels - 1] >= 0,
                          "conv_forward y with ReLU: map %u begins with %g and ends with "
                          "%g, expected NaN and no less than 0%s",
                          i - 1, (double)got[(i - 1) * pixels],
                          (double)got[i * pixels - 1], case_text());
        free(got);
    }
    free_twin(r, &x), free_twin(r, &w), free_twin(r, &b), free_twin(r, &y);
}

static void nan_dense_case(rig *r, const void *arg)
{
    const an_dense_shape *s = arg;
    twin x = make_floats(r, 20 * s->inputs, 1), b = make_floats(r, s->outputs, 1);
    twin w = make_weights(r, s->outputs, 1, s->inputs, 1),
         y = make_floats(r, 20 * s->outputs, 1);
    uint32_t batch, i;
    float *got;

    x.ref[0] = NAN;
    to_device(r, &x);
    for (batch = 2; fuses(r, AN_FUSE_DENSE_RELU) && batch <= 20; batch += 18) {
        describe_dense(s, batch);
        OK(r->b->dense_forward(r->queue, s, batch, x.device, w.device, NONE, b.device,
                               NULL, y.device));
        got = from_device(r, &y);
        for (i = 0; i < batch * s->outputs; i++)
            ck_assert_msg(i < s->outputs ? isnan(got[i]) : got[i] >= 0,
                          "dense_forward y with ReLU: output %u of image %u is %g%s",
                          i % s->outputs, i / s->outputs, (double)got[i], case_text());
        free(got);
    }
    free_twin(r, &x), free_twin(r, &w), free_twin(r, &b), free_twin(r, &y);
}

START_TEST(fused_relu_keeps_nan)
{
    /* done directly, and, with 48 tiles of 16 pixels, as Winograd has it */
    const conv_row rows[] = {
        {.in = {20, 4, 5}, .out = {18, 4, 5}, .kernel = 3, .pad = 1},
        {.in = {20, 16, 16}, .out = {18, 16, 16}, .kernel = 3, .pad = 1}};
    const an_dense_shape product = {
        .inputs = 20, .outputs = 18, .halves = 1, .relu = 1, .pixels = 1};
    an_conv_shape small = conv_shape(&rows[0], 0), large = conv_shape(&rows[1], 0);

    small.relu = large.relu = 1;
    on_all_of(1, nan_conv_case, &small, NULL, &small);
    on_all_of(1, nan_conv_case, &large, NULL, &large);
    on_all_of(1, nan_dense_case, NULL, &product, &product);
}
END_TEST

void add_products(Suite *suite)
{
    TCase *conv = tcase_create("convolutions");

    tcase_set_timeout(conv, 120);
    tcase_add_loop_test(conv, first_convolution, 0, sizeof firsts / sizeof firsts[0]);
    tcase_add_loop_test(conv, convolution, 0, sizeof convs / sizeof convs[0]);
    tcase_add_test(conv, fused_relu_keeps_nan);
    suite_add_tcase(suite, conv);
}
