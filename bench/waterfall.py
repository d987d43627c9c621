"""Where each millisecond of `ult encode` goes, stage by stage, and how far each stage is from its limit.

A text of `--megabytes` (real words, one in fifty of them new) is encoded to shards by one worker, in a process of its
own for each round. Times are CPU time, but for the wait for the disk, which no CPU is used for. A limit is the least
that a stage must do, measured alone in the same process: starting Python with NumPy and Arrow, copying bytes, hashing
them, compressing the same bytes by zstd, having them synced. Modules are compiled before, as an install does. The
peer is `datasets.map` of `tokenizers` with the same merges and cut; its rate is that of its CPU time on all cores of
the machine, as if none of them ever waited.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

ROUNDS = 3
START, WAIT, REST = "start Python, imports", "wait for the disk", "everything else"
STAGES = {  # stage: what it is in the code, and its limit
    START: ([], "Python, NumPy and Arrow"),
    "read the table": (["ult.owner.encode:secret"], ""),
    "read the text": (["ult.owner.lines:line_blocks"], "copy the bytes"),
    "check UTF-8": (["ult.owner.lines:is_utf8"], "copy the bytes"),
    "cut, look up, merge": (["ult.owner.coder:Coder.encode_lines"], "copy the bytes and the ids"),
    "columns of Arrow": (["ult.owner.pipeline.pieces:ids_table"], ""),
    "Parquet and zstd": (["ult.public.shard_writer:_parquet"], "zstd alone"),
    "SHA-256": (["ult.public.shard_writer:_sha256"], "hashlib alone"),
    "write, fsync": (["ult.public.shard_writer:_store"], "write alone"),
    WAIT: ([], "write and sync alone"),
    "read back, SHA-256": (["ult.public.shard_writer:_stored"], "hashlib alone"),
    "names, manifest, card": (
        ["ult.owner.pipeline.resume:Partial.__enter__", "ult.owner.pipeline.resume:Partial.commit",
         "ult.owner.pipeline.resume:Partial.publish"], "",
    ),
    REST: ([], ""),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="a folder with .txt files to draw words from")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        print(json.dumps(inside(asked.inside)))
    elif asked.peer:
        peer(asked.peer)
    else:
        measure(asked.data, asked.megabytes)


def measure(data: Path, megabytes: int) -> None:
    """Encode a text in several rounds, once by the peer, and write the result."""
    from corpus import write as write_corpus
    from session import metric, of_rounds, write

    import ult

    with tempfile.TemporaryDirectory() as folder:
        text, table = Path(folder) / "corpus.txt", Path(folder) / "corpus.ult"
        write_corpus(data, text, megabytes * 10**6)
        lines = text.read_text(encoding="utf-8").split("\n")
        fitted = ult.Table.fit(lines[: len(lines) // 10], vocabulary=ult.Vocabulary(16384))
        fitted.save(table, encrypt=False)
        size, n = text.stat().st_size / 1e6, len(lines)
        del lines, fitted
        script = [sys.executable, __file__]
        rounds = [json.loads(run([*script, "--inside", folder])[1]) for _ in range(ROUNDS)]
        shards = str(Path(folder) / "shards")
        command = [sys.executable, "-m", "ult", "encode", str(text), "--table", str(table), "--out", shards]
        ours = [run([*command, "--force", "--workers", "1"])[0] for _ in range(ROUNDS)]
        theirs = run([*script, "--peer", folder])[0] / (os.cpu_count() or 1)
    found = []
    for name, (_, limit) in STAGES.items():
        times = [1000 * one["stages"][name] for one in rounds]
        least = [1000 * one["limits"][name] for one in rounds] if limit else []
        of = of_rounds([a / b for a, b in zip(times, least, strict=True)]) if limit else of_rounds(times)
        unit, system = ("x", f"ult encode / {limit}") if limit else ("ms", "ult encode")
        one = metric(name, system, of, n=n, higher_is_better=False, unit=unit)
        peer_of = statistics.median(least) if limit else 0.0
        found.append(
            one | {"rounds": ROUNDS, "ours": statistics.median(times), "peer": peer_of, "speed": "ms"} if limit else one
        )
    whole = metric(
        "a file to shards, one worker, beside all cores", "ult encode / datasets.map of tokenizers",
        of_rounds([theirs / one for one in ours]), n=n, higher_is_better=True, unit="x", goal="at least 10",
    )  # fmt: skip
    whole |= {"rounds": ROUNDS, "ours": size / statistics.median(ours), "peer": size / theirs, "speed": "MB/s"}
    rate = metric("a file to shards, one worker", "ult encode", of_rounds([size / one for one in ours]), n=n,
                  higher_is_better=True, unit="MB a CPU second", goal="at least 150")  # fmt: skip
    write("waterfall", "Where the time of ult encode goes", [*found, whole, rate], __doc__ or "",
          command="python bench/waterfall.py --data DATA")  # fmt: skip


def run(command: list[str]) -> tuple[float, str]:
    """Run a command; return the CPU seconds of it and of what it started, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=compiled)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


