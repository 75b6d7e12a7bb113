/*
 * chart.h - a training run as a CSV file and a picture of its curves.
 */
#ifndef CHART_H
#define CHART_H

#include <stddef.h>

typedef struct epoch_row {
    unsigned long epoch, iteration;
    double train_loss, train_top1, held_out_loss, held_out_top1, held_out_top5;
    double rate, seconds; /* seconds: of this epoch */
} epoch_row;

typedef struct history {
    epoch_row *rows;
    size_t count;
} history;

void history_add(history *h, const epoch_row *row);
/* Rows of an earlier run before `epoch`; a file that is not there holds none. */
void history_read(history *h, const char *path, unsigned long epoch);
/* Both replace the file; 0 on success. */
int history_write_csv(const history *h, const char *path);
int history_draw(const history *h, const char *path, const char *title);

#endif
