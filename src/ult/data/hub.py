"""`hf:org/name?name=CONFIG&split=SPLIT`: a dataset of the Hugging Face Hub, or of a local folder, through `datasets`.

A folder's records are read through a temporary cache that goes with the process; those of the Hub stay in its cache.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pyarrow as pa

from ult.data.rows import ROWS, Chunk, Rows, listed
from ult.errors import MissingExtra, MissingSource, SourceError

PREFIX = "hf:"


class HubRows(Rows):
    """The columns of one split. Files that images point to are read into the rows."""

    def __init__(self, address: str) -> None:
        self.name = address
        path, options = parse(address.removeprefix(PREFIX), address, ("name", "split"))
        self._data = self._load(path, options)
        self.types = {field.name: field.type for field in self._data.features.arrow_schema}
        if not len(self._data):
            raise SourceError(f"{address} has no rows; expected records")

    def _load(self, path: str, options: dict[str, str]) -> Any:
        try:
            import datasets
        except ImportError as error:
            raise MissingExtra("datasets", extra="train") from error
        cache = None
        if Path(path).exists():
            cache = tempfile.mkdtemp(prefix="ult-hub-")
            weakref.finalize(self, shutil.rmtree, cache, ignore_errors=True)
        shown = datasets.is_progress_bar_enabled()
        datasets.disable_progress_bars()
        try:
            found = datasets.load_dataset(path, cache_dir=cache, **options)
        except Exception as error:  # by the network, the Hub and the file formats, of a dozen types
            raise MissingSource(
                f"{self.name} cannot be loaded: {type(error).__name__}",
                hint="check the name, the split and the connection; hf:FOLDER reads a copy on this machine",
            ) from error
        finally:
            if shown:
                datasets.enable_progress_bars()
        if not isinstance(found, dict):
            return found
        if len(found) > 1:
            one = next(iter(found))
            raise MissingSource(
                f"{self.name} has splits {listed(list(found))}; expected one", hint=f"hf:{path}?split={one}"
            )
        return next(iter(found.values()))

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Give the rows of `columns`."""
        from datasets.table import embed_table_storage

        first = 1
        for table in self._data.select_columns(list(columns)).with_format("arrow").iter(ROWS):
            whole: pa.Table = embed_table_storage(table)
            yield Chunk(self.name, first, dict(zip(whole.column_names, whole.columns, strict=True)), len(whole))
            first += len(whole)


def parse(address: str, whole: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the path and the options of `PATH?OPTION=VALUE&...`; raise `MissingSource` at an option not in `known`."""
    path, mark, query = address.partition("?")
    options = dict(parse_qsl(query))
    if not path or (mark and not options) or not set(options) <= set(known):
        raise MissingSource(f"{whole!r} is no address; expected PATH?OPTION=VALUE with options {listed(known)}")
    return path, options
