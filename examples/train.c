/*
 * train.c - trains an AlexNet on a folder of pictures; saves, resumes, draws its curves.
 */
#define _POSIX_C_SOURCE 200809L
#include <alexnet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/chart.h"
#include "common/dataset.h"
#include "common/options.h"
#include "common/progress.h"
#include "common/recipe.h"

/* Where a run stands, in the trainer's note. */
typedef struct place {
    uint64_t fingerprint; /* of the data */
    uint32_t epoch, step; /* epochs done; steps done of the next */
    double loss, top1;    /* sums over this epoch's images so far */
    double seconds, rate; /* this epoch so far; the first rate */
} place;

typedef struct run {
    recipe recipe;
    const char *program, *folder;
    an_context *ctx;
    an_model *model;
    an_trainer *trainer;
    dataset data;
    history past;
    progress progress;
    place at;
} run;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static const char *beside(const recipe *r, const char *given, const char *suffix)
{
    char *path;

    if (given != NULL) return given;
    path = allocate(strlen(r->out) + strlen(suffix) + 1);
    sprintf(path, "%s%s", r->out, suffix);
    return path;
}

/* --- making or loading ------------------------------------------------------------------- */

static void begin(run *r)
{
    unsigned long classes = r->recipe.classes;
    uint32_t i;

    /* The number of classes is the folder's, and the size of the pictures the model's: a
     * model made for two classes says the size. */
    r->model = recipe_model(&r->recipe, r->ctx, 2);
    dataset_read(&r->data, r->folder, r->model, recipe_held_out_every(&r->recipe));
    an_model_destroy(r->model);
    if (classes != 0 && classes < r->data.classes)
        usage_error("--classes %lu: the folder has %u", classes, r->data.classes);
    r->model = recipe_model(&r->recipe, r->ctx,
                            classes != 0 ? (uint32_t)classes : r->data.classes);
    for (i = 0; i < r->data.classes; i++)
        if (an_model_set_class_name(r->model, i, r->data.class_names[i]) != AN_OK)
            fail(r->data.class_names[i]);
    recipe_colours(&r->recipe, r->model, &r->data);
    r->trainer = recipe_trainer(&r->recipe, r->model);
    r->at.fingerprint = r->data.fingerprint;
    r->at.rate = r->recipe.rate;
}

static void resume(run *r)
{
    const char *path = r->recipe.resume;
    uint8_t note[AN_TRAINER_NOTE_BYTES];
    an_trainer_config c;
    an_load_config load;

    an_load_config_init(&load, sizeof load);
    load.towers = (uint32_t)r->recipe.towers;
    if (an_model_load(&r->model, r->ctx, path, &load) != AN_OK ||
        an_trainer_load(&r->trainer, r->model, path) != AN_OK)
        fail(path);
    an_trainer_get_note(r->trainer, note);
    memcpy(&r->at, note, sizeof r->at);
    an_trainer_config_init(&c, sizeof c);
    an_trainer_get_config(r->trainer, &c);
    r->recipe.batch = c.batch;
    r->recipe.seed = (unsigned long)c.seed;
    if (r->recipe.rate_given) r->at.rate = r->recipe.rate;
    dataset_read(&r->data, r->folder, r->model, recipe_held_out_every(&r->recipe));
    if (r->data.fingerprint != r->at.fingerprint)
        usage_error("%s: not the pictures, or not the --val-split, of the checkpoint",
                    r->folder);
    history_read(&r->past, beside(&r->recipe, r->recipe.csv, ".csv"), r->at.epoch);
    printf("resumed after epoch %u, step %u\n", r->at.epoch, r->at.step);
}

/* --- an epoch ---------------------------------------------------------------------------- */

static void save(const run *r)
{
    uint8_t note[AN_TRAINER_NOTE_BYTES] = {0};

    memcpy(note, &r->at, sizeof r->at);
    if (an_trainer_set_note(r->trainer, note) != AN_OK ||
        an_trainer_save(r->trainer, r->recipe.out) != AN_OK)
        fail(r->recipe.out);
}

static void stop_here(const run *r)
{
    save(r);
    printf("\nsaved; to go on:\n");
    recipe_print_resume(&r->recipe, r->program, r->folder);
    exit(130);
}

static void say_flat(const an_step_stats *stats)
{
    static int said;

    if (!stats->flat || said) return;
    said = 1;
    fprintf(stderr,
            "\nnot learning: after %llu steps the loss, %.3f, is still what guessing "
            "costs.\nSome starts never leave this. What helps: --init fan-in or he, "
            "--input-scale unit,\na smaller or larger --lr, another --seed.\n",
            (unsigned long long)stats->iteration, stats->loss);
}

/* The next images of the epoch's order; returns how many. */
static uint32_t next_batch(const run *r, const uint32_t *order, an_image *images,
                           int32_t *labels)
{
    uint32_t batch = (uint32_t)r->recipe.batch, first = r->at.step * batch, i;
    uint32_t left = r->data.train_count - first, count = left < batch ? left : batch;

    for (i = 0; i < count; i++) {
        const sample *from = &r->data.train[order[first + i]];

        images[i] = dataset_image(&r->data, from);
        labels[i] = from->label;
    }
    return count;
}

