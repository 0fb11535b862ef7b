#!/bin/sh
# Makes the Python environment of `make parity` and `make bench-peers` in .runtime/venv, once; again when the requirements change.
# Needs python3 (3.11 or later) with pip (22.3 or later), and several GB of disk for torch. PYTHON names another interpreter.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=.runtime/venv
requirements=benches/peers/requirements.txt
if cmp -s "$requirements" "$venv/requirements.txt"; then
    exit 0
fi
"$python" -m pip --version >/dev/null || { echo "$python has no pip: install it (Debian: apt-get install python3-pip)" >&2; exit 1; }
mkdir -p .runtime
# The environment gets no pip of its own: Debian keeps the module that would put it there in a package apart.
"$python" -m venv --clear --without-pip "$venv"
"$python" -m pip --python "$venv/bin/python" install --disable-pip-version-check --quiet -r "$requirements"
cp "$requirements" "$venv/requirements.txt" # last: an install that was stopped is begun again
