/*
 * programs_options.c - what the programs share: command lines and how they give up, the
 * line that says how far, signals.
 */
#define _XOPEN_SOURCE 700
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/options.h"
#include "common/progress.h"
#include "tiny.h"

/* --- command lines ----------------------------------------------------------------- */

static struct {
    int flag, other;
    unsigned long number, more;
    double real;
    const char *text, *free_text;
} values;

static option table[] = {
    FLAG_OPTION("--flag", &values.flag, "a flag"),
    FLAG_OPTION("--other", &values.other, "another"),
    NUMBER_OPTION("--number", &values.number, 2, 1e15, "a number"),
    NUMBER_OPTION("--more", &values.more, 0, 10, "one more"),
    REAL_OPTION("--real", &values.real, -2.5, 2.5, "a real number"),
    TEXT_OPTION("--text", &values.text, "a text"),
    TEXT_OPTION("--free", &values.free_text, "a text that is not given"),
    OPTIONS_END};

START_TEST(options_and_operands_stand_in_any_order)
{
    char *argv[] = {"/bin/some/program",
                    "one",
                    "--number",
                    "1e3",
                    "--flag",
                    "two",
                    "--text",
                    "--x",
                    "-",
                    "--real",
                    "-2.5",
                    "three",
                    "--number",
                    "7",
                    NULL};

    memset(&values, 0, sizeof values);
    expect_count(options_parse(table, 14, argv, "usage"), 4, "operands");
    expect_text(argv[0], "/bin/some/program", "the program");
    expect_text(argv[1], "one", "operand 1");
    expect_text(argv[2], "two", "operand 2");
    expect_text(argv[3], "-", "operand 3");
    expect_text(argv[4], "three", "operand 4");
    expect_count(values.flag, 1, "--flag");
    expect_count(values.other, 0, "--other");
    expect_count(values.number, 7, "the last --number");
    expect_count(values.more, 0, "--more");
    expect_number(values.real, -2.5, 0, "--real");
    expect_text(values.text, "--x", "--text takes what follows");
    ck_assert_ptr_null(values.free_text);
    ck_assert(option_given(table, "--flag"));
    ck_assert(option_given(table, "--number"));
    ck_assert(option_given(table, "--real"));
    ck_assert(option_given(table, "--text"));
    ck_assert(!option_given(table, "--other"));
    ck_assert(!option_given(table, "--more"));
    ck_assert(!option_given(table, "--free"));
    ck_assert(!option_given(table, "--unknown"));
}
END_TEST

static void parse(void *argument)
{
    char *argv[] = {"/bin/program", NULL, NULL, NULL}, **words = argument;
    int argc = 1;

    for (; words[argc - 1] != NULL; argc++) argv[argc] = words[argc - 1];
    options_parse(table, argc, argv, "[options] WORD");
    printf("%lu %.17g\n", values.number, values.real);
}

static void expect_parse(const char *first, const char *second, int code,
                         const char *words)
{
    char one[64], two[64], *argv[] = {one, two, NULL};
    said s;

    snprintf(one, sizeof one, "%s", first);
    if (second == NULL)
        argv[1] = NULL;
    else
        snprintf(two, sizeof two, "%s", second);
    s = in_child(parse, argv);
    ck_assert_msg(s.code == code && strcmp(code == 0 ? s.out : s.err, words) == 0,
                  "%s %s: wanted %d and \"%s\", got %d, \"%s\" and \"%s\"", first,
                  second == NULL ? "" : second, code, words, s.code, s.out, s.err);
    said_free(&s);
}

#define LISTS "; program --help lists the options\n"
#define WHOLE ": must be a whole number from 2 to 1e+15" LISTS
#define REAL ": must be a number from -2.5 to 2.5" LISTS

