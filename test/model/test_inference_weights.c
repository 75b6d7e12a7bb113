/*
 * test_inference_weights.c - answers follow the parameters as they are, and read those of
 * dense layers in bfloat16 where that is allowed; cases of inference_suite().
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref.h"
#include "small.h"
#include "test.h"

enum { NUMBERS = TINY_NUMBERS, CLASSES = SMALL_CLASSES };

/* --- weights that change ----------------------------------------------------------- */

/* A new model with the same parameters, which has not answered yet. */
static an_model *copy_of(const an_model *model, const an_model_config *config)
{
    an_model *copy;
    uint32_t i;

    expect_ok(an_model_create(&copy, model->net.ctx, config));
    for (i = 0; i < model->net.plan->param_count; i++) {
        size_t count;
        float *values = parameter_of(model, i, &count);

        expect_ok(an_parameter_set(copy, i, values, count));
        free(values);
    }
    return copy;
}

static void expect_answers_of_a_copy(const bench *b, const an_model_config *config,
                                     const char *what)
{
    static const uint32_t batches[] = {1, 3, 8};
    an_model *copy = copy_of(b->model, config);
    float p[2][SMALL_BATCH * CLASSES];
    uint32_t i;

    for (i = 0; i < 3; i++) {
        expect_ok(an_infer(b->model, b->images, batches[i], p[0], ENOUGH));
        expect_ok(an_infer(copy, b->images, batches[i], p[1], ENOUGH));
        expect_floats(p[0], p[1], batches[i] * CLASSES, 0, "%s, %u images", what,
                      batches[i]);
    }
    an_model_destroy(copy);
}

/* Parameters are set one after the other, and a model that has answered before answers
 * like one that has not: nothing that was made of the old numbers is used. So it is
 * after a step. */
START_TEST(answers_are_those_of_the_parameters_as_they_are)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    an_trainer_config training = small_training(8);
    uint32_t index;
    size_t count;
    bench b;

    config.precision = _i ? AN_PRECISION_BF16 : AN_PRECISION_FP32;
    training.rate = 0.1f;
    bench_open(&b, &config, &training, 2);
    expect_answers_of_a_copy(&b, &config, "at first");
    for (index = 0; index < b.model->net.plan->param_count; index++) {
        float *values = parameter_of(b.model, index, &count);
        size_t i;

        for (i = 0; i < count; i++) values[i] = 1.5f * values[i] + 0.01f;
        expect_ok(an_parameter_set(b.model, index, values, count));
        free(values);
        expect_answers_of_a_copy(&b, &config, b.model->net.plan->params[index].name);
    }
    bench_step(&b);
    expect_answers_of_a_copy(&b, &config, "after a step");
    bench_close(&b);
}
END_TEST

/* --- bfloat16 ---------------------------------------------------------------------- */

/* x with the 16 lower bits of its float rounded off, to the even neighbour where both
 * are as near: what is added and taken away again is so large that float has no more
 * bits beside it. */
static double rounded(float x)
{
    float shift = ldexpf(1.5f, ilogbf(x == 0 ? 1 : x) + 16);
    volatile float sum = x + shift; /* of 24 bits, 16 are above x's lower ones */

    return (double)(sum - shift);
}

/* A layer's linear part of `n` images from what it reads, with such weights or as they
 * are. */
