/*
 * test_tensors.c - a checkpoint's tensors: how they lie in a file, in which orders,
 * shapes and types they are read, and what is refused by name.
 */
#define _XOPEN_SOURCE 700
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "expect.h"
#include "memfile.h"
#include "scratch.h"
#include "small.h"
#include "test.h"
#include "trials.h"

/* A trainer after two steps, with a mean image, and its file. */
typedef struct written {
    bench b;
    memfile file;
} written;

static void give_mean(an_model *model, uint32_t side)
{
    size_t count = (size_t)3 * side * side;
    float *mean = malloc(count * sizeof *mean);
    an_preprocessing p;

    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_get_preprocessing(model, &p));
    p.side = side;
    expect_ok(an_model_set_preprocessing(model, &p));
    noise_floats(mean, count, 8, 100);
    expect_ok(an_model_set_mean_image(model, mean, count));
    free(mean);
}

static written *write_file(uint32_t arch, uint32_t towers)
{
    an_model_config config = small_config(arch);
    an_trainer_config training = small_training(4);
    written *w = calloc(1, sizeof *w);

    if (arch == AN_ARCH_CIFAR10) config.width = 0.1f;
    config.towers = towers;
    bench_open(&w->b, &config, &training, 1);
    give_mean(w->b.model, config.image_size + 1);
    bench_steps(&w->b, 2);
    w->file = memfile_of_trainer(w->b.trainer);
    return w;
}

static void free_file(written *w)
{
    memfile_free(&w->file);
    bench_close(&w->b);
    free(w);
}

/* --- how a file is made ------------------------------------------------------------ */

static void expect_tensor(const memfile_tensor *t, const char *prefix,
                          const an_param *param, const float *values)
{
    char name[80];
    uint32_t i;

    snprintf(name, sizeof name, "%s%s", prefix, param->name);
    expect_text(t->name, name, "the order of tensors");
    expect_text(t->dtype, "F32", "%s", name);
    expect_count(t->dims, param->dims, "%s", name);
    for (i = 0; i < t->dims; i++)
        expect_count(t->shape[i], param->shape[i], "%s, dimension %u", name, i);
    expect_count(t->bytes, param->count * sizeof(float), "%s", name);
    expect_bytes(t->data, values, t->bytes, "%s", name);
}

/* Parameters, velocities, the mean image: one after another, from a multiple of 64 bytes
 * on. */
START_TEST(a_file_lies_as_documented)
{
    written *w = write_file(AN_ARCH_PAPER, (uint32_t)_i);
    memfile_parts parts = memfile_take_apart(&w->file);
    memfile again = memfile_put_together(&parts);
    uint32_t count = w->b.model->net.plan->param_count, i;
    const memfile_tensor *mean = &parts.tensor[2 * count];
    uint64_t start = 0;
    json_t *a, *b;
    size_t numbers;

    expect_count(parts.count, 2 * count + 1, "tensors");
    for (i = 0; i < count; i++) {
        float *value = parameter_of(w->b.model, i, &numbers);
        float *velocity = velocity_of(w->b.trainer, i, &numbers);

        expect_tensor(&parts.tensor[i], "", &w->b.model->net.plan->params[i], value);
        expect_tensor(&parts.tensor[count + i], "velocity.",
                      &w->b.model->net.plan->params[i], velocity);
        free(value);
        free(velocity);
    }
    expect_text(mean->name, "preprocessing.mean_image", "the last tensor");
    expect_text(mean->dtype, "F32", "the mean image");
    ck_assert_uint_eq(mean->dims, 3);
    ck_assert_uint_eq(mean->shape[0], 3);
    ck_assert_uint_eq(mean->shape[1], 80);
    ck_assert_uint_eq(mean->shape[2], 80);
    expect_bytes(mean->data, w->b.model->input.mean_image, mean->bytes, "the mean image");
    for (i = 0; i < 8; i++) start |= (uint64_t)w->file.data[i] << 8 * i;
    expect_count((start + 8) % 64, 0, "where the tensors begin");
    for (i = 1; i < 64 && w->file.data[8 + start - i] != '}';) i++;
    ck_assert_msg(i < 64 + 1, "the header is padded with more than a line of 64");
    for (; i > 1; i--) expect_count(w->file.data[8 + start - i + 1], ' ', "padding");
    /* Without a hole: what is put together anew from them has the same header. */
    a = memfile_header(&w->file), b = memfile_header(&again);
    ck_assert_msg(json_equal(a, b), "the offsets have a hole or an overlap");
    json_decref(a);
    json_decref(b);
    memfile_free(&again);
    memfile_parts_free(&parts);
    free_file(w);
}
END_TEST

