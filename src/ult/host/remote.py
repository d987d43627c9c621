"""Files behind addresses, such as `s3://bucket/notes.shards`: drivers of fsspec, and their failures as our errors.

Drivers find credentials where they usually do (environment, profiles). An address that contains credentials is refused,
and errors never repeat a driver's own message, which may contain some.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ult.errors import FormatError, InvalidConfig, MissingSource, OutputError, SourceError, UltError
from ult.host.extras import if_installed, require

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_FLATTENED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")  # an address that became a path lost one of its slashes
_DRIVERS = {"s3": ("s3fs", "remote"), "gs": ("gcsfs", "gcs"), "hf": ("huggingface_hub", "train")}  # package, extra
_READ_ONLY = frozenset({"hf", "http", "https"})  # nothing is published by a training
_S3 = {"connect_timeout": 2, "read_timeout": 10, "retries": {"mode": "standard", "total_max_attempts": 2}}
_S3_TRIES = 3
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; FSSPEC_S3_ANON=true for a public bucket",
    "gs": "gcloud auth application-default login",
    "hf": "HF_TOKEN, or: hf auth login",
}
_WHERE = {"s3": "check the connection and AWS_ENDPOINT_URL"}
_READ, _WRITTEN = "read", "written"


def is_url(name: str) -> bool:
    """Return whether `name` is a URL, of a supported scheme or another.

    >>> is_url("s3://bucket/notes.csv"), is_url("notes.csv"), is_url("hf:org/name")
    (True, False, False)
    """
    return _URL.fullmatch(name) is not None


def scheme_of(name: str | Path) -> str:
    """Return the scheme of an address, also of one that was made a path; the empty string for a local path.

    >>> scheme_of("gs://bucket/run"), scheme_of(Path("gs://bucket/run")), scheme_of("C:/run"), scheme_of("file:///run")
    ('gs', 'gs', '', '')
    """
    match = _FLATTENED.match(str(name))
    return match[1] if match and match[1] != "file" else ""


def located(name: str | Path) -> Path | Address:
    """Return where a name points to: a path of this machine, or an address. Raises `InvalidConfig`."""
    if not scheme_of(name):
        return Path(re.sub("^file://(?=/)", "", str(name)) if isinstance(name, str) else name)
    if isinstance(name, Path):
        raise InvalidConfig(f"{name} was an address that is a path now; expected it as a text")
    return Address(name.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Address:
    """A file or folder behind a URL. Only whole files are read and written: object stores neither rename nor append."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Address:
        return Address(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """The last part of the address, as `Path.name`; empty for a bucket alone."""
        return self.url.partition("://")[2].partition("/")[2].rpartition("/")[2]

    @property
    def parent(self) -> Address:
        """The folder in which this one lies."""
        return Address(self.url.rpartition("/")[0])

    def check_writable(self) -> None:
        """Raise `OutputError` for an address to which no run is written, and `MissingExtra` or `MissingSource`."""
        scheme = scheme_of(self.url)
        if scheme in _READ_ONLY:
            raise OutputError(f"{self} is written to by nothing here", hint="a folder, or an s3:// or gs:// address")
        if not self.name:
            raise OutputError(f"{self} names no folder; expected {scheme}://BUCKET/FOLDER")
        driver_of(self.url)

    def exists(self) -> bool:
        """Return whether there is a file of this address."""
        with answers(self.url):
            driver, path = driver_of(self.url)
            return bool(driver.isfile(path))

    def read(self, most: int | None = None) -> bytes:
        """Return a file whole. Raises `MissingSource`, `SourceError`, and `FormatError` for more than `most` bytes."""
        with answers(self.url):
            driver, path = driver_of(self.url)
            if most is not None and (size := int(driver.info(path)["size"])) > most:
                raise FormatError(f"{self} has {size} bytes; expected at most {most}")
            data: bytes = driver.cat_file(path)
            return data

    def files(self) -> dict[str, int]:
        """Return the size of each file below the folder, by its name relative to it; none if it is not there."""
        with answers(self.url):
            driver, path = driver_of(self.url)
            try:
                found = driver.find(path, detail=True)
            except FileNotFoundError:
                return {}
            root = str(driver._strip_protocol(path)).strip("/")
            names = {name.strip("/").removeprefix(root).lstrip("/"): int(told["size"]) for name, told in found.items()}
            return {name: size for name, size in names.items() if name}

    def write(self, data: bytes) -> None:
        """Write a file whole, in place of one that is there. Raises `OutputError`."""
        with answers(self.url, _WRITTEN):
            driver, path = driver_of(self.url)
            _make_parents(driver, path)
            driver.pipe_file(path, data)

    def upload(self, local: Path) -> None:
        """Write a local file, and see that all of it arrived. Raises `OutputError`."""
        with answers(self.url, _WRITTEN):
            driver, path = driver_of(self.url)
            _make_parents(driver, path)
            driver.put_file(str(local), path)
            arrived, size = int(driver.info(path)["size"]), local.stat().st_size
        if arrived != size:
            raise OutputError(f"{self} has {arrived} bytes of {size} after its upload", hint="the same command again")

    def download(self, local: Path) -> None:
        """Write a file to a local path. Raises `SourceError`."""
        with answers(self.url):
            driver, path = driver_of(self.url)
            driver.get_file(path, str(local))

    def remove(self, *names: str) -> None:
        """Remove files of the folder, in this order; what is gone already is no error. Raises `OutputError`."""
        for name in names:
            with answers(self.url, _WRITTEN):
                driver, path = driver_of((self / name).url)
                with suppress(FileNotFoundError):
                    driver.rm_file(path)


def _make_parents(driver: Any, path: str) -> None:
    with suppress(NotImplementedError, FileExistsError):
        driver.makedirs(driver._parent(path), exist_ok=True)


def driver_of(name: str, schemes: tuple[str, ...] | None = None) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path in it; of any scheme, unless `schemes` are given.

    Raises `MissingSource` or `MissingExtra`.
    """
    match = _URL.fullmatch(name)
    scheme, rest = match.groups() if match else ("", name)
    if schemes is not None and scheme not in schemes:
        raise MissingSource(f"an input is a {scheme}:// address; expected a file, or s3://, gs:// or hf://")
    bucket, _, key = rest.partition("/")
    if not bucket or (re.search("[@:]", bucket) and not bucket.startswith("arn:")):
        raise MissingSource(
            f"an {scheme}:// address names no bucket, or holds credentials; expected {scheme}://BUCKET/KEY",
            hint=_CREDENTIALS.get(scheme, ""),
        )
    package, extra = _DRIVERS.get(scheme, ("fsspec", "remote"))
    options: dict[str, Any] = {"config_kwargs": _S3} if scheme == "s3" else {}
    with require("fsspec", package, extra=extra):
        import fsspec

        driver = _driver(fsspec, scheme)(use_listings_cache=False, **options)
    if scheme == "s3":
        driver.retries = _S3_TRIES
    return driver, f"{bucket}/{key}".rstrip("/")


def _driver(fsspec: Any, scheme: str) -> Any:
    """Return the class of the file systems of a scheme. Raises `MissingSource`; `ImportError` for one of `_DRIVERS`."""
    try:
        if scheme in _DRIVERS:
            return fsspec.get_filesystem_class(scheme)
        found = if_installed(lambda: fsspec.get_filesystem_class(scheme))
    except ValueError:
        raise MissingSource(
            f"no kind of address is called {scheme}://", hint="s3://BUCKET/KEY, gs://BUCKET/KEY or a folder"
        ) from None
    if found is None:
        from fsspec.registry import known_implementations

        package = re.search(r'[Ii]nstall (\w+)|"(\w+)"', str(known_implementations[scheme].get("err", "")))
        raise MissingSource(
            f"{scheme}:// needs a driver of fsspec that is not installed",
            hint=f"pip install {package[1] or package[2]}" if package else "see the documentation of fsspec",
        )
    return found


@contextmanager
def answers(name: str, done: str = _READ) -> Iterator[None]:
    """Turn a driver's exception into a `SourceError` without its message, which may hold keys and signed URLs.

    Of what is not read but "written", into an `OutputError`.
    """
    try:
        yield
    except (UltError, MemoryError):
        raise
    except Exception as error:  # drivers and their dependencies raise dozens of types
        raise _explained(name, error, done) from None


def missing(name: str, expected: str) -> MissingSource:
    """Return the error for an address at which `expected` is missing."""
    return MissingSource(f"{name} is not there; expected {expected}", hint="check the bucket and the key")


def _explained(name: str, error: BaseException | None, done: str) -> UltError:
    """Return our error for a driver's, chosen by the class names of the exception and its causes."""
    kind, failed = type(error).__name__, SourceError if done == _READ else OutputError
    scheme = name.partition(":")[0]
    credentials, where = _CREDENTIALS.get(scheme, "those of its driver"), _WHERE.get(scheme, "check the connection")
    met: set[str] = set()
    while error is not None:
        met |= {base.__name__ for base in type(error).__mro__}
        error = error.__cause__ or error.__context__
    if met & {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError"}:
        return failed(f"{name} cannot be {done}: no credentials were found", hint=credentials)
    if met & {"PermissionError"}:
        return failed(f"{name} cannot be {done}: permission denied", hint=f"other credentials: {credentials}")
    if met & {"ClientPayloadError", "IncompleteRead", "IncompleteReadError", "ResponseStreamingError"}:
        return failed(f"{name} ended before the length that was announced", hint="try again")
    if met & {"FileExpired"}:
        return failed(f"{name} changed while it was read", hint="try again")
    if met & {"FileNotFoundError"} and done == _READ:
        return missing(name, "a file")
    if met & {"ConnectionError", "TimeoutError", "HTTPClientError", "ClientConnectionError", "gaierror"}:
        return failed(f"{name} cannot be {done}: the server does not answer", hint=where)
    return failed(f"{name} cannot be {done}: {kind}", hint=where)
