#!/bin/sh
# Cost: 27 minutes of CPU, half of it by the clock on two cores; a run before, then 10 fine-tunings x 3 seeds; model tiny (0.5 M parameters).
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/memorisation.py --data "${DATA:-../shared/data}" "$@"
