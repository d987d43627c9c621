"""Records with given cells: every walk of the grammar has them, and what is drawn is what the run writes with them."""

import csv
from typing import Any

import numpy as np
import pytest

import ult
from ult.cli import app
from ult.codecs.record import RecordColumns
from ult.codecs.record.given import GivenGrammar
from ult.errors import InvalidConfig, MissingColumn
from ult.owner.given import GivenCells
from ult.owner.handover.conditioned import _effective, _taken
from ult.owner.table import Table
from ult.public.vocabulary import EOS, Vocabulary

FIELDS: list[dict[str, Any]] = [
    {"name": "birth", "kind": "date"},
    {"name": "sex", "kind": "category", "absent": "m"},
    {"name": "code", "kind": "category", "required": True},
    {"name": "value", "kind": "number", "by": "code", "edges": ["5"], "edges_by": {"Na": ["130", "145"], "K": ["4"]}},
    {"name": "drugs", "kind": "list", "separator": "|"},
    {"name": "seen", "kind": "date"},
    {"name": "note", "kind": "text", "absent": ""},
    {"name": "outcome", "kind": "category", "absent": "home", "required": True},
]
NAMES = [one["name"] for one in FIELDS]
GIVEN = [
    {"outcome": "admitted"},
    {"outcome": "home", "sex": "m"},
    {"sex": "f", "value": "140"},
    {"code": "K", "seen": "2024-02-29"},
    {"code": "Na", "value": "4.0", "drugs": "a|b|a"},
    {"birth": "1950-01-31", "note": "two words, and more"},
    {"birth": None, "drugs": None, "note": None},
    {"code": "never seen", "outcome": "died at home"},
]


