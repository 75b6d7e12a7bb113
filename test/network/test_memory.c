/*
 * test_memory.c - where tensors lie, and which operations are done by others: nothing is
 * written over while it is wanted, on the CPU and for a backend that does all in one that
 * can be; cases of execution_suite().
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "host_run.h"
#include "small.h"
#include "test.h"

/* Added to a tensor's number: its gradient; to an operation's: its argmax mask. */
enum { GRADIENT = AN_MAX_OPS, ARGMAX = 2 * AN_MAX_OPS, KEYS = 3 * AN_MAX_OPS };
enum { MOST_EVENTS = 12 * AN_MAX_OPS };

/* What a pass does with its tensors, in order, an operation after the other. */
typedef struct event {
    uint32_t what, first, images; /* of a batch */
    int writes, moment;
} event;

typedef struct story {
    const an_plan *plan;
    uint32_t batch, count;
    int moment;
    event events[MOST_EVENTS];
} story;

static void tell(story *s, uint32_t what, uint32_t first, uint32_t images, int writes)
{
    event e = {what, first, images, writes, s->moment};

    ck_assert_uint_lt(s->count, MOST_EVENTS);
    s->events[s->count++] = e;
}

static void reads(story *s, uint32_t what)
{
    tell(s, what, 0, s->batch, 0);
}

static void writes(story *s, uint32_t what)
{
    tell(s, what, 0, s->batch, 1);
}

/* What it reads is read again at its end: it must not be written over meanwhile. */
static void tell_forward(story *s, const an_op *op, uint32_t first, uint32_t images,
                         int training)
{
    uint32_t number = (uint32_t)(op - s->plan->ops);
    uint32_t pool = op->pool != 0 ? op->pool : op->kind == AN_OP_POOL ? number : 0;
    int again;

    if (op->fused_away & AN_FUSED_AWAY_FORWARD) return;
    for (again = 0; again < 2; again++) {
        if (again)
            tell(s, op->pool != 0 ? s->plan->ops[op->pool].out : op->out, first, images,
                 1);
        if (again && pool != 0 && training && s->plan->ops[pool].argmax_bytes > 0)
            tell(s, ARGMAX + pool, first, images, 1);
        if (op->in != op->out || !again) tell(s, op->in, first, images, 0);
        if (op->kind == AN_OP_EXCHANGE) tell(s, op->other, first, images, 0);
    }
    s->moment++;
}

/* Beside the gradient of what it has written. */
static void tell_backward_reads(story *s, const an_op *op)
{
    switch (op->kind) {
    case AN_OP_CONV:
    case AN_OP_DENSE:
    case AN_OP_LRN:
    case AN_OP_LRN_WITHIN: reads(s, op->in); break;
    case AN_OP_POOL:
        reads(s, op->argmax_bytes > 0 ? ARGMAX + (uint32_t)(op - s->plan->ops) : op->in);
        break;
    case AN_OP_ACTIVATION: reads(s, op->out); break;
    case AN_OP_DROPOUT:
    case AN_OP_EXCHANGE: break;
    }
    if (op->pool != 0) reads(s, ARGMAX + op->pool);
}

static void tell_backward(story *s, const an_op *op, unsigned char *begun)
{
    uint32_t halves[2] = {op->in, op->other}, k, again;
    uint32_t from = op->pool != 0 ? s->plan->ops[op->pool].out : op->out;

    if (op->fused_away & AN_FUSED_AWAY_BACKWARD) return;
    for (again = 0; again < 2; again++) {
        for (k = 0; again && k < (op->kind == AN_OP_EXCHANGE ? 2 : 1); k++) {
            if (halves[k] == s->plan->input[op->tower]) continue;
            if (op->kind == AN_OP_EXCHANGE && begun[halves[k]]) /* it adds */
                reads(s, GRADIENT + halves[k]);
            writes(s, GRADIENT + halves[k]);
            begun[halves[k]] = 1;
        }
        if (op->in != op->out || !again) reads(s, GRADIENT + from);
        tell_backward_reads(s, op);
    }
    s->moment++;
}

