/*
 * test_api.c - what every caller meets: arguments, limits, structs of other versions.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "test.h"
#include "train/train.h"

static an_context *ctx;
static an_model *model;
static an_trainer *trainer;

static void setup(void)
{
    an_model_config config;

    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.width = 0.1f;
    ck_assert_int_eq(an_context_create(&ctx, NULL), AN_OK);
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    ck_assert_int_eq(an_trainer_create(&trainer, model, NULL), AN_OK);
}

static void teardown(void)
{
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
}

START_TEST(versions_and_names)
{
    an_arch arch = AN_ARCH_OWT2014;
    int s;

    ck_assert_uint_eq(an_version(), AN_VERSION_NUMBER);
    ck_assert_str_eq(an_version_string(), "1.0.0");
    ck_assert_ptr_nonnull(strstr(an_build_info(), an_version_string()));
    ck_assert_str_eq(an_status_string(AN_OK), "ok");
    ck_assert_str_eq(an_status_string(AN_ERROR_DIVERGED), "diverged");
    ck_assert_str_eq(an_status_string((an_status)12345), "unknown");
    for (s = 0; s < 100; s++) ck_assert_ptr_nonnull(an_status_string((an_status)s));
    ck_assert_ptr_null(an_arch_name(0));
    ck_assert_ptr_null(an_arch_name(AN_ARCH_LAST + 1));
    expect_refused(
        an_arch_find("alexnet", &arch), AN_ERROR_ARGUMENT,
        "name is \"alexnet\": the presets are paper, krizhevsky2012, floor224, "
        "caffe_alexnet, caffenet, owt2014, torchvision, cifar10");
    expect_refused(an_arch_find(NULL, &arch), AN_ERROR_ARGUMENT, "name is null");
    expect_refused(an_arch_find("paper", NULL), AN_ERROR_ARGUMENT, "arch is null");
    ck_assert_int_eq(arch, AN_ARCH_OWT2014);
}
END_TEST

/* --- null -------------------------------------------------------------------------- */

static an_status refuse(const void *data, size_t bytes, ...)
{
    (void)data;
    (void)bytes;
    return AN_OK;
}

static int no_write(const void *data, size_t bytes, void *user)
{
    (void)user;
    return (int)refuse(data, bytes);
}

static ptrdiff_t no_read(void *data, size_t bytes, void *user)
{
    (void)user;
    return (ptrdiff_t)refuse(data, bytes);
}

#define REFUSED(call)                                                                    \
    do {                                                                                 \
        ck_assert_int_eq((call), AN_ERROR_ARGUMENT);                                     \
        ck_assert_msg(strstr(an_error_message(), "null") != NULL, "%s: %s", #call,       \
                      an_error_message());                                               \
    } while (0)

