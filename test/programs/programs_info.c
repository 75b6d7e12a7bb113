/*
 * programs_info.c - info: every line of what it says of a network, a file, devices,
 * presets and recipes.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixtures.h"

/* The text begins with these lines. */
static void expect_begin(const char *text, const char *wanted, const char *what)
{
    if (strncmp(text, wanted, strlen(wanted)) != 0)
        ck_abort_msg("%s: wanted \"%s\", got \"%.*s\"", what, wanted, (int)strlen(wanted),
                     text);
}

/* docs/NETWORKS.md's table of the network, line by line; the sizes by hand: 32 maps of 5
 * x 5 x 3 weights and 32 biases are 2432 parameters, each weight used at 32 x 32
 * places. */
static const char cifar10_table[] =
    "cifar10: cifar10, 32 x 32 pixels, 10 classes, 1 tower\n"
    "\n"
    "layer  reads        kernel                 computes     hands on      parameters "
    "multiply-adds  then\n"
    "conv1  32x32x3      5x5/1 pad 2+2          32x32x32     16x16x32            2432 "
    "      2457600  activation, pool, LRN\n"
    "conv2  16x16x32     5x5/1 pad 2+2          16x16x32     8x8x32             25632 "
    "      6553600  activation, pool, LRN\n"
    "conv3  8x8x32       5x5/1 pad 2+2          8x8x64       4x4x64             51264 "
    "      3276800  activation, pool\n"
    "fc4    4x4x64       dense                  1x1x10       1x1x10             10250 "
    "        10240  \n"
    "\n"
    "parameters      89578 (0.4 MB)\n"
    "multiply-adds   12298240 an image\n"
    "units           45066\n";

/* Layers of another kind: halves, uneven edges, dropout, a norm within a map. */
static const char krizhevsky_table[] =
    "krizhevsky2012: krizhevsky2012, 224 x 224 pixels, 17 classes, 2 towers\n"
    "\n"
    "layer  reads        kernel                 computes     hands on      parameters "
    "multiply-adds  then\n"
    "conv1  224x224x3    11x11/4 pad 0+3        55x55x8      27x27x8             2912 "
    "      8784600  LRN, pool, activation\n";

START_TEST(a_preset_is_described_layer_by_layer)
{
    char *out;
    const char *at;

    program_succeeds(&out, "info --arch cifar10");
    at = strchr(out, '\n') + 1;
    ck_assert_int_eq(strncmp(out, an_build_info(), strlen(an_build_info())), 0);
    expect_begin(at, cifar10_table, "--arch cifar10");
    expect_line(out, "preprocessing   centre, short side to 32, crop 32; RGB; minus the "
                     "mean colour 125.3 123 113.9; times 0.01587 0.0161 0.01499");
    expect_line(out, "colours         deviations along their principal axes 121.8 37.09 "
                     "19.72");
    expect_no_line(out, "exchange");
    expect_no_line(out, "class names");
    expect_count(lines_of(out), 15, "lines");
    free(out);
    program_succeeds(&out, "info --arch krizhevsky2012 --width 0.083 --classes 17 "
                           "--towers 2");
    expect_begin(strchr(out, '\n') + 1, krizhevsky_table, "--arch krizhevsky2012");
    free(out);
}
END_TEST

/* All lines of a model, of what the library says of it. */
static void expect_model(const char *out, const an_model *model, const char *source)
{
    an_preprocessing p;
    an_model_info i;

    an_model_info_init(&i, sizeof i);
    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_describe(model, &i));
    expect_ok(an_model_get_preprocessing(model, &p));
    expect_line(out, "%s: %s, %u x %u pixels, %u classes, %u tower%s", source,
                an_arch_name(i.arch), i.image_size, i.image_size, i.classes, i.towers,
                i.towers == 2 ? "s" : "");
    expect_line(out, "parameters      %" PRIu64 " (%.1f MB)", i.parameter_count,
                (double)i.parameter_count * sizeof(float) / 1e6);
    expect_line(out, "multiply-adds   %" PRIu64 " an image", i.multiply_adds);
    expect_line(out, "units           %" PRIu64, i.units);
    if (i.towers == 2)
        expect_line(out, "exchange        %" PRIu64 " numbers an image, forward",
                    i.exchange_floats);
    else
        expect_no_line(out, "exchange");
    expect_line(out,
                "buffers         inference %.1f MB; training %.1f MB + %.2f MB for each "
                "further image",
                (double)i.infer_bytes / 1e6, (double)i.train_bytes / 1e6,
                (double)i.train_bytes_image / 1e6);
    expect_line(out,
                "colours         deviations along their principal axes %.4g %.4g %.4g",
                (double)p.colour_deviation[0], (double)p.colour_deviation[1],
                (double)p.colour_deviation[2]);
    expect_count(lines_of(strstr(out, "\nlayer ")), i.layers + 9u + (i.towers == 2),
                 "%s: lines from the table on, up to the colours", source);
}

