/*
 * output.c - files that are whole, or not there; names that one program at a time writes
 * to.
 */
#define _GNU_SOURCE
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "options.h"

/* --- beside, then renamed ---------------------------------------------------------- */

/* A new file in the path's folder, hidden, under a name that nobody can guess. */
static int open_beside(output *o, mode_t mode)
{
    const char *slash = strrchr(o->path, '/');
    int folder = slash == NULL ? 0 : (int)(slash - o->path) + 1;
    unsigned char random[8];
    int file;

    if (getentropy(random, sizeof random) != 0) return -1;
    o->beside = allocate((size_t)folder + 32);
    sprintf(o->beside, "%.*s.alexnet-%02x%02x%02x%02x%02x%02x%02x%02x", folder, o->path,
            random[0], random[1], random[2], random[3], random[4], random[5], random[6],
            random[7]);
    file = open(o->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file >= 0) return file;
    free(o->beside);
    o->beside = NULL;
    return -1;
}

int output_begin(output *o, const char *path)
{
    struct stat info, named;
    int is_old = stat(path, &info) == 0, file;
    int is_link = lstat(path, &named) == 0 && S_ISLNK(named.st_mode);

    o->path = path;
    o->beside = NULL;
    if (is_old && S_ISDIR(info.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    /* /dev/stdout, say, which is a link, whatever it leads to. */
    if (is_link || (is_old && !S_ISREG(info.st_mode))) {
        o->file = fopen(path, "w");
        return o->file != NULL ? 0 : -1;
    }
    file = open_beside(o, is_old ? 0600 : 0666);
    if (file < 0) return -1;
    if (is_old) (void)!fchmod(file, info.st_mode & 0777);
    o->file = fdopen(file, "w");
    return 0;
}

int output_end(output *o)
{
    int failed = fflush(o->file) != 0 || ferror(o->file), error = errno;

    if (fclose(o->file) != 0 && !failed) {
        failed = 1;
        error = errno;
    }
    if (!failed && o->beside != NULL && rename(o->beside, o->path) != 0) {
        failed = 1;
        error = errno;
    }
    if (failed && o->beside != NULL) unlink(o->beside);
    free(o->beside);
    errno = error;
    return failed ? -1 : 0;
}

void output_check(const char *what, const char *path)
{
    const char *slash = strrchr(path, '/'), *blank = *what != '\0' ? " " : "";
    int length = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);
    char *folder = allocate((size_t)length + 1);
    struct stat info;

    sprintf(folder, "%.*s", length, slash == NULL ? "." : path);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        usage_error("%s%s%s: is a folder: name a file in it", what, blank, path);
    if (stat(folder, &info) != 0 || access(folder, W_OK | X_OK) != 0) {
        fprintf(stderr, "%s%s%s: the folder %s: %s\n", what, blank, path, folder,
                strerror(errno));
        exit(1);
    }
    free(folder);
}

/* --- apart from inputs ------------------------------------------------------------- */

int same_file(const char *a, const char *b)
{
    struct stat one, other;

    if (a == NULL || b == NULL) return 0;
    return strcmp(a, b) == 0 ||
           (stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
            one.st_ino == other.st_ino);
}

void output_apart(const char *out, const char *in)
{
    if (same_file(out, in)) usage_error("%s: is read, and was to be written", out);
}

/* --- one at a time ----------------------------------------------------------------- */

/* A process holds few of them, until it ends. */
enum { MOST = 4 };
static char *held[MOST];
static int held_count;
static pid_t holder;

static void remove_held(void)
{
    int i;

    for (i = 0; i < held_count && getpid() == holder; i++) unlink(held[i]);
}

static void refuse(const char *path, int file)
{
    char who[100] = "";
    ssize_t length = pread(file, who, sizeof who - 1, 0), i;

    for (i = 0; i < length && who[i] >= ' ' && who[i] <= '~'; i++) {
    }
    who[i > 0 ? i : 0] = '\0';
    fprintf(stderr, "%s: is being written by %s\n", path,
            *who != '\0' ? who : "another process");
    exit(1);
}

/* -1: whoever had the lock has removed it meanwhile. */
static int try_lock(const char *path, const char *name)
{
    struct stat mine, named;
    int file = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

    if (file < 0) {
        fprintf(stderr, "%s: %s\n", name, strerror(errno));
        exit(1);
    }
    /* A file system that has no locks is none to refuse. */
    if (flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) refuse(path, file);
    if (fstat(file, &mine) == 0 && lstat(name, &named) == 0 &&
        mine.st_ino == named.st_ino && mine.st_dev == named.st_dev)
        return file;
    close(file);
    return -1;
}

void output_lock(const char *path)
{
    char *name = allocate(strlen(path) + sizeof ".lock"), who[100];
    struct utsname host;
    int file;

    sprintf(name, "%s.lock", path);
    while ((file = try_lock(path, name)) < 0) {
    }
    if (held_count == 0) atexit(remove_held);
    holder = getpid();
    if (held_count < MOST) held[held_count++] = name;
    snprintf(who, sizeof who, "process %ld on %.64s\n", (long)holder,
             uname(&host) == 0 ? host.nodename : "this host");
    if (ftruncate(file, 0) == 0) (void)!pwrite(file, who, strlen(who), 0);
}
