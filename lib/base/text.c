/*
 * text.c - names that a host gives, and lists of names for messages.
 */
#include <stdio.h>
#include <string.h>

#include "base/base.h"

/* Well-formed UTF-8, as RFC 3629 has it: no overlong forms, no surrogates. */
static int utf8_valid(const unsigned char *s)
{
    while (*s != '\0') {
        uint32_t code = *s, more = 0, least;

        s++;
        if (code < 0x80) continue;
        if (code >= 0xc2 && code < 0xe0)
            more = 1, code &= 0x1f;
        else if (code >= 0xe0 && code < 0xf0)
            more = 2, code &= 0x0f;
        else if (code >= 0xf0 && code < 0xf5)
            more = 3, code &= 0x07;
        else
            return 0;
        least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
        for (; more > 0; more--, s++) {
            if ((*s & 0xc0) != 0x80) return 0;
            code = code << 6 | (*s & 0x3f);
        }
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return 0;
    }
    return 1;
}

an_status an__name_copy(const an_allocator *memory, char **to, const char *name)
{
    char *copy;
    size_t length;

    AN_CHECK(name != NULL, "name is null");
    length = strlen(name);
    AN_CHECK(length <= 255, "name is %zu bytes long: must be at most 255", length);
    AN_CHECK(utf8_valid((const unsigned char *)name), "name is not UTF-8");
    copy = an__alloc(memory, length + 1);
    if (copy == NULL) return AN_ERROR_MEMORY;
    memcpy(copy, name, length + 1);
    an__free(memory, *to);
    *to = copy;
    return AN_OK;
}

void an__names_free(const an_allocator *memory, char **names, uint32_t count)
{
    uint32_t i;

    for (i = 0; names != NULL && i < count; i++) an__free(memory, names[i]);
    an__free(memory, names);
}

void an__list_begin(an_list *list)
{
    list->text[0] = '\0';
}

void an__list_add(an_list *list, const char *name)
{
    static const char more[] = ", ...";
    const size_t tail = sizeof more - 1;
    size_t length = strlen(list->text), room = sizeof list->text - length;

    if (length >= tail && strcmp(list->text + length - tail, more) == 0) return;
    if (room > 2 + strlen(name) + tail) /* so that "..." has room behind it */
        snprintf(list->text + length, room, "%s%s", length > 0 ? ", " : "", name);
    else
        snprintf(list->text + length, room, "%s", more);
}
