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
#define AN_MAX_BACKENDS 4 /* the CPU's, and plugins */

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
    pthread_mutex_t lock; /* guards all below */
    uint32_t refs;
    an_slot slots[AN_MAX_DEVICES];
    uint32_t slot_count;
    const an_backend
        *backends[AN_MAX_BACKENDS]; /* the CPU's first; then as they were opened */
    uint32_t backend_count;
};

an_status an__context_check(const an_context *ctx); /* null, fork */
void an__context_retain(an_context *ctx);
void an__context_release(an_context *ctx);

/* --- devices (devices.c, plugin.c) --------------------------------------------------- */

/* Reads "cpu" or "cpu,cpu" and opens what it names, once per context. */
an_status an__context_devices(an_context *ctx, const char *devices, uint32_t towers,
                              an_slot slots[AN_MAX_TOWERS]);

/* The backend of the plugin in that file, and of the one that serves a backend of that name: of
 * $ALEXNET_PLUGIN if that does, else of the installed one. BACKEND: it is not there, or is not
 * this library's. (plugin.c) */
an_status an__plugin_open(const char *path, const an_backend **out);
an_status an__plugin_find(const char *name, const an_backend **out);

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
