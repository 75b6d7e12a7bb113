/*
 * programs_pictures.c - image files in and out, and their way to a pack on threads.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/jobs.h"
#include "fixtures.h"

enum { WIDTH = 21, HEIGHT = 13, SIDE = 40 };

/* What RGB is made of each kind of PNG: grey is grey, and what is transparent shows
 * white. */
START_TEST(pictures_of_every_kind_become_rgb)
{
    uint8_t pixels[4 * WIDTH * HEIGHT], wanted[3 * WIDTH * HEIGHT];
    uint32_t channels, i, c;

    waves(pixels, sizeof pixels / 3, 1, 5);
    for (channels = 1; channels <= 4; channels++) {
        picture p;

        png_write("p.png", pixels, WIDTH, HEIGHT, channels);
        p = picture_of("p.png");
        expect_count(p.width, WIDTH, "%u channels", channels);
        expect_count(p.height, HEIGHT, "%u channels", channels);
        for (i = 0; i < WIDTH * HEIGHT; i++)
            for (c = 0; c < 3; c++) {
                double colour = pixels[channels * i + (channels < 3 ? 0 : c)];
                double alpha =
                    channels % 2 == 0 ? pixels[channels * i + channels - 1] / 255.0 : 1;

                wanted[3 * i + c] = (uint8_t)lround(colour * alpha + 255 * (1 - alpha));
            }
        expect_bytes(p.pixels, wanted, sizeof wanted, "%u channels", channels);
        picture_free(&p);
        ck_assert_ptr_null(p.pixels);
    }
}
END_TEST

static void expect_unreadable(const char *name, const char *why)
{
    picture p;
    const char *error = picture_read(&p, inside(name));

    ck_assert_msg(error != NULL && strstr(error, why) != NULL,
                  "%s: wanted \"%s\", got \"%s\"", name, why,
                  error ? error : "a picture");
}

START_TEST(what_is_no_picture_is_told)
{
    text_write("text.png", "no picture at all");
    text_write("empty.png", "%s", "");
    text_write("short.jpg", "%s", "\xff\xd8");
    folder_make("folder.png");
    expect_unreadable("none.png", strerror(ENOENT));
    expect_unreadable("text.png", "");
    expect_unreadable("empty.png", "");
    expect_unreadable("short.jpg", "");
    expect_unreadable("folder.png", "a folder, not a file");
}
END_TEST

/* A JPEG file must have its end, behind which anything may stand. */
START_TEST(truncated_jpegs_are_told_from_whole_ones)
{
    uint8_t pixels[3 * SIDE * SIDE], *bytes, out[3 * SIDE * SIDE];
    size_t count, cut;
    picture p;

    waves(pixels, SIDE, SIDE, 3);
    bytes = picture_encode(pixels, SIDE, 90, &count);
    for (cut = 1; cut < count - 4; cut += cut < 8 ? 1 : count / 9) {
        bytes_write("cut.jpg", bytes, count - cut);
        expect_unreadable("cut.jpg", "truncated");
        expect_count(picture_decode(bytes, count - cut, SIDE, out, NULL), (uint64_t)-1,
                     "%zu bytes too few", cut);
    }
    for (cut = 0; cut <= 200000; cut += 50000) {
        uint8_t *longer = malloc(count + cut);

        memset(longer, 'x', count + cut);
        memcpy(longer, bytes, count);
        bytes_write("whole.jpg", longer, count + cut);
        free(longer);
        p = picture_of("whole.jpg");
        expect_count(p.width, SIDE, "%zu bytes behind", cut);
        picture_free(&p);
    }
    free(bytes);
}
END_TEST

START_TEST(a_picture_is_written_as_it_is)
{
    picture p = picture_make(WIDTH, HEIGHT, 77), back;
    uint8_t grey[3 * WIDTH * HEIGHT];

    memset(grey, 77, sizeof grey);
    expect_bytes(p.pixels, grey, sizeof grey, "a grey picture");
    waves(p.pixels, WIDTH, HEIGHT, 9);
    ck_assert_int_eq(picture_write_png(&p, inside("p.png")), 0);
    png_write("hand.png", p.pixels, WIDTH, HEIGHT, 3);
    expect_same_picture("p.png", "hand.png");
    back = picture_of("p.png");
    expect_count(back.width, WIDTH, "wide");
    expect_bytes(back.pixels, p.pixels, 3 * WIDTH * HEIGHT, "the picture read again");
    ck_assert_int_eq(picture_write_png(&p, inside("none/p.png")), -1);
    expect_count(errno, ENOENT, "why it was not written");
    picture_free(&back);
    picture_free(&p);
}
END_TEST

