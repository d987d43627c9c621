#!/bin/sh
# Cost: 10 minutes of CPU, in one process; some 100 short trainings of model tiny (0.6 M parameters), 15 audits.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/forget.py --data "${DATA:-../shared/data}" "$@"
