/*
 * test_trainer_config.c - a trainer's config and rates: what is in force where, what is
 * refused, what a frozen layer does, and what an update makes of all of it.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "small.h"
#include "test.h"
#include "trials.h"

/* CIFAR10's four layers, with few maps. */
static const char *const layers[] = {"conv1", "conv2", "conv3", "fc4"};
enum { LAYERS = 4 };

static void open_bench(bench *b, const an_trainer_config *training)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);

    config.width = 0.1f;
    bench_open(b, &config, training, 1);
}

static an_trainer_config config_of(const an_trainer *trainer)
{
    an_trainer_config c;

    an_trainer_config_init(&c, sizeof c);
    expect_ok(an_trainer_get_config(trainer, &c));
    return c;
}

/* --- the config -------------------------------------------------------------------- */

/* The paper, section 5, and what the header says of the rest. */
START_TEST(without_a_config_the_defaults_hold)
{
    an_trainer_config c;
    bench b;

    open_bench(&b, NULL);
    expect_ok(an_trainer_create(&b.trainer, b.model, NULL));
    c = config_of(b.trainer);
    expect_count(c.batch, 128, "default");
    expect_count(c.augment, AN_AUGMENT_CROP | AN_AUGMENT_MIRROR, "default");
    expect_number(c.rate, 0.01f, 0, "default");
    expect_number(c.bias_rate, 0.01f, 0, "default of cifar10");
    expect_number(c.momentum, 0.9f, 0, "default");
    expect_number(c.weight_decay, 0.0005f, 0, "default");
    expect_number(c.bias_decay, 0, 0, "default of cifar10");
    expect_count(c.seed, 0, "default");
    expect_count(c.micro_batch, 128, "default, all of the batch");
    ck_assert_ptr_null(b.trainer->micro_gradient.part[0][0].buffer);
    expect_count(c.plateau_drops, 0, "default");
    expect_count(c.plateau_patience, 5, "default");
    expect_number(c.plateau_factor, 0.1f, 0, "default");
    expect_number(c.plateau_gain, 0, 0, "default");
    bench_close(&b);
}
END_TEST

START_TEST(every_field_of_a_config_is_taken)
{
    an_trainer_config given, c;
    bench b;

    an_trainer_config_init(&given, sizeof given);
    given.batch = 7;
    given.augment = AN_AUGMENT_MIRROR;
    given.rate = 0.125f;
    given.bias_rate = 0.375f;
    given.momentum = 0.5f;
    given.weight_decay = 0.0625f;
    given.bias_decay = 0.03125f;
    given.seed = 0xfedcba9876543210u;
    given.micro_batch = 3;
    given.plateau_drops = 4;
    given.plateau_patience = 9;
    given.plateau_factor = 0.75f;
    given.plateau_gain = 0.25f;
    open_bench(&b, &given);
    c = config_of(b.trainer);
    expect_count(c.batch, 7, "as given");
    expect_count(c.augment, AN_AUGMENT_MIRROR, "as given");
    expect_number(c.rate, 0.125f, 0, "as given");
    expect_number(c.bias_rate, 0.375f, 0, "as given");
    expect_number(c.momentum, 0.5f, 0, "as given");
    expect_number(c.weight_decay, 0.0625f, 0, "as given");
    expect_number(c.bias_decay, 0.03125f, 0, "as given");
    expect_count(c.seed, 0xfedcba9876543210u, "as given");
    expect_count(c.micro_batch, 3, "as given");
    expect_count(c.plateau_drops, 4, "as given");
    expect_count(c.plateau_patience, 9, "as given");
    expect_number(c.plateau_factor, 0.75f, 0, "as given");
    expect_number(c.plateau_gain, 0.25f, 0, "as given");
    expect_count(b.trainer->session->exec.batch, 3, "buffers are for a piece");
    ck_assert_ptr_nonnull(
        b.trainer->micro_gradient.part[0][0].buffer); /* one more set of gradients */
    bench_close(&b);
}
END_TEST

