/*
 * arch.c - which AlexNet: every network is one table, and ablations edit a copy of it.
 *
 * Sources, by the names used below.
 *   paper       Krizhevsky, Sutskever, Hinton, NIPS 2012
 *   layers-145  the configuration file of the paper's network in the source code that the
 *               Computer History Museum published in 2025 (AlexNet-Source-Code), with
 *               layer-params-145.cfg
 *   caffe       BVLC Caffe, models/bvlc_alexnet and models/bvlc_reference_caffenet
 *   cc2         cuda-convnet2, its one-GPU ImageNet network ("one weird trick", 2014)
 *   torchvision torchvision.models.alexnet
 */
#include <math.h>
#include <string.h>

#include "network/network.h"

/* size, k, alpha, beta, per_tower. The paper's alpha, 1e-4, multiplies the sum itself; in
 * layers-145 and in Caffe it is divided by the window's size first (layer.py, lrn_layer).
 * The paper's figure 2 lets the GPUs talk in no place where this LRN could read the
 * other's maps, so its windows stay within a tower. */
#define LRN_PAPER                                                                        \
    {                                                                                    \
        5, 2, 1e-4f, 0.75f, 1                                                            \
    }
#define LRN_145                                                                          \
    {                                                                                    \
        5, 2, 1e-4f / 5, 0.75f, 1                                                        \
    }
#define LRN_CAFFE                                                                        \
    {                                                                                    \
        5, 1, 1e-4f / 5, 0.75f, 0                                                        \
    }
#define LRN_CC2                                                                          \
    {                                                                                    \
        5, 2, 1e-4f / 5, 0.75f, 0                                                        \
    }
#define LRN_SMALL                                                                        \
    {                                                                                    \
        3, 1, 5e-5f, 0.75f, 0                                                            \
    }
#define WITHIN_145                                                                       \
    {                                                                                    \
        5, 1, 1e-3f / 25, 0.75f, 0                                                       \
    } /* cnorm2: the scale is over 5 x 5 pixels */

/* Mean colour of the 2012 training set (the mean image that ships with cc2, averaged). */
#define MEAN_2012                                                                        \
    {                                                                                    \
        127.305f, 119.715f, 104.913f                                                     \
    }
#define SCALE_NONE                                                                       \
    {                                                                                    \
        1, 1, 1                                                                          \
    }

/* A layer is {name, CONV() or DENSE(), stages, ...}; what is not named, it does not
 * have. */
#define CONV(maps_, kernel_, stride_, pad_, groups_, ceil_)                              \
    AN_LAYER_CONV, maps_, kernel_, stride_, pad_, groups_, ceil_
#define DENSE(units) AN_LAYER_DENSE, units, 1, 1, 0, 1, 0
#define POOL(kernel_, stride_, ceil_)                                                    \
    .pool_kernel = kernel_, .pool_stride = stride_, .pool_ceil = ceil_
#define START(sigma_, bias_) .sigma = sigma_, .bias = bias_
#define IN_FILE(name_) .file_name = name_ /* where that is another than the name */

