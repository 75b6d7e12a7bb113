/*
 * test_ablations.c - every preset and what each field of an_model_config makes of it: the
 * numbers that come out, beside the account of networks.c.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "host_run.h"
#include "networks.h"
#include "small.h"
#include "test.h"

/* Of float32 sums of up to some thousand products, relative to a layer's largest number:
 * paths that sum in other orders differ by up to 1e-6, Winograd's by ten times that, and
 * layers add up. A norm's window one map wider changes numbers by 1e-3. */
#define BOUND 5e-5

static const int32_t labels[NET_BATCH] = {1, 0};

/* One model beside its account. */
typedef struct pair {
    net_case now;
    net n;
    an_context *ctx;
    an_model *model;
    float *images;
} pair;

/* Saturated tanh and sigmoid would hide what comes before them. */
static float scale_of(const net *n)
{
    return n->activation == AN_ACTIVATION_RELU ? 128 : 3;
}

static void pair_open(pair *p, const net_case *now, uint32_t cpu_path)
{
    an_context_config context;
    size_t count;

    p->now = *now;
    expect_count(net_of(&p->n, &now->config), 1, "%s %s", an_arch_name(now->config.arch),
                 now->what);
    an_context_config_init(&context, sizeof context);
    context.threads = 1;
    context.cpu_path = cpu_path;
    if (now->config.devices != NULL) context.plugin = host_run_path();
    expect_ok(an_context_create(&p->ctx, &context));
    expect_ok(an_model_create(&p->model, p->ctx, &now->config));
    count = (size_t)NET_BATCH * 3 * p->n.image_size * p->n.image_size;
    p->images = malloc(count * sizeof *p->images);
    noise_floats(p->images, count, 9, scale_of(&p->n));
}

static void pair_close(pair *p)
{
    an_model_destroy(p->model);
    an_context_destroy(p->ctx);
    free(p->images);
}

#define CASE(p) an_arch_name((p)->n.arch), (p)->now.what

/* The sizes and numbers of one point of a layer. */
static void check_point(const pair *p, const net_values *wanted, uint32_t layer,
                        uint32_t point)
{
    const float *want = wanted->at[layer][point - 1];
    const char *name = p->n.layer[layer].name;
    size_t all = wanted->count[layer][point - 1], count = 0;
    uint32_t shape[3];
    float *got;

    if (want == NULL) {
        expect_refused(an_activation_count(p->model, name, point, &count, shape),
                       AN_ERROR_ARGUMENT, "non-linearity");
        return;
    }
    expect_ok(an_activation_count(p->model, name, point, &count, shape));
    expect_count(NET_BATCH * count, all, "%s, %s: %s at %u", CASE(p), name, point);
    expect_count(shape[0], p->n.layer[layer].maps, "%s, %s: %s at %u", CASE(p), name,
                 point);
    expect_count((uint64_t)shape[0] * shape[1] * shape[2], count, "%s, %s: %s at %u",
                 CASE(p), name, point);
    got = malloc(all * sizeof *got);
    expect_ok(an_infer_layer(p->model, p->images, NET_BATCH, name, point, got, ENOUGH));
    expect_floats(got, want, all, BOUND, "%s, %s: %s at point %u", CASE(p), name, point);
    free(got);
}

/* every_point: also what a layer computes within, else what it hands on. */
static void check_passes(const pair *p, int every_point)
{
    const net_pass testing = {0, 0, 0, 0};
    net_values wanted;
    float *got = malloc((size_t)NET_BATCH * p->n.classes * sizeof *got);
    uint32_t i, point;

    net_run(&p->n, p->model, p->images, labels, &testing, &wanted);
    for (i = 0; i < p->n.count; i++)
        for (point = every_point ? AN_POINT_LINEAR : AN_POINT_OUTPUT;
             point <= AN_POINT_OUTPUT; point++)
            check_point(p, &wanted, i, point);
    expect_ok(an_infer(p->model, p->images, NET_BATCH, got, ENOUGH));
    expect_floats(got, wanted.probabilities, (size_t)NET_BATCH * p->n.classes, BOUND,
                  "%s, %s: probabilities", CASE(p));
    net_values_free(&wanted);
    free(got);
}

