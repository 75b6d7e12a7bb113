/*
 * chart.c - axes, grid, legend and curves.
 */
#include "chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "canvas.h"
#include "options.h"

enum { WIDTH = 820, LEFT = 64, RIGHT = 24, TOP = 52, PANEL = 260, GAP = 66, TEXT = 13 };
#define DARK 0x303030
#define GRID 0xe4e4e4

typedef struct frame { /* of one panel on the page */
    canvas *c;
    const chart_panel *p;
    double top, x_high, y_high;
} frame;

uint32_t chart_colour(size_t number)
{
    static const uint32_t colours[] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7,
                                       0xe69f00, 0x56b4e9, 0x000000};

    return colours[number % (sizeof colours / sizeof colours[0])];
}

static double place_x(const frame *f, double x)
{
    return LEFT + x / f->x_high * (WIDTH - LEFT - RIGHT);
}

static double place_y(const frame *f, double y)
{
    return f->top + PANEL - fmin(fmax(y / f->y_high, 0), 1) * PANEL;
}

/* 1, 2 or 5 times a power of ten, so that at most `most` of them are in `range`. */
static double round_step(double range, double most)
{
    double step = pow(10, floor(log10(range / most)));

    if (range / step > most) step *= 2;
    if (range / step > most) step *= 2.5;
    if (range / step > most) step *= 2;
    return step;
}

static void find_ranges(frame *f)
{
    const chart_panel *p = f->p;
    size_t s, i;

    f->x_high = f->y_high = 1e-9;
    for (s = 0; s < p->count; s++)
        for (i = 0; i < p->all[s].count; i++) {
            if (isfinite(p->all[s].x[i])) f->x_high = fmax(f->x_high, p->all[s].x[i]);
            if (isfinite(p->all[s].y[i])) f->y_high = fmax(f->y_high, p->all[s].y[i]);
        }
    if (p->y_high > 0) f->y_high = p->y_high;
}

static void draw_axes(const frame *f)
{
    double y_step = round_step(f->y_high, 6), x_step = round_step(f->x_high, 12), v;
    char text[32];

    for (v = 0; v <= f->y_high * 1.0001; v += y_step) {
        snprintf(text, sizeof text, f->p->percent ? "%.4g %%" : "%.4g",
                 f->p->percent ? 100 * v : v);
        canvas_fill(f->c, LEFT, place_y(f, v), WIDTH - LEFT - RIGHT, 1, GRID);
        canvas_text(f->c, LEFT - 6, place_y(f, v) + 4, TEXT - 1, CANVAS_RIGHT, 0, DARK,
                    text);
    }
    for (v = 0; v <= f->x_high * 1.0001; v += x_step) {
        snprintf(text, sizeof text, "%.4g", v);
        canvas_fill(f->c, place_x(f, v), f->top + PANEL, 1, 4, DARK);
        canvas_text(f->c, place_x(f, v), f->top + PANEL + 17, TEXT - 1, CANVAS_CENTRE, 0,
                    DARK, text);
    }
    canvas_fill(f->c, LEFT, f->top, 1, PANEL, DARK);
    canvas_fill(f->c, LEFT, f->top + PANEL, WIDTH - LEFT - RIGHT, 1, DARK);
    canvas_text(f->c, LEFT, f->top - 8, TEXT, CANVAS_LEFT, 0, DARK, f->p->title);
    canvas_text(f->c, WIDTH - RIGHT, f->top + PANEL + 32, TEXT - 1, CANVAS_RIGHT, 0, DARK,
                f->p->x_name);
}

static void draw_series(const frame *f, const series *s)
{
    double *x = allocate(s->count * sizeof *x), *y = allocate(s->count * sizeof *y);
    size_t i;

    for (i = 0; i < s->count; i++) {
        x[i] = place_x(f, s->x[i]);
        y[i] = isfinite(s->y[i]) ? place_y(f, s->y[i]) : NAN;
    }
    canvas_line(f->c, x, y, (int)s->count, 1.8, s->dashed, s->colour);
    free(x);
    free(y);
}

static void draw_entry(canvas *c, const series *s, double left, double baseline)
{
    double x[2] = {left, left + 26}, y[2] = {baseline - 5, baseline - 5};

    canvas_line(c, x, y, 2, 2.4, s->dashed, s->colour);
    canvas_text(c, left + 34, baseline, TEXT, CANVAS_LEFT, 0, DARK, s->label);
}

/* Beside the first panel's title, where no curve is; where there is no room for all of
 * them, one below the other in the panel. */
static void draw_legend(canvas *c, const chart_panel *p)
{
    double most = 0, sum = 0, left, baseline = TOP + 21;
    size_t s;

    for (s = 0; s < p->count; s++)
        if (p->all[s].label != NULL) {
            double width = canvas_text_width(c, TEXT, p->all[s].label);

            most = fmax(most, width);
            sum += width + 50;
        }
    left = WIDTH - RIGHT - sum + 16;
    if (left > LEFT + canvas_text_width(c, TEXT, p->title) + 16) {
        for (s = 0; s < p->count; s++) {
            if (p->all[s].label == NULL) continue;
            draw_entry(c, &p->all[s], left, TOP - 8);
            left += canvas_text_width(c, TEXT, p->all[s].label) + 50;
        }
        return;
    }
    left = WIDTH - RIGHT - most - 40;
    for (s = 0; s < p->count; s++) {
        if (p->all[s].label == NULL) continue;
        canvas_fill(c, left - 6, baseline - 15, most + 46, 20, 0xffffff);
        draw_entry(c, &p->all[s], left, baseline);
        baseline += 20;
    }
}

int chart_draw(const char *path, const char *title, const chart_panel *panels,
               size_t count)
{
    canvas *c = canvas_make(WIDTH, TOP + (double)count * (PANEL + GAP));
    size_t i, s;
    int status;

    canvas_text(c, LEFT, 22, TEXT + 3, CANVAS_LEFT, WIDTH - LEFT - RIGHT, 0x000000,
                title);
    for (i = 0; i < count; i++) {
        frame f = {c, &panels[i], TOP + (double)i * (PANEL + GAP), 1, 1};

        find_ranges(&f);
        draw_axes(&f);
        for (s = 0; s < panels[i].count; s++) draw_series(&f, &panels[i].all[s]);
    }
    draw_legend(c, &panels[0]);
    status = canvas_write_png(c, path);
    canvas_free(c);
    return status;
}
