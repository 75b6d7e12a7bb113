/*
 * chart.h - panels of curves, one below the other, as a PNG file.
 */
#ifndef CHART_H
#define CHART_H

#include <stddef.h>
#include <stdint.h>

typedef struct series {
    const char *label; /* in the legend; null: not there */
    const double *x, *y;
    size_t count;
    uint32_t colour;
    int dashed;
} series;

typedef struct chart_panel {
    const char *title, *x_name;
    int percent;   /* values are shares of 1 */
    double y_high; /* 0: what the series want */
    const series *all;
    size_t count;
} chart_panel;

/* Colours that are told apart, also by the colour-blind: Okabe and Ito's. */
uint32_t chart_colour(size_t number);

/* 0 on success. Legends stand in the first panel's upper right. */
int chart_draw(const char *path, const char *title, const chart_panel *panels,
               size_t count);

#endif