static void train_step(run *r, const an_image *images, const int32_t *labels,
                       uint32_t count)
{
    double started = seconds_now();
    an_step_stats stats;
    an_status status;

    an_step_stats_init(&stats, sizeof stats);
    status = an_train_step_images(r->trainer, images, labels, count, &stats);
    if (status == AN_ERROR_DIVERGED)
        fail("training diverged (a lower --lr may help; the last checkpoint stands)");
    if (status != AN_OK) fail("training");
    r->at.step++;
    r->at.loss += stats.loss * count;
    r->at.top1 += stats.top1;
    r->at.seconds += seconds_now() - started;
    r->progress.done += count;
    say_flat(&stats);
}

static void show_progress(run *r, uint32_t steps, uint32_t seen)
{
    char text[160];

    snprintf(text, sizeof text, "epoch %u/%lu  step %u/%u  loss %.4f", r->at.epoch + 1,
             r->recipe.epochs, r->at.step, steps, r->at.loss / seen);
    progress_show(&r->progress, text,
                  (double)(r->recipe.epochs - r->at.epoch) * r->data.train_count - seen);
}

static void train_epoch(run *r)
{
    uint32_t count = r->data.train_count, batch = (uint32_t)r->recipe.batch, n;
    uint32_t steps = (count + batch - 1) / batch;
    uint32_t *order = allocate(count * sizeof *order);
    an_image *images = allocate(batch * sizeof *images);
    int32_t *labels = allocate(batch * sizeof *labels);
    double rate = recipe_rate(&r->recipe, r->at.rate, r->at.epoch);

    if (an_trainer_set_rates(r->trainer, (float)rate, -1) != AN_OK) fail("rate");
    recipe_order(&r->recipe, order, count, r->at.epoch);
    while (r->at.step < steps) {
        uint32_t first = r->at.step * batch;

        n = next_batch(r, order, images, labels);
        train_step(r, images, labels, n);
        show_progress(r, steps, first + n);
        if (interrupted) stop_here(r);
    }
    free(order);
    free(images);
    free(labels);
}

static void evaluate(const run *r, epoch_row *row)
{
    an_evaluation e;

    an_evaluation_init(&e, sizeof e);
    if (dataset_evaluate(&r->data, r->model, &e) != AN_OK) fail("evaluation");
    if (e.count == 0) return;
    row->held_out_loss = e.loss / (double)e.count;
    row->held_out_top1 = e.top1 / (double)e.count;
    row->held_out_top5 = e.top5 / (double)e.count;
}

static void end_epoch(run *r)
{
    double count = r->data.train_count;
    epoch_row row;
    char title[80];

    memset(&row, 0, sizeof row);
    row.rate = recipe_rate(&r->recipe, r->at.rate, r->at.epoch);
    row.epoch = ++r->at.epoch;
    row.iteration = (unsigned long)an_trainer_iteration(r->trainer);
    row.train_loss = r->at.loss / count;
    row.train_top1 = r->at.top1 / count;
    row.seconds = r->at.seconds;
    evaluate(r, &row);
    r->at.step = 0;
    r->at.loss = r->at.top1 = r->at.seconds = 0;
    history_add(&r->past, &row);
    printf("epoch %lu: loss %.4f, top-1 %.1f %%; held out: loss %.4f, top-1 %.1f %%, "
           "top-5 %.1f %%; rate %g, %.1f images/s\n",
           row.epoch, row.train_loss, 100 * row.train_top1, row.held_out_loss,
           100 * row.held_out_top1, 100 * row.held_out_top5, row.rate,
           count / row.seconds);
    fflush(stdout);
    save(r);
    snprintf(title, sizeof title, "%u classes, %.0f training images", r->data.classes,
             count);
    if (history_write_csv(&r->past, beside(&r->recipe, r->recipe.csv, ".csv")) != 0)
        perror("csv");
    if (history_draw(&r->past, beside(&r->recipe, r->recipe.curves, ".png"), title) != 0)
        perror("curves");
}

int main(int argc, char **argv)
{
    an_context_config context;
    struct sigaction action;
    run r;

    memset(&r, 0, sizeof r);
    r.recipe = recipe_parse(argc, argv, &r.folder);
    r.program = argv[0];
    an_context_config_init(&context, sizeof context);
    context.threads = (uint32_t)r.recipe.threads;
    if (an_context_create(&r.ctx, &context) != AN_OK) fail("context");
    if (r.recipe.resume != NULL)
        resume(&r);
    else
        begin(&r);
    printf(
        "%u classes, %u training images, %u held out (%.0f MB in memory), %u threads\n",
        r.data.classes, r.data.train_count, r.data.held_out_count,
        (r.data.train_count + r.data.held_out_count) * 3e-6 * r.data.side * r.data.side,
        an_context_threads(r.ctx));

    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = (int)SA_RESETHAND; /* a second ^C ends the program at once */
    sigaction(SIGINT, &action, NULL);
    r.progress = progress_start();
    while (r.at.epoch < r.recipe.epochs) {
        train_epoch(&r);
        progress_clear(&r.progress);
        end_epoch(&r);
    }
    printf("saved %s\n", r.recipe.out);
    an_trainer_destroy(r.trainer);
    an_model_destroy(r.model);
    an_context_destroy(r.ctx);
    dataset_free(&r.data);
    free(r.past.rows);
    return 0;
}
