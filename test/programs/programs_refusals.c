/*
 * programs_refusals.c - train's command line: limits of every option, what a checkpoint
 * decides, names that are none.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiny.h"

/* Every option that takes a number: its limits, and what is just beyond them. */
static const struct {
    const char *option, *low, *high, *below, *above;
    int whole;
} numbers[] = {
    {"--width", "0.02", "4", "0.0199", "4.01", 0},
    {"--image-size", "8", "1024", "7", "1025", 1},
    {"--init-factor", "0.001", "1000", "0.0009", "1001", 0},
    {"--groups", "1", "2", "0", "3", 1},
    {"--remove-conv", "2", "5", "1", "6", 1},
    {"--classes", "2", "65536", "1", "65537", 1},
    {"--batch", "1", "8192", "0", "8193", 1},
    {"--micro-batch", "1", "8192", "0", "8193", 1},
    {"--momentum", "0", "0.9999", "-0.1", "1", 0},
    {"--decay", "0", "1", "-0.1", "1.1", 0},
    {"--lr", "0", "1000", "-1e-9", "1000.1", 0},
    {"--drop-factor", "0.000001", "1", "0.0000009", "1.1", 0},
    {"--plateau", "1", "20", "0", "21", 1},
    {"--crop-group", "1", "8192", "0", "8193", 1},
    {"--colour", "0", "10", "-0.1", "10.1", 0},
    {"--colour-divisor", "0.1", "10", "0.09", "10.1", 0},
    {"--seed", "0", "1000000000000000", "-1", "1000000000000001", 1},
    {"--epochs", "1", "1000000", "0", "1000001", 1},
    {"--steps", "1", "1000000000", "0", "1000000001", 1},
    {"--until-error", "0", "1", "-0.1", "1.1", 0},
    {"--towers", "1", "2", "0", "3", 1},
    {"--threads", "0", "256", "-1", "257", 1},
    {"--workers", "1", "256", "0", "257", 1},
    {"--save-every", "1", "1000000", "0", "1000001", 1},
};

#define COUNT(table) (sizeof table / sizeof table[0])

static void refuses_value(const char *name, const char *value, const char *words)
{
    char wanted[128];

    snprintf(wanted, sizeof wanted, "train: %s %s: must be a %s", name, value, words);
    program_fails(2, wanted, "train %s '%s' --out no data", name, value);
}

/* Options are looked at from the left: what is within its limits is passed over, and the
 * nonsense at the end is found. */
START_TEST(numbers_are_taken_up_to_their_limits)
{
    char low[1024] = "", high[1024] = "";
    size_t i;

    for (i = 0; i < COUNT(numbers); i++) {
        size_t l = strlen(low), h = strlen(high);

        snprintf(low + l, sizeof low - l, "%s %s ", numbers[i].option, numbers[i].low);
        snprintf(high + h, sizeof high - h, "%s %s ", numbers[i].option, numbers[i].high);
    }
    program_fails(2, "--no-such: no such option", "train %s --no-such data", low);
    program_fails(2, "--no-such: no such option", "train %s --no-such data", high);
}
END_TEST

START_TEST(numbers_beyond_their_limits_are_refused)
{
    size_t i;

    for (i = 0; i < COUNT(numbers); i++) {
        const char *words = numbers[i].whole ? "whole number from " : "number from ";

        refuses_value(numbers[i].option, numbers[i].below, words);
        refuses_value(numbers[i].option, numbers[i].above, words);
        if (numbers[i].whole) refuses_value(numbers[i].option, "1.5", words);
    }
    ck_assert(!tiny_exists("no"));
}
END_TEST

/* What --resume's checkpoint decides, with a value that would do; the rest may differ
 * from go to go. */
static const char *const decided[] = {
    "--recipe paper",
    "--arch cifar10",
    "--width 1",
    "--image-size 16",
    "--init he",
    "--init-factor 1",
    "--activation relu",
    "--pooling plain",
    "--groups 1",
    "--no-lrn",
    "--no-dropout",
    "--remove-conv 2",
    "--extra-conv",
    "--classes 7",
    "--from run",
    "--input-scale unit",
    "--mean-image",
    "--batch 8",
    "--micro-batch 8",
    "--momentum 0.9",
    "--decay 0.1",
    "--lr 0.1",
    "--drop-at 1",
    "--drop-factor 0.1",
    "--plateau 1",
    "--freeze conv1",
    "--no-crop",
    "--no-mirror",
    "--crop-group 1",
    "--colour 0.1",
    "--colour-rule deviation",
    "--colour-divisor 1",
    "--seed 1",
};

