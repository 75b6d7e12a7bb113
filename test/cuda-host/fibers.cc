/*
 * fibers.cc - a kernel's block on the host: a fiber for each of its threads, which gives way
 * only at a barrier or a warp instruction.
 *
 * Blocks run one after another, under the runtime's lock, so that all state here is global.
 */
#include "cuda_runtime.h"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <vector>

#if defined(__SANITIZE_THREAD__)
extern "C" {
void *__tsan_get_current_fiber();
void *__tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *address);
void __tsan_release(void *address);
}
#endif

namespace host_run
{

Place place;

namespace
{

enum { MOST = 1024, STACK = 256 * 1024 };
enum Wait { RUNS, AT_BARRIER, AT_WARP, DONE };

struct Copy {
    void *to;
    const void *from;
    unsigned bytes;
    bool zeros;
};

struct Fiber {
    void *stack_pointer = nullptr;
    char *stack = nullptr;
    Wait wait = DONE;
    dim3 thread;
    unsigned phase;             /* barriers passed */
    std::vector<Copy> copies;   /* begun and not delivered, oldest first */
    std::vector<size_t> groups; /* ends of committed groups among them */
    void *tsan = nullptr;
};

Fiber fibers[MOST], *running;
void *scheduler_stack_pointer;
[[maybe_unused]] void *scheduler_tsan;
unsigned current, threads, live, arrived;
Lanes warps[MOST / 32];
uint32_t here[MOST / 32]; /* lanes that wait for the rest of their warp */
char *shared_memory;
size_t shared_size;
void (*body)(const void *, const void *);
const void *body_kernel, *body_params;
/* For TSan, an address stands for what threads wait for: the block's beginning, its end, and by
 * turns its barriers. (One for all would tell of order where there is none: who leaves a
 * barrier late would seem to know what others did after it.) */
[[maybe_unused]] char began, over, barriers[2];

#if defined(__x86_64__)
extern "C" void host_run_switch(void **save, void *to);
asm(R"(
.text
.type host_run_switch,@function
host_run_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
.size host_run_switch,.-host_run_switch
)");
#else
#error "the host run knows how to switch fibers on x86-64"
#endif

HOST_RUN_QUIET void to_scheduler()
{
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(scheduler_tsan, 1);
#endif
    host_run_switch(&running->stack_pointer, scheduler_stack_pointer);
}

HOST_RUN_QUIET void to_fiber(unsigned index)
{
    running = &fibers[index];
    current = index;
    place.thread = running->thread;
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(running->tsan, 1);
#endif
    host_run_switch(&scheduler_stack_pointer, running->stack_pointer);
}

void acquire([[maybe_unused]] char *object)
{
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(object);
#endif
}

void release([[maybe_unused]] char *object)
{
#if defined(__SANITIZE_THREAD__)
    __tsan_release(object);
#endif
}

HOST_RUN_QUIET void open_barrier()
{
    arrived = 0;
    for (unsigned i = 0; i < threads; i++)
        if (fibers[i].wait == AT_BARRIER) fibers[i].wait = RUNS;
}

HOST_RUN_QUIET void ended()
{
    running->wait = DONE;
    live--;
    if (live > 0 && arrived == live) open_barrier(); /* who has ended is not waited for */
    to_scheduler();
}

/* A fiber runs its thread of one block after another. */
void entry()
{
    for (;;) {
        acquire(&began);
        body(body_kernel, body_params);
        release(&over);
        ended();
    }
}

HOST_RUN_QUIET void make(Fiber &f)
{
    void **top;

    f.stack = (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (f.stack == MAP_FAILED) fault("no memory for a stack");
#if defined(__SANITIZE_THREAD__)
    f.tsan = __tsan_create_fiber(0);
#endif
    top = (void **)(f.stack + STACK);
    *--top = nullptr;
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++) *--top = nullptr;
    f.stack_pointer = top;
}

HOST_RUN_QUIET void prepare(Fiber &f, unsigned index, dim3 block)
{
    if (f.stack == nullptr) make(f);
    f.wait = RUNS;
    f.thread =
        dim3(index % block.x, index / block.x % block.y, index / (block.x * block.y));
    f.phase = 0;
    f.copies.clear();
    f.groups.clear();
}

HOST_RUN_QUIET void spoil_shared(size_t bytes)
{
    if (shared_size < bytes) {
        free(shared_memory);
        shared_memory = (char *)aligned_alloc(1024, (bytes + 1023) / 1024 * 1024);
        if (shared_memory == nullptr) fault("no memory for shared memory");
    }
    shared_size = bytes;
    if (bytes > 0) std::memset(shared_memory, 0xff, bytes); /* NaNs */
}

} // namespace

void fault(const char *what)
{
    fprintf(stderr, "host run: %s, in thread %u of block (%u, %u, %u)\n", what, current,
            place.block.x, place.block.y, place.block.z);
    abort();
}

HOST_RUN_QUIET void run_block(dim3 grid, dim3 block_index, dim3 block,
                              size_t shared_bytes,
                              void (*run)(const void *, const void *), const void *kernel,
                              const void *params)
{
    threads = live = block.x * block.y * block.z;
    place.block = block_index;
    place.block_size = block;
    place.grid = grid;
    body = run;
    body_kernel = kernel;
    body_params = params;
    arrived = 0;
    std::memset(here, 0, sizeof here);
    spoil_shared(shared_bytes);
#if defined(__SANITIZE_THREAD__)
    scheduler_tsan = __tsan_get_current_fiber();
#endif
    for (unsigned i = 0; i < threads; i++) prepare(fibers[i], i, block);
    release(&began);
    while (live > 0) {
        bool moved = false;

        for (unsigned i = 0; i < threads; i++)
            if (fibers[i].wait == RUNS) {
                moved = true;
                to_fiber(i);
            }
        if (!moved) fault("threads wait for each other: not all came to a barrier");
    }
    acquire(&over);
}

HOST_RUN_QUIET void barrier()
{
    char *object = &barriers[running->phase++ % 2];

    release(object);
    running->wait = AT_BARRIER;
    if (++arrived == live) open_barrier();
    to_scheduler();
    acquire(object);
}

void *shared()
{
    return shared_memory;
}

HOST_RUN_QUIET bool in_shared(const void *p, size_t bytes)
{
    return (const char *)p >= shared_memory &&
           (const char *)p + bytes <= shared_memory + shared_size;
}

HOST_RUN_QUIET Lanes &lanes()
{
    return warps[current / 32];
}

HOST_RUN_QUIET unsigned lane()
{
    return current % 32;
}

HOST_RUN_QUIET void converge(void (*all)(Lanes &))
{
    unsigned warp = current / 32, first = warp * 32;

    here[warp] |= 1u << current % 32;
    if (here[warp] != 0xffffffffu) {
        running->wait = AT_WARP;
        to_scheduler();
        return;
    }
    here[warp] = 0;
    all(warps[warp]);
    for (unsigned i = first; i < first + 32; i++)
        if (fibers[i].wait == AT_WARP) fibers[i].wait = RUNS;
}

/* The words that stand for it are spoilt at once and written when it is delivered, as if by
 * the thread itself: TSan is to see both. */
void copy_begin(void *to, const void *from, unsigned bytes, bool zeros)
{
    if (!in_shared(to, bytes)) fault("an asynchronous copy to what is not shared memory");
    if (((uintptr_t)to | (zeros ? 0 : (uintptr_t)from)) % bytes != 0)
        fault("a misaligned asynchronous copy");
    for (unsigned i = 0; i < bytes / 4; i++) ((uint32_t *)to)[i] = 0xffffffffu;
    running->copies.push_back({to, from, bytes, zeros});
}

HOST_RUN_QUIET void copy_commit()
{
    running->groups.push_back(running->copies.size());
}

namespace
{

void deliver(const Copy &copy)
{
    const uint32_t *from = (const uint32_t *)copy.from;
    uint32_t *to = (uint32_t *)copy.to;

    for (unsigned i = 0; i < copy.bytes / 4; i++) to[i] = copy.zeros ? 0 : from[i];
}

} // namespace

void copy_wait(unsigned pending_groups)
{
    Fiber &f = *running;

    if (f.groups.size() <= pending_groups) return;
    size_t groups = f.groups.size() - pending_groups, copies = f.groups[groups - 1];

    for (size_t i = 0; i < copies; i++) deliver(f.copies[i]);
    f.copies.erase(f.copies.begin(), f.copies.begin() + (ptrdiff_t)copies);
    f.groups.erase(f.groups.begin(), f.groups.begin() + (ptrdiff_t)groups);
    for (size_t &end : f.groups) end -= copies;
}

} // namespace host_run
