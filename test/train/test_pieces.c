/*
 * test_pieces.c - what a step is: the mean over its images however they are computed,
 * what it tells of losses and ranks, when a start counts as flat, and that a step that
 * diverges was none.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref_net.h"
#include "small.h"
#include "test.h"
#include "trials.h"

enum { IMAGE = 3 * 32 * 32 };

static an_model_config little(void)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);

    config.width = 0.1f;
    return config;
}

static void open_pieces(bench *b, const an_model_config *config, uint32_t micro,
                        float rate)
{
    an_trainer_config training = small_training(SMALL_BATCH);

    training.micro_batch = micro;
    training.rate = training.bias_rate = rate;
    bench_open(b, config, &training, 1);
}

static an_step_stats stats_of_step(bench *b, const float *images, const int32_t *labels,
                                   uint32_t count)
{
    an_step_stats stats;

    an_step_stats_init(&stats, sizeof stats);
    expect_ok(an_train_step(b->trainer, images, labels, count, &stats));
    return stats;
}

static uint32_t index_of(const an_model *model, const char *name)
{
    uint32_t index = 0;

    expect_ok(an_parameter_find(model, name, &index));
    return index;
}

/* --- the mean over the images ------------------------------------------------------ */

/* Each image's loss, ranks and gradients in a step of its own. */
typedef struct singles {
    an_step_stats stats[SMALL_BATCH];
    double *gradient[AN_MAX_PARAMS]; /* [SMALL_BATCH][numbers] */
} singles;

static void singles_make(singles *s, const an_model_config *config)
{
    uint32_t i, n;
    size_t count, j;
    bench b;

    open_pieces(&b, config, 0, 0);
    for (i = 0; i < b.model->net.plan->param_count; i++)
        s->gradient[i] =
            malloc(SMALL_BATCH * b.model->net.plan->params[i].count * sizeof(double));
    for (n = 0; n < SMALL_BATCH; n++) {
        s->stats[n] = stats_of_step(&b, b.images + n * IMAGE, b.labels + n, 1);
        for (i = 0; i < b.model->net.plan->param_count; i++) {
            float *g = gradient_of(b.trainer, i, &count);

            for (j = 0; j < count; j++) s->gradient[i][n * count + j] = (double)g[j];
            free(g);
        }
    }
    bench_close(&b);
}

static void singles_free(singles *s)
{
    uint32_t i;

    for (i = 0; i < AN_MAX_PARAMS; i++) free(s->gradient[i]);
}

/* The mean of the first `count` images' gradients. Within 2e-5 of the largest: float32
 * sums. */
static void expect_mean(const singles *s, const bench *b, uint32_t count, uint32_t micro)
{
    size_t numbers, j;
    uint32_t i, n;

    for (i = 0; i < b->model->net.plan->param_count; i++) {
        float *got = gradient_of(b->trainer, i, &numbers);
        float *want = malloc(numbers * sizeof *want);

        for (j = 0; j < numbers; j++) {
            double sum = 0;

            for (n = 0; n < count; n++) sum += s->gradient[i][n * numbers + j];
            want[j] = (float)(sum / count);
        }
        expect_floats(got, want, numbers, 2e-5, "%u images by %u: gradient of %s", count,
                      micro, b->model->net.plan->params[i].name);
        free(got);
        free(want);
    }
}

/* Every number of images, in pieces of every size: the last one smaller, as large as the
 * others, or alone. */
START_TEST(a_step_is_the_mean_of_its_images)
{
    an_model_config config = little();
    uint32_t micro = (uint32_t)_i, count, n;
    singles s = {0};
    bench b;

    singles_make(&s, &config);
    open_pieces(&b, &config, micro, 0);
    for (count = 1; count <= SMALL_BATCH; count++) {
        an_step_stats got = stats_of_step(&b, b.images, b.labels, count);
        double loss = 0, top1 = 0, top5 = 0;

        for (n = 0; n < count; n++) {
            loss += s.stats[n].loss / count;
            top1 += s.stats[n].top1;
            top5 += s.stats[n].top5;
        }
        expect_number(got.loss, loss, 1e-6, "%u images by %u", count, micro);
        expect_number(got.top1, top1, 1e-9, "%u images by %u", count, micro);
        expect_number(got.top5, top5, 1e-9, "%u images by %u", count, micro);
        expect_count(got.iteration, count, "steps, not pieces");
        expect_mean(&s, &b, count, micro);
    }
    bench_close(&b);
    singles_free(&s);
}
END_TEST

/* The same with two towers, whose halves of a gradient are each added up on their own;
 * without dropout, whose masks are those of places in the batch. */