/* clang-format off */
static const an_arch_row rows[] = {
{ /* The text of the paper, sections 3 and 5. Its input is 224 and its first layer 55
     wide, which asks for 3 columns of zeros at the right and below, as layers-145 has
     them. */
    AN_ARCH_PAPER, "paper", 224, 1000, 256,
    AN_ACTIVATION_RELU, AN_INIT_GAUSSIAN, AN_DROPOUT_SCALING_TEST, 0.5f,
    1, 1, 0, 0, MEAN_2012, SCALE_NONE, 8, {
    {"conv1", CONV(96, 11, 4, 0, 1, 1), "anp", POOL(3, 2, 0), START(0.01f, 0),
     .lrn = LRN_PAPER},
    {"conv2", CONV(256, 5, 1, 2, 2, 1), "anp", POOL(3, 2, 0), START(0.01f, 1),
     .lrn = LRN_PAPER},
    {"conv3", CONV(384, 3, 1, 1, 1, 1), "a", START(0.01f, 0)},
    {"conv4", CONV(384, 3, 1, 1, 2, 1), "a", START(0.01f, 1)},
    {"conv5", CONV(256, 3, 1, 1, 2, 1), "ap", POOL(3, 2, 0), START(0.01f, 1)},
    {"fc6", DENSE(4096), "ad", START(0.01f, 1)},
    {"fc7", DENSE(4096), "ad", START(0.01f, 1)},
    {"fc8", DENSE(0), "", START(0.01f, 0)}}},
{ /* layers-145. Pooling there rounds up, which changes nothing on 55, 27 and 13. */
    AN_ARCH_KRIZHEVSKY2012, "krizhevsky2012", 224, 1000, 256,
    AN_ACTIVATION_RELU, AN_INIT_GAUSSIAN, AN_DROPOUT_SCALING_TEST, 0.5f,
    2, 0, 0, 0, MEAN_2012, SCALE_NONE, 8, {
    {"conv1", CONV(96, 11, 4, 0, 1, 1), "npa", POOL(3, 2, 1), START(0.01f, 0),
     .lrn = LRN_145},
    {"conv2", CONV(256, 5, 1, 2, 2, 1), "anwp", POOL(3, 2, 1), START(0.01f, 1),
     .lrn = LRN_145,
     .within = WITHIN_145},
    {"conv3", CONV(384, 3, 1, 1, 1, 1), "a", START(0.03f, 0)},
    {"conv4", CONV(384, 3, 1, 1, 2, 1), "a", START(0.03f, 1)},
    {"conv5", CONV(256, 3, 1, 1, 2, 1), "pa", POOL(3, 2, 1), START(0.03f, 1)},
    {"fc6", DENSE(4096), "ad", START(0.01f, 1)},
    {"fc7", DENSE(4096), "ad", START(0.01f, 1)},
    {"fc8", DENSE(0), "", START(0.01f, 0)}}},
{ /* The paper's layers with sizes rounded down and no zeros added at the image's edge. */
    AN_ARCH_FLOOR224, "floor224", 224, 1000, 256,
    AN_ACTIVATION_RELU, AN_INIT_GAUSSIAN, AN_DROPOUT_SCALING_TEST, 0.5f,
    1, 1, 0, 0, MEAN_2012, SCALE_NONE, 8, {
    {"conv1", CONV(96, 11, 4, 0, 1, 0), "anp", POOL(3, 2, 0), START(0.01f, 0),
     .lrn = LRN_PAPER},
    {"conv2", CONV(256, 5, 1, 2, 2, 0), "anp", POOL(3, 2, 0), START(0.01f, 1),
     .lrn = LRN_PAPER},
    {"conv3", CONV(384, 3, 1, 1, 1, 0), "a", START(0.01f, 0)},
    {"conv4", CONV(384, 3, 1, 1, 2, 0), "a", START(0.01f, 1)},
    {"conv5", CONV(256, 3, 1, 1, 2, 0), "ap", POOL(3, 2, 0), START(0.01f, 1)},
    {"fc6", DENSE(4096), "ad", START(0.01f, 1)},
    {"fc7", DENSE(4096), "ad", START(0.01f, 1)},
    {"fc8", DENSE(0), "", START(0.01f, 0)}}},
{ /* caffe, bvlc_alexnet: images in BGR, both sides scaled to 256 (create_imagenet.sh),
     minus a mean image, moved with the crop, whose average colour this is. */
    AN_ARCH_CAFFE_ALEXNET, "caffe_alexnet", 227, 1000, 256,
    AN_ACTIVATION_RELU, AN_INIT_GAUSSIAN, AN_DROPOUT_SCALING_TRAIN, 0.5f,
    2, 0, 1, 1, {123, 117, 104}, SCALE_NONE, 8, {
    {"conv1", CONV(96, 11, 4, 0, 1, 0), "anp", POOL(3, 2, 1), START(0.01f, 0),
     .lrn = LRN_CAFFE},
    {"conv2", CONV(256, 5, 1, 2, 2, 0), "anp", POOL(3, 2, 1), START(0.01f, 0.1f),
     .lrn = LRN_CAFFE},
    {"conv3", CONV(384, 3, 1, 1, 1, 0), "a", START(0.01f, 0)},
    {"conv4", CONV(384, 3, 1, 1, 2, 0), "a", START(0.01f, 0.1f)},
    {"conv5", CONV(256, 3, 1, 1, 2, 0), "ap", POOL(3, 2, 1), START(0.01f, 0.1f)},
    {"fc6", DENSE(4096), "ad", START(0.005f, 0.1f)},
    {"fc7", DENSE(4096), "ad", START(0.005f, 0.1f)},
    {"fc8", DENSE(0), "", START(0.01f, 0)}}},
{ /* caffe, bvlc_reference_caffenet. */
    AN_ARCH_CAFFENET, "caffenet", 227, 1000, 256,
    AN_ACTIVATION_RELU, AN_INIT_GAUSSIAN, AN_DROPOUT_SCALING_TRAIN, 0.5f,
    2, 0, 1, 1, {123, 117, 104}, SCALE_NONE, 8, {
    {"conv1", CONV(96, 11, 4, 0, 1, 0), "apn", POOL(3, 2, 1), START(0.01f, 0),
     .lrn = LRN_CAFFE},
    {"conv2", CONV(256, 5, 1, 2, 2, 0), "apn", POOL(3, 2, 1), START(0.01f, 1),
     .lrn = LRN_CAFFE},
    {"conv3", CONV(384, 3, 1, 1, 1, 0), "a", START(0.01f, 0)},
    {"conv4", CONV(384, 3, 1, 1, 2, 0), "a", START(0.01f, 1)},
    {"conv5", CONV(256, 3, 1, 1, 2, 0), "ap", POOL(3, 2, 1), START(0.01f, 1)},
    {"fc6", DENSE(4096), "ad", START(0.005f, 1)},
    {"fc7", DENSE(4096), "ad", START(0.005f, 1)},
    {"fc8", DENSE(0), "", START(0.01f, 0)}}},
{ /* cc2. The last bias, -7, is as there; softmax makes it nothing. */
    AN_ARCH_OWT2014, "owt2014", 224, 1000, 256,
    AN_ACTIVATION_RELU, AN_INIT_GAUSSIAN, AN_DROPOUT_SCALING_TEST, 0.5f,
    2, 0, 0, 0, MEAN_2012, SCALE_NONE, 8, {
    {"conv1", CONV(64, 11, 4, 0, 1, 1), "npa", POOL(3, 2, 1), START(0.01f, 0),
     .lrn = LRN_CC2},
    {"conv2", CONV(192, 5, 1, 2, 1, 1), "anp", POOL(3, 2, 1), START(0.01f, 1),
     .lrn = LRN_CC2},
    {"conv3", CONV(384, 3, 1, 1, 1, 1), "a", START(0.03f, 0)},
    {"conv4", CONV(256, 3, 1, 1, 1, 1), "a", START(0.03f, 1)},
    {"conv5", CONV(256, 3, 1, 1, 1, 1), "pa", POOL(3, 2, 1), START(0.03f, 1)},
    {"fc6", DENSE(4096), "ad", START(0.01f, 1)},
    {"fc7", DENSE(4096), "ad", START(0.01f, 1)},
    {"fc8", DENSE(0), "", START(0.01f, -7)}}},
{ /* torchvision. Dropout stands before fc6 and fc7, that is after pool5 and fc6. Its
     adaptive pooling to 6 x 6 is the identity at 224; at other sizes fc6 is as wide as
     the maps ask for. Mean and scale: ImageNet's, (0.485, 0.456, 0.406) and (0.229,
     0.224, 0.225) of pixels in 0..1. */
    AN_ARCH_TORCHVISION, "torchvision", 224, 1000, 256,
    AN_ACTIVATION_RELU, AN_INIT_FAN_IN, AN_DROPOUT_SCALING_TRAIN, 0.5f,
    1, 1, 0, 0, {123.675f, 116.28f, 103.53f},
    {1 / (0.229f * 255), 1 / (0.224f * 255), 1 / (0.225f * 255)}, 8, {
    {"conv1", CONV(64, 11, 4, 2, 1, 0), "ap", POOL(3, 2, 0), START(0.01f, 0),
     IN_FILE("features.0")},
    {"conv2", CONV(192, 5, 1, 2, 1, 0), "ap", POOL(3, 2, 0), START(0.01f, 0),
     IN_FILE("features.3")},
    {"conv3", CONV(384, 3, 1, 1, 1, 0), "a", START(0.01f, 0), IN_FILE("features.6")},
    {"conv4", CONV(256, 3, 1, 1, 1, 0), "a", START(0.01f, 0), IN_FILE("features.8")},
    {"conv5", CONV(256, 3, 1, 1, 1, 0), "apd", POOL(3, 2, 0), START(0.01f, 0),
     IN_FILE("features.10")},
    {"fc6", DENSE(4096), "ad", START(0.01f, 0), IN_FILE("classifier.1")},
    {"fc7", DENSE(4096), "a", START(0.01f, 0), IN_FILE("classifier.4")},
    {"fc8", DENSE(0), "", START(0.01f, 0), IN_FILE("classifier.6")}}},
{ /* Four layers for 32 x 32 images. The paper gives no table of its own; maps and kernels
     follow cuda-convnet's small CIFAR-10 networks, pooling is by maximum throughout. */
    AN_ARCH_CIFAR10, "cifar10", 32, 10, 32,
    AN_ACTIVATION_RELU, AN_INIT_HE, AN_DROPOUT_SCALING_TEST, 0.5f,
    1, 0, 0, 0, {125.3f, 123.0f, 113.9f}, {1 / 63.0f, 1 / 62.1f, 1 / 66.7f}, 4, {
    {"conv1", CONV(32, 5, 1, 2, 1, 0), "apn", POOL(3, 2, 1), START(0.01f, 0),
     .lrn = LRN_SMALL},
    {"conv2", CONV(32, 5, 1, 2, 1, 0), "apn", POOL(3, 2, 1), START(0.01f, 0),
     .lrn = LRN_SMALL},
    {"conv3", CONV(64, 5, 1, 2, 1, 0), "ap", POOL(3, 2, 1), START(0.01f, 0)},
    {"fc4", DENSE(0), "", START(0.01f, 0)}}},
};
/* clang-format on */

