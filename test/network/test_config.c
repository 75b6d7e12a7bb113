/*
 * test_config.c - the presets against published shapes and counts; ablations.
 */
#include <check.h>
#include <string.h>

#include "alexnet.h"
#include "test.h"

static an_context *ctx;

static void setup(void)
{
    ck_assert_int_eq(an_context_create(&ctx, NULL), AN_OK);
}

static void teardown(void)
{
    an_context_destroy(ctx);
}

static void describe(const an_model_config *config, an_model_info *info,
                     an_layer_info layers[10])
{
    an_model *model = NULL;
    uint32_t i;

    ck_assert_msg(an_model_create(&model, ctx, config) == AN_OK, "%s",
                  an_error_message());
    an_model_info_init(info, sizeof *info);
    ck_assert_int_eq(an_model_describe(model, info), AN_OK);
    ck_assert_uint_le(info->layers, 10);
    for (i = 0; i < info->layers; i++) {
        an_layer_info_init(&layers[i], sizeof layers[i]);
        ck_assert_int_eq(an_layer_describe(model, i, &layers[i]), AN_OK);
    }
    an_model_destroy(model);
}

static an_model_config preset(uint32_t arch)
{
    an_model_config config;

    an_model_config_init(&config, sizeof config);
    config.arch = arch;
    return config;
}

/* Parameter counts: 60,965,224 for the paper's layer sizes (krizhevsky2012, Caffe's two),
 * 61,100,840 in torchvision's documentation, and its layer sizes are those of owt2014.
 * sizes: maps and side of each convolution, then after its pooling. */
static const struct {
    uint32_t arch;
    const char *name;
    uint64_t parameters, multiply_adds, units;
    uint32_t conv[5][4]; /* maps, side, then maps, side handed on */
} published[] = {
    {AN_ARCH_PAPER,
     "paper",
     60965224,
     724406816,
     659272,
     {{96, 55, 96, 27},
      {256, 27, 256, 13},
      {384, 13, 384, 13},
      {384, 13, 384, 13},
      {256, 13, 256, 6}}},
    {AN_ARCH_KRIZHEVSKY2012,
     "krizhevsky2012",
     60965224,
     724406816,
     659272,
     {{96, 55, 96, 27},
      {256, 27, 256, 13},
      {384, 13, 384, 13},
      {384, 13, 384, 13},
      {256, 13, 256, 6}}},
    {AN_ARCH_FLOOR224,
     "floor224",
     49430888,
     0,
     0,
     {{96, 54, 96, 26},
      {256, 26, 256, 12},
      {384, 12, 384, 12},
      {384, 12, 384, 12},
      {256, 12, 256, 5}}},
    {AN_ARCH_CAFFE_ALEXNET,
     "caffe_alexnet",
     60965224,
     724406816,
     659272,
     {{96, 55, 96, 27},
      {256, 27, 256, 13},
      {384, 13, 384, 13},
      {384, 13, 384, 13},
      {256, 13, 256, 6}}},
    {AN_ARCH_CAFFENET,
     "caffenet",
     60965224,
     724406816,
     659272,
     {{96, 55, 96, 27},
      {256, 27, 256, 13},
      {384, 13, 384, 13},
      {384, 13, 384, 13},
      {256, 13, 256, 6}}},
    {AN_ARCH_OWT2014,
     "owt2014",
     61100840,
     714188480,
     0,
     {{64, 55, 64, 27},
      {192, 27, 192, 13},
      {384, 13, 384, 13},
      {256, 13, 256, 13},
      {256, 13, 256, 6}}},
    {AN_ARCH_TORCHVISION,
     "torchvision",
     61100840,
     714188480,
     0,
     {{64, 55, 64, 27},
      {192, 27, 192, 13},
      {384, 13, 384, 13},
      {256, 13, 256, 13},
      {256, 13, 256, 6}}},
};

START_TEST(presets_have_the_published_shapes)
{
    an_model_config config = preset(published[_i].arch);
    an_layer_info layers[10];
    an_model_info info;
    an_arch arch;
    int i;

    ck_assert_str_eq(an_arch_name(published[_i].arch), published[_i].name);
    ck_assert_int_eq(an_arch_find(published[_i].name, &arch), AN_OK);
    ck_assert_uint_eq(arch, published[_i].arch);
    describe(&config, &info, layers);
    ck_assert_uint_eq(info.parameter_count, published[_i].parameters);
    if (published[_i].multiply_adds > 0)
        ck_assert_uint_eq(info.multiply_adds, published[_i].multiply_adds);
    if (published[_i].units > 0) ck_assert_uint_eq(info.units, published[_i].units);
    ck_assert_uint_eq(info.layers, 8);
    for (i = 0; i < 5; i++) {
        ck_assert_uint_eq(layers[i].maps, published[_i].conv[i][0]);
        ck_assert_uint_eq(layers[i].height, published[_i].conv[i][1]);
        ck_assert_uint_eq(layers[i].width, published[_i].conv[i][1]);
        ck_assert_uint_eq(layers[i].out_maps, published[_i].conv[i][2]);
        ck_assert_uint_eq(layers[i].out_height, published[_i].conv[i][3]);
    }
    ck_assert_uint_eq(layers[5].maps, 4096);
    ck_assert_uint_eq(layers[6].maps, 4096);
    ck_assert_uint_eq(layers[7].maps, 1000);
}
END_TEST