START_TEST(null_is_refused_by_name)
{
    uint8_t note[AN_TRAINER_NOTE_BYTES] = {0}, pixel[3] = {0};
    float x = 0, *out = malloc(3 * 32 * 32 * sizeof *out);
    int32_t label = 0;
    uint32_t n = 0;
    an_context *c = NULL;
    an_model *m = NULL;
    an_trainer *t = NULL;
    an_kernel_time kernel;
    an_image image;

    an_kernel_time_init(&kernel, sizeof kernel);
    an_image_init(&image, sizeof image);
    image.pixels = pixel;
    image.width = image.height = 1;
    REFUSED(an_context_create(NULL, NULL));
    REFUSED(an_device_count(NULL, &n));
    REFUSED(an_device_count(ctx, NULL));
    REFUSED(an_device_describe(NULL, 0, NULL));
    REFUSED(an_device_describe(ctx, 0, NULL));
    REFUSED(an_model_create(NULL, ctx, NULL));
    REFUSED(an_model_create(&m, NULL, NULL));
    REFUSED(an_model_describe(NULL, NULL));
    REFUSED(an_model_describe(model, NULL));
    REFUSED(an_model_get_config(NULL, NULL));
    REFUSED(an_model_get_config(model, NULL));
    REFUSED(an_layer_describe(NULL, 0, NULL));
    REFUSED(an_layer_describe(model, 0, NULL));
    REFUSED(an_model_profile(NULL, 1, 0, NULL, 4));
    REFUSED(an_model_profile(model, 1, 0, NULL, 4));
    REFUSED(an_train_step_begin(NULL, NULL));
    REFUSED(an_train_step_begin(trainer, NULL));
    REFUSED(an_train_step_end(NULL, NULL));
    REFUSED(an_model_profile_kernels(NULL, 1, 0, &kernel, 1, &n));
    REFUSED(an_model_profile_kernels(model, 1, 0, NULL, 1, &n));
    REFUSED(an_model_profile_kernels(model, 1, 0, &kernel, 1, NULL));
    REFUSED(an_model_set_class_name(NULL, 0, "a"));
    REFUSED(an_model_set_class_name(model, 0, NULL));
    REFUSED(an_parameter_describe(NULL, 0, NULL));
    REFUSED(an_parameter_describe(model, 0, NULL));
    REFUSED(an_parameter_find(NULL, "a", &n));
    REFUSED(an_parameter_find(model, NULL, &n));
    REFUSED(an_parameter_find(model, "conv1.weight", NULL));
    REFUSED(an_parameter_get(NULL, 0, &x, 1));
    REFUSED(an_parameter_get(model, 0, NULL, 1));
    REFUSED(an_parameter_set(NULL, 0, &x, 1));
    REFUSED(an_parameter_set(model, 0, NULL, 1));
    REFUSED(an_model_set_preprocessing(NULL, NULL));
    REFUSED(an_model_set_preprocessing(model, NULL));
    REFUSED(an_model_get_preprocessing(NULL, NULL));
    REFUSED(an_model_get_preprocessing(model, NULL));
    REFUSED(an_image_fit(NULL, 1, pixel, ENOUGH));
    REFUSED(an_image_fit(&image, 1, NULL, ENOUGH));
    REFUSED(an_preprocess(NULL, &image, 0, out, ENOUGH));
    REFUSED(an_preprocess(model, NULL, 0, out, ENOUGH));
    REFUSED(an_preprocess(model, &image, 0, NULL, ENOUGH));
    REFUSED(an_infer(NULL, out, 1, out, ENOUGH));
    REFUSED(an_infer(model, NULL, 1, out, ENOUGH));
    REFUSED(an_infer(model, out, 1, NULL, ENOUGH));
    REFUSED(an_infer_images(NULL, &image, 1, out, ENOUGH));
    REFUSED(an_infer_images(model, NULL, 1, out, ENOUGH));
    REFUSED(an_infer_images(model, &image, 1, NULL, ENOUGH));
    REFUSED(an_evaluate(NULL, out, &label, 1, NULL));
    REFUSED(an_evaluate(model, NULL, &label, 1, NULL));
    REFUSED(an_evaluate(model, out, NULL, 1, NULL));
    REFUSED(an_evaluate(model, out, &label, 1, NULL));
    REFUSED(an_evaluate_images(model, NULL, &label, 1, NULL));
    REFUSED(an_trainer_create(NULL, model, NULL));
    REFUSED(an_trainer_create(&t, NULL, NULL));
    REFUSED(an_train_step(NULL, out, &label, 1, NULL));
    REFUSED(an_train_step(trainer, NULL, &label, 1, NULL));
    REFUSED(an_train_step(trainer, out, NULL, 1, NULL));
    REFUSED(an_train_step_images(NULL, &image, &label, 1, NULL));
    REFUSED(an_train_step_images(trainer, NULL, &label, 1, NULL));
    REFUSED(an_train_step_images(trainer, &image, NULL, 1, NULL));
    REFUSED(an_trainer_get_config(NULL, NULL));
    REFUSED(an_trainer_get_config(trainer, NULL));
    REFUSED(an_trainer_set_rates(NULL, 0, 0));
    REFUSED(an_trainer_get_gradient(NULL, 0, &x, 1));
    REFUSED(an_trainer_get_gradient(trainer, 0, NULL, 1));
    REFUSED(an_trainer_set_note(NULL, note));
    REFUSED(an_trainer_set_note(trainer, NULL));
    REFUSED(an_trainer_get_note(NULL, note));
    REFUSED(an_trainer_get_note(trainer, NULL));
    REFUSED(an_model_load(NULL, ctx, "a", NULL));
    REFUSED(an_model_load(&m, NULL, "a", NULL));
    REFUSED(an_model_load(&m, ctx, NULL, NULL));
    REFUSED(an_model_save(NULL, "a"));
    REFUSED(an_model_save(model, NULL));
    REFUSED(an_model_read(NULL, ctx, no_read, NULL, NULL));
    REFUSED(an_model_read(&m, NULL, no_read, NULL, NULL));
    REFUSED(an_model_read(&m, ctx, NULL, NULL, NULL));
    REFUSED(an_model_write(NULL, no_write, NULL));
    REFUSED(an_model_write(model, NULL, NULL));
    REFUSED(an_trainer_save(NULL, "a"));
    REFUSED(an_trainer_save(trainer, NULL));
    REFUSED(an_trainer_write(NULL, no_write, NULL));
    REFUSED(an_trainer_write(trainer, NULL, NULL));
    REFUSED(an_trainer_load(NULL, model, "a"));
    REFUSED(an_trainer_load(&t, NULL, "a"));
    REFUSED(an_trainer_load(&t, model, NULL));
    REFUSED(an_trainer_read(NULL, model, no_read, NULL));
    REFUSED(an_trainer_read(&t, NULL, no_read, NULL));
    REFUSED(an_trainer_read(&t, model, NULL, NULL));
    ck_assert_ptr_null(c);
    ck_assert_ptr_null(m);
    ck_assert_ptr_null(t);
    ck_assert_uint_eq(an_trainer_iteration(NULL), 0);
    ck_assert_uint_eq(an_context_threads(NULL), 0);
    ck_assert_ptr_null(an_model_class_name(NULL, 0));
    an_context_destroy(NULL);
    an_model_destroy(NULL);
    an_trainer_destroy(NULL);
    free(out);
}
END_TEST

