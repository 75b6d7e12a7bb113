/*
 * options.c - command lines, and the two ways for a program to give up.
 */
#define _POSIX_C_SOURCE 200809L
#include "options.h"

#include <alexnet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quote.h"

static const char *program = "";

void usage_error(const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "%s: %s; %s --help lists the options\n", program, shown(text),
            program);
    exit(2);
}

void fail(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program, shown(what), an_error_message());
    exit(1);
}

void *allocate(size_t bytes)
{
    return reallocate(NULL, bytes);
}

void *reallocate(void *memory, size_t bytes)
{
    void *more = realloc(memory, bytes > 0 ? bytes : 1);

    if (more == NULL) {
        fprintf(stderr, "%s: no memory for %zu bytes\n", program, bytes);
        exit(1);
    }
    return more;
}

/* --- standard descriptors ---------------------------------------------------------- */

static void open_descriptors(void)
{
    int file;

    do file = open("/dev/null", O_RDWR);
    while (file >= 0 && file <= STDERR_FILENO);
    if (file >= 0) close(file);
}

/* A full disk behind standard output is seen no sooner than when all is written. */
static void check_output(void)
{
    int was_wrong = ferror(stdout);

    errno = 0;
    if (fflush(stdout) == 0 && !was_wrong) return;
    fprintf(stderr, "%s: standard output: %s\n", program,
            errno != 0 ? strerror(errno) : "could not be written");
    _exit(1);
}

/* --- parsing ----------------------------------------------------------------------- */

static void help(const option *table, const char *usage)
{
    printf("usage: %s %s\n\n", program, usage);
    for (; table->name != NULL; table++) printf("  %-16s %s\n", table->name, table->help);
    printf("\n  --help, -h       this\n  --version        the library's version\n");
    exit(0);
}

static void set_value(const option *o, const char *text)
{
    double value;
    char *end;

    if (o->kind == OPTION_TEXT) {
        *(const char **)o->value = text;
        return;
    }
    if (o->kind == OPTION_COLOUR) {
        if (strlen(text) != 6 || text[strspn(text, "0123456789abcdefABCDEF")] != '\0')
            usage_error("%s %s: must be six hexadecimal digits, RRGGBB", o->name, text);
        *(uint32_t *)o->value = (uint32_t)strtoul(text, NULL, 16);
        return;
    }
    errno = 0;
    value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 ||
        !(value >= o->low && value <= o->high) ||
        (o->kind == OPTION_NUMBER && value != (double)(unsigned long)value))
        usage_error("%s %s: must be a %s from %g to %g", o->name, text,
                    o->kind == OPTION_NUMBER ? "whole number" : "number", o->low,
                    o->high);
    if (o->kind == OPTION_NUMBER)
        *(unsigned long *)o->value = (unsigned long)value;
    else
        *(double *)o->value = value;
}

/* How many letters must be changed, added or taken to make one of the other; what does
 * not fit into the row is as far as can be. (Levenshtein's distance) */
static size_t distance(const char *a, size_t a_length, const char *b)
{
    size_t row[64], b_length = strlen(b), i, j;

    if (b_length >= sizeof row / sizeof row[0]) return a_length + b_length;
    for (j = 0; j <= b_length; j++) row[j] = j;
    for (i = 1; i <= a_length; i++) {
        size_t before = row[0], above;

        row[0] = i;
        for (j = 1; j <= b_length; j++) {
            size_t least = before + (a[i - 1] != b[j - 1]);

            above = row[j];
            if (above + 1 < least) least = above + 1;
            if (row[j - 1] + 1 < least) least = row[j - 1] + 1;
            before = above;
            row[j] = least;
        }
    }
    return row[b_length];
}

/* An option that is meant by a word with one dash, a letter or two that differ, or a
 * beginning that no other has; null: none is. */
static const char *nearest(const option *table, const char *word, size_t length)
{
    const char *begun = NULL, *near = NULL;
    size_t least = 3, begins = 0;

    for (; table->name != NULL; table++) {
        size_t far = distance(word, length, table->name);

        if (far < least && 3 * far <= length) {
            least = far;
            near = table->name;
        }
        if (length > 3 && strncmp(word, table->name, length) == 0) {
            begins++;
            begun = table->name;
        }
    }
    return begins == 1 ? begun : near;
}

/* The option that a word names, up to its end or to '='. */
static option *find(option *table, const char *word)
{
    size_t length = strcspn(word, "=");
    const option *all = table;
    const char *near;

    for (; table->name != NULL; table++)
        if (strlen(table->name) == length && strncmp(table->name, word, length) == 0)
            return table;
    near = nearest(all, word, length);
    if (near != NULL)
        usage_error("%.*s: no such option: did you mean %s?", (int)length, word, near);
    usage_error("%.*s: no such option", (int)length, word);
}

int options_parse(option *table, int argc, char **argv, const char *usage)
{
    int i, operands = 0, ended = 0;

    open_descriptors();
    atexit(check_output);
    program = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
    for (i = 1; i < argc; i++) {
        const char *value;
        option *o;

        if (ended || argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[++operands] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            ended = 1;
            continue;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            help(table, usage);
        if (strcmp(argv[i], "--version") == 0) {
            printf("%s (libalexnet) %s\n", program, an_version_string());
            exit(0);
        }
        o = find(table, argv[i]);
        o->given = 1;
        value = strchr(argv[i], '=');
        if (o->kind == OPTION_FLAG && value != NULL)
            usage_error("%s: takes no value", o->name);
        if (o->kind == OPTION_FLAG)
            *(int *)o->value = 1;
        else if (value != NULL)
            set_value(o, value + 1);
        else if (++i == argc)
            usage_error("%s: wants a value", o->name);
        else
            set_value(o, argv[i]);
    }
    return operands;
}

void option_print(const char *word)
{
    const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "_-./,:=+%@";

    if (*word != '\0' && word[strspn(word, plain)] == '\0') {
        fputs(word, stdout);
        return;
    }
    putchar('\'');
    for (; *word != '\0'; word++)
        if (*word == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*word);
    putchar('\'');
}

void option_print_given(const option *o)
{
    printf(" %s", o->name);
    if (o->kind == OPTION_NUMBER) printf(" %lu", *(const unsigned long *)o->value);
    if (o->kind == OPTION_REAL) printf(" %.9g", *(const double *)o->value);
    if (o->kind == OPTION_COLOUR) printf(" %06x", (unsigned)*(const uint32_t *)o->value);
    if (o->kind != OPTION_TEXT) return;
    putchar(' ');
    option_print(*(const char *const *)o->value);
}

int option_given(const option *table, const char *name)
{
    while (table->name != NULL && strcmp(table->name, name) != 0) table++;
    return table->name != NULL && table->given;
}
