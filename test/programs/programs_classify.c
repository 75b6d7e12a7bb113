/*
 * programs_classify.c - classify: the classes and shares that it prints, and the sheet of
 * pictures and bars, beside the same from the library's probabilities.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/canvas.h"
#include "expect.h"
#include "fixtures.h"

enum { CLASSES = 7, SIDE = TINY + 6, MOST = 8 };

static const char *const class_names[CLASSES] = {"ant", "bee", "a cow, large", "dog",
                                                 "eel", "fox", "gnu"};

/* A picture's classes, best first. */
typedef struct answer {
    uint32_t order[CLASSES];
    float share[CLASSES]; /* [of the class] */
} answer;

static answer answer_of(an_model *model, const char *name, uint32_t views)
{
    picture p = picture_of(name);
    an_image image = image_of(p.pixels, p.width, p.height);
    answer a;
    uint32_t i, k;

    expect_ok(an_infer_views(model, &image, 1, views, a.share, ENOUGH));
    for (i = 0; i < CLASSES; i++) {
        uint32_t better = 0;

        for (k = 0; k < CLASSES; k++)
            better += a.share[k] > a.share[i] || (a.share[k] == a.share[i] && k < i);
        a.order[better] = i;
    }
    picture_free(&p);
    return a;
}

static an_model *make_scene(an_context *ctx, const char *const *names, uint32_t pictures)
{
    an_model_config config = tiny_config(CLASSES, 5);
    uint32_t i;
    char name[32];

    folder_make("in");
    for (i = 0; i < pictures; i++) {
        snprintf(name, sizeof name, "in/%u.png", i);
        png_waves(name, 30 + 7 * i, 40, 60 + i);
    }
    return model_make(ctx, "m", &config, SIDE, names);
}

/* "NAME  (W x H, T ms)" at *at, behind which it moves; the time. */
static double skip_heading(const char **at, const char *name)
{
    picture p = picture_of(name);
    char begin[128];
    double milliseconds = -1;
    int length = 0;

    snprintf(begin, sizeof begin, "%s  (%u x %u, ", name, p.width, p.height);
    ck_assert_msg(strstr(*at, begin) == *at, "wanted \"%s\", got \"%.80s\"", begin, *at);
    *at += strlen(begin);
    ck_assert_msg(sscanf(*at, "%lf ms)%n", &milliseconds, &length) == 1 && length > 0 &&
                      (*at)[length] == '\n' && milliseconds >= 0,
                  "%s: got \"%.40s\"", name, *at);
    *at += length + 1;
    picture_free(&p);
    return milliseconds;
}

/* The lines of one picture: share, a bar of 30 places, name. */
static void skip_answers(const char **at, const answer *a, uint32_t top,
                         const char *const *names)
{
    uint32_t i;

    for (i = 0; i < top; i++) {
        double share = (double)a->share[a->order[i]];
        int filled = (int)ceil(30 * share - 0.5), length;
        char line[256], number[16];

        snprintf(number, sizeof number, "class %u", a->order[i]);
        length = snprintf(line, sizeof line, "  %5.1f %%  %.*s%.*s  %s\n", 100 * share,
                          filled, "##############################", 30 - filled,
                          "..............................",
                          names != NULL ? names[a->order[i]] : number);
        ck_assert_msg(strncmp(*at, line, (size_t)length) == 0,
                      "answer %u: wanted \"%s\", got \"%.*s\"", i, line, length, *at);
        *at += length;
    }
}

static void expect_classified(an_model *model, const char *options, uint32_t top,
                              uint32_t views, const char *const *names)
{
    double sum = 0, mean = -1;
    const char *at;
    char *out;
    uint32_t i;

    program_succeeds(&out, "classify %s m in/0.png in/1.png in/2.png", options);
    at = out;
    for (i = 0; i < 3; i++) {
        char name[32];
        answer a;

        snprintf(name, sizeof name, "in/%u.png", i);
        a = answer_of(model, name, views);
        sum += skip_heading(&at, name);
        skip_answers(&at, &a, top, names);
    }
    ck_assert_msg(sscanf(at, "3 pictures, %lf ms each\n", &mean) == 1, "got \"%s\"", at);
    expect_count(lines_of(at), 1, "last lines");
    expect_number(mean, sum / 3, 0.1001, "the mean of three rounded times");
    free(out);
}

