#!/bin/sh
# The example programs as a user meets them, on small made-up pictures: damaged files, a full
# disk, cuts of any kind and the resumed run beside an uninterrupted one, CIFAR-10's batches.
# usage: examples.sh BUILD-FOLDER
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

"$bin/shapes" --out "$work/shapes" --per-class 20 --size 40 >/dev/null
prepare="$bin/prepare --side 36 --val-split 0.2"

# Damage: a truncated picture, one that is none, an empty one. They are skipped and counted.
class=$work/shapes/train/disc
head -c 1500 "$class/00000.png" >"$class/truncated.png"
echo "no picture" >"$class/text.jpg"
: >"$class/empty.jpeg"
$prepare "$work/shapes/train" "$work/damaged" >"$work/out" 2>"$work/err"
for name in truncated.png text.jpg empty.jpeg; do
    grep -q "$name: skipped" "$work/err" || die "$name was not named"
done
grep -q '^3 pictures were skipped' "$work/err" || die "the skipped pictures were not counted"
rm "$class/truncated.png" "$class/text.jpg" "$class/empty.jpeg"
mkdir "$work/shapes/train/nothing"
expect="nothing) has no picture" refused $prepare "$work/shapes/train" "$work/empty"
test ! -e "$work/empty/train/index.safetensors" || die "an empty class made a pack"
expect="not finished" refused "$bin/evaluate" "$work/empty/train" model
rm -r "$work/shapes/train/nothing"
mkdir "$work/one" "$work/one/a" "$work/one/b"
cp "$work/shapes/train/disc/00001.png" "$work/one/a"
expect="class 1 (b) has no picture" refused "$bin/prepare" "$work/one" "$work/one-pack"
say "damaged pictures are named, skipped and counted; empty classes refused"

# Cut anywhere, prepare goes on to the same bytes.
$prepare --kind jpeg "$work/shapes/train" "$work/jpeg" >/dev/null
$prepare "$work/shapes/train" "$work/pack" >"$work/out"
grep -q '^train: 128 pictures of 8 classes' "$work/out" || die "prepare: $(cat "$work/out")"
( ulimit -f 150 # blocks of 512 or 1024 bytes: less than the pack wants
  trap '' XFSZ
  $prepare "$work/shapes/train" "$work/full" >"$work/out" 2>"$work/err" && exit 1
  exit 0 ) || die "prepare filled more than the disk has"
test ! -e "$work/full/train/index.safetensors" || die "a full disk left a whole pack"
grep -q 'what is done is kept' "$work/err" || die "full disk: $(cat "$work/err")"
$prepare "$work/shapes/train" "$work/full" >"$work/out"
grep -q '^going on after' "$work/out" || die "prepare did not go on: $(cat "$work/out")"
diff -r "$work/pack" "$work/full" || die "a pack made in two goes differs"
find "$work/shapes/train" -name '*.png' | sort | awk -F/ '{ print $0 "\t" $(NF - 1) }' \
    >"$work/list"
$prepare --list "$work/list" / "$work/listed" >/dev/null
cmp "$work/pack/train/part-0000.bin" "$work/listed/train/part-0000.bin" || die "list differs"
# Classes in another order: numbered alike on request, refused else.
sort -r "$work/list" >"$work/reversed"
"$bin/prepare" --side 36 --list "$work/reversed" / "$work/reversed-pack" >/dev/null
"$bin/prepare" --side 36 --list "$work/reversed" --like "$work/pack/train" / "$work/like" >/dev/null
expect="numbers them alike" refused "$bin/train" --val "$work/reversed-pack" "$work/pack/train"
expect="no such class" refused "$bin/prepare" --like "$work/pack/train" "$work/one" "$work/no"
cp -r "$work/pack/train" "$work/cut"
truncate -s -1 "$work/cut/part-0000.bin"
expect="part-0000.bin has" refused "$bin/train" "$work/cut"
say "prepare: resumed after a full disk to the same bytes; by folder and by list"

# ^C saves, kill -9 loses no more than what came after the last checkpoint: the resumed run
# has the bits of one that was not cut, whatever the threads.
train="$bin/train --arch cifar10 --init he --batch 16 --lr 0.002 --drop-at 4 --crop-group 4"
$train --epochs 6 --out "$work/whole" "$work/pack" >/dev/null
$train --epochs 6 --workers 3 --out "$work/parts" "$work/pack" >"$work/out" 2>&1 &
child=$!
while ! test -e "$work/parts.csv"; do
    kill -0 $child 2>/dev/null || break
    sleep 0.02
