/*
 * no_canvas.c - canvas.c for programs that are built without cairo: nothing is drawn, and
 * whoever asks for a picture is told so.
 */
#include <stdio.h>
#include <stdlib.h>

#include "canvas.h"

int canvas_draws(void)
{
    return 0;
}

canvas *canvas_make(double width, double height)
{
    (void)width, (void)height;
    fprintf(stderr, "this program was built without cairo and draws no pictures\n");
    exit(1);
}

/* Nobody has a canvas to call these with. */
void canvas_free(canvas *c)
{
    (void)c;
}

void canvas_fill(canvas *c, double x, double y, double width, double height,
                 uint32_t colour)
{
    (void)c, (void)x, (void)y, (void)width, (void)height, (void)colour;
}

void canvas_frame(canvas *c, double x, double y, double width, double height,
                  double thickness, uint32_t colour)
{
    (void)c, (void)x, (void)y, (void)width, (void)height, (void)thickness, (void)colour;
}

void canvas_line(canvas *c, const double *x, const double *y, int count, double thickness,
                 int dashed, uint32_t colour)
{
    (void)c, (void)x, (void)y, (void)count, (void)thickness, (void)dashed, (void)colour;
}

void canvas_text(canvas *c, double x, double y, double size, int where, double most,
                 uint32_t colour, const char *text)
{
    (void)c, (void)x, (void)y, (void)size, (void)where, (void)most, (void)colour;
    (void)text;
}

double canvas_text_width(canvas *c, double size, const char *text)
{
    (void)c, (void)size, (void)text;
    return 0;
}

void canvas_picture(canvas *c, double x, double y, double width, double height,
                    const uint8_t *pixels, uint32_t pixels_wide, uint32_t pixels_high)
{
    (void)c, (void)x, (void)y, (void)width, (void)height, (void)pixels;
    (void)pixels_wide, (void)pixels_high;
}

int canvas_write_png(canvas *c, const char *path)
{
    (void)c, (void)path;
    return -1;
}
