/*
 * safetensors.c - reading a header that anybody may have written, writing one of our own.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "checkpoints are read and written as they lie in memory: little-endian only"
#endif

#define FIRST_READ ((size_t)64 << 10) /* bytes of a header at first */

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

static an_file_type dtype_of(an_json text)
{
    uint32_t i;

    for (i = 0; i < AN_OTHER; i++)
        if (an__json_equals(text, dtype_names[i])) break;
    return (an_file_type)i;
}

static an_status parse_shape(an_json shape, an_entry *entry)
{
    an_json_walk walk = an__json_walk(shape);
    an_json value;
    size_t product;
    uint32_t i;

    if (!an__json_is_kind(shape, '[')) return bad(entry->name, "has no shape");
    entry->count = 1;
    for (i = 0; an__json_next(&walk, NULL, &value); i++) {
        uint64_t size;

        if (!an__json_whole(value, &size) || size > INT64_MAX ||
            !an__multiply((size_t)entry->count, (size_t)size, &product))
            return bad(entry->name, "has a shape that cannot be");
        entry->count = product;
        if (i < 4) entry->shape[i] = size;
    }
    entry->dims = i <= 4 ? i : 5;
    return AN_OK;
}

static int parse_offsets(an_json offsets, an_entry *entry)
{
    an_json_walk walk = an__json_walk(offsets);
    an_json value;

    return an__json_is_kind(offsets, '[') && an__json_next(&walk, NULL, &value) &&
           an__json_whole(value, &entry->begin) && an__json_next(&walk, NULL, &value) &&
           an__json_whole(value, &entry->end) && !an__json_next(&walk, NULL, &value) &&
           entry->begin <= entry->end && entry->end <= INT64_MAX;
}

/* entry->name is there already. */
static an_status parse_entry(an_json json, an_entry *entry)
{
    const char *name = entry->name;
    size_t bytes;

    if (!an__json_is_kind(json, '{')) return bad(name, "is no object");
    if (!an__json_is_kind(an__json_get(json, "dtype"), '"'))
        return bad(name, "has no dtype");
    entry->dtype = dtype_of(an__json_get(json, "dtype"));
    AN_TRY(parse_shape(an__json_get(json, "shape"), entry));
    if (!parse_offsets(an__json_get(json, "data_offsets"), entry))
        return bad(name, "has offsets that cannot be");
    if (entry->dtype != AN_OTHER &&
        (!an__multiply((size_t)entry->count, an__file_type_bytes(entry->dtype), &bytes) ||
         bytes != entry->end - entry->begin))
        return bad(name, "has offsets that do not fit its shape");
    return AN_OK;
}