static void tell_pass(story *s, int training, int slices)
{
    unsigned char begun[AN_MAX_OPS] = {0};
    const an_plan *plan = s->plan;
    uint32_t i, op, first, count;

    for (i = 0; i < plan->towers; i++) writes(s, plan->input[i]);
    for (i = 0; i < plan->op_count; i++) {
        count = slices ? an__plan_sliced(plan, i, s->batch) : 0;
        if (count == 0) tell_forward(s, &plan->ops[i], 0, s->batch, training);
        for (first = 0; count > 0 && first < s->batch; first += AN_SLICE)
            for (op = i; op < i + count; op++)
                tell_forward(s, &plan->ops[op], first,
                             s->batch - first < AN_SLICE ? s->batch - first : AN_SLICE,
                             training);
        if (count > 0) i += count - 1;
    }
    reads(s, plan->output);
    if (!training) return;
    writes(s, GRADIENT + plan->output);
    reads(s, plan->output);
    for (i = plan->op_count; i-- > 0;) tell_backward(s, &plan->ops[i], begun);
    for (i = 0; i < plan->op_count; i++)
        if (plan->defers && plan->ops[i].kind == AN_OP_DENSE) { /* for the update */
            reads(s, plan->ops[i].in);
            reads(s, GRADIENT + plan->ops[i].out);
        }
}

/* Where it lies, and how large an image's is. */
static size_t lies_at(const story *s, const an_layout *layout, uint32_t what,
                      size_t *bytes, uint32_t *tower)
{
    uint32_t number = what % AN_MAX_OPS;

    if (what >= ARGMAX) {
        *bytes = s->plan->ops[number].argmax_bytes;
        *tower = s->plan->ops[number].tower;
        return layout->argmax[number];
    }
    *bytes = s->plan->tensors[number].bytes;
    *tower = s->plan->tensors[number].tower;
    return what < GRADIENT ? layout->value[number] : layout->gradient[number];
}

/* Every byte that is read is still the one that was written. */
static void expect_kept(const story *s, const an_layout *layout, int training)
{
    uint16_t *owner[AN_MAX_TOWERS] = {NULL};
    uint32_t t, i;

    for (t = 0; t < s->plan->towers; t++)
        owner[t] = calloc(layout->bytes[t] + 1, sizeof *owner[t]);
    for (i = 0; i < s->count; i++) {
        const event *e = &s->events[i];
        size_t bytes, at = lies_at(s, layout, e->what, &bytes, &t);
        size_t end = at + (e->first + e->images) * bytes;

        if (at % 64 != 0 || end > layout->bytes[t])
            ck_abort_msg("batch %u: %u is at %zu to %zu of %zu", s->batch, e->what, at,
                         end, layout->bytes[t]);
        for (at += e->first * bytes; at < end; at++)
            if (e->writes)
                owner[t][at] = (uint16_t)(e->what + 1);
            else if (owner[t][at] != e->what + 1)
                ck_abort_msg("batch %u, training %d: moment %d reads %u, which %d has "
                             "written over",
                             s->batch, training, e->moment, e->what, owner[t][at] - 1);
    }
    for (t = 0; t < s->plan->towers; t++) free(owner[t]);
}

/* Bytes of what is alive at once, where most is: from what is written first to what is
 * read last. */
static size_t alive(const story *s, const an_layout *layout, uint32_t tower)
{
    int begin[KEYS], end[KEYS], moment;
    uint32_t i, where;
    size_t most = 0, bytes;

    for (i = 0; i < KEYS; i++) begin[i] = s->moment + 1, end[i] = -1;
    for (i = 0; i < s->count; i++) {
        const event *e = &s->events[i];

        if (e->moment < begin[e->what]) begin[e->what] = e->moment;
        if (e->moment > end[e->what]) end[e->what] = e->moment;
    }
    for (moment = 0; moment <= s->moment; moment++) {
        size_t sum = 0;

        for (i = 0; i < KEYS; i++) {
            if (begin[i] > moment || moment > end[i]) continue;
            lies_at(s, layout, i, &bytes, &where);
            if (where == tower) sum += bytes * s->batch;
        }
        if (sum > most) most = sum;
    }
    return most;
}

