#!/bin/sh
# Cost: 20 minutes of CPU, so 10 on two CPU cores; 3 tables x 5 systems x 2 budgets x 3 seeds, model tiny (0.7 M parameters).
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/record_bits.py --data "${DATA:-../shared/data}" "$@"
