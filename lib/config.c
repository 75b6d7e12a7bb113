/*
 * config.c - structs that grow: defaults, reading a caller's, filling a caller's; limits.
 */
#include <math.h>
#include <string.h>

#include "internal.h"

/* Every public struct begins with its size, as the caller's compiler saw it. */
static size_t size_of(const void *object)
{
    size_t size;

    memcpy(&size, object, sizeof size);
    return size;
}

an_status an__struct_read(void *to, const void *from, size_t known, size_t least,
                          const char *what)
{
    const unsigned char *bytes = from;
    size_t size = size_of(from), i;

    AN_CHECK(size >= least, "%s.size is %zu: less than %zu, was it initialised?", what,
             size, least);
    for (i = known; i < size; i++)
        if (bytes[i] != 0)
            return an__fail(AN_ERROR_VERSION,
                            "%s has a field beyond byte %zu set, which this library (%s) "
                            "does not know",
                            what, known, an_version_string());
    memcpy(to, from, size < known ? size : known);
    memcpy(to, &known, sizeof known);
    return AN_OK;
}

an_status an__struct_write(void *to, const void *from, size_t known, size_t least,
                           const char *what)
{
    size_t size, head = sizeof size;

    AN_CHECK(to != NULL, "%s is null", what);
    size = size_of(to);
    AN_CHECK(size >= least, "%s.size is %zu: less than %zu, was it initialised?", what,
             size, least);
    memcpy((char *)to + head, (const char *)from + head,
           (size < known ? size : known) - head);
    if (size > known) memset((char *)to + known, 0, size - known);
    return AN_OK;
}

/* Writes no more than the caller's compiler gave room for. */
static void struct_init(void *to, size_t size, const void *defaults, size_t known)
{
    if (to == NULL || size < sizeof size) return;
    memset(to, 0, size);
    memcpy(to, defaults, size < known ? size : known);
    memcpy(to, &size, sizeof size);
}

#define INIT_ZERO(function, type)                                                        \
    void function(type *object, size_t size)                                             \
    {                                                                                    \
        static const type defaults;                                                      \
        struct_init(object, size, &defaults, sizeof defaults);                           \
    }

INIT_ZERO(an_context_config_init, an_context_config)
INIT_ZERO(an_device_info_init, an_device_info)
INIT_ZERO(an_model_info_init, an_model_info)
INIT_ZERO(an_layer_info_init, an_layer_info)
INIT_ZERO(an_layer_time_init, an_layer_time)
INIT_ZERO(an_kernel_time_init, an_kernel_time)
INIT_ZERO(an_parameter_info_init, an_parameter_info)
INIT_ZERO(an_image_init, an_image)
INIT_ZERO(an_preprocessing_init, an_preprocessing)
INIT_ZERO(an_evaluation_init, an_evaluation)
INIT_ZERO(an_epoch_info_init, an_epoch_info)
INIT_ZERO(an_pack_info_init, an_pack_info)
INIT_ZERO(an_source_init, an_source)
INIT_ZERO(an_batch_init, an_batch)
INIT_ZERO(an_loader_info_init, an_loader_info)
INIT_ZERO(an_recipe_info_init, an_recipe_info)
INIT_ZERO(an_step_stats_init, an_step_stats)
INIT_ZERO(an_load_config_init, an_load_config)

void an_model_config_init(an_model_config *config, size_t size)
{
    an_model_config defaults;

    memset(&defaults, 0, sizeof defaults);
    defaults.arch = AN_ARCH_PAPER;
    struct_init(config, size, &defaults, sizeof defaults);
}

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
    struct_init(config, size, &defaults, sizeof defaults);
}

void an_rate_change_init(an_rate_change *change, size_t size)
{
    an_rate_change defaults;

    memset(&defaults, 0, sizeof defaults);
    defaults.rate = defaults.bias_rate = -1;
    struct_init(change, size, &defaults, sizeof defaults);
}

void an_packing_config_init(an_packing_config *config, size_t size)
{
    an_packing_config defaults;

    memset(&defaults, 0, sizeof defaults);
    defaults.side = 256; /* the paper, section 2 */
    defaults.kind = AN_PACK_RAW;
    defaults.part_bytes = (uint64_t)4 << 30;
    struct_init(config, size, &defaults, sizeof defaults);
}

