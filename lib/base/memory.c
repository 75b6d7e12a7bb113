/*
 * memory.c - memory and log through an allocator.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

void *an__alloc(const an_allocator *memory, size_t bytes)
{
    void *block = memory->alloc(bytes > 0 ? bytes : 1, memory->alloc_user);

    if (block == NULL) an__fail(AN_ERROR_MEMORY, "no memory for %zu bytes", bytes);
    return block;
}

void *an__alloc_zero(const an_allocator *memory, size_t bytes)
{
    void *block = an__alloc(memory, bytes);

    if (block != NULL) memset(block, 0, bytes);
    return block;
}

void an__free(const an_allocator *memory, void *block)
{
    if (block != NULL) memory->release(block, memory->alloc_user);
}

void an__log(const an_allocator *memory, an_log_level level, const char *format, ...)
{
    char text[320];
    va_list args;

    if (memory->log == NULL) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memory->log(level, text, memory->log_user);
}

void an__copy_rows(uint8_t *to, const uint8_t *from, size_t pitch, size_t bytes,
                   uint32_t rows)
{
    uint32_t i;

    for (i = 0; i < rows; i++) memcpy(to + i * bytes, from + i * pitch, bytes);
}
