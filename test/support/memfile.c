/*
 * memfile.c - checkpoints in memory.
 */
#include "memfile.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"

/* --- callbacks --------------------------------------------------------------------- */

int memfile_write(const void *data, size_t bytes, void *user)
{
    memfile *m = user;

    if (++m->calls == m->fail_at) return -1;
    ck_assert_msg(bytes > 0 && bytes <= 1 << 20,
                  "a writer got %zu bytes, wanted 1 to 1 MiB", bytes);
    m->data = realloc(m->data, m->bytes + bytes);
    memcpy(m->data + m->bytes, data, bytes);
    m->bytes += bytes;
    return 0;
}

ptrdiff_t memfile_read(void *data, size_t bytes, void *user)
{
    memfile *m = user;

    if (++m->calls == m->fail_at) return -1;
    if (m->most > 0 && bytes > m->most) bytes = m->most;
    if (bytes > m->bytes - m->at) bytes = m->bytes - m->at;
    memcpy(data, m->data + m->at, bytes);
    m->at += bytes;
    return (ptrdiff_t)bytes;
}

memfile memfile_of_model(const an_model *model)
{
    memfile m = {NULL, 0, 0, 0, 0, 0};

    expect_ok(an_model_write(model, memfile_write, &m));
    return m;
}

memfile memfile_of_trainer(const an_trainer *trainer)
{
    memfile m = {NULL, 0, 0, 0, 0, 0};

    expect_ok(an_trainer_write(trainer, memfile_write, &m));
    return m;
}

void memfile_free(memfile *m)
{
    free(m->data);
    m->data = NULL;
}

an_status memfile_load(an_model **out, an_context *ctx, memfile *m,
                       const an_load_config *config)
{
    m->at = m->calls = 0;
    return an_model_read(out, ctx, memfile_read, m, config);
}

an_status memfile_load_trainer(an_trainer **out, an_model *model, memfile *m)
{
    m->at = m->calls = 0;
    return an_trainer_read(out, model, memfile_read, m);
}

void memfile_store(const memfile *m, const char *path)
{
    FILE *file = fopen(path, "wb");

    ck_assert_msg(file != NULL, "cannot write %s", path);
    ck_assert(fwrite(m->data, 1, m->bytes, file) == m->bytes);
    ck_assert_int_eq(fclose(file), 0);
}

/* --- the header -------------------------------------------------------------------- */

static size_t header_bytes(const memfile *m)
{
    uint64_t length = 0;
    int i;

    ck_assert_uint_ge(m->bytes, 8);
    for (i = 0; i < 8; i++) length |= (uint64_t)m->data[i] << 8 * i;
    ck_assert_uint_le(length, m->bytes - 8);
    return (size_t)length;
}

json_t *memfile_header(const memfile *m)
{
    json_t *json = json_loadb((const char *)m->data + 8, header_bytes(m), 0, NULL);

    ck_assert_msg(json_is_object(json), "the header is no JSON object");
    return json;
}

json_t *memfile_about(const memfile *m)
{
    json_t *header = memfile_header(m), *about;
    const char *text = json_string_value(
        json_object_get(json_object_get(header, "__metadata__"), "alexnet"));

    ck_assert_msg(text != NULL, "the header has no text about the model");
    about = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(json_is_object(about), "what is about the model is no JSON: %s", text);
    json_decref(header);
    return about;
}

static char *dump(const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17));

    ck_assert_ptr_nonnull(text);
    return text;
}