static int no_fetch(uint64_t index, an_sample *sample, void *user)
{
    (void)index;
    (void)sample;
    (void)user;
    return 1;
}

START_TEST(null_is_refused_by_what_serves_training)
{
    float x[10] = {0};
    uint8_t pixels[3] = {0};
    int32_t label = 0;
    uint32_t n = 0;
    size_t count = 0;
    an_pack_writer *packing = NULL;
    an_loader *loader = NULL;
    an_pack *pack = NULL;
    an_pack_writer_config config;
    an_source source;
    an_image image;
    an_batch batch;

    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = image.height = 1;
    an_pack_writer_config_init(&config, sizeof config);
    an_source_init(&source, sizeof source);
    source.count = 1;
    an_batch_init(&batch, sizeof batch);
    REFUSED(an_image_warp(NULL, 1, pixels, ENOUGH));
    REFUSED(an_image_warp(&image, 1, NULL, ENOUGH));
    REFUSED(an_model_set_mean_image(NULL, x, 1));
    REFUSED(an_model_set_mean_image(model, NULL, 1));
    REFUSED(an_model_get_mean_image(NULL, x, 1));
    REFUSED(an_model_get_mean_image(model, NULL, 1));
    REFUSED(an_infer_views(NULL, &image, 1, 1, x, ENOUGH));
    REFUSED(an_infer_views(model, NULL, 1, 1, x, ENOUGH));
    REFUSED(an_infer_views(model, &image, 1, 1, NULL, ENOUGH));
    REFUSED(an_score(NULL, 2, &label, 1, NULL));
    REFUSED(an_score(x, 2, NULL, 1, NULL));
    REFUSED(an_score(x, 2, &label, 1, NULL));
    REFUSED(an_activation_count(NULL, "conv1", AN_POINT_LINEAR, &count, NULL));
    REFUSED(an_activation_count(model, NULL, AN_POINT_LINEAR, &count, NULL));
    REFUSED(an_activation_count(model, "conv1", AN_POINT_LINEAR, NULL, NULL));
    REFUSED(an_infer_layer(NULL, x, 1, "conv1", AN_POINT_LINEAR, x, ENOUGH));
    REFUSED(an_infer_layer(model, NULL, 1, "conv1", AN_POINT_LINEAR, x, ENOUGH));
    REFUSED(an_infer_layer(model, x, 1, NULL, AN_POINT_LINEAR, x, ENOUGH));
    REFUSED(an_infer_layer(model, x, 1, "conv1", AN_POINT_LINEAR, NULL, ENOUGH));
    REFUSED(an_infer_layer_images(model, NULL, 1, "conv1", AN_POINT_LINEAR, x, ENOUGH));
    REFUSED(an_trainer_set_layer_rates(NULL, "conv1", 0, 0));
    REFUSED(an_trainer_set_layer_rates(trainer, NULL, 0, 0));
    REFUSED(an_trainer_get_layer_rates(NULL, "conv1", x, x));
    REFUSED(an_trainer_get_layer_rates(trainer, NULL, x, x));
    REFUSED(an_trainer_get_layer_rates(trainer, "conv1", NULL, x));
    REFUSED(an_trainer_get_layer_rates(trainer, "conv1", x, NULL));
    REFUSED(an_trainer_set_schedule(NULL, NULL, 0));
    REFUSED(an_trainer_set_schedule(trainer, NULL, 1));
    REFUSED(an_trainer_end_epoch(NULL, 0, NULL));
    REFUSED(an_trainer_epoch(NULL, &n, &n));
    REFUSED(an_model_transfer(NULL, model, NULL, &n));
    REFUSED(an_model_transfer(model, NULL, NULL, &n));
    REFUSED(an_pack_open(NULL, ctx, "a", NULL, NULL));
    REFUSED(an_pack_open(&pack, NULL, "a", NULL, NULL));
    REFUSED(an_pack_open(&pack, ctx, NULL, NULL, NULL));
    REFUSED(an_pack_describe(NULL, NULL));
    REFUSED(an_pack_read(NULL, 0, pixels, ENOUGH, &label));
    REFUSED(an_pack_mean_image(NULL, x, 1));
    REFUSED(an_pack_prepare_model(NULL, model, 0, 0));
    REFUSED(an_pack_source(NULL, &source));
    REFUSED(an_pack_writer_create(NULL, ctx, "a", &config));
    REFUSED(an_pack_writer_create(&packing, NULL, "a", &config));
    REFUSED(an_pack_writer_create(&packing, ctx, NULL, &config));
    REFUSED(an_pack_writer_create(&packing, ctx, "a", NULL));
    REFUSED(an_pack_writer_set_class_name(NULL, 0, "a"));
    REFUSED(an_pack_writer_add(NULL, pixels, NULL, 0, 0));
    REFUSED(an_pack_writer_skip(NULL));
    REFUSED(an_pack_writer_sync(NULL));
    REFUSED(an_pack_writer_finish(NULL));
    REFUSED(an_loader_create(NULL, model, &source, NULL));
    REFUSED(an_loader_create(&loader, NULL, &source, NULL));
    REFUSED(an_loader_create(&loader, model, NULL, NULL));
    REFUSED(an_loader_create(&loader, model, &source, NULL)); /* fetch */
    source.fetch = no_fetch;
    REFUSED(an_loader_next(NULL, &batch));
    REFUSED(an_loader_seek(NULL, 0, 0));
    REFUSED(an_loader_describe(NULL, NULL));
    REFUSED(an_recipe_describe(0, NULL));
    REFUSED(an_recipe_find(NULL, &n));
    REFUSED(an_recipe_find("paper", NULL));
    REFUSED(an_recipe_apply(NULL, 0, NULL, NULL, NULL));
    REFUSED(an_recipe_schedule(NULL, trainer, 0, 0));
    REFUSED(an_recipe_schedule("paper", NULL, 0, 0));
    ck_assert_int_eq(an_recipe_apply("paper", 0, NULL, NULL, NULL), AN_OK);
    ck_assert_int_eq(an_loader_create(&loader, model, &source, NULL), AN_OK);
    REFUSED(an_loader_next(loader, NULL));
    REFUSED(an_loader_describe(loader, NULL));
    ck_assert_int_eq(an_loader_next(loader, &batch), AN_ERROR_IO);
    an_loader_destroy(loader);
    ck_assert_ptr_null(pack);
    ck_assert_ptr_null(packing);
    ck_assert_uint_eq(an_pack_writer_position(NULL), 0);
    ck_assert_ptr_null(an_pack_class_name(NULL, 0));
    an_pack_destroy(NULL);
}
END_TEST

