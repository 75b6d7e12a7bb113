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

/* --- context (context.c) ----------------------------------------------------------- */

typedef struct an_opened { /* a device that is open */
    const an_backend *backend;
    an_device *device;
    uint32_t index;
} an_opened;

struct an_context {
    an_allocator memory;
    an_meter meter;
    uint64_t process; /* that made it */
    pid_t pid;        /* for people */
    uint32_t threads;
    an_pool *pool;
    an_host host;
    pthread_mutex_t lock; /* guards all below */
    uint32_t refs;
    an_opened opened[AN_MAX_DEVICES];
    uint32_t opened_count;
    const an_backend
        *backends[AN_MAX_BACKENDS]; /* the CPU's first; then as they were opened */
    uint32_t backend_count;
};

an_status an__context_check(const an_context *ctx); /* null, fork */
void an__context_retain(an_context *ctx);
void an__context_release(an_context *ctx);

/* --- processors (processors.c) ----------------------------------------------------- */

/* What a context with threads = 0 computes with: 1 to 256. */
uint32_t an__processors(void);
/* How many processors' time the process's control groups give it, 1e9 if that is not
 * limited. `root`: what stands before /proc and all mounts, "" but in tests. */
double an__processor_quota(const char *root);

/* --- devices (devices.c, plugin.c) ------------------------------------------------- */

/* Reads "cpu" or "cpu,cpu" and opens what it names, once per context: one backend, and a
 * device for each tower. */
an_status an__context_devices(an_context *ctx, const char *devices, uint32_t towers,
                              const an_backend **backend,
                              an_device *device[AN_MAX_TOWERS]);

/* The backend of the plugin in that file; of the one that $ALEXNET_PLUGIN names, or null;
 * and of the one that serves a backend of that name: of $ALEXNET_PLUGIN if that does,
 * else of the installed one. BACKEND: it is not there, or is not this library's.
 * (plugin.c) */
an_status an__plugin_open(const char *path, const an_backend **out);
an_status an__plugin_named(const an_backend **out);
an_status an__plugin_find(const char *name, const an_backend **out);

/* How rows of bytes are copied that this processor will not read again soon: past its
 * caches, if the CPU's backend has instructions for that. (cpu/path.c) */
an_copy_rows_fn an__cpu_copy_rows(const an_backend *cpu);

/* --- memory of the host and of devices (memory.c) ---------------------------------- */

/* Of the host, from which the device copies fastest. */
an_status an__host_alloc(an_context *ctx, const an_backend *backend, an_device *device,
                         size_t bytes, uint8_t **out);
void an__host_free(an_context *ctx, const an_backend *backend, an_device *device,
                   void *memory); /* null allowed */
/* Elements of a device's memory in a buffer of their own; and given back, if there are
 * any. */
an_status an__operand_alloc(const an_backend *backend, an_device *device, size_t count,
                            uint32_t dtype, an_operand *out);
void an__operand_release(const an_backend *backend, an_device *device,
                         an_operand *operand);

#endif
