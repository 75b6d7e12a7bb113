/*
 * programs_plot.c - plot: which columns of which files become which curves; filters:
 * every pixel of every kernel.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/chart.h"
#include "fixtures.h"

#define HEAD                                                                             \
    "epoch,iteration,train_loss,train_top1,held_out_loss,held_out_top1,held_out_top5,"   \
    "rate,seconds,waited\n"

/* Three files: two of one setting, of which one is longer, and a third; its second epoch
 * was not looked at. */
static void make_tables(void)
{
    text_write("a1.csv", "%s",
               HEAD "1,10,2.0,0.20,1.8,0.30,0.50,0.1,9,1\n"
                    "2,20,1.5,0.40,1.4,0.45,0.70,0.1,9,1\n"
                    "3,30,1.0,0.60,1.1,0.55,0.90,0.01,9,1\n");
    text_write("a2.csv", "%s",
               HEAD "1,10,2.2,0.10,2.4,0.20,0.40,0.1,9,1\n"
                    "2,20,1.9,0.30,1.6,0.35,0.60,0.1,9,1\n");
    text_write("b.csv", "%s",
               HEAD "1,10,2.1,0.15,2.0,0.25,0.45,0.2,9,1\n"
                    "2,20,1.7,0.35,,,,0.2,9,1\n"
                    "3,30,1.2,0.50,1.3,0.50,0.80,0.2,9,1\n"
                    "4,40,0.8,0.70,0.9,0.65,0.95,0.2,9,1\n");
}

static const double epochs[] = {1, 2, 3, 4};

static series curve(const char *label, const double *y, size_t count, size_t colour,
                    int dashed)
{
    const series s = {label, epochs, y, count, chart_colour(colour), dashed};

    return s;
}

static void expect_plot(const char *title, const chart_panel *panels, size_t count,
                        const char *options, const char *files)
{
    program_succeeds(NULL, "plot %s got.png %s", options, files);
    ck_assert_int_eq(chart_draw(inside("wanted.png"), title, panels, count), 0);
    expect_same_picture("got.png", "wanted.png");
}

#define FILES "one=a1.csv two=b.csv one=a2.csv"

/* The mean over the files of a label, of as many as have come so far. */
static const double loss_a[] = {2.1, 1.5, 1.1}, loss_b[] = {2.0, NAN, 1.3, 0.9},
                    train_a[] = {2.1, 1.7, 1.0}, train_b[] = {2.1, 1.7, 1.2, 0.8},
                    top_a[] = {0.25, 0.4, 0.55}, top_b[] = {0.25, NAN, 0.5, 0.65},
                    train_top_a[] = {0.15, 0.35, 0.6},
                    train_top_b[] = {0.15, 0.35, 0.5, 0.7};

START_TEST(losses_and_accuracies_are_drawn_by_label)
{
    const series losses[] = {curve("one", loss_a, 3, 0, 0), curve("two", loss_b, 4, 1, 0),
                             curve(NULL, train_a, 3, 0, 1),
                             curve(NULL, train_b, 4, 1, 1)},
                 tops[] = {curve("one", top_a, 3, 0, 0), curve("two", top_b, 4, 1, 0),
                           curve(NULL, train_top_a, 3, 0, 1),
                           curve(NULL, train_top_b, 4, 1, 1)};
    const chart_panel panels[] = {
        {"loss: held out, and dashed in training", "epoch", 0, 0, losses, 4},
        {"top-1 accuracy: held out, and dashed in training", "epoch", 1, 0, tops, 4}};

    make_tables();
    expect_plot("", panels, 2, "", FILES);
    expect_plot("Two settings", panels, 2, "--title 'Two settings'", FILES);
    expect_plot("", panels + 1, 1, "--columns top1", FILES);
    expect_plot("", panels, 2, "", "one=a1.csv one=a2.csv two=b.csv two=b.csv");
}
END_TEST

