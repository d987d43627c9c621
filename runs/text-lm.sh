#!/bin/sh
# Cost: 41 minutes of CPU, so 21 on two CPU cores; 5 systems x 2 budgets x 3 seeds, model tiny (0.7 M parameters), 2.9 MB of text.
# Needs `make weights` for SmolLM2's tokenizer. ULT_ONLINE=1 reads hf:Salesforce/wikitext instead of DATA.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/text_lm.py --data "${DATA:-../shared/data}" "$@"
