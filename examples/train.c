/*
 * train.c - trains an AlexNet on a folder of pictures; saves, resumes, draws its curves.
 */
#define _POSIX_C_SOURCE 200809L
#include <alexnet.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/chart.h"
#include "common/dataset.h"
#include "common/options.h"
#include "common/progress.h"

static const char *arch_text = "paper", *init_text, *activation_text, *input_scale;
static const char *drop_at = "", *out_path = "alexnet.safetensors", *resume_path;
static const char *csv_path, *curves_path;
static unsigned long epochs = 60, batch = 32, seed = 1, threads, towers = 1, classes;
static double rate = 0.01, momentum = 0.9, decay = 0.0005, width = 1, val_split = 0.2;
static double drop_factor = 0.1;
static int no_lrn, no_dropout, no_crop, no_mirror;

/* Those that a checkpoint already holds are refused beside --resume. */
static option table[] = {
    {"--arch", OPTION_TEXT, &arch_text, 0, 0,
     "preset: alexnet-info --archs lists them (paper)", 0},
    {"--classes", OPTION_NUMBER, &classes, 2, 65536,
     "classes, if more than the folder has", 0},
    {"--width", OPTION_REAL, &width, 0.02, 4, "factor on every layer's maps (1)", 0},
    {"--init", OPTION_TEXT, &init_text, 0, 0, "gaussian, fan-in or he (the preset's)", 0},
    {"--activation", OPTION_TEXT, &activation_text, 0, 0, "relu, tanh or sigmoid", 0},
    {"--no-lrn", OPTION_FLAG, &no_lrn, 0, 0, "without response normalisation", 0},
    {"--no-dropout", OPTION_FLAG, &no_dropout, 0, 0, "without dropout", 0},
    {"--input-scale", OPTION_TEXT, &input_scale, 0, 0,
     "raw or unit (variance) (the preset's)", 0},
    {"--batch", OPTION_NUMBER, &batch, 1, 8192, "images of a step (32)", 0},
    {"--momentum", OPTION_REAL, &momentum, 0, 0.9999, "(0.9)", 0},
    {"--decay", OPTION_REAL, &decay, 0, 1, "weight decay (0.0005)", 0},
    {"--no-crop", OPTION_FLAG, &no_crop, 0, 0, "train on the centre, not on random crops",
     0},
    {"--no-mirror", OPTION_FLAG, &no_mirror, 0, 0, "train without mirroring", 0},
    {"--seed", OPTION_NUMBER, &seed, 0, 1e15,
     "of initialisation, order, dropout, crops (1)", 0},
    {"--towers", OPTION_NUMBER, &towers, 1, 2, "2: computed in two halves (1)", 0},
    {"--epochs", OPTION_NUMBER, &epochs, 1, 1e6, "passes over the training images (60)",
     0},
    {"--lr", OPTION_REAL, &rate, 0, 1000, "learning rate (0.01)", 0},
    {"--drop-at", OPTION_TEXT, &drop_at, 0, 0, "epochs after which it drops: 40,50", 0},
    {"--drop-factor", OPTION_REAL, &drop_factor, 1e-6, 1, "by this factor (0.1)", 0},
    {"--val-split", OPTION_REAL, &val_split, 0, 0.5, "share of each class held out (0.2)",
     0},
    {"--threads", OPTION_NUMBER, &threads, 0, 256, "0: all processors (0)", 0},
    {"--out", OPTION_TEXT, &out_path, 0, 0, "checkpoint (alexnet.safetensors)", 0},
    {"--csv", OPTION_TEXT, &csv_path, 0, 0, "a row for each epoch (OUT.csv)", 0},
    {"--curves", OPTION_TEXT, &curves_path, 0, 0, "picture of the curves (OUT.png)", 0},
    {"--resume", OPTION_TEXT, &resume_path, 0, 0, "go on from this checkpoint", 0},
    {NULL, OPTION_FLAG, NULL, 0, 0, NULL, 0}};
static const char *const held_by_checkpoint[] = {
    "--arch",   "--classes",    "--width",       "--init",  "--activation",
    "--no-lrn", "--no-dropout", "--input-scale", "--batch", "--momentum",
    "--decay",  "--no-crop",    "--no-mirror",   "--seed"};

/* Where a run stands, in the trainer's note. */
typedef struct place {
    uint64_t fingerprint; /* of the data */
    uint32_t epoch, step; /* epochs done; steps done of the next */
    double loss, top1;    /* sums over this epoch's images so far */
    double seconds, rate; /* this epoch so far; the first rate */
} place;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static uint32_t choice(const char *name, const char *text, const char *const names[])
{
    uint32_t i;

    if (text == NULL) return 0;
    for (i = 0; names[i] != NULL; i++)
        if (strcmp(text, names[i]) == 0) return i + 1;
    usage_error("%s %s: must be one of those that --help lists", name, text);
}

