/*
 * programs_canvas.c - what is drawn on a page, and a chart's axes, curves and legend,
 * pixel by pixel.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/canvas.h"
#include "common/chart.h"
#include "fixtures.h"

enum { WIDE = 60, HIGH = 40, WHITE = 0xffffff, INK = 0x2040c0 };

static picture page_of(canvas *page)
{
    ck_assert_int_eq(canvas_write_png(page, inside("page.png")), 0);
    canvas_free(page);
    return picture_of("page.png");
}

/* The page is white but for what `ink` says of a place. */
static void expect_ink(canvas *page, int (*ink)(uint32_t x, uint32_t y), const char *what)
{
    picture p = page_of(page);
    uint32_t x, y;

    expect_count(p.width, WIDE, "%s", what);
    expect_count(p.height, HIGH, "%s", what);
    for (y = 0; y < HIGH; y++)
        for (x = 0; x < WIDE; x++) expect_pixel(&p, x, y, ink(x, y) ? INK : WHITE, what);
    picture_free(&p);
}

static int in(uint32_t value, uint32_t from, uint32_t to) /* to: the first behind */
{
    return value >= from && value < to;
}

static int filled(uint32_t x, uint32_t y)
{
    return in(x, 5, 15) && in(y, 7, 11);
}

static int framed(uint32_t x, uint32_t y) /* two pixels about the edge */
{
    return in(x, 9, 31) && in(y, 7, 21) && !(in(x, 11, 29) && in(y, 9, 19));
}

START_TEST(rectangles_and_frames_are_where_they_should_be)
{
    canvas *page = canvas_make(WIDE, HIGH);

    ck_assert_int_eq(canvas_draws(), 1);
    canvas_fill(page, 5, 7, 10, 4, INK);
    expect_ink(page, filled, "a rectangle");
    page = canvas_make(WIDE - 0.5, HIGH - 0.9); /* a page has whole pixels */
    canvas_fill(page, 0, 0, WIDE, HIGH, WHITE);
    canvas_frame(page, 10, 8, 20, 12, 2, INK);
    expect_ink(page, framed, "a frame");
}
END_TEST

static int bent(uint32_t x, uint32_t y) /* right, then down: its ends are cut straight */
{
    return (in(x, 5, 41) && in(y, 9, 12)) || (in(x, 38, 41) && in(y, 9, 30));
}

static int dashes(uint32_t x, uint32_t y) /* five pixels, three left out */
{
    return in(x, 5, 45) && in(y, 9, 12) && (x - 5) % 8 < 5;
}

START_TEST(lines_go_through_their_points_and_leave_out_those_that_are_none)
{
    const double x[] = {5, NAN, 39.5, 39.5, 50}, y[] = {10.5, 3, 10.5, 30, INFINITY};
    canvas *page = canvas_make(WIDE, HIGH);
    picture p;
    uint32_t i;

    canvas_text(page, 3, 36, 1, CANVAS_LEFT, 0, WHITE, "a"); /* no line comes from here */
    canvas_line(page, x, y, 5, 3, 0, INK);
    p = page_of(page);
    for (i = 0; i < WIDE * HIGH; i++) { /* the corner is round */
        uint32_t at_x = i % WIDE, at_y = i / WIDE;

        if (in(at_x, 38, 42) && in(at_y, 8, 12)) continue;
        expect_pixel(&p, at_x, at_y, bent(at_x, at_y) ? INK : WHITE, "a line");
    }
    picture_free(&p);
}
END_TEST

static int whole(uint32_t x, uint32_t y)
{
    return in(x, 5, 45) && in(y, 9, 12);
}

START_TEST(dashes_are_of_one_line_alone)
{
    const double x[] = {5, 45}, y[] = {10.5, 10.5};
    canvas *page = canvas_make(WIDE, HIGH);
    picture p;
    uint32_t i;

    canvas_line(page, x, y, 2, 3, 1, INK);
    expect_ink(page, dashes, "dashes");
    page = canvas_make(WIDE, HIGH);
    canvas_line(page, x, y, 2, 3, 1, WHITE);
    canvas_line(page, x, y, 2, 3, 0, INK);
    expect_ink(page, whole, "a line behind dashes");
    page = canvas_make(WIDE, HIGH);
    canvas_line(page, x, y, 2, 3, 1, WHITE);
    canvas_frame(page, 10, 8, 20, 12, 2, INK);
    p = page_of(page);
    for (i = 12; i < 28; i++) expect_pixel(&p, i, 7, INK, "a frame behind dashes");
    picture_free(&p);
}
END_TEST