/* As the header has it, preset by preset. */
static const struct {
    uint32_t arch;
    double factor;  /* of the rate of biases */
    uint32_t decay; /* 1: biases decay as weights do */
} presets[] = {{AN_ARCH_PAPER, 1, 1},       {AN_ARCH_KRIZHEVSKY2012, 2, 0},
               {AN_ARCH_FLOOR224, 1, 1},    {AN_ARCH_CAFFE_ALEXNET, 2, 0},
               {AN_ARCH_CAFFENET, 2, 0},    {AN_ARCH_OWT2014, 2, 0},
               {AN_ARCH_TORCHVISION, 1, 1}, {AN_ARCH_CIFAR10, 1, 0}};

START_TEST(biases_learn_and_decay_as_the_preset_says)
{
    an_model_config config = small_config(presets[_i].arch);
    const char *name = an_arch_name(presets[_i].arch);
    an_trainer_config given = small_training(2), c;
    bench b;

    given.rate = 0.25f;
    given.weight_decay = 0.125f;
    bench_open(&b, &config, &given, 1);
    c = config_of(b.trainer);
    expect_number(c.bias_rate, 0.25 * presets[_i].factor, 0, "%s, negative", name);
    expect_number(c.bias_decay, presets[_i].decay ? 0.125 : 0, 0, "%s, negative", name);
    expect_ok(an_trainer_set_rates(b.trainer, 0.5f, -0.01f));
    c = config_of(b.trainer);
    expect_number(c.rate, 0.5, 0, "%s, set", name);
    expect_number(c.bias_rate, 0.5 * presets[_i].factor, 0, "%s, negative, set", name);
    expect_ok(an_trainer_set_rates(b.trainer, 0.5f, 0));
    expect_number(config_of(b.trainer).bias_rate, 0, 0, "%s, set to 0", name);
    an_trainer_destroy(b.trainer);

    given.bias_rate = 0; /* numbers like others */
    given.bias_decay = 0;
    expect_ok(an_trainer_create(&b.trainer, b.model, &given));
    c = config_of(b.trainer);
    expect_number(c.bias_rate, 0, 0, "%s, 0", name);
    expect_number(c.bias_decay, 0, 0, "%s, 0", name);
    bench_close(&b);
}
END_TEST

/* A field beyond its limits is named; at them it is taken. */
START_TEST(what_came_with_1_1_has_limits)
{
    static const struct {
        uint32_t micro, patience;
        float factor, gain;
        const char *word; /* null: taken */
    } rows[] = {{0, 1, 0.1f, 0, NULL},
                {8, 1000, 0.999f, 0.999f, NULL},
                {1, 5, 1e-30f, 0, NULL},
                {9, 5, 0.1f, 0, "micro_batch is 9"},
                {0, 0, 0.1f, 0, "plateau_patience is 0"},
                {0, 1001, 0.1f, 0, "plateau_patience is 1001"},
                {0, 5, 0, 0, "plateau_factor is 0"},
                {0, 5, 1, 0, "plateau_factor is 1"},
                {0, 5, -0.5f, 0, "plateau_factor is -0.5"},
                {0, 5, NAN, 0, "plateau_factor"},
                {0, 5, 0.1f, -0.125f, "plateau_gain is -0.125"},
                {0, 5, 0.1f, 1, "plateau_gain is 1"},
                {0, 5, 0.1f, NAN, "plateau_gain"}};
    an_trainer_config c = small_training(8);
    bench b;
    size_t i;

    open_bench(&b, NULL);
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        c.micro_batch = rows[i].micro;
        c.plateau_patience = rows[i].patience;
        c.plateau_factor = rows[i].factor;
        c.plateau_gain = rows[i].gain;
        if (rows[i].word != NULL) {
            expect_refused(an_trainer_create(&b.trainer, b.model, &c), AN_ERROR_ARGUMENT,
                           rows[i].word);
            ck_assert_ptr_null(b.trainer);
            continue;
        }
        expect_ok(an_trainer_create(&b.trainer, b.model, &c));
        an_trainer_destroy(b.trainer);
        b.trainer = NULL;
    }
    bench_close(&b);
}
END_TEST

/* --- rates ------------------------------------------------------------------------- */

static void expect_rates(const an_trainer *trainer, const char *layer, float rate,
                         float bias_rate, const char *what)
{
    float a = -7, b = -7;

    expect_ok(an_trainer_get_layer_rates(trainer, layer, &a, &b));
    expect_number(a, rate, 0, "%s: %s's weights", what, layer);
    expect_number(b, bias_rate, 0, "%s: %s's biases", what, layer);
}

