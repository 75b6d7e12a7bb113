/*
 * test_schedule.c - rates from epoch to epoch: changes made beforehand, drops when the
 * validation error stops falling, and what is told of both. Each against an account of
 * its own.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "memfile.h"
#include "small.h"
#include "test.h"
#include "trials.h"

static const char *const layers[] = {"conv1", "conv2", "conv3", "fc4"};
enum { LAYERS = 4 };

static void open_bench(bench *b, const an_trainer_config *training)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);

    config.width = 0.1f;
    bench_open(b, &config, training, 1);
}

static an_rate_change change_of(uint32_t epoch, const char *layer, float rate,
                                float bias_rate)
{
    an_rate_change c;

    an_rate_change_init(&c, sizeof c);
    c.epoch = epoch;
    snprintf(c.layer, sizeof c.layer, "%s", layer);
    c.rate = rate;
    c.bias_rate = bias_rate;
    return c;
}

static an_epoch_info end_epoch(an_trainer *trainer, double error)
{
    an_epoch_info info;

    an_epoch_info_init(&info, sizeof info);
    info.dropped = info.finished = info.drops = info.epoch = 99; /* all is written anew */
    expect_ok(an_trainer_end_epoch(trainer, error, &info));
    return info;
}

/* --- an account of the rates ------------------------------------------------------- */

/* Negative: the common one. rates[LAYERS]: the common ones. */
typedef struct account {
    double rates[LAYERS + 1][2];
} account;

static uint32_t row_of(const char *layer)
{
    uint32_t i = 0;

    while (i < LAYERS && strcmp(layers[i], layer) != 0) i++;
    return i; /* "": the common ones */
}

static void account_change(account *a, const an_rate_change *c, double scale)
{
    double *row = a->rates[row_of(c->layer)];

    if (c->rate >= 0) row[0] = (double)c->rate * scale;
    if (c->bias_rate >= 0) row[1] = (double)c->bias_rate * scale;
}

static void account_drop(account *a, double factor)
{
    uint32_t i, j;

    for (i = 0; i <= LAYERS; i++)
        for (j = 0; j < 2; j++)
            if (a->rates[i][j] > 0) a->rates[i][j] *= factor;
}

/* bound: of each rate. */
static void account_check(const account *a, const an_trainer *trainer, double bound,
                          const char *what, uint32_t epoch)
{
    an_trainer_config c;
    uint32_t i, j;

    an_trainer_config_init(&c, sizeof c);
    expect_ok(an_trainer_get_config(trainer, &c));
    expect_number(c.rate, a->rates[LAYERS][0], bound * a->rates[LAYERS][0],
                  "%s, epoch %u", what, epoch);
    expect_number(c.bias_rate, a->rates[LAYERS][1], bound * a->rates[LAYERS][1],
                  "%s, epoch %u", what, epoch);
    for (i = 0; i < LAYERS; i++) {
        float got[2];

        expect_ok(an_trainer_get_layer_rates(trainer, layers[i], &got[0], &got[1]));
        for (j = 0; j < 2; j++) {
            double want = a->rates[i][j] < 0 ? a->rates[LAYERS][j] : a->rates[i][j];

            expect_number(got[j], want, bound * want, "%s, epoch %u: %s's %s", what,
                          epoch, layers[i], j ? "biases" : "weights");
        }
    }
}

static account account_of(float rate, float bias_rate)
{
    account a;
    uint32_t i;

    for (i = 0; i < LAYERS; i++) a.rates[i][0] = a.rates[i][1] = -1;
    a.rates[LAYERS][0] = (double)rate;
    a.rates[LAYERS][1] = (double)bias_rate;
    return a;
}

/* --- changes made beforehand ------------------------------------------------------- */

