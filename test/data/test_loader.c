/*
 * test_loader.c - the loader: every number against an independent account of it in
 * Python, its statistics, its order, positions, faults.
 */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alexnet.h"
#include "test.h"

/* Pictures in memory. fail: the one that cannot be fetched; far: the one whose label is
 * out of range. */
typedef struct pictures {
    uint8_t *pixels; /* [count][side][side][3] */
    uint32_t side;
    uint64_t fail, far;
} pictures;

#define NONE UINT64_MAX

static int fetch(uint64_t index, an_sample *sample, void *user)
{
    const pictures *p = user;

    if (index == p->fail) return 1;
    sample->pixels = p->pixels + index * p->side * p->side * 3;
    sample->width = sample->height = p->side;
    sample->label = index == p->far ? 10 : (int32_t)(index % 10);
    return 0;
}

typedef struct bench {
    an_context *ctx;
    an_model *model;
    pictures pictures;
    an_source source;
    uint32_t size; /* of a crop */
} bench;

static void open_bench(bench *b, uint32_t count, uint32_t side, uint32_t size)
{
    an_context_config context;
    an_model_config config;
    an_preprocessing p;
    uint32_t c;

    an_context_config_init(&context, sizeof context);
    context.threads = 1;
    ck_assert_int_eq(an_context_create(&b->ctx, &context), AN_OK);
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.width = 0.1f;
    config.image_size = size;
    ck_assert_int_eq(an_model_create(&b->model, b->ctx, &config), AN_OK);
    an_preprocessing_init(&p, sizeof p);
    ck_assert_int_eq(an_model_get_preprocessing(b->model, &p), AN_OK);
    p.side = side;
    for (c = 0; c < 3; c++) {
        p.mean[c] = 0;
        p.scale[c] = 1;
    }
    ck_assert_int_eq(an_model_set_preprocessing(b->model, &p), AN_OK);
    b->size = size;
    b->pictures.pixels = calloc((size_t)count * side * side, 3);
    b->pictures.side = side;
    b->pictures.fail = b->pictures.far = NONE;
    an_source_init(&b->source, sizeof b->source);
    b->source.count = count;
    b->source.fetch = fetch;
    b->source.user = &b->pictures;
}

static void close_bench(bench *b)
{
    an_model_destroy(b->model);
    an_context_destroy(b->ctx);
    free(b->pictures.pixels);
}

static an_loader_config config_of(uint32_t batch, uint32_t workers)
{
    an_loader_config c;

    an_loader_config_init(&c, sizeof c);
    c.batch = batch;
    c.workers = workers;
    c.seed = 77;
    return c;
}

static an_loader *open_loader(const bench *b, const an_loader_config *c)
{
    an_loader *loader;

    ck_assert_msg(an_loader_create(&loader, b->model, &b->source, c) == AN_OK, "%s",
                  an_error_message());
    return loader;
}

static an_batch next(an_loader *loader)
{
    an_batch batch;

    an_batch_init(&batch, sizeof batch);
    ck_assert_msg(an_loader_next(loader, &batch) == AN_OK, "%s", an_error_message());
    return batch;
}

static void noise(uint8_t *out, size_t bytes, uint32_t seed)
{
    size_t i;

    for (i = 0; i < bytes; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (uint8_t)(seed >> 24);
    }
}

/* --- against golden/make_data.py --------------------------------------------------- */

