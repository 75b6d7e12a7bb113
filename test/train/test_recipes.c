/*
 * test_recipes.c - rates, schedules and recipes; gradients in pieces; frozen layers; what
 * a checkpoint keeps of all that; one model's parameters in another.
 */
#define _XOPEN_SOURCE 700
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"
#include "scratch.h"
#include "small.h"
#include "test.h"

enum { BATCH = SMALL_BATCH, NUMBERS = 3 * 32 * 32 };

static an_trainer_config training(void)
{
    return small_training(BATCH);
}

static void open_bench(bench *b, const an_trainer_config *c)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);

    bench_open(b, &config, c, 0);
}

/* --- gradients in pieces ----------------------------------------------------------- */

/* The paper's net, for its dropout: masks must be those of the whole batch. */
START_TEST(pieces_make_the_same_step)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    static float images[7 * 3 * 79 * 79];
    static const int32_t labels[7] = {0, 3, 9, 1, 1, 4, 7};
    an_trainer_config c = training();
    an_context *ctx;
    an_model *model[3];
    an_trainer *trainer[3];
    static const uint32_t pieces[3] = {0, 3, 1};
    double loss[3] = {0};
    int i, k;

    noise_floats(images, sizeof images / sizeof *images, 2, 1);
    ck_assert_int_eq(an_context_create(&ctx, NULL), AN_OK);
    config.towers = _i == 0 ? 1 : 2;
    for (i = 0; i < 3; i++) {
        an_step_stats stats;

        c.micro_batch = pieces[i];
        ck_assert_int_eq(an_model_create(&model[i], ctx, &config), AN_OK);
        ck_assert_int_eq(an_trainer_create(&trainer[i], model[i], &c), AN_OK);
        an_step_stats_init(&stats, sizeof stats);
        for (k = 0; k < 3; k++) {
            ck_assert_int_eq(an_train_step(trainer[i], images, labels, 7, &stats), AN_OK);
            loss[i] += stats.loss;
        }
        ck_assert_double_eq_tol(loss[i], loss[0], 1e-5);
        ck_assert_double_lt(parameters_apart(model[0], model[i]), 2e-4);
    }
    for (i = 0; i < 3; i++) {
        an_trainer_destroy(trainer[i]);
        an_model_destroy(model[i]);
    }
    c.micro_batch = BATCH + 1;
    ck_assert_int_eq(an_model_create(&model[0], ctx, &config), AN_OK);
    ck_assert_int_eq(an_trainer_create(&trainer[0], model[0], &c), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "micro_batch"));
    an_model_destroy(model[0]);
    an_context_destroy(ctx);
}
END_TEST

/* --- rates of layers --------------------------------------------------------------- */

/* Layers below the lowest that learns, and frozen ones above it, stay; the others take
 * the very step that they take with nothing frozen. */
START_TEST(frozen_layers_stay_and_the_rest_does_not_notice)
{
    an_trainer_config c = training();
    bench free_, frozen;
    size_t count;
    float *values;
    uint32_t i;

    open_bench(&free_, &c);
    open_bench(&frozen, &c);
    ck_assert_int_eq(an_trainer_set_layer_rates(frozen.trainer, "conv1", 0, 0), AN_OK);
    ck_assert_int_eq(an_trainer_set_layer_rates(frozen.trainer, "conv3", 0, 0), AN_OK);
    bench_step(&free_);
    bench_step(&frozen);
    for (i = 0; i < 8; i++) { /* two of each layer: conv1, conv2, conv3, fc4 */
        bench untouched;

        open_bench(&untouched, &c);
        if (i / 2 == 0 || i / 2 == 2)
            ck_assert_double_eq(parameter_apart(frozen.model, untouched.model, i), 0);
        else
            ck_assert_double_eq(parameter_apart(frozen.model, free_.model, i), 0);
        values = parameter_of(frozen.model, i, &count);
        ck_assert_int_eq(an_trainer_get_gradient(frozen.trainer, i, values, count),
                         i / 2 == 0 || i / 2 == 2 ? AN_ERROR_STATE : AN_OK);
        free(values);
        bench_close(&untouched);
    }
    /* Thawed, it learns again. */
    ck_assert_int_eq(an_trainer_set_layer_rates(frozen.trainer, "conv1", -1, -1), AN_OK);
    bench_step(&frozen);
    ck_assert_double_gt(parameter_apart(frozen.model, free_.model, 0), 0);
    ck_assert_int_eq(an_trainer_set_layer_rates(frozen.trainer, "conv9", 0, 0),
                     AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_trainer_set_layer_rates(frozen.trainer, "conv1", NAN, 0),
                     AN_ERROR_ARGUMENT);
    bench_close(&free_);
    bench_close(&frozen);
}
END_TEST

