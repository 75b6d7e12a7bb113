/*
 * rig.c - opens backends, keeps arrays twice, compares.
 */
#include "rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a number of 8 or 11 significant bits, half a unit of the last is 2^-9 or 2^-12: twice that
 * for a product of two. */
static const double bound_of[] = {BOUND, 5e-4, 4e-3}; /* by an_precision */

/* What a case needs scratch for; both may be null. */
static size_t scratch(const rig *r, const an_conv_shape *conv,
                      const an_dense_shape *dense)
{
    if (conv != NULL) return r->b->conv_scratch(r->device, conv, MOST_IMAGES, 1);
    return dense != NULL ? r->b->dense_scratch(r->device, dense, MOST_IMAGES, 1) : 0;
}

/* Where a case runs: on a plugin's device, or on one of the CPU's paths. */
typedef struct place {
    const char *name, *plugin;
    uint32_t path;
} place;

static an_context *place_context(const place *at, uint32_t threads)
{
    an_context_config config;
    an_context *ctx;

    an_context_config_init(&config, sizeof config);
    config.threads = threads;
    config.cuda_plugin = at->plugin;
    config.cpu_path = at->path;
    ck_assert_msg(an_context_create(&ctx, &config) == AN_OK, "%s", an_error_message());
    return ctx;
}

static rig open_rig(const place *at, uint32_t threads, uint32_t precision,
                    const an_conv_shape *conv, const an_dense_shape *dense)
{
    rig r;

    r.ctx = place_context(at, threads);
    r.b = at->plugin != NULL ? r.ctx->cuda : r.ctx->cpu;
    r.precision = precision;
    r.bound = bound_of[precision];
    ck_assert_int_eq(r.b->open(&r.device, 0, &r.ctx->host), AN_OK);
    ck_assert_int_eq(r.b->queue_open(&r.queue, r.device, scratch(&r, conv, dense)),
                     AN_OK);
    return r;
}

static void close_rig(rig *r)
{
    r->b->queue_close(r->queue);
    r->b->close(r->device);
    an_context_destroy(r->ctx);
}

static uint32_t noise_state = 1;

static float noise(void)
{
    noise_state = noise_state * 1664525u + 1013904223u;
    return (float)(noise_state >> 8) / 8388608.0f - 1;
}

static void put_values(const rig *r, const both *a, const float *values)
{
    ck_assert_int_eq(r->b->put(r->queue, &a->order, a->device, 0, values, a->count),
                     AN_OK);
    ck_assert_int_eq(r->b->sync(r->queue), AN_OK);
}

both make_slabs(const rig *r, size_t rows, uint32_t slabs, uint32_t maps, uint32_t pixels,
                float scale)
{
    size_t count = rows * slabs * maps * pixels;
    both a = {
        {rows, slabs, maps, pixels, 0}, count, malloc(count * sizeof(double)), NULL};
    float *values = malloc(count * sizeof *values);
    void *memory;
    size_t i;

    for (i = 0; i < count; i++) a.ref[i] = (double)(values[i] = noise() * scale);
    ck_assert_int_eq(r->b->alloc(r->device, count * sizeof(float), &memory), AN_OK);
    a.device = memory;
    put_values(r, &a, values);
    free(values);
    return a;
}

void put(const rig *r, const both *a)
{
    float *values = malloc(a->count * sizeof *values);
    size_t i;

    for (i = 0; i < a->count; i++) values[i] = (float)a->ref[i];
    put_values(r, a, values);
    free(values);
}

both make_weights(const rig *r, size_t rows, uint32_t slabs, uint32_t maps,
                  uint32_t pixels)
{
    both a = make_slabs(r, rows, slabs, maps, pixels, 1);

    a.order.weights = 1;
    put(r, &a);
    return a;
}

both make_maps(const rig *r, size_t rows, uint32_t maps, uint32_t pixels, float scale)
{
    return make_slabs(r, rows, 1, maps, pixels, scale);
}

both make(const rig *r, size_t count, float scale)
{
    return make_slabs(r, count, 1, 1, 1, scale);
}

