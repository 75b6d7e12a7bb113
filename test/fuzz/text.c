/*
 * text.c - any bytes as names and texts: shown so that a terminal does nothing with them,
 * taken as a class's name where they are UTF-8, and found or not among names.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { LONGEST = 1024 };

static an_model *model, *other;
static an_trainer *trainer;
static an_pack_writer *writer;

static void try_characters(const uint8_t *data, size_t size)
{
    char *exact = malloc(size > 0 ? size : 1);
    const char *at = exact, *end = exact + size;

    if (exact == NULL) return;
    if (size > 0) memcpy(exact, data, size);
    while (at < end) {
        const char *begin = at;
        long code = an__utf8_next(&at, end);

        FUZZ_EXPECT(at > begin && at <= end, "a character leads nowhere");
        FUZZ_EXPECT(code >= -1 && code <= 0x10ffff, "a character is none");
        FUZZ_EXPECT(at - begin == (code < 0x80      ? 1
                                   : code < 0x800   ? 2
                                   : code < 0x10000 ? 3
                                                    : 4),
                    "a character has other bytes");
    }
    free(exact);
}

/* Shown twice it is the same; cut, it is a beginning of the whole. */
static void try_show(const char *text, size_t cut)
{
    static char whole[6 * LONGEST + 1], again[6 * LONGEST + 1];
    char *less = malloc(cut + 1);

    if (less == NULL) return;
    an__text_show(whole, sizeof whole, text);
    FUZZ_EXPECT(fuzz_is_printable(whole), "what is shown cannot be printed");
    an__text_show(again, sizeof again, whole);
    FUZZ_EXPECT(strcmp(whole, again) == 0, "shown twice it differs");
    an__text_show(less, cut + 1, text);
    FUZZ_EXPECT(strlen(less) <= cut && strncmp(whole, less, strlen(less)) == 0 &&
                    fuzz_is_printable(less),
                "cut it is another text");
    free(less);
}

static void try_list(const char *text)
{
    an_list list;
    int i;

    an__list_begin(&list);
    for (i = 0; i < 8; i++) an__list_add(&list, text);
    FUZZ_EXPECT(memchr(list.text, '\0', sizeof list.text) != NULL, "a list has no end");
}

/* As a class's name, of a model and of a pack. */
static void try_names(const char *text)
{
    const uint32_t may = FUZZ_MAY(ARGUMENT);
    int is_one = strlen(text) <= 255 && fuzz_is_utf8(text);
    an_status of_model = FUZZ_CALL(an_model_set_class_name(model, 0, text), may);
    an_status of_pack = FUZZ_CALL(an_pack_writer_set_class_name(writer, 0, text), may);

    FUZZ_EXPECT((of_model == AN_OK) == is_one && (of_pack == AN_OK) == is_one,
                "what is a name is a question of whom one asks");
    FUZZ_EXPECT(!is_one || strcmp(an_model_class_name(model, 0), text) == 0,
                "a class has another name");
}

/* As the name of what there may be. */
static void try_lookups(const char *text)
{
    const uint32_t may = FUZZ_MAY(ARGUMENT);
    uint32_t index, shape[3];
    float rate, bias_rate;
    size_t count;
    an_arch arch;

    if (FUZZ_CALL(an_arch_find(text, &arch), may) == AN_OK)
        FUZZ_EXPECT(strcmp(an_arch_name(arch), text) == 0, "another preset is found");
    FUZZ_CALL(an_recipe_find(text, &index), may);
    FUZZ_CALL(an_recipe_apply(text, 3, NULL, NULL, NULL), may);
    FUZZ_CALL(an_parameter_find(model, text, &index), may);
    FUZZ_EXPECT(an_status_string((an_status)text[0])[0] != '\0', "a status has no name");
    for (index = 1; index <= AN_POINT_LAST; index++)
        FUZZ_CALL(an_activation_count(model, text, (an_point)index, &count, shape), may);
    FUZZ_CALL(an_trainer_get_layer_rates(trainer, text, &rate, &bias_rate), may);
    FUZZ_CALL(an_trainer_set_layer_rates(trainer, text, 0.5f, -1), may);
    FUZZ_CALL(an_recipe_schedule(text, trainer, 0, 0), may);
    if (FUZZ_CALL(an_model_transfer(other, model, text, &index), may) == AN_OK)
        FUZZ_EXPECT(index == 6, "%u tensors of all but one layer", index);
}

static void start(an_context *ctx)
{
    an_pack_writer_config config;

    fuzz_folder_empty();
    model = fuzz_model(ctx);
    other = fuzz_model(ctx);
    FUZZ_CALL(an_trainer_create(&trainer, model, NULL), 0);
    an_pack_writer_config_init(&config, sizeof config);
    config.side = FUZZ_SIDE;
    config.classes = FUZZ_CLASSES;
    FUZZ_CALL(an_pack_writer_create(&writer, ctx, fuzz_folder(), &config), 0);
    FUZZ_CALL(an_model_set_class_name(model, 0, "none"), 0);
    FUZZ_CALL(an_pack_writer_set_class_name(writer, 0, "none"), 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_memory memory = {(size_t)32 << 20, 0, 0, 0};
    static an_context *ctx;
    fuzz_input in = {data, size};
    size_t cut = fuzz_below(&in, 256), before;
    char text[LONGEST];

    if (ctx == NULL) {
        ctx = fuzz_context(&memory);
        start(ctx);
    }
    before = memory.blocks;
    try_characters(in.data, in.left);
    fuzz_text(&in, text, sizeof text);
    try_show(text, cut);
    try_list(text);
    try_names(text);
    try_lookups(text);
    FUZZ_EXPECT(memory.blocks == before, "%zu blocks are held", memory.blocks - before);
    return 0;
}