START_TEST(batches_are_those_of_an_independent_account)
{
    enum { COUNT = 12, SIDE = 26, SIZE = 20, NUMBERS = 3 * SIZE * SIZE };
    static const float axes[3][3] = {
        {0.6f, 0.64f, 0.48f}, {-0.8f, 0.48f, 0.36f}, {0, -0.6f, 0.8f}};
    static const uint32_t shown[3] = {0, 4, 11};
    float mean[3 * SIDE * SIDE], expected[NUMBERS];
    uint8_t mean_bytes[3 * SIDE * SIDE];
    an_loader_config c = config_of(5, 3);
    FILE *file = fopen("test/golden/loader.bin", "rb");
    an_preprocessing p;
    int rule, epoch, i, k;
    bench b;

    ck_assert_ptr_nonnull(file);
    open_bench(&b, COUNT, SIDE, SIZE);
    for (i = 0; i < COUNT; i++)
        noise(b.pictures.pixels + i * 3 * SIDE * SIDE, 3 * SIDE * SIDE,
              500 + (uint32_t)i);
    noise(mean_bytes, sizeof mean_bytes, 900);
    for (i = 0; i < 3 * SIDE * SIDE; i++) mean[i] = mean_bytes[i];
    an_preprocessing_init(&p, sizeof p);
    ck_assert_int_eq(an_model_get_preprocessing(b.model, &p), AN_OK);
    p.scale[0] = 0.5f;
    p.scale[2] = 2;
    p.colour_deviation[0] = 60;
    p.colour_deviation[1] = 20;
    p.colour_deviation[2] = 8;
    memcpy(p.colour_axis, axes, sizeof axes);
    c.crop_group = 3;
    c.colour_divisor = 1.1f;
    c.colour_epochs = 1;
    for (rule = 0; rule < 2; rule++) {
        an_loader *loader;

        p.mean_moves = (uint32_t)rule;
        c.colour_rule = (uint32_t)rule;
        ck_assert_int_eq(an_model_set_preprocessing(b.model, &p), AN_OK);
        ck_assert_int_eq(an_model_set_mean_image(b.model, mean, 3 * SIDE * SIDE), AN_OK);
        loader = open_loader(&b, &c);
        for (epoch = 0; epoch < 2; epoch++) {
            float got[COUNT][NUMBERS];
            int32_t order[COUNT];
            uint32_t place = 0;
            an_batch batch;

            ck_assert_uint_eq(fread(order, sizeof *order, COUNT, file), COUNT);
            do {
                batch = next(loader);
                ck_assert_uint_eq(batch.epoch, (uint32_t)epoch);
                for (i = 0; i < (int)batch.count; i++, place++) {
                    ck_assert_uint_eq(batch.indices[i], (uint64_t)order[place]);
                    ck_assert_int_eq(batch.labels[i], order[place] % 10);
                    memcpy(got[place], batch.images + i * NUMBERS, sizeof got[place]);
                }
            } while (!batch.last);
            ck_assert_uint_eq(place, COUNT);
            for (i = 0; i < 3; i++) {
                ck_assert_uint_eq(fread(expected, sizeof *expected, NUMBERS, file),
                                  NUMBERS);
                for (k = 0; k < NUMBERS; k++)
                    ck_assert_float_eq_tol(got[shown[i]][k], expected[k], 1e-3f);
            }
        }
        an_loader_destroy(loader);
    }
    fclose(file);
    close_bench(&b);
}
END_TEST

/* --- statistics -------------------------------------------------------------------- */

/* Pixels say where they stand: red their column, green their row. */
START_TEST(crops_and_mirrors_are_uniform)
{
    enum { COUNT = 20000, SIDE = 24, SIZE = 20, PLACES = 5 };
    double place[PLACES * PLACES] = {0}, mirrored = 0, chi = 0;
    an_loader_config c = config_of(100, 2);
    an_loader *loader;
    uint32_t i, x, y;
    an_batch batch;
    bench b;

    open_bench(&b, COUNT, SIDE, SIZE);
    for (i = 0; i < COUNT; i++)
        for (y = 0; y < SIDE; y++)
            for (x = 0; x < SIDE; x++) {
                uint8_t *at = b.pictures.pixels + ((size_t)(i * SIDE + y) * SIDE + x) * 3;

                at[0] = (uint8_t)x;
                at[1] = (uint8_t)y;
            }
    c.augment = AN_AUGMENT_CROP | AN_AUGMENT_MIRROR;
    loader = open_loader(&b, &c);
    do {
        batch = next(loader);
        for (i = 0; i < batch.count; i++) {
            const float *red = batch.images + (size_t)i * 3 * SIZE * SIZE;
            int mirror = red[0] > red[1];
            int left = (int)(mirror ? red[SIZE - 1] : red[0]);

            mirrored += mirror;
            place[left * PLACES + (int)red[SIZE * SIZE]]++;
        }
    } while (!batch.last);
    an_loader_destroy(loader);
    for (i = 0; i < PLACES * PLACES; i++) {
        double expected = (double)COUNT / (PLACES * PLACES);

        chi += (place[i] - expected) * (place[i] - expected) / expected;
    }
    ck_assert_double_lt(chi, 52.6); /* 24 degrees of freedom: 0.07 % are above */
    ck_assert_double_eq_tol(mirrored, COUNT / 2.0, 4 * sqrt(COUNT / 4.0));
    close_bench(&b);
}
END_TEST

