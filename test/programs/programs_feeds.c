/*
 * programs_feeds.c - bench over a pack: how fast pictures come out of the loader, and the
 * whole way into steps; and the machine's limits beside another measurement of them. What
 * a busy machine can spoil is measured again, some times.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/peak.h"
#include "fixtures.h"

enum { SIDE = 36, COUNT = 60, CLASSES = 12 /* more than the preset has */, TRIES = 12 };

static const char tiny[] = "bench --arch cifar10 --width 0.02";

static void make_packs(void)
{
    pack_spec spec = {COUNT, CLASSES, SIDE, 0, 0, NULL};
    an_context *ctx = context_make();

    pack_make(ctx, "raw", &spec);
    spec.kind = AN_PACK_JPEG;
    pack_make(ctx, "jpeg", &spec);
    an_context_destroy(ctx);
}

/* --- the loader alone -------------------------------------------------------------- */

/* "loader, raw pack of 36 x 36, crops of 32 as floats, one worker: M images/s (L ..
 * H)" */
static void expect_loader_line(const char *out, const char *kind, const char *who,
                               int runs)
{
    double middle, least, most;
    char begin[96];
    const char *at;

    snprintf(begin, sizeof begin,
             "loader, %s pack of 36 x 36, crops of 32 as floats, %s: ", kind, who);
    at = strstr(out, begin);
    ck_assert_msg(at != NULL, "wanted \"%s\", got \"%s\"", begin, out);
    ck_assert_msg(sscanf(at + strlen(begin), "%lf images/s (%lf .. %lf)\n", &middle,
                         &least, &most) == 3,
                  "got \"%s\"", at);
    /* A picture takes a microsecond or more, and no second. */
    ck_assert_msg(least > 1 && least <= middle && middle <= most && most < 1e7, "%s: %s",
                  who, at);
    if (runs == 1) expect_number(least, most, 0, "of one run");
    if (runs == 2) expect_number(middle, most, 0, "of two runs the upper");
}

START_TEST(the_loaders_rate_is_that_of_one_worker_and_of_all)
{
    static const struct {
        const char *pack, *kind, *options, *all;
        int runs;
    } cases[] = {{"raw", "raw", "--workers 3 --runs 2", "3 workers", 2},
                 {"jpeg", "JPEG", "--threads 2 --runs 1", "2 workers", 1},
                 {"raw", "raw", "--workers 1 --threads 2 --runs 3", NULL, 3}};
    size_t i;
    char *out;

    make_packs();
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        program_succeeds(&out, "%s --seconds 0.01 --loader %s %s", tiny, cases[i].pack,
                         cases[i].options);
        expect_loader_line(out, cases[i].kind, "one worker", cases[i].runs);
        if (cases[i].all != NULL)
            expect_loader_line(out, cases[i].kind, cases[i].all, cases[i].runs);
        expect_count(lines_of(out), cases[i].all != NULL ? 2 : 1, "lines: %s", out);
        free(out);
    }
}
END_TEST

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Of one worker, and of one run: five times. */
START_TEST(seconds_is_how_long_a_measurement_takes_and_runs_how_many_there_are)
{
    double began = now(), took;

    make_packs();
    program_succeeds(NULL, "%s --seconds 0.2 --loader raw --workers 1 --runs 1", tiny);
    took = now() - began;
    ck_assert_msg(took > 0.2, "one of 0.2 seconds: %g", took);
    began = now();
    program_succeeds(NULL, "%s --seconds 0.1 --loader raw --workers 1", tiny);
    took = now() - began;
    ck_assert_msg(took > 0.5, "five of 0.1 seconds: %g", took);
}
END_TEST

/* --- the whole way ----------------------------------------------------------------- */

typedef struct row {
    double rate, waited, one, all, alone, minutes;
} row;

