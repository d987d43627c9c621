#!/bin/sh
# Cost: MINUTES minutes on two CPU cores; 5 systems x 2 budgets x 3 seeds, model tiny (0.7 M parameters), 2.9 MB of text.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/text_lm.py --data "${DATA:-../shared/data}" "$@"