/* The mean difference of what is decoded; a few levels at quality 95. */
static double loss_of(const uint8_t *pixels, int quality, size_t *count)
{
    uint8_t *bytes = picture_encode(pixels, SIDE, quality, count), out[3 * SIDE * SIDE];
    double sum = 0;
    uint32_t i;

    ck_assert_int_eq(picture_decode(bytes, *count, SIDE, out, NULL), 0);
    for (i = 0; i < 3 * SIDE * SIDE; i++) sum += abs(out[i] - pixels[i]);
    free(bytes);
    return sum / (3 * SIDE * SIDE);
}

START_TEST(jpegs_keep_more_of_the_picture_the_better_they_are)
{
    static const int qualities[] = {1, 30, 60, 95, 100};
    uint8_t pixels[3 * SIDE * SIDE];
    double before = 256, loss;
    size_t bytes, last = 0, i;

    waves(pixels, SIDE, SIDE, 4);
    for (i = 0; i < sizeof qualities / sizeof qualities[0]; i++) {
        loss = loss_of(pixels, qualities[i], &bytes);
        ck_assert_msg(loss < before && bytes > last,
                      "quality %d: %g levels apart in %zu bytes, before %g in %zu",
                      qualities[i], loss, bytes, before, last);
        before = loss;
        last = bytes;
    }
    ck_assert_msg(before < 2, "quality 100: %g levels apart", before);
}
END_TEST

/* More than append()'s first room of 64 KiB. */
START_TEST(a_large_jpeg_is_whole)
{
    enum { LARGE = 400 };
    uint8_t *pixels = malloc(3 * LARGE * LARGE), *out = malloc(3 * LARGE * LARGE), *bytes;
    double apart = 0;
    size_t count, i;

    waves(pixels, LARGE, LARGE, 6);
    bytes = picture_encode(pixels, LARGE, 100, &count);
    ck_assert_uint_gt(count, 2 * 65536);
    ck_assert_int_eq(picture_decode(bytes, count, LARGE, out, NULL), 0);
    for (i = 0; i < 3 * LARGE * LARGE; i++) apart += abs(out[i] - pixels[i]);
    ck_assert_msg(apart < 2.0 * 3 * LARGE * LARGE, "%g levels apart in all", apart);
    free(pixels);
    free(bytes);
    free(out);
}
END_TEST

START_TEST(a_jpeg_of_another_size_is_no_picture_of_the_pack)
{
    uint8_t pixels[3 * SIDE * SIDE], out[3 * SIDE * SIDE], same[3 * SIDE * SIDE], *bytes;
    size_t count;

    waves(pixels, SIDE, SIDE, 3);
    bytes = picture_encode(pixels, SIDE, 90, &count);
    memset(out, 9, sizeof out);
    ck_assert_int_eq(picture_decode(bytes, count, SIDE - 1, out, NULL), -1);
    ck_assert_int_eq(picture_decode(bytes, count, SIDE + 1, out, NULL), -1);
    memset(same, 9, sizeof same);
    expect_bytes(out, same, sizeof out, "nothing is written");
    free(bytes);
    png_write("wide.png", pixels, SIDE, SIDE / 2, 3); /* as wide, but not as high */
    bytes = (uint8_t *)file_read("wide.png", &count);
    ck_assert_int_eq(picture_decode(bytes, count, SIDE, out, NULL), -1);
    ck_assert_int_eq(picture_decode(bytes, count, SIDE / 2, out, NULL), -1);
    free(bytes);
}
END_TEST

/* --- on threads -------------------------------------------------------------------- */

enum { FILES = 11 };

typedef struct work {
    jobs j;
    item items[FILES];
    char paths[FILES][256];
} work;

