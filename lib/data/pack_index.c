/*
 * pack_index.c - the index of a pack: a safetensors file with a row for every picture,
 * and in its metadata, as JSON, what the pack is as a whole.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
/* How many bytes ahead of what it reads it asks for memory: over the end of a page, where
 * processors that do so by themselves stop. A picture of a pack is read in 80 to 90 % of
 * the time that xxHash's own distance takes. */
#define XXH_PREFETCH_DIST 4096
#include <xxhash.h>

#include "data/data.h"

static const char *const columns[AN_COLUMNS] = {"place", "bytes", "check", "label"};
static const an_file_type column_types[AN_COLUMNS] = {AN_U64, AN_U64, AN_U64, AN_I32};
#define PIXELS "sum"                /* U64 [3][side][side]: the mean image, times count */
#define ABOUT "alexnet"             /* of the metadata: text that is JSON */
#define ABOUT_CHECK "alexnet_check" /* its checksum */

char *an__path_join(an_context *ctx, const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = an__alloc(&ctx->memory, size);

    if (path != NULL) snprintf(path, size, "%s/%s", folder, name);
    return path;
}

void an__part_name(char *name, uint32_t part)
{
    snprintf(name, 32, "part-%04u.bin", part);
}

uint64_t an__check_bytes(const void *bytes, size_t count)
{
    return XXH3_64bits(bytes, count);
}

void an__index_free(an_index *index, an_context *ctx)
{
    an__names_free(&ctx->memory, index->class_names, index->classes);
    an__free(&ctx->memory, index->part_bytes);
    an__free(&ctx->memory, index->records);
    an__free(&ctx->memory, index->sums.pixels);
    memset(index, 0, sizeof *index);
}

/* --- writing ----------------------------------------------------------------------- */

/* One row of a column as bytes; returns how many. */
static size_t column_get(const an_record *record, uint32_t column, unsigned char *out)
{
    const void *from[AN_COLUMNS];
    size_t bytes = an__file_type_bytes(column_types[column]);

    from[AN_COLUMN_PLACE] = &record->place;
    from[AN_COLUMN_BYTES] = &record->bytes;
    from[AN_COLUMN_CHECK] = &record->check;
    from[AN_COLUMN_LABEL] = &record->label;
    memcpy(out, from[column], bytes);
    return bytes;
}

static void column_set(an_record *record, uint32_t column, const unsigned char *from)
{
    void *to[AN_COLUMNS];

    to[AN_COLUMN_PLACE] = &record->place;
    to[AN_COLUMN_BYTES] = &record->bytes;
    to[AN_COLUMN_CHECK] = &record->check;
    to[AN_COLUMN_LABEL] = &record->label;
    memcpy(to[column], from, an__file_type_bytes(column_types[column]));
}

/* Calls write with every tensor's bytes in turn. */
static int each_byte(const an_index *index, an_write_fn write, void *user)
{
    unsigned char piece[8 * 1024];
    uint64_t i;
    uint32_t c;

    for (c = 0; c < AN_COLUMNS; c++) {
        size_t used = 0;

        for (i = 0; i < index->count; i++) {
            used += column_get(&index->records[i], c, piece + used);
            if (used + 8 > sizeof piece) {
                if (write(piece, used, user) != 0) return -1;
                used = 0;
            }
        }
        if (used > 0 && write(piece, used, user) != 0) return -1;
    }
    return write(index->sums.pixels,
                 (size_t)3 * index->side * index->side * sizeof *index->sums.pixels,
                 user);
}

static int hash_bytes(const void *data, size_t bytes, void *user)
{
    return XXH3_64bits_update(user, data, bytes) == XXH_OK ? 0 : -1;
}

/* 64-bit numbers are hexadecimal text: JSON readers may round what is above 2^53. */
static void put_number(an_json_out *out, uint64_t number)
{
    char text[20];

    snprintf(text, sizeof text, "%016llx", (unsigned long long)number);
    an__json_put_text(out, text);
}

