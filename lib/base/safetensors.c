/*
 * safetensors.c - reading a header that anybody may have written, writing one of our own.
 */
#include <stdlib.h> /* free(): of what jansson allocated; qsort() */
#include <string.h>

#include "base/base.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "checkpoints are read and written as they lie in memory: little-endian only"
#endif

/* --- numbers ----------------------------------------------------------------------- */

static const char *const dtype_names[] = {"F32", "F16", "BF16", "I32", "U64"};

size_t an__file_type_bytes(an_file_type dtype)
{
    static const size_t bytes[] = {4, 2, 2, 4, 8, 0};

    return bytes[dtype];
}

/* IEEE 754 half precision: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static uint32_t half_bits(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31;
    uint32_t fraction = half & 0x3ff;

    if (exponent == 31) return sign | 0x7f800000 | fraction << 13;
    if (exponent > 0) return sign | (exponent + 112) << 23 | fraction << 13;
    if (fraction == 0) return sign;
    for (exponent = 113; !(fraction & 0x400); exponent--) fraction <<= 1; /* subnormal */
    return sign | exponent << 23 | (fraction & 0x3ff) << 13;
}

void an__dtype_convert(an_file_type dtype, const void *from, size_t count, float *to)
{
    const unsigned char *bytes = from;
    size_t i;

    if (dtype == AN_F32) {
        memcpy(to, from, count * sizeof *to);
        return;
    }
    for (i = 0; i < count; i++) {
        uint16_t word = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
        uint32_t bits = dtype == AN_BF16 ? (uint32_t)word << 16 : half_bits(word);

        memcpy(&to[i], &bits, sizeof bits);
    }
}

/* --- reading ----------------------------------------------------------------------- */

static an_status bad(const char *name, const char *what)
{
    return an__fail(AN_ERROR_FORMAT, "the header's \"%.60s\" %s", name, what);
}

static an_file_type dtype_of(const char *text)
{
    uint32_t i;

    for (i = 0; i < AN_OTHER; i++)
        if (strcmp(text, dtype_names[i]) == 0) break;
    return (an_file_type)i;
}

static int natural(const json_t *json, uint64_t *out)
{
    if (!json_is_integer(json) || json_integer_value(json) < 0) return 0;
    *out = (uint64_t)json_integer_value(json);
    return 1;
}

static an_status parse_shape(const json_t *shape, an_entry *entry)
{
    size_t dims = json_array_size(shape), i, product;

    if (!json_is_array(shape)) return bad(entry->name, "has no shape");
    entry->dims = dims <= 4 ? (uint32_t)dims : 5;
    entry->count = 1;
    for (i = 0; i < dims; i++) {
        uint64_t size;

        if (!natural(json_array_get(shape, i), &size) ||
            !an__multiply((size_t)entry->count, (size_t)size, &product))
            return bad(entry->name, "has a shape that cannot be");
        entry->count = product;
        if (i < 4) entry->shape[i] = size;
    }
    return AN_OK;
}

static an_status parse_entry(const char *name, const json_t *json, an_entry *entry)
{
    const json_t *offsets = json_object_get(json, "data_offsets");
    const char *dtype = json_string_value(json_object_get(json, "dtype"));
    size_t bytes;

    memset(entry, 0, sizeof *entry);
    entry->name = name;
    if (!json_is_object(json)) return bad(name, "is no object");
    if (dtype == NULL) return bad(name, "has no dtype");
    entry->dtype = dtype_of(dtype);
    AN_TRY(parse_shape(json_object_get(json, "shape"), entry));
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !natural(json_array_get(offsets, 0), &entry->begin) ||
        !natural(json_array_get(offsets, 1), &entry->end) || entry->begin > entry->end)
        return bad(name, "has offsets that cannot be");
    if (entry->dtype != AN_OTHER &&
        (!an__multiply((size_t)entry->count, an__file_type_bytes(entry->dtype), &bytes) ||
         bytes != entry->end - entry->begin))
        return bad(name, "has offsets that do not fit its shape");
    return AN_OK;
}

