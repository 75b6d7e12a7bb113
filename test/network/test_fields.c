/*
 * test_fields.c - every field of what describes a model, beside the account of
 * networks.c; what towers send each other; the bytes of buffers beside what an allocator
 * sees.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "host_run.h"
#include "networks.h"
#include "small.h"
#include "test.h"

#define CASE(n, now) an_arch_name((n)->arch), (now)->what

/* --- descriptions ------------------------------------------------------------------ */

static void check_model(const an_model *model, const net *n, const net_case *now)
{
    an_model_info info;

    an_model_info_init(&info, sizeof info);
    expect_ok(an_model_describe(model, &info));
    expect_count(info.size, sizeof info, "%s, %s", CASE(n, now));
    expect_count(info.arch, n->arch, "%s, %s", CASE(n, now));
    expect_count(info.classes, n->classes, "%s, %s", CASE(n, now));
    expect_count(info.image_size, n->image_size, "%s, %s", CASE(n, now));
    expect_count(info.towers, n->towers, "%s, %s", CASE(n, now));
    expect_count(info.layers, n->count, "%s, %s", CASE(n, now));
    expect_count(info.parameters, 2 * n->count, "%s, %s", CASE(n, now));
    expect_count(info.parameter_count, net_parameter_count(n), "%s, %s", CASE(n, now));
    expect_count(info.multiply_adds, net_multiply_adds(n), "%s, %s", CASE(n, now));
    expect_count(info.units, net_units(n), "%s, %s", CASE(n, now));
    expect_count(info.exchange_floats, net_exchange_floats(n), "%s, %s", CASE(n, now));
    expect_count(info.exchanged_floats, 0, "%s, %s", CASE(n, now));
}

static void check_layer(const an_model *model, const net *n, const net_case *now,
                        uint32_t i)
{
    const net_layer *l = &n->layer[i];
    an_layer_info info;
    char letters[24];

#define LAYER(field, wanted)                                                             \
    expect_count(info.field, wanted, "%s, %s: %s", CASE(n, now), l->name)
    an_layer_info_init(&info, sizeof info);
    expect_ok(an_layer_describe(model, i, &info));
    net_stage_letters(l, letters);
    expect_text(info.name, l->name, "%s, %s: layer %u", CASE(n, now), i);
    expect_text(info.stages, letters, "%s, %s: %s", CASE(n, now), l->name);
    LAYER(size, sizeof info);
    LAYER(is_conv, (uint64_t)l->is_conv);
    LAYER(kernel, l->kernel);
    LAYER(stride, l->stride);
    LAYER(pad_before, l->pad);
    LAYER(pad_after, l->pad_after);
    LAYER(groups, l->groups);
    LAYER(in_maps, l->in_maps);
    LAYER(in_height, l->in_side);
    LAYER(in_width, l->in_side);
    LAYER(maps, l->maps);
    LAYER(height, l->side);
    LAYER(width, l->side);
    LAYER(out_maps, l->maps);
    LAYER(out_height, l->out_side);
    LAYER(out_width, l->out_side);
    LAYER(parameter_count, l->weights + l->maps);
    LAYER(multiply_adds, l->weights * l->side * l->side);
#undef LAYER
}

/* Weights are [maps][maps read / groups][kernel][kernel] or [units][inputs], biases
 * [maps]. */
static void check_parameter(const an_model *model, const net *n, const net_case *now,
                            uint32_t index)
{
    const net_layer *l = &n->layer[index / 2];
    uint32_t is_bias = index % 2, shape[4] = {l->maps, 1, 1, 1}, found = 99, i;
    an_parameter_info info;
    char name[48];

    snprintf(name, sizeof name, "%s.%s", l->file_name, is_bias ? "bias" : "weight");
    if (!is_bias) shape[1] = l->is_conv ? l->in_maps / l->groups : (uint32_t)l->inputs;
    if (!is_bias) shape[2] = shape[3] = l->is_conv ? l->kernel : 1;
    an_parameter_info_init(&info, sizeof info);
    expect_ok(an_parameter_describe(model, index, &info));
    expect_text(info.name, name, "%s, %s: parameter %u", CASE(n, now), index);
    expect_text(info.layer, l->name, "%s, %s: %s", CASE(n, now), name);
    expect_count(info.size, sizeof info, "%s, %s: %s", CASE(n, now), name);
    expect_count(info.is_bias, is_bias, "%s, %s: %s", CASE(n, now), name);
    expect_count(info.dims,
                 is_bias      ? 1u
                 : l->is_conv ? 4u
                              : 2u,
                 "%s, %s: %s", CASE(n, now), name);
    for (i = 0; i < 4; i++)
        expect_count(info.shape[i], shape[i], "%s, %s: %s, place %u", CASE(n, now), name,
                     i);
    expect_count(info.count, is_bias ? l->maps : l->weights, "%s, %s: %s", CASE(n, now),
                 name);
    expect_ok(an_parameter_find(model, name, &found));
    expect_count(found, index, "%s, %s: %s", CASE(n, now), name);
}

