/*
 * listing.c - folders, lists and CIFAR-10's batches as one list of labelled pictures.
 */
#define _DEFAULT_SOURCE
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "fields.h"
#include "options.h"
#include "quote.h"

static void give_up(const char *what, const char *name) __attribute__((noreturn));
static void give_up(const char *what, const char *name)
{
    fprintf(stderr, "%s: %s\n", shown(name), what);
    exit(1);
}

static char *copy_of(const char *text)
{
    char *copy = allocate(strlen(text) + 1);

    return strcpy(copy, text);
}

static char *join(const char *folder, const char *name)
{
    char *path = allocate(strlen(folder) + strlen(name) + 2);

    sprintf(path, "%s/%s", folder, name);
    return path;
}

/* Room for one more, doubled when `count` is a power of two. */
static void *room(void *list, size_t count, size_t bytes)
{
    if ((count & (count - 1)) != 0) return list;
    return reallocate(list, (count > 0 ? 2 * count : 1) * bytes);
}

static uint32_t add_class(listing *list, const char *name)
{
    list->class_names = room(list->class_names, list->classes, sizeof(char *));
    list->class_names[list->classes] = copy_of(name);
    return list->classes++;
}

static void add_item(listing *list, char *path, const uint8_t *record, uint32_t label,
                     uint32_t place)
{
    item one = {path, record, label, place};

    list->items = room(list->items, list->count, sizeof *list->items);
    list->items[list->count++] = one;
}

/* --- what is left out -------------------------------------------------------------- */

static void leave_out(listing *list, left_out why, const char *path)
{
    uint64_t n = list->left[why].count++;

    if (why == LEFT_OUT_BROKEN)
        fprintf(stderr, "%s: skipped: %s\n", shown(path), strerror(ENOENT));
    if (n < LISTING_NAMED) list->left[why].named[n] = copy_of(path);
}

void listing_report(const listing *list, FILE *to)
{
    static const char *const words[LEFT_OUT_KINDS] = {
        "files of other types", "pictures beside the classes' folders", "packs",
        "links to folders", "links to nowhere"};
    uint32_t why, i;

    for (why = 0; why < LEFT_OUT_KINDS; why++) {
        uint64_t count = list->left[why].count;

        if (count == 0) continue;
        fprintf(to, "left out: %s (%llu):", words[why], (unsigned long long)count);
        for (i = 0; i < LISTING_NAMED && i < count; i++)
            fprintf(to, "%s %s", i > 0 ? "," : "", shown(list->left[why].named[i]));
        fprintf(to, "%s\n", count > LISTING_NAMED ? ", ..." : "");
    }
}

/* --- a folder per class ------------------------------------------------------------ */

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && strcmp(entry->d_name, "__MACOSX") != 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not the locale's order */
}

/* By its name: one that is not decoded is said to be none when it is read. */
static int is_picture(const char *name)
{
    static const char *const ends[] = {".jpg",  ".jpeg", ".jpe",  ".jfif", ".png",
                                       ".gif",  ".bmp",  ".webp", ".tif",  ".tiff",
                                       ".heic", ".heif", ".avif"};
    const char *dot = strrchr(name, '.');
    size_t i;

    for (i = 0; dot != NULL && i < sizeof ends / sizeof ends[0]; i++)
        if (strcasecmp(dot, ends[i]) == 0) return 1;
    return 0;
}

static int is_there(const char *folder, const char *name)
{
    char *path = join(folder, name);
    struct stat info;
    int there = stat(path, &info) == 0;

    free(path);
    return there;
}

int listing_is_finished(const char *folder)
{
    return is_there(folder, "index.safetensors");
}

int listing_is_pack(const char *folder)
{
    return listing_is_finished(folder) || is_there(folder, LISTING_ORDER);
}

/* What prepare makes, which may lie where its pictures do: a pack, or two in a folder. */
static int is_output(const char *folder)
{
    char *train = join(folder, "train");
    int is = listing_is_pack(folder) || listing_is_pack(train);

    free(train);
    return is;
}

typedef enum entry_kind {
    ENTRY_FILE,
    ENTRY_FOLDER,
    ENTRY_LINKED_FOLDER,
    ENTRY_BROKEN /* a link to nowhere */
} entry_kind;

