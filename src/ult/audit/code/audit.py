"""`ult.audit.audit_code`: attacks on the code of shards or of a run, scored by the owner's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ult.audit import words
from ult.audit.code import overlap
from ult.audit.code.adversary import Adversary
from ult.audit.code.attack import SIZES, attack, best
from ult.audit.code.cells import Form
from ult.audit.code.columns import leaves_of
from ult.audit.code.embedding_rows import attack_public_rows, attack_rows
from ult.audit.code.evidence import Coded
from ult.audit.code.of_fields import OfFields
from ult.audit.code.records import Records
from ult.audit.code.sampled import draw
from ult.audit.code.telling import MODALITIES, most_telling
from ult.audit.result import Audit
from ult.audit.subject import of_code, of_reference
from ult.codecs import codec_class
from ult.codecs.base import Codec
from ult.codecs.record import RecordColumns
from ult.data.composed.records import MODALITY as RECORD
from ult.errors import InvalidConfig, WrongTable
from ult.host import arguments, portable
from ult.host.arguments import COLUMNS, KEYS, checked, integer, path, switch
from ult.host.bar import shown
from ult.host.free import check_free
from ult.host.progress import Notice, Progress, on_stderr, unheard
from ult.host.shown import count
from ult.owner import keyfile
from ult.owner.fields import CODEC
from ult.owner.inputs import Inputs, Secret, check_made, opened, schema_of, secret, table_argument
from ult.owner.keyfile import Identities, Passphrase
from ult.owner.table import Table
from ult.public import folders
from ult.public.folders import Folders
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.models.generation import ignored

_MOST = 4  # processes by default, because each may need a gigabyte


@checked(
    shards=folders.folders_or_none,
    reference=arguments.inputs,
    run=folders.run_argument,
    samples=integer(1),
    seed=integer(),
    start=folders.run_argument,
    start_table=table_argument,
    table=table_argument,
    pairs=path,
    known=arguments.texts("the name of a field"),
    column=COLUMNS["column"],
    reading=COLUMNS["reading"],
    workers=integer(1),
    **KEYS,
    force=switch,
    progress=arguments.call,
    notice=arguments.call,
)
@shown("attacking")
def audit_code(
    shards: Folders = (),
    *,
    reference: Inputs = (),
    run: Run | str | Path | None = None,
    samples: int = 1000,
    seed: int = 0,
    start: Run | str | Path | None = None,
    start_table: Secret | None = None,
    table: Secret | None = None,
    pairs: str | Path | None = None,
    known: str | Sequence[str] = (),
    column: str | None = None,
    reading: Mapping[str, str | float] | None = None,
    workers: int | None = None,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
    force: bool = False,
    progress: Progress = on_stderr,
    notice: Notice = unheard,
) -> Audit:
    """Attack a code as somebody with shards or a run, and public data, would; the owner's table scores the attacks.

    The arguments are those of `ult audit code`. `shards` are folders of one table, attacked together; without any,
    `samples` records that `run` generates are attacked. `reference` are public records of the same kind. `start` and
    `start_table` are an earlier run and its table, known to the adversary, whose embedding rows are matched with those
    of `run`; without `start_table`, `start` is the public model that `run` was aligned to, whose tokens anyone reads.
    Without `table` nothing is scored. `pairs` is a file, mode 0600, for passages that the best attack read, which are
    parts of records. For records of fields, `known` names fields that the adversary knows of the people in
    the shards, and the figures are also given by field. `reading` is that of `ult.fit`. `workers` is the number of
    processes, by default up to four where there are many ids. `notice` is called with a sentence on each attack as it
    ends.

    Raises `InvalidConfig`, `WrongTable`, `WrongKey`, `SourceError`, `OutputExists` or `OutputError`.

    For example:

        audit = ult.audit.audit_code("notes.shards", reference="public.txt", table="notes.ult", passphrase=getpass)
        audit.save("code.json")
    """
    many = folders.paths(shards)
    run, start = (None if one is None else folders.run_path(one) for one in (run, start))
    given = [reference] if isinstance(reference, str | Path) else list(reference)
    check_asked(
        reference=bool(given),
        run=run is not None,
        start=start is not None,
        start_table=start_table is not None,
        table=table is not None,
        pairs=pairs is not None,
        known=bool(known),
    )
    if pairs is not None:
        check_free(pairs, force=force)
    truth = None if table is None else secret(table, passphrase, identities)
    earlier = None if start_table is None else secret(start_table, passphrase, identities)
    ids, made = _held(many, run, samples, seed, truth, progress)
    if truth is not None:
        of = ", ".join(map(str, many)) or run
        check_made(of, made["table"], truth, table if isinstance(table, str | Path) else None)
    if pairs is not None and truth is not None and truth.codec.modality not in (*MODALITIES, RECORD):
        raise InvalidConfig(
            f"{truth.codec.id} has no passages to read; expected text, molecules or fields", hint="no --pairs"
        )
    asked = [known] if isinstance(known, str) else list(known)
    if asked and truth is not None and (truth.codec.id != CODEC or not many):
        raise InvalidConfig(
            "fields are known of the people in shards of records of fields; expected such shards", hint="no --known"
        )
    if asked and isinstance(codec := truth and truth.codec, RecordColumns):
        leaves_of(Form(codec), asked)
    codec = _codec(made["codec"], truth)
    public = _public(given, codec, truth, column=column, reading=reading) if given else []
    top, whole, attacks = _Top(), _Top(largest=True), list[dict[str, Any]]()

    def ended(result: dict[str, Any]) -> None:
        attacks.append(result)
        notice(words.of_attack(result))

    def keep(*kept: Any) -> None:
        top.keep(*kept)
        whole.keep(*kept)

    progress("attacking", 0)
    of_fields: OfFields | None = None
    known_phrases: list[bytes] = []
    if truth is not None and public:
        adversary, informed = Adversary.fitted(truth, public), Adversary(truth, public)
        known_phrases = adversary.spelled
        options: dict[str, Any] = {"plaintext": bool(many), "keep": keep, "workers": workers or _workers(ids)}
        for result in attack(ids, adversary=adversary, truth=truth, told=informed, **options):
            ended(result)
        if codec.id == CODEC and whole.target is not None and whole.result is not None:
            of_fields = OfFields.attacked(
                Records(whole.target, truth, public, asked), (whole.result["name"], whole.named), given, reading, notice
            )
    if truth is not None and run is not None and start is not None and earlier is None:
        ended(attack_public_rows(Coded.of(ids), run=run, model=start, truth=truth, known=known_phrases))
    if truth is not None and run is not None and start is not None and earlier is not None:
        ended(attack_rows(Coded.of(ids), run=run, start=start, known=earlier, truth=truth))
    found: dict[str, Any] = {
        "format": "ult-audit-code/2",
        "subject": of_code(made["table"], made["shards"], None if run is None else Run.open(run)),
        "codec": made["codec"],
        "records": len(ids),
        "units": sum(map(len, ids)),
        "samples": None if many else len(ids),
        "reference": of_reference(public, codec) if public else None,
        "scored": truth is not None,
        "attacks": attacks,
        "best": best(attacks),
        **({"fields": of_fields.document()} if of_fields is not None else {}),
    }
    if truth is not None and public:
        found["reference"]["shared"] = overlap.shared(Coded.of(ids), public, truth)
    notes = list(ignored(run)) if run is not None and not many else []
    if pairs is not None and truth is not None:
        notes.append(_write_pairs(Path(pairs), top, truth, found["subject"], of_fields, force=force))
    if truth is not None and public:
        notes += overlap.told(found["reference"]["shared"])
    notes += of_fields.notes if of_fields is not None else ()
    figures = [*_figures(found), *(of_fields.figures() if of_fields is not None else [])]
    return Audit.made("code", found, figures, table=truth, notes=[*notes, *_unscored(truth)])


def _workers(records: Sequence[NDArray[Any]]) -> int:
    """Return how many processes attack by default: one where starting another takes longer than the attacks."""
    return min(_MOST, portable.cpus()) if sum(map(len, records)) > SIZES[1] else 1


def check_asked(
    *, reference: bool, run: bool, start: bool, start_table: bool, table: bool, pairs: bool, known: bool
) -> None:
    """Raise `InvalidConfig` for a combination of arguments that the attacks, or the passages, cannot work with."""
    if start_table > start or (start and not run):
        raise InvalidConfig(
            "matching rows needs two runs and the table of the first", hint="--run, --from, --from-table"
        )
    if not reference and not start:
        raise InvalidConfig("the adversary knows nothing; expected public records", hint="--reference PUBLIC")
    if pairs and not (table and reference):
        raise InvalidConfig(
            "passages need public records to be read and the table to be shown",
            hint="--reference, --table, or no --pairs",
        )
    if known and not (table and reference):
        raise InvalidConfig(
            "what is known of people adds to public records, and only the table has these fields; expected both",
            hint="--reference, --table, or no --known",
        )


def _figures(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the figures to show: the best attack, then what was attacked, then each attack."""
    top, public = found["best"], found["reference"]
    scored = f"{len(found['attacks'])} attacks on {found['units']:,} ids"
    unscored = f"{found['units']:,} ids, {public['records'] if public else 0:,} public records; no attack is scored"
    return [
        *([("the best by public data", words.of_best(top))] if top else []),
        ("attacked", scored if found["scored"] else unscored),
        *(("", words.of_attack(one)) for one in found["attacks"]),
    ]