/* Grey pictures: what comes out beside the grey is the noise. */
START_TEST(colour_noise_has_the_covariance_it_should)
{
    enum { COUNT = 20000, SIZE = 16 };
    static const double deviation[3] = {121.78, 37.094, 19.721};
    double mean[3] = {0}, product[3][3] = {{0}}, expected[3][3] = {{0}};
    int rule = _i, i, j, k;
    an_loader_config c = config_of(100, 2);
    an_preprocessing p;
    an_loader *loader;
    an_batch batch;
    bench b;

    open_bench(&b, COUNT, SIZE, SIZE);
    memset(b.pictures.pixels, 128, (size_t)COUNT * SIZE * SIZE * 3);
    an_preprocessing_init(&p, sizeof p);
    ck_assert_int_eq(an_model_get_preprocessing(b.model, &p), AN_OK);
    for (i = 0; i < 3; i++) {
        double sigma = rule == AN_COLOUR_EIGENVALUE
                           ? 0.1 * deviation[i] * deviation[i] / 255
                           : 0.1 * deviation[i];

        p.colour_deviation[i] = (float)deviation[i];
        for (j = 0; j < 3; j++)
            for (k = 0; k < 3; k++)
                expected[j][k] += sigma * sigma * (double)p.colour_axis[i][j] *
                                  (double)p.colour_axis[i][k];
    }
    ck_assert_int_eq(an_model_set_preprocessing(b.model, &p), AN_OK);
    c.colour_rule = (uint32_t)rule;
    loader = open_loader(&b, &c);
    do {
        batch = next(loader);
        for (i = 0; i < (int)batch.count; i++) {
            const float *x = batch.images + (size_t)i * 3 * SIZE * SIZE;
            double noise_of[3];

            for (j = 0; j < 3; j++) {
                noise_of[j] = (double)x[j * SIZE * SIZE] - 128;
                mean[j] += noise_of[j] / COUNT;
                /* one colour for the whole picture */
                ck_assert_float_eq(x[j * SIZE * SIZE], x[j * SIZE * SIZE + 77]);
            }
            for (j = 0; j < 3; j++)
                for (k = 0; k < 3; k++)
                    product[j][k] += noise_of[j] * noise_of[k] / COUNT;
        }
    } while (!batch.last);
    an_loader_destroy(loader);
    for (j = 0; j < 3; j++) {
        /* Five standard errors: sqrt(v / n) of a mean, about sqrt(2 / n) v of a
         * variance. */
        ck_assert_double_eq_tol(mean[j], 0, 5 * sqrt(expected[j][j] / COUNT));
        for (k = 0; k < 3; k++)
            ck_assert_double_eq_tol(product[j][k], expected[j][k],
                                    5 * sqrt(2.0 / COUNT) *
                                        sqrt(expected[j][j] * expected[k][k]));
    }
    close_bench(&b);
}
END_TEST

