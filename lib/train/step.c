/*
 * step.c - a training step: forward, loss, backward, update; and steps that are under way beside
 * each other.
 */
#include <math.h>
#include <string.h>

#include "train/train.h"

AN_INIT_ZERO(an_step_stats)

#define FLAT_STEPS 100    /* before which nothing is said */
#define FLAT_SHARE 0.98   /* of ln(classes), what guessing costs */
#define RUNNING_STEPS 25. /* the running mean's memory */

static uint32_t note_loss(an_trainer *trainer, double loss)
{
    uint32_t classes = trainer->model->net.plan->config.classes, flat;
    double guess = log((double)classes);

    /* Worse than guessing counts as guessing: a wild start would weigh on the mean for long. */
    if (loss > guess) loss = guess;
    if (trainer->at.iteration == 1) trainer->at.running_loss = loss;
    trainer->at.running_loss += (loss - trainer->at.running_loss) / RUNNING_STEPS;
    flat = trainer->at.iteration >= FLAT_STEPS &&
           trainer->at.running_loss > FLAT_SHARE * guess;
    if (flat && !trainer->at.flat_logged)
        an__log(
            &trainer->model->net.ctx->memory, AN_LOG_WARNING,
            "after %llu steps the loss is still that of guessing: %.4f, ln(%u) is %.4f",
            (unsigned long long)trainer->at.iteration, trainer->at.running_loss, classes,
            guess);
    if (flat) trainer->at.flat_logged = 1;
    return flat;
}

/* What a step was given: preprocessed images, crops or pictures, with labels. */
typedef struct an_given {
    an_feed feed; /* null floats and crops: pictures */
    const an_image *pictures;
    const int32_t *labels;
    uint32_t count;
} an_given;

/* Images first .. first + count - 1 of a step; pictures are cropped and mirrored. */
static an_status stage(an_trainer *trainer, const an_given *given, uint32_t first,
                       uint32_t count, an_feed *feed)
{
    const an_model *model = trainer->model;
    size_t numbers = model->net.plan->tensors[model->net.plan->input[0]].count;
    uint32_t word[4], i;

    *feed = given->feed;
    if (feed->floats != NULL) feed->floats += first * numbers;
    if (feed->crops != NULL) {
        feed->crops += first * numbers;
        feed->views += first;
    }
    if (given->pictures == NULL) return AN_OK;
    for (i = 0; i < count; i++) {
        an__random4(trainer->config.seed, AN_STREAM_VIEW, trainer->at.iteration,
                    first + i, word);
        trainer->views[i] = an__view_random(&model->input, trainer->config.augment, word);
    }
    return an__exec_stage(trainer->exec, &model->input,
                          (const an_image *)(const void *)((const char *)given->pictures +
                                                           first * given->pictures->size),
                          count, trainer->views, feed);
}

/* gradient += piece */
static an_status add_piece(const an_trainer *trainer)
{
    const an_model *model = trainer->model;
    uint32_t i, t;

    for (i = 0; i < model->net.plan->param_count; i++)
        for (t = 0; t < model->net.plan->towers; t++) {
            an_queue *queue = trainer->exec->queue[t];
            size_t count = model->net.plan->params[i].part[t];

            if (count > 0 && !trainer->exec->frozen[model->net.plan->params[i].layer])
                AN_TRY(model->net.slots[t].backend->exchange(
                    queue, trainer->gradient.part[i][t], count, queue,
                    trainer->piece.part[i][t], count, count, 1, AN_PRECISION_FP32, 1));
        }
    return AN_OK;
}

/* Forward and backward of `count` loaded images of a step of `of`, the first of them its
 * image `first`. */
static an_status do_piece(an_trainer *trainer, uint32_t first, uint32_t count,
                          uint32_t of)
{
    an_model *model = trainer->model;
    an_exec *exec = trainer->exec;

    const an_backend *backend = exec->slots[0].backend;
    float *slope = an__exec_gradient(exec, model->net.plan->output);
    size_t numbers = (size_t)count * model->net.plan->config.classes;
    const an_array arrays[2] = {
        {slope, numbers, model->net.plan->precision},
        {an__exec_value(exec, model->net.plan->output), numbers, AN_PRECISION_FP32}};

    AN_TRY(an__exec_forward(exec, &model->net.weights, count, 1));
    AN_TRY(an__exec_loss(exec, count));
    AN_TRY(backend->all_finite(exec->queue[0], arrays, 2, exec->faults[0]));
    if (count < of) /* the mean is over all pieces */
        AN_TRY(backend->scale(exec->queue[0], model->net.plan->precision, numbers,
                              (float)count / (float)of, slope));
    AN_TRY(an__exec_backward(exec, &model->net.weights,
                             first == 0 ? &trainer->gradient : &trainer->piece, count));
    return first == 0 ? AN_OK : add_piece(trainer);
}

