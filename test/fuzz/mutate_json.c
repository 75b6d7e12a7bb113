/*
 * mutate_json.c - a JSON text whose values change as values: the text mostly stays one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mutate.h"

enum { TOKENS = 4096, DEPTH = 64, PIECE = 4096 };

/* splitmix64: every seed gives another sequence. */
fuzz_dice fuzz_dice_of(unsigned seed)
{
    fuzz_dice dice = {seed};

    return dice;
}

uint32_t fuzz_roll(fuzz_dice *dice, uint32_t below)
{
    uint64_t z = dice->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return below > 0 ? (uint32_t)(z >> 32) % below : 0;
}

/* --- values ------------------------------------------------------------------------ */

/* Where a value stands, a list or object with all that is in it; a key is one too. */
typedef struct token {
    size_t begin, end;
} token;

static size_t string_end(const char *text, size_t size, size_t at)
{
    for (at++; at < size && text[at] != '"'; at++)
        if (text[at] == '\\') at++;
    return at < size ? at + 1 : size;
}

static size_t word_end(const char *text, size_t size, size_t at)
{
    while (at < size && memchr(",:]}[{\" \t\n\r", text[at], 11) == NULL) at++;
    return at;
}

/* Of whatever text: what has no end ends with it. */
static size_t tokens_of(const char *text, size_t size, token *out)
{
    size_t open[DEPTH], depth = 0, count = 0, at = 0;

    while (at < size && count < TOKENS) {
        size_t end = at + 1;

        switch (text[at]) {
        case '{':
        case '[':
            if (depth < DEPTH) open[depth++] = count;
            out[count].begin = at;
            out[count++].end = size;
            break;
        case '}':
        case ']':
            if (depth > 0) out[open[--depth]].end = end;
            break;
        case ',':
        case ':':
        case ' ':
        case '\t':
        case '\r':
        case '\n': break;
        default:
            end = text[at] == '"' ? string_end(text, size, at)
                                  : word_end(text, size, at + 1);
            out[count].begin = at;
            out[count++].end = end;
        }
        at = end;
    }
    return count;
}

/* --- changes ----------------------------------------------------------------------- */

/* text[begin .. end - 1] becomes `with`, which is no part of it, if there is room. */
static size_t splice(char *text, size_t size, size_t max, token place, const char *with,
                     size_t length)
{
    size_t rest = size - place.end;

    if (place.begin + length + rest > max) return size;
    memmove(text + place.begin + length, text + place.end, rest);
    memcpy(text + place.begin, with, length);
    return place.begin + length + rest;
}

/* Of all kinds, at limits and beyond; names that files have. None has a space. */
static const char words[] =
    "0 1 2 3 4 8 10 16 31 32 64 65 128 224 227 256 1000 1024 1025 2048 2049 8192 "
    "8193 65536 65537 2147483648 4294967295 4294967296 9223372036854775807 "
    "9223372036854775808 18446744073709551615 18446744073709551616 -1 -0 0.5 0.02 "
    "0.95 1e-45 1e38 1e39 1e308 1e309 -1e39 1e-400 5e-324 null true false [] {} "
    "\"\" \"0000000000000000\" \"ffffffffffffffff\" \"0000000000000010\" \"F16\" "
    "\"BF16\" \"F32\" \"F64\" \"I32\" \"U64\" \"I8\" \"raw\" \"jpeg\" \"warp\" "
    "\"crop\" \"paper\" \"cifar10\" \"torchvision\" \"krizhevsky2012\" \"conv1\" "
    "\"fc6\" \"\\u0000\" \"\\u001b[31m\" \"\\ud800\" \"\\ud83d\\ude00\" "
    "\"\xc3\xb6\" [0,0] [1,2,3,4,5] \"__metadata__\" \"alexnet\" \"alexnet_check\" "
    "\"preprocessing.mean_image\" \"class_names\" \"trainer\" \"schedule\"";

static size_t put_word(char *text, size_t size, size_t max, token place, fuzz_dice *dice)
{
    const char *at = words + fuzz_roll(dice, sizeof words - 1);

    if (*at == ' ') at--;
    while (at > words && at[-1] != ' ') at--;
    return splice(text, size, max, place, at, strcspn(at, " "));
}

