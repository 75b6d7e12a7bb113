/*
 * test_steps.c - what a step and a pass on the CUDA backend's host run consist of:
 * gradients that are nowhere until asked for, launches, repetitions.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "host_run.h"
#include "nets.h"
#include "test.h"

/* Two steps, and all gradients of the second: those of dense weights are nowhere until
 * they are asked for. */
static outcome gradients(const char *plugin, const char *devices)
{
    an_model_config config = net_small(AN_ARCH_PAPER, devices != NULL ? 2 : 1, devices);
    an_context *ctx = plugin_context(plugin, 2);
    an_trainer *trainer;
    an_model *model;
    float *images, *to;
    outcome o;
    uint32_t i;

    memset(&o, 0, sizeof o);
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    trainer = net_trainer(model);
    images = net_images(model);
    for (i = 0; i < 2; i++)
        ck_assert_int_eq(an_train_step(trainer, images, net_labels, BATCH, NULL), AN_OK);
    o.count = net_parameters(model);
    to = o.values = malloc(o.count * sizeof *o.values);
    for (i = 0; i < model->net.plan->param_count; i++) {
        size_t count = model->net.plan->params[i].count;

        ck_assert_int_eq(an_trainer_get_gradient(trainer, i, to, count), AN_OK);
        to += count;
    }
    free(images);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return o;
}

START_TEST(gradients_can_be_asked_for)
{
    outcome cpu = gradients(NULL, NULL);
    outcome cuda = gradients(host_run_path(), _i ? "cuda:0,cuda:1" : "cuda:0,cuda:0");

    net_same(&cpu, &cuda, 2e-5);
    net_drop(&cpu), net_drop(&cuda);
}
END_TEST

/* The half of each of a parameter's rows that is a tower's. */
static void fill_tower(an_model *model, const char *name, size_t rows, uint32_t tower,
                       float value)
{
    uint32_t index = net_param(model, name);
    size_t count = model->net.plan->params[index].count, half = count / rows / 2, row, i;
    float *w = malloc(count * sizeof *w);

    ck_assert_int_eq(an_parameter_get(model, index, w, count), AN_OK);
    for (row = 0; row < rows; row++)
        for (i = 0; i < half; i++) w[(2 * row + tower) * half + i] = value;
    ck_assert_int_eq(an_parameter_set(model, index, w, count), AN_OK);
    free(w);
}

/* One tower's fifth layer reads 1e25 and gets gradients of 1e20 or so from fc6; its
 * weights are zero and send nothing further down. The other tower is none the wiser, and
 * yet nothing is updated there either. On the CPU, on one device and on two. */
