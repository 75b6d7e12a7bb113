/*
 * host_run.h - the host run (test/cuda-host) as tests see it: a plugin to open, and its
 * controls. The minimal backend and a card, where there is one, are others.
 */
#ifndef AN_TEST_HOST_RUN_H
#define AN_TEST_HOST_RUN_H

#include "cuda-host/control.h"
#include "train/train.h"

/* Absolute: beside the program, or $AN_TEST_HOST_RUN, one with a planted mistake. */
const char *host_run_path(void);
/* The minimal backend (test/backend-minimal), beside the program, too. */
const char *minimal_path(void);
/* Of a planted mistake the first sign is enough: prints it and ends the process. */
void host_run_caught(const char *how);
int host_run_planted(void);
/* A plugin of any name to test, on a card where it is CUDA's: $AN_TEST_CARD, null where
 * it is not set. */
const char *card_path(void);
int card_is_cuda(void);
/* A context whose "cuda:0" is the host run's, or another plugin's. */
an_context *plugin_context(const char *path, uint32_t threads);

host_run_state *hr(void); /* the plugin's */
void hr_devices(int count, size_t memory, int peers);
/* cudaSetDevice() and cudaGetDevice(), of this thread. */
void hr_set_device(int device);
int hr_device(void);

#endif
