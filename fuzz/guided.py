"""The same mutations, chosen by coverage: `python fuzz/guided.py TARGET [options of libFuzzer]`; needs atheris."""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import atheris
from targets import TARGETS
from watch import watch


def main() -> None:
    """Fuzz until a finding."""
    target = TARGETS[sys.argv.pop(1)]
    folder = Path(tempfile.mkdtemp())
    with atheris.instrument_imports(include=["ult"]):
        seeds, read = target.make(folder)

    def change(data: bytes, most: int, seed: int) -> bytes:
        start = data if data in seeds else random.Random(seed).choice(seeds)
        return target.mutate(start, random.Random(seed))[:most]

    def one(data: bytes) -> None:
        _, fault = watch(read, data)
        if fault:
            raise RuntimeError(fault)

    atheris.Setup(sys.argv, one, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
