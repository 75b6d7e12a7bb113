/*
 * programs_evaluate.c - evaluate: what it says of one model, of several and of ten views,
 * and its table of labels and answers, beside the same computed here.
 */
#define _POSIX_C_SOURCE 200809L
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoring.h"
#include "expect.h"
#include "fixtures.h"

/* More pictures than evaluate reads at once, 64, and no multiple of that. */
enum { COUNT = 70, CLASSES = 7, SIDE = TINY + 4, MODELS = 3 };

static const char *const class_names[CLASSES] = {"ant", "bee, wild", "the \"cow\"", "dog",
                                                 "eel", "fox",       "gnu"};

/* All pictures of a pack. */
static uint8_t *pixels_of(an_context *ctx, const char *name, an_pack_info *info)
{
    an_pack *pack = pack_of(ctx, name);
    uint8_t *pixels;
    size_t bytes;
    uint64_t i;

    an_pack_info_init(info, sizeof *info);
    expect_ok(an_pack_describe(pack, info));
    bytes = (size_t)3 * info->side * info->side;
    pixels = malloc(info->count * bytes);
    for (i = 0; i < info->count; i++)
        expect_ok(an_pack_read(pack, i, pixels + i * bytes, ENOUGH, NULL));
    an_pack_destroy(pack);
    return pixels;
}

/* The mean over models of each picture's probabilities, [count][classes]. */
static double *mean_rows(an_context *ctx, const char *pack_name, an_model *const *models,
                         uint32_t count, uint32_t views)
{
    an_model_info model;
    an_pack_info info;
    uint8_t *pixels = pixels_of(ctx, pack_name, &info);
    an_image *images = malloc(info.count * sizeof *images);
    double *rows;
    float *one;
    size_t i, m, numbers;

    an_model_info_init(&model, sizeof model);
    expect_ok(an_model_describe(models[0], &model));
    numbers = info.count * model.classes;
    rows = calloc(numbers, sizeof *rows);
    one = malloc(numbers * sizeof *one);
    for (i = 0; i < info.count; i++)
        images[i] =
            image_of(pixels + i * 3 * info.side * info.side, info.side, info.side);
    for (m = 0; m < count; m++) {
        expect_ok(
            an_infer_views(models[m], images, (uint32_t)info.count, views, one, ENOUGH));
        for (i = 0; i < numbers; i++) rows[i] += (double)one[i] / count;
    }
    free(one);
    free(images);
    free(pixels);
    return rows;
}

typedef struct result {
    double top1, top5, loss; /* shares, mean */
} result;

/* Label of picture i: as pack_make() gives it. */
static uint32_t label_of(uint32_t i)
{
    return i * 5 % CLASSES;
}

static result result_of(const double *rows, uint32_t count, uint32_t classes)
{
    result r = {0, 0, 0};
    uint32_t i, c;

    for (i = 0; i < count; i++) {
        const double *row = rows + (size_t)i * classes;
        double own = row[label_of(i)];
        uint32_t before = 0;

        for (c = 0; c < classes; c++) before += row[c] > own;
        r.top1 += before == 0;
        r.top5 += before < 5;
        r.loss += fmin(-log(own), -log((double)FLT_MIN)); /* as an_score() has it */
    }
    r.top1 /= count;
    r.top5 /= count;
    r.loss /= count;
    return r;
}

/* "N pictures, V views, M models: top-1 A %, top-5 B %, loss C". The last digits may
 * differ by what float sums differ. */
static void expect_said(const char *out, const char *begin, const result *wanted)
{
    const char *at = strstr(out, begin);
    double top1, top5, loss;
    char end = 0;

    ck_assert_msg(at == out, "wanted \"%s\", got \"%s\"", begin, out);
    ck_assert_msg(sscanf(out + strlen(begin), ": top-1 %lf %%, top-5 %lf %%, loss %lf%c",
                         &top1, &top5, &loss, &end) == 4 &&
                      end == '\n',
                  "got \"%s\"", out);
    expect_number(top1, 100 * wanted->top1, 0.0051, "%s: top-1", begin);
    expect_number(top5, 100 * wanted->top5, 0.0051, "%s: top-5", begin);
    expect_number(loss, wanted->loss, 0.00006, "%s: loss", begin);
}

typedef struct scene { /* a pack and three models that differ */
    an_context *ctx;
    an_model *models[MODELS];
} scene;

