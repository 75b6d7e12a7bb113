/*
 * test_transfer.c - what a model takes from another one: by names and shapes, but for one
 * layer; and when its preprocessing is taken along.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "small.h"
#include "test.h"
#include "trials.h"

static an_context *ctx;

static void setup(void)
{
    ctx = small_context(1, AN_CPU_PATH_BEST);
}

static void teardown(void)
{
    an_context_destroy(ctx);
}

static an_model *model_of(const an_model_config *config)
{
    an_model *model = NULL;

    expect_ok(an_model_create(&model, ctx, config));
    return model;
}

static an_parameter_info info_of(const an_model *model, uint32_t index)
{
    an_parameter_info info;

    an_parameter_info_init(&info, sizeof info);
    expect_ok(an_parameter_describe(model, index, &info));
    return info;
}

/* The other model's parameter of that name and shape; -1: there is none. */
static int partner_of(const an_parameter_info *info, const an_model *from)
{
    an_parameter_info other;
    uint32_t index;

    if (an_parameter_find(from, info->name, &index) != AN_OK) return -1;
    other = info_of(from, index);
    return other.dims == info->dims &&
                   memcmp(other.shape, info->shape, sizeof info->shape) == 0
               ? (int)index
               : -1;
}

static int same_values(const an_model *a, uint32_t i, const an_model *b, uint32_t j)
{
    size_t count, again;
    float *x = parameter_of(a, i, &count), *y = parameter_of(b, j, &again);
    int same = count == again && memcmp(x, y, count * sizeof *x) == 0;

    free(x);
    free(y);
    return same;
}

static int is_taken(const an_parameter_info *info, const an_model *from, const char *skip)
{
    return partner_of(info, from) >= 0 &&
           (skip == NULL || strcmp(info->layer, skip) != 0);
}

/* Transfers, and looks at every parameter: it is the other's where that has one of the
 * name and shape and the layer is not skipped, else what it was. The number copied is
 * told; where that is 0 the call is refused. */
static void expect_transfer(const an_model_config *to_config, const an_model *from,
                            const char *skip)
{
    an_model *to = model_of(to_config), *was = model_of(to_config);
    const char *but = skip == NULL ? "none" : skip;
    uint32_t copied = 0, want = 0, i;

    for (i = 0; i < to->net.plan->param_count; i++) {
        an_parameter_info info = info_of(to, i);

        want += (uint32_t)is_taken(&info, from, skip);
    }
    expect_count(an_model_transfer(to, from, skip, &copied),
                 want > 0 ? AN_OK : AN_ERROR_STATE, "%u tensors fit but %s", want, but);
    expect_count(copied, want, "tensors copied, skip %s", but);
    for (i = 0; i < to->net.plan->param_count; i++) {
        an_parameter_info info = info_of(to, i);
        int taken = is_taken(&info, from, skip);

        if (taken)
            expect_count(same_values(to, i, from, (uint32_t)partner_of(&info, from)), 1,
                         "%s is the other's, skip %s", info.name, but);
        expect_count(same_values(to, i, was, i), !taken,
                     "%s is as it was where not taken, skip %s", info.name, but);
    }
    an_model_destroy(to);
    an_model_destroy(was);
}

/* Networks that differ in what they have, and what they have of the same name. */
enum { KINDS = 9 };

static an_model_config kind_of(uint32_t kind)
{
    an_model_config c = small_config(AN_ARCH_PAPER);

    c.initialisation = AN_INIT_FAN_IN; /* biases, too, are no two alike */
    if (kind == 1) c.classes = 7;
    if (kind == 2) c.extra_conv = 1;
    if (kind == 3) c.remove_conv = 3;
    if (kind == 4) c.remove_conv = 2, c.extra_conv = 1;
    if (kind == 5) c.groups = 1;
    if (kind == 6) c.towers = 2;
    if (kind == 7) c.width = 0.08f; /* only the last bias has the same shape */
    if (kind == 8) c.arch = AN_ARCH_CAFFENET, c.image_size = 79;
    c.seed = 100 + kind;
    return c;
}

/* Each with each, and every layer of either skipped: a layer that the taker does not have
 * is no layer, whatever the giver has. */
START_TEST(every_layer_may_be_left_out)
{
    uint32_t kind, i;
    an_model_config from_config = kind_of((uint32_t)_i);
    an_model *from = model_of(&from_config);

    for (kind = 0; kind < KINDS; kind++) {
        an_model_config to_config = kind_of(kind);
        an_model *to = model_of(&to_config);
        uint32_t copied = 77;

        to_config.seed = 7;
        expect_transfer(&to_config, from, NULL);
        for (i = 0; i < to->net.plan->row.layers; i++)
            expect_transfer(&to_config, from, to->net.plan->layers[i].name);
        for (i = 0; i < from->net.plan->row.layers; i++) {
            const char *name = from->net.plan->layers[i].name;
            uint32_t index, found = 0;

            for (index = 0; index < to->net.plan->row.layers; index++)
                found |= strcmp(to->net.plan->layers[index].name, name) == 0;
            if (found) continue;
            expect_refused(an_model_transfer(to, from, name, &copied), AN_ERROR_ARGUMENT,
                           "skip is");
            expect_count(copied, 77, "of a call that failed");
        }
        an_model_destroy(to);
    }
    an_model_destroy(from);
}
END_TEST

