/*
 * touch.cc - of the host run: how much of a device's memory a kernel reads and writes,
 * each page once, found by forbidding it all and allowing what is asked for.
 */
#include "touch.h"

#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_THREAD__)
#include <csignal>
#include <sys/mman.h>
#include <ucontext.h>

namespace
{

using host_run::Range;

const std::vector<Range> *watched;
uint64_t pages;
struct sigaction before;

bool is_watched(const char *p)
{
    for (const Range &range : *watched)
        if (p >= range.memory && p < range.memory + range.bytes) return true;
    return false;
}

/* A page is read, written, or first read and then written. */
void touched(int, siginfo_t *info, void *context)
{
    bool writes = (((ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2) != 0;
    uintptr_t page = (uintptr_t)info->si_addr / host_run::PAGE * host_run::PAGE;

    if (!is_watched((const char *)info->si_addr)) {
        sigaction(SIGSEGV, &before, nullptr); /* whoever did that does it again */
        return;
    }
    mprotect((void *)page, host_run::PAGE, writes ? PROT_READ | PROT_WRITE : PROT_READ);
    pages++;
}

void allow(int how)
{
    for (const Range &range : *watched) mprotect((void *)range.memory, range.bytes, how);
}

} // namespace

uint64_t host_run::bytes_touched(const std::vector<Range> &memory,
                                 const std::function<void()> &kernel)
{
    static char stack[65536];
    struct sigaction action = {};
    stack_t own = {}, others;

    own.ss_sp = stack;
    own.ss_size = sizeof stack;
    sigaltstack(&own, &others);
    action.sa_sigaction = touched;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &before);
    watched = &memory;
    pages = 0;
    allow(PROT_NONE);
    kernel();
    allow(PROT_READ | PROT_WRITE);
    sigaction(SIGSEGV, &before, nullptr);
    sigaltstack(&others, nullptr);
    return pages * PAGE;
}
#else
uint64_t host_run::bytes_touched(const std::vector<Range> &,
                                 const std::function<void()> &kernel)
{
    kernel();
    return 0;
}
#endif
