/*
 * test_limits.c - every field of every struct that a caller fills: taken at its limits,
 * refused one step beyond, by its name, with nothing made or changed.
 */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "test.h"
#include "world.h"

static world w;

static void setup(void)
{
    world_open(&w, NULL);
}

static void teardown(void)
{
    world_close(&w);
}

/* --- an_context_config ------------------------------------------------------------- */

static an_context_config context_base(void)
{
    an_context_config c;

    an_context_config_init(&c, sizeof c);
    c.threads = 1;
    return c;
}

static an_status context_try(const an_context_config *c)
{
    an_context *ctx = (an_context *)&w;
    an_status status = an_context_create(&ctx, c);

    if (status == AN_OK) {
        if (c->threads != 0) ck_assert_uint_eq(an_context_threads(ctx), c->threads);
        an_context_destroy(ctx);
    } else {
        ck_assert_ptr_eq(ctx, (an_context *)&w);
    }
    return status;
}

static void *never_alloc(size_t bytes, void *user)
{
    (void)bytes;
    (void)user;
    ck_abort_msg("an allocator without its other half was used");
    return NULL;
}

static void never_release(void *memory, void *user)
{
    (void)never_alloc((size_t)(memory == NULL), user);
}

#define GOOD(field, value)                                                               \
    TAKES(an_context_config, context_base, context_try, field, value)
#define BAD(field, value, words)                                                         \
    REFUSES(an_context_config, context_base, context_try, field, value, words)

START_TEST(context_configs_have_limits)
{
    GOOD(threads, 0);
    GOOD(threads, 1);
    GOOD(threads, 256);
    BAD(threads, 257, "config.threads is 257: must be 1 to 256, or 0");
    BAD(threads, UINT32_MAX, "config.threads is 4294967295");
    GOOD(cpu_path, AN_CPU_PATH_REFERENCE);
    BAD(cpu_path, AN_CPU_PATH_AVX512 + 1, "config.cpu_path is 4: not one of an_cpu_path");
    BAD(alloc, never_alloc, "config.alloc and config.release: both or neither");
    BAD(release, never_release, "config.alloc and config.release: both or neither");
}
END_TEST
#undef GOOD
#undef BAD

/* --- an_model_config --------------------------------------------------------------- */

static an_model_config model_base(void)
{
    an_model_config c = small_config(AN_ARCH_PAPER);

    c.width = 0.02f;
    c.image_size = 79;
    return c;
}

static an_model_config cifar_base(void)
{
    an_model_config c = world_model();

    c.width = 0.02f;
    return c;
}

static an_status model_try(const an_model_config *c)
{
    an_model *model = (an_model *)&w;
    an_status status = an_model_create(&model, w.at.ctx, c);

    if (status == AN_OK)
        an_model_destroy(model);
    else
        ck_assert_ptr_eq(model, (an_model *)&w);
    return status;
}

#define GOOD(field, value) TAKES(an_model_config, model_base, model_try, field, value)
#define BAD(field, value, words)                                                         \
    REFUSES(an_model_config, model_base, model_try, field, value, words)
#define SMALL_GOOD(field, value)                                                         \
    TAKES(an_model_config, cifar_base, model_try, field, value)
#define SMALL_BAD(field, value, words)                                                   \
    REFUSES(an_model_config, cifar_base, model_try, field, value, words)

