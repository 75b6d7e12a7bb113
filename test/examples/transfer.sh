#!/bin/sh
# Fine-tuning to other classes, and training by a plateau, in pieces, from JPEG.
# usage: transfer.sh BUILD-FOLDER
. "$(dirname "$0")/common.sh"
make_pack
$narrow --epochs 1 --out "$work/whole" "$work/pack" >/dev/null

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
$prepare --kind jpeg "$work/shapes/train" "$work/jpeg" >/dev/null
$narrow --epochs 2 --plateau 2 --micro-batch 5 --out "$work/plateau" "$work/jpeg" >/dev/null
say "fine-tuning, plateau, pieces, JPEG: ok"
