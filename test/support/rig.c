/*
 * rig.c - opens backends, and runs a case on each.
 */
#define _GNU_SOURCE
#include "rig.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "choose.h"
#include "describe.h"
#include "fence.h"

/* Of a number of 8 or 11 significant bits, half a unit of the last is 2^-9 or 2^-12:
 * twice that for a product of two; of two such numbers for one, 2^-23. */
static const double bound_of[] = {BOUND, 5e-4, 4e-3, BOUND}; /* by an_precision */
static const char *const precision_names[] = {"FP32", "TF32", "BF16", "TF32X3"};

/* --- rigs -------------------------------------------------------------------------- */

/* Where a case runs: on a plugin's device, or on one of the CPU's paths. */
typedef struct place {
    const char *name, *plugin;
    uint32_t path;
    int major;  /* of the host run's compute capability; 0: it is another plugin */
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

static rig open_rig(const place *at, uint32_t threads, uint32_t precision,
                    const an_conv_shape *conv, const an_dense_shape *dense)
{
    rig r;

    if (at->major != 0) hr()->major = at->major;
    r.place = at->name;
    r.fenced = at->fenced;
    r.threads = threads;
    r.ctx = place_context(at, threads);
    r.b = at->plugin != NULL ? r.ctx->backends[1] : r.ctx->backends[0];
    r.precision = precision;
    r.bound = bound_of[precision];
    r.dtype = r.b->bf16_tensors && precision == AN_PRECISION_BF16 ? AN_DTYPE_BF16
                                                                  : AN_DTYPE_FP32;
    OK(r.b->open(&r.device, 0, &r.ctx->host));
    OK(r.b->queue_open(&r.queue, r.device, scratch(&r, conv, dense)));
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
    OK(r->b->queue_open(&r->queue, r->device, bytes));
}

int is_vector(const rig *r)
{
    return r->b == an__cpu_path(AN_CPU_PATH_AVX2) ||
           r->b == an__cpu_path(AN_CPU_PATH_AVX512);
}

int fuses(const rig *r, an_pattern pattern)
{
    return r->b->fused != NULL && (r->b->fused->patterns & 1u << pattern) != 0;
}

/* --- the case that runs ------------------------------------------------------------ */

static struct {
    int index; /* of the test, whose name Check knows */
    const char *place;
    uint32_t threads, precision, noise;
    uint64_t bits; /* of its results, by which runs are compared */
} now;

const char *case_text(void)
{
    const char *plugin = getenv("AN_TEST_CARD"), *alone = getenv("AN_TEST_CARD_ALONE");
    static char text[8192];

    snprintf(text, sizeof text,
             "\n    on: %s, precision %s, %u threads\n    shape: %s\n    again: "
             "%s%s%s%sAN_TEST=%s:%d CK_RUN_SUITE=%s %s",
             now.place, precision_names[now.precision], now.threads, description(),
             plugin != NULL ? "AN_TEST_CARD=" : "", plugin != NULL ? plugin : "",
             plugin != NULL ? " " : "", alone != NULL ? "AN_TEST_CARD_ALONE=1 " : "",
             tcase_name(), now.index, suite_of_test(tcase_name()),
             program_invocation_name);
    return text;
}

void ok_at(const char *file, int line, const char *call, an_status got)
{
    if (got == AN_OK) return;
    ck_abort_msg("%s:%d: %s: wanted ok, got %s: \"%s\"%s", file, line, call,
                 an_status_string(got), an_error_message(), case_text());
}

void case_bits(const float *values, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        uint32_t word;

        memcpy(&word, &values[i], sizeof word);
        now.bits = (now.bits ^ word) * 1099511628211u;
    }
}

float case_noise(void)
{
    now.noise = now.noise * 1664525u + 1013904223u;
    return (float)(now.noise >> 8) / 8388608.0f - 1;
}

/* --- everywhere -------------------------------------------------------------------- */

/* A case, and what its queue's scratch is to suffice for. */
typedef struct run {
    int index;
    case_fn *body;
    const an_conv_shape *conv;
    const an_dense_shape *dense;
    const void *arg;
} run;

static const uint32_t thread_counts[] = {1, 2, 3, 8};

