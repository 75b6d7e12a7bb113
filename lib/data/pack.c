/*
 * pack.c - reading a pack: pictures of the mapped parts, by number, for any thread.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/data.h"

AN_INIT_ZERO(an_pack_info)

struct an_pack {
    an_context *ctx;
    an_index index;
    an_mapping *parts; /* [index.parts] */
    an_decode_fn decode;
    void *user;
};

void an_pack_destroy(an_pack *pack)
{
    an_context *ctx;
    uint32_t i;

    if (pack == NULL) return;
    ctx = pack->ctx;
    for (i = 0; pack->parts != NULL && i < pack->index.parts; i++)
        an__file_unmap(&pack->parts[i]);
    an__free(&ctx->memory, pack->parts);
    an__index_free(&pack->index, ctx);
    an__free(&ctx->memory, pack);
    an__context_release(ctx);
}

static an_status open_part(an_pack *pack, const char *folder, uint32_t part)
{
    an_mapping *map = &pack->parts[part];
    char name[32], *path;
    an_status status;

    an__part_name(name, part);
    path = an__path_join(pack->ctx, folder, name);
    if (path == NULL) return AN_ERROR_MEMORY;
    status = an__file_map(map, path, 0);
    an__free(&pack->ctx->memory, path);
    if (status != AN_OK) return status;
    if (map->bytes != pack->index.part_bytes[part])
        return an__fail(AN_ERROR_FORMAT, "%s has %zu bytes, the index says %llu", name,
                        map->bytes, (unsigned long long)pack->index.part_bytes[part]);
    if (map->bytes < AN_PART_HEAD || memcmp(map->base, AN_PART_MAGIC, AN_PART_HEAD) != 0)
        return an__fail(AN_ERROR_FORMAT, "%s is no part of a pack", name);
    return AN_OK;
}

static an_status is_there(an_context *ctx, const char *folder, const char *name,
                          int *there)
{
    char *path = an__path_join(ctx, folder, name);
    an_status status;

    if (path == NULL) return AN_ERROR_MEMORY;
    status = an__file_find(path, there);
    an__free(&ctx->memory, path);
    return status;
}

/* Of a folder without an index. */
static an_status no_pack(an_context *ctx, const char *folder)
{
    int is_begun, has_packs, is_folder;

    AN_TRY(is_there(ctx, folder, AN_PACK_JOURNAL, &is_begun));
    AN_TRY(is_there(ctx, folder, "train/" AN_PACK_INDEX, &has_packs));
    if (is_begun)
        return an__fail(AN_ERROR_STATE,
                        "%.160s: preparing this pack was not finished: go on with it",
                        folder);
    if (has_packs)
        return an__fail(AN_ERROR_IO,
                        "%.160s is no pack, but has some in it: train, for instance",
                        folder);
    AN_TRY(an__file_find(folder, &is_folder));
    if (!is_folder)
        return an__fail(AN_ERROR_IO, "%.160s: there is no such folder", folder);
    if (!an__is_folder(folder))
        return an__fail(AN_ERROR_IO,
                        "%.160s is a file, where the folder of a pack is wanted", folder);
    return an__fail(AN_ERROR_IO,
                    "%.160s is no pack: it has no " AN_PACK_INDEX
                    ", which alexnet-prepare makes of a folder of pictures",
                    folder);
}

static an_status open_all(an_pack *pack, const char *folder)
{
    an_context *ctx = pack->ctx;
    char *path = an__path_join(ctx, folder, AN_PACK_INDEX);
    an_status status = AN_ERROR_MEMORY;
    uint32_t i;
    int there;

    if (path != NULL) {
        status = an__file_find(path, &there);
        if (status == AN_OK)
            status =
                there ? an__index_read(&pack->index, ctx, path) : no_pack(ctx, folder);
    }
    an__free(&ctx->memory, path);
    if (status != AN_OK) return status;
    if (pack->index.count == 0) return an__fail(AN_ERROR_FORMAT, "the pack is empty");
    pack->parts = an__alloc_zero(&ctx->memory, pack->index.parts * sizeof *pack->parts);
    if (pack->parts == NULL) return AN_ERROR_MEMORY;
    for (i = 0; i < pack->index.parts; i++) AN_TRY(open_part(pack, folder, i));
    AN_CHECK(pack->index.kind == AN_PACK_RAW || pack->decode != NULL,
             "decode is null: the pack's pictures are JPEG");
    return AN_OK;
}

