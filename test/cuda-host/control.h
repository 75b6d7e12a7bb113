/*
 * control.h - what tests set and ask of the host run: a struct of the plugin's, found
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

typedef struct host_run_launch {
    const void *kernel;
    unsigned grid[3], threads; /* blocks, and the threads of one */
    size_t shared;             /* bytes of a block's */
    const void *params;        /* the kernel's struct, during the call alone */
    size_t params_bytes;
} host_run_launch;

typedef struct host_run_state {
    /* Devices 0 .. devices - 1; -1: a machine without a driver. */
    int devices;
    size_t memory;  /* of each, in bytes */
    size_t shared;  /* that a block can have */
    int peers;      /* whether they can read each other's memory */
    int major;      /* of their compute capability */
    int old;        /* 1: the driver makes no tensor maps */
    int processors; /* of each: 2, so that sums are in few parts, and long */
    /* 1: whenever a stream is waited for, all the others run ahead of it as far as they
     * may; 0: they do no more than is asked for. */
    int hurry;
    /* 1, set before there is memory: the clock of events tells no time but how many bytes
     * of devices' memory kernels have read and written so far, each page once in each. */
    int count_touched;
    int fail_kind;    /* the call of this kind that fails: */
    unsigned fail_in; /* the 1st, 2nd, ... from now on; 0: none */
    int failed;       /* 1 if it has */
    unsigned lost;    /* a bit for each device */
    /* Not null: told of every launch, in the order in which the host asks for them. */
    void (*launched)(const host_run_launch *launch);

    uint64_t graph_launches;
    uint64_t launches;   /* kernels that have run */
    uint64_t touched;    /* bytes: see count_touched */
    uint64_t up_bytes;   /* copied from pinned memory to a device's */
    uint64_t peer_bytes; /* copied from one device's memory to another's, directly */
    uint64_t allocated;  /* bytes of device and pinned memory now held */
    uint64_t streams, events, graphs; /* now held */
} host_run_state;

extern host_run_state host_run_now;

#ifdef __cplusplus
}
#endif

#endif
