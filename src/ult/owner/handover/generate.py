"""`ult.generate`: let a run write records, as ids or, with the owner's table, as data."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ult.errors import InvalidConfig, OutputError
from ult.host import arguments
from ult.host.arguments import KEYS, checked, integer, number, path, switch
from ult.host.bar import shown
from ult.host.free import check_free
from ult.host.progress import Progress, on_stderr
from ult.host.shown import Facts, Shown, count
from ult.public import folders
from ult.public.folders import Folder
from ult.public.run import Run
from ult.public.shards import SHARDS
from ult.trainer.generate import Grammar, read_prompts, write_generated
from ult.trainer.generate import generate as write
from ult.trainer.models.generation import ignored

if TYPE_CHECKING:
    from ult.owner.decode import Decoded
    from ult.owner.inputs import Secret
    from ult.owner.keyfile import Identities, Passphrase
    from ult.owner.table import Table

RECORDS = (".csv", ".jsonl", ".npz", ".parquet", ".tsv", ".txt")  # suffixes of files of records


@dataclass(frozen=True, slots=True, repr=False)
class Generated(Shown):
    """Records that a run wrote.

    `ids` holds the ids of each record, (n,) uint32 each. With a table, `records` holds the decoded records, each from
    the longest prefix that decodes, without those of which no prefix does; `decoded` says how many decode as they are.
    `path` is the output, or None. The run wrote `written` ids, not counting the prompts, in `seconds`.
    """

    ids: tuple[NDArray[np.uint32], ...]
    records: tuple[Any, ...] | None
    decoded: Decoded | None
    path: Path | None
    written: int
    seconds: float
    told: tuple[str, ...] = ()

    @property
    def pace(self) -> str:
        """The number of ids written and ids per second, as a phrase."""
        rate = self.written / max(self.seconds, 1e-9)
        return f"{self.written:,} ids written in {self.seconds:.1f} s, {rate:,.0f} ids/s"

    def facts(self) -> Facts:
        """Return the number of records, the pace, how many decode, and the output's path; never a record."""
        decoded = self.decoded
        whole = (
            [("decode as they are", f"{decoded.whole:,}"), ("cut to a prefix", f"{decoded.cut:,}")] if decoded else []
        )
        place = [("written to", str(self.path))] if self.path else []
        return [("records", f"{len(self.ids):,}"), ("pace", self.pace), *whole, *place]

    def __repr__(self) -> str:
        decoded = f"; {self.decoded.records:,} decode" if self.decoded else ""
        return f"<Generated: {count(len(self.ids), 'record')} of ids{decoded}>"

    def remarks(self) -> list[str]:
        """Return sentences that the reader of the records should know."""
        return [*self.told, *(self.decoded.remarks() if self.decoded else [])]


def _table(name: str, value: Any) -> Any:
    """Check for a table; only then is the owner's side imported."""
    from ult.owner.inputs import table_argument

    return table_argument(name, value)


def _prompts(name: str, value: Any) -> Any:
    """Check for shards, or for sequences of ids, at least one."""
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes):
        if not len(value):
            raise InvalidConfig(f"{name} is empty; expected at least one sequence of ids", hint=f"no {name}, for none")
        return value
    return folders.shards_argument(name, value)


def _given(name: str, value: Any) -> Any:
    """Check for cells by the names of columns: texts, or None for null."""
    value = arguments.by_name("the cells of columns, such as {'age': '70'}")(name, value)
    for column, cell in value.items():
        if cell is not None:
            arguments.text("the cell of a column as a text, or None for null")(f"{name}[{column!r}]", cell)
    return value


