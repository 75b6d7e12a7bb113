/*
 * view.c - from pictures to the network's input: views of the fitted picture, its mean
 * subtracted, its colours moved.
 */
#include <string.h>

#include "image/image.h"

/* --- views ------------------------------------------------------------------------- */

static uint32_t margin(const an_input *input)
{
    return input->p.side - input->size;
}

an_view an__view(const an_input *input, uint32_t view)
{
    uint32_t room = margin(input), place = view % AN_VIEW_MIRRORED;
    an_view v;

    memset(&v, 0, sizeof v);
    v.divisor = 1;
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
an_view an__view_random(const an_input *input, uint32_t augment, const uint32_t word[3])
{
    uint64_t places = (uint64_t)margin(input) + 1;
    an_view v = an__view(input, AN_VIEW_CENTRE);

    if (augment & AN_AUGMENT_CROP) {
        v.x = (uint32_t)(word[0] * places >> 32);
        v.y = (uint32_t)(word[1] * places >> 32);
    }
    if (augment & AN_AUGMENT_MIRROR) v.mirror = word[2] >> 31;
    return v;
}

/* --- network input ----------------------------------------------------------------- */

an_status an__images_check(const an_image *images, uint32_t count)
{
    an_image image;
    size_t stride;
    uint32_t i;

    memcpy(&stride, images, sizeof stride); /* the caller's sizeof */
    for (i = 0; i < count; i++) {
        const an_image *at =
            (const an_image *)(const void *)((const char *)images + i * stride);

        AN_TRY(an__image_check(at, &image));
        AN_CHECK(at->size == stride, "images[%u].size is %zu, that of images[0] is %zu",
                 i, at->size, stride);
    }
    return AN_OK;
}

/* Row y of the crop, colour c: `row` holds its pixels, before mirroring. */
static void input_row(const an_input *input, const an_view *view, uint32_t y, uint32_t c,
                      const uint8_t *row, float *out)
{
    const an_preprocessing *p = &input->p;
    float scale = p->scale[c] / view->divisor, mean = p->mean[c];
    float noise = view->colour[c];
    uint32_t size = input->size, x;

    if (input->mean_image != NULL) {
        /* The mean's pixel for crop column x, mirrored columns counted from their end. */
        uint32_t room = margin(input) / 2, top = p->mean_moves ? view->y : room;
        uint32_t left = p->mean_moves ? view->x : room;
        int flipped = view->mirror && !p->mean_moves;
        const float *means =
            input->mean_image + ((size_t)c * p->side + top + y) * p->side + left;

        for (x = 0; x < size; x++)
            out[view->mirror ? size - 1 - x : x] =
                ((float)row[3 * x + c] - means[flipped ? size - 1 - x : x] + noise) *
                scale;
    } else if (view->mirror) {
        for (x = 0; x < size; x++)
            out[size - 1 - x] = ((float)row[3 * x + c] - mean + noise) * scale;
    } else {
        for (x = 0; x < size; x++)
            out[x] = ((float)row[3 * x + c] - mean + noise) * scale;
    }
}

void an__input_rows(const an_input *input, const an_image *image, const an_view *view,
                    uint32_t first, uint32_t rows, float *out)
{
    an_fitting fitting = an__fitting(image, input->p.side, input->p.fit);
    uint8_t band[AN_INPUT_ROWS * 3 * 1024]; /* image_size is at most 1024 */
    uint32_t size = input->size, y, c;

    an__fitting_rows(&fitting, view->x, size, view->y + first, rows, an__copy_rows, band);
    for (y = 0; y < rows; y++)
        for (c = 0; c < 3; c++)
            input_row(input, view, first + y, c, band + (size_t)y * 3 * size,
                      out +
                          ((size_t)(input->p.bgr ? 2 - c : c) * size + first + y) * size);
}

typedef struct an_preparing {
    const an_input *input;
    const an_image *images;
    const an_view *views;
    uint32_t bands; /* of AN_INPUT_ROWS rows in an image */
    float *out;
} an_preparing;

static void prepare_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_preparing *p = arg;
    uint32_t index = item / p->bands, size = p->input->size;
    uint32_t first = item % p->bands * AN_INPUT_ROWS;
    uint32_t rows = size - first < AN_INPUT_ROWS ? size - first : AN_INPUT_ROWS;
    const an_image *image = (const an_image *)(const void *)((const char *)p->images +
                                                             index * p->images->size);

    (void)worker;
    an__input_rows(p->input, image, &p->views[index], first, rows,
                   p->out + (size_t)index * 3 * size * size);
}

void an__images_prepare(an_context *ctx, const an_input *input, const an_image *images,
                        uint32_t count, const an_view *views, float *out)
{
    an_preparing p;

    p.input = input;
    p.images = images;
    p.views = views;
    p.bands = (input->size + AN_INPUT_ROWS - 1) / AN_INPUT_ROWS;
    p.out = out;
    an__pool_run(ctx->pool, count * p.bands, prepare_item, &p);
}

void an__input_crop(const an_context *ctx, const an_input *input, const an_image *image,
                    const an_view *view, uint8_t *out)
{
    an_fitting fitting = an__fitting(image, input->p.side, input->p.fit);

    an__fitting_rows(&fitting, view->x, input->size, view->y, input->size,
                     an__cpu_copy_rows(ctx->backends[0]), out);
}

typedef struct an_cropping {
    const an_context *ctx;
    const an_input *input;
    const an_image *images;
    const an_view *views;
    uint8_t *out;
} an_cropping;

static void crop_item(uint32_t index, uint32_t worker, void *arg)
{
    const an_cropping *c = arg;
    uint32_t size = c->input->size;
    const an_image *image = (const an_image *)(const void *)((const char *)c->images +
                                                             index * c->images->size);

    (void)worker;
    an__input_crop(c->ctx, c->input, image, &c->views[index],
                   c->out + (size_t)index * 3 * size * size);
}

void an__images_crop(an_context *ctx, const an_input *input, const an_image *images,
                     uint32_t count, const an_view *views, uint8_t *out)
{
    an_cropping c;

    c.ctx = ctx;
    c.input = input;
    c.images = images;
    c.views = views;
    c.out = out;
    an__pool_run(ctx->pool, count, crop_item, &c);
}

an_preprocess_shape an__preprocess_shape(const an_input *input)
{
    an_preprocess_shape s;

    memset(&s, 0, sizeof s);
    s.size = input->size;
    s.side = input->p.side;
    s.bgr = input->p.bgr;
    s.mean_moves = input->p.mean_moves;
    memcpy(s.mean, input->p.mean, sizeof s.mean);
    memcpy(s.scale, input->p.scale, sizeof s.scale);
    return s;
}

size_t an__mean_count(const an_input *input)
{
    return (size_t)3 * input->p.side * input->p.side;
}
