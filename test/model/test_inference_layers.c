/*
 * test_inference_layers.c - what layers compute, by name: every layer of every preset at
 * every point, in one tower and two, beside ref_net.c; and normalisation as
 * docs/NETWORKS.md has it; cases of inference_suite().
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "ref_net.h"
#include "small.h"
#include "test.h"

enum { IMAGES = 3 };

/* Networks in which each kind of stage stands in each order that there is. */
static const struct {
    uint32_t arch, towers, lrn, activation, pooling, scaling, extra, remove;
} nets[] = {
    {AN_ARCH_PAPER, 1, 0, 0, 0, 0, 0, 0},
    {AN_ARCH_PAPER, 2, 0, 0, 0, 0, 0, 0},
    {AN_ARCH_KRIZHEVSKY2012, 1, 0, 0, 0, 0, 0, 0},
    {AN_ARCH_KRIZHEVSKY2012, 2, 0, AN_ACTIVATION_TANH, 0, 0, 0, 0},
    {AN_ARCH_FLOOR224, 2, 0, AN_ACTIVATION_SIGMOID, AN_POOLING_PLAIN, 0, 0, 0},
    {AN_ARCH_CAFFE_ALEXNET, 1, 0, 0, 0, 0, 0, 0},
    {AN_ARCH_CAFFE_ALEXNET, 2, AN_SWITCH_OFF, 0, 0, AN_DROPOUT_SCALING_TEST, 0, 0},
    {AN_ARCH_CAFFENET, 1, 0, AN_ACTIVATION_TANH, 0, 0, 0, 3},
    {AN_ARCH_CAFFENET, 2, AN_SWITCH_OFF, 0, 0, 0, 1, 0},
    {AN_ARCH_OWT2014, 1, 0, 0, 0, AN_DROPOUT_SCALING_TRAIN, 0, 0},
    {AN_ARCH_TORCHVISION, 1, 0, 0, 0, 0, 0, 0},
    {AN_ARCH_TORCHVISION, 1, AN_SWITCH_ON, 0, AN_POOLING_PLAIN, AN_DROPOUT_SCALING_TEST,
     1, 0},
    {AN_ARCH_CIFAR10, 1, 0, 0, 0, 0, 0, 0},
    {AN_ARCH_CIFAR10, 1, 0, AN_ACTIVATION_SIGMOID, 0, 0, 0, 2}};
enum { NETS = sizeof nets / sizeof nets[0] };

static an_model_config net_config(int i)
{
    an_model_config config = small_config(nets[i].arch);

    config.towers = nets[i].towers;
    config.lrn = nets[i].lrn;
    config.activation = nets[i].activation;
    config.pooling = nets[i].pooling;
    config.dropout_scaling = nets[i].scaling;
    config.extra_conv = nets[i].extra;
    config.remove_conv = nets[i].remove;
    return config;
}

/* --- beside the reference ---------------------------------------------------------- */

/* The operation of a tower that leaves the layer's value at a point: the product; the
 * non-linearity; the last one. AN_MAX_OPS: the tower has none. */
static uint32_t operation_at(const an_plan *plan, uint32_t layer, uint32_t point,
                             uint32_t tower)
{
    uint32_t found = AN_MAX_OPS, i;

    for (i = 0; i < plan->op_count; i++) {
        const an_op *op = &plan->ops[i];
        int product = op->kind == AN_OP_CONV || op->kind == AN_OP_DENSE;

        if (op->layer != layer || op->tower != tower || op->kind == AN_OP_EXCHANGE)
            continue;
        if ((point == AN_POINT_LINEAR && product) ||
            (point == AN_POINT_ACTIVATION && op->kind == AN_OP_ACTIVATION) ||
            point == AN_POINT_OUTPUT)
            found = i;
    }
    return found;
}

