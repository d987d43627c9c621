"""Features of texts by a public body that learns nothing: means of its hidden states, at several depths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ult.trainer.machine import computes_bfloat16

TOGETHER = 16  # texts, of about one length


def rarity(ids: Sequence[NDArray[Any]], size: int) -> NDArray[np.float32]:
    """Return how rare each of `size` ids is (size,): the logarithm of the texts to those that have it, 0 if all do."""
    held = np.zeros(size)
    for one in ids:
        held[np.unique(one)] += 1
    return np.log((1 + len(ids)) / (1 + held)).astype(np.float32)


def pooled(
    model: Any, ids: Sequence[NDArray[Any]], weights: NDArray[Any], *, first: int, depths: Sequence[int], most: int
) -> NDArray[Any]:
    """Return mean hidden states (texts, ways, depths, width) float32 of texts cut at `most` ids, at some depths.

    In each way of the mean an id's state weighs as `weights` (ways, ids) says; depth 0 are the rows of the ids
    themselves. Before each text stands the id `first`, which is not counted: causal models put on the first place
    what belongs to no text. Only the layers that are needed run, in bfloat16 where the processor has instructions
    for it, which else takes seven times as long.
    """
    torch.set_num_threads(1)
    body = model.model
    body.layers = body.layers[: max(depths)]
    body = body.to(torch.bfloat16 if computes_bfloat16() else torch.float32).eval()
    cut = [np.concatenate([[first], one[:most]]).astype(np.int64) for one in ids]
    order = np.argsort([len(one) for one in cut], kind="stable")
    found = np.zeros((len(cut), len(weights), len(depths), model.config.hidden_size), np.float32)
    weigh = torch.from_numpy(np.asarray(weights, np.float32))
    for start in range(0, len(order), TOGETHER):
        some = order[start : start + TOGETHER]
        lengths = torch.tensor([len(cut[k]) for k in some])
        batch = torch.zeros(len(some), int(lengths.max()), dtype=torch.int64)
        for row, k in enumerate(some):
            batch[row, : len(cut[k])] = torch.from_numpy(cut[k])
        with torch.inference_mode():
            states = body(input_ids=batch, use_cache=False, output_hidden_states=True).hidden_states
        place = torch.arange(batch.shape[1])
        shares = weigh[:, batch] * ((place >= 1) & (place < lengths[:, None]))
        shares /= shares.sum(2, keepdim=True).clamp(min=1e-6)
        for d, depth in enumerate(depths):
            found[some, :, d] = torch.einsum("bnw,kbn->bkw", states[depth].float(), shares).numpy()
    return found
