/*
 * test_strides.c - arrays of structs: the step from one to the next is the first one's
 * size; and what every _init writes.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "host_run.h"
#include "nets.h"
#include "small.h"
#include "test.h"

enum { FILL = 0xa5, LATER = 24 };

static bench b;
static an_context *device_ctx;
static an_model *device_model;

static void setup(void)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_trainer_config training = small_training(2);

    bench_open(&b, &config, &training, 1);
}

static void teardown(void)
{
    bench_close(&b);
}

static void setup_device(void)
{
    an_model_config config = net_small(AN_ARCH_CIFAR10, 1, "cuda:0");

    device_ctx = plugin_context(host_run_path(), 1);
    expect_ok(an_model_create(&device_model, device_ctx, &config));
}

static void teardown_device(void)
{
    an_model_destroy(device_model);
    an_context_destroy(device_ctx);
}

/* --- rows that the library fills --------------------------------------------------- */

/* `count` structs of `size` bytes, and as much behind them. */
typedef struct rows {
    unsigned char *bytes;
    size_t size, count;
} rows;

static rows rows_of(size_t size, size_t count, void (*init)(void *row, size_t size))
{
    rows r = {malloc(size * (count + 1)), size, count};
    size_t i;

    memset(r.bytes, FILL, size * (count + 1));
    for (i = 0; i < count; i++) init(r.bytes + i * size, size);
    return r;
}

static void *row(const rows *r, size_t index)
{
    return r->bytes + index * r->size;
}

static void init_time(void *s, size_t size)
{
    an_layer_time_init(s, size);
}

static void init_kernel(void *s, size_t size)
{
    an_kernel_time_init(s, size);
}

/* Behind the rows, and of a newer caller's rows what this library does not have. */
static void check_edges(const rows *r, size_t filled, size_t known)
{
    size_t i, j, own;

    for (i = 0; i < r->count; i++) {
        memcpy(&own, row(r, i), sizeof own);
        expect_count(own, r->size, "row %zu", i);
        for (j = known; j < r->size && i < filled; j++)
            expect_count(r->bytes[i * r->size + j], 0, "row %zu, byte %zu", i, j);
    }
    for (i = 0; i < r->size; i++)
        expect_count(r->bytes[r->count * r->size + i], FILL, "%zu bytes behind the rows",
                     i);
}

static void check_times(size_t size)
{
    static const char *const names[] = {"conv1", "conv2", "conv3", "fc4"};
    rows r = rows_of(size, 4, init_time);
    size_t i;

    memset((char *)row(&r, 2) + sizeof size, 1, size - sizeof size);
    expect_ok(an_model_profile(b.model, 1, 0, row(&r, 0), 4));
    for (i = 0; i < 4; i++) {
        const an_layer_time *time = row(&r, i);

        expect_text(time->name, names[i], "rows of %zu bytes, row %zu", size, i);
        ck_assert_double_gt(time->forward, 0);
        ck_assert_double_eq(time->backward, 0);
        ck_assert_double_eq(time->update, 0);
        if (size < sizeof *time) continue;
        ck_assert_msg((i < 3) == (time->algorithm[0] != '\0'), "row %zu: \"%s\"", i,
                      time->algorithm);
    }
    check_edges(&r, 4, sizeof(an_layer_time));
    free(r.bytes);
}

/* All three of a training step are there, of every layer; and no more time than has
 * passed. */
START_TEST(layer_times_are_those_of_the_call)
{
    rows r = rows_of(sizeof(an_layer_time), 4, init_time);
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    double since = an__seconds(), all = 0;
    an_model *alike;
    int twice = 0;
    size_t i;

    expect_ok(an_model_profile(b.model, 3, 1, row(&r, 0), 4));
    since = an__seconds() - since;
    expect_ok(an_model_create(&alike, b.ctx, &config));
    same_parameters(b.model, alike, 0, "after a profile of training");
    an_model_destroy(alike);
    for (i = 0; i < 4; i++) {
        const an_layer_time *time = row(&r, i);

        ck_assert_msg(time->forward > 0 && time->backward > 0 && time->update > 0,
                      "%s: %g, %g, %g seconds", time->name, time->forward, time->backward,
                      time->update);
        twice += time->forward == time->backward || time->backward == time->update;
        all += time->forward + time->backward + time->update;
    }
    ck_assert_int_lt(twice, 4); /* one may be so by chance */
    ck_assert_msg(all <= since, "%g seconds in a call of %g", all, since);
    free(r.bytes);
}
END_TEST

