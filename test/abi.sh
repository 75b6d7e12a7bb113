#!/bin/sh
# abi.sh - is the library's ABI what every release has promised?
#
# usage: abi.sh LIBALEXNET.SO
#
# test/abi has one file for each release and processor, made by `make store-abi` and never changed once
# the release is tagged. Against each: no function, struct or value of it is gone or another (abidiff), and the
# functions in its version nodes are its own, none more. Then the gate is tried on a struct that has
# changed and on a function that came later.
set -u
lib=$1
here=$(dirname "$0")/abi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() {
    echo "check-abi: $*" >&2
    exit 1
}

# name@node of each exported function.
exported() {
    nm -D --defined-only "$1" | sed -n 's/^.* \(an_[a-z0-9_]*\)@@*\(ALEXNET_[0-9.]*\)$/\1@\2/p' |
        sort
}

promised() {
    sed -n "s/.*<elf-symbol name='\(an_[a-z0-9_]*\)' version='\(ALEXNET_[0-9.]*\)'.*/\1@\2/p" "$1" |
        sort
}

# What the library does not keep of a release, on stdout.
broken() {
    promised "$1" > "$work/promised"
    nodes=$(sed 's/.*@//' "$work/promised" | sort -u)
    test -n "$nodes" || echo "$1 promises nothing"
    exported "$lib" | grep -F "$(printf '@%s\n' $nodes)" > "$work/exported"
    diff "$work/promised" "$work/exported"
    abidiff --no-added-syms "$1" "$lib" > "$work/abidiff" || cat "$work/abidiff"
}

command -v abidiff > /dev/null || die "abidiff is not there: install abigail-tools (make deps)"
count=0
for release in "$here"/*-"$(uname -m)".abi; do
    if test ! -f "$release"; then
        echo "  check-abi: no release is stored for $(uname -m)"
        exit 0
    fi
    broken "$release" > "$work/report" 2>&1 || true
    test ! -s "$work/report" || {
        cat "$work/report" >&2
        die "$release is not kept; of one that is not tagged yet, 'make store-abi' makes the promise anew"
    }
    count=$((count + 1))
done

# A field that has moved, and a function that is not in its node.
last=$release
sed "/<class-decl name='an_image' /,/<\/class-decl>/s/layout-offset-in-bits='64'/layout-offset-in-bits='128'/" \
    "$last" > "$work/moved.abi"
cmp -s "$last" "$work/moved.abi" && die "nothing to move in $last"
broken "$work/moved.abi" > "$work/report" 2>&1
test -s "$work/report" || die "a struct that has changed goes unnoticed"
sed "/<elf-symbol name='an_infer'/d" "$last" > "$work/fewer.abi"
broken "$work/fewer.abi" > "$work/report" 2>&1
test -s "$work/report" || die "a function in the node of a release before it goes unnoticed"
echo "  check-abi: ok ($count release$(test $count = 1 || echo s))"
