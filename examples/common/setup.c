/*
 * setup.c - from options to model, trainer and loader.
 */
#include "setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "progress.h"

static setup chosen;

/* Those that a checkpoint already holds are refused beside --resume. */
static option table[] = {
    TEXT_OPTION("--recipe", &chosen.recipe,
                "krizhevsky2012, paper, fine-tune or small-data (small-data); what "
                "follows differs"),
    TEXT_OPTION("--arch", &chosen.arch, "preset: alexnet-info --archs lists them"),
    REAL_OPTION("--width", &chosen.width, 0.02, 4, "factor on every layer's maps"),
    NUMBER_OPTION("--image-size", &chosen.image_size, 8, 1024, "side of the crops"),
    TEXT_OPTION("--init", &chosen.init, "gaussian, fan-in or he"),
    REAL_OPTION("--init-factor", &chosen.init_factor, 0.001, 1000,
                "on the initial weights of conv3 and the convolutions above it"),
    TEXT_OPTION("--activation", &chosen.activation, "relu, tanh or sigmoid"),
    TEXT_OPTION("--pooling", &chosen.pooling, "overlapping or plain"),
    NUMBER_OPTION("--groups", &chosen.groups, 1, 2,
                  "1: layers read all maps; 2: conv2, conv4 and conv5 their own half"),
    FLAG_OPTION("--no-lrn", &chosen.no_lrn, "without response normalisation"),
    FLAG_OPTION("--no-dropout", &chosen.no_dropout, "without dropout"),
    NUMBER_OPTION("--remove-conv", &chosen.remove_conv, 2, 5, "without this one"),
    FLAG_OPTION("--extra-conv", &chosen.extra_conv, "with a sixth"),
    NUMBER_OPTION("--classes", &chosen.classes, 2, 65536, "if more than the pack's"),
    TEXT_OPTION("--from", &chosen.from,
                "begin with this model's parameters; the last layer's only if the "
                "classes are the "
                "same"),
    TEXT_OPTION("--input-scale", &chosen.input_scale, "raw or unit (variance)"),
    FLAG_OPTION("--mean-image", &chosen.mean_image,
                "subtract the mean image, not the mean colour"),
    NUMBER_OPTION("--batch", &chosen.batch, 1, 8192, "images of a step"),
    NUMBER_OPTION("--micro-batch", &chosen.micro_batch, 1, 8192,
                  "of them computed at a time: less memory"),
    REAL_OPTION("--momentum", &chosen.momentum, 0, 0.9999, "of the velocities"),
    REAL_OPTION("--decay", &chosen.decay, 0, 1, "weight decay"),
    REAL_OPTION("--lr", &chosen.rate, 0, 1000, "first learning rate"),
    TEXT_OPTION(
        "--drop-at", &chosen.drop_at,
        "epochs after which all rates drop, in place of the recipe's changes: 40,50; "
        "\"none\": "
        "never"),
    REAL_OPTION("--drop-factor", &chosen.drop_factor, 1e-6, 1, "by this factor (0.1)"),
    NUMBER_OPTION("--plateau", &chosen.plateau, 1, 20,
                  "likewise, but when the held-out error stops falling, so often"),
    TEXT_OPTION("--freeze", &chosen.freeze, "layers that stay: conv1,conv2"),
    FLAG_OPTION("--no-crop", &chosen.no_crop, "the centre, no random crops"),
    FLAG_OPTION("--no-mirror", &chosen.no_mirror, "without mirroring"),
    NUMBER_OPTION("--crop-group", &chosen.crop_group, 1, 8192,
                  "images that share crop and mirror (32 in 2012)"),
    REAL_OPTION("--colour", &chosen.colour, 0, 10, "sigma of the colour noise, 0: none"),
    TEXT_OPTION("--colour-rule", &chosen.colour_rule, "deviation or eigenvalue"),
    REAL_OPTION("--colour-divisor", &chosen.colour_divisor, 0.1, 10,
                "of the image with its noise (1.1 in 2012)"),
    NUMBER_OPTION("--seed", &chosen.seed, 0, 1e15,
                  "of initialisation, order, dropout, crops, colours (1)"),
    NUMBER_OPTION("--epochs", &chosen.epochs, 1, 1e6,
                  "passes over the pictures, to which the recipe's schedule is fitted; "
                  "with --resume another number of them, at the rates that stand"),
    NUMBER_OPTION("--steps", &chosen.steps, 1, 1e9, "stop after so many in all"),
    REAL_OPTION("--until-error", &chosen.until_error, 0, 1,
                "stop after the epoch whose training error is at most this"),
    TEXT_OPTION("--val", &chosen.val, "pack that is held out (FOLDER/val)"),
    FLAG_OPTION("--no-evaluation", &chosen.no_evaluation,
                "do not look at it after each epoch"),
    NUMBER_OPTION("--towers", &chosen.towers, 1, 2, "2: computed in two halves (1)"),
    DEVICE_OPTIONS(chosen.device),
    NUMBER_OPTION("--threads", &chosen.threads, 0, 256, "0: all processors (0)"),
    NUMBER_OPTION("--workers", &chosen.workers, 1, 256, "threads of the loader (1)"),
    TEXT_OPTION("--out", &chosen.out,
                "checkpoint (alexnet.safetensors, or the one that is resumed)"),
    TEXT_OPTION("--keep-best", &chosen.best,
                "the model of the epoch that is best on what is held out"),
    TEXT_OPTION("--export", &chosen.export_to,
                "the model at the end, without what training goes on from"),
    NUMBER_OPTION("--save-every", &chosen.save_every, 1, 1e6,
                  "seconds; after each epoch besides (300)"),
    TEXT_OPTION("--csv", &chosen.csv, "a row for each epoch (OUT.csv)"),
    TEXT_OPTION("--curves", &chosen.curves, "picture of the curves (OUT.png)"),
    TEXT_OPTION("--resume", &chosen.resume, "go on from this checkpoint"),
    PROGRESS_OPTION,
    OPTIONS_END};

