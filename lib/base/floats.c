/*
 * floats.c - the floating-point environment of a call: the default one, whatever the
 * host's thread has, which it gets back with the flags that were set in it.
 *
 * A host may round in another direction, or have a signal raised by what our arithmetic
 * does rightly, as comparing a NaN. Neither reaches the library: its bits do not depend
 * on the thread that calls, and it raises nothing.
 */
#include "base/base.h"

an_floats an__floats_enter(void)
{
    an_floats host;

    fegetenv(&host.was);
    fesetenv(FE_DFL_ENV);
    return host;
}

void an__floats_leave(const an_floats *host)
{
    fesetenv(&host->was);
}