done
kill -INT $child
code=0
wait $child || code=$?
test "$code" = 130 || die "the run ended with $code before the interrupt came"
resume=$(sed -n 's/^  .*train \(--resume .*\)/\1/p' "$work/out")
test -n "$resume" || die "no command to go on with was printed"
# shellcheck disable=SC2086
"$bin/train" $resume --threads 1 >"$work/out"
grep -q '^resumed after epoch' "$work/out" || die "it did not resume"
same() {
    cmp "$work/whole" "$1" || die "$1: the resumed run differs from the whole one"
    cut -d, -f1-8 "$work/whole.csv" >"$work/a"
    cut -d, -f1-8 "$1.csv" >"$work/b"
    cmp "$work/a" "$work/b" || die "$1: the resumed run's table differs"
}
same "$work/parts"
rm -f "$work/parts" "$work/parts.csv"
$train --epochs 6 --save-every 1 --out "$work/parts" "$work/pack" >"$work/out" 2>&1 &
child=$!
while ! test -e "$work/parts.csv"; do sleep 0.02; done
sleep 0.1
kill -KILL $child
wait $child 2>/dev/null || true
"$bin/train" --resume "$work/parts" --out "$work/parts" "$work/pack" >"$work/out"
same "$work/parts"
expect="the checkpoint has its own" refused "$bin/train" --resume "$work/whole" --width 2 \
    "$work/pack"
expect="had 128" refused "$bin/train" --resume "$work/whole" "$work/pack/val"
say "interrupted, killed and resumed: the same bits as in one go"

# Other classes from a trained model: all but the last layer, conv1 as it was.
for class in disc ring; do
    mkdir -p "$work/two"
    cp -r "$work/shapes/train/$class" "$work/two"
done
$prepare "$work/two" "$work/two-pack" >/dev/null
"$bin/train" --recipe fine-tune --from "$work/whole" --epochs 2 --batch 8 --out "$work/fine" \
    "$work/two-pack" >"$work/out"
grep -q '^6 tensors of' "$work/out" || die "fine-tune: $(cat "$work/out")"
expect="wants --from" refused "$bin/train" --recipe fine-tune "$work/two-pack"
expect="plateau" refused "$bin/train" --plateau 0 "$work/pack"
$train --epochs 2 --plateau 2 --micro-batch 5 --out "$work/plateau" "$work/jpeg" >/dev/null
say "fine-tuning, plateau, pieces, JPEG: ok"

# CIFAR-10's binary form: 30 records of label, red, green, blue.
mkdir "$work/cifar"
i=0
while [ $i -lt 30 ]; do
    printf "\\$(printf %03o $((i % 10)))"
    head -c 3072 /dev/urandom
    i=$((i + 1))
done >"$work/cifar/data_batch_1.bin"
"$bin/prepare" --side 32 "$work/cifar" "$work/cifar-pack" >"$work/out"
grep -q ': 30 pictures of 10 classes' "$work/out" || die "CIFAR-10: $(cat "$work/out")"
$train --epochs 1 --out "$work/c" "$work/cifar-pack" >/dev/null
"$bin/info" "$work/c" | grep -q 'class names.*airplane.*truck' || die "no class names"
say "CIFAR-10's batches are read"

# The rest.
"$bin/evaluate" --views 10 --confusion "$work/confusion.csv" "$work/pack/val" "$work/whole" \
    "$work/parts" >"$work/out"
grep -q '^32 pictures, 10 views, 2 models: top-1' "$work/out" || die "$(cat "$work/out")"
awk -F, 'NR > 1 { for (i = 2; i <= NF; i++) n += $i } END { exit n != 32 }' \
    "$work/confusion.csv" || die "the confusion matrix does not add up: $(cat "$work/confusion.csv")"
"$bin/evaluate" "$work/like" "$work/whole" >/dev/null
expect="numbers them alike" refused "$bin/evaluate" "$work/reversed-pack" "$work/whole"
"$bin/classify" --views 10 --sheet "$work/sheet.png" "$work/whole" \
    "$work"/shapes/unseen/*.png >"$work/out"
test "$(grep -c ' ms)$' "$work/out")" = 24 || die "classify: $(cat "$work/out")"
"$bin/similar" --layer conv3 index "$work/whole" "$work/pack/train" "$work/index" >/dev/null
"$bin/similar" --layer conv3 query "$work/index" "$work/whole" "$work/pack/train" \
    "$work/similar.png" "$work"/shapes/unseen/disc-*.png >/dev/null
"$bin/similar" --nearest 5 score "$work/index" "$work/pack/train" >"$work/out"
test "$(grep -c '^of the 5 nearest' "$work/out")" = 2 || die "similar: $(cat "$work/out")"
expect="has 128 pictures" refused "$bin/similar" score "$work/index" "$work/pack/val"
"$bin/filters" --columns 8 "$work/whole" "$work/filters.png" >/dev/null
"$bin/plot" "$work/plot.png" one="$work/whole.csv" two="$work/parts.csv"
for picture in filters whole sheet similar plot; do
    test -s "$work/$picture.png" || die "$picture.png is missing"
done
for program in prepare train evaluate similar plot classify info shapes filters bench; do
    if "$bin/$program" --no-such-option >/dev/null 2>&1; then die "$program took anything"; fi
    "$bin/$program" --help | grep -q '^usage' || die "$program --help"
done
say "evaluate, classify, similar, filters, plot, info: ok"
