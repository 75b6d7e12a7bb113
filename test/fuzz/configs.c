/*
 * configs.c - every public struct that a host fills, with any numbers in its fields and
 * any size, given to the call that takes it; and structs of any size to be filled.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static fuzz_memory memory = {(size_t)4 << 20, 0, 0, 0};
static an_context *ctx;
static fuzz_sink saved; /* a trainer's file */

#define MAY_CREATE                                                                       \
    (FUZZ_MAY(ARGUMENT) | FUZZ_MAY(MEMORY) | FUZZ_MAY(VERSION) | FUZZ_MAY(BACKEND) |     \
     FUZZ_MAY(DEVICE))

/* --- one for each struct ----------------------------------------------------------- */

static void *refuse_all(size_t bytes, void *user)
{
    (void)bytes;
    (void)user;
    return NULL;
}

static void release_none(void *block, void *user)
{
    (void)user;
    FUZZ_EXPECT(block == NULL, "what was never given is released");
}

static void try_context(fuzz_input *in)
{
    FUZZ_ROOM(an_context_config) c;
    const an_allocator allocator = fuzz_allocator(&memory);
    an_context *made = NULL;
    uint32_t way = fuzz_below(in, 8);

    an_context_config_init(&c.object, sizeof c.object);
    c.object.threads = 1;
    fuzz_fields(in, &c, sizeof c.object, sizeof c);
    if (c.object.threads > 2 && c.object.threads <= 256) c.object.threads = 2;
    c.object.alloc = way == 1 ? NULL : way == 2 ? refuse_all : allocator.alloc;
    c.object.release = way == 3 ? NULL : way == 2 ? release_none : allocator.release;
    c.object.alloc_user = &memory;
    c.object.log = NULL;
    c.object.plugin = way == 4 ? "not/absolute.so" : way == 5 ? "/nowhere.so" : NULL;
    if (FUZZ_CALL(an_context_create(&made, &c.object), MAY_CREATE) == AN_OK)
        FUZZ_EXPECT(an_context_threads(made) >= 1, "a context without threads");
    else
        FUZZ_EXPECT(made == NULL, "what is refused is a context");
    an_context_destroy(made);
}

static void model_config_choose(fuzz_input *in, an_model_config *c, size_t room)
{
    static const char *const devices[] = {NULL, "cpu", "cpu,cpu", "cpu:0", "cpu,", ""};

    if (fuzz_below(in, 4) > 0) {
        fuzz_model_config(c);
        c->arch = (an_arch)(1 + fuzz_below(in, AN_ARCH_LAST));
        c->image_size = 0;
    } else {
        an_model_config_init(c, sizeof *c);
    }
    fuzz_fields(in, c, sizeof *c, room);
    c->devices = devices[fuzz_below(in, 6)];
}

/* What a model says of its config makes the same model. */
static void make_again(an_model *model)
{
    an_model_config config;
    an_model_info a, b;
    an_model *again;

    an_model_config_init(&config, sizeof config);
    FUZZ_CALL(an_model_get_config(model, &config), 0);
    if (FUZZ_CALL(an_model_create(&again, ctx, &config), FUZZ_MAY(MEMORY)) != AN_OK)
        return;
    an_model_info_init(&a, sizeof a);
    an_model_info_init(&b, sizeof b);
    FUZZ_CALL(an_model_describe(model, &a), 0);
    FUZZ_CALL(an_model_describe(again, &b), 0);
    FUZZ_EXPECT(memcmp(&a, &b, sizeof a) == 0, "another model of the same config");
    FUZZ_CALL(an_model_transfer(again, model, NULL, NULL), FUZZ_MAY(MEMORY));
    an_model_destroy(again);
}

static void try_model(fuzz_input *in)
{
    FUZZ_ROOM(an_model_config) c;
    an_model *model = NULL;
    an_trainer *trainer = NULL;

    model_config_choose(in, &c.object, sizeof c);
    if (FUZZ_CALL(an_model_create(&model, ctx, &c.object), MAY_CREATE) != AN_OK) {
        FUZZ_EXPECT(model == NULL, "what is refused is a model");
        return;
    }
    fuzz_model_examine(model);
    make_again(model);
    FUZZ_CALL(an_trainer_create(&trainer, model, NULL), FUZZ_MAY(MEMORY));
    fuzz_model_use(model, trainer);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
}

static void try_schedule(fuzz_input *in, an_trainer *trainer)
{
    FUZZ_ROOM(an_rate_change) changes[2];
    size_t room = sizeof changes[0];
    uint32_t i, count = fuzz_below(in, 3);

    for (i = 0; i < 2; i++) {
        an_rate_change_init(&changes[i].object, sizeof changes[i].object);
        changes[i].object.epoch = fuzz_below(in, 4);
        if (fuzz_below(in, 4) > 0) strcpy(changes[i].object.layer, "conv1");
        changes[i].object.rate = 0.01f;
        fuzz_fields(in, &changes[i], sizeof changes[i].object, room);
        changes[i].object.size = fuzz_below(in, 4) > 0 ? room : changes[i].object.size;
    }
    FUZZ_CALL(an_trainer_set_schedule(trainer, &changes[0].object, count),
              FUZZ_MAY(ARGUMENT) | FUZZ_MAY(VERSION));
}

