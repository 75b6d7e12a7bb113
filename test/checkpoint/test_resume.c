/*
 * test_resume.c - a trainer's file holds all of it: whatever was set comes back, and a
 * run that goes on from it ends with the bits of one that was never stopped.
 */
#define _XOPEN_SOURCE 700
#include <check.h>
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

enum { MOST_BATCH = 4 };

/* A trainer on made-up data, which is the same for the same place in a run. */
typedef struct run {
    an_context *ctx;
    an_model *model;
    an_trainer *trainer;
} run;

static run open_run(uint32_t *seed)
{
    an_trainer_config c;
    run r;

    r.ctx = small_context(1, AN_CPU_PATH_BEST);
    r.model = trial_model(r.ctx, seed);
    trial_prepare(seed, r.model);
    c = trial_training(seed);
    expect_ok(an_trainer_create(&r.trainer, r.model, &c));
    return r;
}

static void close_run(run *r)
{
    an_trainer_destroy(r->trainer);
    an_model_destroy(r->model);
    an_context_destroy(r->ctx);
}

/* From memory, from a file that is mapped, or from one that is copied: way 0, 1, 2. */
static run resume(memfile *m, uint32_t towers, int way)
{
    an_load_config load;
    char path[64];
    run r;

    an_load_config_init(&load, sizeof load);
    load.towers = towers;
    load.copy = way == 2;
    r.ctx = small_context(1, AN_CPU_PATH_BEST);
    r.trainer = NULL;
    if (way == 0) {
        m->most = 1001;
        expect_ok(memfile_load(&r.model, r.ctx, m, &load));
        expect_ok(memfile_load_trainer(&r.trainer, r.model, m));
        return r;
    }
    scratch_file(path);
    memfile_store(m, path);
    expect_ok(an_model_load(&r.model, r.ctx, path, &load));
    expect_ok(an_trainer_load(&r.trainer, r.model, path));
    expect_count(r.model->mapping.base != NULL, way == 1, "mapped, way %d", way);
    remove(path);
    return r;
}

/* --- what is done in a run --------------------------------------------------------- */

static void step_floats(run *r, uint32_t seed, uint32_t count, an_step_stats *stats)
{
    uint32_t size = r->model->net.plan->config.image_size, i;
    size_t numbers = (size_t)MOST_BATCH * 3 * size * size;
    float *images = malloc(numbers * sizeof *images);
    int32_t labels[MOST_BATCH];

    noise_floats(images, numbers, seed, 1);
    for (i = 0; i < MOST_BATCH; i++) labels[i] = (int32_t)((seed + i * 3) % 5);
    expect_ok(an_train_step(r->trainer, images, labels, count, stats));
    free(images);
}

static void step_pictures(run *r, uint32_t seed, uint32_t count, an_step_stats *stats)
{
    uint32_t side = r->model->net.plan->config.image_size + 11, i;
    size_t bytes = (size_t)side * (side + 3) * 3;
    uint8_t *pixels = malloc(MOST_BATCH * bytes);
    an_image pictures[MOST_BATCH];
    int32_t labels[MOST_BATCH];

    noise_bytes(pixels, MOST_BATCH * bytes, seed);
    for (i = 0; i < MOST_BATCH; i++) {
        an_image_init(&pictures[i], sizeof pictures[i]);
        pictures[i].pixels = pixels + i * bytes;
        pictures[i].width = side;
        pictures[i].height = side + 3;
        labels[i] = (int32_t)((seed + i) % 5);
    }
    expect_ok(an_train_step_images(r->trainer, pictures, labels, count, stats));
    free(pixels);
}

static void set_any_layer_rates(run *r, uint32_t *seed)
{
    uint32_t layer = trial_below(seed, r->model->net.plan->row.layers), i;
    float rate[2];

    for (i = 0; i < 2; i++) {
        uint32_t kind = trial_below(seed, 4);

        rate[i] = kind == 0 ? -1 : kind == 1 ? 0 : trial_float(seed, 0, 0.02f);
    }
    expect_ok(an_trainer_set_layer_rates(
        r->trainer, r->model->net.plan->layers[layer].name, rate[0], rate[1]));
}

static void set_any_schedule(run *r, uint32_t *seed)
{
    an_rate_change changes[AN_MAX_CHANGES];
    uint32_t count = trial_changes(seed, r->model, 9, changes);

    expect_ok(an_trainer_set_schedule(r->trainer, changes, count));
}

/* One thing after the other, as the seed says; what a step or an epoch tells goes into
 * `told`. */
