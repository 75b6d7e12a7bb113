/*
 * test_rows.c - rows of pictures that are further apart than their pixels, and arrays of
 * pictures of another program's size: every call that takes pictures gives the same bits.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "gallery.h"
#include "small.h"
#include "test.h"

enum { FIVE = 5, SIDE = 20, SIZE = 17, NUMBERS = 3 * SIZE * SIZE, MOST = 1 << 17 };

/* --- the calls that take pictures -------------------------------------------------- */

/* What a call makes of five pictures, as floats; *count says how many. */
typedef an_status call_fn(gallery *g, const an_image *images, float *out, size_t *count);

/* Picture i of an array whose structs are as long as they say. */
static const an_image *nth(const an_image *images, uint32_t i)
{
    return (const an_image *)(const void *)((const char *)images + i * images->size);
}

static an_status each_fitted(an_status (*fit)(const an_image *, uint32_t, uint8_t *,
                                              size_t),
                             const an_image *images, float *out, size_t *count)
{
    uint8_t pixels[3 * SIDE * SIDE];
    an_status status = AN_OK;
    uint32_t i, k;

    for (i = 0; i < FIVE && status == AN_OK; i++) {
        status = fit(nth(images, i), SIDE, pixels, sizeof pixels);
        for (k = 0; k < sizeof pixels && status == AN_OK; k++)
            out[(*count)++] = pixels[k];
    }
    return status;
}

static an_status fit(gallery *g, const an_image *images, float *out, size_t *count)
{
    (void)g;
    return each_fitted(an_image_fit, images, out, count);
}

static an_status warp(gallery *g, const an_image *images, float *out, size_t *count)
{
    (void)g;
    return each_fitted(an_image_warp, images, out, count);
}

static an_status preprocess(gallery *g, const an_image *images, float *out, size_t *count)
{
    an_status status = AN_OK;
    uint32_t i;

    for (i = 0; i < 10 && status == AN_OK; i++, *count += NUMBERS)
        status = an_preprocess(g->model, nth(images, i % FIVE), i, out + *count, ENOUGH);
    return status;
}

static an_status infer(gallery *g, const an_image *images, float *out, size_t *count)
{
    *count = FIVE * 10;
    return an_infer_images(g->model, images, FIVE, out, ENOUGH);
}

static an_status one_view(gallery *g, const an_image *images, float *out, size_t *count)
{
    *count = FIVE * 10;
    return an_infer_views(g->model, images, FIVE, 1, out, ENOUGH);
}

static an_status ten_views(gallery *g, const an_image *images, float *out, size_t *count)
{
    *count = FIVE * 10;
    return an_infer_views(g->model, images, FIVE, 10, out, ENOUGH);
}

static an_status layer(gallery *g, const an_image *images, float *out, size_t *count)
{
    expect_ok(an_activation_count(g->model, "conv1", AN_POINT_LINEAR, count, NULL));
    *count *= FIVE;
    return an_infer_layer_images(g->model, images, FIVE, "conv1", AN_POINT_LINEAR, out,
                                 ENOUGH);
}

static const int32_t labels[FIVE] = {3, 1, 4, 1, 5};

static an_status evaluate(gallery *g, const an_image *images, float *out, size_t *count)
{
    an_evaluation e;
    an_status status;

    an_evaluation_init(&e, sizeof e);
    status = an_evaluate_images(g->model, images, labels, FIVE, &e);
    if (status != AN_OK) return status;
    *count = 3;
    out[0] = (float)e.top1;
    out[1] = (float)e.top5;
    out[2] = (float)e.loss;
    return AN_OK;
}

static void parameters(const gallery *g, float *out, size_t *count)
{
    uint32_t i;

    for (i = 0; i < g->model->net.plan->param_count; i++) {
        size_t numbers = g->model->net.plan->params[i].count;

        expect_ok(an_parameter_get(g->model, i, out + *count, numbers));
        *count += numbers;
    }
}

/* In pieces of two, so that a piece's pictures are not the first of the array. */
static an_status train(gallery *g, const an_image *images, float *out, size_t *count)
{
    an_trainer_config training = small_training(FIVE);
    an_trainer *trainer = NULL;
    an_status status;

    training.micro_batch = 2;
    expect_ok(an_trainer_create(&trainer, g->model, &training));
    status = an_train_step_images(trainer, images, labels, FIVE, NULL);
    an_trainer_destroy(trainer);
    if (status == AN_OK) parameters(g, out, count);
    return status;
}