class Stages:
    """Seconds of stages; what runs inside a stage counts for the inner one alone."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = defaultdict(float)
        self.waited: dict[str, float] = defaultdict(float)
        self._open = [REST]
        self._since = time.process_time()

    def _turn(self) -> None:
        now = time.process_time()
        self.cpu[self._open[-1]] += now - self._since
        self._since = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._turn()
        self._open.append(name)
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._turn()
            self._open.pop()
            self.waited[name] += time.perf_counter() - wall - (time.process_time() - cpu)

    def end(self) -> None:
        self._turn()

    def _each(self, name: str, many: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.stage(name):
                one = next(many, self)
            if one is self:
                return
            yield one

    def watch(self, name: str, place: str) -> None:
        """Count what a function, `module:name` or `module:class.name`, does for a stage."""
        module, path = place.split(":")
        owner: Any = import_module(module)
        *outer, last = path.split(".")
        for part in outer:
            owner = getattr(owner, part)
        given = vars(owner)[last] if isinstance(owner, type) else getattr(owner, last)
        inner = given.__func__ if isinstance(given, classmethod) else given

        def timed(*args: Any, **options: Any) -> Any:
            with self.stage(name):
                found = inner(*args, **options)
            return self._each(name, found) if isinstance(found, Generator) else found

        setattr(owner, last, classmethod(timed) if isinstance(given, classmethod) else timed)


def inside(folder: Path) -> dict[str, dict[str, float]]:
    """Encode the text of a folder in this process; return the seconds of the stages, and those of the limits."""
    import ult.cli
    import ult.owner.encode

    start = time.process_time()
    stages = Stages()
    for name, (places, _) in STAGES.items():
        for place in places:
            stages.watch(name, place)
    shards = folder / "shards"
    ult.owner.encode.encode(folder / "corpus.txt", folder / "corpus.ult", shards, workers=1, force=True)
    stages.end()
    cpu = {name: stages.cpu[name] for name in STAGES}
    cpu[START], cpu[WAIT] = start, max(0.0, stages.waited["write, fsync"])
    return {"stages": cpu, "limits": limits(folder, shards)}


def limits(folder: Path, shards: Path) -> dict[str, float]:
    """Return the seconds of the least that each stage must do."""
    import numpy as np
    import pyarrow as pa

    from ult import Shards

    text = (folder / "corpus.txt").read_bytes()
    parts = [path.read_bytes() for path in sorted(shards.glob("*.parquet"))]
    ids = np.concatenate(list(Shards(shards).ids())).astype(np.int32)
    split = [np.ascontiguousarray(one.view(np.uint8).reshape(-1, 4).T) for one in np.array_split(ids, len(parts))]
    room = np.empty(max(len(text), ids.nbytes), np.uint8)

    def written(*, sync: bool) -> None:
        for data in parts:
            with (folder / "limit").open("wb") as file:
                file.write(data)
                file.flush()
                if sync:
                    os.fsync(file.fileno())

    bare = "import numpy, pyarrow.parquet"
    copied = _cpu(lambda: np.copyto(room[: len(text)], np.frombuffer(text, np.uint8)))
    copied_ids = _cpu(lambda: np.copyto(room[: ids.nbytes], ids.view(np.uint8)))
    hashed = _cpu(lambda: [hashlib.sha256(data).digest() for data in parts])
    wall, cpu = time.perf_counter(), time.process_time()
    written(sync=True)
    waited = time.perf_counter() - wall - (time.process_time() - cpu)
    return {
        START: run([sys.executable, "-c", bare])[0],
        "read the text": copied,
        "check UTF-8": copied,
        "cut, look up, merge": copied + copied_ids,
        "Parquet and zstd": _cpu(lambda: [pa.compress(one, "zstd") for one in split]),
        "SHA-256": hashed,
        "write, fsync": _cpu(lambda: written(sync=False)),
        WAIT: waited,
        "read back, SHA-256": hashed,
    }


def _cpu(work: Callable[[], Any]) -> float:
    work()  # memory is laid out
    started = time.process_time()
    work()
    return max(time.process_time() - started, 1e-6)


def peer(folder: Path) -> None:
    """Encode the text of a folder as most do: `datasets.map` with a process for each core."""
    import datasets
    from peers import peers

    import ult

    hugging, *_ = peers(ult.Table.load(folder / "corpus.ult"))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    lines = datasets.load_dataset("text", data_files=str(folder / "corpus.txt"), cache_dir=str(folder / "cache"))
    lines["train"].map(
        lambda batch: {"input_ids": [one.ids for one in hugging.encode_batch_fast(batch["text"])]},
        batched=True, remove_columns=["text"], num_proc=os.cpu_count(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
