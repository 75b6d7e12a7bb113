/*
 * programs_rates.c - train's learning rates: the common ones and those of layers, of
 * weights and biases, from the beginning and after each epoch.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiny.h"

/* Rates in force once `epoch` epochs are done; layer "": the common ones. */
typedef struct rates_row {
    uint32_t epoch;
    const char *layer;
    double rate, bias_rate;
} rates_row;

/* Products of floats, which were made in another order here. */
static void expect_rates(const an_trainer *trainer, const rates_row *row,
                         const char *what)
{
    float rate, bias_rate;
    an_trainer_config c;

    an_trainer_config_init(&c, sizeof c);
    expect_ok(an_trainer_get_config(trainer, &c));
    rate = c.rate;
    bias_rate = c.bias_rate;
    if (row->layer[0] != '\0')
        expect_ok(an_trainer_get_layer_rates(trainer, row->layer, &rate, &bias_rate));
    expect_number(rate, row->rate, 1e-6 * row->rate, "%s: \"%s\" after %u epochs", what,
                  row->layer, row->epoch);
    expect_number(bias_rate, row->bias_rate, 1e-6 * row->bias_rate,
                  "%s: \"%s\" after %u epochs", what, row->layer, row->epoch);
}

/* Goes through the epochs of a checkpoint that has none behind it, as far as the rows
 * go. */
static void expect_schedule(const char *checkpoint, const rates_row *rows, size_t count,
                            const char *what)
{
    opened o = checkpoint_open(checkpoint);
    uint32_t epoch = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        for (; epoch < rows[i].epoch; epoch++)
            expect_ok(an_trainer_end_epoch(o.trainer, -1, NULL));
        expect_rates(o.trainer, &rows[i], what);
    }
    checkpoint_close(&o);
}

#define EXPECT_SCHEDULE(options, ...)                                                    \
    do {                                                                                 \
        static const rates_row rows[] = {__VA_ARGS__};                                   \
        remove(tiny_path("run"));                                                        \
        program_succeeds(NULL, "train " TINY " --steps 1 %s --out run data", options);   \
        expect_schedule("run", rows, sizeof rows / sizeof rows[0], options);             \
    } while (0)

/* --- drops ------------------------------------------------------------------------- */

START_TEST(each_drop_multiplies_what_the_last_one_left)
{
    EXPECT_SCHEDULE("--drop-at 2,3,5", {0, "", 0.01, 0.01}, {1, "", 0.01, 0.01},
                    {2, "", 1e-3, 1e-3}, {3, "", 1e-4, 1e-4}, {4, "", 1e-4, 1e-4},
                    {5, "", 1e-5, 1e-5}, {60, "", 1e-5, 1e-5}, {60, "conv1", 1e-5, 1e-5});
    EXPECT_SCHEDULE("--drop-at 2,3 --drop-factor 0.5 --lr 0.3", {1, "", 0.3, 0.3},
                    {2, "", 0.15, 0.15}, {3, "", 0.075, 0.075}, {60, "", 0.075, 0.075});
    EXPECT_SCHEDULE("--drop-at 1, --drop-factor 1", {0, "", 0.01, 0.01},
                    {60, "", 0.01, 0.01});
    EXPECT_SCHEDULE("--drop-at 0", {0, "", 1e-3, 1e-3}, {60, "", 1e-3, 1e-3});
    EXPECT_SCHEDULE("--drop-at none", {0, "", 0.01, 0.01}, {60, "", 0.01, 0.01});
    EXPECT_SCHEDULE("--drop-at ''", {0, "", 0.01, 0.01}, {60, "", 0.01, 0.01});
}
END_TEST

/* The code of 2012 has biases at twice the rate. */
START_TEST(biases_drop_from_their_own_rate)
{
    EXPECT_SCHEDULE("--recipe krizhevsky2012 --arch cifar10 --drop-at 1,2",
                    {0, "", 0.01, 0.02}, {0, "fc4", 0.01, 0.02}, {1, "", 1e-3, 2e-3},
                    {1, "fc4", 1e-3, 2e-3}, {2, "", 1e-4, 2e-4}, {91, "", 1e-4, 2e-4});
}
END_TEST

/* The table and the printed lines have the weights' rate with which an epoch was trained;
 * as the code of 2012 did, but for the drops. */