static const char *beside(const char *given, const char *suffix)
{
    char *path;

    if (given != NULL) return given;
    path = allocate(strlen(out_path) + strlen(suffix) + 1);
    sprintf(path, "%s%s", out_path, suffix);
    return path;
}

static uint32_t held_out_every(void)
{
    return val_split > 0 ? (uint32_t)(1 / val_split + 0.5) : 0;
}

/* The learning rate of an epoch: dropped once for each number of --drop-at it is past. */
static double rate_of(const place *at)
{
    const char *text = drop_at;
    double value = at->rate;

    while (*text != '\0') {
        char *end;
        unsigned long epoch = strtoul(text, &end, 10);

        if (end == text || (*end != ',' && *end != '\0'))
            usage_error("--drop-at %s: must be numbers with commas", drop_at);
        if (at->epoch >= epoch) value *= drop_factor;
        text = *end == ',' ? end + 1 : end;
    }
    return value;
}

/* --- making or loading ------------------------------------------------------------------- */

static uint32_t side_of(const an_model *model)
{
    an_preprocessing p;

    an_preprocessing_init(&p, sizeof p);
    an_model_get_preprocessing(model, &p);
    return p.side;
}

static void set_colours(an_model *model, const dataset *data)
{
    double mean[3], deviation[3];
    an_preprocessing p;
    int c, unit;

    an_preprocessing_init(&p, sizeof p);
    an_model_get_preprocessing(model, &p);
    unit = input_scale != NULL ? strcmp(input_scale, "unit") == 0 : p.scale[0] != 1;
    dataset_colours(data, mean, deviation);
    for (c = 0; c < 3; c++) {
        p.mean[c] = (float)mean[c];
        p.scale[c] = unit ? (float)(1 / deviation[c]) : 1;
    }
    if (an_model_set_preprocessing(model, &p) != AN_OK) fail("preprocessing");
}

static an_model *create_model(an_context *ctx, uint32_t class_count)
{
    static const char *const inits[] = {"gaussian", "fan-in", "he", NULL};
    static const char *const activations[] = {"relu", "tanh", "sigmoid", NULL};
    an_model_config c;
    an_model *model;

    an_model_config_init(&c, sizeof c);
    c.arch = an_arch_find(arch_text);
    if (c.arch == 0) usage_error("--arch %s: no such preset", arch_text);
    c.classes = class_count;
    c.width = (float)width;
    c.initialisation = choice("--init", init_text, inits);
    c.activation = choice("--activation", activation_text, activations);
    c.lrn = no_lrn ? AN_SWITCH_OFF : AN_SWITCH_PRESET;
    c.dropout = no_dropout ? AN_SWITCH_OFF : AN_SWITCH_PRESET;
    c.towers = (uint32_t)towers;
    c.seed = seed;
    if (an_model_create(&model, ctx, &c) != AN_OK) fail("model");
    return model;
}

static an_trainer *create_trainer(an_model *model)
{
    an_trainer_config c;
    an_trainer *trainer;

    an_trainer_config_init(&c, sizeof c);
    c.batch = (uint32_t)batch;
    c.augment = (no_crop ? 0u : AN_AUGMENT_CROP) | (no_mirror ? 0u : AN_AUGMENT_MIRROR);
    c.rate = (float)rate;
    c.momentum = (float)momentum;
    c.weight_decay = (float)decay;
    c.seed = seed;
    if (an_trainer_create(&trainer, model, &c) != AN_OK) fail("trainer");
    return trainer;
}

static void begin(an_context *ctx, const char *folder, dataset *data, an_model **model,
                  an_trainer **trainer, place *at)
{
    uint32_t i;

    /* The number of classes is the folder's, and the size of the pictures the model's: a
     * model made for two classes says the size. */
    *model = create_model(ctx, 2);
    dataset_read(data, folder, side_of(*model), held_out_every());
    an_model_destroy(*model);
    if (classes != 0 && classes < data->classes)
        usage_error("--classes %lu: the folder has %u", classes, data->classes);
    *model = create_model(ctx, classes != 0 ? (uint32_t)classes : data->classes);
    for (i = 0; i < data->classes; i++)
        if (an_model_set_class_name(*model, i, data->class_names[i]) != AN_OK)
            fail(data->class_names[i]);
    set_colours(*model, data);
    *trainer = create_trainer(*model);
    memset(at, 0, sizeof *at);
    at->fingerprint = data->fingerprint;
    at->rate = rate;
}