/* The row of a layer, as the library describes it. */
static void expect_layer(const char *out, const an_model *model, uint32_t index)
{
    static const char *const names[] = {"activation", "LRN", "norm within", "pool",
                                        "dropout"};
    char reads[32], computes[32], hands_on[32], kernel[48] = "dense", then[160] = "";
    an_layer_info l;
    const char *stage;

    an_layer_info_init(&l, sizeof l);
    expect_ok(an_layer_describe(model, index, &l));
    sprintf(reads, "%ux%ux%u", l.in_height, l.in_width, l.in_maps);
    sprintf(computes, "%ux%ux%u", l.height, l.width, l.maps);
    sprintf(hands_on, "%ux%ux%u", l.out_height, l.out_width, l.out_maps);
    if (strncmp(l.name, "conv", 4) == 0)
        sprintf(kernel, "%ux%u/%u pad %u+%u%s", l.kernel, l.kernel, l.stride,
                l.pad_before, l.pad_after, l.groups == 2 ? " halves" : "");
    for (stage = l.stages; *stage != '\0'; stage++)
        sprintf(then + strlen(then), "%s%s", stage == l.stages ? "" : ", ",
                names[strchr("anwpd", *stage) - "anwpd"]);
    expect_line(out, "%-6s %-12s %-22s %-12s %-12s %11" PRIu64 " %13" PRIu64 "  %s",
                l.name, reads, kernel, computes, hands_on, l.parameter_count,
                l.multiply_adds, then);
}

/* Each option changes what its name says: the network is that of the same config. */
START_TEST(options_are_fields_of_the_config)
{
    static const struct {
        const char *options;
        an_model_config c; /* size, and what is not 0 */
    } cases[] = {
        {"--arch krizhevsky2012", {.arch = AN_ARCH_KRIZHEVSKY2012}},
        {"--arch torchvision --classes 9", {.arch = AN_ARCH_TORCHVISION, .classes = 9}},
        {"--image-size 115", {.arch = AN_ARCH_PAPER, .image_size = 115}},
        {"--towers 2", {.arch = AN_ARCH_PAPER, .towers = 2}},
        {"--groups 1", {.arch = AN_ARCH_PAPER, .groups = 1}},
        {"--arch caffenet --groups 2", {.arch = AN_ARCH_CAFFENET, .groups = 2}},
        {"--no-lrn", {.arch = AN_ARCH_PAPER, .lrn = AN_SWITCH_OFF}},
        {"--remove-conv 2", {.arch = AN_ARCH_PAPER, .remove_conv = 2}},
        {"--remove-conv 4", {.arch = AN_ARCH_PAPER, .remove_conv = 4}},
        {"--extra-conv", {.arch = AN_ARCH_PAPER, .extra_conv = 1}}};
    an_context *ctx = context_make();
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        an_model_config config = cases[i].c;
        an_model_info info;
        an_model *model;
        uint32_t layer;
        char *out;

        config.size = sizeof config;
        config.width = 0.1f;
        an_model_info_init(&info, sizeof info);
        expect_ok(an_model_create(&model, ctx, &config));
        expect_ok(an_model_describe(model, &info));
        program_succeeds(&out, "info --width 0.1 %s", cases[i].options);
        expect_model(out, model, an_arch_name(config.arch));
        for (layer = 0; layer < info.layers; layer++) expect_layer(out, model, layer);
        free(out);
        an_model_destroy(model);
    }
    an_context_destroy(ctx);
}
END_TEST

