/*
 * run.c - beginning, resuming and saving a training run.
 */
#define _POSIX_C_SOURCE 200809L
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "output.h"
#include "picture.h"
#include "scoring.h"

static char *join(const char *a, const char *b)
{
    char *text = allocate(strlen(a) + strlen(b) + 1);

    strcpy(text, a);
    return strcat(text, b);
}

const char *run_path(const run *r, const char *named, const char *suffix)
{
    return named != NULL ? named : join(r->setup.out, suffix);
}

/* --- beginning --------------------------------------------------------------------- */

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

static void check_val(const run *r)
{
    an_pack_info info;

    an_pack_info_init(&info, sizeof info);
    if (r->val == NULL) return;
    if (an_pack_describe(r->val, &info) != AN_OK) fail("--val");
    if (info.classes != r->info.classes)
        usage_error("the held-out pack has %u classes, the other %u", info.classes,
                    r->info.classes);
    check_pack(r->val, r->model, "the held-out pack");
}

static void check_held_out(const run *r)
{
    an_trainer_config c;

    if (r->setup.best != NULL && (r->val == NULL || r->setup.no_evaluation))
        usage_error("--keep-best: a held-out pack and its evaluation are wanted");

    an_trainer_config_init(&c, sizeof c);
    if (an_trainer_get_config(r->trainer, &c) != AN_OK) fail("trainer");
    if (c.plateau_drops > 0 && (r->val == NULL || r->setup.no_evaluation))
        usage_error(
            "the rate is to drop when the held-out error stops falling (--plateau, "
            "or the recipe's): a held-out pack and its evaluation are wanted, or "
            "--drop-at");
}

static void begin(run *r)
{
    r->model = setup_model(&r->setup, r->ctx, r->pack);
    /* --from's model has its own way to fit pictures. */
    check_pack(r->pack, r->model, r->folder);
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

    device_load_config(&r->setup.device, &load);
    if (r->setup.towers == 2) load.towers = 2;
    an_trainer_config_init(&c, sizeof c);
    if (an_model_load(&r->model, r->ctx, path, &load) != AN_OK) fail(path);
    check_pack(r->pack, r->model, r->folder);
    if (an_trainer_load(&r->trainer, r->model, path) != AN_OK ||
        an_trainer_get_note(r->trainer, bytes) != AN_OK ||
        an_trainer_get_config(r->trainer, &c) != AN_OK ||
        an_trainer_epoch(r->trainer, &r->epoch, &r->step) != AN_OK)
        fail(path);
    memcpy(&r->at, bytes, sizeof r->at);
    if (r->at.pictures != r->info.count)
        usage_error("%s has %llu pictures, the run that is to go on had %llu", r->folder,
                    (unsigned long long)r->info.count,
                    (unsigned long long)r->at.pictures);
    if (r->setup.epochs > 0 && r->setup.epochs <= r->epoch)
        usage_error("--epochs %lu: %s has %u behind it", r->setup.epochs, path, r->epoch);
    if (r->setup.epochs > 0) r->at.epochs = (uint32_t)r->setup.epochs;
    r->loading.batch = r->at.batch;
    r->loading.augment = r->at.augment;
    r->loading.crop_group = r->at.crop_group;
    r->loading.colour_rule = r->at.colour_rule;
    r->loading.colour_sigma = r->at.colour_sigma;
    r->loading.colour_divisor = r->at.colour_divisor;
    r->loading.colour_epochs = r->at.colour_epochs;
    r->loading.seed = c.seed;
    r->loading.workers = (uint32_t)r->setup.workers;
    history_read(&r->past, run_path(r, r->setup.csv, ".csv"), r->epoch);
    printf("resumed after epoch %u, step %u, at rate %g\n", r->epoch, r->step,
           (double)c.rate);
}

static void open_loader(run *r)
{
    an_loader_info info;
    an_source source;

    an_source_init(&source, sizeof source);
    an_loader_info_init(&info, sizeof info);
    if (an_pack_source(r->pack, &source) != AN_OK ||
        an_loader_create(&r->loader, r->model, &source, &r->loading) != AN_OK ||
        an_loader_describe(r->loader, &info) != AN_OK)
        fail("loader");
    r->steps = info.steps;
    if (an_loader_seek(r->loader, r->epoch + r->step / r->steps, r->step % r->steps) !=
        AN_OK)
        fail("loader"); /* a save may stand between an epoch's last step and its end */
}

int run_has_steps(const run *r, uint32_t more)
{
    return r->setup.steps > 0 &&
           an_trainer_iteration(r->trainer) + more >= r->setup.steps;
}

/* --- saving ------------------------------------------------------------------------ */

void run_save(run *r)
{
    uint8_t bytes[AN_TRAINER_NOTE_BYTES] = {0};

    memcpy(bytes, &r->at, sizeof r->at);
    if (an_trainer_set_note(r->trainer, bytes) != AN_OK ||
        an_trainer_save(r->trainer, r->setup.out) != AN_OK)
        fail(r->setup.out);
    r->saved = seconds_now();
}

/* What cannot be saved is better said before the first step than after an epoch. */
static void check_out(const char *what, const char *path)
{
    struct stat info;

    output_check(what, path);
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        usage_error("%s %s: is a pipe, socket or device, not a file", what, path);
}

void run_open(run *r, int argc, char **argv)
{
    an_context_config context;

    memset(r, 0, sizeof *r);
    an_pack_info_init(&r->info, sizeof r->info);
    an_loader_config_init(&r->loading, sizeof r->loading);
    r->loading.keep_uint8 = 1;
    r->setup = setup_parse(argc, argv, &r->folder);
    r->program = argv[0];
    check_out("--out", r->setup.out);
    if (r->setup.best != NULL) check_out("--keep-best", r->setup.best);
    if (r->setup.export_to != NULL) check_out("--export", r->setup.export_to);
    if (same_file(r->setup.out, r->setup.best) ||
        same_file(r->setup.out, r->setup.export_to) ||
        same_file(r->setup.best, r->setup.export_to))
        usage_error("--out, --keep-best and --export: must be different files");
    output_apart(r->setup.best, r->setup.from);
    output_apart(r->setup.best, r->setup.resume);
    output_apart(r->setup.export_to, r->setup.from);
    output_apart(r->setup.export_to, r->setup.resume);
    output_lock(r->setup.out);
    an_context_config_init(&context, sizeof context);
    context.threads = (uint32_t)r->setup.threads;
    device_context_config(&r->setup.device, &context);
    if (an_context_create(&r->ctx, &context) != AN_OK) fail("context");
    open_packs(r);
    if (r->setup.resume != NULL)
        resume(r);
    else
        begin(r);
    check_val(r);
    check_held_out(r);
    open_loader(r);
}

void run_close(run *r)
{
    an_loader_destroy(r->loader);
    an_trainer_destroy(r->trainer);
    an_model_destroy(r->model);
    an_pack_destroy(r->pack);
    an_pack_destroy(r->val);
    an_context_destroy(r->ctx);
    free(r->past.rows);
}
