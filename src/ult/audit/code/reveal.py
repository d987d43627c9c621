"""`ult.audit.read_records`: what an attacker reads of single records, cell by cell, beside the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ult.audit.code.adversary import Adversary
from ult.audit.code.attack import guesses
from ult.audit.code.cells import Cell, Form, Leaf, Place, Reading
from ult.audit.code.evidence import Coded
from ult.audit.code.fields import cell_of, same, true_places
from ult.audit.code.people import ranked
from ult.audit.code.records import Records
from ult.errors import InvalidConfig
from ult.host import arguments
from ult.host.arguments import COLUMNS, KEYS, checked
from ult.owner.fields import CODEC
from ult.owner.inputs import Inputs, Secret, check_encoded, named, opened, schema_of, secret, table_argument
from ult.owner.keyfile import Identities, Passphrase
from ult.public import folders
from ult.public.folders import Folders
from ult.public.shards import Shards


@dataclass(frozen=True, slots=True)
class ReadCell:
    """A cell of a record, and what an attacker takes it for.

    `field` is its name, `rows` the name of the field of rows that it is in ("" outside), `row` the number of its row
    from 0 on (-1 outside). `guess` is None if nothing was read, and where the attacker reads null. `sure` is the share
    of the attacks that read the same, 0 to 1; 1 for a `known` column.
    """

    field: str
    rows: str
    row: int
    truth: Cell
    guess: Cell
    sure: float
    known: bool
    right: bool


@checked(
    shards=folders.folders_or_none,
    places=arguments.one_or_more(arguments.integer(0), "the place of a record, from 0 on"),
    reference=arguments.inputs,
    table=table_argument,
    known=arguments.texts("the name of a field"),
    reading=COLUMNS["reading"],
    **KEYS,
)
def read_records(
    shards: Folders,
    places: int | Sequence[int] = (0,),
    *,
    reference: Inputs,
    table: Secret,
    known: str | Sequence[str] = (),
    reading: Mapping[str, str | float] | None = None,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
) -> list[list[ReadCell]]:
    """Return what an attacker reads of the records at `places` (from 0 on) in the shards, cell by cell.

    The attacker has the shards, the public records `reference`, and of every person in the shards the columns `known`.
    The table only scores. The result holds records: it is for their owner alone. Raises `InvalidConfig` for a table of
    other records than of fields or a place that is not there, `WrongTable`, `WrongKey` or `SourceError`.

    For example:

        ult.audit.read_records("p.shards", [0], reference="other.csv", table="p.ult", known=["age"], passphrase=getpass)
    """
    places = [places] if isinstance(places, int) else places
    truth = secret(table, passphrase, identities)
    if truth.codec.id != CODEC:
        raise InvalidConfig(f"the table is of {truth.codec.id}; expected one of {CODEC}")
    ids = []
    for folder in map(Shards, folders.paths(shards)):
        check_encoded(folder, truth)
        ids += list(folder.ids())
    if wrong := [place for place in places if not 0 <= place < len(ids)]:
        raise InvalidConfig(f"there is no record {wrong[0]}; expected 0 to {len(ids) - 1}")
    public = opened(named(reference), modality="record", schema=schema_of(truth), reading=reading).records(truth.codec)
    if not public:
        raise InvalidConfig("the reference holds no records", hint="reference with public data of the same kind")
    records = Records(Coded.of(ids), truth, public, [known] if isinstance(known, str) else known)
    every = _attacks(records)
    return [_cells(records, place, every) for place in places]


def _attacks(records: Records) -> list[Sequence[bytes | None]]:
    """Return the phrases that each attack guesses for the kinds of the target, the best informed first."""
    adversary = Adversary.fitted(records.table, records.public)
    target = ranked(records.target, adversary)
    found = {name: adversary.named(guess) for name, guess in guesses(target, adversary.reference, values=False)}
    public = found.pop("co-occurrence")
    known = [records.named_with_people(public, place=place) for place in (True, False)] if records.known else []
    return [*known, public, *found.values()]


def _cells(records: Records, place: int, every: Sequence[Sequence[bytes | None]]) -> list[ReadCell]:
    form, target = records.form, records.target
    kinds = target.kinds[target.starts[place] : target.ends[place]].tolist()
    phrases = records.truth.phrases
    true = form.read([phrases[kind] for kind in kinds])
    readings = [form.read([named[kind] for kind in kinds]) for named in every]
    found = []
    for leaf in form.leaves:
        for row, at in enumerate(true_places(true, leaf)):
            found.append(_cell(records, true, readings, at, row if leaf.inner >= 0 else -1))
    return found


def _cell(records: Records, true: Reading, readings: Sequence[Reading], at: Place, row: int) -> ReadCell:
    form: Form = records.form
    leaf: Leaf = at.leaf
    absent, (rows, name) = form.of(leaf).absent, form.name(leaf)
    cell = true.cells.get(at, absent)
    known = leaf in records.known
    said = [cell_of(one, at, absent, None) for one in readings]
    guess = cell if known else said[0]
    sure = 1.0 if known else float(np.mean([same(guess, other) for other in said]))
    return ReadCell(name, rows, row, cell, guess, sure if guess is not None else 0.0, known, same(guess, cell))
