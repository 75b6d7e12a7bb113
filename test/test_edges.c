/*
 * test_edges.c - what the CPU's paths do number by number, at counts around those by
 * which their loops are cut: chunks, vectors, blocks of random numbers. test_edge_*.c
 * have the other operations. Every case is beside test/ref.c, in memory full of NaNs.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref.h"
#include "rig.h"
#include "test.h"

enum { CHUNK = 32768 }; /* numbers of an item, where each stands for itself */

/* Every count up to some vectors, and those around one chunk and two. 0 behind the
 * last. */
static size_t count_at(uint32_t i)
{
    static const size_t large[] = {CHUNK - 1,     CHUNK,         CHUNK + 1,
                                   2 * CHUNK - 1, 2 * CHUNK + 1, 0};

    return i < 40 ? i + 1 : large[i - 40];
}

/* --- activations -------------------------------------------------------------------- */

static void activation_case(rig *r, const void *arg)
{
    uint32_t kind = (uint32_t) * (const int *)arg, i;
    size_t count;

    for (i = 0; (count = count_at(i)) > 0; i++) {
        both y = make(r, count, 4), dy = make(r, count, 1);

        y.ref[count / 2] = 0; /* relu'(0) is 0 */
        put(r, &y);
        OK(r->b->activation_forward(r->queue, kind, 0, count, y.device));
        ref_activation_forward(kind, count, y.ref);
        same(r, named("activation %u of %zu: y", kind, count), &y, BOUND);
        OK(r->b->activation_backward(r->queue, kind, 0, count, y.device, dy.device));
        ref_activation_backward(kind, count, y.ref, dy.ref);
        same(r, named("activation %u of %zu: dx", kind, count), &dy, BOUND);
        same(r, named("activation %u of %zu: y afterwards", kind, count), &y, BOUND);
        drop(r, &y), drop(r, &dy);
    }
}

START_TEST(activations_of_any_count)
{
    on_cpu_alone(activation_case, &_i);
}
END_TEST

/* --- scale, exchange ---------------------------------------------------------------- */

static void scale_case(rig *r, const void *arg)
{
    size_t count, j;
    uint32_t i;

    (void)arg;
    for (i = 0; (count = count_at(i)) > 0; i++) {
        both x = make(r, count, 1);

        OK(r->b->scale(r->queue, 0, count, 0.375f, x.device));
        for (j = 0; j < count; j++) x.ref[j] *= 0.375;
        same(r, named("%zu numbers scaled", count), &x, 1e-7);
        drop(r, &x);
    }
}

START_TEST(scaling_of_any_count)
{
    on_cpu_alone(scale_case, NULL);
}
END_TEST