/* --- limits of every field: the message names it ----------------------------------- */

static void model_field(const an_model_config *config, an_status want, const char *word)
{
    an_model *m = NULL;
    an_status got = an_model_create(&m, ctx, config);

    ck_assert_msg(got == want, "%s: %d, %s", word, (int)got, an_error_message());
    if (want != AN_OK)
        ck_assert_msg(strstr(an_error_message(), word) != NULL, "%s: %s", word,
                      an_error_message());
    an_model_destroy(m);
}

#define FIELD(name, good, bad)                                                           \
    do {                                                                                 \
        an_model_config_init(&c, sizeof c);                                              \
        c.arch = AN_ARCH_PAPER;                                                          \
        c.width = 0.02f;                                                                 \
        c.name = good;                                                                   \
        model_field(&c, AN_OK, #name);                                                   \
        c.name = bad;                                                                    \
        model_field(&c, AN_ERROR_ARGUMENT, #name);                                       \
    } while (0)

START_TEST(model_config_limits)
{
    an_model_config c;

    FIELD(arch, AN_ARCH_LAST, AN_ARCH_LAST + 1);
    FIELD(arch, AN_ARCH_PAPER, 0);
    FIELD(classes, 2, 1);
    FIELD(classes, 65536, 65537);
    FIELD(image_size, 300, 1025);
    FIELD(image_size, 67, 63);
    FIELD(activation, AN_ACTIVATION_SIGMOID, AN_ACTIVATION_SIGMOID + 1);
    FIELD(lrn, AN_SWITCH_OFF, AN_SWITCH_OFF + 1);
    FIELD(pooling, AN_POOLING_PLAIN, AN_POOLING_PLAIN + 1);
    FIELD(dropout, AN_SWITCH_OFF, AN_SWITCH_OFF + 1);
    FIELD(dropout_scaling, AN_DROPOUT_SCALING_TRAIN, AN_DROPOUT_SCALING_TRAIN + 1);
    FIELD(dropout_rate, 0.9499f, 0.95f);
    FIELD(dropout_rate, 0.1f, -0.1f);
    FIELD(dropout_rate, 0.1f, NAN);
    FIELD(width, 0.02f, 0.0199f);
    FIELD(width, 0.1f, 4.01f);
    FIELD(width, 0.1f, NAN);
    FIELD(groups, 2, 3);
    FIELD(towers, 2, 3);
    FIELD(remove_conv, 5, 6);
    FIELD(remove_conv, 2, 1);
    FIELD(extra_conv, 1, 2);
    FIELD(initialisation, AN_INIT_HE, AN_INIT_HE + 1);
    FIELD(precision, AN_PRECISION_TF32X3, 4);
    FIELD(devices, "cpu", "cpu,cpu");
    FIELD(devices, "cpu:0", "cpu:");
    FIELD(devices, "cpu", "cpu:x");
    an_model_config_init(&c, sizeof c);
    c.arch = AN_ARCH_CIFAR10;
    c.devices = "tpu";
    model_field(&c, AN_ERROR_BACKEND, "tpu");
    c.devices = "cpu:1";
    model_field(&c, AN_ERROR_DEVICE, "cpu:1");
}
END_TEST

#define TRAINER_FIELD(name, good, bad)                                                   \
    do {                                                                                 \
        an_trainer *t = NULL;                                                            \
                                                                                         \
        an_trainer_config_init(&c, sizeof c);                                            \
        c.name = good;                                                                   \
        ck_assert_int_eq(an_trainer_create(&t, model, &c), AN_OK);                       \
        an_trainer_destroy(t);                                                           \
        t = NULL;                                                                        \
        c.name = bad;                                                                    \
        ck_assert_int_eq(an_trainer_create(&t, model, &c), AN_ERROR_ARGUMENT);           \
        ck_assert_ptr_null(t);                                                           \
        ck_assert_msg(strstr(an_error_message(), #name) != NULL, "%s",                   \
                      an_error_message());                                               \
    } while (0)

START_TEST(trainer_config_limits)
{
    an_trainer_config c;

    an_trainer_destroy(trainer);
    trainer = NULL;
    TRAINER_FIELD(batch, 1, 0);
    TRAINER_FIELD(batch, 100, 8193);
    TRAINER_FIELD(augment, 3, 4);
    TRAINER_FIELD(rate, 0, -0.1f);
    TRAINER_FIELD(rate, 1000, 1001);
    TRAINER_FIELD(rate, 1, NAN);
    TRAINER_FIELD(bias_rate, -5, 1001);
    TRAINER_FIELD(bias_rate, 0, NAN);
    TRAINER_FIELD(momentum, 0, -0.1f);
    TRAINER_FIELD(momentum, 0.99f, 1);
    TRAINER_FIELD(weight_decay, 1, 1.1f);
    TRAINER_FIELD(bias_decay, 1, 1.1f);
    TRAINER_FIELD(reserved, 0, 1);
}
END_TEST

START_TEST(context_config_limits)
{
    an_context_config c;
    an_context *made = NULL;

    an_context_config_init(&c, sizeof c);
    c.threads = 257;
    ck_assert_int_eq(an_context_create(&made, &c), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "threads"));
    an_context_config_init(&c, sizeof c);
    c.alloc = (an_alloc_fn)(uintptr_t)&made;
    ck_assert_int_eq(an_context_create(&made, &c), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "release"));
    an_context_config_init(&c, sizeof c);
    c.cpu_path = AN_CPU_PATH_AVX512 + 1;
    ck_assert_int_eq(an_context_create(&made, &c), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "cpu_path"));
    ck_assert_ptr_null(made);
    an_context_config_init(&c, sizeof c);
    c.threads = 7;
    ck_assert_int_eq(an_context_create(&made, &c), AN_OK);
    ck_assert_uint_eq(an_context_threads(made), 7);
    an_context_destroy(made);
}
END_TEST

