/*
 * recipes.c - how to train, as data: one table for each recipe.
 *
 * Sources: paper - Krizhevsky, Sutskever, Hinton, NIPS 2012, sections 4 and 5; code - the
 * source code of 2012 that the Computer History Museum published: layer-params-145.cfg,
 * its comments, which log the changes made by hand, and convdata_jpeg.py.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/train.h"

AN_INIT_ZERO(an_recipe_info)

#define MAX_CHANGES 8

typedef struct change_row {
    uint32_t epoch;
    const char *layer;     /* "": all; "last": the last layer, whatever its name */
    float rate, bias_rate; /* negative: as before */
} change_row;

typedef struct recipe_row {
    const char *name, *summary;
    uint32_t arch; /* 0: as it is */
    uint32_t epochs, unit, mean_image;
    uint32_t batch;
    float rate, bias_rate, momentum, weight_decay, bias_decay;
    uint32_t plateau_drops;
    uint32_t augment, crop_group, colour_rule;
    float colour_sigma, colour_divisor;
    uint32_t colour_epochs;
    change_row changes[MAX_CHANGES + 1]; /* a null layer ends them */
} recipe_row;

#define AUGMENT_ALL (AN_AUGMENT_CROP | AN_AUGMENT_MIRROR | AN_AUGMENT_COLOUR)

/* clang-format off */
static const recipe_row rows[] = {
    /* code: weights at 0.01, dropped after 25 and 51 epochs; the first layer's to 1e-5
     * after 67, when the colour noise ends, and to nothing after 72; the others' to 1e-5
     * after 79; stopped after 91. Biases stay at 0.02 and do not decay. One crop for 32
     * images, noise by standard deviations, all divided by 1.1; the mean image's
     * centre. */
    {.name = "krizhevsky2012",
     .summary = "as the paper's network was trained: weights and biases apart, "
                "dropped by hand",
     .arch = AN_ARCH_KRIZHEVSKY2012, .mean_image = 1,
     .epochs = 91, .batch = 128, .rate = 0.01f, .bias_rate = 0.02f,
     .momentum = 0.9f, .weight_decay = 0.0005f, .bias_decay = 0,
     .augment = AUGMENT_ALL, .crop_group = 32,
     .colour_rule = AN_COLOUR_DEVIATION, .colour_sigma = 0.1f, .colour_divisor = 1.1f,
     .colour_epochs = 67,
     .changes = {{25, "", 1e-3f, -1}, {51, "", 1e-4f, -1}, {67, "conv1", 1e-5f, -1},
                 {72, "conv1", 0, -1}, {79, "", 1e-5f, -1}}},

    /* paper, 5: "equal for all layers", divided by ten when the validation error rate
     * stops improving, three times, about 90 epochs; 4.1: noise by eigenvalues. */
    {.name = "paper",
     .summary = "as the paper says: 0.01, divided by ten when the error stops falling, "
                "three times",
     .arch = AN_ARCH_PAPER, .mean_image = 1,
     .epochs = 90, .batch = 128, .rate = 0.01f, .bias_rate = 0.01f,
     .momentum = 0.9f, .weight_decay = 0.0005f, .bias_decay = 0.0005f,
     .plateau_drops = 3,
     .augment = AUGMENT_ALL, .crop_group = 1,
     .colour_rule = AN_COLOUR_EIGENVALUE, .colour_sigma = 0.1f, .colour_divisor = 1},

    /* A tenth of the rate for what is trained already, and ten times that for the last
     * layer, as Caffe's fine-tuning example has it; ours: the first convolution
     * frozen. */
    {.name = "fine-tune",
     .summary = "from a trained model to other classes: conv1 frozen, the last layer "
                "fast",
     .epochs = 20, .batch = 64, .rate = 0.001f, .bias_rate = 0.002f,
     .momentum = 0.9f, .weight_decay = 0.0005f, .bias_decay = 0,
     .augment = AUGMENT_ALL, .crop_group = 1,
     .colour_rule = AN_COLOUR_DEVIATION, .colour_sigma = 0.1f, .colour_divisor = 1,
     .changes = {{0, "conv1", 0, 0}, {0, "last", 0.01f, 0.02f},
                 {14, "", 0.0001f, 0.0002f}, {14, "last", 0.001f, 0.002f}}},

    /* Measured by this project: docs/RESULTS.md. */
    {.name = "small-data",
     .summary = "from nothing on some thousand pictures: torchvision's network, unit "
                "variance",
     .arch = AN_ARCH_TORCHVISION, .unit = 1,
     .epochs = 60, .batch = 32, .rate = 0.01f, .bias_rate = 0.01f,
     .momentum = 0.9f, .weight_decay = 0.0005f, .bias_decay = 0.0005f,
     .augment = AUGMENT_ALL, .crop_group = 1,
     .colour_rule = AN_COLOUR_DEVIATION, .colour_sigma = 0.1f, .colour_divisor = 1,
     .changes = {{45, "", 1e-3f, 1e-3f}, {55, "", 1e-4f, 1e-4f}}},
};
/* clang-format on */

#define ROWS ((uint32_t)(sizeof rows / sizeof rows[0]))

static uint32_t changes_of(const recipe_row *row)
{
    uint32_t count = 0;

    while (row->changes[count].layer != NULL) count++;
    return count;
}