START_TEST(errors_are_what_accuracies_leave_of_one)
{
    static const double five_a[] = {0.55, 0.35, 0.1}, five_b[] = {0.55, NAN, 0.2, 0.05};
    double held[2][4], train[2][4];
    const series tops[] = {curve("one", held[0], 3, 0, 0), curve("two", held[1], 4, 1, 0),
                           curve(NULL, train[0], 3, 0, 1),
                           curve(NULL, train[1], 4, 1, 1)},
                 losses[] = {curve("one", train_a, 3, 0, 0),
                             curve("two", train_b, 4, 1, 0)},
                 both[] = {curve("one", train[0], 3, 0, 0),
                           curve("two", train[1], 4, 1, 0)},
                 only[] = {curve("one", held[0], 3, 0, 0),
                           curve("two", held[1], 4, 1, 0)},
                 fives[] = {curve("one", five_a, 3, 0, 0), curve("two", five_b, 4, 1, 0)};
    const chart_panel five = {"held_out_top5", "epoch", 1, 0, fives, 2};
    const chart_panel panels[] = {
        {"top-1 error: held out, and dashed in training", "epoch", 1, 0, tops, 4},
        {"training loss", "epoch", 0, 0, losses, 2},
        {"training error", "epoch", 1, 0, both, 2},
        {"held-out error", "epoch", 1, 0, only, 2}};
    size_t i;

    for (i = 0; i < 4; i++) {
        if (i < 3) held[0][i] = 1 - top_a[i];
        if (i < 3) train[0][i] = 1 - train_top_a[i];
        held[1][i] = 1 - top_b[i];
        train[1][i] = 1 - train_top_b[i];
    }
    make_tables();
    expect_plot("", &five, 1, "--errors --columns held_out_top5", FILES);
    expect_plot("", panels, 4,
                "--errors --columns top1,train_loss,train_top1,held_out_top1", FILES);
}
END_TEST

START_TEST(columns_are_panels_in_their_order)
{
    static const double top5_a[] = {0.45, 0.65, 0.9}, top5_b[] = {0.45, NAN, 0.8, 0.95},
                        rate_a[] = {0.1, 0.1, 0.01}, rate_b[] = {0.2, 0.2, 0.2, 0.2};
    const series rates[] = {curve("one", rate_a, 3, 0, 0), curve("two", rate_b, 4, 1, 0)},
                 top5[] = {curve("one", top5_a, 3, 0, 0), curve("two", top5_b, 4, 1, 0)},
                 top1[] = {curve("one", train_top_a, 3, 0, 0),
                           curve("two", train_top_b, 4, 1, 0)},
                 held[] = {curve("one", top_a, 3, 0, 0), curve("two", top_b, 4, 1, 0)};
    const chart_panel panels[] = {{"rate", "epoch", 0, 0, rates, 2},
                                  {"held_out_top5", "epoch", 1, 0, top5, 2},
                                  {"training accuracy", "epoch", 1, 0, top1, 2},
                                  {"held-out accuracy", "epoch", 1, 0, held, 2}};

    make_tables();
    expect_plot("", panels, 4, "--columns rate,held_out_top5,train_top1,held_out_top1",
                FILES);
}
END_TEST

/* A curve for each file in its label's colour; the label once. */
START_TEST(each_file_has_a_curve_on_request)
{
    static const double a1[] = {1.8, 1.4, 1.1}, a2[] = {2.4, 1.6},
                        train_a1[] = {2.0, 1.5, 1.0}, train_a2[] = {2.2, 1.9};
    const series losses[] = {
        curve("one", a1, 3, 0, 0),     curve("two", loss_b, 4, 1, 0),
        curve(NULL, a2, 2, 0, 0),      curve(NULL, train_a1, 3, 0, 1),
        curve(NULL, train_b, 4, 1, 1), curve(NULL, train_a2, 2, 0, 1)};
    const chart_panel panel = {
        "loss: held out, and dashed in training", "epoch", 0, 0, losses, 6};

    make_tables();
    expect_plot("", &panel, 1, "--each --columns loss", FILES);
}
END_TEST

/* From 0 to the last epoch of all files, in every panel. */
START_TEST(a_mark_is_a_dashed_line_at_its_height)
{
    static const double ends[] = {0, 4}, height[] = {0.25, 0.25};
    const series mark = {NULL, ends, height, 2, 0x808080, 1};
    const series losses[] = {curve("one", loss_a, 3, 0, 0), curve("two", loss_b, 4, 1, 0),
                             mark},
                 tops[] = {curve("one", train_top_a, 3, 0, 0),
                           curve("two", train_top_b, 4, 1, 0), mark};
    const chart_panel panels[] = {{"held_out_loss", "epoch", 0, 0, losses, 3},
                                  {"training accuracy", "epoch", 1, 0, tops, 3}};

    make_tables();
    expect_plot("", panels, 2, "--mark 0.25 --columns held_out_loss,train_top1", FILES);
}
END_TEST

START_TEST(plot_refuses_what_it_cannot_draw)
{
    char files[65 * 9 + 1] = "";
    int i;

    make_tables();
    for (i = 0; i < 64; i++) strcat(files, "x=b.csv ");
    program_succeeds(NULL, "plot --columns loss many.png %s", files);
    program_fails(2, "more than 64 files", "plot out.png %s x=b.csv", files);
    program_fails(2, "a picture's name and a file are wanted", "plot out.png");
    program_fails(2, "a1.csv: must be LABEL=FILE.csv", "plot out.png a1.csv");
    program_fails(2, "none.csv: has no rows", "plot out.png x=none.csv");
    program_fails(2, "--columns: there is no lost",
                  "plot --columns lost out.png x=b.csv");
    program_fails(2, "--columns: more than 4",
                  "plot --columns loss,top1,rate,seconds,waited out.png x=b.csv");
    program_fails(1, "none/out.png: No such file or directory",
                  "plot none/out.png x=b.csv");
    rename(inside("b.csv"), inside("b=.csv")); /* the first = ends the label */
    program_succeeds(NULL, "plot --columns loss out.png x=b=.csv");
}
END_TEST

