/*
 * test_inference_calls.c - pictures and their views, structs of newer programs, buffers,
 * null, threads; cases of inference_suite().
 */
#define _GNU_SOURCE
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "small.h"
#include "test.h"

/* CIFAR10's net with four maps a layer, on pictures of FITTED pixels. */
enum { SIDE = TINY_SIDE, FITTED = 23, NUMBERS = TINY_NUMBERS, CLASSES = SMALL_CLASSES };
enum { PICTURES = 131, KINDS = 7, BYTES = FITTED * FITTED * 3 };

static an_model *tiny_model(an_context *ctx)
{
    an_model_config config = tiny_config();
    an_preprocessing pre;
    an_model *model;

    expect_ok(an_model_create(&model, ctx, &config));
    an_preprocessing_init(&pre, sizeof pre);
    expect_ok(an_model_get_preprocessing(model, &pre));
    pre.side = FITTED;
    expect_ok(an_model_set_preprocessing(model, &pre));
    return model;
}

/* Pictures of KINDS kinds, one after the other, of FITTED pixels a side. */
typedef struct album {
    uint8_t pixels[KINDS * BYTES];
    an_image images[PICTURES];
} album;

static void album_fill(album *a)
{
    uint32_t i;

    noise_bytes(a->pixels, sizeof a->pixels, 17);
    for (i = 0; i < PICTURES; i++) {
        an_image_init(&a->images[i], sizeof a->images[i]);
        a->images[i].pixels = a->pixels + i % KINDS * BYTES;
        a->images[i].width = a->images[i].height = FITTED;
    }
}

/* --- views ------------------------------------------------------------------------- */

/* The mean of what the ten views give, each prepared and classified by itself; in
 * `one` that of the centre alone. */
static void mean_of_views(an_model *model, const an_image *image, double *mean,
                          double *one)
{
    float input[NUMBERS], p[CLASSES];
    uint32_t view, c;

    for (c = 0; c < CLASSES; c++) mean[c] = 0;
    for (view = 0; view < 10; view++) {
        expect_ok(an_preprocess(model, image, view, input, ENOUGH));
        expect_ok(an_infer(model, input, 1, p, ENOUGH));
        for (c = 0; c < CLASSES; c++) {
            mean[c] += (double)p[c] / 10;
            if (view == 0) one[c] = (double)p[c];
        }
    }
}

