/*
 * test_plans.c - where tensors lie: a pass and a step are gone through operation by
 * operation, each of which finds what it reads still there. What an operation reads is
 * said by backend.h.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "host_run.h"
#include "small.h"
#include "test.h"

/* Who has written each word of the towers' arenas last. Owners: tensors' values from 1
 * on, then their gradients, then poolings' argmax masks. */
typedef struct memory {
    const an_plan *plan;
    const an_layout *layout;
    uint32_t batch;
    int sliced;
    const char *what; /* of the case */
    uint16_t *owner[AN_MAX_TOWERS];
    uint32_t
        pending[AN_MAX_TOWERS]; /* owners: a half that the other tower may be reading */
} memory;

typedef struct block { /* some images of what an owner has */
    uint16_t owner;
    uint32_t tower;
    size_t first, count; /* in words of 4 bytes */
} block;

static block block_of(const memory *m, uint32_t owner, size_t offset, size_t bytes,
                      uint32_t tower, uint32_t image, uint32_t images)
{
    block b = {(uint16_t)owner, tower, 0, 0};

    ck_assert_msg(offset % 64 == 0, "%s: block %u begins at %zu", m->what, owner, offset);
    ck_assert_msg(offset + bytes * m->batch <= m->layout->bytes[tower],
                  "%s: block %u ends behind its arena", m->what, owner);
    b.first = (offset + image * bytes) / 4;
    b.count = (offset + (image + images) * bytes + 3) / 4 - b.first;
    return b;
}

static block value(const memory *m, uint32_t tensor, uint32_t image, uint32_t images)
{
    const an_tensor *t = &m->plan->tensors[tensor];

    return block_of(m, 1 + tensor, m->layout->value[tensor], t->bytes, t->tower, image,
                    images);
}

static block gradient(const memory *m, uint32_t tensor)
{
    const an_tensor *t = &m->plan->tensors[tensor];

    return block_of(m, 1 + m->plan->tensor_count + tensor, m->layout->gradient[tensor],
                    t->bytes, t->tower, 0, m->batch);
}

static block argmax(const memory *m, uint32_t op)
{
    const an_op *o = &m->plan->ops[op];

    return block_of(m, 1 + 2 * m->plan->tensor_count + op, m->layout->argmax[op],
                    o->argmax_bytes, o->tower, 0, m->batch);
}

static void writes(memory *m, block b)
{
    size_t i;

    for (i = 0; i < b.count; i++) m->owner[b.tower][b.first + i] = b.owner;
}

static void reads(const memory *m, block b, uint32_t op, const char *when)
{
    const uint16_t *there = m->owner[b.tower] + b.first;
    size_t i = 0;

    while (i < b.count && there[i] == b.owner) i++;
    ck_assert_msg(
        i == b.count,
        "%s: operation %u (of kind %d) %s wants block %u of %u tensors, and finds "
        "%u there",
        m->what, op, (int)m->plan->ops[op].kind, when, b.owner, m->plan->tensor_count,
        there[i < b.count ? i : 0]);
}

/* --- forward ----------------------------------------------------------------------- */

/* Of images first .. first + count - 1. A half is sent beside what its own tower does,
 * until that tower's next operation that is none itself is done. */
static void forward_op(memory *m, uint32_t i, int training, uint32_t first,
                       uint32_t count)
{
    const an_op *op = &m->plan->ops[i];
    uint32_t out = op->pool != 0 ? m->plan->ops[op->pool].out : op->out;

    if (op->fused_away & AN_FUSED_AWAY_FORWARD) return;
    reads(m, value(m, op->in, first, count), i, "forward");
    if (op->kind == AN_OP_EXCHANGE) {
        reads(m, value(m, op->other, first, count), i, "forward");
        m->pending[1 - op->tower] = op->other + 1;
    }
    writes(m, value(m, out, first, count));
    if (training && op->pool != 0) writes(m, argmax(m, op->pool));
    if (training && op->pool == 0 && op->argmax_bytes > 0) writes(m, argmax(m, i));
    if (op->kind != AN_OP_EXCHANGE && m->pending[op->tower] != 0) {
        reads(m, value(m, m->pending[op->tower] - 1, 0, m->batch), i,
              "beside an exchange");
        m->pending[op->tower] = 0;
    }
    if (op->in != out) reads(m, value(m, op->in, first, count), i, "while it writes");
}

