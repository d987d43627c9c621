#!/bin/sh
# Cost: 15 minutes of CPU on one core; no model but a tiny one for embedding rows, up to three splits of the text.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/attacks.py --data "${DATA:-../shared/data}" "$@"
