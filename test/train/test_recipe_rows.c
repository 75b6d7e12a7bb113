/*
 * test_recipe_rows.c - every number of every recipe, as docs/RECIPES.md has it; what a
 * recipe leaves alone; its schedule stretched, pressed and scaled.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "small.h"
#include "test.h"

typedef struct change { /* negative: as before */
    uint32_t epoch;
    const char *layer; /* "": all; null: the end */
    double rate, bias_rate;
} change;

/* The document's table; "last" is whatever the last layer is called. */
typedef struct row {
    const char *name;
    uint32_t arch; /* 0: the model's own */
    uint32_t epochs, batch, unit, mean_image;
    double rate, bias_rate, momentum, decay, bias_decay;
    uint32_t drops;
    uint32_t group, rule;
    double sigma, divisor;
    uint32_t noise_until; /* 0: always */
    change changes[8];
} row;

static const row rows[] = {
    {"krizhevsky2012",
     AN_ARCH_KRIZHEVSKY2012,
     91,
     128,
     0,
     1,
     0.01,
     0.02,
     0.9,
     0.0005,
     0,
     0,
     32,
     AN_COLOUR_DEVIATION,
     0.1,
     1.1,
     67,
     {{25, "", 1e-3, -1},
      {51, "", 1e-4, -1},
      {67, "conv1", 1e-5, -1},
      {72, "conv1", 0, -1},
      {79, "", 1e-5, -1}}},
    {"paper",
     AN_ARCH_PAPER,
     90,
     128,
     0,
     1,
     0.01,
     0.01,
     0.9,
     0.0005,
     0.0005,
     3,
     1,
     AN_COLOUR_EIGENVALUE,
     0.1,
     1,
     0,
     {{0, NULL, 0, 0}}},
    {"fine-tune",
     0,
     20,
     64,
     0,
     0,
     0.001,
     0.002,
     0.9,
     0.0005,
     0,
     0,
     1,
     AN_COLOUR_DEVIATION,
     0.1,
     1,
     0,
     {{0, "conv1", 0, 0},
      {0, "last", 0.01, 0.02},
      {14, "", 0.0001, 0.0002},
      {14, "last", 0.001, 0.002}}},
    {"small-data",
     AN_ARCH_TORCHVISION,
     60,
     32,
     1,
     0,
     0.01,
     0.01,
     0.9,
     0.0005,
     0.0005,
     0,
     1,
     AN_COLOUR_DEVIATION,
     0.1,
     1,
     0,
     {{45, "", 1e-3, 1e-3}, {55, "", 1e-4, 1e-4}}},
};

enum { ROWS = 4 };

static uint32_t changes_of(const row *r)
{
    uint32_t count = 0;

    while (r->changes[count].layer != NULL) count++;
    return count;
}

/* Written in decimals there, rounded to float here. */
#define SAME(got, wanted) expect_number(got, (float)(wanted), 0, "recipe %s", r->name)

START_TEST(recipes_are_described)
{
    const row *r = &rows[_i];
    an_recipe_info info;
    uint32_t index = 99;

    an_recipe_info_init(&info, sizeof info);
    expect_ok(an_recipe_find(r->name, &index));
    expect_count(index, _i, "the order of the document: %s", r->name);
    expect_ok(an_recipe_describe(index, &info));
    expect_text(info.name, r->name, "by number");
    expect_count(info.epochs, r->epochs, "recipe %s", r->name);
    expect_count(info.changes, changes_of(r), "recipe %s", r->name);
    expect_count(info.unit, r->unit, "recipe %s", r->name);
    expect_count(info.mean_image, r->mean_image, "recipe %s", r->name);
    expect_refused(an_recipe_describe(ROWS, &info), AN_ERROR_ARGUMENT, "index is 4");
    expect_refused(an_recipe_describe(77, &info), AN_ERROR_ARGUMENT,
                   "index is 77: there are 4 recipes");
    expect_refused(an_recipe_find("krizhevsky", &index), AN_ERROR_ARGUMENT,
                   "\"krizhevsky\"");
    expect_count(index, _i, "of a call that failed");
}
END_TEST

static void check_trainer(const row *r, const an_trainer_config *t)
{
    expect_count(t->batch, r->batch, "recipe %s", r->name);
    expect_count(t->augment, AN_AUGMENT_CROP | AN_AUGMENT_MIRROR, "recipe %s", r->name);
    SAME(t->rate, r->rate);
    SAME(t->bias_rate, r->bias_rate);
    SAME(t->momentum, r->momentum);
    SAME(t->weight_decay, r->decay);
    SAME(t->bias_decay, r->bias_decay);
    expect_count(t->plateau_drops, r->drops, "recipe %s", r->name);
    expect_count(t->plateau_patience, 5, "recipe %s: no new best for 5 epochs", r->name);
    SAME(t->plateau_factor, 0.1); /* "by ten" */
}

