/*
 * fields.c - a line's path and class, as people and other programs write them.
 */
#include "fields.h"

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

/* What stands behind a text in quotes, in which two of them stand for one; null: it does
 * not end. */
static char *behind_quotes(char *text)
{
    for (text++; *text != '\0'; text++) {
        if (*text != '"') continue;
        if (text[1] != '"') return text + 1;
        text++;
    }
    return NULL;
}

/* The text in quotes without them. */
static char *unquoted(char *text)
{
    char *from = text + 1, *to = text;

    for (; *from != '\0'; from++) {
        if (*from == '"' && *++from != '"') break;
        *to++ = *from;
    }
    *to = '\0';
    return text;
}

/* Where a class in quotes begins that ends the line; null: there is none. */
static char *quoted_class(char *line)
{
    char *at, *behind;

    if (*line == '\0' || line[strlen(line) - 1] != '"') return NULL;
    for (at = line + 1; *at != '\0'; at++) {
        if (*at != '"' || (!is_blank(at[-1]) && at[-1] != ',')) continue;
        behind = behind_quotes(at);
        if (behind != NULL && *behind == '\0') return at;
    }
    return NULL;
}

int fields_decide(const char *line)
{
    return *line != '"' && strchr(line, '\t') == NULL &&
           (*line == '\0' || line[strlen(line) - 1] != '"');
}

/* Of a line without quotes: the place of what separates its fields; null: none does. */
static char *separator_at(char *line, separator between)
{
    char *at = strchr(line, '\t');

    if (at != NULL) return at;
    if (between == COMMA) return strrchr(line, ',');
    for (at = line + strlen(line); at > line && !is_blank(at[-1]);) at--;
    return at > line ? at - 1 : NULL;
}

int fields_split(char *line, separator between, char **path, char **class_name)
{
    char *at, *behind;

    if (*line == '"') {
        behind = behind_quotes(line);
        if (behind == NULL || strspn(behind, " \t,") == 0) return -1;
        *class_name = behind + strspn(behind, " \t,");
        *path = unquoted(line);
        if (**class_name == '"') {
            behind = behind_quotes(*class_name);
            if (behind == NULL || *behind != '\0') return -1;
            *class_name = unquoted(*class_name);
        }
        return **path != '\0' && **class_name != '\0' ? 0 : -1;
    }
    at = quoted_class(line);
    if (at != NULL) {
        *class_name = unquoted(at);
        at[-1] = '\0'; /* the class is behind it */
        *path = trimmed(line);
        at = *path + strlen(*path);
        if (at > *path && at[-1] == ',') at[-1] = '\0', *path = trimmed(*path);
    } else {
        at = separator_at(line, between);
        if (at == NULL) return -1;
        *at = '\0';
        *class_name = trimmed(at + 1);
        *path = trimmed(line);
    }
    return **path != '\0' && **class_name != '\0' ? 0 : -1;
}
