/*
 * json.c - JSON, strictly as RFC 8259 has it, without memory of its own.
 *
 * A text is checked once, whole; after that a value is a place in it, and looking for a
 * key or an element walks over the text. Writing is done twice by the same function: for
 * the length, and then into memory of just that size, so that no failure can be missed.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* --- checking ---------------------------------------------------------------------- */

typedef struct an_checking {
    const char *at, *end;
    const char *why; /* null: all is well so far */
} an_checking;

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at)) at++;
    return at;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int refuse(an_checking *c, const char *why)
{
    if (c->why == NULL) c->why = why;
    return 0;
}

/* Four hexadecimal digits; -1: they are not there. */
static long hex4(const char *at, const char *end)
{
    long value = 0;
    int i;

    if (end - at < 4) return -1;
    for (i = 0; i < 4; i++) {
        char c = at[i];
        int digit = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;

        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The character that an escape of \u stands for, of one or of two halves, and how many
 * bytes it takes; -1: it is none. */
static long escaped_code(const char *at, const char *end, size_t *bytes)
{
    long high = hex4(at + 2, end), low;

    *bytes = 6;
    if (high < 0xd800 || high > 0xdfff) return high;
    if (high > 0xdbff || end - at < 12 || at[6] != '\\' || at[7] != 'u') return -1;
    low = hex4(at + 8, end);
    if (low < 0xdc00 || low > 0xdfff) return -1;
    *bytes = 12;
    return 0x10000 + ((high - 0xd800) << 10 | (low - 0xdc00));
}

/* Behind the quote that ends the string at c->at. */
static int check_string(an_checking *c)
{
    c->at++;
    while (c->at < c->end && *c->at != '"') {
        const char *begin = c->at;
        size_t bytes = 2;

        if (*begin >= ' ' && *begin <= '~' && *begin != '\\') {
            c->at++; /* most of them */
            continue;
        }
        if ((unsigned char)*begin < ' ')
            return refuse(c, "a control character in a text");
        if (*begin == '\\') {
            if (c->end - begin < 2 || strchr("\"\\/bfnrtu", begin[1]) == NULL ||
                begin[1] == '\0')
                return refuse(c, "an escape that there is not");
            if (begin[1] == 'u' && escaped_code(begin, c->end, &bytes) <= 0)
                return refuse(c, "an escape of no character");
            c->at += bytes;
        } else {
            if (an__utf8_next(&c->at, c->end) < 0) {
                c->at = begin;
                return refuse(c, "a text that is not UTF-8");
            }
        }
    }
    if (c->at == c->end) return refuse(c, "a text without an end");
    c->at++;
    return 1;
}

static void skip_digits(an_checking *c)
{
    while (c->at < c->end && is_digit(*c->at)) c->at++;
}

static int check_number(an_checking *c)
{
    const char *begin = c->at, *digits;

    if (*c->at == '-') c->at++;
    digits = c->at;
    skip_digits(c);
    if (c->at == digits || (*digits == '0' && c->at > digits + 1))
        return refuse(c, "a number that is none");
    if (c->at < c->end && *c->at == '.') {
        digits = ++c->at;
        skip_digits(c);
        if (c->at == digits) return refuse(c, "a number that is none");
    }
    if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
        c->at++;
        if (c->at < c->end && (*c->at == '+' || *c->at == '-')) c->at++;
        digits = c->at;
        skip_digits(c);
        if (c->at == digits) return refuse(c, "a number that is none");
    }
    if (c->at - begin > AN_JSON_DIGITS) return refuse(c, "a number that is too long");
    return 1;
}

static int check_word(an_checking *c)
{
    static const char *const words[] = {"true", "false", "null"};
    size_t i;

    for (i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);

        if ((size_t)(c->end - c->at) < length || memcmp(c->at, words[i], length) != 0)
            continue;
        c->at += length;
        return 1;
    }
    return refuse(c, "neither a value nor an end");
}

static int check_scalar(an_checking *c)
{
    if (*c->at == '"') return check_string(c);
    if (*c->at == '-' || is_digit(*c->at)) return check_number(c);
    return check_word(c);
}