START_TEST(input_edges_are_each_presets_own)
{
    an_model_config config = preset(AN_ARCH_PAPER);
    an_layer_info layers[10];
    an_model_info info;

    describe(&config, &info, layers); /* 224 and three columns of zeros behind */
    ck_assert_uint_eq(info.image_size, 224);
    ck_assert_uint_eq(layers[0].pad_before, 0);
    ck_assert_uint_eq(layers[0].pad_after, 3);
    config = preset(AN_ARCH_CAFFENET);
    describe(&config, &info, layers);
    ck_assert_uint_eq(info.image_size, 227);
    ck_assert_uint_eq(layers[0].pad_before + layers[0].pad_after, 0);
    config =
        preset(AN_ARCH_TORCHVISION); /* the last window ends one short of the zeros */
    describe(&config, &info, layers);
    ck_assert_uint_eq(layers[0].pad_before, 2);
    ck_assert_uint_eq(layers[0].pad_after, 1);
}
END_TEST

START_TEST(stages_are_each_presets_own)
{
    static const struct {
        uint32_t arch;
        const char *stages[8];
    } rows[] = {
        {AN_ARCH_PAPER, {"anp", "anp", "a", "a", "ap", "ad", "ad", ""}},
        {AN_ARCH_KRIZHEVSKY2012, {"npa", "anwp", "a", "a", "pa", "ad", "ad", ""}},
        {AN_ARCH_CAFFE_ALEXNET, {"anp", "anp", "a", "a", "ap", "ad", "ad", ""}},
        {AN_ARCH_CAFFENET, {"apn", "apn", "a", "a", "ap", "ad", "ad", ""}},
        {AN_ARCH_OWT2014, {"npa", "anp", "a", "a", "pa", "ad", "ad", ""}},
        {AN_ARCH_TORCHVISION, {"ap", "ap", "a", "a", "apd", "ad", "a", ""}},
    };
    size_t r;
    int i;

    for (r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        an_model_config config = preset(rows[r].arch);
        an_layer_info layers[10];
        an_model_info info;

        config.width = 0.05f;
        describe(&config, &info, layers);
        for (i = 0; i < 8; i++) ck_assert_str_eq(layers[i].stages, rows[r].stages[i]);
    }
}
END_TEST

/* The paper's figure 2: conv3 reads 13 x 13 x 128 of the other GPU, fc6 6 x 6 x 128, fc7
 * 2048, and fc8, on the first GPU alone, 2048. */
START_TEST(towers_exchange_what_figure_2_sends)
{
    an_model_config config = preset(AN_ARCH_PAPER);
    an_layer_info layers[10];
    an_model_info one, two;

    describe(&config, &one, layers);
    config.towers = 2;
    describe(&config, &two, layers);
    ck_assert_uint_eq(one.exchange_floats, 0);
    ck_assert_uint_eq(two.exchange_floats, 2 * (21632 + 4608 + 2048) + 2048);
    ck_assert_uint_eq(two.parameter_count, one.parameter_count);
    ck_assert_uint_eq(two.multiply_adds, one.multiply_adds);
}
END_TEST

START_TEST(ablations_change_what_they_say)
{
    an_model_config config = preset(AN_ARCH_KRIZHEVSKY2012);
    an_layer_info layers[10];
    an_model_info info;

    config.width = 0.05f;
    config.lrn = AN_SWITCH_OFF;
    config.dropout = AN_SWITCH_OFF;
    describe(&config, &info, layers);
    ck_assert_str_eq(layers[0].stages, "pa");
    ck_assert_str_eq(layers[1].stages, "ap");
    ck_assert_str_eq(layers[5].stages, "a");

    config = preset(AN_ARCH_TORCHVISION);
    config.width = 0.05f;
    config.lrn = AN_SWITCH_ON;
    config.pooling = AN_POOLING_PLAIN;
    describe(&config, &info, layers);
    ck_assert_str_eq(layers[0].stages, "anp");
    ck_assert_uint_eq(layers[0].out_height, 27); /* (55 - 2) / 2 + 1, rounded down */
    ck_assert_uint_eq(layers[1].out_height, 13);

    config = preset(AN_ARCH_PAPER);
    config.width = 0.5f; /* the half-size net */
    config.remove_conv = 5;
    config.classes = 17;
    describe(&config, &info, layers);
    ck_assert_uint_eq(info.layers, 7);
    ck_assert_uint_eq(layers[0].maps, 48);
    ck_assert_str_eq(layers[3].stages, "ap");
    ck_assert_str_eq(layers[4].name, "fc6");
    ck_assert_uint_eq(layers[4].in_maps, 192);
    ck_assert_uint_eq(layers[6].maps, 17);

    config = preset(AN_ARCH_PAPER);
    config.width = 0.05f;
    config.remove_conv = 2; /* its pooling comes after that of conv1 */
    describe(&config, &info, layers);
    ck_assert_str_eq(layers[0].stages, "anpp");
    ck_assert_uint_eq(layers[0].out_height, 13);

    config = preset(AN_ARCH_PAPER);
    config.extra_conv = 1;
    config.groups = 1;
    config.image_size = 256;
    config.width = 0.05f;
    describe(&config, &info, layers);
    ck_assert_uint_eq(info.layers, 9);
    ck_assert_str_eq(layers[5].name, "conv6");
    ck_assert_uint_eq(layers[5].groups, 1);
    ck_assert_uint_eq(layers[1].groups, 1);
    ck_assert_uint_eq(layers[0].height, 63); /* 1 + ceil((256 - 11) / 4) */

    config = preset(AN_ARCH_TORCHVISION);
    config.extra_conv = 1;
    config.width = 0.05f;
    describe(&config, &info, layers);
    ck_assert_str_eq(layers[4].stages, "ap"); /* the dropout stays before fc6 */
    ck_assert_str_eq(layers[5].stages, "ad");
}
END_TEST

