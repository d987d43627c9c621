"""Every error that `ult` raises, in one tree; each is also the built-in that a caller would catch.

    UltError                         exit status 1 on the command line
    ├── InvalidRecord     ValueError     not a record that the codec can encode
    ├── InvalidConfig     ValueError     an option outside its range, a table asked to do the impossible
    ├── UnknownCodec      KeyError       no codec of that id
    ├── CorruptSymbols    ValueError     symbols or ids that no encode could have made
    ├── SourceError       ValueError     input that cannot be read as records
    │   ├── MissingSource   FileNotFoundError
    │   ├── EmptySource                  an input without a record
    │   └── MissingColumn   KeyError
    ├── OutputError       OSError        output that cannot be written
    │   └── OutputExists    FileExistsError
    ├── FormatError       ValueError     a file of ours that is damaged
    │   └── NewerFormat                  a file of ours written by a later version
    ├── TableError        ValueError     the secret half
    │   ├── WrongKey                     passphrase or identity does not open the table
    │   └── WrongTable                   shards were encoded with another table
    ├── WrongVocabulary   ValueError     shards, runs and tables that do not share one vocabulary
    ├── TrainingError     RuntimeError   a run that cannot be trained, evaluated or continued
    ├── RiskRefused       RuntimeError   a release that its audit speaks against
    ├── EngineError       RuntimeError   a worker that was lost, a cluster that is not there
    └── MissingExtra      ImportError    optional packages are not installed

Two warnings say what Python code would otherwise miss; the command line says the same in a line:

    UltWarning            UserWarning
    ├── NoPhrases                        a table that writes every symbol by an id of its own
    └── ValuesClipped                    values outside the range of a codec, which come back as an end of it

An error says what was met and what was expected; `hint` says what to type next. No error carries a record,
a phrase or a key.

>>> str(InvalidConfig("vocabulary size is 10; expected at least 288", hint="--vocabulary-size 8192"))
'vocabulary size is 10; expected at least 288 (hint: --vocabulary-size 8192)'
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

_READING = "layer|window|layout|separator|encoding|sheet|query"
_OPTION = re.compile(
    rf"(?<!leave out )--(?:(no-header|skip-unreadable)|({_READING}|drop|form|unit|codec) ('[^']*'|\S+))"
)


def _in_python(hint: str) -> str:
    """Return the options of a hint as the library takes them; the command line shows the hint alone.

    >>> _in_python("--separator ';', or --separator tab"), _in_python("--drop ssn"), _in_python("--workers 1")
    ("; in Python reading={'separator': ';'}", "; in Python drop=['ssn']", '')
    """
    reading: dict[str, object] = {}
    forms: dict[str, str] = {}
    drop: list[str] = []
    plain: dict[str, str] = {}
    for switch, name, typed in _OPTION.findall(hint):
        value = typed.rstrip(",;:").strip("'")
        if switch:
            reading |= {"header": False} if switch == "no-header" else {"skip_unreadable": True}
        elif name == "window":
            reading.setdefault(name, float(value) if value.replace(".", "", 1).isdigit() else value)
        elif name == "drop":
            drop.append(value)
        elif name in ("unit", "codec"):
            plain.setdefault(name, value)
        elif name == "form":
            column, _, form = value.rpartition("=")
            forms |= {} if column in ("", *forms) else {column: form}
        else:
            reading.setdefault(name, value)
    asked = {"drop": drop, "forms": forms, **plain, "reading": reading}
    found = ", ".join(f"{name}={value!r}" for name, value in asked.items() if value)
    return f"; in Python {found}" if found else ""


class UltError(Exception):
    """What was met and what was expected, with a `hint` on what to type next."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} (hint: {self.hint}{_in_python(self.hint)})" if self.hint else self.what


class InvalidRecord(UltError, ValueError):
    """Not a record that the codec can encode; `value` is the number of the value that is at fault, from 0."""

    def __init__(self, what: str, *, hint: str = "", value: int | None = None) -> None:
        super().__init__(what, hint=hint)
        self.value = value


class InvalidConfig(UltError, ValueError):
    """An option outside its range."""


class UnknownCodec(UltError, KeyError):
    """No codec of that id."""


class CorruptSymbols(UltError, ValueError):
    """Symbols or ids that no encode could have made."""


class SourceError(UltError, ValueError):
    """Input that cannot be read as records."""


class MissingSource(SourceError, FileNotFoundError):
    """An input that is not there."""


class EmptySource(SourceError):
    """An input without a record."""


class MissingColumn(SourceError, KeyError):
    """A column that the input does not have."""


class OutputError(UltError, OSError):
    """Output that cannot be written."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn any failure to write into an `OutputError` that names `path`."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {os.strerror(error.errno) if error.errno else error}") from error


class OutputExists(OutputError, FileExistsError):
    """Output that is there already."""


class FormatError(UltError, ValueError):
    """A file of ours that is damaged."""


class NewerFormat(FormatError):
    """A file of ours that a later version wrote."""


class TableError(UltError, ValueError):
    """The table cannot be used."""


class WrongKey(TableError):
    """Passphrase or identity does not open the table."""


class WrongTable(TableError):
    """Shards were encoded with another table."""


class WrongVocabulary(UltError, ValueError):
    """Shards, runs and tables that do not share one vocabulary."""


class TrainingError(UltError, RuntimeError):
    """A run that cannot be trained, evaluated or continued."""


class RiskRefused(UltError, RuntimeError):
    """A release that its audit speaks against, or that was not audited."""


class EngineError(UltError, RuntimeError):
    """A worker that was lost, a cluster that is not there."""


class MissingExtra(UltError, ImportError):
    """Optional packages are not installed, or `because` of something else cannot be imported.

    `extra` names one extra that brings them, or several with commas.
    """

    def __init__(self, *packages: str, extra: str, because: str = "", hint: str = "") -> None:
        names = " and ".join(filter(None, (", ".join(packages[:-1]), packages[-1])))
        what = (
            f"cannot be imported ({because})" if because else f"{'is' if len(packages) == 1 else 'are'} not installed"
        )
        super().__init__(f"{names} {what}", hint=hint)
        self.packages, self.extra, self.because = packages, extra, because

    def __reduce__(self) -> tuple[Any, ...]:  # from a worker; the default would call it with the message alone
        return partial(MissingExtra, extra=self.extra, because=self.because, hint=self.hint), self.packages


class UltWarning(UserWarning):
    """What was done is not what the caller may expect."""


class NoPhrases(UltWarning):
    """A table without phrases: no sequence of symbols is held by as many records as `min_records`, 5 by default."""


class ValuesClipped(UltWarning):
    """Values lie outside the range of a codec and were encoded as the nearer end of it."""
