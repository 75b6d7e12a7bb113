/*
 * stb.c - the image decoder and encoder, compiled once. Not held to this project's
 * warnings.
 */
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-function"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <stdlib.h>

#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_GIF
#define STBI_ONLY_BMP
#define STBI_MALLOC(bytes) calloc(1, bytes)
#define STBI_REALLOC realloc
#define STBI_FREE free
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

#include "stb.h"

/* When it meets the end of a scan's data, or of what lies between two restarts, stb goes
 * on with zeros. It has 24 bits left by then at most, of which the block that it is at
 * wants some, and another block takes two codes at least: behind more blocks than fit
 * into that, the data was not whole. */
enum { LEFT = 24 };

static __thread struct {
    stbi__jpeg *j;
    void (*idct)(stbi_uc *, int, short[64]);
    const stbi_uc *read; /* how far the data was read before the last block's end */
    unsigned behind; /* blocks since the end of data, the one that met it among them */
    int is_short;
} watch;

/* The shortest code of the tables; codes are in the order of their lengths. */
static unsigned shortest(const stbi__huffman *tables)
{
    unsigned least = 16, i;

    for (i = 0; i < 4; i++)
        if (tables[i].size[0] > 0 && tables[i].size[0] < least) least = tables[i].size[0];
    return least;
}

static void watch_idct(stbi_uc *out, int stride, short data[64])
{
    const stbi__jpeg *j = watch.j;

    if (j->s->img_buffer != watch.read) watch.behind = 0; /* this block has read some */
    watch.read = j->s->img_buffer;
    watch.behind = j->nomore && !j->progressive ? watch.behind + 1 : 0;
    if (watch.behind > 1 &&
        (watch.behind - 1) * (shortest(j->huff_dc) + shortest(j->huff_ac)) >= LEFT)
        watch.is_short = 1;
    watch.idct(out, stride, data);
}

uint8_t *stb_read_other(const uint8_t *data, int size, int *width, int *height,
                        int *channels)
{
    stbi__g_failure_reason = NULL;
    return stbi_load_from_memory(data, size, width, height, channels, 0);
}

uint8_t *stb_read_jpeg(const uint8_t *data, int size, int *width, int *height,
                       int *is_short)
{
    stbi__jpeg *j = calloc(1, sizeof *j);
    uint8_t *pixels = NULL;
    stbi__context s;
    int channels;

    stbi__g_failure_reason = NULL;
    if (j == NULL) {
        stbi__err("outofmem", "Out of memory");
        return NULL;
    }
    stbi__start_mem(&s, data, size);
    j->s = &s;
    stbi__setup_jpeg(j);
    watch.j = j;
    watch.idct = j->idct_block_kernel;
    watch.read = NULL;
    watch.behind = 0;
    watch.is_short = 0;
    j->idct_block_kernel = watch_idct;
    pixels = load_jpeg_image(j, width, height, &channels, 3);
    *is_short = watch.is_short;
    free(j);
    return pixels;
}