START_TEST(towers_add_up_their_pieces)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    bench whole, pieces;
    uint32_t i;

    config.towers = 2;
    config.dropout = AN_SWITCH_OFF;
    open_pieces(&whole, &config, 0, 0);
    open_pieces(&pieces, &config, 3, 0);
    stats_of_step(&whole, whole.images, whole.labels, 7);
    stats_of_step(&pieces, whole.images, whole.labels, 7);
    for (i = 0; i < whole.model->net.plan->param_count; i++) {
        size_t count;
        float *a = gradient_of(whole.trainer, i, &count);
        float *b = gradient_of(pieces.trainer, i, &count);

        expect_floats(b, a, count, 2e-5, "7 images by 3: gradient of %s",
                      whole.model->net.plan->params[i].name);
        free(a);
        free(b);
    }
    bench_close(&whole);
    bench_close(&pieces);
}
END_TEST

/* Against the reference: the third step, in pieces, each image with the dropout of its
 * place. */
START_TEST(pieces_have_the_dropout_of_their_images)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    uint32_t i;
    ref_net *ref;
    bench b;

    open_pieces(&b, &config, (uint32_t)_i, 0);
    for (i = 0; i < 2; i++) stats_of_step(&b, b.images, b.labels, 2);
    stats_of_step(&b, b.images, b.labels, 3);
    ref = ref_net_create(b.model);
    ref_net_gradients(ref, b.images, b.labels, 3, 11, 2);
    for (i = 0; i < b.model->net.plan->param_count; i++) {
        size_t count, j;
        float *got = gradient_of(b.trainer, i, &count);
        float *want = malloc(count * sizeof *want);

        for (j = 0; j < count; j++) want[j] = (float)ref->gradient[i][j];
        /* As for whole steps: float32 through some 25 operations each way. */
        expect_floats(got, want, count, 2e-4, "3 images by %d: gradient of %s", _i,
                      b.model->net.plan->params[i].name);
        free(got);
        free(want);
    }
    ref_net_destroy(ref);
    bench_close(&b);
}
END_TEST

/* One update for all pieces: the first step's velocity is - rate * (g + decay * w). */
START_TEST(a_step_in_pieces_updates_once)
{
    an_model_config config = little();
    an_trainer_config training = small_training(SMALL_BATCH);
    uint32_t i;
    bench b, before;

    training.micro_batch = 3;
    training.rate = training.bias_rate = 0.5f;
    training.weight_decay = training.bias_decay = 0.25f;
    bench_open(&b, &config, &training, 1);
    bench_open(&before, &config, NULL, 1);
    bench_step(&b);
    for (i = 0; i < b.model->net.plan->param_count; i++) {
        size_t count, j;
        float *w = parameter_of(before.model, i, &count);
        float *now = parameter_of(b.model, i, &count);
        float *g = gradient_of(b.trainer, i, &count);

        for (j = 0; j < count; j++) w[j] -= 0.5f * (g[j] + 0.25f * w[j]);
        expect_floats(now, w, count, 1e-6, "parameter %u after a step by pieces", i);
        free(w);
        free(now);
        free(g);
    }
    bench_close(&b);
    bench_close(&before);
}
END_TEST

/* --- losses and ranks -------------------------------------------------------------- */

/* All images get the logits that are the last layer's biases. */
static void set_logits(bench *b, const float logits[SMALL_CLASSES])
{
    fill_parameter(b->model, "fc4.weight", 0);
    expect_ok(an_parameter_set(b->model, index_of(b->model, "fc4.bias"), logits,
                               SMALL_CLASSES));
}

/* The share of the label's place among the first k: where several have its value, they
 * share. */
static double own_top(const float logits[SMALL_CLASSES], int32_t label, double k)
{
    double above = 0, equal = 0, left;
    int i;

    for (i = 0; i < SMALL_CLASSES; i++) {
        above += logits[i] > logits[label];
        equal += logits[i] == logits[label];
    }
    left = k - above;
    return left <= 0 ? 0 : left >= equal ? 1 : left / equal;
}

static double own_loss(const float logits[SMALL_CLASSES], int32_t label)
{
    double sum = 0;
    int i;

    for (i = 0; i < SMALL_CLASSES; i++) sum += exp((double)logits[i]);
    return log(sum) - (double)logits[label];
}

