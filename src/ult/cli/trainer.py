"""The trainer's verbs on runs: evaluate, generate, translate. Only `generate --table` needs the secret."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ult.cli.keys import Identities, PassphraseFile, load_table
from ult.cli.options import Force, RunFolder
from ult.host.free import check_free

if TYPE_CHECKING:
    from ult.owner.table import Table
    from ult.trainer.generate import Grammar

UNCHECKED = "the run does not name its table, to keep its promise: nothing shows whether that was"


def evaluate(
    run: RunFolder,
    shards: Annotated[list[Path], typer.Argument(help="Shards folders of the run's vocabulary.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    batch_size: Annotated[int, typer.Option(help="Blocks or records at once.")] = 16,
    targets: Annotated[
        list[Path] | None, typer.Option(help="seq2seq: shards whose records go row by row with those of SHARDS.")
    ] = None,
    beams: Annotated[int, typer.Option(help="seq2seq: beginnings that the search for targets keeps.")] = 1,
) -> None:
    """Say how well a run predicts shards: bits per byte of the original data, accuracy, or exact matches."""
    from ult.cli.console import counting, note, out
    from ult.trainer.evaluate import evaluate as measure

    with counting("evaluating"):
        result = measure(run, shards, targets=targets, beams=beams, batch_size=batch_size)
    note_ignored(run)
    if json:
        out.print_json(data=result)
        return
    _show(result)
    if result["table_seen"] is None:
        note(f"{UNCHECKED} these shards'")
    elif not result["table_seen"]:
        note("the run was trained on another table than these shards': its embedding rows do not fit them")


def note_ignored(run: Path) -> None:
    """Say which settings of how to write the run's folder brought, that were not used."""
    from ult.cli.console import note
    from ult.trainer.models.generation import ignored

    for line in ignored(run):
        note(line)


def _show(result: dict[str, Any]) -> None:
    from ult.cli.console import facts

    def measured(name: str, digits: str) -> str:
        value, interval = result[name], result[f"{name}_interval"]
        if value is None:
            return "unknown: the shards hold no original data, or targets are cut to the context"
        return f"{value:{digits}}" + (f"  (95 %: {interval[0]:{digits}} to {interval[1]:{digits}})" if interval else "")

    if result["task"] in ("lm", "seq2seq"):
        tops = [name for name in result if name.startswith("exact_match") and not name.endswith("_interval")]
        rows = [
            *((name.replace("_", " "), measured(name, ".1%")) for name in tops),
            ("bits per byte", measured("bits_per_byte", ".4f")),
            ("bits per id", measured("bits_per_id", ".4f")),
            ("records", result["rows"]),
            ("ids predicted", result["predictions"]),
            ("bytes of data", result["bytes"]),
            *([("truncated", result["truncated"])] if tops else []),
        ]
    else:
        rows = [
            ("accuracy", measured("accuracy", ".1%")),
            ("balanced accuracy", measured("balanced_accuracy", ".1%")),
            ("chance", f"{result['chance']:.1%}"),
            ("records", result["rows"]),
            ("truncated", result["truncated"]),
        ]
    facts(rows)


def generate(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="Shards; with --table, any output of `ult decode`.")],
    n: Annotated[int, typer.Option("-n", help="How many records, or how many for each prompt.")] = 1,
    table: Annotated[
        Path | None, typer.Option("--table", "-t", help="The owner's table: decode what is written.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Text that every record starts with; needs --table.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Shards of the run's table: go on where the first ids of each record end.")
    ] = None,
    prefix_ids: Annotated[
        int | None, typer.Option(help="With --prompts: how many first ids; by default half the run's context.")
    ] = None,
    max_new: Annotated[
        int | None, typer.Option(help="Ids to write at most; by default as many as the run's context holds.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest id each time.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest ids.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest ids of this total probability.")] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Draw from ids of at least this share of the likeliest one's probability.")
    ] = None,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1: make ids that the record holds already less likely.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same records.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Records at once.")] = 32,
    grammar: Annotated[
        bool, typer.Option(help="With --table: only ids that keep a record decodable; where the codec can tell.")
    ] = True,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Let a run write records: as shards of ids, or with the owner's table as data."""
    from ult.cli.console import Pace, counting, say
    from ult.data.sink import kind_of
    from ult.public.shards import SHARDS
    from ult.trainer.generate import generate as write
    from ult.trainer.generate import write_generated

    check_free(out, kind_of(out) if table else SHARDS, force=force)
    secret = load_table(table, passphrase_file, identity) if table else None
    if secret is not None:
        _check_table(run, secret.fingerprint)
    starts = _starts(run, secret, prompt, prompts, prefix_ids)
    with counting("generating") as advance:
        records = write(
            run,
            starts,
            n=n,
            max_new=max_new,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
            batch_size=batch_size,
            modality=None if secret is None else secret.codec.modality,
            grammar=_grammar(secret) if secret is not None and grammar else None,
            advance=(pace := Pace(advance)),
        )
    note_ignored(run)
    if secret is None:
        write_generated(run, records, out, force=force)
        say(f"{out}: {len(records)} records of ids; the owner decodes them: ult decode {out} --prefix -t TABLE")
    else:
        from ult.cli.decode import tell_decoded
        from ult.owner.decode import write_decoded

        tell_decoded(write_decoded(records, secret, out, column=_column(run), force=force))
    say(str(pace))


