/*
 * picture.h - image files in and out, through stb.
 */
#ifndef PICTURE_H
#define PICTURE_H

#include <stddef.h>
#include <stdint.h>

typedef struct picture { /* 8-bit RGB, row by row */
    uint8_t *pixels;
    uint32_t width, height;
} picture;

/* How pictures are read from files, for all threads. */
typedef struct picture_settings {
    unsigned long megapixels; /* the most that are decoded */
    int as_stored;            /* 1: EXIF's orientation is not followed */
    uint32_t background;      /* 0xRRGGBB, on which transparent pictures are laid */
} picture_settings;

extern picture_settings picture_reading;

/* Rows of a table of options (options.h). */
#define PICTURE_OPTIONS                                                                  \
    NUMBER_OPTION("--max-megapixels", &picture_reading.megapixels, 1, 4096,              \
                  "the largest picture that is decoded (128)"),                          \
        COLOUR_OPTION("--background", &picture_reading.background,                       \
                      "RRGGBB that transparent pictures are laid on (ffffff)"),          \
        FLAG_OPTION("--as-stored", &picture_reading.as_stored,                           \
                    "leave pictures as they lie, whatever EXIF says")

/* Reads a JPEG, PNG, GIF (its first picture) or BMP that is whole, upright, as RGB. Null
 * on success, else why not, until this thread's next call. */
const char *picture_read(picture *out, const char *path);
picture picture_make(uint32_t width, uint32_t height, uint8_t grey);
/* 0 on success; else errno says why. */
int picture_write_png(const picture *p, const char *path);
void picture_free(picture *p);

/* A JPEG file in memory, malloc()ed. quality: 1 to 100. */
uint8_t *picture_encode(const uint8_t *pixels, uint32_t side, int quality, size_t *count);
/* The inverse, as an_pack_open() takes it: 0 on success. */
int picture_decode(const uint8_t *bytes, size_t count, uint32_t side, uint8_t *pixels,
                   void *user);

#endif
