/*
 * programs_similar.c - similar: the vectors in its index, the nearest on its sheet and
 * the shares in its score, beside distances computed here.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/canvas.h"
#include "common/vectors.h"
#include "expect.h"
#include "fixtures.h"

/* More pictures than are indexed at once, 64. */
enum { COUNT = 70, CLASSES = 7, SIDE = 72, HEAD = 64 };

static const char *const class_names[CLASSES] = {"ant", "bee", "cow", "dog",
                                                 "eel", "fox", "gnu"};

/* --- vectors in a file ------------------------------------------------------------- */

static vectors some_vectors(size_t count, size_t size)
{
    vectors v = {malloc(count * size * sizeof(float)), malloc(size * sizeof(float)),
                 count, size};
    size_t i;

    for (i = 0; i < size; i++) v.probe[i] = (float)(i + 1) * 0.5f;
    for (i = 0; i < count * size; i++) v.values[i] = (float)(i * 7919 % 101) - 50;
    return v;
}

START_TEST(vectors_come_back_from_their_file)
{
    vectors v = some_vectors(5, 3), back;
    char *file;
    size_t bytes;

    vectors_write(&v, inside("index"));
    file = file_read("index", &bytes);
    expect_count(bytes, HEAD + 4 * (3 + 5 * 3), "the file's bytes");
    expect_text(file, "alexnet-similar 2 5 3\n", "the head, up to its first 0");
    expect_bytes(file + HEAD, v.probe, 3 * sizeof(float), "the probe");
    expect_bytes(file + HEAD + 12, v.values, 15 * sizeof(float), "the vectors");
    back = vectors_read(inside("index"), 5);
    expect_count(back.count, 5, "read");
    expect_count(back.size, 3, "read");
    expect_floats(back.probe, v.probe, 3, 0, "the probe");
    expect_floats(back.values, v.values, 15, 0, "the vectors");
    vectors_free(&back);
    vectors_free(&v);
    free(file);
}
END_TEST

static void read_index(void *count)
{
    vectors_read(inside("index"), *(uint64_t *)count);
}

static void write_index(void *path)
{
    vectors v = some_vectors(5, 3);

    vectors_write(&v, path);
}

static void index_write(const char *head, size_t bytes)
{
    FILE *file = fopen(inside("index"), "wb");

    fwrite(head, 1, strlen(head), file);
    while (ftell(file) < (long)bytes) putc(0, file);
    fclose(file);
}

START_TEST(an_index_that_is_none_is_refused)
{
    const size_t whole = HEAD + 4 * (3 + 5 * 3);
    uint64_t count = 5, other = 4;

    expect_exit(1, "index: No such file", read_index, &count);
    index_write("alexnet-similar 2 5 3\n", whole - 1);
    expect_exit(2, "index: is cut short", read_index, &count);
    index_write("alexnet-similar 2 5 3\n", HEAD + 8);
    expect_exit(2, "index: is cut short", read_index, &count);
    index_write("alexnet-similar 2 5 3\n", HEAD - 1);
    expect_exit(2, "index: is no index of this program", read_index, &count);
    index_write("alexnet-similar 1 5 3\n", whole);
    expect_exit(2, "index: is no index of this program", read_index, &count);
    index_write("alexnet-similar 2 5\n", whole);
    expect_exit(2, "index: is no index of this program", read_index, &count);
    index_write("alexnet-similar 2 5 16777217\n", whole);
    expect_exit(2, "index: is no index of this program", read_index, &count);
    index_write("alexnet-similar 2 5 3 and what makes this head longer than 64 bytes",
                whole);
    expect_exit(2, "index: is no index of this program", read_index, &count);
    index_write("alexnet-similar 2 5 3\n", whole);
    expect_exit(2, "index: has 5 pictures, the pack 4", read_index, &other);
    expect_exit(1, "none/index: No such file", write_index,
                (void *)(uintptr_t)inside("none/index"));
}
END_TEST

