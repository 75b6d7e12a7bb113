/*
 * programs_setup.c - train's options, each alone: after some steps the checkpoint is,
 * byte for byte, that of a run by the library's own functions with the one setting that
 * the option names, and no longer that of the run without it.
 */
#define _POSIX_C_SOURCE 200809L
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiny.h"

enum { STEPS = 3, MOST_SETTINGS = 6 };

/* A member of a plan and its value. */
typedef struct setting {
    size_t at;
    enum { NO_SETTING, WHOLE, LONG, REAL } kind;
    double value;
} setting;

/* clang-format off */
#define U32(member, value) {offsetof(plan, member), WHOLE, value}
#define U64(member, value) {offsetof(plan, member), LONG, value}
#define F32(member, value) {offsetof(plan, member), REAL, value}
/* clang-format on */

typedef struct option_case {
    const char *options;
    setting settings[MOST_SETTINGS]; /* none: the same bits as without the options */
} option_case;

static void apply(plan *p, const setting *s)
{
    char *at = (char *)p + s->at;
    const uint32_t whole = (uint32_t)s->value;
    const uint64_t large = (uint64_t)s->value;
    const float real = (float)s->value;

    if (s->kind == WHOLE) memcpy(at, &whole, sizeof whole);
    if (s->kind == LONG) memcpy(at, &large, sizeof large);
    if (s->kind == REAL) memcpy(at, &real, sizeof real);
}

/* Some steps by the plan, saved with an empty note, for a note's times differ. */
static void save_twin(twin *t, const char *name)
{
    const uint8_t none[AN_TRAINER_NOTE_BYTES] = {0};

    expect_ok(an_trainer_set_note(t->trainer, none));
    expect_ok(an_trainer_save(t->trainer, tiny_path(name)));
}

static int same_files(const char *a, const char *b)
{
    size_t a_size, b_size;
    char *a_text = file_read(a, &a_size), *b_text = file_read(b, &b_size);
    int same = a_size == b_size && memcmp(a_text, b_text, a_size) == 0;

    free(a_text);
    free(b_text);
    return same;
}

/* The program's file is the twin's, and both another than "base", or both that. */
static void expect_option(const option_case *c, const char *out)
{
    size_t i;
    plan p;
    twin t;

    plan_init(&p);
    p.steps = STEPS;
    for (i = 0; i < MOST_SETTINGS; i++) apply(&p, &c->settings[i]);
    twin_run(&t, &p);
    program_succeeds(NULL, "train " TINY " --steps %d %s --out %s data", STEPS,
                     c->options, out);
    expect_run(&t, out, c->options);
    save_twin(&t, "changed");
    twin_free(&t);
    ck_assert_msg(same_files("base", "changed") == (c->settings[0].kind == NO_SETTING),
                  "%s: changes %s", c->options,
                  c->settings[0].kind == NO_SETTING ? "something" : "nothing");
}

static void expect_options(const option_case *cases, size_t count)
{
    char out[32];
    size_t i;
    plan p;
    twin t;

    plan_init(&p);
    p.steps = STEPS;
    twin_run(&t, &p);
    save_twin(&t, "base");
    twin_free(&t);
    for (i = 0; i < count; i++) {
        snprintf(out, sizeof out, "run%zu", i);
        expect_option(&cases[i], out);
    }
}

#define EXPECT_OPTIONS(cases) expect_options(cases, sizeof cases / sizeof cases[0])

/* --- the model --------------------------------------------------------------------- */

