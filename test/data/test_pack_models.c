/*
 * test_pack_models.c - what a model takes of a pack, and packs as sources of loaders.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "packs.h"
#include "small.h"
#include "test.h"

enum { MODEL_SIDE = 20, SIZE = 16, MEANS = 3 * MODEL_SIDE * MODEL_SIDE };

static const set model_sets[2] = {
    {MODEL_SIDE, 7, 3, AN_PACK_RAW, AN_FIT_WARP, 0, 1 << 20},
    {MODEL_SIDE, 7, 3, AN_PACK_JPEG, AN_FIT_CROP, 0, 1}};

/* Classes 0 and 2 have names. */
static an_pack *model_pack(place *p, const set *s)
{
    an_pack_writer_config c = set_config(s, 0);
    an_pack_writer *packing = NULL;

    expect_ok(an_pack_writer_create(&packing, p->ctx, inside(p, "pack"), &c));
    expect_ok(an_pack_writer_set_class_name(packing, 0, "nought"));
    expect_ok(an_pack_writer_set_class_name(packing, 2, "two"));
    set_add(packing, s, 0, s->count);
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    return set_open(p, "pack", s, NULL);
}

static an_preprocessing preprocessing_of(const an_model *model)
{
    an_preprocessing pre;

    an_preprocessing_init(&pre, sizeof pre);
    expect_ok(an_model_get_preprocessing(model, &pre));
    return pre;
}

/* A model whose own preprocessing is unlike any pack's, with a mean image and class
 * names. */
static an_model *unlike_model(place *p, uint32_t classes)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    float mean[3 * 17 * 17];
    an_model_config config;
    an_preprocessing pre;
    an_model *model;
    uint32_t i;

    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.width = 0.1f;
    config.image_size = SIZE;
    config.classes = classes;
    expect_ok(an_model_create(&model, p->ctx, &config));
    pre = preprocessing_of(model);
    pre.side = 17;
    pre.bgr = pre.mean_moves = 1;
    for (i = 0; i < 3; i++) pre.mean[i] = -1, pre.scale[i] = 9;
    expect_ok(an_model_set_preprocessing(model, &pre));
    noise_floats(mean, 3 * 17 * 17, 1, 9);
    expect_ok(an_model_set_mean_image(model, mean, 3 * 17 * 17));
    for (i = 0; i < classes; i++) expect_ok(an_model_set_class_name(model, i, names[i]));
    return model;
}

static void model_has_taken(const an_pack *pack, an_model *model, uint32_t unit,
                            uint32_t mean_image, const char *what)
{
    an_preprocessing pre = preprocessing_of(model);
    an_pack_info info = pack_info(pack);
    float got[MEANS], wanted[MEANS];
    uint32_t c;

    expect_count(pre.side, info.side, "%s: side", what);
    expect_count(pre.fit, info.fit, "%s: fit", what);
    expect_count(pre.bgr, 1, "%s: bgr, which is not the pack's", what);
    expect_count(pre.mean_moves, 1, "%s: mean_moves, which is not the pack's", what);
    for (c = 0; c < 3; c++) {
        double scale = unit ? 1 / (double)info.deviation[c] : 1;

        expect_number(pre.mean[c], info.mean[c], 0, "%s: mean of colour %u", what, c);
        expect_number(pre.scale[c], scale, 1e-7, "%s: scale of colour %u", what, c);
    }
    expect_floats(pre.colour_deviation, info.colour_deviation, 3, 0, "%s", what);
    expect_floats(&pre.colour_axis[0][0], &info.colour_axis[0][0], 9, 0, "%s", what);
    if (mean_image) {
        expect_ok(an_pack_mean_image(pack, wanted, MEANS));
        expect_ok(an_model_get_mean_image(model, got, MEANS));
        expect_floats(got, wanted, MEANS, 0, "%s: mean image", what);
    } else {
        expect_refused(an_model_get_mean_image(model, got, MEANS), AN_ERROR_STATE, NULL);
    }
}