/* --- text -------------------------------------------------------------------------- */

typedef struct box { /* of all that is not white; last: the pixel itself */
    uint32_t left, top, right, bottom, darkest;
} box;

static box ink_of(double x, double y, double size, int where, double most,
                  const char *text)
{
    canvas *page = canvas_make(300, 80);
    box b = {300, 80, 0, 0, WHITE};
    uint32_t i, k;
    picture p;

    canvas_text(page, x, y, size, where, most, INK, text);
    p = page_of(page);
    for (k = 0; k < 80; k++)
        for (i = 0; i < 300; i++) {
            uint32_t pixel = pixel_at(&p, i, k);

            if (pixel == WHITE) continue;
            if (i < b.left) b.left = i;
            if (k < b.top) b.top = k;
            if (i > b.right) b.right = i;
            b.bottom = k;
            if ((pixel >> 16) < (b.darkest >> 16)) b.darkest = pixel;
        }
    picture_free(&p);
    return b;
}

/* Two pixels: letters have a little room on both sides, and edges are smooth. */
START_TEST(a_text_stands_on_its_line_left_of_right_of_or_about_its_place)
{
    canvas *page = canvas_make(10, 10);
    const double width = canvas_text_width(page, 20, "HHHHHH");
    const box left = ink_of(100, 50, 20, CANVAS_LEFT, 0, "HHHHHH"),
              centre = ink_of(100, 50, 20, CANVAS_CENTRE, 0, "HHHHHH"),
              right = ink_of(100, 50, 20, CANVAS_RIGHT, 0, "HHHHHH");

    expect_number(width, 95, 35, "six letters of 20");
    expect_number(canvas_text_width(page, 40, "HHHHHH"), 2 * width, 0.05 * width,
                  "twice the size");
    ck_assert_msg(canvas_text_width(page, 20, "H ") > canvas_text_width(page, 20, "H"),
                  "a space is as wide as nothing");
    expect_number(left.left, 100, 3, "left");
    expect_number(left.right, 100 + width, 3, "its end");
    expect_number(centre.left, 100 - width / 2, 3, "centre");
    expect_number(centre.right, 100 + width / 2, 3, "its end");
    expect_number(right.left, 100 - width, 3, "right");
    expect_number(right.right, 100, 3, "its end");
    expect_number(left.bottom, 49, 1, "the line");
    ck_assert_msg(left.top > 29 && left.top < 40, "20 pixels high: from %u", left.top);
    expect_count(left.darkest, INK, "the colour");
    canvas_free(page);
}
END_TEST

/* Whole characters go, from the end, and an ellipsis comes: of all that fit, the
 * longest. */
static void expect_cut(canvas *page, const char *text, double most)
{
    box got = ink_of(20, 50, 20, CANVAS_LEFT, most, text), wanted;
    size_t letters = strlen(text);
    char cut[64];

    do {
        do letters--;
        while (((unsigned char)text[letters] & 0xc0) == 0x80);
        memcpy(cut, text, letters);
        strcpy(cut + letters, "\xe2\x80\xa6");
    } while (canvas_text_width(page, 20, cut) > most);
    wanted = ink_of(20, 50, 20, CANVAS_LEFT, 0, cut);
    ck_assert_msg(got.right == wanted.right && got.right <= 20 + most + 1,
                  "at most %g pixels: ends at %u, wanted %u", most, got.right,
                  wanted.right);
    expect_count(got.darkest, INK, "at most %g pixels", most);
}

START_TEST(a_text_that_is_too_long_is_cut_with_an_ellipsis)
{
    const char *text = "\xc3\xa4\xc3\xb6\xc3\xbc"
                       "abcdefghijklm";
    canvas *page = canvas_make(10, 10);
    double whole = canvas_text_width(page, 20, text), most;

    for (most = 30; most < whole - 1; most += 13) expect_cut(page, text, most);
    expect_cut(page, text, whole - 1);
    ck_assert_uint_eq(ink_of(20, 50, 20, CANVAS_LEFT, whole, text).right,
                      ink_of(20, 50, 20, CANVAS_LEFT, 0, text).right); /* it just fits */
    canvas_free(page);
}
END_TEST

/* --- pictures ---------------------------------------------------------------------- */