START_TEST(layer_times_are_filled_in_at_the_callers_step)
{
    check_times(sizeof(an_layer_time));
    check_times(sizeof(an_layer_time) + LATER);
}
END_TEST

/* The row that is not what the others are may be any: none is written then. */
START_TEST(a_wrong_layer_time_leaves_all_as_they_are)
{
    static const size_t wrong[] = {0, 8, sizeof(an_layer_time) - 8,
                                   sizeof(an_layer_time) + 8};
    size_t i, at;

    for (at = 0; at < 4; at++)
        for (i = 0; i < 4; i++) {
            rows r, before;

            /* Of another caller's first row the others are not. */
            if (at == 0 && i >= 2) continue;
            r = rows_of(sizeof(an_layer_time), 4, init_time);
            memcpy(row(&r, at), &wrong[i], sizeof wrong[i]);
            before = rows_of(r.size, 4, init_time);
            memcpy(before.bytes, r.bytes, r.size * 4);
            expect_refused(an_model_profile(b.model, 1, 0, row(&r, 0), 4),
                           AN_ERROR_ARGUMENT, at == 0 ? "rows[0].size is" : "].size is");
            expect_bytes(r.bytes, before.bytes, r.size * 5, "row %zu of size %zu", at,
                         wrong[i]);
            free(r.bytes);
            free(before.bytes);
        }
}
END_TEST

START_TEST(kernel_times_are_filled_in_at_the_callers_step)
{
    enum { MOST = 64 };
    size_t size = sizeof(an_kernel_time) + (_i ? LATER : 0), i;
    rows r = rows_of(size, MOST, init_kernel);
    uint32_t count = 99;

    expect_ok(an_model_profile_kernels(device_model, 1, 0, row(&r, 0), MOST, &count));
    ck_assert_uint_ge(count, 4); /* layers with weights */
    ck_assert_uint_le(count, MOST);
    for (i = 0; i < MOST; i++) {
        const an_kernel_time *time = row(&r, i);

        ck_assert_msg((time->name[0] != '\0') == (i < count), "row %zu: \"%s\"", i,
                      time->name);
        ck_assert_uint_eq(time->launches > 0, i < count);
    }
    check_edges(&r, count, sizeof(an_kernel_time));
    free(r.bytes);
}
END_TEST

START_TEST(kernel_times_have_as_many_rows_as_may_be)
{
    enum { MOST = 4096 };
    rows r = rows_of(sizeof(an_kernel_time), MOST, init_kernel);
    uint32_t count = 99;

    expect_ok(an_model_profile_kernels(b.model, 1, 0, row(&r, 0), MOST, &count));
    expect_count(count, 0, "kernels of the CPU");
    free(r.bytes);
}
END_TEST

/* Whatever is wrong, rows and count are as they were: on a device, and where there is
 * nothing to be filled in. */
