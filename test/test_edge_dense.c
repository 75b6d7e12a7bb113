/*
 * test_edge_dense.c - dense layers on the CPU's paths, at sizes around those by which
 * their loops are cut: dot products of some images with some rows, runs of inputs, tiles
 * of sums, strips; and weights in bfloat16; cases of edges_suite().
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref.h"
#include "rig.h"
#include "test.h"

/* Sums of up to six thousand products, each rounded at the size of the sum. */
#define LONG_BOUND 4e-6

typedef struct dense_at {
    uint32_t batch, inputs, outputs, pixels, slabs;
} dense_at;

static an_dense_shape shape_of(const dense_at *d, uint32_t precision)
{
    an_dense_shape s;

    memset(&s, 0, sizeof s);
    s.inputs = d->inputs;
    s.outputs = d->outputs;
    s.pixels = d->pixels;
    s.slabs = d->slabs;
    s.precision = precision;
    return s;
}

/* Just so much as the shape asks for. */
static void scratch_for(rig *r, const an_dense_shape *s, uint32_t batch)
{
    rig_scratch(r, r->b->dense_scratch(r->device, s, batch, 1));
}

static const char *dense_name(const char *what, const dense_at *d)
{
    return named("%s of %u images, %u inputs of %u pixels in %u slabs, %u outputs", what,
                 d->batch, d->inputs, d->pixels, d->slabs, d->outputs);
}

/* What ReLU makes of y, done with it: the same numbers. */
static void fused_relu(rig *r, const dense_at *d, const both *x, const both *w,
                       const both *b, const both *y)
{
    both again = make(r, y->count, 9);
    an_dense_shape s = shape_of(d, AN_PRECISION_FP32);
    size_t i;

    s.relu = 1;
    OK(r->b->dense_forward(r->queue, &s, d->batch, x->device, w->device, NULL, b->device,
                           NULL, again.device));
    for (i = 0; i < y->count; i++)
        if (again.device[i] != (y->device[i] < 0 ? 0 : y->device[i]))
            ck_abort_msg("%s: %s: number %zu is %g, with ReLU %g", r->place,
                         dense_name("y", d), i, (double)y->device[i],
                         (double)again.device[i]);
    drop(r, &again);
}

static void try_dense(rig *r, const dense_at *d)
{
    const an_dense_shape s = shape_of(d, AN_PRECISION_FP32);
    uint32_t n = d->batch, maps = d->inputs / d->pixels / d->slabs;
    double bound = d->inputs > 2000 ? LONG_BOUND : BOUND;
    both x = make_slabs(r, n, s.slabs, maps, s.pixels, 1), b = make(r, s.outputs, 1);
    both w = make_weights(r, s.outputs, s.slabs, maps, s.pixels);
    both y = make_maps(r, n, s.outputs, 1, 9), dy = make_maps(r, n, s.outputs, 1, 1);
    both dx = make_slabs(r, n, s.slabs, maps, s.pixels, 9), db = make(r, s.outputs, 9);
    both dw = make_weights(r, s.outputs, s.slabs, maps, s.pixels);

    scratch_for(r, &s, n);
    dense_name("products", d);
    OK(r->b->dense_forward(r->queue, &s, n, x.device, w.device, NULL, b.device, NULL,
                           y.device));
    OK(r->b->dense_backward_data(r->queue, &s, n, w.device, NULL, dy.device, x.device,
                                 dx.device));
    OK(r->b->dense_backward_weights(r->queue, &s, n, x.device, dy.device, dw.device,
                                    db.device));
    ref_dense_forward(&s, n, x.ref, w.ref, b.ref, y.ref);
    ref_dense_backward(&s, n, x.ref, w.ref, dy.ref, dx.ref, dw.ref, db.ref);
    same(r, dense_name("y", d), &y, bound);
    same(r, dense_name("dx", d), &dx, BOUND);
    same(r, dense_name("dw", d), &dw, BOUND);
    same(r, dense_name("db", d), &db, BOUND);
    if (is_vector(r)) fused_relu(r, d, &x, &w, &b, &y);
    drop(r, &x), drop(r, &w), drop(r, &b), drop(r, &y);
    drop(r, &dy), drop(r, &dx), drop(r, &dw), drop(r, &db);
}

