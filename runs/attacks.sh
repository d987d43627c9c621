#!/bin/sh
# Cost: 12 minutes of CPU on one core; no model but a tiny one for embedding rows, one or two splits of the data.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/attacks.py --data "${DATA:-../shared/data}" "$@"