/* A path is the one that was asked for, or BACKEND where the processor lacks it. */
START_TEST(cpu_paths)
{
    uint32_t path;

    for (path = AN_CPU_PATH_BEST; path <= AN_CPU_PATH_AVX512; path++) {
        an_device_info info;
        an_context_config c;
        an_context *made;

        an_context_config_init(&c, sizeof c);
        c.cpu_path = path;
        if (an__cpu_path(path) == NULL) {
            ck_assert_int_eq(an_context_create(&made, &c), AN_ERROR_BACKEND);
            ck_assert_ptr_nonnull(strstr(an_error_message(), "cpu_path"));
            continue;
        }
        ck_assert_int_eq(an_context_create(&made, &c), AN_OK);
        an_device_info_init(&info, sizeof info);
        ck_assert_int_eq(an_device_describe(made, 0, &info), AN_OK);
        ck_assert_uint_ge(info.cpu_path, AN_CPU_PATH_REFERENCE);
        if (path != AN_CPU_PATH_BEST) ck_assert_uint_eq(info.cpu_path, path);
        an_context_destroy(made);
    }
}
END_TEST

START_TEST(preprocessing_limits)
{
    an_preprocessing p, before, after;
    int i;

    an_preprocessing_init(&before, sizeof before);
    an_preprocessing_init(&after, sizeof after);
    ck_assert_int_eq(an_model_get_preprocessing(model, &before), AN_OK);
    for (i = 0; i < 7; i++) {
        p = before;
        if (i == 0) p.side = 31;
        if (i == 1) p.side = 2049;
        if (i == 2) p.bgr = 2;
        if (i == 3) p.mean[1] = INFINITY;
        if (i == 4) p.scale[2] = 0;
        if (i == 5) p.scale[0] = NAN;
        if (i == 6) p.size = 7;
        ck_assert_int_eq(an_model_set_preprocessing(model, &p), AN_ERROR_ARGUMENT);
    }
    ck_assert_int_eq(an_model_get_preprocessing(model, &after), AN_OK);
    ck_assert_mem_eq(&before, &after, sizeof before);
}
END_TEST

