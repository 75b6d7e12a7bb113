/*
 * packs.c - packs for the tests.
 */
#define _XOPEN_SOURCE 700
#include "packs.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "scratch.h"
#include "small.h"

/* In memory: making a pack waits for the disk often. */
place place_open(void)
{
    place p;

    scratch_folder_in_memory(p.folder);
    ck_assert_int_eq(an_context_create(&p.ctx, NULL), AN_OK);
    return p;
}

char *inside(place *p, const char *name)
{
    snprintf(p->path, sizeof p->path, "%s/%s", p->folder, name);
    return p->path;
}

void place_close(place *p)
{
    an_context_destroy(p->ctx);
    scratch_remove(p->folder);
}

void make_picture(uint32_t i, uint8_t out[BYTES])
{
    uint32_t seed = i * 7919 + 1, k;

    for (k = 0; k < BYTES; k++) {
        seed = seed * 1664525u + 1013904223u;
        out[k] = (uint8_t)((k % 3) * 20 + i * 3 + (seed >> 27));
    }
}

an_pack_writer_config packing_config(uint64_t part_bytes, uint32_t resume)
{
    an_pack_writer_config c;

    an_pack_writer_config_init(&c, sizeof c);
    c.side = SIDE;
    c.classes = CLASSES;
    c.part_bytes = part_bytes;
    c.resume = resume;
    return c;
}

void add_pictures(an_pack_writer *packing, uint32_t from, uint32_t to)
{
    static const char *const names[CLASSES] = {"oak", "ash", "b\xc3\xa4r"};
    uint8_t pixels[BYTES];
    uint32_t i;

    for (i = 0; i < CLASSES; i++)
        ck_assert_int_eq(an_pack_writer_set_class_name(packing, i, names[i]), AN_OK);
    for (i = from; i < to; i++) {
        make_picture(i, pixels);
        ck_assert_msg(
            an_pack_writer_add(packing, pixels, NULL, 0, (int32_t)(i % CLASSES)) == AN_OK,
            "%s", an_error_message());
    }
}

void make_pack(place *p, const char *name, uint64_t part_bytes)
{
    an_pack_writer_config c = packing_config(part_bytes, 0);
    an_pack_writer *packing;

    ck_assert_msg(an_pack_writer_create(&packing, p->ctx, inside(p, name), &c) == AN_OK,
                  "%s", an_error_message());
    add_pictures(packing, 0, COUNT);
    ck_assert_int_eq(an_pack_writer_finish(packing), AN_OK);
    an_pack_writer_destroy(packing);
}

an_pack *open_pack(place *p, const char *name)
{
    an_pack *pack;

    ck_assert_msg(an_pack_open(&pack, p->ctx, inside(p, name), NULL, NULL) == AN_OK, "%s",
                  an_error_message());
    return pack;
}

void check_pictures(const an_pack *pack)
{
    uint8_t pixels[BYTES], expected[BYTES];
    int32_t label;
    uint32_t i;

    for (i = 0; i < COUNT; i++) {
        make_picture(i, expected);
        ck_assert_int_eq(an_pack_read(pack, i, pixels, ENOUGH, &label), AN_OK);
        ck_assert_mem_eq(pixels, expected, BYTES);
        ck_assert_int_eq(label, (int)(i % CLASSES));
    }
}

an_pack_info pack_info(const an_pack *pack)
{
    an_pack_info info;

    an_pack_info_init(&info, sizeof info);
    ck_assert_int_eq(an_pack_describe(pack, &info), AN_OK);
    return info;
}

/* --- packs of any shape ------------------------------------------------------------ */

set small_set(void)
{
    set s = {5, 10, 3, AN_PACK_RAW, AN_FIT_CROP, 0, AN_PART_HEAD + 3 * 75};

    return s;
}

size_t set_bytes(const set *s)
{
    return (size_t)3 * s->side * s->side;
}

void set_picture(const set *s, uint32_t i, uint8_t *pixels)
{
    size_t count = set_bytes(s), k;

    noise_bytes(pixels, count, 1000 * s->side + i);
    for (k = 0; k < count; k += 3) {
        uint32_t light = pixels[k], own = pixels[k + 1], other = pixels[k + 2];

        pixels[k] = (uint8_t)(light / 2 + own / 8);
        pixels[k + 1] = (uint8_t)(light / 2 + other / 4 + i % 7);
        pixels[k + 2] = (uint8_t)(200 - own / 2);
    }
}

