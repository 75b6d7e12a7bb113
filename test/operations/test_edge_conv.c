/*
 * test_edge_conv.c - convolutions on the CPU's paths, at sizes around those by which
 * their loops are cut: blocks of maps, tiles of pixels, bands and rounds; each algorithm,
 * and where one takes over from the other; cases of edges_suite().
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref.h"
#include "rig.h"
#include "test.h"
#include "twin.h"

typedef struct conv_at {
    uint32_t batch;
    uint32_t in, height, width; /* maps and pixels */
    uint32_t out, kernel, stride, pad, groups, halves;
    uint32_t behind; /* zeros below and to the right */
} conv_at;

static uint32_t positions(uint32_t size, const conv_at *c)
{
    return (size + c->pad + c->behind - c->kernel) / c->stride + 1;
}

static an_conv_shape shape_of(const conv_at *c)
{
    an_conv_shape s;

    memset(&s, 0, sizeof s);
    s.in_maps = c->in;
    s.in_height = c->height;
    s.in_width = c->width;
    s.out_maps = c->out;
    s.out_height = positions(c->height, c);
    s.out_width = positions(c->width, c);
    s.kernel = c->kernel;
    s.stride = c->stride;
    s.pad = c->pad;
    s.groups = c->groups;
    s.halves = c->halves;
    return s;
}

/* Winograd's algorithm has weights of its own on both sides of a product, whose rounding
 * grows with the number of maps that are summed: with hundreds of them it is three
 * times that of some. */
static double bound_of(const rig *r, const an_conv_shape *s)
{
    if (!is_vector(r) || s->stride > 1 || (s->kernel != 3 && s->kernel != 5))
        return BOUND;
    return s->in_maps > 100 || s->out_maps > 100 ? 3 * WINOGRAD_BOUND : WINOGRAD_BOUND;
}

/* With prepacked weights, and with a fused ReLU: y's own elements, but for what is below
 * 0. */
static void prepacked_and_fused(rig *r, const conv_at *c, const twin *x, const twin *w,
                                const twin *b, const twin *y)
{
    an_conv_shape s = shape_of(c);
    twin again = make_floats(r, y->count, 9);
    const float *want = in_place(y), *got = in_place(&again);
    an_operand prepacked = prepack_conv(r, &s, c->batch, w);
    size_t i;

    for (s.relu = 0; s.relu <= 1; s.relu++) {
        OK(r->b->conv_forward(r->queue, &s, c->batch, x->device, w->device, prepacked,
                              b->device, again.device));
        for (i = 0; i < y->count; i++)
            if (got[i] != (s.relu && want[i] < 0 ? 0 : want[i]))
                ck_abort_msg("conv_forward y: element %zu is %g, with prepacked weights "
                             "and ReLU %u %g%s",
                             i, (double)want[i], s.relu, (double)got[i], case_text());
    }
    free_operand(r, prepacked);
    free_twin(r, &again);
}

