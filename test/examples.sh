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
test ! -e "$work/empty" || die "an empty class began a pack"
rm -r "$work/shapes/train/nothing"
mkdir "$work/one" "$work/one/a" "$work/one/b"
cp "$work/shapes/train/disc/00001.png" "$work/one/a"
expect="class 1 (b) has no picture" refused "$bin/prepare" "$work/one" "$work/one-pack"
say "damaged pictures are named, skipped and counted; empty classes refused"

# Cut anywhere, prepare goes on to the same bytes.
$prepare --kind jpeg "$work/shapes/train" "$work/jpeg" >/dev/null
$prepare "$work/shapes/train" "$work/pack" >"$work/out"
grep -q 'train: 128 pictures of 8 classes' "$work/out" || die "prepare: $(cat "$work/out")"
limited() { # OUT: prepares it where a file can have no more than 150 blocks
    ( ulimit -f 150 # of 512 or 1024 bytes: less than the pack wants
      trap '' XFSZ
      $prepare "$work/shapes/train" "$1" >"$work/out" 2>"$work/err" && exit 1
      exit 0 ) || die "prepare filled more than the disk has"
    test ! -e "$1/train/index.safetensors" || die "a full disk left a whole pack"
    grep -q 'pictures are safe' "$work/err" || die "full disk: $(cat "$work/err")"
}
limited "$work/full"
expect="not finished" refused "$bin/evaluate" "$work/full/train" model
$prepare "$work/shapes/train" "$work/full" >"$work/out"
grep -q '^going on after' "$work/out" || die "prepare did not go on: $(cat "$work/out")"
diff -r "$work/pack" "$work/full" || die "a pack made in two goes differs"
# A disk with room for the pictures' first part alone, and for no journal: nothing is safe, and
# nothing looks whole. Mounting one wants a namespace of one's own.
cat >"$work/small-disk.sh" <<'END'
mount -t tmpfs -o size=48k none "$1" || exit 77
shift
disk=$1
shift
"$@" "$disk/pack" && exit 1
test ! -e "$disk/pack/train/index.safetensors"
END
mkdir "$work/disk"
code=0
unshare -rm sh "$work/small-disk.sh" "$work/disk" "$work/disk" $prepare "$work/shapes/train" \
    >"$work/out" 2>"$work/err" || code=$?
if grep -q 'pictures are safe' "$work/err"; then
    test "$code" = 0 || die "a small disk: $(cat "$work/err")"
    say "prepare on a full disk of 48 KB: ok"
else
    say "prepare on a small disk: left out, none can be mounted here"
fi
# Other pictures, or the same in another order, are not gone on with.
limited "$work/changed"
cp "$work/shapes/train/disc/00003.png" "$work/shapes/train/disc/00000-new.png"
expect="other pictures" refused $prepare "$work/shapes/train" "$work/changed"
rm "$work/shapes/train/disc/00000-new.png"
expect="other options" refused "$bin/prepare" --side 36 --val-split 0.25 "$work/shapes/train" \
    "$work/changed"
$prepare "$work/shapes/train" "$work/changed" >/dev/null
diff -r "$work/pack" "$work/changed" || die "after what was refused the pack differs"
find "$work/shapes/train" -name '*.png' | sort | awk -F/ '{ print $0 "\t" $(NF - 1) }' \
    >"$work/list"
