/*
 * pack_writer.c - making a pack: pictures appended to its parts, an index when all are
 * there.
 *
 * Until then an index under another name, the journal, says how much is safe: what was
 * written after it is cut off when the work is taken up again. A lock in the folder keeps
 * other writers out from the beginning until the end. Parts are followed through no
 * symbolic link, and nothing is built on what does not begin as a part does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data.h"

void an_pack_writer_config_init(an_pack_writer_config *config, size_t size)
{
    an_pack_writer_config defaults;

    memset(&defaults, 0, sizeof defaults);
    defaults.side = 256; /* the paper, section 2 */
    defaults.kind = AN_PACK_RAW;
    defaults.part_bytes = (uint64_t)4 << 30;
    an__struct_init(config, size, &defaults, sizeof defaults);
}

struct an_pack_writer {
    an_context *ctx;
    char *folder;
    an_lock lock;
    uint64_t part_limit;
    an_index index;
    uint64_t room; /* for records */
    int file;      /* the last part; -1: none is open */
    int finished, empty_classes;
    int unsafe; /* a sync failed: nobody knows what of the parts is on the disk */
};

/* --- parts ------------------------------------------------------------------------- */

static char *part_path(const an_pack_writer *p, uint32_t part)
{
    char name[32];

    an__part_name(name, part);
    return an__path_join(p->ctx, p->folder, name);
}

static an_status close_part(an_pack_writer *p)
{
    int file = p->file;

    p->file = -1;
    if (file < 0) return AN_OK;
    if (fsync(file) != 0) {
        an_status status = an__io_fail("sync a part in", p->folder);

        p->unsafe = 1;
        close(file);
        return status;
    }
    return close(file) == 0 ? AN_OK : an__io_fail("close a part in", p->folder);
}

static an_status write_all(an_pack_writer *p, const void *data, size_t bytes)
{
    const char *at = data;

    while (bytes > 0) {
        ssize_t done = write(p->file, at, bytes);

        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return an__io_fail("write to", p->folder);
        at += done;
        bytes -= (size_t)done;
    }
    return AN_OK;
}

/* Cuts the open part back to what the index says. */
static an_status cut_back(an_pack_writer *p)
{
    off_t end = (off_t)p->index.part_bytes[p->index.parts - 1];

    if (ftruncate(p->file, end) != 0 || lseek(p->file, end, SEEK_SET) != end)
        return an__io_fail("cut a part in", p->folder);
    return AN_OK;
}

static an_status open_part(an_pack_writer *p, uint32_t part, int flags)
{
    char *path = part_path(p, part);
    an_status status = AN_OK;

    if (path == NULL) return AN_ERROR_MEMORY;
    if (flags & O_EXCL) (void)unlink(path); /* what another run has left */
    p->file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0666);
    if (p->file < 0) status = an__io_fail("open", path);
    an__free(&p->ctx->memory, path);
    return status;
}

static void unlink_part(const an_pack_writer *p, uint32_t part)
{
    char *path = part_path(p, part);

    if (path != NULL) unlink(path);
    an__free(&p->ctx->memory, path);
}

/* On failure there is no open part, and none without its head. */
static an_status begin_part(an_pack_writer *p)
{
    uint32_t parts = p->index.parts;
    uint64_t *bytes;
    an_status status;

    AN_TRY(close_part(p));
    AN_CHECK(parts < AN_MAX_PARTS,
             "config.part_bytes is %llu: the pack has %u files already, of which each is "
             "mapped when it is opened",
             (unsigned long long)p->part_limit, parts);
    bytes = an__alloc(&p->ctx->memory, (parts + 1) * sizeof *bytes);
    if (bytes == NULL) return AN_ERROR_MEMORY;
    if (parts > 0) memcpy(bytes, p->index.part_bytes, parts * sizeof *bytes);
    bytes[parts] = AN_PART_HEAD;
    an__free(&p->ctx->memory, p->index.part_bytes);
    p->index.part_bytes = bytes;
    AN_TRY(open_part(p, parts, O_CREAT | O_EXCL));
    status = write_all(p, AN_PART_MAGIC, AN_PART_HEAD);
    if (status == AN_OK) {
        p->index.parts++;
        return AN_OK;
    }
    close(p->file);
    p->file = -1;
    unlink_part(p, parts);
    return status;
}

/* Removes the journal, and parts from `first` on: left by another run. The journal first,
 * which speaks of the parts. */
static void remove_rest(const an_pack_writer *p, uint32_t first, int journal)
{
    char *path = journal ? an__path_join(p->ctx, p->folder, AN_PACK_JOURNAL) : NULL;
    int gone = 0;

    if (path != NULL) unlink(path);
    an__free(&p->ctx->memory, path);
    for (; !gone && first < 65536; first++) {
        path = part_path(p, first);
        gone = path == NULL || unlink(path) != 0;
        an__free(&p->ctx->memory, path);
    }
}