START_TEST(a_model_takes_all_that_a_pack_has)
{
    const set *s = &model_sets[_i];
    place p = place_open();
    an_pack *pack = model_pack(&p, s);
    uint32_t i;

    for (i = 0; i < 8; i++) {
        uint32_t unit = i & 1, mean_image = i >> 1 & 1, classes = 3 + (i >> 2);
        an_model *model = unlike_model(&p, classes);
        char what[64];

        snprintf(what, sizeof what, "unit %u, mean_image %u, %u classes", unit,
                 mean_image, classes);
        expect_ok(an_pack_prepare_model(pack, model, unit, mean_image));
        model_has_taken(pack, model, unit, mean_image, what);
        expect_text(an_model_class_name(model, 0), classes == 3 ? "nought" : "a", "%s",
                    what);
        expect_text(an_model_class_name(model, 1), "b", "%s", what);
        expect_text(an_model_class_name(model, 2), classes == 3 ? "two" : "c", "%s",
                    what);
        expect_ok(an_pack_prepare_model(pack, model, !unit, !mean_image));
        model_has_taken(pack, model, !unit, !mean_image, what);
        an_model_destroy(model);
    }
    expect_text(an_pack_class_name(pack, 0), "nought", "of the pack");
    ck_assert_ptr_null(an_pack_class_name(pack, 1));
    expect_text(an_pack_class_name(pack, 2), "two", "of the pack");
    ck_assert_ptr_null(an_pack_class_name(pack, 3));
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

/* A model that has been trained keeps what it was trained with; one whose trainer has
 * done nothing yet takes the pack's. */
START_TEST(a_model_that_is_refused_is_as_it_was)
{
    static float image[3 * SIZE * SIZE];
    const set *s = &model_sets[0];
    set narrow = small_set();
    an_trainer_config training = small_training(1);
    an_trainer *trainer = NULL;
    place p = place_open();
    an_pack *pack = model_pack(&p, s), *other;
    an_model *model = unlike_model(&p, 3);
    an_preprocessing before = preprocessing_of(model), after;
    int32_t label = 1;

    set_make(&p, "narrow", &narrow);
    other = set_open(&p, "narrow", &narrow, NULL);
    expect_refused(an_pack_prepare_model(pack, model, 2, 0), AN_ERROR_ARGUMENT, "unit");
    expect_refused(an_pack_prepare_model(pack, model, 0, 2), AN_ERROR_ARGUMENT,
                   "mean_image");
    expect_refused(an_pack_prepare_model(other, model, 0, 0), AN_ERROR_ARGUMENT,
                   "5 wide: the model's crops are 16");
    expect_ok(an_trainer_create(&trainer, model, &training));
    expect_ok(an_train_step(trainer, image, &label, 1, NULL));
    expect_refused(an_pack_prepare_model(pack, model, 1, 1), AN_ERROR_STATE, "trained");
    after = preprocessing_of(model);
    expect_bytes(&after, &before, sizeof before, "preprocessing after refusals");
    expect_text(an_model_class_name(model, 0), "a", "after refusals");
    an_trainer_destroy(trainer);
    expect_ok(an_trainer_create(&trainer, model, &training));
    expect_ok(an_pack_prepare_model(pack, model, 1, 1));
    model_has_taken(pack, model, 1, 1, "with a trainer that has done no step");
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_pack_destroy(pack);
    an_pack_destroy(other);
    place_close(&p);
}
END_TEST

/* Pictures of a pack come through a loader, whole; one that is damaged is named, and
 * the batch after it comes. */
START_TEST(a_pack_is_a_source)
{
    const set *s = &model_sets[_i];
    place p = place_open();
    an_pack *pack = model_pack(&p, s);
    an_model *model = unlike_model(&p, 3);
    uint8_t pixels[MEANS];
    float wanted[3 * SIZE * SIZE];
    an_loader *loader = NULL;
    an_loader_config c;
    an_source source;
    an_image image;
    an_batch batch;
    uint32_t i;

    an_source_init(&source, sizeof source);
    expect_ok(an_pack_source(pack, &source));
    expect_count(source.count, s->count, "pictures of the source");
    expect_count(source.scratch_bytes, s->kind == AN_PACK_RAW ? 0 : MEANS, "scratch");
    expect_refused(an_pack_source(pack, NULL), AN_ERROR_ARGUMENT, "source is null");
    expect_ok(an_pack_prepare_model(pack, model, 1, 0));
    an_loader_config_init(&c, sizeof c);
    c.batch = 1;
    c.workers = 2;
    c.augment = c.shuffle = 0;
    expect_ok(an_loader_create(&loader, model, &source, &c));
    an_batch_init(&batch, sizeof batch);
    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = image.height = MODEL_SIDE;
    for (i = 0; i < s->count; i++) {
        set_picture(s, i, pixels);
        expect_ok(an_preprocess(model, &image, AN_VIEW_CENTRE, wanted, ENOUGH));
        expect_ok(an_loader_next(loader, &batch));
        expect_count(batch.labels[0], set_label(s, i), "label of picture %u", i);
        expect_floats(batch.images, wanted, 3 * SIZE * SIZE, 0, "picture %u", i);
    }
    an_loader_destroy(loader);
    an_pack_destroy(pack);
    file_set_byte(inside(&p, "pack/part-0000.bin"), AN_PART_HEAD + 9, 0x77);
    pack = set_open(&p, "pack", s, NULL);
    expect_ok(an_pack_source(pack, &source));
    expect_ok(an_loader_create(&loader, model, &source, &c));
    expect_refused(an_loader_next(loader, &batch), AN_ERROR_FORMAT,
                   "picture 0: picture 0 of the pack, in part 0, is damaged");
    expect_ok(an_loader_next(loader, &batch));
    expect_count(batch.step, 1, "the batch after the damage");
    an_loader_destroy(loader);
    an_model_destroy(model);
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

static int decode_nothing(const uint8_t *bytes, size_t count, uint32_t side,
                          uint8_t *pixels, void *user)
{
    (void)bytes;
    (void)count;
    (void)side;
    (void)pixels;
    return *(int *)user;
}

START_TEST(a_decoder_that_fails_is_told_by_the_loader)
{
    static const int values[] = {-1, 1, INT32_MIN}; /* all but 0 are failures */
    const set *s = &model_sets[1];
    place p = place_open();
    an_model *model = unlike_model(&p, 3);
    size_t i;

    an_pack_destroy(model_pack(&p, s));
    for (i = 0; i < sizeof values / sizeof values[0]; i++) {
        int value = values[i];
        an_loader *loader = NULL;
        an_pack *pack = NULL;
        an_source source;
        an_batch batch;

        an_source_init(&source, sizeof source);
        an_batch_init(&batch, sizeof batch);
        expect_ok(an_pack_open(&pack, p.ctx, inside(&p, "pack"), decode_nothing, &value));
        expect_ok(an_pack_source(pack, &source));
        expect_ok(an_loader_create(&loader, model, &source, NULL));
        expect_refused(an_loader_next(loader, &batch), AN_ERROR_FORMAT,
                       "of the pack cannot be decoded");
        an_loader_destroy(loader);
        an_pack_destroy(pack);
    }
    an_model_destroy(model);
    place_close(&p);
}
END_TEST

Suite *pack_models_suite(void)
{
    Suite *suite = suite_create("pack_models");
    TCase *tc = tcase_create("pack_models");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_model_takes_all_that_a_pack_has, 0, 2);
    tcase_add_test(tc, a_model_that_is_refused_is_as_it_was);
    tcase_add_loop_test(tc, a_pack_is_a_source, 0, 2);
    tcase_add_test(tc, a_decoder_that_fails_is_told_by_the_loader);
    suite_add_tcase(suite, tc);
    return suite;
}