START_TEST(what_a_checkpoint_decides_is_refused_beside_resume)
{
    char words[64];
    size_t i;

    program_succeeds(NULL, "train " TINY " --steps 1 --out run data");
    for (i = 0; i < COUNT(decided); i++) {
        snprintf(words, sizeof words, "train: %.*s: the checkpoint has its own",
                 (int)strcspn(decided[i], " "), decided[i]);
        program_fails(2, words, "train --resume run --out run %s data", decided[i]);
        program_fails(2, words, "train %s data --out run --resume run", decided[i]);
    }
    program_succeeds(NULL, "train --resume run --steps 2 --until-error 0 --val data/val "
                           "--no-evaluation --towers 1 --device cpu --precision fp32 "
                           "--threads 1 --workers 1 --save-every 1 --csv a --curves b "
                           "--out run data");
}
END_TEST

START_TEST(names_that_are_none_are_refused)
{
    static const char *const cases[][2] = {
        {"--init xavier", "train: --init xavier: must be one of those that --help lists"},
        {"--activation gelu", "--activation gelu: must be one of"},
        {"--pooling mean", "--pooling mean: must be one of"},
        {"--colour-rule none", "--colour-rule none: must be one of"},
        {"--input-scale half", "--input-scale half: must be raw or unit"},
        {"--arch vgg", "--arch: name is \"vgg\": the presets are paper, "},
        {"--precision fp16", "--precision fp16: must be fp32, tf32, bf16 or tf32x3"},
        {"--cpu-path sse", "--cpu-path sse: must be reference, avx2 or avx512"},
        {"--classes 6", "--classes 6: the pack has 7"},
    };
    size_t i;

    for (i = 0; i < COUNT(cases); i++)
        program_fails(2, cases[i][1], "train " TINY " %s --out no data", cases[i][0]);
    ck_assert(!tiny_exists("no"));
}
END_TEST

START_TEST(one_folder_is_wanted_and_a_new_file)
{
    program_fails(2, "train: one folder is wanted; train --help lists the options",
                  "train --out no");
    program_fails(2, "one folder is wanted", "train --out no data data");
    program_succeeds(NULL, "train data --steps 1 " TINY);
    program_fails(2, "--out alexnet.safetensors: is there already",
                  "train " TINY " --steps 1 data");
    program_fails(2, "--out data: is there already: go on with --resume, or remove it",
                  "train " TINY " --steps 1 --out data data");
}
END_TEST

/* All options, a line each, and nothing is done. */
START_TEST(help_lists_every_option)
{
    static const char *const texts[] = {
        "--steps",     "--until-error", "--val",      "--no-evaluation", "--towers",
        "--device",    "--precision",   "--cpu-path", "--threads",       "--workers",
        "--out",       "--save-every",  "--csv",      "--curves",        "--resume",
        "--keep-best", "--export",      "--epochs",   "--progress"};
    char *out, line[64];
    size_t i;

    program_succeeds(&out, "train --out no --help --batch nonsense");
    ck_assert_msg(strncmp(out, "usage: train [options] FOLDER", 29) == 0, "%s", out);
    for (i = 0; i < COUNT(texts); i++) {
        snprintf(line, sizeof line, "\n  %-16s ", texts[i]);
        expect_count(times_in(out, line), 1, "lines of %s", texts[i]);
    }
    for (i = 0; i < COUNT(decided); i++) {
        snprintf(line, sizeof line, "\n  %.*s ", (int)strcspn(decided[i], " "),
                 decided[i]);
        expect_count(times_in(out, line), 1, "lines of %s", decided[i]);
    }
    expect_count(times_in(out, "\n  --"), COUNT(texts) + COUNT(decided) + 2,
                 "options, --help and --version");
    free(out);
}
END_TEST

Suite *refusals_suite(void)
{
    Suite *suite = suite_create("refusals");
    TCase *tc = tiny_case(suite, "refusals");

    tcase_add_test(tc, numbers_are_taken_up_to_their_limits);
    tcase_add_test(tc, numbers_beyond_their_limits_are_refused);
    tcase_add_test(tc, what_a_checkpoint_decides_is_refused_beside_resume);
    tcase_add_test(tc, names_that_are_none_are_refused);
    tcase_add_test(tc, one_folder_is_wanted_and_a_new_file);
    tcase_add_test(tc, help_lists_every_option);
    return suite;
}
