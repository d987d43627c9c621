"""The committed results of the rows: their schema, and that docs, README and scripts say the same."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "runs"))

from lib import interval, outcomes, result, score, session  # noqa: E402

COMMITTED = result.results(result.ROWS)


def figure(**changes):
    found = {"value": 2.0, "low": 1.0, "high": 3.0, "interval": interval.T}
    return result.metric("a", "ult", found, n=10, seeds=[0, 1], higher_is_better=True) | changes


TIMED = {"rounds": 3, "ours": 2.0, "peer": 1, "speed": "MB/s"}


def document(*metrics, **changes):
    whole: dict[str, Any] = dict.fromkeys(("title", "asked", "setting", "command", "python", "device"), "x")
    whole |= {"row": "text-lm", "notes": [], "chart": [], "date": "2026-11-21", "git": "0" * 12, "trainings": []}
    whole |= {"versions": {}, "minutes": 1.5, "model": {"name": "tiny", "parameters": 1}, "metrics": list(metrics)}
    return whole | changes


def test_every_row_has_a_result_and_every_result_is_a_row():
    assert {path.stem for path in COMMITTED if not path.stem.endswith("-cuda")} == set(result.ROWS)
    assert set((ROOT / "results").glob("*.json")) == {
        *COMMITTED,
        ROOT / "results" / "fuzz.json",
    }  # which has no metrics


@pytest.mark.parametrize("path", COMMITTED, ids=lambda p: p.stem)
def test_a_result_keeps_the_schema_and_has_its_script(path):
    found = result.load(path)
    assert path.stem.removesuffix("-cuda") == found["row"]
    script = ROOT / next(word for word in found["command"].split() if word.startswith(("runs/", "bench/")))
    text = script.read_text(encoding="utf-8")
    if found["row"] in result.TRAINED:
        assert script.stat().st_mode & 0o100
        assert text.splitlines()[1].startswith("# Cost: ")
    else:
        assert f'"{found["row"]}"' in text
        assert " ".join(ast.get_docstring(ast.parse(text)).split()) == f"{found['asked']} {found['setting']}".strip()


def test_every_script_is_a_row():
    scripts = {path.stem for path in (ROOT / "runs").glob("*.sh")}
    assert scripts == set(result.TRAINED)
    assert scripts <= {path.stem.replace("_", "-") for path in (ROOT / "runs").glob("*.py")}


def test_docs_and_readme_are_the_results():
    done = subprocess.run([sys.executable, "runs/report.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run: python runs/report.py"


def test_a_whole_result_is_accepted():
    result.check(document(figure(), figure(system="raw"), figure(name="b", baseline="raw", goal="at least 0.98")))
    of_bench = [
        figure(interval=interval.ROUNDS, seeds=[]) | TIMED,
        *(figure(system="raw") | {"x": x, "axis": "MB"} for x in (1, 2)),
    ]
    result.check(document(*of_bench, row="text-speed", model={}, minutes=None, git=result.UNCOMMITTED[0]))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (document(), "it has no metrics"),
        (document(figure(value=float("nan"))), "a of ult is nan"),
        (document(figure(value=4.0)), r"4\.0 is outside its interval"),
        (document(figure(low=None)), "interval is incomplete"),
        (document(figure(interval="by eye")), "interval is 'by eye'"),
        (document(figure(seeds=[])), "no seeds"),
        (document(figure(n=11)), "n is 11 of 10 asked"),
        (document(figure(n=0)), "n is 0 of 10 asked"),
        (document(figure(n=True)), "n is True"),
        (document(figure(goal="good")), "goal is 'good'"),
        (document(figure(baseline="raw")), r"no metric of baseline \['raw'\]"),
        (document(figure(), figure()), "a metric stands there twice"),
        (document(figure(extra=1)), "a metric of text-lm has other fields"),
        (document(figure() | TIMED | {"rounds": None}), "rounds is None"),
        (document(figure(measured="2026-11-21")), "measured is '2026-11-21'"),
        (document(figure(peer=1.0)), "a metric of text-lm has other fields"),
        (document(figure(x=1)), "a metric of text-lm has other fields"),
        (document(*[figure() | {"x": 1, "axis": "MB"}] * 2), "a metric stands there twice"),
        (document(figure(), git=result.UNCOMMITTED[0]), "expected a commit"),
        (document(figure(), row="text-speed", git="0" * 12 + "-dirty"), "expected a commit"),
        (document(figure(), git="0" * 12 + "-dirty"), "git is '000000000000-dirty'; expected a commit"),
        (document(figure(), row="other"), "row is 'other'; expected one of"),
        (document(figure(), model={}), "model lacks name or parameters"),
        (document(figure(), chart=["b"]), "chart names a metric that is not there"),
        ([document(figure())], "has other fields"),
    ],
)
def test_a_wrong_result_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        result.check(json.loads(json.dumps(wrong)))


def test_a_kept_figure_says_when_it_was_measured_for_good(tmp_path, monkeypatch):
    monkeypatch.setattr(result, "ROOT", tmp_path)
    first, later = (f"2026-11-2{k}, commit {k}{k}" + "0" * 10 for k in (1, 2))
    (tmp_path / "results").mkdir()
    whole = document(figure(measured=first), figure(name="b"), date="2026-11-22", git="22" + "0" * 10)
    (tmp_path / "results" / "text-lm.json").write_text(json.dumps(whole))
    found = session.Session("text-lm", tmp_path, False, 1, "tiny", 0.0).earlier()["metrics"]
    assert [m["measured"] for m in found] == [first, later]


def test_what_is_written_is_read_and_uncommitted_code_only_looked_at(tmp_path, monkeypatch, capsys):
    for at, said in (("0" * 12, None), ("0" * 12 + "-dirty", "commit, and run it again")):
        monkeypatch.setattr(result, "git", lambda at=at: at)
        about = {"asked": "?", "setting": "", "command": "python bench/exact.py", "device": "cuda"}
        path = result.write(result.document("exact", "Exact", [figure()], **about), tmp_path)
        assert path == tmp_path / "exact-cuda.json"
        assert (said or "wrote") in capsys.readouterr().out
    with pytest.raises(ValueError, match="expected a commit"):
        result.load(path)
    path.write_text(path.read_text().replace("-dirty", ""))
    assert result.load(path)["metrics"] == [figure()]
    assert {"ult", "numpy", "torch"} <= set(result.load(path)["versions"])


@pytest.mark.parametrize(
    ("goal", "value", "low", "high", "said"),
    [
        ("at least 2", 2.0, 2.0, 3.0, "met"),
        ("above 2", 2.0, 2.0, 2.0, "missed"),
        ("at most 1.01", 1.0, 0.9, 1.1, "met, inconclusive"),
        ("at most 1.01", 1.2, 1.0, 1.4, "missed, inconclusive"),
        ("below 1", 2.0, None, None, "missed"),
    ],
)
def test_verdicts(goal, value, low, high, said):
    assert result.verdict({"goal": goal, "value": value, "low": low, "high": high}) == said


def test_the_interval_over_seeds_is_students():
    """The classic sample of Student's "The probable error of a mean" (1908): 10 differences in hours of sleep."""
    hours = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    found = interval.over_seeds(hours)
    assert found["value"] == pytest.approx(1.58)
    assert [found["low"], found["high"]] == pytest.approx([0.700114, 2.459886], abs=1e-6)  # R: t.test(sleep)


