/*
 * loader.c - batches prepared on threads of their own while the last one trains.
 *
 * A ring of slots, each a batch. Workers take a few pictures at a time of the oldest
 * batch that has some left, and begin a new batch when a slot is free. Where a batch
 * stands in the epoch decides its pictures and all that is random about them (draws.c);
 * who prepares them does not.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/data.h"

AN_INIT_ZERO(an_source)
AN_INIT_ZERO(an_batch)
AN_INIT_ZERO(an_loader_info)

void an_loader_config_init(an_loader_config *config, size_t size)
{
    an_loader_config defaults;

    memset(&defaults, 0, sizeof defaults);
    defaults.batch = 128; /* the paper, section 5 */
    defaults.workers = 1;
    defaults.prefetch = 2;
    defaults.shuffle = 1;
    defaults.augment = AN_AUGMENT_CROP | AN_AUGMENT_MIRROR | AN_AUGMENT_COLOUR;
    defaults.crop_group = 1;
    defaults.colour_sigma = 0.1f; /* the paper, 4.1 */
    defaults.colour_divisor = 1;
    an__struct_init(config, size, &defaults, sizeof defaults);
}

#define TAKE 4u /* pictures that a worker takes at a time */

typedef struct slot {
    float *images;  /* or: */
    uint8_t *crops; /* with */
    an_view *views;
    int32_t *labels;
    uint64_t *indices;
    uint32_t count, taken, done; /* pictures: in the batch, begun, ready */
    uint32_t epoch, step, last;
    uint64_t order_number; /* of its first picture in the epoch */
    an_status status;      /* of the first picture that failed, */
    uint32_t failed;       /* its place, */
    char message[320];     /* and why */
} slot;

typedef struct worker {
    an_loader *loader;
    pthread_t thread;
    void *scratch;
} worker;

struct an_loader {
    an_model *model;
    an_context *ctx;
    an_input input; /* the model's at creation; the mean image is a copy */
    an_source source;
    an_loader_config config;
    uint32_t steps; /* of an epoch */
    uint32_t started;
    worker *workers;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work, ready;
    slot *slots;                       /* [slot_count] */
    uint32_t slot_count, head, filled; /* ring: `filled` batches, the oldest at head */
    int lent;                          /* the host has the batch at head */
    int stop;
    uint32_t busy;        /* workers that prepare pictures */
    uint32_t epoch, step; /* of the batch to begin next */
    uint32_t *order;      /* of `ordered`'s epoch: [count]; null without shuffling */
    uint64_t ordered;     /* epoch + 1; 0: none */
    uint64_t prepared;
    double worked, waited;
};

/* --- one picture ------------------------------------------------------------------- */

static an_status sample_check(const an_loader *l, const an_sample *sample,
                              an_image *image)
{
    uint32_t classes = l->model->net.plan->config.classes;
    an_image given;

    AN_CHECK(sample->label >= 0 && (uint32_t)sample->label < classes,
             "its label is %ld: must be 0 to %u", (long)sample->label, classes - 1);
    an_image_init(&given, sizeof given);
    given.pixels = sample->pixels;
    given.width = sample->width;
    given.height = sample->height;
    given.row_bytes = sample->row_bytes;
    return an__image_check(&given, image);
}

static an_status prepare(an_loader *l, worker *w, slot *s, uint32_t place)
{
    uint32_t size = l->input.size, y;
    size_t elements = (size_t)3 * size * size;
    an_sample sample;
    an_image image;
    an_view view;

    memset(&sample, 0, sizeof sample);
    sample.size = sizeof sample;
    sample.scratch = w->scratch;
    if (l->source.fetch(s->indices[place], &sample, l->source.user) != 0)
        return an__source_is_pack(&l->source)
                   ? AN_ERROR_FORMAT
                   : an__fail(AN_ERROR_IO, "the source could not fetch it");
    AN_TRY(sample_check(l, &sample, &image));
    view = an__loader_view(&l->config, &l->input, s->epoch, s->order_number + place);
    s->labels[place] = sample.label;
    if (s->crops != NULL) {
        s->views[place] = view;
        an__input_crop(l->ctx, &l->input, &image, &view, s->crops + place * elements);
        return AN_OK;
    }
    for (y = 0; y < size; y += AN_INPUT_ROWS)
        an__input_rows(&l->input, &image, &view, y,
                       size - y < AN_INPUT_ROWS ? size - y : AN_INPUT_ROWS,
                       s->images + place * elements);
    return AN_OK;
}