/* --- filters ----------------------------------------------------------------------- */

typedef struct kernels {
    float *values; /* [count][3][size][size] */
    uint32_t count, size;
} kernels;

static kernels kernels_of(const an_model *model)
{
    an_parameter_info p;
    kernels k;

    an_parameter_info_init(&p, sizeof p);
    expect_ok(an_parameter_describe(model, 0, &p));
    k.values = malloc(p.count * sizeof *k.values);
    expect_ok(an_parameter_get(model, 0, k.values, p.count));
    k.count = p.shape[0];
    k.size = p.shape[2];
    return k;
}

static float weight_of(const kernels *k, uint32_t kernel, uint32_t map, uint32_t at)
{
    return k->values[(kernel * 3 + map) * k->size * k->size + at];
}

/* From the kernel's least weight, 0, to its largest, 255. */
static double level_of(const kernels *k, uint32_t kernel, uint32_t map, uint32_t at)
{
    float low = INFINITY, high = -INFINITY;
    uint32_t m, i;

    for (m = 0; m < 3; m++)
        for (i = 0; i < k->size * k->size; i++) {
            low = fminf(low, weight_of(k, kernel, m, i));
            high = fmaxf(high, weight_of(k, kernel, m, i));
        }
    if (low == high) return 128;
    return 255 * (double)(weight_of(k, kernel, map, at) - low) / (double)(high - low);
}

/* `columns` kernels in a row, each weight `scale` pixels wide, two between; the lower
 * half of the maps `gap` lower. The pixels of a weight are alike; its level is rounded
 * down. */
static void expect_kernels(const char *name, const kernels *k, int bgr, uint32_t scale,
                           uint32_t columns, uint32_t gap)
{
    picture p = picture_of(name);
    uint32_t step = k->size * scale + 2, rows = (k->count + columns - 1) / columns;
    uint32_t *wanted = malloc(sizeof *wanted * p.width * p.height), i, x, y, c;

    expect_count(p.width, columns * step + 2, "%s", name);
    expect_count(p.height, rows * step + 2 + gap, "%s", name);
    for (i = 0; i < p.width * p.height; i++) wanted[i] = 0xffffff;
    for (i = 0; i < k->count; i++)
        for (y = 0; y < k->size * scale; y++)
            for (x = 0; x < k->size * scale; x++) {
                uint32_t at = y / scale * k->size + x / scale, colour = 0;
                uint32_t to_x = 2 + i % columns * step + x,
                         to_y =
                             2 + i / columns * step + y + (i >= k->count / 2 ? gap : 0);

                for (c = 0; c < 3; c++)
                    colour = colour << 8 | (uint32_t)level_of(k, i, bgr ? 2 - c : c, at);
                wanted[to_y * p.width + to_x] = colour;
            }
    for (y = 0; y < p.height; y++)
        for (x = 0; x < p.width; x++)
            for (c = 0; c < 24; c += 8) {
                int got = (int)(pixel_at(&p, x, y) >> c & 255),
                    want = (int)(wanted[y * p.width + x] >> c & 255);

                if (abs(got - want) > 1) /* a level on the brink of the next */
                    ck_abort_msg("%s at (%u, %u): got %06x, wanted %06x", name, x, y,
                                 pixel_at(&p, x, y), wanted[y * p.width + x]);
            }
    free(wanted);
    picture_free(&p);
}

START_TEST(kernels_are_drawn_weight_by_weight)
{
    an_context *ctx = context_make();
    an_model_config config = tiny_config(3, 1);
    an_preprocessing p;
    an_model *model;
    char *out;
    kernels k;

    config.width = 0.25f;
    model = model_make(ctx, "m", &config, TINY, NULL);
    k = kernels_of(model);
    memset(k.values + 3 * 3 * 25, 0,
           3 * 25 * sizeof *k.values); /* the fourth: one grey */
    expect_ok(an_parameter_set(model, 0, k.values, (size_t)k.count * 75));
    expect_ok(an_model_save(model, inside("m")));
    program_succeeds(&out, "filters m usual.png");
    expect_text(out, "8 kernels of 5 x 5: usual.png\n", "said");
    free(out);
    expect_kernels("usual.png", &k, 0, 4, 16, 0);
    program_succeeds(NULL, "filters --scale 1 --columns 3 m small.png");
    expect_kernels("small.png", &k, 0, 1, 3, 0);
    program_succeeds(NULL, "filters --scale 7 --columns 4 m large.png");
    expect_kernels("large.png", &k, 0, 7, 4, 0); /* no halves that were apart: no gap */
    program_succeeds(NULL, "filters --scale 2 --columns 7 m last.png");
    expect_kernels("last.png", &k, 0, 2, 7, 0); /* the last row has one */
    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_get_preprocessing(model, &p));
    p.bgr = 1; /* the first map is blue */
    expect_ok(an_model_set_preprocessing(model, &p));
    expect_ok(an_model_save(model, inside("bgr")));
    program_succeeds(NULL, "filters bgr bgr.png");
    expect_kernels("bgr.png", &k, 1, 4, 16, 0);
    free(k.values);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* Of all kernels of a half: the mean share of the squares that is no grey. */