/* --- structs of other versions ----------------------------------------------------- */

START_TEST(structs_may_be_longer_or_shorter)
{
    struct {
        an_model_config now;
        uint32_t later[4];
    } newer;
    struct {
        an_model_info now;
        uint32_t later[4];
    } info;
    an_model_config older;
    an_model *m = NULL;

    memset(&newer, 0xaa, sizeof newer);
    an_model_config_init(&newer.now, sizeof newer);
    ck_assert_uint_eq(newer.now.size, sizeof newer);
    ck_assert_uint_eq(newer.later[3], 0); /* what we do not know is 0 */
    newer.now.arch = AN_ARCH_CIFAR10;
    ck_assert_int_eq(an_model_create(&m, ctx, &newer.now), AN_OK);
    an_model_destroy(m);
    m = NULL;
    newer.later[2] = 1;
    ck_assert_int_eq(an_model_create(&m, ctx, &newer.now), AN_ERROR_VERSION);
    ck_assert_ptr_null(m);

    /* An older caller's room is not written past. */
    memset(&older, 0xaa, sizeof older);
    an_model_config_init(&older, offsetof(an_model_config, lrn));
    ck_assert_uint_eq(older.lrn, 0xaaaaaaaa);
    ck_assert_int_eq(an_model_create(&m, ctx, &older),
                     AN_ERROR_ARGUMENT); /* shorter than any release's */
    ck_assert_ptr_nonnull(strstr(an_error_message(), "size"));

    memset(&info, 0xaa, sizeof info);
    an_model_info_init(&info.now, sizeof info);
    ck_assert_int_eq(an_model_describe(model, &info.now), AN_OK);
    ck_assert_uint_eq(info.later[0], 0);
    ck_assert_uint_eq(info.now.size, sizeof info);
    memset(&info, 0, sizeof info);
    ck_assert_int_eq(an_model_describe(model, &info.now),
                     AN_ERROR_ARGUMENT); /* no init */
}
END_TEST