static void try_trainer(fuzz_input *in)
{
    FUZZ_ROOM(an_trainer_config) c;
    FUZZ_ROOM(an_step_stats) stats;
    const float input[FUZZ_PIXELS] = {0};
    const int32_t label = 2;
    an_model *model = fuzz_model(ctx);
    an_trainer *trainer = NULL;

    an_trainer_config_init(&c.object, sizeof c.object);
    fuzz_fields(in, &c, sizeof c.object, sizeof c);
    if (FUZZ_CALL(an_trainer_create(&trainer, model, &c.object), MAY_CREATE) == AN_OK) {
        try_schedule(in, trainer);
        an_step_stats_init(&stats.object, sizeof stats.object);
        fuzz_fields(in, &stats, sizeof stats.object, sizeof stats);
        FUZZ_CALL(an_train_step(trainer, input, &label, 1, &stats.object),
                  FUZZ_MAY(ARGUMENT) | FUZZ_MAY(DIVERGED) | FUZZ_MAY(VERSION) |
                      FUZZ_MAY(MEMORY));
        fuzz_model_use(model, trainer);
    } else {
        FUZZ_EXPECT(trainer == NULL, "what is refused is a trainer");
    }
    an_trainer_destroy(trainer);
    an_model_destroy(model);
}

static void try_preprocessing(fuzz_input *in)
{
    FUZZ_ROOM(an_preprocessing) p;
    an_model *model = fuzz_model(ctx);
    fuzz_sink sink = {NULL, 0};
    fuzz_reader reader = {{NULL, 0}, 0, 0};
    an_model *again = NULL;

    an_preprocessing_init(&p.object, sizeof p.object);
    FUZZ_CALL(an_model_get_preprocessing(model, &p.object), 0);
    fuzz_fields(in, &p, sizeof p.object, sizeof p);
    if (FUZZ_CALL(an_model_set_preprocessing(model, &p.object),
                  FUZZ_MAY(ARGUMENT) | FUZZ_MAY(VERSION)) == AN_OK) {
        FUZZ_CALL(an_model_write(model, fuzz_write, &sink), 0);
        reader.in.data = sink.data;
        reader.in.left = sink.size;
        FUZZ_CALL(an_model_read(&again, ctx, fuzz_read, &reader, NULL), 0);
        fuzz_model_examine(again);
    }
    fuzz_sink_free(&sink);
    an_model_destroy(again);
    an_model_destroy(model);
}

static void try_load(fuzz_input *in)
{
    FUZZ_ROOM(an_load_config) c;
    fuzz_reader reader = {{saved.data, saved.size}, 0, 0};
    an_model *model = NULL;

    an_load_config_init(&c.object, sizeof c.object);
    fuzz_fields(in, &c, sizeof c.object, sizeof c);
    c.object.devices = fuzz_below(in, 2) ? "cpu,cpu" : NULL;
    if (FUZZ_CALL(an_model_read(&model, ctx, fuzz_read, &reader, &c.object),
                  MAY_CREATE) == AN_OK)
        fuzz_model_examine(model);
    else
        FUZZ_EXPECT(model == NULL, "what is refused is a model");
    an_model_destroy(model);
}

static void try_writer(fuzz_input *in)
{
    FUZZ_ROOM(an_pack_writer_config) c;
    an_pack_writer *writer = NULL;

    an_pack_writer_config_init(&c.object, sizeof c.object);
    c.object.side = FUZZ_SIDE;
    c.object.classes = FUZZ_CLASSES;
    fuzz_fields(in, &c, sizeof c.object, sizeof c);
    if (FUZZ_CALL(an_pack_writer_create(&writer, ctx, fuzz_folder(), &c.object),
                  FUZZ_MAY(ARGUMENT) | FUZZ_MAY(MEMORY) | FUZZ_MAY(VERSION)) == AN_OK)
        FUZZ_EXPECT(FUZZ_CALL(an_pack_writer_finish(writer),
                              FUZZ_MAY(STATE) | FUZZ_MAY(MEMORY)) != AN_OK,
                    "an empty pack is finished");
    else
        FUZZ_EXPECT(writer == NULL, "what is refused is a writer");
    an_pack_writer_destroy(writer);
}

