/*
 * test_checkpoint.c - round trips, exact resume, damaged and hostile files, failing
 * disks.
 */
#define _GNU_SOURCE
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "expect.h"
#include "scratch.h"
#include "test.h"
#include "train/train.h"

enum { NUMBERS = 3 * 32 * 32, BATCH = 4 };

static an_context *ctx;
static char folder[64], path[96];
static float images[BATCH * NUMBERS];
static const int32_t labels[BATCH] = {1, 2, 3, 9};

static void setup(void)
{
    uint32_t seed = 3, i;

    ck_assert_int_eq(an_context_create(&ctx, NULL), AN_OK);
    scratch_folder(folder);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    for (i = 0; i < BATCH * NUMBERS; i++) {
        seed = seed * 1664525u + 1013904223u;
        images[i] = (float)(seed >> 8) / 8388608.0f - 1;
    }
}

static void teardown(void)
{
    an_context_destroy(ctx);
    scratch_remove(folder);
}

static an_model_config config_of(uint32_t arch)
{
    an_model_config config;

    an_model_config_init(&config, sizeof config);
    config.arch = arch;
    config.width = 0.05f;
    config.classes = 10;
    config.seed = 0xfedcba9876543210u; /* more than a double holds */
    return config;
}

static an_model *model_of(uint32_t arch)
{
    an_model_config config = config_of(arch);
    an_model *model;

    ck_assert_msg(an_model_create(&model, ctx, &config) == AN_OK, "%s",
                  an_error_message());
    return model;
}

static void same_parameters(const an_model *a, const an_model *b)
{
    uint32_t i;

    for (i = 0; i < a->net.plan->param_count; i++) {
        size_t count = a->net.plan->params[i].count;
        float *x = malloc(count * sizeof *x), *y = malloc(count * sizeof *y);

        ck_assert_int_eq(an_parameter_get(a, i, x, count), AN_OK);
        ck_assert_int_eq(an_parameter_get(b, i, y, count), AN_OK);
        ck_assert_mem_eq(x, y, count * sizeof *x);
        free(x);
        free(y);
    }
}

/* --- a file in memory, as callbacks see it ----------------------------------------- */

typedef struct memory {
    unsigned char *data;
    size_t bytes, at;
    size_t calls, fail_at; /* the call that fails; 0: none */
    size_t most;           /* bytes that a read gives at once; 0: all */
} memory;

static int write_memory(const void *data, size_t bytes, void *user)
{
    memory *m = user;

    if (++m->calls == m->fail_at) return -1;
    ck_assert_uint_le(bytes, 1 << 20);
    m->data = realloc(m->data, m->bytes + bytes);
    memcpy(m->data + m->bytes, data, bytes);
    m->bytes += bytes;
    return 0;
}

static ptrdiff_t read_memory(void *data, size_t bytes, void *user)
{
    memory *m = user;

    if (++m->calls == m->fail_at) return -1;
    if (m->most > 0 && bytes > m->most) bytes = m->most;
    if (bytes > m->bytes - m->at) bytes = m->bytes - m->at;
    memcpy(data, m->data + m->at, bytes);
    m->at += bytes;
    return (ptrdiff_t)bytes;
}

static an_status read_back(an_model **out, memory *m)
{
    m->at = m->calls = 0;
    return an_model_read(out, ctx, read_memory, m, NULL);
}

static memory file_of(const an_model *model)
{
    memory m = {NULL, 0, 0, 0, 0, 0};

    ck_assert_int_eq(an_model_write(model, write_memory, &m), AN_OK);
    return m;
}

