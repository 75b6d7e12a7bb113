/*
 * test_windows.c - normalisation and pooling of every backend against test/support/ref.c,
 * forward and backward; cases of ops_suite().
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ref.h"
#include "rig.h"
#include "test.h"
#include "twin.h"

/* --- normalisation ----------------------------------------------------------------- */

/* in: maps, height, width. What is not named: 1 group, k 1, beta 0.75, across maps. */
static const struct {
    uint32_t batch, in[3], size, groups;
    float k, alpha, beta;
    uint32_t within;
} lrns[] = {
    {.batch = 2, .in = {8, 5, 7}, .size = 5, .k = 2, .alpha = 1e-4f},
    /* the window stops at the group's edge */
    {.batch = 1, .in = {8, 5, 7}, .size = 5, .groups = 2, .k = 2, .alpha = 1e-2f},
    /* a window wider than the maps */
    {.batch = 3, .in = {3, 1, 1}, .size = 5, .alpha = 0.3f},
    /* another exponent */
    {.batch = 1, .in = {12, 17, 19}, .size = 3, .groups = 2, .alpha = 0.1f, .beta = 0.5f},
    {.batch = 1, .in = {6, 20, 21}, .size = 9, .alpha = 0.1f},
    {.batch = 1, .in = {1, 3, 3}, .size = 1, .alpha = 0.1f},
    /* vectors, and what is left of one */
    {.batch = 1, .in = {33, 4, 5}, .size = 5, .k = 2, .alpha = 1e-2f},
    {.batch = 1, .in = {34, 4, 5}, .size = 5, .k = 2, .alpha = 1e-2f},
    {.batch = 2, .in = {36, 3, 5}, .size = 5, .groups = 2, .k = 2, .alpha = 1e-2f},
    {.batch = 1, .in = {83, 5, 60}, .size = 9, .alpha = 1e-2f},
    /* pieces that end with their groups */
    {.batch = 2, .in = {16, 5, 3}, .size = 5, .groups = 2, .k = 2, .alpha = 1e-2f},
    {.batch = 1, .in = {96, 3, 7}, .size = 5, .k = 2, .alpha = 1e-2f},
    {.batch = 2, .in = {24, 2, 3}, .size = 5, .alpha = 0.1f, .beta = 0.6f},
    {.batch = 2, .in = {3, 9, 7}, .size = 5, .alpha = 4e-2f, .within = 1},
    {.batch = 1, .in = {2, 1, 1}, .size = 5, .alpha = 0.3f, .within = 1},
    {.batch = 1,
     .in = {2, 13, 2},
     .size = 3,
     .k = 2,
     .alpha = 0.3f,
     .beta = 1,
     .within = 1},
    {.batch = 1, .in = {1, 10, 12}, .size = 9, .alpha = 0.01f, .within = 1},
    {.batch = 1, .in = {35, 6, 27}, .size = 5, .alpha = 0.01f, .within = 1},
    /* wide */
    {.batch = 1, .in = {17, 11, 75}, .size = 9, .alpha = 0.01f, .within = 1},
};

static an_lrn_shape lrn_shape(int i)
{
    const an_lrn_shape s = {.maps = lrns[i].in[0],
                            .height = lrns[i].in[1],
                            .width = lrns[i].in[2],
                            .size = lrns[i].size,
                            .groups = lrns[i].groups != 0 ? lrns[i].groups : 1,
                            .k = lrns[i].k != 0 ? lrns[i].k : 1,
                            .alpha = lrns[i].alpha,
                            .beta = lrns[i].beta != 0 ? lrns[i].beta : 0.75f};

    return s;
}

