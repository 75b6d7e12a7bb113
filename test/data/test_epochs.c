/*
 * test_epochs.c - which pictures a loader's batches have, in which order, from any
 * position: for every count beside every batch, whoever prepares them.
 */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "expect.h"
#include "gallery.h"
#include "test.h"

enum { SIZE = 16, MOST = 20 };

/* The first `count` of the gallery's pictures as its source. */
static void have(gallery *g, uint32_t count)
{
    g->shape.count = count;
    g->source.count = count;
}

static void open_most(gallery *g)
{
    gallery_shape shape = square_shape(MOST, SIZE + 1, SIZE);

    gallery_open(g, &shape);
}

static uint32_t steps_of(uint32_t count, uint32_t batch)
{
    return (count + batch - 1) / batch;
}

static void nap(long microseconds)
{
    struct timespec pause = {0, microseconds * 1000};

    nanosleep(&pause, NULL);
}

/* --- epochs ------------------------------------------------------------------------ */

/* Batches of two epochs are the account's; of each epoch every picture is there once. */
static void two_epochs(gallery *g, const an_loader_config *c)
{
    an_loader *loader = gallery_loader(g, c);
    uint32_t epoch, step, steps = steps_of(g->shape.count, c->batch), i;
    char what[96];

    snprintf(what, sizeof what, "%u pictures, batch %u, %u workers, %u ahead, shuffle %u",
             g->shape.count, c->batch, c->workers, c->prefetch, c->shuffle);
    for (epoch = 0; epoch < 2; epoch++) {
        uint32_t seen[MOST] = {0};

        for (step = 0; step < steps; step++) {
            an_batch batch = gallery_next(loader);

            account_batch(g, c, NULL, &batch, epoch, step, what);
            for (i = 0; i < batch.count; i++) seen[batch.indices[i]]++;
        }
        for (i = 0; i < g->shape.count; i++)
            expect_count(seen[i], 1, "%s: how often picture %u came", what, i);
    }
    an_loader_destroy(loader);
}

START_TEST(every_count_fills_its_epochs)
{
    static const uint32_t batches[] = {1, 2, 3, 4, 5, 8, 9};
    static const uint32_t workers[] = {1, 3, 2}, ahead[] = {1, 2, 4};
    uint32_t i, count, k;
    gallery g;

    open_most(&g);
    for (i = 0; i < sizeof batches / sizeof batches[0]; i++)
        for (count = 1; count <= 2 * batches[i] + 1; count++)
            for (k = 0; k < 6; k++) {
                an_loader_config c = gallery_loading(batches[i], workers[k / 2]);

                c.prefetch = ahead[k / 2];
                c.shuffle = k % 2;
                have(&g, count);
                two_epochs(&g, &c);
            }
    gallery_close(&g);
}
END_TEST

/* The order of an epoch, as it comes in batches. */
static void order_of(gallery *g, const an_loader_config *c, uint32_t epoch,
                     uint64_t order[MOST])
{
    an_loader *loader = gallery_loader(g, c);
    uint32_t i, at = 0;
    an_batch batch;

    expect_ok(an_loader_seek(loader, epoch, 0));
    do {
        batch = gallery_next(loader);
        for (i = 0; i < batch.count; i++) order[at++] = batch.indices[i];
    } while (!batch.last);
    expect_count(at, g->shape.count, "pictures of epoch %u", epoch);
    an_loader_destroy(loader);
}

/* Another seed or epoch, another order; the same whatever the batch, the workers, and
 * the views, which have words of their own. */
