# Depth: each convolution removed in turn (paper, 7: about 2 % each), and a sixth added (6.1).
# Smaller: flowers17, a quarter of the width, crops of 112 of 128 (FULL=1: 224 of 256, full
# width), 80 epochs.
. "$(dirname "$0")/lib.sh"

pack "flowers17-$(choose 128 256)" flowers17 --side "$(choose 128 256)"
common="--width $(choose 0.25 1) --image-size $(choose 112 224) --epochs 80 --drop-at 60,72"
for seed in $seeds; do
    # shellcheck disable=SC2086
    {
        run "all-five-$seed" "flowers17-$(choose 128 256)" $common --seed "$seed"
        for conv in 2 3 4; do # without conv5 it is the net without conv4: both have 256 maps
            run "without-conv$conv-$seed" "flowers17-$(choose 128 256)" $common \
                --remove-conv $conv --seed "$seed"
        done
        run "sixth-$seed" "flowers17-$(choose 128 256)" $common --extra-conv --seed "$seed"
    }
done
go
table
plot depth.png "" --title "flowers17: a convolution less, a convolution more" --errors \
    --columns top1
