"""`ult audit code`: attacks on the code of shards or of a run, as an adversary; scored by the owner's table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ult.cli.audit.model import write_json
from ult.cli.keys import Identities, PassphraseFile, load_table
from ult.cli.options import Column, Force
from ult.errors import InvalidConfig, WrongTable
from ult.host.free import check_free

if TYPE_CHECKING:
    from ult.audit.code.evidence import Coded
    from ult.owner.table import Table


def code(
    out: Annotated[Path, typer.Option("--json", help="The file to write.")],
    shards: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Shards folders of one table, attacked together; without any, what --run writes.", show_default=False
        ),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(help="Public records of the same kind, in any form that `ult fit` reads; repeatable."),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="A run on the table, held by an adversary.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="With --run and no shards: records to let it write.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same records.")] = 0,
    start: Annotated[
        Path | None, typer.Option("--from", help="The run that --run was aligned or trained on from: match their rows.")
    ] = None,
    start_table: Annotated[
        Path | None, typer.Option("--from-table", help="The table of --from, known to the adversary.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", "-t", help="The table of the ids, to score by; no attack reads it.")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="A file, mode 0600, for passages that the best attack read, beside the truth: yours alone."),
    ] = None,
    column: Column = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Attack a code, as whoever holds shards or a model and public data would; score it by the table."""
    from ult.audit.code.attack import best
    from ult.audit.code.telling import MODALITIES
    from ult.audit.seal import sealed
    from ult.audit.subject import of_code, of_reference
    from ult.cli.console import counting, note, say
    from ult.codecs import codec_class
    from ult.public.run import Run

    if (start is None) != (start_table is None) or (start is not None and run is None):
        raise InvalidConfig(
            "rows are matched of two runs, with the table of the first", hint="--run, --from, --from-table"
        )
    if not reference and start is None:
        raise InvalidConfig("the adversary knows nothing; expected public records", hint="--reference PUBLIC")
    if pairs is not None and (table is None or not reference):
        raise InvalidConfig(
            "passages are read by public records, and shown by the table", hint="--reference, --table, or no --pairs"
        )
    for path in (out, pairs):
        if path is not None:
            check_free(path, force=force)
    truth = load_table(table, passphrase_file, identity) if table is not None else None
    ids, made = _held(shards, run, samples, seed, truth)
    if truth is not None and truth.fingerprint != made["table"]:
        raise WrongTable(
            f"{_named(shards) or run} was encoded with table {made['table']}; {table} is {truth.fingerprint}",
            hint="--table with the table that `ult encode` used",
        )
    if pairs is not None and truth is not None and truth.codec.modality not in MODALITIES:
        raise InvalidConfig(f"{truth.codec.id} has no passages to read; expected text or molecules", hint="no --pairs")
    public = _public(reference, made["codec"], column) if reference else []
    top = _Top()
    with counting("attacking"):
        attacks = [] if truth is None or not public else _attacked(ids, public, truth, top, plaintext=bool(shards))
    if truth is not None and run is not None and start is not None and start_table is not None:
        attacks.append(_matched(ids, run, start, load_table(start_table, passphrase_file, identity), truth))
    units = sum(map(len, ids))
    found: dict[str, Any] = {
        "format": "ult-audit-code/2",
        "subject": of_code(made["table"], made["shards"], None if run is None else Run.open(run)),
        "codec": made["codec"],
        "records": len(ids),
        "units": units,
        "samples": None if shards else len(ids),
        "reference": of_reference(public, codec_class(made["codec"])()) if public else None,
        "scored": truth is not None,
        "attacks": attacks,
        "best": best(attacks),
    }
    write_json(out, found if truth is None else sealed(found, truth))
    if pairs is not None and truth is not None:
        _write_pairs(pairs, top, truth, found["subject"], force=force)
    if truth is None:
        say(f"{out}: {units:,} ids, {len(public):,} public records; no attack is scored")
        note("what an attack recovers only the owner can know: --table with the table that `ult encode` used")
    else:
        say(f"{out}: {len(attacks)} attacks on {units:,} ids{_told(found['best'])}")


def _told(top: dict[str, Any] | None) -> str:
    """Return what the best attack by public data read."""
    if top is None:
        return ""
    low, high = top["occurrences_interval"]
    return (
        f"; the best by public data, {top['name']} of {top['units']:,} ids, reads {top['occurrences']:.1%} "
        f"({low:.1%} to {high:.1%}) of at most {top['ceiling']:.1%}; blind {top['blind']:.1%}"
    )


