/*
 * mutate.h - mutations that know what they change: values of JSON, headers of safetensors
 * files with the JSON within, lengths and checksums.
 */
#ifndef AN_FUZZ_MUTATE_H
#define AN_FUZZ_MUTATE_H

#include "fuzz.h"

/* libFuzzer's names: its own mutation of bytes, and a target's. Both change data[0 ..
 * size - 1], which has room for `max`, and return the new size. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

typedef struct fuzz_dice {
    uint64_t state;
} fuzz_dice;

fuzz_dice fuzz_dice_of(unsigned seed);
uint32_t fuzz_roll(fuzz_dice *dice, uint32_t below);

/* Values are replaced, removed, repeated, counted up and down. */
size_t fuzz_mutate_json(char *text, size_t size, size_t max, fuzz_dice *dice);
/* A safetensors file: its bytes, its header, what the header has of this library's, its
 * tensors. The header's length stays true, and sometimes offsets and tensors too. */
size_t fuzz_mutate_file(uint8_t *data, size_t size, size_t max, fuzz_dice *dice);
/* Makes both checksums of a pack's index right, where there are any. */
void fuzz_index_repair(uint8_t *data, size_t size);

/* An input that is some choices, a part's length in four bytes, the part, an index: the
 * index is changed most, and its checksums are right again mostly. */
size_t fuzz_mutate_pack(uint8_t *data, size_t size, size_t max, size_t choices,
                        fuzz_dice *dice);

#endif
