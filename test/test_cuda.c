/*
 * test_cuda.c - whole networks on the CUDA backend's host run: against the CPU's, one device
 * and two, what they exchange, and every failure. On a card, where $AN_TEST_CARD names a
 * plugin, the cases that need no control over the device.
 */
#define _GNU_SOURCE
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host_run.h"
#include "test.h"

enum { BATCH = 2, CLASSES = 10, STEPS = 4, MOST_STEPS = 10 };

#define GIB ((size_t)1 << 30)

/* --- a network ---------------------------------------------------------------------------- */

static void fill(float *x, size_t count, uint32_t seed, float scale)
{
    size_t i;

    for (i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = ((float)(seed >> 8) / 8388608.0f - 1) * scale;
    }
}

/* Few maps and small images, with every stage that there is. */
static an_model_config small(uint32_t arch, uint32_t towers, const char *devices)
{
    an_model_config c;

    an_model_config_init(&c, sizeof c);
    c.arch = arch;
    c.classes = CLASSES;
    c.width = arch == AN_ARCH_CIFAR10 ? 0.25f : 0.04f;
    c.image_size = arch == AN_ARCH_CIFAR10 ? 32 : 79;
    c.initialisation = AN_INIT_FAN_IN;
    c.towers = towers;
    c.seed = 5;
    c.devices = devices;
    return c;
}

/* What a training run leaves. */
typedef struct outcome {
    double loss[MOST_STEPS];
    float *values; /* parameters, then BATCH rows of probabilities */
    size_t count;
    uint64_t exchanged;       /* by all of it */
    uint64_t exchange_floats; /* of an image's way forward, as planned */
} outcome;

static float *images_of(const an_model *model)
{
    size_t numbers = model->plan->tensors[model->plan->input[0]].count * BATCH;
    float *images = malloc(numbers * sizeof *images);

    fill(images, numbers, 9, 1);
    return images;
}

static size_t parameters_of(const an_model *model)
{
    size_t count = 0;
    uint32_t i;

    for (i = 0; i < model->plan->param_count; i++) count += model->plan->params[i].count;
    return count;
}

static an_status get_parameters(const an_model *model, float *values)
{
    an_status status = AN_OK;
    uint32_t i;

    for (i = 0; i < model->plan->param_count && status == AN_OK; i++) {
        size_t count = model->plan->params[i].count;

        status = an_parameter_get(model, i, values, count);
        values += count;
    }
    return status;
}

static const int32_t labels[BATCH] = {3, 7};

/* `steps` training steps and an inference, micro: images of a piece. */
static an_status train(an_context *ctx, const an_model_config *config, uint32_t steps,
                       uint32_t micro, outcome *o)
{
    an_trainer_config training;
    an_model_info info;
    an_trainer *trainer = NULL;
    an_model *model = NULL;
    float *images = NULL;
    an_status status;
    uint32_t i;

    memset(o, 0, sizeof *o);
    status = an_model_create(&model, ctx, config);
    an_trainer_config_init(&training, sizeof training);
    training.batch = BATCH;
    training.micro_batch = micro;
    training.rate = 0.05f;
    training.seed = 11;
    if (status == AN_OK) status = an_trainer_create(&trainer, model, &training);
    if (status == AN_OK) images = images_of(model);
    for (i = 0; i < steps && status == AN_OK; i++) {
        an_step_stats stats;

        an_step_stats_init(&stats, sizeof stats);
        status = an_train_step(trainer, images, labels, BATCH, &stats);
        o->loss[i] = stats.loss;
    }
    if (status == AN_OK) {
        o->count = parameters_of(model) + (size_t)BATCH * CLASSES;
        o->values = malloc(o->count * sizeof *o->values);
        status = get_parameters(model, o->values);
        if (status == AN_OK)
            status = an_infer(model, images, BATCH,
                              o->values + o->count - (size_t)BATCH * CLASSES);
        an_model_info_init(&info, sizeof info);
        ck_assert_int_eq(an_model_describe(model, &info), AN_OK);
        o->exchanged = info.exchanged_floats;
        o->exchange_floats = info.exchange_floats;
    }
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    free(images);
    if (status != AN_OK) {
        free(o->values);
        o->values = NULL;
    }
    return status;
}

static outcome trained(const char *plugin, const an_model_config *config, uint32_t steps,
                       uint32_t micro)
{
    an_context *ctx = plugin_context(plugin, 2);
    an_status status;
    outcome o;

    status = train(ctx, config, steps, micro, &o);
    ck_assert_msg(status == AN_OK, "%s", an_error_message());
    an_context_destroy(ctx);
    return o;
}

