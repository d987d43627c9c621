"""`ult audit model` and `ult audit table`: what a run, and a table, betray of the records that made them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ult.cli.keys import Identities, PassphraseFile, load_table
from ult.cli.options import Column, Force, RunFolder
from ult.host.free import check_free

if TYPE_CHECKING:
    from ult.owner.table import Table

JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all figures there.")]
PngFile = Annotated[Path | None, typer.Option("--png", help="Draw the attacks' curves there, on logarithmic axes.")]
Delta = Annotated[
    float | None,
    typer.Option(help="The delta of the lower bounds on epsilon; by default that of the promise, 1e-5 without one."),
]


def model(
    run: RunFolder,
    members: Annotated[list[Path], typer.Option(help="Shards that the run was trained on; repeatable.")],
    nonmembers: Annotated[
        list[Path] | None, typer.Option(help="Shards of the same kind that it never saw; repeatable.")
    ] = None,
    others: Annotated[list[Path] | None, typer.Option(hidden=True)] = None,
    targets: Annotated[
        list[Path] | None, typer.Option(help="seq2seq: shards of the members' targets; repeatable.")
    ] = None,
    nonmember_targets: Annotated[
        list[Path] | None, typer.Option(help="seq2seq: shards of the nonmembers' targets; repeatable.")
    ] = None,
    reference_run: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="A run on the same table that saw no member: two more attacks; repeatable."),
    ] = None,
    shadows: Annotated[
        int,
        typer.Option(min=0, help="Runs to train by the same recipe on halves of both sides: one more attack, LiRA."),
    ] = 0,
    table: Annotated[
        Path | None, typer.Option("--table", "-t", help="The owner's table: one more attack, and canaries.")
    ] = None,
    canaries: Annotated[
        int | None,
        typer.Option(min=0, help="With --table: how many of those that `ult encode` planted; all by default."),
    ] = None,
    alternatives: Annotated[int, typer.Option(help="Of canaries: others to rank each among.")] = 1000,
    prefix_ids: Annotated[int, typer.Option(help="Extraction: ids of a record that are given.")] = 50,
    suffix_ids: Annotated[int, typer.Option(help="Extraction: ids that the run must write.")] = 50,
    samples: Annotated[int, typer.Option(min=0, help="Extraction: continuations to draw; 0 is greedy alone.")] = 10,
    soft_prompt: Annotated[
        int,
        typer.Option(
            min=0, help="Extraction: vectors to tune on half of the members and ask for the rest with; 0: none."
        ),
    ] = 0,
    delta: Delta = None,
    seed: Annotated[int, typer.Option(help="The same seed draws the same alternatives and samples.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Records at once.")] = 16,
    json: JsonFile = None,
    png: PngFile = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Say what a run betrays of records: membership, extraction, and exposure of planted canaries."""
    from ult.audit.model.audit import audit_model
    from ult.cli.console import facts, note
    from ult.cli.stages import stages
    from ult.errors import InvalidConfig

    unseen = [*(nonmembers or []), *(others or [])]
    if not unseen:
        raise InvalidConfig("there is nothing to compare the members with", hint="--nonmembers SHARDS")
    if canaries and table is None:
        raise InvalidConfig("canaries follow from the owner's table; none was given", hint="--table T.ult")
    for path in filter(None, (json, png)):
        check_free(path, force=force)
    secret = load_table(table, passphrase_file, identity) if table else None
    if shadows:
        from ult.audit.model.shadows import cost
        from ult.public.run import Run

        note(cost(Run.open(run), shadows))
    with stages("auditing", named=True) as tell:
        result, curves = audit_model(
            run,
            members,
            unseen,
            targets=targets,
            nonmember_targets=nonmember_targets,
            reference_runs=reference_run or [],
            shadows=shadows,
            table=secret,
            canaries=canaries,
            alternatives=alternatives,
            prefix=prefix_ids,
            suffix=suffix_ids,
            samples=samples,
            soft_prompt=soft_prompt,
            delta=delta,
            seed=seed,
            batch_size=batch_size,
            tell=tell,
        )
    facts([*_sides(result), *_membership(result), *_extraction(result["extraction"]), *_canaries(result["canaries"])])
    _write(result, curves, json, png, secret)
    for line in result["notes"]:
        note(line)


