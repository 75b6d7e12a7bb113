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
    {2, {48, 9, 10, 96, 9, 10, 3, 1, 1, 1, 1, 0, 0, 0}}, /* narrow tiles of 96, of 48 */
    {1, {96, 5, 6, 384, 5, 6, 3, 1, 1, 2, 1, 0, 0, 0}},  /* and of 192 */
    {1, {128, 14, 15, 256, 14, 15, 3, 1, 1, 1, 2, 1, 0, 0}},
    {2,
     {40, 9, 6, 72, 9, 6, 5, 1, 2, 1, 1, 0, 0, 0}}, /* neither 48 nor 64 divides them */
    {2, {64, 9, 9, 200, 5, 5, 3, 2, 1, 1, 1, 0, 0, 0}},
    {1, {128, 4, 5, 48, 4, 5, 3, 1, 1, 1, 1, 0, 0, 0}}, /* two blocks of 64, and three */
    {1, {192, 3, 4, 64, 3, 4, 3, 1, 1, 1, 1, 0, 0, 0}},
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
    if (!r->b->host_memory || !r->b->fuses || s->stride > 1 ||
        (s->kernel != 3 && s->kernel != 5))
        return r->bound;
    return r->bound > WINOGRAD_BOUND ? r->bound : WINOGRAD_BOUND;
}

/* With weights packed before, and with ReLU: what differs from y is that alone. */
static void with_relu(rig *r, const an_conv_shape *s, uint32_t batch, const both *x,
                      const both *w, const both *b, const both *y)
{
    both again = make_maps(r, batch, s->out_maps, s->out_height * s->out_width, 9);
    an_conv_shape fused = *s;
    float *want = get(r, y), *got;
    void *pack = pack_conv(r, s, batch, w);
    size_t i;

    fused.relu = 1;
    OK(r->b->conv_forward(r->queue, &fused, batch, x->device, w->device, pack, b->device,
                          again.device));
    got = get(r, &again);
    for (i = 0; i < y->count; i++)
        ck_assert_msg(got[i] == (want[i] < 0 ? 0 : want[i]), "number %zu", i);
    unpack(r, pack);
    free(want);
    free(got);
    drop(r, &again);
}

/* What a masked gradient is. */
static void mask(both *dx, const both *x, float factor)
{
    size_t i;

    for (i = 0; i < dx->count; i++)
        dx->ref[i] = x->ref[i] > 0 ? dx->ref[i] * (double)factor : 0;
}

static void conv_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    an_conv_shape shape = of_rig(r, &convs[i].s), *s = &shape;
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
    void *pack = r->b->host_memory ? NULL : pack_conv(r, s, batch, &w);

    OK(r->b->conv_forward(r->queue, s, batch, x.device, w.device, pack, b.device,
                          y.device));
    OK(r->b->conv_backward_data(r->queue, s, batch, w.device, pack, dy.device, x.device,
                                dx.device));
    OK(r->b->conv_backward_weights(r->queue, s, batch, x.device, dy.device, dw.device,
                                   db.device));
    ref_conv_forward(s, batch, x.ref, w.ref, b.ref, y.ref);
    ref_conv_backward(s, batch, x.ref, w.ref, dy.ref, dx.ref, dw.ref, db.ref);
    same(r, "y", &y, bound);
    same(r, "dx", &dx, bound);
    same(r, "dw", &dw, r->bound);
    same(r, "db", &db, r->bound);
    if (r->b->fuses & AN_FUSES_RELU) with_relu(r, s, batch, &x, &w, &b, &y);
    if (r->b->fuses & AN_FUSES_MASK) {
        s->mask = 1.5f;
        OK(r->b->conv_backward_data(r->queue, s, batch, w.device, pack, dy.device,
                                    x.device, dx.device));
        mask(&dx, &x, s->mask);
        same(r, "masked dx", &dx, bound);
    }
    unpack(r, pack);
    drop(r, &x), drop(r, &w), drop(r, &b), drop(r, &y);
    drop(r, &dy), drop(r, &dx), drop(r, &dw), drop(r, &db);
}

START_TEST(convolution)
{
    on_all_of(_i % 3 == 1 ? 4 : 3, conv_case, &convs[_i].s, NULL, &_i);
}
END_TEST

