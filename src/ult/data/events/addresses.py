"""`meds:FOLDER`, `fhir:FOLDER` and `omop:FOLDER`: which events an input asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ult.errors import MissingSource

if TYPE_CHECKING:
    from ult.data.events.rows import EventRows, Table

PREFIXES = ("meds:", "fhir:", "omop:")


def open_events(prefix: str, addresses: Sequence[str]) -> EventRows:
    """Return the events of addresses that begin with one of `PREFIXES`: of all together, in the order of time.

    Raises `MissingSource`, `EmptySource`, `MissingColumn` or `SourceError`.
    """
    from ult.data.events import fhir, meds, omop  # of which few inputs are
    from ult.data.events.rows import EventRows

    tables: dict[str, Callable[[Sequence[str]], Sequence[Table]]] = {
        "meds:": lambda paths: [meds.MedsRows(paths)],
        "fhir:": fhir.tables,
        "omop:": omop.tables,
    }
    paths = [address.removeprefix(prefix) for address in addresses]
    if not all(paths):
        raise MissingSource(f"{prefix!r} names no folder; expected {prefix}FOLDER")
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return EventRows(addresses[0] + more, tables[prefix](paths))