/* w - w0 = -(rate of the layer) * (gradient + decay * w0) in the first step. */
START_TEST(a_layers_own_rate_is_used)
{
    an_trainer_config c = training();
    float rate, bias_rate, *before, *after, *gradient;
    size_t count, i;
    bench b;

    open_bench(&b, &c);
    ck_assert_int_eq(an_trainer_set_layer_rates(b.trainer, "conv2", 0.5f, -1), AN_OK);
    ck_assert_int_eq(an_trainer_get_layer_rates(b.trainer, "conv2", &rate, &bias_rate),
                     AN_OK);
    ck_assert_float_eq(rate, 0.5f);
    ck_assert_float_eq(bias_rate, 0.01f);
    before = parameter_of(b.model, 2, &count);
    bench_step(&b);
    after = parameter_of(b.model, 2, &count);
    gradient = malloc(count * sizeof *gradient);
    ck_assert_int_eq(an_trainer_get_gradient(b.trainer, 2, gradient, count), AN_OK);
    for (i = 0; i < count; i++)
        ck_assert_float_eq_tol(after[i] - before[i],
                               -0.5f * (gradient[i] + 0.0005f * before[i]), 1e-6f);
    free(before);
    free(after);
    free(gradient);
    bench_close(&b);
}
END_TEST

/* --- schedules --------------------------------------------------------------------- */

static void end_epochs(an_trainer *trainer, uint32_t until)
{
    uint32_t epoch;

    for (;;) {
        ck_assert_int_eq(an_trainer_epoch(trainer, &epoch, NULL), AN_OK);
        if (epoch == until) return;
        ck_assert_int_eq(an_trainer_end_epoch(trainer, -1, NULL), AN_OK);
    }
}

static void check_rates(an_trainer *trainer, const char *layer, float rate, float bias)
{
    float a, b;

    ck_assert_int_eq(an_trainer_get_layer_rates(trainer, layer, &a, &b), AN_OK);
    ck_assert_float_le(fabsf(a - rate), rate * 1e-5f);
    ck_assert_float_le(fabsf(b - bias), bias * 1e-5f);
}

