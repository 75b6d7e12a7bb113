#!/bin/sh
# CIFAR-10's binary batches, from the file to a model that knows its classes' names.
# usage: cifar.sh BUILD-FOLDER
. "$(dirname "$0")/common.sh"

# 30 records of label, red, green, blue. In the pack a pixel's colours stand together.
mkdir "$work/cifar"
plane() { head -c 1024 /dev/zero | tr '\0' "$1"; }
i=0
while [ $i -lt 30 ]; do
    printf "\\$(printf %03o $((i % 10)))"
    if [ $i = 0 ]; then plane A; plane B; plane C; else head -c 3072 /dev/urandom; fi
    i=$((i + 1))
done >"$work/cifar/data_batch_1.bin"
"$bin/prepare" --side 32 "$work/cifar" "$work/cifar-pack" >"$work/out"
grep -q ': 30 pictures of 10 classes' "$work/out" || die "CIFAR-10: $(cat "$work/out")"
test "$(dd if="$work/cifar-pack/part-0000.bin" bs=1 skip=16 count=3072 2>/dev/null |
    tr -d '\n' | sed 's/ABC//g')" = "" || die "CIFAR-10's planes came out otherwise"
$narrow --epochs 1 --out "$work/c" "$work/cifar-pack" >/dev/null
"$bin/info" "$work/c" | grep -q 'class names.*airplane.*truck' || die "no class names"
say "CIFAR-10's batches are read"
