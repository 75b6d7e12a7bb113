/*
 * test_cuda.c - whole networks on the CUDA backend's host run: against the CPU's, one
 * device and two, what they exchange; pictures: test_cuda_pictures.c. On a card, where
 * $AN_TEST_CARD names a plugin, the cases that need no control over the device.
 */
#define _GNU_SOURCE

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"
#include "host_run.h"
#include "nets.h"
#include "scratch.h"
#include "test.h"

/* --- against the CPU --------------------------------------------------------------- */

static const struct {
    uint32_t arch, towers, activation;
    float width; /* 0: few maps, which nothing divides */
} nets[] = {
    {AN_ARCH_PAPER, 2, AN_ACTIVATION_TANH}, /* dropout has a tensor of its own */
    {AN_ARCH_PAPER, 1, AN_ACTIVATION_PRESET},
    {AN_ARCH_PAPER, 2, AN_ACTIVATION_PRESET},
    {AN_ARCH_KRIZHEVSKY2012, 1, AN_ACTIVATION_PRESET},
    {AN_ARCH_KRIZHEVSKY2012, 2, AN_ACTIVATION_PRESET},
    {AN_ARCH_FLOOR224, 1, AN_ACTIVATION_PRESET},
    {AN_ARCH_CAFFENET, 1, AN_ACTIVATION_PRESET},
    {AN_ARCH_OWT2014, 1, AN_ACTIVATION_PRESET},
    {AN_ARCH_TORCHVISION, 1, AN_ACTIVATION_PRESET},
    {AN_ARCH_CIFAR10, 1, AN_ACTIVATION_PRESET},
    /* Maps in eights, for what moves and joins them so. */
    {AN_ARCH_PAPER, 1, AN_ACTIVATION_PRESET, 0.5f},
    {AN_ARCH_PAPER, 2, AN_ACTIVATION_PRESET, 0.5f},
    {AN_ARCH_TORCHVISION, 1, AN_ACTIVATION_PRESET, 0.25f},
};

static void against_cpu(const char *plugin, int i, uint32_t precision, double bound)
{
    const char *devices = nets[i].towers == 2 ? "cuda:0,cuda:0" : "cuda:0";
    an_model_config here = net_small(nets[i].arch, nets[i].towers, devices);
    an_model_config there = net_small(nets[i].arch, 1, NULL);
    outcome cpu, cuda;

    here.precision = precision;
    here.activation = there.activation = nets[i].activation;
    if (nets[i].width != 0) here.width = there.width = nets[i].width;
    cpu = net_trained(NULL, &there, STEPS, 0);
    cuda = net_trained(plugin, &here, STEPS, 0);
    net_same(&cpu, &cuda, bound);
    net_drop(&cpu), net_drop(&cuda);
}

/* Four steps: the first as it comes, the second recorded, the others repeated. */
START_TEST(training_equals_the_cpus)
{
    against_cpu(host_run_path(), _i, AN_PRECISION_FP32, 2e-5);
}
END_TEST

/* Of some nets. */
static const struct {
    int net;
    uint32_t precision;
    double bound;
} lower[] = {{1, AN_PRECISION_TF32, 1e-3},  {10, AN_PRECISION_TF32, 1e-3},
             {1, AN_PRECISION_BF16, 2e-2},  {10, AN_PRECISION_BF16, 2e-2},
             {11, AN_PRECISION_BF16, 2e-2}, {12, AN_PRECISION_BF16, 2e-2},
             {1, AN_PRECISION_TF32X3, 2e-5}};
enum { LOWER = sizeof lower / sizeof lower[0] };

static void stays_near(const char *plugin, int i)
{
    against_cpu(plugin, lower[i].net, lower[i].precision, lower[i].bound);
}

START_TEST(training_in_lower_precision_stays_near)
{
    stays_near(host_run_path(), _i);
}
END_TEST

/* On a card, where there is one: the same, and ten steps of the network half as wide. */
START_TEST(a_card_equals_the_cpu)
{
    if (card_is_cuda()) against_cpu(card_path(), _i, AN_PRECISION_FP32, 2e-5);
}
END_TEST

START_TEST(a_card_stays_near_in_lower_precision)
{
    if (card_is_cuda()) stays_near(card_path(), _i);
}
END_TEST

