#!/bin/sh
# Cost: 18 minutes of CPU on one core; a public body of 6 blocks of 128, three owners of 30 kB, alone, whole and split, 3 seeds.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/split.py --data "${DATA:-../shared/data}" --workers 1 "$@"