const an_arch_row *an__arch(uint32_t arch)
{
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].arch == arch) return &rows[i];
    return NULL;
}

const char *an_arch_name(an_arch arch)
{
    const an_arch_row *row = an__arch(arch);

    return row != NULL ? row->name : NULL;
}

an_status an_arch_find(const char *name, an_arch *arch)
{
    AN_ENTER;
    an_list list;
    size_t i;

    AN_CHECK(name != NULL, "name is null");
    AN_CHECK(arch != NULL, "arch is null");
    an__list_begin(&list);
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *arch = rows[i].arch;
            return AN_OK;
        }
        an__list_add(&list, rows[i].name);
    }
    return an__fail(AN_ERROR_ARGUMENT, "name is \"%.32s\": the presets are %s", name,
                    list.text);
}

/* --- ablations --------------------------------------------------------------------- */

static void stages_remove(char *stages, const char *which)
{
    char *to = stages;

    for (; *stages != '\0'; stages++)
        if (strchr(which, *stages) == NULL) *to++ = *stages;
    *to = '\0';
}

static void apply_lrn(an_arch_row *row, uint32_t lrn)
{
    static const an_lrn_row paper = LRN_PAPER;
    uint32_t i;

    for (i = 0; i < row->layers; i++) {
        an_layer_row *layer = &row->layer[i];
        char *activation = strchr(layer->stages, 'a');

        if (lrn == AN_SWITCH_OFF) stages_remove(layer->stages, "nw");
        if (lrn == AN_SWITCH_ON && i < 2 && strchr(layer->stages, 'n') == NULL &&
            activation != NULL) {
            memmove(activation + 2, activation + 1, strlen(activation));
            activation[1] = 'n';
            layer->lrn = paper;
            layer->lrn.per_tower = 0; /* such a preset has no halves */
        }
    }
}

