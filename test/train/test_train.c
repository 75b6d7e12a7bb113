/*
 * test_train.c - training: the update, gradients against the reference, bits that do not
 * depend on threads or towers, divergence, the flat start.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref_net.h"
#include "small.h"
#include "test.h"

static void open_bench(bench *b, const an_model_config *config, uint32_t threads,
                       uint32_t batch, float rate)
{
    an_trainer_config training = small_training(batch);

    training.rate = rate;
    bench_open(b, config, &training, threads);
}

/* --- gradients against the reference ----------------------------------------------- */

static const struct {
    uint32_t arch, towers, activation, extra;
} nets[] = {
    {AN_ARCH_PAPER, 1, AN_ACTIVATION_RELU, 0},
    {AN_ARCH_PAPER, 2, AN_ACTIVATION_TANH, 0},
    {AN_ARCH_KRIZHEVSKY2012, 1, AN_ACTIVATION_SIGMOID, 0},
    {AN_ARCH_KRIZHEVSKY2012, 2, AN_ACTIVATION_RELU, 1},
    {AN_ARCH_CAFFENET, 1, AN_ACTIVATION_RELU, 0},
    {AN_ARCH_TORCHVISION, 2, AN_ACTIVATION_TANH, 0},
    {AN_ARCH_OWT2014, 1, AN_ACTIVATION_RELU, 0},
    {AN_ARCH_CIFAR10, 1, AN_ACTIVATION_RELU, 0},
};

/* Loss within 1e-6 of the reference's, every gradient within 2e-4 of the largest of its
 * tensor: float32 through up to 25 operations each way. Dropout is on, its mask the
 * same. */
START_TEST(gradients_equal_the_references)
{
    an_model_config config = small_config(nets[_i].arch);
    an_step_stats stats;
    ref_net *ref;
    bench b;
    uint32_t i;
    double loss;

    config.towers = nets[_i].towers;
    config.activation = nets[_i].activation;
    config.extra_conv = nets[_i].extra;
    open_bench(&b, &config, 2, 3, 0.01f);
    ref = ref_net_create(b.model);
    loss = ref_net_gradients(ref, b.images, b.labels, b.batch, 11, 0);

    an_step_stats_init(&stats, sizeof stats);
    ck_assert_int_eq(an_train_step(b.trainer, b.images, b.labels, b.batch, &stats),
                     AN_OK);
    ck_assert_double_eq_tol(stats.loss, loss, 1e-6 * fabs(loss));
    for (i = 0; i < b.model->net.plan->param_count; i++) {
        size_t count, j;
        float *got = gradient_of(b.trainer, i, &count);
        float *want = malloc(count * sizeof *want);

        for (j = 0; j < count; j++) want[j] = (float)ref->gradient[i][j];
        expect_floats(got, want, count, 2e-4, "net %d, gradient of %s", _i,
                      b.model->net.plan->params[i].name);
        free(got);
        free(want);
    }
    ref_net_destroy(ref);
    bench_close(&b);
}
END_TEST

/* The reference's gradients are the slopes of its loss: central differences at some
 * places of every parameter. Smooth activations, so that no step crosses a kink but those
 * of pooling. Within 1e-5 of the tensor's largest slope. */
START_TEST(reference_gradients_are_slopes)
{
    an_model_config config = small_config(nets[_i].arch);
    ref_net *ref;
    bench b;
    uint32_t i, k;

    config.towers = nets[_i].towers;
    config.activation = AN_ACTIVATION_TANH;
    config.extra_conv = nets[_i].extra;
    open_bench(&b, &config, 1, 2, 0.01f);
    ref = ref_net_create(b.model);
    ref_net_gradients(ref, b.images, b.labels, b.batch, 11, 0);
    for (i = 0; i < b.model->net.plan->param_count; i++) {
        size_t count = b.model->net.plan->params[i].count, j;
        double largest = 0;

        for (j = 0; j < count; j++)
            if (fabs(ref->gradient[i][j]) > largest) largest = fabs(ref->gradient[i][j]);
        for (k = 0; k < 3; k++) {
            double step = 1e-6, *w, was, up, down;

            j = (size_t)k * (count - 1) / 2;
            w = &ref->weight[i][j];
            was = *w;
            *w = was + step;
            up = ref_net_loss(ref, b.images, b.labels, b.batch, 11, 0);
            *w = was - step;
            down = ref_net_loss(ref, b.images, b.labels, b.batch, 11, 0);
            *w = was;
            ck_assert_msg(fabs((up - down) / (2 * step) - ref->gradient[i][j]) <=
                              1e-5 * largest + 1e-9,
                          "%s[%zu]: slope %g, gradient %g",
                          b.model->net.plan->params[i].name, j, (up - down) / (2 * step),
                          ref->gradient[i][j]);
        }
    }
    ref_net_destroy(ref);
    bench_close(&b);
}
END_TEST

