/*
 * prepare.c - a folder of pictures, or a list of them, into packs: fitted once, with mean
 * image and principal axes of the colours. Goes on where it was cut. Ends with 3 if the
 * packs are made but pictures had to be skipped.
 */
#define _POSIX_C_SOURCE 200809L
#include <alexnet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/jobs.h"
#include "common/listing.h"
#include "common/options.h"
#include "common/output.h"
#include "common/progress.h"
#include "common/quote.h"

static unsigned long side = 256, quality = 95, part_mb = 4096, threads, per_class;
static double val_split;
static const char *list_file, *like, *kind = "raw";
static int warp;

static option table[] = {
    NUMBER_OPTION("--side", &side, 8, 2048, "of the fitted pictures (256)"),
    FLAG_OPTION("--warp", &warp, "both sides to that, instead of the centre's square"),
    TEXT_OPTION("--kind", &kind, "raw or jpeg (raw)"),
    NUMBER_OPTION("--quality", &quality, 1, 100, "of JPEG (95)"),
    REAL_OPTION(
        "--val-split", &val_split, 0, 0.5,
        "share of each class for OUT/val, the rest for OUT/train (0: all in OUT)"),
    NUMBER_OPTION("--per-class", &per_class, 1, 1e9, "only the first of each (all)"),
    TEXT_OPTION("--list", &list_file, "file of lines \"path class\"; paths from FOLDER"),
    TEXT_OPTION("--like", &like, "number the classes as this pack does"),
    PICTURE_OPTIONS,
    NUMBER_OPTION("--part-mb", &part_mb, 1, 500000, "size of a file (4096)"),
    NUMBER_OPTION("--threads", &threads, 0, 256, "0: all processors (0)"),
    PROGRESS_OPTION,
    OPTIONS_END};

enum { SYNC_EVERY = 2048, SETS = 2 }; /* SETS: train, or all; val */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* --- packs ------------------------------------------------------------------------- */

typedef struct run {
    an_context *ctx;
    listing list;
    an_pack_writer *set[SETS];
    uint64_t skip[SETS]; /* pictures that an earlier run has done */
    uint64_t synced;     /* pictures that the disk has for good */
    uint32_t sets, skipped;
    const char *out;
    const char *folder[SETS];
} run;

/* --- what belongs where ------------------------------------------------------------ */

/* Of each class a share, spread evenly, is for val: every fifth, say. */
static uint32_t set_of(const item *from)
{
    double share = val_split, place = from->place, little = 1e-9;

    return (uint64_t)((place + 1) * share + little) > (uint64_t)(place * share + little);
}

static int is_wanted(const item *from)
{
    return per_class == 0 || from->place < per_class;
}

/* A class without a picture makes no pack, but one that is numbered like another: better
 * said now than after hours. */
static void check_counts(const run *r)
{
    uint64_t *seen = allocate((size_t)SETS * r->list.classes * sizeof *seen);
    uint32_t i, s;

    memset(seen, 0, (size_t)SETS * r->list.classes * sizeof *seen);
    for (i = 0; i < r->list.count; i++)
        if (is_wanted(&r->list.items[i]))
            seen[set_of(&r->list.items[i]) * r->list.classes + r->list.items[i].label]++;
    for (s = 0; s < r->sets && like != NULL; s++) {
        for (i = 0; i < r->list.classes && seen[s * r->list.classes + i] == 0;) i++;
        if (i == r->list.classes)
            usage_error("%s: there is no picture for it", r->folder[s]);
    }
    for (s = 0; s < r->sets; s++)
        for (i = 0; i < r->list.classes; i++)
            if (seen[s * r->list.classes + i] == 0 && like == NULL) {
                listing_report(&r->list, stderr);
                fprintf(stderr, "%s: class %u (%s) has no picture\n", r->folder[s], i,
                        shown(r->list.class_names[i]));
                exit(1);
            }
    free(seen);
}

/* --- going on only with what was begun --------------------------------------------- */

static void order_path(char *path, const char *folder)
{
    sprintf(path, "%s/%s", folder, LISTING_ORDER);
}

