/*
 * test_batches.c - every number of a loader's batches, with every setting; batches as
 * bytes; steps on them, whole and in two halves.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "gallery.h"
#include "small.h"
#include "test.h"

enum { SIZE = 17, SIDE = 22, NUMBERS = 3 * SIZE * SIZE, COUNT = 7, BATCH = 3, STEPS = 3 };

/* --- numbers ----------------------------------------------------------------------- */

static void epochs_are_the_accounts(gallery *g, const an_loader_config *c,
                                    const float *mean, uint32_t epochs, const char *what)
{
    an_loader *loader = gallery_loader(g, c);
    uint32_t epoch, step;

    for (epoch = 0; epoch < epochs; epoch++)
        for (step = 0; step < STEPS; step++) {
            an_batch batch = gallery_next(loader);

            account_batch(g, c, mean, &batch, epoch, step, what);
        }
    an_loader_destroy(loader);
}

static void open_seven(gallery *g)
{
    gallery_shape shape = {COUNT, 33, 26, SIDE, SIZE, 0, NULL};

    gallery_open(g, &shape);
}

START_TEST(each_augmentation_is_the_accounts)
{
    uint32_t augment, group;
    gallery g;

    open_seven(&g);
    for (augment = 0; augment < 8; augment++)
        for (group = 1; group < 9; group += group < 4 ? 1 : 4) {
            an_loader_config c = gallery_loading(BATCH, 2);
            char what[64];

            c.augment = augment;
            c.crop_group = group;
            c.colour_divisor = 1.1f;
            snprintf(what, sizeof what, "augment %u, crop_group %u", augment, group);
            epochs_are_the_accounts(&g, &c, NULL, 2, what);
        }
    gallery_close(&g);
}
END_TEST

/* A group is of pictures in a row of the epoch, over the ends of batches. */
START_TEST(a_group_has_one_crop_and_mirror)
{
    enum { GROUP = 4 };
    gallery_shape shape = square_shape(COUNT, SIDE, SIZE);
    an_loader_config c = gallery_loading(BATCH, 1);
    float first[NUMBERS], seen[2][NUMBERS];
    uint32_t i, number = 0;
    an_loader *loader;
    an_batch batch;
    gallery g;

    gallery_open(&g, &shape);
    for (i = 1; i < COUNT; i++) /* one picture, seven times */
        memcpy(g.pixels + i * g.picture, g.pixels, g.picture);
    c.augment = AN_AUGMENT_CROP | AN_AUGMENT_MIRROR;
    c.crop_group = GROUP;
    loader = gallery_loader(&g, &c);
    do {
        batch = gallery_next(loader);
        for (i = 0; i < batch.count; i++, number++) {
            if (number % GROUP == 0)
                memcpy(first, batch.images + i * NUMBERS, sizeof first);
            expect_floats(batch.images + i * NUMBERS, first, NUMBERS, 0,
                          "picture %u of the epoch, beside its group's first", number);
            memcpy(seen[number / GROUP], first, sizeof first);
        }
    } while (!batch.last);
    expect_other_floats(seen[1], seen[0], NUMBERS, "the second group beside the first");
    an_loader_destroy(loader);
    gallery_close(&g);
}
END_TEST

START_TEST(each_colour_setting_is_the_accounts)
{
    static const float sigmas[] = {0, 0.1f, 10}, divisors[] = {0.1f, 1, 10};
    uint32_t i, rule, epochs;
    gallery g;

    open_seven(&g);
    for (i = 0; i < 3; i++)
        for (rule = 0; rule < 2; rule++)
            for (epochs = 0; epochs < 4; epochs++) {
                an_loader_config c = gallery_loading(BATCH, 1);
                char what[96];

                c.colour_rule = rule;
                c.colour_sigma = sigmas[i];
                c.colour_divisor = divisors[(i + epochs) % 3];
                c.colour_epochs = epochs;
                snprintf(what, sizeof what, "rule %u, sigma %g, divisor %g, %u epochs",
                         rule, (double)c.colour_sigma, (double)c.colour_divisor, epochs);
                epochs_are_the_accounts(&g, &c, NULL, epochs + 2, what);
            }
    gallery_close(&g);
}
END_TEST

