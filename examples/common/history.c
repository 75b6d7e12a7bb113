/*
 * history.c - a row for each epoch, as text and as curves.
 */
#include "history.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "options.h"
#include "output.h"

static const struct {
    const char *name, *format;
    size_t offset;
} columns[] = {{"epoch", "%.0f", offsetof(epoch_row, epoch)},
               {"iteration", "%.0f", offsetof(epoch_row, iteration)},
               {"train_loss", "%.6f", offsetof(epoch_row, train_loss)},
               {"train_top1", "%.6f", offsetof(epoch_row, train_top1)},
               {"held_out_loss", "%.6f", offsetof(epoch_row, held_out_loss)},
               {"held_out_top1", "%.6f", offsetof(epoch_row, held_out_top1)},
               {"held_out_top5", "%.6f", offsetof(epoch_row, held_out_top5)},
               {"rate", "%g", offsetof(epoch_row, rate)},
               {"seconds", "%.2f", offsetof(epoch_row, seconds)},
               {"waited", "%.3f", offsetof(epoch_row, waited)}};

enum { COLUMNS = sizeof columns / sizeof columns[0] };

static double *cell(epoch_row *row, size_t column)
{
    return (double *)(void *)((char *)row + columns[column].offset);
}

void history_add(history *h, const epoch_row *row)
{
    h->rows = reallocate(h->rows, (h->count + 1) * sizeof *h->rows);
    h->rows[h->count++] = *row;
}

void history_read(history *h, const char *path, double epoch)
{
    FILE *file = fopen(path, "r");
    char line[512];

    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL) {
        epoch_row row = {0};
        char *at = line, *end;
        size_t i;

        for (i = 0; i < COLUMNS; i++, at = *end == ',' ? end + 1 : end) {
            *cell(&row, i) = strtod(at, &end);
            if (end != at) continue;
            if (*at != ',') break;
            *cell(&row, i) = NAN;
        }
        if (i == COLUMNS && row.epoch <= epoch) history_add(h, &row);
    }
    fclose(file);
}

static void write_rows(const history *h, FILE *file)
{
    size_t i, j;

    for (j = 0; j < COLUMNS; j++)
        fprintf(file, "%s%c", columns[j].name, j + 1 < COLUMNS ? ',' : '\n');
    for (i = 0; i < h->count; i++)
        for (j = 0; j < COLUMNS; j++) {
            double value = *cell(&h->rows[i], j);

            if (!isnan(value)) fprintf(file, columns[j].format, value);
            putc(j + 1 < COLUMNS ? ',' : '\n', file);
        }
}

int history_write_csv(const history *h, const char *path)
{
    output o;

    if (output_begin(&o, path) != 0) return -1;
    write_rows(h, o.file);
    return output_end(&o);
}

double *history_column(const history *h, const char *name)
{
    double *values;
    size_t i, j = 0;

    while (j < COLUMNS && strcmp(columns[j].name, name) != 0) j++;
    if (j == COLUMNS) return NULL;
    values = allocate(h->count * sizeof *values);
    for (i = 0; i < h->count; i++) values[i] = *cell(&h->rows[i], j);
    return values;
}

int history_draw(const history *h, const char *path, const char *title)
{
    static const char *const names[5] = {"epoch", "train_loss", "held_out_loss",
                                         "train_top1", "held_out_top1"};
    double *column[5];
    series loss[2], accuracy[2];
    chart_panel panels[2];
    int status, i;

    for (i = 0; i < 5; i++) column[i] = history_column(h, names[i]);
    for (i = 0; i < 2; i++) {
        series s = {i == 0 ? "training" : "held out", column[0], column[1 + i], h->count,
                    chart_colour((size_t)i),          0};

        loss[i] = accuracy[i] = s;
        accuracy[i].y = column[3 + i];
    }
    memset(panels, 0, sizeof panels);
    panels[0].title = "loss";
    panels[1].title = "top-1 accuracy";
    panels[1].percent = 1;
    panels[1].y_high = 1;
    panels[0].all = loss;
    panels[1].all = accuracy;
    panels[0].x_name = panels[1].x_name = "epoch";
    panels[0].count = panels[1].count = 2;
    for (i = 0; i < 2; i++) {
        size_t known = 0, j;

        for (j = 0; j < h->count; j++) known += isfinite(panels[i].all[1].y[j]) != 0;
        panels[i].count = known > 0 ? 2 : 1;
    }
    status = chart_draw(path, title, panels, 2);
    for (i = 0; i < 5; i++) free(column[i]);
    return status;
}
