/*
 * read.c - models and trainers from safetensors files.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/checkpoint.h"

AN_INIT_ZERO(an_load_config)

/* A file being read: all of it mapped, or a reader that gives it in order. */
typedef struct an_reading {
    an_read_fn read;
    void *user;
    an_mapping map; /* base null: none */
    size_t at;      /* read from the map so far */
} an_reading;

static ptrdiff_t read_map(void *data, size_t bytes, void *user)
{
    an_reading *source = user;
    size_t left = source->map.bytes - source->at;

    if (bytes > left) bytes = left;
    memcpy(data, (const char *)source->map.base + source->at, bytes);
    source->at += bytes;
    return (ptrdiff_t)bytes;
}

static an_reading source_of_reader(an_read_fn read, void *user)
{
    an_reading source = {read, user, {NULL, 0}, 0};

    return source;
}

static void source_use_map(an_reading *source)
{
    source->read = read_map;
    source->user = source;
    source->at = 0;
}

/* What arguments a file's own numbers make is the file's fault, not the caller's. */
static an_status fault_of_file(an_status status)
{
    char text[320];

    if (status != AN_ERROR_ARGUMENT) return status;
    snprintf(text, sizeof text, "%s", an_error_message());
    return an__fail(AN_ERROR_FORMAT, "the file's metadata: %.280s", text);
}

/* --- header ------------------------------------------------------------------------ */

static an_status read_header(an_header *out, an_context *ctx, an_reading *source)
{
    unsigned char head[8];
    uint64_t length = 0;
    an_status status;
    char *text;
    int i;

    AN_TRY(an__read_all(source->read, source->user, head, sizeof head));
    for (i = 0; i < 8; i++) length |= (uint64_t)head[i] << 8 * i;
    if (length > AN_HEADER_LIMIT) return an__header_refuse(head);
    text = an__alloc(&ctx->memory, (size_t)length);
    if (text == NULL) return AN_ERROR_MEMORY;
    status = an__read_all(source->read, source->user, text, (size_t)length);
    if (status == AN_OK)
        status = an__header_parse(out, &ctx->memory, text, (size_t)length);
    an__free(&ctx->memory, text);
    if (status == AN_OK && source->map.base != NULL &&
        out->bytes != source->map.bytes - out->start) {
        an__header_free(out, &ctx->memory);
        return an__fail(AN_ERROR_FORMAT,
                        "the file has %zu bytes after its header, which says "
                        "another number",
                        source->map.bytes - 8 - (size_t)length);
    }
    return status;
}

/* torchvision's AlexNet, by names and shapes, has no metadata of ours; its classes are
 * the rows of its last layer. */
static an_status config_of_torchvision(const an_header *header, an_model_config *config)
{
    const an_entry *last = an__header_find(header, "classifier.6.weight");

    if (last == NULL || last->dims != 2 || last->shape[0] < 2 || last->shape[0] > 65536)
        return an__fail(AN_ERROR_FORMAT,
                        "the file has neither this library's metadata nor "
                        "the tensors of torchvision's AlexNet");
    an_model_config_init(config, sizeof *config);
    config->arch = AN_ARCH_TORCHVISION;
    config->classes = (uint32_t)last->shape[0];
    return AN_OK;
}

static an_status find_tensor(const an_header *header, const an_param *param,
                             const char *prefix, const an_entry **out)
{
    char name[64];
    const an_entry *entry;
    uint32_t i;

    snprintf(name, sizeof name, "%s%s", prefix, param->name);
    entry = an__header_find(header, name);
    if (entry == NULL)
        return an__fail(AN_ERROR_FORMAT, "the file has no tensor %s", name);
    if (entry->dtype > AN_BF16)
        return an__fail(AN_ERROR_FORMAT, "%s is none of F32, F16 and BF16", name);
    for (i = 0; i < param->dims; i++)
        if (entry->dims != param->dims || entry->shape[i] != param->shape[i])
            return an__fail(AN_ERROR_FORMAT, "%s has another shape than its model says",
                            name);
    *out = entry;
    return AN_OK;
}

static an_status find_tensors(const an_header *header, const an_plan *plan,
                              const char *prefix, const an_entry *out[AN_MAX_PARAMS])
{
    uint32_t i;

    for (i = 0; i < plan->param_count; i++)
        AN_TRY(find_tensor(header, &plan->params[i], prefix, &out[i]));
    return AN_OK;
}

/* --- reading tensors --------------------------------------------------------------- */

