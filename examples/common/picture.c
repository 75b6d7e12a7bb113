/*
 * picture.c - image files in and out, through stb.
 */
#define _POSIX_C_SOURCE 200809L
#include "picture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats.h"
#include "options.h"
#include "output.h"
#include "stb.h"

#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

picture_settings picture_reading = {.megapixels = 128, .background = 0xffffff};

/* Why the last one was not read, by this thread. */
static __thread char reason[160];

/* --- pixels ------------------------------------------------------------------------- */

/* Grey, perhaps transparent, and transparent colours, as RGB on the background. */
static uint8_t *to_rgb(const uint8_t *from, size_t count, uint32_t channels)
{
    uint8_t *pixels = malloc(3 * count), *to = pixels;
    const uint32_t colours = channels < 3 ? 1 : 3;
    uint32_t ground[3], c;
    size_t i;

    for (c = 0; c < 3; c++) ground[c] = picture_reading.background >> (16 - 8 * c) & 255;
    for (i = 0; i < count && pixels != NULL; i++, from += channels)
        for (c = 0; c < 3; c++) {
            uint32_t colour = from[colours == 1 ? 0 : c];
            uint32_t alpha = channels == colours ? 255 : from[colours];

            *to++ = (uint8_t)((colour * alpha + ground[c] * (255 - alpha) + 127) / 255);
        }
    return pixels;
}

/* Upright, by EXIF's orientation: 1 to 4 as wide as before, 5 to 8 as wide as high. */
static int turn(picture *p, int orientation)
{
    uint32_t wide = orientation < 5 ? p->width : p->height, x, y;
    uint32_t high = orientation < 5 ? p->height : p->width;
    uint8_t *pixels, *to;

    if (orientation == 1) return 0;
    pixels = to = malloc((size_t)3 * wide * high);
    if (pixels == NULL) return -1;
    for (y = 0; y < high; y++)
        for (x = 0; x < wide; x++) {
            uint32_t column = orientation < 5 ? x : y, row = orientation < 5 ? y : x;

            if (orientation == 2 || orientation == 3 || orientation >= 7)
                column = p->width - 1 - column;
            if (orientation == 3 || orientation == 4 || orientation == 6 ||
                orientation == 7)
                row = p->height - 1 - row;
            memcpy(to, p->pixels + 3 * ((size_t)row * p->width + column), 3);
            to += 3;
        }
    picture_free(p);
    *p = (picture){pixels, wide, high};
    return 0;
}

/* --- decoding ----------------------------------------------------------------------- */

static const char no_memory[] = "there is no memory for it";

static const char *stb_reason(void)
{
    const char *why = stbi_failure_reason();

    if (why != NULL && strcmp(why, "outofmem") == 0) return no_memory;
    snprintf(reason, sizeof reason, "damaged: %s",
             why != NULL && *why != '\0' ? why : "the decoder gives up");
    return reason;
}

static const char *decode_jpeg(picture *out, const uint8_t *data, size_t size)
{
    int width, height, is_short;

    out->pixels = stb_read_jpeg(data, (int)size, &width, &height, &is_short);
    if (out->pixels == NULL) return stb_reason();
    if (is_short) {
        picture_free(out);
        return "truncated: a scan ends early";
    }
    out->width = (uint32_t)width;
    out->height = (uint32_t)height;
    return NULL;
}

static const char *decode_other(picture *out, const form *of, const uint8_t *data,
                                size_t size)
{
    int width, height, channels;
    uint8_t *whole = NULL, *read;

    if (of->palette != 0) {
        data = whole = form_whole_palette(of, data, &size);
        if (whole == NULL) return no_memory;
    }
    read = stb_read_other(data, (int)size, &width, &height, &channels);
    free(whole);
    if (read == NULL) return stb_reason();
    *out = (picture){read, (uint32_t)width, (uint32_t)height};
    if (channels == 3) return NULL;
    out->pixels = to_rgb(read, (size_t)width * (size_t)height, (uint32_t)channels);
    stbi_image_free(read);
    return out->pixels != NULL ? NULL : no_memory;
}

/* As the file has them, not turned. */
static const char *decode(picture *out, form *of, const uint8_t *data, size_t size)
{
    const char *error = form_of(of, data, size);
    double megapixels = (double)of->width * of->height / 1e6;

    if (error != NULL) return error;
    if (megapixels > (double)picture_reading.megapixels) {
        snprintf(reason, sizeof reason,
                 "%u x %u: more than %lu megapixels (--max-megapixels)", of->width,
                 of->height, picture_reading.megapixels);
        return reason;
    }
    error = of->format == FORMAT_JPEG ? decode_jpeg(out, data, size)
                                      : decode_other(out, of, data, size);
    /* The decoder and the walk have read the same header. */
    if (error == NULL && (out->width != of->width || out->height != of->height)) {
        picture_free(out);
        return "damaged: two sizes";
    }
    return error;
}

