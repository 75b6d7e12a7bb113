/*
 * twin.c - arrays that are there twice: made, moved, compared.
 */
#include "twin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fence.h"
#include "small.h"

/* What is stored in bfloat16 has half a unit of its last bit, 2^-9, and as much again
 * from what it was computed from. */
#define BF16_BOUND 4e-3

double to_bfloat16(double x)
{
    int exponent;
    double fraction = frexp(x, &exponent);

    return isfinite(x) ? ldexp(nearbyint(fraction * 256), exponent - 8) : x;
}

/* --- other operands ---------------------------------------------------------------- */

an_operand alloc_operand(const rig *r, size_t bytes)
{
    void *memory;

    OK(r->b->alloc(r->device, bytes, &memory));
    return an__operand(memory, 0, AN_DTYPE_BYTES);
}

void free_operand(const rig *r, an_operand operand)
{
    if (operand.buffer == NULL) return;
    OK(r->b->sync(r->queue));
    r->b->release(r->device, operand.buffer);
}

an_operand upload_new(const rig *r, const void *from, size_t bytes)
{
    an_operand to = alloc_operand(r, bytes);

    OK(r->b->upload(r->queue, to, from, bytes));
    return to;
}

void download_and_free(const rig *r, void *to, an_operand from, size_t bytes)
{
    OK(r->b->download(r->queue, to, from, bytes));
    free_operand(r, from);
}

an_operand prepack_conv(const rig *r, const an_conv_shape *s, uint32_t batch,
                        const twin *w)
{
    an_operand prepacked = an__no_operand();
    uint32_t algorithm;
    size_t bytes = 0;

    if (r->b->prepack == NULL) return prepacked;
    algorithm = r->b->prepack->conv_algorithm(r->device, s, batch, &bytes);
    if (bytes == 0) return prepacked;
    prepacked = alloc_operand(r, bytes);
    OK(r->b->prepack->conv_prepack(r->queue, s, algorithm, w->device, prepacked));
    return prepacked;
}

an_operand prepack_dense(const rig *r, const an_dense_shape *s, uint32_t batch,
                         const twin *w)
{
    an_operand prepacked = an__no_operand();
    size_t bytes = 0;

    if (r->b->prepack != NULL)
        bytes = r->b->prepack->dense_prepack_bytes(r->device, s, batch, 0);
    if (bytes == 0) return prepacked;
    prepacked = alloc_operand(r, bytes);
    OK(r->b->prepack->dense_prepack(r->queue, s, w->device, prepacked));
    return prepacked;
}

/* --- between the two --------------------------------------------------------------- */

void to_device(const rig *r, const twin *a)
{
    float *values = malloc(a->count * sizeof *values);
    size_t i;

    for (i = 0; i < a->count; i++) values[i] = (float)a->ref[i];
    OK(r->b->put(r->queue, &a->order, a->device, 0, values, a->count));
    OK(r->b->sync(r->queue));
    free(values);
}

float *from_device(const rig *r, const twin *a)
{
    float *values = malloc(a->count * sizeof *values);

    OK(r->b->get(r->queue, &a->order, values, a->device, 0, a->count));
    OK(r->b->sync(r->queue));
    return values;
}

float *in_place(const twin *a)
{
    ck_assert_uint_eq(a->device.dtype, AN_DTYPE_FP32);
    return cpu_floats(a->device);
}

/* --- making them ------------------------------------------------------------------- */

static size_t device_elements(const an_order *order)
{
    const an_space_to_depth *s2d = &order->s2d;

    if (s2d->side != 0) return order->rows * s2d->rows * s2d->columns * s2d->maps;
    return order->rows * order->halves * order->maps * order->pixels;
}

/* On a fenced rig an array ends where memory does. There is room for float32 in any
 * dtype. */
static an_operand alloc_elements(const rig *r, size_t count, uint32_t dtype)
{
    float *fenced = r->fenced ? fenced_floats(count) : NULL;
    an_operand elements;

    if (fenced != NULL) return an__operand(fenced, 0, dtype);
    elements = alloc_operand(r, count * sizeof(float));
    elements.dtype = dtype;
    return elements;
}

static twin make(const rig *r, const an_order *order, uint32_t dtype, float scale)
{
    size_t count = order->rows * order->halves * order->maps * order->pixels, i;
    twin a = {*order, count, malloc(count * sizeof(double)), {NULL, 0, 0}};

    for (i = 0; i < count; i++) {
        a.ref[i] = (double)(case_noise() * scale);
        if (dtype == AN_DTYPE_BF16) a.ref[i] = to_bfloat16(a.ref[i]);
    }
    a.device = alloc_elements(r, device_elements(order), dtype);
    to_device(r, &a);
    return a;
}