/* The epoch before, that epoch, and the one after, to the number. */
START_TEST(a_change_is_made_at_its_epoch)
{
    const an_rate_change changes[] = {change_of(2, "", 0.5f, 0.25f),
                                      change_of(3, "conv2", 0.125f, -1),
                                      change_of(3, "fc4", -1, 0.75f)};
    static const float want[5][6] = {/* common, conv2, fc4: weights and biases */
                                     {0.01f, 0.01f, 0.01f, 0.01f, 0.01f, 0.01f},
                                     {0.01f, 0.01f, 0.01f, 0.01f, 0.01f, 0.01f},
                                     {0.5f, 0.25f, 0.5f, 0.25f, 0.5f, 0.25f},
                                     {0.5f, 0.25f, 0.125f, 0.25f, 0.5f, 0.75f},
                                     {0.5f, 0.25f, 0.125f, 0.25f, 0.5f, 0.75f}};
    static const char *const names[] = {"conv1", "conv2", "fc4"};
    an_trainer_config c = small_training(4);
    uint32_t epoch, i;
    bench b;

    open_bench(&b, &c);
    expect_ok(an_trainer_set_schedule(b.trainer, changes, 3));
    for (epoch = 0; epoch < 5; epoch++) {
        if (epoch > 0) {
            an_epoch_info info = end_epoch(b.trainer, -1);

            expect_number(info.rate, want[epoch][0], 0, "told at epoch %u", epoch);
            expect_number(info.bias_rate, want[epoch][1], 0, "told at epoch %u", epoch);
        }
        for (i = 0; i < 3; i++) {
            float rate, bias_rate;

            expect_ok(an_trainer_get_layer_rates(b.trainer, names[i], &rate, &bias_rate));
            expect_number(rate, want[epoch][2 * i], 0, "epoch %u: %s", epoch, names[i]);
            expect_number(bias_rate, want[epoch][2 * i + 1], 0, "epoch %u: %s", epoch,
                          names[i]);
        }
    }
    bench_close(&b);
}
END_TEST

/* Any schedules, given at any epoch, with rates that the host sets in between: each
 * change is made once, in the order of the list. */
START_TEST(any_schedule_is_followed)
{
    enum { EPOCHS = 14 };
    an_trainer_config c = small_training(4);
    uint32_t seed = 100 + (uint32_t)_i, epoch, count = 0, i;
    an_rate_change changes[AN_MAX_CHANGES];
    account a = account_of(c.rate, 0.01f);
    bench b;

    open_bench(&b, &c);
    for (epoch = 0; epoch <= EPOCHS; epoch++) {
        if (epoch > 0) {
            end_epoch(b.trainer, -1);
            for (i = 0; i < count; i++)
                if (changes[i].epoch == epoch) account_change(&a, &changes[i], 1);
        }
        if (trial_below(&seed, 5) == 0 || epoch == 0) {
            count = trial_changes(&seed, b.model, EPOCHS, changes);
            expect_ok(
                an_trainer_set_schedule(b.trainer, count > 0 ? changes : NULL, count));
            for (i = 0; i < count; i++)
                if (changes[i].epoch <= epoch) account_change(&a, &changes[i], 1);
        }
        if (trial_below(&seed, 4) == 0) {
            a.rates[LAYERS][0] = (double)trial_float(&seed, 0, 1);
            a.rates[LAYERS][1] = (double)trial_float(&seed, 0, 1);
            expect_ok(an_trainer_set_rates(b.trainer, (float)a.rates[LAYERS][0],
                                           (float)a.rates[LAYERS][1]));
        }
        account_check(&a, b.trainer, 0, "any schedule", epoch);
    }
    bench_close(&b);
}
END_TEST

/* 64 of them, all of one epoch: the last that names a rate is what holds. */
START_TEST(as_many_changes_as_there_may_be)
{
    an_trainer_config c = small_training(4);
    an_rate_change changes[65];
    account a = account_of(0.01f, 0.01f);
    uint32_t i;
    bench b;

    open_bench(&b, &c);
    for (i = 0; i < 65; i++)
        changes[i] = change_of(i < 32 ? 1 : 2, i % 5 < LAYERS ? layers[i % 5] : "",
                               0.01f * (float)i, 0.02f * (float)i);
    expect_refused(an_trainer_set_schedule(b.trainer, changes, 65), AN_ERROR_ARGUMENT,
                   "count is 65");
    end_epoch(b.trainer, -1);
    account_check(&a, b.trainer, 0, "a refused schedule", 1);
    expect_ok(an_trainer_set_schedule(b.trainer, changes, 64));
    for (i = 0; i < 32; i++) account_change(&a, &changes[i], 1);
    account_check(&a, b.trainer, 0, "64 changes", 1);
    end_epoch(b.trainer, -1);
    for (; i < 64; i++) account_change(&a, &changes[i], 1);
    account_check(&a, b.trainer, 0, "64 changes", 2);
    bench_close(&b);
}
END_TEST