/* scratch: for how many images there is some, at least those of the batch. */
static void try_conv_within(rig *r, const conv_at *c, uint32_t scratch)
{
    const an_conv_shape s = shape_of(c);
    uint32_t in = s.in_height * s.in_width, out = s.out_height * s.out_width,
             n = c->batch;
    uint32_t maps = s.in_maps / s.groups / s.halves, taps = s.kernel * s.kernel;
    twin x = make_halves(r, n, s.halves, s.in_maps / s.halves, in, 1);
    twin w = make_weights(r, s.out_maps, s.halves, maps, taps),
         b = make_floats(r, s.out_maps, 1);
    twin y = make_maps(r, n, s.out_maps, out, 9),
         dy = make_maps(r, n, s.out_maps, out, 1);
    twin dx = make_halves(r, n, s.halves, s.in_maps / s.halves, in, 9);
    twin dw = make_weights(r, s.out_maps, s.halves, maps, taps),
         db = make_floats(r, s.out_maps, 9);

    rig_scratch(r, r->b->conv_scratch(r->device, &s, scratch, 1));
    describe_conv(&s, n);
    OK(r->b->conv_forward(r->queue, &s, n, x.device, w.device, NONE, b.device, y.device));
    OK(r->b->conv_backward_data(r->queue, &s, n, w.device, NONE, dy.device, x.device,
                                dx.device));
    OK(r->b->conv_backward_weights(r->queue, &s, n, x.device, dy.device, dw.device,
                                   db.device));
    ref_conv_forward(&s, n, x.ref, w.ref, b.ref, y.ref);
    ref_conv_backward(&s, n, x.ref, w.ref, dy.ref, dx.ref, dw.ref, db.ref);
    expect_near(r, "conv_forward y", &y, bound_of(r, &s));
    expect_near(r, "conv_backward_data dx", &dx, bound_of(r, &s));
    expect_near(r, "conv_backward_weights dw", &dw, BOUND);
    expect_near(r, "conv_backward_weights db", &db, BOUND);
    if (is_vector(r)) prepacked_and_fused(r, c, &x, &w, &b, &y);
    rig_scratch(r, 0); /* so that its fences are looked at */
    free_twin(r, &x), free_twin(r, &w), free_twin(r, &b), free_twin(r, &y);
    free_twin(r, &dy), free_twin(r, &dx), free_twin(r, &dw), free_twin(r, &db);
}

static void try_conv(rig *r, const conv_at *c)
{
    try_conv_within(r, c, c->batch);
}

/* --- shapes of all kinds ----------------------------------------------------------- */

static uint32_t chance; /* of the shapes, the same in each run */

static uint32_t among(uint32_t least, uint32_t most)
{
    chance = chance * 1664525u + 1013904223u;
    return least + (chance >> 8) % (most - least + 1);
}

static uint64_t products(const conv_at *c)
{
    return (uint64_t)c->batch * positions(c->height, c) * positions(c->width, c) *
           c->out * (c->in / c->groups) * c->kernel * c->kernel;
}

static conv_at any_shape(void)
{
    static const uint32_t kernels[] = {1, 2, 3, 3, 4, 5, 5, 6, 7, 11};
    conv_at c = {0};

    do {
        c.kernel = kernels[among(0, 9)];
        c.stride = among(0, 2) ? 1 : among(2, 4);
        c.pad = among(0, 1) ? c.kernel / 2 : among(0, c.kernel);
        c.behind = among(0, 1) ? c.pad : among(0, c.kernel);
        c.groups = among(0, 2) ? 1 : among(2, 3);
        c.halves = c.groups == 1 && !among(0, 3) ? 2 : 1;
        c.in = c.groups * c.halves * among(1, among(0, 1) ? 6 : 20);
        c.out = c.groups * among(1, among(0, 1) ? 9 : 40);
        c.height = among(1, 14);
        c.width = among(1, 16);
        c.batch = among(0, 2) ? among(1, 3) : among(4, 17);
    } while (c.height + c.pad + c.behind < c.kernel ||
             c.width + c.pad + c.behind < c.kernel || products(&c) > 60000);
    return c;
}

enum { SHAPES = 40 };

static void any_case(rig *r, const void *arg)
{
    int i;

    chance = (uint32_t) * (const int *)arg;
    for (i = 0; i < SHAPES; i++) {
        const conv_at c = any_shape();

        try_conv(r, &c);
    }
}

START_TEST(convolutions_of_all_kinds)
{
    on_cpu_alone(any_case, &_i);
}
END_TEST

/* --- maps and pixels --------------------------------------------------------------- */

/* Blocks of 16 or 32 maps out; of maps in a tile's rows, 6 or 14, and vectors, 8 or
 * 16. */