/* Numbers [first, first + count) of a whole tensor to the towers that hold them. */
static an_status put_piece(const an_weights *w, const an_model *model, uint32_t index,
                           size_t first, const float *values, size_t count)
{
    const an_param *param = &model->net.plan->params[index];
    uint32_t t;

    for (t = 0; t < model->net.plan->towers; t++) {
        size_t begin = param->first[t], end = begin + param->part[t];
        size_t from = first > begin ? first : begin;
        size_t to = first + count < end ? first + count : end;

        if (from >= to) continue;
        AN_TRY(an__weights_put_part(w, &model->net, index, t, from - begin,
                                    values + (from - first), to - from));
        AN_TRY(model->net.backend->sync(model->net.queue[t]));
    }
    return AN_OK;
}

/* The next `count` numbers of a tensor, from its number `first` on, of at most AN_PIECE
 * bytes as float32; `raw` has as much room. */
static an_status read_piece(an_reading *source, const an_entry *entry, size_t first,
                            size_t count, void *raw, float *values)
{
    size_t size = an__file_type_bytes(entry->dtype), i;

    AN_TRY(an__read_all(source->read, source->user, raw, count * size));
    an__dtype_convert(entry->dtype, raw, count, values);
    for (i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return an__fail(AN_ERROR_FORMAT, "%s[%zu] is not finite", entry->name,
                            first + i);
    return AN_OK;
}

/* Where read_tensors() puts what it finds. */
typedef struct an_wanted {
    const an_entry *tensors[AN_MAX_PARAMS]; /* parameter i of `weights` */
    const an_weights *weights;
    const an_entry *mean; /* null: not wanted */
    float *mean_values;   /* [mean->count] */
} an_wanted;

/* A tensor in pieces: `raw` and `values` have room for AN_PIECE / 4 numbers. */
static an_status read_tensor(an_reading *source, const an_entry *entry,
                             const an_wanted *wanted, const an_model *model, void *raw,
                             float *values)
{
    const size_t most = AN_PIECE / sizeof(float);
    size_t first, part;
    uint32_t i = 0;

    while (i < model->net.plan->param_count && wanted->tensors[i] != entry) i++;
    for (first = 0; first < entry->count; first += part) {
        part = entry->count - first < most ? (size_t)entry->count - first : most;
        if (entry == wanted->mean) values = wanted->mean_values + first;
        AN_TRY(read_piece(source, entry, first, part, raw, values));
        if (entry != wanted->mean)
            AN_TRY(put_piece(wanted->weights, model, i, first, values, part));
    }
    return AN_OK;
}

static int is_wanted(const an_wanted *wanted, const an_entry *entry, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++)
        if (wanted->tensors[i] == entry) return 1;
    return entry == wanted->mean;
}

static an_status skip(an_reading *source, uint64_t bytes, void *raw)
{
    while (bytes > 0) {
        size_t part = bytes < AN_PIECE ? (size_t)bytes : AN_PIECE;

        AN_TRY(an__read_all(source->read, source->user, raw, part));
        bytes -= part;
    }
    return AN_OK;
}

/* All tensors in the file's order: those that are wanted, the others unread. */
static an_status read_tensors(an_reading *source, const an_header *header,
                              const an_wanted *wanted, const an_model *model)
{
    an_context *ctx = model->net.ctx;
    float *values = an__alloc(&ctx->memory, AN_PIECE);
    void *raw = an__alloc(&ctx->memory, AN_PIECE);
    an_status status = values != NULL && raw != NULL ? AN_OK : AN_ERROR_MEMORY;
    size_t e;

    for (e = 0; e < header->count && status == AN_OK; e++) {
        const an_entry *entry = &header->entries[e];

        status = is_wanted(wanted, entry, model->net.plan->param_count)
                     ? read_tensor(source, entry, wanted, model, raw, values)
                     : skip(source, entry->end - entry->begin, raw);
    }
    if (status == AN_OK) {
        ptrdiff_t more = source->read(raw, 1, source->user);

        if (more < 0) status = an__fail(AN_ERROR_IO, "the reader failed");
        if (more > 0)
            status = an__fail(AN_ERROR_FORMAT, "the file goes on after its tensors");
    }
    an__free(&ctx->memory, values);
    an__free(&ctx->memory, raw);
    return status;
}

/* --- models ------------------------------------------------------------------------ */

/* 1 if every tensor can be used where it lies in the map. */
static int usable_in_place(const an_reading *source, const an_header *header,
                           const an_wanted *wanted, uint32_t count)
{
    uint32_t i;

    if (source->map.base == NULL || header->start % sizeof(float) != 0) return 0;
    for (i = 0; i < count; i++)
        if (wanted->tensors[i]->dtype != AN_F32 ||
            wanted->tensors[i]->begin % sizeof(float) != 0)
            return 0;
    return 1;
}

