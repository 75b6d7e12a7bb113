/*
 * test_weights.c - whatever changes a model's weights, what is computed next is computed
 * with the new ones: on every path of the CPU, for every number of images that has
 * weights in an order of its own, in either precision. And what towers have sent each
 * other.
 */
#define _XOPEN_SOURCE 700
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"
#include "memfile.h"
#include "scratch.h"
#include "small.h"
#include "test.h"
#include "trials.h"

/* With 16 dense layers are products, and convolutions of few pixels are done another
 * way. */
static const uint32_t counts[] = {1, 3, 16};
enum { COUNTS = 3, MOST = 17, BATCH = 4, PICTURES = 6, MOST_SIDE = 111 };

typedef struct subject {
    an_context *ctx;
    an_model_config config;
    an_model *model;
    an_trainer *trainer;
    an_loader *loader;
    float *images;
    uint8_t *pixels;
    uint32_t path, side; /* side: of a picture */
    int32_t labels[MOST];
    char file[64];
} subject;

static int fetch(uint64_t index, an_sample *sample, void *user)
{
    subject *s = user;

    sample->pixels = s->pixels + index * s->side * s->side * 3;
    sample->width = sample->height = s->side;
    sample->label = (int32_t)index;
    return 0;
}

static an_trainer_config training(void)
{
    an_trainer_config c = small_training(BATCH);

    c.rate = 0.05f;
    return c;
}

static void open_loader(subject *s)
{
    an_loader_config c;
    an_source source;

    an_source_init(&source, sizeof source);
    source.count = PICTURES;
    source.fetch = fetch;
    source.user = s;
    an_loader_config_init(&c, sizeof c);
    c.batch = BATCH;
    expect_ok(an_loader_create(&s->loader, s->model, &source, &c));
}

/* null where the processor lacks the path */
static subject *open_subject(uint32_t arch, uint32_t path, uint32_t precision)
{
    subject *s = calloc(1, sizeof *s);
    an_trainer_config c = training();
    an_preprocessing p;
    size_t numbers;
    uint32_t i;

    s->ctx = small_context(1, path);
    if (s->ctx == NULL) {
        free(s);
        return NULL;
    }
    s->path = path;
    s->config = small_config(arch);
    s->config.precision = precision;
    s->config.width /= 2;
    expect_ok(an_model_create(&s->model, s->ctx, &s->config));
    expect_ok(an_trainer_create(&s->trainer, s->model, &c));
    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_get_preprocessing(s->model, &p));
    s->side = p.side;
    ck_assert_uint_le(s->side, MOST_SIDE);
    for (i = 0; i < 3; i++) p.scale[i] = 1 / 64.0f; /* as the floats below */
    expect_ok(an_model_set_preprocessing(s->model, &p));
    s->pixels = malloc((size_t)PICTURES * s->side * s->side * 3);
    noise_bytes(s->pixels, (size_t)PICTURES * s->side * s->side * 3, 4);
    numbers = (size_t)MOST * 3 * s->config.image_size * s->config.image_size;
    s->images = malloc(numbers * sizeof *s->images);
    noise_floats(s->images, numbers, 3, 1);
    for (i = 0; i < MOST; i++) s->labels[i] = (int32_t)(i * 7 % SMALL_CLASSES);
    open_loader(s);
    scratch_file(s->file);
    return s;
}

static void close_subject(subject *s)
{
    an_loader_destroy(s->loader);
    an_trainer_destroy(s->trainer);
    an_model_destroy(s->model);
    an_context_destroy(s->ctx);
    free(s->images);
    free(s->pixels);
    remove(s->file);
    free(s);
}

/* --- a model that has never computed ----------------------------------------------- */

static an_model *model_like(const subject *s)
{
    an_model *fresh;
    uint32_t i;

    expect_ok(an_model_create(&fresh, s->ctx, &s->config));
    for (i = 0; i < fresh->net.plan->param_count; i++) {
        size_t count;
        float *w = parameter_of(s->model, i, &count);

        expect_ok(an_parameter_set(fresh, i, w, count));
        free(w);
    }
    return fresh;
}

