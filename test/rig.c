/*
 * rig.c - opens backends, keeps arrays twice, compares.
 */
#define _POSIX_C_SOURCE 200809L
#include "rig.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fence.h"

/* Of a number of 8 or 11 significant bits, half a unit of the last is 2^-9 or 2^-12: twice that
 * for a product of two; of two such numbers for one, 2^-23. */
static const double bound_of[] = {BOUND, 5e-4, 4e-3, BOUND}; /* by an_precision */

double to_bfloat16(double x)
{
    int exponent;
    double fraction = frexp(x, &exponent);

    return isfinite(x) ? ldexp(nearbyint(fraction * 256), exponent - 8) : x;
}

/* What a case needs scratch for, with the rig's precision; both may be null. */
static size_t scratch(const rig *r, const an_conv_shape *conv,
                      const an_dense_shape *dense)
{
    an_conv_shape c;
    an_dense_shape d;

    if (conv != NULL) {
        c = *conv;
        c.precision = r->precision;
        return r->b->conv_scratch(r->device, &c, MOST_IMAGES, 1);
    }
    if (dense == NULL) return 0;
    d = *dense;
    d.precision = r->precision;
    return r->b->dense_scratch(r->device, &d, MOST_IMAGES, 1);
}

/* --- rigs ----------------------------------------------------------------------------- */

/* Where a case runs: on a plugin's device, or on one of the CPU's paths. */
typedef struct place {
    const char *name, *plugin;
    uint32_t path;
    int major;  /* of the host run's compute capability */
    int fenced; /* its memory is */
} place;

static an_context *place_context(const place *at, uint32_t threads)
{
    an_context_config config;
    an_context *ctx;

    an_context_config_init(&config, sizeof config);
    config.threads = threads;
    config.plugin = at->plugin;
    config.cpu_path = at->path;
    if (at->fenced) {
        config.alloc = fenced_alloc;
        config.release = fenced_release;
    }
    ck_assert_msg(an_context_create(&ctx, &config) == AN_OK, "%s", an_error_message());
    return ctx;
}