/* Equal but for rounding: lengths apart by 1e-4 of the probe's. */
START_TEST(a_probe_is_known_again_but_for_rounding)
{
    vectors v = some_vectors(1, 4);
    float other[4];
    size_t i;

    memcpy(other, v.probe, sizeof other);
    ck_assert_int_eq(vectors_same_probe(&v, other), 1);
    for (i = 0; i < 4; i++) {
        memcpy(other, v.probe, sizeof other);
        other[i] *= 1.00009f; /* no number is longer than all */
        ck_assert_int_eq(vectors_same_probe(&v, other), 1);
        other[i] += 0.0004f; /* 1.5e-4 of 2.74, the length of 0.5, 1, 1.5 and 2 */
        ck_assert_int_eq(vectors_same_probe(&v, other), 0);
    }
    for (i = 0; i < 4; i++) other[i] = -v.probe[i];
    ck_assert_int_eq(vectors_same_probe(&v, other), 0);
    vectors_free(&v);
}
END_TEST

static double distance_of(const float *a, const float *b, size_t size)
{
    double sum = 0;
    size_t i;

    for (i = 0; i < size; i++) {
        double apart = (double)a[i] - (double)b[i];

        sum += apart * apart;
    }
    return sqrt(sum);
}

/* The nearest, one after the other: of all that are left, the one with the least
 * distance. */
static void nearest_of(const float *values, size_t count, size_t size, const float *query,
                       size_t except, size_t *order, size_t most)
{
    double *distances = malloc(count * sizeof *distances);
    size_t n, i, best;

    for (i = 0; i < count; i++)
        distances[i] =
            i == except ? INFINITY : distance_of(query, values + i * size, size);
    for (n = 0; n < most; n++) {
        for (best = 0, i = 1; i < count; i++)
            if (distances[i] < distances[best]) best = i;
        order[n] = best;
        distances[best] = INFINITY;
    }
    free(distances);
}

START_TEST(the_nearest_vectors_come_first)
{
    vectors v = some_vectors(40, 3);
    size_t wanted[12], got[12], most, except, i;

    /* Each has a twin: the first of two comes first, and alone where there is no more
     * room. */
    memcpy(v.values + 3 * 20, v.values, 20 * 3 * sizeof(float));
    for (most = 1; most <= 12; most++)
        for (except = 0; except <= 40; except += 8) {
            const float *query = v.values + 3 * 9;

            nearest_of(v.values, 40, 3, query, except, wanted, most);
            vectors_nearest(&v, query, except, got, most);
            for (i = 0; i < most; i++)
                expect_count(got[i], wanted[i], "nearest %zu of %zu, without %zu", i,
                             most, except);
        }
    memset(got, 0xff, sizeof got);
    v.count = 3; /* fewer than are asked for: the rest stays as it was */
    vectors_nearest(&v, v.values, 0, got, 5);
    nearest_of(v.values, 3, 3, v.values, 0, wanted, 2);
    expect_count(got[0], wanted[0], "of three");
    expect_count(got[1], wanted[1], "of three");
    expect_count(got[2], (size_t)-1, "of three");
    vectors_free(&v);
}
END_TEST

/* --- the program ------------------------------------------------------------------- */

/* A layer's numbers of all pictures of a pack. */
static float *layer_of(an_model *model, const an_pack *pack, const char *layer,
                       size_t *size)
{
    an_pack_info info;
    an_image images[COUNT];
    uint8_t *pixels;
    size_t bytes;
    float *out;
    uint32_t i;

    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(pack, &info));
    bytes = (size_t)3 * info.side * info.side;
    pixels = malloc(info.count * bytes);
    for (i = 0; i < info.count; i++) {
        expect_ok(an_pack_read(pack, i, pixels + i * bytes, ENOUGH, NULL));
        images[i] = image_of(pixels + i * bytes, info.side, info.side);
    }
    expect_ok(an_activation_count(model, layer, AN_POINT_ACTIVATION, size, NULL));
    out = malloc(info.count * *size * sizeof *out);
    expect_ok(an_infer_layer_images(model, images, (uint32_t)info.count, layer,
                                    AN_POINT_ACTIVATION, out, ENOUGH));
    free(pixels);
    return out;
}

typedef struct scene {
    an_context *ctx;
    an_model *model;
    an_pack *pack;
} scene;

static scene open_scene(uint32_t count)
{
    pack_spec spec = {count, CLASSES, SIDE, 0, 0, class_names};
    an_model_config config = tiny_config_with_fc7(CLASSES, 4);
    scene s;

    s.ctx = context_make();
    pack_make(s.ctx, "pack", &spec);
    s.pack = pack_of(s.ctx, "pack");
    s.model = model_make(s.ctx, "m", &config, SIDE, class_names);
    return s;
}

