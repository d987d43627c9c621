"""`ult audit synth`: leaks that are planted turn red, honest records stay green, and what cannot be told is amber."""

import ast
import csv
import inspect
import json
import re
from typing import Any

import numpy as np
import pytest

from test_page import Text
from ult.audit import audit_synth
from ult.audit.synth import copies, judge
from ult.audit.synth.frontier import area
from ult.audit.synth.told import SO
from ult.cli import app
from ult.errors import InvalidConfig, MissingColumn, OutputExists, SourceError
from ult.public.synthetic import Synthetic, beside, digest_of

HEAD = ("age", "income", "city", "visit", "ill")
CITIES = np.array(["Ulm", "Bern", "Graz", "Linz", "Bonn", "Jena"])
N = 600


def people(seed, n=N):
    """Made-up people: the old and the poor are ill more often."""
    rng = np.random.default_rng(seed)
    age, income = rng.integers(20, 90, n), rng.lognormal(10, 0.5, n).astype(int)
    ill = rng.random(n) < 1 / (1 + np.exp(-(age - 55) / 8 + (income - 22000) / 9000))
    days = np.datetime64("2020-01-01") + rng.integers(0, 900, n)
    return [
        [str(a), str(i), str(c), str(d), "yes" if y else "no"]
        for a, i, c, d, y in zip(age, income, rng.choice(CITIES, n), days, ill, strict=True)
    ]


def write(path, rows, head=HEAD):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
    return path


def drawn_privately(rows, n=N, *, epsilon=3.0, seed=7):
    """Records of noisy marginals of each column with the label, over public bins: what an honest maker may write."""
    rng = np.random.default_rng(seed)
    edges = {"age": np.arange(20, 91, 10), "income": np.arange(0, 100_001, 5000), "visit": np.arange(18262, 19163, 90)}
    days = np.array([row[3] for row in rows], "datetime64[D]").astype(int)
    values = {"age": np.array([int(row[0]) for row in rows]), "income": np.array([int(row[1]) for row in rows])}
    values |= {"visit": days, "city": np.array([np.flatnonzero(row[2] == CITIES)[0] for row in rows])}
    ill = np.array([row[4] == "yes" for row in rows])
    made = rng.random(n) < np.clip(ill.sum() + rng.laplace(0, 10 / epsilon), 1, len(rows) - 1) / len(rows)
    found = {}
    for name, each in values.items():
        cuts = edges.get(name, np.arange(len(CITIES) + 1))
        found[name] = np.zeros(n, int)
        for side in (False, True):
            counts = np.histogram(each[ill == side], cuts)[0] + rng.laplace(0, 10 / epsilon, len(cuts) - 1)
            shares = np.maximum(counts, 0.01)
            bins = rng.choice(len(shares), (made == side).sum(), p=shares / shares.sum())
            found[name][made == side] = cuts[bins] + rng.random(len(bins)) * np.diff(cuts)[bins]
    dates = np.array(found["visit"], "datetime64[D]")
    cells = zip(found["age"], found["income"], CITIES[found["city"]], dates, made, strict=True)
    return [[str(a), str(i), str(c), str(d), "yes" if y else "no"] for a, i, c, d, y in cells]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("synth")
    write(root / "train.csv", people(1))
    write(root / "test.csv", people(2))
    write(root / "others.csv", people(3))
    return root


def audited(folder, rows, head=HEAD, **options):
    path = write(folder / "made.csv", rows, head)
    asked = {"held_out": folder / "test.csv", "epsilon": 1, "progress": lambda *_: None, **options}
    return audit_synth(path, folder / "train.csv", **asked).document


def levels(document):
    """The worst level of each topic."""
    found = {}
    for one in document["findings"]:
        found[one["topic"]] = max(found.get(one["topic"], "green"), one["level"], key=("green", "amber", "red").index)
    return found


def test_other_real_records_are_green(folder):
    told = audited(folder, people(3), label="ill")
    assert told["verdict"] == "green"
    assert set(levels(told)) == {"guarantee", "copies", "values", "extremes", "shift", "membership", "bound"}
    assert told["fidelity"]["invalid"] == 0
    assert told["fidelity"]["one_way"]["synthetic"] < 2 * told["fidelity"]["one_way"]["held_out"]
    for one in told["utility"]["systems"].values():
        assert one["synthetic"] > 0.75
        assert abs(one["difference"]) < 0.06


