/*
 * similar.c - pictures alike by what the network sees in them: the Euclidean distance of
 * fc7's activations (paper, 6.1 and figure 4).
 *
 *   similar index MODEL PACK INDEX         the vectors of all pictures of a pack
 *   similar query INDEX MODEL PACK OUT.png PICTURE...   a sheet with the nearest of each
 *   similar score INDEX PACK               how many of the nearest are of the same class
 */
#include <alexnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/canvas.h"
#include "common/device.h"
#include "common/options.h"
#include "common/output.h"
#include "common/picture.h"
#include "common/progress.h"
#include "common/scoring.h"
#include "common/vectors.h"

static const char *layer = "fc7";
static unsigned long nearest = 6;

static device_choice place;

static option table[] = {
    TEXT_OPTION("--layer", &layer, "after its non-linearity (fc7)"),
    NUMBER_OPTION("--nearest", &nearest, 1, 50, "pictures for each query (6)"),
    PICTURE_OPTIONS,
    DEVICE_OPTIONS(place),
    PROGRESS_OPTION,
    OPTIONS_END};

enum { AT_ONCE = 64 };

static an_pack *open_pack(an_context *ctx, const char *path, an_pack_info *info)
{
    an_pack *pack;

    an_pack_info_init(info, sizeof *info);
    if (an_pack_open(&pack, ctx, path, picture_decode, NULL) != AN_OK ||
        an_pack_describe(pack, info) != AN_OK)
        fail(path);
    return pack;
}

static an_image image_of(const uint8_t *pixels, uint32_t width, uint32_t height)
{
    an_image image;

    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = width;
    image.height = height;
    return image;
}

/* A made-up picture's vector: another model, layer or input gives another one. */
static float *probe(an_model *model, size_t size)
{
    enum { SIDE = 64 };
    uint8_t pixels[3 * SIDE * SIDE];
    float *out = allocate(size * sizeof *out);
    an_image image = image_of(pixels, SIDE, SIDE);
    uint32_t i;

    for (i = 0; i < SIDE * SIDE; i++) {
        pixels[3 * i] = (uint8_t)(4 * (i % SIDE));
        pixels[3 * i + 1] = (uint8_t)(4 * (i / SIDE));
        pixels[3 * i + 2] = (uint8_t)(4 * (i % SIDE ^ i / SIDE));
    }
    if (an_infer_layer_images(model, &image, 1, layer, AN_POINT_ACTIVATION, out, size) !=
        AN_OK)
        fail("probe");
    return out;
}

/* --- index files ------------------------------------------------------------------- */

static void make_index(an_context *ctx, char **names)
{
    uint8_t *pixels;
    an_image images[AT_ONCE];
    an_pack_info info;
    an_pack *pack;
    an_model *model;
    vectors v;
    progress p;
    size_t bytes;
    uint64_t first;
    uint32_t count, i;

    output_check("", names[2]);
    output_apart(names[2], names[0]);
    output_lock(names[2]);
    if (device_load(&place, &model, ctx, names[0]) != AN_OK ||
        an_activation_count(model, layer, AN_POINT_ACTIVATION, &v.size, NULL) != AN_OK)
        fail(names[0]);
    pack = open_pack(ctx, names[1], &info);
    v.count = (size_t)info.count;
    check_pack(pack, model, names[1]);
    v.probe = probe(model, v.size);
    v.values = allocate(v.count * v.size * sizeof *v.values);
    bytes = (size_t)3 * info.side * info.side;
    pixels = allocate(AT_ONCE * bytes);
    p = progress_start();
    for (first = 0; first < info.count; first += count) {
        count = info.count - first < AT_ONCE ? (uint32_t)(info.count - first) : AT_ONCE;
        for (i = 0; i < count; i++) {
            uint8_t *to = pixels + i * bytes;

            if (an_pack_read(pack, first + i, to, bytes, NULL) != AN_OK) fail(names[1]);
            images[i] = image_of(to, info.side, info.side);
        }
        if (an_infer_layer_images(model, images, count, layer, AN_POINT_ACTIVATION,
                                  v.values + first * v.size,
                                  (v.count - first) * v.size) != AN_OK)
            fail(names[0]);
        p.done += count;
        progress_show(&p, "indexing", (double)info.count - p.done);
    }
    progress_clear(&p);
    vectors_write(&v, names[2]);
    printf("%zu pictures, %zu numbers of %s each: %s\n", v.count, v.size, layer,
           names[2]);
    free(pixels);
    vectors_free(&v);
    an_pack_destroy(pack);
    an_model_destroy(model);
}

