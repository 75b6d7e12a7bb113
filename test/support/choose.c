/*
 * choose.c - one test by its name.
 */
#include "choose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int listing;

static const char *suite_now; /* the one that tests are added to */
static struct {
    const char *test, *suite;
} known[4096];
static size_t known_count;

Suite *note_suite(Suite *suite, const char *name)
{
    suite_now = name;
    return suite;
}

const char *suite_of_test(const char *name)
{
    size_t i = 0;

    while (i < known_count && strcmp(known[i].test, name) != 0) i++;
    return i < known_count ? known[i].suite : "";
}

void test_list(void)
{
    listing = 1;
}

int test_wanted(const char *name, int *first, int *end)
{
    const char *only = getenv("AN_TEST"), *colon;
    size_t length = strlen(name);
    int index;

    if (known_count < sizeof known / sizeof known[0]) {
        known[known_count].test = name;
        known[known_count++].suite = suite_now;
    }
    if (listing) printf("%s\n", name);
    if (listing || only == NULL) return !listing;
    if (strncmp(only, name, length) != 0) return 0;
    colon = only + length;
    if (*colon != ':') return *colon == '\0';
    index = atoi(colon + 1);
    if (index < *first || index >= *end) return 0;
    *first = index;
    *end = index + 1;
    return 1;
}
