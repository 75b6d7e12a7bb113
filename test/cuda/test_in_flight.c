/*
 * test_in_flight.c - steps that have begun on the CUDA backend's host run and not ended:
 * they are the steps that they would be one by one, and nothing else is asked meanwhile;
 * cases of steps_suite().
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "host_run.h"
#include "nets.h"
#include "test.h"

enum { PICTURES = 6, SIDE = 40, PIXELS = 3 * SIDE * SIDE };

/* A model, its trainer, and a loader of noise that gives bytes to a device. */
typedef struct fed {
    uint8_t pixels[PICTURES * PIXELS];
    an_context *ctx;
    an_model *model;
    an_trainer *trainer;
    an_loader *loader;
    an_batch batch;
} fed;

static int fetch(uint64_t index, an_sample *sample, void *user)
{
    fed *f = user;

    sample->pixels = f->pixels + index * PIXELS;
    sample->width = sample->height = SIDE;
    sample->label = (int32_t)(index % CLASSES);
    return 0;
}

static fed *open_fed(uint32_t arch, uint32_t towers, const char *devices)
{
    an_model_config config = net_small(arch, towers, devices);
    fed *f = calloc(1, sizeof *f);
    an_loader_config loading;
    an_source source;
    size_t i;

    for (i = 0; i < sizeof f->pixels; i++)
        f->pixels[i] = (uint8_t)(i * 2654435761u >> 22);
    if (arch == AN_ARCH_CIFAR10) config.image_size = 33; /* of pictures of 40 */
    config.precision = devices != NULL ? AN_PRECISION_BF16 : AN_PRECISION_FP32;
    f->ctx = plugin_context(devices != NULL ? host_run_path() : NULL, 2);
    ck_assert_msg(an_model_create(&f->model, f->ctx, &config) == AN_OK, "%s",
                  an_error_message());
    f->trainer = net_trainer(f->model);
    an_source_init(&source, sizeof source);
    source.count = PICTURES;
    source.fetch = fetch;
    source.user = f;
    an_loader_config_init(&loading, sizeof loading);
    loading.batch = BATCH;
    loading.keep_uint8 = 1;
    ck_assert_msg(an_loader_create(&f->loader, f->model, &source, &loading) == AN_OK,
                  "%s", an_error_message());
    an_batch_init(&f->batch, sizeof f->batch);
    return f;
}

static void close_fed(fed *f)
{
    an_loader_destroy(f->loader);
    an_trainer_destroy(f->trainer);
    an_model_destroy(f->model);
    an_context_destroy(f->ctx);
    free(f);
}

/* Another trainer and another loader: five pictures, in threes, by pieces of two. */
static void in_threes(fed *f)
{
    an_trainer_config training;
    an_loader_config loading;
    an_source source;

    an_loader_destroy(f->loader);
    an_trainer_destroy(f->trainer);
    an_trainer_config_init(&training, sizeof training);
    training.batch = 3;
    training.micro_batch = 2;
    training.rate = 0.05f;
    ck_assert_int_eq(an_trainer_create(&f->trainer, f->model, &training), AN_OK);
    an_source_init(&source, sizeof source);
    source.count = 5;
    source.fetch = fetch;
    source.user = f;
    an_loader_config_init(&loading, sizeof loading);
    loading.batch = 3;
    loading.keep_uint8 = 1;
    ck_assert_int_eq(an_loader_create(&f->loader, f->model, &source, &loading), AN_OK);
}

static void begin_step(fed *f)
{
    ck_assert_int_eq(an_loader_next(f->loader, &f->batch), AN_OK);
    ck_assert_msg(an_train_step_begin(f->trainer, &f->batch) == AN_OK, "%s",
                  an_error_message());
}

static an_step_stats end_step(fed *f)
{
    an_step_stats stats;

    an_step_stats_init(&stats, sizeof stats);
    ck_assert_msg(an_train_step_end(f->trainer, &stats) == AN_OK, "%s",
                  an_error_message());
    return stats;
}

static float *parameters(const fed *f, size_t *count)
{
    float *values;

    *count = net_parameters(f->model);
    values = malloc(*count * sizeof *values);
    ck_assert_int_eq(net_get(f->model, values), AN_OK);
    return values;
}

/* Both have come to the same parameters, to the bit. */
static void close_equal(fed *one, fed *two)
{
    size_t count;
    float *a = parameters(one, &count), *b = parameters(two, &count);

    ck_assert_mem_eq(a, b, count * sizeof *a);
    free(a), free(b);
    close_fed(one);
    close_fed(two);
}

static const struct {
    uint32_t arch, towers;
    const char *devices;
} feds[] = {{AN_ARCH_CIFAR10, 1, "cuda:0"},
            {AN_ARCH_PAPER, 2, "cuda:0,cuda:1"},
            {AN_ARCH_CIFAR10, 1, NULL}};

/* Always two of them, on a device: losses, ranks and parameters are the same to the
 * bit. */
