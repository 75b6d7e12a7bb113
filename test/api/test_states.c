/*
 * test_states.c - the statuses of training, checkpoints, packs, loaders and recipes, as
 * in test_statuses.c; among them those of the wrong moment.
 */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "test.h"
#include "world.h"

static world w;
static outputs out, before;

static void setup(void)
{
    world_open(&w, NULL);
    outputs_open(&out, &before);
}

static void teardown(void)
{
    world_close(&w);
}

#define REFUSED(call, status, words) expect_untouched(call, status, words, &out, &before)
#define BAD(call, words) REFUSED(call, AN_ERROR_ARGUMENT, words)
#define WRONG_MOMENT(call, words) REFUSED(call, AN_ERROR_STATE, words)

/* --- steps ------------------------------------------------------------------------- */

/* Counts and labels of every kind of step, whose iteration none of these is. */
START_TEST(steps_are_refused_by_argument)
{
    int32_t labels[3] = {0, 10, 0};
    an_batch batch = w.batch;
    an_loader *other;
    const an_source source = world_source(&w);
    const an_loader_config loading = world_loading();

    BAD(an_train_step(w.trainer, w.images, w.labels, 0, &out.stats),
        "count is 0: must be 1 to config.batch, 2");
    BAD(an_train_step(w.trainer, w.images, w.labels, 3, &out.stats),
        "count is 3: must be 1 to");
    BAD(an_train_step_images(w.trainer, &w.image, w.labels, 0, &out.stats), "count is 0");
    BAD(an_train_step_images(w.trainer, &w.image, w.labels, 3, &out.stats), "count is 3");
    BAD(an_train_step(w.trainer, w.images, labels, 2, &out.stats),
        "labels[1] is 10: must be");
    BAD(an_train_step_images(w.trainer, &w.image, labels + 1, 1, &out.stats),
        "labels[0] is 10");
    labels[1] = -1;
    BAD(an_train_step(w.trainer, w.images, labels, 2, &out.stats), "labels[1] is -1");
    batch.count = 3;
    BAD(an_train_step_batch(w.trainer, &batch, &out.stats), "count is 3: must be 1 to");
    BAD(an_train_step_begin(w.trainer, &batch), "count is 3: must be 1 to");
    batch = w.batch;
    batch.labels = labels;
    BAD(an_train_step_batch(w.trainer, &batch, &out.stats), "labels[1] is -1");
    BAD(an_train_step_begin(w.trainer, &batch), "labels[1] is -1");
    batch = w.batch;
    batch.images = NULL;
    BAD(an_train_step_batch(w.trainer, &batch, &out.stats), "batch has no images");
    batch = w.batch;
    batch.loader = NULL;
    BAD(an_train_step_batch(w.trainer, &batch, &out.stats), "batch has no loader");
    BAD(an_train_step_begin(w.trainer, &batch), "batch has no loader");
    expect_ok(an_loader_create(&other, w.free_model, &source, &loading));
    batch.loader = other;
    BAD(an_train_step_batch(w.trainer, &batch, &out.stats), "another model's loader");
    BAD(an_train_step_begin(w.trainer, &batch), "another model's loader");
    an_loader_destroy(other);
    expect_count(an_trainer_iteration(w.trainer), 0, "steps");
    labels[1] = 9;
    expect_ok(an_train_step(w.trainer, w.images, labels, 2, NULL));
    expect_ok(an_train_step(w.trainer, w.images, labels, 1, NULL));
}
END_TEST

/* While a step is in flight nothing else may be asked; each of these waits for its
 * end. */