/* The network's first convolution, on an input in the form that the backend wants. */
static const struct {
    uint32_t batch;
    an_conv_shape s;
} firsts[] = {
    {2, {3, 39, 39, 96, 8, 8, 11, 4, 0, 1, 1, 0, 0, 0}},  /* ends with the last window */
    {1, {3, 40, 42, 64, 9, 9, 11, 4, 2, 1, 1, 0, 0, 0}},  /* pixels that no window sees */
    {2, {3, 20, 20, 12, 4, 4, 11, 4, 0, 1, 1, 0, 0, 0}},  /* zeros behind */
    {3, {3, 12, 13, 32, 12, 13, 5, 1, 2, 1, 1, 0, 0, 0}}, /* squares of one pixel */
    {1, {3, 17, 17, 24, 8, 8, 3, 2, 0, 1, 1, 0, 0, 0}},
};

static void first_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    an_conv_shape shape = of_rig(r, &firsts[i].s), *s = &shape;
    uint32_t batch = firsts[i].batch, out = s->out_height * s->out_width;
    uint32_t taps = s->kernel * s->kernel;
    both x, w, b, y, dy, dw, db;
    void *pack;
    float *got;
    double *unused;
    size_t j;

    if (r->b->input_form == NULL) return;
    r->b->input_form(s, &s->form);
    ck_assert_uint_gt(s->form.side, 0);
    x = make_input(r, batch, s);
    w = make_weights(r, s->out_maps, 1, 3, taps),
    dw = make_weights(r, s->out_maps, 1, 3, taps);
    b = make(r, s->out_maps, 1), db = make(r, s->out_maps, 9);
    y = make_maps(r, batch, s->out_maps, out, 9);
    dy = make_maps(r, batch, s->out_maps, out, 1);
    got = get(r, &x); /* the form loses nothing */
    for (j = 0; j < x.count; j++) ck_assert(x.ref[j] == (double)got[j]);
    free(got);
    pack = pack_conv(r, s, batch, &w);
    OK(r->b->conv_forward(r->queue, s, batch, x.device, w.device, pack, b.device,
                          y.device));
    OK(r->b->conv_backward_weights(r->queue, s, batch, x.device, dy.device, dw.device,
                                   db.device));
    ref_conv_forward(s, batch, x.ref, w.ref, b.ref, y.ref);
    unused = malloc(x.count * sizeof *unused);
    ref_conv_backward(s, batch, x.ref, w.ref, dy.ref, unused, dw.ref, db.ref);
    free(unused);
    same(r, "y", &y, r->bound);
    same(r, "dw", &dw, r->bound);
    same(r, "db", &db, r->bound);
    unpack(r, pack);
    drop(r, &x), drop(r, &w), drop(r, &b), drop(r, &y);
    drop(r, &dy), drop(r, &dw), drop(r, &db);
}

START_TEST(first_convolution)
{
    on_all_of(4, first_case, &firsts[_i].s, NULL, &_i);
}
END_TEST

/* --- dense ------------------------------------------------------------------------------- */

static const struct {
    uint32_t batch, inputs, outputs, slabs;
} denses[] = {{1, 1, 1, 1},     {1, 7, 300, 1},     {3, 1000, 129, 1},
              {9, 513, 10, 1},  {32, 100, 257, 1},  {2, 1300, 5, 1},
              {37, 90, 33, 1},  {13, 2080, 150, 1}, {5, 600, 40, 2},
              {20, 360, 41, 2}, {5, 264, 136, 1},   {40, 128, 72, 1},
              {1, 600, 41, 1},  {2, 1024, 17, 1},   {3, 72, 136, 1},
              {4, 264, 80, 1}}; /* inputs: see pixels_of() */

/* Some inputs are maps of several pixels. */
static uint32_t pixels_of(uint32_t inputs)
{
    return inputs % 9 == 0 ? 9 : inputs % 4 == 0 ? 4 : 1;
}

static an_dense_shape dense_shape(int i, uint32_t precision)
{
    an_dense_shape s = {denses[i].inputs,
                        denses[i].outputs,
                        denses[i].slabs,
                        0,
                        precision,
                        0,
                        pixels_of(denses[i].inputs),
                        0,
                        0,
                        0};

    return s;
}

/* What a dense layer takes along: ReLU, dropout or its factor; the mask on the way back; and
 * y in float32. */
