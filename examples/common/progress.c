/*
 * progress.c - one line that says how far, how fast and how long still.
 */
#define _POSIX_C_SOURCE 200809L
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int progress_lines;

double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* That obeys the escape that clears a line. */
static int is_terminal(void)
{
    const char *kind = getenv("TERM");

    return isatty(STDERR_FILENO) && kind != NULL && strcmp(kind, "dumb") != 0;
}

progress progress_start(void)
{
    progress p = {seconds_now(), 0, 0, is_terminal()};

    if (!p.tty) p.shown = p.started; /* a short job fills no log */
    return p;
}

void progress_show(progress *p, const char *text, double left)
{
    double now = seconds_now(), rate = p->done / (now - p->started);
    long rest = rate > 0 ? (long)(left / rate) : 0;

    if ((!p->tty && !progress_lines) || now - p->shown < (p->tty ? 0.2 : 10)) return;
    p->shown = now;
    fflush(stdout); /* what was said before stands before */
    fprintf(stderr, "%s%s  %.1f images/s  %ld:%02ld:%02ld left%s", p->tty ? "\r" : "",
            text, rate, rest / 3600, rest / 60 % 60, rest % 60, p->tty ? "\033[K" : "\n");
    fflush(stderr);
}

void progress_clear(const progress *p)
{
    if (!p->tty) return;
    fflush(stdout);
    fputs("\r\033[K", stderr);
}

void interrupt_catch(void (*handler)(int))
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}