/* kinds: of the numbers of images, the first so many. */
static void infer_all(an_model *model, const subject *s, uint32_t kinds,
                      float p[COUNTS][MOST * 10])
{
    uint32_t i;

    for (i = 0; i < kinds; i++)
        expect_ok(an_infer(model, s->images, counts[i], p[i], ENOUGH));
}

/* Its answers are the bits that such a model gives with the same weights. */
static void expect_weights_for(const subject *s, uint32_t kinds, const char *what)
{
    static float got[COUNTS][MOST * 10], want[COUNTS][MOST * 10];
    an_model *fresh = model_like(s);
    an_evaluation a, b;
    uint32_t i;

    infer_all(s->model, s, kinds, got);
    infer_all(fresh, s, kinds, want);
    for (i = 0; i < kinds; i++)
        expect_floats(got[i], want[i], counts[i] * SMALL_CLASSES, 0,
                      "%s: %s, path %u, precision %u, %u images", what,
                      an_arch_name(s->config.arch), s->path, s->config.precision,
                      counts[i]);
    an_evaluation_init(&a, sizeof a);
    an_evaluation_init(&b, sizeof b);
    expect_ok(an_evaluate(s->model, s->images, s->labels, 3, &a));
    expect_ok(an_evaluate(fresh, s->images, s->labels, 3, &b));
    expect_number(a.loss, b.loss, 0, "%s: an evaluation", what);
    an_model_destroy(fresh);
}

static void expect_new_weights(const subject *s, const char *what)
{
    expect_weights_for(s, COUNTS, what);
}

/* --- all that changes weights ------------------------------------------------------ */

static void set_one(subject *s, uint32_t index)
{
    size_t count, j;
    float *w = parameter_of(s->model, index, &count);

    for (j = 0; j < count; j++) w[j] = w[j] * 1.25f + 0.001f;
    expect_ok(an_parameter_set(s->model, index, w, count));
    free(w);
}

/* Of the small net one after the other, each being looked at. */
static void by_set(subject *s)
{
    uint32_t i;

    for (i = 0; i < s->model->net.plan->param_count; i++) {
        set_one(s, i);
        if (s->config.arch == AN_ARCH_CIFAR10)
            expect_weights_for(s, 1, s->model->net.plan->params[i].name);
    }
}

static void by_step(subject *s)
{
    expect_ok(an_train_step(s->trainer, s->images, s->labels, BATCH, NULL));
}

static void by_another_trainer(subject *s)
{
    an_trainer_config c = training();

    c.micro_batch = 3;
    an_trainer_destroy(s->trainer);
    expect_ok(an_trainer_create(&s->trainer, s->model, &c));
}

static void by_pieces(subject *s)
{
    by_another_trainer(s);
    by_step(s);
}

static void by_pictures(subject *s)
{
    an_image pictures[PICTURES];
    uint32_t i;

    for (i = 0; i < PICTURES; i++) {
        an_image_init(&pictures[i], sizeof pictures[i]);
        pictures[i].pixels = s->pixels + i * s->side * s->side * 3;
        pictures[i].width = pictures[i].height = s->side;
    }
    expect_ok(an_train_step_images(s->trainer, pictures, s->labels, BATCH, NULL));
}

static an_batch next_batch(subject *s)
{
    an_batch batch;

    an_batch_init(&batch, sizeof batch);
    expect_ok(an_loader_next(s->loader, &batch));
    return batch;
}

static void by_batch(subject *s)
{
    an_batch batch = next_batch(s);

    expect_ok(an_train_step_batch(s->trainer, &batch, NULL));
}

