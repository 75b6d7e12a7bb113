/*
 * infer.c - inference and evaluation: any number of images, by any number of threads.
 */
#include <math.h>
#include <string.h>

#include "model/model.h"

/* --- buffers ----------------------------------------------------------------------- */

/* A session for each call at a time: idle ones wait in the model's list. */
static an_status session_take(an_model *model, uint32_t batch, an_session **out)
{
    an_session *session;

    pthread_mutex_lock(&model->lock);
    session = model->idle;
    if (session != NULL) model->idle = session->next;
    pthread_mutex_unlock(&model->lock);
    if (session != NULL && session->exec.batch >= batch) {
        *out = session;
        return AN_OK;
    }
    an__session_destroy(session);
    return an__session_create(out, &model->net, batch, 0);
}

static void session_give(an_model *model, an_session *session)
{
    pthread_mutex_lock(&model->lock);
    session->next = model->idle;
    model->idle = session;
    pthread_mutex_unlock(&model->lock);
}

/* So many images' bytes are copied to a device from where they were cropped, which the
 * host waits for; fewer by way of the queue's own memory, which it need not wait for. */
#define SENT 16u

/* --- passes ------------------------------------------------------------------------ */

static an_status do_scores(void *arg, uint32_t count)
{
    an_session *session = arg;
    an_exec *exec = &session->exec;

    AN_TRY(an__exec_forward(exec, &exec->net->weights, count, 0));
    return exec->backend->softmax(exec->queue[0], exec->plan->config.classes, count,
                                  an__exec_value(exec, exec->plan->output));
}

static an_status pass_classify(an_model *model, an_session *session, uint32_t count,
                               const an_pass_input *in, float *probabilities, int add)
{
    size_t elements = (size_t)count * model->net.plan->config.classes, i;
    an_exec *exec = &session->exec;
    float *scores = session->outcome.scores;

    AN_TRY(an__session_load(session, count, in));
    AN_TRY(an__session_repeat(session, AN_REPEAT_CLASSIFY, count, do_scores, session));
    AN_TRY(exec->backend->download(exec->queue[0], scores,
                                   an__exec_value(exec, exec->plan->output),
                                   elements * sizeof *scores));
    AN_TRY(an__exec_sync(exec));
    for (i = 0; i < elements; i++)
        if (!isfinite(scores[i]))
            return an__session_diverged(session, &model->net.weights, count, in, 0);
    for (i = 0; i < elements; i++)
        probabilities[i] = add ? probabilities[i] + scores[i] : scores[i];
    return AN_OK;
}

static an_status do_losses(void *arg, uint32_t count)
{
    an_session *session = arg;

    AN_TRY(an__exec_forward(&session->exec, &session->exec.net->weights, count, 0));
    return an__session_loss(session, count);
}

static an_status pass_evaluate(an_model *model, an_session *session, uint32_t count,
                               const an_pass_input *in, const int32_t *labels,
                               an_evaluation *sum)
{
    const an_outcome *outcome = &session->outcome;
    uint32_t i;

    AN_TRY(an__session_load(session, count, in));
    AN_TRY(an__session_labels(session, count, labels));
    AN_TRY(an__session_repeat(session, AN_REPEAT_EVALUATE, count, do_losses, session));
    AN_TRY(an__session_finish(session, count));
    for (i = 0; i < count; i++)
        if (!isfinite(outcome->losses[i]))
            return an__session_diverged(session, &model->net.weights, count, in, 0);
    for (i = 0; i < count; i++) {
        sum->top1 += an__top(&outcome->ranks[i], 1);
        sum->top5 += an__top(&outcome->ranks[i], 5);
        sum->loss += outcome->losses[i];
    }
    sum->count += count;
    return AN_OK;
}

/* The halves of two towers stand one after the other for each image. */
static an_status pass_activations(an_model *model, an_session *session, uint32_t count,
                                  const an_pass_input *in, const an_layer_output *output,
                                  float *out)
{
    size_t part = model->net.plan->tensors[output->tensor[0]].count,
           whole = part * output->towers;
    an_exec *exec = &session->exec;
    uint32_t t, i;

    an__session_forget(session);
    AN_TRY(an__session_load(session, count, in));
    AN_TRY(an__exec_forward_to(exec, &model->net.weights, count, output->end));
    for (t = 0; t < output->towers; t++)
        for (i = 0; i < count; i++)
            AN_TRY(an__exec_get(exec, output->tensor[t], i, out + i * whole + t * part));
    return an__exec_sync(exec);
}