/* Every preset value is resolved; the rest is what was given. */
static void check_config(const an_model *model, const net *n, const net_case *now)
{
    const an_model_config *given = &now->config;
    uint32_t i, j, norms = 0, drops = 0, groups = 1;
    an_model_config c;

    for (i = 0; i < n->count; i++) {
        if (n->layer[i].groups > groups) groups = n->layer[i].groups;
        for (j = 0; j < n->layer[i].stage_count; j++) {
            norms += n->layer[i].stage[j].kind == 'n' || n->layer[i].stage[j].kind == 'w';
            drops += n->layer[i].stage[j].kind == 'd';
        }
    }
#define CONFIG(field, wanted) expect_count(c.field, wanted, "%s, %s", CASE(n, now))
    an_model_config_init(&c, sizeof c);
    c.devices = "not touched";
    expect_ok(an_model_get_config(model, &c));
    CONFIG(size, sizeof c);
    CONFIG(arch, n->arch);
    CONFIG(classes, n->classes);
    CONFIG(image_size, n->image_size);
    CONFIG(activation, n->activation);
    CONFIG(lrn, norms > 0 ? AN_SWITCH_ON : AN_SWITCH_OFF);
    CONFIG(pooling, given->pooling != 0 ? given->pooling : AN_POOLING_OVERLAPPING);
    CONFIG(dropout, drops > 0 ? AN_SWITCH_ON : AN_SWITCH_OFF);
    CONFIG(dropout_scaling, n->scaling);
    expect_number(c.dropout_rate, n->dropout_rate, 0, "%s, %s", CASE(n, now));
    expect_number(c.width, given->width == 0 ? 1 : given->width, 0, "%s, %s",
                  CASE(n, now));
    CONFIG(groups, given->groups != 0 ? given->groups : groups);
    CONFIG(towers, n->towers);
    CONFIG(remove_conv, given->remove_conv);
    CONFIG(extra_conv, given->extra_conv);
    CONFIG(initialisation, n->initialisation);
    CONFIG(precision, given->precision);
    CONFIG(seed, given->seed);
#undef CONFIG
    ck_assert_ptr_null(c.devices);
}

static void check_case(an_context *ctx, const net_case *now)
{
    an_parameter_info none;
    an_layer_info no_layer;
    an_model *model;
    uint32_t i;
    net n;

    if (!net_of(&n, &now->config)) return;
    expect_ok(an_model_create(&model, ctx, &now->config));
    check_model(model, &n, now);
    check_config(model, &n, now);
    for (i = 0; i < n.count; i++) check_layer(model, &n, now, i);
    for (i = 0; i < 2 * n.count; i++) check_parameter(model, &n, now, i);
    an_layer_info_init(&no_layer, sizeof no_layer);
    an_parameter_info_init(&none, sizeof none);
    expect_refused(an_layer_describe(model, n.count, &no_layer), AN_ERROR_ARGUMENT,
                   "index");
    expect_refused(an_parameter_describe(model, 2 * n.count, &none), AN_ERROR_ARGUMENT,
                   "index");
    an_model_destroy(model);
}

static an_context *one_thread(void)
{
    an_context_config config;
    an_context *ctx;

    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    expect_ok(an_context_create(&ctx, &config));
    return ctx;
}

/* Each change as it is in networks.c, less wide; and some at the preset's own size and
 * number of classes, with its own initialisation. */
