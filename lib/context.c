/*
 * context.c - what models share: allocator, log, threads, opened devices.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define BACKEND_COUNT 2u

/* sizeof in 1.0 */
#define LEAST_CONFIG offsetof(an_context_config, cuda_plugin)

/* --- the default allocator ----------------------------------------------------------- */

#define HUGE_PAGE ((size_t)2 << 20)
#define ALONE                                                                            \
    ((size_t)33 << 20) /* glibc gives what is larger than 32 MiB a mapping of its own */

/* Large blocks ask for large pages: weights are read from end to end, and looking up small
 * pages takes a sixth of that time. Where the system has none to give, nothing changes. */
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

/* --- what backends are given ---------------------------------------------------------- */

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

/* --- life ----------------------------------------------------------------------------- */

static uint32_t processors(void)
{
    cpu_set_t set;
    int count;

    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1; /* more than CPU_SETSIZE */
    count = CPU_COUNT(&set);
    return count < 1 ? 1 : count > 256 ? 256 : (uint32_t)count;
}

an_status an_context_create(an_context **out, const an_context_config *given)
{
    an_context_config config;
    an_context *ctx;
    an_status status;

    AN_CHECK(out != NULL, "out is null");
    an_context_config_init(&config, sizeof config);
    if (given != NULL)
        AN_TRY(an__struct_read(&config, given, sizeof config, LEAST_CONFIG, "config"));
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
    ctx->memory.log = config.log;
    ctx->memory.log_user = config.log_user;
    ctx->pid = getpid();
    ctx->cpu = an__cpu_path(config.cpu_path);
    ctx->threads = config.threads > 0 ? config.threads : processors();
    ctx->refs = 1;
    ctx->host.user = ctx;
    ctx->host.alloc = host_alloc;
    ctx->host.release = host_release;
    ctx->host.parallel = host_parallel;
    ctx->host.threads = ctx->threads;
    ctx->host.fail = an__fail;
    pthread_mutex_init(&ctx->lock, NULL);
    status = an__pool_create(&ctx->pool, &ctx->memory, ctx->threads);
    if (status == AN_OK && config.cuda_plugin != NULL) {
        ctx->cuda_sought = 1;
        status = an__plugin_open(config.cuda_plugin, &ctx->cuda);
    }
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
    int forked = getpid() != ctx->pid;
    uint32_t i, refs;

    /* In a forked child a thread of the parent may have held the lock: it is alone here. */
    if (!forked) pthread_mutex_lock(&ctx->lock);
    refs = --ctx->refs;
    if (!forked) pthread_mutex_unlock(&ctx->lock);
    if (refs > 0) return;

    for (i = 0; i < ctx->slot_count; i++)
        ctx->slots[i].backend->close(ctx->slots[i].device);
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
    if (ctx->pid != getpid())
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

/* --- devices -------------------------------------------------------------------------- */

/* The backend of that number, null where there is none. */
static const an_backend *backend_at(an_context *ctx, size_t number)
{
    const an_backend *cuda;

    if (number == 0) return ctx->cpu;
    pthread_mutex_lock(&ctx->lock);
    if (!ctx->cuda_sought) {
        ctx->cuda_sought = 1;
        if (an__plugin_open(NULL, &ctx->cuda) != AN_OK)
            snprintf(ctx->cuda_missing, sizeof ctx->cuda_missing, "%s",
                     an_error_message());
    }
    cuda = ctx->cuda;
    pthread_mutex_unlock(&ctx->lock);
    return cuda;
}

static an_status count_devices(an_context *ctx, const an_backend *backend,
                               uint32_t *count)
{
    *count = 0;
    return backend != NULL ? backend->count(&ctx->host, count) : AN_OK;
}

an_status an_device_count(an_context *ctx, uint32_t *count)
{
    uint32_t total = 0, part;
    size_t i;

    AN_TRY(an__context_check(ctx));
    AN_CHECK(count != NULL, "count is null");
    for (i = 0; i < BACKEND_COUNT; i++) {
        AN_TRY(count_devices(ctx, backend_at(ctx, i), &part));
        total += part;
    }
    *count = total;
    return AN_OK;
}

static uint32_t path_of(const an_backend *cpu)
{
    uint32_t path = AN_CPU_PATH_AVX512;

    while (path > AN_CPU_PATH_REFERENCE && an__cpu_path(path) != cpu) path--;
    return path;
}

an_status an_device_describe(an_context *ctx, uint32_t index, an_device_info *out)
{
    uint32_t before = 0, part;
    an_device_info info;
    size_t i;

    AN_TRY(an__context_check(ctx));
    AN_CHECK(out != NULL, "info is null");
    an_device_info_init(&info, sizeof info);
    for (i = 0; i < BACKEND_COUNT; i++) {
        const an_backend *backend = backend_at(ctx, i);

        AN_TRY(count_devices(ctx, backend, &part));
        if (index - before < part) {
            AN_TRY(backend->describe(&ctx->host, index - before, &info));
            if (backend == ctx->cpu) info.cpu_path = path_of(backend);
            return an__struct_write(out, &info, sizeof info,
                                    offsetof(an_device_info, flops), "info");
        }
        before += part;
    }
    return an__fail(AN_ERROR_ARGUMENT, "index is %u: there are %u devices", index,
                    before);
}

/* "cpu", or "name:2" for a backend with several. */
static an_status device_parse(an_context *ctx, const char *text, size_t length,
                              const an_backend **backend, uint32_t *index)
{
    const char *colon = memchr(text, ':', length);
    size_t name = colon != NULL ? (size_t)(colon - text) : length, i;
    uint32_t number = 0;

    for (i = name + 1; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || number > 999) break;
        number = number * 10 + (uint32_t)(text[i] - '0');
    }
    if (colon != NULL && (i < length || name + 1 == length))
        return an__fail(AN_ERROR_ARGUMENT,
                        "devices: \"%.*s\" has no number after the colon", (int)length,
                        text);
    *index = number;
    if (name == 3 && memcmp(text, "cpu", 3) == 0) {
        *backend = ctx->cpu;
        return AN_OK;
    }
    if (name == 4 && memcmp(text, "cuda", 4) == 0) {
        *backend = backend_at(ctx, 1);
        if (*backend != NULL) return AN_OK;
        return an__fail(AN_ERROR_BACKEND, "devices: no \"%.*s\": %s", (int)length, text,
                        ctx->cuda_missing);
    }
    return an__fail(AN_ERROR_BACKEND, "devices: there is no backend \"%.*s\"", (int)name,
                    text);
}

