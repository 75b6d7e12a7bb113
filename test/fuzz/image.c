/*
 * image.c - a picture of any size, pitch and content is fitted, warped and made a model's
 * input: a status, or an output that is whole, in range and nowhere else.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { MOST = 1 << 16, GUARD = 16 }; /* bytes of a picture; bytes behind an output */

typedef struct picture {
    FUZZ_ROOM(an_image) image;
    uint8_t *pixels; /* as many as the image says, and no more */
    int is_plain;    /* all are of one colour */
} picture;

static uint32_t size_choose(fuzz_input *in, int large)
{
    static const uint32_t sizes[] = {0, 1, 2, 3, 5, 8, 63, 64, 65, 1024, 1025, 32768};

    if (fuzz_below(in, 4) == 0) return sizes[fuzz_below(in, large ? 12 : 9)];
    return 1 + fuzz_below(in, large ? 256 : 96);
}

static void picture_choose(picture *p, fuzz_input *in)
{
    an_image *image = &p->image.object;
    uint32_t way = fuzz_below(in, 16);
    size_t row, bytes, i;
    fuzz_input from;

    memset(p, 0, sizeof *p);
    an_image_init(image, sizeof *image);
    image->width = size_choose(in, 1);
    image->height = size_choose(in, 1);
    row = (size_t)3 * image->width;
    if (way & 1) image->row_bytes = row + fuzz_below(in, 32);
    if (way == 2) image->row_bytes = row > 0 ? row - 1 : 0;
    if (way == 4) image->size = fuzz_below(in, 64);
    if (way == 6) image->size = sizeof p->image;
    if (image->row_bytes > row) row = image->row_bytes;
    bytes = row > 0 && image->height > 0
                ? row * (image->height - 1) + (size_t)3 * image->width
                : 1;
    if (bytes > MOST) { /* wide or tall, but not both */
        if (image->width > image->height)
            image->height = 1;
        else
            image->width = 1;
        image->row_bytes = 0;
        bytes = (size_t)3 * image->width * image->height;
    }
    p->pixels = malloc(bytes);
    if (p->pixels == NULL) fuzz_fail("no memory for a picture");
    p->is_plain = in->left < 8;
    from = *in;
    for (i = 0; i < bytes; i++) {
        if (from.left == 0) from = *in;
        p->pixels[i] = p->is_plain ? (uint8_t)way * 17 : (uint8_t)fuzz_take(&from, 1);
    }
    image->pixels = way == 8 ? NULL : p->pixels;
}

/* Fitted again a picture stays as it is; of one colour it keeps that. */
static void check_fitted(const picture *p, uint32_t side, const uint8_t *out)
{
    size_t bytes = (size_t)3 * side * side, i;
    uint8_t *again = malloc(bytes);
    an_image image;

    if (again == NULL) return;
    an_image_init(&image, sizeof image);
    image.pixels = out;
    image.width = image.height = side;
    FUZZ_CALL(an_image_fit(&image, side, again, bytes), 0);
    FUZZ_EXPECT(memcmp(again, out, bytes) == 0, "fitted again it is another");
    for (i = 0; p->is_plain && i < bytes; i++)
        FUZZ_EXPECT(out[i] == p->pixels[0], "byte %zu of one colour is %u, not %u", i,
                    out[i], p->pixels[0]);
    free(again);
}

static void try_fit(const picture *p, fuzz_input *in)
{
    const uint32_t may = FUZZ_MAY(ARGUMENT) | FUZZ_MAY(VERSION);
    int warp = (int)fuzz_below(in, 2), less = fuzz_below(in, 16) == 0;
    uint32_t side = size_choose(in, 0);
    size_t bytes = (size_t)3 * side * side, i;
    uint8_t *out = malloc(bytes + GUARD);
    an_status status;

    if (out == NULL) return;
    memset(out, 0x5a, bytes + GUARD);
    if (less && bytes > 0) bytes--;
    status = warp ? FUZZ_CALL(an_image_warp(&p->image.object, side, out, bytes), may)
                  : FUZZ_CALL(an_image_fit(&p->image.object, side, out, bytes), may);
    for (i = status == AN_OK ? bytes : 0; i < bytes + GUARD; i++)
        FUZZ_EXPECT(out[i] == 0x5a, "byte %zu was written, and is none of the output", i);
    if (status == AN_OK) check_fitted(p, side, out);
    free(out);
}