/* Runs a case with the first numbers of threads; all must give the same bits. */
static void run_at(const place *at, int runs, uint32_t precision, const run *c)
{
    uint64_t first = 0;
    int i;

    for (i = 0; i < runs; i++) {
        rig r;

        describe("not yet said");
        now.index = c->index;
        now.place = at->name;
        now.threads = thread_counts[i];
        now.precision = precision;
        now.noise = 1;
        now.bits = 1;
        r = open_rig(at, thread_counts[i], precision, c->conv, c->dense);
        c->body(&r, c->arg);
        close_rig(&r);
        if (i == 0) first = now.bits;
        ck_assert_msg(now.bits == first, "run %d gives other bits than the first%s", i,
                      case_text());
    }
}

static const place paths[] = {{"reference", NULL, AN_CPU_PATH_REFERENCE, 0, 0},
                              {"avx2", NULL, AN_CPU_PATH_AVX2, 0, 0},
                              {"avx512", NULL, AN_CPU_PATH_AVX512, 0, 0}};

static void run_everywhere(const uint32_t *precisions, uint32_t count, const run *c)
{
    const place minimal = {"minimal", minimal_path(), AN_CPU_PATH_BEST, 0, 0};
    const place hopper = {"host run", host_run_path(), AN_CPU_PATH_BEST, 9, 0};
    const place ampere = {"host run of 8.0", host_run_path(), AN_CPU_PATH_BEST, 8, 0};
    const place card = {"card", card_path(), AN_CPU_PATH_BEST, 0, 0};
    int runs =
        host_run_planted() ? 1 : 2; /* of the others one: kernels are mostly the same */
    int card_alone = getenv("AN_TEST_CARD_ALONE") != NULL;
    size_t i;

    if (!card_alone && !host_run_planted()) {
        for (i = 0; i < sizeof paths / sizeof paths[0]; i++)
            if (an__cpu_path(paths[i].path) != NULL) run_at(&paths[i], 4, 0, c);
        run_at(&minimal, 1, AN_PRECISION_FP32, c);
    }
    for (i = 0; i < count; i++) {
        if (card.plugin != NULL) run_at(&card, 2, precisions[i], c);
        if (card_alone) continue;
        run_at(&hopper, precisions[i] == AN_PRECISION_TF32X3 ? 1 : runs, precisions[i],
               c);
        if (precisions[i] == AN_PRECISION_BF16 || precisions[i] == AN_PRECISION_TF32)
            /* which have other kernels there */
            run_at(&ampere, 1, precisions[i], c);
    }
}

void run_on_all_of(int index, uint32_t precisions, case_fn *body,
                   const an_conv_shape *conv, const an_dense_shape *dense,
                   const void *arg)
{
    static const uint32_t all[] = {AN_PRECISION_FP32, AN_PRECISION_TF32,
                                   AN_PRECISION_BF16, AN_PRECISION_TF32X3};
    const run c = {index, body, conv, dense, arg};

    run_everywhere(all, precisions, &c);
}

void run_on_all(int index, case_fn *body, const void *arg)
{
    static const uint32_t tensors[] = {AN_PRECISION_FP32, AN_PRECISION_BF16};
    const run c = {index, body, NULL, NULL, arg};

    run_everywhere(tensors, 2, &c);
}

/* --- on the CPU -------------------------------------------------------------------- */

/* Where an array's end is that of memory, what reads on must be found by its name. */
__attribute__((unused)) static void tell_name(int number)
{
    static const char begin[] = "not this array's memory, at or after: ";
    const char *text = description();

    if (write(STDERR_FILENO, begin, sizeof begin - 1) < 0 ||
        write(STDERR_FILENO, text, strlen(text)) < 0 || write(STDERR_FILENO, "\n", 1) < 0)
        errno = 0; /* there is nobody to tell */
    signal(number, SIG_DFL);
    raise(number);
}

static void run_on_paths(int runs, const run *c)
{
    size_t i;

#ifndef __SANITIZE_ADDRESS__ /* which tells more */
    signal(SIGSEGV, tell_name);
#endif
    for (i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        place at = paths[i];

        at.fenced = 1;
        if (an__cpu_path(at.path) != NULL) run_at(&at, runs, 0, c);
    }
}

void run_on_cpu(int index, case_fn *body, const an_conv_shape *conv,
                const an_dense_shape *dense, const void *arg)
{
    const run c = {index, body, conv, dense, arg};

    run_on_paths(4, &c);
}

void run_on_cpu_alone(int index, case_fn *body, const void *arg)
{
    const run c = {index, body, NULL, NULL, arg};

    run_on_paths(1, &c);
}

void rig_report(void)
{
    size_t i;

    for (i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (an__cpu_path(paths[i].path) == NULL)
            printf("not run: the %s path, which this processor lacks\n", paths[i].name);
}
