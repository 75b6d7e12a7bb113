/*
 * test_data_limits.c - as test_limits.c, the fields of what pictures come in:
 * preprocessing, images, packs, loaders and their sources.
 */
#include <check.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "expect.h"
#include "test.h"
#include "world.h"

static world w;

static void setup(void)
{
    world_open(&w, NULL);
}

static void teardown(void)
{
    world_close(&w);
}

/* --- an_preprocessing -------------------------------------------------------------- */

static an_preprocessing input_base(void)
{
    an_preprocessing p;

    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_get_preprocessing(w.free_model, &p));
    return p;
}

/* What is refused changes nothing; what is taken is what comes back. */
static an_status input_try(const an_preprocessing *p)
{
    const an_preprocessing before = input_base();
    an_status status = an_model_set_preprocessing(w.free_model, p);
    an_preprocessing after = input_base();

    expect_bytes(&after, status == AN_OK ? p : &before, sizeof after, "preprocessing");
    expect_ok(an_model_set_preprocessing(w.free_model, &before));
    return status;
}

#define GOOD(field, value) TAKES(an_preprocessing, input_base, input_try, field, value)
#define BAD(field, value, words)                                                         \
    REFUSES(an_preprocessing, input_base, input_try, field, value, words)

START_TEST(preprocessings_have_limits)
{
    int i, j;

    BAD(side, WORLD_SIDE - 1, "preprocessing.side is 31: must be 32 to 2048");
    GOOD(side, WORLD_SIDE);
    GOOD(side, 2048);
    BAD(side, 2049, "preprocessing.side is 2049: must be 32 to 2048");
    GOOD(bgr, 1);
    BAD(bgr, 2, "preprocessing.bgr is 2: must be 0 or 1");
    GOOD(fit, AN_FIT_WARP);
    BAD(fit, 2, "preprocessing.fit is 2: not one of an_fit");
    GOOD(mean_moves, 1);
    BAD(mean_moves, 2, "preprocessing.mean_moves is 2: must be 0 or 1");
    for (i = 0; i < 3; i++) {
        GOOD(mean[i], -FLT_MAX);
        BAD(mean[i], NAN,
            i == 0   ? "mean[0]"
            : i == 1 ? "mean[1]"
                     : "mean[2] is not finite");
        BAD(mean[i], -INFINITY, "is not finite");
        GOOD(scale[i], -FLT_MIN);
        BAD(scale[i], 0, i == 0 ? "scale[0] is 0" : i == 1 ? "scale[1]" : "scale[2]");
        BAD(scale[i], INFINITY, "must be finite and not 0");
        BAD(scale[i], NAN, "must be finite and not 0");
        GOOD(colour_deviation[i], 0);
        GOOD(colour_deviation[i], FLT_MAX);
        BAD(colour_deviation[i], -FLT_MIN, "must be finite, 0 or more");
        BAD(colour_deviation[i], INFINITY, i == 2 ? "colour_deviation[2] is inf" : "inf");
        for (j = 0; j < 3; j++) {
            GOOD(colour_axis[i][j], -1);
            BAD(colour_axis[i][j], NAN,
                i == 1 && j == 2 ? "colour_axis[1][2] is not finite" : "not finite");
        }
    }
}
END_TEST
#undef GOOD
#undef BAD

/* --- an_image ---------------------------------------------------------------------- */

static an_image image_base(void)
{
    return w.image;
}

/* Every function that takes a picture; a wide or high one is of one row or column. */
static an_status image_try(const an_image *image)
{
    static float out[10 * WORLD_PICTURE];
    static uint8_t fitted[WORLD_PICTURE];
    an_evaluation sum = {.size = sizeof sum};
    const an_status wanted = an_image_fit(image, WORLD_SIDE, fitted, ENOUGH);
    int same =
        an_image_warp(image, WORLD_SIDE, fitted, ENOUGH) == wanted &&
        an_preprocess(w.model, image, 0, out, ENOUGH) == wanted &&
        an_infer_images(w.model, image, 1, out, ENOUGH) == wanted &&
        an_infer_views(w.model, image, 1, 1, out, ENOUGH) == wanted &&
        an_infer_layer_images(w.model, image, 1, "conv1", 1, out, ENOUGH) == wanted &&
        an_evaluate_images(w.model, image, w.labels, 1, &sum) == wanted &&
        an_train_step_images(w.trainer, image, w.labels, 1, NULL) == wanted;

    ck_assert_msg(same, "one takes the picture, another does not: %s",
                  an_error_message());
    return wanted;
}

