/*
 * test_sources.c - what a loader asks of a source and of its settings: pictures that
 * fail, memory of each worker, limits, structs of another length.
 */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "expect.h"
#include "gallery.h"
#include "test.h"

enum { SIZE = 17, SIDE = 22, COUNT = 7, BATCH = 3, STEPS = 3 };

static void open_seven(gallery *g)
{
    gallery_shape shape = {COUNT, 33, 26, SIDE, SIZE, 0, NULL};

    gallery_open(g, &shape);
}

static void nap(long microseconds)
{
    struct timespec pause = {0, microseconds * 1000};

    nanosleep(&pause, NULL);
}

/* --- pictures that fail ------------------------------------------------------------ */

/* A source with faults: what fault picture i has, 0 for none. */
typedef struct faulty {
    gallery g;
    int fault[COUNT];
    uint64_t slow; /* a picture whose fetch takes long */
} faulty;

enum {
    FINE,
    NOT_FETCHED,
    LABEL_LOW,
    LABEL_HIGH,
    NO_PIXELS,
    NO_WIDTH,
    TOO_WIDE,
    NO_HEIGHT,
    TOO_HIGH,
    CLOSE_ROWS,
    FAULTS
};

static const struct {
    an_status status;
    const char *words;
} told[FAULTS] = {{AN_OK, ""},
                  {AN_ERROR_IO, "could not fetch"},
                  {AN_ERROR_ARGUMENT, "label is -1: must be 0 to 9"},
                  {AN_ERROR_ARGUMENT, "label is 10: must be 0 to 9"},
                  {AN_ERROR_ARGUMENT, "pixels is null"},
                  {AN_ERROR_ARGUMENT, "width is 0"},
                  {AN_ERROR_ARGUMENT, "width is 32769"},
                  {AN_ERROR_ARGUMENT, "height is 0"},
                  {AN_ERROR_ARGUMENT, "height is 32769"},
                  {AN_ERROR_ARGUMENT, "row_bytes is"}};

static int faulty_fetch(uint64_t index, an_sample *sample, void *user)
{
    faulty *f = user;
    an_image image = gallery_image(&f->g, (uint32_t)index);
    int fault = f->fault[index];

    if (index == f->slow) nap(5000);
    sample->pixels = fault == NO_PIXELS ? NULL : image.pixels;
    sample->width = fault == NO_WIDTH ? 0 : fault == TOO_WIDE ? 32769 : image.width;
    sample->height = fault == NO_HEIGHT ? 0 : fault == TOO_HIGH ? 32769 : image.height;
    sample->row_bytes = fault == CLOSE_ROWS ? (size_t)3 * image.width - 1 : 0;
    sample->label = fault == LABEL_LOW    ? -1
                    : fault == LABEL_HIGH ? 10
                                          : gallery_label(index);
    return fault == NOT_FETCHED;
}

static void open_faulty(faulty *f)
{
    open_seven(&f->g);
    memset(f->fault, 0, sizeof f->fault);
    f->slow = NOBODY;
    f->g.source.fetch = faulty_fetch;
    f->g.source.user = f;
}

/* An epoch from step 0, in the source's order: steps with faults fail by the first of
 * them, and leave the host's struct as it was; all others are the account's. */
static void epoch_with_faults(faulty *f, const an_loader_config *c, an_loader *loader,
                              uint32_t epoch)
{
    uint32_t step, i;

    for (step = 0; step < STEPS; step++) {
        an_batch batch, before;
        char what[64];

        for (i = step * BATCH; i < COUNT && i < (step + 1) * BATCH; i++)
            if (f->fault[i]) break;
        an_batch_init(&batch, sizeof batch);
        batch.count = 77;
        before = batch;
        if (i == COUNT || i == (step + 1) * BATCH) {
            expect_ok(an_loader_next(loader, &batch));
            account_batch(&f->g, c, NULL, &batch, epoch, step, "beside faults");
            continue;
        }
        expect_refused(an_loader_next(loader, &batch), told[f->fault[i]].status,
                       told[f->fault[i]].words);
        snprintf(what, sizeof what, "picture %u:", i);
        ck_assert_msg(strncmp(an_error_message(), what, strlen(what)) == 0,
                      "wanted a message about picture %u, got \"%s\"", i,
                      an_error_message());
        expect_bytes(&batch, &before, sizeof batch, "the batch's struct");
    }
}