static void check_loader(const row *r, const an_loader_config *l)
{
    expect_count(l->batch, r->batch, "recipe %s", r->name);
    expect_count(l->augment, AN_AUGMENT_CROP | AN_AUGMENT_MIRROR | AN_AUGMENT_COLOUR,
                 "recipe %s", r->name);
    expect_count(l->crop_group, r->group, "recipe %s", r->name);
    expect_count(l->colour_rule, r->rule, "recipe %s", r->name);
    SAME(l->colour_sigma, r->sigma);
    SAME(l->colour_divisor, r->divisor);
    expect_count(l->colour_epochs, r->noise_until, "recipe %s", r->name);
}

/* Onto configs that hold something else in each of these fields. */
START_TEST(every_number_is_the_documents)
{
    const row *r = &rows[_i];
    an_model_config m;
    an_trainer_config t;
    an_loader_config l;

    an_model_config_init(&m, sizeof m);
    m.arch = AN_ARCH_FLOOR224;
    an_trainer_config_init(&t, sizeof t);
    t.batch = 3, t.augment = 0, t.rate = 7, t.bias_rate = 7, t.momentum = 0.25f;
    t.weight_decay = 0.25f, t.bias_decay = 0.25f, t.plateau_drops = 9;
    an_loader_config_init(&l, sizeof l);
    l.batch = 3, l.augment = 0, l.crop_group = 5, l.colour_rule = 1 - r->rule;
    l.colour_sigma = 3, l.colour_divisor = 3, l.colour_epochs = 9;
    expect_ok(an_recipe_apply(r->name, 0, &m, &t, &l));
    expect_count(m.arch, r->arch != 0 ? r->arch : AN_ARCH_FLOOR224, "recipe %s", r->name);
    check_trainer(r, &t);
    check_loader(r, &l);
    /* Each may be asked for alone. */
    an_trainer_config_init(&t, sizeof t);
    an_loader_config_init(&l, sizeof l);
    expect_ok(an_recipe_apply(r->name, r->epochs, NULL, &t, NULL));
    expect_ok(an_recipe_apply(r->name, r->epochs, NULL, NULL, &l));
    check_trainer(r, &t);
    check_loader(r, &l);
}
END_TEST

/* What a recipe says nothing of is the host's. */
START_TEST(a_recipe_leaves_the_rest)
{
    const row *r = &rows[_i];
    an_model_config m, m_was;
    an_trainer_config t;
    an_loader_config l;

    an_model_config_init(&m, sizeof m);
    m.classes = 17, m.image_size = 99, m.activation = AN_ACTIVATION_TANH;
    m.width = 0.5f, m.dropout_rate = 0.25f, m.seed = 5, m.towers = 2;
    m.initialisation = AN_INIT_HE, m.precision = AN_PRECISION_BF16, m.devices = "cpu";
    m_was = m;
    an_trainer_config_init(&t, sizeof t);
    t.seed = 6, t.micro_batch = 2, t.plateau_patience = 8, t.plateau_factor = 0.5f;
    t.plateau_gain = 0.125f;
    an_loader_config_init(&l, sizeof l);
    l.workers = 3, l.prefetch = 5, l.shuffle = 0, l.seed = 9, l.keep_uint8 = 1;
    expect_ok(an_recipe_apply(r->name, 0, &m, &t, &l));
    m.arch = m_was.arch;
    expect_bytes(&m, &m_was, sizeof m, "recipe %s: a model's config but arch", r->name);
    expect_count(t.size, sizeof t, "recipe %s", r->name);
    expect_count(t.seed, 6, "recipe %s", r->name);
    expect_count(t.micro_batch, 2, "recipe %s", r->name);
    expect_count(t.plateau_patience, 8, "recipe %s", r->name);
    SAME(t.plateau_factor, 0.5);
    SAME(t.plateau_gain, 0.125);
    expect_count(l.workers, 3, "recipe %s", r->name);
    expect_count(l.prefetch, 5, "recipe %s", r->name);
    expect_count(l.shuffle, 0, "recipe %s", r->name);
    expect_count(l.seed, 9, "recipe %s", r->name);
    expect_count(l.keep_uint8, 1, "recipe %s", r->name);
}
END_TEST

