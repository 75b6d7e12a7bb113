/*
 * fuzz.h - what the targets share: choices out of an input's bytes, memory that is
 * counted and that has an end, what must be true of every status, files, callbacks, small
 * objects.
 *
 * A target is a file that defines LLVMFuzzerTestOneInput(), and where bytes alone would
 * not get far LLVMFuzzerCustomMutator() (mutate.h).
 */
#ifndef AN_FUZZ_H
#define AN_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "data/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- what an input decides --------------------------------------------------------- */

typedef struct fuzz_input {
    const uint8_t *data;
    size_t left;
} fuzz_input;

/* The next one to eight bytes as a number, the lowest first; zeros behind the end. */
uint64_t fuzz_take(fuzz_input *in, uint32_t bytes);
uint32_t fuzz_below(fuzz_input *in, uint32_t limit); /* of one byte: limit up to 256 */
/* The next piece, at most `bytes` long. */
fuzz_input fuzz_split(fuzz_input *in, size_t bytes);
/* What is left, or at most `size` - 1 bytes of it up to the first 0, as a C string. */
const char *fuzz_text(fuzz_input *in, char *out, size_t size);

/* Some fields of a public struct, which has been initialised, become what the input says:
 * values near limits, or any. Its size too, with room for `room` bytes. Pointers must be
 * set afterwards. */
void fuzz_fields(fuzz_input *in, void *object, size_t known, size_t room);
/* Room for a struct and for what a newer version of it might have. */
#define FUZZ_ROOM(type)                                                                  \
    union {                                                                              \
        type object;                                                                     \
        unsigned char room[sizeof(type) + 64];                                           \
    }

/* --- what must be true ------------------------------------------------------------- */

void fuzz_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#define FUZZ_EXPECT(condition, ...)                                                      \
    do {                                                                                 \
        if (!(condition)) fuzz_fail(__VA_ARGS__);                                        \
    } while (0)

/* Makes a call whose failure must be one of a set, and say why in words that can be
 * printed. FORKED and INTERNAL never are. */
#define FUZZ_CALL(call, allowed) (fuzz_forget(), fuzz_judge(call, allowed, #call))
#define FUZZ_MAY(name) (1u << AN_ERROR_##name)
void fuzz_forget(void);
an_status fuzz_judge(an_status status, uint32_t allowed, const char *call);
/* Text is UTF-8 with nothing in it that a terminal would obey. */
int fuzz_is_printable(const char *text);
int fuzz_is_utf8(const char *text);

/* --- memory ------------------------------------------------------------------------ */

typedef struct fuzz_memory {
    size_t limit;              /* of all blocks together: more is refused */
    size_t held, blocks, peak; /* bytes and blocks now; the most bytes so far */
} fuzz_memory;

/* Any thread. Blocks are filled with what is no zero. */
an_allocator fuzz_allocator(fuzz_memory *memory);
/* A context with one thread and that memory, whose CPU is open already, so that nothing
 * is held later but by what is made with it. */
an_context *fuzz_context(fuzz_memory *memory);

/* --- files and callbacks ----------------------------------------------------------- */

/* A reader gives at most `piece` bytes at once; 0: all that are wanted. It fails where
 * `fails` bytes are left; 0: never. */
typedef struct fuzz_reader {
    fuzz_input in;
    size_t piece, fails;
} fuzz_reader;

ptrdiff_t fuzz_read(void *to, size_t bytes, void *user);

typedef struct fuzz_sink {
    uint8_t *data;
    size_t size;
} fuzz_sink;

int fuzz_write(const void *data, size_t bytes, void *user);
void fuzz_sink_free(fuzz_sink *sink);

/* The path of a file with these bytes, and no others since the last call. */
const char *fuzz_file(const uint8_t *data, size_t size);

/* A folder of this process, in memory where there is /dev/shm; it goes with the process.
 * Paths in it are valid until the fourth call after. */
const char *fuzz_folder(void);
const char *fuzz_path(const char *name);
void fuzz_put(const char *name, const void *data, size_t size);
void fuzz_folder_empty(void);

/* --- objects ----------------------------------------------------------------------- */

enum { FUZZ_SIDE = 5, FUZZ_CLASSES = 3, FUZZ_PIXELS = FUZZ_SIDE * FUZZ_SIDE * 3 };

/* The least of models: its pictures have FUZZ_SIDE, and it has FUZZ_CLASSES. */
void fuzz_model_config(an_model_config *config);
an_model *fuzz_model(an_context *ctx);
/* What the model says of itself is in order, and is accepted again. */
void fuzz_model_examine(an_model *model);
/* Inference, and a step where there is a trainer, of a model that is small enough. */
void fuzz_model_use(an_model *model, an_trainer *trainer);
/* A codec of packs: one byte of a colour, and one that says whether it fails. */
int fuzz_decode(const uint8_t *bytes, size_t count, uint32_t side, uint8_t *pixels,
                void *user);

#endif