START_TEST(the_first_fault_of_a_batch_is_told)
{
    static const int sets[][COUNT] = {{NOT_FETCHED},
                                      {0, 0, LABEL_LOW},
                                      {0, LABEL_HIGH, NOT_FETCHED},
                                      {0, 0, 0, NO_PIXELS, 0, 0, NO_WIDTH},
                                      {0, 0, 0, 0, TOO_WIDE, NO_HEIGHT},
                                      {TOO_HIGH, NOT_FETCHED, NOT_FETCHED, CLOSE_ROWS},
                                      {NOT_FETCHED, 0, 0, LABEL_LOW, 0, 0, NO_PIXELS}};
    uint32_t workers;
    faulty f;
    size_t i;

    open_faulty(&f);
    for (i = 0; i < sizeof sets / sizeof sets[0]; i++)
        for (workers = 1; workers < 5; workers++) {
            an_loader_config c = gallery_loading(BATCH, workers);
            an_loader *loader;

            c.shuffle = 0;
            memcpy(f.fault, sets[i], sizeof f.fault);
            loader = gallery_loader(&f.g, &c);
            epoch_with_faults(&f, &c, loader, 0);
            epoch_with_faults(&f, &c, loader, 1);
            memset(f.fault, 0, sizeof f.fault);
            expect_ok(an_loader_seek(loader, 0, 0)); /* the source is mended */
            epoch_with_faults(&f, &c, loader, 0);
            an_loader_destroy(loader);
        }
    gallery_close(&f.g);
}
END_TEST

/* Workers take some pictures each, and the later one may fail first: it is not the one
 * told. */
START_TEST(the_first_fault_is_told_whoever_is_faster)
{
    an_loader_config c = gallery_loading(COUNT, 2);
    uint64_t slow;
    faulty f;

    open_faulty(&f);
    c.shuffle = 0;
    f.fault[2] = LABEL_LOW;
    f.fault[3] = NO_WIDTH; /* of the same worker */
    f.fault[5] = NOT_FETCHED;
    for (slow = 0; slow < COUNT; slow++) {
        an_loader *loader;
        an_batch batch;

        f.slow = slow;
        an_batch_init(&batch, sizeof batch);
        loader = gallery_loader(&f.g, &c);
        expect_refused(an_loader_next(loader, &batch), AN_ERROR_ARGUMENT,
                       "picture 2: its label is -1");
        an_loader_destroy(loader);
    }
    gallery_close(&f.g);
}
END_TEST

/* --- what a fetch is given --------------------------------------------------------- */

enum { WORKERS = 4, SCRATCH = 3 * 33 * 26 };

/* A source that decodes into its worker's memory, slowly, and notes what is not as it
 * should. */
typedef struct decoding {
    gallery g;
    pthread_mutex_t lock;
    void *memory[WORKERS + 1]; /* of workers, as they were seen */
    uint32_t seen;
    int strange_sample, unblocked;
} decoding;

static void look_at(decoding *d, const an_sample *sample)
{
    an_sample empty;
    sigset_t mask;
    uint32_t i;

    memset(&empty, 0, sizeof empty);
    empty.size = sizeof empty;
    empty.scratch = sample->scratch;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    pthread_mutex_lock(&d->lock);
    d->strange_sample |= memcmp(sample, &empty, sizeof empty) != 0;
    d->strange_sample |= (sample->scratch == NULL) != (d->g.source.scratch_bytes == 0);
    d->unblocked |= !sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGUSR1);
    for (i = 0; i < d->seen && d->memory[i] != sample->scratch; i++) continue;
    if (i == d->seen && d->seen < WORKERS + 1) d->memory[d->seen++] = sample->scratch;
    pthread_mutex_unlock(&d->lock);
}

static int decoding_fetch(uint64_t index, an_sample *sample, void *user)
{
    decoding *d = user;
    an_image image = gallery_image(&d->g, (uint32_t)index);

    look_at(d, sample);
    sample->pixels = image.pixels;
    if (sample->scratch != NULL) {
        memcpy(sample->scratch, image.pixels, SCRATCH);
        nap(200);
        sample->pixels = sample->scratch;
    }
    sample->width = image.width;
    sample->height = image.height;
    sample->label = gallery_label(index);
    return 0;
}

