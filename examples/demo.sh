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

# Its steps need no network; a network of their own would need nftables (or iptables), which a fresh machine may not have.
say build -t hello --network none examples/hello
"$bin/build" -t hello --network none --progress plain examples/hello

say layerwright inspect hello
"$bin/layerwright" inspect hello

say layerwright history hello
"$bin/layerwright" history hello

say layerwright run --network none hello
"$bin/layerwright" run --network none hello
