/*
 * test_means.c - a model's preprocessing, field by field, and its mean image: kept,
 * refused, and sent to a device again when it is another.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "gallery.h"
#include "host_run.h"
#include "small.h"
#include "test.h"

enum { SIDE = 20, SIZE = 17, MEANS = 3 * SIDE * SIDE, NUMBERS = 3 * SIZE * SIZE };

/* --- fields ------------------------------------------------------------------------ */

typedef struct limit {
    const char *name;
    size_t offset;
    int is_float;
    double good[2], bad[3];
} limit;

#define WHOLE(field, good0, good1, bad0)                                                 \
    {                                                                                    \
        "preprocessing." #field, offsetof(an_preprocessing, field), 0, {good0, good1},   \
        {                                                                                \
            bad0, bad0, UINT32_MAX                                                       \
        }                                                                                \
    }
#define REAL(field, good0, good1, bad0)                                                  \
    {                                                                                    \
        "preprocessing." #field, offsetof(an_preprocessing, field), 1, {good0, good1},   \
        {                                                                                \
            bad0, (double)INFINITY, (double)NAN                                          \
        }                                                                                \
    }
#define NONE ((double)-INFINITY)

static const limit limits[] = {WHOLE(side, SIZE, 2048, SIZE - 1),
                               WHOLE(side, SIDE, 2047, 2049),
                               WHOLE(bgr, 0, 1, 2),
                               WHOLE(fit, 0, 1, 2),
                               WHOLE(mean_moves, 0, 1, 2),
                               REAL(mean[0], 0, -300, NONE),
                               REAL(mean[1], 0, 300, NONE),
                               REAL(mean[2], 0, 1e9, NONE),
                               REAL(scale[0], -1, 1e-9, 0),
                               REAL(scale[1], -1, 1e9, 0),
                               REAL(scale[2], -2, 1, 0),
                               REAL(colour_deviation[0], 0, 255, -0.01),
                               REAL(colour_deviation[1], 0, 1e-9, -1),
                               REAL(colour_deviation[2], 0, 1e9, -1e-9),
                               REAL(colour_axis[0][0], 0, -1, NONE),
                               REAL(colour_axis[0][2], 0, 1, NONE),
                               REAL(colour_axis[1][0], 0, 2, NONE),
                               REAL(colour_axis[1][1], -2, 1, NONE),
                               REAL(colour_axis[2][1], 0, 1, NONE),
                               REAL(colour_axis[2][2], 0, 1, NONE)};

static void set_field(an_preprocessing *p, const limit *l, double value)
{
    uint32_t whole = l->is_float ? 0 : (uint32_t)value;
    float real = (float)value;

    memcpy((char *)p + l->offset, l->is_float ? (void *)&real : (void *)&whole, 4);
}

static void is_set(const gallery *g, const an_preprocessing *wanted, const char *what)
{
    an_preprocessing got = gallery_preprocessing(g);

    expect_bytes(&got, wanted, sizeof got, "preprocessing after %s", what);
}

START_TEST(every_field_has_its_limits)
{
    gallery_shape shape = square_shape(1, SIDE, SIZE);
    an_preprocessing before, p;
    gallery g;
    size_t i, k;

    gallery_open(&g, &shape);
    for (i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        const limit *l = &limits[i];

        for (k = 0; k < 2; k++) {
            p = gallery_preprocessing(&g);
            set_field(&p, l, l->good[k]);
            gallery_set(&g, &p);
            is_set(&g, &p, l->name);
        }
        before = gallery_preprocessing(&g);
        for (k = 0; k < 3; k++) {
            p = before;
            set_field(&p, l, l->bad[k]);
            expect_refused(an_model_set_preprocessing(g.model, &p), AN_ERROR_ARGUMENT,
                           l->name);
            is_set(&g, &before, l->name);
        }
    }
    gallery_close(&g);
}
END_TEST

/* --- mean images ------------------------------------------------------------------- */

static void mean_is(const gallery *g, const float *wanted, const char *what)
{
    float got[MEANS];

    expect_ok(an_model_get_mean_image(g->model, got, MEANS));
    expect_floats(got, wanted, MEANS, 0, "mean image after %s", what);
}

