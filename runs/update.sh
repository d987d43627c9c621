#!/bin/sh
# Cost: 8 minutes of CPU; tables of three sets, 45 classifiers, 19 language models, all tiny. The texts are in DATA.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/update.py --data "${DATA:-../shared/data}" "$@"
