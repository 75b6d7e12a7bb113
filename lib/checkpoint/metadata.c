/*
 * metadata.c - configs, class names and a trainer's state as JSON, and back.
 *
 * The structs' fields stand in tables, so that reading and writing cannot differ. Numbers
 * that JSON readers may round (64-bit ones) are strings of hexadecimal digits; floats are
 * decimal with 17 digits, which brings back every float and double exactly.
 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/checkpoint.h"

#define FORMAT_VERSION 1

typedef enum an_field_kind {
    KIND_U32,
    KIND_U64,
    KIND_FLOAT,
    KIND_DOUBLE,
    KIND_BYTES,
    KIND_TEXT
} an_field_kind;

typedef struct an_field {
    const char *name;
    size_t offset;
    an_field_kind kind;
    size_t count; /* of an array; of bytes */
    int optional; /* where a file lacks it, what the object has stays */
} an_field;

#define U32(type, name)                                                                  \
    {                                                                                    \
#name, offsetof(type, name), KIND_U32, 1, 0                                      \
    }
#define U64(type, name)                                                                  \
    {                                                                                    \
#name, offsetof(type, name), KIND_U64, 1, 0                                      \
    }
#define FLOAT(type, name)                                                                \
    {                                                                                    \
#name, offsetof(type, name), KIND_FLOAT, 1, 0                                    \
    }
/* A file may lack it; count: of an array. */
#define OPTIONAL(type, name, kind, count)                                                \
    {                                                                                    \
#name, offsetof(type, name), kind, count, 1                                      \
    }
#define END                                                                              \
    {                                                                                    \
        NULL, 0, KIND_U32, 0, 0                                                          \
    }

/* Not the preset, which stands there by name, nor where and how the model is computed. */
static const an_field config_fields[] = {U32(an_model_config, classes),
                                         U32(an_model_config, image_size),
                                         U32(an_model_config, activation),
                                         U32(an_model_config, lrn),
                                         U32(an_model_config, pooling),
                                         U32(an_model_config, dropout),
                                         U32(an_model_config, dropout_scaling),
                                         FLOAT(an_model_config, dropout_rate),
                                         FLOAT(an_model_config, width),
                                         U32(an_model_config, groups),
                                         U32(an_model_config, remove_conv),
                                         U32(an_model_config, extra_conv),
                                         U32(an_model_config, initialisation),
                                         U64(an_model_config, seed),
                                         END};

static const an_field preprocessing_fields[] = {
    U32(an_preprocessing, side),
    U32(an_preprocessing, bgr),
    {"mean", offsetof(an_preprocessing, mean), KIND_FLOAT, 3, 0},
    {"scale", offsetof(an_preprocessing, scale), KIND_FLOAT, 3, 0},
    OPTIONAL(an_preprocessing, fit, KIND_U32, 1),
    OPTIONAL(an_preprocessing, mean_moves, KIND_U32, 1),
    OPTIONAL(an_preprocessing, colour_deviation, KIND_FLOAT, 3),
    OPTIONAL(an_preprocessing, colour_axis, KIND_FLOAT, 9),
    END};

static const an_field trainer_config_fields[] = {
    U32(an_trainer_config, batch),
    U32(an_trainer_config, augment),
    FLOAT(an_trainer_config, rate),
    FLOAT(an_trainer_config, bias_rate),
    FLOAT(an_trainer_config, momentum),
    FLOAT(an_trainer_config, weight_decay),
    FLOAT(an_trainer_config, bias_decay),
    U64(an_trainer_config, seed),
    OPTIONAL(an_trainer_config, micro_batch, KIND_U32, 1),
    OPTIONAL(an_trainer_config, plateau_drops, KIND_U32, 1),
    OPTIONAL(an_trainer_config, plateau_patience, KIND_U32, 1),
    OPTIONAL(an_trainer_config, plateau_factor, KIND_FLOAT, 1),
    OPTIONAL(an_trainer_config, plateau_gain, KIND_FLOAT, 1),
    END};

static const an_field progress_fields[] = {
    U64(an_progress, iteration),
    {"running_loss", offsetof(an_progress, running_loss), KIND_DOUBLE, 1, 0},
    U32(an_progress, flat_logged),
    {"note", offsetof(an_progress, note), KIND_BYTES, AN_TRAINER_NOTE_BYTES, 0},
    OPTIONAL(an_progress, epoch, KIND_U32, 1),
    OPTIONAL(an_progress, epoch_steps, KIND_U32, 1),
    OPTIONAL(an_progress, best, KIND_DOUBLE, 1),
    OPTIONAL(an_progress, stale, KIND_U32, 1),
    OPTIONAL(an_progress, drops, KIND_U32, 1),
    OPTIONAL(an_progress, layer_rate, KIND_FLOAT, 2 * AN_MAX_LAYERS),
    END};