static void put_numbers(an_json_out *out, const char *key, const uint64_t *numbers,
                        size_t count)
{
    size_t i;

    an__json_key(out, key);
    an__json_open(out, '[');
    for (i = 0; i < count; i++) put_number(out, numbers[i]);
    an__json_close(out, ']');
}

typedef struct an_written {
    const an_index *index;
    uint64_t check;    /* of the tensors' bytes */
    const char *about; /* the metadata */
    size_t about_bytes;
} an_written;

static void put_metadata(an_json_out *out, const void *arg)
{
    const an_written *w = arg;
    const an_index *index = w->index;
    uint32_t i;

    an__json_open(out, '{');
    an__json_key(out, "version");
    an__json_put_whole(out, AN_PACK_VERSION);
    an__json_key(out, "writer");
    an__json_put_text(out, an_version_string());
    an__json_key(out, "side");
    an__json_put_whole(out, index->side);
    an__json_key(out, "kind");
    an__json_put_text(out, index->kind == AN_PACK_RAW ? "raw" : "jpeg");
    an__json_key(out, "fit");
    an__json_put_text(out, index->fit == AN_FIT_CROP ? "crop" : "warp");
    an__json_key(out, "skipped");
    put_number(out, index->skipped);
    put_numbers(out, "parts", index->part_bytes, index->parts);
    put_numbers(out, "colour_sums", index->sums.colour, 3);
    put_numbers(out, "colour_products", index->sums.product, 6);
    an__json_key(out, "class_names");
    an__json_open(out, '[');
    for (i = 0; i < index->classes; i++) an__json_put_text(out, index->class_names[i]);
    an__json_close(out, ']');
    an__json_key(out, "check");
    put_number(out, w->check);
    an__json_close(out, '}');
}

static void put_header(an_json_out *out, const void *arg)
{
    const an_written *w = arg;
    const an_index *index = w->index;
    const uint64_t shape[3] = {3, index->side, index->side};
    uint64_t at = 0;
    uint32_t c;

    an__json_open(out, '{');
    an__json_key(out, "__metadata__");
    an__json_open(out, '{');
    an__json_key(out, ABOUT_CHECK);
    put_number(out, an__check_bytes(w->about, w->about_bytes));
    an__json_key(out, ABOUT);
    an__json_put_bytes(out, w->about, w->about_bytes);
    an__json_close(out, '}');
    for (c = 0; c < AN_COLUMNS; c++)
        an__header_put(out, columns[c], column_types[c], &index->count, 1, &at);
    an__header_put(out, PIXELS, AN_U64, shape, 3, &at);
    an__json_close(out, '}');
}

typedef struct an_index_writing {
    const an_index *index;
    const an_allocator *memory;
} an_index_writing;

static an_status write_index(an_write_fn write, void *user, const void *arg)
{
    const an_index_writing *writing = arg;
    an_written w = {writing->index, 0, NULL, 0};
    XXH3_state_t state;
    an_status status;
    char *about;

    XXH3_64bits_reset(&state);
    each_byte(w.index, hash_bytes, &state);
    w.check = XXH3_64bits_digest(&state);
    AN_TRY(an__json_make(&about, &w.about_bytes, writing->memory, put_metadata, &w));
    w.about = about;
    status = an__header_write(writing->memory, put_header, &w, write, user);
    an__free(writing->memory, about);
    if (status == AN_OK && each_byte(w.index, write, user) != 0) status = AN_ERROR_IO;
    return status;
}

an_status an__index_write(const an_index *index, an_context *ctx, const char *path)
{
    const an_index_writing writing = {index, &ctx->memory};

    return an__file_replace(&ctx->memory, path, write_index, &writing);
}

/* --- reading ----------------------------------------------------------------------- */

static an_status bad(const char *what)
{
    return an__fail(AN_ERROR_FORMAT, "the pack's index has no valid \"%s\"", what);
}

