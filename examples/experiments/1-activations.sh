# The paper's figure 1: epochs until the four-layer network has 25 % training error on CIFAR-10,
# with ReLU, tanh and sigmoid, the learning rate chosen for each as the fastest of some.
# Smaller than the paper: 1,000 pictures a class (FULL=1: all), no regularisation, as there.
. "$(dirname "$0")/lib.sh"

most=$(choose 60 100)
pack "cifar10-fig1-$full" cifar10 --side 32 --per-class "$(choose 1000 100000)"
common="--arch cifar10 --no-lrn --decay 0 --no-mirror --colour 0 --batch 32 --drop-at none
        --until-error 0.25 --no-evaluation"

# Rates, on one seed: the training loss after a few epochs decides.
for activation in relu tanh sigmoid; do
    for rate in 0.0003 0.001 0.003 0.01 0.03; do
        # shellcheck disable=SC2086
        run "rate-$activation-$rate" "cifar10-fig1-$full" $common --activation $activation \
            --epochs "$(choose 8 10)" --lr $rate --seed 1
    done
done
go
mkdir -p "$work/rates"
mv "$work"/rate-*.csv "$work/rates/" 2>/dev/null || true
rm -f "$work/rates.txt"
for activation in relu tanh sigmoid; do
    best=$(for csv in "$work/rates/rate-$activation"-*.csv; do
        rate=${csv##*-}
        # Fewer epochs first, should one have arrived; then the lower loss.
        tail -n 1 "$csv" | awk -F, -v rate="${rate%.csv}" '{ print ($4 >= 0.75 ? $1 : 999), $3, rate }'
    done | sort -n -k1,1 -k2,2 | head -n 1 | cut -d' ' -f3)
    echo "$activation: rate $best" | tee -a "$work/rates.txt"
    for seed in $seeds; do
        # shellcheck disable=SC2086
        run "$activation-$seed" "cifar10-fig1-$full" $common --activation $activation \
            --epochs "$most" --lr "$best" --seed "$seed"
    done
done
go
table
plot figure1.png --title "Epochs to 25 % training error (paper, figure 1)" \
    --columns train_top1 --errors --each --mark 0.25
