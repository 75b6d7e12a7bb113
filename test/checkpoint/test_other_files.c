/*
 * test_other_files.c - what is given in place of a checkpoint or a pack: the message says
 * what it is.
 */
#define _POSIX_C_SOURCE 200809L
#include <alexnet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "expect.h"
#include "scratch.h"
#include "test.h"

static an_context *ctx;
static char folder[SCRATCH];

static void begin(void)
{
    expect_ok(an_context_create(&ctx, NULL));
    scratch_folder(folder);
}

static void end(void)
{
    an_context_destroy(ctx);
}

static const char *inside(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *bytes, size_t count)
{
    FILE *file = fopen(inside(name), "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    ck_assert_int_eq(fclose(file), 0);
}

static void expect_no_model(const char *name, an_status status, const char *words)
{
    an_model *model = NULL;

    expect_refused(an_model_load(&model, ctx, inside(name), NULL), status, words);
    ck_assert_ptr_null(model);
}

START_TEST(other_kinds_of_files_are_named)
{
    static const struct {
        const char *bytes;
        const char *words;
    } others[] = {{"PK\3\4\0\0\x08\x08 and more", "a zip archive, as PyTorch's .pth is"},
                  {"\x80\2\x8a\nl\xfc\x9c\x46", "a pickle, as PyTorch's old .pth is"},
                  {"\x89PNG\r\n\x1a\n", "a PNG picture"},
                  {"\xff\xd8\xff\xe0\0\x10JF", "a JPEG picture"},
                  {"GIF89a\1\1", "a GIF picture"},
                  {"\x89HDF\r\n\x1a\n", "an HDF5 file"},
                  {"<!DOCTYPE html>", "a web page"},
                  {"<html>  ", "a web page"},
                  {"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"},
                  {"\x1f\x8b\x08\0\0\0\0\1", "compressed by gzip"},
                  {"epoch,iteration,rate\n", "no safetensors file, but text"},
                  {"\xff\xff\xff\xff\xff\xff\xff\x7f",
                   "the header has 9223372036854775807 bytes: must be at most 8388608"}};
    size_t i;

    for (i = 0; i < sizeof others / sizeof others[0]; i++) {
        char bytes[64] = {0};

        memcpy(bytes, others[i].bytes, 8);
        put("file", bytes, sizeof bytes);
        expect_no_model("file", AN_ERROR_FORMAT, others[i].words);
    }
}
END_TEST

/* At once, whoever holds the other end. */
START_TEST(what_is_no_file_is_refused_at_once)
{
    expect_no_model("", AN_ERROR_IO, "is a folder, not a file");
    ck_assert_int_eq(mkfifo(inside("pipe"), 0600), 0);
    expect_no_model("pipe", AN_ERROR_IO, "is a pipe, socket or device, not a file");
    ck_assert_int_eq(symlink("/dev/zero", inside("zero")), 0);
    expect_no_model("zero", AN_ERROR_IO, "is a pipe, socket or device, not a file");
    expect_no_model("none", AN_ERROR_IO, "No such file or directory");
}
END_TEST

static void expect_no_pack(const char *name, an_status status, const char *words)
{
    an_pack *pack = NULL;

    expect_refused(an_pack_open(&pack, ctx, inside(name), NULL, NULL), status, words);
    ck_assert_ptr_null(pack);
}

static void pack_make(const char *name)
{
    uint8_t pixels[3 * 8 * 8] = {0};
    an_pack_writer_config config;
    an_pack_writer *writer;
    int32_t label;

    an_pack_writer_config_init(&config, sizeof config);
    config.side = 8;
    config.classes = 2;
    expect_ok(an_pack_writer_create(&writer, ctx, inside(name), &config));
    for (label = 0; label < 2; label++)
        expect_ok(an_pack_writer_add(writer, pixels, NULL, 0, label));
    expect_ok(an_pack_writer_finish(writer));
    an_pack_writer_destroy(writer);
}

START_TEST(what_is_no_pack_is_told)
{
    char longest[400];

    ck_assert_int_eq(mkdir(inside("both"), 0777), 0);
    pack_make("both/train");
    put("file", "anything", 8);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    expect_no_pack(longest, AN_ERROR_IO, "File name too long");
    expect_no_pack("none", AN_ERROR_IO, "there is no such folder");
    expect_no_pack("both", AN_ERROR_IO, "is no pack, but has some in it: train");
    expect_no_pack("file", AN_ERROR_IO,
                   "is a file, where the folder of a pack is wanted");
    expect_no_pack("", AN_ERROR_IO, "is no pack: it has no index.safetensors");
    expect_no_model("both/train/index.safetensors", AN_ERROR_FORMAT,
                    "the index of a pack, not a checkpoint");
}
END_TEST

Suite *other_files_suite(void)
{
    Suite *suite = suite_create("other_files");
    TCase *tc = tcase_create("other files");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, other_kinds_of_files_are_named);
    tcase_add_test(tc, what_is_no_file_is_refused_at_once);
    tcase_add_test(tc, what_is_no_pack_is_told);
    suite_add_tcase(suite, tc);
    return suite;
}