START_TEST(descriptions_are_those_of_the_account)
{
    an_context *ctx = one_thread();
    uint32_t change;

    for (change = 0; change < NET_CHANGES; change++) {
        net_case now = net_change((uint32_t)_i, change);

        now.config.width /= 2; /* what is described is computed elsewhere */
        check_case(ctx, &now);
        if (change % 3 != 0) continue;
        now.config.image_size = now.config.classes = now.config.initialisation = 0;
        now.config.width = 0.02f;
        now.config.seed = (uint64_t)1 << 40;
        now.config.precision = AN_PRECISION_TF32X3;
        check_case(ctx, &now);
    }
    an_context_destroy(ctx);
}
END_TEST

/* Of widths on both sides of a multiple of 4's middle: nearest, at least 4. */
START_TEST(widths_are_rounded_to_multiples_of_4)
{
    static const struct {
        float width;
        uint32_t conv1, conv2, fc6; /* of 96, 256 and 4096 */
    } rows[] = {{0.02f, 4, 4, 80},   {0.0624f, 4, 16, 256}, {0.0626f, 8, 16, 256},
                {0.1f, 8, 24, 408},  {0.1041f, 8, 28, 428}, {0.1043f, 12, 28, 428},
                {0.3f, 28, 76, 1228}};
    an_context *ctx = one_thread();
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        an_model_config config = small_config(AN_ARCH_PAPER);
        uint32_t want[3] = {rows[i].conv1, rows[i].conv2, rows[i].fc6}, j;
        an_model *model;

        config.width = rows[i].width;
        config.image_size = 67; /* fc6 reads one pixel */
        expect_ok(an_model_create(&model, ctx, &config));
        for (j = 0; j < 3; j++) {
            an_layer_info info;

            an_layer_info_init(&info, sizeof info);
            expect_ok(an_layer_describe(model, j < 2 ? j : 5, &info));
            expect_count(info.maps, want[j], "width %g, %s", (double)rows[i].width,
                         info.name);
        }
        an_model_destroy(model);
    }
    an_context_destroy(ctx);
}
END_TEST

/* --- what towers send -------------------------------------------------------------- */

static uint64_t exchanged(const an_model *model)
{
    an_model_info info;

    an_model_info_init(&info, sizeof info);
    expect_ok(an_model_describe(model, &info));
    return info.exchanged_floats;
}

/* What is sent back for one image: gradients of what layers above the lowest that learns
 * read. */
static uint64_t sent_back(const net *n, uint32_t lowest)
{
    net above = *n;
    uint32_t i;

    for (i = 0; i <= lowest; i++) above.layer[i].in_maps = 0;
    return net_exchange_floats(&above);
}

/* A model in two towers, its count so far, and what an image sends. */
typedef struct counter {
    bench b;
    uint64_t so_far, forward, whole;
} counter;

static void count_more(counter *c, uint64_t more, const char *what)
{
    c->so_far += more;
    expect_count(exchanged(c->b.model), c->so_far, "%s", what);
}

static void use_everything(counter *c, const net *n)
{
    float p[SMALL_BATCH * SMALL_CLASSES], *x = malloc(1 << 20);
    an_evaluation e;
    uint32_t frozen;
    int i;

    an_evaluation_init(&e, sizeof e);
    count_more(c, 0, "a new model");
    for (i = 0; i < 4; i++) { /* the third is the first repetition, where there are any */
        bench_step(&c->b);
        count_more(c, 3 * c->whole, "a step of 3 images");
    }
    for (i = 0; i < 4; i++) {
        expect_ok(an_infer(c->b.model, c->b.images, 2, p, ENOUGH));
        count_more(c, 2 * c->forward, "an inference of 2 images");
    }
    for (i = 0; i < 4; i++) {
        expect_ok(an_evaluate(c->b.model, c->b.images, c->b.labels, 1, &e));
        count_more(c, c->forward, "an evaluation of 1 image");
    }
    expect_ok(
        an_infer_layer(c->b.model, c->b.images, 1, "conv2", AN_POINT_OUTPUT, x, ENOUGH));
    count_more(c, 0, "two convolutions that read halves");
    expect_ok(an_trainer_set_layer_rates(c->b.trainer, "conv1", 0, 0));
    for (frozen = 2; frozen <= 3; frozen++) { /* conv3 reads both halves, conv4 its own */
        const char *layer = n->layer[frozen - 1].name;

        expect_ok(an_trainer_set_layer_rates(c->b.trainer, layer, 0, 0));
        for (i = 0; i < 3; i++) {
            bench_step(&c->b);
            count_more(c, 3 * (c->forward + sent_back(n, frozen)),
                       frozen == 2 ? "a step from conv3 on" : "a step from conv4 on");
        }
    }
    free(x);
}

