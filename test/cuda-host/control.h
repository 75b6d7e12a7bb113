/*
 * control.h - what tests set and ask of the host run. The functions are the plugin's, found
 * with dlsym().
 */
#ifndef HOST_RUN_CONTROL_H
#define HOST_RUN_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HOST_RUN_ALLOC = 1, /* device or pinned memory */
    HOST_RUN_COPY = 2,
    HOST_RUN_LAUNCH = 3,
    HOST_RUN_LOST = 4, /* a launch, and its device with it: every later call fails */
    HOST_RUN_ANY = 5   /* any call that can fail */
};

typedef struct host_run_counts {
    uint64_t launches, copies;
    uint64_t peer_bytes; /* copied from one device's memory to another's, or through the
                            host's, counted once */
    uint64_t graph_launches;
    uint64_t allocated;               /* bytes of device and pinned memory now held */
    uint64_t streams, events, graphs; /* now held */
} host_run_counts;

/* Devices 0 .. count - 1 with `memory` bytes each, of compute capability 8.0. peers: whether
 * they can read each other's memory. Before: two devices, peers, 16 GiB. A count of -1 is a
 * machine without a driver. */
void host_run_devices(int count, size_t memory, int peers);
/* 1: whenever a stream is waited for, all the others run ahead of it as far as they may, where
 * before they did no more than was asked for. */
void host_run_hurry(int on);
/* The n-th call of this kind from now on fails, n = 1, 2, ...; 0: none does. */
void host_run_fail(int kind, unsigned n);
void host_run_failed(int *failed); /* 1 if that failure has happened */
void host_run_restore(int device); /* a lost one is back; -1: all */
void host_run_count(host_run_counts *counts);

#ifdef __cplusplus
}
#endif

#endif