/* The first of the table that does not belong to the checkpoint. */
#define FIRST_FREE "--steps"

static int given(const char *name)
{
    return option_given(table, name);
}

void setup_print_free(void)
{
    const option *o = table;

    while (strcmp(o->name, FIRST_FREE) != 0) o++;
    for (; o->name != NULL; o++)
        if (o->given && strcmp(o->name, "--out") != 0 && strcmp(o->name, "--resume") != 0)
            option_print_given(o);
}

setup setup_parse(int argc, char **argv, const char **folder)
{
    int operands;
    size_t i;

    chosen.recipe = "small-data";
    chosen.out = "alexnet.safetensors";
    chosen.drop_factor = 0.1;
    chosen.seed = 1;
    chosen.towers = chosen.workers = 1;
    chosen.save_every = 300;
    chosen.until_error = -1;
    operands = options_parse(table, argc, argv,
                             "[options] FOLDER   (a pack, or one with train and val)");
    if (operands != 1) usage_error("one folder is wanted");
    for (i = 0; chosen.resume != NULL && strcmp(table[i].name, FIRST_FREE) != 0; i++)
        if (table[i].given && strcmp(table[i].name, "--epochs") != 0)
            usage_error("%s: the checkpoint has its own", table[i].name);
    if (chosen.resume != NULL && !given("--out")) chosen.out = chosen.resume;
    if (chosen.resume == NULL && access(chosen.out, F_OK) == 0)
        usage_error("--out %s: is there already: go on with --resume, or remove it",
                    chosen.out);
    *folder = argv[1];
    return chosen;
}