twin make_input(const rig *r, uint32_t batch, const an_conv_shape *s)
{
    const an_order order = {.rows = batch,
                            .halves = 1,
                            .maps = s->in_maps,
                            .pixels = s->in_height * s->in_width,
                            .width = s->in_width,
                            .s2d = s->s2d};

    return make(r, &order, r->dtype, 1);
}

twin make_halves(const rig *r, size_t rows, uint32_t halves, uint32_t maps,
                 uint32_t pixels, float scale)
{
    const an_order order = {
        .rows = rows, .halves = halves, .maps = maps, .pixels = pixels};

    return make(r, &order, r->dtype, scale);
}

twin make_maps(const rig *r, size_t rows, uint32_t maps, uint32_t pixels, float scale)
{
    return make_halves(r, rows, 1, maps, pixels, scale);
}

twin make_floats(const rig *r, size_t count, float scale)
{
    const an_order order = {.rows = count, .halves = 1, .maps = 1, .pixels = 1};

    return make(r, &order, AN_DTYPE_FP32, scale);
}

/* Those of products in bfloat16 are rounded, as prepacking would. */
twin make_weights(const rig *r, size_t rows, uint32_t halves, uint32_t maps,
                  uint32_t pixels)
{
    const an_order order = {
        .rows = rows, .halves = halves, .maps = maps, .pixels = pixels, .weights = 1};
    twin a = make(r, &order, AN_DTYPE_FP32, 1);
    size_t i;

    for (i = 0; r->dtype == AN_DTYPE_BF16 && i < a.count; i++)
        a.ref[i] = to_bfloat16(a.ref[i]);
    to_device(r, &a);
    return a;
}

void free_twin(const rig *r, twin *a)
{
    if (!fenced_floats_free(a->device.buffer)) r->b->release(r->device, a->device.buffer);
    free(a->ref);
}

void mask_gradient(twin *dx, const twin *x, float factor)
{
    size_t i;

    for (i = 0; i < dx->count; i++)
        dx->ref[i] = x->ref[i] > 0 ? dx->ref[i] * (double)factor : 0;
}

/* --- comparison -------------------------------------------------------------------- */

/* Where an element stands, in words; the next call writes over it. */
static const char *place_of(const an_order *o, size_t i)
{
    static char text[128];
    size_t pixel = i % o->pixels, map = i / o->pixels % o->maps;
    size_t half = i / o->pixels / o->maps % o->halves;
    size_t row = i / o->pixels / o->maps / o->halves;

    if (o->maps * o->halves * o->pixels == 1)
        snprintf(text, sizeof text, "element %zu", row);
    else if (o->weights)
        snprintf(text, sizeof text,
                 "output map %zu, half %zu, input map %zu, pixel %zu of its %u", row,
                 half, map, pixel, o->pixels);
    else
        snprintf(text, sizeof text, "image %zu, half %zu, map %zu, pixel %zu of its %u",
                 row, half, map, pixel, o->pixels);
    return text;
}

/* Rounded factors are up to 1, and sums of their products may be near 0: their errors are
 * relative to 1 at least. */
void expect_near_at(const char *file, int line, const rig *r, const char *what,
                    const twin *a, double bound)
{
    float *got = from_device(r, a);
    double worst = 0, largest;
    size_t i, at = 0;

    if (a->device.dtype == AN_DTYPE_BF16 && bound < BF16_BOUND) bound = BF16_BOUND;
    largest = bound > WINOGRAD_BOUND ? 1 : 1e-30;
    case_bits(got, a->count);
    for (i = 0; i < a->count; i++) {
        if (fabs(a->ref[i]) > largest) largest = fabs(a->ref[i]);
        if (!isnan(worst) &&
            !(fabs((double)got[i] - a->ref[i]) <= worst)) { /* NaNs stay */
            worst = fabs((double)got[i] - a->ref[i]);
            at = i;
        }
    }
    if (!(worst <= bound * largest)) {
        host_run_caught("off by");
        ck_abort_msg("%s:%d: %s is off by %g of %g, bound %g\n    at: %s (%zu of %zu): "
                     "got %.9g, expected %.9g%s",
                     file, line, what, worst, largest, bound, place_of(&a->order, at), at,
                     a->count, (double)got[at], a->ref[at], case_text());
    }
    free(got);
}
