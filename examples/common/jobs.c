/*
 * jobs.c - reading, fitting and encoding pictures on threads.
 */
#include "jobs.h"

#include <alexnet.h>
#include <stdio.h>
#include <stdlib.h>

#include "options.h"

void jobs_open(jobs *j, uint32_t side, uint32_t threads)
{
    uint32_t i;

    j->side = side;
    j->threads = threads;
    pthread_mutex_init(&j->lock, NULL);
    for (i = 0; i < JOBS; i++) j->all[i].pixels = allocate((size_t)3 * side * side);
}

void jobs_close(jobs *j)
{
    uint32_t i;

    for (i = 0; i < JOBS; i++) free(j->all[i].pixels);
    pthread_mutex_destroy(&j->lock);
}

static void fit(const jobs *j, job *one, const picture *p)
{
    an_image image;

    an_image_init(&image, sizeof image);
    image.pixels = p->pixels;
    image.width = p->width;
    image.height = p->height;
    if ((j->warp ? an_image_warp : an_image_fit)(&image, j->side, one->pixels,
                                                 (size_t)3 * j->side * j->side) != AN_OK)
        snprintf(one->error, sizeof one->error, "%s", an_error_message());
}

static void do_one(const jobs *j, job *one)
{
    const char *error;
    picture p;

    one->error[0] = '\0';
    one->bytes = NULL;
    one->count = 0;
    error = item_read(one->from, &p);
    if (error != NULL) {
        snprintf(one->error, sizeof one->error, "%s", error);
        return;
    }
    fit(j, one, &p);
    picture_free(&p);
    if (one->error[0] != '\0' || j->quality == 0) return;
    one->bytes = picture_encode(one->pixels, j->side, j->quality, &one->count);
    if (one->bytes == NULL) snprintf(one->error, sizeof one->error, "cannot be encoded");
}

static void *do_some(void *arg)
{
    jobs *j = arg;

    for (;;) {
        uint32_t mine;

        pthread_mutex_lock(&j->lock);
        mine = j->next++;
        pthread_mutex_unlock(&j->lock);
        if (mine >= j->count) return NULL;
        do_one(j, &j->all[mine]);
    }
}

void jobs_run(jobs *j)
{
    pthread_t others[256];
    uint32_t i, started = 0;

    j->next = 0;
    for (i = 1; i < j->threads && i < j->count; i++)
        started += pthread_create(&others[started], NULL, do_some, j) == 0;
    do_some(j);
    for (i = 0; i < started; i++) pthread_join(others[i], NULL);
}
