/*
 * test_precision.c - what a model computes with: its weights as they are now, in the
 * precision that it was allowed, from wherever a file's are; and the sums of an
 * evaluation.
 */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "networks.h"
#include "scratch.h"
#include "small.h"
#include "test.h"

enum { MOST = 17, SIDE = 69 };

static const int32_t labels[MOST] = {1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6};
static float images[MOST * 3 * SIDE * SIDE];
static an_context *ctx;

static void setup(void)
{
    an_context_config config;

    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    expect_ok(an_context_create(&ctx, &config));
    noise_floats(images, sizeof images / sizeof *images, 3, 100);
}

static void teardown(void)
{
    an_context_destroy(ctx);
}

static an_model_config config_of(uint32_t precision)
{
    an_model_config config = net_change(AN_ARCH_PAPER, 0).config;

    config.precision = precision;
    return config;
}

static an_model *model_of(an_context *own, uint32_t precision)
{
    an_model_config config = config_of(precision);
    an_model *model;

    expect_ok(an_model_create(&model, own, &config));
    return model;
}

/* --- an_model_config.precision ----------------------------------------------------- */

/* Whether the processor has a path that reads packed weights. */
static int has_packs(void)
{
    return an__cpu_path(AN_CPU_PATH_BEST) != an__cpu_path(AN_CPU_PATH_REFERENCE);
}

/* The dense layers' weights to 8 significant bits, and nothing else, for fewer than 16
 * images: which moves what they give by some 1e-3, of which float32's rounding stays well
 * clear. */
START_TEST(bf16_narrows_dense_weights_of_few_images)
{
    const net_pass pass = {.narrow = has_packs()}, wide = {.narrow = 0};
    an_model_config config = config_of(AN_PRECISION_BF16);
    net_values narrow, full;
    an_model *model;
    uint32_t i;
    net n;

    config.initialisation = AN_INIT_HE;
    ck_assert_int_eq(net_of(&n, &config), 1);
    expect_ok(an_model_create(&model, ctx, &config));
    net_run(&n, model, images, labels, &pass, &narrow);
    net_run(&n, model, images, labels, &wide, &full);
    for (i = 0; i < n.count; i++) {
        const float *want = narrow.at[i][0], *whole = full.at[i][0];
        size_t count = narrow.count[i][0], j;
        float *got = malloc(count * sizeof *got);
        double apart = 0, largest = 0;

        expect_ok(an_infer_layer(model, images, NET_BATCH, n.layer[i].name,
                                 AN_POINT_LINEAR, got, ENOUGH));
        expect_floats(got, want, count, 2e-5, "%s", n.layer[i].name);
        for (j = 0; j < count; j++) {
            apart = fmax(apart, fabs((double)(got[j] - whole[j])));
            largest = fmax(largest, fabs((double)whole[j]));
        }
        ck_assert_msg((apart > 3e-4 * largest) == (has_packs() && !n.layer[i].is_conv),
                      "%s: %g of %g from that of whole weights", n.layer[i].name, apart,
                      largest);
        free(got);
    }
    net_values_free(&narrow);
    net_values_free(&full);
    an_model_destroy(model);
}
END_TEST

/* Rows of a pass of `count` images, of FP32's model and of another of the same
 * weights. */
static int same_rows(an_model *a, an_model *b, uint32_t count)
{
    float p[MOST * 10], q[MOST * 10];

    expect_ok(an_infer(a, images, count, p, ENOUGH));
    expect_ok(an_infer(b, images, count, q, ENOUGH));
    return memcmp(p, q, count * 10 * sizeof *p) == 0;
}