static int digits_read(const char *text, uint64_t *out)
{
    size_t i;

    if (strlen(text) != 16) return 0;
    for (*out = 0, i = 0; i < 16; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = strchr(digits, text[i]);

        if (digit == NULL) return 0;
        *out = *out << 4 | (uint64_t)(digit - digits);
    }
    return 1;
}

static int number_read(an_json json, uint64_t *out)
{
    char text[17];

    return an__json_text(json, text, sizeof text, NULL) && digits_read(text, out);
}

static int numbers_read(an_json list, uint64_t *out, size_t count)
{
    an_json_walk walk = an__json_walk(list);
    an_json value;

    if (!an__json_is_kind(list, '[') || an__json_count(list) != count) return 0;
    for (; an__json_next(&walk, NULL, &value); out++)
        if (!number_read(value, out)) return 0;
    return 1;
}

static an_status read_names(an_index *index, an_context *ctx, an_json names)
{
    an_json_walk walk = an__json_walk(names);
    an_json value;
    uint32_t i;

    for (i = 0; an__json_next(&walk, NULL, &value); i++) {
        size_t length;

        if (an__json_is_null(value)) continue;
        if (!an__json_text(value, NULL, 0, &length) || length > 255)
            return bad("class_names");
        index->class_names[i] = an__alloc(&ctx->memory, length + 1);
        if (index->class_names[i] == NULL) return AN_ERROR_MEMORY;
        an__json_text(value, index->class_names[i], length + 1, NULL);
    }
    return AN_OK;
}

static an_status read_lists(an_index *index, an_context *ctx, an_json names,
                            an_json parts)
{
    size_t classes = an__json_count(names), count = an__json_count(parts);

    if (!an__json_is_kind(names, '[') || classes < 2 || classes > 65536)
        return bad("class_names");
    if (!an__json_is_kind(parts, '[') || count > 65536) return bad("parts");
    index->classes = (uint32_t)classes;
    index->parts = (uint32_t)count;
    index->class_names = an__alloc_zero(&ctx->memory, classes * sizeof(char *));
    index->part_bytes = an__alloc(&ctx->memory, count * sizeof *index->part_bytes);
    if (index->class_names == NULL || index->part_bytes == NULL) return AN_ERROR_MEMORY;
    if (!numbers_read(parts, index->part_bytes, count)) return bad("parts");
    return read_names(index, ctx, names);
}

static int one_of(an_json json, const char *a, const char *b, uint32_t *second)
{
    *second = (uint32_t)an__json_equals(json, b);
    return *second || an__json_equals(json, a);
}

enum { VERSION, SIDE, KIND, FIT, SKIPPED, CHECK, SUMS, PRODUCTS, NAMES, PARTS, MEMBERS };

static const char *const members[MEMBERS] = {
    "version",         "side",        "kind", "fit", "skipped", "check", "colour_sums",
    "colour_products", "class_names", "parts"};

static an_status read_metadata(an_index *index, an_context *ctx, an_json json,
                               uint64_t *check)
{
    uint64_t version, side;
    uint32_t is_jpeg, is_warp;
    an_json of[MEMBERS];

    an__json_members(json, members, of, MEMBERS);
    if (!an__json_whole(of[VERSION], &version) || version < 1) return bad("version");
    if (version > AN_PACK_VERSION)
        return an__fail(AN_ERROR_VERSION,
                        "the pack's version is %llu, this library (%s) knows 1 to %u",
                        (unsigned long long)version, an_version_string(),
                        AN_PACK_VERSION);
    if (!an__json_whole(of[SIDE], &side) || side < 1 || side > 2048) return bad("side");
    if (!one_of(of[KIND], "raw", "jpeg", &is_jpeg)) return bad("kind");
    if (!one_of(of[FIT], "crop", "warp", &is_warp)) return bad("fit");
    index->fit = is_warp ? AN_FIT_WARP : AN_FIT_CROP;
    index->side = (uint32_t)side;
    index->kind = is_jpeg ? AN_PACK_JPEG : AN_PACK_RAW;
    if (!number_read(of[SKIPPED], &index->skipped)) return bad("skipped");
    if (!number_read(of[CHECK], check)) return bad("check");
    if (!numbers_read(of[SUMS], index->sums.colour, 3)) return bad("colour_sums");
    if (!numbers_read(of[PRODUCTS], index->sums.product, 6))
        return bad("colour_products");
    return read_lists(index, ctx, of[NAMES], of[PARTS]);
}

