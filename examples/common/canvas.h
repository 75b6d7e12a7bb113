/*
 * canvas.h - drawing on a white page with cairo, for charts and contact sheets.
 */
#ifndef CANVAS_H
#define CANVAS_H

#include <stdint.h>

typedef struct canvas canvas;

enum { CANVAS_LEFT, CANVAS_CENTRE, CANVAS_RIGHT }; /* where a text's (x, y) is */

/* Whether this program can draw at all: 0 if it was built without cairo (no_canvas.c). */
int canvas_draws(void);

/* Places are in pixels from the upper left, colours 0xRRGGBB. Exits where cairo fails. */
canvas *canvas_make(double width, double height);
void canvas_free(canvas *c);
void canvas_fill(canvas *c, double x, double y, double width, double height,
                 uint32_t colour);
void canvas_frame(canvas *c, double x, double y, double width, double height,
                  double thickness, uint32_t colour);
/* Through `count` points; those that are not finite are left out. */
void canvas_line(canvas *c, const double *x, const double *y, int count, double thickness,
                 int dashed, uint32_t colour);
/* One line of UTF-8, its baseline at y; cut with an ellipsis at `most` pixels (0:
 * not). */
void canvas_text(canvas *c, double x, double y, double size, int where, double most,
                 uint32_t colour, const char *text);
double canvas_text_width(canvas *c, double size, const char *text);
/* RGB pixels, scaled to fill the place. */
void canvas_picture(canvas *c, double x, double y, double width, double height,
                    const uint8_t *pixels, uint32_t pixels_wide, uint32_t pixels_high);
/* 0, or -1 and errno. */
int canvas_write_png(canvas *c, const char *path);

#endif
