/*
 * programs_shapes.c - shapes: how many pictures of which size, where, and what is on
 * them.
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixtures.h"

enum { SHAPES = 8 };

static const char *const names[SHAPES] = {"bar",  "crescent", "cross", "disc",
                                          "ring", "square",   "star",  "triangle"};

static uint32_t files_in(const char *folder)
{
    DIR *dir = opendir(inside(folder));
    struct dirent *entry;
    uint32_t count = 0;

    ck_assert_msg(dir != NULL, "%s: no folder", folder);
    while ((entry = readdir(dir)) != NULL) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void expect_shapes(const char *folder, uint32_t per_class, uint32_t unseen,
                          uint32_t size)
{
    char name[96];
    uint32_t i, k;

    snprintf(name, sizeof name, "%s/train", folder);
    expect_count(files_in(name), SHAPES, "classes in %s", folder);
    for (i = 0; i < SHAPES; i++) {
        picture p;

        snprintf(name, sizeof name, "%s/train/%s", folder, names[i]);
        expect_count(files_in(name), per_class, "pictures in %s", name);
        for (k = 0; k<per_class; k += per_class> 1 ? per_class - 1 : 1) {
            snprintf(name, sizeof name, "%s/train/%s/%05u.png", folder, names[i], k);
            p = picture_of(name);
            expect_count(p.width, size, "%s", name);
            expect_count(p.height, size, "%s", name);
            picture_free(&p);
        }
        for (k = 0; k < unseen; k++) {
            snprintf(name, sizeof name, "%s/unseen/%s-%u.png", folder, names[i], k);
            p = picture_of(name);
            expect_count(p.width, size, "%s", name);
            picture_free(&p);
        }
    }
    snprintf(name, sizeof name, "%s/unseen", folder);
    expect_count(files_in(name), SHAPES * unseen, "pictures in %s", name);
}

START_TEST(as_many_pictures_as_asked_for_are_made)
{
    char *out;

    program_succeeds(&out, "shapes --out s --per-class 2 --unseen 1 --size 17");
    expect_text(out, "24 pictures of 8 shapes: s/train, s/unseen\n", "said");
    expect_shapes("s", 2, 1, 17);
    free(out);
    program_succeeds(&out, "shapes --size 16");
    expect_text(out, "664 pictures of 8 shapes: shapes/train, shapes/unseen\n", "said");
    expect_shapes("shapes", 80, 3, 16);
    free(out);
    program_succeeds(NULL, "shapes --out few --per-class 1 --unseen 0");
    expect_shapes("few", 1, 0, 256);
    program_fails(2, "no operand is wanted", "shapes folder");
    program_fails(1, "none/s: No such file", "shapes --out none/s");
}
END_TEST

static int same_files(const char *a, const char *b)
{
    char command[1024];

    snprintf(command, sizeof command, "diff -rq %s %s >/dev/null", inside(a), inside(b));
    return system(command) == 0;
}

START_TEST(the_seed_decides_what_is_made)
{
    program_succeeds(NULL, "shapes --out usual --per-class 2 --size 20");
    program_succeeds(NULL, "shapes --out one --per-class 2 --size 20 --seed 1");
    program_succeeds(NULL, "shapes --out two --per-class 2 --size 20 --seed 2");
    ck_assert(same_files("usual", "one"));
    ck_assert(!same_files("one/train/bar/00000.png", "two/train/bar/00000.png"));
    ck_assert(!same_files("one/train/bar/00000.png", "one/train/bar/00001.png"));
    ck_assert(!same_files("one/train/bar/00000.png", "one/train/star/00000.png"));
}
END_TEST

/* The mean of a block of 16 x 16 pixels: red, twice green and four times blue, by
 * seven. */
static double block_of(const picture *p, uint32_t block)
{
    double sum = 0;
    uint32_t x, y;

    for (y = 0; y < 16; y++)
        for (x = 0; x < 16; x++) {
            uint32_t rgb = pixel_at(p, block % 4 * 16 + x, block / 4 * 16 + y);

            sum += (rgb >> 16) + 2.0 * (rgb >> 8 & 255) + 4.0 * (rgb & 255);
        }
    return sum / 7 / 256;
}

/* The pictures that the documents' numbers were measured on. A level: another
 * mathematical library may round a pixel otherwise. */
START_TEST(the_pictures_of_seed_1_stay_as_they_are)
{
    static const struct {
        const char *name;
        uint8_t blocks[16];
    } known[] = {
        {"train/bar/00001.png",
         {55, 60, 72, 64, 62, 61, 153, 58, 60, 63, 159, 58, 58, 56, 123, 62}},
        {"train/crescent/00001.png",
         {79, 83, 79, 78, 81, 84, 128, 78, 101, 135, 128, 78, 85, 99, 82, 80}},
        {"train/cross/00001.png",
         {221, 238, 253, 254, 220, 236, 252, 254, 217, 154, 241, 254, 220, 134, 224,
          254}},
        {"train/disc/00001.png",
         {93, 97, 104, 106, 91, 140, 191, 112, 91, 118, 158, 105, 91, 93, 97, 101}},
        {"train/ring/00001.png",
         {122, 118, 116, 117, 121, 116, 103, 112, 118, 108, 105, 99, 117, 115, 100, 110}},
        {"train/square/00001.png",
         {77, 75, 74, 73, 73, 104, 163, 75, 75, 93, 154, 82, 79, 81, 84, 86}},
        {"train/star/00001.png",
         {208, 184, 166, 194, 208, 179, 136, 194, 208, 208, 204, 196, 207, 209, 205,
          196}},
        {"train/triangle/00001.png",
         {98, 96, 97, 98, 114, 186, 138, 93, 95, 165, 103, 98, 97, 95, 93, 93}},
        {"unseen/triangle-0.png",
         {182, 183, 182, 181, 183, 166, 182, 182, 177, 60, 159, 182, 176, 171, 182,
          182}}};
    char name[64];
    size_t i;
    uint32_t block;

    program_succeeds(NULL, "shapes --out s --per-class 2 --unseen 1 --size 64");
    for (i = 0; i < sizeof known / sizeof known[0]; i++) {
        picture p;

        snprintf(name, sizeof name, "s/%s", known[i].name);
        p = picture_of(name);
        for (block = 0; block < 16; block++)
            expect_number(block_of(&p, block), known[i].blocks[block], 1.0,
                          "%s, block %u", known[i].name, block);
        picture_free(&p);
    }
}
END_TEST

Suite *shapes_suite(void)
{
    Suite *suite = suite_create("shapes");
    TCase *tc = tcase_create("shapes");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, as_many_pictures_as_asked_for_are_made);
    tcase_add_test(tc, the_seed_decides_what_is_made);
    tcase_add_test(tc, the_pictures_of_seed_1_stay_as_they_are);
    suite_add_tcase(suite, tc);
    return suite;
}
