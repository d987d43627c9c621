"""Marginals: every look is within the budget, what is known by noisy counts is told again, and no more."""

import csv
import datetime
import io
import itertools
import math
from collections import Counter
from decimal import Decimal
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from test_synth import killed, looked
from ult import synth
from ult.audit.mechanism import claims
from ult.codecs.record.field import Field
from ult.errors import InvalidConfig, InvalidRecord
from ult.privacy import concentrated
from ult.privacy.randomness import Seeded
from ult.public.guarantee import Spent
from ult.synth.marginals import known, looks, making
from ult.synth.marginals import persons as persons_
from ult.synth.marginals.domain import domain_of
from ult.synth.marginals.scale import scale_of
from ult.synth.stages import Synthesis

HEAD = ["age", "sex", "potassium", "seen", "outcome"]
FORMS = {"age": "number", "sex": "category", "potassium": "number", "seen": "date", "outcome": "category"}
FIELDS = [Field(name=name, kind=kind, absent="", missing=("?",) * (kind != "category")) for name, kind in FORMS.items()]
LABELLED = {"condition": "outcome", "labels": ["home", "admitted"]}
CELLS = {"age": ("20..89",), "sex": ("f", "m"), "potassium": ("0.0..9.9", "?"), "seen": ("2020-01-01..2021-12-31",)}
SEEDED = {"epsilon": 8.0, "secure_random": False, "workers": 1}
N = 900


