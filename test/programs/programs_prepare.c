/*
 * programs_prepare.c - prepare: each picture of a folder or list in its pack, fitted as
 * asked, with its label, in its order; and what is said of the pack.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "fixtures.h"

enum { CLASSES = 3, SIDE = 24, MOST = 16 };

static const char *const class_names[CLASSES] = {"ant", "bee", "cow"};
static const uint32_t sizes[CLASSES] = {10, 7, 11}; /* pictures of each */

/* in/CLASS/NN.png, of several proportions. */
static void make_folder(void)
{
    uint32_t label, i;

    for (label = 0; label < CLASSES; label++) {
        char name[64];

        snprintf(name, sizeof name, "in/%s", class_names[label]);
        folder_make(name);
        for (i = 0; i < sizes[label]; i++) {
            snprintf(name, sizeof name, "in/%s/%02u.png", class_names[label], i);
            png_waves(name, 26 + 5 * i, 60 - 3 * i, 100 * label + i);
        }
    }
}

/* Picture `index` of a pack: the file of that name, fitted, and its label. */
static void expect_packed(const an_pack *pack, uint64_t index, const char *file,
                          int32_t label, const char *what)
{
    an_pack_info info;
    uint8_t *got, *wanted;
    int32_t has = -1;
    an_image image;
    picture p;

    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(pack, &info));
    got = malloc((size_t)3 * info.side * info.side);
    wanted = malloc((size_t)3 * info.side * info.side);
    p = picture_of(file);
    image = image_of(p.pixels, p.width, p.height);
    expect_ok(an_pack_read(pack, index, got, ENOUGH, &has));
    expect_count((uint64_t)has, (uint64_t)label, "%s: picture %u, %s", what,
                 (unsigned)index, file);
    expect_ok((info.fit == AN_FIT_WARP ? an_image_warp : an_image_fit)(&image, info.side,
                                                                       wanted, ENOUGH));
    if (info.kind == AN_PACK_RAW)
        expect_bytes(got, wanted, (size_t)3 * info.side * info.side, "%s: picture %u, %s",
                     what, (unsigned)index, file);
    picture_free(&p);
    free(got);
    free(wanted);
}

/* The pack has of each class the pictures of these places, and no others; a null row:
 * all. */
static void expect_places(an_context *ctx, const char *name, uint32_t side,
                          const uint32_t (*places)[MOST], const uint32_t *counts)
{
    an_pack *pack = pack_of(ctx, name);
    uint64_t at = 0;
    uint32_t label, i;
    an_pack_info info;

    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(pack, &info));
    expect_count(info.side, side, "%s", name);
    expect_count(info.classes, CLASSES, "%s", name);
    for (label = 0; label < CLASSES; label++) {
        expect_text(an_pack_class_name(pack, label), class_names[label], "%s", name);
        for (i = 0; i < counts[label]; i++) {
            char file[64];

            snprintf(file, sizeof file, "in/%s/%02u.png", class_names[label],
                     places == NULL ? i : places[label][i]);
            ck_assert_msg(at < info.count, "%s: only %u pictures", name,
                          (unsigned)info.count);
            expect_packed(pack, at++, file, (int32_t)label, name);
        }
    }
    expect_count(info.count, at, "%s", name);
    an_pack_destroy(pack);
}

/* Every fifth is places 4, 9, ... in each class, however many the classes before it
 * have. */
