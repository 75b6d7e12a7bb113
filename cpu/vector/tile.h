/*
 * tile.h - the loop that all products share: a tile of up to ROWS x COLS sums, which stay
 * in registers from the first product to the last.
 *
 *     c [row][col] = sum over o, i, p of
 *                    a [row * a_row + o * a_outer + i * a_inner + p * a_step]
 *                  * b [o * b_outer + i * b_inner + p * b_step + col]
 *
 * In a convolution o and i are the kernel's lines and columns, p the maps; its weights'
 * gradient sums over images, lines and pixels; a matrix product has p alone.
 */
#ifndef AN_TILE_H
#define AN_TILE_H

#include "vector.h"

typedef struct an_terms {
    const float *a, *b;
    uint32_t outer, inner, run; /* how many o, i, p */
    size_t a_row, a_outer, a_inner, a_step;
    size_t b_outer, b_inner, b_step; /* b is read COLS wide: it has zeros behind `cols` */
    /* What is far away and will be needed next: with each product a tile asks for a cache
     * line more of it. Null: for b itself, some rows further on. */
    const float *ahead;
} an_terms;

typedef struct an_sums {
    float *c;
    size_t c_row;
    uint32_t cols;     /* up to COLS, to be written */
    int add;           /* to what c holds */
    const float *bias; /* [cols], or null */
    int relu;          /* what is negative becomes 0; a NaN stays one */
} an_sums;

/* rows: 1 to ROWS */
void V(tile)(uint32_t rows, const an_terms *t, const an_sums *s);

/* How many tiles, and where one begins, if `count` rows are shared out evenly. */
AN_INLINE uint32_t tiles_of(uint32_t count)
{
    return pieces(count, ROWS);
}

AN_INLINE uint32_t share(uint32_t count, uint32_t parts, uint32_t part)
{
    return (uint32_t)((uint64_t)count * part / parts);
}

#endif
