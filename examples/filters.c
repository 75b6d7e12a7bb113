/*
 * filters.c - the first layer's kernels as a picture, as in the paper's figure 3: each one
 * stretched to its own range, the two halves of the maps apart.
 */
#include <alexnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/options.h"
#include "common/picture.h"

static unsigned long scale = 4, columns = 16;

static option table[] = {
    {"--scale", OPTION_NUMBER, &scale, 1, 32, "pixels for each weight (4)", 0},
    {"--columns", OPTION_NUMBER, &columns, 1, 256, "kernels in a row (16)", 0},
    {NULL, OPTION_FLAG, NULL, 0, 0, NULL, 0}};

/* One kernel, [3][size][size], its smallest weight black and its largest white. */
static void draw_kernel(picture *p, int left, int top, const float *w, int size, int bgr)
{
    float low = w[0], high = w[0];
    int i, x, y, c;

    for (i = 0; i < 3 * size * size; i++) {
        if (w[i] < low) low = w[i];
        if (w[i] > high) high = w[i];
    }
    for (y = 0; y < size; y++)
        for (x = 0; x < size; x++) {
            uint32_t colour = 0;

            for (c = 0; c < 3; c++) {
                float v = w[((bgr ? 2 - c : c) * size + y) * size + x];

                colour = colour << 8 |
                         (uint32_t)(high > low ? 255 * (v - low) / (high - low) : 128);
            }
            picture_fill(p, left + x * (int)scale, top + y * (int)scale, (int)scale,
                         (int)scale, colour);
        }
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
    picture p;
    float *w;

    if (operands != 2) usage_error("a model and a picture's name are wanted");
    an_parameter_info_init(&info, sizeof info);
    an_preprocessing_init(&pre, sizeof pre);
    an_layer_info_init(&second, sizeof second);
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
    p = picture_make((uint32_t)(columns * (unsigned long)step + 2),
                     (uint32_t)(rows * step + 2 + gap), 255);
    for (i = 0; i < (int)info.shape[0]; i++) {
        int below = gap > 0 && i >= (int)info.shape[0] / 2 ? gap : 0;

        draw_kernel(&p, 2 + i % (int)columns * step, 2 + i / (int)columns * step + below,
                    w + (size_t)i * 3 * (size_t)(kernel * kernel), kernel, (int)pre.bgr);
    }
    if (picture_write_png(&p, argv[2]) != 0) {
        perror(argv[2]);
        return 1;
    }
    printf("%u kernels of %d x %d: %s\n", info.shape[0], kernel, kernel, argv[2]);
    picture_free(&p);
    free(w);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return 0;
}