START_TEST(what_kernel_times_refuse_changes_nothing)
{
    an_model *model = _i ? device_model : b.model;
    rows r = rows_of(sizeof(an_kernel_time), 3, init_kernel);
    unsigned char *before = malloc(r.size * 4);
    const size_t none = 0;
    uint32_t count = 99;

    memcpy(before, r.bytes, r.size * 4);
    if (_i)
        expect_refused(an_model_profile_kernels(model, 1, 1, row(&r, 0), 3, &count),
                       AN_ERROR_ARGUMENT, "capacity is 3");
    expect_refused(an_model_profile_kernels(model, 1, 2, row(&r, 0), 3, &count),
                   AN_ERROR_ARGUMENT, "training is 2");
    expect_refused(an_model_profile_kernels(model, 8193, 1, row(&r, 0), 3, &count),
                   AN_ERROR_ARGUMENT, "batch is 8193");
    expect_refused(an_model_profile_kernels(model, 1, 1, row(&r, 0), 0, &count),
                   AN_ERROR_ARGUMENT, "capacity is 0");
    expect_refused(an_model_profile_kernels(model, 1, 1, row(&r, 0), 4097, &count),
                   AN_ERROR_ARGUMENT, "capacity is 4097");
    memcpy(row(&r, 2), &none, sizeof none);
    memcpy(before + 2 * r.size, &none, sizeof none);
    expect_refused(an_model_profile_kernels(model, 1, 1, row(&r, 0), 3, &count),
                   AN_ERROR_ARGUMENT, "rows[2].size is 0");
    expect_count(count, 99, "count after failures");
    expect_bytes(r.bytes, before, r.size * 4, "rows after failures");
    if (!_i) {
        expect_ok(an_model_profile_kernels(model, 1, 1, row(&r, 0), 2, &count));
        expect_count(count, 0, "the CPU has no such account");
        expect_bytes(r.bytes, before, r.size * 4, "rows of the CPU");
    }
    free(before);
    free(r.bytes);
}
END_TEST

/* --- rows that the library reads --------------------------------------------------- */

enum { SIDE = 32, PICTURE = SIDE * SIDE * 3 };

static void init_image(void *s, size_t size)
{
    an_image_init(s, size);
}

/* Three pictures in structs of that size. */
static rows pictures(size_t size, uint8_t *pixels)
{
    rows r = rows_of(size, 3, init_image);
    size_t i;

    noise_bytes(pixels, 3 * PICTURE, 5);
    for (i = 0; i < 3; i++) {
        an_image *image = row(&r, i);

        image->pixels = pixels + i * PICTURE;
        image->width = image->height = SIDE;
    }
    return r;
}

START_TEST(pictures_are_read_at_the_callers_step)
{
    static uint8_t pixels[3 * PICTURE];
    rows plain = pictures(sizeof(an_image), pixels);
    rows newer = pictures(sizeof(an_image) + LATER, pixels);
    float want[30], got[30];
    an_evaluation all, sum;
    an_step_stats stats, again;
    size_t i;

    for (i = 0; i < 3; i++)
        expect_ok(an_infer_images(b.model, row(&plain, i), 1, want + 10 * i, ENOUGH));
    ck_assert_mem_ne(want, want + 10, 40);
    expect_ok(an_infer_images(b.model, row(&newer, 0), 3, got, ENOUGH));
    expect_floats(got, want, 30, 1e-5, "three pictures in longer structs");
    expect_ok(an_infer_views(b.model, row(&plain, 0), 3, 10, want, ENOUGH));
    expect_ok(an_infer_views(b.model, row(&newer, 0), 3, 10, got, ENOUGH));
    expect_floats(got, want, 30, 0, "ten views in longer structs");
    an_evaluation_init(&all, sizeof all);
    an_evaluation_init(&sum, sizeof sum);
    expect_ok(an_evaluate_images(b.model, row(&plain, 0), b.labels, 3, &all));
    expect_ok(an_evaluate_images(b.model, row(&newer, 0), b.labels, 3, &sum));
    ck_assert_mem_eq(&all, &sum, sizeof sum);
    an_step_stats_init(&stats, sizeof stats);
    an_step_stats_init(&again, sizeof again);
    expect_ok(an_trainer_set_rates(b.trainer, 0, 0));
    expect_ok(an_train_step_images(b.trainer, row(&newer, 1), b.labels, 2, &stats));
    bench_close(&b);
    setup(); /* the same step anew, which had drawn its crops and mirrors */
    expect_ok(an_trainer_set_rates(b.trainer, 0, 0));
    expect_ok(an_train_step_images(b.trainer, row(&plain, 1), b.labels, 2, &again));
    expect_number(stats.loss, again.loss, 0, "a step of two pictures in longer structs");
    free(plain.bytes);
    free(newer.bytes);
}
END_TEST