/* Without ties, with ties at the first place, across the fifth, and of all. */
START_TEST(ranks_and_losses_are_counted)
{
    static const float logits[][SMALL_CLASSES] = {
        {3, 1, 4, 1.5f, 9, 2, 6, 5, 3.5f, 5.5f},
        {2, 2, 2, 1, 0, -1, -2, -3, -4, -5},
        {9, 8, 7, 1, 1, 1, 1, 1, 0, 0},
        {0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f}};
    an_model_config config = little();
    uint32_t row, count, i;
    bench b;

    open_pieces(&b, &config, 3, 0);
    for (row = 0; row < sizeof logits / sizeof logits[0]; row++) {
        set_logits(&b, logits[row]);
        for (count = 1; count <= SMALL_BATCH; count++) {
            an_step_stats got = stats_of_step(&b, b.images, b.labels, count);
            double loss = 0, top1 = 0, top5 = 0;

            for (i = 0; i < count; i++) {
                loss += own_loss(logits[row], b.labels[i]) / count;
                top1 += own_top(logits[row], b.labels[i], 1);
                top5 += own_top(logits[row], b.labels[i], 5);
            }
            expect_number(got.loss, loss, 1e-6, "row %u, %u images", row, count);
            expect_number(got.top1, top1, 1e-9, "row %u, %u images", row, count);
            expect_number(got.top5, top5, 1e-9, "row %u, %u images", row, count);
        }
    }
    bench_close(&b);
}
END_TEST

/* Before the update: what the model, as it was, says of the same images. */
START_TEST(stats_are_of_before_the_update)
{
    an_model_config config = little();
    an_evaluation e;
    uint32_t step;
    bench b;

    open_pieces(&b, &config, 0, 0.05f);
    for (step = 0; step < 3; step++) {
        an_step_stats got;

        an_evaluation_init(&e, sizeof e);
        expect_ok(an_evaluate(b.model, b.images, b.labels, SMALL_BATCH, &e));
        got = stats_of_step(&b, b.images, b.labels, SMALL_BATCH);
        expect_number(got.loss, e.loss / SMALL_BATCH, 1e-6, "step %u", step);
        expect_number(got.top1, e.top1, 1e-9, "step %u", step);
        expect_number(got.top5, e.top5, 1e-9, "step %u", step);
    }
    bench_close(&b);
}
END_TEST

/* --- the flat start ---------------------------------------------------------------- */

typedef struct heard {
    int warnings, others;
    char text[200];
} heard;

static void listen(an_log_level level, const char *text, void *user)
{
    heard *h = user;

    h->warnings += level == AN_LOG_WARNING;
    h->others += level != AN_LOG_WARNING;
    strncpy(h->text, text, sizeof h->text - 1);
}

/* A step of one image whose loss is this: its label's logit is t, the nine others' 0, so
 * that the loss is ln(9 + e^t) - t. Returns flat. */
static uint32_t step_of_loss(bench *b, double loss)
{
    float logits[SMALL_CLASSES] = {0};
    an_step_stats stats;

    logits[b->labels[0]] = (float)log(9 / (exp(loss) - 1));
    set_logits(b, logits);
    stats = stats_of_step(b, b->images, b->labels, 1);
    expect_number(stats.loss, loss, 1e-5, "a loss as asked for");
    return stats.flat;
}

/* Of a step, counted from 1, as a share of ln(classes); 9 of it: a wild one. */
static double loss_at(int kind, uint32_t step)
{
    switch (kind) {
    case 0: return 1;                         /* flat from the beginning */
    case 1: return step <= 60 ? 9 : 0.95;     /* wild, then it learns */
    case 2: return step <= 110 ? 0.999 : 0.5; /* flat, then it learns */
    case 3: return step <= 110 ? 0.95 : 1;    /* it learns, then forgets */
    case 4: return 0.979;                     /* below 98 % of it: not flat */
    case 5: return 0.981;                     /* above: flat */
    default: return step % 2 ? 9 : 0.95; /* wild every other time: 0.975 in the mean */
    }
}

/* Flat: from the 100th step on, while the running mean, of losses of no more than
 * ln(classes), is above 98 % of that. The mean begins with the first loss and has a
 * memory of 25 steps. It is said once. */
