/*
 * fibers.cc - a kernel's block on the host: a fiber for each of its threads, which gives
 * way only at a barrier or a warp instruction.
 *
 * Blocks run one after another, under the runtime's lock, so that all state here is
 * global.
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
enum Wait { RUNS, AT_BARRIER, AT_WARP, AT_CONDITION, DONE };

struct Copy {
    void *to;
    const void *from;
    unsigned bytes;
    bool zeros;
};

struct Product {
    float *d;
    int n;
    uint64_t a, b;
    bool a_across, b_across;
    const uint32_t *a_registers; /* not null: TF32, with a from these */
};

struct Fiber {
    void *stack_pointer = nullptr;
    char *stack = nullptr;
    Wait wait = DONE;
    bool (*condition)(const void *, unsigned); /* AT_CONDITION: until it is, of these */
    const void *of;
    unsigned which;
    dim3 thread;
    unsigned phase;             /* barriers passed */
    std::vector<Copy> copies;   /* begun and not delivered, oldest first */
    std::vector<size_t> groups; /* ends of committed groups among them */
    std::vector<Product> products;
    std::vector<size_t> product_groups; /* the same of these */
    bool unfenced;                      /* has copied what no proxy fence has followed */
    /* For TSan: the thread, and what computes its share of products. */
    void *tsan = nullptr, *cores = nullptr;
    char asked; /* stands for what these two know of each other */
};

/* Of a warpgroup, whose threads leave a wait for products when all of them are done. */
struct Group {
    unsigned came;   /* threads whose share is done */
    unsigned met;    /* waits that have ended */
    char product[2]; /* for TSan, by turns as a block's barriers */
};

Fiber fibers[MOST], *running;
Group warpgroups[MOST / 128];
void *scheduler_stack_pointer;
[[maybe_unused]] void *scheduler_tsan;
unsigned current, threads, live, arrived;
Lanes warps[MOST / 32];
uint32_t here[MOST / 32]; /* lanes that wait for the rest of their warp */
char *shared_memory;
size_t shared_size;
void (*body)(const void *, const void *);
const void *body_kernel, *body_params;
/* For TSan, an address stands for what threads wait for: the block's beginning, its end,
 * and by turns its barriers. (One for all would tell of order where there is none: who
 * leaves a barrier late would seem to know what others did after it.) */
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

} // namespace

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