/* A file with this header, and `bytes` zero bytes of tensors. */
static memory file_with(const char *header, size_t bytes)
{
    size_t length = strlen(header), i;
    memory m = {calloc(1, 8 + length + bytes), 8 + length + bytes, 0, 0, 0, 0};

    for (i = 0; i < 8; i++) m.data[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(m.data + 8, header, length);
    return m;
}

/* --- round trips ------------------------------------------------------------------- */

START_TEST(a_model_comes_back_as_it_was)
{
    an_model *model = model_of((uint32_t)_i), *mapped, *copied, *streamed;
    static const char odd[] = "quote\" back\\slash \n \xc3\xa9 \xf0\x9f\x8c\xbb";
    an_load_config load;
    an_preprocessing p, q;
    an_model_config a, b;
    memory m;

    an_preprocessing_init(&p, sizeof p);
    an_preprocessing_init(&q, sizeof q);
    an_model_config_init(&a, sizeof a);
    an_model_config_init(&b, sizeof b);
    an_load_config_init(&load, sizeof load);
    ck_assert_int_eq(an_model_get_preprocessing(model, &p), AN_OK);
    p.side += 3;
    p.mean[1] = 0.1f; /* no finite binary fraction */
    p.scale[2] = 1e-30f;
    ck_assert_int_eq(an_model_set_preprocessing(model, &p), AN_OK);
    ck_assert_int_eq(an_model_set_class_name(model, 3, odd), AN_OK);
    ck_assert_int_eq(an_model_set_class_name(model, 9, ""), AN_OK);
    ck_assert_int_eq(an_model_save(model, path), AN_OK);

    ck_assert_msg(an_model_load(&mapped, ctx, path, NULL) == AN_OK, "%s",
                  an_error_message());
    load.copy = 1;
    ck_assert_int_eq(an_model_load(&copied, ctx, path, &load), AN_OK);
    m = file_of(model);
    m.most = 1000;
    ck_assert_int_eq(read_back(&streamed, &m), AN_OK);
    same_parameters(model, mapped);
    same_parameters(model, copied);
    same_parameters(model, streamed);
    ck_assert_ptr_nonnull(mapped->mapping.base);
    ck_assert_ptr_null(copied->mapping.base);

    ck_assert_int_eq(an_model_get_preprocessing(mapped, &q), AN_OK);
    ck_assert_mem_eq(&p, &q, sizeof p);
    ck_assert_int_eq(an_model_get_config(model, &a), AN_OK);
    ck_assert_int_eq(an_model_get_config(mapped, &b), AN_OK);
    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert_str_eq(an_model_class_name(mapped, 3), odd);
    ck_assert_str_eq(an_model_class_name(mapped, 9), "");
    ck_assert_ptr_null(an_model_class_name(mapped, 4));

    an_model_destroy(model);
    an_model_destroy(mapped);
    an_model_destroy(copied);
    an_model_destroy(streamed);
    free(m.data);
}
END_TEST

/* Training a mapped model changes its pages, not the file. */
START_TEST(a_mapped_file_is_not_written)
{
    an_model *model = model_of(AN_ARCH_CIFAR10), *mapped, *again;
    an_trainer *trainer;

    ck_assert_int_eq(an_model_save(model, path), AN_OK);
    ck_assert_int_eq(an_model_load(&mapped, ctx, path, NULL), AN_OK);
    ck_assert_int_eq(an_trainer_create(&trainer, mapped, NULL), AN_OK);
    ck_assert_int_eq(an_train_step(trainer, images, labels, BATCH, NULL), AN_OK);
    ck_assert_int_eq(an_model_load(&again, ctx, path, NULL), AN_OK);
    same_parameters(model, again);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_model_destroy(mapped);
    an_model_destroy(again);
}
END_TEST

/* By path and by callbacks. */
START_TEST(a_resumed_trainer_gives_the_same_bits)
{
    static const uint32_t arch[] = {AN_ARCH_CIFAR10, AN_ARCH_PAPER};
    an_model_config config = config_of(arch[_i]);
    an_model *model, *loaded;
    an_trainer *trainer, *resumed;
    an_trainer_config c, d;
    uint8_t note[AN_TRAINER_NOTE_BYTES], got[AN_TRAINER_NOTE_BYTES];
    int way;

    config.image_size = 79;
    if (arch[_i] == AN_ARCH_CIFAR10) config.image_size = 32;
    for (way = 0; way < 2; way++) {
        float *big = calloc((size_t)BATCH * 3 * 79 * 79, sizeof *big);
        an_step_stats a, b;
        int s;

        memcpy(big, images, sizeof images);
        ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
        an_trainer_config_init(&c, sizeof c);
        c.batch = BATCH;
        c.seed = 1;
        c.rate = 0.013f;
        ck_assert_int_eq(an_trainer_create(&trainer, model, &c), AN_OK);
        for (s = 0; s < 3; s++)
            ck_assert_int_eq(an_train_step(trainer, big, labels, BATCH, NULL), AN_OK);
        ck_assert_int_eq(an_trainer_set_rates(trainer, 0.007f, 0.003f), AN_OK);
        memset(note, 0x5a, sizeof note);
        note[63] = 1;
        ck_assert_int_eq(an_trainer_set_note(trainer, note), AN_OK);
        if (way == 0) {
            ck_assert_int_eq(an_trainer_save(trainer, path), AN_OK);
            ck_assert_int_eq(an_model_load(&loaded, ctx, path, NULL), AN_OK);
            ck_assert_msg(an_trainer_load(&resumed, loaded, path) == AN_OK, "%s",
                          an_error_message());
        } else {
            memory m = {NULL, 0, 0, 0, 0, 0};

            ck_assert_int_eq(an_trainer_write(trainer, write_memory, &m), AN_OK);
            ck_assert_int_eq(read_back(&loaded, &m), AN_OK);
            m.at = 0;
            m.most = 777;
            ck_assert_int_eq(an_trainer_read(&resumed, loaded, read_memory, &m), AN_OK);
            free(m.data);
        }
        ck_assert_uint_eq(an_trainer_iteration(resumed), 3);
        ck_assert_int_eq(an_trainer_get_note(resumed, got), AN_OK);
        ck_assert_mem_eq(note, got, sizeof note);
        an_trainer_config_init(&d, sizeof d);
        ck_assert_int_eq(an_trainer_get_config(trainer, &c), AN_OK);
        ck_assert_int_eq(an_trainer_get_config(resumed, &d), AN_OK);
        ck_assert_mem_eq(&c, &d, sizeof c);
        an_step_stats_init(&a, sizeof a);
        an_step_stats_init(&b, sizeof b);
        for (s = 0; s < 3; s++) {
            ck_assert_int_eq(an_train_step(trainer, big, labels, BATCH, &a), AN_OK);
            ck_assert_int_eq(an_train_step(resumed, big, labels, BATCH, &b), AN_OK);
            ck_assert_mem_eq(&a, &b, sizeof a);
        }
        same_parameters(model, loaded);
        an_trainer_destroy(trainer);
        an_trainer_destroy(resumed);
        an_model_destroy(model);
        an_model_destroy(loaded);
        free(big);
    }
}
END_TEST

START_TEST(a_file_loads_into_two_towers)
{
    an_model_config config = config_of(AN_ARCH_PAPER);
    an_model *model, *two;
    an_load_config load;
    float *x = malloc(3 * 224 * 224 * sizeof *x), p[10], q[10];
    size_t i;

    for (i = 0; i < 3 * 224 * 224; i++) x[i] = images[i % (BATCH * NUMBERS)];
    an_load_config_init(&load, sizeof load);
    load.towers = 2;
    load.devices = "cpu,cpu";
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    ck_assert_int_eq(an_model_save(model, path), AN_OK);
    ck_assert_msg(an_model_load(&two, ctx, path, &load) == AN_OK, "%s",
                  an_error_message());
    ck_assert_uint_eq(two->net.plan->towers, 2);
    same_parameters(model, two);
    ck_assert_int_eq(an_infer(model, x, 1, p, ENOUGH), AN_OK);
    ck_assert_int_eq(an_infer(two, x, 1, q, ENOUGH), AN_OK);
    for (i = 0; i < 10; i++) ck_assert_double_eq_tol((double)p[i], (double)q[i], 1e-5);
    an_model_destroy(model);
    an_model_destroy(two);
    free(x);
}
END_TEST

/* --- other numbers, other writers -------------------------------------------------- */

/* Replaces the first tensor's name and dtype in the header by hand: conv1.bias of one's
 * own file, 4 numbers, as 2-byte ones. */
START_TEST(half_precision_tensors_are_read)
{
    static const struct {
        uint16_t f16, bf16;
        float from_f16, from_bf16;
    } known[4] = {
        {0x3c00, 0x3f80, 1, 1},
        {0xc000, 0xc000, -2, -2},
        {0x0001, 0x0001, 5.9604645e-8f, 9.1835496e-41f}, /* the least subnormals */
        {0x7bff, 0x7f7f, 65504, 3.3895314e38f},          /* the largest numbers */
    };
    int bf16 = _i, n;

    for (n = 0; n < 2; n++) {
        char header[4096];
        an_model_config config = config_of(AN_ARCH_TORCHVISION);
        an_model *model, *loaded = NULL;
        size_t at = 0, i, used;
        memory m;

        config.width = 1; /* a file without metadata is torchvision's own size */
        config.classes = 2;
        ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
        used = (size_t)snprintf(header, sizeof header, "{");
        for (i = 0; i < model->net.plan->param_count; i++) {
            const an_param *p = &model->net.plan->params[i];
            size_t size = i == 1 ? 2 : 4, k;

            used += (size_t)snprintf(header + used, sizeof header - used,
                                     "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                                     i ? "," : "", p->name,
                                     i != 1 ? "F32"
                                     : bf16 ? "BF16"
                                            : "F16");
            for (k = 0; k < p->dims; k++)
                used += (size_t)snprintf(header + used, sizeof header - used, "%s%u",
                                         k ? "," : "", p->shape[k]);
            used += (size_t)snprintf(header + used, sizeof header - used,
                                     "],\"data_offsets\":[%zu,%zu]}", at,
                                     at + size * p->count);
            at += size * p->count;
        }
        snprintf(header + used, sizeof header - used, "}");
        m = file_with(header, at);
        at = m.bytes - at + 4 * model->net.plan->params[0].count;
        for (i = 0; i < 64; i++) {
            uint16_t word = bf16 ? known[i % 4].bf16 : known[i % 4].f16;

            memcpy(m.data + at + 2 * i, &word, 2);
        }
        if (n == 1) memset(m.data + at + 2 * 5, 0xff, 2); /* a NaN */
        if (n == 1) {
            ck_assert_int_eq(read_back(&loaded, &m), AN_ERROR_FORMAT);
            ck_assert_ptr_nonnull(strstr(an_error_message(), "features.0.bias[5]"));
            ck_assert_ptr_null(loaded);
        } else {
            float got[64];

            ck_assert_msg(read_back(&loaded, &m) == AN_OK, "%s", an_error_message());
            ck_assert_int_eq(an_parameter_get(loaded, 1, got, 64), AN_OK);
            for (i = 0; i < 64; i++)
                ck_assert(got[i] ==
                          (bf16 ? known[i % 4].from_bf16 : known[i % 4].from_f16));
            ck_assert_uint_eq(loaded->net.plan->config.arch, AN_ARCH_TORCHVISION);
            ck_assert_uint_eq(loaded->net.plan->config.classes, 2);
        }
        an_model_destroy(model);
        an_model_destroy(loaded);
        free(m.data);
    }
}
END_TEST

/* --- damage ------------------------------------------------------------------------ */

#define T "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"

static const struct {
    const char *header;
    size_t bytes;
    const char *word; /* in the message */
} hostile[] = {
    {"", 0, "JSON"},
    {"{", 0, "JSON"},
    {"[]", 0, "object"},
    {"{}", 0, "torchvision"},
    {"{\"a\":1}", 0, "\"a\""},
    {"{\"a\":{}}", 0, "dtype"},
    {"{" T "," T "}", 8, "is there twice"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9]}}", 9, "offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0.0,8]}}", 8, "offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[null,8]}}", 8, "offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, "shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
     "\"data_offsets\":[0,0]}}",
     0, "shape"}, /* 2^64: 0, if nobody looks */
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],"
     "\"data_offsets\":[0,4]}}",
     4, "offsets"},
    {"{" T ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12,
     "begin"},
    {"{" T ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[12,20]}}", 20,
     "begin"},
    {"{\"__metadata__\":3}", 0, "__metadata__"},
    {"{\"__metadata__\":{\"alexnet\":3}}", 0, "__metadata__"},
    {"{\"__metadata__\":{\"alexnet\":\"\"}}", 0, "metadata is no JSON"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "is there twice"},
    {"{\"__metadata__\":{\"alexnet\":\"{}\",\"\\u0061lexnet\":\"{}\"}}", 0,
     "or two, for"},
    {"{\"__metadata__\":{\"alexnet\":\"{\\\"version\\\":1,\\\"version\\\":1}\"}}", 0,
     "version"},
    {"{\"__metadata__\":{\"alexnet\":\"{\\\"version\\\":1}\"}}", 0, "arch"},
    {"{\"__metadata__\":{\"alexnet\":\"{\\\"version\\\":1,\\\"arch\\\":\\\"paper\\\"}\"}"
     "}",
     0, "config"},
    {"{\"classifier.6.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]"
     "}}",
     16, "features.0.weight"},
    {"{\"classifier.6.weight\":{\"dtype\":\"I64\",\"shape\":[1,1],\"data_offsets\":[0,8]}"
     "}",
     8, "torchvision"},
};