/* The table that the comments of layer-params-145.cfg tell. */
START_TEST(krizhevsky2012_changes_its_rates_as_logged)
{
    static const struct {
        uint32_t epoch;
        float conv1, others;
    } rows[] = {{0, 0.01f, 0.01f},  {24, 0.01f, 0.01f}, {25, 1e-3f, 1e-3f},
                {50, 1e-3f, 1e-3f}, {51, 1e-4f, 1e-4f}, {66, 1e-4f, 1e-4f},
                {67, 1e-5f, 1e-4f}, {72, 0, 1e-4f},     {78, 0, 1e-4f},
                {79, 0, 1e-5f},     {90, 0, 1e-5f}};
    an_trainer_config c = training();
    an_loader_config l;
    an_model_config m;
    size_t i;
    bench b;

    an_loader_config_init(&l, sizeof l);
    an_model_config_init(&m, sizeof m);
    ck_assert_int_eq(an_recipe_apply("krizhevsky2012", 0, &m, &c, &l), AN_OK);
    ck_assert_uint_eq(m.arch, AN_ARCH_KRIZHEVSKY2012);
    ck_assert_uint_eq(c.batch, 128);
    ck_assert_float_eq(c.bias_rate, 0.02f);
    ck_assert_float_eq(c.bias_decay, 0);
    ck_assert_uint_eq(l.crop_group, 32);
    ck_assert_uint_eq(l.colour_rule, AN_COLOUR_DEVIATION);
    ck_assert_float_eq(l.colour_divisor, 1.1f);
    ck_assert_uint_eq(l.colour_epochs, 67);
    ck_assert_int_eq(an_recipe_apply("krizhevsky2012", 10, NULL, NULL, &l), AN_OK);
    ck_assert_uint_eq(l.colour_epochs, 7);
    c.batch = BATCH;
    open_bench(&b, &c);
    ck_assert_int_eq(an_recipe_schedule("krizhevsky2012", b.trainer, 0, 0), AN_OK);
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        end_epochs(b.trainer, rows[i].epoch);
        check_rates(b.trainer, "conv1", rows[i].conv1, 0.02f);
        check_rates(b.trainer, "conv2", rows[i].others, 0.02f);
    }
    bench_close(&b);
    /* Pressed into 10 epochs, from another rate: 25/91 of them is 3. */
    open_bench(&b, &c);
    ck_assert_int_eq(an_recipe_schedule("krizhevsky2012", b.trainer, 10, 0.1f), AN_OK);
    end_epochs(b.trainer, 2);
    check_rates(b.trainer, "conv2", 0.01f, 0.02f);
    end_epochs(b.trainer, 3);
    check_rates(b.trainer, "conv2", 0.01f, 0.02f);
    bench_close(&b);
    /* Into one: what comes after the beginning stays after it. */
    open_bench(&b, &c);
    ck_assert_int_eq(an_recipe_schedule("krizhevsky2012", b.trainer, 1, 0), AN_OK);
    check_rates(b.trainer, "conv2", 0.01f, 0.02f);
    bench_close(&b);
}
END_TEST

START_TEST(the_papers_plateau_drops_three_times)
{
    static const double errors[] = {0.9, 0.8, 0.8, 0.81, 0.7, 0.71, 0.72, 0.73};
    an_trainer_config c = training();
    an_epoch_info info;
    uint32_t i, drops = 0;
    bench b;

    ck_assert_int_eq(an_recipe_apply("paper", 0, NULL, &c, NULL), AN_OK);
    ck_assert_uint_eq(c.plateau_drops, 3);
    c.batch = BATCH;
    c.plateau_patience = 2;
    open_bench(&b, &c);
    an_epoch_info_init(&info, sizeof info);
    for (i = 0; i < 8; i++) {
        ck_assert_int_eq(an_trainer_end_epoch(b.trainer, errors[i], &info), AN_OK);
        ck_assert_uint_eq(info.dropped, i == 3 || i == 6);
        drops += info.dropped;
        ck_assert_uint_eq(info.drops, drops);
        ck_assert_float_eq_tol(info.rate, 0.01f * powf(0.1f, (float)drops), 1e-9f);
        ck_assert_uint_eq(info.epoch, i + 1);
    }
    ck_assert_double_eq(info.best, 0.7);
    ck_assert_int_eq(an_trainer_end_epoch(b.trainer, 0.75, &info), AN_OK);
    ck_assert_uint_eq(info.dropped, 1); /* the third */
    ck_assert_int_eq(an_trainer_end_epoch(b.trainer, 0.75, &info), AN_OK);
    ck_assert_int_eq(an_trainer_end_epoch(b.trainer, 0.75, &info), AN_OK);
    ck_assert_uint_eq(info.dropped, 0);
    ck_assert_uint_eq(info.finished, 1);
    ck_assert_int_eq(an_trainer_end_epoch(b.trainer, NAN, &info), AN_ERROR_ARGUMENT);
    bench_close(&b);
}
END_TEST

