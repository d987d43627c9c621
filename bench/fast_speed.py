"""Speed of `text/bytes` beside the fastest tokenizers there are: gigatoken, splintr-rs, tokie and rustbpe.

Text: the Python sources in this environment, 100 MB; a record is a line. CPU seconds on one thread, but
for "wall". Warm: later calls of one tokenizer, each of which remembers words, as ours does; cold: the first call of
a new one. splintr-rs and tokie have our merges and cut, on a tenth of the text; splintr-rs gives our ids on every line,
tokie on nearly all. gigatoken knows the cuts of published tokenizers alone and has GPT-2's, with as many merges learnt
on the same text. Its file is split at line feeds, as ours is, or one record ("whole"), which it does fastest. Each
learns its own merges with its own cut, on a quarter; ours reads a list then, gigatoken a file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import gigatoken
import numpy as np
import rustbpe
from peers import fitted, gigatoken_of, peers, splintr_of, text, tokie_of
from session import write
from timing import compared, turns

import ult

ROUNDS = 3
ENTRIES = 16384
TENTH = 10  # of the text, for slower peers
FIT = 4  # a quarter of the text is fitted on
LINES = 100  # in a document
Runs = Mapping[str, Callable[[], Any]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--wall", type=Path, help="a folder with lines.txt, table.json and own.json: time them, say it")
    asked = parser.parse_args()
    if asked.wall:
        print(json.dumps(walls(asked.wall)))
        return
    lines = text(asked.megabytes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        metrics = measured(lines, path)
    write("fast-speed", "Speed beside the fastest", metrics, __doc__, command="python bench/fast_speed.py")


def measured(lines: list[str], path: Path) -> list[dict[str, Any]]:
    """Return all metrics; the lines are those of the file."""
    part = lines[: len(lines) // FIT]
    documents = ["\n".join(part[i : i + LINES]) for i in range(0, len(part), LINES)]
    table = ult.Table.fit(part, vocabulary=ult.Vocabulary(ENTRIES), min_records=1)
    own = gigatoken_of(fitted(documents, ENTRIES))
    size, n = path.stat().st_size / 1e6, len(lines)
    of: dict[str, Any] = {"amount": size, "unit": "MB", "n": n}
    ids, ends = table.encode_file(path)
    expected, stops = table.encode_ragged(lines)
    assert np.array_equal(ids, expected)
    assert np.array_equal(ends, stops)
    in_lists: Runs = {"ult": partial(table.encode_ragged, lines), "gigatoken": partial(giga_list, own, lines)}
    in_files: Runs = {
        "ult": partial(table.encode_file, path),
        "gigatoken": partial(giga_file, own, path, b"\n"),
        "gigatoken, whole": partial(giga_file, own, path, None),
    }
    seconds = turns(in_lists, rounds=ROUNDS)
    metrics = [compared("a list of lines, warm", seconds, "ult", ["gigatoken"], **of, goal="at least 1.3")]
    seconds = turns(in_files, rounds=ROUNDS)
    metrics += [
        compared("a file to ids, warm", seconds, "ult", [peer], **of, goal="at least 1")
        for peer in ("gigatoken", "gigatoken, whole")
    ]
    seconds = all_threads(table, own, path.parent)
    metrics.append(compared("a list of lines, warm, wall, ours on one thread", seconds, "ult", ["gigatoken"], **of))
    seconds = cold(table, own, {"ult": "encode_ragged", "gigatoken": giga_list}, lines)
    metrics.append(compared("a list of lines, cold", seconds, "ult", ["gigatoken"], **of, goal="at least 1.3"))
    whole = partial(giga_file, separator=None)
    seconds = cold(table, own, {"ult": "encode_file", "gigatoken, whole": whole}, path)
    metrics.append(compared("a file to ids, cold", seconds, "ult", ["gigatoken, whole"], **of, goal="at least 1"))
    return [*metrics, *same_merges(table, lines[: n // TENTH], path.parent), *fits(documents, path.parent)]


def all_threads(table: ult.Table, own: Any, folder: Path) -> dict[str, list[float]]:
    """Return what `walls` finds in a process of its own, whose peers use all cores."""
    (folder / "table.json").write_bytes(table.cleartext())
    (folder / "own.json").write_text(own._hf_json, encoding="utf-8")
    command = [sys.executable, __file__, "--wall", str(folder)]
    env = os.environ | {"RAYON_NUM_THREADS": str(os.cpu_count())}
    done = subprocess.run(command, env=env, capture_output=True, check=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def walls(folder: Path) -> dict[str, list[float]]:
    """Return seconds by the clock of ours on one thread and of gigatoken on all."""
    lines = (folder / "lines.txt").read_text(encoding="utf-8").split("\n")[:-1]
    table = ult.Table.from_cleartext((folder / "table.json").read_bytes())
    own = gigatoken.Tokenizer.from_json((folder / "own.json").read_text(encoding="utf-8"))
    runs = {
        "ult": partial(table.encode_ragged, lines),
        "gigatoken": partial(own.encode_batch, lines, parallel=True),
    }
    return turns(runs, rounds=ROUNDS, clock=time.perf_counter)


def giga_list(tokenizer: Any, lines: list[str]) -> Any:
    return tokenizer.encode_batch(lines, parallel=False)


def giga_file(tokenizer: Any, path: Path, separator: bytes | None) -> Any:
    return tokenizer.encode_files(gigatoken.TextFileSource([str(path)], separator=separator), parallel=False)


def cold(table: ult.Table, own: Any, how: Mapping[str, Any], what: Any) -> dict[str, list[float]]:
    """Return the seconds of the first call of new tokenizers in some rounds; making them does not count."""
    payload, form = table.cleartext(), own._hf_json
    found: dict[str, list[float]] = {name: [] for name in how}
    for _ in range(ROUNDS):
        for name, call in how.items():
            if isinstance(call, str):
                fresh = ult.Table.from_cleartext(payload)
                fresh.encode("")  # its memory is laid out
                work = partial(getattr(fresh, call), what)
            else:
                work = partial(call, gigatoken.Tokenizer.from_json(form), what)
            started = time.process_time()
            work()
            found[name].append(time.process_time() - started)
    return found


def same_merges(table: ult.Table, lines: list[str], folder: Path) -> list[dict[str, Any]]:
    """Compare with peers that have our merges, whose ids are compared too."""
    hugging, _, ours_of = peers(table)
    splintr, tokie = splintr_of(table), tokie_of(hugging, folder / "tokie.json")
    ids = table.encode_batch(lines)
    for name, theirs, least in (
        ("splintr-rs", splintr.encode_batch(lines), 1),
        ("tokie", (one.ids for one in tokie.encode_batch(lines, add_special_tokens=False)), 0.95),
    ):
        same = sum(np.array_equal(ours, ours_of[others]) for ours, others in zip(ids, theirs, strict=True))
        print(f"{name} gives the same ids on {same:,} of {len(lines):,} lines")
        assert same >= least * len(lines), name
    path = folder / "tenth.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    size = path.stat().st_size / 1e6
    runs: Runs = {
        "ult": partial(table.encode_ragged, lines),
        "splintr-rs": partial(splintr.encode_batch_flat, lines),
        "tokie": partial(tokie.encode_batch, lines, add_special_tokens=False),
    }
    seconds = turns(runs, rounds=ROUNDS, warm=False)
    of: dict[str, Any] = {"amount": size, "unit": "MB", "n": len(lines)}
    found = [
        compared("a list of lines, same merges", seconds, "ult", [peer], **of, goal="at least 1.3")
        for peer in ("splintr-rs", "tokie")
    ]
    files: Runs = {
        "ult": partial(table.encode_file, path),
        "tokie": partial(tokie.encode_files, [str(path)], separator=b"\n"),
    }
    seconds = turns(files, rounds=ROUNDS)
    return [*found, compared("a file to ids, same merges", seconds, "ult", ["tokie"], **of, goal="at least 1")]


def fits(documents: list[str], folder: Path) -> list[dict[str, Any]]:
    """Compare learning as many entries on the same text."""
    path = folder / "fit.txt"
    path.write_text("\n".join(documents), encoding="utf-8")
    runs: Runs = {
        "ult": lambda: ult.Table.fit(documents, vocabulary=ult.Vocabulary(ENTRIES), min_records=1),
        "gigatoken": lambda: gigatoken.train_bpe(gigatoken.TextFileSource([str(path)]), ENTRIES, []),
        "rustbpe": lambda: rustbpe.Tokenizer().train_from_iterator(iter(documents), ENTRIES),
    }
    seconds, size = turns(runs, rounds=ROUNDS, warm=False), path.stat().st_size / 1e6
    return [
        compared(f"fit, {ENTRIES} entries", seconds, "ult", [peer], amount=size, unit="MB", n=len(documents),
                 goal="at least 1")
        for peer in ("gigatoken", "rustbpe")
    ]  # fmt: skip


if __name__ == "__main__":
    main()