START_TEST(hostile_headers_are_refused)
{
    memory m = file_with(hostile[_i].header, hostile[_i].bytes);
    an_model *model = (an_model *)&m;
    FILE *file = fopen(path, "wb");

    ck_assert_int_eq(read_back(&model, &m), AN_ERROR_FORMAT);
    ck_assert_msg(strstr(an_error_message(), hostile[_i].word) != NULL, "%s",
                  an_error_message());
    ck_assert_ptr_eq(model, (an_model *)&m);
    ck_assert(fwrite(m.data, 1, m.bytes, file) == m.bytes);
    fclose(file);
    ck_assert_int_eq(an_model_load(&model, ctx, path, NULL), AN_ERROR_FORMAT);
    free(m.data);
}
END_TEST

START_TEST(a_newer_format_is_refused_as_such)
{
    memory m = file_with("{\"__metadata__\":{\"alexnet\":\"{\\\"version\\\":2}\"}}", 0);
    an_model *model;

    ck_assert_int_eq(read_back(&model, &m), AN_ERROR_VERSION);
    free(m.data);
}
END_TEST

START_TEST(truncated_and_longer_files_are_refused)
{
    an_model *model = model_of(AN_ARCH_CIFAR10), *loaded = NULL;
    memory m = file_of(model);
    size_t whole = m.bytes, step = 1;

    for (m.bytes = 0; m.bytes < whole; m.bytes += step) {
        ck_assert_int_eq(read_back(&loaded, &m), AN_ERROR_FORMAT);
        if (m.bytes > 2600) step = 997;
    }
    m.bytes = whole - 1;
    ck_assert_int_eq(read_back(&loaded, &m), AN_ERROR_FORMAT);
    m.data = realloc(m.data, whole + 1);
    m.data[whole] = 0;
    m.bytes = whole + 1;
    ck_assert_int_eq(read_back(&loaded, &m), AN_ERROR_FORMAT);
    m.bytes = whole;
    m.data[7] = 0xff; /* a header of 2^63 bytes */
    ck_assert_int_eq(read_back(&loaded, &m), AN_ERROR_FORMAT);
    ck_assert_ptr_null(loaded);
    an_model_destroy(model);
    free(m.data);
}
END_TEST

