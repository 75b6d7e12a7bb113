/*
 * host_run.c - finds the plugins that tests open, and the host run's controls.
 */
#define _GNU_SOURCE
#include "host_run.h"

#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A plugin's path, which lies beside the program; in `path`, once. */
static const char *beside_program(const char *name, char path[4096])
{
    ssize_t length;

    if (path[0] != '\0') return path;
    length = readlink("/proc/self/exe", path, 4096 - 64);
    ck_assert_int_gt(length, 0);
    path[length] = '\0';
    strcpy(strrchr(path, '/') + 1, name);
    return path;
}

const char *host_run_path(void)
{
    static char path[4096];

    if (getenv("AN_TEST_HOST_RUN") != NULL) return getenv("AN_TEST_HOST_RUN");
    return beside_program("alexnet-cuda-host.so", path);
}

const char *minimal_path(void)
{
    static char path[4096];

    return beside_program("alexnet-minimal.so", path);
}

int host_run_planted(void)
{
    return getenv("AN_TEST_HOST_RUN") != NULL;
}

void host_run_caught(const char *how)
{
    if (!host_run_planted()) return;
    puts(how);
    fflush(stdout);
    _exit(1);
}

const char *card_path(void)
{
    return getenv("AN_TEST_CARD");
}

int card_is_cuda(void)
{
    const char *path = card_path(), *slash = path != NULL ? strrchr(path, '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : path;

    return name != NULL && strncmp(name, "alexnet-cuda", strlen("alexnet-cuda")) == 0;
}

an_context *plugin_context(const char *path, uint32_t threads)
{
    an_context_config config;
    an_context *ctx;

    an_context_config_init(&config, sizeof config);
    config.threads = threads;
    config.plugin = path;
    /* What a device is compared with computes by plain sums, whatever the processor can
     * do. */
    if (path == NULL) config.cpu_path = AN_CPU_PATH_REFERENCE;
    ck_assert_msg(an_context_create(&ctx, &config) == AN_OK, "%s", an_error_message());
    return ctx;
}

static void *symbol(const char *name)
{
    void *handle = dlopen(host_run_path(), RTLD_NOW | RTLD_LOCAL), *found;

    ck_assert_msg(handle != NULL, "%s", dlerror());
    found = dlsym(handle, name);
    ck_assert_msg(found != NULL, "%s", name);
    return found;
}

/* A data pointer as a function's: ISO C has no cast between the two. */
#define FUNCTION(name, type)                                                             \
    type name##_;                                                                        \
    void *data_ = symbol(#name);                                                         \
                                                                                         \
    memcpy(&name##_, &data_, sizeof data_)

host_run_state *hr(void)
{
    return symbol("host_run_now");
}

void hr_devices(int count, size_t memory, int peers)
{
    host_run_state *state = hr();

    state->devices = count;
    state->memory = memory;
    state->peers = peers;
}

void hr_set_device(int device)
{
    typedef int (*fn)(int);
    FUNCTION(cudaSetDevice, fn);

    ck_assert_int_eq(cudaSetDevice_(device), 0);
}

int hr_device(void)
{
    typedef int (*fn)(int *);
    int device = -1;
    FUNCTION(cudaGetDevice, fn);

    ck_assert_int_eq(cudaGetDevice_(&device), 0);
    return device;
}
