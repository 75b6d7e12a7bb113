/*
 * picture.c - image files in and out, through stb.
 */
#include "picture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

/* stb fills the rest of a truncated JPEG with grey and reports success: a whole one ends
 * with the marker FF D9, perhaps followed by a little that some programs append. */
static int truncated_jpeg(const unsigned char *data, long size)
{
    long i, least = size > 65536 ? size - 65536 : 0;

    if (size < 4 || data[0] != 0xff || data[1] != 0xd8) return 0;
    for (i = size - 2; i >= least; i--)
        if (data[i] == 0xff && data[i + 1] == 0xd9) return 0;
    return 1;
}

static const char *decode(picture *out, const unsigned char *data, long size)
{
    int width, height, channels;

    if (truncated_jpeg(data, size)) return "truncated";
    out->pixels = stbi_load_from_memory(data, (int)size, &width, &height, &channels, 3);
    if (out->pixels == NULL) return stbi_failure_reason();
    out->width = (uint32_t)width;
    out->height = (uint32_t)height;
    return NULL;
}

const char *picture_read(picture *out, const char *path)
{
    FILE *file = fopen(path, "rb");
    const char *error = NULL;
    unsigned char *data;
    long size;

    if (file == NULL) return strerror(errno);
    if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 || size > 1L << 28) {
        fclose(file);
        return "no file that can be read at once";
    }
    rewind(file);
    data = allocate((size_t)size);
    if (fread(data, 1, (size_t)size, file) != (size_t)size) error = "cannot be read";
    fclose(file);
    if (error == NULL) error = decode(out, data, size);
    free(data);
    return error;
}

picture picture_make(uint32_t width, uint32_t height, uint8_t grey)
{
    picture p = {allocate((size_t)width * height * 3), width, height};

    memset(p.pixels, grey, (size_t)width * height * 3);
    return p;
}

int picture_write_png(const picture *p, const char *path)
{
    errno = 0;
    return stbi_write_png(path, (int)p->width, (int)p->height, 3, p->pixels, 0) ? 0 : -1;
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
    int fits;

    (void)user;
    if (count > 1 << 28 || decode(&p, data, (long)count) != NULL) return -1;
    fits = p.width == side && p.height == side;
    if (fits) memcpy(pixels, p.pixels, (size_t)3 * side * side);
    stbi_image_free(p.pixels);
    return fits ? 0 : -1;
}