/* --- few images: dot products ------------------------------------------------------- */

/* Every batch that is done so, and the first that is not; every rest of a vector, of a
 * block of rows, of an item. */
static void few_case(rig *r, const void *arg)
{
    static const uint32_t inputs[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33};
    static const uint32_t outputs[] = {1, 3, 4, 5, 7, 8, 9, 31, 32, 33, 65};
    dense_at d = {1, 1, 1, 1, 1};
    uint32_t i, o;

    d.batch = (uint32_t) * (const int *)arg;
    for (i = 0; i < sizeof inputs / sizeof inputs[0]; i++)
        for (o = (i + d.batch) % 2; o < sizeof outputs / sizeof outputs[0]; o += 2) {
            d.inputs = inputs[i];
            d.outputs = outputs[o];
            try_dense(r, &d);
        }
}

START_TEST(dense_layers_of_few_images)
{
    on_cpu_alone(few_case, &_i);
}
END_TEST

/* Inputs come in runs of 2048, of 512 where there are more than three images; images
 * in threes, twelve of them at a time. */
static void runs_case(rig *r, const void *arg)
{
    static const dense_at shapes[] = {
        {1, 2047, 5, 1, 1}, {2, 2048, 4, 1, 1},  {3, 2049, 3, 1, 1}, {1, 4095, 1, 1, 1},
        {3, 4096, 5, 1, 1}, {2, 4097, 9, 1, 1},  {3, 6150, 2, 1, 1}, {4, 511, 5, 1, 1},
        {5, 512, 9, 1, 1},  {6, 513, 4, 1, 1},   {11, 519, 5, 1, 1}, {12, 520, 5, 1, 1},
        {13, 521, 5, 1, 1}, {15, 1023, 5, 1, 1}, {4, 1024, 3, 1, 1}, {7, 1025, 5, 1, 1},
        {15, 1537, 9, 1, 1}};
    size_t i;

    (void)arg;
    for (i = 0; i < sizeof shapes / sizeof shapes[0]; i++) try_dense(r, &shapes[i]);
}

START_TEST(dense_layers_of_long_inputs)
{
    on_cpu_alone(runs_case, NULL);
}
END_TEST

/* --- many images: tiles ------------------------------------------------------------- */

/* Images stand side by side, 16 or 32 of them; outputs are 6 or 10 of a tile, 24 or 40
 * of an item. */
static void many_case(rig *r, const void *arg)
{
    static const uint32_t batches[] = {16, 17, 31, 32, 33, 40};
    static const uint32_t outputs[] = {1, 5, 6, 7, 10, 11, 23, 24, 25, 39, 40, 41, 49};
    dense_at d = {1, 3, 1, 1, 1};
    uint32_t n, o;

    (void)arg;
    for (n = 0; n < sizeof batches / sizeof batches[0]; n++)
        for (o = 0; o < sizeof outputs / sizeof outputs[0]; o++) {
            d.batch = batches[n];
            d.inputs = 3 + n * 13 % 32;
            d.outputs = outputs[o];
            try_dense(r, &d);
        }
}

START_TEST(dense_layers_of_many_images)
{
    on_cpu_alone(many_case, NULL);
}
END_TEST

/* Their inputs come in runs of 2048, too: what a run gives is added to what those
 * before gave. */
static void many_long_case(rig *r, const void *arg)
{
    static const dense_at shapes[] = {{16, 2047, 3, 1, 1}, {17, 2048, 2, 1, 1},
                                      {16, 2049, 7, 1, 1}, {33, 2050, 2, 1, 1},
                                      {16, 4095, 2, 1, 1}, {16, 4096, 1, 1, 1},
                                      {18, 4097, 2, 1, 1}, {16, 6145, 2, 1, 1}};
    size_t i;

    (void)arg;
    for (i = 0; i < sizeof shapes / sizeof shapes[0]; i++) try_dense(r, &shapes[i]);
}