def table(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A table, as `ult fit` wrote it.")],
    members: Annotated[list[str], typer.Option(help="Files of records that it was fitted on; repeatable.")],
    nonmembers: Annotated[
        list[str] | None, typer.Option(help="Files of records of the same kind that it was not; repeatable.")
    ] = None,
    others: Annotated[list[str] | None, typer.Option(hidden=True, help="The same, by its older name.")] = None,
    column: Column = None,
    delta: Delta = None,
    json: JsonFile = None,
    png: PngFile = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Say what a table betrays to whoever holds it of the records that it was fitted on: membership by its phrases."""
    from ult.audit.table import audit_table
    from ult.cli.console import counting, facts, note
    from ult.data import open_source

    for path in filter(None, (json, png)):
        check_free(path, force=force)
    secret = load_table(table, passphrase_file, identity)
    modality = secret.codec.modality
    sides = (members, _nonmembers(nonmembers, others))
    with counting("auditing"):
        groups = [open_source(files, modality=modality, column=column).records(secret.codec) for files in sides]
        result, curves = audit_table(secret, *groups, delta=delta)
    facts(_membership(result))
    _write(result, curves, json, png, secret)
    if why := result["shown"]["why"]:
        note(f"nothing shows that members were in the fit, and nonmembers not: {why}")
    if taken := result["shown"]["taken_out"]:
        note(f"{taken} nonmembers are in the fit and were taken out")


def _nonmembers(given: list[Any] | None, older: list[Any] | None) -> list[Any]:
    from ult.errors import InvalidConfig

    if not (given or older):
        raise InvalidConfig("there is nothing to compare members with", hint="--nonmembers with what was not used")
    return [*(given or ()), *(older or ())]


def _sides(result: dict[str, Any]) -> list[tuple[str, str]]:
    told, without = result["records"], result["blind"]
    low, high = without["auc_interval"]
    return [
        (
            "records compared",
            f"{told['members']['compared']:,} members, {told['nonmembers']['compared']:,} nonmembers; without the run "
            f"AUC {without['auc']:.3f}  (95 %: {low:.3f} to {high:.3f})",
        )
    ]


def _membership(result: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, found in result["membership"].items():
        low, high = found["auc_interval"]
        rates = ", ".join(map(_rate, found["tpr"]))
        proven = f"epsilon at least {found['epsilon_at_least']:.2f} at delta {found['delta']:g}"
        rows.append(
            (f"membership: {name}", f"AUC {found['auc']:.3f}  (95 %: {low:.3f} to {high:.3f}), {rates}; {proven}")
        )
    return rows


def _rate(one: dict[str, Any]) -> str:
    doubt = f"95 %: up to {one['others_above_interval'][1]:.1%}"
    return f"{one['tpr']:.1%} of members at {one['fpr']:.1%} of nonmembers ({doubt})"


def _extraction(found: dict[str, Any] | None) -> list[tuple[str, str]]:
    ways = [(whose, way) for whose in ("members", "nonmembers") for way in ("greedy", "sampled", "tuned") if found]
    given = [(w, way, found[w][way]) for w, way in ways if found and found.get(w, {}).get(way)]
    return [
        (
            f"extraction: {whose}, {way}",
            f"{one['exact']:,} of {one['passages']:,} exact, {one['recall']:.1%} at {one['errors']} errors, "
            f"{one['ngrams']:.1%} of n-grams",
        )
        for whose, way, one in given
    ]


def _canaries(found: dict[str, Any] | None) -> list[tuple[str, str]]:
    if not found:
        return []
    low, high = found["chance_interval"]
    chance = f"chance {found['chance_mean']:.2f}  (95 %: {low:.2f} to {high:.2f})"
    inner = f"{found['interpolated_mean']:.2f} of at most {found['most']:.2f} bits"
    outer = f"extrapolated {found['extrapolated_mean']:.2f} of log2 |R| = log2 {found['space']:,}"
    return [("mean exposure of canaries", f"{inner}, {outer}; {chance}, p {found['p_value']:.2g}")]


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Write what an audit found. Raises `OutputError`."""
    from json import dumps

    from ult.host.atomic import write_text

    write_text(path, dumps(result, indent=1) + "\n")


def _write(
    result: dict[str, Any], curves: dict[str, Any], json: Path | None, png: Path | None, table: Table | None
) -> None:
    if json is not None:
        from ult.audit.seal import sealed

        write_json(json, result if table is None else sealed(result, table))
    if png is not None:
        from ult.audit.roc import draw

        draw(curves, png)
