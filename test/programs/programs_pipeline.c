/*
 * programs_pipeline.c - how fast pictures come, by parts of bench: which pictures are
 * asked for, and that the numbers of a row belong together.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/pipeline.h"
#include "tiny.h"

/* What was asked of a pack: how often each of its pictures. */
typedef struct record {
    an_source pack;
    pthread_mutex_t lock;
    unsigned long times[TINY_COUNT];
    unsigned long beyond;
    int now, most; /* calls at the same time */
    long pause;    /* nanoseconds of each */
} record;

static int fetch(uint64_t index, an_sample *sample, void *user)
{
    record *r = user;
    const struct timespec pause = {0, r->pause};

    pthread_mutex_lock(&r->lock);
    if (index < TINY_COUNT)
        r->times[index]++;
    else
        r->beyond++;
    if (++r->now > r->most) r->most = r->now;
    pthread_mutex_unlock(&r->lock);
    nanosleep(&pause, NULL);
    pthread_mutex_lock(&r->lock);
    r->now--;
    pthread_mutex_unlock(&r->lock);
    return r->pack.fetch(index % TINY_COUNT, sample, r->pack.user);
}

typedef struct pipe_case {
    const char *pack;
    uint32_t workers, batch;
    long pause; /* of each picture, nanoseconds */
    void (*measure)(const pipeline *p, uint32_t batch);
} pipe_case;

/* Prints what was measured, then "first last beyond most": pictures asked for, and how
 * many of them at the same time. */
static void measure(void *argument)
{
    const pipe_case *c = argument;
    record r;
    an_model_config config;
    an_context *ctx;
    an_model *model;
    pipeline p;
    int first = 0, last = TINY_COUNT - 1;

    memset(&r, 0, sizeof r);
    pthread_mutex_init(&r.lock, NULL);
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.image_size = 16;
    config.width = 0.1f;
    config.classes = TINY_CLASSES;
    expect_ok(an_context_create(&ctx, NULL));
    expect_ok(an_model_create(&model, ctx, &config));
    pipeline_open(&p, ctx, tiny_path(c->pack));
    pipeline_prepare(&p, model);
    p.workers = c->workers;
    p.seconds = c->pause > 1000000 ? 0.2 : 0.02; /* of slow pictures, some */
    p.runs = 3;
    r.pack = p.source;
    r.pause = c->pause;
    p.source.fetch = fetch;
    p.source.user = &r;
    c->measure(&p, c->batch);
    while (first < TINY_COUNT - 1 && r.times[first] == 0) first++;
    while (last > 0 && r.times[last] == 0) last--;
    printf("%d %d %lu %d\n", first, last, r.beyond, r.most);
    pipeline_close(&p);
    an_model_destroy(model);
    an_context_destroy(ctx);
}

static char *measured(const char *pack, uint32_t workers, uint32_t batch, long pause,
                      void (*function)(const pipeline *p, uint32_t batch))
{
    pipe_case c = {pack, workers, batch, pause, function};
    said s = in_child(measure, &c);

    ck_assert_msg(s.code == 0, "%s: %s", s.out, s.err);
    free(s.err);
    return s.out;
}

/* --- the whole way ----------------------------------------------------------------- */

/* A row of the table. */
typedef struct row {
    unsigned batch;
    double rate, waited, one, all, alone, minutes;
    int first, last, beyond, most;
} row;

static row measured_row(uint32_t batch, uint32_t workers, long pause)
{
    char *out = measured("data/train", workers, batch, pause, pipeline_steps);
    row r;

    ck_assert_msg(sscanf(out,
                         "pipeline %u %lf %lf %% %lf %lf %lf %lf minutes\n%d %d %d %d",
                         &r.batch, &r.rate, &r.waited, &r.one, &r.all, &r.alone,
                         &r.minutes, &r.first, &r.last, &r.beyond, &r.most) == 11,
                  "not understood: %s", out);
    expect_count(r.batch, batch, "batch");
    ck_assert_msg(r.rate > 0 && r.one > 0 && r.all > 0 && r.alone > 0, "%s", out);
    ck_assert_msg(r.waited >= 0 && r.waited <= 100, "%s", out);
    free(out);
    return r;
}

/* Whole batches only: of the 37 pictures 32 by eights, and all of them, some twice, by
 * 64. */
START_TEST(a_row_has_rates_that_belong_together)
{
    static const struct {
        uint32_t batch;
        int last;
    } cases[] = {{8, 31}, {37, 36}, {64, 36}};
    size_t i;

    for (i = 0; i < 3; i++) {
        row r = measured_row(cases[i].batch, 2, 0);

        /* 90 epochs of 1.28 million; both numbers are rounded to a tenth. */
        expect_number(r.minutes, 90 * 1.28e6 / r.rate / 60,
                      0.051 + r.minutes * 0.051 / r.rate, "minutes at %g images/s",
                      r.rate);
        expect_count(r.first, 0, "the first picture of batches of %u", r.batch);
        expect_count(r.last, cases[i].last, "the last picture of batches of %u", r.batch);
        expect_count(r.beyond, 0, "pictures that are none");
    }
}
END_TEST