/* What is refused leaves rates and the earlier schedule as they were. */
START_TEST(a_refused_schedule_changes_nothing)
{
    const an_rate_change good[] = {change_of(1, "", 0.5f, 0.25f)};
    an_rate_change bad[2];
    an_trainer_config c = small_training(4);
    account a = account_of(0.01f, 0.01f);
    int kind;
    bench b;

    open_bench(&b, &c);
    expect_ok(an_trainer_set_schedule(b.trainer, good, 1));
    for (kind = 0; kind < 7; kind++) {
        static const char *const words[] = {
            "changes[1].epoch is 0: before that of changes[0]",
            "conv7",
            "changes.rate is 1001",
            "changes.bias_rate is 1001",
            "changes.rate is",
            "changes[1].layer",
            "layer is \"c\""};
        const char *layer = kind == 1 ? "conv7" : kind == 6 ? "c" : "conv1";

        bad[0] = change_of(kind == 0 ? 1 : 0, "", 7, 7);
        bad[1] = change_of(0, layer, kind == 2 ? 1001 : 1, kind == 3 ? 1001 : 1);
        if (kind == 4) bad[1].rate = NAN;
        if (kind == 5) memset(bad[1].layer, 'x', sizeof bad[1].layer);
        expect_refused(an_trainer_set_schedule(b.trainer, bad, 2), AN_ERROR_ARGUMENT,
                       words[kind]);
        account_check(&a, b.trainer, 0, "a refused schedule", 0);
    }
    end_epoch(b.trainer, -1);
    account_change(&a, &good[0], 1);
    account_check(&a, b.trainer, 0, "the earlier schedule", 1);
    /* Taken away, nothing is left of it. */
    expect_ok(an_trainer_set_rates(b.trainer, 0.125f, 0.125f));
    expect_ok(an_trainer_set_schedule(b.trainer, NULL, 0));
    end_epoch(b.trainer, -1);
    a = account_of(0.125f, 0.125f);
    account_check(&a, b.trainer, 0, "no schedule", 2);
    bench_close(&b);
}
END_TEST

/* A program of a later version has longer structs: it is their size that leads from one
 * to the next, and a field that this library does not know must be 0. */
START_TEST(changes_of_a_later_version_are_read)
{
    struct later {
        an_rate_change now;
        uint32_t more[4];
    } list[3];
    an_trainer_config c = small_training(4);
    account a = account_of(0.01f, 0.01f);
    uint32_t i;
    bench b;

    open_bench(&b, &c);
    for (i = 0; i < 3; i++) {
        an_rate_change_init(&list[i].now, sizeof list[i]);
        snprintf(list[i].now.layer, sizeof list[i].now.layer, "%s", layers[i]);
        list[i].now.rate = 0.5f + (float)i;
        a.rates[i][0] = 0.5 + i;
    }
    expect_ok(an_trainer_set_schedule(b.trainer, &list[0].now, 3));
    account_check(&a, b.trainer, 0, "longer structs", 0);
    list[2].more[1] = 1;
    expect_refused(an_trainer_set_schedule(b.trainer, &list[0].now, 3), AN_ERROR_VERSION,
                   "changes");
    list[0].now.size = sizeof list[0].now - 1;
    expect_refused(an_trainer_set_schedule(b.trainer, &list[0].now, 1), AN_ERROR_ARGUMENT,
                   "changes.size");
    bench_close(&b);
}
END_TEST

/* "As before" and "the common one" are any negative number; none of them hinders a
 * file. */
START_TEST(any_negative_rate_fits_a_file)
{
    an_trainer_config c = small_training(4);
    an_rate_change changes[2];
    account a = account_of(0.01f, 0.01f);
    an_trainer *trainer;
    memfile m;
    uint32_t i;
    bench b;

    open_bench(&b, &c);
    changes[0] = change_of(0, "", -INFINITY, -1e30f);
    changes[1] = change_of(1, "conv2", -1e-30f, -INFINITY);
    expect_ok(an_trainer_set_schedule(b.trainer, changes, 2));
    expect_ok(an_trainer_set_layer_rates(b.trainer, "conv1", -INFINITY, 0.5f));
    expect_ok(an_trainer_set_layer_rates(b.trainer, "conv3", 0.25f, -INFINITY));
    a.rates[0][1] = 0.5, a.rates[2][0] = 0.25;
    m = memfile_of_trainer(b.trainer);
    an_trainer_destroy(b.trainer);
    expect_ok(memfile_load_trainer(&trainer, b.model, &m));
    b.trainer = trainer;
    for (i = 0; i < 3; i++) {
        account_check(&a, b.trainer, 0, "negative rates", i);
        end_epoch(b.trainer, -1);
    }
    memfile_free(&m);
    bench_close(&b);
}
END_TEST

