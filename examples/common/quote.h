/*
 * quote.h - texts as CSV and JSON want them.
 */
#ifndef QUOTE_H
#define QUOTE_H

#include <stdio.h>

/* In quotes; those within it doubled. (RFC 4180) */
void quote_csv(FILE *to, const char *text);
/* In quotes; what JSON forbids within them escaped, and bytes that are no UTF-8 as the
 * replacement character. (RFC 8259) */
void quote_json(FILE *to, const char *text);

#endif
