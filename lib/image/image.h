/*
 * image.h - from decoded pictures to a network's input: fitted to a square (fit.c), of
 * which a view is cropped, mirrored, and its colours moved (view.c).
 */
#ifndef AN_IMAGE_H
#define AN_IMAGE_H

#include "device/device.h"

typedef struct an_axis {
    double step, reach;
    uint32_t offset, size; /* size: of the input */
} an_axis;

typedef struct an_fitting { /* a picture, and how it becomes side x side */
    an_image image;
    an_axis x, y;
} an_fitting;

an_status an__image_check(const an_image *given, an_image *image);
an_fitting an__fitting(const an_image *image, uint32_t side, uint32_t fit);
/* Columns x .. x + width - 1 of some rows of the fitted picture; `copy` is for a picture
 * that has its size already. */
void an__fitting_rows(const an_fitting *f, uint32_t x, uint32_t width, uint32_t y,
                      uint32_t rows, an_copy_rows_fn copy, uint8_t *out);

/* How pictures become a model's input. */
typedef struct an_input {
    an_preprocessing p;
    uint32_t size;         /* of a crop */
    float *mean_image;     /* [3][side][side], or null */
    uint64_t mean_version; /* another for every mean image of the process */
} an_input;

an_view an__view(const an_input *input, uint32_t view);
/* word: three random ones. */
an_view an__view_random(const an_input *input, uint32_t augment, const uint32_t word[3]);
an_status an__images_check(const an_image *images, uint32_t count);

#define AN_INPUT_ROWS 8u /* of an image, at most, that one call below does */
void an__input_rows(const an_input *input, const an_image *image, const an_view *view,
                    uint32_t first, uint32_t rows, float *out);
/* The view's crop of a picture, [size][size][3], for a device to read. */
void an__input_crop(const an_context *ctx, const an_input *input, const an_image *image,
                    const an_view *view, uint8_t *out);
/* Crops, [count][size][size][3], for what else is to be done on a device. */
void an__images_crop(an_context *ctx, const an_input *input, const an_image *images,
                     uint32_t count, const an_view *views, uint8_t *out);
an_preprocess_shape an__preprocess_shape(const an_input *input);
/* Images as network input, on the context's threads. views: one for each image. */
void an__images_prepare(an_context *ctx, const an_input *input, const an_image *images,
                        uint32_t count, const an_view *views, float *out);
size_t an__mean_count(const an_input *input); /* numbers of its mean image */

#endif
