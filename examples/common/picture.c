/*
 * picture.c - image files in and out, and enough drawing for a chart.
 */
#include "picture.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
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

/* --- drawing ----------------------------------------------------------------------------- */

static void blend(picture *p, int x, int y, uint32_t colour, double share)
{
    int c;

    if (x < 0 || y < 0 || x >= (int)p->width || y >= (int)p->height) return;
    for (c = 0; c < 3; c++) {
        uint8_t *at = &p->pixels[((size_t)y * p->width + (size_t)x) * 3 + (size_t)c];
        double to = (double)(colour >> (16 - 8 * c) & 255);

        *at = (uint8_t)(*at + (to - *at) * share + 0.5);
    }
}

void picture_fill(picture *p, int x, int y, int width, int height, uint32_t colour)
{
    int i, j;

    for (j = y; j < y + height; j++)
        for (i = x; i < x + width; i++) blend(p, i, j, colour, 1);
}

/* Two pixels wide, with soft edges: each pixel near the line takes what it covers of it. */
void picture_line(picture *p, double x0, double y0, double x1, double y1, uint32_t colour)
{
    double dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy;
    int x, y;

    for (y = (int)floor(fmin(y0, y1)) - 2; y <= (int)ceil(fmax(y0, y1)) + 2; y++)
        for (x = (int)floor(fmin(x0, x1)) - 2; x <= (int)ceil(fmax(x0, x1)) + 2; x++) {
            double t = length2 > 0 ? ((x - x0) * dx + (y - y0) * dy) / length2 : 0;
            double near, share;

            t = t < 0 ? 0 : t > 1 ? 1 : t;
            near = hypot(x - x0 - t * dx, y - y0 - t * dy);
            share = 1.5 - near;
            if (share > 0) blend(p, x, y, colour, share < 1 ? share : 1);
        }
}

/* Seven rows of five bits, the left pixel highest. */
static const struct {
    char letter;
    unsigned char rows[7];
} font[] = {
    {'0', {14, 17, 19, 21, 25, 17, 14}}, {'1', {4, 12, 4, 4, 4, 4, 14}},
    {'2', {14, 17, 1, 6, 8, 16, 31}},    {'3', {14, 17, 1, 6, 1, 17, 14}},
    {'4', {2, 6, 10, 18, 31, 2, 2}},     {'5', {31, 16, 30, 1, 1, 17, 14}},
    {'6', {6, 8, 16, 30, 17, 17, 14}},   {'7', {31, 1, 2, 4, 8, 8, 8}},
    {'8', {14, 17, 17, 14, 17, 17, 14}}, {'9', {14, 17, 17, 15, 1, 2, 12}},
    {'A', {14, 17, 17, 31, 17, 17, 17}}, {'B', {30, 17, 17, 30, 17, 17, 30}},
    {'C', {14, 17, 16, 16, 16, 17, 14}}, {'D', {30, 17, 17, 17, 17, 17, 30}},
    {'E', {31, 16, 16, 30, 16, 16, 31}}, {'F', {31, 16, 16, 30, 16, 16, 16}},
    {'G', {14, 17, 16, 23, 17, 17, 15}}, {'H', {17, 17, 17, 31, 17, 17, 17}},
    {'I', {14, 4, 4, 4, 4, 4, 14}},      {'J', {7, 2, 2, 2, 2, 18, 12}},
    {'K', {17, 18, 20, 24, 20, 18, 17}}, {'L', {16, 16, 16, 16, 16, 16, 31}},
    {'M', {17, 27, 21, 21, 17, 17, 17}}, {'N', {17, 25, 21, 19, 17, 17, 17}},
    {'O', {14, 17, 17, 17, 17, 17, 14}}, {'P', {30, 17, 17, 30, 16, 16, 16}},
    {'Q', {14, 17, 17, 17, 21, 18, 13}}, {'R', {30, 17, 17, 30, 20, 18, 17}},
    {'S', {15, 16, 16, 14, 1, 1, 30}},   {'T', {31, 4, 4, 4, 4, 4, 4}},
    {'U', {17, 17, 17, 17, 17, 17, 14}}, {'V', {17, 17, 17, 17, 17, 10, 4}},
    {'W', {17, 17, 17, 21, 21, 27, 17}}, {'X', {17, 17, 10, 4, 10, 17, 17}},
    {'Y', {17, 17, 10, 4, 4, 4, 4}},     {'Z', {31, 1, 2, 4, 8, 16, 31}},
    {'.', {0, 0, 0, 0, 0, 12, 12}},      {'%', {24, 25, 2, 4, 8, 19, 3}},
    {'-', {0, 0, 0, 31, 0, 0, 0}},       {'/', {1, 1, 2, 4, 8, 16, 16}},
    {':', {0, 12, 12, 0, 12, 12, 0}},    {',', {0, 0, 0, 0, 12, 4, 8}},
};

void picture_text(picture *p, int x, int y, const char *text, uint32_t colour)
{
    for (; *text != '\0'; text++, x += 6) {
        size_t i, count = sizeof font / sizeof font[0];
        int row, column;

        for (i = 0; i < count && font[i].letter != toupper((unsigned char)*text); i++) {
        }
        for (row = 0; i < count && row < 7; row++)
            for (column = 0; column < 5; column++)
                if (font[i].rows[row] >> (4 - column) & 1)
                    blend(p, x + column, y + row, colour, 1);
    }
}
