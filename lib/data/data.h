/*
 * data.h - many pictures: packed into files, and prepared for training by threads of
 * their own.
 */
#ifndef AN_DATA_H
#define AN_DATA_H

#include "model/model.h"

/* --- packs (pack.c, pack_index.c, pack_writer.c); docs/PACKS.md has the layout ----- */

#define AN_PACK_VERSION 1u
#define AN_PACK_INDEX "index.safetensors"
#define AN_PACK_JOURNAL                                                                  \
    "unfinished.safetensors" /* an index too, of what is safe so far */
#define AN_PACK_LOCK "lock"  /* who writes it: there as long as somebody does */

/* A pack maps each of its parts, and Linux lets a process map 65,530 files, its libraries
 * among them (vm.max_map_count): half of that. */
#define AN_MAX_PARTS 32768u

/* A part begins with these bytes; then picture after picture. */
#define AN_PART_HEAD 16u
#define AN_PART_MAGIC "libalexnet pack\n"

/* The tensors of an index, each with a row for every picture. */
enum { AN_COLUMN_PLACE, AN_COLUMN_BYTES, AN_COLUMN_CHECK, AN_COLUMN_LABEL, AN_COLUMNS };

typedef struct an_record {
    uint64_t place; /* of its first byte: part << 40 | byte in the part's file */
    uint64_t bytes, check;
    int32_t label;
} an_record;

#define AN_PLACE_BITS 40
#define AN_PLACE_MASK (((uint64_t)1 << AN_PLACE_BITS) - 1)

/* Exact sums over all pixels: the statistics do not depend on the pictures' order. */
typedef struct an_sums {
    uint64_t colour[3], product[6]; /* rr rg rb gg gb bb */
    uint64_t *pixels;               /* [3][side][side] */
} an_sums;

typedef struct an_colours {
    float mean[3], deviation[3], colour_deviation[3], colour_axis[3][3];
} an_colours;

/* Both may be read from an index that is hostile until checked. */
typedef struct an_index {
    uint32_t side, kind, fit, classes, parts;
    uint64_t count, skipped;
    uint64_t *part_bytes; /* [parts] */
    an_record *records;   /* [count] */
    char **class_names;   /* [classes], null where none */
    an_sums sums;
} an_index;

/* Folder and name with a slash between; the caller's to free. */
char *an__path_join(an_context *ctx, const char *folder, const char *name);
/* part-0000.bin and so on: name has room for 32 bytes. */
void an__part_name(char *name, uint32_t part);
uint64_t an__check_bytes(const void *bytes, size_t count);

void an__index_free(an_index *index, an_context *ctx);
an_status an__index_read(an_index *out, an_context *ctx, const char *path);
an_status an__index_write(const an_index *index, an_context *ctx, const char *path);
int an__source_is_pack(const an_source *source); /* then its fetch leaves a message */
void an__colours_of(const an_index *index, an_colours *out);

/* --- loader (loader.c, draws.c) ---------------------------------------------------- */

/* The order of an epoch's pictures: [count]. */
void an__loader_order(const an_loader_config *config, uint32_t epoch, uint32_t count,
                      uint32_t *order);
/* The view of the epoch's picture number `number`. */
an_view an__loader_view(const an_loader_config *config, const an_input *input,
                        uint32_t epoch, uint64_t number);

/* How a loader of this model prepares pictures; null for another model's. */
const an_input *an__loader_input(const an_loader *loader, const an_model *model);

#endif