static void order_text(const run *r, char text[160])
{
    snprintf(text, 160,
             "%016llx --val-split %.9g --per-class %lu --quality %lu "
             "--max-megapixels %lu --background %06x%s\n",
             (unsigned long long)listing_check(&r->list), val_split, per_class,
             strcmp(kind, "jpeg") == 0 ? quality : 0, picture_reading.megapixels,
             (unsigned)picture_reading.background,
             picture_reading.as_stored ? " --as-stored" : "");
}

static void write_order(const char *path, const char *text)
{
    output o;

    if (output_begin(&o, path) == 0) {
        fputs(text, o.file);
        if (output_end(&o) == 0) return;
    }
    perror(path);
    exit(1);
}

static int same_order(const char *path, const char *text)
{
    char then[160] = "";
    FILE *file = fopen(path, "r");

    if (file == NULL) return 0;
    if (fgets(then, sizeof then, file) == NULL) then[0] = '\0';
    fclose(file);
    return strcmp(text, then) == 0;
}

/* The pack writer knows how many pictures are done; this file, which they were. */
static void check_order(const run *r, const char *folder, int fresh)
{
    char *path = allocate(strlen(folder) + sizeof LISTING_ORDER + 1), text[160];

    order_path(path, folder);
    order_text(r, text);
    if (fresh)
        write_order(path, text);
    else if (!same_order(path, text))
        usage_error("%s was begun with other pictures, another order or other options: "
                    "remove it to begin anew",
                    folder);
    free(path);
}

/* Null: an earlier run has finished it. */
static an_pack_writer *open_set(const run *r, const char *folder)
{
    an_pack_writer_config c;
    an_pack_writer *packing;
    an_status status;
    uint32_t i;

    an_pack_writer_config_init(&c, sizeof c);
    c.side = (uint32_t)side;
    c.kind = strcmp(kind, "jpeg") == 0 ? AN_PACK_JPEG : AN_PACK_RAW;
    c.classes = r->list.classes;
    c.resume = 1;
    c.empty_classes = like != NULL;
    c.fit = warp ? AN_FIT_WARP : AN_FIT_CROP;
    c.part_bytes = (uint64_t)part_mb << 20;
    status = an_pack_writer_create(&packing, r->ctx, folder, &c);
    if (status == AN_ERROR_STATE && listing_is_finished(folder)) {
        printf("%s is finished already\n", folder);
        return NULL;
    }
    if (status != AN_OK) fail(folder);
    check_order(r, folder, an_pack_writer_position(packing) == 0);
    for (i = 0; i < r->list.classes; i++)
        if (an_pack_writer_set_class_name(packing, i, r->list.class_names[i]) != AN_OK)
            fail(r->list.class_names[i]);
    return packing;
}

static void renumber(run *r)
{
    const char **names;
    an_pack_info info;
    an_pack *pack;
    uint32_t i;

    an_pack_info_init(&info, sizeof info);
    if (an_pack_open(&pack, r->ctx, like, picture_decode, NULL) != AN_OK ||
        an_pack_describe(pack, &info) != AN_OK)
        fail(like);
    names = allocate(info.classes * sizeof *names);
    for (i = 0; i < info.classes; i++) {
        names[i] = an_pack_class_name(pack, i);
        if (names[i] == NULL) usage_error("--like %s: its classes have no names", like);
    }
    listing_renumber(&r->list, names, info.classes);
    free(names);
    an_pack_destroy(pack);
}

static const char *path_of(const run *r, const char *name)
{
    char *path = allocate(strlen(r->out) + strlen(name) + 2);

    sprintf(path, "%s/%s", r->out, name);
    return path;
}

static void make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return;
    perror(path);
    exit(1);
}

/* The folder, and those that it lies in. */
static void make_folders(const char *path)
{
    char *copy = strcpy(allocate(strlen(path) + 1), path), *at;

    for (at = copy; *at != '\0'; at++) {
        if (*at != '/' || at == copy) continue;
        *at = '\0';
        make_folder(copy);
        *at = '/';
    }
    make_folder(copy);
    free(copy);
}

