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
    {"--device",                                                                         \
     OPTION_TEXT,                                                                        \
     &(choice).devices,                                                                  \
     0,                                                                                  \
     0,                                                                                  \
     "cpu, cuda:0, or cuda:0,cuda:1 for two towers: info --devices lists them (cpu)",    \
     0},                                                                                 \
        {"--precision",                                                                  \
         OPTION_TEXT,                                                                    \
         &(choice).precision,                                                            \
         0,                                                                              \
         0,                                                                              \
         "fp32, tf32, bf16 or tf32x3: what its products may round to (fp32)",            \
         0},                                                                             \
    {                                                                                    \
        "--cpu-path", OPTION_TEXT, &(choice).path, 0, 0,                                 \
            "reference, avx2 or avx512 (the best that the processor has)", 0             \
    }

/* The CPU's path. */
void device_context_config(const device_choice *d, an_context_config *config);
/* Two devices mean two towers. */
void device_create_config(const device_choice *d, an_model_config *config);
void device_load_config(const device_choice *d, an_load_config *config);
/* an_model_load() with that. */
an_status device_load(const device_choice *d, an_model **model, an_context *ctx,
                      const char *path);

#endif