START_TEST(a_mean_image_is_copied_kept_and_taken_away)
{
    gallery_shape shape = square_shape(1, SIDE, SIZE);
    float mean[MEANS + 1], kept[MEANS], before[NUMBERS], out[NUMBERS];
    an_preprocessing p;
    an_image image;
    gallery g;

    gallery_open(&g, &shape);
    image = gallery_image(&g, 0);
    expect_ok(an_preprocess(g.model, &image, 3, before, ENOUGH));
    noise_floats(mean, MEANS + 1, 6, 200);
    memcpy(kept, mean, sizeof kept);
    expect_refused(an_model_get_mean_image(g.model, mean, MEANS), AN_ERROR_STATE,
                   "no mean image");
    expect_refused(an_model_set_mean_image(g.model, mean, MEANS - 1), AN_ERROR_ARGUMENT,
                   "count");
    expect_refused(an_model_set_mean_image(g.model, mean, MEANS + 1), AN_ERROR_ARGUMENT,
                   "count");
    expect_refused(an_model_set_mean_image(g.model, mean, 0), AN_ERROR_ARGUMENT, "count");
    expect_ok(an_model_set_mean_image(g.model, mean, MEANS));
    memset(mean, 0, sizeof mean); /* it was copied */
    mean_is(&g, kept, "setting it");
    expect_refused(an_model_get_mean_image(g.model, mean, MEANS - 1), AN_ERROR_ARGUMENT,
                   "count");
    expect_refused(an_model_set_mean_image(g.model, NULL, 1), AN_ERROR_ARGUMENT, "null");
    mean[0] = NAN;
    expect_refused(an_model_set_mean_image(g.model, mean, MEANS), AN_ERROR_ARGUMENT,
                   "mean[0]");
    mean[0] = 0;
    mean[MEANS - 1] = INFINITY;
    expect_refused(an_model_set_mean_image(g.model, mean, MEANS), AN_ERROR_ARGUMENT,
                   "not finite");
    mean_is(&g, kept, "refusals");
    p = gallery_preprocessing(&g);
    p.bgr = 1;
    gallery_set(&g, &p);
    mean_is(&g, kept, "other fields of the preprocessing");
    p.side++;
    expect_refused(an_model_set_preprocessing(g.model, &p), AN_ERROR_STATE,
                   "side is 21: the model has a mean image of 20");
    p.side -= 2;
    expect_refused(an_model_set_preprocessing(g.model, &p), AN_ERROR_STATE,
                   "side is 19: the model has a mean image of 20");
    p.side++, p.bgr = 0;
    gallery_set(&g, &p);
    expect_ok(an_model_set_mean_image(g.model, NULL, 0));
    expect_ok(an_preprocess(g.model, &image, 3, out, ENOUGH));
    expect_floats(out, before, NUMBERS, 0, "without a mean image again");
    p.side++;
    gallery_set(&g, &p);
    gallery_close(&g);
}
END_TEST

/* --- a device ---------------------------------------------------------------------- */

/* The same preprocessing and mean image for a model on the CPU and one on a device. */
typedef struct twins {
    gallery cpu, device;
} twins;

static void twins_open(twins *t)
{
    gallery_shape shape = {4, 31, 26, SIDE, SIZE, 0, NULL};

    gallery_open(&t->cpu, &shape);
    shape.devices = "cuda:0";
    gallery_open(&t->device, &shape);
}

static void twins_close(twins *t)
{
    gallery_close(&t->cpu);
    gallery_close(&t->device);
}

static void twins_side(twins *t, uint32_t side)
{
    an_preprocessing p = gallery_preprocessing(&t->cpu);

    p.side = side;
    gallery_set(&t->cpu, &p);
    gallery_set(&t->device, &p);
}

/* seed 0: no mean image */
static void twins_mean(twins *t, uint32_t seed)
{
    if (seed > 0) {
        free(gallery_mean_image(&t->cpu, seed));
        free(gallery_mean_image(&t->device, seed));
    } else {
        expect_ok(an_model_set_mean_image(t->cpu.model, NULL, 0));
        expect_ok(an_model_set_mean_image(t->device.model, NULL, 0));
    }
}

/* Both take the same pictures for the same input: their first layers agree, within
 * rounding of sums of 75 products. */
static void twins_agree(twins *t, float *out, const char *what)
{
    size_t count, again;
    an_image image;
    float *cpu;

    expect_ok(an_activation_count(t->cpu.model, "conv1", AN_POINT_LINEAR, &count, NULL));
    expect_ok(
        an_activation_count(t->device.model, "conv1", AN_POINT_LINEAR, &again, NULL));
    expect_count(again, count, "%s", what);
    cpu = malloc(count * sizeof *cpu);
    image = gallery_image(&t->cpu, 1);
    expect_ok(an_infer_layer_images(t->cpu.model, &image, 1, "conv1", AN_POINT_LINEAR,
                                    cpu, ENOUGH));
    image = gallery_image(&t->device, 1);
    expect_ok(an_infer_layer_images(t->device.model, &image, 1, "conv1", AN_POINT_LINEAR,
                                    out, ENOUGH));
    expect_floats(out, cpu, count, 1e-5, "%s", what);
    free(cpu);
}

