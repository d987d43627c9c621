#!/bin/sh
# Cost: 30 minutes of CPU (estimated), in one process; a run before, then 7 fine-tunings x 3 seeds; model tiny (0.5 M parameters).
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/memorisation.py --data "${DATA:-../shared/data}" "$@"
