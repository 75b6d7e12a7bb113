/*
 * processors.c - how many threads it makes sense to compute with: the processors that the
 * process may run on, or fewer where a control group gives it a share of their time, as a
 * container's --cpus does. Nothing is kept, no memory is asked for, and what cannot be
 * read is no limit.
 *
 * Sources: the kernel's cgroup-v1/cpusets, scheduler/sched-bwc and cgroup-v2 documents;
 * proc(5) for mountinfo; cgroups(7) for /proc/self/cgroup.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/device.h"

enum { LINE = 4096, PATH = 1024 };

/* --- lines of a file --------------------------------------------------------------- */

typedef struct lines {
    int file;
    size_t at, end;
    char bytes[LINE];
} lines;

/* The next line, without its end; of one that is longer than there is room, the rest is
 * another. Null: there is none. */
static char *next_line(lines *l)
{
    for (;;) {
        char *line = l->bytes + l->at, *end = memchr(line, '\n', l->end - l->at);
        ssize_t got;

        if (end != NULL || l->end - l->at == LINE - 1) {
            if (end == NULL) end = l->bytes + l->end;
            *end = '\0';
            l->at = (size_t)(end - l->bytes) + (l->end > (size_t)(end - l->bytes));
            return line;
        }
        memmove(l->bytes, line, l->end - l->at);
        l->end -= l->at;
        l->at = 0;
        got = read(l->file, l->bytes + l->end, LINE - 1 - l->end);
        if (got <= 0 && l->end == 0) return NULL;
        if (got <= 0)
            l->bytes[l->end++] = '\n';
        else
            l->end += (size_t)got;
    }
}

static int open_lines(lines *l, const char *root, const char *path)
{
    char name[2 * PATH];

    l->at = l->end = 0;
    if (snprintf(name, sizeof name, "%s%s", root, path) >= (int)sizeof name) return 0;
    l->file = open(name, O_RDONLY | O_CLOEXEC);
    return l->file >= 0;
}

/* --- control groups ---------------------------------------------------------------- */

/* A hierarchy that limits processors' time, and where the process is in it. */
typedef struct group {
    char mount[PATH], root[PATH]; /* where it is seen, and what of it */
    char path[PATH];
    int is_v2;
} group;

/* Whether a list with commas has this word. */
static int has_word(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (; list != NULL; list = strchr(list, ',')) {
        if (*list == ',') list++;
        if (strncmp(list, word, length) == 0 &&
            (list[length] == ',' || list[length] == '\0'))
            return 1;
    }
    return 0;
}

/* "36 35 0:32 ROOT MOUNT OPTIONS ... - TYPE SOURCE SUPER-OPTIONS": a group's, where that
 * type has the processors' time. */
static int read_mount(const char *line, group *g)
{
    const char *dash = strstr(line, " - ");
    char type[32], options[256];

    if (dash == NULL ||
        sscanf(line, "%*s %*s %*s %1023s %1023s", g->root, g->mount) != 2 ||
        sscanf(dash, " - %31s %*s %255s", type, options) != 2)
        return 0;
    g->is_v2 = strcmp(type, "cgroup2") == 0;
    return g->is_v2 || (strcmp(type, "cgroup") == 0 && has_word(options, "cpu"));
}

/* "NUMBER:CONTROLLERS:PATH": where the process is in the group's hierarchy. */
static int find_path(const char *root, group *g)
{
    lines l;
    char *line;
    int found = 0;

    if (!open_lines(&l, root, "/proc/self/cgroup")) return 0;
    while (!found && (line = next_line(&l)) != NULL) {
        char *controllers = strchr(line, ':'), *path;

        if (controllers == NULL) continue;
        path = strchr(++controllers, ':');
        if (path == NULL) continue;
        *path++ = '\0';
        found = g->is_v2 ? *controllers == '\0' : has_word(controllers, "cpu");
        if (found) snprintf(g->path, PATH, "%s", path);
    }
    close(l.file);
    return found;
}

static int read_number(const char *root, const char *folder, const char *name,
                       double *number, double *second)
{
    char path[2 * PATH], *line, *end;
    lines l;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!open_lines(&l, root, path)) return 0;
    line = next_line(&l);
    close(l.file);
    if (line == NULL) return 0;
    *number = strtod(line, &end); /* "max" and -1 are no limit */
    if (end == line) return 0;
    if (second != NULL) *second = strtod(end, NULL);
    return 1;
}

/* The processors' worth of time that one group has; NO_LIMIT: no limit. */
#define NO_LIMIT 1e9
static double quota_of(const char *root, const char *folder, int is_v2)
{
    double quota, period = 0;
    int is_read = is_v2
                      ? read_number(root, folder, "cpu.max", &quota, &period)
                      : read_number(root, folder, "cpu.cfs_quota_us", &quota, NULL) &&
                            read_number(root, folder, "cpu.cfs_period_us", &period, NULL);

    return is_read && quota > 0 && period > 0 ? quota / period : NO_LIMIT;
}

/* The least of the group's and of those that it is in. */
static double least_quota(const char *root, const group *g)
{
    char folder[2 * PATH];
    const char *within = g->path;
    size_t mount = strlen(g->mount), length = strlen(g->root);
    double least = NO_LIMIT;

    /* Seen from a container, the path may be that of the host. */
    if (length > 1 && strncmp(within, g->root, length) == 0 &&
        (within[length] == '/' || within[length] == '\0'))
        within += length;
    else if (length > 1)
        within = "";
    snprintf(folder, sizeof folder, "%s%s", g->mount, strcmp(within, "/") ? within : "");
    for (;;) {
        double quota = quota_of(root, folder, g->is_v2);
        char *slash = strrchr(folder, '/');

        if (quota < least) least = quota;
        if (slash == NULL || strlen(folder) <= mount) return least;
        *slash = '\0';
    }
}

double an__processor_quota(const char *root)
{
    double least = NO_LIMIT;
    char *line;
    lines l;

    if (!open_lines(&l, root, "/proc/self/mountinfo")) return least;
    while ((line = next_line(&l)) != NULL) {
        double quota;
        group g;

        if (!read_mount(line, &g) || !find_path(root, &g)) continue;
        quota = least_quota(root, &g);
        if (quota < least) least = quota;
    }
    close(l.file);
    return least;
}

uint32_t an__processors(void)
{
    double quota = an__processor_quota("");
    cpu_set_t set;
    int count;

    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1; /* more than CPU_SETSIZE */
    count = CPU_COUNT(&set);
    /* A part of a processor counts as one: its time is there to be used. */
    if (quota < count) count = (int)quota + ((double)(int)quota < quota);
    return count < 1 ? 1 : count > 256 ? 256 : (uint32_t)count;
}