@checked(
    run=folders.run_argument,
    out=path,
    n=integer(),
    table=_table,
    prompt=arguments.text(),
    prompts=_prompts,
    prefix_ids=integer(),
    given=_given,
    draws=integer(1),
    max_new=integer(),
    temperature=number,
    top_k=integer(),
    top_p=number,
    min_p=number,
    repetition_penalty=number,
    seed=integer(),
    batch_size=integer(),
    grammar=switch,
    **KEYS,
    force=switch,
    progress=arguments.call,
)
@shown("generating")
def generate(
    run: Run | str | Path,
    out: str | Path | None = None,
    *,
    n: int = 1,
    table: Secret | None = None,
    prompt: str | None = None,
    prompts: Folder | Sequence[ArrayLike] | None = None,
    prefix_ids: int | None = None,
    given: Mapping[str, str | None] | None = None,
    draws: int = 16,
    max_new: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    batch_size: int = 32,
    grammar: bool = True,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
    force: bool = False,
    progress: Progress = on_stderr,
) -> Generated:
    """Let a run write records, as ids or, with the owner's `table`, as data.

    The arguments are those of `ult generate`. The run writes `n` records, or `n` for each of the `prompts`: sequences
    of ids (n,), or a shards folder, of which the run continues the first `prefix_ids` ids of each record. `prompt` is
    the beginning of a record as text, which needs the table. `grammar` restricts the run to ids that the table's codec
    can decode.

    With `given`, cells by column, all records have exactly these cells, and the others are as the run writes them in
    records that have those, whatever the order of the columns. At most `draws` times `n` records are drawn for that,
    each weighed by how likely the run finds the given cells in it.

    With `out`, the records are written there: as shards, or with a table as `ult.decode` writes records.

    Raises `InvalidConfig`, `WrongTable`, `WrongKey`, `CorruptSymbols`, `TrainingError`, `OutputExists` or
    `OutputError`.

    For example, after `ult.train`:

        written = ult.generate(run, n=3, table=fitted.table, max_new=20)
        written.records
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    place = None if out is None else Path(out)
    if place is not None:
        _check_free(place, force=force, decodes=table is not None)
    key, told = None, list[str]()
    if table is not None:
        from ult.owner.handover.belonging import check_table
        from ult.owner.inputs import secret

        key = secret(table, passphrase, identities)
        told += check_table(opened, key)
        opened = opened.of_tables({key.fingerprint})
    elif isinstance(prompts, str) or not isinstance(prompts, Sequence | np.ndarray | None):
        opened = opened.of_tables({folders.opened(prompts).manifest.table})
    starts = _prompt_ids(opened, key, prompt, prompts, prefix_ids)
    if key is None and not given and place is not None and place.suffix.lower() in RECORDS:
        raise OutputError(
            f"{place} is named as a file of records, and without a table ids are written, a folder of shards",
            hint="--table T.ult for records, or another --out",
        )
    clock = _Clock(progress)
    options: dict[str, Any] = {
        "n": n,
        "max_new": max_new,
        "temperature": temperature,
        "seed": seed,
        "batch_size": batch_size,
        "modality": None if key is None else key.codec.family,
        "advance": clock,
    }
    cuts: dict[str, Any] = {"top_k": top_k, "top_p": top_p, "min_p": min_p, "repetition_penalty": repetition_penalty}
    if given:
        _check_whole(cuts, temperature, begun=prompt is not None or prompts is not None, grammar=grammar)
        records, why = _conditioned(opened, key, given, draws, options)
    else:
        allowed, why = _grammar(key, place) if key is not None and grammar else (None, [])
        records = write(opened, starts, grammar=allowed, **options, **cuts)
    told += [*why, *ignored(opened.path)]
    said, decoded = None, None
    if key is not None:
        said, decoded = _decoded(records, key, place, str(opened.metrics["shards"][0]["column"]), force=force)
    elif place is not None:
        write_generated(opened, records, place, force=force)
    return Generated(tuple(records), said, decoded, place, clock.ids, clock.seconds, tuple(told))


def _check_free(out: Path, *, force: bool, decodes: bool) -> None:
    """Raise `OutputExists` unless the output, shards or decoded records, can be written."""
    if not decodes:
        check_free(out, SHARDS, force=force)
        return
    from ult.data.sink import kind_of

    check_free(out, kind_of(out), force=force)


@dataclass(slots=True)
class _Clock:
    """Counts ids and seconds from its first call on, which is made once the model is loaded."""

    progress: Progress
    ids: int = 0
    started: float | None = None
    seconds: float = field(default=0.0)

    def __call__(self, records: int, ids: int) -> None:
        self.started = time.perf_counter() if self.started is None else self.started
        self.ids += ids
        self.seconds = time.perf_counter() - self.started
        self.progress("generating", records)


def _decoded(
    many: Sequence[NDArray[np.uint32]], table: Table, path: Path | None, column: str, *, force: bool
) -> tuple[tuple[Any, ...], Decoded]:
    from ult.owner.constrained import read_written
    from ult.owner.decode import Decoded, write_decoded

    written = read_written(many, table)
    if path is not None:
        return tuple(written.records), write_decoded(many, table, path, column=column, force=force)
    return tuple(written.records), Decoded(None, len(many), written.whole, written.cut, prefix=True)


def _check_whole(cuts: Mapping[str, Any], temperature: float, *, begun: bool, grammar: bool) -> None:
    """Raise `InvalidConfig` for what does not go with given cells, which need the run's own probabilities."""
    if begun or not grammar:
        other = "a prompt" if begun else "--no-grammar"
        raise InvalidConfig(f"given cells and {other} were both asked for; expected one of them")
    plain = {"top_k": None, "top_p": None, "min_p": None, "repetition_penalty": 1.0}
    if others := [name for name, value in cuts.items() if value != plain[name]]:
        raise InvalidConfig(
            f"{others[0]} changes how likely the given cells are; expected the run's own probabilities",
            hint="--given without it; --temperature may be any above 0",
        )
    if temperature <= 0:
        raise InvalidConfig(f"temperature is {temperature:g}; expected one above 0 to draw records with given cells")


