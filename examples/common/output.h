/*
 * output.h - files that programs write: beside their name, which they get when they are
 * whole; and names that one program at a time writes to.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdio.h>

typedef struct output {
    FILE *file;
    const char *path; /* the caller's */
    char *beside;     /* null: what is there is a link or a device, and is written to */
} output;

/* 0, or -1 and errno. */
int output_begin(output *o, const char *path);
/* The same; what could not be written leaves the old file as it was. */
int output_end(output *o);

/* Exits if nothing can be written there: of a long job's output that is better said at
 * its beginning. `what`: the option, or an empty text. */
void output_check(const char *what, const char *path);

/* Whether both name one file; null names none. */
int same_file(const char *a, const char *b);
/* Exits if the output is the input. */
void output_apart(const char *out, const char *in);

/* Until this process ends, PATH.lock is its own: another one that asks for it says whose
 * it is and exits with 1. */
void output_lock(const char *path);

#endif
