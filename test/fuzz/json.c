/*
 * json.c - any bytes as JSON: what is taken has values that can be walked, read and
 * written, and what is written from them is taken again and reads the same.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mutate.h"

/* --- reading ----------------------------------------------------------------------- */

/* A text as a reader of it sees it, into memory that is just as large as it must be. */
static void examine_text(an_json value)
{
    char *text;
    size_t length;

    FUZZ_EXPECT(an__json_text(value, NULL, 0, &length), "a text has no length");
    text = malloc(length + 1);
    if (text == NULL) fuzz_fail("no memory for a text");
    FUZZ_EXPECT(!an__json_text(value, text, length, NULL), "a text fits in less");
    FUZZ_EXPECT(an__json_text(value, text, length + 1, NULL), "a text does not fit");
    FUZZ_EXPECT(strlen(text) == length && fuzz_is_utf8(text), "a text is none");
    FUZZ_EXPECT(an__json_equals(value, text), "a text is not itself");
    text[0]++;
    FUZZ_EXPECT(!an__json_equals(value, text), "a text is another");
    free(text);
}

/* A member is found by its name, unless there is another one of that name. */
static void examine_member(an_json object, an_json key, an_json value)
{
    char name[64];
    an_json found;

    examine_text(key);
    if (!an__json_text(key, name, sizeof name, NULL)) return;
    found = an__json_get(object, name);
    FUZZ_EXPECT(found.end != NULL && (found.at == NULL || found.at == value.at),
                "the member %s is not found", name);
}

/* As deep as JSON is allowed to be. */
static void examine(an_json value)
{
    char kind = *value.at;
    an_json_walk walk = an__json_walk(value);
    an_json key, inner;
    size_t count = 0;

    FUZZ_EXPECT(value.at < value.end, "a value has no end");
    FUZZ_EXPECT((kind != '{' && kind != '[') ||
                    value.end[-1] == (kind == '{' ? '}' : ']'),
                "a list has another end");
    for (; an__json_next(&walk, &key, &inner); count++) {
        FUZZ_EXPECT(inner.at > value.at && inner.end < value.end, "it is not within");
        if (kind == '{' && count < 4) examine_member(value, key, inner);
        examine(inner);
    }
    FUZZ_EXPECT(count == an__json_count(value), "values are not as many as counted");
    if (kind == '"') examine_text(value);
}

/* --- writing it again, as the library would ---------------------------------------- */

static void put_number(an_json_out *out, an_json value)
{
    uint64_t whole;
    double real;

    if (an__json_whole(value, &whole)) {
        an__json_put_whole(out, whole);
    } else if (an__json_real(value, &real)) {
        FUZZ_EXPECT(isfinite(real), "a number is not finite");
        an__json_put_real(out, real);
    } else {
        an__json_put_text(out, "too large");
    }
}

static void put_string(an_json_out *out, an_json value, int is_key)
{
    char some[64], *text = some;
    size_t length;

    FUZZ_EXPECT(an__json_text(value, NULL, 0, &length), "a text has no length");
    if (length >= sizeof some) text = malloc(length + 1);
    if (text == NULL) fuzz_fail("no memory for a text");
    an__json_text(value, text, length + 1, NULL);
    if (is_key)
        an__json_key(out, text);
    else
        an__json_put_bytes(out, text, length);
    if (text != some) free(text);
}

static void put_value(an_json_out *out, an_json value)
{
    char kind = *value.at;
    an_json_walk walk = an__json_walk(value);
    an_json key, inner;

    switch (kind) {
    case '{':
    case '[':
        an__json_open(out, kind);
        while (an__json_next(&walk, &key, &inner)) {
            if (kind == '{') put_string(out, key, 1);
            put_value(out, inner);
        }
        an__json_close(out, kind == '{' ? '}' : ']');
        break;
    case '"': put_string(out, value, 0); break;
    case 'n': an__json_put_text(out, NULL); break;
    case 't':
    case 'f': an__json_put_whole(out, kind == 't'); break;
    default: put_number(out, value); break;
    }
}

static void put_root(an_json_out *out, const void *arg)
{
    put_value(out, *(const an_json *)arg);
}

/* What was written from a text is written from that again. */
static void write_twice(const an_json *json, const an_allocator *allocator)
{
    an_json_out out = {NULL, 0, 0};
    an_json again;
    size_t length;
    char *once;

    FUZZ_CALL(an__json_make(&once, &length, allocator, put_root, json), 0);
    FUZZ_CALL(an__json_check(&again, once, length, "what was written"), 0);
    out.text = malloc(2 * length + 1);
    if (out.text == NULL) fuzz_fail("no memory for a text");
    put_value(&out, again);
    FUZZ_EXPECT(length == out.used && memcmp(once, out.text, length) == 0,
                "written twice, it differs: %s", once);
    free(out.text);
    an__free(allocator, once);
}

/* --- an input ---------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_memory memory = {(size_t)32 << 20, 0, 0, 0};
    const an_allocator allocator = fuzz_allocator(&memory);
    char *exact = malloc(size > 0 ? size : 1);
    an_json json = {NULL, NULL};

    if (exact == NULL) return 0;
    if (size > 0) memcpy(exact, data, size);
    if (FUZZ_CALL(an__json_check(&json, exact, size, "it"), FUZZ_MAY(FORMAT)) == AN_OK) {
        examine(json);
        write_twice(&json, &allocator);
    } else {
        FUZZ_EXPECT(json.at == NULL && json.end == NULL, "what is refused has a place");
    }
    FUZZ_EXPECT(memory.blocks == 0, "memory is held");
    free(exact);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    fuzz_dice dice = fuzz_dice_of(seed);

    return fuzz_mutate_json((char *)data, size, max, &dice);
}
