#!/bin/sh
# Cost: 10 minutes of CPU, in one process; 8 trainings x 3 seeds; model tiny (0.5 M parameters).
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/protection.py --data "${DATA:-../shared/data}" "$@"
