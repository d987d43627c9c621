#!/bin/sh
# Cost: about 20 minutes of CPU, in one process; 7 systems, 1 to 3 seeds, bodies of 135 M and of 0.5 M parameters; needs `make weights`.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/public_body.py --data "${DATA:-../shared/data}" --workers 1 "$@"