static const struct {
    const char *name;
    call_fn *call;
} calls[] = {{"an_image_fit", fit},
             {"an_image_warp", warp},
             {"an_preprocess", preprocess},
             {"an_infer_images", infer},
             {"an_infer_views of one", one_view},
             {"an_infer_views of ten", ten_views},
             {"an_infer_layer_images", layer},
             {"an_evaluate_images", evaluate},
             {"an_train_step_images", train}};

enum { CALLS = sizeof calls / sizeof calls[0] };

/* Batches of a loader, and what a step on them makes of the parameters: beside the
 * calls above, the way that pictures of a source take. */
static void load(gallery *g, uint32_t keep_uint8, float *out, size_t *count)
{
    an_loader_config c = gallery_loading(2, 2);
    an_trainer_config training = small_training(FIVE);
    an_trainer *trainer = NULL;
    an_loader *loader;
    an_batch batch;

    c.keep_uint8 = keep_uint8;
    expect_ok(an_trainer_create(&trainer, g->model, &training));
    loader = gallery_loader(g, &c);
    do {
        batch = gallery_next(loader);
        if (batch.images != NULL) {
            memcpy(out + *count, batch.images, batch.count * NUMBERS * sizeof *out);
            *count += batch.count * NUMBERS;
        }
        expect_ok(an_train_step_batch(trainer, &batch, NULL));
    } while (!batch.last);
    parameters(g, out, count);
    an_loader_destroy(loader);
    an_trainer_destroy(trainer);
}

/* --- rows that are apart ----------------------------------------------------------- */

/* Pictures that fit as they are, wide and tall ones; cut and warped. */
static gallery_shape shape_of(int i)
{
    gallery_shape shape = square_shape(FIVE, SIDE, SIZE);

    if (i % 3 == 1) shape.width = 47, shape.height = 23;
    if (i % 3 == 2) shape.width = 13, shape.height = 31;
    return shape;
}

static void open_fit(gallery *g, const gallery_shape *shape, uint32_t fit_by)
{
    an_preprocessing p;

    gallery_open(g, shape);
    p = gallery_preprocessing(g);
    p.fit = fit_by;
    gallery_set(g, &p);
}

/* The same pictures with `apart` bytes of `poison` between their rows. */
static void open_padded(gallery *g, const gallery *tight, size_t apart, int poison)
{
    gallery_shape shape = tight->shape;
    size_t row = (size_t)3 * shape.width, i, y;

    shape.row_bytes = row + apart;
    open_fit(g, &shape, gallery_preprocessing(tight).fit);
    memset(g->pixels, poison, FIVE * g->picture);
    for (i = 0; i < FIVE; i++)
        for (y = 0; y < shape.height; y++)
            memcpy(g->pixels + i * g->picture + y * shape.row_bytes,
                   tight->pixels + i * tight->picture + y * row, row);
}

static void images_of(const gallery *g, an_image images[FIVE])
{
    uint32_t i;

    for (i = 0; i < FIVE; i++) images[i] = gallery_image(g, i);
}

static const struct {
    size_t apart;
    int poison;
} paddings[] = {{0, 0}, {1, 0xff}, {29, 0}};

enum { PADDINGS = sizeof paddings / sizeof paddings[0] };

/* The double of a device takes its time: of calls that go the same way one is enough
 * there. */
static int is_tried(size_t call, const gallery_shape *shape)
{
    return shape->devices == NULL || call >= CALLS || calls[call].call == infer ||
           calls[call].call == train;
}

/* Every call, and a loader, on both. Each is given a model of its own: a step changes
 * it. */
