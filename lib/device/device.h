/*
 * device.h - a context: its memory, its threads, and the devices that it has opened.
 *
 * A context lives as long as anything made with it: whatever keeps it calls
 * an__context_retain(), and an__context_release() in the end.
 */
#ifndef AN_DEVICE_H
#define AN_DEVICE_H

#include <pthread.h>
#include <sys/types.h>

#include "base/base.h"
#include "device/backend.h"

#define AN_MAX_TOWERS 2
#define AN_MAX_DEVICES 16

/* --- context (context.c) ------------------------------------------------------------- */

typedef struct an_slot { /* an opened device */
    const an_backend *backend;
    an_device *device;
    uint32_t index;
} an_slot;

struct an_context {
    an_allocator memory;
    pid_t pid;
    uint32_t threads;
    an_pool *pool;
    an_host host;
    pthread_mutex_t lock; /* guards refs and slots */
    uint32_t refs;
    an_slot slots[AN_MAX_DEVICES];
    uint32_t slot_count;
    const an_backend *cpu;  /* of the path in use */
    const an_backend *cuda; /* null: not looked for yet, or not there: */
    int cuda_sought;
    char cuda_missing[320]; /* why */
};

an_status an__context_check(const an_context *ctx); /* null, fork */
void an__context_retain(an_context *ctx);
void an__context_release(an_context *ctx);

/* --- devices (devices.c, plugin.c) --------------------------------------------------- */

/* Reads "cpu" or "cpu,cpu" and opens what it names, once per context. */
an_status an__context_devices(an_context *ctx, const char *devices, uint32_t towers,
                              an_slot slots[AN_MAX_TOWERS]);

/* The table of the CUDA plugin: path null for where it is found without being told. BACKEND:
 * it is not there, or not this library's. (plugin.c) */
an_status an__plugin_open(const char *path, const an_backend **out);

/* How rows of bytes are copied that this processor will not read again soon: past its caches, if
 * the CPU's backend has instructions for that. (cpu/path.c) */
an_copy_rows_fn an__cpu_copy_rows(const an_backend *cpu);

/* --- memory of the host and of devices (host_memory.c) ------------------------------- */

/* Of the host, from which the device copies fastest. */
an_status an__host_alloc(an_context *ctx, const an_slot *slot, size_t bytes,
                         uint8_t **out);
void an__host_free(an_context *ctx, const an_slot *slot, void *memory); /* null allowed */
void an__device_release(const an_slot *slot, void *memory);             /* null allowed */

#endif