START_TEST(flat_starts_are_told_by_the_running_mean)
{
    an_model_config config = little();
    const double guess = log((double)SMALL_CLASSES);
    double mean = 0;
    uint32_t step;
    int ever = 0;
    heard h = {0};
    bench b;

    config.image_size = 16;
    open_pieces(&b, &config, 0, 0);
    b.ctx->memory.log = listen; /* as a context's config would have it */
    b.ctx->memory.log_user = &h;
    for (step = 1; step <= 150; step++) {
        double share = loss_at(_i, step), taken = fmin(share, 1) * guess;
        int flat;

        mean = step == 1 ? taken : mean + (taken - mean) / 25;
        flat = step >= 100 && mean > 0.98 * guess;
        expect_count(step_of_loss(&b, share * guess), flat,
                     "kind %d, step %u, mean %g of ln(10)", _i, step, mean / guess);
        expect_number(b.trainer->at.running_loss, mean, 1e-5, "kind %d, step %u", _i,
                      step);
        ever |= flat;
        expect_count(h.warnings, ever, "kind %d, step %u: warnings", _i, step);
    }
    expect_count(h.others, 0, "kind %d: other messages", _i);
    if (_i == 0)
        expect_text(h.text,
                    "after 100 steps the loss is still that of guessing: 2.3026, ln(10) "
                    "is 2.3026",
                    "the warning");
    expect_count(ever, _i == 0 || _i == 2 || _i == 3 || _i == 5, "kind %d", _i);
    bench_close(&b);
}
END_TEST

/* --- divergence -------------------------------------------------------------------- */

/* Everything that a step changes is as it was, and there is no gradient to ask for. */
static void expect_untouched(const bench *b, const bench *wanted, const char *what)
{
    size_t count = b->model->net.plan->params[0].count;
    float *g = malloc(count * sizeof *g);

    same_trainer(b->trainer, wanted->trainer, what);
    expect_refused(an_trainer_get_gradient(b->trainer, 0, g, count), AN_ERROR_STATE,
                   "no step");
    free(g);
}

static void expect_divergence(bench *b, const char *words)
{
    an_step_stats stats, was;

    memset(&stats, 0x22, sizeof stats);
    stats.size = sizeof stats;
    was = stats;
    expect_refused(
        an_train_step(b->trainer, b->images, b->labels, SMALL_BATCH - 1, &stats),
        AN_ERROR_DIVERGED, words);
    expect_bytes(&stats, &was, sizeof stats, "stats of a step that diverged");
}

/* 7 images by 3, or whole: whichever of them is not finite, nothing has happened, and the
 * next step is what it would have been. */
START_TEST(a_bad_image_of_any_piece_changes_nothing)
{
    an_model_config config = little();
    uint32_t k;
    bench b, wanted;

    config.image_size = 16;
    for (k = 0; k < SMALL_BATCH - 1; k++) {
        float *bad;

        open_pieces(&b, &config, (uint32_t)_i, 0.05f);
        open_pieces(&wanted, &config, (uint32_t)_i, 0.05f);
        bench_step(&b), bench_step(&wanted);
        expect_ok(an_trainer_end_epoch(b.trainer, 0.5, NULL));
        expect_ok(an_trainer_end_epoch(wanted.trainer, 0.5, NULL));
        bench_step(&b), bench_step(&wanted);
        bad = b.images + k * 3 * 16 * 16 + 5;
        *bad = k % 2 ? NAN : INFINITY;
        expect_divergence(&b, "input");
        expect_untouched(&b, &wanted, "a bad image");
        *bad = wanted.images[bad - b.images];
        expect_number(bench_step(&b), bench_step(&wanted), 0, "the next step");
        same_trainer(b.trainer, wanted.trainer, "the step after a bad image");
        bench_close(&b);
        bench_close(&wanted);
    }
}
END_TEST

/* An image of pixels of 1e35 behind a first convolution of zeros: the loss is as ever,
 * and that convolution's gradient, a sum of pixels times slopes of some thousands, is not
 * finite. (Larger pixels would overflow in Winograd's sums.) Class 1 has all of the
 * probability, and is no label of the first seven images, so that all of them send slopes
 * down. */
static void make_overflow(bench *b)
{
    size_t count, i;
    uint32_t index;

    fill_parameter(b->model, "conv1.weight", 0);
    fill_parameter(b->model, "conv1.bias", 0.1f);
    for (index = 2; index < 8; index += 2) {
        float *w = parameter_of(b->model, index, &count), factor = index < 6 ? 16 : 1e3f;

        for (i = 0; i < count; i++) w[i] = fabsf(w[i]) * factor * (i % 2 ? 1 : -0.5f);
        expect_ok(an_parameter_set(b->model, index, w, count));
        if (index == 6) { /* the biases behind it */
            memset(w, 0, count * sizeof *w);
            w[1] = 1e6f;
            expect_ok(an_parameter_set(b->model, 7, w, SMALL_CLASSES));
        }
        free(w);
    }
}

