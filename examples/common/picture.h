/*
 * picture.h - image files in and out, through stb.
 */
#ifndef PICTURE_H
#define PICTURE_H

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

/* Drawing: places beyond the edge are left out. Colours are 0xRRGGBB. */
void picture_fill(picture *p, int x, int y, int width, int height, uint32_t colour);
void picture_line(picture *p, double x0, double y0, double x1, double y1,
                  uint32_t colour);
/* Letters are 5 x 7 pixels, 6 apart; upper case, digits and some signs. */
void picture_text(picture *p, int x, int y, const char *text, uint32_t colour);

#endif
