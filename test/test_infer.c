/*
 * test_infer.c - inference and evaluation: scores, ties, passes, non-finite results.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "test.h"

enum { SIDE = 32, NUMBERS = 3 * SIDE * SIDE };

static an_context *ctx;
static an_model *model;
static float *images; /* 300 */

static void setup(void)
{
    an_model_config config;
    uint32_t seed = 1, i;

    ck_assert_int_eq(an_context_create(&ctx, NULL), AN_OK);
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.width = 0.25f;
    config.seed = 3;
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    images = malloc(300 * NUMBERS * sizeof *images);
    for (i = 0; i < 300 * NUMBERS; i++) {
        seed = seed * 1664525u + 1013904223u;
        images[i] = (float)(seed >> 8) / 8388608.0f - 1;
    }
}

static void teardown(void)
{
    an_model_destroy(model);
    an_context_destroy(ctx);
    free(images);
}

/* More than two passes of 128; each image alone gives the same within rounding. */
START_TEST(many_passes_give_each_image_its_row)
{
    float *p = malloc(300 * 10 * sizeof *p), one[10];
    int i, c;

    ck_assert_int_eq(an_infer(model, images, 300, p), AN_OK);
    for (i = 0; i < 300; i++) {
        double sum = 0;

        for (c = 0; c < 10; c++) sum += (double)p[i * 10 + c];
        ck_assert_double_eq_tol(sum, 1, 1e-5);
        if (i % 37 != 0) continue;
        ck_assert_int_eq(an_infer(model, images + i * NUMBERS, 1, one), AN_OK);
        for (c = 0; c < 10; c++)
            ck_assert_double_eq_tol((double)one[c], (double)p[i * 10 + c], 1e-5);
    }
    free(p);
}
END_TEST

START_TEST(evaluation_adds_up_what_inference_says)
{
    float *p = malloc(300 * 10 * sizeof *p);
    int32_t labels[300];
    an_evaluation e;
    double top1 = 0, top5 = 0, loss = 0;
    int i, c;

    ck_assert_int_eq(an_infer(model, images, 300, p), AN_OK);
    for (i = 0; i < 300; i++) {
        int above = 0;

        labels[i] = i * 7 % 10;
        for (c = 0; c < 10; c++) above += p[i * 10 + c] > p[i * 10 + labels[i]];
        top1 += above < 1;
        top5 += above < 5;
        loss -= log((double)p[i * 10 + labels[i]]);
    }
    an_evaluation_init(&e, sizeof e);
    ck_assert_int_eq(an_evaluate(model, images, labels, 200, &e), AN_OK);
    ck_assert_int_eq(an_evaluate(model, images + 200 * NUMBERS, labels + 200, 100, &e),
                     AN_OK);
    ck_assert_uint_eq(e.count, 300);
    ck_assert_double_eq(e.top1, top1);
    ck_assert_double_eq(e.top5, top5);
    ck_assert_double_eq_tol(e.loss, loss, 1e-4 * loss);
    free(p);
}
END_TEST

/* Where k classes share a place, each of them gets its share of it. */
START_TEST(ties_share_their_place)
{
    static const float row[6] = {0.1f, 0.3f, 0.3f, 0.1f, 0.1f, 0.1f};

    ck_assert_double_eq(an__top(row, 6, 1, 1), 0.5);
    ck_assert_double_eq(an__top(row, 6, 2, 2), 1);
    ck_assert_double_eq(an__top(row, 6, 0, 2), 0);
    ck_assert_double_eq(an__top(row, 6, 0, 3), 0.25);
    ck_assert_double_eq(an__top(row, 6, 5, 5), 0.75);
    ck_assert_double_eq(an__top(row, 6, 5, 6), 1);
}
END_TEST

