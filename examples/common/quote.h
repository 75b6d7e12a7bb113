/*
 * quote.h - texts that nobody vouches for: for terminals, as CSV and as JSON.
 */
#ifndef QUOTE_H
#define QUOTE_H

#include <stdio.h>

/* As a terminal may have it: controls, escapes, marks of direction, what has no width and
 * what is no UTF-8 as \x1b or \u202e. The text is valid until the eighth next call. */
const char *shown(const char *text);

/* In quotes; those within it doubled. (RFC 4180) */
void quote_csv(FILE *to, const char *text);
/* In quotes; what JSON forbids within them escaped, and bytes that are no UTF-8 as the
 * replacement character. (RFC 8259) */
void quote_json(FILE *to, const char *text);

#endif