static row row_of(const char *out, unsigned batch)
{
    char begin[32];
    const char *at;
    row r;

    snprintf(begin, sizeof begin, "\npipeline %5u ", batch);
    at = strstr(out, begin);
    ck_assert_msg(at != NULL, "wanted a row of %u, got \"%s\"", batch, out);
    ck_assert_msg(sscanf(at + strlen(begin), "%lf %lf %% %lf %lf %lf %lf minutes\n",
                         &r.rate, &r.waited, &r.one, &r.all, &r.alone, &r.minutes) == 6,
                  "batch %u: got \"%.120s\"", batch, at);
    return r;
}

/* 90 epochs of 1.28 million pictures at that rate, which is rounded to tenths. */
static void expect_minutes(const row *r)
{
    double minutes = 90 * 1.28e6 / 60 / r->rate;

    expect_number(r->minutes, minutes, 0.051 + minutes * 0.051 / r->rate, "%g images/s",
                  r->rate);
    ck_assert_msg(r->waited >= 0 && r->waited <= 100, "%g %% of waiting", r->waited);
}

/* What goes the whole way is not faster than its parts, and not slower than all of them
 * one after the other; five times that, as other programs come between. */
static int is_plausible(const row *r)
{
    double least = 1 / (1 / r->one + 1 / r->alone), most = fmin(r->all, r->alone);

    return r->rate > least / 5 && r->rate < most * 5 && r->all > r->one / 5 &&
           r->all < r->one * 15;
}

START_TEST(the_whole_ways_numbers_belong_together)
{
    static const unsigned batches[] = {4, 200};
    int tries, plausible = 0;
    size_t i;
    char *out;

    make_packs();
    for (tries = 0; tries < TRIES && !plausible; tries++) {
        program_succeeds(
            &out, "%s --seconds 0.05 --pipeline raw --workers 3 --batch 4,200", tiny);
        for (plausible = 1, i = 0; i < 2; i++) {
            row r = row_of(out, batches[i]);

            expect_minutes(&r);
            plausible = plausible && is_plausible(&r);
        }
        if (!plausible && tries + 1 == TRIES) ck_abort_msg("not plausible: %s", out);
        free(out);
    }
}
END_TEST

