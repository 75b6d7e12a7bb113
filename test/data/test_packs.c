/*
 * test_packs.c - reading packs: what they tell, statistics, checksums, pictures that are
 * damaged.
 */
#define _XOPEN_SOURCE 700
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "packs.h"
#include "small.h"
#include "test.h"

/* --- statistics -------------------------------------------------------------------- */

typedef struct statistics {
    double mean[3], covariance[3][3];
} statistics;

static statistics statistics_of(const set *s)
{
    double sum[3] = {0}, product[3][3] = {{0}}, n = (double)s->count * s->side * s->side;
    uint8_t *pixels = malloc(set_bytes(s));
    uint32_t i, c, d;
    statistics out;
    size_t k;

    for (i = 0; i < s->count; i++) {
        set_picture(s, i, pixels);
        for (k = 0; k < set_bytes(s); k += 3)
            for (c = 0; c < 3; c++) {
                sum[c] += pixels[k + c];
                for (d = 0; d < 3; d++) product[c][d] += pixels[k + c] * pixels[k + d];
            }
    }
    for (c = 0; c < 3; c++) {
        out.mean[c] = sum[c] / n;
        for (d = 0; d < 3; d++)
            out.covariance[c][d] = product[c][d] / n - sum[c] * sum[d] / n / n;
    }
    free(pixels);
    return out;
}

/* `variance` and its direction, the largest of a covariance: what is left of any
 * vector that it is applied to again and again. Then the covariance without it. */
static double take_largest(double covariance[3][3], double direction[3])
{
    double v[3] = {0.31, 0.52, -0.79}, next[3], length = 0;
    int turn, i, j;

    for (turn = 0; turn < 20000; turn++) {
        length = 0;
        for (i = 0; i < 3; i++) {
            next[i] = 0;
            for (j = 0; j < 3; j++) next[i] += covariance[i][j] * v[j];
            length += next[i] * next[i];
        }
        length = sqrt(length);
        for (i = 0; i < 3; i++) v[i] = next[i] / length;
    }
    for (i = 0; i < 3; i++)
        for (j = 0; j < 3; j++) covariance[i][j] -= length * v[i] * v[j];
    /* Of the two directions, the one towards white. */
    for (i = 0; i < 3; i++) direction[i] = v[0] + v[1] + v[2] < 0 ? -v[i] : v[i];
    return length;
}

/* Variances of a few grey levels squared come from sums of products of up to 65025,
 * exactly; the result is a float. */
static void colours_are(const statistics *of, const float mean[3],
                        const float deviation[3], const float along[3], float axis[3][3],
                        const char *what)
{
    double covariance[3][3], direction[3];
    int i, c;

    memcpy(covariance, of->covariance, sizeof covariance);
    for (c = 0; c < 3; c++) {
        expect_number(mean[c], of->mean[c], 1e-4, "%s: mean of colour %d", what, c);
        expect_number(deviation[c], sqrt(of->covariance[c][c]), 1e-4,
                      "%s: deviation of colour %d", what, c);
    }
    for (i = 0; i < 3; i++) {
        double variance = take_largest(covariance, direction);

        expect_number(along[i], sqrt(variance), 1e-3, "%s: deviation along axis %d", what,
                      i);
        for (c = 0; c < 3; c++)
            expect_number(axis[i][c], direction[c], 1e-4, "%s: axis %d, colour %d", what,
                          i, c);
    }
}

static const set sets[] = {
    {5, 10, 3, AN_PACK_RAW, AN_FIT_CROP, 0, AN_PART_HEAD + 3 * 75},
    {1, 7, 2, AN_PACK_RAW, AN_FIT_WARP, 3, 1},
    {4, 12, 12, AN_PACK_JPEG, AN_FIT_CROP, 5, 200},
    {7, 9, 4, AN_PACK_JPEG, AN_FIT_WARP, 1, 1 << 20},
    {16, 3, 3, AN_PACK_RAW, AN_FIT_WARP, 2, 800},
};

enum { SETS = sizeof sets / sizeof sets[0] };

/* The files of a set by their rule: a part is closed once it has reached its size. */
static uint64_t parts_of(const set *s, uint64_t *bytes)
{
    uint8_t *stored = malloc(set_bytes(s) + SET_MORE);
    uint64_t parts = 0, last = s->part_bytes;
    uint32_t i;

    for (i = 0, *bytes = 0; i < s->count; i++) {
        size_t size = set_stored(s, i, stored);

        if (last >= s->part_bytes) parts++, last = AN_PART_HEAD, *bytes += AN_PART_HEAD;
        last += size;
        *bytes += size;
    }
    free(stored);
    return parts;
}

