"""`meds:FOLDER`, `fhir:FOLDER` and `omop:FOLDER`: which events an input asks for."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ult.data import files
from ult.errors import EmptySource, MissingSource

if TYPE_CHECKING:
    from ult.data.events.rows import EventRows, Table

PREFIXES = ("meds:", "fhir:", "omop:")
_HOLD = {
    "meds:": "a folder of .parquet files with the columns subject_id, time and code",
    "fhir:": "a folder of bulk data, with a file for each type, such as Patient.ndjson",
    "omop:": "a folder with a .csv or .parquet for each table, such as person.csv",
}


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
        raise MissingSource(f"{prefix!r} names no folder; expected one behind it", hint=f"{prefix}FOLDER")
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    try:
        return EventRows(addresses[0] + more, tables[prefix](paths))
    except (MissingSource, EmptySource) as error:
        folder = event_folder(paths[0]) if files.is_folder(paths[0]) else ""
        error.hint = error.hint or folder or _HOLD[prefix]
        raise


def event_folder(folder: str) -> str:
    """Return the address by which the files of a folder are events, as a hint; the empty string if they are none.

    FHIR's bulk data and OMOP have a file that is called after patients; MEDS has one of its codes.
    """
    for name in map(str.lower, files.walk(folder)):
        if name == "metadata/codes.parquet":
            return shlex.quote(f"meds:{folder}")
        if name.partition("/")[0].partition(".")[0] == "person" and name.endswith((".csv", ".parquet")):
            return shlex.quote(f"omop:{folder}")
        if name.rpartition("/")[2].startswith("patient.") and name.endswith((".ndjson", ".ndjson.gz")):
            return shlex.quote(f"fhir:{folder}")
    return ""