/* What stands between the images of either side stays. */
static void exchange_case(rig *r, const void *arg)
{
    static const size_t shapes[][4] = {/* count, to's pitch, from's, images */
                                       {1, 1, 1, 1},  {1, 2, 1, 3},  {7, 7, 14, 2},
                                       {8, 9, 8, 17}, {9, 18, 9, 5}, {33, 34, 70, 4}};
    size_t k, n, i;
    int add;

    (void)arg;
    for (k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        for (add = 0; add <= 1; add++) {
            const size_t *s = shapes[k];
            both to = make(r, s[1] * s[3], 1), from = make(r, s[2] * s[3], 1);

            OK(r->b->exchange(r->queue, to.device, s[1], r->queue, from.device, s[2],
                              s[0], (uint32_t)s[3], 0, add));
            for (n = 0; n < s[3]; n++)
                for (i = 0; i < s[0]; i++)
                    to.ref[n * s[1] + i] =
                        from.ref[n * s[2] + i] + (add ? to.ref[n * s[1] + i] : 0);
            same(r,
                 named("%s %zu numbers of %zu images, %zu apart, from %zu apart",
                       add ? "added" : "copied", s[0], s[3], s[1], s[2]),
                 &to, add ? 1e-7 : 0);
            same(r, "what was read", &from, 0);
            drop(r, &to), drop(r, &from);
        }
}

START_TEST(exchanges_of_any_pitch)
{
    on_cpu(exchange_case, NULL, NULL, NULL);
}
END_TEST

/* --- infinities --------------------------------------------------------------------- */

static float faults_of(const rig *r, const an_array *arrays, uint32_t count, float before)
{
    float *faults = give(r, &before, sizeof before), after;

    OK(r->b->all_finite(r->queue, arrays, count, faults));
    take(r, &after, faults, sizeof after);
    return after;
}

static const double evil[] = {NAN, INFINITY, -INFINITY};

/* Every place of few numbers; of many those at both ends, and some between. */
static size_t next_place(size_t at, size_t count)
{
    if (count < 100 || at < 17 || at + 18 >= count) return at + 1;
    return at + 2053 < count - 18 ? at + 2053 : count - 18;
}

/* One such number at each of these places of every count. */
static void fault_case(rig *r, const void *arg)
{
    uint32_t i, e = 0;
    size_t count, at;

    (void)arg;
    for (i = 0; (count = count_at(i)) > 0; i++) {
        both x = make(r, count, 3e38f);
        const an_array array = {x.device, count, 0};

        expect_count(faults_of(r, &array, 1, 0), 0, "%s: %zu finite numbers", r->place,
                     count);
        for (at = 0; at < count; at = next_place(at, count)) {
            float before = x.device[at];

            x.device[at] = (float)evil[e++ % 3];
            if (faults_of(r, &array, 1, 0) != 1)
                ck_abort_msg("%s: %g, number %zu of %zu, was not seen", r->place,
                             (double)x.device[at], at, count);
            x.device[at] = before;
        }
        drop(r, &x);
    }
}

START_TEST(a_fault_is_seen_at_any_place)
{
    on_cpu_alone(fault_case, NULL);
}
END_TEST

/* Of several arrays each is looked at, and what a call before has found stays. */
static void fault_arrays_case(rig *r, const void *arg)
{
    enum { ARRAYS = AN_MAX_ARRAYS };
    both x[ARRAYS];
    an_array arrays[ARRAYS];
    uint32_t i;

    (void)arg;
    for (i = 0; i < ARRAYS; i++) {
        x[i] = make(r, 1 + i % 3 * 17000, 1);
        arrays[i].p = x[i].device;
        arrays[i].count = x[i].count;
        arrays[i].precision = 0;
    }
    expect_number(faults_of(r, arrays, ARRAYS, 0), 0, 0, "%s: nothing is wrong",
                  r->place);
    expect_number(faults_of(r, arrays, ARRAYS, 1), 1, 0, "%s: found before", r->place);
    expect_number(faults_of(r, arrays, 0, 0), 0, 0, "%s: no arrays", r->place);
    for (i = 0; i < ARRAYS; i++) {
        float *last = &x[i].device[x[i].count - 1], before = *last;

        *last = (float)evil[i % 3];
        expect_number(faults_of(r, arrays, ARRAYS, 0), 1, 0, "%s: array %u", r->place, i);
        expect_number(faults_of(r, arrays, i, 0), 0, 0, "%s: those before %u", r->place,
                      i);
        *last = before;
    }
    for (i = 0; i < ARRAYS; i++) drop(r, &x[i]);
}

START_TEST(a_fault_is_seen_in_any_array)
{
    on_cpu(fault_arrays_case, NULL, NULL, NULL);
}
END_TEST

/* --- updates ------------------------------------------------------------------------ */

static void update_counts_case(rig *r, const void *arg)
{
    uint32_t i;
    size_t count;
    float faults = 0;
    void *none = give(r, &faults, sizeof faults);

    (void)arg;
    for (i = 0; (count = count_at(i)) > 0; i++) {
        const an_update u = {0.25f, 0.875f, 0.0625f};
        both w = make(r, count, 1), v = make(r, count, 1), g = make(r, count, 1);
        an_parameter_part part = {2, count, g.device, v.device, w.device, NULL};
        an_step step;

        memset(&step, 0, sizeof step);
        step.update[2] = u;
        OK(r->b->begin_step(r->queue, &step));
        OK(r->b->update(r->queue, &part, 1, none));
        ref_update(&u, count, g.ref, v.ref, w.ref);
        same(r, named("v of %zu", count), &v, BOUND);
        same(r, named("w of %zu", count), &w, BOUND);
        same(r, named("g of %zu", count), &g, 0);
        drop(r, &w), drop(r, &v), drop(r, &g);
    }
    r->b->release(r->device, none);
}

START_TEST(updates_of_any_count)
{
    on_cpu_alone(update_counts_case, NULL);
}
END_TEST

/* Each constant of the formula by itself, each parameter with its own, and none where
 * one of them has a fault. */
static void update_constants_case(rig *r, const void *arg)
{
    static const an_update updates[AN_MAX_UPDATES] = {
        {1, 0, 0},       {0.5f, 1, 0}, {0.5f, 0, 1},       {0.25f, 0.5f, 0.125f},
        {0, 0.9f, 0.5f}, {2, 0.9f, 0}, {1e-6f, 0.9f, 0.5f}};
    both w[7], v[7], g[7];
    an_parameter_part parts[7];
    float flags[2] = {0, 1};
    float *faults = give(r, flags, sizeof flags);
    an_step step;
    uint32_t i;

    (void)arg;
    memset(&step, 0, sizeof step);
    memcpy(step.update + AN_MAX_UPDATES - 7, updates, 7 * sizeof *updates);
    for (i = 0; i < 7; i++) {
        an_parameter_part part = {
            AN_MAX_UPDATES - 1 - i, 100 + i, NULL, NULL, NULL, NULL};

        w[i] = make(r, 100 + i, 1), v[i] = make(r, 100 + i, 1),
        g[i] = make(r, 100 + i, 1);
        part.g = g[i].device;
        part.v = v[i].device;
        part.w = w[i].device;
        parts[i] = part;
    }
    OK(r->b->begin_step(r->queue, &step));
    OK(r->b->update(r->queue, parts, 7, faults + 1));
    for (i = 0; i < 7; i++) {
        same(r, named("v %u where there is a fault", i), &v[i], 0);
        same(r, named("w %u where there is a fault", i), &w[i], 0);
    }
    OK(r->b->update(r->queue, parts, 6, faults));
    for (i = 0; i < 7; i++) {
        const an_update *u = &step.update[parts[i].index];

        if (i < 6 && u->rate != 0)
            ref_update(u, w[i].count, g[i].ref, v[i].ref, w[i].ref);
        same(r,
             named("v %u, rate %g momentum %g decay %g", i, (double)u->rate,
                   (double)u->momentum, (double)u->decay),
             &v[i], BOUND);
        same(r, named("w %u", i), &w[i], BOUND);
        drop(r, &w[i]), drop(r, &v[i]), drop(r, &g[i]);
    }
    r->b->release(r->device, faults);
}

START_TEST(updates_with_each_constant_alone)
{
    on_cpu(update_constants_case, NULL, NULL, NULL);
}
END_TEST

/* --- order -------------------------------------------------------------------------- */

/* A tensor is put and got in pieces of any length, from any place on; what is not
 * named stays. */
static void pieces_case(rig *r, const void *arg)
{
    static const an_order orders[] = {
        {.rows = 3, .slabs = 1, .maps = 3, .pixels = 20},
        {.rows = 2, .slabs = 2, .maps = 5, .pixels = 7},
        {.rows = 1, .slabs = 1, .maps = 3, .pixels = 513},
        {.rows = 2, .slabs = 1, .maps = 4, .pixels = 512},
        {.rows = 1, .slabs = 2, .maps = 2, .pixels = 1025},
        {.rows = 5, .slabs = 1, .maps = 1, .pixels = 9},
        {.rows = 5, .slabs = 1, .maps = 9, .pixels = 1},
        {.rows = 4, .slabs = 2, .maps = 3, .pixels = 9, .weights = 1}};
    size_t k, first, length, i;

    (void)arg;
    for (k = 0; k < sizeof orders / sizeof orders[0]; k++) {
        const an_order *o = &orders[k];
        size_t count = o->rows * o->slabs * o->maps * o->pixels;
        size_t plane = (size_t)o->maps * o->pixels;
        both x = make_slabs(r, o->rows, o->slabs, o->maps, o->pixels, 1);
        both y = make(r, count, 1);

        x.order = *o;
        put(r, &x);
        for (first = 0; first < count; first += first < plane ? plane / 3 + 1 : plane)
            for (length = 1; first + length <= count;
                 length += length == 1 ? plane - 1 : plane) {
                OK(r->b->put(r->queue, o, x.device, first, y.device + first, length));
                for (i = first; i < first + length; i++) x.ref[i] = y.ref[i];
                same(
                    r,
                    named("order %zu with %zu numbers put from %zu on", k, length, first),
                    &x, 0);
                for (i = 0; i < count; i++) x.ref[i] = -y.ref[i];
                put(r, &x);
                memset(y.device, 0, count * sizeof(float));
                OK(r->b->get(r->queue, o, y.device + first, x.device, first, length));
                for (i = 0; i < count; i++)
                    if ((double)y.device[i] !=
                        (i >= first && i < first + length ? x.ref[i] : 0))
                        ck_abort_msg(
                            "%s: order %zu, %zu numbers got from %zu on: %zu is %g",
                            r->place, k, length, first, i, (double)y.device[i]);
                put(r, &y);
            }
        drop(r, &x), drop(r, &y);
    }
}

START_TEST(tensors_in_pieces)
{
    on_cpu_alone(pieces_case, NULL);
}
END_TEST

/* --- memory ------------------------------------------------------------------------- */

/* Whole lines of a cache begin with each block, of whatever size; what no machine has
 * is refused. */
static void memory_case(rig *r, const void *arg)
{
    void *blocks[70];
    size_t i;

    (void)arg;
    for (i = 0; i < 70; i++) {
        OK(r->b->alloc(r->device, i * 13 + 1, &blocks[i]));
        expect_count((uintptr_t)blocks[i] % 64, 0, "%s: a block of %zu bytes", r->place,
                     i * 13 + 1);
        memset(blocks[i], 0x5a, i * 13 + 1);
    }
    for (i = 0; i < 70; i++) r->b->release(r->device, blocks[i]);
    for (i = 0; i < 100; i += 9) {
        blocks[0] = &blocks[1];
        expect_refused(r->b->alloc(r->device, SIZE_MAX - i, &blocks[0]), AN_ERROR_MEMORY,
                       i < 72 ? "no memory for" : NULL);
        expect_count(blocks[0] == &blocks[1], 1, "%s: the pointer afterwards", r->place);
    }
}

START_TEST(device_memory_begins_with_a_line)
{
    on_cpu_alone(memory_case, NULL);
}
END_TEST

Suite *edges_suite(void)
{
    Suite *suite = suite_create("edges");
    TCase *tc = tcase_create("numbers at their edges");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, activations_of_any_count, AN_ACTIVATION_RELU,
                        AN_ACTIVATION_SIGMOID + 1);
    tcase_add_test(tc, scaling_of_any_count);
    tcase_add_test(tc, exchanges_of_any_pitch);
    tcase_add_test(tc, a_fault_is_seen_at_any_place);
    tcase_add_test(tc, a_fault_is_seen_in_any_array);
    tcase_add_test(tc, updates_of_any_count);
    tcase_add_test(tc, updates_with_each_constant_alone);
    tcase_add_test(tc, tensors_in_pieces);
    tcase_add_test(tc, device_memory_begins_with_a_line);
    suite_add_tcase(suite, tc);
    add_edge_conv(suite);
    add_edge_dense(suite);
    add_edge_losses(suite);
    add_edge_windows(suite);
    return suite;
}