static an_status device_open(an_context *ctx, const an_backend *backend, uint32_t index,
                             an_slot *slot)
{
    uint32_t i, count;

    for (i = 0; i < ctx->slot_count; i++)
        if (ctx->slots[i].backend == backend && ctx->slots[i].index == index) {
            *slot = ctx->slots[i];
            return AN_OK;
        }
    AN_TRY(backend->count(&ctx->host, &count));
    /* Where there is none at all, open() knows why. */
    if ((index >= count && count > 0) || ctx->slot_count == AN_MAX_DEVICES)
        return an__fail(AN_ERROR_DEVICE, "devices: \"%s:%u\", but %s has %u",
                        backend->name, index, backend->name, count);
    slot->backend = backend;
    slot->index = index;
    AN_TRY(backend->open(&slot->device, index, &ctx->host));
    ctx->slots[ctx->slot_count++] = *slot;
    return AN_OK;
}

an_status an__context_devices(an_context *ctx, const char *devices, uint32_t towers,
                              an_slot slots[AN_MAX_TOWERS])
{
    const char *text = devices != NULL ? devices : "cpu";
    const an_backend *backend[AN_MAX_TOWERS] = {NULL, NULL};
    uint32_t index[AN_MAX_TOWERS] = {0, 0}, named = 0, t;
    an_status status = AN_OK;

    AN_CHECK(strlen(text) < 256, "devices is longer than 255 bytes");
    for (;;) {
        size_t length = strcspn(text, ",");

        AN_CHECK(named < towers, "devices: \"%s\" names more than %u, one for each tower",
                 devices, towers);
        AN_TRY(device_parse(ctx, text, length, &backend[named], &index[named]));
        named++;
        if (text[length] == '\0') break;
        text += length + 1;
    }
    pthread_mutex_lock(&ctx->lock);
    for (t = 0; t < AN_MAX_TOWERS && status == AN_OK; t++) {
        uint32_t from = t < named ? t : named - 1;

        status = device_open(ctx, backend[from], index[from], &slots[t]);
    }
    pthread_mutex_unlock(&ctx->lock);
    if (status == AN_OK && slots[0].backend != slots[1].backend)
        return an__fail(AN_ERROR_ARGUMENT, "devices: \"%s\" mixes two backends", devices);
    return status;
}