static const an_field change_fields[] = {
    U32(an_rate_change, epoch),
    {"layer", offsetof(an_rate_change, layer), KIND_TEXT, 16, 0},
    FLOAT(an_rate_change, rate),
    FLOAT(an_rate_change, bias_rate),
    END};

/* --- writing ----------------------------------------------------------------------- */

static void put_hex(an_json_out *out, const uint8_t *bytes, size_t count)
{
    static const char digit[] = "0123456789abcdef";
    char text[2 * AN_TRAINER_NOTE_BYTES + 1];
    size_t i;

    for (i = 0; i < count; i++) {
        text[2 * i] = digit[bytes[i] >> 4];
        text[2 * i + 1] = digit[bytes[i] & 15];
    }
    an__json_put_bytes(out, text, 2 * count);
}

static void put_value(an_json_out *out, const char *at, an_field_kind kind, size_t count)
{
    uint8_t bytes[8];
    uint32_t u32;
    uint64_t u64;
    double real;
    float single;
    int i;

    switch (kind) {
    case KIND_U32:
        memcpy(&u32, at, sizeof u32);
        an__json_put_whole(out, u32);
        break;
    case KIND_U64:
        memcpy(&u64, at, sizeof u64);
        for (i = 0; i < 8; i++) bytes[i] = (uint8_t)(u64 >> (56 - 8 * i));
        put_hex(out, bytes, sizeof bytes);
        break;
    case KIND_FLOAT:
        memcpy(&single, at, sizeof single);
        an__json_put_real(out, (double)single);
        break;
    case KIND_DOUBLE:
        memcpy(&real, at, sizeof real);
        an__json_put_real(out, real);
        break;
    case KIND_BYTES: put_hex(out, (const uint8_t *)at, count); break;
    case KIND_TEXT: an__json_put_text(out, at); break;
    }
}

/* The members of an object that is open. */
static void put_members(an_json_out *out, const void *object, const an_field *field)
{
    for (; field->name != NULL; field++) {
        const char *at = (const char *)object + field->offset;
        size_t i;

        an__json_key(out, field->name);
        if (field->kind != KIND_FLOAT || field->count == 1) {
            put_value(out, at, field->kind, field->count);
            continue;
        }
        an__json_open(out, '[');
        for (i = 0; i < field->count; i++)
            put_value(out, at + i * sizeof(float), KIND_FLOAT, 1);
        an__json_close(out, ']');
    }
}

static void put_fields(an_json_out *out, const void *object, const an_field *fields)
{
    an__json_open(out, '{');
    put_members(out, object, fields);
    an__json_close(out, '}');
}

/* Names of all classes, null for one without; an empty list if none has one. */
static void put_class_names(an_json_out *out, const an_model *model)
{
    uint32_t classes = model->net.plan->config.classes, i;
    int any = 0;

    for (i = 0; i < classes; i++) any |= model->class_names[i] != NULL;
    an__json_open(out, '[');
    for (i = 0; any && i < classes; i++) an__json_put_text(out, model->class_names[i]);
    an__json_close(out, ']');
}

static void put_trainer(an_json_out *out, const an_trainer *trainer)
{
    uint32_t i;

    an__json_open(out, '{');
    put_members(out, &trainer->at, progress_fields);
    an__json_key(out, "schedule");
    an__json_open(out, '[');
    for (i = 0; i < trainer->at.change_count; i++)
        put_fields(out, &trainer->at.changes[i], change_fields);
    an__json_close(out, ']');
    an__json_key(out, "config");
    put_fields(out, &trainer->config, trainer_config_fields);
    an__json_close(out, '}');
}

typedef struct an_about {
    const an_model *model;
    const an_trainer *trainer;
} an_about;

static void put_metadata(an_json_out *out, const void *arg)
{
    const an_about *about = arg;
    const an_model *model = about->model;

    an__json_open(out, '{');
    an__json_key(out, "version");
    an__json_put_whole(out, FORMAT_VERSION);
    an__json_key(out, "writer");
    an__json_put_text(out, an_version_string());
    an__json_key(out, "arch");
    an__json_put_text(out, model->net.plan->row.name);
    an__json_key(out, "config");
    put_fields(out, &model->net.plan->config, config_fields);
    an__json_key(out, "preprocessing");
    put_fields(out, &model->input.p, preprocessing_fields);
    an__json_key(out, "class_names");
    put_class_names(out, model);
    if (about->trainer != NULL) {
        an__json_key(out, "trainer");
        put_trainer(out, about->trainer);
    }
    an__json_close(out, '}');
}