def _held(
    shards: list[Path] | None, run: Path | None, samples: int, seed: int, truth: Table | None
) -> tuple[list[Any], dict[str, Any]]:
    """Return the ids of shards, or those that a run writes, and the codec, table and shards that they are of."""
    if shards:
        from ult.public.shards import Shards

        opened = [Shards(path) for path in shards]
        told = opened[0].manifest
        for one in opened:
            if one.manifest.table != told.table:
                raise WrongTable(
                    f"{one.path} was encoded with table {one.manifest.table}; {opened[0].path} with {told.table}",
                    hint="an audit for each table",
                )
        ids = [ids for one in opened for ids in one.ids()]
        return ids, {"codec": told.codec, "table": told.table, "shards": opened}
    if run is None:
        raise InvalidConfig("there are no ids to attack; expected shards, or a run to write some", hint="--run RUN")
    from ult.audit.code.sampled import draw
    from ult.cli.console import counting
    from ult.cli.trainer import note_ignored

    note_ignored(run)
    with counting("generating") as advance:
        ids, made = draw(run, samples=samples, truth=truth, seed=seed, advance=lambda records, _: advance(records))
        return ids, {**made, "shards": []}


def _named(shards: list[Path] | None) -> str:
    return ", ".join(map(str, shards or ()))


def _public(reference: list[str], codec: str, column: str | None) -> list[Any]:
    from ult.codecs import codec_class
    from ult.data import open_source

    kind = codec_class(codec)
    records = open_source(reference, modality=kind.modality, column=column).records(kind())
    if not records:
        raise InvalidConfig("the reference holds no records", hint="--reference with public data of the same kind")
    return records


class _Top:
    """Remembers what the attack guessed that reads most of all, at whatever size."""

    def __init__(self) -> None:
        self.found: dict[str, Any] | None = None
        self.named: list[bytes | None] = []
        self.target: Coded | None = None

    def keep(self, found: dict[str, Any], named: list[bytes | None], target: Coded) -> None:
        if self.found is None or found["occurrences"] >= self.found["occurrences"]:
            self.found, self.named, self.target = found, named, target


def _write_pairs(path: Path, top: _Top, truth: Table, subject: dict[str, Any], *, force: bool) -> None:
    """Write what the best attack read beside the truth, for the owner alone."""
    from json import dumps

    from ult.audit.code.telling import most_telling
    from ult.cli.console import count, note
    from ult.owner import keyfile

    if top.found is None or top.target is None:
        raise InvalidConfig("no attack by public records was tried", hint="--reference with public data")
    told = most_telling(top.named, top.target, truth, subject=subject, attack=top.found["name"])
    keyfile.write(path, (dumps(told, indent=1) + "\n").encode("ascii"), force=force)
    note(f"{path}: {count(len(told['pairs']), 'passage')} of the records themselves, in the clear; give it to nobody")


def _attacked(ids: list[Any], public: list[Any], truth: Table, top: _Top, *, plaintext: bool) -> list[dict[str, Any]]:
    """Run all attacks by public records, each said as it ends; `top` keeps what the best guessed."""
    from ult.audit.code.adversary import Adversary
    from ult.audit.code.attack import attack

    adversary, told = Adversary.fitted(truth, public), Adversary(truth, public)
    tried = attack(ids, adversary=adversary, truth=truth, told=told, plaintext=plaintext, keep=top.keep)
    return [_said(one) for one in tried]


def _matched(ids: list[Any], run: Path, start: Path, known: Table, truth: Table) -> dict[str, Any]:
    """Run the attack by embedding rows."""
    from ult.audit.code.embedding_rows import attack_rows
    from ult.audit.code.evidence import Coded

    return _said(attack_rows(Coded.of(ids), run=run, start=start, known=known, truth=truth))


def _said(one: dict[str, Any]) -> dict[str, Any]:
    from ult.cli.console import say

    rebuilt = f"; rebuilt at {one['psnr']:.1f} dB, blind {one['psnr_blind']:.1f} dB" if "psnr" in one else ""
    say(
        f"{one['name']}, {one['units']:,} ids: {one['occurrences']:.1%} read, {one['types']:.1%} of the "
        f"{one['kinds']:,} different ones, {one['patches']:.1%} of whole patches; blind {one['blind']:.1%}{rebuilt}"
    )
    return one
