/*
 * world.h - one of each object of the library, in which every call can be made to
 * succeed: what tests of refusals start from.
 */
#ifndef AN_TEST_WORLD_H
#define AN_TEST_WORLD_H

#include "packs.h"
#include "small.h"

enum {
    WORLD_SIDE = 32, /* of the pictures and of what the models read */
    WORLD_PICTURE = WORLD_SIDE * WORLD_SIDE * 3,
    WORLD_BATCH = 2,
    WORLD_SOURCE = 5 /* pictures of the loader's source */
};

typedef struct world {
    place at;                     /* a folder and the context */
    an_model *model, *free_model; /* CIFAR-10's, alike; the second has no trainer */
    an_trainer *trainer;
    an_loader *loader;
    an_batch batch; /* its first */
    an_pack *pack;  /* of packs.h, in the folder's "pack" */
    an_image image;
    uint8_t pixels[WORLD_PICTURE];
    float images[WORLD_BATCH * WORLD_PICTURE];
    int32_t labels[WORLD_BATCH];
    char file[64]; /* the trainer's checkpoint */
} world;

/* counts: null, or what counts and fails the context's allocations. */
void world_open(world *w, counted *counts);
void world_close(world *w);

/* The config of both models. */
an_model_config world_model(void);
/* A source of the world's picture, again and again, and a loader's config for it. */
an_source world_source(world *w);
an_loader_config world_loading(void);

/* What functions write to: noise, but for structs, which are prepared and not empty. */
typedef struct outputs {
    float floats[WORLD_PICTURE];
    uint8_t bytes[WORLD_PICTURE], note[AN_TRAINER_NOTE_BYTES];
    an_model *model;
    an_trainer *trainer;
    an_loader *loader;
    an_pack *pack;
    an_pack_writer *packing;
    size_t count;
    uint32_t number, shape[3];
    int32_t label;
    an_evaluation sum;
    an_step_stats stats;
    an_epoch_info epoch;
    an_device_info device;
    an_batch batch;
    an_recipe_info recipe;
} outputs;

void outputs_open(outputs *out, outputs *copy);

/* A call is refused, with these words, and no output is another than before. */
#define expect_untouched(call, status, words, out, before)                               \
    do {                                                                                 \
        expect_refused(call, status, words);                                             \
        expect_bytes(out, before, sizeof *(out), "outputs of %s", #call);                \
    } while (0)

/* The struct as `base` makes it, but for one field, is taken or refused by `try`. */
#define TAKES(type, base, try, field, value)                                             \
    do {                                                                                 \
        type c = base();                                                                 \
                                                                                         \
        c.field = (value);                                                               \
        ck_assert_msg(try(&c) == AN_OK, "%s of %s: \"%s\"", #field, #value,              \
                      an_error_message());                                               \
    } while (0)

#define REFUSES(type, base, try, field, value, words)                                    \
    do {                                                                                 \
        type c = base();                                                                 \
        an_status status;                                                                \
                                                                                         \
        c.field = (value);                                                               \
        status = try(&c);                                                                \
        ck_assert_msg(status == AN_ERROR_ARGUMENT &&                                     \
                          strstr(an_error_message(), words) != NULL,                     \
                      "%s of %s: wanted argument with \"%s\", got %s: \"%s\"", #field,   \
                      #value, words, an_status_string(status), an_error_message());      \
    } while (0)

#endif