static void dense_along(rig *r, const an_dense_shape *given, uint32_t n, const both *x,
                        const both *w, void *pack, const both *b, const both *dy,
                        both *dx)
{
    const an_dropout_shape drop_shape = {
        given->outputs, 2, given->outputs + 5, 1, 3, 0.4f, 1 / 0.6f, r->tensors};
    an_dropout_shape moved = drop_shape;
    both y = make_maps(r, n, given->outputs, 1, 9), wide = make(r, n * given->outputs, 9);
    an_dense_shape s = *given;
    an_step step;
    size_t i;

    memset(&step, 0, sizeof step);
    step.seed = 9;
    step.first = 4;
    moved.first += 4 * moved.total;
    s.relu = 1;
    OK(r->b->begin_step(r->queue, &step));
    OK(r->b->dense_forward(r->queue, &s, n, x->device, w->device, pack, b->device,
                           &drop_shape, y.device));
    ref_dense_forward(&s, n, x->ref, w->ref, b->ref, y.ref);
    for (i = 0; i < y.count; i++) y.ref[i] = y.ref[i] > 0 ? y.ref[i] : 0;
    ref_dropout(&moved, n, 9, 0, y.ref);
    same(r, "y with dropout", &y, 8 * r->bound); /* the largest may be gone */
    s.relu = 0;
    s.wide = 1;
    s.factor = 0.25f;
    OK(r->b->dense_forward(r->queue, &s, n, x->device, w->device, pack, b->device, NULL,
                           wide.device));
    ref_dense_forward(&s, n, x->ref, w->ref, b->ref, wide.ref);
    for (i = 0; i < wide.count; i++) wide.ref[i] *= 0.25;
    same(r, "wide y", &wide, r->tensors ? WINOGRAD_BOUND : r->bound); /* exact factors */
    s.mask = 2;
    OK(r->b->dense_backward_data(r->queue, &s, n, w->device, pack, dy->device, x->device,
                                 dx->device));
    mask(dx, x, 2);
    same(r, "masked dx", dx, r->bound);
    drop(r, &y), drop(r, &wide);
}

static void dense_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    an_dense_shape s = dense_shape(i, r->precision);
    uint32_t n = denses[i].batch, maps = s.inputs / s.pixels / s.slabs;
    both x = make_slabs(r, n, s.slabs, maps, s.pixels, 1), b = make(r, s.outputs, 1);
    both w = make_weights(r, s.outputs, s.slabs, maps, s.pixels);
    both y = make_maps(r, n, s.outputs, 1, 9), dy = make_maps(r, n, s.outputs, 1, 1);
    both dx = make_slabs(r, n, s.slabs, maps, s.pixels, 9), db = make(r, s.outputs, 9);
    both dw = make_weights(r, s.outputs, s.slabs, maps, s.pixels);
    void *pack = r->b->host_memory ? NULL : pack_dense(r, &s, n, &w);

    OK(r->b->dense_forward(r->queue, &s, n, x.device, w.device, pack, b.device, NULL,
                           y.device));
    OK(r->b->dense_backward_data(r->queue, &s, n, w.device, pack, dy.device, x.device,
                                 dx.device));
    OK(r->b->dense_backward_weights(r->queue, &s, n, x.device, dy.device, dw.device,
                                    db.device));
    ref_dense_forward(&s, n, x.ref, w.ref, b.ref, y.ref);
    ref_dense_backward(&s, n, x.ref, w.ref, dy.ref, dx.ref, dw.ref, db.ref);
    same(r, "y", &y, r->bound);
    same(r, "dx", &dx, r->bound);
    same(r, "dw", &dw, r->bound);
    same(r, "db", &db, r->bound);
    if (r->b->fuses & AN_FUSES_DROPOUT) dense_along(r, &s, n, &x, &w, pack, &b, &dy, &dx);
    unpack(r, pack);
    drop(r, &x), drop(r, &w), drop(r, &b), drop(r, &y);
    drop(r, &dy), drop(r, &dx), drop(r, &dw), drop(r, &db);
}

