"""Messages between an owner and the server: hidden states and their gradients, and nothing beside them.

A message is a safetensors file: what stands at the prompts, which is the same for every block of a batch and so travels
once, what stands at the ids, and the scale of both, by which float16 holds gradients however small they are.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from ult.errors import FormatError, TrainingError
from ult.host.extras import require
from ult.trainer.models.tensors import tensors_in

with require("torch", "safetensors", extra="train"):
    import torch
    from safetensors.torch import save

_NAMES = {"prompts", "ids", "scale"}
Shape: TypeAlias = tuple[int | None, ...]


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


def unpacked(data: bytes, kind: str, sender: str, like: tuple[Shape, Shape]) -> Hidden:
    """Return what a message carries, of these shapes of prompts and ids; None stands for any size from 1.

    Raises `FormatError`, naming the sender, unless it is a message of hidden states of this type, and `TrainingError`
    for NaN.
    """
    found = tensors_in(data, FormatError(f"{sender} sent no message of a split"))
    if found.keys() != _NAMES:
        raise FormatError(f"{sender} sent other things than hidden states")
    if (*found["scale"].shape,) != (1,) or found["scale"].dtype != torch.float32:
        raise FormatError(f"{sender} sent a scale of another shape or type; expected one number, float32")
    for name, shape in zip(Hidden._fields, like, strict=True):
        if found[name].dtype != getattr(torch, kind) or not _fits((*found[name].shape,), shape):
            sizes = " x ".join(map(str, found[name].shape)) or "one number"
            raise FormatError(
                f"{sender} sent {name} of {sizes}, {found[name].dtype}; expected "
                f"{' x '.join('any' if size is None else str(size) for size in shape)}, torch.{kind}"
            )
    hidden = Hidden(*(found[name].float() * found["scale"] for name in Hidden._fields))
    if not all(bool(torch.isfinite(part).all()) for part in hidden):
        raise TrainingError(f"{sender} sent hidden states that are infinite or no number")
    return hidden


def _fits(shape: tuple[int, ...], like: Shape) -> bool:
    return len(shape) == len(like) and all(
        size == other if other is not None else size > 0 for size, other in zip(shape, like, strict=True)
    )