static void check_layout(const an_plan *plan, uint32_t batch, int training, int slices)
{
    story *s = calloc(1, sizeof *s);
    an_layout layout;
    uint32_t t;

    s->plan = plan;
    s->batch = batch;
    tell_pass(s, training, slices);
    expect_ok(an__layout_make(&layout, plan, batch, training));
    expect_kept(s, &layout, training);
    for (t = 0; t < plan->towers && !slices; t++) {
        size_t most = alive(s, &layout, t);

        /* What is alive at once is all that is needed; rounding up to lines of 64
         * bytes, and gaps between large tensors in which no other fits, may take some
         * more. */
        expect_count(layout.bytes[t] <= most + most / 4 + 64 * AN_MAX_OPS, 1,
                     "batch %u, training %d, tower %u: %zu bytes where %zu are alive",
                     batch, training, t, layout.bytes[t], most);
    }
    free(s);
}

static const struct {
    uint32_t arch, towers, activation;
} nets[] = {{AN_ARCH_PAPER, 1, 0},
            {AN_ARCH_PAPER, 2, 0},
            {AN_ARCH_KRIZHEVSKY2012, 1, AN_ACTIVATION_TANH},
            {AN_ARCH_KRIZHEVSKY2012, 2, AN_ACTIVATION_SIGMOID},
            {AN_ARCH_KRIZHEVSKY2012, 1, 0},
            {AN_ARCH_CAFFENET, 1, 0},
            {AN_ARCH_TORCHVISION, 1, AN_ACTIVATION_TANH},
            {AN_ARCH_TORCHVISION, 2, 0},
            {AN_ARCH_OWT2014, 1, 0},
            {AN_ARCH_CIFAR10, 1, 0}};
enum { NETS = sizeof nets / sizeof nets[0] };

static an_model_config net_config(int i)
{
    an_model_config config = small_config(nets[i].arch);

    config.towers = nets[i].towers;
    config.activation = nets[i].activation;
    return config;
}

static void check_layouts(const an_plan *plan)
{
    int training;

    for (training = 0; training < 2; training++) {
        check_layout(plan, 1, training, 0);
        check_layout(plan, 3, training, 0);
        check_layout(plan, 5, training, 1);
    }
}

START_TEST(no_tensor_is_written_over_while_it_is_wanted)
{
    an_model_config config = net_config(_i);
    bench b;

    bench_open(&b, &config, NULL, 1);
    check_layouts(b.model->net.plan);
    bench_close(&b);
}
END_TEST

/* Where a first layer is so large that batches are done slice by slice, or three are; and
 * one has so many maps that what is made of a slice is larger than what the layer has
 * read. */
START_TEST(no_slice_is_written_over_while_it_is_wanted)
{
    static const struct {
        uint32_t side, groups; /* of layers that are done so */
        float width;
    } cases[] = {{128, 1, 0.5f}, {256, 3, 0.5f}, {256, 3, 1}};
    an_model_config config = tiny_config();
    uint32_t op, groups = 0;
    int training;
    bench b;

    config.width = cases[_i].width;
    config.image_size = cases[_i].side;
    bench_open(&b, &config, NULL, 1);
    for (op = 0; op < b.model->net.plan->op_count; op++)
        groups += an__plan_sliced(b.model->net.plan, op, 6) > 0;
    expect_count(groups, cases[_i].groups, "layers done slice by slice, case %d", _i);
    for (training = 0; training < 2; training++) {
        check_layout(b.model->net.plan, 6, training, 1);
        check_layout(b.model->net.plan, 11, training, 1);
    }
    bench_close(&b);
}
END_TEST

/* --- a backend that does all in one that can be ------------------------------------ */

static size_t argmax_bytes(const an_pool_shape *s)
{
    return (size_t)s->maps * s->out_height * s->out_width + 1;
}

static int can_fuse(const an_device *device, const an_fusion *fusion)
{
    (void)device;
    return fusion->pattern != AN_FUSE_LRN_POOL || fusion->lrn->maps == fusion->pool->maps;
}

