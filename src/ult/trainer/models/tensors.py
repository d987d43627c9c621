"""The tensors in a safetensors file that somebody else wrote."""

from __future__ import annotations

from typing import Any

from ult.errors import FormatError
from ult.host.extras import require

with require("safetensors", extra="train"):
    from safetensors import SafetensorError
    from safetensors.torch import load


def tensors_in(data: bytes, strange: FormatError) -> dict[str, Any]:
    """Return the tensors in the bytes of a safetensors file, by name. Raises `strange` if they are none."""
    try:
        return dict(load(data))
    except (SafetensorError, KeyError) as error:  # KeyError: it knows types of numbers that torch has not
        raise strange from error
