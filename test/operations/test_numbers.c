/*
 * test_numbers.c - softmax and its loss, updates, copies, the look for infinities, of
 * every backend against test/support/ref.c; cases of ops_suite().
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref.h"
#include "rig.h"
#include "test.h"
#include "twin.h"

static void softmax_case(rig *r, const void *arg)
{
    const uint32_t classes = *(const int *)arg ? 1003 : 11, n = 5;
    const int32_t labels[5] = {0, 10, 3, 3, (int32_t)classes - 1};
    size_t elements = (size_t)classes * n;
    twin x = make_floats(r, elements, 60); /* logits to 60 */
    twin dx = make_maps(r, n, classes, 1, 9);
    double losses[5] = {9, 9, 9, 9, 9}, sum = 0, want;
    an_rank ranks[5] = {{0, 0}};
    const an_loss_operands o = {.logits = x.device,
                                .labels = upload_new(r, labels, sizeof labels),
                                .dx = dx.device,
                                .ranks = upload_new(r, ranks, sizeof ranks),
                                .losses = upload_new(r, losses, sizeof losses)};
    int i;

    describe("%u rows of %u classes", n, classes);
    x.ref[0] = 500; /* e^500 is beyond double's range squared, let alone float's */
    x.ref[12] = -500;
    x.ref[2 * classes + 3] = x.ref[2 * classes + 4]; /* a tie with the label */
    to_device(r, &x);
    OK(r->b->softmax_loss(r->queue, classes, n, &o));
    download_and_free(r, losses, o.losses, sizeof losses);
    download_and_free(r, ranks, o.ranks, sizeof ranks);
    free_operand(r, o.labels);
    want = ref_softmax_loss(classes, n, x.ref, labels, dx.ref);
    for (i = 0; i < 5; i++) {
        uint32_t greater = 0, equal = 0, c;

        sum += losses[i] / n;
        for (c = 0; c < classes; c++) {
            greater += x.ref[(uint32_t)i * classes + c] >
                       x.ref[(uint32_t)i * classes + (uint32_t)labels[i]];
            equal += x.ref[(uint32_t)i * classes + c] ==
                     x.ref[(uint32_t)i * classes + (uint32_t)labels[i]];
        }
        expect_count(ranks[i].greater, greater, "softmax_loss: row %d%s", i, case_text());
        expect_count(ranks[i].equal, equal, "softmax_loss: row %d%s", i, case_text());
    }
    expect_number(sum, want, 1e-12 * want, "softmax_loss: mean loss%s", case_text());
    expect_near(r, "softmax_loss dx", &dx, BOUND);
    OK(r->b->softmax(r->queue, classes, n, x.device));
    ref_softmax(classes, n, x.ref);
    expect_near(r, "softmax p", &x, BOUND);
    free_twin(r, &x), free_twin(r, &dx);
}

START_TEST(softmax)
{
    on_all(softmax_case, &_i);
}
END_TEST

