/*
 * reading.c - a file's header and tensors, of a map or of a reader.
 *
 * What a reader has still to give is promised by a header that anybody may have written.
 * Memory follows what has come: a tensor gets its place once a quarter of the bytes of
 * all places has come; until then its first pieces are kept as they are.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/checkpoint.h"

#define FOLLOW 4u                       /* places have at most so many times what came */
#define AHEAD ((uint64_t)1 << 20)       /* bytes that may be reserved before all data */
#define MOST (AN_PIECE / sizeof(float)) /* numbers of a piece */

/* Numbers first .. first + count - 1 of a tensor. The values come first: some bytes
 * behind the place in its page that `raw` has, copying between the two would take half as
 * long again, as a processor compares the lower bits of addresses alone. */
typedef struct an_piece {
    float values[MOST];
    struct an_piece *next;
    size_t first, count;
} an_piece;

/* --- source ------------------------------------------------------------------------ */

an_status an__reading_open(an_reading *r, an_context *ctx, const char *path)
{
    memset(r, 0, sizeof *r);
    r->ctx = ctx;
    AN_TRY(an__file_map(&r->file.map, path, 1));
    r->read = an__map_read;
    r->user = &r->file;
    r->come = r->file.map.bytes;
    return AN_OK;
}

void an__reading_begin(an_reading *r, an_context *ctx, an_read_fn read, void *user)
{
    memset(r, 0, sizeof *r);
    r->ctx = ctx;
    r->read = read;
    r->user = user;
}

void an__reading_end(an_reading *r)
{
    an__header_free(&r->header, &r->ctx->memory);
    an__file_unmap(&r->file.map);
}

an_status an__reading_header(an_reading *r)
{
    size_t after = r->file.map.bytes;

    AN_TRY(an__header_read(&r->header, &r->ctx->memory, r->read, r->user));
    if (r->file.map.base == NULL) return AN_OK;
    after -= r->header.start;
    if (r->header.bytes == after) return AN_OK;
    return an__fail(AN_ERROR_FORMAT,
                    "the file has %zu bytes after its header, which says another number",
                    after);
}

/* The next bytes of the tensors. */
static an_status take(an_reading *r, void *to, size_t bytes)
{
    AN_TRY(an__read_all(r->read, r->user, to, bytes));
    if (r->file.map.base == NULL) r->come += bytes;
    return AN_OK;
}

/* --- tensors ----------------------------------------------------------------------- */

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

an_status an__wanted_find(an_wanted *out, const an_reading *r, const an_plan *plan,
                          const char *prefix)
{
    uint32_t i;

    memset(out, 0, sizeof *out);
    for (i = 0; i < plan->param_count; i++)
        AN_TRY(find_tensor(&r->header, &plan->params[i], prefix, &out->tensors[i]));
    return AN_OK;
}

/* Numbers of a whole tensor to the towers that hold them. */
static an_status put_parts(const an_wanted *w, uint32_t index, const an_piece *piece)
{
    const an_net *net = w->net;
    const an_param *param = &net->plan->params[index];
    size_t first = piece->first;
    uint32_t t;

    for (t = 0; t < net->plan->towers; t++) {
        size_t begin = param->first[t], end = begin + param->part[t];
        size_t from = first > begin ? first : begin;
        size_t to = first + piece->count < end ? first + piece->count : end;

        if (from >= to) continue;
        AN_TRY(an__weights_put_part(w->weights, net, index, t, from - begin,
                                    piece->values + (from - first), to - from));
        AN_TRY(net->backend->sync(net->queue[t]));
    }
    return AN_OK;
}

/* A tensor on its way to its place. */
typedef struct an_arriving {
    an_reading *r;
    an_wanted *w;
    const an_entry *entry;
    uint32_t index; /* of the parameter; param_count: the mean image */
    int placed;
    an_piece *kept, *last; /* what came before it had a place */
} an_arriving;

static an_status put(const an_arriving *a, const an_piece *piece)
{
    if (a->index < a->w->net->plan->param_count) return put_parts(a->w, a->index, piece);
    memcpy(a->w->mean_values + piece->first, piece->values,
           piece->count * sizeof *piece->values);
    return AN_OK;
}

static void keep(an_arriving *a, an_piece *piece)
{
    piece->next = NULL;
    if (a->last != NULL)
        a->last->next = piece;
    else
        a->kept = piece;
    a->last = piece;
}

static an_piece *kept_next(an_arriving *a)
{
    an_piece *piece = a->kept;

    if (piece != NULL) a->kept = piece->next;
    return piece;
}

