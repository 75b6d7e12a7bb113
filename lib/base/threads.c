/*
 * threads.c - a context's worker threads.
 *
 * One job at a time: a caller that finds the workers busy with somebody else's job does
 * its own work alone, rather than wait. Either way the same items are computed in the
 * same way, so that results do not depend on who did them.
 *
 * Each thread begins with a range of items of its own, the same in every job: what it has
 * written is often what it reads next. Then it helps the others.
 *
 * A pass is many short jobs, one behind the other: a worker looks out for the next one
 * for some microseconds before it sleeps, and a caller waits for those alone that have
 * begun.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "base/base.h"

typedef struct worker {
    an_pool *pool;
    uint32_t index;
    pthread_t thread;
} worker;

struct an_pool {
    const an_allocator *memory;
    uint32_t workers;       /* started; the caller of a job is one more */
    pthread_mutex_t caller; /* held by the thread whose job is running */
    pthread_mutex_t lock;   /* guards all below but `next` */
    pthread_cond_t begin, end;
    uint64_t jobs; /* begun so far; atomic for who looks without the lock */
    int open;      /* the last one has items left, as far as is known */
    uint32_t busy; /* workers that are at it; atomic like jobs */
    int stop;
    an_body_fn body;
    void *arg;
    uint32_t count;
    int *cpu;        /* [workers + 1] where each thread was last seen; atomic */
    uint32_t *next;  /* [workers + 1] item of its range to be taken; atomic */
    worker worker[]; /* [workers] */
};

static uint32_t range_begin(const an_pool *pool, uint32_t count, uint32_t index)
{
    return (uint32_t)((uint64_t)count * index / (pool->workers + 1));
}

static void take_items(an_pool *pool, an_body_fn body, void *arg, uint32_t count,
                       uint32_t index)
{
    uint32_t threads = pool->workers + 1, k, item;

    for (k = 0; k < threads; k++) {
        uint32_t range = (index + k) % threads, end = range_begin(pool, count, range + 1);

        while ((item = __atomic_fetch_add(&pool->next[range], 1, __ATOMIC_RELAXED)) < end)
            body(item, index, arg);
    }
}

/* A worker that wakes where another thread of the job is at work, which Linux does not
 * mend for milliseconds, goes to a processor of its own: it leaves those that are taken,
 * and may come back to all. Worker threads alone are moved, never a caller's. */
