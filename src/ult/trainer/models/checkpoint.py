"""Check what a stranger's checkpoint asks for before transformers acts on it.

Without this, a `config.json` of a few bytes could name native code on the Hub as its attention, or ask for any number
of layers and rows, which transformers builds before it compares them with the weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ult.errors import FormatError
from ult.host.extras import require
from ult.host.regular import check_all, read_text

with require("torch", "transformers", extra="train"):
    import torch
    import transformers

GROUP = "group.json"  # in the folder of a federation's body, which has no rows
LAYERS = 1000  # more than any model has; a layer takes a few ms to build
LABELS = 2**17
ROOM = 2**26  # weights that a model may have beyond one a byte of its files: rows that stayed with an owner, a new head


def check_checkpoint(kind: Any, path: Path) -> None:
    """Raise `FormatError` if a folder asks for code, for other files, or for a model larger than its weights."""
    check_all(path)
    if (path / "adapter_config.json").exists():
        raise FormatError(f"{path} holds adapters to another model; expected the weights of one", hint="merge them")
    for index in path.glob("*.index.json"):
        named = {str(name) for name in _read(index)["weight_map"].values()}
        if not all(re.fullmatch(r"[\w.-]+\.safetensors", name) for name in named):
            raise FormatError(f"{index} names other files than safetensors beside it")
    document = _read(path / "config.json")
    for other in ("transformers_weights", "quantization_config"):
        if isinstance(document, dict) and document.get(other) is not None:
            raise FormatError(f"{path} asks for {other}; expected model.safetensors as it is")
    for key, value in _options(document):
        if key.endswith("implementation") and not re.fullmatch(r"[a-z0-9_]+", str(value)):
            raise FormatError(f"{path} asks for {key} {str(value)[:80]!r}, which transformers does not have itself")
        most = LABELS if key == "num_labels" else LAYERS if re.search("layers?$|depths?$", key) else None
        if most is not None and isinstance(value, int) and value > most:
            raise FormatError(f"{path} asks for {value} {key}; expected at most {most}")
    config = transformers.AutoConfig.from_pretrained(str(path), trust_remote_code=False, local_files_only=True)
    with torch.device("meta"):
        asked = kind.from_config(config, trust_remote_code=False).num_parameters()
    held = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    if asked > held + ROOM:
        raise FormatError(f"{path} asks for a model of {asked:,} weights; its files hold {held:,} bytes")


def _read(path: Path) -> Any:
    return json.loads(read_text(path, 2**24))


def _options(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of everything in a JSON document; items of a list have the name of the list."""
    pending: list[tuple[str, Any]] = [("", document)]
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict):
            nested = name if name.endswith("implementation") else None  # one for each part of the model
            pending += [(nested or key, one) for key, one in value.items()]
        elif isinstance(value, list):
            pending += [(name, one) for one in value]
        elif value is not None:
            yield name, value
