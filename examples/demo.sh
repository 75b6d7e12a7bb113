#!/bin/sh
# The main job on data made up on the spot: pictures of shapes, packed; a narrow AlexNet
# trained on them by a recipe; evaluated by one view and by ten; pictures it has not seen
# classified; its kernels, curves and the nearest pictures drawn.
# usage: demo.sh BUILD-FOLDER
set -eu

bin=$1/examples
out=$1/demo
model=$out/shapes.safetensors
rm -rf "$out"
mkdir -p "$out"

echo "1. eight shapes, 240 pictures each"
"$bin/shapes" --out "$out" --per-class 240 --seed 1

echo "2. fitted and packed, every fifth held out"
"$bin/prepare" --val-split 0.2 "$out/train" "$out/pack"

echo "3. training the paper's network, a quarter as wide, at 224 x 224"
"$bin/train" --recipe small-data --arch paper --width 0.25 --init he --batch 16 --lr 0.002 \
    --colour 0 --no-dropout --epochs 12 --drop-at 9,11 --out "$model" "$out/pack"

echo "4. the held-out pictures: one view, ten views"
"$bin/evaluate" "$out/pack/val" "$model"
"$bin/evaluate" --views 10 --confusion "$out/confusion.csv" "$out/pack/val" "$model"

echo "5. pictures that it has never seen"
"$bin/classify" --sheet "$out/classified.png" "$model" "$out"/unseen/*-0.png

echo "6. what it finds alike"
"$bin/similar" index "$model" "$out/pack/train" "$out/shapes.index"
"$bin/similar" query "$out/shapes.index" "$model" "$out/pack/train" "$out/similar.png" \
    "$out"/unseen/*-1.png

echo "7. the first layer's kernels"
"$bin/filters" --columns 12 --scale 6 "$model" "$out/filters.png"

# The last line of the table: held-out top-1.
top1=$(tail -n 1 "$model.csv" | cut -d, -f6)
echo
echo "held-out top-1: $top1"
echo "model:      $model"
echo "curves:     $model.png  (numbers: $model.csv)"
echo "classified: $out/classified.png"
echo "alike:      $out/similar.png"
echo "kernels:    $out/filters.png"
awk -v top1="$top1" 'BEGIN { exit !(top1 >= 0.9) }' || {
    echo "demo: below the 0.9 that it should reach" >&2
    exit 1
}