/* One pack within another would be taken for it, or not be seen. */
static void check_out(const run *r)
{
    const char *why = NULL;

    if (r->sets == 2 && listing_is_pack(r->out))
        why = "is a pack itself, without --val-split";
    if (r->sets == 1 &&
        (listing_is_pack(path_of(r, "train")) || listing_is_pack(path_of(r, "val"))))
        why = "has packs in it, from an earlier --val-split";
    if (why != NULL)
        usage_error("%s: %s: name another folder, or remove it", r->out, why);
}

static void open_sets(run *r)
{
    uint32_t s;

    r->sets = val_split > 0 ? 2 : 1;
    r->folder[0] = r->sets == 1 ? r->out : path_of(r, "train");
    r->folder[1] = r->sets == 1 ? NULL : path_of(r, "val");
    check_out(r);
    check_counts(r);
    make_folders(r->out);
    for (s = 0; s < r->sets; s++) {
        r->set[s] = open_set(r, r->folder[s]);
        r->skip[s] = an_pack_writer_position(r->set[s]);
        r->synced += r->skip[s];
    }
    if (r->synced > 0)
        printf("going on after %llu pictures\n", (unsigned long long)r->synced);
}

/* Returns 0 if the disk has it all. */
static int sync_sets(run *r)
{
    uint64_t position = 0;
    uint32_t s;

    for (s = 0; s < r->sets; s++) {
        if (r->set[s] != NULL && an_pack_writer_sync(r->set[s]) != AN_OK) return -1;
        position += an_pack_writer_position(r->set[s]);
    }
    r->synced = position;
    return 0;
}

static void give_up(run *r)
{
    fprintf(stderr, "%s\n", an_error_message());
    if (sync_sets(r) != 0)
        fprintf(stderr, "there is no room to write down how far it came either\n");
    fprintf(stderr, "%llu pictures are safe: run the same command to go on after them\n",
            (unsigned long long)r->synced);
    exit(1);
}

static void store(run *r, job *j)
{
    an_pack_writer *to = r->set[j->set];
    an_status status;

    if (j->error[0] != '\0') {
        fprintf(stderr, "%s: skipped: %s\n", shown(j->from->path), j->error);
        r->skipped++;
        status = an_pack_writer_skip(to);
    } else {
        status = an_pack_writer_add(to, j->pixels, j->bytes, j->count,
                                    (int32_t)j->from->label);
    }
    free(j->bytes);
    if (status != AN_OK) give_up(r);
}

/* The next pictures of the list that are not done yet; returns where it got to. */
static uint32_t fill_jobs(run *r, jobs *w, uint32_t at)
{
    for (w->count = 0; at < r->list.count && w->count < JOBS; at++) {
        const item *from = &r->list.items[at];
        uint32_t set = set_of(from);

        if (r->set[set] == NULL || !is_wanted(from)) continue;
        if (r->skip[set] > 0) {
            r->skip[set]--;
            continue;
        }
        w->all[w->count].from = from;
        w->all[w->count++].set = set;
    }
    return at;
}

static void pack_all(run *r)
{
    progress p = progress_start();
    uint32_t at = 0, unsafe = 0, i;
    jobs *w = allocate(sizeof *w);

    jobs_open(w, (uint32_t)side, (uint32_t)threads);
    w->warp = warp;
    w->quality = strcmp(kind, "jpeg") == 0 ? (int)quality : 0;
    while (at < r->list.count) {
        char text[64];

        at = fill_jobs(r, w, at);
        jobs_run(w);
        for (i = 0; i < w->count; i++) store(r, &w->all[i]);
        unsafe += w->count;
        p.done += w->count;
        if (unsafe >= SYNC_EVERY || interrupted) {
            if (sync_sets(r) != 0) give_up(r);
            unsafe = 0;
        }
        snprintf(text, sizeof text, "picture %u/%u", at, r->list.count);
        progress_show(&p, text, r->list.count - at);
        if (interrupted) {
            printf("\nstopped; run the same command to go on\n");
            exit(130);
        }
    }
    jobs_close(w);
    free(w);
    progress_clear(&p);
}

/* --- what came of it --------------------------------------------------------------- */

enum { NAMED = 20 };

