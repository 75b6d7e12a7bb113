/*
 * history.h - a training run epoch by epoch: a CSV file and a picture of its curves.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <stddef.h>

typedef struct epoch_row {
    double epoch, iteration;
    double train_loss, train_top1;
    double held_out_loss, held_out_top1, held_out_top5; /* NaN: not looked at */
    double rate, seconds; /* seconds: of this epoch's steps */
    double waited;        /* of them, for the loader */
} epoch_row;

typedef struct history {
    epoch_row *rows;
    size_t count;
} history;

void history_add(history *h, const epoch_row *row);
/* Rows of an earlier run up to `epoch`; a file that is not there holds none. */
void history_read(history *h, const char *path, double epoch);
/* Both replace the file, the table in one moment; 0 on success. A NaN is an empty
 * field. */
int history_write_csv(const history *h, const char *path);
int history_draw(const history *h, const char *path, const char *title);

/* One column of the rows, malloc()ed; the column's name is that in the file. Null:
 * none. */
double *history_column(const history *h, const char *name);

#endif