/* What cannot be looked at counts as a file, whose reading says why. */
static entry_kind kind_of(const struct dirent *entry, const char *path)
{
    struct stat info;

    if (entry->d_type == DT_DIR) return ENTRY_FOLDER;
    if (entry->d_type == DT_REG) return ENTRY_FILE;
    if (lstat(path, &info) != 0) return ENTRY_FILE;
    if (S_ISDIR(info.st_mode)) return ENTRY_FOLDER;
    if (!S_ISLNK(info.st_mode)) return ENTRY_FILE;
    if (stat(path, &info) != 0) return errno == ENOENT ? ENTRY_BROKEN : ENTRY_FILE;
    return S_ISDIR(info.st_mode) ? ENTRY_LINKED_FOLDER : ENTRY_FILE;
}

static struct dirent **entries_of(const char *folder, int *count)
{
    struct dirent **names;

    *count = scandir(folder, &names, visible, by_name);
    if (*count < 0) give_up(strerror(errno), folder);
    return names;
}

/* A class's pictures, those in folders within it too. */
static void add_folder(listing *list, const char *folder, uint32_t label, uint32_t *place)
{
    int count, i;
    struct dirent **names = entries_of(folder, &count);

    for (i = 0; i < count; i++) {
        char *path = join(folder, names[i]->d_name);
        entry_kind kind = kind_of(names[i], path);

        if (kind == ENTRY_FOLDER && is_output(path))
            leave_out(list, LEFT_OUT_PACK, path);
        else if (kind == ENTRY_FOLDER)
            add_folder(list, path, label, place);
        else if (kind == ENTRY_LINKED_FOLDER) /* perhaps to where it lies itself */
            leave_out(list, LEFT_OUT_LINK, path);
        else if (kind == ENTRY_BROKEN)
            leave_out(list, LEFT_OUT_BROKEN, path);
        else if (is_picture(names[i]->d_name))
            add_item(list, copy_of(path), NULL, label, (*place)++);
        else
            leave_out(list, LEFT_OUT_OTHER, path);
        free(path);
        free(names[i]);
    }
    free(names);
}

void listing_pictures(const char *folder, void (*visit)(void *user, const char *path),
                      void *user)
{
    listing all;
    uint32_t place = 0, i;

    memset(&all, 0, sizeof all);
    add_folder(&all, folder, 0, &place);
    listing_report(&all, stderr);
    for (i = 0; i < all.count; i++) visit(user, all.items[i].path);
    listing_free(&all);
}

/* A class; or none, if it has packs and no picture. */
static void add_class_folder(listing *list, const char *path, const char *name)
{
    const uint64_t packs = list->left[LEFT_OUT_PACK].count;
    uint32_t place = 0;

    add_folder(list, path, add_class(list, name), &place);
    if (place == 0 && list->left[LEFT_OUT_PACK].count > packs)
        free(list->class_names[--list->classes]);
}

/* The folder's entry `name`: a class, or none. */
static void add_entry(listing *list, const char *path, const char *name, entry_kind kind)
{
    if (kind == ENTRY_BROKEN)
        leave_out(list, LEFT_OUT_BROKEN, path);
    else if (kind == ENTRY_FILE)
        leave_out(list, is_picture(name) ? LEFT_OUT_BESIDE : LEFT_OUT_OTHER, path);
    else if (is_output(path))
        leave_out(list, LEFT_OUT_PACK, path);
    else
        add_class_folder(list, path, name);
}

/* --- CIFAR-10's binary batches: a byte of label, then 32 x 32 red, green, blue ----- */

enum { SIDE = 32, PLANE = SIDE * SIDE, RECORD = 1 + 3 * PLANE };

static uint8_t *read_whole(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data;
    long end;

    if (file == NULL) return NULL;
    if (fseek(file, 0, SEEK_END) != 0 || (end = ftell(file)) < 0)
        give_up(strerror(errno), path);
    rewind(file);
    data = allocate((size_t)end);
    *size = (size_t)end;
    if (fread(data, 1, *size, file) != *size) give_up("cannot be read", path);
    fclose(file);
    return data;
}