static void do_event(run *r, uint32_t seed, unsigned char told[128])
{
    uint32_t kind = trial_below(&seed, 10), count;
    uint8_t note[AN_TRAINER_NOTE_BYTES];
    an_step_stats stats;
    an_epoch_info info;

    memset(told, 0, 128);
    an_step_stats_init(&stats, sizeof stats);
    an_epoch_info_init(&info, sizeof info);
    count = 1 + trial_below(&seed, r->trainer->config.batch);
    switch (kind) {
    case 0: set_any_layer_rates(r, &seed); break;
    case 1: set_any_schedule(r, &seed); break;
    case 2:
        noise_bytes(note, sizeof note, seed);
        expect_ok(an_trainer_set_note(r->trainer, note));
        break;
    case 3:
    case 4:
        expect_ok(an_trainer_end_epoch(
            r->trainer, trial_below(&seed, 4) ? trial_below(&seed, 5) / 5.0 : -1, &info));
        memcpy(told, &info, sizeof info);
        break;
    case 5:
    case 6:
        step_pictures(r, seed, count, &stats);
        memcpy(told, &stats, sizeof stats);
        break;
    default:
        step_floats(r, seed, count, &stats);
        memcpy(told, &stats, sizeof stats);
        break;
    }
}

/* --- all of it comes back ---------------------------------------------------------- */

/* What no few steps come to. */
static void set_the_rare(run *r, uint32_t *seed)
{
    an_progress *at = &r->trainer->at;

    if (trial_below(seed, 2)) at->flat_logged = 1;
    if (trial_below(seed, 2)) at->iteration += trial_u64(seed) >> 1;
    if (trial_below(seed, 2)) at->epoch += 1000000000u;
    if (trial_below(seed, 2)) at->epoch_steps += 3000000000u;
    if (trial_below(seed, 2)) at->running_loss = 1.0 / 3;
    if (trial_below(seed, 2)) at->best = 1e-300;
}

static void expect_all(const run *got, const run *wanted, const char *what)
{
    same_model_config(got->model, wanted->model, what);
    same_preprocessing(got->model, wanted->model, what);
    same_class_names(got->model, wanted->model, what);
    same_trainer(got->trainer, wanted->trainer, what);
}

/* Any model and trainer with anything set; and both go on alike. */
START_TEST(whatever_was_set_comes_back)
{
    uint32_t seed = 1000 + (uint32_t)_i * 17, i;
    unsigned char told[128], again[128];
    memfile m;
    run a = open_run(&seed), b;

    set_any_schedule(&a, &seed);
    for (i = 0; i < 3; i++) set_any_layer_rates(&a, &seed);
    if (trial_below(&seed, 2))
        expect_ok(an_trainer_set_rates(a.trainer, trial_float(&seed, 0, 0.02f),
                                       trial_float(&seed, 0, 0.02f)));
    for (i = 0; i < 7; i++) do_event(&a, seed + i * 31, told);
    set_the_rare(&a, &seed);
    m = memfile_of_trainer(a.trainer);
    b = resume(&m, a.model->net.plan->towers, _i % 3);
    expect_all(&b, &a, "a trainer's file");
    for (i = 0; i < 6; i++) {
        do_event(&a, seed + 1000 + i * 31, told);
        do_event(&b, seed + 1000 + i * 31, again);
        expect_bytes(again, told, sizeof told, "what event %u tells, trial %d", i, _i);
    }
    expect_all(&b, &a, "both gone on");
    memfile_free(&m);
    close_run(&a);
    close_run(&b);
}
END_TEST

/* A model's file alone: the same of the model, and no trainer. */
START_TEST(a_models_file_has_the_model)
{
    uint32_t seed = 2000 + (uint32_t)_i * 13;
    an_load_config load;
    an_trainer *trainer = NULL;
    an_model *model;
    memfile m;
    run a = open_run(&seed);

    an_load_config_init(&load, sizeof load);
    load.towers = a.model->net.plan->towers;
    m = memfile_of_model(a.model);
    expect_ok(memfile_load(&model, a.ctx, &m, &load));
    same_model_config(model, a.model, "a model's file");
    same_preprocessing(model, a.model, "a model's file");
    same_class_names(model, a.model, "a model's file");
    same_parameters(model, a.model, 0, "a model's file");
    expect_refused(memfile_load_trainer(&trainer, model, &m), AN_ERROR_FORMAT,
                   "without a trainer");
    ck_assert_ptr_null(trainer);
    an_model_destroy(model);
    memfile_free(&m);
    close_run(&a);
}
END_TEST

/* --- going on ---------------------------------------------------------------------- */

enum { EVENTS = 14 };

/* Written before each thing that is done; from each of these files the run ends with the
 * same bits. */
