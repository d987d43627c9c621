#!/bin/sh
# Cost: 52 minutes of CPU, half of it by the clock, on two CPU cores; model small (11 M parameters) on five sets at once, on each alone and on each raw, 3 seeds.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/unified.py --data "${DATA:-../shared/data}" "$@"