/* --- how a file is read ------------------------------------------------------------ */

enum { STREAMED, MAPPED, COPIED, WAYS };

static an_status load_by(int way, memfile *m, an_context *ctx, an_model **model)
{
    an_load_config load;
    char path[64];
    an_status status;

    if (way == STREAMED) {
        m->most = 777;
        return memfile_load(model, ctx, m, NULL);
    }
    an_load_config_init(&load, sizeof load);
    load.copy = way == COPIED;
    scratch_file(path);
    memfile_store(m, path);
    status = an_model_load(model, ctx, path, &load);
    remove(path);
    return status;
}

static an_status load_trainer_by(int way, memfile *m, an_model *model, an_trainer **out)
{
    char path[64];
    an_status status;

    if (way == STREAMED) return memfile_load_trainer(out, model, m);
    scratch_file(path);
    memfile_store(m, path);
    status = an_trainer_load(out, model, path);
    remove(path);
    return status;
}

/* All that the file was written from comes back, by each way; in_place: whether a map
 * serves. */
static void expect_whole(const written *w, memfile *m, int in_place, const char *what)
{
    int way;

    for (way = 0; way < WAYS; way++) {
        an_model *model = NULL;
        an_trainer *trainer = NULL;

        expect_ok(load_by(way, m, w->b.ctx, &model));
        expect_ok(load_trainer_by(way, m, model, &trainer));
        expect_count(model->mapping.base != NULL, way == MAPPED && in_place,
                     "%s: mapped, way %d", what, way);
        same_trainer(trainer, w->b.trainer, what);
        same_preprocessing(model, w->b.model, what);
        an_trainer_destroy(trainer);
        an_model_destroy(model);
    }
}

static void swap(memfile_parts *parts, size_t i, size_t j)
{
    memfile_tensor was = parts->tensor[i];

    parts->tensor[i] = parts->tensor[j];
    parts->tensor[j] = was;
}

/* Backwards, shuffled, and with tensors of other programs in between, of any type: of
 * whole words, of single bytes, so that the next ones lie at odd places, and of nothing
 * at all. */
START_TEST(tensors_may_lie_in_any_order)
{
    written *w = write_file(AN_ARCH_CIFAR10, 1);
    memfile_parts parts = memfile_take_apart(&w->file);
    uint32_t seed = 4, i;
    memfile m, pushed;

    for (i = 0; i < parts.count / 2; i++) swap(&parts, i, parts.count - 1 - i);
    m = memfile_put_together(&parts);
    expect_whole(w, &m, 1, "backwards");
    pushed = memfile_pushed(&m, 4); /* still a multiple of what a float32 wants */
    expect_whole(w, &pushed, 1, "behind four spaces more");
    memfile_free(&pushed);
    for (i = 1; i < 4; i++) {
        pushed = memfile_pushed(&m, i);
        expect_whole(w, &pushed, 0, "behind some spaces more");
        memfile_free(&pushed);
    }
    memfile_free(&m);
    memfile_add(&parts, "theirs.i64", "I64", 5, 40);
    memfile_add(&parts, "theirs.none", "F32", 0, 0);
    swap(&parts, parts.count - 2, 1);
    swap(&parts, parts.count - 1, 3);
    m = memfile_put_together(&parts);
    expect_whole(w, &m, 1, "among others");
    memfile_free(&m);
    memfile_add(&parts, "theirs.bool", "BOOL", 3, 3);
    memfile_add(&parts, "theirs.f8", "F8_E4M3", 2000003, 2000003); /* two pieces */
    for (i = 0; i < parts.count; i++)
        swap(&parts, i, trial_below(&seed, (uint32_t)parts.count));
    swap(&parts, 0, (size_t)(memfile_find(&parts, "theirs.bool") - parts.tensor));
    m = memfile_put_together(&parts);
    expect_whole(w, &m, 0, "at odd places");
    memfile_free(&m);
    memfile_parts_free(&parts);
    free_file(w);
}
END_TEST

