/*
 * test_ops.c - every operation of every backend against test/support/ref.c, forward and
 * backward, but for those in test_products.c, test_dense.c, test_windows.c and
 * test_numbers.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ref.h"
#include "rig.h"
#include "test.h"
#include "twin.h"

/* --- activations ------------------------------------------------------------------- */

static void activation_case(rig *r, const void *arg)
{
    uint32_t kind = (uint32_t) * (const int *)arg;
    twin y = make_maps(r, 70001, 1, 1, 4), dy = make_maps(r, 70001, 1, 1, 1);

    describe("activation %u of %zu elements", kind, y.count);
    y.ref[3] = 0; /* relu'(0) is 0 */
    to_device(r, &y);
    OK(r->b->activation_forward(r->queue, kind, y.count, y.device));
    ref_activation_forward(kind, y.count, y.ref);
    expect_near(r, "activation_forward y", &y, BOUND);
    OK(r->b->activation_backward(r->queue, kind, y.count, y.device, dy.device));
    ref_activation_backward(kind, y.count, y.ref, dy.ref);
    expect_near(r, "activation_backward dx", &dy,
                r->dtype == AN_DTYPE_BF16 ? 2 * r->bound : BOUND); /* of a rounded y */
    free_twin(r, &y), free_twin(r, &dy);
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
        twin x = make_floats(r, 2 * count + 1, 1);
        float *got;
        size_t i;

        describe("activation %u of %zu elements from 1e-20 to infinity", kind, x.count);
        for (i = 0; i < 2 * count; i++) x.ref[i] = i % 2 ? -at[i / 2] : at[i / 2];
        x.ref[2 * count] = NAN;
        to_device(r, &x);
        OK(r->b->activation_forward(r->queue, kind, x.count, x.device));
        got = from_device(r, &x);
        ref_activation_forward(kind, x.count, x.ref);
        for (i = 0; i < 2 * count; i++)
            ck_assert_msg(fabs((double)got[i] - x.ref[i]) <=
                              1e-6 * fabs(x.ref[i]) + 1e-37,
                          "activation_forward y: element %zu: got %g, expected %g%s", i,
                          (double)got[i], x.ref[i], case_text());
        ck_assert_msg(isnan(got[2 * count]), "activation_forward y: of NaN: got %g%s",
                      (double)got[2 * count], case_text());
        free(got);
        free_twin(r, &x);
    }
}

START_TEST(activations_at_extremes)
{
    on_all(extremes_case, NULL);
}
END_TEST

/* --- dropout ----------------------------------------------------------------------- */

/* Maps of 5 pixels: the mask is the host's order's, whatever the device's is. */
static void dropout_case(rig *r, const void *arg)
{
    const an_dropout_shape whole = {.units = 1030,
                                    .first = 0,
                                    .total = 1030,
                                    .pixels = 5,
                                    .layer = 5,
                                    .rate = 0.3f,
                                    .scale = 1};
    an_dropout_shape left = whole, right = whole;
    twin x = make_maps(r, 4, 206, 5, 1), a = make_maps(r, 4, 103, 5, 1);
    twin b = make_maps(r, 4, 103, 5, 1);
    an_dropout_shape ref;
    an_step step;
    size_t n, i, kept = 0;

    (void)arg;
    left.units = right.units = right.first = 515;
    right.scale = 1 / 0.7f;
    for (n = 0; n < 4; n++)
        for (i = 0; i < 515; i++) {
            a.ref[n * 515 + i] = x.ref[n * 1030 + i];
            b.ref[n * 515 + i] = x.ref[n * 1030 + 515 + i];
        }
    to_device(r, &a);
    to_device(r, &b);
    memset(&step, 0, sizeof step);
    step.seed = 77;
    step.iteration = 1u << 20;
    step.first = 9;
    describe_dropout(&whole, 4, &step);
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
    expect_near(r, "dropout of the whole", &x, 0);
    expect_near(r, "dropout of the left half", &a, 0);
    expect_near(r, "dropout of the right half", &b, BOUND);
    /* 0.7 of 4120, within four standard deviations */
    ck_assert_uint_ge(kept, 2884 - 118);
    ck_assert_uint_le(kept, 2884 + 118);
    free_twin(r, &x), free_twin(r, &a), free_twin(r, &b);
}

/* Units without maps, more than are drawn at a time, from a position amid a block on. */
static void flat_dropout_case(rig *r, const void *arg)
{
    const an_dropout_shape s = {.units = 2051,
                                .first = 3,
                                .total = 5001,
                                .pixels = 1,
                                .layer = 2,
                                .rate = 0.5f,
                                .scale = 1};
    twin x = make_maps(r, 3, 2051, 1, 1);
    an_step step;

    (void)arg;
    memset(&step, 0, sizeof step);
    step.seed = 0x123456789abcdefu;
    step.iteration = 5;
    describe_dropout(&s, 3, &step);
    OK(r->b->begin_step(r->queue, &step));
    OK(r->b->dropout(r->queue, &s, 3, x.device));
    ref_dropout(&s, 3, step.seed, 5, x.ref);
    expect_near(r, "dropout", &x, 0);
    free_twin(r, &x);
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

Suite *ops_suite(void)
{
    Suite *suite = suite_create("ops");
    TCase *tc = tcase_create("others");

    add_products(suite);
    add_dense(suite);
    tcase_set_timeout(tc, 120);
    add_numbers(tc);
    tcase_add_loop_test(tc, activation, AN_ACTIVATION_RELU, AN_ACTIVATION_SIGMOID + 1);
    tcase_add_test(tc, activations_at_extremes);
    add_windows(tc);
    tcase_add_loop_test(tc, dropout, 0, 2);
    tcase_add_test(tc, generator_gives_the_published_numbers);
    suite_add_tcase(suite, tc);
    return suite;
}