/* Without crops and mirrors, what is beside the plain picture is the colour: until the
 * epoch that is given, and no more in that one. */
START_TEST(colours_end_with_their_last_epoch)
{
    enum { LAST = 3 };
    an_loader_config c = gallery_loading(COUNT, 1), plain = c;
    an_loader *loader, *other;
    uint32_t epoch;
    gallery g;

    open_seven(&g);
    c.augment = AN_AUGMENT_COLOUR;
    c.colour_epochs = LAST;
    c.colour_sigma = 0; /* the division is what shows */
    c.colour_divisor = 2;
    plain.augment = 0;
    loader = gallery_loader(&g, &c);
    other = gallery_loader(&g, &plain);
    for (epoch = 0; epoch < LAST + 2; epoch++) {
        an_batch a = gallery_next(loader), b = gallery_next(other);
        float factor = epoch < LAST ? 2 : 1;
        uint32_t i;

        for (i = 0; i < COUNT * NUMBERS; i += 97)
            expect_number(a.images[i] * factor, b.images[i], 0,
                          "number %u of epoch %u, colours until %d", i, epoch, LAST);
    }
    an_loader_destroy(loader);
    an_loader_destroy(other);
    gallery_close(&g);
}
END_TEST

/* bgr, warp, mean image, which moves: by the bits of a number. */
static float *set_input(gallery *g, uint32_t bits)
{
    an_preprocessing p = gallery_preprocessing(g);

    p.bgr = bits & 1;
    p.fit = bits >> 1 & 1;
    p.mean_moves = bits >> 2 & 1;
    gallery_set(g, &p);
    return bits & 8 ? gallery_mean_image(g, 13) : NULL;
}

START_TEST(each_preprocessing_is_the_accounts)
{
    uint32_t bits;

    for (bits = 0; bits < 16; bits++) {
        an_loader_config c = gallery_loading(BATCH, 2);
        char what[32];
        float *mean;
        gallery g;

        open_seven(&g);
        mean = set_input(&g, bits);
        c.seed = bits;
        snprintf(what, sizeof what, "preprocessing %u", bits);
        epochs_are_the_accounts(&g, &c, mean, 1, what);
        free(mean);
        gallery_close(&g);
    }
}
END_TEST

/* What the model is given later is not the loader's: its mean image neither. */
START_TEST(a_loader_keeps_the_preprocessing_of_its_beginning)
{
    an_loader_config c = gallery_loading(BATCH, 1);
    float before[BATCH * NUMBERS], *mean;
    an_preprocessing p;
    an_loader *loader;
    gallery g;

    open_seven(&g);
    mean = set_input(&g, 8);
    c.augment &= ~(uint32_t)AN_AUGMENT_COLOUR;
    loader = gallery_loader(&g, &c);
    memcpy(before, gallery_next(loader).images, sizeof before);
    expect_ok(an_model_set_mean_image(g.model, NULL, 0));
    p = gallery_preprocessing(&g);
    p.side = SIZE;
    p.fit = p.bgr = p.mean_moves = 1;
    p.scale[0] = p.mean[0] = 9;
    gallery_set(&g, &p);
    expect_ok(an_loader_seek(loader, 0, 0));
    expect_floats(gallery_next(loader).images, before, BATCH * NUMBERS, 0,
                  "after the model was given another preprocessing");
    an_loader_destroy(loader);
    free(mean);
    gallery_close(&g);
}
END_TEST

/* --- steps on batches -------------------------------------------------------------- */

