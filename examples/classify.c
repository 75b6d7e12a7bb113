/*
 * classify.c - the classes that a model sees in pictures; on request as a sheet with
 * their probabilities as bars, as in the paper's figure 4.
 */
#include <alexnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/canvas.h"
#include "common/device.h"
#include "common/options.h"
#include "common/picture.h"
#include "common/progress.h"

static unsigned long top = 5, views = 1, threads;
static const char *sheet;

static device_choice place;

static option table[] = {
    NUMBER_OPTION("--top", &top, 1, 20, "classes to show (5)"),
    NUMBER_OPTION("--views", &views, 1, 10,
                  "1: the centre; 10: the paper's, averaged (1)"),
    TEXT_OPTION("--sheet", &sheet, "a PNG file with pictures and bars"),
    NUMBER_OPTION("--threads", &threads, 0, 256, "0: all processors (0)"),
    DEVICE_OPTIONS(place),
    OPTIONS_END};

enum { COLUMNS = 4, SIDE = 192, GAP = 14, LINE = 20, MOST = 20 };

/* The best classes of a picture, best first. */
typedef struct result {
    const char *path;
    picture file;
    uint32_t best[MOST], count;
    float share[MOST];
} result;

static const char *name_of(const an_model *model, uint32_t index)
{
    static char text[24];
    const char *name = an_model_class_name(model, index);

    snprintf(text, sizeof text, "class %u", index);
    return name != NULL ? name : text;
}

static void find_best(result *r, const float *p, uint32_t classes)
{
    uint32_t i, at;

    for (r->count = 0, i = 0; i < classes; i++) {
        if (r->count == top && p[i] <= r->share[top - 1]) continue;
        if (r->count < top) r->count++;
        for (at = r->count - 1; at > 0 && r->share[at - 1] < p[i]; at--) {
            r->share[at] = r->share[at - 1];
            r->best[at] = r->best[at - 1];
        }
        r->share[at] = p[i];
        r->best[at] = i;
    }
}

static void print(const an_model *model, const result *r)
{
    uint32_t i;
    int bar;

    for (i = 0; i < r->count; i++) {
        printf("  %5.1f %%  ", 100 * (double)r->share[i]);
        for (bar = 0; bar < 30; bar++)
            putchar((double)r->share[i] * 30 > bar + 0.5 ? '#' : '.');
        printf("  %s\n", name_of(model, r->best[i]));
    }
}

/* --- the sheet --------------------------------------------------------------------- */

static void draw_result(canvas *page, const an_model *model, const result *r, double x,
                        double y)
{
    uint8_t *pixels = allocate((size_t)3 * SIDE * SIDE);
    const char *base = strrchr(r->path, '/');
    an_image image;
    uint32_t i;

    an_image_init(&image, sizeof image);
    image.pixels = r->file.pixels;
    image.width = r->file.width;
    image.height = r->file.height;
    if (an_image_fit(&image, SIDE, pixels, (size_t)3 * SIDE * SIDE) != AN_OK)
        fail(r->path);
    canvas_picture(page, x, y, SIDE, SIDE, pixels, SIDE, SIDE);
    canvas_text(page, x + SIDE / 2.0, y + SIDE + 16, 12, CANVAS_CENTRE, SIDE, 0x606060,
                base != NULL ? base + 1 : r->path);
    for (i = 0; i < r->count; i++) {
        double line = y + SIDE + 24 + i * LINE;

        canvas_fill(page, x, line, SIDE, LINE - 4, 0xf0f0f0);
        canvas_fill(page, x, line, SIDE * (double)r->share[i], LINE - 4,
                    i == 0 ? 0xe69f00 : 0x9fc5e8);
        canvas_text(page, x + 4, line + 12, 12, CANVAS_LEFT, SIDE - 8, 0x202020,
                    name_of(model, r->best[i]));
    }
    free(pixels);
}

static void draw_sheet(const an_model *model, const result *all, int count)
{
    int columns = count < COLUMNS ? count : COLUMNS,
        rows = (count + COLUMNS - 1) / COLUMNS;
    double high = SIDE + 24 + (double)top * LINE + GAP;
    canvas *page = canvas_make(GAP + columns * (SIDE + GAP), GAP + rows * high);
    int i;

    for (i = 0; i < count; i++)
        draw_result(page, model, &all[i], GAP + i % COLUMNS * (SIDE + GAP),
                    GAP + (double)(i / COLUMNS) * high);
    if (canvas_write_png(page, sheet) != 0) {
        fprintf(stderr, "%s: cannot be written\n", sheet);
        exit(1);
    }
    canvas_free(page);
    printf("%s\n", sheet);
}

int main(int argc, char **argv)
{
    int operands = options_parse(table, argc, argv, "[options] MODEL PICTURE..."), i;
    int classified = 0;
    an_context_config context;
    an_context *ctx;
    an_model *model;
    an_model_info info;
    result *all;
    double seconds = 0;
    float *p;

    if (operands < 2) usage_error("a model and pictures are wanted");
    if (views != 1 && views != 10) usage_error("--views %lu: must be 1 or 10", views);
    an_context_config_init(&context, sizeof context);
    device_context_config(&place, &context);
    context.threads = (uint32_t)threads;
    an_model_info_init(&info, sizeof info);
    if (an_context_create(&ctx, &context) != AN_OK) fail("context");
    if (device_load(&place, &model, ctx, argv[1]) != AN_OK ||
        an_model_describe(model, &info) != AN_OK)
        fail(argv[1]);
    p = allocate(info.classes * sizeof *p);
    all = allocate((size_t)operands * sizeof *all);
    for (i = 2; i <= operands; i++) {
        result *r = &all[classified];
        const char *error = picture_read(&r->file, argv[i]);
        double started = seconds_now();
        an_image image;

        if (error != NULL) {
            fprintf(stderr, "%s: skipped: %s\n", argv[i], error);
            continue;
        }
        r->path = argv[i];
        an_image_init(&image, sizeof image);
        image.pixels = r->file.pixels;
        image.width = r->file.width;
        image.height = r->file.height;
        if (an_infer_views(model, &image, 1, (uint32_t)views, p, info.classes) != AN_OK)
            fail(argv[i]);
        started = seconds_now() - started;
        find_best(r, p, info.classes);
        printf("%s  (%u x %u, %.1f ms)\n", r->path, r->file.width, r->file.height,
               1e3 * started);
        print(model, r);
        classified++;
        seconds += started;
    }
    if (classified > 1)
        printf("%d pictures, %.1f ms each\n", classified, 1e3 * seconds / classified);
    if (sheet != NULL && classified > 0) draw_sheet(model, all, classified);
    for (i = 0; i < classified; i++) picture_free(&all[i].file);
    free(all);
    free(p);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return classified == operands - 1 ? 0 : 1;
}