def test_honest_private_records_are_green_and_worse(folder):
    told = audited(folder, drawn_privately(people(1)), epsilon=3.0, label="ill")
    assert told["verdict"] == "green", levels(told)
    assert 0.7 < told["utility"]["systems"]["logistic regression"]["synthetic"] < 0.9


def bootstrap(train):
    rng = np.random.default_rng(0)
    return [train[k] for k in rng.integers(0, len(train), len(train))]


def shuffled(train):
    """Each column by itself: no record is copied, and every value is."""
    rng = np.random.default_rng(0)
    return list(map(list, zip(*(rng.permutation(column) for column in zip(*train, strict=True)), strict=True)))


def one_in(train, every=40):
    return [train[k] if k % every == 0 else row for k, row in enumerate(people(3))]


def clipped(train):
    """Honest, but for the greatest income, which is that of one person."""
    rich = max(train, key=lambda row: int(row[1]))[1]
    return [
        [a, rich if k == 5 else str(min(int(i), int(rich) - 1)), *more] for k, (a, i, *more) in enumerate(people(3))
    ]


@pytest.mark.parametrize(
    ("plant", "red"),
    [
        (bootstrap, {"copies", "values", "membership", "bound"}),
        (shuffled, {"values"}),
        (one_in, {"copies"}),
        (clipped, {"extremes"}),
    ],
)
def test_a_planted_leak_is_red(plant, red, folder):
    told = audited(folder, plant(people(1)))
    found = {topic for topic, level in levels(told).items() if level == "red"}
    assert red <= found
    assert told["verdict"] == "red"
    if plant in (one_in, clipped):
        assert found - red <= {"values", "membership"}


def test_one_copied_record_in_two_hundred_is_red_in_two_thousand(folder, tmp_path):
    train = people(1, 2000)
    write(tmp_path / "train.csv", train)
    write(tmp_path / "test.csv", people(2, 2000))
    made = [train[k] if k % 200 == 0 else row for k, row in enumerate(people(3, 2000))]
    told = audited(tmp_path, made)
    assert levels(told)["copies"] == "red"
    assert levels(audited(tmp_path, people(3, 2000)))["copies"] == "green"


def test_five_copied_records_are_red_and_one_is_counted(folder):
    """One equal record in 600 honest ones is met in one case of five: it is said, and no verdict."""
    train = people(1)
    told = audited(folder, [*train[:5], *people(3)[5:]])
    assert levels(told)["copies"] == "red"
    told = audited(folder, [*train[:1], *people(3)[1:]])
    assert told["privacy"]["records"]["real_only"] == 1
    assert 0.01 < told["privacy"]["records"]["p_value"] < 0.5
    assert levels(told)["copies"] == "green"
    assert "1 of 600 synthetic records equal a real one, 0 a held-out one" in str(told["findings"])


def test_ten_pasted_records_are_red_however_few_are_held_out(folder, tmp_path):
    few = write(tmp_path / "few.csv", people(2, 100))
    assert levels(audited(folder, people(3), held_out=few))["copies"] == "green"
    assert levels(audited(folder, [*people(3)[10:], *people(1)[:10]], held_out=few))["copies"] == "red"


def test_no_claim_is_red_and_no_held_out_records_are_amber(folder):
    told = audited(folder, people(3), epsilon=None)
    assert levels(told)["guarantee"] == told["verdict"] == "red"
    assert "bound" not in levels(told)
    told = audited(folder, people(3), held_out=None)
    assert levels(told) == {"guarantee": "green", "copies": "amber"}
    assert (told["verdict"], told["privacy"], told["utility"]) == ("amber", None, None)
    told = audited(folder, people(3), epsilon=50)
    assert levels(told)["guarantee"] == "amber"


def test_a_claim_is_read_beside_and_holds_for_that_file_alone(folder):
    path = write(folder / "made.csv", bootstrap(people(1)))
    claim = {"records": N, "method": "train", "codec": "record/columns", "table": "", "run": "", "epsilon": 1.0}
    beside(path).write_text(Synthetic(**claim, digest=digest_of(path), delta=1e-6).to_json())
    try:
        told = audited(folder, bootstrap(people(1)), epsilon=None)
        assert told["claim"]["epsilon"] == 1
        assert levels(told)["bound"] == "red"
        with pytest.raises(InvalidConfig, match="claims an epsilon of 1, and --epsilon says 2"):
            audited(folder, bootstrap(people(1)), epsilon=2)
        told = audited(folder, people(3), epsilon=None)
        assert levels(told)["guarantee"] == "red"
        assert "bound" not in levels(told)
    finally:
        beside(path).unlink()


