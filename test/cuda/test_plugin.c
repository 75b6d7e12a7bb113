/*
 * test_plugin.c - the CUDA backend as a guest in a process, on the host run: files that
 * move between devices, threads, the host's current device, finding the plugin, and every
 * failure.
 */
#define _GNU_SOURCE
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"
#include "host_run.h"
#include "nets.h"
#include "scratch.h"
#include "test.h"

/* --- files, threads, the host's device --------------------------------------------- */

START_TEST(checkpoints_move_between_devices)
{
    an_model_config config = net_small(AN_ARCH_PAPER, 2, "cuda:0,cuda:0");
    an_context *ctx = plugin_context(host_run_path(), 2);
    an_load_config load;
    an_model *cuda, *cpu, *back;
    size_t count;
    char path[SCRATCH];
    float *a, *b;

    scratch_file(path);
    ck_assert_msg(an_model_create(&cuda, ctx, &config) == AN_OK, "%s",
                  an_error_message());
    ck_assert_int_eq(an_model_save(cuda, path), AN_OK);
    ck_assert_int_eq(an_model_load(&cpu, ctx, path, NULL), AN_OK);
    an_load_config_init(&load, sizeof load);
    load.devices = "cuda:0";
    load.precision = AN_PRECISION_BF16;
    ck_assert_msg(an_model_load(&back, ctx, path, &load) == AN_OK, "%s",
                  an_error_message());
    ck_assert_uint_eq(back->net.plan->config.precision, AN_PRECISION_BF16);
    count = net_parameters(cuda);
    a = malloc(count * sizeof *a);
    b = malloc(count * sizeof *b);
    ck_assert_int_eq(net_get(cuda, a), AN_OK);
    ck_assert_int_eq(net_get(cpu, b), AN_OK);
    ck_assert_mem_eq(a, b, count * sizeof *a);
    ck_assert_int_eq(net_get(back, b), AN_OK);
    ck_assert_mem_eq(a, b, count * sizeof *a);
    free(a);
    free(b);
    an_model_destroy(cuda);
    an_model_destroy(cpu);
    an_model_destroy(back);
    an_context_destroy(ctx);
    unlink(path);
}
END_TEST

typedef struct reader {
    an_model *model;
    const float *images;
    float p[BATCH * CLASSES];
    an_status status;
} reader;

static void *read_often(void *arg)
{
    reader *r = arg;
    int i;

    for (i = 0; i < 4 && r->status == AN_OK; i++)
        r->status = an_infer(r->model, r->images, BATCH, r->p, ENOUGH);
    return NULL;
}

