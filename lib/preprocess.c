/*
 * preprocess.c - from pictures to the network's input: views of the fitted picture, its mean
 * subtracted, its colours moved.
 */
#include <math.h>
#include <string.h>

#include "internal.h"

/* --- views ---------------------------------------------------------------------------- */

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
                     an__cpu_copy_rows(ctx->cpu), out);
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

an_picture_shape an__picture_shape(const an_input *input)
{
    an_picture_shape s;

    s.size = input->size;
    s.side = input->p.side;
    s.bgr = input->p.bgr;
    s.mean_moves = input->p.mean_moves;
    memcpy(s.mean, input->p.mean, sizeof s.mean);
    memcpy(s.scale, input->p.scale, sizeof s.scale);
    return s;
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
    v = an__view(&model->input, view);
    an__images_prepare(model->net.ctx, &model->input, image, 1, &v, out);
    return AN_OK;
}

/* --- what a model does with pictures -------------------------------------------------- */

/* sizeof in 1.0 */
#define LEAST_PREPROCESSING offsetof(an_preprocessing, fit)

static an_status colours_check(const an_preprocessing *p)
{
    uint32_t c, i;

    for (c = 0; c < 3; c++) {
        AN_CHECK(isfinite(p->mean[c]), "preprocessing.mean[%u] is not finite", c);
        AN_CHECK(isfinite(p->scale[c]) && p->scale[c] != 0,
                 "preprocessing.scale[%u] is %g: must be finite and not 0", c,
                 (double)p->scale[c]);
        AN_CHECK(isfinite(p->colour_deviation[c]) && p->colour_deviation[c] >= 0,
                 "preprocessing.colour_deviation[%u] is %g: must be finite, 0 or more", c,
                 (double)p->colour_deviation[c]);
        for (i = 0; i < 3; i++)
            AN_CHECK(isfinite(p->colour_axis[c][i]),
                     "preprocessing.colour_axis[%u][%u] is not finite", c, i);
    }
    return AN_OK;
}

static an_status preprocessing_read(an_preprocessing *p, const an_model *model,
                                    const an_preprocessing *given)
{
    uint32_t least = model->net.plan->config.image_size;

    AN_CHECK(given != NULL, "preprocessing is null");
    /* A caller of 1.0 leaves what he does not know as it is. */
    *p = model->input.p;
    AN_TRY(an__struct_read(p, given, sizeof *p, LEAST_PREPROCESSING, "preprocessing"));
    AN_CHECK(p->side >= least && p->side <= 2048,
             "preprocessing.side is %u: must be %u to 2048", p->side, least);
    AN_CHECK(p->bgr <= 1, "preprocessing.bgr is %u: must be 0 or 1", p->bgr);
    AN_CHECK(p->fit <= AN_FIT_WARP, "preprocessing.fit is %u: not one of an_fit", p->fit);
    AN_CHECK(p->mean_moves <= 1, "preprocessing.mean_moves is %u: must be 0 or 1",
             p->mean_moves);
    return colours_check(p);
}

an_status an_model_set_preprocessing(an_model *model, const an_preprocessing *given)
{
    an_preprocessing p;

    AN_TRY(an__model_check(model));
    AN_TRY(preprocessing_read(&p, model, given));
    if (model->input.mean_image != NULL && p.side != model->input.p.side)
        return an__fail(AN_ERROR_STATE,
                        "preprocessing.side is %u: the model has a mean image of %u",
                        p.side, model->input.p.side);
    model->input.p = p;
    return AN_OK;
}

an_status an_model_get_preprocessing(const an_model *model, an_preprocessing *p)
{
    AN_TRY(an__model_check(model));
    AN_CHECK(p != NULL, "preprocessing is null");
    return an__struct_write(p, &model->input.p, sizeof *p, LEAST_PREPROCESSING,
                            "preprocessing");
}

size_t an__mean_count(const an_input *input)
{
    return (size_t)3 * input->p.side * input->p.side;
}

static an_status mean_count_check(const an_model *model, size_t count)
{
    AN_CHECK(count == an__mean_count(&model->input),
             "count is %zu: must be 3 * side * side, %zu", count,
             an__mean_count(&model->input));
    return AN_OK;
}

/* mean: null for none. */
static an_status mean_copy(float **copy, an_context *ctx, const float *mean, size_t count)
{
    size_t i;

    *copy = NULL;
    if (mean == NULL) return AN_OK;
    for (i = 0; i < count; i++) AN_CHECK(isfinite(mean[i]), "mean[%zu] is not finite", i);
    *copy = an__alloc(&ctx->memory, count * sizeof **copy);
    if (*copy == NULL) return AN_ERROR_MEMORY;
    memcpy(*copy, mean, count * sizeof **copy);
    return AN_OK;
}

static void put_mean(an_model *model, float *mean)
{
    static uint64_t versions; /* atomic */

    model->input.mean_version = __atomic_add_fetch(&versions, 1, __ATOMIC_RELAXED);
    an__free(&model->net.ctx->memory, model->input.mean_image);
    model->input.mean_image = mean;
}

an_status an_model_set_mean_image(an_model *model, const float *mean, size_t count)
{
    float *copy;

    AN_TRY(an__model_check(model));
    AN_CHECK(mean != NULL || count == 0, "mean is null");
    if (mean != NULL) AN_TRY(mean_count_check(model, count));
    AN_TRY(mean_copy(&copy, model->net.ctx, mean, count));
    put_mean(model, copy);
    return AN_OK;
}

an_status an__model_set_input(an_model *model, const an_preprocessing *given,
                              const float *mean)
{
    an_preprocessing p;
    float *copy;

    AN_TRY(preprocessing_read(&p, model, given));
    AN_TRY(mean_copy(&copy, model->net.ctx, mean, (size_t)3 * p.side * p.side));
    model->input.p = p;
    put_mean(model, copy);
    return AN_OK;
}

an_status an_model_get_mean_image(const an_model *model, float *mean, size_t count)
{
    AN_TRY(an__model_check(model));
    AN_CHECK(mean != NULL, "mean is null");
    AN_TRY(mean_count_check(model, count));
    if (model->input.mean_image == NULL)
        return an__fail(AN_ERROR_STATE, "the model has no mean image");
    memcpy(mean, model->input.mean_image, count * sizeof *mean);
    return AN_OK;
}
