#!/bin/sh
# Cost: 43 minutes of CPU, so 22 on two CPU cores; 2 sets (63 and 220 tumours) x 5 folds x 3 repetitions x 6 systems, model tiny.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/omics.py --data "${DATA:-../shared/data}" "$@"
