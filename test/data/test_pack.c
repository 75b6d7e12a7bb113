/*
 * test_pack.c - packs: what is put in comes out, statistics are exact, a cut run goes on.
 */
#define _XOPEN_SOURCE 700
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "expect.h"
#include "packs.h"
#include "test.h"

START_TEST(what_is_put_in_comes_out)
{
    place p = place_open();
    an_pack_info info;
    an_pack *pack;

    make_pack(&p, "pack", 4 * BYTES);
    pack = open_pack(&p, "pack");
    info = pack_info(pack);
    ck_assert_uint_eq(info.count, COUNT);
    ck_assert_uint_eq(info.side, SIDE);
    ck_assert_uint_eq(info.classes, CLASSES);
    ck_assert_uint_eq(info.kind, AN_PACK_RAW);
    ck_assert_uint_eq(info.parts, (COUNT + 3) / 4); /* four pictures reach the limit */
    ck_assert_uint_eq(info.bytes, COUNT * BYTES + info.parts * 16);
    ck_assert_str_eq(an_pack_class_name(pack, 2), "b\xc3\xa4r");
    ck_assert_ptr_null(an_pack_class_name(pack, 3));
    check_pictures(pack);
    ck_assert_int_eq(an_pack_read(pack, COUNT, NULL, 0, NULL), AN_ERROR_ARGUMENT);
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

/* Mean, deviations and covariance in double, straight from the pictures; the axes are
 * checked by what they are: orthonormal, and what makes the covariance diagonal. */
START_TEST(statistics_are_those_of_the_pixels)
{
    double sum[3] = {0}, product[3][3] = {{0}}, n = (double)COUNT * SIDE * SIDE;
    float *mean = malloc(BYTES * sizeof *mean);
    uint8_t pixels[BYTES];
    place p = place_open();
    an_pack_info info;
    an_pack *pack;
    double *image = calloc(BYTES, sizeof *image);
    int i, j, k, c;

    for (i = 0; i < COUNT; i++) {
        make_picture((uint32_t)i, pixels);
        for (k = 0; k < BYTES; k++)
            image[k % 3 * SIDE * SIDE + k / 3] += pixels[k] / (double)COUNT;
        for (k = 0; k < BYTES; k += 3)
            for (c = 0; c < 3; c++) {
                sum[c] += pixels[k + c];
                for (j = 0; j < 3; j++) product[c][j] += pixels[k + c] * pixels[k + j];
            }
    }
    make_pack(&p, "pack", 1 << 20);
    pack = open_pack(&p, "pack");
    info = pack_info(pack);
    for (c = 0; c < 3; c++) {
        double variance = product[c][c] / n - sum[c] * sum[c] / n / n;

        ck_assert_double_eq_tol((double)info.mean[c], sum[c] / n, 1e-4);
        ck_assert_double_eq_tol((double)info.deviation[c], sqrt(variance), 1e-4);
    }
    for (i = 0; i < 3; i++)
        for (j = 0; j < 3; j++) {
            double dot = 0, across = 0;

            for (c = 0; c < 3; c++) {
                dot += (double)info.colour_axis[i][c] * (double)info.colour_axis[j][c];
                for (k = 0; k < 3; k++)
                    across += (double)info.colour_axis[i][c] *
                              (product[c][k] / n - sum[c] * sum[k] / n / n) *
                              (double)info.colour_axis[j][k];
            }
            ck_assert_double_eq_tol(dot, i == j, 1e-5);
            ck_assert_double_eq_tol(
                across, i == j ? pow((double)info.colour_deviation[i], 2) : 0, 1e-2);
        }
    ck_assert_float_ge(info.colour_deviation[0], info.colour_deviation[1]);
    ck_assert_float_ge(info.colour_deviation[1], info.colour_deviation[2]);
    ck_assert_int_eq(an_pack_mean_image(pack, mean, BYTES), AN_OK);
    for (k = 0; k < BYTES; k++) ck_assert_double_eq_tol((double)mean[k], image[k], 1e-4);
    ck_assert_int_eq(an_pack_mean_image(pack, mean, BYTES - 1), AN_ERROR_ARGUMENT);
    an_pack_destroy(pack);
    place_close(&p);
    free(mean);
    free(image);
}
END_TEST

static void same_files(place *p, const char *a, const char *b)
{
    char command[512];

    snprintf(command, sizeof command, "diff -r %s/%s %s/%s > /dev/null", p->folder, a,
             p->folder, b);
    ck_assert_msg(system(command) == 0, "%s and %s differ", a, b);
}

/* Cut after a sync and some more pictures: the rest is made again, and nobody can
 * tell. */
START_TEST(a_cut_run_goes_on_to_the_same_files)
{
    an_pack_writer_config c = packing_config(4 * BYTES, 1);
    uint8_t pixels[BYTES];
    place p = place_open();
    an_pack_writer *packing;
    an_pack *pack;

    make_pack(&p, "whole", 4 * BYTES);
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "cut"), &c),
                     AN_OK);
    add_pictures(packing, 0, 10);
    ck_assert_int_eq(an_pack_writer_sync(packing), AN_OK);
    add_pictures(packing, 10, 23); /* three more parts */
    an_pack_writer_destroy(packing);

    ck_assert_int_eq(an_pack_open(&pack, p.ctx, inside(&p, "cut"), NULL, NULL),
                     AN_ERROR_STATE);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "not finished"));
    c.side = SIDE + 1;
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "cut"), &c),
                     AN_ERROR_FORMAT);
    c.side = SIDE;
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "cut"), &c),
                     AN_OK);
    ck_assert_uint_eq(an_pack_writer_position(packing), 10);
    add_pictures(packing, 10, COUNT);
    ck_assert_int_eq(an_pack_writer_finish(packing), AN_OK);
    make_picture(0, pixels);
    ck_assert_int_eq(an_pack_writer_add(packing, pixels, NULL, 0, 0), AN_ERROR_STATE);
    an_pack_writer_destroy(packing);
    same_files(&p, "whole", "cut");
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "cut"), &c),
                     AN_ERROR_STATE);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "finished"));
    place_close(&p);
}
END_TEST