/* 1, 2, ... for one of the names; 0 if there is no text. */
static uint32_t choice(const char *name, const char *text, const char *const names[])
{
    uint32_t i;

    if (text == NULL) return 0;
    for (i = 0; names[i] != NULL; i++)
        if (strcmp(text, names[i]) == 0) return i + 1;
    usage_error("%s %s: must be one of those that --help lists", name, text);
}

static an_recipe_info recipe_of(const setup *s)
{
    an_recipe_info info;
    uint32_t index;

    an_recipe_info_init(&info, sizeof info);
    if (an_recipe_find(s->recipe, &index) != AN_OK ||
        an_recipe_describe(index, &info) != AN_OK)
        fail("--recipe");
    return info;
}

/* --- model ------------------------------------------------------------------------- */

static void change_config(const setup *s, an_model_config *c)
{
    static const char *const inits[] = {"gaussian", "fan-in", "he", NULL};
    static const char *const activations[] = {"relu", "tanh", "sigmoid", NULL};
    static const char *const poolings[] = {"overlapping", "plain", NULL};

    if (s->arch != NULL && an_arch_find(s->arch, &c->arch) != AN_OK)
        usage_error("--arch: %s", an_error_message());
    if (given("--width")) c->width = (float)s->width;
    if (given("--image-size")) c->image_size = (uint32_t)s->image_size;
    if (s->init != NULL) c->initialisation = choice("--init", s->init, inits);
    if (s->activation != NULL)
        c->activation = choice("--activation", s->activation, activations);
    if (s->pooling != NULL) c->pooling = choice("--pooling", s->pooling, poolings);
    if (s->groups != 0) c->groups = (uint32_t)s->groups;
    if (s->no_lrn) c->lrn = AN_SWITCH_OFF;
    if (s->no_dropout) c->dropout = AN_SWITCH_OFF;
    if (s->remove_conv != 0) c->remove_conv = (uint32_t)s->remove_conv;
    if (s->extra_conv) c->extra_conv = 1;
    c->towers = (uint32_t)s->towers;
    device_create_config(&s->device, c);
    c->seed = s->seed;
}

/* The weights of conv3, conv4, ... times a factor: what another sigma would have made. */
static void scale_weights(an_model *model, float factor)
{
    an_parameter_info p;
    uint32_t i;

    an_parameter_info_init(&p, sizeof p);
    for (i = 0; an_parameter_describe(model, i, &p) == AN_OK; i++) {
        float *values;
        size_t j;

        if (p.dims != 4 || strcmp(p.layer, "conv3") < 0) continue;
        values = allocate(p.count * sizeof *values);
        if (an_parameter_get(model, i, values, p.count) != AN_OK) fail(p.name);
        for (j = 0; j < p.count; j++) values[j] *= factor;
        if (an_parameter_set(model, i, values, p.count) != AN_OK) fail(p.name);
        free(values);
    }
}

/* What --from's model answers is what this one is to answer. */
static int same_classes(const an_model *from, const an_model *model, uint32_t classes)
{
    uint32_t i;

    for (i = 0; i < classes; i++) {
        const char *a = an_model_class_name(from, i), *b = an_model_class_name(model, i);

        if (a == NULL || b == NULL || strcmp(a, b) != 0) return 0;
    }
    return 1;
}

static void transfer(const setup *s, an_model *model, const an_model *from)
{
    an_model_info info;
    an_layer_info last;
    uint32_t copied;

    an_model_info_init(&info, sizeof info);
    an_layer_info_init(&last, sizeof last);
    if (an_model_describe(model, &info) != AN_OK ||
        an_layer_describe(model, info.layers - 1, &last) != AN_OK ||
        an_model_transfer(model, from,
                          same_classes(from, model, info.classes) ? NULL : last.name,
                          &copied) != AN_OK)
        fail(s->from);
    printf("%u tensors of %s\n", copied, s->from);
}

