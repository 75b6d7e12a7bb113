/*
 * programs_bench.c - bench: numbers of a row belong together, options reach what they
 * name, and the machine's peak is about what another measurement has. Where a busy
 * machine can spoil a comparison of times, it is made again.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/peak.h"
#include "fixtures.h"

/* What is in the headings. */
typedef struct heading {
    double peak, memory; /* as printed; 0 where they are not */
    uint32_t threads;
} heading;

static heading heading_of(const char *out, const an_model_info *model, const char *arch,
                          unsigned runs)
{
    an_context *ctx = context_make();
    heading h = {0, 0, 0};
    an_device_info d;
    char name[128];
    const char *at = strchr(out, '\n') + 1, *next;

    an_device_info_init(&d, sizeof d);
    expect_ok(an_device_describe(ctx, 0, &d));
    an_context_destroy(ctx);
    expect_line(out, "%s", an_build_info());
    snprintf(name, sizeof name, "%s, ", d.name);
    ck_assert_msg(strstr(at, name) == at &&
                      sscanf(at + strlen(name), "%u threads", &h.threads) == 1,
                  "wanted \"%s... threads\", got \"%s\"", name, out);
    next = strstr(at, ", measured peak ");
    if (next != NULL) sscanf(next, ", measured peak %lf GFLOP/s (", &h.peak);
    next = strstr(at, ", memory ");
    if (next != NULL) sscanf(next, ", memory %lf GB/s\n", &h.memory);
    if (runs > 0)
        expect_line(out, "%s, %.1f M multiply-adds an image; median of %u runs", arch,
                    (double)model->multiply_adds / 1e6, runs);
    return h;
}

/* The model that bench makes of these options. */
static an_model *model_of(an_context *ctx, uint32_t arch, float width, uint32_t towers,
                          an_model_info *info, double *first_layer)
{
    an_model_config c;
    an_layer_info l;
    an_model *model;

    an_model_config_init(&c, sizeof c);
    c.arch = arch;
    c.width = width;
    c.towers = towers;
    an_model_info_init(info, sizeof *info);
    an_layer_info_init(&l, sizeof l);
    expect_ok(an_model_create(&model, ctx, &c));
    expect_ok(an_model_describe(model, info));
    expect_ok(an_layer_describe(model, 0, &l));
    *first_layer = (double)l.multiply_adds;
    return model;
}

/* Threads of a context that is not told how many. */
static uint32_t threads_of_all(void)
{
    an_context *ctx;
    uint32_t threads;

    expect_ok(an_context_create(&ctx, NULL));
    threads = an_context_threads(ctx);
    an_context_destroy(ctx);
    return threads;
}

/* --- rows of models ---------------------------------------------------------------- */

/* got is printed with `digits`; wanted was computed of numbers that were rounded, too:
 * `part` of it may be missing. */
static void expect_about(double got, double wanted, double digits, double part,
                         const char *what)
{
    expect_number(got, wanted, digits * 0.51 + part * fabs(wanted), "%s", what);
}

/* "forward  64  ms  fastest .. slowest  images/s  GFLOP/s  of peak %" */
static void expect_row(const char *out, const char *what, uint32_t batch, double flops,
                       const heading *h, unsigned runs)
{
    char begin[32], place[64];
    double n[6] = {0}, share = -1, part;
    const char *at;

    snprintf(begin, sizeof begin, "\n%-9s %5u ", what, batch);
    at = strstr(out, begin);
    ck_assert_msg(at != NULL, "wanted a row \"%s\", got \"%s\"", begin + 1, out);
    ck_assert_msg(sscanf(at + strlen(begin), "%lf %lf ..%lf %lf %lf %lf %%", &n[0], &n[1],
                         &n[2], &n[3], &n[4], &share) >= 5,
                  "%s: \"%.100s\"", what, at);
    snprintf(place, sizeof place, "%s, batch %u", what, batch);
    ck_assert_msg(n[1] <= n[0] && n[0] <= n[2], "%s: %g .. %g .. %g ms", place, n[1],
                  n[0], n[2]);
    if (runs <= 2) expect_number(n[0], n[2], 0, "%s: of two runs the slower", place);
    if (runs == 1) expect_number(n[0], n[1], 0, "%s: of one run", place);
    part = 0.0051 / n[0]; /* milliseconds are rounded to hundredths */
    expect_about(n[3], 1000 * batch / n[0], 0.1, part, place);
    expect_about(n[4], n[3] * flops * 1e-9, 0.1, 0.051 / n[3], place);
    if (h->peak > 0)
        expect_about(share, 100 * n[4] / h->peak, 0.1, 0.051 / n[4] + 0.51 / h->peak,
                     place);
}