def people(n=N, seed=0):
    """Old ones are admitted, and men have more potassium."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        old, man = rng.random() < 0.5, rng.random() < 0.5
        age = str(rng.integers(60, 90) if old else rng.integers(20, 60))
        potassium = "?" if rng.random() < 0.2 else f"{rng.normal(5 if man else 4, 0.2):.1f}"
        seen = (datetime.date(2020, 1, 1) + datetime.timedelta(days=int(rng.integers(700)))).isoformat()
        found.append((age, "fm"[man], potassium, seen, "admitted" if rng.random() < (0.9 if old else 0.1) else "home"))
    return found


def write(path, rows, head=HEAD):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("marginals")
    write(root / "people.csv", people())
    return root


def made(folder, out, n=400, inputs="people.csv", **options):
    done = synth.synthesise(folder / inputs, out, rows=n, **{**SEEDED, "forms": FORMS, **options})
    return done, list(csv.DictReader(io.StringIO(out.read_text()))) if out.suffix == ".csv" else None


@pytest.mark.parametrize("condition", [{}, LABELLED], ids=["tree", "labels"])
def test_columns_and_how_they_go_together_come_again(condition, folder, tmp_path):
    done, rows = made(folder, tmp_path / "out.csv", **condition)
    assert (done.told.method, done.told.table, done.told.run) == ("marginals", "", "")
    assert list(rows[0]) == HEAD
    assert {row["sex"] for row in rows} == {"f", "m"}
    assert all(10 <= int(row["age"]) < 100 for row in rows)
    assert all(2019 <= datetime.date.fromisoformat(row["seen"]).year <= 2030 for row in rows)
    assert 0.1 < sum(row["potassium"] == "?" for row in rows) / len(rows) < 0.3
    assert all(len(row["potassium"].partition(".")[2]) < 2 for row in rows)

    def mean(column, **where):
        here = [row for row in rows if all(row[k] == v for k, v in where.items())]
        return np.mean([float(row[column]) for row in here if row[column] != "?"])

    assert mean("age", outcome="admitted") > mean("age", outcome="home") + 15
    assert mean("potassium", sex="m") > mean("potassium", sex="f") + 0.4


def test_labels_are_as_many_as_asked_and_one_that_nobody_has_is_said(folder, tmp_path):
    done, _ = made(folder, tmp_path / "typo.csv", n=5, condition="outcome", labels=["home", "admited"])
    assert "few records or none have the label 'admited'" in " ".join(done.remarks())
    assert "of the cells of 'outcome' are none of those that were declared" in done.remarks()[0]
    _, rows = made(folder, tmp_path / "out.csv", n=30, condition="outcome", labels={"home": 10, "admitted": 20})
    assert Counter(row["outcome"] for row in rows) == {"home": 10, "admitted": 20}


def test_columns_of_types_come_back_with_their_types(tmp_path):
    rng = np.random.default_rng(0)
    columns = {
        "count": pa.array(rng.integers(-5, 6, N), pa.int16()),
        "dose": pa.array(rng.choice([0.5, 1.0, 2.25], N)),
        "price": pa.array([None if k % 9 == 0 else Decimal(k % 90) for k in range(N)], pa.decimal128(6, 2)),
        "well": pa.array(rng.random(N) < 0.5),
        "day": pa.array([datetime.date(2020, 1, 1 + k % 28) for k in range(N)]),
    }
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    forms = dict.fromkeys(("count", "dose", "price"), "number") | {"well": "category", "day": "date"}
    made(tmp_path, tmp_path / "out.parquet", inputs="in.parquet", forms=forms)
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.schema.types == [one.type for one in columns.values()]
    assert 20 < found["price"].null_count < 70


def test_persons_come_again_with_their_rows(tmp_path):
    rows = [(str(k), *row) for k, mine in enumerate(visits()) for row in mine]
    write(tmp_path / "visits.csv", rows, ["patient", *HEAD])
    options = {"unit": "patient", "method": "marginals", "inputs": "visits.csv"}
    done, found = made(tmp_path, tmp_path / "out.csv", **options)
    assert (done.told.unit, done.told.unit_column, done.told.records) == ("person", "patient", 400)
    assert "of each person at most 8 rows count" in done.told.public[-1]
    assert list(found[0]) == ["patient", *HEAD]
    each = {}
    for row in found:
        each.setdefault(row["patient"], []).append(row)
    assert len(each) == 400
    assert max(map(len, each.values())) == 8
    assert 0.3 < sum(len(one) == 8 for one in each.values()) / 400 < 0.55  # 5 of 12 have 8 or more
    pairs = [(a, b) for one in each.values() for a, b in itertools.pairwise(one)]
    assert sum(a["sex"] == b["sex"] for a, b in pairs) / len(pairs) > 0.9
    assert 0.3 < sum(a["outcome"] == b["outcome"] for a, b in pairs) / len(pairs) < 0.7
    men = [float(row["potassium"]) for row in found if row["sex"] == "m" and row["potassium"] != "?"]
    assert np.mean(men) > 4.6


def declared(told):
    return {name: f"{kind}:{'|'.join(told[name])}" if name in told else kind for name, kind in FORMS.items()}


@pytest.mark.parametrize("condition", [{}, LABELLED], ids=["tree", "labels"])
def test_what_cells_there_may_be_is_declared_and_costs_nothing(condition, folder, tmp_path):
    done, rows = made(folder, tmp_path / "out.csv", forms=declared(CELLS), epsilon=1.0, **condition)
    assert "what cells 'seen' may have, which the owner declared" in done.told.public
    assert {row["sex"] for row in rows} == {"f", "m"}
    assert all(20 <= int(row["age"]) <= 89 for row in rows)
    assert max(row["seen"] for row in rows) <= "2021-12-31"
    assert all(row["potassium"] == "?" or len(row["potassium"]) == 3 for row in rows)
    assert 0.05 < sum(row["potassium"] == "?" for row in rows) / len(rows) < 0.4


def test_cells_that_were_not_declared_are_empty_and_said_and_change_nothing_else(folder, tmp_path):
    told = {"sex": ("f", "x"), "age": ("20..49",)}
    done, rows = made(folder, tmp_path / "out.csv", forms=declared(told), **LABELLED)
    assert {row["sex"] for row in rows} <= {"f", "x", ""}
    assert 0.35 < sum(row["sex"] == "" for row in rows) / len(rows) < 0.65
    assert all(row["age"] == "" or 20 <= int(row["age"]) <= 49 for row in rows)
    said = [one for one in done.remarks() if "none of those that were declared, and written as empty" in one]
    assert [f"{name!r}" in one for name, one in zip(("age", "sex"), said, strict=True)] == [True, True]


def test_a_declaration_that_cannot_be_is_refused_before_anything_is_read(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Synthesis, "_number", None)
    for name, told, match in (
        ("age", ("20", "30"), "0 ranges are declared"),
        ("age", ("90..20",), "the range is 90..20"),
        ("age", ("20..x",), "the range is 20..x"),
        ("age", ("0..99", "old"), "the cell 'old' is declared; expected a number"),
        ("seen", ("2020-01-01..2020-13-01",), "expected a date"),
        ("sex", ("f", "f"), "each once"),
        ("outcome", ("home", "admitted"), "which are its labels"),
    ):
        with pytest.raises(InvalidConfig, match=match):
            made(folder, tmp_path / "out.csv", forms=declared({name: told}), **LABELLED)
    with pytest.raises(InvalidConfig, match="which the method train does not take"):
        made(folder, tmp_path / "out.csv", forms=declared(CELLS), method="train")
    assert not list(tmp_path.iterdir())


def test_parts_of_a_declared_range_are_all_of_it_and_end_where_it_ends():
    def domain(told, **of):
        return domain_of(Field(name="x", kind="number", **of), (told,))

    assert domain("1..3").stops == (1.0, 2.0, 3.0, 4.0)
    assert domain("0.1..0.3").stops == (0.1, 0.2, 0.3, 0.4)
    assert dict(domain("0.50..9.75").forms) == {"2.0": 0.0, "2.1": 0.0, "2.2": 1.0}
    assert dict(domain("0..9.5").forms) == {"1.1": 1.0}
    stops = np.array(domain("-1000..100000").stops)
    assert (stops[0], stops[-1]) == (-1000, 100001)
    assert (np.diff(stops) > 0).all()
    assert 64 < len(stops) <= 128


# ---- one account


def test_one_look_is_on_the_account_and_a_second_would_be_seen(folder, tmp_path, monkeypatch):
    found = looked(monkeypatch)
    done, _ = made(folder, tmp_path / "out.csv", **LABELLED)
    assert set(found) == {"the number of records", name := "common cells, places of numbers, and pairs of columns"}
    assert done.told.parts == ((name, 8.0, done.told.delta),)
    right = Synthesis._published

    def planted(self, *args, **options):
        list(self.records.source.batches())
        return right(self, *args, **options)

    monkeypatch.setattr(Synthesis, "_published", planted)
    made(folder, tmp_path / "other.csv")
    assert "" in found


@pytest.fixture
def spent(monkeypatch):
    """What one record changes in all looks together: squared, over twice the variance; and draws of pairs."""
    seen = []

    def still(self, counts, noise):
        seen.append((np.array(counts, float), noise))
        return np.array(counts, float)

    def first(errors, epsilon):
        seen.append((np.array(errors), epsilon, "drawn"))
        return 0

    monkeypatch.setattr(looks._Looks, "_noisy", still)
    monkeypatch.setattr(looks, "chosen", first)
    # what is told already is the same on both sides, as noise is drawn but once
    monkeypatch.setattr(known.Known, "expected", lambda of, *k: np.full([of.columns[j].classes for j in k], 3.0))
    monkeypatch.setattr(looks, "_stops", lambda grid, *_: tuple(grid))
    monkeypatch.setattr(looks, "_quantiles", lambda stops, *_: tuple(stops[::9]))

    def spent(fields, records, more, cost, **of):
        sides = []
        for many in (records, [*records, more]):
            seen.clear()
            looks.measured(fields, [many].copy, 600, cost, Seeded(0), **of)
            sides.append(list(seen))
        found = 0.0
        for one, other in zip(*sides, strict=True):
            change = np.abs(one[0] - other[0])
            most = max(1, change.max())  # which a draw is charged for
            found += (most * one[1]) ** 2 / 8 if len(one) == 3 else (change**2).sum() / (2 * one[1] ** 2)
        return found

    return spent


@pytest.mark.parametrize("told", [(), CELLS], ids=["learnt", "declared"])
@pytest.mark.parametrize("labels", [(), ("home", "admitted")], ids=["tree", "labels"])
def test_one_record_changes_all_looks_together_by_no_more_than_was_charged(labels, told, spent):
    order = [4, 0, 1, 2, 3]
    fields, rows = [FIELDS[k] for k in order], [tuple(row[k] for k in order) for row in people(600)]
    domains = {k: domain_of(one, told[one.name]) for k, one in enumerate(fields) if one.name in told}
    cost = Spent(3.0, 1e-4)
    found = spent(fields, rows, rows[7], cost, labels=labels, domains=domains)
    allowed = concentrated.rho_of(cost.epsilon, cost.delta / (1 if told and labels else 2))
    assert 0.9 * allowed < found <= allowed * (1 + 1e-9)


def visits(n=600, seed=0, most=12):
    """Persons with rows, in all of which sex is the same, and in which the outcome is as often the one as the other."""
    rng, rows = np.random.default_rng(seed), people(2 * n * most, seed)
    pools = [iter([row for row in rows if row[1] == sex]) for sex in "fm"]
    return [list(itertools.islice(pools[k % 2], int(rng.integers(1, most + 1)))) for k in range(n)]


def forgetful(right):
    """Rows of persons that count as one each."""

    def rows_of(persons):
        rows = right(persons)
        return rows._replace(parts=[rows.whole] * len(rows.parts))

    return rows_of


def test_one_person_changes_all_looks_together_by_no_more_than_one_record_would(spent, monkeypatch):
    persons, cost = visits(200), Spent(3.0, 1e-4)
    allowed = concentrated.rho_of(cost.epsilon, cost.delta / 2)
    alike = [persons[0][0]]
    for rows in (alike, alike * 3, alike * 40, next(one for one in persons if len(one) > 8)):
        assert spent(FIELDS, persons, rows, cost, fixed=0) <= allowed * (1 + 1e-9)
    assert spent(FIELDS, persons, alike * 40, cost, fixed=0) > 0.8 * allowed
    monkeypatch.setattr(persons_, "rows_of", forgetful(persons_.rows_of))
    assert spent(FIELDS, persons, alike * 40, cost, fixed=0) > 10 * allowed


def outcomes(trials, there, first, persons):
    """How much more all counts say of one record's cells than they would without it, in each of so many trials."""
    fields = [Field(name="ward", kind="category"), Field(name="ill", kind="category")]
    rows: list[Any] = [("east", "yes")] * (200 + there) + [("west", "no")] * 200
    if persons:
        rows = [[row] for row in rows[there:]] + [[("east", "yes")] * 9] * there
    found = []
    for seed in range(first, first + trials):
        told = looks.measured(fields, [rows].copy, 400, Spent(1.0, 0.05), Seeded(seed), fixed=0 if persons else None)
        at = [column.atoms.index(cell) for column, cell in zip(told.columns, ("east", "yes"), strict=True)]
        score = sum((column.counts[k] - 200.5) / told.noise**2 for column, k in zip(told.columns, at, strict=True))
        score += sum((pair.counts[at[pair.first], at[pair.second]] - 200.5) / pair.noise**2 for pair in told.pairs)
        found.append(score)
    return np.array(found)