static void same_by_calls(const gallery_shape *shape, uint32_t fit_by, size_t padding)
{
    float *want = malloc(MOST * sizeof *want), *got = malloc(MOST * sizeof *got);
    size_t apart = paddings[padding].apart, i;

    for (i = 0; i < CALLS + 2; i++) { /* a loader of floats, and one for steps */
        const char *name = i < CALLS ? calls[i].name : "a loader";
        size_t wanted = 0, count = 0;
        an_image images[FIVE];
        gallery tight, padded;

        if (!is_tried(i, shape)) continue;
        open_fit(&tight, shape, fit_by);
        open_padded(&padded, &tight, apart, paddings[padding].poison);
        if (i < CALLS) {
            images_of(&tight, images);
            expect_ok(calls[i].call(&tight, images, want, &wanted));
            images_of(&padded, images);
            expect_ok(calls[i].call(&padded, images, got, &count));
        } else {
            load(&tight, i == CALLS, want, &wanted);
            load(&padded, i == CALLS, got, &count);
        }
        expect_count(count, wanted, "%s: numbers", name);
        expect_floats(got, want, count, 0,
                      "%s: %u x %u, fit %u, %zu bytes between rows, device %s", name,
                      shape->width, shape->height, fit_by, apart,
                      shape->devices != NULL ? shape->devices : "cpu");
        gallery_close(&tight);
        gallery_close(&padded);
    }
    free(want);
    free(got);
}

START_TEST(bytes_between_rows_are_never_read)
{
    gallery_shape shape = shape_of(_i);
    size_t i;

    for (i = 0; i < PADDINGS; i++) same_by_calls(&shape, (uint32_t)_i / 3, i);
}
END_TEST

/* Where a device is given crops as bytes. */
START_TEST(bytes_between_rows_reach_no_device)
{
    gallery_shape shape = shape_of(_i);

    shape.devices = "cuda:0";
    same_by_calls(&shape, AN_FIT_CROP, 2);
}
END_TEST

/* --- structs of another length ----------------------------------------------------- */

typedef struct long_image { /* that of a newer program */
    an_image now;
    uint64_t later[3];
} long_image;

static void long_images_of(const gallery *g, long_image *images, uint32_t count)
{
    uint32_t i;

    memset(images, 0, count * sizeof *images);
    for (i = 0; i < count; i++) {
        images[i].now = gallery_image(g, i);
        images[i].now.size = sizeof images[i];
    }
}

START_TEST(longer_structs_are_the_same_pictures)
{
    float *want = malloc(MOST * sizeof *want), *got = malloc(MOST * sizeof *got);
    gallery_shape shape = shape_of(1);
    size_t i;

    if (_i == 1) shape.devices = "cuda:0";
    for (i = 0; i < CALLS; i++) {
        size_t wanted = 0, count = 0;
        long_image longer[FIVE];
        an_image images[FIVE];
        gallery one, two;

        if (!is_tried(i, &shape)) continue;
        gallery_open(&one, &shape);
        gallery_open(&two, &shape);
        images_of(&one, images);
        long_images_of(&two, longer, FIVE);
        expect_ok(calls[i].call(&one, images, want, &wanted));
        expect_ok(calls[i].call(&two, &longer[0].now, got, &count));
        expect_floats(got, want, wanted, 0, "%s", calls[i].name);
        longer[2].later[2] = 1;
        expect_refused(calls[i].call(&two, &longer[0].now, got, &count), AN_ERROR_VERSION,
                       "image");
        gallery_close(&one);
        gallery_close(&two);
    }
    free(want);
    free(got);
}
END_TEST

/* More than one pass: the second begins with picture 128. */
START_TEST(longer_structs_go_on_in_the_next_pass)
{
    enum { MANY = 131 };
    gallery_shape shape = square_shape(MANY, SIZE, SIZE);
    float want[MANY * 10], got[MANY * 10];
    long_image longer[MANY];
    an_image images[MANY];
    gallery g;
    uint32_t i;

    gallery_open(&g, &shape);
    for (i = 0; i < MANY; i++) images[i] = gallery_image(&g, i);
    long_images_of(&g, longer, MANY);
    expect_ok(an_infer_images(g.model, images, MANY, want, ENOUGH));
    expect_ok(an_infer_images(g.model, &longer[0].now, MANY, got, ENOUGH));
    expect_floats(got, want, MANY * 10, 0, "%u pictures", MANY);
    gallery_close(&g);
}
END_TEST

/* --- pictures that cannot be ------------------------------------------------------- */

enum { NO_PIXELS, NARROW, WIDE, FLAT, HIGH, CLOSE, SHORT, FAULTS };

static const char *const fault_words[FAULTS] = {
    "pixels is null",  "width is 0",   "width is 32769", "height is 0",
    "height is 32769", "row_bytes is", "size is"};