static rig open_rig(const place *at, uint32_t threads, uint32_t precision,
                    const an_conv_shape *conv, const an_dense_shape *dense)
{
    rig r;

    if (at->major != 0) hr()->major = at->major;
    r.place = at->name;
    r.fenced = at->fenced;
    r.ctx = place_context(at, threads);
    r.b = at->plugin != NULL ? r.ctx->backends[1] : r.ctx->backends[0];
    r.precision = precision;
    r.bound = bound_of[precision];
    r.tensors = r.b->narrow && precision == AN_PRECISION_BF16 ? precision : 0;
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

void rig_scratch(rig *r, size_t bytes)
{
    r->b->queue_close(r->queue);
    ck_assert_int_eq(r->b->queue_open(&r->queue, r->device, bytes), AN_OK);
}

int is_vector(const rig *r)
{
    return r->b->host_memory && r->b->fuses != 0;
}

static char text[256];

const char *named(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return text;
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

/* On a fenced rig an array ends where memory does. */
static float *take_numbers(const rig *r, size_t count)
{
    float *numbers = r->fenced ? fenced_floats(count) : NULL;
    void *memory;

    if (numbers != NULL) return numbers;
    ck_assert_int_eq(r->b->alloc(r->device, count * sizeof(float), &memory), AN_OK);
    return memory;
}

static both make_formed(const rig *r, const an_order *order, float scale)
{
    const an_form *form = &order->form;
    size_t count = order->rows * order->slabs * order->maps * order->pixels, i;
    size_t numbers =
        form->side == 0 ? count : order->rows * form->rows * form->columns * form->maps;
    both a = {*order, count, malloc(count * sizeof(double)), NULL};
    float *values = malloc(count * sizeof *values);

    for (i = 0; i < count; i++) {
        values[i] = noise() * scale;
        if (order->precision == AN_PRECISION_BF16)
            values[i] = (float)to_bfloat16((double)values[i]);
        a.ref[i] = (double)values[i];
    }
    a.device = take_numbers(r, numbers);
    put_values(r, &a, values);
    free(values);
    return a;
}

static both make_numbers(const rig *r, uint32_t precision, size_t rows, uint32_t slabs,
                         uint32_t maps, uint32_t pixels, float scale)
{
    const an_order order = {.rows = rows,
                            .slabs = slabs,
                            .maps = maps,
                            .pixels = pixels,
                            .precision = precision};

    return make_formed(r, &order, scale);
}

both make_input(const rig *r, uint32_t batch, const an_conv_shape *s)
{
    const an_order order = {.rows = batch,
                            .slabs = 1,
                            .maps = s->in_maps,
                            .pixels = s->in_height * s->in_width,
                            .precision = r->tensors,
                            .width = s->in_width,
                            .form = s->form};

    return make_formed(r, &order, 1);
}

void put(const rig *r, const both *a)
{
    float *values = malloc(a->count * sizeof *values);
    size_t i;

    for (i = 0; i < a->count; i++) values[i] = (float)a->ref[i];
    put_values(r, a, values);
    free(values);
}

both make_slabs(const rig *r, size_t rows, uint32_t slabs, uint32_t maps, uint32_t pixels,
                float scale)
{
    return make_numbers(r, r->tensors, rows, slabs, maps, pixels, scale);
}

/* Those of narrow products are rounded, as packing would. */
both make_weights(const rig *r, size_t rows, uint32_t slabs, uint32_t maps,
                  uint32_t pixels)
{
    both a = make_numbers(r, AN_PRECISION_FP32, rows, slabs, maps, pixels, 1);
    size_t i;

    a.order.weights = 1;
    for (i = 0; r->tensors == AN_PRECISION_BF16 && i < a.count; i++)
        a.ref[i] = to_bfloat16(a.ref[i]);
    put(r, &a);
    return a;
}

both make_maps(const rig *r, size_t rows, uint32_t maps, uint32_t pixels, float scale)
{
    return make_slabs(r, rows, 1, maps, pixels, scale);
}

both make(const rig *r, size_t count, float scale)
{
    return make_numbers(r, AN_PRECISION_FP32, count, 1, 1, 1, scale);
}

void *pack_conv(const rig *r, const an_conv_shape *s, uint32_t batch, const both *w)
{
    void *pack = NULL;
    size_t bytes = 0;
    uint32_t way = 0;

    if (r->b->conv_way != NULL) way = r->b->conv_way(r->device, s, batch, &bytes);
    if (bytes == 0) return NULL;
    OK(r->b->alloc(r->device, bytes, &pack));
    OK(r->b->conv_pack(r->queue, s, way, w->device, pack));
    return pack;
}

void *pack_dense(const rig *r, const an_dense_shape *s, uint32_t batch, const both *w)
{
    size_t bytes = r->b->dense_way != NULL ? r->b->dense_way(r->device, s, batch, 0) : 0;
    void *pack = NULL;

    if (bytes == 0) return NULL;
    OK(r->b->alloc(r->device, bytes, &pack));
    OK(r->b->dense_pack(r->queue, s, w->device, pack));
    return pack;
}

void unpack(const rig *r, void *pack)
{
    if (pack == NULL) return;
    OK(r->b->sync(r->queue));
    r->b->release(r->device, pack);
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
    if (!fenced_floats_free(a->device)) r->b->release(r->device, a->device);
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
    double worst = 0, largest, narrow = bound_of[AN_PRECISION_BF16];
    size_t i, at = 0;

    if (a->order.precision == AN_PRECISION_BF16 && bound < narrow) bound = narrow;
    largest = bound > WINOGRAD_BOUND ? 1 : 1e-30;

    for (i = 0; i < a->count; i++) {
        uint32_t word;

        memcpy(&word, &got[i], sizeof word);
        bits = (bits ^ word) * 1099511628211u;
        if (fabs(a->ref[i]) > largest) largest = fabs(a->ref[i]);
        if (!isnan(worst) &&
            !(fabs((double)got[i] - a->ref[i]) <= worst)) { /* NaNs stay */
            worst = fabs((double)got[i] - a->ref[i]);
            at = i;
        }
    }
    if (!(worst <= bound * largest)) host_run_caught("off by");
    ck_assert_msg(
        worst <= bound * largest,
        "%s, precision %u: %s off by %g of %g: number %zu of %zu is %.9g, wanted "
        "%.9g",
        r->place, r->precision, what, worst, largest, at, a->count, (double)got[at],
        a->ref[at]);
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

static const place paths[] = {{"reference", NULL, AN_CPU_PATH_REFERENCE, 0, 0},
                              {"avx2", NULL, AN_CPU_PATH_AVX2, 0, 0},
                              {"avx512", NULL, AN_CPU_PATH_AVX512, 0, 0}};
static const uint32_t thread_counts[] = {1, 2, 3, 8};

static void run_all(const uint32_t *precisions, uint32_t count, case_fn *body,
                    const an_conv_shape *conv, const an_dense_shape *dense,
                    const void *arg)
{
    const uint32_t *threads = thread_counts;
    const place hopper = {"host run", host_run_path(), AN_CPU_PATH_BEST, 9, 0};
    const place ampere = {"host run of 8.0", host_run_path(), AN_CPU_PATH_BEST, 8, 0};
    const place card = {"card", card_path(), AN_CPU_PATH_BEST, 0, 0};
    int runs =
        host_run_planted() ? 1 : 2; /* of the others one: kernels are mostly the same */
    size_t i;

    if (getenv("AN_TEST_CARD_ALONE") == NULL && !host_run_planted())
        for (i = 0; i < sizeof paths / sizeof paths[0]; i++)
            if (an__cpu_path(paths[i].path) != NULL)
                on_one(&paths[i], threads, 4, 0, body, conv, dense, arg);
    for (i = 0; i < count; i++) {
        if (card.plugin != NULL)
            on_one(&card, threads, 2, precisions[i], body, conv, dense, arg);
        if (getenv("AN_TEST_CARD_ALONE") != NULL) continue;
        on_one(&hopper, threads, precisions[i] == AN_PRECISION_TF32X3 ? 1 : runs,
               precisions[i], body, conv, dense, arg);
        if (precisions[i] == AN_PRECISION_BF16 || precisions[i] == AN_PRECISION_TF32)
            /* which have other kernels there */
            on_one(&ampere, threads, 1, precisions[i], body, conv, dense, arg);
    }
}

void on_all_of(uint32_t precisions, case_fn *body, const an_conv_shape *conv,
               const an_dense_shape *dense, const void *arg)
{
    static const uint32_t all[] = {AN_PRECISION_FP32, AN_PRECISION_TF32,
                                   AN_PRECISION_BF16, AN_PRECISION_TF32X3};

    run_all(all, precisions, body, conv, dense, arg);
}

void on_all(case_fn *body, const void *arg)
{
    static const uint32_t tensors[] = {AN_PRECISION_FP32, AN_PRECISION_BF16};

    run_all(tensors, 2, body, NULL, NULL, arg);
}

/* Where an array's end is that of memory, what reads on must be found by its name. */
__attribute__((unused)) static void tell_name(int number)
{
    static const char begin[] = "not this array's memory, at or after: ";

    if (write(STDERR_FILENO, begin, sizeof begin - 1) < 0 ||
        write(STDERR_FILENO, text, strlen(text)) < 0 || write(STDERR_FILENO, "\n", 1) < 0)
        text[0] = '\0';
    signal(number, SIG_DFL);
    raise(number);
}

static void on_paths(int runs, case_fn *body, const an_conv_shape *conv,
                     const an_dense_shape *dense, const void *arg)
{
    size_t i;

    for (i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        place at = paths[i];

        at.fenced = 1;
#ifndef __SANITIZE_ADDRESS__ /* which tells more */
        signal(SIGSEGV, tell_name);
#endif
        if (an__cpu_path(at.path) != NULL)
            on_one(&at, thread_counts, runs, 0, body, conv, dense, arg);
    }
}

void on_cpu(case_fn *body, const an_conv_shape *conv, const an_dense_shape *dense,
            const void *arg)
{
    on_paths(4, body, conv, dense, arg);
}

void on_cpu_alone(case_fn *body, const void *arg)
{
    on_paths(1, body, NULL, NULL, arg);
}

void rig_report(void)
{
    size_t i;

    for (i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (an__cpu_path(paths[i].path) == NULL)
            printf("not run: the %s path, which this processor lacks\n", paths[i].name);
}