def test_few_held_out_records_are_never_green_and_others_of_another_kind_are_no_control(folder, tmp_path):
    few = write(tmp_path / "few.csv", people(2, 60))
    assert levels(audited(folder, people(3), held_out=few))["copies"] == "amber"
    old = write(tmp_path / "old.csv", [["88", *row[1:]] for row in people(2)])
    told = audited(folder, people(3), held_out=old)
    assert levels(told)["shift"] == "amber"
    assert "differ in themselves" in str(told["findings"])


def test_what_another_maker_spells_otherwise_is_the_same(folder):
    """1.0 is 1, an empty cell is null; what is no number is invalid."""
    spelled = [[f"{row[0]}.0", f"{float(row[1]):e}", *row[2:]] for row in people(1)]
    told = audited(folder, spelled)
    assert told["privacy"]["records"]["copied"] > 0.9 * N
    assert told["fidelity"]["invalid"] == 0
    wrong = [["n/a" if k % 2 else "old", *row[1:]] for k, row in enumerate(people(3))]
    told = audited(folder, wrong)
    assert told["fidelity"]["invalid"] == N / 2
    assert levels(told)["invalid"] == "amber"
    (age,) = (one for one in told["fidelity"]["columns"] if one["column"] == "age")
    assert age["missing"]["synthetic"] == 0.5


def test_columns_of_one_side_alone_are_left_out_and_said(folder, tmp_path):
    told = audited(folder, [row[:3] for row in people(3)], HEAD[:3])
    assert [one["column"] for one in told["fidelity"]["columns"]] == list(HEAD[:3])
    assert "'ill' (the synthetic records lack it)" in told["left_out"]
    more = audited(folder, [[*row, "anything"] for row in people(3)], [*HEAD, "note"], report=tmp_path / "more.html")
    assert levels(more)["columns"] == "amber", "what was compared with nothing is never green"
    assert any(said.endswith("questions could not be answered with these files: columns that real records lack.")
               for said in more["says"])  # fmt: skip
    page = (tmp_path / "more.html").read_text()
    assert re.search("<b>columns that real records lack</b> · not measured", page)
    with pytest.raises(MissingColumn, match="has none of the real records' columns"):
        audited(folder, [["x"]] * 9, ["other"])
    with pytest.raises(MissingColumn, match="has no column 'ill'"):
        audited(folder, people(3), held_out=write(tmp_path / "short.csv", [row[:4] for row in people(2)], HEAD[:4]))
    for wrong, said in (
        ({"label": "income"}, "has [0-9]+ values; expected 2 to 50"),
        ({"label": "no"}, "is no column that is compared"),
        ({"label": "ill", "held_out": None}, "no held-out records to test on"),
        ({"label": "ill", "drop": ["ill"]}, "is the label, so it cannot be dropped"),
        ({"epsilon": None, "delta": 0.1}, "a delta was given without an epsilon"),
        ({"epsilon": -1}, "epsilon is -1; expected more than 0"),
        ({"canaries": folder / "train.csv"}, "no column holds some"),
        ({"canaries": folder / "nothing"}, "cannot be read"),
    ):
        with pytest.raises(InvalidConfig, match=said):
            audited(folder, people(3), **wrong)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"age,income,city,visit,ill\n", "has a header and no rows"),
        (b"age,income,city,visit,ill\n1,2\n", "line 2 has 2 cells"),
        (b"age,income,city,visit,ill\n1,2,\xff\xfe,4,5\n", "UTF-8"),
        (b"PAR1 is what I say I am", "is a Parquet file"),
    ],
)
def test_a_damaged_file_is_one_line_and_no_output(content, said, folder, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=said):
        audit_synth(path, folder / "train.csv", held_out=folder / "test.csv", report=tmp_path / "page.html")
    assert [one.name for one in tmp_path.iterdir()] == ["bad.csv"]


# ---- parts


