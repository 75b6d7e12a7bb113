/*
 * write.c - models and trainers to safetensors files.
 */
#include <stdio.h>
#include <string.h>

#include "checkpoint/checkpoint.h"

typedef struct an_saving {
    const an_model *model;
    const an_trainer *trainer; /* null: the model alone */
    const char *about;         /* the metadata */
    size_t about_bytes;
} an_saving;

static void put_params(an_json_out *out, const an_plan *plan, const char *prefix,
                       uint64_t *at)
{
    uint32_t p, i;

    for (p = 0; p < plan->param_count; p++) {
        const an_param *param = &plan->params[p];
        uint64_t shape[4];
        char name[64];

        for (i = 0; i < param->dims; i++) shape[i] = param->shape[i];
        snprintf(name, sizeof name, "%s%s", prefix, param->name);
        an__header_put(out, name, AN_F32, shape, param->dims, at);
    }
}

static void put_header(an_json_out *out, const void *arg)
{
    const an_saving *s = arg;
    const an_plan *plan = s->model->net.plan;
    uint64_t at = 0;

    an__json_open(out, '{');
    an__json_key(out, "__metadata__");
    an__json_open(out, '{');
    an__json_key(out, "alexnet");
    an__json_put_bytes(out, s->about, s->about_bytes);
    an__json_close(out, '}');
    put_params(out, plan, "", &at);
    if (s->trainer != NULL) put_params(out, plan, AN_VELOCITY, &at);
    if (s->model->input.mean_image != NULL) {
        const uint64_t side = s->model->input.p.side, shape[3] = {3, side, side};

        an__header_put(out, AN_MEAN_IMAGE, AN_F32, shape, 3, &at);
    }
    an__json_close(out, '}');
}

static an_status write_header(const an_saving *given, an_write_fn write, void *user)
{
    const an_allocator *memory = &given->model->net.ctx->memory;
    an_saving s = *given;
    an_status status;
    char *about;

    AN_TRY(an__metadata_make(&about, &s.about_bytes, memory, s.model, s.trainer));
    s.about = about;
    status = an__header_write(memory, put_header, &s, write, user);
    an__free(memory, about);
    return status;
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

/* A writer that fails without a message of its own leaves IO without one. */
static an_status write_checkpoint(an_write_fn write, void *user, const void *arg)
{
    const an_saving *s = arg;
    an_context *ctx = s->model->net.ctx;
    float *piece = an__alloc(&ctx->memory, AN_PIECE);
    an_status status = piece != NULL ? write_header(s, write, user) : AN_ERROR_MEMORY;

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
    const an_saving saving = {model, trainer, NULL, 0};

    AN_TRY(an__model_check(model));
    AN_CHECK(path != NULL, "path is null");
    return an__file_replace(&model->net.ctx->memory, path, write_checkpoint, &saving);
}

static an_status write_out(const an_model *model, const an_trainer *trainer,
                           an_write_fn write, void *user)
{
    const an_saving saving = {model, trainer, NULL, 0};
    an_status status;

    AN_TRY(an__model_check(model));
    AN_CHECK(write != NULL, "write is null");
    status = write_checkpoint(write, user, &saving);
    return status == AN_ERROR_IO ? an__fail(AN_ERROR_IO, "the writer failed") : status;
}

an_status an_model_save(const an_model *model, const char *path)
{
    AN_ENTER;
    return save(model, NULL, path);
}

an_status an_model_write(const an_model *model, an_write_fn write, void *user)
{
    AN_ENTER;
    return write_out(model, NULL, write, user);
}

an_status an_trainer_save(const an_trainer *trainer, const char *path)
{
    AN_ENTER;
    AN_CHECK(trainer != NULL, "trainer is null");
    return save(trainer->model, trainer, path);
}

an_status an_trainer_write(const an_trainer *trainer, an_write_fn write, void *user)
{
    AN_ENTER;
    AN_CHECK(trainer != NULL, "trainer is null");
    return write_out(trainer->model, trainer, write, user);
}
