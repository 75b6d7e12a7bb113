/*
 * environment.c - what a process finds about itself: control groups, as their files tell
 * of them, and plugins and devices by names and paths that a host or a user gives.
 *
 * The first byte chooses; the rest is one text, or several with a 0 between.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static fuzz_memory memory = {(size_t)32 << 20, 0, 0, 0};
static an_context *ctx;

/* A piece up to the next 0. */
static fuzz_input piece(fuzz_input *in)
{
    const uint8_t *end = in->left > 0 ? memchr(in->data, 0, in->left) : NULL;
    fuzz_input got = fuzz_split(in, end != NULL ? (size_t)(end - in->data) : in->left);

    (void)fuzz_take(in, 1);
    return got;
}

/* --- control groups ---------------------------------------------------------------- */

static void put_piece(const char *name, fuzz_input *in)
{
    fuzz_input text = piece(in);

    fuzz_put(name, text.data, text.left);
}

static void folders_make(void)
{
    static const char *const names[] = {"proc", "proc/self", "cg", "cg/a", "cg/a/b"};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)mkdir(fuzz_path(names[i]), 0777);
}

static void try_groups(fuzz_input *in)
{
    double quota;

    put_piece("proc/self/mountinfo", in);
    put_piece("proc/self/cgroup", in);
    put_piece("cg/a/cpu.max", in);
    put_piece("cg/a/b/cpu.max", in);
    put_piece("cg/a/cpu.cfs_quota_us", in);
    put_piece("cg/a/cpu.cfs_period_us", in);
    quota = an__processor_quota(fuzz_folder());
    FUZZ_EXPECT(quota >= 0 && quota <= 1e9, "%g processors", quota);
}

/* --- plugins and devices ----------------------------------------------------------- */

/* Within the folder, where there is nothing: what is opened there is not the question. */
static void keep_within(char *text, size_t size)
{
    char name[256];

    if (text[0] != '/') return;
    strncpy(name, text + 1, sizeof name - 1);
    name[sizeof name - 1] = '\0';
    while (strstr(name, "..") != NULL) memcpy(strstr(name, ".."), "__", 2);
    strncpy(text, fuzz_path(name), size - 1);
    text[size - 1] = '\0';
}

static void try_plugin(const char *path)
{
    an_context_config config;
    const an_allocator allocator = fuzz_allocator(&memory);
    an_context *made = NULL;

    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    config.alloc = allocator.alloc;
    config.release = allocator.release;
    config.alloc_user = &memory;
    config.plugin = path;
    FUZZ_EXPECT(FUZZ_CALL(an_context_create(&made, &config), FUZZ_MAY(BACKEND)) != AN_OK,
                "there is a plugin at %s", path);
}

static void try_devices(const char *devices, int named, const char *path)
{
    const uint32_t may = FUZZ_MAY(ARGUMENT) | FUZZ_MAY(BACKEND) | FUZZ_MAY(DEVICE);
    const an_backend *backend;
    an_device *device[AN_MAX_TOWERS];
    an_device_info info;
    uint32_t count;

    if (named)
        (void)setenv("ALEXNET_PLUGIN", path, 1);
    else
        (void)unsetenv("ALEXNET_PLUGIN");
    FUZZ_CALL(an__context_devices(ctx, devices, 1, &backend, device), may);
    FUZZ_CALL(an__context_devices(ctx, devices, 2, &backend, device), may);
    FUZZ_CALL(an_device_count(ctx, &count), 0);
    FUZZ_EXPECT(count >= 1, "there is no CPU");
    an_device_info_init(&info, sizeof info);
    FUZZ_CALL(an_device_describe(ctx, 0, &info), 0);
    FUZZ_EXPECT(memchr(info.name, '\0', sizeof info.name) != NULL, "a name has no end");
    (void)unsetenv("ALEXNET_PLUGIN");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size}, text;
    char devices[400], path[400];
    size_t before;
    uint32_t way = fuzz_below(&in, 4);

    if (ctx == NULL) {
        ctx = fuzz_context(&memory);
        fuzz_folder_empty();
        folders_make();
    }
    before = memory.blocks;
    if (way < 2) {
        try_groups(&in);
    } else {
        text = piece(&in);
        fuzz_text(&text, devices, sizeof devices);
        text = piece(&in);
        fuzz_text(&text, path, sizeof path);
        keep_within(path, sizeof path);
        if (way == 2)
            try_plugin(path);
        else
            try_devices(devices, path[0] != '\0', path);
    }
    FUZZ_EXPECT(memory.blocks == before, "%zu blocks are held", memory.blocks - before);
    return 0;
}
