/*
 * infer.c - inference, evaluation, activations: any number of images, by any number of
 * threads.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "internal.h"

/* --- scores --------------------------------------------------------------------------- */

double an__top(const an_rank *rank, uint32_t k)
{
    if (rank->greater >= k) return 0;
    return rank->equal <= k - rank->greater ? 1
                                            : (double)(k - rank->greater) / rank->equal;
}

an_status an__labels_check(const int32_t *labels, uint32_t count, uint32_t classes)
{
    uint32_t i;

    AN_CHECK(labels != NULL, "labels is null");
    for (i = 0; i < count; i++)
        AN_CHECK(labels[i] >= 0 && (uint32_t)labels[i] < classes,
                 "labels[%u] is %ld: must be 0 to %u", i, (long)labels[i], classes - 1);
    return AN_OK;
}

/* --- buffers -------------------------------------------------------------------------- */

/* One exec for each call at a time: idle ones wait in the model's list. */
static an_status exec_take(an_model *model, uint32_t batch, an_exec **out)
{
    an_exec *exec;

    pthread_mutex_lock(&model->lock);
    exec = model->idle;
    if (exec != NULL) model->idle = exec->next;
    pthread_mutex_unlock(&model->lock);
    if (exec != NULL && exec->batch >= batch) {
        *out = exec;
        return AN_OK;
    }
    an__exec_destroy(exec);
    return an__exec_create(out, &model->net, batch, 0);
}

static void exec_give(an_model *model, an_exec *exec)
{
    pthread_mutex_lock(&model->lock);
    exec->next = model->idle;
    model->idle = exec;
    pthread_mutex_unlock(&model->lock);
}

/* Where in the plan a layer's activations are. */
typedef struct an_spot {
    uint32_t end; /* operations to run */
    uint32_t tensor[AN_MAX_TOWERS], towers, shape[3];
    size_t numbers; /* of one image, all towers */
    int prob;
} an_spot;

/* So many images' bytes are copied to a device from where they were cropped, which the host waits
 * for; fewer by way of the queue's own memory, which it need not wait for. */
#define SENT 16u

/* --- passes --------------------------------------------------------------------------- */

/* What a call was given: float images or pictures, with labels or without. */
typedef struct an_work {
    const float *floats;
    const an_image *pictures;
    uint32_t view; /* of the pictures */
    const int32_t *labels;
    float *probabilities; /* [count][classes] */
    int add;              /* to what is there */
    an_evaluation *evaluation;
    float *activations; /* [count][numbers of `point`] */
    const an_spot *spot;
} an_work;

static an_status do_scores(void *arg, uint32_t count)
{
    an_exec *exec = arg;

    AN_TRY(an__exec_forward(exec, &exec->net->weights, count, 0));
    return exec->slots[0].backend->softmax(exec->queue[0], exec->plan->config.classes,
                                           count,
                                           an__exec_value(exec, exec->plan->output));
}

static an_status pass_classify(an_model *model, an_exec *exec, uint32_t count,
                               const an_feed *feed, float *probabilities, int add)
{
    size_t numbers = (size_t)count * model->net.plan->config.classes, i;

    AN_TRY(an__exec_load(exec, count, feed));
    AN_TRY(an__repeat(exec, AN_REPEAT_CLASSIFY, count, do_scores, exec));
    AN_TRY(exec->slots[0].backend->download(exec->queue[0], exec->scores,
                                            an__exec_value(exec, exec->plan->output),
                                            numbers * sizeof *exec->scores));
    AN_TRY(an__exec_sync(exec));
    for (i = 0; i < numbers; i++)
        if (!isfinite(exec->scores[i]))
            return an__exec_diverged(exec, &model->net.weights, count, feed, 0);
    for (i = 0; i < numbers; i++)
        probabilities[i] = add ? probabilities[i] + exec->scores[i] : exec->scores[i];
    return AN_OK;
}

static an_status do_losses(void *arg, uint32_t count)
{
    an_exec *exec = arg;

    AN_TRY(an__exec_forward(exec, &exec->net->weights, count, 0));
    return an__exec_loss(exec, count);
}

