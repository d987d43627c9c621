#!/bin/sh
# Cost: 5 minutes of CPU on one core; it needs SmolLM2's file: make weights.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/alienlm.py --data "${DATA:-../shared/data}" "$@"
