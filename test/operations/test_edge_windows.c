/*
 * test_edge_windows.c - pooling and normalisation on the CPU's paths, at sizes just
 * below, at and just above those by which their loops are cut: vectors of maps, bands of
 * columns, rings of lines; cases of edges_suite().
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref.h"
#include "rig.h"
#include "test.h"
#include "twin.h"

/* --- pooling ----------------------------------------------------------------------- */

/* Windows that begin within `in`; the last may hang over if `ceil`. 0: none fits. */
static uint32_t positions(uint32_t in, uint32_t kernel, uint32_t stride, int ceil)
{
    uint32_t out = 0;

    while (out * stride + kernel <= in) out++;
    if (ceil && out * stride < in && (out == 0 || (out - 1) * stride + kernel < in))
        out++;
    return out;
}

static an_pool_shape pool_shape(uint32_t maps, uint32_t height, uint32_t width,
                                uint32_t kernel, uint32_t stride, int ceil)
{
    an_pool_shape s;

    memset(&s, 0, sizeof s);
    s.maps = maps;
    s.in_height = height;
    s.in_width = width;
    s.kernel = kernel;
    s.stride = stride;
    s.out_height = positions(height, kernel, stride, ceil);
    s.out_width = positions(width, kernel, stride, ceil);
    return s;
}

/* values: of how many x there is a choice, so that there are ties; 0: as many as
 * floats. */
static void try_pool(rig *r, const an_pool_shape *s, uint32_t n, int values)
{
    uint32_t in = s->in_height * s->in_width, out = s->out_height * s->out_width;
    twin x, y, dy, dx;
    size_t i;

    if (out == 0) return;
    describe_pool(s, n);
    x = make_maps(r, n, s->maps, in, 1), y = make_maps(r, n, s->maps, out, 9);
    dy = make_maps(r, n, s->maps, out, 1), dx = make_maps(r, n, s->maps, in, 9);
    for (i = 0; values > 0 && i < x.count; i++) x.ref[i] = floor(x.ref[i] * values / 2);
    to_device(r, &x);
    OK(r->b->pool_forward(r->queue, s, n, x.device, y.device, NONE));
    OK(r->b->pool_backward(r->queue, s, n, x.device, NONE, dy.device, dx.device));
    ref_pool_forward(s, n, x.ref, y.ref);
    ref_pool_backward(s, n, x.ref, dy.ref, dx.ref);
    expect_near(r, "pool_forward y", &y, 0);
    expect_near(r, "pool_backward dx", &dx, BOUND);
    free_twin(r, &x), free_twin(r, &y), free_twin(r, &dy), free_twin(r, &dx);
}

/* Images of all small sizes: windows that end with them, before them or behind them,
 * below and at the right; wider and narrower than their stride. */
static void small_pool_case(rig *r, const void *arg)
{
    static const uint32_t windows[][2] = {{3, 2}, {2, 2}, {3, 1}, {4, 1}, {2, 1}, {1, 1},
                                          {3, 3}, {5, 2}, {8, 2}, {2, 3}, {1, 2}, {7, 3}};
    const uint32_t *w = windows[*(const int *)arg];
    uint32_t height, width;
    int ceil;

    for (height = 1; height <= 8; height++)
        for (width = 1; width <= 9; width += width > 5 ? 2 : 1)
            for (ceil = 0; ceil <= 1; ceil++) {
                const an_pool_shape s =
                    pool_shape(height % 2 ? 1 : 9, height, width, w[0], w[1], ceil);

                try_pool(r, &s, 1, width % 3 ? 0 : 3);
            }
}

START_TEST(pooling_of_all_small_images)
{
    on_cpu_alone(small_pool_case, &_i);
}
END_TEST

static void pool_maps_case(rig *r, const void *arg)
{
    uint32_t maps;

    (void)arg;
    for (maps = 1; maps <= 35; maps++) {
        const an_pool_shape overlapping = pool_shape(maps, 5, 4, 3, 2, 1),
                            plain = pool_shape(maps, 2, 5, 2, 2, 0);

        try_pool(r, &overlapping, 2, 0);
        try_pool(r, &plain, 1 + maps % 3, 4);
    }
}

START_TEST(pooling_of_any_number_of_maps)
{
    on_cpu_alone(pool_maps_case, NULL);
}
END_TEST

/* The way back keeps the maxima of 64 columns of windows, and so does 60 strides of
 * input at a time. */