static void forward(memory *m, int training)
{
    const an_plan *plan = m->plan;
    uint32_t i, j, t, first;

    for (t = 0; t < plan->towers; t++) writes(m, value(m, plan->input[t], 0, m->batch));
    for (i = 0; i < plan->op_count; i++) {
        uint32_t together = m->sliced ? an__plan_sliced(plan, i, m->batch) : 0;

        if (together == 0) {
            forward_op(m, i, training, 0, m->batch);
            continue;
        }
        for (first = 0; first < m->batch; first += AN_SLICE)
            for (j = i; j < i + together; j++)
                forward_op(m, j, training, first,
                           m->batch - first < AN_SLICE ? m->batch - first : AN_SLICE);
        i += together - 1;
    }
    reads(m, value(m, plan->output, 0, m->batch), plan->op_count - 1, "at the end");
}

/* --- backward ---------------------------------------------------------------------- */

static int is_product(const an_op *op)
{
    return op->kind == AN_OP_CONV || op->kind == AN_OP_DENSE;
}

/* What an operation's backward pass reads beside the gradient of what it gave. */
static void needs(const memory *m, uint32_t i)
{
    const an_op *op = &m->plan->ops[i];

    if (is_product(op) || op->kind == AN_OP_LRN || op->kind == AN_OP_LRN_WITHIN ||
        (op->kind == AN_OP_POOL && op->argmax_bytes == 0))
        reads(m, value(m, op->in, 0, m->batch), i, "backward");
    if (op->kind == AN_OP_ACTIVATION)
        reads(m, value(m, op->out, 0, m->batch), i, "backward");
    if (op->kind == AN_OP_POOL && op->argmax_bytes > 0)
        reads(m, argmax(m, i), i, "backward");
    if (op->pool != 0) reads(m, argmax(m, op->pool), i, "backward");
}

static int is_image(const memory *m, uint32_t tensor)
{
    return tensor == m->plan->input[0] ||
           (m->plan->towers == 2 && tensor == m->plan->input[1]);
}

static void backward_op(memory *m, uint32_t i, unsigned char *begun)
{
    const an_op *op = &m->plan->ops[i];
    uint32_t out = op->pool != 0 ? m->plan->ops[op->pool].out : op->out, k;
    const uint32_t halves[2] = {op->in, op->other};

    if (op->fused_away & AN_FUSED_AWAY_BACKWARD) return;
    reads(m, gradient(m, out), i, "backward");
    needs(m, i);
    for (k = 0; k < 2 && op->kind == AN_OP_EXCHANGE; k++) {
        if (begun[halves[k]]) reads(m, gradient(m, halves[k]), i, "adding");
        begun[halves[k]] = 1;
        writes(m, gradient(m, halves[k]));
        reads(m, gradient(m, out), i, "while it sends");
    }
    if (op->kind == AN_OP_EXCHANGE || is_image(m, op->in)) return;
    writes(m, gradient(m, op->in));
    needs(m, i); /* weights' gradients come after the input's */
    if (op->in != out) reads(m, gradient(m, out), i, "while it writes");
}

static void backward(memory *m)
{
    unsigned char begun[AN_MAX_OPS] = {0};
    uint32_t i;

    writes(m, gradient(m, m->plan->output)); /* of the loss, from the logits */
    reads(m, value(m, m->plan->output, 0, m->batch), m->plan->op_count - 1,
          "of the loss");
    for (i = m->plan->op_count; i-- > 0;) backward_op(m, i, begun);
    for (i = 0; i < m->plan->op_count && m->plan->defers; i++)
        if (m->plan->ops[i].kind == AN_OP_DENSE) { /* whose weights' gradients waited */
            reads(m, value(m, m->plan->ops[i].in, 0, m->batch), i, "at the update");
            reads(m, gradient(m, m->plan->ops[i].out), i, "at the update");
        }
}