START_TEST(a_pack_tells_what_it_is)
{
    const set *s = &sets[_i];
    place p = place_open();
    statistics of = statistics_of(s);
    uint64_t bytes, parts = parts_of(s, &bytes);
    an_pack_info info;
    char what[32];
    an_pack *pack;

    snprintf(what, sizeof what, "set %d", _i);
    set_make(&p, "pack", s);
    pack = set_open(&p, "pack", s, NULL);
    info = pack_info(pack);
    expect_count(info.size, sizeof info, "%s", what);
    expect_count(info.count, s->count, "%s", what);
    expect_count(info.bytes, bytes, "%s", what);
    expect_count(info.skipped, s->skipped, "%s", what);
    expect_count(info.side, s->side, "%s", what);
    expect_count(info.classes, s->classes, "%s", what);
    expect_count(info.kind, s->kind, "%s", what);
    expect_count(info.parts, parts, "%s", what);
    expect_count(info.fit, s->fit, "%s", what);
    colours_are(&of, info.mean, info.deviation, info.colour_deviation, info.colour_axis,
                what);
    set_check(pack, s, what);
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

START_TEST(a_mean_image_is_the_mean_of_the_pictures)
{
    const set *s = &sets[_i];
    size_t count = set_bytes(s), plane = count / 3, k;
    float *got = malloc((count + 1) * sizeof *got);
    float *wanted = malloc(count * sizeof *wanted);
    double *sum = calloc(count, sizeof *sum);
    uint8_t *pixels = malloc(count);
    place p = place_open();
    an_pack *pack;
    uint32_t i;

    for (i = 0; i < s->count; i++) {
        set_picture(s, i, pixels);
        for (k = 0; k < count; k++) sum[k % 3 * plane + k / 3] += pixels[k];
    }
    for (k = 0; k < count; k++) wanted[k] = (float)(sum[k] / s->count);
    set_make(&p, "pack", s);
    pack = set_open(&p, "pack", s, NULL);
    got[count] = 77;
    expect_ok(an_pack_mean_image(pack, got, count));
    expect_floats(got, wanted, count, 0, "the mean image of set %d", _i);
    expect_number(got[count], 77, 0, "what is behind it");
    expect_refused(an_pack_mean_image(pack, got, count + 1), AN_ERROR_ARGUMENT, "count");
    expect_refused(an_pack_mean_image(pack, got, count - 1), AN_ERROR_ARGUMENT, "count");
    expect_refused(an_pack_mean_image(pack, NULL, count), AN_ERROR_ARGUMENT, "null");
    an_pack_destroy(pack);
    place_close(&p);
    free(got);
    free(wanted);
    free(sum);
    free(pixels);
}
END_TEST

enum { PIXELS = 16, TRIES = 60 };

/* The sums of an index and the statistics of the same pixels. */
static void sum_pixels(const uint8_t x[PIXELS * 3], an_sums *sums, statistics *of)
{
    static const int at[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}}; /* rr rg rb gg gb bb */
    uint32_t k, c, d;

    memset(sums, 0, sizeof *sums);
    memset(of, 0, sizeof *of);
    for (k = 0; k < PIXELS; k++)
        for (c = 0; c < 3; c++) {
            sums->colour[c] += x[3 * k + c];
            of->mean[c] += x[3 * k + c] / (double)PIXELS;
            for (d = c; d < 3; d++)
                sums->product[at[c][d]] += (uint64_t)x[3 * k + c] * x[3 * k + d];
        }
    for (k = 0; k < PIXELS; k++)
        for (c = 0; c < 3; c++)
            for (d = 0; d < 3; d++)
                of->covariance[c][d] +=
                    (x[3 * k + c] - of->mean[c]) * (x[3 * k + d] - of->mean[d]) / PIXELS;
}

/* Many sets of a few pixels, so that axes lie in every direction: each is the
 * account's, the longest first, and looks towards white. */
START_TEST(axes_are_in_order_and_look_towards_white)
{
    uint8_t x[PIXELS * 3];
    uint32_t seed, k;

    for (seed = 0; seed < TRIES; seed++) {
        statistics of;
        an_colours got;
        an_index index;
        char what[32];

        memset(&index, 0, sizeof index);
        noise_bytes(x, sizeof x, seed);
        for (k = 0; k < PIXELS * 3; k++) /* colours of unlike breadth, in every order */
            x[k] = (uint8_t)(x[k] >> (k + seed) % 3 | (seed & 4 ? x[k / 3 * 3] / 2 : 0));
        sum_pixels(x, &index.sums, &of);
        index.side = 2;
        index.count = PIXELS / 4;
        an__colours_of(&index, &got);
        snprintf(what, sizeof what, "noise %u", seed);
        colours_are(&of, got.mean, got.deviation, got.colour_deviation, got.colour_axis,
                    what);
    }
}
END_TEST