/* Gives the tensor its place, if as much has come that it may have one. */
static an_status place(an_arriving *a)
{
    const an_allocator *memory = &a->r->ctx->memory;
    an_reading *r = a->r;
    uint64_t bytes = a->entry->count * sizeof(float);
    an_piece *piece;

    if (a->placed || r->reserved + bytes > FOLLOW * r->come + AHEAD) return AN_OK;
    if (a->index < a->w->net->plan->param_count) {
        AN_TRY(an__weights_reserve(a->w->weights, a->w->net, a->index));
    } else {
        a->w->mean_values = an__alloc(memory, (size_t)bytes);
        if (a->w->mean_values == NULL) return AN_ERROR_MEMORY;
    }
    r->reserved += bytes;
    a->placed = 1;
    while ((piece = kept_next(a)) != NULL) {
        an_status status = put(a, piece);

        an__free(memory, piece);
        AN_TRY(status);
    }
    return AN_OK;
}

static an_status piece_read(an_reading *r, const an_entry *entry, size_t first)
{
    an_piece *piece = r->piece;
    size_t left = (size_t)entry->count - first, i;

    piece->first = first;
    piece->count = left < MOST ? left : MOST;
    AN_TRY(take(r, r->raw, piece->count * an__file_type_bytes(entry->dtype)));
    an__dtype_convert(entry->dtype, r->raw, piece->count, piece->values);
    for (i = 0; i < piece->count; i++)
        if (!isfinite(piece->values[i]))
            return an__fail(AN_ERROR_FORMAT, "%s[%zu] is not finite", entry->name,
                            first + i);
    return AN_OK;
}

static an_status piece_alloc(an_reading *r)
{
    if (r->piece == NULL) r->piece = an__alloc(&r->ctx->memory, sizeof *r->piece);
    return r->piece != NULL ? AN_OK : AN_ERROR_MEMORY;
}

static an_status read_pieces(an_arriving *a)
{
    an_reading *r = a->r;
    size_t first;

    for (first = 0; first < a->entry->count; first += MOST) {
        AN_TRY(piece_alloc(r));
        AN_TRY(piece_read(r, a->entry, first));
        AN_TRY(place(a));
        if (a->placed) {
            AN_TRY(put(a, r->piece));
        } else {
            keep(a, r->piece);
            r->piece = NULL;
        }
    }
    return AN_OK;
}

/* At the end every tensor has its place: as float32 it has no more than twice the bytes
 * that have come of it. */
static an_status read_tensor(an_reading *r, an_wanted *w, const an_entry *entry)
{
    an_arriving a = {r, w, entry, 0, 0, NULL, NULL};
    an_status status;
    an_piece *piece;

    while (a.index < w->net->plan->param_count && w->tensors[a.index] != entry) a.index++;
    status = read_pieces(&a);
    while ((piece = kept_next(&a)) != NULL) an__free(&r->ctx->memory, piece);
    return status;
}

static int is_wanted(const an_wanted *w, const an_entry *entry)
{
    uint32_t i;

    for (i = 0; i < w->net->plan->param_count; i++)
        if (w->tensors[i] == entry) return 1;
    return entry == w->mean;
}

static an_status skip(an_reading *r, uint64_t bytes)
{
    if (r->file.map.base != NULL) {
        r->file.at += (size_t)bytes; /* the file is as long as its header says */
        return AN_OK;
    }
    while (bytes > 0) {
        size_t part = bytes < AN_PIECE ? (size_t)bytes : AN_PIECE;

        AN_TRY(take(r, r->raw, part));
        bytes -= part;
    }
    return AN_OK;
}

static an_status read_all(an_reading *r, an_wanted *w)
{
    ptrdiff_t more;
    size_t e;

    for (e = 0; e < r->header.count; e++) {
        const an_entry *entry = &r->header.entries[e];

        AN_TRY(is_wanted(w, entry) ? read_tensor(r, w, entry)
                                   : skip(r, entry->end - entry->begin));
    }
    more = r->read(r->raw, 1, r->user);
    if (more < 0) return an__fail(AN_ERROR_IO, "the reader failed");
    if (more > 0) return an__fail(AN_ERROR_FORMAT, "the file goes on after its tensors");
    return AN_OK;
}

an_status an__reading_tensors(an_reading *r, an_wanted *w)
{
    const an_allocator *memory = &r->ctx->memory;
    an_status status = AN_ERROR_MEMORY;

    r->raw = an__alloc(memory, AN_PIECE);
    if (r->raw != NULL) status = read_all(r, w);
    an__free(memory, r->piece);
    an__free(memory, r->raw);
    r->piece = NULL;
    r->raw = NULL;
    return status;
}