static void expect_dense(an_model *model, uint32_t layer, const float *images, uint32_t n,
                         int narrow)
{
    const an_plan *plan = model->net.plan;
    const char *name = plan->layers[layer].name, *before = plan->layers[layer - 1].name;
    size_t inputs, outputs, count, i;
    float *w = parameter_of(model, 2 * layer, &count),
          *b = parameter_of(model, 2 * layer + 1, &outputs), *x, *y, *want;
    double *xd, *wd, *bd, *yd;
    an_dense_shape s = {0};

    expect_ok(an_activation_count(model, before, AN_POINT_OUTPUT, &inputs, NULL));
    x = malloc(n * inputs * sizeof *x), y = malloc(n * outputs * sizeof *y);
    want = malloc(n * outputs * sizeof *want), xd = malloc(n * inputs * sizeof *xd);
    wd = malloc(count * sizeof *wd), bd = malloc(outputs * sizeof *bd);
    yd = malloc(n * outputs * sizeof *yd);
    expect_ok(an_infer_layer(model, images, n, before, AN_POINT_OUTPUT, x, ENOUGH));
    expect_ok(an_infer_layer(model, images, n, name, AN_POINT_LINEAR, y, ENOUGH));
    for (i = 0; i < n * inputs; i++) xd[i] = (double)x[i];
    for (i = 0; i < count; i++) wd[i] = narrow ? rounded(w[i]) : (double)w[i];
    for (i = 0; i < outputs; i++) bd[i] = (double)b[i];
    s.inputs = (uint32_t)inputs;
    s.outputs = (uint32_t)outputs;
    ref_dense_forward(&s, n, xd, wd, bd, yd);
    for (i = 0; i < n * outputs; i++) want[i] = (float)yd[i];
    /* Weights rounded to 8 bits are apart from those that are not by far more than
     * this. */
    expect_floats(y, want, n * outputs, 5e-6, "%s of %u images, %s weights", name, n,
                  narrow ? "rounded" : "exact");
    free(w), free(b), free(x), free(y), free(want), free(xd), free(wd), free(bd),
        free(yd);
}

/* Fewer than 16 images in a pass have dense weights in bfloat16, where that is
 * allowed, each dense layer; so has the rest of a call that is in the pass behind. */
START_TEST(bfloat16_is_for_dense_layers_of_few_images)
{
    static const uint32_t sizes[] = {1, 15, 16};
    an_model_config config = small_config(AN_ARCH_PAPER);
    an_model *exact;
    float *images, *p[2];
    uint32_t i, layer;
    bench b;

    config.image_size = 67;
    config.precision = AN_PRECISION_BF16;
    bench_open(&b, &config, NULL, 2);
    config.precision = AN_PRECISION_FP32;
    exact = copy_of(b.model, &config);
    images = malloc(143 * 3 * 67 * 67 * sizeof *images);
    noise_floats(images, 143 * 3 * 67 * 67, 4, 1);
    p[0] = malloc(143 * CLASSES * sizeof(float)),
    p[1] = malloc(143 * CLASSES * sizeof(float));
    for (i = 0; i < 3; i++)
        for (layer = 5; layer < 8; layer++) {
            expect_dense(b.model, layer, images, sizes[i], sizes[i] < 16);
            expect_dense(exact, layer, images, sizes[i], 0);
        }
    expect_ok(an_infer(b.model, images, 143, p[0], ENOUGH));
    expect_ok(an_infer(exact, images, 143, p[1], ENOUGH));
    expect_floats(p[0], p[1], 128 * CLASSES, 0, "a pass of 128");
    expect_other_floats(p[0] + 128 * CLASSES, p[1] + 128 * CLASSES, 15 * CLASSES,
                        "15 images behind it");
    expect_floats(p[0] + 128 * CLASSES, p[1] + 128 * CLASSES, 15 * CLASSES, 2e-2,
                  "15 images behind it, about");
    free(p[0]), free(p[1]), free(images);
    an_model_destroy(exact);
    bench_close(&b);
}
END_TEST

/* The reference path has no such copies. */
START_TEST(bfloat16_is_nothing_on_the_reference_path)
{
    an_context *ctx = small_context(2, AN_CPU_PATH_REFERENCE);
    an_model_config config = tiny_config();
    an_model *narrow, *exact;
    float images[3 * NUMBERS], p[2][3 * CLASSES];

    noise_floats(images, 3 * NUMBERS, 5, 1);
    expect_ok(an_model_create(&exact, ctx, &config));
    config.precision = AN_PRECISION_BF16;
    narrow = copy_of(exact, &config);
    expect_ok(an_infer(exact, images, 3, p[0], ENOUGH));
    expect_ok(an_infer(narrow, images, 3, p[1], ENOUGH));
    expect_floats(p[1], p[0], 3 * CLASSES, 0, "with bfloat16 allowed");
    an_model_destroy(narrow);
    an_model_destroy(exact);
    an_context_destroy(ctx);
}
END_TEST

void add_inference_weights(Suite *suite)
{
    TCase *tc = tcase_create("weights");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, answers_are_those_of_the_parameters_as_they_are, 0, 2);
    tcase_add_test(tc, bfloat16_is_for_dense_layers_of_few_images);
    tcase_add_test(tc, bfloat16_is_nothing_on_the_reference_path);
    suite_add_tcase(suite, tc);
}
