/*
 * fixtures.h - small pictures, packs and models for the example programs, and what is
 * asked of the text and the pictures that they leave. All names are those of files in the
 * test's folder.
 */
#ifndef AN_TEST_FIXTURES_H
#define AN_TEST_FIXTURES_H

#include <alexnet.h>

#include "common/picture.h"
#include "programs.h"

/* The path of a file in the test's folder; good for the next seven calls. */
const char *inside(const char *name);
/* A folder, and those that it lies in. */
void folder_make(const char *name);
void text_write(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void bytes_write(const char *name, const void *bytes, size_t count);

/* --- pictures ---------------------------------------------------------------------- */

/* [height][width][3]: waves of colour and noise, others for each seed. */
void waves(uint8_t *pixels, uint32_t width, uint32_t height, uint32_t seed);
/* A PNG file, made without an encoder: channels 1 to 4 as PNG has them (grey, grey and
 * alpha, RGB, RGB and alpha). */
void png_write(const char *name, const uint8_t *pixels, uint32_t width, uint32_t height,
               uint32_t channels);
/* Waves as a PNG file. */
void png_waves(const char *name, uint32_t width, uint32_t height, uint32_t seed);
picture picture_of(const char *name);
/* 0xRRGGBB; the place must be in the picture. */
uint32_t pixel_at(const picture *p, uint32_t x, uint32_t y);
/* Unlike expect_count(), which tells Check of every call, quick enough for all of a
 * picture. */
void expect_pixel(const picture *p, uint32_t x, uint32_t y, uint32_t wanted,
                  const char *what);
/* Both files are pictures of one size with the same pixels. */
void expect_same_picture(const char *got, const char *wanted);

/* --- packs and models -------------------------------------------------------------- */

typedef struct pack_spec {
    uint32_t count, classes, side, kind,
        fit;                  /* kind, fit: 0 as an_pack_writer_config has them */
    const char *const *names; /* of the classes; null: none */
} pack_spec;

/* With one thread: the same bits as with any other number. */
an_context *context_make(void);
uint32_t path_of(an_context *ctx); /* an_cpu_path in use */
/* Picture i: waves of seed i, labelled i * 5 % classes (classes: no multiple of 5). */
void pack_make(an_context *ctx, const char *name, const pack_spec *spec);
/* Opened with picture_decode(). */
an_pack *pack_of(an_context *ctx, const char *name);
an_image image_of(const uint8_t *pixels, uint32_t width, uint32_t height);

/* CIFAR-10's network, a tenth as wide, on TINY pixels; with fc7: torchvision's, a
 * fiftieth, on
 * 64 pixels. */
enum { TINY = 16 };
an_model_config tiny_config(uint32_t classes, uint64_t seed);
an_model_config tiny_config_with_fc7(uint32_t classes, uint64_t seed);
/* Makes the model, gives it pictures of `side`, and last weights large enough that its
 * answers differ from each other by far; class names and pack may be null. Saved as
 * `name`. */
an_model *model_make(an_context *ctx, const char *name, const an_model_config *config,
                     uint32_t side, const char *const *names);

/* The last layer's weights and biases times a factor. */
void weights_scale(an_model *model, float factor);

/* --- what programs said ------------------------------------------------------------ */

/* The text has this line, whole. */
void expect_line(const char *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The text has no line that contains these words. */
void expect_no_line(const char *text, const char *words);
/* The numbers of a text, in their order, whatever stands between: at most `most` of them,
 * as many as are returned. A number does not begin within a word. */
size_t numbers_of(const char *text, double *numbers, size_t most);
size_t lines_of(const char *text);

/* fn(arg), which ends the process: with `code`, and `words` on stderr. */
void expect_exit(int code, const char *words, void (*fn)(void *), void *arg);

#endif