START_TEST(bad_schedules_are_refused_by_name)
{
    an_trainer_config c = training();
    an_rate_change changes[2];
    bench b;

    open_bench(&b, &c);
    an_rate_change_init(&changes[0], sizeof changes[0]);
    an_rate_change_init(&changes[1], sizeof changes[1]);
    changes[0].epoch = 5;
    changes[1].epoch = 4;
    ck_assert_int_eq(an_trainer_set_schedule(b.trainer, changes, 2), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "changes[1].epoch"));
    ck_assert_int_eq(an_trainer_set_schedule(b.trainer, changes, 65), AN_ERROR_ARGUMENT);
    changes[1].epoch = 6;
    strcpy(changes[1].layer, "fc99");
    ck_assert_int_eq(an_trainer_set_schedule(b.trainer, changes, 2), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "fc99"));
    memset(changes[1].layer, 'x', sizeof changes[1].layer);
    ck_assert_int_eq(an_trainer_set_schedule(b.trainer, changes, 2), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_trainer_set_schedule(b.trainer, NULL, 0), AN_OK);
    c.plateau_factor = 1;
    ck_assert_int_eq(an_recipe_apply("nonesuch", 0, NULL, &c, NULL), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "nonesuch"));
    bench_close(&b);
}
END_TEST

/* A config that is refused leaves those before it as they were. */
START_TEST(a_recipe_applies_to_all_or_none)
{
    an_model_config m = small_config(AN_ARCH_CIFAR10);
    an_trainer_config t = training();
    an_loader_config l;

    an_loader_config_init(&l, sizeof l);
    l.size = 3;
    ck_assert_int_ne(an_recipe_apply("krizhevsky2012", 0, &m, &t, &l), AN_OK);
    ck_assert_uint_eq(m.arch, AN_ARCH_CIFAR10);
    ck_assert_float_eq(t.bias_rate, training().bias_rate);
}
END_TEST

/* Rates of no number that a file could hold, and an epoch that no loop should count up
 * to. */
START_TEST(schedules_survive_any_epoch_and_any_negative_rate)
{
    an_trainer_config c = training();
    an_rate_change changes[2];
    char name[64];
    bench b;

    open_bench(&b, &c);
    an_rate_change_init(&changes[0], sizeof changes[0]);
    an_rate_change_init(&changes[1], sizeof changes[1]);
    changes[0].rate = 0.5f;
    changes[0].bias_rate = -INFINITY;
    changes[1].epoch = UINT32_MAX;
    changes[1].rate = -1e30f;
    changes[1].bias_rate = 0.25f;
    b.trainer->at.epoch = UINT32_MAX; /* as a file may say */
    ck_assert_int_eq(an_trainer_set_schedule(b.trainer, changes, 2), AN_OK);
    check_rates(b.trainer, "conv1", 0.5f, 0.25f);
    scratch_file(name);
    ck_assert_msg(an_trainer_save(b.trainer, name) == AN_OK, "%s", an_error_message());
    an_trainer_destroy(b.trainer);
    ck_assert_msg(an_trainer_load(&b.trainer, b.model, name) == AN_OK, "%s",
                  an_error_message());
    check_rates(b.trainer, "conv1", 0.5f, 0.25f);
    remove(name);
    bench_close(&b);
}
END_TEST

