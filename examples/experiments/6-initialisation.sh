# How often does each preset's initialisation leave the start, where the loss is that of
# guessing? sigma 0.03 in conv3-5 as trained in 2012, 0.01 everywhere as the paper says, Caffe's
# 0.01 with biases of 0.1; and, as these presets differ in more than that, the paper's with 0.03
# in conv3-5 and nothing else changed. Ten seeds, full width, raw pixels, rate 0.01, batch 16.
# Smaller: of flowers17 26 pictures a class, crops of 112 of 128 (FULL=1: all, 224 of 256), which
# leaves the convolutions' sums as they are and a quarter of fc6's. A run ends after the epoch (23
# steps; FULL=1: 56) in which it was right for 10 % of the pictures; one that is below that after
# eight epochs (30) has its loss beside that of guessing to judge it by.
seeds=${SEEDS:-1 2 3 4 5 6 7 8 9 10}
SEEDS=$seeds
. "$(dirname "$0")/lib.sh"

data=flowers17-$(choose 128-few 256) side=$(choose 112 224)
pack "$data" flowers17 --side "$(choose 128 256)" --per-class "$(choose 26 1000)"

# start NAME ARCH options
start() {
    label=$1 arch=$2
    shift 2
    run "$label-$seed" "$data" --arch "$arch" --image-size "$side" --input-scale raw \
        --colour 0 --batch 16 --lr 0.01 --drop-at none --epochs "$(choose 8 30)" \
        --until-error 0.9 --seed "$seed" --no-evaluation "$@"
}
for seed in $seeds; do
    start krizhevsky2012 krizhevsky2012
    start paper paper
    start paper-sigma-0.03 paper --init-factor 3
    start caffe_alexnet caffe_alexnet
done
go
table
# Left: right for 10 %, or a mean loss below 98 % of ln 17, in the last epoch.
for label in krizhevsky2012 paper paper-sigma-0.03 caffe_alexnet; do
    for seed in $seeds; do
        test ! -e "$work/$label-$seed.csv" || tail -n 1 "$work/$label-$seed.csv"
        test ! -e "$work/$label-$seed.diverged" || echo diverged
    done | awk -F, -v label=$label -v of="$(echo "$seeds" | wc -w)" '
        { left += NF > 1 && ($4 >= 0.1 || $3 < 0.98 * log(17)); lost += $1 == "diverged" }
        END { print label ": " left + 0 " of " of " left, " lost + 0 " diverged" }'
done | tee "$work/left.txt"
plot initialisation.png "" --title "The start, ten seeds of each" --columns train_loss --each