START_TEST(an_order_is_of_seed_and_epoch_alone)
{
    static const uint64_t seeds[] = {0, 1, UINT64_C(1) << 32, UINT64_MAX};
    enum { ORDERS = 16 };
    uint64_t order[ORDERS][MOST], again[MOST];
    gallery g;
    int i, k;

    open_most(&g);
    for (i = 0; i < ORDERS; i++) {
        static const uint32_t epochs[] = {0, 1, 2, UINT32_MAX - 1};
        an_loader_config c = gallery_loading(6, 1);

        c.seed = seeds[i / 4];
        order_of(&g, &c, epochs[i % 4], order[i]);
        c.batch = 20 - (uint32_t)i;
        c.workers = 2;
        c.augment = 0;
        order_of(&g, &c, epochs[i % 4], again);
        expect_bytes(again, order[i], sizeof again, "seed %llx, epoch %u",
                     (unsigned long long)seeds[i / 4], epochs[i % 4]);
        for (k = 0; k < i; k++)
            ck_assert_msg(memcmp(order[k], order[i], sizeof order[i]) != 0,
                          "orders %d and %d are the same", k, i);
    }
    gallery_close(&g);
}
END_TEST

/* --- positions --------------------------------------------------------------------- */

enum { COUNT = 10, BATCH = 3, STEPS = 4, POSITIONS = 3 * STEPS };

/* The next batches, over an epoch's end, are those from position p on: `p` steps from the
 * start. */
static void goes_on(gallery *g, const an_loader_config *c, an_loader *loader, uint32_t p,
                    uint32_t batches, const char *what)
{
    uint32_t end = p + batches;

    for (; p < end; p++) {
        an_batch batch = gallery_next(loader);

        account_batch(g, c, NULL, &batch, p / STEPS, p % STEPS, what);
    }
}

static void skip(an_loader *loader, uint32_t batches)
{
    while (batches-- > 0) gallery_next(loader);
}

static void seek(an_loader *loader, uint32_t position)
{
    expect_ok(an_loader_seek(loader, position / STEPS, position % STEPS));
}

/* After any number of batches, from any position sought before, to any other. */
START_TEST(a_position_is_so_many_steps_from_the_start)
{
    uint32_t from, to, between;
    char what[64];
    gallery g;

    open_most(&g);
    have(&g, COUNT);
    for (between = 0; between < 4; between++) {
        an_loader_config c = gallery_loading(BATCH, 1 + between % 3);
        an_loader *loader;

        c.prefetch = 1 + between;
        c.shuffle = between != 1;
        loader = gallery_loader(&g, &c);
        for (from = 0; from < POSITIONS; from++)
            for (to = 0; to < POSITIONS; to++) {
                snprintf(what, sizeof what, "from %u, %u batches later, to %u", from,
                         between, to);
                seek(loader, from);
                skip(loader, between);
                seek(loader, to);
                goes_on(&g, &c, loader, to, 2, what);
            }
        seek(loader, 2);
        goes_on(&g, &c, loader, 2, POSITIONS, "three epochs");
        an_loader_destroy(loader);
    }
    gallery_close(&g);
}
END_TEST

/* In whatever state the loader is: new, sought twice, at work, full, after a failure. */
enum { NEW, TWICE, AT_WORK, FULL, FAILED, STATES };

static void bring_to(gallery *g, an_loader *loader, int state)
{
    an_batch batch;
    uint32_t i;

    if (state == TWICE) seek(loader, 7), seek(loader, 3);
    if (state == AT_WORK) seek(loader, 2), nap(300); /* a fetch takes as long */
    if (state == FULL) skip(loader, 1), nap(20000);
    if (state != FAILED) return;
    g->failing = 4;
    an_batch_init(&batch, sizeof batch);
    seek(loader, 0);
    for (i = 0; i < STEPS && an_loader_next(loader, &batch) == AN_OK; i++) continue;
    ck_assert_msg(i < STEPS, "an epoch with picture 4 did not fail");
    g->failing = NOBODY;
}

