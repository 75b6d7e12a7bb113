/*
 * backend.c - is a backend's table whole? A backend that lacks a function is refused when
 * it is opened, by that function's name, and not when the function is first missed.
 */
#include <stddef.h>
#include <string.h>

#include "device/device.h"

/* A member that holds a function's address, and the pattern that wants it; ALWAYS: any
 * table of that kind. */
#define ALWAYS AN_PATTERNS

typedef struct an_member {
    const char *name;
    size_t offset;
    uint32_t pattern;
} an_member;

#define CORE(name) #name, offsetof(an_backend, name), ALWAYS
#define IN(table, name) #table "." #name, offsetof(an_##table##_table, name), ALWAYS
#define FUSED(name, pattern) "fused." #name, offsetof(an_fused_table, name), pattern

static const an_member core[] = {{CORE(count)},
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
static const an_member prepack[] = {{IN(prepack, conv_algorithm)},
                                    {IN(prepack, conv_prepack)},
                                    {IN(prepack, dense_prepack_bytes)},
                                    {IN(prepack, dense_prepack)}};
static const an_member fused[] = {{FUSED(can_fuse, ALWAYS)},
                                  {FUSED(argmax_bytes, AN_FUSE_ARGMAX)},
                                  {FUSED(lrn_pool_forward, AN_FUSE_LRN_POOL)},
                                  {FUSED(lrn_pool_backward, AN_FUSE_LRN_POOL)},
                                  {FUSED(dense_update, AN_FUSE_DENSE_UPDATE)}};
static const an_member async[] = {{IN(async, host_alloc)},   {IN(async, host_release)},
                                  {IN(async, upload_async)}, {IN(async, wait_upload)},
                                  {IN(async, fence)},        {IN(async, wait_fence)},
                                  {IN(async, preprocess)}};
static const an_member graph[] = {{IN(graph, record)},
                                  {IN(graph, recorded)},
                                  {IN(graph, replay)},
                                  {IN(graph, recording_free)}};
static const an_member trace[] = {{IN(trace, trace)}, {IN(trace, read_trace)}};

static const char *const pattern_names[AN_PATTERNS] = {
    "CONV_RELU", "DENSE_RELU",   "DENSE_DROPOUT",  "CONV_MASK", "DENSE_MASK", "ARGMAX",
    "LRN_POOL",  "DENSE_UPDATE", "UPDATE_PREPACK", "TOWERS",    "SLICES"};

/* A pattern that is nothing without another. */
static const struct {
    an_pattern pattern, wants;
} pattern_couplings[] = {{AN_FUSE_DENSE_DROPOUT, AN_FUSE_DENSE_RELU},
                         {AN_FUSE_LRN_POOL, AN_FUSE_ARGMAX}};

static an_status members_check(const an_backend *backend, const char *from,
                               const void *table, const an_member *members, size_t count)
{
    uint32_t patterns = backend->fused != NULL ? backend->fused->patterns : 0;
    size_t i;

    for (i = 0; i < count; i++) {
        void (*function)(void);

        memcpy(&function, (const char *)table + members[i].offset, sizeof function);
        if (function != NULL) continue;
        if (members[i].pattern == ALWAYS)
            return an__fail(AN_ERROR_BACKEND, "%.200s: the backend \"%.32s\" lacks %s",
                            from, backend->name, members[i].name);
        if (patterns & 1u << members[i].pattern)
            return an__fail(AN_ERROR_BACKEND,
                            "%.200s: the backend \"%.32s\" lacks %s, which its pattern "
                            "%s wants",
                            from, backend->name, members[i].name,
                            pattern_names[members[i].pattern]);
    }
    return AN_OK;
}

static an_status patterns_check(const an_backend *backend, const char *from)
{
    uint32_t patterns = backend->fused->patterns;
    size_t i;

    if (patterns >> AN_PATTERNS != 0)
        return an__fail(AN_ERROR_BACKEND,
                        "%.200s: the backend \"%.32s\" has patterns that this library "
                        "does not know: 0x%x",
                        from, backend->name, patterns);
    for (i = 0; i < sizeof pattern_couplings / sizeof pattern_couplings[0]; i++)
        if (patterns & 1u << pattern_couplings[i].pattern &&
            !(patterns & 1u << pattern_couplings[i].wants))
            return an__fail(
                AN_ERROR_BACKEND,
                "%.200s: the backend \"%.32s\" lacks the pattern %s, which its "
                "pattern %s wants",
                from, backend->name, pattern_names[pattern_couplings[i].wants],
                pattern_names[pattern_couplings[i].pattern]);
    if (patterns & 1u << AN_FUSE_UPDATE_PREPACK && backend->prepack == NULL)
        return an__fail(
            AN_ERROR_BACKEND,
            "%.200s: the backend \"%.32s\" lacks the prepack table, which its "
            "pattern UPDATE_PREPACK wants",
            from, backend->name);
    return AN_OK;
}

#define MEMBERS_CHECK(table, members)                                                    \
    members_check(backend, from, table, members, sizeof members / sizeof members[0])

an_status an__backend_check(const an_backend *backend, const char *from)
{
    if (backend->name == NULL || backend->name[0] == '\0')
        return an__fail(AN_ERROR_BACKEND, "%.200s: the backend has no name", from);
    if (backend->algorithms[0] == NULL)
        return an__fail(AN_ERROR_BACKEND,
                        "%.200s: the backend \"%.32s\" lacks algorithms[0]", from,
                        backend->name);
    AN_TRY(MEMBERS_CHECK(backend, core));
    if (backend->prepack != NULL) AN_TRY(MEMBERS_CHECK(backend->prepack, prepack));
    if (backend->fused != NULL) {
        AN_TRY(patterns_check(backend, from));
        AN_TRY(MEMBERS_CHECK(backend->fused, fused));
    }
    if (backend->async != NULL) AN_TRY(MEMBERS_CHECK(backend->async, async));
    if (backend->graph != NULL) AN_TRY(MEMBERS_CHECK(backend->graph, graph));
    if (backend->trace != NULL) AN_TRY(MEMBERS_CHECK(backend->trace, trace));
    return AN_OK;
}

int an__can_fuse(const an_backend *backend, const an_device *device,
                 const an_fusion *fusion)
{
    return backend->fused != NULL && backend->fused->patterns & 1u << fusion->pattern &&
           backend->fused->can_fuse(device, fusion);
}
