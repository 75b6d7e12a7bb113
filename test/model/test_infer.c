/*
 * test_infer.c - inference and evaluation: scores, ties, passes, non-finite results.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref.h"
#include "small.h"
#include "test.h"
#include "train/train.h"

enum { SIDE = 32, NUMBERS = 3 * SIDE * SIDE };

static an_context *ctx;
static an_model *model;
static float *images; /* 300 */

static void setup(void)
{
    an_model_config config;
    uint32_t seed = 1, i;

    ck_assert_int_eq(an_context_create(&ctx, NULL), AN_OK);
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.width = 0.25f;
    config.seed = 3;
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    images = malloc(300 * NUMBERS * sizeof *images);
    for (i = 0; i < 300 * NUMBERS; i++) {
        seed = seed * 1664525u + 1013904223u;
        images[i] = (float)(seed >> 8) / 8388608.0f - 1;
    }
}

static void teardown(void)
{
    an_model_destroy(model);
    an_context_destroy(ctx);
    free(images);
}

/* More than two passes of 128; each image alone gives the same within rounding. */
START_TEST(many_passes_give_each_image_its_row)
{
    float *p = malloc(300 * 10 * sizeof *p), one[10];
    int i, c;

    ck_assert_int_eq(an_infer(model, images, 300, p, ENOUGH), AN_OK);
    for (i = 0; i < 300; i++) {
        double sum = 0;

        for (c = 0; c < 10; c++) sum += (double)p[i * 10 + c];
        ck_assert_double_eq_tol(sum, 1, 1e-5);
        if (i % 37 != 0) continue;
        ck_assert_int_eq(an_infer(model, images + i * NUMBERS, 1, one, ENOUGH), AN_OK);
        for (c = 0; c < 10; c++)
            ck_assert_double_eq_tol((double)one[c], (double)p[i * 10 + c], 1e-5);
    }
    free(p);
}
END_TEST

START_TEST(evaluation_adds_up_what_inference_says)
{
    float *p = malloc(300 * 10 * sizeof *p);
    int32_t labels[300];
    an_evaluation e;
    double top1 = 0, top5 = 0, loss = 0;
    int i, c;

    ck_assert_int_eq(an_infer(model, images, 300, p, ENOUGH), AN_OK);
    for (i = 0; i < 300; i++) {
        int above = 0;

        labels[i] = i * 7 % 10;
        for (c = 0; c < 10; c++) above += p[i * 10 + c] > p[i * 10 + labels[i]];
        top1 += above < 1;
        top5 += above < 5;
        loss -= log((double)p[i * 10 + labels[i]]);
    }
    an_evaluation_init(&e, sizeof e);
    ck_assert_int_eq(an_evaluate(model, images, labels, 200, &e), AN_OK);
    ck_assert_int_eq(an_evaluate(model, images + 200 * NUMBERS, labels + 200, 100, &e),
                     AN_OK);
    ck_assert_uint_eq(e.count, 300);
    ck_assert_double_eq(e.top1, top1);
    ck_assert_double_eq(e.top5, top5);
    ck_assert_double_eq_tol(e.loss, loss, 1e-4 * loss);
    free(p);
}
END_TEST

/* Where k classes share a place, each of them gets its share of it. */
static an_rank rank_of(const float *row, uint32_t classes, int32_t label)
{
    an_rank rank = {0, 0};
    uint32_t i;

    for (i = 0; i < classes; i++) {
        rank.greater += row[i] > row[label];
        rank.equal += row[i] == row[label];
    }
    return rank;
}

static double top(const float *row, uint32_t classes, int32_t label, uint32_t k)
{
    const an_rank rank = rank_of(row, classes, label);

    return an__top(&rank, k);
}

START_TEST(ties_share_their_place)
{
    static const float row[6] = {0.1f, 0.3f, 0.3f, 0.1f, 0.1f, 0.1f};

    ck_assert_double_eq(top(row, 6, 1, 1), 0.5);
    ck_assert_double_eq(top(row, 6, 2, 2), 1);
    ck_assert_double_eq(top(row, 6, 0, 2), 0);
    ck_assert_double_eq(top(row, 6, 0, 3), 0.25);
    ck_assert_double_eq(top(row, 6, 5, 5), 0.75);
    ck_assert_double_eq(top(row, 6, 5, 6), 1);
}
END_TEST

