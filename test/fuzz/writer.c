/*
 * writer.c - a pack is gone on with in a folder of chance: a journal and a part of any
 * bytes, and whatever else may lie there. A status, or a writer; and a pack that it
 * finishes can be opened, and has every picture that was added.
 *
 * Four bytes choose, four are the part's length; the part; the journal.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mutate.h"

enum { CHOICES = 4, ADDED = 8 };

/* --- the folder -------------------------------------------------------------------- */

static void link_to(const char *name, const char *target)
{
    (void)unlink(fuzz_path(name));
    if (symlink(target, fuzz_path(name)) != 0) fuzz_fail("cannot make a link");
}

/* What else there may be: each is the work of somebody who means no good. */
static void disturb(uint32_t how, fuzz_input journal)
{
    static const char note[] = "process 1 on \x1b[2Ja host\nand more";

    switch (how) {
    case 1: fuzz_put(AN_PACK_INDEX, journal.data, journal.left); break;
    case 2: fuzz_put(AN_PACK_LOCK, note, sizeof note - 1); break;
    case 3: link_to("part-0000.bin", "part-0001.bin"); break;
    case 4: link_to(AN_PACK_LOCK, "part-0001.bin"); break;
    case 5:
        (void)unlink(fuzz_path("part-0000.bin"));
        (void)mkdir(fuzz_path("part-0000.bin"), 0777);
        break;
    case 6: (void)unlink(fuzz_path("part-0000.bin")); break;
    case 7: (void)mkdir(fuzz_path("part-0002.bin"), 0777); break;
    case 8:
        (void)unlink(fuzz_path("part-0000.bin"));
        (void)mkfifo(fuzz_path("part-0000.bin"), 0666);
        break;
    case 9: (void)mkdir(fuzz_path(AN_PACK_LOCK), 0777); break;
    case 10:
        (void)unlink(fuzz_path(AN_PACK_JOURNAL));
        (void)mkdir(fuzz_path(AN_PACK_JOURNAL), 0777);
        break;
    default: break;
    }
}

/* --- what is done there ------------------------------------------------------------ */

typedef struct work {
    an_pack_writer *writer;
    an_pack_writer_config config;
    uint64_t first, added; /* the number of the first picture that was added */
    uint8_t pixels[ADDED][FUZZ_PIXELS];
    int32_t label[ADDED];
} work;

static void config_choose(an_pack_writer_config *config, uint32_t choices)
{
    an_pack_writer_config_init(config, sizeof *config);
    config->side = FUZZ_SIDE;
    config->classes = FUZZ_CLASSES;
    config->kind = choices & 1 ? AN_PACK_JPEG : AN_PACK_RAW;
    config->fit = choices & 2 ? AN_FIT_WARP : AN_FIT_CROP;
    config->resume = (choices & 0xc) != 0;
    config->empty_classes = choices >> 4 & 1;
    config->part_bytes = choices & 32 ? 1 : 3 * FUZZ_PIXELS;
    if ((choices & 0xc0) == 0xc0) config->side = 4;
}

static void add_one(work *w)
{
    uint8_t *pixels = w->pixels[w->added];
    int32_t label = (int32_t)(w->added % FUZZ_CLASSES);

    memset(pixels, (int)(17 * w->added + 1), FUZZ_PIXELS);
    w->label[w->added] = label;
    if (FUZZ_CALL(an_pack_writer_add(w->writer, pixels, pixels, 1, label),
                  FUZZ_MAY(MEMORY) | FUZZ_MAY(IO)) == AN_OK)
        w->added++;
}

static void do_work(work *w, uint32_t steps)
{
    const uint32_t may = FUZZ_MAY(MEMORY) | FUZZ_MAY(IO);

    for (; steps > 0; steps >>= 3) {
        uint64_t before = an_pack_writer_position(w->writer);

        switch (steps & 7) {
        case 1:
            FUZZ_CALL(an_pack_writer_skip(w->writer), 0);
            FUZZ_EXPECT(an_pack_writer_position(w->writer) == before + 1, "not skipped");
            break;
        case 2:
            FUZZ_CALL(an_pack_writer_sync(w->writer), may | FUZZ_MAY(ARGUMENT));
            break;
        case 3:
            FUZZ_CALL(an_pack_writer_set_class_name(w->writer, 1, "one"),
                      FUZZ_MAY(MEMORY));
            break;
        default:
            if (w->added < ADDED) add_one(w);
        }
    }
}

