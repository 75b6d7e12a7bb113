/*
 * trainer.c - a trainer's life and state.
 */
#include <string.h>

#include "train/train.h"

void an_trainer_config_init(an_trainer_config *config, size_t size)
{
    an_trainer_config defaults;

    memset(&defaults, 0, sizeof defaults);
    defaults.batch = 128; /* the paper, section 5, as the rest */
    defaults.augment = AN_AUGMENT_CROP | AN_AUGMENT_MIRROR;
    defaults.rate = 0.01f;
    defaults.bias_rate = -1;
    defaults.momentum = 0.9f;
    defaults.weight_decay = 0.0005f;
    defaults.bias_decay = -1;
    defaults.plateau_patience = 5;
    defaults.plateau_factor = 0.1f;
    an__struct_init(config, size, &defaults, sizeof defaults);
}

an_status an__trainer_config_check(const an_trainer_config *c)
{
    AN_CHECK(c->batch >= 1 && c->batch <= 8192, "config.batch is %u: must be 1 to 8192",
             c->batch);
    AN_CHECK(c->augment <= (AN_AUGMENT_CROP | AN_AUGMENT_MIRROR),
             "config.augment is %u: must be a sum of AN_AUGMENT_CROP and MIRROR",
             c->augment);
    AN_CHECK(an__in_range(c->rate, 0, 1000), "config.rate is %g: must be 0 to 1000",
             (double)c->rate);
    AN_CHECK(c->bias_rate <= 1000, "config.bias_rate is %g: must be at most 1000",
             (double)c->bias_rate);
    AN_CHECK(an__in_range(c->momentum, 0, 1) && c->momentum < 1,
             "config.momentum is %g: must be 0 to below 1", (double)c->momentum);
    AN_CHECK(an__in_range(c->weight_decay, 0, 1),
             "config.weight_decay is %g: must be 0 to 1", (double)c->weight_decay);
    AN_CHECK(c->bias_decay <= 1, "config.bias_decay is %g: must be at most 1",
             (double)c->bias_decay);
    AN_CHECK(c->reserved == 0, "config.reserved is %u: must be 0", c->reserved);
    AN_CHECK(c->micro_batch <= c->batch,
             "config.micro_batch is %u: must be 1 to config.batch, %u, or 0",
             c->micro_batch, c->batch);
    AN_CHECK(c->plateau_patience >= 1 && c->plateau_patience <= 1000,
             "config.plateau_patience is %u: must be 1 to 1000", c->plateau_patience);
    AN_CHECK(an__in_range(c->plateau_factor, 0, 1) && c->plateau_factor > 0 &&
                 c->plateau_factor < 1,
             "config.plateau_factor is %g: must be above 0 and below 1",
             (double)c->plateau_factor);
    AN_CHECK(an__in_range(c->plateau_gain, 0, 1) && c->plateau_gain < 1,
             "config.plateau_gain is %g: must be 0 to below 1", (double)c->plateau_gain);
    return AN_OK;
}

/* --- life -------------------------------------------------------------------------- */

static void trainer_free(an_trainer *trainer)
{
    an_model *model = trainer->model;

    an__session_destroy(trainer->session);
    an__weights_free(&trainer->velocity, &model->net);
    an__weights_free(&trainer->gradient, &model->net);
    an__weights_free(&trainer->micro_gradient, &model->net);
    an__free(&model->net.ctx->memory, trainer->views);
    an__free(&model->net.ctx->memory, trainer);
}

static an_status trainer_fill(an_trainer *trainer, an_weights *velocity)
{
    an_model *model = trainer->model;

    AN_TRY(an__session_create(&trainer->session, &model->net, trainer->config.micro_batch,
                              1));
    trainer->views = an__alloc(&model->net.ctx->memory,
                               trainer->config.micro_batch * sizeof *trainer->views);
    if (trainer->views == NULL) return AN_ERROR_MEMORY;
    if (velocity == NULL) {
        AN_TRY(an__weights_alloc(&trainer->velocity, &model->net));
    } else {
        trainer->velocity = *velocity;
        memset(velocity, 0, sizeof *velocity);
    }
    AN_TRY(an__weights_alloc(&trainer->gradient, &model->net));
    if (trainer->config.micro_batch < trainer->config.batch)
        AN_TRY(an__weights_alloc(&trainer->micro_gradient, &model->net));
    /* Here rather than when first needed: a step allocates nothing. */
    return an__session_reserve(trainer->session, &model->input);
}

static void resolve(an_trainer_config *config, const an_arch_row *row)
{
    if (config->bias_rate < 0) config->bias_rate = config->rate * row->bias_rate_factor;
    if (config->bias_decay < 0)
        config->bias_decay = row->bias_decays ? config->weight_decay : 0;
    if (config->micro_batch == 0) config->micro_batch = config->batch;
}

