/*
 * mutate_file.c - safetensors files that stay files: the header's length is made true
 * after every change, and so, where they are asked for, are offsets and checksums.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "mutate.h"

enum { HEADER = 256 * 1024, INDEX_DIGITS = 16 };

/* --- the parts of a file ----------------------------------------------------------- */

static int header_length(const uint8_t *data, size_t size, size_t *length)
{
    uint64_t said = 0;
    int i;

    if (size < 8) return 0;
    for (i = 0; i < 8; i++) said |= (uint64_t)data[i] << 8 * i;
    *length = (size_t)said;
    return said <= size - 8 && said <= HEADER;
}

/* Another header in front of the same tensors. */
static size_t put_header(uint8_t *data, size_t size, size_t max, const char *text,
                         size_t length)
{
    size_t was, i;

    if (!header_length(data, size, &was) || size - was + length > max) return size;
    memmove(data + 8 + length, data + 8 + was, size - 8 - was);
    memcpy(data + 8, text, length);
    for (i = 0; i < 8; i++) data[i] = (uint8_t)((uint64_t)length >> 8 * i);
    return size - was + length;
}

/* The header's value of "alexnet", in what is JSON; none where there is none. */
static an_json find_about(const uint8_t *data, size_t length, const char *name)
{
    an_json json, none = {NULL, NULL};

    if (an__json_check(&json, (const char *)data + 8, length, "it") != AN_OK) return none;
    return an__json_get(an__json_get(json, "__metadata__"), name);
}

/* --- offsets ----------------------------------------------------------------------- */

static size_t number_bytes(an_json dtype)
{
    static const struct {
        const char *name;
        size_t bytes;
    } known[] = {{"F16", 2}, {"BF16", 2}, {"U64", 8}, {"I64", 8}, {"F64", 8}, {"I8", 1}};
    size_t i;

    for (i = 0; i < sizeof known / sizeof known[0]; i++)
        if (an__json_equals(dtype, known[i].name)) return known[i].bytes;
    return 4;
}

static uint64_t tensor_bytes(an_json entry)
{
    an_json_walk walk = an__json_walk(an__json_get(entry, "shape"));
    uint64_t bytes = number_bytes(an__json_get(entry, "dtype")), number;
    an_json value;

    while (an__json_next(&walk, NULL, &value))
        if (an__json_whole(value, &number) && number < 1 << 20) bytes *= number;
    return bytes;
}

/* Every tensor where the one before ends, as long as its shape says; and as many bytes
 * behind the header as they want, zeros where there were fewer. */
static size_t settle(uint8_t *data, size_t size, size_t max)
{
    static char text[HEADER];
    const char *from = (const char *)data + 8;
    size_t length, used = 0;
    uint64_t at = 0;
    an_json json, key, value;
    an_json_walk walk;

    if (!header_length(data, size, &length) ||
        an__json_check(&json, from, length, "it") != AN_OK ||
        !an__json_is_kind(json, '{'))
        return size;
    walk = an__json_walk(json);
    while (an__json_next(&walk, &key, &value)) {
        an_json place = an__json_get(value, "data_offsets");
        uint64_t end = at + tensor_bytes(value);
        size_t before;

        if (an__json_equals(key, "__metadata__") || place.at == NULL) continue;
        before = (size_t)(place.at - from);
        if (used + before + 64 > sizeof text || end > max) return size;
        memcpy(text + used, from, before);
        used += before;
        used += (size_t)snprintf(text + used, 64, "[%llu,%llu]", (unsigned long long)at,
                                 (unsigned long long)end);
        from = place.end;
        at = end;
    }
    length -= (size_t)(from - (const char *)data - 8);
    if (used + length > sizeof text || 8 + used + length + at > max) return size;
    memcpy(text + used, from, length);
    used += length;
    size = put_header(data, size, max, text, used);
    if (size < 8 + used + at) memset(data + size, 0, (size_t)(8 + used + at - size));
    return (size_t)(8 + used + at);
}

/* --- checksums --------------------------------------------------------------------- */

static void put_digits(char *to, uint64_t number)
{
    char digits[INDEX_DIGITS + 1];

    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)number);
    memcpy(to, digits, INDEX_DIGITS);
}

