/*
 * test_golden.c - against PyTorch: test/golden/make.py made the files that are read here.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "alexnet.h"
#include "expect.h"
#include "test.h"

enum { CLASSES = 7, BATCH = 3, STEPS = 5, PARAMETERS = 16 };

/* Of the largest number of each tensor: logits, gradients, parameters after five
 * steps. */
#define BOUND 1e-4

static float number(uint64_t stream, uint64_t place)
{
    uint64_t x = place * 2654435761u + stream * 0x9E3779B97F4A7C15u;

    x ^= x >> 29;
    x *= 0xBF58476D1CE4E5B9u;
    x ^= x >> 32;
    return (float)((double)(x >> 40) / 8388608 - 1);
}

typedef struct golden {
    FILE *file;
    an_model *model;
} golden;

/* The next tensor of the file against `got`; returns the error relative to its
 * largest. */
static double compare(golden *g, const char *what, const float *got, size_t count)
{
    double worst = 0, largest = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        float want;

        ck_assert_msg(fread(&want, sizeof want, 1, g->file) == 1, "%s: file ends", what);
        if (fabs((double)want) > largest) largest = fabs((double)want);
        if (!(fabs((double)got[i] - (double)want) <= worst))
            worst = fabs((double)got[i] - (double)want);
    }
    ck_assert_msg(largest > 0, "%s: all zero", what);
    ck_assert_msg(worst <= BOUND * largest, "%s: off by %g of %g", what, worst, largest);
    return worst / largest;
}

static void fill(an_model *model)
{
    uint32_t i;

    for (i = 0; i < PARAMETERS; i++) {
        an_parameter_info info;
        float *values, bound;
        uint64_t j;
        static uint64_t inputs; /* a bias has those of the weight before it */

        an_parameter_info_init(&info, sizeof info);
        ck_assert_int_eq(an_parameter_describe(model, i, &info), AN_OK);
        if (!info.is_bias) inputs = info.count / info.shape[0];
        bound = (float)sqrt(3 / (double)inputs);
        values = malloc(info.count * sizeof *values);
        for (j = 0; j < info.count; j++) values[j] = number(i + 1, j) * bound;
        ck_assert_int_eq(an_parameter_set(model, i, values, info.count), AN_OK);
        free(values);
    }
}

/* kind 0: gradients; 1: parameters */
static void compare_all(golden *g, const an_trainer *trainer, int kind)
{
    uint32_t i;

    for (i = 0; i < PARAMETERS; i++) {
        an_parameter_info info;
        char what[80];
        float *values;

        an_parameter_info_init(&info, sizeof info);
        ck_assert_int_eq(an_parameter_describe(g->model, i, &info), AN_OK);
        values = malloc(info.count * sizeof *values);
        if (kind == 0)
            ck_assert_int_eq(an_trainer_get_gradient(trainer, i, values, info.count),
                             AN_OK);
        else
            ck_assert_int_eq(an_parameter_get(g->model, i, values, info.count), AN_OK);
        snprintf(what, sizeof what, "%s of %s", kind == 0 ? "gradient" : "value",
                 info.name);
        compare(g, what, values, info.count);
        free(values);
    }
}

static void against(const char *path, an_arch arch, uint32_t towers, float brightness,
                    float rate, float bias_rate, float bias_decay)
{
    static const int32_t labels[BATCH] = {1, 6, 0};
    const size_t numbers = (size_t)BATCH * 3 * 224 * 224;
    float *images = malloc(numbers * sizeof *images), logits[BATCH * CLASSES], loss;
    float probabilities[BATCH * CLASSES];
    an_context *ctx;
    an_model_config config;
    an_trainer_config training;
    an_trainer *trainer;
    an_step_stats stats;
    golden g;
    size_t i;
    int s;

    g.file = fopen(path, "rb");
    ck_assert_msg(g.file != NULL, "cannot open %s", path);
    ck_assert_int_eq(an_context_create(&ctx, NULL), AN_OK);
    an_model_config_init(&config, sizeof config);
    config.arch = arch;
    config.classes = CLASSES;
    config.width = 0.03f;
    config.dropout = AN_SWITCH_OFF;
    config.towers = towers;
    ck_assert_int_eq(an_model_create(&g.model, ctx, &config), AN_OK);
    fill(g.model);
    for (i = 0; i < numbers; i++) images[i] = number(100, i) * brightness;

    /* The library gives probabilities: logits up to a constant for each image. */
    ck_assert_int_eq(an_infer(g.model, images, BATCH, probabilities, ENOUGH), AN_OK);
    for (i = 0; i < BATCH * CLASSES; i++) {
        float first;
        long at = (long)(i / CLASSES * CLASSES * sizeof(float));

        fseek(g.file, at, SEEK_SET);
        ck_assert(fread(&first, sizeof first, 1, g.file) == 1);
        logits[i] =
            (float)(log((double)probabilities[i]) -
                    log((double)probabilities[i / CLASSES * CLASSES]) + (double)first);
    }
    rewind(g.file);
    compare(&g, "logits", logits, BATCH * CLASSES);

    an_trainer_config_init(&training, sizeof training);
    training.batch = BATCH;
    training.rate = rate;
    training.bias_rate = bias_rate;
    training.bias_decay = bias_decay;
    ck_assert_int_eq(an_trainer_create(&trainer, g.model, &training), AN_OK);
    an_step_stats_init(&stats, sizeof stats);
    for (s = 0; s < STEPS; s++) {
        ck_assert_int_eq(an_train_step(trainer, images, labels, BATCH, &stats), AN_OK);
        if (s > 0) continue;
        loss = (float)stats.loss;
        compare(&g, "loss", &loss, 1);
        compare_all(&g, trainer, 0);
    }
    compare_all(&g, trainer, 1);
    ck_assert_msg(fgetc(g.file) == EOF, "the file has more");

    an_trainer_destroy(trainer);
    an_model_destroy(g.model);
    an_context_destroy(ctx);
    fclose(g.file);
    free(images);
}

START_TEST(torchvision_equals_pytorch)
{
    against("test/golden/torchvision.bin", AN_ARCH_TORCHVISION, 1, 2, 0.003f, 0.003f,
            5e-4f);
}
END_TEST

START_TEST(paper_equals_pytorch)
{
    against("test/golden/paper.bin", AN_ARCH_PAPER, 1, 128, 0.00003f, 0.00006f, 0);
}
END_TEST

START_TEST(paper_in_two_towers_equals_pytorch)
{
    against("test/golden/paper.bin", AN_ARCH_PAPER, 2, 128, 0.00003f, 0.00006f, 0);
}
END_TEST

Suite *golden_suite(void)
{
    Suite *suite = suite_create("golden");
    TCase *tc = tcase_create("pytorch");

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, torchvision_equals_pytorch);
    tcase_add_test(tc, paper_equals_pytorch);
    tcase_add_test(tc, paper_in_two_towers_equals_pytorch);
    suite_add_tcase(suite, tc);
    return suite;
}