def _conditioned(
    run: Run, table: Table | None, given: Mapping[str, str | None], draws: int, options: Mapping[str, Any]
) -> tuple[list[NDArray[np.uint32]], list[str]]:
    """Return records of ids that have the given cells, and how they were drawn."""
    if table is None:
        raise InvalidConfig("the given cells are encoded with the owner's table", hint="--table T.ult")
    from ult.owner.given import GivenCells
    from ult.owner.handover.conditioned import draw

    drawn = draw(run, GivenCells(table, given), draws=draws, **options)
    return drawn.records, drawn.remarks()


def _grammar(table: Table, out: Path | None) -> tuple[Grammar | None, list[str]]:
    """Return the grammar that restricts a run to ids that decode, to `out`; or None, and why there is none."""
    from ult.owner.constrained import TableGrammar

    try:
        return TableGrammar.of_file(table, out), []
    except InvalidConfig as error:
        return None, [error.what]


def _prompt_ids(
    run: Run,
    table: Table | None,
    prompt: str | None,
    prompts: Folder | Sequence[ArrayLike] | None,
    first: int | None,
) -> Sequence[ArrayLike]:
    """Return the ids that the run continues: those of a prompt, the first ones of records, or none.

    Raises `InvalidConfig` if the arguments contradict each other or a prompt lacks the table.
    """
    if prompt is not None and prompts is not None:
        raise InvalidConfig("a prompt and shards of prompts were both given; expected one of them")
    if isinstance(prompts, str) or not isinstance(prompts, Sequence | np.ndarray | None):
        first = max(1, run.context // 2) if first is None else first
        return read_prompts(run, folders.opened(prompts), first=first)
    if first is not None:
        raise InvalidConfig("prefix_ids was given without shards of prompts", hint="--prompts SHARDS")
    if prompts is not None:
        return prompts
    if prompt is not None and table is None:
        raise InvalidConfig("a prompt is encoded with the owner's table", hint="--table T.ult")
    return [table.encode(prompt)] if table is not None and prompt is not None else [()]
