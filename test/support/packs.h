/*
 * packs.h - small packs for the tests: 30 pictures of 3 classes, in a folder of their
 * own.
 */
#ifndef AN_TEST_PACKS_H
#define AN_TEST_PACKS_H

#include <stdint.h>

#include "data/data.h"

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
an_pack_writer_config packing_config(uint64_t part_bytes, uint32_t resume);
/* Names the classes, and adds pictures `from` to to - 1. */
void add_pictures(an_pack_writer *packing, uint32_t from, uint32_t to);
void make_pack(place *p, const char *name, uint64_t part_bytes);
an_pack *open_pack(place *p, const char *name);
/* All are as make_picture() made them. */
void check_pictures(const an_pack *pack);
an_pack_info pack_info(const an_pack *pack);

/* --- packs of any shape ------------------------------------------------------------ */

typedef struct set {
    uint32_t side, count, classes, kind, fit;
    uint32_t skipped; /* pictures that could not be read: after each of the first ones */
    uint64_t part_bytes;
} set;

/* Ten raw pictures of three classes, side 5, in parts of three pictures. */
set small_set(void);
size_t set_bytes(const set *s); /* of a picture's pixels */
/* Picture i: every colour varies by its own amount, and with the others. */
void set_picture(const set *s, uint32_t i, uint8_t *pixels);
int32_t set_label(const set *s, uint32_t i);
/* What is stored of picture i; up to SET_MORE bytes more than its pixels. */
#define SET_MORE 8u
size_t set_stored(const set *s, uint32_t i, uint8_t *out);
/* Takes that apart. user: how many calls there were, a uint32_t, or null. */
int set_decode(const uint8_t *bytes, size_t count, uint32_t side, uint8_t *pixels,
               void *user);
an_pack_writer_config set_config(const set *s, uint32_t resume);
/* Pictures from .. to - 1, with what is skipped after each of them. */
void set_add(an_pack_writer *packing, const set *s, uint32_t from, uint32_t to);
void set_make(place *p, const char *name, const set *s);
an_pack *set_open(place *p, const char *name, const set *s, uint32_t *calls);
/* All pictures and labels are the set's. */
void set_check(const an_pack *pack, const set *s, const char *what);

/* --- files ------------------------------------------------------------------------- */

/* The whole file, *size bytes; the caller frees it. */
uint8_t *file_read(const char *path, size_t *size);
void file_write(const char *path, const void *bytes, size_t size);
void file_set_byte(const char *path, size_t at, uint8_t value);

#endif