static scene open_scene(const char *const *names)
{
    pack_spec spec = {COUNT, CLASSES, SIDE, 0, 0, NULL};
    char name[16];
    scene s;
    uint32_t m;

    s.ctx = context_make();
    spec.names = names;
    pack_make(s.ctx, "pack", &spec);
    for (m = 0; m < MODELS; m++) {
        an_model_config config = tiny_config(CLASSES, 10 + m);

        snprintf(name, sizeof name, "m%u", m);
        s.models[m] = model_make(s.ctx, name, &config, SIDE, names);
    }
    return s;
}

static void close_scene(scene *s)
{
    uint32_t m;

    for (m = 0; m < MODELS; m++) an_model_destroy(s->models[m]);
    an_context_destroy(s->ctx);
}

START_TEST(one_model_is_evaluated_by_its_own_probabilities)
{
    static const char *const begin[] = {"70 pictures, 1 view, 1 model",
                                        "70 pictures, 10 views, 1 model"};
    scene s = open_scene(class_names);
    char name[16], *out;
    result wanted;
    double *rows;
    uint32_t m, views;

    for (m = 0; m < 2; m++)
        for (views = 1; views <= 10; views += 9) {
            snprintf(name, sizeof name, "m%u", m);
            rows = mean_rows(s.ctx, "pack", &s.models[m], 1, views);
            wanted = result_of(rows, COUNT, CLASSES);
            program_succeeds(&out, "evaluate %s pack %s", views == 1 ? "" : "--views 10",
                             name);
            expect_said(out, begin[views == 10], &wanted);
            free(rows);
            free(out);
        }
    close_scene(&s);
}
END_TEST

/* Each model counts as much as the others, whatever the order. */
START_TEST(of_several_models_the_mean_is_evaluated)
{
    scene s = open_scene(class_names);
    char *out;
    result wanted;
    double *rows;

    rows = mean_rows(s.ctx, "pack", s.models, 3, 1);
    wanted = result_of(rows, COUNT, CLASSES);
    program_succeeds(&out, "evaluate pack m0 m1 m2");
    expect_said(out, "70 pictures, 1 view, 3 models", &wanted);
    free(out);
    program_succeeds(&out, "evaluate pack m2 m0 m1 --views 1");
    expect_said(out, "70 pictures, 1 view, 3 models", &wanted);
    free(out);
    free(rows);
    rows = mean_rows(s.ctx, "pack", s.models, 3, 10);
    wanted = result_of(rows, COUNT, CLASSES);
    program_succeeds(&out, "evaluate pack m0 m1 m2 --views 10");
    expect_said(out, "70 pictures, 10 views, 3 models", &wanted);
    free(out);
    free(rows);
    rows = mean_rows(s.ctx, "pack", s.models + 1, 2, 1);
    wanted = result_of(rows, COUNT, CLASSES);
    program_succeeds(&out, "evaluate pack m1 m2");
    expect_said(out, "70 pictures, 1 view, 2 models", &wanted);
    free(out);
    free(rows);
    close_scene(&s);
}
END_TEST

static uint32_t best_of(const double *row, uint32_t classes)
{
    uint32_t best = 0, c;

    for (c = 1; c < classes; c++)
        if (row[c] > row[best]) best = c;
    return best;
}

/* The table as a file has it: names in quotes, a quote in them twice; rows are labels. */
static void expect_table(const char *name, const double *rows, uint32_t count,
                         uint32_t labels, uint32_t answers, const char *const *names)
{
    uint32_t *counts = calloc((size_t)labels * answers, sizeof *counts), i, c;
    char text[4096] = "label", *got = file_read(name, NULL);
    size_t at = strlen(text);

    for (i = 0; i < count; i++)
        counts[i * 5 % labels * answers + best_of(rows + i * answers, answers)]++;
    for (c = 0; c < answers; c++)
        at += (size_t)(names != NULL && c < labels ? sprintf(text + at, ",%s", names[c])
                                                   : sprintf(text + at, ",%u", c));
    for (i = 0; i < labels; i++) {
        at += (size_t)(names != NULL ? sprintf(text + at, "\n%s", names[i])
                                     : sprintf(text + at, "\n%u", i));
        for (c = 0; c < answers; c++)
            at += (size_t)sprintf(text + at, ",%u", counts[i * answers + c]);
    }
    sprintf(text + at, "\n");
    expect_text(got, text, "%s", name);
    free(counts);
    free(got);
}

