/*
 * host_load.c - loads libalexnet.so (argv[1]) at run time: loading alone starts no
 * thread, prints nothing, and leaves the floating-point mode alone, whatever the
 * environment asks of OpenBLAS.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "tasks.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#define MODES (_mm_getcsr() & ~0x3fu)
#else
#define MODES 0u
#endif

int main(int argc, char **argv)
{
    unsigned modes = MODES;
    int threads = threads_now();
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;

    if (library == NULL) {
        fprintf(stderr, "host_load: %s\n", dlerror());
        return 1;
    }
    if (MODES != modes)
        fprintf(stderr, "host_load: MXCSR went from %x to %x\n", modes, MODES);
    if (threads_now() != threads)
        fprintf(stderr, "host_load: %d threads became %d\n", threads, threads_now());
    return MODES != modes || threads_now() != threads;
}