/* On the CPU, and on a device that repeats what it has recorded. */
START_TEST(what_towers_send_is_counted_as_it_is_sent)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    an_trainer_config training = small_training(3);
    counter c = {.so_far = 0};
    uint32_t i;
    net n;

    config.towers = 2;
    config.devices = _i == 0 ? "cpu" : "cuda:0,cuda:0";
    ck_assert_int_eq(net_of(&n, &config), 1);
    c.forward = net_exchange_floats(&n);
    c.whole = c.forward + sent_back(&n, 0);
    c.b.ctx = _i == 0 ? one_thread() : plugin_context(host_run_path(), 1);
    c.b.batch = 3;
    c.b.images = malloc((size_t)3 * 3 * 79 * 79 * sizeof *c.b.images);
    noise_floats(c.b.images, (size_t)3 * 3 * 79 * 79, 9, 1);
    for (i = 0; i < 3; i++) c.b.labels[i] = (int32_t)i;
    expect_ok(an_model_create(&c.b.model, c.b.ctx, &config));
    expect_ok(an_trainer_create(&c.b.trainer, c.b.model, &training));
    use_everything(&c, &n);
    bench_close(&c.b);
}
END_TEST

/* --- bytes ------------------------------------------------------------------------- */

/* Each tensor begins on a line of 64 bytes. */
static uint64_t lines(uint64_t numbers)
{
    return (numbers * sizeof(float) + 63) / 64 * 64;
}

/* The tensors of one image in the order in which they are computed, ReLU and the dropout
 * behind it in place; those that a product or a norm reads are needed on its way back. */
typedef struct chain {
    uint64_t bytes[4 * NET_LAYERS];
    int is_kept[4 * NET_LAYERS];
    uint32_t count;
} chain;

static void add_link(chain *c, uint64_t numbers)
{
    c->bytes[c->count++] = lines(numbers);
}

static chain chain_of(const net *n)
{
    chain c = {{0}, {0}, 0};
    uint32_t i, j;

    add_link(&c, (uint64_t)3 * n->image_size * n->image_size);
    for (i = 0; i < n->count; i++) {
        const net_layer *l = &n->layer[i];
        uint64_t linear = (uint64_t)l->maps * l->side * l->side;
        uint64_t pooled = (uint64_t)l->maps * l->out_side * l->out_side;
        int is_pooled = 0;

        c.is_kept[c.count - 1] = 1;
        add_link(&c, linear);
        for (j = 0; j < l->stage_count; j++) {
            char kind = l->stage[j].kind;

            if (kind == 'n' || kind == 'w') c.is_kept[c.count - 1] = 1;
            is_pooled |= kind == 'p';
            if (kind == 'n' || kind == 'w' || kind == 'p')
                add_link(&c, is_pooled ? pooled : linear);
        }
    }
    return c;
}

/* What a chain needs of which two neighbours are there at a time. */
static uint64_t largest_pair(const chain *c)
{
    uint64_t most = 0;
    uint32_t i;

    for (i = 0; i + 1 < c->count; i++)
        if (c->bytes[i] + c->bytes[i + 1] > most) most = c->bytes[i] + c->bytes[i + 1];
    return most;
}

static an_model_info info_of(an_context *ctx, const an_model_config *config)
{
    an_model_info info;
    an_model *model;

    an_model_info_init(&info, sizeof info);
    expect_ok(an_model_create(&model, ctx, config));
    expect_ok(an_model_describe(model, &info));
    an_model_destroy(model);
    return info;
}

