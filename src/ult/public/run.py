"""A run folder, opened: a Hugging Face checkpoint, `vocabulary.json`, `metrics.json` and `loss.png`."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ult.errors import FormatError, InvalidConfig, WrongTable
from ult.host import arguments
from ult.host.atomic import recover
from ult.host.regular import check_all, read_text
from ult.host.shown import Facts, Shown
from ult.public.guarantee import composed
from ult.public.manifest import UNTOLD, may_be_same
from ult.public.metrics import Metrics, check_metrics, read_metrics
from ult.public.published import OWNER, rejoined
from ult.public.vocabulary import EOS, Vocabulary, modality_id

if TYPE_CHECKING:
    from ult.public.shards import Shards

BAG_TYPE = "ult_bag"  # the `model_type` in `config.json` of a run of `--model bag`
NGRAMS_TYPE = "ult_ngrams"  # and of one of `--model ngrams`
WITHHELD = "withheld"  # what `metrics.json` says of the embeddings if the rows stayed with the owner
PER_TABLE = "per table"  # and if each table has rows of its own, in a file in the folder
ROWS = "rows"  # that is named by the table's fingerprint
MEMBERS = "members"  # the folder of a run that has no weights of its own, but those of the runs 0, 1, .. in there


@dataclass(frozen=True, slots=True, repr=False)
class Run(Shown):
    """A trained run, opened: its folder, what `metrics.json` says, and its vocabulary.

    `metrics` is the document, read and checked: `docs/format.md` lists its fields; `loss` holds pairs of a step and
    its loss in nats an id.
    """

    path: Path
    metrics: Metrics
    vocabulary: Vocabulary

    @classmethod
    @arguments.checked(path=arguments.path)
    def open(cls, path: str | Path) -> Run:
        """Read a run folder, but not its weights. Raises `MissingSource`, `FormatError` or `NewerFormat`."""
        folder = Path(path)
        recover(folder)
        check_all(folder)
        metrics = rejoined(read_metrics(folder / "metrics.json"), folder)
        check_metrics(metrics, folder / OWNER)
        return cls(folder, metrics, Vocabulary.load(folder / "vocabulary.json"))

    def facts(self) -> Facts:
        """Return what the run was trained for, on and how long; never a label or a record."""
        told = self.metrics
        codecs = sorted({lot["codec"] for lot in [*told["shards"], *told.get("targets", [])]})
        loss = told.get("loss")
        began = told.get("model") or told.get("from_run") or "unknown"
        return [
            ("folder", str(self.path)),
            ("task", self.task + (f" ({len(self.classes)} classes)" if self.classes else "")),
            ("model", str(began) if told.get("model") else f"from {began}"),
            ("parameters", f"{told['parameters']:,}" if told.get("parameters") else "unknown"),
            ("trained", self._trained()),
            ("last loss", f"{loss[-1][1]:.4f} nats an id" if loss else "unknown"),
            ("codec", ", ".join(codecs)),
            ("table", ", ".join(sorted(self.tables)) if self.names_tables else "not told"),
            ("privacy", str(composed(told) or ("unknown" if told.get("adopted") else "no promise"))),
        ]

    def _trained(self) -> str:
        """Return how long it was trained, in words; of an adopted run nobody knows."""
        if self.metrics.get("adopted"):
            return "by another trainer, nobody can say how"
        each = f"{self.members} members, each " if self.members else ""
        return (
            f"{each}{self.metrics.get('steps') or 0:,} steps of {self.metrics.get('batch_size')} x {self.context} ids"
        )

    def __repr__(self) -> str:
        return f"<Run {self.path}: {self.task}, {self.metrics.get('steps') or 0:,} steps>"

    @property
    def task(self) -> str:
        """What the run was trained for: one of `TASKS`."""
        return str(self.metrics["task"])

    def digest(self) -> str:
        """Return the SHA-256 of everything that decides what the run predicts; audits name a run by it.

        It covers the weights, rows of every table included, `config.json`, the vocabulary, and what `metrics.json` says
        of how records are read. It does not cover `generation_config.json`, which is never used. Raises `FormatError`.
        """
        names = ("task", "context", "classes", "label", "modality_token")
        read = {name: self.metrics.get(name) for name in names} | {"alone": self.alone}
        read |= {"scale": self.metrics["scale"]} if self.metrics.get("scale") else {}
        if self.members:
            whole: dict[str, Any] = {"members": [one.digest() for one in self.each()], "read": read}
            if self.metrics["members"].get("weights"):
                whole["weights"] = self.weights
            return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
        try:
            config = json.loads(read_text(self.path / "config.json", 2**24))
            weights = {}
            for path in sorted(self.path.glob("*.safetensors")):
                weights[path.name] = _sha256(path)
            if self.per_table:
                weights |= {f"{ROWS}/{table}": _sha256(self.rows_file(table)) for table in sorted(self.tables)}
        except FormatError:
            raise
        except (OSError, ValueError, RecursionError) as error:
            raise FormatError(f"{self.path} has no config.json or weights that can be read") from error
        if "model.safetensors" not in weights:
            raise FormatError(f"{self.path} has no model.safetensors")
        what = {"weights": weights, "config": config, "vocabulary": self.vocabulary.size, "read": read}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    @property
    def withheld(self) -> bool:
        """Whether the run lacks its embedding rows because they stayed with the owner."""
        return self.metrics.get("embeddings") == WITHHELD

    @property
    def per_table(self) -> bool:
        """Whether the run has embedding rows of its own for each table: one body, and a file of rows a table."""
        return self.metrics.get("embeddings") == PER_TABLE

    @property
    def members(self) -> int:
        """How many runs this one is made of, whose probabilities are averaged; 0 for an ordinary run."""
        return int((self.metrics.get("members") or {"count": 0})["count"])

    @property
    def weights(self) -> list[float]:
        """How much each member counts where they are averaged, 1 on average; [1.0] for an ordinary run.

        Raises `FormatError` unless there are as many as members, all above 0, of which logarithms can be taken.
        """
        if not self.members:
            return [1.0]
        told = self.metrics["members"].get("weights") or [1.0] * self.members
        if len(told) != self.members or not all(2.0**-64 <= weight <= 2.0**64 for weight in told):
            raise FormatError(f"{self.path / 'metrics.json'}: expected {self.members} weights of members, all above 0")
        return [weight * self.members / math.fsum(told) for weight in told]

    def each(self) -> list[Run]:
        """Return the members, opened. Raises `MissingSource`, `FormatError`, or `InvalidConfig` for an ordinary run."""
        if not self.members:
            raise InvalidConfig(f"{self.path} has no members", hint="ult train --members 4")
        found = [Run.open(self.path / MEMBERS / str(k)) for k in range(self.members)]
        for one in found:
            if one.members or (one.task, one.vocabulary) != (self.task, self.vocabulary):
                raise FormatError(f"{one.path} is no member of {self.path}: its task or vocabulary is another")
        return found

    def check_single(self) -> None:
        """Raise `InvalidConfig` for a run with members, where one model is wanted."""
        if self.members:
            raise InvalidConfig(
                f"{self.path} holds {self.members} members, each a run of its own; expected one run",
                hint=f"{self.path / MEMBERS / '0'}, or ult distil {self.path} --shards SHARDS -o SMALL, one run of all",
            )

    def rows_file(self, table: str) -> Path:
        """Return where a run with rows per table holds those of a table. Raises `FormatError` for no fingerprint."""
        if re.fullmatch(r"[0-9a-f]{32}", table) is None:
            raise FormatError(f"{self.path / 'metrics.json'}: {table[:40]!r} is no fingerprint of a table")
        return self.path / ROWS / f"{table}.safetensors"

    def of_tables(self, tables: Collection[str]) -> Run:
        """Return the run as one of the only table in `tables`, whose rows it then has; other runs have rows for all.

        Its shards are those of that table, and all others were trained on before. Raises `WrongTable` for a table that
        a run with rows per table has no rows of, and `InvalidConfig` for several tables.
        """
        if not self.per_table:
            return self
        if strange := set(tables) - self.tables:
            raise WrongTable(
                f"{self.path} has no rows of table {', '.join(sorted(strange))}; it has those of "
                f"{', '.join(sorted(self.tables))}",
                hint=f"ult train SHARDS --from {self.path}, which learns rows of another table",
            )
        if len(set(tables)) > 1:
            raise InvalidConfig(
                f"{self.path} has rows of its own for each table, and {len(set(tables))} were asked for at once",
                hint="one table at a time",
            )
        shards = [lot for lot in self.metrics["shards"] if lot["table"] in tables]
        return replace(self, metrics={**self.metrics, "shards": shards, "trained_before": self.trained_on})

    @property
    def context(self) -> int:
        """The number of ids that the model saw at once in training."""
        return int(self.metrics["context"])

    @property
    def classes(self) -> list[Any]:
        """The labels that the run tells apart, sorted; empty unless the task is "classify"."""
        return list(self.metrics["classes"])

    @property
    def scale(self) -> tuple[float, float]:
        """The mean and the standard deviation of the numbers that a run for "regress" was trained on."""
        mean, deviation = self.metrics.get("scale") or (0.0, 1.0)
        return float(mean), float(deviation)

    @property
    def modality_token(self) -> bool:
        """Whether a special id before each record named its modality."""
        return bool(self.metrics.get("modality_token"))

    @property
    def alone(self) -> bool:
        """Whether the model saw each record by itself in task "lm", by --document-mask or for a promise of privacy."""
        return self.metrics.get("privacy") is not None or bool(self.metrics.get("document_mask"))

    def head(self, modality: str | None = None) -> list[int]:
        """Return the ids that stand before a record: `<eos>` and, if the run was trained with them, its modality's id.

        None stands for the only modality of the run's shards. Raises `InvalidConfig` for a modality that they lack.
        """
        if not self.modality_token:
            return [EOS]
        known = {shards["codec"].partition("/")[0] for shards in self.metrics["shards"]}
        if modality is None and len(known) > 1:
            raise InvalidConfig(f"{self.path} knows {', '.join(sorted(known))}; expected one of them", hint="--table T")
        if modality is not None and modality not in known:
            raise InvalidConfig(f"{self.path} was trained on {', '.join(sorted(known))}, not on {modality}")
        return [EOS, modality_id(modality or min(known))]

    @property
    def tables(self) -> set[str]:
        """The fingerprints of the tables whose shards the run was trained on; `UNTOLD` for one it does not name."""
        return {shards["table"] for shards in [*self.metrics["shards"], *self.metrics.get("targets", [])]}

    @property
    def names_tables(self) -> bool:
        """Whether the run names the tables of its shards; a released run may not, to keep its promise of privacy."""
        return UNTOLD not in self.tables

    @property
    def trained_on(self) -> list[str] | None:
        """The digests of all shards that the run and the runs before it were trained on; None if not all are known."""
        own = [lot.get("digest") for lot in [*self.metrics["shards"], *self.metrics.get("targets", [])]]
        before = self.metrics.get("trained_before", None if self.metrics.get("from_run") else [])
        return None if before is None or not all(own) else sorted({*own, *before})

    def check_shards(self, shards: Shards) -> None:
        """Raise `WrongTable` unless the shards are, or may be, of a table whose shards the run was trained on."""
        if not any(may_be_same(shards.manifest.table, table) for table in self.tables):
            raise WrongTable(
                f"{shards.path} was encoded with table {shards.manifest.table}; the run was trained on "
                f"{', '.join(sorted(self.tables))}",
                hint="shards of the run's own table",
            )

    def check_only_table(self, fingerprint: str, *, hint: str) -> None:
        """Raise `WrongTable` unless this is, or may be, the only table whose shards the run was trained on."""
        if not all(may_be_same(fingerprint, table) for table in self.tables):
            raise WrongTable(
                f"{self.path} was trained on shards of table {', '.join(sorted(self.tables))}; {fingerprint} was given",
                hint=hint,
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