static int by_place(const void *a, const void *b)
{
    const an_entry *x = a, *y = b;

    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static an_status parse_entries(an_header *header, const an_allocator *memory)
{
    size_t members = json_object_size(header->json), i;
    const char *name;
    json_t *value;

    header->entries = an__alloc(memory, members * sizeof *header->entries);
    if (header->entries == NULL) return AN_ERROR_MEMORY;
    json_object_foreach (header->json, name, value) {
        if (strcmp(name, "__metadata__") == 0) {
            json_t *ours = json_object_get(value, "alexnet");

            if (!json_is_object(value) || (ours != NULL && !json_is_string(ours)))
                return bad(name, "is no object of strings");
            header->metadata = json_string_value(ours);
            continue;
        }
        AN_TRY(parse_entry(name, value, &header->entries[header->count]));
        header->count++;
    }
    /* The tensors fill the file, one after another: no hole, no overlap. */
    qsort(header->entries, header->count, sizeof *header->entries, by_place);
    for (i = 0; i < header->count; i++) {
        if (header->entries[i].begin != header->bytes)
            return bad(header->entries[i].name,
                       "does not begin where the one before ends");
        header->bytes = header->entries[i].end;
    }
    return AN_OK;
}

an_status an__header_parse(an_header *out, const an_allocator *memory, const char *text,
                           size_t bytes)
{
    an_header header;
    json_error_t error;
    an_status status;

    memset(&header, 0, sizeof header);
    header.json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (header.json == NULL && json_error_code(&error) == json_error_out_of_memory)
        return an__fail(AN_ERROR_MEMORY, "no memory for a header of %zu bytes", bytes);
    if (header.json == NULL)
        return an__fail(AN_ERROR_FORMAT, "the header is no JSON: byte %d: %.100s",
                        error.position, error.text);
    if (!json_is_object(header.json))
        status = an__fail(AN_ERROR_FORMAT, "the header is no JSON object");
    else
        status = parse_entries(&header, memory);
    if (status != AN_OK) {
        an__header_free(&header, memory);
        return status;
    }
    header.start = 8 + bytes;
    *out = header;
    return AN_OK;
}

void an__header_free(an_header *header, const an_allocator *memory)
{
    json_decref(header->json);
    an__free(memory, header->entries);
    memset(header, 0, sizeof *header);
}

const an_entry *an__header_find(const an_header *header, const char *name)
{
    size_t i;

    for (i = 0; i < header->count; i++)
        if (strcmp(header->entries[i].name, name) == 0) return &header->entries[i];
    return NULL;
}

an_status an__read_all(an_read_fn read, void *user, void *data, size_t bytes)
{
    char *at = data;

    while (bytes > 0) {
        ptrdiff_t done = read(at, bytes, user);

        if (done < 0 || (size_t)done > bytes)
            return an__fail(AN_ERROR_IO, "the reader failed");
        if (done == 0) return an__fail(AN_ERROR_FORMAT, "the file ends too early");
        at += done;
        bytes -= (size_t)done;
    }
    return AN_OK;
}

/* --- writing ----------------------------------------------------------------------- */

static an_status write_text(const char *text, size_t length, an_write_fn write,
                            void *user)
{
    static const char spaces[64] =
        "                                                        "
        "        ";
    size_t padding = (64 - (8 + length) % 64) % 64, done, part, i;
    unsigned char head[8];

    for (i = 0; i < 8; i++)
        head[i] = (unsigned char)((uint64_t)(length + padding) >> 8 * i);
    if (write(head, sizeof head, user) != 0) return AN_ERROR_IO;
    for (done = 0; done < length; done += part) {
        part = length - done < AN_PIECE ? length - done : AN_PIECE;
        if (write(text + done, part, user) != 0) return AN_ERROR_IO;
    }
    if (padding > 0 && write(spaces, padding, user) != 0) return AN_ERROR_IO;
    return AN_OK;
}

int an__header_add(json_t *json, const char *name, an_file_type dtype,
                   const uint64_t *shape, uint32_t dims, uint64_t *at)
{
    json_t *entry = json_object(), *sizes = json_array(), *offsets = json_array();
    uint64_t bytes = an__file_type_bytes(dtype);
    uint32_t i;
    int failed = 0;

    for (i = 0; i < dims; i++) {
        failed |= json_array_append_new(sizes, json_integer((json_int_t)shape[i]));
        bytes *= shape[i];
    }
    failed |= json_array_append_new(offsets, json_integer((json_int_t)*at));
    failed |= json_array_append_new(offsets, json_integer((json_int_t)(*at + bytes)));
    failed |= json_object_set_new(entry, "dtype", json_string(dtype_names[dtype]));
    failed |= json_object_set_new(entry, "shape", sizes);
    failed |= json_object_set_new(entry, "data_offsets", offsets);
    *at += bytes;
    return failed | json_object_set_new(json, name, entry);
}

an_status an__header_write(json_t *json, an_write_fn write, void *user)
{
    char *text = json_dumps(json, JSON_COMPACT);
    an_status status;

    if (text == NULL) return an__fail(AN_ERROR_MEMORY, "no memory for the header");
    if (strlen(text) > AN_HEADER_LIMIT - 64)
        status = an__fail(AN_ERROR_ARGUMENT,
                          "the header would have %zu bytes: class names "
                          "must leave it below %zu",
                          strlen(text), AN_HEADER_LIMIT);
    else
        status = write_text(text, strlen(text), write, user);
    free(text);
    return status;
}

an_status an__header_refuse(const unsigned char head[8])
{
    static const struct {
        const char *begins, *what;
    } kinds[] = {{"PK\3\4", "a zip archive, as PyTorch's .pth is: save its state_dict() "
                            "as safetensors"},
                 {"\x80\2",
                  "a pickle, as PyTorch's old .pth is: save its state_dict() as "
                  "safetensors"},
                 {"\x89PNG", "a PNG picture"},
                 {"\xff\xd8\xff", "a JPEG picture"},
                 {"GIF8", "a GIF picture"},
                 {"\x89HDF", "an HDF5 file"},
                 {"<!", "a web page, or XML"},
                 {"<html", "a web page"},
                 {"version ", "a pointer of Git LFS, in place of the file itself"},
                 {"\x1f\x8b", "compressed by gzip"}};
    uint64_t length = 0;
    size_t i, printable = 0;

    for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (memcmp(head, kinds[i].begins, strlen(kinds[i].begins)) == 0)
            return an__fail(AN_ERROR_FORMAT, "no safetensors file, but %s",
                            kinds[i].what);
    while (printable < 8 && ((head[printable] >= 32 && head[printable] < 127) ||
                             (head[printable] >= 9 && head[printable] <= 13)))
        printable++;
    if (printable == 8) return an__fail(AN_ERROR_FORMAT, "no safetensors file, but text");
    for (i = 0; i < 8; i++) length |= (uint64_t)head[i] << 8 * i;
    return an__fail(AN_ERROR_FORMAT, "the header has %llu bytes: must be at most %zu",
                    (unsigned long long)length, AN_HEADER_LIMIT);
}
