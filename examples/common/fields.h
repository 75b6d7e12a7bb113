/*
 * fields.h - a line's path and class, as people and other programs write them.
 */
#ifndef FIELDS_H
#define FIELDS_H

/* What stands between a line's path and its class, where neither quotes nor a tab say
 * it. */
typedef enum separator { BLANKS, COMMA } separator;

/* The text without blanks, or a line's end, around it; changes it. */
char *trimmed(char *text);
/* Whether it depends on the separator how a trimmed line is understood. */
int fields_decide(const char *line);
/* Finds both in a trimmed line, which it changes. Either may stand in double quotes, in
 * which two of them stand for one. Returns 0, or -1 if one of them is missing. */
int fields_split(char *line, separator between, char **path, char **class_name);

#endif
