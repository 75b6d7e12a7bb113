/*
 * test_execution.c - what runs a plan: threads that share out items, batches done slice
 * by slice, ways that are reported; test_memory.c has where tensors lie.
 */
#define _GNU_SOURCE
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref.h"
#include "small.h"
#include "test.h"

/* --- items ------------------------------------------------------------------------- */

enum { MOST_ITEMS = 1000, MOST_THREADS = 8 };

typedef struct tally {
    uint32_t threads, count;
    int done[MOST_ITEMS], at_it[MOST_THREADS]; /* atomic */
    int wrong; /* workers beyond their number, or twice at once */
} tally;

static void count_item(uint32_t item, uint32_t worker, void *arg)
{
    tally *t = arg;

    if (worker >= t->threads || item >= t->count) {
        __atomic_fetch_add(&t->wrong, 1, __ATOMIC_RELAXED);
        return;
    }
    if (__atomic_fetch_add(&t->at_it[worker], 1, __ATOMIC_ACQUIRE) != 0)
        __atomic_fetch_add(&t->wrong, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&t->done[item], 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&t->at_it[worker], 1, __ATOMIC_RELEASE);
}

static void expect_done(const tally *t, const char *what)
{
    uint32_t i;

    expect_count(t->wrong, 0, "%s: %u items, %u threads", what, t->count, t->threads);
    for (i = 0; i < MOST_ITEMS; i++)
        if (t->done[i] != (i < t->count))
            expect_count(t->done[i], i < t->count, "%s: item %u of %u, %u threads", what,
                         i, t->count, t->threads);
}

START_TEST(every_item_is_done_once)
{
    static const uint32_t threads[] = {1, 2, 3, 8};
    uint32_t i, count;

    for (i = 0; i < 4; i++) {
        an_context *ctx = small_context(threads[i], 0);

        expect_count(an_context_threads(ctx), threads[i], "an_context_threads");
        for (count = 0; count <= MOST_ITEMS; count += count < 20 ? 1 : 163) {
            tally t = {threads[i], count, {0}, {0}, 0};

            an__pool_run(ctx->pool, count, count_item, &t);
            expect_done(&t, "one call");
        }
        an_context_destroy(ctx);
    }
}
END_TEST

/* As many items as threads, each of which waits for all the others: there are so many
 * threads, and each begins with an item of its own. Those that the library starts have
 * all signals blocked. */
typedef struct meeting {
    uint32_t threads, here; /* here: atomic */
    int late, unblocked;    /* atomic */
    pthread_t caller;
} meeting;

static void meet(uint32_t item, uint32_t worker, void *arg)
{
    meeting *m = arg;
    double begin = an__seconds();
    sigset_t mask;

    (void)item;
    __atomic_fetch_add(&m->here, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&m->here, __ATOMIC_ACQUIRE) < m->threads &&
           !__atomic_load_n(&m->late, __ATOMIC_RELAXED)) {
        if (an__seconds() - begin > 20) __atomic_store_n(&m->late, 1, __ATOMIC_RELAXED);
        sched_yield();
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (worker > 0 && (!sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGUSR1) ||
                       pthread_equal(pthread_self(), m->caller)))
        __atomic_fetch_add(&m->unblocked, 1, __ATOMIC_RELAXED);
}

START_TEST(all_threads_work_at_once)
{
    uint32_t threads, round;

    for (threads = 1; threads <= MOST_THREADS; threads++) {
        an_context *ctx = small_context(threads, 0);
        sigset_t mask;

        pthread_sigmask(SIG_SETMASK, NULL, &mask);
        expect_count(sigismember(&mask, SIGTERM), 0, "the caller's own mask");
        for (round = 0; round < 5; round++) {
            meeting m = {threads, 0, 0, 0, pthread_self()};

            an__pool_run(ctx->pool, threads, meet, &m);
            expect_count(m.late, 0, "%u threads, round %u", threads, round);
            expect_count(m.unblocked, 0, "%u threads, round %u", threads, round);
        }
        an_context_destroy(ctx);
    }
}
END_TEST

/* Many callers of one pool, and callers within a job: each has all of its items done
 * when its call returns. */
