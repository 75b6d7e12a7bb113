/*
 * packs.c - packs for the tests.
 */
#define _XOPEN_SOURCE 700
#include "packs.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

place place_open(void)
{
    place p;

    strcpy(p.folder, P_tmpdir "/alexnet-pack-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(p.folder));
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
    char command[128];

    an_context_destroy(p->ctx);
    snprintf(command, sizeof command, "rm -rf %s", p->folder);
    ck_assert_int_eq(system(command), 0);
}

void make_picture(uint32_t i, uint8_t out[BYTES])
{
    uint32_t seed = i * 7919 + 1, k;

    for (k = 0; k < BYTES; k++) {
        seed = seed * 1664525u + 1013904223u;
        out[k] = (uint8_t)((k % 3) * 20 + i * 3 + (seed >> 27));
    }
}

an_packing_config packing_config(uint64_t part_bytes, uint32_t resume)
{
    an_packing_config c;

    an_packing_config_init(&c, sizeof c);
    c.side = SIDE;
    c.classes = CLASSES;
    c.part_bytes = part_bytes;
    c.resume = resume;
    return c;
}

void add_pictures(an_packing *packing, uint32_t from, uint32_t to)
{
    static const char *const names[CLASSES] = {"oak", "ash", "b\xc3\xa4r"};
    uint8_t pixels[BYTES];
    uint32_t i;

    for (i = 0; i < CLASSES; i++)
        ck_assert_int_eq(an_packing_set_class_name(packing, i, names[i]), AN_OK);
    for (i = from; i < to; i++) {
        make_picture(i, pixels);
        ck_assert_msg(an_packing_add(packing, pixels, NULL, 0, (int32_t)(i % CLASSES)) ==
                          AN_OK,
                      "%s", an_error_message());
    }
}

void make_pack(place *p, const char *name, uint64_t part_bytes)
{
    an_packing_config c = packing_config(part_bytes, 0);
    an_packing *packing;

    ck_assert_msg(an_packing_create(&packing, p->ctx, inside(p, name), &c) == AN_OK, "%s",
                  an_error_message());
    add_pictures(packing, 0, COUNT);
    ck_assert_int_eq(an_packing_finish(packing), AN_OK);
    an_packing_destroy(packing);
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
        ck_assert_int_eq(an_pack_read(pack, i, pixels, &label), AN_OK);
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
