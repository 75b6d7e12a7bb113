/*
 * test_starts.c - what parameters are before any training: by statistics of many of them
 * beside docs/NETWORKS.md, and by what they may depend on; and the generator that they
 * come from.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "networks.h"
#include "small.h"
#include "test.h"

/* Seeds are fixed, so that no test fails by chance; of a right generator a statistic is
 * as far off as five of its standard deviations once in two million. */
#define FAR 5

enum { SHAPES = 100 }; /* numbers from which on a distribution has a shape */

/* Shares and moments of a parameter's numbers in units of their standard deviation. */
typedef struct moments {
    double mean, deviation, largest, within; /* share of those below one deviation */
    double apart[4], squares;                /* products of numbers 1 to 4 places apart */
} moments;

static moments moments_of(const float *x, size_t count, double deviation)
{
    moments m = {0, 0, 0, 0, {0}, 0};
    size_t i, k;

    for (i = 0; i < count; i++) {
        double v = (double)x[i] / deviation;

        m.mean += v / (double)count;
        m.deviation += v * v / (double)count;
        m.largest = fmax(m.largest, fabs(v));
        m.within += (fabs(v) < 1) / (double)count;
        for (k = 1; k <= 4; k++) {
            double other = i + k < count ? (double)x[i + k] / deviation : 0;

            m.apart[k - 1] += v * other / (double)count;
            if (k == 1) m.squares += (v * v - 1) * (other * other - 1) / (double)count;
        }
    }
    m.deviation = sqrt(m.deviation);
    return m;
}

/* How numbers of a kind are spread: the variance of their squares, in units of their own,
 * the share within one deviation, and the largest that there may be. */
typedef struct spread {
    const char *kind;
    double square_variance, within, largest;
} spread;

static const spread gaussian = {"gaussian", 2, 0.682689, 6.6605}; /* sqrt(-2 ln 2^-32) */
static const spread uniform = {"uniform", 0.8, 0.577350, 1.7320509}; /* sqrt(3) */

static void check_spread(const float *x, size_t count, double deviation, const spread *s,
                         const char *what)
{
    moments m = moments_of(x, count, deviation);
    double root = sqrt((double)count);
    int k;

#define NAMED "%s: %zu numbers, %s, of deviation %g", what, count, s->kind, deviation
    expect_number(m.mean, 0, FAR / root, NAMED);
    expect_number(m.deviation, 1, FAR * sqrt(s->square_variance) / 2 / root, NAMED);
    ck_assert_msg(m.largest <= s->largest, "%s: largest %g deviations", what, m.largest);
    if (count < SHAPES) return;
    expect_number(m.within, s->within, FAR * 0.5 / root, NAMED);
    for (k = 0; k < 4; k++) expect_number(m.apart[k], 0, FAR / root, NAMED);
    expect_number(m.squares, 0, FAR * s->square_variance / root, NAMED);
    /* The ends are there, too: none of so many is this far below them once in e^20. */
    if (s == &uniform)
        ck_assert_msg(m.largest >= s->largest * (1 - 20 / (double)count),
                      "%s: largest %g deviations", what, m.largest);
#undef NAMED
}

static void check_constant(const float *x, size_t count, double value, const char *what)
{
    size_t i = 0;

    while (i < count && x[i] == (float)value) i++;
    ck_assert_msg(i == count, "%s: [%zu] is %.9g, wanted %.9g", what, i, (double)x[i],
                  (double)(float)value);
}

static void check_start(const an_model *model, const net *n, uint32_t index)
{
    const net_layer *l = &n->layer[index / 2];
    double inputs = (double)l->inputs;
    char what[96];
    size_t count;
    float *x = parameter_of(model, index, &count);

    snprintf(what, sizeof what, "%s, initialisation %u, %s's %s", an_arch_name(n->arch),
             n->initialisation, l->name, index % 2 ? "bias" : "weight");
    if (n->initialisation == AN_INIT_FAN_IN)
        check_spread(x, count, 1 / sqrt(3 * inputs), &uniform, what);
    else if (index % 2 == 1)
        check_constant(x, count, n->initialisation == AN_INIT_GAUSSIAN ? l->bias : 0,
                       what);
    else if (n->initialisation == AN_INIT_HE)
        check_spread(x, count, sqrt(2 / inputs), &gaussian, what);
    else
        check_spread(x, count, l->sigma, &gaussian, what);
    free(x);
}

static an_context *with_threads(uint32_t threads, uint32_t path)
{
    an_context_config config;
    an_context *ctx;

    an_context_config_init(&config, sizeof config);
    config.threads = threads;
    config.cpu_path = path;
    expect_ok(an_context_create(&ctx, &config));
    return ctx;
}

/* Each preset, as it is and with each of the others' initialisations, also of the layer
 * that it does not have. */