/* What get_config() returns makes the same network again. */
START_TEST(resolved_config_makes_the_same_network)
{
    an_model_config config = preset((uint32_t)_i), resolved;
    an_model *model, *again;
    an_model_info a, b;
    uint32_t i;

    config.width = 0.05f;
    config.seed = 7;
    an_model_info_init(&a, sizeof a);
    an_model_info_init(&b, sizeof b);
    an_model_config_init(&resolved, sizeof resolved);
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    ck_assert_int_eq(an_model_get_config(model, &resolved), AN_OK);
    ck_assert_uint_ne(resolved.classes, 0);
    ck_assert_uint_ne(resolved.initialisation, 0);
    ck_assert_int_eq(an_model_create(&again, ctx, &resolved), AN_OK);
    ck_assert_int_eq(an_model_describe(model, &a), AN_OK);
    ck_assert_int_eq(an_model_describe(again, &b), AN_OK);
    ck_assert_mem_eq(&a, &b, sizeof a);
    for (i = 0; i < a.layers; i++) {
        an_layer_info la, lb;

        an_layer_info_init(&la, sizeof la);
        an_layer_info_init(&lb, sizeof lb);
        ck_assert_int_eq(an_layer_describe(model, i, &la), AN_OK);
        ck_assert_int_eq(an_layer_describe(again, i, &lb), AN_OK);
        ck_assert_mem_eq(&la, &lb, sizeof la);
    }
    an_model_destroy(model);
    an_model_destroy(again);
}
END_TEST

START_TEST(impossible_networks_are_refused_by_name)
{
    static const struct {
        uint32_t arch, image_size, towers, remove_conv, dropout, lrn;
        const char *word;
    } rows[] = {
        {AN_ARCH_PAPER, 20, 1, 0, 0, 0, "image_size"},
        {AN_ARCH_PAPER, 5, 1, 0, 0, 0, "image_size"},
        {AN_ARCH_CAFFENET, 0, 2, 0, 0, 0, "towers"},
        {AN_ARCH_CIFAR10, 0, 1, 5, 0, 0, "remove_conv"},
        {AN_ARCH_CIFAR10, 0, 1, 4, 0, 0, "remove_conv"},
        {AN_ARCH_CIFAR10, 0, 1, 0, AN_SWITCH_ON, 0, "dropout"},
    };
    an_model *model = (an_model *)&model;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        an_model_config config = preset(rows[i].arch);

        config.image_size = rows[i].image_size;
        config.towers = rows[i].towers;
        config.remove_conv = rows[i].remove_conv;
        config.dropout = rows[i].dropout;
        config.lrn = rows[i].lrn;
        ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_ERROR_ARGUMENT);
        ck_assert_ptr_eq(model, (an_model *)&model);
        ck_assert_msg(strstr(an_error_message(), rows[i].word) != NULL, "%s",
                      an_error_message());
    }
}
END_TEST

Suite *config_suite(void)
{
    Suite *suite = suite_create("config");
    TCase *tc = tcase_create("presets");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, presets_have_the_published_shapes, 0,
                        (int)(sizeof published / sizeof published[0]));
    tcase_add_test(tc, input_edges_are_each_presets_own);
    tcase_add_test(tc, stages_are_each_presets_own);
    tcase_add_test(tc, towers_exchange_what_figure_2_sends);
    tcase_add_test(tc, ablations_change_what_they_say);
    tcase_add_loop_test(tc, resolved_config_makes_the_same_network, AN_ARCH_PAPER,
                        AN_ARCH_LAST + 1);
    tcase_add_test(tc, impossible_networks_are_refused_by_name);
    suite_add_tcase(suite, tc);
    return suite;
}
