"""How a command gets the key of a table or of rows: a file, an environment variable, or a prompt."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ult.errors import FormatError, InvalidConfig, MissingSource, WrongKey

if TYPE_CHECKING:
    from ult.owner.table import Table

_MARK = "\ufeff"  # byte order mark
_LONGEST = 2**16  # bytes in a passphrase
TableFile = Annotated[Path, typer.Option("--table", "-t", help="The table, as `ult fit` wrote it.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="A file whose first line is the passphrase; otherwise the variable ULT_PASSPHRASE, or a prompt."),
]
Identities = Annotated[
    list[Path] | None,
    typer.Option("--identity", help="A file with an age secret key (AGE-SECRET-KEY-1...); repeatable."),
]
Recipients = Annotated[
    list[str] | None, typer.Option("--recipient", "-r", help="Encrypt to this age public key (age1...); repeatable.")
]


def load_table(path: Path, passphrase_file: Path | None, identities: Sequence[Path] | None) -> Table:
    """Return the table at `path`, asking for its passphrase if needed."""
    from ult.owner.table import Table

    return Table.load(path, **key_of(path, passphrase_file, identities))


def key_of(path: Path, passphrase_file: Path | None, identities: Sequence[Path] | None) -> dict[str, Any]:
    """Return the `passphrase` and `identities` that open `path`, asking for the passphrase if needed."""
    from ult.owner import keyfile

    keys = [key for file in identities or () for key in keyfile.read_identities(file)]
    wanted = keyfile.needs_passphrase(path)
    passphrase = None
    if passphrase_file is not None:
        line = _first_line(passphrase_file)  # read only once, because it may be a pipe
        passphrase = line.removeprefix(_MARK)
        if wanted and line != passphrase:
            passphrase = _opening(path, passphrase)
    elif wanted:
        passphrase = _stated(None)
    if wanted and passphrase is None and not keys and sys.stdin.isatty():
        passphrase = typer.prompt(f"passphrase of {path}", hide_input=True, err=True)
    return {"passphrase": passphrase, "identities": keys}


def asking(
    passphrase_file: Path | None, recipients: Sequence[str] | None, no_encryption: bool
) -> Callable[[], str | None]:
    """Return a function that returns the passphrase of a new file, or None without one; it prompts only if needed."""

    def ask() -> str | None:
        if passphrase_file is not None:
            return _stated(passphrase_file)
        if recipients or no_encryption:
            return None
        passphrase = _stated(None)
        if passphrase is None and sys.stdin.isatty():
            typed: str = typer.prompt("passphrase of the new file", hide_input=True, confirmation_prompt=True, err=True)
            return typed
        return passphrase

    return ask


def new_key(passphrase_file: Path | None, recipients: Sequence[str] | None, no_encryption: bool) -> dict[str, Any]:
    """Return the options of `keyfile.encryptor` for a new file, asking for a passphrase if needed."""
    from ult.owner import keyfile

    storage: dict[str, Any] = {
        "passphrase": asking(passphrase_file, recipients, no_encryption)(),
        "recipients": tuple(recipients or ()),
        "encrypt": not no_encryption,
    }
    keyfile.encryptor(**storage)  # refuses invalid options before any work is done
    return storage


def _stated(file: Path | None) -> str | None:
    """Return the passphrase in the file or, without a file, in the environment; None if there is none."""
    return os.environ.get("ULT_PASSPHRASE") if file is None else _first_line(file).removeprefix(_MARK)


def _first_line(file: Path) -> str:
    """Return the first line of a file, which may be a pipe, including a byte order mark."""
    from ult.host import regular

    try:
        line = regular.first_line(file, _LONGEST).decode("utf-8")
    except FormatError:
        raise
    except (OSError, UnicodeDecodeError):
        raise MissingSource(
            f"{file} cannot be read; expected a file whose first line is the passphrase, in UTF-8"
        ) from None
    if not line.removeprefix(_MARK):
        raise InvalidConfig(f"{file} has an empty first line; expected the passphrase there")
    return line


def _opening(path: Path, passphrase: str) -> str:
    """Return the passphrase that opens `path`: with a byte order mark if an earlier version encrypted it so."""
    from ult.owner import keyfile

    try:
        keyfile.read(path, passphrase=passphrase)
    except WrongKey:
        with suppress(WrongKey):
            keyfile.read(path, passphrase=_MARK + passphrase)
            return _MARK + passphrase
    return passphrase