an_model *setup_model(const setup *s, an_context *ctx, const an_pack *pack)
{
    an_recipe_info recipe = recipe_of(s);
    an_model_config c;
    an_pack_info info;
    an_model *model, *from = NULL;
    uint32_t unit;

    an_pack_info_init(&info, sizeof info);
    an_model_config_init(&c, sizeof c);
    if (an_pack_describe(pack, &info) != AN_OK) fail("pack");
    if (an_recipe_apply(s->recipe, 0, &c, NULL, NULL) != AN_OK) fail("--recipe");
    if (s->from == NULL && strcmp(s->recipe, "fine-tune") == 0)
        usage_error("--recipe fine-tune wants --from");
    if (s->from != NULL && (an_model_load(&from, ctx, s->from, NULL) != AN_OK ||
                            an_model_get_config(from, &c) != AN_OK))
        fail(s->from);
    change_config(s, &c);
    if (given("--classes") && s->classes < info.classes)
        usage_error("--classes %lu: the pack has %u", s->classes, info.classes);
    c.classes = given("--classes") ? (uint32_t)s->classes : info.classes;
    if (an_model_create(&model, ctx, &c) != AN_OK) fail("model");
    if (given("--init-factor")) scale_weights(model, (float)s->init_factor);
    if (s->input_scale != NULL && strcmp(s->input_scale, "raw") != 0 &&
        strcmp(s->input_scale, "unit") != 0)
        usage_error("--input-scale %s: must be raw or unit", s->input_scale);
    unit = s->input_scale != NULL ? strcmp(s->input_scale, "unit") == 0 : recipe.unit;
    if (an_pack_prepare_model(pack, model, unit,
                              (uint32_t)s->mean_image | recipe.mean_image) != AN_OK)
        fail("preprocessing");
    if (from != NULL) transfer(s, model, from);
    an_model_destroy(from);
    return model;
}

/* --- trainer ----------------------------------------------------------------------- */

enum { MOST_CHANGES = 64 };

/* The rates of a drop: the common ones, and those of layers that have their own. */
static uint32_t add_drop(const setup *s, const an_model *model, const an_trainer *trainer,
                         uint32_t epoch, float factor, an_rate_change *changes,
                         uint32_t count)
{
    an_trainer_config c;
    an_model_info info;
    uint32_t i;

    an_trainer_config_init(&c, sizeof c);
    an_model_info_init(&info, sizeof info);
    if (an_trainer_get_config(trainer, &c) != AN_OK ||
        an_model_describe(model, &info) != AN_OK)
        fail("--drop-at");
    for (i = 0; i <= info.layers; i++) {
        float rate = c.rate, bias_rate = c.bias_rate;
        an_layer_info layer;

        an_layer_info_init(&layer, sizeof layer);
        if (i > 0 &&
            (an_layer_describe(model, i - 1, &layer) != AN_OK ||
             an_trainer_get_layer_rates(trainer, layer.name, &rate, &bias_rate) != AN_OK))
            fail("--drop-at");
        if (i > 0 && rate == c.rate && bias_rate == c.bias_rate) continue;
        if (count == MOST_CHANGES)
            usage_error("--drop-at %s: at most %d changes of rates", s->drop_at,
                        MOST_CHANGES);
        an_rate_change_init(&changes[count], sizeof changes[count]);
        changes[count].epoch = epoch;
        if (i > 0) memcpy(changes[count].layer, layer.name, sizeof changes[count].layer);
        changes[count].rate = rate * factor;
        changes[count++].bias_rate = bias_rate * factor;
    }
    return count;
}

enum { MOST_EPOCHS = 1000000 }; /* as of --epochs */

static unsigned long read_epoch(const char *text, char **end)
{
    unsigned long epoch = strtoul(text, end, 10);

    if (epoch > MOST_EPOCHS) /* also of a number that is negative, or too long */
        usage_error("--drop-at %s: must be at most %d", text, MOST_EPOCHS);
    return epoch;
}

