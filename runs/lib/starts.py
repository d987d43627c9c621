"""Weights to start from that know no more than random ones, but for their moments, or but for the order of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from ult.public.vocabulary import N_SPECIAL

ROWS = "model.embed_tokens.weight"


def match_moments(path: Path, rng: np.random.Generator) -> None:
    """Draw every tensor of a checkpoint anew, with the mean and deviation that it had."""
    weights = load_file(path)
    drawn = {name: rng.normal(w.mean(), w.std(), w.shape).astype(w.dtype) for name, w in weights.items()}
    save_file(drawn, path, metadata={"format": "pt"})


def permute_rows(path: Path, rng: np.random.Generator) -> None:
    """Put the embedding rows of a checkpoint in a random order, special ones aside."""
    weights = load_file(path)
    rows = weights[ROWS]
    rows[N_SPECIAL:] = rows[N_SPECIAL + rng.permutation(len(rows) - N_SPECIAL)]
    save_file(weights, path, metadata={"format": "pt"})