/* Of each image tower 0's maps, then tower 1's. */
static size_t wanted_at(const ref_net *net, uint32_t layer, uint32_t point, float *to)
{
    size_t each = 0, parts = 0;
    uint32_t image, tower;
    float *at = to;

    for (image = 0; image < IMAGES; image++)
        for (tower = 0; tower < net->plan->towers; tower++) {
            uint32_t op = operation_at(net->plan, layer, point, tower);
            size_t i;

            if (op == AN_MAX_OPS) continue;
            each = net->plan->tensors[net->plan->ops[op].out].count;
            parts += image == 0;
            for (i = 0; i < each; i++) *at++ = (float)net->kept[op][image * each + i];
        }
    return each * parts;
}

static const char *const points[] = {"", "linear", "activation", "output"};

static void check_point(an_model *model, const ref_net *net, const float *images,
                        uint32_t layer, uint32_t point)
{
    const an_layer_info *info = &net->plan->layers[layer];
    float *want = malloc(IMAGES * (size_t)1 << 20), *got;
    size_t numbers = wanted_at(net, layer, point, want), count;

    expect_ok(an_activation_count(model, info->name, point, &count, NULL));
    expect_count(count, numbers, "%s, %s", info->name, points[point]);
    got = malloc(IMAGES * count * sizeof *got);
    expect_ok(an_infer_layer(model, images, IMAGES, info->name, point, got, ENOUGH));
    /* float32 through up to ten layers */
    expect_floats(got, want, IMAGES * count, 2e-5, "%s, %s", info->name, points[point]);
    free(want);
    free(got);
}

/* Numbers as large as pixels, so that normalisation does something; smaller ones where
 * tanh or sigmoid would make nothing but 1 of them, and of their rounding what is near
 * 0. */
START_TEST(every_layer_at_every_point)
{
    an_model_config config = net_config(_i);
    uint32_t layer, point;
    float p[IMAGES * SMALL_CLASSES], prob[IMAGES * SMALL_CLASSES],
        want[IMAGES * SMALL_CLASSES];
    ref_net *net;
    bench b;
    size_t i;

    bench_open(&b, &config, NULL, 2);
    noise_floats(b.images, (size_t)IMAGES * 3 * config.image_size * config.image_size, 5,
                 nets[_i].activation == 0 ? 100 : 5);
    net = ref_net_create(b.model);
    ref_net_infer(net, b.images, IMAGES);
    for (layer = 0; layer < net->plan->row.layers; layer++)
        for (point = AN_POINT_LINEAR; point <= AN_POINT_OUTPUT; point++)
            if (point != AN_POINT_ACTIVATION || layer + 1 < net->plan->row.layers)
                check_point(b.model, net, b.images, layer, point);
    expect_ok(an_infer(b.model, b.images, IMAGES, p, ENOUGH));
    expect_ok(
        an_infer_layer(b.model, b.images, IMAGES, "prob", AN_POINT_OUTPUT, prob, ENOUGH));
    expect_floats(prob, p, IMAGES * SMALL_CLASSES, 0, "prob");
    ref_softmax(SMALL_CLASSES, IMAGES, net->value[net->plan->output]);
    for (i = 0; i < IMAGES * SMALL_CLASSES; i++)
        want[i] = (float)net->value[net->plan->output][i];
    expect_floats(p, want, IMAGES * SMALL_CLASSES, 2e-4,
                  "probabilities of logits up to some "
                  "hundreds");
    ref_net_destroy(net);
    bench_close(&b);
}
END_TEST

/* --- counts ------------------------------------------------------------------------ */

/* As an_layer_describe() has them: linear and activation of the layer itself, but
 * where pooling stands before the non-linearity; output after all stages. */
