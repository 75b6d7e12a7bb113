/*
 * test_edge_losses.c - dropout's masks, softmax and its loss on the CPU's paths: from any
 * place of the random numbers on, for any number of units and classes; cases of
 * edges_suite().
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref.h"
#include "rig.h"
#include "test.h"
#include "twin.h"

/* --- dropout ----------------------------------------------------------------------- */

typedef struct drop_at { /* where in the stream */
    uint64_t seed, iteration, first;
    uint32_t images;
} drop_at;

/* The number in [0, 1) that is drawn for a position. */
static double drawn(const drop_at *at, uint32_t layer, uint64_t position)
{
    uint32_t word[4];

    an__random4(at->seed, AN_STREAM_DROPOUT + layer, at->iteration,
                (uint32_t)(position / 4), word);
    return word[position % 4] / 256 / 16777216.0; /* 24 bits of 32 */
}

/* Twice, as it is done forward and back: the masks must be the same. */
static void try_dropout(rig *r, const an_dropout_shape *s, const drop_at *at)
{
    twin x = make_maps(r, at->images, s->units / s->pixels, s->pixels, 1);
    twin dy = make_maps(r, at->images, s->units / s->pixels, s->pixels, 1);
    an_step step;
    size_t i;

    memset(&step, 0, sizeof step);
    step.seed = at->seed;
    step.iteration = at->iteration;
    step.first = at->first;
    describe_dropout(s, at->images, &step);
    OK(r->b->begin_step(r->queue, &step));
    OK(r->b->dropout(r->queue, s, at->images, x.device));
    OK(r->b->dropout(r->queue, s, at->images, dy.device));
    for (i = 0; i < x.count; i++) {
        uint64_t position =
            (at->first + i / s->units) * s->total + s->first + i % s->units;
        double factor =
            drawn(at, s->layer, position) >= (double)s->rate ? (double)s->scale : 0;

        x.ref[i] *= factor;
        dy.ref[i] *= factor;
    }
    expect_near(r, "dropout", &x, s->scale == 1 ? 0 : 1e-7);
    expect_near(r, "dropout the second time", &dy, s->scale == 1 ? 0 : 1e-7);
    free_twin(r, &x), free_twin(r, &dy);
}

static an_dropout_shape drop_shape(uint32_t units, uint32_t first, uint32_t pixels)
{
    an_dropout_shape s;

    memset(&s, 0, sizeof s);
    s.units = units;
    s.first = first;
    s.total = units + first + 3; /* images begin at any place of a block of four */
    s.pixels = pixels;
    s.layer = 5;
    s.rate = 0.5f;
    s.scale = 1;
    return s;
}

/* Units are drawn in blocks of four, some blocks at a time; from any place of a block
 * on. Each case has another seed: no mask is what the case before it has left
 * somewhere. */
static void drop_counts_case(rig *r, const void *arg)
{
    uint32_t first = (uint32_t) * (const int *)arg, units;
    drop_at at = {77 + first, 3, 0, 2};

    for (units = 1; units <= 140; units++) {
        an_dropout_shape s = drop_shape(units, first,
                                        units % 3 == 0 ? 3
                                        : units % 2    ? 1
                                                       : 2);

        at.seed += 1000;
        try_dropout(r, &s, &at);
    }
    for (units = 1020; units <= 2052; units += units == 1028 ? 1016 : 1) {
        an_dropout_shape s = drop_shape(units, first,
                                        units % 3 == 0   ? 3
                                        : units % 5 == 0 ? 5
                                                         : 1);

        at.seed += 1000;
        try_dropout(r, &s, &at);
    }
}

START_TEST(dropout_of_any_count_from_any_place_on)
{
    on_cpu_alone(drop_counts_case, &_i);
}
END_TEST

static void drop_streams_case(rig *r, const void *arg)
{
    static const float rates[] = {1e-3f, 0.1f, 0.5f, 0.9f, 0.949f};
    uint32_t i;

    (void)arg;
    for (i = 0; i < 10; i++) {
        an_dropout_shape s = drop_shape(90 + i, 2 * i, 1);
        /* bits of both halves of seed and iteration; positions up to beyond 2^33 */
        drop_at at = {0x123456789abcdef0u << i, (uint64_t)1 << 4 * i,
                      (uint64_t)1 << 2 * i, 1 + i % 4};

        s.layer = i;
        s.rate = rates[i % 5];
        s.scale = i < 5 ? 1 : 1 / (1 - s.rate);
        s.total = i == 9 ? 36864 : s.total;
        try_dropout(r, &s, &at);
    }
}