/* --- damage ------------------------------------------------------------------------ */

/* Pictures of a pack but one are as they were; that one's label can be read alone, and
 * reading its pixels is refused, with what the host has left as it was. */
static void one_is_damaged(place *p, const set *s, uint32_t which, const char *words)
{
    uint8_t *pixels = malloc(set_bytes(s)), *wanted = malloc(set_bytes(s));
    uint32_t calls = 0, i;
    an_pack *pack = set_open(p, "pack", s, &calls);
    int32_t label;

    for (i = 0; i < s->count; i++) {
        memset(pixels, 0xa5, set_bytes(s));
        set_picture(s, i, wanted);
        label = -7;
        if (i != which) {
            expect_ok(an_pack_read(pack, i, pixels, ENOUGH, &label));
            expect_count(label, set_label(s, i), "picture %u beside the damage", i);
        } else {
            expect_refused(an_pack_read(pack, i, pixels, ENOUGH, &label), AN_ERROR_FORMAT,
                           words);
            expect_count((uint32_t)label, (uint32_t)-7, "the label of picture %u", i);
            expect_refused(an_pack_read(pack, i, pixels, ENOUGH, NULL), AN_ERROR_FORMAT,
                           words);
            expect_ok(an_pack_read(pack, i, NULL, 0, &label));
            expect_count(label, set_label(s, i), "picture %u's label alone", i);
            memset(wanted, 0xa5, set_bytes(s));
        }
        expect_bytes(pixels, wanted, set_bytes(s), "picture %u", i);
    }
    if (s->kind != AN_PACK_RAW) expect_count(calls, s->count - 1, "calls of the decoder");
    an_pack_destroy(pack);
    free(pixels);
    free(wanted);
}

static const char *part_inside(place *p, uint64_t part)
{
    char name[64];

    snprintf(name, sizeof name, "pack/part-%04u.bin", (unsigned)part);
    return inside(p, name);
}

/* Each byte of some pictures in turn, raw and encoded. */
START_TEST(no_byte_of_a_picture_can_change)
{
    static const uint32_t which[] = {0, 4, 9};
    set s = small_set();
    place p = place_open();
    size_t i, k, size;
    an_index index;

    s.kind = _i ? AN_PACK_JPEG : AN_PACK_RAW;
    set_make(&p, "pack", &s);
    expect_ok(an__index_read(&index, p.ctx, inside(&p, "pack/index.safetensors")));
    for (i = 0; i < sizeof which / sizeof which[0]; i++) {
        const an_record *r = &index.records[which[i]];
        uint64_t part = r->place >> AN_PLACE_BITS, at = r->place & AN_PLACE_MASK;
        uint8_t *bytes = file_read(part_inside(&p, part), &size);
        char words[64];

        snprintf(words, sizeof words, "picture %u of the pack, in part %u", which[i],
                 (unsigned)part);
        for (k = 0; k < r->bytes; k++) {
            uint8_t was = bytes[at + k];

            file_set_byte(part_inside(&p, part), at + k, was ^ (uint8_t)(1 << k % 8));
            one_is_damaged(&p, &s, which[i], words);
            file_set_byte(part_inside(&p, part), at + k, was);
        }
        free(bytes);
    }
    an__index_free(&index, p.ctx);
    place_close(&p);
}
END_TEST

static an_status opens(place *p, an_decode_fn decode)
{
    an_pack *pack = NULL;
    an_status status = an_pack_open(&pack, p->ctx, inside(p, "pack"), decode, NULL);

    ck_assert_msg((pack != NULL) == (status == AN_OK), "status %s, pack %p",
                  an_status_string(status), (void *)pack);
    an_pack_destroy(pack);
    return status;
}

/* Each part's first bytes, and its length. */
START_TEST(no_part_is_another_file)
{
    set s = small_set();
    place p = place_open();
    uint32_t part;
    size_t size, k;

    set_make(&p, "pack", &s);
    for (part = 0; part < 4; part++) {
        uint8_t *bytes = file_read(part_inside(&p, part), &size);
        char name[32];

        snprintf(name, sizeof name, "part-%04u.bin", part);
        for (k = 0; k < AN_PART_HEAD; k++) {
            file_set_byte(part_inside(&p, part), k, bytes[k] ^ 1);
            expect_refused(opens(&p, NULL), AN_ERROR_FORMAT, name);
            file_set_byte(part_inside(&p, part), k, bytes[k]);
        }
        file_write(part_inside(&p, part), bytes, size - 1);
        expect_refused(opens(&p, NULL), AN_ERROR_FORMAT, name);
        bytes[size] = 0;
        file_write(part_inside(&p, part), bytes, size + 1);
        expect_refused(opens(&p, NULL), AN_ERROR_FORMAT, name);
        file_write(part_inside(&p, part), bytes, size);
        expect_ok(opens(&p, NULL));
        free(bytes);
    }
    place_close(&p);
}
END_TEST

