/*
 * canvas.c - cairo, with fewer arguments.
 */
#include "canvas.h"

#include <cairo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "output.h"

struct canvas {
    cairo_surface_t *surface;
    cairo_t *cr;
};

static void set_colour(canvas *c, uint32_t colour)
{
    cairo_set_source_rgb(c->cr, (colour >> 16 & 255) / 255.0, (colour >> 8 & 255) / 255.0,
                         (colour & 255) / 255.0);
}

int canvas_draws(void)
{
    return 1;
}

canvas *canvas_make(double width, double height)
{
    canvas *c = allocate(sizeof *c);

    c->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)ceil(width),
                                            (int)ceil(height));
    c->cr = cairo_create(c->surface);
    if (cairo_status(c->cr) != CAIRO_STATUS_SUCCESS) {
        fprintf(stderr, "cairo: %s\n", cairo_status_to_string(cairo_status(c->cr)));
        exit(1);
    }
    cairo_select_font_face(c->cr, "sans", CAIRO_FONT_SLANT_NORMAL,
                           CAIRO_FONT_WEIGHT_NORMAL);
    canvas_fill(c, 0, 0, width, height, 0xffffff);
    return c;
}

void canvas_free(canvas *c)
{
    cairo_destroy(c->cr);
    cairo_surface_destroy(c->surface);
    free(c);
}

void canvas_fill(canvas *c, double x, double y, double width, double height,
                 uint32_t colour)
{
    set_colour(c, colour);
    cairo_rectangle(c->cr, x, y, width, height);
    cairo_fill(c->cr);
}

void canvas_frame(canvas *c, double x, double y, double width, double height,
                  double thickness, uint32_t colour)
{
    set_colour(c, colour);
    cairo_set_line_width(c->cr, thickness);
    cairo_rectangle(c->cr, x, y, width, height);
    cairo_stroke(c->cr);
}

void canvas_line(canvas *c, const double *x, const double *y, int count, double thickness,
                 int dashed, uint32_t colour)
{
    static const double dashes[] = {5, 3};
    int i;

    set_colour(c, colour);
    cairo_set_line_width(c->cr, thickness);
    cairo_set_line_join(c->cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(c->cr, dashes, dashed ? 2 : 0, 0);
    cairo_new_path(c->cr); /* a text leaves its end as the current point */
    for (i = 0; i < count; i++)
        if (isfinite(x[i]) && isfinite(y[i])) cairo_line_to(c->cr, x[i], y[i]);
    cairo_stroke(c->cr);
    cairo_set_dash(c->cr, dashes, 0, 0);
}

double canvas_text_width(canvas *c, double size, const char *text)
{
    cairo_text_extents_t extents;

    cairo_set_font_size(c->cr, size);
    cairo_text_extents(c->cr, text, &extents);
    return extents.x_advance;
}

/* Takes whole UTF-8 characters from the end until the rest and an ellipsis fit. */
static void shorten(canvas *c, double size, double most, char *text)
{
    size_t length = strlen(text);

    while (length > 0 && canvas_text_width(c, size, text) > most) {
        do length--;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80);
        strcpy(text + length, "\xe2\x80\xa6");
    }
}

void canvas_text(canvas *c, double x, double y, double size, int where, double most,
                 uint32_t colour, const char *text)
{
    char *copy = allocate(strlen(text) + 4);
    double width;

    strcpy(copy, text);
    if (most > 0 && canvas_text_width(c, size, copy) > most) shorten(c, size, most, copy);
    width = canvas_text_width(c, size, copy);
    set_colour(c, colour);
    cairo_move_to(c->cr,
                  where == CANVAS_LEFT     ? x
                  : where == CANVAS_CENTRE ? x - width / 2
                                           : x - width,
                  y);
    cairo_show_text(c->cr, copy);
    free(copy);
}

void canvas_picture(canvas *c, double x, double y, double width, double height,
                    const uint8_t *pixels, uint32_t pixels_wide, uint32_t pixels_high)
{
    cairo_surface_t *picture = cairo_image_surface_create(
        CAIRO_FORMAT_RGB24, (int)pixels_wide, (int)pixels_high);
    unsigned char *data = cairo_image_surface_get_data(picture);
    int stride = cairo_image_surface_get_stride(picture);
    uint32_t i, j;

    if (data == NULL) fail("cairo");
    for (j = 0; j < pixels_high; j++)
        for (i = 0; i < pixels_wide; i++, pixels += 3) {
            uint32_t rgb =
                (uint32_t)pixels[0] << 16 | (uint32_t)pixels[1] << 8 | pixels[2];

            memcpy(data + (size_t)j * (size_t)stride + 4 * (size_t)i, &rgb, sizeof rgb);
        }
    cairo_surface_mark_dirty(picture);
    cairo_save(c->cr);
    cairo_translate(c->cr, x, y);
    cairo_scale(c->cr, width / pixels_wide, height / pixels_high);
    cairo_set_source_surface(c->cr, picture, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(c->cr), width > pixels_wide
                                                          ? CAIRO_FILTER_NEAREST
                                                          : CAIRO_FILTER_GOOD);
    cairo_rectangle(c->cr, 0, 0, pixels_wide, pixels_high);
    cairo_fill(c->cr);
    cairo_restore(c->cr);
    cairo_surface_destroy(picture);
}

static cairo_status_t write_bytes(void *file, const unsigned char *bytes, unsigned count)
{
    return fwrite(bytes, 1, count, file) == count ? CAIRO_STATUS_SUCCESS
                                                  : CAIRO_STATUS_WRITE_ERROR;
}

int canvas_write_png(canvas *c, const char *path)
{
    output o;

    if (output_begin(&o, path) != 0) return -1;
    /* What could not be written, output_end() knows. */
    (void)cairo_surface_write_to_png_stream(c->surface, write_bytes, o.file);
    return output_end(&o);
}
