/*
 * formats.h - what a picture's file is, and whether all of it is there, by walking the
 * segments, chunks or blocks that it consists of. No pixel is decoded here.
 */
#ifndef FORMATS_H
#define FORMATS_H

#include <stddef.h>
#include <stdint.h>

typedef enum format { FORMAT_JPEG, FORMAT_PNG, FORMAT_GIF, FORMAT_BMP } format;

typedef struct form {
    format format;
    uint32_t width, height; /* as the pixels lie */
    int orientation;        /* EXIF's, 1 to 8; 1, as it lies, if the file says nothing */
    size_t palette;         /* where a PNG's chunk of colours begins; 0: it has none */
} form;

/* Null if the file is a picture that is whole; what stands behind its end, as the video
 * of a phone's picture, does not matter. Else why not, in words for people: cut short,
 * without pixels, of a kind that is not decoded, no picture. */
const char *form_of(form *out, const uint8_t *data, size_t size);

/* A PNG whose palette has all 256 colours, black those that it lacked, malloc()ed; null:
 * there is no memory. For a pixel of a colour that is not there stb shows what memory
 * holds. */
uint8_t *form_whole_palette(const form *of, const uint8_t *data, size_t *size);

#endif