static double own_loss(const pair *p, uint64_t iteration)
{
    const net_pass pass = {1, 77, iteration, 0};
    net_values values;
    double loss;

    net_run(&p->n, p->model, p->images, labels, &pass, &values);
    loss = values.loss;
    net_values_free(&values);
    return loss;
}

/* Moves a parameter against its gradient, so far that the loss should fall by `fall`, but
 * by a thousandth of itself at most; what it should fall by with the numbers as they are
 * rounded. */
static double go_down(const pair *p, const an_trainer *trainer, uint32_t index,
                      double fall)
{
    size_t count, i;
    float *w = parameter_of(p->model, index, &count);
    float *g = gradient_of(trainer, index, &count);
    double squares = 0, size = 0, falls = 0, step;

    for (i = 0; i < count; i++) {
        squares += (double)g[i] * (double)g[i];
        size += (double)w[i] * (double)w[i];
    }
    step = squares > 0 ? fmin(fall / squares, 1e-3 * sqrt(size / squares)) : 0;
    for (i = 0; i < count; i++) {
        float moved = (float)((double)w[i] - step * (double)g[i]);

        falls += (double)g[i] * ((double)w[i] - (double)moved);
        w[i] = moved;
    }
    expect_ok(an_parameter_set(p->model, index, w, count));
    free(w);
    free(g);
    return falls;
}

/* Windows of a pooling that overlap hand on the same maximum; a second one then finds it
 * twice, and gives the gradient to both, which is no slope: ties are not broken, as in
 * cuda-convnet. */
static int has_pooled_poolings(const net *n)
{
    uint32_t i, j, poolings;

    for (i = 0; i < n->count; i++) {
        poolings = 0;
        for (j = 0; j < n->layer[i].stage_count; j++)
            poolings += n->layer[i].stage[j].kind == 'p';
        if (poolings > 1) return 1;
    }
    return 0;
}

/* A step's loss, and that its gradients are the slopes of that loss: down all of them at
 * once, of which each is to bring a share. One that is twice as large, or nothing, is a
 * whole share away. Curves, kinks and rounding come to a thousandth. */
static void check_step(const pair *p)
{
    an_trainer_config training = small_training(NET_BATCH);
    const double before = own_loss(p, 0), share = 1e-7 * before;
    double falls = 0, fell;
    an_step_stats stats;
    an_trainer *trainer;
    uint32_t i;

    training.seed = 77;
    training.rate = training.bias_rate = 0;
    expect_ok(an_trainer_create(&trainer, p->model, &training));
    an_step_stats_init(&stats, sizeof stats);
    expect_ok(an_train_step(trainer, p->images, labels, NET_BATCH, &stats));
    expect_number(stats.loss, before, BOUND * (1 + before), "%s, %s: loss", CASE(p));
    for (i = 0; i < 2 * p->n.count; i++) falls += go_down(p, trainer, i, share);
    fell = before - own_loss(p, 0);
    if (!has_pooled_poolings(&p->n))
        expect_number(fell / share, falls / share, 0.02, "%s, %s: shares of %g", CASE(p),
                      share);
    an_trainer_destroy(trainer);
}

/* What there is no network for, refused by the field whose fault it is. */
static void check_refusal(const net_case *now)
{
    an_context *ctx;
    an_model *model = (an_model *)&model;

    expect_ok(an_context_create(&ctx, NULL));
    expect_refused(an_model_create(&model, ctx, &now->config), AN_ERROR_ARGUMENT,
                   now->config.towers == 2        ? "config.towers is 2"
                   : now->config.remove_conv != 0 ? "config.remove_conv is"
                                                  : "config.dropout is on");
    ck_assert_ptr_eq(model, (an_model *)&model);
    an_context_destroy(ctx);
}