static const char *const quoted[CLASSES] = {
    "\"ant\"", "\"bee, wild\"", "\"the \"\"cow\"\"\"", "\"dog\"", "\"eel\"",
    "\"fox\"", "\"gnu\""};

/* Every class is the answer somewhere, and the label. */
START_TEST(the_table_has_a_row_for_each_label_and_a_column_for_each_answer)
{
    scene s = open_scene(class_names);
    uint32_t answers[CLASSES] = {0}, m, c;
    double *rows;

    for (m = 0; m < MODELS; m++) {
        rows = mean_rows(s.ctx, "pack", &s.models[m], 1, 1);
        program_succeeds(NULL, "evaluate --confusion one.csv pack m%u", m);
        expect_table("one.csv", rows, COUNT, CLASSES, CLASSES, quoted);
        for (c = 0; c < COUNT; c++) answers[best_of(rows + c * CLASSES, CLASSES)]++;
        free(rows);
    }
    for (c = 0; c < CLASSES; c++) ck_assert_uint_gt(answers[c], 0);
    rows = mean_rows(s.ctx, "pack", s.models, 3, 10);
    program_succeeds(NULL, "evaluate --confusion three.csv --views 10 pack m0 m1 m2");
    expect_table("three.csv", rows, COUNT, CLASSES, CLASSES, quoted);
    free(rows);
    program_fails(1, "--confusion none/t.csv: the folder none: No such file",
                  "evaluate --confusion none/t.csv pack m0");
    close_scene(&s);
}
END_TEST

START_TEST(classes_without_names_are_numbers_in_the_table)
{
    scene s = open_scene(NULL);
    double *rows = mean_rows(s.ctx, "pack", s.models, 1, 1);

    program_succeeds(NULL, "evaluate --confusion table.csv pack m0");
    expect_table("table.csv", rows, COUNT, CLASSES, CLASSES, NULL);
    free(rows);
    close_scene(&s);
}
END_TEST

/* A model may answer more than the pack asks: no rows for those, but columns. */
START_TEST(a_model_may_have_more_classes_than_the_pack)
{
    enum { MORE = CLASSES + 4 };
    scene s = open_scene(class_names);
    an_model_config config = tiny_config(MORE, 20);
    an_model *model = model_make(s.ctx, "more", &config, SIDE, NULL);
    double *rows = mean_rows(s.ctx, "pack", &model, 1, 1);
    result wanted = result_of(rows, COUNT, MORE);
    char *out;
    said of;

    program_succeeds(&out, "evaluate --confusion table.csv pack more");
    expect_said(out, "70 pictures, 1 view, 1 model", &wanted);
    expect_table("table.csv", rows, COUNT, CLASSES, MORE, quoted);
    free(out);
    program_fails(2, "more has 11 classes, m0 7", "evaluate pack m0 more");
    of = run_program("evaluate pack more");
    expect_text(
        of.err,
        "pack: has 7 classes, and the model 11, without names: they are taken to be "
        "numbered alike\n",
        "a model whose classes nobody can compare");
    said_free(&of);
    of = run_program("evaluate pack m0");
    expect_text(of.err, "", "a model with names");
    said_free(&of);
    free(rows);
    an_model_destroy(model);
    config = tiny_config(CLASSES - 1, 20);
    an_model_destroy(model_make(s.ctx, "less", &config, SIDE, NULL));
    program_fails(1, "pack", "evaluate pack less");
    close_scene(&s);
}
END_TEST

/* Neither fits its pictures, nor numbers its classes, as the other does. */
START_TEST(a_pack_of_another_kind_than_the_model_is_refused)
{
    static const char *const others[CLASSES] = {"ant", "bee, wild", "the \"cow\"", "dog",
                                                "eel", "gnu",       "fox"};
    pack_spec spec = {COUNT, CLASSES, SIDE, 0, AN_FIT_WARP, class_names};
    scene s = open_scene(class_names);
    an_preprocessing p;

    pack_make(s.ctx, "warped", &spec);
    program_fails(2, "warped: its pictures were warped, the model wants them cropped",
                  "evaluate warped m0");
    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_get_preprocessing(s.models[0], &p));
    p.fit = AN_FIT_WARP;
    expect_ok(an_model_set_preprocessing(s.models[0], &p));
    expect_ok(an_model_save(s.models[0], inside("warps")));
    program_succeeds(NULL, "evaluate warped warps");
    program_fails(2, "pack: its pictures were cropped, the model wants them warped",
                  "evaluate pack m1 warps");
    spec.fit = AN_FIT_CROP;
    spec.names = others;
    pack_make(s.ctx, "other", &spec);
    program_fails(2, "other: class 5 is gnu, and fox in the model", "evaluate other m0");
    spec.names = NULL; /* nothing is known of them */
    pack_make(s.ctx, "nameless", &spec);
    program_succeeds(NULL, "evaluate nameless m1");
    close_scene(&s);
}
END_TEST

