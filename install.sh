#!/bin/sh
# install.sh EXTRAS: makes .venv and installs the project into it, with what the extras name. Every file that hashes.txt
# knows must have one of its hashes, or nothing more is done. uv installs twice as fast as pip and compiles, which halves
# the start of every later process; where it cannot be had, pip takes all that hashes.txt pins, for it would want hashes
# of the project too. PIP_FIND_LINKS may name a folder of wheels.
set -eu
venv=${VENV:-.venv}
"${PYTHON:-python3}" -m venv "$venv"

have_uv() {
    [ ! -x "$venv/bin/uv" ] || return 0
    sed -n '/^uv==/,/[^\\]$/p' hashes.txt >"$venv/uv.txt"
    if said=$("$venv/bin/pip" install -q --require-hashes --no-deps -r "$venv/uv.txt" 2>&1); then
        [ -x "$venv/bin/uv" ]
        return
    fi
    case $said in *"THESE PACKAGES DO NOT MATCH THE HASHES"*) echo "$said" >&2 && exit 1 ;; esac
    return 1
}

if have_uv; then
    UV_FIND_LINKS="${PIP_FIND_LINKS:-}" "$venv/bin/uv" pip install -q --compile-bytecode --python "$venv/bin/python" \
        -c hashes.txt --build-constraints hashes.txt -e ".[$1]"
else
    "$venv/bin/pip" install -q --require-hashes -r hashes.txt
    "$venv/bin/pip" install -q --no-deps --no-build-isolation -e .
fi