/* Names and counts, so that a name that was misspelt is seen. */
static void report_classes(const an_pack *pack, const an_pack_info *info)
{
    uint64_t *counts = allocate(info->classes * sizeof *counts), i;
    uint32_t c;

    memset(counts, 0, info->classes * sizeof *counts);
    for (i = 0; i < info->count; i++) {
        int32_t label;

        if (an_pack_read(pack, i, NULL, 0, &label) != AN_OK) fail("pack");
        counts[label]++;
    }
    printf("  ");
    for (c = 0; c < info->classes && c < NAMED; c++)
        printf("%s%s %llu", c > 0 ? ", " : "", shown(an_pack_class_name(pack, c)),
               (unsigned long long)counts[c]);
    printf("%s\n", info->classes > NAMED ? ", ..." : "");
    free(counts);
}

/* Returns how many pictures were skipped, by earlier runs too. */
static uint64_t report(const run *r, const char *folder)
{
    an_pack_info info;
    an_pack *pack;
    int i;

    an_pack_info_init(&info, sizeof info);
    if (an_pack_open(&pack, r->ctx, folder, picture_decode, NULL) != AN_OK ||
        an_pack_describe(pack, &info) != AN_OK)
        fail(folder);
    printf("%s: %llu pictures of %u classes, %u x %u, %.1f MB in %u file%s", folder,
           (unsigned long long)info.count, info.classes, info.side, info.side,
           (double)info.bytes / 1e6, info.parts, info.parts == 1 ? "" : "s");
    if (info.skipped > 0) printf(", %llu skipped", (unsigned long long)info.skipped);
    printf(
        "\n  mean %.1f %.1f %.1f, deviation %.1f %.1f %.1f (R G B); along the principal "
        "axes",
        (double)info.mean[0], (double)info.mean[1], (double)info.mean[2],
        (double)info.deviation[0], (double)info.deviation[1], (double)info.deviation[2]);
    for (i = 0; i < 3; i++) printf(" %.1f", (double)info.colour_deviation[i]);
    printf("\n");
    report_classes(pack, &info);
    an_pack_destroy(pack);
    return info.skipped;
}

/* Returns how many pictures were skipped. */
static uint64_t finish(run *r)
{
    uint64_t skipped = 0;
    uint32_t s;

    if (sync_sets(r) != 0)
        give_up(r); /* should a class be empty, what is there is kept */
    for (s = 0; s < r->sets; s++) {
        char *path = allocate(strlen(r->folder[s]) + sizeof LISTING_ORDER + 1);

        if (r->set[s] != NULL && an_pack_writer_finish(r->set[s]) != AN_OK)
            fail(r->folder[s]);
        an_pack_writer_destroy(r->set[s]);
        order_path(path, r->folder[s]);
        remove(path);
        free(path);
    }
    listing_report(&r->list, stderr);
    if (r->skipped > 0)
        fprintf(stderr, "%u picture%s skipped\n", r->skipped,
                r->skipped == 1 ? " was" : "s were");
    for (s = 0; s < r->sets; s++) skipped += report(r, r->folder[s]);
    return skipped;
}

int main(int argc, char **argv)
{
    int operands = options_parse(table, argc, argv, "[options] FOLDER OUT");
    an_context_config context;
    uint64_t skipped;
    run r;

    memset(&r, 0, sizeof r);
    if (operands != 2)
        usage_error("a folder of pictures and one for the pack are wanted");
    if (strcmp(kind, "raw") != 0 && strcmp(kind, "jpeg") != 0)
        usage_error("--kind %s: must be raw or jpeg", kind);
    r.out = argv[2];
    an_context_config_init(&context, sizeof context);
    context.threads = (uint32_t)threads;
    if (an_context_create(&r.ctx, &context) != AN_OK) fail("context");
    threads = an_context_threads(r.ctx);
    if (list_file != NULL)
        listing_file(&r.list, list_file, argv[1]);
    else
        listing_folder(&r.list, argv[1]);
    if (like != NULL) renumber(&r);
    if (r.list.classes < 2) usage_error("%s: has only one class", argv[1]);
    open_sets(&r);
    interrupt_catch(on_interrupt);
    pack_all(&r);
    skipped = finish(&r);
    listing_free(&r.list);
    an_context_destroy(r.ctx);
    return skipped > 0 ? 3 : 0;
}