START_TEST(without_resume_it_begins_anew)
{
    an_pack_writer_config c = packing_config(BYTES, 0);
    place p = place_open();
    an_pack_writer *packing;
    an_pack *pack;

    make_pack(&p, "whole", BYTES);
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "again"), &c),
                     AN_OK);
    add_pictures(packing, 5, 25);
    ck_assert_int_eq(an_pack_writer_sync(packing), AN_OK);
    an_pack_writer_destroy(packing);
    make_pack(&p, "again", BYTES);
    same_files(&p, "whole", "again");
    pack = open_pack(&p, "again");
    check_pictures(pack);
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

/* A file may not grow beyond a limit: as on a full disk, a write fails. */
START_TEST(a_full_disk_loses_nothing)
{
    an_pack_writer_config c = packing_config(1 << 20, 0);
    struct rlimit limit, small;
    uint8_t pixels[BYTES];
    place p = place_open();
    an_pack_writer *packing;
    an_pack *pack;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 16 + 20 * BYTES + BYTES / 2;
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                     AN_OK);
    add_pictures(packing, 0, 20);
    make_picture(20, pixels);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ck_assert_int_eq(an_pack_writer_add(packing, pixels, NULL, 0, 2), AN_ERROR_IO);
    ck_assert_uint_eq(an_pack_writer_position(packing), 20);
    small.rlim_cur = 1000; /* no index either */
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ck_assert_int_eq(an_pack_writer_finish(packing), AN_ERROR_IO);
    ck_assert_int_eq(access(inside(&p, "pack/index.safetensors"), F_OK), -1);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    add_pictures(packing, 20, COUNT);
    ck_assert_int_eq(an_pack_writer_finish(packing), AN_OK);
    an_pack_writer_destroy(packing);
    pack = open_pack(&p, "pack");
    check_pictures(pack);
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

/* The disk is full before the part's first bytes are written: nothing is left, and the
 * call can be made again. */
START_TEST(a_part_that_cannot_begin_leaves_nothing)
{
    an_pack_writer_config c = packing_config(4 * BYTES, 0);
    struct rlimit limit, small;
    uint8_t pixels[BYTES];
    place p = place_open();
    an_pack_writer *packing;
    int i;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 8;
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                     AN_OK);
    make_picture(0, pixels);
    for (i = 0; i < 2; i++) {
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
        ck_assert_int_eq(an_pack_writer_add(packing, pixels, NULL, 0, 0), AN_ERROR_IO);
        ck_assert_int_eq(an_pack_writer_add(packing, pixels, NULL, 0, 0), AN_ERROR_IO);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        ck_assert_int_eq(
            access(inside(&p, i == 0 ? "pack/part-0000.bin" : "pack/part-0001.bin"),
                   F_OK),
            -1);
        add_pictures(packing, 4 * (uint32_t)i, 4 * (uint32_t)i + 4); /* a part */
    }
    add_pictures(packing, 8, COUNT);
    ck_assert_int_eq(an_pack_writer_finish(packing), AN_OK);
    an_pack_writer_destroy(packing);
    make_pack(&p, "whole", 4 * BYTES);
    same_files(&p, "whole", "pack");
    place_close(&p);
}
END_TEST

