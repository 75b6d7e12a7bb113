/*
 * lock.c - one writer at a time: a file that says who is at work, and that whoever opened
 * it first holds until the process ends, however it ends.
 *
 * The holder removes the file. Another process may have opened it just before, and would
 * then lock a file that has no name any more: it looks, and begins anew.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/base.h"

/* STATE: somebody else is at work, and the file says who. */
static an_status held(const an_lock *lock, const char *what)
{
    char who[100];
    ssize_t length = pread(lock->file, who, sizeof who - 1, 0), i;

    if (length < 0) length = 0;
    for (i = 0; i < length && who[i] != '\n'; i++)
        if (who[i] < ' ' || who[i] > '~') who[i] = '?';
    who[i] = '\0';
    return an__fail(AN_ERROR_STATE, "%.160s is being written by %s", what,
                    i > 0 ? who : "another process");
}

static void say_who(const an_lock *lock)
{
    struct utsname host;
    char who[100];
    int length = uname(&host) == 0
                     ? snprintf(who, sizeof who, "process %ld on %.64s\n", (long)getpid(),
                                host.nodename)
                     : snprintf(who, sizeof who, "process %ld\n", (long)getpid());

    if (ftruncate(lock->file, 0) == 0) (void)!pwrite(lock->file, who, (size_t)length, 0);
}

/* Whether the file that is open is still the one that the path names. */
static int is_current(const an_lock *lock)
{
    struct stat open_one, named;

    return fstat(lock->file, &open_one) == 0 && lstat(lock->path, &named) == 0 &&
           open_one.st_dev == named.st_dev && open_one.st_ino == named.st_ino;
}

/* *taken is 0 if the file was removed meanwhile. */
static an_status try_lock(an_lock *lock, const an_allocator *memory, const char *what,
                          int *taken)
{
    struct stat info;
    int result;

    *taken = 1;
    lock->file =
        open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (lock->file < 0) return an__io_fail("make", lock->path);
    if (fstat(lock->file, &info) != 0) return an__io_fail("read", lock->path);
    if (!S_ISREG(info.st_mode))
        return an__fail(AN_ERROR_IO, "%.160s is no file", lock->path);
    while ((result = flock(lock->file, LOCK_EX | LOCK_NB)) != 0 && errno == EINTR) {
    }
    if (result != 0 && errno == EWOULDBLOCK) return held(lock, what);
    if (result != 0)
        an__log(memory, AN_LOG_WARNING,
                "%.160s: this file system has no locks (%s): see to it that nobody else "
                "writes there",
                what, strerror(errno));
    *taken = is_current(lock);
    return AN_OK;
}

an_status an__lock_take(an_lock *lock, const an_allocator *memory, const char *path,
                        const char *what)
{
    an_status status;
    int taken;

    lock->process = an__process();
    lock->path = an__alloc(memory, strlen(path) + 1);
    if (lock->path == NULL) return AN_ERROR_MEMORY;
    strcpy(lock->path, path);
    do {
        status = try_lock(lock, memory, what, &taken);
        if (status == AN_OK && taken) {
            lock->held = 1;
            say_who(lock);
            return AN_OK;
        }
        if (lock->file >= 0) close(lock->file);
    } while (status == AN_OK);
    an__free(memory, lock->path);
    lock->path = NULL;
    return status;
}

void an__lock_release(an_lock *lock, const an_allocator *memory)
{
    if (!lock->held) return;
    /* A forked child has the lock in common with its parent, which goes on. */
    if (lock->process == an__process()) (void)unlink(lock->path);
    close(lock->file);
    an__free(memory, lock->path);
    lock->path = NULL;
    lock->held = 0;
}
