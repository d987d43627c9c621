"""Text of any size: real words in an order drawn by seed, and new words for ever, more of them than real text has.

    python bench/corpus.py --data DATA --megabytes 1000 --out corpus.txt

One word in 50 is made up of random letters, so distinct words grow in proportion to the size, where those of real text
grow with little more than its root (Heaps). 100 MB have as many as 200 MB of Python sources.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

FRESH = 50  # one word in so many is new
LINE = 25  # words


def words(folder: Path) -> list[str]:
    """Return the words of all texts of a folder, in order."""
    return [word for path in sorted(folder.rglob("*.txt")) for word in path.read_text(encoding="utf-8").split()]


def lines(real: list[str], seed: int = 0) -> Iterator[str]:
    """Give lines of runs of real words, for ever."""
    draw = random.Random(seed)  # noqa: S311
    while True:
        start = draw.randrange(len(real) - LINE)
        line = real[start : start + LINE]
        if draw.randrange(FRESH) < LINE:
            line[draw.randrange(LINE)] = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(5, 12)))
        yield " ".join(line)


def write(folder: Path, path: Path, nbytes: int) -> None:
    """Write a text of at least `nbytes` bytes, cut at a line; a longer one begins with a shorter one."""
    size, pending = 0, []
    with path.open("wb") as file:
        for line in lines(words(folder)):
            pending.append(line.encode())
            size += len(pending[-1]) + 1
            if len(pending) == 10_000 or size >= nbytes:
                file.write(b"\n".join(pending) + b"\n")
                pending = []
            if size >= nbytes:
                return


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    write(asked.data, asked.out, asked.megabytes * 10**6)
