#!/bin/sh
# Makes the Python environment of `make parity` and `make bench-peers` in .runtime/venv, once; again when the requirements change.
# Needs python3 (3.11 or later) with pip, and several GB of disk for torch. Takes nothing; PYTHON names another interpreter.
set -eu
cd "$(dirname "$0")/.."
venv=.runtime/venv
requirements=benches/peers/requirements.txt
if cmp -s "$requirements" "$venv/requirements.txt"; then
    exit 0
fi
mkdir -p .runtime
"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --disable-pip-version-check --quiet -r "$requirements"
cp "$requirements" "$venv/requirements.txt" # last: an install that was stopped is begun again