/* Files of several proportions; the fourth is none, the fifth is text. */
static void make_files(work *w)
{
    char name[32];
    uint32_t i;

    memset(w, 0, sizeof *w);
    for (i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "%u.png", i);
        if (i == 4)
            text_write(name, "text");
        else if (i != 3)
            png_waves(name, 20 + 3 * i, 50 - 2 * i, i);
        strcpy(w->paths[i], inside(name));
        w->items[i].path = w->paths[i];
    }
}

static void expect_one_fitted(const work *w, const job *one)
{
    uint8_t fitted[3 * SIDE * SIDE], *bytes;
    const char *path = one->from->path;
    uint32_t side = w->j.side;
    an_image image;
    size_t count;
    picture p;

    if (one->from == &w->items[3] || one->from == &w->items[4]) {
        ck_assert_msg(one->error[0] != '\0', "%s: is no picture", path);
        ck_assert_ptr_null(one->bytes);
        expect_count(one->count, 0, "%s", path);
        return;
    }
    expect_text(one->error, "", "%s", path);
    ck_assert_ptr_null(picture_read(&p, path));
    image = image_of(p.pixels, p.width, p.height);
    expect_ok((w->j.warp ? an_image_warp : an_image_fit)(&image, side, fitted, ENOUGH));
    expect_bytes(one->pixels, fitted, 3 * side * side, "%s, warp %d", path, w->j.warp);
    picture_free(&p);
    if (w->j.quality == 0) {
        ck_assert_ptr_null(one->bytes);
        expect_count(one->count, 0, "%s", path);
        return;
    }
    bytes = picture_encode(fitted, side, w->j.quality, &count);
    expect_count(one->count, count, "%s, quality %d", path, w->j.quality);
    expect_bytes(one->bytes, bytes, count, "%s as JPEG", path);
    free(bytes);
}

/* Each job does file number job + shift. */
static void run_shifted(work *w, uint32_t shift)
{
    uint32_t i;

    w->j.count = FILES;
    for (i = 0; i < FILES; i++) w->j.all[i].from = &w->items[(i + shift) % FILES];
    w->j.all[FILES].from = NULL; /* one more would be read from nowhere */
    jobs_run(&w->j);
    for (i = 0; i < FILES; i++) expect_one_fitted(w, &w->j.all[i]);
    for (i = 0; i < FILES; i++) free(w->j.all[i].bytes);
}

/* A job forgets what it did before: what one could not read, another can. */
START_TEST(pictures_are_read_fitted_and_encoded_whatever_the_threads)
{
    static const struct {
        uint32_t side, threads;
        int warp, quality;
    } cases[] = {{16, 1, 0, 0}, {17, 2, 1, 0}, {SIDE, 5, 0, 70}, {16, 256, 1, 95}};
    work *w = malloc(sizeof *w);
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make_files(w);
        memset(&w->j, 0x55, sizeof w->j); /* as allocate() may leave it */
        jobs_open(&w->j, cases[i].side, cases[i].threads);
        w->j.warp = cases[i].warp;
        w->j.quality = cases[i].quality;
        run_shifted(w, 0);
        expect_text(w->j.all[3].error, strerror(ENOENT), "the file that is not there");
        run_shifted(w, 1);
        run_shifted(w, 5);
        jobs_close(&w->j);
    }
    free(w);
}
END_TEST

Suite *pictures_suite(void)
{
    Suite *suite = suite_create("pictures");
    TCase *tc = tcase_create("files"), *threads = tcase_create("threads");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, pictures_of_every_kind_become_rgb);
    tcase_add_test(tc, what_is_no_picture_is_told);
    tcase_add_test(tc, truncated_jpegs_are_told_from_whole_ones);
    tcase_add_test(tc, a_picture_is_written_as_it_is);
    tcase_add_test(tc, jpegs_keep_more_of_the_picture_the_better_they_are);
    tcase_add_test(tc, a_large_jpeg_is_whole);
    tcase_add_test(tc, a_jpeg_of_another_size_is_no_picture_of_the_pack);
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(threads, programs_setup, programs_teardown);
    tcase_add_test(threads, pictures_are_read_fitted_and_encoded_whatever_the_threads);
    suite_add_tcase(suite, threads);
    return suite;
}
