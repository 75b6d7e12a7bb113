/*
 * test_numbers.c - softmax and its loss, updates, exchanges, the look for infinities, of every
 * backend against test/ref.c; cases of ops_suite().
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ref.h"
#include "rig.h"
#include "test.h"

static void softmax_case(rig *r, const void *arg)
{
    const uint32_t classes = *(const int *)arg ? 1003 : 11, n = 5;
    const int32_t labels[5] = {0, 10, 3, 3, (int32_t)classes - 1};
    size_t numbers = (size_t)classes * n;
    both x = make(r, numbers, 60); /* logits to 60 */
    both dx = make_maps(r, n, classes, 1, 9);
    double losses[5] = {9, 9, 9, 9, 9}, sum = 0, want;
    void *device_labels = give(r, labels, sizeof labels);
    void *device_losses = give(r, losses, sizeof losses);
    an_rank ranks[5] = {{0, 0}};
    void *device_ranks = give(r, ranks, sizeof ranks);
    int i;

    x.ref[0] = 500; /* e^500 is beyond double's range squared, let alone float's */
    x.ref[12] = -500;
    x.ref[2 * classes + 3] = x.ref[2 * classes + 4]; /* a tie with the label */
    put(r, &x);
    OK(r->b->softmax_loss(r->queue, classes, n, x.device, device_labels, r->tensors,
                          dx.device, device_ranks, device_losses));
    take(r, losses, device_losses, sizeof losses);
    take(r, ranks, device_ranks, sizeof ranks);
    r->b->release(r->device, device_labels);
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
        ck_assert_uint_eq(ranks[i].greater, greater);
        ck_assert_uint_eq(ranks[i].equal, equal);
    }
    ck_assert_double_eq_tol(sum, want, 1e-12 * want);
    same(r, "dx", &dx, BOUND);
    OK(r->b->softmax(r->queue, classes, n, x.device));
    ref_softmax(classes, n, x.ref);
    same(r, "p", &x, BOUND);
    drop(r, &x), drop(r, &dx);
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
    both small_w = make(r, 3, 1), small_v = make(r, 3, 0.1f), small_g = make(r, 3, 5);
    both still_w = make(r, 4096, 1), still_v = make(r, 4096, 1), pack;
    an_parameter_part parts[3] = {
        {3, w.count, g.device, v.device, w.device, NULL},
        {4, still_w.count, g.device, still_v.device, still_w.device, NULL},
        {5, small_w.count, small_g.device, small_v.device, small_w.device, NULL}};
    float none = 0, some = 1;
    void *faults = give(r, &none, sizeof none), *fault = give(r, &some, sizeof some);
    an_step step;

    (void)arg;
    memset(&pack, 0, sizeof pack);
    if (r->b->fuses & AN_FUSES_PACKS && r->tensors == AN_PRECISION_BF16) {
        pack = make_maps(r, 70001, 1, 1, 1);
        parts[0].pack = pack.device;
    }
    memset(&step, 0, sizeof step);
    step.update[3] = step.update[4] = step.update[5] = u;
    step.update[4].rate = 0;
    OK(r->b->begin_step(r->queue, &step));
    OK(r->b->update(r->queue, parts, 3, faults));
    OK(r->b->update(r->queue, parts, 3, fault)); /* nothing */
    ref_update(&u, w.count, g.ref, v.ref, w.ref);
    ref_update(&u, small_w.count, small_g.ref, small_v.ref, small_w.ref);
    same(r, "v", &v, BOUND);
    same(r, "w", &w, BOUND);
    same(r, "a small v", &small_v, BOUND);
    same(r, "a small w", &small_w, BOUND);
    same(r, "v of rate 0", &still_v, 0);
    same(r, "w of rate 0", &still_w, 0);
    if (pack.ref != NULL) {
        memcpy(pack.ref, w.ref, w.count * sizeof *w.ref);
        same(r, "packed w", &pack, BOUND);
        drop(r, &pack);
    }
    r->b->release(r->device, faults);
    r->b->release(r->device, fault);
    drop(r, &w), drop(r, &v), drop(r, &g);
    drop(r, &small_w), drop(r, &small_v), drop(r, &small_g);
    drop(r, &still_w), drop(r, &still_v);
}

START_TEST(update)
{
    on_all(update_case, NULL);
}
END_TEST

/* Its number `i`. */
static float *number(const both *a, size_t i)
{
    return (float *)(void *)((char *)a->device +
                             i * an__number_bytes(a->order.precision));
}

