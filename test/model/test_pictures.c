/*
 * test_pictures.c - views, means and scales of a model's input, and the filter that fits
 * pictures, beside an account in double precision.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "gallery.h"
#include "small.h"
#include "test.h"

enum { SIZE = 19 /* two bands of eight rows, and a rest */, NUMBERS = 3 * SIZE * SIZE };

/* --- views ------------------------------------------------------------------------- */

/* Red tells a pixel's column, green its row. */
static void say_where(gallery *g)
{
    uint32_t side = g->shape.side, x, y;

    for (y = 0; y < side; y++)
        for (x = 0; x < side; x++) {
            uint8_t *at = g->pixels + 3 * (y * side + x);

            at[0] = (uint8_t)x;
            at[1] = (uint8_t)y;
        }
}

/* The crop's corner and its opposite, of what an_preprocess() gave. */
static void view_stands(const float *out, uint32_t x, uint32_t y, int mirror,
                        uint32_t margin, uint32_t view)
{
    const float *red = out, *green = out + SIZE * SIZE;
    uint32_t left = mirror ? SIZE - 1 : 0, last = SIZE * SIZE - 1;

    expect_number(red[left], x, 0, "the left column of view %u, margin %u", view, margin);
    expect_number(red[SIZE - 1 - left], x + SIZE - 1, 0,
                  "the right column of view %u, margin %u", view, margin);
    expect_number(green[0], y, 0, "the top row of view %u, margin %u", view, margin);
    expect_number(green[last], y + SIZE - 1, 0, "the last row of view %u, margin %u",
                  view, margin);
}

START_TEST(every_view_has_its_place)
{
    static const uint32_t margins[] = {0, 1, 2, 3, 8, 9};
    uint32_t margin = margins[_i], half = margin / 2, view, c;
    const uint32_t place[5][2] = {
        {half, half}, {0, 0}, {margin, 0}, {0, margin}, {margin, margin}};
    gallery_shape shape = square_shape(1, SIZE + margin, SIZE);
    an_preprocessing p;
    an_image image;
    float out[NUMBERS];
    gallery g;

    gallery_open(&g, &shape);
    say_where(&g);
    p = gallery_preprocessing(&g);
    for (c = 0; c < 3; c++) p.mean[c] = 0, p.scale[c] = 1;
    gallery_set(&g, &p);
    image = gallery_image(&g, 0);
    for (view = 0; view < 10; view++) {
        expect_ok(an_preprocess(g.model, &image, view, out, ENOUGH));
        view_stands(out, place[view % 5][0], place[view % 5][1], view >= 5, margin, view);
    }
    gallery_close(&g);
}
END_TEST

START_TEST(there_are_ten_views)
{
    static const uint32_t none[] = {10, 11, 15, UINT32_MAX};
    gallery_shape shape = square_shape(1, SIZE + 1, SIZE);
    float out[NUMBERS], before[NUMBERS];
    an_image image;
    gallery g;
    size_t i;

    gallery_open(&g, &shape);
    image = gallery_image(&g, 0);
    noise_floats(out, NUMBERS, 1, 1);
    memcpy(before, out, sizeof out);
    for (i = 0; i < sizeof none / sizeof none[0]; i++)
        expect_refused(an_preprocess(g.model, &image, none[i], out, ENOUGH),
                       AN_ERROR_ARGUMENT, "view is");
    expect_floats(out, before, NUMBERS, 0, "what was in `out` before");
    gallery_close(&g);
}
END_TEST

static an_input input_of(uint32_t margin)
{
    an_input input;

    memset(&input, 0, sizeof input);
    input.size = SIZE;
    input.p.side = SIZE + margin;
    return input;
}

/* Of 2^32 words each of the margin + 1 places has as many as any other, or one less:
 * place i's begin with the first word that is not below i / (margin + 1) of 2^32. */
START_TEST(every_place_has_its_share_of_the_words)
{
    uint32_t margin, i;

    for (margin = 0; margin <= 2029; margin += margin < 40 ? 1 : 663) {
        an_input input = input_of(margin);

        for (i = 0; i <= margin; i++) {
            uint64_t places = (uint64_t)margin + 1;
            uint32_t first = (uint32_t)((((uint64_t)i << 32) + places - 1) / places);
            uint32_t last = (uint32_t)((((uint64_t)i + 1) << 32) / places - 1);
            uint32_t words[3] = {first, last, 0};
            an_view v = an__view_random(&input, AN_AUGMENT_CROP, words);

            if ((((uint64_t)i + 1) << 32) % places != 0) words[1]++, last++;
            expect_count(v.x, i, "word %08x of margin %u", first, margin);
            v = an__view_random(&input, AN_AUGMENT_CROP, words);
            expect_count(v.y, i, "word %08x of margin %u", last, margin);
        }
    }
}
END_TEST

