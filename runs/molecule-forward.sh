#!/bin/sh
# Cost: about 30 minutes (estimated) on two CPU cores; 2 systems, equal steps and equal time, 3 seeds; encoder-decoder tiny, 40,000 reactions.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/molecule_forward.py --data "${DATA:-../shared/data}" "$@"