static void maps_case(rig *r, const void *arg)
{
    static const uint32_t maps[] = {1,  2,  5,  6,  7,  8,  9,  12, 13, 14, 15,
                                    16, 17, 28, 29, 31, 32, 33, 48, 49, 65};
    static const uint32_t kernels[][3] = /* kernel, stride, pad */
        {{1, 1, 0}, {3, 1, 1}, {5, 1, 2}, {3, 2, 1}};
    uint32_t i, k;

    (void)arg;
    for (i = 0; i < sizeof maps / sizeof maps[0]; i++)
        for (k = 0; k < 4; k++) {
            conv_at c = {1,
                         3,
                         3,
                         4,
                         2,
                         kernels[k][0],
                         kernels[k][1],
                         kernels[k][2],
                         1,
                         1,
                         kernels[k][2]};

            c.in = maps[i];
            try_conv(r, &c);
            c.in = 3;
            c.out = maps[i];
            try_conv(r, &c);
            c.groups = 2;
            c.in = 2 * maps[(i + k) % 12];
            c.out = 2 * maps[i % 12];
            try_conv(r, &c);
            c.groups = 1;
            c.halves = 2;
            c.in = 2 * maps[i];
            c.out = 3;
            try_conv(r, &c);
        }
}

START_TEST(convolutions_of_any_number_of_maps)
{
    on_cpu_alone(maps_case, NULL);
}
END_TEST

/* Output lines of every width up to some tiles, of every height up to some bands; few
 * images, whose lines are shared out, and many. */
static void pixels_case(rig *r, const void *arg)
{
    uint32_t i;

    (void)arg;
    for (i = 1; i <= 30; i++) {
        conv_at c = {1, 2, 1, 1, 3, 2, 1, 0, 1, 1, 1};

        c.width = i;
        c.height = 1 + i % 6;
        try_conv(r, &c);
        c.batch = 7 + i % 3;
        c.height = 1 + i % 2;
        try_conv(r, &c);
        c.batch = 1;
        c.width = 2;
        c.height = i;
        c.stride = 1 + i % 3;
        try_conv(r, &c);
    }
}

START_TEST(convolutions_of_any_size)
{
    on_cpu_alone(pixels_case, NULL);
}
END_TEST

/* The reference unfolds lines of about 128 pixels, or 512 for eight images and more;
 * shares weights' columns out by 16 where there are 64 for each, and maps by 4 for up
 * to three images. */
static void unfolded_case(rig *r, const void *arg)
{
    static const conv_at shapes[] = {
        {1, 1, 16, 8, 1, 1, 1, 0, 1, 1, 0},   {1, 1, 17, 8, 2, 1, 1, 0, 1, 1, 0},
        {7, 2, 3, 127, 3, 2, 1, 0, 1, 1, 1},  {7, 1, 5, 128, 2, 1, 1, 0, 1, 1, 0},
        {8, 1, 5, 129, 2, 1, 1, 0, 1, 1, 0},  {8, 3, 33, 32, 2, 1, 1, 0, 1, 1, 0},
        {2, 64, 2, 2, 2, 2, 1, 0, 1, 1, 1},   {1, 63, 2, 2, 2, 1, 1, 0, 1, 1, 0},
        {1, 128, 1, 3, 2, 1, 1, 0, 1, 1, 0},  {1, 127, 1, 3, 2, 1, 1, 0, 1, 1, 0},
        {1, 1024, 1, 1, 3, 1, 1, 0, 1, 1, 0}, {1, 1023, 1, 1, 3, 1, 1, 0, 1, 1, 0},
        {3, 8, 3, 3, 4, 3, 1, 1, 1, 1, 1},    {4, 8, 3, 3, 4, 3, 1, 1, 1, 1, 1},
        {3, 6, 3, 3, 4, 3, 1, 1, 1, 1, 1},    {3, 16, 3, 3, 4, 3, 2, 1, 2, 1, 1}};
    size_t i;

    (void)arg;
    for (i = 0; i < sizeof shapes / sizeof shapes[0]; i++) try_conv(r, &shapes[i]);
}

