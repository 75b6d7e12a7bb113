/*
 * test_metadata.c - what a checkpoint says beside its tensors: the text itself, files
 * that lack what a file may lack, and every key missing, of another type, or beyond its
 * limits.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "memfile.h"
#include "small.h"
#include "test.h"
#include "trials.h"

typedef enum kind { U32, U64, REAL, REALS, BYTES, TEXT, LIST } kind;

/* Every key that is read. since: 1 for those that a file may lack. */
static const struct {
    const char *place;
    kind kind;
    int since;
    size_t count; /* of a list of numbers */
} keys[] = {
    {"config.classes", U32, 0, 0},
    {"config.image_size", U32, 0, 0},
    {"config.activation", U32, 0, 0},
    {"config.lrn", U32, 0, 0},
    {"config.pooling", U32, 0, 0},
    {"config.dropout", U32, 0, 0},
    {"config.dropout_scaling", U32, 0, 0},
    {"config.dropout_rate", REAL, 0, 0},
    {"config.width", REAL, 0, 0},
    {"config.groups", U32, 0, 0},
    {"config.remove_conv", U32, 0, 0},
    {"config.extra_conv", U32, 0, 0},
    {"config.initialisation", U32, 0, 0},
    {"config.seed", U64, 0, 0},
    {"preprocessing.side", U32, 0, 0},
    {"preprocessing.bgr", U32, 0, 0},
    {"preprocessing.mean", REALS, 0, 3},
    {"preprocessing.scale", REALS, 0, 3},
    {"preprocessing.fit", U32, 1, 0},
    {"preprocessing.mean_moves", U32, 1, 0},
    {"preprocessing.colour_deviation", REALS, 1, 3},
    {"preprocessing.colour_axis", REALS, 1, 9},
    {"class_names", LIST, 0, 0},
    {"trainer.config.batch", U32, 0, 0},
    {"trainer.config.augment", U32, 0, 0},
    {"trainer.config.rate", REAL, 0, 0},
    {"trainer.config.bias_rate", REAL, 0, 0},
    {"trainer.config.momentum", REAL, 0, 0},
    {"trainer.config.weight_decay", REAL, 0, 0},
    {"trainer.config.bias_decay", REAL, 0, 0},
    {"trainer.config.seed", U64, 0, 0},
    {"trainer.config.micro_batch", U32, 1, 0},
    {"trainer.config.plateau_drops", U32, 1, 0},
    {"trainer.config.plateau_patience", U32, 1, 0},
    {"trainer.config.plateau_factor", REAL, 1, 0},
    {"trainer.config.plateau_gain", REAL, 1, 0},
    {"trainer.iteration", U64, 0, 0},
    {"trainer.running_loss", REAL, 0, 0},
    {"trainer.flat_logged", U32, 0, 0},
    {"trainer.note", BYTES, 0, 0},
    {"trainer.epoch", U32, 1, 0},
    {"trainer.epoch_steps", U32, 1, 0},
    {"trainer.best", REAL, 1, 0},
    {"trainer.stale", U32, 1, 0},
    {"trainer.drops", U32, 1, 0},
    {"trainer.layer_rate", REALS, 1, 2 * AN_MAX_LAYERS},
    {"trainer.schedule", LIST, 1, 0},
    {"trainer.schedule.0.epoch", U32, 0, 0},
    {"trainer.schedule.0.layer", TEXT, 0, 0},
    {"trainer.schedule.0.rate", REAL, 0, 0},
    {"trainer.schedule.0.bias_rate", REAL, 0, 0},
    {"trainer.schedule.1.epoch", U32, 0, 0},
    {"trainer.schedule.1.layer", TEXT, 0, 0},
    {"trainer.schedule.1.rate", REAL, 0, 0},
    {"trainer.schedule.1.bias_rate", REAL, 0, 0},
};

enum { KEYS = sizeof keys / sizeof keys[0] };

static int is_trainers(const char *place)
{
    return strncmp(place, "trainer", 7) == 0;
}

/* A file of Caffe's network, whose preset warps, with something else than the default in
 * every field; and what it was written from. */
typedef struct written {
    bench b;
    memfile file;
} written;

