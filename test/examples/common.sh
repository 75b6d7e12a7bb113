# common.sh - what the scripts in this folder share. Each of them is run alone, as
# `sh test/examples/prepare.sh build`, and reads this one; all by make check-examples.
# shellcheck shell=sh disable=SC2034 # what is set here is used by the scripts
set -eu

bin=$1/examples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { echo "  check-examples: $*"; }
die() { say "$*"; exit 1; }
refused() { # COMMAND... : must fail, and say why in one line that has $expect
    if "$@" >"$work/out" 2>"$work/err"; then die "was accepted: $*"; fi
    grep -q "$expect" "$work/err" || die "$*: no \"$expect\" in: $(cat "$work/err")"
}

prepare="$bin/prepare --side 36 --val-split 0.2"
train="$bin/train --arch cifar10 --init he --batch 16 --lr 0.002 --drop-at 4 --crop-group 4"
narrow="$train --width 0.25" # where it is not training that is looked at

# Pictures of eight shapes, 20 of each class, and three of each that belong to none.
make_shapes() { "$bin/shapes" --out "$work/shapes" --per-class 20 --size 40 >/dev/null; }
# Those, with a fifth held out: pack/train has 128 pictures, pack/val 32.
make_pack() {
    make_shapes
    $prepare "$work/shapes/train" "$work/pack" >"$work/out"
}
# The same pictures as a list, in the order of the folders, and the other way round.
make_lists() {
    find "$work/shapes/train" -name '*.png' | sort |
        awk -F/ '{ print $0 "\t" $(NF - 1) }' >"$work/list"
    sort -r "$work/list" >"$work/reversed"
}