START_TEST(a_step_in_flight_is_alone)
{
    const char *words = "in flight";
    an_preprocessing p = {.size = sizeof p};
    an_trainer_config training = {.size = sizeof training};
    an_model_config config = {.size = sizeof config};
    an_model_info info = {.size = sizeof info};
    an_layer_info layer = {.size = sizeof layer};

    WRONG_MOMENT(an_train_step_end(w.trainer, &out.stats), "no step is in flight");
    expect_ok(an_train_step_begin(w.trainer, &w.batch));
    WRONG_MOMENT(an_train_step_begin(w.trainer, &w.batch), "end that first");
    WRONG_MOMENT(an_train_step(w.trainer, w.images, w.labels, 2, &out.stats), words);
    WRONG_MOMENT(an_train_step_images(w.trainer, &w.image, w.labels, 1, &out.stats),
                 words);
    WRONG_MOMENT(an_train_step_batch(w.trainer, &w.batch, &out.stats), words);
    WRONG_MOMENT(an_infer(w.model, w.images, 1, out.floats, ENOUGH), words);
    WRONG_MOMENT(an_infer_images(w.model, &w.image, 1, out.floats, ENOUGH), words);
    WRONG_MOMENT(an_infer_views(w.model, &w.image, 1, 1, out.floats, ENOUGH), words);
    WRONG_MOMENT(an_infer_layer(w.model, w.images, 1, "conv1", 1, out.floats, ENOUGH),
                 words);
    WRONG_MOMENT(
        an_infer_layer_images(w.model, &w.image, 1, "conv1", 1, out.floats, ENOUGH),
        words);
    WRONG_MOMENT(an_evaluate(w.model, w.images, w.labels, 1, &out.sum), words);
    WRONG_MOMENT(an_evaluate_images(w.model, &w.image, w.labels, 1, &out.sum), words);
    WRONG_MOMENT(an_activation_count(w.model, "conv1", 1, &out.count, out.shape), words);
    WRONG_MOMENT(an_preprocess(w.model, &w.image, 0, out.floats, ENOUGH), words);
    WRONG_MOMENT(an_model_describe(w.model, &info), words);
    WRONG_MOMENT(an_layer_describe(w.model, 0, &layer), words);
    WRONG_MOMENT(an_model_get_config(w.model, &config), words);
    WRONG_MOMENT(an_model_get_preprocessing(w.model, &p), words);
    WRONG_MOMENT(an_model_set_preprocessing(w.model, &p), words);
    WRONG_MOMENT(an_model_set_mean_image(w.model, NULL, 0), words);
    WRONG_MOMENT(an_model_get_mean_image(w.model, out.floats, 3072), words);
    WRONG_MOMENT(an_model_set_class_name(w.model, 0, "a"), words);
    WRONG_MOMENT(an_parameter_find(w.model, "conv1.bias", &out.number), words);
    WRONG_MOMENT(an_parameter_get(w.model, 1, out.floats, 8), words);
    WRONG_MOMENT(an_parameter_set(w.model, 1, w.images, 8), words);
    WRONG_MOMENT(an_trainer_get_config(w.trainer, &training), words);
    WRONG_MOMENT(an_trainer_set_rates(w.trainer, 0, 0), words);
    WRONG_MOMENT(an_trainer_set_layer_rates(w.trainer, "conv1", 0, 0), words);
    WRONG_MOMENT(an_trainer_get_layer_rates(w.trainer, "conv1", out.floats, out.floats),
                 words);
    WRONG_MOMENT(an_trainer_set_schedule(w.trainer, NULL, 0), words);
    WRONG_MOMENT(an_trainer_end_epoch(w.trainer, 0, &out.epoch), words);
    WRONG_MOMENT(an_trainer_epoch(w.trainer, &out.number, &out.number), words);
    WRONG_MOMENT(an_trainer_get_gradient(w.trainer, 1, out.floats, 8), words);
    WRONG_MOMENT(an_trainer_set_note(w.trainer, out.note), words);
    WRONG_MOMENT(an_trainer_get_note(w.trainer, out.note), words);
    WRONG_MOMENT(an_recipe_schedule("paper", w.trainer, 0, 0), words);
    WRONG_MOMENT(an_trainer_save(w.trainer, w.file), words);
    WRONG_MOMENT(an_model_save(w.model, w.file), words);
    WRONG_MOMENT(an_model_transfer(w.free_model, w.model, NULL, &out.number), words);
    WRONG_MOMENT(an_model_transfer(w.model, w.free_model, NULL, &out.number), words);
    WRONG_MOMENT(an_pack_prepare_model(w.pack, w.model, 0, 0), words);
    expect_ok(an_train_step_end(w.trainer, &out.stats));
    expect_count(out.stats.iteration, 1, "the step that was begun");
    expect_ok(an_infer(w.model, w.images, 1, out.floats, ENOUGH));
}
END_TEST