START_TEST(a_share_of_each_class_is_held_out_and_the_same_of_every_class)
{
    static const struct {
        const char *share;
        uint32_t held[4]; /* places, up to 10 */
        uint32_t counts[CLASSES];
    } cases[] = {{"0.2", {4, 9}, {2, 1, 2}},
                 {"0.25", {3, 7}, {2, 1, 2}},
                 {"0.3", {3, 6, 9}, {3, 2, 3}},
                 {"0.15", {6}, {1, 1, 1}}};
    an_context *ctx = context_make();
    size_t i;

    make_folder();
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t held[CLASSES][MOST], rest[CLASSES][MOST], counts[CLASSES], label, place;
        char name[32];

        for (label = 0; label < CLASSES; label++) {
            uint32_t h = 0;

            for (counts[label] = place = 0; place < sizes[label]; place++)
                if (h < cases[i].counts[label] && cases[i].held[h] == place)
                    held[label][h++] = place;
                else
                    rest[label][counts[label]++] = place;
        }
        program_succeeds(NULL, "prepare --side %d --val-split %s in out%zu", SIDE,
                         cases[i].share, i);
        snprintf(name, sizeof name, "out%zu/val", i);
        expect_places(ctx, name, SIDE, (const uint32_t(*)[MOST])held, cases[i].counts);
        snprintf(name, sizeof name, "out%zu/train", i);
        expect_places(ctx, name, SIDE, (const uint32_t(*)[MOST])rest, counts);
    }
    an_context_destroy(ctx);
}
END_TEST

/* 0.29 of a hundred is 29, though 100 * 0.29 is less in binary: place 99 is held out. */
START_TEST(a_share_is_that_of_decimal_numbers)
{
    an_context *ctx = context_make();
    an_pack_info info;
    an_pack *pack;
    char name[32];
    uint32_t i;

    folder_make("in/a");
    folder_make("in/b");
    for (i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "in/a/%02u.png", i);
        png_waves(name, 8, 8, i);
        snprintf(name, sizeof name, "in/b/%02u.png", i);
        png_waves(name, 8, 8, 100 + i);
    }
    program_succeeds(NULL, "prepare --side 8 --val-split 0.29 in out");
    pack = pack_of(ctx, "out/val");
    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(pack, &info));
    expect_count(info.count, 58, "29 of each class");
    expect_packed(pack, 28, "in/a/99.png", 0, "the last of the first class");
    expect_packed(pack, 57, "in/b/99.png", 1, "the last of the second");
    an_pack_destroy(pack);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(without_a_split_all_pictures_are_in_the_pack_at_256_pixels)
{
    an_context *ctx = context_make();
    an_pack_info info;
    an_pack *pack;

    make_folder();
    program_succeeds(NULL, "prepare in out");
    expect_places(ctx, "out", 256, NULL, sizes);
    pack = pack_of(ctx, "out");
    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(pack, &info));
    expect_count(info.kind, AN_PACK_RAW, "the kind");
    expect_count(info.fit, AN_FIT_CROP, "the fit");
    expect_count(info.parts, 1, "parts of 4096 MB");
    an_pack_destroy(pack);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(per_class_takes_the_first_of_each_class)
{
    static const uint32_t four[CLASSES] = {4, 4, 4}, three[CLASSES] = {3, 3, 3},
                          one[CLASSES] = {1, 1, 1};
    static const uint32_t first[CLASSES][MOST] = {{0, 1, 2}, {0, 1, 2}, {0, 1, 2}},
                          fourth[CLASSES][MOST] = {{3}, {3}, {3}};
    an_context *ctx = context_make();

    make_folder();
    program_succeeds(NULL, "prepare --side 24 --per-class 4 in out");
    expect_places(ctx, "out", SIDE, NULL, four);
    program_succeeds(NULL, "prepare --side 24 --per-class 4 --val-split 0.25 in split");
    expect_places(ctx, "split/train", SIDE, first, three);
    expect_places(ctx, "split/val", SIDE, fourth, one);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(warp_fits_both_sides_to_the_same)
{
    an_context *ctx = context_make();
    an_pack_info info;
    an_pack *pack;

    make_folder();
    program_succeeds(NULL, "prepare --warp --side 24 in out");
    pack = pack_of(ctx, "out");
    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(pack, &info));
    expect_count(info.fit, AN_FIT_WARP, "the pack's fit");
    an_pack_destroy(pack);
    expect_places(ctx, "out", SIDE, NULL,
                  sizes); /* as the pack says that it was fitted */
    an_context_destroy(ctx);
}
END_TEST

