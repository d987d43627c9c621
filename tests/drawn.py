"""Pictures of losses, a fifth of a second each: one of each kind is drawn, and copied for the trainings that follow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def drawn_once() -> Iterator[None]:
    """Draw the loss of the first training alone, and of the first with validation."""
    results = sys.modules.get("ult.trainer.results")
    with pytest.MonkeyPatch.context() as patch:
        if results is not None:  # no test trains otherwise
            patch.setattr(results, "draw_loss", copied(results.draw_loss))
        yield


def copied(draw: Any) -> Any:
    """Return what draws as `draw` does where nothing of the kind was drawn before, and writes the same otherwise."""
    known: dict[tuple[bool, bool], bytes] = {}

    def quick(metrics: dict[str, Any], path: Path) -> None:
        kind = bool(metrics["loss"]), bool(metrics["validation"])
        if kind not in known:
            draw(metrics, path)
            known[kind] = path.read_bytes()
        else:
            path.write_bytes(known[kind])

    return quick
