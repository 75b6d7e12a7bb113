/*
 * checkpoint.h - models and trainers as safetensors files: the tensors, and what their
 * metadata say of the model and the trainer.
 */
#ifndef AN_CHECKPOINT_H
#define AN_CHECKPOINT_H

#include "train/train.h"

/* Names of tensors in a file. */
#define AN_VELOCITY "velocity." /* before a parameter's name */
#define AN_MEAN_IMAGE "preprocessing.mean_image"

/* --- a file's tensors (reading.c) -------------------------------------------------- */

/* A file being read: all of it mapped, or a reader that gives it in order. */
typedef struct an_reading {
    an_context *ctx;
    an_read_fn read;
    void *user;
    an_map_reader file; /* map.base null: there is only the reader */
    an_header header;
    uint64_t come, reserved; /* bytes of tensors: had so far; memory that they got */
    struct an_piece *piece;  /* what a piece is read to, and its file's bytes */
    void *raw;
} an_reading;

/* Whichever began it, and whether it could, the reading is to be ended. */
an_status an__reading_open(an_reading *r, an_context *ctx, const char *path);
void an__reading_begin(an_reading *r, an_context *ctx, an_read_fn read, void *user);
void an__reading_end(an_reading *r);
an_status an__reading_header(an_reading *r);

/* Tensors of a file, and where they go. */
typedef struct an_wanted {
    const an_entry *tensors[AN_MAX_PARAMS]; /* of parameter i */
    const an_net *net;
    an_weights *weights;  /* zero: reserved as they come */
    const an_entry *mean; /* null: not wanted */
    float *mean_values;   /* [mean->count], likewise; the caller's to free */
} an_wanted;

/* The tensors of all parameters, whose names begin with `prefix`: nothing else yet. */
an_status an__wanted_find(an_wanted *out, const an_reading *r, const an_plan *plan,
                          const char *prefix);
/* All tensors in the file's order, of which those that are not wanted are passed over. */
an_status an__reading_tensors(an_reading *r, an_wanted *wanted);

/* --- metadata (metadata.c) --------------------------------------------------------- */

/* The text for the metadata's "alexnet" key, the caller's to free; trainer may be
 * null. */
an_status an__metadata_make(char **text, size_t *length, const an_allocator *memory,
                            const an_model *model, const an_trainer *trainer);

/* The members of a header's text, as long as that is; absent ones are of no kind. */
typedef struct an_metadata {
    an_json writer, arch, config, preprocessing, class_names, trainer;
} an_metadata;

/* The version is checked. */
an_status an__metadata_parse(an_metadata *out, const an_header *header);
/* Config with towers 0, devices null. */
an_status an__metadata_config(const an_metadata *metadata, an_model_config *config);
/* Preprocessing and class names, onto a model. */
an_status an__metadata_apply(const an_metadata *metadata, an_model *model);

an_status an__metadata_trainer_config(const an_metadata *metadata,
                                      an_trainer_config *config);
/* Onto a trainer made with that config. */
an_status an__metadata_trainer(const an_metadata *metadata, an_trainer *trainer);
/* STATE if the network that the file was written for is not the model's. */
an_status an__metadata_same(const an_metadata *metadata, const an_model *model);

#endif
