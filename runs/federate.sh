#!/bin/sh
# Cost: 13 minutes of CPU on one core; model tiny, three owners of 30 kB, alone, together, pooled and by FedAvg, 3 seeds (5 of alone and together), and of 100 kB.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/federate.py --data "${DATA:-../shared/data}" "$@"