/* Changes of the presets that differ from others in a few constants alone are done for
 * those. */
static int is_anothers(uint32_t arch, uint32_t change)
{
    return (arch == AN_ARCH_FLOOR224 || arch == AN_ARCH_CAFFE_ALEXNET ||
            arch == AN_ARCH_CAFFENET) &&
           change > 4 && change + 2 < NET_CHANGES;
}

START_TEST(every_change_of_a_preset_computes_what_it_says)
{
    uint32_t change, refused = 0;

    for (change = 0; change < NET_CHANGES; change++) {
        net_case now = net_change((uint32_t)_i, change);
        net n;
        pair p;

        if (is_anothers((uint32_t)_i, change)) continue;
        if (!net_of(&n, &now.config)) {
            check_refusal(&now);
            refused++;
            continue;
        }
        pair_open(&p, &now, AN_CPU_PATH_BEST);
        check_passes(&p, change == 0);
        check_step(&p);
        pair_close(&p);
    }
    ck_assert_uint_le(refused, 13); /* of CIFAR-10's small network */
}
END_TEST

/* The way that runs everywhere, too: a change in a network's table is not one of a
 * path's. */
START_TEST(the_reference_path_computes_the_presets)
{
    net_case now = net_change((uint32_t)_i, 0);
    pair p;

    pair_open(&p, &now, AN_CPU_PATH_REFERENCE);
    check_passes(&p, 0);
    check_step(&p);
    pair_close(&p);
}
END_TEST

/* Operations that a device does in one with others are asked for by the same fields: what
 * the last layer gives, and a step's loss. */
START_TEST(devices_drop_and_scale_as_they_are_told)
{
    static const char *const asked[] = {"no dropout", "a quarter dropped",
                                        "scaled when testing", "scaled when training"};
    const net_pass testing = {0, 0, 0, 0}, training = {1, 77, 0, 0};
    an_trainer_config config = small_training(NET_BATCH);
    an_step_stats stats = {.size = sizeof stats};
    net_case now = {asked[_i], {0}};
    float got[NET_BATCH * 10];
    an_trainer *trainer;
    net_values wanted;
    uint32_t change = 0, last;
    pair p;

    while (strcmp(now.what, net_change(AN_ARCH_PAPER, change).what) != 0) change++;
    now = net_change(AN_ARCH_PAPER, change);
    now.config.devices = "cuda:0";
    pair_open(&p, &now, AN_CPU_PATH_BEST);
    last = p.n.count - 1;
    net_run(&p.n, p.model, p.images, labels, &testing, &wanted);
    expect_ok(an_infer_layer(p.model, p.images, NET_BATCH, "fc8", AN_POINT_LINEAR, got,
                             ENOUGH));
    expect_floats(got, wanted.at[last][0], wanted.count[last][0], BOUND, "%s, %s",
                  CASE(&p));
    net_values_free(&wanted);
    net_run(&p.n, p.model, p.images, labels, &training, &wanted);
    config.seed = 77;
    expect_ok(an_trainer_create(&trainer, p.model, &config));
    expect_ok(an_train_step(trainer, p.images, labels, NET_BATCH, &stats));
    expect_number(stats.loss, wanted.loss, BOUND * (1 + wanted.loss), "%s, %s", CASE(&p));
    net_values_free(&wanted);
    an_trainer_destroy(trainer);
    pair_close(&p);
}
END_TEST

Suite *ablations_suite(void)
{
    Suite *suite = suite_create("ablations");
    TCase *tc = tcase_create("ablations");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, every_change_of_a_preset_computes_what_it_says, AN_ARCH_PAPER,
                        AN_ARCH_LAST + 1);
    tcase_add_loop_test(tc, the_reference_path_computes_the_presets, AN_ARCH_PAPER,
                        AN_ARCH_LAST + 1);
    tcase_add_loop_test(tc, devices_drop_and_scale_as_they_are_told, 0, 4);
    suite_add_tcase(suite, tc);
    return suite;
}