/* Of a JPEG pack each picture is the fitted one, encoded at the quality. */
static void expect_quality(an_context *ctx, const char *name, int quality)
{
    uint8_t fitted[3 * SIDE * SIDE], wanted[3 * SIDE * SIDE], got[3 * SIDE * SIDE];
    an_pack *pack = pack_of(ctx, name);
    picture p = picture_of("in/ant/00.png");
    an_image image = image_of(p.pixels, p.width, p.height);
    an_pack_info info;
    uint8_t *bytes;
    size_t count;

    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(pack, &info));
    expect_count(info.kind, AN_PACK_JPEG, "%s", name);
    expect_count(info.count, sizes[0] + sizes[1] + sizes[2], "%s", name);
    expect_ok(an_image_fit(&image, SIDE, fitted, ENOUGH));
    bytes = picture_encode(fitted, SIDE, quality, &count);
    ck_assert_int_eq(picture_decode(bytes, count, SIDE, wanted, NULL), 0);
    expect_ok(an_pack_read(pack, 0, got, ENOUGH, NULL));
    expect_bytes(got, wanted, sizeof wanted, "%s, quality %d", name, quality);
    free(bytes);
    picture_free(&p);
    an_pack_destroy(pack);
}

START_TEST(a_pack_of_jpegs_has_the_quality_that_was_asked_for)
{
    an_context *ctx = context_make();

    make_folder();
    program_succeeds(NULL, "prepare --side 24 --kind jpeg in usual");
    expect_quality(ctx, "usual", 95);
    program_succeeds(NULL, "prepare --side 24 --kind jpeg --quality 40 in low");
    expect_quality(ctx, "low", 40);
    program_succeeds(NULL, "prepare --side 24 --kind raw --quality 40 in raw");
    expect_places(ctx, "raw", SIDE, NULL, sizes);
    an_context_destroy(ctx);
}
END_TEST

/* A part is closed once it has a MiB, 1048576 bytes: 16, and 22 pictures of 128 x 128. */
START_TEST(parts_are_as_large_as_asked_for)
{
    char *out;
    size_t bytes;

    make_folder();
    program_succeeds(&out, "prepare --side 128 --part-mb 1 in out");
    expect_line(out, "out: 28 pictures of 3 classes, 128 x 128, %.1f MB in 2 files",
                28 * 3 * 128 * 128 / 1e6);
    free(file_read("out/part-0000.bin", &bytes));
    expect_count(bytes, 16 + 22 * 3 * 128 * 128, "the first part");
    free(file_read("out/part-0001.bin", &bytes));
    expect_count(bytes, 16 + 6 * 3 * 128 * 128, "the last part");
    free(out);
}
END_TEST

START_TEST(threads_change_no_byte)
{
    static const char *const files[] = {"index.safetensors", "part-0000.bin"};
    int threads, i;

    make_folder();
    program_succeeds(NULL, "prepare --side 24 --kind jpeg --threads 1 in one");
    for (threads = 0; threads <= 5; threads += 5) {
        program_succeeds(NULL, "prepare --side 24 --kind jpeg --threads %d in t%d",
                         threads, threads);
        for (i = 0; i < 2; i++) {
            char name[64], *got, *wanted;
            size_t bytes, size;

            snprintf(name, sizeof name, "t%d/%s", threads, files[i]);
            got = file_read(name, &bytes);
            snprintf(name, sizeof name, "one/%s", files[i]);
            wanted = file_read(name, &size);
            expect_count(bytes, size, "%s, %d threads", files[i], threads);
            expect_bytes(got, wanted, size, "%s, %d threads", files[i], threads);
            free(got);
            free(wanted);
        }
    }
}
END_TEST

/* --- lists ------------------------------------------------------------------------- */