static const an_fused_table fused = {
    .patterns = 1u << AN_FUSE_CONV_RELU | 1u << AN_FUSE_DENSE_RELU |
                1u << AN_FUSE_DENSE_DROPOUT | 1u << AN_FUSE_CONV_MASK |
                1u << AN_FUSE_DENSE_MASK | 1u << AN_FUSE_ARGMAX | 1u << AN_FUSE_LRN_POOL |
                1u << AN_FUSE_DENSE_UPDATE | 1u << AN_FUSE_SLICES,
    .can_fuse = can_fuse,
    .argmax_bytes = argmax_bytes};

static int is_fused_with(const an_plan *plan, uint32_t by, uint32_t op)
{
    const an_op *o = &plan->ops[by];

    return op != 0 && (o->relu == op || o->dropout == op || o->pool == op);
}

/* Each operation that is not done forward is fused with one before it, of the same tower,
 * whose tensor it works on; and none other is. */
static void check_fused(const an_plan *plan)
{
    uint32_t i, by, hosts;

    for (i = 0; i < plan->op_count; i++) {
        const an_op *op = &plan->ops[i];

        for (by = hosts = 0; by < plan->op_count; by++) {
            if (!is_fused_with(plan, by, i)) continue;
            hosts++;
            expect_count(by < i, 1, "operation %u is fused with %u", i, by);
            expect_count(plan->ops[by].tower, op->tower, "the tower of %u and %u", i, by);
            expect_count(op->in, plan->ops[by].out, "what %u reads and %u writes", i, by);
        }
        expect_count(hosts, (op->fused_away & AN_FUSED_AWAY_FORWARD) != 0, "operation %u",
                     i);
        if (op->relu != 0)
            expect_count(plan->ops[op->relu].u.activation, AN_ACTIVATION_RELU,
                         "what %u is fused with", i);
    }
}

/* The only readers of a tensor that ReLU leaves, or a dropout: in the backward pass each
 * must leave out what is not above 0, if ReLU's own is left to them. */
static void check_masked(const an_plan *plan, uint32_t from, uint32_t tensor, float mask)
{
    uint32_t i;

    for (i = from + 1; i < plan->op_count; i++) {
        const an_op *op = &plan->ops[i];
        int here =
            op->in == tensor || (op->kind == AN_OP_EXCHANGE && op->other == tensor);

        if (!here || op->out == tensor) continue;
        if (op->kind == AN_OP_EXCHANGE) check_masked(plan, i, op->out, mask);
        if (op->kind == AN_OP_CONV)
            expect_number(op->u.conv.mask, mask, 0, "convolution %u", i);
        if (op->kind == AN_OP_DENSE)
            expect_number(op->u.dense.mask, mask, 0, "dense layer %u", i);
        if (op->kind == AN_OP_POOL)
            expect_count(op->u.pool.relu, 1, "pooling %u leaves out what ReLU did", i);
        if (op->kind == AN_OP_LRN) {
            expect_count(op->pool != 0, 1, "normalisation %u with a pooling", i);
            expect_count(plan->ops[op->pool].u.pool.relu, 1, "the pooling of %u", i);
        }
        expect_count(op->kind != AN_OP_LRN_WITHIN && op->kind != AN_OP_ACTIVATION, 1,
                     "operation %u masks nothing", i);
    }
}

static void check_backward(const an_plan *plan)
{
    uint32_t i;

    for (i = 0; i < plan->op_count; i++) {
        const an_op *op = &plan->ops[i];

        if (!(op->fused_away & AN_FUSED_AWAY_BACKWARD) || op->kind == AN_OP_POOL)
            continue;
        expect_count(
            op->kind == AN_OP_DROPOUT ||
                (op->kind == AN_OP_ACTIVATION && op->u.activation == AN_ACTIVATION_RELU),
            1, "operation %u is fused away in the backward pass", i);
        if (op->kind == AN_OP_DROPOUT)
            check_masked(plan, i, op->out, op->u.dropout.scale);
        else if (!(i + 1 < plan->op_count && plan->ops[i + 1].kind == AN_OP_DROPOUT) &&
                 !(i + 2 < plan->op_count && plan->ops[i + 2].kind == AN_OP_DROPOUT))
            check_masked(plan, i, op->out, 1); /* no dropout behind it, of either tower */
    }
}