START_TEST(a_part_lost_meanwhile_is_noticed)
{
    an_pack_writer_config c = packing_config(4 * BYTES, 1);
    place p = place_open();
    an_pack_writer *packing;

    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                     AN_OK);
    add_pictures(packing, 0, 10);
    ck_assert_int_eq(an_pack_writer_sync(packing), AN_OK);
    an_pack_writer_destroy(packing);
    ck_assert_int_eq(truncate(inside(&p, "pack/part-0000.bin"), 100), 0);
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                     AN_ERROR_FORMAT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "part 0"));
    ck_assert_int_eq(remove(inside(&p, "pack/part-0001.bin")), 0);
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                     AN_ERROR_FORMAT);
    place_close(&p);
}
END_TEST

START_TEST(an_empty_class_or_pack_is_refused)
{
    an_pack_writer_config c = packing_config(1 << 20, 0);
    uint8_t pixels[BYTES] = {0};
    place p = place_open();
    an_pack_writer *packing;

    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                     AN_OK);
    ck_assert_int_eq(an_pack_writer_finish(packing), AN_ERROR_STATE);
    ck_assert_int_eq(an_pack_writer_set_class_name(packing, 1, "nobody"), AN_OK);
    ck_assert_int_eq(an_pack_writer_add(packing, pixels, NULL, 0, 0), AN_OK);
    ck_assert_int_eq(an_pack_writer_finish(packing), AN_ERROR_STATE); /* one image */
    ck_assert_ptr_nonnull(strstr(an_error_message(), "nobody"));
    ck_assert_int_eq(an_pack_writer_add(packing, pixels, NULL, 0, 3), AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "label is 3"));
    ck_assert_int_eq(an_pack_writer_add(packing, pixels, NULL, 0, -1), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_pack_writer_add(packing, NULL, NULL, 0, 0), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_pack_writer_skip(packing), AN_OK);
    ck_assert_uint_eq(an_pack_writer_position(packing), 2);
    an_pack_writer_destroy(packing);
    an_pack_writer_destroy(NULL);
    place_close(&p);
}
END_TEST

START_TEST(bad_configs_are_refused_by_name)
{
    place p = place_open();
    an_pack_writer *packing = NULL;
    an_pack_writer_config c = packing_config(1 << 20, 0);

    c.side = 0;
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, p.folder, &c),
                     AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "side"));
    c = packing_config(1 << 20, 0);
    c.classes = 1;
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, p.folder, &c),
                     AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "classes"));
    c = packing_config(1 << 20, 0);
    c.kind = 9;
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, p.folder, &c),
                     AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "kind"));
    c = packing_config(0, 0);
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, p.folder, &c),
                     AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "part_bytes"));
    c = packing_config(1 << 20, 0);
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, "/no/such/folder", &c),
                     AN_ERROR_IO);
    fclose(fopen(inside(&p, "file"), "w"));
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "file"), &c),
                     AN_ERROR_IO);
    ck_assert_ptr_null(packing);
    place_close(&p);
}
END_TEST

/* --- pictures that a codec makes --------------------------------------------------- */

/* A codec for the test: every byte plus one, a byte of mark before. */
static int decode(const uint8_t *bytes, size_t count, uint32_t side, uint8_t *pixels,
                  void *user)
{
    size_t i;

    ++*(int *)user;
    if (count != 1 + (size_t)3 * side * side || bytes[0] != 0x5a) return -1;
    for (i = 1; i < count; i++) pixels[i - 1] = (uint8_t)(bytes[i] - 1);
    return 0;
}

