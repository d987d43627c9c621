"""The trainer's verbs on runs: evaluate, generate, translate. Only `ult generate --table` needs the table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, key_of
from ult.cli.options import Force, Place, RunFolder, cells_of, path_or_address
from ult.host.free import check_free


def evaluate(
    run: RunFolder,
    shards: Annotated[
        list[Place],
        typer.Argument(
            help="Shards folders of the run's vocabulary, here or at an address.",
            show_default=False,
            metavar="SHARDS...",
            parser=path_or_address,
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    batch_size: Annotated[int, typer.Option(help="Blocks or records at once.")] = 16,
    targets: Annotated[
        list[Path] | None, typer.Option(help="seq2seq: shards whose records go with those of SHARDS, row by row.")
    ] = None,
    beams: Annotated[int, typer.Option(help="seq2seq: beginnings of a target that the search keeps at a time.")] = 1,
    bag: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="SHARDS",
            help="classify, regress: the shards the run was trained on; a bag of their ids is fitted, to be beside it.",
        ),
    ] = None,
    ngrams: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="SHARDS",
            help="lm: the shards the run was trained on; n-grams of their ids are counted, to be beside it.",
        ),
    ] = None,
) -> None:
    """Measure how well a run predicts shards: bits per byte of the original data, accuracy, or exact matches."""
    from rich import print_json

    from ult.cli.console import counting, facts, note
    from ult.trainer.evaluation import evaluate as measure

    with counting("evaluating"):
        found = measure(run, shards, targets=targets, beams=beams, bag=bag, ngrams=ngrams, batch_size=batch_size)
    for line in found.ignored:
        note(line)
    if json:
        print_json(found.to_json())
        return
    facts(found.facts())
    for line in found.remarks():
        note(line)


def generate(
    run: RunFolder,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The shards to write; with --table, any output of `ult decode`.")
    ],
    n: Annotated[int, typer.Option("-n", help="Records to write, for each prompt if there are any.")] = 1,
    table: Annotated[
        Path | None, typer.Option("--table", "-t", help="The owner's table, to decode what the run writes.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Text that every record starts with; needs --table.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Shards of the run's table: continue the first ids of each record.")
    ] = None,
    prefix_ids: Annotated[
        int | None,
        typer.Option(help="With --prompts: ids of each record to continue; by default half the run's context."),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=CELL",
            help="Of records of fields, with --table: write records that have this cell; repeatable.",
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="With --given: records to draw at most for each that is written.")
    ] = 16,
    max_new: Annotated[
        int | None,
        typer.Option(help="The greatest number of ids to write; by default as many as the run's context holds."),
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="The randomness of what is drawn; 0 takes the likeliest id each time.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest ids.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest ids of this total probability.")] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Draw from ids of at least this share of the likeliest one's probability.")
    ] = None,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1, ids that the record already holds become less likely.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same records.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Records at once.")] = 32,
    grammar: Annotated[
        bool,
        typer.Option(
            help="With --table: write only ids with which the record can be decoded, where the codec can tell."
        ),
    ] = True,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Let a run write records, as shards of ids or, with the owner's table, as data."""
    from ult.cli.console import note, say
    from ult.cli.decode import tell_decoded
    from ult.data.sink import kind_of
    from ult.host.bar import stages
    from ult.owner.handover.generate import generate as write
    from ult.public.shards import SHARDS

    check_free(out, kind_of(out) if table else SHARDS, force=force)
    key = key_of(table, passphrase_file, identity) if table else {}
    with stages("generating") as progress:
        done = write(
            run,
            out,
            n=n,
            table=table,
            **key,
            prompt=prompt,
            prompts=prompts,
            prefix_ids=prefix_ids,
            given=cells_of(given),
            draws=draws,
            max_new=max_new,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
            batch_size=batch_size,
            grammar=grammar,
            force=force,
            progress=progress,
        )
    for line in done.told:
        note(line)
    if done.decoded is None:
        say(f"{out}: {len(done.ids)} records of ids; the owner decodes them: ult decode {out} --prefix -t TABLE")
    else:
        tell_decoded(done.decoded)
    say(done.pace)


def translate(
    run: RunFolder,
    sources: Annotated[list[Path], typer.Argument(help="Shards folders of the run's vocabulary.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The shards to write; the owner of the targets' table decodes them.")
    ],
    beams: Annotated[
        int, typer.Option(help="Beginnings that the search keeps at a time; 1 takes the likeliest id each time.")
    ] = 1,
    best: Annotated[int, typer.Option(help="Targets to write for each source, the likeliest first.")] = 1,
    max_new: Annotated[
        int | None, typer.Option(help="The greatest number of ids to write; by default the run's context.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Sources at once.")] = 32,
    force: Force = False,
) -> None:
    """Let a run of task seq2seq write the likeliest targets of sources."""
    from ult.cli.console import counting, note, say
    from ult.trainer.translation import translate as write

    with counting("translating"):
        done = write(run, sources, out, beams=beams, best=best, max_new=max_new, batch_size=batch_size, force=force)
    say(f"{out}: {done.targets} records of ids; the owner decodes them: ult decode {out} --prefix -t TABLE")
    for line in done.remarks():
        note(line)