/* --- files ------------------------------------------------------------------------- */

START_TEST(a_file_is_described_with_its_preprocessing_and_names)
{
    static const char *const names[] = {"ant", "bee", "cow"};
    static float mean[3 * 20 * 20];
    an_context *ctx = context_make();
    an_model_config config = tiny_config(3, 1);
    an_model *model = model_make(ctx, "m", &config, 20, names);
    an_preprocessing p;
    char *out;
    size_t i;

    program_succeeds(&out, "info m");
    expect_line(out, "class names     ant, bee, cow");
    expect_line(out, "preprocessing   centre, short side to 20, crop 16; RGB; minus the "
                     "mean colour 125.3 123 113.9; times 0.01587 0.0161 0.01499");
    free(out);
    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_get_preprocessing(model, &p));
    p.fit = AN_FIT_WARP;
    p.bgr = 1;
    for (i = 0; i < 3; i++) {
        p.mean[i] = 10.5f + (float)i;
        p.scale[i] = 0.5f + (float)i;
        p.colour_deviation[i] = 3.25f - (float)i;
    }
    expect_ok(an_model_set_preprocessing(model, &p));
    for (i = 0; i < sizeof mean / sizeof mean[0]; i++) mean[i] = 100;
    expect_ok(an_model_set_mean_image(model, mean, sizeof mean / sizeof mean[0]));
    expect_ok(an_model_get_preprocessing(model, &p));
    expect_ok(an_model_save(model, inside("m")));
    program_succeeds(&out, "info m");
    expect_line(out,
                "preprocessing   both sides to 20, crop 16; BGR; minus a mean image, on "
                "average %.4g %.4g %.4g; times 0.5 1.5 2.5",
                (double)p.mean[0], (double)p.mean[1], (double)p.mean[2]);
    expect_line(out,
                "colours         deviations along their principal axes 3.25 2.25 1.25");
    expect_line(out, "class names     ant, bee, cow");
    expect_count(out[strlen(out) - 1], '\n', "the last character of: %s", out);
    free(out);
    an_model_destroy(model);
    model = model_make(ctx, "m", &config, 20, NULL); /* one name of three */
    expect_ok(an_model_set_class_name(model, 2, "cow"));
    expect_ok(an_model_save(model, inside("m")));
    program_succeeds(&out, "info m");
    expect_line(out, "class names     cow");
    free(out);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* A trainer's file is a model's as well. */
