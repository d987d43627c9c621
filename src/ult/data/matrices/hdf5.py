"""Open HDF5 files of strangers: nothing in them leads to another file, and the file's size checks its headers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ult.data import files
from ult.data.rows import existing
from ult.errors import SourceError, UltError
from ult.host.extras import require

EXTRA = "h5ad"
_CHUNK = 2**28  # bytes of a chunk, which is unpacked as a whole
_CELL, _SMALL = 2**16, 2**30  # bytes of one value, and of what is held as a whole: names, categories, bounds


@contextmanager
def opened(name: str) -> Iterator[Any]:
    """Yield the root group of an HDF5 file; raise `SourceError` if it is none, or is damaged."""
    with require("h5py", extra=EXTRA):
        import h5py
    existing(name)
    try:
        with files.open_file(name) as file, h5py.File(file, "r") as root:
            yield root
    except UltError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, EOFError) as error:  # h5py raises all of these
        raise SourceError(f"{name} is not an HDF5 file that can be read, or it is damaged or cut short") from error


def node(root: Any, path: str, name: str) -> Any:
    """Return the group or dataset at `path` below `root`, or None if there is none.

    Raises `SourceError` for a link by name, which may lead to another file or in a circle, and for a dataset that is
    stored in other files, is not stored at all, or has chunks too large to unpack.
    """
    import h5py

    found = root
    for part in path.split("/"):
        link = found.get(part, None, getlink=True) if isinstance(found, h5py.Group) else None  # `in` follows links
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            kind = "another file" if isinstance(link, h5py.ExternalLink) else "another place"
            raise SourceError(f"{name}: {path!r} is a link to {kind}; expected data")
        found = found[part]
    if isinstance(found, h5py.Dataset):
        _check_stored(found, path, name)
    return found


def _check_stored(data: Any, path: str, name: str) -> None:
    """Raise `SourceError` unless all of a dataset is in this file."""
    if data.external or data.is_virtual:
        raise SourceError(f"{name}: {path!r} is stored in other files; expected it in this one")
    if data.shape is None or not data.size:
        return
    if data.dtype.itemsize > _CELL:
        raise SourceError(f"{name}: {path!r} has values of {data.dtype.itemsize:,} bytes; expected {_CELL:,} at most")
    if data.chunks is None:
        whole = data.id.get_storage_size() >= data.size * data.dtype.itemsize
    else:
        if math.prod(data.chunks) * data.dtype.itemsize > _CHUNK:
            raise SourceError(f"{name}: {path!r} is in chunks of more than {_CHUNK:,} bytes; expected smaller ones")
        chunks = math.prod(-(-length // step) for length, step in zip(data.shape, data.chunks, strict=True))
        whole = data.id.get_num_chunks() >= chunks
    if not whole:
        raise SourceError(f"{name}: {path!r} is not all in the file: its header says {data.shape} of {data.dtype}")


def check_small(data: Any, path: str, name: str) -> None:
    """Raise `SourceError` if a dataset that is to be held as a whole is too large for that."""
    if data.size and data.size * data.dtype.itemsize > _SMALL:
        raise SourceError(f"{name}: {path!r} has {data.size:,} values; expected {_SMALL:,} bytes at most")
