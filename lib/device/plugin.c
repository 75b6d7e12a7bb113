/*
 * plugin.c - backends that are files of their own, as alexnet-cuda.so: opened when they
 * are first asked for, so that libalexnet.so itself needs nothing that belongs to a
 * device.
 *
 * A plugin is never closed: a driver's threads and exit handlers may outlive any context.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/device.h"

#ifndef AN_PLUGIN_DIR /* the Makefile's $(LIBDIR)/alexnet */
#define AN_PLUGIN_DIR "/usr/local/lib/alexnet"
#endif

typedef const an_backend *(*an_plugin_fn)(uint32_t abi, uint32_t size);

an_status an__plugin_open(const char *path, const an_backend **out)
{
    an_plugin_fn table;
    void *handle, *symbol;

    if (path[0] != '/')
        return an__fail(AN_ERROR_BACKEND, "\"%.200s\" is no absolute path", path);
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) return an__fail(AN_ERROR_BACKEND, "%.250s", dlerror());
    symbol = dlsym(handle, "an_plugin_backend");
    if (symbol == NULL)
        return an__fail(AN_ERROR_BACKEND, "%.200s is no plugin of this library", path);
    memcpy(&table, &symbol, sizeof table); /* ISO C has no cast between the two */
    *out = table(AN_BACKEND_ABI, sizeof(an_backend));
    if (*out == NULL)
        return an__fail(AN_ERROR_BACKEND,
                        "%.200s belongs to another version of libalexnet", path);
    return an__backend_check(*out, path);
}

an_status an__plugin_named(const an_backend **out)
{
    /* The environment of who runs a setuid program is not that program's. */
    const char *path = secure_getenv("ALEXNET_PLUGIN");

    *out = NULL;
    return path == NULL || path[0] == '\0' ? AN_OK : an__plugin_open(path, out);
}

an_status an__plugin_find(const char *name, const an_backend **out)
{
    char path[sizeof AN_PLUGIN_DIR + 64];

    AN_TRY(an__plugin_named(out));
    if (*out != NULL && strcmp((*out)->name, name) == 0) return AN_OK;
    snprintf(path, sizeof path, AN_PLUGIN_DIR "/alexnet-%.32s.so", name);
    if (access(path, F_OK) != 0)
        return an__fail(AN_ERROR_BACKEND,
                        "there is no %s, and ALEXNET_PLUGIN names none of that name",
                        path);
    return an__plugin_open(path, out);
}
