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

static an_trainer *trainer_of(an_model *model)
{
    an_trainer_config training;
    an_trainer *trainer;

    an_trainer_config_init(&training, sizeof training);
    training.batch = BATCH;
    training.rate = 0.05f;
    ck_assert_int_eq(an_trainer_create(&trainer, model, &training), AN_OK);
    return trainer;
}

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
    trainer = trainer_of(model);
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

static uint32_t param(const an_model *model, const char *name)
{
    uint32_t index;

    ck_assert_int_eq(an_parameter_find(model, name, &index), AN_OK);
    return index;
}

/* The first half of its numbers become `value`, the others 0. */
static void fill_param(an_model *model, const char *name, float value)
{
    uint32_t index = param(model, name);
    size_t count = model->net.plan->params[index].count, i;
    float *w = malloc(count * sizeof *w);

    for (i = 0; i < count; i++) w[i] = i < count / 2 ? value : 0;
    ck_assert_int_eq(an_parameter_set(model, index, w, count), AN_OK);
    free(w);
}

/* The half of each of a parameter's rows that is a tower's. */
static void fill_tower(an_model *model, const char *name, size_t rows, uint32_t tower,
                       float value)
{
    uint32_t index = param(model, name);
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
    trainer = trainer_of(model);
    images = net_images(model);
    an_parameter_info_init(&fc6, sizeof fc6);
    ck_assert_int_eq(an_parameter_describe(model, param(model, "fc6.weight"), &fc6),
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
    trainer = trainer_of(model);
    images = net_images(model);
    for (step = 0; step < 3; step++)
        ck_assert_int_eq(an_train_step(trainer, images, net_labels, BATCH, NULL), AN_OK);
    fill_param(model, "fc6.weight", 0);
    fill_param(model, "fc6.bias", 0);
    fill_param(model, "fc7.bias", 0);
    fill_param(model, "fc7.weight", 1e30f);
    fill_param(model, "fc8.weight", 1e30f);
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
    fill_param(model, "fc8.weight", 0.01f); /* and it goes on */
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
 * whose weights are turned before, 5 of weights and of biases, 2 of pooled, normalised
 * maps; 2 looks for infinities, their exchange, 1 update of what is small, 3 of dense
 * weights, conv1's packed weights. At a size that leaves products with few tiles more of
 * them are sums in parts, finished by a kernel of their own: 5 convolutions forward and 6
 * back, and conv1's weights and bias; dense layers of so few images are not. */
START_TEST(launches_of_a_step_are_as_planned)
{
    an_model_config config = net_small(AN_ARCH_PAPER, 1, "cuda:0");
    an_context *ctx = plugin_context(host_run_path(), 2);
    const uint64_t least =
        5 + 2 + 1 + 3 + 1 + 3 + 3 + 1 + 2 * 4 + 5 + 5 + 2 + 2 + 1 + 1 + 3 + 1;
    const uint64_t sums = 5 + 6 + 2;
    uint64_t before, graphs, launches;
    an_trainer *trainer;
    an_model *model;
    float *images;
    int step;

    config.precision = AN_PRECISION_BF16;
    config.width = 0.5f;
    hr()->processors = 132; /* as many parts as an H200 has */
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    trainer = trainer_of(model);
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

/* --- steps in flight --------------------------------------------------------------- */

enum { PICTURES = 6, SIDE = 40, PIXELS = 3 * SIDE * SIDE };

/* A model, its trainer, and a loader of noise that gives bytes to a device. */
typedef struct fed {
    uint8_t pixels[PICTURES * PIXELS];
    an_context *ctx;
    an_model *model;
    an_trainer *trainer;
    an_loader *loader;
    an_batch batch;
} fed;

static int fetch(uint64_t index, an_sample *sample, void *user)
{
    fed *f = user;

    sample->pixels = f->pixels + index * PIXELS;
    sample->width = sample->height = SIDE;
    sample->label = (int32_t)(index % CLASSES);
    return 0;
}

static fed *open_fed(uint32_t arch, uint32_t towers, const char *devices)
{
    an_model_config config = net_small(arch, towers, devices);
    fed *f = calloc(1, sizeof *f);
    an_loader_config loading;
    an_source source;
    size_t i;

    for (i = 0; i < sizeof f->pixels; i++)
        f->pixels[i] = (uint8_t)(i * 2654435761u >> 22);
    if (arch == AN_ARCH_CIFAR10) config.image_size = 33; /* of pictures of 40 */
    config.precision = devices != NULL ? AN_PRECISION_BF16 : AN_PRECISION_FP32;
    f->ctx = plugin_context(devices != NULL ? host_run_path() : NULL, 2);
    ck_assert_msg(an_model_create(&f->model, f->ctx, &config) == AN_OK, "%s",
                  an_error_message());
    f->trainer = trainer_of(f->model);
    an_source_init(&source, sizeof source);
    source.count = PICTURES;
    source.fetch = fetch;
    source.user = f;
    an_loader_config_init(&loading, sizeof loading);
    loading.batch = BATCH;
    loading.keep_uint8 = 1;
    ck_assert_msg(an_loader_create(&f->loader, f->model, &source, &loading) == AN_OK,
                  "%s", an_error_message());
    an_batch_init(&f->batch, sizeof f->batch);
    return f;
}

static void close_fed(fed *f)
{
    an_loader_destroy(f->loader);
    an_trainer_destroy(f->trainer);
    an_model_destroy(f->model);
    an_context_destroy(f->ctx);
    free(f);
}

/* Another trainer and another loader: five pictures, in threes, by pieces of two. */
static void in_threes(fed *f)
{
    an_trainer_config training;
    an_loader_config loading;
    an_source source;

    an_loader_destroy(f->loader);
    an_trainer_destroy(f->trainer);
    an_trainer_config_init(&training, sizeof training);
    training.batch = 3;
    training.micro_batch = 2;
    training.rate = 0.05f;
    ck_assert_int_eq(an_trainer_create(&f->trainer, f->model, &training), AN_OK);
    an_source_init(&source, sizeof source);
    source.count = 5;
    source.fetch = fetch;
    source.user = f;
    an_loader_config_init(&loading, sizeof loading);
    loading.batch = 3;
    loading.keep_uint8 = 1;
    ck_assert_int_eq(an_loader_create(&f->loader, f->model, &source, &loading), AN_OK);
}

static void begin_step(fed *f)
{
    ck_assert_int_eq(an_loader_next(f->loader, &f->batch), AN_OK);
    ck_assert_msg(an_train_step_begin(f->trainer, &f->batch) == AN_OK, "%s",
                  an_error_message());
}

static an_step_stats end_step(fed *f)
{
    an_step_stats stats;

    an_step_stats_init(&stats, sizeof stats);
    ck_assert_msg(an_train_step_end(f->trainer, &stats) == AN_OK, "%s",
                  an_error_message());
    return stats;
}

static float *parameters(const fed *f, size_t *count)
{
    float *values;

    *count = net_parameters(f->model);
    values = malloc(*count * sizeof *values);
    ck_assert_int_eq(net_get(f->model, values), AN_OK);
    return values;
}

/* Both have come to the same parameters, to the bit. */
static void close_equal(fed *one, fed *two)
{
    size_t count;
    float *a = parameters(one, &count), *b = parameters(two, &count);

    ck_assert_mem_eq(a, b, count * sizeof *a);
    free(a), free(b);
    close_fed(one);
    close_fed(two);
}

static const struct {
    uint32_t arch, towers;
    const char *devices;
} feds[] = {{AN_ARCH_CIFAR10, 1, "cuda:0"},
            {AN_ARCH_PAPER, 2, "cuda:0,cuda:1"},
            {AN_ARCH_CIFAR10, 1, NULL}};

/* Always two of them, on a device: losses, ranks and parameters are the same to the
 * bit. */
START_TEST(steps_in_flight_are_the_steps)
{
    enum { MANY = 7 };
    fed *one = open_fed(feds[_i].arch, feds[_i].towers, feds[_i].devices);
    fed *two = open_fed(feds[_i].arch, feds[_i].towers, feds[_i].devices);
    uint32_t ahead = feds[_i].devices != NULL ? 2 : 1, done = 0, begun = 0;
    an_step_stats want[MANY];

    for (; done < MANY; done++) {
        an_step_stats_init(&want[done], sizeof want[done]);
        ck_assert_int_eq(an_loader_next(one->loader, &one->batch), AN_OK);
        ck_assert_int_eq(an_train_step_batch(one->trainer, &one->batch, &want[done]),
                         AN_OK);
    }
    for (done = 0; done < MANY; done++) {
        an_step_stats got;

        for (; begun < MANY && begun < done + ahead; begun++) begin_step(two);
        got = end_step(two);
        ck_assert_double_eq(got.loss, want[done].loss);
        ck_assert_double_eq(got.top1, want[done].top1);
        ck_assert_double_eq(got.top5, want[done].top5);
        ck_assert_uint_eq(got.iteration, done + 1);
        ck_assert_uint_eq(an_trainer_iteration(two->trainer), done + 1);
    }
    close_equal(one, two);
}
END_TEST

/* Batches of three by pieces of two are done at once, the last of an epoch, of two, goes
 * beside the next: it has the dropout of its own number all the same, and what has ended
 * is counted. */
START_TEST(a_step_beside_one_that_is_done_has_its_own_number)
{
    fed *one = open_fed(AN_ARCH_PAPER, 1, "cuda:0"), *two;
    an_step_stats want[4], got;
    uint32_t i;

    two = open_fed(AN_ARCH_PAPER, 1, "cuda:0");
    in_threes(one), in_threes(two);
    for (i = 0; i < 4; i++) {
        an_step_stats_init(&want[i], sizeof want[i]);
        ck_assert_int_eq(an_loader_next(one->loader, &one->batch), AN_OK);
        ck_assert_uint_eq(one->batch.count, i % 2 ? 2 : 3);
        ck_assert_int_eq(an_train_step_batch(one->trainer, &one->batch, &want[i]), AN_OK);
    }
    for (i = 0; i < 4; i += 2) {
        begin_step(two);
        ck_assert_uint_eq(an_trainer_iteration(two->trainer), i);
        begin_step(two);
        ck_assert_uint_eq(an_trainer_iteration(two->trainer), i);
        got = end_step(two);
        ck_assert_double_eq(got.loss, want[i].loss);
        ck_assert_uint_eq(got.iteration, i + 1);
        ck_assert_uint_eq(an_trainer_iteration(two->trainer), i + 1);
        got = end_step(two);
        ck_assert_double_eq(got.loss, want[i + 1].loss);
        ck_assert_uint_eq(got.iteration, i + 2);
        ck_assert_uint_eq(an_trainer_iteration(two->trainer), i + 2);
    }
    close_equal(one, two);
}
END_TEST

/* One, as it comes: the towers' weights are there when it has ended, on whichever
 * device. */
START_TEST(an_ended_step_has_updated_both_towers)
{
    fed *one = open_fed(AN_ARCH_PAPER, 2, "cuda:0,cuda:1");
    fed *two = open_fed(AN_ARCH_PAPER, 2, "cuda:0,cuda:1");

    ck_assert_int_eq(an_loader_next(one->loader, &one->batch), AN_OK);
    ck_assert_int_eq(an_train_step_batch(one->trainer, &one->batch, NULL), AN_OK);
    begin_step(two), end_step(two);
    close_equal(one, two);
}
END_TEST

/* The bytes of the next batch cross while the step before has not begun to compute (the
 * double does nothing that nobody waits for), and are all that crosses but labels and the
 * step's numbers. */
START_TEST(the_next_batch_comes_beside_the_step)
{
    fed *f = open_fed(AN_ARCH_CIFAR10, 1, "cuda:0");
    const uint64_t crops = (uint64_t)BATCH * 3 * 33 * 33;
    uint64_t launches, up;
    int i;

    for (i = 0; i < 3; i++) begin_step(f), end_step(f);
    launches = hr()->launches, up = hr()->up_bytes;
    begin_step(f);
    ck_assert_uint_eq(hr()->launches, launches);
    ck_assert_uint_ge(hr()->up_bytes - up, crops);
    up = hr()->up_bytes;
    begin_step(f);
    ck_assert_uint_eq(hr()->launches, launches);
    ck_assert_uint_ge(hr()->up_bytes - up, crops);
    end_step(f);
    ck_assert_uint_gt(hr()->launches, launches);
    launches = hr()->launches;
    up = hr()->up_bytes;
    begin_step(f); /* into the place of the one that has ended */
    ck_assert_uint_eq(hr()->launches, launches);
    ck_assert_uint_ge(hr()->up_bytes - up, crops);
    end_step(f), end_step(f);
    ck_assert_uint_le(hr()->up_bytes - up, crops + 2 * 4096);
    close_fed(f);
}
END_TEST

/* Meanwhile model and trainer are the steps'. */
START_TEST(nothing_else_is_asked_meanwhile)
{
    fed *f = open_fed(AN_ARCH_CIFAR10, 1, "cuda:0");
    float x = 0, p[CLASSES];
    float *images = net_images(f->model);

    ck_assert_int_eq(an_train_step_end(f->trainer, NULL), AN_ERROR_STATE);
    begin_step(f);
    ck_assert_int_eq(an_infer(f->model, images, 1, p, ENOUGH), AN_ERROR_STATE);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "in flight"));
    ck_assert_int_eq(an_parameter_get(f->model, 1, &x, 1), AN_ERROR_STATE);
    ck_assert_int_eq(an_train_step_batch(f->trainer, &f->batch, NULL), AN_ERROR_STATE);
    ck_assert_int_eq(an_train_step(f->trainer, images, net_labels, BATCH, NULL),
                     AN_ERROR_STATE);
    ck_assert_int_eq(an_trainer_get_gradient(f->trainer, 1, &x, 1), AN_ERROR_STATE);
    ck_assert_int_eq(an_trainer_set_rates(f->trainer, 0.1f, -1), AN_ERROR_STATE);
    ck_assert_uint_eq(an_trainer_iteration(f->trainer), 0);
    begin_step(f);
    ck_assert_int_eq(an_train_step_begin(f->trainer, &f->batch), AN_ERROR_STATE);
    ck_assert_int_eq(an_train_step_begin(f->trainer, NULL), AN_ERROR_STATE);
    end_step(f), end_step(f);
    ck_assert_int_eq(an_train_step_begin(f->trainer, NULL), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_infer(f->model, images, 1, p, ENOUGH), AN_OK);
    begin_step(f); /* and a trainer may go with one in flight */
    free(images);
    close_fed(f);
}
END_TEST

/* One diverges, by its loss or a gradient; the one behind it changes nothing either. */
START_TEST(what_is_begun_behind_a_divergence_is_given_up)
{
    fed *f = open_fed(AN_ARCH_CIFAR10, 1, "cuda:0");
    size_t count;
    float *before, *after;

    begin_step(f), end_step(f);
    begin_step(f), end_step(f);
    fill_param(f->model, "conv3.weight", 3e38f);
    before = parameters(f, &count);
    begin_step(f);
    begin_step(f);
    ck_assert_int_eq(an_train_step_end(f->trainer, NULL), AN_ERROR_DIVERGED);
    ck_assert_msg(strstr(an_error_message(), "conv3") != NULL, "%s", an_error_message());
    ck_assert_int_eq(an_train_step_end(f->trainer, NULL), AN_ERROR_STATE);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "given up"));
    ck_assert_uint_eq(an_trainer_iteration(f->trainer), 2);
    after = parameters(f, &count);
    ck_assert_mem_eq(before, after, count * sizeof *before);
    fill_param(f->model, "conv3.weight", 0.01f);
    begin_step(f), end_step(f);
    ck_assert_uint_eq(an_trainer_iteration(f->trainer), 3);
    free(before), free(after);
    close_fed(f);
}
END_TEST