/* --- plateaus ---------------------------------------------------------------------- */

typedef struct plateau { /* an account of the rule */
    double best;
    uint32_t stale, drops;
    int dropped, finished;
} plateau;

/* best is new if it is below the last by more than this share of it. */
static void plateau_watch(plateau *p, const an_trainer_config *c, double error)
{
    p->dropped = p->finished = 0;
    if (error < 0) return; /* none was given */
    if (p->best < 0 || p->best - error > (double)c->plateau_gain * p->best) {
        p->best = error;
        p->stale = 0;
        return;
    }
    p->stale++;
    if (c->plateau_drops == 0 || p->stale < c->plateau_patience) return;
    p->finished = p->drops == c->plateau_drops;
    p->dropped = !p->finished;
    if (!p->dropped) return;
    p->drops++;
    p->stale = 0;
}

static void plateau_check(const plateau *p, const an_epoch_info *info, const account *a,
                          uint32_t epoch)
{
    expect_count(info->epoch, epoch, "told");
    expect_count(info->dropped, p->dropped, "epoch %u", epoch);
    expect_count(info->drops, p->drops, "epoch %u", epoch);
    expect_count(info->finished, p->finished, "epoch %u", epoch);
    expect_number(info->best, p->best, 0, "epoch %u", epoch);
    /* Five float32 roundings and powf()'s are less than 1e-6. */
    expect_number(info->rate, a->rates[LAYERS][0], 1e-6 * a->rates[LAYERS][0], "epoch %u",
                  epoch);
    expect_number(info->bias_rate, a->rates[LAYERS][1], 1e-6 * a->rates[LAYERS][1],
                  "epoch %u", epoch);
}

/* Errors of few values, so that equal ones are frequent, none at all now and then; layers
 * with rates of their own of every kind; a schedule whose rates come after drops. */
START_TEST(any_plateau_is_followed)
{
    enum { EPOCHS = 30 };
    uint32_t seed = 7 + (uint32_t)_i, epoch, i;
    an_trainer_config c = small_training(4);
    plateau p = {-1, 0, 0, 0, 0};
    account a;
    an_rate_change later;
    bench b;

    c.rate = 0.5f;
    c.bias_rate = 0.25f;
    c.plateau_drops = (uint32_t)_i % 4;
    c.plateau_patience = 1 + (uint32_t)_i % 3;
    c.plateau_factor = trial_float(&seed, 0.2f, 0.8f);
    c.plateau_gain = _i % 2 ? 0.3f : 0;
    a = account_of(c.rate, c.bias_rate);
    open_bench(&b, &c);
    i = (uint32_t)_i;
    a.rates[i % 4][0] = 0.75;                                       /* weights alone, */
    a.rates[(i + 1) % 4][1] = 0.875;                                /* biases alone, */
    a.rates[(i + 2) % 4][0] = 0.625, a.rates[(i + 2) % 4][1] = 0.5; /* or both; */
    a.rates[(i + 3) % 4][0] = a.rates[(i + 3) % 4][1] = 0;          /* and one frozen */
    for (i = 0; i < LAYERS; i++)
        expect_ok(an_trainer_set_layer_rates(b.trainer, layers[i], (float)a.rates[i][0],
                                             (float)a.rates[i][1]));
    later = change_of(15, _i % 2 ? "conv2" : "", 0.625f, -1);
    expect_ok(an_trainer_set_schedule(b.trainer, &later, 1));
    for (epoch = 1; epoch <= EPOCHS; epoch++) {
        double error = trial_below(&seed, 8) == 0
                           ? -0.5
                           : (32 - epoch + trial_below(&seed, 9)) / 64.0;
        an_epoch_info info = end_epoch(b.trainer, error);

        /* What drops have taken so far is taken from the new rate as well. */
        if (epoch == 15)
            account_change(&a, &later, pow((double)c.plateau_factor, p.drops));
        plateau_watch(&p, &c, error);
        if (p.dropped) account_drop(&a, (double)c.plateau_factor);
        plateau_check(&p, &info, &a, epoch);
        account_check(&a, b.trainer, 1e-6, "plateau", epoch);
    }
    bench_close(&b);
}
END_TEST

