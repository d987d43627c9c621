"""Messages between an owner and the server: hidden states and their gradients, and nothing beside them.

A message is a safetensors file: what stands at the prompts, which is the same for every block of a batch and so travels
once, what stands at the ids, and the scale of both, by which float16 holds gradients however small they are.
"""

from __future__ import annotations

from typing import NamedTuple

from ult.errors import FormatError, TrainingError
from ult.host.extras import require

with require("torch", "safetensors", extra="train"):
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load, save

_NAMES = {"prompts", "ids", "scale"}


class Hidden(NamedTuple):
    """Hidden states of a batch, or gradients with respect to them, float32."""

    prompts: torch.Tensor  # (prompts, channels)
    ids: torch.Tensor  # (b, n, channels)


def packed(hidden: Hidden, kind: str) -> bytes:
    """Return the message that carries hidden states as a type, one of `WIRES`. Raises `TrainingError` for NaN."""
    scale = torch.stack([part.abs().max() for part in hidden]).max().float().cpu()
    if not bool(torch.isfinite(scale)):
        raise TrainingError("hidden states are infinite or no number", hint="a lower --learning-rate")
    if kind == "float32" or not scale:
        scale = torch.ones(())
    sent = {name: (part.cpu() / scale).to(getattr(torch, kind)).contiguous() for name, part in hidden._asdict().items()}
    return bytes(save({**sent, "scale": scale[None]}))


def unpacked(data: bytes, kind: str) -> Hidden:
    """Return what a message carries. Raises `FormatError` unless it is a message of hidden states of this type."""
    try:
        found = load(data)
    except SafetensorError as error:
        raise FormatError("a message of a split holds no hidden states") from error
    if found.keys() != _NAMES or found["ids"].ndim != 3 or found["prompts"].shape[1:] != found["ids"].shape[2:]:
        raise FormatError("a message of a split holds other things than hidden states")
    if {str(found[name].dtype) for name in ("prompts", "ids")} != {f"torch.{kind}"}:
        raise FormatError(f"a message of a split holds another type than {kind}")
    scale = found["scale"][0]
    return Hidden(found["prompts"].float() * scale, found["ids"].float() * scale)
