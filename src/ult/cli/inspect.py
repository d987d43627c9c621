"""`ult inspect`: facts on a table, a shards folder or a run; a record only to who has its table."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ult.cli.keys import Identities, PassphraseFile, load_table
from ult.cli.options import Force
from ult.cli.plot import draw_line, draw_ranks

if TYPE_CHECKING:
    from ult.public.guarantee import Guarantee
    from ult.public.run import Run


_NAMED = 3  # shards and runs of a folder that a hint names, at most
_AT_ONCE = 2**20  # ids that are counted at a time


def inspect(
    path: Annotated[Path, typer.Argument(help="A table, a shards folder, a run, or gone.rows.", show_default=False)],
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    plot: Annotated[Path | None, typer.Option(help="Also save the plot as this .png or .svg file.")] = None,
    force: Force = False,
    table: Annotated[
        Path | None, typer.Option("--table", "-t", help="For the owner: show what the ids of a record of shards say.")
    ] = None,
    record: Annotated[
        int | None, typer.Option(min=0, help="With --table: the number of the record, from 0, which is the default.")
    ] = None,
    lineage: Annotated[
        bool,
        typer.Option(
            "--lineage",
            help="Of gone.rows, which `ult forget find` wrote, or of shards: list all that still holds them.",
        ),
    ] = False,
    among: Annotated[
        list[Path] | None,
        typer.Option(help="With --lineage: a folder to look in; repeatable; by default the one that PATH lies in."),
    ] = None,
) -> None:
    """Show facts on a table, shards or a run: sizes, ranks, ids per byte, and a plot. With --table, one record.

    With --lineage: what was made of records, and whether it still holds them, from manifests and digests alone.
    """
    from ult.errors import InvalidConfig, MissingSource
    from ult.host.atomic import recover
    from ult.host.near import near_file
    from ult.public.manifest import is_shards

    if among and not lineage:
        raise InvalidConfig("--among was given without --lineage; expected both", hint="--lineage")
    if record is not None and table is None:
        raise InvalidConfig(
            "--record was given without --table, without which no record is shown; expected both",
            hint=f"ult inspect SHARDS --table TABLE --record {record}",
        )
    if plot is not None:
        _check_place(plot, force=force)
    recover(path)
    if not path.exists():
        raise MissingSource(f"{path} is not there; expected a table, a shards folder or a run", hint=near_file(path))
    if lineage:
        _lineage(path, among or [path.absolute().parent])
    elif table is not None:
        _record(path, table, record or 0, passphrase_file, identity, plot)
    elif is_shards(path):
        _shards(path, plot)
    elif (path / "metrics.json").is_file():
        _run(path, plot)
    elif _is_gone(path):
        _gone(path)
    elif path.is_dir():
        raise MissingSource(
            f"{path} holds neither a .manifest.json nor a metrics.json; expected shards or a run", hint=_inside(path)
        )
    elif _is_records(path):
        raise InvalidConfig(
            f"{path} holds records; expected a table that encodes some, shards or a run",
            hint=f"ult describe {shlex.quote(str(path))} says what its columns hold",
        )
    else:
        _table(path, passphrase_file, identity, plot)


def _lineage(path: Path, among: list[Path]) -> None:
    """Print what of the folders `among` holds records, does not, or cannot be told."""
    from ult.cli.console import note, say
    from ult.trainer.forgetting.lineage import lineage

    found = lineage(path, among)
    order = [name for name, _ in found.facts()]
    for one in sorted(found.entries, key=lambda one: (order.index(one.verdict), one.path)):
        say(f"{one.verdict:<16}{one.kind:<13}{one.path}: {one.why}")
    say("; ".join(f"{verdict}: {n}" for verdict, n in found.facts()))
    for remark in found.remarks():
        note(remark)


def _is_gone(path: Path) -> bool:
    """Return whether a file is one of records to forget."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b'"ult-gone/' in file.read(64)


def _is_records(path: Path) -> bool:
    """Return whether a file is called as files of records are; a table is age, or JSON, whatever its name."""
    from ult.data.opening import SUFFIXES

    with path.open("rb") as file:
        start = file.read(16)
    return path.suffix.lower() in SUFFIXES["record"] and not start.startswith((b"{", b"age-"))


def _gone(path: Path) -> None:
    from ult.cli.console import facts
    from ult.public.gone import Gone

    facts([("records to forget, of shards", str(path)), *Gone.read(path).facts()])


def _inside(folder: Path) -> str:
    """Return a hint with what can be inspected in a folder, or with what writes it."""
    from ult.public.manifest import is_shards

    found = [one for one in sorted(folder.iterdir()) if is_shards(one) or (one / "metrics.json").is_file()]
    if not found:
        return "ult encode writes shards, and ult train a run"
    commands = [f"ult inspect {shlex.quote(str(one))}" for one in found[:_NAMED]]
    return " or ".join(commands) + (f"; {len(found) - _NAMED:,} more are there" if len(found) > _NAMED else "")