/* --- cases ------------------------------------------------------------------------- */

static void go_through(const an_plan *plan, uint32_t batch, int training, int sliced,
                       const char *what)
{
    memory m = {plan, NULL, batch, sliced, what, {NULL, NULL}, {0, 0}};
    an_layout layout;
    uint32_t t;

    expect_ok(an__layout_make(&layout, plan, batch, training));
    m.layout = &layout;
    for (t = 0; t < plan->towers; t++)
        m.owner[t] = calloc(layout.bytes[t] / 4 + 16, sizeof *m.owner[t]);
    forward(&m, training);
    if (training) backward(&m);
    for (t = 0; t < plan->towers; t++) free(m.owner[t]);
}

/* A layer that reads both halves begins with its own tower's, which needs no waiting. */
static void check_halves(const an_plan *plan, const char *what)
{
    uint32_t i;

    for (i = 0; i < plan->op_count; i++) {
        const an_op *op = &plan->ops[i];

        if (op->kind == AN_OP_CONV && op->u.conv.halves == 2)
            expect_count(op->u.conv.local_half, op->tower, "%s: operation %u", what, i);
        if (op->kind == AN_OP_DENSE && op->u.dense.halves == 2)
            expect_count(op->u.dense.local_half, op->tower, "%s: operation %u", what, i);
    }
}

/* On a backend, with all that it does at once. */
static void check_plan(an_context *ctx, const char *devices,
                       const an_model_config *config)
{
    an_model_config whole = *config;
    const an_backend *backend;
    an_device *device[AN_MAX_TOWERS];
    an_plan *plan = malloc(sizeof *plan);
    char what[96];
    int training;

    expect_ok(an__plan_make(plan, &whole));
    expect_ok(an__context_devices(ctx, devices, plan->towers, &backend, device));
    an__plan_fit(plan, backend, device[0]);
    for (training = 0; training < 2; training++) {
        snprintf(what, sizeof what, "%s on %s, towers %u, activation %u, training %d",
                 an_arch_name(config->arch), devices, config->towers, config->activation,
                 training);
        go_through(plan, 2, training, 0, what);
        go_through(plan, AN_SLICE + 2, training, 0, what);
        go_through(plan, AN_SLICE + 2, training, 1, what);
    }
    check_halves(plan, what);
    free(plan);
}

static void check_arch(an_context *ctx, const char *devices, uint32_t arch,
                       uint32_t towers)
{
    static const struct {
        uint32_t activation, extra, remove, pooling;
    } rows[] = {{0, 0, 0, 0},
                {AN_ACTIVATION_TANH, 1, 0, 0},
                {AN_ACTIVATION_SIGMOID, 0, 2, AN_POOLING_PLAIN},
                {0, 1, 3, 0}};
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        an_model_config config;

        an_model_config_init(&config, sizeof config);
        config.arch = arch;
        config.towers = towers;
        config.width = arch == AN_ARCH_CIFAR10 ? 1 : 0.25f;
        config.lrn = towers == 2 && i % 2 ? AN_SWITCH_OFF : 0;
        if (towers == 2 && arch > AN_ARCH_FLOOR224) config.lrn = AN_SWITCH_OFF;
        config.image_size = arch == AN_ARCH_CIFAR10 ? 32 : 95;
        config.activation = rows[i].activation;
        config.extra_conv = rows[i].extra;
        config.remove_conv = rows[i].remove;
        config.pooling = rows[i].pooling;
        check_plan(ctx, devices, &config);
    }
}

START_TEST(nothing_is_written_over_that_is_still_to_be_read)
{
    an_context *ctx;

    expect_ok(an_context_create(&ctx, NULL));
    check_arch(ctx, "cpu", (uint32_t)_i, 1);
    check_arch(ctx, "cpu", (uint32_t)_i, 2);
    an_context_destroy(ctx);
}
END_TEST