START_TEST(ten_steps_on_a_card)
{
    an_model_config here = net_small(AN_ARCH_PAPER, 2, "cuda:0,cuda:0"), there;
    outcome cpu, cuda, again;
    int i;

    if (!card_is_cuda()) return;
    here.width = 0.5f;
    here.image_size = 0;
    there = here;
    there.devices = NULL;
    there.towers = 1;
    cpu = net_trained(NULL, &there, MOST_STEPS, 0);
    cuda = net_trained(card_path(), &here, MOST_STEPS, 0);
    again = net_trained(card_path(), &here, MOST_STEPS, 0);
    net_same(&cuda, &again, 0);
    for (i = 0; i < MOST_STEPS; i++)
        ck_assert_double_eq_tol(cpu.loss[i], cuda.loss[i], 1e-4);
    net_drop(&cpu), net_drop(&cuda), net_drop(&again);
}
END_TEST

/* Pieces of one image are summed; the step is not recorded. */
START_TEST(a_step_in_pieces_is_the_step)
{
    an_model_config here = net_small(AN_ARCH_PAPER, 2, "cuda:0,cuda:1");
    uint64_t before = hr()->graph_launches;
    outcome whole, pieces;

    hr_devices(2, GIB, 1);
    whole = net_trained(host_run_path(), &here, 3, 0);
    ck_assert_uint_eq(hr()->graph_launches - before, 2);
    pieces = net_trained(host_run_path(), &here, 3, 1);
    ck_assert_uint_eq(hr()->graph_launches - before, 2);
    net_same(&whole, &pieces, 1e-5);
    net_drop(&whole), net_drop(&pieces);
}
END_TEST

/* Four images, and what one trainer does with some of them at a time. */
static outcome in_turn(const char *plugin, const char *devices)
{
    static const uint32_t counts[] = {1, 1, 1, 4, 1, 1, 2, 2, 1};
    an_model_config config = net_small(AN_ARCH_PAPER, 2, devices);
    an_context *ctx = plugin_context(plugin, 2);
    static const int32_t labels[] = {3, 7, 1, 0};
    an_trainer_config training;
    an_trainer *trainer;
    an_model *model;
    outcome o;
    float *images;
    size_t numbers, i;

    memset(&o, 0, sizeof o);
    ck_assert_msg(an_model_create(&model, ctx, &config) == AN_OK, "%s",
                  an_error_message());
    an_trainer_config_init(&training, sizeof training);
    training.batch = 4;
    training.micro_batch = 2;
    training.rate = 0.05f;
    ck_assert_int_eq(an_trainer_create(&trainer, model, &training), AN_OK);
    numbers = 4 * model->net.plan->tensors[model->net.plan->input[0]].count;
    images = malloc(numbers * sizeof *images);
    net_fill(images, numbers, 9, 1);
    for (i = 0; i < sizeof counts / sizeof counts[0]; i++)
        ck_assert_msg(an_train_step(trainer, images, labels, counts[i], NULL) == AN_OK,
                      "%s", an_error_message());
    o.count = net_parameters(model);
    o.values = malloc(o.count * sizeof *o.values);
    ck_assert_int_eq(net_get(model, o.values), AN_OK);
    free(images);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return o;
}

/* A recording holds buffers that a step in larger pieces has to make anew. */
START_TEST(steps_of_many_sizes_in_turn)
{
    outcome cpu = in_turn(NULL, NULL), cuda;

    hr_devices(2, GIB, _i);
    cuda = in_turn(host_run_path(), "cuda:0,cuda:1");
    net_same(&cpu, &cuda, 1e-5);
    net_drop(&cpu), net_drop(&cuda);
}
END_TEST

/* Cards whose blocks have no more than 99 KiB: the large tiles do not fit all
 * products. */
START_TEST(a_card_with_less_shared_memory)
{
    an_model_config config = net_small(AN_ARCH_TORCHVISION, 1, "cuda:0");
    outcome large, small;

    config.width = 0.4f;
    config.precision = (uint32_t)_i;
    large = net_trained(host_run_path(), &config, 1, 0);
    hr()->shared = 99 * 1024;
    small = net_trained(host_run_path(), &config, 1, 0);
    net_same(&large, &small, 1e-5);
    net_drop(&large), net_drop(&small);
}
END_TEST