/* As many rows of a kind. */
static void expect_rows(const char *out, const char *what, size_t count)
{
    char begin[32];
    size_t got = 0;

    snprintf(begin, sizeof begin, "\n%s ", what);
    while ((out = strstr(out, begin)) != NULL) {
        got++;
        out++;
    }
    expect_count(got, count, "rows of %s", what);
}

START_TEST(a_rows_numbers_belong_together)
{
    an_context *ctx = context_make();
    an_model_info info;
    double first, forward;
    heading h;
    char *out;

    an_model_destroy(model_of(ctx, AN_ARCH_CIFAR10, 0.5f, 1, &info, &first));
    forward = 2 * (double)info.multiply_adds;
    program_succeeds(&out, "bench --arch cifar10 --width 0.5 --batch 16,40 --runs 3 "
                           "--threads 1");
    h = heading_of(out, &info, "cifar10", 3);
    expect_count(h.threads, 1, "--threads");
    expect_no_line(out, "memory");
    expect_row(out, "forward", 16, forward, &h, 3);
    expect_row(out, "forward", 40, forward, &h, 3);
    /* Three times forward, but for the gradient of the images, which nobody wants. */
    expect_row(out, "training", 16, 3 * forward - 2 * first, &h, 3);
    expect_row(out, "training", 40, 3 * forward - 2 * first, &h, 3);
    expect_rows(out, "forward", 2);
    expect_rows(out, "training", 2);
    free(out);
    program_succeeds(&out, "bench --arch cifar10 --width 0.5 --batch 8 --runs 2 "
                           "--threads 3 --train");
    h = heading_of(out, &info, "cifar10", 2);
    expect_count(h.threads, 3, "--threads");
    expect_row(out, "training", 8, 3 * forward - 2 * first, &h, 2);
    expect_rows(out, "forward", 0);
    free(out);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(without_options_it_is_the_batches_of_the_documents_and_five_runs)
{
    an_context *ctx = context_make();
    an_model_info info;
    double first;
    heading h;
    char *out;

    an_model_destroy(model_of(ctx, AN_ARCH_CIFAR10, 0.02f, 1, &info, &first));
    program_succeeds(&out, "bench --arch cifar10 --width 0.02 --forward");
    h = heading_of(out, &info, "cifar10", 5);
    expect_count(h.threads, threads_of_all(), "the processors");
    expect_row(out, "forward", 1, 2 * (double)info.multiply_adds, &h, 5);
    expect_row(out, "forward", 32, 2 * (double)info.multiply_adds, &h, 5);
    expect_row(out, "forward", 128, 2 * (double)info.multiply_adds, &h, 5);
    expect_rows(out, "forward", 3);
    expect_rows(out, "training", 0);
    expect_no_line(out, "exchange");
    free(out);
    an_context_destroy(ctx);
}
END_TEST

/* What the plan says, and what was counted. */
START_TEST(two_towers_exchange_as_many_numbers_as_planned)
{
    an_context *ctx = context_make();
    an_model_info info;
    double first;
    heading h;
    char *out;

    an_model_destroy(model_of(ctx, AN_ARCH_PAPER, 0.1f, 2, &info, &first));
    program_succeeds(&out, "bench --width 0.1 --towers 2 --batch 1 --runs 1 --forward");
    h = heading_of(out, &info, "paper", 1);
    expect_row(out, "forward", 1, 2 * (double)info.multiply_adds, &h, 1);
    expect_line(out, "exchange: %" PRIu64 " numbers an image, forward; counted: %" PRIu64,
                info.exchange_floats, info.exchange_floats);
    ck_assert_uint_gt(info.exchange_floats, 0);
    free(out);
    an_context_destroy(ctx);
}
END_TEST

/* --- layer by layer ---------------------------------------------------------------- */

/* The number at *at, or -1 where there is a dash; moves behind it and its percent
 * sign. */
static double next_number(const char **at)
{
    char *end;
    double value;

    while (**at == ' ') (*at)++;
    if (**at == '-') {
        (*at)++;
        return -1;
    }
    value = strtod(*at, &end);
    ck_assert_msg(end != *at, "wanted a number, got \"%.60s\"", *at);
    *at = end;
    while (**at == ' ' || **at == '%') (*at)++;
    return value;
}

/* A time of `ms`, rounded to hundredths, and what is done in it: `got` a second is in
 * between. */
static void expect_rate(double got, double amount, double ms, double digits,
                        const char *what)
{
    double least = amount / (ms + 0.0051) * 1e3,
           most = ms > 0.0051 ? amount / (ms - 0.0051) * 1e3 : INFINITY;

    ck_assert_msg(got >= least - digits && got <= most + digits,
                  "%s: %g, wanted %g to %g (%g ms)", what, got, least, most, ms);
}

typedef struct sums {
    double forward, backward, update;
} sums;

/* A layer's row; bytes: that its weights have each. */
static void expect_layer_row(const char *out, const an_layer_info *l, const char *way,
                             uint32_t batch, int first, int training, int bytes,
                             const heading *h, sums *sum)
{
    double flops = 2e-9 * (double)l->multiply_adds * batch;
    double numbers = (double)l->in_maps * l->in_height * l->in_width +
                     (double)l->out_maps * l->out_height * l->out_width;
    double moved = 1e-9 * (4 * numbers * batch + bytes * (double)l->parameter_count);
    char begin[32], got_way[24] = "";
    double ms, rate;
    const char *at;

    snprintf(begin, sizeof begin, "\n%-11s ", l->name);
    at = strstr(out, begin);
    ck_assert_msg(at != NULL, "wanted a row of %s, got \"%s\"", l->name, out);
    at += strlen(begin);
    ms = next_number(&at);
    sum->forward += ms;
    rate = next_number(&at);
    expect_rate(rate, flops, ms, 0.051, l->name);
    expect_rate(next_number(&at), 100 * flops / h->peak, ms,
                0.51 + 51 * rate / (h->peak * h->peak), l->name);
    rate = next_number(&at);
    expect_rate(rate, 100 * moved / h->memory, ms, 0.51 + rate * 0.051 / h->memory,
                l->name);
    if (way[0] != '\0') {
        sscanf(at, "%23s", got_way);
        expect_text(got_way, way, "%s: its way", l->name);
        at = strstr(at, way) + strlen(way);
    }
    if (!training) {
        expect_count(strcspn(at, "\n"), strspn(at, " "), "%s: no more", l->name);
        return;
    }
    if (!first) flops *= 2; /* nobody wants the images' gradient */
    ms = next_number(&at);
    sum->backward += ms;
    rate = next_number(&at);
    expect_rate(rate, flops, ms, 0.051, l->name);
    expect_rate(next_number(&at), 100 * flops / h->peak, ms,
                0.51 + 51 * rate / (h->peak * h->peak), l->name);
    sum->update += next_number(&at);
}

static void expect_layers(const char *out, an_model *model, uint32_t batch, int training,
                          int narrow, const heading *h)
{
    an_layer_time rows[8];
    an_model_info info;
    sums sum = {0, 0, 0};
    const char *at;
    uint32_t i;

    an_model_info_init(&info, sizeof info);
    expect_ok(an_model_describe(model, &info));
    for (i = 0; i < info.layers; i++) an_layer_time_init(&rows[i], sizeof rows[i]);
    expect_ok(an_model_profile(model, batch, (uint32_t)training, rows, info.layers));
    for (i = 0; i < info.layers; i++) {
        an_layer_info l;

        an_layer_info_init(&l, sizeof l);
        expect_ok(an_layer_describe(model, i, &l));
        expect_layer_row(out, &l, rows[i].algorithm, batch, i == 0, training,
                         narrow && !l.is_conv ? 2 : 4, h, &sum);
    }
    at = strstr(out, "\nall ");
    ck_assert_msg(at != NULL, "wanted a row of all, got \"%s\"", out);
    at += 5;
    expect_number(next_number(&at), sum.forward, 0.0051 * (info.layers + 1), "all");
    if (!training) return;
    expect_number(next_number(&at), sum.backward, 0.0051 * (info.layers + 1), "all");
    expect_number(next_number(&at), sum.update, 0.0051 * (info.layers + 1), "all");
}

/* Also with bfloat16 allowed: training reads the weights themselves. */
START_TEST(layers_rows_belong_together_and_add_up)
{
    an_context *ctx = context_make();
    an_model_info info;
    an_model *model;
    double first;
    heading h;
    char *out;

    model = model_of(ctx, AN_ARCH_CIFAR10, 1, 1, &info, &first);
    program_succeeds(&out, "bench --arch cifar10 --batch 12 --runs 1 --threads 1 --train "
                           "--layers --precision bf16");
    h = heading_of(out, &info, "cifar10", 1);
    ck_assert_msg(h.memory > 0 && h.peak > 0, "got \"%s\"", out);
    expect_line(out, "batch 12       fwd ms   GFLOP/s    peak  memory   way          bwd "
                     "ms   GFLOP/s    peak update ms");
    expect_layers(out, model, 12, 1, 0, &h);
    free(out);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* Of few images dense layers may read half as many bytes, but not on the reference
 * path. */
START_TEST(bfloat16_weights_count_half_where_they_are_read)
{
    static const struct {
        const char *options;
        uint32_t path, batch;
        int narrow;
    } cases[] = {{"--batch 1", AN_CPU_PATH_BEST, 1, 1},
                 {"--batch 16", AN_CPU_PATH_BEST, 16, 0},
                 {"--batch 2 --cpu-path reference", AN_CPU_PATH_REFERENCE, 2, 0}};
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        an_context_config config;
        an_context *ctx;
        an_model_info info;
        an_model *model;
        double first;
        heading h;
        char *out;

        an_context_config_init(&config, sizeof config);
        config.cpu_path = cases[i].path;
        config.threads = 1;
        expect_ok(an_context_create(&ctx, &config));
        model = model_of(ctx, AN_ARCH_TORCHVISION, 0.15f, 1, &info, &first);
        program_succeeds(&out,
                         "bench --arch torchvision --width 0.15 --runs 1 --threads 1 "
                         "--forward --layers --precision bf16 %s",
                         cases[i].options);
        h = heading_of(out, &info, "torchvision", 1);
        expect_layers(out, model, cases[i].batch, 0,
                      cases[i].narrow && path_of(ctx) != AN_CPU_PATH_REFERENCE, &h);
        free(out);
        an_model_destroy(model);
        an_context_destroy(ctx);
    }
}
END_TEST

START_TEST(bench_refuses_what_it_cannot_measure)
{
    static const char *const batches[] = {"0", "8193", "1,,2", "2x", ",1", "1 2", "x"};
    size_t i;

    for (i = 0; i < sizeof batches / sizeof batches[0]; i++)
        program_fails(2, "must be numbers from 1 to 8192 with commas",
                      "bench --arch cifar10 --width 0.02 --train --runs 1 --batch '%s'",
                      batches[i]);
    program_fails(2, "no operand is wanted", "bench pack");
    program_fails(2, "--arch: name is \"vgg\": the presets are paper, ",
                  "bench --arch vgg");
    program_fails(2, "--loader, --pipeline: one at a time",
                  "bench --loader a --pipeline b");
    program_fails(1, "none: ", "bench --loader none");
    program_fails(1, "none: ", "bench --pipeline none");
    program_fails(1, "model: ", "bench --device other");
}
END_TEST

Suite *bench_suite(void)
{
    Suite *suite = suite_create("bench");
    TCase *tc = tcase_create("models");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, a_rows_numbers_belong_together);
    tcase_add_test(tc, without_options_it_is_the_batches_of_the_documents_and_five_runs);
    tcase_add_test(tc, two_towers_exchange_as_many_numbers_as_planned);
    tcase_add_test(tc, layers_rows_belong_together_and_add_up);
    tcase_add_test(tc, bfloat16_weights_count_half_where_they_are_read);
    tcase_add_test(tc, bench_refuses_what_it_cannot_measure);
    suite_add_tcase(suite, tc);
    return suite;
}
