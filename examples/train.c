/*
 * train.c - trains an AlexNet on a pack by a recipe; saves, resumes, draws its curves.
 */
#define _POSIX_C_SOURCE 200809L
#include <alexnet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/history.h"
#include "common/options.h"
#include "common/picture.h"
#include "common/progress.h"
#include "common/scoring.h"
#include "common/setup.h"

/* What the trainer does not know of the run, in its note. */
typedef struct note {
    uint64_t pictures; /* in the pack */
    double loss, top1; /* sums over this epoch's images so far */
    float seconds, waited;
    uint32_t epochs;
    uint32_t batch, colour_epochs;
    float colour_sigma, colour_divisor;
    uint16_t crop_group;
    uint8_t augment, colour_rule;
} note;

typedef struct run {
    setup setup;
    const char *program, *folder;
    an_context *ctx;
    an_pack *pack, *val; /* val: null if there is none */
    an_pack_info info;
    an_model *model;
    an_trainer *trainer;
    an_loader_config loading;
    an_loader *loader;
    history past;
    progress progress;
    note at;
    uint32_t epoch, step, steps; /* epochs done, steps of the next; steps of an epoch */
    double saved;                /* when */
    int done;
} run;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static char *join(const char *a, const char *b)
{
    char *text = allocate(strlen(a) + strlen(b) + 1);

    strcpy(text, a);
    return strcat(text, b);
}

static const char *beside(const setup *s, const char *named, const char *suffix)
{
    return named != NULL ? named : join(s->out, suffix);
}

/* --- beginning --------------------------------------------------------------------------- */

static void open_packs(run *r)
{
    const char *train = join(r->folder, "/train"), *val = join(r->folder, "/val");

    if (access(train, F_OK) != 0) train = r->folder;
    if (r->setup.val != NULL) val = r->setup.val;
    if (an_pack_open(&r->pack, r->ctx, train, picture_decode, NULL) != AN_OK ||
        an_pack_describe(r->pack, &r->info) != AN_OK)
        fail(train);
    if ((r->setup.val != NULL || access(val, F_OK) == 0) &&
        an_pack_open(&r->val, r->ctx, val, picture_decode, NULL) != AN_OK)
        fail(val);
}

static void begin(run *r)
{
    r->model = setup_model(&r->setup, r->ctx, r->pack);
    r->trainer = setup_trainer(&r->setup, r->model, &r->loading);
    r->at.pictures = r->info.count;
    r->at.epochs = (uint32_t)r->setup.epochs;
    r->at.batch = r->loading.batch;
    r->at.augment = (uint8_t)r->loading.augment;
    r->at.crop_group = (uint16_t)r->loading.crop_group;
    r->at.colour_rule = (uint8_t)r->loading.colour_rule;
    r->at.colour_sigma = r->loading.colour_sigma;
    r->at.colour_divisor = r->loading.colour_divisor;
    r->at.colour_epochs = r->loading.colour_epochs;
}

static void resume(run *r)
{
    const char *path = r->setup.resume;
    uint8_t bytes[AN_TRAINER_NOTE_BYTES];
    an_trainer_config c;
    an_load_config load;

    an_load_config_init(&load, sizeof load);
    load.towers = (uint32_t)r->setup.towers;
    an_trainer_config_init(&c, sizeof c);
    if (an_model_load(&r->model, r->ctx, path, &load) != AN_OK ||
        an_trainer_load(&r->trainer, r->model, path) != AN_OK ||
        an_trainer_get_note(r->trainer, bytes) != AN_OK ||
        an_trainer_get_config(r->trainer, &c) != AN_OK ||
        an_trainer_epoch(r->trainer, &r->epoch, &r->step) != AN_OK)
        fail(path);
    memcpy(&r->at, bytes, sizeof r->at);
    if (r->at.pictures != r->info.count)
        usage_error("%s has %llu pictures, the run that is to go on had %llu", r->folder,
                    (unsigned long long)r->info.count,
                    (unsigned long long)r->at.pictures);
    r->loading.batch = r->at.batch;
    r->loading.augment = r->at.augment;
    r->loading.crop_group = r->at.crop_group;
    r->loading.colour_rule = r->at.colour_rule;
    r->loading.colour_sigma = r->at.colour_sigma;
    r->loading.colour_divisor = r->at.colour_divisor;
    r->loading.colour_epochs = r->at.colour_epochs;
    r->loading.seed = c.seed;
    r->loading.workers = (uint32_t)r->setup.workers;
    history_read(&r->past, beside(&r->setup, r->setup.csv, ".csv"), r->epoch);
    printf("resumed after epoch %u, step %u\n", r->epoch, r->step);
}