START_TEST(a_wrong_picture_is_refused_wherever_it_is)
{
    static uint8_t pixels[3 * PICTURE];
    rows r = pictures(sizeof(an_image) + LATER, pixels);
    size_t i, sizes[] = {0, sizeof(an_image) - 1, sizeof(an_image), r.size - 8};
    float p[30] = {7};
    int k;

    for (i = 0; i < 4; i++)
        for (k = 1; k < 3; k++) {
            memcpy(row(&r, (size_t)k), &sizes[i], sizeof sizes[i]);
            expect_refused(an_infer_images(b.model, row(&r, 0), 3, p, ENOUGH),
                           AN_ERROR_ARGUMENT, "size is");
            memcpy(row(&r, (size_t)k), &r.size, sizeof r.size);
        }
    r.bytes[3 * r.size - 1] = 1; /* a newer field of the last */
    expect_refused(an_infer_images(b.model, row(&r, 0), 3, p, ENOUGH), AN_ERROR_VERSION,
                   "image");
    expect_ok(an_infer_images(b.model, row(&r, 0), 2, p + 10, ENOUGH));
    expect_number(p[0], 7, 0, "a refused call's probabilities");
    free(r.bytes);
}
END_TEST

static void init_change(void *s, size_t size)
{
    an_rate_change_init(s, size);
}

START_TEST(changes_are_read_at_the_callers_step)
{
    rows r = rows_of(sizeof(an_rate_change) + LATER, 3, init_change);
    an_epoch_info info;
    size_t i, wrong = 8;

    for (i = 0; i < 3; i++) {
        an_rate_change *change = row(&r, i);

        change->epoch = 1 + (uint32_t)i;
        change->rate = 0.25f * (float)(i + 1);
    }
    expect_ok(an_trainer_set_schedule(b.trainer, row(&r, 0), 3));
    an_epoch_info_init(&info, sizeof info);
    for (i = 0; i < 3; i++) {
        expect_ok(an_trainer_end_epoch(b.trainer, -1, &info));
        expect_number(info.rate, 0.25 * (double)(i + 1), 0, "after epoch %zu", i + 1);
    }
    r.bytes[3 * r.size - 1] = 1;
    expect_refused(an_trainer_set_schedule(b.trainer, row(&r, 0), 3), AN_ERROR_VERSION,
                   "changes");
    r.bytes[3 * r.size - 1] = 0;
    memcpy(row(&r, 1), &wrong, sizeof wrong);
    expect_refused(an_trainer_set_schedule(b.trainer, row(&r, 0), 3), AN_ERROR_ARGUMENT,
                   "changes.size is 8");
    free(r.bytes);
}
END_TEST

/* --- _init ------------------------------------------------------------------------- */

#define INIT(type)                                                                       \
    static void init_of_##type(void *s, size_t size)                                     \
    {                                                                                    \
        an_##type##_init(s, size);                                                       \
    }

/* clang-format off */
INIT(context_config)
INIT(device_info)
INIT(model_config)
INIT(model_info)
INIT(layer_info)
INIT(layer_time)
INIT(kernel_time)
INIT(parameter_info)
INIT(image)
INIT(preprocessing)
INIT(evaluation)
INIT(trainer_config)
INIT(step_stats)
INIT(rate_change)
INIT(epoch_info)
INIT(load_config)
INIT(pack_info)
INIT(pack_writer_config)
INIT(source)
INIT(loader_config)
INIT(batch)
INIT(loader_info)
INIT(recipe_info)
/* clang-format on */

/* What the header's comments give as defaults; all else is 0. */
static const an_model_config model_defaults = {.arch = AN_ARCH_PAPER};
static const an_trainer_config trainer_defaults = {.batch = 128,
                                                   .augment = AN_AUGMENT_CROP |
                                                              AN_AUGMENT_MIRROR,
                                                   .rate = 0.01f,
                                                   .bias_rate = -1,
                                                   .momentum = 0.9f,
                                                   .weight_decay = 0.0005f,
                                                   .bias_decay = -1,
                                                   .plateau_patience = 5,
                                                   .plateau_factor = 0.1f};