static void exchange_case(rig *r, const void *arg)
{
    both from = make_maps(r, 3 * 10, 1, 1, 1), to = make_maps(r, 3 * 7, 1, 1, 1);
    size_t n, i;

    (void)arg;
    OK(r->b->exchange(r->queue, number(&to, 2), 7, r->queue, number(&from, 1), 10, 5, 3,
                      r->tensors, 0));
    OK(r->b->exchange(r->queue, to.device, 7, r->queue, from.device, 10, 3, 3, r->tensors,
                      1));
    for (n = 0; n < 3; n++) {
        for (i = 0; i < 5; i++) to.ref[n * 7 + 2 + i] = from.ref[n * 10 + 1 + i];
        for (i = 0; i < 3; i++) to.ref[n * 7 + i] += from.ref[n * 10 + i];
    }
    same(r, "to", &to, 1e-7);
    OK(r->b->scale(r->queue, r->tensors, to.count, 0.25f, to.device));
    for (i = 0; i < to.count; i++) to.ref[i] *= 0.25;
    same(r, "scaled", &to, 1e-7);
    drop(r, &from), drop(r, &to);
}

START_TEST(exchange_and_scale)
{
    on_all(exchange_case, NULL);
}
END_TEST

/* Where one class is all but certain its slope, p - 1, is what the others' sum is. */
static void certain_case(rig *r, const void *arg)
{
    static const int32_t label = 2;
    both x = make(r, 40, 0), dx = make_maps(r, 40, 1, 1, 1);
    an_rank rank = {0, 0};
    void *device_rank = give(r, &rank, sizeof rank);
    void *labels = give(r, &label, sizeof label);
    double loss = 0, others = 39 * exp(-25);
    double bound = r->tensors == AN_PRECISION_BF16 ? 4e-3 : 1e-4;
    void *device_loss = give(r, &loss, sizeof loss);
    float *got;

    (void)arg;
    x.ref[2] = 25;
    put(r, &x);
    OK(r->b->softmax_loss(r->queue, 40, 1, x.device, labels, r->tensors, dx.device,
                          device_rank, device_loss));
    take(r, &rank, device_rank, sizeof rank);
    ck_assert_uint_eq(rank.greater, 0);
    ck_assert_uint_eq(rank.equal, 1);
    take(r, &loss, device_loss, sizeof loss);
    r->b->release(r->device, labels);
    got = get(r, &dx);
    ck_assert_double_eq_tol(loss, others, 1e-4 * others);
    ck_assert_double_eq_tol((double)got[2], -others, bound * others);
    free(got);
    drop(r, &x), drop(r, &dx);
}

START_TEST(certain_classes_keep_their_slope)
{
    on_all(certain_case, NULL);
}
END_TEST

/* Nothing hides a NaN or an infinity. */
static int finite(const rig *r, const both *a, const both *b)
{
    const an_array arrays[2] = {{a->device, a->count, a->order.precision},
                                {b->device, b->count, b->order.precision}};
    float faults = 0;
    void *device = give(r, &faults, sizeof faults);

    OK(r->b->all_finite(r->queue, arrays, 2, device));
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
        both big = make_maps(r, 100000, 1, 1, 3e38f), x = make_maps(r, 9, 1, 1, 1);
        both g = make(r, 1031, 1), other = make(r, 77, 3e38f);
        both logits = make(r, 3, 1), dx = make_maps(r, 3, 1, 1, 1);
        an_rank rank = {0, 0};
        void *device_rank = give(r, &rank, sizeof rank);
        float *got;
        double loss = 0;
        void *device_label = give(r, &label, sizeof label);
        void *device_loss = give(r, &loss, sizeof loss);

        ck_assert(finite(r, &big, &other));
        big.ref[99999 - 40000 * (size_t)e] = evil[e];
        put(r, &big);
        ck_assert(!finite(r, &big, &other));

        ck_assert(finite(r, &g, &other));
        g.ref[1030 - 7 * (size_t)e] = evil[e];
        put(r, &g);
        ck_assert(!finite(r, &g, &other));
        ck_assert(!finite(r, &other, &g));

        x.ref[4] = NAN;
        put(r, &x);
        OK(r->b->activation_forward(r->queue, AN_ACTIVATION_RELU, r->tensors, 9,
                                    x.device));
        got = get(r, &x);
        ck_assert(isnan(got[4]));
        free(got);
        logits.ref[e] = e == 2 ? INFINITY : evil[e];
        put(r, &logits);
        OK(r->b->softmax_loss(r->queue, 3, 1, logits.device, device_label, r->tensors,
                              dx.device, device_rank, device_loss));
        take(r, &loss, device_loss, sizeof loss);
        r->b->release(r->device, device_label);
        r->b->release(r->device, device_rank);
        ck_assert(!isfinite(loss));
        drop(r, &big), drop(r, &x), drop(r, &logits), drop(r, &dx);
        drop(r, &g), drop(r, &other);
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
    tcase_add_test(tc, exchange_and_scale);
    tcase_add_test(tc, nonfinite_numbers_are_seen);
}