static double colour_of(const kernels *k, uint32_t first, uint32_t count)
{
    double sum = 0;
    uint32_t i, at, c;

    for (i = first; i < first + count; i++) {
        double all = 0, apart = 0;

        for (at = 0; at < k->size * k->size; at++) {
            double grey = 0;

            for (c = 0; c < 3; c++) grey += (double)weight_of(k, i, c, at) / 3;
            for (c = 0; c < 3; c++) {
                double v = (double)weight_of(k, i, c, at);

                all += v * v;
                apart += (v - grey) * (v - grey);
            }
        }
        sum += apart / all;
    }
    return sum / count;
}

/* A network in two halves: they stand apart, where rows can be, and their colours are
 * told. */
START_TEST(halves_of_the_kernels_stand_apart)
{
    an_context *ctx = context_make();
    an_model_config config = tiny_config_with_fc7(3, 1);
    an_model *model;
    char *out;
    kernels k;
    uint32_t i, at;

    config.arch = AN_ARCH_PAPER;
    config.width = 0.13f; /* 12 kernels */
    model = model_make(ctx, "m", &config, 64, NULL);
    k = kernels_of(model);
    expect_count(k.count, 12, "kernels");
    for (i = 0; i < 4; i++) /* the first four nearly grey */
        for (at = 0; at < 242; at++)
            k.values[i * 363 + 121 + at] = k.values[i * 363 + at % 121] * 1.1f;
    expect_ok(an_parameter_set(model, 0, k.values, 12 * 363));
    expect_ok(an_model_save(model, inside("m")));
    program_succeeds(&out, "filters --columns 3 --scale 2 m three.png");
    expect_line(out, "12 kernels of 11 x 11: three.png");
    expect_line(out,
                "colour in the kernels of tower 0: %.0f %%, of tower 1: %.0f %% of their "
                "energy",
                100 * colour_of(&k, 0, 6), 100 * colour_of(&k, 6, 6));
    ck_assert(colour_of(&k, 0, 6) < colour_of(&k, 6, 6) - 0.1);
    expect_count(lines_of(out), 2, "lines");
    free(out);
    expect_kernels("three.png", &k, 0, 2, 3, 8);
    program_succeeds(NULL, "filters --columns 4 --scale 1 m four.png");
    expect_kernels("four.png", &k, 0, 1, 4, 0); /* a row has kernels of both */
    free(k.values);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(filters_refuses_what_it_cannot_do)
{
    an_context *ctx = context_make();
    an_model_config config = tiny_config(3, 1);

    an_model_destroy(model_make(ctx, "m", &config, TINY, NULL));
    program_fails(2, "a model and a picture's name are wanted", "filters m");
    program_fails(2, "a model and a picture's name are wanted", "filters m a.png b");
    program_fails(1, "none: ", "filters none out.png");
    program_fails(1, "none/out.png: No such file or directory", "filters m none/out.png");
    an_context_destroy(ctx);
}
END_TEST

Suite *plot_suite(void)
{
    Suite *suite = suite_create("plot");
    TCase *tc = tcase_create("plot"), *filters = tcase_create("filters");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, losses_and_accuracies_are_drawn_by_label);
    tcase_add_test(tc, errors_are_what_accuracies_leave_of_one);
    tcase_add_test(tc, columns_are_panels_in_their_order);
    tcase_add_test(tc, each_file_has_a_curve_on_request);
    tcase_add_test(tc, a_mark_is_a_dashed_line_at_its_height);
    tcase_add_test(tc, plot_refuses_what_it_cannot_draw);
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(filters, programs_setup, programs_teardown);
    tcase_add_test(filters, kernels_are_drawn_weight_by_weight);
    tcase_add_test(filters, halves_of_the_kernels_stand_apart);
    tcase_add_test(filters, filters_refuses_what_it_cannot_do);
    suite_add_tcase(suite, filters);
    return suite;
}
