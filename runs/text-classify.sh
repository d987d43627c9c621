#!/bin/sh
# Cost: 11 minutes of CPU; linear models, a transformer tiny of ids (2 sets x 3 seeds), a frozen SmolLM2-135M on one set.
# With --kept 12 minutes: words, the trainer's bag and the public body alone, of the abstracts. Needs `make weights`. The medical texts are in DATA.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/text_classify.py --data "${DATA:-../shared/data}" "$@"