START_TEST(activations_have_their_layers_shapes)
{
    an_model_config config = net_config(_i);
    an_model_info model_info;
    uint32_t index, shape[3];
    size_t count;
    bench b;

    bench_open(&b, &config, NULL, 1);
    an_model_info_init(&model_info, sizeof model_info);
    expect_ok(an_model_describe(b.model, &model_info));
    for (index = 0; index < model_info.layers; index++) {
        an_layer_info info;
        const char *pool, *activation;

        an_layer_info_init(&info, sizeof info);
        expect_ok(an_layer_describe(b.model, index, &info));
        pool = strchr(info.stages, 'p');
        activation = strchr(info.stages, 'a');
        expect_ok(
            an_activation_count(b.model, info.name, AN_POINT_LINEAR, &count, shape));
        expect_count(count, info.maps * info.height * info.width, "%s", info.name);
        expect_count(shape[0], info.maps, "%s, linear", info.name);
        expect_count(shape[1], info.height, "%s, linear", info.name);
        expect_count(shape[2], info.width, "%s, linear", info.name);
        expect_ok(
            an_activation_count(b.model, info.name, AN_POINT_OUTPUT, &count, shape));
        expect_count(count, info.out_maps * info.out_height * info.out_width, "%s",
                     info.name);
        expect_count(shape[0], info.out_maps, "%s, output", info.name);
        expect_count(shape[1], info.out_height, "%s, output", info.name);
        expect_count(shape[2], info.out_width, "%s, output", info.name);
        if (index + 1 < model_info.layers) {
            int pooled = pool != NULL && pool < activation;

            expect_ok(an_activation_count(b.model, info.name, AN_POINT_ACTIVATION, &count,
                                          shape));
            expect_count(shape[0], info.maps, "%s, activation", info.name);
            expect_count(shape[1], pooled ? info.out_height : info.height,
                         "%s, activation", info.name);
            expect_count(count, (size_t)shape[0] * shape[1] * shape[2], "%s, activation",
                         info.name);
        } else {
            expect_refused(an_activation_count(b.model, info.name, AN_POINT_ACTIVATION,
                                               &count, shape),
                           AN_ERROR_ARGUMENT, "no non-linearity");
        }
    }
    expect_ok(an_activation_count(b.model, "prob", AN_POINT_OUTPUT, &count, shape));
    expect_count(count, SMALL_CLASSES, "prob");
    expect_count(shape[0] * 100 + shape[1] * 10 + shape[2], SMALL_CLASSES * 100 + 11,
                 "prob");
    bench_close(&b);
}
END_TEST

START_TEST(activations_that_there_are_not_are_refused)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    static const char *const names[] = {"",      "conv",   "conv4", "fc6",
                                        "Conv1", "conv10", "probs"};
    static float out[16 * 32 * 32];
    uint32_t shape[3] = {7, 8, 9}, i;
    size_t count = 77;
    bench b;

    bench_open(&b, &config, NULL, 1);
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        expect_refused(
            an_activation_count(b.model, names[i], AN_POINT_LINEAR, &count, shape),
            AN_ERROR_ARGUMENT, "the model's layers are conv1, ");
        expect_refused(
            an_infer_layer(b.model, b.images, 1, names[i], AN_POINT_LINEAR, out, ENOUGH),
            AN_ERROR_ARGUMENT, names[i]);
    }
    for (i = 0; i <= 5; i += i == 0 ? 4 : 1)
        expect_refused(an_activation_count(b.model, "conv1", i, &count, shape),
                       AN_ERROR_ARGUMENT, "point is ");
    expect_refused(
        an_activation_count(b.model, "prob", AN_POINT_ACTIVATION, &count, shape),
        AN_ERROR_ARGUMENT, "no non-linearity");
    expect_refused(an_activation_count(b.model, NULL, AN_POINT_LINEAR, &count, shape),
                   AN_ERROR_ARGUMENT, "layer");
    expect_refused(an_activation_count(b.model, "conv1", AN_POINT_LINEAR, NULL, shape),
                   AN_ERROR_ARGUMENT, "count");
    expect_count(count * 1000 + shape[0] * 100 + shape[1] * 10 + shape[2], 77789,
                 "outputs after refused calls");
    expect_refused(
        an_infer_layer(b.model, b.images, 0, "conv1", AN_POINT_LINEAR, out, ENOUGH),
        AN_ERROR_ARGUMENT, "count is 0");
    expect_refused(
        an_infer_layer(b.model, b.images, 1048577, "conv1", AN_POINT_LINEAR, out, ENOUGH),
        AN_ERROR_ARGUMENT, "count is 1048577");
    expect_refused(
        an_infer_layer(b.model, NULL, 1, "conv1", AN_POINT_LINEAR, out, ENOUGH),
        AN_ERROR_ARGUMENT, "images");
    expect_refused(
        an_infer_layer(b.model, b.images, 1, "conv1", AN_POINT_LINEAR, NULL, ENOUGH),
        AN_ERROR_ARGUMENT, "out");
    expect_refused(
        an_infer_layer_images(b.model, NULL, 1, "conv1", AN_POINT_LINEAR, out, ENOUGH),
        AN_ERROR_ARGUMENT, "images");
    for (i = 0; i < sizeof out / sizeof out[0]; i++)
        if (out[i] != 0) expect_number(out[i], 0, 0, "after refused calls: number %u", i);
    bench_close(&b);
}
END_TEST

