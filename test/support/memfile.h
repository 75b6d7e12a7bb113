/*
 * memfile.h - a checkpoint in memory: written and read through callbacks that may fail,
 * taken apart into its header and its tensors, and put together again otherwise.
 */
#ifndef AN_TEST_MEMFILE_H
#define AN_TEST_MEMFILE_H

#include <jansson.h>

#include "train/train.h"

typedef struct memfile {
    unsigned char *data;
    size_t bytes, at;      /* at: read so far */
    size_t calls, fail_at; /* the call that fails, counted from 1; 0: none */
    size_t most;           /* bytes that a read gives at once; 0: all */
} memfile;

int memfile_write(const void *data, size_t bytes, void *user);
ptrdiff_t memfile_read(void *data, size_t bytes, void *user);

/* Of a model, or of a trainer with its model; both must succeed. */
memfile memfile_of_model(const an_model *model);
memfile memfile_of_trainer(const an_trainer *trainer);
void memfile_free(memfile *m);

/* From the beginning, through memfile_read(). */
an_status memfile_load(an_model **out, an_context *ctx, memfile *m,
                       const an_load_config *config);
an_status memfile_load_trainer(an_trainer **out, an_model *model, memfile *m);
/* The same bytes under a path. */
void memfile_store(const memfile *m, const char *path);

/* The header, and what its "alexnet" string says, as JSON: new references. */
json_t *memfile_header(const memfile *m);
json_t *memfile_about(const memfile *m);
/* A file with the tensors of `m` and another header, or another "alexnet" string in
 * it. */
memfile memfile_with_header(const memfile *m, const json_t *header);
memfile memfile_with_about(const memfile *m, const json_t *about);
/* The same with one value of that string replaced, or removed where `value` is null,
 * which is consumed. place: keys and indices, "trainer.schedule.0.rate". */
memfile memfile_with(const memfile *m, const char *place, json_t *value);
/* The same with so many spaces more behind its header. */
memfile memfile_pushed(const memfile *m, size_t bytes);
/* What stands there: a borrowed reference, null where nothing does. */
json_t *memfile_at(json_t *about, const char *place);

/* --- tensors ----------------------------------------------------------------------- */

enum { MEMFILE_TENSORS = 64 };

typedef struct memfile_tensor {
    char name[80], dtype[8];
    uint32_t dims;
    uint64_t shape[6];
    unsigned char *data;
    size_t bytes;
} memfile_tensor;

typedef struct memfile_parts {
    json_t *metadata; /* null: none */
    memfile_tensor tensor[MEMFILE_TENSORS];
    size_t count;
} memfile_parts;

/* The tensors in the order in which they lie in the file. */
memfile_parts memfile_take_apart(const memfile *m);
memfile memfile_put_together(const memfile_parts *parts);
void memfile_parts_free(memfile_parts *parts);
memfile_tensor *memfile_find(memfile_parts *parts, const char *name);
/* Adds one with bytes of 0x55; dims 1. */
void memfile_add(memfile_parts *parts, const char *name, const char *dtype,
                 uint64_t numbers, size_t bytes);

#endif