START_TEST(a_drop_shows_in_the_epoch_after_it)
{
    static const double rates[] = {0.01, 0.005, 0.005, 0.0025};
    char *out;
    size_t i;
    plan p;
    twin t;
    csv table;

    plan_init(&p);
    plan_epochs(&p, 4);
    p.change_count = 0;
    plan_change(&p, 1, "", 0.005f, 0.01f);
    plan_change(&p, 3, "", 0.0025f, 0.005f);
    p.trainer.batch = p.loader.batch = 64;
    p.trainer.bias_rate = 0.02f;
    p.trainer.bias_decay = 0;
    p.loader.crop_group = 32;
    p.loader.colour_divisor = 1.1f;
    p.loader.colour_epochs = 3; /* of 4, as 67 of 91 */
    p.unit = 0;
    p.mean_image = 1;
    twin_run(&t, &p);
    program_succeeds(&out, "train --recipe krizhevsky2012 " TINY " --batch 64 --epochs 4 "
                           "--drop-at 1,3 --drop-factor 0.5 --out run data");
    expect_run(&t, "run", "drops after 1 and 3");
    table = csv_read("run.csv");
    for (i = 0; i < 4; i++) {
        expect_number(csv_cell(&table, i, "rate"), rates[i], 1e-8, "epoch %zu", i + 1);
        expect_number(line_of(out, (uint32_t)i + 1).rate, rates[i], 1e-8, "epoch %zu",
                      i + 1);
    }
    csv_free(&table);
    free(out);
    twin_free(&t);
}
END_TEST

START_TEST(lists_of_epochs_that_are_none_are_refused)
{
    static const char *const lists[] = {"x",   "1,x",  "1,,2", "1;2",
                                        "1.5", "1 ,2", "1e99,"};
    static const char *const numbers[] = {"-1", "1000001", "4294967297",
                                          "18446744073709551617"};
    size_t i;

    for (i = 0; i < sizeof lists / sizeof lists[0]; i++)
        program_fails(2, "must be numbers with commas",
                      "train " TINY " --drop-at '%s' --out run data", lists[i]);
    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        program_fails(2, "must be at most 1000000",
                      "train " TINY " --drop-at '%s' --out run data", numbers[i]);
    program_fails(1, "--drop-at: changes[1].epoch is 2",
                  "train " TINY " --drop-at 3,2 --out run data");
    program_fails(2, "at most 64 changes of rates",
                  "train " TINY " --drop-at $(seq -s , 1 65) --out run data");
    program_succeeds(NULL, "train " TINY " --steps 1 --drop-at $(seq -s , 1 64) "
                           "--out run data");
}
END_TEST

/* --- recipes ----------------------------------------------------------------------- */

/* 91 epochs' changes at 25, 51, 67, 72 and 79, pressed to 10. */
START_TEST(a_recipes_schedule_is_fitted_to_epochs_and_rate)
{
    EXPECT_SCHEDULE("--epochs 12", {8, "", 0.01, 0.01}, {9, "", 1e-3, 1e-3},
                    {10, "", 1e-3, 1e-3}, {11, "", 1e-4, 1e-4});
    EXPECT_SCHEDULE("--lr 0.03", {0, "", 0.03, 0.03}, {44, "", 0.03, 0.03},
                    {45, "", 3e-3, 3e-3}, {54, "", 3e-3, 3e-3}, {55, "", 3e-4, 3e-4});
    EXPECT_SCHEDULE("--recipe krizhevsky2012 --arch cifar10 --epochs 10 --lr 0.02",
                    {2, "", 0.02, 0.04}, {3, "", 2e-3, 0.04}, {5, "", 2e-3, 0.04},
                    {6, "", 2e-4, 0.04}, {6, "conv1", 2e-4, 0.04},
                    {7, "conv1", 2e-5, 0.04}, {7, "", 2e-4, 0.04}, {8, "conv1", 0, 0.04},
                    {8, "conv2", 2e-4, 0.04}, {9, "", 2e-5, 0.04}, {9, "conv1", 0, 0.04});
}
END_TEST

/* What a recipe gives to trainer, loader and model. */
typedef struct recipe_case {
    const char *options;
    uint32_t batch, epochs, plateau_drops, arch;
    double rate, bias_rate, decay, bias_decay;
    uint32_t crop_group, colour_rule, colour_epochs, mean_image;
    double divisor, scale; /* scale: of the input, 0: of unit variance */
} recipe_case;

