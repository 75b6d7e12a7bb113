/*
 * private_blas.c - keeps the OpenBLAS inside libalexnet.so to itself.
 *
 * The shared library carries its own copy of OpenBLAS, hidden by the version script, so
 * that it neither uses nor disturbs the host's: OpenBLAS's thread count is one for the
 * process, and its threads start before main(). This copy is to compute on the calling
 * thread only - the library has threads of its own - and to be as silent as the rest of
 * the library. The linker's --wrap sends the calls that would break that promise here; it
 * applies to libalexnet.so alone, whose own code uses none of them but
 * pthread_mutex_lock() and munmap(), which do for it what they always do.
 */
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "cpu.h"

char *__real_getenv(const char *name);
char *__wrap_getenv(const char *name);
void __wrap_exit(int status) __attribute__((noreturn));
void __wrap___assert_fail(const char *text, const char *file, unsigned line,
                          const char *function) __attribute__((noreturn));
int __wrap_raise(int number);
int __wrap_puts(const char *text);
int __wrap_fputs(const char *text, void *file);
size_t __wrap_fwrite(const void *data, size_t size, size_t count, void *file);
int __wrap___printf_chk(int flag, const char *format, ...);
int __wrap___fprintf_chk(void *file, int flag, const char *format, ...);
int __wrap_printf(const char *format, ...);
int __wrap_fprintf(void *file, const char *format, ...);
void __wrap_perror(const char *text);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_blas_thread_shutdown_(void);
int __real_munmap(void *block, size_t bytes);
int __wrap_munmap(void *block, size_t bytes);
void __wrap_gotoblas_dynamic_quit(void);
int __wrap___register_atfork(void (*prepare)(void), void (*parent)(void),
                             void (*child)(void), void *dso);
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void),
                          void (*child)(void));

/* One thread, whatever the environment says. This is the first place where OpenBLAS
 * looks; other settings, its choice of kernels say, stay the user's. */
char *__wrap_getenv(const char *name)
{
    static char one[] = "1";

    return strcmp(name, "OPENBLAS_NUM_THREADS") == 0 ? one : __real_getenv(name);
}

/* Reached only if OpenBLAS had no kernels for this processor, which its generic ones rule
 * out. */
void __wrap_exit(int status)
{
    (void)status;
    __builtin_trap();
}

/* Its one assertion is about threads, of which there are none. */
void __wrap___assert_fail(const char *text, const char *file, unsigned line,
                          const char *function)
{
    (void)text;
    (void)file;
    (void)line;
    (void)function;
    __builtin_trap();
}

/* The locks that a product takes: one, over the table of work buffers. */
static pthread_mutex_t *taken[4];

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    size_t i;

    for (i = 0; an__in_blas && i < sizeof taken / sizeof taken[0]; i++) {
        pthread_mutex_t *none = NULL;

        if (__atomic_load_n(&taken[i], __ATOMIC_RELAXED) == mutex ||
            __atomic_compare_exchange_n(&taken[i], &none, mutex, 0, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED) ||
            none == mutex)
            break;
    }
    return __real_pthread_mutex_lock(mutex);
}

/* What they guard is at worst a buffer that stays marked as used. */
void an__blas_forked(void)
{
    static const pthread_mutex_t new = PTHREAD_MUTEX_INITIALIZER;
    size_t i;

    for (i = 0; i < sizeof taken / sizeof taken[0] && taken[i] != NULL; i++)
        *taken[i] = new;
}

/* --- its end ----------------------------------------------------------------------- */

/* When the process ends, or the library is closed, OpenBLAS's destructor calls
 * blas_shutdown(), which first stops the threads that there are none of, then gives all
 * buffers back, and last forgets which kernels there are. A thread that is computing,
 * which main() need not have waited for, would go on in what is no more. So the kernels
 * stay, and the buffers too, as long as there are queues. */
static __thread int keeps_buffers;

int __wrap_blas_thread_shutdown_(void)
{
    keeps_buffers = an__cpu_gemm_used();
    return 0;
}

int __wrap_munmap(void *block, size_t bytes)
{
    return keeps_buffers ? 0 : __real_munmap(block, bytes);
}

void __wrap_gotoblas_dynamic_quit(void)
{
    keeps_buffers = 0;
}

/* Without threads there is nothing to stop before a fork. */
int __wrap___register_atfork(void (*prepare)(void), void (*parent)(void),
                             void (*child)(void), void *dso)
{
    (void)prepare;
    (void)parent;
    (void)child;
    (void)dso;
    return 0;
}

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void),
                          void (*child)(void))
{
    return __wrap___register_atfork(prepare, parent, child, NULL);
}

/* OpenBLAS's remarks: lost threads, wrong arguments, too many callers. gemm.c sees to it
 * that there is no reason for any. */
int __wrap_raise(int number)
{
    (void)number;
    return 0;
}

int __wrap_puts(const char *text)
{
    (void)text;
    return 0;
}

int __wrap_fputs(const char *text, void *file)
{
    (void)text;
    (void)file;
    return 0;
}

size_t __wrap_fwrite(const void *data, size_t size, size_t count, void *file)
{
    (void)data;
    (void)size;
    (void)file;
    return count;
}

int __wrap___printf_chk(int flag, const char *format, ...)
{
    (void)flag;
    (void)format;
    return 0;
}

int __wrap___fprintf_chk(void *file, int flag, const char *format, ...)
{
    (void)file;
    (void)flag;
    (void)format;
    return 0;
}

int __wrap_printf(const char *format, ...)
{
    (void)format;
    return 0;
}

int __wrap_fprintf(void *file, const char *format, ...)
{
    (void)file;
    (void)format;
    return 0;
}

void __wrap_perror(const char *text)
{
    (void)text;
}
