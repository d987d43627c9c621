#!/bin/sh
# Cost: 9 minutes of CPU, in one process; 7 codes x 2 keys, attacked and trained on; model tiny (0.5 M parameters).
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/frontier.py --data "${DATA:-../shared/data}" "$@"