/* Only the two rates are others; what is refused changes neither. */
START_TEST(common_rates_change_alone_and_together)
{
    static const float bad[][2] = {{-0.5f, 1},   {1000.5f, 1}, {NAN, 1},
                                   {1, 1000.5f}, {1, NAN},     {INFINITY, 1}};
    an_trainer_config given = small_training(4), was, now;
    bench b;
    size_t i;

    given.micro_batch = 2;
    given.bias_decay = 0.125f;
    open_bench(&b, &given);
    expect_ok(an_trainer_set_rates(b.trainer, 1000, 0));
    expect_rates(b.trainer, "conv2", 1000, 0, "at their limits");
    expect_ok(an_trainer_set_rates(b.trainer, 0, 1000));
    expect_rates(b.trainer, "conv2", 0, 1000, "at their limits");
    expect_ok(an_trainer_set_rates(b.trainer, 0.5f, 0.75f));
    was = config_of(b.trainer);
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_refused(an_trainer_set_rates(b.trainer, bad[i][0], bad[i][1]),
                       AN_ERROR_ARGUMENT, "rate is");
        expect_rates(b.trainer, "fc4", 0.5f, 0.75f, "after what was refused");
    }
    expect_ok(an_trainer_set_rates(b.trainer, 0.25f, 0.125f));
    now = config_of(b.trainer);
    expect_number(now.rate, 0.25f, 0, "set");
    expect_number(now.bias_rate, 0.125f, 0, "set");
    now.rate = was.rate;
    now.bias_rate = was.bias_rate;
    /* What pads the struct's end is nobody's. */
    expect_bytes(&now, &was, offsetof(an_trainer_config, plateau_gain) + sizeof(float),
                 "all else of the config");
    bench_close(&b);
}
END_TEST

/* Set for each layer apart; a negative one is the common rate, whatever that becomes. */
START_TEST(a_layer_has_its_own_rates_or_the_common_ones)
{
    an_trainer_config given = small_training(4);
    float own[LAYERS][2];
    uint32_t seed = 4, round, i;
    bench b;

    given.rate = 0.5f;
    given.bias_rate = 0.25f;
    open_bench(&b, &given);
    for (i = 0; i < LAYERS; i++) own[i][0] = own[i][1] = -1;
    for (round = 0; round < 60; round++) {
        uint32_t layer = trial_below(&seed, LAYERS), j;
        float rate = 0.5f + (float)round, bias_rate = 0.25f + (float)round;

        for (j = 0; j < 2; j++)
            own[layer][j] = trial_below(&seed, 2) ? trial_float(&seed, 0, 2)
                                                  : -trial_float(&seed, 0.1f, 2);
        expect_ok(an_trainer_set_layer_rates(b.trainer, layers[layer], own[layer][0],
                                             own[layer][1]));
        expect_ok(an_trainer_set_rates(b.trainer, rate, bias_rate));
        for (i = 0; i < LAYERS; i++)
            expect_rates(b.trainer, layers[i], own[i][0] < 0 ? rate : own[i][0],
                         own[i][1] < 0 ? bias_rate : own[i][1], "layers of their own");
        expect_number(config_of(b.trainer).rate, rate, 0, "the common one");
    }
    bench_close(&b);
}
END_TEST

START_TEST(a_layers_rates_that_are_refused_change_nothing)
{
    an_trainer_config given = small_training(4);
    float rate = 5, bias_rate = 6;
    bench b;

    open_bench(&b, &given);
    expect_ok(an_trainer_set_layer_rates(b.trainer, "conv2", 1000, 0.5f));
    expect_refused(an_trainer_set_layer_rates(b.trainer, "conv2", 1000.5f, 0.25f),
                   AN_ERROR_ARGUMENT, "rate is 1000.5");
    expect_refused(an_trainer_set_layer_rates(b.trainer, "conv2", 0.25f, 1000.5f),
                   AN_ERROR_ARGUMENT, "bias_rate is 1000.5");
    expect_refused(an_trainer_set_layer_rates(b.trainer, "conv2", 0.25f, NAN),
                   AN_ERROR_ARGUMENT, "bias_rate");
    expect_refused(an_trainer_set_layer_rates(b.trainer, "conv", 0.25f, 0.25f),
                   AN_ERROR_ARGUMENT, "layer is \"conv\"");
    expect_refused(an_trainer_get_layer_rates(b.trainer, "fc5", &rate, &bias_rate),
                   AN_ERROR_ARGUMENT, "layer is \"fc5\"");
    expect_number(rate, 5, 0, "of no layer");
    expect_number(bias_rate, 6, 0, "of no layer");
    expect_rates(b.trainer, "conv2", 1000, 0.5f, "after what was refused");
    expect_rates(b.trainer, "conv3", 0.01f, 0.01f, "a neighbour");
    bench_close(&b);
}
END_TEST

