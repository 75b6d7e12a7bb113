/*
 * header.c - any bytes as a safetensors file's header, without a file: what is taken
 * fills the file without holes, is found by name, and is taken again once it has been
 * written.
 */
#include <stdlib.h>
#include <string.h>

#include "mutate.h"

/* A header takes no more than twice its bytes beside them. */
#define MOST(bytes) (2 * (bytes) + 256)

static void check_entries(const an_header *header)
{
    uint64_t at = 0;
    size_t i;

    for (i = 0; i < header->count; i++) {
        const an_entry *e = &header->entries[i];

        FUZZ_EXPECT(e->begin == at && e->end >= at, "a hole before %s", e->name);
        FUZZ_EXPECT(fuzz_is_utf8(e->name), "a name is none");
        FUZZ_EXPECT(an__header_find(header, e->name) == e, "%s is not found", e->name);
        FUZZ_EXPECT(e->dtype == AN_OTHER ||
                        e->end - e->begin == e->count * an__file_type_bytes(e->dtype),
                    "%s has another number of bytes", e->name);
        at = e->end;
    }
    FUZZ_EXPECT(header->bytes == at, "the tensors have other bytes than the last one");
    FUZZ_EXPECT((header->metadata != NULL) <= header->has_metadata, "metadata of none");
    FUZZ_EXPECT(header->metadata == NULL ||
                    strlen(header->metadata) == header->metadata_bytes,
                "the metadata's text has another length");
}

/* Whether the library itself could have written such a header. */
static int is_ours(const an_header *header)
{
    size_t i;

    for (i = 0; i < header->count; i++)
        if (header->entries[i].dtype == AN_OTHER || header->entries[i].dims > 4) return 0;
    return 1;
}

static void put_header(an_json_out *out, const void *arg)
{
    const an_header *header = arg;
    uint64_t at = 0;
    size_t i;

    an__json_open(out, '{');
    if (header->metadata != NULL) {
        an__json_key(out, "__metadata__");
        an__json_open(out, '{');
        an__json_key(out, "alexnet");
        an__json_put_text(out, header->metadata);
        an__json_close(out, '}');
    }
    for (i = 0; i < header->count; i++) {
        const an_entry *e = &header->entries[i];

        an__header_put(out, e->name, e->dtype, e->shape, e->dims, &at);
    }
    an__json_close(out, '}');
}

static int same_entry(const an_entry *a, const an_entry *b)
{
    return strcmp(a->name, b->name) == 0 && a->dtype == b->dtype && a->dims == b->dims &&
           memcmp(a->shape, b->shape, a->dims * sizeof a->shape[0]) == 0 &&
           a->begin == b->begin && a->end == b->end;
}

static void write_again(const an_header *header, const an_allocator *memory)
{
    fuzz_sink sink = {NULL, 0};
    an_header again;
    size_t i;

    FUZZ_CALL(an__header_write(memory, put_header, header, fuzz_write, &sink), 0);
    FUZZ_EXPECT(sink.size % 64 == 0, "the tensors begin at byte %zu", sink.size);
    FUZZ_CALL(
        an__header_parse(&again, memory, (const char *)sink.data + 8, sink.size - 8), 0);
    FUZZ_EXPECT(again.count == header->count && again.bytes == header->bytes &&
                    (again.metadata == NULL) == (header->metadata == NULL),
                "what is written is another header");
    for (i = 0; i < again.count; i++) {
        /* Those without bytes stand in any order. */
        const an_entry *e = an__header_find(header, again.entries[i].name);

        FUZZ_EXPECT(e != NULL && same_entry(e, &again.entries[i]), "another entry");
    }
    FUZZ_EXPECT(again.metadata == NULL || strcmp(again.metadata, header->metadata) == 0,
                "the metadata's text is another");
    an__header_free(&again, memory);
    fuzz_sink_free(&sink);
}

/* The bytes as numbers of each kind. */
static void try_numbers(const uint8_t *data, size_t size)
{
    float values[16];
    unsigned type;

    for (type = AN_F32; type <= AN_BF16; type++) {
        size_t count = size / an__file_type_bytes((an_file_type)type);

        an__dtype_convert((an_file_type)type, data, count < 16 ? count : 16, values);
    }
}

/* The bytes as a file: what it promises beyond them costs nothing. */
static void try_file(const uint8_t *data, size_t size, fuzz_memory *memory)
{
    const an_allocator allocator = fuzz_allocator(memory);
    fuzz_reader reader = {{data, size}, size > 0 ? 1 + data[0] % 7u : 0, 0};
    an_header header;

    memory->peak = 0;
    if (FUZZ_CALL(an__header_read(&header, &allocator, fuzz_read, &reader),
                  FUZZ_MAY(FORMAT)) == AN_OK) {
        FUZZ_EXPECT(header.start <= size, "the tensors begin behind the end");
        an__header_free(&header, &allocator);
    }
    FUZZ_EXPECT(memory->peak <= (128 << 10) + 4 * size, "%zu bytes for %zu", memory->peak,
                size);
}

/* A reader that gives a few bytes at a time gives them all, and then no more. */
static void try_reader(const uint8_t *data, size_t size)
{
    fuzz_reader reader = {{data, size}, size > 0 ? 1 + data[0] % 7u : 0, 0};
    char *to = malloc(size + 1);

    if (to == NULL) return;
    FUZZ_CALL(an__read_all(fuzz_read, &reader, to, size), 0);
    FUZZ_EXPECT(size == 0 || memcmp(to, data, size) == 0, "other bytes were read");
    FUZZ_EXPECT(FUZZ_CALL(an__read_all(fuzz_read, &reader, to, 1), FUZZ_MAY(FORMAT)) !=
                    AN_OK,
                "a byte behind the end was read");
    reader.in.data = data;
    reader.in.left = reader.fails = size;
    FUZZ_EXPECT(size == 0 || FUZZ_CALL(an__read_all(fuzz_read, &reader, to, size),
                                       FUZZ_MAY(IO)) != AN_OK,
                "a reader's failure was not noticed");
    free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_memory memory = {(size_t)32 << 20, 0, 0, 0};
    const an_allocator allocator = fuzz_allocator(&memory);
    char *exact = malloc(size > 0 ? size : 1);
    an_header header;

    if (exact == NULL) return 0;
    if (size > 0) memcpy(exact, data, size);
    memset(&header, 0x5a, sizeof header);
    memory.peak = 0;
    if (FUZZ_CALL(an__header_parse(&header, &allocator, exact, size), FUZZ_MAY(FORMAT)) ==
        AN_OK) {
        FUZZ_EXPECT(memory.peak <= MOST(size), "%zu bytes for %zu", memory.peak, size);
        FUZZ_EXPECT(header.start == 8 + size, "the tensors begin elsewhere");
        memset(exact, 0, size); /* nothing leads into the text any more */
        check_entries(&header);
        if (is_ours(&header)) write_again(&header, &allocator);
        an__header_free(&header, &allocator);
    } else {
        FUZZ_EXPECT(header.has_check == 0x5a5a5a5a, "what is refused was written");
    }
    try_numbers(data, size);
    try_reader(data, size);
    try_file(data, size, &memory);
    FUZZ_EXPECT(memory.blocks == 0, "memory is held");
    free(exact);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    fuzz_dice dice = fuzz_dice_of(seed);

    return fuzz_mutate_json((char *)data, size, max, &dice);
}