/* --- towers ------------------------------------------------------------------------ */

/* Numbers that the towers send each other: of whole passes what is planned, of layers
 * before the first exchange none - what stands behind is not computed - and of conv3
 * its own alone. */
START_TEST(layers_behind_the_one_that_is_asked_for_send_nothing)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    static const struct {
        const char *layer;
        uint32_t exchanges; /* of whole tensors so far: conv3 reads, fc6, fc7, fc8 */
    } asked[] = {{"conv1", 0}, {"conv2", 0}, {"conv3", 1},
                 {"conv5", 1}, {"fc6", 2},   {"fc7", 3}};
    an_model_info info;
    uint64_t sent[4], before;
    float *out, p[3 * SMALL_CLASSES];
    size_t count, i;
    bench b;

    config.towers = 2;
    bench_open(&b, &config, NULL, 2);
    sent[0] = 0;
    for (i = 1; i < 4;
         i++) { /* each tower sends the other its half of what the next layer reads */
        static const char *const read[] = {"", "conv2", "conv5", "fc6"};

        expect_ok(an_activation_count(b.model, read[i], AN_POINT_OUTPUT, &count, NULL));
        sent[i] = sent[i - 1] + count;
    }
    an_model_info_init(&info, sizeof info);
    expect_ok(an_model_describe(b.model, &info));
    expect_ok(an_activation_count(b.model, "fc7", AN_POINT_OUTPUT, &count, NULL));
    expect_count(info.exchange_floats, sent[3] + count / 2,
                 "the last stands on one tower");
    for (i = 0; i < 6; i++) {
        before = info.exchanged_floats;
        expect_ok(
            an_activation_count(b.model, asked[i].layer, AN_POINT_OUTPUT, &count, NULL));
        out = malloc(3 * count * sizeof *out);
        expect_ok(an_infer_layer(b.model, b.images, 3, asked[i].layer, AN_POINT_OUTPUT,
                                 out, ENOUGH));
        free(out);
        expect_ok(an_model_describe(b.model, &info));
        expect_count(info.exchanged_floats - before, 3 * sent[asked[i].exchanges],
                     "%s of 3", asked[i].layer);
    }
    before = info.exchanged_floats;
    expect_ok(an_infer(b.model, b.images, 3, p, ENOUGH));
    expect_ok(an_model_describe(b.model, &info));
    expect_count(info.exchanged_floats - before, 3 * info.exchange_floats, "a pass of 3");
    bench_close(&b);
}
END_TEST

