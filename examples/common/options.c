/*
 * options.c - command lines, and the two ways for a program to give up.
 */
#include "options.h"

#include <alexnet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *program = "";

void usage_error(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", program);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; %s --help lists the options\n", program);
    exit(2);
}

void fail(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program, what, an_error_message());
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

static void help(const option *table, const char *usage)
{
    printf("usage: %s %s\n\n", program, usage);
    for (; table->name != NULL; table++) printf("  %-16s %s\n", table->name, table->help);
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

int options_parse(option *table, int argc, char **argv, const char *usage)
{
    int i, operands = 0;

    program = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
    for (i = 1; i < argc; i++) {
        option *o = table;

        if (strcmp(argv[i], "--help") == 0) help(table, usage);
        if (strncmp(argv[i], "--", 2) != 0) {
            argv[++operands] = argv[i];
            continue;
        }
        while (o->name != NULL && strcmp(o->name, argv[i]) != 0) o++;
        if (o->name == NULL) usage_error("%s: no such option", argv[i]);
        o->given = 1;
        if (o->kind == OPTION_FLAG)
            *(int *)o->value = 1;
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
    if (o->kind != OPTION_TEXT) return;
    putchar(' ');
    option_print(*(const char *const *)o->value);
}

int option_given(const option *table, const char *name)
{
    while (table->name != NULL && strcmp(table->name, name) != 0) table++;
    return table->name != NULL && table->given;
}
