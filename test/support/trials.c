/*
 * trials.c - made up at random, and compared field by field.
 */
#include "trials.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "small.h"

/* --- numbers ----------------------------------------------------------------------- */

uint32_t trial_below(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)*seed * below >> 32);
}

float trial_float(uint32_t *seed, float low, float high)
{
    return low + (high - low) * (float)trial_below(seed, 1u << 24) / (float)(1u << 24);
}

uint64_t trial_u64(uint32_t *seed)
{
    uint64_t high = trial_below(seed, 1u << 31), low = trial_below(seed, 1u << 31);

    return high << 33 ^ low << 7 ^ trial_below(seed, 128);
}

/* --- configs ----------------------------------------------------------------------- */

static an_model_config trial_config(uint32_t *seed)
{
    an_model_config c;

    an_model_config_init(&c, sizeof c);
    c.arch = 1 + trial_below(seed, AN_ARCH_CIFAR10);
    if (trial_below(seed, 3) == 0) c.arch = AN_ARCH_CIFAR10; /* the quickest */
    c.classes = 5 + trial_below(seed, 9);
    c.image_size =
        c.arch == AN_ARCH_CIFAR10 ? 28 + trial_below(seed, 8) : 79 + trial_below(seed, 6);
    c.activation = trial_below(seed, 4);
    c.lrn = trial_below(seed, 3);
    c.pooling = trial_below(seed, 3);
    c.dropout = trial_below(seed, 3);
    c.dropout_scaling = trial_below(seed, 3);
    if (trial_below(seed, 2)) c.dropout_rate = trial_float(seed, 0.05f, 0.9f);
    c.width = trial_float(seed, 0.02f, c.arch == AN_ARCH_CIFAR10 ? 0.3f : 0.05f);
    c.groups = trial_below(seed, 3);
    if (trial_below(seed, 4) == 0) c.remove_conv = 2 + trial_below(seed, 4);
    c.extra_conv = trial_below(seed, 2);
    c.towers = trial_below(seed, 3);
    c.initialisation = trial_below(seed, 4);
    c.seed = trial_u64(seed);
    return c;
}

an_model *trial_model(an_context *ctx, uint32_t *seed)
{
    an_model *model = NULL;

    for (;;) {
        an_model_config config = trial_config(seed);
        an_status status = an_model_create(&model, ctx, &config);

        if (status == AN_OK) return model;
        ck_assert_msg(status == AN_ERROR_ARGUMENT, "%s", an_error_message());
    }
}

an_trainer_config trial_training(uint32_t *seed)
{
    an_trainer_config c;

    an_trainer_config_init(&c, sizeof c);
    c.batch = 1 + trial_below(seed, 4);
    c.augment = trial_below(seed, 4);
    c.rate = trial_float(seed, 0, 0.02f);
    if (trial_below(seed, 2)) c.bias_rate = trial_float(seed, 0, 0.04f);
    c.momentum = trial_float(seed, 0, 0.95f);
    c.weight_decay = trial_float(seed, 0, 0.01f);
    if (trial_below(seed, 2)) c.bias_decay = trial_float(seed, 0, 0.01f);
    c.seed = trial_u64(seed);
    c.micro_batch = trial_below(seed, c.batch + 1);
    c.plateau_drops = trial_below(seed, 4);
    c.plateau_patience = 1 + trial_below(seed, 4);
    c.plateau_factor = trial_float(seed, 0.05f, 0.95f);
    c.plateau_gain = trial_float(seed, 0, 0.3f);
    return c;
}

uint32_t trial_changes(uint32_t *seed, const an_model *model, uint32_t epochs,
                       an_rate_change changes[AN_MAX_CHANGES])
{
    uint32_t count = trial_below(seed, 9), epoch = 0, i;

    for (i = 0; i < count; i++) {
        an_rate_change *c = &changes[i];
        uint32_t layer = trial_below(seed, model->net.plan->row.layers + 2);

        an_rate_change_init(c, sizeof *c);
        epoch += trial_below(seed, 3);
        c->epoch = epoch < epochs ? epoch : epochs;
        if (layer < model->net.plan->row.layers)
            snprintf(c->layer, sizeof c->layer, "%s",
                     model->net.plan->layers[layer].name);
        if (trial_below(seed, 3)) c->rate = trial_float(seed, 0, 0.02f);
        if (trial_below(seed, 3)) c->bias_rate = trial_float(seed, 0, 0.02f);
        if (trial_below(seed, 6) == 0) c->rate = 0;
    }
    return count;
}