/* How many operations are left to others, by hand: of paper, in the forward pass,
 * 7 ReLUs, 2 dropouts and 2 poolings; in the backward pass as many. */
START_TEST(fused_operations_are_done_by_another)
{
    an_model_config config = net_config(_i);
    an_plan *plan = calloc(1, sizeof *plan);
    uint32_t i, forward = 0, backward = 0;
    an_backend backend;
    bench b;

    bench_open(&b, &config, NULL, 1);
    backend = *b.ctx->backends[0]; /* of whose operations none is called */
    backend.fused = &fused;
    expect_ok(an__plan_make(plan, &b.model->net.plan->config));
    an__plan_fit(plan, &backend, b.model->net.device[0]);
    check_fused(plan);
    check_backward(plan);
    check_layouts(plan);
    for (i = 0; i < plan->op_count; i++) {
        forward += (plan->ops[i].fused_away & AN_FUSED_AWAY_FORWARD) != 0;
        backward += (plan->ops[i].fused_away & AN_FUSED_AWAY_BACKWARD) != 0;
    }
    if (nets[_i].arch == AN_ARCH_PAPER) {
        expect_count(forward, 11 * nets[_i].towers, "operations fused away, forward");
        expect_count(backward, 11 * nets[_i].towers, "operations fused away, backward");
    }
    if (nets[_i].activation != 0) {
        for (i = 0; i < plan->op_count; i++)
            expect_count(plan->ops[i].kind == AN_OP_ACTIVATION && plan->ops[i].fused_away,
                         0, "tanh and sigmoid are done by themselves: %u", i);
    }
    free(plan);
    bench_close(&b);
}
END_TEST

/* The double of a device, which fuses so: each image's answer is the CPU's, of a batch
 * in which a layer's output lies where others' were. */
START_TEST(fused_operations_give_what_the_cpu_gives)
{
    enum { BATCH = 16, SIDE = 79 };
    static const uint32_t archs[] = {AN_ARCH_PAPER, AN_ARCH_CAFFE_ALEXNET,
                                     AN_ARCH_OWT2014};
    an_context *ctx = plugin_context(host_run_path(), 2);
    an_model_config config = small_config(archs[_i]);
    float *images = malloc(BATCH * 3 * SIDE * SIDE * sizeof *images);
    float p[2][BATCH * SMALL_CLASSES];
    uint32_t device, i, pooled = 0;

    config.width =
        0.25f; /* maps in pieces of eight, which are normalised and pooled at once */
    noise_floats(images, BATCH * 3 * SIDE * SIDE, 31, 100);
    for (device = 0; device < 2; device++) {
        an_model *model;

        config.devices = device ? "cuda:0" : NULL;
        expect_ok(an_model_create(&model, ctx, &config));
        for (i = 0; device && i < model->net.plan->op_count; i++)
            pooled += model->net.plan->ops[i].pool != 0;
        expect_ok(an_infer(model, images, BATCH, p[device], ENOUGH));
        an_model_destroy(model);
    }
    expect_count(pooled > 0, 1, "normalisations with a pooling");
    expect_floats(p[1], p[0], BATCH * SMALL_CLASSES, 1e-5, "preset %u", archs[_i]);
    free(images);
    an_context_destroy(ctx);
}
END_TEST

void add_memory(Suite *suite)
{
    TCase *tc = tcase_create("memory");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, no_tensor_is_written_over_while_it_is_wanted, 0, NETS);
    tcase_add_loop_test(tc, no_slice_is_written_over_while_it_is_wanted, 0, 3);
    tcase_add_loop_test(tc, fused_operations_are_done_by_another, 0, NETS);
    tcase_add_loop_test(tc, fused_operations_give_what_the_cpu_gives, 0, 3);
    suite_add_tcase(suite, tc);
}