int32_t set_label(const set *s, uint32_t i)
{
    return (int32_t)(i * 5 % s->classes);
}

/* A codec for the tests: how many bytes there are before the pixels, those bytes, and the
 * pixels turned over. */
size_t set_stored(const set *s, uint32_t i, uint8_t *out)
{
    size_t count = set_bytes(s), before = 1 + i % (SET_MORE - 1), k;

    if (s->kind == AN_PACK_RAW) {
        set_picture(s, i, out);
        return count;
    }
    memset(out, 0x5a, before);
    out[0] = (uint8_t)before;
    set_picture(s, i, out + before);
    for (k = 0; k < count; k++) out[before + k] ^= 0xff;
    return before + count;
}

int set_decode(const uint8_t *bytes, size_t count, uint32_t side, uint8_t *pixels,
               void *user)
{
    size_t numbers = (size_t)3 * side * side, k;

    if (user != NULL) ++*(uint32_t *)user;
    if (count < 1 || count != bytes[0] + numbers) return -1;
    for (k = 0; k < numbers; k++) pixels[k] = bytes[bytes[0] + k] ^ 0xff;
    return 0;
}

an_pack_writer_config set_config(const set *s, uint32_t resume)
{
    an_pack_writer_config c;

    an_pack_writer_config_init(&c, sizeof c);
    c.side = s->side;
    c.kind = s->kind;
    c.classes = s->classes;
    c.part_bytes = s->part_bytes;
    c.fit = s->fit;
    c.resume = resume;
    return c;
}

void set_add(an_pack_writer *packing, const set *s, uint32_t from, uint32_t to)
{
    uint8_t *pixels = malloc(set_bytes(s)), *stored = malloc(set_bytes(s) + SET_MORE);

    for (; from < to; from++) {
        size_t bytes = set_stored(s, from, stored);

        set_picture(s, from, pixels);
        expect_ok(
            an_pack_writer_add(packing, pixels, s->kind == AN_PACK_RAW ? NULL : stored,
                               s->kind == AN_PACK_RAW ? 0 : bytes, set_label(s, from)));
        if (from < s->skipped) expect_ok(an_pack_writer_skip(packing));
    }
    free(pixels);
    free(stored);
}

void set_make(place *p, const char *name, const set *s)
{
    an_pack_writer_config c = set_config(s, 0);
    an_pack_writer *packing = NULL;

    expect_ok(an_pack_writer_create(&packing, p->ctx, inside(p, name), &c));
    set_add(packing, s, 0, s->count);
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
}

an_pack *set_open(place *p, const char *name, const set *s, uint32_t *calls)
{
    an_pack *pack = NULL;

    expect_ok(an_pack_open(&pack, p->ctx, inside(p, name),
                           s->kind == AN_PACK_RAW ? NULL : set_decode, calls));
    return pack;
}

void set_check(const an_pack *pack, const set *s, const char *what)
{
    uint8_t *pixels = malloc(set_bytes(s)), *wanted = malloc(set_bytes(s));
    uint32_t i;

    expect_count(pack_info(pack).count, s->count, "%s", what);
    for (i = 0; i < s->count; i++) {
        int32_t label = -1;

        set_picture(s, i, wanted);
        expect_ok(an_pack_read(pack, i, pixels, ENOUGH, &label));
        expect_bytes(pixels, wanted, set_bytes(s), "%s: picture %u", what, i);
        expect_count(label, set_label(s, i), "%s: picture %u", what, i);
    }
    free(pixels);
    free(wanted);
}

/* --- files ------------------------------------------------------------------------- */

uint8_t *file_read(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes;
    long end;

    ck_assert_msg(file != NULL, "%s cannot be opened", path);
    fseek(file, 0, SEEK_END);
    end = ftell(file);
    rewind(file);
    *size = (size_t)end;
    bytes = malloc(*size + 1);
    expect_count(fread(bytes, 1, *size, file), *size, "%s", path);
    fclose(file);
    return bytes;
}

void file_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    ck_assert_msg(file != NULL, "%s cannot be written", path);
    expect_count(fwrite(bytes, 1, size, file), size, "%s", path);
    fclose(file);
}

void file_set_byte(const char *path, size_t at, uint8_t value)
{
    FILE *file = fopen(path, "r+b");

    ck_assert_msg(file != NULL, "%s cannot be changed", path);
    fseek(file, (long)at, SEEK_SET);
    fputc(value, file);
    fclose(file);
}