/* The same parameters in one tower and two: the same function. */
START_TEST(two_towers_compute_what_one_does)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    an_model *two;
    float p[2][SMALL_BATCH * SMALL_CLASSES];
    uint32_t i;
    bench b;

    bench_open(&b, &config, NULL, 2);
    config.towers = 2;
    config.seed++;
    expect_ok(an_model_create(&two, b.ctx, &config));
    for (i = 0; i < b.model->net.plan->param_count; i++) {
        size_t count;
        float *values = parameter_of(b.model, i, &count);

        expect_ok(an_parameter_set(two, i, values, count));
        free(values);
    }
    expect_ok(an_infer(b.model, b.images, SMALL_BATCH, p[0], ENOUGH));
    expect_ok(an_infer(two, b.images, SMALL_BATCH, p[1], ENOUGH));
    expect_floats(p[1], p[0], SMALL_BATCH * SMALL_CLASSES, 1e-5, "two towers");
    an_model_destroy(two);
    bench_close(&b);
}
END_TEST

/* --- normalisation ----------------------------------------------------------------- */

/* What follows the first two layers, from docs/NETWORKS.md: stages in order, n the
 * LRN, w the norm within maps. */
typedef struct norm {
    uint32_t arch, lrn, layer;
    const char *stages;
    uint32_t size, halves;
    float k, alpha;
} norm;

static const norm norms[] = {
    {AN_ARCH_PAPER, 0, 0, "anp", 5, 1, 2, 1e-4f},
    {AN_ARCH_PAPER, 0, 1, "anp", 5, 1, 2, 1e-4f},
    {AN_ARCH_KRIZHEVSKY2012, 0, 0, "npa", 5, 1, 2, 2e-5f},
    {AN_ARCH_KRIZHEVSKY2012, 0, 1, "anwp", 5, 1, 2, 2e-5f},
    {AN_ARCH_FLOOR224, 0, 0, "anp", 5, 1, 2, 1e-4f},
    {AN_ARCH_FLOOR224, 0, 1, "anp", 5, 1, 2, 1e-4f},
    {AN_ARCH_CAFFE_ALEXNET, 0, 0, "anp", 5, 0, 1, 2e-5f},
    {AN_ARCH_CAFFE_ALEXNET, 0, 1, "anp", 5, 0, 1, 2e-5f},
    {AN_ARCH_CAFFENET, 0, 0, "apn", 5, 0, 1, 2e-5f},
    {AN_ARCH_CAFFENET, 0, 1, "apn", 5, 0, 1, 2e-5f},
    {AN_ARCH_OWT2014, 0, 0, "npa", 5, 0, 2, 2e-5f},
    {AN_ARCH_OWT2014, 0, 1, "anp", 5, 0, 2, 2e-5f},
    {AN_ARCH_TORCHVISION, 0, 0, "ap", 0, 0, 0, 0},
    {AN_ARCH_TORCHVISION, 0, 1, "ap", 0, 0, 0, 0},
    /* switched on where there is none: the paper's constants, over all maps */
    {AN_ARCH_TORCHVISION, AN_SWITCH_ON, 0, "anp", 5, 0, 2, 1e-4f},
    {AN_ARCH_TORCHVISION, AN_SWITCH_ON, 1, "anp", 5, 0, 2, 1e-4f},
    {AN_ARCH_CIFAR10, 0, 0, "apn", 3, 0, 1, 5e-5f},
    {AN_ARCH_CIFAR10, 0, 1, "apn", 3, 0, 1, 5e-5f},
    {AN_ARCH_PAPER, AN_SWITCH_OFF, 0, "ap", 0, 0, 0, 0},
    {AN_ARCH_KRIZHEVSKY2012, AN_SWITCH_OFF, 1, "ap", 0, 0, 0, 0}};