/* A key and its colon. */
static int check_key(an_checking *c)
{
    if (c->at == c->end || *c->at != '"') return refuse(c, "no key where one must be");
    if (!check_string(c)) return 0;
    c->at = skip_blanks(c->at, c->end);
    if (c->at == c->end || *c->at != ':') return refuse(c, "no colon behind a key");
    c->at = skip_blanks(c->at + 1, c->end);
    return 1;
}

/* Behind a value: ends of lists and objects, then what must come before the next value.
 * 0: nothing more comes, or it is wrong. */
static int go_on(an_checking *c, const char *open, size_t *depth)
{
    for (;; c->at++, --*depth) {
        c->at = skip_blanks(c->at, c->end);
        if (*depth == 0) return c->at == c->end ? 0 : refuse(c, "more behind the end");
        if (c->at == c->end) return refuse(c, "an end that is missing");
        if (*c->at == ',') break;
        if (*c->at != (open[*depth - 1] == '{' ? '}' : ']'))
            return refuse(c, "neither a comma nor an end");
    }
    c->at = skip_blanks(c->at + 1, c->end);
    return open[*depth - 1] == '[' || check_key(c);
}

/* c->at is where a value must be. A list or object that is not empty begins: its first
 * value comes next. *more is 0 behind a whole value. */
static int check_value(an_checking *c, char *open, size_t *depth, int *more)
{
    *more = 0;
    if (c->at == c->end) return refuse(c, "a value that is missing");
    if (*c->at != '{' && *c->at != '[') return check_scalar(c);
    if (*depth == AN_JSON_DEPTH) return refuse(c, "too many values within each other");
    open[(*depth)++] = *c->at;
    c->at = skip_blanks(c->at + 1, c->end);
    if (c->at < c->end && *c->at == (open[*depth - 1] == '{' ? '}' : ']')) {
        c->at++;
        --*depth;
        return 1;
    }
    *more = 1;
    return open[*depth - 1] == '[' || check_key(c);
}

/* --- looking ----------------------------------------------------------------------- */

static const an_json nothing = {NULL, NULL};

static const char *behind_string(const char *at)
{
    for (at++; *at != '"'; at++)
        if (*at == '\\') at++;
    return at + 1;
}

/* Behind the value that begins here: the text has been checked. */
static const char *behind(const char *at, const char *end)
{
    size_t depth = 0;

    do {
        if (*at == '"') {
            at = behind_string(at);
            continue;
        }
        if (*at == '{' || *at == '[') depth++;
        if (*at == '}' || *at == ']') depth--;
        at++;
        /* The rest of a number or a word. */
        while (depth == 0 && at < end && strchr(",]}: \t\n\r\"", *at) == NULL) at++;
    } while (depth > 0);
    return at;
}

an_status an__json_check(an_json *out, const char *text, size_t bytes, const char *what)
{
    an_checking c = {text, text + bytes, NULL};
    char open[AN_JSON_DEPTH];
    size_t depth = 0;
    int more;

    c.at = skip_blanks(c.at, c.end);
    out->at = c.at;
    while (check_value(&c, open, &depth, &more) && (more || go_on(&c, open, &depth))) {
    }
    if (c.why == NULL) {
        out->end = behind(out->at, c.end);
        return AN_OK;
    }
    *out = nothing;
    return an__fail(AN_ERROR_FORMAT, "%s is no JSON: byte %zu: %s", what,
                    (size_t)(c.at - text), c.why);
}

int an__json_is_kind(an_json value, char kind)
{
    return value.at != NULL && *value.at == kind;
}

int an__json_is_null(an_json value)
{
    return an__json_is_kind(value, 'n');
}

an_json_walk an__json_walk(an_json list)
{
    an_json_walk walk = {NULL, list.end, an__json_is_kind(list, '{')};

    if (walk.has_keys || an__json_is_kind(list, '['))
        walk.at = skip_blanks(list.at + 1, list.end);
    return walk;
}

int an__json_next(an_json_walk *walk, an_json *key, an_json *value)
{
    if (walk->at == NULL || *walk->at == ']' || *walk->at == '}') return 0;
    if (walk->has_keys) {
        an_json found = {walk->at, behind_string(walk->at)};

        if (key != NULL) *key = found;
        walk->at = skip_blanks(skip_blanks(found.end, walk->end) + 1, walk->end);
    }
    value->at = walk->at;
    value->end = behind(walk->at, walk->end);
    walk->at = skip_blanks(value->end, walk->end);
    if (*walk->at == ',') walk->at = skip_blanks(walk->at + 1, walk->end);
    return 1;
}