START_TEST(each_worker_has_memory_of_its_own)
{
    static const size_t scratch[] = {SCRATCH, 0};
    an_loader_config c = gallery_loading(COUNT, WORKERS);
    sigset_t before, after;
    decoding d;
    size_t i;

    pthread_sigmask(SIG_BLOCK, NULL, &before);
    open_seven(&d.g);
    pthread_mutex_init(&d.lock, NULL);
    for (i = 0; i < 2; i++) {
        an_loader *loader;
        uint32_t epoch;

        d.seen = 0, d.strange_sample = d.unblocked = 0;
        d.g.source.fetch = decoding_fetch;
        d.g.source.user = &d;
        d.g.source.scratch_bytes = scratch[i];
        loader = gallery_loader(&d.g, &c);
        for (epoch = 0; epoch < 8; epoch++) {
            an_batch batch = gallery_next(loader);

            account_batch(&d.g, &c, NULL, &batch, epoch, 0, "decoded");
        }
        an_loader_destroy(loader);
        expect_count(d.strange_sample, 0, "samples that were not empty");
        expect_count(d.unblocked, 0, "workers that the host's signals reach");
        ck_assert_msg(i == 1 ? d.seen == 1 : d.seen >= 2 && d.seen <= WORKERS,
                      "%u workers had memory of their own, of %d", d.seen, WORKERS);
    }
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    expect_count(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM),
                 "whether the host blocks SIGTERM");
    pthread_mutex_destroy(&d.lock);
    gallery_close(&d.g);
}
END_TEST

/* --- limits ------------------------------------------------------------------------ */

typedef struct limit {
    const char *name;
    size_t offset;
    int is_float;
    double good[2], bad[2];
} limit;

#define FIELD(field, is_float, good0, good1, bad0, bad1)                                 \
    {                                                                                    \
        "config." #field, offsetof(an_loader_config, field), is_float, {good0, good1},   \
        {                                                                                \
            bad0, bad1                                                                   \
        }                                                                                \
    }

static const limit limits[] = {FIELD(batch, 0, 1, 8192, 0, 8193),
                               FIELD(workers, 0, 1, 256, 0, 257),
                               FIELD(prefetch, 0, 1, 64, 0, 65),
                               FIELD(shuffle, 0, 0, 1, 2, UINT32_MAX),
                               FIELD(augment, 0, 0, 7, 8, 9),
                               FIELD(crop_group, 0, 1, 8192, 0, 8193),
                               FIELD(colour_rule, 0, 0, 1, 2, UINT32_MAX),
                               FIELD(colour_sigma, 1, 0, 10, -0.001, 10.001),
                               FIELD(colour_sigma, 1, 1, 2, NAN, INFINITY),
                               FIELD(colour_divisor, 1, 0.1, 10, 0.0999, 10.001),
                               FIELD(colour_divisor, 1, 1, 2, NAN, -1),
                               FIELD(keep_uint8, 0, 0, 1, 2, UINT32_MAX),
                               FIELD(reserved, 0, 0, 0, 1, UINT32_MAX)};

static an_status made_with(gallery *g, const limit *l, double value)
{
    an_loader_config c = gallery_loading(1, 1);
    uint32_t whole = l->is_float ? 0 : (uint32_t)value;
    an_loader *loader = NULL;
    float real = (float)value;
    an_status status;

    memcpy((char *)&c + l->offset, l->is_float ? (void *)&real : (void *)&whole, 4);
    status = an_loader_create(&loader, g->model, &g->source, &c);
    ck_assert_msg((loader != NULL) == (status == AN_OK), "%s is %g: %s, loader %p",
                  l->name, value, an_status_string(status), (void *)loader);
    an_loader_destroy(loader);
    return status;
}

START_TEST(every_setting_of_a_loader_has_its_limits)
{
    gallery g;
    size_t i, k;

    open_seven(&g);
    for (i = 0; i < sizeof limits / sizeof limits[0]; i++)
        for (k = 0; k < 2; k++) {
            expect_ok(made_with(&g, &limits[i], limits[i].good[k]));
            expect_refused(made_with(&g, &limits[i], limits[i].bad[k]), AN_ERROR_ARGUMENT,
                           limits[i].name);
        }
    g.source.count = 0;
    expect_refused(made_with(&g, &limits[0], 1), AN_ERROR_ARGUMENT, "source.count is 0");
    g.source.count = 1;
    expect_ok(made_with(&g, &limits[0], 1));
    g.source.fetch = NULL;
    expect_refused(made_with(&g, &limits[0], 1), AN_ERROR_ARGUMENT, "source.fetch");
    gallery_close(&g);
}
END_TEST