static an_status do_whole(void *arg, uint32_t count)
{
    an_trainer *trainer = arg;

    AN_TRY(do_piece(trainer, 0, count, count));
    AN_TRY(an__gradients_check(trainer, count));
    return an__update_all(trainer, count);
}

/* A whole step, which is repeated as long as the same layers learn. */
static an_status run_whole(an_trainer *trainer, uint32_t count)
{
    an_exec *exec = trainer->exec;

    if (memcmp(trainer->frozen, exec->frozen, sizeof trainer->frozen) != 0)
        an__repeat_forget(exec);
    memcpy(trainer->frozen, exec->frozen, sizeof trainer->frozen);
    return an__repeat(exec, AN_REPEAT_STEP, count, do_whole, trainer);
}

static void note_frozen(an_trainer *trainer)
{
    an_exec *exec = trainer->exec;
    uint32_t layers = trainer->model->net.plan->row.layers, i;

    exec->lowest = layers;
    for (i = layers; i-- > 0;) {
        exec->frozen[i] = (unsigned char)an__trainer_frozen(trainer, i);
        if (!exec->frozen[i]) exec->lowest = i;
    }
}

/* Losses and ranks of `count` images of a step of `of`, which have come to their place. */
static an_status count_piece(an_trainer *trainer, const an_feed *feed, uint32_t count,
                             uint32_t of, an_step_stats *stats)
{
    an_exec *exec = trainer->exec;
    const double *losses = exec->losses + (size_t)feed->place * exec->batch;
    const an_rank *ranks = exec->ranks + (size_t)feed->place * exec->batch;
    uint32_t i;

    for (i = 0; i < count; i++)
        if (!isfinite(losses[i]))
            return an__exec_diverged(exec, &trainer->model->net.weights, count, feed, 1);
    for (i = 0; i < count; i++) {
        stats->loss += losses[i] / of;
        stats->top1 += an__top(&ranks[i], 1);
        stats->top5 += an__top(&ranks[i], 5);
    }
    return AN_OK;
}

/* The step's faults: done when the pieces are, for a step that is whole. */
static an_status faults_begin(an_trainer *trainer)
{
    static const float none[2] = {0, 0};
    an_exec *exec = trainer->exec;
    uint32_t t;

    for (t = 0; t < exec->plan->towers; t++)
        AN_TRY(exec->slots[t].backend->upload(exec->queue[t], exec->faults[t], none,
                                              sizeof none));
    return AN_OK;
}

static an_status faults_end(an_trainer *trainer)
{
    AN_TRY(an__exec_sync(trainer->exec));
    return trainer->faults == 0 ? AN_OK : an__gradient_fault(trainer);
}

static an_status do_step(an_trainer *trainer, const an_given *given, an_step_stats *stats)
{
    an_exec *exec = trainer->exec;
    const an_backend *backend = exec->slots[0].backend;
    int whole = given->count <= exec->batch;
    uint32_t done, part;

    trainer->faults = 0;
    exec->held = whole && exec->plan->holds;
    trainer->held_count = given->count;
    if (!whole) an__repeat_forget(exec);
    AN_TRY(faults_begin(trainer));
    for (done = 0; done < given->count; done += part) {
        an_feed feed;

        part = given->count - done < exec->batch ? given->count - done : exec->batch;
        AN_TRY(stage(trainer, given, done, part, &feed));
        AN_TRY(an__exec_load(exec, part, &feed));
        AN_TRY(an__exec_labels(exec, part, given->labels + done));
        AN_TRY(an__step_begin(trainer, done, 0));
        AN_TRY(whole ? run_whole(trainer, part)
                     : do_piece(trainer, done, part, given->count));
        if (whole)
            AN_TRY(backend->download(exec->queue[0], &trainer->faults,
                                     exec->faults[0] + 1, sizeof trainer->faults));
        AN_TRY(an__exec_outcome(exec, part));
        AN_TRY(count_piece(trainer, &feed, part, given->count, stats));
    }
    if (!whole) {
        AN_TRY(an__gradients_check(trainer, 0));
        AN_TRY(an__update_all(trainer, 0));
        AN_TRY(backend->download(exec->queue[0], &trainer->faults, exec->faults[0] + 1,
                                 sizeof trainer->faults));
    }
    return faults_end(trainer);
}

/* A step that went well: counted, and told. */
static an_status succeed(an_trainer *trainer, an_step_stats *stats, an_step_stats *out)
{
    trainer->model->trained = ++trainer->at.iteration;
    trainer->at.epoch_steps++;
    stats->iteration = trainer->at.iteration;
    stats->flat = note_loss(trainer, stats->loss);
    if (out != NULL)
        return an__struct_write(out, stats, sizeof *stats, sizeof *stats, "stats");
    return AN_OK;
}

