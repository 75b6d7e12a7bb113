/*
 * schedule.c - learning rates: common ones, layers' own, and how both change from epoch
 * to epoch, by a list made beforehand or when the validation error stops falling.
 */
#include <math.h>
#include <string.h>

#include "train/train.h"

AN_INIT_ZERO(an_epoch_info)

void an_rate_change_init(an_rate_change *change, size_t size)
{
    an_rate_change defaults;

    memset(&defaults, 0, sizeof defaults);
    defaults.rate = defaults.bias_rate = -1;
    an__struct_init(change, size, &defaults, sizeof defaults);
}

an_status an__trainer_check(const an_trainer *trainer)
{
    AN_CHECK(trainer != NULL, "trainer is null");
    return an__model_check(trainer->model);
}

an_status an__trainer_check_alive(const an_trainer *trainer)
{
    AN_CHECK(trainer != NULL, "trainer is null");
    return an__model_check_alive(trainer->model);
}

static an_status layer_find(const an_trainer *trainer, const char *name, uint32_t *index)
{
    return an__layer_find(trainer->model->net.plan, name, "layer", index);
}

/* --- rates in force ---------------------------------------------------------------- */

float an__trainer_rate(const an_trainer *trainer, uint32_t layer, uint32_t is_bias)
{
    float own = trainer->at.layer_rate[layer][is_bias];

    if (own >= 0) return own;
    return is_bias ? trainer->config.bias_rate : trainer->config.rate;
}

int an__trainer_frozen(const an_trainer *trainer, uint32_t layer)
{
    const float *own = trainer->at.layer_rate[layer];

    return own[0] == 0 && own[1] == 0;
}

/* "As before", in a form that a file can hold. */
static float plain(float rate)
{
    return rate >= 0 ? rate : -1;
}

static an_status rate_check(float rate, const char *name)
{
    AN_CHECK(rate <= 1000, "%s is %g: must be at most 1000", name, (double)rate);
    return AN_OK;
}

an_status an_trainer_set_layer_rates(an_trainer *trainer, const char *layer, float rate,
                                     float bias_rate)
{
    AN_ENTER;
    uint32_t index = 0;

    AN_TRY(an__trainer_check(trainer));
    AN_TRY(layer_find(trainer, layer, &index));
    AN_TRY(rate_check(rate, "rate"));
    AN_TRY(rate_check(bias_rate, "bias_rate"));
    trainer->at.layer_rate[index][0] = plain(rate);
    trainer->at.layer_rate[index][1] = plain(bias_rate);
    return AN_OK;
}

an_status an_trainer_get_layer_rates(const an_trainer *trainer, const char *layer,
                                     float *rate, float *bias_rate)
{
    AN_ENTER;
    uint32_t index = 0;

    AN_TRY(an__trainer_check(trainer));
    AN_TRY(layer_find(trainer, layer, &index));
    AN_CHECK(rate != NULL, "rate is null");
    AN_CHECK(bias_rate != NULL, "bias_rate is null");
    *rate = an__trainer_rate(trainer, index, 0);
    *bias_rate = an__trainer_rate(trainer, index, 1);
    return AN_OK;
}

/* --- changes at epochs ------------------------------------------------------------- */

static void set_rate(float *rate, float to, float scale)
{
    if (to >= 0) *rate = to * scale;
}

/* Makes the changes of epochs `first` to the trainer's. What a plateau has taken from the
 * rates so far is taken from the new ones too. */
static void make_changes(an_trainer *trainer, uint32_t first)
{
    an_progress *at = &trainer->at;
    float scale = powf(trainer->config.plateau_factor, (float)at->drops);
    uint32_t i, layer = 0;

    for (i = 0; i < at->change_count; i++) {
        const an_rate_change *c = &at->changes[i];

        if (c->epoch < first || c->epoch > at->epoch) continue;
        if (c->layer[0] == '\0') {
            set_rate(&trainer->config.rate, c->rate, scale);
            set_rate(&trainer->config.bias_rate, c->bias_rate, scale);
        } else if (layer_find(trainer, c->layer, &layer) == AN_OK) {
            set_rate(&at->layer_rate[layer][0], c->rate, scale);
            set_rate(&at->layer_rate[layer][1], c->bias_rate, scale);
        }
    }
}