START_TEST(options_of_the_model_reach_it)
{
    static const option_case cases[] = {
        {"--width 0.2", {F32(model.width, 0.2)}},
        {"--image-size 13", {U32(model.image_size, 13)}},
        {"--init gaussian", {U32(model.initialisation, AN_INIT_GAUSSIAN)}},
        {"--init fan-in", {U32(model.initialisation, AN_INIT_FAN_IN)}},
        {"--init he", {{0, NO_SETTING, 0}}},
        {"--activation tanh", {U32(model.activation, AN_ACTIVATION_TANH)}},
        {"--activation sigmoid", {U32(model.activation, AN_ACTIVATION_SIGMOID)}},
        {"--activation relu", {{0, NO_SETTING, 0}}},
        {"--pooling plain", {U32(model.pooling, AN_POOLING_PLAIN)}},
        {"--pooling overlapping", {{0, NO_SETTING, 0}}},
        {"--groups 2", {U32(model.groups, 2)}},
        {"--no-lrn", {U32(model.lrn, AN_SWITCH_OFF)}},
        {"--remove-conv 2", {U32(model.remove_conv, 2)}},
        {"--remove-conv 3", {U32(model.remove_conv, 3)}},
        {"--extra-conv", {U32(model.extra_conv, 1)}},
        {"--classes 9", {U32(model.classes, 9)}},
        {"--classes 7", {{0, NO_SETTING, 0}}},
        {"--input-scale raw", {U32(unit, 0)}},
        {"--input-scale unit", {{0, NO_SETTING, 0}}},
        {"--mean-image", {U32(mean_image, 1)}},
    };

    EXPECT_OPTIONS(cases);
}
END_TEST

/* What a run by others needs: a pack of larger pictures. */
static void make_large(void)
{
    const tiny_pack large = {.count = 9, .side = 84, .classes = 3, .seed = 4};

    tiny_pack_make("large", &large);
}

static void expect_large(plan *p, const char *options, const char *out)
{
    twin t;

    p->model.image_size = 80;
    p->model.width = 0.02f;
    p->trainer.batch = p->loader.batch = 4;
    p->steps = 1;
    p->train = "large";
    p->val = NULL;
    twin_run(&t, p);
    program_succeeds(NULL,
                     "train --image-size 80 --width 0.02 --batch 4 --threads 1 --steps 1 "
                     "%s --out %s large",
                     options, out);
    expect_run(&t, out, options);
    twin_free(&t);
}

START_TEST(every_preset_is_known_by_its_name)
{
    char options[64], out[32];
    uint32_t arch;

    make_large();
    for (arch = 1; an_arch_name(arch) != NULL; arch++) {
        plan p;

        plan_init(&p);
        p.model.arch = arch;
        snprintf(options, sizeof options, "--arch %s", an_arch_name(arch));
        snprintf(out, sizeof out, "run%u", arch);
        expect_large(&p, options, out);
    }
    program_fails(2, "--arch: name is \"alexnet\": the presets are paper, ",
                  "train --arch alexnet --out no large");
}
END_TEST

/* torchvision's network, which small-data trains, has dropout. */
START_TEST(dropout_is_left_out_if_asked)
{
    plan p;

    make_large();
    plan_init(&p);
    p.model.arch = AN_ARCH_TORCHVISION;
    expect_large(&p, "", "run");
    p.model.dropout = AN_SWITCH_OFF;
    expect_large(&p, "--no-dropout", "without");
    p.model.dropout = AN_SWITCH_PRESET;
    p.model.initialisation = AN_INIT_HE;
    expect_large(&p, "--init he", "he");
}
END_TEST

/* Layers whose weights --init-factor multiplies: all convolutions from the third on. */
START_TEST(a_factor_reaches_the_third_convolution_and_those_above)
{
    static const char *const names[] = {"features.6.weight", "features.8.weight",
                                        "features.10.weight", "conv6.weight"};
    size_t i, j;
    plan p;
    twin t;

    make_large();
    plan_init(&p);
    p.model.arch = AN_ARCH_TORCHVISION;
    p.model.image_size = 80;
    p.model.width = 0.02f;
    p.model.extra_conv = 1;
    p.trainer.batch = p.loader.batch = 4;
    p.steps = 1;
    p.train = "large";
    p.val = NULL;
    twin_open(&t, &p);
    for (i = 0; i < 4; i++) {
        an_parameter_info info;
        uint32_t index;
        float *values;

        an_parameter_info_init(&info, sizeof info);
        expect_ok(an_parameter_find(t.model, names[i], &index));
        expect_ok(an_parameter_describe(t.model, index, &info));
        values = malloc(info.count * sizeof *values);
        expect_ok(an_parameter_get(t.model, index, values, info.count));
        for (j = 0; j < info.count; j++) values[j] *= 4;
        expect_ok(an_parameter_set(t.model, index, values, info.count));
        free(values);
    }
    twin_begin(&t);
    twin_train(&t);
    program_succeeds(NULL, "train --image-size 80 --width 0.02 --batch 4 --threads 1 "
                           "--steps 1 --extra-conv --init-factor 4 --out run large");
    expect_run(&t, "run", "--init-factor 4");
    twin_free(&t);
}
END_TEST