/* The model's weights are others; packs that a step writes are theirs. */
static void weights_changed(an_trainer *trainer, int well)
{
    an__net_changed(&trainer->model->net);
    if (well && trainer->exec->slots[0].backend->fuses & AN_FUSES_PACKS)
        an__net_repacked(&trainer->model->net);
}

static an_status read_stats(an_step_stats *stats, const an_step_stats *out)
{
    an_step_stats_init(stats, sizeof *stats);
    if (out != NULL)
        AN_TRY(an__struct_read(stats, out, sizeof *stats, sizeof *stats, "stats"));
    stats->loss = stats->top1 = stats->top5 = 0;
    return AN_OK;
}

static an_status step(an_trainer *trainer, const an_given *given, an_step_stats *out)
{
    an_step_stats stats;
    an_status status;

    AN_TRY(read_stats(&stats, out));
    note_frozen(trainer);
    trainer->has_gradient = 0;
    status = do_step(trainer, given, &stats);
    weights_changed(trainer, status == AN_OK);
    if (status != AN_OK) {
        an__exec_abandon(trainer->exec);
        return status;
    }
    trainer->has_gradient = 1;
    return succeed(trainer, &stats, out);
}

static an_status given_check(const an_trainer *trainer, const an_given *given)
{
    AN_CHECK(given->feed.floats != NULL || given->feed.crops != NULL ||
                 given->pictures != NULL,
             "images is null");
    AN_CHECK(given->count >= 1 && given->count <= trainer->config.batch,
             "count is %u: must be 1 to config.batch, %u", given->count,
             trainer->config.batch);
    return an__labels_check(given->labels, given->count,
                            trainer->model->net.plan->config.classes);
}

an_status an_train_step(an_trainer *trainer, const float *images, const int32_t *labels,
                        uint32_t count, an_step_stats *stats)
{
    an_given given = {{images, NULL, NULL, NULL, 0, 0}, NULL, labels, count};

    AN_TRY(an__trainer_check(trainer));
    AN_TRY(given_check(trainer, &given));
    return step(trainer, &given, stats);
}

an_status an_train_step_images(an_trainer *trainer, const an_image *images,
                               const int32_t *labels, uint32_t count,
                               an_step_stats *stats)
{
    an_given given = {{NULL, NULL, NULL, NULL, 0, 0}, images, labels, count};

    AN_TRY(an__trainer_check(trainer));
    AN_TRY(given_check(trainer, &given));
    AN_TRY(an__images_check(images, count));
    return step(trainer, &given, stats);
}

static an_status batch_given(an_trainer *trainer, const an_batch *given_batch,
                             an_given *given)
{
    an_batch batch;

    AN_CHECK(given_batch != NULL, "batch is null");
    an_batch_init(&batch, sizeof batch);
    AN_TRY(an__struct_read(&batch, given_batch, sizeof batch, sizeof batch, "batch"));
    memset(given, 0, sizeof *given);
    AN_CHECK(batch.loader != NULL, "batch has no loader: did one fill it?");
    given->feed.input = an__loader_input(batch.loader, trainer->model);
    AN_CHECK(given->feed.input != NULL, "batch is that of another model's loader");
    given->feed.floats = batch.images;
    given->labels = batch.labels;
    given->count = batch.count;
    if (batch.images == NULL) {
        AN_CHECK(batch.crops != NULL && batch.views != NULL,
                 "batch has no images: did a loader fill it?");
        given->feed.crops = batch.crops;
        given->feed.views = batch.views;
        AN_TRY(an__exec_staging(trainer->exec, given->feed.input));
    }
    return given_check(trainer, given);
}

an_status an_train_step_batch(an_trainer *trainer, const an_batch *batch,
                              an_step_stats *stats)
{
    an_given given;

    AN_TRY(an__trainer_check(trainer));
    AN_TRY(batch_given(trainer, batch, &given));
    return step(trainer, &given, stats);
}

/* --- steps under way -------------------------------------------------------------------------- */

/* Whether the device can be given a step beside another. */
static int can_be_ahead(const an_trainer *trainer, const an_given *given)
{
    return trainer->exec->slots[0].backend->mark != NULL && given->feed.crops != NULL &&
           given->count <= trainer->exec->batch;
}

/* Whether the oldest step under way was done when it began, and is counted; no other can be. */
static uint32_t is_done(const an_trainer *trainer)
{
    return trainer->under_way > 0 && !trainer->way[trainer->oldest].ahead;
}