def _unscored(truth: Table | None) -> list[str]:
    if truth is not None:
        return []
    return ["only the owner can know what an attack recovers: --table with the table that `ult encode` used"]


def _held(
    shards: Sequence[str | Path],
    run: str | Path | None,
    samples: int,
    seed: int,
    truth: Table | None,
    progress: Progress,
) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    """Return the ids of shards, or ids that a run generates, and their codec, table and shards."""
    if shards:
        folders = [Shards(path) for path in shards]
        first = folders[0].manifest
        for folder in folders:
            if folder.manifest.table != first.table:
                raise WrongTable(
                    f"{folder.path} was encoded with table {folder.manifest.table}; "
                    f"{folders[0].path} with {first.table}",
                    hint="an audit for each table",
                )
        ids = [ids for folder in folders for ids in folder.ids()]
        return ids, {"codec": first.codec, "table": first.table, "shards": folders}
    if run is None:
        raise InvalidConfig("there are no ids to attack; expected shards, or a run to write some", hint="--run RUN")
    ids, made = draw(
        run, samples=samples, truth=truth, seed=seed, advance=lambda records, _: progress("generating", records)
    )
    return ids, {**made, "shards": []}


def _codec(name: str, truth: Table | None) -> Codec[Any]:
    """Return the codec that public records are read by: that of the table, whose options refuse others, if it is known.

    Raises `InvalidConfig` for records of fields if it is not.
    """
    if truth is not None:
        return truth.codec
    if name == CODEC:
        raise InvalidConfig("records of fields are read by their table; expected it", hint="--table TABLE")
    return codec_class(name)()