/* --- the update -------------------------------------------------------------------- */

/* Two steps by hand: v = 0.9 v - decay rate w - rate g, w += v; biases at their own rate
 * and without decay. Within 1e-6 of the tensor's largest: float32 rounding. */
START_TEST(update_is_the_papers)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    const float rate = 0.02f, bias_rate = 0.05f, decay = 0.01f;
    an_trainer_config training;
    bench b;
    uint32_t i, s;
    float *w[AN_MAX_PARAMS], *v[AN_MAX_PARAMS];
    size_t count[AN_MAX_PARAMS], j;

    open_bench(&b, &config, 1, 4, rate);
    an_trainer_destroy(b.trainer);
    an_trainer_config_init(&training, sizeof training);
    training.batch = 4;
    training.rate = rate;
    training.bias_rate = bias_rate;
    training.weight_decay = decay;
    training.bias_decay = 0;
    ck_assert_int_eq(an_trainer_create(&b.trainer, b.model, &training), AN_OK);
    for (i = 0; i < b.model->net.plan->param_count; i++) {
        w[i] = parameter_of(b.model, i, &count[i]);
        v[i] = calloc(count[i], sizeof *v[i]);
    }
    for (s = 0; s < 2; s++) {
        ck_assert_int_eq(an_train_step(b.trainer, b.images, b.labels, 4, NULL), AN_OK);
        for (i = 0; i < b.model->net.plan->param_count; i++) {
            int bias = (int)b.model->net.plan->params[i].is_bias;
            float *g = gradient_of(b.trainer, i, &count[i]);
            float *now, r = bias ? bias_rate : rate;
            size_t again;

            for (j = 0; j < count[i]; j++) {
                v[i][j] = 0.9f * v[i][j] - (bias ? 0 : decay) * r * w[i][j] - r * g[j];
                w[i][j] += v[i][j];
            }
            now = parameter_of(b.model, i, &again);
            expect_floats(now, w[i], again, 1e-6, "parameter %u after step %u", i, s + 1);
            memcpy(w[i], now, again * sizeof *now);
            free(now);
            free(g);
        }
    }
    for (i = 0; i < b.model->net.plan->param_count; i++) {
        free(w[i]);
        free(v[i]);
    }
    bench_close(&b);
}
END_TEST

START_TEST(presets_have_their_rates_of_biases)
{
    an_model_config config = small_config(AN_ARCH_KRIZHEVSKY2012);
    an_trainer_config c;
    bench b;

    an_trainer_config_init(&c, sizeof c);
    open_bench(&b, &config, 1, 2, 0.25f);
    ck_assert_int_eq(an_trainer_get_config(b.trainer, &c), AN_OK);
    ck_assert_float_eq(c.bias_rate, 0.5f);
    ck_assert_float_eq(c.bias_decay, 0);
    ck_assert_float_eq(c.weight_decay, 0.0005f);
    ck_assert_int_eq(an_trainer_set_rates(b.trainer, 0.5f, -1), AN_OK);
    ck_assert_int_eq(an_trainer_get_config(b.trainer, &c), AN_OK);
    ck_assert_float_eq(c.rate, 0.5f);
    ck_assert_float_eq(c.bias_rate, 1);
    ck_assert_int_eq(an_trainer_set_rates(b.trainer, NAN, -1), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_trainer_set_rates(b.trainer, 1, 1001), AN_ERROR_ARGUMENT);
    bench_close(&b);
    config = small_config(AN_ARCH_PAPER);
    open_bench(&b, &config, 1, 2, 0.25f);
    ck_assert_int_eq(an_trainer_get_config(b.trainer, &c), AN_OK);
    ck_assert_float_eq(c.bias_rate, 0.25f);
    ck_assert_float_eq(c.bias_decay, 0.0005f);
    bench_close(&b);
}
END_TEST

/* --- the same bits ----------------------------------------------------------------- */