static void set_all(bench *b)
{
    const an_rate_change changes[] = {
        {sizeof(an_rate_change), 1, "conv3", 0.5f, -1},
        {sizeof(an_rate_change), 7, "", 0.25f, 0.125f},
    };
    an_progress *at = &b->trainer->at;
    an_preprocessing p;
    uint32_t i;

    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_get_preprocessing(b->model, &p));
    p.side++;
    p.bgr = 1 - p.bgr;
    for (i = 0; i < 9; i++) p.colour_axis[i / 3][i % 3] = 0.25f * (float)i;
    for (i = 0; i < 3; i++) p.colour_deviation[i] = 3 - 0.5f * (float)i;
    expect_ok(an_model_set_preprocessing(b->model, &p));
    expect_ok(an_model_set_class_name(b->model, 1, "one"));
    expect_ok(an_trainer_set_schedule(b->trainer, changes, 2));
    bench_steps(b, 2);
    at->flat_logged = 1;
    at->epoch = 2, at->epoch_steps = 3, at->best = 0.375, at->stale = 1, at->drops = 1;
    expect_ok(an_trainer_set_layer_rates(b->trainer, "conv2", 0.75f, 0.5f));
    noise_bytes(at->note, sizeof at->note, 3);
}

static written *write_file(void)
{
    an_model_config config = small_config(AN_ARCH_CAFFENET);
    an_trainer_config training = small_training(4);
    written *w = calloc(1, sizeof *w);

    training.micro_batch = 3;
    training.plateau_drops = 2;
    training.plateau_patience = 7;
    training.plateau_factor = 0.5f;
    training.plateau_gain = 0.125f;
    bench_open(&w->b, &config, &training, 1);
    set_all(&w->b);
    w->file = memfile_of_trainer(w->b.trainer);
    return w;
}

static void free_file(written *w)
{
    memfile_free(&w->file);
    bench_close(&w->b);
    free(w);
}

/* --- the text ---------------------------------------------------------------------- */

static json_t *reals(const float *x, size_t count)
{
    json_t *list = json_array();
    size_t i;

    for (i = 0; i < count; i++) json_array_append_new(list, json_real((double)x[i]));
    return list;
}

static json_t *hex(const uint8_t *bytes, size_t count)
{
    char text[2 * AN_TRAINER_NOTE_BYTES + 1];
    size_t i;

    for (i = 0; i < count; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return json_string(text);
}

static json_t *own_config(void)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:i, s:i, s:i, s:i, "
                     "s:s}",
                     "classes", 10, "image_size", 79, "activation", AN_ACTIVATION_RELU,
                     "lrn", AN_SWITCH_ON, "pooling", AN_POOLING_OVERLAPPING, "dropout",
                     AN_SWITCH_ON, "dropout_scaling", AN_DROPOUT_SCALING_TRAIN,
                     "dropout_rate", 0.5, "width", (double)0.04f, "groups", 2,
                     "remove_conv", 0, "extra_conv", 0, "initialisation", AN_INIT_FAN_IN,
                     "seed", "0000000000000005");
}

static json_t *own_trainer(const written *w)
{
    const an_progress *at = &w->b.trainer->at;
    float rates[2 * AN_MAX_LAYERS];
    uint32_t i;
    json_t *config;

    for (i = 0; i < 2 * AN_MAX_LAYERS; i++) rates[i] = -1;
    rates[2] = 0.75f, rates[3] = 0.5f; /* conv2's */
    config = json_pack(
        "{s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:s, s:i, s:i, s:i, s:f, s:f}", "batch", 4,
        "augment", 3, "rate", (double)0.01f, "bias_rate", (double)0.02f, "momentum",
        (double)0.9f, "weight_decay", (double)0.0005f, "bias_decay", 0.0, "seed",
        "000000000000000b", "micro_batch", 3, "plateau_drops", 2, "plateau_patience", 7,
        "plateau_factor", 0.5, "plateau_gain", 0.125);
    return json_pack(
        "{s:s, s:f, s:i, s:o, s:i, s:i, s:f, s:i, s:i, s:o, s:o, s:[{s:i, s:s, s:f, "
        "s:f}, {s:i, s:s, s:f, s:f}]}",
        "iteration", "0000000000000002", "running_loss", at->running_loss, "flat_logged",
        1, "note", hex(at->note, sizeof at->note), "epoch", 2, "epoch_steps", 3, "best",
        0.375, "stale", 1, "drops", 1, "layer_rate", reals(rates, 2 * AN_MAX_LAYERS),
        "config", config, "schedule", "epoch", 1, "layer", "conv3", "rate", 0.5,
        "bias_rate", -1.0, "epoch", 7, "layer", "", "rate", 0.25, "bias_rate", 0.125);
}