START_TEST(precisions_are_the_cpus_only_where_it_says)
{
    an_model *plain = model_of(ctx, AN_PRECISION_FP32);
    an_model *narrow = model_of(ctx, AN_PRECISION_BF16);
    an_trainer_config training = small_training(2);
    an_trainer *first, *second;
    uint32_t precision;

    ck_assert_int_eq(same_rows(plain, narrow, 1), !has_packs());
    ck_assert_int_eq(same_rows(plain, narrow, 15), !has_packs());
    ck_assert_int_eq(same_rows(plain, narrow, 16), 1);
    ck_assert_int_eq(same_rows(plain, narrow, 17), 1);
    expect_ok(an_trainer_create(&first, plain, &training));
    expect_ok(an_trainer_create(&second, narrow, &training));
    expect_ok(an_train_step(first, images, labels, 2, NULL));
    expect_ok(an_train_step(second, images, labels, 2, NULL));
    same_parameters(narrow, plain, 0, "a step of a BF16 model");
    an_trainer_destroy(first);
    an_trainer_destroy(second);
    an_model_destroy(plain);
    an_model_destroy(narrow);
    plain = model_of(ctx, AN_PRECISION_FP32);
    for (precision = AN_PRECISION_TF32; precision <= AN_PRECISION_TF32X3;
         precision += 2) {
        an_model *other = model_of(ctx, precision);

        ck_assert_int_eq(same_rows(plain, other, 1), 1);
        ck_assert_int_eq(same_rows(plain, other, 16), 1);
        an_model_destroy(other);
    }
    an_model_destroy(plain);
}
END_TEST

START_TEST(the_reference_path_has_one_precision)
{
    an_context_config config;
    an_model *plain, *narrow;
    an_context *own;

    an_context_config_init(&config, sizeof config);
    config.cpu_path = AN_CPU_PATH_REFERENCE;
    expect_ok(an_context_create(&own, &config));
    plain = model_of(own, AN_PRECISION_FP32);
    narrow = model_of(own, AN_PRECISION_BF16);
    ck_assert_int_eq(same_rows(plain, narrow, 1), 1);
    an_model_destroy(plain);
    an_model_destroy(narrow);
    an_context_destroy(own);
}
END_TEST

/* --- weights that change ----------------------------------------------------------- */

/* The model gives what another one gives that has its parameters from the beginning: for
 * one image, few and many, for which weights are kept in orders of their own. */
static void check_current(an_model *model, const char *what, uint32_t index)
{
    an_model_config config = {.size = sizeof config};
    an_model *fresh;
    uint32_t i, sizes[3] = {1, 2, 16};

    expect_ok(an_model_get_config(model, &config));
    expect_ok(an_model_create(&fresh, ctx, &config));
    for (i = 0; i < model->net.plan->param_count; i++) {
        size_t count;
        float *x = parameter_of(model, i, &count);

        expect_ok(an_parameter_set(fresh, i, x, count));
        free(x);
    }
    for (i = 0; i < 3; i++)
        ck_assert_msg(same_rows(fresh, model, sizes[i]), "%s %u: %u images", what, index,
                      sizes[i]);
    an_model_destroy(fresh);
}

START_TEST(what_is_set_is_computed_with_at_once)
{
    an_model *model = model_of(ctx, _i ? AN_PRECISION_BF16 : AN_PRECISION_FP32);
    uint32_t i;

    check_current(model, "a new model", 0);
    for (i = 0; i < model->net.plan->param_count; i++) {
        size_t count, j;
        float *x = parameter_of(model, i, &count);

        for (j = 0; j < count; j++) x[j] = -1.5f * x[j];
        expect_ok(an_parameter_set(model, i, x, count));
        free(x);
        check_current(model, "after parameter", i);
    }
    an_model_destroy(model);
}
END_TEST

START_TEST(so_is_what_a_step_or_a_transfer_has_changed)
{
    an_model_config config = config_of(AN_PRECISION_BF16);
    an_model *model = model_of(ctx, AN_PRECISION_BF16), *other;
    an_trainer_config training = small_training(MOST);
    an_trainer *trainer;
    uint32_t i;

    check_current(model, "a new model", 0);
    expect_ok(an_trainer_create(&trainer, model, &training));
    for (i = 0; i < 3; i++) {
        expect_ok(an_train_step(trainer, images, labels, i == 1 ? MOST : 2, NULL));
        check_current(model, "after step", i);
    }
    an_trainer_destroy(trainer);
    config.seed = 99;
    expect_ok(an_model_create(&other, ctx, &config));
    check_current(other, "a new model", 1);
    expect_ok(an_model_transfer(other, model, NULL, NULL));
    check_current(other, "after a transfer", 0);
    same_parameters(other, model, 0, "transferred");
    an_model_destroy(model);
    an_model_destroy(other);
}
END_TEST

/* --- an_load_config ---------------------------------------------------------------- */

typedef struct loaded {
    counted counts;
    an_context *own;
    an_model *model;
    size_t bytes; /* that loading has allocated */
} loaded;

