#!/bin/sh
# Cost: 11 minutes of CPU, in one process; some 60 short trainings of model tiny (0.6 M parameters), 15 audits, and EUPG's tables.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/forget.py --data "${DATA:-../shared/data}" "$@"
