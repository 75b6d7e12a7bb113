/*
 * tensors.h - probes of copies by the tensor memory accelerator, with maps as the backend
 * makes them, and of the mbarriers at which they arrive. Numbers are codes of their
 * places.
 */
#ifndef AN_CARD_TENSORS_H
#define AN_CARD_TENSORS_H

#include "gemm/tensor_map.cu"
#include "harness.h"
#include "kernels.cuh"

static an_status map_failed(an_status status, const char *, ...)
{
    return status;
}

/* The card as the backend knows it. */
static an_device *mapping_device()
{
    static an_host host;
    static an_device known;

    host.fail = map_failed;
    known.host = &host;
    if (!an__cuda_tensor_maps(&known)) say("FAIL", "the driver makes no tensor maps");
    return &known;
}

/* What is wanted of shared memory: a guard, but for row r the words of `number`,
 * swapped. */
template <class Number> static Vector swapped(uint32_t rows, Number number)
{
    Vector want(COPIED_WORDS, (uint32_t)GUARD);

    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t i = 0; i < AN_ROW_NUMBERS; i += 2) {
            uint32_t piece = i / 8 ^ row % 8;

            want[row * 32 + piece * 4 + i % 8 / 2] =
                number(row, i) | (uint32_t)number(row, i + 1) << 16;
        }
    return want;
}

static void ask_copied(Copying &copying, an_status mapped, const Vector &want)
{
    Numbers<uint32_t> to(COPIED_WORDS);

    if (mapped != AN_OK) {
        say("FAIL", "the driver refuses the map");
        return;
    }
    copying.to = to.there;
    launch(tensor_kernel, 1, 128, COPIED_WORDS * 4 + 64, copying);
    to.down();
    same(to.host, want, 32, as_hex);
}

/* A box that ends beyond the matrix, below and on the right, where memory has other
 * numbers. */
static void ask_copy_rows()
{
    enum { COLUMNS = 88, PITCH = 96, ROWS_OF_IT = 20, FIRST = 40, ROW = 9 };
    Numbers<uint16_t> matrix(PITCH * (ROWS_OF_IT + 4));
    Copying c = {};
    an_status mapped;

    for (size_t i = 0; i < matrix.host.size(); i++) matrix[i] = (uint16_t)(i + 1);
    mapped = an__cuda_map_rows(mapping_device(), &c.map, matrix.up(), COLUMNS, ROWS_OF_IT,
                               PITCH, BOX_ROWS);
    c.number = FIRST;
    c.corner.w = ROW;
    ask_copied(c, mapped, swapped(BOX_ROWS, [&](uint32_t row, uint32_t i) -> uint16_t {
                   row += ROW;
                   i += FIRST;
                   return row < ROWS_OF_IT && i < COLUMNS ? matrix[row * PITCH + i] : 0;
               }));
}

/* Windows of 3 x 3 over 3 images of 5 x 4 with padding, from one within an image to
 * beyond the last; of numbers from FIRST on, some beyond the last. */
template <int TAP_H, int TAP_W> static void ask_copy_windows()
{
    enum {
        HIGH = 5,
        WIDE = 4,
        IMAGES = 3,
        NUMBERS = 72,
        FIRST = 24,
        PIXEL = 18,
        PAD = 1
    };
    enum { PIXELS = HIGH * WIDE, ALL = IMAGES * PIXELS * NUMBERS };
    Numbers<uint16_t> images(ALL + NUMBERS);
    Copying c = {};
    an_gemm g = {};
    an_status mapped;

    for (size_t i = 0; i < images.host.size(); i++) images[i] = (uint16_t)(i + 1);
    g.in_height = HIGH, g.in_width = WIDE;
    g.groups = 1, g.in_maps = g.in_pitch = NUMBERS, g.in_image = PIXELS * NUMBERS;
    g.pad = PAD;
    g.by_width.d = WIDE, g.by_pixels.d = PIXELS; /* as many windows as pixels */
    mapped =
        an__cuda_map_windows(mapping_device(), &c.map, images.up(), &g, IMAGES, BOX_ROWS);
    c.windows = 1;
    c.number = FIRST;
    c.corner = {PIXEL % WIDE - PAD, PIXEL / WIDE - PAD, 0};
    c.tap_w = TAP_W, c.tap_h = TAP_H;
    ask_copied(
        c, mapped, swapped(BOX_ROWS, [&](uint32_t row, uint32_t i) -> uint16_t {
            int pixel = PIXEL + (int)row, image = pixel / PIXELS;
            int y = pixel % PIXELS / WIDE - PAD + TAP_H;
            int x = pixel % WIDE - PAD + TAP_W;

            i += FIRST;
            return image < IMAGES && y >= 0 && y < HIGH && x >= 0 && x < WIDE &&
                           i < NUMBERS
                       ? images[(size_t)((image * HIGH + y) * WIDE + x) * NUMBERS + i]
                       : 0;
        }));
}

/* A producer and two consumers, by two stages: each box is added up, whole, in its
 * turn. */
static void ask_phases()
{
    enum { ROWS_OF_IT = BOX_ROWS * PHASES };
    Numbers<uint16_t> matrix(ROWS_OF_IT * AN_ROW_NUMBERS);
    Numbers<uint32_t> to(PHASES * 2);
    Vector want(PHASES * 2);
    Copying c = {};

    for (size_t i = 0; i < matrix.host.size(); i++) {
        matrix[i] = (uint16_t)(i * 7 % 1000);
        want[i / (BOX_ROWS * AN_ROW_NUMBERS) * 2 + i / AN_ROW_NUMBERS % 2] += matrix[i];
    }
    if (an__cuda_map_rows(mapping_device(), &c.map, matrix.up(), AN_ROW_NUMBERS,
                          ROWS_OF_IT, AN_ROW_NUMBERS, BOX_ROWS) != AN_OK) {
        say("FAIL", "the driver refuses the map");
        return;
    }
    c.to = to.there;
    launch(phases_kernel, 1, 96, 2 * BOX_ROWS * 128 + 64, c);
    to.down();
    same(to.host, want, 2, as_hex);
}

#endif