/* --- 16 bits ----------------------------------------------------------------------- */

/* By the formats' definitions: sign, exponent of `bits` bits, fraction. NaN for what is
 * not finite. */
static double value_of(uint16_t word, int bits, int fraction)
{
    int bias = (1 << (bits - 1)) - 1, exponent = word >> fraction & ((1 << bits) - 1);
    double part = word & ((1 << fraction) - 1), sign = word & 0x8000 ? -1 : 1;

    if (exponent == (1 << bits) - 1) return NAN;
    if (exponent == 0) return sign * ldexp(part, 1 - bias - fraction);
    return sign * ldexp(part + ldexp(1, fraction), exponent - bias - fraction);
}

/* All 65536 of each, infinities and NaNs among them, which stay what they are. */
START_TEST(every_number_of_16_bits_is_read)
{
    an_file_type type = _i ? AN_BF16 : AN_F16;
    uint32_t i;

    for (i = 0; i < 65536; i++) {
        uint16_t word = (uint16_t)i;
        unsigned char bytes[2] = {(unsigned char)(i & 255), (unsigned char)(i >> 8)};
        double want = _i ? value_of(word, 8, 7) : value_of(word, 5, 10);
        float got = 0, wanted = (float)want;

        an__dtype_convert(type, bytes, 1, &got);
        if (isnan(want)) {
            int fraction = (int)(word & (_i ? 0x7f : 0x3ff));

            ck_assert_msg(fraction ? isnan(got) : isinf(got), "word %x gave %g", i,
                          (double)got);
            ck_assert_msg(!signbit(got) == !(word & 0x8000), "the sign of word %x", i);
            continue;
        }
        expect_floats(&got, &wanted, 1, 0, "word %x of %s", i, _i ? "BF16" : "F16");
    }
}
END_TEST

/* Every number of the tensor becomes a word of 16 bits, its bits the upper ones (BF16) or
 * a pattern (F16); what it stands for goes to `values`. */
static void make_narrow(memfile_tensor *t, int bf16, float *values)
{
    size_t count = t->bytes / 4, i;

    for (i = 0; i < count; i++) {
        uint32_t bits;
        uint16_t word;

        memcpy(&bits, t->data + 4 * i, sizeof bits);
        word = bf16 ? (uint16_t)(bits >> 16)
                    : (uint16_t)((bits >> 13 & 0x3bff) | (i & 1) << 15);
        values[i] = (float)(bf16 ? value_of(word, 8, 7) : value_of(word, 5, 10));
        memcpy(t->data + 2 * i, &word, sizeof word);
    }
    strcpy(t->dtype, bf16 ? "BF16" : "F16");
    t->bytes /= 2;
}

/* Some tensors of a file narrow, others not: parameters, velocities, the mean image. */
START_TEST(narrow_tensors_become_float32)
{
    static const char *const names[] = {
        "conv1.bias", "fc4.weight", "velocity.conv2.weight", "preprocessing.mean_image"};
    written *w = write_file(AN_ARCH_CIFAR10, 1);
    int k, way;

    for (k = 0; k < 4; k++) {
        memfile_parts parts = memfile_take_apart(&w->file);
        memfile_tensor *t = memfile_find(&parts, names[k]);
        size_t count = t->bytes / 4, got_count;
        float *want = malloc(count * sizeof *want), *got;
        memfile m;

        make_narrow(t, _i, want);
        m = memfile_put_together(&parts);
        for (way = 0; way < WAYS; way++) {
            an_model *model = NULL;
            an_trainer *trainer = NULL;
            uint32_t index;

            expect_ok(load_by(way, &m, w->b.ctx, &model));
            expect_ok(load_trainer_by(way, &m, model, &trainer));
            if (k < 2) ck_assert_ptr_null(model->mapping.base);
            if (k == 3) {
                got = malloc(count * sizeof *got);
                expect_ok(an_model_get_mean_image(model, got, count));
            } else {
                expect_ok(an_parameter_find(model, names[k] + (k == 2 ? 9 : 0), &index));
                got = k == 2 ? velocity_of(trainer, index, &got_count)
                             : parameter_of(model, index, &got_count);
            }
            expect_floats(got, want, count, 0, "%s in 16 bits, way %d", names[k], way);
            free(got);
            an_trainer_destroy(trainer);
            an_model_destroy(model);
        }
        memfile_free(&m);
        free(want);
        memfile_parts_free(&parts);
    }
    free_file(w);
}
END_TEST

