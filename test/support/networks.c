/*
 * networks.c - the networks once more: their layers and what is counted of them; and
 * cases.
 */
#include "networks.h"

#include <stdio.h>
#include <string.h>

/* --- docs/NETWORKS.md -------------------------------------------------------------- */

typedef struct preset {
    const char *name;
    uint32_t image_size, maps[5], halves;
    const char *stages[7];         /* conv1 .. conv5, fc6, fc7 */
    uint32_t edge, pad, pool_ceil; /* edge: the last window of conv1 may hang over */
    double k, alpha;
    int lrn_halves;
    double conv3_sigma, fc_sigma, bias;
    uint32_t scaling, initialisation;
} preset;

#define PAPER_MAPS                                                                       \
    {                                                                                    \
        96, 256, 384, 384, 256                                                           \
    }
#define OWT_MAPS                                                                         \
    {                                                                                    \
        64, 192, 384, 256, 256                                                           \
    }
#define TEST AN_DROPOUT_SCALING_TEST
#define TRAIN AN_DROPOUT_SCALING_TRAIN

/* clang-format off */
static const preset presets[] = {
    {"paper", 224, PAPER_MAPS, 1, {"anp", "anp", "a", "a", "ap", "ad", "ad"},
     1, 0, 0, 2, 1e-4, 1, .01, .01, 1, TEST, AN_INIT_GAUSSIAN},
    {"krizhevsky2012", 224, PAPER_MAPS, 1, {"npa", "anwp", "a", "a", "pa", "ad", "ad"},
     1, 0, 1, 2, 2e-5, 1, .03, .01, 1, TEST, AN_INIT_GAUSSIAN},
    {"floor224", 224, PAPER_MAPS, 1, {"anp", "anp", "a", "a", "ap", "ad", "ad"},
     0, 0, 0, 2, 1e-4, 1, .01, .01, 1, TEST, AN_INIT_GAUSSIAN},
    {"caffe_alexnet", 227, PAPER_MAPS, 1, {"anp", "anp", "a", "a", "ap", "ad", "ad"},
     0, 0, 1, 1, 2e-5, 0, .01, .005, .1, TRAIN, AN_INIT_GAUSSIAN},
    {"caffenet", 227, PAPER_MAPS, 1, {"apn", "apn", "a", "a", "ap", "ad", "ad"},
     0, 0, 1, 1, 2e-5, 0, .01, .005, 1, TRAIN, AN_INIT_GAUSSIAN},
    {"owt2014", 224, OWT_MAPS, 0, {"npa", "anp", "a", "a", "pa", "ad", "ad"},
     1, 0, 1, 2, 2e-5, 0, .03, .01, 1, TEST, AN_INIT_GAUSSIAN},
    {"torchvision", 224, OWT_MAPS, 0, {"ap", "ap", "a", "a", "apd", "ad", "a"},
     0, 2, 0, 0, 0, 0, .01, .01, 0, TRAIN, AN_INIT_FAN_IN},
    {"cifar10", 32, {32, 32, 64, 0, 0}, 0, {"apn", "apn", "ap", "", "", "", ""},
     0, 2, 1, 1, 5e-5, 0, .01, .01, 0, TEST, AN_INIT_HE},
};
/* clang-format on */

static const char *const torchvision_names[] = {
    "features.0",  "features.3",   "features.6",   "features.8",
    "features.10", "classifier.1", "classifier.4", "classifier.6"};

static void add_stages(net_layer *layer, const preset *p, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        net_stage *s = &layer->stage[layer->stage_count++];

        s->kind = *letters;
        if (*letters == 'p') {
            s->window = 3;
            s->stride = 2;
            s->ceil = p->pool_ceil;
        }
        if (*letters == 'n') {
            s->window = strcmp(p->name, "cifar10") == 0 ? 3 : 5;
            s->k = p->k;
            s->alpha = p->alpha;
            s->halves = p->lrn_halves;
        }
        if (*letters == 'w') {
            s->window = 5;
            s->k = 1;
            s->alpha = 4e-5;
        }
    }
}