/* Of one image; in place of x's numbers. */
static void stage(const norm *n, const an_layer_info *info, char what, uint32_t side[2],
                  double *x)
{
    size_t count = (size_t)info->maps * side[0] * side[1], i;
    double *y = malloc(count * sizeof *y);

    memcpy(y, x, count * sizeof *y);
    if (what == 'a') {
        ref_activation_forward(AN_ACTIVATION_RELU, count, y);
    } else if (what == 'n' || what == 'w') {
        an_lrn_shape s = {.maps = info->maps,
                          .height = side[0],
                          .width = side[1],
                          .size = n->size,
                          .groups = n->halves ? 2 : 1,
                          .k = n->k,
                          .alpha = n->alpha,
                          .beta = 0.75f};

        if (what == 'w') { /* 1 + 4e-5 * sum over 5 x 5 pixels */
            s.k = 1;
            s.alpha = 4e-5f;
        }
        ref_lrn_forward(&s, what == 'w', 1, x, y);
    } else {
        const an_pool_shape s = {.maps = info->maps,
                                 .in_height = side[0],
                                 .in_width = side[1],
                                 .out_height = info->out_height,
                                 .out_width = info->out_width,
                                 .kernel = 3,
                                 .stride = 2};

        ref_pool_forward(&s, 1, x, y);
        side[0] = info->out_height;
        side[1] = info->out_width;
        count = (size_t)info->maps * side[0] * side[1];
    }
    for (i = 0; i < count; i++) x[i] = y[i];
    free(y);
}

/* From the layer's linear part, which is made so large that squares times alpha are
 * some units. */
START_TEST(stages_behind_a_layer_are_as_documented)
{
    const norm *n = &norms[_i];
    an_model_config config = small_config(n->arch);
    const char *name = n->layer == 0 ? "conv1" : "conv2", *at;
    uint32_t side[2];
    an_layer_info info;
    size_t linear, output, i;
    float *got, *want;
    double *x;
    bench b;

    config.lrn = n->lrn;
    config.width = 0.2f; /* halves of more maps than a window has */
    bench_open(&b, &config, NULL, 2);
    noise_floats(b.images, (size_t)3 * config.image_size * config.image_size, 21,
                 n->layer == 0 ? 600 : 3000);
    an_layer_info_init(&info, sizeof info);
    expect_ok(an_layer_describe(b.model, n->layer, &info));
    expect_text(info.stages, n->stages, "%s of preset %u", name, n->arch);
    expect_ok(an_activation_count(b.model, name, AN_POINT_LINEAR, &linear, NULL));
    expect_ok(an_activation_count(b.model, name, AN_POINT_OUTPUT, &output, NULL));
    got = malloc(linear * sizeof *got), want = malloc(linear * sizeof *want);
    x = malloc(linear * sizeof *x);
    expect_ok(an_infer_layer(b.model, b.images, 1, name, AN_POINT_LINEAR, got, ENOUGH));
    for (i = 0; i < linear; i++) x[i] = (double)got[i];
    side[0] = info.height;
    side[1] = info.width;
    for (at = info.stages; *at != '\0'; at++) stage(n, &info, *at, side, x);
    for (i = 0; i < output; i++) want[i] = (float)x[i];
    expect_ok(an_infer_layer(b.model, b.images, 1, name, AN_POINT_OUTPUT, got, ENOUGH));
    expect_floats(got, want, output, 2e-6, "%s of preset %u, lrn %u", name, n->arch,
                  n->lrn);
    free(got), free(want), free(x);
    bench_close(&b);
}
END_TEST

void add_inference_layers(Suite *suite)
{
    TCase *tc = tcase_create("layers by name");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, every_layer_at_every_point, 0, NETS);
    tcase_add_loop_test(tc, activations_have_their_layers_shapes, 0, NETS);
    tcase_add_test(tc, activations_that_there_are_not_are_refused);
    tcase_add_test(tc, layers_behind_the_one_that_is_asked_for_send_nothing);
    tcase_add_test(tc, two_towers_compute_what_one_does);
    tcase_add_loop_test(tc, stages_behind_a_layer_are_as_documented, 0,
                        sizeof norms / sizeof norms[0]);
    suite_add_tcase(suite, tc);
}