START_TEST(encoded_pictures_are_decoded_by_the_host)
{
    an_pack_writer_config c = packing_config(1 << 20, 0);
    uint8_t pixels[BYTES], bytes[BYTES + 1], out[BYTES];
    place p = place_open();
    an_pack_writer *packing;
    an_pack *pack = NULL;
    int calls = 0, i, k;

    c.kind = AN_PACK_JPEG;
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                     AN_OK);
    for (i = 0; i < COUNT; i++) {
        make_picture((uint32_t)i, pixels);
        bytes[0] = i == 7 ? 0 : 0x5a; /* one that does not decode */
        for (k = 0; k < BYTES; k++) bytes[k + 1] = (uint8_t)(pixels[k] + 1);
        ck_assert_int_eq(
            an_pack_writer_add(packing, pixels, bytes, sizeof bytes, i % CLASSES), AN_OK);
    }
    ck_assert_int_eq(an_pack_writer_add(packing, pixels, NULL, 0, 0), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_pack_writer_finish(packing), AN_OK);
    an_pack_writer_destroy(packing);
    ck_assert_int_eq(an_pack_open(&pack, p.ctx, inside(&p, "pack"), NULL, NULL),
                     AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "decode"));
    ck_assert_int_eq(an_pack_open(&pack, p.ctx, inside(&p, "pack"), decode, &calls),
                     AN_OK);
    for (i = 0; i < COUNT; i++) {
        make_picture((uint32_t)i, pixels);
        ck_assert_int_eq(an_pack_read(pack, (uint64_t)i, out, ENOUGH, NULL),
                         i == 7 ? AN_ERROR_FORMAT : AN_OK);
        if (i != 7) ck_assert_mem_eq(out, pixels, BYTES);
    }
    ck_assert_ptr_nonnull(an_error_message());
    ck_assert_int_eq(calls, COUNT);
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

/* --- for a model ------------------------------------------------------------------- */

START_TEST(a_model_takes_the_packs_colours)
{
    float *mean = malloc(3 * 32 * 32 * sizeof *mean),
          *got = malloc(3 * 32 * 32 * sizeof *got);
    uint8_t grey[32 * 32 * 3];
    an_pack_writer_config c = packing_config(1 << 20, 0);
    an_model_config config;
    an_preprocessing pre;
    place p = place_open();
    an_pack_writer *packing;
    an_pack_info info;
    an_model *model;
    an_pack *pack;
    int i;

    c.side = 32;
    c.fit = AN_FIT_WARP;
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                     AN_OK);
    for (i = 0; i < 3; i++) { /* three greys: red varies, and so does nothing else */
        memset(grey, 100, sizeof grey);
        grey[0] = (uint8_t)(10 * i);
        ck_assert_int_eq(an_pack_writer_add(packing, grey, NULL, 0, i), AN_OK);
    }
    ck_assert_int_eq(an_pack_writer_set_class_name(packing, 1, "one"), AN_OK);
    ck_assert_int_eq(an_pack_writer_finish(packing), AN_OK);
    an_pack_writer_destroy(packing);
    pack = open_pack(&p, "pack");
    info = pack_info(pack);

    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.width = 0.1f;
    config.classes = 3;
    ck_assert_int_eq(an_model_create(&model, p.ctx, &config), AN_OK);
    ck_assert_int_eq(an_pack_prepare_model(pack, model, 1, 1), AN_OK);
    an_preprocessing_init(&pre, sizeof pre);
    ck_assert_int_eq(an_model_get_preprocessing(model, &pre), AN_OK);
    ck_assert_uint_eq(info.fit, AN_FIT_WARP);
    ck_assert_uint_eq(pre.fit, AN_FIT_WARP);
    ck_assert_float_eq(pre.mean[0], info.mean[0]);
    ck_assert_float_eq(pre.scale[0], 1 / fmaxf(info.deviation[0], 1));
    ck_assert_float_eq(pre.scale[1], 1); /* a constant colour has no scale of its own */
    ck_assert_mem_eq(pre.colour_axis, info.colour_axis, sizeof pre.colour_axis);
    ck_assert_mem_eq(pre.colour_deviation, info.colour_deviation,
                     sizeof pre.colour_deviation);
    ck_assert_int_eq(an_pack_mean_image(pack, mean, 3 * 32 * 32), AN_OK);
    ck_assert_int_eq(an_model_get_mean_image(model, got, 3 * 32 * 32), AN_OK);
    ck_assert_mem_eq(mean, got, 3 * 32 * 32 * sizeof *mean);
    ck_assert_str_eq(an_model_class_name(model, 1), "one");
    ck_assert_int_eq(an_pack_prepare_model(pack, model, 0, 0), AN_OK);
    ck_assert_int_eq(an_model_get_mean_image(model, got, 3 * 32 * 32), AN_ERROR_STATE);
    ck_assert_int_eq(an_pack_prepare_model(pack, model, 2, 0), AN_ERROR_ARGUMENT);
    an_model_destroy(model);
    config.image_size = 40; /* crops larger than the pack's pictures */
    ck_assert_int_eq(an_model_create(&model, p.ctx, &config), AN_OK);
    ck_assert_int_eq(an_pack_prepare_model(pack, model, 0, 0), AN_ERROR_ARGUMENT);
    an_model_destroy(model);
    an_pack_destroy(pack);
    place_close(&p);
    free(mean);
    free(got);
}
END_TEST