/* Short, empty, with what JSON and UTF-8 make of it, or as long as there may be. */
static void trial_name(uint32_t *seed, char name[256])
{
    static const char *const names[] = {"", "a", "\"\\/\b\n\t{}[]:,",
                                        "\xc3\xa9\xe2\x82\xac", "\xf0\x9f\x8c\xbb tulip"};
    uint32_t which = trial_below(seed, 6);

    memset(name, 0, 256);
    if (which < 5)
        strcpy(name, names[which]);
    else
        memset(name, 'x', 255);
}

void trial_prepare(uint32_t *seed, an_model *model)
{
    uint32_t size = model->net.plan->config.image_size, i, j;
    an_preprocessing p;
    char name[256];

    an_preprocessing_init(&p, sizeof p);
    p.side = size + trial_below(seed, 9);
    p.bgr = trial_below(seed, 2);
    p.fit = trial_below(seed, 2);
    p.mean_moves = trial_below(seed, 2);
    for (i = 0; i < 3; i++) {
        p.mean[i] = trial_float(seed, 0, 255);
        p.scale[i] = trial_float(seed, 0.001f, 0.02f);
        p.colour_deviation[i] = trial_float(seed, 0, 99);
        for (j = 0; j < 3; j++) p.colour_axis[i][j] = trial_float(seed, -1, 1);
    }
    expect_ok(an_model_set_preprocessing(model, &p));
    if (trial_below(seed, 2)) {
        size_t count = (size_t)3 * p.side * p.side;
        float *mean = malloc(count * sizeof *mean);

        noise_floats(mean, count, *seed, 100);
        expect_ok(an_model_set_mean_image(model, mean, count));
        free(mean);
    }
    for (i = 0; i < model->net.plan->config.classes; i++) {
        trial_name(seed, name);
        if (trial_below(seed, 3)) expect_ok(an_model_set_class_name(model, i, name));
    }
}

/* --- comparisons ------------------------------------------------------------------- */

