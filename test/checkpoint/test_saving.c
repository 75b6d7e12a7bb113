/*
 * test_saving.c - files and callbacks: what fails at any moment is a status and leaves
 * everything as it was; where a file is put, and how one is opened.
 */
#define _GNU_SOURCE
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "expect.h"
#include "memfile.h"
#include "scratch.h"
#include "small.h"
#include "test.h"
#include "trials.h"

static bench b;
static char folder[64];

static void setup(void)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_trainer_config training = small_training(4);
    size_t count = 3 * 32 * 32;
    float *mean = malloc(count * sizeof *mean);

    config.width = 0.1f;
    bench_open(&b, &config, &training, 1);
    noise_floats(mean, count, 3, 50);
    expect_ok(an_model_set_mean_image(b.model, mean, count));
    free(mean);
    bench_steps(&b, 2);
    scratch_folder(folder);
}

static void teardown(void)
{
    bench_close(&b);
    scratch_remove(folder);
}

static const char *inside(const char *name)
{
    static char path[2][384];
    static int turn;

    turn = 1 - turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static int files_there(void)
{
    DIR *d = opendir(folder);
    const struct dirent *entry;
    int count = 0;

    ck_assert_ptr_nonnull(d);
    while ((entry = readdir(d)) != NULL)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(d);
    return count;
}

/* --- callbacks --------------------------------------------------------------------- */

/* A writer that fails at each of its calls: IO, and the trainer is as it was. */
START_TEST(a_writer_may_fail_at_any_call)
{
    memfile whole = memfile_of_trainer(b.trainer), after;
    size_t calls = whole.calls, i;

    ck_assert_uint_gt(calls, 2 * b.model->net.plan->param_count);
    for (i = 1; i <= calls; i++) {
        memfile m = {NULL, 0, 0, 0, i, 0};

        expect_refused(an_trainer_write(b.trainer, memfile_write, &m), AN_ERROR_IO,
                       "the writer failed");
        expect_count(m.calls, i, "calls, of which the last failed");
        memfile_free(&m);
    }
    after = memfile_of_trainer(b.trainer);
    expect_bytes(after.data, whole.data, whole.bytes, "a trainer's file");
    memfile_free(&after);
    memfile_free(&whole);
}
END_TEST

/* The same of a reader, of a model's half and a trainer's; afterwards all can be read. */
START_TEST(a_reader_may_fail_at_any_call)
{
    memfile m = memfile_of_trainer(b.trainer);
    an_model *model = NULL;
    an_trainer *trainer = NULL;
    size_t calls, i;

    m.most = 3000;
    expect_ok(memfile_load(&model, b.ctx, &m, NULL));
    calls = m.calls;
    an_model_destroy(model);
    model = NULL;
    for (i = 1; i <= calls; i++) {
        m.fail_at = i;
        expect_refused(memfile_load(&model, b.ctx, &m, NULL), AN_ERROR_IO,
                       "the reader failed");
        ck_assert_ptr_null(model);
    }
    m.fail_at = 0;
    expect_ok(memfile_load(&model, b.ctx, &m, NULL));
    expect_ok(memfile_load_trainer(&trainer, model, &m));
    calls = m.calls;
    an_trainer_destroy(trainer);
    trainer = NULL;
    for (i = 1; i <= calls; i++) {
        m.fail_at = i;
        expect_refused(memfile_load_trainer(&trainer, model, &m), AN_ERROR_IO,
                       "the reader failed");
        ck_assert_ptr_null(trainer);
    }
    m.fail_at = 0;
    expect_ok(memfile_load_trainer(&trainer, model, &m));
    same_trainer(trainer, b.trainer, "after readers that failed");
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    memfile_free(&m);
}
END_TEST

/* A trainer's file cut short anywhere, or longer by a byte, by callbacks and by path. */
START_TEST(a_trainers_file_is_whole_or_refused)
{
    memfile m = memfile_of_trainer(b.trainer);
    size_t whole = m.bytes, cut;
    an_trainer *trainer = NULL;
    an_model *model = NULL;

    expect_ok(memfile_load(&model, b.ctx, &m, NULL));
    m.data = realloc(m.data, whole + 1);
    m.data[whole] = 0;
    for (cut = 0; cut <= whole + 1; cut += cut < 20 || cut > whole - 4 ? 1 : 611) {
        if (cut == whole) continue;
        m.bytes = cut;
        expect_refused(memfile_load_trainer(&trainer, model, &m), AN_ERROR_FORMAT,
                       cut < whole ? "ends too early" : "goes on after its tensors");
        memfile_store(&m, inside("cut"));
        expect_refused(an_trainer_load(&trainer, model, inside("cut")), AN_ERROR_FORMAT,
                       cut < 8 ? "fewer than 8 bytes" : NULL);
        ck_assert_ptr_null(trainer);
    }
    m.bytes = whole;
    expect_ok(memfile_load_trainer(&trainer, model, &m));
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    memfile_free(&m);
}
END_TEST

/* One that says it has read more than it was asked for. */
static ptrdiff_t boast(void *data, size_t bytes, void *user)
{
    memset(data, 0, bytes);
    ++*(int *)user;
    return (ptrdiff_t)bytes + 1;
}

START_TEST(a_reader_that_boasts_has_failed)
{
    an_trainer *trainer = NULL;
    an_model *model = NULL, *other;
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    int calls = 0;

    expect_refused(an_model_read(&model, b.ctx, boast, &calls, NULL), AN_ERROR_IO,
                   "the reader failed");
    ck_assert_ptr_null(model);
    expect_ok(an_model_create(&other, b.ctx, &config));
    expect_refused(an_trainer_read(&trainer, other, boast, &calls), AN_ERROR_IO,
                   "the reader failed");
    ck_assert_ptr_null(trainer);
    expect_count(calls, 2, "calls of the reader");
    an_model_destroy(other);
}
END_TEST

/* --- the header -------------------------------------------------------------------- */

/* 8 MiB of header are as much as there may be. */
START_TEST(a_header_has_at_most_8_mib)
{
    memfile m = memfile_of_model(b.model), pushed;
    size_t length = m.data[0] | (size_t)m.data[1] << 8, most = (size_t)8 << 20;
    an_model *model = NULL;

    pushed = memfile_pushed(&m, most - length);
    expect_ok(memfile_load(&model, b.ctx, &pushed, NULL));
    same_parameters(model, b.model, 0, "behind 8 MiB");
    an_model_destroy(model);
    model = NULL;
    memfile_free(&pushed);
    pushed = memfile_pushed(&m, most - length + 1);
    expect_refused(memfile_load(&model, b.ctx, &pushed, NULL), AN_ERROR_FORMAT,
                   "the header has 8388609 bytes: must be at most 8388608");
    ck_assert_ptr_null(model);
    memfile_free(&pushed);
    memfile_free(&m);
}
END_TEST

/* Names for more than that: ARGUMENT, nothing is written, and what stood there stays. */
START_TEST(names_that_fit_no_header_are_refused)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    memfile m = {NULL, 0, 0, 0, 0, 0};
    char name[256];
    struct stat before, after;
    an_model *model, *loaded;
    uint32_t i;

    config.classes = 36000;
    config.width = 0.05f;
    config.image_size = 12;
    expect_ok(an_model_create(&model, b.ctx, &config));
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    for (i = 0; i < 30000; i++) expect_ok(an_model_set_class_name(model, i, name));
    expect_ok(an_model_save(model, inside("names")));
    ck_assert_int_eq(stat(inside("names"), &before), 0);
    ck_assert_int_gt(before.st_size, 30000 * 255);
    expect_ok(an_model_load(&loaded, b.ctx, inside("names"), NULL));
    expect_text(an_model_class_name(loaded, 29999), name, "the last name");
    ck_assert_ptr_null(an_model_class_name(loaded, 30000));
    an_model_destroy(loaded);
    for (; i < 36000; i++) expect_ok(an_model_set_class_name(model, i, name));
    expect_refused(an_model_save(model, inside("names")), AN_ERROR_ARGUMENT,
                   "class names");
    expect_refused(an_model_write(model, memfile_write, &m), AN_ERROR_ARGUMENT,
                   "class names");
    expect_count(m.calls, 0, "calls of the writer");
    ck_assert_int_eq(stat(inside("names"), &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    ck_assert_int_eq(before.st_size, after.st_size);
    expect_count(files_there(), 1, "files in the folder");
    an_model_destroy(model);
}
END_TEST

/* --- paths ------------------------------------------------------------------------- */

static void expect_loads(const char *path, const char *what)
{
    an_model *model = NULL;
    an_trainer *trainer = NULL;

    expect_ok(an_model_load(&model, b.ctx, path, NULL));
    expect_ok(an_trainer_load(&trainer, model, path));
    same_trainer(trainer, b.trainer, what);
    same_preprocessing(model, b.model, what);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
}

/* A name without a folder, one below a folder, and over an older file: one file, with the
 * rights that the process gives. */
START_TEST(a_file_is_put_where_it_is_asked_for)
{
    struct stat info;
    mode_t was = umask(027);

    ck_assert_int_eq(chdir(folder), 0);
    expect_ok(an_trainer_save(b.trainer, "plain"));
    ck_assert_int_eq(stat("plain", &info), 0);
    expect_count(info.st_mode & 0777, 0640, "rights, of a umask of 027");
    expect_loads("plain", "a name alone");
    ck_assert_int_eq(mkdir("below", 0777), 0);
    expect_ok(an_trainer_save(b.trainer, "below/file"));
    expect_loads("below/file", "below a folder");
    bench_step(&b);
    expect_ok(an_trainer_save(b.trainer, "plain"));
    expect_loads(inside("plain"), "over an older file");
    expect_count(files_there(), 2, "files in the folder");
    umask(was);
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

/* A link at the path gives way to the file; what it led to stays. */
START_TEST(a_link_is_replaced)
{
    struct stat info;
    char byte = 0;
    FILE *file = fopen(inside("target"), "wb");

    ck_assert_ptr_nonnull(file);
    fputc('t', file);
    fclose(file);
    ck_assert_int_eq(symlink(inside("target"), inside("link")), 0);
    expect_ok(an_trainer_save(b.trainer, inside("link")));
    ck_assert_int_eq(lstat(inside("link"), &info), 0);
    ck_assert_msg(S_ISREG(info.st_mode), "the link is still one");
    file = fopen(inside("target"), "rb");
    byte = (char)fgetc(file);
    fclose(file);
    expect_count(byte, 't', "what the link led to");
    expect_loads(inside("link"), "in place of a link");
}
END_TEST

/* Whoever may read or write the file may still do so when it has been replaced. */
START_TEST(a_files_mode_stays)
{
    static const mode_t modes[] = {0600, 0640, 0664, 0444};
    char name[128];
    struct stat info;
    size_t i;

    snprintf(name, sizeof name, "%s", inside("moded"));
    expect_ok(an_trainer_save(b.trainer, name));
    for (i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        ck_assert_int_eq(chmod(name, modes[i]), 0);
        expect_ok(an_trainer_save(b.trainer, name));
        ck_assert_int_eq(stat(name, &info), 0);
        expect_count(info.st_mode & 07777, modes[i], "mode");
    }
    expect_loads(name, "replaced again and again");
}
END_TEST

/* In place of the C library's: without /proc a file cannot be named later, and has a name
 * from the beginning. */
static int no_proc;

int access(const char *path, int mode)
{
    if (no_proc && strncmp(path, "/proc/", 6) == 0) return -1;
    return faccessat(AT_FDCWD, path, mode, 0);
}

/* What is written beside a file that is nobody else's is nobody else's either. */
static an_status look_beside(an_write_fn write, void *user, const void *arg)
{
    DIR *d = opendir(folder);
    const struct dirent *entry;
    struct stat info;
    int *seen = *(int *const *)arg;

    ck_assert_ptr_nonnull(d);
    while ((entry = readdir(d)) != NULL) {
        if (strncmp(entry->d_name, ".alexnet-", 9) != 0) continue;
        ck_assert_int_eq(stat(inside(entry->d_name), &info), 0);
        expect_count(info.st_mode & 077, 0, "others' rights to %s", entry->d_name);
        ++*seen;
    }
    closedir(d);
    return write("secret", 6, user) == 0 ? AN_OK : AN_ERROR_IO;
}

START_TEST(what_is_private_stays_so_while_it_is_written)
{
    int seen = 0, *arg = &seen;
    char name[128];

    snprintf(name, sizeof name, "%s", inside("private"));
    expect_ok(an_trainer_save(b.trainer, name));
    ck_assert_int_eq(chmod(name, 0600), 0);
    expect_ok(an__file_replace(&b.ctx->memory, name, look_beside, &arg));
    expect_count(files_there(), 1, "the file alone");
    seen = 0;
    no_proc = 1;
    expect_ok(an__file_replace(&b.ctx->memory, name, look_beside, &arg));
    no_proc = 0;
    expect_count(seen, 1, "files beside it");
    expect_count(files_there(), 1, "the file alone");
}
END_TEST

static an_status be_killed(an_write_fn write, void *user, const void *arg)
{
    (void)arg;
    if (write("half", 4, user) == 0) kill(getpid(), SIGKILL);
    return AN_ERROR_IO;
}

/* Where the file system has nameless files: tmpfs, ext4, XFS, Btrfs. */
START_TEST(of_a_killed_process_nothing_stays)
{
    char name[128], probe[128];
    int status, nameless;
    pid_t child;

    snprintf(probe, sizeof probe, "%s", inside(""));
    nameless = open(probe, O_TMPFILE | O_WRONLY, 0600);
    snprintf(name, sizeof name, "%s", inside("file"));
    expect_ok(an_trainer_save(b.trainer, name));
    child = fork();
    if (child == 0) {
        an__file_replace(&b.ctx->memory, name, be_killed, NULL);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    expect_loads(name, "after a kill");
    expect_count(files_there(), nameless >= 0 ? 1 : 2, "files");
    if (nameless >= 0) close(nameless);
}
END_TEST

/* Names as long as they can be, beside which there is no room for a longer one. */
START_TEST(a_name_may_be_as_long_as_names_can_be)
{
    char name[256], path[512];

    memset(name, 'n', 255);
    name[255] = '\0';
    snprintf(path, sizeof path, "%s", inside(name));
    expect_ok(an_trainer_save(b.trainer, path));
    expect_loads(path, "a name of 255 bytes");
    expect_count(files_there(), 1, "the file alone");
}
END_TEST

/* What is no file is not replaced by one: /dev/null would be gone for all. */
START_TEST(what_is_no_file_is_not_replaced)
{
    char pipe_name[128], link_name[128];
    struct stat info;

    snprintf(pipe_name, sizeof pipe_name, "%s", inside("pipe"));
    snprintf(link_name, sizeof link_name, "%s", inside("link"));
    ck_assert_int_eq(mkfifo(pipe_name, 0666), 0);
    ck_assert_int_eq(symlink(pipe_name, link_name), 0);
    expect_refused(an_trainer_save(b.trainer, pipe_name), AN_ERROR_IO,
                   "is a pipe, socket or device, not a file");
    expect_refused(an_trainer_save(b.trainer, link_name), AN_ERROR_IO,
                   "is a pipe, socket or device, not a file");
    expect_refused(an_model_save(b.model, "/dev/null"), AN_ERROR_IO,
                   "/dev/null is a pipe, socket or device, not a file");
    snprintf(link_name, sizeof link_name, "%s", inside("stdout"));
    ck_assert_int_eq(symlink("/proc/self/fd/1", link_name), 0);
    expect_refused(an_model_save(b.model, link_name), AN_ERROR_IO,
                   "leads to what is open, not to a file");
    ck_assert_int_eq(unlink(link_name), 0);
    snprintf(link_name, sizeof link_name, "%s", inside("link"));
    ck_assert_int_eq(lstat(pipe_name, &info), 0);
    ck_assert_msg(S_ISFIFO(info.st_mode), "the pipe is gone");
    ck_assert_int_eq(lstat(link_name, &info), 0);
    ck_assert_msg(S_ISLNK(info.st_mode), "the link is gone");
    ck_assert_int_eq(lstat("/dev/null", &info), 0);
    ck_assert_msg(S_ISCHR(info.st_mode), "/dev/null is gone");
    expect_count(files_there(), 2, "a pipe and a link");
}
END_TEST

/* A model whose weights are a file's pages is saved over that file; it, and one that maps
 * the older one, go on. */
START_TEST(a_mapped_model_may_replace_its_file)
{
    const char *path = inside("mapped");
    an_model *model, *reader, *again;
    an_trainer *trainer;
    char name[128];

    snprintf(name, sizeof name, "%s", path);
    expect_ok(an_trainer_save(b.trainer, name));
    expect_ok(an_model_load(&model, b.ctx, name, NULL));
    expect_ok(an_model_load(&reader, b.ctx, name, NULL));
    expect_ok(an_trainer_load(&trainer, model, name));
    ck_assert_ptr_nonnull(model->mapping.base);
    same_parameters(reader, b.model, 0, "mapped");
    expect_ok(an_train_step(trainer, b.images, b.labels, 4, NULL));
    expect_ok(an_trainer_save(trainer, name));
    expect_ok(an_model_load(&again, b.ctx, name, NULL));
    same_parameters(again, model, 0, "the newer file");
    same_parameters(reader, b.model, 0, "the older file");
    bench_step(&b);
    same_parameters(model, b.model, 0, "trained alike");
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_model_destroy(reader);
    an_model_destroy(again);
}
END_TEST

/* Where no file can be: IO, the path in the message, and no other file is left behind. */
START_TEST(a_trainer_that_cannot_be_saved_leaves_nothing)
{
    char missing[128], below[160];

    snprintf(missing, sizeof missing, "%s", inside("missing"));
    snprintf(below, sizeof below, "%s/file", missing);
    expect_refused(an_trainer_save(b.trainer, below), AN_ERROR_IO, "cannot create");
    expect_refused(an_trainer_save(b.trainer, below), AN_ERROR_IO, below);
    ck_assert_int_eq(mkdir(missing, 0777), 0);
    expect_refused(an_trainer_save(b.trainer, missing), AN_ERROR_IO,
                   "is a folder, not a file");
    expect_count(files_there(), 1, "the folder alone");
    expect_refused(an_trainer_load(&(an_trainer *){NULL}, b.model, below), AN_ERROR_IO,
                   "cannot open");
    expect_refused(an_trainer_load(&(an_trainer *){NULL}, b.model, missing), AN_ERROR_IO,
                   "is a folder, not a file");
}
END_TEST

/* Where the system itself has no memory, it is no fault of the file. */
START_TEST(what_lacks_memory_is_not_the_files_fault)
{
    errno = ENOMEM;
    expect_refused(an__io_fail("map", "it"), AN_ERROR_MEMORY,
                   "cannot map it: Cannot allocate memory");
    errno = ENOSPC;
    expect_refused(an__io_fail("write to", "it"), AN_ERROR_IO,
                   "cannot write to it: No space left on device");
}
END_TEST

static int descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    const struct dirent *entry;
    int count = 0;

    ck_assert_ptr_nonnull(d);
    while ((entry = readdir(d)) != NULL) count += entry->d_name[0] != '.';
    closedir(d);
    return count;
}

/* Maps of files in the folder. */
static int maps(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    char line[400];
    int count = 0;

    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL) count += strstr(line, folder) != NULL;
    fclose(file);
    return count;
}

static void expect_left(int open, int mapped, const char *what)
{
    expect_count(descriptors(), open, "%s: descriptors", what);
    expect_count(maps(), mapped, "%s: maps", what);
}

/* No descriptor stays open, and no map but the one whose pages a model's weights are. */
START_TEST(nothing_stays_open)
{
    const char *good = inside("good"), *bad = inside("bad");
    int before = descriptors();
    an_load_config copy;
    an_model *model = NULL, *copied = NULL;
    an_trainer *trainer = NULL;
    memfile m;

    an_load_config_init(&copy, sizeof copy);
    copy.copy = 1;
    expect_ok(an_trainer_save(b.trainer, good));
    expect_left(before, 0, "saved");
    expect_refused(an_trainer_save(b.trainer, folder), AN_ERROR_IO,
                   "is a folder, not a file");
    expect_left(before, 0, "not saved");
    m = memfile_of_trainer(b.trainer);
    m.bytes--;
    memfile_store(&m, bad);
    memfile_free(&m);
    expect_refused(an_model_load(&model, b.ctx, bad, NULL), AN_ERROR_FORMAT, NULL);
    expect_refused(an_model_load(&model, b.ctx, folder, NULL), AN_ERROR_IO, NULL);
    expect_left(before, 0, "not loaded");
    expect_ok(an_model_load(&copied, b.ctx, good, &copy));
    expect_left(before, 0, "copied");
    expect_ok(an_model_load(&model, b.ctx, good, NULL));
    expect_left(before, 1, "mapped");
    expect_refused(an_trainer_load(&trainer, model, bad), AN_ERROR_FORMAT, NULL);
    expect_ok(an_trainer_load(&trainer, model, good));
    expect_left(before, 1, "a trainer loaded");
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_model_destroy(copied);
    expect_left(before, 0, "destroyed");
}
END_TEST

/* --- how a file is to be opened ---------------------------------------------------- */

START_TEST(load_configs_have_limits)
{
    memfile m = memfile_of_model(b.model);
    static const struct {
        uint32_t towers, copy, precision, reserved;
        const char *devices;
        an_status status;
        const char *words;
    } rows[] = {
        {3, 0, 0, 0, NULL, AN_ERROR_ARGUMENT, "config.towers is 3"},
        {0, 2, 0, 0, NULL, AN_ERROR_ARGUMENT, "config.copy is 2"},
        {0, 0, 4, 0, NULL, AN_ERROR_ARGUMENT, "config.precision is 4"},
        {0, 0, 0, 1, NULL, AN_ERROR_ARGUMENT, "config.reserved is 1"},
        {0, 0, 0, 0, "cpu:1", AN_ERROR_DEVICE, "cpu:1"},
        {0, 0, 0, 0, "abacus", AN_ERROR_BACKEND, "abacus"},
        {0, 0, 0, 0, "cpu,cpu", AN_ERROR_ARGUMENT, "devices"},
        {2, 0, 0, 0, NULL, AN_ERROR_ARGUMENT, "towers"}, /* no network for two */
    };
    an_load_config load;
    an_model *model = NULL;
    size_t i;

    memfile_store(&m, inside("model"));
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        an_load_config_init(&load, sizeof load);
        load.towers = rows[i].towers;
        load.copy = rows[i].copy;
        load.precision = rows[i].precision;
        load.reserved = rows[i].reserved;
        load.devices = rows[i].devices;
        expect_refused(an_model_load(&model, b.ctx, inside("model"), &load),
                       rows[i].status, rows[i].words);
        expect_refused(memfile_load(&model, b.ctx, &m, &load), rows[i].status,
                       rows[i].words);
        ck_assert_ptr_null(model);
    }
    memfile_free(&m);
}
END_TEST

/* What is asked for is done; what is not, is the file's or a default. */
START_TEST(load_configs_are_followed)
{
    an_model_config config = small_config(AN_ARCH_PAPER), got;
    an_load_config load;
    an_model *model, *loaded;
    memfile m;

    an_model_config_init(&got, sizeof got);
    expect_ok(an_model_create(&model, b.ctx, &config));
    m = memfile_of_model(model);
    an_load_config_init(&load, sizeof load);
    load.precision = AN_PRECISION_BF16;
    load.towers = 2;
    load.devices = "cpu,cpu";
    expect_ok(memfile_load(&loaded, b.ctx, &m, &load));
    expect_ok(an_model_get_config(loaded, &got));
    expect_count(got.precision, AN_PRECISION_BF16, "as asked for");
    expect_count(got.towers, 2, "as asked for");
    same_parameters(loaded, model, 0, "in two towers");
    an_model_destroy(loaded);
    an_load_config_init(&load, sizeof load);
    expect_ok(memfile_load(&loaded, b.ctx, &m, &load));
    expect_ok(an_model_get_config(loaded, &got));
    expect_count(got.precision, AN_PRECISION_FP32, "by default");
    expect_count(got.towers, 1, "by default");
    an_model_destroy(loaded);
    an_model_destroy(model);
    memfile_free(&m);
}
END_TEST

Suite *saving_suite(void)
{
    Suite *suite = suite_create("saving");
    TCase *tc = tcase_create("saving");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_writer_may_fail_at_any_call);
    tcase_add_test(tc, a_reader_may_fail_at_any_call);
    tcase_add_test(tc, a_trainers_file_is_whole_or_refused);
    tcase_add_test(tc, a_reader_that_boasts_has_failed);
    tcase_add_test(tc, a_header_has_at_most_8_mib);
    tcase_add_test(tc, names_that_fit_no_header_are_refused);
    tcase_add_test(tc, a_file_is_put_where_it_is_asked_for);
    tcase_add_test(tc, a_link_is_replaced);
    tcase_add_test(tc, a_files_mode_stays);
    tcase_add_test(tc, of_a_killed_process_nothing_stays);
    tcase_add_test(tc, what_is_private_stays_so_while_it_is_written);
    tcase_add_test(tc, a_name_may_be_as_long_as_names_can_be);
    tcase_add_test(tc, what_is_no_file_is_not_replaced);
    tcase_add_test(tc, a_mapped_model_may_replace_its_file);
    tcase_add_test(tc, what_lacks_memory_is_not_the_files_fault);
    tcase_add_test(tc, a_trainer_that_cannot_be_saved_leaves_nothing);
    tcase_add_test(tc, nothing_stays_open);
    tcase_add_test(tc, load_configs_have_limits);
    tcase_add_test(tc, load_configs_are_followed);
    suite_add_tcase(suite, tc);
    return suite;
}