/* No variance: deviations are 0, axes still a basis, scales 1, and noise is refused. */
START_TEST(a_set_of_one_colour_has_no_axes)
{
    an_pack_writer_config c = packing_config(1 << 20, 0);
    uint8_t grey[32 * 32 * 3];
    an_loader_config loading;
    an_model_config config;
    an_preprocessing pre;
    place p = place_open();
    an_pack_writer *packing;
    an_loader *loader = NULL;
    an_source source;
    an_pack_info info;
    an_model *model;
    an_pack *pack;
    int i, j;

    c.side = 32;
    memset(grey, 93, sizeof grey);
    ck_assert_int_eq(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                     AN_OK);
    for (i = 0; i < CLASSES; i++)
        ck_assert_int_eq(an_pack_writer_add(packing, grey, NULL, 0, i), AN_OK);
    ck_assert_int_eq(an_pack_writer_finish(packing), AN_OK);
    an_pack_writer_destroy(packing);
    pack = open_pack(&p, "pack");
    info = pack_info(pack);
    for (i = 0; i < 3; i++) {
        double length = 0;

        ck_assert_float_eq(info.mean[i], 93);
        ck_assert_float_eq(info.deviation[i], 0);
        ck_assert_float_eq(info.colour_deviation[i], 0);
        for (j = 0; j < 3; j++) length += pow((double)info.colour_axis[i][j], 2);
        ck_assert_double_eq_tol(length, 1, 1e-6);
    }
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.width = 0.1f;
    config.classes = CLASSES;
    ck_assert_int_eq(an_model_create(&model, p.ctx, &config), AN_OK);
    ck_assert_int_eq(an_pack_prepare_model(pack, model, 1, 1), AN_OK);
    an_preprocessing_init(&pre, sizeof pre);
    ck_assert_int_eq(an_model_get_preprocessing(model, &pre), AN_OK);
    for (i = 0; i < 3; i++) ck_assert_float_eq(pre.scale[i], 1);
    an_source_init(&source, sizeof source);
    ck_assert_int_eq(an_pack_source(pack, &source), AN_OK);
    an_loader_config_init(&loading, sizeof loading);
    ck_assert_int_eq(an_loader_create(&loader, model, &source, &loading), AN_ERROR_STATE);
    ck_assert_ptr_null(loader);
    loading.augment &= ~(uint32_t)AN_AUGMENT_COLOUR;
    ck_assert_int_eq(an_loader_create(&loader, model, &source, &loading), AN_OK);
    an_loader_destroy(loader);
    an_model_destroy(model);
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

Suite *pack_suite(void)
{
    Suite *suite = suite_create("pack");
    TCase *tc = tcase_create("pack");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, what_is_put_in_comes_out);
    tcase_add_test(tc, statistics_are_those_of_the_pixels);
    tcase_add_test(tc, a_cut_run_goes_on_to_the_same_files);
    tcase_add_test(tc, without_resume_it_begins_anew);
    tcase_add_test(tc, a_full_disk_loses_nothing);
    tcase_add_test(tc, a_part_that_cannot_begin_leaves_nothing);
    tcase_add_test(tc, a_part_lost_meanwhile_is_noticed);
    tcase_add_test(tc, an_empty_class_or_pack_is_refused);
    tcase_add_test(tc, bad_configs_are_refused_by_name);
    tcase_add_test(tc, encoded_pictures_are_decoded_by_the_host);
    tcase_add_test(tc, a_model_takes_the_packs_colours);
    tcase_add_test(tc, a_set_of_one_colour_has_no_axes);
    suite_add_tcase(suite, tc);
    return suite;
}
