/*
 * test_statuses.c - every function's statuses, but for those of the structs that it
 * takes: each is returned in some case, says which argument it was and what its limit is,
 * and leaves what the function would have written as it was.
 */
#define _GNU_SOURCE
#include <check.h>
#include <dlfcn.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "test.h"
#include "world.h"

static world w;

static outputs out, before;

static void setup(void)
{
    world_open(&w, NULL);
    outputs_open(&out, &before);
}

static void teardown(void)
{
    world_close(&w);
}

#define REFUSED(call, status, words) expect_untouched(call, status, words, &out, &before)
#define BAD(call, words) REFUSED(call, AN_ERROR_ARGUMENT, words)

/* --- names of statuses ------------------------------------------------------------- */

START_TEST(every_status_has_its_name)
{
    static const struct {
        an_status status;
        const char *name;
    } names[] = {{AN_OK, "ok"},
                 {AN_ERROR_ARGUMENT, "argument"},
                 {AN_ERROR_MEMORY, "memory"},
                 {AN_ERROR_STATE, "state"},
                 {AN_ERROR_DIVERGED, "diverged"},
                 {AN_ERROR_IO, "io"},
                 {AN_ERROR_FORMAT, "format"},
                 {AN_ERROR_VERSION, "version"},
                 {AN_ERROR_BACKEND, "backend"},
                 {AN_ERROR_DEVICE, "device"},
                 {AN_ERROR_DEVICE_MEMORY, "device memory"},
                 {AN_ERROR_FORKED, "forked"},
                 {AN_ERROR_INTERNAL, "internal"},
                 {AN_STATUS_MAX_, "unknown"},
                 {(an_status)5, "unknown"},
                 {(an_status)100, "unknown"}};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        expect_text(an_status_string(names[i].status), names[i].name, "status %d",
                    (int)names[i].status);
}
END_TEST

/* --- contexts, devices ------------------------------------------------------------- */

static void no_plugin(const char *path, const char *words)
{
    an_context_config config;
    an_context *ctx = (an_context *)&w;

    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    config.plugin = path;
    expect_refused(an_context_create(&ctx, &config), AN_ERROR_BACKEND, words);
    ck_assert_ptr_eq(ctx, (an_context *)&w);
}

START_TEST(devices_and_plugins_that_are_not_there_are_refused)
{
    an_context_config config;
    an_context *ctx = (an_context *)&w;
    Dl_info libc;
    char line[200];

    BAD(an_device_describe(w.at.ctx, 1, &out.device), "index is 1: there are 1 devices");
    BAD(an_device_describe(w.at.ctx, UINT32_MAX, &out.device), "index is 4294967295");
    no_plugin("alexnet-cuda.so", "\"alexnet-cuda.so\" is no absolute path");
    no_plugin("", "\"\" is no absolute path");
    no_plugin("/nowhere/alexnet-cuda.so", "/nowhere/alexnet-cuda.so");
    no_plugin(w.file, w.file); /* no library at all */
    ck_assert_int_ne(dladdr((void *)(uintptr_t)&fopen, &libc), 0);
    snprintf(line, sizeof line, "%.100s is no plugin of this library", libc.dli_fname);
    if (libc.dli_fname[0] == '/') no_plugin(libc.dli_fname, line);
    an_context_config_init(&config, sizeof config);
    config.cpu_path = AN_CPU_PATH_AVX512;
    if (an__cpu_path(AN_CPU_PATH_AVX512) == NULL) {
        expect_refused(an_context_create(&ctx, &config), AN_ERROR_BACKEND,
                       "config.cpu_path is 3: this processor");
        ck_assert_ptr_eq(ctx, (an_context *)&w);
    }
}
END_TEST

/* --- models ------------------------------------------------------------------------ */

