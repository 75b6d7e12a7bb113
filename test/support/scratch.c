/*
 * scratch.c - the run's folders.
 */
#define _XOPEN_SOURCE 700
#include "scratch.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ON_DISK P_tmpdir "/alexnet-XXXXXX"
#define IN_MEMORY "/dev/shm/alexnet-XXXXXX"

static char on_disk[SCRATCH / 2] = ON_DISK, in_memory[SCRATCH / 2] = IN_MEMORY;

void scratch_begin(void)
{
    if (mkdtemp(on_disk) == NULL) {
        perror(on_disk);
        exit(EXIT_FAILURE);
    }
    if (mkdtemp(in_memory) == NULL) strcpy(in_memory, on_disk);
}

void scratch_end(void)
{
    if (strcmp(in_memory, on_disk) != 0) scratch_remove(in_memory);
    scratch_remove(on_disk);
}

static void new_folder(const char *in, char path[SCRATCH])
{
    snprintf(path, SCRATCH, "%s/XXXXXX", in);
    ck_assert_ptr_nonnull(mkdtemp(path));
}

void scratch_folder(char path[SCRATCH])
{
    new_folder(on_disk, path);
}

void scratch_folder_in_memory(char path[SCRATCH])
{
    new_folder(in_memory, path);
}

void scratch_file(char path[SCRATCH])
{
    int file;

    snprintf(path, SCRATCH, "%s/XXXXXX", on_disk);
    file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(close(file), 0);
}

void scratch_remove(const char *folder)
{
    char command[SCRATCH + 16];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) fprintf(stderr, "%s failed\n", command);
}
