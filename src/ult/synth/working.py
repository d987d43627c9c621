"""The hidden folder in which a synthesis works: what is finished stays after any kill, and the same call goes on there.

It lies beside the output and holds the table, encrypted as `ult fit` stores it, the shards, the run and what it wrote;
by marginals, noisy counts alone, which the promise covers.
All of it is removed once the synthetic records are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ult.errors import FormatError, InvalidConfig, OutputExists
from ult.host.atomic import Claim, hidden, write_text
from ult.host.distribution import build

JOURNAL = "synth.json"  # what was asked
KEPT = "what is finished is kept: the same command goes on from it"
COUNTS = "counts"  # what marginals have counted, under this name
_STATE = ".told.json"


class Working:
    """The folder, held by this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def table(self) -> Path:
        """The table."""
        return self.folder / "table.ult"

    @property
    def has_looked(self) -> bool:
        """Whether something is there that looked at the records, and that a second look would be charged for."""
        return self.table.exists() or self.told(COUNTS) is not None

    @property
    def shards(self) -> Path:
        """The records as ids."""
        return self.folder / "shards"

    @property
    def run(self) -> Path:
        """The run that was trained on the records."""
        return self.folder / "run"

    @property
    def members(self) -> Path:
        """The members that vote, each trained on records of its own."""
        return self.folder / "members"

    def written(self, number: int) -> Path:
        """Return the place of one lot of written records, as ids."""
        return self.folder / f"written.{number:05d}"

    def told(self, name: str) -> Any:
        """Return what was noted under a name, None if nothing was. Raises `FormatError`."""
        path = self.folder / f"{name}{_STATE}"
        try:
            return json.loads(path.read_text(encoding="utf-8"))["value"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise FormatError(f"{path} is damaged", hint="--force starts again, at another epsilon") from None

    def tell(self, name: str, value: Any) -> None:
        """Note a value, which a later call is told."""
        write_text(self.folder / f"{name}{_STATE}", json.dumps({"value": value}) + "\n")


@contextmanager
def working(out: Path, asked: Mapping[str, Any], *, force: bool) -> Iterator[Working]:
    """Yield the folder of the synthesis of `out`, new or that of the same call that was interrupted.

    When the block ends without an error it is removed. Raises `OutputExists` if another synthesis is unfinished there.
    """
    command = json.loads(json.dumps({**asked, "build": build()}))
    place = out.with_name(f"{out.name}.work")
    with Claim(place, journal=JOURNAL) as claim:
        found = Working(hidden(place))
        there = (found.folder / JOURNAL).exists()
        claim.keep = there
        if there and (other := _others(found.folder / JOURNAL, command)):
            if not force:
                raise OutputExists(
                    f"an unfinished synthesis of {out} is there, asked for with other {', '.join(other)}",
                    hint="the same command goes on; or --force to start again, which looks at the records again",
                )
            claim.clear()
            there = False
        if not there:
            write_text(found.folder / JOURNAL, json.dumps(command, indent=1) + "\n")
        claim.keep = True
        try:
            yield found
        except InvalidConfig:  # the same call would end here again
            claim.keep = False
            raise
        except BaseException as error:
            claim.keep = found.has_looked
            if claim.keep:
                error.add_note(KEPT)
            raise
        claim.keep = False


def _others(journal: Path, command: Mapping[str, Any]) -> list[str]:
    """Return the names of what was asked otherwise."""
    try:
        before = json.loads(journal.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        before = None
    if not isinstance(before, dict):
        return ["settings, which cannot be read"]
    return [name for name in {**before, **command} if before.get(name) != command.get(name)]