static void spoil(an_image *image, int fault)
{
    if (fault == NO_PIXELS) image->pixels = NULL;
    if (fault == NARROW) image->width = 0;
    if (fault == WIDE) image->width = 32769, image->row_bytes = 0;
    if (fault == FLAT) image->height = 0;
    if (fault == HIGH) image->height = 32769;
    if (fault == CLOSE) image->row_bytes = (size_t)3 * image->width - 1;
    if (fault == SHORT) image->size = sizeof *image - 8;
}

/* Every call names what is wrong with the third picture, and has written nothing that
 * those before it do not explain; rows of exactly 3 * width bytes are none of it. */
START_TEST(pictures_that_cannot_be_are_refused_by_every_call)
{
    float *out = malloc(MOST * sizeof *out), *before = malloc(MOST * sizeof *out);
    gallery_shape shape = shape_of(0);
    an_image images[FIVE];
    size_t i, count = 0;
    int fault;
    gallery g;

    gallery_open(&g, &shape);
    noise_floats(before, MOST, 4, 1);
    for (i = 0; i < CALLS; i++) {
        images_of(&g, images);
        images[2].row_bytes = (size_t)3 * images[2].width;
        count = 0;
        expect_ok(calls[i].call(&g, images, out, &count));
        for (fault = 0; fault < FAULTS; fault++) {
            images_of(&g, images);
            /* nth() goes by the first one's size, which is right. */
            spoil(&images[2], fault);
            memcpy(out, before, MOST * sizeof *out);
            count = 0;
            expect_refused(calls[i].call(&g, images, out, &count), AN_ERROR_ARGUMENT,
                           fault_words[fault]);
            if (i >= 3) /* those of all pictures at once */
                expect_floats(out, before, MOST, 0, "%s: what was there", calls[i].name);
        }
    }
    free(out);
    free(before);
    gallery_close(&g);
}
END_TEST

START_TEST(sizes_within_an_array_are_one)
{
    gallery_shape shape = shape_of(0);
    an_image images[FIVE + 1];
    long_image longer[FIVE];
    float out[FIVE * 10];
    gallery g;

    gallery_open(&g, &shape);
    long_images_of(&g, longer, FIVE);
    longer[4].now.size = sizeof(an_image);
    expect_refused(an_infer_images(g.model, &longer[0].now, FIVE, out, ENOUGH),
                   AN_ERROR_ARGUMENT, "images[4].size");
    memset(images, 0, sizeof images);
    images_of(&g, images);
    images[4].size += 8; /* behind the last is nothing but zeros */
    expect_refused(an_infer_images(g.model, images, FIVE, out, ENOUGH), AN_ERROR_ARGUMENT,
                   "images[4].size");
    gallery_close(&g);
}
END_TEST

START_TEST(sides_have_limits)
{
    an_status (*const fits[2])(const an_image *, uint32_t, uint8_t *,
                               size_t) = {an_image_fit, an_image_warp};
    uint8_t pixels[3 * 2] = {9, 8, 7, 6, 5, 4}, one[3];
    uint8_t *largest = malloc((size_t)3 * 2048 * 2048);
    an_image image;
    int i;

    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = 2;
    image.height = 1;
    for (i = 0; i < 2; i++) {
        expect_refused(fits[i](&image, 0, largest, ENOUGH), AN_ERROR_ARGUMENT,
                       "side is 0");
        expect_refused(fits[i](&image, 2049, largest, ENOUGH), AN_ERROR_ARGUMENT,
                       "side is 2049");
        expect_ok(fits[i](&image, 1, one, ENOUGH));
        expect_ok(fits[i](&image, 2048, largest, ENOUGH));
    }
    expect_bytes(largest, pixels, 3, "the first pixel of what was warped");
    expect_bytes(largest + (size_t)3 * 2048 * 2048 - 3, pixels + 3, 3, "and the last");
    free(largest);
}
END_TEST

Suite *rows_suite(void)
{
    Suite *suite = suite_create("rows");
    TCase *tc = tcase_create("rows");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, bytes_between_rows_are_never_read, 0, 6);
    tcase_add_loop_test(tc, bytes_between_rows_reach_no_device, 0, 2);
    tcase_add_loop_test(tc, longer_structs_are_the_same_pictures, 0, 2);
    tcase_add_test(tc, longer_structs_go_on_in_the_next_pass);
    tcase_add_test(tc, pictures_that_cannot_be_are_refused_by_every_call);
    tcase_add_test(tc, sizes_within_an_array_are_one);
    tcase_add_test(tc, sides_have_limits);
    suite_add_tcase(suite, tc);
    return suite;
}