static an_status pass_evaluate(an_model *model, an_exec *exec, uint32_t count,
                               const an_feed *feed, const int32_t *labels,
                               an_evaluation *sum)
{
    uint32_t i;

    AN_TRY(an__exec_load(exec, count, feed));
    AN_TRY(an__exec_labels(exec, count, labels));
    AN_TRY(an__repeat(exec, AN_REPEAT_EVALUATE, count, do_losses, exec));
    AN_TRY(an__exec_outcome(exec, count));
    for (i = 0; i < count; i++)
        if (!isfinite(exec->losses[i]))
            return an__exec_diverged(exec, &model->net.weights, count, feed, 0);
    for (i = 0; i < count; i++) {
        sum->top1 += an__top(&exec->ranks[i], 1);
        sum->top5 += an__top(&exec->ranks[i], 5);
        sum->loss += exec->losses[i];
    }
    sum->count += count;
    return AN_OK;
}

/* The halves of two towers stand one after the other for each image. */
static an_status pass_activations(an_model *model, an_exec *exec, uint32_t count,
                                  const an_feed *feed, const an_spot *spot, float *out)
{
    size_t part = model->net.plan->tensors[spot->tensor[0]].count,
           whole = part * spot->towers;
    uint32_t t, i;

    an__repeat_forget(exec);
    AN_TRY(an__exec_load(exec, count, feed));
    AN_TRY(an__exec_forward_to(exec, &model->net.weights, count, spot->end));
    for (t = 0; t < spot->towers; t++)
        for (i = 0; i < count; i++)
            AN_TRY(an__exec_get(exec, spot->tensor[t], i, out + i * whole + t * part));
    return an__exec_sync(exec);
}

static an_status do_pass(an_model *model, an_exec *exec, const an_work *work,
                         uint32_t first, uint32_t count, const an_feed *feed)
{
    size_t classes = model->net.plan->config.classes;

    if (work->spot != NULL)
        return pass_activations(model, exec, count, feed, work->spot,
                                work->activations + first * work->spot->numbers);
    if (work->probabilities != NULL)
        return pass_classify(model, exec, count, feed,
                             work->probabilities + first * classes, work->add);
    return pass_evaluate(model, exec, count, feed, work->labels + first,
                         work->evaluation);
}

static an_status passes(an_model *model, an_exec *exec, const an_work *work,
                        uint32_t count)
{
    size_t image = model->net.plan->tensors[model->net.plan->input[0]].count;
    uint32_t done, part, i;

    for (done = 0; done < count; done += part) {
        an_view views[AN_PASS];
        an_feed feed;

        part = count - done < exec->batch ? count - done : exec->batch;
        if (work->pictures != NULL) {
            const char *from = (const char *)work->pictures + done * work->pictures->size;

            for (i = 0; i < part; i++) views[i] = an__view(&model->input, work->view);
            AN_TRY(an__exec_stage(exec, &model->input,
                                  (const an_image *)(const void *)from, part, views,
                                  &feed));
            if (feed.crops != NULL && part >= SENT &&
                exec->slots[0].backend->upload_beside != NULL)
                AN_TRY(an__exec_send(exec, part, &feed));
        } else {
            memset(&feed, 0, sizeof feed);
            feed.floats = work->floats + done * image;
        }
        AN_TRY(do_pass(model, exec, work, done, part, &feed));
    }
    return AN_OK;
}

static an_status run(an_model *model, const an_work *work, uint32_t count)
{
    an_exec *exec;
    an_status status;

    if (work->pictures != NULL) AN_TRY(an__images_check(work->pictures, count));
    AN_TRY(exec_take(model, count < AN_PASS ? count : AN_PASS, &exec));
    status = passes(model, exec, work, count);
    if (status != AN_OK) an__exec_abandon(exec);
    exec_give(model, exec);
    return status;
}

/* --- public --------------------------------------------------------------------------- */

static an_status count_check(const an_model *model, const void *images, uint32_t count)
{
    AN_TRY(an__model_check(model));
    AN_CHECK(images != NULL, "images is null");
    AN_CHECK(count >= 1 && count <= 1048576, "count is %u: must be 1 to 1048576", count);
    return AN_OK;
}