START_TEST(whole_numbers_of_model_configs_have_limits)
{
    BAD(arch, 0, "config.arch is 0: not one of an_arch");
    BAD(arch, AN_ARCH_LAST + 1, "not one of an_arch");
    BAD(classes, 1, "config.classes is 1: must be 2 to 65536, or 0");
    GOOD(classes, 2);
    GOOD(classes, 65536);
    BAD(classes, 65537, "config.classes is 65537");
    SMALL_GOOD(image_size, 1024);
    SMALL_BAD(image_size, 1025, "config.image_size is 1025: must be at most 1024");
    BAD(image_size, 10,
        "config.image_size is 10: too small, conv1's convolution gets 10 x 10");
    BAD(image_size, 11, "config.image_size is 11: too small, conv1's pooling gets 1 x 1");
    GOOD(image_size, 64); /* 15, 7, 3, 1 pixels, rounded up in conv1 */
    BAD(image_size, 63, "config.image_size is 63: too small, conv5's pooling gets 2 x 2");
    SMALL_GOOD(image_size, 12); /* 6, 3, 2 pixels */
    SMALL_BAD(image_size, 11,
              "config.image_size is 11: too small, conv3's pooling gets 2 x 2");
    GOOD(activation, AN_ACTIVATION_SIGMOID);
    BAD(activation, 4, "config.activation is 4: not one of an_activation");
    GOOD(lrn, AN_SWITCH_OFF);
    BAD(lrn, 3, "config.lrn is 3: must be AN_SWITCH_*");
    GOOD(pooling, AN_POOLING_PLAIN);
    BAD(pooling, 3, "config.pooling is 3: not one of an_pooling");
    GOOD(dropout, AN_SWITCH_OFF);
    BAD(dropout, 3, "config.dropout is 3: must be AN_SWITCH_*");
    GOOD(dropout_scaling, AN_DROPOUT_SCALING_TRAIN);
    BAD(dropout_scaling, 3, "config.dropout_scaling is 3: not one of");
    GOOD(groups, 1);
    GOOD(groups, 2);
    BAD(groups, 3, "config.groups is 3: must be 0, 1 or 2");
    GOOD(towers, 1);
    GOOD(towers, 2);
    BAD(towers, 3, "config.towers is 3: must be 0, 1 or 2");
    BAD(remove_conv, 1, "config.remove_conv is 1: must be 2 to 5, or 0");
    GOOD(remove_conv, 2);
    GOOD(remove_conv, 5);
    BAD(remove_conv, 6, "config.remove_conv is 6: must be 2 to 5, or 0");
    SMALL_GOOD(remove_conv, 3);
    SMALL_BAD(remove_conv, 4, "config.remove_conv is 4: cifar10 has no conv4");
    SMALL_BAD(remove_conv, 5, "config.remove_conv is 5: cifar10 has no conv5");
    GOOD(extra_conv, 1);
    BAD(extra_conv, 2, "config.extra_conv is 2: must be 0 or 1");
    GOOD(initialisation, AN_INIT_HE);
    BAD(initialisation, 4, "config.initialisation is 4: not one of");
    GOOD(precision, AN_PRECISION_TF32X3);
    BAD(precision, 4, "config.precision is 4: not one of an_precision");
    SMALL_BAD(dropout, AN_SWITCH_ON, "config.dropout is on: cifar10 has no place for it");
    SMALL_BAD(towers, 2, "config.towers is 2: cifar10's response normalisation in conv1");
}
END_TEST

START_TEST(fractions_of_model_configs_have_limits)
{
    GOOD(dropout_rate, FLT_MIN);
    GOOD(dropout_rate, nextafterf(0.95f, 0));
    BAD(dropout_rate, 0.95f, "config.dropout_rate is 0.95: must be 0 to below 0.95");
    BAD(dropout_rate, -FLT_MIN, "config.dropout_rate is -");
    BAD(dropout_rate, NAN, "config.dropout_rate is");
    BAD(dropout_rate, INFINITY, "config.dropout_rate is inf");
    GOOD(width, 0);
    GOOD(width, 0.02f);
    BAD(width, nextafterf(0.02f, 0), "config.width is 0.02: must be 0.02 to 4, or 0");
    BAD(width, -1, "config.width is -1: must be");
    BAD(width, NAN, "config.width is");
    SMALL_GOOD(width, 4);
    SMALL_BAD(width, nextafterf(4, 5), "config.width is 4: must be 0.02 to 4, or 0");
    SMALL_BAD(width, INFINITY, "config.width is inf");
}
END_TEST

/* "cpu:000...": text of so many bytes. */
static const char *device_of(size_t bytes)
{
    static char text[300];

    memset(text, '0', sizeof text);
    memcpy(text, "cpu:", 4);
    text[bytes] = '\0';
    return text;
}

static an_model_config two_base(void)
{
    an_model_config c = model_base();

    c.towers = 2;
    return c;
}

static void no_device(const an_model_config *base, const char *devices, an_status wanted,
                      const char *words)
{
    an_model_config c = *base;

    c.devices = devices;
    expect_refused(model_try(&c), wanted, words);
}

