/*
 * metadata.c - configs, class names and a trainer's state as JSON, and back.
 *
 * The structs' fields stand in tables, so that reading and writing cannot differ. Numbers
 * that JSON readers may round (64-bit ones) are strings of hexadecimal digits; floats are
 * decimal with 17 digits, which brings back every float and double exactly.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h> /* free(): of what jansson allocated */
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

static json_t *hex_text(const uint8_t *bytes, size_t count)
{
    static const char digit[] = "0123456789abcdef";
    char text[2 * AN_TRAINER_NOTE_BYTES + 1];
    size_t i;

    for (i = 0; i < count; i++) {
        text[2 * i] = digit[bytes[i] >> 4];
        text[2 * i + 1] = digit[bytes[i] & 15];
    }
    text[2 * count] = '\0';
    return json_string(text);
}

static json_t *value_make(const char *at, an_field_kind kind, size_t count)
{
    uint8_t bytes[8];
    uint32_t u32;
    uint64_t u64;
    double real;
    float single;
    int i;

    switch (kind) {
    case KIND_U32: memcpy(&u32, at, sizeof u32); return json_integer(u32);
    case KIND_U64:
        memcpy(&u64, at, sizeof u64);
        for (i = 0; i < 8; i++) bytes[i] = (uint8_t)(u64 >> (56 - 8 * i));
        return hex_text(bytes, sizeof bytes);
    case KIND_FLOAT: memcpy(&single, at, sizeof single); return json_real((double)single);
    case KIND_DOUBLE: memcpy(&real, at, sizeof real); return json_real(real);
    case KIND_BYTES: return hex_text((const uint8_t *)at, count);
    case KIND_TEXT: return json_string(at);
    }
    return NULL;
}

static json_t *fields_make(const void *object, const an_field *field)
{
    json_t *json = json_object();
    int failed = 0;

    for (; field->name != NULL; field++) {
        const char *at = (const char *)object + field->offset;
        json_t *value;

        if (field->kind == KIND_FLOAT && field->count > 1) {
            size_t i;

            value = json_array();
            for (i = 0; i < field->count; i++)
                failed |= json_array_append_new(
                    value, value_make(at + i * sizeof(float), KIND_FLOAT, 1));
        } else {
            value = value_make(at, field->kind, field->count);
        }
        failed |= json_object_set_new(json, field->name, value);
    }
    if (!failed) return json;
    json_decref(json);
    return NULL;
}

/* Names of all classes, null for one without; an empty list if none has one. */
static json_t *class_names_make(const an_model *model)
{
    json_t *names = json_array();
    uint32_t classes = model->net.plan->config.classes, i;
    int failed = 0, any = 0;

    for (i = 0; i < classes; i++) any |= model->class_names[i] != NULL;
    for (i = 0; any && i < classes; i++)
        failed |= json_array_append_new(names, model->class_names[i] != NULL
                                                   ? json_string(model->class_names[i])
                                                   : json_null());
    if (!failed) return names;
    json_decref(names);
    return NULL;
}

static json_t *changes_make(const an_progress *at)
{
    json_t *list = json_array();
    int failed = 0;
    uint32_t i;

    for (i = 0; i < at->change_count; i++)
        failed |=
            json_array_append_new(list, fields_make(&at->changes[i], change_fields));
    if (!failed) return list;
    json_decref(list);
    return NULL;
}

static json_t *trainer_make(const an_trainer *trainer)
{
    json_t *json = fields_make(&trainer->at, progress_fields);
    int failed = 0;

    failed |= json_object_set_new(json, "schedule", changes_make(&trainer->at));
    failed |= json_object_set_new(json, "config",
                                  fields_make(&trainer->config, trainer_config_fields));
    if (!failed) return json;
    json_decref(json);
    return NULL;
}