/* --- parameters, names, devices, order of destruction ------------------------------ */

START_TEST(parameters_by_name)
{
    an_parameter_info info;
    uint32_t index, i;
    float *values, was;

    an_parameter_info_init(&info, sizeof info);
    for (i = 0; i < 8; i++) {
        ck_assert_int_eq(an_parameter_describe(model, i, &info), AN_OK);
        ck_assert_int_eq(an_parameter_find(model, info.name, &index), AN_OK);
        ck_assert_uint_eq(index, i);
        ck_assert_uint_eq(info.is_bias, i % 2);
        ck_assert_uint_eq((uint64_t)info.shape[0] * info.shape[1] * info.shape[2] *
                              info.shape[3],
                          info.count);
    }
    ck_assert_int_eq(an_parameter_describe(model, 8, &info), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_parameter_find(model, "conv9.weight", &index), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_parameter_find(model, "conv2.weight", &index), AN_OK);
    ck_assert_int_eq(an_parameter_describe(model, index, &info), AN_OK);
    ck_assert_str_eq(info.layer, "conv2");
    ck_assert_uint_eq(info.dims, 4);

    values = malloc(info.count * sizeof *values);
    ck_assert_int_eq(an_parameter_get(model, index, values, info.count - 1),
                     AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_parameter_get(model, index, values, info.count), AN_OK);
    was = values[0];
    values[0] = 42;
    values[info.count - 1] = NAN;
    ck_assert_int_eq(an_parameter_set(model, index, values, info.count),
                     AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_parameter_get(model, index, values, info.count), AN_OK);
    ck_assert(values[0] == was);
    values[0] = 42;
    ck_assert_int_eq(an_parameter_set(model, index, values, info.count), AN_OK);
    values[0] = 0;
    ck_assert_int_eq(an_parameter_get(model, index, values, info.count), AN_OK);
    ck_assert(values[0] == 42);
    free(values);
}
END_TEST