/* --- preprocessing ----------------------------------------------------------------- */

/* As different from a preset's as it may be; a mean image if wanted. */
static void prepare(an_model *model, uint32_t seed, int mean_image)
{
    uint32_t size = model->net.plan->config.image_size, i, j;
    an_preprocessing p;

    an_preprocessing_init(&p, sizeof p);
    p.side = size + 1 + trial_below(&seed, 9);
    p.bgr = trial_below(&seed, 2);
    p.fit = trial_below(&seed, 2);
    p.mean_moves = trial_below(&seed, 2);
    for (i = 0; i < 3; i++) {
        p.mean[i] = trial_float(&seed, 0, 255);
        p.scale[i] = trial_float(&seed, 0.1f, 2);
        p.colour_deviation[i] = trial_float(&seed, 0, 99);
        for (j = 0; j < 3; j++) p.colour_axis[i][j] = trial_float(&seed, -1, 1);
    }
    expect_ok(an_model_set_mean_image(model, NULL, 0));
    expect_ok(an_model_set_preprocessing(model, &p));
    if (mean_image) {
        size_t count = (size_t)3 * p.side * p.side;
        float *mean = malloc(count * sizeof *mean);

        noise_floats(mean, count, seed, 100);
        expect_ok(an_model_set_mean_image(model, mean, count));
        free(mean);
    }
}

/* It is taken whole, with the mean image or with none, where crops are as large; else
 * nothing of it. Class names are the taker's own. */
START_TEST(preprocessing_is_taken_where_crops_are_as_large)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    int of_from = _i & 1, of_to = _i >> 1 & 1, same = _i >> 2 & 1;
    an_model *from = model_of(&config), *to, *was;

    if (!same) config.image_size = 34;
    to = model_of(&config), was = model_of(&config);
    prepare(from, 3, of_from);
    prepare(to, 4, of_to), prepare(was, 4, of_to);
    expect_ok(an_model_set_class_name(from, 2, "theirs"));
    expect_ok(an_model_set_class_name(to, 3, "ours"));
    expect_ok(an_model_set_class_name(was, 3, "ours"));
    expect_ok(an_model_transfer(to, from, NULL, NULL));
    same_preprocessing(to, same ? from : was, same ? "taken" : "kept");
    same_class_names(to, was, "names of classes");
    an_model_destroy(from);
    an_model_destroy(to);
    an_model_destroy(was);
}
END_TEST

/* --- what is refused --------------------------------------------------------------- */

START_TEST(what_cannot_be_taken_changes_nothing)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_model *to = model_of(&config), *was = model_of(&config), *from, *other;
    an_trainer *trainer;
    uint32_t copied = 77;

    config.seed = 9;
    from = model_of(&config);
    config.width = 0.5f;
    config.classes = 4;
    other = model_of(&config); /* no shape is the same */
    prepare(from, 3, 1), prepare(other, 5, 1);
    expect_refused(an_model_transfer(to, other, NULL, &copied), AN_ERROR_STATE,
                   "no parameter of this model's names and shapes");
    expect_refused(an_model_transfer(to, from, "conv4", &copied), AN_ERROR_ARGUMENT,
                   "skip is \"conv4\"");
    expect_refused(an_model_transfer(to, to, NULL, &copied), AN_ERROR_ARGUMENT, "itself");
    expect_ok(an_trainer_create(&trainer, to, NULL));
    expect_refused(an_model_transfer(to, from, NULL, &copied), AN_ERROR_STATE,
                   "has a trainer");
    an_trainer_destroy(trainer);
    expect_count(copied, 77, "of calls that failed");
    same_parameters(to, was, 0, "calls that failed");
    same_preprocessing(to, was, "calls that failed");
    /* The giver may have a trainer. */
    expect_ok(an_trainer_create(&trainer, from, NULL));
    expect_ok(an_model_transfer(to, from, NULL, NULL));
    same_parameters(to, from, 0, "of a model with a trainer");
    an_trainer_destroy(trainer);
    an_model_destroy(to);
    an_model_destroy(was);
    an_model_destroy(from);
    an_model_destroy(other);
}
END_TEST

Suite *transfer_suite(void)
{
    Suite *suite = suite_create("transfer");
    TCase *tc = tcase_create("transfer");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, every_layer_may_be_left_out, 0, KINDS);
    tcase_add_loop_test(tc, preprocessing_is_taken_where_crops_are_as_large, 0, 8);
    tcase_add_test(tc, what_cannot_be_taken_changes_nothing);
    suite_add_tcase(suite, tc);
    return suite;
}