static void add_layer(net *n, const preset *p, const char *name, uint32_t maps,
                      const char *letters)
{
    net_layer *layer = &n->layer[n->count];

    snprintf(layer->name, sizeof layer->name, "%s", name);
    snprintf(layer->file_name, sizeof layer->file_name, "%s",
             n->arch == AN_ARCH_TORCHVISION ? torchvision_names[n->count] : name);
    layer->is_conv = name[0] == 'c';
    layer->maps = maps;
    layer->kernel = layer->stride = layer->groups = 1;
    layer->sigma = 0.01;
    add_stages(layer, p, letters);
    n->count++;
}

/* A preset's layers before ablations. The last one's maps are the classes. */
static void preset_layers(net *n, const preset *p)
{
    static const uint32_t kernel[5] = {11, 5, 3, 3, 3}, pad[5] = {0, 2, 1, 1, 1};
    int small = n->arch == AN_ARCH_CIFAR10;
    uint32_t convs = small ? 3 : 5, i;
    char name[16];

    for (i = 0; i < convs; i++) {
        net_layer *layer = &n->layer[i];
        int second =
            i == 1 || i == 3 || i == 4; /* those that read halves, and start at 1 */

        snprintf(name, sizeof name, "conv%u", i + 1);
        add_layer(n, p, name, p->maps[i], p->stages[i]);
        layer->kernel = small ? 5 : kernel[i];
        layer->stride = small || i > 0 ? 1 : 4;
        layer->pad = small || i == 0 ? p->pad : pad[i];
        layer->ceil = p->edge && i == 0;
        layer->groups = p->halves && second ? 2 : 1;
        if (i >= 2 && !small) layer->sigma = p->conv3_sigma;
        if (second) layer->bias = p->bias;
    }
    for (i = 6; i < 8 && !small; i++) {
        snprintf(name, sizeof name, "fc%u", i);
        add_layer(n, p, name, 4096, p->stages[i - 1]);
        n->layer[i - 1].sigma = p->fc_sigma;
        n->layer[i - 1].bias = p->bias;
    }
    add_layer(n, p, small ? "fc4" : "fc8", n->classes, "");
    if (n->arch == AN_ARCH_OWT2014) n->layer[n->count - 1].bias = -7;
}

/* --- ablations --------------------------------------------------------------------- */

static int has(const net_layer *layer, char kind)
{
    uint32_t i;

    for (i = 0; i < layer->stage_count; i++)
        if (layer->stage[i].kind == kind) return 1;
    return 0;
}

static void drop_stages(net_layer *layer, const char *kinds)
{
    uint32_t i, kept = 0;

    for (i = 0; i < layer->stage_count; i++)
        if (strchr(kinds, layer->stage[i].kind) == NULL)
            layer->stage[kept++] = layer->stage[i];
    layer->stage_count = kept;
}

static void put_stage(net_layer *layer, uint32_t at, const net_stage *stage)
{
    memmove(&layer->stage[at + 1], &layer->stage[at],
            (layer->stage_count - at) * sizeof *stage);
    layer->stage[at] = *stage;
    layer->stage_count++;
}

static void switch_lrn(net *n, uint32_t lrn)
{
    static const net_stage papers = {'n', 5, 0, 0, 2, 1e-4, 0};
    uint32_t i;

    for (i = 0; i < n->count && lrn == AN_SWITCH_OFF; i++)
        drop_stages(&n->layer[i], "nw");
    for (i = 0; i < 2 && lrn == AN_SWITCH_ON; i++)
        if (!has(&n->layer[i], 'n')) put_stage(&n->layer[i], 1, &papers); /* behind "a" */
}