/* One byte after another set to something else: never more than a status. */
START_TEST(mutated_headers_do_no_harm)
{
    static const unsigned char evil[] = {0, 0xff, '"', '{', '}', '9', '-', ','};
    an_model *model = model_of(AN_ARCH_CIFAR10), *loaded;
    memory m = file_of(model);
    size_t i, k, refused = 0;

    for (i = 8; i < 2200; i += 3)
        for (k = 0; k < sizeof evil; k++) {
            unsigned char was = m.data[i];

            m.data[i] = evil[k];
            if (read_back(&loaded, &m) == AN_OK)
                an_model_destroy(loaded);
            else
                refused++;
            m.data[i] = was;
        }
    ck_assert_uint_gt(refused, 2500);
    an_model_destroy(model);
    free(m.data);
}
END_TEST

START_TEST(a_trainer_wants_its_own_model)
{
    an_model *model = model_of(AN_ARCH_CIFAR10), *other;
    an_model_config config = config_of(AN_ARCH_CIFAR10);
    an_trainer *trainer, *loaded = NULL;

    config.activation = AN_ACTIVATION_TANH;
    ck_assert_int_eq(an_model_create(&other, ctx, &config), AN_OK);
    ck_assert_int_eq(an_model_save(model, path), AN_OK);
    ck_assert_int_eq(an_trainer_load(&loaded, model, path), AN_ERROR_FORMAT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "without a trainer"));
    ck_assert_int_eq(an_trainer_create(&trainer, model, NULL), AN_OK);
    ck_assert_int_eq(an_trainer_save(trainer, path), AN_OK);
    ck_assert_int_eq(an_trainer_load(&loaded, other, path), AN_ERROR_STATE);
    ck_assert_int_eq(an_trainer_load(&loaded, model, path), AN_ERROR_STATE); /* has one */
    ck_assert_ptr_null(loaded);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_model_destroy(other);
}
END_TEST

