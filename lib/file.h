/*
 * file.h - whole files: mapped, read, replaced.
 */
#ifndef AN_FILE_H
#define AN_FILE_H

#include "internal.h"

/* Maps a file for reading. writable: its pages may be written, and are then this process's
 * own. */
an_status an__file_map(an_mapping *out, const char *path, int writable);
int an__file_exists(const char *path);
void an__file_unmap(an_mapping *mapping);

/* Calls body with a writer and replaces `path` by what it wrote, in one moment: at any time
 * the path names the old file or the new one, whole. */
typedef an_status (*an_body_writer)(an_write_fn write, void *user, const void *arg);
an_status an__file_replace(an_context *ctx, const char *path, an_body_writer body,
                           const void *arg);

#endif
