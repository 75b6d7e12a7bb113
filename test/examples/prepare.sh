#!/bin/sh
# prepare on damaged files and a full disk, by folder and by list.
# usage: prepare.sh BUILD-FOLDER
. "$(dirname "$0")/common.sh"
make_shapes

# Damage: a truncated picture, one that is none, an empty one. They are skipped and counted.
class=$work/shapes/train/disc
head -c 1500 "$class/00000.png" >"$class/truncated.png"
echo "no picture" >"$class/text.jpg"
: >"$class/empty.jpeg"
code=0
$prepare "$work/shapes/train" "$work/damaged" >"$work/out" 2>"$work/err" || code=$?
test $code = 3 || die "pictures were skipped, but the exit status is $code"
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
cat >"$work/small-disk.sh" <<'SCRIPT'
mount -t tmpfs -o size=48k none "$1" || exit 77
shift
disk=$1
shift
"$@" "$disk/pack" && exit 1
test ! -e "$disk/pack/train/index.safetensors"
SCRIPT
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
make_lists
$prepare --list "$work/list" / "$work/deep/er/listed" >/dev/null
diff -r "$work/pack" "$work/deep/er/listed" || die "list differs"
# Classes in another order are refused beside the others.
"$bin/prepare" --side 36 --list "$work/reversed" / "$work/reversed-pack" >/dev/null
expect="numbers them alike" refused "$bin/train" --arch cifar10 --out "$work/no" \
    --val "$work/reversed-pack" "$work/pack/train"
expect="no such class" refused "$bin/prepare" --like "$work/pack/train" "$work/one" "$work/no"
cp -r "$work/pack/train" "$work/cut"
truncate -s -1 "$work/cut/part-0000.bin"
expect="part-0000.bin has" refused "$bin/train" "$work/cut"
say "prepare: resumed after a full disk to the same bytes; by folder and by list"