static void step_aside(an_pool *pool, uint32_t index)
{
    int here = sched_getcpu(), taken = 0;
    cpu_set_t allowed, free_ones;
    uint32_t i;

    __atomic_store_n(&pool->cpu[index], here, __ATOMIC_RELAXED);
    for (i = 0; i < index; i++)
        taken |= __atomic_load_n(&pool->cpu[i], __ATOMIC_RELAXED) == here;
    if (!taken || here < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    free_ones = allowed;
    for (i = 0; i <= pool->workers; i++) {
        int cpu = __atomic_load_n(&pool->cpu[i], __ATOMIC_RELAXED);

        if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_CLR((size_t)cpu, &free_ones);
    }
    if (CPU_COUNT(&free_ones) == 0) return;
    sched_setaffinity(0, sizeof free_ones, &free_ones);
    sched_setaffinity(0, sizeof allowed, &allowed);
    __atomic_store_n(&pool->cpu[index], sched_getcpu(), __ATOMIC_RELAXED);
}

#define LOOKS 500 /* before sleep: a pause is 40 to 140 cycles on x86, so 10 to 30 us */

static void breathe(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void look_out(const an_pool *pool, uint64_t seen)
{
    int look;

    for (look = 0; look < LOOKS; look++) {
        if (__atomic_load_n(&pool->jobs, __ATOMIC_RELAXED) != seen) return;
        breathe();
    }
}

static void *worker_main(void *self)
{
    worker *w = self;
    an_pool *pool = w->pool;
    uint64_t seen = 0;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        an_body_fn body;
        void *arg;
        uint32_t count;

        while ((pool->jobs == seen || !pool->open) && !pool->stop)
            pthread_cond_wait(&pool->begin, &pool->lock);
        if (pool->stop) break;
        seen = pool->jobs;
        body = pool->body;
        arg = pool->arg;
        count = pool->count;
        __atomic_store_n(&pool->busy, pool->busy + 1, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&pool->lock);
        step_aside(pool, w->index);
        take_items(pool, body, arg, count, w->index);
        pthread_mutex_lock(&pool->lock);
        pool->open = 0;
        __atomic_store_n(&pool->busy, pool->busy - 1, __ATOMIC_RELAXED);
        if (pool->busy == 0) pthread_cond_signal(&pool->end);
        pthread_mutex_unlock(&pool->lock);
        look_out(pool, seen);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void pool_free(an_pool *pool)
{
    pthread_cond_destroy(&pool->begin);
    pthread_cond_destroy(&pool->end);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->caller);
    an__free(pool->memory, pool->cpu);
    an__free(pool->memory, pool->next);
    an__free(pool->memory, pool);
}

/* A new thread inherits the signal mask and the process's default stack, which a host may
 * have made small: neither is left to it. And the floating-point environment of its
 * maker, which is a call of the library's: the default one. */
int an__thread_start(pthread_t *thread, void *(*body)(void *), void *arg)
{
    sigset_t all, before;
    pthread_attr_t how;
    int failed = pthread_attr_init(&how);

    if (failed) return failed;
    failed = pthread_attr_setstacksize(&how, AN_THREAD_STACK);
    if (!failed) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failed = pthread_create(thread, &how, body, arg);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&how);
    return failed;
}

an_status an__pool_create(an_pool **out, const an_allocator *memory, uint32_t threads)
{
    an_pool *pool = an__alloc_zero(memory, sizeof *pool + (threads - 1) * sizeof(worker));
    uint32_t i;
    int failed = 0;

    if (pool == NULL) return AN_ERROR_MEMORY;
    pool->memory = memory;
    pool->next = an__alloc(memory, threads * sizeof *pool->next);
    pool->cpu = an__alloc(memory, threads * sizeof *pool->cpu);
    if (pool->next == NULL || pool->cpu == NULL) {
        an__free(memory, pool->next);
        an__free(memory, pool->cpu);
        an__free(memory, pool);
        return AN_ERROR_MEMORY;
    }
    for (i = 0; i < threads; i++) pool->cpu[i] = -1;
    pthread_mutex_init(&pool->caller, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->begin, NULL);
    pthread_cond_init(&pool->end, NULL);

    while (pool->workers + 1 < threads && !failed) {
        worker *w = &pool->worker[pool->workers];

        w->pool = pool;
        w->index = pool->workers + 1;
        failed = an__thread_start(&w->thread, worker_main, w);
        if (!failed) pool->workers++;
    }
    if (failed) {
        an__fail(AN_ERROR_MEMORY,
                 "config.threads is %u: the system refused number %u: %s", threads,
                 pool->workers + 2, strerror(failed));
        an__pool_destroy(pool, 0);
        return AN_ERROR_MEMORY;
    }
    *out = pool;
    return AN_OK;
}

void an__pool_destroy(an_pool *pool, int forked)
{
    uint32_t i;

    if (pool == NULL) return;
    if (forked) { /* no worker came along, and a lock may be held by one for ever */
        an__free(pool->memory, pool->cpu);
        an__free(pool->memory, pool->next);
        an__free(pool->memory, pool);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stop = 1;
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->lock);
    for (i = 0; i < pool->workers; i++) pthread_join(pool->worker[i].thread, NULL);
    pool_free(pool);
}

void an__pool_run(an_pool *pool, uint32_t count, an_body_fn body, void *arg)
{
    uint32_t item;
    int look;

    if (count < 2 || pool->workers == 0 || pthread_mutex_trylock(&pool->caller) != 0) {
        for (item = 0; item < count; item++) body(item, 0, arg);
        return;
    }
    __atomic_store_n(&pool->cpu[0], sched_getcpu(), __ATOMIC_RELAXED);
    pthread_mutex_lock(&pool->lock);
    pool->body = body;
    pool->arg = arg;
    pool->count = count;
    for (item = 0; item <= pool->workers; item++)
        __atomic_store_n(&pool->next[item], range_begin(pool, count, item),
                         __ATOMIC_RELAXED);
    pool->open = 1;
    __atomic_store_n(&pool->jobs, pool->jobs + 1, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->lock);

    take_items(pool, body, arg, count, 0);

    for (look = 0; look < LOOKS && __atomic_load_n(&pool->busy, __ATOMIC_RELAXED) > 0;
         look++)
        breathe();
    pthread_mutex_lock(&pool->lock);
    pool->open = 0;
    while (pool->busy > 0) pthread_cond_wait(&pool->end, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    pthread_mutex_unlock(&pool->caller);
}