def _check_place(plot: Path, *, force: bool) -> None:
    from ult.errors import OutputError
    from ult.host.free import check_free

    if plot.suffix not in (".png", ".svg"):
        raise OutputError(f"{plot} has suffix {plot.suffix!r}; expected .png or .svg", hint="--plot ids.png")
    check_free(plot, force=force, option="--plot")


def _record(
    path: Path,
    table: Path,
    record: int,
    passphrase_file: Path | None,
    identities: Sequence[Path] | None,
    plot: Path | None,
) -> None:
    from ult.cli.console import note
    from ult.cli.keys import key_of
    from ult.cli.picture import draw, tell
    from ult.owner.picture import picture

    found = picture(path, table, record, **key_of(table, passphrase_file, identities))
    tell(found, str(path))
    if plot is not None:
        draw(found, plot)
        note(f"{plot} shows the record in the clear, to you alone")


def _table(path: Path, passphrase_file: Path | None, identities: Sequence[Path] | None, plot: Path | None) -> None:
    import numpy as np

    from ult.cli.console import facts, say
    from ult.owner import keyfile

    table = load_table(path, passphrase_file, identities)
    counts = table.counts
    used = np.sort(counts[counts > 0])[::-1]  # by rank, even if ids are in a secret order
    lengths = table.lengths
    facts(
        [
            ("table", str(path)),
            ("encrypted", "yes (age)" if keyfile.is_encrypted(path) else "NO"),
            ("codec", f"{table.codec.id} {_shown(table.codec.config())}"),
            ("fingerprint", table.fingerprint),
            ("ids", f"{table.size:,} of a vocabulary of {table.vocabulary.size:,}"),
            ("fitted on", f"{table.records:,} records"),
            ("phrases held by", f"at least {table.min_records:,} records each"),
            *_promised(table.privacy, table.public),
            ("order of ids", "secret" if table.secret_ids else "the ranks of their phrases"),
            *([("extends", f"public table {base.table}, {base.ids:,} ids")] if (base := table.base) else []),
            *([("updates", f"table {table.updated_from}")] if table.updated_from else []),
            ("value columns", len(table.fields)),
            ("ids that occurred", len(used)),
            ("longest phrase", f"{int(lengths.max())} symbols"),
            ("symbols per id", f"{float((lengths * counts).sum() / max(1, counts.sum())):.3f} (where it was fitted)"),
        ]
    )
    draw_ranks(used, plot)
    if len(used):
        say(f"half of all occurrences: the first {int(np.searchsorted(used.cumsum(), used.sum() / 2)) + 1:,} ranks")


def _shown(config: dict[str, Any]) -> dict[str, Any]:
    """Return a codec's config with lists of lists of numbers by their sizes."""
    columns = config.get("columns")
    if not isinstance(columns, list):
        return config
    sizes = sorted({len(levels) for levels in columns})
    return {**config, "columns": f"{len(columns)} of {sizes[0]} to {sizes[-1]} levels"}


def _promised(privacy: Guarantee | None, public: bool) -> list[tuple[str, str]]:
    """Return a line on what the table promises to the records that it was fitted on."""
    if public:
        return [("privacy of the table", "none is needed: its owner declared that it was fitted on public records")]
    if privacy is None:
        return []
    what = f"epsilon {privacy.epsilon:g}, delta {privacy.delta:.2g}; at most {privacy.patches} patches of a record"
    return [("privacy of the table", what)]


def _shards(path: Path, plot: Path | None) -> None:
    import numpy as np

    from ult.cli.console import count, facts, size
    from ult.public.id_columns import ragged_ids
    from ult.public.shards import Shards

    shards = Shards(path)
    manifest = shards.manifest
    counts = np.zeros(manifest.vocabulary_size, np.int64)
    longest = 0
    for number in range(len(manifest.parts)):
        for rows in shards.batches(number):
            ids, ends = ragged_ids(rows)
            for first in range(0, len(ids), _AT_ONCE):
                counts += np.bincount(ids[first : first + _AT_ONCE], minlength=len(counts))
            longest = max(longest, int(np.diff(ends, prepend=0).max(initial=0)))
    facts(
        [
            ("shards", f"{path}, {len(manifest.parts)} parts, verified"),
            ("codec", manifest.codec),
            ("table", manifest.table),
            ("vocabulary", manifest.vocabulary_size),
            ("records", manifest.rows),
            ("ids", f"{manifest.ids:,}, {np.count_nonzero(counts):,} different; longest record {longest:,}"),
            ("original data", size(manifest.bytes)),
            ("ids per byte", f"{manifest.ids / manifest.bytes:.4f}" if manifest.bytes else "unknown"),
            ("in the clear", ", ".join(manifest.kept) or "nothing"),
            ("digest", manifest.digest),
            *((f"taken out {stone.when}", count(stone.rows, "record")) for stone in manifest.forgotten),
            *_promised(manifest.privacy, manifest.public_table),
        ]
    )
    draw_ranks(np.sort(counts[counts > 0])[::-1], plot)


