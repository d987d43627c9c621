"""The body of a model, every weight but its embedding rows: all that the messages of a federation carry.

A message is a safetensors file of float32 tensors. Whoever receives one takes exactly the names and the shapes that the
group's own body has, and nothing else, so that neither rows nor anything beside the body can be sent by mistake.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ult.errors import FormatError, TrainingError
from ult.host.extras import require
from ult.trainer.models.embeddings import Model, row_names
from ult.trainer.models.tensors import tensors_in

with require("torch", "safetensors", extra="train"):
    import torch
    from safetensors.torch import save

Body: TypeAlias = Mapping[str, Any]  # name -> tensor, float32
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
HEADER = 2**20  # bytes that the header of a message may take beside its tensors
MOST = 2.0**20  # of a change: bodies that greater ones add up to would overflow, and nothing goes on from those


def body_of(model: Model) -> Body:
    """Return copies of the weights of a model's body, by name, on the CPU."""
    rows = row_names(model)
    return {
        name: weight.detach().float().cpu().contiguous().clone()
        for name, weight in sorted(model.state_dict().items())
        if name not in rows
    }


def put(model: Model, body: Body) -> None:
    """Make this the body of a model; its rows stay as they are."""
    held = model.state_dict()
    with torch.no_grad():
        for name, weight in body.items():
            held[name].copy_(weight)


def shapes_of(body: Body) -> Shapes:
    """Return the shape of each weight of a body, by name."""
    return {name: (*weight.shape,) for name, weight in body.items()}


def weights(shapes: Shapes) -> int:
    """Return how many weights a body of these shapes has."""
    return sum(int(torch.Size(shape).numel()) for shape in shapes.values())


def packed(body: Body) -> bytes:
    """Return the message that carries a body, or the change of one."""
    return bytes(save({name: body[name].float().contiguous() for name in sorted(body)}))


def unpacked(data: bytes, shapes: Shapes, sender: str) -> Body:
    """Return what a message carries. Raises `FormatError`, naming the sender, unless it is a body of these shapes."""
    return received(data, shapes, sender, torch.float32)


def received(data: bytes, shapes: Shapes, sender: str, kind: Any = torch.int32) -> Body:
    """Return the tensors of a message, all of one type. Raises as `unpacked`."""
    most = 4 * weights(shapes) + HEADER
    if len(data) > most:
        raise FormatError(f"{sender} sent {len(data):,} bytes; expected at most {most:,}, a body and no more")
    found = tensors_in(data, FormatError(f"{sender} sent no message of a federation"))
    check(found, shapes, sender, kind)
    return found


def check(body: Body, shapes: Shapes, sender: str, kind: Any = torch.float32) -> None:
    """Raise `FormatError` unless a body has exactly these names, shapes and type, and `TrainingError` for NaN."""
    if strange := sorted(set(body) - set(shapes)):
        raise FormatError(f"{sender} sent {strange[0]!r:.80}, which is no weight of the group's body")
    for name, shape in shapes.items():
        if name not in body:
            raise FormatError(f"{sender} sent no {name}; expected the whole body")
        if (*body[name].shape,) != shape or body[name].dtype != kind:
            raise FormatError(f"{sender} sent {name} of another shape or type; expected {shape}, {kind}")
        if not bool(torch.isfinite(body[name]).all()):
            raise TrainingError(
                f"{sender} sent {name} with values that are infinite or no number", hint="a lower --learning-rate"
            )


def check_change(change: Body, sender: str) -> None:
    """Raise `TrainingError` for a change of a weight beyond `MOST`."""
    if wild := [name for name, weight in change.items() if not bool((weight.abs() <= MOST).all())]:
        raise TrainingError(f"{sender} changed {wild[0]} by more than {MOST:,.0f}", hint="a lower --learning-rate")


def digest(body: Body) -> str:
    """Return the SHA-256 of a body, over names, shapes and values."""
    return hashlib.sha256(packed(body)).hexdigest()


def read(path: Path, shapes: Shapes | None = None) -> Body:
    """Return the body in a safetensors file, of these shapes; of a checkpoint with rows too, the body alone.

    Raises `FormatError`.
    """
    strange = FormatError(f"{path} holds no weights that can be read")
    try:
        found: Body = tensors_in(path.read_bytes(), strange)
    except OSError as error:
        raise strange from error
    if shapes is not None:
        found = {name: found[name].float() for name in shapes if name in found}
        check(found, shapes, str(path))
    return found