/* "70,1,2,7,TOP1,TOP5,LOSS", whatever stands between them. */
static void expect_numbers(const char *out, const char *form, const result *wanted)
{
    unsigned pictures, views, models, classes;
    double top1, top5, loss;
    int end = 0;

    ck_assert_msg(sscanf(out, form, &pictures, &views, &models, &classes, &top1, &top5,
                         &loss, &end) == 7 &&
                      end > 0 && out[end] == '\0',
                  "got \"%s\"", out);
    ck_assert_msg(pictures == COUNT && views == 1 && models == 2 && classes == CLASSES,
                  "got \"%s\"", out);
    expect_number(top1, wanted->top1, 1e-7, "top-1");
    expect_number(top5, wanted->top5, 1e-7, "top-5");
    expect_number(loss, wanted->loss, 1e-5, "loss");
}

START_TEST(scores_are_for_scripts_too)
{
    scene s = open_scene(class_names);
    double *rows = mean_rows(s.ctx, "pack", s.models, 2, 1);
    result wanted = result_of(rows, COUNT, CLASSES);
    char *out;

    program_succeeds(&out, "evaluate --format csv pack m0 m1");
    expect_numbers(
        out, "pictures,views,models,classes,top1,top5,loss\n%u,%u,%u,%u,%lf,%lf,%lf\n%n",
        &wanted);
    free(out);
    program_succeeds(&out, "evaluate --format json pack m0 m1");
    expect_numbers(out,
                   "{\"pictures\": %u, \"views\": %u, \"models\": %u, \"classes\": %u, "
                   "\"top1\": %lf, \"top5\": %lf, \"loss\": %lf}\n%n",
                   &wanted);
    free(out);
    program_fails(2, "--format tsv: must be text, csv or json",
                  "evaluate --format tsv pack m0");
    free(rows);
    close_scene(&s);
}
END_TEST

START_TEST(evaluate_refuses_what_it_cannot_do)
{
    scene s = open_scene(class_names);

    program_fails(2, "a pack and a model are wanted", "evaluate pack");
    program_fails(2, "--views 2: must be 1 or 10", "evaluate --views 2 pack m0");
    program_fails(2, "--views 9: must be 1 or 10", "evaluate --views 9 pack m0");
    program_fails(1, "none", "evaluate none m0");
    program_fails(1, "none", "evaluate pack m0 none");
    program_fails(1, "m0", "evaluate --device other pack m0");
    program_fails(2, "--precision half: must be fp32, tf32, bf16 or tf32x3",
                  "evaluate --precision half pack m0");
    program_fails(2, "--cpu-path sse: must be reference, avx2 or avx512",
                  "evaluate --cpu-path sse pack m0");
    close_scene(&s);
}
END_TEST

/* In its first batch and in its last. */
START_TEST(a_damaged_picture_ends_the_evaluation)
{
    uint32_t damaged = _i == 0 ? 0 : COUNT - 1;
    scene s = open_scene(class_names);
    char words[32];

    byte_flip("pack/part-0000.bin", 16 + (size_t)damaged * 3 * SIDE * SIDE + 5);
    snprintf(words, sizeof words, "picture %u", damaged);
    program_fails(1, words, "evaluate pack m0");
    close_scene(&s);
}
END_TEST

/* The loss that `evaluate options few m` says. */
static double loss_said(const char *options)
{
    double loss = -1;
    char *out;

    program_succeeds(&out, "evaluate %s few m", options);
    if (strstr(out, ", loss ") != NULL)
        sscanf(strstr(out, ", loss "), ", loss %lf", &loss);
    free(out);
    return loss;
}

/* Of fewer than 16 pictures weights of dense layers may be read as bfloat16. Weights that
 * are large make that visible in the loss: it is what the library gives with the same
 * precision. */
