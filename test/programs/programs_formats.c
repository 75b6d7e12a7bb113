/*
 * programs_formats.c - pictures in every format that is decoded, beside what PIL reads
 * (test/golden/make_pictures.py); and files that are not whole, or no pictures.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/formats.h"
#include "fixtures.h"

enum { WIDE = 40, HIGH = 24, PIXELS = WIDE * HIGH, BYTES = 3 * PIXELS };

/* A golden file, to be freed. */
static uint8_t *golden(const char *name, size_t *size)
{
    char path[128];
    uint8_t *data = malloc(65536);
    FILE *file;

    snprintf(path, sizeof path, "test/golden/pictures/%s", name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s: is not there", path);
    *size = fread(data, 1, 65536, file);
    fclose(file);
    return data;
}

static void expect_why(const uint8_t *data, size_t size, const char *why,
                       const char *what)
{
    const char *error;
    picture p;

    bytes_write("it", data, size);
    error = picture_read(&p, inside("it"));
    ck_assert_msg(error != NULL && strstr(error, why) != NULL,
                  "%s: wanted \"%s\", got \"%s\"", what, why,
                  error != NULL ? error : "a picture");
}

/* --- whole ones -------------------------------------------------------------------- */

/* `apart`: levels, on average. A JPEG decoder may differ from another by its transform's
 * last bits and by how it widens colours; of CMYK, by what it makes of black. */
static const struct {
    const char *name;
    double apart;
} whole[] = {{"baseline.jpg", 2},
             {"progressive.jpg", 2},
             {"restarts.jpg", 2},
             {"grey.jpg", 1},
             {"flat.jpg", 1},
             {"cmyk.jpg", 3},
             {"progressive-restarts.jpg", 2},
             {"turned-2.jpg", 2},
             {"turned-3.jpg", 2},
             {"turned-4.jpg", 2},
             {"turned-5.jpg", 2},
             {"turned-6.jpg", 2},
             {"turned-7.jpg", 2},
             {"turned-8.jpg", 2},
             {"turned.png", 0},
             {"sixteen.png", 0},
             {"palette.png", 0},
             {"clear.png", 1},
             {"picture.gif", 0},
             {"hole.gif", 0},
             {"picture.bmp", 0},
             {"palette.bmp", 0}};

START_TEST(pictures_are_read_as_another_decoder_reads_them)
{
    char name[64];
    size_t size, i;
    uint8_t *file = golden(whole[_i].name, &size), *wanted;
    double apart = 0;
    picture p;

    bytes_write("it", file, size);
    free(file);
    p = picture_of("it");
    snprintf(name, sizeof name, "%s.raw", whole[_i].name);
    wanted = golden(name, &size);
    expect_count(size, BYTES, "%s", name);
    expect_count(p.width, WIDE, "%s: wide", name);
    expect_count(p.height, HIGH, "%s: high", name);
    for (i = 0; i < BYTES; i++) apart += abs(p.pixels[i] - wanted[i]);
    ck_assert_msg(apart <= whole[_i].apart * BYTES, "%s: %g levels apart", name,
                  apart / BYTES);
    free(wanted);
    picture_free(&p);
}
END_TEST

START_TEST(orientation_is_left_on_request)
{
    size_t size;
    uint8_t *file = golden("turned-6.jpg", &size);
    picture p;

    bytes_write("it", file, size);
    picture_reading.as_stored = 1;
    p = picture_of("it");
    picture_reading.as_stored = 0;
    expect_count(p.width, HIGH, "wide as stored");
    expect_count(p.height, WIDE, "high as stored");
    picture_free(&p);
    free(file);
}
END_TEST

/* Its left edge is all background, whatever colours hide there. */
START_TEST(what_is_transparent_shows_the_background)
{
    size_t size;
    uint8_t *file = golden("clear.png", &size);
    picture p;

    bytes_write("it", file, size);
    picture_reading.background = 0x123456;
    p = picture_of("it");
    picture_reading.background = 0xffffff;
    expect_pixel(&p, 0, 3, 0x123456, "where alpha is 0");
    picture_free(&p);
    free(file);
}
END_TEST

/* A video, a second picture, a maker's bytes; with and without end marks in them. */
START_TEST(what_stands_behind_the_end_does_not_matter)
{
    enum { BEHIND = 200000 };
    size_t size, i;
    uint8_t *file = golden(_i == 0 ? "baseline.jpg" : "progressive.jpg", &size);
    uint8_t *longer = malloc(size + BEHIND);
    picture alone, p;

    bytes_write("alone", file, size);
    alone = picture_of("alone");
    memcpy(longer, file, size);
    for (i = 0; i < BEHIND; i++) longer[size + i] = (uint8_t)(i * 7 % 251);
    for (i = 0; i < 3; i++) {
        if (i == 1) memcpy(longer + size + 5000, "\xff\xd9", 2);
        if (i == 2) memcpy(longer + size, file, size); /* another picture */
        bytes_write("it", longer, size + BEHIND);
        p = picture_of("it");
        expect_bytes(p.pixels, alone.pixels, BYTES, "with more behind it, %zu", i);
        picture_free(&p);
    }
    picture_free(&alone);
    free(longer);
    free(file);
}
END_TEST

/* --- cut and damaged ones ---------------------------------------------------------- */

static const struct {
    const char *name;
    size_t spare; /* bytes at the end that may be missing */
} cut[] = {{"baseline.jpg", 0}, {"progressive.jpg", 0}, {"restarts.jpg", 0},
           {"cmyk.jpg", 0},     {"turned-3.jpg", 0},    {"clear.png", 0},
           {"sixteen.png", 0},  {"picture.gif", 1},     {"picture.bmp", 0},
           {"palette.bmp", 0}};

/* At every byte; with a thumbnail's end mark in it, too. */
START_TEST(files_that_are_cut_are_refused)
{
    size_t size, at;
    uint8_t *file = golden(cut[_i].name, &size);

    for (at = 0; at < size - cut[_i].spare; at++) expect_why(file, at, "", cut[_i].name);
    for (at = size / 2; at < size - cut[_i].spare; at++)
        expect_why(file, at, "truncated", cut[_i].name);
    free(file);
}
END_TEST

/* The first segment with this marker: where its FF is. */
static size_t segment(const uint8_t *data, size_t size, uint8_t marker)
{
    size_t at = 2;

    while (at + 4 < size && data[at + 1] != marker)
        at += 2 + ((size_t)data[at + 2] << 8 | data[at + 3]);
    ck_assert_msg(at + 4 < size, "there is no segment %02x", marker);
    return at;
}

/* More codes than 256, or than their lengths have room for. */
START_TEST(tables_of_too_many_codes_are_refused)
{
    size_t size, table;
    uint8_t *file = golden("baseline.jpg", &size);

    table = segment(file, size, 0xc4);
    file[table + 5] = 3; /* of one bit */
    expect_why(file, size, "a damaged JPEG", "three codes of one bit");
    file[table + 5] = 0;
    file[table + 5 + 15] = 255;
    file[table + 5 + 14] = 255;
    expect_why(file, size, "a damaged JPEG", "more than 256 codes");
    free(file);
}
END_TEST

START_TEST(a_jpeg_without_scans_is_refused)
{
    size_t size, scan;
    uint8_t *file = golden("baseline.jpg", &size);

    scan = segment(file, size, 0xda);
    memcpy(file + scan, "\xff\xd9", 2);
    expect_why(file, scan + 2, "lacks a scan", "no scan");
    memcpy(file + 2, "\xff\xd9", 2);
    expect_why(file, 4, "without a picture", "an end alone");
    free(file);
}
END_TEST

/* The first scan of a progressive one has all colours; without it nothing is known of the
 * picture's mean. */
START_TEST(a_progressive_jpeg_without_its_first_scan_is_refused)
{
    size_t size, scan, next;
    uint8_t *file = golden("progressive.jpg", &size);

    scan = segment(file, size, 0xda);
    for (next = scan + 12; file[next] != 0xff || file[next + 1] == 0; next++) continue;
    memmove(file + scan, file + next, size - next);
    expect_why(file, size - (next - scan), "lacks a scan", "without the first scan");
    free(file);
}
END_TEST

/* Its data ends early, but its end mark is there. (Of a progressive one the first scan
 * must be whole: that the others are is not asked.) */
static const struct {
    const char *name;
    size_t most; /* bytes of data that are left */
} early[] = {{"baseline.jpg", 300},
             {"restarts.jpg", 200},
             {"progressive.jpg", 4},
             {"progressive-restarts.jpg", 12}};

START_TEST(a_scan_that_ends_early_is_refused)
{
    size_t size, scan, left;
    uint8_t *file = golden(early[_i].name, &size), *copy = malloc(size);

    scan = segment(file, size, 0xda);
    scan += 2 + ((size_t)file[scan + 2] << 8 | file[scan + 3]);
    for (left = 0; left < early[_i].most; left++) {
        memcpy(copy, file, scan + left);
        if (copy[scan + left - 1] == 0xff) copy[scan + left - 1] = 0;
        memcpy(copy + scan + left, "\xff\xd9", 2);
        expect_why(copy, scan + left + 2, "", early[_i].name);
    }
    free(copy);
    free(file);
}
END_TEST

START_TEST(a_png_with_a_wrong_bit_is_refused)
{
    size_t size, at;
    uint8_t *file = golden("clear.png", &size);

    for (at = 0; at < size; at += 3) {
        file[at] ^= 0x10;
        expect_why(file, size, "", "a bit");
        file[at] ^= 0x10;
    }
    free(file);
}
END_TEST

/* Whatever memory holds: a pixel whose colour the palette lacks would show it. */
START_TEST(a_bmp_whose_palette_lacks_colours_is_refused)
{
    size_t size;
    uint8_t *file = golden("palette.bmp", &size);

    file[size - 7] = 64; /* colours 0 to 63 are there */
    expect_why(file, size, "a BMP whose palette lacks colours", "a colour too many");
    file[size - 7] = 63;
    bytes_write("it", file, size);
    picture_free(&(picture){picture_of("it").pixels, 0, 0});
    free(file);
}
END_TEST

/* A colour that the palette of a PNG lacks is black. */
START_TEST(a_png_whose_palette_lacks_colours_shows_black)
{
    size_t size, at = 8, length;
    uint8_t *file = golden("palette.png", &size);
    uint32_t crc = 0xffffffff;
    picture p;
    size_t i;
    int bit;

    while (memcmp(file + at + 4, "PLTE", 4) != 0)
        at += 12 + ((size_t)file[at + 2] << 8 | file[at + 3]);
    length = (size_t)file[at + 2] << 8 | file[at + 3];
    memmove(file + at + 8 + 3, file + at + 8 + length, size - at - 8 - length);
    size -= length - 3; /* the first colour alone */
    file[at + 2] = 0;
    file[at + 3] = 3;
    for (i = at + 4; i < at + 11; i++)
        for (crc ^= file[i], bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    for (i = 0; i < 4; i++) file[at + 11 + i] = (uint8_t)(~crc >> (24 - 8 * i));
    bytes_write("it", file, size);
    p = picture_of("it");
    for (i = 0; i < PIXELS; i++)
        ck_assert_msg(memcmp(p.pixels + 3 * i, file + at + 8, 3) == 0 ||
                          memcmp(p.pixels + 3 * i, "\0\0", 3) == 0,
                      "pixel %zu", i);
    picture_free(&p);
    free(file);
}
END_TEST

/* --- others ------------------------------------------------------------------------ */

START_TEST(formats_that_are_not_decoded_are_named)
{
    static const struct {
        const char *begins;
        size_t size;
        const char *why;
    } others[] = {{"RIFF\0\0\0\0WEBPVP8 ", 16, "WebP"},
                  {"\0\0\0\x18"
                   "ftypheic",
                   12, "HEIC"},
                  {"\0\0\0\x18"
                   "ftypmif1",
                   12, "HEIC"},
                  {"\0\0\0\x18"
                   "ftypavif",
                   12, "AVIF"},
                  {"II*\0", 4, "TIFF"},
                  {"MM\0*", 4, "TIFF"},
                  {"%PDF-1.7", 8, "no picture"},
                  {"<html>", 6, "no picture: neither JPEG, PNG, GIF nor BMP"},
                  {"", 0, "an empty file"}};
    size_t i;

    for (i = 0; i < sizeof others / sizeof others[0]; i++)
        expect_why((const uint8_t *)others[i].begins, others[i].size, others[i].why,
                   others[i].why);
}
END_TEST

START_TEST(a_picture_of_too_many_pixels_is_refused_by_the_limit)
{
    size_t size;
    uint8_t *file = golden("picture.bmp", &size);
    picture p;

    bytes_write("it", file, size);
    picture_reading.megapixels = 0;
    expect_why(file, size, "40 x 24: more than 0 megapixels (--max-megapixels)",
               "a limit of none");
    picture_reading.megapixels = 128;
    p = picture_of("it");
    picture_free(&p);
    free(file);
}
END_TEST

START_TEST(what_is_no_file_is_refused_at_once)
{
    picture p;

    folder_make("folder.png");
    ck_assert_msg(mkfifo(inside("pipe.jpg"), 0600) == 0, "a pipe: %s", strerror(errno));
    expect_text(picture_read(&p, inside("pipe.jpg")),
                "a pipe, socket or device, not a file", "a pipe");
    expect_text(picture_read(&p, "/dev/null"), "a pipe, socket or device, not a file",
                "a device");
    expect_text(picture_read(&p, inside("folder.png")), "a folder, not a file",
                "a folder");
}
END_TEST

Suite *formats_suite(void)
{
    Suite *suite = suite_create("formats");
    TCase *tc = tcase_create("formats");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_loop_test(tc, pictures_are_read_as_another_decoder_reads_them, 0,
                        sizeof whole / sizeof whole[0]);
    tcase_add_test(tc, orientation_is_left_on_request);
    tcase_add_test(tc, what_is_transparent_shows_the_background);
    tcase_add_loop_test(tc, what_stands_behind_the_end_does_not_matter, 0, 2);
    tcase_add_loop_test(tc, files_that_are_cut_are_refused, 0,
                        sizeof cut / sizeof cut[0]);
    tcase_add_test(tc, a_jpeg_without_scans_is_refused);
    tcase_add_test(tc, tables_of_too_many_codes_are_refused);
    tcase_add_test(tc, a_progressive_jpeg_without_its_first_scan_is_refused);
    tcase_add_loop_test(tc, a_scan_that_ends_early_is_refused, 0, 4);
    tcase_add_test(tc, a_png_with_a_wrong_bit_is_refused);
    tcase_add_test(tc, a_bmp_whose_palette_lacks_colours_is_refused);
    tcase_add_test(tc, a_png_whose_palette_lacks_colours_shows_black);
    tcase_add_test(tc, formats_that_are_not_decoded_are_named);
    tcase_add_test(tc, a_picture_of_too_many_pixels_is_refused_by_the_limit);
    tcase_add_test(tc, what_is_no_file_is_refused_at_once);
    suite_add_tcase(suite, tc);
    return suite;
}