/* --- workers ----------------------------------------------------------------------- */

static slot *slot_at(an_loader *l, uint32_t number)
{
    return &l->slots[(l->head + number) % l->slot_count];
}

/* The next batch into a free slot. */
static void begin_batch(an_loader *l)
{
    slot *s = slot_at(l, l->filled++);
    uint64_t left, i;

    s->epoch = l->epoch;
    s->step = l->step;
    s->order_number = (uint64_t)l->step * l->config.batch;
    left = l->source.count - s->order_number;
    s->count = left < l->config.batch ? (uint32_t)left : l->config.batch;
    s->taken = s->done = 0;
    s->status = AN_OK;
    s->last = l->step + 1 == l->steps;
    if (l->config.shuffle && l->ordered != (uint64_t)l->epoch + 1) {
        an__loader_order(&l->config, l->epoch, (uint32_t)l->source.count, l->order);
        l->ordered = (uint64_t)l->epoch + 1;
    }
    for (i = 0; i < s->count; i++)
        s->indices[i] =
            l->config.shuffle ? l->order[s->order_number + i] : s->order_number + i;
    l->step = s->last ? 0 : l->step + 1;
    l->epoch += s->last;
}

/* A batch with pictures to prepare; null: none, and no room to begin one. */
static slot *find_work(an_loader *l)
{
    uint32_t i;

    for (i = 0; i < l->filled; i++)
        if (slot_at(l, i)->taken < slot_at(l, i)->count) return slot_at(l, i);
    if (l->filled == l->slot_count) return NULL;
    begin_batch(l);
    return slot_at(l, l->filled - 1);
}

static void note_failure(slot *s, uint32_t place, an_status status)
{
    if (s->status != AN_OK && s->failed < place) return;
    s->status = status;
    s->failed = place;
    snprintf(s->message, sizeof s->message, "%.300s", an_error_message());
}

/* Prepares some of the slot's pictures; the lock is held before and after, not
 * between. */
static void do_some(an_loader *l, worker *w, slot *s)
{
    uint32_t first = s->taken, end, place;
    double started;

    end = s->count - first < TAKE ? s->count : first + TAKE;
    s->taken = end;
    l->busy++;
    pthread_mutex_unlock(&l->lock);
    started = an__seconds();
    for (place = first; place < end; place++) {
        an_status status = prepare(l, w, s, place);

        if (status == AN_OK) continue;
        pthread_mutex_lock(&l->lock);
        note_failure(s, place, status);
        pthread_mutex_unlock(&l->lock);
    }
    started = an__seconds() - started;
    pthread_mutex_lock(&l->lock);
    l->busy--;
    l->worked += started;
    l->prepared += end - first;
    s->done += end - first;
    /* Whoever waits for a batch is woken when it is whole, not for every few pictures. */
    if (s->done == s->count || (l->stop && l->busy == 0))
        pthread_cond_broadcast(&l->ready);
}

