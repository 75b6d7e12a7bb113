/*
 * infer.c - inference and evaluation: any number of images, by any number of threads.
 */
#include <math.h>

#include "internal.h"

/* --- scores --------------------------------------------------------------------------- */

double an__top(const float *row, uint32_t classes, int32_t label, uint32_t k)
{
    uint32_t i, greater = 0, equal = 0;

    for (i = 0; i < classes; i++) {
        greater += row[i] > row[label];
        equal += row[i] == row[label];
    }
    if (greater >= k) return 0;
    return equal <= k - greater ? 1 : (double)(k - greater) / equal;
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
    return an__exec_create(out, model->ctx, model->plan, model->slots, batch, 0);
}

static void exec_give(an_model *model, an_exec *exec)
{
    pthread_mutex_lock(&model->lock);
    exec->next = model->idle;
    model->idle = exec;
    pthread_mutex_unlock(&model->lock);
}

/* --- passes --------------------------------------------------------------------------- */

/* What a call was given: float images or pictures, with labels or without. */
typedef struct an_work {
    const float *floats;
    const an_image *pictures;
    const int32_t *labels;
    float *probabilities;
    an_evaluation *evaluation;
} an_work;

static an_status diverged(an_exec *exec, const an_weights *w, uint32_t batch,
                          const float *images, const an_dropout_state *dropout)
{
    const char *where = an__exec_find_nonfinite(exec, w, batch, images, dropout);

    if (where == NULL) where = exec->plan->layers[exec->plan->row.layers - 1].name;
    return an__fail(AN_ERROR_DIVERGED, "%s is the first layer whose output is not finite",
                    where);
}

an_status an__forward_loss(an_exec *exec, const an_weights *w, uint32_t batch,
                           const float *images, const int32_t *labels,
                           const an_dropout_state *dropout)
{
    const an_plan *plan = exec->plan;
    float *logits = an__exec_value(exec, plan->output);
    float *gradient = exec->training ? an__exec_gradient(exec, plan->output) : logits;
    uint32_t i;

    AN_TRY(an__exec_forward(exec, w, batch, images, dropout));
    AN_TRY(exec->slots[0].backend->softmax_loss(exec->queue[0], plan->config.classes,
                                                batch, logits, labels, gradient,
                                                exec->scores, exec->losses));
    for (i = 0; i < batch; i++)
        if (!isfinite(exec->losses[i])) return diverged(exec, w, batch, images, dropout);
    return AN_OK;
}

static an_status pass_classify(an_model *model, an_exec *exec, uint32_t count,
                               const float *images, float *probabilities)
{
    const an_backend *backend = exec->slots[0].backend;
    size_t numbers = (size_t)count * model->plan->config.classes, i;
    float *logits = an__exec_value(exec, exec->plan->output);

    AN_TRY(an__exec_forward(exec, &model->weights, count, images, NULL));
    AN_TRY(backend->softmax(exec->queue[0], model->plan->config.classes, count, logits));
    AN_TRY(backend->download(exec->queue[0], exec->scores, logits,
                             numbers * sizeof *exec->scores));
    AN_TRY(backend->sync(exec->queue[0]));
    for (i = 0; i < numbers; i++)
        if (!isfinite(exec->scores[i]))
            return diverged(exec, &model->weights, count, images, NULL);
    for (i = 0; i < numbers; i++) probabilities[i] = exec->scores[i];
    return AN_OK;
}

static an_status pass_evaluate(an_model *model, an_exec *exec, uint32_t count,
                               const float *images, const int32_t *labels,
                               an_evaluation *sum)
{
    uint32_t classes = model->plan->config.classes, i;

    AN_TRY(an__forward_loss(exec, &model->weights, count, images, labels, NULL));
    for (i = 0; i < count; i++) {
        const float *row = exec->scores + (size_t)i * classes;

        sum->top1 += an__top(row, classes, labels[i], 1);
        sum->top5 += an__top(row, classes, labels[i], 5);
        sum->loss += exec->losses[i];
    }
    sum->count += count;
    return AN_OK;
}

static an_status passes(an_model *model, an_exec *exec, const an_work *work,
                        uint32_t count)
{
    size_t image = model->plan->tensors[model->plan->input[0]].count;
    uint32_t done, part;

    for (done = 0; done < count; done += part) {
        const float *images = work->floats;

        part = count - done < exec->batch ? count - done : exec->batch;
        if (work->pictures != NULL) {
            an_view views[AN_PASS];
            uint32_t i;

            images = an__exec_staging(exec);
            if (images == NULL) return AN_ERROR_MEMORY;
            for (i = 0; i < part; i++) views[i] = an__view(model, AN_VIEW_CENTRE);
            an__images_prepare(model, work->pictures + done, part, views, exec->staging);
        } else {
            images += done * image;
        }
        if (work->probabilities != NULL)
            AN_TRY(pass_classify(model, exec, part, images,
                                 work->probabilities +
                                     (size_t)done * model->plan->config.classes));
        else
            AN_TRY(pass_evaluate(model, exec, part, images, work->labels + done,
                                 work->evaluation));
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

static an_status infer(an_model *model, const float *floats, const an_image *pictures,
                       uint32_t count, float *probabilities)
{
    an_work work = {floats, pictures, NULL, probabilities, NULL};

    AN_TRY(count_check(model, floats != NULL ? (const void *)floats : pictures, count));
    AN_CHECK(probabilities != NULL, "probabilities is null");
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

static an_status evaluate(an_model *model, const float *floats, const an_image *pictures,
                          const int32_t *labels, uint32_t count, an_evaluation *out)
{
    an_evaluation sum;
    an_work work = {floats, pictures, labels, NULL, &sum};

    AN_TRY(count_check(model, floats != NULL ? (const void *)floats : pictures, count));
    AN_TRY(an__labels_check(labels, count, model->plan->config.classes));
    AN_CHECK(out != NULL, "evaluation is null");
    an_evaluation_init(&sum, sizeof sum);
    AN_TRY(an__struct_read(&sum, out, sizeof sum, sizeof sum, "evaluation"));
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
