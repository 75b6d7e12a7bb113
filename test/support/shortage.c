/*
 * shortage.c - malloc() and its kin, of the whole program.
 */
#include "shortage.h"

#include <errno.h> /* which also says whose C library it is */
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)

int shortage_works(void)
{
    return 0;
}

void shortage_begin(long first, long last)
{
    (void)first, (void)last;
}

long shortage_end(void)
{
    return 0;
}

#else

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *block, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

static long calls, from, to;
static int on;

static int fails(void)
{
    long call;

    if (!__atomic_load_n(&on, __ATOMIC_SEQ_CST)) return 0;
    call = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (call < from || call > to) return 0;
    errno = ENOMEM;
    return 1;
}

/* These are declared by stdlib.h, with attributes that hinder their definition here. */
void *malloc(size_t bytes);
void *calloc(size_t count, size_t bytes);
void *realloc(void *block, size_t bytes);
void *memalign(size_t alignment, size_t bytes);
void *aligned_alloc(size_t alignment, size_t bytes);
int posix_memalign(void **block, size_t alignment, size_t bytes);

void *malloc(size_t bytes)
{
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *block, size_t bytes)
{
    return fails() ? NULL : __libc_realloc(block, bytes);
}

void *memalign(size_t alignment, size_t bytes)
{
    return fails() ? NULL : __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return memalign(alignment, bytes);
}

int posix_memalign(void **block, size_t alignment, size_t bytes)
{
    void *made = memalign(alignment, bytes);

    if (made == NULL) return ENOMEM;
    *block = made;
    return 0;
}

int shortage_works(void)
{
    return 1;
}

void shortage_begin(long first, long last)
{
    from = first;
    to = last;
    __atomic_store_n(&calls, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&on, 1, __ATOMIC_SEQ_CST);
}

long shortage_end(void)
{
    __atomic_store_n(&on, 0, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&calls, __ATOMIC_SEQ_CST);
}

#endif
