/*
 * process.c - which process this is, among those that it was forked from.
 *
 * A number of the system's does not tell: a child in another name space for processes may
 * have its parent's. So the answer stands in a page that the system empties when it forks
 * (MADV_WIPEONFORK, Linux 4.14); where it cannot, the system's number has to do.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"

#define LARGEST_PAGE 65536u /* bytes */

static char room[2 * LARGEST_PAGE]; /* has a whole page, of whatever size pages are */
static uint64_t last;               /* atomic: number that was given out */
static int kind;                    /* atomic: how the answer is found */

enum { UNKNOWN, BY_PAGE, BY_NUMBER };

static uint64_t *page(void)
{
    uintptr_t bytes = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)room;

    return (uint64_t *)(void *)(room + (bytes - begin % bytes) % bytes);
}

static int find_kind(void)
{
    long bytes = sysconf(_SC_PAGESIZE);
    int found = BY_NUMBER;

#if defined(MADV_WIPEONFORK)
    if (bytes > 0 && bytes <= (long)LARGEST_PAGE &&
        madvise(page(), (size_t)bytes, MADV_WIPEONFORK) == 0)
        found = BY_PAGE;
#endif
    __atomic_store_n(&kind, found, __ATOMIC_RELEASE);
    return found;
}

uint64_t an__process(void)
{
    int how = __atomic_load_n(&kind, __ATOMIC_ACQUIRE);
    uint64_t *here, seen = 0, next;

    if (how == UNKNOWN) how = find_kind();
    if (how == BY_NUMBER) return (uint64_t)getpid();
    here = page();
    seen = __atomic_load_n(here, __ATOMIC_ACQUIRE);
    if (seen != 0) return seen;
    /* The first call of this process: what it was forked from had smaller numbers. */
    next = __atomic_add_fetch(&last, 1, __ATOMIC_ACQ_REL);
    if (__atomic_compare_exchange_n(here, &seen, next, 0, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return next;
    return seen;
}
