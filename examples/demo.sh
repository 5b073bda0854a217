#!/usr/bin/env bash
# make demo: a base from this machine's own files, an image built on it, and what the image says. Nothing is downloaded.
set -eu
cd "$(dirname "$0")/.."
bin=${BIN:-.venv/bin}
export LAYERWRIGHT_ROOT=${LAYERWRIGHT_ROOT:-$PWD/.demo/store}
mkdir -p "$LAYERWRIGHT_ROOT"

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }

say layerwright base
"$bin/layerwright" base

say build -t hello examples/hello
"$bin/build" -t hello --progress plain examples/hello

say layerwright inspect hello
"$bin/layerwright" inspect hello

say layerwright history hello
"$bin/layerwright" history hello

say layerwright run hello
"$bin/layerwright" run hello