an_status an_pack_open(an_pack **out, an_context *ctx, const char *folder,
                       an_decode_fn decode, void *user)
{
    AN_ENTER;
    an_pack *pack;
    an_status status;

    AN_TRY(an__context_check(ctx));
    AN_CHECK(out != NULL, "out is null");
    AN_CHECK(folder != NULL, "folder is null");
    pack = an__alloc_zero(&ctx->memory, sizeof *pack);
    if (pack == NULL) return AN_ERROR_MEMORY;
    an__context_retain(ctx);
    pack->ctx = ctx;
    pack->decode = decode;
    pack->user = user;
    status = open_all(pack, folder);
    if (status != AN_OK) {
        an_pack_destroy(pack);
        return status;
    }
    *out = pack;
    return AN_OK;
}

static an_status pack_check(const an_pack *pack)
{
    AN_CHECK(pack != NULL, "pack is null");
    return an__context_check(pack->ctx);
}

an_status an_pack_describe(const an_pack *pack, an_pack_info *out)
{
    AN_ENTER;
    an_pack_info info;
    an_colours colours;
    uint32_t i;

    AN_TRY(pack_check(pack));
    AN_CHECK(out != NULL, "info is null");
    an_pack_info_init(&info, sizeof info);
    info.count = pack->index.count;
    for (i = 0; i < pack->index.parts; i++) info.bytes += pack->index.part_bytes[i];
    info.skipped = pack->index.skipped;
    info.side = pack->index.side;
    info.classes = pack->index.classes;
    info.kind = pack->index.kind;
    info.fit = pack->index.fit;
    info.parts = pack->index.parts;
    an__colours_of(&pack->index, &colours);
    memcpy(info.mean, colours.mean, sizeof info.mean);
    memcpy(info.deviation, colours.deviation, sizeof info.deviation);
    memcpy(info.colour_deviation, colours.colour_deviation, sizeof info.colour_deviation);
    memcpy(info.colour_axis, colours.colour_axis, sizeof info.colour_axis);
    return an__struct_write(out, &info, sizeof info, sizeof info, "info");
}

const char *an_pack_class_name(const an_pack *pack, uint32_t index)
{
    if (pack == NULL || index >= pack->index.classes) return NULL;
    return pack->index.class_names[index];
}

/* --- pictures ---------------------------------------------------------------------- */

/* The picture's bytes as they are stored, if its checksum is right. */
static an_status stored(const an_pack *pack, uint64_t index, const uint8_t **bytes)
{
    const an_record *r = &pack->index.records[index];
    uint64_t part = r->place >> AN_PLACE_BITS;

    *bytes = (const uint8_t *)pack->parts[part].base + (r->place & AN_PLACE_MASK);
    if (an__check_bytes(*bytes, (size_t)r->bytes) == r->check) return AN_OK;
    return an__fail(AN_ERROR_FORMAT,
                    "picture %llu of the pack, in part %llu, is damaged: its checksum is "
                    "another",
                    (unsigned long long)index, (unsigned long long)part);
}

static an_status decoded(const an_pack *pack, uint64_t index, const uint8_t *bytes,
                         uint8_t *pixels)
{
    size_t count = (size_t)pack->index.records[index].bytes;

    if (pack->decode(bytes, count, pack->index.side, pixels, pack->user) == 0)
        return AN_OK;
    return an__fail(AN_ERROR_FORMAT, "picture %llu of the pack cannot be decoded",
                    (unsigned long long)index);
}

an_status an_pack_read(const an_pack *pack, uint64_t index, uint8_t *pixels,
                       size_t capacity, int32_t *label)
{
    AN_ENTER;
    const uint8_t *bytes;

    AN_TRY(pack_check(pack));
    AN_CHECK(index < pack->index.count, "index is %llu: the pack has %llu pictures",
             (unsigned long long)index, (unsigned long long)pack->index.count);
    if (pixels != NULL) {
        AN_TRY(
            an__capacity_check(capacity, 3, (size_t)pack->index.side * pack->index.side));
        AN_TRY(stored(pack, index, &bytes));
        if (pack->index.kind == AN_PACK_RAW)
            memcpy(pixels, bytes, (size_t)pack->index.records[index].bytes);
        else
            AN_TRY(decoded(pack, index, bytes, pixels));
    }
    if (label != NULL) *label = pack->index.records[index].label;
    return AN_OK;
}

/* For the loader: raw pictures stay where they are, others go to the worker's scratch. */
static int fetch(uint64_t index, an_sample *sample, void *user)
{
    const an_pack *pack = user;

    if (stored(pack, index, &sample->pixels) != AN_OK) return AN_ERROR_FORMAT;
    if (pack->index.kind != AN_PACK_RAW) {
        if (decoded(pack, index, sample->pixels, sample->scratch) != AN_OK)
            return AN_ERROR_FORMAT;
        sample->pixels = sample->scratch;
    }
    sample->width = sample->height = pack->index.side;
    sample->label = pack->index.records[index].label;
    return 0;
}