/* --- life -------------------------------------------------------------------------- */

static an_status config_read(an_pack_writer_config *c, const an_pack_writer_config *given)
{
    an_pack_writer_config_init(c, sizeof *c);
    AN_CHECK(given != NULL, "config is null");
    AN_TRY(an__struct_read(c, given, sizeof *c, sizeof *c, "config"));
    AN_CHECK(c->side >= 1 && c->side <= 2048, "config.side is %u: must be 1 to 2048",
             c->side);
    AN_CHECK(c->kind == AN_PACK_RAW || c->kind == AN_PACK_JPEG,
             "config.kind is %u: not one of an_pack_kind", c->kind);
    AN_CHECK(c->classes >= 2 && c->classes <= 65536,
             "config.classes is %u: must be 2 to 65536", c->classes);
    AN_CHECK(c->resume <= 1, "config.resume is %u: must be 0 or 1", c->resume);
    AN_CHECK(c->fit <= AN_FIT_WARP, "config.fit is %u: not one of an_fit", c->fit);
    AN_CHECK(c->empty_classes <= 1, "config.empty_classes is %u: must be 0 or 1",
             c->empty_classes);
    AN_CHECK(c->part_bytes >= 1 && c->part_bytes <= AN_PLACE_MASK / 2,
             "config.part_bytes is %llu: must be 1 to 2^39 - 1",
             (unsigned long long)c->part_bytes);
    return AN_OK;
}

static an_status begin_new(an_pack_writer *p, const an_pack_writer_config *c)
{
    p->index.side = c->side;
    p->index.kind = c->kind;
    p->index.fit = c->fit;
    p->index.classes = c->classes;
    p->index.class_names = an__alloc_zero(&p->ctx->memory, c->classes * sizeof(char *));
    p->index.sums.pixels = an__alloc_zero(
        &p->ctx->memory, (size_t)3 * c->side * c->side * sizeof *p->index.sums.pixels);
    if (p->index.class_names == NULL || p->index.sums.pixels == NULL)
        return AN_ERROR_MEMORY;
    remove_rest(p, 0, 1);
    return AN_OK;
}

/* A part of the journal is a file, not a link to one, begins as a part does, and is as
 * long as the journal says; the last one may be longer. */
static an_status part_check(an_pack_writer *p, uint32_t part)
{
    uint64_t said = p->index.part_bytes[part], there = 0;
    char head[AN_PART_HEAD] = {0};
    an_status status = open_part(p, part, 0);
    struct stat info;

    if (status != AN_OK) return status;
    if (fstat(p->file, &info) != 0 ||
        (S_ISREG(info.st_mode) && pread(p->file, head, sizeof head, 0) < 0))
        status = an__io_fail("read a part in", p->folder);
    else if (!S_ISREG(info.st_mode) || memcmp(head, AN_PART_MAGIC, AN_PART_HEAD) != 0)
        status = an__fail(AN_ERROR_FORMAT, "%.160s: part %u is no part of a pack",
                          p->folder, part);
    else
        there = (uint64_t)info.st_size;
    if (status == AN_OK && (said < AN_PART_HEAD || there < said ||
                            (there > said && part + 1 < p->index.parts)))
        status = an__fail(
            AN_ERROR_FORMAT, "%.160s: part %u has %llu bytes, the journal says %llu",
            p->folder, part, (unsigned long long)there, (unsigned long long)said);
    close(p->file);
    p->file = -1;
    return status;
}

static an_status go_on(an_pack_writer *p, const an_pack_writer_config *c,
                       const char *journal)
{
    uint32_t part;

    AN_TRY(an__index_read(&p->index, p->ctx, journal));
    if (p->index.side != c->side || p->index.kind != c->kind || p->index.fit != c->fit ||
        p->index.classes != c->classes)
        return an__fail(
            AN_ERROR_FORMAT,
            "%.160s was begun with another side, kind, fit or number of classes: "
            "remove it to begin anew",
            p->folder);
    p->room = p->index.count;
    if (p->index.parts == 0) return AN_OK;
    for (part = 0; part < p->index.parts; part++) AN_TRY(part_check(p, part));
    AN_TRY(open_part(p, p->index.parts - 1, 0));
    AN_TRY(cut_back(p));
    remove_rest(p, p->index.parts, 0);
    return AN_OK;
}

typedef struct an_paths {
    char *index, *journal, *lock;
} an_paths;

static an_status not_finished(const an_pack_writer *p, const an_paths *paths)
{
    int there;

    AN_TRY(an__file_find(paths->index, &there));
    if (!there) return AN_OK;
    return an__fail(AN_ERROR_STATE, "%.160s holds a finished pack", p->folder);
}