static an_work work_of(const float *floats, const an_image *pictures)
{
    an_work work;

    memset(&work, 0, sizeof work);
    work.floats = floats;
    work.pictures = pictures;
    return work;
}

static an_status infer(an_model *model, const float *floats, const an_image *pictures,
                       uint32_t count, float *probabilities)
{
    an_work work = work_of(floats, pictures);

    AN_TRY(count_check(model, floats != NULL ? (const void *)floats : pictures, count));
    AN_CHECK(probabilities != NULL, "probabilities is null");
    work.probabilities = probabilities;
    return run(model, &work, count);
}

an_status an_infer(an_model *model, const float *images, uint32_t count,
                   float *probabilities)
{
    return infer(model, images, NULL, count, probabilities);
}

an_status an_infer_images(an_model *model, const an_image *images, uint32_t count,
                          float *probabilities)
{
    return infer(model, NULL, images, count, probabilities);
}

an_status an_infer_views(an_model *model, const an_image *images, uint32_t count,
                         uint32_t views, float *probabilities)
{
    an_work work = work_of(NULL, images);
    size_t numbers, i;

    AN_TRY(count_check(model, images, count));
    AN_CHECK(views == 1 || views == 2 * AN_VIEW_MIRRORED, "views is %u: must be 1 or 10",
             views);
    AN_CHECK(probabilities != NULL, "probabilities is null");
    work.probabilities = probabilities;
    for (work.view = 0; work.view < views; work.view++) {
        work.add = work.view > 0;
        AN_TRY(run(model, &work, count));
    }
    numbers = (size_t)count * model->net.plan->config.classes;
    for (i = 0; i < numbers; i++) probabilities[i] /= (float)views;
    return AN_OK;
}

static an_status evaluate(an_model *model, const float *floats, const an_image *pictures,
                          const int32_t *labels, uint32_t count, an_evaluation *out)
{
    an_evaluation sum;
    an_work work = work_of(floats, pictures);

    AN_TRY(count_check(model, floats != NULL ? (const void *)floats : pictures, count));
    AN_TRY(an__labels_check(labels, count, model->net.plan->config.classes));
    AN_CHECK(out != NULL, "evaluation is null");
    an_evaluation_init(&sum, sizeof sum);
    AN_TRY(an__struct_read(&sum, out, sizeof sum, sizeof sum, "evaluation"));
    work.labels = labels;
    work.evaluation = &sum;
    AN_TRY(run(model, &work, count));
    return an__struct_write(out, &sum, sizeof sum, sizeof sum, "evaluation");
}

an_status an_evaluate(an_model *model, const float *images, const int32_t *labels,
                      uint32_t count, an_evaluation *evaluation)
{
    return evaluate(model, images, NULL, labels, count, evaluation);
}

an_status an_evaluate_images(an_model *model, const an_image *images,
                             const int32_t *labels, uint32_t count,
                             an_evaluation *evaluation)
{
    return evaluate(model, NULL, images, labels, count, evaluation);
}

an_status an_score(const float *probabilities, uint32_t classes, const int32_t *labels,
                   uint32_t count, an_evaluation *out)
{
    an_evaluation sum;
    uint32_t i;

    AN_CHECK(probabilities != NULL, "probabilities is null");
    AN_CHECK(classes >= 2 && classes <= 65536, "classes is %u: must be 2 to 65536",
             classes);
    AN_CHECK(count >= 1 && count <= 1048576, "count is %u: must be 1 to 1048576", count);
    AN_TRY(an__labels_check(labels, count, classes));
    AN_CHECK(out != NULL, "evaluation is null");
    an_evaluation_init(&sum, sizeof sum);
    AN_TRY(an__struct_read(&sum, out, sizeof sum, sizeof sum, "evaluation"));
    for (i = 0; i < count; i++) {
        const float *row = probabilities + (size_t)i * classes;
        float p = row[labels[i]];
        an_rank rank = {0, 0};
        uint32_t c;

        for (c = 0; c < classes; c++) {
            AN_CHECK(row[c] >= 0 && row[c] <= 1.001f,
                     "probabilities[%u][%u] is %g: must be 0 to 1", i, c, (double)row[c]);
            rank.greater += row[c] > p;
            rank.equal += row[c] == p;
        }
        sum.top1 += an__top(&rank, 1);
        sum.top5 += an__top(&rank, 5);
        sum.loss -= log(p > FLT_MIN ? (double)p : (double)FLT_MIN);
    }
    sum.count += count;
    return an__struct_write(out, &sum, sizeof sum, sizeof sum, "evaluation");
}

