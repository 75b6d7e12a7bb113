/*
 * memory.c - memory and log through an allocator.
 *
 * Where there is a limit, a block begins with its size, which its release gives back; the
 * caller's part begins behind that.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

#define HEAD ((size_t)16) /* bytes: what is behind it is aligned as malloc() aligns */

/* Takes the bytes out of what the limit leaves, if it leaves so many. */
static int meter_take(an_meter *meter, size_t bytes)
{
    size_t used = __atomic_load_n(&meter->used, __ATOMIC_RELAXED);

    do {
        if (used > meter->limit || bytes > meter->limit - used) return 0;
    } while (!__atomic_compare_exchange_n(&meter->used, &used, used + bytes, 1,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return 1;
}

static void meter_give(an_meter *meter, size_t bytes)
{
    __atomic_fetch_sub(&meter->used, bytes, __ATOMIC_RELAXED);
}

static void *alloc_metered(const an_allocator *memory, size_t bytes)
{
    an_meter *meter = memory->meter;
    size_t all = bytes + HEAD;
    char *block;

    if (all < bytes || !meter_take(meter, all)) {
        an__fail(AN_ERROR_MEMORY,
                 "no memory for %zu bytes: config.memory_limit is %zu, of which %zu are "
                 "in use",
                 bytes, meter->limit, __atomic_load_n(&meter->used, __ATOMIC_RELAXED));
        return NULL;
    }
    block = memory->alloc(all, memory->alloc_user);
    if (block == NULL) {
        meter_give(meter, all);
        an__fail(AN_ERROR_MEMORY, "no memory for %zu bytes", bytes);
        return NULL;
    }
    memcpy(block, &all, sizeof all);
    return block + HEAD;
}

void *an__alloc(const an_allocator *memory, size_t bytes)
{
    void *block;

    if (memory->meter != NULL) return alloc_metered(memory, bytes);
    block = memory->alloc(bytes > 0 ? bytes : 1, memory->alloc_user);
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
    if (block == NULL) return;
    if (memory->meter != NULL) {
        size_t all;

        block = (char *)block - HEAD;
        memcpy(&all, block, sizeof all);
        meter_give(memory->meter, all);
    }
    memory->release(block, memory->alloc_user);
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