@pytest.mark.slow
def test_intervals_over_records_and_over_both_hold_what_they_should(monkeypatch):
    """Of 200 samples of known mean, about 95 % of the intervals hold it; those over seeds and records no fewer."""
    import numpy as np

    monkeypatch.setattr(interval, "RESAMPLES", 250)  # of 1,000: coarser, and four times as quick
    rng, held = np.random.default_rng(0), np.zeros(2)
    for k in range(200):
        of_record = rng.normal(size=40)
        scores = of_record + rng.normal(size=(5, 1)) + rng.normal(size=(5, 40))
        found = interval.over_both(scores, seed=k)
        held[0] += found["low"] <= 0 <= found["high"]
        found = interval.over_records(lambda places, of_record=of_record: of_record[places].mean(), 40, seed=k)
        held[1] += found["low"] <= 0 <= found["high"]
    assert 0.82 <= held[0] / 200 <= 1.0
    assert 0.88 <= held[1] / 200 <= 0.99


def test_the_balanced_interval_is_of_the_mean_recall():
    import numpy as np

    labels = np.array(["a"] * 90 + ["b"] * 10)
    hits = np.stack([(labels == "a"), np.ones(100, bool)]).astype(float)
    found = interval.over_both(hits, labels)
    assert found["value"] == pytest.approx(0.75)
    assert [found["low"], found["high"]] == pytest.approx([0.5, 1.0])  # seeds differ, records of a class do not
    assert interval.over_both(hits[:1], labels)["interval"] == interval.RECORDS