static void wide_pool_case(rig *r, const void *arg)
{
    static const uint32_t windows[][2] = {{3, 2}, {2, 2}, {3, 1}, {4, 1}, {8, 2}, {3, 3}};
    uint32_t i, bands;
    int off;

    (void)arg;
    for (i = 0; i < sizeof windows / sizeof windows[0]; i++)
        for (bands = 1; bands <= 2; bands++)
            for (off = -2; off <= 2; off++) {
                uint32_t width = (uint32_t)((int)(60 * windows[i][1] * bands) + off);
                const an_pool_shape s = pool_shape(bands == 1 ? 3 : 9, 5, width,
                                                   windows[i][0], windows[i][1], off % 2);

                try_pool(r, &s, 1, off == 0 ? 3 : 0);
            }
}

START_TEST(pooling_of_wide_images)
{
    on_cpu_alone(wide_pool_case, NULL);
}
END_TEST

/* Vectors keep maxima of four lines of windows; more of them at once are refused, not
 * wrong. */
static void too_many_windows_case(rig *r, const void *arg)
{
    const an_pool_shape most = pool_shape(3, 9, 9, 8, 2, 0),
                        more = pool_shape(3, 9, 9, 9, 2, 0);
    twin x = make_maps(r, 1, 3, 81, 1), dx = make_maps(r, 1, 3, 81, 1),
         dy = make_maps(r, 1, 3, 1, 1);

    (void)arg;
    try_pool(r, &most, 1, 0);
    if (is_vector(r)) {
        expect_refused(
            r->b->pool_backward(r->queue, &more, 1, x.device, NONE, dy.device, dx.device),
            AN_ERROR_ARGUMENT, "pooling of 9 pixels with stride 2: at most 4");
        expect_near(r, "pool_backward dx of what was refused", &dx, 0);
    } else {
        try_pool(r, &more, 1, 0);
    }
    free_twin(r, &x), free_twin(r, &dx), free_twin(r, &dy);
}

START_TEST(pooling_with_too_many_windows_over_a_pixel_is_refused)
{
    on_cpu_alone(too_many_windows_case, NULL);
}
END_TEST

/* A NaN is its window's maximum, whatever stands before and behind it, in every lane. */
static void nan_pool_case(rig *r, const void *arg)
{
    const an_pool_shape s =
        pool_shape(19, 3, 5, 3, 2, 0); /* two windows, with a column of both */
    twin x = make_maps(r, 1, 19, 15, 1), y = make_maps(r, 1, 19, 2, 1);
    uint32_t map, at, i;

    (void)arg;
    describe_pool(&s, 1);
    for (map = 0; map < 19; map++)
        for (at = 0; at < 15; at += 1 + map % 2) {
            double before = x.ref[map * 15 + at];
            float *got;

            x.ref[map * 15 + at] = NAN;
            to_device(r, &x);
            x.ref[map * 15 + at] = before;
            OK(r->b->pool_forward(r->queue, &s, 1, x.device, y.device, NONE));
            got = from_device(r, &y);
            for (i = 0; i < 38; i++)
                expect_count(
                    isnan(got[i]) != 0,
                    i / 2 == map && (i % 2 ? at % 5 >= 2 : at % 5 <= 2),
                    "pool_forward: a NaN at %u of map %u, output %u of map %u, %s", at,
                    map, i % 2, i / 2, r->place);
            free(got);
        }
    free_twin(r, &x), free_twin(r, &y);
}

START_TEST(pooling_keeps_a_nan_of_any_map)
{
    on_cpu_alone(nan_pool_case, NULL);
}
END_TEST

/* --- normalisation ----------------------------------------------------------------- */

static an_lrn_shape lrn_shape(uint32_t maps, uint32_t height, uint32_t width,
                              uint32_t size, uint32_t groups)
{
    an_lrn_shape s;

    memset(&s, 0, sizeof s);
    s.maps = maps;
    s.height = height;
    s.width = width;
    s.size = size;
    s.groups = groups;
    s.k = 2;
    s.alpha = 0.5f; /* of squares up to 9: a neighbour more or less is seen */
    s.beta = 0.75f;
    return s;
}

static void try_lrn(rig *r, const an_lrn_shape *s, uint32_t n, int within)
{
    uint32_t pixels = s->height * s->width;
    twin x = make_maps(r, n, s->maps, pixels, 3), y = make_maps(r, n, s->maps, pixels, 9);
    twin dy = make_maps(r, n, s->maps, pixels, 1),
         dx = make_maps(r, n, s->maps, pixels, 9);

    describe_lrn(s, within, n);
    OK((within ? r->b->lrn_within_forward : r->b->lrn_forward)(r->queue, s, n, x.device,
                                                               y.device));
    OK((within ? r->b->lrn_within_backward : r->b->lrn_backward)(r->queue, s, n, x.device,
                                                                 dy.device, dx.device));
    ref_lrn_forward(s, within, n, x.ref, y.ref);
    ref_lrn_backward(s, within, n, x.ref, dy.ref, dx.ref);
    expect_near(r, within ? "lrn_within_forward y" : "lrn_forward y", &y, BOUND);
    expect_near(r, within ? "lrn_within_backward dx" : "lrn_backward dx", &dx, BOUND);
    free_twin(r, &x), free_twin(r, &y), free_twin(r, &dy), free_twin(r, &dx);
}