/* While a step is in flight nothing is answered but how many have ended. */
static void expect_busy(subject *s)
{
    uint8_t note[AN_TRAINER_NOTE_BYTES] = {0};
    an_trainer *t = s->trainer, *second = NULL;
    an_trainer_config c = training();
    an_batch batch;
    float x[10];
    uint32_t n;
    struct {
        const char *call;
        an_status status;
    } calls[] = {
        {"an_infer", an_infer(s->model, s->images, 1, x, ENOUGH)},
        {"an_parameter_get", an_parameter_get(s->model, 1, x, 1)},
        {"an_parameter_set", an_parameter_set(s->model, 1, x, 1)},
        {"an_model_save", an_model_save(s->model, s->file)},
        {"an_trainer_create", an_trainer_create(&second, s->model, &c)},
        {"an_trainer_save", an_trainer_save(t, s->file)},
        {"an_trainer_write", an_trainer_write(t, memfile_write, NULL)},
        {"an_train_step", an_train_step(t, s->images, s->labels, 1, NULL)},
        {"an_train_step_batch", an_train_step_batch(t, &batch, NULL)},
        {"an_trainer_get_config", an_trainer_get_config(t, &c)},
        {"an_trainer_set_rates", an_trainer_set_rates(t, 1, 1)},
        {"an_trainer_set_layer_rates", an_trainer_set_layer_rates(t, "conv1", 1, 1)},
        {"an_trainer_get_layer_rates", an_trainer_get_layer_rates(t, "conv1", x, x + 1)},
        {"an_trainer_set_schedule", an_trainer_set_schedule(t, NULL, 0)},
        {"an_trainer_end_epoch", an_trainer_end_epoch(t, 1, NULL)},
        {"an_trainer_epoch", an_trainer_epoch(t, &n, &n)},
        {"an_trainer_get_gradient", an_trainer_get_gradient(t, 0, x, 1)},
        {"an_trainer_set_note", an_trainer_set_note(t, note)},
        {"an_trainer_get_note", an_trainer_get_note(t, note)},
        {"an_recipe_schedule", an_recipe_schedule("paper", t, 0, 0)},
    };
    size_t i;

    for (i = 0; i < sizeof calls / sizeof calls[0]; i++)
        expect_count(calls[i].status, AN_ERROR_STATE, "%s beside a step", calls[i].call);
}

/* In two halves; while it is in flight the model is the step's, which counts when it has
 * ended. */
static void by_halves(subject *s)
{
    uint64_t before = an_trainer_iteration(s->trainer);
    an_batch batch = next_batch(s);
    an_step_stats stats;

    an_step_stats_init(&stats, sizeof stats);
    expect_refused(an_train_step_end(s->trainer, &stats), AN_ERROR_STATE,
                   "no step is in flight");
    expect_ok(an_train_step_begin(s->trainer, &batch));
    expect_busy(s);
    expect_refused(an_train_step_begin(s->trainer, &batch), AN_ERROR_STATE,
                   "no step beside another");
    expect_count(an_trainer_iteration(s->trainer), before, "steps that have ended");
    expect_ok(an_train_step_end(s->trainer, &stats));
    expect_count(stats.iteration, before + 1, "a step's number");
    expect_count(an_trainer_iteration(s->trainer), before + 1, "steps that have ended");
    ck_assert_msg(stats.loss > 0, "a step's loss is %g", stats.loss);
    batch = next_batch(s); /* who wants no stats gets none; a trainer may go meanwhile */
    expect_ok(an_train_step_begin(s->trainer, &batch));
    expect_ok(an_train_step_end(s->trainer, NULL));
    batch = next_batch(s);
    expect_ok(an_train_step_begin(s->trainer, &batch));
    by_another_trainer(s);
}

static void by_transfer(subject *s)
{
    an_model_config other = s->config;
    an_trainer_config c = training();
    an_model *from;

    other.seed = 1234;
    expect_ok(an_model_create(&from, s->ctx, &other));
    an_trainer_destroy(s->trainer);
    s->trainer = NULL;
    expect_ok(an_model_transfer(s->model, from, NULL, NULL));
    an_model_destroy(from);
    expect_ok(an_trainer_create(&s->trainer, s->model, &c));
}