/* --- numbers that are none --------------------------------------------------------- */

static const struct {
    const char *dtype;
    uint32_t bits;
} nonfinite[] = {{"F32", 0x7f800000}, {"F32", 0xff800000}, {"F32", 0x7fc00000},
                 {"F32", 0x7f800001}, {"F16", 0x7c00},     {"F16", 0xfe01},
                 {"BF16", 0xff80},    {"BF16", 0x7f81}};

/* One such number at the first, the last, or another place of a tensor of any kind: named
 * wherever numbers are looked at. A mapped parameter's are not, and show when they are
 * computed with. */
static void expect_named(const written *w, const char *name, size_t at, int kind)
{
    memfile_parts parts = memfile_take_apart(&w->file);
    memfile_tensor *t = memfile_find(&parts, name);
    size_t count = t->bytes / 4;
    float *ignored = malloc(count * sizeof *ignored);
    int wide = kind < 4, way, velocity = strncmp(name, "velocity", 8) == 0;
    char words[100];
    memfile m;

    if (!wide) make_narrow(t, kind >= 6, ignored);
    if (at > count - 1) at = count - 1;
    memcpy(t->data + at * (wide ? 4 : 2), &nonfinite[kind].bits, wide ? 4 : 2);
    m = memfile_put_together(&parts);
    for (way = 0; way < WAYS; way++) {
        an_model *model = NULL;
        an_trainer *trainer = NULL;
        an_status status = load_by(way, &m, w->b.ctx, &model);
        int mapped_mean = way == MAPPED && name[0] == 'p';
        float p[SMALL_CLASSES];

        snprintf(words, sizeof words, "%s[%zu] is not finite",
                 mapped_mean ? "mean" : name, at);
        if (velocity) {
            expect_count(status, AN_OK, "%s is none of the model's", name);
            expect_refused(load_trainer_by(way, &m, model, &trainer), AN_ERROR_FORMAT,
                           words);
            ck_assert_ptr_null(trainer);
        } else if (status == AN_OK) { /* which a map may be */
            ck_assert_msg(way == MAPPED && wide, "%s: loaded, way %d", words, way);
            ck_assert_ptr_nonnull(model->mapping.base);
            if (kind != 1) /* ReLU makes 0 of -infinity */
                expect_refused(an_infer(model, w->b.images, 1, p, ENOUGH),
                               AN_ERROR_DIVERGED, NULL);
        } else {
            expect_count(status, AN_ERROR_FORMAT, "%s, way %d", words, way);
            ck_assert_msg(strstr(an_error_message(), words) != NULL,
                          "wanted \"%s\", got \"%s\"", words, an_error_message());
            ck_assert_ptr_null(model);
        }
        an_model_destroy(model);
    }
    memfile_free(&m);
    free(ignored);
    memfile_parts_free(&parts);
}

START_TEST(what_is_not_finite_is_named)
{
    written *w = write_file(AN_ARCH_CIFAR10, 1);

    expect_named(w, "conv1.weight", 0, _i);
    expect_named(w, "conv3.bias", 2, _i);
    expect_named(w, "fc4.weight", SIZE_MAX, _i);
    expect_named(w, "fc4.bias", SIZE_MAX, _i);
    expect_named(w, "velocity.conv1.weight", 7, _i);
    expect_named(w, "velocity.fc4.bias", SIZE_MAX, _i);
    expect_named(w, "preprocessing.mean_image", 100, _i);
    free_file(w);
}
END_TEST

/* --- tensors that are not there, or not as they should be -------------------------- */