START_TEST(parameters_start_as_the_tables_say)
{
    an_context *ctx = with_threads(2, 0);
    uint32_t init, extra, i;

    for (init = 0; init <= AN_INIT_HE; init++)
        for (extra = 0; extra < 2; extra++) {
            an_model_config config;
            an_model *model;
            net n;

            an_model_config_init(&config, sizeof config);
            config.arch = (uint32_t)_i;
            config.width = _i == AN_ARCH_CIFAR10 ? 1 : 0.1f;
            config.image_size = _i == AN_ARCH_CIFAR10 ? 32 : 79;
            config.classes = 100;
            config.initialisation = init;
            config.extra_conv = extra;
            config.seed = 3 + init;
            ck_assert_int_eq(net_of(&n, &config), 1);
            expect_ok(an_model_create(&model, ctx, &config));
            for (i = 0; i < 2 * n.count; i++) check_start(model, &n, i);
            an_model_destroy(model);
        }
    an_context_destroy(ctx);
}
END_TEST

/* --- what a start depends on ------------------------------------------------------- */

static an_model_config start_config(uint32_t init)
{
    an_model_config config = small_config(AN_ARCH_PAPER);

    config.width =
        0.13f; /* numbers of more than one thread's part, and of no whole fours */
    config.classes = 11;
    config.initialisation = init;
    config.seed = 0x100000005u;
    return config;
}

START_TEST(a_start_is_that_of_its_seed_alone)
{
    const an_model_config config = start_config((uint32_t)_i);
    an_context *ctx = with_threads(1, AN_CPU_PATH_REFERENCE), *other = with_threads(3, 0);
    an_model *first, *again;
    an_model_config changed;
    int k;

    expect_ok(an_model_create(&first, ctx, &config));
    for (k = 0; k < 6; k++) {
        changed = config;
        if (k == 1) changed.towers = 2;
        if (k == 2) changed.precision = AN_PRECISION_BF16;
        if (k == 3) changed.activation = AN_ACTIVATION_TANH;
        if (k == 4) changed.dropout = AN_SWITCH_OFF;
        if (k == 5) changed.lrn = AN_SWITCH_OFF;
        expect_ok(an_model_create(&again, k == 0 ? ctx : other, &changed));
        same_parameters(again, first, 0,
                        k == 1 ? "two towers, three threads" : "another field or path");
        an_model_destroy(again);
    }
    an_model_destroy(first);
    an_context_destroy(ctx);
    an_context_destroy(other);
}
END_TEST

/* Correlation of what both have at the same places. */
static double correlation(const float *x, const float *y, size_t count)
{
    double xy = 0, xx = 0, yy = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        xy += (double)x[i] * (double)y[i];
        xx += (double)x[i] * (double)x[i];
        yy += (double)y[i] * (double)y[i];
    }
    return xy / sqrt(xx * yy);
}

static void unlike(const float *x, const float *y, size_t count, const char *what,
                   uint32_t a, uint32_t b)
{
    size_t i, equal = 0;

    for (i = 0; i < count; i++) equal += x[i] == y[i];
    ck_assert_msg(equal == 0, "%s: %zu of %zu numbers of parameters %u and %u are equal",
                  what, equal, count, a, b);
    expect_number(correlation(x, y, count), 0, FAR / sqrt((double)count),
                  "%s: parameters %u and %u", what, a, b);
}

START_TEST(seeds_and_parameters_have_numbers_of_their_own)
{
    static const uint64_t seeds[] = {0x100000006u, 5, 0, 0xffffffff00000005u};
    an_model_config config = start_config(AN_INIT_FAN_IN);
    an_context *ctx = with_threads(2, 0);
    an_model *first, *other;
    float *all[16];
    size_t count[16], k;
    uint32_t i, j;

    expect_ok(an_model_create(&first, ctx, &config));
    for (i = 0; i < 16; i++) all[i] = parameter_of(first, i, &count[i]);
    for (i = 0; i < 16; i++)
        for (j = 0; j < i; j++)
            unlike(all[i], all[j], count[i] < count[j] ? count[i] : count[j], "one model",
                   i, j);
    for (k = 0; k < sizeof seeds / sizeof seeds[0]; k++) {
        config.seed = seeds[k];
        expect_ok(an_model_create(&other, ctx, &config));
        for (i = 0; i < 16; i++) {
            float *x = parameter_of(other, i, &count[i]);

            unlike(all[i], x, count[i], "another seed", i, i);
            free(x);
        }
        an_model_destroy(other);
    }
    for (i = 0; i < 16; i++) free(all[i]);
    an_model_destroy(first);
    an_context_destroy(ctx);
}
END_TEST

/* --- preprocessing ----------------------------------------------------------------- */

/* Grey levels: ImageNet of 2012's mean colour, Caffe's, torchvision's, CIFAR-10's.
 * Scales: none, or those of deviations 0.229, 0.224 and 0.225 of pixels up to 1, or of
 * CIFAR-10's. */
static const float means[4][3] = {{127.305f, 119.715f, 104.913f},
                                  {123, 117, 104},
                                  {0.485f * 255, 0.456f * 255, 0.406f * 255},
                                  {125.3f, 123.0f, 113.9f}};
