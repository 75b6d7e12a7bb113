/*
 * test_arrivals.c - memory follows data: what a file or a reader promises costs nothing
 * until it comes. Bounds are in bytes of the context's allocator, at their highest.
 */
#define _GNU_SOURCE
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "expect.h"
#include "memfile.h"
#include "packs.h"
#include "scratch.h"
#include "small.h"
#include "test.h"

/* What a call may have before any data: two pieces of 1 MiB to read to, 1 MiB that may be
 * reserved ahead, and a model's or plan's own struct. And times what has come: a tensor's
 * place four times, and its first pieces, which are twice a half float's bytes. */
enum { AT_FIRST = 4 << 20, TIMES = 6 };

static counted counts;
static an_context *ctx;

static void begin(void)
{
    an_context_config config;

    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    counted_allocator(&config, &counts);
    expect_ok(an_context_create(&ctx, &config));
}

static void end(void)
{
    an_context_destroy(ctx);
    expect_count((uint64_t)counts.blocks, 0, "blocks after all is destroyed");
}

/* A header, and zeros behind it, up to a limit. */
typedef struct promise {
    char *header; /* with its length in front */
    size_t header_bytes;
    uint64_t at, limit;
} promise;

static ptrdiff_t promise_read(void *data, size_t bytes, void *user)
{
    promise *p = user;
    size_t head = p->at < p->header_bytes ? (size_t)(p->header_bytes - p->at) : 0;

    if (bytes > p->limit - p->at) bytes = (size_t)(p->limit - p->at);
    if (head > bytes) head = bytes;
    memcpy(data, p->header + p->at, head);
    memset((char *)data + head, 0, bytes - head);
    p->at += bytes;
    return (ptrdiff_t)bytes;
}

static promise promise_of(const char *text, size_t bytes)
{
    promise p = {malloc(8 + bytes), 8 + bytes, 0, UINT64_MAX};
    int i;

    for (i = 0; i < 8; i++) p.header[i] = (char)((uint64_t)bytes >> 8 * i);
    memcpy(p.header + 8, text, bytes);
    return p;
}

/* torchvision's AlexNet, of so many classes; with a tensor more that nobody wants.
 * *bytes: of all tensors. */
static promise promise_model(const char *dtype, uint32_t size, uint32_t classes,
                             uint64_t unwanted, uint64_t *bytes)
{
    const struct {
        const char *name;
        uint32_t shape[4];
    } tensors[] = {
        {"features.0", {64, 3, 11, 11}},      {"features.3", {192, 64, 5, 5}},
        {"features.6", {384, 192, 3, 3}},     {"features.8", {256, 384, 3, 3}},
        {"features.10", {256, 256, 3, 3}},    {"classifier.1", {4096, 9216, 0, 0}},
        {"classifier.4", {4096, 4096, 0, 0}}, {"classifier.6", {classes, 4096, 0, 0}}};
    char text[8192];
    uint64_t at = unwanted;
    int used = sprintf(text,
                       "{\"other\":{\"dtype\":\"U8\",\"shape\":[%llu],"
                       "\"data_offsets\":[0,%llu]}",
                       (unsigned long long)unwanted, (unsigned long long)unwanted);
    size_t i;

    for (i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        const uint32_t *s = tensors[i].shape;
        uint64_t row = (uint64_t)s[1] * (s[2] ? s[2] * s[3] : 1),
                 next = at + row * s[0] * size;
        char shape[64];

        sprintf(shape, s[2] ? "%u,%u,%u,%u" : "%u,%u", s[0], s[1], s[2], s[3]);
        used += sprintf(text + used,
                        ",\"%s.weight\":{\"dtype\":\"%s\",\"shape\":[%s],"
                        "\"data_offsets\":[%llu,%llu]}",
                        tensors[i].name, dtype, shape, (unsigned long long)at,
                        (unsigned long long)next);
        at = next + (uint64_t)s[0] * size;
        used += sprintf(text + used,
                        ",\"%s.bias\":{\"dtype\":\"%s\",\"shape\":[%u],"
                        "\"data_offsets\":[%llu,%llu]}",
                        tensors[i].name, dtype, s[0], (unsigned long long)next,
                        (unsigned long long)at);
    }
    text[used++] = '}';
    *bytes = at;
    return promise_of(text, (size_t)used);
}

static void expect_follows(uint64_t come, const char *what)
{
    ck_assert_msg(counts.most <= AT_FIRST + TIMES * come,
                  "%s: %zu bytes were held when %llu had come", what, counts.most,
                  (unsigned long long)come);
}

