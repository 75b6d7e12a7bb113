/*
 * plot.c - columns of the CSV files that train writes, as curves in one picture: a curve
 * for each label, the mean of its files (seeds of one setting), or a curve for each file.
 * The columns "loss" and "top1" are two: that of what is held out, and dashed that of
 * training.
 */
#include <alexnet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/chart.h"
#include "common/history.h"
#include "common/options.h"
#include "common/output.h"

static const char *title = "", *columns = "loss,top1", *mark;
static int errors, each;

static option table[] = {
    TEXT_OPTION("--title", &title, "of the picture"),
    TEXT_OPTION("--columns", &columns, "of the files, a panel each (loss,top1)"),
    FLAG_OPTION("--errors", &errors, "draw 1 - top-1 or top-5: the error"),
    FLAG_OPTION("--each", &each, "a curve for each file, not their mean"),
    TEXT_OPTION("--mark", &mark, "a dashed line at this height of the panels"),
    OPTIONS_END};

enum { MOST_FILES = 64, MOST_PANELS = 4 };

typedef struct line {
    char label[64];
    history rows;
    size_t group; /* of its label */
    int first;    /* of its group: has the legend */
} line;

static line lines[MOST_FILES];
static size_t line_count, group_count;

static void add_line(const char *text)
{
    const char *path = strchr(text, '=');
    line *l = &lines[line_count];
    size_t i;

    if (path == NULL) usage_error("%s: must be LABEL=FILE.csv", text);
    if (line_count == MOST_FILES) usage_error("more than %d files", MOST_FILES);
    snprintf(l->label, sizeof l->label, "%.*s", (int)(path - text), text);
    history_read(&l->rows, path + 1, 1e9);
    if (l->rows.count == 0) usage_error("%s: has no rows", path + 1);
    l->group = group_count;
    for (i = 0; i < line_count; i++)
        if (strcmp(lines[i].label, l->label) == 0) l->group = lines[i].group;
    l->first = l->group == group_count;
    group_count += (size_t)l->first;
    line_count++;
}

/* A file's column, or the mean of it over the files of a group: epoch by epoch of those
 * that have come so far. */
static series curve_of(size_t group, size_t only, const char *column)
{
    series s = {NULL, NULL, NULL, 0, chart_colour(group), 0};
    double *sum = NULL, *count = NULL, *x = NULL;
    size_t i, j;

    for (i = 0; i < line_count; i++) {
        const history *h = &lines[i].rows;
        double *y;

        if (lines[i].group != group || (each && i != only)) continue;
        y = history_column(h, column);
        if (y == NULL) usage_error("--columns: there is no %s", column);
        if (h->count > s.count) {
            sum = reallocate(sum, h->count * sizeof *sum);
            count = reallocate(count, h->count * sizeof *count);
            for (j = s.count; j < h->count; j++) sum[j] = count[j] = 0;
            s.count = h->count;
            free(x);
            x = history_column(h, "epoch");
        }
        for (j = 0; j < h->count; j++) {
            sum[j] += y[j];
            count[j]++;
        }
        free(y);
    }
    for (j = 0; j < s.count; j++) sum[j] /= count[j];
    free(count);
    s.x = x;
    s.y = sum;
    return s;
}

/* Adds the curves of a column; returns the last epoch of all. */
static double add_curves(chart_panel *panel, const char *column, int dashed, series *all)
{
    int share = strstr(column, "top") != NULL;
    double last = 1;
    size_t i, j;

    for (i = 0; i < line_count; i++) {
        series s;

        if (!each && !lines[i].first) continue;
        s = curve_of(lines[i].group, i, column);
        s.label = lines[i].first && !dashed ? lines[i].label : NULL;
        s.dashed = dashed;
        for (j = 0; errors && share && j < s.count; j++)
            ((double *)(uintptr_t)s.y)[j] = 1 - s.y[j];
        if (s.x[s.count - 1] > last) last = s.x[s.count - 1];
        all[panel->count++] = s;
    }
    return last;
}

static const struct {
    const char *name, *title, *error_title, *solid, *dashed;
} views[] = {
    {"loss", "loss: held out, and dashed in training", NULL, "held_out_loss",
     "train_loss"},
    {"top1", "top-1 accuracy: held out, and dashed in training",
     "top-1 error: held out, and dashed in training", "held_out_top1", "train_top1"},
    {"train_loss", "training loss", NULL, "train_loss", NULL},
    {"train_top1", "training accuracy", "training error", "train_top1", NULL},
    {"held_out_top1", "held-out accuracy", "held-out error", "held_out_top1", NULL}};

static void fill_panel(chart_panel *panel, const char *column, series *all)
{
    const char *solid = column, *dashed = NULL;
    double last;
    size_t i;

    panel->title = column;
    for (i = 0; i < sizeof views / sizeof views[0]; i++)
        if (strcmp(column, views[i].name) == 0) {
            panel->title = errors && views[i].error_title != NULL ? views[i].error_title
                                                                  : views[i].title;
            solid = views[i].solid;
            dashed = views[i].dashed;
        }
    panel->x_name = "epoch";
    panel->percent = strstr(column, "top") != NULL;
    panel->all = all;
    last = add_curves(panel, solid, 0, all);
    if (dashed != NULL) add_curves(panel, dashed, 1, all);
    if (mark != NULL) {
        double *x = allocate(2 * sizeof *x), *y = allocate(2 * sizeof *y);
        series s = {NULL, x, y, 2, 0x808080, 1};

        x[0] = 0;
        x[1] = last;
        y[0] = y[1] = strtod(mark, NULL);
        all[panel->count++] = s;
    }
}

int main(int argc, char **argv)
{
    int operands =
        options_parse(table, argc, argv, "[options] OUT.png LABEL=FILE.csv...");
    static series all[MOST_PANELS][2 * MOST_FILES + 1];
    chart_panel panels[MOST_PANELS];
    char *names = allocate(strlen(columns) + 1), *name;
    size_t count = 0;
    int i;

    if (operands < 2) usage_error("a picture's name and a file are wanted");
    for (i = 2; i <= operands; i++) {
        add_line(argv[i]);
        output_apart(argv[1], strchr(argv[i], '=') + 1);
    }
    memset(panels, 0, sizeof panels);
    strcpy(names, columns);
    for (name = strtok(names, ","); name != NULL; name = strtok(NULL, ",")) {
        if (count == MOST_PANELS) usage_error("--columns: more than %d", MOST_PANELS);
        fill_panel(&panels[count], name, all[count]);
        count++;
    }
    if (chart_draw(argv[1], title, panels, count) != 0) {
        perror(argv[1]);
        return 1;
    }
    return 0; /* the process ends: its columns go with it */
}
