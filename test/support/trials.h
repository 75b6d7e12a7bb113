/*
 * trials.h - configs, preprocessings, schedules made up at random, and what of a trainer
 * must be the same as of another.
 */
#ifndef AN_TEST_TRIALS_H
#define AN_TEST_TRIALS_H

#include "train/train.h"

/* Numbers that look random: the next below `below`, between low and high, of 64 bits. */
uint32_t trial_below(uint32_t *seed, uint32_t below);
float trial_float(uint32_t *seed, float low, float high);
uint64_t trial_u64(uint32_t *seed);

/* A small network with any of the ablations; those that cannot be are left out. */
an_model *trial_model(an_context *ctx, uint32_t *seed);
/* Gives it any preprocessing, perhaps a mean image, names to some of its classes. */
void trial_prepare(uint32_t *seed, an_model *model);
/* Every field has any value that it may. */
an_trainer_config trial_training(uint32_t *seed);
/* Changes of up to `epochs`, of any layers; as many as are returned. */
uint32_t trial_changes(uint32_t *seed, const an_model *model, uint32_t epochs,
                       an_rate_change changes[AN_MAX_CHANGES]);

/* Every field but the size; `what` names the case. */
void same_model_config(const an_model *got, const an_model *wanted, const char *what);
void same_preprocessing(const an_model *got, const an_model *wanted, const char *what);
void same_class_names(const an_model *got, const an_model *wanted, const char *what);
void same_training(const an_trainer *got, const an_trainer *wanted, const char *what);
/* All that a checkpoint keeps of a trainer, its velocities and its model's parameters
 * included: the same bits. */
void same_trainer(const an_trainer *got, const an_trainer *wanted, const char *what);
void same_velocities(const an_trainer *got, const an_trainer *wanted, double bound,
                     const char *what);
/* A parameter's velocity; the caller frees it. */
float *velocity_of(const an_trainer *trainer, uint32_t index, size_t *count);

#endif
