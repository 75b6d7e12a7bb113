/*
 * preprocess.c - from decoded pixels of any size to the network's input.
 */
#include <math.h>
#include <string.h>

#include "internal.h"

/* --- fit: the short side to `side`, the centre cut out --------------------------------- */

/* One axis of the fit: output pixel i lies at (i + offset + 0.5) * step - 0.5 of the input,
 * and is a mean of the pixels around, weighted by a triangle `reach` wide to either side:
 * one input pixel where the picture grows, one output pixel where it shrinks. */
typedef struct an_axis {
    double step, reach;
    uint32_t offset, size; /* size: of the input */
} an_axis;

typedef struct an_fit {
    an_image image;
    uint32_t side;
    an_axis x, y;
} an_fit;

static an_axis axis_make(uint32_t size, uint32_t scaled, uint32_t side)
{
    an_axis axis;

    axis.step = (double)size / scaled;
    axis.reach = axis.step > 1 ? axis.step : 1;
    axis.offset = (scaled - side) / 2;
    axis.size = size;
    return axis;
}

static an_fit fit_make(const an_image *given, uint32_t side)
{
    uint32_t shorter = given->width < given->height ? given->width : given->height;
    an_fit fit;

    fit.image = *given;
    if (fit.image.row_bytes == 0) fit.image.row_bytes = (size_t)3 * given->width;
    fit.side = side;
    /* side / shorter times the size, to the nearest pixel */
    fit.x = axis_make(given->width,
                      (uint32_t)(((uint64_t)given->width * side + shorter / 2) / shorter),
                      side);
    fit.y = axis_make(
        given->height,
        (uint32_t)(((uint64_t)given->height * side + shorter / 2) / shorter), side);
    return fit;
}

/* The input pixels under the triangle of output pixel i, and its centre. */
static void axis_span(const an_axis *axis, uint32_t i, uint32_t *first, uint32_t *last,
                      double *centre)
{
    double low, high;

    *centre = (i + axis->offset + 0.5) * axis->step - 0.5;
    low = ceil(*centre - axis->reach);
    high = floor(*centre + axis->reach);
    *first = low < 0 ? 0 : (uint32_t)low;
    *last = high > axis->size - 1 ? axis->size - 1 : (uint32_t)high;
}

static double axis_weight(const an_axis *axis, uint32_t at, double centre)
{
    double weight = 1 - fabs(at - centre) / axis->reach;

    return weight > 0 ? weight : 0;
}

/* The fitted picture's pixel (x, y). */
static void fit_pixel(const an_fit *fit, uint32_t x, uint32_t y, uint8_t rgb[3])
{
    double sum[3] = {0, 0, 0}, total = 0, centre_x, centre_y;
    uint32_t left, right, top, bottom, i, j, c;

    if (fit->x.step == 1 && fit->y.step == 1) {
        memcpy(rgb,
               fit->image.pixels + (size_t)(y + fit->y.offset) * fit->image.row_bytes +
                   (size_t)(x + fit->x.offset) * 3,
               3);
        return;
    }
    axis_span(&fit->x, x, &left, &right, &centre_x);
    axis_span(&fit->y, y, &top, &bottom, &centre_y);
    for (j = top; j <= bottom; j++) {
        const uint8_t *row = fit->image.pixels + j * fit->image.row_bytes;
        double weight_y = axis_weight(&fit->y, j, centre_y);

        for (i = left; i <= right; i++) {
            double weight = weight_y * axis_weight(&fit->x, i, centre_x);

            total += weight;
            for (c = 0; c < 3; c++) sum[c] += weight * row[3 * (size_t)i + c];
        }
    }
    for (c = 0; c < 3; c++) rgb[c] = (uint8_t)(sum[c] / total + 0.5);
}

static an_status image_check(const an_image *given, an_image *image)
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

an_status an_image_fit(const an_image *given, uint32_t side, uint8_t *out)
{
    an_image image;
    uint32_t x, y;
    an_fit fit;

    AN_CHECK(given != NULL, "image is null");
    AN_CHECK(out != NULL, "out is null");
    AN_CHECK(side >= 1 && side <= 2048, "side is %u: must be 1 to 2048", side);
    AN_TRY(image_check(given, &image));
    fit = fit_make(&image, side);
    for (y = 0; y < side; y++)
        for (x = 0; x < side; x++)
            fit_pixel(&fit, x, y, out + ((size_t)y * side + x) * 3);
    return AN_OK;
}

/* --- views ---------------------------------------------------------------------------- */

static uint32_t margin(const an_model *model)
{
    return model->preprocessing.side - model->plan->config.image_size;
}

an_view an__view(const an_model *model, uint32_t view)
{
    uint32_t room = margin(model), place = view % AN_VIEW_MIRRORED;
    an_view v;

    v.mirror = view >= AN_VIEW_MIRRORED;
    v.x = place == AN_VIEW_CENTRE                                     ? room / 2
          : place == AN_VIEW_TOP_LEFT || place == AN_VIEW_BOTTOM_LEFT ? 0
                                                                      : room;
    v.y = place == AN_VIEW_CENTRE                                   ? room / 2
          : place == AN_VIEW_TOP_LEFT || place == AN_VIEW_TOP_RIGHT ? 0
                                                                    : room;
    return v;
}