$prepare --list "$work/list" / "$work/deep/er/listed" >/dev/null
diff -r "$work/pack" "$work/deep/er/listed" || die "list differs"
# Classes that are numbers.
awk -F'\t' '!($2 in n) { n[$2] = 7 - k++ } { print $1 "\t" n[$2] }' "$work/list" >"$work/numbers"
"$bin/prepare" --side 36 --list "$work/numbers" / "$work/numbered" >/dev/null
"$bin/prepare" --side 36 --list "$work/list" / "$work/by-name" >/dev/null
labels() { # of a pack, from its index, a number each
    python3 -c 'import json, struct, sys
f = open(sys.argv[1] + "/index.safetensors", "rb")
head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
start, end = head["label"]["data_offsets"]
f.seek(start, 1)
print(*struct.unpack("<%di" % ((end - start) // 4), f.read(end - start)))' "$1"
}
if command -v python3 >/dev/null; then
    labels "$work/by-name" | tr ' ' '\n' | awk '{ print 7 - $1 }' >"$work/a"
    labels "$work/numbered" | tr ' ' '\n' | cmp - "$work/a" || die "classes that are numbers"
fi
# Classes in another order: numbered alike on request, refused else.
sort -r "$work/list" >"$work/reversed"
"$bin/prepare" --side 36 --list "$work/reversed" / "$work/reversed-pack" >/dev/null
"$bin/prepare" --side 36 --list "$work/reversed" --like "$work/pack/train" / "$work/like" >/dev/null
expect="numbers them alike" refused "$bin/train" --arch cifar10 --out "$work/no" \
    --val "$work/reversed-pack" "$work/pack/train"
expect="no such class" refused "$bin/prepare" --like "$work/pack/train" "$work/one" "$work/no"
cp -r "$work/pack/train" "$work/cut"
truncate -s -1 "$work/cut/part-0000.bin"
expect="part-0000.bin has" refused "$bin/train" "$work/cut"
say "prepare: resumed after a full disk to the same bytes; by folder and by list"

# ^C saves, kill -9 loses no more than what came after the last checkpoint: the resumed run
# has the bits of one that was not cut, whatever the threads.
train="$bin/train --arch cifar10 --init he --batch 16 --lr 0.002 --drop-at 4 --crop-group 4"
$train --epochs 6 --out "$work/whole" "$work/pack" >/dev/null
expect="is there already" refused $train --epochs 6 --out "$work/whole" "$work/pack"
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
# One step an epoch: ^C saves between an epoch's last step and its end.
single="$train --batch 128 --epochs 12"
$single --out "$work/single" "$work/pack" >/dev/null
$single --out "$work/single-cut" "$work/pack" >"$work/out" 2>&1 &
child=$!
while ! test -e "$work/single-cut.csv"; do sleep 0.02; done
kill -INT $child
wait $child && die "the run of single steps ended before the interrupt came"
"$bin/train" --resume "$work/single-cut" --out "$work/single-cut" "$work/pack" >/dev/null
cmp "$work/single" "$work/single-cut" || die "a run of single steps, resumed, differs"
# A run that has its steps does no more; without evaluation the table has no held-out numbers.
$train --epochs 6 --steps 16 --no-evaluation --out "$work/edge" "$work/pack" >/dev/null
$train --epochs 1 --batch 128 --lr 0.01 --out "$work/one-step" "$work/pack" >/dev/null
"$bin/train" --resume "$work/edge" --steps 16 --out "$work/edge" "$work/pack" >"$work/out"
grep -q '^saved' "$work/out" || die "a run that has its steps: $(cat "$work/out")"
test "$(grep -c , "$work/edge.csv")" = 3 || die "a run that has its steps went on"
test "$(sed -n 3p "$work/edge.csv" | cut -d, -f5-7)" = ,, || die "held out, though not asked for"
$prepare --list "$work/reversed" / "$work/reversed-split" >/dev/null
expect="numbers them alike" refused "$bin/train" --resume "$work/edge" "$work/reversed-split"
expect="held-out pack" refused $train --plateau 2 --no-evaluation --out "$work/p" "$work/pack"
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
# However the rates drop later, conv1 stays as it was.
"$bin/train" --recipe fine-tune --from "$work/whole" --epochs 2 --batch 8 --drop-at 1 \
    --out "$work/fine-drop" "$work/two-pack" >/dev/null
for model in whole fine fine-drop; do
    "$bin/filters" --columns 8 "$work/$model" "$work/filters-$model.png" >/dev/null
done
cmp "$work/filters-whole.png" "$work/filters-fine.png" || die "fine-tuning changed conv1"
cmp "$work/filters-whole.png" "$work/filters-fine-drop.png" || die "--drop-at freed conv1"
expect="wants --from" refused "$bin/train" --recipe fine-tune "$work/two-pack"
expect="plateau" refused "$bin/train" --plateau 0 "$work/pack"
$train --epochs 2 --plateau 2 --micro-batch 5 --out "$work/plateau" "$work/jpeg" >/dev/null
say "fine-tuning, plateau, pieces, JPEG: ok"

# CIFAR-10's binary form: 30 records of label, red, green, blue. In the pack a pixel's colours
# stand together.
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
$train --epochs 1 --out "$work/c" "$work/cifar-pack" >/dev/null
"$bin/info" "$work/c" | grep -q 'class names.*airplane.*truck' || die "no class names"
say "CIFAR-10's batches are read"

# The rest.
numbers() { # what evaluate said: top-1, top-5, loss
    "$bin/evaluate" "$@" | sed 's/.*top-1 \([0-9.]*\) %, top-5 \([0-9.]*\) %, loss/\1 \2/'
}
numbers "$work/pack/val" "$work/whole" >"$work/a"
tail -n 1 "$work/whole.csv" | awk -F, '{ printf "%.2f %.2f %.4f\n", 100 * $6, 100 * $7, $5 }' \
    >"$work/b"
cmp "$work/a" "$work/b" || die "evaluate and train disagree: $(cat "$work/a" "$work/b")"
# Two models: their mean, whichever comes first, and neither's alone.
numbers "$work/pack/val" "$work/whole" "$work/one-step" >"$work/b"
numbers "$work/pack/val" "$work/one-step" "$work/whole" | cmp - "$work/b" || die "evaluate: order"
numbers "$work/pack/val" "$work/one-step" >"$work/c"
for one in a c; do cmp -s "$work/$one" "$work/b" && die "evaluate: one model of two counted"; done
"$bin/evaluate" --views 10 --confusion "$work/confusion.csv" "$work/pack/val" "$work/whole" \
    "$work/parts" >"$work/out"
grep -q '^32 pictures, 10 views, 2 models: top-1' "$work/out" || die "$(cat "$work/out")"
# Each label has four pictures; those on the diagonal are top-1.
awk -F, -v said="$(sed 's/.*top-1 \([0-9.]*\) .*/\1/' "$work/out")" '
    NR > 1 { n = 0; for (i = 2; i <= NF; i++) n += $i; bad += n != 4; right += $NR }
    END { exit bad || NR != 9 || sprintf("%.2f", right / 0.32) != said }' \
    "$work/confusion.csv" || die "the confusion matrix does not add up: $(cat "$work/confusion.csv")"
# The same pictures, classes numbered alike, in another order.
"$bin/prepare" --side 36 --list "$work/list" / "$work/forward" >/dev/null
numbers "$work/forward" "$work/whole" >"$work/a"
numbers "$work/like" "$work/whole" | cmp - "$work/a" || die "--like: other labels"
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
expect="another model" refused "$bin/similar" --layer conv3 query "$work/index" \
    "$work/one-step" "$work/pack/train" "$work/no.png" "$work"/shapes/unseen/disc-0.png
"$bin/filters" --columns 8 "$work/whole" "$work/filters.png" >/dev/null
"$bin/plot" "$work/plot.png" one="$work/whole.csv" two="$work/parts.csv"
for picture in filters whole sheet similar plot; do
    test -s "$work/$picture.png" || die "$picture.png is missing"
done
# How fast pictures come, alone and the whole way into steps: a row for each size of batch, whose
# numbers belong together (what the machine is busy with besides may double some of them).
tiny="--arch cifar10 --width 0.1 --seconds 0.05 --workers 2"
"$bin/bench" $tiny --pipeline "$work/pack/train" --batch 8,200 >"$work/out"
awk '$1 == "pipeline" && $4 >= 0 && $4 <= 100 && $3 > 0 && $6 > 0 && $7 > 0 && $8 > 0 &&
     $3 < 4 * $7 && $3 < 4 * $8 && $10 == "minutes" {
         d = $9 * 60 * $3 / (90 * 1.28e6) - 1; if (d < 0) d = -d
         if (d < 0.05 / $3 + 0.06 / $9) rows = rows " " $2 }
     END { exit rows != " 8 200" }' "$work/out" || die "bench --pipeline: $(cat "$work/out")"
for kind in pack jpeg; do
    "$bin/bench" $tiny --runs 3 --loader "$work/$kind/train" >>"$work/loaders"
done
awk '/^loader, (raw|JPEG) pack of 36 x 36, crops of 32 as floats, (one|2) workers?: / {
         split($0, part, ": "); n += part[2] > 0 }
     END { exit NR != 4 || n != 4 }' "$work/loaders" || die "bench --loader: $(cat "$work/loaders")"
expect="36 wide" refused "$bin/bench" --pipeline "$work/pack/train" --width 0.05
expect="one at a time" refused "$bin/bench" --loader "$work/pack" --pipeline "$work/pack"
say "bench: from a pack to steps, and the loader alone: ok"
for program in prepare train evaluate similar plot classify info shapes filters bench; do
    if "$bin/$program" --no-such-option >/dev/null 2>&1; then die "$program took anything"; fi
    "$bin/$program" --help | grep -q '^usage' || die "$program --help"
done
say "evaluate, classify, similar, filters, plot, info: ok"