START_TEST(bits_do_not_depend_on_threads)
{
    static const uint32_t threads[] = {2, 3, 8};
    an_model_config config = small_config((uint32_t)_i);
    float one_p[80], p[80];
    bench one, b;
    size_t t;

    if (_i == AN_ARCH_PAPER) config.width = 0.3f; /* enough for several blocks of work */
    open_bench(&one, &config, 1, 8, 0.01f);
    bench_steps(&one, 3);
    ck_assert_int_eq(an_infer(one.model, one.images, 8, one_p, ENOUGH), AN_OK);
    for (t = 0; t < 3; t++) {
        open_bench(&b, &config, threads[t], 8, 0.01f);
        bench_steps(&b, 3);
        same_parameters(b.model, one.model, 0, "more threads");
        ck_assert_int_eq(an_infer(b.model, b.images, 8, p, ENOUGH), AN_OK);
        ck_assert_mem_eq(p, one_p, sizeof p);
        bench_close(&b);
    }
    bench_close(&one);
}
END_TEST

/* Fills what it gives with one byte: 0xff, of which floats are NaN. */
static void *filled_alloc(size_t bytes, void *user)
{
    void *memory = malloc(bytes);

    if (memory != NULL) memset(memory, *(const unsigned char *)user, bytes);
    return memory;
}

static void filled_release(void *memory, void *user)
{
    (void)user;
    free(memory);
}

/* Three steps of a preset on a path, and what its model then says of the images. */
static void train_in_filled(bench *b, uint32_t arch, uint32_t path, unsigned char *fill,
                            float *p)
{
    an_model_config config = small_config(arch);
    an_trainer_config training = small_training(5);
    an_context_config context;
    size_t numbers;
    int step;

    memset(b, 0, sizeof *b);
    an_context_config_init(&context, sizeof context);
    context.threads = 2;
    context.cpu_path = path;
    context.alloc = filled_alloc;
    context.release = filled_release;
    context.alloc_user = fill;
    expect_ok(an_context_create(&b->ctx, &context));
    expect_ok(an_model_create(&b->model, b->ctx, &config));
    training.micro_batch = 3;
    expect_ok(an_trainer_create(&b->trainer, b->model, &training));
    numbers = b->model->net.plan->tensors[b->model->net.plan->input[0]].count * 5;
    b->images = malloc(numbers * sizeof *b->images);
    noise_floats(b->images, numbers, 9, 1);
    for (step = 0; step < 3; step++)
        expect_ok(an_train_step(b->trainer, b->images, b->labels, 5, NULL));
    expect_ok(an_infer(b->model, b->images, 5, p, ENOUGH));
}

/* Whatever stood in it before: each preset, on each of the CPU's paths. */
START_TEST(bits_do_not_depend_on_what_memory_held)
{
    static unsigned char clean = 0, full = 0xff;
    float p[50], q[50];
    uint32_t path;
    bench a, b;

    for (path = AN_CPU_PATH_REFERENCE; path <= AN_CPU_PATH_AVX512; path++) {
        an_context *there = small_context(1, path);

        if (there == NULL) continue;
        an_context_destroy(there);
        train_in_filled(&a, (uint32_t)_i, path, &clean, p);
        train_in_filled(&b, (uint32_t)_i, path, &full, q);
        same_parameters(b.model, a.model, 0, "memory that was not empty");
        expect_floats(q, p, 50, 0, "arch %d, path %u", _i, path);
        bench_close(&a);
        bench_close(&b);
    }
}
END_TEST

/* The split changes the order of some sums (conv3 and the dense layers add two halves on
 * the way back), no more: 2e-5 of each tensor's largest after three steps, dropout
 * included. */
START_TEST(two_towers_equal_the_grouped_net)
{
    an_model_config config = small_config((uint32_t)_i);
    bench one, two;

    config.width = 0.1f;
    open_bench(&one, &config, 2, 4, 0.01f);
    config.towers = 2;
    open_bench(&two, &config, 2, 4, 0.01f);
    same_parameters(two.model, one.model, 0,
                    "two towers as made"); /* the same initialisation */
    bench_steps(&one, 3);
    bench_steps(&two, 3);
    same_parameters(two.model, one.model, 2e-5, "two towers after three steps");
    bench_close(&one);
    bench_close(&two);
}
END_TEST