/* --- failing disks and callbacks --------------------------------------------------- */

START_TEST(failing_callbacks_are_a_status)
{
    an_model *model = model_of(AN_ARCH_CIFAR10), *loaded = NULL;
    memory whole = file_of(model);
    size_t calls = whole.calls, i;

    ck_assert_uint_gt(calls, 5);
    for (i = 1; i <= calls; i++) {
        memory m = {NULL, 0, 0, 0, i, 0};

        ck_assert_int_eq(an_model_write(model, write_memory, &m), AN_ERROR_IO);
        free(m.data);
    }
    whole.most = 5000;
    ck_assert_int_eq(read_back(&loaded, &whole), AN_OK);
    an_model_destroy(loaded);
    calls = whole.calls;
    loaded = NULL;
    for (i = 1; i <= calls; i++) {
        whole.fail_at = i;
        ck_assert_int_eq(read_back(&loaded, &whole), AN_ERROR_IO);
        ck_assert_ptr_null(loaded);
    }
    an_model_destroy(model);
    free(whole.data);
}
END_TEST

static size_t files_in_folder(void)
{
    char command[128];
    FILE *pipe;
    size_t lines = 0;
    int c;

    snprintf(command, sizeof command, "ls -A %s", folder);
    pipe = popen(command, "r");
    while ((c = fgetc(pipe)) != EOF) lines += c == '\n';
    pclose(pipe);
    return lines;
}

