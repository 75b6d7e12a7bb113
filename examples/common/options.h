/*
 * options.h - command lines: "--name value" or "--name=value" options of a table, the
 * rest, and all behind "--", are operands.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stddef.h>

typedef enum option_kind {
    OPTION_FLAG,   /* int *: set to 1; takes no value */
    OPTION_NUMBER, /* unsigned long *, of low to high */
    OPTION_REAL,   /* double *, of low to high */
    OPTION_COLOUR, /* uint32_t *, of six hexadecimal digits, RRGGBB */
    OPTION_TEXT    /* const char ** */
} option_kind;

typedef struct option {
    const char *name; /* "--epochs"; a null name ends the table */
    option_kind kind;
    void *value;
    double low, high;
    const char *help;
    int given; /* set by options_parse() */
} option;

/* Rows of a table, which OPTIONS_END ends. */
#define FLAG_OPTION(name, value, help)                                                   \
    {                                                                                    \
        name, OPTION_FLAG, value, 0, 0, help, 0                                          \
    }
#define TEXT_OPTION(name, value, help)                                                   \
    {                                                                                    \
        name, OPTION_TEXT, value, 0, 0, help, 0                                          \
    }
#define COLOUR_OPTION(name, value, help)                                                 \
    {                                                                                    \
        name, OPTION_COLOUR, value, 0, 0, help, 0                                        \
    }
#define NUMBER_OPTION(name, value, low, high, help)                                      \
    {                                                                                    \
        name, OPTION_NUMBER, value, low, high, help, 0                                   \
    }
#define REAL_OPTION(name, value, low, high, help)                                        \
    {                                                                                    \
        name, OPTION_REAL, value, low, high, help, 0                                     \
    }
#define OPTIONS_END                                                                      \
    {                                                                                    \
        NULL, OPTION_FLAG, NULL, 0, 0, NULL, 0                                           \
    }

/* Moves the operands to the front of argv, from argv[1], and returns how many there are.
 * --help and -h print `usage` and the table, --version the library's version, and exit
 * with 0; anything wrong says so on stderr and exits with 2. A descriptor of the first
 * three that was closed is /dev/null from then on, so that no file gets its number; and a
 * standard output that could not be written ends the program with 1 at last. */
int options_parse(option *table, int argc, char **argv, const char *usage);

int option_given(const option *table, const char *name);

/* A word as a shell takes it, in quotes where it needs them. */
void option_print(const char *word);
/* " --name value", likewise. */
void option_print_given(const option *o);

/* Says on stderr what is wrong and how to get help; exits with 2. */
void usage_error(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Prints the library's message for a call that failed, after `what`; exits with 1. */
void fail(const char *what) __attribute__((noreturn));

/* malloc() and realloc() that do not return null: the program ends instead. */
void *allocate(size_t bytes);
void *reallocate(void *memory, size_t bytes);

#endif