static an_status row_find(const char *name, const recipe_row **out)
{
    an_list list;
    uint32_t i;

    AN_CHECK(name != NULL, "name is null");
    an__list_begin(&list);
    for (i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *out = &rows[i];
            return AN_OK;
        }
        an__list_add(&list, rows[i].name);
    }
    return an__fail(AN_ERROR_ARGUMENT, "name is \"%.40s\": the recipes are %s", name,
                    list.text);
}

an_status an_recipe_find(const char *name, uint32_t *index)
{
    AN_ENTER;
    const recipe_row *row = NULL;

    AN_CHECK(index != NULL, "index is null");
    AN_TRY(row_find(name, &row));
    *index = (uint32_t)(row - rows);
    return AN_OK;
}

an_status an_recipe_describe(uint32_t index, an_recipe_info *out)
{
    AN_ENTER;
    an_recipe_info info;

    AN_CHECK(out != NULL, "info is null");
    AN_CHECK(index < ROWS, "index is %u: there are %u recipes", index, ROWS);
    an_recipe_info_init(&info, sizeof info);
    snprintf(info.name, sizeof info.name, "%s", rows[index].name);
    snprintf(info.summary, sizeof info.summary, "%s", rows[index].summary);
    info.epochs = rows[index].epochs;
    info.changes = changes_of(&rows[index]);
    info.unit = rows[index].unit;
    info.mean_image = rows[index].mean_image;
    return an__struct_write(out, &info, sizeof info, sizeof info, "info");
}

/* An epoch of the row's schedule in one of `epochs`, 0 for the row's own: what comes
 * after the beginning stays after it. */
static uint32_t stretched(const recipe_row *row, uint32_t epoch, uint32_t epochs)
{
    uint64_t fitted = ((uint64_t)epoch * epochs + row->epochs / 2) / row->epochs;

    if (epoch == 0 || epochs == 0) return epoch;
    return fitted < 1 ? 1 : (uint32_t)fitted;
}

static void fill_trainer(const recipe_row *row, an_trainer_config *c)
{
    c->batch = row->batch;
    c->augment = row->augment & (AN_AUGMENT_CROP | AN_AUGMENT_MIRROR);
    c->rate = row->rate;
    c->bias_rate = row->bias_rate;
    c->momentum = row->momentum;
    c->weight_decay = row->weight_decay;
    c->bias_decay = row->bias_decay;
    c->plateau_drops = row->plateau_drops;
}

static void fill_loader(const recipe_row *row, uint32_t epochs, an_loader_config *c)
{
    c->batch = row->batch;
    c->augment = row->augment;
    c->crop_group = row->crop_group;
    c->colour_rule = row->colour_rule;
    c->colour_sigma = row->colour_sigma;
    c->colour_divisor = row->colour_divisor;
    c->colour_epochs = stretched(row, row->colour_epochs, epochs);
}

an_status an_recipe_apply(const char *name, uint32_t epochs, an_model_config *model,
                          an_trainer_config *trainer, an_loader_config *loader)
{
    AN_ENTER;
    const recipe_row *row = NULL;
    an_model_config m;
    an_trainer_config t;
    an_loader_config l;

    AN_TRY(row_find(name, &row));
    an_model_config_init(&m, sizeof m);
    an_trainer_config_init(&t, sizeof t);
    an_loader_config_init(&l, sizeof l);
    if (model != NULL) AN_TRY(an__struct_read(&m, model, sizeof m, sizeof m, "model"));
    if (trainer != NULL)
        AN_TRY(an__struct_read(&t, trainer, sizeof t, sizeof t, "trainer"));
    if (loader != NULL) AN_TRY(an__struct_read(&l, loader, sizeof l, sizeof l, "loader"));
    if (row->arch != 0) m.arch = row->arch;
    fill_trainer(row, &t);
    fill_loader(row, epochs, &l);
    /* Whoever could be read can be written. */
    if (model != NULL) AN_TRY(an__struct_write(model, &m, sizeof m, sizeof m, "model"));
    if (trainer != NULL)
        AN_TRY(an__struct_write(trainer, &t, sizeof t, sizeof t, "trainer"));
    if (loader != NULL)
        AN_TRY(an__struct_write(loader, &l, sizeof l, sizeof l, "loader"));
    return AN_OK;
}

an_status an_recipe_schedule(const char *name, an_trainer *trainer, uint32_t epochs,
                             float rate)
{
    AN_ENTER;
    an_rate_change changes[MAX_CHANGES];
    const recipe_row *row = NULL;
    uint32_t count, i;
    float scale;

    AN_TRY(row_find(name, &row));
    AN_TRY(an__trainer_check(trainer));
    AN_CHECK(rate >= 0 && rate <= 1000, "rate is %g: must be 0 to 1000", (double)rate);
    scale = rate > 0 ? rate / row->rate : 1;
    count = changes_of(row);
    for (i = 0; i < count; i++) {
        const change_row *from = &row->changes[i];
        const an_plan *plan = trainer->model->net.plan;
        const char *layer = strcmp(from->layer, "last") == 0
                                ? plan->layers[plan->row.layers - 1].name
                                : from->layer;

        an_rate_change_init(&changes[i], sizeof changes[i]);
        snprintf(changes[i].layer, sizeof changes[i].layer, "%s", layer);
        changes[i].epoch = stretched(row, from->epoch, epochs);
        changes[i].rate = from->rate * scale;
        changes[i].bias_rate = from->bias_rate * scale;
    }
    return an_trainer_set_schedule(trainer, changes, count);
}
