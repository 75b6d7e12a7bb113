/*
 * train.c - trains an AlexNet on a pack by a recipe; saves, resumes, draws its curves.
 */
#define _POSIX_C_SOURCE 200809L
#include <alexnet.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/canvas.h"
#include "common/options.h"
#include "common/progress.h"
#include "common/run.h"
#include "common/scoring.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* --- stopping ---------------------------------------------------------------------- */

static void stop_here(run *r)
{
    run_save(r);
    printf("\nsaved; to go on:\n  ");
    option_print(r->program);
    printf(" --resume ");
    option_print(r->setup.out);
    printf(" --out ");
    option_print(r->setup.out);
    setup_print_free();
    fputs(r->folder[0] == '-' ? " -- " : " ", stdout);
    option_print(r->folder);
    putchar('\n');
    exit(130);
}

/* --- an epoch ---------------------------------------------------------------------- */

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

/* Says what of the run is left. */
static const char *what_stands(const run *r)
{
    static char text[512];

    if (access(r->setup.out, F_OK) != 0) return "nothing was saved";
    snprintf(text, sizeof text, "%.400s stands as it was saved last", r->setup.out);
    return text;
}

static void check_step(const run *r, an_status status)
{
    char text[640];

    if (status == AN_OK) return;
    snprintf(text, sizeof text, "training diverged (a lower --lr may help; %s)",
             what_stands(r));
    fail(status == AN_ERROR_DIVERGED ? text : "training");
}

enum { BLOWN_UP = 10 };

/* A loss may blow up and stay finite: many times what guessing costs, and what the best
 * epoch before cost. Saved, it would take the place of what was learnt until then. */
static void check_loss(const run *r, double loss)
{
    double guessing = log((double)r->info.classes), best = INFINITY;
    size_t i;

    for (i = 0; i < r->past.count; i++) best = fmin(best, r->past.rows[i].train_loss);
    if (loss <= BLOWN_UP * guessing || !(loss > BLOWN_UP * best)) return;
    fprintf(stderr,
            "\ntraining diverged: epoch %u's loss is %.3g, where guessing costs %.3g and "
            "an epoch before %.3g (a lower --lr may help; %s)\n",
            r->epoch + 1, loss, guessing, best, what_stands(r));
    exit(1);
}

static uint64_t seen(const run *r)
{
    uint64_t images = (uint64_t)r->step * r->at.batch;

    return images < r->info.count ? images : r->info.count;
}

/* A device may be given the next step while it does one, if it is given bytes. */
static void begin_step(run *r)
{
    double started = seconds_now();
    an_batch batch;

    an_batch_init(&batch, sizeof batch);
    if (an_loader_next(r->loader, &batch) != AN_OK) fail(r->folder);
    r->at.waited += (float)(seconds_now() - started);
    r->ahead = batch.images == NULL && r->setup.micro_batch == 0 ? 2 : 1;
    check_step(r, an_train_step_begin(r->trainer, &batch));
    r->begun++;
}

static void end_step(run *r)
{
    uint64_t before = seen(r);
    an_step_stats stats;

    an_step_stats_init(&stats, sizeof stats);
    check_step(r, an_train_step_end(r->trainer, &stats));
    r->step++;
    r->at.loss += stats.loss * (double)(seen(r) - before);
    r->at.top1 += stats.top1;
    r->progress.done += (double)(seen(r) - before);
    r->done = run_has_steps(r, 0);
    say_flat(&stats);
}

/* One step ends, after those have begun that may be in flight beside it. */
static void train_step(run *r)
{
    double started = seconds_now();

    while (r->begun < r->steps && r->begun < r->step + r->ahead &&
           !run_has_steps(r, r->begun - r->step))
        begin_step(r);
    end_step(r);
    r->at.seconds += (float)(seconds_now() - started);
}

static void end_all(run *r)
{
    while (r->begun > r->step) end_step(r);
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
        if (interrupted || seconds_now() - r->saved > (double)r->setup.save_every) {
            end_all(r);
            check_loss(r, r->at.loss / (double)seen(r));
            if (interrupted) stop_here(r);
            run_save(r);
        }
    }
}