START_TEST(settings_of_a_loader_have_their_defaults)
{
    an_loader_config c;

    memset(&c, 0xa5, sizeof c);
    an_loader_config_init(&c, sizeof c);
    expect_count(c.size, sizeof c, "size");
    expect_count(c.batch, 128, "batch");
    expect_count(c.workers, 1, "workers");
    expect_count(c.prefetch, 2, "prefetch");
    expect_count(c.shuffle, 1, "shuffle");
    expect_count(c.augment, 7, "augment");
    expect_count(c.crop_group, 1, "crop_group");
    expect_count(c.colour_rule, AN_COLOUR_DEVIATION, "colour_rule");
    expect_number(c.colour_sigma, 0.1f, 0, "colour_sigma");
    expect_number(c.colour_divisor, 1, 0, "colour_divisor");
    expect_count(c.colour_epochs, 0, "colour_epochs");
    expect_count(c.seed, 0, "seed");
    expect_count(c.keep_uint8, 0, "keep_uint8");
    expect_count(c.reserved, 0, "reserved");
}
END_TEST

/* Noise wants an axis along which to move: one deviation that is not 0 is enough. */
START_TEST(noise_wants_a_deviation)
{
    uint32_t which, augment;
    gallery g;

    open_seven(&g);
    for (which = 0; which < 4; which++)
        for (augment = 0; augment < 8; augment++) {
            an_loader_config c = gallery_loading(1, 1);
            an_preprocessing p = gallery_preprocessing(&g);
            an_loader *loader = NULL;

            memset(p.colour_deviation, 0, sizeof p.colour_deviation);
            if (which < 3) p.colour_deviation[which] = 1;
            gallery_set(&g, &p);
            c.augment = augment;
            if (which == 3 && augment & AN_AUGMENT_COLOUR)
                expect_refused(an_loader_create(&loader, g.model, &g.source, &c),
                               AN_ERROR_STATE, "colour_deviation");
            else
                expect_ok(an_loader_create(&loader, g.model, &g.source, &c));
            an_loader_destroy(loader);
            c.colour_sigma = 0; /* there is no noise */
            expect_ok(an_loader_create(&loader, g.model, &g.source, &c));
            an_loader_destroy(loader);
        }
    gallery_close(&g);
}
END_TEST

/* --- structs of another length ----------------------------------------------------- */

typedef struct long_batch {
    an_batch now;
    uint64_t later[3];
} long_batch;

/* A struct that is refused costs no batch. */
START_TEST(a_batchs_struct_may_be_longer)
{
    an_loader_config c = gallery_loading(BATCH, 1);
    an_loader *loader;
    long_batch longer;
    an_batch batch;
    gallery g;

    open_seven(&g);
    loader = gallery_loader(&g, &c);
    an_batch_init(&batch, sizeof batch);
    batch.size--;
    expect_refused(an_loader_next(loader, &batch), AN_ERROR_ARGUMENT, "batch.size");
    expect_refused(an_loader_next(loader, NULL), AN_ERROR_ARGUMENT, "batch is null");
    memset(&longer, 0, sizeof longer);
    an_batch_init(&longer.now, sizeof longer);
    longer.later[1] = 1;
    expect_refused(an_loader_next(loader, &longer.now), AN_ERROR_VERSION, "batch");
    longer.later[1] = 0;
    expect_ok(an_loader_next(loader, &longer.now));
    expect_count(longer.now.size, sizeof longer, "the size that the host gave");
    account_batch(&g, &c, NULL, &longer.now, 0, 0, "in a longer struct");
    batch = gallery_next(loader);
    account_batch(&g, &c, NULL, &batch, 0, 1, "the next");
    an_loader_destroy(loader);
    gallery_close(&g);
}
END_TEST

START_TEST(no_config_means_the_defaults)
{
    an_loader *loader = NULL;
    an_loader_info info;
    gallery g;

    open_seven(&g);
    expect_ok(an_loader_create(&loader, g.model, &g.source, NULL));
    an_loader_info_init(&info, sizeof info);
    expect_ok(an_loader_describe(loader, &info));
    expect_count(info.steps, 1, "steps of seven pictures, 128 at a time");
    expect_count(gallery_next(loader).count, COUNT, "pictures of the first batch");
    an_loader_destroy(loader);
    gallery_close(&g);
}
END_TEST

Suite *sources_suite(void)
{
    Suite *suite = suite_create("sources");
    TCase *tc = tcase_create("sources");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_first_fault_of_a_batch_is_told);
    tcase_add_test(tc, the_first_fault_is_told_whoever_is_faster);
    tcase_add_test(tc, each_worker_has_memory_of_its_own);
    tcase_add_test(tc, every_setting_of_a_loader_has_its_limits);
    tcase_add_test(tc, settings_of_a_loader_have_their_defaults);
    tcase_add_test(tc, noise_wants_a_deviation);
    tcase_add_test(tc, a_batchs_struct_may_be_longer);
    tcase_add_test(tc, no_config_means_the_defaults);
    suite_add_tcase(suite, tc);
    return suite;
}