START_TEST(values_are_checked_and_refused_by_name)
{
    expect_parse("--number", "2", 0, "2 0\n");
    expect_parse("--number", "1e15", 0, "1000000000000000 0\n");
    expect_parse("--number", "1", 2, "program: --number 1" WHOLE);
    expect_parse("--number", "1000000000000001", 2,
                 "program: --number 1000000000000001" WHOLE);
    expect_parse("--number", "2.5", 2, "program: --number 2.5" WHOLE);
    expect_parse("--number", "5x", 2, "program: --number 5x" WHOLE);
    expect_parse("--number", "", 2, "program: --number " WHOLE);
    expect_parse("--number", "nan", 2, "program: --number nan" WHOLE);
    expect_parse("--real", "2.5", 0, "0 2.5\n");
    expect_parse("--real", "-2.5", 0, "0 -2.5\n");
    expect_parse("--real", "2.6", 2, "program: --real 2.6" REAL);
    expect_parse("--real", "-2.6", 2, "program: --real -2.6" REAL);
    expect_parse("--real", "nan", 2, "program: --real nan" REAL);
    expect_parse("--real", "inf", 2, "program: --real inf" REAL);
    expect_parse("--real", "1e-999", 2, "program: --real 1e-999" REAL);
    expect_parse("--real", "one", 2, "program: --real one" REAL);
    expect_parse("--real", NULL, 2, "program: --real: wants a value" LISTS);
    expect_parse("--text", NULL, 2, "program: --text: wants a value" LISTS);
    expect_parse("--rea", "1", 2,
                 "program: --rea: no such option: did you mean --real?" LISTS);
    expect_parse("-number", "1", 2,
                 "program: -number: no such option: did you mean --number?" LISTS);
    expect_parse("--numbre=7", NULL, 2,
                 "program: --numbre: no such option: did you mean --number?" LISTS);
    expect_parse("--fr", NULL, 2,
                 "program: --fr: no such option: did you mean --free?" LISTS);
    expect_parse("--q", NULL, 2, "program: --q: no such option" LISTS);
    expect_parse("--nothing-like-it", NULL, 2,
                 "program: --nothing-like-it: no such option" LISTS);
    expect_parse("-x", NULL, 2, "program: -x: no such option" LISTS);
    expect_parse("--number=5", NULL, 0, "5 0\n");
    expect_parse("--real=", NULL, 2, "program: --real " REAL);
    expect_parse("--flag=1", NULL, 2, "program: --flag: takes no value" LISTS);
    expect_parse("--numbe=5", NULL, 2,
                 "program: --numbe: no such option: did you mean --number?" LISTS);
    expect_parse("--", "--number", 0, "0 0\n");
}
END_TEST

#define HELP                                                                             \
    "usage: program [options] WORD\n\n"                                                  \
    "  --flag           a flag\n"                                                        \
    "  --other          another\n"                                                       \
    "  --number         a number\n"                                                      \
    "  --more           one more\n"                                                      \
    "  --real           a real number\n"                                                 \
    "  --text           a text\n"                                                        \
    "  --free           a text that is not given\n\n"                                    \
    "  --help, -h       this\n"                                                          \
    "  --version        the library's version\n"

START_TEST(help_prints_the_table)
{
    char version[64];

    expect_parse("word", "--help", 0, HELP);
    expect_parse("-h", NULL, 0, HELP);
    snprintf(version, sizeof version, "program (libalexnet) %s\n", an_version_string());
    expect_parse("--version", NULL, 0, version);
}
END_TEST

/* --- standard descriptors ---------------------------------------------------------- */

static void open_after_parsing(void *argument)
{
    char *argv[] = {"program", NULL};
    const int *closed = argument;
    int i;

    for (i = 0; closed[i] >= 0; i++) close(closed[i]);
    options_parse(table, 1, argv, "");
    exit(open("/dev/null", O_RDONLY) > STDERR_FILENO ? 7 : 1);
}

/* So that nothing that is printed gets into a file. */
START_TEST(no_file_gets_a_standard_descriptor)
{
    static const int closed[][4] = {{0, -1}, {1, -1}, {2, -1}, {0, 1, -1}, {0, 1, 2, -1}};
    size_t i;

    for (i = 0; i < sizeof closed / sizeof closed[0]; i++) {
        int copy[4];
        said s;

        memcpy(copy, closed[i], sizeof copy);
        s = in_child(open_after_parsing, copy);
        expect_count(s.code, 7, "case %zu", i);
        said_free(&s);
    }
}
END_TEST

static void print_to_a_full_disk(void *argument)
{
    char *argv[] = {"program", NULL};

    (void)argument;
    ck_assert_ptr_nonnull(freopen("/dev/full", "w", stdout));
    options_parse(table, 1, argv, "");
    puts("what nobody will read");
    exit(0);
}

START_TEST(output_that_could_not_be_written_is_an_error)
{
    said s = in_child(print_to_a_full_disk, NULL);

    expect_count(s.code, 1, "the status");
    expect_text(s.err, "program: standard output: No space left on device\n",
                "what is said");
    said_free(&s);
}
END_TEST

static void give_up(void *argument)
{
    char *argv[] = {"program", NULL};

    options_parse(table, 1, argv, "");
    ck_assert_int_ne(an_pack_open(NULL, NULL, NULL, NULL, NULL), AN_OK);
    (fail)(argument); /* Check has a macro of that name */
}