/* No picture has the noise of another, or of the epoch before. */
START_TEST(colour_noise_is_new_each_time)
{
    enum { COUNT = 12, SIZE = 16, DRAWS = 3 * COUNT };
    an_loader_config c = config_of(COUNT, 1);
    float seen[DRAWS];
    an_loader *loader;
    uint32_t epoch, i, k;
    bench b;

    open_bench(&b, COUNT, SIZE, SIZE);
    memset(b.pictures.pixels, 128, (size_t)COUNT * SIZE * SIZE * 3);
    c.crop_group = COUNT; /* crops and mirrors are shared, noise is not */
    loader = open_loader(&b, &c);
    for (epoch = 0; epoch < 3; epoch++) {
        an_batch batch = next(loader);

        for (i = 0; i < COUNT; i++)
            seen[epoch * COUNT + i] = batch.images[(size_t)i * 3 * SIZE * SIZE];
    }
    an_loader_destroy(loader);
    for (i = 0; i < DRAWS; i++)
        for (k = 0; k < i; k++) ck_assert_float_ne(seen[i], seen[k]);
    close_bench(&b);
}
END_TEST

/* --- order and position ------------------------------------------------------------ */

enum { MANY = 103, SMALL_SIDE = 18, SMALL = 16, SMALL_NUMBERS = 3 * SMALL * SMALL };

static void open_many(bench *b)
{
    open_bench(b, MANY, SMALL_SIDE, SMALL);
    noise(b->pictures.pixels, (size_t)MANY * SMALL_SIDE * SMALL_SIDE * 3, 3);
}

START_TEST(workers_and_room_change_no_bit)
{
    static const uint32_t workers[] = {1, 2, 5}, ahead[] = {1, 3, 2};
    float *first = malloc(MANY * 2 * SMALL_NUMBERS * sizeof *first);
    size_t count = 0, i;
    bench b;

    open_many(&b);
    for (i = 0; i < 3; i++) {
        an_loader_config c = config_of(10, workers[i]);
        an_loader *loader;
        size_t at = 0;

        c.prefetch = ahead[i];
        loader = open_loader(&b, &c);
        while (at < 2 * MANY) {
            an_batch batch = next(loader);
            size_t bytes = batch.count * SMALL_NUMBERS * sizeof *first;

            if (i == 0) memcpy(first + at * SMALL_NUMBERS, batch.images, bytes);
            ck_assert_mem_eq(first + at * SMALL_NUMBERS, batch.images, bytes);
            at += batch.count;
        }
        count += at;
        an_loader_destroy(loader);
    }
    ck_assert_uint_eq(count, 3 * 2 * MANY);
    close_bench(&b);
    free(first);
}
END_TEST

START_TEST(an_epoch_has_every_picture_once)
{
    uint64_t order[3][MANY];
    an_loader_config c = config_of(10, 2);
    an_loader_info info;
    an_loader *loader;
    int epoch;
    bench b;

    open_many(&b);
    loader = open_loader(&b, &c);
    for (epoch = 0; epoch < 3; epoch++) {
        unsigned char seen[MANY] = {0};
        uint32_t at = 0, i, steps = 0;
        an_batch batch;

        do {
            batch = next(loader);
            ck_assert_uint_eq(batch.step, steps++);
            for (i = 0; i < batch.count; i++) {
                ck_assert_uint_lt(batch.indices[i], MANY);
                ck_assert_uint_eq(seen[batch.indices[i]]++, 0);
                order[epoch][at++] = batch.indices[i];
            }
        } while (!batch.last);
        ck_assert_uint_eq(at, MANY);
        ck_assert_uint_eq(steps, 11);
        ck_assert_uint_eq(batch.count, 3);
    }
    ck_assert_mem_ne(order[0], order[1], sizeof order[0]);
    ck_assert_mem_ne(order[1], order[2], sizeof order[0]);
    an_loader_info_init(&info, sizeof info);
    ck_assert_int_eq(an_loader_describe(loader, &info), AN_OK);
    ck_assert_uint_eq(info.count, MANY);
    ck_assert_uint_eq(info.steps, 11);
    ck_assert_uint_ge(info.prepared, 3 * MANY);
    ck_assert_double_gt(info.busy, 0);
    an_loader_destroy(loader);

    c.shuffle = 0;
    loader = open_loader(&b, &c);
    ck_assert_uint_eq(next(loader).indices[9], 9);
    ck_assert_uint_eq(next(loader).indices[0], 10);
    an_loader_destroy(loader);
    close_bench(&b);
}
END_TEST