/* [3][side][side], or none in the file. */
static an_status find_mean(const an_header *header, an_wanted *wanted)
{
    const an_entry *entry = an__header_find(header, AN_MEAN_IMAGE);

    if (entry == NULL) return AN_OK;
    if (entry->dtype > AN_BF16 || entry->dims != 3 || entry->shape[0] != 3 ||
        entry->shape[1] != entry->shape[2] || entry->shape[1] > 2048)
        return an__fail(AN_ERROR_FORMAT, "%s has no shape of a mean image",
                        AN_MEAN_IMAGE);
    wanted->mean = entry;
    return AN_OK;
}

/* What the file says beside the parameters. The mean of a map is still to be taken. */
static an_status apply_metadata(an_model *model, const an_metadata *metadata,
                                const an_reading *source, const an_header *header,
                                const an_wanted *wanted, int in_place)
{
    const an_entry *mean = wanted->mean;

    if (metadata != NULL) AN_TRY(an__metadata_apply(metadata, model));
    if (mean == NULL) return AN_OK;
    if (in_place)
        an__dtype_convert(mean->dtype,
                          (const char *)source->map.base + header->start + mean->begin,
                          (size_t)mean->count, wanted->mean_values);
    return an_model_set_mean_image(model, wanted->mean_values, (size_t)mean->count);
}

/* copy 0: the source's map, where there is one, becomes the model's if that can be. */
static an_status build_model(an_model **out, an_context *ctx, an_reading *source,
                             const an_header *header, const an_plan *plan,
                             const an_load_config *load, const an_metadata *metadata)
{
    float *places[AN_MAX_PARAMS];
    const an_backend *backend;
    an_device *device[AN_MAX_TOWERS];
    an_model_config config = plan->config;
    an_wanted wanted;
    an_model *model;
    an_status status = AN_OK;
    uint32_t i;
    int in_place;

    config.devices = load->devices;
    config.precision = load->precision;
    memset(&wanted, 0, sizeof wanted);
    AN_TRY(find_tensors(header, plan, "", wanted.tensors));
    AN_TRY(find_mean(header, &wanted));
    AN_TRY(an__context_devices(ctx, load->devices, plan->towers, &backend, device));
    in_place = !load->copy && backend->host_memory &&
               usable_in_place(source, header, &wanted, plan->param_count);
    for (i = 0; in_place && i < plan->param_count; i++)
        places[i] = (float *)(void *)((char *)source->map.base + header->start +
                                      wanted.tensors[i]->begin);
    AN_TRY(an__model_make(&model, ctx, &config, in_place ? places : NULL, NULL));
    wanted.weights = &model->net.weights;
    if (wanted.mean != NULL) {
        wanted.mean_values = an__alloc(&ctx->memory, (size_t)wanted.mean->count *
                                                         sizeof *wanted.mean_values);
        if (wanted.mean_values == NULL) status = AN_ERROR_MEMORY;
    }
    if (status == AN_OK && !in_place)
        status = read_tensors(source, header, &wanted, model);
    if (status == AN_OK)
        status = fault_of_file(
            apply_metadata(model, metadata, source, header, &wanted, in_place));
    an__free(&ctx->memory, wanted.mean_values);
    if (status != AN_OK) {
        if (in_place) memset(&model->net.weights, 0, sizeof model->net.weights);
        an_model_destroy(model);
        return status;
    }
    if (in_place) {
        model->mapping = source->map;
        source->map.base = NULL;
    }
    *out = model;
    return AN_OK;
}

static an_status plan_model(an_plan *plan, const an_header *header,
                            const an_metadata *metadata, const an_load_config *load)
{
    an_model_config config;

    if (an__header_find(header, "place") != NULL &&
        an__header_find(header, "sum") != NULL)
        return an__fail(AN_ERROR_FORMAT,
                        "the file is the index of a pack, not a checkpoint");
    if (metadata != NULL)
        AN_TRY(an__metadata_config(metadata, &config));
    else
        AN_TRY(config_of_torchvision(header, &config));
    AN_TRY(fault_of_file(an__model_config_check(&config)));
    AN_TRY(fault_of_file(an__plan_make(plan, &config)));
    if (load->towers < 2) return AN_OK;
    /* Whether it can be split is the caller's question. */
    config = plan->config;
    config.towers = load->towers;
    return an__plan_make(plan, &config);
}

