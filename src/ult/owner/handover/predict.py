"""`ult.predict`: predict a column of records from all others, by a run that was trained on ids of whole records.

Without a table it predicts labels of shards, as the trainer's side does by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ult.data.composed.record_sink import SUFFIXES, open_record_sink
from ult.errors import InvalidConfig, InvalidRecord, OutputError
from ult.host import arguments
from ult.host.arguments import COLUMNS, KEYS, checked, integer, path, switch
from ult.host.bar import shown
from ult.host.free import check_free
from ult.host.progress import Progress, on_stderr
from ult.owner.handover.answers import Answers
from ult.owner.handover.belonging import check_table
from ult.owner.handover.candidates import Bins, Column
from ult.owner.handover.posterior import Posterior
from ult.owner.handover.questions import Question, Questions
from ult.owner.inputs import Inputs, Secret, remarks, secret, table_argument, texts
from ult.owner.keyfile import Identities, Passphrase
from ult.public import folders
from ult.public.folders import Folders
from ult.public.run import Run
from ult.trainer.scoring import Scorer
from ult.trainer.tasks.predict import predict_labels
from ult.trainer.tasks.predicted import Predicted

_ENCODED = 4096  # records with a value in place that are encoded at once, about


def _records_or_shards(name: str, value: Any) -> Any:
    one = value[0] if isinstance(value, Sequence) and value else value
    return (arguments.inputs if isinstance(one, str | Path) else folders.folders_argument)(name, value)


@checked(
    run=folders.run_argument,
    inputs=_records_or_shards,
    table=table_argument,
    target=arguments.text("the name of a column"),
    out=path,
    values=arguments.texts("a value of the column"),
    drop=arguments.texts("the name of a column"),
    reading=COLUMNS["reading"],
    batch_size=integer(1),
    **KEYS,
    force=switch,
    progress=arguments.call,
)
@shown("predicting")
def predict(
    run: Run | str | Path,
    inputs: Inputs | Folders,
    table: Secret | None = None,
    target: str | None = None,
    out: str | Path | None = None,
    *,
    values: Sequence[str] = (),
    drop: Sequence[str] = (),
    reading: Mapping[str, str | float] | None = None,
    batch_size: int = 64,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
    force: bool = False,
    progress: Progress = on_stderr,
) -> Predicted:
    """Predict the column `target` of the records in `inputs` from all their others or, without a table, shards' labels.

    Without `table` and `target`, `inputs` are shards and `run` was trained for "classify": the result says how likely
    each label of each record is. What follows is of records.

    The arguments are those of `ult predict`. `run` was trained for "lm" on shards of the `table`, which is of
    record/columns. The column may be missing in the inputs; if it is there, the result has `figures`, and the true
    cells are used for nothing else. With a unit, it is a column of which each unit has one cell.

    A category is one of `values`, by default those that the table has a phrase for: the record is encoded with each of
    them, and the probability that the run gives to the whole sequence decides, so that what stands behind the column
    counts as what stands before it. A number is in one of its bins: the probability of a bin, summed over all numbers
    in it, given what stands before, times that of what stands behind, given a frequent number of the bin. A cell that
    says that there is no value is not among the values.

    Raises `InvalidConfig`, `MissingColumn`, `SourceError`, `InvalidRecord`, `WrongTable`, `WrongKey`, `TrainingError`,
    `OutputExists` or `OutputError`; then nothing was written.

    For example, after `ult.train` on shards of `patients.csv`:

        found = ult.predict(run, "patients.csv", fitted.table, "outcome")
        found.figures.accuracy
        labels = ult.predict(classifier, "held-out.shards")
    """
    if table is None and target is None:
        return predict_labels(run, inputs, out, batch_size=batch_size, force=force)
    if table is None or target is None:
        raise InvalidConfig("expected the table and a target, of records, or neither of them, of shards")
    place = None if out is None else Path(out)
    if place is not None:
        _check_place(place, force=force)
    opened = run if isinstance(run, Run) else Run.open(run)
    key = secret(table, passphrase, identities)
    column = Column.named(key, target)
    told = check_table(opened, key)
    opened = opened.of_tables({key.fingerprint})
    bins = Bins.of(column) if column.field.kind == "number" and not (values or column.field.levels) else None
    cells = bins.cells if bins else column.values(texts(values))
    questions = Questions.open(cast(Inputs, inputs), column, drop=drop, reading=reading)
    if place is not None:
        questions.source.check_apart(place)
    posterior = Posterior(Scorer(opened, modality=key.codec.family, batch_size=batch_size), column, cells, bins)
    answers = Answers(column, cells, bins)
    with nullcontext() if place is None else open_record_sink(place, answers.layout(), None, force=force) as sink:
        for question in questions.batches():
            lines = answers.add(question, np.concatenate(list(_answered(posterior, question, progress))))
            if sink is not None:
                sink.write(lines)
    more = answers.remarks(posterior.cut, opened.context)
    return answers.predicted(place, [*told, *remarks(questions.source), *more])


def _check_place(out: Path, *, force: bool) -> None:
    check_free(out, force=force)
    if out.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{out} has suffix {out.suffix!r}; expected {', '.join(SUFFIXES)}")


def _answered(posterior: Posterior, question: Question, progress: Progress) -> Iterator[NDArray[np.float64]]:
    """Yield the probabilities (n, values) of some records of a question at a time."""
    step = max(1, _ENCODED // len(posterior.cells))
    for first in range(0, len(question.records), step):
        some = question.records[first : first + step]
        try:
            yield posterior.probabilities(some)
        except InvalidRecord as error:
            raise _placed(error, posterior, some, question.places[first:]) from None
        progress("predicting", len(some))


def _placed(
    error: InvalidRecord, posterior: Posterior, records: Sequence[tuple[object, ...]], places: Sequence[str]
) -> InvalidRecord:
    """Return the error with the place of the first record that the codec refuses."""
    column = posterior.column
    for record, place in zip(records, places, strict=False):
        try:
            column.codec.encode((*record[: column.k], posterior.cells[0], *record[column.k + 1 :]))
        except InvalidRecord as refusal:
            return InvalidRecord(f"{place}: {refusal.what}", hint=refusal.hint)
    return error
