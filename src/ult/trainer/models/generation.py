"""Decide how a model writes. Settings that a checkpoint brings with its weights are never used, and are listed.

A stranger's `generation_config.json` could keep a run from writing what it knows by heart, so that an audit sees
nothing, or make it search with a million beams.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ult.errors import TrainingError
from ult.host.extras import require
from ult.host.regular import read_text
from ult.public.vocabulary import BOS, EOS, PAD

with require("torch", "transformers", extra="train"):
    import torch
    from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

if TYPE_CHECKING:
    from ult.trainer.models.embeddings import Model

MOST = 2**20  # bytes of a file of settings; a larger one is not read
_OURS = {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "use_cache", "transformers_version"}


def settings(**options: Any) -> GenerationConfig:
    """Return our settings, with these `options` of transformers; the others are at its defaults."""
    ids = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
    return GenerationConfig(**ids, use_cache=True, **options)


def write(
    model: Model,
    given: Mapping[str, torch.Tensor],
    *,
    never: Sequence[int] = (),
    processors: Sequence[Any] = (),
    **options: Any,
) -> torch.Tensor:
    """Return the ids (b, n) that a model writes after the `given` inputs, by our settings with these `options`.

    It `never` writes some ids. Raises `TrainingError` if the model predicts infinities or NaN.
    """
    model.generation_config = settings()  # transformers takes from it what `options` leave open
    together = LogitsProcessorList([_Finite(never), *processors])
    written: torch.Tensor = model.generate(**given, generation_config=settings(**options), logits_processor=together)
    return written


def normalizer(logits: torch.Tensor) -> torch.Tensor:
    """Return log(sum(exp(logits))) (..) of logits (.., ids). Raises `TrainingError` if it is not finite."""
    total = logits.logsumexp(-1)
    if not bool(torch.isfinite(total).all()):
        _refuse()
    return total


def _refuse() -> NoReturn:
    raise TrainingError(
        "the model predicts no numbers: its logits are infinite or not a number",
        hint="train again, with a lower --learning-rate",
    )


def check_finite(logits: torch.Tensor) -> torch.Tensor:
    """Return the logits (.., ids). Raises `TrainingError` if they give no probabilities."""
    normalizer(logits)
    return logits


class _Finite(LogitsProcessor):
    """Refuses scores that give no probabilities, before id 0 is taken for the likeliest, and forbids some ids.

    It takes a slice where `suppress_tokens` of transformers compares every id with each of them at each step.
    """

    def __init__(self, never: Sequence[int]) -> None:
        self.never = list(never)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores (b, ids)."""
        if not bool(torch.isfinite(scores.amax(-1)).all()):
            _refuse()
        scores[:, self.never] = -torch.inf
        return scores


def ignored(folder: str | Path) -> list[str]:
    """Return, as notes, the settings in a checkpoint's folder that `write` does not use."""
    plain = GenerationConfig().to_dict()
    notes = []
    for name in ("generation_config.json", "config.json"):
        path = Path(folder) / name
        told = _read(path)
        known = told if name.startswith("generation") else [key for key in told if key in plain]
        theirs = sorted(
            str(key)[:60]
            for key in known
            if key not in _OURS and not str(key).startswith("_") and told[key] not in (None, False, plain.get(key))
        )
        if theirs:
            notes.append(f"ignored from {path.parent.name}/{name}: {', '.join(theirs)}")
    return notes


def _read(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file() or path.stat().st_size > MOST:
            return {}
        told = json.loads(read_text(path, MOST))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