START_TEST(each_augmentation_moves_its_own)
{
    static const uint32_t word[3] = {0xffffffffu, 0x40000000u, 0x80000000u};
    uint32_t augment, c;

    for (augment = 0; augment < 8; augment++) {
        an_input input = input_of(9);
        an_view v = an__view_random(&input, augment, word);
        int crop = augment & AN_AUGMENT_CROP, mirror = augment & AN_AUGMENT_MIRROR;

        expect_count(v.x, crop ? 9 : 4, "augment %u", augment);
        expect_count(v.y, crop ? 2 : 4, "augment %u", augment);
        expect_count(v.mirror, mirror ? 1 : 0, "augment %u", augment);
        expect_number(v.divisor, 1, 0, "augment %u", augment);
        for (c = 0; c < 3; c++) expect_number(v.colour[c], 0, 0, "augment %u", augment);
        if (mirror) { /* words below the middle do not mirror */
            const uint32_t below[3] = {0, 0, 0x7fffffffu};

            expect_count(an__view_random(&input, augment, below).mirror, 0, "augment %u",
                         augment);
        }
    }
}
END_TEST

/* --- what a network reads ---------------------------------------------------------- */

/* All that may differ of a model's preprocessing, by the bits of a number. */
typedef struct reading {
    uint32_t bgr, mean_moves, has_mean_image, warp, margin, tall;
} reading;

enum { READINGS = 64 };

static reading reading_of(int i)
{
    static const uint32_t margins[] = {0, 1, 4, 5};
    reading r;

    r.bgr = i & 1;
    r.mean_moves = i >> 1 & 1;
    r.has_mean_image = i >> 2 & 1;
    r.warp = i >> 3 & 1;
    r.margin = margins[i >> 4 & 3];
    r.tall = (uint32_t)i % 3; /* 0: of the right size already */
    return r;
}

static gallery_shape reading_shape(const reading *r)
{
    uint32_t side = SIZE + r->margin;
    gallery_shape shape = square_shape(1, side, SIZE);

    if (r->tall == 1) shape.width = 27, shape.height = 41;
    if (r->tall == 2) shape.width = 44, shape.height = 21;
    return shape;
}

static void read_views(gallery *g, const reading *r, const float *mean)
{
    uint32_t side = g->shape.side, margin = r->margin, half = margin / 2, view;
    const uint32_t place[5][2] = {
        {half, half}, {0, 0}, {margin, 0}, {0, margin}, {margin, margin}};
    uint8_t *fitted = malloc((size_t)3 * side * side);
    an_preprocessing p = gallery_preprocessing(g);
    an_image image = gallery_image(g, 0);
    float out[NUMBERS], wanted[NUMBERS];

    expect_ok((r->warp ? an_image_warp : an_image_fit)(&image, side, fitted, ENOUGH));
    for (view = 0; view < 10; view++) {
        spot s = spot_at(place[view % 5][0], place[view % 5][1], view >= 5);

        account_input(&p, mean, SIZE, fitted, &s, wanted);
        expect_ok(an_preprocess(g->model, &image, view, out, ENOUGH));
        expect_floats(out, wanted, NUMBERS, ACCOUNT_BOUND,
                      "view %u, bgr %u, warp %u, mean image %u, which moves %u, margin "
                      "%u, picture %u x %u",
                      view, r->bgr, r->warp, r->has_mean_image, r->mean_moves, margin,
                      image.width, image.height);
    }
    free(fitted);
}

START_TEST(a_network_reads_what_the_account_says)
{
    int i;

    for (i = 0; i < READINGS; i++) {
        reading r = reading_of(i);
        gallery_shape shape = reading_shape(&r);
        an_preprocessing p;
        float *mean = NULL;
        gallery g;

        gallery_open(&g, &shape);
        p = gallery_preprocessing(&g);
        p.bgr = r.bgr;
        p.fit = r.warp;
        p.mean_moves = r.mean_moves;
        p.scale[1] = -0.3f;
        gallery_set(&g, &p);
        if (r.has_mean_image) mean = gallery_mean_image(&g, 17);
        read_views(&g, &r, mean);
        free(mean);
        gallery_close(&g);
    }
}
END_TEST

/* Crops and mirrors of an_train_step_images() depend on seed, iteration and place
 * alone: a trainer that is given floats made by the account learns the same to the
 * bit. */
enum { TAUGHT = 5, LESSONS = 3 };

