#!/bin/sh
# Cost: 22 minutes of CPU; linear models, transformers tiny (2 sets x 2 systems x 3 seeds and variants), a frozen SmolLM2-135M.
# Needs `make weights`. The medical texts are in DATA.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/text_classify.py --data "${DATA:-../shared/data}" "$@"