/* Reads what comes of a promise, whose end does not, and looks at memory. */
static void expect_model_follows(promise *p, uint64_t come, const char *what)
{
    an_model *model = NULL;

    counts.most = counts.bytes;
    p->at = 0;
    p->limit = come < p->header_bytes ? come : p->header_bytes + come;
    expect_refused(an_model_read(&model, ctx, promise_read, p, NULL), AN_ERROR_FORMAT,
                   "the file ends too early");
    ck_assert_ptr_null(model);
    expect_follows(p->limit, what);
}

START_TEST(a_models_memory_follows_its_data)
{
    static const struct {
        const char *dtype;
        uint32_t size;
    } types[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}};
    const uint64_t come[] = {0, 1, 100000, 1 << 20, 5 << 20, 9 << 20, 20 << 20, 45 << 20};
    size_t t, i;

    for (t = 0; t < 3; t++) {
        uint64_t bytes;
        promise p = promise_model(types[t].dtype, types[t].size, 65536, 0, &bytes);

        for (i = 0; i < sizeof come / sizeof come[0]; i++)
            expect_model_follows(&p, come[i], types[t].dtype);
        free(p.header);
    }
}
END_TEST

/* And is a model, where all of it comes; no zero of it is another number. */
START_TEST(a_promise_that_is_kept_is_a_model)
{
    uint64_t bytes;
    promise p = promise_model("F16", 2, 2, 1000, &bytes);
    an_model *model;
    size_t count, i;
    float *values;

    p.limit = p.header_bytes + bytes;
    expect_ok(an_model_read(&model, ctx, promise_read, &p, NULL));
    expect_follows(p.limit, "all of it");
    values = parameter_of(model, 10, &count);
    expect_count(count, 4096u * 9216u, "the largest");
    for (i = 0; i < count && values[i] == 0; i++) continue;
    expect_count(i, count, "numbers that are 0");
    free(values);
    an_model_destroy(model);
    free(p.header);
}
END_TEST

/* The header alone of a file that the library writes. */
static int keep_beginning(const void *data, size_t bytes, void *user)
{
    memfile *m = user;
    size_t room = 65536 - m->bytes;

    memcpy(m->data + m->bytes, data, bytes < room ? bytes : room);
    m->bytes += bytes < room ? bytes : room;
    return m->bytes == 65536;
}

START_TEST(a_trainers_memory_follows_its_data)
{
    static const uint64_t come[] = {0, 1 << 20, 40 << 20, 62 << 20, 66 << 20, 70 << 20};
    an_model_config config;
    an_trainer_config training;
    memfile file = {calloc(1, 65536), 0, 0, 0, 0, 0};
    an_trainer *trainer;
    an_model *model;
    uint64_t length = 0;
    size_t i, before;
    promise p;

    an_model_config_init(&config, sizeof config);
    config.width = 0.5f;
    expect_ok(an_model_create(&model, ctx, &config));
    an_trainer_config_init(&training, sizeof training);
    training.batch = 1;
    expect_ok(an_trainer_create(&trainer, model, &training));
    ck_assert_int_eq(an_trainer_write(trainer, keep_beginning, &file), AN_ERROR_IO);
    an_trainer_destroy(trainer);
    for (i = 0; i < 8; i++) length |= (uint64_t)file.data[i] << 8 * i;
    p = promise_of((const char *)file.data + 8, (size_t)length);
    before = counts.bytes;
    for (i = 0; i < sizeof come / sizeof come[0]; i++) {
        trainer = NULL;
        counts.most = counts.bytes;
        p.at = 0;
        p.limit = p.header_bytes + come[i];
        expect_refused(an_trainer_read(&trainer, model, promise_read, &p),
                       AN_ERROR_FORMAT, "the file ends too early");
        ck_assert_ptr_null(trainer);
        ck_assert_uint_le(counts.most - before, AT_FIRST + TIMES * p.limit);
        expect_count(counts.bytes, before, "bytes held after it");
    }
    an_model_destroy(model);
    free(p.header);
    free(file.data);
}
END_TEST

/* A header that is promised long, of which little comes; and long ones of what takes the
 * most memory for its length. */