START_TEST(convolutions_at_the_edges_of_unfolding)
{
    on_cpu(unfolded_case, NULL, NULL, NULL);
}
END_TEST

/* Images so large, or so many, that they are done in rounds; weights' gradients that
 * stay from round to round, and within a round are summed some images at a time. Wide
 * strides keep the products few. */
static void rounds_case(rig *r, const void *arg)
{
    static const conv_at shapes[] = {
        /* 8 MiB of padded images: thirteen of 400 x 400 */
        {14, 1, 400, 400, 1, 3, 33, 1, 1, 1, 2},
        /* 16 MiB of strips, of one map in a tile's rows; of both groups */
        {3, 2, 400, 400, 2, 3, 41, 1, 2, 1, 2},
        /* 200 Ki numbers of strips: some images at a time */
        {10, 8, 64, 64, 3, 3, 13, 1, 1, 1, 2},
        {9, 14, 40, 64, 2, 2, 17, 0, 1, 1, 0},
        /* the same where a line of the kernel makes the rows */
        {27, 1, 100, 100, 2, 5, 21, 2, 1, 1, 0}};

    try_conv(r, &shapes[*(const int *)arg]);
}

START_TEST(convolutions_done_in_rounds)
{
    on_cpu_alone(rounds_case, &_i);
}
END_TEST

/* Packed weights of more than 1 MiB: blocks outermost, then images. */
static void large_pack_case(rig *r, const void *arg)
{
    const conv_at c = {2, 130, 2, 1, 260, 3, 2, 1, 1, 1, 1};

    (void)arg;
    try_conv(r, &c);
}

START_TEST(convolutions_with_weights_beyond_a_cache)
{
    on_cpu(large_pack_case, NULL, NULL, NULL);
}
END_TEST

/* --- Winograd's algorithm ---------------------------------------------------------- */

/* Tiles of 4 x 4 with three taps, of 2 x 2 with five, that hang over at every rest;
 * batches for which there are enough of them. */
static void tiles_case(rig *r, const void *arg)
{
    uint32_t kernel = *(const int *)arg ? 5 : 3, size;

    for (size = 1; size <= 13; size++) {
        uint32_t tile = 7 - kernel, across = (size + tile - 1) / tile, down;
        conv_at c = {1, 3, 1, 1, 5, kernel, 1, kernel / 2, 1, 1, kernel / 2};

        c.width = size;
        c.height = 1 + size * 5 % 7;
        down = (c.height + tile - 1) / tile;
        c.batch = (48 + across * down - 1) / (across * down);
        try_conv(r, &c);
        c.pad = 0; /* windows within the image; maps of both towers */
        c.behind = 0;
        c.width += kernel - 1;
        c.height += kernel - 1;
        c.halves = 2;
        c.in = 2 * (1 + size % 9);
        try_conv(r, &c);
        c.pad = kernel - 1;
        c.halves = 1;
        c.groups = 2;
        c.out = 2 * (7 + size % 3);
        try_conv(r, &c);
    }
}

START_TEST(tiles_at_every_edge)
{
    on_cpu_alone(tiles_case, &_i);
}
END_TEST

/* Blocks of maps meet tiles six at a time; tiles come in groups of 6 or 14, 72 or 168
 * of them in an item, fewer where maps are many. */
static void items_case(rig *r, const void *arg)
{
    static const conv_at shapes[] = {
        {1, 2, 28, 28, 97, 3, 1, 1, 1, 1, 1},  {1, 3, 28, 32, 3, 3, 1, 1, 1, 1, 1},
        {1, 1, 4, 288, 2, 3, 1, 1, 1, 1, 1},   {1, 1, 4, 292, 2, 3, 1, 1, 1, 1, 1},
        {73, 9, 3, 4, 8, 3, 1, 1, 1, 1, 1},    {1, 1, 26, 52, 3, 5, 1, 2, 1, 1, 2},
        {3, 2, 16, 16, 113, 3, 1, 1, 1, 1, 1}, {4, 370, 12, 16, 1, 3, 1, 1, 1, 1, 1},
        {1, 1, 32, 24, 200, 3, 1, 1, 1, 1, 1}};

    try_conv(r, &shapes[*(const int *)arg]);
}