/* Every point of every layer. */
START_TEST(activations_come_in_the_hosts_order)
{
    an_model_config here = net_small(AN_ARCH_KRIZHEVSKY2012, 2, "cuda:0,cuda:0");
    an_model_config there = net_small(AN_ARCH_KRIZHEVSKY2012, 1, NULL);
    an_context *ctx = plugin_context(host_run_path(), 2);
    an_model *cuda, *cpu;
    float *images;
    uint32_t layer, point;

    ck_assert_msg(an_model_create(&cuda, ctx, &here) == AN_OK, "%s", an_error_message());
    ck_assert_int_eq(an_model_create(&cpu, ctx, &there), AN_OK);
    images = net_images(cpu);
    for (layer = 0; layer < cpu->net.plan->row.layers; layer++)
        for (point = AN_POINT_LINEAR; point <= AN_POINT_OUTPUT; point++) {
            const char *name = cpu->net.plan->layers[layer].name;
            size_t count, i;
            float *a, *b;

            if (an_activation_count(cpu, name, point, &count, NULL) != AN_OK) continue;
            a = malloc(BATCH * count * sizeof *a);
            b = malloc(BATCH * count * sizeof *b);
            ck_assert_int_eq(an_infer_layer(cpu, images, BATCH, name, point, a, ENOUGH),
                             AN_OK);
            ck_assert_int_eq(an_infer_layer(cuda, images, BATCH, name, point, b, ENOUGH),
                             AN_OK);
            for (i = 0; i < BATCH * count; i++)
                ck_assert_msg(fabs((double)a[i] - (double)b[i]) < 1e-5, "%s %u: %zu",
                              name, point, i);
            free(a);
            free(b);
        }
    free(images);
    an_model_destroy(cpu);
    an_model_destroy(cuda);
    an_context_destroy(ctx);
}
END_TEST

/* --- memory that is lent ----------------------------------------------------------- */

/* Another queue copies from it; a copy at home over it waits until that is done, though
 * nobody has waited for the other. */
START_TEST(what_is_lent_is_not_written_over)
{
    enum { COUNT = 64 };
    const an_copy_shape row = {
        .count = COUNT, .to_pitch = COUNT, .from_pitch = COUNT, .rows = 1};
    an_context *ctx = plugin_context(host_run_path(), 2);
    float ones[COUNT], twos[COUNT], got[COUNT];
    an_operand lent, other, to;
    an_device *device[2];
    an_queue *queue[2];
    const an_backend *b;
    uint32_t i;

    for (i = 0; i < COUNT; i++) ones[i] = 1, twos[i] = 2;
    b = ctx->backends[1];
    for (i = 0; i < 2; i++) {
        ck_assert_int_eq(b->open(&device[i], i, &ctx->host), AN_OK);
        ck_assert_int_eq(b->queue_open(&queue[i], device[i], 0), AN_OK);
    }
    expect_ok(an__operand_alloc(b, device[0], COUNT, AN_DTYPE_FP32, &to));
    expect_ok(an__operand_alloc(b, device[1], COUNT, AN_DTYPE_FP32, &lent));
    expect_ok(an__operand_alloc(b, device[1], COUNT, AN_DTYPE_FP32, &other));
    expect_ok(b->upload(queue[1], lent, ones, sizeof ones));
    expect_ok(b->upload(queue[1], other, twos, sizeof twos));
    expect_ok(b->copy(queue[0], &row, to, queue[1], lent));
    expect_ok(b->copy(queue[1], &row, lent, queue[1], other));
    expect_ok(b->sync(queue[1]));
    expect_ok(b->download(queue[0], got, to, sizeof got));
    expect_ok(b->sync(queue[0]));
    if (got[0] != 1) host_run_caught("off by");
    ck_assert_mem_eq(got, ones, sizeof got);
    an__operand_release(b, device[0], &to);
    an__operand_release(b, device[1], &lent);
    an__operand_release(b, device[1], &other);
    for (i = 0; i < 2; i++) {
        b->queue_close(queue[i]);
        b->close(device[i]);
    }
    an_context_destroy(ctx);
}
END_TEST

/* --- two devices ------------------------------------------------------------------- */

/* STEPS steps, all but the first as they were recorded. */
static outcome repeated(const an_model_config *config)
{
    uint64_t before = hr()->graph_launches;
    outcome o = net_trained(host_run_path(), config, STEPS, 0);

    ck_assert_uint_eq(hr()->graph_launches - before, STEPS - 1);
    return o;
}

