/*
 * test_images.c - from decoded pixels to the network's input.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "test.h"
#include "train/train.h"

static an_image image_of(const uint8_t *pixels, uint32_t width, uint32_t height)
{
    an_image image;

    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = width;
    image.height = height;
    return image;
}

static uint8_t *noise(size_t bytes, uint32_t seed)
{
    uint8_t *pixels = malloc(bytes);
    size_t i;

    for (i = 0; i < bytes; i++) {
        seed = seed * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)(seed >> 24);
    }
    return pixels;
}

START_TEST(a_picture_of_the_right_size_stays_as_it_is)
{
    uint8_t *pixels = noise(32 * 32 * 3, 1), out[32 * 32 * 3];
    an_image image = image_of(pixels, 32, 32);

    ck_assert_int_eq(an_image_fit(&image, 32, out, ENOUGH), AN_OK);
    ck_assert_mem_eq(out, pixels, sizeof out);
    free(pixels);
}
END_TEST

START_TEST(fitting_cuts_out_the_centre)
{
    uint8_t *pixels = noise(10 * 6 * 3, 2), out[6 * 6 * 3];
    an_image wide = image_of(pixels, 10, 6), high = image_of(pixels, 6, 10);
    int y;

    ck_assert_int_eq(an_image_fit(&wide, 6, out, ENOUGH), AN_OK);
    for (y = 0; y < 6; y++) ck_assert_mem_eq(out + y * 18, pixels + y * 30 + 2 * 3, 18);
    ck_assert_int_eq(an_image_fit(&high, 6, out, ENOUGH), AN_OK);
    ck_assert_mem_eq(out, pixels + 2 * 18, sizeof out);
    free(pixels);
}
END_TEST

/* Halving: each output pixel is (1 3 3 1) / 8 of the inputs around, on both axes; at the
 * edge the missing one's weight goes to the rest. */
START_TEST(halving_weighs_like_a_triangle)
{
    static const double inner[4] = {0.125, 0.375, 0.375, 0.125};
    uint8_t *pixels = noise(16 * 16 * 3, 3), out[8 * 8 * 3];
    an_image image = image_of(pixels, 16, 16);
    int x, y, i, j;

    ck_assert_int_eq(an_image_fit(&image, 8, out, ENOUGH), AN_OK);
    for (y = 0; y < 8; y++)
        for (x = 0; x < 8; x++) {
            double sum = 0, total = 0;

            for (j = 0; j < 4; j++)
                for (i = 0; i < 4; i++) {
                    int px = 2 * x - 1 + i, py = 2 * y - 1 + j;

                    if (px < 0 || px > 15 || py < 0 || py > 15) continue;
                    sum += inner[i] * inner[j] * pixels[(py * 16 + px) * 3];
                    total += inner[i] * inner[j];
                }
            ck_assert_int_eq(out[(y * 8 + x) * 3], (int)(sum / total + 0.5));
        }
    free(pixels);
}
END_TEST

/* A ramp stays the same ramp at any scale, away from its ends. */
START_TEST(enlarging_interpolates)
{
    uint8_t pixels[8 * 8 * 3], out[24 * 24 * 3];
    an_image image;
    int x, y;

    for (y = 0; y < 8; y++)
        for (x = 0; x < 8; x++) memset(pixels + (y * 8 + x) * 3, 30 * x, 3);
    image = image_of(pixels, 8, 8);
    ck_assert_int_eq(an_image_fit(&image, 24, out, ENOUGH), AN_OK);
    for (x = 1; x < 23; x++) /* pixel x is at (x + 0.5) / 3 - 0.5 */
        ck_assert_int_eq(out[(12 * 24 + x) * 3], (int)(30 * ((x + 0.5) / 3 - 0.5) + 0.5));
}
END_TEST

/* PIL's bilinear resizing has the same triangle, with 8-bit values between its two
 * passes. */
