/*
 * test_dense.c - dense layers of every backend against test/support/ref.c, forward and
 * backward, with what some do in one; cases of ops_suite().
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ref.h"
#include "rig.h"
#include "test.h"
#include "twin.h"

/* halves: 0 for 1. inputs: see pixels_of(). */
static const struct {
    uint32_t batch, inputs, outputs, halves;
} denses[] = {
    {.batch = 1, .inputs = 1, .outputs = 1},
    {.batch = 1, .inputs = 7, .outputs = 300},
    {.batch = 3, .inputs = 1000, .outputs = 129},
    {.batch = 9, .inputs = 513, .outputs = 10},
    {.batch = 32, .inputs = 100, .outputs = 257},
    {.batch = 2, .inputs = 1300, .outputs = 5},
    {.batch = 37, .inputs = 90, .outputs = 33},
    {.batch = 13, .inputs = 2080, .outputs = 150},
    {.batch = 5, .inputs = 600, .outputs = 40, .halves = 2},
    {.batch = 20, .inputs = 360, .outputs = 41, .halves = 2},
    {.batch = 5, .inputs = 264, .outputs = 136},
    {.batch = 40, .inputs = 128, .outputs = 72},
    {.batch = 1, .inputs = 600, .outputs = 41},
    {.batch = 2, .inputs = 1024, .outputs = 17},
    {.batch = 3, .inputs = 72, .outputs = 136},
    {.batch = 4, .inputs = 264, .outputs = 80},
    {.batch = 70, .inputs = 264, .outputs = 136},
    {.batch = 66, .inputs = 400, .outputs = 72, .halves = 2},
};

/* Some inputs are maps of several pixels. */
static uint32_t pixels_of(uint32_t inputs)
{
    return inputs % 9 == 0 ? 9 : inputs % 4 == 0 ? 4 : 1;
}

static an_dense_shape dense_shape(int i, uint32_t precision)
{
    const an_dense_shape s = {.inputs = denses[i].inputs,
                              .outputs = denses[i].outputs,
                              .halves = denses[i].halves != 0 ? denses[i].halves : 1,
                              .precision = precision,
                              .pixels = pixels_of(denses[i].inputs)};

    return s;
}

/* y with ReLU and dropout; and, in float32, with the factor that stands for dropout. */
static void with_dropout(rig *r, const an_dense_shape *given, uint32_t n, const twin *x,
                         const twin *w, an_operand prepacked, const twin *b)
{
    const an_dropout_shape dropout = {.units = given->outputs,
                                      .first = 2,
                                      .total = given->outputs + 5,
                                      .pixels = 1,
                                      .layer = 3,
                                      .rate = 0.4f,
                                      .scale = 1 / 0.6f};
    an_dropout_shape moved = dropout;
    twin y = make_maps(r, n, given->outputs, 1, 9);
    twin wide = make_floats(r, n * given->outputs, 9);
    an_dense_shape s = *given;
    an_step step;
    size_t i;

    memset(&step, 0, sizeof step);
    step.seed = 9;
    step.first = 4;
    moved.first += 4 * moved.total;
    s.relu = 1;
    OK(r->b->begin_step(r->queue, &step));
    OK(r->b->dense_forward(r->queue, &s, n, x->device, w->device, prepacked, b->device,
                           &dropout, y.device));
    ref_dense_forward(&s, n, x->ref, w->ref, b->ref, y.ref);
    for (i = 0; i < y.count; i++) y.ref[i] = y.ref[i] > 0 ? y.ref[i] : 0;
    ref_dropout(&moved, n, 9, 0, y.ref);
    expect_near(r, "dense_forward y with ReLU and dropout", &y,
                8 * r->bound); /* the largest may be gone */
    s.relu = 0;
    s.factor = 0.25f;
    OK(r->b->dense_forward(r->queue, &s, n, x->device, w->device, prepacked, b->device,
                           NULL, wide.device));
    ref_dense_forward(&s, n, x->ref, w->ref, b->ref, wide.ref);
    for (i = 0; i < wide.count; i++) wide.ref[i] *= 0.25;
    expect_near(r, "dense_forward y in float32, times 0.25", &wide,
                r->dtype == AN_DTYPE_BF16 ? WINOGRAD_BOUND
                                          : r->bound); /* exact factors */
    free_twin(r, &y), free_twin(r, &wide);
}