def _public(reference: Sequence[str | Path], codec: Codec[Any], truth: Table | None, **of: Any) -> list[Any]:
    layout = schema_of(truth) if truth is not None and codec.id == CODEC else None
    records: list[Any] = opened(reference, modality=codec.modality, schema=layout, **of).records(codec)
    if not records:
        raise InvalidConfig("the reference holds no records", hint="--reference with public data of the same kind")
    return records


class _Top:
    """Keeps the guesses of the attack that reads the largest share of ids, of any number or of the `largest`."""

    def __init__(self, *, largest: bool = False) -> None:
        self.largest = largest
        self.result: dict[str, Any] | None = None
        self.named: list[bytes | None] = []
        self.target: Coded | None = None

    def keep(self, result: dict[str, Any], named: list[bytes | None], target: Coded) -> None:
        if self.result is None or self._worth(result) >= self._worth(self.result):
            self.result, self.named, self.target = result, named, target

    def _worth(self, result: dict[str, Any]) -> tuple[int, float]:
        return (result["units"] if self.largest else 0, result["occurrences"])


def _write_pairs(
    path: Path, top: _Top, truth: Table, subject: dict[str, Any], of_fields: OfFields | None, *, force: bool
) -> str:
    """Write the passages that the best attack read, beside the truth, to a file for the owner only; return a note."""
    if top.result is None or top.target is None:
        raise InvalidConfig("no attack by public records was tried", hint="--reference with public data")
    if of_fields is not None:
        passages = of_fields.pairs(subject)
    else:
        passages = most_telling(top.named, top.target, truth, subject=subject, attack=top.result["name"])
    keyfile.write(path, (dumps(passages, indent=1) + "\n").encode("ascii"), force=force)
    held = count(len(passages["pairs"]), "passage")
    return f"{path}: {held} of the records themselves, in the clear; give it to nobody"