static void open_loader(run *r)
{
    an_loader_info info;
    an_source source;

    an_source_init(&source, sizeof source);
    an_loader_info_init(&info, sizeof info);
    if (an_pack_source(r->pack, &source) != AN_OK ||
        an_loader_create(&r->loader, r->model, &source, &r->loading) != AN_OK ||
        an_loader_describe(r->loader, &info) != AN_OK ||
        an_loader_seek(r->loader, r->epoch, r->step) != AN_OK)
        fail("loader");
    r->steps = info.steps;
}

/* --- saving ------------------------------------------------------------------------------ */

static void save(run *r)
{
    uint8_t bytes[AN_TRAINER_NOTE_BYTES] = {0};

    memcpy(bytes, &r->at, sizeof r->at);
    if (an_trainer_set_note(r->trainer, bytes) != AN_OK ||
        an_trainer_save(r->trainer, r->setup.out) != AN_OK)
        fail(r->setup.out);
    r->saved = seconds_now();
}

static void stop_here(run *r)
{
    const setup *s = &r->setup;

    save(r);
    printf("\nsaved; to go on:\n  %s --resume %s --out %s", r->program, s->out, s->out);
    if (s->towers != 1) printf(" --towers %lu", s->towers);
    if (s->val != NULL) printf(" --val %s", s->val);
    if (s->csv != NULL) printf(" --csv %s", s->csv);
    if (s->curves != NULL) printf(" --curves %s", s->curves);
    printf("%s %s\n", s->no_evaluation ? " --no-evaluation" : "", r->folder);
    exit(130);
}

/* --- an epoch ---------------------------------------------------------------------------- */

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

static void train_step(run *r)
{
    double started = seconds_now(), ready;
    an_step_stats stats;
    an_status status;
    an_batch batch;

    an_step_stats_init(&stats, sizeof stats);
    an_batch_init(&batch, sizeof batch);
    if (an_loader_next(r->loader, &batch) != AN_OK) fail(r->folder);
    ready = seconds_now();
    status = an_train_step(r->trainer, batch.images, batch.labels, batch.count, &stats);
    if (status == AN_ERROR_DIVERGED)
        fail("training diverged (a lower --lr may help; the last checkpoint stands)");
    if (status != AN_OK) fail("training");
    r->step++;
    r->at.loss += stats.loss * batch.count;
    r->at.top1 += stats.top1;
    r->at.waited += (float)(ready - started);
    r->at.seconds += (float)(seconds_now() - started);
    r->progress.done += batch.count;
    r->done = stats.iteration == r->setup.steps;
    say_flat(&stats);
}

static uint64_t seen(const run *r)
{
    uint64_t images = (uint64_t)r->step * r->at.batch;

    return images < r->info.count ? images : r->info.count;
}

static void show_progress(run *r)
{
    char text[160];

    snprintf(text, sizeof text, "epoch %u/%u  step %u/%u  loss %.4f", r->epoch + 1,
             r->at.epochs, r->step, r->steps, r->at.loss / (double)seen(r));
    progress_show(&r->progress, text,
                  (double)(r->at.epochs - r->epoch) * (double)r->info.count -
                      (double)seen(r));
}

static void train_epoch(run *r)
{
    while (r->step < r->steps && !r->done) {
        train_step(r);
        show_progress(r);
        if (interrupted) stop_here(r);
        if (seconds_now() - r->saved > (double)r->setup.save_every) save(r);
    }
}

/* Top-1 error of what is held out, negative if there is none. */
static double evaluate(run *r, epoch_row *row)
{
    scoring s;

    if (r->val == NULL || r->setup.no_evaluation) return -1;
    memset(&s, 0, sizeof s);
    s.models = &r->model;
    s.model_count = s.views = 1;
    if (score_pack(&s, r->val) != AN_OK) fail("evaluation");
    row->held_out_loss = s.total.loss / (double)s.total.count;
    row->held_out_top1 = s.total.top1 / (double)s.total.count;
    row->held_out_top5 = s.total.top5 / (double)s.total.count;
    return 1 - row->held_out_top1;
}

