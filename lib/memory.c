/*
 * memory.c - memory from a context's allocator, words to its log.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

void *an__alloc(an_context *ctx, size_t bytes)
{
    void *memory = ctx->alloc(bytes > 0 ? bytes : 1, ctx->alloc_user);

    if (memory == NULL) an__fail(AN_ERROR_MEMORY, "no memory for %zu bytes", bytes);
    return memory;
}

void *an__alloc_zero(an_context *ctx, size_t bytes)
{
    void *memory = an__alloc(ctx, bytes);

    if (memory != NULL) memset(memory, 0, bytes);
    return memory;
}

void an__free(an_context *ctx, void *memory)
{
    if (memory != NULL) ctx->release(memory, ctx->alloc_user);
}

void an__log(an_context *ctx, an_log_level level, const char *format, ...)
{
    char text[320];
    va_list args;

    if (ctx->log == NULL) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ctx->log(level, text, ctx->log_user);
}