/* Relative to the largest number; 0: to the bit. */
static void same_outcome(const outcome *a, const outcome *b, double bound)
{
    double worst = 0, largest = 0;
    size_t i;

    ck_assert_uint_eq(a->count, b->count);
    for (i = 0; i < a->count; i++) {
        double error = fabs((double)a->values[i] - (double)b->values[i]);

        if (fabs((double)a->values[i]) > largest) largest = fabs((double)a->values[i]);
        if (!(error <= worst)) worst = error;
    }
    ck_assert_msg(worst <= bound * largest, "off by %g of %g", worst, largest);
    for (i = 0; i < MOST_STEPS; i++)
        ck_assert_msg(fabs(a->loss[i] - b->loss[i]) <= bound * fabs(a->loss[i]),
                      "loss %zu: %.9g and %.9g", i, a->loss[i], b->loss[i]);
}

static void drop(outcome *o)
{
    free(o->values);
}

/* --- against the CPU -------------------------------------------------------------------------- */

static const struct {
    uint32_t arch, towers;
} nets[] = {
    {AN_ARCH_PAPER, 1},          {AN_ARCH_PAPER, 2},       {AN_ARCH_KRIZHEVSKY2012, 1},
    {AN_ARCH_KRIZHEVSKY2012, 2}, {AN_ARCH_FLOOR224, 1},    {AN_ARCH_CAFFENET, 1},
    {AN_ARCH_OWT2014, 1},        {AN_ARCH_TORCHVISION, 1}, {AN_ARCH_CIFAR10, 1},
};

static void against_cpu(const char *plugin, int i, uint32_t precision, double bound)
{
    an_model_config here = small(nets[i].arch, nets[i].towers, "cuda:0");
    an_model_config there = small(nets[i].arch, 1, NULL);
    outcome cpu, cuda;

    here.precision = precision;
    cpu = trained(NULL, &there, STEPS, 0);
    cuda = trained(plugin, &here, STEPS, 0);
    same_outcome(&cpu, &cuda, bound);
    drop(&cpu), drop(&cuda);
}

/* Four steps: the first as it comes, the second recorded, the others repeated. */
START_TEST(training_equals_the_cpus)
{
    against_cpu(host_run_path(), _i, AN_PRECISION_FP32, 1e-5);
}
END_TEST

START_TEST(training_in_lower_precision_stays_near)
{
    static const double bound[] = {0, 1e-3, 1e-2}; /* by an_precision */

    against_cpu(host_run_path(), 0, (uint32_t)_i, bound[_i]);
}
END_TEST

/* On a card, where there is one: the same, and ten steps of the network half as wide. */
START_TEST(a_card_equals_the_cpu)
{
    if (card_path() != NULL) against_cpu(card_path(), _i, AN_PRECISION_FP32, 1e-5);
}
END_TEST

START_TEST(a_card_stays_near_in_lower_precision)
{
    static const double bound[] = {0, 1e-3, 1e-2}; /* by an_precision */

    if (card_path() != NULL) against_cpu(card_path(), 0, (uint32_t)_i, bound[_i]);
}
END_TEST

START_TEST(ten_steps_on_a_card)
{
    an_model_config here = small(AN_ARCH_PAPER, 2, "cuda:0,cuda:0"), there;
    outcome cpu, cuda, again;
    int i;

    if (card_path() == NULL) return;
    here.width = 0.5f;
    here.image_size = 0;
    there = here;
    there.devices = NULL;
    there.towers = 1;
    cpu = trained(NULL, &there, MOST_STEPS, 0);
    cuda = trained(card_path(), &here, MOST_STEPS, 0);
    again = trained(card_path(), &here, MOST_STEPS, 0);
    same_outcome(&cuda, &again, 0);
    for (i = 0; i < MOST_STEPS; i++)
        ck_assert_double_eq_tol(cpu.loss[i], cuda.loss[i], 1e-4);
    drop(&cpu), drop(&cuda), drop(&again);
}
END_TEST

