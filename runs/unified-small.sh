#!/bin/sh
# Cost: 20 minutes of CPU, so half of it on two CPU cores; model tiny (0.6 M parameters), five sets of 15,000 ids, 3 seeds.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/unified_small.py --data "${DATA:-../shared/data}" "$@"
