"""`text/bwt` by patch size, against a plain twin of the papers' pipeline: one process, one thread, wikitext-2 in lines.

The twin is written from the papers' description, in Python: sort all rotations of a patch, cut the last column into
(count, character) runs, and give each its rank in a table, written as a character; decoding builds the column's
rotations by sorting them as often as there are characters. It runs on a part of the text. The reference's own 0.3 and
0.2 MB/s at patch 8 are quoted from this project's field notes, where they were measured; they are not measured here.
"""

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

from session import data_folder, write
from timing import compared, turns

from ult.codecs.bwt import TextBwt

SIZES = (8, 16, 32, 64, 128, 256)
ROUNDS = 7
TWIN_CHARACTERS = {8: 40_000, 16: 40_000, 32: 20_000, 64: 8_000, 128: 2_500, 256: 1_000}
QUOTED = {"encode": 0.3, "decode": 0.2}  # MB/s
STOP = "\0"  # sorts before every character of the text

Run = tuple[int, str]


def runs(patch: str) -> list[Run]:
    """Return the runs of the last column of the sorted rotations."""
    patch += STOP
    column = (rotation[-1] for rotation in sorted(patch[i:] + patch[:i] for i in range(len(patch))))
    return [(len(list(group)), character) for character, group in itertools.groupby(column)]


def plain_encode(text: str, size: int, ranks: dict[Run, int]) -> str:
    """Return a character a run, 33 above its rank; a mark ends a patch."""
    patches = (text[i : i + size] for i in range(0, len(text), size))
    return "\n".join("".join(chr(33 + ranks[run]) for run in runs(patch)) for patch in patches)


def plain_decode(code: str, table: Sequence[Run]) -> str:
    """Return the text, patch by patch."""
    patches = []
    for patch in code.split("\n"):
        column = "".join(character * count for count, character in (table[ord(c) - 33] for c in patch))
        rows = [""] * len(column)
        for _ in column:
            rows = sorted(character + row for character, row in zip(column, rows, strict=True))
        patches.append(next(row for row in rows if row.endswith(STOP))[:-1])
    return "".join(patches)


def measure(lines: list[str], size: int) -> list[dict[str, Any]]:
    """Return our speeds at a patch size, and how many times the twin's they are."""
    codec = TextBwt(patch_size=size)
    patches = codec.encode_batch(lines)
    ends = patches.ends[patches.records - 1]
    assert codec.decode_batch(patches.symbols, ends) == lines
    part = "".join(lines)[: TWIN_CHARACTERS[size]]
    table = [
        run
        for run, _ in Counter(run for i in range(0, len(part), size) for run in runs(part[i : i + size])).most_common()
    ]
    ranks = {run: rank for rank, run in enumerate(table)}
    code = plain_encode(part, size, ranks)
    assert plain_decode(code, table) == part
    size_of = {"text/bwt": sum(len(line.encode()) for line in lines) / 1e6, "plain twin": len(part.encode()) / 1e6}
    metrics = []
    for what, we, they in (
        ("encode", lambda: codec.encode_batch(lines), lambda: plain_encode(part, size, ranks)),
        ("decode", lambda: codec.decode_batch(patches.symbols, ends), lambda: plain_decode(code, table)),
    ):
        found = turns({"text/bwt": we, "plain twin": they}, rounds=ROUNDS)
        seconds = {name: [t / size_of[name] for t in times] for name, times in found.items()}  # a MB
        seconds["reference, quoted"] = [1 / QUOTED[what]] * ROUNDS
        metrics += [
            compared(f"{what}, patch {size}", seconds, "text/bwt", [peer], amount=1, unit="MB", n=len(lines), goal=goal)
            for peer, goal in (("reference, quoted", "at least 50"), ("plain twin", ""))
        ]
    return metrics


def main() -> None:
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1: the figures are of one thread")
    text = (data_folder() / "text" / "wikitext-2" / "train.txt").read_text("utf-8")
    lines = [line for line in text.splitlines(keepends=True) if line.strip()][:4000]
    metrics = [figure for size in SIZES for figure in measure(lines, size)]
    write(
        "bwt-speed",
        "Speed of text/bwt",
        metrics,
        __doc__,
        command="OMP_NUM_THREADS=1 python bench/bwt_speed.py --data DATA",
    )


if __name__ == "__main__":
    main()