/* --- trainers ---------------------------------------------------------------------- */

START_TEST(rates_and_schedules_are_refused_by_argument)
{
    const float most = nextafterf(1000, 2000);
    an_rate_change changes[65];
    an_trainer_config now = {.size = sizeof now};
    int i;

    for (i = 0; i < 65; i++) an_rate_change_init(&changes[i], sizeof changes[i]);
    BAD(an_trainer_set_rates(w.trainer, -1, 0), "config.rate is -1: must be 0 to 1000");
    BAD(an_trainer_set_rates(w.trainer, most, 0), "config.rate is 1000: must be");
    BAD(an_trainer_set_rates(w.trainer, NAN, 0), "config.rate is");
    BAD(an_trainer_set_rates(w.trainer, 0, most), "config.bias_rate is 1000: must be");
    BAD(an_trainer_set_layer_rates(w.trainer, "conv4", 0, 0), "layer is \"conv4\"");
    BAD(an_trainer_set_layer_rates(w.trainer, "conv1", most, 0),
        "rate is 1000: must be at");
    BAD(an_trainer_set_layer_rates(w.trainer, "conv1", NAN, 0), "rate is");
    BAD(an_trainer_set_layer_rates(w.trainer, "conv1", 0, most),
        "bias_rate is 1000: must");
    BAD(an_trainer_get_layer_rates(w.trainer, "fc8", out.floats, out.floats),
        "layer is \"fc8\"");
    BAD(an_trainer_set_schedule(w.trainer, changes, 65),
        "count is 65: must be at most 64");
    changes[3].epoch = 9;
    BAD(an_trainer_set_schedule(w.trainer, changes, 5),
        "changes[4].epoch is 0: before that of changes[3]");
    changes[3].epoch = 0;
    memset(changes[63].layer, 'c', sizeof changes[63].layer);
    BAD(an_trainer_set_schedule(w.trainer, changes, 64),
        "changes[63].layer does not end");
    strcpy(changes[63].layer, "conv9");
    BAD(an_trainer_set_schedule(w.trainer, changes, 64), "layer is \"conv9\"");
    strcpy(changes[63].layer, "fc4");
    changes[63].rate = most;
    BAD(an_trainer_set_schedule(w.trainer, changes, 64), "changes.rate is 1000: must be");
    changes[63].rate = 7;
    changes[63].bias_rate = NAN;
    BAD(an_trainer_set_schedule(w.trainer, changes, 64), "changes.bias_rate is");
    BAD(an_trainer_end_epoch(w.trainer, NAN, &out.epoch),
        "validation_error is not finite");
    BAD(an_trainer_end_epoch(w.trainer, INFINITY, &out.epoch), "validation_error is not");
    expect_ok(an_trainer_get_config(w.trainer, &now));
    expect_number(now.rate, 0.01f, 0, "after all that was refused");
    expect_ok(
        an_trainer_get_layer_rates(w.trainer, "fc4", &out.floats[0], &out.floats[1]));
    expect_number(out.floats[0], 0.01f, 0, "after all that was refused");
    expect_ok(an_trainer_epoch(w.trainer, &out.number, NULL));
    expect_count(out.number, 0, "epochs after all that was refused");
    changes[63].bias_rate = 1000;
    expect_ok(an_trainer_set_schedule(w.trainer, changes, 64)); /* of epoch 0: made now */
    expect_ok(
        an_trainer_get_layer_rates(w.trainer, "fc4", &out.floats[0], &out.floats[1]));
    expect_number(out.floats[0], 7, 0, "the last change");
    expect_number(out.floats[1], 1000, 0, "the last change");
}
END_TEST

/* Of a preset whose biases learn twice as fast: what is in force is within the limits, so
 * that the trainer's own config and file are taken again. */
