#!/bin/sh
# evaluate beside what train said, several models, and packs that number their classes otherwise.
# usage: evaluate.sh BUILD-FOLDER
. "$(dirname "$0")/common.sh"
make_pack
make_lists
$narrow --epochs 2 --out "$work/whole" "$work/pack" >/dev/null
$narrow --epochs 1 --batch 128 --lr 0.01 --out "$work/one-step" "$work/pack" >/dev/null

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
    "$work/one-step" >"$work/out"
grep -q '^32 pictures, 10 views, 2 models: top-1' "$work/out" || die "$(cat "$work/out")"
# Each label has four pictures; those on the diagonal are top-1.
awk -F, -v said="$(sed 's/.*top-1 \([0-9.]*\) .*/\1/' "$work/out")" '
    NR > 1 { n = 0; for (i = 2; i <= NF; i++) n += $i; bad += n != 4; right += $NR }
    END { exit bad || NR != 9 || sprintf("%.2f", right / 0.32) != said }' \
    "$work/confusion.csv" || die "the confusion matrix does not add up: $(cat "$work/confusion.csv")"
# The same pictures, classes numbered alike, in another order.
"$bin/prepare" --side 36 --list "$work/list" / "$work/forward" >/dev/null
"$bin/prepare" --side 36 --list "$work/reversed" / "$work/reversed-pack" >/dev/null
"$bin/prepare" --side 36 --list "$work/reversed" --like "$work/pack/train" / "$work/like" >/dev/null
numbers "$work/forward" "$work/whole" >"$work/a"
numbers "$work/like" "$work/whole" | cmp - "$work/a" || die "--like: other labels"
expect="numbers them alike" refused "$bin/evaluate" "$work/reversed-pack" "$work/whole"
say "evaluate: as train said; the mean of models; the confusion matrix; classes numbered alike"