@pytest.mark.parametrize("persons", [False, True], ids=["records", "persons"])
def test_trials_of_the_real_code_do_not_refute_the_promise_and_a_fault_is_found(persons, monkeypatch):
    def tried():
        sides = np.stack([outcomes(60, True, 0, persons), outcomes(60, False, 1000, persons)])
        sides /= np.abs(sides).max()  # their order counts alone
        return claims.alike("marginals", sides[0], sides[1], 1.0, 0.05, miss=1e-3)

    assert not tried()["refuted"]
    if persons:
        monkeypatch.setattr(persons_, "rows_of", forgetful(persons_.rows_of))
    else:
        right = looks._Looks._noisy
        monkeypatch.setattr(looks._Looks, "_noisy", lambda self, counts, noise: right(self, counts, noise / 16))
    assert tried()["refuted"]


def test_a_cell_of_one_record_is_told_as_rarely_as_was_promised():
    of = looks._Looks(FIELDS, 1000, Spent(3.0, 1e-4), Seeded(0), {}, None, labelled=False)
    tail = 1 - NormalDist().cdf((of.threshold - 1) / of.noise)
    assert 0.2 * 1e-4 < len(FIELDS) * tail <= 0.5 * 1e-4 * 1.001
    rows = [*people(), ("41", "secret", "4.0", "2020-01-01", "home")]
    found = looks.measured(FIELDS, lambda: [rows], len(rows), Spent(8.0, 1e-4), Seeded(0))
    assert found.columns[1].atoms == ("f", "m") or found.columns[1].atoms == ("m", "f")