START_TEST(steps_in_flight_are_the_steps)
{
    enum { MANY = 7 };
    fed *one = open_fed(feds[_i].arch, feds[_i].towers, feds[_i].devices);
    fed *two = open_fed(feds[_i].arch, feds[_i].towers, feds[_i].devices);
    uint32_t ahead = feds[_i].devices != NULL ? 2 : 1, done = 0, begun = 0;
    an_step_stats want[MANY];

    for (; done < MANY; done++) {
        an_step_stats_init(&want[done], sizeof want[done]);
        ck_assert_int_eq(an_loader_next(one->loader, &one->batch), AN_OK);
        ck_assert_int_eq(an_train_step_batch(one->trainer, &one->batch, &want[done]),
                         AN_OK);
    }
    for (done = 0; done < MANY; done++) {
        an_step_stats got;

        for (; begun < MANY && begun < done + ahead; begun++) begin_step(two);
        got = end_step(two);
        ck_assert_double_eq(got.loss, want[done].loss);
        ck_assert_double_eq(got.top1, want[done].top1);
        ck_assert_double_eq(got.top5, want[done].top5);
        ck_assert_uint_eq(got.iteration, done + 1);
        ck_assert_uint_eq(an_trainer_iteration(two->trainer), done + 1);
    }
    close_equal(one, two);
}
END_TEST

/* Batches of three by pieces of two are done at once, the last of an epoch, of two, goes
 * beside the next: it has the dropout of its own number all the same, and what has ended
 * is counted. */
START_TEST(a_step_beside_one_that_is_done_has_its_own_number)
{
    fed *one = open_fed(AN_ARCH_PAPER, 1, "cuda:0"), *two;
    an_step_stats want[4], got;
    uint32_t i;

    two = open_fed(AN_ARCH_PAPER, 1, "cuda:0");
    in_threes(one), in_threes(two);
    for (i = 0; i < 4; i++) {
        an_step_stats_init(&want[i], sizeof want[i]);
        ck_assert_int_eq(an_loader_next(one->loader, &one->batch), AN_OK);
        ck_assert_uint_eq(one->batch.count, i % 2 ? 2 : 3);
        ck_assert_int_eq(an_train_step_batch(one->trainer, &one->batch, &want[i]), AN_OK);
    }
    for (i = 0; i < 4; i += 2) {
        begin_step(two);
        ck_assert_uint_eq(an_trainer_iteration(two->trainer), i);
        begin_step(two);
        ck_assert_uint_eq(an_trainer_iteration(two->trainer), i);
        got = end_step(two);
        ck_assert_double_eq(got.loss, want[i].loss);
        ck_assert_uint_eq(got.iteration, i + 1);
        ck_assert_uint_eq(an_trainer_iteration(two->trainer), i + 1);
        got = end_step(two);
        ck_assert_double_eq(got.loss, want[i + 1].loss);
        ck_assert_uint_eq(got.iteration, i + 2);
        ck_assert_uint_eq(an_trainer_iteration(two->trainer), i + 2);
    }
    close_equal(one, two);
}
END_TEST

/* One, as it comes: the towers' weights are there when it has ended, on whichever
 * device. */
START_TEST(an_ended_step_has_updated_both_towers)
{
    fed *one = open_fed(AN_ARCH_PAPER, 2, "cuda:0,cuda:1");
    fed *two = open_fed(AN_ARCH_PAPER, 2, "cuda:0,cuda:1");

    ck_assert_int_eq(an_loader_next(one->loader, &one->batch), AN_OK);
    ck_assert_int_eq(an_train_step_batch(one->trainer, &one->batch, NULL), AN_OK);
    begin_step(two), end_step(two);
    close_equal(one, two);
}
END_TEST

/* The bytes of the next batch cross while the step before has not begun to compute (the
 * double does nothing that nobody waits for), and are all that crosses but labels and the
 * step's numbers. */
START_TEST(the_next_batch_comes_beside_the_step)
{
    fed *f = open_fed(AN_ARCH_CIFAR10, 1, "cuda:0");
    const uint64_t crops = (uint64_t)BATCH * 3 * 33 * 33;
    uint64_t launches, up;
    int i;

    for (i = 0; i < 3; i++) begin_step(f), end_step(f);
    launches = hr()->launches, up = hr()->up_bytes;
    begin_step(f);
    ck_assert_uint_eq(hr()->launches, launches);
    ck_assert_uint_ge(hr()->up_bytes - up, crops);
    up = hr()->up_bytes;
    begin_step(f);
    ck_assert_uint_eq(hr()->launches, launches);
    ck_assert_uint_ge(hr()->up_bytes - up, crops);
    end_step(f);
    ck_assert_uint_gt(hr()->launches, launches);
    launches = hr()->launches;
    up = hr()->up_bytes;
    begin_step(f); /* into the place of the one that has ended */
    ck_assert_uint_eq(hr()->launches, launches);
    ck_assert_uint_ge(hr()->up_bytes - up, crops);
    end_step(f), end_step(f);
    ck_assert_uint_le(hr()->up_bytes - up, crops + 2 * 4096);
    close_fed(f);
}
END_TEST

