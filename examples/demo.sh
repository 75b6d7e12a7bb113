#!/bin/sh
# The main job on data made up on the spot: pictures of shapes, a narrow AlexNet trained on
# them, pictures it has not seen classified, its kernels and curves drawn.
# usage: demo.sh BUILD-FOLDER
set -eu

bin=$1/examples
out=$1/demo
mkdir -p "$out"

echo "1. eight shapes, 240 pictures each, every fifth held out"
"$bin/shapes" --out "$out" --per-class 240 --seed 1

echo "2. training the paper's network, a quarter as wide, at 224 x 224"
"$bin/train" --arch paper --width 0.25 --init he --input-scale unit --batch 16 --lr 0.002 \
    --epochs 12 --drop-at 9,11 --no-dropout --out "$out/shapes.safetensors" "$out/train"

echo "3. pictures that it has never seen"
"$bin/classify" --top 3 "$out/shapes.safetensors" "$out"/unseen/*-0.png

echo "4. the first layer's kernels"
"$bin/filters" --columns 12 --scale 6 "$out/shapes.safetensors" "$out/filters.png"

# The last line of the table: held-out top-1.
top1=$(tail -n 1 "$out/shapes.safetensors.csv" | cut -d, -f6)
echo
echo "held-out top-1: $top1"
echo "model:    $out/shapes.safetensors"
echo "curves:   $out/shapes.safetensors.png  (numbers: $out/shapes.safetensors.csv)"
echo "kernels:  $out/filters.png"
echo "pictures: $out/train, $out/unseen"
awk -v top1="$top1" 'BEGIN { exit !(top1 >= 0.9) }' || {
    echo "demo: below the 0.9 that it should reach" >&2
    exit 1
}
