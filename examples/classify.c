/*
 * classify.c - the classes that a model sees in pictures; on request as a sheet with
 * their probabilities as bars, as in the paper's figure 4. Pictures are read one at a
 * time: but for their names, memory does not grow with their number. Ends with 1 if some
 * could not be read.
 */
#define _POSIX_C_SOURCE 200809L
#include <alexnet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/canvas.h"
#include "common/device.h"
#include "common/listing.h"
#include "common/options.h"
#include "common/output.h"
#include "common/picture.h"
#include "common/progress.h"
#include "common/quote.h"
#include "common/rows.h"

static unsigned long top = 5, views = 1, threads;
static const char *sheet, *format_name = "text";
static int ends_with_zero;

static device_choice place;

static option table[] = {
    NUMBER_OPTION("--top", &top, 1, 20, "classes to show (5)"),
    NUMBER_OPTION("--views", &views, 1, 10,
                  "1: the centre; 10: the paper's, averaged (1)"),
    TEXT_OPTION("--format", &format_name, "text, csv or json, a line a picture (text)"),
    FLAG_OPTION("-0", &ends_with_zero, "names from - end with a zero byte, not a line"),
    PICTURE_OPTIONS,
    TEXT_OPTION("--sheet", &sheet, "a PNG file with pictures and bars, of the first 400"),
    NUMBER_OPTION("--threads", &threads, 0, 256, "0: all processors (0)"),
    DEVICE_OPTIONS(place),
    OPTIONS_END};

enum { COLUMNS = 4, SIDE = 192, GAP = 14, LINE = 20, MOST = 20, SHEET = 400 };

static format form;

/* A picture's best classes, best first. */
typedef struct result {
    uint32_t best[MOST], count;
    float share[MOST];
} result;

/* What is kept of a picture for the sheet. */
typedef struct drawn {
    char *path;
    uint8_t *pixels; /* SIDE x SIDE */
    result r;
} drawn;

typedef struct run {
    an_model *model;
    uint32_t classes;
    float *p;
    int classified, skipped;
    double seconds;
    drawn *drawn; /* up to SHEET, if there is to be a sheet */
    uint32_t drawn_count;
} run;

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

/* --- output ------------------------------------------------------------------------ */

static void print_text(const run *r, const char *path, const picture *file,
                       const result *found, double seconds)
{
    uint32_t i;
    int bar;

    printf("%s  (%u x %u, %.1f ms)\n", shown(path), file->width, file->height,
           1e3 * seconds);
    for (i = 0; i < found->count; i++) {
        printf("  %5.1f %%  ", 100 * (double)found->share[i]);
        for (bar = 0; bar < 30; bar++)
            putchar((double)found->share[i] * 30 > bar + 0.5 ? '#' : '.');
        printf("  %s\n", shown(name_of(r->model, found->best[i])));
    }
}

static void print_csv(const run *r, const char *path, const result *found)
{
    uint32_t i;

    for (i = 0; i < found->count; i++) {
        quote_csv(stdout, path);
        printf(",%u,%u,", i + 1, found->best[i]);
        quote_csv(stdout, name_of(r->model, found->best[i]));
        printf(",%.9g\n", (double)found->share[i]);
    }
}

static void print_json(const run *r, const char *path, const picture *file,
                       const result *found)
{
    uint32_t i;

    printf("{\"path\": ");
    quote_json(stdout, path);
    printf(", \"width\": %u, \"height\": %u, \"classes\": [", file->width, file->height);
    for (i = 0; i < found->count; i++) {
        printf("%s{\"class\": ", i > 0 ? ", " : "");
        quote_json(stdout, name_of(r->model, found->best[i]));
        printf(", \"index\": %u, \"probability\": %.9g}", found->best[i],
               (double)found->share[i]);
    }
    printf("]}\n");
}

static void skip(run *r, const char *path, const char *why)
{
    fprintf(stderr, "%s: skipped: %s\n", shown(path), why);
    if (form == FORMAT_JSON) {
        printf("{\"path\": ");
        quote_json(stdout, path);
        printf(", \"error\": ");
        quote_json(stdout, why);
        printf("}\n");
    }
    r->skipped++;
}

/* --- the sheet --------------------------------------------------------------------- */

static an_image image_of(const picture *p)
{
    an_image image;

    an_image_init(&image, sizeof image);
    image.pixels = p->pixels;
    image.width = p->width;
    image.height = p->height;
    return image;
}

static void keep(run *r, const char *path, const picture *file, const result *found)
{
    an_image image = image_of(file);
    drawn *d = &r->drawn[r->drawn_count++];

    d->path = strcpy(allocate(strlen(path) + 1), path);
    d->pixels = allocate((size_t)3 * SIDE * SIDE);
    d->r = *found;
    if (an_image_fit(&image, SIDE, d->pixels, (size_t)3 * SIDE * SIDE) != AN_OK)
        fail(path);
}

static void draw_one(canvas *page, const an_model *model, const drawn *d, double x,
                     double y)
{
    const char *base = strrchr(d->path, '/');
    uint32_t i;

    canvas_picture(page, x, y, SIDE, SIDE, d->pixels, SIDE, SIDE);
    canvas_text(page, x + SIDE / 2.0, y + SIDE + 16, 12, CANVAS_CENTRE, SIDE, 0x606060,
                base != NULL ? base + 1 : d->path);
    for (i = 0; i < d->r.count; i++) {
        double line = y + SIDE + 24 + i * LINE;

        canvas_fill(page, x, line, SIDE, LINE - 4, 0xf0f0f0);
        canvas_fill(page, x, line, SIDE * (double)d->r.share[i], LINE - 4,
                    i == 0 ? 0xe69f00 : 0x9fc5e8);
        canvas_text(page, x + 4, line + 12, 12, CANVAS_LEFT, SIDE - 8, 0x202020,
                    name_of(model, d->r.best[i]));
    }
}

