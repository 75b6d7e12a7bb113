# What keeps the network from learning by heart: crops and mirrors, colour noise (paper, 4.1),
# dropout (4.2: about twice the epochs), weight decay (5: it lowers the training error too).
# Smaller: as 3-depth, 60 epochs. In the curves training error is that of the augmented pictures, dropout at
# work; at the end also of the training pictures as they are (the centre), without dropout.
. "$(dirname "$0")/lib.sh"

pack "flowers17-$(choose 128 256)" flowers17 --side "$(choose 128 256)"
common="--width $(choose 0.25 1) --image-size $(choose 112 224) --epochs 60 --drop-at 45,54"
: >"$work/keep" # models, to evaluate
for seed in $seeds; do
    # shellcheck disable=SC2086
    {
        set -- "flowers17-$(choose 128 256)" $common --seed "$seed"
        run "all-$seed" "$@"
        run "crops-mirrors-$seed" "$@" --colour 0
        run "no-augmentation-$seed" "$@" --colour 0 --no-crop --no-mirror
        run "no-dropout-$seed" "$@" --no-dropout
        run "no-decay-$seed" "$@" --decay 0
    }
done
go
table
# Both sets by the finished models: "name, error % in training, held out".
for seed in $seeds; do
    for name in all crops-mirrors no-augmentation no-dropout no-decay; do
        for set in train val; do
            "$bin/evaluate" "$out/packs/flowers17-$(choose 128 256)/$set" \
                "$work/$name-$seed.safetensors" |
                sed 's/.*top-1 \([0-9.]*\) %.*loss \([0-9.]*\)/\1 \2/'
        done | awk -v name=$name '{ cell = cell sprintf(" %.1f %s", 100 - $1, $2) }
            END { print name cell }'
    done
done | sort | tee "$work/ends.txt"
plot regularisation.png "" --title "flowers17: augmentation, dropout, decay" --errors \
    --columns top1
