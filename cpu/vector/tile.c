/*
 * tile.c - the tile of sums for each number of rows.
 */
#include "tile.h"

/* rows is a constant wherever this is expanded: so `sum` is registers. So are the
 * pointers, one for three rows, which an instruction reaches with 0, 1 and 2 times a_row;
 * the compiler, if it could see that they are one pointer's, would keep distances on the
 * stack. */
AN_INLINE void add_products(const uint32_t rows, const an_terms *t, vec sum[ROWS][2])
{
    const size_t a_row = t->a_row, a_step = t->a_step, b_step = t->b_step;
    const size_t step = t->ahead != NULL ? 16 : b_step;
    uint32_t o, i, p, r;

    for (o = 0; o < t->outer; o++)
        for (i = 0; i < t->inner; i++) {
            const float *a[(ROWS + 2) / 3];
            const float *b = t->b + o * t->b_outer + i * t->b_inner;
            const float *ahead = t->ahead != NULL
                                     ? t->ahead + ((size_t)o * t->inner + i) * t->run * 16
                                     : b + 12 * b_step;

#pragma GCC unroll 5
            for (r = 0; r < rows; r += 3) {
                a[r / 3] = t->a + o * t->a_outer + i * t->a_inner + r * a_row;
                __asm__("" : "+r"(a[r / 3]));
            }
            for (p = 0; p < t->run; p++, b += b_step, ahead += step) {
                const vec left = vec_load(b), right = vec_load(b + VL);

                _mm_prefetch((const char *)ahead, _MM_HINT_T1);
#pragma GCC unroll 14
                for (r = 0; r < rows; r++) {
                    const vec x = vec_set(a[r / 3][r % 3 * a_row]);

                    sum[r][0] = vec_fma(x, left, sum[r][0]);
                    sum[r][1] = vec_fma(x, right, sum[r][1]);
                }
#pragma GCC unroll 5
                for (r = 0; r < rows; r += 3) a[r / 3] += a_step;
            }
        }
}

AN_INLINE void begin(const uint32_t rows, const an_sums *s, vec sum[ROWS][2])
{
    uint32_t left = s->cols < VL ? s->cols : VL, right = s->cols - left, r;
    vec first[2];

    first[0] = first[1] = vec_set(0);
    if (s->bias != NULL) {
        first[0] = vec_load_part(s->bias, left);
        first[1] = vec_load_part(s->bias + left, right);
    }
#pragma GCC unroll 14
    for (r = 0; r < rows; r++) {
        sum[r][0] = first[0];
        sum[r][1] = first[1];
        if (s->add) {
            sum[r][0] += vec_load_part(s->c + r * s->c_row, left);
            sum[r][1] += vec_load_part(s->c + r * s->c_row + left, right);
        }
    }
}

AN_INLINE void end(const uint32_t rows, const an_sums *s, vec sum[ROWS][2])
{
    uint32_t left = s->cols < VL ? s->cols : VL, right = s->cols - left, r;

    if (s->cols == COLS && !s->relu) {
#pragma GCC unroll 14
        for (r = 0; r < rows; r++) {
            vec_store(s->c + r * s->c_row, sum[r][0]);
            vec_store(s->c + r * s->c_row + VL, sum[r][1]);
        }
        return;
    }
#pragma GCC unroll 14
    for (r = 0; r < rows; r++) {
        if (s->relu) {
            sum[r][0] = vec_max(vec_set(0), sum[r][0]);
            sum[r][1] = vec_max(vec_set(0), sum[r][1]);
        }
        vec_store_part(s->c + r * s->c_row, left, sum[r][0]);
        vec_store_part(s->c + r * s->c_row + left, right, sum[r][1]);
    }
}

#define TILE(rows)                                                                       \
    static void tile_##rows(const an_terms *t, const an_sums *s)                         \
    {                                                                                    \
        vec sum[ROWS][2];                                                                \
                                                                                         \
        begin(rows, s, sum);                                                             \
        add_products(rows, t, sum);                                                      \
        end(rows, s, sum);                                                               \
    }

TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
#if ROWS > 6
TILE(7)
TILE(8)
TILE(9)
TILE(10)
TILE(11)
TILE(12)
TILE(13)
TILE(14)
#endif

void V(tile)(uint32_t rows, const an_terms *t, const an_sums *s)
{
    static void (*const tile[ROWS + 1])(const an_terms *, const an_sums *) = {
        NULL,
        tile_1,
        tile_2,
        tile_3,
        tile_4,
        tile_5,
        tile_6,
#if ROWS > 6
        tile_7,
        tile_8,
        tile_9,
        tile_10,
        tile_11,
        tile_12,
        tile_13,
        tile_14
#endif
    };

    tile[rows](t, s);
}