/* The network of most layers: a drop reaches the rates of each. */
START_TEST(a_drop_reaches_every_layer)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    an_trainer_config c = small_training(4);
    uint32_t i;
    bench b;

    config.extra_conv = 1;
    c.plateau_drops = c.plateau_patience = 1;
    c.plateau_factor = 0.5f;
    bench_open(&b, &config, &c, 1);
    expect_count(b.model->net.plan->row.layers, 9, "layers");
    for (i = 0; i < 9; i++)
        expect_ok(an_trainer_set_layer_rates(b.trainer, b.model->net.plan->layers[i].name,
                                             1 + (float)i, 11 + (float)i));
    end_epoch(b.trainer, 0.5);
    expect_count(end_epoch(b.trainer, 0.5).dropped, 1, "no new best");
    for (i = 0; i < 9; i++) {
        const char *name = b.model->net.plan->layers[i].name;
        float rate, bias_rate;

        expect_ok(an_trainer_get_layer_rates(b.trainer, name, &rate, &bias_rate));
        expect_number(rate, (1 + i) / 2.0, 0, "%s after a drop", name);
        expect_number(bias_rate, (11 + i) / 2.0, 0, "%s after a drop", name);
    }
    bench_close(&b);
}
END_TEST

/* Equal errors are no new best, and 0 is one like any other. */
START_TEST(an_equal_error_is_no_better)
{
    static const double errors[] = {0.5, 0.5, 0.5, 0, 0, 0};
    static const int dropped[] = {0, 0, 1, 0, 0, 1};
    an_trainer_config c = small_training(4);
    uint32_t i;
    bench b;

    c.plateau_drops = 3;
    c.plateau_patience = 2;
    open_bench(&b, &c);
    for (i = 0; i < 6; i++)
        expect_count(end_epoch(b.trainer, errors[i]).dropped, dropped[i], "epoch %u",
                     i + 1);
    bench_close(&b);
}
END_TEST

/* A gain of a quarter: 0.76 of the best is not enough, 0.74 is, of the last best in each
 * case. */
START_TEST(a_gain_is_a_share_of_the_best)
{
    static const double errors[] = {0.8, 0.61, 0.59, 0.45, 0.44};
    static const double best[] = {0.8, 0.8, 0.59, 0.59, 0.44};
    an_trainer_config c = small_training(4);
    uint32_t i;
    bench b;

    c.plateau_gain = 0.25f;
    open_bench(&b, &c);
    for (i = 0; i < 5; i++)
        expect_number(end_epoch(b.trainer, errors[i]).best, best[i], 0, "epoch %u",
                      i + 1);
    bench_close(&b);
}
END_TEST

/* Without plateau_drops the best is kept, and no rate drops, ever. */
START_TEST(without_drops_nothing_drops)
{
    an_trainer_config c = small_training(4);
    account a = account_of(0.01f, 0.01f);
    uint32_t i;
    bench b;

    c.plateau_patience = 1;
    open_bench(&b, &c);
    for (i = 1; i <= 9; i++) {
        an_epoch_info info = end_epoch(b.trainer, 0.25 + 0.01 * i);

        expect_count(info.dropped + info.finished + info.drops, 0, "epoch %u", i);
        expect_number(info.best, 0.25 + 0.01, 0, "epoch %u", i);
        account_check(&a, b.trainer, 0, "no drops", i);
    }
    bench_close(&b);
}
END_TEST

/* After the last drop it is finished as long as there is no new best, and drops no
 * more. */
