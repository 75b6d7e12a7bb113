/*
 * single.h - probes of what moves or rounds numbers: cp.async, ldmatrix, cvt. What is
 * expected is said here once more, from the PTX manual and by other means than in ptx.h.
 */
#ifndef AN_CARD_SINGLE_H
#define AN_CARD_SINGLE_H

#include "harness.h"
#include "kernels.cuh"

/* --- cp.async ---------------------------------------------------------------------- */

template <int BYTES> static void ask_copy()
{
    enum { WORDS = BYTES / 4 };
    Numbers<uint32_t> from(COPIES * WORDS), to(COPIES * 2 * WORDS);
    Vector want(COPIES * 2 * WORDS, (uint32_t)GUARD);

    for (int i = 0; i < COPIES * WORDS; i++) {
        from[i] = 0x10000u + (uint32_t)i;
        want[((i / WORDS) ^ 5) * 2 * WORDS + i % WORDS] =
            i / WORDS % 3 != 0 ? 0x10000u + (uint32_t)i : 0;
    }
    launch(copy_kernel<BYTES>, 1, COPIES, want.size() * 4, Words{from.up(), to.there});
    to.down();
    same(to.host, want, 2 * WORDS, as_hex);
}

static void ask_groups()
{
    Numbers<uint32_t> from(3 * COPIES * 4), to(3 * COPIES);
    Vector want(3 * COPIES);

    for (size_t i = 0; i < from.host.size(); i++) from[i] = 0x10000u + (uint32_t)i;
    for (size_t i = 0; i < want.size(); i++) want[i] = from[i * 4 + 1];
    launch(groups_kernel, 1, COPIES, from.host.size() * 4, Words{from.up(), to.there});
    to.down();
    same(to.host, want, COPIES, as_hex);
}

/* --- ldmatrix: rows of the answers are lanes, columns their registers -------------- */

template <bool TURNED> static void ask_ldmatrix()
{
    Numbers<uint32_t> from(32 * 4), to(32 * 4);
    Vector want(32 * 4);

    /* A number is row * 256 + its place in the row. */
    for (uint32_t i = 0; i < 32 * 4; i++)
        from[i] = (i / 4 * 256 + i % 4 * 2) | (i / 4 * 256 + i % 4 * 2 + 1) << 16;
    for (int lane = 0; lane < 32; lane++)
        for (int b = 0; b < 4; b++) {
            uint32_t row = (uint32_t)row_of_lane(b * 8 + lane / 4);
            uint32_t low = (uint32_t)row_of_lane(b * 8 + lane % 4 * 2);
            uint32_t high = (uint32_t)row_of_lane(b * 8 + lane % 4 * 2 + 1);
            uint32_t at = (uint32_t)lane / 4;

            want[lane * 4 + b] = TURNED ? (low * 256 + at) | (high * 256 + at) << 16
                                        : from[row * 4 + (uint32_t)lane % 4];
        }
    launch(ldmatrix_kernel<TURNED>, 1, 32, 32 * 16, Words{from.up(), to.there});
    to.down();
    same(to.host, want, 4, as_hex);
}

/* Registers 0 to 3 are A's, 4 to 7 two of B's: see mma_tf32(). */
template <bool ALONG> static void ask_float_parts()
{
    Numbers<uint32_t> from(32 * 32), to(32 * 8);
    Vector want(32 * 8);

    for (uint32_t i = 0; i < 32 * 32; i++) from[i] = i / 32 * 256 + i % 32;
    for (int lane = 0; lane < 32; lane++)
        for (int e = 0; e < 4; e++) {
            int row = PART_ROW + lane / 4, k = PART_K + lane % 4;

            want[lane * 8 + e] = from[(row + e % 2 * 8) * 32 + k + e / 2 * 4];
            want[lane * 8 + 4 + e] = from[(row + e / 2 * 8) * 32 + k + e % 2 * 4];
        }
    launch(float_parts_kernel<ALONG>, 1, 32, an_tile<32, ALONG>::NUMBERS * 4,
           Words{from.up(), to.there});
    to.down();
    same(to.host, want, 8, as_hex);
}

/* The same of bfloat16 numbers: see mma_bf16(). */
template <bool ALONG> static void ask_bf16_parts()
{
    enum { DEEP = 64 };
    Numbers<uint32_t> from(ROWS * DEEP / 2), to(32 * 8);
    Vector want(32 * 8);

    for (uint32_t i = 0; i < ROWS * DEEP / 2; i++)
        from[i] = (i * 2) | (i * 2 + 1) << 16; /* 64 * row + k */
    for (int lane = 0; lane < 32; lane++)
        for (int e = 0; e < 4; e++) {
            int row = PART_ROW + lane / 4, k = PART_K * 2 + lane % 4 * 2;

            want[lane * 8 + e] = from[((row + e % 2 * 8) * DEEP + k + e / 2 * 8) / 2];
            want[lane * 8 + 4 + e] = from[((row + e / 2 * 8) * DEEP + k + e % 2 * 8) / 2];
        }
    launch(bf16_parts_kernel<ALONG>, 1, 32, ROWS * ROW_BYTES, Words{from.up(), to.there});
    to.down();
    same(to.host, want, 8, as_hex);
}

