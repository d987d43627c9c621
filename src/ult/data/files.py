"""Open input files: local paths, or fsspec URLs `s3://`, `gs://` and `hf://`. No other module opens an input.

Remote files are read in blocks as needed; no copy stays in memory or on disk. Drivers find credentials where they
usually do (environment, profiles). A URL that contains credentials is refused, and errors never repeat a driver's own
message, which may contain some.
"""

from __future__ import annotations

import glob
import io
import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from ult.data import folder as local
from ult.errors import MissingSource, SourceError
from ult.host import remote
from ult.host.near import near_file
from ult.host.remote import answers, driver_of
from ult.host.remote import is_url as is_url

BLOCK = 2**22  # bytes of a request, if the reader wants fewer
_SCHEMES = ("s3", "gs", "hf")
# Seconds. The first answer must come soon, so that an unreachable server is reported at once. Once reading has begun,
# retries for about a minute are worth it.
_FIRST_ANSWER = 8
_MARKS = (
    "ETag",
    "etag",
    "md5Hash",
    "crc32c",
    "blob_id",
    "generation",
    "LastModified",
    "mtime",
)  # attributes that change with a file's content, best first; of s3, gs and hf


def open_file(name: str) -> IO[bytes]:
    """Return a file open for reading; a remote one raises `SourceError` if it ends before its announced size."""
    if not is_url(name):
        return check_regular(name).open("rb")
    with answers(name):
        system, path = _system(name)
        # No fsspec cache: `_Blocks` already asks for whole blocks, and "readahead" would hold each of them twice.
        file = system.open(path, "rb", cache_type="none")
    return _Blocks(_Remote(name, file), BLOCK)


def open_arrow(name: str) -> pa.NativeFile:
    """Return a file open for reading by Arrow."""
    return pa.PythonFile(open_file(name), "r") if is_url(name) else pa.OSFile(os.fsencode(check_regular(name)))


def read_bytes(name: str) -> bytes:
    """Return the content of a small file, in one request."""
    if not is_url(name):
        return check_regular(name).read_bytes()
    with answers(name):
        system, path = _system(name)
        data: bytes = system.cat_file(path)
        return data


def size(name: str) -> int:
    """Return the size of a file in bytes; raise `MissingSource` if a remote one does not exist."""
    if not is_url(name):
        return Path(name).stat().st_size
    with answers(name):
        system, path = _system(name)
        return int(system.info(path)["size"])


def count_lines(name: str, stop: int) -> int:
    """Return how many lines end in the first `stop` bytes, by reading all of them."""
    lines = at = 0
    if stop:
        with open_file(name) as file:
            while at < stop and (data := file.read(min(2**20, stop - at))):
                lines, at = lines + data.count(b"\n"), at + len(data)
    return lines


def is_file(name: str) -> bool:
    """Return whether `name` is an existing file."""
    return (_info(name) or {}).get("type") == "file" if is_url(name) else Path(name).is_file()


def is_folder(name: str) -> bool:
    """Return whether `name` is an existing folder, or a prefix of object names."""
    return (_info(name) or {}).get("type") == "directory" if is_url(name) else Path(name).is_dir()


def mark(name: str) -> object:
    """Return what identifies a file or folder under all its names: device and inode if it is local, else the name."""
    with suppress(OSError):
        if not is_url(name):
            status = os.stat(name)  # noqa: PTH116
            return status.st_dev, status.st_ino
    return name


def check_regular(name: str) -> Path:
    """Return a local path; raise `SourceError` if it is a pipe or a device, which cannot be read twice."""
    path = Path(name)
    if path.exists() and not path.is_file() and not path.is_dir():
        endless = path.is_char_device()  # such as /dev/zero: to copy it would fill the disk
        raise _read_once(f"{name} is a pipe or a device", endless=endless)
    return path


def _read_once(what: str, *, endless: bool = False) -> SourceError:
    """Return the error for what can be read only once."""
    return SourceError(
        f"{what}; expected a file, because records are read more than once",
        hint="a file" if endless else "COMMAND > records.csv, or .txt or .jsonl as it is, then name that file",
    )


def missing(name: str, expected: str) -> MissingSource:
    """Return the error for a name at which `expected` is missing; raise `SourceError` if it is a pipe or a device."""
    if is_url(name):
        return remote.missing(name, expected)
    check_regular(name)
    if name == "-":
        raise _read_once("- is no file, and standard input is not read")
    if os.path.islink(name):  # noqa: PTH114
        return MissingSource(
            f"{name} is a link to nothing; expected {expected}", hint=f"ls -l {shlex.quote(name)} says where it leads"
        )
    return MissingSource(f"{name} is not there; expected {expected}", hint=near_file(name))


