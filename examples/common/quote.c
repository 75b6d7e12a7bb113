/*
 * quote.c - texts as CSV and JSON want them.
 */
#include "quote.h"

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
