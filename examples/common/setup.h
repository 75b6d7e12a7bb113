/*
 * setup.h - a training run's options: a recipe, what differs from it, and the model,
 * trainer and loader that come of both.
 */
#ifndef SETUP_H
#define SETUP_H

#include <alexnet.h>

#include "device.h"

typedef struct setup {
    const char *recipe, *arch, *init, *activation, *pooling, *input_scale, *colour_rule;
    const char *drop_at, *freeze, *from;
    const char *out, *csv, *curves, *val, *resume, *best, *export_to;
    unsigned long epochs, steps, save_every, batch, micro_batch, crop_group, seed;
    device_choice device;
    unsigned long threads, workers, towers, classes, remove_conv, plateau, image_size,
        groups;
    double rate, momentum, decay, width, init_factor, drop_factor, colour, colour_divisor,
        until_error;
    int no_lrn, no_dropout, no_crop, no_mirror, extra_conv, mean_image, no_evaluation;
} setup;

/* Parses the command line, whose one operand is `*folder`; exits with 2 if anything is
 * wrong, also if an option stands beside --resume that the checkpoint decides. */
setup setup_parse(int argc, char **argv, const char **folder);

/* Prints those of the given options that a checkpoint does not hold, --out apart. */
void setup_print_free(void);

/* Each exits with 1, saying why, where the library refuses. `loader` gets what the run's
 * loaders are to be. */
an_model *setup_model(const setup *s, an_context *ctx, const an_pack *pack);
an_trainer *setup_trainer(setup *s, an_model *model, an_loader_config *loader);

#endif
