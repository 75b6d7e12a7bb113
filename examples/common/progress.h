/*
 * progress.h - one line that says how far, how fast and how long still.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include "options.h"

/* In an option's table: lines where there is no terminal, too. */
extern int progress_lines;
#define PROGRESS_OPTION                                                                  \
    FLAG_OPTION("--progress", &progress_lines,                                           \
                "a line every ten seconds, where standard error is no terminal")

typedef struct progress {
    double started, shown; /* seconds */
    double done;           /* units of work since `started` */
    int tty;
} progress;

double seconds_now(void);
progress progress_start(void);

/* Shows `text`, the rate and the time left for `left` more units, on standard error: on a
 * terminal over the last line, elsewhere as --progress says, or not at all. */
void progress_show(progress *p, const char *text, double left);
void progress_clear(const progress *p);

/* Calls handler at ^C or a request to end; the second one ends the program at once. */
void interrupt_catch(void (*handler)(int));

#endif
