/*
 * tiny_expect.c - what train left beside what its twin has.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiny.h"

/* --- tables ------------------------------------------------------------------------ */

/* `bound`: half of the last digit that the table has, and a little for the rounding to
 * it. */
static void expect_cell(const csv *table, size_t row, const char *column, double wanted,
                        double bound, const char *what)
{
    double got = csv_cell(table, row, column);

    if (isnan(wanted))
        ck_assert_msg(isnan(got), "%s: %s of row %zu is %g, wanted none", what, column,
                      row, got);
    else
        expect_number(got, wanted, bound, "%s: %s of row %zu", what, column, row);
}

void expect_rows(const twin *t, const char *name, const char *what)
{
    csv table = csv_read(name);
    size_t i;

    expect_count(table.rows, t->past.count, "%s: rows of %s", what, name);
    for (i = 0; i < table.rows; i++) {
        const epoch_row *row = &t->past.rows[i];

        expect_cell(&table, i, "epoch", row->epoch, 0, what);
        expect_cell(&table, i, "iteration", row->iteration, 0, what);
        expect_cell(&table, i, "train_loss", row->train_loss, 5.1e-7, what);
        expect_cell(&table, i, "train_top1", row->train_top1, 5.1e-7, what);
        /* The twin scores all pictures at once, train 64 at a time, which may round the
         * probabilities otherwise. */
        expect_cell(&table, i, "held_out_loss", row->held_out_loss, 2e-6, what);
        expect_cell(&table, i, "held_out_top1", row->held_out_top1, 5.1e-7, what);
        expect_cell(&table, i, "held_out_top5", row->held_out_top5, 5.1e-7, what);
        expect_cell(&table, i, "rate", row->rate, 5.1e-6 * row->rate, what);
    }
    csv_free(&table);
}

void expect_same_tables(const char *got, const char *wanted, const char *what)
{
    csv a = csv_read(got), b = csv_read(wanted);
    size_t i, j;

    expect_count(a.rows, b.rows, "%s: rows", what);
    expect_count(a.columns, b.columns, "%s: columns", what);
    for (i = 0; i < a.rows; i++)
        for (j = 0; j + 2 < a.columns; j++)
            expect_cell(&a, i, b.names[j], b.cells[i * b.columns + j], 0, what);
    csv_free(&a);
    csv_free(&b);
}

/* --- checkpoints ------------------------------------------------------------------- */

opened checkpoint_open(const char *checkpoint)
{
    opened o = {NULL, NULL, NULL};

    expect_ok(an_context_create(&o.ctx, NULL));
    expect_ok(an_model_load(&o.model, o.ctx, tiny_path(checkpoint), NULL));
    expect_ok(an_trainer_load(&o.trainer, o.model, tiny_path(checkpoint)));
    return o;
}

void checkpoint_close(opened *o)
{
    an_trainer_destroy(o->trainer);
    an_model_destroy(o->model);
    an_context_destroy(o->ctx);
}

note note_read(const char *checkpoint)
{
    uint8_t bytes[AN_TRAINER_NOTE_BYTES];
    opened o = checkpoint_open(checkpoint);
    note n;

    expect_ok(an_trainer_get_note(o.trainer, bytes));
    memcpy(&n, bytes, sizeof n);
    checkpoint_close(&o);
    return n;
}

void note_check(const note *got, const twin *t, const char *what)
{
    const an_loader_config *l = &t->plan.loader;
    an_pack_info info;

    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(t->pack, &info));
    expect_count(got->pictures, info.count, "%s: the note", what);
    expect_number(got->loss, t->loss, 1e-9 * t->loss, "%s: the note", what);
    expect_number(got->top1, t->top1, 1e-9 * t->top1, "%s: the note", what);
    expect_count(got->epochs, t->plan.epochs, "%s: the note", what);
    expect_count(got->batch, l->batch, "%s: the note", what);
    expect_count(got->colour_epochs, l->colour_epochs, "%s: the note", what);
    expect_number(got->colour_sigma, l->colour_sigma, 0, "%s: the note", what);
    expect_number(got->colour_divisor, l->colour_divisor, 0, "%s: the note", what);
    expect_count(got->crop_group, l->crop_group, "%s: the note", what);
    expect_count(got->augment, l->augment, "%s: the note", what);
    expect_count(got->colour_rule, l->colour_rule, "%s: the note", what);
    if (t->step == 0)
        ck_assert_msg(got->seconds == 0 && got->waited == 0,
                      "%s: between epochs the note has %g and %g seconds", what,
                      (double)got->seconds, (double)got->waited);
    else
        ck_assert_msg(got->seconds > 0 && got->waited > 0 && got->waited <= got->seconds,
                      "%s: the note has waited %g of %g seconds", what,
                      (double)got->waited, (double)got->seconds);
}