def records(n=60, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        sick = rng.random() < 0.4
        code = "Na" if rng.random() < 0.5 else "K"
        value = str(rng.integers(128, 148)) if code == "Na" else f"{rng.normal(4.2, 0.5):.1f}"
        yield (
            f"19{rng.integers(30, 90)}-01-1{rng.integers(9)}",
            "fm"[rng.integers(2)],
            code,
            value if rng.random() < 0.9 else None,
            "a|b" if sick else "a",
            f"2024-02-1{rng.integers(9)}",
            "tired" if sick else "",
            "admitted" if sick else "home",
        )


def by_place(given):
    return {NAMES.index(name): cell for name, cell in given.items()}


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_every_walk_through_the_symbols_ends_in_a_record_with_the_cells(given):
    codec = RecordColumns(fields=FIELDS)
    cells = by_place(given)
    grammar = GivenGrammar(codec.fields, codec.kinds, codec.first_marker, codec.max_length, cells)
    rng = np.random.default_rng(1)
    for _ in range(12):
        state, symbols = grammar.start(), []
        while True:
            after = {symbol: grammar.step(state, symbol) for symbol in range(codec.alphabet)}
            likely = {symbol: one for symbol, one in after.items() if one is not None}
            least = grammar.least(state)
            if least == 0 and (len(symbols) > 60 or rng.random() < 0.1 or not likely):
                break
            if len(symbols) > 60:
                likely = {symbol: one for symbol, one in likely.items() if grammar.least(one) < least}
            assert likely, "the walk is at a dead end"
            symbol = list(likely)[rng.integers(len(likely))]
            state, symbols = likely[symbol], [*symbols, symbol]
        record = codec.decode(np.array(symbols, np.uint32))
        assert {k: record[k] for k in cells} == cells


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_every_walk_through_the_ids_has_the_cells_in_the_ids_of_the_table(given):
    table = Table.fit(list(records()), codec=RecordColumns(fields=FIELDS), vocabulary=Vocabulary(512), min_records=2)
    held, rng = GivenCells(table, given), np.random.default_rng(2)
    for _ in range(3):
        state, ids, room = held.start(()), [], 70
        while True:
            allowed = np.flatnonzero(held.allowed(state, room - len(ids)))
            free = np.flatnonzero(held.free(state, room - len(ids)))
            assert set(allowed) <= set(free) | set(state.due)
            written = int(allowed[rng.integers(len(allowed))])
            if written == EOS:
                break
            state, ids = held.advance(state, written), [*ids, written]
        record = table.decode(ids)
        assert held.holds(record)
        cells = [cell for name, cell in given.items() if name in ("sex", "drugs", "note", "outcome") and cell]
        canonical = table.encode(record).tolist()
        for cell in cells:  # the ids of a field that is beside no other one are those of the table
            assert _ids_of(table, NAMES[record.index(cell)], ids) == _ids_of(
                table, NAMES[record.index(cell)], canonical
            )


def _ids_of(table, name, ids):
    """The ids of a record that spell a field, by its marker and those of the others."""
    first, spellings = table.codec.first_marker, table.spellings()
    markers = [next((s - first for s in spellings[one - 32].tolist() if s >= first), None) for one in ids]
    found, now = [], None
    for one, marker in zip(ids, markers, strict=True):
        now = now if marker is None else marker
        found += [one] if now == NAMES.index(name) else []
    return found


def write(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on records of a unit whose outcome stands behind what it depends on."""
    folder, rng, rows = tmp_path_factory.mktemp("given"), np.random.default_rng(0), []
    for k in range(200):
        sick = rng.random() < 0.5
        sex, outcome = "f" if sick ^ (rng.random() < 0.2) else "m", "admitted" if sick else "home"
        rows += [[f"p{k}", sex, outcome, f"2024-01-1{day}", "NZ"[rng.integers(2)]] for day in range(2)]
    data = write(folder / "in.csv", ["patient", "sex", "outcome", "visit", "code"], rows)
    fitted = ult.fit(
        data, folder / "t.ult", codec="record/columns", unit="patient", vocabulary_size=1024, encrypt=False
    )
    recipe = ult.Recipe(steps=30, context=32, batch_size=16, learning_rate=1e-2)
    return folder, fitted, ult.train(ult.encode(data, fitted, folder / "s", workers=1), folder / "run", recipe)


def test_a_later_cell_conditions_the_earlier_ones(trained):
    """As among those of many records, written without anything given, that happen to have the cell."""
    _, fitted, run = trained
    free = ult.generate(run, n=400, table=fitted, batch_size=200).records
    for outcome in ("admitted", "home"):
        held = ult.generate(run, n=200, table=fitted, given={"outcome": outcome}, batch_size=200)
        assert [record[1] for record in held.records] == [outcome] * 200
        like = [record[0] == "f" for record in free if record[1] == outcome]
        share, expected = np.mean([record[0] == "f" for record in held.records]), np.mean(like)
        assert abs(share - expected) < 4 * np.sqrt(0.25 / len(like) + 0.25 / 100)
        assert abs(share - 0.5) > 0.1  # which is what forcing alone would give
        assert "were drawn, each weighed by how likely the run finds the given cells" in held.told[0]


def test_first_cells_need_no_weights_and_the_same_seed_gives_the_same_records(trained):
    _, fitted, run = trained
    once, again = (ult.generate(run, n=5, table=fitted, given={"sex": "f"}, seed=3) for _ in range(2))
    assert once.records == again.records
    assert {record[0] for record in once.records} == {"f"}
    assert once.decoded.whole == 5


def test_what_cannot_be_given_is_refused_in_one_line(trained, tmp_path):
    _, fitted, run = trained
    for given, more, says in (
        ({"age": "70"}, {}, "the table has no column 'age'; it has 'sex'"),
        ({"code": "N"}, {}, "'code' is a column of the rows 'rows', of which a record has many"),
        ({"rows": "N"}, {}, "'rows' is of kind rows, whose cells cannot be given"),
        ({"sex": "f"}, {"table": None}, "the given cells are encoded with the owner's table"),
        ({"sex": "f"}, {"temperature": 0}, "temperature is 0; expected one above 0"),
        ({"sex": "f"}, {"top_k": 3}, "top_k changes how likely the given cells are"),
        ({"sex": "f"}, {"grammar": False}, "given cells and --no-grammar were both asked for"),
        ({"sex": "f"}, {"prompts": [[40]]}, "given cells and a prompt were both asked for"),
        ({"sex": 7}, {}, r"given\['sex'\] is 7; expected the cell of a column"),
        ({"sex": "f" * 40}, {}, "none of 1 draw came to an end"),
    ):
        with pytest.raises((InvalidConfig, MissingColumn), match=f"^{says}"):
            ult.generate(run, tmp_path / "no.csv", **{"table": fitted, "given": given} | more)
    codec = RecordColumns(fields=FIELDS)
    table = Table.fit(list(records(9)), codec=codec, vocabulary=Vocabulary(512), min_records=1)
    with pytest.raises(InvalidConfig, match="the given cell '2024-02-30' of 'seen': cell is no date of the form"):
        GivenCells(table, {"seen": "2024-02-30"})
    with pytest.raises(InvalidConfig, match="None of 'code' says that there is no value, as no record did"):
        GivenCells(table, {"code": None})
    levels = [{"name": "age", "kind": "number", "edges": ["50"], "levels": ["40", "60"]}]
    lossy = Table.fit([("40",), ("70",)], codec=RecordColumns(fields=levels), vocabulary=Vocabulary(512), min_records=1)
    with pytest.raises(InvalidConfig, match="'70' of 'age' would become '60': the table keeps only its bin"):
        GivenCells(lossy, {"age": "70"})
    assert not list(tmp_path.iterdir())


def test_the_command_line_takes_cells_and_names_what_is_none(trained, monkeypatch):
    folder, _, _ = trained
    monkeypatch.chdir(folder)
    words = ["generate", "run", "-t", "t.ult", "-n", "4", "-o", "w.csv", "--given", "sex=f", "--given", "outcome=home"]
    app(words, standalone_mode=False)
    with (folder / "w.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {(line["sex"], line["outcome"]) for line in lines} == {("f", "home")}
    for pair in ("sex", "=f"):
        with pytest.raises(InvalidConfig, match=f"given is '{pair}'; expected COLUMN=CELL"):
            app([*words[:4], "-o", "x.csv", "--given", pair], standalone_mode=False)
    with pytest.raises(InvalidConfig, match="given names 'sex' twice"):
        app([*words, "--given", "sex=m", "--force"], standalone_mode=False)


def test_draws_are_taken_by_their_weights():
    assert _taken(np.array([0.0, 0.5, 0.0, 0.5, 0.0]), 4, seed=0) == [1, 1, 3, 3]
    assert _effective([0.0, 0.0, -np.inf, 0.0]) == pytest.approx(3)
    assert _effective([-1e6, -1e6 + np.log(3)]) == pytest.approx(16 / 10)
    assert _effective([-np.inf]) == 0