/* Padded, as the library's own are, so that the tensors begin at a multiple of 64. */
static memfile join(const char *header, const void *tensors, size_t bytes)
{
    size_t used = strlen(header), length = (8 + used + 63) / 64 * 64 - 8, i;
    memfile m = {malloc(8 + length + bytes), 8 + length + bytes, 0, 0, 0, 0};

    for (i = 0; i < 8; i++) m.data[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memset(m.data + 8, ' ', length);
    memcpy(m.data + 8, header, used);
    if (bytes > 0) memcpy(m.data + 8 + length, tensors, bytes);
    return m;
}

memfile memfile_with_header(const memfile *m, const json_t *header)
{
    size_t start = 8 + header_bytes(m);
    char *text = dump(header);
    memfile out = join(text, m->data + start, m->bytes - start);

    free(text);
    return out;
}

memfile memfile_with_about(const memfile *m, const json_t *about)
{
    json_t *header = memfile_header(m);
    char *text = dump(about);
    memfile out;

    json_object_set_new(json_object_get(header, "__metadata__"), "alexnet",
                        json_string(text));
    out = memfile_with_header(m, header);
    free(text);
    json_decref(header);
    return out;
}

/* The object or list that holds the last part of a place, and that part. */
static json_t *holder_of(json_t *json, const char *place, char *last, size_t size)
{
    const char *dot;

    while ((dot = strchr(place, '.')) != NULL) {
        snprintf(last, size, "%.*s", (int)(dot - place), place);
        json = json_is_array(json) ? json_array_get(json, (size_t)atoi(last))
                                   : json_object_get(json, last);
        place = dot + 1;
    }
    snprintf(last, size, "%s", place);
    return json;
}

json_t *memfile_at(json_t *about, const char *place)
{
    char last[64];
    json_t *holder = holder_of(about, place, last, sizeof last);

    return json_is_array(holder) ? json_array_get(holder, (size_t)atoi(last))
                                 : json_object_get(holder, last);
}

memfile memfile_with(const memfile *m, const char *place, json_t *value)
{
    json_t *about = memfile_about(m), *holder;
    char last[64];
    memfile out;
    int failed;

    holder = holder_of(about, place, last, sizeof last);
    if (json_is_array(holder))
        failed = value != NULL ? json_array_set_new(holder, (size_t)atoi(last), value)
                               : json_array_remove(holder, (size_t)atoi(last));
    else
        failed = value != NULL ? json_object_set_new(holder, last, value)
                               : json_object_del(holder, last);
    ck_assert_msg(failed == 0, "the file has no %s", place);
    out = memfile_with_about(m, about);
    json_decref(about);
    return out;
}

memfile memfile_pushed(const memfile *m, size_t bytes)
{
    size_t start = 8 + header_bytes(m), length = start - 8 + bytes, i;
    memfile out = {malloc(m->bytes + bytes), m->bytes + bytes, 0, 0, 0, 0};

    memcpy(out.data, m->data, start);
    memset(out.data + start, ' ', bytes);
    memcpy(out.data + start + bytes, m->data + start, m->bytes - start);
    for (i = 0; i < 8; i++) out.data[i] = (unsigned char)((uint64_t)length >> 8 * i);
    return out;
}

/* --- tensors ----------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const memfile_tensor *x = a, *y = b;

    return x->data < y->data ? -1 : x->data > y->data;
}

static memfile_tensor tensor_of(const char *name, const json_t *entry,
                                unsigned char *tensors)
{
    const json_t *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    size_t begin = (size_t)json_integer_value(json_array_get(offsets, 0));
    size_t end = (size_t)json_integer_value(json_array_get(offsets, 1)), i;
    memfile_tensor t;

    memset(&t, 0, sizeof t);
    snprintf(t.name, sizeof t.name, "%s", name);
    snprintf(t.dtype, sizeof t.dtype, "%s",
             json_string_value(json_object_get(entry, "dtype")));
    t.dims = (uint32_t)json_array_size(shape);
    ck_assert_uint_le(t.dims, 6);
    for (i = 0; i < t.dims; i++)
        t.shape[i] = (uint64_t)json_integer_value(json_array_get(shape, i));
    t.bytes = end - begin;
    t.data = tensors + begin;
    return t;
}

memfile_parts memfile_take_apart(const memfile *m)
{
    json_t *header = memfile_header(m), *entry;
    memfile_parts parts;
    const char *name;
    size_t i;

    memset(&parts, 0, sizeof parts);
    parts.metadata = json_incref(json_object_get(header, "__metadata__"));
    json_object_foreach (header, name, entry) {
        if (strcmp(name, "__metadata__") == 0) continue;
        ck_assert_uint_lt(parts.count, MEMFILE_TENSORS);
        parts.tensor[parts.count++] =
            tensor_of(name, entry, m->data + 8 + header_bytes(m));
    }
    qsort(parts.tensor, parts.count, sizeof parts.tensor[0], by_place);
    for (i = 0; i < parts.count; i++) {
        unsigned char *copy = malloc(parts.tensor[i].bytes + 1);

        memcpy(copy, parts.tensor[i].data, parts.tensor[i].bytes);
        parts.tensor[i].data = copy;
    }
    json_decref(header);
    return parts;
}

static json_t *entry_of(const memfile_tensor *t, size_t begin)
{
    json_t *shape = json_array();
    uint32_t i;

    for (i = 0; i < t->dims; i++)
        json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", t->dtype, "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)(begin + t->bytes));
}

memfile memfile_put_together(const memfile_parts *parts)
{
    unsigned char *tensors = NULL;
    json_t *header = json_object();
    size_t bytes = 0, i;
    memfile out;
    char *text;

    if (parts->metadata != NULL) json_object_set(header, "__metadata__", parts->metadata);
    for (i = 0; i < parts->count; i++) {
        const memfile_tensor *t = &parts->tensor[i];

        json_object_set_new(header, t->name, entry_of(t, bytes));
        tensors = realloc(tensors, bytes + t->bytes + 1);
        memcpy(tensors + bytes, t->data, t->bytes);
        bytes += t->bytes;
    }
    text = dump(header);
    out = join(text, tensors, bytes);
    free(text);
    free(tensors);
    json_decref(header);
    return out;
}

void memfile_parts_free(memfile_parts *parts)
{
    size_t i;

    for (i = 0; i < parts->count; i++) free(parts->tensor[i].data);
    json_decref(parts->metadata);
    parts->count = 0;
}

memfile_tensor *memfile_find(memfile_parts *parts, const char *name)
{
    size_t i;

    for (i = 0; i < parts->count; i++)
        if (strcmp(parts->tensor[i].name, name) == 0) return &parts->tensor[i];
    ck_abort_msg("the file has no tensor %s", name);
    return NULL;
}

void memfile_add(memfile_parts *parts, const char *name, const char *dtype,
                 uint64_t numbers, size_t bytes)
{
    memfile_tensor *t = &parts->tensor[parts->count];

    ck_assert_uint_lt(parts->count, MEMFILE_TENSORS);
    memset(t, 0, sizeof *t);
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(t->dtype, sizeof t->dtype, "%s", dtype);
    t->dims = 1;
    t->shape[0] = numbers;
    t->bytes = bytes;
    t->data = malloc(bytes + 1);
    memset(t->data, 0x55, bytes);
    parts->count++;
}
