/*
 * test_inference.c - what the header's section 7 says, word for word: passes and their
 * rows, shared places, losses, divergence, views, buffers. The rows that are wanted come
 * from the network in double precision, ref_net.c.
 */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref_net.h"
#include "small.h"
#include "test.h"

/* Kinds of images, of which a call gets one after the other, again and again: seven do
 * not divide a pass, so that each row of it has another image than that row of the
 * next one. */
enum { KINDS = 7, MOST = 257, NUMBERS = TINY_NUMBERS, CLASSES = SMALL_CLASSES };

typedef struct hall {
    an_context *ctx;
    an_model *model;
    float *images;                 /* [MOST] */
    double logits[KINDS][CLASSES]; /* that are wanted */
} hall;

static void logits_of(const an_model *model, const float *images, uint32_t count,
                      double (*logits)[CLASSES])
{
    ref_net *net = ref_net_create(model);
    uint32_t i;

    for (i = 0; i < count; i++) {
        ref_net_infer(net, images + i * NUMBERS, 1);
        memcpy(logits[i], net->value[net->plan->output], sizeof logits[i]);
    }
    ref_net_destroy(net);
}

static void hall_open(hall *h)
{
    an_model_config config = tiny_config();
    uint32_t i;

    h->ctx = small_context(2, AN_CPU_PATH_BEST);
    expect_ok(an_model_create(&h->model, h->ctx, &config));
    h->images = malloc(MOST * NUMBERS * sizeof *h->images);
    noise_floats(h->images, KINDS * NUMBERS, 3, 2);
    for (i = KINDS; i < MOST; i++)
        memcpy(h->images + i * NUMBERS, h->images + i % KINDS * NUMBERS,
               NUMBERS * sizeof *h->images);
    logits_of(h->model, h->images, KINDS, h->logits);
}

static void hall_close(hall *h)
{
    an_model_destroy(h->model);
    an_context_destroy(h->ctx);
    free(h->images);
}

/* --- rows -------------------------------------------------------------------------- */

/* Rows of probabilities of images of all kinds, one after the other, from `first` on.
 * float32 through four layers; probabilities are up to 1. */
static void expect_rows(const float *p, double (*logits)[CLASSES], uint32_t first,
                        uint32_t count, const char *what)
{
    uint32_t i, c;

    for (i = first; i < first + count; i++) {
        double row[CLASSES], sum = 0;

        memcpy(row, logits[i % KINDS], sizeof row);
        ref_softmax(CLASSES, 1, row);
        for (c = 0; c < CLASSES; c++) {
            sum += (double)p[i * CLASSES + c];
            if (!(fabs((double)p[i * CLASSES + c] - row[c]) <= 1e-5))
                expect_number(p[i * CLASSES + c], row[c], 1e-5, "%s: row %u, class %u",
                              what, i, c);
        }
        if (!(fabs(sum - 1) <= 1e-5))
            expect_number(sum, 1, 1e-5, "%s: row %u together", what, i);
    }
}

/* Numbers that nobody wrote. */
static void expect_untouched(const float *p, size_t count, const char *what)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (p[i] != -7) expect_number(p[i], -7, 0, "%s: number %zu", what, i);
}

static float *untouched(size_t count)
{
    float *p = malloc(count * sizeof *p);
    size_t i;

    for (i = 0; i < count; i++) p[i] = -7;
    return p;
}

static const uint32_t counts[] = {1, 127, 128, 129, 256, 257, 3};

START_TEST(passes_of_128_give_each_image_its_row)
{
    float *p;
    uint32_t i;
    hall h;

    hall_open(&h);
    for (i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        char what[32];

        snprintf(what, sizeof what, "%u images", counts[i]);
        p = untouched((MOST + 1) * CLASSES);
        expect_ok(an_infer(h.model, h.images, counts[i], p, ENOUGH));
        expect_rows(p, h.logits, 0, counts[i], what);
        expect_untouched(p + counts[i] * CLASSES, (MOST + 1 - counts[i]) * CLASSES, what);
        free(p);
    }
    hall_close(&h);
}
END_TEST

/* --- evaluation -------------------------------------------------------------------- */

/* The share of the first k places that falls to a label, if those that are as good as
 * it stand in any order: one place after the other is asked. */
static double share_of(const double *row, uint32_t classes, uint32_t label, uint32_t k)
{
    uint32_t above = 0, alike = 0, c, place, within = 0;

    for (c = 0; c < classes; c++) {
        above += row[c] > row[label];
        alike += row[c] == row[label];
    }
    for (place = above; place < above + alike; place++) within += place < k;
    return (double)within / alike;
}

