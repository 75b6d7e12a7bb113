/*
 * tiny.c - small packs; a training run's twin.
 */
#define _POSIX_C_SOURCE 200809L
#include "tiny.h"

#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/picture.h"
#include "expect.h"

/* --- files ------------------------------------------------------------------------- */

const char *tiny_path(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", programs_folder(), name);
    return path;
}

int tiny_exists(const char *name)
{
    return access(tiny_path(name), F_OK) == 0;
}

void tiny_write(const char *name, const void *bytes, size_t count)
{
    FILE *file = fopen(tiny_path(name), "wb");

    ck_assert_msg(file != NULL && fwrite(bytes, 1, count, file) == count &&
                      fclose(file) == 0,
                  "%s cannot be written", name);
}

/* --- a child's words --------------------------------------------------------------- */

static void write_to(int number, const char *name)
{
    int file = open(tiny_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0666);

    if (file < 0 || dup2(file, number) < 0) _exit(99);
    close(file);
}

said in_child(void (*function)(void *), void *argument)
{
    pid_t child;
    int status;
    said s;

    fflush(stdout);
    child = fork();
    ck_assert(child >= 0);
    if (child == 0) {
        write_to(STDOUT_FILENO, "out");
        write_to(STDERR_FILENO, "err");
        function(argument);
        fflush(stdout);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    s.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    s.out = file_read("out", NULL);
    s.err = file_read("err", NULL);
    return s;
}

/* --- packs ------------------------------------------------------------------------- */

static uint32_t noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 26;
}

/* A class has its colours, and a picture its noise. */
static void draw(uint8_t *pixels, uint32_t side, uint32_t label, uint32_t *state)
{
    size_t i, colour;

    for (i = 0; i < (size_t)side * side; i++)
        for (colour = 0; colour < 3; colour++)
            pixels[3 * i + colour] =
                (uint8_t)(20 + 24 * (label * (colour + 2) % 7) + noise(state));
}

static void add_picture(an_pack_writer *packing, const tiny_pack *of, uint32_t label,
                        uint8_t *pixels, uint32_t *state)
{
    uint8_t *bytes = NULL;
    size_t count = 0;

    draw(pixels, of->side, label, state);
    if (of->jpeg) {
        bytes = picture_encode(pixels, of->side, 90, &count);
        ck_assert_ptr_nonnull(bytes);
    }
    expect_ok(an_pack_writer_add(packing, pixels, bytes, count, (int32_t)label));
    free(bytes);
}

static void fill_pack(an_pack_writer *packing, const tiny_pack *of)
{
    uint8_t *pixels = malloc((size_t)3 * of->side * of->side);
    uint32_t state = of->seed, i;
    char name[64];

    for (i = 0; i < of->classes; i++) {
        snprintf(name, sizeof name, "%s %u", of->names, i);
        if (i + 1 == of->renamed) strcpy(name, "another");
        expect_ok(an_pack_writer_set_class_name(packing, i, name));
    }
    for (i = 0; i < of->count; i++)
        add_picture(packing, of, i % of->classes, pixels, &state);
    free(pixels);
}

void tiny_pack_make(const char *folder, const tiny_pack *given)
{
    tiny_pack of = *given;
    an_pack_writer_config config;
    an_pack_writer *packing;
    an_context *ctx;

    if (of.count == 0) of.count = TINY_COUNT;
    if (of.side == 0) of.side = TINY_SIDE;
    if (of.classes == 0) of.classes = TINY_CLASSES;
    if (of.names == NULL) of.names = "class";
    an_pack_writer_config_init(&config, sizeof config);
    config.side = of.side;
    config.classes = of.classes;
    config.fit = of.fit;
    config.kind = of.jpeg ? AN_PACK_JPEG : AN_PACK_RAW;
    expect_ok(an_context_create(&ctx, NULL));
    expect_ok(an_pack_writer_create(&packing, ctx, tiny_path(folder), &config));
    fill_pack(packing, &of);
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    an_context_destroy(ctx);
}

void tiny_packs_make(void)
{
    const tiny_pack train = {.seed = 1}, val = {.count = TINY_HELD_OUT, .seed = 2};

    ck_assert_int_eq(mkdir(tiny_path("data"), 0777), 0);
    tiny_pack_make("data/train", &train);
    tiny_pack_make("data/val", &val);
}