START_TEST(finished_is_told_until_a_new_best)
{
    static const double errors[] = {0.5, 0.6, 0.6, 0.6, 0.4, 0.6};
    static const int finished[] = {0, 0, 1, 1, 0, 1};
    an_trainer_config c = small_training(4);
    uint32_t i;
    bench b;

    c.plateau_drops = c.plateau_patience = 1;
    c.plateau_factor = 0.5f;
    open_bench(&b, &c);
    for (i = 0; i < 6; i++) {
        an_epoch_info info = end_epoch(b.trainer, errors[i]);

        expect_count(info.dropped, i == 1, "epoch %u", i + 1);
        expect_count(info.finished, finished[i], "epoch %u", i + 1);
        expect_number(info.rate, i < 1 ? 0.01f : 0.005f, 1e-9, "epoch %u", i + 1);
    }
    bench_close(&b);
}
END_TEST

/* --- what is told ------------------------------------------------------------------ */

START_TEST(epochs_and_steps_are_counted)
{
    an_trainer_config c = small_training(4);
    uint32_t epochs = 7, steps = 7;
    bench b;

    open_bench(&b, &c);
    expect_ok(an_trainer_epoch(b.trainer, &epochs, &steps));
    expect_count(epochs, 0, "a new trainer");
    expect_count(steps, 0, "a new trainer");
    bench_steps(&b, 3);
    expect_ok(an_trainer_epoch(b.trainer, NULL, &steps));
    expect_count(steps, 3, "after three steps");
    expect_ok(an_trainer_end_epoch(b.trainer, -1, NULL));
    bench_steps(&b, 2);
    expect_ok(an_trainer_epoch(b.trainer, &epochs, NULL));
    expect_ok(an_trainer_epoch(b.trainer, NULL, &steps));
    expect_ok(an_trainer_epoch(b.trainer, NULL, NULL));
    expect_count(epochs, 1, "after an epoch");
    expect_count(steps, 2, "since then");
    expect_count(an_trainer_iteration(b.trainer), 5, "since the trainer began");
    bench_close(&b);
}
END_TEST

/* An error that is no number, or an info of no size, ends no epoch. */
START_TEST(what_is_refused_ends_no_epoch)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    const an_rate_change change = change_of(1, "", 0.5f, 0.5f);
    an_trainer_config c = small_training(4);
    account a = account_of(0.01f, 0.01f);
    an_epoch_info info, was;
    uint32_t i, epochs, steps;
    bench b;

    open_bench(&b, &c);
    expect_ok(an_trainer_set_schedule(b.trainer, &change, 1));
    bench_step(&b);
    memset(&info, 0x11, sizeof info);
    info.size = sizeof info;
    was = info;
    for (i = 0; i < 3; i++) {
        expect_refused(an_trainer_end_epoch(b.trainer, bad[i], &info), AN_ERROR_ARGUMENT,
                       "validation_error");
        expect_bytes(&info, &was, sizeof info, "an info of a call that failed");
    }
    info.size = 4;
    expect_refused(an_trainer_end_epoch(b.trainer, 0.5, &info), AN_ERROR_ARGUMENT,
                   "info.size");
    expect_ok(an_trainer_epoch(b.trainer, &epochs, &steps));
    expect_count(epochs, 0, "no epoch has ended");
    expect_count(steps, 1, "no epoch has ended");
    account_check(&a, b.trainer, 0, "no epoch has ended", 0);
    expect_number(end_epoch(b.trainer, -1).best, -1, 0, "no error was given");
    bench_close(&b);
}
END_TEST

Suite *schedule_suite(void)
{
    Suite *suite = suite_create("schedule");
    TCase *tc = tcase_create("schedule");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_change_is_made_at_its_epoch);
    tcase_add_loop_test(tc, any_schedule_is_followed, 0, 12);
    tcase_add_test(tc, as_many_changes_as_there_may_be);
    tcase_add_test(tc, a_refused_schedule_changes_nothing);
    tcase_add_test(tc, changes_of_a_later_version_are_read);
    tcase_add_test(tc, any_negative_rate_fits_a_file);
    tcase_add_loop_test(tc, any_plateau_is_followed, 0, 12);
    tcase_add_test(tc, a_drop_reaches_every_layer);
    tcase_add_test(tc, an_equal_error_is_no_better);
    tcase_add_test(tc, a_gain_is_a_share_of_the_best);
    tcase_add_test(tc, without_drops_nothing_drops);
    tcase_add_test(tc, finished_is_told_until_a_new_best);
    tcase_add_test(tc, epochs_and_steps_are_counted);
    tcase_add_test(tc, what_is_refused_ends_no_epoch);
    suite_add_tcase(suite, tc);
    return suite;
}
