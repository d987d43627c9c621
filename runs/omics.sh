#!/bin/sh
# Cost: 43 minutes of CPU, so 22 on two CPU cores; 2 sets (63 and 220 tumours) x 5 folds x 3 repetitions x 6 systems, model tiny.
# With --kept 3 minutes: the linear systems alone, beside the transformers' figures that the result has.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/omics.py --data "${DATA:-../shared/data}" "$@"