/* --- a sheet ----------------------------------------------------------------------- */

enum { CELL = 128, GAP = 6, LABEL = 18 };

static void draw_one(canvas *page, const an_pack *pack, uint32_t side, size_t index,
                     double x, double y)
{
    const size_t bytes = (size_t)3 * side * side;
    uint8_t *pixels = allocate(bytes);
    char number[24];
    const char *name;
    int32_t label;

    if (an_pack_read(pack, index, pixels, bytes, &label) != AN_OK) fail("pack");
    name = an_pack_class_name(pack, (uint32_t)label);
    snprintf(number, sizeof number, "class %ld", (long)label);
    canvas_picture(page, x, y, CELL, CELL, pixels, side, side);
    canvas_text(page, x + CELL / 2.0, y + CELL + 13, 11, CANVAS_CENTRE, CELL, 0x404040,
                name != NULL ? name : number);
    free(pixels);
}

static void draw_query(canvas *page, const picture *p, uint32_t side, const char *name,
                       double y)
{
    const size_t bytes = (size_t)3 * side * side;
    uint8_t *pixels = allocate(bytes);
    an_image image = image_of(p->pixels, p->width, p->height);
    const char *base = strrchr(name, '/');

    if (an_image_fit(&image, side, pixels, bytes) != AN_OK) fail(name);
    canvas_picture(page, GAP, y, CELL, CELL, pixels, side, side);
    canvas_frame(page, GAP, y, CELL, CELL, 2, 0xd55e00);
    canvas_text(page, GAP + CELL / 2.0, y + CELL + 13, 11, CANVAS_CENTRE, CELL, 0xd55e00,
                base != NULL ? base + 1 : name);
    free(pixels);
}

static void check_index(const vectors *v, an_model *model, size_t size, char **names)
{
    float *here;

    if (size != v->size)
        usage_error("%s: vectors of %zu numbers, %s has %zu", names[0], v->size, layer,
                    size);
    here = probe(model, size);
    if (!vectors_same_probe(v, here))
        usage_error("%s: is of another model or layer than %s of %s", names[0], layer,
                    names[1]);
    free(here);
}

static void query(an_context *ctx, char **names, int count)
{
    double row = CELL + LABEL + GAP;
    size_t *order = allocate(nearest * sizeof *order), i;
    an_pack_info info;
    an_pack *pack = open_pack(ctx, names[2], &info);
    vectors v = vectors_read(names[0], info.count);
    size_t size = 0;
    float *one = allocate(v.size * sizeof *one);
    canvas *page;
    an_model *model;
    int q;

    for (q = 0; q < count + 4; q++)
        if (q != 3) output_apart(names[3], names[q]);
    if (device_load(&place, &model, ctx, names[1]) != AN_OK ||
        an_activation_count(model, layer, AN_POINT_ACTIVATION, &size, NULL) != AN_OK)
        fail(names[1]);
    check_index(&v, model, size, names);
    page = canvas_make((double)(nearest + 1) * (CELL + GAP) + 3 * GAP, count * row + GAP);
    for (q = 0; q < count; q++) {
        const char *error, *name = names[4 + q];
        double y = GAP + q * row;
        an_image image;
        picture p;

        error = picture_read(&p, name);
        if (error != NULL) usage_error("%s: %s", name, error);
        image = image_of(p.pixels, p.width, p.height);
        if (an_infer_layer_images(model, &image, 1, layer, AN_POINT_ACTIVATION, one,
                                  size) != AN_OK)
            fail(name);
        draw_query(page, &p, info.side, name, y);
        vectors_nearest(&v, one, v.count, order, nearest);
        for (i = 0; i < nearest && i < v.count; i++)
            draw_one(page, pack, info.side, order[i],
                     3 * GAP + (double)(i + 1) * (CELL + GAP), y);
        picture_free(&p);
    }
    if (canvas_write_png(page, names[3]) != 0) {
        perror(names[3]);
        exit(1);
    }
    printf("%d pictures, the %lu nearest of each: %s\n", count, nearest, names[3]);
    canvas_free(page);
    free(order);
    free(one);
    vectors_free(&v);
    an_pack_destroy(pack);
    an_model_destroy(model);
}

