/*
 * seeds.c - the first inputs of every target, made from valid files.
 *
 * usage: seeds FOLDER   with a folder in it for each target
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static const char *out;

/* --- writing ----------------------------------------------------------------------- */

typedef struct bytes {
    uint8_t data[1 << 18];
    size_t size;
} bytes;

static void add(bytes *b, const void *data, size_t size)
{
    FUZZ_EXPECT(size <= sizeof b->data - b->size, "a seed is too large");
    if (size > 0) memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void add_number(bytes *b, uint64_t number, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        uint8_t byte = (uint8_t)(number >> 8 * i);

        add(b, &byte, 1);
    }
}

static void save(const char *target, const void *data, size_t size)
{
    static unsigned count;
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", out, target);
    (void)mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/seed-%03u", out, target, count++);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        fuzz_fail("cannot write %s", path);
}

static void save_texts(const char *target, const char *const *texts, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) save(target, texts[i], strlen(texts[i]));
}

#define SAVE_TEXTS(target, texts) save_texts(target, texts, sizeof texts / sizeof *texts)

/* A safetensors file's header, and what it has for "alexnet". */
static void save_header(const uint8_t *data, size_t size)
{
    fuzz_memory memory = {(size_t)32 << 20, 0, 0, 0};
    const an_allocator allocator = fuzz_allocator(&memory);
    fuzz_input in = {data, size};
    uint64_t length = fuzz_take(&in, 8);
    an_header header;

    save("header", in.data, (size_t)length);
    FUZZ_CALL(
        an__header_parse(&header, &allocator, (const char *)in.data, (size_t)length), 0);
    save("json", header.metadata, header.metadata_bytes);
    an__header_free(&header, &allocator);
}

/* --- checkpoints ------------------------------------------------------------------- */

/* Loaded as a file, by a reader, by a slow one, copied, and in two towers. */
static void save_checkpoint(const fuzz_sink *file, uint32_t number)
{
    static const uint8_t choices[][8] = {{5, 1},    {5, 0},      {5, 0x40, 7},
                                         {5, 9},    {5, 0xc1},   {5, 0xc0},
                                         {1, 1, 0}, {0, 1, 2, 3}};
    static bytes b;
    uint64_t length = 0;
    int i;

    b.size = 0;
    add(&b, choices[number % 8], 8);
    add(&b, file->data, file->size);
    save("checkpoint", b.data, b.size);
    b.data[7] |= 1; /* without its tensors, which the target puts there */
    for (i = 8; i-- > 0;) length = length << 8 | file->data[i];
    save("checkpoint", b.data, 16 + (size_t)length);
}

static void config_vary(an_model_config *config, uint32_t i)
{
    fuzz_model_config(config);
    if (i == 1) config->lrn = AN_SWITCH_ON;
    if (i == 2) config->extra_conv = 1;
    if (i == 3) config->remove_conv = 3;
    if (i == 4) {
        config->activation = AN_ACTIVATION_TANH;
        config->image_size = 12;
        config->pooling = AN_POOLING_OVERLAPPING;
        config->groups = 2;
    }
    if (i == 5) config->dropout = AN_SWITCH_OFF;
    if (i == 6) config->initialisation = AN_INIT_HE;
}

/* A trainer with something in each of its fields. */
static an_trainer *trainer_make(an_model *model, uint32_t i)
{
    static const float input[3 * 12 * 12] = {1, 2, 3}; /* of the largest */
    const int32_t label = 1;
    const uint8_t note[AN_TRAINER_NOTE_BYTES] = {1, 2, 3};
    an_trainer_config config;
    an_trainer *trainer;

    an_trainer_config_init(&config, sizeof config);
    config.batch = 2;
    config.micro_batch = i % 2;
    config.plateau_drops = i % 3;
    FUZZ_CALL(an_trainer_create(&trainer, model, &config), 0);
    if (i % 2) FUZZ_CALL(an_recipe_schedule("krizhevsky2012", trainer, 5, 0), 0);
    FUZZ_CALL(an_trainer_set_layer_rates(trainer, "conv2", 0, 0), FUZZ_MAY(ARGUMENT));
    FUZZ_CALL(an_train_step(trainer, input, &label, 1, NULL), 0);
    FUZZ_CALL(an_trainer_end_epoch(trainer, 0.5, NULL), 0);
    FUZZ_CALL(an_trainer_set_note(trainer, note), 0);
    return trainer;
}