static void load_it(loaded *l, const char *path, const an_load_config *config)
{
    an_context_config context;
    size_t before;

    an_context_config_init(&context, sizeof context);
    context.threads = 1;
    counted_allocator(&context, &l->counts);
    expect_ok(an_context_create(&l->own, &context));
    before = l->counts.bytes;
    expect_ok(an_model_load(&l->model, l->own, path, config));
    l->bytes = l->counts.bytes - before;
}

static void unload(loaded *l)
{
    an_model_destroy(l->model);
    an_context_destroy(l->own);
    expect_count((uint64_t)l->counts.blocks, 0, "blocks at the end");
}

/* Mapped pages are no allocation; and a file of which a copy was made may be lost. */
START_TEST(a_file_is_copied_or_mapped)
{
    an_model *model = model_of(ctx, AN_PRECISION_FP32);
    an_model_info info = {.size = sizeof info};
    size_t parameters, copy;
    char path[64];
    FILE *file;

    expect_ok(an_model_describe(model, &info));
    parameters = info.parameter_count * sizeof(float);
    scratch_file(path);
    for (copy = 0; copy < 2; copy++) {
        an_load_config config;
        loaded l;

        expect_ok(an_model_save(model, path));
        an_load_config_init(&config, sizeof config);
        config.copy = (uint32_t)copy;
        load_it(&l, path, &config);
        same_parameters(l.model, model, 0, copy ? "copied" : "mapped");
        ck_assert_int_eq(same_rows(l.model, model, 1), 1);
        /* Beside parameters there are the plan and other structs, below 256 KiB. */
        ck_assert_msg((l.bytes >= parameters) == (copy == 1),
                      "copy %zu: %zu bytes for %zu of parameters", copy, l.bytes,
                      parameters);
        if (copy == 1) {
            file = fopen(path, "r+b"); /* in place, as another program might */
            for (copy = 0; copy < parameters; copy++) fputc(0, file);
            ck_assert_int_eq(fclose(file), 0);
            same_parameters(l.model, model, 0, "when the file is another");
            copy = 1;
        }
        unload(&l);
    }
    remove(path);
    an_model_destroy(model);
}
END_TEST

/* A file of one tower in two, one of two in one: the same function. No file keeps a
 * precision. */
START_TEST(a_file_has_neither_towers_nor_precision)
{
    an_model_config config = config_of(AN_PRECISION_BF16);
    an_model *model, *plain = model_of(ctx, AN_PRECISION_FP32);
    an_load_config load;
    char path[64];
    uint32_t towers;

    scratch_file(path);
    for (towers = 1; towers <= 2; towers++) {
        config.towers = towers;
        expect_ok(an_model_create(&model, ctx, &config));
        expect_ok(an_model_save(model, path));
        an_model_destroy(model);
        expect_ok(an_model_load(&model, ctx, path, NULL)); /* whole, in float32 */
        expect_count(model->net.plan->towers, 1, "of a file of %u", towers);
        ck_assert_int_eq(same_rows(model, plain, 1), 1);
        an_model_destroy(model);
        an_load_config_init(&load, sizeof load);
        load.precision = AN_PRECISION_BF16;
        expect_ok(an_model_load(&model, ctx, path, &load));
        ck_assert_int_eq(same_rows(model, plain, 1), !has_packs());
        an_model_destroy(model);
        load.precision = 0;
        load.towers = 2;
        load.devices = "cpu,cpu:0";
        expect_ok(an_model_load(&model, ctx, path, &load));
        expect_count(model->net.plan->towers, 2, "of a file of %u", towers);
        same_parameters(model, plain, 0, "loaded in two towers");
        an_model_destroy(model);
    }
    remove(path);
    an_model_destroy(plain);
}
END_TEST

/* --- an_evaluation ----------------------------------------------------------------- */

/* A last layer of zeros gives all classes the same: each has its share of the first
 * place, and of the first five. */