/* Where the towers are changes nothing; nor does how they reach each other, nor when. */
START_TEST(one_device_and_two_give_the_same_bits)
{
    an_model_config one = net_small(AN_ARCH_PAPER, 2, "cuda:0,cuda:0");
    an_model_config two = net_small(AN_ARCH_PAPER, 2, "cuda:0,cuda:1");
    an_model_config turned = net_small(AN_ARCH_PAPER, 2, "cuda:1,cuda:0");
    outcome a, b, c, d, e;

    one.precision = two.precision = turned.precision = (uint32_t)_i;
    hr_devices(2, GIB, 1);
    a = repeated(&one);
    b = repeated(&two);
    c = repeated(&two);
    d = repeated(&turned);
    net_same(&a, &b, 0);
    net_same(&a, &c, 0);
    net_same(&a, &d, 0);
    hr_devices(2, GIB, 0); /* through pinned memory */
    e = repeated(&two);
    net_same(&a, &e, 0);
    net_drop(&b), net_drop(&e);
    hr()->hurry = 1; /* others as early as may be, not as late */
    e = repeated(&two);
    hr_devices(2, GIB, 1);
    b = repeated(&two);
    net_same(&a, &b, 0);
    net_same(&a, &e, 0);
    net_drop(&a), net_drop(&b), net_drop(&c), net_drop(&d), net_drop(&e);
}
END_TEST

/* On a device that is named once, both towers' halves are groups of one launch, in
 * training and of a file that is loaded. */
START_TEST(two_towers_on_one_device_are_one)
{
    an_model_config asked = net_small(AN_ARCH_PAPER, 2, "cuda:0");
    an_model_config whole = net_small(AN_ARCH_PAPER, 1, "cuda:0");
    char path[SCRATCH];
    an_context *ctx = plugin_context(host_run_path(), 2);
    uint64_t before = hr()->launches, launches;
    an_load_config load;
    outcome a, b;
    an_model *model, *back;
    float *x, *y;
    size_t count;

    scratch_file(path);
    a = net_trained(host_run_path(), &asked, STEPS, 0);
    launches = hr()->launches - before;
    b = net_trained(host_run_path(), &whole, STEPS, 0);
    net_same(&a, &b, 0);
    ck_assert_uint_eq(hr()->launches - before, 2 * launches);
    ck_assert_uint_eq(a.exchanged, 0);
    net_drop(&a), net_drop(&b);

    ck_assert_int_eq(an_model_create(&model, ctx, &asked), AN_OK);
    ck_assert_int_eq(an_model_save(model, path), AN_OK);
    an_load_config_init(&load, sizeof load);
    load.towers = 2;
    load.devices = "cuda:0";
    ck_assert_msg(an_model_load(&back, ctx, path, &load) == AN_OK, "%s",
                  an_error_message());
    ck_assert_uint_eq(back->net.plan->towers, 1);
    count = net_parameters(model);
    x = malloc(count * sizeof *x), y = malloc(count * sizeof *y);
    ck_assert_int_eq(net_get(model, x), AN_OK);
    ck_assert_int_eq(net_get(back, y), AN_OK);
    ck_assert_mem_eq(x, y, count * sizeof *x);
    free(x), free(y);
    an_model_destroy(model), an_model_destroy(back);
    an_context_destroy(ctx);
    unlink(path);
}
END_TEST

/* The paper's network as it is, three steps of two images: a minute, with AN_LONG
 * alone. */
START_TEST(the_whole_network)
{
    an_model_config one, two, there;
    outcome a, b, c, cpu;

    an_model_config_init(&there, sizeof there);
    there.classes = CLASSES;
    there.seed = 5;
    /* By the paper's sigmas conv5 gives 1 and next to nothing of noise, where the largest
     * of a window is a matter of the last bit, and its gradient goes here or there. */
    there.initialisation = AN_INIT_FAN_IN;
    one = two = there;
    one.towers = two.towers = 2;
    one.devices = "cuda:0,cuda:0";
    two.devices = "cuda:0,cuda:1";
    hr_devices(2, (size_t)4 * GIB, 1);
    cpu = net_trained(NULL, &there, 3, 0);
    a = net_trained(host_run_path(), &one, 3, 0);
    b = net_trained(host_run_path(), &two, 3, 0);
    c = net_trained(host_run_path(), &two, 3, 0);
    net_same(&a, &b, 0);
    net_same(&b, &c, 0);
    net_same(&cpu, &b, 1e-5);
    ck_assert_uint_eq(b.exchange_floats, 2 * 28288 + 2048);
    ck_assert_uint_eq(b.exchanged, (2 * 3 + 1) * BATCH * b.exchange_floats);
    net_drop(&a), net_drop(&b), net_drop(&c), net_drop(&cpu);
}
END_TEST

/* What is sent is what the plan says: per image, forward, and the same back; and it is
 * what was copied from device to device. */
