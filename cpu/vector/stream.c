/*
 * stream.c - crops of pictures on their way to a device. Nobody reads them here: written
 * past the caches, what they overwrite need not be read first.
 */
#include <string.h>

#include "path.h"

/* The rows' ends need not meet where a whole piece can be written: `held` bytes wait in
 * `part` for the next row's first. */
void V(copy_rows)(uint8_t *to, const uint8_t *from, size_t pitch, size_t bytes,
                  uint32_t rows)
{
    size_t head = (STREAM - (uintptr_t)to % STREAM) % STREAM, held = 0, at;
    uint8_t part[STREAM];
    uint32_t row;

    if (bytes < STREAM) {
        an__copy_rows(to, from, pitch, bytes, rows);
        return;
    }
    memcpy(to, from, head);
    to += head;
    for (row = 0; row < rows; row++, from += pitch) {
        at = row == 0 ? head : 0;
        if (held > 0) {
            at = STREAM - held;
            memcpy(part + held, from, at);
            bytes_stream(to, part);
            to += STREAM;
        }
        for (; bytes - at >= STREAM; at += STREAM, to += STREAM)
            bytes_stream(to, from + at);
        held = bytes - at;
        memcpy(part, from + at, held);
    }
    memcpy(to, part, held);
    stream_end();
}
