/*
 * step.c - a training step: forward, loss, backward, update.
 *
 * A batch that the trainer's session has room for is one pass, whose kernels can be
 * recorded; a larger one is several micro-batches, whose gradients are summed before the
 * update.
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

    /* Worse than guessing counts as guessing: a wild start would weigh on the mean for
     * long. */
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

/* Images first .. first + count - 1 of a step; pictures are cropped and mirrored. */
static an_status stage(an_trainer *trainer, const an_step_request *request,
                       uint32_t first, uint32_t count, an_pass_input *in)
{
    const an_model *model = trainer->model;
    size_t image = model->net.plan->tensors[model->net.plan->input[0]].count;
    uint32_t word[4], i;

    *in = request->in;
    if (in->floats != NULL) in->floats += first * image;
    if (in->crops != NULL) {
        in->crops += first * image;
        in->views += first;
    }
    if (request->pictures == NULL) return AN_OK;
    for (i = 0; i < count; i++) {
        an__random4(trainer->config.seed, AN_STREAM_VIEW, trainer->at.iteration,
                    first + i, word);
        trainer->views[i] = an__view_random(&model->input, trainer->config.augment, word);
    }
    return an__session_stage(
        trainer->session, &model->input,
        (const an_image *)(const void *)((const char *)request->pictures +
                                         first * request->pictures->size),
        count, trainer->views, in);
}

/* gradient += micro_gradient */
static an_status add_micro_gradient(const an_trainer *trainer)
{
    const an_exec *exec = &trainer->session->exec;
    uint32_t i, t;

    for (i = 0; i < exec->plan->param_count; i++)
        for (t = 0; t < exec->plan->towers; t++) {
            const an_param *param = &exec->plan->params[i];
            const an_copy_shape s = {.count = param->part[t],
                                     .to_pitch = param->part[t],
                                     .from_pitch = param->part[t],
                                     .rows = 1,
                                     .accumulate = 1};

            if (s.count > 0 && !exec->frozen[param->layer])
                AN_TRY(exec->backend->copy(exec->queue[t], &s,
                                           trainer->gradient.part[i][t], exec->queue[t],
                                           trainer->micro_gradient.part[i][t]));
        }
    return AN_OK;
}

/* Forward and backward of `count` loaded images of a step of `of`, the first of them its
 * image `first`. */
static an_status run_micro_batch(an_trainer *trainer, uint32_t first, uint32_t count,
                                 uint32_t of)
{
    const an_weights *w = &trainer->model->net.weights;
    an_exec *exec = &trainer->session->exec;
    an_operand logits_gradient = an__exec_gradient(exec, exec->plan->output);
    size_t elements = (size_t)count * exec->plan->config.classes;
    const an_array arrays[2] = {{logits_gradient, elements},
                                {an__exec_value(exec, exec->plan->output), elements}};

    AN_TRY(an__exec_forward(exec, w, count, 1));
    AN_TRY(an__session_loss(trainer->session, count));
    AN_TRY(exec->backend->all_finite(exec->queue[0], arrays, 2, exec->faults[0]));
    if (count < of) /* the mean is over all micro-batches */
        AN_TRY(exec->backend->scale(exec->queue[0], elements, (float)count / (float)of,
                                    logits_gradient));
    AN_TRY(an__exec_backward(
        exec, w, first == 0 ? &trainer->gradient : &trainer->micro_gradient, count));
    return first == 0 ? AN_OK : add_micro_gradient(trainer);
}

static an_status run_step(void *arg, uint32_t count)
{
    an_trainer *trainer = arg;

    AN_TRY(run_micro_batch(trainer, 0, count, count));
    AN_TRY(an__gradients_check(trainer));
    return an__update_all(trainer);
}

an_status an__step_run(an_trainer *trainer, uint32_t count)
{
    return an__session_repeat(trainer->session, AN_REPEAT_STEP, count, run_step, trainer);
}

/* A recording is of the layers that learnt when it was made. */
void an__step_freeze(an_trainer *trainer)
{
    an_exec *exec = &trainer->session->exec;
    uint32_t layers = exec->plan->row.layers, i;
    int changed = 0;

    exec->lowest = layers;
    for (i = layers; i-- > 0;) {
        unsigned char frozen = (unsigned char)an__trainer_frozen(trainer, i);

        changed |= frozen != exec->frozen[i];
        exec->frozen[i] = frozen;
        if (!frozen) exec->lowest = i;
    }
    if (changed) an__session_forget(trainer->session);
}

an_status an__step_count(an_trainer *trainer, const an_pass_input *in, uint32_t count,
                         uint32_t of, an_step_stats *stats)
{
    an_session *session = trainer->session;
    size_t first = (size_t)in->slot * session->exec.batch;
    const double *losses = session->outcome.losses + first;
    const an_rank *ranks = session->outcome.ranks + first;
    uint32_t i;

    for (i = 0; i < count; i++)
        if (!isfinite(losses[i]))
            return an__session_diverged(session, &trainer->model->net.weights, count, in,
                                        1);
    for (i = 0; i < count; i++) {
        stats->loss += losses[i] / of;
        stats->top1 += an__top(&ranks[i], 1);
        stats->top5 += an__top(&ranks[i], 5);
    }
    return AN_OK;
}

/* A step whose batch is one pass fetches its faults behind its update, and one of several
 * micro-batches when all have been added. */