/* First and last of their lengths, and what lies between: overlong forms, surrogates. */
START_TEST(class_names_are_utf8)
{
    static const char *const good[] = {"",
                                       "\x01",
                                       "\x7f",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "a\xc3\xa9z"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xc3",
                                      "\xc3z",
                                      "\xe2\x82",
                                      "\xe2\x82z",
                                      "\xe2z\x82",
                                      "\xf0\x9f\x98",
                                      "\xf0\x9f\x98z",
                                      "\xf0z\x9f\x98",
                                      "a\xc3\xc3\xa9",
                                      "\xc3\xa9\xa9",
                                      "\xc3\xc3",
                                      "\xc3\xff",
                                      "\xe2\x82\xc2",
                                      "\xe2\xc2\x82"};
    char text[257];
    size_t i;

    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        expect_ok(an_model_set_class_name(w.model, 9, good[i]));
        expect_text(an_model_class_name(w.model, 9), good[i], "name %zu", i);
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(an_model_set_class_name(w.model, 9, bad[i]) == AN_ERROR_ARGUMENT &&
                          strstr(an_error_message(), "name is not UTF-8") != NULL,
                      "name %zu was taken", i);
        expect_text(an_model_class_name(w.model, 9), good[11], "after bad name %zu", i);
    }
    memset(text, 'x', sizeof text);
    text[256] = '\0';
    BAD(an_model_set_class_name(w.model, 9, text),
        "name is 256 bytes long: must be at most");
    text[255] = '\0';
    expect_ok(an_model_set_class_name(w.model, 9, text));
    text[0] = 'y'; /* it was copied */
    ck_assert_int_eq(an_model_class_name(w.model, 9)[0], 'x');
    BAD(an_model_set_class_name(w.model, 10, "a"),
        "index is 10: the model has 10 classes");
    ck_assert_ptr_null(an_model_class_name(w.model, 10));
    ck_assert_ptr_null(an_model_class_name(w.model, 8));
}
END_TEST

START_TEST(profiles_are_refused_by_argument)
{
    an_layer_time rows[4] = {{0}};
    int i;

    for (i = 0; i < 4; i++) an_layer_time_init(&rows[i], sizeof rows[i]);
    BAD(an_model_profile(w.model, 0, 0, rows, 4), "batch is 0: must be 1 to 8192");
    BAD(an_model_profile(w.model, 8193, 0, rows, 4), "batch is 8193: must be 1 to 8192");
    BAD(an_model_profile(w.model, 1, 2, rows, 4), "training is 2: must be 0 or 1");
    BAD(an_model_profile(w.model, 1, 0, rows, 3), "count is 3: the model has 4 layers");
    BAD(an_model_profile(w.model, 1, 0, rows, 5), "count is 5: the model has 4 layers");
    for (i = 0; i < 4; i++) {
        expect_text(rows[i].name, "", "row %u", (unsigned)i);
        expect_number(rows[i].forward, 0, 0, "row %u", (unsigned)i);
    }
}
END_TEST

START_TEST(parameters_are_refused_by_argument)
{
    size_t count;
    float *x = parameter_of(w.model, 2, &count), *again = malloc((count + 1) * sizeof *x);
    size_t wrong[3], i;

    wrong[0] = 0, wrong[1] = count / 2, wrong[2] = count - 1;
    BAD(an_parameter_find(w.model, "conv4.weight", &out.number),
        "name is \"conv4.weight\"");
    BAD(an_parameter_find(w.model, "", &out.number),
        "name is \"\": the parameters are .weight and .bias of conv1, conv2, ");
    BAD(an_parameter_get(w.model, 8, out.floats, 1),
        "index is 8: the model has 8 parameters");
    BAD(an_parameter_get(w.model, 2, out.floats, count - 1), "conv2.weight has");
    BAD(an_parameter_get(w.model, 2, out.floats, count + 1), "conv2.weight has");
    BAD(an_parameter_set(w.model, 8, x, count), "index is 8: the model has 8 parameters");
    BAD(an_parameter_set(w.model, 2, x, count - 1), "conv2.weight has");
    BAD(an_parameter_set(w.model, 2, x, count + 1), "conv2.weight has");
    for (i = 0; i < 3; i++) {
        float *changed = memcpy(again, x, count * sizeof *x);
        char words[64];

        snprintf(words, sizeof words, "values[%zu] is not finite", wrong[i]);
        changed[(wrong[i] + 1) % count] += 1;
        changed[wrong[i]] = i == 1 ? -INFINITY : NAN;
        BAD(an_parameter_set(w.model, 2, changed, count), words);
        expect_ok(an_parameter_get(w.model, 2, changed, count));
        expect_floats(changed, x, count, 0, "conv2.weight after it was refused");
    }
    free(x);
    free(again);
}
END_TEST

