# The paper's figure 1: epochs until the four-layer network has 25 % training error on CIFAR-10,
# with ReLU, tanh and sigmoid, the learning rate chosen for each as the fastest of some. Twice:
# "raw", as in 2012, raw pixels and gaussian weights of one sigma; and "unit", inputs of unit
# variance and weights scaled by their number, the better of two such scalings.
# Smaller than the paper: 1,000 pictures a class, reduced to 24 x 24 (FULL=1: all, 32 x 32); no
# regularisation, as there.
. "$(dirname "$0")/lib.sh"

most=$(choose 30 100) few=$(choose 8 10) side=$(choose 24 32)
pack "cifar10-fig1-$full" cifar10 --side "$side" --per-class "$(choose 1000 100000)"
common="--arch cifar10 --image-size $side --no-lrn --decay 0 --no-mirror --colour 0 --batch 32
        --drop-at none --until-error 0.25 --no-evaluation"

# try ACTIVATION INIT SCALE RATE...: on one seed; the training loss after some epochs decides.
try() {
    activation=$1 init=$2 scale=$3
    shift 3
    for rate in "$@"; do
        # shellcheck disable=SC2086
        run "$activation-$scale-$init-$rate" "cifar10-fig1-$full" $common \
            --activation "$activation" --epochs "$few" --init "$init" \
            --input-scale "$scale" --lr "$rate"
    done
}

# fastest ACTIVATION SCALE: prints initialisation and rate of the fastest (fewest epochs, should
# it have arrived; else the lowest loss) and how many epochs it is worth: one that is not right
# for half of the pictures by then is not followed further.
fastest() {
    for csv in "$work/rates/$1-$2"-*.csv; do
        test ! -e "${csv%.csv}.diverged" || continue
        choice=${csv#"$work/rates/$1-$2-"}
        choice=${choice%.csv}
        tail -n 1 "$csv" | awk -F, -v choice="${choice%-*} ${choice##*-}" -v few="$few" \
            -v most="$most" '
            { print ($4 >= 0.75 ? $1 : 999), $3, choice, ($4 < 0.5 ? few : most) }'
    done | sort -n -k1,1 -k2,2 | head -n 1 | cut -d' ' -f3-
}

runs=$work work=$work/rates
mkdir -p "$work"
for activation in relu tanh sigmoid; do
    try $activation fan-in unit 0.001 0.003 0.01 0.03 0.1
    try $activation he unit 0.001 0.003 0.01 0.03 0.1
    try $activation gaussian raw 0.0003 0.001 0.003 0.01 0.03
done
go
work=$runs
rm -f "$work/rates.txt"
for scale in unit raw; do
    for activation in relu tanh sigmoid; do
        # shellcheck disable=SC2046
        set -- $(fastest $activation $scale)
        echo "$activation, $scale: --init $1 --lr $2" | tee -a "$work/rates.txt"
        for seed in $seeds; do
            # shellcheck disable=SC2086
            run "$scale-$activation-$seed" "cifar10-fig1-$full" $common --seed "$seed" \
                --activation $activation --epochs "$3" --init "$1" --input-scale $scale \
                --lr "$2"
        done
    done
done
go
table
for scale in unit raw; do
    for activation in relu tanh sigmoid; do
        for csv in "$work/$scale-$activation"-*.csv; do tail -n 1 "$csv"; done |
            awk -F, -v what="$activation, $scale" '{ n++; reached += $4 >= 0.75 }
                END { print what ": " reached + 0 " of " n " reached 25 %" }'
    done
done | tee "$work/reached.txt"
for scale in unit raw; do
    plot "figure1-$scale.png" "$scale-" --columns train_top1 --errors --each --mark 0.25 \
        --title "Epochs to 25 % training error (paper, figure 1): $scale"
done
