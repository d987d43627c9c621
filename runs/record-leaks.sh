#!/bin/sh
# Cost: 10 minutes of CPU on one core; no model is trained.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/record_leaks.py --data "${DATA:-../shared/data}" "$@"
