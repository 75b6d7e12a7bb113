# How often does each preset's initialisation leave the start, where the loss is that of
# guessing? sigma 0.03 in conv3-5 as trained in 2012, 0.01 everywhere as the paper says, and
# Caffe's 0.01 with biases of 0.1. Ten seeds, full width, raw pixels, rate 0.01, batch 16, 200
# steps; the depth of the fall of the training loss says whether a run has left.
seeds=${SEEDS:-1 2 3 4 5 6 7 8 9 10}
SEEDS=$seeds
. "$(dirname "$0")/lib.sh"

pack flowers17-256 flowers17 --side 256
for seed in $seeds; do
    for arch in krizhevsky2012 paper caffe_alexnet; do
        side=224
        test $arch = caffe_alexnet && side=227
        run "$arch-$seed" flowers17-256 --arch $arch --image-size $side --input-scale raw \
            --colour 0 --batch 16 --lr 0.01 --drop-at none --epochs "$(choose 4 20)" \
            --seed "$seed" --no-evaluation
    done
done
go
table
# Left: the last epoch's mean loss is below 98 % of ln 17.
for arch in krizhevsky2012 paper caffe_alexnet; do
    for csv in "$work/$arch"-*.csv; do tail -n 1 "$csv"; done | awk -F, -v arch=$arch '
        { n++; left += $3 < 0.98 * log(17) } END { print arch ": " left " of " n " left" }'
done | tee "$work/left.txt"
plot initialisation.png --title "The start, ten seeds of each preset" --columns train_loss
