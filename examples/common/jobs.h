/*
 * jobs.h - pictures on their way from a list to a pack: read, fitted, encoded, on
 * threads.
 */
#ifndef JOBS_H
#define JOBS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "listing.h"

enum { JOBS = 256 }; /* at a time */

typedef struct job {
    const item *from;
    uint32_t set;            /* the caller's: which pack */
    uint8_t *pixels, *bytes; /* side * side * 3; of the JPEG file, if one is wanted */
    size_t count;
    char error[160]; /* "" if there is none */
} job;

typedef struct jobs {
    uint32_t side, threads;
    int warp, quality; /* quality: of JPEG files; 0: none are wanted */
    job all[JOBS];
    uint32_t count, next;
    pthread_mutex_t lock;
} jobs;

void jobs_open(jobs *j, uint32_t side, uint32_t threads);
void jobs_close(jobs *j);
/* The first `count` of them, on all threads, this one included; bytes are the caller's to
 * free. */
void jobs_run(jobs *j);

#endif