/* Two passes of pictures, ten times: each row is its own picture's mean. */
START_TEST(ten_views_of_many_pictures_are_averaged)
{
    an_context *ctx = small_context(2, AN_CPU_PATH_BEST);
    an_model *model = tiny_model(ctx);
    double mean[KINDS][CLASSES], one[KINDS][CLASSES];
    float p[PICTURES * CLASSES], again[PICTURES * CLASSES];
    album a;
    uint32_t i, c;

    album_fill(&a);
    for (i = 0; i < KINDS; i++) mean_of_views(model, &a.images[i], mean[i], one[i]);
    memset(p, 0xff, sizeof p); /* what is there counts for nothing */
    expect_ok(an_infer_views(model, a.images, PICTURES, 10, p, ENOUGH));
    expect_ok(an_infer_views(model, a.images, PICTURES, 1, again, ENOUGH));
    for (i = 0; i < PICTURES; i++)
        for (c = 0; c < CLASSES; c++) {
            /* sums of ten in float; other batches, other orders of summing */
            expect_number(p[i * CLASSES + c], mean[i % KINDS][c], 2e-6,
                          "ten views: picture %u, class %u", i, c);
            expect_number(again[i * CLASSES + c], one[i % KINDS][c], 2e-6,
                          "one view: picture %u, class %u", i, c);
        }
    expect_ok(an_infer_images(model, a.images, PICTURES, p, ENOUGH));
    expect_floats(p, again, PICTURES * CLASSES, 0, "one view is the centre");
    for (i = 0; i <= 11; i++)
        if (i != 1 && i != 10)
            expect_refused(an_infer_views(model, a.images, 1, i, p, ENOUGH),
                           AN_ERROR_ARGUMENT, "must be 1 or 10");
    expect_floats(p, again, PICTURES * CLASSES, 0, "after refused calls");
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* A picture among them makes a number that is none: no call gives it silently. */
START_TEST(views_that_diverge_are_reported)
{
    an_context *ctx = small_context(2, AN_CPU_PATH_BEST);
    an_model *model = tiny_model(ctx);
    float p[CLASSES];
    album a;

    album_fill(&a);
    cpu_floats(model->net.weights.part[0][0])[0] =
        NAN; /* a parameter that no call would take */
    an__net_changed(&model->net);
    expect_refused(an_infer_views(model, a.images, 1, 10, p, ENOUGH), AN_ERROR_DIVERGED,
                   "conv1");
    expect_refused(an_infer_images(model, a.images, 1, p, ENOUGH), AN_ERROR_DIVERGED,
                   "conv1");
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* --- pictures of a newer program --------------------------------------------------- */

typedef struct new_image { /* with fields that this library does not have */
    an_image image;
    uint64_t more[3];
} new_image;

START_TEST(pictures_in_longer_structs_are_the_same)
{
    an_context *ctx = small_context(2, AN_CPU_PATH_BEST);
    an_model *model = tiny_model(ctx);
    new_image *images = calloc(PICTURES, sizeof *images);
    float p[2][PICTURES * CLASSES], *layer[2];
    int32_t labels[PICTURES];
    an_evaluation e[2];
    size_t count;
    album a;
    uint32_t i;

    album_fill(&a);
    for (i = 0; i < PICTURES; i++) {
        images[i].image = a.images[i];
        images[i].image.size = sizeof *images;
        labels[i] = (int32_t)(i % CLASSES);
    }
    an_evaluation_init(&e[0], sizeof e[0]);
    e[1] = e[0];
    expect_ok(an_infer_images(model, a.images, PICTURES, p[0], ENOUGH));
    expect_ok(an_infer_images(model, &images->image, PICTURES, p[1], ENOUGH));
    expect_floats(p[1], p[0], PICTURES * CLASSES, 0, "an_infer_images");
    expect_ok(an_infer_views(model, a.images, 5, 10, p[0], ENOUGH));
    expect_ok(an_infer_views(model, &images->image, 5, 10, p[1], ENOUGH));
    expect_floats(p[1], p[0], 5 * CLASSES, 0, "an_infer_views");
    expect_ok(an_evaluate_images(model, a.images, labels, PICTURES, &e[0]));
    expect_ok(an_evaluate_images(model, &images->image, labels, PICTURES, &e[1]));
    expect_bytes(&e[1], &e[0], sizeof e[0], "an_evaluate_images");
    expect_ok(an_activation_count(model, "conv3", AN_POINT_LINEAR, &count, NULL));
    for (i = 0; i < 2; i++) {
        layer[i] = malloc(count * PICTURES * sizeof *layer[i]);
        expect_ok(an_infer_layer_images(model, i ? &images->image : a.images, PICTURES,
                                        "conv3", AN_POINT_LINEAR, layer[i], ENOUGH));
    }
    expect_floats(layer[1], layer[0], count * PICTURES, 0, "an_infer_layer_images");
    images[129].image.size = sizeof(an_image);
    expect_refused(an_infer_images(model, &images->image, PICTURES, p[1], ENOUGH),
                   AN_ERROR_ARGUMENT, "images[129].size");
    free(layer[0]);
    free(layer[1]);
    free(images);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* Floats and pictures of the same content, in two passes, by name and evaluated. */
START_TEST(pictures_are_what_they_are_prepared_to)
{
    an_context *ctx = small_context(2, AN_CPU_PATH_BEST);
    an_model *model = tiny_model(ctx);
    float *input = malloc(PICTURES * NUMBERS * sizeof *input), *layer[2];
    int32_t labels[PICTURES];
    an_evaluation e[2];
    size_t count;
    album a;
    uint32_t i;

    album_fill(&a);
    for (i = 0; i < PICTURES; i++) {
        expect_ok(an_preprocess(model, &a.images[i], AN_VIEW_CENTRE, input + i * NUMBERS,
                                ENOUGH));
        labels[i] = (int32_t)(i * 3 % CLASSES);
    }
    an_evaluation_init(&e[0], sizeof e[0]);
    e[1] = e[0];
    expect_ok(an_evaluate(model, input, labels, PICTURES, &e[0]));
    expect_ok(an_evaluate_images(model, a.images, labels, PICTURES, &e[1]));
    expect_bytes(&e[1], &e[0], sizeof e[0], "an_evaluate_images");
    expect_ok(an_activation_count(model, "conv2", AN_POINT_OUTPUT, &count, NULL));
    layer[0] = malloc(count * PICTURES * sizeof *layer[0]);
    layer[1] = malloc(count * PICTURES * sizeof *layer[1]);
    expect_ok(an_infer_layer(model, input, PICTURES, "conv2", AN_POINT_OUTPUT, layer[0],
                             ENOUGH));
    expect_ok(an_infer_layer_images(model, a.images, PICTURES, "conv2", AN_POINT_OUTPUT,
                                    layer[1], ENOUGH));
    expect_floats(layer[1], layer[0], count * PICTURES, 0, "an_infer_layer_images");
    for (i = KINDS; i < PICTURES; i++) /* and each of them is at its place */
        expect_floats(layer[0] + i * count, layer[0] + i % KINDS * count, count, 1e-6,
                      "conv2 of image %u", i);
    free(layer[0]);
    free(layer[1]);
    free(input);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* --- buffers ----------------------------------------------------------------------- */

typedef struct counting {
    pthread_mutex_t lock;
    long calls, held; /* blocks given so far, and those that were not given back */
} counting;

static void *count_alloc(size_t bytes, void *user)
{
    counting *c = user;

    pthread_mutex_lock(&c->lock);
    c->calls++;
    c->held++;
    pthread_mutex_unlock(&c->lock);
    return malloc(bytes);
}

static void count_release(void *memory, void *user)
{
    counting *c = user;

    pthread_mutex_lock(&c->lock);
    c->held--;
    pthread_mutex_unlock(&c->lock);
    free(memory);
}

typedef struct room { /* what calls read and write */
    an_model *model;
    float images[PICTURES * NUMBERS], p[PICTURES * CLASSES],
        layer[PICTURES * 4 * SIDE * SIDE];
    int32_t labels[PICTURES];
    an_evaluation e;
    album a;
} room;

enum { CALLS = 7 };

static const char *const call_names[CALLS] = {
    "an_infer",           "an_infer_images", "an_infer_views",       "an_evaluate",
    "an_evaluate_images", "an_infer_layer",  "an_infer_layer_images"};

static an_status call(room *r, uint32_t which, uint32_t count)
{
    an_evaluation_init(&r->e, sizeof r->e);
    switch (which) {
    case 0: return an_infer(r->model, r->images, count, r->p, ENOUGH);
    case 1: return an_infer_images(r->model, r->a.images, count, r->p, ENOUGH);
    case 2: return an_infer_views(r->model, r->a.images, count, 10, r->p, ENOUGH);
    case 3: return an_evaluate(r->model, r->images, r->labels, count, &r->e);
    case 4: return an_evaluate_images(r->model, r->a.images, r->labels, count, &r->e);
    case 5:
        return an_infer_layer(r->model, r->images, count, "conv1", AN_POINT_ACTIVATION,
                              r->layer, ENOUGH);
    default:
        return an_infer_layer_images(r->model, r->a.images, count, "conv1",
                                     AN_POINT_ACTIVATION, r->layer, ENOUGH);
    }
}

/* A call that has been made before allocates nothing, whatever stood between; nor does
 * one of fewer images, once all buffers of the kind are there. A larger one replaces
 * them: none pile up. */
START_TEST(calls_of_sizes_seen_before_allocate_nothing)
{
    counting c = {PTHREAD_MUTEX_INITIALIZER, 0, 0};
    an_context_config context;
    an_context *ctx;
    room *r = calloc(1, sizeof *r);
    uint32_t which, k;
    long before, held = 0;

    an_context_config_init(&context, sizeof context);
    context.threads = 2;
    context.alloc = count_alloc;
    context.release = count_release;
    context.alloc_user = &c;
    expect_ok(an_context_create(&ctx, &context));
    r->model = tiny_model(ctx);
    album_fill(&r->a);
    for (k = 0; k < 2; k++) {
        static const uint32_t largest[] = {3, PICTURES};
        static const uint32_t sizes[] = {1, 2, 3, 127, 128, 129, PICTURES};
        uint32_t i;

        for (which = 0; which < CALLS; which++) expect_ok(call(r, which, largest[k]));
        for (i = 0; i < 7 && sizes[i] <= largest[k];
             i++) /* each way has its packed weights */
            expect_ok(call(r, 0, sizes[i]));
        if (k > 0)
            expect_count(c.held <= held + 2 * 4, 1, "%ld blocks, %ld before", c.held,
                         held);
        held = c.held;
        before = c.calls;
        for (which = 0; which < CALLS; which++)
            for (i = 0; i < 7 && sizes[i] <= largest[k]; i++) {
                if (which == 2 && sizes[i] > 3 && sizes[i] < PICTURES)
                    continue; /* ten times */
                expect_ok(call(r, which, sizes[i]));
                expect_count(c.calls, before, "%s of %u images after %u",
                             call_names[which], sizes[i], largest[k]);
            }
        expect_count(c.held, held, "blocks of calls up to %u images", largest[k]);
    }
    an_model_destroy(r->model);
    an_context_destroy(ctx);
    expect_count(c.held, 0, "blocks that were not given back");
    free(r);
}
END_TEST

/* --- null -------------------------------------------------------------------------- */

#define REFUSED(call, words) expect_refused(call, AN_ERROR_ARGUMENT, words)

/* The largest number of images is none too many: what is refused is one of them. */
static void expect_most_images(an_model *model, room *r)
{
    an_image *images = malloc(1048576 * sizeof *images);
    uint32_t i;

    for (i = 0; i < 1048576; i++) images[i] = r->a.images[0];
    images[1048575].width = 0;
    expect_refused(an_infer_images(model, images, 1048576, r->p, ENOUGH),
                   AN_ERROR_ARGUMENT, "width");
    free(images);
}

/* Each pointer alone, named; and the numbers of images. */
START_TEST(calls_with_null_are_refused_by_name)
{
    an_context *ctx = small_context(1, AN_CPU_PATH_BEST);
    an_model *m = tiny_model(ctx);
    room *r = calloc(1, sizeof *r);
    const float *x = r->images;
    const an_image *a = r->a.images;
    const int32_t *l = r->labels;
    an_evaluation e;

    album_fill(&r->a);
    an_evaluation_init(&e, sizeof e);
    REFUSED(an_infer(NULL, x, 1, r->p, ENOUGH), "model is null");
    REFUSED(an_infer(m, NULL, 1, r->p, ENOUGH), "images is null");
    REFUSED(an_infer(m, x, 1, NULL, ENOUGH), "probabilities is null");
    REFUSED(an_infer(m, x, 0, r->p, ENOUGH), "count is 0");
    REFUSED(an_infer(m, x, 1048577, r->p, ENOUGH), "count is 1048577");
    REFUSED(an_infer_images(NULL, a, 1, r->p, ENOUGH), "model is null");
    REFUSED(an_infer_images(m, NULL, 1, r->p, ENOUGH), "images is null");
    REFUSED(an_infer_images(m, a, 1, NULL, ENOUGH), "probabilities is null");
    REFUSED(an_infer_images(m, a, 0, r->p, ENOUGH), "count is 0");
    REFUSED(an_infer_images(m, a, 1048577, r->p, ENOUGH), "count is 1048577");
    REFUSED(an_infer_views(NULL, a, 1, 10, r->p, ENOUGH), "model is null");
    REFUSED(an_infer_views(m, NULL, 1, 10, r->p, ENOUGH), "images is null");
    REFUSED(an_infer_views(m, a, 1, 10, NULL, ENOUGH), "probabilities is null");
    REFUSED(an_infer_views(m, a, 0, 10, r->p, ENOUGH), "count is 0");
    REFUSED(an_infer_views(m, a, 1048577, 10, r->p, ENOUGH), "count is 1048577");
    REFUSED(an_evaluate(NULL, x, l, 1, &e), "model is null");
    REFUSED(an_evaluate(m, NULL, l, 1, &e), "images is null");
    REFUSED(an_evaluate(m, x, NULL, 1, &e), "labels is null");
    REFUSED(an_evaluate(m, x, l, 1, NULL), "evaluation is null");
    REFUSED(an_evaluate(m, x, l, 0, &e), "count is 0");
    REFUSED(an_evaluate_images(NULL, a, l, 1, &e), "model is null");
    REFUSED(an_evaluate_images(m, NULL, l, 1, &e), "images is null");
    REFUSED(an_evaluate_images(m, a, NULL, 1, &e), "labels is null");
    REFUSED(an_evaluate_images(m, a, l, 1, NULL), "evaluation is null");
    r->labels[2] = 10;
    expect_most_images(m, r);
    REFUSED(an_evaluate(m, x, l, 3, &e), "labels[2] is 10");
    REFUSED(an_evaluate_images(m, a, l, 3, &e), "labels[2] is 10");
    expect_ok(an_evaluate(m, x, l, 2, &e));
    expect_count(e.count, 2, "evaluated after refused calls");
    free(r);
    an_model_destroy(m);
    an_context_destroy(ctx);
}
END_TEST

/* --- threads ----------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 4 };

typedef struct asking {
    room *room;
    uint32_t first; /* call */
    uint64_t trace[CALLS];
    int wrong;
} asking;

/* What a call has written, in a sum that no two results share by chance. */
static uint64_t trace_of(const room *r, uint32_t which, uint32_t count)
{
    const unsigned char *bytes = which < 3   ? (const void *)r->p
                                 : which < 5 ? (const void *)&r->e
                                             : (const void *)r->layer;
    size_t size = which < 3   ? count * CLASSES * sizeof(float)
                  : which < 5 ? sizeof r->e
                              : count * 4 * SIDE * SIDE * sizeof(float);
    uint64_t sum = 14695981039346656037u;

    while (size-- > 0) sum = (sum ^ *bytes++) * 1099511628211u;
    return sum;
}

static void *ask(void *arg)
{
    asking *a = arg;
    uint32_t round, which;

    for (round = 0; round < ROUNDS; round++)
        for (which = 0; which < CALLS; which++) {
            uint32_t now = (a->first + which) % CALLS;
            uint32_t count = 1 + (now * 7 + a->first * 11) % 20;
            uint64_t got;

            a->wrong += call(a->room, now, count) != AN_OK;
            got = trace_of(a->room, now, count);
            if (round == 0) a->trace[now] = got;
            a->wrong += got != a->trace[now];
        }
    return NULL;
}

/* Calls of all kinds and sizes at once on one model: each gives the bits that it gives
 * alone. */
START_TEST(calls_at_once_do_not_meet)
{
    an_context *ctx = small_context(2, AN_CPU_PATH_BEST);
    an_model *model = tiny_model(ctx);
    asking alone[THREADS], beside[THREADS];
    pthread_t thread[THREADS];
    uint32_t i, which;

    for (i = 0; i < THREADS; i++) {
        room *r = calloc(2, sizeof *r);

        r->model = model;
        noise_floats(r->images, PICTURES * NUMBERS, 40 + i, 1);
        album_fill(&r->a);
        memcpy(r + 1, r, sizeof *r);
        album_fill(&r[1].a); /* whose images point to its own pixels */
        alone[i].room = r;
        beside[i].room = r + 1;
        alone[i].first = beside[i].first = i;
        alone[i].wrong = beside[i].wrong = 0;
    }
    for (i = 0; i < THREADS; i++)
        ck_assert(!pthread_create(&thread[i], NULL, ask, &beside[i]));
    for (i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    for (i = 0; i < THREADS; i++) {
        ask(&alone[i]);
        expect_count(alone[i].wrong + beside[i].wrong, 0, "thread %u: wrong calls", i);
        for (which = 0; which < CALLS; which++)
            expect_count(beside[i].trace[which], alone[i].trace[which], "thread %u: %s",
                         i, call_names[which]);
        free(alone[i].room);
    }
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

void add_inference_calls(Suite *suite)
{
    TCase *tc = tcase_create("calls");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, ten_views_of_many_pictures_are_averaged);
    tcase_add_test(tc, views_that_diverge_are_reported);
    tcase_add_test(tc, pictures_in_longer_structs_are_the_same);
    tcase_add_test(tc, pictures_are_what_they_are_prepared_to);
    tcase_add_test(tc, calls_of_sizes_seen_before_allocate_nothing);
    tcase_add_test(tc, calls_with_null_are_refused_by_name);
    tcase_add_test(tc, calls_at_once_do_not_meet);
    suite_add_tcase(suite, tc);
}