START_TEST(fitting_and_warping_are_those_of_pil)
{
    static const uint32_t sizes[5][3] = {
        {97, 61, 40}, {61, 97, 40}, {333, 250, 48}, {40, 400, 32}, {20, 30, 48}};
    FILE *file = fopen("test/golden/fit.bin", "rb");
    uint8_t got[48 * 48 * 3], expected[48 * 48 * 3];
    uint32_t i, k, warp, off = 0;

    ck_assert_ptr_nonnull(file);
    for (i = 0; i < 5; i++) {
        uint8_t *pixels = noise((size_t)sizes[i][0] * sizes[i][1] * 3, 100 + i);
        an_image image = image_of(pixels, sizes[i][0], sizes[i][1]);
        uint32_t side = sizes[i][2], bytes = side * side * 3;

        for (warp = 0; warp < 2; warp++) {
            ck_assert_uint_eq(fread(expected, 1, bytes, file), bytes);
            ck_assert_int_eq(
                (warp ? an_image_warp : an_image_fit)(&image, side, got, bytes), AN_OK);
            for (k = 0; k < bytes; k++) {
                ck_assert_int_le(abs(got[k] - expected[k]), 1);
                off += got[k] != expected[k];
            }
        }
        free(pixels);
    }
    ck_assert_uint_lt(off, 8000); /* of 49,152: rounded twice, they seldom differ */
    fclose(file);
}
END_TEST

START_TEST(odd_sizes_stay_within_the_pictures_range)
{
    static const uint32_t sizes[][2] = {{1, 1},   {1, 32768}, {32768, 1}, {3, 500},
                                        {257, 3}, {255, 256}, {641, 479}};
    uint8_t *out = malloc(64 * 64 * 3);
    size_t s, i;

    for (s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        size_t bytes = (size_t)sizes[s][0] * sizes[s][1] * 3;
        uint8_t *pixels = noise(bytes, 4);
        an_image image = image_of(pixels, sizes[s][0], sizes[s][1]);

        memset(pixels, 77, bytes);
        memset(out, 0, 64 * 64 * 3);
        ck_assert_int_eq(an_image_fit(&image, 64, out, ENOUGH), AN_OK);
        for (i = 0; i < 64 * 64 * 3; i++) ck_assert_uint_eq(out[i], 77);
        free(pixels);
    }
    free(out);
}
END_TEST

/* Rows may be further apart than their pixels. */
START_TEST(rows_may_be_padded)
{
    uint8_t *pixels = noise(20 * 16 * 3, 5), tight[16 * 16 * 3], a[8 * 8 * 3],
            b[8 * 8 * 3];
    an_image image = image_of(pixels, 16, 16), other = image_of(tight, 16, 16);
    int y;

    for (y = 0; y < 16; y++) memcpy(tight + y * 48, pixels + y * 60, 48);
    image.row_bytes = 60;
    ck_assert_int_eq(an_image_fit(&image, 8, a, ENOUGH), AN_OK);
    ck_assert_int_eq(an_image_fit(&other, 8, b, ENOUGH), AN_OK);
    ck_assert_mem_eq(a, b, sizeof a);
    free(pixels);
}
END_TEST

/* A model that crops 32 of 40. */
static an_model *small_model(an_context *ctx, uint32_t bgr)
{
    an_model *model;
    an_model_config config;
    an_preprocessing p;

    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.width = 0.2f;
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    an_preprocessing_init(&p, sizeof p);
    p.side = 40;
    p.bgr = bgr;
    p.mean[0] = 10;
    p.mean[1] = 20;
    p.mean[2] = 30;
    p.scale[0] = 2;
    p.scale[1] = 0.5f;
    p.scale[2] = -1;
    ck_assert_int_eq(an_model_set_preprocessing(model, &p), AN_OK);
    return model;
}