START_TEST(a_rate_that_is_doubled_is_within_the_limits)
{
    an_model_config config = small_config(AN_ARCH_OWT2014);
    an_trainer_config training = small_training(1), now = {.size = sizeof now};
    an_model *model, *again;
    an_trainer *trainer;

    config.width = 0.02f;
    expect_ok(an_model_create(&model, w.at.ctx, &config));
    training.rate = 501;
    BAD(an_trainer_create(&out.trainer, model, &training),
        "config.bias_rate is 1002: must be");
    training.rate = 500;
    expect_ok(an_trainer_create(&trainer, model, &training));
    BAD(an_trainer_set_rates(trainer, 501, -1), "config.bias_rate is 1002: must be");
    expect_ok(an_trainer_get_config(trainer, &now));
    expect_number(now.bias_rate, 1000, 0, "twice the rate");
    expect_ok(an_trainer_save(trainer, w.file));
    expect_ok(an_model_load(&again, w.at.ctx, w.file, NULL));
    an_trainer_destroy(trainer);
    expect_ok(an_trainer_load(&trainer, again, w.file));
    an_trainer_destroy(trainer);
    expect_ok(an_trainer_create(&trainer, model, &now));
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_model_destroy(again);
}
END_TEST

START_TEST(gradients_and_trainers_have_their_moment)
{
    WRONG_MOMENT(an_trainer_create(&out.trainer, w.model, NULL), "has a trainer already");
    WRONG_MOMENT(an_trainer_load(&out.trainer, w.model, w.file), "has a trainer already");
    BAD(an_trainer_get_gradient(w.trainer, 8, out.floats, 8),
        "index is 8: the model has 8");
    BAD(an_trainer_get_gradient(w.trainer, 1, out.floats, 7), "conv1.bias has 8 numbers");
    BAD(an_trainer_get_gradient(w.trainer, 1, out.floats, 9), "conv1.bias has 8 numbers");
    WRONG_MOMENT(an_trainer_get_gradient(w.trainer, 1, out.floats, 8),
                 "no step has been done");
    expect_ok(an_trainer_set_layer_rates(w.trainer, "conv1", 0, 0));
    expect_ok(an_train_step(w.trainer, w.images, w.labels, 2, NULL));
    WRONG_MOMENT(an_trainer_get_gradient(w.trainer, 1, out.floats, 8),
                 "conv1.bias: its layer was frozen");
    w.images[0] = NAN;
    REFUSED(an_train_step(w.trainer, w.images, w.labels, 2, NULL), AN_ERROR_DIVERGED,
            "input");
    WRONG_MOMENT(an_trainer_get_gradient(w.trainer, 3, out.floats, 8), "no step");
    w.images[0] = 0;
    expect_ok(an_train_step(w.trainer, w.images, w.labels, 2, NULL));
    expect_ok(an_trainer_get_gradient(w.trainer, 3, out.floats, 8));
}
END_TEST

/* --- checkpoints ------------------------------------------------------------------- */

static ptrdiff_t read_nothing(void *data, size_t bytes, void *user)
{
    (void)data;
    (void)bytes;
    return *(ptrdiff_t *)user;
}

/* Fails at its call number *user, counted down. */
static int write_some(const void *data, size_t bytes, void *user)
{
    (void)data;
    ck_assert_uint_gt(bytes, 0);
    ck_assert_uint_le(bytes, 1 << 20);
    return --*(int *)user == 0 ? 5 : 0;
}

