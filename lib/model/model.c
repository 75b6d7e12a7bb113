/*
 * model.c - a model's life.
 */
#include <string.h>

#include "model/model.h"

an_status an__model_check_alive(const an_model *model)
{
    AN_CHECK(model != NULL, "model is null");
    return an__context_check(model->net.ctx);
}

an_status an__model_check(const an_model *model)
{
    AN_TRY(an__model_check_alive(model));
    if (__atomic_load_n(&model->in_flight, __ATOMIC_ACQUIRE) > 0)
        return an__fail(AN_ERROR_STATE, "a step of the model's trainer is in flight: end "
                                        "it first");
    return AN_OK;
}

void an__model_retain(an_model *model)
{
    pthread_mutex_lock(&model->lock);
    model->refs++;
    pthread_mutex_unlock(&model->lock);
}

static void model_free(an_model *model)
{
    an_context *ctx = model->net.ctx;

    while (model->idle != NULL) {
        an_session *session = model->idle;

        model->idle = session->next;
        an__session_destroy(session);
    }
    if (model->class_names != NULL)
        an__names_free(&ctx->memory, model->class_names, model->net.plan->config.classes);
    an__net_close(&model->net);
    an__file_unmap(&model->mapping);
    an__free(&ctx->memory, model->input.mean_image);
    pthread_mutex_destroy(&model->lock);
    an__free(&ctx->memory, model);
    an__context_release(ctx);
}

void an__model_release(an_model *model)
{
    /* A forked child is alone, and a lock may be held by a thread that it does not
     * have. */
    int alone = an__context_check(model->net.ctx) != AN_OK;
    uint32_t refs;

    if (!alone) pthread_mutex_lock(&model->lock);
    refs = --model->refs;
    if (!alone) pthread_mutex_unlock(&model->lock);
    if (refs == 0) model_free(model);
}

void an_model_destroy(an_model *model)
{
    if (model != NULL) an__model_release(model);
}

static an_status model_fill(an_model *model, an_context *ctx,
                            const an_model_config *config, float *const *map)
{
    AN_TRY(an__net_open(&model->net, ctx, config, map));
    model->class_names =
        an__alloc_zero(&ctx->memory, model->net.plan->config.classes * sizeof(char *));
    if (model->class_names == NULL) return AN_ERROR_MEMORY;
    an__model_preset_input(model);
    return AN_OK;
}

an_status an__model_make(an_model **out, an_context *ctx, const an_model_config *given,
                         float *const *map)
{
    an_model_config config;
    an_model *model;
    an_status status;

    AN_TRY(an__context_check(ctx));
    AN_CHECK(out != NULL, "out is null");
    an_model_config_init(&config, sizeof config);
    if (given != NULL)
        AN_TRY(an__struct_read(&config, given, sizeof config, sizeof config, "config"));
    AN_TRY(an__model_config_check(&config));

    model = an__alloc_zero(&ctx->memory, sizeof *model);
    if (model == NULL) return AN_ERROR_MEMORY;
    model->refs = 1;
    pthread_mutex_init(&model->lock, NULL);
    an__context_retain(ctx);
    status = model_fill(model, ctx, &config, map);
    if (status != AN_OK) {
        model_free(model); /* has no mapping yet: that stays the caller's */
        return status;
    }
    *out = model;
    return AN_OK;
}

an_status an_model_create(an_model **out, an_context *ctx, const an_model_config *config)
{
    AN_ENTER;
    an_model *model;
    an_status status;

    AN_CHECK(out != NULL, "out is null");
    AN_TRY(an__model_make(&model, ctx, config, NULL));
    status = an__weights_init(&model->net.weights, &model->net);
    if (status != AN_OK) {
        model_free(model);
        return status;
    }
    *out = model;
    return AN_OK;
}