int an__source_is_pack(const an_source *source)
{
    return source->fetch == fetch;
}

an_status an_pack_source(an_pack *pack, an_source *out)
{
    AN_ENTER;
    an_source source;

    AN_TRY(pack_check(pack));
    AN_CHECK(out != NULL, "source is null");
    an_source_init(&source, sizeof source);
    source.count = pack->index.count;
    source.fetch = fetch;
    source.user = pack;
    if (pack->index.kind != AN_PACK_RAW)
        source.scratch_bytes = (size_t)3 * pack->index.side * pack->index.side;
    return an__struct_write(out, &source, sizeof source, sizeof source, "source");
}

/* --- for models -------------------------------------------------------------------- */

an_status an_pack_mean_image(const an_pack *pack, float *mean, size_t count)
{
    AN_ENTER;
    size_t numbers, i;

    AN_TRY(pack_check(pack));
    AN_CHECK(mean != NULL, "mean is null");
    numbers = (size_t)3 * pack->index.side * pack->index.side;
    AN_CHECK(count == numbers, "count is %zu: must be 3 * side * side, %zu", count,
             numbers);
    for (i = 0; i < numbers; i++)
        mean[i] = (float)((double)pack->index.sums.pixels[i] / (double)pack->index.count);
    return AN_OK;
}

static an_status set_input(const an_pack *pack, an_model *model,
                           const an_preprocessing *p, uint32_t mean_image)
{
    size_t count = (size_t)3 * p->side * p->side;
    float *mean;
    an_status status;

    if (!mean_image) return an__model_set_input(model, p, NULL);
    mean = an__alloc(&pack->ctx->memory, count * sizeof *mean);
    if (mean == NULL) return AN_ERROR_MEMORY;
    status = an_pack_mean_image(pack, mean, count);
    if (status == AN_OK) status = an__model_set_input(model, p, mean);
    an__free(&pack->ctx->memory, mean);
    return status;
}

/* The pack's class names, with the model's where it has none; null: no memory. */
static char **names_make(const an_pack *pack, const an_model *model)
{
    uint32_t count = pack->index.classes, i;
    char **names = an__alloc_zero(&model->net.ctx->memory, count * sizeof *names);

    for (i = 0; names != NULL && i < count; i++) {
        const char *name = pack->index.class_names[i];

        if (name == NULL) name = model->class_names[i];
        if (name == NULL ||
            an__name_copy(&model->net.ctx->memory, &names[i], name) == AN_OK)
            continue;
        an__names_free(&model->net.ctx->memory, names, count);
        return NULL;
    }
    return names;
}

an_status an_pack_prepare_model(const an_pack *pack, an_model *model, uint32_t unit,
                                uint32_t mean_image)
{
    AN_ENTER;
    an_preprocessing p;
    an_colours colours;
    char **names = NULL;
    an_status status;
    uint32_t c;

    AN_TRY(pack_check(pack));
    AN_TRY(an__model_check(model));
    AN_CHECK(unit <= 1, "unit is %u: must be 0 or 1", unit);
    AN_CHECK(mean_image <= 1, "mean_image is %u: must be 0 or 1", mean_image);
    AN_CHECK(pack->index.side >= model->input.size,
             "the pack's pictures are %u wide: the model's crops are %u",
             pack->index.side, model->input.size);
    if (model->trained > 0)
        return an__fail(AN_ERROR_STATE, "the model has been trained with another input");
    an__colours_of(&pack->index, &colours);
    p = model->input.p;
    p.side = pack->index.side;
    p.fit = pack->index.fit;
    for (c = 0; c < 3; c++) {
        p.mean[c] = colours.mean[c];
        /* A colour that never changes is left at its scale. */
        p.scale[c] = unit ? 1 / fmaxf(colours.deviation[c], 1) : 1;
    }
    memcpy(p.colour_deviation, colours.colour_deviation, sizeof p.colour_deviation);
    memcpy(p.colour_axis, colours.colour_axis, sizeof p.colour_axis);
    if (pack->index.classes == model->net.plan->config.classes) {
        names = names_make(pack, model);
        if (names == NULL) return AN_ERROR_MEMORY;
    }
    status = set_input(pack, model, &p, mean_image);
    if (status == AN_OK && names != NULL) {
        char **before = model->class_names;

        model->class_names = names;
        names = before;
    }
    an__names_free(&model->net.ctx->memory, names, pack->index.classes);
    return status;
}