def test_chance_is_as_rare_as_it_says():
    """Of 300 audits of honest records, copies and values are called by chance no more often than their p-values say."""
    rng = np.random.default_rng(0)
    p = [copies._of_records(*(rng.poisson(0.3, 200).astype(float) for _ in range(2))) for _ in range(300)]
    assert np.mean(np.array(p) < 0.05) < 0.08
    assert copies.chance(0, 0, 0.5, 1.0) == 1
    assert copies.chance(10, 0, 0.5, 0.01) < 1e-6
    assert copies.chance(10, 10, 0.5, 0.01) > 0.5


def test_the_frontier_is_between_nothing_and_the_same():
    one = np.array([0.25, 0.25, 0.5])
    assert area(one, one) == pytest.approx(1)
    assert area(one, one[::-1]) == pytest.approx(area(one[::-1], one))
    assert 0 < area(one, np.array([0.5, 0.25, 0.25])) < 1


def test_a_unit_is_told_as_a_whole(folder, tmp_path):
    def of(seed, name):
        rows = [[f"{name}{k // 3}", *row] for k, row in enumerate(people(seed))]
        return write(tmp_path / f"{name}.csv", rows, ("who", *HEAD))

    train, test = of(1, "a"), of(2, "b")
    made = write(tmp_path / "made.csv", people(3))
    asked = {"held_out": test, "unit": "who", "epsilon": 1, "progress": lambda *_: None}
    told: Any = audit_synth(made, train, **asked).document
    one = told["privacy"]["membership"]["attacks"]["nearest"]
    assert one["members"] <= N / 3
    assert "who" not in json.dumps(told["fidelity"])


def test_every_finding_has_a_title_and_every_red_one_a_sentence():
    from ult.audit.synth.told import PLAIN, TITLES

    place = {"unmeasured": 1, "_graded": 0, "Finding": 5}  # of the topic
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(judge))) if isinstance(node, ast.Call)]
    topics = {
        one.value
        for call in calls
        if isinstance(call.func, ast.Name) and (at := place.get(call.func.id)) is not None
        for one in [*call.args[at : at + 1], *(more.value for more in call.keywords if more.arg == "topic")]
        if isinstance(one, ast.Constant)
    }
    assert set(TITLES) == topics
    assert set(PLAIN) == set(TITLES) - {"invalid", "shift", "columns"}
    assert judge.UNLIKELY[0] > judge.UNLIKELY[1]


# ---- the verb


def test_the_verb_prints_the_verdict_and_writes_page_and_figures(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "<b>made&.csv", bootstrap(people(1)))
    words = [
        "audit",
        "synth",
        "<b>made&.csv",
        "--real",
        str(folder / "train.csv"),
        "--held-out",
        str(folder / "test.csv"),
    ]
    words += ["--label", "ill", "--epsilon", "1", "--json", "a.json", "--report", "a.html"]
    app(words, standalone_mode=False)
    said = capsys.readouterr().out
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["format"] == "ult-audit-synth/1"
    assert "red" in said
    page = (tmp_path / "a.html").read_text()
    shown = str(Text(page))
    assert SO["red"] in shown
    assert all(one["found"] in shown for one in told["findings"])
    assert "<b>made" not in page
    assert not Text(page).tags & {"script", "link", "img", "iframe"}
    assert people(1)[0][1] not in said + shown
    with pytest.raises(OutputExists):
        app(words, standalone_mode=False)


def test_shadow_syntheses_find_who_was_used_of_a_maker_that_copies_and_of_no_honest_one(folder):
    from ult.audit.synth.shadow import shadowed
    from ult.codecs.record.field import Field

    kinds = {"age": "number", "income": "number", "city": "category", "visit": "date", "ill": "category"}
    fields = [Field(name=name, kind=kind) for name, kind in kinds.items()]
    rows, others = people(1, 200), people(2, 200)

    def leaky(records, seed):
        return [*drawn_privately(records, 100, seed=seed), *records[: len(records) // 4]]

    told = {}
    for maker in (leaky, lambda records, seed: drawn_privately(records, 100, seed=seed)):
        found, curves = shadowed(rows, others, fields, maker, count=6)
        told[maker] = max(found["attacks"].values(), key=lambda one: one["auc"])
        assert all(len(a) == len(b) == 6 * 100 for a, b in curves.values())
    copies_, honest = told.values()
    assert copies_["auc_interval"][0] > 0.55
    assert honest["auc_interval"][0] < 0.55
    assert honest["tpr"][1]["interval"][0] < 0.02
    with pytest.raises(InvalidConfig, match="expected an even number from 6 on"):
        shadowed(rows, others, fields, leaky, count=5)