/* Each of the margin + 1 places in a row alike; the original's 33 x 33 for 224 of 256. */
an_view an__view_random(const an_model *model, uint32_t augment, uint64_t seed,
                        uint64_t iteration, uint32_t index)
{
    uint64_t places = (uint64_t)margin(model) + 1;
    an_view v = an__view(model, AN_VIEW_CENTRE);
    uint32_t word[4];

    an__random4(seed, AN_STREAM_VIEW, iteration, index, word);
    if (augment & AN_AUGMENT_CROP) {
        v.x = (uint32_t)(word[0] * places >> 32);
        v.y = (uint32_t)(word[1] * places >> 32);
    }
    if (augment & AN_AUGMENT_MIRROR) v.mirror = word[2] >> 31;
    return v;
}

/* --- network input -------------------------------------------------------------------- */

an_status an__images_check(const an_image *images, uint32_t count)
{
    an_image image;
    size_t stride;
    uint32_t i;

    memcpy(&stride, images, sizeof stride); /* the caller's sizeof */
    for (i = 0; i < count; i++) {
        const an_image *at =
            (const an_image *)(const void *)((const char *)images + i * stride);

        AN_TRY(image_check(at, &image));
        AN_CHECK(at->size == stride, "images[%u].size is %zu, that of images[0] is %zu",
                 i, at->size, stride);
    }
    return AN_OK;
}

#define ROWS 16u /* of one image, for one thread at a time */

typedef struct an_preparing {
    const an_model *model;
    const an_image *images;
    const an_view *views;
    uint32_t bands; /* of ROWS rows in an image */
    float *out;
} an_preparing;

static void prepare_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_preparing *p = arg;
    const an_preprocessing *pre = &p->model->preprocessing;
    uint32_t index = item / p->bands, size = p->model->plan->config.image_size, c, x;
    uint32_t y = item % p->bands * ROWS, end = y + ROWS < size ? y + ROWS : size;
    const an_image *image = (const an_image *)(const void *)((const char *)p->images +
                                                             index * p->images->size);
    float *out = p->out + (size_t)index * 3 * size * size;
    an_view view = p->views[index];
    an_fit fit = fit_make(image, pre->side);

    (void)worker;
    for (; y < end; y++)
        for (x = 0; x < size; x++) {
            uint32_t to = view.mirror ? size - 1 - x : x;
            uint8_t rgb[3];

            fit_pixel(&fit, x + view.x, y + view.y, rgb);
            for (c = 0; c < 3; c++)
                out[((size_t)(pre->bgr ? 2 - c : c) * size + y) * size + to] =
                    ((float)rgb[c] - pre->mean[c]) * pre->scale[c];
        }
}

void an__images_prepare(const an_model *model, const an_image *images, uint32_t count,
                        const an_view *views, float *out)
{
    an_preparing p;

    p.model = model;
    p.images = images;
    p.views = views;
    p.bands = (model->plan->config.image_size + ROWS - 1) / ROWS;
    p.out = out;
    an__pool_run(model->ctx->pool, count * p.bands, prepare_item, &p);
}

an_status an_preprocess(const an_model *model, const an_image *image, uint32_t view,
                        float *out)
{
    an_view v;

    AN_TRY(an__model_check(model));
    AN_CHECK(image != NULL, "image is null");
    AN_CHECK(out != NULL, "out is null");
    AN_CHECK(view < 2 * AN_VIEW_MIRRORED, "view is %u: must be 0 to 9", view);
    AN_TRY(an__images_check(image, 1));
    v = an__view(model, view);
    an__images_prepare(model, image, 1, &v, out);
    return AN_OK;
}

an_status an_model_set_preprocessing(an_model *model, const an_preprocessing *given)
{
    an_preprocessing p;
    uint32_t c, least;

    AN_TRY(an__model_check(model));
    AN_CHECK(given != NULL, "preprocessing is null");
    an_preprocessing_init(&p, sizeof p);
    AN_TRY(an__struct_read(&p, given, sizeof p, sizeof p, "preprocessing"));
    least = model->plan->config.image_size;
    AN_CHECK(p.side >= least && p.side <= 2048,
             "preprocessing.side is %u: must be %u to 2048", p.side, least);
    AN_CHECK(p.bgr <= 1, "preprocessing.bgr is %u: must be 0 or 1", p.bgr);
    for (c = 0; c < 3; c++) {
        AN_CHECK(isfinite(p.mean[c]), "preprocessing.mean[%u] is not finite", c);
        AN_CHECK(isfinite(p.scale[c]) && p.scale[c] != 0,
                 "preprocessing.scale[%u] is %g: must be finite and not 0", c,
                 (double)p.scale[c]);
    }
    model->preprocessing = p;
    return AN_OK;
}

an_status an_model_get_preprocessing(const an_model *model, an_preprocessing *p)
{
    AN_TRY(an__model_check(model));
    AN_CHECK(p != NULL, "preprocessing is null");
    return an__struct_write(p, &model->preprocessing, sizeof *p, sizeof *p,
                            "preprocessing");
}
