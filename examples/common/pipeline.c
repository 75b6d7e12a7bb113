/*
 * pipeline.c - how fast a pack's pictures come: out of the loader, and the whole way into
 * training steps.
 *
 * All rates are those of what goes on: batches' memory has been touched, a device has
 * recorded its step, and what was prepared beforehand is used up when the clock starts.
 * Pictures that the system must read, or that this process has not touched yet, take as
 * long as they take: what a later epoch has is seen with a pack of which each measurement
 * reads all.
 */
#define _POSIX_C_SOURCE 200809L
#include "pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "options.h"
#include "picture.h"
#include "progress.h"

void pipeline_open(pipeline *p, an_context *ctx, const char *path)
{
    memset(p, 0, sizeof *p);
    p->path = path;
    an_pack_info_init(&p->info, sizeof p->info);
    an_source_init(&p->source, sizeof p->source);
    if (an_pack_open(&p->pack, ctx, path, picture_decode, NULL) != AN_OK ||
        an_pack_describe(p->pack, &p->info) != AN_OK ||
        an_pack_source(p->pack, &p->source) != AN_OK)
        fail(path);
}

void pipeline_prepare(pipeline *p, an_model *model)
{
    p->model = model;
    if (an_pack_prepare_model(p->pack, model, 0, 1) != AN_OK) fail(p->path);
}

void pipeline_close(pipeline *p)
{
    an_pack_destroy(p->pack);
}

static const char *kind(const pipeline *p)
{
    return p->info.kind == AN_PACK_RAW ? "raw" : "JPEG";
}

static uint32_t crops(const pipeline *p)
{
    an_model_info info;

    an_model_info_init(&info, sizeof info);
    if (an_model_describe(p->model, &info) != AN_OK) fail("model");
    return info.image_size;
}

/* --- the loader -------------------------------------------------------------------- */

static int fetch_again(uint64_t index, an_sample *sample, void *user)
{
    const an_source *pack = user;

    return pack->fetch(index % pack->count, sample, pack->user);
}

/* The pack's pictures, a few of them twice or left out, so that all batches are of one
 * size: a smaller one at the end of an epoch is rare where there are many pictures, but
 * costs a device that has recorded its step another recording. */
static an_source whole_batches(const pipeline *p, uint32_t batch)
{
    an_source again = p->source;

    again.count = p->source.count / batch * batch;
    if (again.count == 0) again.count = batch;
    again.fetch = fetch_again;
    again.user = (void *)(uintptr_t)&p->source;
    return again;
}

static an_loader *open_loader(const pipeline *p, uint32_t batch, uint32_t workers,
                              uint32_t keep_uint8, an_loader_config *config)
{
    an_source source = whole_batches(p, batch);
    an_loader *loader;

    an_loader_config_init(config, sizeof *config);
    config->batch = batch;
    config->workers = workers;
    config->keep_uint8 = keep_uint8;
    if (an_loader_create(&loader, p->model, &source, config) != AN_OK) fail("loader");
    return loader;
}

static an_batch next_batch(const pipeline *p, an_loader *loader)
{
    an_batch batch;

    an_batch_init(&batch, sizeof batch);
    if (an_loader_next(loader, &batch) != AN_OK) fail(p->path);
    return batch;
}

static double prepared(an_loader *loader)
{
    an_loader_info info;

    an_loader_info_init(&info, sizeof info);
    if (an_loader_describe(loader, &info) != AN_OK) fail("loader");
    return (double)info.prepared;
}

/* Images a second while somebody takes each batch as soon as it is there. */
static double drained(const pipeline *p, uint32_t batch, uint32_t workers,
                      uint32_t keep_uint8)
{
    an_loader_config config;
    an_loader *loader = open_loader(p, batch, workers, keep_uint8, &config);
    double started = seconds_now(), before, now;
    uint32_t i;

    for (i = 0; i <= config.prefetch && (i == 0 || seconds_now() - started < p->seconds);
         i++)
        next_batch(p, loader);
    before = prepared(loader);
    started = seconds_now();
    do {
        next_batch(p, loader);
        now = seconds_now();
    } while (now - started < p->seconds);
    before = prepared(loader) - before;
    an_loader_destroy(loader);
    return before / (now - started);
}

/* --- the loader alone -------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static int takes_bytes(const pipeline *p)
{
    an_loader_config config;
    an_loader *loader = open_loader(p, 1, 1, 1, &config);
    int bytes = next_batch(p, loader).crops != NULL;

    an_loader_destroy(loader);
    return bytes;
}

/* The rates of all runs, in turn: [form][one worker, all][run]. */
static double *loader_rates(const pipeline *p, uint32_t forms)
{
    double *rates = allocate(4 * p->runs * sizeof *rates);
    unsigned long run;
    uint32_t form, all;

    for (run = 0; run < p->runs; run++)
        for (form = 0; form < forms; form++)
            for (all = 0; all < (p->workers > 1 ? 2 : 1); all++)
                rates[(2 * form + all) * p->runs + run] =
                    drained(p, 128, all ? p->workers : 1, form);
    return rates;
}