START_TEST(a_failure_of_the_library_is_told_in_its_words)
{
    char what[] = "some file", wanted[600];
    said s = in_child(give_up, what);

    ck_assert_int_ne(an_pack_open(NULL, NULL, NULL, NULL, NULL), AN_OK);
    snprintf(wanted, sizeof wanted, "program: some file: %s\n", an_error_message());
    expect_count(s.code, 1, "exit status");
    expect_text(s.err, wanted, "fail()");
    said_free(&s);
}
END_TEST

static void too_much(void *argument)
{
    (void)argument;
    free(allocate(0));
    printf("taken\n");
    fflush(stdout);
    allocate((size_t)-1 / 2);
}

START_TEST(memory_that_is_not_there_ends_the_program)
{
    said s = in_child(too_much, NULL);

    expect_count(s.code, 1, "exit status");
    expect_text(s.out, "taken\n", "no bytes");
    ck_assert_msg(strstr(s.err, ": no memory for ") != NULL, "%s", s.err);
    said_free(&s);
}
END_TEST

/* --- commands that a shell takes --------------------------------------------------- */

static void print_words(void *argument)
{
    const char *const *words = argument;

    for (; *words != NULL; words++) {
        option_print(*words);
        putchar('\n');
    }
}

/* Quotes only where they are needed; and a shell makes the same words of them. */
START_TEST(words_are_quoted_as_a_shell_wants_it)
{
    static const char *const words[] = {"plain-word_1.0/x,y:z=+%@",
                                        "",
                                        "two words",
                                        "it's",
                                        "$HOME",
                                        "a*b",
                                        "'",
                                        "~x",
                                        "\"",
                                        NULL};
    static const char *const wanted =
        "plain-word_1.0/x,y:z=+%@\n''\n'two words'\n'it'\\''s'\n'$HOME'\n'a*b'\n"
        "''\\'''\n'~x'\n'\"'\n";
    char *command;
    size_t i;
    said s = in_child(print_words, (void *)(uintptr_t)words);

    expect_text(s.out, wanted, "words");
    for (i = 0; s.out[i] != '\0'; i++)
        if (s.out[i] == '\n') s.out[i] = ' ';
    command = malloc(strlen(s.out) + 512);
    sprintf(command, "cd %s && printf '<%%s>' %s >printed", programs_folder(), s.out);
    ck_assert_int_eq(system(command), 0);
    free(command);
    said_free(&s);
    s.out = file_read("printed", NULL);
    expect_text(s.out,
                "<plain-word_1.0/x,y:z=+%@><><two words><it's><$HOME><a*b><'><~x><\">",
                "what the shell made of them");
    free(s.out);
}
END_TEST

static void print_given(void *argument)
{
    const option *o = argument;

    for (; o->name != NULL; o++) option_print_given(o);
}

START_TEST(options_are_printed_with_their_values)
{
    said s;

    values.number = 123456789012345;
    values.more = 0;
    values.real = 0.123456789;
    values.text = "a b";
    values.free_text = "c";
    s = in_child(print_given, table);
    expect_text(s.out,
                " --flag --other --number 123456789012345 --more 0 --real 0.123456789 "
                "--text 'a b' --free c",
                "options");
    said_free(&s);
}
END_TEST

/* --- progress ---------------------------------------------------------------------- */

static void show(void *argument)
{
    progress *p = argument;

    progress_show(p, "step 3", 7400);
    progress_show(p, "step 4", 7400);
    progress_clear(p);
}

/* 100 things in 50 seconds: two a second, 3700 seconds for 7400 more. */
static said shown(int tty, double last)
{
    double now = seconds_now();
    progress p = {now - 50, now - last, 100, tty};

    return in_child(show, &p);
}

static void expect_shown(int tty, int lines, double last, const char *words)
{
    said s;

    progress_lines = lines;
    s = shown(tty, last);
    progress_lines = 0;
    ck_assert_msg(strcmp(s.err, words) == 0, "%d %d %g: got \"%s\"", tty, lines, last,
                  s.err);
    expect_text(s.out, "", "standard output is for what was asked");
    said_free(&s);
}

START_TEST(progress_is_a_line_on_a_terminal_and_elsewhere_if_it_is_wanted)
{
    expect_shown(0, 0, 10.5, "");
    expect_shown(0, 1, 10.5, "step 3  2.0 images/s  1:01:40 left\n");
    expect_shown(0, 1, 9, "");
    expect_shown(1, 0, 0.3, "\rstep 3  2.0 images/s  1:01:40 left\033[K\r\033[K");
    expect_shown(1, 0, 0.1, "\r\033[K");
}
END_TEST