START_TEST(images_and_floats_agree)
{
    uint8_t *pixels = malloc(200 * 50 * 40 * 3);
    an_image *pictures = malloc(200 * sizeof *pictures);
    float *input = malloc(200 * NUMBERS * sizeof *input);
    float *a = malloc(200 * 10 * sizeof *a), *b = malloc(200 * 10 * sizeof *b);
    int32_t labels[200] = {0};
    an_evaluation ea, eb;
    size_t i;

    for (i = 0; i < 200 * 50 * 40 * 3; i++) pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    for (i = 0; i < 200; i++) {
        an_image_init(&pictures[i], sizeof pictures[i]);
        pictures[i].pixels = pixels + i * 50 * 40 * 3;
        pictures[i].width = 50;
        pictures[i].height = 40;
        ck_assert_int_eq(
            an_preprocess(model, &pictures[i], 0, input + i * NUMBERS, ENOUGH), AN_OK);
    }
    ck_assert_int_eq(an_infer(model, input, 200, a, ENOUGH), AN_OK);
    ck_assert_int_eq(an_infer_images(model, pictures, 200, b, ENOUGH), AN_OK);
    ck_assert_mem_eq(a, b, 200 * 10 * sizeof *a);
    an_evaluation_init(&ea, sizeof ea);
    an_evaluation_init(&eb, sizeof eb);
    ck_assert_int_eq(an_evaluate(model, input, labels, 200, &ea), AN_OK);
    ck_assert_int_eq(an_evaluate_images(model, pictures, labels, 200, &eb), AN_OK);
    ck_assert_mem_eq(&ea, &eb, sizeof ea);

    pictures[150].width = 0;
    ck_assert_int_eq(an_infer_images(model, pictures, 200, b, ENOUGH), AN_ERROR_ARGUMENT);
    ck_assert_mem_eq(a, b, 200 * 10 * sizeof *a);
    free(pixels);
    free(pictures);
    free(input);
    free(a);
    free(b);
}
END_TEST

START_TEST(nonfinite_results_name_their_layer)
{
    float p[20], bad[NUMBERS * 2];
    int32_t labels[2] = {0, 0};
    an_evaluation e;
    uint32_t conv2;

    memcpy(bad, images, sizeof bad);
    bad[NUMBERS + 5] = INFINITY;
    memset(p, 0, sizeof p);
    ck_assert_int_eq(an_infer(model, bad, 2, p, ENOUGH), AN_ERROR_DIVERGED);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "input"));
    ck_assert_float_eq(p[0], 0);
    ck_assert_float_eq(p[19], 0);

    /* A weight that only a damaged file could hold. */
    ck_assert_int_eq(an_parameter_find(model, "conv2.weight", &conv2), AN_OK);
    cpu_floats(model->net.weights.part[conv2][0])[3] = NAN;
    an__net_changed(&model->net);
    ck_assert_int_eq(an_infer(model, images, 2, p, ENOUGH), AN_ERROR_DIVERGED);
    ck_assert_msg(strstr(an_error_message(), "conv2") != NULL, "%s", an_error_message());
    an_evaluation_init(&e, sizeof e);
    ck_assert_int_eq(an_evaluate(model, images, labels, 2, &e), AN_ERROR_DIVERGED);
    ck_assert_uint_eq(e.count, 0);
}
END_TEST

/* A network whose first layer is large enough to be done slice by slice, on every path,
 * beside the reference: inference, and what a training step makes of the parameters. */
#define MANY 9

typedef struct path_run {
    float p[MANY * 12];
    float *step[16]; /* of the parameters */
    size_t count[16];
} path_run;