static an_status parse_metadata(an_header *header, const an_allocator *memory,
                                an_json object)
{
    static const char *const names[] = {"alexnet", "alexnet_check"};
    an_json values[2];

    if (header->has_metadata++) return bad("__metadata__", "is there twice");
    if (!an__json_is_kind(object, '{'))
        return bad("__metadata__", "is no object of strings");
    an__json_members(object, names, values, 2);
    header->has_check = values[1].end != NULL;
    if (!an__json_text(values[1], header->check, sizeof header->check, NULL))
        header->check[0] = '\0';
    if (values[0].end == NULL) return AN_OK;
    if (!an__json_text(values[0], NULL, 0, &header->metadata_bytes))
        return bad("__metadata__", "has no text, or two, for \"alexnet\"");
    header->metadata = an__alloc(memory, header->metadata_bytes + 1);
    if (header->metadata == NULL) return AN_ERROR_MEMORY;
    an__json_text(values[0], header->metadata, header->metadata_bytes + 1, NULL);
    return AN_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const an_entry *)a)->name, ((const an_entry *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const an_entry *x = a, *y = b;

    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* No name is there twice, and the tensors fill the file, one after another: no hole, no
 * overlap. */
static an_status check_entries(an_header *header)
{
    size_t i;

    qsort(header->entries, header->count, sizeof *header->entries, by_name);
    for (i = 1; i < header->count; i++)
        if (by_name(&header->entries[i - 1], &header->entries[i]) == 0)
            return bad(header->entries[i].name, "is there twice");
    qsort(header->entries, header->count, sizeof *header->entries, by_place);
    for (i = 0; i < header->count; i++) {
        if (header->entries[i].begin != header->bytes)
            return bad(header->entries[i].name,
                       "does not begin where the one before ends");
        header->bytes = header->entries[i].end;
    }
    return AN_OK;
}

/* How many tensors there are, and how many bytes their names take: of what is none
 * nothing is kept, so that memory follows what is there. */
static an_status count_entries(an_json json, size_t *count, size_t *name_bytes)
{
    an_json_walk walk = an__json_walk(json);
    an_json key, value;

    *count = *name_bytes = 0;
    while (an__json_next(&walk, &key, &value)) {
        an_entry entry;
        char name[64];
        size_t length;

        if (an__json_equals(key, "__metadata__")) continue;
        memset(&entry, 0, sizeof entry);
        an__json_text(key, NULL, 0, &length);
        entry.name = an__json_text(key, name, sizeof name, NULL) ? name : "a long name";
        AN_TRY(parse_entry(value, &entry));
        *name_bytes += length + 1;
        ++*count;
    }
    return AN_OK;
}

static an_status parse_entries(an_header *header, const an_allocator *memory,
                               an_json json)
{
    an_json_walk walk = an__json_walk(json);
    an_json key, value;
    size_t count, name_bytes;
    char *name;

    AN_TRY(count_entries(json, &count, &name_bytes));
    header->entries = an__alloc_zero(memory, count * sizeof *header->entries);
    header->names = an__alloc(memory, name_bytes);
    if (header->entries == NULL || header->names == NULL) return AN_ERROR_MEMORY;
    name = header->names;
    while (an__json_next(&walk, &key, &value)) {
        an_entry *entry = &header->entries[header->count];
        size_t length;

        if (an__json_equals(key, "__metadata__")) {
            AN_TRY(parse_metadata(header, memory, value));
            continue;
        }
        an__json_text(key, NULL, 0, &length);
        an__json_text(key, name, length + 1, NULL);
        entry->name = name;
        name += length + 1;
        AN_TRY(parse_entry(value, entry));
        header->count++;
    }
    return check_entries(header);
}

an_status an__header_parse(an_header *out, const an_allocator *memory, const char *text,
                           size_t bytes)
{
    an_header header;
    an_json json;
    an_status status;

    memset(&header, 0, sizeof header);
    AN_TRY(an__json_check(&json, text, bytes, "the header"));
    if (!an__json_is_kind(json, '{'))
        return an__fail(AN_ERROR_FORMAT, "the header is no JSON object");
    status = parse_entries(&header, memory, json);
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
    an__free(memory, header->metadata);
    an__free(memory, header->names);
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

/* For a file that begins with what can be no header's length: where these are the first
 * bytes of another kind of file, the message says of which. */
static an_status refuse(const unsigned char head[8])
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

/* The header's text, in blocks that are twice as large each time they are full. */
static an_status read_text(char **out, const an_allocator *memory, size_t length,
                           an_read_fn read, void *user)
{
    size_t have = 0, room = length < FIRST_READ ? length : FIRST_READ;
    char *text = an__alloc(memory, room), *larger;
    an_status status = text != NULL ? AN_OK : AN_ERROR_MEMORY;

    while (status == AN_OK) {
        status = an__read_all(read, user, text + have, room - have);
        if (status != AN_OK || room == length) break;
        have = room;
        room = length / 2 < have ? length : 2 * have;
        larger = an__alloc(memory, room);
        if (larger == NULL) {
            status = AN_ERROR_MEMORY;
            break;
        }
        memcpy(larger, text, have);
        an__free(memory, text);
        text = larger;
    }
    if (status != AN_OK)
        an__free(memory, text);
    else
        *out = text;
    return status;
}

an_status an__header_read(an_header *out, const an_allocator *memory, an_read_fn read,
                          void *user)
{
    unsigned char head[8];
    uint64_t length = 0;
    an_status status;
    char *text;
    int i;

    AN_TRY(an__read_all(read, user, head, sizeof head));
    for (i = 0; i < 8; i++) length |= (uint64_t)head[i] << 8 * i;
    if (length > AN_HEADER_LIMIT) return refuse(head);
    AN_TRY(read_text(&text, memory, (size_t)length, read, user));
    status = an__header_parse(out, memory, text, (size_t)length);
    an__free(memory, text);
    return status;
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

void an__header_put(an_json_out *out, const char *name, an_file_type dtype,
                    const uint64_t *shape, uint32_t dims, uint64_t *at)
{
    uint64_t bytes = an__file_type_bytes(dtype);
    uint32_t i;

    an__json_key(out, name);
    an__json_open(out, '{');
    an__json_key(out, "dtype");
    an__json_put_text(out, dtype_names[dtype]);
    an__json_key(out, "shape");
    an__json_open(out, '[');
    for (i = 0; i < dims; i++) {
        an__json_put_whole(out, shape[i]);
        bytes *= shape[i];
    }
    an__json_close(out, ']');
    an__json_key(out, "data_offsets");
    an__json_open(out, '[');
    an__json_put_whole(out, *at);
    an__json_put_whole(out, *at + bytes);
    an__json_close(out, ']');
    an__json_close(out, '}');
    *at += bytes;
}

an_status an__header_write(const an_allocator *memory, an_json_fn make, const void *arg,
                           an_write_fn write, void *user)
{
    an_status status;
    size_t length;
    char *text;

    AN_TRY(an__json_make(&text, &length, memory, make, arg));
    if (length > AN_HEADER_LIMIT - 64)
        status = an__fail(AN_ERROR_ARGUMENT,
                          "the header would have %zu bytes: class names "
                          "must leave it below %zu",
                          length, AN_HEADER_LIMIT);
    else
        status = write_text(text, length, write, user);
    an__free(memory, text);
    return status;
}
