#!/bin/sh
# Cost: 39 minutes of CPU, half of it by the clock, on two cores; 2 sets x 6 systems x 3 seeds of a classifier tiny.
# ULT_ONLINE=1 pre-trains on hf:Salesforce/wikitext instead of DATA's; the medical texts are in DATA.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/text_classify.py --data "${DATA:-../shared/data}" "$@"