START_TEST(planned_bytes_lie_between_what_is_needed_and_all)
{
    net_case now = net_change((uint32_t)_i, 0);
    an_context *ctx = one_thread();
    an_model_info one, two;
    uint64_t kept = 0, all = 0, parameters;
    uint32_t i;
    net n;
    chain c;

    ck_assert_int_eq(net_of(&n, &now.config), 1);
    c = chain_of(&n);
    for (i = 0; i < c.count; i++) {
        kept += c.is_kept[i] ? c.bytes[i] : 0;
        all += 2 * c.bytes[i]; /* and its gradient */
    }
    one = info_of(ctx, &now.config);
    parameters = 2 * sizeof(float) * one.parameter_count; /* velocities, gradients */
    expect_count(one.infer_bytes, largest_pair(&c), "%s, %s", CASE(&n, &now));
    ck_assert_msg(
        one.train_bytes >= parameters + kept && one.train_bytes <= parameters + all,
        "%s, %s: train_bytes is %llu, wanted %llu to %llu", CASE(&n, &now),
        (unsigned long long)one.train_bytes, (unsigned long long)(parameters + kept),
        (unsigned long long)(parameters + all));
    /* Without parameters an image takes as much as each further one, but for lines of 64
     * bytes begun. */
    expect_number(one.train_bytes_image, one.train_bytes - parameters, 64. * 2 * c.count,
                  "%s, %s", CASE(&n, &now));
    now.config.lrn = AN_SWITCH_OFF;
    one = info_of(ctx, &now.config);
    now.config.towers = 2; /* the image twice; of the rest each has a half, or more */
    two = info_of(ctx, &now.config);
    expect_number(two.infer_bytes, one.infer_bytes + c.bytes[0], 256, "%s, %s",
                  CASE(&n, &now));
    ck_assert_uint_ge(two.train_bytes, one.train_bytes + c.bytes[0]);
    ck_assert_uint_ge(two.train_bytes_image, one.train_bytes_image + c.bytes[0] - 64);
    ck_assert_uint_le(two.train_bytes_image, 2 * one.train_bytes_image + 256);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(planned_bytes_grow_with_what_is_planned)
{
    an_context *ctx = one_thread();
    net_case now = net_change((uint32_t)_i, 0);
    an_model_info first, last, next;
    int step;

    now.config.width /= 2;
    first = last = info_of(ctx, &now.config);
    for (step = 0; step < 6; step++) {
        if (step % 2 == 0) now.config.width *= 1.6f;
        if (step % 2 == 1) now.config.image_size += 16;
        next = info_of(ctx, &now.config);
        /* of the two largest neighbours, whose maps a little width may not change */
        ck_assert_uint_ge(next.infer_bytes, last.infer_bytes);
        ck_assert_uint_gt(next.train_bytes, last.train_bytes);
        ck_assert_uint_gt(next.train_bytes_image, last.train_bytes_image);
        last = next;
    }
    ck_assert_uint_gt(last.infer_bytes, first.infer_bytes);
    an_context_destroy(ctx);
}
END_TEST

/* A model on the reference path, whose allocator counts. */
typedef struct weighed {
    counted c;
    an_context *ctx;
    an_model *model;
    an_model_info info;
    uint64_t unfolded; /* the images of a convolution, unfolded, by each tower */
    float *images;
    net n;
} weighed;

static void weigh(weighed *w, uint32_t arch, uint32_t towers)
{
    net_case now = net_change(arch, 0);
    an_context_config context;
    uint32_t i;

    now.config.towers = towers;
    if (towers == 2) now.config.lrn = AN_SWITCH_OFF;
    ck_assert_int_eq(net_of(&w->n, &now.config), 1);
    an_context_config_init(&context, sizeof context);
    context.threads = 1;
    context.cpu_path = AN_CPU_PATH_REFERENCE;
    counted_allocator(&context, &w->c);
    expect_ok(an_context_create(&w->ctx, &context));
    expect_ok(an_model_create(&w->model, w->ctx, &now.config));
    an_model_info_init(&w->info, sizeof w->info);
    expect_ok(an_model_describe(w->model, &w->info));
    w->unfolded = 0;
    for (i = 0; i < w->n.count; i++) {
        const net_layer *l = &w->n.layer[i];
        uint64_t one = l->inputs * l->side * l->side * sizeof(float) * towers;

        if (l->is_conv && one > w->unfolded) w->unfolded = one;
    }
    w->images = calloc((size_t)9 * 3 * w->n.image_size * w->n.image_size, sizeof(float));
}

static uint64_t trainer_bytes(weighed *w, uint32_t batch)
{
    an_trainer_config training = small_training(batch);
    size_t before = w->c.bytes;
    an_trainer *trainer;
    uint64_t bytes;

    expect_ok(an_trainer_create(&trainer, w->model, &training));
    bytes = w->c.bytes - before;
    an_trainer_destroy(trainer);
    ck_assert_uint_eq(w->c.bytes, before);
    return bytes;
}

static void within(uint64_t got, uint64_t least, uint64_t most, const char *what,
                   int arch)
{
    ck_assert_msg(got >= least && got <= most,
                  "%s of %s: %llu bytes, wanted %llu to %llu", what,
                  an_arch_name((uint32_t)arch), (unsigned long long)got,
                  (unsigned long long)least, (unsigned long long)most);
}

/* Beside the planned: scratch for one unfolded image, structs (below 16 KiB a tower), and
 * for each image its row of scores, views, losses and labels (below 256 bytes) and, of a
 * trainer, its input before it is given to the network. */
START_TEST(planned_bytes_are_what_the_allocator_sees)
{
    const uint32_t arch = 1 + (uint32_t)_i / 2, towers = 1 + (uint32_t)_i % 2;
    uint64_t image, slack = (uint64_t)towers * 16384, infer, one, nine, lines_begun;
    uint64_t before;
    float p[90];
    weighed w;

    weigh(&w, arch, towers);
    image = (uint64_t)3 * w.n.image_size * w.n.image_size * sizeof(float);
    before = w.c.bytes;
    expect_ok(an_infer(w.model, w.images, 1, p, ENOUGH));
    infer = w.c.bytes - before;
    within(infer, w.info.infer_bytes + w.unfolded,
           w.info.infer_bytes + w.unfolded + slack, "an inference", (int)arch);
    expect_ok(
        an_infer(w.model, w.images, 9, p, ENOUGH)); /* in place of the buffers for one */
    within(w.c.bytes - before - infer, 8 * w.info.infer_bytes - 8 * 512,
           8 * (w.info.infer_bytes + 256), "eight more images", (int)arch);
    one = trainer_bytes(&w, 1);
    nine = trainer_bytes(&w, 9);
    lines_begun = 64 * 2 * 4 * (uint64_t)w.n.count * towers;
    within(one, w.info.train_bytes + w.unfolded + image,
           w.info.train_bytes + w.unfolded + image + slack, "a trainer", (int)arch);
    within(nine - one, 8 * (w.info.train_bytes_image + image) - lines_begun,
           8 * (w.info.train_bytes_image + image + 256) + lines_begun,
           "a trainer's eight more images", (int)arch);
    ck_assert_int_eq(w.c.wrong, 0);
    an_model_destroy(w.model);
    an_context_destroy(w.ctx);
    ck_assert_int_eq(w.c.blocks, 0);
    free(w.images);
}
END_TEST

Suite *fields_suite(void)
{
    Suite *suite = suite_create("fields");
    TCase *tc = tcase_create("fields");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, descriptions_are_those_of_the_account, AN_ARCH_PAPER,
                        AN_ARCH_LAST + 1);
    tcase_add_test(tc, widths_are_rounded_to_multiples_of_4);
    tcase_add_loop_test(tc, what_towers_send_is_counted_as_it_is_sent, 0, 2);
    tcase_add_loop_test(tc, planned_bytes_lie_between_what_is_needed_and_all,
                        AN_ARCH_PAPER, AN_ARCH_LAST + 1);
    tcase_add_loop_test(tc, planned_bytes_grow_with_what_is_planned, AN_ARCH_PAPER,
                        AN_ARCH_LAST + 1);
    tcase_add_loop_test(tc, planned_bytes_are_what_the_allocator_sees, 0,
                        2 * AN_ARCH_CIFAR10);
    suite_add_tcase(suite, tc);
    return suite;
}
