/*
 * safetensors.h - the file format: u64 length of the header, little-endian; the header, JSON;
 * the tensors' bytes. https://github.com/huggingface/safetensors describes it.
 */
#ifndef AN_SAFETENSORS_H
#define AN_SAFETENSORS_H

#include <jansson.h>

#include "internal.h"

#define AN_HEADER_LIMIT ((size_t)8 << 20) /* bytes: room for 65,536 class names */
#define AN_PIECE ((size_t)1 << 20)        /* bytes handed to a writer at once */

typedef enum an_dtype { AN_F32, AN_F16, AN_BF16, AN_I32, AN_U64, AN_OTHER } an_dtype;

typedef struct an_entry {
    const char *name; /* in the header's JSON */
    an_dtype dtype;
    uint32_t dims;
    uint64_t shape[4];   /* only if dims <= 4 */
    uint64_t count;      /* product of the shape */
    uint64_t begin, end; /* bytes, from the end of the header */
} an_entry;

typedef struct an_header {
    json_t *json;
    const char *metadata; /* the "alexnet" string, null if there is none */
    an_entry *entries;    /* by place in the file */
    size_t count;
    size_t start;   /* of the tensors' bytes in the file */
    uint64_t bytes; /* of all tensors */
} an_header;

/* `text` is `bytes` long, and everything in it is checked. */
an_status an__header_parse(an_header *out, an_context *ctx, const char *text,
                           size_t bytes);
void an__header_free(an_header *header, an_context *ctx);
const an_entry *an__header_find(const an_header *header, const char *name);

/* Bytes of one number; 0 for AN_OTHER. */
size_t an__dtype_bytes(an_dtype dtype);
/* `count` numbers of a file, of one of the first three kinds, to float32. */
void an__dtype_convert(an_dtype dtype, const void *from, size_t count, float *to);

/* Adds a tensor of up to four dimensions at byte *at, and moves *at behind it; nonzero: no
 * memory. */
int an__header_add(json_t *json, const char *name, an_dtype dtype, const uint64_t *shape,
                   uint32_t dims, uint64_t *at);
/* Writes length and header: padded with spaces, so that the tensors begin at a multiple of
 * 64 bytes. */
an_status an__header_write(json_t *json, an_write_fn write, void *user);

/* `bytes` of a reader, all of them. FORMAT: it ends before. */
an_status an__read_all(an_read_fn read, void *user, void *data, size_t bytes);

#endif