/* Finished packs are known before anything is written, as their folders may be read-only,
 * and once more behind the lock, whose last holder may have finished one. */
static an_status begin_in(an_pack_writer *p, const an_pack_writer_config *c,
                          const an_paths *paths)
{
    int begun;

    if (paths->index == NULL || paths->journal == NULL || paths->lock == NULL)
        return AN_ERROR_MEMORY;
    if (mkdir(p->folder, 0777) != 0 && !an__is_folder(p->folder))
        return an__io_fail("make", p->folder);
    AN_TRY(not_finished(p, paths));
    AN_TRY(an__lock_take(&p->lock, &p->ctx->memory, paths->lock, p->folder));
    AN_TRY(not_finished(p, paths));
    AN_TRY(an__file_find(paths->journal, &begun));
    return begun && c->resume ? go_on(p, c, paths->journal) : begin_new(p, c);
}

static an_status begin(an_pack_writer *p, const an_pack_writer_config *c)
{
    an_paths paths;
    an_status status;

    paths.index = an__path_join(p->ctx, p->folder, AN_PACK_INDEX);
    paths.journal = an__path_join(p->ctx, p->folder, AN_PACK_JOURNAL);
    paths.lock = an__path_join(p->ctx, p->folder, AN_PACK_LOCK);
    status = begin_in(p, c, &paths);
    an__free(&p->ctx->memory, paths.index);
    an__free(&p->ctx->memory, paths.journal);
    an__free(&p->ctx->memory, paths.lock);
    return status;
}

an_status an_pack_writer_create(an_pack_writer **out, an_context *ctx, const char *folder,
                                const an_pack_writer_config *given)
{
    AN_ENTER;
    an_pack_writer_config config;
    an_pack_writer *p;
    an_status status = AN_ERROR_MEMORY;

    AN_TRY(an__context_check(ctx));
    AN_CHECK(out != NULL, "out is null");
    AN_CHECK(folder != NULL, "folder is null");
    AN_TRY(config_read(&config, given));
    p = an__alloc_zero(&ctx->memory, sizeof *p);
    if (p == NULL) return AN_ERROR_MEMORY;
    an__context_retain(ctx);
    p->ctx = ctx;
    p->file = -1;
    p->part_limit = config.part_bytes;
    p->empty_classes = (int)config.empty_classes;
    p->folder = an__alloc(&ctx->memory, strlen(folder) + 1);
    if (p->folder != NULL) {
        strcpy(p->folder, folder);
        status = begin(p, &config);
    }
    if (status != AN_OK) {
        an_pack_writer_destroy(p);
        return status;
    }
    *out = p;
    return AN_OK;
}

void an_pack_writer_destroy(an_pack_writer *p)
{
    an_context *ctx;

    if (p == NULL) return;
    ctx = p->ctx;
    if (p->file >= 0) close(p->file);
    an__lock_release(&p->lock, &ctx->memory);
    an__index_free(&p->index, ctx);
    an__free(&ctx->memory, p->folder);
    an__free(&ctx->memory, p);
    an__context_release(ctx);
}

static an_status packing_check(const an_pack_writer *p)
{
    AN_CHECK(p != NULL, "writer is null");
    AN_TRY(an__context_check(p->ctx));
    if (p->finished) return an__fail(AN_ERROR_STATE, "the pack is finished");
    if (p->unsafe)
        return an__fail(AN_ERROR_IO,
                        "%.160s: a sync failed: go on with a new writer, from the last "
                        "that did not",
                        p->folder);
    return AN_OK;
}

an_status an_pack_writer_set_class_name(an_pack_writer *p, uint32_t index,
                                        const char *name)
{
    AN_ENTER;
    AN_TRY(packing_check(p));
    AN_CHECK(index < p->index.classes, "index is %u: the pack has %u classes", index,
             p->index.classes);
    return an__name_copy(&p->ctx->memory, &p->index.class_names[index], name);
}

/* --- pictures ---------------------------------------------------------------------- */

static void add_sums(an_index *index, const uint8_t *pixels)
{
    size_t plane = (size_t)index->side * index->side, i;
    uint64_t colour[3] = {0}, product[6] = {0}, *sum = index->sums.pixels;
    int c;

    for (i = 0; i < plane; i++, pixels += 3) {
        uint32_t r = pixels[0], g = pixels[1], b = pixels[2];

        colour[0] += r;
        colour[1] += g;
        colour[2] += b;
        product[0] += r * r;
        product[1] += r * g;
        product[2] += r * b;
        product[3] += g * g;
        product[4] += g * b;
        product[5] += b * b;
        sum[i] += r;
        sum[plane + i] += g;
        sum[2 * plane + i] += b;
    }
    for (c = 0; c < 3; c++) index->sums.colour[c] += colour[c];
    for (c = 0; c < 6; c++) index->sums.product[c] += product[c];
}