static void mean_set(an_model *model)
{
    an_preprocessing p;
    float *mean;
    size_t count;

    an_preprocessing_init(&p, sizeof p);
    FUZZ_CALL(an_model_get_preprocessing(model, &p), 0);
    p.side = FUZZ_SIDE;
    FUZZ_CALL(an_model_set_preprocessing(model, &p), 0);
    count = (size_t)3 * p.side * p.side;
    mean = calloc(count, sizeof *mean);
    FUZZ_CALL(an_model_set_mean_image(model, mean, count), 0);
    free(mean);
}

static void make_checkpoints(an_context *ctx)
{
    uint32_t i;

    for (i = 0; i < 14; i++) {
        an_model_config config;
        an_model *model;
        an_trainer *trainer = NULL;
        fuzz_sink sink = {NULL, 0};

        config_vary(&config, i % 7);
        FUZZ_CALL(an_model_create(&model, ctx, &config), 0);
        FUZZ_CALL(an_model_set_class_name(model, 0, "zero"), 0);
        FUZZ_CALL(an_model_set_class_name(model, 2, "tw\xc3\xb6\n\""), 0);
        if (i % 3 == 0) mean_set(model);
        if (i < 9) trainer = trainer_make(model, i);
        if (trainer != NULL)
            FUZZ_CALL(an_trainer_write(trainer, fuzz_write, &sink), 0);
        else
            FUZZ_CALL(an_model_write(model, fuzz_write, &sink), 0);
        save_checkpoint(&sink, i);
        if (i % 7 < 2) save_header(sink.data, sink.size);
        fuzz_sink_free(&sink);
        an_trainer_destroy(trainer);
        an_model_destroy(model);
    }
}

/* torchvision's, which has no metadata: a header alone, as all of it would be large; and
 * the first bytes of what is no checkpoint. */
static void make_other_files(void)
{
    static const char *const headers[] = {
        "{\"classifier.6.weight\":{\"dtype\":\"F16\",\"shape\":[2,0],\"data_offsets\":[0,"
        "0]},"
        "\"features.0.weight\":{\"dtype\":\"BF16\",\"shape\":[0,3,11,11],"
        "\"data_offsets\":[0,0]}}",
        ("{\"place\":{\"dtype\":\"U64\",\"shape\":[0],\"data_offsets\":[0,0]},"
         "\"sum\":{\"dtype\":\"I32\",\"shape\":[0],\"data_offsets\":[0,0]}}"),
        "{}", "[]"};
    static const char *const others[] = {"PK\3\4zip  ", "\x89PNG\r\n\x1a\n", "<html>  ",
                                         "version https://git-lfs",
                                         "some text of no use"};
    static bytes b;
    size_t i;

    for (i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        b.size = 0;
        add_number(&b, 5, 8);
        add_number(&b, strlen(headers[i]), 8);
        add(&b, headers[i], strlen(headers[i]));
        save("checkpoint", b.data, b.size);
    }
    for (i = 0; i < sizeof others / sizeof others[0]; i++) {
        b.size = 0;
        add_number(&b, 5, 8);
        add(&b, others[i], strlen(others[i]));
        save("checkpoint", b.data, b.size);
    }
    SAVE_TEXTS("header", headers);
}

/* --- packs ------------------------------------------------------------------------- */

static void add_file(bytes *b, const char *name, int with_length)
{
    static uint8_t data[1 << 16];
    FILE *file = fopen(fuzz_path(name), "rb");
    size_t size;

    if (file == NULL) fuzz_fail("there is no %s", name);
    size = fread(data, 1, sizeof data, file);
    fclose(file);
    if (with_length) add_number(b, size, 4);
    add(b, data, size);
}

static void save_pack(const char *target, uint64_t choices, uint32_t count,
                      const char *index)
{
    static bytes b;

    b.size = 0;
    add_number(&b, choices, count);
    add_file(&b, "part-0000.bin", 1);
    add_file(&b, index, 0);
    save(target, b.data, b.size);
}

