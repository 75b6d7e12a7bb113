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

/* --- passes ------------------------------------------------------------------------ */

/* So many pictures' bytes go to a device beside what it is doing, which the host waits
 * for; fewer by way of the queue's own memory, which it need not wait for. */
#define SENT 16u

/* Images first .. first + count - 1 of a request. */
typedef struct an_pass {
    uint32_t first, count;
    an_view views[AN_PASS];
    an_pass_input in;
} an_pass;

static an_status pass_stage(an_model *model, an_session *session,
                            const an_request *request, an_pass *pass)
{
    const an_image *pictures;
    uint32_t i;

    memset(&pass->in, 0, sizeof pass->in);
    if (request->pictures == NULL) {
        pass->in.floats =
            request->floats +
            pass->first * model->net.plan->tensors[model->net.plan->input[0]].count;
        return AN_OK;
    }
    pictures = (const an_image *)(const void *)((const char *)request->pictures +
                                                pass->first * request->pictures->size);
    for (i = 0; i < pass->count; i++)
        pass->views[i] = an__view(&model->input, request->view);
    if (model->net.backend->async == NULL || pass->count < SENT)
        return an__session_stage(session, &model->input, pictures, pass->count,
                                 pass->views, &pass->in);
    pass->in.slot = pass->first / session->exec.batch % AN_MAX_IN_FLIGHT;
    return an__session_send(session, &model->input, pictures, pass->count, pass->views,
                            &pass->in);
}

static an_status do_scores(void *arg, uint32_t count)
{
    an_session *session = arg;
    an_exec *exec = &session->exec;

    AN_TRY(an__exec_forward(exec, &exec->net->weights, count, 0));
    return exec->backend->softmax(exec->queue[0], exec->plan->config.classes, count,
                                  an__exec_value(exec, exec->plan->output));
}

static an_status do_losses(void *arg, uint32_t count)
{
    an_session *session = arg;

    AN_TRY(an__exec_forward(&session->exec, &session->exec.net->weights, count, 0));
    return an__session_loss(session, count);
}

/* The halves of two towers stand one after the other for each image. */
static an_status pass_activations(an_model *model, an_session *session,
                                  const an_pass *pass, const an_layer_output *output,
                                  float *out)
{
    size_t part = model->net.plan->tensors[output->tensor[0]].count,
           whole = part * output->towers;
    an_exec *exec = &session->exec;
    uint32_t t, i;

    an__session_forget(session);
    AN_TRY(an__exec_forward_to(exec, &model->net.weights, pass->count, output->end));
    for (t = 0; t < output->towers; t++)
        for (i = 0; i < pass->count; i++)
            AN_TRY(an__exec_get(exec, output->tensor[t], i, out + i * whole + t * part));
    return an__exec_sync(exec);
}

/* Gives a device all that a pass is to do, the fetching of its results included. */
static an_status pass_begin(an_model *model, an_session *session,
                            const an_request *request, const an_pass *pass)
{
    an_exec *exec = &session->exec;
    size_t classes = model->net.plan->config.classes;

    AN_TRY(an__session_load(session, pass->count, &pass->in));
    if (request->layer != NULL)
        return pass_activations(model, session, pass, request->layer,
                                request->activations +
                                    pass->first * request->layer->elements);
    if (request->probabilities == NULL) {
        AN_TRY(an__session_labels(session, pass->count, request->labels + pass->first));
        AN_TRY(an__session_repeat(session, AN_REPEAT_EVALUATE, pass->count, do_losses,
                                  session));
        return an__session_fetch(session, pass->count, 0);
    }
    AN_TRY(
        an__session_repeat(session, AN_REPEAT_CLASSIFY, pass->count, do_scores, session));
    return exec->backend->download(
        exec->queue[0], session->outcome.scores, an__exec_value(exec, exec->plan->output),
        pass->count * classes * sizeof *session->outcome.scores);
}

static an_status take_scores(an_model *model, an_session *session,
                             const an_request *request, const an_pass *pass)
{
    size_t classes = model->net.plan->config.classes, elements = pass->count * classes, i;
    float *probabilities = request->probabilities + pass->first * classes;
    const float *scores = session->outcome.scores;

    for (i = 0; i < elements; i++)
        if (!isfinite(scores[i]))
            return an__session_diverged(session, &model->net.weights, pass->count,
                                        &pass->in, 0);
    for (i = 0; i < elements; i++)
        probabilities[i] = request->add ? probabilities[i] + scores[i] : scores[i];
    return AN_OK;
}

static an_status take_losses(an_model *model, an_session *session, const an_pass *pass,
                             an_evaluation *sum)
{
    const an_outcome *outcome = &session->outcome;
    uint32_t i;

    for (i = 0; i < pass->count; i++)
        if (!isfinite(outcome->losses[i]))
            return an__session_diverged(session, &model->net.weights, pass->count,
                                        &pass->in, 0);
    for (i = 0; i < pass->count; i++) {
        sum->top1 += an__top(&outcome->ranks[i], 1);
        sum->top5 += an__top(&outcome->ranks[i], 5);
        sum->loss += outcome->losses[i];
    }
    sum->count += pass->count;
    return AN_OK;
}

static an_status pass_finish(an_model *model, an_session *session,
                             const an_request *request, const an_pass *pass)
{
    if (request->layer != NULL) return AN_OK; /* it waited */
    AN_TRY(an__exec_sync(&session->exec));
    return request->probabilities != NULL
               ? take_scores(model, session, request, pass)
               : take_losses(model, session, pass, request->evaluation);
}

/* While a device does one pass, whose input it has, the host gets the next one's there.
 * Elsewhere a pass's input is the host's, and stays what it is until the pass is done. */
static an_status passes(an_model *model, an_session *session, const an_request *request,
                        uint32_t count)
{
    an_pass ring[2], *pass = ring, *under_way = NULL;
    uint32_t done;

    for (done = 0; done < count; done += pass->count) {
        pass = under_way == ring ? ring + 1 : ring;
        pass->first = done;
        pass->count =
            count - done < session->exec.batch ? count - done : session->exec.batch;
        AN_TRY(pass_stage(model, session, request, pass));
        if (under_way != NULL) AN_TRY(pass_finish(model, session, request, under_way));
        under_way = pass;
        AN_TRY(pass_begin(model, session, request, pass));
        if (pass->in.uploaded) continue;
        AN_TRY(pass_finish(model, session, request, pass));
        under_way = NULL;
    }
    return under_way != NULL ? pass_finish(model, session, request, under_way) : AN_OK;
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
    AN_ENTER;
    return infer(model, images, NULL, count, probabilities, capacity);
}

an_status an_infer_images(an_model *model, const an_image *images, uint32_t count,
                          float *probabilities, size_t capacity)
{
    AN_ENTER;
    return infer(model, NULL, images, count, probabilities, capacity);
}

an_status an_infer_views(an_model *model, const an_image *images, uint32_t count,
                         uint32_t views, float *probabilities, size_t capacity)
{
    AN_ENTER;
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
    AN_ENTER;
    return evaluate(model, images, NULL, labels, count, evaluation);
}

an_status an_evaluate_images(an_model *model, const an_image *images,
                             const int32_t *labels, uint32_t count,
                             an_evaluation *evaluation)
{
    AN_ENTER;
    return evaluate(model, NULL, images, labels, count, evaluation);
}