/* Top-1 error of what is held out, negative if there is none. */
static double evaluate(run *r, epoch_row *row)
{
    scoring s;

    row->held_out_loss = row->held_out_top1 = row->held_out_top5 = NAN;
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

static void show_row(const epoch_row *row, double count, uint32_t classes)
{
    printf("epoch %.0f: loss %.4f, top-1 %.1f %%", row->epoch, row->train_loss,
           100 * row->train_top1);
    if (!isnan(row->held_out_loss))
        printf("; held out: loss %.4f, top-1 %.1f %%", row->held_out_loss,
               100 * row->held_out_top1);
    if (!isnan(row->held_out_loss) && classes > 5)
        printf(", top-5 %.1f %%", 100 * row->held_out_top5);
    printf("; rate %g, %.1f images/s, waited %.1f %%\n", row->rate, count / row->seconds,
           100 * row->waited / row->seconds);
    fflush(stdout);
}

enum { MOST_LAYERS = 16 }; /* more than any network has */

/* Ends the trainer's epoch. A layer that is frozen stays so, whatever the schedule has
 * for it from this epoch on: --freeze says so, and a recipe's schedule does not know. */
static void end_trainers_epoch(run *r, double error, an_epoch_info *info)
{
    an_layer_info layers[MOST_LAYERS];
    int frozen[MOST_LAYERS];
    uint32_t count = 0, i;

    for (; count < MOST_LAYERS; count++) {
        float rate, bias_rate;

        an_layer_info_init(&layers[count], sizeof layers[count]);
        if (an_layer_describe(r->model, count, &layers[count]) != AN_OK) break;
        if (an_trainer_get_layer_rates(r->trainer, layers[count].name, &rate,
                                       &bias_rate) != AN_OK)
            fail("epoch");
        frozen[count] = rate == 0 && bias_rate == 0;
    }
    if (an_trainer_end_epoch(r->trainer, error, info) != AN_OK) fail("epoch");
    for (i = 0; i < count; i++)
        if (frozen[i] &&
            an_trainer_set_layer_rates(r->trainer, layers[i].name, 0, 0) != AN_OK)
            fail("epoch");
}

static void export_model(const run *r, const char *path, const char *what)
{
    if (path == NULL) return;
    if (an_model_save(r->model, path) != AN_OK) fail(path);
    printf("%s: %s\n", what, path);
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
    check_loss(r, row.train_loss);
    end_trainers_epoch(r, evaluate(r, &row), &info);
    row.epoch = r->epoch = info.epoch;
    r->step = r->begun = 0;
    r->at.loss = r->at.top1 = 0;
    r->at.seconds = r->at.waited = 0;
    history_add(&r->past, &row);
    show_row(&row, count, r->info.classes);
    if (info.dropped) printf("no better for some epochs: rate %g\n", (double)info.rate);
    r->done |= (int)info.finished || 1 - row.train_top1 <= r->setup.until_error;
    /* The table before the checkpoint: a run that goes on drops rows that are ahead of
     * it, and could not make up for one that is missing. */
    if (history_write_csv(&r->past, run_path(r, r->setup.csv, ".csv")) != 0)
        perror(run_path(r, r->setup.csv, ".csv"));
    if (row.held_out_top1 > r->at.best) { /* of two that are alike the first is kept */
        r->at.best = row.held_out_top1;
        export_model(r, r->setup.best, "the best so far");
    }
    run_save(r);
    snprintf(title, sizeof title, "%u classes, %.0f training pictures", r->info.classes,
             count);
    if (canvas_draws() &&
        history_draw(&r->past, run_path(r, r->setup.curves, ".png"), title) != 0)
        perror(run_path(r, r->setup.curves, ".png"));
}

/* After --steps: what a whole run would take. */
static void project(run *r)
{
    double images = (double)seen(r), rate = images / (double)r->at.seconds;
    double whole = r->at.epochs * (double)r->info.count / rate;
    char took[64];

    progress_clear(&r->progress);
    run_save(r);
    if (whole >= 86400)
        snprintf(took, sizeof took, "%.1f days", whole / 86400);
    else
        snprintf(took, sizeof took, "%d:%02d:%02d hours", (int)whole / 3600,
                 (int)whole / 60 % 60, (int)whole % 60);
    printf("after %llu steps: loss of this epoch %.4f, %.1f images/s, waited %.2f %% of "
           "the time; %u epochs would take %s\nsaved %s\n",
           (unsigned long long)an_trainer_iteration(r->trainer), r->at.loss / images,
           rate, 100 * (double)(r->at.waited / r->at.seconds), r->at.epochs, took,
           r->setup.out);
}

enum { TOO_FEW = 100 }; /* after so many the trainer itself says that nothing moves */

/* Some runs are too short to show anything: an epoch of few pictures has few steps. */
static void say_guessing(const run *r)
{
    double guessing = log((double)r->info.classes);

    if (r->past.count == 0 || an_trainer_iteration(r->trainer) >= TOO_FEW ||
        r->past.rows[r->past.count - 1].train_loss < 0.97 * guessing)
        return;
    fprintf(
        stderr,
        "after %llu steps the loss is still what guessing costs, %.3f: most networks "
        "need some\nhundreds of steps before it moves, and this run has %u in an epoch: "
        "see --epochs, or --batch\n",
        (unsigned long long)an_trainer_iteration(r->trainer), guessing, r->steps);
}

/* A run was resumed that has done what it was to do. */
static void say_done(run *r)
{
    const char *from = r->setup.resume, *out = r->setup.out;

    if (r->epoch < r->at.epochs)
        printf("nothing is left to do: %llu steps are done\n",
               (unsigned long long)an_trainer_iteration(r->trainer));
    else
        printf("nothing is left to do: all %u epochs are done; --epochs with more of "
               "them goes on,\n--from %s instead of --resume begins anew with its "
               "parameters\n",
               r->at.epochs, from);
    if (strcmp(from, out) == 0) return;
    run_save(r);
    printf("saved %s\n", out);
}

int main(int argc, char **argv)
{
    uint32_t before;
    run r;

    run_open(&r, argc, argv);
    before = r.epoch;
    printf("%u classes, %llu training pictures, %u steps of %u an epoch, %u threads\n",
           r.info.classes, (unsigned long long)r.info.count, r.steps, r.at.batch,
           an_context_threads(r.ctx));
    interrupt_catch(on_interrupt);
    r.progress = progress_start();
    r.saved = r.progress.started;
    r.done = run_has_steps(&r, 0);
    r.begun = r.step;
    r.ahead = 1;
    while (r.epoch < r.at.epochs && !r.done) {
        train_epoch(&r);
        if (r.step < r.steps) break;
        progress_clear(&r.progress);
        end_epoch(&r);
    }
    if (r.step > 0)
        project(&r);
    else if (r.epoch == before)
        say_done(&r);
    else
        printf("saved %s\n", r.setup.out);
    export_model(&r, r.setup.export_to, "the model alone");
    say_guessing(&r);
    run_close(&r);
    return 0;
}
