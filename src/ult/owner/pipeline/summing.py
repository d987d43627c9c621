"""Add up the counts of pieces in a tree, so that the process that hands out work has few counts to add up itself.

A worker adds up the counts of a run of pieces before it answers. On several machines it does not send them either: it
puts them aside in a folder that all machines see, another worker adds up those of `FAN` files, and so on, and only the
last few reach the first process, which otherwise hands on names alone. Files are encrypted for a key that only the
processes of this work have, in memory, and each is removed once it is added up.
"""

from __future__ import annotations

import io
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import numpy as np

from ult.errors import EngineError, writing
from ult.host.atomic import Claim
from ult.owner import keyfile
from ult.owner.bpe.counts import Counted
from ult.owner.bpe.patch_table import Holders

if TYPE_CHECKING:
    from ult.data import Batch, Unread
    from ult.owner.pipeline.engine import Engine

    Run = tuple[Batch | Unread, ...]  # pieces whose counts one worker adds up
    Task = tuple[Run, tuple[str, ...]]  # and files of counts, which it adds to them

FAN = 8  # files that are added up to one
SHORT, LONG = 64, 16  # so many runs are of one piece, as many more of two, and so on up to `LONG` pieces
_TOLD = ("min_records", "capacity", "sieved", "least_grade", "records")


def runs(pieces: Iterable[Batch | Unread]) -> Iterator[Run]:
    """Yield the pieces in runs: few at first, so that all workers have some. A piece that is read is a run by itself.

    Of the work on 60,000 pieces, 4,200 answers come back.
    """
    pieces = iter(pieces)
    for made, piece in enumerate(pieces):
        most = 1 if piece.rows is not None else min(1 + made // SHORT, LONG)
        yield (piece, *itertools.islice(pieces, most - 1))


def check_seen(folder: str) -> None:
    """Raise `EngineError` if this worker does not see a folder in which others find what it writes."""
    if not Path(folder).is_dir():
        raise EngineError(
            f"a node of the cluster does not see the folder {folder}", hint="--out in a folder that all nodes share"
        )


@contextmanager
def beside(out: Path, engine: Engine) -> Iterator[Path | None]:
    """Yield a hidden folder beside `out` if the engine works on several machines, else None; remove it at the end."""
    if not engine.spread:
        yield None
        return
    with Claim(out) as claim:
        yield claim.folder


@dataclass(frozen=True, slots=True)
class Aside:
    """A folder for counts, and the key that they are encrypted for."""

    folder: str
    key: str

    @classmethod
    def at(cls, folder: Path) -> Aside:
        """Return an existing folder, which all workers see, with a new key."""
        return cls(str(folder.absolute()), keyfile.session_key())

    def put(self, counted: Counted) -> str:
        """Store counts and return the name of the file. Raises `EngineError` without the folder, or `OutputError`."""
        check_seen(self.folder)
        told = np.array([getattr(counted, name) for name in _TOLD], np.int64)
        arrays = (told, counted.symbols, counted.ends, counted.counts, *counted.holders)
        name, plain = f"counts.{token_hex(8)}", io.BytesIO()
        for array in (*arrays, *(() if counted.weights is None else (counted.weights,))):
            np.save(plain, array, allow_pickle=False)
        path = Path(self.folder) / name
        with writing(path):
            path.write_bytes(keyfile.seal(plain.getvalue(), self.key))
        return name

    def get(self, name: str) -> Counted:
        """Return stored counts. Raises `EngineError` if the file is gone, and `WrongKey` if it was altered."""
        try:
            sealed = (Path(self.folder) / name).read_bytes()
        except OSError as error:
            raise EngineError(f"counts that were put aside are gone from {self.folder}", hint="run it again") from error
        plain = io.BytesIO(keyfile.unseal(sealed, self.key))
        arrays = []
        while plain.tell() < len(plain.getbuffer()):
            arrays.append(np.load(plain, allow_pickle=False))
        told, symbols, ends, counts, *rest = arrays
        least, capacity, sieved, grade, records = told.tolist()
        weights = rest[4] if len(rest) > 4 else None
        return Counted(
            least, capacity, bool(sieved), grade, records, weights, symbols, ends, counts, Holders(*rest[:4])
        )

    def remove(self, names: Iterable[str]) -> None:
        """Remove stored counts."""
        for name in names:
            (Path(self.folder) / name).unlink(missing_ok=True)


class Tree:
    """The files of counts that wait to be added up, by their height in the tree, and the tasks that do so."""

    def __init__(self, aside: Aside) -> None:
        self._aside = aside
        self._waiting: dict[int, list[str]] = defaultdict(list)
        self._merging: dict[int, tuple[int, tuple[str, ...]]] = {}  # by number of the task: its height and its files
        self._numbers = itertools.count()

    def tasks(self, runs: Iterable[Run]) -> Iterator[tuple[int, Task]]:
        """Yield a task for each run, and between them one for every `FAN` files of one height that are `done`."""
        for run in runs:
            yield next(self._numbers), (run, ())
            for height in sorted(self._waiting):
                while len(self._waiting[height]) >= FAN:
                    yield self._merge(height, self._waiting[height][:FAN])

    def rest(self) -> list[tuple[int, Task]] | None:
        """Return tasks that add up what waits, of whatever heights; None if so few wait that they are the last."""
        names = [name for height in sorted(self._waiting) for name in self._waiting[height]]
        if len(names) <= FAN:
            return None
        height = max(self._waiting)
        self._waiting = defaultdict(list, {height: names})
        return [self._merge(height, names[first : first + FAN]) for first in range(0, len(names), FAN)]

    def _merge(self, height: int, names: list[str]) -> tuple[int, Task]:
        number = next(self._numbers)
        self._waiting[height] = [name for name in self._waiting[height] if name not in names]
        self._merging[number] = height, tuple(names)
        return number, ((), tuple(names))

    def done(self, number: int, name: str) -> None:
        """Note the file that a task wrote, and remove those that it added up."""
        height, names = self._merging.pop(number, (-1, ()))
        self._aside.remove(names)
        self._waiting[height + 1].append(name)

    def last(self) -> Iterator[Counted]:
        """Yield the counts that are left, and remove their files."""
        for name in itertools.chain.from_iterable(self._waiting.values()):
            yield self._aside.get(name)
            self._aside.remove([name])
