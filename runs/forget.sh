#!/bin/sh
# Cost: to be measured.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/forget.py --data "${DATA:-../shared/data}" "$@"
