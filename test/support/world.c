/*
 * world.c - one of each object of the library.
 */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "expect.h"
#include "scratch.h"

an_model_config world_model(void)
{
    return small_config(AN_ARCH_CIFAR10);
}

/* What a loader gives is all zero but for size and scratch. */
static int fetch(uint64_t index, an_sample *sample, void *user)
{
    world *w = user;

    if (index >= WORLD_SOURCE || sample->size != sizeof *sample ||
        sample->pixels != NULL || sample->width != 0 || sample->height != 0 ||
        sample->row_bytes != 0 || sample->label != 0 || sample->reserved != 0)
        return 1;
    sample->pixels = w->pixels;
    sample->width = sample->height = WORLD_SIDE;
    sample->label = (int32_t)index;
    return 0;
}

an_source world_source(world *w)
{
    an_source source;

    an_source_init(&source, sizeof source);
    source.count = WORLD_SOURCE;
    source.fetch = fetch;
    source.user = w;
    return source;
}

an_loader_config world_loading(void)
{
    an_loader_config config;

    an_loader_config_init(&config, sizeof config);
    config.batch = WORLD_BATCH;
    config.augment = 0;
    return config;
}

void world_open(world *w, counted *counts)
{
    an_model_config config = world_model();
    an_trainer_config training = small_training(WORLD_BATCH);
    an_loader_config loading = world_loading();
    an_source source = world_source(w);
    an_context_config context;

    w->at = place_open();
    an_context_destroy(w->at.ctx);
    an_context_config_init(&context, sizeof context);
    context.threads = 2;
    if (counts != NULL) counted_allocator(&context, counts);
    expect_ok(an_context_create(&w->at.ctx, &context));
    noise_bytes(w->pixels, sizeof w->pixels, 1);
    noise_floats(w->images, sizeof w->images / sizeof *w->images, 2, 1);
    w->labels[0] = 1, w->labels[1] = 0;
    an_image_init(&w->image, sizeof w->image);
    w->image.pixels = w->pixels;
    w->image.width = w->image.height = WORLD_SIDE;
    expect_ok(an_model_create(&w->model, w->at.ctx, &config));
    expect_ok(an_model_create(&w->free_model, w->at.ctx, &config));
    expect_ok(an_trainer_create(&w->trainer, w->model, &training));
    expect_ok(an_loader_create(&w->loader, w->model, &source, &loading));
    an_batch_init(&w->batch, sizeof w->batch);
    expect_ok(an_loader_next(w->loader, &w->batch));
    make_pack(&w->at, "pack", 1 << 20);
    w->pack = open_pack(&w->at, "pack");
    scratch_file(w->file);
    expect_ok(an_trainer_save(w->trainer, w->file));
}

void world_close(world *w)
{
    an_loader_destroy(w->loader);
    an_trainer_destroy(w->trainer);
    an_model_destroy(w->model);
    an_model_destroy(w->free_model);
    an_pack_destroy(w->pack);
    remove(w->file);
    place_close(&w->at);
}

void outputs_open(outputs *out, outputs *copy)
{
    noise_bytes((uint8_t *)out, sizeof *out, 99);
    an_evaluation_init(&out->sum, sizeof out->sum);
    an_step_stats_init(&out->stats, sizeof out->stats);
    an_epoch_info_init(&out->epoch, sizeof out->epoch);
    an_device_info_init(&out->device, sizeof out->device);
    an_batch_init(&out->batch, sizeof out->batch);
    an_recipe_info_init(&out->recipe, sizeof out->recipe);
    out->sum.top1 = 3;
    out->stats.loss = 4;
    out->epoch.best = 5;
    out->device.memory = 6;
    out->batch.count = 7;
    out->recipe.epochs = 8;
    memcpy(copy, out, sizeof *out);
}
