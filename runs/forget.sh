#!/bin/sh
# Cost: 15 minutes of CPU, in one process; some 150 short trainings of model tiny (0.6 M parameters), 12 audits.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/forget.py --data "${DATA:-../shared/data}" "$@"