static void run_path(uint32_t arch, uint32_t path, const float *many, path_run *run)
{
    static const int32_t labels[MANY] = {0, 1, 2, 3, 4, 5, 6, 7, 11};
    an_context_config context;
    an_trainer_config training;
    an_model_config config;
    an_model_info info;
    an_context *own;
    an_model *net;
    an_trainer *trainer;
    uint32_t i;

    an_context_config_init(&context, sizeof context);
    context.threads = 2;
    context.cpu_path = path;
    an_model_config_init(&config, sizeof config);
    config.arch = arch;
    config.classes = 12;
    config.width = 0.5f;
    config.initialisation = AN_INIT_HE;
    config.dropout = AN_SWITCH_OFF;
    an_trainer_config_init(&training, sizeof training);
    training.batch = MANY;
    training.rate = 0.05f;
    an_model_info_init(&info, sizeof info);
    ck_assert_int_eq(an_context_create(&own, &context), AN_OK);
    ck_assert_int_eq(an_model_create(&net, own, &config), AN_OK);
    ck_assert_int_eq(an_model_describe(net, &info), AN_OK);
    ck_assert_uint_eq(info.parameters, 16);
    ck_assert_int_eq(an_infer(net, many, MANY, run->p, ENOUGH), AN_OK);
    ck_assert_int_eq(an_trainer_create(&trainer, net, &training), AN_OK);
    ck_assert_int_eq(an_train_step(trainer, many, labels, MANY, NULL), AN_OK);
    for (i = 0; i < info.parameters; i++) { /* the first step is the velocity */
        size_t bytes = net->net.plan->params[i].count * sizeof(float);

        run->count[i] = net->net.plan->params[i].count;
        run->step[i] =
            memcpy(malloc(bytes), cpu_floats(trainer->velocity.part[i][0]), bytes);
    }
    an_trainer_destroy(trainer);
    an_model_destroy(net);
    an_context_destroy(own);
}

/* The root of the squares' sum of what they differ by, beside that of the numbers. */
static void agree(const char *what, const float *a, const float *b, size_t count,
                  double bound)
{
    double off = 0, all = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        off += pow((double)a[i] - (double)b[i], 2);
        all += pow((double)b[i], 2);
    }
    ck_assert_msg(off <= bound * bound * all, "%s: off by %g of %g", what, sqrt(off),
                  sqrt(all));
}

START_TEST(paths_agree_on_a_whole_network)
{
    static const uint32_t archs[] = {AN_ARCH_PAPER, AN_ARCH_TORCHVISION,
                                     AN_ARCH_KRIZHEVSKY2012};
    size_t numbers = (size_t)MANY * 3 * 224 * 224, i;
    float *many = malloc(numbers * sizeof *many);
    path_run reference, other;
    uint32_t path, state = 1;

    for (i = 0; i < numbers; i++) {
        state = state * 1664525u + 1013904223u;
        many[i] = (float)(state >> 8) / 8388608.0f - 1;
    }
    run_path(archs[_i], AN_CPU_PATH_REFERENCE, many, &reference);
    for (path = AN_CPU_PATH_AVX2; path <= AN_CPU_PATH_AVX512; path++) {
        if (an__cpu_path(path) == NULL) continue;
        run_path(archs[_i], path, many, &other);
        agree("probabilities", other.p, reference.p, MANY * 12, 2e-5);
        for (i = 0; i < 16; i++) {
            char what[32];

            snprintf(what, sizeof what, "parameter %zu", i);
            /* Where rounding flips a maximum or a ReLU, one of some thousand terms goes
             * elsewhere; each operation's own bound is in test_ops.c. */
            agree(what, other.step[i], reference.step[i], reference.count[i], 3e-2);
            free(other.step[i]);
        }
    }
    for (i = 0; i < 16; i++) free(reference.step[i]);
    free(many);
}
END_TEST

