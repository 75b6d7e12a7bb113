/*
 * programs_chart.c - the tables that programs write and read, and their pictures: where
 * the curves, the grid and the legend are.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/canvas.h"
#include "common/chart.h"
#include "common/history.h"
#include "common/picture.h"
#include "tiny.h"

/* --- tables ------------------------------------------------------------------------ */

START_TEST(a_table_has_a_line_for_each_epoch)
{
    static const epoch_row rows[] = {
        {1, 5, 2.3456789, 0.25, 2.5, 0.125, 0.75, 0.01, 12.345, 0.1239},
        {2, 10, 1, 1, NAN, NAN, NAN, 1.5e-7, 0.004, 0}};
    history h = {NULL, 0}, other = {NULL, 0};
    double *column;
    char *text;
    size_t i;

    for (i = 0; i < 2; i++) history_add(&h, &rows[i]);
    expect_count(h.count, 2, "rows");
    ck_assert_int_eq(history_write_csv(&h, tiny_path("table.csv")), 0);
    text = file_read("table.csv", NULL);
    expect_text(text,
                "epoch,iteration,train_loss,train_top1,held_out_loss,held_out_top1,"
                "held_out_top5,rate,seconds,waited\n"
                "1,5,2.345679,0.250000,2.500000,0.125000,0.750000,0.01,12.35,0.124\n"
                "2,10,1.000000,1.000000,,,,1.5e-07,0.00,0.000\n",
                "the table");
    free(text);
    ck_assert(!tiny_exists("table.csv.new"));
    history_read(&other, tiny_path("table.csv"), 2);
    expect_count(other.count, 2, "rows");
    ck_assert_int_eq(history_write_csv(&other, tiny_path("again.csv")), 0);
    expect_same_files("again.csv", "table.csv", "a table read and written");
    column = history_column(&other, "held_out_top5");
    expect_number(column[0], 0.75, 0, "held_out_top5");
    ck_assert(isnan(column[1]));
    free(column);
    ck_assert_ptr_null(history_column(&other, "top5"));
    ck_assert_ptr_null(history_column(&other, "rat"));
    ck_assert_int_ne(history_write_csv(&h, tiny_path("no/table.csv")), 0);
    free(h.rows);
    free(other.rows);
}
END_TEST

/* What is no row is passed over: names, a line that was cut, an empty one, another
 * program's. */
START_TEST(lines_that_are_no_rows_are_passed_over)
{
    static const char text[] = "epoch,iteration,train_loss,train_top1,held_out_loss,"
                               "held_out_top1,held_out_top5,rate,seconds,waited\n"
                               "1,5,2,0.5,,,,0.01,1.00,0.500\n"
                               "\n"
                               "words,and,more,words,1,2,3,4,5,6\n"
                               "2,10,1,0.75,1.5,0.5,1,0.01,2.00,0.250\n"
                               "3,15,1,0.7";
    history h = {NULL, 0};

    tiny_write("table.csv", text, sizeof text - 1);
    history_read(&h, tiny_path("nothing.csv"), 9);
    expect_count(h.count, 0, "rows of no file");
    history_read(&h, tiny_path("table.csv"), 9);
    expect_count(h.count, 2, "rows");
    expect_number(h.rows[0].waited, 0.5, 0, "row 1");
    ck_assert_double_nan(h.rows[0].held_out_loss);
    ck_assert_double_nan(h.rows[0].held_out_top5);
    expect_number(h.rows[1].held_out_top5, 1, 0, "row 2");
    expect_number(h.rows[1].waited, 0.25, 0, "row 2");
    free(h.rows);
}
END_TEST

/* --- pictures ---------------------------------------------------------------------- */

enum { DARK = 0x303030, PANELS = 2 };

/* A panel's axes in a picture. */
typedef struct axes {
    int left, right, top, bottom;
} axes;

static int is_colour(const picture *p, int x, int y, uint32_t colour)
{
    const uint8_t *pixel = p->pixels + 3 * ((size_t)y * p->width + (size_t)x);
    int i, far = 0;

    for (i = 0; i < 3; i++)
        far += abs(pixel[i] - (int)(colour >> (16 - 8 * i) & 255)) > 40;
    return far == 0;
}