static void start_progress(void *argument)
{
    double before = seconds_now();
    progress p = progress_start();

    (void)argument;
    printf("%d %d %d %g\n", p.tty, p.started >= before && p.started <= seconds_now(),
           p.shown == p.started, p.done);
    p.shown -= 10.5; /* nothing is done yet: no rate, and no guess */
    p.done = 0;
    progress_lines = 1;
    progress_show(&p, "begun", 1000);
}

/* Elsewhere than on a terminal nothing is shown for the first ten seconds. */
START_TEST(progress_begins_now)
{
    said s = in_child(start_progress, NULL);

    expect_text(s.out, "0 1 1 0\n", "no terminal");
    expect_text(s.err, "begun  0.0 images/s  0:00:00 left\n", "no terminal");
    said_free(&s);
}
END_TEST

/* --- train on a terminal ----------------------------------------------------------- */

/* Runs train with its words going to a terminal; they are the caller's to free. */
static char *on_terminal(const char *kind, const char *arguments)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
    char *text = malloc(65536), command[1024];
    size_t count = 0;
    ssize_t got;

    ck_assert_int_ge(master, 0);
    ck_assert_int_eq(grantpt(master), 0);
    ck_assert_int_eq(unlockpt(master), 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    ck_assert(slave >= 0);
    snprintf(command, sizeof command, "cd %s && TERM=%s %s/train %s >%s 2>&1",
             programs_folder(), kind, getenv("AN_PROGRAMS"), arguments, ptsname(master));
    ck_assert_int_eq(system(command), 0);
    ck_assert(fcntl(master, F_SETFL, O_NONBLOCK) == 0);
    while ((got = read(master, text + count, 65535 - count)) > 0) count += (size_t)got;
    text[count] = '\0';
    close(slave);
    close(master);
    return text;
}

typedef struct shown_line {
    unsigned epoch, epochs, step, steps;
    double loss, speed, left; /* left: seconds */
} shown_line;

/* The last line of progress; returns how many there are. */
static size_t read_last(const char *text, shown_line *line)
{
    const char *at = NULL, *next = text;
    unsigned hours, minutes, seconds;
    size_t lines = 0;
    int end = 0;

    while ((next = strstr(next, "\repoch ")) != NULL) {
        at = next++;
        lines++;
    }
    ck_assert_msg(lines > 0, "no line of progress in: %s", text);
    ck_assert_msg(sscanf(at,
                         "\repoch %u/%u  step %u/%u  loss %lf  %lf images/s  "
                         "%u:%u:%u left\033[K%n",
                         &line->epoch, &line->epochs, &line->step, &line->steps,
                         &line->loss, &line->speed, &hours, &minutes, &seconds,
                         &end) == 9 &&
                      end > 0,
                  "not understood: %s", at);
    line->left = 3600 * hours + 60 * minutes + seconds;
    return lines;
}

/* The same, after a run of so many epochs or steps that there is more than one line.
 * *wall gets the seconds that it took. */
static size_t show_some(const char *format, unsigned most, const char *end,
                        shown_line *line, double *wall)
{
    char arguments[256], words[64], *text;
    size_t lines;

    for (;; most *= 2) {
        double before = seconds_now();

        snprintf(arguments, sizeof arguments, format, most);
        remove(tiny_path("run"));
        text = on_terminal("xterm", arguments);
        *wall = seconds_now() - before;
        lines = read_last(text, line);
        snprintf(words, sizeof words, end, most);
        ck_assert_msg(strstr(text, words) != NULL, "the line was not cleared: %s", text);
        free(text);
        if (lines > 1) return lines;
    }
}

/* Lines are 0.2 seconds apart, and none is later than the program's end. `done`, `left`:
 * pictures. */
static void expect_speed(const shown_line *line, size_t lines, double wall, double done,
                         double left)
{
    double least = done / wall, most = done / (0.2 * (double)(lines - 1));

    ck_assert_msg(line->speed >= least - 0.05 && line->speed <= most + 0.05,
                  "%g images/s with %g done, though lines say %g to %g", line->speed,
                  done, least, most);
    /* Both are rounded: the rate to 0.1, the time down. */
    expect_number(line->left, left / line->speed - 0.5,
                  0.51 + 0.05 * left / line->speed / line->speed,
                  "time left for %g pictures at %g images/s", left, line->speed);
}

/* Epoch, step, mean loss, rate and time, each belonging to the others. A network so wide
 * takes seconds for an epoch, which the time left must have. */
