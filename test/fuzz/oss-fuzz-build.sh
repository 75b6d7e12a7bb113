#!/bin/sh
# oss-fuzz-build.sh - builds every target for OSS-Fuzz, with its corpus and dictionary.
#
# From the environment: CC, CXX, CFLAGS, CXXFLAGS, LIB_FUZZING_ENGINE (what a program is linked with, an
# archive or a flag), OUT (where programs go), SRC (where the repository is, as libalexnet).
set -eu
cd "${SRC:?}/libalexnet"
build=${WORK:-build}/oss-fuzz
targets=$(sed -n 's/^TARGET(\(.*\))$/\1/p' test/fuzz/targets.h)

# The engine may be an archive of C++: clang++ links, as OSS-Fuzz wants it.
programs=
for target in $targets; do programs="$programs $build/test/fuzz/fuzz-$target"; done
# shellcheck disable=SC2086
make -j"$(nproc)" BUILD="$build" CC="${CC:?}" FUZZLD="${CXX:?} ${CXXFLAGS-}" CFLAGS="${CFLAGS-}" \
    SAN= NVCC= FUZZENGINE="${LIB_FUZZING_ENGINE:?}" $programs

for target in $targets; do
    cp "$build/test/fuzz/fuzz-$target" "${OUT:?}/$target"
    (cd "test/fuzz/corpus/$target" && zip -q -r - .) >"$OUT/${target}_seed_corpus.zip"
    [ ! -f "test/fuzz/$target.dict" ] || cp "test/fuzz/$target.dict" "$OUT/$target.dict"
done