/* Whether a curve of this colour goes by: its middle may lie between pixels. */
static int is_near(const picture *p, double x, double y, uint32_t colour)
{
    int i, j;

    for (i = -2; i <= 2; i++)
        for (j = -2; j <= 2; j++)
            if (is_colour(p, (int)x + i, (int)y + j, colour)) return 1;
    return 0;
}

static size_t pixels_of(const picture *p, uint32_t colour)
{
    size_t count = 0;
    uint32_t x, y;

    for (y = 0; y < p->height; y++)
        for (x = 0; x < p->width; x++) count += is_colour(p, (int)x, (int)y, colour) != 0;
    return count;
}

/* How many dark pixels are above a place, from which on only short gaps are: curves cross
 * axes.
 * *top gets the highest. */
static int dark_above(const picture *p, int x, int bottom, int *top)
{
    int count = 0, y;

    *top = bottom;
    for (y = bottom; y >= 0 && y > *top - 12; y--)
        if (is_colour(p, x, y, DARK)) {
            *top = y;
            count++;
        }
    return count;
}

/* The axes are the long dark lines: one across, and one up from its left end. */
static int find_axes(const picture *p, axes all[PANELS])
{
    int found = 0, x, y, top;

    for (y = 0; y < (int)p->height && found < PANELS; y++) {
        axes a = {0, 0, y, y};
        int dark = 0, most = 0;

        for (x = 0; x < (int)p->width; x++)
            if (is_colour(p, x, y, DARK)) {
                a.right = x + 1;
                dark++;
            }
        if (dark < (int)p->width / 2) continue;
        for (x = 0; x < a.right; x++) {
            int count = dark_above(p, x, y, &top);

            if (count <= most) continue;
            most = count;
            a.left = x;
            a.top = top;
        }
        all[found++] = a;
    }
    return found;
}

static void expect_point(const picture *p, const axes *a, double x, double y,
                         uint32_t colour, const char *what)
{
    double across = a->left + x * (a->right - a->left),
           up = a->bottom - y * (a->bottom - a->top);

    ck_assert_msg(is_near(p, across, up, colour),
                  "%s: no curve at %g of the width and %g of the height", what, x, y);
}

/* Whether the numbers beside an axis are as long as "100 %" is. */
static int has_long_labels(const picture *p, const axes *a)
{
    int x, y, dark = 0;

    for (y = a->top - 6; y < a->bottom + 6; y++)
        for (x = 0; x < a->left - 32; x++) dark |= is_colour(p, x, y, DARK);
    return dark;
}

static picture read_picture(const char *name)
{
    picture p = {NULL, 0, 0};
    const char *wrong = picture_read(&p, tiny_path(name));

    ck_assert_msg(wrong == NULL, "%s: %s", name, wrong);
    return p;
}

static const double losses[2][4] = {{4, 2, 1, 0.5}, {3, 2.5, 1.5, 1.25}},
                    accuracies[2][4] = {{0, 0.5, 0.75, 0.7}, {0.25, 0.35, 0.4, 0.6}};

static history four_epochs(void)
{
    history h = {NULL, 0};
    size_t i;

    for (i = 0; i < 4; i++) {
        const epoch_row row = {(double)i + 1,
                               5 * ((double)i + 1),
                               losses[0][i],
                               accuracies[0][i],
                               losses[1][i],
                               accuracies[1][i],
                               1,
                               0.01,
                               1,
                               0.5};

        history_add(&h, &row);
    }
    return h;
}

static picture drawn(const history *h)
{
    ck_assert_int_eq(history_draw(h, tiny_path("run.png"), "a run"), 0);
    return read_picture("run.png");
}

/* Losses up to their largest, accuracies up to 1; epochs from 0; held out in another
 * colour. */
START_TEST(a_runs_curves_are_where_its_numbers_are)
{
    history h = four_epochs();
    picture p = drawn(&h);
    axes all[PANELS];
    size_t i, s;

    ck_assert_int_eq(find_axes(&p, all), 2);
    for (i = 0; i < 4; i++)
        for (s = 0; s < 2; s++) {
            double x = ((double)i + 1) / 4;

            expect_point(&p, &all[0], x, losses[s][i] / 4, chart_colour(s), "losses");
            expect_point(&p, &all[1], x, accuracies[s][i], chart_colour(s), "accuracies");
        }
    ck_assert_msg(!has_long_labels(&p, &all[0]) && has_long_labels(&p, &all[1]),
                  "accuracies are not in percent, or losses are");
    picture_free(&p);
    ck_assert_int_ne(history_draw(&h, tiny_path("no/run.png"), "a run"), 0);
    free(h.rows);
}
END_TEST