def suffix(name: str) -> str:
    """Return the suffix of a name in lower case, such as `.csv`, or the empty string."""
    return Path(name).suffix.lower()


def join(folder: str, name: str) -> str:
    """Return the name of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_url(folder) else str(Path(folder) / name)


def walk(folder: str) -> list[str]:
    """Return the sorted paths, relative to `folder`, of all files in it and its sub-folders that are not hidden."""
    if not is_url(folder):
        return sorted(Path(one).relative_to(folder).as_posix() for one in local.walk(folder))
    with answers(folder):
        system, path = _system(folder)
        names = [name[len(path) :].lstrip("/") for name in system.find(path)]
        return sorted(name for name in names if name and not _hidden(name))


def expand(name: str) -> list[str]:
    """Return the sorted files that a glob matches; a name that has no wildcards or exists is returned as it is.

    `**` matches any number of folders; no wildcard matches hidden files or folders. Raises `MissingSource` if nothing
    matches.
    """
    if not glob.has_magic(name):
        return [name]
    if not is_url(name) and os.path.lexists(name):
        found = [name]
    elif not is_url(name):
        found = sorted(set(local.matches(name)))
    elif is_file(name):
        found = [name]
    else:
        found = sorted(_matches(name))
    if not found:
        raise MissingSource(f"{name} matches no file", hint="quoted, * matches part of a name and ** any folders")
    return found


def states(name: str) -> dict[str, list[Any]]:
    """Return the state of each file, by name: of one file, of all that a glob matches, or of all in a folder.

    A state differs if the file changed. For a local file it is size, mtime and ctime in ns (tools can set mtime back,
    but not ctime), and inode; for a remote one, size and the first of `_MARKS` that the server gives. Raises
    `MissingSource` if nothing exists under the name.
    """
    if not is_url(name):
        roots = expand(name)
        every = [one for root in roots for one in (local.walk(root, hidden=True) if Path(root).is_dir() else [root])]
        return {one: _state(one) for one in every}
    found = _info(name)
    if found is None and glob.has_magic(name):
        infos = _matches(name)
    elif found is not None and found["type"] == "directory":
        with answers(name):
            system, path = _system(name)
            infos = system.find(path, detail=True)
    else:
        infos = {name: found} if found else {}
    if not infos:
        raise missing(name, "a file")
    return {
        one: [info["size"], next((str(info[mark]) for mark in _MARKS if info.get(mark)), "")]
        for one, info in infos.items()
    }


def _state(path: str) -> list[Any]:
    """Return the state of a local file as `states` has it; empty for a broken link."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        if not os.path.islink(path):  # noqa: PTH114
            raise
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _matches(pattern: str) -> dict[str, dict[str, Any]]:
    """Return the remote files that a glob matches, with their infos; hidden ones only if the glob names the dot."""
    with answers(pattern):
        system, path = _system(pattern)
        every = system.glob(path, detail=True).items()
        scheme = pattern.partition(":")[0]
        return {f"{scheme}://{one}": info for one, info in every if info["type"] == "file" and not _hidden(one, path)}


def _hidden(path: str, asked: str = "") -> bool:
    """Return whether the path has more hidden parts than the pattern `asked` names."""
    dots = [part for part in path.split("/") if part.startswith(".")]
    return len(dots) > sum(part.startswith(".") for part in asked.split("/"))


def _system(name: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path in it; raise `MissingSource` or `MissingExtra`."""
    return driver_of(name, _SCHEMES)


def _info(name: str) -> dict[str, Any] | None:
    """Return the server's info on a name, or None if it does not exist; this is always the first request."""
    with answers(name):
        system, path = _system(name)
        try:
            from fsspec.asyn import sync

            if not system.async_impl:
                return dict(system.info(path))
            info: dict[str, Any] = sync(system.loop, system._info, path, timeout=_FIRST_ANSWER)
        except FileNotFoundError:
            return None
        return info


class _Blocks(io.BufferedReader):
    """A buffered reader whose `read1` fills the buffer; the plain one would request 8 KiB at a time for text."""

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size)


class _Remote(io.RawIOBase):
    """A driver's file whose reads return all announced bytes or raise `SourceError`."""

    def __init__(self, name: str, file: Any) -> None:
        self._name, self._file, self._size = name, file, int(file.size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        start = self.tell()
        wanted = max(0, min(len(buffer), self._size - start))
        with answers(self._name):
            data = self._file.read(wanted)
        if len(data) != wanted:
            raise SourceError(f"{self._name} ended after {start + len(data)} bytes; expected {self._size}")
        buffer[:wanted] = data
        return wanted

    def close(self) -> None:
        self._file.close()
        super().close()
