/*
 * small.c - a small network with a trainer and some images.
 */
#define _XOPEN_SOURCE 700
#include "small.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"

void noise_floats(float *x, size_t count, uint32_t seed, float scale)
{
    size_t i;

    for (i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = ((float)(seed >> 8) / 8388608.0f - 1) * scale;
    }
}

void noise_bytes(uint8_t *x, size_t count, uint32_t seed)
{
    size_t i;

    for (i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (uint8_t)(seed >> 24);
    }
}

an_model_config small_config(uint32_t arch)
{
    an_model_config config;

    an_model_config_init(&config, sizeof config);
    config.arch = arch;
    config.classes = SMALL_CLASSES;
    config.width = arch == AN_ARCH_CIFAR10 ? 0.25f : 0.04f;
    config.image_size = arch == AN_ARCH_CIFAR10 ? 32 : 79;
    config.initialisation = AN_INIT_FAN_IN;
    config.seed = 5;
    return config;
}

an_model_config tiny_config(void)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);

    config.width = 0.1f;
    config.image_size = TINY_SIDE;
    config.initialisation = AN_INIT_HE;
    return config;
}

an_context *small_context(uint32_t threads, uint32_t path)
{
    an_context_config c;
    an_context *ctx = NULL;
    an_status status;

    an_context_config_init(&c, sizeof c);
    c.threads = threads;
    c.cpu_path = path;
    status = an_context_create(&ctx, &c);
    ck_assert_msg(status == AN_OK || status == AN_ERROR_BACKEND, "%s",
                  an_error_message());
    return ctx;
}

an_trainer_config small_training(uint32_t batch)
{
    an_trainer_config training;

    an_trainer_config_init(&training, sizeof training);
    training.batch = batch;
    training.seed = 11;
    return training;
}

/* Of the batch's images. */
static size_t numbers_of(const bench *b)
{
    size_t side = b->model->net.plan->config.image_size;

    return 3 * side * side * b->batch;
}

void bench_open(bench *b, const an_model_config *config,
                const an_trainer_config *training, uint32_t threads)
{
    an_context_config context;
    uint32_t i;

    b->batch = training == NULL ? SMALL_BATCH : training->batch;
    if (b->batch > SMALL_BATCH) b->batch = SMALL_BATCH;
    b->trainer = NULL;
    an_context_config_init(&context, sizeof context);
    context.threads = threads;
    expect_ok(an_context_create(&b->ctx, &context));
    expect_ok(an_model_create(&b->model, b->ctx, config));
    if (training != NULL) expect_ok(an_trainer_create(&b->trainer, b->model, training));
    b->images = malloc(numbers_of(b) * sizeof *b->images);
    noise_floats(b->images, numbers_of(b), 9, 1);
    for (i = 0; i < SMALL_BATCH; i++) b->labels[i] = (int32_t)(i * 3 % SMALL_CLASSES);
}

void bench_resume(bench *b, const bench *from, const char *path)
{
    an_context_config context;

    an_context_config_init(&context, sizeof context);
    context.threads = an_context_threads(from->ctx);
    expect_ok(an_context_create(&b->ctx, &context));
    expect_ok(an_model_load(&b->model, b->ctx, path, NULL));
    expect_ok(an_trainer_load(&b->trainer, b->model, path));
    b->batch = from->batch;
    b->images = malloc(numbers_of(b) * sizeof *b->images);
    memcpy(b->images, from->images, numbers_of(b) * sizeof *b->images);
    memcpy(b->labels, from->labels, sizeof b->labels);
}

void bench_close(bench *b)
{
    an_trainer_destroy(b->trainer);
    an_model_destroy(b->model);
    an_context_destroy(b->ctx);
    free(b->images);
}

double bench_step(bench *b)
{
    an_step_stats stats;

    an_step_stats_init(&stats, sizeof stats);
    expect_ok(an_train_step(b->trainer, b->images, b->labels, b->batch, &stats));
    return stats.loss;
}

void bench_steps(bench *b, uint32_t steps)
{
    while (steps-- > 0) bench_step(b);
}

float *parameter_of(const an_model *model, uint32_t index, size_t *count)
{
    an_parameter_info info;
    float *values;

    an_parameter_info_init(&info, sizeof info);
    expect_ok(an_parameter_describe(model, index, &info));
    *count = (size_t)info.count;
    values = malloc(*count * sizeof *values);
    expect_ok(an_parameter_get(model, index, values, *count));
    return values;
}