/* Where files differ: in the header, which is text, or behind it. */
static void same_bytes(const char *got, size_t got_size, const char *wanted,
                       size_t wanted_size, const char *what)
{
    size_t least = got_size < wanted_size ? got_size : wanted_size, i = 0, from;
    uint64_t header = 0;

    while (i < least && got[i] == wanted[i]) i++;
    if (i == least && got_size == wanted_size) return;
    memcpy(&header, got, sizeof header); /* safetensors: little-endian, as this machine */
    from = i > 60 ? i - 60 : 8;
    ck_assert_msg(i >= header + 8,
                  "%s: the files differ from byte %zu on: got \"%.100s\", wanted "
                  "\"%.100s\"",
                  what, i, got + from, wanted + from);
    ck_assert_msg(0,
                  "%s: parameters or velocities differ from byte %zu on, behind a header "
                  "of %llu; files of %zu and %zu bytes",
                  what, i, (unsigned long long)header, got_size, wanted_size);
}

void expect_same_files(const char *got, const char *wanted, const char *what)
{
    size_t got_size, wanted_size;
    char *a = file_read(got, &got_size), *b = file_read(wanted, &wanted_size);

    same_bytes(a, got_size, b, wanted_size, what);
    free(a);
    free(b);
}

void expect_checkpoint(twin *t, const char *checkpoint, const char *what)
{
    uint8_t bytes[AN_TRAINER_NOTE_BYTES] = {0};
    note n = note_read(checkpoint);

    note_check(&n, t, what);
    memcpy(bytes, &n, sizeof n);
    expect_ok(an_trainer_set_note(t->trainer, bytes));
    expect_ok(an_trainer_save(t->trainer, tiny_path("twin")));
    expect_same_files(checkpoint, "twin", what);
}

void expect_run(twin *t, const char *out, const char *what)
{
    char table[64];

    snprintf(table, sizeof table, "%s.csv", out);
    if (t->past.count > 0)
        expect_rows(t, table, what);
    else
        ck_assert_msg(!tiny_exists(table), "%s: a table, though no epoch has ended",
                      what);
    expect_checkpoint(t, out, what);
}

float *parameters_of(const an_model *model, size_t *count)
{
    an_parameter_info p;
    float *values = NULL;
    uint32_t i;

    *count = 0;
    an_parameter_info_init(&p, sizeof p);
    for (i = 0; an_parameter_describe(model, i, &p) == AN_OK; i++) {
        values = realloc(values, (*count + p.count) * sizeof *values);
        expect_ok(an_parameter_get(model, i, values + *count, p.count));
        *count += p.count;
    }
    return values;
}

/* --- what was printed -------------------------------------------------------------- */

size_t times_in(const char *text, const char *words)
{
    size_t times = 0;

    while ((text = strstr(text, words)) != NULL) {
        text += strlen(words);
        times++;
    }
    return times;
}

epoch_line line_of(const char *out, uint32_t epoch)
{
    const char *at;
    char begin[32];
    epoch_line line;
    int read = 0, end = 0;

    memset(&line, 0, sizeof line);
    snprintf(begin, sizeof begin, "epoch %u: ", epoch);
    expect_count(times_in(out, begin), 1, "lines \"%s\"", begin);
    at = strstr(out, begin) + strlen(begin);
    read = sscanf(at, "loss %lf, top-1 %lf %%%n", &line.loss, &line.top1, &end);
    ck_assert_msg(read == 2 && end > 0, "not understood: \"%.90s\"", at);
    at += end;
    end = 0;
    if (sscanf(at, "; held out: loss %lf, top-1 %lf %%, top-5 %lf %%%n",
               &line.held_out_loss, &line.held_out_top1, &line.held_out_top5, &end) > 0) {
        line.held_out = 1;
        ck_assert_msg(end > 0, "not understood: \"%.90s\"", at);
        at += end;
    }
    end = 0;
    read = sscanf(at, "; rate %lf, %lf images/s, waited %lf %%%n", &line.rate,
                  &line.speed, &line.waited, &end);
    ck_assert_msg(read == 3 && end > 0 && at[end] == '\n', "not understood: \"%.90s\"",
                  at);
    return line;
}
