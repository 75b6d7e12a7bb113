/*
 * progress.h - one line that says how far, how fast and how long still.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

typedef struct progress {
    double started, shown; /* seconds */
    double done;           /* units of work since `started` */
    int tty;
} progress;

double seconds_now(void);
progress progress_start(void);

/* Shows `text`, the rate and the time left for `left` more units: over the last line on a
 * terminal, as a new line every ten seconds elsewhere. */
void progress_show(progress *p, const char *text, double left);
void progress_clear(const progress *p);

/* Calls handler at ^C or a request to end; the second one ends the program at once. */
void interrupt_catch(void (*handler)(int));

#endif