START_TEST(a_picture_fills_its_place_with_its_colours)
{
    enum { W = 4, H = 3, X = 5, Y = 7 }; /* each pixel 5 wide and 7 high */
    uint8_t pixels[3 * W * H];
    canvas *page = canvas_make(WIDE, HIGH);
    uint32_t x, y;
    picture p;

    waves(pixels, W, H, 8);
    canvas_picture(page, 7, 3, W * X, H * Y, pixels, W, H);
    p = page_of(page);
    for (y = 0; y < HIGH; y++)
        for (x = 0; x < WIDE; x++) {
            uint32_t wanted = WHITE;

            if (in(x, 7, 7 + W * X) && in(y, 3, 3 + H * Y)) {
                const uint8_t *at = pixels + 3 * ((y - 3) / Y * W + (x - 7) / X);

                wanted = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
            }
            expect_pixel(&p, x, y, wanted, "the picture");
        }
    picture_free(&p);
}
END_TEST

/* Half as large: each pixel between those that it stands for. */
START_TEST(a_smaller_picture_is_a_mean)
{
    uint8_t pixels[3 * 40 * 40];
    canvas *page = canvas_make(WIDE, HIGH);
    uint32_t i;
    picture p;

    for (i = 0; i < 40 * 40;
         i++) { /* black and white lines; red only in the lower half */
        pixels[3 * i] = i >= 800 ? 200 : 0;
        pixels[3 * i + 1] = i % 2 ? 255 : 0;
        pixels[3 * i + 2] = 60;
    }
    canvas_picture(page, 10, 10, 20, 20, pixels, 40, 40);
    p = page_of(page);
    for (i = 12; i < 28; i++) {
        expect_number(pixel_at(&p, i, 13) >> 16, 0, 12, "red above, column %u", i);
        expect_number(pixel_at(&p, i, 26) >> 16, 200, 12, "red below, column %u", i);
        expect_number(pixel_at(&p, i, 26) >> 8 & 255, 127.5, 40, "green, column %u", i);
        expect_number(pixel_at(&p, i, 26) & 255, 60, 6, "blue, column %u", i);
    }
    expect_count(pixel_at(&p, 9, 15), WHITE, "left of it");
    expect_count(pixel_at(&p, 30, 15), WHITE, "right of it");
    picture_free(&p);
    page = canvas_make(5, 5);
    ck_assert_int_ne(canvas_write_png(page, inside("none/page.png")), 0);
    canvas_free(page);
}
END_TEST

/* --- charts ------------------------------------------------------------------------ */

enum {
    LEFT = 64,
    RIGHT = 796,
    TOP = 52,
    PANEL = 260,
    BELOW = 66,
    GRID = 0xe4e4e4,
    DARK = 0x303030
};

/* One panel as it should be: its ranges, and the values that its axes name. */
typedef struct axes {
    const chart_panel *panel;
    double x_high, y_high;
    const char *x_names[14], *y_names[8]; /* up to null: at 0, at one step, two ... */
    double x_step, y_step;
} axes;

static double at_y(const axes *a, double top, double value)
{
    return top + PANEL - value / a->y_high * PANEL;
}

static void draw_axes(canvas *page, const axes *a, double top)
{
    size_t i;

    for (i = 0; a->y_names[i] != NULL; i++) {
        double y = at_y(a, top, (double)i * a->y_step);

        canvas_fill(page, LEFT, y, RIGHT - LEFT, 1, GRID);
        canvas_text(page, LEFT - 6, y + 4, 12, CANVAS_RIGHT, 0, DARK, a->y_names[i]);
    }
    for (i = 0; a->x_names[i] != NULL; i++) {
        double x = LEFT + (double)i * a->x_step / a->x_high * (RIGHT - LEFT);

        canvas_fill(page, x, top + PANEL, 1, 4, DARK);
        canvas_text(page, x, top + PANEL + 17, 12, CANVAS_CENTRE, 0, DARK, a->x_names[i]);
    }
    canvas_fill(page, LEFT, top, 1, PANEL, DARK);
    canvas_fill(page, LEFT, top + PANEL, RIGHT - LEFT, 1, DARK);
    canvas_text(page, LEFT, top - 8, 13, CANVAS_LEFT, 0, DARK, a->panel->title);
    canvas_text(page, RIGHT, top + PANEL + 32, 12, CANVAS_RIGHT, 0, DARK,
                a->panel->x_name);
}

