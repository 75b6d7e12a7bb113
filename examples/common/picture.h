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

/* Null on success, else why not. Grey and transparent pictures become RGB. */
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