/* A config that cannot be read leaves those beside it as they were, whichever it is. */
START_TEST(configs_that_cannot_be_read_leave_the_others)
{
    an_model_config m, m_was;
    an_trainer_config t, t_was;
    an_loader_config l, l_was;
    int which;

    for (which = 0; which < 3; which++) {
        an_model_config_init(&m, sizeof m);
        an_trainer_config_init(&t, sizeof t);
        an_loader_config_init(&l, sizeof l);
        t.batch = l.batch = 3;
        if (which == 0) m.size = 4;
        if (which == 1) t.size = 4;
        if (which == 2) l.size = 4;
        m_was = m, t_was = t, l_was = l;
        expect_refused(an_recipe_apply("small-data", 0, &m, &t, &l), AN_ERROR_ARGUMENT,
                       which == 0   ? "model.size"
                       : which == 1 ? "trainer.size"
                                    : "loader.size");
        expect_bytes(&m, &m_was, sizeof m, "a model's config, %d", which);
        expect_bytes(&t, &t_was, sizeof t, "a trainer's config, %d", which);
        expect_bytes(&l, &l_was, sizeof l, "a loader's config, %d", which);
    }
}
END_TEST

/* --- schedules --------------------------------------------------------------------- */

static void open_small(bench *b, uint32_t arch)
{
    an_model_config config = small_config(arch);
    an_trainer_config training = small_training(2);

    config.width = arch == AN_ARCH_CIFAR10 ? 0.1f : config.width;
    bench_open(b, &config, &training, 1);
}

/* Of the trainer's own list: epochs, layers and rates, each rate times `scale`. */
static void check_schedule(const row *r, const bench *b, const uint32_t *epochs,
                           double scale, const char *what)
{
    const an_plan *plan = b->model->net.plan;
    const an_progress *at = &b->trainer->at;
    uint32_t i;

    expect_count(at->change_count, changes_of(r), "%s of %s", what, r->name);
    for (i = 0; i < at->change_count; i++) {
        const change *c = &r->changes[i];
        double rate = c->rate < 0 ? -1 : c->rate * scale;
        double bias_rate = c->bias_rate < 0 ? -1 : c->bias_rate * scale;

        expect_count(at->changes[i].epoch, epochs[i], "%s of %s, change %u", what,
                     r->name, i);
        expect_text(at->changes[i].layer,
                    strcmp(c->layer, "last") == 0
                        ? plan->layers[plan->row.layers - 1].name
                        : c->layer,
                    "%s of %s, change %u", what, r->name, i);
        /* Three float32 roundings. */
        expect_number(at->changes[i].rate, rate, 4e-7 * fabs(rate),
                      "%s of %s, change %u, scale %g", what, r->name, i, scale);
        expect_number(at->changes[i].bias_rate, bias_rate, 4e-7 * fabs(bias_rate),
                      "%s of %s, change %u, scale %g", what, r->name, i, scale);
    }
}

/* Its own epochs, and the rates of the document; with another first rate all of them
 * scaled, those of biases too. The last layer has its name in each network. */
START_TEST(schedules_are_the_documents)
{
    static const uint32_t archs[] = {AN_ARCH_CIFAR10, AN_ARCH_PAPER};
    const row *r = &rows[_i];
    uint32_t epochs[8], i, k;

    for (i = 0; i < changes_of(r); i++) epochs[i] = r->changes[i].epoch;
    for (k = 0; k < 2; k++) {
        bench b;

        open_small(&b, archs[k]);
        expect_ok(an_recipe_schedule(r->name, b.trainer, 0, 0));
        check_schedule(r, &b, epochs, 1, "as it is");
        expect_ok(an_recipe_schedule(r->name, b.trainer, r->epochs, (float)r->rate));
        check_schedule(r, &b, epochs, 1, "of the same rate");
        expect_ok(an_recipe_schedule(r->name, b.trainer, 0, (float)(r->rate * 3)));
        check_schedule(r, &b, epochs, 3, "of three times the rate");
        expect_ok(an_recipe_schedule(r->name, b.trainer, 0, (float)(r->rate / 8)));
        check_schedule(r, &b, epochs, 0.125, "of an eighth of the rate");
        expect_refused(an_recipe_schedule(r->name, b.trainer, 0, -0.5f),
                       AN_ERROR_ARGUMENT, "rate is -0.5");
        expect_refused(an_recipe_schedule(r->name, b.trainer, 0, 1000.5f),
                       AN_ERROR_ARGUMENT, "rate is 1000.5");
        expect_refused(an_recipe_schedule("none", b.trainer, 0, 0), AN_ERROR_ARGUMENT,
                       "\"none\"");
        check_schedule(r, &b, epochs, 0.125, "of calls that failed");
        bench_close(&b);
    }
}
END_TEST

