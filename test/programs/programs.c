/*
 * programs.c - runs a program, reads what it left.
 */
#define _XOPEN_SOURCE 700
#include "programs.h"
#include "scratch.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[SCRATCH];

void programs_setup(void)
{
    scratch_folder(folder);
}

void programs_teardown(void)
{
    scratch_remove(folder);
}

const char *programs_folder(void)
{
    return folder;
}

char *file_read(const char *name, size_t *bytes)
{
    char path[512], *text = NULL;
    size_t count = 0, got = 1;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s was not written", name);
    while (got > 0) {
        text = realloc(text, count + 65537);
        got = fread(text + count, 1, 65536, file);
        count += got;
    }
    fclose(file);
    text[count] = '\0';
    if (bytes != NULL) *bytes = count;
    return text;
}

void byte_flip(const char *name, size_t at)
{
    size_t count;
    char *bytes = file_read(name, &count), path[512];
    FILE *file;

    ck_assert_uint_lt(at, count);
    bytes[at] ^= 1;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    fclose(file);
    free(bytes);
}

/* AN_PROGRAMS: where the programs are. */
static void command_of(char command[4096], const char *arguments, const char *before)
{
    const char *bin = getenv("AN_PROGRAMS");

    ck_assert_msg(bin != NULL, "AN_PROGRAMS must name the programs' folder");
    ck_assert_msg(snprintf(command, 4096, "cd %s && %s%s/%s >.out 2>.err", folder, before,
                           bin, arguments) < 4096,
                  "too long: %s", arguments);
}

static said said_of(int status)
{
    said s;

    s.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    s.out = file_read(".out", NULL);
    s.err = file_read(".err", NULL);
    return s;
}

static said run(const char *arguments)
{
    char command[4096];

    command_of(command, arguments, "");
    return said_of(system(command));
}

#define ARGUMENTS(text, format)                                                          \
    do {                                                                                 \
        va_list list;                                                                    \
        va_start(list, format);                                                          \
        vsnprintf(text, sizeof text, format, list);                                      \
        va_end(list);                                                                    \
    } while (0)

said run_program(const char *format, ...)
{
    char text[3072];

    ARGUMENTS(text, format);
    return run(text);
}

void program_fails(int code, const char *words, const char *format, ...)
{
    char text[3072];
    said s;

    ARGUMENTS(text, format);
    s = run(text);
    ck_assert_msg(s.code == code && strstr(s.err, words) != NULL,
                  "%s: wanted exit status %d and \"%s\", got %d and \"%s\"", text, code,
                  words, s.code, s.err);
    said_free(&s);
}

void program_succeeds(char **out, const char *format, ...)
{
    char text[3072];
    said s;

    ARGUMENTS(text, format);
    s = run(text);
    ck_assert_msg(s.code == 0, "%s: wanted exit status 0, got %d: \"%s\"", text, s.code,
                  s.err);
    if (out != NULL) {
        *out = s.out;
        s.out = NULL;
    }
    said_free(&s);
}

int program_start(const char *format, ...)
{
    char text[3072], command[4096];
    pid_t pid;

    ARGUMENTS(text, format);
    command_of(command, text, "exec ");
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0) return pid;
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

said program_end(int pid)
{
    const struct timespec moment = {0, 2000000};
    int status = 0, waits;
    pid_t ended = 0;

    for (waits = 0; ended == 0 && waits < 15000; waits++) {
        ended = waitpid(pid, &status, WNOHANG);
        if (ended == 0) nanosleep(&moment, NULL);
    }
    if (ended == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    return said_of(status);
}

int program_threads(int pid)
{
    char path[64];
    struct dirent *entry;
    int count = 0;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    tasks = opendir(path);
    if (tasks == NULL) return 0;
    while ((entry = readdir(tasks)) != NULL) count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

void said_free(said *s)
{
    free(s->out);
    free(s->err);
}

/* --- tables ------------------------------------------------------------------------ */

static void add_name(csv *table, const char *from, size_t length)
{
    table->names = realloc(table->names, (table->columns + 1) * sizeof *table->names);
    table->names[table->columns++] = strndup(from, length);
}

static const char *add_row(csv *table, const char *at)
{
    size_t i;

    table->cells =
        realloc(table->cells, (table->rows + 1) * table->columns * sizeof *table->cells);
    for (i = 0; i < table->columns; i++) {
        char *end;

        table->cells[table->rows * table->columns + i] = strtod(at, &end);
        if (end == at) table->cells[table->rows * table->columns + i] = NAN;
        ck_assert_msg(*end == (i + 1 < table->columns ? ',' : '\n'),
                      "row %zu, column %s: \"%.20s\"", table->rows, table->names[i], at);
        at = end + 1;
    }
    table->rows++;
    return at;
}

csv csv_read(const char *name)
{
    char *text = file_read(name, NULL);
    const char *at = text;
    csv table = {NULL, NULL, 0, 0};

    while (*at != '\0' && (table.columns == 0 || at[-1] != '\n')) {
        size_t length = strcspn(at, ",\n");

        add_name(&table, at, length);
        at += length + (at[length] != '\0');
    }
    while (*at != '\0') at = add_row(&table, at);
    free(text);
    return table;
}

void csv_free(csv *table)
{
    size_t i;

    for (i = 0; i < table->columns; i++) free(table->names[i]);
    free(table->names);
    free(table->cells);
}

double csv_cell(const csv *table, size_t row, const char *column)
{
    size_t i = 0;

    while (i < table->columns && strcmp(table->names[i], column) != 0) i++;
    ck_assert_msg(i < table->columns, "there is no column %s", column);
    ck_assert_msg(row < table->rows, "row %zu is wanted, there are %zu", row,
                  table->rows);
    return table->cells[row * table->columns + i];
}
