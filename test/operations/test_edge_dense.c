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
#include "twin.h"

/* Sums of up to six thousand products, each rounded at the size of the sum. */
#define LONG_BOUND 4e-6

typedef struct dense_at {
    uint32_t batch, inputs, outputs, pixels, halves;
} dense_at;

static an_dense_shape shape_of(const dense_at *d, uint32_t precision)
{
    an_dense_shape s;

    memset(&s, 0, sizeof s);
    s.inputs = d->inputs;
    s.outputs = d->outputs;
    s.pixels = d->pixels;
    s.halves = d->halves;
    s.precision = precision;
    return s;
}

/* Just so much as the shape asks for. */
static void scratch_for(rig *r, const an_dense_shape *s, uint32_t batch)
{
    rig_scratch(r, r->b->dense_scratch(r->device, s, batch, 1));
}

/* What ReLU makes of y, done with it: the same numbers. */
static void fused_relu(rig *r, const dense_at *d, const twin *x, const twin *w,
                       const twin *b, const twin *y)
{
    twin again = make_floats(r, y->count, 9);
    const float *want = in_place(y), *got = in_place(&again);
    an_dense_shape s = shape_of(d, AN_PRECISION_FP32);
    size_t i;

    s.relu = 1;
    OK(r->b->dense_forward(r->queue, &s, d->batch, x->device, w->device, NONE, b->device,
                           NULL, again.device));
    for (i = 0; i < y->count; i++)
        if (got[i] != (want[i] < 0 ? 0 : want[i]))
            ck_abort_msg("dense_forward y: element %zu is %g, with ReLU %g%s", i,
                         (double)want[i], (double)got[i], case_text());
    free_twin(r, &again);
}

static void try_dense(rig *r, const dense_at *d)
{
    const an_dense_shape s = shape_of(d, AN_PRECISION_FP32);
    uint32_t n = d->batch, maps = d->inputs / d->pixels / d->halves;
    double bound = d->inputs > 2000 ? LONG_BOUND : BOUND;
    twin x = make_halves(r, n, s.halves, maps, s.pixels, 1),
         b = make_floats(r, s.outputs, 1);
    twin w = make_weights(r, s.outputs, s.halves, maps, s.pixels);
    twin y = make_maps(r, n, s.outputs, 1, 9), dy = make_maps(r, n, s.outputs, 1, 1);
    twin dx = make_halves(r, n, s.halves, maps, s.pixels, 9),
         db = make_floats(r, s.outputs, 9);
    twin dw = make_weights(r, s.outputs, s.halves, maps, s.pixels);

    scratch_for(r, &s, n);
    describe_dense(&s, n);
    OK(r->b->dense_forward(r->queue, &s, n, x.device, w.device, NONE, b.device, NULL,
                           y.device));
    OK(r->b->dense_backward_data(r->queue, &s, n, w.device, NONE, dy.device, x.device,
                                 dx.device));
    OK(r->b->dense_backward_weights(r->queue, &s, n, x.device, dy.device, dw.device,
                                    db.device));
    ref_dense_forward(&s, n, x.ref, w.ref, b.ref, y.ref);
    ref_dense_backward(&s, n, x.ref, w.ref, dy.ref, dx.ref, dw.ref, db.ref);
    expect_near(r, "dense_forward y", &y, bound);
    expect_near(r, "dense_backward_data dx", &dx, BOUND);
    expect_near(r, "dense_backward_weights dw", &dw, BOUND);
    expect_near(r, "dense_backward_weights db", &db, BOUND);
    if (is_vector(r)) fused_relu(r, d, &x, &w, &b, &y);
    free_twin(r, &x), free_twin(r, &w), free_twin(r, &b), free_twin(r, &y);
    free_twin(r, &dy), free_twin(r, &dx), free_twin(r, &dw), free_twin(r, &db);
}

/* --- few images: dot products ------------------------------------------------------ */

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

/* --- many images: tiles ------------------------------------------------------------ */

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

/* --- back -------------------------------------------------------------------------- */

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

/* Inputs that are maps of pixels, which stand apart; those of both towers, half behind
 * half. */
static void pixels_case(rig *r, const void *arg)
{
    static const uint32_t batches[] = {1, 3, 4, 15, 16, 21};
    static const uint32_t pixels[] = {2, 3, 8, 9, 16, 17, 36};
    uint32_t n, p;

    (void)arg;
    for (n = 0; n < sizeof batches / sizeof batches[0]; n++)
        for (p = 0; p < sizeof pixels / sizeof pixels[0]; p++) {
            uint32_t halves = 1 + (n + p) % 2, maps = 1 + (n * 5 + p * 3) % 11;
            dense_at d = {batches[n], pixels[p] * halves * maps, 5 + p, pixels[p],
                          halves};

            try_dense(r, &d);
            d.inputs = halves * (17 + n);
            d.pixels = 1;
            try_dense(r, &d);
        }
}