START_TEST(a_headers_memory_follows_its_data)
{
    static const char *const repeated[] = {
        "{},",
        "[],",
        "\"\":0,",
        "\"\":{},",
        "[[",
        "\"\\u0001\":null,",
        "\"\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"};
    const size_t bytes = 4 << 20;
    char *text = malloc(bytes);
    an_model *model = NULL;
    size_t i, at;
    promise p;

    memset(text, ' ', bytes);
    p = promise_of(text, bytes);
    for (at = 8; at < bytes; at = 4 * at + 1) {
        counts.most = counts.bytes;
        p.at = 0;
        p.limit = at;
        expect_refused(an_model_read(&model, ctx, promise_read, &p, NULL),
                       AN_ERROR_FORMAT, "too early");
        ck_assert_uint_le(counts.most, (256 << 10) + 4 * at);
    }
    free(p.header);
    for (i = 0; i < sizeof repeated / sizeof repeated[0]; i++) {
        size_t each = strlen(repeated[i]);

        text[0] = '{';
        for (at = 1; at + each < bytes; at += each) memcpy(text + at, repeated[i], each);
        text[at - 1] = '}';
        p = promise_of(text, at);
        counts.most = counts.bytes;
        expect_count((uint64_t)an_model_read(&model, ctx, promise_read, &p, NULL),
                     AN_ERROR_FORMAT, "a header of %s", repeated[i]);
        expect_follows(at, repeated[i]);
        free(p.header);
    }
    ck_assert_ptr_null(model);
    free(text);
}
END_TEST

/* How many pages of a file's beginning the system has in memory. */
static size_t pages_cached(const char *path, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = bytes / page, cached = 0, i;
    int file = open(path, O_RDONLY);
    void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file, 0);
    unsigned char *in = malloc(pages);

    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_int_eq(mincore(map, bytes, in), 0);
    for (i = 0; i < pages; i++) cached += in[i] & 1;
    munmap(map, bytes);
    close(file);
    free(in);
    return cached;
}

/* Of 256 MiB that nobody wants, the system need not have read more than what it reads
 * ahead of a page that somebody has touched. */
START_TEST(what_is_passed_over_in_a_file_is_not_read)
{
    char folder[SCRATCH], path[SCRATCH + 16];
    an_load_config load;
    an_model *model;
    uint64_t bytes, rest;
    promise p = promise_model("F16", 2, 2, (uint64_t)256 << 20, &bytes);
    FILE *file;

    scratch_folder(folder);
    snprintf(path, sizeof path, "%s/sparse", folder);
    file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(p.header, 1, p.header_bytes, file), p.header_bytes);
    ck_assert_int_eq(fclose(file), 0);
    rest = bytes + p.header_bytes;
    ck_assert_int_eq(truncate(path, (off_t)rest), 0);
    an_load_config_init(&load, sizeof load);
    load.copy = 1;
    expect_ok(an_model_load(&model, ctx, path, &load));
    ck_assert_uint_le(pages_cached(path, (size_t)256 << 20), 4096);
    an_model_destroy(model);
    free(p.header);
    unlink(path);
    rmdir(folder);
}
END_TEST

/* An index's records and names take no more than its bytes, some times. */
START_TEST(an_indexs_memory_follows_its_data)
{
    place at = place_open();
    an_pack_writer_config config = packing_config(1 << 20, 0);
    an_pack_writer *writer;
    an_pack *pack = NULL;
    uint8_t picture[BYTES] = {0}, *index;
    size_t bytes, cut;

    config.classes = 65536;
    config.empty_classes = 1;
    expect_ok(an_pack_writer_create(&writer, at.ctx, inside(&at, "wide"), &config));
    for (cut = 0; cut < 20000; cut++)
        expect_ok(an_pack_writer_add(writer, picture, NULL, 0, 0));
    expect_ok(an_pack_writer_finish(writer));
    an_pack_writer_destroy(writer);
    index = file_read(inside(&at, "wide/index.safetensors"), &bytes);
    for (cut = bytes; cut > 8; cut /= 5) {
        file_write(inside(&at, "wide/index.safetensors"), index, cut);
        counts.most = counts.bytes;
        if (cut == bytes)
            expect_ok(an_pack_open(&pack, ctx, inside(&at, "wide"), NULL, NULL));
        else
            expect_refused(an_pack_open(&pack, ctx, inside(&at, "wide"), NULL, NULL),
                           AN_ERROR_FORMAT, "");
        ck_assert_uint_le(counts.most, (256 << 10) + TIMES * cut);
        if (cut == bytes) an_pack_destroy(pack);
    }
    free(index);
    place_close(&at);
}
END_TEST

Suite *arrivals_suite(void)
{
    Suite *suite = suite_create("arrivals");
    TCase *tc = tcase_create("arrivals");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, a_models_memory_follows_its_data);
    tcase_add_test(tc, a_promise_that_is_kept_is_a_model);
    tcase_add_test(tc, a_trainers_memory_follows_its_data);
    tcase_add_test(tc, a_headers_memory_follows_its_data);
    tcase_add_test(tc, what_is_passed_over_in_a_file_is_not_read);
    tcase_add_test(tc, an_indexs_memory_follows_its_data);
    suite_add_tcase(suite, tc);
    return suite;
}