static void expect_refused_tensor(const written *w, const memfile_parts *parts,
                                  const char *name, const char *words)
{
    memfile m = memfile_put_together(parts);
    int velocity = strncmp(name, "velocity", 8) == 0, way;

    for (way = 0; way < WAYS; way++) {
        an_model *model = NULL;
        an_trainer *trainer = NULL;
        an_status status = load_by(way, &m, w->b.ctx, &model);

        expect_count(status, velocity ? AN_OK : AN_ERROR_FORMAT, "%s: %s", name, words);
        if (velocity)
            expect_refused(load_trainer_by(way, &m, model, &trainer), AN_ERROR_FORMAT,
                           words);
        ck_assert_msg(strstr(an_error_message(), words) != NULL,
                      "%s: wanted \"%s\", got \"%s\"", name, words, an_error_message());
        ck_assert_ptr_null(trainer);
        an_model_destroy(model);
    }
    memfile_free(&m);
}

/* Each tensor in turn: gone; with a dimension more; with two of its dimensions in another
 * order; shorter; of a type that is no number of ours. */
START_TEST(each_tensor_is_wanted_as_it_is)
{
    written *w = write_file(AN_ARCH_CIFAR10, 1);
    memfile_parts parts = memfile_take_apart(&w->file);
    size_t i, count = 2 * w->b.model->net.plan->param_count;

    ck_assert_uint_eq(parts.count, count + 1);
    for (i = 0; i < count; i++) {
        memfile_tensor *t = &parts.tensor[i], was = *t;
        char words[120];

        strcpy(t->name, "another");
        snprintf(words, sizeof words, "no tensor %s", was.name);
        expect_refused_tensor(w, &parts, was.name, words);
        *t = was;
        snprintf(words, sizeof words, "%s has another shape", was.name);
        t->shape[t->dims++] = 1;
        expect_refused_tensor(w, &parts, was.name, words);
        *t = was;
        t->dims--; /* as many numbers in a dimension less */
        if (t->dims > 0) t->shape[t->dims - 1] *= was.shape[t->dims];
        if (t->dims > 0) expect_refused_tensor(w, &parts, was.name, words);
        *t = was;
        t->shape[0] /= 2;
        t->bytes /= 2;
        expect_refused_tensor(w, &parts, was.name, words);
        *t = was;
        if (t->dims == 4 && t->shape[0] != t->shape[1]) {
            t->shape[0] = was.shape[1], t->shape[1] = was.shape[0];
            expect_refused_tensor(w, &parts, was.name, words);
            *t = was;
        }
        snprintf(words, sizeof words, "%s is none of F32, F16 and BF16", was.name);
        strcpy(t->dtype, "I32");
        expect_refused_tensor(w, &parts, was.name, words);
        strcpy(t->dtype, "U32");
        expect_refused_tensor(w, &parts, was.name, words);
        *t = was;
    }
    memfile_parts_free(&parts);
    free_file(w);
}
END_TEST

/* Of another program's tensors those of types that are known here must fill their places;
 * of others nobody can tell. */
START_TEST(others_tensors_fill_their_places)
{
    static const struct {
        const char *dtype;
        uint64_t numbers;
        size_t bytes;
        int good;
    } rows[] = {{"I32", 5, 20, 1}, {"I32", 5, 19, 0}, {"U64", 2, 16, 1},
                {"U64", 2, 8, 0},  {"F16", 3, 6, 1},  {"F16", 3, 12, 0},
                {"BF16", 3, 6, 1}, {"BF16", 3, 5, 0}, {"F32", 3, 12, 1},
                {"F32", 3, 6, 0},  {"C64", 3, 7, 1},  {"", 3, 1, 1}};
    written *w = write_file(AN_ARCH_CIFAR10, 1);
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memfile_parts parts = memfile_take_apart(&w->file);
        an_model *model = NULL;
        memfile m;

        memfile_add(&parts, "theirs", rows[i].dtype, rows[i].numbers, rows[i].bytes);
        m = memfile_put_together(&parts);
        if (rows[i].good)
            expect_ok(memfile_load(&model, w->b.ctx, &m, NULL));
        else
            expect_refused(memfile_load(&model, w->b.ctx, &m, NULL), AN_ERROR_FORMAT,
                           "\"theirs\" has offsets that do not fit its shape");
        an_model_destroy(model);
        memfile_free(&m);
        memfile_parts_free(&parts);
    }
    free_file(w);
}
END_TEST

/* A mean image is [3][side][side], of the preprocessing's side; one that is not there is
 * none. */
