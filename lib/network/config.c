/*
 * config.c - a model's config: its defaults and its limits.
 */
#include <string.h>

#include "network/network.h"

void an_model_config_init(an_model_config *config, size_t size)
{
    an_model_config defaults;

    memset(&defaults, 0, sizeof defaults);
    defaults.arch = AN_ARCH_PAPER;
    an__struct_init(config, size, &defaults, sizeof defaults);
}

an_status an__model_config_check(an_model_config *c)
{
    AN_CHECK(an__arch(c->arch) != NULL, "config.arch is %u: not one of an_arch", c->arch);
    AN_CHECK(c->classes == 0 || (c->classes >= 2 && c->classes <= 65536),
             "config.classes is %u: must be 2 to 65536, or 0", c->classes);
    AN_CHECK(c->image_size <= 1024, "config.image_size is %u: must be at most 1024",
             c->image_size);
    AN_CHECK(c->activation <= AN_ACTIVATION_SIGMOID,
             "config.activation is %u: not one of an_activation", c->activation);
    AN_CHECK(c->lrn <= AN_SWITCH_OFF, "config.lrn is %u: must be AN_SWITCH_*", c->lrn);
    AN_CHECK(c->pooling <= AN_POOLING_PLAIN,
             "config.pooling is %u: not one of an_pooling", c->pooling);
    AN_CHECK(c->dropout <= AN_SWITCH_OFF, "config.dropout is %u: must be AN_SWITCH_*",
             c->dropout);
    AN_CHECK(c->dropout_scaling <= AN_DROPOUT_SCALING_TRAIN,
             "config.dropout_scaling is %u: not one of an_dropout_scaling",
             c->dropout_scaling);
    AN_CHECK(an__in_range(c->dropout_rate, 0, 0.95f) && c->dropout_rate < 0.95f,
             "config.dropout_rate is %g: must be 0 to below 0.95",
             (double)c->dropout_rate);
    AN_CHECK(c->width == 0 || an__in_range(c->width, 0.02f, 4),
             "config.width is %g: must be 0.02 to 4, or 0", (double)c->width);
    AN_CHECK(c->groups <= 2, "config.groups is %u: must be 0, 1 or 2", c->groups);
    AN_CHECK(c->towers <= AN_MAX_TOWERS, "config.towers is %u: must be 0, 1 or 2",
             c->towers);
    AN_CHECK(c->remove_conv == 0 || (c->remove_conv >= 2 && c->remove_conv <= 5),
             "config.remove_conv is %u: must be 2 to 5, or 0", c->remove_conv);
    AN_CHECK(c->extra_conv <= 1, "config.extra_conv is %u: must be 0 or 1",
             c->extra_conv);
    AN_CHECK(c->initialisation <= AN_INIT_LAST,
             "config.initialisation is %u: not one of an_initialisation",
             c->initialisation);
    AN_CHECK(c->precision <= AN_PRECISION_LAST,
             "config.precision is %u: not one of an_precision", c->precision);
    return AN_OK;
}