static an_status load_model(an_model **out, an_context *ctx, an_reading *source,
                            const an_load_config *load)
{
    an_header header;
    an_plan *plan;
    an_metadata metadata;
    const an_metadata *about = NULL;
    an_status status;

    AN_TRY(read_header(&header, ctx, source));
    if (header.metadata != NULL) about = &metadata;
    plan = an__alloc(&ctx->memory, sizeof *plan);
    status = plan != NULL ? AN_OK : AN_ERROR_MEMORY;
    if (status == AN_OK && about != NULL) status = an__metadata_parse(&metadata, &header);
    if (status == AN_OK) status = plan_model(plan, &header, about, load);
    if (status == AN_OK)
        status = build_model(out, ctx, source, &header, plan, load, about);
    an__free(&ctx->memory, plan);
    an__header_free(&header, &ctx->memory);
    return status;
}

static an_status load_config_read(an_load_config *config, const an_load_config *given)
{
    an_load_config_init(config, sizeof *config);
    if (given != NULL)
        AN_TRY(an__struct_read(config, given, sizeof *config, sizeof *config, "config"));
    AN_CHECK(config->reserved == 0, "config.reserved is %u: must be 0", config->reserved);
    AN_CHECK(config->towers <= AN_MAX_TOWERS, "config.towers is %u: must be 0, 1 or 2",
             config->towers);
    AN_CHECK(config->copy <= 1, "config.copy is %u: must be 0 or 1", config->copy);
    return AN_OK;
}

an_status an_model_load(an_model **out, an_context *ctx, const char *path,
                        const an_load_config *given)
{
    an_reading source = source_of_reader(NULL, NULL);
    an_load_config config;
    an_status status;

    AN_TRY(an__context_check(ctx));
    AN_CHECK(out != NULL, "out is null");
    AN_CHECK(path != NULL, "path is null");
    AN_TRY(load_config_read(&config, given));
    AN_TRY(an__file_map(&source.map, path, 1));
    source_use_map(&source);
    status = load_model(out, ctx, &source, &config);
    an__file_unmap(&source.map);
    return status;
}

an_status an_model_read(an_model **out, an_context *ctx, an_read_fn read, void *user,
                        const an_load_config *given)
{
    an_reading source = source_of_reader(read, user);
    an_load_config config;

    AN_TRY(an__context_check(ctx));
    AN_CHECK(out != NULL, "out is null");
    AN_CHECK(read != NULL, "read is null");
    AN_TRY(load_config_read(&config, given));
    return load_model(out, ctx, &source, &config);
}

/* --- trainers ---------------------------------------------------------------------- */

static an_status build_trainer(an_trainer **out, an_model *model, an_reading *source,
                               const an_header *header, const an_metadata *metadata)
{
    an_trainer_config config;
    an_wanted wanted;
    an_trainer *trainer;
    an_status status;

    AN_TRY(an__metadata_trainer_config(metadata, &config));
    AN_TRY(an__metadata_same(metadata, model));
    memset(&wanted, 0, sizeof wanted);
    AN_TRY(find_tensors(header, model->net.plan, AN_VELOCITY, wanted.tensors));
    AN_TRY(fault_of_file(an_trainer_create(&trainer, model, &config)));
    wanted.weights = &trainer->velocity;
    status = fault_of_file(an__metadata_trainer(metadata, trainer));
    if (status == AN_OK) status = read_tensors(source, header, &wanted, model);
    if (status != AN_OK) {
        an_trainer_destroy(trainer);
        return status;
    }
    *out = trainer;
    return AN_OK;
}

static an_status load_trainer(an_trainer **out, an_model *model, an_reading *source)
{
    an_header header;
    an_metadata metadata;
    an_status status;

    AN_TRY(read_header(&header, model->net.ctx, source));
    if (header.metadata == NULL)
        status =
            an__fail(AN_ERROR_FORMAT, "the file has none of this library's metadata");
    else
        status = an__metadata_parse(&metadata, &header);
    if (status == AN_OK) status = build_trainer(out, model, source, &header, &metadata);
    an__header_free(&header, &model->net.ctx->memory);
    return status;
}

an_status an_trainer_load(an_trainer **out, an_model *model, const char *path)
{
    an_reading source = source_of_reader(NULL, NULL);
    an_status status;

    AN_CHECK(out != NULL, "out is null");
    AN_TRY(an__model_check(model));
    AN_CHECK(path != NULL, "path is null");
    AN_TRY(an__file_map(&source.map, path, 1));
    source_use_map(&source);
    status = load_trainer(out, model, &source);
    an__file_unmap(&source.map);
    return status;
}

an_status an_trainer_read(an_trainer **out, an_model *model, an_read_fn read, void *user)
{
    an_reading source = source_of_reader(read, user);

    AN_CHECK(out != NULL, "out is null");
    AN_TRY(an__model_check(model));
    AN_CHECK(read != NULL, "read is null");
    return load_trainer(out, model, &source);
}