START_TEST(dense_layers_of_many_images_with_long_inputs)
{
    on_cpu_alone(many_long_case, NULL);
}
END_TEST

/* --- back --------------------------------------------------------------------------- */

/* Back, weights are brought together 64 or 128 inputs by 256 outputs; the reference
 * has 512 inputs in an item, or 128 outputs. Images are shared out to tiles of up to 6
 * or 14. */
static void back_case(rig *r, const void *arg)
{
    static const dense_at shapes[] = {
        {1, 63, 255, 1, 1},   {2, 64, 256, 1, 1},  {3, 65, 257, 1, 1},
        {5, 127, 127, 1, 1},  {6, 128, 128, 1, 1}, {7, 129, 129, 1, 1},
        {8, 16, 511, 1, 1},   {9, 17, 512, 1, 1},  {10, 15, 513, 1, 1},
        {12, 191, 258, 1, 1}, {13, 193, 13, 1, 1}, {14, 33, 14, 1, 1},
        {15, 32, 15, 1, 1},   {27, 31, 769, 1, 1}, {2, 511, 6, 1, 1},
        {2, 512, 13, 1, 1},   {2, 513, 29, 1, 1},  {64, 560, 560, 1, 1},
        {1, 1025, 4, 1, 1},   {28, 65, 260, 1, 1}, {29, 130, 5, 1, 1}};
    size_t i;

    (void)arg;
    for (i = 0; i < sizeof shapes / sizeof shapes[0]; i++) try_dense(r, &shapes[i]);
}

START_TEST(dense_layers_on_the_way_back)
{
    on_cpu_alone(back_case, NULL);
}
END_TEST

/* Inputs that are maps of pixels, which stand apart; those of both towers, slab behind
 * slab. */
static void pixels_case(rig *r, const void *arg)
{
    static const uint32_t batches[] = {1, 3, 4, 15, 16, 21};
    static const uint32_t pixels[] = {2, 3, 8, 9, 16, 17, 36};
    uint32_t n, p;

    (void)arg;
    for (n = 0; n < sizeof batches / sizeof batches[0]; n++)
        for (p = 0; p < sizeof pixels / sizeof pixels[0]; p++) {
            uint32_t slabs = 1 + (n + p) % 2, maps = 1 + (n * 5 + p * 3) % 11;
            dense_at d = {batches[n], pixels[p] * slabs * maps, 5 + p, pixels[p], slabs};

            try_dense(r, &d);
            d.inputs = slabs * (17 + n);
            d.pixels = 1;
            try_dense(r, &d);
        }
}

START_TEST(dense_layers_of_maps_and_slabs)
{
    on_cpu_alone(pixels_case, NULL);
}
END_TEST

static void threads_case(rig *r, const void *arg)
{
    static const dense_at shapes[] = {{1, 600, 130, 1, 1},  {5, 140, 99, 4, 1},
                                      {15, 530, 70, 1, 2},  {16, 200, 90, 1, 1},
                                      {17, 144, 131, 9, 2}, {37, 300, 50, 1, 1}};
    size_t i;

    (void)arg;
    for (i = 0; i < sizeof shapes / sizeof shapes[0]; i++) try_dense(r, &shapes[i]);
}

START_TEST(dense_layers_are_the_same_for_any_number_of_threads)
{
    on_cpu(threads_case, NULL, NULL, NULL);
}
END_TEST

/* --- weights in bfloat16 ------------------------------------------------------------ */

static float from_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The nearer of the two numbers of 16 bits on either side of x; where both are as
 * near, the one whose last bit is 0. Above the largest the next one is infinity, as
 * far away as a further step. */
static float nearest_bf16(float x)
{
    uint32_t bits, step = 0x10000;
    double below, above;

    memcpy(&bits, &x, sizeof bits);
    if (isnan(x) || isinf(x)) return x;
    bits &= ~(step - 1);
    below = (double)from_bits(bits);
    above = (double)from_bits(bits + step);
    if (isinf(above)) above = 2 * below - (double)from_bits(bits - step);
    if (fabs((double)x - below) != fabs(above - (double)x))
        return fabs((double)x - below) < fabs(above - (double)x) ? from_bits(bits)
                                                                 : from_bits(bits + step);
    return bits & step ? from_bits(bits + step) : from_bits(bits);
}