def _run(path: Path, plot: Path | None) -> None:
    import numpy as np

    from ult.cli.console import facts
    from ult.public.run import Run

    run = Run.open(path)
    metrics: dict[str, Any] = dict.fromkeys(("model", "from_run", "embeddings", "parameters", "steps", "loss"))
    metrics |= run.metrics
    facts(
        [
            ("run", str(path)),
            ("task", run.task + (f" ({len(run.classes)} classes)" if run.classes else "")),
            ("model", metrics["model"] or f"from {metrics['from_run']}"),
            *_rows(run, metrics),
            ("parameters", metrics["parameters"] or "unknown"),
            _trained(run, metrics),
            *_members(run),
            *_forgotten(metrics),
            *([("digest", run.digest())] if run.members or (run.path / "model.safetensors").is_file() else []),
            *_guaranteed(metrics),
            *((name, "; ".join(map(_summary, metrics[name]))) for name in ("shards", "targets") if metrics.get(name)),
        ]
    )
    if metrics["loss"]:
        steps, losses = np.array(metrics["loss"]).T
        draw_line(losses, f"training loss in nats, step {int(steps[0])} to {int(steps[-1])}", plot, log_x=False)


def _rows(run: Run, metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the embedding rows are, unless they began with the model."""
    told = metrics["from_run"] or run.withheld or run.per_table
    return [("embedding rows", metrics["embeddings"] or "unknown")] if told else []


def _members(run: Run) -> list[tuple[str, str]]:
    """Return what a run is made of, or of what it is made: members, a part of the records, a teacher."""
    told, part = run.metrics.get("members") or {}, run.metrics.get("part")
    shares = ", ".join(f"{weight / run.members:.2f}" for weight in run.weights) if run.members else ""
    of = f"on {told['of']} records" if told.get("of") else f"shares {shares}"
    rows = [("members", f"{run.members} runs in members/, {of}")] if run.members else []
    rows += [("part of the records", f"{part.get('part')}, {part.get('records', 0):,} records")] if part else []
    taught = [f"{one['run']} ({one.get('members', 1)} averaged)" for one in run.metrics.get("distilled", [])]
    if averaged := run.metrics.get("averaged"):
        rows.append(("averaged of", ", ".join(one["run"] for one in averaged)))
    rows += [("compatible with", one["run"]) for one in run.metrics.get("compatible", [])]
    if replay := run.metrics.get("replay"):
        rows.append(("replayed", f"{replay['name']}, {replay['share']:.0%} of each batch"))
    return rows + ([("distilled from", ", ".join(taught))] if taught else [])


def _forgotten(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what was forgotten, and by which method; one that guarantees nothing is not called so."""
    told = metrics.get("forgotten")
    if not told:
        return []
    records, how = f"{told['rows']:,} records", f"{told['method']}, {told['when']}"
    if told["method"] not in ("exact", "guaranteed"):
        return [("trained against", f"{records}, {how}: no guarantee, it still holds them")]
    promise = f"; base: epsilon {told['epsilon']:.3g} for each" if told.get("epsilon") is not None else ""
    table = told.get("table", "unknown").replace("unchanged", "of before")
    return [("forgotten", f"{records}, {how}{promise}; table {table}")]


def _trained(run: Run, metrics: dict[str, Any]) -> tuple[str, str]:
    if adopted := metrics.get("adopted"):
        return "trained", f"by another trainer; unknown: {'; '.join(adopted['unknown'])}"
    steps = f"{metrics['steps'] or 0:,} steps of {metrics.get('batch_size')} x {run.context} ids"
    return "trained", f"{run.members} members, each {steps}" if run.members else steps


def _summary(shards: dict[str, Any]) -> str:
    return f"{shards['codec']}, table {shards['table']}, {shards.get('rows', 0):,} records"


def _guaranteed(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Return lines on the run's promise to its records; without one, its speed, which a promise hides.

    The speed reveals the records' lengths.
    """
    privacy = metrics.get("privacy")
    if privacy is None:
        speed = metrics.get("ids_per_second")
        return [("speed", f"{speed:,.0f} ids a second on {metrics.get('device')}")] if speed is not None else []
    from ult.public.guarantee import composed

    account = composed(metrics)
    if account is None:
        return []
    covers = account.covers("each record") + (
        "" if privacy.get("secure_random") else "; NOT from a secure source of noise"
    )
    rows = [("privacy", f"epsilon {account.epsilon:.3g}, delta {account.delta:.2g} {covers}")]
    rows += [("privacy, summed", account.sums)] if account.sums else []
    return rows + [("privacy, limits", condition) for condition in account.conditions]
