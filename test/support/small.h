/*
 * small.h - a small network with a trainer and some images: what a step does, in
 * milliseconds.
 */
#ifndef AN_TEST_SMALL_H
#define AN_TEST_SMALL_H

#include "train/train.h"

enum { SMALL_BATCH = 8, SMALL_CLASSES = 10 };

/* A context, a model, a trainer (null where none was asked for), and one batch: images as
 * the network reads them, and labels. All are the bench's own. */
typedef struct bench {
    an_context *ctx;
    an_model *model;
    an_trainer *trainer;
    float *images;
    int32_t labels[SMALL_BATCH];
    uint32_t batch;
} bench;

/* Few maps: CIFAR-10's net on 32 pixels, the others on 79, the least with which the
 * widest layer has more than one pixel. Every stage and dropout layer is there. */
an_model_config small_config(uint32_t arch);
an_trainer_config small_training(uint32_t batch);
/* The smallest: CIFAR-10's net on TINY_SIDE pixels with four maps a layer, initialised so
 * that its logits are some units apart. */
enum { TINY_SIDE = 17, TINY_NUMBERS = 3 * TINY_SIDE * TINY_SIDE };
an_model_config tiny_config(void);
/* On a path of the CPU's (an_cpu_path); null where the processor lacks that. */
an_context *small_context(uint32_t threads, uint32_t path);

/* training: null for no trainer. */
void bench_open(bench *b, const an_model_config *config,
                const an_trainer_config *training, uint32_t threads);
void bench_close(bench *b);
/* Another bench on the same batch, whose model and trainer are those of a file. */
void bench_resume(bench *b, const bench *from, const char *path);
/* One step on the bench's batch, which must succeed; its loss. */
double bench_step(bench *b);
void bench_steps(bench *b, uint32_t steps);

/* The elements of a CPU's float32 operand, where they lie. */
static inline float *cpu_floats(an_operand x)
{
    return (float *)(void *)((char *)x.buffer + x.offset);
}

/* Numbers between -scale and scale, the same for the same seed. */
void noise_floats(float *x, size_t count, uint32_t seed, float scale);
void noise_bytes(uint8_t *x, size_t count, uint32_t seed);

/* A parameter's values, *count of them; the caller frees them. */
float *parameter_of(const an_model *model, uint32_t index, size_t *count);
float *gradient_of(const an_trainer *trainer, uint32_t index, size_t *count);

/* The largest difference of a parameter, or of all, in units of its largest value. */
double parameter_apart(const an_model *a, const an_model *b, uint32_t index);
double parameters_apart(const an_model *a, const an_model *b);
/* Every parameter of `got` equals that of `wanted`, within bound times its largest value;
 * bound 0: the same bits. `what` names the case. */
void same_parameters(const an_model *got, const an_model *wanted, double bound,
                     const char *what);

/* An allocator for a context: counts, tells what it was asked in a wrong way, and can
 * fail. */
typedef struct counted {
    long calls, fail_at; /* the call that fails, counted from 1; 0: none */
    long blocks, wrong;  /* held now; of no bytes, released null, or twice */
    size_t bytes, most;  /* held now, and at their highest */
} counted;

void counted_allocator(an_context_config *config, counted *c);

/* All numbers of a parameter become `value`. */
void fill_parameter(an_model *model, const char *name, float value);

#endif
