/*
 * file.c - whole files: mapped, and replaced in one moment.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

an_status an__io_fail(const char *what, const char *path)
{
    int error = errno;

    return an__fail(error == ENOMEM ? AN_ERROR_MEMORY : AN_ERROR_IO,
                    "cannot %s %.160s: %s", what, path, strerror(error));
}

/* Without waiting for the other end of a pipe; but for a file that a server of files
 * holds, until it gives it back. */
static int open_to_read(const char *path)
{
    const int how = O_RDONLY | O_CLOEXEC | O_NOCTTY;
    int file = open(path, how | O_NONBLOCK);
    struct stat info;

    if (file < 0 && errno == EWOULDBLOCK && stat(path, &info) == 0 &&
        S_ISREG(info.st_mode))
        file = open(path, how);
    return file;
}

an_status an__file_map(an_mapping *out, const char *path, int writable)
{
    int file = open_to_read(path);
    an_status status = AN_OK;
    struct stat info;
    void *base;

    if (file < 0) return an__io_fail("open", path);
    if (fstat(file, &info) != 0)
        status = an__io_fail("read", path);
    else if (S_ISDIR(info.st_mode))
        status = an__fail(AN_ERROR_IO, "%.160s is a folder, not a file", path);
    else if (!S_ISREG(info.st_mode))
        status =
            an__fail(AN_ERROR_IO, "%.160s is a pipe, socket or device, not a file", path);
    else if (info.st_size < 8)
        status = an__fail(AN_ERROR_FORMAT,
                          "%.160s is too short: it has fewer than 8 bytes", path);
    if (status == AN_OK) {
        base = mmap(NULL, (size_t)info.st_size,
                    writable ? PROT_READ | PROT_WRITE : PROT_READ,
                    writable ? MAP_PRIVATE : MAP_SHARED, file, 0);
        if (base == MAP_FAILED) {
            status = an__io_fail("map", path);
        } else {
            out->base = base;
            out->bytes = (size_t)info.st_size;
        }
    }
    close(file);
    return status;
}

an_status an__file_find(const char *path, int *there)
{
    struct stat info;

    *there = stat(path, &info) == 0;
    if (*there || errno == ENOENT || errno == ENOTDIR) return AN_OK;
    return an__io_fail("look at", path);
}

int an__is_folder(const char *path)
{
    struct stat info;
    int error = errno, yes = stat(path, &info) == 0 && S_ISDIR(info.st_mode);

    errno = error;
    return yes;
}

void an__file_unmap(an_mapping *mapping)
{
    if (mapping->base != NULL) munmap(mapping->base, mapping->bytes);
    mapping->base = NULL;
}

ptrdiff_t an__map_read(void *data, size_t bytes, void *reader)
{
    an_map_reader *r = reader;
    size_t left = r->map.bytes - r->at;

    if (bytes > left) bytes = left;
    memcpy(data, (const char *)r->map.base + r->at, bytes);
    r->at += bytes;
    return (ptrdiff_t)bytes;
}

/* A file that a replacement is written to begins its name so: hidden, and known as left
 * over where a process was killed and the file system has no nameless files. */
#define AN_BESIDE ".alexnet-"

/* --- replacing --------------------------------------------------------------------- */

typedef struct an_output {
    int file;
    char own[32]; /* the file as the system calls it, while it has no name; else "" */
    const char *path;
} an_output;

static int write_all(const void *data, size_t bytes, void *user)
{
    const an_output *out = user;
    const char *at = data;

    while (bytes > 0) {
        ssize_t done = write(out->file, at, bytes);

        if (done < 0 && errno == EINTR) continue;
        if (done < 0) {
            an__io_fail("write beside", out->path);
            return -1;
        }
        at += done;
        bytes -= (size_t)done;
    }
    return 0;
}

/* /dev/stdout and its like: a rename would put a file in place of the link, for all. */
static int leads_to_proc(const char *path)
{
    char target[8];

    return readlink(path, target, sizeof target) >= 6 && memcmp(target, "/proc/", 6) == 0;
}

/* The mode that the new file gets: the old one's, or -1 if there is none. */
static an_status target_mode(const char *path, int *mode)
{
    struct stat info;

    *mode = -1;
    if (leads_to_proc(path))
        return an__fail(AN_ERROR_IO, "%.160s leads to what is open, not to a file", path);
    if (stat(path, &info) != 0) return AN_OK; /* what is wrong is said by who writes */
    *mode = (int)(info.st_mode & 0777);
    if (S_ISREG(info.st_mode)) return AN_OK;
    return an__fail(AN_ERROR_IO, "%.160s is a %s, not a file", path,
                    S_ISDIR(info.st_mode) ? "folder" : "pipe, socket or device");
}