/* Curves through their points; what lies outside the panel is moved to its edge. */
static void draw_curves(canvas *page, const axes *a, double top)
{
    size_t s, i;

    for (s = 0; s < a->panel->count; s++) {
        const series *one = &a->panel->all[s];
        double x[16], y[16];

        for (i = 0; i < one->count; i++) {
            double value = one->y[i] < 0 ? 0 : one->y[i];

            x[i] = LEFT + one->x[i] / a->x_high * (RIGHT - LEFT);
            y[i] = at_y(a, top, value > a->y_high ? a->y_high : value);
        }
        canvas_line(page, x, y, (int)one->count, 1.8, one->dashed, one->colour);
    }
}

static void draw_entry(canvas *page, const series *s, double left, double baseline)
{
    double x[2] = {left, left + 26}, y[2] = {baseline - 5, baseline - 5};

    canvas_line(page, x, y, 2, 2.4, s->dashed, s->colour);
    canvas_text(page, left + 34, baseline, 13, CANVAS_LEFT, 0, DARK, s->label);
}

/* Beside the title: an entry's width and 50 from one to the next, the last 34 from the
 * axis' end. */
static void draw_legend_row(canvas *page, const series *first, size_t count)
{
    double right = RIGHT + 16;
    size_t s;

    for (s = count; s-- > 0;) {
        if (first[s].label == NULL) continue;
        right -= canvas_text_width(page, 13, first[s].label) + 50;
        draw_entry(page, &first[s], right, TOP - 8);
    }
}

/* In the panel, one below the other. */
static void draw_legend_column(canvas *page, const series *first, size_t count,
                               double width)
{
    double left = RIGHT - width - 40, top = TOP + 8;
    size_t s;

    for (s = 0; s < count; s++) {
        if (first[s].label == NULL) continue;
        canvas_fill(page, left - 6, top - 2, width + 46, 20, WHITE);
        draw_entry(page, &first[s], left, top + 13);
        top += 20;
    }
}

START_TEST(a_chart_has_its_curves_between_its_axes)
{
    static const double x[] = {1, 2, 3, 7}, up[] = {0.5, 1, NAN, 5.5},
                        down[] = {7, 3, 2.5, -1}, share[] = {0.1, 0.2, 0.4, 0.35};
    const series losses[] = {{"up", x, up, 4, 0x0072b2, 0},
                             {NULL, x, down, 4, 0xd55e00, 1},
                             {"the longest of the labels", x, down, 3, 0x009e73, 0}},
                 shares[] = {{"nowhere", x, share, 4, 0xcc79a7, 0}},
                 few[] = {{NULL, x, share, 2, 0x000000, 0}};
    const chart_panel panels[] = {{"losses", "epoch", 0, 0, losses, 3},
                                  {"shares", "step", 1, 0, shares, 1},
                                  {"shares of one", "epoch", 1, 1, few, 1},
                                  {"cut", "epoch", 0, 0.15, few, 1}};
    const axes wanted[] = {
        {&panels[0],
         7,
         7,
         {"0", "1", "2", "3", "4", "5", "6", "7"},
         {"0", "2", "4", "6"},
         1,
         2},
        {&panels[1],
         7,
         0.4,
         {"0", "1", "2", "3", "4", "5", "6", "7"},
         {"0 %", "10 %", "20 %", "30 %", "40 %"},
         1,
         0.1},
        {&panels[2],
         2,
         1,
         {"0", "0.2", "0.4", "0.6", "0.8", "1", "1.2", "1.4", "1.6", "1.8", "2"},
         {"0 %", "20 %", "40 %", "60 %", "80 %", "100 %"},
         0.2,
         0.2},
        {&panels[3],
         2,
         0.15,
         {"0", "0.2", "0.4", "0.6", "0.8", "1", "1.2", "1.4", "1.6", "1.8", "2"},
         {"0", "0.05", "0.1", "0.15"},
         0.2,
         0.05}};
    canvas *page = canvas_make(820, TOP + 4 * (PANEL + BELOW)),
           *narrow = canvas_make(820, TOP + PANEL + BELOW);
    chart_panel wordy = panels[0];
    axes of_wordy = wanted[0];
    size_t i;

    ck_assert_int_eq(chart_draw(inside("got.png"), "the title", panels, 4), 0);
    canvas_text(page, LEFT, 22, 16, CANVAS_LEFT, RIGHT - LEFT, 0x000000, "the title");
    for (i = 0; i < 4; i++) {
        draw_axes(page, &wanted[i], TOP + (double)i * (PANEL + BELOW));
        draw_curves(page, &wanted[i], TOP + (double)i * (PANEL + BELOW));
    }
    draw_legend_row(page, losses, 3);
    ck_assert_int_eq(canvas_write_png(page, inside("wanted.png")), 0);
    canvas_free(page);
    expect_same_picture("got.png", "wanted.png");

    wordy.title =
        "losses, in a title that leaves no room beside it for the curves' names "
        "on one line";
    of_wordy.panel = &wordy;
    ck_assert_int_eq(chart_draw(inside("got.png"), "", &wordy, 1), 0);
    draw_axes(narrow, &of_wordy, TOP);
    draw_curves(narrow, &of_wordy, TOP);
    draw_legend_column(narrow, losses, 3,
                       canvas_text_width(narrow, 13, "the longest of the labels"));
    ck_assert_int_eq(canvas_write_png(narrow, inside("wanted.png")), 0);
    canvas_free(narrow);
    expect_same_picture("got.png", "wanted.png");
    ck_assert_int_ne(chart_draw(inside("none/got.png"), "t", panels, 1), 0);
}
END_TEST