static void add_batch(listing *list, const char *name, const uint8_t *data, size_t size,
                      uint32_t seen[10])
{
    size_t at;

    if (size % RECORD != 0) give_up("its last record is cut short", name);
    for (at = 0; at < size; at += RECORD) {
        char text[64];

        if (data[at] > 9) give_up("is no CIFAR-10 batch: a label is above 9", name);
        snprintf(text, sizeof text, "%s, record %zu", name, at / RECORD);
        add_item(list, copy_of(text), data + at, data[at], seen[data[at]]++);
    }
}

static int add_cifar(listing *list, const char *folder)
{
    static const char *const names[10] = {"airplane", "automobile", "bird", "cat",
                                          "deer",     "dog",        "frog", "horse",
                                          "ship",     "truck"};
    uint32_t seen[10] = {0}, batch, i;

    for (batch = 0; batch < 5; batch++) {
        char name[32], *path;
        size_t size = 0;

        snprintf(name, sizeof name, "data_batch_%u.bin", batch + 1);
        path = join(folder, name);
        list->batches[batch] = read_whole(path, &size);
        free(path);
        if (list->batches[batch] == NULL) break;
        add_batch(list, name, list->batches[batch], size, seen);
    }
    for (i = 0; batch > 0 && i < 10; i++) add_class(list, names[i]);
    return batch > 0;
}

void listing_folder(listing *list, const char *folder)
{
    struct dirent **names;
    int count, i;

    memset(list, 0, sizeof *list);
    if (add_cifar(list, folder)) return;
    names = entries_of(folder, &count);
    for (i = 0; i < count; i++) {
        char *path = join(folder, names[i]->d_name);

        add_entry(list, path, names[i]->d_name, kind_of(names[i], path));
        free(path);
        free(names[i]);
    }
    free(names);
    if (list->count > 0) return;
    listing_report(list, stderr);
    give_up(is_output(folder)
                ? "is a pack already, no folder of pictures"
                : "has neither a folder of pictures for each class nor data_batch_1.bin",
            folder);
}

/* --- a list ------------------------------------------------------------------------ */

/* Classes in a hash table by name: lists may have a thousand of them and a million
 * lines. */
enum { BUCKETS = 1 << 17 };

static uint32_t class_of(listing *list, uint32_t *table, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    const char *at;

    for (at = name; *at != '\0'; at++) hash = (hash ^ (unsigned char)*at) * 16777619u;
    for (hash %= BUCKETS; table[hash] != 0; hash = (hash + 1) % BUCKETS)
        if (strcmp(list->class_names[table[hash] - 1], name) == 0) return table[hash] - 1;
    if (list->classes == 65536) give_up("more than 65536 classes", name);
    table[hash] = add_class(list, name) + 1;
    return table[hash] - 1;
}

/* Where the classes are called 0, 1, 2 ..., these are their numbers. */
static void number_as_named(listing *list)
{
    char **names = allocate(list->classes * sizeof *names);
    uint32_t *to = allocate(list->classes * sizeof *to), i;

    memset(names, 0, list->classes * sizeof *names);
    for (i = 0; i < list->classes; i++) {
        char *name = list->class_names[i], *end;
        unsigned long number = strtoul(name, &end, 10);

        if (*name < '0' || *name > '9' || *end != '\0' || number >= list->classes ||
            names[number] != NULL)
            break;
        to[i] = (uint32_t)number;
        names[number] = name;
    }
    if (i == list->classes) {
        memcpy(list->class_names, names, list->classes * sizeof *names);
        for (i = 0; i < list->count; i++) list->items[i].label = to[list->items[i].label];
    }
    free(names);
    free(to);
}

static char *path_of(const char *line, const char *folder)
{
    return *line == '/' ? copy_of(line) : join(folder, line);
}

/* Blanks or commas, whichever the line's file is there with. */
static separator separator_of(const char *line, const char *folder)
{
    static const separator tried[] = {BLANKS, COMMA};
    size_t i;

    for (i = 0; i < 2; i++) {
        char *copy = copy_of(line), *name, *class_name, *path;
        struct stat info;
        int found = 0;

        if (fields_split(copy, tried[i], &name, &class_name) == 0) {
            path = path_of(name, folder);
            found = stat(path, &info) == 0;
            free(path);
        }
        free(copy);
        if (found) return tried[i];
    }
    return BLANKS;
}

/* Returns 0, or -1 if the line has no path or no class. */
static int add_line(listing *list, uint32_t *table, char *line, separator between,
                    const char *folder)
{
    char *path, *class_name;

    if (fields_split(line, between, &path, &class_name) != 0) return -1;
    add_item(list, path_of(path, folder), NULL, class_of(list, table, class_name), 0);
    return 0;
}