static void update_case(rig *r, const void *arg)
{
    const an_update u = {0.01f, 0.9f, 0.0005f};
    twin w = make_floats(r, 70001, 1), v = make_floats(r, 70001, 0.1f),
         g = make_floats(r, 70001, 5);
    twin small_w = make_floats(r, 3, 1), small_v = make_floats(r, 3, 0.1f),
         small_g = make_floats(r, 3, 5);
    twin still_w = make_floats(r, 4096, 1), still_v = make_floats(r, 4096, 1), copy;
    an_parameter_part parts[3] = {
        {3, w.count, g.device, v.device, w.device, NONE},
        {4, still_w.count, g.device, still_v.device, still_w.device, NONE},
        {5, small_w.count, small_g.device, small_v.device, small_w.device, NONE}};
    float none = 0, some = 1;
    an_operand faults = upload_new(r, &none, sizeof none);
    an_operand fault = upload_new(r, &some, sizeof some);
    an_step step;

    (void)arg;
    describe("parameters of %zu, %zu (rate 0) and %zu elements", w.count, still_w.count,
             small_w.count);
    memset(&copy, 0, sizeof copy);
    if (fuses(r, AN_FUSE_UPDATE_PREPACK) && r->dtype == AN_DTYPE_BF16) {
        copy = make_maps(r, 70001, 1, 1, 1);
        parts[0].prepacked = copy.device;
    }
    memset(&step, 0, sizeof step);
    step.update[3] = step.update[4] = step.update[5] = u;
    step.update[4].rate = 0;
    OK(r->b->begin_step(r->queue, &step));
    OK(r->b->update(r->queue, parts, 3, faults));
    OK(r->b->update(r->queue, parts, 3, fault)); /* nothing */
    ref_update(&u, w.count, g.ref, v.ref, w.ref);
    ref_update(&u, small_w.count, small_g.ref, small_v.ref, small_w.ref);
    expect_near(r, "update v", &v, BOUND);
    expect_near(r, "update w", &w, BOUND);
    expect_near(r, "update a small v", &small_v, BOUND);
    expect_near(r, "update a small w", &small_w, BOUND);
    expect_near(r, "update v of rate 0", &still_v, 0);
    expect_near(r, "update w of rate 0", &still_w, 0);
    if (copy.ref != NULL) {
        memcpy(copy.ref, w.ref, w.count * sizeof *w.ref);
        expect_near(r, "update prepacked w", &copy, BOUND);
        free_twin(r, &copy);
    }
    free_operand(r, faults);
    free_operand(r, fault);
    free_twin(r, &w), free_twin(r, &v), free_twin(r, &g);
    free_twin(r, &small_w), free_twin(r, &small_v), free_twin(r, &small_g);
    free_twin(r, &still_w), free_twin(r, &still_v);
}

START_TEST(update)
{
    on_all(update_case, NULL);
}
END_TEST

static void copy_case(rig *r, const void *arg)
{
    twin from = make_maps(r, 3 * 10, 1, 1, 1), to = make_maps(r, 3 * 7, 1, 1, 1);
    an_copy_shape s = {.count = 5, .to_pitch = 7, .from_pitch = 10, .rows = 3};
    size_t n, i;

    (void)arg;
    describe("3 rows, of 10 elements each, to 3 rows of 7");
    OK(r->b->copy(r->queue, &s, an__operand_from(to.device, 2), r->queue,
                  an__operand_from(from.device, 1)));
    s.count = 3;
    s.accumulate = 1;
    OK(r->b->copy(r->queue, &s, to.device, r->queue, from.device));
    for (n = 0; n < 3; n++) {
        for (i = 0; i < 5; i++) to.ref[n * 7 + 2 + i] = from.ref[n * 10 + 1 + i];
        for (i = 0; i < 3; i++) to.ref[n * 7 + i] += from.ref[n * 10 + i];
    }
    expect_near(r, "copy to", &to, 1e-7);
    OK(r->b->scale(r->queue, to.count, 0.25f, to.device));
    for (i = 0; i < to.count; i++) to.ref[i] *= 0.25;
    expect_near(r, "scale x", &to, 1e-7);
    free_twin(r, &from), free_twin(r, &to);
}

START_TEST(copy_and_scale)
{
    on_all(copy_case, NULL);
}
END_TEST

/* Where one class is all but certain its slope, p - 1, is what the others' sum is. */
static void certain_case(rig *r, const void *arg)
{
    static const int32_t label = 2;
    twin x = make_floats(r, 40, 0), dx = make_maps(r, 40, 1, 1, 1);
    an_rank rank = {0, 0};
    double loss = 0, others = 39 * exp(-25);
    double bound = r->dtype == AN_DTYPE_BF16 ? 4e-3 : 1e-4;
    const an_loss_operands o = {.logits = x.device,
                                .labels = upload_new(r, &label, sizeof label),
                                .dx = dx.device,
                                .ranks = upload_new(r, &rank, sizeof rank),
                                .losses = upload_new(r, &loss, sizeof loss)};
    float *got;

    (void)arg;
    describe("1 row of 40 classes, whose label's logit is 25 and the others' 0");
    x.ref[2] = 25;
    to_device(r, &x);
    OK(r->b->softmax_loss(r->queue, 40, 1, &o));
    download_and_free(r, &rank, o.ranks, sizeof rank);
    expect_count(rank.greater, 0, "softmax_loss%s", case_text());
    expect_count(rank.equal, 1, "softmax_loss%s", case_text());
    download_and_free(r, &loss, o.losses, sizeof loss);
    free_operand(r, o.labels);
    got = from_device(r, &dx);
    expect_number(loss, others, 1e-4 * others, "softmax_loss%s", case_text());
    expect_number(got[2], -others, bound * others, "softmax_loss dx%s", case_text());
    free(got);
    free_twin(r, &x), free_twin(r, &dx);
}

