/*
 * nets.c - small networks, trained for a few steps: what suites of devices compare.
 */
#include "nets.h"
#include "expect.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host_run.h"

void net_fill(float *x, size_t count, uint32_t seed, float scale)
{
    size_t i;

    for (i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = ((float)(seed >> 8) / 8388608.0f - 1) * scale;
    }
}

/* Few maps and small images, with every stage that there is. */
an_model_config net_small(uint32_t arch, uint32_t towers, const char *devices)
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

float *net_images(const an_model *model)
{
    size_t numbers = model->net.plan->tensors[model->net.plan->input[0]].count * BATCH;
    float *images = malloc(numbers * sizeof *images);

    net_fill(images, numbers, 9, 1);
    return images;
}

size_t net_parameters(const an_model *model)
{
    size_t count = 0;
    uint32_t i;

    for (i = 0; i < model->net.plan->param_count; i++)
        count += model->net.plan->params[i].count;
    return count;
}

an_status net_get(const an_model *model, float *values)
{
    an_status status = AN_OK;
    uint32_t i;

    for (i = 0; i < model->net.plan->param_count && status == AN_OK; i++) {
        size_t count = model->net.plan->params[i].count;

        status = an_parameter_get(model, i, values, count);
        values += count;
    }
    return status;
}

const int32_t net_labels[BATCH] = {3, 7};

/* `steps` training steps and an inference, micro: images of a piece. */
an_status net_train(an_context *ctx, const an_model_config *config, uint32_t steps,
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
    if (status == AN_OK) images = net_images(model);
    for (i = 0; i < steps && status == AN_OK; i++) {
        an_step_stats stats;

        an_step_stats_init(&stats, sizeof stats);
        status = an_train_step(trainer, images, net_labels, BATCH, &stats);
        o->loss[i] = stats.loss;
        if (status == AN_OK) continue;
        o->retried = 1;
        o->again = an_train_step(trainer, images, net_labels, BATCH, NULL);
    }
    if (status == AN_OK) {
        o->count = net_parameters(model) + (size_t)BATCH * CLASSES;
        o->values = malloc(o->count * sizeof *o->values);
        status = net_get(model, o->values);
        if (status == AN_OK)
            status = an_infer(model, images, BATCH,
                              o->values + o->count - (size_t)BATCH * CLASSES, ENOUGH);
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

outcome net_trained(const char *plugin, const an_model_config *config, uint32_t steps,
                    uint32_t micro)
{
    an_context *ctx = plugin_context(plugin, 2);
    an_status status;
    outcome o;

    status = net_train(ctx, config, steps, micro, &o);
    ck_assert_msg(status == AN_OK, "%s", an_error_message());
    an_context_destroy(ctx);
    return o;
}

/* Relative to the largest number; 0: to the bit. */
void net_same(const outcome *a, const outcome *b, double bound)
{
    double worst = 0, largest = 0;
    size_t i, beyond = 0, at = 0;

    ck_assert_uint_eq(a->count, b->count);
    for (i = 0; i < a->count; i++) {
        double error = fabs((double)a->values[i] - (double)b->values[i]);

        if (fabs((double)a->values[i]) > largest) largest = fabs((double)a->values[i]);
        if (!(error <= worst)) worst = error, at = i;
    }
    if (!(worst <= bound * largest)) host_run_caught("off by");
    for (i = 0; i < a->count; i++)
        beyond += !(fabs((double)a->values[i] - (double)b->values[i]) <= bound * largest);
    ck_assert_msg(worst <= bound * largest,
                  "off by %g of %g at number %zu (%g), %zu of %zu beyond %g", worst,
                  largest, at, (double)a->values[at], beyond, a->count, bound);
    for (i = 0; i < MOST_STEPS; i++)
        ck_assert_msg(fabs(a->loss[i] - b->loss[i]) <= bound * fabs(a->loss[i]),
                      "loss %zu: %.9g and %.9g", i, a->loss[i], b->loss[i]);
}

void net_drop(outcome *o)
{
    free(o->values);
}

an_trainer *net_trainer(an_model *model)
{
    an_trainer_config training;
    an_trainer *trainer;

    an_trainer_config_init(&training, sizeof training);
    training.batch = BATCH;
    training.rate = 0.05f;
    ck_assert_int_eq(an_trainer_create(&trainer, model, &training), AN_OK);
    return trainer;
}

uint32_t net_param(const an_model *model, const char *name)
{
    uint32_t index;

    ck_assert_int_eq(an_parameter_find(model, name, &index), AN_OK);
    return index;
}

void net_fill_param(an_model *model, const char *name, float value)
{
    uint32_t index = net_param(model, name);
    size_t count = model->net.plan->params[index].count, i;
    float *w = malloc(count * sizeof *w);

    for (i = 0; i < count; i++) w[i] = i < count / 2 ? value : 0;
    ck_assert_int_eq(an_parameter_set(model, index, w, count), AN_OK);
    free(w);
}
