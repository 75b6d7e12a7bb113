#!/bin/sh
# The example programs as a user meets them, on small made-up pictures: damaged files, an
# interrupt and the resumed run beside an uninterrupted one, CIFAR-10's binary batches.
# usage: examples.sh BUILD-FOLDER
set -eu

bin=$1/examples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { echo "  check-examples: $*"; }
die() { say "$*"; exit 1; }

"$bin/shapes" --out "$work/shapes" --per-class 20 --size 40 >/dev/null
train="$bin/train --arch cifar10 --batch 16 --epochs 6 --lr 0.002 --threads 2"

# Damage: a truncated picture, one that is none, an empty one. They are skipped and counted.
class=$work/shapes/train/disc
head -c 1500 "$class/00000.png" >"$class/truncated.png"
echo "no picture" >"$class/text.jpg"
: >"$class/empty.jpeg"
$train --epochs 1 --out "$work/damaged" "$work/shapes/train" >"$work/out" 2>"$work/err"
for name in truncated.png text.jpg empty.jpeg; do
    grep -q "$name: skipped" "$work/err" || die "$name was not named"
done
grep -q '^3 pictures were skipped' "$work/err" || die "the skipped pictures were not counted"
rm "$class/truncated.png" "$class/text.jpg" "$class/empty.jpeg"
mkdir "$work/shapes/train/nothing"
echo "no picture" >"$work/shapes/train/nothing/a.png"
if $train --out "$work/damaged" "$work/shapes/train" >"$work/out" 2>&1; then
    die "a class without a picture was accepted"
fi
rm -r "$work/shapes/train/nothing"
say "damaged pictures are named, skipped and counted"

# ^C saves; the printed command goes on to the same bits.
$train --out "$work/whole" "$work/shapes/train" >/dev/null
$train --out "$work/parts" "$work/shapes/train" >"$work/out" 2>&1 &
child=$!
while ! test -e "$work/parts.csv"; do
    kill -0 $child 2>/dev/null || break
    sleep 0.02
done
kill -INT $child
code=0
wait $child || code=$?
if [ "$code" = 130 ]; then
    resume=$(sed -n 's/^  .*train \(--resume .*\)/\1/p' "$work/out")
    test -n "$resume" || die "no command to go on with was printed"
    # shellcheck disable=SC2086
    "$bin/train" $resume --threads 1 >"$work/out"
    grep -q '^resumed after epoch' "$work/out" || die "it did not resume"
    cmp "$work/whole" "$work/parts" || die "the resumed run differs from the whole one"
    cut -d, -f1-8 "$work/whole.csv" >"$work/a"
    cut -d, -f1-8 "$work/parts.csv" >"$work/b"
    cmp "$work/a" "$work/b" || die "the resumed run's table differs"
    say "interrupted and resumed: the same bits as in one go"
else
    die "the run ended with $code before the interrupt came"
fi
if "$bin/train" --resume "$work/whole" --width 2 "$work/shapes/train" 2>"$work/err"; then
    die "--width was taken beside --resume"
fi

# CIFAR-10's binary form: 30 records of label, red, green, blue.
mkdir "$work/cifar"
i=0
while [ $i -lt 30 ]; do
    printf "\\$(printf %03o $((i % 10)))"
    head -c 3072 /dev/urandom
    i=$((i + 1))
done >"$work/cifar/data_batch_1.bin"
$train --epochs 1 --out "$work/c" "$work/cifar" >"$work/out"
grep -q '^10 classes, 30 training images, 0 held out' "$work/out" || die "CIFAR-10: $(cat "$work/out")"
"$bin/info" "$work/c" | grep -q 'class names.*airplane.*truck' || die "no class names"
say "CIFAR-10's batches are read"

"$bin/classify" --views 10 "$work/whole" "$work"/shapes/unseen/*.png >"$work/out"
test "$(grep -c ' ms)$' "$work/out")" = 24 || die "classify: $(cat "$work/out")"
"$bin/filters" --columns 8 "$work/whole" "$work/filters.png" >/dev/null
test -s "$work/filters.png" && test -s "$work/whole.png" || die "a picture is missing"
for program in train classify info shapes filters bench; do
    if "$bin/$program" --no-such-option >/dev/null 2>&1; then die "$program took anything"; fi
    "$bin/$program" --help | grep -q '^usage' || die "$program --help"
done
say "classify, filters, info: ok"
