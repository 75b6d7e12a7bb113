/*
 * recipe.h - the choices of a training run: its options, and the model and trainer they make.
 */
#ifndef RECIPE_H
#define RECIPE_H

#include <alexnet.h>

#include "dataset.h"

typedef struct recipe {
    const char *arch, *init, *activation, *input_scale, *drop_at;
    const char *out, *resume, *csv, *curves; /* csv and curves: null for beside `out` */
    unsigned long epochs, batch, seed, threads, towers, classes;
    double rate, momentum, decay, width, val_split, drop_factor;
    int no_lrn, no_dropout, no_crop, no_mirror;
    int rate_given; /* on the command line */
} recipe;

/* Parses the command line, whose one operand is `*folder`; exits with 2 if anything is wrong,
 * also if an option stands beside --resume that the checkpoint decides. */
recipe recipe_parse(int argc, char **argv, const char **folder);

/* Each exits with 1, saying why, where the library refuses. */
an_model *recipe_model(const recipe *r, an_context *ctx, uint32_t classes);
an_trainer *recipe_trainer(const recipe *r, an_model *model);
/* Mean colour and scale of the inputs, from the training images. */
void recipe_colours(const recipe *r, an_model *model, const dataset *data);

/* Each every-th image of a class is held out; 0: none. */
uint32_t recipe_held_out_every(const recipe *r);
/* The learning rate after so many epochs of a run that began with `first`. */
double recipe_rate(const recipe *r, double first, uint32_t epoch);
/* The order of an epoch's images: a function of seed and epoch, so that a resumed run goes on
 * as it would have. */
void recipe_order(const recipe *r, uint32_t *order, uint32_t count, uint32_t epoch);

/* Prints the options with which a resumed run goes on. */
void recipe_print_resume(const recipe *r, const char *program, const char *folder);

#endif