/* Pieces of one image are summed; the step is not recorded. */
START_TEST(a_step_in_pieces_is_the_step)
{
    an_model_config here = small(AN_ARCH_PAPER, 2, "cuda:0,cuda:1");
    outcome whole, pieces;

    hr_devices(2, GIB, 1);
    whole = trained(host_run_path(), &here, 3, 0);
    ck_assert_uint_eq(hr()->graph_launches, 2);
    pieces = trained(host_run_path(), &here, 3, 1);
    ck_assert_uint_eq(hr()->graph_launches, 2);
    same_outcome(&whole, &pieces, 1e-5);
    drop(&whole), drop(&pieces);
}
END_TEST

/* Every point of every layer, in the host's order. */
START_TEST(activations_come_in_the_hosts_order)
{
    an_model_config here = small(AN_ARCH_KRIZHEVSKY2012, 2, "cuda:0,cuda:0");
    an_model_config there = small(AN_ARCH_KRIZHEVSKY2012, 1, NULL);
    an_context *ctx = plugin_context(host_run_path(), 2);
    an_model *cuda, *cpu;
    float *images;
    uint32_t layer, point;

    ck_assert_msg(an_model_create(&cuda, ctx, &here) == AN_OK, "%s", an_error_message());
    ck_assert_int_eq(an_model_create(&cpu, ctx, &there), AN_OK);
    images = images_of(cpu);
    for (layer = 0; layer < cpu->plan->row.layers; layer++)
        for (point = AN_POINT_LINEAR; point <= AN_POINT_OUTPUT; point++) {
            const char *name = cpu->plan->layers[layer].name;
            size_t count, i;
            float *a, *b;

            if (an_activation_count(cpu, name, point, &count, NULL) != AN_OK) continue;
            a = malloc(BATCH * count * sizeof *a);
            b = malloc(BATCH * count * sizeof *b);
            ck_assert_int_eq(an_infer_layer(cpu, images, BATCH, name, point, a), AN_OK);
            ck_assert_int_eq(an_infer_layer(cuda, images, BATCH, name, point, b), AN_OK);
            for (i = 0; i < BATCH * count; i++)
                ck_assert_msg(fabs((double)a[i] - (double)b[i]) < 1e-5, "%s %u: %zu",
                              name, point, i);
            free(a);
            free(b);
        }
    free(images);
    an_model_destroy(cpu);
    an_model_destroy(cuda);
    an_context_destroy(ctx);
}
END_TEST

/* --- pictures --------------------------------------------------------------------------------- */

/* Bytes that a device prepares itself are the floats that the host would have prepared: with a
 * mean colour, with a mean image that moves or does not, in either order of colours, all ten
 * views. */