START_TEST(bad_calls_are_refused_by_name)
{
    float p[10];
    int32_t label = 10;
    an_evaluation e;

    an_evaluation_init(&e, sizeof e);
    ck_assert_int_eq(an_infer(model, images, 0, p, ENOUGH), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "count"));
    ck_assert_int_eq(an_infer(model, images, 1048577, p, ENOUGH), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_infer(model, NULL, 1, p, ENOUGH), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_infer(model, images, 1, NULL, ENOUGH), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_evaluate(model, images, &label, 1, &e), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "labels[0] is 10"));
    label = -1;
    ck_assert_int_eq(an_evaluate(model, images, &label, 1, &e), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_evaluate(model, images, NULL, 1, &e), AN_ERROR_ARGUMENT);
}
END_TEST

/* --- views, scores ----------------------------------------------------------------- */

static uint8_t *picture(uint32_t side, uint32_t seed)
{
    uint8_t *pixels = malloc((size_t)side * side * 3);
    uint32_t i;

    for (i = 0; i < side * side * 3; i++) {
        seed = seed * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)(seed >> 24);
    }
    return pixels;
}

START_TEST(ten_views_are_averaged)
{
    float input[NUMBERS], one[10], mean[2][10], sum[10] = {0}, single[2][10];
    an_preprocessing pre;
    an_image pictures[2];
    uint32_t v, c;

    an_preprocessing_init(&pre, sizeof pre);
    ck_assert_int_eq(an_model_get_preprocessing(model, &pre), AN_OK);
    pre.side = 40;
    ck_assert_int_eq(an_model_set_preprocessing(model, &pre), AN_OK);
    for (v = 0; v < 2; v++) {
        an_image_init(&pictures[v], sizeof pictures[v]);
        pictures[v].pixels = picture(40, 5 + v);
        pictures[v].width = pictures[v].height = 40;
    }
    for (v = 0; v < 10; v++) {
        ck_assert_int_eq(an_preprocess(model, &pictures[1], v, input, ENOUGH), AN_OK);
        ck_assert_int_eq(an_infer(model, input, 1, one, ENOUGH), AN_OK);
        for (c = 0; c < 10; c++) sum[c] += one[c] / 10;
    }
    ck_assert_int_eq(an_infer_views(model, pictures, 2, 10, mean[0], ENOUGH), AN_OK);
    for (c = 0; c < 10; c++) ck_assert_float_eq_tol(mean[1][c], sum[c], 1e-5f);
    ck_assert_int_eq(an_infer_views(model, pictures, 2, 1, mean[0], ENOUGH), AN_OK);
    ck_assert_int_eq(an_infer_images(model, pictures, 2, single[0], ENOUGH), AN_OK);
    ck_assert_mem_eq(mean, single, sizeof mean);
    ck_assert_int_eq(an_infer_views(model, pictures, 2, 5, mean[0], ENOUGH),
                     AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "views is 5"));
    for (v = 0; v < 2; v++) free((void *)(uintptr_t)pictures[v].pixels);
}
END_TEST

START_TEST(scores_are_those_of_evaluation)
{
    float *p = malloc(300 * 10 * sizeof *p), row[3] = {0, 0.5f, 0.5f};
    int32_t labels[300], tie = 1, sure = 0, i;
    an_evaluation a, b;

    for (i = 0; i < 300; i++) labels[i] = i * 7 % 10;
    an_evaluation_init(&a, sizeof a);
    an_evaluation_init(&b, sizeof b);
    ck_assert_int_eq(an_evaluate(model, images, labels, 300, &a), AN_OK);
    ck_assert_int_eq(an_infer(model, images, 300, p, ENOUGH), AN_OK);
    ck_assert_int_eq(an_score(p, 10, labels, 100, &b), AN_OK);
    ck_assert_int_eq(an_score(p + 1000, 10, labels + 100, 200, &b), AN_OK);
    ck_assert_uint_eq(b.count, 300);
    ck_assert_double_eq(a.top1, b.top1);
    ck_assert_double_eq(a.top5, b.top5);
    ck_assert_double_eq_tol(a.loss, b.loss, 1e-3);
    an_evaluation_init(&b, sizeof b);
    ck_assert_int_eq(an_score(row, 3, &tie, 1, &b), AN_OK);
    ck_assert_double_eq(b.top1, 0.5); /* two share the first place */
    ck_assert_int_eq(an_score(row, 3, &sure, 1, &b), AN_OK);
    ck_assert_double_eq_tol(b.loss, 87.3365 + 0.6931, 1e-3); /* finite, though p is 0 */
    sure = 3;
    ck_assert_int_eq(an_score(row, 3, &sure, 1, &b), AN_ERROR_ARGUMENT);
    row[1] = NAN;
    ck_assert_int_eq(an_score(row, 3, &tie, 1, &b), AN_ERROR_ARGUMENT);
    row[1] = 0.5f;
    row[0] = NAN; /* not the label's */
    ck_assert_int_eq(an_score(row, 3, &tie, 1, &b), AN_ERROR_ARGUMENT);
    ck_assert_uint_eq(b.count, 2);
    free(p);
}
END_TEST