float *gradient_of(const an_trainer *trainer, uint32_t index, size_t *count)
{
    float *values = parameter_of(trainer->model, index, count);

    expect_ok(an_trainer_get_gradient(trainer, index, values, *count));
    return values;
}

double parameter_apart(const an_model *a, const an_model *b, uint32_t index)
{
    size_t count, again, i;
    float *x = parameter_of(a, index, &count), *y = parameter_of(b, index, &again);
    double worst = 0, largest = 1e-30;

    expect_count(again, count, "numbers of parameter %u", index);
    for (i = 0; i < count; i++) {
        double apart = fabs((double)x[i] - (double)y[i]);

        if (!(apart <= worst)) worst = apart; /* NaNs stay */
        largest = fmax(largest, fabs((double)x[i]));
    }
    free(x);
    free(y);
    return worst / largest;
}

double parameters_apart(const an_model *a, const an_model *b)
{
    double worst = 0;
    uint32_t i;

    for (i = 0; i < a->net.plan->param_count; i++) {
        double apart = parameter_apart(a, b, i);

        if (!(apart <= worst)) worst = apart;
    }
    return worst;
}

void same_parameters(const an_model *got, const an_model *wanted, double bound,
                     const char *what)
{
    uint32_t i;

    expect_count(got->net.plan->param_count, wanted->net.plan->param_count, "%s", what);
    for (i = 0; i < wanted->net.plan->param_count; i++) {
        size_t count, again;
        float *x = parameter_of(got, i, &count), *y = parameter_of(wanted, i, &again);

        expect_count(count, again, "%s: numbers of %s", what,
                     wanted->net.plan->params[i].name);
        expect_floats(x, y, count, bound, "%s: %s", what,
                      wanted->net.plan->params[i].name);
        free(x);
        free(y);
    }
}

/* --- an allocator ------------------------------------------------------------------ */

/* Before each block, of the largest alignment that C's types have. */
typedef union head {
    struct {
        size_t bytes;
        uint64_t mark;
    } is;
    long double aligned;
} head;

#define HELD 0x68656c64u

static void *counted_alloc(size_t bytes, void *user)
{
    counted *c = user;
    long call = __atomic_add_fetch(&c->calls, 1, __ATOMIC_SEQ_CST);
    size_t held, most;
    head *block;

    if (bytes == 0) __atomic_add_fetch(&c->wrong, 1, __ATOMIC_SEQ_CST);
    if (call == c->fail_at) return NULL;
    block = malloc(sizeof *block + bytes);
    if (block == NULL) return NULL;
    block->is.bytes = bytes;
    block->is.mark = HELD;
    __atomic_add_fetch(&c->blocks, 1, __ATOMIC_SEQ_CST);
    held = __atomic_add_fetch(&c->bytes, bytes, __ATOMIC_SEQ_CST);
    most = __atomic_load_n(&c->most, __ATOMIC_SEQ_CST);
    while (held > most &&
           !__atomic_compare_exchange_n(&c->most, &most, held, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
        continue;
    return block + 1;
}

static void counted_release(void *memory, void *user)
{
    counted *c = user;
    head *block = (head *)memory - 1;

    if (memory == NULL || block->is.mark != HELD) {
        __atomic_add_fetch(&c->wrong, 1, __ATOMIC_SEQ_CST);
        return;
    }
    block->is.mark = 0;
    __atomic_sub_fetch(&c->blocks, 1, __ATOMIC_SEQ_CST);
    __atomic_sub_fetch(&c->bytes, block->is.bytes, __ATOMIC_SEQ_CST);
    free(block);
}

void counted_allocator(an_context_config *config, counted *c)
{
    memset(c, 0, sizeof *c);
    config->alloc = counted_alloc;
    config->release = counted_release;
    config->alloc_user = c;
}

void fill_parameter(an_model *model, const char *name, float value)
{
    uint32_t index;
    size_t count, i;
    float *w;

    expect_ok(an_parameter_find(model, name, &index));
    w = parameter_of(model, index, &count);
    for (i = 0; i < count; i++) w[i] = value;
    expect_ok(an_parameter_set(model, index, w, count));
    free(w);
}
