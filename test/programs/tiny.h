/*
 * tiny.h - packs of some dozen small pictures, and what train is to do with them, done
 * again with the library's public functions: the same bits must come of it.
 */
#ifndef AN_TEST_TINY_H
#define AN_TEST_TINY_H

#include <alexnet.h>

#include "common/run.h"
#include "programs.h"

/* --- packs ------------------------------------------------------------------------- */

/* The last of five batches of 8 has five of the 37 pictures. */
enum { TINY_COUNT = 37, TINY_HELD_OUT = 11, TINY_CLASSES = 7, TINY_SIDE = 20 };
/* That a test may take: it takes one or two, on a machine that has time. */
enum { TINY_SECONDS = 60 };

typedef struct tiny_pack {
    uint32_t count, side, classes, fit;
    uint32_t seed;     /* of the pictures */
    uint32_t jpeg;     /* 1: of JPEG files */
    const char *names; /* what the classes' names begin with */
    uint32_t renamed;  /* 1 + a class whose name is "another"; 0: none */
} tiny_pack;

/* Makes a pack of the test's folder; what is 0 or null is as in "data/train". */
void tiny_pack_make(const char *folder, const tiny_pack *of);
/* "data/train", with 37 pictures, and "data/val", with 11: of 7 classes, 20 pixels
 * wide. */
void tiny_packs_make(void);
/* A case of the suite whose tests have a folder with both packs. */
TCase *tiny_case(Suite *suite, const char *name);

/* A path of the test's folder; the text is the function's own until its fourth next
 * call. */
const char *tiny_path(const char *name);
int tiny_exists(const char *name);
/* Writes a file of the test's folder. */
void tiny_write(const char *name, const void *bytes, size_t count);

/* Runs a function in a child, for it may exit or print; its files are "out" and "err". */
said in_child(void (*function)(void *), void *argument);

/* --- what train is to do ----------------------------------------------------------- */

/* A training of milliseconds: the options, and what they and the recipe small-data
 * mean. */
#define TINY "--arch cifar10 --image-size 16 --width 0.1 --batch 8 --threads 1"

typedef struct plan {
    an_context_config context;
    an_model_config model; /* classes: 0 for the pack's */
    an_trainer_config trainer;
    an_loader_config loader;
    uint32_t unit, mean_image;
    uint32_t epochs;
    uint32_t steps; /* after which it stops; 0: after its epochs */
    an_rate_change changes[8];
    uint32_t change_count;
    const char *frozen[4];   /* layers */
    const char *train, *val; /* packs; val null: none */
} plan;

/* The plan of "train TINY data", for 60 epochs. */
void plan_init(plan *p);
/* Other epochs: small-data's drops after three quarters and eleven twelfths of them. */
void plan_epochs(plan *p, uint32_t epochs);
void plan_change(plan *p, uint32_t epoch, const char *layer, float rate, float bias_rate);

/* --- done again -------------------------------------------------------------------- */

typedef struct twin {
    plan plan;
    an_context *ctx;
    an_pack *pack, *val;
    an_model *model;
    an_trainer *trainer;
    an_loader *loader;
    history past;      /* seconds and waited stay 0 */
    double loss, top1; /* sums over the images of the epoch that is not done */
    uint32_t epoch, step, steps;
    int finished;
} twin;

/* The three stages: a model with the pack's preprocessing, its trainer and loader, all
 * its steps. Between them a test may change what it likes. */
void twin_open(twin *t, const plan *p);
void twin_begin(twin *t);
void twin_train(twin *t);
void twin_run(twin *t, const plan *p);
void twin_free(twin *t);

/* The program's table has the twin's rows, and its checkpoint the twin's bytes, which
 * include all configs; what the note says of the run is what the plan says. `what` names
 * the case. */
void expect_rows(const twin *t, const char *table, const char *what);
void expect_checkpoint(twin *t, const char *checkpoint, const char *what);
/* The two of "OUT.csv" and "OUT". */
void expect_run(twin *t, const char *out, const char *what);

/* What a checkpoint's note says. */
note note_read(const char *checkpoint);
void note_check(const note *got, const twin *t, const char *what);

/* A checkpoint of the test's folder, opened. */
typedef struct opened {
    an_context *ctx;
    an_model *model;
    an_trainer *trainer;
} opened;

opened checkpoint_open(const char *checkpoint);
void checkpoint_close(opened *o);

/* All parameters, one after the other; the caller frees them. */
float *parameters_of(const an_model *model, size_t *count);

/* --- what was printed -------------------------------------------------------------- */

typedef struct epoch_line {
    double loss, top1, held_out_loss, held_out_top1, held_out_top5, rate, speed, waited;
    int held_out; /* whether those stand there */
} epoch_line;

/* The line "epoch N: ..."; it must be there, once. */
epoch_line line_of(const char *out, uint32_t epoch);
/* How often `words` stand in `text`. */
size_t times_in(const char *text, const char *words);
/* The two files are the same, byte for byte. */
void expect_same_files(const char *got, const char *wanted, const char *what);
/* Two tables are the same but for the times of their last two columns. */
void expect_same_tables(const char *got, const char *wanted, const char *what);

#endif