/* Pictures that take three milliseconds each: steps wait for them most of the time, and
 * are as many as the workers have pictures for; alone they are many more. No more come
 * than that allows, twice as many where a batch was half ready when the clock started. */
START_TEST(where_pictures_are_slow_steps_wait_for_them)
{
    row r = measured_row(8, 2, 3000000);

    expect_count(r.most, 2, "pictures at the same time");
    ck_assert_msg(r.waited > 30, "waited %g %%", r.waited);
    ck_assert_msg(r.one < 2 * 334 && r.all < 2 * 668, "%g and %g pictures a second",
                  r.one, r.all);
    ck_assert_msg(r.all > 1.25 * r.one, "%g pictures a second of one worker, %g of two",
                  r.one, r.all);
    ck_assert_msg(r.rate < 2 * 668 && r.rate > r.all / 3, "%g of %g pictures a second",
                  r.rate, r.all);
    ck_assert_msg(r.alone > r.rate, "%g alone, %g with the loader", r.alone, r.rate);
    r = measured_row(8, 1, 1000000);
    expect_count(r.most, 1, "pictures at the same time");
}
END_TEST

static void heading(const pipeline *p, uint32_t batch)
{
    (void)batch;
    pipeline_heading(p);
}

START_TEST(the_heading_says_what_is_measured)
{
    const tiny_pack jpeg = {.seed = 1, .jpeg = 1};
    char *out = measured("data/train", 3, 1, 0, heading);

    ck_assert_msg(strstr(out, "raw pack of 20 x 20, 37 pictures over and over, crops of "
                              "16; images/s:\n\n") == out,
                  "%s", out);
    expect_count(times_in(out, "   one worker    3 workers   step alone   90 epochs"), 1,
                 "%s", out);
    free(out);
    tiny_pack_make("jpeg", &jpeg);
    out = measured("jpeg", 1, 1, 0, heading);
    ck_assert_msg(strstr(out, "JPEG pack of 20 x 20, ") == out, "%s", out);
    expect_count(times_in(out, "   one worker   one worker   step alone"), 1, "%s", out);
    free(out);
}
END_TEST

/* --- the loader alone -------------------------------------------------------------- */

static void loader(const pipeline *p, uint32_t batch)
{
    (void)batch;
    pipeline_loader(p);
}

/* The middle one of three runs, between the others; a line for one worker and for all. */
static const char *expect_loader(const char *out, const char *workers)
{
    char words[96];
    double middle, low, high;
    int end = 0;

    snprintf(words, sizeof words,
             "loader, raw pack of 20 x 20, crops of 16 as floats, %s: ", workers);
    ck_assert_msg(strncmp(out, words, strlen(words)) == 0, "wanted \"%s\" in: %s", words,
                  out);
    ck_assert_msg(sscanf(out + strlen(words), "%lf images/s (%lf .. %lf)\n%n", &middle,
                         &low, &high, &end) == 3 &&
                      end > 0,
                  "not understood: %s", out);
    ck_assert_msg(low > 0 && low <= middle && middle <= high, "%s", out);
    return out + strlen(words) + end;
}

START_TEST(the_loader_is_measured_with_one_worker_and_all)
{
    char *out = measured("data/train", 2, 1, 200000, loader);
    const char *rest = expect_loader(expect_loader(out, "one worker"), "2 workers");

    /* Batches of 128: all pictures are asked for. */
    expect_text(rest, "0 36 0 2\n", "pictures asked for, two at the same time");
    free(out);
    out = measured("data/train", 1, 1, 200000, loader);
    expect_text(expect_loader(out, "one worker"), "0 36 0 1\n", "pictures asked for");
    free(out);
}
END_TEST

/* --- its model --------------------------------------------------------------------- */

static void input(const pipeline *p, uint32_t batch)
{
    float mean[3 * TINY_SIDE * TINY_SIDE];
    an_preprocessing pre;

    (void)batch;
    an_preprocessing_init(&pre, sizeof pre);
    expect_ok(an_model_get_preprocessing(p->model, &pre));
    printf("%u %g %d %u %llu\n", pre.side, (double)pre.scale[0],
           an_model_get_mean_image(p->model, mean, sizeof mean / sizeof *mean) == AN_OK,
           p->info.classes, (unsigned long long)p->source.count);
}

START_TEST(the_model_takes_the_packs_mean_image)
{
    char *out = measured("data/train", 1, 1, 0, input);

    expect_count(times_in(out, "20 1 1 7 37\n"), 1,
                 "side, scale, mean image, classes, pictures: %s", out);
    free(out);
}
END_TEST

Suite *pipeline_suite(void)
{
    Suite *suite = suite_create("pipeline");
    TCase *tc = tiny_case(suite, "pipeline");

    tcase_add_test(tc, a_row_has_rates_that_belong_together);
    tcase_add_test(tc, where_pictures_are_slow_steps_wait_for_them);
    tcase_add_test(tc, the_heading_says_what_is_measured);
    tcase_add_test(tc, the_loader_is_measured_with_one_worker_and_all);
    tcase_add_test(tc, the_model_takes_the_packs_mean_image);
    return suite;
}
