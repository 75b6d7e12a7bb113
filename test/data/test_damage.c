/*
 * test_damage.c - packs that are damaged, cut short, or lie: all of it is found.
 */
#define _XOPEN_SOURCE 700
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "expect.h"
#include "packs.h"
#include "test.h"

static long file_size(const char *path)
{
    struct stat info;

    ck_assert_int_eq(stat(path, &info), 0);
    return (long)info.st_size;
}

static void flip(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    int byte;

    ck_assert_ptr_nonnull(file);
    fseek(file, at, SEEK_SET);
    byte = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(byte ^ 0x10, file);
    fclose(file);
}

START_TEST(a_damaged_picture_is_named)
{
    uint8_t pixels[BYTES];
    place p = place_open();
    an_pack *pack;
    int32_t label;
    uint32_t i;

    make_pack(&p, "pack", 8 * BYTES);
    flip(inside(&p, "pack/part-0001.bin"), 16 + 3 * BYTES + 5); /* picture 11 */
    pack = open_pack(&p, "pack");
    for (i = 0; i < COUNT; i++) {
        an_status status = an_pack_read(pack, i, pixels, ENOUGH, &label);

        ck_assert_int_eq(status, i == 11 ? AN_ERROR_FORMAT : AN_OK);
        if (i == 11) ck_assert_ptr_nonnull(strstr(an_error_message(), "picture 11"));
    }
    ck_assert_int_eq(an_pack_read(pack, 11, NULL, 0, &label),
                     AN_OK); /* the index is whole */
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

START_TEST(a_part_cut_short_or_gone_is_found)
{
    place p = place_open();
    an_pack *pack = NULL;
    const char *part;

    make_pack(&p, "pack", 8 * BYTES);
    part = inside(&p, "pack/part-0002.bin");
    ck_assert_int_eq(truncate(part, file_size(part) - 1), 0);
    ck_assert_int_eq(an_pack_open(&pack, p.ctx, inside(&p, "pack"), NULL, NULL),
                     AN_ERROR_FORMAT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "part-0002"));
    remove(inside(&p, "pack/part-0002.bin"));
    ck_assert_int_eq(an_pack_open(&pack, p.ctx, inside(&p, "pack"), NULL, NULL),
                     AN_ERROR_IO);
    ck_assert_int_eq(an_pack_open(&pack, p.ctx, inside(&p, "none"), NULL, NULL),
                     AN_ERROR_IO);
    ck_assert_ptr_null(pack);
    place_close(&p);
}
END_TEST

/* Every byte of the index changed in turn, every length cut: an error, and never a
 * fault. */
START_TEST(no_damage_of_the_index_goes_unseen)
{
    place p = place_open();
    an_pack *pack = NULL;
    long size, at;

    make_pack(&p, "pack", 1 << 20);
    size = file_size(inside(&p, "pack/index.safetensors"));
    for (at = 0; at < size; at += at < 1500 ? 1 : 17) {
        flip(inside(&p, "pack/index.safetensors"), at);
        /* A space that pads the header may become another character that JSON ignores,
         * and a letter of the writer's version another letter. */
        if (an_pack_open(&pack, p.ctx, inside(&p, "pack"), NULL, NULL) == AN_OK) {
            check_pictures(pack);
            an_pack_destroy(pack);
            pack = NULL;
        }
        flip(inside(&p, "pack/index.safetensors"), at);
    }
    for (at = size - 1; at > 0; at -= at > 200 ? 97 : 1) {
        ck_assert_int_eq(truncate(inside(&p, "pack/index.safetensors"), at), 0);
        ck_assert_int_eq(an_pack_open(&pack, p.ctx, inside(&p, "pack"), NULL, NULL),
                         AN_ERROR_FORMAT);
    }
    place_close(&p);
}
END_TEST

/* An index whose checksum is right, and what it says is not: every number is looked
 * at. */
