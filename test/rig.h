/*
 * rig.h - a backend on a device, to try an operation on beside test/ref.c.
 *
 * A case runs on each backend there is: the CPU's paths, the CUDA backend on the host run,
 * and on a card where $AN_TEST_CARD names a plugin for it. On the CPU it runs with several
 * numbers of threads, elsewhere twice: all runs of a backend must agree to the bit.
 */
#ifndef AN_TEST_RIG_H
#define AN_TEST_RIG_H

#include <check.h>

#include "host_run.h"

/* Errors are relative to the largest number of the reference's result. This bound holds for
 * all operations: float32 sums of up to some thousand products. Products that may round their
 * factors, and Winograd's convolutions, have bounds of their own. */
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
    uint32_t precision;
    uint32_t
        tensors; /* the precision of tensors, as make_maps() and make_slabs() make them */
    double bound; /* of products */
    int fenced;   /* arrays end where memory does: see on_cpu() */
} rig;

#define OK(call) ck_assert_int_eq((call), AN_OK)

#define MOST_IMAGES 40u /* of a case */

/* An array in double and in the device's float, with the same values: in the host's order
 * and in the device's. */
typedef struct both {
    an_order order;
    size_t count;
    double *ref;
    float *device;
} both;

/* Random numbers up to `scale`: slabs of maps, maps, plain; and weights, in their order. The
 * first two are tensors: where those are narrow, the reference's values are as well. */
both make_slabs(const rig *r, size_t rows, uint32_t slabs, uint32_t maps, uint32_t pixels,
                float scale);
both make_maps(const rig *r, size_t rows, uint32_t maps, uint32_t pixels, float scale);
both make(const rig *r, size_t count, float scale);
/* What a convolution reads, in the form that its shape names. */
both make_input(const rig *r, uint32_t batch, const an_conv_shape *s);
both make_weights(const rig *r, size_t rows, uint32_t slabs, uint32_t maps,
                  uint32_t pixels);
/* The device's copy of new reference values. */
void put(const rig *r, const both *a);
/* What the device has, in the host's order; the caller frees it. */
float *get(const rig *r, const both *a);
void drop(const rig *r, both *a);

/* Device memory with these bytes; got back by take(). */
void *give(const rig *r, const void *from, size_t bytes);
void take(const rig *r, void *to, void *memory, size_t bytes);

/* The device's numbers are the reference's; their bits count when runs are compared. */
void same(const rig *r, const char *what, const both *a, double bound);

/* Runs a case everywhere, products with each of the first `precisions` of an_precision. conv
 * and dense: what it needs scratch for, or null. */
typedef void case_fn(rig *r, const void *arg);
void on_all_of(uint32_t precisions, case_fn *body, const an_conv_shape *conv,
               const an_dense_shape *dense, const void *arg);
void on_all(case_fn *body, const void *arg); /* of no products: with narrow tensors too */
/* On the CPU's paths alone, in float32. All memory is full of NaNs when it is given out
 * (fence.h); behind the arrays of a case there is none, behind other blocks it must stay as
 * it is. */
void on_cpu(case_fn *body, const an_conv_shape *conv, const an_dense_shape *dense,
            const void *arg);
/* The same with one thread alone, for cases of hundreds of shapes: how items are shared out
 * is not asked, only what is in them. */
void on_cpu_alone(case_fn *body, const void *arg);
/* Another queue in the place of r's, with just so much scratch: for many shapes. */
void rig_scratch(rig *r, size_t bytes);
int is_vector(const rig *r); /* one of the CPU's paths but the reference */
/* A name for same(), and for what ends a case before: the next call writes over it. */
const char *named(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What a backend makes of weights, or null; the caller releases it. */
void *pack_conv(const rig *r, const an_conv_shape *s, uint32_t batch, const both *w);
void *pack_dense(const rig *r, const an_dense_shape *s, uint32_t batch, const both *w);
void unpack(const rig *r, void *pack);

/* The number of 8 significant bits next to x, ties to even. */
double to_bfloat16(double x);

/* Prints the CPU's paths that this processor lacks, so that nothing was tried on them. */
void rig_report(void);

#endif
