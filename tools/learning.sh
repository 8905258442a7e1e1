#!/usr/bin/env bash
# learning.sh PORTRAITS CHARACTERS OUT: shows, and tests, that training works: portraits of 32 px from scratch, then game characters.
#
# PORTRAITS and CHARACTERS are folders of photos and of pictures with faces. OUT receives the aligned faces, the training sets, the runs,
# and what docs/training.md shows: portraits.png and characters.png. Ends with 1 unless the sliced Wasserstein distance
# falls by the factors below. A second call goes on where the first one was stopped; SNAP, KIMG, TUNE_KIMG change the lengths.
set -euo pipefail

[ $# = 3 ] || { sed -n 's/^# //p' "$0" | head -n 5 >&2; exit 2; }
portraits=$1 characters=$2 out=$3
toonify=${TOONIFY:-toonify}
kimg=${KIMG:-400} tune_kimg=${TUNE_KIMG:-60} snap=${SNAP:-5}
# What the distance is divided by, at least: from random weights to portraits, and from portraits to characters.
portraits_factor=${PORTRAITS_FACTOR:-2} characters_factor=${CHARACTERS_FACTOR:-1.5}
mkdir -p "$out"

make_set() { # NAME SOURCE
    [ -e "$out/$1.zip" ] && return
    "$toonify" align "$2" "$out/aligned/$1" --size 64 || echo "some pictures of $1 have no face" >&2
    "$toonify" dataset build --source "$out/aligned/$1/faces" --dest "$out/$1.zip" --width 32 --height 32
}

# A run of that name, begun or gone on with.
run_of() { find "$out/runs" -maxdepth 1 -type d -name "[0-9]*-$1-*" 2> /dev/null | sort | tail -n 1; }

train() { # NAME, then options of a new run
    local run=$(run_of "$1")
    if [ -n "$run" ]; then
        "$toonify" train --resume "$run"
    else
        "$toonify" train --outdir "$out/runs" --data "$out/$1.zip" "${@:2}"
    fi
}

# Prints the first and the last distance of a run and what the one is of the other; fails when that is too little.
judge() { # NAME FACTOR
    local run=$(run_of "$1")
    cp "$(find "$run" -name 'fakes0*.png' | sort | tail -n 1)" "$out/$1.png"
    grep -o '"swd":[0-9.]*' "$run/metric-swd.jsonl" | awk -F: -v name="$1" -v least="$2" '
        NR == 1 { first = $2 } { last = $2 }
        END { printf "%s: SWD %.1f before, %.1f after, a factor of %.2f (at least %s)\n", name, first, last, first / last, least
              exit !(first >= least * last) }'
}

network="--cbase 1024 --cmax 64 --latent 128 --map-layers 4 --batch 32"
make_set portraits "$portraits"
make_set characters "$characters"

SECONDS=0
# shellcheck disable=SC2086 # options, not one word
train portraits $network --mirror --gamma 0.1 --kimg "$kimg" --snap "$snap" --grid 12x4 --seed 1
echo "portraits: $((SECONDS / 60)) min"
judge portraits "$portraits_factor"

SECONDS=0
base=$(find "$(run_of portraits)" -name 'network-snapshot-*.safetensors' | sort | tail -n 1)
# The first block of the discriminator does not learn: 4 layers here, 10 are the first three blocks at 256 px.
# shellcheck disable=SC2086
train characters $network --mirror --gamma 0.1 --resume "$base" --freezed 4 --augpipe custom --target 0.5 \
    --kimg "$tune_kimg" --snap "$snap" --grid 12x4 --seed 2
echo "characters: $((SECONDS / 60)) min"
judge characters "$characters_factor"
