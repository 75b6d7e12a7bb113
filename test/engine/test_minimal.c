/*
 * test_minimal.c - the seam between library and backends: a table that is not whole is
 * refused by the name of what it lacks, patterns are asked of nobody who does not have
 * them, and the minimal backend (test/backend-minimal), which has the core table alone,
 * trains a network.
 */
#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "expect.h"
#include "host_run.h"
#include "nets.h"
#include "test.h"

/* --- tables that are not whole ----------------------------------------------------- */

typedef void any_fn(void);

static void stub(void)
{
}

/* A pointer to a function, in the first byte of a table's copy or behind it. */
static void set_function(void *table, size_t offset, any_fn *function)
{
    memcpy((char *)table + offset, &function, sizeof function);
}

typedef struct member {
    const char *name;
    size_t offset;
    uint32_t pattern; /* that wants it; AN_PATTERNS: any table of that kind does */
} member;

#define CORE(name) #name, offsetof(an_backend, name), AN_PATTERNS
#define PART(table, name)                                                                \
    "" #table "." #name, offsetof(an_##table##_table, name), AN_PATTERNS
#define FUSED(name, pattern) "fused." #name, offsetof(an_fused_table, name), pattern

/* In the order of their tables, without a gap: see expect_all(). */
static const member core[] = {{CORE(count)},
                              {CORE(describe)},
                              {CORE(open)},
                              {CORE(close)},
                              {CORE(alloc)},
                              {CORE(release)},
                              {CORE(queue_open)},
                              {CORE(queue_close)},
                              {CORE(sync)},
                              {CORE(upload)},
                              {CORE(download)},
                              {CORE(put)},
                              {CORE(get)},
                              {CORE(copy)},
                              {CORE(begin_step)},
                              {CORE(conv_scratch)},
                              {CORE(dense_scratch)},
                              {CORE(conv_forward)},
                              {CORE(conv_backward_data)},
                              {CORE(conv_backward_weights)},
                              {CORE(dense_forward)},
                              {CORE(dense_backward_data)},
                              {CORE(dense_backward_weights)},
                              {CORE(activation_forward)},
                              {CORE(activation_backward)},
                              {CORE(lrn_forward)},
                              {CORE(lrn_backward)},
                              {CORE(lrn_within_forward)},
                              {CORE(lrn_within_backward)},
                              {CORE(pool_forward)},
                              {CORE(pool_backward)},
                              {CORE(dropout)},
                              {CORE(scale)},
                              {CORE(softmax)},
                              {CORE(softmax_loss)},
                              {CORE(update)},
                              {CORE(all_finite)}};
/* The last of this table, input_layout, may be null. */
static const member prepack[] = {{PART(prepack, conv_algorithm)},
                                 {PART(prepack, conv_prepack)},
                                 {PART(prepack, dense_prepack_bytes)},
                                 {PART(prepack, dense_prepack)}};
static const member fused[] = {{FUSED(can_fuse, AN_PATTERNS)},
                               {FUSED(argmax_bytes, AN_FUSE_ARGMAX)},
                               {FUSED(lrn_pool_forward, AN_FUSE_LRN_POOL)},
                               {FUSED(lrn_pool_backward, AN_FUSE_LRN_POOL)},
                               {FUSED(dense_update, AN_FUSE_DENSE_UPDATE)}};
static const member async[] = {{PART(async, host_alloc)},   {PART(async, host_release)},
                               {PART(async, upload_async)}, {PART(async, wait_upload)},
                               {PART(async, fence)},        {PART(async, wait_fence)},
                               {PART(async, preprocess)}};
static const member graph[] = {{PART(graph, record)},
                               {PART(graph, recorded)},
                               {PART(graph, replay)},
                               {PART(graph, recording_free)}};
static const member trace[] = {{PART(trace, trace)}, {PART(trace, read_trace)}};

#define COUNT(members) (sizeof(members) / sizeof(members)[0])

/* Every member from the first one to byte `end` of its table is among these. */
static void expect_all(const member *members, size_t count, size_t end)
{
    size_t i;

    for (i = 0; i < count; i++)
        expect_count(members[i].offset, members[0].offset + i * sizeof(any_fn *),
                     "the place of %s, behind which none is left out", members[i].name);
    expect_count(members[0].offset + count * sizeof(any_fn *), end,
                 "the end of the members from %s on", members[0].name);
}

