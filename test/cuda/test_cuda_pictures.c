/*
 * test_cuda_pictures.c - pictures on their way into a network on the CUDA backend's host
 * run: prepared there as on the CPU, sent ahead of what is done with them, in training as
 * floats are; cases of cuda_suite().
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "host_run.h"
#include "nets.h"
#include "test.h"

/* Bytes that a device prepares itself are the floats that the host would have prepared:
 * with a mean colour, with a mean image that moves or does not, in either order of
 * colours, all ten views. */
START_TEST(pictures_are_prepared_on_the_device)
{
    an_context *ctx = plugin_context(host_run_path(), 2);
    an_model_config config = net_small(AN_ARCH_CIFAR10, 1, "cuda:0");
    size_t side, numbers;
    static uint8_t pixels[45 * 61 * 3];
    an_preprocessing p;
    an_image image;
    an_model *model;
    float *mean, *floats;
    uint32_t view, i;

    ck_assert_msg(an_model_create(&model, ctx, &config) == AN_OK, "%s",
                  an_error_message());
    for (i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 2654435761u >> 24);
    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = 61;
    image.height = 45;
    an_preprocessing_init(&p, sizeof p);
    ck_assert_int_eq(an_model_get_preprocessing(model, &p), AN_OK);
    p.bgr = _i & 1;
    p.mean_moves = _i >> 1 & 1;
    p.side = 40;
    ck_assert_int_eq(an_model_set_preprocessing(model, &p), AN_OK);
    side = p.side;
    mean = malloc(3 * side * side * sizeof *mean);
    net_fill(mean, 3 * side * side, 4, 100);
    if (_i >= 4)
        ck_assert_int_eq(an_model_set_mean_image(model, mean, 3 * side * side), AN_OK);
    numbers = model->net.plan->tensors[model->net.plan->input[0]].count;
    floats = malloc(numbers * sizeof *floats);
    for (view = 0; view < 10; view++) {
        an_view v = an__view(&model->input, view);
        an_session *session;
        an_pass_input in;
        float *got = malloc(numbers * sizeof *got);

        ck_assert_int_eq(an_preprocess(model, &image, view, floats, ENOUGH), AN_OK);
        expect_ok(an__session_create(&session, &model->net, 1, 0));
        expect_ok(an__session_stage(session, &model->input, &image, 1, &v, &in));
        ck_assert_ptr_nonnull(in.crops);
        expect_ok(an__session_load(session, 1, &in));
        expect_ok(an__exec_get(&session->exec, model->net.plan->input[0], 0, got));
        expect_ok(an__exec_sync(&session->exec));
        ck_assert_mem_eq(got, floats, numbers * sizeof *got);
        an__session_destroy(session);
        free(got);
    }
    free(mean);
    free(floats);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* Pictures of two passes, the second sent while the first is done: what floats of as many
 * passes come to, to the bit. On one device, and on two. */
START_TEST(pictures_are_sent_ahead)
{
    enum { MANY = 150, WIDTH = 50, HEIGHT = 40 };
    an_context *ctx = plugin_context(host_run_path(), 2);
    an_model_config config =
        net_small(AN_ARCH_CIFAR10, 1, _i == 0 ? "cuda:0" : "cuda:0,cuda:1");
    uint8_t *pixels = malloc((size_t)MANY * WIDTH * HEIGHT * 3);
    an_image *pictures = malloc(MANY * sizeof *pictures);
    int32_t *labels = malloc(MANY * sizeof *labels);
    float *floats, *want = malloc(MANY * CLASSES * sizeof *want),
                   *got = malloc(MANY * CLASSES * sizeof *got);
    an_evaluation wanted, found;
    an_model *model;
    size_t numbers, i;

    config.towers = (uint32_t)_i + 1;
    config.lrn = AN_SWITCH_OFF; /* two towers cannot share it in this network */
    expect_ok(an_model_create(&model, ctx, &config));
    numbers = model->net.plan->tensors[model->net.plan->input[0]].count;
    floats = malloc(MANY * numbers * sizeof *floats);
    for (i = 0; i < (size_t)MANY * WIDTH * HEIGHT * 3; i++)
        pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    for (i = 0; i < MANY; i++) {
        an_image_init(&pictures[i], sizeof pictures[i]);
        pictures[i].pixels = pixels + i * WIDTH * HEIGHT * 3;
        pictures[i].width = WIDTH;
        pictures[i].height = HEIGHT;
        labels[i] = (int32_t)(i % CLASSES);
        expect_ok(an_preprocess(model, &pictures[i], 0, floats + i * numbers, ENOUGH));
    }
    expect_ok(an_infer(model, floats, MANY, want, ENOUGH));
    expect_ok(an_infer_images(model, pictures, MANY, got, ENOUGH));
    expect_bytes(got, want, MANY * CLASSES * sizeof *got, "probabilities");
    an_evaluation_init(&wanted, sizeof wanted);
    an_evaluation_init(&found, sizeof found);
    expect_ok(an_evaluate(model, floats, labels, MANY, &wanted));
    expect_ok(an_evaluate_images(model, pictures, labels, MANY, &found));
    expect_bytes(&found, &wanted, sizeof found, "an evaluation");

    net_fill_param(model, "conv2.weight", 3e38f);
    expect_refused(an_infer_images(model, pictures, MANY, got, ENOUGH), AN_ERROR_DIVERGED,
                   "conv2 is the first layer");
    expect_bytes(got, want, MANY * CLASSES * sizeof *got, "probabilities after that");
    free(floats);
    free(got);
    free(want);
    free(labels);
    free(pictures);
    free(pixels);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

enum { PICTURES = 6, SIDE = 40 };

/* Picture `index` of noise: a source's fetch. */
static int fetch(uint64_t index, an_sample *sample, void *user)
{
    const uint8_t *pixels = user;

    sample->pixels = pixels + index * 3 * SIDE * SIDE;
    sample->width = sample->height = SIDE;
    sample->label = (int32_t)(index % CLASSES);
    return 0;
}

/* Three steps on a loader's batches. */
static an_model *train_on_loader(an_context *ctx, const uint8_t *pixels,
                                 const char *devices, uint32_t keep_uint8)
{
    an_model_config config = net_small(AN_ARCH_CIFAR10, 1, devices);
    an_loader_config loading;
    an_trainer_config training;
    an_source source;
    an_trainer *trainer;
    an_loader *loader;
    an_preprocessing p;
    an_batch batch;
    an_model *model, *other;
    int i;

    ck_assert_msg(an_model_create(&model, ctx, &config) == AN_OK, "%s",
                  an_error_message());
    an_preprocessing_init(&p, sizeof p);
    ck_assert_int_eq(an_model_get_preprocessing(model, &p), AN_OK);
    p.side = SIDE;
    ck_assert_int_eq(an_model_set_preprocessing(model, &p), AN_OK);
    an_trainer_config_init(&training, sizeof training);
    training.batch = BATCH;
    ck_assert_int_eq(an_trainer_create(&trainer, model, &training), AN_OK);
    an_source_init(&source, sizeof source);
    source.count = PICTURES;
    source.fetch = fetch;
    source.user = (void *)(uintptr_t)pixels;
    an_loader_config_init(&loading, sizeof loading);
    loading.batch = BATCH;
    loading.keep_uint8 = keep_uint8;
    loading.colour_divisor = 1.1f;
    ck_assert_msg(an_loader_create(&loader, model, &source, &loading) == AN_OK, "%s",
                  an_error_message());
    an_batch_init(&batch, sizeof batch);
    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(an_loader_next(loader, &batch), AN_OK);
        ck_assert_int_eq(batch.images == NULL, keep_uint8 && devices != NULL);
        ck_assert_msg(an_train_step_batch(trainer, &batch, NULL) == AN_OK, "%s",
                      an_error_message());
    }
    batch.loader = NULL; /* without it, nobody knows whose it is */
    ck_assert_int_eq(an_train_step_batch(trainer, &batch, NULL), AN_ERROR_ARGUMENT);
    an_loader_destroy(loader);
    ck_assert_int_eq(an_model_create(&other, ctx, &config), AN_OK);
    ck_assert_int_eq(an_loader_create(&loader, other, &source, &loading), AN_OK);
    ck_assert_int_eq(an_loader_next(loader, &batch), AN_OK);
    ck_assert_int_eq(an_train_step_batch(trainer, &batch, NULL), AN_ERROR_ARGUMENT);
    an_model_destroy(other);
    ck_assert_int_eq(an_train_step_batch(trainer, NULL, NULL), AN_ERROR_ARGUMENT);
    an_loader_destroy(loader);
    an_trainer_destroy(trainer);
    return model;
}

/* Bytes to a device train as floats to it, to the bit. */
START_TEST(a_loaders_bytes_train_as_its_floats)
{
    an_context *ctx = plugin_context(host_run_path(), 2);
    static uint8_t pixels[PICTURES * 3 * SIDE * SIDE];
    const char *devices = _i ? "cuda:0" : NULL;
    an_model *bytes, *floats;
    size_t count, i;
    float *a, *b;

    for (i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 2654435761u >> 22);
    bytes = train_on_loader(ctx, pixels, devices, 1);
    floats = train_on_loader(ctx, pixels, devices, 0);
    count = net_parameters(bytes);
    a = malloc(count * sizeof *a);
    b = malloc(count * sizeof *b);
    ck_assert_int_eq(net_get(bytes, a), AN_OK);
    ck_assert_int_eq(net_get(floats, b), AN_OK);
    ck_assert_mem_eq(a, b, count * sizeof *a);
    free(a);
    free(b);
    an_model_destroy(bytes);
    an_model_destroy(floats);
    an_context_destroy(ctx);
}
END_TEST

void add_cuda_pictures(TCase *tc)
{
    tcase_add_loop_test(tc, pictures_are_prepared_on_the_device, 0, 8);
    tcase_add_loop_test(tc, pictures_are_sent_ahead, 0, 2);
    tcase_add_loop_test(tc, a_loaders_bytes_train_as_its_floats, 0, 2);
}