static void all_alike(uint32_t classes)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    const double five = classes < 5 ? 1 : 5. / classes;
    an_evaluation e = {
        .size = sizeof e, .count = 2, .top1 = 1.5, .top5 = 1.75, .loss = 0.5};
    const char *names[2] = {"fc4.weight", "fc4.bias"};
    an_model *model;
    float *rows;
    int i;

    config.classes = classes;
    expect_ok(an_model_create(&model, ctx, &config));
    for (i = 0; i < 2; i++) {
        uint32_t index;
        size_t count;
        float *x;

        expect_ok(an_parameter_find(model, names[i], &index));
        x = parameter_of(model, index, &count);
        memset(x, 0, count * sizeof *x);
        expect_ok(an_parameter_set(model, index, x, count));
        free(x);
    }
    rows = malloc(3 * classes * sizeof *rows);
    expect_ok(an_infer(model, images, 3, rows, ENOUGH));
    for (i = 0; i < 2; i++) {
        const int32_t label[3] = {0, 1, (int32_t)classes - 1};

        expect_ok(i == 0 ? an_evaluate(model, images, label, 3, &e)
                         : an_score(rows, classes, label, 3, &e));
        expect_count(e.count, 2 + 3u * (uint32_t)(i + 1), "%u classes", classes);
        expect_number(e.top1, 1.5 + 3. * (i + 1) / classes, 1e-12, "%u classes", classes);
        expect_number(e.top5, 1.75 + 3. * (i + 1) * five, 1e-12, "%u classes", classes);
        expect_number(e.loss, 0.5 + 3. * (i + 1) * log(classes), 1e-5, "%u classes",
                      classes);
    }
    free(rows);
    an_model_destroy(model);
}

START_TEST(equal_classes_share_their_places)
{
    static const uint32_t classes[] = {2, 4, 5, 6, 100};
    size_t i;

    for (i = 0; i < sizeof classes / sizeof classes[0]; i++) all_alike(classes[i]);
}
END_TEST

/* One row after the other: where the label stands among its classes, and what that is
 * worth. */
START_TEST(a_row_is_worth_what_its_label_is)
{
    static const struct {
        float row[7];
        int32_t label;
        double top1, top5, p;
    } rows[] = {
        {{.4f, .3f, .1f, .1f, .05f, .03f, .02f}, 0, 1, 1, .4},
        {{.4f, .3f, .1f, .1f, .05f, .03f, .02f}, 1, 0, 1, .3},
        {{.4f, .3f, .1f, .1f, .05f, .03f, .02f}, 4, 0, 1, .05},
        {{.4f, .3f, .1f, .1f, .05f, .03f, .02f}, 5, 0, 0, .03},
        {{.4f, .4f, .1f, .05f, .05f, 0, 0}, 1, .5, 1, .4},
        {{.3f, .3f, .2f, .1f, .05f, .05f, 0}, 5, 0, .5, .05},     /* two for the fifth */
        {{.3f, .3f, .2f, .05f, .05f, .05f, .05f}, 6, 0, .5, .05}, /* four for two */
        {{.3f, .3f, .2f, .2f, 0, 0, 0}, 4, 0, 1. / 3, 0},
        {{1, 0, 0, 0, 0, 0, 0}, 3, 0, 4. / 6, 0},
        {{1, 0, 0, 0, 0, 0, 0}, 0, 1, 1, 1}};
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        an_evaluation e;
        double loss = rows[i].p > 0 ? -log((double)(float)rows[i].p) : 87.3365447;

        an_evaluation_init(&e, sizeof e);
        expect_ok(an_score(rows[i].row, 7, &rows[i].label, 1, &e));
        expect_count(e.count, 1, "row %zu", i);
        expect_number(e.top1, rows[i].top1, 1e-12, "row %zu", i);
        expect_number(e.top5, rows[i].top5, 1e-12, "row %zu", i);
        expect_number(e.loss, loss, 1e-6, "row %zu", i);
    }
}
END_TEST

Suite *precision_suite(void)
{
    Suite *suite = suite_create("precision");
    TCase *tc = tcase_create("precision");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, bf16_narrows_dense_weights_of_few_images);
    tcase_add_test(tc, precisions_are_the_cpus_only_where_it_says);
    tcase_add_test(tc, the_reference_path_has_one_precision);
    tcase_add_loop_test(tc, what_is_set_is_computed_with_at_once, 0, 2);
    tcase_add_test(tc, so_is_what_a_step_or_a_transfer_has_changed);
    tcase_add_test(tc, a_file_is_copied_or_mapped);
    tcase_add_test(tc, a_file_has_neither_towers_nor_precision);
    tcase_add_test(tc, equal_classes_share_their_places);
    tcase_add_test(tc, a_row_is_worth_what_its_label_is);
    suite_add_tcase(suite, tc);
    return suite;
}