START_TEST(no_member_of_a_table_is_forgotten)
{
    expect_all(core, COUNT(core), offsetof(an_backend, prepack));
    expect_all(prepack, COUNT(prepack), offsetof(an_prepack_table, input_layout));
    expect_count(offsetof(an_prepack_table, input_layout) + sizeof(any_fn *),
                 sizeof(an_prepack_table), "input_layout is the last");
    expect_all(fused, COUNT(fused), sizeof(an_fused_table));
    expect_all(async, COUNT(async), sizeof(an_async_table));
    expect_all(graph, COUNT(graph), sizeof(an_graph_table));
    expect_all(trace, COUNT(trace), sizeof(an_trace_table));
    expect_count(offsetof(an_backend, trace) + sizeof(void *), sizeof(an_backend),
                 "the trace table is the last");
}
END_TEST

/* The core of the CPU's backend with all optional tables, none of whose functions is
 * called. */
typedef struct whole {
    an_backend backend;
    an_prepack_table prepack;
    an_fused_table fused;
    an_async_table async;
    an_graph_table graph;
    an_trace_table trace;
} whole;

static void fill(void *table, const member *members, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) set_function(table, members[i].offset, stub);
}

static void make_whole(whole *w)
{
    memset(w, 0, sizeof *w);
    w->backend = an__cpu_backend;
    fill(&w->prepack, prepack, COUNT(prepack));
    fill(&w->fused, fused, COUNT(fused));
    fill(&w->async, async, COUNT(async));
    fill(&w->graph, graph, COUNT(graph));
    fill(&w->trace, trace, COUNT(trace));
    w->fused.patterns = (1u << AN_PATTERNS) - 1;
    w->backend.prepack = &w->prepack;
    w->backend.fused = &w->fused;
    w->backend.async = &w->async;
    w->backend.graph = &w->graph;
    w->backend.trace = &w->trace;
}

/* Each member in turn is null: the check names it, and says where the table came from.
 * Where its pattern is not there the member need not be, either. */
static void expect_missed(whole *w, void *table, const member *members, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        const uint32_t patterns = w->fused.patterns;
        any_fn *kept;
        char text[64];

        memcpy(&kept, (char *)table + members[i].offset, sizeof kept);
        set_function(table, members[i].offset, NULL);
        snprintf(text, sizeof text, "lacks %s", members[i].name);
        expect_refused(an__backend_check(&w->backend, "a tale"), AN_ERROR_BACKEND, text);
        ck_assert_msg(strstr(an_error_message(), "a tale") != NULL &&
                          strstr(an_error_message(), "\"cpu\"") != NULL,
                      "%s: where it came from, in \"%s\"", members[i].name,
                      an_error_message());
        if (members[i].pattern != AN_PATTERNS) {
            w->fused.patterns = 0;
            expect_ok(an__backend_check(&w->backend, "a tale"));
            w->fused.patterns = patterns;
        }
        set_function(table, members[i].offset, kept);
        expect_ok(an__backend_check(&w->backend, "a tale"));
    }
}

START_TEST(a_table_without_a_function_is_refused_by_its_name)
{
    whole w;

    make_whole(&w);
    expect_ok(an__backend_check(&w.backend, "a tale"));
    expect_missed(&w, &w.backend, core, COUNT(core));
    expect_missed(&w, &w.prepack, prepack, COUNT(prepack));
    expect_missed(&w, &w.fused, fused, COUNT(fused));
    expect_missed(&w, &w.async, async, COUNT(async));
    expect_missed(&w, &w.graph, graph, COUNT(graph));
    expect_missed(&w, &w.trace, trace, COUNT(trace));
}
END_TEST

START_TEST(what_is_no_function_may_not_be_missing_either)
{
    whole w;

    make_whole(&w);
    w.backend.name = NULL;
    expect_refused(an__backend_check(&w.backend, "a tale"), AN_ERROR_BACKEND, "name");
    w.backend.name = "";
    expect_refused(an__backend_check(&w.backend, "a tale"), AN_ERROR_BACKEND, "name");
    w.backend.name = "cpu";
    w.backend.algorithms[0] = NULL;
    expect_refused(an__backend_check(&w.backend, "a tale"), AN_ERROR_BACKEND,
                   "algorithms[0]");
}
END_TEST

/* Each optional table is left out, or all are. */
START_TEST(tables_that_are_optional_may_be_left_out)
{
    whole w;

    make_whole(&w);
    w.backend.fused = NULL; /* first: a pattern of its wants prepacked weights */
    expect_ok(an__backend_check(&w.backend, "a tale"));
    w.backend.prepack = NULL;
    expect_ok(an__backend_check(&w.backend, "a tale"));
    w.backend.async = NULL;
    expect_ok(an__backend_check(&w.backend, "a tale"));
    w.backend.graph = NULL;
    expect_ok(an__backend_check(&w.backend, "a tale"));
    w.backend.trace = NULL;
    expect_ok(an__backend_check(&w.backend, "a tale"));
}
END_TEST