START_TEST(an_index_that_lies_is_refused)
{
    static const struct {
        uint64_t place, bytes;
        int32_t label;
    } lies[] = {{16, BYTES, CLASSES},
                {16, BYTES, -1},
                {0, BYTES, 0}, /* in the head */
                {16 + BYTES * COUNT, BYTES, 0},
                {UINT64_C(1) << 40 | 16, BYTES, 0}, /* a part that is not there */
                {UINT64_MAX, BYTES, 0},
                {16, BYTES - 1, 0},
                {16, UINT64_MAX, 0},
                {16, UINT64_MAX - 15, 0}};
    place p = place_open();
    an_pack *pack = NULL;
    an_index index;
    an_record was;
    size_t i;

    make_pack(&p, "pack", 1 << 20);
    ck_assert_int_eq(an__index_read(&index, p.ctx, inside(&p, "pack/index.safetensors")),
                     AN_OK);
    was = index.records[9];
    for (i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        index.records[9].place = lies[i].place;
        index.records[9].bytes = lies[i].bytes;
        index.records[9].label = lies[i].label;
        ck_assert_int_eq(
            an__index_write(&index, p.ctx, inside(&p, "pack/index.safetensors")), AN_OK);
        ck_assert_msg(an_pack_open(&pack, p.ctx, inside(&p, "pack"), NULL, NULL) ==
                          AN_ERROR_FORMAT,
                      "lie %zu", i);
        ck_assert_ptr_nonnull(strstr(an_error_message(), "picture 9"));
    }
    index.records[9] = was;
    index.part_bytes[0]++;
    ck_assert_int_eq(an__index_write(&index, p.ctx, inside(&p, "pack/index.safetensors")),
                     AN_OK);
    ck_assert_int_eq(an_pack_open(&pack, p.ctx, inside(&p, "pack"), NULL, NULL),
                     AN_ERROR_FORMAT);
    index.part_bytes[0]--;
    ck_assert_int_eq(an__index_write(&index, p.ctx, inside(&p, "pack/index.safetensors")),
                     AN_OK);
    pack = open_pack(&p, "pack");
    check_pictures(pack);
    an_pack_destroy(pack);
    an__index_free(&index, p.ctx);
    place_close(&p);
}
END_TEST

/* Replaces text in the index by other text of the same length. */
static void replace(const char *path, const char *from, const char *to)
{
    char *data = malloc(1 << 20), *at = NULL;
    FILE *file = fopen(path, "r+b");
    size_t size = fread(data, 1, 1 << 20, file), i;

    for (i = 0; at == NULL && i + strlen(from) < size; i++)
        if (memcmp(data + i, from, strlen(from)) == 0) at = data + i;
    ck_assert_ptr_nonnull(at);
    memcpy(at, to, strlen(to));
    rewind(file);
    fwrite(data, 1, size, file);
    fclose(file);
    free(data);
}

START_TEST(a_newer_version_says_so)
{
    place p = place_open();
    an_pack *pack = NULL;

    make_pack(&p, "pack", 1 << 20);
    replace(inside(&p, "pack/index.safetensors"), "\\\"version\\\":1",
            "\\\"version\\\":7");
    ck_assert_int_eq(an_pack_open(&pack, p.ctx, inside(&p, "pack"), NULL, NULL),
                     AN_ERROR_VERSION);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "7"));
    place_close(&p);
}
END_TEST

Suite *damage_suite(void)
{
    Suite *suite = suite_create("damage");
    TCase *tc = tcase_create("damage");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_damaged_picture_is_named);
    tcase_add_test(tc, a_part_cut_short_or_gone_is_found);
    tcase_add_test(tc, no_damage_of_the_index_goes_unseen);
    tcase_add_test(tc, an_index_that_lies_is_refused);
    tcase_add_test(tc, a_newer_version_says_so);
    suite_add_tcase(suite, tc);
    return suite;
}