/* Half an epoch counts as one; what is not at the beginning stays behind it; 0 stays
 * 0. */
static uint32_t fitted(uint32_t epoch, uint32_t own, uint32_t epochs)
{
    double place = floor((double)epoch * epochs / own + 0.5);

    return epoch == 0 ? 0 : place < 1 ? 1 : (uint32_t)place;
}

/* Any number of epochs, and the end of the colour noise with them. */
START_TEST(schedules_are_stretched_and_pressed)
{
    static const uint32_t lengths[] = {1,  2,  3,   5,   7,   10,   13,   20,       30,
                                       45, 90, 100, 137, 182, 1000, 4096, 100000000};
    const row *r = &rows[_i];
    uint32_t epochs[8], i, k;
    an_loader_config l;
    bench b;

    open_small(&b, AN_ARCH_CIFAR10);
    for (k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
        for (i = 0; i < changes_of(r); i++)
            epochs[i] = fitted(r->changes[i].epoch, r->epochs, lengths[k]);
        expect_ok(an_recipe_schedule(r->name, b.trainer, lengths[k], 0));
        check_schedule(r, &b, epochs, 1, "of other epochs");
        an_loader_config_init(&l, sizeof l);
        expect_ok(an_recipe_apply(r->name, lengths[k], NULL, NULL, &l));
        expect_count(l.colour_epochs, fitted(r->noise_until, r->epochs, lengths[k]),
                     "%s of %u epochs", r->name, lengths[k]);
    }
    bench_close(&b);
}
END_TEST

/* Followed to its end: what each layer learns with in each epoch. */
START_TEST(recipes_are_followed_to_their_end)
{
    const row *r = &rows[_i];
    an_trainer_config t = small_training(2);
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    double want[5][2]; /* four layers, then the common rates */
    uint32_t epoch, i;
    bench b;

    config.width = 0.1f;
    expect_ok(an_recipe_apply(r->name, 0, NULL, &t, NULL));
    t.batch = 2;
    bench_open(&b, &config, &t, 1);
    expect_ok(an_recipe_schedule(r->name, b.trainer, 0, 0));
    for (i = 0; i < 4; i++) want[i][0] = want[i][1] = -1;
    want[4][0] = r->rate, want[4][1] = r->bias_rate;
    for (epoch = 0; epoch <= r->epochs; epoch++) {
        if (epoch > 0) expect_ok(an_trainer_end_epoch(b.trainer, -1, NULL));
        for (i = 0; i < changes_of(r); i++) {
            const change *c = &r->changes[i];
            double *rates = want[c->layer[0] == '\0' ? 4 : c->layer[0] == 'l' ? 3 : 0];

            if (c->epoch != epoch) continue;
            if (c->rate >= 0) rates[0] = c->rate;
            if (c->bias_rate >= 0) rates[1] = c->bias_rate;
        }
        for (i = 0; i < 4; i++) {
            const char *layer = b.model->net.plan->layers[i].name;
            float got[2];
            int j;

            expect_ok(an_trainer_get_layer_rates(b.trainer, layer, &got[0], &got[1]));
            for (j = 0; j < 2; j++)
                expect_number(got[j], (float)(want[i][j] < 0 ? want[4][j] : want[i][j]),
                              0, "%s, epoch %u: %s's %s", r->name, epoch, layer,
                              j ? "biases" : "weights");
        }
    }
    bench_close(&b);
}
END_TEST

Suite *recipe_rows_suite(void)
{
    Suite *suite = suite_create("recipe_rows");
    TCase *tc = tcase_create("recipe_rows");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, recipes_are_described, 0, ROWS);
    tcase_add_loop_test(tc, every_number_is_the_documents, 0, ROWS);
    tcase_add_loop_test(tc, a_recipe_leaves_the_rest, 0, ROWS);
    tcase_add_test(tc, configs_that_cannot_be_read_leave_the_others);
    tcase_add_loop_test(tc, schedules_are_the_documents, 0, ROWS);
    tcase_add_loop_test(tc, schedules_are_stretched_and_pressed, 0, ROWS);
    tcase_add_loop_test(tc, recipes_are_followed_to_their_end, 0, ROWS);
    suite_add_tcase(suite, tc);
    return suite;
}
