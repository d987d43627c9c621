#!/bin/sh
# Cost: 78 minutes of CPU, 45 by the clock on two cores; 2 systems, equal steps and equal time, 1 seed; encoder-decoder tiny, 40,000 reactions.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/molecule_forward.py --data "${DATA:-../shared/data}" "$@"
