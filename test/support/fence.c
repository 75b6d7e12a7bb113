/*
 * fence.c - blocks amid bytes that must stay; arrays that end where a page does, before
 * one that nobody may touch.
 */
#define _GNU_SOURCE
#include "fence.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --- blocks ------------------------------------------------------------------------ */

enum { FENCE = 128 }; /* bytes before a block and behind it, at least */

typedef struct fenced { /* begins the bytes before a block */
    char *base;
    size_t bytes;
} fenced;

/* The block is as far before a multiple of 64 as the allocator of a CPU's device makes
 * use of, whose blocks so end where this does, but for 56 bytes. */
void *fenced_alloc(size_t bytes, void *user)
{
    char *base = bytes < SIZE_MAX / 2 ? malloc(bytes + 2 * FENCE + 128) : NULL, *block;
    fenced f = {base, bytes};

    (void)user;
    if (base == NULL) return NULL;
    block = base + FENCE;
    block += (64 - (uintptr_t)block % 64) % 64 + 48;
    memset(base, 0xff, bytes + 2 * FENCE + 128);
    memcpy(block - FENCE, &f, sizeof f);
    return block;
}

void fenced_release(void *memory, void *user)
{
    const unsigned char *before = (unsigned char *)memory - FENCE, *behind = memory;
    fenced f;
    size_t i;

    (void)user;
    memcpy(&f, before, sizeof f);
    behind += f.bytes;
    for (i = 0; i < FENCE; i++) { /* an assertion that holds writes to a file, too */
        if (i >= sizeof f && before[i] != 0xff)
            ck_abort_msg("byte %zu before a block of %zu was written", FENCE - i,
                         f.bytes);
        if (behind[i] != 0xff)
            ck_abort_msg("byte %zu behind a block of %zu was written", i, f.bytes);
    }
    free(f.base);
}

/* --- arrays ------------------------------------------------------------------------ */

enum { PLACES = 24, PAGE = 4096 };
#define PLACE_BYTES ((size_t)32 << 20)

static char *end[PLACES]; /* of each place; null before the first use */
static float *taken[PLACES];

/* Mapped once, and used again and again: pages that no array has reached take no
 * memory. */
static int map_places(void)
{
    const size_t each = PLACE_BYTES + PAGE;
    char *memory = mmap(NULL, PLACES * each, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int i;

    if (memory == MAP_FAILED) return 0;
    for (i = 0; i < PLACES; i++) {
        end[i] = memory + (size_t)i * each + PLACE_BYTES;
        if (mprotect(end[i], PAGE, PROT_NONE) != 0) return 0;
    }
    return 1;
}

float *fenced_floats(size_t count)
{
    int i;

    if (count * sizeof(float) > PLACE_BYTES || (end[0] == NULL && !map_places()))
        return NULL;
    for (i = 0; i < PLACES; i++) {
        if (taken[i] != NULL) continue;
        taken[i] = (float *)(void *)(end[i] - count * sizeof(float));
        memset(taken[i], 0xff, count * sizeof(float));
        return taken[i];
    }
    return NULL;
}

int fenced_floats_free(float *numbers)
{
    int i;

    for (i = 0; i < PLACES; i++)
        if (taken[i] == numbers && numbers != NULL) {
            taken[i] = NULL;
            return 1;
        }
    return 0;
}