/* The gradient of the step before is gone with a step that could not begin. */
START_TEST(a_step_that_does_not_begin_leaves_no_gradient)
{
    fed *f = open_fed(AN_ARCH_CIFAR10, 1, "cuda:0");
    uint32_t index = param(f->model, "conv1.bias");
    size_t count = f->model->net.plan->params[index].count;
    float *gradient = malloc(count * sizeof *gradient);

    begin_step(f), end_step(f);
    ck_assert_int_eq(an_trainer_get_gradient(f->trainer, index, gradient, count), AN_OK);
    ck_assert_int_eq(an_loader_next(f->loader, &f->batch), AN_OK);
    hr()->fail_kind = HOST_RUN_COPY;
    hr()->fail_in = 1;
    ck_assert_int_eq(an_train_step_begin(f->trainer, &f->batch), AN_ERROR_DEVICE);
    ck_assert_int_eq(an_trainer_get_gradient(f->trainer, index, gradient, count),
                     AN_ERROR_STATE);
    free(gradient);
    close_fed(f);
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
    trainer = trainer_of(model);
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
    tcase_add_loop_test(tc, steps_in_flight_are_the_steps, 0,
                        sizeof feds / sizeof feds[0]);
    tcase_add_test(tc, a_step_beside_one_that_is_done_has_its_own_number);
    tcase_add_test(tc, an_ended_step_has_updated_both_towers);
    tcase_add_test(tc, the_next_batch_comes_beside_the_step);
    tcase_add_test(tc, nothing_else_is_asked_meanwhile);
    tcase_add_test(tc, what_is_begun_behind_a_divergence_is_given_up);
    tcase_add_test(tc, a_step_that_does_not_begin_leaves_no_gradient);
    tcase_add_test(tc, a_pass_that_fails_leaves_nothing_behind);
    tcase_add_loop_test(tc, repeated_passes_give_the_same, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}
