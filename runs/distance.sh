#!/bin/sh
# Cost: MINUTES minutes on two CPU cores, no model, up to 300 records a modality, one seed (of the bootstrap).
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/distance.py --data "${DATA:-../shared/data}" "$@"