START_TEST(images_and_floats_agree)
{
    uint8_t *pixels = malloc(200 * 50 * 40 * 3);
    an_image *pictures = malloc(200 * sizeof *pictures);
    float *input = malloc(200 * NUMBERS * sizeof *input);
    float *a = malloc(200 * 10 * sizeof *a), *b = malloc(200 * 10 * sizeof *b);
    int32_t labels[200] = {0};
    an_evaluation ea, eb;
    size_t i;

    for (i = 0; i < 200 * 50 * 40 * 3; i++) pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    for (i = 0; i < 200; i++) {
        an_image_init(&pictures[i], sizeof pictures[i]);
        pictures[i].pixels = pixels + i * 50 * 40 * 3;
        pictures[i].width = 50;
        pictures[i].height = 40;
        ck_assert_int_eq(an_preprocess(model, &pictures[i], 0, input + i * NUMBERS),
                         AN_OK);
    }
    ck_assert_int_eq(an_infer(model, input, 200, a), AN_OK);
    ck_assert_int_eq(an_infer_images(model, pictures, 200, b), AN_OK);
    ck_assert_mem_eq(a, b, 200 * 10 * sizeof *a);
    an_evaluation_init(&ea, sizeof ea);
    an_evaluation_init(&eb, sizeof eb);
    ck_assert_int_eq(an_evaluate(model, input, labels, 200, &ea), AN_OK);
    ck_assert_int_eq(an_evaluate_images(model, pictures, labels, 200, &eb), AN_OK);
    ck_assert_mem_eq(&ea, &eb, sizeof ea);

    pictures[150].width = 0;
    ck_assert_int_eq(an_infer_images(model, pictures, 200, b), AN_ERROR_ARGUMENT);
    ck_assert_mem_eq(a, b, 200 * 10 * sizeof *a);
    free(pixels);
    free(pictures);
    free(input);
    free(a);
    free(b);
}
END_TEST

START_TEST(nonfinite_results_name_their_layer)
{
    float p[20], bad[NUMBERS * 2];
    int32_t labels[2] = {0, 0};
    an_evaluation e;
    uint32_t conv2;

    memcpy(bad, images, sizeof bad);
    bad[NUMBERS + 5] = INFINITY;
    memset(p, 0, sizeof p);
    ck_assert_int_eq(an_infer(model, bad, 2, p), AN_ERROR_DIVERGED);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "input"));
    ck_assert(p[0] == 0 && p[19] == 0);

    /* A weight that only a damaged file could hold. */
    ck_assert_int_eq(an_parameter_find(model, "conv2.weight", &conv2), AN_OK);
    model->weights.part[conv2][0][3] = NAN;
    ck_assert_int_eq(an_infer(model, images, 2, p), AN_ERROR_DIVERGED);
    ck_assert_msg(strstr(an_error_message(), "conv2") != NULL, "%s", an_error_message());
    an_evaluation_init(&e, sizeof e);
    ck_assert_int_eq(an_evaluate(model, images, labels, 2, &e), AN_ERROR_DIVERGED);
    ck_assert_uint_eq(e.count, 0);
}
END_TEST

START_TEST(bad_calls_are_refused_by_name)
{
    float p[10];
    int32_t label = 10;
    an_evaluation e;

    an_evaluation_init(&e, sizeof e);
    ck_assert_int_eq(an_infer(model, images, 0, p), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "count"));
    ck_assert_int_eq(an_infer(model, images, 1048577, p), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_infer(model, NULL, 1, p), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_infer(model, images, 1, NULL), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_evaluate(model, images, &label, 1, &e), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "labels[0] is 10"));
    label = -1;
    ck_assert_int_eq(an_evaluate(model, images, &label, 1, &e), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_evaluate(model, images, NULL, 1, &e), AN_ERROR_ARGUMENT);
}
END_TEST

Suite *infer_suite(void)
{
    Suite *suite = suite_create("infer");
    TCase *tc = tcase_create("infer");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, many_passes_give_each_image_its_row);
    tcase_add_test(tc, evaluation_adds_up_what_inference_says);
    tcase_add_test(tc, ties_share_their_place);
    tcase_add_test(tc, images_and_floats_agree);
    tcase_add_test(tc, nonfinite_results_name_their_layer);
    tcase_add_test(tc, bad_calls_are_refused_by_name);
    suite_add_tcase(suite, tc);
    return suite;
}