#define SAME(got, wanted, field, what)                                                   \
    expect_count((got)->field, (wanted)->field, "%s: " #field, what)
#define SAME_FLOATS(got, wanted, field, what)                                            \
    expect_bytes(&(got)->field, &(wanted)->field, sizeof(got)->field, "%s: " #field, what)

void same_model_config(const an_model *got, const an_model *wanted, const char *what)
{
    an_model_config a, b;

    an_model_config_init(&a, sizeof a);
    an_model_config_init(&b, sizeof b);
    expect_ok(an_model_get_config(got, &a));
    expect_ok(an_model_get_config(wanted, &b));
    SAME(&a, &b, arch, what);
    SAME(&a, &b, classes, what);
    SAME(&a, &b, image_size, what);
    SAME(&a, &b, activation, what);
    SAME(&a, &b, lrn, what);
    SAME(&a, &b, pooling, what);
    SAME(&a, &b, dropout, what);
    SAME(&a, &b, dropout_scaling, what);
    SAME_FLOATS(&a, &b, dropout_rate, what);
    SAME_FLOATS(&a, &b, width, what);
    SAME(&a, &b, groups, what);
    SAME(&a, &b, remove_conv, what);
    SAME(&a, &b, extra_conv, what);
    SAME(&a, &b, initialisation, what);
    SAME(&a, &b, seed, what);
}

static void same_mean_image(const an_model *got, const an_model *wanted, const char *what)
{
    size_t count = an__mean_count(&wanted->input);
    float *a = calloc(count, sizeof *a), *b = calloc(count, sizeof *b);
    an_status status = an_model_get_mean_image(wanted, b, count);

    expect_count(an_model_get_mean_image(got, a, count), status, "%s: mean image", what);
    expect_floats(a, b, count, 0, "%s: mean image", what);
    free(a);
    free(b);
}

void same_preprocessing(const an_model *got, const an_model *wanted, const char *what)
{
    an_preprocessing a, b;

    an_preprocessing_init(&a, sizeof a);
    an_preprocessing_init(&b, sizeof b);
    expect_ok(an_model_get_preprocessing(got, &a));
    expect_ok(an_model_get_preprocessing(wanted, &b));
    SAME(&a, &b, side, what);
    SAME(&a, &b, bgr, what);
    SAME_FLOATS(&a, &b, mean, what);
    SAME_FLOATS(&a, &b, scale, what);
    SAME(&a, &b, fit, what);
    SAME(&a, &b, mean_moves, what);
    SAME_FLOATS(&a, &b, colour_deviation, what);
    SAME_FLOATS(&a, &b, colour_axis, what);
    same_mean_image(got, wanted, what);
}

void same_class_names(const an_model *got, const an_model *wanted, const char *what)
{
    uint32_t i;

    for (i = 0; i < wanted->net.plan->config.classes; i++) {
        const char *a = an_model_class_name(got, i), *b = an_model_class_name(wanted, i);

        if (b == NULL)
            expect_count(a == NULL, 1, "%s: class %u has no name", what, i);
        else
            expect_text(a, b, "%s: class %u", what, i);
    }
}

void same_training(const an_trainer *got, const an_trainer *wanted, const char *what)
{
    an_trainer_config a, b;

    an_trainer_config_init(&a, sizeof a);
    an_trainer_config_init(&b, sizeof b);
    expect_ok(an_trainer_get_config(got, &a));
    expect_ok(an_trainer_get_config(wanted, &b));
    SAME(&a, &b, batch, what);
    SAME(&a, &b, augment, what);
    SAME_FLOATS(&a, &b, rate, what);
    SAME_FLOATS(&a, &b, bias_rate, what);
    SAME_FLOATS(&a, &b, momentum, what);
    SAME_FLOATS(&a, &b, weight_decay, what);
    SAME_FLOATS(&a, &b, bias_decay, what);
    SAME(&a, &b, seed, what);
    SAME(&a, &b, micro_batch, what);
    SAME(&a, &b, plateau_drops, what);
    SAME(&a, &b, plateau_patience, what);
    SAME_FLOATS(&a, &b, plateau_factor, what);
    SAME_FLOATS(&a, &b, plateau_gain, what);
}

static void same_progress(const an_progress *a, const an_progress *b, const char *what)
{
    uint32_t i;

    SAME(a, b, iteration, what);
    SAME_FLOATS(a, b, running_loss, what);
    SAME(a, b, flat_logged, what);
    SAME_FLOATS(a, b, note, what);
    SAME(a, b, epoch, what);
    SAME(a, b, epoch_steps, what);
    SAME_FLOATS(a, b, best, what);
    SAME(a, b, stale, what);
    SAME(a, b, drops, what);
    SAME_FLOATS(a, b, layer_rate, what);
    SAME(a, b, change_count, what);
    for (i = 0; i < b->change_count; i++) {
        const an_rate_change *x = &a->changes[i], *y = &b->changes[i];

        expect_count(x->epoch, y->epoch, "%s: change %u", what, i);
        expect_text(x->layer, y->layer, "%s: change %u", what, i);
        expect_floats(&x->rate, &y->rate, 1, 0, "%s: change %u's rate", what, i);
        expect_floats(&x->bias_rate, &y->bias_rate, 1, 0, "%s: change %u's bias rate",
                      what, i);
    }
}

float *velocity_of(const an_trainer *trainer, uint32_t index, size_t *count)
{
    float *values;

    *count = trainer->model->net.plan->params[index].count;
    values = malloc(*count * sizeof *values);
    expect_ok(an__weights_get(&trainer->velocity, &trainer->model->net, index, values));
    return values;
}

void same_velocities(const an_trainer *got, const an_trainer *wanted, double bound,
                     const char *what)
{
    uint32_t i;

    for (i = 0; i < wanted->model->net.plan->param_count; i++) {
        size_t count, again;
        float *x = velocity_of(got, i, &count), *y = velocity_of(wanted, i, &again);

        expect_count(count, again, "%s: numbers of velocity %u", what, i);
        expect_floats(x, y, count, bound, "%s: velocity of %s", what,
                      wanted->model->net.plan->params[i].name);
        free(x);
        free(y);
    }
}

void same_trainer(const an_trainer *got, const an_trainer *wanted, const char *what)
{
    same_training(got, wanted, what);
    same_progress(&got->at, &wanted->at, what);
    same_parameters(got->model, wanted->model, 0, what);
    same_velocities(got, wanted, 0, what);
}