START_TEST(devices_are_named_or_refused)
{
    const an_model_config one = cifar_base(), two = two_base();

    GOOD(devices, NULL);
    GOOD(devices, "cpu");
    GOOD(devices, "cpu:0");
    GOOD(devices, device_of(255));
    BAD(devices, device_of(256), "devices is longer than 255 bytes");
    BAD(devices, "cpu:", "\"cpu:\" has no number after the colon");
    BAD(devices, "cpu:x", "\"cpu:x\" has no number");
    BAD(devices, "cpu:0x", "\"cpu:0x\" has no number");
    BAD(devices, "cpu:/", "\"cpu:/\" has no number"); /* beside '0' and '9' */
    BAD(devices, "cpu::", "\"cpu::\" has no number");
    BAD(devices, "cpu:-1", "\"cpu:-1\" has no number");
    BAD(devices, "cpu:12345", "\"cpu:12345\" has no number");
    BAD(devices, "cpu,cpu", "\"cpu,cpu\" names more than 1, one for each tower");
    TAKES(an_model_config, two_base, model_try, devices, "cpu");
    TAKES(an_model_config, two_base, model_try, devices, "cpu,cpu:0");
    no_device(&two, "cpu,cpu,cpu", AN_ERROR_ARGUMENT, "names more than 2");
    no_device(&two, "cpu,cpu:", AN_ERROR_ARGUMENT, "\"cpu:\" has no number");
    no_device(&two, "cpu,tpu:3", AN_ERROR_BACKEND, "there is no backend \"tpu\"");
    no_device(&two, "cpu,cpu:1", AN_ERROR_DEVICE, "\"cpu:1\", but cpu has 1");
    no_device(&two, "cpu,", AN_ERROR_BACKEND, "there is no backend \"\"");
    no_device(&one, "", AN_ERROR_BACKEND, "there is no backend \"\"");
    no_device(&one, "CPU", AN_ERROR_BACKEND, "there is no backend \"CPU\"");
    no_device(&one, "cp", AN_ERROR_BACKEND, "\"cp\"");
    no_device(&one, "cpus", AN_ERROR_BACKEND, "\"cpus\"");
    no_device(&one, "cuda1", AN_ERROR_BACKEND, "there is no backend \"cuda1\"");
    no_device(&one, "cpu:1", AN_ERROR_DEVICE, "\"cpu:1\", but cpu has 1");
    no_device(&one, "cpu:9999", AN_ERROR_DEVICE, "\"cpu:9999\", but cpu has 1");
}
END_TEST
#undef GOOD
#undef BAD

/* --- an_trainer_config ------------------------------------------------------------- */

static an_trainer_config trainer_base(void)
{
    return small_training(8);
}

static an_status trainer_try(const an_trainer_config *c)
{
    an_trainer *trainer = (an_trainer *)&w;
    an_status status = an_trainer_create(&trainer, w.free_model, c);

    if (status == AN_OK)
        an_trainer_destroy(trainer);
    else
        ck_assert_ptr_eq(trainer, (an_trainer *)&w);
    return status;
}

#define GOOD(field, value)                                                               \
    TAKES(an_trainer_config, trainer_base, trainer_try, field, value)
#define BAD(field, value, words)                                                         \
    REFUSES(an_trainer_config, trainer_base, trainer_try, field, value, words)

START_TEST(trainer_configs_have_limits)
{
    const float most = nextafterf(1000, 2000), above_1 = nextafterf(1, 2);

    BAD(batch, 0, "config.batch is 0: must be 1 to 8192");
    GOOD(batch, 1);
    BAD(batch, 8193, "config.batch is 8193: must be 1 to 8192");
    GOOD(micro_batch, 8);
    GOOD(micro_batch, 1);
    BAD(micro_batch, 9, "config.micro_batch is 9: must be 1 to config.batch, 8, or 0");
    GOOD(augment, 0);
    GOOD(augment, 3);
    BAD(augment, 4, "config.augment is 4: must be a sum");
    GOOD(rate, 0);
    GOOD(rate, 1000);
    BAD(rate, most, "config.rate is 1000: must be 0 to 1000");
    BAD(rate, -FLT_MIN, "config.rate is -");
    BAD(rate, NAN, "config.rate is");
    GOOD(bias_rate, 1000);
    GOOD(bias_rate, -INFINITY);
    BAD(bias_rate, most, "config.bias_rate is 1000: must be at most 1000");
    BAD(bias_rate, NAN, "config.bias_rate is");
    GOOD(momentum, 0);
    GOOD(momentum, nextafterf(1, 0));
    BAD(momentum, 1, "config.momentum is 1: must be 0 to below 1");
    BAD(momentum, -FLT_MIN, "config.momentum is -");
    BAD(momentum, NAN, "config.momentum is");
    GOOD(weight_decay, 0);
    GOOD(weight_decay, 1);
    BAD(weight_decay, above_1, "config.weight_decay is 1: must be 0 to 1");
    BAD(weight_decay, -FLT_MIN, "config.weight_decay is -");
    GOOD(bias_decay, 1);
    GOOD(bias_decay, -3);
    BAD(bias_decay, above_1, "config.bias_decay is 1: must be at most 1");
    BAD(bias_decay, NAN, "config.bias_decay is");
    BAD(reserved, 1, "config.reserved is 1: must be 0");
    GOOD(plateau_drops, UINT32_MAX);
    BAD(plateau_patience, 0, "config.plateau_patience is 0: must be 1 to 1000");
    GOOD(plateau_patience, 1);
    GOOD(plateau_patience, 1000);
    BAD(plateau_patience, 1001, "config.plateau_patience is 1001");
    BAD(plateau_factor, 0, "config.plateau_factor is 0: must be above 0 and below 1");
    GOOD(plateau_factor, FLT_MIN);
    GOOD(plateau_factor, nextafterf(1, 0));
    BAD(plateau_factor, 1, "config.plateau_factor is 1: must be above 0 and below 1");
    BAD(plateau_factor, NAN, "config.plateau_factor is");
    GOOD(plateau_gain, 0);
    GOOD(plateau_gain, nextafterf(1, 0));
    BAD(plateau_gain, 1, "config.plateau_gain is 1: must be 0 to below 1");
    BAD(plateau_gain, -FLT_MIN, "config.plateau_gain is -");
    BAD(plateau_gain, NAN, "config.plateau_gain is");
}
END_TEST