/* The file's trainer goes on with a model that has inferred already. */
static void by_resumed_step(subject *s)
{
    expect_ok(an_trainer_save(s->trainer, s->file));
    an_trainer_destroy(s->trainer);
    s->trainer = NULL;
    expect_ok(an_trainer_load(&s->trainer, s->model, s->file));
    expect_new_weights(s, "a trainer loaded");
    by_step(s);
}

/* Its weights lie in the file's pages, until they are written to. */
static void by_mapped_step(subject *s)
{
    an_load_config load;

    an_load_config_init(&load, sizeof load);
    load.precision = s->config.precision;
    expect_ok(an_trainer_save(s->trainer, s->file));
    an_loader_destroy(s->loader);
    an_trainer_destroy(s->trainer);
    an_model_destroy(s->model);
    expect_ok(an_model_load(&s->model, s->ctx, s->file, &load));
    expect_ok(an_trainer_load(&s->trainer, s->model, s->file));
    open_loader(s);
    ck_assert_ptr_nonnull(s->model->mapping.base);
    expect_new_weights(s, "a model mapped");
    by_step(s);
}

static void by_nothing(subject *s)
{
    an_layer_time rows[AN_MAX_LAYERS];
    float *bad = malloc(sizeof *bad * BATCH * 3 * 128 * 128);
    memfile before = memfile_of_trainer(s->trainer), after;
    uint32_t i;

    for (i = 0; i < s->model->net.plan->row.layers; i++)
        an_layer_time_init(&rows[i], sizeof rows[i]);
    expect_ok(an_model_profile(s->model, 2, 1, rows, s->model->net.plan->row.layers));
    expect_ok(an_model_profile(s->model, 16, 0, rows, s->model->net.plan->row.layers));
    noise_floats(bad, (size_t)BATCH * 3 * 128 * 128, 5, 1);
    bad[1] = NAN;
    expect_refused(an_train_step(s->trainer, bad, s->labels, BATCH, NULL),
                   AN_ERROR_DIVERGED, "input");
    after = memfile_of_trainer(s->trainer);
    expect_count(after.bytes, before.bytes, "a trainer's file");
    expect_bytes(after.data, before.data, before.bytes, "a trainer's file");
    memfile_free(&before);
    memfile_free(&after);
    free(bad);
}

static const struct {
    const char *name;
    void (*change)(subject *s);
    int changes;
} ways[] = {{"an_parameter_set", by_set, 1},
            {"an_train_step", by_step, 1},
            {"an_train_step in pieces", by_pieces, 1},
            {"an_train_step_images", by_pictures, 1},
            {"an_train_step_batch", by_batch, 1},
            {"an_train_step_begin and _end", by_halves, 1},
            {"an_model_transfer", by_transfer, 1},
            {"an_trainer_load and a step", by_resumed_step, 1},
            {"an_model_load, mapped, and a step", by_mapped_step, 1},
            {"a profile and a step that diverged", by_nothing, 0}};

static const uint32_t archs[] = {AN_ARCH_CIFAR10, AN_ARCH_PAPER};
static const uint32_t precisions[] = {AN_PRECISION_FP32, AN_PRECISION_BF16};

START_TEST(what_is_computed_next_has_the_new_weights)
{
    uint32_t path, kind;

    for (path = AN_CPU_PATH_REFERENCE; path <= AN_CPU_PATH_AVX512; path++)
        for (kind = 0; kind < 4; kind++) {
            static float before[COUNTS][MOST * 10];
            subject *s = open_subject(archs[kind / 2], path, precisions[kind % 2]);
            float after[SMALL_CLASSES];

            if (s == NULL) continue;
            infer_all(s->model, s, COUNTS,
                      before); /* with weights in order for each number */
            ways[_i].change(s);
            expect_new_weights(s, ways[_i].name);
            expect_ok(an_infer(s->model, s->images, 1, after, ENOUGH));
            if (ways[_i].changes)
                expect_other_floats(after, before[0], SMALL_CLASSES, "%s", ways[_i].name);
            else
                expect_floats(after, before[0], SMALL_CLASSES, 0, "%s", ways[_i].name);
            if (s->config.arch == AN_ARCH_CIFAR10) { /* and a second time */
                ways[_i].change(s);
                expect_new_weights(s, ways[_i].name);
            }
            close_subject(s);
        }
}
END_TEST