static void close_scene(scene *s)
{
    an_pack_destroy(s->pack);
    an_model_destroy(s->model);
    an_context_destroy(s->ctx);
}

/* The index has what `model` gives of the pack. 1e-5: sums of a batch of another size. */
static void expect_index(const char *name, const scene *s, an_model *model,
                         const char *layer, uint32_t count)
{
    vectors v = vectors_read(inside(name), count);
    size_t size;
    float *wanted = layer_of(model, s->pack, layer, &size);

    expect_count(v.size, size, "%s: numbers of %s", name, layer);
    expect_floats(v.values, wanted, count * size, 1e-5, "%s: %s", name, layer);
    free(wanted);
    vectors_free(&v);
}

START_TEST(an_index_has_a_layers_numbers_of_every_picture)
{
    scene s = open_scene(COUNT);
    char *out;

    program_succeeds(&out, "similar index m pack i7");
    expect_text(out, "70 pictures, 80 numbers of fc7 each: i7\n", "said");
    free(out);
    expect_index("i7", &s, s.model, "fc7", COUNT);
    program_succeeds(&out, "similar --layer conv3 index m pack i3");
    expect_text(out, "70 pictures, 72 numbers of conv3 each: i3\n", "said");
    free(out);
    expect_index("i3", &s, s.model, "conv3", COUNT);
    close_scene(&s);
}
END_TEST

/* Of fewer than 16 pictures dense layers may read bfloat16, but not on the reference
 * path. */
START_TEST(precision_and_path_reach_the_index)
{
    scene s = open_scene(14);
    an_load_config load;
    an_model *coarse;
    float *exact, *rounded;
    size_t size;

    an_load_config_init(&load, sizeof load);
    load.precision = AN_PRECISION_BF16;
    expect_ok(an_model_load(&coarse, s.ctx, inside("m"), &load));
    program_succeeds(NULL, "similar --precision bf16 index m pack coarse");
    expect_index("coarse", &s, coarse, "fc7", 14);
    program_succeeds(NULL,
                     "similar --precision bf16 --cpu-path reference index m pack r");
    expect_index("r", &s, s.model, "fc7", 14);
    exact = layer_of(s.model, s.pack, "fc7", &size);
    rounded = layer_of(coarse, s.pack, "fc7", &size);
    if (path_of(s.ctx) != AN_CPU_PATH_REFERENCE)
        ck_assert(distance_of(exact, rounded, size) >
                  1e-4 * sqrt((double)size) * (double)exact[0]);
    free(exact);
    free(rounded);
    an_model_destroy(coarse);
    close_scene(&s);
}
END_TEST

/* A row for each query: it in a frame, then the nearest with their classes, 128 pixels
 * each, as far as the pack has them. */
static void draw_expected(const scene *s, uint32_t queries, size_t nearest, size_t count,
                          const char *file)
{
    enum { CELL = 128, GAP = 6, LABEL = 18 };
    double wide = (double)(nearest + 1) * (CELL + GAP) + 3 * GAP,
           high = CELL + LABEL + GAP;
    canvas *page = canvas_make(wide, queries * high + GAP);
    uint8_t pixels[3 * SIDE * SIDE];
    size_t order[COUNT], size, i;
    float *all = layer_of(s->model, s->pack, "fc7", &size),
          *one = malloc(size * sizeof *one);
    int32_t label;
    uint32_t q;

    for (q = 0; q < queries; q++) {
        double y = GAP + q * high;
        char name[32];
        an_image image;
        picture p;

        snprintf(name, sizeof name, "in/%u.png", q);
        p = picture_of(name);
        image = image_of(p.pixels, p.width, p.height);
        expect_ok(an_infer_layer_images(s->model, &image, 1, "fc7", AN_POINT_ACTIVATION,
                                        one, ENOUGH));
        nearest_of(all, count, size, one, count, order,
                   nearest < count ? nearest : count);
        expect_ok(an_image_fit(&image, SIDE, pixels, ENOUGH));
        canvas_picture(page, GAP, y, CELL, CELL, pixels, SIDE, SIDE);
        canvas_frame(page, GAP, y, CELL, CELL, 2, 0xd55e00);
        canvas_text(page, GAP + 64, y + CELL + 13, 11, CANVAS_CENTRE, CELL, 0xd55e00,
                    name + 3);
        for (i = 0; i < nearest && i < count; i++) {
            double x = 3 * GAP + (double)(i + 1) * (CELL + GAP);

            expect_ok(an_pack_read(s->pack, order[i], pixels, ENOUGH, &label));
            canvas_picture(page, x, y, CELL, CELL, pixels, SIDE, SIDE);
            canvas_text(page, x + 64, y + CELL + 13, 11, CANVAS_CENTRE, CELL, 0x404040,
                        class_names[label]);
        }
        picture_free(&p);
    }
    ck_assert_int_eq(canvas_write_png(page, inside(file)), 0);
    canvas_free(page);
    free(all);
    free(one);
}