static void make_packs(an_context *ctx)
{
    uint32_t i, k;

    for (i = 0; i < 8; i++) {
        an_pack_writer_config config;
        an_pack_writer *writer;
        uint8_t pixels[FUZZ_PIXELS];

        fuzz_folder_empty();
        an_pack_writer_config_init(&config, sizeof config);
        config.side = FUZZ_SIDE;
        config.classes = FUZZ_CLASSES;
        config.kind = i & 1 ? AN_PACK_JPEG : AN_PACK_RAW;
        config.fit = i & 2 ? AN_FIT_WARP : AN_FIT_CROP;
        config.part_bytes = i & 4 ? 3 * FUZZ_PIXELS : 1 << 20;
        FUZZ_CALL(an_pack_writer_create(&writer, ctx, fuzz_folder(), &config), 0);
        FUZZ_CALL(an_pack_writer_set_class_name(writer, 1, "one"), 0);
        for (k = 0; k < 4; k++) {
            memset(pixels, i > 5 && k == 3 ? 0xff : (int)(40 * k + i), sizeof pixels);
            FUZZ_CALL(an_pack_writer_add(writer, pixels, pixels, 3 + k, (int32_t)k % 3),
                      0);
        }
        FUZZ_CALL(an_pack_writer_skip(writer), 0);
        FUZZ_CALL(an_pack_writer_sync(writer), 0);
        for (k = 0; k < 12; k++) /* steps; what lies there; the config of before */
            save_pack("writer",
                      (k % 3 ? 0x2d46e << 12 : 0x44 << 12) | k << 8 | (k & 1) << 5 | 4 |
                          (i & 3),
                      4, AN_PACK_JOURNAL);
        FUZZ_CALL(an_pack_writer_finish(writer), 0);
        an_pack_writer_destroy(writer);
        for (k = 0; k < 5; k++) { /* prepare a model, save it, load batches; no index */
            save_pack("pack", (k == 0) | 2 | k << 2 | 3u << 4 | 0x2c0 * k, 2,
                      AN_PACK_INDEX);
            save_pack("pack", 2 | 8 << 2 | (k & 1) << 10 | k << 6, 2, AN_PACK_INDEX);
            if (i == 0) save_pack("pack", 7u << 13 | k, 2, AN_PACK_INDEX);
        }
    }
}

/* --- texts ------------------------------------------------------------------------- */

static void make_texts(void)
{
    static const char *const json[] = {"{}",
                                       "[]",
                                       "0",
                                       "-1.5e+3",
                                       "\"\\u00e9\\ud83d\\ude00\\n\"",
                                       "[true,false,null]",
                                       "{\"a\":[1,2,{\"b\":\"c\"}],\"a\":2}",
                                       " [ 18446744073709551615 , 1e999 ] ",
                                       "{\"version\":1,\"check\":\"0123456789abcdef\"}"};
    static const char *const text[] = {"\x10paper",
                                       "\x20torchvision",
                                       "\xff"
                                       "conv1",
                                       "\x08"
                                       "conv1.weight",
                                       "\x40krizhevsky2012",
                                       "\x04small-data",
                                       "\x40tw\xc3\xb6 \xf0\x9f\x98\x80",
                                       "\x30\x1b[31mred\x1b[0m",
                                       "\x30\xe2\x80\xae",
                                       "\x30\xed\xa0\x80\xff\xc0\x80"};
    static const char groups[] = "\0"
                                 "30 24 0:26 / /cg rw - cgroup2 cgroup2 rw\n\0"
                                 "0::/a/b\n\0"
                                 "50000 100000\n\0max 100000\n";
    static const char older[] =
        "\0"
        "35 25 0:30 /a /cg/a rw - cgroup cgroup rw,cpu,cpuacct\n\0"
        "4:cpu,cpuacct:/a\n\0\0\0"
        "150000\n\0"
        "100000\n";
    static const char plugin[] = "\2\0/lib/alexnet-cuda.so";
    static const char devices[] = "\3cpu,cpu:0\0/lib/alexnet-cuda.so";
    static const char none[] = "\3nope:12\0";

    SAVE_TEXTS("json", json);
    SAVE_TEXTS("text", text);
    save("environment", groups, sizeof groups - 1);
    save("environment", older, sizeof older - 1);
    save("environment", plugin, sizeof plugin - 1);
    save("environment", devices, sizeof devices - 1);
    save("environment", none, sizeof none - 1);
}

/* Inputs that are nothing but choices: bytes of all kinds, from a sequence. */
static void make_choices(void)
{
    static const char *const names[] = {"configs", "loader", "image"};
    uint32_t state = 1, i, k;
    uint8_t data[96];
    size_t n;

    for (n = 0; n < sizeof names / sizeof names[0]; n++)
        for (i = 0; i < 64; i++) {
            for (k = 0; k < sizeof data; k++) {
                state = state * 1664525u + 1013904223u;
                data[k] = (uint8_t)(i & 8 ? state >> 24 & 7 : state >> 24);
            }
            data[0] = (uint8_t)i;
            save(names[n], data, i & 16 ? 12 : sizeof data);
        }
}

int main(int argc, char **argv)
{
    fuzz_memory memory = {(size_t)64 << 20, 0, 0, 0};
    an_context *ctx;

    if (argc != 2) {
        fprintf(stderr, "usage: seeds FOLDER\n");
        return 1;
    }
    out = argv[1];
    (void)mkdir(out, 0777);
    ctx = fuzz_context(&memory);
    make_checkpoints(ctx);
    make_other_files();
    make_packs(ctx);
    make_texts();
    make_choices();
    an_context_destroy(ctx);
    return 0;
}
