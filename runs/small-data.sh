#!/bin/sh
# Cost: 20 minutes of CPU, in one process; 7 trainings of model tiny (0.7 M parameters) on 300 kB and 2.8 MB of text.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/small_data.py --data "${DATA:-../shared/data}" "$@"