START_TEST(any_position_can_be_resumed)
{
    an_loader_config c = config_of(10, 2);
    an_loader *whole, *resumed;
    bench b;
    int i;

    open_many(&b);
    whole = open_loader(&b, &c);
    for (i = 0; i < 17; i++) next(whole);
    c.workers = 3;
    resumed = open_loader(&b, &c);
    next(resumed);
    ck_assert_int_eq(an_loader_seek(resumed, 1, 6), AN_OK);
    for (i = 0; i < 12; i++) {
        an_batch x = next(whole), y = next(resumed);

        ck_assert_uint_eq(x.epoch, y.epoch);
        ck_assert_uint_eq(x.step, y.step);
        ck_assert_mem_eq(x.labels, y.labels, x.count * sizeof *x.labels);
        ck_assert_mem_eq(x.images, y.images, x.count * SMALL_NUMBERS * sizeof(float));
    }
    ck_assert_int_eq(an_loader_seek(resumed, 0, 11), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "step is 11"));
    an_loader_destroy(whole);
    an_loader_destroy(resumed);
    close_bench(&b);
}
END_TEST

/* --- faults ------------------------------------------------------------------------ */

START_TEST(a_picture_that_fails_is_reported_and_passed)
{
    an_loader_config c = config_of(10, 2);
    an_loader *loader;
    an_batch batch;
    int i;
    bench b;

    open_many(&b);
    b.pictures.fail = 25;
    b.pictures.far = 43;
    c.shuffle = 0;
    loader = open_loader(&b, &c);
    an_batch_init(&batch, sizeof batch);
    for (i = 0; i < 11; i++) {
        an_status status = an_loader_next(loader, &batch);

        ck_assert_int_eq(status, i == 2   ? AN_ERROR_IO
                                 : i == 4 ? AN_ERROR_ARGUMENT
                                          : AN_OK);
        if (i == 2) ck_assert_ptr_nonnull(strstr(an_error_message(), "picture 25"));
        if (i == 4) ck_assert_ptr_nonnull(strstr(an_error_message(), "label is 10"));
    }
    ck_assert_uint_eq(batch.last, 1);
    an_loader_destroy(loader);
    close_bench(&b);
}
END_TEST

START_TEST(bad_configs_are_refused_by_name)
{
    static const struct {
        const char *name;
        size_t offset;
        uint32_t value;
    } bad[] = {{"batch", offsetof(an_loader_config, batch), 0},
               {"batch", offsetof(an_loader_config, batch), 8193},
               {"workers", offsetof(an_loader_config, workers), 0},
               {"workers", offsetof(an_loader_config, workers), 257},
               {"prefetch", offsetof(an_loader_config, prefetch), 0},
               {"prefetch", offsetof(an_loader_config, prefetch), 65},
               {"shuffle", offsetof(an_loader_config, shuffle), 2},
               {"augment", offsetof(an_loader_config, augment), 8},
               {"crop_group", offsetof(an_loader_config, crop_group), 0},
               {"colour_rule", offsetof(an_loader_config, colour_rule), 2}};
    an_loader *loader = NULL;
    an_loader_config c;
    size_t i;
    bench b;

    open_many(&b);
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        c = config_of(10, 1);
        memcpy((char *)&c + bad[i].offset, &bad[i].value, sizeof bad[i].value);
        ck_assert_int_eq(an_loader_create(&loader, b.model, &b.source, &c),
                         AN_ERROR_ARGUMENT);
        ck_assert_msg(strstr(an_error_message(), bad[i].name) != NULL, "%s: %s",
                      bad[i].name, an_error_message());
    }
    c = config_of(10, 1);
    c.colour_sigma = NAN;
    ck_assert_int_eq(an_loader_create(&loader, b.model, &b.source, &c),
                     AN_ERROR_ARGUMENT);
    c = config_of(10, 1);
    c.colour_divisor = 0;
    ck_assert_int_eq(an_loader_create(&loader, b.model, &b.source, &c),
                     AN_ERROR_ARGUMENT);
    b.source.count = 0;
    ck_assert_int_eq(an_loader_create(&loader, b.model, &b.source, NULL),
                     AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "source.count"));
    ck_assert_ptr_null(loader);
    an_loader_destroy(NULL);
    close_bench(&b);
}
END_TEST

