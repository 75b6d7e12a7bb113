/*
 * test_pool.c - a context's worker threads: every item once, whoever asks meanwhile.
 */
#define _GNU_SOURCE
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "test.h"
#include "train/train.h"

enum { MOST = 300, CALLERS = 4 };

static an_context *context_of(uint32_t threads)
{
    an_context_config config;
    an_context *ctx = NULL;

    an_context_config_init(&config, sizeof config);
    config.threads = threads;
    expect_ok(an_context_create(&ctx, &config));
    return ctx;
}

/* How often each item was done; how often by a worker that there is not. */
typedef struct job {
    uint32_t done[MOST + 1], threads, strangers;
} job;

static void do_item(uint32_t item, uint32_t worker, void *arg)
{
    job *j = arg;

    __atomic_add_fetch(&j->done[item < MOST ? item : MOST], 1, __ATOMIC_RELAXED);
    if (worker >= j->threads) __atomic_add_fetch(&j->strangers, 1, __ATOMIC_RELAXED);
}

static void is_done(const job *j, uint32_t count, uint32_t threads)
{
    uint32_t i;

    for (i = 0; i <= MOST; i++)
        expect_count(j->done[i], i < count, "item %u of %u, on %u threads", i, count,
                     threads);
    expect_count(j->strangers, 0, "items of no worker, on %u threads", threads);
}

START_TEST(every_item_is_done_once)
{
    static const uint32_t threads[] = {1, 2, 3, 8};
    uint32_t t = threads[_i], count;
    an_context *ctx = context_of(t);

    expect_count(an_context_threads(ctx), t, "threads of the context");
    for (count = 0; count <= MOST; count += count < 20 ? 1 : 35) {
        job j;

        memset(&j, 0, sizeof j);
        j.threads = t;
        an__pool_run(ctx->pool, count, do_item, &j);
        is_done(&j, count, t);
    }
    an_context_destroy(ctx);
}
END_TEST

typedef struct caller {
    an_context *ctx;
    pthread_t thread;
    job j;
} caller;

static void *call(void *arg)
{
    caller *c = arg;
    int i;

    for (i = 0; i < 100; i++) an__pool_run(c->ctx->pool, MOST, do_item, &c->j);
    return NULL;
}

/* Who finds the workers busy does his work alone: it is his own that is done. */
START_TEST(callers_do_not_get_each_others_items)
{
    caller callers[CALLERS];
    an_context *ctx = context_of(3);
    uint32_t i, k;

    memset(callers, 0, sizeof callers);
    for (i = 0; i < CALLERS; i++) {
        callers[i].ctx = ctx;
        callers[i].j.threads = 3;
        ck_assert_int_eq(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    }
    for (i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        for (k = 0; k <= MOST; k++)
            expect_count(callers[i].j.done[k], k < MOST ? 100 : 0, "item %u of caller %u",
                         k, i);
        expect_count(callers[i].j.strangers, 0, "items of no worker");
    }
    an_context_destroy(ctx);
}
END_TEST

/* An item may ask for items itself: nobody waits for himself. */
typedef struct nest {
    an_context *ctx;
    job inner[8];
} nest;

static void do_nest(uint32_t item, uint32_t worker, void *arg)
{
    nest *n = arg;

    (void)worker;
    an__pool_run(n->ctx->pool, MOST, do_item, &n->inner[item]);
}

START_TEST(items_may_have_items)
{
    nest n;
    uint32_t i;

    memset(&n, 0, sizeof n);
    n.ctx = context_of(3);
    for (i = 0; i < 8; i++) n.inner[i].threads = 1; /* its caller alone */
    an__pool_run(n.ctx->pool, 8, do_nest, &n);
    for (i = 0; i < 8; i++) is_done(&n.inner[i], MOST, 3);
    an_context_destroy(n.ctx);
}
END_TEST

static void note_stack(uint32_t item, uint32_t worker, void *arg)
{
    size_t *stacks = arg;
    pthread_attr_t how;
    void *base;

    (void)item;
    ck_assert_int_eq(pthread_getattr_np(pthread_self(), &how), 0);
    pthread_attr_getstack(&how, &base, &stacks[worker]);
    pthread_attr_destroy(&how);
}

/* Of a host whose threads have 64 KiB each. */
START_TEST(workers_have_stacks_of_their_own)
{
    size_t stacks[3] = {0};
    pthread_attr_t small, before;
    an_context *ctx;
    int tries;

    ck_assert_int_eq(pthread_getattr_default_np(&before), 0);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    ck_assert_int_eq(pthread_setattr_default_np(&small), 0);
    ctx = context_of(3);
    for (tries = 0; tries < 10000 && (stacks[1] == 0 || stacks[2] == 0); tries++)
        an__pool_run(ctx->pool, 64, note_stack, stacks);
    ck_assert_msg(stacks[1] >= AN_THREAD_STACK && stacks[2] >= AN_THREAD_STACK,
                  "stacks of %zu and %zu bytes", stacks[1], stacks[2]);
    an_context_destroy(ctx);
    pthread_setattr_default_np(&before);
    pthread_attr_destroy(&small);
    pthread_attr_destroy(&before);
}
END_TEST

Suite *pool_suite(void)
{
    Suite *suite = suite_create("pool");
    TCase *tc = tcase_create("pool");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, workers_have_stacks_of_their_own);
    tcase_add_loop_test(tc, every_item_is_done_once, 0, 4);
    tcase_add_test(tc, callers_do_not_get_each_others_items);
    tcase_add_test(tc, items_may_have_items);
    suite_add_tcase(suite, tc);
    return suite;
}
