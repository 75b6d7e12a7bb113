/*
 * fuzz.c - choices, statuses, memory, callbacks and files of the targets.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- what an input decides --------------------------------------------------------- */

uint64_t fuzz_take(fuzz_input *in, uint32_t bytes)
{
    uint64_t value = 0;
    uint32_t i;

    for (i = 0; i < bytes && in->left > 0; i++, in->left--)
        value |= (uint64_t)*in->data++ << 8 * i;
    return value;
}

uint32_t fuzz_below(fuzz_input *in, uint32_t limit)
{
    return (uint32_t)fuzz_take(in, 1) % limit;
}

fuzz_input fuzz_split(fuzz_input *in, size_t bytes)
{
    fuzz_input piece = {in->data, bytes < in->left ? bytes : in->left};

    if (piece.left > 0) in->data += piece.left;
    in->left -= piece.left;
    return piece;
}

const char *fuzz_text(fuzz_input *in, char *out, size_t size)
{
    size_t used = 0;

    while (in->left > 0 && used + 1 < size) {
        char c = (char)fuzz_take(in, 1);

        if (c == '\0') break;
        out[used++] = c;
    }
    out[used] = '\0';
    return out;
}

/* Numbers next to limits of the fields that there are, as integers and as floats. */
static uint32_t near_a_limit(fuzz_input *in)
{
    static const uint32_t whole[] = {
        0,          1,          2,          3,     4,     5,         7,     8,
        9,          10,         16,         31,    32,    33,        63,    64,
        65,         95,         100,        127,   128,   129,       224,   227,
        255,        256,        1000,       1001,  1024,  1025,      2048,  2049,
        4096,       8192,       8193,       9,     11,    12,        13,    14,
        15,         17,         20,         24,    28,    48,        65535, 65536,
        0x7fffffff, 0x80000000, 0xffffffff, 65537, 32768, 0x1000000, 6};
    static const float real[] = {0,    -0.0f, 1,     -1,    0.5f,   0.02f, 0.019f,
                                 0.1f, 0.9f,  0.95f, 0.99f, 1e-45f, 1e-4f, 0.001f,
                                 2,    4,     4.1f,  10,    10.1f,  100,   255,
                                 1000, 1001,  1e30f, 3e38f};
    uint32_t kind = fuzz_below(in, 4), bits;
    float value;

    if (kind < 2) return whole[fuzz_below(in, sizeof whole / sizeof whole[0])];
    if (kind == 3) return (uint32_t)fuzz_take(in, 4);
    value = real[fuzz_below(in, sizeof real / sizeof real[0])];
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

void fuzz_fields(fuzz_input *in, void *object, size_t known, size_t room)
{
    size_t words = (known - sizeof(size_t)) / 4, size = known;
    uint32_t count = fuzz_below(in, 16), way;
    char *at = object;

    memset(at + known, 0, room - known);
    while (count-- > 0) {
        size_t word = fuzz_below(in, (uint32_t)words);
        uint32_t value = near_a_limit(in);

        memcpy(at + sizeof(size_t) + 4 * word, &value, sizeof value);
    }
    way = fuzz_below(in, 16);
    if (way == 1) size = fuzz_take(in, 1); /* an older one's, or none */
    if (way == 2) size = room;
    if (way == 3) {
        size = room;
        at[known + fuzz_below(in, (uint32_t)(room - known))] = (char)fuzz_take(in, 1);
    }
    if (way == 4) size = 0;
    if (size > room) size = room;
    memcpy(at, &size, sizeof size);
}

/* --- what must be true ------------------------------------------------------------- */

void fuzz_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("fuzz: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

int fuzz_is_utf8(const char *text)
{
    const char *end = text + strlen(text);

    while (text < end)
        if (an__utf8_next(&text, end) < 0) return 0;
    return 1;
}

/* Said anew, so as not to ask the library about itself: controls, marks of direction. */
int fuzz_is_printable(const char *text)
{
    const char *end = text + strlen(text);

    while (text < end) {
        long code = an__utf8_next(&text, end);

        if (code < ' ' || (code >= 0x7f && code < 0xa0)) return 0;
        if (code >= 0x200b && code <= 0x200f) return 0;
        if (code >= 0x2028 && code <= 0x202e) return 0;
        if (code >= 0x2066 && code <= 0x2069) return 0;
    }
    return 1;
}

void fuzz_forget(void)
{
    (void)an__fail(AN_ERROR_INTERNAL, "%s", "");
}

an_status fuzz_judge(an_status status, uint32_t allowed, const char *call)
{
    const char *message = an_error_message();

    if (status == AN_OK) return status;
    FUZZ_EXPECT(status < 32 && (allowed >> status & 1), "%s: %s, which cannot be: %s",
                call, an_status_string(status), message);
    FUZZ_EXPECT(message[0] != '\0', "%s: %s, and nothing is said", call,
                an_status_string(status));
    FUZZ_EXPECT(strlen(message) < 320 && fuzz_is_printable(message),
                "%s: %s, and what is said cannot be printed: %s", call,
                an_status_string(status), message);
    return status;
}

/* --- memory ------------------------------------------------------------------------ */

static void *counted_alloc(size_t bytes, void *user)
{
    fuzz_memory *memory = user;
    size_t held, peak;
    void *block;

    FUZZ_EXPECT(bytes > 0, "0 bytes are asked for");
    held = __atomic_load_n(&memory->held, __ATOMIC_RELAXED);
    if (bytes > memory->limit || held > memory->limit - bytes) return NULL;
    block = malloc(bytes);
    if (block == NULL) return NULL;
    memset(block, 0xa5, bytes < 4096 ? bytes : 4096);
    held = __atomic_add_fetch(&memory->held, malloc_usable_size(block), __ATOMIC_RELAXED);
    __atomic_add_fetch(&memory->blocks, 1, __ATOMIC_RELAXED);
    peak = __atomic_load_n(&memory->peak, __ATOMIC_RELAXED);
    while (held > peak &&
           !__atomic_compare_exchange_n(&memory->peak, &peak, held, 1, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
    return block;
}

static void counted_release(void *block, void *user)
{
    fuzz_memory *memory = user;

    __atomic_sub_fetch(&memory->held, malloc_usable_size(block), __ATOMIC_RELAXED);
    __atomic_sub_fetch(&memory->blocks, 1, __ATOMIC_RELAXED);
    free(block);
}

an_allocator fuzz_allocator(fuzz_memory *memory)
{
    an_allocator allocator = {
        .alloc = counted_alloc, .release = counted_release, .alloc_user = memory};

    return allocator;
}

an_context *fuzz_context(fuzz_memory *memory)
{
    an_context_config config;
    an_context *ctx;

    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    config.alloc = counted_alloc;
    config.release = counted_release;
    config.alloc_user = memory;
    FUZZ_CALL(an_context_create(&ctx, &config), 0);
    an_model_destroy(fuzz_model(ctx));
    return ctx;
}

/* --- callbacks --------------------------------------------------------------------- */

ptrdiff_t fuzz_read(void *to, size_t bytes, void *user)
{
    fuzz_reader *reader = user;
    size_t piece = reader->piece > 0 && reader->piece < bytes ? reader->piece : bytes;
    fuzz_input got;

    if (reader->fails > 0 && reader->in.left <= reader->fails) return -1;
    got = fuzz_split(&reader->in, piece);
    if (got.left > 0) memcpy(to, got.data, got.left);
    return (ptrdiff_t)got.left;
}

int fuzz_write(const void *data, size_t bytes, void *user)
{
    fuzz_sink *sink = user;

    FUZZ_EXPECT(bytes > 0 && bytes <= AN_PIECE, "a writer is given %zu bytes", bytes);
    sink->data = realloc(sink->data, sink->size + bytes);
    if (sink->data == NULL) fuzz_fail("no memory for what is written");
    memcpy(sink->data + sink->size, data, bytes);
    sink->size += bytes;
    return 0;
}

void fuzz_sink_free(fuzz_sink *sink)
{
    free(sink->data);
    sink->data = NULL;
    sink->size = 0;
}

/* --- files ------------------------------------------------------------------------- */

static void write_all(int file, const void *data, size_t size, const char *name)
{
    if (size > 0 && write(file, data, size) != (ssize_t)size)
        fuzz_fail("cannot write %s", name);
}

const char *fuzz_file(const uint8_t *data, size_t size)
{
    static char path[40];
    static int file = -1;

    if (file < 0) {
        file = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    if (file < 0 || ftruncate(file, 0) != 0 || lseek(file, 0, SEEK_SET) != 0)
        fuzz_fail("no file in memory");
    write_all(file, data, size, path);
    return path;
}

static char folder[128];

/* All names in a folder, and in those within, but not what links lead to. */
static void empty(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char name[512];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (unlink(name) == 0) continue;
        empty(name);
        (void)rmdir(name);
    }
    if (dir != NULL) closedir(dir);
}

static void remove_folder(void)
{
    empty(folder);
    (void)rmdir(folder);
}

const char *fuzz_folder(void)
{
    const char *where = getenv("TMPDIR");

    if (folder[0] != '\0') return folder;
    if (where == NULL) where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%.100s/alexnet-fuzz-XXXXXX", where);
    if (mkdtemp(folder) == NULL) fuzz_fail("cannot make a folder in %s", where);
    atexit(remove_folder);
    return folder;
}

const char *fuzz_path(const char *name)
{
    static char paths[4][512];
    static uint32_t next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%.300s", fuzz_folder(), name);
    return path;
}

void fuzz_put(const char *name, const void *data, size_t size)
{
    const char *path = fuzz_path(name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (file < 0) fuzz_fail("cannot make %s", path);
    write_all(file, data, size, path);
    close(file);
}

void fuzz_folder_empty(void)
{
    empty(fuzz_folder());
}
