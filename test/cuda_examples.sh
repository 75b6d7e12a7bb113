#!/bin/sh
# The example programs on "cuda:0,cuda:1": the same pictures, options and seeds as on the CPU
# give the same curve and the same answers, and none of them knows what CUDA is.
# usage: cuda_examples.sh BUILD-FOLDER PLUGIN [DEVICES]
set -eu

bin=$1/examples
devices=${3:-cuda:0,cuda:1}
ALEXNET_PLUGIN=$(realpath "$2")
export ALEXNET_PLUGIN
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { echo "  check-cuda-examples: $*"; }
die() { say "$*"; exit 1; }

"$bin/info" --devices >"$work/out"
grep -q '^cuda:0' "$work/out" || die "no device: $(cat "$work/out")"
"$bin/shapes" --out "$work/shapes" --per-class 12 --size 40 >/dev/null
"$bin/prepare" --side 36 --val-split 0.2 "$work/shapes/train" "$work/pack" >/dev/null
train="$bin/train --arch cifar10 --width 0.5 --no-lrn --init he --batch 16 --lr 0.003 --epochs 2
       --mean-image"
near() { # CSV CSV: losses within 1e-4, errors the same
    paste -d, "$1" "$2" | awk -F, 'NR > 1 {
        for (i = 3; i <= 7; i++) { d = $i - $(i + 10); if (d < 0) d = -d
            if (d > 1e-4 * ($i + 1)) exit 1 } }' ||
        die "the curves differ: $(cat "$1" "$2")"
}
$train --out "$work/cpu.safetensors" "$work/pack" >/dev/null
$train --device "$devices" --out "$work/cuda.safetensors" "$work/pack" >/dev/null
near "$work/cpu.safetensors.csv" "$work/cuda.safetensors.csv"
say "train: the CPU's curve, on $devices"

# Saved every second, for which the steps that are in flight end first.
$train --save-every 1 --device "$devices" --out "$work/saved.safetensors" "$work/pack" >/dev/null
cmp "$work/saved.safetensors" "$work/cuda.safetensors" || die "a run that is saved often differs"

# Cut after a step and resumed, it is the run that was not cut, to the bit; elsewhere, near.
$train --steps 3 --device "$devices" --out "$work/cut.safetensors" "$work/pack" >/dev/null
cp "$work/cut.safetensors" "$work/moved.safetensors"
"$bin/train" --device "$devices" --resume "$work/cut.safetensors" \
    --out "$work/cut.safetensors" "$work/pack" >/dev/null
cmp "$work/cut.safetensors" "$work/cuda.safetensors" || die "a resumed run differs"
"$bin/train" --resume "$work/moved.safetensors" --out "$work/moved.safetensors" \
    "$work/pack" >/dev/null
near "$work/cpu.safetensors.csv" "$work/moved.safetensors.csv"
say "resume: the same bits on the same devices; a run begun there goes on on the CPU"

for views in 1 10; do
    "$bin/classify" --views $views "$work/cpu.safetensors" "$work"/shapes/unseen/*-0.png |
        sed 's/, [0-9.]* ms//' >"$work/a"
    "$bin/classify" --views $views --device "$devices" "$work/cpu.safetensors" \
        "$work"/shapes/unseen/*-0.png | sed 's/, [0-9.]* ms//' >"$work/b"
    cmp "$work/a" "$work/b" || die "classify answers otherwise"
done
"$bin/evaluate" "$work/pack/val" "$work/cpu.safetensors" | sed 's/, .* images\/s.*//' >"$work/a"
"$bin/evaluate" --device "$devices" "$work/pack/val" "$work/cpu.safetensors" |
    sed 's/, .* images\/s.*//' >"$work/b"
grep -q top-1 "$work/a" || die "evaluate: $(cat "$work/a")"
cmp "$work/a" "$work/b" || die "evaluate: $(cat "$work/a" "$work/b")"
say "classify, evaluate: the CPU's answers"

# A device is fed bytes, two steps at a time; what the programs say of that.
tiny="--device ${devices%%,*} --arch cifar10 --width 0.1 --seconds 0.05 --workers 2"
"$bin/bench" $tiny --runs 3 --loader "$work/pack/train" >"$work/out"
test "$(grep -c 'crops of 32 as bytes, .*: [1-9][0-9]* images/s' "$work/out")" = 2 ||
    die "bench --loader: $(cat "$work/out")"
"$bin/bench" $tiny --pipeline "$work/pack/train" --batch 3 >"$work/out"
awk '$1 == "pipeline" && $2 == 3 && $3 > 0 && $4 <= 100 && $8 > 0 { n++ } END { exit n != 1 }' \
    "$work/out" || die "bench --pipeline: $(cat "$work/out")"
say "bench: from a pack to steps: ok"