static const float deviations[4][3] = {
    {1, 1, 1}, {1, 1, 1}, {0.229f * 255, 0.224f * 255, 0.225f * 255}, {63, 62.1f, 66.7f}};
/* Of the presets; of one that is not here yet, the first. */
static const int data_of[AN_ARCH_LAST] = {0, 0, 0, 1, 1, 0, 2, 3};

/* Pictures of 256 pixels for images of 224 and 227, as many more for larger ones. */
static uint32_t side_of(uint32_t arch, uint32_t image_size)
{
    if (arch == AN_ARCH_CIFAR10) return image_size;
    return image_size +
           (arch == AN_ARCH_CAFFE_ALEXNET || arch == AN_ARCH_CAFFENET ? 29 : 32);
}

static double dot(const float *a, const float *b)
{
    return (double)a[0] * (double)b[0] + (double)a[1] * (double)b[1] +
           (double)a[2] * (double)b[2];
}

START_TEST(presets_bring_the_colours_of_their_pictures)
{
    const int data = data_of[_i - 1];
    an_context *ctx = with_threads(1, 0);
    uint32_t size, i, j;

    for (size = 0; size <= 300; size += 300) {
        an_model_config config = {.size = sizeof config};
        an_preprocessing p = {.size = sizeof p};
        an_model *model;

        config.arch = (uint32_t)_i;
        config.width = 0.02f;
        config.image_size = size;
        expect_ok(an_model_create(&model, ctx, &config));
        expect_ok(an_model_get_preprocessing(model, &p));
        expect_count(p.side, side_of(config.arch, model->net.plan->config.image_size),
                     "preset %d", _i);
        for (i = 0; i < 3; i++) {
            expect_number(p.mean[i], means[data][i], 1e-3, "preset %d, colour %u", _i, i);
            expect_number(p.scale[i] * deviations[data][i], 1, 1e-6,
                          "preset %d, colour %u", _i, i);
            for (j = 0; j <= i; j++) /* axes are of length 1, and square to each other */
                expect_number(dot(p.colour_axis[i], p.colour_axis[j]), i == j, 1e-4,
                              "preset %d, axes %u and %u", _i, i, j);
        }
        /* Brightness first, which varies most; all of ImageNet. */
        expect_number(p.colour_deviation[0], 121.78, 0.01, "preset %d", _i);
        expect_number(p.colour_deviation[1], 37.09, 0.01, "preset %d", _i);
        expect_number(p.colour_deviation[2], 19.72, 0.01, "preset %d", _i);
        for (i = 0; i < 3; i++)
            expect_number(fabs((double)p.colour_axis[0][i]), 0.577, 0.02, "preset %d",
                          _i);
        an_model_destroy(model);
    }
    an_context_destroy(ctx);
}
END_TEST

/* --- the generator ----------------------------------------------------------------- */

/* The third of the authors' vectors of Philox 4x32-10 (Random123): digits of pi, in which
 * no two words are alike; and what the library makes of seed, stream, iteration and
 * block. */
START_TEST(the_generator_tells_its_words_apart)
{
    static const uint32_t pi[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
    static const uint32_t want[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    const uint64_t key = 0x299f31d0a4093822u, iteration = 0x0370734413198a2eu;
    uint32_t out[4] = {0}, i;

    an__philox(key, pi, out);
    for (i = 0; i < 4; i++) expect_count(out[i], want[i], "word %u", i);
    memset(out, 0, sizeof out);
    an__random4(key, pi[1], iteration, pi[0], out);
    for (i = 0; i < 4; i++) expect_count(out[i], want[i], "word %u of a stream", i);
}
END_TEST

START_TEST(uniform_numbers_are_above_0_and_up_to_1)
{
    expect_number(an__uniform(0), 1 / 4294967296.0, 0, "the least");
    expect_number(an__uniform(0xffffffffu), 1, 0, "the largest");
    expect_number(an__uniform(0x7fffffffu), 0.5, 0, "the middle");
}
END_TEST

Suite *starts_suite(void)
{
    Suite *suite = suite_create("starts");
    TCase *tc = tcase_create("starts");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, parameters_start_as_the_tables_say, AN_ARCH_PAPER,
                        AN_ARCH_LAST + 1);
    tcase_add_loop_test(tc, a_start_is_that_of_its_seed_alone, AN_INIT_GAUSSIAN,
                        AN_INIT_HE + 1);
    tcase_add_test(tc, seeds_and_parameters_have_numbers_of_their_own);
    tcase_add_loop_test(tc, presets_bring_the_colours_of_their_pictures, AN_ARCH_PAPER,
                        AN_ARCH_LAST + 1);
    tcase_add_test(tc, the_generator_tells_its_words_apart);
    tcase_add_test(tc, uniform_numbers_are_above_0_and_up_to_1);
    suite_add_tcase(suite, tc);
    return suite;
}