START_TEST(dense_layers_of_maps_and_halves)
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

/* --- weights in bfloat16 ----------------------------------------------------------- */

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
            twin x, w, b = make_floats(r, d.outputs, 0), y;
            float *weights, *outputs;
            an_operand prepacked;

            d.inputs = inputs[i];
            d.batch = 1 + at % 15;
            s = shape_of(&d, AN_PRECISION_BF16);
            x = make_maps(r, d.batch, d.inputs, 1, 0),
            y = make_floats(r, d.batch * d.outputs, 9);
            w = make_weights(r, d.outputs, 1, d.inputs, 1);
            weights = in_place(&w), outputs = in_place(&y);
            describe_dense(&s, d.batch);
            memset(weights, 0, w.count * sizeof(float));
            for (o = 0; o < d.outputs; o++)
                weights[o * d.inputs + at] =
                    from_bits(hard[o % HARD] | (o < HARD ? 0 : 0x80000000u));
            in_place(&x)[(d.batch - 1) * d.inputs + at] = 1;
            scratch_for(r, &s, d.batch);
            prepacked = prepack_dense(r, &s, d.batch, &w);
            OK(r->b->dense_forward(r->queue, &s, d.batch, x.device, w.device, prepacked,
                                   b.device, NULL, y.device));
            for (o = 0; o < d.outputs; o++) {
                float got = outputs[(d.batch - 1) * d.outputs + o];
                /* + 0: sums begin with 0, which -0 does not change */
                float want = nearest_bf16(weights[o * d.inputs + at]) + 0;

                if (fpclassify(want) == FP_SUBNORMAL) want = 0; /* to the CPU */
                if (!same_number(got, want))
                    ck_abort_msg("dense_prepack: weight %u of %u of %08x became %g, "
                                 "expected %g%s",
                                 at, d.inputs, hard[o % HARD], (double)got, (double)want,
                                 case_text());
            }
            free_operand(r, prepacked);
            free_twin(r, &x), free_twin(r, &w), free_twin(r, &b), free_twin(r, &y);
        }
}

START_TEST(bfloat16_is_the_nearest_and_even_where_two_are)
{
    on_cpu_alone(hard_case, NULL);
}
END_TEST

static void bf16_weights_case(rig *r, const void *arg)
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
        uint32_t n = d->batch, maps = s.inputs / s.pixels / s.halves;
        twin x = make_halves(r, n, s.halves, maps, s.pixels, 1),
             b = make_floats(r, s.outputs, 1);
        twin w = make_weights(r, s.outputs, s.halves, maps, s.pixels);
        twin y = make_floats(r, n * s.outputs, 9);
        an_operand prepacked;

        scratch_for(r, &s, n);
        prepacked = prepack_dense(r, &s, n, &w);
        describe_dense(&s, n);
        expect_count(prepacked.buffer != NULL, is_vector(r), "prepacked weights%s",
                     case_text());
        OK(r->b->dense_forward(r->queue, &s, n, x.device, w.device, prepacked, b.device,
                               NULL, y.device));
        for (i = 0; prepacked.buffer != NULL && i < w.count; i++)
            w.ref[i] = (double)nearest_bf16((float)w.ref[i]);
        ref_dense_forward(&s, n, x.ref, w.ref, b.ref, y.ref);
        expect_near(r, "dense_forward y of bfloat16 weights", &y,
                    d->inputs > 2000 ? LONG_BOUND : BOUND);
        free_operand(r, prepacked);
        free_twin(r, &x), free_twin(r, &w), free_twin(r, &b), free_twin(r, &y);
    }
}

START_TEST(dense_layers_with_weights_in_bfloat16)
{
    on_cpu(bf16_weights_case, NULL, NULL, NULL);
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
        expect_count(r->b->prepack == NULL, 1, "%s: no copies", r->place);
        return;
    }
    for (precision = AN_PRECISION_FP32; precision <= AN_PRECISION_TF32X3; precision++)
        for (batch = 1; batch <= 17; batch++)
            for (training = 0; training <= 1; training++) {
                const an_dense_shape s = shape_of(&d, precision);
                size_t want = precision == AN_PRECISION_BF16 && batch < 16 && !training
                                  ? 64 * 10 * sizeof(uint16_t)
                                  : 0;

                expect_count(
                    r->b->prepack->dense_prepack_bytes(r->device, &s, batch, training),
                    want, "%s: precision %u, %u images, training %d", r->place, precision,
                    batch, training);
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
    tcase_add_test(tc, dense_layers_of_maps_and_halves);
    tcase_add_test(tc, dense_layers_are_the_same_for_any_number_of_threads);
    tcase_add_test(tc, bfloat16_is_the_nearest_and_even_where_two_are);
    tcase_add_test(tc, dense_layers_with_weights_in_bfloat16);
    tcase_add_test(tc, bfloat16_copies_are_for_inference_of_few_images);
    suite_add_tcase(suite, tc);
}