START_TEST(a_failed_save_leaves_the_old_file)
{
    an_model *model = model_of(AN_ARCH_CIFAR10), *loaded;
    struct stat before, after;
    char missing[128];

    ck_assert_int_eq(an_model_save(model, path), AN_OK);
    ck_assert_int_eq(stat(path, &before), 0);
    snprintf(missing, sizeof missing, "%s/no/such.safetensors", folder);
    ck_assert_int_eq(an_model_save(model, missing), AN_ERROR_IO);
    ck_assert_int_eq(an_model_save(model, folder),
                     AN_ERROR_IO); /* a folder stands there */
    ck_assert_int_eq(an_model_load(&loaded, ctx, missing, NULL), AN_ERROR_IO);
    ck_assert_int_eq(an_model_load(&loaded, ctx, folder, NULL), AN_ERROR_IO);
    ck_assert_int_eq(an_model_load(&loaded, ctx, "/dev/null", NULL), AN_ERROR_IO);

    /* A limit on file sizes fails a write half way, as a full disk does. */
    {
        const struct rlimit small = {5000, RLIM_INFINITY},
                            none = {RLIM_INFINITY, RLIM_INFINITY};

        signal(SIGXFSZ, SIG_IGN);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
        ck_assert_int_eq(an_model_save(model, path), AN_ERROR_IO);
        ck_assert_msg(strstr(an_error_message(), "File too large") != NULL, "%s",
                      an_error_message());
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    }
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    ck_assert_int_eq(before.st_size, after.st_size);
    ck_assert_uint_eq(files_in_folder(), 1);
    an_model_destroy(model);
}
END_TEST