/* --- frozen layers ----------------------------------------------------------------- */

/* The host may ask for a layer's gradients after a step unless it was frozen in that. */
static void expect_gradients(const an_trainer *trainer, uint32_t layer, int frozen,
                             const char *what)
{
    uint32_t i;

    for (i = 2 * layer; i < 2 * layer + 2; i++) {
        size_t count = trainer->model->net.plan->params[i].count;
        float *g = malloc(count * sizeof *g);
        an_status status = an_trainer_get_gradient(trainer, i, g, count);

        expect_count(status, frozen ? AN_ERROR_STATE : AN_OK, "%s: gradient of %s", what,
                     trainer->model->net.plan->params[i].name);
        free(g);
    }
}

/* With one rate of 0 the layer has gradients, and the parameter of the other rate
 * learns. */
START_TEST(a_layer_is_frozen_by_both_rates_alone)
{
    static const struct {
        float rate, bias_rate;
        int weights, biases; /* whether they move */
    } rows[] = {{0, 0.5f, 0, 1}, {0.5f, 0, 1, 0}, {0, -1, 0, 1}, {-1, 0, 1, 0}};
    an_trainer_config given = small_training(4);
    uint32_t layer;

    for (layer = 0; layer < LAYERS; layer++) {
        bench b, untouched;

        open_bench(&b, &given);
        open_bench(&untouched, &given);
        expect_ok(an_trainer_set_layer_rates(b.trainer, layers[layer], rows[_i].rate,
                                             rows[_i].bias_rate));
        bench_step(&b);
        expect_gradients(b.trainer, layer, 0, layers[layer]);
        expect_count(parameter_apart(b.model, untouched.model, 2 * layer) > 0,
                     rows[_i].weights, "%s's weights, row %d", layers[layer], _i);
        expect_count(parameter_apart(b.model, untouched.model, 2 * layer + 1) > 0,
                     rows[_i].biases, "%s's biases, row %d", layers[layer], _i);
        bench_close(&b);
        bench_close(&untouched);
    }
}
END_TEST

/* Common rates of 0 keep parameters where they are, but freeze nothing. */
START_TEST(common_rates_of_0_freeze_nothing)
{
    an_trainer_config given = small_training(4);
    uint32_t layer;
    bench b, untouched;

    given.rate = given.bias_rate = 0;
    open_bench(&b, &given);
    open_bench(&untouched, &given);
    bench_steps(&b, 2);
    for (layer = 0; layer < LAYERS; layer++)
        expect_gradients(b.trainer, layer, 0, "0, 0");
    same_parameters(b.model, untouched.model, 0, "rates of 0");
    same_velocities(b.trainer, untouched.trainer, 0, "rates of 0");
    bench_close(&b);
    bench_close(&untouched);
}
END_TEST

/* Any layers frozen, of a whole network and of one in two towers: they stay, velocities
 * too, and the others take the very step that they take with nothing frozen. */