/* By the names and numbers; each applies to all three configs and makes a trainer. */
START_TEST(every_recipe_works)
{
    uint32_t i, again, count = 0;
    an_recipe_info info;

    an_recipe_info_init(&info, sizeof info);
    for (i = 0; an_recipe_describe(i, &info) == AN_OK; i++, count++) {
        an_trainer_config t = training();
        an_loader_config l;
        an_model_config m = small_config(AN_ARCH_PAPER);
        bench b;

        an_loader_config_init(&l, sizeof l);
        ck_assert_int_eq(an_recipe_find(info.name, &again), AN_OK);
        ck_assert_uint_eq(again, i);
        ck_assert_uint_gt(strlen(info.summary), 20);
        ck_assert_uint_lt(strlen(info.summary), sizeof info.summary - 1);
        ck_assert_int_eq(an_recipe_apply(info.name, 0, &m, &t, &l), AN_OK);
        ck_assert_uint_eq(m.classes, 10); /* the rest stays */
        ck_assert_uint_eq(t.batch, l.batch);
        ck_assert_uint_eq(t.seed, 11);
        t.batch = BATCH;
        open_bench(&b, &t);
        ck_assert_msg(an_recipe_schedule(info.name, b.trainer, 10, 0.005f) == AN_OK, "%s",
                      an_error_message());
        bench_step(&b);
        end_epochs(b.trainer, 10);
        bench_step(&b);
        bench_close(&b);
    }
    ck_assert_uint_eq(count, 4);
}
END_TEST

START_TEST(fine_tuning_is_slow_below_and_fast_above)
{
    an_trainer_config c = training();
    bench b;

    ck_assert_int_eq(an_recipe_apply("fine-tune", 0, NULL, &c, NULL), AN_OK);
    c.batch = BATCH;
    open_bench(&b, &c);
    ck_assert_int_eq(an_recipe_schedule("fine-tune", b.trainer, 0, 0), AN_OK);
    check_rates(b.trainer, "conv1", 0, 0);
    check_rates(b.trainer, "conv2", 0.001f, 0.002f);
    check_rates(b.trainer, "fc4", 0.01f, 0.02f); /* the last, whatever its name */
    end_epochs(b.trainer, 14);
    check_rates(b.trainer, "conv2", 0.0001f, 0.0002f);
    check_rates(b.trainer, "fc4", 0.001f, 0.002f);
    bench_close(&b);
}
END_TEST

/* --- checkpoints ------------------------------------------------------------------- */

START_TEST(all_of_it_survives_a_checkpoint)
{
    float mean[3 * 32 * 32], got[3 * 32 * 32];
    an_trainer_config c = training();
    an_preprocessing p, q;
    an_epoch_info info;
    char name[64];
    uint32_t epoch, steps;
    int i;
    bench a, b;

    c.micro_batch = 3;
    c.plateau_drops = 2;
    c.plateau_patience = 1;
    open_bench(&a, &c);
    an_preprocessing_init(&p, sizeof p);
    an_preprocessing_init(&q, sizeof q);
    ck_assert_int_eq(an_model_get_preprocessing(a.model, &p), AN_OK);
    p.fit = AN_FIT_WARP;
    p.mean_moves = 1;
    p.colour_deviation[1] = 12.5f;
    p.colour_axis[2][0] = -0.25f;
    ck_assert_int_eq(an_model_set_preprocessing(a.model, &p), AN_OK);
    noise_floats(mean, 3 * 32 * 32, 8, 1);
    ck_assert_int_eq(an_model_set_mean_image(a.model, mean, 3 * 32 * 32), AN_OK);
    ck_assert_int_eq(an_trainer_set_layer_rates(a.trainer, "conv2", 0.003f, 0), AN_OK);
    ck_assert_int_eq(an_recipe_schedule("krizhevsky2012", a.trainer, 10, 0), AN_OK);
    an_epoch_info_init(&info, sizeof info);
    bench_step(&a);
    for (i = 0; i < 3; i++)
        ck_assert_int_eq(an_trainer_end_epoch(a.trainer, 0.5, &info), AN_OK);
    ck_assert_uint_eq(info.drops, 2);
    bench_step(&a);
    bench_step(&a);
    scratch_file(name);
    expect_ok(an_trainer_save(a.trainer, name));
    bench_resume(&b, &a, name);
    ck_assert_int_eq(an_model_get_preprocessing(b.model, &q), AN_OK);
    ck_assert_mem_eq(&p, &q, sizeof p);
    ck_assert_int_eq(an_model_get_mean_image(b.model, got, 3 * 32 * 32), AN_OK);
    ck_assert_mem_eq(mean, got, sizeof mean);
    ck_assert_int_eq(an_trainer_epoch(b.trainer, &epoch, &steps), AN_OK);
    ck_assert_uint_eq(epoch, 3);
    ck_assert_uint_eq(steps, 2);
    for (i = 0; i < 7; i++) { /* through the schedule's later changes */
        an_epoch_info x, y;
        float r[4];

        an_epoch_info_init(&x, sizeof x);
        an_epoch_info_init(&y, sizeof y);
        ck_assert_double_eq(bench_step(&a), bench_step(&b));
        ck_assert_double_eq(parameters_apart(a.model, b.model), 0);
        ck_assert_int_eq(an_trainer_end_epoch(a.trainer, 0.6, &x), AN_OK);
        ck_assert_int_eq(an_trainer_end_epoch(b.trainer, 0.6, &y), AN_OK);
        ck_assert_mem_eq(&x, &y, sizeof x);
        an_trainer_get_layer_rates(a.trainer, "conv2", &r[0], &r[1]);
        an_trainer_get_layer_rates(b.trainer, "conv2", &r[2], &r[3]);
        ck_assert_float_eq(r[0], r[2]);
        ck_assert_float_eq(r[1], r[3]);
    }
    remove(name);
    bench_close(&a);
    bench_close(&b);
}
END_TEST