def test_concentrated_privacy_covers_gaussians_and_is_no_looser_than_the_usual_bound():
    for epsilon, delta in ((0.5, 1e-6), (1.0, 1e-4), (8.0, 1e-5)):
        rho = concentrated.rho_of(epsilon, delta)
        mu, phi = math.sqrt(2 * rho), NormalDist().cdf  # of one Gaussian that spends it; exact, arXiv:1805.06530
        exact = phi(mu / 2 - epsilon / mu) - math.exp(epsilon) * phi(-mu / 2 - epsilon / mu)
        assert 0.05 * delta < exact <= delta
        assert rho + 2 * math.sqrt(rho * math.log(1 / delta)) > epsilon


# ---- what is refused


def test_what_marginals_are_not_for_is_refused_or_left_to_a_run(folder, tmp_path):
    for options, match in (
        ({"epsilon": None, "forms": {}}, "without one a run writes as it is"),
        ({"steps": 5}, "marginals have neither"),
        ({"forms": FORMS | {"sex": "text"}}, "'sex' is of kind text"),
        ({"unit": "sex", "forms": {k: v for k, v in FORMS.items() if k != "sex"}, **LABELLED}, "no single cell"),
        ({"bins": 3}, "bins are 3"),
    ):
        with pytest.raises(InvalidConfig, match=match):
            made(folder, tmp_path / "out.csv", method="marginals", **options)
    write(tmp_path / "bad.csv", [*people(50), ("old", "f", "4", "2020-01-01", "home")])
    with pytest.raises(InvalidRecord, match=r"bad.csv, row 51, column 'age'"):
        made(tmp_path, tmp_path / "out.csv", inputs="bad.csv")
    assert [one.name for one in tmp_path.iterdir()] == ["bad.csv"]