/* --- roundings --------------------------------------------------------------------- */

/* What lies about every border there is: of halves, of numbers and of exponents. */
static Vector border_words()
{
    const uint32_t high[] = {0x3f800000, 0x3f810000, 0x3f7f0000, 0x7f7e0000,
                             0x00800000, 0x3f802000, 0x42f6e000, 0x00ffe000};
    const uint32_t low[] = {0,      1,      0x0fff, 0x1000, 0x1001, 0x1fff,
                            0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000, 0x8001,
                            0xefff, 0xf000, 0xf001, 0xffff};
    Vector words;

    for (uint32_t h : high)
        for (uint32_t l : low) {
            words.push_back(h | l);
            words.push_back((h | l) ^ 0x80000000u);
        }
    return words;
}

/* As arithmetic says, not bits: towards the nearest of two neighbours `unit` apart. */
static uint32_t nearest(uint32_t word, int bits_lost, bool ties_to_even)
{
    uint32_t unit = 1u << bits_lost, down = word & ~(unit - 1), rest = word - down;
    bool up = rest > unit / 2 ||
              (rest == unit / 2 && (!ties_to_even || (down >> bits_lost & 1) != 0));

    return up ? down + unit : down;
}

static void ask_to_tf32_of(const Vector &words)
{
    Numbers<uint32_t> from(words.size()), to(words.size());
    Vector want;

    from.host = words;
    for (uint32_t word : words) want.push_back(nearest(word, 13, false));
    launch(to_tf32_kernel, 1, (int)words.size(), 0, Words{from.up(), to.there});
    to.down();
    for (size_t i = 0; i < words.size(); i++)
        if (to[i] != want[i]) {
            say("FAIL", "%08x: got %08x expected %08x", words[i], to[i], want[i]);
            return;
        }
}

static void ask_to_tf32()
{
    ask_to_tf32_of(border_words());
}

/* Numbers below the least normal one. */
static Vector tiny_words()
{
    Vector words = border_words();

    for (uint32_t &word : words) word &= 0x807fffffu;
    return words;
}

static void ask_to_tf32_tiny()
{
    ask_to_tf32_of(tiny_words());
}

/* What becomes infinite, or nearly. */
static Vector great_words()
{
    const uint32_t words[32] = {0x7f7fffff, 0x7f7ff000, 0x7f7fefff, 0x7f7f8000,
                                0x7f7f7fff, 0xff7fffff, 0xff7ff000, 0xff7fefff,
                                0xff7f8000, 0xff7f7fff};

    return Vector(words, words + 32);
}

static void ask_to_tf32_great()
{
    ask_to_tf32_of(great_words());
}

static const uint32_t odd_words[32] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000,
                                       0x7f800001, 0x7fffffff, 0xffffffff, 0xffa00000};

static void ask_to_tf32_odd()
{
    Numbers<uint32_t> from(32), to(32);

    from.host.assign(odd_words, odd_words + 32);
    launch(to_tf32_kernel, 1, 32, 0, Words{from.up(), to.there});
    to.down();
    say("fact",
        "inf %08x, -inf %08x, NaNs 7fc00000 %08x, ffc00000 %08x, 7f800001 %08x, 7fffffff "
        "%08x, ffffffff %08x, ffa00000 %08x",
        to[0], to[1], to[2], to[3], to[4], to[5], to[6], to[7]);
}

static void ask_to_bf16x2_of(const Vector &words)
{
    size_t count = words.size();
    Numbers<uint32_t> from(count), to(count);
    Vector half;

    from.host = words;
    for (uint32_t word : words)
        half.push_back(
            (word & 0x7fffffffu) > 0x7f800000u ? 0x7fff : nearest(word, 16, true) >> 16);
    launch(to_bf16x2_kernel, 1, (int)count, 0, Words{from.up(), to.there});
    to.down();
    for (size_t i = 0; i < count; i++) {
        uint32_t want = half[i] | half[count - 1 - i] << 16;

        if (to[i] != want) {
            say("FAIL", "low %08x high %08x: got %08x expected %08x", words[i],
                words[count - 1 - i], to[i], want);
            return;
        }
    }
}

static void ask_to_bf16x2()
{
    ask_to_bf16x2_of(border_words());
}
static void ask_to_bf16x2_great()
{
    ask_to_bf16x2_of(great_words());
}
static void ask_to_bf16x2_tiny()
{
    ask_to_bf16x2_of(tiny_words());
}
static void ask_to_bf16x2_odd()
{
    ask_to_bf16x2_of(Vector(odd_words, odd_words + 32));
}

#endif