START_TEST(pictures_are_prepared_on_the_device)
{
    an_context *ctx = plugin_context(host_run_path(), 2);
    an_model_config config = small(AN_ARCH_CIFAR10, 1, "cuda:0");
    size_t side, numbers;
    static uint8_t pixels[45 * 61 * 3];
    an_preprocessing p;
    an_image image;
    an_model *model;
    float *mean, *floats;
    uint32_t view, i;

    ck_assert_msg(an_model_create(&model, ctx, &config) == AN_OK, "%s",
                  an_error_message());
    for (i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 2654435761u >> 24);
    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = 61;
    image.height = 45;
    an_preprocessing_init(&p, sizeof p);
    ck_assert_int_eq(an_model_get_preprocessing(model, &p), AN_OK);
    p.bgr = _i & 1;
    p.mean_moves = _i >> 1 & 1;
    p.side = 40;
    ck_assert_int_eq(an_model_set_preprocessing(model, &p), AN_OK);
    side = p.side;
    mean = malloc(3 * side * side * sizeof *mean);
    fill(mean, 3 * side * side, 4, 100);
    if (_i >= 4)
        ck_assert_int_eq(an_model_set_mean_image(model, mean, 3 * side * side), AN_OK);
    numbers = model->plan->tensors[model->plan->input[0]].count;
    floats = malloc(numbers * sizeof *floats);
    for (view = 0; view < 10; view++) {
        an_view v = an__view(&model->input, view);
        an_exec *exec;
        an_feed feed;
        float *got = malloc(numbers * sizeof *got);

        ck_assert_int_eq(an_preprocess(model, &image, view, floats), AN_OK);
        ck_assert_int_eq(an__exec_create(&exec, model, 1, 0), AN_OK);
        ck_assert_int_eq(an__exec_stage(exec, &model->input, &image, 1, &v, &feed),
                         AN_OK);
        ck_assert_ptr_nonnull(feed.crops);
        ck_assert_int_eq(an__exec_load(exec, 1, &feed), AN_OK);
        ck_assert_int_eq(an__exec_get(exec, model->plan->input[0], 0, got), AN_OK);
        ck_assert_int_eq(an__exec_sync(exec), AN_OK);
        ck_assert_mem_eq(got, floats, numbers * sizeof *got);
        an__exec_destroy(exec);
        free(got);
    }
    free(mean);
    free(floats);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

enum { PICTURES = 6, SIDE = 40 };

/* Picture `index` of noise: a source's fetch. */
static int fetch(uint64_t index, an_sample *sample, void *user)
{
    const uint8_t *pixels = user;

    sample->pixels = pixels + index * 3 * SIDE * SIDE;
    sample->width = sample->height = SIDE;
    sample->label = (int32_t)(index % CLASSES);
    return 0;
}

/* Three steps on a loader's batches. */
static an_model *train_on_loader(an_context *ctx, const uint8_t *pixels,
                                 const char *devices, uint32_t for_step)
{
    an_model_config config = small(AN_ARCH_CIFAR10, 1, devices);
    an_loader_config loading;
    an_trainer_config training;
    an_source source;
    an_trainer *trainer;
    an_loader *loader;
    an_preprocessing p;
    an_batch batch;
    an_model *model;
    int i;

    ck_assert_msg(an_model_create(&model, ctx, &config) == AN_OK, "%s",
                  an_error_message());
    an_preprocessing_init(&p, sizeof p);
    ck_assert_int_eq(an_model_get_preprocessing(model, &p), AN_OK);
    p.side = SIDE;
    ck_assert_int_eq(an_model_set_preprocessing(model, &p), AN_OK);
    an_trainer_config_init(&training, sizeof training);
    training.batch = BATCH;
    ck_assert_int_eq(an_trainer_create(&trainer, model, &training), AN_OK);
    an_source_init(&source, sizeof source);
    source.count = PICTURES;
    source.fetch = fetch;
    source.user = (void *)(uintptr_t)pixels;
    an_loader_config_init(&loading, sizeof loading);
    loading.batch = BATCH;
    loading.for_step = for_step;
    loading.colour_divisor = 1.1f;
    ck_assert_msg(an_loader_create(&loader, model, &source, &loading) == AN_OK, "%s",
                  an_error_message());
    an_batch_init(&batch, sizeof batch);
    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(an_loader_next(loader, &batch), AN_OK);
        ck_assert_int_eq(batch.images == NULL, for_step && devices != NULL);
        ck_assert_msg(an_train_step_batch(trainer, &batch, NULL) == AN_OK, "%s",
                      an_error_message());
    }
    if (batch.images == NULL) { /* it cannot be told from another's without its loader */
        batch.loader = NULL;
        ck_assert_int_eq(an_train_step_batch(trainer, &batch, NULL), AN_ERROR_ARGUMENT);
    }
    ck_assert_int_eq(an_train_step_batch(trainer, NULL, NULL), AN_ERROR_ARGUMENT);
    an_loader_destroy(loader);
    an_trainer_destroy(trainer);
    return model;
}

/* Bytes to a device train as floats to it, to the bit. */
START_TEST(a_loaders_bytes_train_as_its_floats)
{
    an_context *ctx = plugin_context(host_run_path(), 2);
    static uint8_t pixels[PICTURES * 3 * SIDE * SIDE];
    const char *devices = _i ? "cuda:0" : NULL;
    an_model *bytes, *floats;
    size_t count, i;
    float *a, *b;

    for (i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 2654435761u >> 22);
    bytes = train_on_loader(ctx, pixels, devices, 1);
    floats = train_on_loader(ctx, pixels, devices, 0);
    count = parameters_of(bytes);
    a = malloc(count * sizeof *a);
    b = malloc(count * sizeof *b);
    ck_assert_int_eq(get_parameters(bytes, a), AN_OK);
    ck_assert_int_eq(get_parameters(floats, b), AN_OK);
    ck_assert_mem_eq(a, b, count * sizeof *a);
    free(a);
    free(b);
    an_model_destroy(bytes);
    an_model_destroy(floats);
    an_context_destroy(ctx);
}
END_TEST

/* --- two devices -------------------------------------------------------------------------------- */