static uint8_t line[32768 * 3];

static an_image line_base(void)
{
    an_image image = w.image;

    image.pixels = line;
    image.height = 1;
    return image;
}

static an_image column_base(void)
{
    an_image image = line_base();

    image.width = 1;
    return image;
}

#define BAD(field, value, words)                                                         \
    REFUSES(an_image, image_base, image_try, field, value, words)

START_TEST(pictures_have_limits)
{
    BAD(pixels, NULL, "image.pixels is null");
    BAD(width, 0, "image.width is 0: must be 1 to 32768");
    TAKES(an_image, line_base, image_try, width, 1);
    TAKES(an_image, line_base, image_try, width, 32768);
    BAD(width, 32769, "image.width is 32769: must be 1 to 32768");
    BAD(height, 0, "image.height is 0: must be 1 to 32768");
    TAKES(an_image, column_base, image_try, height, 32768);
    BAD(height, 32769, "image.height is 32769: must be 1 to 32768");
    TAKES(an_image, image_base, image_try, row_bytes, 0);
    TAKES(an_image, image_base, image_try, row_bytes, 3 * WORLD_SIDE);
    BAD(row_bytes, 3 * WORLD_SIDE - 1, "image.row_bytes is 95: less than 3 * width, 96");
    BAD(row_bytes, 1, "image.row_bytes is 1: less than");
}
END_TEST
#undef BAD

/* --- an_pack_writer_config --------------------------------------------------------- */

static an_pack_writer_config packing_base(void)
{
    return packing_config(1 << 20, 0);
}

static an_status packing_try(const an_pack_writer_config *c)
{
    an_pack_writer *packing = (an_pack_writer *)&w;
    an_status status = an_pack_writer_create(&packing, w.at.ctx, inside(&w.at, "new"), c);

    if (status == AN_OK)
        an_pack_writer_destroy(packing);
    else
        ck_assert_ptr_eq(packing, (an_pack_writer *)&w);
    return status;
}

#define GOOD(field, value)                                                               \
    TAKES(an_pack_writer_config, packing_base, packing_try, field, value)
#define BAD(field, value, words)                                                         \
    REFUSES(an_pack_writer_config, packing_base, packing_try, field, value, words)

START_TEST(packing_configs_have_limits)
{
    BAD(side, 0, "config.side is 0: must be 1 to 2048");
    GOOD(side, 1);
    GOOD(side, 2048);
    BAD(side, 2049, "config.side is 2049: must be 1 to 2048");
    BAD(kind, 0, "config.kind is 0: not one of an_pack_kind");
    GOOD(kind, AN_PACK_JPEG);
    BAD(kind, 3, "config.kind is 3: not one of an_pack_kind");
    BAD(classes, 1, "config.classes is 1: must be 2 to 65536");
    GOOD(classes, 2);
    GOOD(classes, 65536);
    BAD(classes, 65537, "config.classes is 65537");
    GOOD(resume, 1);
    BAD(resume, 2, "config.resume is 2: must be 0 or 1");
    GOOD(fit, AN_FIT_WARP);
    BAD(fit, 2, "config.fit is 2: not one of an_fit");
    BAD(part_bytes, 0, "config.part_bytes is 0: must be 1 to 2^39 - 1");
    GOOD(part_bytes, 1);
    GOOD(part_bytes, ((uint64_t)1 << 39) - 1);
    BAD(part_bytes, (uint64_t)1 << 39, "config.part_bytes is 549755813888");
    GOOD(empty_classes, 1);
    BAD(empty_classes, 2, "config.empty_classes is 2: must be 0 or 1");
}
END_TEST
#undef GOOD
#undef BAD

/* --- an_loader_config, an_source --------------------------------------------------- */

static an_loader_config loader_base(void)
{
    return world_loading();
}

static an_status loader_try(const an_loader_config *c)
{
    const an_source source = world_source(&w);
    an_loader *loader = (an_loader *)&w;
    an_status status = an_loader_create(&loader, w.free_model, &source, c);

    if (status == AN_OK)
        an_loader_destroy(loader);
    else
        ck_assert_ptr_eq(loader, (an_loader *)&w);
    return status;
}