static void put_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(files_that_are_no_checkpoints_are_refused)
{
    ptrdiff_t fails = -1, ends = 0;
    char *nowhere = strdup(inside(&w.at, "no/where")),
         *text = strdup(inside(&w.at, "text"));
    char *model = strdup(inside(&w.at, "model"));

    REFUSED(an_model_load(&out.model, w.at.ctx, nowhere, NULL), AN_ERROR_IO, nowhere);
    REFUSED(an_model_load(&out.model, w.at.ctx, w.at.folder, NULL), AN_ERROR_IO,
            "is a folder, not a file");
    REFUSED(an_trainer_load(&out.trainer, w.free_model, nowhere), AN_ERROR_IO, nowhere);
    REFUSED(an_model_save(w.model, nowhere), AN_ERROR_IO, nowhere);
    REFUSED(an_trainer_save(w.trainer, nowhere), AN_ERROR_IO, nowhere);
    put_text(text, "seven b");
    REFUSED(an_model_load(&out.model, w.at.ctx, text, NULL), AN_ERROR_FORMAT,
            "fewer than 8");
    put_text(text, "this is a text and no checkpoint");
    REFUSED(an_model_load(&out.model, w.at.ctx, text, NULL), AN_ERROR_FORMAT, "but text");
    REFUSED(an_trainer_load(&out.trainer, w.free_model, text), AN_ERROR_FORMAT,
            "but text");
    REFUSED(an_model_read(&out.model, w.at.ctx, read_nothing, &fails, NULL), AN_ERROR_IO,
            "reader failed");
    REFUSED(an_trainer_read(&out.trainer, w.free_model, read_nothing, &fails),
            AN_ERROR_IO, "reader failed");
    REFUSED(an_model_read(&out.model, w.at.ctx, read_nothing, &ends, NULL),
            AN_ERROR_FORMAT, NULL);
    REFUSED(an_trainer_read(&out.trainer, w.free_model, read_nothing, &ends),
            AN_ERROR_FORMAT, NULL);
    expect_ok(an_model_save(w.model, model));
    REFUSED(an_trainer_load(&out.trainer, w.free_model, model), AN_ERROR_FORMAT,
            "trainer");
    free(nowhere);
    free(text);
    free(model);
}
END_TEST

START_TEST(a_writer_may_fail_at_any_piece)
{
    int call, calls;

    for (call = 1;; call++) {
        int left = call;

        if (an_trainer_write(w.trainer, write_some, &left) == AN_OK) break;
        left = call;
        REFUSED(an_trainer_write(w.trainer, write_some, &left), AN_ERROR_IO,
                "the writer failed");
        expect_count((uint64_t)left, 0, "calls after one that failed");
    }
    calls = call - 1;
    ck_assert_int_ge(calls, 17); /* the header, 8 parameters, as many velocities */
    for (call = 1; call <= calls - 8; call++) {
        int left = call;

        REFUSED(an_model_write(w.model, write_some, &left), AN_ERROR_IO,
                "the writer failed");
    }
}
END_TEST

typedef struct written {
    uint8_t *bytes;
    size_t count, room, largest; /* largest: piece */
} written;

static int write_memory(const void *data, size_t bytes, void *user)
{
    written *to = user;

    if (bytes > to->room - to->count) return 1;
    memcpy(to->bytes + to->count, data, bytes);
    to->count += bytes;
    if (bytes > to->largest) to->largest = bytes;
    return 0;
}

/* Of a tensor and of a mean image of more than 1 MiB. */
START_TEST(a_writer_gets_the_files_bytes_in_pieces)
{
    enum { ROOM = 4 << 20, IMAGE_SIDE = 300 };
    const size_t count = 3 * IMAGE_SIDE * IMAGE_SIDE;
    written to = {malloc(ROOM), 0, ROOM, 0};
    uint8_t *saved = malloc(ROOM);
    float *mean = malloc(count * sizeof *mean), *back = malloc(count * sizeof *back);
    an_preprocessing p = {.size = sizeof p};
    an_model_config config = world_model();
    an_model *model, *again;
    FILE *file;

    config.width = 0.02f;
    config.classes = 5000; /* rows of 64 numbers */
    noise_floats(mean, count, 8, 100);
    expect_ok(an_model_create(&model, w.at.ctx, &config));
    expect_ok(an_model_get_preprocessing(model, &p));
    p.side = IMAGE_SIDE;
    expect_ok(an_model_set_preprocessing(model, &p));
    expect_ok(an_model_set_mean_image(model, mean, count));
    expect_ok(an_model_write(model, write_memory, &to));
    ck_assert_msg(to.largest <= 1 << 20, "a piece of %zu bytes", to.largest);
    ck_assert_uint_gt(to.count, (5000 * 64 + count) * sizeof(float));
    expect_ok(an_model_save(model, w.file));
    file = fopen(w.file, "rb");
    expect_count(fread(saved, 1, ROOM, file), to.count, "bytes of the file");
    fclose(file);
    expect_bytes(to.bytes, saved, to.count, "written, beside saved");
    expect_ok(an_model_load(&again, w.at.ctx, w.file, NULL));
    same_parameters(again, model, 0, "from the file");
    expect_ok(an_model_get_mean_image(again, back, count));
    expect_floats(back, mean, count, 0, "the mean image from the file");
    an_model_destroy(again);
    an_model_destroy(model);
    free(back);
    free(to.bytes);
    free(saved);
    free(mean);
}
END_TEST