/* Written before a trainer kept epochs, rates of layers and a schedule: three steps on
 * made-up images; the fourth has this loss. */
START_TEST(a_file_without_a_schedule_goes_on)
{
    static float x[4 * NUMBERS];
    static const int32_t labels[4] = {0, 1, 2, 3};
    const char *name = "test/golden/trainer-early.safetensors";
    uint8_t note[AN_TRAINER_NOTE_BYTES];
    an_preprocessing p;
    an_step_stats stats;
    an_context *ctx;
    an_model *model;
    an_trainer *trainer;
    uint32_t i;

    for (i = 0; i < 4 * NUMBERS; i++)
        x[i] = (float)((i * 2654435761u >> 24) % 256) / 64 - 2;
    ck_assert_int_eq(an_context_create(&ctx, NULL), AN_OK);
    ck_assert_msg(an_model_load(&model, ctx, name, NULL) == AN_OK, "%s",
                  an_error_message());
    ck_assert_msg(an_trainer_load(&trainer, model, name) == AN_OK, "%s",
                  an_error_message());
    an_preprocessing_init(&p, sizeof p);
    ck_assert_int_eq(an_model_get_preprocessing(model, &p), AN_OK);
    ck_assert_uint_eq(p.fit, AN_FIT_CROP);
    ck_assert_float_eq_tol(p.colour_deviation[0], 121.7801f, 1e-3f);
    ck_assert_int_eq(an_trainer_get_note(trainer, note), AN_OK);
    ck_assert_uint_eq(note[63], 7);
    ck_assert_uint_eq(an_trainer_iteration(trainer), 3);
    an_step_stats_init(&stats, sizeof stats);
    ck_assert_int_eq(an_train_step(trainer, x, labels, 4, &stats), AN_OK);
    ck_assert_double_eq_tol(stats.loss, 1.31162287, 1e-4);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* --- from another model ------------------------------------------------------------ */

START_TEST(a_model_takes_what_fits_of_another)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_model *from, *to, *other;
    an_preprocessing p, q;
    an_context *ctx;
    uint32_t i, copied = 77;
    float *values;
    size_t count;

    ck_assert_int_eq(an_context_create(&ctx, NULL), AN_OK);
    ck_assert_int_eq(an_model_create(&from, ctx, &config), AN_OK);
    an_preprocessing_init(&p, sizeof p);
    an_preprocessing_init(&q, sizeof q);
    ck_assert_int_eq(an_model_get_preprocessing(from, &p), AN_OK);
    p.mean[1] = 33;
    ck_assert_int_eq(an_model_set_preprocessing(from, &p), AN_OK);
    config.classes = 5;
    config.seed = 99;
    ck_assert_int_eq(an_model_create(&to, ctx, &config), AN_OK);
    ck_assert_int_eq(an_model_create(&other, ctx, &config), AN_OK);
    ck_assert_int_eq(an_model_transfer(to, from, NULL, &copied), AN_OK);
    ck_assert_uint_eq(copied, 6);
    for (i = 0; i < 6; i++) ck_assert_double_eq(parameter_apart(to, from, i), 0);
    for (i = 6; i < 8; i++)
        ck_assert_double_eq(parameter_apart(to, other, i), 0); /* as made */
    ck_assert_int_eq(an_model_get_preprocessing(to, &q), AN_OK);
    ck_assert_mem_eq(&p, &q, sizeof p);
    /* As many classes, but others. */
    values = parameter_of(to, 6, &count);
    values[0] += 1;
    ck_assert_int_eq(an_parameter_set(to, 6, values, count), AN_OK);
    free(values);
    ck_assert_int_eq(an_model_transfer(other, to, "fc4", &copied), AN_OK);
    ck_assert_uint_eq(copied, 6);
    ck_assert_double_eq(parameter_apart(other, to, 0), 0);
    ck_assert_double_gt(parameter_apart(other, to, 6), 0.1);
    ck_assert_int_eq(an_model_transfer(other, to, "fc9", &copied), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "skip is \"fc9\""));
    an_model_destroy(other);
    config.width = 0.5f;
    config.classes = 7;
    ck_assert_int_eq(an_model_create(&other, ctx, &config), AN_OK);
    copied = 77;
    ck_assert_int_eq(an_model_transfer(other, from, NULL, &copied), AN_ERROR_STATE);
    ck_assert_uint_eq(copied, 77);
    ck_assert_int_eq(an_model_transfer(from, from, NULL, NULL), AN_ERROR_ARGUMENT);
    an_model_destroy(other);
    an_model_destroy(to);

    /* The sixth convolution: all but it and what reads it. */
    config = small_config(AN_ARCH_PAPER);
    an_model_destroy(from);
    ck_assert_int_eq(an_model_create(&from, ctx, &config), AN_OK);
    config.extra_conv = 1;
    ck_assert_int_eq(an_model_create(&to, ctx, &config), AN_OK);
    ck_assert_int_eq(an_model_transfer(to, from, NULL, &copied), AN_OK);
    ck_assert_uint_ge(copied, 14);
    an_model_destroy(from);
    an_model_destroy(to);
    an_context_destroy(ctx);
}
END_TEST

Suite *recipes_suite(void)
{
    Suite *suite = suite_create("recipes");
    TCase *tc = tcase_create("recipes");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, pieces_make_the_same_step, 0, 2);
    tcase_add_test(tc, frozen_layers_stay_and_the_rest_does_not_notice);
    tcase_add_test(tc, a_layers_own_rate_is_used);
    tcase_add_test(tc, krizhevsky2012_changes_its_rates_as_logged);
    tcase_add_test(tc, the_papers_plateau_drops_three_times);
    tcase_add_test(tc, bad_schedules_are_refused_by_name);
    tcase_add_test(tc, a_recipe_applies_to_all_or_none);
    tcase_add_test(tc, schedules_survive_any_epoch_and_any_negative_rate);
    tcase_add_test(tc, every_recipe_works);
    tcase_add_test(tc, fine_tuning_is_slow_below_and_fast_above);
    tcase_add_test(tc, all_of_it_survives_a_checkpoint);
    tcase_add_test(tc, a_file_without_a_schedule_goes_on);
    tcase_add_test(tc, a_model_takes_what_fits_of_another);
    suite_add_tcase(suite, tc);
    return suite;
}
