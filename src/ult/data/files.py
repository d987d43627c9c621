"""The one door to input files: a path of this machine, or an fsspec URL, `s3://`, `gs://` or `hf://`.

What a URL names is read as it is needed, in blocks; no copy stays in memory or on the disk. Drivers find credentials as
they always do (environment, profiles); an address that holds some is refused, and no error repeats what a driver says.
"""

from __future__ import annotations

import glob
import io
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from ult.data import folder as local
from ult.errors import MissingSource, SourceError, UltError
from ult.host.extras import require

BLOCK = 2**22  # bytes that a request asks for, where the reader wants fewer
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_DRIVERS = {"s3": ("s3fs", "remote"), "gs": ("gcsfs", "gcs"), "hf": ("huggingface_hub", "train")}  # package, extra
# Seconds and tries. The first word of a server must come soon, so that one that is down is known; what is being read
# already is worth a minute of trying again.
_FIRST_WORD = 8
_MARKS = (
    "ETag",
    "etag",
    "md5Hash",
    "crc32c",
    "blob_id",
    "generation",
    "LastModified",
    "mtime",
)  # best first; s3, gs, hf
_S3 = {"connect_timeout": 2, "read_timeout": 10, "retries": {"mode": "standard", "total_max_attempts": 2}}
_S3_TRIES = 3
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; FSSPEC_S3_ANON=true for a public bucket",
    "gs": "gcloud auth application-default login",
    "hf": "HF_TOKEN, or: hf auth login",
}
_WHERE = {"s3": "check the connection and AWS_ENDPOINT_URL", "gs": "check the connection", "hf": "check the connection"}


def is_url(name: str) -> bool:
    """Return whether `name` is a URL, be it one that can be read or not.

    >>> is_url("s3://bucket/notes.csv"), is_url("notes.csv"), is_url("hf:org/name")
    (True, False, False)
    """
    return _URL.fullmatch(name) is not None


def open_file(name: str) -> IO[bytes]:
    """Return a file open for reading; of a URL, one that raises `SourceError` rather than end early."""
    if not is_url(name):
        return check_regular(name).open("rb")
    with _answers(name):
        system, path = _system(name)
        # Uncached, for the buffer asks for blocks; "readahead" and the like would hold each of them twice.
        file = system.open(path, "rb", cache_type="none")
    return _Blocks(_Remote(name, file), BLOCK)


def open_arrow(name: str) -> pa.NativeFile:
    """Return a file open for reading as Arrow has them."""
    return pa.PythonFile(open_file(name), "r") if is_url(name) else pa.OSFile(os.fsencode(check_regular(name)))


def read_bytes(name: str) -> bytes:
    """Return all that a small file holds, in one request."""
    if not is_url(name):
        return check_regular(name).read_bytes()
    with _answers(name):
        system, path = _system(name)
        data: bytes = system.cat_file(path)
        return data


def size(name: str) -> int:
    """Return the bytes of a file; raise `MissingSource` if it is not there."""
    if not is_url(name):
        return Path(name).stat().st_size
    with _answers(name):
        system, path = _system(name)
        return int(system.info(path)["size"])


def count_lines(name: str, stop: int) -> int:
    """Return how many lines end in the first `stop` bytes; reads all of them."""
    lines = at = 0
    if stop:
        with open_file(name) as file:
            while at < stop and (data := file.read(min(2**20, stop - at))):
                lines, at = lines + data.count(b"\n"), at + len(data)
    return lines


def is_file(name: str) -> bool:
    """Return whether `name` is a file that is there."""
    return (_info(name) or {}).get("type") == "file" if is_url(name) else Path(name).is_file()


def is_folder(name: str) -> bool:
    """Return whether `name` is a folder, or what many objects' names begin with."""
    return (_info(name) or {}).get("type") == "directory" if is_url(name) else Path(name).is_dir()


def mark(name: str) -> object:
    """Return what two names of one file or folder have in common: its number on the disk, or else the name."""
    with suppress(OSError):
        if not is_url(name):
            found = os.stat(name)  # noqa: PTH116
            return found.st_dev, found.st_ino
    return name


def check_regular(name: str) -> Path:
    """Return a local path; raise `SourceError` if a pipe or a device is there, which cannot be read again and again."""
    path = Path(name)
    if path.exists() and not path.is_file() and not path.is_dir():
        endless = path.is_char_device()  # such as /dev/zero: to copy it would fill the disk
        raise SourceError(
            f"{name} is a pipe or a device; expected a file, for records are read more than once",
            hint="a file" if endless else f"cat {shlex.quote(name)} > records.txt, and that",
        )
    return path


def missing(name: str, expected: str) -> MissingSource:
    """Return the error for what is no file, as `expected`; raise a `SourceError` at a pipe."""
    if is_url(name):
        return MissingSource(f"{name} is not there; expected {expected}", hint="check the bucket and the key")
    check_regular(name)
    if os.path.islink(name):  # noqa: PTH114
        return MissingSource(f"{name} is a link to nothing; expected {expected}")
    return MissingSource(f"{name} is not there; expected {expected}")


def suffix(name: str) -> str:
    """Return how the name ends, in lower case: `.csv`, or nothing."""
    return Path(name).suffix.lower()


def join(folder: str, name: str) -> str:
    """Return the name of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_url(folder) else str(Path(folder) / name)


def walk(folder: str) -> list[str]:
    """Return the paths, from `folder` on, of all files in it and its sub-folders that are not hidden, sorted."""
    if not is_url(folder):
        return sorted(Path(one).relative_to(folder).as_posix() for one in local.walk(folder))
    with _answers(folder):
        system, path = _system(folder)
        names = [name[len(path) :].lstrip("/") for name in system.find(path)]
        return sorted(name for name in names if name and not _hidden(name))


def expand(name: str) -> list[str]:
    """Return the files that a glob matches, sorted; a name without wildcards, or that is there, as it is.

    `**` stands for any folders; hidden files and folders match no wildcard. Raises `MissingSource` if nothing matches.
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
        raise MissingSource(f"{name} matches no file", hint="quoted, * stands for a part of a name and ** for folders")
    return found


