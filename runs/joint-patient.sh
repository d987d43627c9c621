#!/bin/sh
# Cost: 4 minutes of CPU, so 2 on two CPU cores; 5 sets of fields x 2 models x 3 seeds, model tiny (0.6 M parameters). No data is needed.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/joint_patient.py --data "${DATA:-.}" "$@"