/* --- activations by name -------------------------------------------------------------- */

static int is_linear(const an_op *op)
{
    return op->kind == AN_OP_CONV || op->kind == AN_OP_DENSE;
}

/* Whether the layer's value at `point` is what the operation leaves. */
static int reaches(const an_op *op, uint32_t point)
{
    if (point == AN_POINT_LINEAR) return is_linear(op);
    if (point == AN_POINT_ACTIVATION) return op->kind == AN_OP_ACTIVATION;
    return op->kind != AN_OP_EXCHANGE; /* the last of them */
}

static an_status find_spot(const an_model *model, const char *layer, uint32_t point,
                           an_spot *spot)
{
    const an_plan *plan = model->net.plan;
    const an_tensor *tensor;
    uint32_t index, i;

    AN_CHECK(layer != NULL, "layer is null");
    AN_CHECK(point >= AN_POINT_LINEAR && point <= AN_POINT_OUTPUT,
             "point is %u: not one of an_point", point);
    memset(spot, 0, sizeof *spot);
    spot->prob = strcmp(layer, "prob") == 0;
    index = plan->row.layers - 1;
    if (!spot->prob) AN_TRY(an__layer_find(plan, layer, "layer", &index));
    AN_CHECK(point != AN_POINT_ACTIVATION || strchr(plan->layers[index].stages, 'a'),
             "point is AN_POINT_ACTIVATION: %s has no non-linearity", layer);
    for (i = 0; i < plan->op_count; i++) {
        const an_op *op = &plan->ops[i];

        if (op->layer != index || !reaches(op, point)) continue;
        spot->tensor[op->tower] = op->out;
        if (op->tower + 1 > spot->towers) spot->towers = op->tower + 1;
        spot->end = i + 1;
    }
    tensor = &plan->tensors[spot->tensor[0]];
    spot->shape[0] = tensor->maps * spot->towers;
    spot->shape[1] = tensor->height;
    spot->shape[2] = tensor->width;
    spot->numbers = tensor->count * spot->towers;
    return AN_OK;
}

an_status an_activation_count(const an_model *model, const char *layer, uint32_t point,
                              size_t *count, uint32_t shape[3])
{
    an_spot spot;

    AN_TRY(an__model_check(model));
    AN_TRY(find_spot(model, layer, point, &spot));
    AN_CHECK(count != NULL, "count is null");
    *count = spot.numbers;
    if (shape != NULL) memcpy(shape, spot.shape, sizeof spot.shape);
    return AN_OK;
}

static an_status infer_layer(an_model *model, an_work *work, uint32_t count,
                             const char *layer, uint32_t point, float *out)
{
    an_spot spot;

    AN_TRY(count_check(model,
                       work->floats != NULL ? (const void *)work->floats : work->pictures,
                       count));
    AN_TRY(find_spot(model, layer, point, &spot));
    AN_CHECK(out != NULL, "out is null");
    if (spot.prob) {
        work->probabilities = out;
    } else {
        work->activations = out;
        work->spot = &spot;
    }
    return run(model, work, count);
}

an_status an_infer_layer(an_model *model, const float *images, uint32_t count,
                         const char *layer, uint32_t point, float *out)
{
    an_work work = work_of(images, NULL);

    return infer_layer(model, &work, count, layer, point, out);
}

an_status an_infer_layer_images(an_model *model, const an_image *images, uint32_t count,
                                const char *layer, uint32_t point, float *out)
{
    an_work work = work_of(NULL, images);

    return infer_layer(model, &work, count, layer, point, out);
}
