/*
 * fit.c - a decoded picture of any size, scaled to the size that training crops from.
 */
#include <math.h>
#include <string.h>

#include "image/image.h"

AN_INIT_ZERO(an_image)

/* One axis: output pixel i lies at (i + offset + 0.5) * step - 0.5 of the input, and is a
 * mean of the pixels around, weighted by a triangle `reach` wide to either side: one
 * input pixel where the picture grows, one output pixel where it shrinks. */
static an_axis axis_make(uint32_t size, uint32_t scaled, uint32_t side)
{
    an_axis axis;

    axis.step = (double)size / scaled;
    axis.reach = axis.step > 1 ? axis.step : 1;
    axis.offset = (scaled - side) / 2;
    axis.size = size;
    return axis;
}

/* side / shorter times the size, to the nearest pixel */
static uint32_t scaled_size(uint32_t size, uint32_t side, uint32_t shorter)
{
    return (uint32_t)(((uint64_t)size * side + shorter / 2) / shorter);
}

an_fitting an__fitting(const an_image *given, uint32_t side, uint32_t fit)
{
    uint32_t shorter = given->width < given->height ? given->width : given->height;
    uint32_t width = side, height = side;
    an_fitting f;

    if (fit == AN_FIT_CROP) {
        width = scaled_size(given->width, side, shorter);
        height = scaled_size(given->height, side, shorter);
    }
    f.image = *given;
    if (f.image.row_bytes == 0) f.image.row_bytes = (size_t)3 * given->width;
    f.x = axis_make(given->width, width, side);
    f.y = axis_make(given->height, height, side);
    return f;
}

/* The input pixels under the triangle of output pixel i, and its centre. */
typedef struct an_span {
    uint32_t first, last;
    double centre;
} an_span;

static an_span axis_span(const an_axis *axis, uint32_t i)
{
    an_span span;
    double low, high;

    span.centre = (i + axis->offset + 0.5) * axis->step - 0.5;
    low = ceil(span.centre - axis->reach);
    high = floor(span.centre + axis->reach);
    span.first = low < 0 ? 0 : (uint32_t)low;
    span.last = high > axis->size - 1 ? axis->size - 1 : (uint32_t)high;
    return span;
}

static double axis_weight(const an_axis *axis, uint32_t at, double centre)
{
    double weight = 1 - fabs(at - centre) / axis->reach;

    return weight > 0 ? weight : 0;
}

/* --- rows of the fitted picture ---------------------------------------------------- */

#define STRIP 64u  /* output columns done together */
#define LINE 1024u /* input columns of one piece of a line */

/* Input columns first .. first + count - 1 of the input rows under `span`, weighted. */
static void blend_rows(const an_fitting *f, const an_span *span, uint32_t first,
                       uint32_t count, float *line)
{
    uint32_t j, k;

    memset(line, 0, (size_t)3 * count * sizeof *line);
    for (j = span->first; j <= span->last; j++) {
        const uint8_t *row = f->image.pixels + j * f->image.row_bytes + (size_t)3 * first;
        float weight = (float)axis_weight(&f->y, j, span->centre);

        for (k = 0; k < 3 * count; k++) line[k] += weight * (float)row[k];
    }
}

/* Output columns whose spans are `spans`, of one output row. */
static void blend_strip(const an_fitting *f, const an_span *spans, uint32_t columns,
                        const an_span *rows, uint8_t *out)
{
    double sum[STRIP][3] = {{0}}, across[STRIP] = {0}, down = 0;
    uint32_t first, last = spans[columns - 1].last, i, at, c;
    float line[3 * LINE];

    for (at = rows->first; at <= rows->last; at++)
        down += (double)(float)axis_weight(&f->y, at, rows->centre);
    for (first = spans[0].first; first <= last; first += LINE) {
        uint32_t end = last - first < LINE ? last + 1 : first + LINE;

        blend_rows(f, rows, first, end - first, line);
        for (i = 0; i < columns; i++) {
            uint32_t from = spans[i].first > first ? spans[i].first : first;

            for (at = from; at < end && at <= spans[i].last; at++) {
                double weight = axis_weight(&f->x, at, spans[i].centre);

                across[i] += weight;
                for (c = 0; c < 3; c++)
                    sum[i][c] += weight * (double)line[3 * (at - first) + c];
            }
        }
    }
    for (i = 0; i < columns; i++)
        for (c = 0; c < 3; c++)
            out[3 * i + c] = (uint8_t)(sum[i][c] / (across[i] * down) + 0.5);
}

