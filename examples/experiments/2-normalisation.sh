# CIFAR-10 with and without response normalisation (paper, 3.3: 13 % to 11 % error), and with
# overlapping against plain pooling (3.4). Smaller: 1,500 pictures a class (FULL=1: all), 10
# epochs (FULL=1: 60). As in cuda-convnet: crops of 24, raw pixels, small gaussian weights; with
# inputs of unit variance the sums in the norm's denominator are next to nothing beside its 1.
. "$(dirname "$0")/lib.sh"

epochs=$(choose 10 60)
pack "cifar10-norm-$full" cifar10 --side 32 --per-class "$(choose 1500 100000)"
common="--arch cifar10 --image-size 24 --init gaussian --input-scale raw --colour 0
        --decay 0.004 --batch 32 --lr 0.0003 --epochs $epochs
        --drop-at $(choose 7,9 45,55)"
for seed in $seeds; do
    # shellcheck disable=SC2086
    {
        run "with-lrn-$seed" "cifar10-norm-$full" $common --seed "$seed"
        run "without-lrn-$seed" "cifar10-norm-$full" $common --no-lrn --seed "$seed"
        run "plain-pooling-$seed" "cifar10-norm-$full" $common --pooling plain --seed "$seed"
    }
done
go
table
plot normalisation.png "" --title "CIFAR-10: response normalisation, pooling" --errors \
    --columns top1