/* A decoder that fails: what it wrote may stay, the label does not change. */
START_TEST(a_picture_that_does_not_decode_has_no_label)
{
    set s = small_set();
    uint8_t pixels[75], stored[75 + SET_MORE];
    an_pack_writer_config c;
    an_pack_writer *packing = NULL;
    place p = place_open();
    int32_t label = -7;
    an_pack *pack;
    size_t bytes;

    s.kind = AN_PACK_JPEG;
    c = set_config(&s, 0);
    expect_ok(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c));
    set_add(packing, &s, 0, s.count);
    bytes = set_stored(&s, 0, stored);
    stored[0]++; /* not what the codec wrote, but what is stored */
    set_picture(&s, 0, pixels);
    expect_ok(an_pack_writer_add(packing, pixels, stored, bytes, 1));
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    pack = set_open(&p, "pack", &s, NULL);
    expect_refused(an_pack_read(pack, 10, pixels, ENOUGH, &label), AN_ERROR_FORMAT,
                   "picture 10 of the pack cannot be decoded");
    expect_count((uint32_t)label, (uint32_t)-7, "the label");
    expect_ok(an_pack_read(pack, 10, NULL, 0, &label));
    expect_count(label, 1, "the label alone");
    expect_ok(an_pack_read(pack, 9, pixels, ENOUGH, &label));
    expect_ok(an_pack_read(pack, 9, NULL, 0, NULL));
    expect_refused(an_pack_read(pack, 11, NULL, 0, &label), AN_ERROR_ARGUMENT,
                   "index is 11");
    expect_refused(an_pack_read(pack, UINT64_MAX, pixels, ENOUGH, &label),
                   AN_ERROR_ARGUMENT, "index");
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

START_TEST(what_is_no_pack_does_not_open)
{
    set s = small_set();
    place p = place_open();
    an_pack_writer_config c = set_config(&s, 0);
    an_pack_writer *packing = NULL;
    an_context_config config;
    counted memory;

    an_context_destroy(p.ctx); /* another, which counts what is not given back */
    an_context_config_init(&config, sizeof config);
    counted_allocator(&config, &memory);
    expect_ok(an_context_create(&p.ctx, &config));
    expect_refused(opens(&p, NULL), AN_ERROR_IO, NULL); /* no folder */
    expect_ok(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c));
    expect_refused(opens(&p, NULL), AN_ERROR_IO, NULL); /* an empty one */
    set_add(packing, &s, 0, 9);
    expect_refused(opens(&p, NULL), AN_ERROR_IO, NULL); /* parts alone */
    expect_ok(an_pack_writer_sync(packing));
    expect_refused(opens(&p, NULL), AN_ERROR_STATE, "not finished");
    set_add(packing, &s, 9, 10);
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    expect_ok(opens(&p, NULL));
    expect_ok(opens(&p, set_decode)); /* which raw pictures do not need */
    file_write(inside(&p, "pack/unfinished.safetensors"), "left over", 9);
    expect_ok(opens(&p, NULL));
    file_write(inside(&p, "pack/index.safetensors"), "short", 5);
    expect_refused(opens(&p, NULL), AN_ERROR_FORMAT, "short");
    s.kind = AN_PACK_JPEG;
    ck_assert_int_eq(remove(inside(&p, "pack/index.safetensors")), 0);
    set_make(&p, "pack", &s);
    expect_refused(opens(&p, NULL), AN_ERROR_ARGUMENT, "decode is null");
    expect_ok(opens(&p, set_decode));
    place_close(&p);
    expect_count(memory.blocks, 0, "blocks that are left");
}
END_TEST

Suite *packs_suite(void)
{
    Suite *suite = suite_create("packs");
    TCase *tc = tcase_create("packs");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_pack_tells_what_it_is, 0, SETS);
    tcase_add_loop_test(tc, a_mean_image_is_the_mean_of_the_pictures, 0, SETS);
    tcase_add_test(tc, axes_are_in_order_and_look_towards_white);
    tcase_add_loop_test(tc, no_byte_of_a_picture_can_change, 0, 2);
    tcase_add_test(tc, no_part_is_another_file);
    tcase_add_test(tc, a_picture_that_does_not_decode_has_no_label);
    tcase_add_test(tc, what_is_no_pack_does_not_open);
    suite_add_tcase(suite, tc);
    return suite;
}
