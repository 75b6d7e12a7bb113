/*
 * devices.c - the devices of all backends: counted, described, and opened by their names.
 */
#include <stdio.h>
#include <string.h>

#include "device/device.h"

#define BACKEND_COUNT 2u

AN_INIT_ZERO(an_device_info)

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
