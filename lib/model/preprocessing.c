/*
 * preprocessing.c - how pictures become a model's input: its preset's way, or the host's.
 */
#include <math.h>
#include <string.h>

#include "model/model.h"

AN_INIT_ZERO(an_preprocessing)

/* Principal axes of the 2012 training set's colours, R, G, B, and its standard deviations
 * along them (the data that ships with cc2: input_meta). */
static const float colours_2012[3] = {121.7801f, 37.0939f, 19.7208f};
static const float axes_2012[3][3] = {{-0.56351f, -0.57618f, -0.59200f},
                                      {-0.71258f, -0.02354f, 0.70120f},
                                      {0.41796f, -0.81698f, 0.39731f}};

/* What the images of a preset are like, for its size of input. */
void an__model_preset_input(an_model *model)
{
    const an_arch_row *row = &model->net.plan->row;
    an_preprocessing *p = &model->input.p;
    uint32_t margin = row->side - row->image_size;

    an_preprocessing_init(p, sizeof *p);
    p->side = model->net.plan->config.image_size + margin;
    p->bgr = row->bgr;
    p->fit = row->warp ? AN_FIT_WARP : AN_FIT_CROP;
    p->mean_moves = row->warp;
    memcpy(p->mean, row->mean, sizeof p->mean);
    memcpy(p->scale, row->scale, sizeof p->scale);
    memcpy(p->colour_deviation, colours_2012, sizeof colours_2012);
    memcpy(p->colour_axis, axes_2012, sizeof axes_2012);
    model->input.size = model->net.plan->config.image_size;
}

an_status an_preprocess(const an_model *model, const an_image *image, uint32_t view,
                        float *out, size_t capacity)
{
    AN_ENTER;
    an_view v;

    AN_TRY(an__model_check(model));
    AN_CHECK(image != NULL, "image is null");
    AN_CHECK(out != NULL, "out is null");
    AN_CHECK(view < 2 * AN_VIEW_MIRRORED, "view is %u: must be 0 to 9", view);
    AN_TRY(an__capacity_check(capacity, 1,
                              model->net.plan->tensors[model->net.plan->input[0]].count));
    AN_TRY(an__images_check(image, 1));
    v = an__view(&model->input, view);
    an__images_prepare(model->net.ctx, &model->input, image, 1, &v, out);
    return AN_OK;
}

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
    /* A caller whose struct is shorter leaves what he does not know as it is. */
    *p = model->input.p;
    AN_TRY(an__struct_read(p, given, sizeof *p, sizeof *p, "preprocessing"));
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
    AN_ENTER;
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
    AN_ENTER;
    AN_TRY(an__model_check(model));
    AN_CHECK(p != NULL, "preprocessing is null");
    return an__struct_write(p, &model->input.p, sizeof *p, sizeof *p, "preprocessing");
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
    AN_ENTER;
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
    AN_ENTER;
    AN_TRY(an__model_check(model));
    AN_CHECK(mean != NULL, "mean is null");
    AN_TRY(mean_count_check(model, count));
    if (model->input.mean_image == NULL)
        return an__fail(AN_ERROR_STATE, "the model has no mean image");
    memcpy(mean, model->input.mean_image, count * sizeof *mean);
    return AN_OK;
}