START_TEST(a_list_gives_the_order_and_the_labels)
{
    an_context *ctx = context_make();
    an_pack *pack;

    make_folder();
    text_write("list", "cow/01.png x\nant/00.png y z\n%s\tx\nbee/06.png y\n",
               inside("in/ant/02.png"));
    rename(inside("in/ant/00.png"), inside("in/ant/00.png y"));
    program_succeeds(NULL, "prepare --side 24 --list list in out");
    pack = pack_of(ctx, "out");
    expect_text(an_pack_class_name(pack, 0), "x", "first on the first line");
    expect_text(an_pack_class_name(pack, 1), "z", "after the last space");
    expect_text(an_pack_class_name(pack, 2), "y", "first on the last line");
    expect_packed(pack, 0, "in/cow/01.png", 0, "list");
    expect_packed(pack, 1, "in/ant/00.png y", 1, "list");
    expect_packed(pack, 2, "in/ant/02.png", 0, "list");
    expect_packed(pack, 3, "in/bee/06.png", 2, "list");
    an_pack_destroy(pack);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(like_numbers_the_classes_as_another_pack_does)
{
    an_context *ctx = context_make();
    an_pack *pack;

    make_folder();
    program_succeeds(NULL, "prepare --side 24 in one");
    text_write("list", "cow/01.png cow\nbee/00.png bee\nant/02.png ant\n");
    program_succeeds(NULL, "prepare --side 24 --list list --like one in out");
    pack = pack_of(ctx, "out");
    expect_packed(pack, 0, "in/cow/01.png", 2, "like");
    expect_packed(pack, 1, "in/bee/00.png", 1, "like");
    expect_packed(pack, 2, "in/ant/02.png", 0, "like");
    expect_text(an_pack_class_name(pack, 0), "ant", "like");
    expect_text(an_pack_class_name(pack, 2), "cow", "like");
    an_pack_destroy(pack);
    text_write("list", "cow/01.png cow\nant/02.png ant\n");
    program_succeeds(NULL, "prepare --side 24 --list list --like one in less");
    text_write("list", "cow/01.png cow\nant/02.png eel\n");
    program_fails(1, "eel: the other pack has no such class",
                  "prepare --side 24 --list list --like one in less");
    program_fails(1, "nothing", "prepare --side 24 --like nothing in less");
    an_context_destroy(ctx);
}
END_TEST

START_TEST(a_pack_whose_classes_have_no_names_is_no_example)
{
    static const pack_spec spec = {6, 3, 8, 0, 0, NULL};
    an_context *ctx = context_make();

    make_folder();
    pack_make(ctx, "one", &spec);
    program_fails(2, "--like one: its classes have no names",
                  "prepare --side 24 --like one in out");
    an_context_destroy(ctx);
}
END_TEST

START_TEST(cifar_batches_become_a_pack_and_a_share_of_each_class_is_held_out)
{
    an_context *ctx = context_make();
    FILE *file;
    an_pack *pack;
    uint8_t pixels[3 * 32 * 32], wanted[3 * 32 * 32];
    int32_t label;
    uint32_t i, at;

    folder_make("cifar");
    file = fopen(inside("cifar/data_batch_1.bin"), "wb");
    for (i = 0; i < 20; i++) { /* labels 9, 8, ... 0, and so again; one colour each */
        putc((int)(9 - i % 10), file);
        for (at = 0; at < 3 * 1024; at++)
            putc((int)(at < 1024 ? i : at < 2048 ? 100 + i : 200 + i), file);
    }
    fclose(file);
    program_succeeds(NULL, "prepare --side 32 --val-split 0.5 cifar out");
    pack = pack_of(ctx, "out/val"); /* the second of each class: records 10 to 19 */
    for (i = 0; i < 10; i++) {
        expect_ok(an_pack_read(pack, i, pixels, ENOUGH, &label));
        expect_count(label, 9 - i, "held-out record %u", i);
        for (at = 0; at < sizeof wanted; at++)
            wanted[at] = (uint8_t)(100 * (at % 3) + 10 + i);
        expect_bytes(pixels, wanted, sizeof wanted, "held-out record %u", i);
    }
    expect_text(an_pack_class_name(pack, 9), "truck", "the last class");
    an_pack_destroy(pack);
    an_context_destroy(ctx);
}
END_TEST

/* --- what is said ------------------------------------------------------------------ */

/* Jacobi's rotations: the eigenvalues of a symmetric matrix, largest first. */
static void eigenvalues(double m[3][3], double out[3])
{
    int round, p, q, k;

    for (round = 0; round < 30; round++)
        for (p = 0; p < 2; p++)
            for (q = p + 1; q < 3; q++) {
                double angle = 0.5 * atan2(2 * m[p][q], m[q][q] - m[p][p]);
                double c = cos(angle), s = sin(angle);

                for (k = 0; k < 3; k++) {
                    double a = m[k][p], b = m[k][q];

                    m[k][p] = c * a - s * b;
                    m[k][q] = s * a + c * b;
                }
                for (k = 0; k < 3; k++) {
                    double a = m[p][k], b = m[q][k];

                    m[p][k] = c * a - s * b;
                    m[q][k] = s * a + c * b;
                }
            }
    for (p = 0; p < 3; p++) out[p] = m[p][p];
    for (p = 0; p < 2; p++)
        for (q = p + 1; q < 3; q++)
            if (out[q] > out[p]) {
                double swap = out[p];

                out[p] = out[q];
                out[q] = swap;
            }
}

/* Mean and covariance of all pixels, from the pictures themselves. */
static void statistics(an_context *ctx, const char *name, double mean[3], double m[3][3])
{
    an_pack *pack = pack_of(ctx, name);
    uint8_t pixels[3 * SIDE * SIDE];
    an_pack_info info;
    uint64_t i;
    int pass, a, b, k;

    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(pack, &info));
    memset(mean, 0, 3 * sizeof *mean);
    memset(m, 0, 9 * sizeof **m);
    for (pass = 0; pass < 2; pass++)
        for (i = 0; i < info.count; i++) {
            expect_ok(an_pack_read(pack, i, pixels, ENOUGH, NULL));
            for (k = 0; k < SIDE * SIDE; k++)
                for (a = 0; a < 3; a++) {
                    double all = (double)info.count * SIDE * SIDE;

                    if (pass == 0) mean[a] += pixels[3 * k + a] / all;
                    for (b = 0; pass == 1 && b < 3; b++)
                        m[a][b] += (pixels[3 * k + a] - mean[a]) *
                                   (pixels[3 * k + b] - mean[b]) / all;
                }
        }
    an_pack_destroy(pack);
}