static void lrn_case(rig *r, const void *arg)
{
    int i = *(const int *)arg, within = (int)lrns[i].within;
    const an_lrn_shape s = lrn_shape(i);
    uint32_t n = lrns[i].batch, pixels = s.height * s.width;
    twin x = make_maps(r, n, s.maps, pixels, 3), y = make_maps(r, n, s.maps, pixels, 9);
    twin dy = make_maps(r, n, s.maps, pixels, 1), dx = make_maps(r, n, s.maps, pixels, 9);

    describe_lrn(&s, within, n);
    OK((within ? r->b->lrn_within_forward : r->b->lrn_forward)(r->queue, &s, n, x.device,
                                                               y.device));
    OK((within ? r->b->lrn_within_backward
               : r->b->lrn_backward)(r->queue, &s, n, x.device, dy.device, dx.device));
    ref_lrn_forward(&s, within, n, x.ref, y.ref);
    ref_lrn_backward(&s, within, n, x.ref, dy.ref, dx.ref);
    expect_near(r, within ? "lrn_within_forward y" : "lrn_forward y", &y, BOUND);
    expect_near(r, within ? "lrn_within_backward dx" : "lrn_backward dx", &dx, BOUND);
    free_twin(r, &x), free_twin(r, &y), free_twin(r, &dy), free_twin(r, &dx);
}

START_TEST(normalisation)
{
    on_all(lrn_case, &_i);
}
END_TEST

static void expect_zeros(const rig *r, const char *what, const twin *y)
{
    float *got = from_device(r, y);
    size_t i;

    for (i = 0; i < y->count; i++)
        if (got[i] != 0)
            ck_abort_msg("%s: element %zu is %g, expected 0%s", what, i, (double)got[i],
                         case_text());
    free(got);
}

/* Squares beyond float's range make the scale infinite, and what it divides 0. */
static void overflow_case(rig *r, const void *arg)
{
    const an_lrn_shape s = {.maps = 19,
                            .height = 2,
                            .width = 2,
                            .size = 5,
                            .groups = 1,
                            .k = 1,
                            .alpha = 0.1f,
                            .beta = 0.75f};
    twin x = make_maps(r, 1, 19, 4, 3), y = make_maps(r, 1, 19, 4, 1);
    size_t i;

    (void)arg;
    describe_lrn(&s, 0, 1);
    for (i = 0; i < x.count; i++) x.ref[i] = i % 2 ? 1e25 : -1e25;
    to_device(r, &x);
    OK(r->b->lrn_forward(r->queue, &s, 1, x.device, y.device));
    expect_zeros(r, "lrn_forward y", &y);
    OK(r->b->lrn_within_forward(r->queue, &s, 1, x.device, y.device));
    expect_zeros(r, "lrn_within_forward y", &y);
    free_twin(r, &x), free_twin(r, &y);
}

START_TEST(normalisation_of_what_overflows)
{
    on_all(overflow_case, NULL);
}
END_TEST

/* --- pooling ----------------------------------------------------------------------- */

/* in: maps, height, width; out: height, width. ties: many elements of x are equal. */
static const struct {
    uint32_t batch, in[3], out[2], kernel, stride, ties;
} pools[] = {
    /* overlapping, exact */
    {.batch = 2, .in = {3, 13, 13}, .out = {6, 6}, .kernel = 3, .stride = 2},
    /* the last windows hang over the lower edge */
    {.batch = 1, .in = {2, 10, 9}, .out = {5, 4}, .kernel = 3, .stride = 2},
    /* plain */
    {.batch = 1, .in = {2, 8, 8}, .out = {4, 4}, .kernel = 2, .stride = 2},
    /* pieces of 16 bytes, the usual windows */
    {.batch = 2, .in = {16, 13, 13}, .out = {6, 6}, .kernel = 3, .stride = 2},
    {.batch = 1, .in = {96, 10, 55}, .out = {5, 27}, .kernel = 3, .stride = 2, .ties = 1},
    {.batch = 1, .in = {64, 8, 9}, .out = {4, 4}, .kernel = 2, .stride = 2, .ties = 1},
    /* such pieces in float32 alone; clipped */
    {.batch = 2, .in = {12, 7, 6}, .out = {3, 3}, .kernel = 3, .stride = 2, .ties = 1},
    /* more of them than a block has */
    {.batch = 1, .in = {1032, 3, 4}, .out = {1, 2}, .kernel = 3, .stride = 2, .ties = 1},
    {.batch = 1, .in = {8, 1, 2}, .out = {1, 1}, .kernel = 3, .stride = 2, .ties = 1},
    /* unusual windows of theirs */
    {.batch = 1, .in = {16, 9, 9}, .out = {3, 3}, .kernel = 4, .stride = 3, .ties = 1},
    /* without argmax */
    {.batch = 1, .in = {2, 15, 16}, .out = {3, 4}, .kernel = 5, .stride = 4, .ties = 1},
    /* stride beyond the kernel: some inputs unread */
    {.batch = 3, .in = {1, 9, 9}, .out = {3, 3}, .kernel = 2, .stride = 3},
    {.batch = 1, .in = {2, 1, 1}, .out = {1, 1}, .kernel = 3, .stride = 2},
    /* many equal values */
    {.batch = 2, .in = {2, 13, 11}, .out = {6, 5}, .kernel = 3, .stride = 2, .ties = 1},
    {.batch = 2, .in = {35, 9, 8}, .out = {4, 4}, .kernel = 3, .stride = 2, .ties = 1},
    /* wide */
    {.batch = 1,
     .in = {17, 5, 140},
     .out = {3, 138},
     .kernel = 3,
     .stride = 1,
     .ties = 1},
    {.batch = 1, .in = {3, 4, 263}, .out = {2, 131}, .kernel = 3, .stride = 2, .ties = 1},
};