def _grammar(table: Table) -> Grammar | None:
    from ult.cli.console import note
    from ult.errors import InvalidConfig
    from ult.owner.constrained import TableGrammar

    try:
        return TableGrammar(table)
    except InvalidConfig as error:
        note(error.what)
        return None


def _starts(run: Path, secret: Table | None, prompt: str | None, prompts: Path | None, first: int | None) -> list[Any]:
    """Return what `generate` goes on from: a text, the first ids of records, or a new record."""
    from ult.errors import InvalidConfig
    from ult.public.run import Run
    from ult.trainer.generate import read_prompts

    if prompt is not None and prompts is not None:
        raise InvalidConfig("a prompt and shards of prompts were both given; expected one of them")
    if prompts is not None:
        return read_prompts(run, prompts, first=max(1, Run.open(run).context // 2) if first is None else first)
    if first is not None:
        raise InvalidConfig("prefix_ids was given without shards of prompts", hint="--prompts SHARDS")
    if prompt is not None and secret is None:
        raise InvalidConfig("a prompt is encoded with the owner's table", hint="--table T.ult")
    return [secret.encode(prompt)] if secret is not None and prompt is not None else [()]


def translate(
    run: RunFolder,
    sources: Annotated[list[Path], typer.Argument(help="Shards folders of the run's vocabulary.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Shards; the owner of the targets' table decodes them.")],
    beams: Annotated[
        int, typer.Option(help="Beginnings that the search keeps; 1 takes the likeliest id each time.")
    ] = 1,
    best: Annotated[int, typer.Option(help="Targets to write for each source, the likeliest first.")] = 1,
    max_new: Annotated[int | None, typer.Option(help="Ids to write at most; by default the run's context.")] = None,
    batch_size: Annotated[int, typer.Option(help="Sources at once.")] = 32,
    force: Force = False,
) -> None:
    """Let a run of task seq2seq write the targets of sources."""
    from ult.cli.console import counting, note, say
    from ult.public.run import Run
    from ult.public.shards import SHARDS
    from ult.trainer.datasets.packing import open_shards
    from ult.trainer.translate import translate as write
    from ult.trainer.translate import write_translated

    check_free(out, SHARDS, force=force)
    opened = Run.open(run)
    many = [ids for shards in open_shards(sources, opened.vocabulary) for ids in shards.ids()]
    with counting("translating"):
        written = write(run, many, beams=beams, best=best, max_new=max_new, batch_size=batch_size)
    write_translated(run, written, out, force=force)
    note_ignored(run)
    say(f"{out}: {len(many) * best} records of ids; the owner decodes them: ult decode {out} --prefix -t TABLE")
    if cut := sum(len(ids) >= opened.context for ids in many):
        note(f"{cut} of {len(many)} sources are longer than the run's context of {opened.context} and were cut")


def _check_table(run: Path, fingerprint: str) -> None:
    from ult.cli.console import note
    from ult.errors import WrongTable
    from ult.public.run import Run

    opened = Run.open(run)
    tables = opened.tables
    if not opened.names_tables:
        note(f"{UNCHECKED} {fingerprint}")
    elif fingerprint not in tables:
        raise WrongTable(
            f"{run} was trained on shards of table {', '.join(sorted(tables))}; this one is {fingerprint}",
            hint="--table with the table that `ult encode` used",
        )


def _column(run: Path) -> str:
    from ult.public.run import Run

    return str(Run.open(run).metrics["shards"][0]["column"])