static void set_groups(net *n, uint32_t groups)
{
    uint32_t i, j;

    for (i = 0; i < n->count && groups != 0; i++) {
        net_layer *layer = &n->layer[i];

        for (j = 0; j < layer->stage_count && groups == 1; j++)
            layer->stage[j].halves = 0;
        if (groups == 1) layer->groups = 1;
        if (groups == 2 &&
            (strcmp(layer->name, "conv2") == 0 || strcmp(layer->name, "conv4") == 0 ||
             strcmp(layer->name, "conv5") == 0))
            layer->groups = 2;
    }
}

static void remove_conv(net *n, uint32_t number)
{
    net_layer *gone = &n->layer[number - 1], *before = gone - 1;
    uint32_t i;

    for (i = 0; i < gone->stage_count; i++)
        if (gone->stage[i].kind == 'p' || gone->stage[i].kind == 'd')
            put_stage(before, before->stage_count, &gone->stage[i]);
    memmove(gone, gone + 1, (n->count - number) * sizeof *gone);
    n->count--;
}

static void add_conv(net *n)
{
    static const net_stage activation = {.kind = 'a'}, dropout = {.kind = 'd'};
    uint32_t at = 0;
    net_layer *last, *extra;
    int drops;

    while (n->layer[at].is_conv) at++;
    memmove(&n->layer[at + 1], &n->layer[at], (n->count - at) * sizeof *extra);
    n->count++;
    last = &n->layer[at - 1], extra = &n->layer[at];
    drops = has(last, 'd');
    *extra = *last;
    drop_stages(last, "d");
    snprintf(extra->name, sizeof extra->name, "conv%d", last->name[4] - '0' + 1);
    memcpy(extra->file_name, extra->name, sizeof extra->name);
    extra->kernel = 3;
    extra->stride = extra->pad = 1;
    extra->ceil = extra->stage_count = 0;
    put_stage(extra, 0, &activation);
    if (drops) put_stage(extra, 1, &dropout);
}

static void set_pooling(net *n, uint32_t pooling)
{
    uint32_t i, j;

    for (i = 0; i < n->count && pooling == AN_POOLING_PLAIN; i++)
        for (j = 0; j < n->layer[i].stage_count; j++)
            if (n->layer[i].stage[j].kind == 'p') n->layer[i].stage[j].window = 2;
}

/* Sides, and what a layer reads; 0: a window does not fit. */
uint32_t net_places(uint32_t side, uint32_t window, uint32_t stride, uint32_t ceil)
{
    if (side < window) return 0;
    return (side - window + (ceil != 0 ? stride - 1 : 0)) / stride + 1;
}

static int set_sizes(net *n)
{
    uint32_t maps = 3, side = n->image_size, i, j;

    for (i = 0; i < n->count; i++) {
        net_layer *l = &n->layer[i];
        uint32_t padded = side + 2 * l->pad, covered;

        l->in_maps = maps;
        l->in_side = side;
        l->side = l->is_conv ? net_places(padded, l->kernel, l->stride, l->ceil) : 1;
        if (l->side == 0) return 0;
        covered = l->stride * (l->side - 1) + l->kernel;
        if (l->is_conv && covered > l->pad + side) l->pad_after = covered - l->pad - side;
        l->inputs = l->is_conv ? (uint64_t)maps / l->groups * l->kernel * l->kernel
                               : (uint64_t)maps * side * side;
        l->weights = l->inputs * l->maps;
        maps = l->maps;
        side = l->side;
        for (j = 0; j < l->stage_count; j++)
            if (l->stage[j].kind == 'p')
                side = net_places(side, l->stage[j].window, l->stage[j].stride,
                                  l->stage[j].ceil);
        if (side == 0) return 0;
        l->out_side = side;
    }
    return 1;
}

static int is_possible(const net *n, const an_model_config *c)
{
    uint32_t i, j, drops = 0;

    for (i = 0; i < n->count; i++) {
        drops += (uint32_t)has(&n->layer[i], 'd');
        for (j = 0; j < n->layer[i].stage_count; j++)
            if (c->towers == 2 && n->layer[i].stage[j].kind == 'n' &&
                !n->layer[i].stage[j].halves)
                return 0;
    }
    return c->dropout != AN_SWITCH_ON || drops > 0;
}