/* Meanwhile model and trainer are the steps'. */
START_TEST(nothing_else_is_asked_meanwhile)
{
    fed *f = open_fed(AN_ARCH_CIFAR10, 1, "cuda:0");
    float x = 0, p[CLASSES];
    float *images = net_images(f->model);

    ck_assert_int_eq(an_train_step_end(f->trainer, NULL), AN_ERROR_STATE);
    begin_step(f);
    ck_assert_int_eq(an_infer(f->model, images, 1, p, ENOUGH), AN_ERROR_STATE);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "in flight"));
    ck_assert_int_eq(an_parameter_get(f->model, 1, &x, 1), AN_ERROR_STATE);
    ck_assert_int_eq(an_train_step_batch(f->trainer, &f->batch, NULL), AN_ERROR_STATE);
    ck_assert_int_eq(an_train_step(f->trainer, images, net_labels, BATCH, NULL),
                     AN_ERROR_STATE);
    ck_assert_int_eq(an_trainer_get_gradient(f->trainer, 1, &x, 1), AN_ERROR_STATE);
    ck_assert_int_eq(an_trainer_set_rates(f->trainer, 0.1f, -1), AN_ERROR_STATE);
    ck_assert_uint_eq(an_trainer_iteration(f->trainer), 0);
    begin_step(f);
    ck_assert_int_eq(an_train_step_begin(f->trainer, &f->batch), AN_ERROR_STATE);
    ck_assert_int_eq(an_train_step_begin(f->trainer, NULL), AN_ERROR_STATE);
    end_step(f), end_step(f);
    ck_assert_int_eq(an_train_step_begin(f->trainer, NULL), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_infer(f->model, images, 1, p, ENOUGH), AN_OK);
    begin_step(f); /* and a trainer may go with one in flight */
    free(images);
    close_fed(f);
}
END_TEST

/* One diverges, by its loss or a gradient; the one behind it changes nothing either. */
START_TEST(what_is_begun_behind_a_divergence_is_given_up)
{
    fed *f = open_fed(AN_ARCH_CIFAR10, 1, "cuda:0");
    size_t count;
    float *before, *after;

    begin_step(f), end_step(f);
    begin_step(f), end_step(f);
    net_fill_param(f->model, "conv3.weight", 3e38f);
    before = parameters(f, &count);
    begin_step(f);
    begin_step(f);
    ck_assert_int_eq(an_train_step_end(f->trainer, NULL), AN_ERROR_DIVERGED);
    ck_assert_msg(strstr(an_error_message(), "conv3") != NULL, "%s", an_error_message());
    ck_assert_int_eq(an_train_step_end(f->trainer, NULL), AN_ERROR_STATE);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "given up"));
    ck_assert_uint_eq(an_trainer_iteration(f->trainer), 2);
    after = parameters(f, &count);
    ck_assert_mem_eq(before, after, count * sizeof *before);
    net_fill_param(f->model, "conv3.weight", 0.01f);
    begin_step(f), end_step(f);
    ck_assert_uint_eq(an_trainer_iteration(f->trainer), 3);
    free(before), free(after);
    close_fed(f);
}
END_TEST

/* The gradient of the step before is gone with a step that could not begin. */
START_TEST(a_step_that_does_not_begin_leaves_no_gradient)
{
    fed *f = open_fed(AN_ARCH_CIFAR10, 1, "cuda:0");
    uint32_t index = net_param(f->model, "conv1.bias");
    size_t count = f->model->net.plan->params[index].count;
    float *gradient = malloc(count * sizeof *gradient);

    begin_step(f), end_step(f);
    ck_assert_int_eq(an_trainer_get_gradient(f->trainer, index, gradient, count), AN_OK);
    ck_assert_int_eq(an_loader_next(f->loader, &f->batch), AN_OK);
    hr()->fail_kind = HOST_RUN_COPY;
    hr()->fail_in = 1;
    ck_assert_int_eq(an_train_step_begin(f->trainer, &f->batch), AN_ERROR_DEVICE);
    ck_assert_int_eq(an_trainer_get_gradient(f->trainer, index, gradient, count),
                     AN_ERROR_STATE);
    free(gradient);
    close_fed(f);
}
END_TEST

void add_in_flight(TCase *tc)
{
    tcase_add_loop_test(tc, steps_in_flight_are_the_steps, 0,
                        sizeof feds / sizeof feds[0]);
    tcase_add_test(tc, a_step_beside_one_that_is_done_has_its_own_number);
    tcase_add_test(tc, an_ended_step_has_updated_both_towers);
    tcase_add_test(tc, the_next_batch_comes_beside_the_step);
    tcase_add_test(tc, nothing_else_is_asked_meanwhile);
    tcase_add_test(tc, what_is_begun_behind_a_divergence_is_given_up);
    tcase_add_test(tc, a_step_that_does_not_begin_leaves_no_gradient);
}
