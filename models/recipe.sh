#!/usr/bin/env bash
# recipe.sh DATA WORK [STAGE...]: makes everything in models/ again, from photos on.
#
# DATA holds the folders faces_us_congress, faces_uk_parliament, game_naev, game_composed and weights/squeezenet10; WORK takes
# what is made, some gigabytes. Without stages all are gone through: sets, base, characters, encoder, student, measure, ship.
# Each goes on where it was stopped. models/README.md says how long each took, and on what.
set -euo pipefail

[ $# -ge 2 ] || { sed -n 's/^# //p' "$0" | head -n 5 >&2; exit 2; }
data=$(realpath "$1") work=$2
shift 2
models=$(cd "$(dirname "$0")" && pwd)
toonify=$(realpath "${TOONIFY:-$models/../target/release/toonify}")
mkdir -p "$work/runs" && cd "$work"

shape=(--cfg auto --batch 32 --gamma 0.5 --cbase 2048 --cmax 128 --latent 256 --map-layers 4)
# Shapes of the portraits, paint of the characters; measure/blends shows why.
curve=(--resolution 16 --curve logistic --width 0.5)
base_kimg=${BASE_KIMG:-620}
tune_kimg=${TUNE_KIMG:-40}
encoder_kimg=${ENCODER_KIMG:-60}
student_kimg=${STUDENT_KIMG:-40}

# The newest file of a training, whose folder's name contains $1.
newest() { find runs -path "*$1*" -name 'network-snapshot-*.safetensors' | sort | tail -n 1; }
# Goes on with the training whose folder's name contains $1, or starts it with the other arguments.
train() {
    local run
    run=$(find runs -maxdepth 1 -name "*-$1-*" | sort | tail -n 1)
    if [ -n "$run" ]; then "$toonify" train --resume "$run"; else "$toonify" train --outdir runs "${@:2}"; fi
}

# Faces of 64 px, a tenth of them held out.
sets() {
    local set
    "$toonify" align "$data/faces_us_congress" aligned/portraits/congress --size 256
    "$toonify" align "$data/faces_uk_parliament" aligned/portraits/parliament --size 256
    for set in game_naev game_composed; do "$toonify" align "$data/$set" "aligned/characters/$set" --size 256; done
    for set in portraits characters; do
        rm -f "$set"64*.zip
        "$toonify" dataset build --source "aligned/$set" --dest "$set"64-all.zip --width 64 --height 64
        "$toonify" dataset split "$set"64-all.zip --train "$set"64.zip --held-out "$set"64-held.zip --share 0.1 --seed 0
    done
}

# Portraits, from scratch.
base() {
    train portraits64 --data portraits64.zip --mirror "${shape[@]}" --kimg "$base_kimg" --seed 0
    "$toonify" convert --half "$(newest -portraits64-)" base.safetensors # what ships is what everything else is made for
}

# The same generator on characters: freeze-D and the augmentations scale, xflip, noise.
characters() {
    train characters64 --resume base.safetensors --data characters64.zip --mirror "${shape[@]}" --kimg "$tune_kimg" \
        --snap 2 --freezed 10 --target 0.5 --augpipe custom --seed 0
    cp "$(newest -characters64-)" tuned.safetensors
    "$toonify" blend --low base.safetensors --high tuned.safetensors "${curve[@]}" -o blend.safetensors
}

# Image to latents, from the base's own images and the photos that it learnt from.
encoder() {
    "$toonify" encoder train --network base.safetensors --photos portraits64.zip --mirror -o encoder.safetensors \
        --kimg "$encoder_kimg" --half
}

# Pairs of the base and the blend, photos of the training set among them, and what learns from them.
student() {
    [ -d train ] || "$toonify" dataset split portraits64.zip --train train --held-out rest --share 0.9 --seed 1
    "$toonify" project --network base.safetensors --encoder encoder.safetensors --space w+ --save-video off \
        --target train/00000 --outdir projected
    local latents=()
    while IFS= read -r file; do latents+=(--w "$file"); done < <(find projected -name projected_w.npz | sort)
    "$toonify" pairs --base base.safetensors --blended blend.safetensors "${latents[@]}" --count 20000 -o pairs
    [ -d held ] || "$toonify" dataset split portraits64-held.zip --train rest-held --held-out held --share 0.1 --seed 0
    mkdir -p held20 && find held -name '*.png' -exec cp -t held20 {} +
    local photos=()
    while IFS= read -r file; do photos+=(--photos "$file"); done < <(find held20 -name '*.png' | sort | head -n 8)
    "$toonify" distill pairs -o student --preset small --size 64 --kimg "$student_kimg" --shift 10 "${photos[@]}"
}

# Numbers and pictures of models/.
measure() {
    local squeezenet
    squeezenet=$(find "$data/weights/squeezenet10" -name '*.safetensors' | head -n 1)
    mkdir -p measure
    score() { # NAME, then what is measured
        "$toonify" metrics --json --quiet --metrics swd,fid,kid --detector "$squeezenet" "${@:2}" > "measure/$1.json"
        printf '%s %s\n' "$1" "$(tr -d ' \n' < "measure/$1.json")"
    }
    copies() { # NAME NETWORK SEEDS: are samples copies?
        "$toonify" generate --network "$2" --seeds "$3" --outdir "measure/$1-samples" --quiet > /dev/null
        "$toonify" neighbours "measure/$1-samples" --data "$1"64.zip --mirror --held-out "$1"64-held.zip \
            --perception squeezenet --weights "$squeezenet" --quiet -o "measure/$1-neighbours.png"
    }
    local set network
    for set in portraits:base characters:tuned; do
        network=${set#*:}.safetensors set=${set%:*}
        score "$set-generated" --network "$network" --num 2000 --data "$set"64-held.zip
        score "$set-training-set" --images "$set"64.zip --data "$set"64-held.zip
        # Real against real: two halves of what is held out.
        [ -f "$set"-a.zip ] || "$toonify" dataset split "$set"64-held.zip --train "$set"-a.zip --held-out "$set"-b.zip --share 0.5
        score "$set-real-against-real" --images "$set"-a.zip --data "$set"-b.zip
        copies "$set" "$network" 0-199
    done

    # Twenty held-out portraits: what the encoder is worth, and through every blend.
    errors() { # NAME, then options
        "$toonify" project --network base.safetensors --target held20 --outdir "measure/$1" --save-video off --space w+ \
            --quiet "${@:2}" | awk -v name="$1" '{ sum += $5 } END { printf "%s: mean squared error %.4f\n", name, sum / NR }'
    }
    for steps in 30 100 200 300 1000; do errors "average-$steps" --num-steps $steps; done
    for steps in 1 10 30 50 100; do errors "encoder-$steps" --num-steps $steps --encoder encoder.safetensors; done
    local latents=()
    while IFS= read -r file; do latents+=(--w "$file"); done \
        < <(find measure/encoder-100 -name projected_w.npz | sort | head -n 16)
    local low
    for low in base tuned; do
        "$toonify" grid --base base.safetensors --tuned tuned.safetensors "${latents[@]}" --low $low --width 0.5 --scores \
            --characters characters64.zip --outdir "measure/blends-low-$low" --quiet
    done
    "$toonify" compare student/student.safetensors held20 --aligned -o measure/student --base base.safetensors \
        --blended blend.safetensors --encoder encoder.safetensors --space w+ --num-steps 100 --squeezenet "$squeezenet"
}

# Half precision, into the repository.
ship() {
    cp base.safetensors "$models/portraits64.safetensors"
    "$toonify" convert --half --ema-only tuned.safetensors "$models/characters64.safetensors"
    cp encoder.safetensors "$models/portraits64-encoder.safetensors"
    "$toonify" convert --half student/student.safetensors "$models/characters64-student.safetensors"
}

[ $# -gt 0 ] || set -- sets base characters encoder student measure ship
for stage in "$@"; do
    echo "== $stage" >&2
    "$stage"
done
