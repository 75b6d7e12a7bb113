/*
 * base.h - what every room stands on, and what knows nothing of networks: errors, structs
 * that grow, memory, threads, random numbers, files.
 *
 * Names: an_ for types and public functions, an__ for the library's own functions.
 */
#ifndef AN_BASE_H
#define AN_BASE_H

#include <fenv.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "alexnet.h"

/* --- errors (error.c) -------------------------------------------------------------- */

/* Sets the thread's message, returns status. `format` knows what printf does. */
an_status an__fail(an_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define AN_TRY(call)                                                                     \
    do {                                                                                 \
        an_status try_status_ = (call);                                                  \
        if (try_status_ != AN_OK) return try_status_;                                    \
    } while (0)

#define AN_CHECK(condition, ...)                                                         \
    do {                                                                                 \
        if (!(condition)) return an__fail(AN_ERROR_ARGUMENT, __VA_ARGS__);               \
    } while (0)

/* *product = a * b; false if it does not fit. */
int an__multiply(size_t a, size_t b, size_t *product);
/* ARGUMENT where a buffer with room for `capacity` elements has too little for count *
 * each. */
an_status an__capacity_check(size_t capacity, size_t count, size_t each);

/* --- floating-point environment (floats.c) ----------------------------------------- */

/* What the host's thread had. */
typedef struct an_floats {
    fenv_t was;
} an_floats;

an_floats an__floats_enter(void);
void an__floats_leave(const an_floats *host);

/* The first declaration of every public function that returns a status: until it returns,
 * the thread rounds to the nearest and raises no signal. */
#define AN_ENTER                                                                         \
    const an_floats host_floats_ __attribute__((cleanup(an__floats_leave), unused)) =    \
        an__floats_enter()

/* --- structs that grow (struct.c) -------------------------------------------------- */

/* Copies a caller's struct over one with defaults: `known` is this library's sizeof,
 * `least` the size in the release that the struct came with. A longer struct must be zero
 * beyond `known`. `what` names it. */
an_status an__struct_read(void *to, const void *from, size_t known, size_t least,
                          const char *what);
/* The inverse: fills what the caller's struct has room for, keeping its size field. */
an_status an__struct_write(void *to, const void *from, size_t known, size_t least,
                           const char *what);
/* For a public *_init(): `defaults` into the caller's struct, whose compiler gave it
 * `size` bytes. */
void an__struct_init(void *to, size_t size, const void *defaults, size_t known);

/* The *_init() of a struct whose defaults are all 0. */
#define AN_INIT_ZERO(type)                                                               \
    void type##_init(type *object, size_t size)                                          \
    {                                                                                    \
        static const type defaults;                                                      \
        an__struct_init(object, size, &defaults, sizeof defaults);                       \
    }

int an__in_range(float value, float low, float high); /* false for a NaN */

/* --- memory and log (memory.c) ----------------------------------------------------- */

/* What blocks may take together, and what they take now. */
typedef struct an_meter {
    size_t limit, used; /* bytes; used: atomic */
} an_meter;

/* Where memory comes from, and where messages go: the host's functions, or this
 * library's. A context owns one, which outlives all that is allocated through it. */
typedef struct an_allocator {
    an_alloc_fn alloc;
    an_release_fn release;
    void *alloc_user;
    an_meter *meter; /* null: there is no limit */
    an_log_fn log;   /* null: messages go nowhere */
    void *log_user;
} an_allocator;

/* Not zeroed. Null, with the thread's message set, if there is not so much. */
void *an__alloc(const an_allocator *memory, size_t bytes);
void *an__alloc_zero(const an_allocator *memory, size_t bytes);
void an__free(const an_allocator *memory, void *block); /* block: null allowed */
void an__log(const an_allocator *memory, an_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts rows of bytes, `pitch` from one to the next, one behind the other. */
typedef void (*an_copy_rows_fn)(uint8_t *to, const uint8_t *from, size_t pitch,
                                size_t bytes, uint32_t rows);
void an__copy_rows(uint8_t *to, const uint8_t *from, size_t pitch, size_t bytes,
                   uint32_t rows);

/* --- threads (threads.c) ----------------------------------------------------------- */

/* Of the library's own threads: room for a host's decoder too, which the loader calls on
 * them. What Linux gives a thread where nobody has said otherwise. */
#define AN_THREAD_STACK ((size_t)8 << 20)

/* A thread with all signals blocked, which are for the host's threads; an errno, or 0. */
int an__thread_start(pthread_t *thread, void *(*body)(void *), void *arg);

typedef struct an_pool an_pool;
typedef void (*an_body_fn)(uint32_t item, uint32_t worker, void *arg);

an_status an__pool_create(an_pool **out, const an_allocator *memory, uint32_t threads);
void an__pool_destroy(an_pool *pool, int forked);
/* Runs body for items 0..count-1. If the pool is busy with another caller's work, the
 * calling thread does all of it alone, as worker 0. */
void an__pool_run(an_pool *pool, uint32_t count, an_body_fn body, void *arg);

/* --- random numbers (rng.c) -------------------------------------------------------- */

/* Philox 4x32-10: 128 bits that are a function of seed and counter alone. */
void an__philox(uint64_t seed, const uint32_t counter[4], uint32_t out[4]);

/* Which of the independent sequences of one seed; the third word of the counter's high
 * part. The layer or parameter number is added. */
enum {
    AN_STREAM_DROPOUT = 0x100,
    AN_STREAM_VIEW = 0x200, /* of an_train_step_images() */
    AN_STREAM_INIT = 0x300,
    AN_STREAM_LOADER_ORDER = 0x400,
    AN_STREAM_LOADER_VIEW = 0x500,
    AN_STREAM_LOADER_COLOUR = 0x600
};

/* In (0, 1]: never 0, whose logarithm Box and Muller's method could not take. */
double an__uniform(uint32_t word);

/* Four words for position 4 * block .. 4 * block + 3 of a stream at an iteration. */
void an__random4(uint64_t seed, uint32_t stream, uint64_t iteration, uint32_t block,
                 uint32_t out[4]);

/* --- processes (process.c) --------------------------------------------------------- */

/* Another number than in every process that this one was forked from. */
uint64_t an__process(void);

/* --- time (clock.c) ---------------------------------------------------------------- */

double an__seconds(void); /* a clock that never goes back */

/* --- text (text.c) ----------------------------------------------------------------- */

/* The character at *s, which is before `end`, and *s moves behind it; -1 for a byte that
 * begins none, and *s moves by one. Well-formed UTF-8, as RFC 3629 has it: no overlong
 * forms, no surrogates. */
long an__utf8_next(const char **s, const char *end);
/* A name of up to 255 bytes of UTF-8 in place of what *to has. */
an_status an__name_copy(const an_allocator *memory, char **to, const char *name);
/* Copies text whose bytes nobody vouches for: what a terminal would obey, hide or put in
 * another place, and what is no UTF-8, as \x1b or \u202e. Cut at `size`. */
void an__text_show(char *out, size_t size, const char *text);
void an__names_free(const an_allocator *memory, char **names,
                    uint32_t count); /* names: null allowed */

/* Names with commas between them, for a message that lists what there is. */
typedef struct an_list {
    char text[208];
} an_list;

void an__list_begin(an_list *list);
void an__list_add(an_list *list,
                  const char *name); /* "..." where there is no more room */

/* --- JSON (json.c) ----------------------------------------------------------------- */

enum {
    AN_JSON_DEPTH = 64,  /* lists and objects within each other */
    AN_JSON_DIGITS = 128 /* of a number, with its sign, point and exponent */
};

/* A value's place in a text that has been checked; at null: there is none. */
typedef struct an_json {
    const char *at, *end;
} an_json;

/* *out is the text's value. FORMAT, with the place and the reason, for what RFC 8259 does
 * not allow, and for the limits above; `what` names the text. The text needs no 0 behind
 * it. */
an_status an__json_check(an_json *out, const char *text, size_t bytes, const char *what);

/* kind: its first character, '{', '[' or '"'. A value that is not there is of no kind. */
int an__json_is_kind(an_json value, char kind);
int an__json_is_null(an_json value);
/* The members of an object, the elements of a list; of anything else there are none. */
typedef struct an_json_walk {
    const char *at, *end;
    int has_keys;
} an_json_walk;

an_json_walk an__json_walk(an_json list);
/* The next one, and 1, or 0. key: of an object's member; null allowed. */
int an__json_next(an_json_walk *walk, an_json *key, an_json *value);
size_t an__json_count(an_json list);
/* An object's member; none if it is missing, or there twice: then it has an end. And
 * several of them in one walk: values[count]. */
an_json an__json_get(an_json object, const char *name);
void an__json_members(an_json object, const char *const *names, an_json *values,
                      size_t count);

/* Each returns 0 where the value is of another kind, or does not fit. A text gets a 0
 * behind it; out null: its length alone. */
int an__json_text(an_json value, char *out, size_t size, size_t *length);
int an__json_whole(an_json value, uint64_t *out);
int an__json_real(an_json value, double *out);
int an__json_equals(an_json value, const char *text); /* whether it is this text */

/* Where it is written to. Commas come by themselves. */
typedef struct an_json_out {
    char *text; /* null: the length is counted, and nothing is written */
    size_t used;
    int more; /* something stands before, in the same list */
} an_json_out;

void an__json_open(an_json_out *out, char kind); /* '{' or '[' */
void an__json_close(an_json_out *out, char kind);
void an__json_key(an_json_out *out, const char *name);
void an__json_put_text(an_json_out *out, const char *text); /* null: null */
void an__json_put_bytes(an_json_out *out, const char *text, size_t length);
void an__json_put_whole(an_json_out *out, uint64_t number);
void an__json_put_real(an_json_out *out, double number); /* finite */

/* What `make` writes, with a 0 behind it, in *text, which is the caller's to free. It is
 * called twice, and must write the same. */
typedef void (*an_json_fn)(an_json_out *out, const void *arg);
an_status an__json_make(char **text, size_t *length, const an_allocator *memory,
                        an_json_fn make, const void *arg);

/* --- files (file.c) ---------------------------------------------------------------- */

/* A file's bytes in memory: of the page cache, as long as nobody writes to them. */
typedef struct an_mapping {
    void *base;
    size_t bytes;
} an_mapping;

/* IO, or, where there is too little memory for it, MEMORY; errno says why the path could
 * not be opened, mapped, written ... */
an_status an__io_fail(const char *what, const char *path);

/* Maps a file for reading. writable: its pages may be written, and are then this
 * process's own. */
an_status an__file_map(an_mapping *out, const char *path, int writable);
void an__file_unmap(an_mapping *mapping);

/* A map that is read from its beginning on. */
typedef struct an_map_reader {
    an_mapping map;
    size_t at;
} an_map_reader;

ptrdiff_t an__map_read(void *data, size_t bytes, void *reader); /* an an_read_fn */

/* *there: whether the path names anything. IO: nobody can tell. */
an_status an__file_find(const char *path, int *there);
int an__is_folder(const char *path); /* errno stays */

/* Calls body with a writer and replaces `path` by what it wrote, in one moment: at any
 * time the path names the old file or the new one, whole. The new one has the old one's
 * mode. IO: what is there is no file, but a folder, pipe, socket or device. */
typedef an_status (*an_body_writer)(an_write_fn write, void *user, const void *arg);
an_status an__file_replace(const an_allocator *memory, const char *path,
                           an_body_writer body, const void *arg);

/* --- locks (lock.c) ---------------------------------------------------------------- */

/* A writer's right to be the only one. All zero: not held. */
typedef struct an_lock {
    char *path;
    int file, held;
    uint64_t process; /* that took it */
} an_lock;

/* Makes and locks the file at `path`, through no symbolic link; a file system without
 * locks is said in the log. STATE: another has it, in this process or in another one; the
 * message says who, and that it writes `what`. */
an_status an__lock_take(an_lock *lock, const an_allocator *memory, const char *path,
                        const char *what);
/* Removes the file, unless this is a forked child. A lock that is not held is allowed. */
void an__lock_release(an_lock *lock, const an_allocator *memory);

/* --- safetensors (safetensors.c) --------------------------------------------------- */

/* The file format: u64 length of the header, little-endian; the header, JSON; the
 * tensors' bytes. https://github.com/huggingface/safetensors describes it. */

#define AN_HEADER_LIMIT ((size_t)8 << 20) /* bytes: room for 65,536 class names */
#define AN_PIECE ((size_t)1 << 20)        /* bytes handed to a writer at once */

typedef enum an_file_type {
    AN_F32,
    AN_F16,
    AN_BF16,
    AN_I32,
    AN_U64,
    AN_OTHER
} an_file_type;

typedef struct an_entry {
    const char *name; /* the header's */
    an_file_type dtype;
    uint32_t dims;
    uint64_t shape[4];   /* only if dims <= 4 */
    uint64_t count;      /* product of the shape */
    uint64_t begin, end; /* bytes, from the end of the header */
} an_entry;

typedef struct an_header {
    char *metadata; /* the "alexnet" string, null if there is none */
    size_t metadata_bytes;
    char check[20]; /* "alexnet_check", its checksum; "" where that is no short text */
    int has_check, has_metadata;
    an_entry *entries; /* by place in the file */
    char *names;       /* of all of them */
    size_t count;
    size_t start;   /* of the tensors' bytes in the file */
    uint64_t bytes; /* of all tensors */
} an_header;

/* `text` is `bytes` long, and everything in it is checked. */
an_status an__header_parse(an_header *out, const an_allocator *memory, const char *text,
                           size_t bytes);
/* From the file's first byte on. What is allocated follows what has been read. */
an_status an__header_read(an_header *out, const an_allocator *memory, an_read_fn read,
                          void *user);
void an__header_free(an_header *header, const an_allocator *memory);
const an_entry *an__header_find(const an_header *header, const char *name);

/* Bytes of one number; 0 for AN_OTHER. */
size_t an__file_type_bytes(an_file_type dtype);
/* `count` numbers of a file, of one of the first three kinds, to float32. */
void an__dtype_convert(an_file_type dtype, const void *from, size_t count, float *to);

/* A tensor of up to four dimensions at byte *at, which moves behind it. */
void an__header_put(an_json_out *out, const char *name, an_file_type dtype,
                    const uint64_t *shape, uint32_t dims, uint64_t *at);
/* Writes length and header, which `make` writes: padded with spaces, so that the tensors
 * begin at a multiple of 64 bytes. */
an_status an__header_write(const an_allocator *memory, an_json_fn make, const void *arg,
                           an_write_fn write, void *user);

/* `bytes` of a reader, all of them. FORMAT: it ends before. */
an_status an__read_all(an_read_fn read, void *user, void *data, size_t bytes);

#endif