/* A pack's preprocessing and names are the model's; more classes than it has are
 * nameless. */
START_TEST(the_packs_colours_and_names_are_the_models)
{
    an_preprocessing p;
    an_pack_info info;
    an_pack *pack;
    opened o;

    an_preprocessing_init(&p, sizeof p);
    an_pack_info_init(&info, sizeof info);
    program_succeeds(NULL, "train " TINY " --steps 1 --out run data");
    o = checkpoint_open("run");
    expect_ok(an_pack_open(&pack, o.ctx, tiny_path("data/train"), NULL, NULL));
    expect_ok(an_pack_describe(pack, &info));
    expect_ok(an_model_get_preprocessing(o.model, &p));
    expect_count(p.side, TINY_SIDE, "preprocessing");
    expect_floats(p.mean, info.mean, 3, 0, "mean");
    expect_number(p.scale[1] * info.deviation[1], 1, 1e-6, "unit variance");
    expect_floats(p.colour_deviation, info.colour_deviation, 3, 0, "deviations");
    expect_text(an_model_class_name(o.model, 6), "class 6", "the last class");
    an_pack_destroy(pack);
    checkpoint_close(&o);
    program_succeeds(NULL, "train " TINY " --steps 1 --classes 9 --out more data");
    o = checkpoint_open("more");
    ck_assert_ptr_null(an_model_class_name(o.model, 6));
    checkpoint_close(&o);
}
END_TEST

/* --- the loader, the trainer ------------------------------------------------------- */

START_TEST(options_of_the_loader_reach_it)
{
    static const option_case cases[] = {
        {"--no-crop", {U32(loader.augment, AN_AUGMENT_MIRROR | AN_AUGMENT_COLOUR)}},
        {"--no-mirror", {U32(loader.augment, AN_AUGMENT_CROP | AN_AUGMENT_COLOUR)}},
        {"--no-crop --no-mirror", {U32(loader.augment, AN_AUGMENT_COLOUR)}},
        {"--crop-group 4", {U32(loader.crop_group, 4)}},
        {"--colour 0.5", {F32(loader.colour_sigma, 0.5)}},
        {"--colour 0",
         {U32(loader.augment, AN_AUGMENT_CROP | AN_AUGMENT_MIRROR),
          F32(loader.colour_sigma, 0)}},
        {"--colour-rule eigenvalue", {U32(loader.colour_rule, AN_COLOUR_EIGENVALUE)}},
        {"--colour-rule deviation", {{0, NO_SETTING, 0}}},
        {"--colour-divisor 1.5", {F32(loader.colour_divisor, 1.5)}},
        {"--workers 3", {{0, NO_SETTING, 0}}},
    };

    EXPECT_OPTIONS(cases);
}
END_TEST

