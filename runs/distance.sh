#!/bin/sh
# Cost: a minute on two CPU cores, no model, up to 300 records a modality, one seed (of the bootstrap).
# ULT_ONLINE=1 reads hf:Salesforce/wikitext and hf:uoft-cs/cifar10 instead of DATA's.
cd "$(dirname "$0")/.." && exec "${PYTHON:-.venv/bin/python}" runs/distance.py --data "${DATA:-../shared/data}" "$@"