/* A set of one colour has no axes to move along. */
START_TEST(colour_noise_without_axes_is_refused)
{
    an_loader_config c = config_of(10, 1);
    an_loader *loader = NULL;
    an_preprocessing p;
    bench b;

    open_many(&b);
    an_preprocessing_init(&p, sizeof p);
    ck_assert_int_eq(an_model_get_preprocessing(b.model, &p), AN_OK);
    memset(p.colour_deviation, 0, sizeof p.colour_deviation);
    ck_assert_int_eq(an_model_set_preprocessing(b.model, &p), AN_OK);
    ck_assert_int_eq(an_loader_create(&loader, b.model, &b.source, &c), AN_ERROR_STATE);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "colour_deviation"));
    c.colour_sigma = 0;
    ck_assert_int_eq(an_loader_create(&loader, b.model, &b.source, &c), AN_OK);
    an_loader_destroy(loader);
    close_bench(&b);
}
END_TEST

/* Destroyed at any moment, alone or in a child that has none of its threads. */
START_TEST(it_can_be_destroyed_while_it_works)
{
    an_loader_config c = config_of(50, 3);
    an_loader *loader;
    int i, status;
    pid_t child;
    bench b;

    open_many(&b);
    for (i = 0; i < 20; i++) {
        loader = open_loader(&b, &c);
        if (i % 2) next(loader);
        if (i % 3 == 0) ck_assert_int_eq(an_loader_seek(loader, 3, 1), AN_OK);
        an_loader_destroy(loader);
    }
    loader = open_loader(&b, &c);
    child = fork();
    if (child == 0) {
        an_batch batch;

        an_batch_init(&batch, sizeof batch);
        if (an_loader_next(loader, &batch) != AN_ERROR_FORKED) _exit(1);
        an_loader_destroy(loader);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    an_loader_destroy(loader);
    close_bench(&b);
}
END_TEST

/* The loader keeps the model's preprocessing of the moment it was made, and the model. */
START_TEST(it_outlives_what_it_was_made_of)
{
    an_loader_config c = config_of(4, 1);
    an_loader *loader;
    an_preprocessing p;
    float before;
    bench b;

    open_many(&b);
    c.augment = 0;
    c.shuffle = 0;
    loader = open_loader(&b, &c);
    before = next(loader).images[7];
    an_preprocessing_init(&p, sizeof p);
    ck_assert_int_eq(an_model_get_preprocessing(b.model, &p), AN_OK);
    p.mean[0] = 50;
    ck_assert_int_eq(an_model_set_preprocessing(b.model, &p), AN_OK);
    an_model_destroy(b.model);
    ck_assert_int_eq(an_loader_seek(loader, 0, 0), AN_OK);
    ck_assert_float_eq(next(loader).images[7], before);
    an_loader_destroy(loader);
    an_context_destroy(b.ctx);
    free(b.pictures.pixels);
}
END_TEST

Suite *loader_suite(void)
{
    Suite *suite = suite_create("loader");
    TCase *tc = tcase_create("loader");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, batches_are_those_of_an_independent_account);
    tcase_add_test(tc, crops_and_mirrors_are_uniform);
    tcase_add_loop_test(tc, colour_noise_has_the_covariance_it_should, 0, 2);
    tcase_add_test(tc, colour_noise_is_new_each_time);
    tcase_add_test(tc, workers_and_room_change_no_bit);
    tcase_add_test(tc, an_epoch_has_every_picture_once);
    tcase_add_test(tc, any_position_can_be_resumed);
    tcase_add_test(tc, a_picture_that_fails_is_reported_and_passed);
    tcase_add_test(tc, bad_configs_are_refused_by_name);
    tcase_add_test(tc, colour_noise_without_axes_is_refused);
    tcase_add_test(tc, it_can_be_destroyed_while_it_works);
    tcase_add_test(tc, it_outlives_what_it_was_made_of);
    suite_add_tcase(suite, tc);
    return suite;
}