/* A step, too, computes with weights that were set after another one: its loss is that of
 * a model made with them. (CIFAR10's net has no dropout, which would be that of the
 * step.) */
START_TEST(a_step_has_the_weights_that_were_set)
{
    uint32_t path, round, i;

    for (path = AN_CPU_PATH_REFERENCE; path <= AN_CPU_PATH_AVX512; path++) {
        subject *s = open_subject(AN_ARCH_CIFAR10, path, precisions[_i]);

        if (s == NULL) continue;
        for (round = 0; round < 3; round++) {
            an_trainer_config c = training();
            an_step_stats a, b;
            an_trainer *trainer;
            an_model *fresh;

            for (i = 0; i < s->model->net.plan->param_count; i++) set_one(s, i);
            fresh = model_like(s);
            expect_ok(an_trainer_create(&trainer, fresh, &c));
            an_step_stats_init(&a, sizeof a);
            an_step_stats_init(&b, sizeof b);
            expect_ok(an_train_step(s->trainer, s->images, s->labels, BATCH, &a));
            expect_ok(an_train_step(trainer, s->images, s->labels, BATCH, &b));
            expect_number(a.loss, b.loss, 0, "path %u, round %u", path, round);
            an_trainer_destroy(trainer);
            an_model_destroy(fresh);
        }
        close_subject(s);
    }
}
END_TEST

/* --- copies in bfloat16 ------------------------------------------------------------ */

/* To 8 significant bits, to nearest, ties to even; below 2^-126 to multiples of
 * 2^-133. */
static float rounded(float x)
{
    int exponent;
    double unit;

    if (x == 0) return x;
    frexp((double)x, &exponent);
    unit = ldexp(1, (exponent < -125 ? -125 : exponent) - 8);
    return (float)(rint((double)x / unit) * unit);
}

/* Every third weight a tie between two bfloat16 numbers, above an even or an odd one. */
static void set_ties(an_model *model, int round)
{
    uint32_t i, seed = 5;

    for (i = 0; i < model->net.plan->param_count; i++) {
        size_t count, j;
        float *w;

        if (model->net.plan->params[i].is_bias || model->net.plan->params[i].dims != 2)
            continue;
        w = parameter_of(model, i, &count);
        for (j = 0; j < count; j++) {
            float eighth = (float)(129 + 2 * trial_below(&seed, 63)); /* odd: 9 bits */

            if (j % 3 == 0)
                w[j] = ldexpf(w[j] < 0 ? -(2 * eighth + 1) : 2 * eighth + 1, -13);
            if (j % 3 == 1)
                w[j] = ldexpf(w[j] < 0 ? -(2 * eighth - 1) : 2 * eighth - 1, -13);
            if (j == 5) w[j] = 1e-40f;
            if (round) w[j] = rounded(w[j]);
        }
        expect_ok(an_parameter_set(model, i, w, count));
        free(w);
    }
}

static void infer_ties(an_context *ctx, uint32_t precision, int round,
                       const float *images, uint32_t count, float *p)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    an_model *model;

    config.precision = precision;
    expect_ok(an_model_create(&model, ctx, &config));
    set_ties(model, round);
    expect_ok(an_infer(model, images, count, p, ENOUGH));
    an_model_destroy(model);
}

/* Fewer than 16 images of a model that allows bfloat16 are computed with dense weights
 * rounded to it, but on the reference path; 16 and more, and any of another model, with
 * the weights. */
