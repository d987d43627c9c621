"""`ult.synth.synthesise`: records in, synthetic records out, by the ordinary verbs in a hidden folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ult.codecs import codec_class
from ult.data.columns.schema import Schema
from ult.data.composed.nested_sink import open_nested_sink
from ult.data.composed.record_sink import open_record_sink
from ult.data.sink import open_sink
from ult.errors import InvalidConfig
from ult.host import arguments
from ult.host.arguments import checked, integer, number, path, switch
from ult.host.free import check_free
from ult.host.progress import Notice, unheard
from ult.owner import keyfile
from ult.owner.inputs import Inputs
from ult.owner.keyfile import Passphrase
from ult.public.synthetic import METHODS
from ult.synth import plan, written
from ult.synth.labels import Condition, check_codec
from ult.synth.marginals import making as marginals
from ult.synth.records import Reading, Records, split, usual_codec
from ult.synth.result import Synthesised
from ult.synth.stages import Asked, Sizes, Synthesis
from ult.synth.working import working


def _labels(name: str, value: Any) -> Any:
    """Check for labels, or for how many records of each."""
    if isinstance(value, Mapping):
        return {one: integer(1)(f"{name}[{one!r}]", n) for one, n in value.items()}
    return arguments.texts("a label")(name, value)


@checked(
    inputs=arguments.inputs,
    out=path,
    rows=integer(1),
    epsilon=number,
    delta=number,
    method=arguments.text("train, vote or marginals"),
    members=integer(2),
    condition=arguments.text("the name of one column"),
    labels=_labels,
    held_out=arguments.inputs,
    report=path,
    codec=arguments.text(),
    options=arguments.by_name("numbers by name, such as {'quality': 60}"),
    column=arguments.texts("the name of a column"),
    schema=arguments.path_or(
        "a schema: its file's path, or what ult.describe found", lambda one: isinstance(one, Schema)
    ),
    unit=arguments.text("the name of one column"),
    drop=arguments.texts("the name of a column"),
    forms=arguments.by_name("kinds or forms by column, such as {'zip': 'text'}"),
    encode_identifier=arguments.texts("the name of a column"),
    canonical=switch,
    reading=arguments.by_name("how files are read, such as {'separator': ';'}"),
    bins=integer(),
    patches_per_record=integer(),
    vocabulary_size=integer(),
    table_share=number,
    context=integer(4),
    model=arguments.text("the name of a preset"),
    steps=integer(1),
    batch_size=integer(1),
    learning_rate=number,
    temperature=number,
    seed=integer(0),
    secure_random=switch,
    passphrase=arguments.secret,
    encrypt=switch,
    workers=integer(1),
    force=switch,
    notice=arguments.call,
)
def synthesise(
    inputs: Inputs,
    out: str | Path,
    *,
    rows: int,
    epsilon: float | None = None,
    delta: float | None = None,
    method: str | None = None,
    members: int | None = None,
    condition: str = "",
    labels: Sequence[str] | Mapping[str, int] = (),
    held_out: Inputs | None = None,
    report: str | Path | None = None,
    codec: str | None = None,
    options: Mapping[str, float] | None = None,
    column: str | Sequence[str] | None = None,
    schema: Schema | str | Path | None = None,
    unit: str = "",
    drop: Sequence[str] = (),
    forms: Mapping[str, str] | None = None,
    encode_identifier: Sequence[str] = (),
    canonical: bool = False,
    reading: Mapping[str, str | float] | None = None,
    bins: int | None = None,
    patches_per_record: int | None = None,
    vocabulary_size: int | None = None,
    table_share: float = plan.TABLE_SHARE,
    context: int | None = None,
    model: str = "tiny",
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    secure_random: bool = True,
    passphrase: Passphrase | None = None,
    encrypt: bool = True,
    workers: int | None = None,
    force: bool = False,
    notice: Notice = unheard,
) -> Synthesised:
    """Write `rows` synthetic records to `out`, made by a run that is trained on the records of files.

    With `epsilon`, everything that looks at a record is on one account, which spends at most (`epsilon`, `delta`): the
    table with the edges of its bins (`table_share` of it), how long records are, and the training. `delta` is n^-1.1 if
    left out, for n records, whose number is public. Kinds of columns are then declared, by `forms` or a `schema` that
    was made without the records; by marginals, either may say what cells there are, such as {"sex": "category:f|m",
    "age": "number:0..120|?"}, which then costs nothing. With `unit`, the promise is to each person: all rows with one
    value there are one record.

    Without a `method`, records with a promise whose fields are categories, plain numbers and dates are made by
    "marginals", unless a size of a table or a training is given: by noisy counts of pairs of columns
    (`ult.synth.marginals`), without a table and a run. All others are made by "train".

    With the method "vote", a run is trained at half of what is left, and `members` runs, which go on from it on
    disjoint records, vote on each id (`ult.synth.vote`): for few rows.

    `condition` names a column: records are written for its `labels`, as many of each as is said, or in the proportion
    of the real ones, which are counted with noise. `report` names a page to write, by `ult audit synth` with `held_out`
    records; it looks at the real records again and is for their owner alone.

    The arguments from `codec` to `vocabulary_size` are those of `ult.fit`; without a `codec` the names of the files
    decide. `context`, `steps`, `batch_size` and `learning_rate` are those of the training; left out, the number of
    records decides, and nothing is tried on records. A member that votes takes no more steps, and no more records a
    step, than that training. `temperature` 1 leaves the tails of what the run has learnt.
    `secure_random` False draws noise from the seed, for experiments only.

    Everything is made in a hidden folder beside `out`, with the table stored as `ult.fit` does, by `passphrase` unless
    `encrypt` is False. After a kill, the same call goes on where it stood. `notice` is called with what is being done.

    Raises `InvalidConfig`, `SourceError`, `InvalidRecord`, `WrongKey`, `OutputExists`, `OutputError` or
    `TrainingError`; then there is no output.
    """
    said = Reading(
        inputs=inputs,
        codec=codec,
        options=options,
        column=column,
        schema=schema,
        unit=unit,
        drop=drop,
        forms=forms,
        encode_identifier=encode_identifier,
        canonical=canonical,
        reading=reading,
        bins=bins,
        patches_per_record=patches_per_record,
    )
    sizes = Sizes(
        vocabulary=vocabulary_size,
        context=context,
        model=model,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )
    if not 0 < temperature <= 10:
        raise InvalidConfig(f"temperature is {temperature!r}; expected above 0 and at most 10")
    out = Path(out)
    written.check_places(out, force=force)
    conditions = Condition.of(condition, labels, rows, private=epsilon is not None)
    check_codec(said.codec or usual_codec(inputs), conditions)
    records = Records.open(said, private=epsilon is not None, first=condition)
    training = table_share != plan.TABLE_SHARE or temperature != 1 or members is not None or sizes.said()
    training |= bool(options) or patches_per_record is not None
    method = _method_of(method, records, private=epsilon is not None, training=training)
    _check_method(method, epsilon, members, condition)
    if method == "marginals":
        marginals.check(records, condition)
    elif told := records.declared:
        raise InvalidConfig(
            f"what cells {next(iter(told))!r} may have is declared, which the method {method} does not take",
            hint="its kind alone, or --method marginals where records are of categories, plain numbers and dates",
        )
    else:
        records = records.without_domains()
    asked = Asked(
        rows=rows,
        epsilon=epsilon,
        delta=delta,
        method=method,
        table_share=table_share,
        condition=conditions,
        members=members,
        temperature=temperature,
        seed=seed,
        secure_random=secure_random,
    )
    _check_output(out, records, force=force)
    if report is not None:
        _check_report(Path(report), records, held_out, force=force)
    storage: dict[str, Any] = {}  # marginals have no table
    if method != "marginals":
        storage = {"passphrase": keyfile.told(passphrase), "encrypt": encrypt}
        keyfile.encryptor(**storage)  # refuses bad arguments before any work is done
    read: dict[str, Any] = {"codec": records.codec, "inputs": records.source.stamp}
    read |= {"layout": records.layout and records.layout.document()}
    read |= {"fit": {k: v for k, v in records.of_fit(private=True).items() if k not in ("schema", "codec")}}
    with working(out, {**asked.document(), **read, "sizes": sizes.document()}, force=force) as work:
        made = Synthesis(records, work, asked, sizes, storage, workers, notice).whole(out, force=force)
    if report is not None:
        notice("auditing")
        _audit(out, Path(report), records, held_out, condition, force=force)
    return made


def _method_of(asked: str | None, records: Records, *, private: bool, training: bool) -> str:
    """Return the method: the one that is asked for, else marginals where they can be, unless a training is described.

    Raises `InvalidConfig` for a method that there is not, or that such records or settings do not go with.
    """
    if asked is None:
        fit = private and not training and not records.unit and not marginals.unfit(records)
        return "marginals" if fit else "train"
    if asked not in METHODS:
        raise InvalidConfig(f"the method is {asked!r:.40}; expected one of {', '.join(METHODS)}")
    if asked == "marginals" and training:
        raise InvalidConfig(
            "a size of a table or of a training was given, and marginals have neither",
            hint="--method train, or marginals without it",
        )
    return asked


def _check_method(method: str, epsilon: float | None, members: int | None, condition: str) -> None:
    """Raise `InvalidConfig` for a method that does not go with other settings."""
    if method != "vote" and members is not None:
        raise InvalidConfig("members were given, who vote", hint="--method vote")
    if method == "train":
        return
    if epsilon is None:
        raise InvalidConfig(
            f"the method {method} is for a promise; without one a run writes as it is", hint="--epsilon 8"
        )
    if condition and method == "vote":
        raise InvalidConfig("a condition is not for the method vote; members vote on whole records")


def _check_report(report: Path, records: Records, held_out: Inputs | None, *, force: bool) -> None:
    """Raise `OutputExists` or `InvalidConfig` unless an audit can be written of such records."""
    check_free(report, force=force, option="--report")
    if codec_class(records.codec).modality not in ("text", "record"):
        raise InvalidConfig(f"a report is of tables and texts; these records are of {records.codec}")


def _audit(out: Path, report: Path, records: Records, held_out: Inputs | None, label: str, *, force: bool) -> None:
    """Write the report of `ult audit synth` on the records, which looks at the real ones and is for their owner."""
    from ult.audit.synth.audit import audit_synth

    said = records.said
    audit_synth(
        str(out),
        said.inputs,
        held_out=held_out,
        label=label or None,
        column=said.column or (),
        drop=said.drop,
        forms=split(said.forms or {})[0] or None,
        unit=said.unit,
        reading=said.reading,
        report=report,
        force=force,
    )


def _check_output(out: Path, records: Records, *, force: bool) -> None:
    """Raise `OutputError` or `OutputExists` unless `out` can hold such records, before any work is done."""
    records.source.check_apart(out)
    if records.layout is not None:
        several = sum(one.kind == "rows" for one in records.fields) > 1
        (open_nested_sink if several else open_record_sink)(out, records.layout, None, force=force)
        return
    modality = codec_class(records.codec).modality
    open_sink(out, modality=modality, column=records.source.column, fields=records.source.fields, force=force)