/* --- activations by name ----------------------------------------------------------- */

static double *widened(const float *x, size_t count)
{
    double *y = malloc(count * sizeof *y);
    size_t i;

    for (i = 0; i < count; i++) y[i] = (double)x[i];
    return y;
}

static float *activations(an_model *net, const float *x, uint32_t batch,
                          const char *layer, uint32_t point, size_t *count)
{
    float *out;

    ck_assert_msg(an_activation_count(net, layer, point, count, NULL) == AN_OK, "%s",
                  an_error_message());
    out = malloc(*count * batch * sizeof *out);
    ck_assert_int_eq(an_infer_layer(net, x, batch, layer, point, out, ENOUGH), AN_OK);
    return out;
}

/* A layer's linear part from what the layer before hands on, in double. */
static void check_linear(an_model *net, uint32_t index, const float *input,
                         const float *linear, size_t count, uint32_t batch)
{
    const an_layer_info *info = &net->net.plan->layers[index];
    const an_param *wp = &net->net.plan->params[2 * index], *bp = wp + 1;
    float *w = malloc(wp->count * sizeof *w), *b = malloc(bp->count * sizeof *b);
    double *y = malloc(count * batch * sizeof *y), *wd, *bd, *x, worst = 0, largest = 0;
    size_t i, inputs = (size_t)info->in_maps * info->in_height * info->in_width;

    ck_assert_int_eq(an_parameter_get(net, 2 * index, w, wp->count), AN_OK);
    ck_assert_int_eq(an_parameter_get(net, 2 * index + 1, b, bp->count), AN_OK);
    wd = widened(w, wp->count);
    bd = widened(b, bp->count);
    x = widened(input, inputs * batch);
    if (info->is_conv) {
        const an_conv_shape s = {.in_maps = info->in_maps,
                                 .in_height = info->in_height,
                                 .in_width = info->in_width,
                                 .out_maps = info->maps,
                                 .out_height = info->height,
                                 .out_width = info->width,
                                 .kernel = info->kernel,
                                 .stride = info->stride,
                                 .pad = info->pad_before,
                                 .groups = info->groups,
                                 .halves = 1};

        ref_conv_forward(&s, batch, x, wd, bd, y);
    } else {
        const an_dense_shape s = {
            .inputs = (uint32_t)inputs, .outputs = info->maps, .halves = 1, .pixels = 1};

        ref_dense_forward(&s, batch, x, wd, bd, y);
    }
    for (i = 0; i < count * batch; i++) {
        largest = fmax(largest, fabs(y[i]));
        worst = fmax(worst, fabs(y[i] - (double)linear[i]));
    }
    ck_assert_msg(worst <= 1e-5 * largest, "%s: off by %g of %g", info->name, worst,
                  largest);
    free(w);
    free(b);
    free(wd);
    free(bd);
    free(x);
    free(y);
}

/* Each layer computes its linear part from the output of the layer before, and its
 * activation from that, in one tower and in two. */