static void teach_by_account(gallery *g, an_trainer *trainer, uint64_t seed,
                             uint32_t augment, uint32_t lesson)
{
    uint32_t side = g->shape.side, margin = side - SIZE, i;
    uint8_t *fitted = malloc((size_t)3 * side * side);
    float *floats = malloc(TAUGHT * NUMBERS * sizeof *floats);
    an_preprocessing p = gallery_preprocessing(g);
    int32_t labels[TAUGHT];

    for (i = 0; i < TAUGHT; i++) {
        an_image image = gallery_image(g, i);
        spot s = spot_at(margin / 2, margin / 2, 0);
        uint32_t word[4];

        account_words(seed, 0x200, lesson, i, word);
        if (augment & AN_AUGMENT_CROP) {
            s.x = (uint32_t)floor(ldexp((double)word[0], -32) * (margin + 1));
            s.y = (uint32_t)floor(ldexp((double)word[1], -32) * (margin + 1));
        }
        if (augment & AN_AUGMENT_MIRROR) s.mirror = word[2] >= 0x80000000u;
        expect_ok(an_image_fit(&image, side, fitted, ENOUGH));
        account_input(&p, NULL, SIZE, fitted, &s, floats + i * NUMBERS);
        labels[i] = gallery_label(i);
    }
    expect_ok(an_train_step(trainer, floats, labels, TAUGHT, NULL));
    free(fitted);
    free(floats);
}

static void teach_by_pictures(gallery *g, an_trainer *trainer)
{
    an_image images[TAUGHT];
    int32_t labels[TAUGHT];
    uint32_t i;

    for (i = 0; i < TAUGHT; i++) {
        images[i] = gallery_image(g, i);
        labels[i] = gallery_label(i);
    }
    expect_ok(an_train_step_images(trainer, images, labels, TAUGHT, NULL));
}

START_TEST(a_step_on_pictures_is_that_on_their_account)
{
    gallery_shape shape = {TAUGHT, 31, 26, SIZE + 4, SIZE, 0, NULL};
    an_trainer_config training = small_training(TAUGHT);
    an_trainer *one = NULL, *two = NULL;
    gallery pictures, account;
    uint32_t lesson;
    char what[64];

    training.augment = (uint32_t)_i & 3;
    training.micro_batch = _i & 4 ? 2 : 0;
    training.seed = UINT64_C(0xfedcba9876543210);
    gallery_open(&pictures, &shape);
    gallery_open(&account, &shape);
    expect_ok(an_trainer_create(&one, pictures.model, &training));
    expect_ok(an_trainer_create(&two, account.model, &training));
    for (lesson = 0; lesson < LESSONS; lesson++) {
        teach_by_pictures(&pictures, one);
        teach_by_account(&account, two, training.seed, training.augment, lesson);
    }
    snprintf(what, sizeof what, "augment %u, pieces of %u", training.augment,
             training.micro_batch);
    same_parameters(pictures.model, account.model, 0, what);
    an_trainer_destroy(one);
    an_trainer_destroy(two);
    gallery_close(&pictures);
    gallery_close(&account);
}
END_TEST

/* --- the filter -------------------------------------------------------------------- */

/* The grey levels are the account's, rounded: no further from it than a half and what
 * float32 sums of so many rows may lose. */
static void fits(uint32_t width, uint32_t height, uint32_t side, uint32_t fit)
{
    size_t count = (size_t)3 * side * side, worst = 0, i;
    uint8_t *pixels = malloc((size_t)3 * width * height), *got = malloc(count + 1);
    double *wanted = malloc(count * sizeof *wanted);
    double bound = 0.5 + ldexp(255.0 * (2 + height), -24);
    an_image image;

    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = width;
    image.height = height;
    noise_bytes(pixels, (size_t)3 * width * height, width * 31 + height);
    account_fit(&image, side, fit, wanted);
    got[count] = 0xa5;
    expect_ok(
        (fit == AN_FIT_WARP ? an_image_warp : an_image_fit)(&image, side, got, count));
    for (i = 0; i < count; i++)
        if (fabs(got[i] - wanted[i]) > fabs(got[worst] - wanted[worst])) worst = i;
    expect_number(got[worst], wanted[worst], bound,
                  "%u x %u %s to %u: column %zu, row %zu, colour %zu", width, height,
                  fit == AN_FIT_WARP ? "warped" : "fitted", side, worst / 3 % side,
                  worst / 3 / side, worst % 3);
    expect_count(got[count], 0xa5, "the byte behind the picture");
    free(pixels);
    free(got);
    free(wanted);
}

START_TEST(small_pictures_are_fitted_by_a_triangle)
{
    uint32_t width, height, side;

    for (width = 1; width <= 9; width++)
        for (height = 1; height <= 9; height++)
            for (side = 1; side <= 9; side++) {
                fits(width, height, side, AN_FIT_CROP);
                fits(width, height, side, AN_FIT_WARP);
            }
}
END_TEST

