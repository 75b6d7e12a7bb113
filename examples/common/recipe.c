/*
 * recipe.c - the choices of a training run: its options, and the model and trainer they make.
 */
#include "recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

static recipe chosen = {"paper", NULL, NULL, NULL, "",  "alexnet.safetensors",
                        NULL,    NULL, NULL, 60,   32,  1,
                        0,       1,    0,    0.01, 0.9, 0.0005,
                        1,       0.2,  0.1,  0,    0,   0,
                        0,       0};

/* Those that a checkpoint already holds are refused beside --resume. */
static option table[] = {
    {"--arch", OPTION_TEXT, &chosen.arch, 0, 0,
     "preset: alexnet-info --archs lists them (paper)", 0},
    {"--classes", OPTION_NUMBER, &chosen.classes, 2, 65536,
     "classes, if more than the folder has", 0},
    {"--width", OPTION_REAL, &chosen.width, 0.02, 4, "factor on every layer's maps (1)",
     0},
    {"--init", OPTION_TEXT, &chosen.init, 0, 0, "gaussian, fan-in or he (the preset's)",
     0},
    {"--activation", OPTION_TEXT, &chosen.activation, 0, 0, "relu, tanh or sigmoid", 0},
    {"--no-lrn", OPTION_FLAG, &chosen.no_lrn, 0, 0, "without response normalisation", 0},
    {"--no-dropout", OPTION_FLAG, &chosen.no_dropout, 0, 0, "without dropout", 0},
    {"--input-scale", OPTION_TEXT, &chosen.input_scale, 0, 0,
     "raw or unit (variance) (the preset's)", 0},
    {"--batch", OPTION_NUMBER, &chosen.batch, 1, 8192, "images of a step (32)", 0},
    {"--momentum", OPTION_REAL, &chosen.momentum, 0, 0.9999, "(0.9)", 0},
    {"--decay", OPTION_REAL, &chosen.decay, 0, 1, "weight decay (0.0005)", 0},
    {"--no-crop", OPTION_FLAG, &chosen.no_crop, 0, 0,
     "train on the centre, not on random crops", 0},
    {"--no-mirror", OPTION_FLAG, &chosen.no_mirror, 0, 0, "train without mirroring", 0},
    {"--seed", OPTION_NUMBER, &chosen.seed, 0, 1e15,
     "of initialisation, order, dropout, crops (1)", 0},
    {"--towers", OPTION_NUMBER, &chosen.towers, 1, 2, "2: computed in two halves (1)", 0},
    {"--epochs", OPTION_NUMBER, &chosen.epochs, 1, 1e6,
     "passes over the training images (60)", 0},
    {"--lr", OPTION_REAL, &chosen.rate, 0, 1000, "learning rate (0.01)", 0},
    {"--drop-at", OPTION_TEXT, &chosen.drop_at, 0, 0,
     "epochs after which it drops: 40,50", 0},
    {"--drop-factor", OPTION_REAL, &chosen.drop_factor, 1e-6, 1, "by this factor (0.1)",
     0},
    {"--val-split", OPTION_REAL, &chosen.val_split, 0, 0.5,
     "share of each class held out (0.2)", 0},
    {"--threads", OPTION_NUMBER, &chosen.threads, 0, 256, "0: all processors (0)", 0},
    {"--out", OPTION_TEXT, &chosen.out, 0, 0, "checkpoint (alexnet.safetensors)", 0},
    {"--csv", OPTION_TEXT, &chosen.csv, 0, 0, "a row for each epoch (OUT.csv)", 0},
    {"--curves", OPTION_TEXT, &chosen.curves, 0, 0, "picture of the curves (OUT.png)", 0},
    {"--resume", OPTION_TEXT, &chosen.resume, 0, 0, "go on from this checkpoint", 0},
    {NULL, OPTION_FLAG, NULL, 0, 0, NULL, 0}};
static const char *const held_by_checkpoint[] = {
    "--arch",   "--classes",    "--width",       "--init",  "--activation",
    "--no-lrn", "--no-dropout", "--input-scale", "--batch", "--momentum",
    "--decay",  "--no-crop",    "--no-mirror",   "--seed"};

recipe recipe_parse(int argc, char **argv, const char **folder)
{
    int operands = options_parse(table, argc, argv,
                                 "[options] FOLDER   (a folder of pictures "
                                 "per class, or CIFAR-10's batches)");
    size_t i;

    if (operands != 1) usage_error("one folder is wanted");
    if (chosen.input_scale != NULL && strcmp(chosen.input_scale, "raw") != 0 &&
        strcmp(chosen.input_scale, "unit") != 0)
        usage_error("--input-scale %s: must be raw or unit", chosen.input_scale);
    for (i = 0; chosen.resume != NULL &&
                i < sizeof held_by_checkpoint / sizeof held_by_checkpoint[0];
         i++)
        if (option_given(table, held_by_checkpoint[i]))
            usage_error("%s: the checkpoint has its own", held_by_checkpoint[i]);
    chosen.rate_given = option_given(table, "--lr");
    recipe_rate(&chosen, chosen.rate, 0); /* complains now about a bad --drop-at */
    *folder = argv[1];
    return chosen;
}