static const an_rate_change change_defaults = {.rate = -1, .bias_rate = -1};
static const an_pack_writer_config packing_defaults = {
    .side = 256, .kind = AN_PACK_RAW, .part_bytes = 4294967296u};
static const an_loader_config loader_defaults = {
    .batch = 128,
    .workers = 1,
    .prefetch = 2,
    .shuffle = 1,
    .augment = AN_AUGMENT_CROP | AN_AUGMENT_MIRROR | AN_AUGMENT_COLOUR,
    .crop_group = 1,
    .colour_sigma = 0.1f,
    .colour_divisor = 1};
static const unsigned char nothing[512];

static const struct {
    const char *name;
    void (*init)(void *s, size_t size);
    size_t known;
    const void *defaults;
} inits[] = {
#define PLAIN(type)                                                                      \
    {                                                                                    \
#type, init_of_##type, sizeof(an_##type), nothing                                \
    }
    PLAIN(context_config),
    PLAIN(device_info),
    PLAIN(model_info),
    PLAIN(layer_info),
    PLAIN(layer_time),
    PLAIN(kernel_time),
    PLAIN(parameter_info),
    PLAIN(image),
    PLAIN(preprocessing),
    PLAIN(evaluation),
    PLAIN(step_stats),
    PLAIN(epoch_info),
    PLAIN(load_config),
    PLAIN(pack_info),
    PLAIN(source),
    PLAIN(batch),
    PLAIN(loader_info),
    PLAIN(recipe_info),
    {"model_config", init_of_model_config, sizeof(an_model_config), &model_defaults},
    {"trainer_config", init_of_trainer_config, sizeof(an_trainer_config),
     &trainer_defaults},
    {"rate_change", init_of_rate_change, sizeof(an_rate_change), &change_defaults},
    {"packing_config", init_of_pack_writer_config, sizeof(an_pack_writer_config),
     &packing_defaults},
    {"loader_config", init_of_loader_config, sizeof(an_loader_config), &loader_defaults},
};

/* Sizes from 0 to more than there is: so many bytes are written, all of them, and no
 * other. */
START_TEST(init_writes_defaults_into_the_callers_room)
{
    unsigned char room[600], want[600];
    size_t known = inits[_i].known, size;

    for (size = 0; size < known + LATER; size++) {
        memset(room, FILL, sizeof room);
        memset(want, FILL, sizeof want);
        if (size >= sizeof size) {
            memset(want, 0, size);
            memcpy(want, inits[_i].defaults, size < known ? size : known);
            memcpy(want, &size, sizeof size);
        }
        inits[_i].init(room, size);
        expect_bytes(room, want, sizeof room, "an_%s_init of %zu bytes", inits[_i].name,
                     size);
    }
    inits[_i].init(NULL, known); /* is no crash */
}
END_TEST

Suite *strides_suite(void)
{
    Suite *suite = suite_create("strides");
    TCase *tc = tcase_create("rows");
    TCase *device = tcase_create("kernels");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, layer_times_are_those_of_the_call);
    tcase_add_test(tc, layer_times_are_filled_in_at_the_callers_step);
    tcase_add_test(tc, a_wrong_layer_time_leaves_all_as_they_are);
    tcase_add_test(tc, pictures_are_read_at_the_callers_step);
    tcase_add_test(tc, a_wrong_picture_is_refused_wherever_it_is);
    tcase_add_test(tc, changes_are_read_at_the_callers_step);
    tcase_add_test(tc, kernel_times_have_as_many_rows_as_may_be);
    tcase_add_loop_test(tc, what_kernel_times_refuse_changes_nothing, 0, 1);
    tcase_add_loop_test(tc, init_writes_defaults_into_the_callers_room, 0,
                        (int)(sizeof inits / sizeof inits[0]));
    suite_add_tcase(suite, tc);
    tcase_set_timeout(device, 60);
    tcase_add_checked_fixture(device, setup_device, teardown_device);
    tcase_add_loop_test(device, kernel_times_are_filled_in_at_the_callers_step, 0, 2);
    tcase_add_loop_test(device, what_kernel_times_refuse_changes_nothing, 1, 2);
    suite_add_tcase(suite, device);
    return suite;
}
