#!/bin/sh
# Cost: 17 minutes of CPU; six owners, tiny (0.6 M parameters), 3 seeds, each read with three kinds of rows.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/first_rows.py --data "${DATA:-../shared/data}" --workers 1 "$@"