/* --- a score ----------------------------------------------------------------------- */

/* Share of the nearest of each picture, itself left out, that are of its class. */
static double share_of_class(const vectors *v, const an_pack *pack, const char *what)
{
    size_t *order = allocate(nearest * sizeof *order), i, k, same = 0;
    progress p = progress_start();

    for (i = 0; i < v->count; i++) {
        int32_t label, other;

        vectors_nearest(v, v->values + i * v->size, i, order, nearest);
        if (an_pack_read(pack, i, NULL, 0, &label) != AN_OK) fail("pack");
        for (k = 0; k < nearest; k++) {
            if (an_pack_read(pack, order[k], NULL, 0, &other) != AN_OK) fail("pack");
            same += label == other;
        }
        p.done++;
        progress_show(&p, what, (double)(v->count - i));
    }
    progress_clear(&p);
    free(order);
    return (double)same / (double)(v->count * nearest);
}

static vectors raw_pixels(const an_pack *pack, const an_pack_info *info)
{
    uint8_t *pixels = allocate((size_t)3 * info->side * info->side);
    vectors v;
    size_t i, j;

    v.probe = NULL;
    v.count = (size_t)info->count;
    v.size = (size_t)3 * info->side * info->side;
    v.values = allocate(v.count * v.size * sizeof *v.values);
    for (i = 0; i < v.count; i++) {
        if (an_pack_read(pack, i, pixels, v.size, NULL) != AN_OK) fail("pack");
        for (j = 0; j < v.size; j++) v.values[i * v.size + j] = pixels[j];
    }
    free(pixels);
    return v;
}

static void score(an_context *ctx, char **names)
{
    an_pack_info info;
    an_pack *pack = open_pack(ctx, names[1], &info);
    vectors v = vectors_read(names[0], info.count);

    if (info.count <= nearest)
        usage_error("--nearest %lu: the pack has no more", nearest);
    printf("of the %lu nearest by the index, %.1f %% are of the picture's own class\n",
           nearest, 100 * share_of_class(&v, pack, "index"));
    vectors_free(&v);
    v = raw_pixels(pack, &info);
    printf("of the %lu nearest by raw pixels, %.1f %%\n", nearest,
           100 * share_of_class(&v, pack, "pixels"));
    vectors_free(&v);
    an_pack_destroy(pack);
}

int main(int argc, char **argv)
{
    int operands = options_parse(table, argc, argv,
                                 "[options] index MODEL PACK INDEX | query INDEX MODEL "
                                 "PACK OUT.png PICTURE... | score INDEX PACK");
    an_context_config context;
    an_context *ctx;

    if (operands < 1) usage_error("index, query or score is wanted");
    an_context_config_init(&context, sizeof context);
    device_context_config(&place, &context);
    if (an_context_create(&ctx, &context) != AN_OK) fail("context");
    if (strcmp(argv[1], "index") == 0 && operands == 4)
        make_index(ctx, argv + 2);
    else if (strcmp(argv[1], "query") == 0 && operands >= 6)
        query(ctx, argv + 2, operands - 5);
    else if (strcmp(argv[1], "score") == 0 && operands == 3)
        score(ctx, argv + 2);
    else
        usage_error("%s: must be index, query or score, each with its operands", argv[1]);
    an_context_destroy(ctx);
    return 0;
}