/* Where the towers are changes nothing; nor does how they reach each other, nor when. */
START_TEST(one_device_and_two_give_the_same_bits)
{
    an_model_config one = small(AN_ARCH_PAPER, 2, "cuda:0,cuda:0");
    an_model_config two = small(AN_ARCH_PAPER, 2, "cuda:0,cuda:1");
    an_model_config turned = small(AN_ARCH_PAPER, 2, "cuda:1,cuda:0");
    outcome a, b, c, d, e;

    one.precision = two.precision = turned.precision = (uint32_t)_i;
    hr_devices(2, GIB, 1);
    a = trained(host_run_path(), &one, STEPS, 0);
    b = trained(host_run_path(), &two, STEPS, 0);
    c = trained(host_run_path(), &two, STEPS, 0);
    d = trained(host_run_path(), &turned, STEPS, 0);
    same_outcome(&a, &b, 0);
    same_outcome(&a, &c, 0);
    same_outcome(&a, &d, 0);
    hr_devices(2, GIB, 0); /* through pinned memory */
    e = trained(host_run_path(), &two, STEPS, 0);
    same_outcome(&a, &e, 0);
    drop(&b), drop(&e);
    hr()->hurry = 1; /* others as early as may be, not as late */
    e = trained(host_run_path(), &two, STEPS, 0);
    hr_devices(2, GIB, 1);
    b = trained(host_run_path(), &two, STEPS, 0);
    same_outcome(&a, &b, 0);
    same_outcome(&a, &e, 0);
    drop(&a), drop(&b), drop(&c), drop(&d), drop(&e);
}
END_TEST

/* The paper's network as it is, three steps of two images: minutes. */
START_TEST(the_whole_network)
{
    an_model_config one, two, there;
    outcome a, b, c, cpu;

    if (getenv("AN_LONG") == NULL) return;
    an_model_config_init(&there, sizeof there);
    there.classes = CLASSES;
    there.seed = 5;
    /* By the paper's sigmas conv5 gives 1 and next to nothing of noise, where the largest of a
     * window is a matter of the last bit, and its gradient goes here or there. */
    there.initialisation = AN_INIT_FAN_IN;
    one = two = there;
    one.towers = two.towers = 2;
    one.devices = "cuda:0,cuda:0";
    two.devices = "cuda:0,cuda:1";
    hr_devices(2, (size_t)4 * GIB, 1);
    cpu = trained(NULL, &there, 3, 0);
    a = trained(host_run_path(), &one, 3, 0);
    b = trained(host_run_path(), &two, 3, 0);
    c = trained(host_run_path(), &two, 3, 0);
    same_outcome(&a, &b, 0);
    same_outcome(&b, &c, 0);
    same_outcome(&cpu, &b, 1e-5);
    ck_assert_uint_eq(b.exchange_floats, 2 * 28288 + 2048);
    ck_assert_uint_eq(b.exchanged, (2 * 3 + 1) * BATCH * b.exchange_floats);
    drop(&a), drop(&b), drop(&c), drop(&cpu);
}
END_TEST

/* What is sent is what the plan says: per image, forward, and the same back; and it is what
 * was copied from device to device. */
START_TEST(towers_send_what_the_plan_says)
{
    an_model_config two = small(AN_ARCH_PAPER, 2, "cuda:0,cuda:1");
    uint64_t before, forward, flags;
    outcome o;

    hr_devices(2, GIB, 1);
    before = hr()->peer_bytes;
    o = trained(host_run_path(), &two, STEPS, 0);
    forward = o.exchange_floats * BATCH;
    ck_assert_uint_gt(forward, 0);
    ck_assert_uint_eq(o.exchanged, 2 * forward * STEPS + forward);
    flags = 2 * STEPS; /* each step tells the other tower of its faults */
    ck_assert_uint_eq(hr()->peer_bytes - before, (o.exchanged + flags) * sizeof(float));
    drop(&o);
}
END_TEST

/* The paper's figure 2: 13 x 13 x 128, 6 x 6 x 128, 2048 and 2048 numbers each way, the last
 * one way. */
