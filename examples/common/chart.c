/*
 * chart.c - curves of a training run: loss above, accuracy below.
 */
#include "chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "options.h"
#include "picture.h"

void history_add(history *h, const epoch_row *row)
{
    h->rows = realloc(h->rows, (h->count + 1) * sizeof *h->rows);
    if (h->rows == NULL) exit(1);
    h->rows[h->count++] = *row;
}

#define COLUMNS                                                                          \
    "epoch,iteration,train_loss,train_top1,held_out_loss,held_out_top1,held_out_top5,"   \
    "rate,seconds"

void history_read(history *h, const char *path, unsigned long epoch)
{
    FILE *file = fopen(path, "r");
    char line[512];
    epoch_row r;

    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "%lu,%lu,%lf,%lf,%lf,%lf,%lf,%lf,%lf", &r.epoch, &r.iteration,
                   &r.train_loss, &r.train_top1, &r.held_out_loss, &r.held_out_top1,
                   &r.held_out_top5, &r.rate, &r.seconds) == 9 &&
            r.epoch <= epoch)
            history_add(h, &r);
    fclose(file);
}

int history_write_csv(const history *h, const char *path)
{
    FILE *file = fopen(path, "w");
    size_t i;

    if (file == NULL) return -1;
    fprintf(file, "%s\n", COLUMNS);
    for (i = 0; i < h->count; i++) {
        const epoch_row *r = &h->rows[i];

        fprintf(file, "%lu,%lu,%.6f,%.6f,%.6f,%.6f,%.6f,%g,%.2f\n", r->epoch,
                r->iteration, r->train_loss, r->train_top1, r->held_out_loss,
                r->held_out_top1, r->held_out_top5, r->rate, r->seconds);
    }
    return fclose(file);
}

/* --- the picture ------------------------------------------------------------------------- */

enum {
    WIDTH = 760,
    HEIGHT = 620,
    LEFT = 62,
    RIGHT = 20,
    PANEL = 250,
    BLACK = 0x202020,
    GREY = 0xd8d8d8,
    TRAIN = 0x1f6fb4,
    HELD_OUT = 0xd9541e
};

typedef struct panel {
    picture *p;
    int top;
    double high; /* value of the upper edge; the lower is 0 */
    double last; /* epoch of the right edge; the left is 0 */
} panel;

static double place_x(const panel *a, double epoch)
{
    return LEFT + epoch / a->last * (WIDTH - LEFT - RIGHT);
}

static double place_y(const panel *a, double value)
{
    return a->top + PANEL - fmin(value / a->high, 1) * PANEL;
}

/* 1, 2 or 5 times a power of ten, so that `most` of them reach `range`. */
static double round_step(double range, int most)
{
    double step = pow(10, floor(log10(range / most)));

    if (range / step > most) step *= 2;
    if (range / step > most) step *= 2.5;
    if (range / step > most) step *= 2;
    return step;
}

static void axes(const panel *a, const char *name, int percent)
{
    double step = round_step(a->high, 6), epochs = fmax(round_step(a->last, 12), 1), v;
    char text[32];

    for (v = 0; v <= a->high * 1.0001; v += step) {
        picture_fill(a->p, LEFT, (int)place_y(a, v), WIDTH - LEFT - RIGHT, 1, GREY);
        snprintf(text, sizeof text, percent ? "%3.0f%%" : "%5.2f", percent ? 100 * v : v);
        picture_text(a->p, percent ? LEFT - 30 : LEFT - 36, (int)place_y(a, v) - 3, text,
                     BLACK);
    }
    for (v = 0; v <= a->last; v += epochs) {
        snprintf(text, sizeof text, "%.0f", v);
        picture_fill(a->p, (int)place_x(a, v), a->top + PANEL, 1, 4, BLACK);
        picture_text(a->p, (int)place_x(a, v) - 3, a->top + PANEL + 8, text, BLACK);
    }
    picture_fill(a->p, LEFT, a->top, 1, PANEL, BLACK);
    picture_fill(a->p, LEFT, a->top + PANEL, WIDTH - LEFT - RIGHT, 1, BLACK);
    picture_text(a->p, LEFT, a->top - 12, name, BLACK);
}

static void curve(const panel *a, const history *h, size_t field, unsigned colour)
{
    size_t i;

    for (i = 1; i < h->count; i++) {
        const char *from = (const char *)&h->rows[i - 1], *to = (const char *)&h->rows[i];

        picture_line(a->p, place_x(a, (double)h->rows[i - 1].epoch),
                     place_y(a, *(const double *)(const void *)(from + field)),
                     place_x(a, (double)h->rows[i].epoch),
                     place_y(a, *(const double *)(const void *)(to + field)), colour);
    }
}

static void legend(picture *p)
{
    picture_fill(p, WIDTH - 250, 14, 16, 3, TRAIN);
    picture_text(p, WIDTH - 228, 12, "training", BLACK);
    picture_fill(p, WIDTH - 150, 14, 16, 3, HELD_OUT);
    picture_text(p, WIDTH - 128, 12, "held out", BLACK);
}

int history_draw(const history *h, const char *path, const char *title)
{
    picture p = picture_make(WIDTH, HEIGHT, 255);
    panel loss = {&p, 46, 1e-6, 1}, accuracy = {&p, 46 + PANEL + 52, 1, 1};
    size_t i;
    int status;

    for (i = 0; i < h->count; i++) {
        loss.high =
            fmax(loss.high, fmax(h->rows[i].train_loss, h->rows[i].held_out_loss));
        loss.last = accuracy.last = fmax(loss.last, (double)h->rows[i].epoch);
    }
    picture_text(&p, LEFT, 12, title, BLACK);
    legend(&p);
    axes(&loss, "loss by epoch", 0);
    axes(&accuracy, "top-1 accuracy by epoch", 1);
    curve(&loss, h, offsetof(epoch_row, train_loss), TRAIN);
    curve(&loss, h, offsetof(epoch_row, held_out_loss), HELD_OUT);
    curve(&accuracy, h, offsetof(epoch_row, train_top1), TRAIN);
    curve(&accuracy, h, offsetof(epoch_row, held_out_top1), HELD_OUT);
    status = picture_write_png(&p, path);
    picture_free(&p);
    return status;
}