typedef struct nested {
    an_pool *pool;
    int wrong; /* atomic */
} nested;

static void call_again(uint32_t item, uint32_t worker, void *arg)
{
    nested *n = arg;
    tally *t = calloc(1, sizeof *t);
    uint32_t i;

    (void)worker;
    t->threads = MOST_THREADS;
    t->count = 3 + item % 30;
    an__pool_run(n->pool, t->count, count_item, t);
    for (i = 0; i < t->count; i++) t->wrong += t->done[i] != 1;
    if (t->wrong) __atomic_fetch_add(&n->wrong, 1, __ATOMIC_RELAXED);
    free(t);
}

static void *caller_main(void *arg)
{
    uint32_t i;

    for (i = 0; i < 200; i++) call_again(i, 0, arg);
    return NULL;
}

START_TEST(callers_at_once_each_have_their_items_done)
{
    an_context *ctx = small_context(3, 0);
    nested n = {ctx->pool, 0};
    pthread_t thread[4];
    uint32_t i;

    for (i = 0; i < 4; i++) ck_assert(!pthread_create(&thread[i], NULL, caller_main, &n));
    for (i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    expect_count(n.wrong, 0, "jobs of four callers");
    an__pool_run(ctx->pool, 40, call_again, &n);
    expect_count(n.wrong, 0, "jobs within a job");
    an_context_destroy(ctx);
}
END_TEST

/* --- slices ------------------------------------------------------------------------ */

/* Its first layer's output has 128 x 128 x 8 numbers an image, from which on slices
 * are made. */
static an_model_config sliced_config(void)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);

    config.image_size = 128;
    return config;
}

START_TEST(slices_are_of_large_layers_and_more_than_four_images)
{
    an_model_config config = sliced_config();
    bench b;

    bench_open(&b, &config, NULL, 1);
    expect_count(an__plan_sliced(b.model->net.plan, 0, 4), 0, "four images");
    /* convolution, activation, pooling, normalisation; the next one's output is small */
    expect_count(an__plan_sliced(b.model->net.plan, 0, 5), 4, "five images");
    expect_count(an__plan_sliced(b.model->net.plan, 1, 5), 0, "from the activation on");
    expect_count(an__plan_sliced(b.model->net.plan, 4, 5), 0, "conv2");
    bench_close(&b);
    config.image_size = 127;
    bench_open(&b, &config, NULL, 1);
    expect_count(an__plan_sliced(b.model->net.plan, 0, 5), 0, "a smaller layer");
    bench_close(&b);
}
END_TEST

/* What is done slice by slice is what layers give that are asked for by name, which
 * are not; and images give what they give alone. */
START_TEST(slices_compute_what_whole_batches_do)
{
    static const uint32_t batches[] = {5, 7};
    an_model_config config = sliced_config();
    float p[7 * SMALL_CLASSES], logits[7 * SMALL_CLASSES], one[SMALL_CLASSES];
    double want[7 * SMALL_CLASSES];
    uint32_t i, k, path;

    for (path = AN_CPU_PATH_REFERENCE; path <= AN_CPU_PATH_AVX512; path++) {
        an_context *ctx;
        an_model *model;
        float *images = malloc(7 * 3 * 128 * 128 * sizeof *images);

        if (an__cpu_path(path) == NULL) {
            free(images);
            continue;
        }
        ctx = small_context(2, path);
        noise_floats(images, 7 * 3 * 128 * 128, 2, 1);
        expect_ok(an_model_create(&model, ctx, &config));
        for (i = 0; i < 2; i++) {
            size_t numbers = batches[i] * SMALL_CLASSES;

            expect_ok(an_infer(model, images, batches[i], p, ENOUGH));
            expect_ok(an_infer_layer(model, images, batches[i], "fc4", AN_POINT_LINEAR,
                                     logits, ENOUGH));
            for (k = 0; k < numbers; k++) want[k] = (double)logits[k];
            ref_softmax(SMALL_CLASSES, batches[i], want);
            for (k = 0; k < numbers; k++)
                expect_number(p[k], want[k], 1e-6, "path %u, %u images, number %u", path,
                              batches[i], k);
        }
        for (i = 0; i < 7; i += 3) {
            expect_ok(an_infer(model, images + i * 3 * 128 * 128, 1, one, ENOUGH));
            expect_floats(one, p + i * SMALL_CLASSES, SMALL_CLASSES, 1e-5,
                          "path %u, image %u alone", path, i);
        }
        an_model_destroy(model);
        an_context_destroy(ctx);
        free(images);
    }
}
END_TEST

