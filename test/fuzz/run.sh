#!/bin/sh
# run.sh - what make's fuzz targets do once the programs are built.
#
# usage: run.sh need PROGRAM...                       which of them are missing
#        run.sh fuzz|fuzz-merge|fuzz-coverage BUILD SECONDS TARGET...
set -u
corpus=test/fuzz/corpus
# What was freed is kept for a while, but not so much of it that every allocation is of new pages.
export ASAN_OPTIONS="${ASAN_OPTIONS:-quarantine_size_mb=4}"
what=$1
shift

need() {
    for program in "$@"; do
        command -v "$program" >/dev/null && continue
        case $program in
        clang) package="clang and libclang-rt-dev (Debian, Ubuntu)" ;;
        *) package="llvm (Debian, Ubuntu)" ;;
        esac
        echo "fuzz: there is no $program: install $package" >&2
        exit 1
    done
    printf 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n > 0; }' |
        clang -fsanitize=fuzzer,address -x c - -o /dev/null 2>/dev/null && return
    echo "fuzz: this clang has no libFuzzer: install libclang-rt-dev (Debian, Ubuntu)" >&2
    exit 1
}

# Each target for its share of the time, on a copy of the corpus and of what was found before.
fuzz() {
    share=$((seconds / $#)) failed=
    [ "$share" -gt 0 ] || share=1
    for target in "$@"; do
        found=$build/corpus/$target left=$build/artifacts/$target
        mkdir -p "$found" "$left" "$corpus/$target"
        echo "  fuzz: $target, $share seconds"
        # shellcheck disable=SC2046
        "$build/test/fuzz/fuzz-$target" -max_total_time="$share" -timeout=20 -rss_limit_mb=2048 \
            -artifact_prefix="$left/" -print_final_stats=1 $(dictionary "$target") \
            "$found" "$corpus/$target" >"$left/log" 2>&1 || failed="$failed $target"
        sed -n 's/^stat::number_of_executed_units: */    executions: /p' "$left/log"
    done
    [ -z "$failed" ] && return
    for target in $failed; do
        grep -E '^fuzz:|ERROR|SUMMARY|Test unit written' "$build/artifacts/$target/log" >&2
    done
    exit 1
}

dictionary() {
    case $1 in
    text | environment) echo "-dict=test/fuzz/$1.dict" ;;
    esac
}

# A small set that reaches as much as the corpus and what was found do together: edges alone are
# counted, and not how often each was taken, so that it stays small.
merge() {
    for target in "$@"; do
        new=$build/merged/$target
        rm -rf "$new" && mkdir -p "$new" "$corpus/$target" "$build/corpus/$target"
        "$build/test/fuzz/fuzz-$target" -set_cover_merge=1 -use_counters=0 "$new" "$corpus/$target" "$build/corpus/$target" \
            >"$build/merged/$target.log" 2>&1 || { tail -5 "$build/merged/$target.log" >&2; exit 1; }
        rm -rf "${corpus:?}/$target" && mv "$new" "$corpus/$target"
        echo "  fuzz: $target, $(find "$corpus/$target" -type f | wc -l) inputs," \
            "$(cat "$corpus/$target"/* | wc -c) bytes"
    done
}

coverage() {
    LLVM_PROFILE_FILE=$build/fuzz.profraw "$build/test/fuzz/replay" $corpus "$@" || exit 1
    llvm-profdata merge -o "$build/fuzz.profdata" "$build/fuzz.profraw" || exit 1
    llvm-cov report "$build/test/fuzz/replay" -instr-profile="$build/fuzz.profdata" lib \
        -show-region-summary=false -show-branch-summary=false
    echo "  fuzz: line by line: llvm-cov show $build/test/fuzz/replay" \
        "-instr-profile=$build/fuzz.profdata FILE"
}

if [ "$what" = need ]; then
    need "$@"
    exit 0
fi
build=$1 seconds=$2
shift 2
case $what in
fuzz) fuzz "$@" ;;
fuzz-merge) merge "$@" ;;
fuzz-coverage) coverage "$@" ;;
esac