an_status an__changes_check(const an_trainer *trainer, an_rate_change *changes,
                            uint32_t count)
{
    uint32_t i, layer;

    AN_CHECK(count <= AN_MAX_CHANGES, "count is %u: must be at most %u", count,
             AN_MAX_CHANGES);
    for (i = 0; i < count; i++) {
        AN_CHECK(i == 0 || changes[i].epoch >= changes[i - 1].epoch,
                 "changes[%u].epoch is %u: before that of changes[%u]", i,
                 changes[i].epoch, i - 1);
        AN_CHECK(memchr(changes[i].layer, '\0', sizeof changes[i].layer) != NULL,
                 "changes[%u].layer does not end", i);
        if (changes[i].layer[0] != '\0')
            AN_TRY(layer_find(trainer, changes[i].layer, &layer));
        AN_TRY(rate_check(changes[i].rate, "changes.rate"));
        AN_TRY(rate_check(changes[i].bias_rate, "changes.bias_rate"));
        changes[i].rate = plain(changes[i].rate);
        changes[i].bias_rate = plain(changes[i].bias_rate);
    }
    return AN_OK;
}

an_status an_trainer_set_schedule(an_trainer *trainer, const an_rate_change *given,
                                  uint32_t count)
{
    AN_ENTER;
    an_rate_change changes[AN_MAX_CHANGES];
    size_t stride = 0;
    uint32_t i;

    AN_TRY(an__trainer_check(trainer));
    AN_CHECK(given != NULL || count == 0, "changes is null");
    AN_CHECK(count <= AN_MAX_CHANGES, "count is %u: must be at most %u", count,
             AN_MAX_CHANGES);
    if (count > 0) memcpy(&stride, given, sizeof stride); /* the caller's sizeof */
    for (i = 0; i < count; i++)
        AN_TRY(an__struct_read(&changes[i], (const char *)given + i * stride,
                               sizeof *changes, sizeof *changes, "changes"));
    AN_TRY(an__changes_check(trainer, changes, count));
    memcpy(trainer->at.changes, changes, count * sizeof *changes);
    trainer->at.change_count = count;
    make_changes(trainer, 0);
    return AN_OK;
}

/* --- epochs ------------------------------------------------------------------------ */

static void drop(an_trainer *trainer)
{
    float factor = trainer->config.plateau_factor;
    uint32_t i;

    trainer->config.rate *= factor;
    trainer->config.bias_rate *= factor;
    for (i = 0; i < AN_MAX_LAYERS; i++) {
        set_rate(&trainer->at.layer_rate[i][0], trainer->at.layer_rate[i][0], factor);
        set_rate(&trainer->at.layer_rate[i][1], trainer->at.layer_rate[i][1], factor);
    }
    trainer->at.drops++;
    trainer->at.stale = 0;
}

static void watch_error(an_trainer *trainer, double error, an_epoch_info *info)
{
    const an_trainer_config *c = &trainer->config;
    an_progress *at = &trainer->at;

    if (at->best < 0 || error < at->best * (1 - (double)c->plateau_gain)) {
        at->best = error;
        at->stale = 0;
        return;
    }
    at->stale++;
    if (c->plateau_drops == 0 || at->stale < c->plateau_patience) return;
    info->finished = at->drops >= c->plateau_drops;
    info->dropped = !info->finished;
    if (info->dropped) drop(trainer);
}

an_status an_trainer_end_epoch(an_trainer *trainer, double validation_error,
                               an_epoch_info *out)
{
    AN_ENTER;
    an_epoch_info info;

    AN_TRY(an__trainer_check(trainer));
    AN_CHECK(isfinite(validation_error), "validation_error is not finite");
    an_epoch_info_init(&info, sizeof info);
    if (out != NULL)
        AN_TRY(an__struct_read(&info, out, sizeof info, sizeof info, "info"));
    info.dropped = info.finished = 0;
    trainer->at.epoch++;
    trainer->at.epoch_steps = 0;
    make_changes(trainer, trainer->at.epoch);
    if (validation_error >= 0) watch_error(trainer, validation_error, &info);
    info.epoch = trainer->at.epoch;
    info.drops = trainer->at.drops;
    info.best = trainer->at.best;
    info.rate = trainer->config.rate;
    info.bias_rate = trainer->config.bias_rate;
    if (out != NULL)
        return an__struct_write(out, &info, sizeof info, sizeof info, "info");
    return AN_OK;
}

an_status an_trainer_epoch(const an_trainer *trainer, uint32_t *epochs, uint32_t *steps)
{
    AN_ENTER;
    AN_TRY(an__trainer_check(trainer));
    if (epochs != NULL) *epochs = trainer->at.epoch;
    if (steps != NULL) *steps = trainer->at.epoch_steps;
    return AN_OK;
}
