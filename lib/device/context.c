/*
 * context.c - what models share: allocator, log, threads, opened devices.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device/device.h"

AN_INIT_ZERO(an_context_config)

/* --- the default allocator --------------------------------------------------------- */

#define HUGE_PAGE ((size_t)2 << 20)
#define ALONE                                                                            \
    ((size_t)33 << 20) /* glibc gives what is larger than 32 MiB a mapping of its own */

/* Large blocks ask for large pages: weights are read from end to end, and looking up
 * small pages takes a sixth of that time. Where the system has none to give, nothing
 * changes. */
static void *default_alloc(size_t bytes, void *user)
{
    char *memory = malloc(bytes), *first;
    int before = errno;
    size_t skip;

    (void)user;
    if (memory == NULL || bytes < ALONE) return memory;
    skip = (HUGE_PAGE - (uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE;
    first = memory + skip;
    madvise(first, (bytes - skip) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    errno = before;
    return memory;
}

static void default_release(void *memory, void *user)
{
    (void)user;
    free(memory);
}

/* --- what backends are given ------------------------------------------------------- */

static void *host_alloc(size_t bytes, void *user)
{
    an_context *ctx = user;

    return an__alloc(&ctx->memory, bytes);
}

static void host_release(void *block, void *user)
{
    an_context *ctx = user;

    an__free(&ctx->memory, block);
}

static void host_parallel(uint32_t count, an_body_fn body, void *arg, void *user)
{
    an_context *ctx = user;

    an__pool_run(ctx->pool, count, body, arg);
}

/* --- life -------------------------------------------------------------------------- */

an_status an_context_create(an_context **out, const an_context_config *given)
{
    AN_ENTER;
    an_context_config config;
    an_context *ctx;
    an_status status;

    AN_CHECK(out != NULL, "out is null");
    an_context_config_init(&config, sizeof config);
    if (given != NULL)
        AN_TRY(an__struct_read(&config, given, sizeof config, sizeof config, "config"));
    AN_CHECK((config.alloc == NULL) == (config.release == NULL),
             "config.alloc and config.release: both or neither");
    AN_CHECK(config.threads <= 256, "config.threads is %u: must be 1 to 256, or 0",
             config.threads);
    AN_CHECK(config.cpu_path <= AN_CPU_PATH_AVX512,
             "config.cpu_path is %u: not one of an_cpu_path", config.cpu_path);
    if (an__cpu_path(config.cpu_path) == NULL)
        return an__fail(AN_ERROR_BACKEND,
                        "config.cpu_path is %u: this processor, or this build of the "
                        "library, lacks its instructions",
                        config.cpu_path);
    if (config.memory_limit > 0 && config.memory_limit < sizeof *ctx)
        return an__fail(AN_ERROR_MEMORY,
                        "config.memory_limit is %llu: a context has %zu bytes",
                        (unsigned long long)config.memory_limit, sizeof *ctx);
    if (config.alloc == NULL) {
        config.alloc = default_alloc;
        config.release = default_release;
    }

    ctx = config.alloc(sizeof *ctx, config.alloc_user);
    if (ctx == NULL)
        return an__fail(AN_ERROR_MEMORY, "no memory for %zu bytes", sizeof *ctx);
    memset(ctx, 0, sizeof *ctx);
    ctx->memory.alloc = config.alloc;
    ctx->memory.release = config.release;
    ctx->memory.alloc_user = config.alloc_user;
    ctx->meter.limit =
        config.memory_limit < SIZE_MAX ? (size_t)config.memory_limit : SIZE_MAX;
    ctx->meter.used = sizeof *ctx;
    if (config.memory_limit > 0) ctx->memory.meter = &ctx->meter;
    ctx->memory.log = config.log;
    ctx->memory.log_user = config.log_user;
    ctx->process = an__process();
    ctx->pid = getpid();
    ctx->backends[0] = an__cpu_path(config.cpu_path);
    ctx->backend_count = 1;
    ctx->threads = config.threads > 0 ? config.threads : an__processors();
    ctx->refs = 1;
    ctx->host.user = ctx;
    ctx->host.alloc = host_alloc;
    ctx->host.release = host_release;
    ctx->host.parallel = host_parallel;
    ctx->host.threads = ctx->threads;
    ctx->host.process = an__process;
    ctx->host.fail = an__fail;
    pthread_mutex_init(&ctx->lock, NULL);
    status = an__pool_create(&ctx->pool, &ctx->memory, ctx->threads);
    if (status == AN_OK && config.plugin != NULL)
        status = an__plugin_open(config.plugin, &ctx->backends[ctx->backend_count++]);
    if (status != AN_OK) {
        an__context_release(ctx);
        return status;
    }
    *out = ctx;
    return AN_OK;
}

void an__context_retain(an_context *ctx)
{
    pthread_mutex_lock(&ctx->lock);
    ctx->refs++;
    pthread_mutex_unlock(&ctx->lock);
}

void an__context_release(an_context *ctx)
{
    int forked = ctx->process != an__process();
    uint32_t i, refs;

    /* In a forked child a thread of the parent may have held the lock: it is alone
     * here. */
    if (!forked) pthread_mutex_lock(&ctx->lock);
    refs = --ctx->refs;
    if (!forked) pthread_mutex_unlock(&ctx->lock);
    if (refs > 0) return;

    for (i = 0; i < ctx->opened_count; i++)
        ctx->opened[i].backend->close(ctx->opened[i].device);
    an__pool_destroy(ctx->pool, forked);
    if (!forked) pthread_mutex_destroy(&ctx->lock);
    ctx->memory.release(ctx, ctx->memory.alloc_user);
}

void an_context_destroy(an_context *ctx)
{
    if (ctx != NULL) an__context_release(ctx);
}

an_status an__context_check(const an_context *ctx)
{
    AN_CHECK(ctx != NULL, "ctx is null");
    if (ctx->process != an__process())
        return an__fail(
            AN_ERROR_FORKED,
            "the context was made by process %ld: a forked child must make its own",
            (long)ctx->pid);
    return AN_OK;
}

uint32_t an_context_threads(const an_context *ctx)
{
    return ctx != NULL ? ctx->threads : 0;
}