START_TEST(a_gradient_that_overflows_on_one_tower_stops_both)
{
    const char *devices[] = {NULL, "cuda:0", "cuda:0,cuda:1"};
    const uint32_t tower = (uint32_t)_i % 2;
    an_model_config config = net_small(AN_ARCH_PAPER, 2, devices[_i / 2]);
    an_context *ctx = plugin_context(devices[_i / 2] != NULL ? host_run_path() : NULL, 2);
    an_parameter_info fc6;
    an_trainer *trainer;
    an_model *model;
    float *images, *before, *after;
    size_t count;

    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    trainer = net_trainer(model);
    images = net_images(model);
    an_parameter_info_init(&fc6, sizeof fc6);
    ck_assert_int_eq(an_parameter_describe(model, net_param(model, "fc6.weight"), &fc6),
                     AN_OK);
    fill_tower(model, "conv4.bias", 1, tower, 1e25f);
    fill_tower(model, "conv5.weight", 1, tower, 0);
    fill_tower(model, "conv5.bias", 1, tower, 1e-20f);
    fill_tower(model, "fc6.weight", fc6.shape[0], tower, 1e20f);
    count = net_parameters(model);
    before = malloc(count * sizeof *before), after = malloc(count * sizeof *after);
    ck_assert_int_eq(net_get(model, before), AN_OK);
    ck_assert_int_eq(an_train_step(trainer, images, net_labels, BATCH, NULL),
                     AN_ERROR_DIVERGED);
    ck_assert_msg(strstr(an_error_message(), "conv5") != NULL &&
                      strstr(an_error_message(), "gradient") != NULL,
                  "tower %u: %s", tower, an_error_message());
    ck_assert_int_eq(net_get(model, after), AN_OK);
    ck_assert_mem_eq(before, after, count * sizeof *before);
    free(images), free(before), free(after);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* fc8's and fc7's weights send infinities down to fc6, which gives zeros, so that the
 * loss is finite: the layer is named, and no parameter is another than before. In each
 * precision, as it comes and recorded. */
START_TEST(a_gradient_that_overflows_changes_nothing)
{
    an_model_config config = net_small(AN_ARCH_PAPER, 1, "cuda:0");
    an_context *ctx = plugin_context(host_run_path(), 2);
    an_trainer *trainer;
    an_model *model;
    float *images, *before, *after;
    size_t count;
    int step;

    config.precision = (uint32_t)_i;
    config.activation = AN_ACTIVATION_TANH;
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    trainer = net_trainer(model);
    images = net_images(model);
    for (step = 0; step < 3; step++)
        ck_assert_int_eq(an_train_step(trainer, images, net_labels, BATCH, NULL), AN_OK);
    net_fill_param(model, "fc6.weight", 0);
    net_fill_param(model, "fc6.bias", 0);
    net_fill_param(model, "fc7.bias", 0);
    net_fill_param(model, "fc7.weight", 1e30f);
    net_fill_param(model, "fc8.weight", 1e30f);
    count = net_parameters(model);
    before = malloc(count * sizeof *before), after = malloc(count * sizeof *after);
    ck_assert_int_eq(net_get(model, before), AN_OK);
    ck_assert_int_eq(an_train_step(trainer, images, net_labels, BATCH, NULL),
                     AN_ERROR_DIVERGED);
    ck_assert_msg(strstr(an_error_message(), "fc6") != NULL &&
                      strstr(an_error_message(), "gradient") != NULL,
                  "%s", an_error_message());
    ck_assert_int_eq(net_get(model, after), AN_OK);
    ck_assert_mem_eq(before, after, count * sizeof *before);
    net_fill_param(model, "fc8.weight", 0.01f); /* and it goes on */
    ck_assert_int_eq(an_train_step(trainer, images, net_labels, BATCH, NULL), AN_OK);
    free(images), free(before), free(after);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* Kernels of a repeated step. What it has to do is this: forward 5 convolutions, 2
 * poolings of normalised maps, 1 pooling, 3 dense layers, the loss; back 3 gradients of
 * dense inputs and 3 of their biases, 1 pooling, 4 gradients of convolutions' inputs,
 * whose weights are rotated before, 5 of weights, which leave sums for 5 of biases, 2 of
 * pooled, normalised maps; 2 looks for infinities, their exchange, 1 update of what is
 * small, 3 of dense weights, conv1's packed weights. At a size that leaves products with
 * few tiles more of them are sums in parts, finished by a kernel of their own: 5
 * convolutions forward and 6 back, and conv1's weights; dense layers of so few images are
 * not. */
START_TEST(launches_of_a_step_are_as_planned)
{
    an_model_config config = net_small(AN_ARCH_PAPER, 1, "cuda:0");
    an_context *ctx = plugin_context(host_run_path(), 2);
    const uint64_t least =
        5 + 2 + 1 + 3 + 1 + 3 + 3 + 1 + 2 * 4 + 5 + 5 + 2 + 2 + 1 + 1 + 3 + 1;
    const uint64_t sums = 5 + 6 + 1;
    uint64_t before, graphs, launches;
    an_trainer *trainer;
    an_model *model;
    float *images;
    int step;

    config.precision = AN_PRECISION_BF16;
    config.width = 0.5f;
    hr()->processors = 132; /* as many parts as an H200 has */
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    trainer = net_trainer(model);
    images = net_images(model);
    for (step = 0; step < 3; step++)
        ck_assert_int_eq(an_train_step(trainer, images, net_labels, BATCH, NULL), AN_OK);
    before = hr()->launches, graphs = hr()->graph_launches;
    ck_assert_int_eq(an_train_step(trainer, images, net_labels, BATCH, NULL), AN_OK);
    launches = hr()->launches - before;
    ck_assert_uint_eq(hr()->graph_launches - graphs, 1);
    ck_assert_uint_eq(launches, least + sums + 1); /* and the images to their form */
    free(images);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* What kernels have read and written beside what they were to: 0 where it cannot be told.
 * It is counted by pages, of which every array begins and ends within one; of joined
 * maps' weights a half is in every page. (A form's empty places are left out when a
 * gradient is brought out of it.) */
static void touched_as_planned(const an_kernel_time *row, int towers)
{
    double touched = row->seconds * 1e3, most = (towers ? 2.02 : 1.02) * row->bytes;

    if (touched == 0) return;
    ck_assert_msg(
        touched >= 0.97 * row->bytes && touched <= most + row->launches * 16384.,
        "%s: %.0f bytes are planned, %.0f touched", row->name, row->bytes, touched);
}

/* Every launch of a step is in the account, with its layer; what products do is three
 * times the network's multiply-adds but for conv1, whose taps in squares are more and
 * whose input wants no gradient; all that is moved is moved once; no parameter
 * changes. */
START_TEST(kernels_are_accounted_for)
{
    an_model_config config =
        net_small(AN_ARCH_PAPER, 1 + (uint32_t)_i, _i == 0 ? "cuda:0" : "cuda:0,cuda:0");
    an_context *ctx = plugin_context(host_run_path(), 2);
    enum { MOST = 200 };
    static an_kernel_time rows[MOST];
    const double batch = BATCH;
    double flops = 0, conv1 = 0, least = 0, planned = 0, touched = 0;
    uint32_t count, i, launches = 0;
    float *before, *after;
    an_model *model;
    size_t numbers;

    config.precision = AN_PRECISION_BF16;
    config.width = 0.5f;
    hr()->count_touched = 1;
    hr()->processors = 132;
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    numbers = net_parameters(model);
    before = malloc(numbers * sizeof *before), after = malloc(numbers * sizeof *after);
    ck_assert_int_eq(net_get(model, before), AN_OK);
    for (i = 0; i < MOST; i++) an_kernel_time_init(&rows[i], sizeof rows[i]);
    ck_assert_msg(an_model_profile_kernels(model, BATCH, 1, rows, MOST, &count) == AN_OK,
                  "%s", an_error_message());
    for (i = 0; i < count; i++) {
        ck_assert_ptr_nonnull(strchr(rows[i].name, ':'));
        ck_assert_uint_ge(rows[i].launches, 1);
        ck_assert(rows[i].bytes > 0);
        launches += rows[i].launches;
        touched_as_planned(&rows[i], _i);
        planned += rows[i].bytes;
        touched += rows[i].seconds * 1e3;
        if (strncmp(rows[i].name, "conv1", 5) == 0)
            conv1 += rows[i].flops;
        else
            flops += rows[i].flops;
    }
    for (i = 1; i < model->net.plan->row.layers; i++)
        least += 3 * 2 * batch * (double)model->net.plan->layers[i].multiply_adds;
    ck_assert_double_eq_tol(flops, least, 1e-9 * least);
    ck_assert_double_eq_tol(conv1,
                            2 * 2 * batch * 432. / 363 *
                                (double)model->net.plan->layers[0].multiply_adds,
                            1e-9 * conv1);
    ck_assert_uint_ge(launches, 43);
    if (_i == 0 && touched > 0) ck_assert_double_eq_tol(touched, planned, 0.02 * planned);
    ck_assert_int_eq(net_get(model, after), AN_OK);
    ck_assert_mem_eq(before, after, numbers * sizeof *before);
    ck_assert_int_eq(an_model_profile_kernels(model, BATCH, 0, rows, 3, &count),
                     AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_model_profile_kernels(model, 0, 0, rows, MOST, &count),
                     AN_ERROR_ARGUMENT);
    free(before), free(after);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* --- passes ------------------------------------------------------------------------ */

/* Whichever copy of a pass fails, nothing that it had asked for happens after it, while
 * another model is at work. */
START_TEST(a_pass_that_fails_leaves_nothing_behind)
{
    an_model_config config = net_small(AN_ARCH_CIFAR10, 1, "cuda:0");
    an_context *ctx = plugin_context(host_run_path(), 2);
    float p[BATCH * CLASSES], *images;
    uint64_t before, own;
    an_model *model, *other;
    unsigned copy, failed = 0;

    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    ck_assert_int_eq(an_model_create(&other, ctx, &config), AN_OK);
    images = net_images(model);
    for (copy = 0; copy < 3; copy++) { /* the third is as all later ones */
        ck_assert_int_eq(an_infer(model, images, BATCH, p, ENOUGH), AN_OK);
        before = hr()->launches;
        ck_assert_int_eq(an_infer(other, images, BATCH, p, ENOUGH), AN_OK);
        own = hr()->launches - before;
    }
    hr()->hurry = 1;
    for (copy = 1; copy < 100; copy++) {
        an_status status;

        hr()->failed = 0;
        hr()->fail_kind = HOST_RUN_COPY;
        hr()->fail_in = copy;
        status = an_infer(model, images, BATCH, p, ENOUGH);
        if (!hr()->failed) break;
        ck_assert_int_eq(status, AN_ERROR_DEVICE);
        failed++;
        before = hr()->launches;
        ck_assert_int_eq(an_infer(other, images, BATCH, p, ENOUGH), AN_OK);
        expect_count(hr()->launches - before, own, "kernels after copy %u has failed",
                     copy);
        ck_assert_int_eq(an_infer(model, images, BATCH, p, ENOUGH), AN_OK);
    }
    hr()->fail_in = 0;
    hr()->hurry = 0;
    ck_assert_uint_ge(failed, 2); /* the input's and the scores' */
    free(images);
    an_model_destroy(model), an_model_destroy(other);
    an_context_destroy(ctx);
}
END_TEST

/* Numbers of images in turn, on one set of buffers: classified, evaluated, asked for a
 * layer. */
START_TEST(repeated_passes_give_the_same)
{
    static const uint32_t counts[] = {2, 2, 2, 5, 5, 1, 2, 2, 5, 5, 5};
    enum { MOST = 5 };
    an_model_config config =
        net_small(AN_ARCH_PAPER, 2, _i ? "cuda:0,cuda:1" : "cuda:0,cuda:0");
    an_context *ctx = plugin_context(host_run_path(), 2);
    static const int32_t labels[MOST] = {3, 7, 0, 1, 9};
    float first[MOST * CLASSES], p[MOST * CLASSES], *images, *layer;
    an_evaluation e, want[MOST + 1];
    size_t numbers, count;
    uint64_t graphs;
    an_model *model;
    uint32_t i;

    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    numbers = model->net.plan->tensors[model->net.plan->input[0]].count;
    images = malloc(MOST * numbers * sizeof *images);
    net_fill(images, MOST * numbers, 9, 1);
    ck_assert_int_eq(an_infer(model, images, MOST, first, ENOUGH), AN_OK);
    for (i = 1; i <= MOST; i++) {
        an_evaluation_init(&want[i], sizeof want[i]);
        ck_assert_int_eq(an_evaluate(model, images, labels, i, &want[i]), AN_OK);
    }
    ck_assert_int_eq(an_activation_count(model, "conv3", AN_POINT_OUTPUT, &count, NULL),
                     AN_OK);
    layer = malloc(MOST * count * sizeof *layer);
    graphs = hr()->graph_launches;
    for (i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        uint32_t n = counts[i];

        ck_assert_int_eq(an_infer(model, images, n, p, ENOUGH), AN_OK);
        ck_assert_mem_eq(p, first, n * CLASSES * sizeof *p);
        an_evaluation_init(&e, sizeof e);
        ck_assert_int_eq(an_evaluate(model, images, labels, n, &e), AN_OK);
        ck_assert_double_eq(e.loss, want[n].loss);
        if (i == 7)
            ck_assert_int_eq(
                an_infer_layer(model, images, n, "conv3", AN_POINT_OUTPUT, layer, ENOUGH),
                AN_OK);
    }
    ck_assert_uint_ge(hr()->graph_launches - graphs, 8);
    free(images), free(layer);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* --- what the log is told ---------------------------------------------------------- */

typedef struct told {
    int recorded, refused;
    char last[320];
} told;

static void listen(an_log_level level, const char *text, void *user)
{
    told *t = user;

    t->recorded += level == AN_LOG_INFO && strstr(text, "is recorded") != NULL;
    t->refused += level == AN_LOG_WARNING && strstr(text, "is not recorded") != NULL;
    snprintf(t->last, sizeof t->last, "%s", text);
}

/* Four steps; a launch of the second one's recording fails, or none. The numbers are the
 * same. */
static outcome steps_heard(told *t, int fails)
{
    an_model_config config = net_small(AN_ARCH_CIFAR10, 1, "cuda:0");
    an_context_config setting;
    uint64_t before;
    an_trainer *trainer;
    an_context *ctx;
    an_model *model;
    float *images;
    outcome o;
    int step;

    memset(&o, 0, sizeof o);
    memset(t, 0, sizeof *t);
    an_context_config_init(&setting, sizeof setting);
    setting.plugin = host_run_path();
    setting.log = listen;
    setting.log_user = t;
    ck_assert_int_eq(an_context_create(&ctx, &setting), AN_OK);
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    trainer = net_trainer(model);
    images = net_images(model);
    ck_assert_int_eq(an_train_step(trainer, images, net_labels, BATCH, NULL), AN_OK);
    before = hr()->launches;
    if (fails) {
        hr()->fail_kind = HOST_RUN_LAUNCH;
        hr()->fail_in = 5; /* the input's are before the recording */
    }
    for (step = 1; step < STEPS; step++)
        ck_assert_msg(an_train_step(trainer, images, net_labels, BATCH, NULL) == AN_OK,
                      "%s", an_error_message());
    ck_assert_uint_gt(hr()->launches, before);
    o.count = net_parameters(model);
    o.values = malloc(o.count * sizeof *o.values);
    ck_assert_int_eq(net_get(model, o.values), AN_OK);
    free(images);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return o;
}

START_TEST(what_is_not_recorded_is_said)
{
    told well, badly;
    outcome a = steps_heard(&well, 0), b = steps_heard(&badly, 1);

    ck_assert_int_eq(hr()->failed, 1);
    ck_assert_int_eq(well.recorded, 1);
    ck_assert_int_eq(well.refused, 0);
    ck_assert_str_eq(well.last, "a training step of 2 images is recorded");
    ck_assert_int_eq(badly.refused, 1);
    ck_assert_msg(strstr(badly.last, "failed") != NULL, "%s", badly.last);
    net_same(&a, &b, 0);
    net_drop(&a), net_drop(&b);
}
END_TEST

Suite *steps_suite(void)
{
    Suite *suite = suite_create("steps");
    TCase *tc = tcase_create("host run");

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, gradients_can_be_asked_for, 0, 2);
    tcase_add_loop_test(tc, a_gradient_that_overflows_changes_nothing, 0, 3);
    tcase_add_loop_test(tc, a_gradient_that_overflows_on_one_tower_stops_both, 0, 6);
    tcase_add_test(tc, launches_of_a_step_are_as_planned);
    tcase_add_test(tc, what_is_not_recorded_is_said);
    tcase_add_loop_test(tc, kernels_are_accounted_for, 0, 2);
    add_in_flight(tc);
    tcase_add_test(tc, a_pass_that_fails_leaves_nothing_behind);
    tcase_add_loop_test(tc, repeated_passes_give_the_same, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}