/* --- algorithms -------------------------------------------------------------------- */

static uint32_t given; /* by conv_algorithm() */

static uint32_t conv_algorithm(an_device *device, const an_conv_shape *s, uint32_t batch,
                               size_t *bytes)
{
    (void)device;
    (void)s;
    (void)batch;
    *bytes = 0;
    return given;
}

static size_t no_bytes(an_device *device, const an_dense_shape *s, uint32_t batch,
                       int training)
{
    (void)device;
    (void)s;
    (void)batch;
    (void)training;
    return 0;
}

/* The CPU's core with a prepack table whose conv_algorithm() gives the second algorithm,
 * which has no name, or one that no backend may have. */
START_TEST(an_algorithm_without_a_name_is_refused)
{
    an_model_config config = net_small(AN_ARCH_CIFAR10, 1, NULL);
    an_context *ctx = plugin_context(NULL, 1);
    float image[3 * 32 * 32] = {0}, p[CLASSES];
    an_model *model;
    whole w;

    make_whole(&w);
    w.backend = an__cpu_backend;
    w.prepack.conv_algorithm = conv_algorithm;
    w.prepack.dense_prepack_bytes = no_bytes;
    w.backend.prepack = &w.prepack;
    ctx->backends[0] = &w.backend;
    expect_ok(an__backend_check(&w.backend, "a tale"));
    expect_ok(an_model_create(&model, ctx, &config));
    for (given = 1; given < 4; given++)
        expect_refused(an_infer(model, image, 1, p, CLASSES), AN_ERROR_BACKEND,
                       "no name for the algorithm");
    given = 0;
    expect_ok(an_infer(model, image, 1, p, CLASSES));
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* --- patterns ---------------------------------------------------------------------- */

/* Patterns that are nothing without others, or without a table. */
START_TEST(a_pattern_that_wants_another_is_refused_alone)
{
    whole w;

    make_whole(&w);
    w.fused.patterns = 1u << AN_FUSE_DENSE_DROPOUT;
    expect_refused(an__backend_check(&w.backend, "a tale"), AN_ERROR_BACKEND,
                   "lacks the pattern DENSE_RELU, which its pattern DENSE_DROPOUT wants");
    w.fused.patterns = 1u << AN_FUSE_LRN_POOL;
    expect_refused(an__backend_check(&w.backend, "a tale"), AN_ERROR_BACKEND,
                   "lacks the pattern ARGMAX, which its pattern LRN_POOL wants");
    w.fused.patterns = 1u << AN_PATTERNS;
    expect_refused(an__backend_check(&w.backend, "a tale"), AN_ERROR_BACKEND,
                   "patterns that this library does not know");
    w.fused.patterns = 1u << AN_FUSE_UPDATE_PREPACK;
    expect_ok(an__backend_check(&w.backend, "a tale"));
    w.backend.prepack = NULL;
    expect_refused(an__backend_check(&w.backend, "a tale"), AN_ERROR_BACKEND,
                   "lacks the prepack table, which its pattern UPDATE_PREPACK wants");
}
END_TEST

static uint32_t asked; /* calls of can_fuse() */
static int answer;

static int can_fuse(const an_device *device, const an_fusion *fusion)
{
    (void)device;
    (void)fusion;
    asked++;
    return answer;
}

START_TEST(a_backend_is_asked_for_its_own_patterns_alone)
{
    an_fusion fusion = {.pattern = AN_FUSE_TOWERS};
    whole w;

    make_whole(&w);
    w.fused.can_fuse = can_fuse;
    asked = 0;
    for (fusion.pattern = 0; fusion.pattern < AN_PATTERNS; fusion.pattern++) {
        answer = 1;
        w.backend.fused = NULL;
        expect_count(an__can_fuse(&w.backend, NULL, &fusion), 0, "no table");
        w.backend.fused = &w.fused;
        w.fused.patterns = ((1u << AN_PATTERNS) - 1) & ~(1u << fusion.pattern);
        expect_count(an__can_fuse(&w.backend, NULL, &fusion), 0, "all patterns but %u",
                     fusion.pattern);
        expect_count(asked, 2 * fusion.pattern, "asked for pattern %u", fusion.pattern);
        w.fused.patterns = 1u << fusion.pattern;
        expect_count(an__can_fuse(&w.backend, NULL, &fusion), 1, "pattern %u alone",
                     fusion.pattern);
        answer = 0;
        expect_count(an__can_fuse(&w.backend, NULL, &fusion), 0, "pattern %u refused",
                     fusion.pattern);
    }
}
END_TEST

/* --- the minimal backend ----------------------------------------------------------- */

START_TEST(the_minimal_backend_has_the_core_alone)
{
    an_context *ctx = plugin_context(minimal_path(), 1);
    const an_backend *b = ctx->backends[1];

    expect_text(b->name, "minimal", "the plugin's backend");
    expect_ok(an__backend_check(b, minimal_path()));
    expect_count(b->prepack == NULL && b->fused == NULL && b->async == NULL &&
                     b->graph == NULL && b->trace == NULL,
                 1, "no optional table");
    expect_count(b->host_memory, 0, "its memory is its own");
    expect_count(b->bf16_tensors, 0, "its tensors are float32");
    an_context_destroy(ctx);
}
END_TEST

static const struct {
    uint32_t arch, towers;
    const char *devices;
} nets[] = {{AN_ARCH_CIFAR10, 1, "minimal:0"},
            {AN_ARCH_PAPER, 1, "minimal:1"},
            {AN_ARCH_PAPER, 2, "minimal:0,minimal:0"},
            {AN_ARCH_PAPER, 2, "minimal:0,minimal:1"},
            {AN_ARCH_KRIZHEVSKY2012, 2, "minimal:1,minimal:0"}};

/* Such devices of another backend, the second of which may be the first. */
static void devices_of(const an_context *ctx, const char *minimal, char *out, size_t room)
{
    const an_backend *b = ctx->backends[ctx->backend_count - 1];
    uint32_t count = 0;
    const char *at;

    expect_ok(b->count(&ctx->host, &count));
    *out = '\0';
    for (at = minimal; at != NULL; at = strchr(at + 1, ',')) {
        size_t used = strlen(out);

        snprintf(out + used, room - used, "%s%s:%d", used > 0 ? "," : "", b->name,
                 strchr(at, ':')[1] == '1' && count > 1);
    }
}

/* Losses, parameters and an inference behind five steps, beside the CPU's reference
 * path. */
START_TEST(a_network_trains_on_the_minimal_backend)
{
    enum { FIVE = 5 };
    an_model_config here = net_small(nets[_i].arch, nets[_i].towers, nets[_i].devices);
    an_model_config there = net_small(nets[_i].arch, 1, NULL);
    outcome cpu = net_trained(NULL, &there, FIVE, 0);
    outcome minimal = net_trained(minimal_path(), &here, FIVE, 0);

    net_same(&cpu, &minimal, 2e-5);
    net_drop(&cpu), net_drop(&minimal);
}
END_TEST

/* The same on the plugin that $AN_TEST_CARD names, whatever its backend is called. */
START_TEST(a_network_trains_on_a_plugin)
{
    enum { FIVE = 5 };
    an_model_config here = net_small(nets[_i].arch, nets[_i].towers, NULL);
    an_model_config there = net_small(nets[_i].arch, 1, NULL);
    an_context *ctx;
    char devices[128];
    outcome cpu, other;

    if (card_path() == NULL) return;
    ctx = plugin_context(card_path(), 1);
    devices_of(ctx, nets[_i].devices, devices, sizeof devices);
    an_context_destroy(ctx);
    here.devices = devices;
    cpu = net_trained(NULL, &there, FIVE, 0);
    other = net_trained(card_path(), &here, FIVE, 0);
    net_same(&cpu, &other, 2e-5);
    net_drop(&cpu), net_drop(&other);
}
END_TEST

Suite *minimal_suite(void)
{
    Suite *suite = suite_create("minimal");
    TCase *tables = tcase_create("tables"), *backend = tcase_create("minimal backend"),
          *plugin = tcase_create("networks on a plugin");

    tcase_add_test(tables, no_member_of_a_table_is_forgotten);
    tcase_add_test(tables, a_table_without_a_function_is_refused_by_its_name);
    tcase_add_test(tables, what_is_no_function_may_not_be_missing_either);
    tcase_add_test(tables, tables_that_are_optional_may_be_left_out);
    tcase_add_test(tables, an_algorithm_without_a_name_is_refused);
    tcase_add_test(tables, a_pattern_that_wants_another_is_refused_alone);
    tcase_add_test(tables, a_backend_is_asked_for_its_own_patterns_alone);
    suite_add_tcase(suite, tables);
    tcase_set_timeout(backend, 60);
    tcase_add_test(backend, the_minimal_backend_has_the_core_alone);
    tcase_add_loop_test(backend, a_network_trains_on_the_minimal_backend, 0,
                        sizeof nets / sizeof nets[0]);
    suite_add_tcase(suite, backend);
    tcase_set_timeout(plugin, 300);
    tcase_add_loop_test(plugin, a_network_trains_on_a_plugin, 0,
                        sizeof nets / sizeof nets[0]);
    suite_add_tcase(suite, plugin);
    return suite;
}
