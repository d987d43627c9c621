"""Edges of bins under epsilon: what a draw tells of one number, what is learnt, what it costs, and what is refused."""

import itertools
import json
import math
import sys
from collections import Counter

import numpy as np
import pytest

import format_reader
import ult
from ult.__main__ import main
from ult.audit.mechanism.audit import audit_mechanism
from ult.codecs.record import RecordColumns
from ult.codecs.record.field import Field
from ult.errors import FormatError, InvalidConfig, InvalidRecord
from ult.owner import private_bins
from ult.owner.bpe.private_counts import promise
from ult.owner.private_bins import learnt
from ult.owner.table import Table
from ult.privacy import choose, quantiles
from ult.privacy.quantiles import Cells, epsilon_of_draw, private_edges
from ult.public.guarantee import Guarantee, Spent

DRAWS = 1000  # points of a draw, evenly over all that the operating system may give


@pytest.fixture
def drawn(monkeypatch):
    """Draw from one seed, so that nothing fails by chance on some days."""
    rng = np.random.default_rng(7)
    for module in (quantiles, choose):
        monkeypatch.setattr(module, "below", lambda total: int(rng.random() * 2**53) * total >> 53)


def law(monkeypatch, values, epsilon):
    """Return how often each edge of two bins is drawn anywhere, over evenly spaced draws of the code itself."""
    cells, found = Cells.of(np.array(values)), {}
    monkeypatch.setattr(quantiles, "_range", lambda *_: (-1, len(quantiles._edges().values)))
    for k in range(DRAWS):
        monkeypatch.setattr(quantiles, "below", lambda total, k=k: total * (2 * k + 1) // (2 * DRAWS))
        (edge,) = private_edges(cells, 2, epsilon=epsilon)
        found[edge] = found.get(edge, 0) + 1
    return found


def loss(one, other):
    """Return the largest log-ratio of two laws over halves of the line, where both are seen often enough."""
    cuts = [-1e12, -1e4, -1.0, 0.0, 1e-6, 1.0, 1e4, 1e12]
    sides = [[sum(n for edge, n in law.items() if float(edge) > cut) for law in (one, other)] for cut in cuts]
    sides += [[DRAWS - a, DRAWS - b] for a, b in sides]
    return max(abs(math.log(a / b)) for a, b in sides if min(a, b) > 20)


@pytest.mark.parametrize("values", [[0.0], [-1e3, -1.0, 1.0, 1e3], [0.0] * 5, [1e-9] * 3 + [1e9] * 4])
def test_one_number_more_changes_a_draw_by_epsilon_at_most(monkeypatch, values):
    epsilon, worst = 1.0, 0.0
    without = law(monkeypatch, values, epsilon)
    for more in (-1e20, 0.5, 1e20):
        worst = max(worst, loss(law(monkeypatch, [*values, more], epsilon), without))
    assert 0.2 < worst < epsilon + 0.1


def test_weights_of_twice_the_epsilon_would_be_seen(monkeypatch):
    right = choose.weights_of.__wrapped__
    monkeypatch.setattr(quantiles, "weights_of", lambda epsilon: right(2.5 * epsilon))
    assert loss(law(monkeypatch, [0.0, 1e20], 1.0), law(monkeypatch, [0.0], 1.0)) > 1.1


def test_one_number_more_changes_where_numbers_lie_by_epsilon_at_most(monkeypatch):
    def law(values, epsilon):
        cells, found = Cells.of(np.array(values)), []
        for k in range(DRAWS):
            monkeypatch.setattr(choose, "below", lambda total, k=k: total * (2 * k + 1) // (2 * DRAWS))
            found.append(quantiles._range(cells, epsilon))
        return Counter(found)

    def loss(one, other):
        return max(abs(math.log(one[at] / other[at])) for at in one if min(one[at], other[at]) > 20)

    numbers = [5.0] * 19  # about as many as tell anything at this epsilon
    without = law(numbers, 1.0)
    assert without[0, 0] > 20
    worst = [loss(law([*numbers, more], 1.0), without) for more in (-1e20, 0.0, 5.0, 1e20)]
    assert 0.2 < max(worst) < 1.1
    right = choose.weights_of.__wrapped__
    monkeypatch.setattr(choose, "weights_of", lambda epsilon: right(2.5 * epsilon))
    assert loss(law([*numbers, 5.0], 1.0), law(numbers, 1.0)) > 1.1


@pytest.mark.parametrize("n", [0, 60, 2000])
def test_edges_lie_where_numbers_do_or_there_are_none(n, drawn):
    ages = Cells.of(np.random.default_rng(0).integers(18, 90, n).astype(float))
    each = [private_edges(ages, 16, epsilon=0.1) for _ in range(40)]
    edges = [float(edge) for edges in each for edge in edges]
    assert all(-1000 <= edge <= 1000 for edge in edges)
    assert (len(edges) > 500) if n == 2000 else (sum(map(len, each)) < 100)


def test_weights_fall_by_no_more_than_the_promise_and_are_exact_powers():
    weights = choose.weights_of(0.01)
    ratios = {a / b for a, b in itertools.pairwise(weights)}
    assert max(ratios) < math.exp(0.005) < 1.0051 * min(ratios)
    assert weights[0] // weights[-1] >= 2**63


def test_edges_are_quantiles_where_the_numbers_suffice():
    values = np.random.default_rng(0).normal(70, 12, 20_000).round(1)
    edges = private_edges(Cells.of(values), 16, epsilon=0.3)
    shares = np.diff(np.searchsorted(np.sort(values), [float(edge) for edge in edges])) / len(values)
    assert len(edges) == 15
    assert np.abs(shares - 1 / 16).max() < 0.03
    assert all(len(edge.replace("-", "").replace(".", "").strip("0")) <= 4 for edge in edges)


def test_what_a_draw_costs_is_the_better_of_two_bounds():
    assert epsilon_of_draw(1.0, 1e-6, 1) == 1.0
    many = epsilon_of_draw(1.0, 1e-6, 400)
    rho = 400 * many**2 / 8
    assert rho + 2 * math.sqrt(rho * math.log(1e6)) == pytest.approx(1.0)
    with pytest.raises(InvalidConfig, match="too little for edges"):
        epsilon_of_draw(0.001, 1e-6, 4000)


NUMBER = Field(name="x", kind="number", missing=("NA",))
ROWS = Field(name="rows", kind="rows", fields=(Field(name="y", kind="number"), Field(name="c", kind="category")))


def test_a_record_counts_once_in_each_field_whatever_its_rows(monkeypatch):
    seen = []

    def edges_of(counted, *_):
        seen.extend(counted)
        return [()] * 2, 1.0

    monkeypatch.setattr(private_bins, "edges_of", edges_of)
    records = [("1", (("5", "a"),) * 40), ("NA", (("7", "a"), ("no", "b"))), (None, ()), ("1", (("9", None),))]
    found = learnt((NUMBER, ROWS), [records[:2], records[2:]], bins=8, epsilon=1.0, delta=None)
    assert [one.times.tolist() for one in seen] == [[2], [1, 1, 1]]
    assert (found.names, found.records, found.spent.epsilon) == (("x", "y"), 4, pytest.approx(0.1))


def test_given_edges_levels_and_one_bin_cost_nothing():
    given = (Field(name="x", kind="number", edges=("1",)), Field(name="z", kind="category"))
    assert learnt(given, iter(()), bins=16, epsilon=1.0, delta=None).spent is None
    assert learnt((NUMBER,), iter(()), bins=1, epsilon=1.0, delta=None).spent is None
    with pytest.raises(InvalidConfig, match="bins are 9"):
        learnt((NUMBER,), iter(()), bins=9, epsilon=1.0, delta=None)


def test_the_counts_get_what_the_edges_left():
    edges = Spent(0.2, 1e-6)
    kept, plain = promise(2.0, 1e-5, patches=4, records=1000, edges=edges), promise(1.8, 9e-6, patches=4, records=1000)
    assert (kept.noise, kept.threshold) == (plain.noise, plain.threshold)
    assert (kept.epsilon, kept.epsilon_of_edges, kept.delta_of_edges) == (2.0, *edges)
    assert Guarantee.read(kept.document(), "x") == kept
    assert "epsilon_of_edges" not in plain.document()
    with pytest.raises(FormatError, match="cost more than the promise"):
        Guarantee.read(kept.document() | {"epsilon_of_edges": 2.5}, "x")


@pytest.fixture
def people(tmp_path):
    path, rng = tmp_path / "people.csv", np.random.default_rng(1)
    ages = rng.integers(20, 90, 3000)
    path.write_text("age,sex,day\n" + "".join(f"{n},{'fm'[n % 2]},2024-03-{1 + n % 28:02d}\n" for n in ages))
    return path


def fields_of(table):
    assert isinstance(table.codec, RecordColumns)
    return table.codec.fields


def ult_(capsys, monkeypatch, *arguments, status=0):
    monkeypatch.setattr(sys, "argv", ["ult", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        main()
    assert int(done.value.code or 0) == status
    told = capsys.readouterr()
    return " ".join((told.out + told.err).split())


def test_kinds_are_declared_and_bins_are_learnt_by_the_command(tmp_path, people, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ("fit", people, "--codec", "record/columns", "-o", "t.ult", "--no-encryption", "--workers", 1)
    private = (*asked, "--epsilon", 8, "--vocabulary-size", 600)
    told = ult_(capsys, monkeypatch, *private, "--form", "age=number", status=1)
    assert "told the kind of 2 of 3 columns" in told
    assert "--form sex=KIND --form day=KIND" in told
    assert not (tmp_path / "t.ult").exists()
    forms = ("--form", "age=number", "--form", "sex=category", "--form", "day=date")
    told = ult_(capsys, monkeypatch, *private, *forms)
    assert "edges of the bins of 1 number learnt at 0.8 of epsilon" in told
    assert "each row of people.csv is one record" in told
    table = Table.load(tmp_path / "t.ult")
    document = json.loads(table.cleartext())
    assert document["privacy"]["epsilon_of_edges"] == pytest.approx(0.8)
    assert format_reader.Table(table.cleartext()).fingerprint == table.fingerprint
    edges = [float(edge) for edge in fields_of(table)[0].edges]
    assert len(edges) == 15
    assert abs(np.median(edges) - 55) < 10
    told = ult_(capsys, monkeypatch, *private, *forms, "--bins", 1, "--force")
    assert "learnt at" not in told
    assert fields_of(Table.load(tmp_path / "t.ult"))[0].edges == ()


def test_what_is_no_number_is_refused_with_its_place_and_nothing_is_written(tmp_path, people):
    people.write_text(people.read_text() + "old,f,2024-03-01\n")
    forms = {"age": "number", "sex": "category", "day": "date"}
    made = {"codec": "record/columns", "epsilon": 8.0, "encrypt": False, "workers": 1, "vocabulary_size": 600}
    with pytest.raises(InvalidRecord, match=r"people.csv, row 3001, column 'age': .*no number"):
        ult.fit(people, tmp_path / "t.ult", **made, forms=forms)
    with pytest.raises(InvalidConfig, match="cannot be read as 'rows'"):
        ult.fit(people, tmp_path / "t.ult", **made, forms=forms | {"sex": "rows"})
    assert [path.name for path in tmp_path.iterdir()] == ["people.csv"]


def test_all_columns_of_a_unit_are_its_rows(tmp_path, people):
    forms = {"sex": "category", "day": "date"}
    made = {"codec": "record/columns", "epsilon": 8.0, "encrypt": False, "workers": 1, "vocabulary_size": 600}
    fitted = ult.fit(people, tmp_path / "t.ult", **made, forms=forms, unit="age")
    assert [one.kind for one in fields_of(fitted.table)] == ["rows"]
    assert (fitted.table.records, fitted.private_bins) == (70, ())


def test_columns_of_joined_tables_are_declared_by_the_names_that_are_printed(tmp_path, people):
    labs = tmp_path / "labs.csv"
    labs.write_text("who,value,note\n" + "".join(f"{20 + k % 70},{k % 9}.5,x\n" for k in range(900)))
    made = {"codec": "record/columns", "epsilon": 8.0, "encrypt": False, "workers": 1, "vocabulary_size": 600}
    inputs, forms = [people, f"labs:who={labs}"], {"sex": "category", "day": "date"}
    with pytest.raises(InvalidConfig, match=r"kind of 2 of 4 columns \(hint: --form value=KIND --form note=KIND,"):
        ult.fit(inputs, tmp_path / "t.ult", **made, forms=forms, unit="age")
    asked = {"forms": forms | {"labs.value": "number"}, "drop": ["labs.note"]}
    fitted = ult.fit(inputs, tmp_path / "t.ult", **made, **asked, unit="age")
    assert [(one.name, [each.name for each in one.fields]) for one in fields_of(fitted.table)] == [
        ("rows", ["sex", "day"]),
        ("labs", ["value"]),
    ]
    assert (fitted.table.records, fitted.private_bins) == (70, ("value",))
    (tmp_path / "p.jsonl").write_text('{"age": 1}\n')
    with pytest.raises(InvalidConfig, match="ult describe OTHER_FILE --public"):
        ult.fit(tmp_path / "p.jsonl", tmp_path / "j.ult", **made, forms={"age": "number"})


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
class TestAudit:
    """`ult audit mechanism --of bins` refutes planted faults of the code, and not the code as it is."""

    def refuted(self, trials=1000):
        found = audit_mechanism(("bins",), settings=[(1.0, 4)], trials=trials, miss=0.02, again=False)
        return found["refuted"]

    def test_the_code_is_not_refuted(self):
        assert not self.refuted()

    def test_a_share_that_is_not_a_share_is_refuted(self, monkeypatch):
        monkeypatch.setattr(private_bins, "SHARE", 1.0)
        assert self.refuted(300)

    def test_draws_that_do_not_add_up_are_refuted(self, monkeypatch):
        monkeypatch.setattr(private_bins, "epsilon_of_draw", lambda epsilon, delta, draws: epsilon)
        assert self.refuted(1500)

    def test_all_rows_of_a_record_that_count_are_refuted(self, monkeypatch):
        monkeypatch.setattr(private_bins, "_drawn", lambda at, values, owner: values)
        assert self.refuted(600)
