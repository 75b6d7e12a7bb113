/*
 * write.c - models and trainers to safetensors files.
 */
#include <stdio.h>
#include <string.h>

#include "checkpoint/checkpoint.h"

static int set_param(json_t *json, const char *prefix, const an_param *param,
                     uint64_t *at)
{
    uint64_t shape[4];
    char name[64];
    uint32_t i;

    for (i = 0; i < param->dims; i++) shape[i] = param->shape[i];
    snprintf(name, sizeof name, "%s%s", prefix, param->name);
    return an__header_add(json, name, AN_F32, shape, param->dims, at);
}

static json_t *header_make(const an_model *model, const an_trainer *trainer)
{
    json_t *json = json_object(), *metadata = json_object();
    uint64_t at = 0;
    int failed = 0;
    uint32_t i;

    failed |= json_object_set_new(metadata, "alexnet", an__metadata_make(model, trainer));
    failed |= json_object_set_new(json, "__metadata__", metadata);
    for (i = 0; i < model->net.plan->param_count; i++)
        failed |= set_param(json, "", &model->net.plan->params[i], &at);
    for (i = 0; trainer != NULL && i < model->net.plan->param_count; i++)
        failed |= set_param(json, AN_VELOCITY, &model->net.plan->params[i], &at);
    if (model->input.mean_image != NULL) {
        const uint64_t side = model->input.p.side, shape[3] = {3, side, side};

        failed |= an__header_add(json, AN_MEAN_IMAGE, AN_F32, shape, 3, &at);
    }
    if (!failed) return json;
    json_decref(json);
    return NULL;
}

static an_status write_mean(const an_input *input, an_write_fn write, void *user)
{
    size_t bytes = an__mean_count(input) * sizeof(float), done, part;

    for (done = 0; done < bytes; done += part) {
        part = bytes - done < AN_PIECE ? bytes - done : AN_PIECE;
        if (write((const char *)input->mean_image + done, part, user) != 0)
            return AN_ERROR_IO;
    }
    return AN_OK;
}

static an_status write_weights(const an_weights *w, const an_model *model,
                               an_write_fn write, void *user, float *piece)
{
    const an_plan *plan = model->net.plan;
    uint32_t i, t;

    for (i = 0; i < plan->param_count; i++)
        for (t = 0; t < plan->towers; t++) {
            const size_t most = AN_PIECE / sizeof(float);
            size_t numbers = plan->params[i].part[t], done, part;

            for (done = 0; done < numbers; done += part) {
                part = numbers - done < most ? numbers - done : most;
                AN_TRY(an__weights_get_part(w, &model->net, i, t, done, piece, part));
                AN_TRY(model->net.backend->sync(model->net.queue[t]));
                if (write(piece, part * sizeof *piece, user) != 0) return AN_ERROR_IO;
            }
        }
    return AN_OK;
}

typedef struct an_saving {
    const an_model *model;
    const an_trainer *trainer; /* null: the model alone */
} an_saving;

/* A writer that fails without a message of its own leaves IO without one. */
static an_status write_checkpoint(an_write_fn write, void *user, const void *arg)
{
    const an_saving *s = arg;
    an_context *ctx = s->model->net.ctx;
    json_t *header = header_make(s->model, s->trainer);
    float *piece;
    an_status status;

    if (header == NULL) return an__fail(AN_ERROR_MEMORY, "no memory for the header");
    piece = an__alloc(&ctx->memory, AN_PIECE);
    status = piece != NULL ? an__header_write(header, write, user) : AN_ERROR_MEMORY;
    json_decref(header);
    if (status == AN_OK)
        status = write_weights(&s->model->net.weights, s->model, write, user, piece);
    if (status == AN_OK && s->trainer != NULL)
        status = write_weights(&s->trainer->velocity, s->model, write, user, piece);
    if (status == AN_OK && s->model->input.mean_image != NULL)
        status = write_mean(&s->model->input, write, user);
    an__free(&ctx->memory, piece);
    return status;
}

static an_status save(const an_model *model, const an_trainer *trainer, const char *path)
{
    an_saving saving = {model, trainer};

    AN_TRY(an__model_check(model));
    AN_CHECK(path != NULL, "path is null");
    return an__file_replace(&model->net.ctx->memory, path, write_checkpoint, &saving);
}

static an_status write_out(const an_model *model, const an_trainer *trainer,
                           an_write_fn write, void *user)
{
    an_saving saving = {model, trainer};
    an_status status;

    AN_TRY(an__model_check(model));
    AN_CHECK(write != NULL, "write is null");
    status = write_checkpoint(write, user, &saving);
    return status == AN_ERROR_IO ? an__fail(AN_ERROR_IO, "the writer failed") : status;
}

an_status an_model_save(const an_model *model, const char *path)
{
    return save(model, NULL, path);
}

an_status an_model_write(const an_model *model, an_write_fn write, void *user)
{
    return write_out(model, NULL, write, user);
}

an_status an_trainer_save(const an_trainer *trainer, const char *path)
{
    AN_CHECK(trainer != NULL, "trainer is null");
    return save(trainer->model, trainer, path);
}

an_status an_trainer_write(const an_trainer *trainer, an_write_fn write, void *user)
{
    AN_CHECK(trainer != NULL, "trainer is null");
    return write_out(trainer->model, trainer, write, user);
}