static void tiny_setup(void)
{
    programs_setup();
    tiny_packs_make();
}

TCase *tiny_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, tiny_setup, programs_teardown);
    tcase_set_timeout(tc, TINY_SECONDS);
    suite_add_tcase(suite, tc);
    return tc;
}

/* --- plans ------------------------------------------------------------------------- */

void plan_init(plan *p)
{
    memset(p, 0, sizeof *p);
    an_context_config_init(&p->context, sizeof p->context);
    an_model_config_init(&p->model, sizeof p->model);
    an_trainer_config_init(&p->trainer, sizeof p->trainer);
    an_loader_config_init(&p->loader, sizeof p->loader);
    p->context.threads = 1;
    p->model.arch = AN_ARCH_CIFAR10;
    p->model.image_size = 16;
    p->model.width = 0.1f;
    p->model.seed = p->trainer.seed = p->loader.seed = 1;
    p->trainer.batch = p->loader.batch = 8;
    p->trainer.rate = p->trainer.bias_rate = 0.01f;
    p->trainer.momentum = 0.9f;
    p->trainer.weight_decay = p->trainer.bias_decay = 0.0005f;
    p->loader.augment = AN_AUGMENT_CROP | AN_AUGMENT_MIRROR | AN_AUGMENT_COLOUR;
    p->loader.colour_sigma = 0.1f;
    p->unit = 1;
    p->train = "data/train";
    p->val = "data/val";
    plan_epochs(p, 60);
}

void plan_change(plan *p, uint32_t epoch, const char *layer, float rate, float bias_rate)
{
    an_rate_change *change = &p->changes[p->change_count++];

    an_rate_change_init(change, sizeof *change);
    change->epoch = epoch;
    snprintf(change->layer, sizeof change->layer, "%s", layer);
    change->rate = rate;
    change->bias_rate = bias_rate;
}

void plan_epochs(plan *p, uint32_t epochs)
{
    p->epochs = epochs;
    p->change_count = 0;
    plan_change(p, (uint32_t)fmax(1, floor(epochs * 45 / 60.0 + 0.5)), "", 1e-3f, 1e-3f);
    plan_change(p, (uint32_t)fmax(1, floor(epochs * 55 / 60.0 + 0.5)), "", 1e-4f, 1e-4f);
}

/* --- the twin ---------------------------------------------------------------------- */

void twin_open(twin *t, const plan *p)
{
    an_pack_info info;

    memset(t, 0, sizeof *t);
    t->plan = *p;
    an_pack_info_init(&info, sizeof info);
    expect_ok(an_context_create(&t->ctx, &p->context));
    expect_ok(an_pack_open(&t->pack, t->ctx, tiny_path(p->train), picture_decode, NULL));
    if (p->val != NULL)
        expect_ok(an_pack_open(&t->val, t->ctx, tiny_path(p->val), picture_decode, NULL));
    expect_ok(an_pack_describe(t->pack, &info));
    if (t->plan.model.classes == 0) t->plan.model.classes = info.classes;
    expect_ok(an_model_create(&t->model, t->ctx, &t->plan.model));
    expect_ok(an_pack_prepare_model(t->pack, t->model, p->unit, p->mean_image));
}

void twin_begin(twin *t)
{
    const plan *p = &t->plan;
    an_loader_info info;
    an_source source;
    uint32_t i;

    an_source_init(&source, sizeof source);
    an_loader_info_init(&info, sizeof info);
    expect_ok(an_trainer_create(&t->trainer, t->model, &p->trainer));
    expect_ok(an_trainer_set_schedule(t->trainer, p->changes, p->change_count));
    for (i = 0; i < 4 && p->frozen[i] != NULL; i++)
        expect_ok(an_trainer_set_layer_rates(t->trainer, p->frozen[i], 0, 0));
    expect_ok(an_pack_source(t->pack, &source));
    expect_ok(an_loader_create(&t->loader, t->model, &source, &p->loader));
    expect_ok(an_loader_describe(t->loader, &info));
    t->steps = info.steps;
}