/* --- a model's input --------------------------------------------------------------- */

static an_model *model_choose(an_context *ctx, fuzz_input *in, int *has_mean)
{
    an_model *model = fuzz_model(ctx);
    an_preprocessing p;
    float *mean;
    size_t count;

    an_preprocessing_init(&p, sizeof p);
    FUZZ_CALL(an_model_get_preprocessing(model, &p), 0);
    p.side = FUZZ_SIDE + fuzz_below(in, 32);
    p.bgr = fuzz_below(in, 2);
    p.fit = (an_fit)fuzz_below(in, 2);
    p.mean_moves = fuzz_below(in, 2);
    p.scale[0] = 0.25f;
    FUZZ_CALL(an_model_set_preprocessing(model, &p), 0);
    *has_mean = fuzz_below(in, 3) == 0;
    count = (size_t)3 * p.side * p.side;
    mean = calloc(count, sizeof *mean);
    if (*has_mean && mean != NULL) {
        mean[count / 2] = 100;
        FUZZ_CALL(an_model_set_mean_image(model, mean, count), 0);
    }
    free(mean);
    return model;
}

/* A mirrored view is the same one with its columns the other way round. */
static void check_mirrored(const float *a, const float *b)
{
    size_t y, x;

    for (y = 0; y < 3 * FUZZ_SIDE; y++)
        for (x = 0; x < FUZZ_SIDE; x++)
            FUZZ_EXPECT(a[y * FUZZ_SIDE + x] == b[y * FUZZ_SIDE + FUZZ_SIDE - 1 - x],
                        "a mirrored view has another number");
}

static void try_views(an_context *ctx, const picture *p, fuzz_input *in)
{
    const uint32_t may = FUZZ_MAY(ARGUMENT) | FUZZ_MAY(VERSION);
    static float views[2][FUZZ_PIXELS];
    int has_mean, i;
    an_model *model = model_choose(ctx, in, &has_mean);
    uint32_t view = fuzz_below(in, 12);
    an_status status = FUZZ_CALL(
        an_preprocess(model, &p->image.object, view, views[0], FUZZ_PIXELS), may);

    FUZZ_EXPECT(status != AN_OK || view < 10, "there is a view %u", view);
    for (i = 0; status == AN_OK && i < FUZZ_PIXELS; i++)
        FUZZ_EXPECT(isfinite(views[0][i]), "number %d of a view is none", i);
    if (status == AN_OK && view < 5 && !has_mean) {
        FUZZ_CALL(an_preprocess(model, &p->image.object, view + AN_VIEW_MIRRORED,
                                views[1], FUZZ_PIXELS),
                  0);
        check_mirrored(views[0], views[1]);
    }
    an_model_destroy(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_memory memory = {(size_t)32 << 20, 0, 0, 0};
    static an_context *ctx;
    fuzz_input in = {data, size};
    uint32_t what = fuzz_below(&in, 4);
    size_t before;
    picture p;

    if (ctx == NULL) ctx = fuzz_context(&memory);
    before = memory.blocks;
    if (what > 0) {
        fuzz_input first = fuzz_split(&in, 4);

        picture_choose(&p, &in);
        try_fit(&p, &first);
    } else {
        fuzz_input first = fuzz_split(&in, 8);

        picture_choose(&p, &in);
        try_views(ctx, &p, &first);
    }
    free(p.pixels);
    FUZZ_EXPECT(memory.blocks == before, "%zu blocks are held", memory.blocks - before);
    return 0;
}
