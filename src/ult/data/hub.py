"""`hf:org/name?name=CONFIG&split=SPLIT`: a dataset of the Hugging Face Hub, or of a local folder, through `datasets`.

A local folder is read through a temporary cache that is deleted when the process ends; datasets of the Hub stay in the
user's cache.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pyarrow as pa

from ult.data.rows import ROWS, Chunk, Rows, listed
from ult.errors import EmptySource, MissingSource, UltError
from ult.host.extras import require

PREFIX = "hf:"
_SAVED = ("dataset_dict.json", "state.json")  # mark folders of `Dataset.save_to_disk`, which `load_dataset` refuses


class HubRows(Rows):
    """The columns of one split; images that are stored as file paths are read into the rows."""

    def __init__(self, address: str) -> None:
        self.name = address
        path, options = parse(address.removeprefix(PREFIX), address, ("name", "split"))
        self._data = self._load(path, options)
        self.types = {field.name: field.type for field in self._data.features.arrow_schema}
        if not len(self._data):
            raise EmptySource(f"{address} has no rows; expected records")

    def _load(self, path: str, options: dict[str, str]) -> Any:
        with require("datasets", extra="train"):
            import datasets
        shown = datasets.is_progress_bar_enabled()
        datasets.disable_progress_bars()
        try:
            if any((Path(path) / name).is_file() for name in _SAVED):
                found = self._saved(path, dict(options))
            else:
                cache = None
                if Path(path).exists():
                    cache = tempfile.mkdtemp(prefix="ult-hub-")
                    weakref.finalize(self, shutil.rmtree, cache, ignore_errors=True)
                found = datasets.load_dataset(path, cache_dir=cache, **options)
        except UltError:
            raise
        except Exception as error:  # the network, the Hub and file formats raise a dozen types
            if several := [] if "name" in options else _configs(path):
                raise MissingSource(
                    f"{self.name} has configs {listed(several)}; expected one",
                    hint=_typed(path, {"name": several[0]}),
                ) from error
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
            first = next(iter(found))
            raise MissingSource(
                f"{self.name} has splits {listed(list(found))}; expected one",
                hint=_typed(path, {**options, "split": first}),
            )
        return next(iter(found.values()))

    def _saved(self, path: str, options: dict[str, str]) -> Any:
        """Return the dataset that `Dataset.save_to_disk` wrote to a folder, or the split of it that `options` name."""
        import datasets

        found = datasets.load_from_disk(path)
        split = options.pop("split", None)
        if options:
            raise MissingSource(
                f"{self.name} was saved by save_to_disk, so it has no configs", hint=shlex.quote(f"hf:{path}")
            )
        if split is None:
            return found
        if not isinstance(found, dict) or split not in found:
            has = listed(list(found)) if isinstance(found, dict) else "none"
            raise MissingSource(f"{self.name} was saved by save_to_disk with splits {has}; expected {split!r} there")
        return found[split]

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the rows of `columns`."""
        from datasets.table import embed_table_storage

        first = 1
        for table in self._data.select_columns(list(columns)).with_format("arrow").iter(ROWS):
            whole: pa.Table = embed_table_storage(table)
            yield Chunk(self.name, first, dict(zip(whole.column_names, whole.columns, strict=True)), len(whole))
            first += len(whole)


def _typed(path: str, options: dict[str, str]) -> str:
    """Return an `hf:` address quoted for the shell."""
    address = PREFIX + path + "?" * bool(options) + "&".join(f"{name}={value}" for name, value in options.items())
    return address if shlex.quote(path) == path and "&" not in address else shlex.quote(address)


def _configs(path: str) -> list[str]:
    """Return the names of a dataset's configs if it has several, else an empty list."""
    import datasets

    try:
        configs = list(datasets.get_dataset_config_names(path))
    except Exception:  # whatever kept the dataset from being loaded
        return []
    return configs if len(configs) > 1 else []


def parse(address: str, whole: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return path and options of `PATH?OPTION=VALUE&...`; raise `MissingSource` for an option not in `known`."""
    path, mark, query = address.partition("?")
    options = dict(parse_qsl(query))
    if not path or (mark and not options) or not set(options) <= set(known):
        raise MissingSource(f"{whole!r} is no address; expected PATH?OPTION=VALUE with options {listed(known)}")
    return path, options
