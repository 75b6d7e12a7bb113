/*
 * listing.h - which pictures there are, and their labels: from a folder per class, from a
 * list, or from CIFAR-10's binary batches.
 */
#ifndef LISTING_H
#define LISTING_H

#include <stdint.h>

#include "picture.h"

typedef struct item {
    char *path;            /* of a file; else for people */
    const uint8_t *record; /* of a CIFAR-10 batch in memory; null: a file */
    uint32_t label;
    uint32_t place; /* in its class, from 0 */
} item;

typedef struct listing {
    item *items;
    uint32_t count;
    char **class_names;
    uint32_t classes;
    uint8_t *batches[5]; /* CIFAR-10's, in memory */
} listing;

/* A folder with a folder of JPEG and PNG files per class, classes and files in the order
 * of their names; or with data_batch_1.bin ... data_batch_5.bin. Exits with 1 if it is
 * neither. */
void listing_folder(listing *list, const char *folder);
/* A text file with a line for each picture: its path, from `folder` unless it begins with
 * a slash; a tab or the line's last space; its class, a name. Classes by first
 * appearance, unless they are called 0, 1, 2 ... */
void listing_file(listing *list, const char *path, const char *folder);
/* Numbers the classes as `names` are, of which there are `count`; exits with 1 if one of
 * the list's is not among them. */
void listing_renumber(listing *list, const char *const *names, uint32_t count);
/* A number that another order, path, label or class name would change. */
uint64_t listing_check(const listing *list);
void listing_free(listing *list);

/* Null on success, else why not. */
const char *item_read(const item *from, picture *out);

#endif