START_TEST(pictures_are_cropped_and_mirrored_by_seed)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_preprocessing p;
    an_image pictures[8];
    uint8_t *pixels = malloc(8 * 40 * 40 * 3);
    bench a, b;
    uint32_t i, kept = 0;

    for (i = 0; i < 8 * 40 * 40 * 3; i++) pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    for (i = 0; i < 8; i++) {
        an_image_init(&pictures[i], sizeof pictures[i]);
        pictures[i].pixels = pixels + i * 40 * 40 * 3;
        pictures[i].width = pictures[i].height = 40;
    }
    an_preprocessing_init(&p, sizeof p);
    open_bench(&a, &config, 1, 8, 0.01f);
    open_bench(&b, &config, 3, 8, 0.01f);
    ck_assert_int_eq(an_model_get_preprocessing(a.model, &p), AN_OK);
    p.side = 40;
    ck_assert_int_eq(an_model_set_preprocessing(a.model, &p), AN_OK);
    ck_assert_int_eq(an_model_set_preprocessing(b.model, &p), AN_OK);
    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(an_train_step_images(a.trainer, pictures, a.labels, 8, NULL),
                         AN_OK);
        ck_assert_int_eq(an_train_step_images(b.trainer, pictures, a.labels, 8, NULL),
                         AN_OK);
    }
    same_parameters(b.model, a.model, 0, "three threads");

    for (i = 0; i < 1000; i++) {
        uint32_t word[4];
        an_view v;

        an__random4(1, AN_STREAM_VIEW, 2, i, word);
        v = an__view_random(&a.model->input, AN_AUGMENT_CROP | AN_AUGMENT_MIRROR, word);
        ck_assert_uint_le(v.x, 8);
        ck_assert_uint_le(v.y, 8);
        kept += v.mirror;
    }
    ck_assert_uint_ge(kept, 440); /* 500, within 3.8 standard deviations */
    ck_assert_uint_le(kept, 560);
    bench_close(&a);
    bench_close(&b);
    free(pixels);
}
END_TEST

/* --- faults ------------------------------------------------------------------------ */

START_TEST(divergence_changes_nothing)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_step_stats stats;
    bench a, b;
    float was;
    size_t count;
    float *w;

    open_bench(&a, &config, 2, 4, 0.01f);
    open_bench(&b, &config, 2, 4, 0.01f);
    bench_steps(&a, 2);
    bench_steps(&b, 2);
    was = a.images[7];
    a.images[7] = NAN;
    an_step_stats_init(&stats, sizeof stats);
    stats.loss = 42;
    ck_assert_int_eq(an_train_step(a.trainer, a.images, a.labels, 4, &stats),
                     AN_ERROR_DIVERGED);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "input"));
    ck_assert_double_eq(stats.loss, 42);
    ck_assert_uint_eq(an_trainer_iteration(a.trainer), 2);
    same_parameters(a.model, b.model, 0, "a step that diverged");
    a.images[7] = was; /* and it goes on as if nothing had been */
    bench_steps(&a, 2);
    bench_steps(&b, 2);
    same_parameters(a.model, b.model, 0, "a step that diverged");

    /* Weights so large that conv3's output overflows. */
    w = parameter_of(a.model, 4, &count);
    while (count-- > 0) w[count] = 3e38f;
    ck_assert_int_eq(an_parameter_set(a.model, 4, w, a.model->net.plan->params[4].count),
                     AN_OK);
    ck_assert_int_eq(an_train_step(a.trainer, a.images, a.labels, 4, NULL),
                     AN_ERROR_DIVERGED);
    ck_assert_msg(strstr(an_error_message(), "conv3") != NULL, "%s", an_error_message());
    free(w);
    bench_close(&a);
    bench_close(&b);
}
END_TEST

/* Stats are a step's own, whatever the caller's struct has had. */
START_TEST(stats_do_not_add_up)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_step_stats stats, again;
    bench a, b;

    open_bench(&a, &config, 1, 4, 0.01f);
    open_bench(&b, &config, 1, 4, 0.01f);
    an_step_stats_init(&stats, sizeof stats);
    again = stats;
    again.loss = again.top1 = again.top5 = 1000;
    again.iteration = again.flat = 77;
    ck_assert_int_eq(an_train_step(a.trainer, a.images, a.labels, 4, &stats), AN_OK);
    ck_assert_int_eq(an_train_step(b.trainer, b.images, b.labels, 4, &again), AN_OK);
    expect_number(again.loss, stats.loss, 0, "loss");
    expect_number(again.top1, stats.top1, 0, "top-1");
    expect_number(again.top5, stats.top5, 0, "top-5");
    expect_count(again.iteration, 1, "iteration");
    expect_count(again.flat, 0, "flat");
    bench_close(&a);
    bench_close(&b);
}
END_TEST

