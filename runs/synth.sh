#!/bin/sh
# Cost: 8 minutes of CPU; 1 table x 3 epsilons of ult synth, MST if DPMM names a python that has dpmm, noisy marginals and a direct DP classifier.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/synth.py --data "${DATA:-../shared/data}" "$@"