START_TEST(certain_classes_keep_their_slope)
{
    on_all(certain_case, NULL);
}
END_TEST

/* Nothing hides a NaN or an infinity. */
static void expect_finite(const rig *r, int finite, const twin *a, const twin *b)
{
    const an_array arrays[2] = {{a->device, a->count}, {b->device, b->count}};
    float faults = 0;
    an_operand device = upload_new(r, &faults, sizeof faults);

    OK(r->b->all_finite(r->queue, arrays, 2, device));
    download_and_free(r, &faults, device, sizeof faults);
    ck_assert_msg((faults == 0) == finite,
                  "all_finite of %zu and %zu elements: *faults is %g, and they are%s%s",
                  a->count, b->count, (double)faults, finite ? "" : " not", case_text());
}

static void nonfinite_case(rig *r, const void *arg)
{
    static const double evil[3] = {NAN, INFINITY, -INFINITY};
    static const int32_t label = 1;
    int e;

    (void)arg;
    for (e = 0; e < 3; e++) {
        twin big = make_maps(r, 100000, 1, 1, 3e38f), x = make_maps(r, 9, 1, 1, 1);
        twin g = make_floats(r, 1031, 1), other = make_floats(r, 77, 3e38f);
        twin logits = make_floats(r, 3, 1), dx = make_maps(r, 3, 1, 1, 1);
        an_rank rank = {0, 0};
        double loss = 0;
        const an_loss_operands o = {.logits = logits.device,
                                    .labels = upload_new(r, &label, sizeof label),
                                    .dx = dx.device,
                                    .ranks = upload_new(r, &rank, sizeof rank),
                                    .losses = upload_new(r, &loss, sizeof loss)};
        float *got;

        describe("arrays of %zu, %zu and %zu elements, with %g in one", big.count,
                 g.count, other.count, evil[e]);
        expect_finite(r, 1, &big, &other);
        big.ref[99999 - 40000 * (size_t)e] = evil[e];
        to_device(r, &big);
        expect_finite(r, 0, &big, &other);

        expect_finite(r, 1, &g, &other);
        g.ref[1030 - 7 * (size_t)e] = evil[e];
        to_device(r, &g);
        expect_finite(r, 0, &g, &other);
        expect_finite(r, 0, &other, &g);

        x.ref[4] = NAN;
        to_device(r, &x);
        OK(r->b->activation_forward(r->queue, AN_ACTIVATION_RELU, 9, x.device));
        got = from_device(r, &x);
        ck_assert_msg(isnan(got[4]), "activation_forward: ReLU of NaN is %g%s",
                      (double)got[4], case_text());
        free(got);
        logits.ref[e] = e == 2 ? INFINITY : evil[e];
        to_device(r, &logits);
        OK(r->b->softmax_loss(r->queue, 3, 1, &o));
        download_and_free(r, &loss, o.losses, sizeof loss);
        free_operand(r, o.labels);
        free_operand(r, o.ranks);
        ck_assert_msg(!isfinite(loss), "softmax_loss is %g%s", loss, case_text());
        free_twin(r, &big), free_twin(r, &x), free_twin(r, &logits), free_twin(r, &dx);
        free_twin(r, &g), free_twin(r, &other);
    }
}

START_TEST(nonfinite_numbers_are_seen)
{
    on_all(nonfinite_case, NULL);
}
END_TEST

void add_numbers(TCase *tc)
{
    tcase_add_loop_test(tc, softmax, 0, 2);
    tcase_add_test(tc, certain_classes_keep_their_slope);
    tcase_add_test(tc, update);
    tcase_add_test(tc, copy_and_scale);
    tcase_add_test(tc, nonfinite_numbers_are_seen);
}
