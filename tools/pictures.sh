#!/usr/bin/env bash
# pictures.sh BASE TUNED CHARACTERS PHOTOS OUT: the pictures of docs/blending.md, from photos on.
#
# BASE and TUNED are checkpoints, CHARACTERS a folder or zip of what TUNED learnt, PHOTOS a folder of photos of faces.
# What was projected is kept in $WORK (target/pictures), so that a second run renders only.
set -euo pipefail

[ $# = 5 ] || { sed -n 's/^# //p' "$0" | head -n 4 >&2; exit 2; }
base=$1 tuned=$2 characters=$3 photos=$4 out=$5
toonify=${TOONIFY:-toonify}
work=${WORK:-target/pictures}
mkdir -p "$work" "$out"

# One style, all faces; with it the latents.
"$toonify" photo "$photos" -o "$work/photo" --base "$base" --tuned "$tuned" --low base --resolution "${RESOLUTION:-16}" \
    --num-steps "${STEPS:-1000}" --space "${SPACE:-w+}" || echo "some photos have no result" >&2

faces=()
while IFS= read -r file; do faces+=(--w "$file"); done \
    < <(find "$work/photo/w" -name projected_w.npz | sort | head -n "${FACES:-4}")

sheet() { # NAME, then options of grid
    "$toonify" grid --base "$base" --tuned "$tuned" "${faces[@]}" --outdir "$work/$1" "${@:2}"
    cp "$work/$1/grid.png" "$out/$1.png"
}
sheet blends --low tuned
sheet painted --low base --scores --characters "$characters"
cp "$work/painted/scores.png" "$out/scores.png"
sheet alone --alone
sheet widths --low base --width 0 --width 0.5 --width 1 --resolutions "8,${RESOLUTION:-16}"
