/*
 * test_edges.c - what the CPU's paths do element by element, at counts around those by
 * which their loops are cut: chunks, vectors, blocks of random numbers. test_edge_*.c
 * have the other operations. Every case is beside test/support/ref.c, in memory full of
 * NaNs.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref.h"
#include "rig.h"
#include "test.h"
#include "twin.h"

enum { CHUNK = 32768 }; /* elements of an item, where each stands for itself */

/* Every count up to some vectors, and those around one chunk and two. 0 behind the
 * last. */
static size_t count_at(uint32_t i)
{
    static const size_t large[] = {CHUNK - 1,     CHUNK,         CHUNK + 1,
                                   2 * CHUNK - 1, 2 * CHUNK + 1, 0};

    return i < 40 ? i + 1 : large[i - 40];
}

/* --- activations ------------------------------------------------------------------- */

static void activation_case(rig *r, const void *arg)
{
    uint32_t kind = (uint32_t) * (const int *)arg, i;
    size_t count;

    for (i = 0; (count = count_at(i)) > 0; i++) {
        twin y = make_floats(r, count, 4), dy = make_floats(r, count, 1);

        y.ref[count / 2] = 0; /* relu'(0) is 0 */
        describe("activation %u of %zu elements", kind, count);
        to_device(r, &y);
        OK(r->b->activation_forward(r->queue, kind, count, y.device));
        ref_activation_forward(kind, count, y.ref);
        expect_near(r, "activation_forward y", &y, BOUND);
        OK(r->b->activation_backward(r->queue, kind, count, y.device, dy.device));
        ref_activation_backward(kind, count, y.ref, dy.ref);
        expect_near(r, "activation_backward dx", &dy, BOUND);
        expect_near(r, "activation_backward y, which is read,", &y, BOUND);
        free_twin(r, &y), free_twin(r, &dy);
    }
}

START_TEST(activations_of_any_count)
{
    on_cpu_alone(activation_case, &_i);
}
END_TEST

/* --- scale, copy ------------------------------------------------------------------- */

static void scale_case(rig *r, const void *arg)
{
    size_t count, j;
    uint32_t i;

    (void)arg;
    for (i = 0; (count = count_at(i)) > 0; i++) {
        twin x = make_floats(r, count, 1);

        describe("%zu elements", count);
        OK(r->b->scale(r->queue, count, 0.375f, x.device));
        for (j = 0; j < count; j++) x.ref[j] *= 0.375;
        expect_near(r, "scale x", &x, 1e-7);
        free_twin(r, &x);
    }
}

START_TEST(scaling_of_any_count)
{
    on_cpu_alone(scale_case, NULL);
}
END_TEST

/* What stands between the rows of either side stays. */
static void copy_case(rig *r, const void *arg)
{
    static const an_copy_shape shapes[] = {
        {.count = 1, .to_pitch = 1, .from_pitch = 1, .rows = 1},
        {.count = 1, .to_pitch = 2, .from_pitch = 1, .rows = 3},
        {.count = 7, .to_pitch = 7, .from_pitch = 14, .rows = 2},
        {.count = 8, .to_pitch = 9, .from_pitch = 8, .rows = 17},
        {.count = 9, .to_pitch = 18, .from_pitch = 9, .rows = 5},
        {.count = 33, .to_pitch = 34, .from_pitch = 70, .rows = 4}};
    size_t k, n, i;

    (void)arg;
    for (k = 0; k < 2 * (sizeof shapes / sizeof shapes[0]); k++) {
        an_copy_shape s = shapes[k / 2];
        twin to = make_floats(r, s.to_pitch * s.rows, 1);
        twin from = make_floats(r, s.from_pitch * s.rows, 1);

        s.accumulate = k % 2;
        describe("%u rows of %zu elements, %zu apart, from %zu apart, %s", s.rows,
                 s.count, s.to_pitch, s.from_pitch, s.accumulate ? "added" : "copied");
        OK(r->b->copy(r->queue, &s, to.device, r->queue, from.device));
        for (n = 0; n < s.rows; n++)
            for (i = 0; i < s.count; i++)
                to.ref[n * s.to_pitch + i] =
                    from.ref[n * s.from_pitch + i] +
                    (s.accumulate ? to.ref[n * s.to_pitch + i] : 0);
        expect_near(r, "copy to", &to, s.accumulate ? 1e-7 : 0);
        expect_near(r, "copy from, which is read,", &from, 0);
        free_twin(r, &to), free_twin(r, &from);
    }
}

START_TEST(copies_of_any_pitch)
{
    on_cpu(copy_case, NULL, NULL, NULL);
}
END_TEST

/* --- infinities -------------------------------------------------------------------- */

