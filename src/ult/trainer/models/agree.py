"""Whether `config.json` and the weights beside it are of one model: transformers passes over much that is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ult.errors import FormatError
from ult.host.extras import require
from ult.trainer.models.embeddings import Model

with require("torch", "safetensors", extra="train"):
    import torch
    from safetensors import safe_open

INDEX = "model.safetensors.index.json"
_FLOATS = {"F64", "F32", "F16", "BF16"}  # as safetensors calls them; others are of a quantised model
_SAVED = "config.json as it was saved with these weights: model.save_pretrained(folder)"


def check_agreement(model: Model, path: Path, report: Mapping[str, Any]) -> None:
    """Raise `FormatError` unless the files at `path` hold all weights of `model`, no others, and of the same shapes.

    `report` is what transformers says of loading them, mismatched shapes ignored.
    """
    if (path / "model.safetensors").exists() and (path / INDEX).exists():
        raise FormatError(
            f"{path} holds model.safetensors and {INDEX}, of which one would be passed over",
            hint="remove the one that is not of this model",
        )
    if missing := report["missing_keys"]:
        raise FormatError(
            f"{path} lacks {len(missing)} weights of its {type(model).__name__}, {min(missing)} for one",
            hint="a causal language model, saved whole; adapters merged",
        )
    if mismatched := sorted(report["mismatched_keys"]):
        name, saved, asked = mismatched[0]
        raise FormatError(f"{path}: {name} is of shape {tuple(saved)}, and {tuple(asked)} by config.json", hint=_SAVED)
    if unexpected := report["unexpected_keys"]:
        raise FormatError(
            f"{path} holds {len(unexpected)} weights that its config.json has no place for, {min(unexpected)} for one",
            hint=_SAVED,
        )
    _check_saved(model, path)


def _check_saved(model: Model, path: Path) -> None:
    """Raise `FormatError` if weights are of integers, or there is a head that config.json says is not."""
    rows, heads = model.get_input_embeddings().weight, _heads(model)
    for file in sorted(path.glob("model*.safetensors")):
        with safe_open(file, "pt") as saved:
            for name in saved.keys():  # noqa: SIM118  it is no mapping
                if (kind := saved.get_slice(name).get_dtype()) not in _FLOATS:
                    raise FormatError(f"{path}: {name} is of type {kind}; expected floats, not of a quantised model")
                if name in heads and not torch.equal(saved.get_tensor(name).to(rows), rows):
                    raise FormatError(
                        f"{path}: tie_word_embeddings is true in config.json, and the weights hold a head of their "
                        f"own, {name}, that is not the embedding rows",
                        hint='"tie_word_embeddings": false in config.json, if the model was trained so',
                    )


def _heads(model: Model) -> set[str]:
    """Return the names of the output head if config.json says that it is the input embedding, else none."""
    head = model.get_output_embeddings()
    if head is None or not getattr(model.config.get_text_config(), "tie_word_embeddings", False):
        return set()
    return {name for name, weight in model.named_parameters(remove_duplicate=False) if weight is head.weight}
