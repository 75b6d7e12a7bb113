/*
 * programs.h - the example programs, run as a user runs them, and what they said.
 *
 * Each test gets a folder of its own, which is the programs' current folder, and is
 * removed after it. A test looks at what a program printed and wrote, and computes the
 * same by the library's public functions or by itself.
 */
#ifndef AN_TEST_PROGRAMS_H
#define AN_TEST_PROGRAMS_H

#include <stddef.h>

#include "choose.h"
#include "expect.h"

/* What a program said; both texts are the caller's to free by said_free(). */
typedef struct said {
    int code; /* its exit status; 128 + n: signal n ended it */
    char *out, *err;
} said;

/* Makes the test's folder, and tells it. */
void programs_setup(void);
void programs_teardown(void);
const char *programs_folder(void);

/* Runs "PROGRAM arguments" (of build/examples) through a shell in the test's folder;
 * `format` knows what printf does. */
said run_program(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, which must end with `code` and whose stderr must contain `words`. */
void program_fails(int code, const char *words, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, which must succeed; *out gets its stdout, the caller's to free, unless
 * null. */
void program_succeeds(char **out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void said_free(said *s);

/* The same, not waited for; its pid. Its output is where run_program() has it. */
int program_start(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Waits for it; at most half a minute, then it is killed. */
said program_end(int pid);
/* How many threads a program has that was started; 0: it has ended. */
int program_threads(int pid);

/* A file of the test's folder, whole, with a 0 behind it; the caller frees it. */
char *file_read(const char *name, size_t *bytes);
/* Damages one bit of a file's byte. */
void byte_flip(const char *name, size_t at);

/* A table as programs write it: names, then rows of numbers; an empty field is NaN. */
typedef struct csv {
    char **names;  /* [columns] */
    double *cells; /* [rows][columns] */
    size_t columns, rows;
} csv;

csv csv_read(const char *name);
void csv_free(csv *table);
/* The number in a row and the column of that name, which must be there. */
double csv_cell(const csv *table, size_t row, const char *column);

/* The suites: programs_NAME.c. */
Suite *parts_suite(void);
Suite *train_suite(void);
Suite *setup_suite(void);
Suite *rates_suite(void);
Suite *from_suite(void);
Suite *resume_suite(void);
Suite *refusals_suite(void);
Suite *options_suite(void);
Suite *chart_suite(void);
Suite *pipeline_suite(void);
Suite *listing_suite(void);
Suite *feeds_suite(void);
Suite *bench_suite(void);
Suite *limits_suite(void);
Suite *shapes_suite(void);
Suite *info_suite(void);
Suite *plot_suite(void);
Suite *canvas_suite(void);
Suite *similar_suite(void);
Suite *classify_suite(void);
Suite *evaluate_suite(void);
Suite *waits_suite(void);
Suite *prepare_suite(void);
Suite *pictures_suite(void);
Suite *formats_suite(void);
Suite *outputs_suite(void);

#endif
