/*
 * struct.c - public structs, which only ever grow at their end: defaults, reading a
 * caller's, filling a caller's.
 */
#include <string.h>

#include "base/base.h"

/* Every public struct begins with its size, as the caller's compiler saw it. */
static size_t size_of(const void *object)
{
    size_t size;

    memcpy(&size, object, sizeof size);
    return size;
}

an_status an__struct_read(void *to, const void *from, size_t known, size_t least,
                          const char *what)
{
    const unsigned char *bytes = from;
    size_t size = size_of(from), i;

    AN_CHECK(size >= least, "%s.size is %zu: less than %zu, was it initialised?", what,
             size, least);
    for (i = known; i < size; i++)
        if (bytes[i] != 0)
            return an__fail(AN_ERROR_VERSION,
                            "%s has a field beyond byte %zu set, which this library (%s) "
                            "does not know",
                            what, known, an_version_string());
    memcpy(to, from, size < known ? size : known);
    memcpy(to, &known, sizeof known);
    return AN_OK;
}

an_status an__struct_write(void *to, const void *from, size_t known, size_t least,
                           const char *what)
{
    size_t size, head = sizeof size;

    AN_CHECK(to != NULL, "%s is null", what);
    size = size_of(to);
    AN_CHECK(size >= least, "%s.size is %zu: less than %zu, was it initialised?", what,
             size, least);
    memcpy((char *)to + head, (const char *)from + head,
           (size < known ? size : known) - head);
    if (size > known) memset((char *)to + known, 0, size - known);
    return AN_OK;
}

/* Writes no more than the caller's compiler gave room for. */
void an__struct_init(void *to, size_t size, const void *defaults, size_t known)
{
    if (to == NULL || size < sizeof size) return;
    memset(to, 0, size);
    memcpy(to, defaults, size < known ? size : known);
    memcpy(to, &size, sizeof size);
}

int an__in_range(float value, float low, float high)
{
    return value >= low && value <= high; /* not for a NaN */
}
