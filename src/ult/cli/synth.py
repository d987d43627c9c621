"""`ult synth`: synthetic records, under one account of epsilon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.keys import PassphraseFile, asking
from ult.cli.options import Canonical, Columns, Drop, Force, Inputs, Unit, Workers, forms_of
from ult.cli.owner import codec_options
from ult.cli.reading import READ, Reading, reads_files
from ult.errors import InvalidConfig

PROMISE, SIZES = "The promise to each record, or with --unit to each person", "Sizes; left out, public numbers decide"


def labels_of(told: list[str] | None) -> list[str] | dict[str, int]:
    """Return labels, or how many records of each if all say so. Raises `InvalidConfig`."""
    pairs = [one.rpartition("=") for one in told or ()]
    if not pairs or not all(mark and n.isdigit() and n.isascii() for _, mark, n in pairs):
        return list(told or ())
    found = {label: int(n) for label, _, n in pairs}
    if len(found) < len(pairs):
        raise InvalidConfig("a label is given twice; expected once", hint="--label yes=500 --label no=500")
    return found


@reads_files()
def synth(
    inputs: Inputs,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The synthetic records; OUT.synth.json beside them says how.")
    ],
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="Records to write; with --unit, persons.")],
    epsilon: Annotated[
        float | None,
        typer.Option(help="What one record changes at most, as a factor e^epsilon.", rich_help_panel=PROMISE),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(help="How likely that fails; by default records^-1.1.", rich_help_panel=PROMISE),
    ] = None,
    table_share: Annotated[
        float, typer.Option(metavar="SHARE", help="The share of it for the table.", rich_help_panel=PROMISE)
    ] = 0.1,
    patches_per_record: Annotated[
        int | None,
        typer.Option(help="Distinct patches that a record counts in; by default 64.", rich_help_panel=PROMISE),
    ] = None,
    secure_random: Annotated[
        bool,
        typer.Option(
            help="Draw noise from the operating system, not from the seed, as experiments do.", rich_help_panel=PROMISE
        ),
    ] = True,
    method: Annotated[
        str | None,
        typer.Option(
            help="marginals: noisy counts of pairs of columns, the default for categories, numbers and dates with a "
            "promise. train: a run learns with noise, and writes. vote: members that know disjoint records vote on "
            "each id, for few rows."
        ),
    ] = None,
    members: Annotated[
        int | None, typer.Option(help="With --method vote: how many; by default records / 32, 64 at most.")
    ] = None,
    condition: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="Of records of fields: write records for given labels of this column."),
    ] = "",
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL[=N]",
            help="With --condition, repeatable: N records of it; without numbers as often as real ones have it, "
            "counted with noise.",
        ),
    ] = None,
    held_out: Annotated[
        list[str] | None,
        typer.Option(help="With --report: files of real records that are not INPUTS; repeatable."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="A page of ult audit synth, for the owner alone: it looks at real records without noise."),
    ] = None,
    codec: Annotated[str | None, typer.Option(help="As of ult fit; by default the names of the files decide.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="An option of the codec, such as quality=60.")] = None,
    column: Columns = None,
    schema: Annotated[
        Path | None,
        typer.Option(help="Of records of fields: kinds and bins; with --epsilon, what is known without the records."),
    ] = None,
    unit: Unit = "",
    drop: Drop = None,
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--form",
            metavar="COLUMN=FORM[:CELLS]",
            help="Of records of fields: how to read a column, as ult fit takes it. By marginals also what cells there "
            "may be, as is known without the records: 'sex=category:f|m', 'age=number:0..120|?'.",
        ),
    ] = None,
    encode_identifier: Annotated[
        list[str] | None,
        typer.Option("--encode-identifier", help="Of records of fields: learn this column, though it names somebody."),
    ] = None,
    bins: Annotated[
        int | None,
        typer.Option(help="Bins of a number that no schema gives edges for; by default 16, of marginals by epsilon."),
    ] = None,
    canonical: Canonical = False,
    reading: Reading = READ,
    temperature: Annotated[
        float, typer.Option(help="Below 1 hides rare values; 1 writes as the run has learnt.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws that are no secret.")] = 0,
    vocabulary_size: Annotated[int | None, typer.Option(help="Ids of the table.", rich_help_panel=SIZES)] = None,
    context: Annotated[
        int | None,
        typer.Option(
            help="Ids that a record may have; else learnt, at a part of epsilon if that suffices.",
            rich_help_panel=SIZES,
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="A preset: tiny, small.", rich_help_panel=SIZES)] = "tiny",
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of the training; with vote a member takes no more.", rich_help_panel=SIZES),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Records of a step, of a member at most.", rich_help_panel=SIZES)
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Its peak.", rich_help_panel=SIZES)] = None,
    passphrase_file: PassphraseFile = None,
    no_encryption: Annotated[
        bool, typer.Option("--no-encryption", help="Store the table in the clear while the work lasts.")
    ] = False,
    workers: Workers = None,
    force: Force = False,
) -> None:
    """Write synthetic records in place of real ones, by noisy counts, or by a run that learns them, on one account.

    If it is interrupted or killed, the same command goes on where it stood.
    """
    from ult.cli.console import facts, note, say, tell
    from ult.synth.making import synthesise

    made = synthesise(
        inputs,
        out,
        rows=rows,
        epsilon=epsilon,
        delta=delta,
        method=method,
        members=members,
        condition=condition,
        labels=labels_of(label),
        held_out=held_out,
        report=report,
        codec=codec,
        options=codec_options(option),
        column=column,
        schema=schema,
        unit=unit,
        drop=drop or (),
        forms=forms_of(form),
        encode_identifier=encode_identifier or (),
        canonical=canonical,
        reading=reading,
        bins=bins,
        patches_per_record=patches_per_record,
        vocabulary_size=vocabulary_size,
        table_share=table_share,
        context=context,
        model=model,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        temperature=temperature,
        seed=seed,
        secure_random=secure_random,
        passphrase=asking(passphrase_file, None, no_encryption),
        encrypt=not no_encryption,
        workers=workers,
        force=force,
        notice=tell,
    )
    if report is not None:
        say(f"{report}: open it in a browser; it is for you alone")
    say(f"{out}: {made.told.records:,} synthetic records, all of which decode")
    facts(made.facts()[1:])
    for remark in made.remarks():
        note(remark)