/* Up or down a little, or twice as much. */
static size_t count_on(char *text, size_t size, size_t max, token place, fuzz_dice *dice)
{
    static const int steps[] = {1, -1, 2, -2, 4, -4, 8, 16, 64, 1024, -64};
    char number[32], *end;
    size_t length = place.end - place.begin;
    uint64_t value;
    int used;

    if (length >= sizeof number) return size;
    memcpy(number, text + place.begin, length);
    number[length] = '\0';
    value = strtoull(number, &end, 10);
    if (end == number) return size;
    value = fuzz_roll(dice, 4) == 0
                ? value * 2
                : value + (uint64_t)steps[fuzz_roll(dice, sizeof steps / sizeof *steps)];
    used = snprintf(number, sizeof number, "%llu", (unsigned long long)value);
    return splice(text, size, max, place, number, (size_t)used);
}

/* Within the quotes: a digit of what may be hexadecimal, or whatever the fuzzer likes. */
static size_t change_string(char *text, size_t size, size_t max, token place,
                            fuzz_dice *dice)
{
    char inner[PIECE];
    size_t length = place.end - place.begin - 2;

    if (place.end - place.begin < 3 || length > sizeof inner / 2) return size;
    if (fuzz_roll(dice, 16) == 0) { /* longer than names may be */
        length = 200 + fuzz_roll(dice, 400);
        memset(inner, text[place.begin + 1], length);
        place.begin++;
        place.end--;
        return splice(text, size, max, place, inner, length);
    }
    if (fuzz_roll(dice, 3) > 0) {
        text[place.begin + 1 + fuzz_roll(dice, (uint32_t)length)] =
            "0123456789abcdefgvF"[fuzz_roll(dice, 19)];
        return size;
    }
    memcpy(inner, text + place.begin + 1, length);
    length = LLVMFuzzerMutate((uint8_t *)inner, length, sizeof inner);
    place.begin++;
    place.end--;
    return splice(text, size, max, place, inner, length);
}

/* With the comma behind it, or before it. */
static size_t drop(char *text, size_t size, token place)
{
    if (place.end < size && text[place.end] == ',')
        place.end++;
    else if (place.begin > 0 && text[place.begin - 1] == ',')
        place.begin--;
    return splice(text, size, size, place, "", 0);
}

/* Behind a comma once more, where it stands or where another value does; a key with what
 * it is the key of. */
static size_t repeat(char *text, size_t size, size_t max, token what, token value,
                     token at)
{
    char copy[PIECE];
    size_t length;

    if (what.end < size && text[what.end] == ':' && value.begin == what.end + 1)
        what.end = value.end;
    length = what.end - what.begin;
    if (length + 1 > sizeof copy) return size;
    copy[0] = ',';
    memcpy(copy + 1, text + what.begin, length);
    at.begin = at.end;
    return splice(text, size, max, at, copy, length + 1);
}

static size_t put_copy(char *text, size_t size, size_t max, token place, token from)
{
    char copy[PIECE];
    size_t length = from.end - from.begin;

    if (length > sizeof copy) return size;
    memcpy(copy, text + from.begin, length);
    return splice(text, size, max, place, copy, length);
}

static size_t change_once(char *text, size_t size, size_t max, fuzz_dice *dice)
{
    static token tokens[TOKENS];
    size_t count = tokens_of(text, size, tokens), which;
    token place, other;

    if (count == 0) return LLVMFuzzerMutate((uint8_t *)text, size, max);
    which = fuzz_roll(dice, (uint32_t)count);
    place = tokens[which];
    other = tokens[fuzz_roll(dice, (uint32_t)count)];
    switch (fuzz_roll(dice, 8)) {
    case 0:
    case 1: return put_word(text, size, max, place, dice);
    case 2: return put_copy(text, size, max, place, other);
    case 3: return drop(text, size, place);
    case 4:
        return repeat(text, size, max, place, tokens[which + 1 < count ? which + 1 : 0],
                      fuzz_roll(dice, 2) ? place : other);
    default:
        return text[place.begin] == '"' ? change_string(text, size, max, place, dice)
                                        : count_on(text, size, max, place, dice);
    }
}

size_t fuzz_mutate_json(char *text, size_t size, size_t max, fuzz_dice *dice)
{
    uint32_t times = 1 + fuzz_roll(dice, 3);

    if (fuzz_roll(dice, 10) == 0) return LLVMFuzzerMutate((uint8_t *)text, size, max);
    while (times-- > 0) size = change_once(text, size, max, dice);
    return size;
}
