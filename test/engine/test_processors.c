/*
 * test_processors.c - how many processors' time control groups give the process, told
 * from made-up /proc and /sys folders.
 */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "device/device.h"
#include "expect.h"
#include "scratch.h"
#include "test.h"

#define V2 "/sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1 "/sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
#define SET "32 23 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"

/* Files of a machine, with what they hold. */
typedef struct machine {
    const char *what;
    double wanted;
    const char *files[8][2];
} machine;

#define MOUNTS "proc/self/mountinfo"
#define GROUP "proc/self/cgroup"

static const machine machines[] = {
    {"without /proc", 1e9, {{"empty", ""}}},
    {"without control groups", 1e9, {{MOUNTS, "21 1 8:1 / / rw - ext4 /dev/sda rw\n"}}},
    {"the second version, a group in another",
     1.5,
     {{MOUNTS, "21 1 8:1 / / rw - ext4 /dev/sda rw\n30 23 0:26 / " V2},
      {GROUP, "0::/a/b\n"},
      {"sys/fs/cgroup/a/cpu.max", "150000 100000\n"},
      {"sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
      {"sys/fs/cgroup/other/cpu.max", "10000 100000\n"}}},
    {"the second version, the group's own is less",
     0.5,
     {{MOUNTS, "30 23 0:26 / " V2},
      {GROUP, "0::/a/b\n"},
      {"sys/fs/cgroup/a/cpu.max", "150000 100000\n"},
      {"sys/fs/cgroup/a/b/cpu.max", "50000 100000\n"}}},
    {"the second version, within a container",
     2,
     {{MOUNTS, "30 23 0:26 / " V2},
      {GROUP, "0::/\n"},
      {"sys/fs/cgroup/cpu.max", "200000 100000\n"}}},
    {"the first version",
     3,
     {{MOUNTS, SET "33 23 0:30 / " V1},
      {GROUP, "5:cpuset:/elsewhere\n4:cpu,cpuacct:/mine\n0::/\n"},
      {"sys/fs/cgroup/cpu,cpuacct/mine/cpu.cfs_quota_us", "150000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/mine/cpu.cfs_period_us", "50000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}}},
    {"the first version, within a container",
     1,
     {{MOUNTS, "33 23 0:30 /docker/1f " V1},
      {GROUP, "4:cpu,cpuacct:/docker/1f\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}}},
    {"a path that is none of the mount's",
     1,
     {{MOUNTS, "33 23 0:30 /docker/1f " V1},
      {GROUP, "4:cpu,cpuacct:/../../x\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}}},
    {"a path that begins like the mount's",
     2,
     {{MOUNTS, "33 23 0:30 /docker/ab " V1},
      {GROUP, "4:cpu,cpuacct:/docker/abcd\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}}},
    {"no limit",
     1e9,
     {{MOUNTS, "30 23 0:26 / " V2},
      {GROUP, "0::/a\n"},
      {"sys/fs/cgroup/a/cpu.max", "max 100000\n"}}},
    {"what is no number",
     1e9,
     {{MOUNTS, "30 23 0:26 / " V2 "31 23 0:27 / " V1 "a line - of another kind\n - \n"},
      {GROUP, "nonsense\n1:\n0::/a\n4:cpu:/a\n"},
      {"sys/fs/cgroup/a/cpu.max", "100000 0\n"},
      {"sys/fs/cgroup/cpu.max", "\n"},
      {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "x\n"},
      {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}}}};

static void put(const char *root, const char *name, const char *text)
{
    char path[1024], *at;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", root, name);
    for (at = path + 1; *at != '\0'; at++) {
        if (*at != '/') continue;
        *at = '\0';
        mkdir(path, 0777);
        *at = '/';
    }
    file = fopen(path, "w");
    ck_assert_msg(file != NULL, "%s cannot be written", path);
    fputs(text, file);
    fclose(file);
}

START_TEST(a_control_groups_quota_is_known)
{
    const machine *m = &machines[_i];
    char root[SCRATCH];
    size_t i;

    scratch_folder(root);
    for (i = 0; i < 8 && m->files[i][0] != NULL; i++)
        put(root, m->files[i][0], m->files[i][1]);
    expect_number(an__processor_quota(root), m->wanted, 1e-9, "%s", m->what);
}
END_TEST

/* A host has hundreds of mounts, some of them with long options. */
START_TEST(long_lines_of_mounts_are_passed_over)
{
    char root[SCRATCH], *text = malloc(200000), *at = text;
    int i;

    scratch_folder(root);
    for (i = 0; i < 12; i++) {
        memset(at, 'x', 4090 + (size_t)i);
        at += 4090 + i;
        *at++ = '\n';
    }
    memset(at, 'y', 100000);
    at += 100000;
    strcpy(at, "\n30 23 0:26 / " V2);
    put(root, MOUNTS, text);
    put(root, GROUP, "0::/a"); /* and no end of the line */
    put(root, "sys/fs/cgroup/a/cpu.max", "250000 100000");
    expect_number(an__processor_quota(root), 2.5, 1e-9, "behind long lines");
    free(text);
}
END_TEST

START_TEST(a_context_has_a_thread_or_more)
{
    an_context *ctx;
    uint32_t threads;

    expect_ok(an_context_create(&ctx, NULL));
    threads = an_context_threads(ctx);
    expect_count(threads, an__processors(), "threads without a config");
    ck_assert_uint_ge(threads, 1);
    an_context_destroy(ctx);
}
END_TEST

Suite *processors_suite(void)
{
    Suite *suite = suite_create("processors");
    TCase *tc = tcase_create("processors");

    tcase_add_loop_test(tc, a_control_groups_quota_is_known, 0,
                        sizeof machines / sizeof machines[0]);
    tcase_add_test(tc, long_lines_of_mounts_are_passed_over);
    tcase_add_test(tc, a_context_has_a_thread_or_more);
    suite_add_tcase(suite, tc);
    return suite;
}