static void draw_sheet(const run *r)
{
    uint32_t columns = r->drawn_count < COLUMNS ? r->drawn_count : COLUMNS;
    uint32_t lines = (r->drawn_count + COLUMNS - 1) / COLUMNS, i;
    double high = SIDE + 24 + (double)top * LINE + GAP;
    canvas *page = canvas_make(GAP + columns * (SIDE + GAP), GAP + lines * high);

    for (i = 0; i < r->drawn_count; i++)
        draw_one(page, r->model, &r->drawn[i], GAP + i % COLUMNS * (SIDE + GAP),
                 GAP + i / COLUMNS * high);
    if (canvas_write_png(page, sheet) != 0) {
        perror(sheet);
        exit(1);
    }
    canvas_free(page);
    fprintf(form == FORMAT_TEXT ? stdout : stderr, "%s\n", sheet);
}

/* --- pictures ---------------------------------------------------------------------- */

static void classify(void *user, const char *path)
{
    run *r = user;
    picture file;
    const char *error = picture_read(&file, path);
    double started = seconds_now();
    an_status status;
    an_image image;
    result found;

    if (error != NULL) {
        skip(r, path, error);
        return;
    }
    image = image_of(&file);
    status = an_infer_views(r->model, &image, 1, (uint32_t)views, r->p, r->classes);
    if (status == AN_ERROR_ARGUMENT) { /* sides that the library does not take */
        skip(r, path, an_error_message());
        picture_free(&file);
        return;
    }
    if (status != AN_OK) fail(path);
    started = seconds_now() - started;
    find_best(&found, r->p, r->classes);
    if (form == FORMAT_TEXT) print_text(r, path, &file, &found, started);
    if (form == FORMAT_CSV) print_csv(r, path, &found);
    if (form == FORMAT_JSON) print_json(r, path, &file, &found);
    if (r->drawn != NULL && r->drawn_count < SHEET) keep(r, path, &file, &found);
    r->classified++;
    r->seconds += started;
    picture_free(&file);
}

/* A file; a folder's pictures; or, for "-", those that standard input names. */
static void classify_operand(run *r, const char *operand)
{
    struct stat info;
    char *name = NULL;
    size_t room = 0;
    ssize_t length;

    if (strcmp(operand, "-") != 0) {
        if (stat(operand, &info) == 0 && S_ISDIR(info.st_mode))
            listing_pictures(operand, classify, r);
        else
            classify(r, operand);
        return;
    }
    while ((length = getdelim(&name, &room, ends_with_zero ? 0 : '\n', stdin)) > 0) {
        if (!ends_with_zero && name[length - 1] == '\n') name[--length] = '\0';
        if (length > 0 && *name != '\0') classify(r, name);
    }
    if (ferror(stdin)) {
        fprintf(stderr, "standard input: %s\n", strerror(errno));
        exit(1);
    }
    free(name);
}

static void finish(run *r)
{
    uint32_t i;

    if (form == FORMAT_TEXT && r->classified > 1)
        printf("%d pictures, %.1f ms each\n", r->classified,
               1e3 * r->seconds / r->classified);
    if (r->drawn_count > 0) draw_sheet(r);
    for (i = 0; i < r->drawn_count; i++) {
        free(r->drawn[i].path);
        free(r->drawn[i].pixels);
    }
    free(r->drawn);
    free(r->p);
    an_model_destroy(r->model);
}

int main(int argc, char **argv)
{
    int operands =
            options_parse(table, argc, argv, "[options] MODEL PICTURE|FOLDER|-..."),
        i;
    an_context_config context;
    an_context *ctx;
    an_model_info info;
    run r;

    memset(&r, 0, sizeof r);
    if (operands < 2)
        usage_error("a model and pictures are wanted: files, folders, or - for names "
                    "from standard input");
    if (views != 1 && views != 10) usage_error("--views %lu: must be 1 or 10", views);
    form = format_find(format_name);
    an_context_config_init(&context, sizeof context);
    device_context_config(&place, &context);
    context.threads = (uint32_t)threads;
    an_model_info_init(&info, sizeof info);
    if (an_context_create(&ctx, &context) != AN_OK) fail("context");
    if (device_load(&place, &r.model, ctx, argv[1]) != AN_OK ||
        an_model_describe(r.model, &info) != AN_OK)
        fail(argv[1]);
    r.classes = info.classes;
    r.p = allocate(info.classes * sizeof *r.p);
    if (sheet != NULL) r.drawn = allocate(SHEET * sizeof *r.drawn);
    if (form == FORMAT_CSV) printf("path,rank,index,class,probability\n");
    if (sheet != NULL) output_check("--sheet", sheet);
    for (i = 1; sheet != NULL && i <= operands; i++) output_apart(sheet, argv[i]);
    for (i = 2; i <= operands; i++) classify_operand(&r, argv[i]);
    finish(&r);
    an_context_destroy(ctx);
    return r.skipped == 0 && r.classified > 0 ? 0 : 1;
}