/* Output columns are done 64 at a time, input columns of them 1024 at a time. */
START_TEST(pieces_of_lines_join_without_a_seam)
{
    static const uint32_t sizes[][3] = {
        {63, 40, 63},    {64, 40, 64},    {65, 40, 65},    {100, 3, 63},   {100, 3, 64},
        {100, 3, 65},    {200, 5, 127},   {200, 5, 128},   {200, 5, 129},  {1022, 2, 16},
        {1023, 2, 16},   {1024, 2, 16},   {1025, 2, 16},   {1026, 2, 16},  {2047, 2, 9},
        {2048, 2, 9},    {2049, 2, 9},    {2050, 2, 9},    {3073, 1, 64},  {4097, 1, 65},
        {2, 1025, 16},   {1, 2049, 9},    {32768, 1, 3},   {1, 32768, 3},  {32768, 1, 9},
        {1024, 1024, 8}, {1025, 1025, 8}, {1030, 1025, 8}, {1025, 1030, 8}};
    size_t i;

    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        fits(sizes[i][0], sizes[i][1], sizes[i][2], AN_FIT_WARP);
    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        fits(sizes[i][0], sizes[i][1], sizes[i][2], AN_FIT_CROP);
}
END_TEST

/* Any part of the fitted picture is that part of the whole. */
START_TEST(a_part_is_fitted_as_the_whole_is)
{
    enum { WIDTH = 171, HEIGHT = 139, FITTED = 134 };
    static const uint32_t parts[][4] = {
        {0, 134, 0, 8},  {1, 64, 3, 1},    {0, 65, 7, 2},  {7, 63, 126, 8},
        {69, 65, 60, 5}, {5, 129, 133, 1}, {133, 1, 0, 3}, {64, 64, 1, 8}};
    uint8_t whole[3 * FITTED * FITTED], part[3 * FITTED * 8];
    uint8_t *pixels = malloc(3 * WIDTH * HEIGHT);
    an_fitting fitting;
    an_image image;
    size_t i;

    noise_bytes(pixels, 3 * WIDTH * HEIGHT, 8);
    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = WIDTH;
    image.height = HEIGHT;
    expect_ok(an_image_fit(&image, FITTED, whole, ENOUGH));
    fitting = an__fitting(&image, FITTED, AN_FIT_CROP);
    for (i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        uint32_t x = parts[i][0], width = parts[i][1], y = parts[i][2], row;

        an__fitting_rows(&fitting, x, width, y, parts[i][3], an__copy_rows, part);
        for (row = 0; row < parts[i][3]; row++)
            expect_bytes(part + row * 3 * width, whole + 3 * ((y + row) * FITTED + x),
                         3 * width, "columns %u to %u of row %u", x, x + width - 1,
                         y + row);
    }
    free(pixels);
}
END_TEST

START_TEST(fitting_again_changes_nothing)
{
    static const uint32_t sizes[][3] = {
        {97, 61, 40}, {20, 30, 48}, {1, 9, 5}, {2000, 7, 66}, {64, 64, 64}};
    uint32_t warp;
    size_t i;

    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (warp = 0; warp < 2; warp++) {
            size_t bytes = (size_t)3 * sizes[i][0] * sizes[i][1];
            uint32_t side = sizes[i][2], count = 3 * side * side;
            uint8_t *pixels = malloc(bytes), *once = malloc(count),
                    *twice = malloc(count);
            an_image image;

            an_image_init(&image, sizeof image);
            noise_bytes(pixels, bytes, 5);
            image.pixels = pixels;
            image.width = sizes[i][0];
            image.height = sizes[i][1];
            expect_ok((warp ? an_image_warp : an_image_fit)(&image, side, once, count));
            image.pixels = once;
            image.width = image.height = side;
            expect_ok(an_image_fit(&image, side, twice, ENOUGH));
            expect_bytes(twice, once, count, "fitted again to %u", side);
            expect_ok(an_image_warp(&image, side, twice, ENOUGH));
            expect_bytes(twice, once, count, "warped again to %u", side);
            free(pixels);
            free(once);
            free(twice);
        }
}
END_TEST

Suite *pictures_suite(void)
{
    Suite *suite = suite_create("pictures");
    TCase *tc = tcase_create("pictures");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, every_view_has_its_place, 0, 6);
    tcase_add_test(tc, there_are_ten_views);
    tcase_add_test(tc, every_place_has_its_share_of_the_words);
    tcase_add_test(tc, each_augmentation_moves_its_own);
    tcase_add_test(tc, a_network_reads_what_the_account_says);
    tcase_add_loop_test(tc, a_step_on_pictures_is_that_on_their_account, 0, 8);
    tcase_add_test(tc, small_pictures_are_fitted_by_a_triangle);
    tcase_add_test(tc, pieces_of_lines_join_without_a_seam);
    tcase_add_test(tc, a_part_is_fitted_as_the_whole_is);
    tcase_add_test(tc, fitting_again_changes_nothing);
    suite_add_tcase(suite, tc);
    return suite;
}