/* What a device has of the model's pictures follows every change of side and mean
 * image. */
START_TEST(a_device_follows_side_and_mean_image)
{
    static const uint32_t changes[][2] = {
        /* side, seed of the mean image */
        {SIDE, 0},     {SIDE, 5},     {SIDE, 6}, {SIDE, 0},      {SIDE + 9, 0},
        {SIDE + 9, 7}, {SIDE + 9, 5}, {SIZE, 6}, {SIDE + 20, 8}, {SIDE, 5}};
    static float out[2][1 << 14];
    char what[64];
    twins t;
    size_t i;

    twins_open(&t);
    for (i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        twins_mean(&t, 0);
        twins_side(&t, changes[i][0]);
        twins_mean(&t, changes[i][1]);
        snprintf(what, sizeof what, "change %zu: side %u, mean image %u", i,
                 changes[i][0], changes[i][1]);
        twins_agree(&t, out[i % 2], what);
        if (i > 0) expect_other_floats(out[i % 2], out[1 - i % 2], 100, "%s", what);
        twins_agree(&t, out[i % 2], what);
    }
    twins_close(&t);
}
END_TEST

/* A mean image crosses once, and not with every batch: the next one's bytes are fewer
 * by it. */
START_TEST(a_mean_image_crosses_once)
{
    static float out[1 << 14];
    uint64_t before, first, second;
    an_image image;
    twins t;

    twins_open(&t);
    twins_agree(&t, out, "buffers are made");
    image = gallery_image(&t.device, 1);
    twins_mean(&t, 5);
    before = hr()->up_bytes;
    expect_ok(an_infer_layer_images(t.device.model, &image, 1, "conv1", AN_POINT_LINEAR,
                                    out, ENOUGH));
    first = hr()->up_bytes - before;
    expect_ok(an_infer_layer_images(t.device.model, &image, 1, "conv1", AN_POINT_LINEAR,
                                    out, ENOUGH));
    second = hr()->up_bytes - before - first;
    expect_count(first - second, MEANS * sizeof(float), "bytes of the first pass, %u",
                 (unsigned)first);
    twins_close(&t);
}
END_TEST

static void teach(gallery *g, an_trainer *trainer, an_loader *loader, int by_loader)
{
    static const int32_t labels[2] = {3, 4};
    an_image images[2] = {gallery_image(g, 1), gallery_image(g, 2)};
    an_batch batch;

    if (!by_loader) {
        expect_ok(an_train_step_images(trainer, images, labels, 2, NULL));
        return;
    }
    batch = gallery_next(loader);
    expect_ok(an_train_step_batch(trainer, &batch, NULL));
}

/* A loader has the mean image of when it was made, the model another since: a trainer
 * that is given batches of the one and pictures for the other in turn subtracts each
 * its own. */
START_TEST(a_device_tells_a_loaders_mean_image_from_the_models)
{
    static const int by_loader[] = {1, 0, 1, 1, 0, 0};
    an_loader_config c = gallery_loading(2, 1);
    an_trainer_config training = small_training(2);
    an_trainer *trainer[2];
    an_loader *loader[2];
    gallery *of[2];
    twins t;
    size_t i, k;

    twins_open(&t);
    of[0] = &t.cpu, of[1] = &t.device;
    twins_mean(&t, 5);
    c.keep_uint8 = 1;
    training.rate = 1e-5f;
    for (i = 0; i < 2; i++) {
        expect_ok(an_trainer_create(&trainer[i], of[i]->model, &training));
        loader[i] = gallery_loader(of[i], &c);
    }
    twins_mean(&t, 6);
    for (k = 0; k < sizeof by_loader / sizeof by_loader[0]; k++) {
        for (i = 0; i < 2; i++) teach(of[i], trainer[i], loader[i], by_loader[k]);
        /* Sums of some thousand products, in two orders. */
        same_parameters(t.device.model, t.cpu.model, 2e-5,
                        by_loader[k] ? "a batch of the loader" : "pictures");
    }
    for (i = 0; i < 2; i++) {
        an_loader_destroy(loader[i]);
        an_trainer_destroy(trainer[i]);
    }
    twins_close(&t);
}
END_TEST

Suite *means_suite(void)
{
    Suite *suite = suite_create("means");
    TCase *tc = tcase_create("means");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, every_field_has_its_limits);
    tcase_add_test(tc, a_mean_image_is_copied_kept_and_taken_away);
    tcase_add_test(tc, a_device_follows_side_and_mean_image);
    tcase_add_test(tc, a_mean_image_crosses_once);
    tcase_add_test(tc, a_device_tells_a_loaders_mean_image_from_the_models);
    suite_add_tcase(suite, tc);
    return suite;
}
