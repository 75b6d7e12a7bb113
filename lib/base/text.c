/*
 * text.c - names that a host gives, texts as people may see them, and lists of names for
 * messages.
 */
#include <stdio.h>
#include <string.h>

#include "base/base.h"

long an__utf8_next(const char **s, const char *end)
{
    const unsigned char *at = (const unsigned char *)*s;
    uint32_t code = *at++, least;
    int more;

    ++*s;
    if (code < 0x80) return (long)code;
    if (code >= 0xc2 && code < 0xe0)
        more = 1, code &= 0x1f;
    else if (code >= 0xe0 && code < 0xf0)
        more = 2, code &= 0x0f;
    else if (code >= 0xf0 && code < 0xf5)
        more = 3, code &= 0x07;
    else
        return -1;
    least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
    if (end - *s < more) return -1;
    for (; more > 0; more--, at++) {
        if ((*at & 0xc0) != 0x80) return -1;
        code = code << 6 | (*at & 0x3f);
    }
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return -1;
    *s = (const char *)at;
    return (long)code;
}

static int utf8_valid(const char *s)
{
    const char *end = s + strlen(s);

    while (s < end)
        if (an__utf8_next(&s, end) < 0) return 0;
    return 1;
}

/* What a terminal would obey, or show as nothing, or in another place: controls, marks of
 * direction, characters without width, tags. (Unicode 15, categories Cc and Cf) */
static int is_unseen(long code)
{
    static const struct {
        long first, last;
    } unseen[] = {{0, 0x1f},        {0x7f, 0x9f},      {0xad, 0xad},     {0x61c, 0x61c},
                  {0x200b, 0x200f}, {0x2028, 0x202e},  {0x2060, 0x206f}, {0xfeff, 0xfeff},
                  {0xfff9, 0xfffb}, {0xe0000, 0xe0fff}};
    size_t i;

    for (i = 0; i < sizeof unseen / sizeof unseen[0]; i++)
        if (code >= unseen[i].first && code <= unseen[i].last) return 1;
    return 0;
}

void an__text_show(char *out, size_t size, const char *text)
{
    const char *s = text, *end = s + strlen(s);
    size_t used = 0;

    while (s < end) {
        const char *begin = s;
        long code = an__utf8_next(&s, end);
        char shown[12];
        size_t length = (size_t)(s - begin);

        if (code < 0)
            length =
                (size_t)snprintf(shown, sizeof shown, "\\x%02x", (unsigned char)*begin);
        else if (is_unseen(code))
            length = (size_t)snprintf(shown, sizeof shown,
                                      code < 0x80 ? "\\x%02lx" : "\\u%04lx", code);
        else
            memcpy(shown, begin, length);
        if (used + length >= size) break;
        memcpy(out + used, shown, length);
        used += length;
    }
    out[used] = '\0';
}

an_status an__name_copy(const an_allocator *memory, char **to, const char *name)
{
    char *copy;
    size_t length;

    AN_CHECK(name != NULL, "name is null");
    length = strlen(name);
    AN_CHECK(length <= 255, "name is %zu bytes long: must be at most 255", length);
    AN_CHECK(utf8_valid(name), "name is not UTF-8");
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