static void expect_recipe(const recipe_case *c)
{
    an_preprocessing pre;
    an_trainer_config t;
    an_model_config m;
    float *image = malloc(sizeof *image * 3 * 84 * 84);
    opened o;
    note n;

    an_preprocessing_init(&pre, sizeof pre);
    an_trainer_config_init(&t, sizeof t);
    an_model_config_init(&m, sizeof m);
    program_succeeds(NULL,
                     "train --image-size 80 --width 0.02 --steps 1 --val large %s "
                     "--out run large",
                     c->options);
    o = checkpoint_open("run");
    n = note_read("run");
    remove(tiny_path("run"));
    expect_ok(an_trainer_get_config(o.trainer, &t));
    expect_ok(an_model_get_config(o.model, &m));
    expect_ok(an_model_get_preprocessing(o.model, &pre));
    expect_count(m.arch, c->arch, "%s", c->options);
    expect_count(t.batch, c->batch, "%s", c->options);
    expect_count(n.batch, c->batch, "%s", c->options);
    expect_count(n.epochs, c->epochs, "%s", c->options);
    expect_count(t.plateau_drops, c->plateau_drops, "%s", c->options);
    expect_number(t.rate, c->rate, 1e-8, "%s", c->options);
    expect_number(t.bias_rate, c->bias_rate, 1e-8, "%s", c->options);
    expect_number(t.momentum, 0.9, 1e-7, "%s", c->options);
    expect_number(t.weight_decay, c->decay, 1e-8, "%s", c->options);
    expect_number(t.bias_decay, c->bias_decay, 1e-8, "%s", c->options);
    expect_count(n.augment, 7, "%s", c->options);
    expect_count(n.crop_group, c->crop_group, "%s", c->options);
    expect_count(n.colour_rule, c->colour_rule, "%s", c->options);
    expect_count(n.colour_epochs, c->colour_epochs, "%s", c->options);
    expect_number(n.colour_sigma, 0.1, 1e-7, "%s", c->options);
    expect_number(n.colour_divisor, c->divisor, 1e-6, "%s", c->options);
    expect_count(an_model_get_mean_image(o.model, image, 3 * 84 * 84) == AN_OK,
                 c->mean_image, "%s", c->options);
    if (c->scale > 0)
        expect_number(pre.scale[0], c->scale, 0, "%s", c->options);
    else
        ck_assert_msg(pre.scale[0] < 0.1f, "%s: no unit variance", c->options);
    free(image);
    checkpoint_close(&o);
}

START_TEST(recipes_reach_model_trainer_and_loader)
{
    static const recipe_case cases[] = {
        {"--recipe krizhevsky2012", 128, 91, 0, AN_ARCH_KRIZHEVSKY2012, 0.01, 0.02,
         0.0005, 0, 32, AN_COLOUR_DEVIATION, 67, 1, 1.1, 1},
        {"--recipe paper --epochs 30 --decay 0.001", 128, 30, 3, AN_ARCH_PAPER, 0.01,
         0.01, 0.001, 0.001, 1, AN_COLOUR_EIGENVALUE, 0, 1, 1, 1},
        {"--recipe small-data", 32, 60, 0, AN_ARCH_TORCHVISION, 0.01, 0.01, 0.0005,
         0.0005, 1, AN_COLOUR_DEVIATION, 0, 0, 1, 0},
    };
    const tiny_pack large = {.count = 9, .side = 84, .classes = 3, .seed = 4};
    uint32_t i;

    tiny_pack_make("large", &large);
    for (i = 0; i < 3; i++) expect_recipe(&cases[i]);
    program_fails(1, "the recipes are krizhevsky2012, paper, ",
                  "train " TINY " --recipe alexnet --out no data");
}
END_TEST

/* What differs from the code of 2012: biases do not decay there, whatever --decay says;
 * the noise ends when 67 of 91 epochs are done; the mean image and raw pixels are its
 * own. */
START_TEST(options_beside_a_recipe_change_what_they_name_alone)
{
    an_trainer_config t;
    an_preprocessing pre;
    opened o;
    note n;

    an_trainer_config_init(&t, sizeof t);
    an_preprocessing_init(&pre, sizeof pre);
    program_succeeds(NULL,
                     "train --recipe krizhevsky2012 " TINY " --epochs 10 --decay 0.01 "
                     "--lr 0.02 --input-scale unit --steps 1 --out run data");
    n = note_read("run");
    o = checkpoint_open("run");
    expect_ok(an_trainer_get_config(o.trainer, &t));
    expect_ok(an_model_get_preprocessing(o.model, &pre));
    expect_number(t.weight_decay, 0.01, 1e-8, "--decay");
    expect_number(t.bias_decay, 0, 0, "--decay");
    expect_number(t.rate, 0.02, 1e-8, "--lr");
    expect_number(t.bias_rate, 0.04, 1e-8, "--lr");
    expect_count(n.colour_epochs, 7, "67 of 91 epochs, of 10");
    ck_assert_msg(pre.scale[0] < 0.1f, "--input-scale unit");
    checkpoint_close(&o);
}
END_TEST