/* Two epochs of steps on what the loader makes: as floats, or as it likes. */
static void learn(gallery *g, const float *mean, uint32_t keep_uint8, uint32_t micro)
{
    an_loader_config c = gallery_loading(BATCH, 2);
    an_trainer_config training = small_training(BATCH);
    an_trainer *trainer = NULL;
    an_loader *loader;
    int device = g->shape.devices != NULL, i;

    c.keep_uint8 = keep_uint8;
    c.colour_divisor = 1.1f;
    training.micro_batch = micro;
    expect_ok(an_trainer_create(&trainer, g->model, &training));
    loader = gallery_loader(g, &c);
    for (i = 0; i < 2 * STEPS; i++) {
        an_batch batch = gallery_next(loader);
        int bytes = device && keep_uint8;

        expect_count(batch.images == NULL, bytes, "keep_uint8 %u: no floats", keep_uint8);
        expect_count(batch.crops != NULL, bytes, "keep_uint8 %u: crops", keep_uint8);
        expect_count(batch.views != NULL, bytes, "keep_uint8 %u: views", keep_uint8);
        ck_assert_msg(batch.loader == loader, "a batch names another loader");
        account_batch(g, &c, mean, &batch, (uint32_t)i / STEPS, (uint32_t)i % STEPS,
                      "in any form");
        expect_ok(an_train_step_batch(trainer, &batch, NULL));
    }
    an_loader_destroy(loader);
    an_trainer_destroy(trainer);
}

/* Bytes that a device makes floats of, colours and mean image with them, teach what
 * the host's floats teach, to the bit; in pieces of two, too. */
START_TEST(bytes_teach_what_floats_teach)
{
    static const uint32_t bits[] = {0, 1 + 8, 2 + 4 + 8, 1 + 2};
    gallery_shape shape = {COUNT, 33, 26, SIDE, SIZE, 0, _i < 4 ? "cuda:0" : NULL};
    uint32_t micro = _i % 2 ? 2 : 0;
    gallery floats, bytes;
    char what[64];
    float *mean;

    gallery_open(&floats, &shape);
    gallery_open(&bytes, &shape);
    mean = set_input(&floats, bits[_i % 4]);
    free(set_input(&bytes, bits[_i % 4]));
    learn(&floats, mean, 0, micro);
    learn(&bytes, mean, 1, micro);
    free(mean);
    snprintf(what, sizeof what, "preprocessing %u, pieces of %u, device %s", bits[_i % 4],
             micro, shape.devices != NULL ? shape.devices : "cpu");
    same_parameters(bytes.model, floats.model, 0, what);
    gallery_close(&floats);
    gallery_close(&bytes);
}
END_TEST

START_TEST(batches_of_others_are_refused)
{
    an_loader_config c = gallery_loading(BATCH, 1);
    an_trainer_config training = small_training(BATCH - 1);
    an_trainer *trainer = NULL;
    an_loader *own, *other;
    an_batch batch;
    gallery g, h;

    open_seven(&g);
    open_seven(&h);
    expect_ok(an_trainer_create(&trainer, g.model, &training));
    own = gallery_loader(&g, &c);
    other = gallery_loader(&h, &c);
    batch = gallery_next(other);
    expect_refused(an_train_step_batch(trainer, &batch, NULL), AN_ERROR_ARGUMENT,
                   "another model");
    expect_refused(an_train_step_begin(trainer, &batch), AN_ERROR_ARGUMENT,
                   "another model");
    batch = gallery_next(own);
    expect_refused(an_train_step_batch(trainer, &batch, NULL), AN_ERROR_ARGUMENT,
                   "count is 3"); /* of at most 2 */
    batch.count = 0;
    expect_refused(an_train_step_batch(trainer, &batch, NULL), AN_ERROR_ARGUMENT,
                   "count is 0");
    batch.count = 1;
    batch.images = NULL;
    expect_refused(an_train_step_batch(trainer, &batch, NULL), AN_ERROR_ARGUMENT,
                   "no images");
    an_batch_init(&batch, sizeof batch);
    expect_refused(an_train_step_batch(trainer, &batch, NULL), AN_ERROR_ARGUMENT,
                   "no loader");
    batch.size--;
    expect_refused(an_train_step_batch(trainer, &batch, NULL), AN_ERROR_ARGUMENT, "size");
    expect_count(an_trainer_iteration(trainer), 0, "steps that were done");
    an_loader_destroy(own);
    an_loader_destroy(other);
    an_trainer_destroy(trainer);
    gallery_close(&g);
    gallery_close(&h);
}
END_TEST