json_t *an__metadata_make(const an_model *model, const an_trainer *trainer)
{
    json_t *json = json_object(), *out = NULL;
    char *text = NULL;
    int failed = 0;

    failed |= json_object_set_new(json, "version", json_integer(FORMAT_VERSION));
    failed |= json_object_set_new(json, "writer", json_string(an_version_string()));
    failed |= json_object_set_new(json, "arch", json_string(model->net.plan->row.name));
    failed |= json_object_set_new(json, "config",
                                  fields_make(&model->net.plan->config, config_fields));
    failed |= json_object_set_new(json, "preprocessing",
                                  fields_make(&model->input.p, preprocessing_fields));
    failed |= json_object_set_new(json, "class_names", class_names_make(model));
    if (trainer != NULL)
        failed |= json_object_set_new(json, "trainer", trainer_make(trainer));
    if (!failed) text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (text != NULL) out = json_string(text);
    free(text);
    json_decref(json);
    return out;
}

/* --- reading ----------------------------------------------------------------------- */

static int hex_digit(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_read(const json_t *json, uint8_t *bytes, size_t count)
{
    const char *text = json_string_value(json);
    size_t i;

    if (text == NULL || strlen(text) != 2 * count) return 0;
    for (i = 0; i < count; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0) return 0;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return 1;
}

static int value_read(const json_t *json, char *at, an_field_kind kind, size_t count)
{
    uint8_t bytes[8];
    uint32_t u32;
    uint64_t u64 = 0;
    double real = json_number_value(json);
    float single = (float)real;
    int i;

    switch (kind) {
    case KIND_U32:
        if (!json_is_integer(json) || json_integer_value(json) < 0 ||
            json_integer_value(json) > UINT32_MAX)
            return 0;
        u32 = (uint32_t)json_integer_value(json);
        memcpy(at, &u32, sizeof u32);
        return 1;
    case KIND_U64:
        if (!hex_read(json, bytes, sizeof bytes)) return 0;
        for (i = 0; i < 8; i++) u64 = u64 << 8 | bytes[i];
        memcpy(at, &u64, sizeof u64);
        return 1;
    case KIND_FLOAT: memcpy(at, &single, sizeof single); return json_is_number(json);
    case KIND_DOUBLE: memcpy(at, &real, sizeof real); return json_is_number(json);
    case KIND_BYTES: return hex_read(json, (uint8_t *)at, count);
    case KIND_TEXT:
        if (!json_is_string(json) || json_string_length(json) >= count) return 0;
        memset(at, 0, count);
        memcpy(at, json_string_value(json), json_string_length(json));
        return 1;
    }
    return 0;
}

static an_status bad(const char *section, const char *name)
{
    return an__fail(AN_ERROR_FORMAT, "the metadata's %s has no valid \"%s\"", section,
                    name);
}

static an_status fields_read(const json_t *json, void *object, const an_field *field,
                             const char *section)
{
    for (; field->name != NULL; field++) {
        const json_t *value = json_object_get(json, field->name);
        char *at = (char *)object + field->offset;
        size_t i;

        if (value == NULL && field->optional) continue;
        if (field->kind == KIND_FLOAT && field->count > 1) {
            if (json_array_size(value) != field->count) return bad(section, field->name);
            for (i = 0; i < field->count; i++)
                if (!value_read(json_array_get(value, i), at + i * sizeof(float),
                                KIND_FLOAT, 1))
                    return bad(section, field->name);
        } else if (!value_read(value, at, field->kind, field->count)) {
            return bad(section, field->name);
        }
    }
    return AN_OK;
}

an_status an__metadata_parse(json_t **out, const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    const json_t *version = json_object_get(json, "version");
    an_status status = AN_OK;

    if (json == NULL && json_error_code(&error) == json_error_out_of_memory)
        return an__fail(AN_ERROR_MEMORY, "no memory for the metadata");
    if (!json_is_integer(version) || json_integer_value(version) < 1)
        status = bad("root", "version");
    else if (json_integer_value(version) > FORMAT_VERSION)
        status = an__fail(AN_ERROR_VERSION,
                          "the file's format is %lld, this library (%s) knows 1 to %d",
                          (long long)json_integer_value(version), an_version_string(),
                          FORMAT_VERSION);
    if (status != AN_OK) {
        json_decref(json);
        return status;
    }
    *out = json;
    return AN_OK;
}

an_status an__metadata_config(const json_t *metadata, an_model_config *config)
{
    const char *arch = json_string_value(json_object_get(metadata, "arch"));
    const char *writer = json_string_value(json_object_get(metadata, "writer"));

    an_model_config_init(config, sizeof *config);
    if (arch == NULL) return bad("root", "arch");
    if (an_arch_find(arch, &config->arch) != AN_OK)
        return an__fail(
            AN_ERROR_VERSION,
            "the file's preset is \"%.40s\", which this library (%s) does not "
            "know; libalexnet %.20s wrote it",
            arch, an_version_string(), writer != NULL ? writer : "of old");
    return fields_read(json_object_get(metadata, "config"), config, config_fields,
                       "config");
}

an_status an__metadata_apply(const json_t *metadata, an_model *model)
{
    const json_t *names = json_object_get(metadata, "class_names");
    an_preprocessing p;
    size_t i;

    p = model->input.p;
    p.fit = AN_FIT_CROP; /* where the file does not say */
    p.mean_moves = 0;
    AN_TRY(fields_read(json_object_get(metadata, "preprocessing"), &p,
                       preprocessing_fields, "preprocessing"));
    AN_TRY(an_model_set_preprocessing(model, &p));
    if (!json_is_array(names) ||
        (json_array_size(names) != 0 &&
         json_array_size(names) != model->net.plan->config.classes))
        return bad("root", "class_names");
    for (i = 0; i < json_array_size(names); i++) {
        const json_t *name = json_array_get(names, i);

        if (json_is_null(name)) continue;
        if (!json_is_string(name)) return bad("root", "class_names");
        AN_TRY(an_model_set_class_name(model, (uint32_t)i, json_string_value(name)));
    }
    return AN_OK;
}

static an_status trainer_section(const json_t *metadata, const json_t **out)
{
    *out = json_object_get(metadata, "trainer");
    if (!json_is_object(*out))
        return an__fail(AN_ERROR_FORMAT, "the file is a model's, without a trainer");
    return AN_OK;
}

an_status an__metadata_trainer_config(const json_t *metadata, an_trainer_config *config)
{
    const json_t *trainer;

    AN_TRY(trainer_section(metadata, &trainer));
    an_trainer_config_init(config, sizeof *config);
    return fields_read(json_object_get(trainer, "config"), config, trainer_config_fields,
                       "trainer's config");
}

static an_status changes_read(const json_t *list, an_trainer *trainer)
{
    an_progress *at = &trainer->at;
    uint32_t i;

    if (list == NULL) return AN_OK; /* none */
    if (!json_is_array(list) || json_array_size(list) > AN_MAX_CHANGES)
        return bad("trainer", "schedule");
    at->change_count = (uint32_t)json_array_size(list);
    for (i = 0; i < at->change_count; i++) {
        an_rate_change_init(&at->changes[i], sizeof at->changes[i]);
        AN_TRY(fields_read(json_array_get(list, i), &at->changes[i], change_fields,
                           "schedule"));
    }
    return an__changes_check(trainer, at->changes, at->change_count);
}

an_status an__metadata_trainer(const json_t *metadata, an_trainer *trainer)
{
    const json_t *section;
    uint32_t i;

    AN_TRY(trainer_section(metadata, &section));
    AN_TRY(fields_read(section, &trainer->at, progress_fields, "trainer"));
    trainer->model->trained = trainer->at.iteration;
    for (i = 0; i < 2 * AN_MAX_LAYERS; i++)
        if (!(trainer->at.layer_rate[i / 2][i % 2] <= 1000))
            return bad("trainer", "layer_rate");
    return changes_read(json_object_get(section, "schedule"), trainer);
}

an_status an__metadata_same(const json_t *metadata, const an_model *model)
{
    an_model_config config;
    json_t *theirs, *ours;
    int same;

    AN_TRY(an__metadata_config(metadata, &config));
    theirs = fields_make(&config, config_fields);
    ours = fields_make(&model->net.plan->config, config_fields);
    same = config.arch == model->net.plan->config.arch && json_equal(theirs, ours);
    json_decref(theirs);
    json_decref(ours);
    if (!same)
        return an__fail(AN_ERROR_STATE,
                        "the file's trainer is of another network: load the "
                        "model from the same file first");
    return AN_OK;
}
