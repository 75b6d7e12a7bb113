/*
 * rows.c - rows of named values for scripts.
 */
#include "rows.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "options.h"
#include "quote.h"

format format_find(const char *name)
{
    static const char *const names[] = {"text", "csv", "json"};
    int i;

    for (i = FORMAT_TEXT; i <= FORMAT_JSON; i++)
        if (strcmp(name, names[i]) == 0) return (format)i;
    usage_error("--format %s: must be text, csv or json", name);
}

void rows_begin(rows *r, format form, const char *const *names, size_t count)
{
    size_t i;

    memset(r, 0, sizeof *r);
    r->form = form;
    r->names = names;
    r->count = count;
    for (i = 0; form == FORMAT_CSV && i < count; i++)
        printf("%s%c", names[i], i + 1 < count ? ',' : '\n');
}

void rows_begin_within(rows *r, const char *const *names, size_t count)
{
    rows_begin(r, FORMAT_JSON, names, count);
    r->between = ", ";
}

static void before_value(const rows *r)
{
    if (r->form == FORMAT_CSV) {
        if (r->at > 0) putchar(',');
        return;
    }
    if (r->at == 0 && r->done > 0 && r->between != NULL) fputs(r->between, stdout);
    fputs(r->at == 0 ? "{" : ", ", stdout);
    quote_json(stdout, r->names[r->at]);
    fputs(": ", stdout);
}

static void after_value(rows *r)
{
    if (++r->at < r->count) return;
    r->at = 0;
    r->done++;
    if (r->form == FORMAT_JSON) putchar('}');
    if (r->between == NULL) putchar('\n');
}

void rows_text(rows *r, const char *text)
{
    before_value(r);
    if (r->form == FORMAT_CSV)
        quote_csv(stdout, text);
    else
        quote_json(stdout, text);
    after_value(r);
}

void rows_count(rows *r, uint64_t number)
{
    before_value(r);
    printf("%" PRIu64, number);
    after_value(r);
}

void rows_flag(rows *r, int flag)
{
    before_value(r);
    if (r->form == FORMAT_CSV)
        putchar(flag ? '1' : '0');
    else
        fputs(flag ? "true" : "false", stdout);
    after_value(r);
}

static void put_real(format form, double number)
{
    if (isfinite(number))
        printf("%.9g", number);
    else if (form == FORMAT_JSON)
        fputs("null", stdout);
}

void rows_real(rows *r, double number)
{
    before_value(r);
    put_real(r->form, number);
    after_value(r);
}

void rows_reals(rows *r, const float *numbers, size_t count)
{
    size_t i;

    before_value(r);
    for (i = 0; i < count; i++) {
        fputs(i == 0 ? "[" : ", ", stdout);
        put_real(r->form, (double)numbers[i]);
    }
    putchar(']');
    after_value(r);
}
