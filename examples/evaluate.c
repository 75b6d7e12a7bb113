/*
 * evaluate.c - top-1, top-5 and loss of models over a pack: one view or ten, one model or
 * the mean of several, with a confusion matrix.
 */
#include <alexnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/device.h"
#include "common/options.h"
#include "common/output.h"
#include "common/picture.h"
#include "common/progress.h"
#include "common/quote.h"
#include "common/rows.h"
#include "common/scoring.h"

static unsigned long views = 1, threads;
static const char *confusion_path, *format_name = "text";

static device_choice place;

static option table[] = {
    NUMBER_OPTION("--views", &views, 1, 10, "1: the centre; 10: the paper's (1)"),
    TEXT_OPTION("--confusion", &confusion_path,
                "CSV file: a row for each label, a column for each answer"),
    TEXT_OPTION("--format", &format_name,
                "text, csv or json, whose shares are of 1 (text)"),
    NUMBER_OPTION("--threads", &threads, 0, 256, "0: all processors (0)"),
    DEVICE_OPTIONS(place),
    PROGRESS_OPTION,
    OPTIONS_END};

typedef struct watch {
    progress progress;
    double count;
} watch;

static void show(uint64_t done, void *user)
{
    watch *w = user;

    w->progress.done = (double)done;
    progress_show(&w->progress, "evaluating", w->count - (double)done);
}

static void write_name(FILE *file, const an_pack *pack, uint32_t index)
{
    const char *name = an_pack_class_name(pack, index);

    if (name == NULL)
        fprintf(file, "%u", index);
    else
        quote_csv(file, name);
}

static void write_confusion(const scoring *s, const an_pack *pack, uint32_t classes,
                            uint32_t labels)
{
    uint32_t i, j;
    output o;
    FILE *file;

    if (output_begin(&o, confusion_path) != 0) {
        perror(confusion_path);
        exit(1);
    }
    file = o.file;
    fprintf(file, "label");
    for (j = 0; j < classes; j++) {
        putc(',', file);
        write_name(file, pack, j);
    }
    for (i = 0; i < labels; i++) {
        putc('\n', file);
        write_name(file, pack, i);
        for (j = 0; j < classes; j++)
            fprintf(file, ",%llu",
                    (unsigned long long)s->confusion[(size_t)i * classes + j]);
    }
    putc('\n', file);
    if (output_end(&o) != 0) {
        perror(confusion_path);
        exit(1);
    }
}

static void load_models(scoring *s, an_context *ctx, char **paths, an_model_info *info)
{
    uint32_t i;

    for (i = 0; i < s->model_count; i++) {
        an_model_info other = *info;

        if (device_load(&place, &s->models[i], ctx, paths[i]) != AN_OK ||
            an_model_describe(s->models[i], i == 0 ? info : &other) != AN_OK)
            fail(paths[i]);
        if (i > 0 && other.classes != info->classes)
            usage_error("%s has %u classes, %s %u", paths[i], other.classes, paths[0],
                        info->classes);
    }
}

static void print_scores(const scoring *s, format form, uint32_t classes)
{
    static const char *const names[] = {"pictures", "views", "models", "classes",
                                        "top1",     "top5",  "loss"};
    double count = (double)s->total.count;
    rows row;

    if (form == FORMAT_TEXT) {
        printf("%llu pictures, %lu view%s, %u model%s: top-1 %.2f %%",
               (unsigned long long)s->total.count, views, views == 1 ? "" : "s",
               s->model_count, s->model_count == 1 ? "" : "s",
               100 * s->total.top1 / count);
        if (classes > 5) /* of five, every one is among the first five */
            printf(", top-5 %.2f %%", 100 * s->total.top5 / count);
        printf(", loss %.4f\n", s->total.loss / count);
        return;
    }
    rows_begin(&row, form, names, sizeof names / sizeof names[0]);
    rows_count(&row, s->total.count);
    rows_count(&row, views);
    rows_count(&row, s->model_count);
    rows_count(&row, classes);
    rows_real(&row, s->total.top1 / count);
    rows_real(&row, s->total.top5 / count);
    rows_real(&row, s->total.loss / count);
}

int main(int argc, char **argv)
{
    int operands = options_parse(table, argc, argv, "[options] PACK MODEL...");
    an_context_config context;
    an_context *ctx;
    an_model_info model;
    an_pack_info info;
    an_pack *pack;
    scoring s;
    watch w;
    format form;
    uint32_t i;

    form = format_find(format_name);
    if (operands < 2) usage_error("a pack and a model are wanted");
    if (views != 1 && views != 10) usage_error("--views %lu: must be 1 or 10", views);
    if (confusion_path != NULL) output_check("--confusion", confusion_path);
    for (i = 1; confusion_path != NULL && i <= (uint32_t)operands; i++)
        output_apart(confusion_path, argv[i]);
    memset(&s, 0, sizeof s);
    an_context_config_init(&context, sizeof context);
    device_context_config(&place, &context);
    context.threads = (uint32_t)threads;
    an_model_info_init(&model, sizeof model);
    an_pack_info_init(&info, sizeof info);
    if (an_context_create(&ctx, &context) != AN_OK) fail("context");
    if (an_pack_open(&pack, ctx, argv[1], picture_decode, NULL) != AN_OK ||
        an_pack_describe(pack, &info) != AN_OK)
        fail(argv[1]);
    s.model_count = (uint32_t)operands - 1;
    s.models = allocate(s.model_count * sizeof *s.models);
    load_models(&s, ctx, argv + 2, &model);
    for (i = 0; i < s.model_count; i++) check_pack(pack, s.models[i], argv[1]);
    s.views = (uint32_t)views;
    if (confusion_path != NULL) {
        size_t bytes = (size_t)model.classes * model.classes * sizeof *s.confusion;

        s.confusion = memset(allocate(bytes), 0, bytes);
    }
    w.progress = progress_start();
    w.count = (double)info.count;
    s.progress = show;
    s.user = &w;
    if (score_pack(&s, pack) != AN_OK) fail(argv[1]);
    progress_clear(&w.progress);
    print_scores(&s, form, model.classes);
    if (confusion_path != NULL) write_confusion(&s, pack, model.classes, info.classes);
    for (i = 0; i < s.model_count; i++) an_model_destroy(s.models[i]);
    an_pack_destroy(pack);
    an_context_destroy(ctx);
    free(s.models);
    free(s.confusion);
    return 0;
}
