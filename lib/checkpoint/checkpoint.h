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

/* The text for the metadata's "alexnet" key; trainer may be null. A new reference, null
 * if there is no memory. */
json_t *an__metadata_make(const an_model *model, const an_trainer *trainer);

/* The parsed text; its version is checked. A new reference. */
an_status an__metadata_parse(json_t **out, const char *text);
/* Config with towers 0, devices null. */
an_status an__metadata_config(const json_t *metadata, an_model_config *config);
/* Preprocessing and class names, onto a model. */
an_status an__metadata_apply(const json_t *metadata, an_model *model);

an_status an__metadata_trainer_config(const json_t *metadata, an_trainer_config *config);
/* Onto a trainer made with that config. */
an_status an__metadata_trainer(const json_t *metadata, an_trainer *trainer);
/* STATE if the network that the file was written for is not the model's. */
an_status an__metadata_same(const json_t *metadata, const an_model *model);

#endif