/* The update done with the gradient is that of the gradient; not where there are faults. */
static void update_case(rig *r, const void *arg)
{
    int i = *(const int *)arg, twice;
    const an_update u = {0.25f, 0.9f, 0.01f};
    an_dense_shape s = dense_shape(i, r->precision);
    uint32_t n = denses[i].batch, maps = s.inputs / s.pixels / s.slabs;
    both x, dy, w, v, dw, db, pack;
    float flags[2] = {0, 1};
    an_parameter_part part;
    an_step step;
    double *unused;
    void *faults;

    if (!(r->b->fuses & AN_FUSES_UPDATE)) return;
    x = make_slabs(r, n, s.slabs, maps, s.pixels, 1),
    dy = make_maps(r, n, s.outputs, 1, 1);
    pack = make_slabs(r, s.outputs, s.slabs, maps, s.pixels, 1);
    w = make_weights(r, s.outputs, s.slabs, maps, s.pixels);
    v = make_weights(r, s.outputs, s.slabs, maps, s.pixels);
    dw = make_weights(r, s.outputs, s.slabs, maps, s.pixels), db = make(r, s.outputs, 9);
    faults = give(r, flags, sizeof flags);
    memset(&step, 0, sizeof step);
    step.update[7] = u;
    OK(r->b->begin_step(r->queue, &step));
    part.index = 7;
    part.count = w.count;
    part.g = NULL;
    part.v = v.device;
    part.w = w.device;
    part.pack = r->tensors ? pack.device : NULL;
    OK(r->b->dense_update(r->queue, &s, n, x.device, dy.device, &part,
                          (const float *)faults + 1));
    for (twice = 0; twice < 2; twice++) { /* of what is done nothing of: rate 0 */
        OK(r->b->dense_update(r->queue, &s, n, x.device, dy.device, &part, faults));
        step.update[7].rate = 0;
        OK(r->b->begin_step(r->queue, &step));
    }
    OK(r->b->dense_backward_weights(r->queue, &s, n, x.device, dy.device, NULL,
                                    db.device));
    unused = malloc(x.count * sizeof *unused);
    ref_dense_backward(&s, n, x.ref, w.ref, dy.ref, unused, dw.ref, db.ref);
    free(unused);
    ref_update(&u, w.count, dw.ref, v.ref, w.ref);
    same(r, "v", &v, r->bound);
    same(r, "w", &w, r->bound);
    same(r, "db alone", &db, r->bound);
    if (part.pack != NULL) {
        memcpy(pack.ref, w.ref, w.count * sizeof *w.ref);
        same(r, "packed w", &pack, r->bound);
    }
    r->b->release(r->device, faults);
    drop(r, &x), drop(r, &dy), drop(r, &w), drop(r, &v), drop(r, &dw), drop(r, &db);
    drop(r, &pack);
}

START_TEST(dense_update)
{
    const an_dense_shape s = dense_shape(_i, 0);

    on_all_of(3, update_case, NULL, &s, &_i);
}
END_TEST

/* With weights in bfloat16: the reference has the same weights, so that the bound is that of
 * float32. */
static void narrow_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    an_dense_shape s = dense_shape(i, AN_PRECISION_BF16);
    uint32_t n = denses[i].batch, maps = s.inputs / s.pixels / s.slabs;
    both x = make_slabs(r, n, s.slabs, maps, s.pixels, 1), b = make(r, s.outputs, 1);
    both w = make_weights(r, s.outputs, s.slabs, maps, s.pixels);
    both y = make(r, n * s.outputs, 9);
    void *pack = pack_dense(r, &s, n, &w);
    size_t j;

    if (pack == NULL || !r->b->host_memory) {
        unpack(r, pack);
        drop(r, &x), drop(r, &w), drop(r, &b), drop(r, &y);
        return;
    }
    OK(r->b->dense_forward(r->queue, &s, n, x.device, w.device, pack, b.device, NULL,
                           y.device));
    for (j = 0; j < w.count; j++) w.ref[j] = to_bfloat16(w.ref[j]);
    ref_dense_forward(&s, n, x.ref, w.ref, b.ref, y.ref);
    same(r, "y", &y, BOUND);
    unpack(r, pack);
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

    on_all_of(4, dense_case, NULL, &s, &_i);
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
    if (r->b->fuses & AN_FUSES_RELU) {
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
    for (batch = 2; r->b->fuses & AN_FUSES_RELU && batch <= 20; batch += 18) {
        OK(r->b->dense_forward(r->queue, s, batch, x.device, w.device, NULL, b.device,
                               NULL, y.device));
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
    const an_dense_shape product = {20, 18, 1, 0, 0, 1, 1, 0, 0, 0};

    on_all_of(1, nan_conv_case, &small, NULL, &small);
    on_all_of(1, nan_conv_case, &large, NULL, &large);
    on_all_of(1, nan_dense_case, NULL, &product, &product);
}
END_TEST

void add_products(Suite *suite)
{
    TCase *conv = tcase_create("convolutions"), *layers = tcase_create("dense");

    tcase_set_timeout(conv, 120);
    tcase_add_loop_test(conv, first_convolution, 0, sizeof firsts / sizeof firsts[0]);
    tcase_add_loop_test(conv, convolution, 0, sizeof convs / sizeof convs[0]);
    tcase_add_test(conv, fused_relu_keeps_nan);
    suite_add_tcase(suite, conv);
    tcase_set_timeout(layers, 120);
    tcase_add_loop_test(layers, dense_weights_in_bfloat16, 0,
                        sizeof denses / sizeof denses[0]);
    tcase_add_loop_test(layers, dense_update, 0, sizeof denses / sizeof denses[0]);
    tcase_add_loop_test(layers, dense, 0, sizeof denses / sizeof denses[0]);
    suite_add_tcase(suite, layers);
}
