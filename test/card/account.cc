/*
 * account.cc - the account of a training step at full size, without a card: for each
 * row what it computes and moves, and, of a product, its kernel, its tiles and the
 * steps of k of one. The sources of cuda/ say so themselves, on the host run, whose
 * kernels then do nothing (HOST_RUN_COUNT); report.py makes tables of it.
 *
 *   account PLUGIN ARCH BATCH
 *
 * PLUGIN: the absolute path of alexnet-cuda-host.so. A line for each row of the account,
 * fields with tabs between them: its name, launches, floating-point operations and bytes;
 * of the first launch the kernel's place in the plugin, blocks, threads and bytes of
 * shared memory of a block; then of a product m, n, k of a group, the tiles of all groups
 * and parts, and the k of a part; else zeros.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "alexnet.h"
#include "control.h"
#include "gemm/pipeline.cuh"

namespace
{

struct Launch {
    size_t kernel; /* its place in the plugin */
    unsigned blocks, threads;
    size_t shared;
    uint32_t m, n, k, tiles, part_k;
};

std::vector<Launch> &launches = *new std::vector<Launch>;

void launched(const host_run_launch *given)
{
    const an_gemm *g = nullptr;
    Launch launch = {};
    Dl_info file;

    static_assert(sizeof(an_pipelined) != sizeof(an_gemm), "known by their sizes");
    dladdr(given->kernel, &file);
    launch.kernel = (size_t)((const char *)given->kernel - (const char *)file.dli_fbase);
    launch.blocks = given->grid[0] * given->grid[1] * given->grid[2];
    launch.threads = given->threads;
    launch.shared = given->shared;
    if (given->params_bytes == sizeof(an_pipelined)) {
        const an_pipelined *p = (const an_pipelined *)given->params;

        g = &p->g;
        launch.tiles = p->down * p->across * g->groups * g->splits;
    } else if (given->params_bytes == sizeof(an_gemm)) {
        g = (const an_gemm *)given->params;
        launch.tiles = launch.blocks;
    }
    if (g != nullptr) {
        launch.m = g->m, launch.n = g->n, launch.k = g->k;
        launch.part_k = g->splits == 1 ? g->k : g->split_k;
    }
    launches.push_back(launch);
}

int fail(const char *what, const char *why = an_error_message())
{
    fprintf(stderr, "account: %s: %s\n", what, why);
    return 1;
}

/* The rows of the account are in the order of the launches, of which those of the pass
 * that is timed are the last; several launches of a row follow each other. */
int print(const std::vector<an_kernel_time> &rows)
{
    size_t all = 0, at;

    for (const an_kernel_time &row : rows) all += row.launches;
    if (launches.size() < all)
        return fail("the account", "it has more than was launched");
    at = launches.size() - all;
    for (const an_kernel_time &row : rows) {
        const Launch &l = launches[at];

        if ((row.flops > 0) != (l.m > 0) || (l.m > 0 && row.launches > 1))
            return fail(row.name, "the launch is another row's");
        printf("%s\t%u\t%.0f\t%.0f\t%zx\t%u\t%u\t%zu\t%u\t%u\t%u\t%u\t%u\n", row.name,
               row.launches, row.flops, row.bytes, l.kernel, l.blocks, l.threads,
               l.shared, l.m, l.n, l.k, l.tiles, l.part_k);
        at += row.launches;
    }
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    uint32_t batch = argc == 4 ? (uint32_t)strtoul(argv[3], nullptr, 10) : 0, count;
    std::vector<an_kernel_time> rows(256);
    an_context_config setting;
    an_model_config config;
    an_context *ctx;
    an_model *model;

    if (batch == 0) {
        fprintf(stderr, "usage: account PLUGIN ARCH BATCH\n");
        return 2;
    }
    setenv("HOST_RUN_COUNT", "1", 1); /* before the plugin is opened */
    an_context_config_init(&setting, sizeof setting);
    setting.plugin = argv[1];
    if (an_context_create(&ctx, &setting) != AN_OK) return fail("the plugin");
    auto *host_run =
        (host_run_state *)dlsym(dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD), "host_run_now");
    host_run->processors = 132; /* an H100's and an H200's */
    host_run->memory = (size_t)80 << 30;
    an_model_config_init(&config, sizeof config);
    if (an_arch_find(argv[2], &config.arch) != AN_OK) return fail(argv[2]);
    config.devices = "cuda:0";
    config.precision = AN_PRECISION_BF16;
    if (an_model_create(&model, ctx, &config) != AN_OK) return fail("the model");
    for (an_kernel_time &row : rows) an_kernel_time_init(&row, sizeof row);
    host_run->launched = launched;
    if (an_model_profile_kernels(model, batch, 1, rows.data(), (uint32_t)rows.size(),
                                 &count) != AN_OK)
        return fail("the account");
    rows.resize(count);
    return print(rows);
}