/* A model has one trainer at a time: the first to claim it. */
static an_status claim(an_model *model, an_trainer *trainer)
{
    int taken;

    pthread_mutex_lock(&model->lock);
    taken = model->trainer != NULL;
    if (!taken) {
        model->trainer = trainer;
        model->refs++;
    }
    pthread_mutex_unlock(&model->lock);
    if (taken) return an__fail(AN_ERROR_STATE, "the model has a trainer already");
    return AN_OK;
}

an_status an_trainer_create(an_trainer **out, an_model *model,
                            const an_trainer_config *config)
{
    AN_ENTER;
    AN_CHECK(out != NULL, "out is null");
    AN_TRY(an__model_check(model));
    return an__trainer_make(out, model, config, NULL);
}

an_status an__trainer_make(an_trainer **out, an_model *model,
                           const an_trainer_config *given, an_weights *velocity)
{
    an_trainer_config config;
    an_trainer *trainer;
    an_status status;
    uint32_t i;

    an_trainer_config_init(&config, sizeof config);
    if (given != NULL)
        AN_TRY(an__struct_read(&config, given, sizeof config, sizeof config, "config"));
    resolve(&config,
            &model->net.plan->row); /* first: what is in force has the same limits */
    AN_TRY(an__trainer_config_check(&config));

    trainer = an__alloc_zero(&model->net.ctx->memory, sizeof *trainer);
    if (trainer == NULL) return AN_ERROR_MEMORY;
    trainer->model = model;
    trainer->config = config;
    trainer->at.best = -1;
    for (i = 0; i < AN_MAX_LAYERS; i++)
        trainer->at.layer_rate[i][0] = trainer->at.layer_rate[i][1] = -1;
    status = trainer_fill(trainer, velocity);
    if (status == AN_OK) status = claim(model, trainer);
    if (status != AN_OK) {
        trainer_free(trainer);
        return status;
    }
    *out = trainer;
    return AN_OK;
}

void an_trainer_destroy(an_trainer *trainer)
{
    an_model *model;

    if (trainer == NULL) return;
    model = trainer->model;
    __atomic_store_n(&model->in_flight, 0, __ATOMIC_RELEASE);
    trainer_free(trainer);
    model->trainer = NULL;
    model->trained = 0;
    an__model_release(model);
}

/* --- state ------------------------------------------------------------------------- */

an_status an_trainer_get_config(const an_trainer *trainer, an_trainer_config *config)
{
    AN_ENTER;
    AN_TRY(an__trainer_check(trainer));
    AN_CHECK(config != NULL, "config is null");
    return an__struct_write(config, &trainer->config, sizeof *config, sizeof *config,
                            "config");
}

an_status an_trainer_set_rates(an_trainer *trainer, float rate, float bias_rate)
{
    AN_ENTER;
    an_trainer_config config;

    AN_TRY(an__trainer_check(trainer));
    config = trainer->config;
    config.rate = rate;
    config.bias_rate = bias_rate;
    resolve(&config, &trainer->model->net.plan->row);
    AN_TRY(an__trainer_config_check(&config));
    trainer->config = config;
    return AN_OK;
}

an_status an_trainer_get_gradient(const an_trainer *trainer, uint32_t index,
                                  float *values, size_t count)
{
    AN_ENTER;
    const an_param *param;

    AN_TRY(an__trainer_check(trainer));
    AN_CHECK(index < trainer->model->net.plan->param_count,
             "index is %u: the model has %u parameters", index,
             trainer->model->net.plan->param_count);
    AN_CHECK(values != NULL, "values is null");
    param = &trainer->model->net.plan->params[index];
    AN_CHECK(count == param->count, "count is %zu: %s has %zu numbers", count,
             param->name, param->count);
    if (!trainer->has_gradient)
        return an__fail(AN_ERROR_STATE, "no step has been done that left a gradient");
    if (trainer->session->exec.frozen[param->layer])
        return an__fail(AN_ERROR_STATE, "%s: its layer was frozen in the last step",
                        param->name);
    if (an__gradient_is_deferred(trainer, param)) /* the step did without it */
        AN_TRY(an__exec_deferred_gradients(&trainer->session->exec, &trainer->gradient));
    AN_TRY(an__exec_sync(&trainer->session->exec));
    return an__weights_get(&trainer->gradient, &trainer->model->net, index, values);
}

an_status an_trainer_set_note(an_trainer *trainer,
                              const uint8_t note[AN_TRAINER_NOTE_BYTES])
{
    AN_ENTER;
    AN_TRY(an__trainer_check(trainer));
    AN_CHECK(note != NULL, "note is null");
    memcpy(trainer->at.note, note, sizeof trainer->at.note);
    return AN_OK;
}

an_status an_trainer_get_note(const an_trainer *trainer,
                              uint8_t note[AN_TRAINER_NOTE_BYTES])
{
    AN_ENTER;
    AN_TRY(an__trainer_check(trainer));
    AN_CHECK(note != NULL, "note is null");
    memcpy(note, trainer->at.note, sizeof trainer->at.note);
    return AN_OK;
}