an_status an__metadata_make(char **text, size_t *length, const an_allocator *memory,
                            const an_model *model, const an_trainer *trainer)
{
    const an_about about = {model, trainer};

    return an__json_make(text, length, memory, put_metadata, &about);
}

/* --- reading ----------------------------------------------------------------------- */

static int hex_digit(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_read(an_json json, uint8_t *bytes, size_t count)
{
    char text[2 * AN_TRAINER_NOTE_BYTES + 1];
    size_t length, i;

    if (!an__json_text(json, text, sizeof text, &length) || length != 2 * count) return 0;
    for (i = 0; i < count; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0) return 0;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return 1;
}

static int value_read(an_json json, char *at, an_field_kind kind, size_t count)
{
    char text[32] = {0}; /* of KIND_TEXT */
    uint8_t bytes[8];
    uint64_t whole, u64 = 0;
    uint32_t u32;
    double real;
    float single;
    int i;

    switch (kind) {
    case KIND_U32:
        if (!an__json_whole(json, &whole) || whole > UINT32_MAX) return 0;
        u32 = (uint32_t)whole;
        memcpy(at, &u32, sizeof u32);
        return 1;
    case KIND_U64:
        if (!hex_read(json, bytes, sizeof bytes)) return 0;
        for (i = 0; i < 8; i++) u64 = u64 << 8 | bytes[i];
        memcpy(at, &u64, sizeof u64);
        return 1;
    case KIND_FLOAT:
        if (!an__json_real(json, &real)) return 0;
        single = (float)real;
        if (!isfinite(single)) return 0; /* what cannot be written again */
        memcpy(at, &single, sizeof single);
        return 1;
    case KIND_DOUBLE:
        if (!an__json_real(json, &real)) return 0;
        memcpy(at, &real, sizeof real);
        return 1;
    case KIND_BYTES: return hex_read(json, (uint8_t *)at, count);
    case KIND_TEXT:
        if (!an__json_text(json, text, count, NULL)) return 0;
        memcpy(at, text, count);
        return 1;
    }
    return 0;
}

static an_status bad(const char *section, const char *name)
{
    return an__fail(AN_ERROR_FORMAT, "the metadata's %s has no valid \"%s\"", section,
                    name);
}

static int list_read(an_json list, char *at, size_t count)
{
    an_json_walk walk = an__json_walk(list);
    an_json value;
    size_t i;

    if (!an__json_is_kind(list, '[') || an__json_count(list) != count) return 0;
    for (i = 0; an__json_next(&walk, NULL, &value); i++)
        if (!value_read(value, at + i * sizeof(float), KIND_FLOAT, 1)) return 0;
    return 1;
}

static an_status fields_read(an_json json, void *object, const an_field *field,
                             const char *section)
{
    for (; field->name != NULL; field++) {
        an_json value = an__json_get(json, field->name);
        char *at = (char *)object + field->offset;

        if (value.at == NULL && field->optional) continue;
        if (!(field->kind == KIND_FLOAT && field->count > 1
                  ? list_read(value, at, field->count)
                  : value_read(value, at, field->kind, field->count)))
            return bad(section, field->name);
    }
    return AN_OK;
}

an_status an__metadata_parse(an_metadata *out, const an_header *header)
{
    static const char *const names[] = {
        "version", "writer", "arch", "config", "preprocessing", "class_names", "trainer"};
    enum { MEMBERS = sizeof names / sizeof names[0] };
    an_json json, values[MEMBERS];
    an_metadata found;
    uint64_t version;

    AN_TRY(
        an__json_check(&json, header->metadata, header->metadata_bytes, "the metadata"));
    an__json_members(json, names, values, MEMBERS);
    if (!an__json_whole(values[0], &version) || version < 1)
        return bad("root", "version");
    if (version > FORMAT_VERSION)
        return an__fail(AN_ERROR_VERSION,
                        "the file's format is %llu, this library (%s) knows 1 to %d",
                        (unsigned long long)version, an_version_string(), FORMAT_VERSION);
    found.writer = values[1];
    found.arch = values[2];
    found.config = values[3];
    found.preprocessing = values[4];
    found.class_names = values[5];
    found.trainer = values[6];
    *out = found;
    return AN_OK;
}

an_status an__metadata_config(const an_metadata *metadata, an_model_config *config)
{
    char arch[64], writer[32] = "of old";

    an_model_config_init(config, sizeof *config);
    if (!an__json_text(metadata->arch, arch, sizeof arch, NULL))
        return bad("root", "arch");
    if (an_arch_find(arch, &config->arch) != AN_OK) {
        an__json_text(metadata->writer, writer, sizeof writer, NULL);
        return an__fail(
            AN_ERROR_VERSION,
            "the file's preset is \"%.40s\", which this library (%s) does not "
            "know; libalexnet %s wrote it",
            arch, an_version_string(), writer);
    }
    return fields_read(metadata->config, config, config_fields, "config");
}

static an_status class_names_read(an_json names, an_model *model)
{
    an_json_walk walk = an__json_walk(names);
    size_t count = an__json_count(names);
    an_json value;
    uint32_t i;

    if (!an__json_is_kind(names, '[') ||
        (count != 0 && count != model->net.plan->config.classes))
        return bad("root", "class_names");
    for (i = 0; an__json_next(&walk, NULL, &value); i++) {
        char name[512];
        size_t length;

        if (an__json_is_null(value)) continue;
        if (!an__json_text(value, NULL, 0, &length)) return bad("root", "class_names");
        if (!an__json_text(value, name, sizeof name, NULL))
            return an__fail(AN_ERROR_FORMAT, "the name of class %u is %zu bytes long", i,
                            length);
        AN_TRY(an_model_set_class_name(model, i, name));
    }
    return AN_OK;
}

an_status an__metadata_apply(const an_metadata *metadata, an_model *model)
{
    an_preprocessing p = model->input.p;

    p.fit = AN_FIT_CROP; /* where the file does not say */
    p.mean_moves = 0;
    AN_TRY(
        fields_read(metadata->preprocessing, &p, preprocessing_fields, "preprocessing"));
    AN_TRY(an_model_set_preprocessing(model, &p));
    return class_names_read(metadata->class_names, model);
}

static an_status trainer_section(const an_metadata *metadata, an_json *out)
{
    *out = metadata->trainer;
    if (!an__json_is_kind(*out, '{'))
        return an__fail(AN_ERROR_FORMAT, "the file is a model's, without a trainer");
    return AN_OK;
}

an_status an__metadata_trainer_config(const an_metadata *metadata,
                                      an_trainer_config *config)
{
    an_json trainer;

    AN_TRY(trainer_section(metadata, &trainer));
    an_trainer_config_init(config, sizeof *config);
    return fields_read(an__json_get(trainer, "config"), config, trainer_config_fields,
                       "trainer's config");
}

static an_status changes_read(an_json list, an_trainer *trainer)
{
    an_json_walk walk = an__json_walk(list);
    an_progress *at = &trainer->at;
    an_json value;

    if (list.at == NULL) return AN_OK; /* none */
    if (!an__json_is_kind(list, '[') || an__json_count(list) > AN_MAX_CHANGES)
        return bad("trainer", "schedule");
    for (; an__json_next(&walk, NULL, &value); at->change_count++) {
        an_rate_change *change = &at->changes[at->change_count];

        an_rate_change_init(change, sizeof *change);
        AN_TRY(fields_read(value, change, change_fields, "schedule"));
    }
    return an__changes_check(trainer, at->changes, at->change_count);
}

an_status an__metadata_trainer(const an_metadata *metadata, an_trainer *trainer)
{
    an_json section;
    uint32_t i;

    AN_TRY(trainer_section(metadata, &section));
    AN_TRY(fields_read(section, &trainer->at, progress_fields, "trainer"));
    trainer->model->trained = trainer->at.iteration;
    for (i = 0; i < 2 * AN_MAX_LAYERS; i++)
        if (!(trainer->at.layer_rate[i / 2][i % 2] <= 1000))
            return bad("trainer", "layer_rate");
    return changes_read(an__json_get(section, "schedule"), trainer);
}

static int same_config(const an_model_config *a, const an_model_config *b)
{
    const an_field *field;
    size_t bytes;

    for (field = config_fields; field->name != NULL; field++) {
        bytes = field->kind == KIND_U64 ? sizeof(uint64_t) : sizeof(uint32_t);
        if (memcmp((const char *)a + field->offset, (const char *)b + field->offset,
                   bytes) != 0)
            return 0;
    }
    return a->arch == b->arch;
}

an_status an__metadata_same(const an_metadata *metadata, const an_model *model)
{
    an_model_config config;

    AN_TRY(an__metadata_config(metadata, &config));
    if (!same_config(&config, &model->net.plan->config))
        return an__fail(AN_ERROR_STATE,
                        "the file's trainer is of another network: load the "
                        "model from the same file first");
    return AN_OK;
}