static void show_row(const epoch_row *row, double count)
{
    printf("epoch %.0f: loss %.4f, top-1 %.1f %%", row->epoch, row->train_loss,
           100 * row->train_top1);
    if (row->held_out_loss > 0)
        printf("; held out: loss %.4f, top-1 %.1f %%, top-5 %.1f %%", row->held_out_loss,
               100 * row->held_out_top1, 100 * row->held_out_top5);
    printf("; rate %g, %.1f images/s, waited %.1f %%\n", row->rate, count / row->seconds,
           100 * row->waited / row->seconds);
    fflush(stdout);
}

static void end_epoch(run *r)
{
    double count = (double)r->info.count;
    an_trainer_config c;
    an_epoch_info info;
    epoch_row row;
    char title[80];

    memset(&row, 0, sizeof row);
    an_trainer_config_init(&c, sizeof c);
    an_epoch_info_init(&info, sizeof info);
    an_trainer_get_config(r->trainer, &c);
    row.rate = (double)c.rate;
    row.iteration = (double)an_trainer_iteration(r->trainer);
    row.train_loss = r->at.loss / count;
    row.train_top1 = r->at.top1 / count;
    row.seconds = (double)r->at.seconds;
    row.waited = (double)r->at.waited;
    if (an_trainer_end_epoch(r->trainer, evaluate(r, &row), &info) != AN_OK)
        fail("epoch");
    row.epoch = r->epoch = info.epoch;
    r->step = 0;
    r->at.loss = r->at.top1 = 0;
    r->at.seconds = r->at.waited = 0;
    history_add(&r->past, &row);
    show_row(&row, count);
    if (info.dropped) printf("no better for some epochs: rate %g\n", (double)info.rate);
    r->done |= (int)info.finished || 1 - row.train_top1 <= r->setup.until_error;
    save(r);
    snprintf(title, sizeof title, "%u classes, %.0f training pictures", r->info.classes,
             count);
    if (history_write_csv(&r->past, beside(&r->setup, r->setup.csv, ".csv")) != 0)
        perror("csv");
    if (history_draw(&r->past, beside(&r->setup, r->setup.curves, ".png"), title) != 0)
        perror("curves");
}

/* After --steps: what a whole run would take. */
static void project(run *r)
{
    double images = (double)r->step * r->at.batch, rate = images / (double)r->at.seconds;

    progress_clear(&r->progress);
    save(r);
    printf("after %llu steps: loss of this epoch %.4f, %.1f images/s, waited %.2f %% of "
           "the time; %u epochs would take %.1f days\nsaved %s\n",
           (unsigned long long)an_trainer_iteration(r->trainer), r->at.loss / images,
           rate, 100 * (double)(r->at.waited / r->at.seconds), r->at.epochs,
           r->at.epochs * (double)r->info.count / rate / 86400, r->setup.out);
}

static void close_all(run *r)
{
    an_loader_destroy(r->loader);
    an_trainer_destroy(r->trainer);
    an_model_destroy(r->model);
    an_pack_close(r->pack);
    an_pack_close(r->val);
    an_context_destroy(r->ctx);
    free(r->past.rows);
}

int main(int argc, char **argv)
{
    an_context_config context;
    run r;

    memset(&r, 0, sizeof r);
    an_pack_info_init(&r.info, sizeof r.info);
    an_loader_config_init(&r.loading, sizeof r.loading);
    r.setup = setup_parse(argc, argv, &r.folder);
    r.program = argv[0];
    an_context_config_init(&context, sizeof context);
    context.threads = (uint32_t)r.setup.threads;
    if (an_context_create(&r.ctx, &context) != AN_OK) fail("context");
    open_packs(&r);
    if (r.setup.resume != NULL)
        resume(&r);
    else
        begin(&r);
    open_loader(&r);
    printf("%u classes, %llu training pictures, %u steps of %u an epoch, %u threads\n",
           r.info.classes, (unsigned long long)r.info.count, r.steps, r.at.batch,
           an_context_threads(r.ctx));
    interrupt_catch(on_interrupt);
    r.progress = progress_start();
    r.saved = r.progress.started;
    while (r.epoch < r.at.epochs && !r.done) {
        train_epoch(&r);
        if (r.step < r.steps) break;
        progress_clear(&r.progress);
        end_epoch(&r);
    }
    if (r.step > 0)
        project(&r);
    else
        printf("saved %s\n", r.setup.out);
    close_all(&r);
    return 0;
}