static void dense_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    an_dense_shape s = dense_shape(i, r->precision);
    uint32_t n = denses[i].batch, maps = s.inputs / s.pixels / s.halves;
    twin x = make_halves(r, n, s.halves, maps, s.pixels, 1);
    twin b = make_floats(r, s.outputs, 1);
    twin w = make_weights(r, s.outputs, s.halves, maps, s.pixels);
    twin y = make_maps(r, n, s.outputs, 1, 9), dy = make_maps(r, n, s.outputs, 1, 1);
    twin dx = make_halves(r, n, s.halves, maps, s.pixels, 9);
    twin db = make_floats(r, s.outputs, 9);
    twin dw = make_weights(r, s.outputs, s.halves, maps, s.pixels);
    an_operand prepacked = r->b->host_memory ? NONE : prepack_dense(r, &s, n, &w);

    describe_dense(&s, n);
    OK(r->b->dense_forward(r->queue, &s, n, x.device, w.device, prepacked, b.device, NULL,
                           y.device));
    OK(r->b->dense_backward_data(r->queue, &s, n, w.device, prepacked, dy.device,
                                 x.device, dx.device));
    OK(r->b->dense_backward_weights(r->queue, &s, n, x.device, dy.device, dw.device,
                                    db.device));
    ref_dense_forward(&s, n, x.ref, w.ref, b.ref, y.ref);
    ref_dense_backward(&s, n, x.ref, w.ref, dy.ref, dx.ref, dw.ref, db.ref);
    expect_near(r, "dense_forward y", &y, r->bound);
    expect_near(r, "dense_backward_data dx", &dx, r->bound);
    expect_near(r, "dense_backward_weights dw", &dw, r->bound);
    expect_near(r, "dense_backward_weights db", &db, r->bound);
    if (fuses(r, AN_FUSE_DENSE_DROPOUT)) with_dropout(r, &s, n, &x, &w, prepacked, &b);
    if (fuses(r, AN_FUSE_DENSE_MASK)) {
        s.mask = 2;
        OK(r->b->dense_backward_data(r->queue, &s, n, w.device, prepacked, dy.device,
                                     x.device, dx.device));
        mask_gradient(&dx, &x, 2);
        expect_near(r, "dense_backward_data masked dx", &dx, r->bound);
    }
    free_operand(r, prepacked);
    free_twin(r, &x), free_twin(r, &w), free_twin(r, &b), free_twin(r, &y);
    free_twin(r, &dy), free_twin(r, &dx), free_twin(r, &dw), free_twin(r, &db);
}

/* The update done with the gradient is that of the gradient; not where there are
 * faults. */