/* --- ways -------------------------------------------------------------------------- */

/* Each convolution's, and none of dense layers: of one image, and of as many as there
 * are. */
START_TEST(profiles_tell_how_convolutions_are_done)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    static const char *const few[8] = {"direct", "direct", "direct", "direct", "direct"};
    static const char *const many[8] = {"direct", "winograd", "winograd", "winograd",
                                        "winograd"};
    uint32_t path, batch, i;

    for (path = AN_CPU_PATH_REFERENCE; path <= AN_CPU_PATH_AVX512; path++)
        for (batch = 1; batch <= 48; batch += 47) {
            an_layer_time rows[8];
            an_context *ctx;
            an_model *model;

            if (an__cpu_path(path) == NULL) continue;
            ctx = small_context(1, path);
            expect_ok(an_model_create(&model, ctx, &config));
            for (i = 0; i < 8; i++) an_layer_time_init(&rows[i], sizeof rows[i]);
            expect_ok(an_model_profile(model, batch, batch == 1, rows, 8));
            for (i = 0; i < 8; i++) {
                const char *way = batch == 1 ? few[i] : many[i];

                if (way == NULL) way = "";
                expect_text(rows[i].name, model->net.plan->layers[i].name, "row %u", i);
                expect_text(rows[i].algorithm,
                            path == AN_CPU_PATH_REFERENCE && i < 5 ? "im2col" : way,
                            "path %u, %s of %u images", path, rows[i].name, batch);
                expect_count(rows[i].forward > 0, 1, "%s of %u images: forward",
                             rows[i].name, batch);
                expect_count(rows[i].backward > 0, batch == 1,
                             "%s, training %d: backward", rows[i].name, batch == 1);
                expect_count(rows[i].update > 0, batch == 1, "%s, training %d: update",
                             rows[i].name, batch == 1);
            }
            an_model_destroy(model);
            an_context_destroy(ctx);
        }
}
END_TEST

/* The time of operations that are done slice by slice is that of their layer. */
START_TEST(what_is_done_in_slices_is_timed)
{
    an_model_config config = sliced_config();
    an_layer_time rows[4];
    uint32_t i;
    bench b;

    bench_open(&b, &config, NULL, 1);
    expect_count(b.model->net.plan->row.layers, 4, "layers");
    expect_count(an__plan_sliced(b.model->net.plan, 0, 7), 4, "in slices");
    for (i = 0; i < 4; i++) an_layer_time_init(&rows[i], sizeof rows[i]);
    expect_ok(an_model_profile(b.model, 7, 0, rows, 4));
    for (i = 0; i < 4; i++) expect_count(rows[i].forward > 0, 1, "%s", rows[i].name);
    /* conv1 has nearly all there is to do, its output 64 times what conv2's has. */
    expect_count(rows[0].forward > rows[1].forward, 1, "conv1 took %g s, conv2 %g",
                 rows[0].forward, rows[1].forward);
    bench_close(&b);
}
END_TEST

Suite *execution_suite(void)
{
    Suite *suite = suite_create("execution");
    TCase *tc = tcase_create("execution");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, every_item_is_done_once);
    tcase_add_test(tc, all_threads_work_at_once);
    tcase_add_test(tc, callers_at_once_each_have_their_items_done);
    tcase_add_test(tc, what_is_done_in_slices_is_timed);
    tcase_add_test(tc, slices_are_of_large_layers_and_more_than_four_images);
    tcase_add_test(tc, slices_compute_what_whole_batches_do);
    tcase_add_test(tc, profiles_tell_how_convolutions_are_done);
    suite_add_tcase(suite, tc);
    add_memory(suite);
    return suite;
}
