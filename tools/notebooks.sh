#!/usr/bin/env bash
# notebooks.sh [NOTEBOOK...]: runs notebooks from top to bottom and keeps what they show.
#
# Jupyter comes from PyPI into target/jupyter. `toonify` is the release build of this checkout.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
environment=target/jupyter
if [ ! -x $environment/bin/jupyter-nbconvert ]; then
    python3 -m venv $environment
    $environment/bin/pip install --quiet nbconvert ipykernel
fi
export PATH="$PWD/target/release:$PATH" NO_COLOR=1
[ $# -gt 0 ] || set -- notebooks/*.ipynb
# What the notebooks make goes beside the build, not into the checkout.
work=target/notebooks
mkdir -p $work
# Outputs name no folder of this machine.
export XDG_CACHE_HOME="$PWD/$work/cache"
for notebook in "$@"; do
    echo "== $notebook" >&2
    cp "$notebook" $work/
    copy=$work/$(basename "$notebook")
    $environment/bin/jupyter-nbconvert --to notebook --execute --inplace --ExecutePreprocessor.timeout=600 \
        --ClearMetadataPreprocessor.enabled=True "$copy"
    # A failed command does not end a cell of its own accord.
    if grep -qE '"(error:|[^"]*panicked at)' "$copy"; then
        echo "$notebook: a command failed" >&2
        exit 1
    fi
    sed -i "s#$XDG_CACHE_HOME#~/.cache#g" "$copy"
    if [ -n "${KEEP:-}" ]; then cp "$copy" "$notebook"; fi
done
