#!/bin/sh
# Cost: 15 minutes of CPU; 3 tables x 3 splits of 2 baselines on columns, trees and a bag on ids, and 2 transformers tiny.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/record_predict.py --data "${DATA:-../shared/data}" "$@"
