/*
 * fence.h - memory that notices what does not belong to it.
 */
#ifndef AN_TEST_FENCE_H
#define AN_TEST_FENCE_H

#include <stddef.h>

/* An allocator for an_context_config: memory is full of NaNs when it is given out, and
 * what was written before or behind a block is seen when that is released. */
void *fenced_alloc(size_t bytes, void *user);
void fenced_release(void *memory, void *user);

/* Floats, full of NaNs, behind whose last there is no memory: reading on ends the
 * test, too. Some of them at a time, up to 32 MiB each; null where there are too many. */
float *fenced_floats(size_t count);
/* 0: the numbers are not of fenced_floats(). */
int fenced_floats_free(float *numbers);

#endif