static void try_recipe(fuzz_input *in)
{
    FUZZ_ROOM(an_model_config) m;
    FUZZ_ROOM(an_trainer_config) t;
    FUZZ_ROOM(an_loader_config) l;
    an_recipe_info info;

    an_model_config_init(&m.object, sizeof m.object);
    an_trainer_config_init(&t.object, sizeof t.object);
    an_loader_config_init(&l.object, sizeof l.object);
    an_recipe_info_init(&info, sizeof info);
    if (FUZZ_CALL(an_recipe_describe(fuzz_below(in, 5), &info), FUZZ_MAY(ARGUMENT)) !=
        AN_OK)
        return;
    fuzz_fields(in, &m, sizeof m.object, sizeof m);
    fuzz_fields(in, &t, sizeof t.object, sizeof t);
    fuzz_fields(in, &l, sizeof l.object, sizeof l);
    FUZZ_CALL(an_recipe_apply(info.name, (uint32_t)fuzz_take(in, 4), &m.object, &t.object,
                              &l.object),
              FUZZ_MAY(ARGUMENT) | FUZZ_MAY(VERSION));
}

/* Rows of any numbers: a score between none and all, or a refusal that adds nothing. */
static void try_score(fuzz_input *in)
{
    FUZZ_ROOM(an_evaluation) e;
    float rows[4 * 4];
    int32_t labels[4];
    an_evaluation before;
    an_status status;
    uint32_t classes = fuzz_below(in, 5), count = fuzz_below(in, 5), i;

    an_evaluation_init(&e.object, sizeof e.object);
    for (i = 0; i < 4; i++) labels[i] = (int32_t)fuzz_below(in, 5);
    for (i = 0; i < 16; i++) rows[i] = (float)fuzz_below(in, 256) / 255;
    if (fuzz_below(in, 4) == 0) {
        uint32_t bits = (uint32_t)fuzz_take(in, 4);

        memcpy(&rows[fuzz_below(in, 16)], &bits, sizeof bits);
        fuzz_fields(in, &e, sizeof e.object, sizeof e);
    }
    before = e.object;
    status = FUZZ_CALL(an_score(rows, classes, labels, count, &e.object),
                       FUZZ_MAY(ARGUMENT) | FUZZ_MAY(VERSION));
    FUZZ_EXPECT(status == AN_OK ? e.object.count == before.count + count
                                : memcmp(&e.object, &before, sizeof before) == 0,
                "a score of other rows");
}

/* --- structs that are filled ------------------------------------------------------- */

/* Of any size: nothing behind that is written to, and little where it is refused. */
static void try_infos(fuzz_input *in)
{
    unsigned char room[512], kept[64];
    uint32_t kind = fuzz_below(in, 6), index = fuzz_below(in, 20);
    size_t size = fuzz_below(in, 256) + 8u * fuzz_below(in, 24);
    an_model *model = fuzz_model(ctx);
    const uint32_t may = FUZZ_MAY(ARGUMENT);

    if (size > sizeof room - sizeof kept) size = sizeof room - sizeof kept;
    if (size < sizeof size) size = sizeof size; /* the field itself must be there */
    memset(kept, 0x5a, sizeof kept);
    memset(room, 0x5a, sizeof room);
    memcpy(room, &size, sizeof size);
    switch (kind) {
    case 0: FUZZ_CALL(an_model_describe(model, (void *)room), may); break;
    case 1: FUZZ_CALL(an_layer_describe(model, index, (void *)room), may); break;
    case 2: FUZZ_CALL(an_parameter_describe(model, index, (void *)room), may); break;
    case 3: FUZZ_CALL(an_model_get_preprocessing(model, (void *)room), may); break;
    case 4: FUZZ_CALL(an_recipe_describe(index, (void *)room), may); break;
    default: FUZZ_CALL(an_device_describe(ctx, index, (void *)room), may); break;
    }
    FUZZ_EXPECT(memcmp(room + size, kept, sizeof kept) == 0, "written behind a struct");
    FUZZ_EXPECT(memcmp(room, &size, sizeof size) == 0, "a struct has another size");
    an_model_destroy(model);
}

static void start(void)
{
    an_model *model;
    an_trainer *trainer;

    ctx = fuzz_context(&memory);
    fuzz_folder_empty();
    model = fuzz_model(ctx);
    FUZZ_CALL(an_trainer_create(&trainer, model, NULL), 0);
    FUZZ_CALL(an_trainer_write(trainer, fuzz_write, &saved), 0);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(fuzz_input *) = {
        try_context, try_model,  try_trainer, try_preprocessing, try_load,
        try_writer,  try_recipe, try_infos,   try_score};
    fuzz_input in = {data, size};
    size_t before;

    if (ctx == NULL) start();
    before = memory.blocks;
    tries[fuzz_below(&in, sizeof tries / sizeof tries[0])](&in);
    FUZZ_EXPECT(memory.blocks == before, "%zu blocks are held", memory.blocks - before);
    return 0;
}