START_TEST(every_layer_can_be_asked)
{
    enum { SIZE = 79, TWO = 2 };
    an_model_config config;
    an_model *net;
    size_t count, before = 3 * SIZE * SIZE, i;
    float *x, p[TWO * 10], prob[TWO * 10];
    uint32_t index, shape[3];

    an_model_config_init(&config, sizeof config);
    config.width = 0.04f;
    config.image_size = SIZE;
    config.classes = 10;
    config.initialisation = AN_INIT_FAN_IN;
    config.towers = (uint32_t)_i + 1;
    ck_assert_int_eq(an_model_create(&net, ctx, &config), AN_OK);
    x = malloc(TWO * before * sizeof *x);
    memcpy(x, images, TWO * before * sizeof *x);
    for (index = 0; index < 8; index++) {
        const char *name = net->net.plan->layers[index].name;
        float *linear = activations(net, images, TWO, name, AN_POINT_LINEAR, &count);

        check_linear(net, index, x, linear, count, TWO);
        if (index < 7) {
            float *after =
                activations(net, images, TWO, name, AN_POINT_ACTIVATION, &count);

            for (i = 0; i < count * TWO; i++)
                ck_assert_float_eq(after[i], linear[i] > 0 ? linear[i] : 0);
            free(after);
        }
        free(linear);
        free(x);
        x = activations(net, images, TWO, name, AN_POINT_OUTPUT, &before);
    }
    free(x);
    ck_assert_int_eq(an_infer(net, images, TWO, p, ENOUGH), AN_OK);
    ck_assert_int_eq(
        an_infer_layer(net, images, TWO, "prob", AN_POINT_OUTPUT, prob, ENOUGH), AN_OK);
    ck_assert_mem_eq(p, prob, sizeof p);
    ck_assert_int_eq(an_activation_count(net, "conv2", AN_POINT_LINEAR, &count, shape),
                     AN_OK);
    ck_assert_uint_eq(shape[0], net->net.plan->layers[1].maps);
    ck_assert_uint_eq(shape[1] * shape[2] * shape[0], count);
    ck_assert_int_eq(an_activation_count(net, "conv9", AN_POINT_LINEAR, &count, NULL),
                     AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "conv9"));
    ck_assert_int_eq(an_activation_count(net, "fc8", AN_POINT_ACTIVATION, &count, NULL),
                     AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_activation_count(net, "fc7", 4, &count, NULL), AN_ERROR_ARGUMENT);
    an_model_destroy(net);
}
END_TEST

START_TEST(activations_of_pictures_are_those_of_their_input)
{
    float input[NUMBERS], *a, *b;
    uint8_t *pixels = picture(50, 3);
    an_image image;
    size_t count;

    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = image.height = 50;
    ck_assert_int_eq(an_preprocess(model, &image, 0, input, ENOUGH), AN_OK);
    a = activations(model, input, 1, "conv3", AN_POINT_ACTIVATION, &count);
    b = malloc(count * sizeof *b);
    ck_assert_int_eq(
        an_infer_layer_images(model, &image, 1, "conv3", AN_POINT_ACTIVATION, b, ENOUGH),
        AN_OK);
    ck_assert_mem_eq(a, b, count * sizeof *a);
    free(a);
    free(b);
    free(pixels);
}
END_TEST

Suite *infer_suite(void)
{
    Suite *suite = suite_create("infer");
    TCase *tc = tcase_create("infer");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, many_passes_give_each_image_its_row);
    tcase_add_test(tc, evaluation_adds_up_what_inference_says);
    tcase_add_test(tc, ties_share_their_place);
    tcase_add_test(tc, images_and_floats_agree);
    tcase_add_test(tc, nonfinite_results_name_their_layer);
    tcase_add_loop_test(tc, paths_agree_on_a_whole_network, 0, 3);
    tcase_add_test(tc, bad_calls_are_refused_by_name);
    tcase_add_test(tc, ten_views_are_averaged);
    tcase_add_test(tc, scores_are_those_of_evaluation);
    tcase_add_loop_test(tc, every_layer_can_be_asked, 0, 2);
    tcase_add_test(tc, activations_of_pictures_are_those_of_their_input);
    suite_add_tcase(suite, tc);
    return suite;
}