def states(name: str) -> dict[str, list[Any]]:
    """Return what tells whether a file changed, by its name: of all that a glob matches or a folder holds, or of one.

    Of a local file that is its size, its times of change in ns (of the bytes, and of anything, which no tool sets
    back), and its number on the disk; of another its size and the first of `_MARKS` that its server gives. Raises
    `MissingSource` if nothing is there.
    """
    if not is_url(name):
        roots = expand(name)
        every = [one for root in roots for one in (local.walk(root, hidden=True) if Path(root).is_dir() else [root])]
        return {one: _state(one) for one in every}
    found = _info(name)
    if found is None and glob.has_magic(name):
        infos = _matches(name)
    elif found is not None and found["type"] == "directory":
        with _answers(name):
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
    """Return what tells whether a local file changed; of a link to nothing, nothing."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        if not os.path.islink(path):  # noqa: PTH114
            raise
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _matches(pattern: str) -> dict[str, dict[str, Any]]:
    """Return the files on a server that a glob matches, hidden ones only where it spells that out, with their infos."""
    with _answers(pattern):
        system, path = _system(pattern)
        every = system.glob(path, detail=True).items()
        scheme = pattern.partition(":")[0]
        return {f"{scheme}://{one}": info for one, info in every if info["type"] == "file" and not _hidden(one, path)}


def _hidden(path: str, asked: str = "") -> bool:
    """Return whether a part of the path is hidden that no part of `asked` spells out."""
    dots = [part for part in path.split("/") if part.startswith(".")]
    return len(dots) > sum(part.startswith(".") for part in asked.split("/"))


def _system(name: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    match = _URL.fullmatch(name)
    scheme, rest = match.groups() if match else ("", name)
    if scheme not in _DRIVERS:
        raise MissingSource(f"an input is a {scheme}:// address; expected a file, or s3://, gs:// or hf://")
    bucket, _, key = rest.partition("/")
    if not bucket or (re.search("[@:]", bucket) and not bucket.startswith("arn:")):
        raise MissingSource(
            f"an {scheme}:// address names no bucket, or holds credentials; expected {scheme}://BUCKET/KEY",
            hint=_CREDENTIALS[scheme],
        )
    package, extra = _DRIVERS[scheme]
    options: dict[str, Any] = {"config_kwargs": _S3} if scheme == "s3" else {}
    with require("fsspec", package, extra=extra):
        import fsspec

        system = fsspec.filesystem(scheme, use_listings_cache=False, **options)
    if scheme == "s3":
        system.retries = _S3_TRIES
    return system, f"{bucket}/{key}".rstrip("/")


def _info(name: str) -> dict[str, Any] | None:
    """Return what the server says of a name, None if it has none such; all else is asked of it after this."""
    with _answers(name):
        system, path = _system(name)
        try:
            from fsspec.asyn import sync

            if not system.async_impl:
                return dict(system.info(path))
            found: dict[str, Any] = sync(system.loop, system._info, path, timeout=_FIRST_WORD)
        except FileNotFoundError:
            return None
        return found


class _Blocks(io.BufferedReader):
    """A buffer that `read1` fills too: the plain one passes the 8 KiB that text asks for on to the file below."""

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size)


class _Remote(io.RawIOBase):
    """A driver's file, whose reads give what was announced or raise."""

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
        with _answers(self._name):
            data = self._file.read(wanted)
        if len(data) != wanted:
            raise SourceError(f"{self._name} ended after {start + len(data)} bytes; expected {self._size}")
        buffer[:wanted] = data
        return wanted

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _answers(name: str) -> Iterator[None]:
    """Turn what a driver raises into a `SourceError` without its words, which may hold keys and signed addresses."""
    try:
        yield
    except (UltError, MemoryError):
        raise
    except Exception as error:  # by three drivers and what they build on, of dozens of types
        ours = _explained(name, error)
        raise ours from None


def _explained(name: str, error: BaseException | None) -> SourceError:
    """Return ours for an error of a driver, known by the names of its types and of those that it came from."""
    kind = type(error).__name__
    scheme = name.partition(":")[0]
    met: set[str] = set()
    while error is not None:
        met |= {one.__name__ for one in type(error).__mro__}
        error = error.__cause__ or error.__context__
    if met & {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError"}:
        return SourceError(f"{name} cannot be read: no credentials were found", hint=_CREDENTIALS[scheme])
    if met & {"PermissionError"}:
        return SourceError(
            f"{name} cannot be read: permission denied", hint=f"other credentials: {_CREDENTIALS[scheme]}"
        )
    if met & {"ClientPayloadError", "IncompleteRead", "IncompleteReadError", "ResponseStreamingError"}:
        return SourceError(f"{name} ended before the length that was announced", hint="try again")
    if met & {"FileExpired"}:
        return SourceError(f"{name} changed while it was read", hint="try again")
    if met & {"FileNotFoundError"}:
        return missing(name, "a file")
    if met & {"ConnectionError", "TimeoutError", "HTTPClientError", "ClientConnectionError", "gaierror"}:
        return SourceError(f"{name} cannot be read: the server does not answer", hint=_WHERE[scheme])
    return SourceError(f"{name} cannot be read: {kind}", hint=_WHERE[scheme])