START_TEST(many_threads_use_one_model)
{
    an_model_config config = net_small(AN_ARCH_CIFAR10, 1, "cuda:0");
    an_context *ctx = plugin_context(host_run_path(), 2);
    pthread_t threads[4];
    reader readers[4];
    float *images;
    an_model *model;
    int i;

    ck_assert_msg(an_model_create(&model, ctx, &config) == AN_OK, "%s",
                  an_error_message());
    images = net_images(model);
    for (i = 0; i < 4; i++) {
        readers[i].model = model;
        readers[i].images = images;
        readers[i].status = AN_OK;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_often, &readers[i]), 0);
    }
    for (i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (i = 0; i < 4; i++) {
        ck_assert_int_eq(readers[i].status, AN_OK);
        ck_assert_mem_eq(readers[i].p, readers[0].p, sizeof readers[0].p);
    }
    free(images);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(the_hosts_current_device_stays)
{
    an_model_config config = net_small(AN_ARCH_PAPER, 2, "cuda:0,cuda:2");
    outcome o;

    hr_devices(3, GIB, 1);
    hr_set_device(1);
    o = net_trained(host_run_path(), &config, 2, 0);
    ck_assert_int_eq(hr_device(), 1);
    net_drop(&o);
}
END_TEST

/* --- failures ---------------------------------------------------------------------- */

static void expect(const char *plugin, const char *devices, an_status status,
                   const char *words)
{
    an_model_config config = net_small(AN_ARCH_CIFAR10, 1, devices);
    an_context *ctx = plugin_context(plugin, 1);
    an_model *model = NULL;

    ck_assert_int_eq(an_model_create(&model, ctx, &config), status);
    ck_assert_ptr_null(model);
    ck_assert_msg(strstr(an_error_message(), words) != NULL, "%s", an_error_message());
    an_context_destroy(ctx);
}

START_TEST(no_device_is_a_status)
{
    an_context *ctx;
    uint32_t count = 9;

    hr_devices(-1, GIB, 1); /* no driver */
    expect(host_run_path(), "cuda:0", AN_ERROR_DEVICE,
           "cuda has 0: there is no NVIDIA driver");
    hr_devices(0, GIB, 1);
    expect(host_run_path(), "cuda:0", AN_ERROR_DEVICE, "cuda has 0: host run");
    hr_devices(2, GIB, 1);
    expect(host_run_path(), "cuda:2", AN_ERROR_DEVICE, "cuda has 2");
    expect(host_run_path(), "cuda:", AN_ERROR_ARGUMENT, "number");
    ctx = plugin_context(host_run_path(), 1);
    ck_assert_int_eq(an_device_count(ctx, &count), AN_OK);
    ck_assert_uint_eq(count, 3);
    an_context_destroy(ctx);
}
END_TEST

START_TEST(what_is_too_old_is_refused)
{
    hr()->major = 7;
    expect(host_run_path(), "cuda:0", AN_ERROR_DEVICE,
           "compute capability 7.0: 8.0 is the least");
    hr()->major = 9;
    hr()->old = 1; /* and so its driver */
    expect(host_run_path(), "cuda:0", AN_ERROR_DEVICE, "the driver makes no tensor maps");
}
END_TEST

START_TEST(a_plugin_is_found_or_missed)
{
    static const char *const wrong[] = {"alexnet-cuda.so", "/nowhere/alexnet-cuda.so"};
    an_context_config config;
    an_context *ctx = NULL;
    an_device_info info;
    int i;

    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    for (i = 0; i < 2; i++) {
        config.plugin = wrong[i];
        ck_assert_int_eq(an_context_create(&ctx, &config), AN_ERROR_BACKEND);
        ck_assert_ptr_null(ctx);
    }
    unsetenv("ALEXNET_PLUGIN");
    expect(NULL, "cuda:0", AN_ERROR_BACKEND, "ALEXNET_PLUGIN");
    setenv("ALEXNET_PLUGIN", "libm.so.6", 1);
    expect(NULL, "cuda:0", AN_ERROR_BACKEND, "absolute");
    setenv("ALEXNET_PLUGIN", host_run_path(), 1);
    hr_devices(1, GIB, 1);
    ctx = plugin_context(NULL, 1);
    an_device_info_init(&info, sizeof info);
    ck_assert_int_eq(an_device_describe(ctx, 1, &info), AN_OK);
    ck_assert_str_eq(info.backend, "cuda");
    ck_assert_str_eq(info.device, "cuda:0");
    ck_assert_int_eq(an_device_describe(ctx, 2, &info), AN_ERROR_ARGUMENT);
    an_context_destroy(ctx);
}
END_TEST

/* What ALEXNET_PLUGIN names is listed though the library does not come with it, and has
 * the number of devices that its backend counts. */
START_TEST(a_plugin_that_the_environment_names_is_listed)
{
    an_context *ctx;
    an_device_info info;
    uint32_t count = 0, other = 0;

    setenv("ALEXNET_PLUGIN", minimal_path(), 1);
    ctx = plugin_context(NULL, 1);
    expect_ok(an_device_count(ctx, &count));
    expect_count(ctx->backend_count, 2, "the CPU's and the one that is named");
    expect_ok(ctx->backends[1]->count(&ctx->host, &other));
    expect_count(count, 1 + other, "devices");
    an_device_info_init(&info, sizeof info);
    expect_ok(an_device_describe(ctx, 1, &info));
    expect_text(info.backend, "minimal", "the backend behind the CPU's");
    expect_text(info.device, "minimal:0", "its device");
    expect_ok(an_device_count(ctx, &other));
    expect_count(other, count, "devices when they are counted again");
    an_context_destroy(ctx);
}
END_TEST

/* A name that no plugin has, though one is given or named: as often as one likes, and the
 * others are found all the same. */
START_TEST(a_plugin_serves_its_own_name_alone)
{
    static const char *const names[] = {"hip", "metal:1", "x", "cud", "cuda0", "hip"};
    an_context *ctx;
    an_model_config config = net_small(AN_ARCH_CIFAR10, 1, NULL);
    an_model *model;
    char words[64];
    size_t i;

    setenv("ALEXNET_PLUGIN", host_run_path(), 1);
    ctx = plugin_context(_i ? host_run_path() : NULL, 1);
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        config.devices = names[i];
        snprintf(words, sizeof words, "/alexnet-%.*s.so", (int)strcspn(names[i], ":"),
                 names[i]);
        expect_refused(an_model_create(&model, ctx, &config), AN_ERROR_BACKEND, words);
    }
    config.devices = "cuda";
    expect_ok(an_model_create(&model, ctx, &config));
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* A device too small: a status that says how much was asked for and free; the context
 * goes on. */
START_TEST(too_little_memory_is_said_in_bytes)
{
    an_model_config config = net_small(AN_ARCH_CIFAR10, 1, "cuda:0");
    an_context *ctx;
    uint64_t before;
    outcome o;

    hr_devices(1, 1 << 16, 1);
    before = hr()->allocated;
    ctx = plugin_context(host_run_path(), 1);
    ck_assert_int_eq(net_train(ctx, &config, 1, 0, &o), AN_ERROR_DEVICE_MEMORY);
    ck_assert_msg(strstr(an_error_message(), " bytes: ") != NULL &&
                      strstr(an_error_message(), " free") != NULL,
                  "%s", an_error_message());
    ck_assert_uint_eq(hr()->allocated, before);
    hr_devices(1, GIB, 1);
    ck_assert_int_eq(net_train(ctx, &config, 1, 0, &o), AN_OK);
    net_drop(&o);
    an_context_destroy(ctx);
    ck_assert_uint_eq(hr()->allocated, before);
}
END_TEST

static const int kinds[] = {HOST_RUN_ALLOC, HOST_RUN_COPY, HOST_RUN_LAUNCH, HOST_RUN_LOST,
                            HOST_RUN_ANY};

/* Every call that can fail does, one in each run: a status, nothing leaked, no hang, and
 * a context that works once the failure is over, unless its device was lost. */
START_TEST(every_failure_is_a_status)
{
    an_model_config config = net_small(AN_ARCH_CIFAR10, 2, "cuda:0,cuda:1");
    host_run_state before, after;
    unsigned n, step = 1, failures = 0, good = 0;
    outcome o, clean;

    config.width = 0.06f;
    config.lrn = AN_SWITCH_OFF; /* its LRN reads both halves */
    hr_devices(2, GIB, _i % 2);
    clean = net_trained(host_run_path(), &config, 3, 0);
    before = *hr();
    for (n = 1;; n += step) {
        an_context *ctx = plugin_context(host_run_path(), 1);
        an_status status;

        hr()->fail_kind = kinds[_i];
        hr()->fail_in = n;
        hr()->failed = 0;
        status = net_train(ctx, &config, 3, 0, &o);
        if (!hr()->failed) {
            ck_assert_msg(status == AN_OK, "%s", an_error_message());
            net_drop(&o);
            an_context_destroy(ctx);
            break;
        }
        failures++;
        if (status == AN_OK) { /* a step that could not be recorded was done as it came */
            net_same(&clean, &o, 0);
            net_drop(&o);
            an_context_destroy(ctx);
            hr()->fail_in = 0;
            good++;
            continue;
        }
        ck_assert_msg(status == AN_ERROR_DEVICE || status == AN_ERROR_DEVICE_MEMORY,
                      "failure %u of kind %d: %d %s", n, kinds[_i], (int)status,
                      an_error_message());
        ck_assert_ptr_null(o.values);
        if (o.retried && kinds[_i] != HOST_RUN_LOST)
            ck_assert_msg(o.again == AN_OK,
                          "a second time after failure %u of kind %d: %s", n, kinds[_i],
                          an_error_message());
        hr()->fail_in = 0;
        if (kinds[_i] == HOST_RUN_LOST) {
            ck_assert_int_eq(net_train(ctx, &config, 1, 0, &o), AN_ERROR_DEVICE);
            hr()->lost = 0;
        } else if (n % 16 == 1) { /* and goes on */
            ck_assert_msg(net_train(ctx, &config, 1, 0, &o) == AN_OK,
                          "after failure %u: %s", n, an_error_message());
            net_drop(&o);
        }
        an_context_destroy(ctx);
        after = *hr();
        ck_assert_msg(after.allocated == before.allocated &&
                          after.streams == before.streams &&
                          after.events == before.events && after.graphs == before.graphs,
                      "failure %u of kind %d leaks", n, kinds[_i]);
#ifdef __SANITIZE_THREAD__
        step = 29; /* slow there, and of one thread */
#else
        if (n >= 40) step = 7; /* most are alike */
#endif
    }
    ck_assert_uint_gt(failures - good, 1);
    net_drop(&clean);
}
END_TEST

Suite *plugin_suite(void)
{
    Suite *suite = suite_create("plugin");
    TCase *tc = tcase_create("guest"), *failing = tcase_create("failures");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, checkpoints_move_between_devices);
    tcase_add_test(tc, many_threads_use_one_model);
    tcase_add_test(tc, the_hosts_current_device_stays);
    tcase_add_test(tc, no_device_is_a_status);
    tcase_add_test(tc, what_is_too_old_is_refused);
    tcase_add_test(tc, a_plugin_is_found_or_missed);
    tcase_add_test(tc, a_plugin_that_the_environment_names_is_listed);
    tcase_add_loop_test(tc, a_plugin_serves_its_own_name_alone, 0, 2);
    tcase_add_test(tc, too_little_memory_is_said_in_bytes);
    suite_add_tcase(suite, tc);
    tcase_set_timeout(failing, 300);
    tcase_add_loop_test(failing, every_failure_is_a_status, 0,
                        sizeof kinds / sizeof kinds[0]);
    suite_add_tcase(suite, failing);
    return suite;
}
