/*
 * packs.h - small packs for the tests: 30 pictures of 3 classes, in a folder of their own.
 */
#ifndef AN_TEST_PACKS_H
#define AN_TEST_PACKS_H

#include <stdint.h>

#include "pack.h"

enum { SIDE = 12, BYTES = SIDE * SIDE * 3, COUNT = 30, CLASSES = 3 };

typedef struct place { /* a folder of its own, and a context */
    char folder[64], path[96];
    an_context *ctx;
} place;

place place_open(void);
void place_close(place *p);
/* A path in the folder, valid until the next one is asked for. */
char *inside(place *p, const char *name);

/* Picture i: noise about a colour, so that the colours are correlated. */
void make_picture(uint32_t i, uint8_t out[BYTES]);
an_packing_config packing_config(uint64_t part_bytes, uint32_t resume);
/* Names the classes, and adds pictures `from` to to - 1. */
void add_pictures(an_packing *packing, uint32_t from, uint32_t to);
void make_pack(place *p, const char *name, uint64_t part_bytes);
an_pack *open_pack(place *p, const char *name);
/* All are as make_picture() made them. */
void check_pictures(const an_pack *pack);
an_pack_info pack_info(const an_pack *pack);

#endif