/* On the CPU a step's beginning does all of it: its end says what a whole step says,
 * and until then nothing else may be asked. */
static void in_two_halves(gallery *g, an_trainer *trainer, const an_batch *batch,
                          const an_step_stats *wanted)
{
    uint64_t before = an_trainer_iteration(trainer);
    float p[10], x[NUMBERS] = {0};
    an_step_stats got;

    an_step_stats_init(&got, sizeof got);
    expect_refused(an_train_step_end(trainer, &got), AN_ERROR_STATE, "no step");
    expect_ok(an_train_step_begin(trainer, batch));
    expect_count(an_trainer_iteration(trainer), before, "steps that have ended");
    expect_refused(an_train_step_begin(trainer, batch), AN_ERROR_STATE, "end that first");
    expect_refused(an_train_step_batch(trainer, batch, NULL), AN_ERROR_STATE, NULL);
    expect_refused(an_infer(g->model, x, 1, p, ENOUGH), AN_ERROR_STATE, NULL);
    expect_refused(an_trainer_end_epoch(trainer, -1, NULL), AN_ERROR_STATE, NULL);
    expect_ok(an_train_step_end(trainer, &got));
    expect_count(an_trainer_iteration(trainer), before + 1, "steps that have ended");
    expect_count(got.iteration, wanted->iteration, "iteration");
    expect_number(got.loss, wanted->loss, 0, "the loss of a step in two halves");
    expect_number(got.top1, wanted->top1, 0, "top1 of a step in two halves");
    expect_number(got.top5, wanted->top5, 0, "top5 of a step in two halves");
    expect_refused(an_train_step_end(trainer, NULL), AN_ERROR_STATE, "no step");
}

START_TEST(halves_of_a_step_are_the_step)
{
    an_trainer_config training = small_training(BATCH);
    an_loader_config c = gallery_loading(BATCH, 1);
    an_trainer *one = NULL, *two = NULL;
    an_loader *whole, *halves;
    gallery g, h;
    int i;

    open_seven(&g);
    open_seven(&h);
    c.keep_uint8 = (uint32_t)_i;
    expect_ok(an_trainer_create(&one, g.model, &training));
    expect_ok(an_trainer_create(&two, h.model, &training));
    whole = gallery_loader(&g, &c);
    halves = gallery_loader(&h, &c);
    for (i = 0; i < 2 * STEPS; i++) {
        an_batch batch = gallery_next(whole);
        an_step_stats stats;

        an_step_stats_init(&stats, sizeof stats);
        expect_ok(an_train_step_batch(one, &batch, &stats));
        batch = gallery_next(halves);
        in_two_halves(&h, two, &batch, &stats);
    }
    same_parameters(h.model, g.model, 0, "after steps in two halves");
    an_loader_destroy(whole);
    an_loader_destroy(halves);
    an_trainer_destroy(one);
    an_trainer_destroy(two);
    gallery_close(&g);
    gallery_close(&h);
}
END_TEST

Suite *batches_suite(void)
{
    Suite *suite = suite_create("batches");
    TCase *tc = tcase_create("batches");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, each_augmentation_is_the_accounts);
    tcase_add_test(tc, a_group_has_one_crop_and_mirror);
    tcase_add_test(tc, each_colour_setting_is_the_accounts);
    tcase_add_test(tc, colours_end_with_their_last_epoch);
    tcase_add_test(tc, each_preprocessing_is_the_accounts);
    tcase_add_test(tc, a_loader_keeps_the_preprocessing_of_its_beginning);
    tcase_add_loop_test(tc, bytes_teach_what_floats_teach, 0, 5);
    tcase_add_test(tc, batches_of_others_are_refused);
    tcase_add_loop_test(tc, halves_of_a_step_are_the_step, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}