namespace
{

HOST_RUN_QUIET void open_barrier()
{
    arrived = 0;
    for (unsigned i = 0; i < threads; i++)
        if (fibers[i].wait == AT_BARRIER) fibers[i].wait = RUNS;
}

HOST_RUN_QUIET void ended()
{
    if (!running->products.empty()) fault("ended before its products did");
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
    f.products.clear();
    f.product_groups.clear();
    f.unfenced = false;
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
    std::memset(warpgroups, 0, sizeof warpgroups);
    spoil_shared(shared_bytes);
#if defined(__SANITIZE_THREAD__)
    scheduler_tsan = __tsan_get_current_fiber();
#endif
    for (unsigned i = 0; i < threads; i++) prepare(fibers[i], i, block);
    release(&began);
    while (live > 0) {
        bool moved = false;

        for (unsigned i = 0; i < threads; i++) {
            Fiber &f = fibers[i];

            if (f.wait == AT_CONDITION && f.condition(f.of, f.which)) f.wait = RUNS;
            if (f.wait != RUNS) continue;
            moved = true;
            to_fiber(i);
        }
        if (!moved) fault("threads wait for each other: not all came to a barrier");
    }
    acquire(&over);
    transfers_end();
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

HOST_RUN_QUIET void wait_until(bool (*condition)(const void *, unsigned), const void *of,
                               unsigned which)
{
    if (condition(of, which)) return;
    running->condition = condition;
    running->of = of;
    running->which = which;
    running->wait = AT_CONDITION;
    to_scheduler();
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

/* The words that stand for it are spoilt at once and written when it is delivered, as if
 * by the thread itself: TSan is to see both. */
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
    f.unfenced = true;
}

/* --- products of warpgroups -------------------------------------------------------- */

HOST_RUN_QUIET void proxy_fence()
{
    running->unfenced = false;
}

namespace
{

HOST_RUN_QUIET void begin(const Product &p)
{
    for (unsigned i = 0; i < threads; i++)
        if (fibers[i].unfenced) fault("products of what no proxy fence has followed");
    if (p.a >> 62 != 1 || p.b >> 62 != 1 || (p.a >> 49 & 7) != 0 || (p.b >> 49 & 7) != 0)
        fault("a descriptor of another swizzle or with a base offset");
    running->products.push_back(p);
}

} // namespace

HOST_RUN_QUIET void wgmma_begin(float *d, int n, uint64_t a, uint64_t b, bool a_across,
                                bool b_across)
{
    begin({d, n, a, b, a_across, b_across, nullptr});
}

HOST_RUN_QUIET void wgmma_begin_tf32(float *d, int n, const uint32_t *a, uint64_t b)
{
    begin({d, n, b, b, false, false, a});
}

HOST_RUN_QUIET void wgmma_commit()
{
    running->product_groups.push_back(running->products.size());
}

namespace
{

/* So that TSan sees a read by this thread. */
void seen([[maybe_unused]] const char *p)
{
#if defined(__SANITIZE_THREAD__)
    static_cast<void>(*(const volatile uint16_t *)p);
#endif
}

HOST_RUN_QUIET float bf16_at(size_t at)
{
    uint16_t half;
    uint32_t word;
    float value;

    std::memcpy(&half, shared_memory + at, sizeof half);
    word = (uint32_t)half << 16;
    std::memcpy(&value, &word, sizeof value);
    return value;
}

/* 16 k of row `row` of a factor: along k two pieces of 8, across 16 of one number. */
void sixteen(uint64_t f, bool across, unsigned row, float (&v)[16])
{
    size_t start = (f & 0x3fff) << 4, leading = (f >> 16 & 0x3fff) << 4;
    size_t stride = (f >> 32 & 0x3fff) << 4;
    size_t first = across ? start + row / 64 * leading + row % 64 * 2
                          : start + row / 8 * stride + row % 8 * 128;
    size_t end =
        across ? start + row / 64 * leading + stride + 1024 : first / 128 * 128 + 128;

    if (end > shared_size) fault("a descriptor of what is not shared memory");
    for (unsigned k = 0; k < 16; k += across ? 1 : 8) {
        size_t at = first + (across ? k / 8 * stride + k % 8 * 128 : k * 2);

        at ^= (at >> 7 & 7) << 4;
        seen(shared_memory + at);
        for (unsigned e = 0; e < (across ? 1 : 8); e++) v[k + e] = bf16_at(at + e * 2);
    }
}

float tf32(uint32_t word)
{
    float value;

    if ((word & 0x1fff) != 0 && (word & 0x7fffffff) < 0x7f800000)
        fault("a factor with bits that TF32 lacks, which the product drops");
    std::memcpy(&value, &word, sizeof value);
    return value;
}

/* 8 k of two rows of a, from the registers of the warp's lanes: see mma_tf32() in
 * mma.h. */
HOST_RUN_QUIET void rows_of_registers(const uint32_t *registers, float (&a)[2][16])
{
    Lanes &l = lanes();

    std::memcpy(l.in[lane()], registers, 4 * sizeof *registers);
    converge([](Lanes &) HOST_RUN_QUIET {});
    for (unsigned h = 0; h < 2; h++)
        for (unsigned k = 0; k < 8; k++)
            a[h][k] = tf32(l.in[lane() / 4 * 4 + k % 4][h + k / 4 * 2]);
    converge([](Lanes &) HOST_RUN_QUIET {});
}

/* 8 k of a row of b, along k. */
HOST_RUN_QUIET void eight(uint64_t f, unsigned row, float (&v)[16])
{
    size_t at = ((f & 0x3fff) << 4) + row / 8 * ((f >> 32 & 0x3fff) << 4) + row % 8 * 128;

    if (at / 128 * 128 + 128 > shared_size)
        fault("a descriptor of what is not shared memory");
    for (unsigned k = 0; k < 8; k++) {
        size_t number = at + k * 4;
        uint32_t word;

        number ^= (number >> 7 & 7) << 4;
        seen(shared_memory + number);
        std::memcpy(&word, shared_memory + number, sizeof word);
        v[k] = tf32(word);
    }
}

/* What follows is done by tensor cores, until from_cores(): they know what this thread
 * did before, and others that wait for the product know what tensor cores have done, but
 * not what this thread did. */
HOST_RUN_QUIET void to_cores([[maybe_unused]] Fiber &f)
{
#if defined(__SANITIZE_THREAD__)
    if (f.cores == nullptr) f.cores = __tsan_create_fiber(0);
    release(&f.asked);
    __tsan_switch_to_fiber(f.cores, 1);
    acquire(&f.asked);
#endif
}

HOST_RUN_QUIET void from_cores([[maybe_unused]] Fiber &f, [[maybe_unused]] char *product)
{
#if defined(__SANITIZE_THREAD__)
    release(product);
    release(&f.asked);
    __tsan_switch_to_fiber(f.tsan, 1);
    acquire(&f.asked);
#endif
}

/* `product` stands for it. */
void multiply(const Product &p, char *product)
{
    unsigned warp = current / 32 % 4, lane = current % 32;
    unsigned depth = p.a_registers != nullptr ? 8 : 16;
    float a[2][16], b[16];

    if (p.a_registers != nullptr) rows_of_registers(p.a_registers, a);
    to_cores(*running);
    for (unsigned h = 0; h < 2 && p.a_registers == nullptr; h++)
        sixteen(p.a, p.a_across, warp * 16 + lane / 4 + h * 8, a[h]);
    for (unsigned j = 0; j < (unsigned)p.n / 8; j++)
        for (unsigned e = 0; e < 2; e++) {
            if (p.a_registers != nullptr)
                eight(p.b, j * 8 + lane % 4 * 2 + e, b);
            else
                sixteen(p.b, p.b_across, j * 8 + lane % 4 * 2 + e, b);
            for (unsigned h = 0; h < 2; h++) {
                float &d = p.d[j * 4 + h * 2 + e];
                double sum = d;

                for (unsigned k = 0; k < depth; k++)
                    sum += (double)a[h][k] * (double)b[k];
                d = towards_zero(sum);
            }
        }
    from_cores(*running, product);
}

HOST_RUN_QUIET bool has_met(const void *met, unsigned before)
{
    return *(const unsigned *)met != before;
}

HOST_RUN_QUIET void meet(Group &group)
{
    unsigned before = group.met;

    if (++group.came < 128) {
        wait_until(has_met, &group.met, before);
        return;
    }
    group.came = 0;
    group.met++;
}

} // namespace

void wgmma_wait(unsigned pending_groups)
{
    Fiber &f = *running;
    Group &group = warpgroups[current / 128];
    char *product = &group.product[group.met % 2];

    converge([](Lanes &) HOST_RUN_QUIET {}); /* all of a warp come, at least */
    if (f.product_groups.size() <= pending_groups) return;
    size_t groups = f.product_groups.size() - pending_groups;
    size_t products = f.product_groups[groups - 1];

    for (size_t i = 0; i < products; i++) multiply(f.products[i], product);
    f.products.erase(f.products.begin(), f.products.begin() + (ptrdiff_t)products);
    f.product_groups.erase(f.product_groups.begin(),
                           f.product_groups.begin() + (ptrdiff_t)groups);
    for (size_t &end : f.product_groups) end -= products;
    meet(group);
    acquire(product);
}

} // namespace host_run