static an_status do_step(an_trainer *trainer, const an_step_request *request,
                         an_step_stats *stats)
{
    an_session *session = trainer->session;
    an_exec *exec = &session->exec;
    int whole = request->count <= exec->batch;
    uint32_t done, part;

    exec->deferred_images = whole && exec->plan->defers ? request->count : 0;
    if (!whole) an__session_forget(session);
    AN_TRY(an__session_faults_clear(session));
    for (done = 0; done < request->count; done += part) {
        an_pass_input in;

        part = request->count - done < exec->batch ? request->count - done : exec->batch;
        AN_TRY(stage(trainer, request, done, part, &in));
        AN_TRY(an__session_load(session, part, &in));
        AN_TRY(an__session_labels(session, part, request->labels + done));
        AN_TRY(an__step_begin(trainer, done, 0));
        AN_TRY(whole ? an__step_run(trainer, part)
                     : run_micro_batch(trainer, done, part, request->count));
        if (whole) AN_TRY(an__session_faults_fetch(session, 0));
        AN_TRY(an__session_finish(session, part));
        AN_TRY(an__step_count(trainer, &in, part, request->count, stats));
    }
    if (!whole) {
        AN_TRY(an__gradients_check(trainer));
        AN_TRY(an__update_all(trainer));
        AN_TRY(an__session_faults_fetch(session, 0));
    }
    AN_TRY(an__exec_sync(exec));
    return session->outcome.faults[0] == 0 ? AN_OK : an__gradient_fault(trainer);
}

/* A step that went well: counted, and told. */
an_status an__step_succeed(an_trainer *trainer, an_step_stats *stats, an_step_stats *out)
{
    trainer->model->trained = ++trainer->at.iteration;
    trainer->at.epoch_steps++;
    stats->iteration = trainer->at.iteration;
    stats->flat = note_loss(trainer, stats->loss);
    if (out != NULL)
        return an__struct_write(out, stats, sizeof *stats, sizeof *stats, "stats");
    return AN_OK;
}

void an__step_weights_changed(an_trainer *trainer, int well)
{
    an_net *net = &trainer->model->net;

    an__net_changed(net);
    if (well && net->plan->updates_prepack) an__net_mark_prepacked(net);
}

an_status an__step_stats_read(an_step_stats *stats, const an_step_stats *out)
{
    an_step_stats_init(stats, sizeof *stats);
    if (out != NULL)
        AN_TRY(an__struct_read(stats, out, sizeof *stats, sizeof *stats, "stats"));
    stats->loss = stats->top1 = stats->top5 = 0;
    return AN_OK;
}

an_status an__step_whole(an_trainer *trainer, const an_step_request *request,
                         an_step_stats *out)
{
    an_step_stats stats;
    an_status status;

    AN_TRY(an__step_stats_read(&stats, out));
    an__step_freeze(trainer);
    trainer->has_gradient = 0;
    status = do_step(trainer, request, &stats);
    an__step_weights_changed(trainer, status == AN_OK);
    if (status != AN_OK) {
        an__exec_abandon(&trainer->session->exec);
        return status;
    }
    trainer->has_gradient = 1;
    return an__step_succeed(trainer, &stats, out);
}

/* --- public ------------------------------------------------------------------------ */

static an_status request_check(const an_trainer *trainer, const an_step_request *request)
{
    AN_CHECK(request->in.floats != NULL || request->in.crops != NULL ||
                 request->pictures != NULL,
             "images is null");
    AN_CHECK(request->count >= 1 && request->count <= trainer->config.batch,
             "count is %u: must be 1 to config.batch, %u", request->count,
             trainer->config.batch);
    return an__labels_check(request->labels, request->count,
                            trainer->model->net.plan->config.classes);
}

an_status an_train_step(an_trainer *trainer, const float *images, const int32_t *labels,
                        uint32_t count, an_step_stats *stats)
{
    AN_ENTER;
    const an_step_request request = {
        .in = {.floats = images}, .labels = labels, .count = count};

    AN_TRY(an__trainer_check(trainer));
    AN_TRY(request_check(trainer, &request));
    return an__step_whole(trainer, &request, stats);
}

an_status an_train_step_images(an_trainer *trainer, const an_image *images,
                               const int32_t *labels, uint32_t count,
                               an_step_stats *stats)
{
    AN_ENTER;
    const an_step_request request = {
        .pictures = images, .labels = labels, .count = count};

    AN_TRY(an__trainer_check(trainer));
    AN_TRY(request_check(trainer, &request));
    AN_TRY(an__images_check(images, count));
    return an__step_whole(trainer, &request, stats);
}

an_status an__step_request_batch(an_trainer *trainer, const an_batch *given,
                                 an_step_request *request)
{
    an_batch batch;

    AN_CHECK(given != NULL, "batch is null");
    an_batch_init(&batch, sizeof batch);
    AN_TRY(an__struct_read(&batch, given, sizeof batch, sizeof batch, "batch"));
    memset(request, 0, sizeof *request);
    AN_CHECK(batch.loader != NULL, "batch has no loader: did one fill it?");
    request->in.input = an__loader_input(batch.loader, trainer->model);
    AN_CHECK(request->in.input != NULL, "batch is that of another model's loader");
    request->in.floats = batch.images;
    request->labels = batch.labels;
    request->count = batch.count;
    if (batch.images == NULL) {
        AN_CHECK(batch.crops != NULL && batch.views != NULL,
                 "batch has no images: did a loader fill it?");
        request->in.crops = batch.crops;
        request->in.views = batch.views;
        AN_TRY(an__session_reserve(trainer->session, request->in.input));
    }
    return request_check(trainer, request);
}

an_status an_train_step_batch(an_trainer *trainer, const an_batch *batch,
                              an_step_stats *stats)
{
    AN_ENTER;
    an_step_request request;

    AN_TRY(an__trainer_check(trainer));
    AN_TRY(an__step_request_batch(trainer, batch, &request));
    return an__step_whole(trainer, &request, stats);
}