START_TEST(a_loader_in_any_state_can_seek)
{
    uint32_t workers, to;
    int state = _i;
    gallery g;

    open_most(&g);
    have(&g, COUNT);
    g.pause = state == AT_WORK ? 300 : 0;
    for (workers = 1; workers < 4; workers++)
        for (to = 0; to < POSITIONS; to += 3) {
            an_loader_config c = gallery_loading(BATCH, workers);
            an_loader *loader;
            char what[64];

            loader = gallery_loader(&g, &c);
            snprintf(what, sizeof what, "state %d, %u workers, to %u", state, workers,
                     to);
            bring_to(&g, loader, state);
            seek(loader, to);
            goes_on(&g, &c, loader, to, 3, what);
            an_loader_destroy(loader);
        }
    gallery_close(&g);
}
END_TEST

START_TEST(a_step_that_no_epoch_has_is_refused)
{
    an_loader_config c = gallery_loading(BATCH, 2);
    an_loader *loader;
    gallery g;

    open_most(&g);
    have(&g, COUNT);
    loader = gallery_loader(&g, &c);
    skip(loader, 2);
    expect_refused(an_loader_seek(loader, 0, STEPS), AN_ERROR_ARGUMENT, "step is 4");
    expect_refused(an_loader_seek(loader, 1, UINT32_MAX), AN_ERROR_ARGUMENT, "step");
    goes_on(&g, &c, loader, 2, STEPS, "after refusals");
    expect_ok(an_loader_seek(loader, UINT32_MAX, STEPS - 1));
    expect_count(gallery_next(loader).epoch, UINT32_MAX, "the last epoch that counts");
    an_loader_destroy(loader);
    gallery_close(&g);
}
END_TEST

/* --- what it tells ----------------------------------------------------------------- */

static an_loader_info info_of(an_loader *loader)
{
    an_loader_info info;

    an_loader_info_init(&info, sizeof info);
    expect_ok(an_loader_describe(loader, &info));
    return info;
}

/* Waits until so many pictures are prepared, and then whether more come. */
static void prepares(an_loader *loader, gallery *g, uint64_t pictures, const char *what)
{
    int naps;

    for (naps = 0; naps < 5000 && info_of(loader).prepared < pictures; naps++) nap(1000);
    nap(2000);
    expect_count(info_of(loader).prepared, pictures, "%s", what);
    expect_count(__atomic_load_n(&g->fetched, __ATOMIC_RELAXED), pictures,
                 "%s: fetches, one for each picture", what);
}

/* A batch that the host has, and `ahead` besides; no picture is fetched twice. */
START_TEST(so_many_batches_are_prepared_ahead)
{
    uint32_t ahead;
    gallery g;

    open_most(&g);
    have(&g, COUNT);
    for (ahead = 1; ahead < 6; ahead++) {
        an_loader_config c = gallery_loading(BATCH, 2);
        uint64_t epochs, rest;
        an_loader *loader;

        c.prefetch = ahead;
        g.fetched = 0;
        loader = gallery_loader(&g, &c);
        /* ahead + 1 batches, of which every fourth has one picture alone */
        epochs = (ahead + 1) / STEPS, rest = (ahead + 1) % STEPS;
        prepares(loader, &g, epochs * COUNT + rest * BATCH, "before the first is asked");
        skip(loader, 1); /* lent: its place is not free */
        prepares(loader, &g, epochs * COUNT + rest * BATCH, "with the first lent");
        skip(loader, 1);
        epochs = (ahead + 2) / STEPS, rest = (ahead + 2) % STEPS;
        prepares(loader, &g, epochs * COUNT + rest * BATCH, "with the second lent");
        an_loader_destroy(loader);
    }
    gallery_close(&g);
}
END_TEST

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Two epochs of pictures that take 2 ms each; what the host waited, by its own clock. */
static an_loader_info two_slow_epochs(gallery *g, double *waited)
{
    an_loader_config c = gallery_loading(BATCH, 2);
    double began = now();
    an_loader *loader = gallery_loader(g, &c);
    an_loader_info info = info_of(loader);
    uint32_t i;

    expect_number(info.waited, 0, 0, "before anybody waited");
    *waited = 0;
    for (i = 0; i < 2 * STEPS; i++) {
        double started = now();

        gallery_next(loader);
        *waited += now() - started;
    }
    info = info_of(loader);
    ck_assert_msg(info.busy <= 2 * (now() - began), "busy is %g: two workers had %g",
                  info.busy, 2 * (now() - began));
    an_loader_destroy(loader);
    return info;
}

