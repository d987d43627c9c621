"""The merges of a public tokenizer, byte-level BPE, as those of a table: phrases are public, only their ids are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends, Patches, Symbols
from ult.errors import FormatError, MissingSource
from ult.host.regular import read_text
from ult.owner.bpe.encoder import Segmenter

MOST = 2**28  # bytes of tokenizer.json
BYTES = 256


def byte_letters() -> list[str]:
    """Return the letter that byte-level BPE writes for each byte (GPT-2, Radford et al. 2019)."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = {byte: 256 + k for k, byte in enumerate(byte for byte in range(BYTES) if byte not in shown)}
    return [chr(hidden.get(byte, byte)) for byte in range(BYTES)]


def read_merges(path: str | Path, *, longest: int) -> NDArray[np.int32]:
    """Return the merges (m, 2) of tokenizer.json over bytes, in its order; unit 256 + k is made by merge k.

    Left out are merges to more than `longest` bytes, and those whose parts were left out or that make a token again.
    Raises `MissingSource`, or `FormatError` for another tokenizer than byte-level BPE.
    """
    strange = FormatError(
        f"{path} is no tokenizer of byte-level BPE", hint="tokenizer.json of GPT-2, SmolLM2, Llama 3, Qwen and the like"
    )
    try:
        document = json.loads(read_text(path, MOST))
        pairs = [_pair(one) for one in document["model"]["merges"]]
    except FormatError:
        raise
    except OSError as error:
        raise MissingSource(f"{path} cannot be read; expected tokenizer.json of byte-level BPE") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        raise strange from None
    units: dict[str, int] = {letter: byte for byte, letter in enumerate(byte_letters())}
    if not pairs or any(letter not in units for pair in pairs[:1000] for letter in "".join(pair)):
        raise strange
    found: list[tuple[int, int]] = []
    for left, right in pairs:
        whole = left + right
        if left in units and right in units and whole not in units and len(whole) <= longest:
            units[whole] = BYTES + len(found)
            found.append((units[left], units[right]))
    return np.array(found, np.int32).reshape(-1, 2)


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return str(left), str(right)


def uses_of(
    symbols: Symbols, ends: Ends, weight: NDArray[np.int64], merges: NDArray[np.int32], longest: int
) -> NDArray[np.int64]:
    """Return how often each unit occurs (units,) when `merges` are applied to patches that occur `weight` (k,) times.

    Patch k is `symbols[ends[k - 1] : ends[k]]`; `longest` is the most symbols of a patch.
    """
    units = BYTES + len(merges)
    segmenter = Segmenter(merges, np.arange(units, dtype=np.uint32), BYTES, longest)
    found, stops = segmenter.ids(Patches(symbols.astype(np.uint32), ends, np.arange(1, len(ends) + 1)))
    uses = np.zeros(units, np.int64)
    np.add.at(uses, found, np.repeat(weight, np.diff(stops, prepend=0)))
    return uses
