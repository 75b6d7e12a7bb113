/*
 * rig.h - a backend on a device, to try an operation on beside test/support/ref.c.
 *
 * A case runs on each backend there is: the CPU's paths, the minimal backend, the CUDA
 * backend on the host run, and on a card where $AN_TEST_CARD names a plugin for it. On
 * the CPU it runs with several numbers of threads, on CUDA twice: all runs of a backend
 * must agree to the bit.
 *
 * A case begins with a call of describe.h, which says its shape in words. What fails
 * afterwards tells of it, of the backend and of the command that runs the same case
 * again.
 */
#ifndef AN_TEST_RIG_H
#define AN_TEST_RIG_H

#include <check.h>

#include "host_run.h"

/* Errors are relative to the largest element of the reference's result. This bound holds
 * for all operations: float32 sums of up to some thousand products. Products that may
 * round their factors, and Winograd's convolutions, have bounds of their own. */
#define BOUND 2e-6
/* Its sums have weights of up to 8 on one side, 5 on the other. */
#define WINOGRAD_BOUND 1e-5

/* A context's threads and allocator serve as the backend's host. */
typedef struct rig {
    const char *place;
    an_context *ctx;
    const an_backend *b;
    an_device *device;
    an_queue *queue;
    uint32_t threads;
    uint32_t precision; /* an_precision of products */
    uint32_t dtype; /* an_dtype of tensors, as make_maps() and make_halves() make them */
    double bound;   /* of products */
    int fenced;     /* arrays end where memory does: see on_cpu() */
} rig;

#define MOST_IMAGES 70u /* of a case */

/* --- running cases ----------------------------------------------------------------- */

typedef void case_fn(rig *r, const void *arg);

/* The macros stand in a test's body alone: _i is the index that Check runs it with. */

/* Runs a case everywhere, products with each of the first `precisions` of an_precision.
 * conv and dense: what it needs scratch for, or null. */
#define on_all_of(precisions, body, conv, dense, arg)                                    \
    run_on_all_of(_i, precisions, body, conv, dense, arg)
/* A case of no products: with tensors in bfloat16, too. */
#define on_all(body, arg) run_on_all(_i, body, arg)
/* On the CPU's paths alone, in float32. All memory is full of NaNs when it is given out
 * (fence.h); behind the arrays of a case there is none, behind other blocks it must stay
 * as it is. */
#define on_cpu(body, conv, dense, arg) run_on_cpu(_i, body, conv, dense, arg)
/* The same with one thread alone, for cases of hundreds of shapes: how items are shared
 * out is not asked, only what is in them. */
#define on_cpu_alone(body, arg) run_on_cpu_alone(_i, body, arg)

void run_on_all_of(int index, uint32_t precisions, case_fn *body,
                   const an_conv_shape *conv, const an_dense_shape *dense,
                   const void *arg);
void run_on_all(int index, case_fn *body, const void *arg);
void run_on_cpu(int index, case_fn *body, const an_conv_shape *conv,
                const an_dense_shape *dense, const void *arg);
void run_on_cpu_alone(int index, case_fn *body, const void *arg);

/* Prints the CPU's paths that this processor lacks, so that nothing was tried on them. */
void rig_report(void);

/* --- within a case ----------------------------------------------------------------- */

/* The call returns AN_OK; else the message tells of the case. */
#define OK(call) ok_at(__FILE__, __LINE__, #call, (call))
void ok_at(const char *file, int line, const char *call, an_status got);

/* Where the case runs, its shape in words, and the command that runs it again: the end of
 * any message. The next call writes over it. */
const char *case_text(void);
/* Mixes a result into what all runs of a case must have alike. */
void case_bits(const float *values, size_t count);
/* The next of the case's random numbers, which are the same in each run: -1 to 1. */
float case_noise(void);

/* Another queue in the place of r's, with just so much scratch: for many shapes. */
void rig_scratch(rig *r, size_t bytes);
int is_vector(const rig *r); /* one of the CPU's paths but the reference */
/* Whether the backend has a pattern of fused operations, for some shapes at least. */
int fuses(const rig *r, an_pattern pattern);

#endif
