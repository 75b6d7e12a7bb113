/*
 * device.h - where a program's model computes, as options: any that the library knows.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include <alexnet.h>

#include "options.h"

typedef struct device_choice {
    const char *devices, *precision, *path; /* null: not given */
} device_choice;

/* Rows of a program's table of options. */
#define DEVICE_OPTIONS(choice)                                                           \
    TEXT_OPTION(                                                                         \
        "--device", &(choice).devices,                                                   \
        "cpu, cuda:0, or cuda:0,cuda:1 for two towers: alexnet-info --devices lists "    \
        "them (cpu)"),                                                                   \
        TEXT_OPTION(                                                                     \
            "--precision", &(choice).precision,                                          \
            "fp32, tf32, bf16 or tf32x3: what its products may round to (fp32)"),        \
        TEXT_OPTION("--cpu-path", &(choice).path,                                        \
                    "reference, avx2 or avx512 (the best that the processor has)")

/* The CPU's path. */
void device_context_config(const device_choice *d, an_context_config *config);
/* Two devices mean two towers. */
void device_create_config(const device_choice *d, an_model_config *config);
void device_load_config(const device_choice *d, an_load_config *config);
/* an_model_load() with that. */
an_status device_load(const device_choice *d, an_model **model, an_context *ctx,
                      const char *path);

#endif