/* --- pictures ---------------------------------------------------------------------- */

START_TEST(mean_images_have_their_size_and_moment)
{
    const size_t count = 3 * WORLD_SIDE * WORLD_SIDE;
    float *mean = malloc((count + 1) * sizeof *mean);
    an_preprocessing p;

    noise_floats(mean, count + 1, 4, 255);
    BAD(an_image_fit(&w.image, 0, out.bytes, ENOUGH), "side is 0: must be 1 to 2048");
    BAD(an_image_fit(&w.image, 2049, out.bytes, ENOUGH),
        "side is 2049: must be 1 to 2048");
    BAD(an_image_warp(&w.image, 0, out.bytes, ENOUGH), "side is 0: must be 1 to 2048");
    BAD(an_image_warp(&w.image, 2049, out.bytes, ENOUGH),
        "side is 2049: must be 1 to 2048");
    BAD(an_preprocess(w.model, &w.image, 10, out.floats, ENOUGH),
        "view is 10: must be 0 to 9");
    REFUSED(an_model_get_mean_image(w.model, out.floats, count), AN_ERROR_STATE,
            "the model has no mean image");
    BAD(an_model_set_mean_image(w.model, mean, count - 1),
        "must be 3 * side * side, 3072");
    BAD(an_model_set_mean_image(w.model, mean, count + 1),
        "count is 3073: must be 3 * side");
    BAD(an_model_set_mean_image(w.model, mean, 0), "count is 0: must be 3 * side * side");
    BAD(an_model_set_mean_image(w.model, NULL, count), "mean is null");
    mean[count - 1] = INFINITY;
    BAD(an_model_set_mean_image(w.model, mean, count), "mean[3071] is not finite");
    REFUSED(an_model_get_mean_image(w.model, out.floats, count), AN_ERROR_STATE,
            "no mean");
    mean[count - 1] = 0;
    expect_ok(an_model_set_mean_image(w.model, mean, count));
    BAD(an_model_get_mean_image(w.model, out.floats, count - 1), "count is 3071");
    BAD(an_model_get_mean_image(w.model, out.floats, count + 1), "count is 3073");
    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_get_preprocessing(w.model, &p));
    p.side = WORLD_SIDE + 1;
    REFUSED(an_model_set_preprocessing(w.model, &p), AN_ERROR_STATE,
            "preprocessing.side is 33: the model has a mean image of 32");
    p.side = WORLD_SIDE;
    expect_ok(an_model_set_preprocessing(w.model, &p));
    expect_ok(an_model_get_mean_image(w.model, out.floats, count));
    expect_floats(out.floats, mean, count, 0, "the mean image");
    expect_ok(an_model_set_mean_image(w.model, NULL, 0));
    expect_refused(an_model_get_mean_image(w.model, out.floats, count), AN_ERROR_STATE,
                   NULL);
    free(mean);
}
END_TEST

/* --- inference --------------------------------------------------------------------- */

/* Those that take a count of images. */
START_TEST(counts_and_labels_of_inference_have_limits)
{
    static const uint32_t counts[] = {0, 1048577, UINT32_MAX};
    int32_t labels[2] = {0, 10};
    const float *x = w.images;
    const an_image *image = &w.image;
    int i;

    for (i = 0; i < 3; i++) {
        const uint32_t n = counts[i];
        const char *words = i == 0   ? "count is 0: must be 1 to 1048576"
                            : i == 1 ? "count is 1048577: must be 1 to 1048576"
                                     : "count is 4294967295";

        BAD(an_infer(w.model, x, n, out.floats, ENOUGH), words);
        BAD(an_infer_images(w.model, image, n, out.floats, ENOUGH), words);
        BAD(an_infer_views(w.model, image, n, 1, out.floats, ENOUGH), words);
        BAD(an_evaluate(w.model, x, w.labels, n, &out.sum), words);
        BAD(an_evaluate_images(w.model, image, w.labels, n, &out.sum), words);
        BAD(an_infer_layer(w.model, x, n, "conv1", 1, out.floats, ENOUGH), words);
        BAD(an_infer_layer_images(w.model, image, n, "conv1", 1, out.floats, ENOUGH),
            words);
        BAD(an_score(x, 2, w.labels, n, &out.sum), words);
    }
    for (i = 0; i < 2; i++) {
        const char *words =
            i == 0 ? "labels[1] is 10: must be 0 to 9" : "labels[1] is -1: must";

        if (i == 1) labels[1] = -1;
        BAD(an_evaluate(w.model, x, labels, 2, &out.sum), words);
        BAD(an_evaluate_images(w.model, image, labels, 2, &out.sum), words);
        BAD(an_score(x, 10, labels, 2, &out.sum), words);
    }
    labels[1] = 9;
    expect_ok(an_evaluate(w.model, x, labels, 2, &out.sum));
}
END_TEST

