#!/bin/sh
# Cost: 52 minutes of CPU, so 26 on two CPU cores; 4 pairs of source and target, 8 to 10 starts, 2 or 3 shares, 3 seeds; model tiny (0.6 M parameters).
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/transfer.py --data "${DATA:-../shared/data}" "$@"
