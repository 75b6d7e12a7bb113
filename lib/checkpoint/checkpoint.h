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