START_TEST(the_papers_network_sends_what_figure_2_does)
{
    an_model_config config;
    an_context *ctx = plugin_context(NULL, 1);
    an_model_info info;
    an_model *model;

    an_model_config_init(&config, sizeof config);
    config.towers = 2;
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    an_model_info_init(&info, sizeof info);
    ck_assert_int_eq(an_model_describe(model, &info), AN_OK);
    ck_assert_uint_eq(info.exchange_floats, 2 * 28288 + 2048);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* Each tower's parameters are on its own device alone. */
START_TEST(a_towers_weights_live_on_its_device)
{
    an_model_config config = small(AN_ARCH_PAPER, 2, "cuda:0,cuda:1");
    an_context *ctx;
    an_model *model;
    size_t bytes = 0;
    uint32_t i;
    uint64_t before;

    hr_devices(2, GIB, 1);
    before = hr()->allocated;
    ctx = plugin_context(host_run_path(), 1);
    ck_assert_msg(an_model_create(&model, ctx, &config) == AN_OK, "%s",
                  an_error_message());
    for (i = 0; i < model->plan->param_count; i++) {
        bytes += model->plan->params[i].count * sizeof(float);
        ck_assert_uint_eq(model->plan->params[i].part[0] + model->plan->params[i].part[1],
                          model->plan->params[i].count);
    }
    /* Beside them the queues' own: pinned memory, a stage and a step's numbers. */
    ck_assert_uint_ge(hr()->allocated - before, bytes);
    ck_assert_uint_le(hr()->allocated - before, bytes + ((size_t)33 << 20));
    an_model_destroy(model);
    an_context_destroy(ctx);
    ck_assert_uint_eq(hr()->allocated, before);
}
END_TEST

/* --- files, threads, the host's device ----------------------------------------------------------- */

START_TEST(checkpoints_move_between_devices)
{
    an_model_config config = small(AN_ARCH_PAPER, 2, "cuda:0,cuda:0");
    an_context *ctx = plugin_context(host_run_path(), 2);
    char path[] = "/tmp/an-cuda-XXXXXX";
    an_load_config load;
    an_model *cuda, *cpu, *back;
    size_t count;
    float *a, *b;
    int file = mkstemp(path);

    ck_assert_int_ge(file, 0);
    close(file);
    ck_assert_msg(an_model_create(&cuda, ctx, &config) == AN_OK, "%s",
                  an_error_message());
    ck_assert_int_eq(an_model_save(cuda, path), AN_OK);
    ck_assert_int_eq(an_model_load(&cpu, ctx, path, NULL), AN_OK);
    an_load_config_init(&load, sizeof load);
    load.devices = "cuda:0";
    load.precision = AN_PRECISION_BF16;
    ck_assert_msg(an_model_load(&back, ctx, path, &load) == AN_OK, "%s",
                  an_error_message());
    ck_assert_uint_eq(back->plan->config.precision, AN_PRECISION_BF16);
    count = parameters_of(cuda);
    a = malloc(count * sizeof *a);
    b = malloc(count * sizeof *b);
    ck_assert_int_eq(get_parameters(cuda, a), AN_OK);
    ck_assert_int_eq(get_parameters(cpu, b), AN_OK);
    ck_assert_mem_eq(a, b, count * sizeof *a);
    ck_assert_int_eq(get_parameters(back, b), AN_OK);
    ck_assert_mem_eq(a, b, count * sizeof *a);
    free(a);
    free(b);
    an_model_destroy(cuda);
    an_model_destroy(cpu);
    an_model_destroy(back);
    an_context_destroy(ctx);
    unlink(path);
}
END_TEST

typedef struct reader {
    an_model *model;
    const float *images;
    float p[BATCH * CLASSES];
    an_status status;
} reader;

static void *read_often(void *arg)
{
    reader *r = arg;
    int i;

    for (i = 0; i < 4 && r->status == AN_OK; i++)
        r->status = an_infer(r->model, r->images, BATCH, r->p);
    return NULL;
}

START_TEST(many_threads_use_one_model)
{
    an_model_config config = small(AN_ARCH_CIFAR10, 1, "cuda:0");
    an_context *ctx = plugin_context(host_run_path(), 2);
    pthread_t threads[4];
    reader readers[4];
    float *images;
    an_model *model;
    int i;

    ck_assert_msg(an_model_create(&model, ctx, &config) == AN_OK, "%s",
                  an_error_message());
    images = images_of(model);
    for (i = 0; i < 4; i++) {
        readers[i].model = model;
        readers[i].images = images;
        readers[i].status = AN_OK;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_often, &readers[i]), 0);
    }
    for (i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (i = 0; i < 4; i++) {
        ck_assert_int_eq(readers[i].status, AN_OK);
        ck_assert_mem_eq(readers[i].p, readers[0].p, sizeof readers[0].p);
    }
    free(images);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(the_hosts_current_device_stays)
{
    an_model_config config = small(AN_ARCH_PAPER, 2, "cuda:0,cuda:2");
    outcome o;

    hr_devices(3, GIB, 1);
    hr_set_device(1);
    o = trained(host_run_path(), &config, 2, 0);
    ck_assert_int_eq(hr_device(), 1);
    drop(&o);
}
END_TEST

/* --- failures --------------------------------------------------------------------------------------- */

static void expect(const char *plugin, const char *devices, an_status status,
                   const char *words)
{
    an_model_config config = small(AN_ARCH_CIFAR10, 1, devices);
    an_context *ctx = plugin_context(plugin, 1);
    an_model *model = NULL;

    ck_assert_int_eq(an_model_create(&model, ctx, &config), status);
    ck_assert_ptr_null(model);
    ck_assert_msg(strstr(an_error_message(), words) != NULL, "%s", an_error_message());
    an_context_destroy(ctx);
}

START_TEST(no_device_is_a_status)
{
    an_context *ctx;
    uint32_t count = 9;

    hr_devices(-1, GIB, 1); /* no driver */
    expect(host_run_path(), "cuda:0", AN_ERROR_DEVICE, "cuda has 0");
    hr_devices(0, GIB, 1);
    expect(host_run_path(), "cuda:0", AN_ERROR_DEVICE, "cuda has 0");
    hr_devices(2, GIB, 1);
    expect(host_run_path(), "cuda:2", AN_ERROR_DEVICE, "cuda has 2");
    expect(host_run_path(), "cuda:", AN_ERROR_ARGUMENT, "number");
    ctx = plugin_context(host_run_path(), 1);
    ck_assert_int_eq(an_device_count(ctx, &count), AN_OK);
    ck_assert_uint_eq(count, 3);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(a_plugin_is_found_or_missed)
{
    static const char *const wrong[] = {"alexnet-cuda.so", "/nowhere/alexnet-cuda.so",
                                        ""};
    an_context_config config;
    an_context *ctx = NULL;
    an_device_info info;
    int i;

    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    for (i = 0; i < 3; i++) {
        config.cuda_plugin = wrong[i];
        if (wrong[i][0] == '\0') continue; /* as if it were null: below */
        ck_assert_int_eq(an_context_create(&ctx, &config), AN_ERROR_BACKEND);
        ck_assert_ptr_null(ctx);
    }
    unsetenv("ALEXNET_CUDA_PLUGIN");
    expect(NULL, "cuda:0", AN_ERROR_BACKEND, "ALEXNET_CUDA_PLUGIN");
    setenv("ALEXNET_CUDA_PLUGIN", "libm.so.6", 1);
    expect(NULL, "cuda:0", AN_ERROR_BACKEND, "absolute");
    setenv("ALEXNET_CUDA_PLUGIN", host_run_path(), 1);
    hr_devices(1, GIB, 1);
    ctx = plugin_context(NULL, 1);
    an_device_info_init(&info, sizeof info);
    ck_assert_int_eq(an_device_describe(ctx, 1, &info), AN_OK);
    ck_assert_str_eq(info.backend, "cuda");
    ck_assert_str_eq(info.device, "cuda:0");
    ck_assert_int_eq(an_device_describe(ctx, 2, &info), AN_ERROR_ARGUMENT);
    an_context_destroy(ctx);
}
END_TEST

/* A device too small: a status that says how much was asked for and free; the context goes on. */
START_TEST(too_little_memory_is_said_in_bytes)
{
    an_model_config config = small(AN_ARCH_CIFAR10, 1, "cuda:0");
    an_context *ctx;
    uint64_t before;
    outcome o;

    hr_devices(1, 1 << 16, 1);
    before = hr()->allocated;
    ctx = plugin_context(host_run_path(), 1);
    ck_assert_int_eq(train(ctx, &config, 1, 0, &o), AN_ERROR_DEVICE_MEMORY);
    ck_assert_msg(strstr(an_error_message(), " bytes: ") != NULL &&
                      strstr(an_error_message(), " free") != NULL,
                  "%s", an_error_message());
    ck_assert_uint_eq(hr()->allocated, before);
    hr_devices(1, GIB, 1);
    ck_assert_int_eq(train(ctx, &config, 1, 0, &o), AN_OK);
    drop(&o);
    an_context_destroy(ctx);
    ck_assert_uint_eq(hr()->allocated, before);
}
END_TEST

static const int kinds[] = {HOST_RUN_ALLOC, HOST_RUN_COPY, HOST_RUN_LAUNCH, HOST_RUN_LOST,
                            HOST_RUN_ANY};

/* Every call that can fail does, one in each run: a status, nothing leaked, no hang, and a
 * context that works once the failure is over, unless its device was lost. */
START_TEST(every_failure_is_a_status)
{
    an_model_config config = small(AN_ARCH_CIFAR10, 2, "cuda:0,cuda:1");
    host_run_state before, after;
    unsigned n, step = 1, failures = 0;
    outcome o;

    config.width = 0.06f;
    config.lrn = AN_SWITCH_OFF; /* its LRN reads both halves */
    hr_devices(2, GIB, _i % 2);
    before = *hr();
    for (n = 1;; n += step) {
        an_context *ctx = plugin_context(host_run_path(), 1);
        an_status status;

        hr()->fail_kind = kinds[_i];
        hr()->fail_in = n;
        hr()->failed = 0;
        status = train(ctx, &config, 3, 0, &o);
        if (!hr()->failed) {
            ck_assert_msg(status == AN_OK, "%s", an_error_message());
            drop(&o);
            an_context_destroy(ctx);
            break;
        }
        failures++;
        ck_assert_msg(status == AN_ERROR_DEVICE || status == AN_ERROR_DEVICE_MEMORY,
                      "failure %u of kind %d: %d %s", n, kinds[_i], (int)status,
                      an_error_message());
        ck_assert_ptr_null(o.values);
        hr()->fail_in = 0;
        if (kinds[_i] == HOST_RUN_LOST) {
            ck_assert_int_eq(train(ctx, &config, 1, 0, &o), AN_ERROR_DEVICE);
            hr()->lost = 0;
        } else if (n % 16 == 1) { /* and goes on */
            ck_assert_msg(train(ctx, &config, 1, 0, &o) == AN_OK, "after failure %u: %s",
                          n, an_error_message());
            drop(&o);
        }
        an_context_destroy(ctx);
        after = *hr();
        ck_assert_msg(after.allocated == before.allocated &&
                          after.streams == before.streams &&
                          after.events == before.events && after.graphs == before.graphs,
                      "failure %u of kind %d leaks", n, kinds[_i]);
#ifdef __SANITIZE_THREAD__
        step = 29; /* slow there, and of one thread */
#else
        if (n >= 40) step = 7; /* most are alike */
#endif
    }
    ck_assert_uint_gt(failures, 1);
}
END_TEST

Suite *cuda_suite(void)
{
    Suite *suite = suite_create("cuda");
    TCase *tc = tcase_create("whole networks"), *failing = tcase_create("failures");
    TCase *card = tcase_create("card");

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, training_equals_the_cpus, 0, sizeof nets / sizeof nets[0]);
    tcase_add_loop_test(tc, training_in_lower_precision_stays_near, AN_PRECISION_TF32,
                        AN_PRECISION_BF16 + 1);
    tcase_add_test(tc, a_step_in_pieces_is_the_step);
    tcase_add_test(tc, activations_come_in_the_hosts_order);
    tcase_add_loop_test(tc, pictures_are_prepared_on_the_device, 0, 8);
    tcase_add_loop_test(tc, a_loaders_bytes_train_as_its_floats, 0, 2);
    tcase_add_loop_test(tc, one_device_and_two_give_the_same_bits, AN_PRECISION_FP32,
                        AN_PRECISION_BF16 + 1);
    tcase_add_test(tc, the_whole_network);
    tcase_add_test(tc, towers_send_what_the_plan_says);
    tcase_add_test(tc, the_papers_network_sends_what_figure_2_does);
    tcase_add_test(tc, a_towers_weights_live_on_its_device);
    tcase_add_test(tc, checkpoints_move_between_devices);
    tcase_add_test(tc, many_threads_use_one_model);
    tcase_add_test(tc, the_hosts_current_device_stays);
    tcase_add_test(tc, no_device_is_a_status);
    tcase_add_test(tc, a_plugin_is_found_or_missed);
    tcase_add_test(tc, too_little_memory_is_said_in_bytes);
    tcase_set_timeout(failing, 300);
    tcase_add_loop_test(failing, every_failure_is_a_status, 0, 5);
    suite_add_tcase(suite, tc);
    suite_add_tcase(suite, failing);
    tcase_set_timeout(card, 120);
    tcase_add_loop_test(card, a_card_equals_the_cpu, 0, sizeof nets / sizeof nets[0]);
    tcase_add_loop_test(card, a_card_stays_near_in_lower_precision, AN_PRECISION_TF32,
                        AN_PRECISION_BF16 + 1);
    tcase_add_test(card, ten_steps_on_a_card);
    suite_add_tcase(suite, card);
    return suite;
}