START_TEST(any_layers_may_be_frozen)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    an_trainer_config given = small_training(2);
    bench free_, start;
    uint32_t seed = 3, round, i;

    config.towers = (uint32_t)_i;
    bench_open(&free_, &config, &given, 1);
    bench_open(&start, &config, &given, 1);
    bench_step(&free_);
    for (round = 0; round < 8; round++) {
        uint32_t frozen = round == 0 ? 0xff : round == 1 ? 0x7f : trial_below(&seed, 256);
        bench b;

        bench_open(&b, &config, &given, 1);
        for (i = 0; i < 8; i++)
            if (frozen >> i & 1)
                expect_ok(an_trainer_set_layer_rates(
                    b.trainer, b.model->net.plan->layers[i].name, 0, 0));
        bench_step(&b);
        for (i = 0; i < 8; i++) {
            const an_model *wanted = frozen >> i & 1 ? start.model : free_.model;

            expect_number(parameter_apart(b.model, wanted, 2 * i), 0, 0,
                          "frozen %x, %d towers: layer %u's weights", frozen, _i, i);
            expect_number(parameter_apart(b.model, wanted, 2 * i + 1), 0, 0,
                          "frozen %x, %d towers: layer %u's biases", frozen, _i, i);
            expect_gradients(b.trainer, i, (int)(frozen >> i & 1), "any frozen");
        }
        bench_close(&b);
    }
    bench_close(&free_);
    bench_close(&start);
}
END_TEST

/* --- the update -------------------------------------------------------------------- */

typedef struct account { /* of a parameter, in double precision */
    double *w, *v;
    size_t count;
} account;

static void account_take(account *a, const an_trainer *trainer, uint32_t index)
{
    float *w = parameter_of(trainer->model, index, &a->count);
    float *v = velocity_of(trainer, index, &a->count);
    size_t i;

    a->w = malloc(a->count * sizeof *a->w);
    a->v = malloc(a->count * sizeof *a->v);
    for (i = 0; i < a->count; i++) a->w[i] = (double)w[i], a->v[i] = (double)v[i];
    free(w);
    free(v);
}

/* v = momentum v - decay rate w - rate g; w = w + v: the paper, 5. Rate 0: both stay. */
static void account_step(account *a, const an_trainer_config *c, int bias, double rate,
                         const float *g)
{
    double decay = (double)(bias ? c->bias_decay : c->weight_decay);
    size_t i;

    for (i = 0; i < a->count && rate != 0; i++) {
        a->v[i] =
            (double)c->momentum * a->v[i] - decay * rate * a->w[i] - rate * (double)g[i];
        a->w[i] += a->v[i];
    }
}

/* Within 1e-6 of a tensor's largest number, which is float32's rounding; with a rate of 0
 * to the bit. */
static void account_check(account *a, const an_trainer *trainer, uint32_t index,
                          double rate)
{
    size_t count, i;
    float *w = parameter_of(trainer->model, index, &count);
    float *v = velocity_of(trainer, index, &count);
    float *want = malloc(count * sizeof *want);
    double bound = rate == 0 ? 0 : 1e-6;

    for (i = 0; i < count; i++) want[i] = (float)a->w[i];
    expect_floats(w, want, count, bound, "parameter %u, rate %g", index, rate);
    for (i = 0; i < count; i++) want[i] = (float)a->v[i];
    expect_floats(v, want, count, bound, "velocity %u, rate %g", index, rate);
    free(w);
    free(v);
    free(want);
    free(a->w);
    free(a->v);
}

/* Rates of every kind, others before each step; momentum and both decays unlike the
 * defaults. */
START_TEST(the_update_uses_the_rates_in_force)
{
    an_trainer_config c = small_training(3);
    float own[LAYERS][2];
    uint32_t seed = 8, step, i;
    bench b;

    c.rate = 0.03f;
    c.bias_rate = 0.06f;
    c.momentum = 0.7f;
    c.weight_decay = 0.02f;
    c.bias_decay = 0.3f;
    open_bench(&b, &c);
    for (step = 0; step < 6; step++) {
        account a[2 * LAYERS];

        for (i = 0; i < LAYERS; i++) {
            uint32_t kind = trial_below(&seed, 4);

            own[i][0] = kind == 0 ? -1 : trial_float(&seed, 0.01f, 0.1f);
            own[i][1] = kind == 1 ? -1 : trial_float(&seed, 0.01f, 0.1f);
            if (kind == 2) own[i][step % 2] = 0;
            expect_ok(
                an_trainer_set_layer_rates(b.trainer, layers[i], own[i][0], own[i][1]));
        }
        for (i = 0; i < 2 * LAYERS; i++) account_take(&a[i], b.trainer, i);
        bench_step(&b);
        for (i = 0; i < 2 * LAYERS; i++) {
            float mine = own[i / 2][i % 2], common = i % 2 ? c.bias_rate : c.rate;
            double rate = (double)(mine < 0 ? common : mine);
            size_t count;
            float *g = gradient_of(b.trainer, i, &count);

            account_step(&a[i], &c, (int)(i % 2), rate, g);
            account_check(&a[i], b.trainer, i, rate);
            free(g);
        }
    }
    bench_close(&b);
}
END_TEST