static void *worker_main(void *self)
{
    worker *w = self;
    an_loader *l = w->loader;

    pthread_mutex_lock(&l->lock);
    while (l->stop != 1) {
        slot *s = l->stop ? NULL : find_work(l);

        if (s != NULL)
            do_some(l, w, s);
        else
            pthread_cond_wait(&l->work, &l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* --- life -------------------------------------------------------------------------- */

static void loader_free(an_loader *l)
{
    an_context *ctx = l->ctx;
    uint32_t i;

    for (i = 0; l->slots != NULL && i < l->slot_count; i++) {
        an__free(&ctx->memory, l->slots[i].images);
        an__host_free(ctx, l->model->net.backend, l->model->net.device[0],
                      l->slots[i].crops);
        an__free(&ctx->memory, l->slots[i].views);
        an__free(&ctx->memory, l->slots[i].labels);
        an__free(&ctx->memory, l->slots[i].indices);
    }
    for (i = 0; l->workers != NULL && i < l->config.workers; i++)
        an__free(&ctx->memory, l->workers[i].scratch);
    an__free(&ctx->memory, l->slots);
    an__free(&ctx->memory, l->workers);
    an__free(&ctx->memory, l->order);
    an__free(&ctx->memory, l->input.mean_image);
    an__model_release(l->model);
    an__free(&ctx->memory, l);
    an__context_release(ctx);
}

void an_loader_destroy(an_loader *l)
{
    uint32_t i;

    if (l == NULL) return;
    if (an__context_check(l->ctx) == AN_OK) { /* a forked child has no workers */
        pthread_mutex_lock(&l->lock);
        l->stop = 1;
        pthread_cond_broadcast(&l->work);
        pthread_mutex_unlock(&l->lock);
        for (i = 0; i < l->started; i++) pthread_join(l->workers[i].thread, NULL);
        pthread_cond_destroy(&l->work);
        pthread_cond_destroy(&l->ready);
        pthread_mutex_destroy(&l->lock);
    }
    loader_free(l);
}

static an_status config_check(const an_loader_config *c)
{
    AN_CHECK(c->batch >= 1 && c->batch <= 8192, "config.batch is %u: must be 1 to 8192",
             c->batch);
    AN_CHECK(c->workers >= 1 && c->workers <= 256,
             "config.workers is %u: must be 1 to 256", c->workers);
    AN_CHECK(c->prefetch >= 1 && c->prefetch <= 64,
             "config.prefetch is %u: must be 1 to 64", c->prefetch);
    AN_CHECK(c->shuffle <= 1, "config.shuffle is %u: must be 0 or 1", c->shuffle);
    AN_CHECK(c->augment <= (AN_AUGMENT_CROP | AN_AUGMENT_MIRROR | AN_AUGMENT_COLOUR),
             "config.augment is %u: must be a sum of AN_AUGMENT_*", c->augment);
    AN_CHECK(c->crop_group >= 1 && c->crop_group <= 8192,
             "config.crop_group is %u: must be 1 to 8192", c->crop_group);
    AN_CHECK(c->colour_rule <= AN_COLOUR_EIGENVALUE,
             "config.colour_rule is %u: not one of an_colour_rule", c->colour_rule);
    AN_CHECK(c->colour_sigma >= 0 && c->colour_sigma <= 10,
             "config.colour_sigma is %g: must be 0 to 10", (double)c->colour_sigma);
    AN_CHECK(c->keep_uint8 <= 1, "config.keep_uint8 is %u: must be 0 or 1",
             c->keep_uint8);
    AN_CHECK(c->reserved == 0, "config.reserved is %u: must be 0", c->reserved);
    AN_CHECK(c->colour_divisor >= 0.1f && c->colour_divisor <= 10,
             "config.colour_divisor is %g: must be 0.1 to 10", (double)c->colour_divisor);
    return AN_OK;
}

static an_status source_check(const an_source *source)
{
    AN_CHECK(source->count >= 1 && source->count <= UINT32_MAX,
             "source.count is %llu: must be 1 to 4294967295",
             (unsigned long long)source->count);
    AN_CHECK(source->fetch != NULL, "source.fetch is null");
    return AN_OK;
}

/* The preprocessing of this moment: the host may change the model's later. */
static an_status take_input(an_loader *l)
{
    const an_preprocessing *p = &l->input.p;
    size_t bytes = an__mean_count(&l->model->input) * sizeof(float);

    l->input = l->model->input;
    l->input.mean_image = NULL;
    if ((l->config.augment & AN_AUGMENT_COLOUR) && l->config.colour_sigma > 0 &&
        p->colour_deviation[0] == 0 && p->colour_deviation[1] == 0 &&
        p->colour_deviation[2] == 0)
        return an__fail(AN_ERROR_STATE,
                        "config.augment has AN_AUGMENT_COLOUR, and the model's "
                        "preprocessing has no colour_deviation: are all pictures of one "
                        "colour?");
    if (l->model->input.mean_image == NULL) return AN_OK;
    l->input.mean_image = an__alloc(&l->ctx->memory, bytes);
    if (l->input.mean_image == NULL) return AN_ERROR_MEMORY;
    memcpy(l->input.mean_image, l->model->input.mean_image, bytes);
    return AN_OK;
}

static an_status slots_make(an_loader *l)
{
    size_t batch = l->config.batch, elements = (size_t)3 * l->input.size * l->input.size;
    int bytes = l->config.keep_uint8 && l->model->net.backend->async != NULL;
    uint32_t i;

    l->slot_count = l->config.prefetch + 1;
    l->slots = an__alloc_zero(&l->ctx->memory, l->slot_count * sizeof *l->slots);
    if (l->slots == NULL) return AN_ERROR_MEMORY;
    for (i = 0; i < l->slot_count; i++) {
        slot *s = &l->slots[i];

        if (bytes) {
            AN_TRY(an__host_alloc(l->ctx, l->model->net.backend, l->model->net.device[0],
                                  batch * elements, &s->crops));
            s->views = an__alloc(&l->ctx->memory, batch * sizeof *s->views);
        } else {
            s->images = an__alloc(&l->ctx->memory, batch * elements * sizeof *s->images);
        }
        s->labels = an__alloc(&l->ctx->memory, batch * sizeof *s->labels);
        s->indices = an__alloc(&l->ctx->memory, batch * sizeof *s->indices);
        if ((bytes ? s->crops == NULL || s->views == NULL : s->images == NULL) ||
            s->labels == NULL || s->indices == NULL)
            return AN_ERROR_MEMORY;
    }
    if (!l->config.shuffle) return AN_OK;
    l->order = an__alloc(&l->ctx->memory, (size_t)l->source.count * sizeof *l->order);
    return l->order != NULL ? AN_OK : AN_ERROR_MEMORY;
}

static an_status workers_start(an_loader *l)
{
    uint32_t i;
    int failed = 0;

    l->workers = an__alloc_zero(&l->ctx->memory, l->config.workers * sizeof *l->workers);
    if (l->workers == NULL) return AN_ERROR_MEMORY;
    for (i = 0; i < l->config.workers; i++) {
        l->workers[i].loader = l;
        if (l->source.scratch_bytes == 0) continue;
        l->workers[i].scratch = an__alloc(&l->ctx->memory, l->source.scratch_bytes);
        if (l->workers[i].scratch == NULL) return AN_ERROR_MEMORY;
    }
    while (l->started < l->config.workers && !failed) {
        worker *w = &l->workers[l->started];

        failed = an__thread_start(&w->thread, worker_main, w);
        l->started += !failed;
    }
    if (failed)
        return an__fail(AN_ERROR_MEMORY,
                        "config.workers is %u: the system refused number %u: %s",
                        l->config.workers, l->started + 1, strerror(failed));
    return AN_OK;
}

static an_status loader_fill(an_loader *l)
{
    AN_TRY(take_input(l));
    AN_TRY(slots_make(l));
    return workers_start(l);
}

an_status an_loader_create(an_loader **out, an_model *model,
                           const an_source *given_source, const an_loader_config *given)
{
    AN_ENTER;
    an_loader_config config;
    an_source source;
    an_loader *l;
    an_status status;

    AN_CHECK(out != NULL, "out is null");
    AN_TRY(an__model_check(model));
    AN_CHECK(given_source != NULL, "source is null");
    an_source_init(&source, sizeof source);
    AN_TRY(
        an__struct_read(&source, given_source, sizeof source, sizeof source, "source"));
    AN_TRY(source_check(&source));
    an_loader_config_init(&config, sizeof config);
    if (given != NULL)
        AN_TRY(an__struct_read(&config, given, sizeof config, sizeof config, "config"));
    AN_TRY(config_check(&config));

    l = an__alloc_zero(&model->net.ctx->memory, sizeof *l);
    if (l == NULL) return AN_ERROR_MEMORY;
    l->model = model;
    l->ctx = model->net.ctx;
    an__model_retain(model);
    an__context_retain(l->ctx);
    l->source = source;
    l->config = config;
    l->steps = (uint32_t)((source.count + config.batch - 1) / config.batch);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, NULL);
    status = loader_fill(l);
    if (status != AN_OK) {
        an_loader_destroy(l);
        return status;
    }
    *out = l;
    return AN_OK;
}

/* --- the host's side --------------------------------------------------------------- */

const an_input *an__loader_input(const an_loader *l, const an_model *model)
{
    return l->model == model ? &l->input : NULL;
}

static an_status loader_check(const an_loader *l)
{
    AN_CHECK(l != NULL, "loader is null");
    return an__context_check(l->ctx);
}

/* The lock is held. The host gives back the batch that it had. */
static void take_back(an_loader *l)
{
    if (!l->lent) return;
    l->lent = 0;
    l->head = (l->head + 1) % l->slot_count;
    l->filled--;
    pthread_cond_broadcast(&l->work);
}

static void hand_out(const an_loader *l, const slot *s, an_batch *batch)
{
    batch->images = s->images;
    batch->crops = s->crops;
    batch->views = s->views;
    batch->loader = l;
    batch->labels = s->labels;
    batch->indices = s->indices;
    batch->count = s->count;
    batch->epoch = s->epoch;
    batch->step = s->step;
    batch->last = s->last;
}

an_status an_loader_next(an_loader *l, an_batch *out)
{
    AN_ENTER;
    an_batch batch;
    double started;
    slot *s;

    AN_TRY(loader_check(l));
    AN_CHECK(out != NULL, "batch is null");
    an_batch_init(&batch, sizeof batch);
    AN_TRY(an__struct_read(&batch, out, sizeof batch, sizeof batch, "batch"));
    pthread_mutex_lock(&l->lock);
    take_back(l);
    started = an__seconds();
    while (l->filled == 0 || slot_at(l, 0)->done < slot_at(l, 0)->count)
        pthread_cond_wait(&l->ready, &l->lock);
    l->waited += an__seconds() - started;
    s = slot_at(l, 0);
    l->lent = 1;
    pthread_mutex_unlock(&l->lock);
    if (s->status != AN_OK)
        return an__fail(s->status, "picture %llu: %.280s",
                        (unsigned long long)s->indices[s->failed], s->message);
    hand_out(l, s, &batch);
    return an__struct_write(out, &batch, sizeof batch, sizeof batch, "batch");
}

#define PAUSED 2 /* of stop: workers begin nothing */

an_status an_loader_seek(an_loader *l, uint32_t epoch, uint32_t step)
{
    AN_ENTER;
    AN_TRY(loader_check(l));
    AN_CHECK(step < l->steps, "step is %u: an epoch has %u", step, l->steps);
    pthread_mutex_lock(&l->lock);
    l->stop = PAUSED;
    while (l->busy > 0) pthread_cond_wait(&l->ready, &l->lock);
    l->lent = 0;
    l->filled = 0;
    l->epoch = epoch;
    l->step = step;
    l->stop = 0;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    return AN_OK;
}

an_status an_loader_describe(an_loader *l, an_loader_info *out)
{
    AN_ENTER;
    an_loader_info info;

    AN_TRY(loader_check(l));
    AN_CHECK(out != NULL, "info is null");
    an_loader_info_init(&info, sizeof info);
    info.count = l->source.count;
    info.steps = l->steps;
    pthread_mutex_lock(&l->lock);
    info.prepared = l->prepared;
    info.busy = l->worked;
    info.waited = l->waited;
    pthread_mutex_unlock(&l->lock);
    return an__struct_write(out, &info, sizeof info, sizeof info, "info");
}