/* One element less than a call writes is refused before anything is written; just so many
 * are enough: the buffers end there, which ASan sees. */
START_TEST(buffers_have_room_for_what_is_written)
{
    const size_t image = 3 * 32 * 32;
    float *x = calloc(2 * image, sizeof *x), *exact = malloc(image * sizeof *exact);
    float *scores = malloc(20 * sizeof *scores);
    uint8_t *pixels = malloc(48);
    an_image pair[2] = {w.image, w.image};
    size_t count;

    BAD(an_infer(w.model, x, 2, out.floats, 19), "capacity is 19: the call writes 20");
    BAD(an_infer_images(w.model, pair, 2, out.floats, 0),
        "capacity is 0: the call writes 20");
    BAD(an_infer_views(w.model, pair, 2, 10, out.floats, 19), "capacity is 19");
    BAD(an_infer_layer(w.model, x, 2, "prob", AN_POINT_OUTPUT, out.floats, 19),
        "capacity is 19: the call writes 20");
    expect_ok(an_activation_count(w.model, "fc4", AN_POINT_OUTPUT, &count, NULL));
    BAD(an_infer_layer_images(w.model, pair, 2, "fc4", AN_POINT_OUTPUT, out.floats,
                              2 * count - 1),
        "capacity is ");
    BAD(an_preprocess(w.model, &w.image, 0, out.floats, image - 1),
        "capacity is 3071: the call writes 3072");
    BAD(an_image_fit(&w.image, 4, out.bytes, 47), "capacity is 47: the call writes 48");
    BAD(an_image_warp(&w.image, 4, out.bytes, 47), "capacity is 47");
    expect_ok(an_infer(w.model, x, 2, scores, 20));
    expect_ok(an_infer_images(w.model, pair, 2, scores, 20));
    expect_ok(an_infer_views(w.model, pair, 2, 10, scores, 20));
    expect_ok(an_preprocess(w.model, &w.image, 0, exact, image));
    expect_ok(an_image_fit(&w.image, 4, pixels, 48));
    expect_ok(an_image_warp(&w.image, 4, pixels, 48));
    free(x);
    free(exact);
    free(scores);
    free(pixels);
}
END_TEST

START_TEST(views_layers_and_points_are_known_or_refused)
{
    static const uint32_t views[] = {0, 2, 9, 11};
    static const uint32_t points[] = {0, 4};
    const float *x = w.images;
    size_t i;

    for (i = 0; i < 4; i++)
        BAD(an_infer_views(w.model, &w.image, 1, views[i], out.floats, ENOUGH),
            "must be 1 or 10");
    for (i = 0; i < 2; i++) {
        const char *words =
            i == 0 ? "point is 0: not one of an_point" : "point is 4: not";

        BAD(an_activation_count(w.model, "conv1", points[i], &out.count, out.shape),
            words);
        BAD(an_infer_layer(w.model, x, 1, "conv1", points[i], out.floats, ENOUGH), words);
        BAD(an_infer_layer_images(w.model, &w.image, 1, "conv1", points[i], out.floats,
                                  ENOUGH),
            words);
    }
    for (i = 0; i < 3; i++) {
        const char *layer = i == 0 ? "conv4" : i == 1 ? "fc4" : "prob";
        const uint32_t point = i == 0 ? AN_POINT_OUTPUT : AN_POINT_ACTIVATION;
        const char *words = i == 0 ? "layer is \"conv4\": the model's layers are "
                                   : "point is AN_POINT_ACTIVATION";

        BAD(an_activation_count(w.model, layer, point, &out.count, out.shape), words);
        BAD(an_infer_layer(w.model, x, 1, layer, point, out.floats, ENOUGH), words);
        BAD(an_infer_layer_images(w.model, &w.image, 1, layer, point, out.floats, ENOUGH),
            words);
    }
    expect_ok(an_activation_count(w.model, "prob", AN_POINT_OUTPUT, &out.count, NULL));
    expect_count(out.count, 10, "probabilities");
}
END_TEST

