#!/bin/sh
# Cost: MINUTES minutes on two CPU cores; 2 sets x 5 systems x 3 seeds, model tiny (0.7 M parameters), 2,300 and 3,300 texts.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/text_classify.py --data "${DATA:-../shared/data}" "$@"
