/*
 * stb.h - stb_image as the programs use it (stb.c): memory that it asks for begins as
 * zeros, so that no pixel is ever what memory held, and it says where a JPEG's data ended
 * too early.
 */
#ifndef STB_H
#define STB_H

#include <stdint.h>

/* The pixels of a PNG, GIF or BMP, with as many channels as it has, for
 * stbi_image_free(); null: stbi_failure_reason() says why, unless it is null or "". */
uint8_t *stb_read_other(const uint8_t *data, int size, int *width, int *height,
                        int *channels);
/* A JPEG's, RGB, likewise.
 * *is_short: 1 if blocks were decoded from nothing, behind the end of a scan's data. (Of
 * a progressive JPEG that is not seen.) */
uint8_t *stb_read_jpeg(const uint8_t *data, int size, int *width, int *height,
                       int *is_short);

#endif
