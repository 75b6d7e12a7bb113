/*
 * run.h - a training run: what it is made of, from the beginning or from a checkpoint,
 * and how it is saved.
 */
#ifndef RUN_H
#define RUN_H

#include <alexnet.h>

#include "history.h"
#include "progress.h"
#include "setup.h"

/* What the trainer does not know of the run, in its note. */
typedef struct note {
    uint64_t pictures; /* in the pack */
    double loss, top1; /* sums over this epoch's images so far */
    float seconds, waited;
    uint32_t epochs;
    uint32_t batch, colour_epochs;
    float colour_sigma, colour_divisor;
    uint16_t crop_group;
    uint8_t augment, colour_rule;
    double best; /* top-1 of what is held out, of the best epoch so far; 0: none yet */
} note;

typedef struct run {
    setup setup;
    const char *program, *folder;
    an_context *ctx;
    an_pack *pack, *val; /* val: null if there is none */
    an_pack_info info;
    an_model *model;
    an_trainer *trainer;
    an_loader_config loading;
    an_loader *loader;
    history past;
    progress progress;
    note at;
    uint32_t epoch, step, steps; /* epochs done, steps of the next; steps of an epoch */
    uint32_t begun, ahead; /* steps of it that have begun; how many may be in flight */
    double saved;          /* when */
    int done;
} run;

/* Parses the command line and opens everything; exits where that fails. */
void run_open(run *r, int argc, char **argv);
void run_save(run *r);
/* Whether as many steps are done as --steps wants, and `more` after them. */
int run_has_steps(const run *r, uint32_t more);
void run_close(run *r);
/* A path that was named, or the checkpoint's with `suffix`. */
const char *run_path(const run *r, const char *named, const char *suffix);

#endif