/* A finite loss whose gradient is not: the last layer's weights send infinity down. */
START_TEST(a_gradient_that_overflows_is_named)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    bench b;
    size_t count, j;
    float *w;
    uint32_t last;

    config.activation = AN_ACTIVATION_TANH;
    config.lrn = AN_SWITCH_OFF;
    open_bench(&b, &config, 1, 4, 0.01f);
    ck_assert_int_eq(an_parameter_find(b.model, "fc4.weight", &last), AN_OK);
    w = parameter_of(b.model, last, &count);
    for (j = 0; j < count; j++) w[j] = j < count / 10 ? 3e38f : 0;
    ck_assert_int_eq(an_parameter_set(b.model, last, w, count), AN_OK);
    for (j = 0; j < 3 * 32 * 32 * 4; j++)
        b.images[j] = 0; /* logits stay those of biases */
    free(w);
    w = parameter_of(b.model, 1, &count);
    memset(w, 0, count * sizeof *w);
    ck_assert_int_eq(an_parameter_set(b.model, 1, w, count), AN_OK);
    ck_assert_int_eq(an_parameter_set(b.model, 3, w, count), AN_OK);
    free(w);
    w = parameter_of(b.model, 5, &count);
    memset(w, 0, count * sizeof *w);
    ck_assert_int_eq(an_parameter_set(b.model, 5, w, count), AN_OK);
    free(w);
    /* One weight large enough that conv3's gradient, a sum over pixels, is infinite. */
    ck_assert_int_eq(an_train_step(b.trainer, b.images, b.labels, 4, NULL),
                     AN_ERROR_DIVERGED);
    ck_assert_msg(strstr(an_error_message(), "conv3") != NULL &&
                      strstr(an_error_message(), "gradient") != NULL,
                  "%s", an_error_message());
    ck_assert_uint_eq(an_trainer_iteration(b.trainer), 0);
    bench_close(&b);
}
END_TEST

static void count_warnings(an_log_level level, const char *text, void *user)
{
    if (level == AN_LOG_WARNING && strstr(text, "guessing") != NULL) ++*(int *)user;
}

/* Rate 0 learns nothing: flat from step 100 on, said once. A net that learns is not
 * flat. */
START_TEST(the_flat_start_is_reported)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_context_config context;
    an_step_stats stats;
    int warnings = 0, s;
    bench b;

    config.width = 0.1f;
    config.initialisation = AN_INIT_GAUSSIAN; /* sigma 0.01: logits near 0 */
    open_bench(&b, &config, 1, 8, 0);
    b.ctx->memory.log = count_warnings; /* as a context config would have set it */
    b.ctx->memory.log_user = &warnings;
    (void)context;
    an_step_stats_init(&stats, sizeof stats);
    for (s = 1; s <= 105; s++) {
        ck_assert_int_eq(an_train_step(b.trainer, b.images, b.labels, 8, &stats), AN_OK);
        ck_assert_uint_eq(stats.iteration, (unsigned)s);
        ck_assert_uint_eq(stats.flat, s >= 100);
    }
    ck_assert_int_eq(warnings, 1);
    bench_close(&b);

    config.initialisation = AN_INIT_HE;
    open_bench(&b, &config, 1, 8, 0.05f);
    for (s = 1; s <= 105; s++)
        ck_assert_int_eq(an_train_step(b.trainer, b.images, b.labels, 8, &stats), AN_OK);
    ck_assert_uint_eq(stats.flat, 0);
    ck_assert_double_lt(stats.loss, 0.5); /* eight images are soon known by heart */
    bench_close(&b);
}
END_TEST