static void blend(const an_fitting *f, uint32_t x, uint32_t columns, uint32_t y,
                  uint32_t rows, uint8_t *out, size_t out_bytes)
{
    an_span spans[STRIP];
    uint32_t i;

    for (i = 0; i < columns; i++) spans[i] = axis_span(&f->x, x + i);
    for (i = 0; i < rows; i++) {
        an_span down = axis_span(&f->y, y + i);

        blend_strip(f, spans, columns, &down, out + i * out_bytes);
    }
}

void an__fitting_rows(const an_fitting *f, uint32_t x, uint32_t width, uint32_t y,
                      uint32_t rows, an_copy_rows_fn copy, uint8_t *out)
{
    size_t bytes = (size_t)3 * width;
    uint32_t done, part;

    if (f->x.step == 1 && f->y.step == 1) {
        copy(out,
             f->image.pixels + (size_t)(y + f->y.offset) * f->image.row_bytes +
                 (size_t)(x + f->x.offset) * 3,
             f->image.row_bytes, bytes, rows);
        return;
    }
    for (done = 0; done < width; done += part) {
        part = width - done < STRIP ? width - done : STRIP;
        blend(f, x + done, part, y, rows, out + (size_t)3 * done, bytes);
    }
}

/* --- public ------------------------------------------------------------------------ */

an_status an__image_check(const an_image *given, an_image *image)
{
    an_image_init(image, sizeof *image);
    AN_TRY(an__struct_read(image, given, sizeof *image, sizeof *image, "image"));
    AN_CHECK(image->pixels != NULL, "image.pixels is null");
    AN_CHECK(image->width >= 1 && image->width <= 32768,
             "image.width is %u: must be 1 to 32768", image->width);
    AN_CHECK(image->height >= 1 && image->height <= 32768,
             "image.height is %u: must be 1 to 32768", image->height);
    AN_CHECK(image->row_bytes == 0 || image->row_bytes >= (size_t)3 * image->width,
             "image.row_bytes is %zu: less than 3 * width, %zu", image->row_bytes,
             (size_t)3 * image->width);
    return AN_OK;
}

static an_status fit_whole(const an_image *given, uint32_t side, an_fit fit, uint8_t *out,
                           size_t capacity)
{
    an_image image;
    an_fitting f;

    AN_CHECK(given != NULL, "image is null");
    AN_CHECK(out != NULL, "out is null");
    AN_CHECK(side >= 1 && side <= 2048, "side is %u: must be 1 to 2048", side);
    AN_TRY(an__capacity_check(capacity, 3, (size_t)side * side));
    AN_TRY(an__image_check(given, &image));
    f = an__fitting(&image, side, fit);
    an__fitting_rows(&f, 0, side, 0, side, an__copy_rows, out);
    return AN_OK;
}

an_status an_image_fit(const an_image *image, uint32_t side, uint8_t *out,
                       size_t capacity)
{
    AN_ENTER;
    return fit_whole(image, side, AN_FIT_CROP, out, capacity);
}

an_status an_image_warp(const an_image *image, uint32_t side, uint8_t *out,
                        size_t capacity)
{
    AN_ENTER;
    return fit_whole(image, side, AN_FIT_WARP, out, capacity);
}
