/*
 * listing.h - which pictures there are, and their labels: from a folder per class, from a
 * list, or from CIFAR-10's binary batches.
 */
#ifndef LISTING_H
#define LISTING_H

#include <stdint.h>
#include <stdio.h>

#include "picture.h"

/* In a pack that is being made, beside the library's journal: the pictures' order. */
#define LISTING_ORDER "unfinished.txt"

typedef struct item {
    char *path;            /* of a file; else for people */
    const uint8_t *record; /* of a CIFAR-10 batch in memory; null: a file */
    uint32_t label;
    uint32_t place; /* in its class, from 0 */
} item;

/* Why something in a folder of pictures is none of the list's. */
typedef enum left_out {
    LEFT_OUT_OTHER,  /* of another type, by its name */
    LEFT_OUT_BESIDE, /* a picture beside the classes' folders */
    LEFT_OUT_PACK,   /* a pack, perhaps the one that is being made */
    LEFT_OUT_LINK,   /* a link to a folder, within a class */
    LEFT_OUT_BROKEN, /* a link to nowhere, which is said at once */
    LEFT_OUT_KINDS
} left_out;

enum { LISTING_NAMED = 3 }; /* the first of each kind */

typedef struct listing {
    item *items;
    uint32_t count;
    char **class_names;
    uint32_t classes;
    uint8_t *batches[5]; /* CIFAR-10's, in memory */
    struct {
        uint64_t count;
        char *named[LISTING_NAMED];
    } left[LEFT_OUT_KINDS];
} listing;

/* A folder with a folder of pictures per class, folders within those included, classes
 * and files in the order of their names; or with data_batch_1.bin ... data_batch_5.bin.
 * Names that begin with a dot, and what macOS adds to archives, do not count; all else
 * that is not taken is counted in `left`. Exits with 1 if it is neither. */
void listing_folder(listing *list, const char *folder);
/* A text file with a line for each picture: its path, from `folder` unless it begins with
 * a slash; a tab, or the line's last blanks, or its last comma where the first line's
 * file is there so; its class, a name. Either may stand in double quotes. Lines that are
 * empty or begin with # do not count. Classes by first appearance, unless they are called
 * 0, 1, 2 ... */
void listing_file(listing *list, const char *path, const char *folder);
/* Calls visit() with each picture of a folder and of those within it, in the order of
 * their names, and says on stderr what is left out. */
void listing_pictures(const char *folder, void (*visit)(void *user, const char *path),
                      void *user);
/* Whether prepare has made a pack in the folder, or begun to. */
int listing_is_pack(const char *folder);
int listing_is_finished(const char *folder);
/* What was left out: a line for each kind, with the first names. */
void listing_report(const listing *list, FILE *to);
/* Numbers the classes as `names` are, of which there are `count`; exits with 1 if one of
 * the list's is not among them. */
void listing_renumber(listing *list, const char *const *names, uint32_t count);
/* A number that another order, path, label or class name would change. */
uint64_t listing_check(const listing *list);
void listing_free(listing *list);

/* Null on success, else why not. */
const char *item_read(const item *from, picture *out);

#endif