int net_of(net *n, const an_model_config *c)
{
    const preset *p = &presets[c->arch - 1];
    uint32_t convs = c->arch == AN_ARCH_CIFAR10 ? 3 : 5, i;

    memset(n, 0, sizeof *n);
    n->arch = c->arch;
    n->image_size = c->image_size != 0 ? c->image_size : p->image_size;
    n->classes = c->classes != 0 ? c->classes : convs == 3 ? 10 : 1000;
    n->activation = c->activation != 0 ? c->activation : AN_ACTIVATION_RELU;
    n->initialisation = c->initialisation != 0 ? c->initialisation : p->initialisation;
    n->scaling = c->dropout_scaling != 0 ? c->dropout_scaling : p->scaling;
    n->dropout_rate = c->dropout_rate > 0 ? (double)c->dropout_rate : 0.5;
    n->towers = c->towers != 0 ? c->towers : 1;
    preset_layers(n, p);
    set_groups(n, c->groups);
    switch_lrn(n, c->lrn);
    for (i = 0; i < n->count && c->dropout == AN_SWITCH_OFF; i++)
        drop_stages(&n->layer[i], "d");
    set_pooling(n, c->pooling);
    if (c->remove_conv > convs) return 0;
    if (c->remove_conv != 0) remove_conv(n, c->remove_conv);
    if (c->extra_conv) add_conv(n);
    for (i = 0; i + 1 < n->count; i++) {
        double width = c->width > 0 ? (double)c->width : 1;
        long fours = (long)(n->layer[i].maps * width / 4 + 0.5);

        n->layer[i].maps = fours < 1 ? 4 : 4 * (uint32_t)fours;
    }
    return set_sizes(n) && is_possible(n, c);
}

/* --- totals ------------------------------------------------------------------------ */

uint64_t net_parameter_count(const net *n)
{
    uint64_t sum = 0;
    uint32_t i;

    for (i = 0; i < n->count; i++) sum += n->layer[i].weights + n->layer[i].maps;
    return sum;
}

uint64_t net_multiply_adds(const net *n)
{
    uint64_t sum = 0;
    uint32_t i;

    for (i = 0; i < n->count; i++)
        sum += n->layer[i].weights * n->layer[i].side * n->layer[i].side;
    return sum;
}

uint64_t net_units(const net *n)
{
    uint64_t sum = 0;
    uint32_t i;

    for (i = 0; i < n->count; i++)
        sum += (uint64_t)n->layer[i].maps * n->layer[i].side * n->layer[i].side;
    return sum;
}

/* A layer that reads both halves gets the one that its tower has not: each tower half of
 * the maps, and the last layer, on tower 0 alone, so too. The image is there on both. */
uint64_t net_exchange_floats(const net *n)
{
    uint64_t sum = 0;
    uint32_t i;

    for (i = 1; i < n->count && n->towers == 2; i++) {
        const net_layer *l = &n->layer[i];
        uint64_t half = (uint64_t)l->in_maps / 2 * l->in_side * l->in_side;

        if (l->groups == 1) sum += i + 1 == n->count ? half : 2 * half;
    }
    return sum;
}

void net_stage_letters(const net_layer *layer, char letters[24])
{
    uint32_t i;

    for (i = 0; i < layer->stage_count; i++) letters[i] = layer->stage[i].kind;
    letters[i] = '\0';
}

/* --- cases ------------------------------------------------------------------------- */

#define ON AN_SWITCH_ON
#define OFF AN_SWITCH_OFF

