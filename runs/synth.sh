#!/bin/sh
# Cost: 12 minutes of CPU; 2 tables x 3 epsilons of ult synth, MST if DPMM names a python that has dpmm, noisy marginals and a direct DP classifier; subjects of mails; 10,000 records by each codec.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/synth.py --data "${DATA:-../shared/data}" "$@"