START_TEST(views_mean_scale_and_order)
{
    static const int place[5][2] = {{4, 4}, {0, 0}, {8, 0}, {0, 8}, {8, 8}};
    static const float mean[3] = {10, 20, 30}, scale[3] = {2, 0.5f, -1};
    uint8_t *pixels = noise(40 * 40 * 3, 6);
    an_image image = image_of(pixels, 40, 40);
    float *out = malloc(3 * 32 * 32 * sizeof *out);
    an_context *ctx;
    an_model *model;
    int view, x, y, c, bgr = _i;

    ck_assert_int_eq(an_context_create(&ctx, NULL), AN_OK);
    model = small_model(ctx, (uint32_t)bgr);
    for (view = 0; view < 10; view++) {
        ck_assert_int_eq(an_preprocess(model, &image, (uint32_t)view, out, ENOUGH),
                         AN_OK);
        for (c = 0; c < 3; c++)
            for (y = 0; y < 32; y++)
                for (x = 0; x < 32; x++) {
                    int from = view >= 5 ? 31 - x : x, map = bgr ? 2 - c : c;
                    int at = (y + place[view % 5][1]) * 40 + from + place[view % 5][0];

                    ck_assert_float_eq(out[(map * 32 + y) * 32 + x],
                                       ((float)pixels[at * 3 + c] - mean[c]) * scale[c]);
                }
    }
    an_model_destroy(model);
    an_context_destroy(ctx);
    free(out);
    free(pixels);
}
END_TEST

/* Fitting first and fitting on the way give the same input. */
START_TEST(a_fitted_picture_gives_the_same_input)
{
    uint8_t *pixels = noise(97 * 61 * 3, 7), fitted[40 * 40 * 3];
    an_image image = image_of(pixels, 97, 61), small = image_of(fitted, 40, 40);
    float *a = malloc(3 * 32 * 32 * sizeof *a), *b = malloc(3 * 32 * 32 * sizeof *b);
    an_context *ctx;
    an_model *model;

    ck_assert_int_eq(an_context_create(&ctx, NULL), AN_OK);
    model = small_model(ctx, 0);
    ck_assert_int_eq(an_image_fit(&image, 40, fitted, ENOUGH), AN_OK);
    ck_assert_int_eq(an_preprocess(model, &image, 7, a, ENOUGH), AN_OK);
    ck_assert_int_eq(an_preprocess(model, &small, 7, b, ENOUGH), AN_OK);
    ck_assert_mem_eq(a, b, 3 * 32 * 32 * sizeof *a);
    an_model_destroy(model);
    an_context_destroy(ctx);
    free(a);
    free(b);
    free(pixels);
}
END_TEST

/* Caffe's weights want both sides scaled; the others the centre. */
START_TEST(presets_fit_as_they_were_trained)
{
    an_context *ctx;
    uint32_t arch;

    ck_assert_int_eq(an_context_create(&ctx, NULL), AN_OK);
    for (arch = AN_ARCH_PAPER; arch <= AN_ARCH_CIFAR10; arch++) {
        int caffe = arch == AN_ARCH_CAFFE_ALEXNET || arch == AN_ARCH_CAFFENET;
        an_model_config config;
        an_preprocessing p;
        an_model *model;

        an_model_config_init(&config, sizeof config);
        an_preprocessing_init(&p, sizeof p);
        config.arch = arch;
        config.width = 0.02f;
        ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
        ck_assert_int_eq(an_model_get_preprocessing(model, &p), AN_OK);
        ck_assert_uint_eq(p.fit, caffe ? AN_FIT_WARP : AN_FIT_CROP);
        ck_assert_uint_eq(p.bgr, (uint32_t)caffe);
        ck_assert_uint_eq(p.mean_moves, (uint32_t)caffe);
        an_model_destroy(model);
    }
    an_context_destroy(ctx);
}
END_TEST

/* What is written past the caches is what memcpy() writes, wherever rows begin and end,
 * and not a byte more. */