START_TEST(what_is_another_models_is_refused)
{
    an_model_config config = world_model();
    an_model *narrow;

    config.width = 0.02f;
    config.classes = 3;
    config.seed = 9;
    expect_ok(an_model_create(&narrow, w.at.ctx, &config));
    WRONG_MOMENT(an_trainer_load(&out.trainer, narrow, w.file), "");
    WRONG_MOMENT(an_model_transfer(w.free_model, narrow, NULL, &out.number),
                 "from has no parameter of this model's names and shapes");
    BAD(an_model_transfer(w.free_model, w.model, "conv4", &out.number),
        "skip is \"conv4\"");
    BAD(an_model_transfer(w.free_model, w.free_model, NULL, &out.number),
        "from is the model itself");
    WRONG_MOMENT(an_model_transfer(w.model, w.free_model, NULL, &out.number),
                 "the model has a trainer");
    expect_ok(an_model_transfer(w.free_model, w.model, "fc4", &out.number));
    expect_count(out.number, 6, "tensors but the last layer's");
    an_model_destroy(narrow);
}
END_TEST

/* --- packs ------------------------------------------------------------------------- */

START_TEST(packs_are_refused_by_argument_and_moment)
{
    char *folder = strdup(inside(&w.at, "pack")), *empty = strdup(inside(&w.at, "empty"));
    float mean[3 * SIDE * SIDE + 1];
    an_model_config config = world_model();

    REFUSED(an_pack_open(&out.pack, w.at.ctx, empty, NULL, NULL), AN_ERROR_IO, empty);
    BAD(an_pack_read(w.pack, 0, out.bytes, BYTES - 1, &out.label),
        "capacity is 431: the call writes 432");
    BAD(an_pack_read(w.pack, COUNT, out.bytes, ENOUGH, &out.label),
        "index is 30: the pack has 30");
    BAD(an_pack_mean_image(w.pack, out.floats, 3 * SIDE * SIDE - 1),
        "must be 3 * side * side");
    BAD(an_pack_mean_image(w.pack, out.floats, 3 * SIDE * SIDE + 1), "count is 433");
    expect_ok(an_pack_mean_image(w.pack, mean, 3 * SIDE * SIDE));
    BAD(an_pack_prepare_model(w.pack, w.free_model, 2, 0), "unit is 2: must be 0 or 1");
    BAD(an_pack_prepare_model(w.pack, w.free_model, 0, 2),
        "mean_image is 2: must be 0 or 1");
    BAD(an_pack_prepare_model(w.pack, w.free_model, 0, 0),
        "the pack's pictures are 12 wide: the model's crops are 32");
    ck_assert_ptr_null(an_pack_class_name(w.pack, CLASSES));
    config.image_size = SIDE;
    expect_ok(an_model_create(&out.model, w.at.ctx, &config));
    expect_ok(an_trainer_create(&out.trainer, out.model, NULL));
    expect_ok(an_pack_prepare_model(w.pack, out.model, 1, 1)); /* before the first step */
    expect_ok(an_train_step(out.trainer, w.images, w.labels, 1, NULL));
    expect_refused(an_pack_prepare_model(w.pack, out.model, 0, 0), AN_ERROR_STATE,
                   "has been trained with another input");
    an_trainer_destroy(out.trainer);
    an_model_destroy(out.model);
    free(folder);
    free(empty);
}
END_TEST