/* Bits of float32 that are hard to round: ties to both sides and their neighbours,
 * carries into the exponent, the largest, subnormals, none at all. */
static const uint32_t hard[] = {
    0x3f800000, 0x3f808000, 0x3f807fff, 0x3f808001, 0x3f818000, 0x3f817fff, 0x3f818001,
    0x3fff8000, 0x3fff7fff, 0x3fff8001, 0x3f80ffff, 0x3f810000, 0x3f810001, 0x7f7f7fff,
    0x7f7f8000, 0x7f7fffff, 0x7f7f0000, 0x7f7e8000, 0x00000001, 0x00007fff, 0x00008000,
    0x00008001, 0x00018000, 0x00017fff, 0x007f8000, 0x007fffff, 0x00800000, 0x00808000,
    0x00000000, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fc00000, 0x7fffffff, 0x7f80ffff};
enum { HARD = sizeof hard / sizeof hard[0] };

static int same_number(float a, float b)
{
    return isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
}

/* Row o has the o-th of them at place `at`, and 0 elsewhere; x is 1 there: so y is
 * what the copy has of it. The second half of the rows has their negatives. */
static void hard_case(rig *r, const void *arg)
{
    static const uint32_t inputs[] = {1, 8, 16, 19, 37};
    dense_at d = {1, 1, 2 * HARD, 1, 1};
    uint32_t i, at, o;

    (void)arg;
    if (!is_vector(r)) return;
    for (i = 0; i < 5; i++)
        for (at = 0; at < inputs[i]; at += 1 + at % 2) {
            an_dense_shape s;
            both x, w, b = make(r, d.outputs, 0), y;
            void *pack;

            d.inputs = inputs[i];
            d.batch = 1 + at % 15;
            s = shape_of(&d, AN_PRECISION_BF16);
            x = make_maps(r, d.batch, d.inputs, 1, 0),
            y = make(r, d.batch * d.outputs, 9);
            w = make_weights(r, d.outputs, 1, d.inputs, 1);
            memset(w.device, 0, w.count * sizeof(float));
            for (o = 0; o < d.outputs; o++)
                w.device[o * d.inputs + at] =
                    from_bits(hard[o % HARD] | (o < HARD ? 0 : 0x80000000u));
            x.device[(d.batch - 1) * d.inputs + at] = 1;
            scratch_for(r, &s, d.batch);
            pack = pack_dense(r, &s, d.batch, &w);
            OK(r->b->dense_forward(r->queue, &s, d.batch, x.device, w.device, pack,
                                   b.device, NULL, y.device));
            for (o = 0; o < d.outputs; o++) {
                float got = y.device[(d.batch - 1) * d.outputs + o];
                /* + 0: sums begin with 0, which -0 does not change */
                float want = nearest_bf16(w.device[o * d.inputs + at]) + 0;

                if (!same_number(got, want))
                    ck_abort_msg("%s: weight %u of %u of %08x became %g, wanted %g",
                                 r->place, at, d.inputs, hard[o % HARD], (double)got,
                                 (double)want);
            }
            unpack(r, pack);
            drop(r, &x), drop(r, &w), drop(r, &b), drop(r, &y);
        }
}

START_TEST(bfloat16_is_the_nearest_and_even_where_two_are)
{
    on_cpu_alone(hard_case, NULL);
}
END_TEST