START_TEST(rows_of_crops_are_copied_alike_by_every_path)
{
    static const size_t lengths[] = {3, 31, 32, 33, 63, 64, 65, 96, 672, 681};
    enum { ROWS = 7, PITCH = 768, AROUND = 64 };
    uint8_t *from = noise(ROWS * PITCH + AROUND, 5), out[AROUND + ROWS * 681 + AROUND];
    uint32_t path, rows, i, k, place;

    for (path = AN_CPU_PATH_REFERENCE; path <= AN_CPU_PATH_AVX512; path++) {
        const an_backend *cpu = an__cpu_path(path);

        for (i = 0; cpu != NULL && i < sizeof lengths / sizeof *lengths; i++)
            for (place = 0; place < AROUND; place++) {
                size_t length = lengths[i], first = place;

                rows = 1 + (place + i) % ROWS;
                memset(out, 0xa5, sizeof out);
                an__cpu_copy_rows(cpu)(out + first, from + place % 5, PITCH, length,
                                       rows);
                for (k = 0; k < rows; k++)
                    ck_assert_mem_eq(out + first + k * length,
                                     from + place % 5 + (size_t)k * PITCH, length);
                for (k = 0; k < first; k++) ck_assert_uint_eq(out[k], 0xa5);
                for (k = (uint32_t)(first + rows * length); k < sizeof out; k++)
                    ck_assert_uint_eq(out[k], 0xa5);
            }
    }
    free(from);
}
END_TEST

START_TEST(bad_pictures_are_refused_by_name)
{
    uint8_t pixels[12] = {0}, out[12];
    an_image image = image_of(pixels, 2, 2);

    image.width = 0;
    ck_assert_int_eq(an_image_fit(&image, 2, out, ENOUGH), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "width"));
    image.width = 32769;
    ck_assert_int_eq(an_image_fit(&image, 2, out, ENOUGH), AN_ERROR_ARGUMENT);
    image = image_of(pixels, 2, 0);
    ck_assert_int_eq(an_image_fit(&image, 2, out, ENOUGH), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "height"));
    image = image_of(NULL, 2, 2);
    ck_assert_int_eq(an_image_fit(&image, 2, out, ENOUGH), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "pixels"));
    image = image_of(pixels, 2, 2);
    image.row_bytes = 5;
    ck_assert_int_eq(an_image_fit(&image, 2, out, ENOUGH), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "row_bytes"));
    image.row_bytes = 0;
    ck_assert_int_eq(an_image_fit(&image, 0, out, ENOUGH), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_image_fit(&image, 2049, out, ENOUGH), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "side"));
    ck_assert_int_eq(an_image_fit(NULL, 2, out, ENOUGH), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_image_fit(&image, 2, NULL, ENOUGH), AN_ERROR_ARGUMENT);
}
END_TEST

Suite *images_suite(void)
{
    Suite *suite = suite_create("images");
    TCase *tc = tcase_create("images");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_picture_of_the_right_size_stays_as_it_is);
    tcase_add_test(tc, fitting_cuts_out_the_centre);
    tcase_add_test(tc, halving_weighs_like_a_triangle);
    tcase_add_test(tc, enlarging_interpolates);
    tcase_add_test(tc, fitting_and_warping_are_those_of_pil);
    tcase_add_test(tc, odd_sizes_stay_within_the_pictures_range);
    tcase_add_test(tc, rows_may_be_padded);
    tcase_add_loop_test(tc, views_mean_scale_and_order, 0, 2);
    tcase_add_test(tc, a_fitted_picture_gives_the_same_input);
    tcase_add_test(tc, presets_fit_as_they_were_trained);
    tcase_add_test(tc, rows_of_crops_are_copied_alike_by_every_path);
    tcase_add_test(tc, bad_pictures_are_refused_by_name);
    suite_add_tcase(suite, tc);
    return suite;
}