START_TEST(a_run_on_a_terminal_says_how_far_it_is)
{
    const tiny_pack more = {.count = 403, .seed = 9};
    shown_line line;
    double wall, of_epoch;
    size_t lines;
    plan p;
    twin t;

    tiny_pack_make("more", &more);
    lines = show_some(TINY " --width 2 --batch 2 --epochs 3 --steps %u --out run more",
                      60, "\r\033[Kafter %u steps: ", &line, &wall);
    expect_count(line.epochs, 3, "epochs");
    expect_count(line.steps, 202, "steps of an epoch");
    ck_assert_msg(line.epoch >= 1 && line.step >= 1 && line.step <= 202, "step %u of %u",
                  line.step, line.epoch);
    of_epoch = fmin(2 * line.step, 403);
    expect_speed(&line, lines, wall, 403 * (line.epoch - 1) + of_epoch,
                 403 * (4 - line.epoch) - of_epoch);
    plan_init(&p);
    plan_epochs(&p, 3);
    p.model.width = 2;
    p.trainer.batch = p.loader.batch = 2;
    p.train = "more";
    p.val = NULL;
    p.steps = 202 * (line.epoch - 1) + line.step;
    twin_run(&t, &p);
    if (line.step < 202)
        expect_number(line.loss, t.loss / of_epoch, 5.1e-5, "mean loss of %u steps",
                      line.step);
    twin_free(&t);
}
END_TEST

/* One that knows no escapes, and none at all. */
START_TEST(a_dumb_terminal_gets_no_escapes)
{
    static const char *const kinds[] = {"dumb", "xterm"};
    size_t i;

    tiny_packs_make();
    for (i = 0; i < 2; i++) {
        char *text = on_terminal(kinds[i], TINY " --epochs 1 --out run data");

        expect_count(strchr(text, '\033') != NULL, i, "%s: %s", kinds[i], text);
        expect_count(strstr(text, "saved run") != NULL, 1, "%s: %s", kinds[i], text);
        free(text);
        remove(tiny_path("run"));
    }
}
END_TEST

/* A batch with room for ten times the pictures has done as many as there are. */
START_TEST(progress_counts_pictures_not_room_for_them)
{
    shown_line line;
    double wall;
    size_t lines;

    tiny_packs_make();
    lines = show_some(TINY " --batch 370 --epochs %u --out run data", 15,
                      "\r\033[Kepoch %u: ", &line, &wall);
    expect_speed(&line, lines, wall, 37 * line.epoch, 37 * (line.epochs - line.epoch));
}
END_TEST

/* --- signals ----------------------------------------------------------------------- */

static volatile sig_atomic_t caught;

static void handler(int number)
{
    caught = number;
}

/* The second one ends the program: the handler is called once. */
START_TEST(an_interrupt_is_caught_once)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    struct sigaction action;
    size_t i;

    interrupt_catch(handler);
    for (i = 0; i < 2; i++) {
        caught = 0;
        raise(numbers[i]);
        expect_count(caught, numbers[i], "the signal that was caught");
        ck_assert_int_eq(sigaction(numbers[i], NULL, &action), 0);
        ck_assert_msg(action.sa_handler == SIG_DFL, "signal %d would be caught again",
                      numbers[i]);
    }
}
END_TEST

Suite *options_suite(void)
{
    Suite *suite = suite_create("options");
    TCase *tc = tcase_create("options");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_set_timeout(tc, TINY_SECONDS);
    tcase_add_test(tc, options_and_operands_stand_in_any_order);
    tcase_add_test(tc, values_are_checked_and_refused_by_name);
    tcase_add_test(tc, help_prints_the_table);
    tcase_add_test(tc, no_file_gets_a_standard_descriptor);
    tcase_add_test(tc, output_that_could_not_be_written_is_an_error);
    tcase_add_test(tc, a_failure_of_the_library_is_told_in_its_words);
    tcase_add_test(tc, memory_that_is_not_there_ends_the_program);
    tcase_add_test(tc, words_are_quoted_as_a_shell_wants_it);
    tcase_add_test(tc, options_are_printed_with_their_values);
    suite_add_tcase(suite, tc);
    tc = tcase_create("progress");
    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_set_timeout(tc, TINY_SECONDS);
    tcase_add_test(tc, progress_is_a_line_on_a_terminal_and_elsewhere_if_it_is_wanted);
    tcase_add_test(tc, progress_begins_now);
    tcase_add_test(tc, a_run_on_a_terminal_says_how_far_it_is);
    tcase_add_test(tc, a_dumb_terminal_gets_no_escapes);
    tcase_add_test(tc, progress_counts_pictures_not_room_for_them);
    tcase_add_test(tc, an_interrupt_is_caught_once);
    suite_add_tcase(suite, tc);
    return suite;
}
