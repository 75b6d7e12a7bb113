# Two towers against the net with half the kernels in each convolution, computed by one (paper,
# 3.2: 1.7 % and 1.2 % better), and what conv1's kernels of each tower become (figure 3).
# Smaller: as 3-depth, 50 epochs. The half-size net halves all layers; the paper's kept its last ones.
. "$(dirname "$0")/lib.sh"

pack "flowers17-$(choose 128 256)" flowers17 --side "$(choose 128 256)"
common="--arch paper --init he --input-scale unit --image-size $(choose 112 224) --lr 0.003
        --epochs 50 --drop-at 38,45"
: >"$work/keep" # models, for the picture
for seed in $seeds; do
    # shellcheck disable=SC2086
    {
        run "two-towers-$seed" "flowers17-$(choose 128 256)" $common --towers 2 \
            --width "$(choose 0.25 1)" --seed "$seed"
        run "half-net-$seed" "flowers17-$(choose 128 256)" $common --groups 1 \
            --width "$(choose 0.125 0.5)" --seed "$seed"
    }
done
go
table
for seed in $seeds; do
    "$bin/filters" --scale 5 --columns "$(choose 12 16)" "$work/two-towers-$seed.safetensors" \
        "$work/kernels-$seed.png" | tee "$work/kernels-$seed.txt"
done
plot towers.png "" --title "flowers17: two towers, half a net" --errors \
    --columns top1