/* The most that there may be, in pieces of one image. */
START_TEST(the_largest_batch_is_taken_in_pieces)
{
    an_trainer_config c = small_training(8192);

    c.micro_batch = 1;
    expect_ok(trainer_try(&c));
}
END_TEST
#undef GOOD
#undef BAD

/* --- an_load_config ---------------------------------------------------------------- */

static an_load_config load_base(void)
{
    an_load_config c;

    an_load_config_init(&c, sizeof c);
    return c;
}

static an_status load_try(const an_load_config *c)
{
    an_model *model = (an_model *)&w;
    an_status status = an_model_load(&model, w.at.ctx, w.file, c);

    if (status == AN_OK)
        an_model_destroy(model);
    else
        ck_assert_ptr_eq(model, (an_model *)&w);
    return status;
}

#define GOOD(field, value) TAKES(an_load_config, load_base, load_try, field, value)
#define BAD(field, value, words)                                                         \
    REFUSES(an_load_config, load_base, load_try, field, value, words)

START_TEST(load_configs_have_limits)
{
    GOOD(devices, "cpu:0");
    BAD(devices, "cpu,cpu", "names more than 1");
    GOOD(towers, 1);
    BAD(towers, 2, "config.towers is 2: cifar10's response normalisation");
    BAD(towers, 3, "config.towers is 3: must be 0, 1 or 2");
    GOOD(copy, 0);
    GOOD(copy, 1);
    BAD(copy, 2, "config.copy is 2: must be 0 or 1");
    GOOD(precision, AN_PRECISION_TF32X3);
    BAD(precision, 4, "config.precision is 4: not one of an_precision");
    BAD(reserved, 1, "config.reserved is 1: must be 0");
}
END_TEST
#undef GOOD
#undef BAD

/* Before the file is looked for. */
START_TEST(a_load_config_is_checked_first)
{
    an_load_config c = load_base();
    an_model *model;

    c.towers = 3;
    expect_refused(an_model_load(&model, w.at.ctx, "no such file", &c), AN_ERROR_ARGUMENT,
                   "config.towers is 3");
    c = load_base();
    c.copy = 2;
    expect_refused(an_model_load(&model, w.at.ctx, "no such file", &c), AN_ERROR_ARGUMENT,
                   "config.copy is 2");
    c = load_base();
    expect_refused(an_model_load(&model, w.at.ctx, "no such file", &c), AN_ERROR_IO,
                   "no such file");
}
END_TEST

Suite *limits_suite(void)
{
    Suite *suite = suite_create("limits");
    TCase *tc = tcase_create("limits");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, context_configs_have_limits);
    tcase_add_test(tc, whole_numbers_of_model_configs_have_limits);
    tcase_add_test(tc, fractions_of_model_configs_have_limits);
    tcase_add_test(tc, devices_are_named_or_refused);
    tcase_add_test(tc, trainer_configs_have_limits);
    tcase_add_test(tc, the_largest_batch_is_taken_in_pieces);
    tcase_add_test(tc, load_configs_have_limits);
    tcase_add_test(tc, a_load_config_is_checked_first);
    suite_add_tcase(suite, tc);
    return suite;
}