START_TEST(dropout_of_other_streams_and_rates)
{
    on_cpu(drop_streams_case, NULL, NULL, NULL);
}
END_TEST

/* A unit whose number is the rate is kept, and dropped at the next larger rate. */
static void drop_limit_case(rig *r, const void *arg)
{
    const drop_at at = {9, 1, 0, 1};
    uint32_t unit;

    (void)arg;
    for (unit = 0; unit < 70; unit += 3) {
        an_dropout_shape s = drop_shape(70, 1, 1);
        twin x = make_floats(r, 70, 1);
        float number = (float)drawn(&at, s.layer, 1 + unit);
        an_step step;
        int above;

        memset(&step, 0, sizeof step);
        step.seed = at.seed;
        step.iteration = at.iteration;
        describe_dropout(&s, 1, &step);
        OK(r->b->begin_step(r->queue, &step));
        for (above = 0; above <= 1; above++) {
            s.rate = above ? nextafterf(number, 1) : number;
            OK(r->b->dropout(r->queue, &s, 1, x.device));
            expect_number(in_place(&x)[unit], above ? 0 : x.ref[unit], 0,
                          "dropout: unit %u, number %.9g, rate %.9g%s", unit,
                          (double)number, (double)s.rate, case_text());
        }
        free_twin(r, &x);
    }
}

START_TEST(dropout_keeps_a_unit_whose_number_is_the_rate)
{
    on_cpu_alone(drop_limit_case, NULL);
}
END_TEST

/* --- softmax ----------------------------------------------------------------------- */

/* Rows of logits with their labels, which stand anywhere. */
static void try_loss(rig *r, uint32_t classes, uint32_t n, const twin *x,
                     const int32_t *labels)
{
    twin dx = make_floats(r, (size_t)classes * n, 9);
    double *losses = calloc(n, sizeof *losses), *row = malloc(classes * sizeof *row);
    an_rank *ranks = calloc(n, sizeof *ranks);
    const an_loss_operands o = {.logits = x->device,
                                .labels = upload_new(r, labels, n * sizeof *labels),
                                .dx = dx.device,
                                .ranks = upload_new(r, ranks, n * sizeof *ranks),
                                .losses = upload_new(r, losses, n * sizeof *losses)};
    uint32_t i, c;

    OK(r->b->softmax_loss(r->queue, classes, n, &o));
    download_and_free(r, losses, o.losses, n * sizeof *losses);
    download_and_free(r, ranks, o.ranks, n * sizeof *ranks);
    free_operand(r, o.labels);
    ref_softmax_loss(classes, n, x->ref, labels, dx.ref);
    for (i = 0; i < n; i++) {
        const double *logits = x->ref + (size_t)i * classes;
        uint32_t greater = 0, equal = 0;
        double want;

        for (c = 0; c < classes; c++) {
            greater += logits[c] > logits[labels[i]];
            equal += logits[c] == logits[labels[i]];
        }
        memcpy(row, logits, classes * sizeof *row);
        want = ref_softmax_loss(classes, 1, row, &labels[i], NULL);
        expect_number(losses[i], want, 1e-12 * (want + 1),
                      "softmax_loss: row %u, label %d%s", i, labels[i], case_text());
        expect_count(ranks[i].greater, greater, "softmax_loss: row %u%s", i, case_text());
        expect_count(ranks[i].equal, equal, "softmax_loss: row %u%s", i, case_text());
    }
    expect_near(r, "softmax_loss dx", &dx, BOUND);
    free(losses);
    free(ranks);
    free(row);
    free_twin(r, &dx);
}

/* The largest logit, which alone keeps e^x in range, at each place of the row; the
 * label at the ends and there. */
static void softmax_case(rig *r, const void *arg)
{
    uint32_t classes, at;

    (void)arg;
    for (classes = 2; classes <= 40; classes += classes < 36 ? 1 : 4)
        for (at = 0; at < classes; at += 1 + classes / 12) {
            const int32_t labels[3] = {0, (int32_t)classes - 1, (int32_t)at};
            twin x = make_floats(r, 3 * (size_t)classes, 30);
            uint32_t row;

            describe("3 rows of %u classes, the largest at %u", classes, at);
            for (row = 0; row < 3; row++) x.ref[row * classes + at] = 900 + row;
            x.ref[classes] = x.ref[2 * classes - 1]; /* a tie */
            to_device(r, &x);
            try_loss(r, classes, 3, &x, labels);
            OK(r->b->softmax(r->queue, classes, 3, x.device));
            ref_softmax(classes, 3, x.ref);
            expect_near(r, "softmax p", &x, BOUND);
            free_twin(r, &x);
        }
}

