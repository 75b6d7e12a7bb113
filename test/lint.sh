#!/bin/sh
# lint.sh - what another compiler and static checkers say of the sources: clang with the
# build's warnings, and cppcheck; with LONG=1 clang-tidy as well, which takes minutes.
#
# usage: WERROR=1 LONG=1 WARN="flags" lint.sh     WERROR: what they say is an error; else it is
# only shown, since other versions of them know other warnings.
set -u

need() { command -v "$1" >/dev/null && return
    echo "check-lint: there is no $1: make deps installs it" >&2
    exit 1
}
need clang
need cppcheck

said=$(mktemp) || exit 1
trap 'rm -f "$said"' EXIT
std="-std=c99 $WARN -fsyntax-only -Iinclude"
# shellcheck disable=SC2046,SC2086
{
    clang $std -Ilib $(pkg-config --cflags openblas) lib/*/*.c cpu/*.c
    case $(uname -m) in
    x86_64)
        clang $std -Ilib -mavx2 -mfma -DAN_ISA=avx2 cpu/vector/*.c
        clang $std -Ilib -mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma -DAN_ISA=avx512 \
            cpu/vector/*.c ;;
    esac
    clang $std -Iexamples $(pkg-config --cflags cairo) \
        $(ls examples/*.c examples/common/*.c | grep -v '/stb\.c$')
    clang $std -Wno-missing-field-initializers -Ilib -Itest/support -Itest $(pkg-config --cflags check jansson) \
        $(ls test/*.c test/*/*.c | grep -v -e /programs/ -e /install/)
    # Its false alarms, each with the reason, are in cppcheck.txt.
    cppcheck --std=c99 --enable=warning,performance,portability --quiet -j 2 -Iinclude -Ilib \
        -Iexamples --suppressions-list=test/cppcheck.txt --template=gcc lib cpu examples
    if [ -n "${LONG:-}" ]; then
        need clang-tidy
        for file in lib/*/*.c cpu/*.c examples/*.c examples/common/*.c; do
            clang-tidy --quiet "$file" -- -std=c99 -Iinclude -Ilib -Iexamples \
                $(pkg-config --cflags cairo openblas) 2>/dev/null
        done
    fi
} >"$said" 2>&1
grep -E 'warning|error' "$said" >/dev/null || { echo "  check-lint: ok"; exit 0; }
cat "$said" >&2
[ -z "${WERROR:-}" ] || exit 1
echo "  check-lint: see above"
