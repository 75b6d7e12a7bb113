/*
 * filters.c - the first layer's kernels as a picture, as in the paper's figure 3: each
 * one stretched to its own range, the two halves of the maps apart.
 */
#include <alexnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/canvas.h"
#include "common/options.h"
#include "common/output.h"

static unsigned long scale = 4, columns = 16;

static option table[] = {
    NUMBER_OPTION("--scale", &scale, 1, 32, "pixels for each weight (4)"),
    NUMBER_OPTION("--columns", &columns, 1, 256, "kernels in a row (16)"), OPTIONS_END};

/* One kernel, [3][size][size], its smallest weight black and its largest white. */
static void draw_kernel(canvas *page, int left, int top, const float *w, int size,
                        int bgr)
{
    uint8_t pixels[3 * 64 * 64];
    float low = w[0], high = w[0];
    int i, c;

    for (i = 0; i < 3 * size * size; i++) {
        if (w[i] < low) low = w[i];
        if (w[i] > high) high = w[i];
    }
    for (i = 0; i < size * size; i++)
        for (c = 0; c < 3; c++) {
            float v = w[(bgr ? 2 - c : c) * size * size + i];

            pixels[3 * i + c] =
                (uint8_t)(high > low ? 255 * (v - low) / (high - low) : 128);
        }
    canvas_picture(page, left, top, size * (double)scale, size * (double)scale, pixels,
                   (uint32_t)size, (uint32_t)size);
}

/* How much of a kernel's energy is colour: what is left without its grey part. */
static double colourfulness(const float *w, int size)
{
    double all = 0, grey = 0;
    int i, c;

    for (i = 0; i < size * size; i++) {
        double mean = 0;

        for (c = 0; c < 3; c++) {
            double v = (double)w[c * size * size + i];

            mean += v / 3;
            all += v * v;
        }
        grey += 3 * mean * mean;
    }
    return all > 0 ? 1 - grey / all : 0;
}

static double mean_colourfulness(const float *w, int size, int first, int count)
{
    double sum = 0;
    int i;

    for (i = first; i < first + count; i++)
        sum += colourfulness(w + (size_t)i * 3 * (size_t)(size * size), size) / count;
    return sum;
}

int main(int argc, char **argv)
{
    int operands = options_parse(table, argc, argv, "[options] MODEL OUT.png");
    int kernel, step, rows, gap = 0, i;
    an_parameter_info info;
    an_preprocessing pre;
    an_layer_info second;
    an_context *ctx;
    an_model *model;
    canvas *page;
    float *w;

    if (operands != 2) usage_error("a model and a picture's name are wanted");
    an_parameter_info_init(&info, sizeof info);
    an_preprocessing_init(&pre, sizeof pre);
    an_layer_info_init(&second, sizeof second);
    output_apart(argv[2], argv[1]);
    if (an_context_create(&ctx, NULL) != AN_OK) fail("context");
    if (an_model_load(&model, ctx, argv[1], NULL) != AN_OK ||
        an_parameter_describe(model, 0, &info) != AN_OK ||
        an_model_get_preprocessing(model, &pre) != AN_OK ||
        an_layer_describe(model, 1, &second) != AN_OK)
        fail(argv[1]);
    w = allocate(info.count * sizeof *w);
    if (an_parameter_get(model, 0, w, info.count) != AN_OK) fail(argv[1]);

    kernel = (int)info.shape[2];
    step = kernel * (int)scale + 2;
    rows = (int)((info.shape[0] + columns - 1) / columns);
    if (second.groups == 2 && info.shape[0] / 2 % columns == 0) gap = 8;
    page = canvas_make((double)columns * step + 2, rows * step + 2 + gap);
    for (i = 0; i < (int)info.shape[0]; i++) {
        int below = gap > 0 && i >= (int)info.shape[0] / 2 ? gap : 0;

        draw_kernel(page, 2 + i % (int)columns * step,
                    2 + i / (int)columns * step + below,
                    w + (size_t)i * 3 * (size_t)(kernel * kernel), kernel, (int)pre.bgr);
    }
    if (canvas_write_png(page, argv[2]) != 0) {
        perror(argv[2]);
        return 1;
    }
    printf("%u kernels of %d x %d: %s\n", info.shape[0], kernel, kernel, argv[2]);
    if (second.groups == 2)
        printf("colour in the kernels of tower 0: %.0f %%, of tower 1: %.0f %% of their "
               "energy\n",
               100 * mean_colourfulness(w, kernel, 0, (int)info.shape[0] / 2),
               100 * mean_colourfulness(w, kernel, (int)info.shape[0] / 2,
                                        (int)info.shape[0] / 2));
    canvas_free(page);
    free(w);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return 0;
}