static float faults_of(const rig *r, const an_array *arrays, uint32_t count, float before)
{
    an_operand faults = upload_new(r, &before, sizeof before);
    float after;

    OK(r->b->all_finite(r->queue, arrays, count, faults));
    download_and_free(r, &after, faults, sizeof after);
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
        twin x = make_floats(r, count, 3e38f);
        const an_array array = {x.device, count};
        float *there = in_place(&x);

        describe("%zu elements", count);
        expect_count(faults_of(r, &array, 1, 0), 0, "all_finite of finite elements%s",
                     case_text());
        for (at = 0; at < count; at = next_place(at, count)) {
            float before = there[at];

            there[at] = (float)evil[e++ % 3];
            if (faults_of(r, &array, 1, 0) != 1)
                ck_abort_msg("all_finite: %g, element %zu, was not seen%s",
                             (double)there[at], at, case_text());
            there[at] = before;
        }
        free_twin(r, &x);
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
    twin x[ARRAYS];
    an_array arrays[ARRAYS];
    uint32_t i;

    (void)arg;
    for (i = 0; i < ARRAYS; i++) {
        x[i] = make_floats(r, 1 + i % 3 * 17000, 1);
        arrays[i].x = x[i].device;
        arrays[i].count = x[i].count;
    }
    describe("%d arrays of 1, 17001 and 34001 elements in turn", ARRAYS);
    expect_number(faults_of(r, arrays, ARRAYS, 0), 0, 0, "nothing is wrong%s",
                  case_text());
    expect_number(faults_of(r, arrays, ARRAYS, 1), 1, 0, "found before%s", case_text());
    expect_number(faults_of(r, arrays, 0, 0), 0, 0, "no arrays%s", case_text());
    for (i = 0; i < ARRAYS; i++) {
        float *last = in_place(&x[i]) + x[i].count - 1, before = *last;

        *last = (float)evil[i % 3];
        expect_number(faults_of(r, arrays, ARRAYS, 0), 1, 0, "array %u%s", i,
                      case_text());
        expect_number(faults_of(r, arrays, i, 0), 0, 0, "those before %u%s", i,
                      case_text());
        *last = before;
    }
    for (i = 0; i < ARRAYS; i++) free_twin(r, &x[i]);
}

START_TEST(a_fault_is_seen_in_any_array)
{
    on_cpu(fault_arrays_case, NULL, NULL, NULL);
}
END_TEST

/* --- updates ----------------------------------------------------------------------- */

static void update_counts_case(rig *r, const void *arg)
{
    uint32_t i;
    size_t count;
    float faults = 0;
    an_operand none = upload_new(r, &faults, sizeof faults);

    (void)arg;
    for (i = 0; (count = count_at(i)) > 0; i++) {
        const an_update u = {0.25f, 0.875f, 0.0625f};
        twin w = make_floats(r, count, 1), v = make_floats(r, count, 1),
             g = make_floats(r, count, 1);
        an_parameter_part part = {2, count, g.device, v.device, w.device, NONE};
        an_step step;

        memset(&step, 0, sizeof step);
        step.update[2] = u;
        describe("%zu elements, rate 0.25, momentum 0.875, decay 0.0625", count);
        OK(r->b->begin_step(r->queue, &step));
        OK(r->b->update(r->queue, &part, 1, none));
        ref_update(&u, count, g.ref, v.ref, w.ref);
        expect_near(r, "update v", &v, BOUND);
        expect_near(r, "update w", &w, BOUND);
        expect_near(r, "update g", &g, 0);
        free_twin(r, &w), free_twin(r, &v), free_twin(r, &g);
    }
    free_operand(r, none);
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
    twin w[7], v[7], g[7];
    an_parameter_part parts[7];
    float flags[2] = {0, 1};
    const an_operand faults = upload_new(r, flags, sizeof flags);
    const an_operand fault = an__operand(faults.buffer, sizeof flags[0], AN_DTYPE_FP32);
    an_step step;
    uint32_t i;

    (void)arg;
    memset(&step, 0, sizeof step);
    memcpy(step.update + AN_MAX_UPDATES - 7, updates, 7 * sizeof *updates);
    for (i = 0; i < 7; i++) {
        an_parameter_part part = {
            AN_MAX_UPDATES - 1 - i, 100 + i, NONE, NONE, NONE, NONE};

        w[i] = make_floats(r, 100 + i, 1), v[i] = make_floats(r, 100 + i, 1),
        g[i] = make_floats(r, 100 + i, 1);
        part.g = g[i].device;
        part.v = v[i].device;
        part.w = w[i].device;
        parts[i] = part;
    }
    OK(r->b->begin_step(r->queue, &step));
    OK(r->b->update(r->queue, parts, 7, fault));
    for (i = 0; i < 7; i++) {
        describe("part %u of 7, where there is a fault", i);
        expect_near(r, "update v", &v[i], 0);
        expect_near(r, "update w", &w[i], 0);
    }
    OK(r->b->update(r->queue, parts, 6, faults));
    for (i = 0; i < 7; i++) {
        const an_update *u = &step.update[parts[i].index];

        if (i < 6 && u->rate != 0)
            ref_update(u, w[i].count, g[i].ref, v[i].ref, w[i].ref);
        describe("part %u of 7, rate %g, momentum %g, decay %g", i, (double)u->rate,
                 (double)u->momentum, (double)u->decay);
        expect_near(r, "update v", &v[i], BOUND);
        expect_near(r, "update w", &w[i], BOUND);
        free_twin(r, &w[i]), free_twin(r, &v[i]), free_twin(r, &g[i]);
    }
    free_operand(r, faults);
}

