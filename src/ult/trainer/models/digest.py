"""The digest by which a run names the weights that its training began with."""

from __future__ import annotations

import hashlib

from ult.trainer.models.embeddings import Model


def weights_digest(model: Model) -> str:
    """Return the SHA-256 of the names, shapes and values of all weights, in hexadecimal."""
    whole = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        whole.update(f"{name} {tuple(weight.shape)}\n".encode())
        whole.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()