static void resume(an_context *ctx, const char *folder, dataset *data, an_model **model,
                   an_trainer **trainer, place *at)
{
    uint8_t note[AN_TRAINER_NOTE_BYTES];
    an_trainer_config c;
    an_load_config load;
    size_t i;

    for (i = 0; i < sizeof held_by_checkpoint / sizeof held_by_checkpoint[0]; i++)
        if (option_given(table, held_by_checkpoint[i]))
            usage_error("%s: the checkpoint has its own", held_by_checkpoint[i]);
    an_load_config_init(&load, sizeof load);
    load.towers = (uint32_t)towers;
    if (an_model_load(model, ctx, resume_path, &load) != AN_OK ||
        an_trainer_load(trainer, *model, resume_path) != AN_OK)
        fail(resume_path);
    an_trainer_get_note(*trainer, note);
    memcpy(at, note, sizeof *at);
    an_trainer_config_init(&c, sizeof c);
    an_trainer_get_config(*trainer, &c);
    batch = c.batch;
    seed = (unsigned long)c.seed;
    if (option_given(table, "--lr")) at->rate = rate;
    dataset_read(data, folder, side_of(*model), held_out_every());
    if (data->fingerprint != at->fingerprint)
        usage_error("%s: not the pictures, or not the --val-split, of the checkpoint",
                    folder);
    printf("resumed after epoch %u, step %u\n", at->epoch, at->step);
}

/* --- an epoch ---------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* The order of an epoch: a function of seed and epoch, so that a resumed run goes on. */
static void shuffle(uint32_t *order, uint32_t count, uint32_t epoch)
{
    uint64_t state = seed * 0x9E3779B97F4A7C15u + epoch;
    uint32_t i;

    for (i = 0; i < count; i++) order[i] = i;
    for (i = count; i > 1; i--) {
        uint32_t other = (uint32_t)(next_random(&state) % i), was = order[i - 1];

        order[i - 1] = order[other];
        order[other] = was;
    }
}

static void as_image(an_image *image, const dataset *data, const sample *from)
{
    an_image_init(image, sizeof *image);
    image->pixels = from->pixels;
    image->width = image->height = data->side;
}

static void save(an_trainer *trainer, const place *at)
{
    uint8_t note[AN_TRAINER_NOTE_BYTES] = {0};

    memcpy(note, at, sizeof *at);
    if (an_trainer_set_note(trainer, note) != AN_OK ||
        an_trainer_save(trainer, out_path) != AN_OK)
        fail(out_path);
}

static void stop_here(an_trainer *trainer, const place *at, const char *folder)
{
    save(trainer, at);
    printf("\nsaved; to go on:\n  train --resume %s --out %s --epochs %lu --val-split %g",
           out_path, out_path, epochs, val_split);
    if (*drop_at != '\0') printf(" --drop-at %s --drop-factor %g", drop_at, drop_factor);
    if (towers != 1) printf(" --towers %lu", towers);
    if (csv_path != NULL) printf(" --csv %s", csv_path);
    if (curves_path != NULL) printf(" --curves %s", curves_path);
    printf(" %s\n", folder);
    exit(130);
}

static void say_flat(const an_step_stats *stats)
{
    static int said;

    if (!stats->flat || said) return;
    said = 1;
    fprintf(
        stderr,
        "\nnot learning: after %llu steps the loss, %.3f, is still what guessing costs.\n"
        "Some starts never leave this. What helps: --init fan-in or he with "
        "--input-scale\n"
        "unit, another --seed, a larger --lr.\n",
        (unsigned long long)stats->iteration, stats->loss);
}

static void train_epoch(an_trainer *trainer, const dataset *data, place *at, progress *p,
                        const char *folder)
{
    uint32_t *order = allocate(data->train_count * sizeof *order), i, n;
    uint32_t steps = (uint32_t)((data->train_count + batch - 1) / batch);
    an_image *images = allocate(batch * sizeof *images);
    int32_t *labels = allocate(batch * sizeof *labels);
    an_step_stats stats;
    char text[160];

    an_step_stats_init(&stats, sizeof stats);
    if (an_trainer_set_rates(trainer, (float)rate_of(at), -1) != AN_OK) fail("rate");
    shuffle(order, data->train_count, at->epoch);
    while (at->step < steps) {
        uint32_t first = at->step * (uint32_t)batch;
        double started = seconds_now();

        n = data->train_count - first < batch ? data->train_count - first
                                              : (uint32_t)batch;
        for (i = 0; i < n; i++) {
            as_image(&images[i], data, &data->train[order[first + i]]);
            labels[i] = data->train[order[first + i]].label;
        }
        if (an_train_step_images(trainer, images, labels, n, &stats) != AN_OK)
            fail(strstr(an_error_message(), "not finite") != NULL
                     ? "training diverged (a lower --lr may help; the last checkpoint "
                       "stands)"
                     : "training");
        at->step++;
        at->loss += stats.loss * n;
        at->top1 += stats.top1;
        at->seconds += seconds_now() - started;
        p->done += n;
        say_flat(&stats);
        snprintf(text, sizeof text, "epoch %u/%lu  step %u/%u  loss %.4f", at->epoch + 1,
                 epochs, at->step, steps, at->loss / (first + n));
        progress_show(p, text,
                      (double)(epochs - at->epoch) * data->train_count - first - n);
        if (interrupted) stop_here(trainer, at, folder);
    }
    free(order);
    free(images);
    free(labels);
}