def test_scores_are_the_known_ones():
    """Of papers and of Wikipedia's page on METEOR, whose three examples these are."""
    true = "the cat sat on the mat"
    same = score.scores([true], [true])
    assert [same[name] for name in ("BLEU", "chrF", "ROUGE-L", "token F1")] == pytest.approx([100] * 4)
    assert same["METEOR-like"] == pytest.approx(99.77, abs=0.005)
    assert score.scores(["the cat was sat on the mat"], [true])["METEOR-like"] == pytest.approx(96.54, abs=0.005)
    turned = score.scores(["on the mat sat the cat"], [true])
    assert turned["METEOR-like"] == pytest.approx(50.0)
    assert turned["ROUGE-L"] == pytest.approx(50.0)  # "on the mat", 3 of 6 words
    assert turned["token F1"] == pytest.approx(100.0)


def test_clipped_counts_stems_and_nothing():
    # Papineni et al. (2002), example 2: 2 of 7 unigrams; sacrebleu then smooths 0 of 6, 5, 4 to 1/2, 1/4, 1/8.
    clipped = score.scores(["the the the the the the the"], ["the cat is on the mat"])
    assert clipped["BLEU"] == pytest.approx(100 * (2 / 7 / 12 / 20 / 32) ** 0.25)
    assert clipped["ROUGE-L"] == pytest.approx(100 * 2 * 2 / (7 + 6))
    stems = score.scores(["cats walking"], ["cat walked"])
    assert stems["METEOR-like"] == pytest.approx(100 * (1 - 0.5 / 8))  # two matches in one chunk
    assert stems["token F1"] == 0
    nothing = score.scores([""], ["a word"])
    assert set(nothing.values()) == {0.0}
    assert [score.token_f1("", ""), score.token_f1("the", "word")] == [1.0, 0.0]


def test_the_papers_pipeline_comes_back():
    """Against its description: patches with a sentinel, run lengths; and what a model wrote is inverted."""
    from lib import paper

    column = [ord(c) + 1 if c != "$" else 0 for c in "annb$aa"]
    assert paper._inverse(column) == "banana"
    assert paper._byte_letters()[ord(" ")] == "Ġ"
    assert len(set(paper._byte_letters())) == 256


def test_baselines_spell_their_texts(tmp_path):
    from lib import baselines

    from ult.public.shards import Shards

    texts = ["to be or not to be", "dém­od\n 東京", "", "it is to do"] * 4
    for encoder in (baselines.Bytes(), baselines.BytePairs(texts, 320), baselines.Ours(texts, 512)):
        ids = encoder.encode(texts)
        assert [encoder.decode(one) for one in ids] == texts
        path = baselines.write(tmp_path / encoder.codec.replace("/", "-"), encoder, texts, ["a", "b"] * 8)
        shards = Shards(path)
        assert [one.tolist() for one in shards.ids()] == [one.tolist() for one in ids]
        assert shards.manifest.bytes == sum(len(text.encode()) for text in texts)
        assert shards.manifest.table.startswith(b"raw".hex()) == encoder.codec.startswith("raw/")


