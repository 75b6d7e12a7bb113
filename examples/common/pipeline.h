/*
 * pipeline.h - how fast a pack's pictures come: out of the loader, and the whole way into
 * training steps.
 */
#ifndef PIPELINE_H
#define PIPELINE_H

#include <alexnet.h>

typedef struct pipeline {
    const char *path;
    an_pack *pack;
    an_pack_info info;
    an_source source; /* of all its pictures once */
    an_model *model;
    uint32_t workers;   /* threads of the loader */
    double seconds;     /* that each measurement lasts */
    unsigned long runs; /* of the loader alone: the median counts */
} pipeline;

/* Opens the pack `path`; exits where that fails. */
void pipeline_open(pipeline *p, an_context *ctx, const char *path);
/* The model that is fed: it gets the pack's preprocessing, with its mean image. */
void pipeline_prepare(pipeline *p, an_model *model);

/* A line for each form of a batch, floats and, where the model's device takes them,
 * bytes: images a second of one worker while nothing else runs, and another of all. */
void pipeline_loader(const pipeline *p);

/* From the pack's bytes to the end of a step, with as many in flight as the device may
 * have: a heading, and a row for each size of batch, with what its parts could do
 * alone. */
void pipeline_heading(const pipeline *p);
void pipeline_steps(const pipeline *p, uint32_t batch);

void pipeline_close(pipeline *p);

#endif