START_TEST(a_trainers_checkpoint_is_described_like_its_model)
{
    an_context *ctx = context_make();
    an_model_config config = tiny_config(3, 1);
    an_model *model = model_make(ctx, "m", &config, 20, NULL);
    an_trainer *trainer;
    char *out, *of_trainer;

    expect_ok(an_trainer_create(&trainer, model, NULL));
    expect_ok(an_trainer_save(trainer, inside("t")));
    program_succeeds(&out, "info m");
    expect_model(out, model, "m");
    program_succeeds(&of_trainer, "info t --arch paper"); /* the file has its own */
    expect_text(strchr(strstr(of_trainer, "\nt: ") + 1, ':'),
                strchr(strstr(out, "\nm: ") + 1, ':'), "but for the name");
    free(out);
    free(of_trainer);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* --- lists ------------------------------------------------------------------------- */

/* The parameters as docs/NETWORKS.md has them. */
START_TEST(the_presets_are_listed_with_their_sizes)
{
    char *out;

    program_succeeds(&out, "info --archs");
    expect_text(out,
                "preset            input   parameters  multiply-adds\n"
                "paper               224     60965224      724406816\n"
                "krizhevsky2012      224     60965224      724406816\n"
                "floor224            224     49430888      643026048\n"
                "caffe_alexnet       227     60965224      724406816\n"
                "caffenet            227     60965224      724406816\n"
                "owt2014             224     61100840      714188480\n"
                "torchvision         224     61100840      714188480\n"
                "cifar10              32        89578       12298240\n",
                "--archs");
    free(out);
}
END_TEST

START_TEST(the_recipes_are_listed_with_their_epochs)
{
    an_recipe_info r;
    uint32_t i;
    char *out;

    program_succeeds(&out, "info --recipes");
    an_recipe_info_init(&r, sizeof r);
    for (i = 0; an_recipe_describe(i, &r) == AN_OK; i++)
        expect_line(out, "%-15s %s; %u epochs", r.name, r.summary, r.epochs);
    ck_assert_uint_gt(i, 3);
    expect_count(lines_of(out), i, "lines");
    free(out);
}
END_TEST

/* The processor first; each path by its name, as the library says which are there. */
START_TEST(the_devices_are_listed_with_their_path)
{
    static const struct {
        const char *option, *said;
    } paths[] = {{"", ""},
                 {"--cpu-path reference", ", reference path"},
                 {"--cpu-path avx2", ", AVX2 path"},
                 {"--cpu-path avx512", ", AVX-512 path"}};
    uint32_t path;

    for (path = 0; path < 4; path++) {
        an_context_config config;
        an_context *ctx;
        an_device_info d;
        uint32_t count;
        char *out;

        an_context_config_init(&config, sizeof config);
        config.cpu_path = path;
        if (an_context_create(&ctx, &config) != AN_OK) { /* the processor lacks it */
            program_fails(1, "context: ", "info --devices %s", paths[path].option);
            continue;
        }
        an_device_info_init(&d, sizeof d);
        expect_ok(an_device_count(ctx, &count));
        expect_ok(an_device_describe(ctx, 0, &d));
        program_succeeds(&out, "info %s --devices", paths[path].option);
        expect_line(out, "cpu      %s, %u threads, %.1f GiB%s", d.name, d.units,
                    (double)d.memory / (1024.0 * 1024 * 1024), paths[d.cpu_path].said);
        expect_count(lines_of(out), count, "devices");
        free(out);
        an_context_destroy(ctx);
    }
}
END_TEST

/* --- for scripts ------------------------------------------------------------------- */

/* The same network as a table and as an object, of which each field's place counts. */
static const char cifar10_csv[] =
    "layer,kernel,stride,pad_before,pad_after,groups,in_maps,in_height,in_width,maps,"
    "height,width,out_maps,out_height,out_width,stages,parameters,multiply_adds\n"
    "\"conv1\",5,1,2,2,1,3,32,32,32,32,32,32,16,16,\"activation, pool, LRN\",2432,"
    "2457600\n"
    "\"conv2\",5,1,2,2,1,32,16,16,32,16,16,32,8,8,\"activation, pool, LRN\",25632,"
    "6553600\n"
    "\"conv3\",5,1,2,2,1,32,8,8,64,8,8,64,4,4,\"activation, pool\",51264,3276800\n"
    "\"fc4\",0,1,0,0,1,64,4,4,3,1,1,3,1,1,\"\",3075,3072\n";

/* Behind the buffers' sizes, which another path may have otherwise. */
static const char cifar10_json[] =
    "\"preprocessing\": {\"fit\": \"crop\", \"side\": 32, \"order\": \"RGB\", "
    "\"mean_image\": false, \"mean\": [125.300003, 123, 113.900002], \"scale\": "
    "[0.0158730168, 0.0161030591, 0.0149925044], \"colour_deviation\": [121.780098, "
    "37.0938988, 19.7208004]}, \"layers\": [{\"layer\": \"conv1\", \"kernel\": 5, "
    "\"stride\": 1, \"pad_before\": 2, \"pad_after\": 2, \"groups\": 1, \"in_maps\": 3, "
    "\"in_height\": 32, \"in_width\": 32, \"maps\": 32, \"height\": 32, \"width\": 32, "
    "\"out_maps\": 32, \"out_height\": 16, \"out_width\": 16, \"stages\": \"activation, "
    "pool, LRN\", \"parameters\": 2432, \"multiply_adds\": 2457600}, {\"layer\": "
    "\"conv2\", ";

START_TEST(a_network_is_described_for_scripts)
{
    an_context *ctx = context_make();
    static const char *const names[3] = {"ant", "the \"cow\"", NULL};
    an_model_config config;
    an_model *model;
    char *out;
    const char *at;

    program_succeeds(&out, "info --arch cifar10 --classes 3 --format csv");
    expect_text(out, cifar10_csv, "as CSV");
    free(out);
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.classes = 3;
    expect_ok(an_model_create(&model, ctx, &config));
    expect_ok(an_model_set_class_name(model, 0, names[0]));
    expect_ok(an_model_set_class_name(model, 1, names[1]));
    expect_ok(an_model_save(model, inside("m")));
    program_succeeds(&out, "info m --format=json");
    expect_begin(
        out,
        "{\"model\": {\"source\": \"m\", \"preset\": \"cifar10\", \"image_size\": "
        "32, \"classes\": 3, \"towers\": 1, \"parameters\": 82403, "
        "\"multiply_adds\": 12291072, \"units\": 45059, \"exchange_floats\": 0, "
        "\"infer_bytes\": ",
        "as JSON");
    at = strstr(out, "\"preprocessing\"");
    ck_assert_ptr_nonnull(at);
    expect_begin(at, cifar10_json, "as JSON");
    at = strstr(out, "}], \"class_names\"");
    expect_text(at, "}], \"class_names\": [\"ant\", \"the \\\"cow\\\"\", null]}\n",
                "its end");
    expect_count(lines_of(out), 1, "lines");
    free(out);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(lists_are_for_scripts_too)
{
    an_recipe_info r;
    char *out;

    an_recipe_info_init(&r, sizeof r);
    expect_ok(an_recipe_describe(1, &r));
    program_succeeds(&out, "info --archs --format csv");
    expect_begin(out,
                 "preset,input,classes,parameters,multiply_adds\n"
                 "\"paper\",224,1000,60965224,724406816\n",
                 "presets as CSV");
    expect_count(lines_of(out), AN_ARCH_LAST + 1, "a header and presets");
    free(out);
    program_succeeds(&out, "info --recipes --format json");
    expect_line(out, "{\"recipe\": \"%s\", \"summary\": \"%s\", \"epochs\": %u}", r.name,
                r.summary, r.epochs);
    free(out);
    program_succeeds(&out, "info --devices --cpu-path reference --format csv");
    expect_begin(out, "device,backend,name,units,memory,cpu_path\n\"cpu\",\"cpu\",\"",
                 "devices as CSV");
    ck_assert_ptr_nonnull(strstr(out, ",\"reference\"\n"));
    free(out);
    program_succeeds(&out, "info --devices --recipes --format json");
    expect_begin(out, "{\"device\": \"cpu\", \"backend\": \"cpu\", \"name\": ",
                 "two lists as JSON");
    ck_assert_ptr_nonnull(strstr(out, "\n{\"recipe\": "));
    free(out);
    program_fails(2, "--format csv: one list at a time",
                  "info --devices --recipes --format csv");
    program_fails(2, "--format yaml: must be text, csv or json",
                  "info --arch cifar10 --format yaml");
}
END_TEST

START_TEST(info_refuses_what_it_cannot_describe)
{
    program_fails(2, "one model at a time", "info a b");
    program_fails(1, "none: ", "info none");
    program_fails(2, "--arch: name is \"vgg\": the presets are paper, ",
                  "info --arch vgg");
    program_fails(1, "cifar10: ", "info --arch cifar10 --device other");
    program_fails(1, "cifar10: ", "info --arch cifar10 --image-size 5");
    program_fails(2, "--precision int8: must be fp32, tf32, bf16 or tf32x3",
                  "info --precision int8");
}
END_TEST

Suite *info_suite(void)
{
    Suite *suite = suite_create("info");
    TCase *tc = tcase_create("models"), *lists = tcase_create("lists");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, a_preset_is_described_layer_by_layer);
    tcase_add_test(tc, options_are_fields_of_the_config);
    tcase_add_test(tc, a_file_is_described_with_its_preprocessing_and_names);
    tcase_add_test(tc, a_network_is_described_for_scripts);
    tcase_add_test(tc, a_trainers_checkpoint_is_described_like_its_model);
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(lists, programs_setup, programs_teardown);
    tcase_add_test(lists, the_presets_are_listed_with_their_sizes);
    tcase_add_test(lists, the_recipes_are_listed_with_their_epochs);
    tcase_add_test(lists, the_devices_are_listed_with_their_path);
    tcase_add_test(lists, lists_are_for_scripts_too);
    tcase_add_test(lists, info_refuses_what_it_cannot_describe);
    suite_add_tcase(suite, lists);
    return suite;
}