static void evaluate(an_model *model, const dataset *data, epoch_row *row)
{
    uint32_t first, n, i;
    an_evaluation e;
    an_image images[128];
    int32_t labels[128];

    an_evaluation_init(&e, sizeof e);
    for (first = 0; first < data->held_out_count; first += n) {
        n = data->held_out_count - first < batch ? data->held_out_count - first
                                                 : (uint32_t)batch;
        if (n > 128) n = 128;
        for (i = 0; i < n; i++) {
            as_image(&images[i], data, &data->held_out[first + i]);
            labels[i] = data->held_out[first + i].label;
        }
        if (an_evaluate_images(model, images, labels, n, &e) != AN_OK) fail("evaluation");
    }
    if (e.count == 0) return;
    row->held_out_loss = e.loss / (double)e.count;
    row->held_out_top1 = e.top1 / (double)e.count;
    row->held_out_top5 = e.top5 / (double)e.count;
}

static void end_epoch(an_model *model, an_trainer *trainer, const dataset *data,
                      place *at, history *past)
{
    epoch_row row;
    char title[80];

    memset(&row, 0, sizeof row);
    row.rate = rate_of(at);
    row.epoch = ++at->epoch;
    row.iteration = (unsigned long)an_trainer_iteration(trainer);
    row.train_loss = at->loss / data->train_count;
    row.train_top1 = at->top1 / data->train_count;
    row.seconds = at->seconds;
    evaluate(model, data, &row);
    at->step = 0;
    at->loss = at->top1 = at->seconds = 0;
    history_add(past, &row);
    printf(
        "epoch %lu: loss %.4f, top-1 %.1f %%; held out: loss %.4f, top-1 %.1f %%, top-5 "
        "%.1f %%; rate %g, %.1f images/s\n",
        row.epoch, row.train_loss, 100 * row.train_top1, row.held_out_loss,
        100 * row.held_out_top1, 100 * row.held_out_top5, row.rate,
        data->train_count / row.seconds);
    fflush(stdout);
    save(trainer, at);
    snprintf(title, sizeof title, "%u classes, %u training images", data->classes,
             data->train_count);
    if (history_write_csv(past, beside(csv_path, ".csv")) != 0) perror("csv");
    if (history_draw(past, beside(curves_path, ".png"), title) != 0) perror("curves");
}

int main(int argc, char **argv)
{
    int operands = options_parse(table, argc, argv,
                                 "[options] FOLDER   (a folder of pictures "
                                 "per class, or CIFAR-10's batches)");
    an_context_config context;
    an_context *ctx;
    an_model *model;
    an_trainer *trainer;
    struct sigaction action;
    dataset data;
    history past = {NULL, 0};
    progress p;
    place at;

    if (operands != 1) usage_error("one folder is wanted");
    if (input_scale != NULL && strcmp(input_scale, "raw") != 0 &&
        strcmp(input_scale, "unit") != 0)
        usage_error("--input-scale %s: must be raw or unit", input_scale);
    an_context_config_init(&context, sizeof context);
    context.threads = (uint32_t)threads;
    if (an_context_create(&ctx, &context) != AN_OK) fail("context");
    (resume_path != NULL ? resume : begin)(ctx, argv[1], &data, &model, &trainer, &at);
    rate_of(&at); /* complains now about a bad --drop-at */
    if (resume_path != NULL) history_read(&past, beside(csv_path, ".csv"), at.epoch);
    printf(
        "%u classes, %u training images, %u held out (%.0f MB in memory), %u threads\n",
        data.classes, data.train_count, data.held_out_count,
        (data.train_count + data.held_out_count) * 3e-6 * data.side * data.side,
        an_context_threads(ctx));

    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = (int)SA_RESETHAND; /* a second ^C ends the program at once */
    sigaction(SIGINT, &action, NULL);
    p = progress_start();
    while (at.epoch < epochs) {
        train_epoch(trainer, &data, &at, &p, argv[1]);
        progress_clear(&p);
        end_epoch(model, trainer, &data, &at, &past);
    }
    printf("saved %s\n", out_path);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
    dataset_free(&data);
    free(past.rows);
    return 0;
}
