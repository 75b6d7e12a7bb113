/*
 * fields.c - a line's path and class, as people and other programs write them.
 */
#include "fields.h"

#include <stddef.h>
#include <string.h>

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

char *trimmed(char *text)
{
    char *end = text + strlen(text);

    while (end > text && (is_blank(end[-1]) || end[-1] == '\r' || end[-1] == '\n'))
        *--end = '\0';
    while (is_blank(*text)) text++;
    return text;
}

char *unquote(char *text)
{
    char *from = text + 1, *to = text;

    for (; *from != '\0'; from++) {
        if (*from == '"' && *++from != '"') {
            *to = '\0';
            return from;
        }
        *to++ = *from;
    }
    return NULL;
}

char *split(char *line, separator between)
{
    char *at;

    if (*line == '"') {
        char *behind = unquote(line);

        if (behind == NULL) return NULL;
        behind += strspn(behind, " \t,");
        return *behind != '\0' ? behind : NULL;
    }
    at = between == TAB     ? strchr(line, '\t')
         : between == COMMA ? strrchr(line, ',')
                            : NULL;
    if (between == BLANKS)
        for (at = line + strlen(line); at > line && !is_blank(at[-1]);) at--;
    if (at == NULL || at == line) return NULL;
    if (between == BLANKS) at--;
    *at = '\0';
    return trimmed(at + 1);
}
