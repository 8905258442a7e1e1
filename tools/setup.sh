#!/usr/bin/env bash
# Makes sure that the machine has what the build needs: a C++ compiler, dlib, OpenBLAS and dlib's landmark model.
# Asks the compiler, not the package manager, what is there; changes nothing when nothing is missing.
set -euo pipefail

landmark_model=/usr/share/dlib/shape_predictor_68_face_landmarks.dat

# Cargo's own folder is often on the PATH of login shells only.
have_cargo() {
    command -v cargo >/dev/null || [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]
}

compiler() {
    "${CXX:-c++}" "$@" 2>/dev/null
}

# Whether the compiler finds the header $1.
has_header() {
    compiler -std=c++17 -x c++ -fsyntax-only - <<<"#if !__has_include(<$1>)
#error
#endif"
}

# Whether the linker finds the libraries $@.
has_libraries() {
    compiler -x c++ - "${@/#/-l}" -o /dev/null <<<"int main() {}"
}

missing=()
why=()
need() {
    missing+=("$1")
    why+=("$1: $2")
}

check() {
    if ! command -v "${CXX:-c++}" >/dev/null; then
        need g++ "compiles the bridge to dlib"
    fi
    if ! has_header dlib/image_processing/frontal_face_detector.h || ! has_libraries dlib; then
        need libdlib-dev "finds the faces in a photo"
    fi
    if ! has_libraries openblas lapack; then
        need libopenblas-dev "linear algebra that dlib calls"
    fi
    if [ ! -e "$landmark_model" ] && command -v apt-get >/dev/null; then
        need libdlib-data "the model of the 68 facial landmarks"
    fi
}

install() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}")
    local root=()
    printf 'toonify needs these system packages:\n'
    printf '  %s\n' "${why[@]}"
    if ! command -v apt-get >/dev/null; then
        printf 'error: there is no `apt-get` here, so they cannot be installed for you\n' >&2
        printf 'hint: install dlib 19.24 or newer, OpenBLAS with LAPACK and a C++ compiler, then try again\n' >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            printf 'error: installing packages needs root rights, and there is no `sudo`\n' >&2
            printf 'hint: as root, run: apt-get update && apt-get install %s\n' "${missing[*]}" >&2
            exit 1
        fi
        printf 'Installing them with apt-get; sudo may ask for your password.\n'
        root=(sudo)
    fi
    ${root[@]+"${root[@]}"} apt-get update -qq || printf 'warning: the package lists could not be refreshed\n' >&2
    ${root[@]+"${root[@]}"} "${apt[@]}"
}

if ! have_cargo; then
    printf 'error: `cargo` is not installed\nhint: get a Rust toolchain from https://rustup.rs\n' >&2
    exit 1
fi
check
if [ ${#missing[@]} -gt 0 ]; then
    install
    missing=()
    why=()
    check
    if [ ${#missing[@]} -gt 0 ]; then
        printf 'error: still missing after the installation: %s\n' "${missing[*]}" >&2
        exit 1
    fi
fi