static an_status record_check(const an_index *index, uint64_t i)
{
    const an_record *r = &index->records[i];
    uint64_t part = r->place >> AN_PLACE_BITS, at = r->place & AN_PLACE_MASK;
    uint64_t raw = (uint64_t)3 * index->side * index->side;

    if (part >= index->parts || at < AN_PART_HEAD || at > index->part_bytes[part] ||
        r->bytes > index->part_bytes[part] - at ||
        (index->kind == AN_PACK_RAW && r->bytes != raw) || r->label < 0 ||
        (uint32_t)r->label >= index->classes)
        return an__fail(AN_ERROR_FORMAT, "the pack's index: picture %llu is out of range",
                        (unsigned long long)i);
    return AN_OK;
}

static an_status read_columns(an_index *index, an_context *ctx, const an_header *header,
                              const unsigned char *base)
{
    const an_entry *entry[AN_COLUMNS], *pixels = an__header_find(header, PIXELS);
    size_t pixel_count = (size_t)3 * index->side * index->side;
    uint64_t i;
    uint32_t c;

    for (c = 0; c < AN_COLUMNS; c++) {
        entry[c] = an__header_find(header, columns[c]);
        if (entry[c] == NULL || entry[c]->dtype != column_types[c] ||
            entry[c]->dims != 1 || entry[c]->count != entry[0]->count)
            return bad(columns[c]);
    }
    if (pixels == NULL || pixels->dtype != AN_U64 || pixels->count != pixel_count)
        return bad(PIXELS);
    index->count = entry[0]->count;
    if (index->count > UINT32_MAX) return bad(columns[0]);
    index->records =
        an__alloc(&ctx->memory, (size_t)index->count * sizeof *index->records);
    index->sums.pixels =
        an__alloc(&ctx->memory, pixel_count * sizeof *index->sums.pixels);
    if (index->records == NULL || index->sums.pixels == NULL) return AN_ERROR_MEMORY;
    memcpy(index->sums.pixels, base + pixels->begin,
           pixel_count * sizeof *index->sums.pixels);
    for (c = 0; c < AN_COLUMNS; c++)
        for (i = 0; i < index->count; i++)
            column_set(&index->records[i], c,
                       base + entry[c]->begin + i * an__file_type_bytes(column_types[c]));
    for (i = 0; i < index->count; i++) AN_TRY(record_check(index, i));
    return AN_OK;
}

/* The first packs have no checksum of what their metadata say. */
static int about_is_whole(const an_header *header)
{
    uint64_t wanted;

    return !header->has_check ||
           (digits_read(header->check, &wanted) &&
            an__check_bytes(header->metadata, header->metadata_bytes) == wanted);
}

static an_status read_checked(an_index *index, an_context *ctx, const an_header *header,
                              const unsigned char *base)
{
    uint64_t check = 0;
    an_json json;

    if (header->metadata == NULL ||
        an__json_check(&json, header->metadata, header->metadata_bytes, "it") != AN_OK ||
        !an__json_is_kind(json, '{'))
        return bad("metadata");
    AN_TRY(read_metadata(index, ctx, json, &check));
    if (an__check_bytes(base, (size_t)header->bytes) != check || !about_is_whole(header))
        return an__fail(AN_ERROR_FORMAT, "the pack's index is damaged: its checksum "
                                         "is another");
    return read_columns(index, ctx, header, base);
}

