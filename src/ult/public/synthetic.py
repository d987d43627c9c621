"""What lies beside synthetic records and says how they were made: `OUT.synth.json`, of the format ult-synth/1."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from ult.errors import FormatError, MissingSource
from ult.host.regular import read_text
from ult.public.guarantee import Account

FORMAT = "ult-synth/1"
SUFFIX = ".synth.json"
METHODS = ("train", "vote", "marginals")
_ROUNDED = 1 + 1e-9  # sums of parts of a number
_MOST = 2**20  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """How synthetic records were made.

    `digest` is that of the records' file or folder (`digest_of`). `table` is the fingerprint of the table that they
    were decoded with, and `run` the digest of the run that wrote them; by marginals there is neither. `unit` is what
    the promise is for: "record", or "person", if all rows with one value in the column `unit_column` are one. Without a
    promise `epsilon` and `delta` are None; `parts` are what each look at the records cost: its name, epsilon and delta.
    `public` are sentences on what was taken as known without the records, and `conditions` what must be true for the
    promise to hold. `shape` is what decided the training, and `draw` how records were drawn from the run: seeds that
    are no secret, temperature.
    """

    records: int
    digest: str
    method: str
    codec: str
    table: str
    run: str
    unit: str = "record"
    unit_column: str = ""
    epsilon: float | None = None
    delta: float | None = None
    parts: tuple[tuple[str, float, float], ...] = ()
    public: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    shape: Mapping[str, Any] = field(default_factory=dict)
    draw: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def account(self) -> Account | None:
        """The promise to each record, or person, that the synthetic records were made of; None if there is none."""
        if self.epsilon is None or self.delta is None:
            return None
        return Account(self.epsilon, self.delta, True, self.parts, self.conditions)

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"format": FORMAT, **asdict(self)}

    def to_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, out: str | Path) -> Self:
        """Return what the file beside the synthetic records `out` says, or that file itself, if it is named.

        Raises `MissingSource` if there is none, and `FormatError`.
        """
        path = Path(out) if str(out).endswith(SUFFIX) else beside(out)
        try:
            told = json.loads(read_text(path, _MOST))
        except FileNotFoundError:
            raise MissingSource(f"{path} is not there; nothing says how {out} was made") from None
        except FormatError:
            raise
        except (OSError, ValueError, RecursionError):
            raise FormatError(f"{path} cannot be read; expected what ult synth wrote") from None
        return cls._of(told, path)

    @classmethod
    def _of(cls, told: object, path: Path) -> Self:
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            raise FormatError(f"{path} is not of the format {FORMAT}")
        names = set(cls.__dataclass_fields__)
        found = {name: value for name, value in told.items() if name != "format"}
        if names != set(found):
            raise FormatError(f"{path} has other fields; expected {', '.join(sorted(names))}")
        _check(found, path)
        found["parts"] = tuple((str(name), float(one), float(other)) for name, one, other in found["parts"])
        return cls(**{**found, "public": tuple(found["public"]), "conditions": tuple(found["conditions"])})


def beside(out: str | Path) -> Path:
    """Return the path of what says how the synthetic records `out` were made."""
    out = Path(out)
    return out.with_name(out.name + SUFFIX)


def digest_of(path: str | Path) -> str:
    """Return the SHA-256 of a file, or of the names and digests of all files of a folder."""
    path = Path(path)
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file())
        lines = "".join(f"{one.relative_to(path).as_posix()} {digest_of(one)}\n" for one in files)
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(found: Mapping[str, Any], path: Path) -> None:
    """Raise `FormatError` unless the values have their types and ranges."""
    texts = all(isinstance(found[name], str) for name in ("digest", "method", "codec", "table", "run", "unit"))
    lists = all(isinstance(found[name], list) for name in ("parts", "public", "conditions"))
    maps = all(isinstance(found[name], dict) for name in ("shape", "draw", "versions"))
    if not (texts and lists and maps and isinstance(found["unit_column"], str) and type(found["records"]) is int):
        raise FormatError(f"{path} has values of other types than ult synth writes")
    promised = [found["epsilon"], found["delta"]]
    if promised != [None, None] and not all(_is_number(one) and one > 0 for one in promised):
        raise FormatError(f"{path}: epsilon and delta are {promised!r:.60}; expected both above 0, or none")
    if not all(isinstance(one, list) and len(one) == 3 and all(map(_is_number, one[1:])) for one in found["parts"]):
        raise FormatError(f"{path}: a part of the promise is not a name, an epsilon and a delta")
    for k, name in enumerate(("epsilon", "delta"), 1):
        total, whole = sum(one[k] for one in found["parts"]), found[name] or 0
        if total > whole * _ROUNDED:
            raise FormatError(f"{path}: its parts cost {name} {total:.3g}, more than the {whole:.3g} that it promises")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