float *get(const rig *r, const both *a)
{
    float *values = malloc(a->count * sizeof *values);

    ck_assert_int_eq(r->b->get(r->queue, &a->order, values, a->device, 0, a->count),
                     AN_OK);
    ck_assert_int_eq(r->b->sync(r->queue), AN_OK);
    return values;
}

void drop(const rig *r, both *a)
{
    r->b->release(r->device, a->device);
    free(a->ref);
}

void *give(const rig *r, const void *from, size_t bytes)
{
    void *memory;

    ck_assert_int_eq(r->b->alloc(r->device, bytes, &memory), AN_OK);
    ck_assert_int_eq(r->b->upload(r->queue, memory, from, bytes), AN_OK);
    return memory;
}

void take(const rig *r, void *to, void *memory, size_t bytes)
{
    ck_assert_int_eq(r->b->download(r->queue, to, memory, bytes), AN_OK);
    ck_assert_int_eq(r->b->sync(r->queue), AN_OK);
    r->b->release(r->device, memory);
}

/* Also mixes the device's bits into a sum, by which runs are compared. Rounded factors are up
 * to 1, and sums of their products may be near 0: their errors are relative to 1 at least. */
static uint64_t bits;

void same(const rig *r, const char *what, const both *a, double bound)
{
    float *got = get(r, a);
    double worst = 0, largest = bound > WINOGRAD_BOUND ? 1 : 1e-30;
    size_t i;

    for (i = 0; i < a->count; i++) {
        uint32_t word;

        memcpy(&word, &got[i], sizeof word);
        bits = (bits ^ word) * 1099511628211u;
        if (fabs(a->ref[i]) > largest) largest = fabs(a->ref[i]);
        if (!(fabs((double)got[i] - a->ref[i]) <= worst))
            worst = fabs((double)got[i] - a->ref[i]);
    }
    ck_assert_msg(worst <= bound * largest, "%s: off by %g of %g", what, worst, largest);
    free(got);
}

/* Runs a case with each of these numbers of threads; all must give the same bits. */
static void on_one(const place *at, const uint32_t *threads, int runs, uint32_t precision,
                   case_fn *body, const an_conv_shape *conv, const an_dense_shape *dense,
                   const void *arg)
{
    uint64_t first = 0;
    int i;

    for (i = 0; i < runs; i++) {
        rig r = open_rig(at, threads[i], precision, conv, dense);

        noise_state = 1;
        bits = 1;
        body(&r, arg);
        close_rig(&r);
        if (i == 0) first = bits;
        ck_assert_msg(bits == first, "%s: run %d gives other bits than the first",
                      at->name, i);
    }
}

static const place paths[] = {{"reference", NULL, AN_CPU_PATH_REFERENCE},
                              {"avx2", NULL, AN_CPU_PATH_AVX2},
                              {"avx512", NULL, AN_CPU_PATH_AVX512}};

void on_all_of(uint32_t precisions, case_fn *body, const an_conv_shape *conv,
               const an_dense_shape *dense, const void *arg)
{
    static const uint32_t threads[] = {1, 2, 3, 8};
    const place host_run = {"host run", host_run_path(), AN_CPU_PATH_BEST};
    const place card = {"card", card_path(), AN_CPU_PATH_BEST};
    uint32_t precision;
    size_t i;

    if (getenv("AN_TEST_CARD_ALONE") != NULL) {
        for (precision = 0; precision < precisions; precision++)
            on_one(&card, threads, 1, precision, body, conv, dense, arg);
        return;
    }
    for (i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (an__cpu_path(paths[i].path) != NULL)
            on_one(&paths[i], threads, 4, 0, body, conv, dense, arg);
    for (precision = 0; precision < precisions; precision++) {
        on_one(&host_run, threads, 2, precision, body, conv, dense, arg);
        if (card.plugin != NULL)
            on_one(&card, threads, 2, precision, body, conv, dense, arg);
    }
}

void on_all(case_fn *body, const void *arg)
{
    on_all_of(1, body, NULL, NULL, arg);
}

void rig_report(void)
{
    size_t i;

    for (i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (an__cpu_path(paths[i].path) == NULL)
            printf("not run: the %s path, which this processor lacks\n", paths[i].name);
}