def test_raw_tokens_of_every_modality_fit_one_vocabulary():
    """Atoms spell what training had not; values fall in even bins, and beyond the ends in the last."""
    import numpy as np
    from lib import baselines

    from ult.public.vocabulary import N_SPECIAL

    atoms = baselines.raw_tokens("molecules", ["C[NH+]Br", "CCl"], 512)
    spelt = {number: token for token, number in atoms._number.items()}
    for text, pieces in {"CBr.[NH+]": 4, "[Na+]>>Cl": 8, "x y": 3}.items():
        (ids,) = atoms.encode([text])
        assert ("".join(map(spelt.get, ids)), len(ids)) == (text, pieces)
    with pytest.raises(ValueError, match="greater vocabulary"):
        baselines.raw_tokens("molecules", ["C"], 64)
    bins = baselines.raw_tokens("omics", [np.array([-1.0, 0.0]), np.array([1.0])], 1024)
    (ids,) = bins.encode([np.array([-1, 0.001, 1, 7.0])])
    assert (ids - N_SPECIAL).tolist() == [0, 128, 255, 255]
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert (baselines.raw_tokens("images", [image], 1024).encode([image])[0] - N_SPECIAL).tolist() == list(range(12))
    trained = {"text": ["a b"], "images": [image], "series": [np.ones(2), np.zeros(2)]}
    assert [baselines.raw_tokens(name, train, 1024).size for name, train in trained.items()] == [1024] * 3


def test_areas_are_those_of_scikit_learn_and_their_differences_are_paired():
    import numpy as np
    from lib import areas
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    right = [rng.random(60) < 0.4, rng.random(50) < 0.6]
    scores = {"ult": [one + rng.integers(0, 3, len(one)) for one in right]}
    scores["same"] = [2 * one for one in scores["ult"]]
    found = areas.Areas(right, scores)
    expected = np.mean([roc_auc_score(a, b) for a, b in zip(right, scores["ult"], strict=True)])
    assert found.of("ult")["value"] == pytest.approx(expected)
    assert found.of("ult")["low"] < expected < found.of("ult")["high"]
    assert {found.more("ult", "same")[key] for key in ("value", "low", "high")} == {0.0}