static void apply_groups(an_arch_row *row, uint32_t groups)
{
    uint32_t i;

    for (i = 0; i < row->layers; i++) {
        an_layer_row *layer = &row->layer[i];

        if (groups == 1) {
            layer->groups = 1;
            layer->lrn.per_tower = 0;
        } else if (strcmp(layer->name, "conv2") == 0 ||
                   strcmp(layer->name, "conv4") == 0 ||
                   strcmp(layer->name, "conv5") == 0) {
            layer->groups = 2;
        }
    }
}

/* The layer goes; its pooling and dropout move to the end of the one before. */
static an_status apply_remove(an_arch_row *row, uint32_t which)
{
    an_layer_row *gone = &row->layer[which - 1], *before = gone - 1;
    size_t end;

    AN_CHECK(which <= row->layers && gone->kind == AN_LAYER_CONV,
             "config.remove_conv is %u: %s has no conv%u", which, row->name, which);
    stages_remove(gone->stages, "anw");
    end = strlen(before->stages);
    if (strchr(gone->stages, 'p') != NULL) {
        before->pool_kernel = gone->pool_kernel;
        before->pool_stride = gone->pool_stride;
        before->pool_ceil = gone->pool_ceil;
    }
    memcpy(before->stages + end, gone->stages, strlen(gone->stages) + 1);
    memmove(gone, gone + 1, (row->layers - which) * sizeof *gone);
    row->layers--;
    return AN_OK;
}

