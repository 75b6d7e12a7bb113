/*
 * choose.c - one test by its name.
 */
#include "choose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int listing;

void test_list(void)
{
    listing = 1;
}

int test_wanted(const char *name)
{
    const char *only = getenv("AN_TEST");

    if (listing) printf("%s\n", name);
    return !listing && (only == NULL || strcmp(only, name) == 0);
}