static void one_step(twin *t)
{
    an_step_stats stats;
    an_batch batch;

    an_step_stats_init(&stats, sizeof stats);
    an_batch_init(&batch, sizeof batch);
    expect_ok(an_loader_next(t->loader, &batch));
    expect_ok(an_train_step_batch(t->trainer, &batch, &stats));
    t->loss += stats.loss * batch.count;
    t->top1 += stats.top1;
    t->step++;
}

/* Adds a picture's result to the sums. A loss counts at most as that of the smallest
 * normal float. */
static void score(const float *probabilities, uint32_t classes, int32_t label,
                  epoch_row *row)
{
    uint32_t better = 0, i;

    for (i = 0; i < classes; i++) better += probabilities[i] > probabilities[label];
    row->held_out_top1 += better < 1;
    row->held_out_top5 += better < 5;
    row->held_out_loss -= log(fmax((double)probabilities[label], (double)FLT_MIN));
}

/* The held-out pictures, all at once. */
static void evaluate(const twin *t, epoch_row *row)
{
    uint32_t classes = t->plan.model.classes, i;
    an_pack_info info;
    an_image *images;
    uint8_t *pixels;
    float *answers;
    size_t bytes;

    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(t->val, &info));
    bytes = (size_t)3 * info.side * info.side;
    pixels = malloc(info.count * bytes);
    images = malloc(info.count * sizeof *images);
    answers = malloc(info.count * classes * sizeof *answers);
    for (i = 0; i < info.count; i++) {
        an_image_init(&images[i], sizeof images[i]);
        images[i].pixels = pixels + i * bytes;
        images[i].width = images[i].height = info.side;
        expect_ok(an_pack_read(t->val, i, pixels + i * bytes, ENOUGH, NULL));
    }
    expect_ok(an_infer_images(t->model, images, (uint32_t)info.count, answers, ENOUGH));
    for (i = 0; i < info.count; i++) {
        int32_t label;

        expect_ok(an_pack_read(t->val, i, NULL, 0, &label));
        score(answers + (size_t)i * classes, classes, label, row);
    }
    row->held_out_loss /= (double)info.count;
    row->held_out_top1 /= (double)info.count;
    row->held_out_top5 /= (double)info.count;
    free(pixels);
    free(images);
    free(answers);
}

static void end_epoch(twin *t)
{
    an_trainer_config c;
    an_epoch_info info;
    an_pack_info pack;
    epoch_row row;

    memset(&row, 0, sizeof row);
    an_trainer_config_init(&c, sizeof c);
    an_epoch_info_init(&info, sizeof info);
    an_pack_info_init(&pack, sizeof pack);
    expect_ok(an_pack_describe(t->pack, &pack));
    expect_ok(an_trainer_get_config(t->trainer, &c));
    row.epoch = ++t->epoch;
    row.iteration = (double)t->epoch * t->steps;
    row.rate = (double)c.rate;
    row.train_loss = t->loss / (double)pack.count;
    row.train_top1 = t->top1 / (double)pack.count;
    if (t->val != NULL)
        evaluate(t, &row);
    else
        row.held_out_loss = row.held_out_top1 = row.held_out_top5 = NAN;
    expect_ok(an_trainer_end_epoch(t->trainer,
                                   t->val != NULL ? 1 - row.held_out_top1 : -1, &info));
    history_add(&t->past, &row);
    t->loss = t->top1 = 0;
    t->step = 0;
    t->finished = (int)info.finished;
}

void twin_train(twin *t)
{
    uint64_t last = t->plan.steps > 0 ? t->plan.steps : UINT64_MAX;

    while (t->epoch < t->plan.epochs && !t->finished &&
           an_trainer_iteration(t->trainer) < last) {
        one_step(t);
        if (t->step == t->steps) end_epoch(t);
    }
}

void twin_run(twin *t, const plan *p)
{
    twin_open(t, p);
    twin_begin(t);
    twin_train(t);
}

void twin_free(twin *t)
{
    an_loader_destroy(t->loader);
    an_trainer_destroy(t->trainer);
    an_model_destroy(t->model);
    an_pack_destroy(t->pack);
    an_pack_destroy(t->val);
    an_context_destroy(t->ctx);
    free(t->past.rows);
}