static void set_drops(const setup *s, const an_model *model, an_trainer *trainer)
{
    an_rate_change changes[MOST_CHANGES];
    const char *text = s->drop_at;
    float factor = 1;
    uint32_t count = 0;

    while (strcmp(s->drop_at, "none") != 0 && *text != '\0') {
        char *end;
        unsigned long epoch = read_epoch(text, &end);

        if (end == text || (*end != ',' && *end != '\0'))
            usage_error("--drop-at %s: must be numbers with commas", s->drop_at);
        factor *= (float)s->drop_factor;
        count = add_drop(s, model, trainer, (uint32_t)epoch, factor, changes, count);
        text = *end == ',' ? end + 1 : end;
    }
    if (an_trainer_set_schedule(trainer, changes, count) != AN_OK) fail("--drop-at");
}

static void freeze(const setup *s, an_trainer *trainer)
{
    const char *at = s->freeze;

    while (at != NULL && *at != '\0') {
        char name[16] = "";
        size_t length = strcspn(at, ",");

        if (length < sizeof name) memcpy(name, at, length);
        if (an_trainer_set_layer_rates(trainer, name, 0, 0) != AN_OK) fail("--freeze");
        at += length + (at[length] == ',');
    }
}

static void change_loader(const setup *s, an_loader_config *c)
{
    static const char *const rules[] = {"deviation", "eigenvalue", NULL};

    if (s->no_crop) c->augment &= ~(uint32_t)AN_AUGMENT_CROP;
    if (s->no_mirror) c->augment &= ~(uint32_t)AN_AUGMENT_MIRROR;
    if (given("--colour")) {
        c->colour_sigma = (float)s->colour;
        if (s->colour == 0) c->augment &= ~(uint32_t)AN_AUGMENT_COLOUR;
    }
    if (s->colour_rule != NULL)
        c->colour_rule = choice("--colour-rule", s->colour_rule, rules) - 1;
    if (given("--colour-divisor")) c->colour_divisor = (float)s->colour_divisor;
    if (given("--crop-group")) c->crop_group = (uint32_t)s->crop_group;
    c->workers = (uint32_t)s->workers;
    c->seed = s->seed;
}

an_trainer *setup_trainer(setup *s, an_model *model, an_loader_config *loader)
{
    an_recipe_info recipe = recipe_of(s);
    an_trainer_config c;
    an_trainer *trainer;

    an_trainer_config_init(&c, sizeof c);
    if (s->epochs == 0) s->epochs = recipe.epochs;
    if (an_recipe_apply(s->recipe, (uint32_t)s->epochs, NULL, &c, loader) != AN_OK)
        fail("--recipe");
    if (given("--batch")) c.batch = loader->batch = (uint32_t)s->batch;
    c.micro_batch = (uint32_t)s->micro_batch;
    if (given("--lr")) {
        c.bias_rate *= (float)s->rate / c.rate;
        c.rate = (float)s->rate;
    }
    if (given("--momentum")) c.momentum = (float)s->momentum;
    if (given("--decay")) {
        c.bias_decay = c.bias_decay > 0 ? (float)s->decay : 0;
        c.weight_decay = (float)s->decay;
    }
    if (given("--plateau")) c.plateau_drops = (uint32_t)s->plateau;
    c.seed = s->seed;
    change_loader(s, loader);
    if (an_trainer_create(&trainer, model, &c) != AN_OK) fail("trainer");
    /* The recipe's rates of layers hold from the beginning, whatever becomes of its
     * drops. */
    if (an_recipe_schedule(s->recipe, trainer, (uint32_t)s->epochs, c.rate) != AN_OK)
        fail("--recipe");
    if (s->drop_at != NULL)
        set_drops(s, model, trainer);
    else if (given("--plateau") && an_trainer_set_schedule(trainer, NULL, 0) != AN_OK)
        fail("--plateau");
    freeze(s, trainer);
    return trainer;
}
