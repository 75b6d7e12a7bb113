/*
 * shortage.h - malloc() and its kin fail on request, for whoever calls them: the library,
 * the C library, OpenBLAS, the host's allocator. Not in sanitized builds, whose own they
 * are.
 */
#ifndef AN_TEST_SHORTAGE_H
#define AN_TEST_SHORTAGE_H

/* Whether they can. */
int shortage_works(void);
/* From now on the calls of all threads are counted from 1; the first .. last of them
 * fail. */
void shortage_begin(long first, long last);
/* How many there were. */
long shortage_end(void);

#endif