START_TEST(a_mean_image_is_wanted_as_it_is)
{
    static const struct {
        const char *dtype;
        uint32_t dims;
        uint64_t shape[4];
    } bad[] = {
        {"F32", 2, {3 * 33, 33}},    {"F32", 4, {3, 33, 33, 1}}, {"F32", 3, {1, 33, 99}},
        {"F32", 3, {33, 3, 33}},     {"F32", 3, {3, 99, 11}},    {"I32", 3, {3, 33, 33}},
        {"F32", 3, {3, 2049, 2049}}, {"F32", 3, {3, 32, 32}},    {"F32", 3, {3, 34, 34}}};
    written *w = write_file(AN_ARCH_CIFAR10, 1);
    memfile_parts parts = memfile_take_apart(&w->file);
    memfile_tensor *t = memfile_find(&parts, "preprocessing.mean_image"), was = *t;
    float mean[3 * 33 * 33];
    an_model *model;
    memfile m;
    size_t i;
    uint32_t k;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t bytes = 4;

        strcpy(t->dtype, bad[i].dtype);
        t->dims = bad[i].dims;
        for (k = 0; k < t->dims; k++) bytes *= t->shape[k] = bad[i].shape[k];
        t->bytes = (size_t)bytes;
        t->data = calloc(1, t->bytes);
        expect_refused_tensor(w, &parts, t->name,
                              i < 7 ? "preprocessing.mean_image has no shape of a mean"
                                    : "count is");
        free(t->data);
        *t = was;
    }
    strcpy(t->name, "another");
    m = memfile_put_together(&parts);
    expect_ok(memfile_load(&model, w->b.ctx, &m, NULL));
    expect_refused(an_model_get_mean_image(model, mean, 3 * 33 * 33), AN_ERROR_STATE,
                   "no mean image");
    an_model_destroy(model);
    memfile_free(&m);
    memfile_parts_free(&parts);
    free_file(w);
}
END_TEST

/* --- tensors of more than a piece -------------------------------------------------- */

/* 300,000 weights and a mean image of 310 x 310, each more than a MiB: written and read
 * in pieces; a number that is not finite has its place in the whole. */
START_TEST(large_tensors_go_in_pieces)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_context *ctx;
    an_model *model, *loaded;
    uint32_t index;
    size_t count;
    memfile m;
    float *weights, nan = NAN;
    memfile_parts parts;

    config.classes = 1200;
    expect_ok(an_context_create(&ctx, NULL));
    expect_ok(an_model_create(&model, ctx, &config));
    give_mean(model, 310);
    expect_ok(an_parameter_find(model, "fc4.weight", &index));
    weights = parameter_of(model, index, &count);
    ck_assert_uint_gt(count, (1 << 20) / 4 + 1000);
    m = memfile_of_model(model);
    m.most = 400001;
    expect_ok(memfile_load(&loaded, ctx, &m, NULL));
    same_parameters(loaded, model, 0, "in pieces");
    same_preprocessing(loaded, model, "in pieces");
    an_model_destroy(loaded);
    loaded = NULL;
    parts = memfile_take_apart(&m);
    memcpy(memfile_find(&parts, "fc4.weight")->data + 4 * 262144, &nan, 4);
    memfile_free(&m);
    m = memfile_put_together(&parts);
    expect_refused(memfile_load(&loaded, ctx, &m, NULL), AN_ERROR_FORMAT,
                   "fc4.weight[262144] is not finite");
    memfile_free(&m);
    memfile_parts_free(&parts);
    free(weights);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

Suite *tensors_suite(void)
{
    Suite *suite = suite_create("tensors");
    TCase *tc = tcase_create("tensors");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_file_lies_as_documented, 1, 3);
    tcase_add_test(tc, tensors_may_lie_in_any_order);
    tcase_add_loop_test(tc, every_number_of_16_bits_is_read, 0, 2);
    tcase_add_loop_test(tc, narrow_tensors_become_float32, 0, 2);
    tcase_add_loop_test(tc, what_is_not_finite_is_named, 0,
                        sizeof nonfinite / sizeof nonfinite[0]);
    tcase_add_test(tc, each_tensor_is_wanted_as_it_is);
    tcase_add_test(tc, others_tensors_fill_their_places);
    tcase_add_test(tc, a_mean_image_is_wanted_as_it_is);
    tcase_add_test(tc, large_tensors_go_in_pieces);
    suite_add_tcase(suite, tc);
    return suite;
}