START_TEST(a_query_shows_the_nearest_pictures_in_their_order)
{
    scene s = open_scene(COUNT);
    char *out;

    folder_make("in");
    png_waves("in/0.png", SIDE, SIDE, 0); /* the pack's first picture */
    png_waves("in/1.png", 50, 60, 500);
    program_succeeds(NULL, "similar index m pack index");
    program_succeeds(&out, "similar query index m pack got.png in/0.png in/1.png");
    expect_text(out, "2 pictures, the 6 nearest of each: got.png\n", "said");
    free(out);
    draw_expected(&s, 2, 6, COUNT, "wanted.png");
    expect_same_picture("got.png", "wanted.png");
    program_succeeds(NULL, "similar --nearest 2 query index m pack two.png in/0.png");
    draw_expected(&s, 1, 2, COUNT, "wanted.png");
    expect_same_picture("two.png", "wanted.png");
    close_scene(&s);
}
END_TEST

/* The share of pictures' nearest, themselves left out, that have their label, in
 * percent. */
static double share_of(const float *values, size_t size, size_t nearest)
{
    size_t order[10], i, k, same = 0;

    for (i = 0; i < COUNT; i++) {
        nearest_of(values, COUNT, size, values + i * size, i, order, nearest);
        for (k = 0; k < nearest; k++) same += order[k] * 5 % CLASSES == i * 5 % CLASSES;
    }
    return 100.0 * (double)same / (double)(COUNT * nearest);
}

START_TEST(a_score_is_the_share_of_the_nearest_that_are_of_the_same_class)
{
    static const size_t counts[] = {6, 3};
    scene s = open_scene(COUNT);
    size_t size, i, k, pixels = 3 * SIDE * SIDE;
    float *layer = layer_of(s.model, s.pack, "fc7", &size),
          *raw = malloc(COUNT * pixels * sizeof *raw);
    uint8_t *bytes = malloc(pixels);
    char *out;

    for (i = 0; i < COUNT; i++) {
        expect_ok(an_pack_read(s.pack, i, bytes, ENOUGH, NULL));
        for (k = 0; k < pixels; k++) raw[i * pixels + k] = bytes[k];
    }
    program_succeeds(NULL, "similar index m pack index");
    for (i = 0; i < 2; i++) {
        program_succeeds(&out, "similar score index pack --nearest %zu", counts[i]);
        expect_line(out,
                    "of the %zu nearest by the index, %.1f %% are of the picture's own "
                    "class",
                    counts[i], share_of(layer, size, counts[i]));
        expect_line(out, "of the %zu nearest by raw pixels, %.1f %%", counts[i],
                    share_of(raw, pixels, counts[i]));
        expect_count(lines_of(out), 2, "lines");
        free(out);
    }
    free(bytes);
    free(raw);
    free(layer);
    close_scene(&s);
}
END_TEST

START_TEST(of_a_small_pack_all_pictures_are_shown)
{
    scene s = open_scene(14);

    folder_make("in");
    png_waves("in/0.png", 50, 60, 500);
    program_succeeds(NULL, "similar index m pack index");
    program_succeeds(NULL, "similar --nearest 17 query index m pack got.png in/0.png");
    draw_expected(&s, 1, 17, 14, "wanted.png");
    expect_same_picture("got.png", "wanted.png");
    close_scene(&s);
}
END_TEST