START_TEST(precision_and_path_reach_the_models)
{
    static const pack_spec spec = {14, CLASSES, SIDE, 0, 0, NULL};
    static const char *const names[] = {"fp32", "tf32", "bf16"};
    an_context *ctx = context_make();
    an_model_config config = tiny_config(CLASSES, 3);
    an_model *exact;
    an_load_config load;
    uint32_t precision;
    double losses[3];

    pack_make(ctx, "few", &spec);
    exact = model_make(ctx, "m", &config, SIDE, NULL);
    weights_scale(exact, 8);
    expect_ok(an_model_save(exact, inside("m")));
    an_model_destroy(exact);
    an_load_config_init(&load, sizeof load);
    for (precision = 0; precision < 3; precision++) {
        an_model *model;
        double *rows;
        char option[32];

        load.precision = precision;
        expect_ok(an_model_load(&model, ctx, inside("m"), &load));
        rows = mean_rows(ctx, "few", &model, 1, 1);
        losses[precision] = result_of(rows, spec.count, CLASSES).loss;
        snprintf(option, sizeof option, "--precision %s", names[precision]);
        expect_number(loss_said(option), losses[precision], 0.00006, "%s", option);
        free(rows);
        an_model_destroy(model);
    }
    expect_number(loss_said(""), losses[0], 0.00006, "fp32 unless told otherwise");
    /* The reference path has no such copies: which path computes is visible too. */
    expect_number(loss_said("--precision bf16 --cpu-path reference"), losses[0], 0.00006,
                  "bf16 on the reference path");
    ck_assert(path_of(ctx) == AN_CPU_PATH_REFERENCE ||
              fabs(losses[2] - losses[0]) > 0.0005);
    an_context_destroy(ctx);
}
END_TEST

/* --- score_pack() ------------------------------------------------------------------ */

static void note_progress(uint64_t done, void *user)
{
    char *text = user;

    sprintf(text + strlen(text), " %u", (unsigned)done);
}

START_TEST(progress_is_told_after_every_64_pictures_and_at_the_end)
{
    scene s = open_scene(NULL);
    an_pack *pack = pack_of(s.ctx, "pack");
    double *rows = mean_rows(s.ctx, "pack", s.models, 2, 1);
    result wanted = result_of(rows, COUNT, CLASSES);
    char text[64] = "";
    scoring of;

    memset(&of, 0, sizeof of);
    of.models = s.models;
    of.model_count = 2;
    of.views = 1;
    of.progress = note_progress;
    of.user = text;
    expect_ok(score_pack(&of, pack));
    expect_text(text, " 64 70", "pictures done");
    expect_count(of.total.count, COUNT, "pictures");
    expect_number(of.total.top1, COUNT * wanted.top1, 1e-9, "top-1");
    expect_number(of.total.top5, COUNT * wanted.top5, 1e-9, "top-5");
    expect_number(of.total.loss, COUNT * wanted.loss, COUNT * 1e-5, "loss");
    of.progress = NULL;
    expect_ok(score_pack(&of, pack));
    expect_count(of.total.count, COUNT, "pictures, counted anew");
    of.views = 3;
    expect_refused(score_pack(&of, pack), AN_ERROR_ARGUMENT, NULL);
    free(rows);
    an_pack_destroy(pack);
    close_scene(&s);
}
END_TEST

Suite *evaluate_suite(void)
{
    Suite *suite = suite_create("evaluate");
    TCase *tc = tcase_create("evaluate");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, one_model_is_evaluated_by_its_own_probabilities);
    tcase_add_test(tc, of_several_models_the_mean_is_evaluated);
    tcase_add_test(tc, the_table_has_a_row_for_each_label_and_a_column_for_each_answer);
    tcase_add_test(tc, classes_without_names_are_numbers_in_the_table);
    tcase_add_test(tc, a_model_may_have_more_classes_than_the_pack);
    tcase_add_test(tc, a_pack_of_another_kind_than_the_model_is_refused);
    tcase_add_test(tc, scores_are_for_scripts_too);
    tcase_add_test(tc, evaluate_refuses_what_it_cannot_do);
    tcase_add_loop_test(tc, a_damaged_picture_ends_the_evaluation, 0, 2);
    tcase_add_test(tc, precision_and_path_reach_the_models);
    tcase_add_test(tc, progress_is_told_after_every_64_pictures_and_at_the_end);
    suite_add_tcase(suite, tc);
    return suite;
}