START_TEST(a_gradient_that_overflows_in_any_piece_changes_nothing)
{
    an_model_config config = little();
    uint32_t k, i;
    bench b, wanted;

    config.image_size = 16;
    config.lrn = AN_SWITCH_OFF;
    for (k = 0; k < SMALL_BATCH - 1; k++) {
        float *bad;

        open_pieces(&b, &config, (uint32_t)_i, 0.05f);
        open_pieces(&wanted, &config, (uint32_t)_i, 0.05f);
        make_overflow(&b), make_overflow(&wanted);
        bench_step(&b), bench_step(&wanted);
        make_overflow(&b), make_overflow(&wanted); /* of slopes more than enough */
        bad = b.images + k * 3 * 16 * 16;
        for (i = 0; i < 3 * 16 * 16; i++) bad[i] = 1e35f;
        expect_divergence(&b, "conv1");
        expect_divergence(&b, "gradient (conv1.weight) is not finite");
        expect_untouched(&b, &wanted, "a gradient that overflows");
        memcpy(b.images, wanted.images, SMALL_BATCH * 3 * 16 * 16 * sizeof *b.images);
        expect_number(bench_step(&b), bench_step(&wanted), 0, "the next step");
        same_trainer(b.trainer, wanted.trainer, "the step after an overflow");
        bench_close(&b);
        bench_close(&wanted);
    }
}
END_TEST

/* A frozen layer's gradient is not computed, so that it cannot be what is not finite. */
START_TEST(a_frozen_layers_gradient_is_not_looked_at)
{
    an_model_config config = little();
    uint32_t i;
    bench b;

    config.image_size = 16;
    config.lrn = AN_SWITCH_OFF;
    open_pieces(&b, &config, (uint32_t)_i, 0.05f);
    make_overflow(&b), make_overflow(&b);
    for (i = 0; i < 3 * 16 * 16; i++) b.images[i] = 1e35f;
    expect_divergence(&b, "conv1");
    expect_ok(an_trainer_set_layer_rates(b.trainer, "conv1", 0, 0));
    bench_step(&b);
    bench_close(&b);
}
END_TEST

/* Each of a step's arguments: a refused step is none. */
START_TEST(what_is_refused_is_no_step)
{
    an_model_config config = little();
    int32_t labels[SMALL_BATCH];
    an_step_stats stats;
    bench b, wanted;
    uint32_t k;

    open_pieces(&b, &config, 3, 0.05f);
    open_pieces(&wanted, &config, 3, 0.05f);
    memcpy(labels, b.labels, sizeof labels);
    for (k = 0; k < SMALL_BATCH; k++) {
        labels[k] = k % 2 ? -1 : SMALL_CLASSES;
        expect_refused(an_train_step(b.trainer, b.images, labels, SMALL_BATCH, NULL),
                       AN_ERROR_ARGUMENT, "labels[");
        if (k > 0) /* a label beyond the images is not looked at */
            expect_ok(an_train_step(wanted.trainer, b.images, labels, k, NULL));
        labels[k] = b.labels[k];
    }
    expect_refused(an_train_step(b.trainer, b.images, labels, SMALL_BATCH + 1, NULL),
                   AN_ERROR_ARGUMENT, "count is 9: must be 1 to config.batch, 8");
    expect_refused(an_train_step(b.trainer, b.images, labels, 0, NULL), AN_ERROR_ARGUMENT,
                   "count is 0");
    an_step_stats_init(&stats, sizeof stats);
    stats.size = 3;
    expect_refused(an_train_step(b.trainer, b.images, labels, 1, &stats),
                   AN_ERROR_ARGUMENT, "stats.size");
    bench_close(&wanted);
    open_pieces(&wanted, &config, 3, 0.05f);
    expect_untouched(&b, &wanted, "refused steps");
    bench_close(&b);
    bench_close(&wanted);
}
END_TEST

Suite *pieces_suite(void)
{
    Suite *suite = suite_create("pieces");
    TCase *tc = tcase_create("pieces");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_step_is_the_mean_of_its_images, 1, SMALL_BATCH + 1);
    tcase_add_test(tc, towers_add_up_their_pieces);
    tcase_add_loop_test(tc, pieces_have_the_dropout_of_their_images, 1, 3);
    tcase_add_test(tc, a_step_in_pieces_updates_once);
    tcase_add_test(tc, ranks_and_losses_are_counted);
    tcase_add_test(tc, stats_are_of_before_the_update);
    tcase_add_loop_test(tc, flat_starts_are_told_by_the_running_mean, 0, 7);
    tcase_add_loop_test(tc, a_bad_image_of_any_piece_changes_nothing, 2, 9);
    tcase_add_loop_test(tc, a_gradient_that_overflows_in_any_piece_changes_nothing, 2, 9);
    tcase_add_loop_test(tc, a_frozen_layers_gradient_is_not_looked_at, 7, 9);
    tcase_add_test(tc, what_is_refused_is_no_step);
    suite_add_tcase(suite, tc);
    return suite;
}