static void name_workers(char text[24], uint32_t workers)
{
    if (workers == 1)
        snprintf(text, 24, "one worker");
    else
        snprintf(text, 24, "%u workers", workers);
}

void pipeline_loader(const pipeline *p)
{
    uint32_t forms = takes_bytes(p) ? 2 : 1, form, all;
    double *rates = loader_rates(p, forms);
    char who[24];

    for (form = 0; form < forms; form++)
        for (all = 0; all < (p->workers > 1 ? 2 : 1); all++) {
            double *of = rates + (2 * form + all) * p->runs;

            name_workers(who, all ? p->workers : 1);
            qsort(of, p->runs, sizeof *of, by_size);
            printf("loader, %s pack of %u x %u, crops of %u as %s, %s: %.0f images/s "
                   "(%.0f .. %.0f)\n",
                   kind(p), p->info.side, p->info.side, crops(p),
                   form == 0 ? "floats" : "bytes", who, of[p->runs / 2], of[0],
                   of[p->runs - 1]);
        }
    free(rates);
}

/* --- the whole way ----------------------------------------------------------------- */

typedef struct stepping {
    const pipeline *p;
    an_trainer *trainer;
    an_loader *loader;
    an_batch batch;            /* the one that the loader gave last */
    int again;                 /* it is trained on again and again */
    uint32_t in_flight, ahead; /* steps that have begun; how many may */
    double images, waited;     /* of steps that have ended; seconds, for the loader */
} stepping;

static void begin_step(stepping *s)
{
    double started = seconds_now();

    if (!s->again) s->batch = next_batch(s->p, s->loader);
    s->waited += seconds_now() - started;
    if (an_train_step_begin(s->trainer, &s->batch) != AN_OK) fail("training");
    s->in_flight++;
}

static void end_step(stepping *s)
{
    if (an_train_step_end(s->trainer, NULL) != AN_OK) fail("training");
    s->in_flight--;
    s->images += s->batch.count; /* all have as many */
}

/* Steps until `seconds` are over, at most `most` of them; the time that they took. */
static double do_steps(stepping *s, double seconds, uint32_t most)
{
    double started = seconds_now(), now = started;

    s->images = s->waited = 0;
    while (most-- > 0 && now - started < seconds) {
        while (s->in_flight < s->ahead) begin_step(s);
        end_step(s);
        now = seconds_now();
    }
    return now - started;
}

/* Until the loader has all batches that it may have, and its workers rest. */
static void wait_until_full(const stepping *s, const an_loader_config *config)
{
    const struct timespec moment = {0, 1000000};

    while (prepared(s->loader) < (double)(config->prefetch + 1) * config->batch)
        nanosleep(&moment, NULL);
}

void pipeline_heading(const pipeline *p)
{
    char all[24];

    name_workers(all, p->workers);
    printf("%s pack of %u x %u, %llu pictures over and over, crops of %u; images/s:\n\n",
           kind(p), p->info.side, p->info.side, (unsigned long long)p->info.count,
           crops(p));
    printf("%-8s %5s %10s %9s %12s %12s %12s   90 epochs of 1.28 M\n", "", "batch",
           "whole way", "waited", "one worker", all, "step alone");
}

void pipeline_steps(const pipeline *p, uint32_t batch)
{
    double one, all, alone, took, rate;
    an_trainer_config trainer;
    an_loader_config config;
    stepping s;

    /* One worker is as fast with any batch, and a large one would take it too long. */
    one = drained(p, batch < 128 ? batch : 128, 1, 1);
    all = drained(p, batch, p->workers, 1);
    memset(&s, 0, sizeof s);
    s.p = p;
    an_trainer_config_init(&trainer, sizeof trainer);
    trainer.batch = batch;
    trainer.rate = 1e-6f; /* it is not about learning; no risk of divergence */
    if (an_trainer_create(&s.trainer, p->model, &trainer) != AN_OK) fail("trainer");
    s.loader = open_loader(p, batch, p->workers, 1, &config);
    s.batch = next_batch(p, s.loader);
    s.ahead = s.batch.images == NULL ? 2 : 1; /* only bytes travel beside a step */
    s.again = 1;
    wait_until_full(&s, &config);
    do_steps(&s, p->seconds, 3); /* a device may record the second */
    took = do_steps(&s, p->seconds, UINT32_MAX);
    alone = s.images / took;
    s.again = 0;
    do_steps(&s, p->seconds, s.in_flight + config.prefetch + 1);
    took = do_steps(&s, p->seconds, UINT32_MAX);
    rate = s.images / took;
    printf("%-8s %5u %10.1f %7.1f %% %12.0f %12.0f %12.1f   %.1f minutes\n", "pipeline",
           batch, rate, 100 * s.waited / took, one, all, alone, 90 * 1.28e6 / rate / 60);
    fflush(stdout);
    while (s.in_flight > 0) end_step(&s);
    an_loader_destroy(s.loader);
    an_trainer_destroy(s.trainer);
}