static an_pool_shape pool_shape(const uint32_t in[3], const uint32_t out[2],
                                uint32_t kernel, uint32_t stride)
{
    const an_pool_shape s = {.maps = in[0],
                             .in_height = in[1],
                             .in_width = in[2],
                             .out_height = out[0],
                             .out_width = out[1],
                             .kernel = kernel,
                             .stride = stride};

    return s;
}

/* Room for the mask of a pooling's maxima, where the backend writes one of such
 * windows. */
static an_operand make_argmax(const rig *r, const an_pool_shape *s, uint32_t n)
{
    const an_fusion fusion = {.pattern = AN_FUSE_ARGMAX, .dtype = r->dtype, .pool = s};

    return an__can_fuse(r->b, r->device, &fusion)
               ? alloc_operand(r, r->b->fused->argmax_bytes(s) * n)
               : NONE;
}

static void pool_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    an_pool_shape s =
        pool_shape(pools[i].in, pools[i].out, pools[i].kernel, pools[i].stride);
    uint32_t n = pools[i].batch;
    uint32_t in = s.in_height * s.in_width, out = s.out_height * s.out_width;
    twin x = make_maps(r, n, s.maps, in, 2), y = make_maps(r, n, s.maps, out, 9);
    twin dy = make_maps(r, n, s.maps, out, 1), dx = make_maps(r, n, s.maps, in, 9);
    an_operand argmax = make_argmax(r, &s, n);
    size_t j;

    describe_pool(&s, n);
    for (j = 0; pools[i].ties && j < x.count; j++) x.ref[j] = floor(x.ref[j]);
    to_device(r, &x);
    OK(r->b->pool_forward(r->queue, &s, n, x.device, y.device, argmax));
    OK(r->b->pool_backward(r->queue, &s, n, x.device, argmax, dy.device, dx.device));
    ref_pool_forward(&s, n, x.ref, y.ref);
    ref_pool_backward(&s, n, x.ref, dy.ref, dx.ref);
    expect_near(r, "pool_forward y", &y, 0);
    expect_near(r, "pool_backward dx", &dx, BOUND);
    if (argmax.buffer != NULL) { /* of what ReLU gave: no gradient where it gave 0 */
        s.relu = 1;
        OK(r->b->pool_forward(r->queue, &s, n, x.device, y.device, argmax));
        OK(r->b->pool_backward(r->queue, &s, n, x.device, argmax, dy.device, dx.device));
        for (j = 0; j < dx.count; j++) dx.ref[j] = x.ref[j] > 0 ? dx.ref[j] : 0;
        expect_near(r, "pool_backward dx through ReLU", &dx, BOUND);
    }
    free_operand(r, argmax);
    free_twin(r, &x), free_twin(r, &y), free_twin(r, &dy), free_twin(r, &dx);
}

START_TEST(pooling)
{
    on_all(pool_case, &_i);
}
END_TEST

/* Normalisation, of windows of 5 maps with beta 0.75, and the pooling of it with stride
 * 2, in one. What is not named: 1 group, k 1. */
