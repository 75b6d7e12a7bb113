/*
 * programs_limits.c - the options of every program but train: each is known by its name,
 * takes what it should take and nothing else, and is in --help.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixtures.h"

/* low, least: a step below it is refused; text and flags have neither. */
typedef struct limit {
    const char *program, *option;
    char kind; /* n a whole number, r a number, t a text, c a colour, f a flag */
    const char *low, *high, *below, *above, *range;
} limit;

#define DEVICES(program)                                                                 \
    {program, "--device", 't', 0, 0, 0, 0, 0},                                           \
        {program, "--precision", 't', 0, 0, 0, 0, 0},                                    \
    {                                                                                    \
        program, "--cpu-path", 't', 0, 0, 0, 0, 0                                        \
    }
#define PICTURES(program)                                                                \
    {program, "--max-megapixels", 'n', "1", "4096", "0", "4097", "1 to 4096"},           \
        {program, "--background", 'c', 0, 0, 0, 0, 0},                                   \
    {                                                                                    \
        program, "--as-stored", 'f', 0, 0, 0, 0, 0                                       \
    }
#define THREADS(program)                                                                 \
    {                                                                                    \
        program, "--threads", 'n', "0", "256", "-1", "257", "0 to 256"                   \
    }

static const limit limits[] = {
    {"prepare", "--side", 'n', "8", "2048", "7", "2049", "8 to 2048"},
    {"prepare", "--warp", 'f', 0, 0, 0, 0, 0},
    {"prepare", "--kind", 't', 0, 0, 0, 0, 0},
    {"prepare", "--quality", 'n', "1", "100", "0", "101", "1 to 100"},
    {"prepare", "--val-split", 'r', "0", "0.5", "-0.01", "0.51", "0 to 0.5"},
    {"prepare", "--per-class", 'n', "1", "1000000000", "0", "1000000001", "1 to 1e+09"},
    {"prepare", "--list", 't', 0, 0, 0, 0, 0},
    {"prepare", "--like", 't', 0, 0, 0, 0, 0},
    PICTURES("prepare"),
    {"prepare", "--part-mb", 'n', "1", "500000", "0", "500001", "1 to 500000"},
    THREADS("prepare"),
    {"prepare", "--progress", 'f', 0, 0, 0, 0, 0},
    {"evaluate", "--views", 'n', "1", "10", "0", "11", "1 to 10"},
    {"evaluate", "--confusion", 't', 0, 0, 0, 0, 0},
    {"evaluate", "--format", 't', 0, 0, 0, 0, 0},
    THREADS("evaluate"),
    DEVICES("evaluate"),
    {"evaluate", "--progress", 'f', 0, 0, 0, 0, 0},
    {"classify", "--top", 'n', "1", "20", "0", "21", "1 to 20"},
    {"classify", "--views", 'n', "1", "10", "0", "11", "1 to 10"},
    {"classify", "--format", 't', 0, 0, 0, 0, 0},
    {"classify", "-0", 'f', 0, 0, 0, 0, 0},
    PICTURES("classify"),
    {"classify", "--sheet", 't', 0, 0, 0, 0, 0},
    THREADS("classify"),
    DEVICES("classify"),
    {"similar", "--layer", 't', 0, 0, 0, 0, 0},
    {"similar", "--nearest", 'n', "1", "50", "0", "51", "1 to 50"},
    PICTURES("similar"),
    DEVICES("similar"),
    {"similar", "--progress", 'f', 0, 0, 0, 0, 0},
    {"filters", "--scale", 'n', "1", "32", "0", "33", "1 to 32"},
    {"filters", "--columns", 'n', "1", "256", "0", "257", "1 to 256"},
    {"plot", "--title", 't', 0, 0, 0, 0, 0},
    {"plot", "--columns", 't', 0, 0, 0, 0, 0},
    {"plot", "--errors", 'f', 0, 0, 0, 0, 0},
    {"plot", "--each", 'f', 0, 0, 0, 0, 0},
    {"plot", "--mark", 't', 0, 0, 0, 0, 0},
    {"info", "--arch", 't', 0, 0, 0, 0, 0},
    {"info", "--classes", 'n', "2", "65536", "1", "65537", "2 to 65536"},
    {"info", "--image-size", 'n', "1", "1024", "0", "1025", "1 to 1024"},
    {"info", "--width", 'r', "0.02", "4", "0.019", "4.01", "0.02 to 4"},
    {"info", "--towers", 'n', "1", "2", "0", "3", "1 to 2"},
    DEVICES("info"),
    {"info", "--groups", 'n', "1", "2", "0", "3", "1 to 2"},
    {"info", "--no-lrn", 'f', 0, 0, 0, 0, 0},
    {"info", "--remove-conv", 'n', "2", "5", "1", "6", "2 to 5"},
    {"info", "--extra-conv", 'f', 0, 0, 0, 0, 0},
    {"info", "--archs", 'f', 0, 0, 0, 0, 0},
    {"info", "--devices", 'f', 0, 0, 0, 0, 0},
    {"info", "--recipes", 'f', 0, 0, 0, 0, 0},
    {"info", "--format", 't', 0, 0, 0, 0, 0},
    {"shapes", "--out", 't', 0, 0, 0, 0, 0},
    {"shapes", "--per-class", 'n', "1", "99999", "0", "100000", "1 to 99999"},
    {"shapes", "--unseen", 'n', "0", "99", "-1", "100", "0 to 99"},
    {"shapes", "--size", 'n', "16", "2048", "15", "2049", "16 to 2048"},
    {"shapes", "--seed", 'n', "0", "1000000000", "-1", "1000000001", "0 to 1e+09"},
    {"bench", "--arch", 't', 0, 0, 0, 0, 0},
    {"bench", "--width", 'r', "0.02", "4", "0.019", "4.01", "0.02 to 4"},
    {"bench", "--towers", 'n', "1", "2", "0", "3", "1 to 2"},
    DEVICES("bench"),
    {"bench", "--batch", 't', 0, 0, 0, 0, 0},
    THREADS("bench"),
    {"bench", "--runs", 'n', "1", "1000", "0", "1001", "1 to 1000"},
    {"bench", "--train", 'f', 0, 0, 0, 0, 0},
    {"bench", "--forward", 'f', 0, 0, 0, 0, 0},
    {"bench", "--loader", 't', 0, 0, 0, 0, 0},
    {"bench", "--pipeline", 't', 0, 0, 0, 0, 0},
    {"bench", "--workers", 'n', "0", "256", "-1", "257", "0 to 256"},
    {"bench", "--seconds", 'r', "0.01", "600", "0.009", "601", "0.01 to 600"},
    {"bench", "--layers", 'f', 0, 0, 0, 0, 0}};

