/*
 * twin.h - arrays of a case, each of which is there twice: in double for
 * test/support/ref.c and on the device for a backend. They begin with the same random
 * values; expect_near() compares what the two have become.
 */
#ifndef AN_TEST_TWIN_H
#define AN_TEST_TWIN_H

#include "describe.h"
#include "rig.h"

typedef struct twin {
    an_order order;
    size_t count;      /* elements */
    double *ref;       /* in the host's order */
    an_operand device; /* in the device's */
} twin;

/* --- making them ------------------------------------------------------------------- */

/* Random values up to `scale`. The first two are tensors, of the rig's dtype: where that
 * is bfloat16, the reference's values are rounded to it as well. */
twin make_halves(const rig *r, size_t rows, uint32_t halves, uint32_t maps,
                 uint32_t pixels, float scale);
twin make_maps(const rig *r, size_t rows, uint32_t maps, uint32_t pixels, float scale);
/* Plain float32, in one row. */
twin make_floats(const rig *r, size_t count, float scale);
/* What a convolution reads, in the layout that its shape names. */
twin make_input(const rig *r, uint32_t batch, const an_conv_shape *s);
/* Weights, or their gradients: float32 of up to 1, rounded where the rig's tensors
 * are. */
twin make_weights(const rig *r, size_t rows, uint32_t halves, uint32_t maps,
                  uint32_t pixels);
void free_twin(const rig *r, twin *a);

/* --- between the two --------------------------------------------------------------- */

/* The reference's values to the device. */
void to_device(const rig *r, const twin *a);
/* What the device has, in the host's order; the caller frees it. */
float *from_device(const rig *r, const twin *a);
/* The device's elements where they lie: of a rig whose backend has host_memory, in
 * float32. */
float *in_place(const twin *a);

/* The device's elements are the reference's: |got - expected| <= bound * (the largest
 * |expected|), and 4e-3 of it for bfloat16. Their bits count when runs are compared.
 * what: the operation, and which of its results: "conv_forward y". */
#define expect_near(r, what, a, bound)                                                   \
    expect_near_at(__FILE__, __LINE__, r, what, a, bound)
void expect_near_at(const char *file, int line, const rig *r, const char *what,
                    const twin *a, double bound);

/* The number of 8 significant bits next to x, ties to even. */
double to_bfloat16(double x);

/* The reference's gradient of an x behind ReLU or dropout: 0 where x is not above 0,
 * elsewhere multiplied by the factor. */
void mask_gradient(twin *dx, const twin *x, float factor);

/* --- other operands ---------------------------------------------------------------- */

#define NONE an__no_operand()
an_operand alloc_operand(const rig *r, size_t bytes);
void free_operand(const rig *r, an_operand operand); /* which may be none */
/* Device memory with these bytes. */
an_operand upload_new(const rig *r, const void *from, size_t bytes);
/* Its bytes, of which it is freed. */
void download_and_free(const rig *r, void *to, an_operand from, size_t bytes);

/* What a backend makes of weights for such a batch, or none; to be freed. */
an_operand prepack_conv(const rig *r, const an_conv_shape *s, uint32_t batch,
                        const twin *w);
an_operand prepack_dense(const rig *r, const an_dense_shape *s, uint32_t batch,
                         const twin *w);

#endif