static const struct {
    const char *what;
    uint32_t activation, lrn, pooling, dropout, scaling;
    float rate;
    uint32_t groups, towers, remove, extra, classes;
    int wider, larger;
} changes[NET_CHANGES] = {
    {.what = "as it is"},
    {.what = "no LRN", .lrn = OFF},
    {.what = "LRN", .lrn = ON},
    {.what = "plain pooling", .pooling = AN_POOLING_PLAIN},
    {.what = "overlapping pooling", .pooling = AN_POOLING_OVERLAPPING},
    {.what = "ReLU", .activation = AN_ACTIVATION_RELU},
    {.what = "tanh", .activation = AN_ACTIVATION_TANH},
    {.what = "sigmoid", .activation = AN_ACTIVATION_SIGMOID},
    {.what = "no dropout", .dropout = OFF},
    {.what = "dropout", .dropout = ON},
    {.what = "a quarter dropped", .rate = 0.25f},
    {.what = "scaled when testing", .scaling = TEST},
    {.what = "scaled when training", .scaling = TRAIN},
    {.what = "much dropped, scaled when training", .rate = 0.8f, .scaling = TRAIN},
    {.what = "one group", .groups = 1},
    {.what = "two groups", .groups = 2},
    {.what = "no conv2", .remove = 2},
    {.what = "no conv3", .remove = 3},
    {.what = "no conv4", .remove = 4},
    {.what = "no conv5", .remove = 5},
    {.what = "one more convolution", .extra = 1},
    {.what = "another conv5", .remove = 5, .extra = 1},
    {.what = "no conv2, one more, no dropout", .remove = 2, .extra = 1, .dropout = OFF},
    {.what = "one more, one group", .extra = 1, .groups = 1},
    {.what = "LRN, two groups", .lrn = ON, .groups = 2},
    {.what = "LRN, one group", .lrn = ON, .groups = 1},
    {.what = "LRN, no conv2", .lrn = ON, .remove = 2},
    {.what = "two towers", .towers = 2},
    {.what = "two towers, no LRN", .towers = 2, .lrn = OFF},
    {.what = "two towers of one group", .towers = 2, .groups = 1, .lrn = OFF},
    {.what = "two towers of two groups", .towers = 2, .groups = 2},
    {.what = "two towers, one more", .towers = 2, .extra = 1, .lrn = OFF},
    {.what = "two towers, no conv3", .towers = 2, .remove = 3, .lrn = OFF},
    {.what = "tanh, plain pooling, no conv5",
     .activation = AN_ACTIVATION_TANH,
     .pooling = AN_POOLING_PLAIN,
     .remove = 5},
    {.what = "two classes", .classes = 2},
    {.what = "wider", .wider = 1},
    {.what = "larger images", .larger = 1},
};

net_case net_change(uint32_t arch, uint32_t change)
{
    int small = arch == AN_ARCH_CIFAR10;
    net_case c = {changes[change].what, {0}};

    an_model_config_init(&c.config, sizeof c.config);
    c.config.arch = arch;
    c.config.activation = changes[change].activation;
    c.config.lrn = changes[change].lrn;
    c.config.pooling = changes[change].pooling;
    c.config.dropout = changes[change].dropout;
    c.config.dropout_scaling = changes[change].scaling;
    c.config.dropout_rate = changes[change].rate;
    c.config.groups = changes[change].groups;
    c.config.towers = changes[change].towers;
    c.config.remove_conv = changes[change].remove;
    c.config.extra_conv = changes[change].extra;
    c.config.classes = changes[change].classes != 0 ? changes[change].classes : 10;
    c.config.width = small ? 0.25f : 0.08f;
    if (changes[change].wider) c.config.width = small ? 0.4f : 0.11f;
    /* Little more than what the layers need; and neither the windows of conv1 nor all of
     * the poolings' end where the maps do. */
    c.config.image_size = small ? 32 : 69;
    if (changes[change].larger) c.config.image_size = small ? 37 : 90;
    c.config.initialisation = AN_INIT_FAN_IN;
    c.config.seed = 1 + change;
    return c;
}