size_t an__json_count(an_json list)
{
    an_json_walk walk = an__json_walk(list);
    an_json value;
    size_t count = 0;

    while (an__json_next(&walk, NULL, &value)) count++;
    return count;
}

void an__json_members(an_json object, const char *const *names, an_json *values,
                      size_t count)
{
    an_json_walk walk = an__json_walk(object);
    an_json key, value;
    size_t i;

    for (i = 0; i < count; i++) values[i] = nothing;
    while (walk.has_keys && an__json_next(&walk, &key, &value))
        for (i = 0; i < count; i++) {
            if (!an__json_equals(key, names[i])) continue;
            /* One that is there twice has an end, but no place. */
            values[i].at = values[i].end == NULL ? value.at : NULL;
            values[i].end = value.end;
        }
}

an_json an__json_get(an_json object, const char *name)
{
    an_json value;

    an__json_members(object, &name, &value, 1);
    return value;
}

/* The next character of a text, as bytes, or one of its bytes: *at moves behind it. */
static size_t next_bytes(const char **at, const char *end, char bytes[4])
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    size_t taken;
    long code;

    if (**at != '\\') {
        bytes[0] = *(*at)++;
        return 1;
    }
    if ((*at)[1] != 'u') {
        bytes[0] = meant[strchr(letters, (*at)[1]) - letters];
        *at += 2;
        return 1;
    }
    code = escaped_code(*at, end, &taken);
    *at += taken;
    if (code < 0x80) {
        bytes[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        bytes[0] = (char)(0xc0 | code >> 6);
        bytes[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        bytes[0] = (char)(0xe0 | code >> 12);
        bytes[1] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    bytes[0] = (char)(0xf0 | code >> 18);
    bytes[1] = (char)(0x80 | (code >> 12 & 0x3f));
    bytes[2] = (char)(0x80 | (code >> 6 & 0x3f));
    bytes[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

int an__json_text(an_json value, char *out, size_t size, size_t *length)
{
    const char *at, *end = value.end;
    size_t used = 0;

    if (!an__json_is_kind(value, '"')) return 0;
    for (at = value.at + 1; *at != '"';) {
        char bytes[4];
        size_t count = next_bytes(&at, end, bytes);

        if (out != NULL && used + count < size) memcpy(out + used, bytes, count);
        used += count;
    }
    if (out != NULL && used >= size) return 0;
    if (out != NULL) out[used] = '\0';
    if (length != NULL) *length = used;
    return 1;
}

int an__json_equals(an_json value, const char *text)
{
    const char *at, *end = value.end;

    if (!an__json_is_kind(value, '"')) return 0;
    for (at = value.at + 1; *at != '"';) {
        char bytes[4];
        size_t count = next_bytes(&at, end, bytes);

        if (strncmp(bytes, text, count) != 0) return 0;
        text += count;
    }
    return *text == '\0';
}

int an__json_whole(an_json value, uint64_t *out)
{
    const char *at = value.at;
    uint64_t number = 0;

    if (at == NULL || !is_digit(*at)) return 0;
    for (; at < value.end && !is_blank(*at); at++) {
        uint64_t digit = (uint64_t)(*at - '0');

        if (!is_digit(*at) || number > (UINT64_MAX - digit) / 10) return 0;
        number = 10 * number + digit;
    }
    *out = number;
    return 1;
}

/* What the calling thread's locale has between 0 and 5 of 0.5: it may have been changed
 * by the host, and is not to be changed by us. */
static size_t decimal_point(char point[16])
{
    char half[16];
    int length = snprintf(half, sizeof half, "%.1f", 0.5);
    size_t bytes = length > 2 ? (size_t)length - 2 : 1;

    memcpy(point, length > 2 ? half + 1 : ".", bytes);
    point[bytes] = '\0';
    return bytes;
}

int an__json_real(an_json value, double *out)
{
    char text[AN_JSON_DIGITS + 16], point[16];
    size_t length, bytes;
    const char *dot;

    if (value.at == NULL || (!is_digit(*value.at) && *value.at != '-')) return 0;
    length = (size_t)(value.end - value.at);
    dot = memchr(value.at, '.', length);
    if (dot == NULL) {
        memcpy(text, value.at, length);
    } else {
        size_t before = (size_t)(dot - value.at);

        bytes = decimal_point(point);
        memcpy(text, value.at, before);
        memcpy(text + before, point, bytes);
        memcpy(text + before + bytes, dot + 1, length - before - 1);
        length += bytes - 1;
    }
    text[length] = '\0';
    *out = strtod(text, NULL);
    return isfinite(*out);
}

/* --- writing ----------------------------------------------------------------------- */

static void put(an_json_out *out, const char *bytes, size_t count)
{
    if (out->text != NULL) memcpy(out->text + out->used, bytes, count);
    out->used += count;
}

static void put_text(an_json_out *out, const char *text)
{
    put(out, text, strlen(text));
}

/* A comma, where something stands before. */
static void begin_value(an_json_out *out)
{
    if (out->more) put(out, ",", 1);
    out->more = 1;
}

void an__json_open(an_json_out *out, char kind)
{
    begin_value(out);
    put(out, &kind, 1);
    out->more = 0;
}

void an__json_close(an_json_out *out, char kind)
{
    put(out, &kind, 1);
    out->more = 1;
}

static void put_string(an_json_out *out, const char *text, size_t length)
{
    static const char special[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    const char *end = text + length;

    put(out, "\"", 1);
    while (text < end) {
        const char *plain = text, *found;
        char escape[8];

        while (text < end && (unsigned char)*text >= ' ' && *text != '"' && *text != '\\')
            text++;
        put(out, plain, (size_t)(text - plain));
        if (text == end) break;
        found = memchr(special, *text, sizeof special - 1);
        if (found != NULL)
            snprintf(escape, sizeof escape, "\\%c", letter[found - special]);
        else
            snprintf(escape, sizeof escape, "\\u%04X", (unsigned char)*text);
        put_text(out, escape);
        text++;
    }
    put(out, "\"", 1);
}

void an__json_key(an_json_out *out, const char *name)
{
    begin_value(out);
    put_string(out, name, strlen(name));
    put(out, ":", 1);
    out->more = 0;
}

void an__json_put_bytes(an_json_out *out, const char *text, size_t length)
{
    begin_value(out);
    put_string(out, text, length);
}

void an__json_put_text(an_json_out *out, const char *text)
{
    if (text != NULL) {
        an__json_put_bytes(out, text, strlen(text));
        return;
    }
    begin_value(out);
    put_text(out, "null");
}

void an__json_put_whole(an_json_out *out, uint64_t number)
{
    char text[24];

    begin_value(out);
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    put_text(out, text);
}

/* 17 digits bring back every double, and so every float. */
void an__json_put_real(an_json_out *out, double number)
{
    char text[48], point[16], *dot, *exponent;
    size_t bytes = decimal_point(point);

    begin_value(out);
    snprintf(text, sizeof text, "%.17g", number);
    exponent = strchr(text, 'e');
    if (exponent != NULL) *exponent++ = '\0';
    dot = strstr(text, point);
    if (dot != NULL) *dot = '\0';
    put_text(out, text);
    if (dot != NULL) put(out, ".", 1);
    if (dot != NULL) put_text(out, dot + bytes);
    if (dot == NULL && exponent == NULL) put_text(out, ".0");
    if (exponent == NULL) return;
    put(out, "e", 1); /* and of 1e+05 what is not needed is left out */
    if (*exponent == '-') put(out, "-", 1);
    put_text(out, exponent + 1 + strspn(exponent + 1, "0"));
}

an_status an__json_make(char **text, size_t *length, const an_allocator *memory,
                        an_json_fn make, const void *arg)
{
    an_json_out out = {NULL, 0, 0};

    make(&out, arg);
    *length = out.used;
    out.text = an__alloc(memory, out.used + 1);
    if (out.text == NULL) return AN_ERROR_MEMORY;
    out.used = 0;
    out.more = 0;
    make(&out, arg);
    out.text[out.used] = '\0';
    *text = out.text;
    return AN_OK;
}