START_TEST(options_of_the_trainer_reach_it)
{
    static const option_case cases[] = {
        {"--batch 16", {U32(trainer.batch, 16), U32(loader.batch, 16)}},
        {"--micro-batch 3", {U32(trainer.micro_batch, 3)}},
        {"--micro-batch 8", {{0, NO_SETTING, 0}}},
        {"--momentum 0.5", {F32(trainer.momentum, 0.5)}},
        {"--momentum 0", {F32(trainer.momentum, 0)}},
        {"--decay 0.25",
         {F32(trainer.weight_decay, 0.25), F32(trainer.bias_decay, 0.25)}},
        {"--decay 0", {F32(trainer.weight_decay, 0), F32(trainer.bias_decay, 0)}},
        {"--lr 0.02",
         {F32(trainer.rate, 0.02), F32(trainer.bias_rate, 0.02),
          F32(changes[0].rate, 2e-3), F32(changes[0].bias_rate, 2e-3),
          F32(changes[1].rate, 2e-4), F32(changes[1].bias_rate, 2e-4)}},
        {"--drop-at none", {U32(change_count, 0)}},
        {"--plateau 3", {U32(trainer.plateau_drops, 3), U32(change_count, 0)}},
        {"--epochs 20",
         {U32(epochs, 20), U32(changes[0].epoch, 15), U32(changes[1].epoch, 18)}},
        {"--seed 5", {U64(model.seed, 5), U64(trainer.seed, 5), U64(loader.seed, 5)}},
        {"--seed 1e15",
         {U64(model.seed, 1e15), U64(trainer.seed, 1e15), U64(loader.seed, 1e15)}},
        {"--seed 0", {U64(model.seed, 0), U64(trainer.seed, 0), U64(loader.seed, 0)}},
    };

    EXPECT_OPTIONS(cases);
}
END_TEST

/* Pieces give the same step but for the order of its sums. */
START_TEST(pieces_of_a_batch_give_the_same_step)
{
    float *whole, *pieces;
    size_t count, other;
    opened o;

    program_succeeds(NULL, "train " TINY " --steps 2 --out whole data");
    program_succeeds(NULL, "train " TINY " --steps 2 --micro-batch 3 --out pieces data");
    o = checkpoint_open("whole");
    whole = parameters_of(o.model, &count);
    checkpoint_close(&o);
    o = checkpoint_open("pieces");
    pieces = parameters_of(o.model, &other);
    checkpoint_close(&o);
    expect_count(other, count, "parameters");
    /* Sums of some hundred floats, in another order. */
    expect_floats(pieces, whole, count, 1e-5, "two steps in pieces of 3 and of 8");
    free(whole);
    free(pieces);
}
END_TEST

/* --- where it computes ------------------------------------------------------------- */

START_TEST(the_processors_path_and_threads_reach_the_context)
{
    static const option_case cases[] = {
        {"--cpu-path reference", {U32(context.cpu_path, AN_CPU_PATH_REFERENCE)}},
        {"--device cpu", {{0, NO_SETTING, 0}}},
        {"--precision tf32", {{0, NO_SETTING, 0}}},
        {"--precision tf32x3", {{0, NO_SETTING, 0}}},
        {"--precision fp32", {{0, NO_SETTING, 0}}},
        {"--threads 2", {{0, NO_SETTING, 0}}},
    };
    an_context_config config;
    an_context *ctx;
    char *out, words[32];
    uint32_t path;

    an_context_config_init(&config, sizeof config);
    config.cpu_path = AN_CPU_PATH_AVX2;
    if (an_context_create(&ctx, &config) == AN_OK) { /* else there is one path alone */
        an_context_destroy(ctx);
        EXPECT_OPTIONS(cases);
    }
    for (path = AN_CPU_PATH_AVX2; path <= AN_CPU_PATH_AVX512; path++) {
        const char *name = path == AN_CPU_PATH_AVX2 ? "avx2" : "avx512";
        said s = run_program("train " TINY " --steps 1 --cpu-path %s --out %s data", name,
                             name);

        config.cpu_path = path;
        if (an_context_create(&ctx, &config) == AN_OK) {
            expect_count(s.code, 0, "--cpu-path %s: %s", name, s.err);
            an_context_destroy(ctx);
        } else {
            expect_count(s.code, 1, "--cpu-path %s", name);
            ck_assert_msg(strstr(s.err, an_error_message()) != NULL, "%s: %s", name,
                          s.err);
        }
        said_free(&s);
    }
    program_succeeds(&out, "train " TINY " --threads 3 --steps 1 --out a data");
    expect_count(times_in(out, ", 3 threads\n"), 1, "--threads 3: %s", out);
    free(out);
    expect_ok(an_context_create(&ctx, NULL));
    snprintf(words, sizeof words, ", %u threads\n", an_context_threads(ctx));
    an_context_destroy(ctx);
    program_succeeds(&out, "train " TINY " --threads 0 --steps 1 --out b data");
    expect_count(times_in(out, words), 1, "all processors,%s: %s", words, out);
    free(out);
}
END_TEST