static void update_case(rig *r, const void *arg)
{
    int i = *(const int *)arg, twice;
    const an_update u = {0.25f, 0.9f, 0.01f};
    an_dense_shape s = dense_shape(i, r->precision);
    uint32_t n = denses[i].batch, maps = s.inputs / s.pixels / s.halves;
    twin x, dy, w, v, dw, db, copy;
    float flags[2] = {0, 1};
    an_parameter_part part;
    an_step step;
    double *unused;
    an_operand faults, fault;

    describe_dense(&s, n);
    if (!fuses(r, AN_FUSE_DENSE_UPDATE)) return;
    x = make_halves(r, n, s.halves, maps, s.pixels, 1);
    dy = make_maps(r, n, s.outputs, 1, 1);
    copy = make_halves(r, s.outputs, s.halves, maps, s.pixels, 1);
    w = make_weights(r, s.outputs, s.halves, maps, s.pixels);
    v = make_weights(r, s.outputs, s.halves, maps, s.pixels);
    dw = make_weights(r, s.outputs, s.halves, maps, s.pixels);
    db = make_floats(r, s.outputs, 9);
    faults = upload_new(r, flags, sizeof flags);
    fault = an__operand(faults.buffer, sizeof flags[0], AN_DTYPE_FP32);
    memset(&step, 0, sizeof step);
    step.update[7] = u;
    OK(r->b->begin_step(r->queue, &step));
    part.index = 7;
    part.count = w.count;
    part.g = NONE;
    part.v = v.device;
    part.w = w.device;
    part.prepacked = r->dtype == AN_DTYPE_BF16 ? copy.device : NONE;
    OK(r->b->fused->dense_update(r->queue, &s, n, x.device, dy.device, &part, fault));
    for (twice = 0; twice < 2; twice++) { /* the second changes nothing: rate 0 */
        OK(r->b->fused->dense_update(r->queue, &s, n, x.device, dy.device, &part,
                                     faults));
        step.update[7].rate = 0;
        OK(r->b->begin_step(r->queue, &step));
    }
    OK(r->b->dense_backward_weights(r->queue, &s, n, x.device, dy.device, NONE,
                                    db.device));
    unused = malloc(x.count * sizeof *unused);
    ref_dense_backward(&s, n, x.ref, w.ref, dy.ref, unused, dw.ref, db.ref);
    free(unused);
    ref_update(&u, w.count, dw.ref, v.ref, w.ref);
    expect_near(r, "dense_update v", &v, r->bound);
    expect_near(r, "dense_update w", &w, r->bound);
    expect_near(r, "dense_backward_weights db alone", &db, r->bound);
    if (part.prepacked.buffer != NULL) {
        memcpy(copy.ref, w.ref, w.count * sizeof *w.ref);
        expect_near(r, "dense_update prepacked w", &copy, r->bound);
    }
    free_operand(r, faults);
    free_twin(r, &x), free_twin(r, &dy), free_twin(r, &w), free_twin(r, &v);
    free_twin(r, &dw), free_twin(r, &db), free_twin(r, &copy);
}

START_TEST(dense_update)
{
    const an_dense_shape s = dense_shape(_i, 0);

    on_all_of(3, update_case, NULL, &s, &_i);
}
END_TEST

/* With weights in bfloat16: the reference has the same weights, so that the bound is that
 * of float32. */
static void bf16_weights_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    an_dense_shape s = dense_shape(i, AN_PRECISION_BF16);
    uint32_t n = denses[i].batch, maps = s.inputs / s.pixels / s.halves;
    twin x = make_halves(r, n, s.halves, maps, s.pixels, 1);
    twin b = make_floats(r, s.outputs, 1);
    twin w = make_weights(r, s.outputs, s.halves, maps, s.pixels);
    twin y = make_floats(r, n * s.outputs, 9);
    an_operand prepacked = prepack_dense(r, &s, n, &w);
    size_t j;

    describe_dense(&s, n);
    if (prepacked.buffer != NULL && r->b->host_memory) {
        OK(r->b->dense_forward(r->queue, &s, n, x.device, w.device, prepacked, b.device,
                               NULL, y.device));
        for (j = 0; j < w.count; j++) w.ref[j] = to_bfloat16(w.ref[j]);
        ref_dense_forward(&s, n, x.ref, w.ref, b.ref, y.ref);
        expect_near(r, "dense_forward y of bfloat16 weights", &y, BOUND);
    }
    free_operand(r, prepacked);
    free_twin(r, &x), free_twin(r, &w), free_twin(r, &b), free_twin(r, &y);
}

START_TEST(dense_weights_in_bfloat16)
{
    const an_dense_shape s = dense_shape(_i, 0);

    on_all_of(1, bf16_weights_case, NULL, &s, &_i);
}
END_TEST

START_TEST(dense)
{
    const an_dense_shape s = dense_shape(_i, 0);

    on_all_of(4, dense_case, NULL, &s, &_i);
}
END_TEST

void add_dense(Suite *suite)
{
    TCase *layers = tcase_create("dense");

    tcase_set_timeout(layers, 120);
    tcase_add_loop_test(layers, dense_weights_in_bfloat16, 0,
                        sizeof denses / sizeof denses[0]);
    tcase_add_loop_test(layers, dense_update, 0, sizeof denses / sizeof denses[0]);
    tcase_add_loop_test(layers, dense, 0, sizeof denses / sizeof denses[0]);
    suite_add_tcase(suite, layers);
}