START_TEST(updates_with_each_constant_alone)
{
    on_cpu(update_constants_case, NULL, NULL, NULL);
}
END_TEST

/* --- order ------------------------------------------------------------------------- */

/* A tensor is put and got in pieces of any length, from any place on; what is not
 * named stays. */
static void pieces_case(rig *r, const void *arg)
{
    static const an_order orders[] = {
        {.rows = 3, .halves = 1, .maps = 3, .pixels = 20},
        {.rows = 2, .halves = 2, .maps = 5, .pixels = 7},
        {.rows = 1, .halves = 1, .maps = 3, .pixels = 513},
        {.rows = 2, .halves = 1, .maps = 4, .pixels = 512},
        {.rows = 1, .halves = 2, .maps = 2, .pixels = 1025},
        {.rows = 5, .halves = 1, .maps = 1, .pixels = 9},
        {.rows = 5, .halves = 1, .maps = 9, .pixels = 1},
        {.rows = 4, .halves = 2, .maps = 3, .pixels = 9, .weights = 1}};
    size_t k, first, length, i;

    (void)arg;
    for (k = 0; k < sizeof orders / sizeof orders[0]; k++) {
        const an_order *o = &orders[k];
        size_t count = o->rows * o->halves * o->maps * o->pixels;
        size_t plane = (size_t)o->maps * o->pixels;
        twin x = make_halves(r, o->rows, o->halves, o->maps, o->pixels, 1);
        twin y = make_floats(r, count, 1);

        float *there = in_place(&y);

        x.order = *o;
        to_device(r, &x);
        for (first = 0; first < count; first += first < plane ? plane / 3 + 1 : plane)
            for (length = 1; first + length <= count;
                 length += length == 1 ? plane - 1 : plane) {
                describe("order %zu, %zu elements from %zu on", k, length, first);
                OK(r->b->put(r->queue, o, x.device, first, there + first, length));
                for (i = first; i < first + length; i++) x.ref[i] = y.ref[i];
                expect_near(r, "put to", &x, 0);
                for (i = 0; i < count; i++) x.ref[i] = -y.ref[i];
                to_device(r, &x);
                memset(there, 0, count * sizeof(float));
                OK(r->b->get(r->queue, o, there + first, x.device, first, length));
                for (i = 0; i < count; i++)
                    if ((double)there[i] !=
                        (i >= first && i < first + length ? x.ref[i] : 0))
                        ck_abort_msg("get: element %zu is %g%s", i, (double)there[i],
                                     case_text());
                to_device(r, &y);
            }
        free_twin(r, &x), free_twin(r, &y);
    }
}

START_TEST(tensors_in_pieces)
{
    on_cpu_alone(pieces_case, NULL);
}
END_TEST

/* --- memory ------------------------------------------------------------------------ */

/* Whole lines of a cache begin with each block, of whatever size; what no machine has
 * is refused. */
static void memory_case(rig *r, const void *arg)
{
    void *blocks[70];
    size_t i;

    (void)arg;
    describe("70 blocks of 1 to 898 bytes, and of more than there is");
    for (i = 0; i < 70; i++) {
        OK(r->b->alloc(r->device, i * 13 + 1, &blocks[i]));
        expect_count((uintptr_t)blocks[i] % 64, 0, "a block of %zu bytes%s", i * 13 + 1,
                     case_text());
        memset(blocks[i], 0x5a, i * 13 + 1);
    }
    for (i = 0; i < 70; i++) r->b->release(r->device, blocks[i]);
    for (i = 0; i < 100; i += 9) {
        blocks[0] = &blocks[1];
        expect_refused(r->b->alloc(r->device, SIZE_MAX - i, &blocks[0]), AN_ERROR_MEMORY,
                       i < 72 ? "no memory for" : NULL);
        expect_count(blocks[0] == &blocks[1], 1, "the pointer afterwards%s", case_text());
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
    tcase_add_test(tc, copies_of_any_pitch);
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