START_TEST(bad_calls_are_refused_by_name)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_trainer *second = (an_trainer *)&second;
    float gradient[1];
    bench b;

    open_bench(&b, &config, 1, 4, 0.01f);
    ck_assert_int_eq(an_train_step(b.trainer, b.images, b.labels, 5, NULL),
                     AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "count is 5"));
    ck_assert_int_eq(an_train_step(b.trainer, b.images, b.labels, 0, NULL),
                     AN_ERROR_ARGUMENT);
    b.labels[1] = 10;
    ck_assert_int_eq(an_train_step(b.trainer, b.images, b.labels, 4, NULL),
                     AN_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "labels[1] is 10"));
    ck_assert_int_eq(an_trainer_create(&second, b.model, NULL), AN_ERROR_STATE);
    ck_assert_ptr_eq(second, (an_trainer *)&second);
    ck_assert_int_eq(an_trainer_get_gradient(b.trainer, 0, gradient, 1),
                     AN_ERROR_ARGUMENT);
    {
        size_t count = b.model->net.plan->params[0].count;
        float *g = malloc(count * sizeof *g);

        ck_assert_int_eq(an_trainer_get_gradient(b.trainer, 0, g, count), AN_ERROR_STATE);
        free(g);
    }
    bench_close(&b);
}
END_TEST

/* The clock's rows are there, and the model is what it was. */
START_TEST(profile_leaves_the_model_alone)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    an_kernel_time kernel;
    an_layer_time rows[8];
    uint32_t kinds;
    bench a, b;
    int i;

    open_bench(&a, &config, 2, 2, 0.01f);
    open_bench(&b, &config, 2, 2, 0.01f);
    for (i = 0; i < 8; i++) an_layer_time_init(&rows[i], sizeof rows[i]);
    ck_assert_int_eq(an_model_profile(a.model, 2, 1, rows, 8), AN_OK);
    same_parameters(a.model, b.model, 0, "a profile");
    for (i = 0; i < 8; i++) {
        ck_assert_str_eq(rows[i].name, a.model->net.plan->layers[i].name);
        ck_assert_double_gt(rows[i].forward, 0);
        ck_assert_double_gt(rows[i].backward, 0);
        ck_assert_double_gt(rows[i].update, 0);
    }
    ck_assert_int_eq(an_model_profile(a.model, 2, 0, rows, 8), AN_OK);
    ck_assert_double_gt(rows[0].forward, 0);
    ck_assert_double_eq(rows[0].backward, 0);
    ck_assert_double_eq(rows[0].update, 0);
    ck_assert_int_eq(an_model_profile(a.model, 2, 0, rows, 7), AN_ERROR_ARGUMENT);
    ck_assert_int_eq(an_model_profile(a.model, 0, 0, rows, 8), AN_ERROR_ARGUMENT);
    kinds = 1; /* the CPU has no account of kernels */
    an_kernel_time_init(&kernel, sizeof kernel);
    ck_assert_int_eq(an_model_profile_kernels(a.model, 2, 1, &kernel, 1, &kinds), AN_OK);
    ck_assert_uint_eq(kinds, 0);
    bench_close(&a);
    bench_close(&b);
}
END_TEST

Suite *train_suite(void)
{
    Suite *suite = suite_create("train");
    TCase *tc = tcase_create("train");
    int count = (int)(sizeof nets / sizeof nets[0]);

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, gradients_equal_the_references, 0, count);
    tcase_add_loop_test(tc, reference_gradients_are_slopes, 0, count);
    tcase_add_test(tc, update_is_the_papers);
    tcase_add_test(tc, presets_have_their_rates_of_biases);
    tcase_add_loop_test(tc, bits_do_not_depend_on_what_memory_held, AN_ARCH_PAPER,
                        AN_ARCH_LAST + 1);
    tcase_add_loop_test(tc, bits_do_not_depend_on_threads, AN_ARCH_PAPER,
                        AN_ARCH_KRIZHEVSKY2012 + 1);
    tcase_add_loop_test(tc, bits_do_not_depend_on_threads, AN_ARCH_CIFAR10,
                        AN_ARCH_LAST + 1);
    tcase_add_loop_test(tc, two_towers_equal_the_grouped_net, AN_ARCH_PAPER,
                        AN_ARCH_FLOOR224 + 1);
    tcase_add_test(tc, pictures_are_cropped_and_mirrored_by_seed);
    tcase_add_test(tc, divergence_changes_nothing);
    tcase_add_test(tc, stats_do_not_add_up);
    tcase_add_test(tc, a_gradient_that_overflows_is_named);
    tcase_add_test(tc, the_flat_start_is_reported);
    tcase_add_test(tc, bad_calls_are_refused_by_name);
    tcase_add_test(tc, profile_leaves_the_model_alone);
    suite_add_tcase(suite, tc);
    return suite;
}