START_TEST(towers_send_what_the_plan_says)
{
    an_model_config two = net_small(AN_ARCH_PAPER, 2, "cuda:0,cuda:1");
    uint64_t before, forward, flags;
    outcome o;

    hr_devices(2, GIB, 1);
    before = hr()->peer_bytes;
    o = net_trained(host_run_path(), &two, STEPS, 0);
    forward = o.exchange_floats * BATCH;
    ck_assert_uint_gt(forward, 0);
    ck_assert_uint_eq(o.exchanged, 2 * forward * STEPS + forward);
    flags = 2 * STEPS; /* each step tells the other tower of its faults */
    ck_assert_uint_eq(hr()->peer_bytes - before, (o.exchanged + flags) * sizeof(float));
    net_drop(&o);
}
END_TEST

/* The paper's figure 2: 13 x 13 x 128, 6 x 6 x 128, 2048 and 2048 numbers each way, the
 * last one way. */
START_TEST(the_papers_network_sends_what_figure_2_does)
{
    an_model_config config;
    an_context *ctx = plugin_context(NULL, 1);
    an_model_info info;
    an_model *model;

    an_model_config_init(&config, sizeof config);
    config.towers = 2;
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    an_model_info_init(&info, sizeof info);
    ck_assert_int_eq(an_model_describe(model, &info), AN_OK);
    ck_assert_uint_eq(info.exchange_floats, 2 * 28288 + 2048);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* Each tower's parameters are on its own device alone. */
START_TEST(a_towers_weights_live_on_its_device)
{
    an_model_config config = net_small(AN_ARCH_PAPER, 2, "cuda:0,cuda:1");
    an_context *ctx;
    an_model *model;
    size_t bytes = 0;
    uint32_t i;
    uint64_t before;

    hr_devices(2, GIB, 1);
    before = hr()->allocated;
    ctx = plugin_context(host_run_path(), 1);
    ck_assert_msg(an_model_create(&model, ctx, &config) == AN_OK, "%s",
                  an_error_message());
    for (i = 0; i < model->net.plan->param_count; i++) {
        bytes += model->net.plan->params[i].count * sizeof(float);
        ck_assert_uint_eq(model->net.plan->params[i].part[0] +
                              model->net.plan->params[i].part[1],
                          model->net.plan->params[i].count);
    }
    /* Beside them the queues' own: pinned memory, a stage and a step's numbers. */
    ck_assert_uint_ge(hr()->allocated - before, bytes);
    ck_assert_uint_le(hr()->allocated - before, bytes + ((size_t)33 << 20));
    an_model_destroy(model);
    an_context_destroy(ctx);
    ck_assert_uint_eq(hr()->allocated, before);
}
END_TEST

Suite *cuda_suite(void)
{
    Suite *suite = suite_create("cuda");
    TCase *tc = tcase_create("whole networks"), *card = tcase_create("card");
    TCase *full = tcase_create("full size");

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, what_is_lent_is_not_written_over);
    tcase_add_loop_test(tc, training_equals_the_cpus, 0, sizeof nets / sizeof nets[0]);
    tcase_add_loop_test(tc, training_in_lower_precision_stays_near, 0, LOWER);
    tcase_add_test(tc, a_step_in_pieces_is_the_step);
    tcase_add_loop_test(tc, steps_of_many_sizes_in_turn, 0, 2);
    tcase_add_loop_test(tc, a_card_with_less_shared_memory, AN_PRECISION_FP32,
                        AN_PRECISION_TF32 + 1);
    tcase_add_test(tc, activations_come_in_the_hosts_order);
    add_cuda_pictures(tc);
    tcase_add_loop_test(tc, one_device_and_two_give_the_same_bits, AN_PRECISION_FP32,
                        AN_PRECISION_BF16 + 1);
    tcase_add_test(tc, two_towers_on_one_device_are_one);
    tcase_add_test(tc, towers_send_what_the_plan_says);
    tcase_add_test(tc, the_papers_network_sends_what_figure_2_does);
    tcase_add_test(tc, a_towers_weights_live_on_its_device);
    suite_add_tcase(suite, tc);
    tcase_set_timeout(full, 300);
    if (getenv("AN_LONG") != NULL) tcase_add_test(full, the_whole_network);
    suite_add_tcase(suite, full);
    tcase_set_timeout(card, 120);
    tcase_add_loop_test(card, a_card_equals_the_cpu, 0, sizeof nets / sizeof nets[0]);
    tcase_add_loop_test(card, a_card_stays_near_in_lower_precision, 0, LOWER);
    tcase_add_test(card, ten_steps_on_a_card);
    suite_add_tcase(suite, card);
    return suite;
}