enum { LIMITS = sizeof limits / sizeof limits[0] };

/* Whatever stands before it is taken: the option behind is what there is not. */
#define TAKEN "--no-such-option: no such option"

static void expect_number_refused(const limit *l, const char *value)
{
    char words[160];

    snprintf(words, sizeof words, "%s: %s %s: must be a %s from %s; %s --help lists",
             l->program, l->option, value, l->kind == 'n' ? "whole number" : "number",
             l->range, l->program);
    program_fails(2, words, "%s %s '%s' --no-such-option", l->program, l->option, value);
}

START_TEST(options_take_their_limits_and_nothing_beyond)
{
    size_t i;

    for (i = 0; i < LIMITS; i++) {
        const limit *l = &limits[i];

        if (l->kind == 'f') {
            program_fails(2, TAKEN, "%s %s --no-such-option", l->program, l->option);
            continue;
        }
        if (l->kind == 'c') {
            program_fails(2, TAKEN, "%s %s 0fF930 --no-such-option", l->program,
                          l->option);
            program_fails(2, "must be six hexadecimal digits", "%s %s 12345g", l->program,
                          l->option);
            program_fails(2, "must be six hexadecimal digits", "%s %s 1234567",
                          l->program, l->option);
            continue;
        }
        if (l->kind == 't') {
            program_fails(2, TAKEN, "%s %s --text --no-such-option", l->program,
                          l->option);
            continue;
        }
        program_fails(2, TAKEN, "%s %s %s %s %s --no-such-option", l->program, l->option,
                      l->low, l->option, l->high);
        expect_number_refused(l, l->below);
        expect_number_refused(l, l->above);
    }
}
END_TEST

/* The first of each kind stands for all of it. */
START_TEST(what_is_no_number_is_refused)
{
    static const char *const words[] = {"", "x", "9x", " ", "nan", "inf", "1e999"};
    const limit *whole = &limits[0], *real = &limits[4];
    size_t i;

    for (i = 0; i < sizeof words / sizeof words[0]; i++) {
        expect_number_refused(whole, words[i]);
        expect_number_refused(real, words[i]);
    }
    expect_number_refused(whole, "8.5");
    program_fails(2, TAKEN, "prepare --side 9.0 --val-split 1e-1 --no-such-option");
    program_fails(2, "prepare: --side: wants a value", "prepare in --side");
    program_fails(2, "--list: wants a value", "prepare in out --list");
    program_fails(2, "a folder of pictures and one for the pack", "prepare -- --side");
    program_fails(2, TAKEN, "prepare --side=9 --no-such-option");
}
END_TEST

/* A usage, an empty line, a line for each option in the table's order, and what all
 * have. */
START_TEST(help_lists_the_options)
{
    static const char *const usages[][2] = {
        {"prepare", "[options] FOLDER OUT"},
        {"evaluate", "[options] PACK MODEL..."},
        {"classify", "[options] MODEL PICTURE|FOLDER|-..."},
        {"similar", "[options] index MODEL PACK INDEX | query INDEX MODEL PACK OUT.png "
                    "PICTURE... | score INDEX PACK"},
        {"filters", "[options] MODEL OUT.png"},
        {"plot", "[options] OUT.png LABEL=FILE.csv..."},
        {"info", "[options] [MODEL]"},
        {"shapes", "[options]"},
        {"bench", "[options]"}};
    size_t i, k;

    for (i = 0; i < sizeof usages / sizeof usages[0]; i++) {
        size_t count = 0;
        const char *at;
        char *out;

        program_succeeds(&out, "%s --help", usages[i][0]);
        expect_line(out, "usage: %s %s", usages[i][0], usages[i][1]);
        for (at = out, k = 0; k < LIMITS; k++) {
            char begin[32];

            if (strcmp(limits[k].program, usages[i][0]) != 0) continue;
            snprintf(begin, sizeof begin, "\n  %-16s ", limits[k].option);
            at = strstr(at, begin);
            ck_assert_msg(at != NULL && strcspn(at + strlen(begin), "\n") > 2,
                          "%s --help: wanted %s, which says what it is, in \"%s\"",
                          usages[i][0], limits[k].option, out);
            count++;
        }
        expect_count(lines_of(out), count + 5, "%s --help: lines", usages[i][0]);
        free(out);
    }
}
END_TEST

Suite *limits_suite(void)
{
    Suite *suite = suite_create("limits");
    TCase *tc = tcase_create("limits");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, options_take_their_limits_and_nothing_beyond);
    tcase_add_test(tc, what_is_no_number_is_refused);
    tcase_add_test(tc, help_lists_the_options);
    suite_add_tcase(suite, tc);
    return suite;
}
