/*
 * test_feeds.c - pictures on their way into a network, while what is done with them
 * changes from call to call: on the CPU, where the host prepares them, and on devices
 * that prepare bytes themselves and keep mean images and room for crops.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "host_run.h"
#include "small.h"
#include "test.h"

enum { WIDTH = 61, HEIGHT = 97, MOST = 3 };

static uint8_t pixels[MOST][WIDTH * HEIGHT * 3];

typedef struct feeding {
    an_context *ctx;
    an_model *model;
    an_trainer *trainer;
    an_image pictures[MOST];
    an_preprocessing p;
    uint32_t size;
} feeding;

static void open_feeding(feeding *f, int place)
{
    static const char *const devices[] = {"cpu", "cuda:0", "cuda:0,cuda:1"};
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_trainer_config training = small_training(MOST);
    uint32_t i;

    config.towers = place == 2 ? 2 : 1;
    config.devices = devices[place];
    config.width = 0.1f;
    if (place == 2) config.lrn = AN_SWITCH_OFF; /* which reads both halves */
    f->size = config.image_size;
    f->ctx = plugin_context(host_run_path(), 1);
    expect_ok(an_model_create(&f->model, f->ctx, &config));
    for (i = 0; i < MOST; i++) {
        noise_bytes(pixels[i], sizeof pixels[i], i + 1);
        an_image_init(&f->pictures[i], sizeof f->pictures[i]);
        f->pictures[i].pixels = pixels[i];
        f->pictures[i].width = WIDTH;
        f->pictures[i].height = HEIGHT;
    }
    an_preprocessing_init(&f->p, sizeof f->p);
    expect_ok(an_model_get_preprocessing(f->model, &f->p));
    training.augment = 0; /* the centre, as it is */
    training.rate = training.bias_rate = 0;
    expect_ok(an_trainer_create(&f->trainer, f->model, &training));
}

static void close_feeding(feeding *f)
{
    an_trainer_destroy(f->trainer);
    an_model_destroy(f->model);
    an_context_destroy(f->ctx);
}

static void set_mean_image(feeding *f, uint32_t seed)
{
    size_t count = (size_t)3 * f->p.side * f->p.side;
    float *mean = malloc(count * sizeof *mean);

    noise_floats(mean, count, seed, 200);
    expect_ok(an_model_set_mean_image(f->model, mean, count));
    free(mean);
}

/* The changes, one after the other. */
static void change(feeding *f, int step)
{
    switch (step) {
    case 0: break;
    case 1: f->p.bgr = !f->p.bgr; break;
    case 2: f->p.mean[1] += 40; break;
    case 3: f->p.scale[2] *= -2; break;
    case 4: f->p.side = f->size + 9; break;
    case 5: set_mean_image(f, 1); return;
    case 6: set_mean_image(f, 2); return; /* of the same size */
    case 7: f->p.mean_moves = !f->p.mean_moves; break;
    case 8: expect_ok(an_model_set_mean_image(f->model, NULL, 0)); return;
    case 9: f->p.fit = AN_FIT_WARP; break;
    case 10: f->p.side = f->size + 4; break; /* less room is needed, and it is another */
    case 11: set_mean_image(f, 3); return;
    default: f->p.scale[0] *= 3; break;
    }
    expect_ok(an_model_set_preprocessing(f->model, &f->p));
}

enum { CHANGES = 13 };

/* What the network reads, prepared on the host; the caller frees it. */
static float *prepared(const feeding *f, uint32_t view)
{
    size_t numbers = (size_t)3 * f->size * f->size;
    float *x = malloc(MOST * numbers * sizeof *x);
    uint32_t i;

    for (i = 0; i < MOST; i++)
        expect_ok(
            an_preprocess(f->model, &f->pictures[i], view, x + i * numbers, ENOUGH));
    return x;
}

static void check_inference(const feeding *f, int step, uint32_t count)
{
    float p[MOST * SMALL_CLASSES], q[MOST * SMALL_CLASSES], *x = prepared(f, 0);

    expect_ok(an_infer(f->model, x, count, p, ENOUGH));
    expect_ok(an_infer_images(f->model, f->pictures, count, q, ENOUGH));
    expect_floats(q, p, count * SMALL_CLASSES, 0, "%u pictures after change %d", count,
                  step);
    free(x);
}

static void check_step(const feeding *f, int step, uint32_t count)
{
    const int32_t labels[MOST] = {1, 2, 3};
    an_step_stats pictures = {.size = sizeof pictures}, floats = {.size = sizeof floats};
    float *x = prepared(f, 0);

    expect_ok(an_train_step(f->trainer, x, labels, count, &floats));
    expect_ok(an_train_step_images(f->trainer, f->pictures, labels, count, &pictures));
    expect_number(pictures.loss, floats.loss, 0, "%u pictures after change %d", count,
                  step);
    free(x);
}

/* A mean image that moves does so in other views than the centre. */
static void check_views(const feeding *f, int step)
{
    float sum[SMALL_CLASSES] = {0}, p[SMALL_CLASSES];
    uint32_t view, i;

    for (view = 0; view < 10; view++) {
        float *x = prepared(f, view);

        expect_ok(an_infer(f->model, x, 1, p, ENOUGH));
        for (i = 0; i < SMALL_CLASSES; i++) sum[i] += p[i];
        free(x);
    }
    for (i = 0; i < SMALL_CLASSES; i++) sum[i] /= 10;
    expect_ok(an_infer_views(f->model, f->pictures, 1, 10, p, ENOUGH));
    expect_floats(p, sum, SMALL_CLASSES, 0, "ten views after change %d", step);
}

/* Mean images, and room for pictures' crops. */
static int is_kept(int step)
{
    return step == 0 || (step >= 4 && step <= 6) || step == 8 || step == 10;
}

START_TEST(pictures_are_prepared_as_the_model_says_now)
{
    float *before, *now;
    feeding f;
    int step;

    open_feeding(&f, _i);
    before = prepared(&f, AN_VIEW_TOP_LEFT);
    for (step = 0; step < CHANGES; step++) {
        change(&f, step);
        now = prepared(&f, AN_VIEW_TOP_LEFT);
        if (step > 0)
            expect_other_floats(now, before, (size_t)MOST * 3 * f.size * f.size,
                                "what is read after change %d", step);
        free(before);
        before = now;
        /* On devices, which are slow here, after what they keep has become another. */
        if (_i == 0 || is_kept(step)) check_inference(&f, step, step % 4 ? 1 : MOST);
        if (_i == 0 || step % 4 == 0) check_step(&f, step, step % 8 ? 1 : 2);
        if (_i == 0 && step == 7) check_views(&f, step);
    }
    free(before);
    close_feeding(&f);
}
END_TEST

Suite *feeds_suite(void)
{
    Suite *suite = suite_create("feeds");
    TCase *tc = tcase_create("feeds");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, pictures_are_prepared_as_the_model_says_now, 0, 3);
    suite_add_tcase(suite, tc);
    return suite;
}
