/*
 * fuzz.h - the property under test, in libFuzzer's form.
 */
#ifndef AN_TEST_FUZZ_H
#define AN_TEST_FUZZ_H

#include "alexnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