void listing_file(listing *list, const char *path, const char *folder)
{
    FILE *file = fopen(path, "r");
    uint32_t *table = allocate(BUCKETS * sizeof *table), *seen, number = 0;
    separator between = BLANKS;
    int is_decided = 0;
    char *line = NULL;
    size_t room_of_line = 0;

    memset(list, 0, sizeof *list);
    memset(table, 0, BUCKETS * sizeof *table);
    if (file == NULL) give_up(strerror(errno), path);
    while (getline(&line, &room_of_line, file) > 0) {
        int has_mark = number++ == 0 && strncmp(line, "\xef\xbb\xbf", 3) == 0;
        char *text = trimmed(line + (has_mark ? 3 : 0));

        if (*text == '\0' || *text == '#') continue;
        if (!is_decided && fields_decide(text)) {
            between = separator_of(text, folder);
            is_decided = 1;
        }
        if (add_line(list, table, text, between, folder) != 0) {
            fprintf(stderr, "%s:%u: not a path, a space and a class\n", shown(path),
                    number);
            exit(1);
        }
    }
    if (ferror(file)) give_up(strerror(errno), path);
    free(line);
    fclose(file);
    if (list->count == 0) give_up("names no picture", path);
    number_as_named(list);
    seen = allocate(list->classes * sizeof *seen);
    memset(seen, 0, list->classes * sizeof *seen);
    for (number = 0; number < list->count; number++)
        list->items[number].place = seen[list->items[number].label]++;
    free(seen);
    free(table);
}

enum { MOST_NAMES = 20 };

static void refuse_class(const char *name, const char *const *names, uint32_t count)
{
    uint32_t i;

    fprintf(stderr, "%s: the other pack has no such class, but", shown(name));
    for (i = 0; i < count && i < MOST_NAMES; i++)
        fprintf(stderr, "%s %s", i > 0 ? "," : "", shown(names[i]));
    fprintf(stderr, "%s\n", count > MOST_NAMES ? ", ..." : "");
    exit(1);
}

void listing_renumber(listing *list, const char *const *names, uint32_t count)
{
    uint32_t *to = allocate(list->classes * sizeof *to), i;

    for (i = 0; i < list->classes; i++) {
        for (to[i] = 0; to[i] < count; to[i]++)
            if (strcmp(names[to[i]], list->class_names[i]) == 0) break;
        if (to[i] == count) refuse_class(list->class_names[i], names, count);
        free(list->class_names[i]);
    }
    free(list->class_names);
    list->class_names = NULL;
    list->classes = 0;
    for (i = 0; i < list->count; i++) list->items[i].label = to[list->items[i].label];
    for (i = 0; i < count; i++) add_class(list, names[i]);
    free(to);
}

/* --- both -------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, const char *text) /* FNV-1a, the closing zero too */
{
    do hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    while (*text++ != '\0');
    return hash;
}

uint64_t listing_check(const listing *list)
{
    uint64_t hash = 14695981039346656037u;
    uint32_t i;

    for (i = 0; i < list->classes; i++) hash = mix(hash, list->class_names[i]);
    for (i = 0; i < list->count; i++) {
        const item *one = &list->items[i];

        hash = mix(mix(hash, one->path), list->class_names[one->label]);
    }
    return hash;
}

void listing_free(listing *list)
{
    uint32_t i, k;

    for (i = 0; i < LEFT_OUT_KINDS; i++)
        for (k = 0; k < LISTING_NAMED && k < list->left[i].count; k++)
            free(list->left[i].named[k]);
    for (i = 0; i < list->count; i++) free(list->items[i].path);
    for (i = 0; i < list->classes; i++) free(list->class_names[i]);
    for (i = 0; i < 5; i++) free(list->batches[i]);
    free(list->items);
    free(list->class_names);
}

const char *item_read(const item *from, picture *out)
{
    int i, c;

    if (from->record == NULL) return picture_read(out, from->path);
    *out = picture_make(SIDE, SIDE, 0);
    for (i = 0; i < PLANE; i++)
        for (c = 0; c < 3; c++) out->pixels[3 * i + c] = from->record[1 + c * PLANE + i];
    return NULL;
}