/* Of a parameter that there is, with as many numbers as it has. */
START_TEST(gradients_are_asked_for_by_number)
{
    an_trainer_config given = small_training(4);
    size_t count;
    float *g, was;
    bench b;

    open_bench(&b, &given);
    bench_step(&b);
    g = gradient_of(b.trainer, 7, &count);
    was = g[0];
    expect_refused(an_trainer_get_gradient(b.trainer, 8, g, count), AN_ERROR_ARGUMENT,
                   "index is 8: the model has 8 parameters");
    expect_refused(an_trainer_get_gradient(b.trainer, 7, g, count + 1), AN_ERROR_ARGUMENT,
                   "count is 11: fc4.bias has 10 numbers");
    expect_refused(an_trainer_get_gradient(b.trainer, 7, g, count - 1), AN_ERROR_ARGUMENT,
                   "count is 9");
    expect_number(g[0], was, 0, "of calls that failed");
    free(g);
    bench_close(&b);
}
END_TEST

/* --- what else a trainer keeps ----------------------------------------------------- */

START_TEST(a_note_is_the_hosts)
{
    uint8_t zero[AN_TRAINER_NOTE_BYTES] = {0}, note[AN_TRAINER_NOTE_BYTES],
            got[AN_TRAINER_NOTE_BYTES];
    an_trainer_config given = small_training(4);
    bench b;

    open_bench(&b, &given);
    memset(got, 0xff, sizeof got);
    expect_ok(an_trainer_get_note(b.trainer, got));
    expect_bytes(got, zero, sizeof got, "a new trainer's note");
    noise_bytes(note, sizeof note, 6);
    expect_ok(an_trainer_set_note(b.trainer, note));
    bench_step(&b);
    expect_ok(an_trainer_get_note(b.trainer, got));
    expect_bytes(got, note, sizeof got, "a note");
    bench_close(&b);
}
END_TEST

/* One at a time: the next may come when the last has gone. */
START_TEST(a_model_has_one_trainer_at_a_time)
{
    an_trainer_config given = small_training(4);
    an_trainer *second = NULL;
    bench b;

    open_bench(&b, &given);
    expect_refused(an_trainer_create(&second, b.model, &given), AN_ERROR_STATE,
                   "has a trainer");
    ck_assert_ptr_null(second);
    an_trainer_destroy(b.trainer);
    expect_ok(an_trainer_create(&b.trainer, b.model, &given));
    expect_count(an_trainer_iteration(b.trainer), 0, "a new trainer");
    bench_step(&b);
    bench_close(&b);
}
END_TEST

Suite *trainer_config_suite(void)
{
    Suite *suite = suite_create("trainer_config");
    TCase *tc = tcase_create("trainer config");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, without_a_config_the_defaults_hold);
    tcase_add_test(tc, every_field_of_a_config_is_taken);
    tcase_add_loop_test(tc, biases_learn_and_decay_as_the_preset_says, 0,
                        sizeof presets / sizeof presets[0]);
    tcase_add_test(tc, what_came_with_1_1_has_limits);
    tcase_add_test(tc, common_rates_change_alone_and_together);
    tcase_add_test(tc, a_layer_has_its_own_rates_or_the_common_ones);
    tcase_add_test(tc, a_layers_rates_that_are_refused_change_nothing);
    tcase_add_loop_test(tc, a_layer_is_frozen_by_both_rates_alone, 0, 4);
    tcase_add_test(tc, common_rates_of_0_freeze_nothing);
    tcase_add_loop_test(tc, any_layers_may_be_frozen, 1, 3);
    tcase_add_test(tc, the_update_uses_the_rates_in_force);
    tcase_add_test(tc, gradients_are_asked_for_by_number);
    tcase_add_test(tc, a_note_is_the_hosts);
    tcase_add_test(tc, a_model_has_one_trainer_at_a_time);
    suite_add_tcase(suite, tc);
    return suite;
}