/* The pack that was finished has what was added, behind what was there. */
static void check_pack(an_context *ctx, const work *w)
{
    uint8_t pixels[FUZZ_PIXELS], wanted[FUZZ_PIXELS];
    size_t bytes = (size_t)w->config.side * w->config.side * 3;
    an_pack_info info;
    an_pack *pack;
    uint64_t i;

    if (FUZZ_CALL(an_pack_open(&pack, ctx, fuzz_folder(), fuzz_decode, NULL),
                  FUZZ_MAY(MEMORY)) != AN_OK)
        return;
    an_pack_info_init(&info, sizeof info);
    FUZZ_CALL(an_pack_describe(pack, &info), 0);
    for (i = 0; i < w->added; i++) {
        int32_t label;

        FUZZ_CALL(an_pack_read(pack, info.count - w->added + i, pixels, bytes, &label),
                  0);
        if (w->config.kind == AN_PACK_RAW)
            memcpy(wanted, w->pixels[i], bytes);
        else
            fuzz_decode(w->pixels[i], 1, w->config.side, wanted, NULL);
        FUZZ_EXPECT(label == w->label[i] && memcmp(pixels, wanted, bytes) == 0,
                    "picture %llu is another", (unsigned long long)i);
    }
    an_pack_destroy(pack);
}

static void try_writer(an_context *ctx, uint32_t choices)
{
    const uint32_t may = FUZZ_MAY(IO) | FUZZ_MAY(STATE) | FUZZ_MAY(FORMAT) |
                         FUZZ_MAY(VERSION) | FUZZ_MAY(MEMORY);
    work w;

    memset(&w, 0, sizeof w);
    config_choose(&w.config, choices);
    if (FUZZ_CALL(an_pack_writer_create(&w.writer, ctx, fuzz_folder(), &w.config), may) !=
        AN_OK) {
        FUZZ_EXPECT(w.writer == NULL, "what is refused is a writer");
        return;
    }
    do_work(&w, choices >> 12);
    if (FUZZ_CALL(an_pack_writer_finish(w.writer), FUZZ_MAY(STATE) | FUZZ_MAY(IO) |
                                                       FUZZ_MAY(MEMORY) |
                                                       FUZZ_MAY(ARGUMENT)) == AN_OK) {
        FUZZ_EXPECT(access(fuzz_path(AN_PACK_LOCK), F_OK) != 0, "the lock is held");
        check_pack(ctx, &w);
        FUZZ_EXPECT(FUZZ_CALL(an_pack_writer_sync(w.writer), FUZZ_MAY(STATE)) != AN_OK,
                    "what is finished was synced");
    }
    an_pack_writer_destroy(w.writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_memory memory = {(size_t)32 << 20, 0, 0, 0};
    static const uint8_t second[16 + FUZZ_PIXELS] = AN_PART_MAGIC;
    static an_context *ctx;
    fuzz_input in = {data, size}, part;
    uint32_t choices = (uint32_t)fuzz_take(&in, CHOICES);
    size_t before;

    if (ctx == NULL) ctx = fuzz_context(&memory);
    before = memory.blocks;
    part = fuzz_split(&in, (size_t)fuzz_take(&in, 4));
    fuzz_folder_empty();
    fuzz_put("part-0000.bin", part.data, part.left);
    fuzz_put("part-0001.bin", second, sizeof second);
    fuzz_put(AN_PACK_JOURNAL, in.data, in.left);
    disturb(choices >> 8 & 15, in);
    try_writer(ctx, choices);
    FUZZ_EXPECT(memory.blocks == before, "%zu blocks are held", memory.blocks - before);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    fuzz_dice dice = fuzz_dice_of(seed);

    return fuzz_mutate_pack(data, size, max, CHOICES, &dice);
}
