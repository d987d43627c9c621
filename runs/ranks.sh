#!/bin/sh
# Cost: 3 minutes of CPU on one core; no model is trained.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/ranks.py --data "${DATA:-../shared/data}" "$@"