/* --- files -------------------------------------------------------------------------- */

enum { MOST_BYTES = 1 << 28 };

/* Opened without waiting, as a pipe would make it: null, with the descriptor of a file,
 * or why not. */
static const char *open_file(const char *path, int *file, size_t *size)
{
    const int how = O_RDONLY | O_CLOEXEC | O_NOCTTY;
    struct stat info;

    *file = open(path, how | O_NONBLOCK);
    /* A file server has it, and gives it back to who waits. */
    if (*file < 0 && errno == EWOULDBLOCK && stat(path, &info) == 0 &&
        S_ISREG(info.st_mode))
        *file = open(path, how);
    if (*file < 0) return strerror(errno);
    if (fstat(*file, &info) != 0) return strerror(errno);
    if (S_ISDIR(info.st_mode)) return "a folder, not a file";
    if (!S_ISREG(info.st_mode)) return "a pipe, socket or device, not a file";
    if (info.st_size > MOST_BYTES) return "a file of more than 256 MiB";
    *size = (size_t)info.st_size;
    return NULL;
}

static const char *read_file(int file, uint8_t *data, size_t size)
{
    size_t at = 0;

    while (at < size) {
        ssize_t got = read(file, data + at, size - at);

        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return strerror(errno);
        if (got == 0) return "a file that becomes shorter while it is read";
        at += (size_t)got;
    }
    return NULL;
}

const char *picture_read(picture *out, const char *path)
{
    uint8_t *data = NULL;
    size_t size = 0;
    int file;
    const char *error = open_file(path, &file, &size);
    form of;

    out->pixels = NULL;
    if (error == NULL && (data = malloc(size + 1)) == NULL) error = no_memory;
    if (error == NULL) error = read_file(file, data, size);
    if (file >= 0) close(file);
    if (error == NULL) error = decode(out, &of, data, size);
    free(data);
    if (error == NULL && !picture_reading.as_stored && turn(out, of.orientation) != 0) {
        picture_free(out);
        error = no_memory;
    }
    return error;
}

picture picture_make(uint32_t width, uint32_t height, uint8_t grey)
{
    picture p = {allocate((size_t)width * height * 3), width, height};

    memset(p.pixels, grey, (size_t)width * height * 3);
    return p;
}

static void write_bytes(void *file, void *data, int count)
{
    fwrite(data, 1, (size_t)count, file); /* output_end() knows if it could not */
}

int picture_write_png(const picture *p, const char *path)
{
    output o;
    int made;

    if (output_begin(&o, path) != 0) return -1;
    made = stbi_write_png_to_func(write_bytes, o.file, (int)p->width, (int)p->height, 3,
                                  p->pixels, 0);
    if (output_end(&o) != 0) return -1;
    if (made) return 0;
    errno = ENOMEM;
    return -1;
}

void picture_free(picture *p)
{
    free(p->pixels);
    p->pixels = NULL;
}

/* --- JPEG in memory ---------------------------------------------------------------- */

typedef struct bytes {
    uint8_t *data;
    size_t count, room;
} bytes;

static void append(void *context, void *data, int count)
{
    bytes *out = context;

    while (out->count + (size_t)count > out->room) {
        out->room = out->room > 0 ? 2 * out->room : 65536;
        out->data = reallocate(out->data, out->room);
    }
    memcpy(out->data + out->count, data, (size_t)count);
    out->count += (size_t)count;
}

uint8_t *picture_encode(const uint8_t *pixels, uint32_t side, int quality, size_t *count)
{
    bytes out = {NULL, 0, 0};

    if (!stbi_write_jpg_to_func(append, &out, (int)side, (int)side, 3, pixels, quality)) {
        free(out.data);
        return NULL;
    }
    *count = out.count;
    return out.data;
}

int picture_decode(const uint8_t *data, size_t count, uint32_t side, uint8_t *pixels,
                   void *user)
{
    picture p = {NULL, 0, 0};
    form of;
    int fits;

    (void)user;
    if (count > MOST_BYTES || decode(&p, &of, data, count) != NULL) return -1;
    fits = p.width == side && p.height == side;
    if (fits) memcpy(pixels, p.pixels, (size_t)3 * side * side);
    stbi_image_free(p.pixels);
    return fits ? 0 : -1;
}
