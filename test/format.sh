#!/bin/sh
# format.sh - is every source as .clang-format has it, and no line longer than 90 columns?
#
# clang-format's versions differ in what they make of one file: only 14 is asked (Debian 12's).
set -u
files=$(git ls-files 2>/dev/null | grep -E '\.(c|h|cu|cuh|cc|cpp)$')
if [ -z "$files" ]; then
    echo "  check-format: left out, this is no git repository"
    exit 0
fi
wrong=$(awk 'length($0) > 90 { print FILENAME ":" FNR ": longer than 90 columns" }' $files)
version=$(clang-format --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p')
if [ "$version" = 14 ]; then
    # shellcheck disable=SC2086
    clang-format --dry-run -Werror $files || wrong="$wrong
some files are not as .clang-format has them: clang-format -i FILE"
else
    echo "  check-format: columns alone, clang-format 14 is not there (${version:-none} is)"
fi
if [ -n "$wrong" ]; then
    echo "check-format:$wrong" >&2
    exit 1
fi