void an_loader_config_init(an_loader_config *config, size_t size)
{
    an_loader_config defaults;

    memset(&defaults, 0, sizeof defaults);
    defaults.batch = 128; /* the paper, section 5 */
    defaults.workers = 1;
    defaults.ahead = 2;
    defaults.shuffle = 1;
    defaults.augment = AN_AUGMENT_CROP | AN_AUGMENT_MIRROR | AN_AUGMENT_COLOUR;
    defaults.crop_group = 1;
    defaults.colour_sigma = 0.1f; /* the paper, 4.1 */
    defaults.colour_divisor = 1;
    struct_init(config, size, &defaults, sizeof defaults);
}

static int in_range(float value, float low, float high)
{
    return value >= low && value <= high; /* not for a NaN */
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
    AN_CHECK(in_range(c->dropout_rate, 0, 0.95f) && c->dropout_rate < 0.95f,
             "config.dropout_rate is %g: must be 0 to below 0.95",
             (double)c->dropout_rate);
    AN_CHECK(c->width == 0 || in_range(c->width, 0.02f, 4),
             "config.width is %g: must be 0.02 to 4, or 0", (double)c->width);
    AN_CHECK(c->groups <= 2, "config.groups is %u: must be 0, 1 or 2", c->groups);
    AN_CHECK(c->towers <= AN_MAX_TOWERS, "config.towers is %u: must be 0, 1 or 2",
             c->towers);
    AN_CHECK(c->remove_conv == 0 || (c->remove_conv >= 2 && c->remove_conv <= 5),
             "config.remove_conv is %u: must be 2 to 5, or 0", c->remove_conv);
    AN_CHECK(c->extra_conv <= 1, "config.extra_conv is %u: must be 0 or 1",
             c->extra_conv);
    AN_CHECK(c->initialisation <= AN_INIT_HE,
             "config.initialisation is %u: not one of an_initialisation",
             c->initialisation);
    AN_CHECK(c->precision <= AN_PRECISION_TF32X3,
             "config.precision is %u: not one of an_precision", c->precision);
    return AN_OK;
}

an_status an__trainer_config_check(const an_trainer_config *c)
{
    AN_CHECK(c->batch >= 1 && c->batch <= 8192, "config.batch is %u: must be 1 to 8192",
             c->batch);
    AN_CHECK(c->augment <= (AN_AUGMENT_CROP | AN_AUGMENT_MIRROR),
             "config.augment is %u: must be a sum of AN_AUGMENT_CROP and MIRROR",
             c->augment);
    AN_CHECK(in_range(c->rate, 0, 1000), "config.rate is %g: must be 0 to 1000",
             (double)c->rate);
    AN_CHECK(c->bias_rate <= 1000, "config.bias_rate is %g: must be at most 1000",
             (double)c->bias_rate);
    AN_CHECK(in_range(c->momentum, 0, 1) && c->momentum < 1,
             "config.momentum is %g: must be 0 to below 1", (double)c->momentum);
    AN_CHECK(in_range(c->weight_decay, 0, 1), "config.weight_decay is %g: must be 0 to 1",
             (double)c->weight_decay);
    AN_CHECK(c->bias_decay <= 1, "config.bias_decay is %g: must be at most 1",
             (double)c->bias_decay);
    AN_CHECK(c->reserved == 0, "config.reserved is %u: must be 0", c->reserved);
    AN_CHECK(c->micro_batch <= c->batch,
             "config.micro_batch is %u: must be 1 to config.batch, %u, or 0",
             c->micro_batch, c->batch);
    AN_CHECK(c->plateau_patience >= 1 && c->plateau_patience <= 1000,
             "config.plateau_patience is %u: must be 1 to 1000", c->plateau_patience);
    AN_CHECK(in_range(c->plateau_factor, 0, 1) && c->plateau_factor > 0 &&
                 c->plateau_factor < 1,
             "config.plateau_factor is %g: must be above 0 and below 1",
             (double)c->plateau_factor);
    AN_CHECK(in_range(c->plateau_gain, 0, 1) && c->plateau_gain < 1,
             "config.plateau_gain is %g: must be 0 to below 1", (double)c->plateau_gain);
    return AN_OK;
}