/* bfloat16 is for inferring of few images: of those that are held out. Their loss is
 * another one in its fourth digit, where the processor's path has bfloat16 at all; what
 * trains is the same. A run that goes on is told again. */
START_TEST(bfloat16_reaches_the_look_at_what_is_held_out)
{
    plan p;
    twin t;

    plan_init(&p);
    plan_epochs(&p, 2);
    p.model.width = 1;
    p.model.precision = AN_PRECISION_BF16;
    p.steps = 5;
    twin_run(&t, &p);
    program_succeeds(NULL, "train " TINY " --width 1 --epochs 2 --steps 5 "
                           "--precision bf16 --out run data");
    expect_run(&t, "run", "--precision bf16");
    t.plan.steps = 0;
    twin_train(&t);
    program_succeeds(NULL,
                     "train --resume run --precision bf16 --threads 1 --out run data");
    expect_run(&t, "run", "--resume --precision bf16");
    twin_free(&t);
}
END_TEST

/* Two towers exchange maps, and sum in another order; a network whose normalisation reads
 * both halves cannot be split. */
START_TEST(two_towers_compute_in_halves)
{
    static const option_case cases[] = {
        {"--towers 2 --no-lrn", {U32(model.towers, 2), U32(model.lrn, AN_SWITCH_OFF)}},
        {"--device cpu,cpu --no-lrn",
         {U32(model.towers, 2), U32(model.lrn, AN_SWITCH_OFF)}},
        {"--towers 1", {{0, NO_SETTING, 0}}},
    };

    EXPECT_OPTIONS(cases);
    program_fails(1, "config.towers is 2: cifar10's",
                  "train " TINY " --towers 2 --steps 1 --out no data");
    program_succeeds(NULL, "train " TINY " --steps 1 --out run data");
    program_fails(1, "config.towers is 2: cifar10's",
                  "train --resume run --towers 2 --steps 1 --out run data");
    program_fails(1, "config.towers is 2: cifar10's",
                  "train --resume run --device cpu,cpu --steps 1 --out run data");
    program_fails(1, "nowhere", "train " TINY " --device nowhere --out no data");
    program_fails(1, "nowhere", "train --resume run --device nowhere --out run data");
}
END_TEST

Suite *setup_suite(void)
{
    Suite *suite = suite_create("setup");
    TCase *tc = tiny_case(suite, "model");

    tcase_add_test(tc, options_of_the_model_reach_it);
    tcase_add_test(tc, every_preset_is_known_by_its_name);
    tcase_add_test(tc, dropout_is_left_out_if_asked);
    tcase_add_test(tc, a_factor_reaches_the_third_convolution_and_those_above);
    tcase_add_test(tc, the_packs_colours_and_names_are_the_models);
    tc = tiny_case(suite, "loader and trainer");
    tcase_add_test(tc, options_of_the_loader_reach_it);
    tcase_add_test(tc, options_of_the_trainer_reach_it);
    tcase_add_test(tc, pieces_of_a_batch_give_the_same_step);
    tc = tiny_case(suite, "devices");
    tcase_add_test(tc, the_processors_path_and_threads_reach_the_context);
    tcase_add_test(tc, bfloat16_reaches_the_look_at_what_is_held_out);
    tcase_add_test(tc, two_towers_compute_in_halves);
    return suite;
}
