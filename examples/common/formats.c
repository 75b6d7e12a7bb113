/*
 * formats.c - the walks through JPEG, PNG, GIF and BMP files, and the names of what else
 * people have. A decoder cannot be asked whether a file is whole: stb fills what is
 * missing of a JPEG with grey and reports success, and its newer versions do so even
 * where the end mark is missing.
 *
 * Sources: ITU-T T.81 (JPEG: B, markers; F and G, what scans hold), JEITA CP-3451 (EXIF:
 * 4.6.4, orientation), W3C PNG (5, chunks; annex D, CRC), GIF89a (CompuServe, 1990),
 * Microsoft's BITMAPINFOHEADER.
 */
#include "formats.h"

#include <stdlib.h>
#include <string.h>

static const char truncated[] = "truncated";

static uint32_t big16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t big32(const uint8_t *p)
{
    return big16(p) << 16 | big16(p + 2);
}

static uint32_t little16(const uint8_t *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}

static uint32_t little32(const uint8_t *p)
{
    return little16(p + 2) << 16 | little16(p);
}

/* --- EXIF -------------------------------------------------------------------------- */

/* The orientation among the first entries of a TIFF structure; 1 where there is none. */
static int orientation_of(const uint8_t *tiff, size_t size)
{
    int is_little = size >= 4 && memcmp(tiff, "II*\0", 4) == 0;
    uint32_t (*word)(const uint8_t *) = is_little ? little16 : big16;
    uint32_t (*two_words)(const uint8_t *) = is_little ? little32 : big32;
    uint32_t count, i;
    size_t at;

    if (size < 8 || (!is_little && memcmp(tiff, "MM\0*", 4) != 0)) return 1;
    at = two_words(tiff + 4);
    if (at > size - 2) return 1;
    count = word(tiff + at);
    for (at += 2, i = 0; i < count && at + 12 <= size; i++, at += 12) {
        uint32_t value = word(tiff + at + 8);

        if (word(tiff + at) == 0x0112)
            return word(tiff + at + 2) == 3 && value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* --- JPEG -------------------------------------------------------------------------- */

enum { COMPONENTS = 4 };

typedef struct jpeg {
    const uint8_t *data;
    size_t size, at;
    form *form;
    int has_frame, is_progressive;
    uint32_t components, across, down; /* across, down: the largest of the components' */
    uint8_t name[COMPONENTS], wide[COMPONENTS], high[COMPONENTS];
    uint32_t restart; /* minimum coded units between restarts; 0: no restarts */
    uint32_t seen;    /* a bit for each component of which there is a scan */
} jpeg;

static const char *read_frame(jpeg *j, int marker, const uint8_t *s, uint32_t length)
{
    uint32_t i;

    if (j->has_frame) return "a JPEG with two frames";
    if (marker != 0xc0 && marker != 0xc1 && marker != 0xc2)
        return "a JPEG of a kind that is not decoded: lossless, arithmetic or "
               "hierarchical";
    if (length < 6 || length < 6 + 3 * (uint32_t)s[5]) return truncated;
    if (s[0] != 8) return "a JPEG of 12 bits a colour, which is not decoded";
    j->components = s[5];
    if (j->components < 1 || j->components > COMPONENTS) return "a damaged JPEG";
    j->has_frame = 1;
    j->is_progressive = marker == 0xc2;
    j->form->height = big16(s + 1);
    j->form->width = big16(s + 3);
    for (i = 0; i < j->components; i++) {
        const uint8_t *c = s + 6 + 3 * i;

        j->name[i] = c[0];
        j->wide[i] = c[1] >> 4;
        j->high[i] = c[1] & 15;
        if (j->wide[i] < 1 || j->wide[i] > 4 || j->high[i] < 1 || j->high[i] > 4)
            return "a damaged JPEG";
        if (j->wide[i] > j->across) j->across = j->wide[i];
        if (j->high[i] > j->down) j->down = j->high[i];
    }
    return j->form->width > 0 && j->form->height > 0 ? NULL : "a JPEG without a size";
}

static uint32_t divide_up(uint32_t n, uint32_t by)
{
    return (n + by - 1) / by;
}

/* The scan's entropy-coded bytes, up to the next marker; counts those that restart. */
static size_t skip_entropy(jpeg *j, uint32_t *restarts)
{
    size_t first = j->at;

    *restarts = 0;
    while (j->at + 1 < j->size) {
        const uint8_t *mark = memchr(j->data + j->at, 0xff, j->size - 1 - j->at);

        if (mark == NULL) break;
        j->at = (size_t)(mark - j->data);
        if (mark[1] >= 0xd0 && mark[1] <= 0xd7)
            ++*restarts;
        else if (mark[1] != 0 && mark[1] != 0xff)
            return j->at - first;
        j->at += mark[1] == 0xff ? 1 : 2;
    }
    j->at = j->size;
    return j->at - first;
}

/* A scan has enough restarts for its units and, where that can be told, enough bits for
 * its blocks, of which the shortest has one: baseline's have two codes. */
static const char *read_scan(jpeg *j, const uint8_t *s, uint32_t length)
{
    uint32_t count = length > 0 ? s[0] : 0, scanned = 0, units, blocks = 0, restarts, i,
             k;
    uint32_t unit_wide = 8 * j->across, unit_high = 8 * j->down;
    size_t bytes;

    if (!j->has_frame) return "a JPEG with a scan before its frame";
    if (count < 1 || count > COMPONENTS || length < 4 + 2 * count)
        return "a damaged JPEG";
    for (i = 0; i < count; i++) {
        for (k = 0; k < j->components && j->name[k] != s[1 + 2 * i]; k++) continue;
        if (k == j->components) return "a damaged JPEG";
        scanned |= 1u << k;
        blocks += (uint32_t)j->wide[k] * j->high[k];
        if (count == 1) { /* by itself, a component is a block after another */
            unit_wide = divide_up(8 * j->across, j->wide[k]);
            unit_high = divide_up(8 * j->down, j->high[k]);
            blocks = 1;
        }
    }
    units = divide_up(j->form->width, unit_wide) * divide_up(j->form->height, unit_high);
    bytes = skip_entropy(j, &restarts);
    if (j->restart > 0 && restarts + 1 < divide_up(units, j->restart))
        return "truncated: a scan ends early";
    if (s[1 + 2 * count] == 0) { /* the first coefficients: each block has some */
        if ((uint64_t)bytes * 8 < (uint64_t)units * blocks)
            return "truncated: a scan ends early";
        if (!j->is_progressive || s[3 + 2 * count] >> 4 == 0) j->seen |= scanned;
    }
    return NULL;
}

/* Tables of codes: some versions of stb write beyond theirs where there are more than 256
 * of them, or more than their lengths have room for. */
static const char *read_codes(const uint8_t *s, uint32_t length)
{
    while (length > 0) {
        uint32_t codes = 0, room = 1, i;

        if (length < 17) return "a damaged JPEG";
        for (i = 1; i <= 16; i++) {
            if (2 * room < s[i]) return "a damaged JPEG";
            room = 2 * room - s[i];
            codes += s[i];
        }
        if (s[0] >> 4 > 1 || (s[0] & 15) > 3 || codes > 256 || length < 17 + codes)
            return "a damaged JPEG";
        s += 17 + codes;
        length -= 17 + codes;
    }
    return NULL;
}

static const char *read_segment(jpeg *j, int marker, const uint8_t *s, uint32_t length)
{
    switch (marker) {
    case 0xc4: return read_codes(s, length);
    case 0xc8:
    case 0xcc: /* what is reserved, or of arithmetic coding: no frames */ return NULL;
    case 0xdd:
        if (length >= 2) j->restart = big16(s);
        return NULL;
    case 0xe1:
        if (length > 6 && memcmp(s, "Exif\0\0", 6) == 0 && !j->has_frame)
            j->form->orientation = orientation_of(s + 6, length - 6);
        return NULL;
    case 0xda: return read_scan(j, s, length);
    default:
        return marker >= 0xc0 && marker <= 0xcf ? read_frame(j, marker, s, length) : NULL;
    }
}

static const char *walk_jpeg(form *out, const uint8_t *data, size_t size)
{
    jpeg j = {.data = data, .size = size, .at = 2, .form = out};
    const char *error;

    for (;;) {
        const uint8_t *mark = j.at < size ? memchr(data + j.at, 0xff, size - j.at) : NULL;
        uint32_t length;

        if (mark == NULL) return truncated;
        for (j.at = (size_t)(mark - data); j.at < size && data[j.at] == 0xff;) j.at++;
        if (j.at == size) return truncated;
        if (data[j.at] == 0xd9) break;
        if (data[j.at] <= 1 || (data[j.at] >= 0xd0 && data[j.at] <= 0xd8)) {
            j.at++; /* stands alone, or is none */
            continue;
        }
        if (size - j.at < 3) return truncated;
        length = big16(data + j.at + 1);
        if (length < 2) return "a damaged JPEG";
        if (size - j.at - 1 < length) return truncated;
        mark = data + j.at;
        j.at += 1 + length;
        error = read_segment(&j, mark[0], mark + 3, length - 2);
        if (error != NULL) return error;
    }
    if (!j.has_frame) return "a JPEG without a picture";
    return j.seen == (1u << j.components) - 1 ? NULL : "a JPEG that lacks a scan";
}

/* --- PNG --------------------------------------------------------------------------- */

/* Annex D's, four bits at a time. */
static uint32_t crc_of(const uint8_t *data, size_t size)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                       0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = 0xffffffff;

    for (; size > 0; size--) {
        crc ^= *data++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

enum { PALETTE = 3 * 256 };

uint8_t *form_whole_palette(const form *of, const uint8_t *data, size_t *size)
{
    size_t length = big32(data + of->palette), end = of->palette + 8 + length;
    uint8_t *whole = calloc(1, *size + PALETTE - length);

    if (whole == NULL) return NULL;
    memcpy(whole, data, end);
    memcpy(whole + end + PALETTE - length, data + end, *size - end);
    whole[of->palette + 2] = PALETTE >> 8;
    whole[of->palette + 3] = PALETTE & 255;
    *size += PALETTE - length;
    return whole;
}

static const char *walk_png(form *out, const uint8_t *data, size_t size)
{
    int has_pixels = 0, is_first = 1;
    size_t at = 8;

    for (;; is_first = 0) {
        const uint8_t *chunk = data + at;
        uint32_t length;

        if (size - at < 12) return truncated;
        length = big32(chunk);
        if (length > size - at - 12) return truncated;
        /* A chunk that may be passed over may be damaged. */
        if ((chunk[4] & 32) == 0 &&
            crc_of(chunk + 4, 4 + (size_t)length) != big32(chunk + 8 + length))
            return "a damaged PNG";
        if (memcmp(chunk + 4, "IHDR", 4) == 0) {
            if (length != 13) return "a damaged PNG";
            out->width = big32(chunk + 8);
            out->height = big32(chunk + 12);
            if (out->width == 0 || out->height == 0) return "a PNG without a size";
        } else if (is_first && memcmp(chunk + 4, "CgBI", 4) != 0) {
            return "a damaged PNG";
        }
        if (memcmp(chunk + 4, "PLTE", 4) == 0 && length <= PALETTE) out->palette = at;
        if (memcmp(chunk + 4, "IDAT", 4) == 0) has_pixels = 1;
        if (memcmp(chunk + 4, "eXIf", 4) == 0)
            out->orientation = orientation_of(chunk + 8, length);
        if (memcmp(chunk + 4, "IEND", 4) == 0) break;
        at += 12 + (size_t)length;
    }
    return out->width > 0 && has_pixels ? NULL : "a PNG without pixels";
}

/* --- GIF and BMP ------------------------------------------------------------------- */

/* Past blocks of up to 255 bytes, the last of which is empty; 0: cut short. */
static size_t skip_blocks(const uint8_t *data, size_t size, size_t at)
{
    while (at < size && data[at] != 0) at += 1 + (size_t)data[at];
    return at < size ? at + 1 : 0;
}

/* Up to the end of the first image, the one that is shown. */
static const char *walk_gif(form *out, const uint8_t *data, size_t size)
{
    size_t at = 13;

    if (size < 13) return truncated;
    out->width = little16(data + 6);
    out->height = little16(data + 8);
    if (out->width == 0 || out->height == 0) return "a GIF without a size";
    if (data[10] & 128) at += (size_t)3 << ((data[10] & 7) + 1);
    while (at != 0 && size > at + 1) {
        if (data[at] == 0x3b) return "a GIF without pixels";
        if (data[at] == 0x21) {
            at = skip_blocks(data, size, at + 2);
        } else if (data[at] == 0x2c && size - at > 10) {
            if (data[at + 9] & 128) at += (size_t)3 << ((data[at + 9] & 7) + 1);
            return skip_blocks(data, size, at + 11) != 0 ? NULL : truncated;
        } else {
            return size - at > 10 ? "a damaged GIF" : truncated;
        }
    }
    return truncated;
}

/* Whether each pixel's colour is in the palette, as far as stb takes that to go: for one
 * that is not it shows what memory holds. */
static int has_colours(const form *out, const uint8_t *pixels, uint64_t row,
                       uint32_t depth, uint32_t colours)
{
    uint32_t x, y;

    for (y = 0; y < out->height; y++, pixels += row)
        for (x = 0; x < out->width; x++) {
            uint32_t bit = x * depth, shift = 8 - depth - bit % 8;

            if ((pixels[bit / 8] >> shift & ((1u << depth) - 1)) >= colours) return 0;
        }
    return 1;
}

static const char *walk_bmp(form *out, const uint8_t *data, size_t size)
{
    uint32_t header, high, depth, offset, packing = 0;
    uint64_t row;

    if (size < 30) return truncated;
    header = little32(data + 14);
    if (header == 12) {
        out->width = little16(data + 18);
        high = little16(data + 20);
        depth = little16(data + 24);
    } else {
        if (size < 54) return truncated;
        out->width = little32(data + 18);
        high = little32(data + 22);
        depth = little16(data + 28);
        packing = little32(data + 30);
    }
    out->height = high >> 31 ? ~high + 1 : high; /* from the top down */
    if (out->width == 0 || out->height == 0 || out->width >> 31) return "a damaged BMP";
    if (packing == 1 || packing == 2) return "a BMP in run lengths, which is not decoded";
    row = ((uint64_t)out->width * depth + 31) / 32 * 4;
    offset = little32(data + 10);
    if (offset + row * out->height > size) return truncated;
    if (depth == 0 || depth > 8) return NULL;
    if ((depth & (depth - 1)) != 0 || offset < 14 + header) return "a damaged BMP";
    return has_colours(out, data + offset, row, depth,
                       header != 12   ? (offset - 14 - header) / 4
                       : offset >= 38 ? (offset - 38) / 3
                                      : 0)
               ? NULL
               : "a BMP whose palette lacks colours";
}

/* --- all --------------------------------------------------------------------------- */

static int begins(const uint8_t *data, size_t size, size_t at, const char *with)
{
    size_t length = strlen(with);

    return size >= at + length && memcmp(data + at, with, length) == 0;
}

static const char *other(const uint8_t *data, size_t size)
{
    if (begins(data, size, 0, "RIFF") && begins(data, size, 8, "WEBP"))
        return "a WebP picture, which is not decoded: make it a JPEG or PNG";
    if (begins(data, size, 4, "ftypavi"))
        return "an AVIF picture, which is not decoded: make it a JPEG or PNG";
    if (begins(data, size, 4, "ftyphei") || begins(data, size, 4, "ftypmif"))
        return "a HEIC picture, which is not decoded: make it a JPEG or PNG";
    if (begins(data, size, 0, "II*") || begins(data, size, 0, "MM"))
        return "a TIFF picture, which is not decoded: make it a JPEG or PNG";
    return "no picture: neither JPEG, PNG, GIF nor BMP";
}

const char *form_of(form *out, const uint8_t *data, size_t size)
{
    memset(out, 0, sizeof *out);
    out->orientation = 1;
    if (size == 0) return "an empty file";
    if (begins(data, size, 0, "\xff\xd8")) {
        out->format = FORMAT_JPEG;
        return walk_jpeg(out, data, size);
    }
    if (begins(data, size, 0, "\x89PNG\r\n\x1a\n")) {
        out->format = FORMAT_PNG;
        return walk_png(out, data, size);
    }
    if (begins(data, size, 0, "GIF87a") || begins(data, size, 0, "GIF89a")) {
        out->format = FORMAT_GIF;
        return walk_gif(out, data, size);
    }
    if (begins(data, size, 0, "BM")) {
        out->format = FORMAT_BMP;
        return walk_bmp(out, data, size);
    }
    return other(data, size);
}