/* A convolution after the last one, over its pooling; a dropout that stood there (before
 * fc6) stands after the new one. The paper gives neither maps nor initialisation: they
 * are those of the layer before, as is the grouping. */
static void apply_extra(an_arch_row *row)
{
    static const char *const names[] = {"conv3", "conv4", "conv5", "conv6"};
    uint32_t at = 0, number;
    an_layer_row *extra;

    while (row->layer[at].kind == AN_LAYER_CONV) at++;
    number = (uint32_t)(row->layer[at - 1].name[4] - '0') + 1;
    memmove(&row->layer[at + 1], &row->layer[at], (row->layers - at) * sizeof *extra);
    row->layers++;
    extra = &row->layer[at];
    *extra = row->layer[at - 1];
    extra->name = extra->file_name = names[number - 3];
    extra->kernel = 3;
    extra->stride = extra->pad = 1;
    extra->ceil = 0;
    if (strchr(extra->stages, 'd') != NULL)
        memcpy(extra->stages, "ad", sizeof "ad");
    else
        memcpy(extra->stages, "a", sizeof "a");
    stages_remove(row->layer[at - 1].stages, "d");
}

/* Multiples of 4, so that each half of the maps is even. */
static uint32_t scaled(uint32_t maps, float width)
{
    double fours = floor((double)maps * (double)width / 4 + 0.5);

    return fours < 1 ? 4 : 4 * (uint32_t)fours;
}

static int has_stage(const an_arch_row *row, int stage)
{
    uint32_t i;

    for (i = 0; i < row->layers; i++)
        if (strchr(row->layer[i].stages, stage) != NULL) return 1;
    return 0;
}

static uint32_t widest_group(const an_arch_row *row)
{
    uint32_t i, groups = 1;

    for (i = 0; i < row->layers; i++)
        if (row->layer[i].groups > groups) groups = row->layer[i].groups;
    return groups;
}

an_status an__arch_apply(an_arch_row *row, an_model_config *c)
{
    uint32_t i;

    *row = *an__arch(c->arch);
    for (i = 0; i < row->layers; i++)
        if (row->layer[i].file_name == NULL) row->layer[i].file_name = row->layer[i].name;
    if (c->groups != 0) apply_groups(row, c->groups);
    apply_lrn(row, c->lrn);
    if (c->dropout == AN_SWITCH_OFF)
        for (i = 0; i < row->layers; i++) stages_remove(row->layer[i].stages, "d");
    if (c->dropout == AN_SWITCH_ON && !has_stage(row, 'd'))
        return an__fail(AN_ERROR_ARGUMENT, "config.dropout is on: %s has no place for it",
                        row->name);
    for (i = 0; i < row->layers; i++)
        if (c->pooling != AN_POOLING_PRESET && row->layer[i].pool_kernel != 0) {
            row->layer[i].pool_kernel = c->pooling == AN_POOLING_PLAIN ? 2 : 3;
            row->layer[i].pool_stride = 2;
        }
    if (c->remove_conv != 0) AN_TRY(apply_remove(row, c->remove_conv));
    if (c->extra_conv) apply_extra(row);
    if (c->width == 0) c->width = 1;
    for (i = 0; i < row->layers; i++)
        if (row->layer[i].maps != 0)
            row->layer[i].maps = scaled(row->layer[i].maps, c->width);

    if (c->classes == 0) c->classes = row->classes;
    if (c->image_size == 0) c->image_size = row->image_size;
    if (c->activation == AN_ACTIVATION_PRESET) c->activation = row->activation;
    if (c->initialisation == AN_INIT_PRESET) c->initialisation = row->initialisation;
    if (c->dropout_scaling == AN_DROPOUT_SCALING_PRESET)
        c->dropout_scaling = row->dropout_scaling;
    if (c->dropout_rate == 0) c->dropout_rate = row->dropout_rate;
    if (c->groups == 0) c->groups = widest_group(row);
    if (c->towers == 0) c->towers = 1;
    if (c->pooling == AN_POOLING_PRESET) c->pooling = AN_POOLING_OVERLAPPING;
    c->lrn = has_stage(row, 'n') || has_stage(row, 'w') ? AN_SWITCH_ON : AN_SWITCH_OFF;
    c->dropout = has_stage(row, 'd') ? AN_SWITCH_ON : AN_SWITCH_OFF;
    return AN_OK;
}