def test_patients_that_are_made_up_know_a_part_each_and_do_not_share_a_digit(tmp_path):
    import joint_patient
    import numpy as np
    from lib import patients

    people = patients.patients(2)
    of = joint_patient.parts(len(people.logit), 0)
    assert sorted(np.concatenate([*of.values()]).tolist()) == list(range(2 * patients.DIGITS))
    assert all({*(one // 2).tolist()}.isdisjoint((other // 2).tolist()) for one, other in [(of["train"], of["test"])])
    risks = np.array([len({*codes} & {*patients.RISKS}) for codes in people.codes])
    assert 0.6 < outcomes.auroc(people.outcome, risks) < outcomes.auroc(people.outcome, people.logit) < 0.95
    values = joint_patient.features(people)
    assert values.shape == (2 * patients.DIGITS, 2 + patients.LABS + 28 + 19 + 64)
    path = people.write(tmp_path, "some", np.array([3, 5]))
    head, *lines = path.read_text().splitlines()
    assert head == ",".join(patients.COLUMNS)
    assert [(tmp_path / line.split(",")[-2]).exists() for line in lines] == [True, True]


def test_deciles_know_the_training_rows_alone_and_say_what_they_leave_out():
    import numpy as np
    from lib import mixed

    import ult
    from ult.codecs.record import RecordColumns
    from ult.codecs.record.field import Field

    fields = [
        Field(name="n", kind="number", absent="?", missing=("?",)),
        Field(name="s", kind="category"),
        Field(name="gain", kind="number", absent="0"),
    ]
    train = [(str(k % 100), "mf"[k % 2], "0") for k in range(990)] + [("?", "m", "0")] * 10
    code = mixed.Deciles(train, fields, 64)
    ids = np.array(code.encode([("5", "m", "0"), ("8", "f", "7"), ("50.5", "x", "0"), ("?", "m", "0")])).T.tolist()
    assert ids[0][0] == ids[0][1]
    assert [len({*column}) for column in ids] == [3, 3, 1]
    seen, new, missing = code.left_out([("50", "m", "0"), ("50.5", "m", "0"), ("?", "m", "0")])
    free = code.left_out([("50.5", "m", "0")], free=True)[0]
    assert missing < seen < free < new  # a decile from 49 to 58: 91 numbers of one decimal
    assert new - free == pytest.approx(np.log2(91))
    table = ult.Table.fit(train, codec=RecordColumns(fields=code.coarse()), vocabulary=ult.Vocabulary(512))
    (back,) = table.decode_batch(table.encode_batch([("55", "m", "0")]))
    assert (code.encode([back])[0] == code.encode([("55", "m", "0")])[0]).all()
    assert mixed.great([("1", "f", "0")], ["n", "s", "gain"]) == ["n is 1, s is f, gain is 0"]
    assert mixed.csv_lines([('a"b', "c,d", "e")]) == ['"a""b","c,d",e']
    with pytest.raises(ValueError, match="greater vocabulary"):
        mixed.Deciles(train, fields, 40)


def test_omics_looks_at_training_folds_alone():
    import numpy as np
    import omics
    from lib import corpus
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    labels = np.array(["a", "b", "c"] * 10)
    values = rng.normal(size=(30, 40)) + (labels == "a")[:, None] * np.arange(40) / 8
    train, test = np.arange(20), np.arange(20, 30)
    found = omics.scaled(corpus.Values(values, labels, labels == ""), train, test, 5)
    values[test] = rng.normal(100, 50, (10, 40))
    changed = omics.scaled(corpus.Values(values, labels, labels == ""), train, test, 5)
    np.testing.assert_array_equal(found[0], changed[0])
    assert found[2].shape == (10, 5)
    np.testing.assert_allclose([found[0].mean(0), found[0].std(0)], [[0] * 5, [1] * 5], atol=1e-12)

    laid = omics.own_ranges(np.array([[-9.0, 0.0, 9.0]]))
    assert laid.tolist() == [[0, omics.LEVELS + (omics.LEVELS - 1) / 2, 3 * omics.LEVELS - 1]]

    said, right = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    assert omics._macro(said, right, 4) == pytest.approx(f1_score(right, said, average="macro"))


@pytest.mark.parametrize(
    "options", [{}, {"homophones": 700}, {"dropout": 0.3}, {"variants": 3}, {"homophones": 700, "dropout": 0.5}]
)
def test_keyed_codes_spell_their_texts(options):
    import numpy as np
    from lib import codes

    import ult

    texts = [f"to be or not to be {k} that is the question" for k in range(40)]
    table = ult.Table.fit(texts, vocabulary=ult.Vocabulary(320), min_records=1)
    code = codes.Keyed(codes.Scheme(**options), table, texts, key=5)
    held = code.encode(texts, 0)
    said = np.split((held.said + 32).astype(np.uint32), np.cumsum(held.lengths)[:-1])
    assert table.decode_batch(said) == texts
    assert sum(map(len, held.records())) == len(held.ids) == held.lengths.sum()
    plain = sum(map(len, table.encode_batch(texts)))
    assert (len(held.ids) > plain) == ("dropout" in options)
    record = np.repeat(np.arange(len(texts)), held.lengths)
    meant = {}
    for variant, id_, said in zip(held.variant[record], held.ids, held.said, strict=True):
        assert meant.setdefault((variant, id_), said) == said  # whoever has the key reads it
    most = np.bincount(held.ids).max() / len(held.ids)
    assert (most < np.bincount(held.said).max() / len(held.ids)) == bool(
        options.get("homophones", 0) or "variants" in options
    )
    assert (held.choice > 0) == ("homophones" in options)
    assert max(held.ids) < code.size <= max(options.get("homophones", 0), table.size)


def test_nobody_is_in_two_parts_of_a_split():
    import numpy as np

    units = np.random.default_rng(0).integers(0, 200, 500)
    train, choose, test = outcomes.parts(units, seed=1)
    assert sorted([*train, *choose, *test]) == list(range(500))
    people = [set(units[part].tolist()) for part in (train, choose, test)]
    assert not people[0] & people[1]
    assert not (people[0] | people[1]) & people[2]
    assert 0.2 < len(people[2]) / 200 < 0.4


def test_auroc_counts_equal_scores_half_and_takes_weights():
    import numpy as np

    right, scores = np.array([True, False, True, False]), np.array([3.0, 1.0, 1.0, 0.0])
    assert outcomes.auroc(right, scores) == 3.5 / 4
    assert outcomes.of_places(right, scores.astype(int), np.array([0.0, 1.0, 1.0, 1.0])) == 1.5 / 2
