#!/bin/sh
# Cost: 108 minutes of CPU , half of it by the clock on two cores; owners and 9 kinds of receivers, tiny (0.6 M parameters) x 3 seeds, small (11 M) x 1.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/release.py --data "${DATA:-../shared/data}" "$@"
