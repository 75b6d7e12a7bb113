/*
 * scoring.c - a pack's pictures through one model or several.
 */
#include "scoring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "quote.h"

enum { AT_ONCE = 64 };

typedef struct buffers {
    uint8_t *pixels;
    an_image images[AT_ONCE];
    int32_t labels[AT_ONCE];
    float *one, *mean; /* [AT_ONCE][classes] */
} buffers;

static an_status read_some(const an_pack *pack, uint64_t first, uint32_t count,
                           uint32_t side, buffers *b)
{
    size_t bytes = (size_t)3 * side * side;
    uint32_t i;

    for (i = 0; i < count; i++) {
        an_status status =
            an_pack_read(pack, first + i, b->pixels + i * bytes, bytes, &b->labels[i]);

        if (status != AN_OK) return status;
        an_image_init(&b->images[i], sizeof b->images[i]);
        b->images[i].pixels = b->pixels + i * bytes;
        b->images[i].width = b->images[i].height = side;
    }
    return AN_OK;
}

static an_status mean_of_models(const scoring *s, uint32_t count, uint32_t classes,
                                buffers *b)
{
    size_t numbers = (size_t)count * classes, i;
    uint32_t m;

    memset(b->mean, 0, numbers * sizeof *b->mean);
    for (m = 0; m < s->model_count; m++) {
        an_status status =
            an_infer_views(s->models[m], b->images, count, s->views, b->one, numbers);

        if (status != AN_OK) return status;
        for (i = 0; i < numbers; i++) b->mean[i] += b->one[i] / (float)s->model_count;
    }
    return AN_OK;
}

static void count_confusion(const scoring *s, uint32_t count, uint32_t classes,
                            const buffers *b)
{
    uint32_t i, c, best;

    for (i = 0; s->confusion != NULL && i < count; i++) {
        const float *row = b->mean + (size_t)i * classes;

        for (best = 0, c = 1; c < classes; c++)
            if (row[c] > row[best]) best = c;
        s->confusion[(size_t)b->labels[i] * classes + best]++;
    }
}

static an_status score_all(scoring *s, const an_pack *pack, const an_pack_info *info,
                           uint32_t classes, buffers *b)
{
    uint64_t first;
    uint32_t count;

    for (first = 0; first < info->count; first += count) {
        an_status status;

        count = info->count - first < AT_ONCE ? (uint32_t)(info->count - first) : AT_ONCE;
        status = read_some(pack, first, count, info->side, b);
        if (status == AN_OK) status = mean_of_models(s, count, classes, b);
        if (status == AN_OK)
            status = an_score(b->mean, classes, b->labels, count, &s->total);
        if (status != AN_OK) return status;
        count_confusion(s, count, classes, b);
        if (s->progress != NULL) s->progress(first + count, s->user);
    }
    return AN_OK;
}

void check_pack(const an_pack *pack, const an_model *model, const char *name)
{
    an_preprocessing p;
    an_model_info about;
    an_pack_info info;
    uint32_t i;
    int named = 0;

    an_model_info_init(&about, sizeof about);
    an_preprocessing_init(&p, sizeof p);
    an_pack_info_init(&info, sizeof info);
    if (an_model_get_preprocessing(model, &p) != AN_OK ||
        an_model_describe(model, &about) != AN_OK ||
        an_pack_describe(pack, &info) != AN_OK)
        fail(name);
    if (info.fit != p.fit)
        usage_error(
            "%s: its pictures were %s, the model wants them %s: see prepare --warp", name,
            info.fit == AN_FIT_WARP ? "warped" : "cropped",
            p.fit == AN_FIT_WARP ? "warped" : "cropped");
    for (i = 0; i < info.classes; i++) {
        const char *a = an_pack_class_name(pack, i), *b = an_model_class_name(model, i);

        if (a != NULL && b != NULL && strcmp(a, b) != 0)
            usage_error("%s: class %u is %s, and %s in the model: prepare --like numbers "
                        "them alike",
                        name, i, a, b);
        named |= b != NULL;
    }
    if (!named && info.classes != about.classes)
        fprintf(
            stderr,
            "%s: has %u classes, and the model %u, without names: they are taken to be "
            "numbered alike\n",
            shown(name), info.classes, about.classes);
}

an_status score_pack(scoring *s, const an_pack *pack)
{
    an_model_info model;
    an_pack_info info;
    an_status status;
    buffers b;

    an_model_info_init(&model, sizeof model);
    an_pack_info_init(&info, sizeof info);
    an_evaluation_init(&s->total, sizeof s->total);
    status = an_model_describe(s->models[0], &model);
    if (status == AN_OK) status = an_pack_describe(pack, &info);
    if (status != AN_OK) return status;
    b.pixels = allocate((size_t)AT_ONCE * 3 * info.side * info.side);
    b.one = allocate((size_t)AT_ONCE * model.classes * sizeof *b.one);
    b.mean = allocate((size_t)AT_ONCE * model.classes * sizeof *b.mean);
    status = score_all(s, pack, &info, model.classes, &b);
    free(b.pixels);
    free(b.one);
    free(b.mean);
    return status;
}