START_TEST(tiles_in_items_of_any_size)
{
    on_cpu(items_case, NULL, NULL, &_i);
}
END_TEST

/* --- algorithms -------------------------------------------------------------------- */

/* Winograd's from 48 tiles of a batch on, with kernels of 3 and 5 whose stride is 1; what
 * it prepacks is 36 elements for each pair of maps in whole blocks, directly it is an
 * element for each tap. */
static void algorithms_case(rig *r, const void *arg)
{
    static const struct {
        conv_at c;
        uint32_t from; /* batch; 0: never */
    } shapes[] = {{{1, 4, 4, 4, 9, 3, 1, 1, 1, 1, 1}, 48},
                  {{1, 4, 5, 4, 9, 3, 1, 1, 1, 1, 1}, 24},
                  {{1, 4, 27, 28, 9, 3, 1, 1, 1, 1, 1}, 1},
                  {{1, 4, 27, 25, 9, 3, 1, 1, 1, 1, 1}, 1},
                  {{1, 4, 24, 28, 9, 3, 1, 1, 1, 1, 1}, 2},
                  {{1, 4, 13, 13, 9, 3, 1, 1, 2, 1, 1}, 3},
                  {{1, 4, 2, 2, 9, 5, 1, 2, 1, 1, 2}, 48},
                  {{1, 4, 3, 2, 9, 5, 1, 2, 1, 1, 2}, 24},
                  {{1, 4, 12, 16, 9, 5, 1, 2, 1, 1, 2}, 1},
                  {{1, 4, 40, 40, 9, 3, 2, 1, 1, 1, 1}, 0},
                  {{1, 4, 40, 40, 9, 1, 1, 0, 1, 1, 0}, 0},
                  {{1, 4, 40, 40, 9, 2, 1, 1, 1, 1, 0}, 0},
                  {{1, 4, 40, 40, 9, 4, 1, 1, 1, 1, 2}, 0},
                  {{1, 4, 40, 40, 9, 7, 1, 3, 1, 1, 3}, 0}};
    const size_t block = r->b->host_memory && strcmp(r->place, "avx512") == 0 ? 32 : 16;
    uint32_t i, batch;

    (void)arg;
    if (!is_vector(r)) {
        expect_count(r->b->prepack == NULL, 1, "%s: one algorithm", r->place);
        expect_text(r->b->algorithms[0], "im2col", "%s", r->place);
        return;
    }
    expect_text(r->b->algorithms[0], "direct", "%s", r->place);
    expect_text(r->b->algorithms[1], "winograd", "%s", r->place);
    for (i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (batch = 1; batch <= 100; batch++) {
            const an_conv_shape s = shape_of(&shapes[i].c);
            uint32_t algorithm = shapes[i].from > 0 && batch >= shapes[i].from;
            size_t bytes = 0, pairs = block * s.groups * (s.in_maps / s.groups), want;
            uint32_t got = r->b->prepack->conv_algorithm(r->device, &s, batch, &bytes);

            want = pairs * (algorithm ? 36 : s.kernel * s.kernel) * sizeof(float);
            describe_conv(&s, batch);
            if (got != algorithm)
                ck_abort_msg("conv_algorithm gives %s%s", r->b->algorithms[got],
                             case_text());
            if (bytes != want)
                ck_abort_msg("conv_algorithm: %zu bytes, expected %zu%s", bytes, want,
                             case_text());
        }
}

START_TEST(algorithms_change_at_48_tiles)
{
    on_cpu_alone(algorithms_case, NULL);
}
END_TEST

/* Beside the change, and with the scratch of many images, which fewer get as well. */
static void change_case(rig *r, const void *arg)
{
    uint32_t batch;

    (void)arg;
    for (batch = 23; batch <= 25; batch++) {
        const conv_at small = {batch, 3, 5, 3, 4, 3, 1, 1, 1, 1, 1},
                      five = {batch, 2, 3, 2, 3, 5, 1, 2, 1, 1, 2};

        try_conv(r, &small);
        try_conv_within(r, &five, 25);
    }
    for (batch = 1; batch <= 40; batch += 19) {
        const conv_at strided = {batch, 3, 9, 9, 4, 5, 3, 2, 1, 1, 2},
                      grouped = {batch, 10, 6, 7, 18, 3, 1, 1, 2, 1, 1};

        try_conv_within(r, &strided, 40);
        try_conv_within(r, &grouped, 40);
    }
}

START_TEST(scratch_for_many_images_is_enough_for_few)
{
    on_cpu(change_case, NULL, NULL, NULL);
}
END_TEST

/* --- NaN --------------------------------------------------------------------------- */

/* A NaN in x is one in each output whose window it is in, and a fused ReLU keeps it;
 * the others, of the same tile as well, stay numbers - but Winograd's tile is as a
 * whole. */
static void nan_case(rig *r, const void *arg)
{
    const conv_at c = {1, 2, 6, 7, 19, 3, 1, 1, 1, 1, 1};
    an_conv_shape s = shape_of(&c);
    twin x = make_maps(r, 1, 2, 42, 1), w = make_weights(r, 19, 1, 2, 9);
    twin b = make_floats(r, 19, 1), y = make_maps(r, 1, 19, 42, 1);
    uint32_t at, i;

    (void)arg;
    describe_conv(&s, 1);
    rig_scratch(r, r->b->conv_scratch(r->device, &s, 1, 0));
    for (s.relu = 0; s.relu <= (uint32_t)is_vector(r); s.relu++)
        for (at = 0; at < 84; at++) {
            double before = x.ref[at];
            float *got;

            x.ref[at] = NAN;
            to_device(r, &x);
            x.ref[at] = before;
            OK(r->b->conv_forward(r->queue, &s, 1, x.device, w.device, NONE, b.device,
                                  y.device));
            got = from_device(r, &y);
            for (i = 0; i < 19 * 42; i++) {
                int down = (int)(i % 42 / 7) - (int)(at % 42 / 7);
                int across = (int)(i % 7) - (int)(at % 42 % 7);
                int near = abs(down) <= 1 && abs(across) <= 1;

                if ((isnan(got[i]) != 0) != near)
                    ck_abort_msg("conv_forward: relu %u: a NaN at %u, output %u is %g%s",
                                 s.relu, at, i, (double)got[i], case_text());
            }
            free(got);
        }
    free_twin(r, &x), free_twin(r, &w), free_twin(r, &b), free_twin(r, &y);
}

START_TEST(a_nan_is_where_its_windows_are)
{
    on_cpu_alone(nan_case, NULL);
}
END_TEST

void add_edge_conv(Suite *suite)
{
    TCase *tc = tcase_create("convolutions at their edges");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, convolutions_of_all_kinds, 1, 7);
    tcase_add_test(tc, convolutions_of_any_number_of_maps);
    tcase_add_test(tc, convolutions_of_any_size);
    tcase_add_test(tc, convolutions_at_the_edges_of_unfolding);
    tcase_add_loop_test(tc, convolutions_done_in_rounds, 0, 5);
    tcase_add_test(tc, convolutions_with_weights_beyond_a_cache);
    tcase_add_loop_test(tc, tiles_at_every_edge, 0, 2);
    tcase_add_loop_test(tc, tiles_in_items_of_any_size, 0, 9);
    tcase_add_test(tc, algorithms_change_at_48_tiles);
    tcase_add_test(tc, scratch_for_many_images_is_enough_for_few);
    tcase_add_test(tc, a_nan_is_where_its_windows_are);
    suite_add_tcase(suite, tc);
}