static an_status make_room(an_pack_writer *p)
{
    uint64_t room = p->room > 0 ? 2 * p->room : 1024;
    an_record *records;

    if (p->index.count < p->room) return AN_OK;
    AN_CHECK(p->index.count < UINT32_MAX, "the pack is full: it has %llu pictures",
             (unsigned long long)p->index.count);
    records = an__alloc(&p->ctx->memory, (size_t)room * sizeof *records);
    if (records == NULL) return AN_ERROR_MEMORY;
    if (p->index.count > 0)
        memcpy(records, p->index.records, (size_t)p->index.count * sizeof *records);
    an__free(&p->ctx->memory, p->index.records);
    p->index.records = records;
    p->room = room;
    return AN_OK;
}

an_status an_pack_writer_add(an_pack_writer *p, const uint8_t *pixels, const void *bytes,
                             size_t count, int32_t label)
{
    AN_ENTER;
    an_record record;
    uint64_t *end;
    an_status status;

    AN_TRY(packing_check(p));
    AN_CHECK(pixels != NULL, "pixels is null");
    AN_CHECK(label >= 0 && (uint32_t)label < p->index.classes,
             "label is %ld: must be 0 to %u", (long)label, p->index.classes - 1);
    if (p->index.kind == AN_PACK_RAW) {
        bytes = pixels;
        count = (size_t)3 * p->index.side * p->index.side;
    }
    AN_CHECK(bytes != NULL && count > 0, "bytes is null, or count 0");
    AN_TRY(make_room(p));
    if (p->file < 0 || p->index.part_bytes[p->index.parts - 1] >= p->part_limit)
        AN_TRY(begin_part(p));
    end = &p->index.part_bytes[p->index.parts - 1];
    record.place = (uint64_t)(p->index.parts - 1) << AN_PLACE_BITS | *end;
    record.bytes = count;
    record.check = an__check_bytes(bytes, count);
    record.label = label;
    status = write_all(p, bytes, count);
    if (status != AN_OK) {
        (void)ftruncate(p->file, (off_t)*end);
        (void)lseek(p->file, (off_t)*end, SEEK_SET);
        return status;
    }
    *end += count;
    p->index.records[p->index.count++] = record;
    add_sums(&p->index, pixels);
    return AN_OK;
}

an_status an_pack_writer_skip(an_pack_writer *p)
{
    AN_ENTER;
    AN_TRY(packing_check(p));
    p->index.skipped++;
    return AN_OK;
}

uint64_t an_pack_writer_position(const an_pack_writer *p)
{
    return p != NULL ? p->index.count + p->index.skipped : 0;
}

static an_status write_index(an_pack_writer *p, const char *name)
{
    char *path = an__path_join(p->ctx, p->folder, name);
    an_status status = AN_ERROR_MEMORY;

    if (path == NULL) return status;
    if (p->file >= 0 && fsync(p->file) != 0) {
        status = an__io_fail("sync a part in", p->folder);
        p->unsafe = 1;
    } else {
        status = an__index_write(&p->index, p->ctx, path);
    }
    an__free(&p->ctx->memory, path);
    return status;
}

an_status an_pack_writer_sync(an_pack_writer *p)
{
    AN_ENTER;
    AN_TRY(packing_check(p));
    return write_index(p, AN_PACK_JOURNAL);
}

/* Every class has a picture, or there is one at least. */
static an_status classes_check(an_pack_writer *p)
{
    unsigned char *seen;
    uint32_t empty = p->index.classes, c;
    uint64_t i;

    if (p->empty_classes && p->index.count > 0) return AN_OK;
    if (p->empty_classes) return an__fail(AN_ERROR_STATE, "the pack has no picture");
    seen = an__alloc_zero(&p->ctx->memory, p->index.classes);
    if (seen == NULL) return AN_ERROR_MEMORY;
    for (i = 0; i < p->index.count; i++) seen[p->index.records[i].label] = 1;
    for (c = p->index.classes; c-- > 0;)
        if (!seen[c]) empty = c;
    an__free(&p->ctx->memory, seen);
    if (empty == p->index.classes) return AN_OK;
    return an__fail(AN_ERROR_STATE, "class %u (%.60s) has no picture", empty,
                    p->index.class_names[empty] != NULL ? p->index.class_names[empty]
                                                        : "unnamed");
}

an_status an_pack_writer_finish(an_pack_writer *p)
{
    AN_ENTER;
    AN_TRY(packing_check(p));
    AN_TRY(classes_check(p));
    AN_TRY(close_part(p));
    AN_TRY(write_index(p, AN_PACK_INDEX));
    p->finished = 1;
    remove_rest(p, p->index.parts, 1);
    an__lock_release(&p->lock, &p->ctx->memory);
    return AN_OK;
}