START_TEST(an_index_of_another_model_or_layer_is_refused)
{
    scene s = open_scene(14);
    an_model_config config = tiny_config_with_fc7(CLASSES, 5);

    an_model_destroy(model_make(s.ctx, "other", &config, SIDE, class_names));
    png_waves("q.png", 50, 60, 1);
    program_succeeds(NULL, "similar index m pack i7");
    program_fails(2, "i7: is of another model or layer than fc7 of other",
                  "similar query i7 other pack no.png q.png");
    program_fails(2, "i7: is of another model or layer than fc6 of m",
                  "similar --layer fc6 query i7 m pack no.png q.png");
    program_fails(2, "i7: vectors of 80 numbers, conv3 has 72",
                  "similar --layer conv3 query i7 m pack no.png q.png");
    program_fails(2, "q2.png: No such file", "similar query i7 m pack no.png q2.png");
    program_fails(1, "none/no.png: No such file or directory",
                  "similar query i7 m pack none/no.png q.png");
    program_fails(2, "--nearest 14: the pack has no more",
                  "similar --nearest 14 score i7 pack");
    program_succeeds(NULL, "similar --nearest 13 score i7 pack");
    close_scene(&s);
}
END_TEST

/* Where it is read for an index, drawn as a neighbour, or compared by its pixels. */
START_TEST(a_damaged_picture_ends_the_work)
{
    scene s = open_scene(14);

    png_waves("q.png", 50, 60, 1);
    program_succeeds(NULL, "similar index m pack i7");
    byte_flip("pack/part-0000.bin", 16 + 3 * 3 * SIDE * SIDE);
    program_fails(1, "picture 3", "similar index m pack another");
    program_fails(1, "picture 3", "similar --nearest 14 query i7 m pack no.png q.png");
    program_fails(1, "picture 3", "similar --nearest 2 score i7 pack");
    close_scene(&s);
}
END_TEST

START_TEST(similar_refuses_what_it_cannot_do)
{
    pack_spec spec = {14, CLASSES, SIDE, 0, AN_FIT_WARP, class_names};
    scene s = open_scene(14);

    pack_make(s.ctx, "warped", &spec);
    program_fails(2, "index, query or score is wanted", "similar");
    program_fails(2, "index: must be index, query or score", "similar index m pack");
    program_fails(2, "score: must be index, query or score", "similar score i pack more");
    program_fails(2, "query: must be index, query or score",
                  "similar query i m pack out.png");
    program_fails(2, "find: must be index, query or score", "similar find m pack i");
    program_fails(2, "warped: its pictures were warped", "similar index m warped i");
    program_fails(1, "m: ", "similar --layer fc8 index m pack i");
    program_fails(1, "m: ", "similar --device other index m pack i");
    program_fails(1, "none", "similar index none pack i");
    program_fails(1, "none", "similar index m none i");
    program_fails(1, "none", "similar score none pack");
    close_scene(&s);
}
END_TEST

Suite *similar_suite(void)
{
    Suite *suite = suite_create("similar");
    TCase *files = tcase_create("vectors"), *tc = tcase_create("similar");

    tcase_add_checked_fixture(files, programs_setup, programs_teardown);
    tcase_add_test(files, vectors_come_back_from_their_file);
    tcase_add_test(files, an_index_that_is_none_is_refused);
    tcase_add_test(files, a_probe_is_known_again_but_for_rounding);
    tcase_add_test(files, the_nearest_vectors_come_first);
    suite_add_tcase(suite, files);
    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, an_index_has_a_layers_numbers_of_every_picture);
    tcase_add_test(tc, precision_and_path_reach_the_index);
    tcase_add_test(tc, a_query_shows_the_nearest_pictures_in_their_order);
    tcase_add_test(tc, of_a_small_pack_all_pictures_are_shown);
    tcase_add_test(tc, a_score_is_the_share_of_the_nearest_that_are_of_the_same_class);
    tcase_add_test(tc, an_index_of_another_model_or_layer_is_refused);
    tcase_add_test(tc, a_damaged_picture_ends_the_work);
    tcase_add_test(tc, similar_refuses_what_it_cannot_do);
    suite_add_tcase(suite, tc);
    return suite;
}