void fuzz_index_repair(uint8_t *data, size_t size)
{
    static const char name[] = "\\\"check\\\":\\\"";
    static char about[HEADER];
    size_t length, bytes;
    an_json value, check;
    char *at;

    if (!header_length(data, size, &length)) return;
    value = find_about(data, length, "alexnet");
    if (!an__json_is_kind(value, '"')) return;
    at = memmem(value.at, (size_t)(value.end - value.at), name, sizeof name - 1);
    if (at != NULL && value.end - at > (ptrdiff_t)(sizeof name - 1 + INDEX_DIGITS) &&
        memchr(at + sizeof name - 1, '\\', INDEX_DIGITS) == NULL)
        put_digits(at + sizeof name - 1,
                   an__check_bytes(data + 8 + length, size - 8 - length));
    /* Digits may have taken the place of what belonged to another character. */
    value = find_about(data, length, "alexnet");
    check = find_about(data, length, "alexnet_check");
    if (an__json_text(value, about, sizeof about, &bytes) &&
        an__json_is_kind(check, '"') && check.end - check.at == INDEX_DIGITS + 2 &&
        memchr(check.at, '\\', INDEX_DIGITS) == NULL)
        put_digits((char *)data + (check.at + 1 - (const char *)data),
                   an__check_bytes(about, bytes));
}

/* --- files ------------------------------------------------------------------------- */

/* The JSON within the header's text of "alexnet", which is written anew. */
static size_t change_about(uint8_t *data, size_t size, size_t max, size_t length,
                           fuzz_dice *dice)
{
    static char about[HEADER], text[3 * HEADER];
    an_json value = find_about(data, length, "alexnet");
    an_json_out out = {text, 0, 0};
    size_t bytes, before;

    if (!an__json_text(value, about, sizeof about / 2, &bytes)) return size;
    bytes = fuzz_mutate_json(about, bytes, sizeof about / 2, dice);
    before = (size_t)(value.at - (const char *)data - 8);
    memcpy(text, data + 8, before);
    out.used = before;
    an__json_put_bytes(&out, about, bytes);
    memcpy(text + out.used, value.end, length - (size_t)(value.end - (char *)data - 8));
    out.used += length - (size_t)(value.end - (char *)data - 8);
    return put_header(data, size, max, text, out.used);
}

static size_t change_header(uint8_t *data, size_t size, size_t max, size_t length,
                            fuzz_dice *dice)
{
    static char text[HEADER];

    memcpy(text, data + 8, length);
    length = fuzz_mutate_json(text, length, sizeof text, dice);
    return put_header(data, size, max, text, length);
}

size_t fuzz_mutate_file(uint8_t *data, size_t size, size_t max, fuzz_dice *dice)
{
    size_t length, start;

    if (!header_length(data, size, &length) || length > HEADER / 2)
        return LLVMFuzzerMutate(data, size, max);
    start = 8 + length;
    switch (fuzz_roll(dice, 12)) {
    case 0: return LLVMFuzzerMutate(data, size, max);
    case 1: return start + LLVMFuzzerMutate(data + start, size - start, max - start);
    case 2: break; /* only settled */
    case 3:
    case 4:
    case 5:
    case 6: size = change_header(data, size, max, length, dice); break;
    default: size = change_about(data, size, max, length, dice); break;
    }
    return fuzz_roll(dice, 3) == 0 ? settle(data, size, max) : size;
}

size_t fuzz_mutate_pack(uint8_t *data, size_t size, size_t max, size_t choices,
                        fuzz_dice *dice)
{
    size_t head = choices + 4, part = 0, i;

    if (size < head || fuzz_roll(dice, 16) == 0) return LLVMFuzzerMutate(data, size, max);
    for (i = 0; i < 4; i++) part |= (size_t)data[choices + i] << 8 * i;
    if (part > size - head) return LLVMFuzzerMutate(data, size, max);
    switch (fuzz_roll(dice, 10)) {
    case 0: (void)LLVMFuzzerMutate(data, choices, choices); break;
    case 1:
        if (part > 0) (void)LLVMFuzzerMutate(data + head, part, part);
        break;
    default:
        size = head + part +
               fuzz_mutate_file(data + head + part, size - head - part, max - head - part,
                                dice);
    }
    if (fuzz_roll(dice, 8) > 0) fuzz_index_repair(data + head + part, size - head - part);
    return size;
}