START_TEST(a_loader_tells_what_it_did)
{
    double waited = 0, busy;
    an_loader_info info;
    int attempt;
    gallery g;

    open_most(&g);
    have(&g, COUNT);
    g.pause = 2000;
    /* The host has nothing else to do than to wait, unless the system gives its
     * processor to another: hardly five times in a row. */
    for (attempt = 0; attempt < 5; attempt++) {
        info = two_slow_epochs(&g, &waited);
        if (info.waited > waited / 2) break;
    }
    ck_assert_msg(info.waited > waited / 2 && info.waited <= waited,
                  "waited is %g, wanted more than half of %g, and no more", info.waited,
                  waited);
    expect_count(info.count, COUNT, "pictures");
    expect_count(info.steps, STEPS, "steps");
    ck_assert_msg(info.prepared >= 2 * COUNT, "prepared is %llu, wanted 20 at least",
                  (unsigned long long)info.prepared);
    busy = 0.002 * (double)info.prepared;
    ck_assert_msg(info.busy >= busy, "busy is %g, wanted %g at least", info.busy, busy);
    gallery_close(&g);
}
END_TEST

/* The largest source that there may be has as many steps as it should, and a last one. */
START_TEST(the_largest_source_has_its_steps)
{
    static const uint32_t batches[] = {1, 4, 1000};
    gallery g;
    size_t i;

    open_most(&g);
    for (i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        uint32_t steps = UINT32_MAX / batches[i] + (UINT32_MAX % batches[i] > 0);
        an_loader_config c = gallery_loading(batches[i], 1);
        an_loader *loader = NULL;
        an_batch batch;

        c.shuffle = 0; /* which would take 16 GiB */
        c.prefetch = 1;
        g.source.count = (uint64_t)UINT32_MAX + 1;
        expect_refused(an_loader_create(&loader, g.model, &g.source, &c),
                       AN_ERROR_ARGUMENT, "source.count is 4294967296");
        g.source.count = UINT32_MAX;
        loader = gallery_loader(&g, &c);
        expect_count(info_of(loader).steps, steps, "batch %u", batches[i]);
        expect_count(info_of(loader).count, UINT32_MAX, "batch %u", batches[i]);
        expect_ok(an_loader_seek(loader, 5, steps - 1));
        batch = gallery_next(loader);
        expect_count(batch.count, UINT32_MAX - (steps - 1) * batches[i], "batch %u",
                     batches[i]);
        expect_count(batch.last, 1, "batch %u", batches[i]);
        expect_count(batch.indices[batch.count - 1], UINT32_MAX - 1, "the last picture");
        batch = gallery_next(loader);
        expect_count(batch.epoch, 6, "the epoch after");
        expect_count(batch.step, 0, "its first step");
        an_loader_destroy(loader);
    }
    gallery_close(&g);
}
END_TEST

Suite *epochs_suite(void)
{
    Suite *suite = suite_create("epochs");
    TCase *tc = tcase_create("epochs");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, every_count_fills_its_epochs);
    tcase_add_test(tc, an_order_is_of_seed_and_epoch_alone);
    tcase_add_test(tc, a_position_is_so_many_steps_from_the_start);
    tcase_add_loop_test(tc, a_loader_in_any_state_can_seek, 0, STATES);
    tcase_add_test(tc, a_step_that_no_epoch_has_is_refused);
    tcase_add_test(tc, so_many_batches_are_prepared_ahead);
    tcase_add_test(tc, a_loader_tells_what_it_did);
    tcase_add_test(tc, the_largest_source_has_its_steps);
    suite_add_tcase(suite, tc);
    return suite;
}