/* A child saves two models in turn over one path and is killed at any moment: the path
 * holds one of the two, whole. */
START_TEST(a_kill_during_saves_leaves_a_whole_file)
{
    const int kills = getenv("AN_LONG") != NULL ? 300 : 30;
    an_model_config config = config_of(AN_ARCH_CIFAR10);
    int kill_number, whole[2] = {0, 0};
    unsigned saves = 0;

    config.width = 0.5f;
    for (kill_number = 0; kill_number < kills; kill_number++) {
        int counter[2];
        pid_t child;
        an_model *loaded;
        struct timespec pause = {0, 3000000 + kill_number * 7919 % 40 * 1000000};
        char byte;

        ck_assert_int_eq(pipe(counter), 0);
        child = fork();
        if (child == 0) { /* a context of its own, as a child must */
            an_context *mine;
            an_model *model[2];
            int i;

            close(counter[0]);
            if (an_context_create(&mine, NULL) != AN_OK) _exit(1);
            for (i = 0; i < 2; i++) {
                config.seed = (uint64_t)i;
                if (an_model_create(&model[i], mine, &config) != AN_OK) _exit(1);
            }
            for (i = 0;; i = 1 - i)
                if (an_model_save(model[i], path) != AN_OK ||
                    write(counter[1], "x", 1) != 1)
                    _exit(1);
        }
        close(counter[1]);
        ck_assert_int_eq((int)read(counter[0], &byte, 1), 1); /* at least one is done */
        nanosleep(&pause, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        for (saves++; read(counter[0], &byte, 1) == 1;) saves++;
        close(counter[0]);
        ck_assert_msg(an_model_load(&loaded, ctx, path, NULL) == AN_OK, "%s",
                      an_error_message());
        ck_assert_uint_le(loaded->net.plan->config.seed, 1);
        whole[loaded->net.plan->config.seed]++;
        an_model_destroy(loaded);
    }
    ck_assert_msg(whole[0] > 0 && whole[1] > 0, "only one of two ever seen");
    ck_assert_uint_gt(saves, getenv("AN_LONG") != NULL ? 1000 : 60);
}
END_TEST

Suite *checkpoint_suite(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *tc = tcase_create("checkpoint");

    tcase_set_timeout(tc, 300);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_model_comes_back_as_it_was, AN_ARCH_PAPER,
                        AN_ARCH_LAST + 1);
    tcase_add_test(tc, a_mapped_file_is_not_written);
    tcase_add_loop_test(tc, a_resumed_trainer_gives_the_same_bits, 0, 2);
    tcase_add_test(tc, a_file_loads_into_two_towers);
    tcase_add_loop_test(tc, half_precision_tensors_are_read, 0, 2);
    tcase_add_loop_test(tc, hostile_headers_are_refused, 0,
                        (int)(sizeof hostile / sizeof hostile[0]));
    tcase_add_test(tc, a_newer_format_is_refused_as_such);
    tcase_add_test(tc, truncated_and_longer_files_are_refused);
    tcase_add_test(tc, mutated_headers_do_no_harm);
    tcase_add_test(tc, a_trainer_wants_its_own_model);
    tcase_add_test(tc, failing_callbacks_are_a_status);
    tcase_add_test(tc, a_failed_save_leaves_the_old_file);
    tcase_add_test(tc, a_kill_during_saves_leaves_a_whole_file);
    suite_add_tcase(suite, tc);
    return suite;
}