static an_status begin_ahead(an_trainer *trainer, an_given *given, an_under_way *u)
{
    an_exec *exec = trainer->exec;
    const an_backend *backend = exec->slots[0].backend;

    note_frozen(trainer);
    exec->held = exec->plan->holds;
    trainer->held_count = given->count;
    /* Of a step that diverges before its end is seen the faults stay, for those behind it. */
    if (trainer->under_way == 0) AN_TRY(faults_begin(trainer));
    AN_TRY(an__exec_send(exec, given->count, &given->feed));
    AN_TRY(an__exec_load(exec, given->count, &given->feed));
    AN_TRY(an__exec_labels(exec, given->count, given->labels));
    AN_TRY(an__step_begin(trainer, 0, trainer->under_way - is_done(trainer)));
    AN_TRY(run_whole(trainer, given->count));
    AN_TRY(backend->download(exec->queue[0], &u->faults, exec->faults[0] + 1,
                             sizeof u->faults));
    AN_TRY(an__exec_outcome_begin(exec, given->count, given->feed.place));
    return backend->mark(exec->queue[0], given->feed.place);
}

/* As it comes: with those before it ended. */
static an_status begin_alone(an_trainer *trainer, an_given *given, an_under_way *u)
{
    if (trainer->under_way > 0)
        return an__fail(AN_ERROR_STATE, "a batch of floats, or a large one, is no step "
                                        "beside another: end that first");
    given->feed.place = 0;
    AN_TRY(read_stats(&u->stats, NULL));
    return step(trainer, given, &u->stats);
}

an_status an_train_step_begin(an_trainer *trainer, const an_batch *batch)
{
    an_under_way *u;
    an_given given;
    an_status status;

    AN_TRY(an__trainer_check_under_way(trainer));
    if (trainer->under_way == AN_MARKS)
        return an__fail(AN_ERROR_STATE, "%u steps are under way: end one first",
                        AN_MARKS);
    AN_TRY(batch_given(trainer, batch, &given));
    given.feed.place = (trainer->oldest + trainer->under_way) % AN_MARKS;
    u = &trainer->way[given.feed.place];
    memset(u, 0, sizeof *u);
    u->ahead = can_be_ahead(trainer, &given);
    u->count = given.count;
    trainer->has_gradient = 0;
    if (u->ahead) {
        status = begin_ahead(trainer, &given, u);
        weights_changed(trainer, status == AN_OK);
        if (status != AN_OK) an__exec_abandon(trainer->exec);
    } else {
        status = begin_alone(trainer, &given, u);
    }
    AN_TRY(status);
    u->feed = given.feed;
    u->feed.crops = NULL; /* the host's may go: they are on the device */
    u->feed.views = NULL;
    trainer->under_way++;
    __atomic_store_n(&trainer->model->under_way, trainer->under_way, __ATOMIC_RELEASE);
    return AN_OK;
}

static an_status end_ahead(an_trainer *trainer, const an_under_way *u,
                           an_step_stats *stats)
{
    an_exec *exec = trainer->exec;

    AN_TRY(exec->slots[0].backend->wait_for(exec->queue[0], u->feed.place));
    /* The other tower may be at its update yet, and the host may ask for weights now. */
    if (trainer->under_way == 0) AN_TRY(an__exec_sync(exec));
    if (u->given_up)
        return an__fail(AN_ERROR_STATE,
                        "the step was given up: the one before it diverged");
    AN_TRY(count_piece(trainer, &u->feed, u->count, u->count, stats));
    if (u->faults == 0) return AN_OK;
    if (trainer->under_way == 0) return an__gradient_fault(trainer);
    return an__fail(AN_ERROR_DIVERGED, "a gradient is not finite (which one, can be told "
                                       "of a step that none has begun behind)");
}

an_status an_train_step_end(an_trainer *trainer, an_step_stats *out)
{
    an_step_stats stats;
    an_under_way *u;
    an_status status;

    AN_TRY(an__trainer_check_under_way(trainer));
    if (trainer->under_way == 0) return an__fail(AN_ERROR_STATE, "no step is under way");
    AN_TRY(read_stats(&stats, out));
    u = &trainer->way[trainer->oldest];
    trainer->oldest = (trainer->oldest + 1) % AN_MARKS;
    trainer->under_way--;
    __atomic_store_n(&trainer->model->under_way, trainer->under_way, __ATOMIC_RELEASE);
    if (!u->ahead && out == NULL) return AN_OK;
    if (!u->ahead)
        return an__struct_write(out, &u->stats, sizeof u->stats, sizeof u->stats,
                                "stats");
    status = end_ahead(trainer, u, &stats);
    if (status != AN_OK) {
        if (trainer->under_way > 0) trainer->way[trainer->oldest].given_up = 1;
        an__exec_abandon(trainer->exec);
        return status;
    }
    trainer->has_gradient = trainer->under_way == 0;
    return succeed(trainer, &stats, out);
}

/* Where no device does it, a step is done when it begins; it counts when it has ended. */
uint64_t an_trainer_iteration(const an_trainer *trainer)
{
    return trainer != NULL ? trainer->at.iteration - is_done(trainer) : 0;
}
