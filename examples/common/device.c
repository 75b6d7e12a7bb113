/*
 * device.c - from the options to configs.
 */
#include "device.h"

#include <string.h>

static uint32_t precision(const device_choice *d)
{
    static const char *const names[] = {"fp32", "tf32", "bf16",
                                        "tf32x3"}; /* by an_precision */
    uint32_t i;

    if (d->precision == NULL) return AN_PRECISION_FP32;
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(d->precision, names[i]) == 0) return i;
    usage_error("--precision %s: must be fp32, tf32, bf16 or tf32x3", d->precision);
    return 0;
}

void device_context_config(const device_choice *d, an_context_config *config)
{
    static const char *const names[] = {"best", "reference", "avx2", "avx512"};
    uint32_t i;

    for (i = 0; i < 4 && d->path != NULL; i++) /* by an_cpu_path */
        if (strcmp(d->path, names[i]) == 0) break;
    if (i == 4) usage_error("--cpu-path %s: must be reference, avx2 or avx512", d->path);
    config->cpu_path = i;
}

static int two(const device_choice *d)
{
    return d->devices != NULL && strchr(d->devices, ',') != NULL;
}

void device_create_config(const device_choice *d, an_model_config *config)
{
    config->devices = d->devices;
    config->precision = precision(d);
    if (two(d)) config->towers = 2;
}

void device_load_config(const device_choice *d, an_load_config *config)
{
    an_load_config_init(config, sizeof *config);
    config->devices = d->devices;
    config->precision = precision(d);
    if (two(d)) config->towers = 2;
}

an_status device_load(const device_choice *d, an_model **model, an_context *ctx,
                      const char *path)
{
    an_load_config config;

    device_load_config(d, &config);
    return an_model_load(model, ctx, path, &config);
}
