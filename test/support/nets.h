/*
 * nets.h - small networks, trained for a few steps: what suites of devices compare.
 */
#ifndef AN_TEST_NETS_H
#define AN_TEST_NETS_H

#include "train/train.h"

enum { BATCH = 2, CLASSES = 10, STEPS = 4, MOST_STEPS = 10 };

#define GIB ((size_t)1 << 30)

/* What a training run leaves. */
typedef struct outcome {
    double loss[MOST_STEPS];
    int retried;     /* a step failed, and was given a second time: */
    an_status again; /* what came of that */
    float *values;   /* parameters, then BATCH rows of probabilities */
    size_t count;
    uint64_t exchanged;       /* by all of it */
    uint64_t exchange_floats; /* of an image's way forward, as planned */
} outcome;

/* Numbers within scale of 0. */
void net_fill(float *x, size_t count, uint32_t seed, float scale);
/* Few maps and small images, with every stage that there is. */
an_model_config net_small(uint32_t arch, uint32_t towers, const char *devices);
float *net_images(const an_model *model); /* BATCH of them; the caller's to free */
extern const int32_t net_labels[BATCH];
size_t net_parameters(const an_model *model); /* numbers in all of them */
an_status net_get(const an_model *model, float *values);

/* `steps` training steps and an inference; micro: images of a piece, 0: all. On failure
 * outcome.values is null. */
an_status net_train(an_context *ctx, const an_model_config *config, uint32_t steps,
                    uint32_t micro, outcome *o);
/* The same in a context with that plugin, which must succeed. */
outcome net_trained(const char *plugin, const an_model_config *config, uint32_t steps,
                    uint32_t micro);
/* Relative to the largest number; 0: to the bit. */
void net_same(const outcome *a, const outcome *b, double bound);
void net_drop(outcome *o);

/* A trainer of BATCH images a step with a rate of 0.05. */
an_trainer *net_trainer(an_model *model);
/* A parameter's index; and the first half of its elements become `value`, the others
 * 0. */
uint32_t net_param(const an_model *model, const char *name);
void net_fill_param(an_model *model, const char *name, float value);

#endif
