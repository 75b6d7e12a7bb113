#!/bin/sh
# classify, similar, filters and plot on a trained model; every program's --help.
# usage: tools.sh BUILD-FOLDER
. "$(dirname "$0")/common.sh"
make_pack
$narrow --epochs 2 --out "$work/whole" "$work/pack" >/dev/null
$narrow --epochs 1 --batch 128 --lr 0.01 --out "$work/one-step" "$work/pack" >/dev/null

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
"$bin/plot" "$work/plot.png" one="$work/whole.csv" two="$work/one-step.csv"
for picture in filters whole sheet similar plot; do
    test -s "$work/$picture.png" || die "$picture.png is missing"
done
for program in prepare train evaluate similar plot classify info shapes filters bench; do
    if "$bin/$program" --no-such-option >/dev/null 2>&1; then die "$program took anything"; fi
    "$bin/$program" --help | grep -q '^usage' || die "$program --help"
done
say "classify, similar, filters, plot, every --help: ok"