/* Adds what `count` images of all kinds give. */
static void add_wanted(an_evaluation *e, double (*logits)[CLASSES], const int32_t *labels,
                       uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        const double *row = logits[i % KINDS];

        e->count++;
        e->top1 += share_of(row, CLASSES, (uint32_t)labels[i], 1);
        e->top5 += share_of(row, CLASSES, (uint32_t)labels[i], 5);
        e->loss += ref_softmax_loss(CLASSES, 1, row, &labels[i], NULL);
    }
}

/* loss: relative. */
static void expect_evaluation(const an_evaluation *got, const an_evaluation *wanted,
                              double loss, const char *what)
{
    expect_count(got->count, wanted->count, "%s", what);
    expect_number(got->top1, wanted->top1, 1e-9, "%s", what);
    expect_number(got->top5, wanted->top5, 1e-9, "%s", what);
    expect_number(got->loss, wanted->loss, loss * wanted->loss, "%s", what);
}

/* Sums that are there stay in them; labels of all classes. */
START_TEST(evaluation_adds_to_what_is_there)
{
    int32_t labels[MOST];
    an_evaluation got, wanted;
    uint32_t i;
    hall h;

    hall_open(&h);
    for (i = 0; i < MOST; i++) labels[i] = (int32_t)(i * i % CLASSES);
    an_evaluation_init(&got, sizeof got);
    got.count = 5;
    got.top1 = 1.5;
    got.top5 = 2.25;
    got.loss = 8;
    wanted = got;
    for (i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        char what[32];

        snprintf(what, sizeof what, "%u images more", counts[i]);
        expect_ok(an_evaluate(h.model, h.images, labels, counts[i], &got));
        add_wanted(&wanted, h.logits, labels, counts[i]);
        expect_evaluation(&got, &wanted, 1e-5, what);
    }
    hall_close(&h);
}
END_TEST

/* Logits that are these, whatever the image: the last layer's weights are 0. */
static void set_logits(an_model *model, const double *logits)
{
    uint32_t last = model->net.plan->param_count - 1, c;
    float *zeros = calloc(model->net.plan->params[last - 1].count, sizeof *zeros);
    float bias[CLASSES];

    for (c = 0; c < CLASSES; c++) bias[c] = (float)logits[c];
    expect_ok(an_parameter_set(model, last - 1, zeros,
                               model->net.plan->params[last - 1].count));
    expect_ok(an_parameter_set(model, last, bias, CLASSES));
    free(zeros);
}

