"""`ult.predict`: the probabilities are those of whole sequences, the true cell counts for nothing, refusals say why."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

import ult
from ult.cli import app
from ult.data import open_source
from ult.errors import InvalidConfig, InvalidRecord, MissingColumn, OutputError, WrongTable
from ult.owner.handover.candidates import Column
from ult.owner.handover.questions import Questions
from ult.owner.inputs import schema_of
from ult.public.vocabulary import EOS, N_SPECIAL
from ult.trainer.tasks.classified import area
from ult.trainer.tasks.figures import Figures

FLAT = ["sex", "age", "outcome", "code", "note"]
NOTES = ["no complaints at all today, not one", "tired and short of breath since monday"]
UNIT = ["patient", "sex", "outcome", "visit", "code"]


def flat(n, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        sick = rng.random() < 0.4
        code, note = ("N18", NOTES[1]) if sick else ("Z00", NOTES[0])
        age = rng.integers(60, 80) if sick else rng.integers(20, 60)
        yield [
            "fm"[rng.integers(2)],
            str(age) if rng.random() < 0.9 else "NA",
            ["home", "admitted", "died"][sick + (sick and rng.random() < 0.3)],
            code,
            note,
        ]


def grouped(n, seed=0):
    rng = np.random.default_rng(seed)
    for k in range(n):
        sick = rng.random() < 0.5
        sex, outcome = "fm"[rng.integers(2)], "admitted" if sick else "home"
        for day in range(rng.integers(1, 4)):
            yield [f"p{k}", sex, outcome, f"2024-01-1{day}", "N18" if sick and rng.random() < 0.8 else "Z00"]


def write(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return path


def made(folder, header, rows, **options):
    data = write(folder / "in.csv", header, rows)
    fitted = ult.fit(
        data, folder / "t.ult", codec="record/columns", vocabulary_size=1024, encrypt=False, workers=1, **options
    )
    encoded = ult.encode(data, fitted, folder / "s", workers=1)
    recipe = ult.Recipe(steps=6, context=64, batch_size=8, learning_rate=5e-3)
    return folder, fitted.table, ult.train(encoded, folder / "run", recipe)


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    return made(tmp_path_factory.mktemp("flat"), FLAT, flat(120))


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    return made(tmp_path_factory.mktemp("unit"), UNIT, grouped(60), unit="patient")


def model_of(run):
    return AutoModelForCausalLM.from_pretrained(run.path, dtype=torch.float32).eval()


def nats(model, ids):
    with torch.no_grad():
        logs = model(torch.tensor([[EOS, *ids, EOS]])).logits[0].log_softmax(-1)
    return logs[torch.arange(len(ids) + 1), torch.tensor([*ids, EOS])].double().numpy()


def records_of(path, table):
    source = open_source([path], modality="record", schema=schema_of(table))
    return [record for batch in source.batches() for record in batch.records]


@pytest.mark.parametrize("target", ["sex", "outcome", "code"])
def test_the_probability_of_a_value_is_that_of_the_record_with_it(target, patients):
    """Whatever the place of the column, as the model finds whole sequences likely without any cache."""
    folder, table, run = patients
    data = write(folder / f"{target}.csv", FLAT, flat(9, seed=1))
    found = ult.predict(run, data, table, target, batch_size=5)
    model, k = model_of(run), FLAT.index(target)
    for record, probabilities in zip(records_of(data, table), found.probabilities, strict=True):
        each = [nats(model, table.encode((*record[:k], v, *record[k + 1 :])).tolist()).sum() for v in found.values]
        expected = np.exp(np.array(each) - max(each))
        assert probabilities == pytest.approx(expected / expected.sum(), abs=1e-5)
    assert len(found.values) == len(set(found.values)) >= 2
    assert {row[k] for row in flat(120)} <= set(found.values)


def test_a_bin_is_the_sum_of_its_numbers_before_and_a_cell_of_it_behind(patients):
    folder, table, run = patients
    data = write(folder / "age.csv", FLAT, flat(4, seed=2))
    found = ult.predict(run, data, table, "age")
    codec, model = table.codec, model_of(run)
    marker, spellings = codec.first_marker + 1, table.spellings()
    (alone,) = table.encode_phrases([np.array([marker], np.uint32)])[0].tolist()
    for record, probabilities in zip(records_of(data, table), found.probabilities, strict=True):
        scores = []
        for number, cell in enumerate(_cells(found, table)):
            ids = table.encode((record[0], cell, *record[2:])).tolist()
            at = next(i for i, one in enumerate(ids) if marker in spellings[one - N_SPECIAL])
            ends = np.cumsum([len(spellings[one - N_SPECIAL]) for one in ids[at:]])
            behind = at + int(np.searchsorted(ends, 2 + len(cell))) + 1
            first, second = (_after(model, [*ids[:at], *more]) for more in ([], [alone]))
            symbol = 258 + number
            mass = sum(first[i] for i, s in enumerate(spellings, N_SPECIAL) if s[:2].tolist() == [marker, symbol])
            mass += first[alone] * sum(second[i] for i, s in enumerate(spellings, N_SPECIAL) if s[0] == symbol)
            scores.append(np.log(mass) + nats(model, ids)[behind:].sum())
        expected = np.exp(np.array(scores) - max(scores))
        assert probabilities == pytest.approx(expected / expected.sum(), abs=1e-4)
    assert found.values[0].startswith("below ")
    assert found.expected is not None
    assert ((found.expected > 15) & (found.expected < 85)).all()
    assert found.figures.error is not None


def _cells(found, table):
    """A cell of each bin, as the file of predictions would say it if that bin were the likeliest."""
    from ult.owner.handover.candidates import Bins, Column

    bins = Bins.of(Column.named(table, found.target))
    assert bins.names == found.values
    return bins.cells


def _after(model, ids):
    with torch.no_grad():
        return model(torch.tensor([[EOS, *ids]])).logits[0, -1].softmax(-1).double().numpy()


@pytest.mark.parametrize("target", ["outcome", "age"])
def test_the_true_cell_never_counts(target, patients):
    folder, table, run = patients
    rows, k = list(flat(12, seed=3)), FLAT.index(target)
    truth = [row[k] for row in rows]
    shuffled = [[*row[:k], cell, *row[k + 1 :]] for row, cell in zip(rows, truth[::-1], strict=True)]
    wrong = [[*row[:k], "?!", *row[k + 1 :]] for row in rows]
    without = [[*row[:k], *row[k + 1 :]] for row in rows]
    header = [name for name in FLAT if name != target]
    files = {
        "true": (FLAT, rows),
        "shuffled": (FLAT, shuffled),
        "wrong": (FLAT, wrong),
        "blank": (FLAT, [[*row[:k], "", *row[k + 1 :]] for row in rows]),
        "without": (header, without),
    }
    found = {
        name: ult.predict(run, write(folder / f"{name}.csv", *of), table, target, folder / f"{target}-{name}.csv")
        for name, of in files.items()
    }
    for one in found.values():
        assert np.array_equal(one.probabilities, found["true"].probabilities)
    texts = {(folder / f"{target}-{name}.csv").read_text().replace(f"{name}.csv", "") for name in files}
    assert len(texts) == 1
    assert found["true"].figures.log_loss != pytest.approx(found["shuffled"].figures.log_loss)
    assert found["blank"].figures is None is found["without"].figures
    assert (found["wrong"].figures.accuracy, found["wrong"].figures.log_loss) == (0, None)
    assert found["wrong"].figures.unlisted == 12


def test_a_field_of_the_unit_with_and_without_its_column(visits):
    folder, table, run = visits
    rows = list(grouped(7, seed=4))
    whole = ult.predict(run, write(folder / "w.csv", UNIT, rows), table, "outcome")
    bare = [[*row[:2], *row[3:]] for row in rows]
    header = [name for name in UNIT if name != "outcome"]
    found = ult.predict(run, write(folder / "o.csv", header, bare), table, "outcome", folder / "o.parquet")
    assert np.array_equal(found.probabilities, whole.probabilities)
    assert found.records == tuple(f"p{k}" for k in range(7))
    assert whole.figures.records == 7
    told = pq.read_table(folder / "o.parquet").to_pydict()
    assert told["record"] == list(found.records)
    assert told["predicted"] == list(found.likeliest)
    assert told["p(home)"] == pytest.approx(found.probabilities[:, found.values.index("home")], abs=1e-5)


def test_the_unit_without_its_column_is_refused_and_a_column_of_rows_too(visits):
    folder, table, run = visits
    data = folder / "in.csv"
    with pytest.raises(InvalidConfig, match="'code' is a column of the rows 'rows', of which a record has many"):
        ult.predict(run, data, table, "code")
    with pytest.raises(InvalidConfig, match="'rows' is of kind rows"):
        ult.predict(run, data, table, "rows")
    bare = write(folder / "nobody.csv", UNIT[1:], [row[1:] for row in grouped(3)])
    with pytest.raises(MissingColumn, match="no column 'patient'"):
        ult.predict(run, bare, table, "outcome")


def test_records_longer_than_the_context_are_cut_and_told(visits):
    folder, table, run = visits
    rows = [["p", "f", "home", "2024-01-10", "Z00"]] * 100
    found = ult.predict(run, write(folder / "long.csv", UNIT, rows), table, "outcome")
    assert found.told == (
        "1 record of more ids than the run's context of 64: only what stands near 'outcome' was read",
    )


def test_values_may_be_given_and_are_refused_where_they_cannot_be(patients, visits):
    folder, table, run = patients
    data = folder / "in.csv"
    found = ult.predict(run, data, table, "outcome", values=["home", "transferred"])
    assert found.values == ("home", "transferred")
    assert found.figures.unlisted == sum(row[2] != "home" for row in flat(120))
    assert ult.predict(run, data, table, "note", values=NOTES).figures.auroc is not None
    ages = ult.predict(run, data, table, "age", values=["30", "70"])
    assert ages.expected is None
    for call, says in (
        ({"target": "note"}, "'note' is of kind text, whose values nobody can list; expected those to"),
        ({"target": "age", "values": ["30", "old"]}, "value 'old' of 'age': cell is no number"),
        ({"target": "sex", "values": ["f"]}, "expected at least two values, all different"),
        ({"target": "sex", "values": ["f", "f"]}, "expected at least two values, all different"),
    ):
        with pytest.raises(InvalidConfig, match=says):
            ult.predict(run, data, table, **call)
    with pytest.raises(MissingColumn, match="the table has no column 'weight'; it has 'sex', "):
        ult.predict(run, data, table, "weight")
    with pytest.raises(WrongTable):
        ult.predict(run, data, visits[1], "sex")
    with pytest.raises(OutputError, match=r"suffix '\.txt'"):
        ult.predict(run, data, table, "sex", folder / "no.txt")


def test_a_cell_that_contradicts_its_kind_is_named_and_nothing_is_written(patients):
    folder, table, run = patients
    rows = list(flat(5, seed=5))
    rows[3][1] = "old"
    data = write(folder / "bad.csv", FLAT, rows)
    with pytest.raises(InvalidRecord, match=r"bad.csv, row 4: 'age': cell is no number"):
        ult.predict(run, data, table, "sex", folder / "bad-out.csv")
    assert not (folder / "bad-out.csv").exists()


def test_the_command_line_says_the_figures(patients, capsys, monkeypatch):
    folder, _, _ = patients
    monkeypatch.chdir(folder)
    words = ["predict", "run", "in.csv", "-t", "t.ult", "--target", "code", "-o", "code.jsonl"]
    app(words, standalone_mode=False)
    told = capsys.readouterr().out
    assert "'code' of 120 records, of 2 values" in told
    assert "AUROC of Z00" in told
    first, *_ = (folder / "code.jsonl").read_text().splitlines()
    line = json.loads(first)
    assert line["record"] == "in.csv, row 1"
    assert line["p(N18)"] + line["p(Z00)"] == pytest.approx(1)
    with pytest.raises(InvalidConfig, match="expected the owner's table and a column"):
        app(["predict", "run", "in.csv", "-o", "other.csv"], standalone_mode=False)


def test_figures_are_those_of_hand():
    scores, positive = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert area(scores, positive) == 0.75
    chances = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.5, 0.5]])
    found = Figures.of(np.array([0, 0, 1, -1]), chances, ("a", "b"), unlisted=1)
    assert (found.records, found.accuracy, found.majority, found.auroc, found.positive) == (4, 0.5, 0.5, 1.0, "b")
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.4, 0.8]).mean())
    assert found.base_loss == pytest.approx(np.log(3) - 2 / 3 * np.log(2))
    assert Figures.of(np.array([-1]), chances[:1], ("a", "b"), unlisted=0) is None


def test_files_are_read_as_those_that_the_table_was_fitted_on(tmp_path):
    text = "\n".join(["sex;note", *(f"{'fm'[n % 2]};a, b" for n in range(40))])
    (tmp_path / "in.csv").write_text(text)
    how = {"codec": "record/columns", "vocabulary_size": 512, "encrypt": False, "workers": 1}
    fitted = ult.fit(tmp_path / "in.csv", tmp_path / "t.ult", reading={"separator": ";"}, **how)
    questions = Questions.open(tmp_path / "in.csv", Column.named(fitted.table, "sex"))
    assert questions.told
    assert next(questions.batches()).truth[:3] == ["f", "m", "f"]