static const struct {
    uint32_t batch, in[3], out[2], kernel, groups;
    float k, alpha;
} normal_pools[] = {
    {.batch = 2, .in = {16, 13, 13}, .out = {6, 6}, .kernel = 3, .k = 2, .alpha = 1e-2f},
    {.batch = 1, .in = {96, 11, 55}, .out = {5, 27}, .kernel = 3, .k = 2, .alpha = 1e-2f},
    /* clipped; groups */
    {.batch = 3,
     .in = {32, 10, 9},
     .out = {5, 4},
     .kernel = 3,
     .groups = 2,
     .alpha = 0.1f},
    {.batch = 1, .in = {8, 8, 7}, .out = {4, 3}, .kernel = 2, .alpha = 0.1f},
    {.batch = 2, .in = {512, 7, 17}, .out = {3, 8}, .kernel = 3, .k = 2, .alpha = 1e-2f},
    {.batch = 1, .in = {256, 27, 5}, .out = {13, 2}, .kernel = 3, .k = 2, .alpha = 1e-2f},
    /* clipped below */
    {.batch = 1,
     .in = {24, 6, 10},
     .out = {3, 5},
     .kernel = 3,
     .groups = 3,
     .k = 2,
     .alpha = 1e-2f},
    {.batch = 1, .in = {8, 1, 1}, .out = {1, 1}, .kernel = 3, .k = 2, .alpha = 1e-2f},
    {.batch = 1, .in = {8, 27, 4}, .out = {13, 2}, .kernel = 2, .k = 2, .alpha = 1e-2f},
    {.batch = 1,
     .in = {64, 28, 6},
     .out = {14, 3},
     .kernel = 3,
     .groups = 2,
     .alpha = 0.1f},
};

static void normal_pool_case(rig *r, const void *arg)
{
    int i = *(const int *)arg;
    const an_lrn_shape n = {.maps = normal_pools[i].in[0],
                            .height = normal_pools[i].in[1],
                            .width = normal_pools[i].in[2],
                            .size = 5,
                            .groups =
                                normal_pools[i].groups != 0 ? normal_pools[i].groups : 1,
                            .k = normal_pools[i].k != 0 ? normal_pools[i].k : 1,
                            .alpha = normal_pools[i].alpha,
                            .beta = 0.75f};
    an_pool_shape s =
        pool_shape(normal_pools[i].in, normal_pools[i].out, normal_pools[i].kernel, 2);
    const an_fusion fusion = {
        .pattern = AN_FUSE_LRN_POOL, .dtype = r->dtype, .lrn = &n, .pool = &s};
    uint32_t batch = normal_pools[i].batch;
    uint32_t in = s.in_height * s.in_width, out = s.out_height * s.out_width;
    twin x, y, dy, dx;
    double *u, *du;
    an_operand argmax;
    size_t j;

    describe_lrn_pool(&n, &s, batch);
    if (!fuses(r, AN_FUSE_LRN_POOL)) return;
    ck_assert_msg(an__can_fuse(r->b, r->device, &fusion), "not fused%s", case_text());
    x = make_maps(r, batch, s.maps, in, 3), y = make_maps(r, batch, s.maps, out, 9);
    dy = make_maps(r, batch, s.maps, out, 1), dx = make_maps(r, batch, s.maps, in, 9);
    argmax = make_argmax(r, &s, batch);
    u = malloc(x.count * sizeof *u), du = malloc(x.count * sizeof *du);
    for (j = 0; j < x.count; j++) x.ref[j] = x.ref[j] > 0 ? x.ref[j] : 0;
    to_device(r, &x);
    s.relu = 1;
    OK(r->b->fused->lrn_pool_forward(r->queue, &n, &s, batch, x.device, y.device,
                                     argmax));
    OK(r->b->fused->lrn_pool_backward(r->queue, &n, &s, batch, x.device, argmax,
                                      dy.device, dx.device));
    ref_lrn_forward(&n, 0, batch, x.ref, u);
    ref_pool_forward(&s, batch, u, y.ref);
    ref_pool_backward(&s, batch, u, dy.ref, du);
    ref_lrn_backward(&n, 0, batch, x.ref, du, dx.ref);
    for (j = 0; j < x.count; j++) dx.ref[j] = x.ref[j] > 0 ? dx.ref[j] : 0;
    expect_near(r, "lrn_pool_forward y", &y, BOUND);
    expect_near(r, "lrn_pool_backward dx", &dx, BOUND);
    OK(r->b->fused->lrn_pool_forward(r->queue, &n, &s, batch, x.device, y.device, NONE));
    expect_near(r, "lrn_pool_forward y without argmax", &y, BOUND);
    free_operand(r, argmax);
    free(u), free(du);
    free_twin(r, &x), free_twin(r, &y), free_twin(r, &dy), free_twin(r, &dx);
}