/* Classes that share places: the first, all, those around the fifth. */
static const double ties[][CLASSES] = {
    {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {1, 1, 0, 0, 0, 0, 0, 0, 0, 0},
    {3, 2, 2, 2, 1, 1, 1, 1, 0, 0}, {4, 4, 4, 4, 4, 1, 1, 1, 1, 1},
    {4, 4, 4, 4, 1, 1, 0, 0, 0, 0}, {4, 4, 4, 4, 4, 4, 0, 0, 0, 0},
    {0, 1, 2, 3, 4, 4, 3, 2, 1, 0}, {9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
    {0, 0, 0, 5, 5, 5, 6, 0, 0, 0}, {-1, 2, -1, 2, -1, 2, -1, 2, -1, 2}};
enum { TIES = sizeof ties / sizeof ties[0] };

START_TEST(classes_that_share_a_place_have_their_part_of_it)
{
    int32_t label;
    uint32_t i;
    hall h;

    hall_open(&h);
    for (i = 0; i < TIES; i++) {
        float p[CLASSES];

        set_logits(h.model, ties[i]);
        expect_ok(an_infer(h.model, h.images, 1, p, ENOUGH));
        for (label = 0; label < CLASSES; label++) {
            an_evaluation model, score, wanted;
            char what[64];

            snprintf(what, sizeof what, "ties %u, label %d", i, label);
            an_evaluation_init(&model, sizeof model);
            an_evaluation_init(&wanted, sizeof wanted);
            wanted.count = 1;
            wanted.top1 = share_of(ties[i], CLASSES, (uint32_t)label, 1);
            wanted.top5 = share_of(ties[i], CLASSES, (uint32_t)label, 5);
            wanted.loss = ref_softmax_loss(CLASSES, 1, ties[i], &label, NULL);
            score = model;
            score.count = 1; /* what is there stays */
            score.top1 = score.top5 = score.loss = 4;
            expect_ok(an_evaluate(h.model, h.images, &label, 1, &model));
            expect_evaluation(&model, &wanted, 1e-6, what);
            expect_ok(an_score(p, CLASSES, &label, 1, &score));
            score.count -= 1;
            score.top1 -= 4;
            score.top5 -= 4;
            score.loss -= 4;
            expect_evaluation(&score, &wanted, 1e-6, what); /* p's rounding, 6e-8 */
        }
    }
    hall_close(&h);
}
END_TEST

/* Fewer classes than five: every label is among the first five. */
START_TEST(scores_of_few_classes)
{
    static const float rows[3][2] = {{0.75f, 0.25f}, {0.5f, 0.5f}, {0, 1}};
    static const int32_t labels[3] = {1, 0, 1};
    an_evaluation e;

    an_evaluation_init(&e, sizeof e);
    expect_ok(an_score(rows[0], 2, labels, 3, &e));
    expect_number(e.top1, 1.5, 0, "one half and one");
    expect_number(e.top5, 3, 0, "all");
    expect_number(e.loss, log(4) + log(2), 1e-12, "a quarter, a half, one");
}
END_TEST

/* --- losses ------------------------------------------------------------------------ */

/* Up to the smallest normal number a probability's logarithm counts as it is. */
START_TEST(a_score_of_nearly_nothing_costs_87)
{
    const float p[] = {
        1,      0.5f, 1e-30f, nextafterf(FLT_MIN, 1), FLT_MIN, nextafterf(FLT_MIN, 0),
        1e-44f, 0};
    uint32_t i;

    for (i = 0; i < sizeof p / sizeof p[0]; i++) {
        float row[3] = {0, 0, 0};
        int32_t label = (int32_t)(i % 3);
        double want = -log(p[i] < FLT_MIN ? (double)FLT_MIN : (double)p[i]);
        an_evaluation e;

        row[label] = p[i];
        an_evaluation_init(&e, sizeof e);
        expect_ok(an_score(row, 3, &label, 1, &e));
        expect_number(e.loss, want, 1e-12, "probability %g", (double)p[i]);
        expect_count(e.loss < 87.34, 1, "probability %g costs %g", (double)p[i], e.loss);
    }
}
END_TEST

/* A model's loss is that of its logits, however small the probability. */
START_TEST(an_evaluated_loss_has_no_such_end)
{
    static const double far[CLASSES] = {0, 300, 1, 1, 1, 1, 1, 1, 1, 1};
    static const int32_t label = 0;
    an_evaluation e;
    hall h;

    hall_open(&h);
    set_logits(h.model, far);
    an_evaluation_init(&e, sizeof e);
    expect_ok(an_evaluate(h.model, h.images, &label, 1, &e));
    expect_number(e.loss, 300, 1e-9, "a logit 300 below the largest");
    hall_close(&h);
}
END_TEST

static void expect_unscored(const float *p, uint32_t classes, const int32_t *labels,
                            uint32_t count, const char *words)
{
    an_evaluation e, before;

    an_evaluation_init(&e, sizeof e);
    e.count = 3;
    e.loss = 2;
    before = e;
    expect_refused(an_score(p, classes, labels, count, &e), AN_ERROR_ARGUMENT, words);
    expect_bytes(&e, &before, sizeof e, "evaluation after \"%s\"", words);
}

START_TEST(scores_outside_their_limits_change_nothing)
{
    static const float wrong[] = {-0.001f, 1.0015f, NAN, INFINITY, -INFINITY};
    float *p = calloc(65537, sizeof *p), above[2] = {1.0009f, 0};
    int32_t labels[3] = {0, 1, 2}, last = 65535;
    an_evaluation e;
    uint32_t i, at;

    p[0] = p[4] = 1;
    expect_unscored(p, 1, labels, 1, "classes is 1");
    expect_unscored(p, 65537, labels, 1, "classes is 65537");
    expect_unscored(p, 3, labels, 0, "count is 0");
    expect_unscored(p, 3, labels, 1048577, "count is 1048577");
    expect_unscored(NULL, 3, labels, 1, "probabilities");
    expect_unscored(p, 3, NULL, 1, "labels");
    expect_refused(an_score(p, 3, labels, 1, NULL), AN_ERROR_ARGUMENT, "evaluation");
    labels[2] = 3;
    expect_unscored(p, 3, labels, 3, "labels[2] is 3");
    labels[2] = -1;
    expect_unscored(p, 3, labels, 3, "labels[2] is -1");
    labels[2] = 2;
    for (i = 0; i < 5; i++)
        for (at = 0; at < 9; at++) { /* of the label or not, of any row */
            float before = p[at];
            char words[64];

            p[at] = wrong[i];
            snprintf(words, sizeof words, "probabilities[%u][%u] is ", at / 3, at % 3);
            expect_unscored(p, 3, labels, 3, words);
            p[at] = before;
        }
    an_evaluation_init(&e, sizeof e);
    expect_ok(an_score(p, 65536, &last, 1, &e));
    expect_count(e.count, 1, "the last of 65536 classes");
    expect_ok(an_score(above, 2, labels, 1, &e)); /* a sum's rounding is forgiven */
    free(p);
}
END_TEST

/* --- divergence -------------------------------------------------------------------- */

/* Rows of passes before the one with the image are there, all others as they were; and
 * the model answers afterwards as before. */
START_TEST(rows_before_a_divergence_are_written)
{
    static const uint32_t places[] = {127, 128, 256};
    static const int32_t labels[MOST];
    uint32_t i;
    hall h;

    hall_open(&h);
    for (i = 0; i < 3; i++) {
        uint32_t before = places[i] / 128 * 128;
        float *p = untouched(MOST * CLASSES), *bad = h.images + places[i] * NUMBERS;
        float good = bad[NUMBERS - 1];
        an_evaluation e, same;
        char what[32];

        snprintf(what, sizeof what, "image %u is wrong", places[i]);
        an_evaluation_init(&e, sizeof e);
        e.count = 9;
        same = e;
        bad[NUMBERS - 1] = i % 2 ? NAN : -INFINITY;
        expect_refused(an_infer(h.model, h.images, MOST, p, ENOUGH), AN_ERROR_DIVERGED,
                       "input");
        expect_rows(p, h.logits, 0, before, what);
        expect_untouched(p + before * CLASSES, (MOST - before) * CLASSES, what);
        expect_refused(an_evaluate(h.model, h.images, labels, MOST, &e),
                       AN_ERROR_DIVERGED, "input");
        expect_bytes(&e, &same, sizeof e, "%s", what);
        bad[NUMBERS - 1] = good;
        expect_ok(an_infer(h.model, h.images, MOST, p, ENOUGH));
        expect_rows(p, h.logits, 0, MOST, what);
        free(p);
    }
    hall_close(&h);
}
END_TEST

/* Of the towers' shares, `each` numbers, one behind the other, this one's alone has
 * some. */
static void expect_nans(const float *values, size_t each, uint32_t towers, uint32_t tower,
                        const char *layer)
{
    uint32_t t;
    size_t i, found;

    for (t = 0; t < towers; t++) {
        for (i = found = 0; i < each; i++) found += isnan(values[t * each + i]) != 0;
        expect_count(found > 0, t == tower, "%s: NaNs of tower %u where %u has them",
                     layer, t, tower);
    }
}

/* The first layer is named whose numbers are none, of each tower. Values by name are
 * not looked at. */
START_TEST(a_divergence_names_the_first_layer)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    uint32_t index, tower;
    float p[CLASSES];
    bench b;

    config.towers = (uint32_t)_i + 1;
    bench_open(&b, &config, NULL, 2);
    for (index = 0; index < 8; index++) {
        const char *name = b.model->net.plan->layers[index].name;
        /* the last layer stands on the first one */
        uint32_t towers = index < 7 ? config.towers : 1;

        for (tower = 0; tower < towers; tower++) {
            float *weight = cpu_floats(b.model->net.weights.part[2 * index][tower]);
            float good, *values;
            size_t last = b.model->net.plan->params[2 * index].part[tower], count;

            good = weight[last - 1];
            weight[last - 1] = NAN; /* an_parameter_set() would refuse it */
            an__net_changed(&b.model->net);
            expect_refused(an_infer(b.model, b.images, 1, p, ENOUGH), AN_ERROR_DIVERGED,
                           name);
            expect_ok(an_activation_count(b.model, name, AN_POINT_LINEAR, &count, NULL));
            values = malloc(count * sizeof *values);
            expect_ok(an_infer_layer(b.model, b.images, 1, name, AN_POINT_LINEAR, values,
                                     ENOUGH));
            expect_nans(values, count / towers, towers, tower, name);
            free(values);
            weight[last - 1] = good;
            an__net_changed(&b.model->net);
        }
    }
    expect_ok(an_infer(b.model, b.images, 1, p, ENOUGH));
    bench_close(&b);
}
END_TEST

Suite *inference_suite(void)
{
    Suite *suite = suite_create("inference");
    TCase *tc = tcase_create("results");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, passes_of_128_give_each_image_its_row);
    tcase_add_test(tc, evaluation_adds_to_what_is_there);
    tcase_add_test(tc, classes_that_share_a_place_have_their_part_of_it);
    tcase_add_test(tc, scores_of_few_classes);
    tcase_add_test(tc, a_score_of_nearly_nothing_costs_87);
    tcase_add_test(tc, an_evaluated_loss_has_no_such_end);
    tcase_add_test(tc, scores_outside_their_limits_change_nothing);
    tcase_add_test(tc, rows_before_a_divergence_are_written);
    tcase_add_loop_test(tc, a_divergence_names_the_first_layer, 0, 2);
    suite_add_tcase(suite, tc);
    add_inference_calls(suite);
    add_inference_layers(suite);
    add_inference_weights(suite);
    return suite;
}