def test_after_a_kill_what_was_counted_is_not_counted_again(folder, tmp_path, monkeypatch):
    assert killed(lambda notice: made(folder, tmp_path / "out.csv", notice=notice), 1) == -9
    monkeypatch.setattr(making, "counted", None)
    done, rows = made(folder, tmp_path / "out.csv")
    assert (done.told.records, len(rows)) == (400, 400)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_place_is_spelled_in_the_forms_of_its_column():
    scale = scale_of(Field(name="x", kind="number"))
    assert [one and one.form for one in scale.read(["1.50", "7", "-0.25", "9" * 400, "x"])] == [
        "2.1",
        "0.0",
        "2.2",
        "0.0",
        None,
    ]
    for value, form, forms, text in (
        (1.509, "2.2", ["2.2"], "1.5"),
        (1.509, "2.2", ["2.2", "2.1"], "1.50"),
        (63.9, "1.0", ["1.0"], "63.0"),
        (-0.001, "0.0", ["0.0"], "-1"),
        (0.001, "1.1", ["1.1"], "0"),
    ):
        assert scale.spell(value, form, forms) == text
    dates = scale_of(Field(name="x", kind="date", forms=("d.m.Y", "Y-m-d")))
    (placed,) = dates.read(["2024-03-09"])
    assert dates.spell(placed.value + 0.9, placed.form, dates.forms) == "2024-03-09"