static an_status read_map(an_index *index, an_context *ctx, const an_mapping *map)
{
    an_map_reader reader = {*map, 0};
    an_header header;
    an_status status;

    AN_TRY(an__header_read(&header, &ctx->memory, an__map_read, &reader));
    status = header.bytes == map->bytes - header.start
                 ? read_checked(index, ctx, &header,
                                (const unsigned char *)map->base + header.start)
                 : an__fail(AN_ERROR_FORMAT, "the pack's index is cut short");
    an__header_free(&header, &ctx->memory);
    return status;
}

an_status an__index_read(an_index *out, an_context *ctx, const char *path)
{
    an_mapping map = {NULL, 0};
    an_status status;

    memset(out, 0, sizeof *out);
    AN_TRY(an__file_map(&map, path, 0));
    status = read_map(out, ctx, &map);
    an__file_unmap(&map);
    if (status != AN_OK) an__index_free(out, ctx);
    return status;
}

/* --- statistics -------------------------------------------------------------------- */

/* Eigenvectors, in the columns of `v`, and eigenvalues of a symmetric matrix: Jacobi's
 * rotations, until what is off the diagonal is nothing beside it. */
static void eigen(double a[3][3], double v[3][3])
{
    static const int pairs[3][2] = {{0, 1}, {0, 2}, {1, 2}};
    int sweep, k, i;

    for (i = 0; i < 9; i++) v[i / 3][i % 3] = i / 3 == i % 3;
    for (sweep = 0; sweep < 32; sweep++)
        for (k = 0; k < 3; k++) {
            int p = pairs[k][0], q = pairs[k][1];
            double theta, t, c, s;

            if (fabs(a[p][q]) <= 1e-300) continue;
            theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
            t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
            c = 1 / sqrt(t * t + 1);
            s = t * c;
            for (i = 0; i < 3; i++) { /* columns, then rows */
                double x = a[i][p], y = a[i][q];

                a[i][p] = c * x - s * y;
                a[i][q] = s * x + c * y;
                x = v[i][p];
                y = v[i][q];
                v[i][p] = c * x - s * y;
                v[i][q] = s * x + c * y;
            }
            for (i = 0; i < 3; i++) {
                double x = a[p][i], y = a[q][i];

                a[p][i] = c * x - s * y;
                a[q][i] = s * x + c * y;
            }
        }
}

void an__colours_of(const an_index *index, an_colours *out)
{
    static const int at[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};
    double pixels = (double)index->count * index->side * index->side;
    double covariance[3][3], axes[3][3], mean[3];
    int order[3] = {0, 1, 2}, i, j, c;

    for (c = 0; c < 3; c++) mean[c] = (double)index->sums.colour[c] / pixels;
    for (i = 0; i < 3; i++)
        for (j = 0; j < 3; j++)
            covariance[i][j] =
                (double)index->sums.product[at[i][j]] / pixels - mean[i] * mean[j];
    for (c = 0; c < 3; c++) {
        out->mean[c] = (float)mean[c];
        out->deviation[c] = (float)sqrt(fmax(covariance[c][c], 0));
    }
    eigen(covariance, axes);
    for (i = 0; i < 2; i++)
        for (j = i + 1; j < 3; j++)
            if (covariance[order[j]][order[j]] > covariance[order[i]][order[i]]) {
                int was = order[i];

                order[i] = order[j];
                order[j] = was;
            }
    for (i = 0; i < 3; i++) {
        int k = order[i];
        double sum = axes[0][k] + axes[1][k] + axes[2][k];

        out->colour_deviation[i] = (float)sqrt(fmax(covariance[k][k], 0));
        for (c = 0; c < 3; c++) /* of the two directions, the one towards white */
            out->colour_axis[i][c] = (float)(sum < 0 ? -axes[c][k] : axes[c][k]);
    }
}