START_TEST(scores_take_probabilities_alone)
{
    static const float bad[] = {-FLT_MIN, 1.0011f, NAN, INFINITY, -1};
    float *rows = calloc(2 * 65536, sizeof *rows);
    const int32_t labels[2] = {1, 65535};
    size_t i, at;

    BAD(an_score(rows, 1, labels, 1, &out.sum), "classes is 1: must be 2 to 65536");
    BAD(an_score(rows, 65537, labels, 1, &out.sum),
        "classes is 65537: must be 2 to 65536");
    for (i = 0; i < 5; i++)
        for (at = 0; at < 4; at++) {
            char words[48];

            rows[at] = bad[i];
            snprintf(words, sizeof words, "probabilities[%zu][%zu] is", at / 2, at % 2);
            BAD(an_score(rows, 2, w.labels, 2, &out.sum), words);
            rows[at] = 0;
        }
    expect_ok(an_score(rows, 2, w.labels, 2, &out.sum));
    expect_ok(an_score(rows, 65536, labels, 2, &out.sum));
    free(rows);
}
END_TEST

/* Infinite inputs; each function says which layer's output is the first that is not
 * finite. */
START_TEST(divergence_names_its_layer_and_changes_nothing)
{
    uint64_t iteration = an_trainer_iteration(w.trainer);
    float x = w.images[5];
    an_model_config config = world_model();
    an_model *alike;

    expect_ok(an_model_create(&alike, w.at.ctx, &config));
    w.images[5] = INFINITY;
    REFUSED(an_infer(w.model, w.images, 1, out.floats, ENOUGH), AN_ERROR_DIVERGED,
            "input is the first");
    REFUSED(an_evaluate(w.model, w.images, w.labels, 1, &out.sum), AN_ERROR_DIVERGED,
            "input");
    REFUSED(an_infer_layer(w.model, w.images, 1, "prob", 1, out.floats, ENOUGH),
            AN_ERROR_DIVERGED, "input");
    REFUSED(an_train_step(w.trainer, w.images, w.labels, 2, &out.stats),
            AN_ERROR_DIVERGED, "input");
    same_parameters(w.model, alike, 0, "after a step that diverged");
    expect_count(an_trainer_iteration(w.trainer), iteration, "steps");
    w.images[5] = x;
    expect_ok(an_train_step(w.trainer, w.images, w.labels, 2, &out.stats));
    an_model_destroy(alike);
}
END_TEST

Suite *statuses_suite(void)
{
    Suite *suite = suite_create("statuses");
    TCase *tc = tcase_create("statuses");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, every_status_has_its_name);
    tcase_add_test(tc, devices_and_plugins_that_are_not_there_are_refused);
    tcase_add_test(tc, class_names_are_utf8);
    tcase_add_test(tc, profiles_are_refused_by_argument);
    tcase_add_test(tc, parameters_are_refused_by_argument);
    tcase_add_test(tc, mean_images_have_their_size_and_moment);
    tcase_add_test(tc, counts_and_labels_of_inference_have_limits);
    tcase_add_test(tc, buffers_have_room_for_what_is_written);
    tcase_add_test(tc, views_layers_and_points_are_known_or_refused);
    tcase_add_test(tc, scores_take_probabilities_alone);
    tcase_add_test(tc, divergence_names_its_layer_and_changes_nothing);
    suite_add_tcase(suite, tc);
    return suite;
}
