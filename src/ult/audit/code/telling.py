"""The passages that an attack recovered best, beside the true text, for the owner only.

They are plaintext. They go into a file of their own with mode 0600 and on the owner's copy of the page, and never into
what `--json` writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import Coded
from ult.audit.code.score import true_phrases
from ult.codecs.base import Codec
from ult.errors import CorruptSymbols
from ult.owner.table import Table

FORMAT = "ult-audit-pairs/1"
MODALITIES = ("text", "molecule")  # whose records can be shown as text; images and series are measured in decibels
LONGEST = 48  # ids in a passage
UNREAD = "·"  # shown for ids without a guess, and for guesses that are no text


def most_telling(
    named: Sequence[bytes | None],
    target: Coded,
    truth: Table,
    *,
    subject: Mapping[str, Any],
    attack: str,
    most: int = 5,
) -> dict[str, Any]:
    """Return the passages, one for each of at most `most` records, that the guessed phrases `named` reveal best.

    The result is a document of `FORMAT`. Each of its `pairs` has what was `read`, in `pieces` that are right or wrong,
    the `truth`, and the `share` of ids that are right. No two have the same truth. There are none if nothing was read.
    """
    secret = true_phrases(target, truth)
    right = np.array([name == phrase for name, phrase in zip(named, secret, strict=True)])
    worths = np.array([len(phrase) for phrase in secret]) * right  # longer phrases reveal more
    passages: list[tuple[float, int, int]] = []
    for start, stop in zip(target.starts.tolist(), target.ends.tolist(), strict=True):
        at, worth = _best(worths[target.kinds[start:stop]])
        if worth:
            passages.append((worth, start + at, min(stop, start + at + LONGEST)))
    pairs: list[dict[str, Any]] = []
    for _, start, stop in sorted(passages, key=lambda passage: -passage[0]):
        kinds = target.kinds[start:stop].tolist()
        whole = "".join(_spelled([secret[kind] for kind in kinds], truth.codec))
        if len(pairs) < most and whole not in [pair["truth"] for pair in pairs]:
            pairs.append(_pair([named[kind] for kind in kinds], right[kinds], whole, truth.codec))
    return {"format": FORMAT, "subject": dict(subject), "attack": attack, "pairs": pairs}


def _best(worths: NDArray[np.int64]) -> tuple[int, float]:
    """Return the start of the passage of `LONGEST` ids with the largest sum of `worths`, and that sum."""
    sums = np.append(0, np.cumsum(worths))
    width = min(LONGEST, len(worths))
    windows = sums[width:] - sums[: len(sums) - width]
    at = int(windows.argmax())
    return at, float(windows[at])


def _pair(named: list[bytes | None], right: NDArray[np.bool_], whole: str, codec: Codec[Any]) -> dict[str, Any]:
    """Return a passage as it was read, in pieces that are right or wrong, and its true text."""
    pieces: list[dict[str, Any]] = []
    for text, good in zip(_spelled(named, codec), right.tolist(), strict=True):
        if pieces and pieces[-1]["right"] == good:
            pieces[-1]["text"] += text
        else:
            pieces.append({"text": text, "right": good})
    read = "".join(piece["text"] for piece in pieces)
    return {"read": read, "pieces": pieces, "truth": whole, "share": float(right.mean())}


def _spelled(phrases: Sequence[bytes | None], codec: Codec[Any]) -> list[str]:
    """Return the text of each phrase by itself; `UNREAD` where there is none."""
    if codec.id == "text/bytes":
        return [_characters(phrase) for phrase in phrases]
    texts = []
    for phrase in phrases:
        try:
            texts.append(UNREAD if phrase is None else str(codec.decode(np.frombuffer(phrase, np.uint32))))
        except CorruptSymbols:  # part of a patch, which the codec cannot decode alone
            texts.append(UNREAD)
    return texts


def _characters(phrase: bytes | None) -> str:
    if phrase is None:
        return UNREAD
    return np.frombuffer(phrase, np.uint32).astype(np.uint8).tobytes().decode("utf-8", "replace")