START_TEST(pooling_of_normalised_maps)
{
    on_all(normal_pool_case, &_i);
}
END_TEST

/* The rule by itself: four equal inputs of one window each get its whole gradient; with
 * overlapping windows an input gets that of each window whose maximum it equals. */
static void tie_case(rig *r, const void *arg)
{
    const uint32_t in[3] = {1, 3, 3}, out[2] = {2, 2};
    const an_pool_shape s = pool_shape(in, out, 2, 1);
    static const float want[9] = {1, 3, 2, 4, 10, 6, 3, 7, 4};
    twin x = make_maps(r, 9, 1, 1, 1), dy = make_maps(r, 4, 1, 1, 1);
    twin dx = make_maps(r, 9, 1, 1, 9), y = make_maps(r, 4, 1, 1, 1);
    an_operand argmax = make_argmax(r, &s, 1);
    size_t i;

    (void)arg;
    describe_pool(&s, 1);
    for (i = 0; i < 9; i++) x.ref[i] = 5;
    for (i = 0; i < 4; i++) dy.ref[i] = (double)i + 1;
    to_device(r, &x);
    to_device(r, &dy);
    OK(r->b->pool_forward(r->queue, &s, 1, x.device, y.device, argmax));
    OK(r->b->pool_backward(r->queue, &s, 1, x.device, argmax, dy.device, dx.device));
    for (i = 0; i < 9; i++) dx.ref[i] = (double)want[i];
    expect_near(r, "pool_backward dx", &dx, 0);
    free_operand(r, argmax);
    free_twin(r, &x), free_twin(r, &dy), free_twin(r, &dx), free_twin(r, &y);
}

START_TEST(every_tied_maximum_receives_the_gradient)
{
    on_all(tie_case, NULL);
}
END_TEST

/* One NaN of one map; the others' results stay numbers. */
static void nan_pool_case(rig *r, const void *arg)
{
    const uint32_t in[3] = {19, 3, 3}, out[2] = {1, 1};
    const an_pool_shape s = pool_shape(in, out, 3, 2);
    twin x = make_maps(r, 1, 19, 9, 1), y = make_maps(r, 1, 19, 1, 1);
    uint32_t map, i, k;

    (void)arg;
    describe_pool(&s, 1);
    for (map = 0; map < 19; map += 9)
        for (i = 0; i < 9; i += 4) { /* first, middle and last of a window */
            double before = x.ref[map * 9 + i];
            float *got;

            x.ref[map * 9 + i] = NAN;
            to_device(r, &x);
            x.ref[map * 9 + i] = before;
            OK(r->b->pool_forward(r->queue, &s, 1, x.device, y.device, NONE));
            got = from_device(r, &y);
            for (k = 0; k < 19; k++)
                if ((isnan(got[k]) != 0) != (k == map))
                    ck_abort_msg("pool_forward: a NaN at pixel %u of map %u; y of map %u "
                                 "is %g%s",
                                 i, map, k, (double)got[k], case_text());
            free(got);
        }
    free_twin(r, &x), free_twin(r, &y);
}

START_TEST(pooling_keeps_nan)
{
    on_all(nan_pool_case, NULL);
}
END_TEST

void add_windows(TCase *tc)
{
    tcase_add_test(tc, normalisation_of_what_overflows);
    tcase_add_loop_test(tc, normalisation, 0, sizeof lrns / sizeof lrns[0]);
    tcase_add_loop_test(tc, pooling, 0, sizeof pools / sizeof pools[0]);
    tcase_add_test(tc, pooling_keeps_nan);
    tcase_add_loop_test(tc, pooling_of_normalised_maps, 0,
                        sizeof normal_pools / sizeof normal_pools[0]);
    tcase_add_test(tc, every_tied_maximum_receives_the_gradient);
}