/* 1, 2 or 5 times a power of ten: at most 6 of them upwards, at most 12 to the right. */
START_TEST(axes_have_round_steps)
{
    static const struct {
        double x, y;
        axes wanted;
    } cases[] = {
        {12,
         6,
         {NULL,
          12,
          6,
          {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"},
          {"0", "1", "2", "3", "4", "5", "6"},
          1,
          1}},
        {13,
         13,
         {NULL, 13, 13, {"0", "2", "4", "6", "8", "10", "12"}, {"0", "5", "10"}, 2, 5}},
        {60,
         31,
         {NULL,
          60,
          31,
          {"0", "5", "10", "15", "20", "25", "30", "35", "40", "45", "50", "55", "60"},
          {"0", "10", "20", "30"},
          5,
          10}},
        {61,
         0.012,
         {NULL,
          61,
          0.012,
          {"0", "10", "20", "30", "40", "50", "60"},
          {"0", "0.002", "0.004", "0.006", "0.008", "0.01", "0.012"},
          10,
          0.002}},
        {12345,
         100,
         {NULL,
          12345,
          100,
          {"0", "2000", "4000", "6000", "8000", "1e+04", "1.2e+04"},
          {"0", "20", "40", "60", "80", "100"},
          2000,
          20}}};
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const double x[2] = {0, cases[i].x}, y[2] = {0, cases[i].y};
        const series one = {NULL, x, y, 2, 0x0072b2, 0};
        const chart_panel panel = {"p", "x", 0, 0, &one, 1};
        axes wanted = cases[i].wanted;
        canvas *page = canvas_make(820, TOP + PANEL + BELOW);

        wanted.panel = &panel;
        ck_assert_int_eq(chart_draw(inside("got.png"), "", &panel, 1), 0);
        draw_axes(page, &wanted, TOP);
        draw_curves(page, &wanted, TOP);
        ck_assert_int_eq(canvas_write_png(page, inside("wanted.png")), 0);
        canvas_free(page);
        expect_same_picture("got.png", "wanted.png");
    }
}
END_TEST

/* Seven that are told apart, and then again from the first: Okabe and Ito's. */
START_TEST(colours_are_told_apart)
{
    size_t i, k;

    expect_count(chart_colour(0), 0x0072b2, "blue");
    expect_count(chart_colour(1), 0xd55e00, "vermilion");
    for (i = 0; i < 7; i++) {
        for (k = 0; k < i; k++) ck_assert_uint_ne(chart_colour(i), chart_colour(k));
        expect_count(chart_colour(i + 7), chart_colour(i), "colour %zu", i + 7);
    }
}
END_TEST

Suite *canvas_suite(void)
{
    Suite *suite = suite_create("canvas");
    TCase *tc = tcase_create("canvas"), *charts = tcase_create("charts");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, rectangles_and_frames_are_where_they_should_be);
    tcase_add_test(tc, lines_go_through_their_points_and_leave_out_those_that_are_none);
    tcase_add_test(tc, dashes_are_of_one_line_alone);
    tcase_add_test(tc, a_text_stands_on_its_line_left_of_right_of_or_about_its_place);
    tcase_add_test(tc, a_text_that_is_too_long_is_cut_with_an_ellipsis);
    tcase_add_test(tc, a_picture_fills_its_place_with_its_colours);
    tcase_add_test(tc, a_smaller_picture_is_a_mean);
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(charts, programs_setup, programs_teardown);
    tcase_add_test(charts, a_chart_has_its_curves_between_its_axes);
    tcase_add_test(charts, axes_have_round_steps);
    tcase_add_test(charts, colours_are_told_apart);
    suite_add_tcase(suite, charts);
    return suite;
}