START_TEST(class_names)
{
    char longest[300];
    const char *bad[] = {"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80",
                         "a\xe2\x82"};
    size_t i;

    memset(longest, 'x', sizeof longest);
    longest[255] = '\0';
    ck_assert_int_eq(an_model_set_class_name(model, 9, longest), AN_OK);
    ck_assert_str_eq(an_model_class_name(model, 9), longest);
    longest[255] = 'x';
    longest[256] = '\0';
    ck_assert_int_eq(an_model_set_class_name(model, 9, longest), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_model_set_class_name(model, 10, "a"), AN_ERROR_ARGUMENT);
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(an_model_set_class_name(model, 0, bad[i]), AN_ERROR_ARGUMENT);
    ck_assert_ptr_null(an_model_class_name(model, 0));
    ck_assert_int_eq(an_model_set_class_name(model, 0, "\xe2\x82\xac"), AN_OK);
}
END_TEST

START_TEST(devices)
{
    an_device_info info;
    uint32_t count = 0;

    an_device_info_init(&info, sizeof info);
    ck_assert_int_eq(an_device_count(ctx, &count), AN_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(an_device_describe(ctx, 0, &info), AN_OK);
    ck_assert_str_eq(info.backend, "cpu");
    ck_assert_str_eq(info.device, "cpu");
    ck_assert_uint_gt(strlen(info.name), 0);
    ck_assert_uint_eq(info.units, an_context_threads(ctx));
    ck_assert_int_eq(an_device_describe(ctx, 1, &info), AN_ERROR_ARGUMENT);
}
END_TEST

START_TEST(any_order_of_destruction)
{
    int32_t label = 0;
    float *image = calloc(3 * 32 * 32, sizeof *image);

    an_context_destroy(ctx);
    an_model_destroy(model);
    ck_assert_int_eq(an_train_step(trainer, image, &label, 1, NULL), AN_OK);
    an_trainer_destroy(trainer);
    free(image);
    ctx = NULL;
    model = NULL;
    trainer = NULL;
}
END_TEST

Suite *api_suite(void)
{
    Suite *suite = suite_create("api");
    TCase *tc = tcase_create("api");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, versions_and_names);
    tcase_add_test(tc, null_is_refused_by_name);
    tcase_add_test(tc, null_is_refused_by_what_serves_training);
    tcase_add_test(tc, model_config_limits);
    tcase_add_test(tc, trainer_config_limits);
    tcase_add_test(tc, context_config_limits);
    tcase_add_test(tc, cpu_paths);
    tcase_add_test(tc, preprocessing_limits);
    tcase_add_test(tc, structs_may_be_longer_or_shorter);
    tcase_add_test(tc, parameters_by_name);
    tcase_add_test(tc, class_names);
    tcase_add_test(tc, devices);
    tcase_add_test(tc, any_order_of_destruction);
    suite_add_tcase(suite, tc);
    return suite;
}