/* After `name` in what was said: the second line's nine numbers. A digit is shown. */
static void expect_report(an_context *ctx, const char *text, const char *name)
{
    const char *at = strstr(text, name);
    double mean[3], m[3][3], deviation[3], axes[3], got[9];
    char line[256];
    int i;

    at = strchr(at, '\n') + 1;
    snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
    ck_assert_msg(strstr(line, "  mean ") == line &&
                      strstr(line, ", deviation ") != NULL &&
                      strstr(line, " (R G B); along the principal axes ") != NULL,
                  "%s: got the line \"%s\"", name, line);
    expect_count(numbers_of(line, got, 9), 9, "%s: %s", name, line);
    statistics(ctx, name, mean, m);
    for (i = 0; i < 3; i++) deviation[i] = sqrt(m[i][i]);
    eigenvalues(m, axes);
    for (i = 0; i < 3; i++) {
        expect_number(got[i], mean[i], 0.051, "%s: mean of colour %d", name, i);
        expect_number(got[3 + i], deviation[i], 0.051, "%s: deviation %d", name, i);
        expect_number(got[6 + i], sqrt(axes[i]), 0.051, "%s: axis %d", name, i);
    }
}

/* Of each class its name and how many pictures it has, under the pack's name. */
static void expect_classes(an_context *ctx, const char *text, const char *name)
{
    an_pack *pack = pack_of(ctx, name);
    an_pack_info info;
    char wanted[200] = " ";
    const char *at = strstr(text, name);
    uint32_t c, line;
    uint64_t i;

    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(pack, &info));
    for (c = 0; c < info.classes; c++) {
        unsigned count = 0;
        int32_t label;

        for (i = 0; i < info.count; i++) {
            expect_ok(an_pack_read(pack, i, NULL, 0, &label));
            count += label == (int32_t)c;
        }
        snprintf(wanted + strlen(wanted), 60, "%s %s %u", c > 0 ? "," : "",
                 an_pack_class_name(pack, c), count);
    }
    strcat(wanted, "\n");
    for (line = 0; line < 2; line++) at = strchr(at, '\n') + 1;
    ck_assert_msg(strncmp(at, wanted, strlen(wanted)) == 0, "%s: wanted \"%s\" in \"%s\"",
                  name, wanted, at);
    an_pack_destroy(pack);
}

