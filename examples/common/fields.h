/*
 * fields.h - a line's path and class, as people and other programs write them. All of
 * these change the text that they are given, and return places in it.
 */
#ifndef FIELDS_H
#define FIELDS_H

/* What stands between a line's path and its class. */
typedef enum separator { BLANKS, TAB, COMMA } separator;

/* The text without blanks, or a line's end, around it. */
char *trimmed(char *text);
/* A text in quotes, in which two of them stand for one, becomes what is between them; the
 * result is what stands behind it. Null: it does not end. */
char *unquote(char *text);
/* Where the class begins; `line` ends where its path does. Null: there is none. */
char *split(char *line, separator between);

#endif
