/*
 * models.c - the small models of the targets, and what is asked of every model that a
 * file or a config has made.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

void fuzz_model_config(an_model_config *config)
{
    an_model_config_init(config, sizeof *config);
    config->arch = AN_ARCH_CIFAR10;
    config->width = 0.02f;
    config->pooling = AN_POOLING_PLAIN; /* the others want larger pictures */
    config->image_size = FUZZ_SIDE;
    config->classes = FUZZ_CLASSES;
}

an_model *fuzz_model(an_context *ctx)
{
    an_model_config config;
    an_model *model;

    fuzz_model_config(&config);
    FUZZ_CALL(an_model_create(&model, ctx, &config), 0);
    return model;
}

int fuzz_decode(const uint8_t *bytes, size_t count, uint32_t side, uint8_t *pixels,
                void *user)
{
    uint32_t sum = 0;
    size_t i;

    (void)user;
    for (i = 0; i < count; i++) sum += bytes[i];
    memset(pixels, (int)(sum & 0xff), (size_t)3 * side * side);
    return count > 0 && bytes[0] == 0xff;
}

/* --- what a model says of itself --------------------------------------------------- */

static void examine_tables(const an_model *model, const an_model_info *info)
{
    uint64_t numbers = 0;
    uint32_t i, found;

    for (i = 0; i < info->layers; i++) {
        an_layer_info layer;

        an_layer_info_init(&layer, sizeof layer);
        FUZZ_CALL(an_layer_describe(model, i, &layer), 0);
        FUZZ_EXPECT(layer.out_maps > 0 && layer.out_height > 0 && layer.out_width > 0,
                    "layer %s hands on nothing", layer.name);
    }
    for (i = 0; i < info->parameters; i++) {
        an_parameter_info p;

        an_parameter_info_init(&p, sizeof p);
        FUZZ_CALL(an_parameter_describe(model, i, &p), 0);
        FUZZ_CALL(an_parameter_find(model, p.name, &found), 0);
        FUZZ_EXPECT(found == i, "%s is found at %u, not %u", p.name, found, i);
        numbers += p.count;
    }
    FUZZ_EXPECT(numbers == info->parameter_count, "parameters are not as many as said");
    for (i = 0; i < info->classes; i++) {
        const char *name = an_model_class_name(model, i);

        FUZZ_EXPECT(name == NULL || (strlen(name) <= 255 && fuzz_is_utf8(name)),
                    "the name of class %u is none", i);
    }
}

void fuzz_model_examine(an_model *model)
{
    an_model_config config;
    an_preprocessing p;
    an_model_info info;
    float *mean;
    size_t count;

    an_model_info_init(&info, sizeof info);
    FUZZ_CALL(an_model_describe(model, &info), 0);
    examine_tables(model, &info);
    an_model_config_init(&config, sizeof config);
    FUZZ_CALL(an_model_get_config(model, &config), 0);
    FUZZ_EXPECT(config.classes == info.classes && config.image_size == info.image_size,
                "config and description differ");
    an_preprocessing_init(&p, sizeof p);
    FUZZ_CALL(an_model_get_preprocessing(model, &p), 0);
    FUZZ_CALL(an_model_set_preprocessing(model, &p), 0);
    count = (size_t)3 * p.side * p.side;
    mean = p.side <= 256 ? malloc(count * sizeof *mean) : NULL;
    if (mean == NULL) return;
    if (FUZZ_CALL(an_model_get_mean_image(model, mean, count), FUZZ_MAY(STATE)) == AN_OK)
        FUZZ_CALL(an_model_set_mean_image(model, mean, count), FUZZ_MAY(MEMORY));
    free(mean);
}

/* --- what is computed with it ------------------------------------------------------ */

