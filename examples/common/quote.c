/*
 * quote.c - texts that nobody vouches for: for terminals, as CSV and as JSON.
 */
#include "quote.h"

#include <stdlib.h>
#include <string.h>

#include "options.h"

void quote_csv(FILE *to, const char *text)
{
    putc('"', to);
    for (; *text != '\0'; text++) {
        if (*text == '"') putc('"', to);
        putc(*text, to);
    }
    putc('"', to);
}

/* The bytes of a character in UTF-8, 1 to 4; 0: it is none. Overlong forms, surrogates
 * and what is beyond Unicode are none. (Unicode, table 3-7) */
static int utf8_bytes(const unsigned char *c)
{
    int count = c[0] < 0x80    ? 1
                : c[0] < 0xc2  ? 0
                : c[0] < 0xe0  ? 2
                : c[0] < 0xf0  ? 3
                : c[0] <= 0xf4 ? 4
                               : 0;
    int i;

    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
        (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
        return 0;
    for (i = 1; i < count; i++)
        if ((c[i] & 0xc0) != 0x80) return 0;
    return count;
}

void quote_json(FILE *to, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    putc('"', to);
    while (*at != '\0') {
        int count = utf8_bytes(at);

        if (count == 0)
            fputs("\\ufffd", to);
        else if (*at < 0x20 || *at == 0x7f)
            fprintf(to, "\\u%04x", *at);
        else if (*at == '"' || *at == '\\')
            fprintf(to, "\\%c", *at);
        else
            fwrite(at, 1, (size_t)count, to);
        at += count > 0 ? count : 1;
    }
    putc('"', to);
}

static unsigned long code_of(const unsigned char *c, int count)
{
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned long code = c[0] & first[count];
    int i;

    for (i = 1; i < count; i++) code = code << 6 | (c[i] & 0x3f);
    return code;
}

/* What a terminal obeys, hides or puts elsewhere. (Unicode 15, categories Cc and Cf) */
static int is_unseen(unsigned long code)
{
    static const unsigned long unseen[][2] = {
        {0, 0x1f},        {0x7f, 0x9f},      {0xad, 0xad},     {0x61c, 0x61c},
        {0x200b, 0x200f}, {0x2028, 0x202e},  {0x2060, 0x206f}, {0xfeff, 0xfeff},
        {0xfff9, 0xfffb}, {0xe0000, 0xe0fff}};
    size_t i;

    for (i = 0; i < sizeof unseen / sizeof unseen[0]; i++)
        if (code >= unseen[i][0] && code <= unseen[i][1]) return 1;
    return 0;
}

const char *shown(const char *text)
{
    static char *texts[8];
    static unsigned next;
    char **out = &texts[next++ % 8], *to;
    const unsigned char *at = (const unsigned char *)text;

    free(*out);
    *out = to = allocate(4 * strlen(text) + 1); /* of a byte that is no UTF-8 */
    while (*at != '\0') {
        int count = utf8_bytes(at);
        unsigned long code = count > 0 ? code_of(at, count) : *at;

        if (count == 0 || (is_unseen(code) && code < 0x80)) {
            to += sprintf(to, "\\x%02lx", code);
        } else if (is_unseen(code)) {
            to += sprintf(to, "\\u%04lx", code);
        } else {
            memcpy(to, at, (size_t)count);
            to += count;
        }
        at += count > 0 ? count : 1;
    }
    *to = '\0';
    return *out;
}