START_TEST(dense_weights_are_rounded_where_the_header_says)
{
    static const uint32_t numbers[] = {1, 2, 15, 16};
    float *images = malloc(MOST * 3 * 79 * 79 * sizeof *images);
    uint32_t path, i;

    noise_floats(images, MOST * 3 * 79 * 79, 3, 1);
    for (path = AN_CPU_PATH_REFERENCE; path <= AN_CPU_PATH_AVX512; path++) {
        an_context *ctx = small_context(1, path);

        for (i = 0; ctx != NULL && i < sizeof numbers / sizeof numbers[0]; i++) {
            float narrow[MOST * 10], wide[MOST * 10], own[MOST * 10];
            uint32_t n = numbers[i];
            int is_narrow = n < 16 && path != AN_CPU_PATH_REFERENCE;

            infer_ties(ctx, AN_PRECISION_BF16, 0, images, n, narrow);
            infer_ties(ctx, AN_PRECISION_FP32, 0, images, n, wide);
            infer_ties(ctx, AN_PRECISION_BF16, 1, images, n, own);
            expect_floats(narrow, is_narrow ? own : wide, n * 10, 0, "path %u, %u images",
                          path, n);
            expect_other_floats(own, wide, n * 10, "path %u, %u images: rounded here",
                                path, n);
        }
        an_context_destroy(ctx);
    }
    free(images);
}
END_TEST

/* --- what towers send each other --------------------------------------------------- */

static uint64_t exchanged(const an_model *model, uint64_t *per_image)
{
    an_model_info info;

    an_model_info_init(&info, sizeof info);
    expect_ok(an_model_describe(model, &info));
    *per_image = info.exchange_floats;
    return info.exchanged_floats;
}

/* What an inference of n images, an evaluation, or a step by pieces sends: each image
 * forward, and in a step as much back; below the lowest layer that learns nothing goes
 * back. */
START_TEST(what_towers_send_is_counted)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    an_trainer_config c = small_training(5);
    an_layer_info conv2;
    uint64_t image, want = 0, joined;
    an_evaluation e;
    float p[50];
    bench b;

    config.towers = 2;
    c.micro_batch = _i ? 2 : 0;
    bench_open(&b, &config, &c, 1);
    expect_count(exchanged(b.model, &image), 0, "a new model");
    ck_assert_uint_gt(image, 0);
    expect_ok(an_infer(b.model, b.images, 3, p, ENOUGH));
    expect_count(exchanged(b.model, &image), want += 3 * image, "3 images inferred");
    an_evaluation_init(&e, sizeof e);
    expect_ok(an_evaluate(b.model, b.images, b.labels, 2, &e));
    expect_count(exchanged(b.model, &image), want += 2 * image, "2 images evaluated");
    bench_step(&b);
    expect_count(exchanged(b.model, &image), want += 5 * 2 * image, "a step of 5");
    expect_ok(an_train_step(b.trainer, b.images, b.labels, 1, NULL));
    expect_count(exchanged(b.model, &image), want += 2 * image, "a step of 1");

    /* conv3, which reads both halves of conv2's maps, is the lowest that learns. */
    an_layer_info_init(&conv2, sizeof conv2);
    expect_ok(an_layer_describe(b.model, 1, &conv2));
    joined = (uint64_t)conv2.out_maps * conv2.out_height * conv2.out_width;
    expect_ok(an_trainer_set_layer_rates(b.trainer, "conv1", 0, 0));
    expect_ok(an_trainer_set_layer_rates(b.trainer, "conv2", 0, 0));
    bench_step(&b);
    expect_count(exchanged(b.model, &image), want += 5 * (2 * image - joined),
                 "a step of 5 from conv3 on");
    bench_close(&b);

    config.towers = 1;
    bench_open(&b, &config, &c, 1);
    bench_step(&b);
    expect_count(exchanged(b.model, &image), 0, "one tower");
    expect_count(image, 0, "one tower");
    bench_close(&b);
}
END_TEST

Suite *weights_suite(void)
{
    Suite *suite = suite_create("weights");
    TCase *tc = tcase_create("weights");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, what_is_computed_next_has_the_new_weights, 0,
                        sizeof ways / sizeof ways[0]);
    tcase_add_loop_test(tc, a_step_has_the_weights_that_were_set, 0, 2);
    tcase_add_test(tc, dense_weights_are_rounded_where_the_header_says);
    tcase_add_loop_test(tc, what_towers_send_is_counted, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}