/* Every number of maps up to some vectors, every window: at the first and the last map
 * of an image and of a group, which other maps' follow. */
static void lrn_maps_case(rig *r, const void *arg)
{
    uint32_t size = 1 + 2 * (uint32_t) * (const int *)arg, maps;

    for (maps = 1; maps <= 37; maps++) {
        const an_lrn_shape one = lrn_shape(maps, 1, 2, size, 1),
                           two = lrn_shape(2 * maps, 1, 2, size, 2);

        try_lrn(r, &one, 1, 0);
        try_lrn(r, &two, 1, 0);
    }
    for (maps = 47; maps <= 65; maps += maps == 49 ? 14 : 1) {
        const an_lrn_shape one = lrn_shape(maps, 1, 1, size, 1),
                           three = lrn_shape(3 * maps, 2, 1, size, 3);

        try_lrn(r, &one, 2, 0);
        try_lrn(r, &three, 1, 0);
    }
}

START_TEST(normalisation_of_any_number_of_maps)
{
    on_cpu_alone(lrn_maps_case, &_i);
}
END_TEST

/* The reference does 256 pixels at a time; vectors 4096 numbers, in whole pixels of a
 * line. */
static void lrn_pixels_case(rig *r, const void *arg)
{
    static const uint32_t planes[] = {1, 255, 256, 257, 511, 512, 513};
    uint32_t i;

    (void)arg;
    for (i = 0; i < sizeof planes / sizeof planes[0]; i++) {
        const an_lrn_shape line = lrn_shape(3, 1, planes[i], 5, 1),
                           column = lrn_shape(2, planes[i], 1, 3, 2);

        try_lrn(r, &line, 2, 0);
        try_lrn(r, &column, 1, 0);
    }
    for (i = 41; i <= 43; i++) {
        const an_lrn_shape s = lrn_shape(97, 1, i, 5, 1); /* 42 of them are up to 4096 */

        try_lrn(r, &s, 1, 0);
    }
    for (i = 2047; i <= 4096; i += i < 2049 ? 1 : 2047) {
        const an_lrn_shape s = lrn_shape(i, 1, 3, 5, 1);

        try_lrn(r, &s, 1, 0);
    }
}

START_TEST(normalisation_of_any_number_of_pixels)
{
    on_cpu_alone(lrn_pixels_case, NULL);
}
END_TEST

static void lrn_limit_case(rig *r, const void *arg)
{
    const an_lrn_shape s = lrn_shape(4097, 1, 1, 5, 1);
    twin x = make_maps(r, 1, 4097, 1, 1), y = make_maps(r, 1, 4097, 1, 1);

    (void)arg;
    if (is_vector(r)) {
        expect_refused(r->b->lrn_forward(r->queue, &s, 1, x.device, y.device),
                       AN_ERROR_ARGUMENT, "across 4097 maps: at most 4096");
        expect_refused(r->b->lrn_backward(r->queue, &s, 1, x.device, x.device, y.device),
                       AN_ERROR_ARGUMENT, "4097");
        expect_near(r, "lrn_forward y of what was refused", &y, 0);
    } else {
        try_lrn(r, &s, 1, 0);
    }
    free_twin(r, &x), free_twin(r, &y);
}

START_TEST(normalisation_of_too_many_maps_is_refused)
{
    on_cpu_alone(lrn_limit_case, NULL);
}
END_TEST

/* Each constant alone: an exponent that is no 3/4, a scale that is k alone, sums that
 * are all. */
static void lrn_constants_case(rig *r, const void *arg)
{
    static const float constants[][3] = {
        {1, 0.5f, 0.75f},  {2, 0, 0.75f},  {2, 0, 0.3f},  {0.5f, 2, 0.75f},
        {1, 1, 0.5f},      {1, 0.1f, 1},   {3, 1e-4f, 2}, {1, 1, 0},
        {1e-3f, 8, 0.75f}, {100, 1, 0.75f}};
    size_t i;

    (void)arg;
    for (i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        an_lrn_shape s = lrn_shape(20, 2, 3, 5, 2);

        s.k = constants[i][0];
        s.alpha = constants[i][1];
        s.beta = constants[i][2];
        try_lrn(r, &s, 2, 0);
        s.groups = 1;
        try_lrn(r, &s, 2, 1);
    }
}

