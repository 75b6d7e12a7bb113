/*
 * shapes.c - labelled pictures made up on the spot: eight shapes of any colour, size,
 * turn and place on textured grounds. The shape alone tells the class.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/options.h"
#include "common/picture.h"

static const char *out = "shapes";
static unsigned long per_class = 80, unseen = 3, size = 256, seed = 1;

static option table[] = {
    TEXT_OPTION("--out", &out,
                "folder: gets train/CLASS/*.png and unseen/*.png (shapes)"),
    NUMBER_OPTION("--per-class", &per_class, 1, 99999, "pictures of each class (80)"),
    NUMBER_OPTION("--unseen", &unseen, 0, 99, "and for unseen/ (3)"),
    NUMBER_OPTION("--size", &size, 16, 2048, "side in pixels (256)"),
    NUMBER_OPTION("--seed", &seed, 0, 1e9, "(1)"),
    OPTIONS_END};

static uint64_t state;

static double draw(double low, double high)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (double)(state >> 11) / 9007199254740992.0;
}

/* Distance from the edge of a shape of about unit size, negative inside. */
typedef double (*shape_fn)(double x, double y);

static double disc(double x, double y)
{
    return hypot(x, y) - 0.8;
}

static double ring(double x, double y)
{
    return fabs(hypot(x, y) - 0.7) - 0.2;
}

static double square(double x, double y)
{
    return fmax(fabs(x), fabs(y)) - 0.7;
}

static double bar(double x, double y)
{
    return fmax(fabs(x) - 1, fabs(y) - 0.25);
}

static double cross(double x, double y)
{
    return fmin(fmax(fabs(x) - 0.9, fabs(y) - 0.25), fmax(fabs(y) - 0.9, fabs(x) - 0.25));
}

static double triangle(double x, double y)
{
    return fmax(-y - 0.5, fabs(x) * 0.866 + y * 0.5 - 0.5);
}

static double crescent(double x, double y)
{
    return fmax(hypot(x, y) - 0.9, 0.75 - hypot(x - 0.45, y));
}

static double star(double x, double y)
{
    double angle = fmod(atan2(y, x) + 6.2831853, 1.2566371) - 0.6283185;

    return hypot(x, y) - 0.9 + 0.9 * fabs(angle);
}

static const struct {
    const char *name;
    shape_fn edge;
} shapes[] = {{"bar", bar},   {"crescent", crescent}, {"cross", cross},
              {"disc", disc}, {"ring", ring},         {"square", square},
              {"star", star}, {"triangle", triangle}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

typedef struct paint { /* a colour that waves into another */
    double from[3], to[3], along_x, along_y, phase;
} paint;

static paint draw_paint(double low, double high)
{
    double angle = draw(0, 6.2831853), waves = draw(0.01, 0.25);
    paint p;
    int c;

    for (c = 0; c < 3; c++) {
        p.from[c] = draw(low, high);
        p.to[c] = p.from[c] + draw(-50, 50);
    }
    p.along_x = waves * cos(angle);
    p.along_y = waves * sin(angle);
    p.phase = draw(0, 6.2831853);
    return p;
}

static double paint_at(const paint *p, int c, double x, double y)
{
    double share = 0.5 + 0.5 * sin(x * p->along_x + y * p->along_y + p->phase);

    return p->from[c] + (p->to[c] - p->from[c]) * share;
}

static picture make(shape_fn edge)
{
    picture p = picture_make((uint32_t)size, (uint32_t)size, 0);
    double radius = draw(0.2, 0.34) * (double)size, turn = draw(0, 6.2831853);
    double margin = radius * 1.05, cx = draw(margin, (double)size - margin);
    double cy = draw(margin, (double)size - margin), noise = draw(4, 22);
    int dark = draw(0, 1) < 0.5, c;
    paint ground = draw_paint(dark ? 10 : 130, dark ? 125 : 245);
    paint figure = draw_paint(dark ? 140 : 10, dark ? 245 : 115);
    unsigned long x, y;

    for (y = 0; y < size; y++)
        for (x = 0; x < size; x++) {
            double dx = ((double)x - cx) / radius, dy = ((double)y - cy) / radius;
            double u = dx * cos(turn) + dy * sin(turn),
                   v = dy * cos(turn) - dx * sin(turn);
            double inside = fmin(fmax(0.5 - edge(u, v) * radius, 0), 1);

            for (c = 0; c < 3; c++) {
                double value = paint_at(&ground, c, (double)x, (double)y) * (1 - inside) +
                               paint_at(&figure, c, (double)x, (double)y) * inside +
                               draw(-noise, noise);

                p.pixels[(y * size + x) * 3 + (unsigned long)c] =
                    (uint8_t)fmin(fmax(value, 0), 255);
            }
        }
    return p;
}

static void make_folder(const char *path)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST) {
        perror(path);
        exit(1);
    }
}

static void write_one(shape_fn edge, const char *path)
{
    picture p = make(edge);

    if (picture_write_png(&p, path) != 0) {
        perror(path);
        exit(1);
    }
    picture_free(&p);
}

int main(int argc, char **argv)
{
    char *path;
    unsigned long i;
    int s;

    if (options_parse(table, argc, argv, "[options]") != 0)
        usage_error("no operand is wanted");
    path = allocate(strlen(out) + 64);
    state = seed * 0x9E3779B97F4A7C15u + 1;
    make_folder(out);
    sprintf(path, "%s/train", out);
    make_folder(path);
    sprintf(path, "%s/unseen", out);
    make_folder(path);
    for (s = 0; s < SHAPES; s++) {
        sprintf(path, "%s/train/%s", out, shapes[s].name);
        make_folder(path);
        for (i = 0; i < per_class; i++) {
            sprintf(path, "%s/train/%s/%05lu.png", out, shapes[s].name, i);
            write_one(shapes[s].edge, path);
        }
        for (i = 0; i < unseen; i++) {
            sprintf(path, "%s/unseen/%s-%lu.png", out, shapes[s].name, i);
            write_one(shapes[s].edge, path);
        }
    }
    printf("%lu pictures of %d shapes: %s/train, %s/unseen\n",
           (per_class + unseen) * SHAPES, SHAPES, out, out);
    free(path);
    return 0;
}