START_TEST(the_report_has_each_packs_numbers)
{
    an_context *ctx = context_make();
    char *out;
    said s;

    make_folder();
    text_write("in/bee/07.png", "no picture");
    s = run_program("prepare --side 24 --val-split 0.25 in out");
    expect_count(s.code, 3, "the exit status");
    expect_line(s.err, "1 picture was skipped");
    out = s.out;
    /* Of bee's eight files, places 3 and 7 are held out: the text is at 7. */
    expect_line(out, "out/train: 23 pictures of 3 classes, 24 x 24, %.1f MB in 1 file",
                23 * 3 * 24 * 24 / 1e6);
    expect_line(out,
                "out/val: 5 pictures of 3 classes, 24 x 24, %.1f MB in 1 file, 1 skipped",
                5 * 3 * 24 * 24 / 1e6);
    expect_count(lines_of(out), 6, "lines: %s", out);
    expect_classes(ctx, out, "out/train");
    expect_classes(ctx, out, "out/val");
    expect_report(ctx, out, "out/train");
    expect_report(ctx, out, "out/val");
    said_free(&s);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(a_picture_that_cannot_be_read_is_named_and_counted)
{
    said s;

    make_folder();
    text_write("in/ant/001.png", "no picture");
    remove(inside("in/cow/04.png"));
    text_write("list", "ant/001.png a\nant/00.png a\ncow/04.png b\ncow/05.png b\n");
    s = run_program("prepare --side 24 --list list in out");
    expect_count(s.code, 3, "the exit status");
    ck_assert_ptr_nonnull(strstr(s.err, "in/ant/001.png: skipped: "));
    expect_line(s.err, "in/cow/04.png: skipped: No such file or directory");
    expect_line(s.err, "2 pictures were skipped");
    expect_line(s.out,
                "out: 2 pictures of 2 classes, 24 x 24, 0.0 MB in 1 file, 2 skipped");
    said_free(&s);
}
END_TEST

/* What is learnt from knows more classes than the pictures that are tried. */
START_TEST(a_test_set_may_lack_classes_of_the_pack_that_it_is_like)
{
    an_context *ctx = context_make();
    an_pack_info info;
    an_pack *pack;
    int32_t label;
    uint32_t i;

    make_folder();
    program_succeeds(NULL, "prepare --side 24 in out");
    folder_make("more/cow");
    png_waves("more/cow/1.png", 30, 30, 5);
    png_waves("more/cow/2.png", 30, 30, 6);
    program_succeeds(NULL, "prepare --side 24 --like out more test");
    pack = pack_of(ctx, "test");
    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(pack, &info));
    expect_count(info.classes, 3, "classes");
    expect_count(info.count, 2, "pictures");
    for (i = 0; i < 2; i++) {
        expect_ok(an_pack_read(pack, i, NULL, 0, &label));
        expect_text(an_pack_class_name(pack, (uint32_t)label), "cow", "picture %u", i);
    }
    an_pack_destroy(pack);
    an_context_destroy(ctx);
    program_fails(2, "held/val: there is no picture for it",
                  "prepare --side 24 --like out --val-split 0.1 more held");
    ck_assert_ptr_null(fopen(inside("held"), "r"));
}
END_TEST

