/*
 * rows.h - rows of named values for scripts, as CSV (RFC 4180) or as JSON: a line for
 * each, and in CSV one with the names before them. The values are given one after the
 * other, in the order of the names, and a row ends with the last.
 */
#ifndef ROWS_H
#define ROWS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum format { FORMAT_TEXT, FORMAT_CSV, FORMAT_JSON } format;

/* Of an option's value; exits if it names none. */
format format_find(const char *name);

typedef struct rows {
    format form;
    const char *const *names; /* the caller's */
    size_t count;             /* of names */
    const char *between;      /* rows of JSON, instead of a line's end; null: that */
    size_t at, done;          /* the next value's place in its row; whole rows */
} rows;

/* On standard output; CSV begins with the names. FORMAT_TEXT makes no rows. */
void rows_begin(rows *r, format form, const char *const *names, size_t count);
/* JSON's objects within an array that the caller opens and closes. */
void rows_begin_within(rows *r, const char *const *names, size_t count);

void rows_text(rows *r, const char *text);
void rows_count(rows *r, uint64_t number);
/* true or false; in CSV 1 or 0. */
void rows_flag(rows *r, int flag);
/* With as many digits as a float has; null, or an empty field, if it is not finite. */
void rows_real(rows *r, double number);
/* JSON's array of them. */
void rows_reals(rows *r, const float *numbers, size_t count);

#endif