/* --- plateaus ---------------------------------------------------------------------- */

/* A rate that moves nothing, 0.01 a power of two smaller: the error never gets better
 * after the first epoch. Five epochs later the rate drops, five later again, and then the
 * run ends. */
START_TEST(a_plateau_drops_the_rate_and_ends_the_run)
{
    char *out;
    plan p;
    twin t;

    plan_init(&p);
    p.change_count = 0;
    p.trainer.plateau_drops = 1;
    p.trainer.rate = p.trainer.bias_rate = ldexpf(0.01f, -60);
    p.trainer.batch = p.loader.batch = 64;
    twin_run(&t, &p);
    expect_count(t.past.count, 11, "epochs");
    program_succeeds(&out,
                     "train " TINY " --batch 64 --lr %.17g --plateau 1 --out run data",
                     ldexp(0.01, -60));
    expect_run(&t, "run", "--plateau 1");
    expect_count(times_in(out, "no better for some epochs: rate 8.67362e-22\n"), 1, "%s",
                 out);
    expect_count(times_in(out, "no better"), 1, "%s", out);
    expect_number(line_of(out, 6).rate, 8.67362e-21, 1e-26, "epoch 6");
    expect_number(line_of(out, 7).rate, 8.67362e-22, 1e-27, "epoch 7");
    free(out);
    twin_free(&t);
}
END_TEST

START_TEST(a_plateau_wants_a_held_out_pack)
{
    static const char *const wanted = "a held-out pack and its evaluation are wanted";

    program_fails(2, wanted, "train " TINY " --plateau 2 --out run data/train");
    program_fails(2, wanted, "train " TINY " --plateau 2 --no-evaluation --out run data");
    program_fails(2, wanted, "train --recipe paper " TINY " --out run data/train");
    program_succeeds(NULL, "train " TINY " --plateau 2 --steps 1 --out run data");
    program_fails(2, wanted, "train --resume run --steps 2 --out run data/train");
    program_fails(2, wanted,
                  "train --resume run --steps 2 --no-evaluation --out run data");
    program_succeeds(NULL, "train --resume run --steps 2 --val data/val --out run "
                           "data/train");
}
END_TEST

/* --- layers ------------------------------------------------------------------------ */

START_TEST(frozen_layers_stay_and_the_others_learn)
{
    plan p;
    twin t;

    plan_init(&p);
    p.steps = 3;
    p.frozen[0] = "conv1";
    p.frozen[1] = "conv3";
    twin_run(&t, &p);
    program_succeeds(NULL,
                     "train " TINY " --steps 3 --freeze conv1,conv3 --out run data");
    expect_run(&t, "run", "--freeze conv1,conv3");
    twin_free(&t);
    EXPECT_SCHEDULE("--freeze conv3, --drop-at 1", {0, "conv3", 0, 0},
                    {0, "conv2", 0.01, 0.01}, {1, "conv3", 0, 0},
                    {1, "conv2", 1e-3, 1e-3});
    program_fails(1, "--freeze: ", "train " TINY " --freeze conv9 --out no data");
    program_fails(1, "--freeze: ", "train " TINY " --freeze conv1,,conv2 --out no data");
    program_fails(
        1, "--freeze: ", "train " TINY " --freeze conv1conv1conv1conv1 --out no data");
}
END_TEST

static void expect_frozen(const char *checkpoint, const char *layer, const char *what)
{
    opened o = checkpoint_open(checkpoint);
    float rate = -1, bias_rate = -1;

    expect_ok(an_trainer_get_layer_rates(o.trainer, layer, &rate, &bias_rate));
    expect_number(rate, 0, 0, "%s: %s", what, layer);
    expect_number(bias_rate, 0, 0, "%s: %s", what, layer);
    checkpoint_close(&o);
}

/* A recipe's schedule, which changes that very layer's rate, does not thaw it, nor does a
 * list of drops, also after a resume. */
START_TEST(a_frozen_layer_stays_so_whatever_the_schedule_has_for_it)
{
    program_succeeds(NULL, "train --recipe krizhevsky2012 " TINY " --batch 64 --epochs 2 "
                           "--freeze conv1 --no-evaluation --out run data");
    expect_frozen("run", "conv1", "krizhevsky2012");
    program_succeeds(NULL, "train " TINY " --steps 1 --out base data");
    program_succeeds(NULL, "train --recipe fine-tune --from base --batch 64 --epochs 3 "
                           "--freeze fc4 --steps 1 --out tuned data");
    program_succeeds(NULL, "train --resume tuned --out tuned data");
    expect_frozen("tuned", "fc4", "fine-tune");
    expect_frozen("tuned", "conv1", "fine-tune");
    program_succeeds(NULL, "train --recipe fine-tune --from base --batch 64 --epochs 2 "
                           "--freeze fc4 --drop-at 1 --out dropped data");
    expect_frozen("dropped", "fc4", "--drop-at");
}
END_TEST

