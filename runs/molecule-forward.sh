#!/bin/sh
# Cost: 9 minutes of CPU; 2 systems in equal time, 1 seed; encoder-decoder of 2 + 2 layers of 128, 21,681 short reactions.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/molecule_forward.py --data "${DATA:-../shared/data}" "$@"