/* A backend that fuses more, writes argmax masks and defers gradients. */
START_TEST(nor_where_operations_are_fused)
{
    an_context *ctx = plugin_context(host_run_path(), 1);

    check_arch(ctx, "cuda:0", (uint32_t)_i, 1);
    check_arch(ctx, "cuda:0,cuda:1", (uint32_t)_i, 2);
    an_context_destroy(ctx);
}
END_TEST

/* Slices need a convolution's output of half a mebibyte. */
START_TEST(nor_where_large_maps_are_sliced)
{
    an_model_config config;
    const an_backend *backend;
    an_device *device[AN_MAX_TOWERS];
    an_plan *plan = malloc(sizeof *plan);
    uint32_t i, found = 0;
    an_context *ctx;

    expect_ok(an_context_create(&ctx, NULL));
    an_model_config_init(&config, sizeof config);
    config.arch = (uint32_t)_i;
    config.width = 0.75f;
    check_plan(ctx, "cpu", &config);
    expect_ok(an__plan_make(plan, &config));
    expect_ok(an__context_devices(ctx, "cpu", 1, &backend, device));
    an__plan_fit(plan, backend, device[0]);
    for (i = 0; i < plan->op_count; i++) {
        uint32_t together = an__plan_sliced(plan, i, AN_SLICE + 1);

        ck_assert_uint_eq(an__plan_sliced(plan, i, AN_SLICE), 0);
        if (together == 0) continue;
        found++;
        expect_count(plan->ops[i].kind, AN_OP_CONV, "operation %u", i);
        expect_count(plan->ops[i + together].layer, plan->ops[i].layer + 1,
                     "the first operation behind those of %s",
                     plan->layers[plan->ops[i].layer].name);
    }
    ck_assert_uint_ge(found, 1);
    free(plan);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(what_cannot_be_addressed_is_refused)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_plan *plan = malloc(sizeof *plan);
    size_t product = 7;
    an_layout layout;

    an__model_config_check(&config);
    expect_ok(an__plan_make(plan, &config));
    plan->tensors[2].bytes = SIZE_MAX / 8;
    expect_refused(an__layout_make(&layout, plan, 9, 0), AN_ERROR_ARGUMENT,
                   "a batch of 9 is too large");
    plan->tensors[2].bytes =
        SIZE_MAX / AN_MAX_OPS / 4 - 64; /* all could not be together */
    expect_refused(an__layout_make(&layout, plan, 2, 0), AN_ERROR_ARGUMENT, "too large");
    free(plan);
    ck_assert(an__multiply(SIZE_MAX / 3, 3, &product));
    ck_assert_uint_eq(product, SIZE_MAX / 3 * 3);
    ck_assert(an__multiply(1, SIZE_MAX, &product));
    ck_assert_uint_eq(product, SIZE_MAX);
    ck_assert(an__multiply(SIZE_MAX, 0, &product));
    ck_assert_uint_eq(product, 0);
    product = 7;
    ck_assert(!an__multiply(SIZE_MAX / 3 + 1, 3, &product));
    ck_assert(!an__multiply(2, SIZE_MAX, &product));
    ck_assert_uint_eq(product, 7);
}
END_TEST

Suite *plans_suite(void)
{
    Suite *suite = suite_create("plans");
    TCase *tc = tcase_create("plans");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, nothing_is_written_over_that_is_still_to_be_read,
                        AN_ARCH_PAPER, AN_ARCH_LAST + 1);
    tcase_add_loop_test(tc, nor_where_operations_are_fused, AN_ARCH_PAPER,
                        AN_ARCH_LAST + 1);
    tcase_add_loop_test(tc, nor_where_large_maps_are_sliced, AN_ARCH_PAPER,
                        AN_ARCH_KRIZHEVSKY2012 + 1);
    tcase_add_test(tc, what_cannot_be_addressed_is_refused);
    suite_add_tcase(suite, tc);
    return suite;
}
