/*
 * scratch.h - where tests put their files: in one folder a run, which is removed at the
 * run's end, whatever has failed.
 *
 * main() makes the folder before the tests, which are forked and inherit its name, and
 * removes it after them. Paths have less than SCRATCH characters.
 */
#ifndef AN_TEST_SCRATCH_H
#define AN_TEST_SCRATCH_H

enum { SCRATCH = 64 };

void scratch_begin(void);
void scratch_end(void);

/* A new folder, and a new empty file. Whoever asks for them may remove them before the
 * end. */
void scratch_folder(char path[SCRATCH]);
void scratch_file(char path[SCRATCH]);
/* A new folder in memory, where the system has files there: for small files that are
 * waited for often. */
void scratch_folder_in_memory(char path[SCRATCH]);
/* Removes a folder with all that is in it. */
void scratch_remove(const char *folder);

#endif