static uint32_t choice(const char *name, const char *text, const char *const names[])
{
    uint32_t i;

    if (text == NULL) return 0;
    for (i = 0; names[i] != NULL; i++)
        if (strcmp(text, names[i]) == 0) return i + 1;
    usage_error("%s %s: must be one of those that --help lists", name, text);
}

void recipe_colours(const recipe *r, an_model *model, const dataset *data)
{
    double mean[3], deviation[3];
    an_preprocessing p;
    int c, unit;

    an_preprocessing_init(&p, sizeof p);
    an_model_get_preprocessing(model, &p);
    unit = r->input_scale != NULL ? strcmp(r->input_scale, "unit") == 0 : p.scale[0] != 1;
    dataset_colours(data, mean, deviation);
    for (c = 0; c < 3; c++) {
        p.mean[c] = (float)mean[c];
        p.scale[c] = unit ? (float)(1 / deviation[c]) : 1;
    }
    if (an_model_set_preprocessing(model, &p) != AN_OK) fail("preprocessing");
}

an_model *recipe_model(const recipe *r, an_context *ctx, uint32_t classes)
{
    static const char *const inits[] = {"gaussian", "fan-in", "he", NULL};
    static const char *const activations[] = {"relu", "tanh", "sigmoid", NULL};
    an_model_config c;
    an_model *model;

    an_model_config_init(&c, sizeof c);
    c.arch = an_arch_find(r->arch);
    if (c.arch == 0) usage_error("--arch %s: no such preset", r->arch);
    c.classes = classes;
    c.width = (float)r->width;
    c.initialisation = choice("--init", r->init, inits);
    c.activation = choice("--activation", r->activation, activations);
    c.lrn = r->no_lrn ? AN_SWITCH_OFF : AN_SWITCH_PRESET;
    c.dropout = r->no_dropout ? AN_SWITCH_OFF : AN_SWITCH_PRESET;
    c.towers = (uint32_t)r->towers;
    c.seed = r->seed;
    if (an_model_create(&model, ctx, &c) != AN_OK) fail("model");
    return model;
}

an_trainer *recipe_trainer(const recipe *r, an_model *model)
{
    an_trainer_config c;
    an_trainer *trainer;

    an_trainer_config_init(&c, sizeof c);
    c.batch = (uint32_t)r->batch;
    c.augment =
        (r->no_crop ? 0u : AN_AUGMENT_CROP) | (r->no_mirror ? 0u : AN_AUGMENT_MIRROR);
    c.rate = (float)r->rate;
    c.momentum = (float)r->momentum;
    c.weight_decay = (float)r->decay;
    c.seed = r->seed;
    if (an_trainer_create(&trainer, model, &c) != AN_OK) fail("trainer");
    return trainer;
}

uint32_t recipe_held_out_every(const recipe *r)
{
    return r->val_split > 0 ? (uint32_t)(1 / r->val_split + 0.5) : 0;
}

/* Dropped once for each number of --drop-at that the run is past. */
double recipe_rate(const recipe *r, double first, uint32_t epoch)
{
    const char *text = r->drop_at;

    while (*text != '\0') {
        char *end;
        unsigned long drop = strtoul(text, &end, 10);

        if (end == text || (*end != ',' && *end != '\0'))
            usage_error("--drop-at %s: must be numbers with commas", r->drop_at);
        if (epoch >= drop) first *= r->drop_factor;
        text = *end == ',' ? end + 1 : end;
    }
    return first;
}

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

void recipe_order(const recipe *r, uint32_t *order, uint32_t count, uint32_t epoch)
{
    uint64_t state = r->seed * 0x9E3779B97F4A7C15u + epoch;
    uint32_t i;

    for (i = 0; i < count; i++) order[i] = i;
    for (i = count; i > 1; i--) {
        uint32_t other = (uint32_t)(next_random(&state) % i), was = order[i - 1];

        order[i - 1] = order[other];
        order[other] = was;
    }
}

void recipe_print_resume(const recipe *r, const char *program, const char *folder)
{
    printf("  %s --resume %s --out %s --epochs %lu --val-split %g", program, r->out,
           r->out, r->epochs, r->val_split);
    if (*r->drop_at != '\0')
        printf(" --drop-at %s --drop-factor %g", r->drop_at, r->drop_factor);
    if (r->towers != 1) printf(" --towers %lu", r->towers);
    if (r->csv != NULL) printf(" --csv %s", r->csv);
    if (r->curves != NULL) printf(" --curves %s", r->curves);
    printf(" %s\n", folder);
}