#define GOOD(field, value) TAKES(an_loader_config, loader_base, loader_try, field, value)
#define BAD(field, value, words)                                                         \
    REFUSES(an_loader_config, loader_base, loader_try, field, value, words)

START_TEST(loader_configs_have_limits)
{
    BAD(batch, 0, "config.batch is 0: must be 1 to 8192");
    GOOD(batch, 1);
    GOOD(batch, 8192);
    BAD(batch, 8193, "config.batch is 8193");
    BAD(workers, 0, "config.workers is 0: must be 1 to 256");
    GOOD(workers, 1);
    GOOD(workers, 256);
    BAD(workers, 257, "config.workers is 257");
    BAD(prefetch, 0, "config.prefetch is 0: must be 1 to 64");
    GOOD(prefetch, 1);
    GOOD(prefetch, 64);
    BAD(prefetch, 65, "config.prefetch is 65");
    GOOD(shuffle, 0);
    BAD(shuffle, 2, "config.shuffle is 2: must be 0 or 1");
    GOOD(augment, 7);
    BAD(augment, 8, "config.augment is 8: must be a sum of AN_AUGMENT_*");
    BAD(crop_group, 0, "config.crop_group is 0: must be 1 to 8192");
    GOOD(crop_group, 8192);
    BAD(crop_group, 8193, "config.crop_group is 8193");
    GOOD(colour_rule, AN_COLOUR_EIGENVALUE);
    BAD(colour_rule, 2, "config.colour_rule is 2: not one of an_colour_rule");
    GOOD(colour_sigma, 0);
    GOOD(colour_sigma, 10);
    BAD(colour_sigma, -FLT_MIN, "config.colour_sigma is -");
    BAD(colour_sigma, nextafterf(10, 11), "config.colour_sigma is 10: must be 0 to 10");
    BAD(colour_sigma, NAN, "config.colour_sigma is");
    GOOD(colour_divisor, 0.1f);
    GOOD(colour_divisor, 10);
    BAD(colour_divisor, nextafterf(0.1f, 0),
        "config.colour_divisor is 0.1: must be 0.1 to 10");
    BAD(colour_divisor, nextafterf(10, 11), "config.colour_divisor is 10");
    BAD(colour_divisor, NAN, "config.colour_divisor is");
    GOOD(colour_epochs, UINT32_MAX);
    GOOD(keep_uint8, 1);
    BAD(keep_uint8, 2, "config.keep_uint8 is 2: must be 0 or 1");
    BAD(reserved, 1, "config.reserved is 1: must be 0");
}
END_TEST
#undef GOOD
#undef BAD

static an_source source_base(void)
{
    return world_source(&w);
}

static an_status source_try(const an_source *source)
{
    const an_loader_config loading = world_loading();
    an_loader *loader = (an_loader *)&w;
    an_loader_config plain = loading;
    an_status status;

    plain.shuffle =
        0; /* whose order of four thousand million pictures would want 16 GiB */
    status = an_loader_create(&loader, w.free_model, source, &plain);
    if (status == AN_OK)
        an_loader_destroy(loader);
    else
        ck_assert_ptr_eq(loader, (an_loader *)&w);
    return status;
}

START_TEST(sources_have_limits)
{
    REFUSES(an_source, source_base, source_try, count, 0,
            "source.count is 0: must be 1 to");
    TAKES(an_source, source_base, source_try, count, 1);
    TAKES(an_source, source_base, source_try, count, 4294967295u);
    REFUSES(an_source, source_base, source_try, count, 4294967296u,
            "source.count is 4294967296: must be 1 to 4294967295");
    REFUSES(an_source, source_base, source_try, fetch, NULL, "source.fetch is null");
    TAKES(an_source, source_base, source_try, scratch_bytes, 1 << 20);
}
END_TEST

Suite *data_limits_suite(void)
{
    Suite *suite = suite_create("data_limits");
    TCase *tc = tcase_create("data_limits");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, preprocessings_have_limits);
    tcase_add_test(tc, pictures_have_limits);
    tcase_add_test(tc, packing_configs_have_limits);
    tcase_add_test(tc, loader_configs_have_limits);
    tcase_add_test(tc, sources_have_limits);
    suite_add_tcase(suite, tc);
    return suite;
}