START_TEST(the_best_classes_are_printed_with_their_shares)
{
    an_context *ctx = context_make();
    an_model *model = make_scene(ctx, class_names, 3);

    expect_classified(model, "", 5, 1, class_names);
    expect_classified(model, "--top 1", 1, 1, class_names);
    expect_classified(model, "--top 3 --views 10", 3, 10, class_names);
    expect_classified(model, "--top 20 --views 1", CLASSES, 1, class_names); /* all */
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(classes_without_names_are_called_by_number)
{
    an_context *ctx = context_make();
    an_model *model = make_scene(ctx, NULL, 3);

    expect_classified(model, "", 5, 1, NULL);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* Two classes that are the same to the model: the first of them is named first, and alone
 * where there is room for one. */
START_TEST(of_two_equal_shares_the_first_class_comes_first)
{
    an_context *ctx = context_make();
    an_model *model = make_scene(ctx, class_names, 3);
    an_parameter_info p;
    an_model_info info;
    uint32_t index, top;

    an_model_info_init(&info, sizeof info);
    an_parameter_info_init(&p, sizeof p);
    expect_ok(an_model_describe(model, &info));
    for (index = info.parameters - 2; index < info.parameters; index++) {
        float *values;
        size_t row;

        expect_ok(an_parameter_describe(model, index, &p));
        row = (size_t)(p.count / CLASSES);
        values = malloc((size_t)p.count * sizeof *values);
        expect_ok(an_parameter_get(model, index, values, (size_t)p.count));
        memcpy(values + 5 * row, values + 2 * row, row * sizeof *values);
        expect_ok(an_parameter_set(model, index, values, (size_t)p.count));
        free(values);
    }
    expect_ok(an_model_save(model, inside("m")));
    for (top = 1; top <= CLASSES; top++) {
        char option[16];

        snprintf(option, sizeof option, "--top %u", top);
        expect_classified(model, option, top, 1, class_names);
    }
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* Weights of dense layers in bfloat16, but not on the reference path. */
START_TEST(precision_and_path_reach_the_model)
{
    an_context *ctx = context_make();
    an_model *model = make_scene(ctx, class_names, 3), *coarse;
    an_load_config load;
    double most = 0;
    uint32_t i, c;

    weights_scale(model, 3);
    expect_ok(an_model_save(model, inside("m")));
    an_load_config_init(&load, sizeof load);
    load.precision = AN_PRECISION_BF16;
    expect_ok(an_model_load(&coarse, ctx, inside("m"), &load));
    for (i = 0; i < 3; i++) {
        const char *name = i == 0 ? "in/0.png" : i == 1 ? "in/1.png" : "in/2.png";
        answer exact = answer_of(model, name, 1), rounded = answer_of(coarse, name, 1);

        for (c = 0; c < CLASSES; c++)
            most = fmax(most, fabs((double)exact.share[c] - (double)rounded.share[c]));
    }
    /* Large enough to be seen in a tenth of a percent. */
    ck_assert_msg(path_of(ctx) == AN_CPU_PATH_REFERENCE || most > 0.001,
                  "bfloat16: shares differ by %g", most);
    expect_classified(model, "", 5, 1, class_names);
    expect_classified(coarse, "--precision bf16", 5, 1, class_names);
    expect_classified(model, "--precision bf16 --cpu-path reference", 5, 1, class_names);
    an_model_destroy(coarse);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(pictures_that_cannot_be_read_are_named_and_the_rest_is_classified)
{
    an_context *ctx = context_make();
    an_model *model = make_scene(ctx, class_names, 2);
    answer a = answer_of(model, "in/1.png", 1);
    const char *at;
    said s;

    text_write("in/text.png", "text");
    s = run_program("classify m in/none.png in/1.png in/text.png --sheet sheet.png");
    expect_count(s.code, 1, "the exit status");
    expect_line(s.err, "in/none.png: skipped: No such file or directory");
    ck_assert_msg(strstr(s.err, "in/text.png: skipped: ") != NULL, "got \"%s\"", s.err);
    at = s.out;
    skip_heading(&at, "in/1.png");
    skip_answers(&at, &a, 5, class_names);
    expect_text(at, "sheet.png\n", "behind the only picture: no mean of several");
    said_free(&s);
    program_fails(1, "in/none.png", "classify m in/none.png --sheet none.png");
    ck_assert_ptr_null(fopen(inside("none.png"), "r"));
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* --- for scripts ------------------------------------------------------------------- */

static char *expected_csv(an_model *model, const char *const *files, uint32_t count,
                          uint32_t top)
{
    char *text = malloc(65536), *at = text;
    uint32_t i, k;

    at += sprintf(at, "path,rank,index,class,probability\n");
    for (i = 0; i < count; i++) {
        answer a = answer_of(model, files[i], 1);

        for (k = 0; k < top; k++)
            at += sprintf(at, "\"%s\",%u,%u,\"%s\",%.9g\n", files[i], k + 1, a.order[k],
                          class_names[a.order[k]], (double)a.share[a.order[k]]);
    }
    return text;
}

START_TEST(csv_has_a_row_for_each_class_of_each_picture)
{
    static const char *const files[] = {"in/0.png", "in/1.png"};
    an_context *ctx = context_make();
    an_model *model = make_scene(ctx, class_names, 2);
    char *wanted = expected_csv(model, files, 2, 3), *out;

    program_succeeds(&out, "classify --format csv --top 3 m in/0.png in/1.png");
    expect_text(out, wanted, "the table");
    free(out);
    free(wanted);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(json_has_a_line_for_each_picture_and_for_what_is_none)
{
    an_context *ctx = context_make();
    an_model *model = make_scene(ctx, class_names, 1);
    answer a = answer_of(model, "in/0.png", 1);
    said s;

    text_write("in/a \"b\"\\\xff\n.png", "text");
    s = run_program("classify --format json --top 1 m in/0.png in/*b*");
    expect_count(s.code, 1, "the status");
    expect_line(s.out,
                "{\"path\": \"in/0.png\", \"width\": 30, \"height\": 40, \"classes\": "
                "[{\"class\": \"%s\", \"index\": %u, \"probability\": %.9g}]}",
                class_names[a.order[0]], a.order[0], (double)a.share[a.order[0]]);
    expect_line(s.out, "%s",
                "{\"path\": \"in/a \\\"b\\\"\\\\\\ufffd\\u000a.png\", \"error\": "
                "\"no picture: neither JPEG, PNG, GIF nor BMP\"}");
    expect_count(lines_of(s.out), 2, "lines");
    said_free(&s);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* A folder, names from standard input on lines or between zeros: the same answers as of
 * the files themselves. */
START_TEST(pictures_may_be_a_folders_or_named_on_standard_input)
{
    static const char *const files[] = {"in/0.png", "in/1.png", "in/2.png"};
    an_context *ctx = context_make();
    an_model *model = make_scene(ctx, class_names, 3);
    char *wanted = expected_csv(model, files, 3, 1);
    said s;

    text_write("in/notes.txt", "text");
    s = run_program("classify --format csv --top 1 m in");
    expect_count(s.code, 0, "a folder: the status");
    expect_text(s.out, wanted, "a folder");
    expect_line(s.err, "left out: files of other types (1): in/notes.txt");
    said_free(&s);
    text_write("lines", "in/0.png\n\nin/1.png\nin/2.png");
    s = run_program("classify --format csv --top 1 m - <lines");
    expect_text(s.out, wanted, "lines");
    said_free(&s);
    ck_assert_int_eq(rename(inside("in/0.png"), inside("in/0\n0.png")), 0);
    bytes_write("zeros", "in/0\n0.png\0in/1.png\0in/2.png", 29);
    s = run_program("classify --format json --top 1 -0 m - <zeros");
    expect_count(s.code, 0, "zeros: the status, \"%s\"", s.err);
    expect_count(lines_of(s.out), 3, "zeros");
    said_free(&s);
    s = run_program("classify m - </dev/null");
    expect_count(s.code, 1, "no names at all");
    said_free(&s);
    free(wanted);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* One that the library refuses for its sides does not end the run. */
START_TEST(an_odd_picture_does_not_end_the_run)
{
    enum { FAR = 33000 };
    an_context *ctx = context_make();
    an_model *model = make_scene(ctx, class_names, 2);
    uint8_t *line = calloc(3, FAR);
    said s;

    png_write("in/far.png", line, FAR, 1, 3);
    s = run_program("classify m in/0.png in/far.png in/1.png");
    expect_count(s.code, 1, "the status");
    ck_assert_ptr_nonnull(strstr(s.out, "in/0.png"));
    ck_assert_ptr_nonnull(strstr(s.out, "in/1.png"));
    ck_assert_ptr_nonnull(strstr(s.err, "in/far.png: skipped: "));
    said_free(&s);
    free(line);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(classify_refuses_what_it_cannot_do)
{
    an_context *ctx = context_make();

    an_model_destroy(make_scene(ctx, class_names, 1));
    program_fails(2, "a model and pictures are wanted", "classify m");
    program_fails(2, "--format xml: must be text, csv or json",
                  "classify --format xml m in/0.png");
    program_fails(2, "--views 2: must be 1 or 10", "classify --views 2 m in/0.png");
    program_fails(1, "none", "classify none in/0.png");
    program_fails(1, "m: ", "classify --device other m in/0.png");
    program_fails(1, "--sheet none/s.png: the folder none: No such file",
                  "classify --sheet none/s.png m in/0.png");
    an_context_destroy(ctx);
}
END_TEST

/* --- the sheet --------------------------------------------------------------------- */

/* Four in a row; each a picture of 192 pixels, its file's name, and a bar of 16 pixels
 * for each class, 20 apart, with the class's name; 14 pixels between all. */
static void draw_expected(an_model *model, uint32_t count, uint32_t top, uint32_t views,
                          const char *file)
{
    enum { PICTURE = 192, GAP = 14 };
    uint32_t columns = count < 4 ? count : 4, rows = (count + 3) / 4, i, k;
    double high = PICTURE + 24 + 20.0 * top + GAP;
    canvas *page = canvas_make(GAP + columns * (PICTURE + GAP), GAP + rows * high);

    for (i = 0; i < count; i++) {
        double x = GAP + i % 4 * (PICTURE + GAP), y = GAP + i / 4 * high;
        char name[32];
        uint8_t *fitted = malloc(3 * PICTURE * PICTURE);
        an_image image;
        picture p;
        answer a;

        snprintf(name, sizeof name, "in/%u.png", i);
        a = answer_of(model, name, views);
        p = picture_of(name);
        image = image_of(p.pixels, p.width, p.height);
        expect_ok(an_image_fit(&image, PICTURE, fitted, ENOUGH));
        canvas_picture(page, x, y, PICTURE, PICTURE, fitted, PICTURE, PICTURE);
        canvas_text(page, x + 96, y + PICTURE + 16, 12, CANVAS_CENTRE, PICTURE, 0x606060,
                    name + 3);
        for (k = 0; k < top && k < CLASSES; k++) {
            double bar = y + PICTURE + 24 + 20 * k, share = (double)a.share[a.order[k]];

            canvas_fill(page, x, bar, PICTURE, 16, 0xf0f0f0);
            canvas_fill(page, x, bar, PICTURE * share, 16, k == 0 ? 0xe69f00 : 0x9fc5e8);
            canvas_text(page, x + 4, bar + 12, 12, CANVAS_LEFT, PICTURE - 8, 0x202020,
                        class_names[a.order[k]]);
        }
        picture_free(&p);
        free(fitted);
    }
    ck_assert_int_eq(canvas_write_png(page, inside(file)), 0);
    canvas_free(page);
}

START_TEST(the_sheet_has_each_picture_over_its_bars)
{
    an_context *ctx = context_make();
    an_model *model = make_scene(ctx, class_names, 6);
    char *out;

    program_succeeds(&out,
                     "classify --sheet got.png m in/0.png in/1.png in/2.png in/3.png "
                     "in/4.png in/5.png");
    expect_line(out, "got.png");
    free(out);
    draw_expected(model, 6, 5, 1, "wanted.png");
    expect_same_picture("got.png", "wanted.png");
    program_succeeds(NULL, "classify --top 2 --views 10 --sheet four.png m in/0.png "
                           "in/1.png in/2.png in/3.png");
    draw_expected(model, 4, 2, 10, "wanted.png");
    expect_same_picture("four.png", "wanted.png");
    program_succeeds(NULL, "classify --top 9 --sheet one.png m in/0.png");
    draw_expected(model, 1, 9, 1, "wanted.png");
    expect_same_picture("one.png", "wanted.png");
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

Suite *classify_suite(void)
{
    Suite *suite = suite_create("classify");
    TCase *tc = tcase_create("classify");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, the_best_classes_are_printed_with_their_shares);
    tcase_add_test(tc, classes_without_names_are_called_by_number);
    tcase_add_test(tc, of_two_equal_shares_the_first_class_comes_first);
    tcase_add_test(tc, precision_and_path_reach_the_model);
    tcase_add_test(tc, pictures_that_cannot_be_read_are_named_and_the_rest_is_classified);
    tcase_add_test(tc, csv_has_a_row_for_each_class_of_each_picture);
    tcase_add_test(tc, json_has_a_line_for_each_picture_and_for_what_is_none);
    tcase_add_test(tc, pictures_may_be_a_folders_or_named_on_standard_input);
    tcase_add_test(tc, an_odd_picture_does_not_end_the_run);
    tcase_add_test(tc, classify_refuses_what_it_cannot_do);
    tcase_add_test(tc, the_sheet_has_each_picture_over_its_bars);
    suite_add_tcase(suite, tc);
    return suite;
}