START_TEST(softmax_with_its_largest_anywhere)
{
    on_cpu_alone(softmax_case, NULL);
}
END_TEST

/* Logits alike, near and far; many classes; batches, by which slopes are divided. */
static void losses_case(rig *r, const void *arg)
{
    static const uint32_t classes[] = {2, 3, 17, 1000, 1001};
    static const float scales[] = {0, 1e-3f, 1, 20, 400, 3e4f};
    uint32_t i, k, row;
    int32_t labels[16];

    (void)arg;
    for (i = 0; i < 5; i++)
        for (k = 0; k < 6; k++) {
            uint32_t n = 1 + (i * 6 + k) % 5 * 3;
            twin x = make_floats(r, (size_t)classes[i] * n, scales[k]);

            describe("%u rows of %u classes, logits up to %g", n, classes[i],
                     (double)scales[k]);
            for (row = 0; row < n; row++)
                labels[row] = (int32_t)(row * 7919u % classes[i]);
            try_loss(r, classes[i], n, &x, labels);
            OK(r->b->softmax(r->queue, classes[i], n, x.device));
            ref_softmax(classes[i], n, x.ref);
            expect_near(r, "softmax p", &x, BOUND);
            free_twin(r, &x);
        }
}

START_TEST(losses_of_logits_near_and_far)
{
    on_cpu(losses_case, NULL, NULL, NULL);
}
END_TEST

/* Slopes may take the logits' place, and a NaN anywhere makes its own row's loss one. */
static void loss_in_place_case(rig *r, const void *arg)
{
    static const int32_t labels[2] = {4, 0};
    twin x = make_floats(r, 38, 3), dx = make_floats(r, 38, 3);
    double losses[2] = {0, 0};
    an_rank ranks[2] = {{0, 0}, {0, 0}};
    an_loss_operands o = {.logits = x.device,
                          .labels = upload_new(r, labels, sizeof labels),
                          .dx = x.device,
                          .ranks = an__operand(ranks, 0, AN_DTYPE_BYTES),
                          .losses = an__operand(losses, 0, AN_DTYPE_BYTES)};
    float *there = in_place(&x);
    uint32_t at;

    (void)arg;
    describe("2 rows of 19 classes");
    ref_softmax_loss(19, 2, x.ref, labels, dx.ref);
    OK(r->b->softmax_loss(r->queue, 19, 2, &o));
    memcpy(in_place(&dx), there, 38 * sizeof(float));
    expect_near(r, "softmax_loss dx in the place of logits", &dx, BOUND);
    o.dx = dx.device;
    for (at = 0; at < 19; at++) {
        to_device(r, &x);
        there[at] = NAN;
        OK(r->b->softmax_loss(r->queue, 19, 2, &o));
        if (!isnan(losses[0]) || !isfinite(losses[1]))
            ck_abort_msg("softmax_loss: a NaN at %u: losses %g and %g%s", at, losses[0],
                         losses[1], case_text());
        OK(r->b->softmax(r->queue, 19, 2, x.device));
        if (!isnan(there[0]) || !isnan(there[18]) || !isfinite(there[19]))
            ck_abort_msg("softmax: a NaN at %u: probabilities %g, %g and %g%s", at,
                         (double)there[0], (double)there[18], (double)there[19],
                         case_text());
    }
    free_operand(r, o.labels);
    free_twin(r, &x), free_twin(r, &dx);
}

START_TEST(a_nan_spoils_its_own_row)
{
    on_cpu_alone(loss_in_place_case, NULL);
}
END_TEST

void add_edge_losses(Suite *suite)
{
    TCase *tc = tcase_create("dropout and losses at their edges");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, dropout_of_any_count_from_any_place_on, 0, 5);
    tcase_add_test(tc, dropout_of_other_streams_and_rates);
    tcase_add_test(tc, dropout_keeps_a_unit_whose_number_is_the_rate);
    tcase_add_test(tc, softmax_with_its_largest_anywhere);
    tcase_add_test(tc, losses_of_logits_near_and_far);
    tcase_add_test(tc, a_nan_spoils_its_own_row);
    suite_add_tcase(suite, tc);
}