START_TEST(normalisation_with_other_constants)
{
    on_cpu_alone(lrn_constants_case, NULL);
}
END_TEST

/* Within maps: windows over all four edges of images of all small sizes. */
static void within_case(rig *r, const void *arg)
{
    uint32_t size = 1 + 2 * (uint32_t) * (const int *)arg, height, width;

    for (height = 1; height <= 11; height += 1 + height / 4)
        for (width = 1; width <= 11; width += 1 + width / 4) {
            const an_lrn_shape s =
                lrn_shape(1 + (height + width) % 3 * 8, height, width, size, 1);

            try_lrn(r, &s, 1, 1);
        }
}

START_TEST(normalisation_within_all_small_maps)
{
    on_cpu_alone(within_case, &_i);
}
END_TEST

/* The way back does 24 columns at a time, of lines that stand in a ring of 9. */
static void within_large_case(rig *r, const void *arg)
{
    static const uint32_t sizes[] = {23, 24, 25, 47, 48, 49, 50};
    uint32_t i, maps;

    (void)arg;
    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const an_lrn_shape wide = lrn_shape(2, 3, sizes[i], 9, 1),
                           narrow = lrn_shape(9, 2, sizes[i], 3, 1),
                           high = lrn_shape(1, sizes[i], 3, i % 2 ? 9 : 5, 1);

        try_lrn(r, &wide, 1, 1);
        try_lrn(r, &narrow, 1, 1);
        try_lrn(r, &high, 2, 1);
    }
    for (i = 9; i <= 11; i++) { /* all of the ring, with columns on both sides */
        const an_lrn_shape s = lrn_shape(1, i, 60, 9, 1);

        try_lrn(r, &s, 1, 1);
    }
    for (maps = 1; maps <= 34; maps++) {
        const an_lrn_shape s = lrn_shape(maps, 2, 3, 3, 1);

        try_lrn(r, &s, 2, 1);
    }
    for (i = 1023; i <= 1024; i++) {
        const an_lrn_shape s = lrn_shape(1, 2, i, 3, 1);

        try_lrn(r, &s, 1, 1);
    }
}

START_TEST(normalisation_within_large_maps)
{
    on_cpu_alone(within_large_case, NULL);
}
END_TEST

/* --- threads ----------------------------------------------------------------------- */

/* What is an item: lines, maps, bands of maps, images, pixels. */
static void threads_case(rig *r, const void *arg)
{
    const an_pool_shape pools[] = {pool_shape(9, 11, 7, 3, 2, 1),
                                   pool_shape(1, 5, 5, 2, 2, 0),
                                   pool_shape(37, 3, 3, 3, 2, 0)};
    const an_lrn_shape lrns[] = {lrn_shape(9, 11, 7, 5, 1), lrn_shape(34, 2, 3, 3, 2),
                                 lrn_shape(5, 1, 600, 9, 1)};
    uint32_t i, n;

    (void)arg;
    for (i = 0; i < 3; i++)
        for (n = 1; n <= 5; n += 2) {
            try_pool(r, &pools[i], n, 3);
            try_lrn(r, &lrns[i], n, 0);
            try_lrn(r, &lrns[i], n, 1);
        }
}

START_TEST(windows_are_the_same_for_any_number_of_threads)
{
    on_cpu(threads_case, NULL, NULL, NULL);
}
END_TEST

void add_edge_windows(Suite *suite)
{
    TCase *pools = tcase_create("pooling at its edges");
    TCase *lrns = tcase_create("normalisation at its edges");

    tcase_set_timeout(pools, 60);
    tcase_add_loop_test(pools, pooling_of_all_small_images, 0, 12);
    tcase_add_test(pools, pooling_of_any_number_of_maps);
    tcase_add_test(pools, pooling_of_wide_images);
    tcase_add_test(pools, pooling_with_too_many_windows_over_a_pixel_is_refused);
    tcase_add_test(pools, pooling_keeps_a_nan_of_any_map);
    suite_add_tcase(suite, pools);
    tcase_set_timeout(lrns, 60);
    tcase_add_loop_test(lrns, normalisation_of_any_number_of_maps, 0, 5);
    tcase_add_test(lrns, normalisation_of_any_number_of_pixels);
    tcase_add_test(lrns, normalisation_of_too_many_maps_is_refused);
    tcase_add_test(lrns, normalisation_with_other_constants);
    tcase_add_loop_test(lrns, normalisation_within_all_small_maps, 0, 5);
    tcase_add_test(lrns, normalisation_within_large_maps);
    tcase_add_test(lrns, windows_are_the_same_for_any_number_of_threads);
    suite_add_tcase(suite, lrns);
}
