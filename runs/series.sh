#!/bin/sh
# Cost: an hour of CPU, so half of it on two CPU cores; 6 systems x 3 seeds, model tiny (0.4 M parameters), 500 heartbeats, 20 months.
# With --kept 4 minutes: linear and kernel models of heartbeats alone, beside what the result has of the other models.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/series.py --data "${DATA:-../shared/data}" "$@"
