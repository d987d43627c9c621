#!/bin/sh
# Cost: about 30 minutes of CPU, half of it by the clock, on two CPU cores; model tiny on five sets at once in three ways, on each alone for as many steps and for all of them, and on each raw, 3 seeds.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/unified.py --data "${DATA:-../shared/data}" "$@"
