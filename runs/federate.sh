#!/bin/sh
# Cost: 7 minutes of CPU, half of it by the clock, on two CPU cores; model tiny, three owners of 30 kB, alone, together, pooled and by FedAvg, 3 seeds.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/federate.py --data "${DATA:-../shared/data}" "$@"