static void narrow_case(rig *r, const void *arg)
{
    static const dense_at shapes[] = {
        {1, 1, 1, 1, 1},   {1, 7, 33, 1, 1},    {2, 8, 4, 1, 1},    {3, 9, 31, 1, 1},
        {4, 15, 5, 1, 1},  {5, 16, 32, 1, 1},   {6, 17, 65, 1, 1},  {7, 36, 9, 9, 2},
        {11, 40, 8, 4, 1}, {12, 31, 7, 1, 1},   {13, 33, 5, 1, 1},  {15, 66, 6, 3, 2},
        {4, 513, 5, 1, 1}, {15, 1030, 4, 1, 1}, {1, 2049, 5, 1, 1}, {3, 4100, 3, 1, 1}};
    size_t k, i;

    (void)arg;
    for (k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        const dense_at *d = &shapes[k];
        const an_dense_shape s = shape_of(d, AN_PRECISION_BF16);
        uint32_t n = d->batch, maps = s.inputs / s.pixels / s.slabs;
        both x = make_slabs(r, n, s.slabs, maps, s.pixels, 1), b = make(r, s.outputs, 1);
        both w = make_weights(r, s.outputs, s.slabs, maps, s.pixels);
        both y = make(r, n * s.outputs, 9);
        void *pack;

        scratch_for(r, &s, n);
        pack = pack_dense(r, &s, n, &w);
        expect_count(pack != NULL, is_vector(r), "%s: %s: a copy", r->place,
                     dense_name("y", d));
        OK(r->b->dense_forward(r->queue, &s, n, x.device, w.device, pack, b.device, NULL,
                               y.device));
        for (i = 0; pack != NULL && i < w.count; i++)
            w.ref[i] = (double)nearest_bf16((float)w.ref[i]);
        ref_dense_forward(&s, n, x.ref, w.ref, b.ref, y.ref);
        same(r, dense_name("y from weights in bfloat16", d), &y,
             d->inputs > 2000 ? LONG_BOUND : BOUND);
        unpack(r, pack);
        drop(r, &x), drop(r, &w), drop(r, &b), drop(r, &y);
    }
}

START_TEST(dense_layers_with_weights_in_bfloat16)
{
    on_cpu(narrow_case, NULL, NULL, NULL);
}
END_TEST

/* Such a copy is for fewer than 16 images, for inference, and where it is allowed; it
 * has half the weights' bytes, but for vectors that are not full. */
static void copy_case(rig *r, const void *arg)
{
    const dense_at d = {1, 64, 10, 1, 1};
    uint32_t precision, batch;
    int training;

    (void)arg;
    if (!is_vector(r)) {
        expect_count(r->b->dense_way == NULL, 1, "%s: no copies", r->place);
        return;
    }
    for (precision = AN_PRECISION_FP32; precision <= AN_PRECISION_TF32X3; precision++)
        for (batch = 1; batch <= 17; batch++)
            for (training = 0; training <= 1; training++) {
                const an_dense_shape s = shape_of(&d, precision);
                size_t want = precision == AN_PRECISION_BF16 && batch < 16 && !training
                                  ? 64 * 10 * sizeof(uint16_t)
                                  : 0;

                expect_count(r->b->dense_way(r->device, &s, batch, training), want,
                             "%s: precision %u, %u images, training %d", r->place,
                             precision, batch, training);
            }
}

START_TEST(bfloat16_copies_are_for_inference_of_few_images)
{
    on_cpu_alone(copy_case, NULL);
}
END_TEST

void add_edge_dense(Suite *suite)
{
    TCase *tc = tcase_create("dense layers at their edges");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, dense_layers_of_few_images, 1, 17);
    tcase_add_test(tc, dense_layers_of_long_inputs);
    tcase_add_test(tc, dense_layers_of_many_images);
    tcase_add_test(tc, dense_layers_of_many_images_with_long_inputs);
    tcase_add_test(tc, dense_layers_on_the_way_back);
    tcase_add_test(tc, dense_layers_of_maps_and_slabs);
    tcase_add_test(tc, dense_layers_are_the_same_for_any_number_of_threads);
    tcase_add_test(tc, bfloat16_is_the_nearest_and_even_where_two_are);
    tcase_add_test(tc, dense_layers_with_weights_in_bfloat16);
    tcase_add_test(tc, bfloat16_copies_are_for_inference_of_few_images);
    suite_add_tcase(suite, tc);
}