/* A name beside the target, so that a rename can put what has it in the target's place.
 * It has nothing of the target's, which may be as long as names can be, and nobody can
 * guess it. */
static int choose_name(char *name, size_t folder)
{
    unsigned char random[8];
    int i;

    if (getentropy(random, sizeof random) != 0) return -1;
    memcpy(name + folder, AN_BESIDE, sizeof AN_BESIDE);
    for (i = 0; i < 8; i++)
        sprintf(name + folder + sizeof AN_BESIDE - 1 + 2 * i, "%02x", random[i]);
    return 0;
}

/* A file of the target's file system that has no name yet: of a process that is killed
 * nothing stays. False where the system has no such files, or no way to name them. */
static int open_nameless(an_output *out, char *name, size_t folder, mode_t mode)
{
    name[folder] = '\0';
    out->file = open(folder > 0 ? name : ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
    if (out->file < 0) return 0;
    snprintf(out->own, sizeof out->own, "/proc/self/fd/%d", out->file);
    if (access(out->own, F_OK) == 0) return 1;
    close(out->file);
    return 0;
}

static an_status open_named(an_output *out, char *name, size_t folder, mode_t mode)
{
    out->own[0] = '\0';
    do { /* O_EXCL keeps it from what others have made */
        if (choose_name(name, folder) != 0)
            return an__io_fail("find a name beside", out->path);
        out->file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    } while (out->file < 0 && errno == EEXIST);
    return out->file >= 0 ? AN_OK : an__io_fail("create a file beside", out->path);
}

/* Gives a whole file its first name, if it has none. */
static an_status give_name(const an_output *out, char *name, size_t folder)
{
    int failed;

    if (out->own[0] == '\0') return AN_OK;
    do {
        if (choose_name(name, folder) != 0)
            return an__io_fail("find a name beside", out->path);
        failed = linkat(AT_FDCWD, out->own, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
    } while (failed && errno == EEXIST);
    if (failed) name[folder] = '\0';
    return failed ? an__io_fail("name a file beside", out->path) : AN_OK;
}

/* The rename itself is on disk once its folder is. Some file systems refuse to sync one:
 * the file is whole all the same. */
static void sync_folder(char *name)
{
    char *slash = strrchr(name, '/');
    int folder;

    if (slash != NULL) slash[slash == name] = '\0';
    folder = open(slash != NULL ? name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return;
    (void)fsync(folder);
    close(folder);
}

static an_status replace(an_output *out, char *name, size_t folder, int mode,
                         an_body_writer body, const void *arg)
{
    an_status status = body(write_all, out, arg);

    if (status == AN_OK && mode >= 0 && fchmod(out->file, (mode_t)mode) != 0)
        status = an__io_fail("give its mode to a file beside", out->path);
    if (status == AN_OK && fsync(out->file) != 0)
        status = an__io_fail("sync a file beside", out->path);
    if (status == AN_OK) status = give_name(out, name, folder);
    if (close(out->file) != 0 && status == AN_OK)
        status = an__io_fail("close a file beside", out->path);
    if (status == AN_OK && rename(name, out->path) != 0)
        status = an__io_fail("replace", out->path);
    if (status != AN_OK && name[folder] != '\0')
        (void)unlink(name);
    else if (status == AN_OK)
        sync_folder(name);
    return status;
}

an_status an__file_replace(const an_allocator *memory, const char *path,
                           an_body_writer body, const void *arg)
{
    const char *slash = strrchr(path, '/');
    size_t folder = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    an_output out = {-1, "", path};
    an_status status = AN_OK;
    mode_t first;
    char *name;
    int mode;

    AN_TRY(target_mode(path, &mode));
    name = an__alloc(memory, folder + sizeof AN_BESIDE + 16);
    if (name == NULL) return AN_ERROR_MEMORY;
    memcpy(name, path, folder);
    /* Until it has the old one's mode, what takes a file's place is nobody else's. */
    first = mode >= 0 ? 0600 : 0666;
    if (!open_nameless(&out, name, folder, first))
        status = open_named(&out, name, folder, first);
    if (status == AN_OK) status = replace(&out, name, folder, mode, body, arg);
    an__free(memory, name);
    return status;
}