/* The code of 2012 ends with weights of conv1 that stay and biases that do not. */
START_TEST(a_layer_whose_biases_learn_is_not_frozen)
{
    const rates_row end = {3, "conv1", 0, 0.02};
    opened o;

    program_succeeds(NULL, "train --recipe krizhevsky2012 " TINY " --batch 64 --epochs 3 "
                           "--no-evaluation --out run data");
    o = checkpoint_open("run");
    expect_rates(o.trainer, &end, "krizhevsky2012");
    checkpoint_close(&o);
}
END_TEST

/* The recipe fine-tune: conv1 frozen, the last layer tenfold. Its drops, or others', keep
 * the layers apart. */
START_TEST(a_fine_tunings_layers_keep_their_own_rates)
{
#define TUNE "--recipe fine-tune --from base "
    program_succeeds(NULL, "train " TINY " --steps 1 --out base data");
    EXPECT_SCHEDULE(TUNE, {0, "", 1e-3, 2e-3}, {0, "conv1", 0, 0},
                    {0, "conv2", 1e-3, 2e-3}, {0, "fc4", 0.01, 0.02},
                    {13, "fc4", 0.01, 0.02}, {14, "", 1e-4, 2e-4}, {14, "conv1", 0, 0},
                    {14, "conv3", 1e-4, 2e-4}, {14, "fc4", 1e-3, 2e-3});
    EXPECT_SCHEDULE(TUNE "--drop-at 2,4 --drop-factor 0.5", {1, "", 1e-3, 2e-3},
                    {1, "fc4", 0.01, 0.02}, {2, "", 5e-4, 1e-3}, {2, "conv1", 0, 0},
                    {2, "conv2", 5e-4, 1e-3}, {2, "fc4", 5e-3, 0.01},
                    {4, "", 2.5e-4, 5e-4}, {4, "conv1", 0, 0}, {4, "fc4", 2.5e-3, 5e-3},
                    {20, "fc4", 2.5e-3, 5e-3});
    EXPECT_SCHEDULE(TUNE "--drop-at none", {0, "conv1", 0, 0}, {0, "fc4", 0.01, 0.02},
                    {20, "", 1e-3, 2e-3}, {20, "conv1", 0, 0}, {20, "fc4", 0.01, 0.02});
    EXPECT_SCHEDULE(TUNE "--plateau 1", {0, "conv1", 0, 0}, {0, "fc4", 0.01, 0.02},
                    {20, "", 1e-3, 2e-3}, {20, "fc4", 0.01, 0.02});
    EXPECT_SCHEDULE(TUNE "--lr 0.002", {0, "", 2e-3, 4e-3}, {0, "fc4", 0.02, 0.04},
                    {14, "", 2e-4, 4e-4}, {14, "fc4", 2e-3, 4e-3});
}
END_TEST

Suite *rates_suite(void)
{
    Suite *suite = suite_create("rates");
    TCase *tc = tiny_case(suite, "drops");

    tcase_add_test(tc, each_drop_multiplies_what_the_last_one_left);
    tcase_add_test(tc, biases_drop_from_their_own_rate);
    tcase_add_test(tc, a_drop_shows_in_the_epoch_after_it);
    tcase_add_test(tc, lists_of_epochs_that_are_none_are_refused);
    tc = tiny_case(suite, "recipes and plateaus");
    tcase_add_test(tc, a_recipes_schedule_is_fitted_to_epochs_and_rate);
    tcase_add_test(tc, recipes_reach_model_trainer_and_loader);
    tcase_add_test(tc, options_beside_a_recipe_change_what_they_name_alone);
    tcase_add_test(tc, a_plateau_drops_the_rate_and_ends_the_run);
    tcase_add_test(tc, a_plateau_wants_a_held_out_pack);
    tc = tiny_case(suite, "layers");
    tcase_add_test(tc, frozen_layers_stay_and_the_others_learn);
    tcase_add_test(tc, a_frozen_layer_stays_so_whatever_the_schedule_has_for_it);
    tcase_add_test(tc, a_layer_whose_biases_learn_is_not_frozen);
    tcase_add_test(tc, a_fine_tunings_layers_keep_their_own_rates);
    return suite;
}
