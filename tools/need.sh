#!/usr/bin/env bash
# need.sh COMMAND CURE: succeeds when COMMAND is installed, otherwise says how to get it and fails.
set -euo pipefail

command=$1
cure=$2

if ! command -v "$command" >/dev/null; then
    printf 'error: `%s` is not installed\nhint: %s\n' "$command" "$cure" >&2
    exit 1
fi