static an_status do_pass(an_model *model, an_session *session, const an_request *request,
                         uint32_t first, uint32_t count, const an_pass_input *in)
{
    size_t classes = model->net.plan->config.classes;

    if (request->layer != NULL)
        return pass_activations(model, session, count, in, request->layer,
                                request->activations + first * request->layer->elements);
    if (request->probabilities != NULL)
        return pass_classify(model, session, count, in,
                             request->probabilities + first * classes, request->add);
    return pass_evaluate(model, session, count, in, request->labels + first,
                         request->evaluation);
}

static an_status passes(an_model *model, an_session *session, const an_request *request,
                        uint32_t count)
{
    size_t image = model->net.plan->tensors[model->net.plan->input[0]].count;
    uint32_t done, part, i;

    for (done = 0; done < count; done += part) {
        an_view views[AN_PASS];
        an_pass_input in;

        part = count - done < session->exec.batch ? count - done : session->exec.batch;
        if (request->pictures != NULL) {
            const char *from =
                (const char *)request->pictures + done * request->pictures->size;

            for (i = 0; i < part; i++) views[i] = an__view(&model->input, request->view);
            AN_TRY(an__session_stage(session, &model->input,
                                     (const an_image *)(const void *)from, part, views,
                                     &in));
            if (in.crops != NULL && part >= SENT)
                AN_TRY(an__session_upload(session, part, &in));
        } else {
            memset(&in, 0, sizeof in);
            in.floats = request->floats + done * image;
        }
        AN_TRY(do_pass(model, session, request, done, part, &in));
    }
    return AN_OK;
}

an_status an__request_run(an_model *model, const an_request *request, uint32_t count)
{
    an_session *session;
    an_status status;

    if (request->pictures != NULL) AN_TRY(an__images_check(request->pictures, count));
    AN_TRY(session_take(model, count < AN_PASS ? count : AN_PASS, &session));
    status = passes(model, session, request, count);
    if (status != AN_OK) an__exec_abandon(&session->exec);
    session_give(model, session);
    return status;
}

/* --- public ------------------------------------------------------------------------ */

an_status an__request_check(const an_model *model, const an_request *request,
                            uint32_t count)
{
    AN_TRY(an__model_check(model));
    AN_CHECK(request->floats != NULL || request->pictures != NULL, "images is null");
    AN_CHECK(count >= 1 && count <= 1048576, "count is %u: must be 1 to 1048576", count);
    return AN_OK;
}

an_request an__request(const float *floats, const an_image *pictures)
{
    an_request request = {.floats = floats, .pictures = pictures};

    return request;
}

static an_status infer(an_model *model, const float *floats, const an_image *pictures,
                       uint32_t count, float *probabilities, size_t capacity)
{
    an_request request = an__request(floats, pictures);

    AN_TRY(an__request_check(model, &request, count));
    AN_CHECK(probabilities != NULL, "probabilities is null");
    AN_TRY(an__capacity_check(capacity, count, model->net.plan->config.classes));
    request.probabilities = probabilities;
    return an__request_run(model, &request, count);
}

an_status an_infer(an_model *model, const float *images, uint32_t count,
                   float *probabilities, size_t capacity)
{
    return infer(model, images, NULL, count, probabilities, capacity);
}

an_status an_infer_images(an_model *model, const an_image *images, uint32_t count,
                          float *probabilities, size_t capacity)
{
    return infer(model, NULL, images, count, probabilities, capacity);
}

an_status an_infer_views(an_model *model, const an_image *images, uint32_t count,
                         uint32_t views, float *probabilities, size_t capacity)
{
    an_request request = an__request(NULL, images);
    size_t elements, i;

    AN_TRY(an__request_check(model, &request, count));
    AN_CHECK(views == 1 || views == 2 * AN_VIEW_MIRRORED, "views is %u: must be 1 or 10",
             views);
    AN_CHECK(probabilities != NULL, "probabilities is null");
    AN_TRY(an__capacity_check(capacity, count, model->net.plan->config.classes));
    request.probabilities = probabilities;
    for (request.view = 0; request.view < views; request.view++) {
        request.add = request.view > 0;
        AN_TRY(an__request_run(model, &request, count));
    }
    elements = (size_t)count * model->net.plan->config.classes;
    for (i = 0; i < elements; i++) probabilities[i] /= (float)views;
    return AN_OK;
}

static an_status evaluate(an_model *model, const float *floats, const an_image *pictures,
                          const int32_t *labels, uint32_t count, an_evaluation *out)
{
    an_evaluation sum;
    an_request request = an__request(floats, pictures);

    AN_TRY(an__request_check(model, &request, count));
    AN_TRY(an__labels_check(labels, count, model->net.plan->config.classes));
    AN_CHECK(out != NULL, "evaluation is null");
    an_evaluation_init(&sum, sizeof sum);
    AN_TRY(an__struct_read(&sum, out, sizeof sum, sizeof sum, "evaluation"));
    request.labels = labels;
    request.evaluation = &sum;
    AN_TRY(an__request_run(model, &request, count));
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
