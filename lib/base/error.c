/*
 * error.c - the calling thread's error message, status names, versions.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "base/base.h"

/* One per thread, of fixed size: two threads that share a model cannot mix up their
 * messages, and reporting a lack of memory needs none. */
static __thread char message[320];

an_status an__fail(an_status status, const char *format, ...)
{
    char text[sizeof message];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    an__text_show(message, sizeof message, text); /* names and paths are anybody's */
    return status;
}

const char *an_error_message(void)
{
    return message;
}

int an__multiply(size_t a, size_t b, size_t *product)
{
    if (b != 0 && a > SIZE_MAX / b) return 0;
    *product = a * b;
    return 1;
}

an_status an__capacity_check(size_t capacity, size_t count, size_t each)
{
    size_t wanted;

    if (!an__multiply(count, each, &wanted)) wanted = SIZE_MAX;
    AN_CHECK(capacity >= wanted, "capacity is %zu: the call writes %zu", capacity,
             wanted);
    return AN_OK;
}

uint32_t an_version(void)
{
    return AN_VERSION_NUMBER;
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define VERSION_TEXT                                                                     \
    TEXT(AN_VERSION_MAJOR) "." TEXT(AN_VERSION_MINOR) "." TEXT(AN_VERSION_PATCH)

const char *an_version_string(void)
{
    return VERSION_TEXT;
}

#ifndef AN_BLAS_NAME
#define AN_BLAS_NAME "OpenBLAS"
#endif

const char *an_build_info(void)
{
    return "libalexnet " VERSION_TEXT ", " AN_BLAS_NAME ", "
#if defined(__clang__)
           "clang " __clang_version__;
#else
           "gcc " __VERSION__;
#endif
}

const char *an_status_string(an_status status)
{
    switch (status) {
    case AN_OK: return "ok";
    case AN_ERROR_ARGUMENT: return "argument";
    case AN_ERROR_MEMORY: return "memory";
    case AN_ERROR_STATE: return "state";
    case AN_ERROR_DIVERGED: return "diverged";
    case AN_ERROR_IO: return "io";
    case AN_ERROR_FORMAT: return "format";
    case AN_ERROR_VERSION: return "version";
    case AN_ERROR_BACKEND: return "backend";
    case AN_ERROR_DEVICE: return "device";
    case AN_ERROR_DEVICE_MEMORY: return "device memory";
    case AN_ERROR_FORKED: return "forked";
    case AN_ERROR_INTERNAL: return "internal";
    case AN_STATUS_MAX_: break;
    }
    return "unknown";
}