static void infer(an_model *model, const an_model_info *info, const an_image *image,
                  const float *input)
{
    const uint32_t may = FUZZ_MAY(MEMORY) | FUZZ_MAY(DIVERGED);
    float *p = malloc((size_t)info->classes * sizeof *p), sum = 0;
    uint32_t i;

    if (p == NULL) return;
    if (FUZZ_CALL(an_infer(model, input, 1, p, info->classes), may) == AN_OK) {
        for (i = 0; i < info->classes; i++) sum += p[i];
        FUZZ_EXPECT(fabsf(sum - 1) < 1e-3f, "probabilities sum to %g", (double)sum);
    }
    FUZZ_CALL(an_infer_images(model, image, 1, p, info->classes), may);
    FUZZ_CALL(an_infer_views(model, image, 1, 10, p, info->classes), may);
    free(p);
}

static void evaluate(an_model *model, const an_image *image, const float *input)
{
    const uint32_t may = FUZZ_MAY(MEMORY) | FUZZ_MAY(DIVERGED);
    const int32_t label = 1;
    an_evaluation evaluation;

    an_evaluation_init(&evaluation, sizeof evaluation);
    FUZZ_CALL(an_evaluate(model, input, &label, 1, &evaluation), may);
    FUZZ_CALL(an_evaluate_images(model, image, &label, 1, &evaluation), may);
    FUZZ_EXPECT(evaluation.count <= 2 && evaluation.top1 <= evaluation.top5 &&
                    evaluation.top5 <= (double)evaluation.count && evaluation.loss >= 0,
                "%g of %llu are right", evaluation.top1,
                (unsigned long long)evaluation.count);
}

/* The first layer's numbers are as many as it says. */
static void infer_layer(an_model *model, const an_image *image, const float *input)
{
    const uint32_t may = FUZZ_MAY(MEMORY);
    an_layer_info layer;
    size_t count;
    float *out;

    an_layer_info_init(&layer, sizeof layer);
    FUZZ_CALL(an_layer_describe(model, 0, &layer), 0);
    FUZZ_CALL(an_activation_count(model, layer.name, AN_POINT_OUTPUT, &count, NULL), 0);
    out = malloc(count * sizeof *out);
    if (out == NULL) return;
    FUZZ_CALL(an_infer_layer(model, input, 1, layer.name, AN_POINT_OUTPUT, out, count),
              may);
    FUZZ_CALL(
        an_infer_layer_images(model, image, 1, layer.name, AN_POINT_LINEAR, out, count),
        may | FUZZ_MAY(ARGUMENT)); /* before pooling there are more */
    free(out);
}

static void train(an_trainer *trainer, const an_image *image, const float *input)
{
    const uint32_t may = FUZZ_MAY(MEMORY) | FUZZ_MAY(DIVERGED);
    const int32_t label = 1;
    an_step_stats stats;
    an_epoch_info epoch;

    an_step_stats_init(&stats, sizeof stats);
    an_epoch_info_init(&epoch, sizeof epoch);
    FUZZ_CALL(an_train_step(trainer, input, &label, 1, &stats), may);
    FUZZ_CALL(an_trainer_end_epoch(trainer, 0.5, &epoch), 0);
    FUZZ_CALL(an_train_step_images(trainer, image, &label, 1, &stats), may);
}

void fuzz_model_use(an_model *model, an_trainer *trainer)
{
    static const uint8_t pixels[5 * 4 * 3] = {7, 200, 30, 90, 255};
    an_model_info info;
    an_image image;
    float *input;
    size_t count;

    an_model_info_init(&info, sizeof info);
    FUZZ_CALL(an_model_describe(model, &info), 0);
    if (info.multiply_adds > 2000000 || info.classes > 4096) return;
    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = 5;
    image.height = 4;
    count = (size_t)3 * info.image_size * info.image_size;
    input = calloc(count, sizeof *input);
    if (input == NULL) return;
    infer(model, &info, &image, input);
    evaluate(model, &image, input);
    infer_layer(model, &image, input);
    if (trainer != NULL) train(trainer, &image, input);
    free(input);
}