/* Nothing held out: neither curve nor legend. Looked at in one epoch: a point is no
 * curve, but the legend is there. In two: a curve between them. */
START_TEST(what_was_not_looked_at_is_not_drawn)
{
    history h = four_epochs();
    axes all[PANELS];
    picture p;
    size_t i;

    for (i = 0; i < 4; i++) h.rows[i].held_out_loss = h.rows[i].held_out_top1 = NAN;
    p = drawn(&h);
    expect_count(pixels_of(&p, chart_colour(1)), 0, "pixels of what is not there");
    ck_assert(pixels_of(&p, chart_colour(0)) > 500);
    picture_free(&p);
    h.rows[1].held_out_loss = 2;
    h.rows[1].held_out_top1 = 0.25;
    p = drawn(&h);
    ck_assert(pixels_of(&p, chart_colour(1)) > 20);
    picture_free(&p);
    h.rows[2].held_out_loss = 2;
    h.rows[2].held_out_top1 = 0.25;
    p = drawn(&h);
    ck_assert_int_eq(find_axes(&p, all), 2);
    expect_point(&p, &all[0], 0.625, 0.5, chart_colour(1), "epochs 2 to 3");
    expect_point(&p, &all[1], 0.625, 0.25, chart_colour(1), "epochs 2 to 3");
    picture_free(&p);
    free(h.rows);
}
END_TEST

/* One panel with one curve from (0, 0) to (x_high, y_high). */
static picture draw_one(double x_high, double y_high, double top, int percent, int dashed,
                        const char *label)
{
    const double x[] = {0, x_high}, y[] = {0, y_high};
    const series s = {label, x, y, 2, 0xff0000, dashed};
    const chart_panel panel = {"panel", "x", percent, top, &s, 1};

    ck_assert_int_eq(chart_draw(tiny_path("one.png"), "title", &panel, 1), 0);
    return read_picture("one.png");
}

/* A line between two pixels shades both: how many groups of pixels, going down or to the
 * right, are darker than `limit`. */
static int lines_from(const picture *p, int x, int y, int count, int across, int limit)
{
    int lines = 0, before = 0, i;

    for (i = 0; i < count; i++) {
        size_t at =
            (size_t)(y + (across ? 0 : i)) * p->width + (size_t)(x + (across ? i : 0));
        int dark = p->pixels[3 * at + 1] < limit;

        lines += dark && !before;
        before = dark;
    }
    return lines;
}

/* Lines of the grid, seen where the curve is low, the axis among them; marks below the
 * axis. */
static void expect_grid(double x_high, double y_high, int lines, int marks)
{
    picture p = draw_one(x_high, y_high, 0, 0, 0, NULL);
    axes a[PANELS];

    ck_assert_int_eq(find_axes(&p, a), 1);
    expect_count(lines_from(&p, a[0].left + 40, a[0].top - 2,
                            a[0].bottom - 25 - (a[0].top - 2), 0, 252) +
                     1,
                 lines, "lines of a grid up to %g", y_high);
    expect_count(lines_from(&p, a[0].left - 2, a[0].bottom + 2,
                            a[0].right - a[0].left + 4, 1, 160),
                 marks, "marks of an axis up to %g", x_high);
    expect_point(&p, &a[0], 0.5, 0.5, 0xff0000, "the middle");
    picture_free(&p);
}

/* Steps of 1, 2, 5 times a power of ten: at most 6 up and 12 across. */
START_TEST(grids_have_round_steps)
{
    expect_grid(12, 6, 7, 13);
    expect_grid(13, 7, 4, 7);
    expect_grid(60, 12, 7, 13);
    expect_grid(61, 13, 3, 7);
    expect_grid(0.9, 0.25, 6, 10);
    expect_grid(300, 31, 4, 7);
}
END_TEST