/* A pack in a pack would be taken for it by one program and not by another. */
START_TEST(packs_do_not_get_into_each_other)
{
    make_folder();
    program_succeeds(NULL, "prepare --side 24 in whole");
    program_succeeds(NULL, "prepare --side 24 --val-split 0.25 in halves");
    program_fails(2, "whole: is a pack itself, without --val-split",
                  "prepare --side 24 --val-split 0.25 in whole");
    program_fails(2, "halves: has packs in it, from an earlier --val-split",
                  "prepare --side 24 in halves");
    /* Its own output within its input is no class, and can be made again. */
    program_succeeds(NULL, "prepare --side 24 in in/pack");
    program_succeeds(NULL, "prepare --side 24 in in/pack");
    program_succeeds(NULL, "prepare --side 24 in again");
    program_succeeds(NULL, "prepare --side 24 in in/packs/one");
    program_succeeds(NULL, "prepare --side 24 in in/packs/one");
}
END_TEST

START_TEST(prepare_refuses_what_it_cannot_do)
{
    make_folder();
    folder_make("one/class");
    png_waves("one/class/a.png", 9, 9, 1);
    program_fails(2, "a folder of pictures and one for the pack are wanted",
                  "prepare in");
    program_fails(2, "a folder of pictures and one for the pack are wanted",
                  "prepare in out more");
    program_fails(2, "--kind png: must be raw or jpeg", "prepare --kind png in out");
    program_fails(2, "one: has only one class", "prepare one out");
    program_fails(1, "in/ant/00.png/out: Not a directory",
                  "prepare in in/ant/00.png/out");
    program_fails(1, "out/val: class 1 (bee) has no picture",
                  "prepare --val-split 0.1 in out");
    program_fails(1,
                  "out/val: class 0 (ant) has no picture", /* the fourth is not wanted */
                  "prepare --val-split 0.25 --per-class 3 in out");
    program_fails(1, "has neither a folder of pictures", "prepare in/ant out");
    ck_assert_ptr_null(fopen(inside("out"), "r"));
}
END_TEST

Suite *prepare_suite(void)
{
    Suite *suite = suite_create("prepare");
    TCase *packs = tcase_create("packs"), *lists = tcase_create("lists"),
          *said_of = tcase_create("said");

    tcase_add_checked_fixture(packs, programs_setup, programs_teardown);
    tcase_add_test(packs, a_share_of_each_class_is_held_out_and_the_same_of_every_class);
    tcase_add_test(packs, a_share_is_that_of_decimal_numbers);
    tcase_add_test(packs, without_a_split_all_pictures_are_in_the_pack_at_256_pixels);
    tcase_add_test(packs, per_class_takes_the_first_of_each_class);
    tcase_add_test(packs, warp_fits_both_sides_to_the_same);
    tcase_add_test(packs, a_pack_of_jpegs_has_the_quality_that_was_asked_for);
    tcase_add_test(packs, parts_are_as_large_as_asked_for);
    tcase_add_test(packs, threads_change_no_byte);
    suite_add_tcase(suite, packs);
    tcase_add_checked_fixture(lists, programs_setup, programs_teardown);
    tcase_add_test(lists, a_list_gives_the_order_and_the_labels);
    tcase_add_test(lists, like_numbers_the_classes_as_another_pack_does);
    tcase_add_test(lists, a_pack_whose_classes_have_no_names_is_no_example);
    tcase_add_test(lists,
                   cifar_batches_become_a_pack_and_a_share_of_each_class_is_held_out);
    suite_add_tcase(suite, lists);
    tcase_add_checked_fixture(said_of, programs_setup, programs_teardown);
    tcase_add_test(said_of, the_report_has_each_packs_numbers);
    tcase_add_test(said_of, a_picture_that_cannot_be_read_is_named_and_counted);
    tcase_add_test(said_of, prepare_refuses_what_it_cannot_do);
    tcase_add_test(said_of, a_test_set_may_lack_classes_of_the_pack_that_it_is_like);
    tcase_add_test(said_of, packs_do_not_get_into_each_other);
    suite_add_tcase(suite, said_of);
    return suite;
}