START_TEST(the_whole_ways_heading_says_what_is_measured)
{
    an_model_config c;
    an_model_info info;
    an_context *ctx = context_make();
    an_model *model;
    char *out;

    an_model_config_init(&c, sizeof c);
    c.arch = AN_ARCH_CIFAR10;
    c.width = 0.02f;
    c.classes = CLASSES; /* the pack's, which are more than ten */
    an_model_info_init(&info, sizeof info);
    expect_ok(an_model_create(&model, ctx, &c));
    expect_ok(an_model_describe(model, &info));
    make_packs();
    program_succeeds(&out, "%s --seconds 0.01 --pipeline raw --workers 3 --batch 4",
                     tiny);
    expect_line(
        out,
        "cifar10, %.1f M multiply-adds an image, fp32\n"
        "raw pack of 36 x 36, 60 pictures over and over, crops of 32; images/s:\n"
        "\n"
        "         batch  whole way    waited   one worker    3 workers   step alone   "
        "90 epochs of 1.28 M",
        (double)info.multiply_adds / 1e6);
    expect_no_line(out, "peak");
    free(out);
    program_succeeds(
        &out,
        "%s --seconds 0.01 --pipeline jpeg --threads 1 --precision bf16 --batch 8,5",
        tiny);
    expect_line(out, "cifar10, %.1f M multiply-adds an image, bf16",
                (double)info.multiply_adds / 1e6);
    expect_line(out, "JPEG pack of 36 x 36, 60 pictures over and over, crops of 32; "
                     "images/s:");
    expect_line(out,
                "         batch  whole way    waited   one worker   one worker   step "
                "alone   90 epochs of 1.28 M");
    row_of(out, 8);
    row_of(out, 5);
    free(out);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* --- the machine's limits ---------------------------------------------------------- */

#if defined(__x86_64__)
#include <immintrin.h>

/* Multiply-adds of eight numbers a second, in GFLOP/s: the best of some runs, as other
 * programs come between. */
__attribute__((target("avx2,fma"))) static double multiply_adds(void)
{
    __m256 sums[10];
    const __m256 x = _mm256_set1_ps(0.5f);
    double began, best = 0, rate;
    float out[8];
    int run, i, k;

    for (k = 0; k < 10; k++) sums[k] = x;
    for (run = 0; run < 9; run++) {
        began = now();
        for (i = 0; i < 2000000; i++)
            for (k = 0; k < 10; k++) sums[k] = _mm256_fmadd_ps(sums[k], x, x);
        rate = 2e6 * 10 * 8 * 2 / (now() - began) * 1e-9;
        if (rate > best) best = rate;
    }
    for (k = 1; k < 10; k++) sums[0] = _mm256_add_ps(sums[0], sums[k]);
    _mm256_storeu_ps(out, sums[0]);
    ck_assert(out[0] > 0); /* so that it must be computed */
    return best;
}

/* As many as a thread does, or, with the wider instructions, up to twice as many; of two
 * threads not more than twice that. */
START_TEST(the_peak_is_that_of_multiply_adds)
{
    const char *name = "";
    double one = 0, two = 0, other = 0, most;
    int tries, wide = __builtin_cpu_supports("avx512f");

    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
    most = wide ? 2.6 : 1.5;
    for (tries = 0; tries < TRIES; tries++) {
        one = peak_gflops(1, &name);
        other = multiply_adds();
        two = peak_gflops(2, &name);
        expect_text(name, wide ? "AVX-512" : "AVX2", "the instructions");
        if (one > 0.65 * other && one < most * other && two > 0.65 * other &&
            two < 2 * most * other)
            break;
    }
    ck_assert_msg(tries < TRIES, "%g GFLOP/s, %g of two threads, wanted about %g", one,
                  two, other);
}
END_TEST
#endif

/* Bytes a second, from more memory than caches hold. */
static double bytes_a_second(void)
{
    enum { WORDS = 16 << 20 };
    uint64_t *memory = malloc(WORDS * sizeof *memory), sum = 0;
    double best = 0, began, rate;
    size_t i;
    int run;

    for (i = 0; i < WORDS; i++) memory[i] = i;
    for (run = 0; run < 4; run++) {
        began = now();
        for (i = 0; i < WORDS; i++) sum += memory[i];
        rate = WORDS * sizeof *memory / (now() - began) * 1e-9;
        if (rate > best) best = rate;
    }
    ck_assert_uint_gt(sum, 0);
    free(memory);
    return best;
}

/* Four places at once are read faster than one, but not many times. */
START_TEST(the_memorys_rate_is_that_of_reading_it)
{
    double rate = 0, other = 0;
    int tries;

    for (tries = 0; tries < TRIES; tries++) {
        rate = peak_gigabytes(1);
        other = bytes_a_second();
        if (rate > 0.5 * other && rate < 3.5 * other) break;
    }
    ck_assert_msg(tries < TRIES, "%g GB/s, wanted about %g", rate, other);
}
END_TEST

Suite *feeds_suite(void)
{
    Suite *suite = suite_create("feeds");
    TCase *tc = tcase_create("packs"), *peaks = tcase_create("peaks");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, the_loaders_rate_is_that_of_one_worker_and_of_all);
    tcase_add_test(tc,
                   seconds_is_how_long_a_measurement_takes_and_runs_how_many_there_are);
    tcase_add_test(tc, the_whole_ways_numbers_belong_together);
    tcase_add_test(tc, the_whole_ways_heading_says_what_is_measured);
    suite_add_tcase(suite, tc);
#if defined(__x86_64__)
    tcase_add_test(peaks, the_peak_is_that_of_multiply_adds);
#endif
    tcase_add_test(peaks, the_memorys_rate_is_that_of_reading_it);
    suite_add_tcase(suite, peaks);
    return suite;
}