START_TEST(packings_are_refused_by_argument_and_moment)
{
    const an_pack_writer_config raw = packing_config(1 << 20, 0);
    an_pack_writer_config encoded = raw;
    char *folder = strdup(inside(&w.at, "made"));
    uint8_t pixels[BYTES] = {0};
    an_pack_writer *packing;

    encoded.kind = AN_PACK_JPEG;
    REFUSED(an_pack_writer_create(&out.packing, w.at.ctx, inside(&w.at, "pack"), &raw),
            AN_ERROR_STATE, "holds a finished pack");
    REFUSED(
        an_pack_writer_create(&out.packing, w.at.ctx, inside(&w.at, "no/where"), &raw),
        AN_ERROR_IO, "no/where");
    expect_ok(an_pack_writer_create(&packing, w.at.ctx, folder, &encoded));
    BAD(an_pack_writer_set_class_name(packing, CLASSES, "a"),
        "index is 3: the pack has 3 classes");
    BAD(an_pack_writer_set_class_name(packing, 0, "\xff"), "name is not UTF-8");
    BAD(an_pack_writer_add(packing, NULL, "x", 1, 0), "pixels is null");
    BAD(an_pack_writer_add(packing, pixels, NULL, 1, 0), "bytes is null, or count 0");
    BAD(an_pack_writer_add(packing, pixels, "x", 0, 0), "bytes is null, or count 0");
    BAD(an_pack_writer_add(packing, pixels, "x", 1, CLASSES),
        "label is 3: must be 0 to 2");
    BAD(an_pack_writer_add(packing, pixels, "x", 1, -1), "label is -1: must be 0 to 2");
    expect_count(an_pack_writer_position(packing), 0, "pictures");
    WRONG_MOMENT(an_pack_writer_finish(packing), "class 0 (unnamed) has no picture");
    expect_ok(an_pack_writer_add(packing, pixels, "x", 1, 0));
    expect_ok(an_pack_writer_add(packing, pixels, "x", 1, 2));
    expect_ok(an_pack_writer_set_class_name(packing, 1, "empty"));
    WRONG_MOMENT(an_pack_writer_finish(packing), "class 1 (empty) has no picture");
    expect_ok(an_pack_writer_sync(packing));
    WRONG_MOMENT(an_pack_open(&out.pack, w.at.ctx, folder, NULL, NULL),
                 "was not finished");
    expect_ok(an_pack_writer_add(packing, pixels, "x", 1, 1));
    expect_ok(an_pack_writer_finish(packing));
    WRONG_MOMENT(an_pack_writer_add(packing, pixels, "x", 1, 1), "the pack is finished");
    WRONG_MOMENT(an_pack_writer_skip(packing), "the pack is finished");
    WRONG_MOMENT(an_pack_writer_sync(packing), "the pack is finished");
    WRONG_MOMENT(an_pack_writer_finish(packing), "the pack is finished");
    WRONG_MOMENT(an_pack_writer_set_class_name(packing, 0, "a"), "the pack is finished");
    BAD(an_pack_open(&out.pack, w.at.ctx, folder, NULL, NULL), "decode is null");
    an_pack_writer_destroy(packing);
    free(folder);
}
END_TEST

/* --- loaders, recipes -------------------------------------------------------------- */

START_TEST(loaders_are_refused_by_argument_and_moment)
{
    const an_source source = world_source(&w);
    an_loader_config loading = world_loading();
    an_preprocessing p = {.size = sizeof p};

    BAD(an_loader_seek(w.loader, 0, 3), "step is 3: an epoch has 3");
    expect_ok(an_loader_seek(w.loader, UINT32_MAX, 2));
    expect_ok(an_loader_next(w.loader, &out.batch));
    expect_count(out.batch.step, 2, "after seeking");
    expect_count(out.batch.count, 1, "5 pictures, 2 at a time");
    outputs_open(&out, &before);
    expect_ok(an_model_get_preprocessing(w.free_model, &p));
    memset(p.colour_deviation, 0, sizeof p.colour_deviation);
    expect_ok(an_model_set_preprocessing(w.free_model, &p));
    loading.augment = AN_AUGMENT_COLOUR;
    WRONG_MOMENT(an_loader_create(&out.loader, w.free_model, &source, &loading),
                 "config.augment has AN_AUGMENT_COLOUR");
    p.colour_deviation[2] = 1;
    expect_ok(an_model_set_preprocessing(w.free_model, &p));
    expect_ok(an_loader_create(&out.loader, w.free_model, &source, &loading));
    an_loader_destroy(out.loader);
}
END_TEST

