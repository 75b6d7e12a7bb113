/*
 * devices.c - the devices of all backends: counted, described, and opened by their names.
 */
#include <stdio.h>
#include <string.h>

#include "device/device.h"

/* Backends whose plugins come with the library: they are listed before anyone names
 * them. */
static const char *const known[] = {"cuda"};

AN_INIT_ZERO(an_device_info)

/* --- backends ---------------------------------------------------------------------- */

/* With the context's lock held. */
static an_status find_backend(an_context *ctx, const char *name, const an_backend **out)
{
    uint32_t i;

    for (i = 0; i < ctx->backend_count; i++)
        if (strcmp(ctx->backends[i]->name, name) == 0) {
            *out = ctx->backends[i];
            return AN_OK;
        }
    if (ctx->backend_count == AN_MAX_BACKENDS)
        return an__fail(AN_ERROR_BACKEND,
                        "the context has %u backends, which is the most",
                        AN_MAX_BACKENDS);
    AN_TRY(an__plugin_find(name, out));
    ctx->backends[ctx->backend_count++] = *out;
    return AN_OK;
}

/* The backend of that name, the first `length` characters of a list of devices. */
static an_status named_backend(an_context *ctx, const char *name, size_t length,
                               const an_backend **out)
{
    char word[16], why[320];
    an_status status;
    size_t i;

    for (i = 0; i < length && i < sizeof word - 1; i++) {
        if ((name[i] < 'a' || name[i] > 'z') && (name[i] < '0' || name[i] > '9')) break;
        word[i] = name[i];
    }
    word[i] = '\0';
    if (i == 0 || i < length)
        return an__fail(AN_ERROR_BACKEND, "devices: there is no backend \"%.*s\"",
                        (int)length, name);
    pthread_mutex_lock(&ctx->lock);
    status = find_backend(ctx, word, out);
    pthread_mutex_unlock(&ctx->lock);
    if (status == AN_OK) return AN_OK;
    snprintf(why, sizeof why, "%s", an_error_message());
    return an__fail(status, "devices: there is no backend \"%s\": %.250s", word, why);
}

/* Opens the plugins that come with the library and the one that the environment names, as
 * far as they are there. */
static uint32_t all_backends(an_context *ctx)
{
    const an_backend *named, *backend;
    uint32_t count;
    size_t i;

    pthread_mutex_lock(&ctx->lock);
    for (i = 0; i < sizeof known / sizeof known[0]; i++)
        (void)find_backend(ctx, known[i], &backend);
    if (an__plugin_named(&named) == AN_OK && named != NULL)
        (void)find_backend(ctx, named->name, &backend);
    count = ctx->backend_count;
    pthread_mutex_unlock(&ctx->lock);
    return count;
}

/* --- devices ----------------------------------------------------------------------- */

an_status an_device_count(an_context *ctx, uint32_t *count)
{
    AN_ENTER;
    uint32_t total = 0, part, backends, i;

    AN_TRY(an__context_check(ctx));
    AN_CHECK(count != NULL, "count is null");
    backends = all_backends(ctx);
    for (i = 0; i < backends; i++) {
        AN_TRY(ctx->backends[i]->count(&ctx->host, &part));
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
    AN_ENTER;
    uint32_t before = 0, part, backends, i;
    an_device_info info;

    AN_TRY(an__context_check(ctx));
    AN_CHECK(out != NULL, "info is null");
    an_device_info_init(&info, sizeof info);
    backends = all_backends(ctx);
    for (i = 0; i < backends; i++) {
        const an_backend *backend = ctx->backends[i];

        AN_TRY(backend->count(&ctx->host, &part));
        if (index - before < part) {
            AN_TRY(backend->describe(&ctx->host, index - before, &info));
            if (i == 0) info.cpu_path = path_of(backend);
            return an__struct_write(out, &info, sizeof info, sizeof info, "info");
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
    return named_backend(ctx, text, name, backend);
}

static an_status device_open(an_context *ctx, const an_backend *backend, uint32_t index,
                             an_device **out)
{
    an_opened *opened = &ctx->opened[ctx->opened_count];
    uint32_t i, count;

    for (i = 0; i < ctx->opened_count; i++)
        if (ctx->opened[i].backend == backend && ctx->opened[i].index == index) {
            *out = ctx->opened[i].device;
            return AN_OK;
        }
    AN_TRY(backend->count(&ctx->host, &count));
    /* Where there is none at all, open() knows why. */
    if ((index >= count && count > 0) || ctx->opened_count == AN_MAX_DEVICES)
        return an__fail(AN_ERROR_DEVICE, "devices: \"%s:%u\", but %s has %u",
                        backend->name, index, backend->name, count);
    AN_TRY(backend->open(&opened->device, index, &ctx->host));
    opened->backend = backend;
    opened->index = index;
    ctx->opened_count++;
    *out = opened->device;
    return AN_OK;
}

an_status an__context_devices(an_context *ctx, const char *devices, uint32_t towers,
                              const an_backend **backend,
                              an_device *device[AN_MAX_TOWERS])
{
    const char *text = devices != NULL ? devices : "cpu";
    const an_backend *of[AN_MAX_TOWERS] = {NULL, NULL};
    uint32_t index[AN_MAX_TOWERS] = {0, 0}, named = 0, t;
    an_status status = AN_OK;

    AN_CHECK(strlen(text) < 256, "devices is longer than 255 bytes");
    for (;;) {
        size_t length = strcspn(text, ",");

        AN_CHECK(named < towers, "devices: \"%s\" names more than %u, one for each tower",
                 devices, towers);
        AN_TRY(device_parse(ctx, text, length, &of[named], &index[named]));
        named++;
        if (text[length] == '\0') break;
        text += length + 1;
    }
    pthread_mutex_lock(&ctx->lock);
    for (t = 0; t < AN_MAX_TOWERS && status == AN_OK; t++) {
        uint32_t from = t < named ? t : named - 1;

        status = device_open(ctx, of[from], index[from], &device[t]);
    }
    pthread_mutex_unlock(&ctx->lock);
    if (status == AN_OK && named > 1 && of[0] != of[1])
        return an__fail(AN_ERROR_ARGUMENT, "devices: \"%s\" mixes two backends", devices);
    *backend = of[0];
    return status;
}