START_TEST(a_run_may_be_stopped_anywhere)
{
    uint32_t seed = 3000 + (uint32_t)_i * 29, k, i;
    unsigned char told[EVENTS][128], again[128];
    memfile saved[EVENTS];
    run a = open_run(&seed);

    for (k = 0; k < EVENTS; k++) {
        saved[k] = memfile_of_trainer(a.trainer);
        do_event(&a, seed + k * 37, told[k]);
    }
    for (k = 0; k < EVENTS; k++) {
        run b = resume(&saved[k], a.model->net.plan->towers, (int)k % 3);

        for (i = k; i < EVENTS; i++) {
            do_event(&b, seed + i * 37, again);
            expect_bytes(again, told[i], sizeof again,
                         "run %d stopped before event %u: what event %u tells", _i, k, i);
        }
        expect_all(&b, &a, "a run that was stopped");
        close_run(&b);
        memfile_free(&saved[k]);
    }
    close_run(&a);
}
END_TEST

/* Writing changes nothing, and what is read again is written in the same bytes. */
START_TEST(a_file_written_again_is_the_same)
{
    uint32_t seed = 4000 + (uint32_t)_i * 41, i;
    unsigned char told[128];
    memfile m, again;
    run a = open_run(&seed), b;

    for (i = 0; i < 5; i++) do_event(&a, seed + i * 31, told);
    m = memfile_of_trainer(a.trainer);
    b = resume(&m, a.model->net.plan->towers, _i % 3);
    again = memfile_of_trainer(b.trainer);
    expect_count(again.bytes, m.bytes, "a file written again");
    expect_bytes(again.data, m.data, m.bytes, "a file written again");
    memfile_free(&again);
    again = memfile_of_trainer(a.trainer);
    expect_bytes(again.data, m.data, m.bytes, "a file of what was written");
    memfile_free(&again);
    memfile_free(&m);
    close_run(&a);
    close_run(&b);
}
END_TEST

/* --- a trainer of another network -------------------------------------------------- */

/* Each field of the network differs in turn, with a value that it may have. */
START_TEST(a_trainer_is_of_its_network)
{
    static const struct {
        const char *place, *value;
    } others[] = {{"arch", "\"caffe_alexnet\""},
                  {"config.classes", "11"},
                  {"config.image_size", "80"},
                  {"config.activation", "2"},
                  {"config.lrn", "2"},
                  {"config.pooling", "2"},
                  {"config.dropout", "2"},
                  {"config.dropout_scaling", "1"},
                  {"config.dropout_rate", "0.25"},
                  {"config.width", "0.05"},
                  {"config.groups", "1"},
                  {"config.remove_conv", "3"},
                  {"config.extra_conv", "1"},
                  {"config.initialisation", "3"},
                  {"config.seed", "\"0000000000000006\""}};
    an_model_config config = small_config(AN_ARCH_CAFFENET);
    an_trainer_config training = small_training(4);
    an_trainer *trainer = NULL, *second = NULL;
    an_model *model;
    memfile file;
    bench b;
    size_t i;

    bench_open(&b, &config, &training, 1);
    bench_step(&b);
    file = memfile_of_trainer(b.trainer);
    expect_ok(memfile_load(&model, b.ctx, &file, NULL));
    for (i = 0; i < sizeof others / sizeof others[0]; i++) {
        memfile m = memfile_with(&file, others[i].place,
                                 json_loads(others[i].value, JSON_DECODE_ANY, NULL));

        expect_refused(memfile_load_trainer(&trainer, model, &m), AN_ERROR_STATE,
                       "of another network");
        ck_assert_ptr_null(trainer);
        memfile_free(&m);
    }
    /* Nor can a model have two. */
    expect_ok(memfile_load_trainer(&trainer, model, &file));
    expect_refused(memfile_load_trainer(&second, model, &file), AN_ERROR_STATE,
                   "has a trainer");
    ck_assert_ptr_null(second);
    same_trainer(trainer, b.trainer, "the first trainer");
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    memfile_free(&file);
    bench_close(&b);
}
END_TEST

Suite *resume_suite(void)
{
    Suite *suite = suite_create("resume");
    TCase *tc = tcase_create("resume");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, whatever_was_set_comes_back, 0, 48);
    tcase_add_loop_test(tc, a_models_file_has_the_model, 0, 16);
    tcase_add_loop_test(tc, a_run_may_be_stopped_anywhere, 0, 8);
    tcase_add_loop_test(tc, a_file_written_again_is_the_same, 0, 6);
    tcase_add_test(tc, a_trainer_is_of_its_network);
    suite_add_tcase(suite, tc);
    return suite;
}