/* Whether red is above a panel, to the right: where no curve goes. */
static int red_above(const picture *p, const axes *a)
{
    int x, y, red = 0;

    for (y = a->top - 24; y < a->top - 2; y++)
        for (x = a->right - 130; x < a->right; x++) red |= is_colour(p, x, y, 0xff0000);
    return red;
}

/* Where a panel's height is given, higher points stay at its top; a dashed curve has
 * gaps; percents are written otherwise; a curve with a label is in the legend too. */
START_TEST(panels_are_drawn_as_they_say)
{
    picture plain = draw_one(1, 1, 1, 0, 0, NULL), other;
    size_t pixels = pixels_of(&plain, 0xff0000);
    axes a[PANELS];

    ck_assert_int_eq(find_axes(&plain, a), 1);
    other = draw_one(1, 1, 2, 0, 0, NULL);
    expect_point(&other, &a[0], 0.9, 0.45, 0xff0000, "half of the height");
    picture_free(&other);
    other = draw_one(1, 3, 1, 0, 0, NULL);
    expect_point(&other, &a[0], 0.9, 0.9, 0xff0000, "beyond the height");
    expect_point(&other, &a[0], 0.99, 0.99, 0xff0000, "beyond the height");
    picture_free(&other);
    other = draw_one(1, 1, 1, 0, 1, NULL);
    ck_assert_msg(pixels_of(&other, 0xff0000) < pixels * 3 / 4,
                  "a dashed curve has no gaps");
    picture_free(&other);
    other = draw_one(1, 1, 1, 0, 0, "a label");
    ck_assert_msg(pixels_of(&other, DARK) > pixels_of(&plain, DARK) + 40, "no label");
    ck_assert_msg(red_above(&other, &a[0]) && !red_above(&plain, &a[0]),
                  "no line in the legend");
    picture_free(&other);
    other = draw_one(1, 1, 1, 1, 0, NULL);
    ck_assert_msg(pixels_of(&other, DARK) > pixels_of(&plain, DARK) + 40,
                  "no percents: %zu pixels of text and axes, without them %zu",
                  pixels_of(&other, DARK), pixels_of(&plain, DARK));
    picture_free(&other);
    picture_free(&plain);
}
END_TEST

START_TEST(colours_are_seven_and_come_again)
{
    size_t i, j;

    for (i = 0; i < 7; i++)
        for (j = 0; j < i; j++) ck_assert_uint_ne(chart_colour(i), chart_colour(j));
    for (i = 0; i < 14; i++) ck_assert_uint_eq(chart_colour(i + 7), chart_colour(i));
}
END_TEST

/* What was drawn by the run itself. */
START_TEST(train_draws_the_rows_of_its_table)
{
    history h = {NULL, 0};

    tiny_packs_make();
    program_succeeds(NULL, "train " TINY " --batch 64 --epochs 2 --out run data");
    history_read(&h, tiny_path("run.csv"), 2);
    expect_count(h.count, 2, "rows");
    ck_assert_int_eq(
        history_draw(&h, tiny_path("again.png"), "7 classes, 37 training pictures"), 0);
    /* The table's six digits are more than a pixel has. */
    expect_same_files("run.png", "again.png", "the curves");
    free(h.rows);
}
END_TEST

Suite *chart_suite(void)
{
    Suite *suite = suite_create("chart");
    TCase *tc = tcase_create("tables");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_set_timeout(tc, TINY_SECONDS);
    tcase_add_test(tc, a_table_has_a_line_for_each_epoch);
    tcase_add_test(tc, lines_that_are_no_rows_are_passed_over);
    tcase_add_test(tc, colours_are_seven_and_come_again);
    suite_add_tcase(suite, tc);
    if (!canvas_draws()) return suite; /* built without cairo */
    tc = tcase_create("pictures");
    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_set_timeout(tc, TINY_SECONDS);
    tcase_add_test(tc, a_runs_curves_are_where_its_numbers_are);
    tcase_add_test(tc, what_was_not_looked_at_is_not_drawn);
    tcase_add_test(tc, grids_have_round_steps);
    tcase_add_test(tc, panels_are_drawn_as_they_say);
    tcase_add_test(tc, train_draws_the_rows_of_its_table);
    suite_add_tcase(suite, tc);
    return suite;
}