START_TEST(recipes_are_refused_by_argument)
{
    an_model_config model = {.size = 8};
    an_trainer_config trainer = {.size = sizeof trainer, .batch = 77};
    an_loader_config loader = {.size = sizeof loader, .batch = 78};

    BAD(an_recipe_describe(4, &out.recipe), "index is 4: there are 4 recipes");
    BAD(an_recipe_find("alexnet", &out.number), "name is \"alexnet\": the recipes are ");
    BAD(an_recipe_apply("", 0, NULL, NULL, NULL), "name is \"\": the recipes are ");
    BAD(an_recipe_apply("paper", 0, &model, &trainer, &loader), "model.size is 8");
    expect_count(trainer.batch, 77, "all or none");
    expect_count(loader.batch, 78, "all or none");
    BAD(an_recipe_schedule("papers", w.trainer, 0, 0), "name is \"papers\"");
    BAD(an_recipe_schedule("paper", w.trainer, 0, -1), "rate is -1: must be 0 to 1000");
    BAD(an_recipe_schedule("paper", w.trainer, 0, nextafterf(1000, 2000)),
        "rate is 1000: must");
    BAD(an_recipe_schedule("paper", w.trainer, 0, NAN), "rate is");
    expect_ok(an_recipe_describe(3, &out.recipe));
    expect_text(out.recipe.name, "small-data", "the last recipe");
}
END_TEST

/* The first and the last character of each length, what is one beyond, and what is cut
 * off: RFC 3629, section 4. */
START_TEST(names_are_well_formed_utf8)
{
    static const char *const good[] = {
        "\x7f",         "\xc2\x80",         "\xdf\xbf",
        "\xe0\xa0\x80", "\xed\x9f\xbf",     "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x7f",
                                      "\xc2\xc0",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xe1\x80",
                                      "\xe1\x80z",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xf1\x80\x80",
                                      "\xff"};
    size_t i;

    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        expect_ok(an_model_set_class_name(w.model, 0, good[i]));
        expect_text(an_model_class_name(w.model, 0), good[i], "name %zu", i);
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
        BAD(an_model_set_class_name(w.model, 0, bad[i]), "name is not UTF-8");
}
END_TEST

Suite *states_suite(void)
{
    Suite *suite = suite_create("states");
    TCase *tc = tcase_create("states");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, steps_are_refused_by_argument);
    tcase_add_test(tc, a_step_in_flight_is_alone);
    tcase_add_test(tc, rates_and_schedules_are_refused_by_argument);
    tcase_add_test(tc, a_rate_that_is_doubled_is_within_the_limits);
    tcase_add_test(tc, gradients_and_trainers_have_their_moment);
    tcase_add_test(tc, files_that_are_no_checkpoints_are_refused);
    tcase_add_test(tc, a_writer_may_fail_at_any_piece);
    tcase_add_test(tc, a_writer_gets_the_files_bytes_in_pieces);
    tcase_add_test(tc, what_is_another_models_is_refused);
    tcase_add_test(tc, packs_are_refused_by_argument_and_moment);
    tcase_add_test(tc, packings_are_refused_by_argument_and_moment);
    tcase_add_test(tc, loaders_are_refused_by_argument_and_moment);
    tcase_add_test(tc, recipes_are_refused_by_argument);
    tcase_add_test(tc, names_are_well_formed_utf8);
    suite_add_tcase(suite, tc);
    return suite;
}
