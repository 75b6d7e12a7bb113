/*
 * classify.c - what is on these pictures, by a model: the likeliest classes, with bars.
 */
#define _POSIX_C_SOURCE 200809L
#include <alexnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/options.h"
#include "common/picture.h"
#include "common/progress.h"

static unsigned long top = 5, views = 1, threads;

static option table[] = {
    {"--top", OPTION_NUMBER, &top, 1, 100, "classes to show (5)", 0},
    {"--views", OPTION_NUMBER, &views, 1, 10,
     "1: the centre; 10: the paper's ten, averaged (1)", 0},
    {"--threads", OPTION_NUMBER, &threads, 0, 256, "0: all processors (0)", 0},
    {NULL, OPTION_FLAG, NULL, 0, 0, NULL, 0}};

static void show(const an_model *model, const float *p, uint32_t classes)
{
    char *shown = allocate(classes);
    uint32_t rank, i;
    int bar;

    memset(shown, 0, classes);
    for (rank = 0; rank < top && rank < classes; rank++) {
        const char *name;
        uint32_t best = classes;

        for (i = 0; i < classes; i++)
            if (!shown[i] && (best == classes || p[i] > p[best])) best = i;
        shown[best] = 1;
        name = an_model_class_name(model, best);
        printf("  %5.1f %%  ", 100 * (double)p[best]);
        for (bar = 0; bar < 30; bar++)
            putchar((double)p[best] * 30 > bar + 0.5 ? '#' : '.');
        if (name != NULL)
            printf("  %s\n", name);
        else
            printf("  class %u\n", best);
    }
    free(shown);
}

/* Probabilities of one picture, averaged over its views; seconds they took. */
static double classify(an_model *model, const an_image *image, const an_model_info *info,
                       float *mean)
{
    size_t numbers = (size_t)3 * info->image_size * info->image_size;
    float *input = allocate(views * numbers * sizeof *input);
    float *p = allocate(views * info->classes * sizeof *p);
    double started = seconds_now();
    uint32_t v, i;

    for (v = 0; v < views; v++)
        if (an_preprocess(model, image, v, input + v * numbers) != AN_OK) fail("picture");
    if (an_infer(model, input, (uint32_t)views, p) != AN_OK) fail("inference");
    for (i = 0; i < info->classes; i++) {
        mean[i] = 0;
        for (v = 0; v < views; v++) mean[i] += p[v * info->classes + i] / (float)views;
    }
    free(input);
    free(p);
    return seconds_now() - started;
}

int main(int argc, char **argv)
{
    int operands = options_parse(table, argc, argv, "[options] MODEL PICTURE..."), i;
    int classified = 0;
    an_context_config context;
    an_context *ctx;
    an_model *model;
    an_model_info info;
    double seconds = 0;
    float *p;

    if (operands < 2) usage_error("a model and pictures are wanted");
    if (views != 1 && views != 10) usage_error("--views %lu: must be 1 or 10", views);
    an_context_config_init(&context, sizeof context);
    context.threads = (uint32_t)threads;
    an_model_info_init(&info, sizeof info);
    if (an_context_create(&ctx, &context) != AN_OK) fail("context");
    if (an_model_load(&model, ctx, argv[1], NULL) != AN_OK ||
        an_model_describe(model, &info) != AN_OK)
        fail(argv[1]);
    p = allocate(info.classes * sizeof *p);
    for (i = 2; i <= operands; i++) {
        picture file;
        const char *error = picture_read(&file, argv[i]);
        an_image image;
        double took;

        if (error != NULL) {
            fprintf(stderr, "%s: skipped: %s\n", argv[i], error);
            continue;
        }
        an_image_init(&image, sizeof image);
        image.pixels = file.pixels;
        image.width = file.width;
        image.height = file.height;
        took = classify(model, &image, &info, p);
        printf("%s  (%u x %u, %.1f ms)\n", argv[i], file.width, file.height, 1e3 * took);
        show(model, p, info.classes);
        picture_free(&file);
        classified++;
        seconds += took;
    }
    if (classified > 1)
        printf("%d pictures, %.1f ms each\n", classified, 1e3 * seconds / classified);
    free(p);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return classified == operands - 1 ? 0 : 1;
}
