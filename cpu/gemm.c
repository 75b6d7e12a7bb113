/*
 * gemm.c - the one place that calls OpenBLAS.
 *
 * OpenBLAS keeps a table of work buffers, one for each call that is running. In Debian's
 * threaded build of 0.3.21 a hundred callers at once do well and two hundred crash;
 * contexts may have more threads than that between them, so calls wait here for one of 48
 * places. A build without threads does not even lock its table, and gets one place. The
 * count belongs to the process, like OpenBLAS's table: a forked child begins its own,
 * since a thread of the parent may have held the lock, or a place, that nobody will give
 * back there.
 */
#define _POSIX_C_SOURCE 200809L
#include <cblas.h>
#include <pthread.h>
#include <sched.h>

#include "cpu.h"

#define PLACES 48

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t freed = PTHREAD_COND_INITIALIZER;
static int running;
static long queues; /* atomic: that may multiply */
/* The process that the above are of; its complement: it makes them ready. */
static uint64_t owner;

__thread int an__in_blas;

static void begin_process(void)
{
    static const pthread_mutex_t new_lock = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_cond_t new_freed = PTHREAD_COND_INITIALIZER;
    uint64_t self = an__process(), seen = __atomic_load_n(&owner, __ATOMIC_ACQUIRE);

    while (seen != self) {
        if (seen == ~self) {
            sched_yield(); /* for the time of some assignments */
            seen = __atomic_load_n(&owner, __ATOMIC_ACQUIRE);
        } else if (__atomic_compare_exchange_n(&owner, &seen, ~self, 0, __ATOMIC_ACQ_REL,
                                               __ATOMIC_ACQUIRE)) {
            lock = new_lock;
            freed = new_freed;
            running = 0;
            queues = 0;
            if (an__blas_forked != NULL) an__blas_forked();
            __atomic_store_n(&owner, self, __ATOMIC_RELEASE);
            return;
        }
    }
}

void an__cpu_gemm_begin(void)
{
    begin_process();
    __atomic_fetch_add(&queues, 1, __ATOMIC_RELAXED);
}

/* A child that ends its parent's queues, too, counts too few: no harm but to a thread of
 * its own that still multiplies when it exits. */
void an__cpu_gemm_end(void)
{
    if (__atomic_load_n(&owner, __ATOMIC_ACQUIRE) == an__process())
        __atomic_fetch_sub(&queues, 1, __ATOMIC_RELAXED);
}

int an__cpu_gemm_used(void)
{
    return __atomic_load_n(&queues, __ATOMIC_RELAXED) > 0;
}

static void enter(void)
{
    int places = openblas_get_parallel() == OPENBLAS_SEQUENTIAL ? 1 : PLACES;

    pthread_mutex_lock(&lock);
    while (running == places) pthread_cond_wait(&freed, &lock);
    running++;
    pthread_mutex_unlock(&lock);
}

static void leave(void)
{
    pthread_mutex_lock(&lock);
    running--;
    pthread_cond_signal(&freed);
    pthread_mutex_unlock(&lock);
}

void an__cpu_gemm(const an_gemm *g)
{
    enter();
    an__in_blas = 1;
    /* One image through a dense layer: OpenBLAS's sgemm would first copy all the weights
     * into its own order, which costs more than the product. */
    if (g->m == 1 && g->tb && !g->ta && !g->add)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, (blasint)g->n, (blasint)g->k, 1, g->b,
                    (blasint)g->ldb, g->a, 1, 0, g->c, 1);
    else
        cblas_sgemm(CblasRowMajor, g->ta ? CblasTrans : CblasNoTrans,
                    g->tb ? CblasTrans : CblasNoTrans, (blasint)g->m, (blasint)g->n,
                    (blasint)g->k, 1, g->a, (blasint)g->lda, g->b, (blasint)g->ldb,
                    g->add ? 1.0f : 0.0f, g->c, (blasint)g->ldc);
    an__in_blas = 0;
    leave();
}