static json_t *own_about(const written *w)
{
    const an_preprocessing *p = &w->b.model->input.p;

    return json_pack(
        "{s:i, s:s, s:s, s:o, s:{s:i, s:i, s:o, s:o, s:i, s:i, s:o, s:o}, "
        "s:[n, s, n, n, n, n, n, n, n, n], s:o}",
        "version", 1, "writer", an_version_string(), "arch", "caffenet", "config",
        own_config(), "preprocessing", "side", 79 + 29 + 1, "bgr", 0, "mean",
        reals(p->mean, 3), "scale", reals(p->scale, 3), "fit", AN_FIT_WARP, "mean_moves",
        1, "colour_deviation", reals(p->colour_deviation, 3), "colour_axis",
        reals(&p->colour_axis[0][0], 9), "class_names", "one", "trainer", own_trainer(w));
}

/* Key by key what docs/CHECKPOINTS.md says, in a form that other programs read. */
START_TEST(the_text_is_as_documented)
{
    written *w = write_file();
    json_t *got = memfile_about(&w->file), *want = own_about(w);
    char *a, *b;

    ck_assert_ptr_nonnull(want);
    a = json_dumps(got, JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    b = json_dumps(want, JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    expect_text(a, b, "what a file says of its trainer");
    free(a);
    free(b);
    json_decref(got);
    json_decref(want);
    free_file(w);
}
END_TEST

START_TEST(without_class_names_the_list_is_empty)
{
    an_model_config config = tiny_config();
    json_t *about;
    memfile file;
    bench b;

    bench_open(&b, &config, NULL, 1);
    file = memfile_of_model(b.model);
    about = memfile_about(&file);
    ck_assert(json_is_array(json_object_get(about, "class_names")));
    expect_count(json_array_size(json_object_get(about, "class_names")), 0, "names");
    json_decref(about);
    memfile_free(&file);
    bench_close(&b);
}
END_TEST

/* --- files of other versions and writers ------------------------------------------- */

/* Loads model and trainer. */
static void load_both(memfile *m, an_context *ctx, an_model **model, an_trainer **trainer)
{
    *model = NULL;
    *trainer = NULL;
    expect_ok(memfile_load(model, ctx, m, NULL));
    expect_ok(memfile_load_trainer(trainer, *model, m));
}

/* What a file without the key gives: as docs/CHECKPOINTS.md says, the defaults
 * (and of a picture's fit the plain square, whatever the preset has). */
static void set_default(an_model *model, an_trainer *trainer, const char *place)
{
    an_preprocessing *p = &model->input.p;
    an_trainer_config *c = &trainer->config;
    an_progress *at = &trainer->at;
    static const float deviations[3] = {121.7801f, 37.0939f, 19.7208f};
    static const float axes[9] = {-0.56351f, -0.57618f, -0.59200f, -0.71258f, -0.02354f,
                                  0.70120f,  0.41796f,  -0.81698f, 0.39731f};
    const char *key = strrchr(place, '.') + 1;
    uint32_t i;

    if (strcmp(key, "fit") == 0) p->fit = AN_FIT_CROP;
    if (strcmp(key, "mean_moves") == 0) p->mean_moves = 0;
    if (strcmp(key, "colour_deviation") == 0)
        memcpy(p->colour_deviation, deviations, sizeof deviations);
    if (strcmp(key, "colour_axis") == 0) memcpy(p->colour_axis, axes, sizeof axes);
    if (strcmp(key, "micro_batch") == 0) c->micro_batch = c->batch;
    if (strcmp(key, "plateau_drops") == 0) c->plateau_drops = 0;
    if (strcmp(key, "plateau_patience") == 0) c->plateau_patience = 5;
    if (strcmp(key, "plateau_factor") == 0) c->plateau_factor = 0.1f;
    if (strcmp(key, "plateau_gain") == 0) c->plateau_gain = 0;
    if (strcmp(key, "epoch") == 0) at->epoch = 0;
    if (strcmp(key, "epoch_steps") == 0) at->epoch_steps = 0;
    if (strcmp(key, "best") == 0) at->best = -1;
    if (strcmp(key, "stale") == 0) at->stale = 0;
    if (strcmp(key, "drops") == 0) at->drops = 0;
    if (strcmp(key, "layer_rate") == 0)
        for (i = 0; i < AN_MAX_LAYERS; i++)
            at->layer_rate[i][0] = at->layer_rate[i][1] = -1;
    if (strcmp(key, "schedule") == 0) at->change_count = 0;
}

/* Each key that a file may lack left out by itself, and all: that field has its default,
 * the others the file's. */
START_TEST(keys_that_are_not_there_get_the_defaults)
{
    written *w = write_file(), *all = write_file();
    memfile m, none = memfile_with(&w->file, "writer", NULL); /* which is not read */
    an_model *model, *whole;
    an_trainer *trainer, *its;
    int i;

    load_both(&w->file, all->b.ctx, &whole, &its);
    for (i = 0; i < KEYS; i++) {
        an_model *wanted;
        an_trainer *wanted_trainer;

        if (!keys[i].since) continue;
        m = memfile_with(&w->file, keys[i].place, NULL);
        load_both(&m, w->b.ctx, &model, &trainer);
        load_both(&w->file, w->b.ctx, &wanted, &wanted_trainer);
        set_default(wanted, wanted_trainer, keys[i].place);
        same_preprocessing(model, wanted, keys[i].place);
        same_class_names(model, wanted, keys[i].place);
        same_trainer(trainer, wanted_trainer, keys[i].place);
        an_trainer_destroy(trainer);
        an_model_destroy(model);
        an_trainer_destroy(wanted_trainer);
        an_model_destroy(wanted);
        memfile_free(&m);
        m = memfile_with(&none, keys[i].place, NULL);
        memfile_free(&none);
        none = m;
        set_default(whole, its, keys[i].place);
    }
    load_both(&none, w->b.ctx, &model, &trainer);
    same_preprocessing(model, whole, "a file without them");
    same_trainer(trainer, its, "a file without them");
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_trainer_destroy(its);
    an_model_destroy(whole);
    memfile_free(&none);
    free_file(w);
    free_file(all);
}
END_TEST

/* Keys that nobody knows, at every level, are passed over. */
START_TEST(unknown_keys_are_ignored)
{
    static const char *const places[] = {
        "later",         "config.later",         "preprocessing.later",
        "trainer.later", "trainer.config.later", "trainer.schedule.0.later"};
    written *w = write_file();
    an_model *model;
    an_trainer *trainer;
    json_t *header;
    memfile m;
    size_t i;

    for (i = 0; i < sizeof places / sizeof places[0]; i++) {
        m = memfile_with(&w->file, places[i], json_pack("{s:[i]}", "a", 1));
        load_both(&m, w->b.ctx, &model, &trainer);
        same_trainer(trainer, w->b.trainer, places[i]);
        an_trainer_destroy(trainer);
        an_model_destroy(model);
        memfile_free(&m);
    }
    header = memfile_header(&w->file);
    json_object_set_new(json_object_get(header, "__metadata__"), "format",
                        json_string("pt"));
    m = memfile_with_header(&w->file, header);
    load_both(&m, w->b.ctx, &model, &trainer);
    same_trainer(trainer, w->b.trainer, "another program's metadata");
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    memfile_free(&m);
    json_decref(header);
    free_file(w);
}
END_TEST

/* --- keys that are not what they should be ----------------------------------------- */

/* The file, or its trainer, is refused with that status and those words; outputs stay,
 * and the model may have the trainer of a good file all the same. */
static void expect_bad(written *w, memfile *bad, const char *place, an_status status,
                       const char *words)
{
    an_model *model = NULL;
    an_trainer *trainer = NULL;

    if (!is_trainers(place)) {
        expect_refused(memfile_load(&model, w->b.ctx, bad, NULL), status, words);
        ck_assert_ptr_null(model);
        return;
    }
    expect_ok(memfile_load(&model, w->b.ctx, bad, NULL)); /* no business of the model's */
    expect_refused(memfile_load_trainer(&trainer, model, bad), status, words);
    ck_assert_ptr_null(trainer);
    expect_ok(memfile_load_trainer(&trainer, model, &w->file));
    an_trainer_destroy(trainer);
    an_model_destroy(model);
}

/* A value that stands in place of what is there, or is taken away where it is null. */
static void expect_bad_value(written *w, const char *place, json_t *value,
                             an_status status, const char *words)
{
    memfile bad = memfile_with(&w->file, place, value);

    expect_bad(w, &bad, place, status, words);
    memfile_free(&bad);
}

static void quoted(char out[40], const char *place)
{
    const char *dot = strrchr(place, '.');

    snprintf(out, 40, "\"%s\"", dot == NULL ? place : dot + 1);
}

START_TEST(a_missing_key_is_named)
{
    static const char *const sections[][2] = {
        {"version", "version"},      {"arch", "arch"},
        {"config", "classes"},       {"preprocessing", "side"},
        {"trainer.config", "batch"}, {"trainer", "without a trainer"},
    };
    written *w = write_file();
    char words[40];
    size_t i;

    for (i = 0; i < KEYS; i++) {
        if (keys[i].since) continue;
        quoted(words, keys[i].place);
        expect_bad_value(w, keys[i].place, NULL, AN_ERROR_FORMAT, words);
    }
    for (i = 0; i < sizeof sections / sizeof sections[0]; i++)
        expect_bad_value(w, sections[i][0], NULL, AN_ERROR_FORMAT, sections[i][1]);
    free_file(w);
}
END_TEST

static const char *const texts[] = {
    /* of no kind of number, list or text */
    "null", "true", "{\"a\": 1}",
    /* U32 */
    "\"1\"", "1.0", "-1", "4294967296", "[]", "[1]",
    /* U64 and BYTES */
    "\"\"", "\"000000000000001\"", "\"00000000000000001\"", "\"000000000000000g\"",
    "\"0000000 00000000\"", "\"-000000000000001\"",
    /* REALS */
    "[1.0, 1.0]", "[1.0, 1.0, 1.0, 1.0]", "[1.0, \"1.0\", 1.0]", "[null, 1.0, 1.0]",
    /* TEXT */
    "\"conv1conv1conv1c\"", "7", "0.5"};

/* Whether a key of that kind may have the value. */
static int may_be(kind k, const json_t *value)
{
    switch (k) {
    case U32:
        return json_is_integer(value) && json_integer_value(value) >= 0 &&
               json_integer_value(value) <= UINT32_MAX;
    case REAL: return json_is_number(value);
    case REALS:
    case U64:
    case BYTES: return 0; /* none of the above has the right length */
    case TEXT: return json_is_string(value) && json_string_length(value) < 16;
    case LIST: return json_is_array(value) && json_array_size(value) == 0;
    }
    return 0;
}

START_TEST(a_value_of_another_type_is_named)
{
    written *w = write_file();
    char words[40];
    size_t i, t;

    for (i = (size_t)_i; i < KEYS; i += 4) {
        quoted(words, keys[i].place);
        for (t = 0; t < sizeof texts / sizeof texts[0]; t++) {
            json_t *value = json_loads(texts[t], JSON_DECODE_ANY, NULL);

            ck_assert_ptr_nonnull(value);
            if (may_be(keys[i].kind, value)) {
                json_decref(value);
                continue;
            }
            /* What is no change is told by the key that it lacks. */
            expect_bad_value(w, keys[i].place, value, AN_ERROR_FORMAT,
                             keys[i].kind == LIST ? NULL : words);
        }
    }
    free_file(w);
}
END_TEST

/* Of the right type, and beyond a limit: the message names the field. */
static const struct {
    const char *place, *value, *words;
} beyond[] = {
    {"config.classes", "1", "classes is 1"},
    {"config.classes", "65537", "classes is 65537"},
    {"config.classes", "11", "fc8.weight has another shape"},
    {"config.image_size", "1025", "image_size is 1025"},
    {"config.image_size", "20", "image_size is 20"},
    {"config.activation", "4", "activation is 4"},
    {"config.lrn", "3", "lrn is 3"},
    {"config.pooling", "3", "pooling is 3"},
    {"config.dropout", "3", "dropout is 3"},
    {"config.dropout_scaling", "3", "dropout_scaling is 3"},
    {"config.dropout_rate", "0.95", "dropout_rate is 0.95"},
    {"config.dropout_rate", "-0.5", "dropout_rate is -0.5"},
    {"config.width", "4.5", "width is 4.5"},
    {"config.width", "1e300", "\"width\""},
    {"config.groups", "3", "groups is 3"},
    {"config.remove_conv", "6", "remove_conv is 6"},
    {"config.remove_conv", "1", "remove_conv is 1"},
    {"config.extra_conv", "2", "extra_conv is 2"},
    {"config.extra_conv", "1", "conv6.weight"}, /* which the file does not have */
    {"config.initialisation", "4", "initialisation is 4"},
    {"arch", "5", "arch"},
    {"arch", "\"cifar10\"", "config"}, /* another network */
    {"version", "0", "version"},
    {"version", "-1", "version"},
    {"version", "\"1\"", "version"},
    {"version", "1.0", "version"},
    {"version", "null", "version"},
    {"preprocessing.side", "78", "side is 78"},
    {"preprocessing.side", "2049", "side is 2049"},
    {"preprocessing.bgr", "2", "bgr is 2"},
    {"preprocessing.fit", "2", "fit is 2"},
    {"preprocessing.mean_moves", "2", "mean_moves is 2"},
    {"preprocessing.mean", "[0.0, 1e300, 0.0]", "\"mean\""},
    {"preprocessing.scale", "[1.0, 1.0, 0.0]", "scale[2] is 0"},
    {"preprocessing.colour_deviation", "[-1.0, 1.0, 0.0]", "colour_deviation[0] is -1"},
    {"preprocessing.colour_axis", "[0, 0, 0, 0, 0, -1e99, 0, 0, 0]", "\"colour_axis\""},
    {"class_names", "{}", "class_names"},
    {"class_names", "[\"a\"]", "class_names"},
    {"class_names.3", "7", "class_names"},
    {"trainer.config.batch", "0", "batch is 0"},
    {"trainer.config.batch", "8193", "batch is 8193"},
    {"trainer.config.augment", "4", "augment is 4"},
    {"trainer.config.rate", "-1.0", "rate is -1"},
    {"trainer.config.rate", "1001", "rate is 1001"},
    {"trainer.config.bias_rate", "1001", "bias_rate is 1001"},
    {"trainer.config.momentum", "1", "momentum is 1"},
    {"trainer.config.weight_decay", "1.5", "weight_decay is 1.5"},
    {"trainer.config.bias_decay", "1.5", "bias_decay is 1.5"},
    {"trainer.config.micro_batch", "5", "micro_batch is 5"},
    {"trainer.config.plateau_patience", "0", "plateau_patience is 0"},
    {"trainer.config.plateau_patience", "1001", "plateau_patience is 1001"},
    {"trainer.config.plateau_factor", "0", "plateau_factor is 0"},
    {"trainer.config.plateau_factor", "1", "plateau_factor is 1"},
    {"trainer.config.plateau_gain", "1", "plateau_gain is 1"},
    {"trainer.layer_rate.0", "1001", "layer_rate"},
    {"trainer.layer_rate.19", "1001", "layer_rate"},
    {"trainer.layer_rate.7", "1e300", "layer_rate"},
    {"trainer.config.rate", "-1e39", "\"rate\""}, /* which was taken for "the default" */
    {"trainer.config.bias_decay", "-1e39", "\"bias_decay\""},
    {"trainer.schedule", "{}", "schedule"},
    {"trainer.schedule.0", "7", "epoch"},
    {"trainer.schedule.0.epoch", "8", "changes[1].epoch is 7"},
    {"trainer.schedule.0.layer", "\"conv9\"", "conv9"},
    {"trainer.schedule.1.layer", "\"conv9\"", "conv9"},
    {"trainer.schedule.0.rate", "1001", "changes.rate is 1001"},
    {"trainer.schedule.1.bias_rate", "1e300", "\"bias_rate\""},
};

START_TEST(a_value_beyond_its_limits_is_named)
{
    written *w = write_file();
    size_t i;

    for (i = 0; i < sizeof beyond / sizeof beyond[0]; i++)
        expect_bad_value(w, beyond[i].place,
                         json_loads(beyond[i].value, JSON_DECODE_ANY, NULL),
                         AN_ERROR_FORMAT, beyond[i].words);
    expect_bad_value(w, "version", json_integer(2), AN_ERROR_VERSION, "format is 2");
    expect_bad_value(w, "version", json_integer((json_int_t)1 << 40), AN_ERROR_VERSION,
                     "format is 1099511627776");
    free_file(w);
}
END_TEST

/* Of a later library: a preset that there was not yet, and who knows it. */
START_TEST(a_preset_of_a_later_library_is_named)
{
    written *w = write_file(), later = *w;

    later.file = memfile_with(&w->file, "writer", json_string("1.7.0"));
    expect_bad_value(&later, "arch", json_string("alexnet-2"), AN_ERROR_VERSION,
                     "preset is \"alexnet-2\", which this library (");
    expect_bad_value(&later, "arch", json_string("alexnet-2"), AN_ERROR_VERSION,
                     ") does not know; libalexnet 1.7.0 wrote it");
    expect_bad_value(&later, "arch", json_string("a\033[31m\u202e"), AN_ERROR_VERSION,
                     "preset is \"a\\x1b[31m\\u202e\"");
    memfile_free(&later.file);
    free_file(w);
}
END_TEST

/* 64 changes are as many as there may be, names of 255 bytes as long. */
START_TEST(lists_and_names_have_their_limits)
{
    written *w = write_file();
    json_t *list = json_array(), *about = memfile_about(&w->file);
    char name[257];
    an_model *model;
    an_trainer *trainer;
    memfile m;
    int i;

    for (i = 0; i < 64; i++)
        json_array_append(list, memfile_at(about, "trainer.schedule.1"));
    m = memfile_with(&w->file, "trainer.schedule", json_deep_copy(list));
    load_both(&m, w->b.ctx, &model, &trainer);
    expect_count(trainer->at.change_count, 64, "changes");
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    memfile_free(&m);
    json_array_append(list, memfile_at(about, "trainer.schedule.1"));
    expect_bad_value(w, "trainer.schedule", list, AN_ERROR_FORMAT, "schedule");

    memset(name, 'x', sizeof name);
    name[256] = '\0';
    expect_bad_value(w, "class_names.3", json_string(name), AN_ERROR_FORMAT,
                     "256 bytes long");
    name[255] = '\0';
    m = memfile_with(&w->file, "class_names.9", json_string(name));
    expect_ok(memfile_load(&model, w->b.ctx, &m, NULL));
    expect_text(an_model_class_name(model, 9), name, "a name of 255 bytes");
    an_model_destroy(model);
    memfile_free(&m);
    json_decref(about);
    free_file(w);
}
END_TEST

Suite *metadata_suite(void)
{
    Suite *suite = suite_create("metadata");
    TCase *tc = tcase_create("metadata");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, the_text_is_as_documented);
    tcase_add_test(tc, without_class_names_the_list_is_empty);
    tcase_add_test(tc, keys_that_are_not_there_get_the_defaults);
    tcase_add_test(tc, unknown_keys_are_ignored);
    tcase_add_test(tc, a_missing_key_is_named);
    tcase_add_loop_test(tc, a_value_of_another_type_is_named, 0, 4);
    tcase_add_test(tc, a_value_beyond_its_limits_is_named);
    tcase_add_test(tc, a_preset_of_a_later_library_is_named);
    tcase_add_test(tc, lists_and_names_have_their_limits);
    suite_add_tcase(suite, tc);
    return suite;
}
